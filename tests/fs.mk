check_PROGRAMS += \
	tests/fs_keys \
	tests/fs_namespace \
	tests/fs_attributes \
	tests/fs_listing \
	tests/fs_random \
	tests/fs_crash \
	tests/fs_check \
	tests/fs_mend \
	tests/fs_mend_bytes \
	tests/fs_mend_store \
	tests/fs_mend_cut \
	tests/fs_mend_zombie \
	tests/fs_reaper \
	tests/fs_files \
	tests/fs_reads \
	tests/fs_flush \
	tests/fs_clean \
	tests/fs_ranges \
	tests/fs_shift \
	tests/fs_ranges_crash \
	tests/fs_hostile \
	tests/fs_limits \
	tests/fs_errors
tests_fs_keys_SOURCES = tests/fs_keys.c
tests_fs_keys_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_keys_SOURCES = dummy.cc
tests_fs_namespace_SOURCES = tests/fs_namespace.c tests/fs_fixture.h
tests_fs_namespace_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_namespace_SOURCES = dummy.cc
tests_fs_attributes_SOURCES = tests/fs_attributes.c tests/fs_fixture.h
tests_fs_attributes_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_attributes_SOURCES = dummy.cc
tests_fs_listing_SOURCES = tests/fs_listing.c tests/fs_fixture.h
tests_fs_listing_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_listing_SOURCES = dummy.cc
tests_fs_random_SOURCES = tests/fs_random.c tests/fs_twin.h tests/fs_clean.h tests/fs_fixture.h tests/fs_model.h tests/model.h
tests_fs_random_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_random_SOURCES = dummy.cc
tests_fs_crash_SOURCES = tests/fs_crash.c tests/fs_fixture.h tests/fs_model.h tests/model.h
tests_fs_crash_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_crash_SOURCES = dummy.cc
tests_fs_check_SOURCES = tests/fs_check.c tests/fs_damage.h tests/fs_fixture.h
tests_fs_check_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_check_SOURCES = dummy.cc
tests_fs_mend_SOURCES = tests/fs_mend.c tests/fs_mend.h tests/fs_damage.h tests/fs_fixture.h
tests_fs_mend_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_mend_SOURCES = dummy.cc
tests_fs_mend_bytes_SOURCES = tests/fs_mend_bytes.c tests/fs_mend.h tests/fs_damage.h tests/fs_fixture.h
tests_fs_mend_bytes_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_mend_bytes_SOURCES = dummy.cc
tests_fs_mend_store_SOURCES = tests/fs_mend_store.c tests/fs_mend_store.h tests/fs_mend.h tests/fs_damage.h tests/fs_fixture.h
tests_fs_mend_store_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_mend_store_SOURCES = dummy.cc
tests_fs_mend_cut_SOURCES = tests/fs_mend_cut.c tests/fs_mend_store.h tests/fs_mend.h tests/fs_damage.h tests/fs_fixture.h
tests_fs_mend_cut_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_mend_cut_SOURCES = dummy.cc
tests_fs_mend_zombie_SOURCES = tests/fs_mend_zombie.c tests/fs_mend_store.h tests/fs_mend.h tests/fs_damage.h tests/fs_fixture.h
tests_fs_mend_zombie_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_mend_zombie_SOURCES = dummy.cc
tests_fs_reaper_SOURCES = tests/fs_reaper.c tests/fs_fixture.h
tests_fs_reaper_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_reaper_SOURCES = dummy.cc
tests_fs_reads_SOURCES = tests/fs_reads.c tests/fs_fixture.h
tests_fs_reads_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_reads_SOURCES = dummy.cc
tests_fs_files_SOURCES = tests/fs_files.c tests/fs_fixture.h
tests_fs_files_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_files_SOURCES = dummy.cc
tests_fs_flush_SOURCES = tests/fs_flush.c tests/fs_fixture.h
tests_fs_flush_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_flush_SOURCES = dummy.cc
tests_fs_clean_SOURCES = tests/fs_clean.c tests/fs_clean.h tests/fs_fixture.h
tests_fs_clean_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_clean_SOURCES = dummy.cc
tests_fs_ranges_SOURCES = tests/fs_ranges.c tests/fs_ranges.h tests/fs_twin.h tests/fs_clean.h \
	tests/fs_fixture.h
tests_fs_ranges_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_ranges_SOURCES = dummy.cc
tests_fs_shift_SOURCES = tests/fs_shift.c tests/fs_ranges.h tests/fs_twin.h tests/fs_clean.h \
	tests/fs_fixture.h
tests_fs_shift_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_shift_SOURCES = dummy.cc
tests_fs_ranges_crash_SOURCES = tests/fs_ranges_crash.c tests/fs_ranges.h tests/fs_twin.h \
	tests/fs_clean.h tests/fs_fixture.h
tests_fs_ranges_crash_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_ranges_crash_SOURCES = dummy.cc
tests_fs_hostile_SOURCES = tests/fs_hostile.c tests/fs_fixture.h
tests_fs_hostile_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_hostile_SOURCES = dummy.cc
tests_fs_limits_SOURCES = tests/fs_limits.c tests/fs_fixture.h
tests_fs_limits_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_limits_SOURCES = dummy.cc
tests_fs_errors_SOURCES = tests/fs_errors.c tests/fs_fixture.h
tests_fs_errors_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_errors_SOURCES = dummy.cc

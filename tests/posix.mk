# What a mounted filesystem must answer: built by `make check`, run on mounts by tests/mount/posix*.sh.
POSIX_TESTS = tests/posix_names tests/posix_rights tests/posix_times tests/posix_files tests/posix_locks \
	tests/posix_ranges tests/posix_space tests/posix_handles
EXTRA_PROGRAMS += $(POSIX_TESTS)
CLEANFILES += $(POSIX_TESTS)
tests_posix_names_SOURCES = tests/posix_names.c tests/posix_fixture.h
tests_posix_rights_SOURCES = tests/posix_rights.c tests/posix_fixture.h
tests_posix_times_SOURCES = tests/posix_times.c tests/posix_fixture.h
tests_posix_files_SOURCES = tests/posix_files.c tests/posix_fixture.h
tests_posix_locks_SOURCES = tests/posix_locks.c tests/posix_fixture.h
tests_posix_ranges_SOURCES = tests/posix_ranges.c tests/posix_fixture.h
tests_posix_space_SOURCES = tests/posix_space.c tests/posix_fixture.h
tests_posix_handles_SOURCES = tests/posix_handles.c tests/posix_fixture.h
# What tests on mounts need besides.
MOUNT_TOOLS = tests/plant
EXTRA_PROGRAMS += $(MOUNT_TOOLS)
CLEANFILES += $(MOUNT_TOOLS)
tests_plant_SOURCES = tests/plant.c
tests_plant_LDADD = $(FS_LIBS)
nodist_EXTRA_tests_plant_SOURCES = dummy.cc
check-local: $(POSIX_TESTS) $(MOUNT_TOOLS)

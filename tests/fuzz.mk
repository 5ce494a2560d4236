# Fuzzers: with --enable-fuzzing (clang) `make fuzzers` links them with libFuzzer; else they only replay their seeds.
FUZZERS = tests/fuzz/fuzz_s3 tests/fuzz/fuzz_http tests/fuzz/fuzz_lease tests/fuzz/fuzz_db tests/fuzz/fuzz_data \
	tests/fuzz/fuzz_fs tests/fuzz/fuzz_cache tests/fuzz/fuzz_bucket tests/fuzz/fuzz_options
FUZZ_COMMON = tests/fuzz/fuzz.h
if FUZZING
EXTRA_PROGRAMS += $(FUZZERS)
else
FUZZ_COMMON += tests/fuzz/replay.c
check_PROGRAMS += $(FUZZERS)
endif
fuzzers: $(FUZZERS)
.PHONY: fuzzers
EXTRA_DIST += tests/fuzz/replay.c tests/fuzz/seeds

tests_fuzz_fuzz_s3_SOURCES = tests/fuzz/fuzz_s3.c $(FUZZ_COMMON)
tests_fuzz_fuzz_s3_LDADD = $(STORE_LIBS) $(FUZZ_ENGINE)
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c $(FUZZ_COMMON)
tests_fuzz_fuzz_http_LDADD = $(STORE_LIBS) $(FUZZ_ENGINE)
tests_fuzz_fuzz_lease_SOURCES = tests/fuzz/fuzz_lease.c $(FUZZ_COMMON)
tests_fuzz_fuzz_lease_LDADD = $(LEASE_LIBS) $(FUZZ_ENGINE)
tests_fuzz_fuzz_db_SOURCES = tests/fuzz/fuzz_db.c $(FUZZ_COMMON)
tests_fuzz_fuzz_db_LDADD = $(DB_LIBS) $(FUZZ_ENGINE)
nodist_EXTRA_tests_fuzz_fuzz_db_SOURCES = dummy.cc
tests_fuzz_fuzz_data_SOURCES = tests/fuzz/fuzz_data.c $(FUZZ_COMMON)
tests_fuzz_fuzz_data_LDADD = $(DATA_LIBS) $(FUZZ_ENGINE)
tests_fuzz_fuzz_fs_SOURCES = tests/fuzz/fuzz_fs.c $(FUZZ_COMMON)
tests_fuzz_fuzz_fs_LDADD = $(FS_LIBS) $(FUZZ_ENGINE)
nodist_EXTRA_tests_fuzz_fuzz_fs_SOURCES = dummy.cc
tests_fuzz_fuzz_cache_SOURCES = tests/fuzz/fuzz_cache.c $(FUZZ_COMMON)
tests_fuzz_fuzz_cache_LDADD = $(CACHE_LIBS) $(FUZZ_ENGINE)
tests_fuzz_fuzz_bucket_SOURCES = tests/fuzz/fuzz_bucket.c $(FUZZ_COMMON)
tests_fuzz_fuzz_bucket_LDADD = $(FS_LIBS) $(FUZZ_ENGINE)
nodist_EXTRA_tests_fuzz_fuzz_bucket_SOURCES = dummy.cc
tests_fuzz_fuzz_options_SOURCES = tests/fuzz/fuzz_options.c fuse/options.h fuse/options.c $(FUZZ_COMMON)
tests_fuzz_fuzz_options_LDADD = $(FS_LIBS) $(FUZZ_ENGINE)
nodist_EXTRA_tests_fuzz_fuzz_options_SOURCES = dummy.cc

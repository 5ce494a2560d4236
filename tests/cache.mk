check_PROGRAMS += tests/cache_basics tests/cache_disk
tests_cache_basics_SOURCES = tests/cache_basics.c tests/cache_fixture.h
tests_cache_basics_LDADD = $(CACHE_LIBS) $(CHECK_LIBS)
tests_cache_disk_SOURCES = tests/cache_disk.c tests/cache_fixture.h
tests_cache_disk_LDADD = $(CACHE_LIBS) $(CHECK_LIBS)

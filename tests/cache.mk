check_PROGRAMS += tests/cache_basics
tests_cache_basics_SOURCES = tests/cache_basics.c tests/cache_fixture.h
tests_cache_basics_LDADD = $(CACHE_LIBS)

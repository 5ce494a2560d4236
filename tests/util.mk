check_PROGRAMS += tests/util_basics tests/util_threads tests/util_parse
tests_util_basics_SOURCES = tests/util_basics.c
tests_util_basics_LDADD = $(UTIL_LIBS) $(CHECK_LIBS)
tests_util_threads_SOURCES = tests/util_threads.c
tests_util_threads_LDADD = $(UTIL_LIBS) $(CHECK_LIBS)
tests_util_parse_SOURCES = tests/util_parse.c
tests_util_parse_LDADD = $(UTIL_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/db_env
tests_db_env_SOURCES = tests/db_env.c tests/db_fixture.h
tests_db_env_LDADD = $(DB_LIBS)
nodist_EXTRA_tests_db_env_SOURCES = dummy.cc

check_PROGRAMS += tests/data_segments tests/data_reads tests/data_commits
tests_data_segments_SOURCES = tests/data_segments.c tests/data_fixture.h
tests_data_segments_LDADD = $(DATA_LIBS) $(CHECK_LIBS)
tests_data_reads_SOURCES = tests/data_reads.c tests/data_fixture.h
tests_data_reads_LDADD = $(DATA_LIBS) $(CHECK_LIBS)
tests_data_commits_SOURCES = tests/data_commits.c tests/data_fixture.h
tests_data_commits_LDADD = $(DATA_LIBS) $(CHECK_LIBS)

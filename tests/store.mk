check_PROGRAMS += tests/store_conformance tests/store_file tests/store_wrappers
tests_store_conformance_SOURCES = tests/store_conformance.c tests/store_fixture.h
tests_store_conformance_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_file_SOURCES = tests/store_file.c tests/store_fixture.h
tests_store_file_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_wrappers_SOURCES = tests/store_wrappers.c tests/store_fixture.h
tests_store_wrappers_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

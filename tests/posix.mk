# What a mounted filesystem must answer: built by `make check`, run on mounts by tests/mount/posix.sh.
POSIX_TESTS = tests/posix_names tests/posix_rights
EXTRA_PROGRAMS += $(POSIX_TESTS)
CLEANFILES += $(POSIX_TESTS)
tests_posix_names_SOURCES = tests/posix_names.c tests/posix_fixture.h
tests_posix_rights_SOURCES = tests/posix_rights.c tests/posix_fixture.h
check-local: $(POSIX_TESTS)

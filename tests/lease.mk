check_PROGRAMS += tests/lease_basics tests/lease_renewal tests/lease_probe
tests_lease_basics_SOURCES = tests/lease_basics.c tests/lease_fixture.h
tests_lease_basics_LDADD = $(LEASE_LIBS) $(CHECK_LIBS)
tests_lease_renewal_SOURCES = tests/lease_renewal.c tests/lease_fixture.h
tests_lease_renewal_LDADD = $(LEASE_LIBS) $(CHECK_LIBS)
tests_lease_probe_SOURCES = tests/lease_probe.c tests/lease_fixture.h
tests_lease_probe_LDADD = $(LEASE_LIBS) $(CHECK_LIBS)

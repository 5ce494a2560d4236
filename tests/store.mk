check_PROGRAMS += tests/store_conformance tests/store_file tests/store_wrappers
tests_store_conformance_SOURCES = tests/store_conformance.c tests/store_fixture.h
tests_store_conformance_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_file_SOURCES = tests/store_file.c tests/store_fixture.h
tests_store_file_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_wrappers_SOURCES = tests/store_wrappers.c tests/store_fixture.h
tests_store_wrappers_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

# The S3 store: alone, and against a server that answers from a script
check_PROGRAMS += tests/store_s3_sign tests/store_s3_xml tests/store_s3_cred tests/store_s3_http tests/store_s3_writes
tests_store_s3_sign_SOURCES = tests/store_s3_sign.c tests/store_fixture.h
tests_store_s3_sign_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_s3_xml_SOURCES = tests/store_s3_xml.c tests/store_fixture.h
tests_store_s3_xml_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_s3_cred_SOURCES = tests/store_s3_cred.c tests/store_fixture.h
tests_store_s3_cred_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_s3_http_SOURCES = tests/store_s3_http.c tests/store_s3_http.h tests/store_s3_server.h tests/store_fixture.h
tests_store_s3_http_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_s3_writes_SOURCES = tests/store_s3_writes.c tests/store_s3_http.h tests/store_s3_server.h tests/store_fixture.h
tests_store_s3_writes_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

check_PROGRAMS += tests/store_s3_tls
tests_store_s3_tls_SOURCES = tests/store_s3_tls.c tests/store_s3_server.h tests/store_fixture.h
tests_store_s3_tls_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_store_s3_tls_LDADD = $(STORE_LIBS) $(SSL_LIBS) $(CHECK_LIBS)

# Where its keys come from
check_PROGRAMS += tests/store_s3_keys tests/store_s3_renewal
tests_store_s3_keys_SOURCES = tests/store_s3_keys.c tests/store_s3_keys.h tests/store_s3_server.h tests/store_fixture.h
tests_store_s3_keys_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
tests_store_s3_renewal_SOURCES = tests/store_s3_renewal.c tests/store_s3_keys.h tests/store_s3_server.h tests/store_fixture.h
tests_store_s3_renewal_LDADD = $(STORE_LIBS) $(CHECK_LIBS)
check_PROGRAMS += tests/store_s3_extra
tests_store_s3_extra_SOURCES = tests/store_s3_extra.c tests/store_s3_server.h tests/store_fixture.h
tests_store_s3_extra_LDADD = $(STORE_LIBS) $(CHECK_LIBS)

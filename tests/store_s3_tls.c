/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The S3 store behind TLS and behind a proxy: whom it believes, and what a person is told of
 * others.
 *
 * In front of the server that answers from a script stands one that speaks TLS, with a certificate
 * made for the test.
 */
#include "store/s3.h"
#include "tests/store_s3_server.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <signal.h>

#define ANSWER "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: @\r\n\r\nhello"
#define PUMP_BYTES 16384

static const struct reply replies[] = { { ANSWER, KEEP }, { ANSWER, KEEP } };
static struct server server;
static struct place here;
static struct store *s3;
static struct buf got;

/* ---- a server in front that speaks TLS ---- */

static struct {
	SSL_CTX *tls;
	int listening, port;
	int stop[2];
	pthread_t thread;
} front;

static X509 *make_certificate(EVP_PKEY *key, const char *for_whom)
{
	X509 *cert = X509_new();
	X509_EXTENSION *names;

	ck_assert_ptr_nonnull(cert);
	ck_assert_int_eq(X509_set_version(cert, 2), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"a test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, for_whom);
	ck_assert_ptr_nonnull(names);
	X509_add_ext(cert, names, -1);
	X509_EXTENSION_free(names);
	ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
	return cert;
}

/* Both ways until one side ends. */
static void pump(SSL *ssl, int client, int inner)
{
	char bytes[PUMP_BYTES];
	struct pollfd p[] = { { front.stop[0], POLLIN, 0 },
			      { client, POLLIN, 0 },
			      { inner, POLLIN, 0 } };
	int n = 1;

	while (n > 0) {
		if (SSL_pending(ssl) == 0)
			(void)poll(p, ARRAY_LEN(p), -1);
		if (p[0].revents)
			return;
		if (p[1].revents || SSL_pending(ssl) > 0) {
			n = SSL_read(ssl, bytes, sizeof(bytes));
			if (n > 0)
				send_all(inner, bytes, (size_t)n);
		} else if (p[2].revents) {
			n = (int)recv(inner, bytes, sizeof(bytes), 0);
			if (n > 0)
				n = SSL_write(ssl, bytes, n);
		}
	}
}

static int connect_inner(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)server.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void *serve_tls(void *arg)
{
	struct pollfd p[] = { { front.stop[0], POLLIN, 0 }, { front.listening, POLLIN, 0 } };

	while (poll(p, ARRAY_LEN(p), -1) > 0 && !p[0].revents) {
		int client = accept(front.listening, NULL, NULL);
		SSL *ssl = SSL_new(front.tls);

		SSL_set_fd(ssl, client);
		if (SSL_accept(ssl) == 1) {
			int inner = connect_inner();

			pump(ssl, client, inner);
			(void)close(inner);
		}
		SSL_free(ssl);
		(void)close(client);
	}
	return NULL;
}

static void front_start(const char *for_whom, const char *cert_path)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *cert = make_certificate(key, for_whom);
	FILE *f = fopen(cert_path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(PEM_write_X509(f, cert), 1);
	ck_assert_int_eq(fclose(f), 0);
	front.tls = SSL_CTX_new(TLS_server_method());
	ck_assert_int_eq(SSL_CTX_use_certificate(front.tls, cert), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(front.tls, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	ck_assert_int_eq(pipe(front.stop), 0);
	front.listening = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(front.listening, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(front.listening, 4), 0);
	ck_assert_int_eq(getsockname(front.listening, (struct sockaddr *)&a, &len), 0);
	front.port = ntohs(a.sin_port);
	ck_assert_int_eq(pthread_create(&front.thread, NULL, serve_tls, NULL), 0);
}

static void front_stop(void)
{
	if (!front.tls)
		return;
	ck_assert_int_eq(write(front.stop[1], "x", 1), 1);
	pthread_join(front.thread, NULL);
	(void)close(front.listening);
	(void)close(front.stop[0]);
	(void)close(front.stop[1]);
	SSL_CTX_free(front.tls);
	front.tls = NULL;
}

/* ---- the tests ---- */

static char cert_path[PATH_MAX + 16];

static void setup(void)
{
	static const char *const unset[] = { "http_proxy",    "https_proxy",	 "HTTPS_PROXY",
					     "all_proxy",     "ALL_PROXY",	 "no_proxy",
					     "NO_PROXY",      "AWS_CA_BUNDLE",	 "AWS_PROFILE",
					     "SSL_CERT_FILE", "AWS_ENDPOINT_URL" };

	here = (struct place){ .url = "" };
	got = (struct buf)BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(unset); i++)
		unsetenv(unset[i]);
	setenv("AWS_ACCESS_KEY_ID", "AKIDOFTEST", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secretOfThisTest", 1);
	make_folder(&here);
	(void)snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", here.folder);
	(void)signal(SIGPIPE, SIG_IGN); /* a client may turn away in the middle of the handshake */
	server_start(&server, replies, ARRAY_LEN(replies));
}

static void teardown(void)
{
	store_unref(s3);
	front_stop();
	server_stop(&server);
	buf_release(&got);
	remove_folder(&here);
}

static int get_over_tls(struct store_config *config)
{
	char endpoint[64];

	(void)snprintf(endpoint, sizeof(endpoint), "https://127.0.0.1:%d", front.port);
	config->endpoint = endpoint;
	config->connections = 1;
	ck_ok(store_open("s3://bucket/pre", config, &s3));
	return store_get(s3, "k", 0, STORE_TO_END, &got, NULL);
}

START_TEST(a_certificate_that_nobody_vouches_for_is_refused_with_the_way_out)
{
	struct store_config config = { 0 };

	front_start("IP:127.0.0.1", cert_path);
	ck_assert_int_eq(get_over_tls(&config), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "certificate"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "ca_file="));
	ck_assert_uint_eq(server.request_count, 0);
}
END_TEST

START_TEST(a_certificate_that_ca_file_vouches_for_is_believed)
{
	struct store_config config = { .ca_file = cert_path };

	front_start("IP:127.0.0.1", cert_path);
	ck_ok(get_over_tls(&config));
	ck_assert_str_eq(buf_cstr(&got), "hello");
}
END_TEST

START_TEST(a_certificate_of_another_host_is_refused)
{
	struct store_config config = { .ca_file = cert_path };

	front_start("DNS:elsewhere.example.com", cert_path);
	ck_assert_int_eq(get_over_tls(&config), -L3_DENIED);
	ck_assert_uint_eq(server.request_count, 0);
}
END_TEST

START_TEST(without_verification_any_certificate_will_do)
{
	struct store_config config = { .no_verify = true };

	front_start("DNS:elsewhere.example.com", cert_path);
	ck_ok(get_over_tls(&config));
}
END_TEST

START_TEST(a_ca_file_that_cannot_be_used_is_named)
{
	struct store_config config = { .ca_file = "/nowhere/ca.pem" };

	front_start("IP:127.0.0.1", cert_path);
	ck_assert_int_eq(get_over_tls(&config), -L3_BAD_OPTION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "/nowhere/ca.pem"));
}
END_TEST

/* The one behind the proxy does not exist: only the proxy can answer. */
static int get_by_proxy(void)
{
	struct store_config config = { .endpoint = "http://store.invalid:8000",
				       .connections = 1,
				       .connect_timeout_ms = 5000 };
	char proxy[64];

	(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	setenv("http_proxy", proxy, 1);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	return store_get(s3, "k", 0, STORE_TO_END, &got, NULL);
}

START_TEST(a_proxy_named_by_the_environment_is_used)
{
	ck_ok(get_by_proxy());
	ck_assert_ptr_nonnull(strstr(server_request(&server, 0), "http://"));
	ck_assert_ptr_nonnull(strstr(server_request(&server, 0), "store.invalid:8000"));
}
END_TEST

START_TEST(hosts_of_no_proxy_are_asked_themselves)
{
	setenv("no_proxy", "store.invalid", 1);
	ck_assert_int_eq(get_by_proxy(), -L3_UNREACHABLE);
	ck_assert_uint_eq(server.request_count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the S3 store behind TLS and proxies");
	TCase *tc = tcase_create("connections");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_certificate_that_nobody_vouches_for_is_refused_with_the_way_out);
	tcase_add_test(tc, a_certificate_that_ca_file_vouches_for_is_believed);
	tcase_add_test(tc, a_certificate_of_another_host_is_refused);
	tcase_add_test(tc, without_verification_any_certificate_will_do);
	tcase_add_test(tc, a_ca_file_that_cannot_be_used_is_named);
	tcase_add_test(tc, a_proxy_named_by_the_environment_is_used);
	tcase_add_test(tc, hosts_of_no_proxy_are_asked_themselves);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the S3 store against a server that answers from a script: keys in a file, one connection, and that
 * no secret is ever told.
 */
#ifndef LEVELS3_TESTS_STORE_S3_HTTP_H
#define LEVELS3_TESTS_STORE_S3_HTTP_H

#include "store/s3.h"
#include "tests/store_s3_server.h"

#define SECRET "topSecretValueOfThisTest"
#define TOKEN "sessionTokenOfThisTest"
#define OK_ETAG "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 0\r\n\r\n"
#define HEAD_ABC                                                                                   \
	"HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 3\r\n"                                \
	"Last-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n\r\n"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"

static struct server server;
static struct place here;
static struct store *s3;
static struct buf got;
static struct buf made; /* a reply that is no constant; must outlive the server's threads */
static struct store_meta meta;

static inline void set_up_environment(void)
{
	static const char *const unset[] = {
		"AWS_PROFILE", "AWS_SESSION_TOKEN",  "AWS_ENDPOINT_URL",  "AWS_ENDPOINT_URL_S3",
		"AWS_REGION",  "AWS_DEFAULT_REGION", "http_proxy",	  "all_proxy",
		"ALL_PROXY",   "AWS_CA_BUNDLE",	     "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
	};

	for (size_t i = 0; i < ARRAY_LEN(unset); i++)
		unsetenv(unset[i]);
}

static inline void write_keys(const char *access_key)
{
	char path[PATH_MAX + 16];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/keys", here.folder);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), 0600), 0);
	ck_assert_int_gt(fprintf(f,
				 "[default]\naws_access_key_id=%s\naws_secret_access_key=" SECRET
				 "\naws_session_token=" TOKEN "\n",
				 access_key),
			 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1), 0);
}

static inline void setup(void)
{
	here = (struct place){ .url = "" };
	got = (struct buf)BUF_INIT;
	made = (struct buf)BUF_INIT;
	set_up_environment();
	make_folder(&here);
	write_keys("AKIDOFTEST");
}

static inline void teardown(void)
{
	store_unref(s3);
	server_stop(&server);
	buf_release(&got);
	buf_release(&made);
	remove_folder(&here);
}

/* A store on one connection to a server with this script, so that requests come in order. */
static inline void open_with(const struct reply *replies, size_t count,
			     const struct store_config *extra)
{
	struct store_config config = extra ? *extra : (struct store_config){ 0 };
	char endpoint[64];

	server_start(&server, replies, count);
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	config.endpoint = endpoint;
	if (!extra || !extra->connections)
		config.connections = 1;
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
}

#define OPEN(...)                                                                                  \
	static const struct reply replies[] = { __VA_ARGS__ };                                     \
	open_with(replies, ARRAY_LEN(replies), NULL)

static inline int get_all(void)
{
	return store_get(s3, "k", 0, STORE_TO_END, &got, &meta);
}

static inline int create(struct store_meta *ret_meta)
{
	return store_put_bytes(s3, "k", "bytes", 5, STORE_CREATE, NULL, ret_meta);
}

/* Whatever was said, no secret was. */
static inline void ck_note_has(const char *words)
{
	ck_assert_msg(strstr(err_last_note(), words) != NULL, "%s: %s", words, err_last_note());
	ck_assert_ptr_null(strstr(err_last_note(), SECRET));
	ck_assert_ptr_null(strstr(err_last_note(), TOKEN));
}

static inline void ck_sent(size_t i, const char *words)
{
	ck_assert_msg(strcasestr(server_request(&server, i), words) != NULL, "%s: %s", words,
		      server_request(&server, i));
}

static inline void ck_not_sent(size_t i, const char *words)
{
	ck_assert_ptr_null(strcasestr(server_request(&server, i), words));
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of S3's keys share: a HOME of its own, a clock that the test owns, a server on
 * loopback that answers what it is told to, and a keyring that asks it.
 */
#ifndef LEVELS3_TESTS_STORE_S3_KEYS_H
#define LEVELS3_TESTS_STORE_S3_KEYS_H

#include "store/s3_cred.h"
#include "tests/store_s3_server.h"

#include <sys/stat.h>
#include <time.h>

#define SECRET "topSecretValueOfThisTest"
#define TOKEN "sessionTokenOfThisTest"
#define START_S 1795248000 /* 2026-11-21T08:00:00Z */

static struct place here; /* its folder is HOME */
static struct server server;
static bool serving;
static struct s3_keyring *ring;
static struct s3_keys *keys;
static struct store *s3;

/* ---- time, owned by the test ---- */

static int64_t now_s;

static inline uint64_t mono_ns(struct clock *c)
{
	return (uint64_t)(__atomic_load_n(&now_s, __ATOMIC_RELAXED) - START_S + 1000) * 1000000000;
}

static inline int64_t real_ns(struct clock *c)
{
	return __atomic_load_n(&now_s, __ATOMIC_RELAXED) * 1000000000;
}

static struct clock our_clock = { .mono_ns = mono_ns, .real_ns = real_ns };

static inline void pass(int64_t seconds)
{
	__atomic_add_fetch(&now_s, seconds, __ATOMIC_RELAXED);
}

/* ---- setting up ---- */

extern char **environ;

static inline void setup(void)
{
	char aws[PATH_MAX];
	char *path = getenv("PATH"), *tmp = getenv("TMPDIR");

	path = strdup(path ? path : "/usr/bin:/bin");
	tmp = tmp ? strdup(tmp) : NULL;
	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(setenv("PATH", path, 1), 0);
	if (tmp)
		ck_assert_int_eq(setenv("TMPDIR", tmp, 1), 0);
	free(path);
	free(tmp);
	here = (struct place){ .url = "" };
	make_folder(&here);
	ck_assert_int_eq(setenv("HOME", here.folder, 1), 0);
	ck_assert_int_eq(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
	/* Not for what is on this host: it must be passed by. */
	ck_assert_int_eq(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	(void)snprintf(aws, sizeof(aws), "%s/.aws", here.folder);
	ck_assert_int_eq(mkdir(aws, 0700), 0);
	now_s = START_S;
}

static inline void teardown(void)
{
	s3_keys_put(keys);
	keys = NULL;
	s3_keyring_free(ring);
	ring = NULL;
	store_unref(s3);
	s3 = NULL;
	if (serving)
		server_stop(&server);
	serving = false;
	remove_folder(&here);
}

static inline void set(const char *name, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline void set(const char *name, const char *fmt, ...)
{
	char value[PATH_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

static inline void write_file(const char *name, const char *text)
{
	char path[PATH_MAX + 64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", here.folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), 0700), 0);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static inline void read_file(const char *name, struct buf *text)
{
	char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", here.folder, name);
	ck_ok(file_read_all(path, MIB, text));
}

static inline void start_server(const struct reply *replies, size_t count)
{
	server_start(&server, replies, count);
	serving = true;
}

#define SERVE(...)                                                                                 \
	static const struct reply replies[] = { __VA_ARGS__ };                                     \
	start_server(replies, ARRAY_LEN(replies))

static inline int make_ring(const struct store_config *config)
{
	struct s3_place place = { .bucket = (char *)"bucket", .region = (char *)"eu-west-1" };

	return s3_keyring_new(config ? config : &(struct store_config){ 0 }, &place, &our_clock,
			      &ring);
}

static inline void ck_present(const char *access_key)
{
	s3_keys_put(keys);
	keys = s3_keyring_get(ring);
	ck_assert_str_eq(keys->cred.access_key, access_key);
}

static inline void ck_ring(const char *access_key, const char *token)
{
	ck_ok(make_ring(NULL));
	ck_present(access_key);
	ck_assert_str_eq(keys->cred.secret_key, SECRET);
	ck_assert_pstr_eq(keys->cred.session_token, token);
}

static inline void ck_refused(int err, const char *words)
{
	ck_assert_int_eq(make_ring(NULL), err);
	ck_assert_ptr_null(ring);
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

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
#define REFUSED "HTTP/1.1 403 Forbidden\r\nContent-Length: @\r\n\r\n"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: @\r\n\r\n"
/* What ECS, EKS and EC2 answer. */
#define HOST_JSON(id, expires)                                                                     \
	OK_HEAD "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"" SECRET   \
		"\",\"Token\":\"" TOKEN "\",\"Expiration\":\"" expires "\"}"
#define IN_AN_HOUR "2026-11-21T09:00:00Z"

#endif

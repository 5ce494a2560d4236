/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys: where they are kept in memory, and those that are written down somewhere: the environment
 * (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), a profile's section of the shared
 * files, a file of our own for servers that have nothing to do with AWS.
 *
 * All parts of a key come from one reading of one file: what rotates keys replaces them together.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL's secure heap: not swapped where the system lets us lock it, never in a core dump. */
#define SECURE_BYTES ((size_t)256 << 10)
#define SECURE_PIECE 32

void s3_secret_free(char *s)
{
	OPENSSL_secure_clear_free(s, s ? strlen(s) + 1 : 0);
}

static pthread_once_t secure_once = PTHREAD_ONCE_INIT;

static void make_secure_heap(void)
{
	if (CRYPTO_secure_malloc_init(SECURE_BYTES, SECURE_PIECE) == 0)
		log_debug("no protected memory for keys: they are in ordinary memory");
}

char *s3_secret_alloc(size_t size)
{
	(void)pthread_once(&secure_once, make_secure_heap);
	return OPENSSL_secure_zalloc(size);
}

/* A copy there; NULL without memory. */
static char *keep_secret(const char *s)
{
	char *kept = s3_secret_alloc(strlen(s) + 1);

	if (kept)
		memcpy(kept, s, strlen(s) + 1);
	return kept;
}

void s3_cred_release(struct s3_cred *c)
{
	s3_wipe(c->access_key);
	s3_secret_free(c->secret_key);
	s3_secret_free(c->session_token);
	*c = (struct s3_cred){ 0 };
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool s3_cred_same(const struct s3_cred *a, const struct s3_cred *b)
{
	return same(a->access_key, b->access_key) && same(a->secret_key, b->secret_key) &&
	       same(a->session_token, b->session_token);
}

/* These go into headers. */
static bool is_printable(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~')
			return false;
	return true;
}

static int check(const char *access_key, const char *secret_key, const char *session_token)
{
	if (!access_key || !secret_key)
		return -ENOMEM;
	if (!access_key[0] || !secret_key[0])
		return err_note(-L3_DENIED, "the access key or the secret key is empty");
	if (!is_printable(access_key) || !is_printable(secret_key) || !is_printable(session_token))
		return err_note(-L3_DENIED, "the credentials contain blanks or control characters");
	return 0;
}

int s3_cred_make(char *access_key, char *secret_key, char *session_token, int64_t expires_s,
		 struct s3_cred *ret)
{
	struct s3_cred c = { .expires_s = expires_s };
	int err;

	if (session_token && !*session_token) {
		free(session_token);
		session_token = NULL;
	}
	err = check(access_key, secret_key, session_token);
	if (err >= 0) {
		c.access_key = strdup(access_key);
		c.secret_key = keep_secret(secret_key);
		c.session_token = session_token ? keep_secret(session_token) : NULL;
		if (!c.access_key || !c.secret_key || (session_token && !c.session_token))
			err = -ENOMEM;
	}
	s3_wipe(access_key);
	s3_wipe(secret_key);
	s3_wipe(session_token);
	if (err < 0)
		s3_cred_release(&c);
	else
		*ret = c;
	return err;
}

/* ---- the environment ---- */

/* What was in the environment: taken out of it once for all (store_take_keys). */
static struct {
	const char *name;
	char *value; /* protected */
} secrets[] = {
	{ "AWS_ACCESS_KEY_ID", NULL },
	{ "AWS_SECRET_ACCESS_KEY", NULL },
	{ "AWS_SESSION_TOKEN", NULL },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL },
};

const char *s3_secret_env(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		if (secrets[i].value && strcmp(secrets[i].name, name) == 0)
			return secrets[i].value;
	return s3_env(name);
}

int s3_cred_environment(struct s3_cred *ret)
{
	const char *id = s3_secret_env("AWS_ACCESS_KEY_ID");
	const char *secret = s3_secret_env("AWS_SECRET_ACCESS_KEY");
	const char *token = s3_secret_env("AWS_SESSION_TOKEN");

	if (!id)
		return err_note(-ENOENT, "AWS_ACCESS_KEY_ID is not set");
	if (!secret)
		return err_note(-L3_DENIED,
				"AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
	return s3_cred_make(strdup(id), strdup(secret), token ? strdup(token) : NULL, 0, ret);
}

/* unsetenv alone leaves the bytes where they were, at the top of the stack. */
static void clear_variable(const char *name)
{
	char *value = getenv(name);

	if (value)
		OPENSSL_cleanse(value, strlen(value));
	(void)unsetenv(name);
}

int store_take_keys(void)
{
	char *kept[ARRAY_LEN(secrets)] = { NULL };
	int err = 0;

	for (size_t i = 0; err >= 0 && i < ARRAY_LEN(secrets); i++)
		if (s3_env(secrets[i].name) && !(kept[i] = keep_secret(s3_env(secrets[i].name))))
			err = -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		if (err < 0) {
			s3_secret_free(kept[i]);
		} else if (kept[i]) {
			s3_secret_free(secrets[i].value);
			secrets[i].value = kept[i];
			clear_variable(secrets[i].name);
		}
	}
	return err;
}

/* ---- the shared files ---- */

static int no_static(struct s3_files *f, const char *profile)
{
	return err_note(
		-ENOENT,
		"[%s] with aws_access_key_id and aws_secret_access_key is in neither %s nor %s",
		profile, f->path[S3_FILE_CREDENTIALS], f->path[S3_FILE_CONFIG]);
}

int s3_cred_static(struct s3_files *f, const char *profile, struct s3_cred *ret)
{
	char *id CLEANUP(s3_wipe_ptr) = NULL, *secret = NULL, *token = NULL;
	int which = 0, err = -ENOENT;

	for (; which < S3_FILE_COUNT; which++) {
		err = s3_files_get_from(f, (enum s3_file)which, profile, "aws_access_key_id", &id);
		if (err != -ENOENT)
			break;
	}
	if (err < 0)
		return err == -ENOENT ? no_static(f, profile) : err;
	err = s3_files_get_from(f, (enum s3_file)which, profile, "aws_secret_access_key", &secret);
	if (err == -ENOENT)
		return err_note(-L3_DENIED,
				"profile %s has aws_access_key_id, but no aws_secret_access_key",
				profile);
	if (err >= 0)
		err = s3_files_get_from(f, (enum s3_file)which, profile, "aws_session_token",
					&token);
	if (err >= 0 || err == -ENOENT)
		err = s3_check_private(f->path[which]);
	if (err < 0) {
		s3_wipe(secret);
		s3_wipe(token);
		return err;
	}
	err = s3_cred_make(id, secret, token, 0, ret);
	id = NULL; /* taken over */
	return err;
}

/* ---- passwd_file: [BUCKET:]ACCESS_KEY:SECRET_KEY, one a line ---- */

/* 1: it is this bucket's, or everybody's where `named` is false. */
static int take_line(const char *line, size_t len, const char *bucket, bool named, char **ret_id,
		     char **ret_secret)
{
	const char *first = memchr(line, ':', len), *second = NULL, *end = line + len;

	if (first)
		second = memchr(first + 1, ':', (size_t)(end - first - 1));
	if (!first || (second && memchr(second + 1, ':', (size_t)(end - second - 1))))
		return -L3_DENIED;
	if (named != (second != NULL))
		return 0;
	if (second) {
		if (strlen(bucket) != (size_t)(first - line) ||
		    memcmp(bucket, line, strlen(bucket)) != 0)
			return 0;
		line = first + 1;
		first = second;
	}
	*ret_id = strndup(line, (size_t)(first - line));
	*ret_secret = strndup(first + 1, (size_t)(end - first - 1));
	return 1;
}

static int find_line(const char *path, const char *text, const char *bucket, bool named,
		     char **ret_id, char **ret_secret)
{
	for (unsigned number = 1; *text; number++) {
		size_t whole = strcspn(text, "\n"), len = whole;
		int found;

		if (len > 0 && text[len - 1] == '\r')
			len--;
		if (len > 0 && text[0] != '#') {
			found = take_line(text, len, bucket, named, ret_id, ret_secret);
			if (found < 0)
				return err_note(found,
						"passwd_file=%s: line %u is no "
						"[BUCKET:]ACCESS_KEY:SECRET_KEY",
						path, number);
			if (found > 0)
				return 0;
		}
		text += whole + (text[whole] == '\n');
	}
	return -ENOENT;
}

int s3_cred_passwd_file(const char *path, const char *bucket, struct s3_cred *ret)
{
	struct buf text CLEANUP(s3_wipe_buf) = BUF_INIT;
	char *id = NULL, *secret = NULL;
	int err = s3_read_secret(path, &text);

	if (err >= 0)
		err = s3_check_private(path);
	if (err == -ENOENT)
		return err_note(-L3_DENIED, "passwd_file=%s: there is no such file", path);
	if (err < 0)
		return err;
	err = find_line(path, buf_cstr(&text), bucket, true, &id, &secret);
	if (err == -ENOENT)
		err = find_line(path, buf_cstr(&text), bucket, false, &id, &secret);
	if (err == -ENOENT)
		return err_note(-L3_DENIED, "passwd_file=%s has no keys for bucket %s", path,
				bucket);
	return err < 0 ? err : s3_cred_make(id, secret, NULL, 0, ret);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys and settings where the AWS tools keep them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
 * AWS_SESSION_TOKEN; else a profile's section in ~/.aws/credentials or ~/.aws/config
 * (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE). In the config file a profile other than "default"
 * is headed [profile NAME]. The only place of the libraries that reads the environment.
 *
 * All parts of a key come from one reading of one file: what rotates keys replaces them together.
 */
#include "store/s3.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)
#define FILE_USUAL ((size_t)64 << 10)
#define PROFILE_MAX 200
/* OpenSSL's secure heap: not swapped where the system lets us lock it, never in a core dump. */
#define SECURE_BYTES ((size_t)256 << 10)
#define SECURE_PIECE 32

static void wipe(char *s)
{
	if (s)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
}

static void wipe_buf(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->cap);
	buf_release(b);
}

static void free_secret(char *s)
{
	OPENSSL_secure_clear_free(s, s ? strlen(s) + 1 : 0);
}

static pthread_once_t secure_once = PTHREAD_ONCE_INIT;

static void make_secure_heap(void)
{
	if (CRYPTO_secure_malloc_init(SECURE_BYTES, SECURE_PIECE) == 0)
		log_debug("no protected memory for keys: they are in ordinary memory");
}

/* Moves an ordinary string (NULL is fine) there. NULL without memory. */
static char *keep_secret(char *s)
{
	size_t size = s ? strlen(s) + 1 : 0;
	char *kept = NULL;

	(void)pthread_once(&secure_once, make_secure_heap);
	if (s)
		kept = OPENSSL_secure_malloc(size);
	if (kept)
		memcpy(kept, s, size);
	wipe(s);
	return kept;
}

void s3_cred_release(struct s3_cred *c)
{
	wipe(c->access_key);
	free_secret(c->secret_key);
	free_secret(c->session_token);
	*c = (struct s3_cred){ 0 };
}

void s3_profile_release(struct s3_profile *p)
{
	free(p->region);
	free(p->endpoint);
	free(p->ca_file);
	*p = (struct s3_profile){ 0 };
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

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* ---- INI files ---- */

/* Moves *start past blanks; the length without blanks at the end. */
static size_t trim(const char **start, size_t len)
{
	while (len > 0 && isspace((unsigned char)(*start)[0])) {
		(*start)++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)(*start)[len - 1]))
		len--;
	return len;
}

/* "[ name ]", with whatever comment behind; blanks inside a name count as one. */
static bool is_section(const char *line, size_t len, const char *section)
{
	const char *end = memchr(line, ']', len), *name = line + 1;

	if (!end)
		return false;
	len = trim(&name, (size_t)(end - name));
	while (len > 0 && *section) {
		bool blank = isspace((unsigned char)*name);

		if (*section != (blank ? ' ' : *name))
			return false;
		do {
			name++;
			len--;
		} while (blank && len > 0 && isspace((unsigned char)*name));
		section++;
	}
	return len == 0 && !*section;
}

/* A '#' or ';' after a blank begins a comment. */
static size_t without_comment(const char *value, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if ((value[i] == '#' || value[i] == ';') && isblank((unsigned char)value[i - 1]))
			return i;
	return len;
}

static bool take_value(const char *line, size_t len, const char *key, char **ret)
{
	const char *equals = memchr(line, '=', len), *name = line, *value;
	size_t n;

	if (!equals)
		return false;
	n = trim(&name, (size_t)(equals - line));
	if (n != strlen(key) || strncasecmp(name, key, n) != 0)
		return false;
	value = equals + 1;
	n = trim(&value, len - (size_t)(value - line));
	n = trim(&value, without_comment(value, n));
	*ret = strndup(value, n);
	return true;
}

int s3_ini_get(const char *text, const char *section, const char *key, char **ret)
{
	bool inside = false;
	size_t indent =
		SIZE_MAX; /* of the section's settings: what is deeper belongs to the one above */

	while (*text) {
		size_t whole = strcspn(text, "\n");
		const char *line = text;
		size_t len = trim(&line, whole);

		if (len > 0 && line[0] == '[') {
			inside = is_section(line, len, section);
			indent = SIZE_MAX;
			if (inside && !key)
				return 0;
		} else if (inside && len > 0 && line[0] != '#' && line[0] != ';' &&
			   (size_t)(line - text) <= indent) {
			indent = (size_t)(line - text);
			if (take_value(line, len, key, ret))
				return *ret ? 0 : -ENOMEM;
		}
		text += whole + (text[whole] == '\n');
	}
	return -ENOENT;
}

/* ---- the shared files ---- */

struct shared {
	const char *variable, *name;
	bool is_config; /* sections are called [profile NAME] */
};

static const struct shared files[] = {
	{ "AWS_SHARED_CREDENTIALS_FILE", "credentials", false },
	{ "AWS_CONFIG_FILE", "config", true },
};

static const char *home(void)
{
	const char *dir = env("HOME");
	struct passwd *pw;

	if (dir)
		return dir;
	pw = getpwuid(geteuid()); /* daemons at boot have no HOME */
	return pw ? pw->pw_dir : "/";
}

static void shared_path(const struct shared *f, struct buf *out)
{
	if (env(f->variable))
		buf_add_str(out, env(f->variable));
	else
		buf_printf(out, "%s/.aws/%s", home(), f->name);
}

/* The file's text, "" if there is none. wipe_buf it. */
static int read_shared(const struct shared *f, struct buf *text)
{
	struct buf path CLEANUP(buf_release) = BUF_INIT;
	int err = buf_reserve(text, FILE_USUAL); /* at once: growing would leave copies behind */

	if (err < 0)
		return err;
	shared_path(f, &path);
	err = file_read_all(buf_cstr(&path), FILE_MAX, text);
	if (err == -EACCES || err == -EPERM)
		return err_note(-L3_DENIED, "cannot read %s as user %d: %s", buf_cstr(&path),
				(int)geteuid(), err_text(err));
	if (err < 0 && err != -ENOENT && err != -ENOTDIR)
		return err_note(err, "cannot read %s: %s", buf_cstr(&path), err_text(err));
	(void)buf_cstr(text);
	return buf_error(text);
}

static const char *profile_name(const char *profile)
{
	if (profile)
		return profile;
	return env("AWS_PROFILE") ? env("AWS_PROFILE") : "default";
}

/* Like s3_ini_get, in this file's way to name sections. */
static int shared_get(const struct shared *f, struct buf *text, const char *profile,
		      const char *key, char **ret)
{
	char section[PROFILE_MAX + 16];
	int err;

	if (!f->is_config)
		return s3_ini_get(buf_cstr(text), profile, key, ret);
	(void)snprintf(section, sizeof(section), "profile %s", profile);
	err = s3_ini_get(buf_cstr(text), section, key, ret);
	if (err == -ENOENT && strcmp(profile, "default") == 0)
		err = s3_ini_get(buf_cstr(text), profile, key, ret);
	return err;
}

/* One setting, from whichever file has it first. */
static int profile_get(const char *profile, const char *key, char **ret)
{
	int err = -ENOENT;

	for (size_t i = 0; err == -ENOENT && i < ARRAY_LEN(files); i++) {
		struct buf text CLEANUP(wipe_buf) = BUF_INIT;

		err = read_shared(&files[i], &text);
		if (err >= 0)
			err = shared_get(&files[i], &text, profile, key, ret);
	}
	return err;
}

/* ---- keys ---- */

static int no_keys(const char *profile, bool section_seen, bool named)
{
	struct buf a CLEANUP(buf_release) = BUF_INIT, b CLEANUP(buf_release) = BUF_INIT;

	shared_path(&files[0], &a);
	shared_path(&files[1], &b);
	if (named && !section_seen)
		return err_note(-L3_BAD_OPTION, "profile %s: in neither %s nor %s", profile,
				buf_cstr(&a), buf_cstr(&b));
	return err_note(
		-L3_DENIED,
		"no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and "
		"[%s] with aws_access_key_id and aws_secret_access_key is in neither %s nor %s",
		profile, buf_cstr(&a), buf_cstr(&b));
}

/* What holds keys is for its owner, and a group at most. */
static int check_private(const struct shared *f)
{
	struct buf path CLEANUP(buf_release) = BUF_INIT;
	struct stat st;

	shared_path(f, &path);
	if (stat(buf_cstr(&path), &st) < 0)
		return 0; /* replaced in this moment: what was read was read */
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_note(-L3_DENIED, "%s holds keys, but belongs to user %u",
				buf_cstr(&path), (unsigned)st.st_uid);
	if (st.st_mode & 027)
		return err_note(
			-L3_DENIED,
			"%s holds keys, but others have access to it (mode %04o): chmod 600 %s",
			buf_cstr(&path), (unsigned)st.st_mode & 07777, buf_cstr(&path));
	return 0;
}

/* All of a key from one text. -ENOENT: nothing of it there. */
static int from_text(const struct shared *f, struct buf *text, const char *profile,
		     struct s3_cred *ret)
{
	int err = shared_get(f, text, profile, "aws_access_key_id", &ret->access_key);

	if (err < 0)
		return err;
	err = shared_get(f, text, profile, "aws_secret_access_key", &ret->secret_key);
	if (err == -ENOENT)
		return err_note(-L3_DENIED,
				"profile %s has aws_access_key_id, but no aws_secret_access_key",
				profile);
	if (err >= 0 &&
	    shared_get(f, text, profile, "aws_session_token", &ret->session_token) == -ENOMEM)
		err = -ENOMEM;
	return err < 0 ? err : check_private(f);
}

static int from_profile(const char *profile, bool named, struct s3_cred *ret)
{
	bool section_seen = false;
	int err = -ENOENT;

	if (strlen(profile) > PROFILE_MAX)
		return err_note(-L3_BAD_OPTION, "the profile's name is too long");
	for (size_t i = 0; err == -ENOENT && i < ARRAY_LEN(files); i++) {
		struct buf text CLEANUP(wipe_buf) = BUF_INIT;

		err = read_shared(&files[i], &text);
		if (err < 0)
			return err;
		section_seen |= shared_get(&files[i], &text, profile, NULL, NULL) >= 0;
		err = from_text(&files[i], &text, profile, ret);
	}
	return err == -ENOENT ? no_keys(profile, section_seen, named) : err;
}

/* Its secrets go where they are protected; on failure, too, nothing of them stays in ordinary
 * memory. */
static int protect(struct s3_cred *c)
{
	bool token = c->session_token;

	c->secret_key = keep_secret(c->secret_key);
	c->session_token = keep_secret(c->session_token);
	return c->secret_key && (!token || c->session_token) ? 0 : -ENOMEM;
}

/* The key that was in the environment: taken out of it once for all (store_take_keys). */
static struct s3_cred taken;

static const char *key_variable(const char *name, const char *taken_value)
{
	return taken.access_key ? taken_value : env(name);
}

static bool has_environment(void)
{
	return key_variable("AWS_ACCESS_KEY_ID", taken.access_key);
}

static int from_environment(struct s3_cred *ret)
{
	const char *id = key_variable("AWS_ACCESS_KEY_ID", taken.access_key);
	const char *secret = key_variable("AWS_SECRET_ACCESS_KEY", taken.secret_key);
	const char *token = key_variable("AWS_SESSION_TOKEN", taken.session_token);

	if (!secret)
		return err_note(-L3_DENIED,
				"AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
	ret->access_key = strdup(id);
	ret->secret_key = strdup(secret);
	ret->session_token = token ? strdup(token) : NULL;
	return ret->access_key && ret->secret_key && (!token || ret->session_token) ? 0 : -ENOMEM;
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
	struct s3_cred c = { 0 };
	int err = 0;

	if (!env("AWS_ACCESS_KEY_ID") || !env("AWS_SECRET_ACCESS_KEY"))
		return 0;
	err = s3_cred_load(NULL, &c);
	if (err < 0)
		return err;
	taken = c;
	clear_variable("AWS_ACCESS_KEY_ID");
	clear_variable("AWS_SECRET_ACCESS_KEY");
	clear_variable("AWS_SESSION_TOKEN");
	return 0;
}

/* These go into headers. */
static bool is_printable(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~')
			return false;
	return true;
}

static int check(const struct s3_cred *c)
{
	if (!c->access_key[0] || !c->secret_key[0])
		return err_note(-L3_DENIED, "the access key or the secret key is empty");
	if (!is_printable(c->access_key) || !is_printable(c->secret_key) ||
	    !is_printable(c->session_token))
		return err_note(-L3_DENIED, "the credentials contain blanks or control characters");
	return 0;
}

int s3_cred_load(const char *profile, struct s3_cred *ret)
{
	struct s3_cred c = { 0 };
	int err;

	if (!profile && has_environment())
		err = from_environment(&c);
	else
		err = from_profile(profile_name(profile), profile || env("AWS_PROFILE"), &c);
	if (err >= 0)
		err = check(&c);
	if (err < 0) {
		wipe(c.secret_key);
		wipe(c.session_token);
		wipe(c.access_key);
		return err;
	}
	err = protect(&c);
	if (err < 0)
		s3_cred_release(&c);
	else
		*ret = c;
	return err;
}

/* ---- other settings ---- */

/* The first variable that is set, else the profile's setting, else NULL. */
static int setting(const char *profile, const char *variable, const char *variable2,
		   const char *key, char **ret)
{
	const char *value = env(variable) ? env(variable) : variable2 ? env(variable2) : NULL;
	int err;

	if (value) {
		*ret = strdup(value);
		return *ret ? 0 : -ENOMEM;
	}
	err = profile_get(profile, key, ret);
	return err == -ENOENT || err == -L3_DENIED ? 0 : err; /* keys are missed elsewhere */
}

int s3_profile_load(const char *profile, struct s3_profile *ret)
{
	const char *name = profile_name(profile);
	struct s3_profile p = { 0 };
	int err;

	if (strlen(name) > PROFILE_MAX)
		return err_note(-L3_BAD_OPTION, "the profile's name is too long");
	err = setting(name, "AWS_REGION", "AWS_DEFAULT_REGION", "region", &p.region);
	if (err >= 0)
		err = setting(name, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "endpoint_url",
			      &p.endpoint);
	if (err >= 0)
		err = setting(name, "AWS_CA_BUNDLE", NULL, "ca_bundle", &p.ca_file);
	if (err < 0)
		s3_profile_release(&p);
	else
		*ret = p;
	return err;
}

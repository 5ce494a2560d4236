/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One exchange with a server that gives out keys, and the JSON of such answers (jansson). What an
 * answer passed through is overwritten: jansson's memory as it is freed, libcurl's by s3_http.c.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAID_MAX 600

/* ---- exchanges ---- */

/* A little of what a server said, as one printable line. It is an error's text: no keys in it. */
static void add_said(const struct s3_answer *a, struct buf *note)
{
	size_t n = a->body.len < SAID_MAX ? a->body.len : SAID_MAX;

	if (n)
		buf_add_str(note, ": ");
	for (size_t i = 0; i < n; i++) {
		char c = (char)a->body.data[i];

		buf_add(note, (unsigned char)c < ' ' || c == 0x7f ? " " : &c, 1);
	}
}

static int refused(const struct s3_fetch *f, const struct s3_answer *a)
{
	struct buf note CLEANUP(buf_release) = BUF_INIT;
	int err = a->status == 429 ? -L3_THROTTLED : a->status >= 500 ? -L3_SERVER : -L3_DENIED;

	buf_printf(&note, "%s (%.*s): HTTP %ld", f->who, (int)strcspn(f->url, "?"), f->url,
		   a->status);
	add_said(a, &note);
	return err_note(err, "%s", buf_cstr(&note));
}

int s3_fetch_run(struct s3_http *http, const struct s3_fetch *f, struct buf *ret_body,
		 long *ret_status)
{
	struct s3_answer answer CLEANUP(s3_answer_release) = { 0 };
	struct iovec v = { NULL, 0 };
	struct s3_exchange x = { .method = f->method,
				 .url = f->url,
				 .headers = f->headers,
				 .header_count = f->header_count,
				 .iov = &v,
				 .sink = ret_body,
				 .len = STORE_TO_END,
				 .direct = f->direct,
				 .secret = true,
				 .once = true };
	int err;

	if (f->body) {
		v = (struct iovec){ f->body->data, f->body->len };
		x.iovcnt = 1;
		x.body_bytes = f->body->len;
	}
	ret_body->limit = S3_TOKEN_MAX;
	err = buf_reserve(ret_body, S3_TOKEN_MAX / 2); /* growing would leave copies behind */
	if (err >= 0)
		err = s3_http_do(http, &x, &answer);
	if (ret_status)
		*ret_status = err < 0 ? 0 : answer.status;
	if (err < 0)
		return err_wrap(err, "%s (%.*s)", f->who, (int)strcspn(f->url, "?"), f->url);
	return answer.status >= 200 && answer.status < 300 ? 0 : refused(f, &answer);
}

/* ---- JSON ---- */

static pthread_once_t json_once = PTHREAD_ONCE_INIT;

static void set_up_json(void)
{
	json_set_alloc_funcs(malloc, s3_wipe_free);
}

static void free_json(json_t **j)
{
	json_decref(*j);
}

static json_t *parse(const struct buf *json)
{
	json_t *j;

	(void)pthread_once(&json_once, set_up_json);
	j = json_loadb((const char *)json->data, json->len, JSON_REJECT_DUPLICATES, NULL);
	if (j && json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

/* NULL if it is absent or no string. */
static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* A number: milliseconds since 1970 (SSO). */
static int64_t member_time(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	if (json_is_integer(v))
		return json_integer_value(v) / 1000;
	return json_is_string(v) ? s3_parse_time(json_string_value(v)) : 0;
}

static int bad_json(const char *who)
{
	return err_note(-L3_SERVER, "%s: the answer is not the JSON expected", who);
}

int s3_json_cred(const struct buf *json, const char *who, const struct s3_json_names *names,
		 struct s3_cred *ret)
{
	json_t *whole CLEANUP(free_json) = parse(json);
	const json_t *j = whole && names->inside ? json_object_get(whole, names->inside) : whole;
	const char *id = member(j, names->access_key), *secret = member(j, names->secret_key);
	const char *token = member(j, names->token), *code = member(j, "Code");
	const json_t *expires = json_object_get(j, names->expires);
	int64_t expires_s = member_time(j, names->expires);
	int err;

	if (!j)
		return bad_json(who);
	if (code && strcmp(code, "Success") != 0)
		return err_note(-L3_DENIED, "%s: %.100s", who, code);
	if (!id || !secret)
		return err_note(-L3_SERVER, "%s: the answer has no %s", who,
				id ? names->secret_key : names->access_key);
	if (expires && !json_is_null(expires) && expires_s <= 0)
		return err_note(-L3_SERVER, "%s: its %s is no time", who, names->expires);
	err = s3_cred_make(strdup(id), strdup(secret), token ? strdup(token) : NULL, expires_s,
			   ret);
	if (err < 0)
		return err_wrap(err, "%s", who);
	ret->is_remote = true;
	return 0;
}

int s3_json_string(const struct buf *json, const char *name, char **ret)
{
	json_t *j CLEANUP(free_json) = parse(json);
	const char *value = j ? member(j, name) : NULL;

	if (!j)
		return -L3_SERVER;
	if (!value)
		return -ENOENT;
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

bool s3_json_is_version_1(const struct buf *json)
{
	json_t *j CLEANUP(free_json) = parse(json);

	return j && json_integer_value(json_object_get(j, "Version")) == 1;
}

/* ---- times ---- */

/* What may follow the seconds: a fraction, then Z, UTC or an offset; how far ahead of UTC it is. */
static int64_t zone_s(const char *rest)
{
	int hours, minutes;

	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if ((*rest != '+' && *rest != '-') || sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2)
		return 0;
	return (*rest == '-' ? -60 : 60) * (hours * 60 + minutes);
}

int64_t s3_parse_time(const char *text)
{
	struct tm tm = { 0 };
	int used = 0;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return timegm(&tm) - zone_s(text + used);
}

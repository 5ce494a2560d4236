/* SPDX-License-Identifier: BSD-3-Clause */
/* One request to the bucket: its address and headers, signed with the keys of the moment. */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX (S3_CALL_HEADERS + 5)

/* ---- setting up ---- */

void s3_call_init(struct s3_call *c, struct s3 *s3, const char *what, const char *method,
		  const char *key)
{
	*c = (struct s3_call){
		.s3 = s3, .what = what, .about = key ? key : "", .key = key, .method = method
	};
}

void s3_call_release(struct s3_call *c)
{
	buf_release(&c->query);
	s3_answer_release(&c->answer);
}

void s3_call_header(struct s3_call *c, const char *name, const char *value)
{
	c->headers[c->header_count++] = (struct s3_header){ name, value };
}

void s3_call_query(struct s3_call *c, const char *name, const char *value)
{
	buf_printf(&c->query, "%s%s=", c->query.len ? "&" : "", name);
	s3_encode(&c->query, value, false);
}

/* ---- sending ---- */

struct dressed { /* what one sending needs besides the call */
	struct s3_header headers[HEADERS_MAX];
	size_t header_count;
	char date[S3_AMZ_DATE_LEN];
	struct buf path, url, authorization;
};

static void dressed_release(struct dressed *d)
{
	buf_release(&d->path);
	buf_release(&d->url);
	buf_release(&d->authorization);
}

static int set_address(struct s3_call *c, struct dressed *d)
{
	const struct s3_place *p = &c->s3->place;

	if (c->key && strlen(p->prefix) + strlen(c->key) > S3_KEY_MAX)
		return err_note(-EINVAL, "%s %s: prefix and key are longer than %d bytes together",
				c->what, c->about, S3_KEY_MAX);
	buf_printf(&d->path, "%s/", p->path);
	if (c->key) {
		s3_encode(&d->path, p->prefix, true);
		s3_encode(&d->path, c->key, true);
	}
	buf_printf(&d->url, "%s%s", p->base, buf_cstr(&d->path));
	if (c->query.len)
		buf_printf(&d->url, "?%s", buf_cstr(&c->query));
	(void)buf_cstr(&d->url);
	return buf_error(&d->path) < 0 || buf_error(&d->url) < 0 || buf_error(&c->query) < 0
		       ? -ENOMEM
		       : 0;
}

static void add(struct dressed *d, const char *name, const char *value)
{
	d->headers[d->header_count++] = (struct s3_header){ name, value };
}

static int sign(struct s3_call *c, struct dressed *d, const struct s3_cred *cred,
		const char *payload_sha256)
{
	struct s3_sign_request r = { .method = c->method,
				     .path = buf_cstr(&d->path),
				     .query = buf_cstr(&c->query),
				     .headers = d->headers,
				     .payload_sha256 = payload_sha256,
				     .amz_date = d->date,
				     .region = c->s3->place.region,
				     .service = "s3",
				     .cred = cred };
	int err;

	if (!cred) { /* anonymous */
		for (size_t i = 0; i < c->header_count; i++)
			add(d, c->headers[i].name, c->headers[i].value);
		return 0;
	}
	err = s3_amz_date(d->date);
	if (err < 0)
		return err;
	add(d, "host", c->s3->place.host);
	add(d, "x-amz-content-sha256", payload_sha256);
	add(d, "x-amz-date", d->date);
	if (cred->session_token)
		add(d, "x-amz-security-token", cred->session_token);
	for (size_t i = 0; i < c->header_count; i++)
		add(d, c->headers[i].name, c->headers[i].value);
	r.header_count = d->header_count;
	err = s3_sign(&r, &d->authorization);
	add(d, "authorization", buf_cstr(&d->authorization));
	return err < 0 ? err : buf_error(&d->authorization);
}

static int send(struct s3_call *c, const struct s3_cred *cred, const char *payload_sha256)
{
	struct dressed d CLEANUP(dressed_release) = { .path = BUF_INIT };
	struct s3_exchange x = { .method = c->method,
				 .iov = c->iov,
				 .iovcnt = c->iovcnt,
				 .sink = c->sink,
				 .offset = c->offset,
				 .len = c->len };
	int err = set_address(c, &d);

	if (err >= 0)
		err = sign(c, &d, cred, payload_sha256);
	if (err < 0)
		return err;
	for (int i = 0; i < c->iovcnt; i++)
		x.body_bytes += c->iov[i].iov_len;
	x.url = (const char *)d.url.data;
	x.headers = d.headers;
	x.header_count = d.header_count;
	err = s3_http_do(c->s3->http, &x, &c->answer);
	return err < 0 ? err_wrap(err, "%s %s", c->what, c->about) : 0;
}

static bool succeeded(const struct s3_call *c)
{
	return c->answer.status >= 200 && c->answer.status < 300;
}

/* Sends with the present credentials, and reads the <Error> if it is one. */
static int attempt(struct s3_call *c, const struct s3_cred *cred, const char *payload_sha256)
{
	int err;

	s3_answer_release(&c->answer);
	c->error = (struct s3_error){ 0 };
	err = send(c, cred, payload_sha256);
	if (err >= 0 && !succeeded(c) && c->answer.body.len)
		(void)s3_xml_error(c->answer.body.data, c->answer.body.len, &c->error);
	return err;
}

/* With the keys of the moment; and once more if these were refused, and there are others. */
static int run_signed(struct s3_call *c, const char *payload_sha256)
{
	struct s3_keyring *ring = c->s3->keyring;
	struct s3_keys *keys = s3_keyring_get(ring);
	int err = attempt(c, &keys->cred, payload_sha256);

	if (err >= 0 && !succeeded(c) && s3_error_is_about_keys(c) &&
	    s3_keyring_renew(ring, keys)) {
		s3_keys_put(keys);
		keys = s3_keyring_get(ring);
		err = attempt(c, &keys->cred, payload_sha256);
	}
	s3_keys_put(keys);
	return err;
}

int s3_call_run(struct s3_call *c)
{
	char payload_sha256[S3_SHA256_HEX_LEN];
	int err = s3_sha256_hex(c->iov, c->iovcnt, payload_sha256);

	if (err >= 0)
		err = c->s3->keyring ? run_signed(c, payload_sha256)
				     : attempt(c, NULL, payload_sha256);
	if (err < 0)
		return err;
	return succeeded(c) ? 0 : s3_error_judge(c);
}

int s3_call_failed(struct s3_call *c, int err)
{
	if (c->error.code[0])
		return s3_error_judge(c);
	return err_wrap(err, "%s %s: HTTP %ld", c->what, c->about, c->answer.status);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* One request to the bucket: its address and headers, signed with the keys of the moment. */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(store_request_id) == sizeof(((struct s3_answer *)0)->request_id), "one size");

#define HEADERS_MAX (S3_CALL_HEADERS + S3_EXTRA_HEADERS + 5)

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
	const struct s3_place *p = c->place;

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
				     .region = c->place->region,
				     .service = "s3",
				     .cred = cred };
	int err;

	for (size_t i = 0; i < c->header_count; i++)
		add(d, c->headers[i].name, c->headers[i].value);
	d->header_count += s3_extra_headers(&c->s3->extra, c->kind, &d->headers[d->header_count]);
	if (!cred) /* anonymous */
		return 0;
	err = s3_amz_date(d->date);
	if (err < 0)
		return err;
	add(d, "host", c->place->host);
	add(d, "x-amz-content-sha256", payload_sha256);
	add(d, "x-amz-date", d->date);
	if (cred->session_token)
		add(d, "x-amz-security-token", cred->session_token);
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
				 .len = c->len,
				 .secret = c->s3->extra.customer_key ||
					   (cred && cred->session_token) };
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

/* How conditions are put, before the first has been tried. */
static void learn_form(struct s3 *s3, const char *request_id)
{
	const struct s3_known *k;

	if (__atomic_load_n(&s3->match, __ATOMIC_RELAXED) != S3_MATCH_UNKNOWN || !request_id[0])
		return;
	k = s3_known_id(request_id);
	__atomic_store_n(&s3->match, k && k->bare_match ? S3_MATCH_BARE : S3_MATCH_QUOTED,
			 __ATOMIC_RELAXED);
}

/* Sends with the present credentials, and reads the <Error> if it is one. */
static int attempt(struct s3_call *c, const struct s3_cred *cred, const char *payload_sha256)
{
	int err;

	s3_answer_release(&c->answer);
	c->error = (struct s3_error){ 0 };
	c->place = s3_place_of(c->s3);
	err = send(c, cred, payload_sha256);
	memcpy(store_request_id, c->answer.request_id, sizeof(store_request_id));
	if (err >= 0)
		learn_form(c->s3, c->answer.request_id);
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

static int run(struct s3_call *c, const char *payload_sha256)
{
	return c->s3->keyring ? run_signed(c, payload_sha256) : attempt(c, NULL, payload_sha256);
}

/* Where the server says that the bucket is in another region than the one taken for granted: true if
 * requests go there from now on. */
static bool follow(struct s3_call *c)
{
	struct s3 *s3 = c->s3;
	const char *region = s3_error_other_region(c);
	const struct s3_profile none = { 0 };
	struct store_config where = s3->where;
	struct s3_place *place;
	bool ok;

	if (!region || s3->region_given)
		return false;
	where.region = region;
	pthread_mutex_lock(&s3->place_lock);
	ok = s3->place != c->place; /* somebody was quicker */
	if (!ok && s3->place_count < S3_REGIONS_MAX) {
		place = &s3->places[s3->place_count];
		ok = s3_place_parse(s3->store.url, &where, &none, place) >= 0;
		if (ok) {
			s3->place_count++;
			__atomic_store_n(&s3->place, place, __ATOMIC_RELEASE);
		}
	}
	pthread_mutex_unlock(&s3->place_lock);
	return ok;
}

int s3_call_run(struct s3_call *c)
{
	char payload_sha256[S3_SHA256_HEX_LEN];
	int err = s3_sha256_hex(c->iov, c->iovcnt, payload_sha256);

	if (err >= 0)
		err = run(c, payload_sha256);
	if (err >= 0 && !succeeded(c) && follow(c))
		err = run(c, payload_sha256);
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

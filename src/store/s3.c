/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * s3: a bucket. Each operation builds a signed request, has it exchanged (s3_http.c), and judges the answer
 * (`judge`). No retries: they are a
 * wrapper's; but keys that the server calls unknown or expired are read again once.
 *
 * If-Match: AWS takes the ETag in quotes, RADOS Gateway only bare. Quoted is tried first; on 412 the object's
 * ETag is looked at, and if it does match, the bare form is tried and, if right, remembered.
 */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_MULTIPART ((uint64_t)64 << 20)
#define PART_BYTES ((uint64_t)16 << 20)
#define HEADERS_MOST 16

struct s3 {
	struct store store;
	struct s3_place place;
	struct s3_http *http;
	char *profile;
	pthread_mutex_t lock; /* cred */
	struct s3_cred cred;
	bool bare_etag; /* atomic */
	uint64_t multipart_bytes;
};

/* ---- one request --------------------------------------------------------------------------------------- */

struct request {
	const char *what; /* "GET", for messages */
	const char *method;
	const char *key; /* relative; NULL: the bucket */
	const char *query; /* encoded; NULL */
	struct s3_header extra[6]; /* signed and sent */
	size_t extra_count;
	const struct iovec *iov;
	int iovcnt;
	struct buf *sink;
	uint64_t sink_limit;
};

static void add_header(struct request *r, const char *name, const char *value)
{
	if (r->extra_count < ARRAY_LEN(r->extra))
		r->extra[r->extra_count++] = (struct s3_header){ name, value };
}

static uint64_t iov_bytes(const struct iovec *iov, int iovcnt)
{
	uint64_t n = 0;

	for (int i = 0; i < iovcnt; i++)
		n += iov[i].iov_len;
	return n;
}

static void amz_date(char out[32])
{
	time_t now = time(NULL);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(out, 32, "%Y%m%dT%H%M%SZ", &tm);
}

static void object_path(const struct s3 *s, const char *key, struct buf *out)
{
	buf_add_str(out, s->place.path);
	buf_add(out, "/", 1);
	if (key) {
		s3_encode(out, s->place.prefix, true);
		s3_encode(out, key, true);
	}
}

/* A copy, so that signing does not hold the lock. */
static int copy_cred(struct s3 *s, struct s3_cred *ret)
{
	int err = 0;

	*ret = (struct s3_cred){ 0 };
	pthread_mutex_lock(&s->lock);
	if (!s->cred.access_key)
		err = s3_cred_load(s->profile, &s->cred);
	if (err >= 0) {
		ret->access_key = strdup(s->cred.access_key);
		ret->secret_key = strdup(s->cred.secret_key);
		ret->session_token = s->cred.session_token ? strdup(s->cred.session_token) : NULL;
		if (!ret->access_key || !ret->secret_key || (s->cred.session_token && !ret->session_token))
			err = -ENOMEM;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* Reads the keys again; true if they are others now. */
static bool reload_cred(struct s3 *s)
{
	struct s3_cred fresh;
	bool changed = false;

	if (s3_cred_load(s->profile, &fresh) < 0)
		return false;
	pthread_mutex_lock(&s->lock);
	if (!s->cred.access_key || strcmp(fresh.access_key, s->cred.access_key) != 0 ||
	    strcmp(fresh.secret_key, s->cred.secret_key) != 0 ||
	    strcmp(fresh.session_token ? fresh.session_token : "",
		   s->cred.session_token ? s->cred.session_token : "") != 0) {
		struct s3_cred old = s->cred;

		s->cred = fresh;
		fresh = old;
		changed = true;
	}
	pthread_mutex_unlock(&s->lock);
	s3_cred_release(&fresh);
	return changed;
}

static int sign_and_send(struct s3 *s, const struct request *r, const struct s3_cred *cred,
			 struct s3_answer *answer)
{
	struct buf path CLEANUP(buf_release) = BUF_INIT, url CLEANUP(buf_release) = BUF_INIT;
	struct buf authorization CLEANUP(buf_release) = BUF_INIT;
	struct s3_header headers[HEADERS_MOST];
	char date[32], hash[SHA256_HEX_LEN];
	size_t n = 0;
	int err;

	amz_date(date);
	s3_sha256_hex(r->iov, r->iovcnt, hash);
	object_path(s, r->key, &path);
	buf_printf(&url, "%s%s%s%s", s->place.base, buf_cstr(&path), r->query ? "?" : "",
		   r->query ? r->query : "");
	headers[n++] = (struct s3_header){ "host", s->place.host };
	headers[n++] = (struct s3_header){ "x-amz-content-sha256", hash };
	headers[n++] = (struct s3_header){ "x-amz-date", date };
	if (cred->session_token)
		headers[n++] = (struct s3_header){ "x-amz-security-token", cred->session_token };
	for (size_t i = 0; i < r->extra_count; i++)
		headers[n++] = r->extra[i];
	err = s3_sign(&(struct s3_request_sign){ .method = r->method, .path = buf_cstr(&path),
						 .query = r->query, .headers = headers,
						 .header_count = n, .payload_sha256 = hash,
						 .amz_date = date, .region = s->place.region,
						 .service = "s3", .cred = cred },
		      &authorization);
	if (err < 0 || buf_error(&url) < 0)
		return -ENOMEM;
	headers[n++] = (struct s3_header){ "authorization", buf_cstr(&authorization) };
	return s3_http_do(s->http,
			  &(struct s3_exchange){ .method = r->method, .url = buf_cstr(&url),
						 .headers = headers, .header_count = n, .iov = r->iov,
						 .iovcnt = r->iovcnt,
						 .body_bytes = iov_bytes(r->iov, r->iovcnt),
						 .sink = r->sink, .body_limit = r->sink_limit },
			  answer);
}

/* ---- what answers mean ----------------------------------------------------------------------------------- */

static const struct meaning {
	const char *code; /* S3's error code */
	int err;
	const char *advice;
} meanings[] = {
	{ "NoSuchKey", -ENOENT, NULL },
	{ "NoSuchUpload", -ENOENT, NULL },
	{ "NoSuchBucket", -L3_NO_BUCKET, "the bucket does not exist at this endpoint" },
	{ "InvalidBucketName", -L3_BAD_OPTION, "the server does not accept that bucket name" },
	{ "PreconditionFailed", -L3_PRECONDITION, NULL },
	{ "ConditionalRequestConflict", -L3_SERVER, NULL },
	{ "OperationAborted", -L3_SERVER, NULL },
	{ "InvalidAccessKeyId", -L3_DENIED, "the server does not know this access key" },
	{ "SignatureDoesNotMatch", -L3_DENIED,
	  "the secret key is wrong (or a proxy changes requests, or the region is another)" },
	{ "ExpiredToken", -L3_DENIED, "the session token has expired" },
	{ "InvalidToken", -L3_DENIED, "the session token is wrong" },
	{ "TokenRefreshRequired", -L3_DENIED, "the session token has expired" },
	{ "AccessDenied", -L3_DENIED, "these credentials have no right to do that in this bucket" },
	{ "AllAccessDisabled", -L3_DENIED, "the bucket is disabled" },
	{ "RequestTimeTooSkewed", -L3_CLOCK_SKEW, "set this machine's clock (NTP)" },
	{ "AuthorizationHeaderMalformed", -L3_WRONG_REGION, "set region=" },
	{ "PermanentRedirect", -L3_WRONG_REGION, "set region= or endpoint= to where the bucket is" },
	{ "TemporaryRedirect", -L3_WRONG_REGION, "set region= or endpoint= to where the bucket is" },
	{ "IllegalLocationConstraintException", -L3_WRONG_REGION, "set region=" },
	{ "SlowDown", -L3_THROTTLED, NULL },
	{ "ServiceUnavailable", -L3_THROTTLED, NULL },
	{ "RequestLimitExceeded", -L3_THROTTLED, NULL },
	{ "Throttling", -L3_THROTTLED, NULL },
	{ "RequestTimeout", -L3_SERVER, NULL },
	{ "BadDigest", -L3_SERVER, "the body was damaged on its way" },
	{ "XAmzContentSHA256Mismatch", -L3_SERVER, "the body was damaged on its way" },
	{ "IncompleteBody", -L3_SERVER, NULL },
	{ "QuotaExceeded", -ENOSPC, "the bucket or user quota is used up" },
	{ "EntityTooLarge", -EFBIG, NULL },
	{ "NotImplemented", -EOPNOTSUPP, NULL },
};

static int meaning_of_status(long status)
{
	switch (status) {
	case 301:
	case 307:
	case 308:
		return -L3_WRONG_REGION;
	case 400:
		return -EINVAL;
	case 401:
	case 403:
		return -L3_DENIED;
	case 404:
		return -ENOENT;
	case 408:
	case 409:
		return -L3_SERVER;
	case 412:
		return -L3_PRECONDITION;
	case 429:
	case 503:
		return -L3_THROTTLED;
	case 416:
		return -ERANGE;
	case 507:
		return -ENOSPC;
	default:
		return -L3_SERVER;
	}
}

static void http_date(int64_t when, char *out, size_t cap)
{
	time_t t = (time_t)when;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(out, cap, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

/* The note: operation, object, status, S3's code and words, advice, request id. */
static int explain(struct s3 *s, const struct request *r, const struct s3_answer *a, int err,
		   const struct s3_error *e, const char *advice)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;
	const char *region = e->region[0] ? e->region : a->region;
	const char *id = a->request_id[0] ? a->request_id : e->request_id;
	char ours[40], theirs[40];

	buf_printf(&text, "%s s3://%s/%s%s: HTTP %ld", r->what, s->place.bucket, s->place.prefix,
		   r->key ? r->key : "", a->status);
	if (e->code[0])
		buf_printf(&text, " %s", e->code);
	if (e->message[0])
		buf_printf(&text, " (%s)", e->message);
	if (advice)
		buf_printf(&text, ": %s", advice);
	if (err == -L3_WRONG_REGION && region[0])
		buf_printf(&text, "; the server says it is %s, we used %s", region, s->place.region);
	if (err == -L3_CLOCK_SKEW && a->date_s) {
		http_date(time(NULL), ours, sizeof(ours));
		http_date(a->date_s, theirs, sizeof(theirs));
		buf_printf(&text, "; here it is %s, there %s", ours, theirs);
	}
	if (id[0])
		buf_printf(&text, " [request %s]", id);
	return err_note(err, "%s", buf_cstr(&text));
}

/* A 2xx is 0; everything else becomes a code with a note. */
static int judge(struct s3 *s, const struct request *r, const struct s3_answer *a, struct s3_error *ret_error)
{
	struct s3_error e = { 0 };
	const char *advice = NULL;
	int err;

	if (a->status >= 200 && a->status < 300)
		return 0;
	err = meaning_of_status(a->status);
	if (s3_xml_error(a->body.data, a->body.len, &e))
		for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
			if (strcmp(meanings[i].code, e.code) == 0) {
				err = meanings[i].err;
				advice = meanings[i].advice;
			}
	/* A HEAD's answer has no body to say what is missing; the bucket was there when we mounted. */
	if (ret_error)
		*ret_error = e;
	return explain(s, r, a, err, &e, advice);
}

static bool keys_may_be_stale(const struct s3_error *e, int err)
{
	static const char *const codes[] = { "InvalidAccessKeyId", "ExpiredToken", "InvalidToken",
					     "TokenRefreshRequired", "SignatureDoesNotMatch" };

	if (err != -L3_DENIED)
		return false;
	if (!e->code[0])
		return true; /* HEAD */
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(codes[i], e->code) == 0)
			return true;
	return false;
}

/* Sends, judges. The answer must be released in any case. */
static int perform(struct s3 *s, const struct request *r, struct s3_answer *answer)
{
	for (int tries = 0;; tries++) {
		struct s3_cred cred;
		struct s3_error e = { 0 };
		int err = copy_cred(s, &cred);

		*answer = (struct s3_answer){ .content_length = -1 };
		if (err >= 0) {
			err = sign_and_send(s, r, &cred, answer);
			if (err < 0)
				err = err_wrap(err, "%s s3://%s/%s%s at %s", r->what, s->place.bucket,
					       s->place.prefix, r->key ? r->key : "", s->place.base);
			else
				err = judge(s, r, answer, &e);
		}
		s3_cred_release(&cred);
		if (tries > 0 || !keys_may_be_stale(&e, err) || !reload_cred(s))
			return err;
		s3_answer_release(answer);
	}
}

static void fill_meta(const struct s3_answer *a, uint64_t size, struct store_meta *ret)
{
	if (!ret)
		return;
	*ret = (struct store_meta){ .size_bytes = size, .mtime_s = a->mtime_s ? a->mtime_s : a->date_s };
	memcpy(ret->etag, a->etag, sizeof(ret->etag));
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* "bytes 0-99/1234" → first and size of the whole object. */
static bool parse_range(const char *text, uint64_t *ret_first, uint64_t *ret_total)
{
	unsigned long long first, last, total;

	if (sscanf(text, "bytes %llu-%llu/%llu", &first, &last, &total) != 3 || last < first || last >= total)
		return false;
	*ret_first = first;
	*ret_total = total;
	return true;
}

/* What came must be what was asked for, and whole. */
static int check_got(const struct request *r, const struct s3_answer *a, uint64_t offset, uint64_t len,
		     bool ranged, size_t got, uint64_t *ret_total)
{
	uint64_t first = 0, total = got, want;

	if (ranged && a->status == 206) {
		if (!parse_range(a->content_range, &first, &total) || first != offset)
			return err_note(-L3_SERVER, "GET %s: the server answered with another range (%s)", r->key,
					a->content_range);
	} else if (ranged) {
		return err_note(-L3_SERVER, "GET %s: the server ignores Range", r->key);
	}
	want = offset < total ? min_u64(len, total - offset) : 0;
	if (got != want)
		return err_note(-L3_UNREACHABLE, "GET %s: %zu bytes came of %llu", r->key, got,
				(unsigned long long)want);
	*ret_total = total;
	return 0;
}

static int s3_head(struct store *store, const char *key, struct store_meta *ret_meta);

static int s3_get(struct store *store, const char *key, uint64_t offset, uint64_t len, struct buf *out,
		  struct store_meta *ret_meta)
{
	struct s3 *s = (struct s3 *)store;
	struct request r = { .what = "GET", .method = "GET", .key = key, .sink = out };
	bool ranged = offset > 0 || len != STORE_TO_END;
	size_t before = out->len;
	struct s3_answer a;
	uint64_t total;
	char range[64];
	int err;

	if (len == 0)
		return ret_meta ? s3_head(store, key, ret_meta) : 0;
	if (len == STORE_TO_END)
		(void)snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)offset);
	else
		(void)snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)offset,
			       (unsigned long long)(offset + len - 1));
	if (ranged)
		add_header(&r, "range", range);
	r.sink_limit = len == STORE_TO_END ? BUF_LIMIT : len;
	err = perform(s, &r, &a);
	if (err >= 0)
		err = check_got(&r, &a, offset, len, ranged, out->len - before, &total);
	if (err >= 0)
		fill_meta(&a, total, ret_meta);
	else
		out->len = before;
	if (err == -ERANGE) /* at or past the end */
		err = ret_meta ? s3_head(store, key, ret_meta) : 0;
	s3_answer_release(&a);
	return err;
}

static int s3_head(struct store *store, const char *key, struct store_meta *ret_meta)
{
	struct request r = { .what = "HEAD", .method = "HEAD", .key = key };
	struct s3_answer a;
	int err = perform((struct s3 *)store, &r, &a);

	if (err >= 0 && a.content_length < 0)
		err = err_note(-L3_SERVER, "HEAD %s: the server gives no length", key);
	if (err >= 0)
		fill_meta(&a, (uint64_t)a.content_length, ret_meta);
	s3_answer_release(&a);
	return err;
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

static int put_once(struct s3 *s, const struct store_put *put, bool bare, struct s3_answer *a)
{
	struct request r = { .what = "PUT", .method = "PUT", .key = put->key, .iov = put->iov,
			     .iovcnt = put->iovcnt };
	char match[STORE_ETAG_MAX + 2];

	if (put->cond == STORE_CREATE)
		add_header(&r, "if-none-match", "*");
	if (put->cond == STORE_MATCH) {
		(void)snprintf(match, sizeof(match), bare ? "%s" : "\"%s\"", put->match_etag);
		add_header(&r, "if-match", match);
	}
	return perform(s, &r, a);
}

/* After 412 to a quoted ETag: does the object have it all the same? */
static bool etag_is_right(struct store *store, const struct store_put *put)
{
	struct store_meta meta;

	return s3_head(store, put->key, &meta) >= 0 && strcmp(meta.etag, put->match_etag) == 0;
}

static int put_single(struct store *store, const struct store_put *put, struct store_meta *ret_meta)
{
	struct s3 *s = (struct s3 *)store;
	bool bare = __atomic_load_n(&s->bare_etag, __ATOMIC_RELAXED);
	struct s3_answer a;
	int err = put_once(s, put, bare, &a);

	if (err == -L3_PRECONDITION && put->cond == STORE_MATCH && !bare && etag_is_right(store, put)) {
		s3_answer_release(&a);
		err = put_once(s, put, true, &a);
		if (err >= 0)
			__atomic_store_n(&s->bare_etag, true, __ATOMIC_RELAXED);
	}
	/* Some servers say 404 for if-match on what does not exist. */
	if (err == -ENOENT && put->cond == STORE_MATCH)
		err = err_note(-L3_PRECONDITION, "PUT %s: does not exist", put->key);
	if (err >= 0)
		fill_meta(&a, store_put_size(put), ret_meta);
	s3_answer_release(&a);
	return err;
}

/* ---- multipart ------------------------------------------------------------------------------------------- */

static int start_upload(struct s3 *s, const char *key, char **ret_id)
{
	struct request r = { .what = "POST uploads", .method = "POST", .key = key, .query = "uploads=" };
	struct s3_answer a;
	int err = perform(s, &r, &a);

	if (err >= 0)
		err = s3_xml_upload_id(a.body.data, a.body.len, ret_id);
	s3_answer_release(&a);
	return err;
}

/* The iovecs that make up [offset, offset + len) of put, at most `cap`. */
static int slice(const struct store_put *put, uint64_t offset, uint64_t len, struct iovec *out, int cap)
{
	int n = 0;

	for (int i = 0; i < put->iovcnt && len > 0; i++) {
		uint64_t have = put->iov[i].iov_len, take;

		if (offset >= have) {
			offset -= have;
			continue;
		}
		take = min_u64(have - offset, len);
		if (n == cap)
			return -E2BIG;
		out[n++] = (struct iovec){ (char *)put->iov[i].iov_base + offset, (size_t)take };
		len -= take;
		offset = 0;
	}
	return n;
}

static int upload_part(struct s3 *s, const struct store_put *put, const char *id, unsigned number,
		       struct buf *list)
{
	struct buf query CLEANUP(buf_release) = BUF_INIT;
	struct request r = { .what = "PUT part", .method = "PUT", .key = put->key };
	struct iovec *iov CLEANUP(free_ptr) = malloc(((size_t)put->iovcnt + 1) * sizeof(*iov));
	uint64_t offset = (number - 1) * PART_BYTES;
	struct s3_answer a;
	int err;

	if (!iov)
		return -ENOMEM;
	r.iovcnt = slice(put, offset, PART_BYTES, iov, put->iovcnt + 1);
	r.iov = iov;
	buf_printf(&query, "partNumber=%u&uploadId=", number);
	s3_encode(&query, id, false);
	r.query = buf_cstr(&query);
	err = perform(s, &r, &a);
	if (err >= 0 && !a.etag[0])
		err = err_note(-L3_SERVER, "PUT part %u of %s: no ETag in the answer", number, put->key);
	if (err >= 0)
		buf_printf(list, "<Part><PartNumber>%u</PartNumber><ETag>\"%s\"</ETag></Part>", number, a.etag);
	s3_answer_release(&a);
	return err;
}

static int end_upload(struct s3 *s, const char *key, const char *id, const struct buf *body)
{
	struct buf query CLEANUP(buf_release) = BUF_INIT;
	struct request r = { .what = body ? "POST complete" : "DELETE upload",
			     .method = body ? "POST" : "DELETE", .key = key };
	struct iovec v = { body ? body->data : NULL, body ? body->len : 0 };
	struct s3_error e;
	struct s3_answer a;
	int err;

	buf_add_str(&query, "uploadId=");
	s3_encode(&query, id, false);
	r.query = buf_cstr(&query);
	r.iov = &v;
	r.iovcnt = body ? 1 : 0;
	err = perform(s, &r, &a);
	if (err >= 0 && body) /* an error may come with status 200 */
		err = s3_xml_copy(a.body.data, a.body.len, &e);
	s3_answer_release(&a);
	return err;
}

static int put_multipart(struct store *store, const struct store_put *put, struct store_meta *ret_meta)
{
	struct s3 *s = (struct s3 *)store;
	struct buf body CLEANUP(buf_release) = BUF_INIT;
	char *id CLEANUP(free_ptr) = NULL;
	uint64_t size = store_put_size(put);
	int err = start_upload(s, put->key, &id);

	if (err < 0)
		return err;
	buf_add_str(&body, "<CompleteMultipartUpload>");
	for (unsigned n = 1; (n - 1) * PART_BYTES < size && err >= 0; n++)
		err = upload_part(s, put, id, n, &body);
	buf_add_str(&body, "</CompleteMultipartUpload>");
	if (err >= 0)
		err = buf_error(&body) < 0 ? -ENOMEM : end_upload(s, put->key, id, &body);
	if (err < 0) {
		struct buf note CLEANUP(buf_release) = BUF_INIT;

		buf_add_str(&note, err_last_note());
		(void)end_upload(s, put->key, id, NULL);
		return err_note(err, "%s", buf_cstr(&note));
	}
	/* The ETag in the answer may be empty, or not the object's. */
	return ret_meta ? s3_head(store, put->key, ret_meta) : 0;
}

static int s3_put(struct store *store, const struct store_put *put, struct store_meta *ret_meta)
{
	if (put->cond == STORE_ALWAYS && store_put_size(put) > ((struct s3 *)store)->multipart_bytes)
		return put_multipart(store, put, ret_meta);
	return put_single(store, put, ret_meta);
}

static int s3_copy(struct store *store, const char *from, const char *to)
{
	struct s3 *s = (struct s3 *)store;
	struct buf source CLEANUP(buf_release) = BUF_INIT;
	struct request r = { .what = "COPY", .method = "PUT", .key = to };
	struct s3_error e;
	struct s3_answer a;
	int err;

	buf_printf(&source, "/%s/", s->place.bucket);
	s3_encode(&source, s->place.prefix, true);
	s3_encode(&source, from, true);
	add_header(&r, "x-amz-copy-source", buf_cstr(&source));
	if (strcmp(from, to) == 0)
		add_header(&r, "x-amz-metadata-directive", "REPLACE");
	err = perform(s, &r, &a);
	if (err >= 0) {
		err = s3_xml_copy(a.body.data, a.body.len, &e);
		if (err < 0)
			err = err_wrap(err, "COPY %s to %s", from, to);
	}
	s3_answer_release(&a);
	return err;
}

/* ---- deleting ---------------------------------------------------------------------------------------------- */

static int s3_remove(struct store *store, const char *key)
{
	struct request r = { .what = "DELETE", .method = "DELETE", .key = key };
	struct s3_answer a;
	int err = perform((struct s3 *)store, &r, &a);

	s3_answer_release(&a);
	return err == -ENOENT ? 0 : err;
}

static void add_xml_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			buf_add_str(out, "&amp;");
			break;
		case '<':
			buf_add_str(out, "&lt;");
			break;
		case '>':
			buf_add_str(out, "&gt;");
			break;
		case '\r':
			buf_add_str(out, "&#13;");
			break;
		default:
			buf_add(out, text, 1);
		}
	}
}

static int s3_remove_many(struct store *store, const char *const *keys, size_t count)
{
	struct s3 *s = (struct s3 *)store;
	struct buf body CLEANUP(buf_release) = BUF_INIT;
	struct request r = { .what = "POST delete", .method = "POST", .query = "delete=", .iovcnt = 1 };
	char md5[32], key[STORE_KEY_MAX + 1];
	struct iovec v;
	struct s3_error e;
	struct s3_answer a;
	int err;

	buf_add_str(&body, "<Delete><Quiet>true</Quiet>");
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&body, "<Object><Key>");
		add_xml_text(&body, s->place.prefix);
		add_xml_text(&body, keys[i]);
		buf_add_str(&body, "</Key></Object>");
	}
	buf_add_str(&body, "</Delete>");
	if (buf_error(&body) < 0)
		return -ENOMEM;
	v = (struct iovec){ body.data, body.len };
	r.iov = &v;
	s3_base64_md5(body.data, body.len, md5);
	add_header(&r, "content-md5", md5);
	err = perform(s, &r, &a);
	if (err >= 0) {
		err = s3_xml_delete(a.body.data, a.body.len, &e, key);
		if (err < 0)
			err = err_wrap(strcmp(e.code, "AccessDenied") == 0 ? -L3_DENIED : err, "DELETE %s", key);
	}
	s3_answer_release(&a);
	return err;
}

/* ---- listing ------------------------------------------------------------------------------------------------ */

static int s3_list(struct store *store, const char *prefix, const char *start_after, unsigned max,
		   struct store_list *out)
{
	struct s3 *s = (struct s3 *)store;
	struct buf query CLEANUP(buf_release) = BUF_INIT;
	struct request r = { .what = "LIST", .method = "GET" };
	char *token CLEANUP(free_ptr) = NULL;
	struct s3_answer a;
	int err;

	buf_add_str(&query, "encoding-type=url&list-type=2");
	if (max > 0 && max < 1000)
		buf_printf(&query, "&max-keys=%u", max);
	buf_add_str(&query, "&prefix=");
	s3_encode(&query, s->place.prefix, false);
	s3_encode(&query, prefix, false);
	if (*start_after) {
		buf_add_str(&query, "&start-after=");
		s3_encode(&query, s->place.prefix, false);
		s3_encode(&query, start_after, false);
	}
	if (buf_error(&query) < 0)
		return -ENOMEM;
	r.query = buf_cstr(&query);
	err = perform(s, &r, &a);
	if (err >= 0)
		err = s3_xml_list(a.body.data, a.body.len, s->place.prefix, out, &token);
	if (err == -ENOENT) /* LIST knows no missing key: it is the bucket */
		err = err_note(-L3_NO_BUCKET, "%s", err_last_note());
	s3_answer_release(&a);
	return err;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

static void s3_cancel(struct store *store)
{
	s3_http_cancel(((struct s3 *)store)->http);
}

static void s3_destroy(struct store *store)
{
	struct s3 *s = (struct s3 *)store;

	s3_http_free(s->http);
	s3_place_release(&s->place);
	s3_cred_release(&s->cred);
	free(s->profile);
	pthread_mutex_destroy(&s->lock);
	store_fini(store);
	free(s);
}

static const struct store_ops s3_ops = {
	.name = "s3",
	.get = s3_get,
	.put = s3_put,
	.head = s3_head,
	.list = s3_list,
	.copy = s3_copy,
	.remove = s3_remove,
	.remove_many = s3_remove_many,
	.cancel = s3_cancel,
	.destroy = s3_destroy,
};

static int set_up(struct s3 *s, const char *url, const struct store_config *config)
{
	struct s3_profile profile = { 0 };
	int err = s3_profile_load(config->profile, &profile);

	if (err >= 0)
		err = s3_place_parse(url, config, &profile, &s->place);
	s3_profile_release(&profile);
	if (err >= 0 && config->profile && !(s->profile = strdup(config->profile)))
		err = -ENOMEM;
	if (err >= 0)
		err = s3_cred_load(config->profile, &s->cred);
	if (err >= 0)
		err = s3_http_new(config, &s->http);
	return err;
}

int store_s3_open(const char *url, const struct store_config *config, struct store **ret)
{
	struct s3 *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->multipart_bytes = config->multipart_bytes ? config->multipart_bytes : DEFAULT_MULTIPART;
	err = store_init(&s->store, &s3_ops, url);
	if (err >= 0)
		err = set_up(s, url, config);
	if (err < 0) {
		s3_destroy(&s->store);
		return err;
	}
	*ret = &s->store;
	return 0;
}

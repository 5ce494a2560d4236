/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One HTTP exchange at a time on one of a bounded number of libcurl handles, whose connections are kept
 * alive. A handle belongs to one thread from take to give; waiting for a free one can be cancelled.
 *
 * Time-outs: connecting; a transfer during which no byte moves for the stall time. There is no limit on a
 * transfer that moves: large objects on slow lines take their time.
 */
#include "store/s3.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_CONNECTIONS 32
#define DEFAULT_CONNECT_MS 10000
#define DEFAULT_STALL_MS 30000
#define ANSWER_BODY_MAX S3_XML_MAX
#define HEADERS_MAX (128 * 1024)

struct handle {
	CURL *curl;
	struct handle *next;
};

struct s3_http {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct handle *idle;
	unsigned made, max;
	bool cancelled; /* atomic */
	CURLSH *share;	/* names resolved and TLS sessions, for all handles */
	pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST];
	uint64_t connect_ms, stall_ms;
	char *ca_file;
	bool no_verify;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void share_lock(CURL *curl, curl_lock_data data, curl_lock_access access, void *ctx)
{
	pthread_mutex_lock(&((struct s3_http *)ctx)->share_locks[data]);
}

static void share_unlock(CURL *curl, curl_lock_data data, void *ctx)
{
	pthread_mutex_unlock(&((struct s3_http *)ctx)->share_locks[data]);
}

int s3_http_new(const struct store_config *config, struct s3_http **ret)
{
	struct s3_http *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	(void)pthread_once(&curl_once, init_curl);
	pthread_mutex_init(&h->lock, NULL);
	cond_init(&h->freed);
	for (size_t i = 0; i < ARRAY_LEN(h->share_locks); i++)
		pthread_mutex_init(&h->share_locks[i], NULL);
	h->max = config->connections ? config->connections : DEFAULT_CONNECTIONS;
	h->connect_ms = config->connect_timeout_ms ? config->connect_timeout_ms : DEFAULT_CONNECT_MS;
	h->stall_ms = config->timeout_ms ? config->timeout_ms : DEFAULT_STALL_MS;
	h->no_verify = config->no_verify;
	h->ca_file = config->ca_file ? strdup(config->ca_file) : NULL;
	h->share = curl_share_init();
	if (!h->share || (config->ca_file && !h->ca_file)) {
		s3_http_free(h);
		return -ENOMEM;
	}
	(void)curl_share_setopt(h->share, CURLSHOPT_LOCKFUNC, share_lock);
	(void)curl_share_setopt(h->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
	(void)curl_share_setopt(h->share, CURLSHOPT_USERDATA, h);
	(void)curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	(void)curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	*ret = h;
	return 0;
}

void s3_http_free(struct s3_http *h)
{
	if (!h)
		return;
	while (h->idle) {
		struct handle *one = h->idle;

		h->idle = one->next;
		curl_easy_cleanup(one->curl);
		free(one);
	}
	if (h->share)
		(void)curl_share_cleanup(h->share);
	for (size_t i = 0; i < ARRAY_LEN(h->share_locks); i++)
		pthread_mutex_destroy(&h->share_locks[i]);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->freed);
	free(h->ca_file);
	free(h);
}

void s3_http_cancel(struct s3_http *h)
{
	pthread_mutex_lock(&h->lock);
	__atomic_store_n(&h->cancelled, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&h->freed);
	pthread_mutex_unlock(&h->lock);
}

static bool is_cancelled(struct s3_http *h)
{
	return __atomic_load_n(&h->cancelled, __ATOMIC_ACQUIRE);
}

static struct handle *make_handle(void)
{
	struct handle *one = calloc(1, sizeof(*one));

	if (one && !(one->curl = curl_easy_init())) {
		free(one);
		one = NULL;
	}
	return one;
}

/* NULL with errno ECANCELED or ENOMEM. */
static struct handle *take_handle(struct s3_http *h)
{
	struct handle *one = NULL;
	bool make = false;

	pthread_mutex_lock(&h->lock);
	while (!h->idle && h->made >= h->max && !is_cancelled(h))
		pthread_cond_wait(&h->freed, &h->lock);
	if (is_cancelled(h)) {
		errno = ECANCELED;
	} else if (h->idle) {
		one = h->idle;
		h->idle = one->next;
	} else {
		h->made++;
		make = true;
	}
	pthread_mutex_unlock(&h->lock);
	if (!make)
		return one;
	one = make_handle();
	if (!one) {
		pthread_mutex_lock(&h->lock);
		h->made--;
		pthread_cond_signal(&h->freed);
		pthread_mutex_unlock(&h->lock);
		errno = ENOMEM;
	}
	return one;
}

static void give_handle(struct s3_http *h, struct handle *one)
{
	pthread_mutex_lock(&h->lock);
	one->next = h->idle; /* last used first: its connection is the likeliest to be alive */
	h->idle = one;
	pthread_cond_signal(&h->freed);
	pthread_mutex_unlock(&h->lock);
}

/* ---- one exchange ------------------------------------------------------------------------------------ */

struct transfer {
	struct s3_http *http;
	const struct s3_exchange *x;
	struct s3_answer *answer;
	CURL *curl;
	int iov_index; /* where sending is */
	size_t iov_offset;
	size_t header_bytes;
	size_t sink_before;
	uint64_t received;
	uint64_t moved_at_ms, moved_bytes; /* for the stall time-out */
	bool too_long, stalled;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
};

static size_t on_send(char *out, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t room = size * count, done = 0;

	while (done < room && t->iov_index < t->x->iovcnt) {
		const struct iovec *v = &t->x->iov[t->iov_index];
		size_t n = min_u64(room - done, v->iov_len - t->iov_offset);

		if (n)
			memcpy(out + done, (const char *)v->iov_base + t->iov_offset, n);
		done += n;
		t->iov_offset += n;
		if (t->iov_offset == v->iov_len) {
			t->iov_index++;
			t->iov_offset = 0;
		}
	}
	return done;
}

/* curl asks for the start again when a kept-alive connection turned out to be dead. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct transfer *t = ctx;

	if (offset != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	t->iov_index = 0;
	t->iov_offset = 0;
	return CURL_SEEKFUNC_OK;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t n = size * count;
	long status = 0;
	bool to_sink;
	struct buf *out;

	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	to_sink = t->x->sink && status >= 200 && status < 300;
	out = to_sink ? t->x->sink : &t->answer->body;
	t->received += n;
	if (t->received > (to_sink ? t->x->body_limit : ANSWER_BODY_MAX)) {
		t->too_long = true;
		return 0;
	}
	if (to_sink && t->received == n && t->answer->content_length > 0 &&
	    (uint64_t)t->answer->content_length <= t->x->body_limit &&
	    buf_reserve(out, (size_t)t->answer->content_length) < 0)
		return 0;
	buf_add(out, data, n);
	return buf_error(out) < 0 ? 0 : n;
}

static void take_header(const char *line, size_t len, const char *name, char *out, size_t cap)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return;
	line += n;
	len -= n;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	if (len >= cap)
		return; /* no server sends that; what is cut could be taken for another */
	memcpy(out, line, len);
	out[len] = '\0';
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

static void strip_quotes(char *etag)
{
	char *p = etag;
	size_t len;

	if (strncmp(p, "W/", 2) == 0)
		p += 2;
	len = strlen(p);
	if (len >= 2 && p[0] == '"' && p[len - 1] == '"') {
		p[len - 1] = '\0';
		p++;
	}
	memmove(etag, p, strlen(p) + 1);
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	struct s3_answer *a = t->answer;
	size_t len = size * count;
	char value[64] = "";
	uint64_t number;

	t->header_bytes += len;
	if (t->header_bytes > HEADERS_MAX) {
		t->too_long = true;
		return 0;
	}
	if (len > 5 && strncmp(line, "HTTP/", 5) == 0) /* a new answer (100 Continue, redirects) */
		a->content_length = -1;
	take_header(line, len, "etag:", a->etag, sizeof(a->etag));
	take_header(line, len, "x-amz-request-id:", a->request_id, sizeof(a->request_id));
	take_header(line, len, "x-amz-bucket-region:", a->region, sizeof(a->region));
	take_header(line, len, "content-range:", a->content_range, sizeof(a->content_range));
	take_header(line, len, "content-length:", value, sizeof(value));
	if (value[0] && parse_u64(value, &number) == 0 && number <= INT64_MAX)
		a->content_length = (int64_t)number;
	value[0] = '\0';
	take_header(line, len, "last-modified:", value, sizeof(value));
	if (value[0])
		a->mtime_s = curl_getdate(value, NULL);
	value[0] = '\0';
	take_header(line, len, "date:", value, sizeof(value));
	if (value[0])
		a->date_s = curl_getdate(value, NULL);
	return len;
}

static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct transfer *t = ctx;
	uint64_t now = clock_mono_ms(&clock_system), moved = (uint64_t)down + (uint64_t)up;

	if (is_cancelled(t->http))
		return 1;
	if (moved != t->moved_bytes || t->moved_at_ms == 0) {
		t->moved_bytes = moved;
		t->moved_at_ms = now;
	}
	if (now - t->moved_at_ms > t->http->stall_ms) {
		t->stalled = true;
		return 1;
	}
	return 0;
}

static int set_headers(struct transfer *t)
{
	/* No "Expect: 100-continue": it costs a round trip. No Content-Type that nobody signed. */
	static const char *const no_defaults[] = { "Expect:", "Content-Type:", "Accept:" };
	char line[4096];

	for (size_t i = 0; i < ARRAY_LEN(no_defaults) + t->x->header_count; i++) {
		struct curl_slist *longer;

		if (i < ARRAY_LEN(no_defaults)) {
			(void)snprintf(line, sizeof(line), "%s", no_defaults[i]);
		} else {
			const struct s3_header *h = &t->x->headers[i - ARRAY_LEN(no_defaults)];

			if ((size_t)snprintf(line, sizeof(line), "%s: %s", h->name, h->value) >= sizeof(line))
				return -E2BIG;
		}
		longer = curl_slist_append(t->headers, line);
		if (!longer)
			return -ENOMEM;
		t->headers = longer;
	}
	return 0;
}

static void set_method(struct transfer *t)
{
	const struct s3_exchange *x = t->x;

	if (strcmp(x->method, "HEAD") == 0) {
		(void)curl_easy_setopt(t->curl, CURLOPT_NOBODY, 1L);
	} else if (strcmp(x->method, "PUT") == 0 || strcmp(x->method, "POST") == 0) {
		(void)curl_easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(t->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_bytes);
		(void)curl_easy_setopt(t->curl, CURLOPT_READFUNCTION, on_send);
		(void)curl_easy_setopt(t->curl, CURLOPT_READDATA, t);
		(void)curl_easy_setopt(t->curl, CURLOPT_SEEKFUNCTION, on_seek);
		(void)curl_easy_setopt(t->curl, CURLOPT_SEEKDATA, t);
		(void)curl_easy_setopt(t->curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
		(void)curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, x->method);
	} else {
		(void)curl_easy_setopt(t->curl, CURLOPT_HTTPGET, 1L);
		(void)curl_easy_setopt(t->curl, CURLOPT_BUFFERSIZE, 512L * 1024);
		(void)curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, x->method);
	}
}

static void set_options(struct transfer *t)
{
	struct s3_http *h = t->http;
	CURL *c = t->curl;

	curl_easy_reset(c); /* keeps connections */
	(void)curl_easy_setopt(c, CURLOPT_URL, t->x->url);
	(void)curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(c, CURLOPT_SHARE, h->share);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)h->connect_ms);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, h->no_verify ? 0L : 1L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, h->no_verify ? 0L : 2L);
	if (h->ca_file)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
	set_method(t);
}

static int judge(struct transfer *t, CURLcode code)
{
	const char *words = t->error[0] ? t->error : curl_easy_strerror(code);

	if (code == CURLE_OK)
		return 0;
	if (is_cancelled(t->http))
		return err_note(-ECANCELED, "cancelled");
	if (t->stalled)
		return err_note(-L3_UNREACHABLE, "no byte moved for %llu s",
				(unsigned long long)t->http->stall_ms / 1000);
	if (t->too_long)
		return err_note(-L3_SERVER, "the server's answer is longer than it may be");
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return err_note(-L3_BAD_OPTION, "the server's certificate is not trusted: %s (ca_file= names a CA)",
				words);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_note(-L3_BAD_OPTION, "endpoint: %s", words);
	default:
		return err_note(-L3_UNREACHABLE, "%s", words);
	}
}

int s3_http_do(struct s3_http *h, const struct s3_exchange *x, struct s3_answer *ret)
{
	struct transfer t = { .http = h, .x = x, .answer = ret };
	struct handle *one;
	int err;

	*ret = (struct s3_answer){ .content_length = -1 };
	ret->body.limit = ANSWER_BODY_MAX + 1;
	one = take_handle(h);
	if (!one)
		return errno == ECANCELED ? err_note(-ECANCELED, "cancelled") : -ENOMEM;
	t.curl = one->curl;
	t.sink_before = x->sink ? x->sink->len : 0;
	err = set_headers(&t);
	if (err >= 0) {
		set_options(&t);
		err = judge(&t, curl_easy_perform(t.curl));
		(void)curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &ret->status);
		/* Nothing in the handle may point into this frame when it is next used or cleaned up. */
		(void)curl_easy_setopt(t.curl, CURLOPT_ERRORBUFFER, NULL);
		(void)curl_easy_setopt(t.curl, CURLOPT_HTTPHEADER, NULL);
	}
	curl_slist_free_all(t.headers);
	give_handle(h, one);
	strip_quotes(ret->etag);
	if (err < 0 && x->sink)
		x->sink->len = t.sink_before;
	return err;
}

void s3_answer_release(struct s3_answer *a)
{
	buf_release(&a->body);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One HTTP exchange at a time on one of a bounded number of libcurl handles, whose connections are
 * kept alive. A handle belongs to one thread from take to give; waiting for a free one can be
 * cancelled.
 *
 * Time-outs: connecting; a transfer in which no byte moves for the stall time; and a transfer that
 * stays below SLOWEST on average, so that a server that drips cannot hold one for ever. There is no
 * other limit: large objects on slow lines take their time.
 */
#include "store/s3_cred.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_CONNECTIONS 32
#define DEFAULT_CONNECT_MS 10000
#define DEFAULT_STALL_MS 30000
#define SLOWEST_BYTES_PER_MS 1 /* about 1 kB/s */
#define ANSWER_BODY_MAX S3_XML_MAX
#define HEADERS_MAX (128 * 1024)
#define CHUNK_LEAST (64 * 1024)
#define CHUNK_MOST (512 * 1024)
#define POLL_MS 1000
#define LINE_USUAL 4096
#define USER_AGENT "levels3fs"

#if LIBCURL_VERSION_NUM >= 0x075000
#define HAVE_PREREQ 1 /* otherwise only requests with a body are seen to be sent again */
#endif

struct handle { /* keeps a connection alive; each exchange has an easy handle of its own, see run */
	CURLM *multi;
	struct handle *next;
	uint64_t number; /* of the exchange that it is taken for */
};

struct s3_http {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct handle *idle;
	struct s3_pace pace;
	bool cancelled; /* atomic */
	CURLSH *share;	/* names resolved and TLS sessions, for all handles */
	pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST];
	uint64_t connect_ms, stall_ms;
	char *ca_file;
	bool no_verify;
};

static void share_lock(CURL *curl, curl_lock_data data, curl_lock_access access, void *ctx)
{
	pthread_mutex_lock(&((struct s3_http *)ctx)->share_locks[data]);
}

static void share_unlock(CURL *curl, curl_lock_data data, void *ctx)
{
	pthread_mutex_unlock(&((struct s3_http *)ctx)->share_locks[data]);
}

static CURLSH *make_share(struct s3_http *h)
{
	CURLSH *share = curl_share_init();

	if (!share)
		return NULL;
	(void)curl_share_setopt(share, CURLSHOPT_LOCKFUNC, share_lock);
	(void)curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, share_unlock);
	(void)curl_share_setopt(share, CURLSHOPT_USERDATA, h);
	(void)curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	(void)curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	return share;
}

static uint64_t or_default(uint64_t value, uint64_t by_default)
{
	return value ? value : by_default;
}

int s3_http_new(const struct store_config *config, struct s3_http **ret)
{
	struct s3_http *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	s3_curl_init();
	pthread_mutex_init(&h->lock, NULL);
	cond_init(&h->freed);
	for (size_t i = 0; i < ARRAY_LEN(h->share_locks); i++)
		pthread_mutex_init(&h->share_locks[i], NULL);
	s3_pace_init(&h->pace, config->connections ? config->connections : DEFAULT_CONNECTIONS);
	h->connect_ms = or_default(config->connect_timeout_ms, DEFAULT_CONNECT_MS);
	h->stall_ms = or_default(config->timeout_ms, DEFAULT_STALL_MS);
	h->no_verify = config->no_verify;
	h->ca_file = config->ca_file ? strdup(config->ca_file) : NULL;
	h->share = make_share(h);
	if (!h->share || (config->ca_file && !h->ca_file)) {
		s3_http_free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

static void free_handle(struct handle *one)
{
	(void)curl_multi_cleanup(one->multi);
	free(one);
}

void s3_http_free(struct s3_http *h)
{
	if (!h)
		return;
	while (h->idle) {
		struct handle *one = h->idle;

		h->idle = one->next;
		free_handle(one);
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

/* ---- handles ---- */

static struct handle *make_handle(void)
{
	struct handle *one = calloc(1, sizeof(*one));

	if (one && !(one->multi = curl_multi_init())) {
		free(one);
		one = NULL;
	}
	if (one)
		(void)curl_multi_setopt(one->multi, CURLMOPT_MAXCONNECTS, 1L);
	return one;
}

static void end_pace(struct s3_http *h, uint64_t number, long status)
{
	if (s3_pace_end(&h->pace, number, status))
		pthread_cond_signal(&h->freed);
	pthread_cond_signal(&h->freed);
}

static int take_handle(struct s3_http *h, struct handle **ret)
{
	struct handle *one = NULL;
	uint64_t number = 0;
	bool cancelled;

	pthread_mutex_lock(&h->lock);
	while (!s3_pace_may_begin(&h->pace) && !is_cancelled(h))
		pthread_cond_wait(&h->freed, &h->lock);
	cancelled = is_cancelled(h);
	if (!cancelled) {
		number = s3_pace_begin(&h->pace);
		one = h->idle;
		h->idle = one ? one->next : NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (cancelled)
		return err_note(-ECANCELED, "cancelled");
	if (!one && !(one = make_handle())) {
		pthread_mutex_lock(&h->lock);
		end_pace(h, number, 0);
		pthread_mutex_unlock(&h->lock);
		return -ENOMEM;
	}
	one->number = number;
	*ret = one;
	return 0;
}

static void give_handle(struct s3_http *h, struct handle *one, long status, bool keep)
{
	uint64_t number = one->number;

	if (!keep) /* with its connection and buffers */
		free_handle(one);
	pthread_mutex_lock(&h->lock);
	if (keep) {
		one->next = h->idle; /* last used first: its connection is the likeliest to be alive */
		h->idle = one;
	}
	end_pace(h, number, status);
	pthread_mutex_unlock(&h->lock);
}

/* ---- one exchange: what curl calls ---- */

struct transfer {
	struct s3_http *http;
	const struct s3_exchange *x;
	struct s3_answer *answer;
	CURL *curl;
	int iov_index; /* where sending is */
	size_t iov_offset;
	size_t header_bytes;
	bool sinking;	/* the body goes to the sink; the next two are set */
	uint64_t skip;	/* bytes of the body before what is wanted, still to come */
	uint64_t room;	/* bytes wanted, still to come */
	bool drop_rest; /* what comes after is no error */
	uint64_t began_ms, moved_at_ms, moved_bytes; /* for the time-outs */
	bool headers_whole; /* curl takes a connection that ends amid headers for their end */
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
#ifndef HAVE_PREREQ
	t->answer->sends++;
#endif
	return CURL_SEEKFUNC_OK;
}

#ifdef HAVE_PREREQ
static int on_request(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
	((struct transfer *)ctx)->answer->sends++;
	return CURL_PREREQFUNC_OK;
}
#endif

/* The first bytes of a body that goes to the sink: one growth for all of it. */
static int begin_sink(struct transfer *t, long status)
{
	const struct s3_exchange *x = t->x;
	uint64_t expected = x->len;

	t->sinking = true;
	t->skip = status == 206 ? 0 : x->offset;
	t->room = x->len;
	t->drop_rest = status != 206;
	if (t->answer->content_length >= 0) {
		uint64_t whole = (uint64_t)t->answer->content_length;

		expected = min_u64(expected, whole > t->skip ? whole - t->skip : 0);
	}
	if (expected == STORE_TO_END || expected == 0)
		return 0; /* not known */
	return expected > SIZE_MAX ? -E2BIG : buf_reserve(x->sink, (size_t)expected);
}

static size_t sink_write(struct transfer *t, const char *data, size_t n)
{
	size_t skip = min_u64(n, t->skip), take = min_u64(n - skip, t->room);

	t->skip -= skip;
	if (t->room != STORE_TO_END)
		t->room -= take;
	if (skip + take < n && !t->drop_rest) {
		t->too_long = true;
		return 0;
	}
	buf_add(t->x->sink, data + skip, take);
	return buf_error(t->x->sink) < 0 ? 0 : n;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	struct buf *body = &t->answer->body;
	size_t n = size * count;
	long status = 0;

	if (!t->sinking && t->x->sink && body->len == 0) {
		(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status >= 200 && status < 300 && begin_sink(t, status) < 0)
			return 0;
	}
	if (t->sinking)
		return sink_write(t, data, n);
	if (n > ANSWER_BODY_MAX - body->len) {
		t->too_long = true;
		return 0;
	}
	buf_add(body, data, n);
	return buf_error(body) < 0 ? 0 : n;
}

/* The value of the header if it is `name`; cut values could be taken for others, so they count as
 * absent. */
static bool take_header(const char *line, size_t len, const char *name, char *out, size_t cap)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return false;
	line += n;
	len -= n;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	if (len == 0 || len >= cap)
		return false;
	memcpy(out, line, len);
	out[len] = '\0';
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return true;
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

static int64_t parse_date(const char *value)
{
	time_t t = curl_getdate(value, NULL);

	return t > 0 ? (int64_t)t : 0;
}

/* "bytes 0-9/100", "bytes 0-9/ *", "bytes * /100" */
static void take_range(struct s3_answer *a, const char *value)
{
	unsigned long long first, last, total;

	if (sscanf(value, "bytes %llu-%llu/%llu", &first, &last, &total) == 3 && first <= last &&
	    last < total && total <= INT64_MAX) {
		a->has_range = true;
		a->range_first = first;
		a->range_last = last;
		a->total_bytes = (int64_t)total;
	}
}

static void take_answer_header(struct s3_answer *a, const char *line, size_t len)
{
	char value[96];
	uint64_t number;

	if (take_header(line, len, "etag:", a->etag, sizeof(a->etag)))
		strip_quotes(a->etag);
	else if (take_header(line, len, "content-range:", value, sizeof(value)))
		take_range(a, value);
	else if (take_header(line, len, "content-length:", value, sizeof(value)))
		a->content_length = parse_u64(value, &number) == 0 && number <= INT64_MAX
					    ? (int64_t)number
					    : -1;
	else if (take_header(line, len, "transfer-encoding:", value, sizeof(value)))
		a->chunked = strcasecmp(value, "chunked") == 0;
	else if (take_header(line, len, "last-modified:", value, sizeof(value)))
		a->mtime_s = parse_date(value);
	else if (take_header(line, len, "date:", value, sizeof(value)))
		a->date_s = parse_date(value);
	else if (!take_header(line, len, "x-amz-request-id:", a->request_id, sizeof(a->request_id)))
		(void)take_header(line, len, "x-amz-bucket-region:", a->region, sizeof(a->region));
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * count;

	t->header_bytes += len;
	if (t->header_bytes > HEADERS_MAX) {
		t->too_long = true;
		return 0;
	}
	t->headers_whole = len <= 2;			 /* the empty line */
	if (len > 5 && strncmp(line, "HTTP/", 5) == 0) { /* the answer after a 100 Continue, say */
		unsigned sends = t->answer->sends;
		struct buf body = t->answer->body;

		*t->answer = (struct s3_answer){
			.content_length = -1, .total_bytes = -1, .sends = sends, .body = body
		};
	} else {
		take_answer_header(t->answer, line, len);
	}
	return len;
}

static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	struct transfer *t = ctx;
	uint64_t now = clock_mono_ms(&clock_system), moved = (uint64_t)down + (uint64_t)up;

	if (is_cancelled(t->http))
		return 1;
	if (moved != t->moved_bytes) {
		t->moved_bytes = moved;
		t->moved_at_ms = now;
	}
	t->stalled = now - t->moved_at_ms > t->http->stall_ms ||
		     now - t->began_ms > t->http->stall_ms + moved / SLOWEST_BYTES_PER_MS;
	return t->stalled;
}

/* ---- one exchange: setting it up, judging it ---- */

static int append_header(struct transfer *t, const char *line)
{
	struct curl_slist *longer = curl_slist_append(t->headers, line);

	if (!longer)
		return -ENOMEM;
	t->headers = longer;
	return 0;
}

static int set_headers(struct transfer *t)
{
	/* No "Expect: 100-continue": it costs a round trip. Nothing else that nobody signed. */
	static const char *const no_defaults[] = { "Expect:", "Content-Type:", "Accept:" };
	struct buf line CLEANUP(s3_wipe_buf) = BUF_INIT;
	int err = buf_reserve(&line, LINE_USUAL); /* growing would leave copies of keys behind */

	for (size_t i = 0; err >= 0 && i < ARRAY_LEN(no_defaults); i++)
		err = append_header(t, no_defaults[i]);
	for (size_t i = 0; err >= 0 && i < t->x->header_count; i++) {
		buf_reset(&line);
		buf_printf(&line, "%s: %s", t->x->headers[i].name, t->x->headers[i].value);
		err = append_header(t, buf_cstr(&line));
		if (buf_error(&line) < 0)
			err = -ENOMEM;
	}
	return err;
}

/* curl allocates its buffers anew for each exchange: small ones for small exchanges. */
static long chunk(uint64_t bytes)
{
	return (long)max_u64(CHUNK_LEAST, min_u64(bytes, CHUNK_MOST));
}

static void set_method(struct transfer *t)
{
	const struct s3_exchange *x = t->x;
	CURL *c = t->curl;

	if (strcmp(x->method, "HEAD") == 0) {
		(void)curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		return;
	}
	if (strcmp(x->method, "PUT") == 0 || strcmp(x->method, "POST") == 0) {
		(void)curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->body_bytes);
		(void)curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
		(void)curl_easy_setopt(c, CURLOPT_READDATA, t);
		(void)curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
		(void)curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
		(void)curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, chunk(x->body_bytes));
	} else {
		(void)curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
		(void)curl_easy_setopt(c, CURLOPT_BUFFERSIZE, chunk(x->sink ? x->len : 0));
	}
	(void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->method);
}

static void set_protocols(CURL *c)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void set_connection(struct transfer *t)
{
	struct s3_http *h = t->http;
	CURL *c = t->curl;

	set_protocols(c);
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(c, CURLOPT_SHARE, h->share);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)h->connect_ms);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, h->no_verify ? 0L : 1L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, h->no_verify ? 0L : 2L);
	if (h->ca_file)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
}

static void set_options(struct transfer *t)
{
	CURL *c = t->curl;

	set_connection(t);
	if (t->x->direct)
		(void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(c, CURLOPT_URL, t->x->url);
	(void)curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, USER_AGENT);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
#ifdef HAVE_PREREQ
	(void)curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_request);
	(void)curl_easy_setopt(c, CURLOPT_PREREQDATA, t);
#else
	t->answer->sends = 1;
#endif
	set_method(t);
}

static int judge_failure(struct transfer *t, CURLcode code)
{
	const char *words = t->error[0] ? t->error : curl_easy_strerror(code);

	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_PEER_FAILED_VERIFICATION:
		return err_note(-L3_DENIED,
				"the server's certificate is not trusted: %s (ca_file= names a CA)",
				words);
	case CURLE_SSL_CACERT_BADFILE:
		return err_note(-L3_BAD_OPTION, "ca_file=%s: %s",
				t->http->ca_file ? t->http->ca_file : "", words);
	case CURLE_URL_MALFORMAT: /* UNSUPPORTED_PROTOCOL would also be an answer that is no HTTP */
		return err_note(-L3_BAD_OPTION, "endpoint: %s", words);
	case CURLE_SSL_CONNECT_ERROR:
		return err_note(-L3_UNREACHABLE,
				"%s (does the server speak TLS there? if not, endpoint=http://…)",
				words);
	case CURLE_GOT_NOTHING:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return err_note(-L3_UNREACHABLE,
				"%s (does the server want TLS there? then endpoint=https://…)",
				words);
	default:
		return err_note(-L3_UNREACHABLE, "%s", words);
	}
}

static int judge(struct transfer *t, CURLcode code)
{
	if (code == CURLE_OK && t->headers_whole)
		return 0;
	if (is_cancelled(t->http))
		return err_note(-ECANCELED, "cancelled");
	if (t->stalled)
		return err_note(-L3_UNREACHABLE, "no byte, or hardly any, moved for %.1f s",
				(double)t->http->stall_ms / 1000);
	if (t->too_long)
		return err_note(-L3_SERVER, "the server's answer is longer than it may be");
	if (code == CURLE_WRITE_ERROR && t->x->sink && t->x->sink->failed)
		return err_note(-ENOMEM, "no memory for the object's bytes");
	if (code == CURLE_OK)
		return err_note(-L3_UNREACHABLE, "the server's answer ends amid its headers");
	return judge_failure(t, code);
}

static CURLcode perform(CURLM *multi, CURL *curl)
{
	CURLcode code = CURLE_FAILED_INIT;
	int running = 1, left;
	CURLMsg *msg;

	if (curl_multi_add_handle(multi, curl) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	while (running && curl_multi_perform(multi, &running) == CURLM_OK)
		if (running && curl_multi_poll(multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
			break;
	while ((msg = curl_multi_info_read(multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			code = msg->data.result;
	(void)curl_multi_remove_handle(multi, curl);
	return code;
}

/*
 * One exchange on a handle that is ours for it. The easy handle is a new one each time: libcurl
 * before 8.1 keeps a pointer to the last header of the exchange before, and follows it where a
 * hostile answer begins with a folded line.
 */
static int run(struct transfer *t, CURLM *multi)
{
	int err = -ENOMEM;

	t->curl = curl_easy_init();
	if (t->curl)
		err = set_headers(t);
	if (err >= 0) {
		set_options(t);
		t->began_ms = t->moved_at_ms = clock_mono_ms(&clock_system);
		err = judge(t, perform(multi, t->curl));
		(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
	}
	curl_easy_cleanup(t->curl);
	curl_slist_free_all(t->headers);
	return err;
}

int s3_http_do(struct s3_http *h, const struct s3_exchange *x, struct s3_answer *ret)
{
	struct transfer t = { .http = h, .x = x, .answer = ret };
	size_t sink_before = x->sink ? x->sink->len : 0;
	struct handle *one = NULL;
	int err;

	*ret = (struct s3_answer){ .content_length = -1, .total_bytes = -1 };
	err = take_handle(h, &one);
	if (err < 0)
		return err;
	s3_curl_discreet(x->secret);
	err = run(&t, one->multi);
	give_handle(h, one, err < 0 ? 0 : ret->status, !x->once);
	s3_curl_discreet(false);
	if (err < 0 && x->sink) {
		x->sink->len = sink_before;
		x->sink->failed = false;
	}
	if (ret->total_bytes < 0 && ret->status != 206)
		ret->total_bytes = ret->content_length;
	return err;
}

void s3_answer_release(struct s3_answer *a)
{
	buf_release(&a->body);
}

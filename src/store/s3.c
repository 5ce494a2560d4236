/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * s3: a bucket of any S3-compatible server as a store. Each operation makes a call (s3_call.c),
 * which signs, sends and judges, and then checks that the answer says what it must.
 *
 * If-Match: AWS takes the ETag in quotes, RADOS Gateway only bare; its requests' ids tell it (s3_known_id), so that
 * it is asked in that form first. After a 412 the object is looked at; if it does have that ETag, the other form is
 * tried, and remembered if it was right. No look is needed for another ETag than the object got by our own last such
 * write.
 *
 * 412 is a definite answer only if the request went out once. When curl had to send it again
 * because a kept-alive connection died under it, the first one may have been carried out and may be
 * what the second one met. Then the answer is UNREACHABLE (outcome unknown), and the retry wrapper
 * finds out.
 */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define DEFAULT_MULTIPART (64 * MIB)
#define DEFAULT_CONNECTIONS 32
#define LIST_MAX 1000

static struct s3 *s3_of(struct store *s)
{
	return (struct s3 *)s;
}

static void fill_meta(const struct s3_call *c, uint64_t size, struct store_meta *ret)
{
	const struct s3_answer *a = &c->answer;

	if (!ret)
		return;
	*ret = (struct store_meta){ .size_bytes = size,
				    .mtime_s = a->mtime_s ? a->mtime_s : a->date_s };
	memcpy(ret->etag, a->etag, sizeof(ret->etag));
}

/* ---- reading ---- */

static int s3_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	struct s3_call c CLEANUP(s3_call_release);
	int err;

	s3_call_init(&c, s3_of(s), "HEAD", "HEAD", key);
	c.kind = S3_READ;
	err = s3_call_run(&c);
	if (err >= 0 && c.answer.total_bytes < 0)
		err = err_note(-L3_SERVER, "HEAD %s: the server does not tell the object's size",
			       key);
	if (err >= 0)
		fill_meta(&c, (uint64_t)c.answer.total_bytes, ret_meta);
	return err;
}

/* Where the object's part in [offset, offset + len) ends. */
static uint64_t end_within(uint64_t total, uint64_t offset, uint64_t len)
{
	return len == STORE_TO_END || len > total - offset ? total : offset + len;
}

/* Whether `got` bytes are all of the object's that were asked for. */
static int check_whole(const struct s3_call *c, uint64_t got)
{
	const struct s3_answer *a = &c->answer;
	uint64_t total = (uint64_t)a->total_bytes, wanted;

	/* Without a length or chunks, an end of the connection looks like an end of the object. */
	if (a->status == 200 && a->content_length < 0 && a->chunked)
		return 0;
	if (a->total_bytes < 0)
		return err_note(-L3_SERVER, "GET %s: the server does not tell the length",
				c->about);
	wanted = c->offset < total ? end_within(total, c->offset, c->len) - c->offset : 0;
	if (a->status == 206 &&
	    (a->range_first != c->offset || a->range_last - a->range_first + 1 != wanted))
		return err_note(
			-L3_SERVER,
			"GET %s: asked for %llu bytes at %llu, the server sent %llu to %llu",
			c->about, (unsigned long long)wanted, (unsigned long long)c->offset,
			(unsigned long long)a->range_first, (unsigned long long)a->range_last);
	if (got != wanted)
		return err_note(-L3_UNREACHABLE, "GET %s: %llu bytes of %llu came", c->about,
				(unsigned long long)got, (unsigned long long)wanted);
	return 0;
}

static void format_range(uint64_t offset, uint64_t len, char out[64])
{
	if (len == STORE_TO_END)
		(void)snprintf(out, 64, "bytes=%llu-", (unsigned long long)offset);
	else
		(void)snprintf(out, 64, "bytes=%llu-%llu", (unsigned long long)offset,
			       (unsigned long long)(offset + len - 1));
}

static int get_once(struct store *s, const char *key, uint64_t offset, uint64_t len,
		    struct buf *out, struct store_meta *ret_meta)
{
	struct s3_call c CLEANUP(s3_call_release);
	size_t before = out->len;
	char range[64];
	int err;

	if (len == 0)
		return s3_head(s, key, ret_meta);
	s3_call_init(&c, s3_of(s), "GET", "GET", key);
	c.kind = S3_READ;
	c.sink = out;
	c.offset = offset;
	c.len = len;
	if (offset > 0 || len != STORE_TO_END) {
		format_range(offset, len, range);
		s3_call_header(&c, "range", range);
	}
	err = s3_call_run(&c);
	if (err < 0 && c.answer.status == 416) /* the object ends before, but it is there */
		return ret_meta ? s3_head(s, key, ret_meta) : 0;
	if (err >= 0)
		err = check_whole(&c, out->len - before);
	if (err < 0) {
		out->len = before;
		return err;
	}
	fill_meta(&c,
		  c.answer.total_bytes < 0 ? offset + out->len - before
					   : (uint64_t)c.answer.total_bytes,
		  ret_meta);
	return 0;
}

static bool is_doubtful(const struct s3 *s3, const uint8_t *data, size_t len,
			const struct store_meta *meta)
{
	return len > 0 && meta->size_bytes == len &&
	       !__atomic_load_n(&s3->plain_etags, __ATOMIC_RELAXED) &&
	       s3_md5_differs(data, len, meta->etag);
}

static int look_again(struct s3 *s3, const char *key, const uint8_t *data, size_t len)
{
	struct buf again CLEANUP(buf_release) = BUF_INIT;
	int err = get_once(&s3->store, key, 0, STORE_TO_END, &again, NULL);

	if (err < 0)
		return err;
	if (again.len != len || memcmp(again.data, data, len) != 0)
		return err_note(-L3_UNREACHABLE, "GET %s: bytes were changed on the way", key);
	__atomic_store_n(&s3->plain_etags, true, __ATOMIC_RELAXED);
	return 0;
}

/*
 * Most servers' ETag is the object's MD5, with which damage is noticed that TCP's weak checksum, a
 * proxy or a broken server let pass. Where it looks like one and does not fit, a second look tells:
 * the same bytes again mean that this server's ETags are something else. What is read in ranges has
 * checksums of its own, which their readers know.
 */
static int s3_get(struct store *s, const char *key, uint64_t offset, uint64_t len, struct buf *out,
		  struct store_meta *ret_meta)
{
	struct store_meta meta = { 0 };
	size_t before = out->len;
	int err;

	if (offset > 0)
		return get_once(s, key, offset, len, out, ret_meta);
	err = get_once(s, key, 0, len, out, &meta);
	if (err >= 0 &&
	    is_doubtful(s3_of(s), out->data ? out->data + before : NULL, out->len - before, &meta))
		err = look_again(s3_of(s), key, out->data + before, out->len - before);
	if (err < 0)
		out->len = before;
	else if (ret_meta)
		*ret_meta = meta;
	return err;
}

/* ---- writing ---- */

/* 412 and the like, as long as they say something about us and not about our own first sending. */
static int judge_condition(const struct s3_call *c, const struct store_put *put, int err)
{
	if (err == -ENOENT && put->cond == STORE_MATCH) /* AWS: there is nothing to match */
		err = -L3_PRECONDITION;
	if (err == -L3_PRECONDITION && c->answer.sends > 1)
		return err_wrap(-L3_UNREACHABLE, "PUT %s: the answer to its first sending was lost",
				c->about);
	return err;
}

/*
 * A server that gives no ETag with a PUT. To ask for it afterwards might fetch that of somebody's
 * newer object; whoever puts on a condition would then take that for his own.
 */
static int ask_for_etag(struct s3_call *c, const struct store_put *put, struct store_meta *ret_meta)
{
	if (c->answer.etag[0] || !ret_meta)
		return 0;
	if (put->cond != STORE_ALWAYS)
		return err_note(-L3_SERVER, "PUT %s: the server's answer has no ETag", put->key);
	return s3_head(&c->s3->store, put->key, ret_meta);
}

static int put_once(struct s3 *s3, const struct store_put *put, bool bare,
		    struct store_meta *ret_meta)
{
	struct s3_call c CLEANUP(s3_call_release);
	char match[STORE_ETAG_MAX + 2];
	int err;

	s3_call_init(&c, s3, "PUT", "PUT", put->key);
	c.kind = S3_WRITE;
	c.iov = put->iov;
	c.iovcnt = put->iovcnt;
	if (put->cond == STORE_CREATE) {
		s3_call_header(&c, "if-none-match", "*");
	} else if (put->cond == STORE_MATCH) {
		(void)snprintf(match, sizeof(match), bare ? "%s" : "\"%s\"", put->match_etag);
		s3_call_header(&c, "if-match", match);
	}
	err = judge_condition(&c, put, s3_call_run(&c));
	if (err < 0)
		return err;
	fill_meta(&c, store_put_size(put), ret_meta);
	return ask_for_etag(&c, put, ret_meta);
}

/* In spite of the server's 412: 1 yes, 0 no, or an error that leaves it open. */
static int has_etag(struct s3 *s3, const struct store_put *put)
{
	struct store_meta meta;
	int err = s3_head(&s3->store, put->key, &meta);

	if (err == -ENOENT)
		return 0;
	return err < 0 ? err : strcmp(meta.etag, put->match_etag) == 0;
}

static uint64_t hash(const char *text)
{
	return XXH3_64bits(text, strlen(text));
}

/* Both hashes may be seen out of step: then a look is made in vain, or left to the caller, who makes one anyway. */
static int put_in_form(struct s3 *s3, const struct store_put *put, bool bare,
		       struct store_meta *ret_meta)
{
	int err = put_once(s3, put, bare, ret_meta);

	if (err < 0)
		return err;
	__atomic_store_n(&s3->match, bare ? S3_MATCH_BARE : S3_MATCH_QUOTED, __ATOMIC_RELAXED);
	if (ret_meta) {
		__atomic_store_n(&s3->granted_key, hash(put->key), __ATOMIC_RELAXED);
		__atomic_store_n(&s3->granted_etag, hash(ret_meta->etag), __ATOMIC_RELAXED);
	}
	return err;
}

/* Told once for each such write: if it is refused again, something else is the matter. */
static bool is_known_to_differ(struct s3 *s3, const struct store_put *put)
{
	uint64_t key = hash(put->key);

	return __atomic_load_n(&s3->granted_etag, __ATOMIC_RELAXED) != hash(put->match_etag) &&
	       __atomic_compare_exchange_n(&s3->granted_key, &key, 0, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

static int put_match(struct s3 *s3, const struct store_put *put, struct store_meta *ret_meta)
{
	bool bare = __atomic_load_n(&s3->match, __ATOMIC_RELAXED) == S3_MATCH_BARE;
	struct buf note CLEANUP(buf_release) = BUF_INIT;
	int err = put_in_form(s3, put, bare, ret_meta), has;

	if (err != -L3_PRECONDITION || is_known_to_differ(s3, put))
		return err;
	buf_add_str(&note, err_last_note());
	has = has_etag(s3, put);
	if (has < 0)
		return has; /* nothing was written: the next try starts over */
	if (!has)
		return err_note(err, "%s", buf_cstr(&note));
	return put_in_form(s3, put, !bare, ret_meta);
}

static int s3_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct s3 *s3 = s3_of(s);
	uint64_t size = store_put_size(put);
	int err;

	if (strlen(put->match_etag && put->cond == STORE_MATCH ? put->match_etag : "") >=
	    STORE_ETAG_MAX)
		return err_note(-EINVAL, "PUT %s: no ETag is that long", put->key);
	if (put->cond == STORE_MATCH)
		return put_match(s3, put, ret_meta);
	if (put->cond == STORE_CREATE || size <= s3->multipart_bytes)
		return put_once(s3, put, false, ret_meta);
	err = s3_put_parts(s3, put, size);
	/* What completes an upload may answer with no ETag, or another than the object's. */
	return err < 0 || !ret_meta ? err : s3_head(s, put->key, ret_meta);
}

static int s3_copy(struct store *s, const char *from, const char *to)
{
	struct s3 *s3 = s3_of(s);
	struct s3_call c CLEANUP(s3_call_release);
	struct buf source CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	int err;

	if (strcmp(from, to) == 0) /* S3 calls that illegal */
		return s3_head(s, from, &meta);
	buf_printf(&source, "/%s/", s3_place_of(s3)->bucket);
	s3_encode(&source, s3_place_of(s3)->prefix, true);
	s3_encode(&source, from, true);
	s3_call_init(&c, s3, "COPY", "PUT", to);
	c.kind = S3_COPY;
	c.about = from;
	s3_call_header(&c, "x-amz-copy-source", buf_cstr(&source));
	if (buf_error(&source) < 0)
		return -ENOMEM;
	err = s3_call_run(&c);
	if (err < 0)
		return err;
	err = s3_xml_result(c.answer.body.data, c.answer.body.len, "CopyObjectResult", &c.error);
	return err < 0 ? s3_call_failed(&c, err) : 0;
}

/* ---- deleting ---- */

static int s3_remove(struct store *s, const char *key)
{
	struct s3_call c CLEANUP(s3_call_release);
	int err;

	s3_call_init(&c, s3_of(s), "DELETE", "DELETE", key);
	err = s3_call_run(&c);
	return err == -ENOENT ? 0 : err;
}

static int remove_singly(struct store *s, const char *const *keys, size_t count)
{
	int err = 0;

	for (size_t i = 0; err >= 0 && i < count; i++)
		err = s3_remove(s, keys[i]);
	return err;
}

/* False if XML cannot carry one of the keys. */
static bool list_keys(const struct s3 *s3, const char *const *keys, size_t count, struct buf *out)
{
	bool ok = true;

	buf_add_str(out, "<Delete><Quiet>true</Quiet>");
	for (size_t i = 0; ok && i < count; i++) {
		buf_add_str(out, "<Object><Key>");
		ok = s3_xml_escape(out, s3_place_of(s3)->prefix) && s3_xml_escape(out, keys[i]);
		buf_add_str(out, "</Key></Object>");
	}
	buf_add_str(out, "</Delete>");
	return ok;
}

/* `xml` names `count` keys. *ret_unknown: the server does not know such requests. */
static int remove_batch(struct s3 *s3, const struct buf *xml, size_t count, bool *ret_unknown)
{
	struct s3_call c CLEANUP(s3_call_release);
	struct iovec v = { xml->data, xml->len };
	char md5[S3_MD5_BASE64_LEN], about[S3_KEY_MAX + 1], key[S3_KEY_MAX + 1];
	int err = s3_md5_base64(xml->data, xml->len, md5);

	s3_call_init(&c, s3, "DELETE", "POST", NULL);
	(void)snprintf(about, sizeof(about), "of %zu objects", count);
	c.about = about;
	c.iov = &v;
	c.iovcnt = 1;
	s3_call_query(&c, "delete", "");
	s3_call_header(&c, "content-md5", md5);
	if (err >= 0)
		err = s3_call_run(&c);
	if (err < 0) {
		*ret_unknown = s3_error_is_unknown_request(&c);
		return err;
	}
	if (c.answer.body.len == 0) /* some have nothing to say when asked to be quiet */
		return 0;
	err = s3_xml_delete(c.answer.body.data, c.answer.body.len, &c.error, key);
	if (err < 0 && key[0])
		(void)snprintf(about, sizeof(about), "%s", key);
	return err < 0 ? s3_call_failed(&c, err) : 0;
}

static int s3_remove_many(struct store *s, const char *const *keys, size_t count)
{
	struct s3 *s3 = s3_of(s);
	struct buf xml CLEANUP(buf_release) = BUF_INIT;
	bool unknown = false;
	int err;

	if (__atomic_load_n(&s3->single_only, __ATOMIC_RELAXED) ||
	    !list_keys(s3, keys, count, &xml))
		return remove_singly(s, keys, count);
	if (buf_error(&xml) < 0)
		return -ENOMEM;
	err = remove_batch(s3, &xml, count, &unknown);
	if (!unknown)
		return err;
	__atomic_store_n(&s3->single_only, true, __ATOMIC_RELAXED);
	return remove_singly(s, keys, count);
}

/* ---- listing ---- */

/* One page; `after` is a whole key of the bucket, "" for none. *ret_last: the last key in it. */
static int list_page(struct s3 *s3, const char *prefix, const char *after, unsigned max,
		     struct store_list *out, char **ret_last)
{
	struct s3_call c CLEANUP(s3_call_release);
	struct buf whole CLEANUP(buf_release) = BUF_INIT;
	char number[16];
	int err;

	buf_printf(&whole, "%s%s", s3_place_of(s3)->prefix, prefix);
	s3_call_init(&c, s3, "LIST", "GET", NULL);
	c.about = buf_cstr(&whole);
	s3_call_query(&c, "list-type", "2");
	s3_call_query(&c, "encoding-type", "url");
	s3_call_query(&c, "prefix", buf_cstr(&whole));
	if (*after)
		s3_call_query(&c, "start-after", after);
	if (max) {
		(void)snprintf(number, sizeof(number), "%u", max < LIST_MAX ? max : LIST_MAX);
		s3_call_query(&c, "max-keys", number);
	}
	err = buf_error(&whole) < 0 ? -ENOMEM : s3_call_run(&c);
	if (err < 0)
		return err;
	err = s3_xml_list(c.answer.body.data, c.answer.body.len, s3_place_of(s3)->prefix, out,
			  ret_last);
	return err < 0 ? s3_call_failed(&c, err) : 0;
}

static int s3_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		   struct store_list *out)
{
	struct s3 *s3 = s3_of(s);
	char *after CLEANUP(free_ptr) = NULL;
	size_t before = out->count;
	int err;

	if (asprintf(&after, "%s%s", *start_after ? s3_place_of(s3)->prefix : "", start_after) <
	    0) {
		after = NULL;
		return -ENOMEM;
	}
	do { /* a page may hold nothing that can be ours */
		char *last = NULL;

		err = list_page(s3, prefix, after, max, out, &last);
		if (err >= 0 && out->more && !last)
			err = err_note(-L3_SERVER,
				       "LIST %s: the server says there is more after an empty page",
				       prefix);
		free(after);
		after = last;
	} while (err >= 0 && out->more && out->count == before);
	return err;
}

/* ---- opening, cancelling, closing ---- */

static void s3_cancel(struct store *s)
{
	s3_http_cancel(s3_of(s)->http);
	s3_keyring_stop(s3_of(s)->keyring);
}

static void s3_destroy(struct store *s)
{
	struct s3 *s3 = s3_of(s);

	s3_http_free(s3->http);
	for (unsigned i = 0; i < s3->place_count; i++)
		s3_place_release(&s3->places[i]);
	free((char *)s3->where.endpoint);
	s3_extra_release(&s3->extra);
	pthread_mutex_destroy(&s3->place_lock);
	s3_keyring_free(s3->keyring);
	store_fini(s);
	free(s3);
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

/* What another place of the bucket would be made of, in another region. */
static int keep_where(struct s3 *s3, const struct store_config *config,
		      const struct s3_profile *profile)
{
	const char *endpoint = config->endpoint ? config->endpoint : profile->endpoint;

	s3->where = (struct store_config){ .path_style = config->path_style,
					   .dualstack = config->dualstack,
					   .fips = config->fips };
	s3->region_given = config->region;
	if (endpoint && !(s3->where.endpoint = strdup(endpoint)))
		return -ENOMEM;
	return 0;
}

static int open_place(struct s3 *s3, const char *url, const struct store_config *config,
		      const struct s3_profile *profile)
{
	int err = s3_place_parse(url, config, profile, &s3->places[0]);

	if (err < 0)
		return err;
	s3->place_count = 1;
	s3->place = &s3->places[0];
	err = keep_where(s3, config, profile);
	if (err >= 0)
		err = s3_extra_init(config, &s3->extra);
	return err < 0 ? err : s3_extra_check_place(&s3->extra, s3->place);
}

static int open_parts(struct s3 *s3, const char *url, const struct store_config *config,
		      const struct s3_profile *profile)
{
	struct store_config http = *config;
	int err = store_init(&s3->store, &s3_ops, url);

	if (err >= 0)
		err = open_place(s3, url, config, profile);
	if (!http.ca_file)
		http.ca_file = profile->ca_file;
	if (!http.connections)
		http.connections = DEFAULT_CONNECTIONS;
	if (err >= 0)
		err = s3_http_new(&http, &s3->http);
	if (err >= 0 && !config->anonymous)
		err = s3_keyring_new(&http, s3->place, &clock_system, &s3->keyring);
	s3->connections = http.connections;
	s3->multipart_bytes = config->multipart_bytes ? config->multipart_bytes : DEFAULT_MULTIPART;
	return err;
}

int store_s3_open(const char *url, const struct store_config *config, struct store **ret)
{
	struct s3_profile profile CLEANUP(s3_profile_release) = { 0 };
	struct s3 *s3;
	int err = s3_profile_load(config->profile, &profile);

	if (err < 0)
		return err;
	s3 = calloc(1, sizeof(*s3));
	if (!s3)
		return -ENOMEM;
	pthread_mutex_init(&s3->place_lock, NULL);
	err = open_parts(s3, url, config, &profile);
	if (err < 0) {
		s3_destroy(&s3->store);
		return err;
	}
	*ret = &s3->store;
	return 0;
}

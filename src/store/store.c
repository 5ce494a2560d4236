/* SPDX-License-Identifier: BSD-3-Clause */
/* The one caller of store_ops: checks arguments, then passes on. */
#include "store/store.h"
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DELETE_BATCH 1000 /* S3's limit for one DeleteObjects */

int store_open(const char *url, const struct store_config *config, struct store **ret)
{
	static const struct {
		const char *scheme;
		int (*open)(const char *url, const struct store_config *config, struct store **ret);
	} kinds[] = {
		{ "s3://", store_s3_open },
		{ "file://", store_file_open },
		{ "mem:", store_mem_open },
	};
	static const struct store_config defaults;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strncmp(url, kinds[i].scheme, strlen(kinds[i].scheme)) == 0)
			return kinds[i].open(url, config ? config : &defaults, ret);
	return err_note(
		-L3_BAD_OPTION,
		"%s: no store of that kind; write s3://BUCKET/PREFIX or file:///ABSOLUTE/PATH",
		url);
}

int store_init(struct store *s, const struct store_ops *ops, const char *url)
{
	s->ops = ops;
	s->refs = 1;
	s->url = strdup(url);
	return s->url ? 0 : -ENOMEM;
}

void store_fini(struct store *s)
{
	free(s->url);
	s->url = NULL;
}

struct store *store_ref(struct store *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void store_unref(struct store *s)
{
	if (s && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		s->ops->destroy(s);
}

/* ---- arguments ---- */

static bool component_is_bad(const char *c, size_t len)
{
	return len == 0 || (len == 1 && c[0] == '.') || (len == 2 && c[0] == '.' && c[1] == '.');
}

/* How many bytes follow in a UTF-8 sequence that begins with c; -1 where none can begin. */
static int utf8_tail(unsigned char c)
{
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef)
		return 2;
	return c >= 0xf0 && c <= 0xf4 ? 3 : -1;
}

static bool is_utf8(const char *key)
{
	const unsigned char *p = (const unsigned char *)key;

	while (*p) {
		unsigned char first = *p++, second = *p;
		int tail = utf8_tail(first);

		if (tail < 0)
			return false;
		/* Longer than needed, surrogates, beyond U+10FFFF. */
		if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
		    (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
			return false;
		for (; tail > 0; tail--)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static int check_key(const char *key)
{
	size_t len = strlen(key);
	const char *c = key;

	if (len == 0 || len > STORE_KEY_MAX)
		return err_note(-EINVAL, "object key of %zu bytes (1 to %d can be used)", len,
				STORE_KEY_MAX);
	if (!is_utf8(key))
		return err_note(-EINVAL, "object key that is not UTF-8");
	for (;;) {
		size_t n = strcspn(c, "/");

		if (component_is_bad(c, n))
			return err_note(-EINVAL, "object key %s has an empty, . or .. component",
					key);
		if (!c[n])
			return 0;
		c += n + 1;
	}
}

size_t store_put_size(const struct store_put *put)
{
	size_t size = 0;

	for (int i = 0; i < put->iovcnt; i++)
		size += put->iov[i].iov_len;
	return size;
}

/* ---- operations ---- */

int store_get(struct store *s, const char *key, uint64_t offset, uint64_t len, struct buf *out,
	      struct store_meta *ret_meta)
{
	int err = check_key(key);

	if (err < 0)
		return err;
	if (len != STORE_TO_END && len > UINT64_MAX - offset)
		len = STORE_TO_END;
	return s->ops->get(s, key, offset, len, out, ret_meta);
}

int store_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	int err = check_key(put->key);

	if (err < 0)
		return err;
	if (put->cond == STORE_MATCH && (!put->match_etag || !*put->match_etag))
		return err_note(-EINVAL, "PUT %s: if-match without an etag", put->key);
	return s->ops->put(s, put, ret_meta);
}

int store_put_bytes(struct store *s, const char *key, const void *data, size_t len,
		    enum store_cond cond, const char *match_etag, struct store_meta *ret_meta)
{
	struct iovec v = { .iov_base = (void *)data, .iov_len = len };
	struct store_put put = {
		.key = key, .iov = &v, .iovcnt = 1, .cond = cond, .match_etag = match_etag
	};

	return store_put(s, &put, ret_meta);
}

int store_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	int err = check_key(key);

	return err < 0 ? err : s->ops->head(s, key, ret_meta);
}

/* Else who goes on behind the last one would go round for ever, or believe that nothing is between. */
static int check_order(const char *prefix, const char *after, const struct store_list *l,
		       size_t from)
{
	for (; from < l->count; from++) {
		if (strcmp(l->entries[from].key, after) <= 0)
			return err_note(-L3_SERVER,
					"LIST %s: %s comes where what is behind %s was asked for",
					prefix, l->entries[from].key, after);
		after = l->entries[from].key;
	}
	return 0;
}

int store_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
	       struct store_list *out)
{
	const char *after = start_after ? start_after : "";
	size_t before = out->count;
	int err;

	out->more = false;
	err = s->ops->list(s, prefix ? prefix : "", after, max, out);
	if (err >= 0)
		err = check_order(prefix ? prefix : "", after, out, before);
	while (err < 0 && out->count > before)
		free(out->entries[--out->count].key);
	return err;
}

int store_list_all(struct store *s, const char *prefix, const char *start_after,
		   struct store_list *out)
{
	char *after CLEANUP(free_ptr) = strdup(start_after ? start_after : "");

	do {
		size_t before = out->count;
		int err;

		if (!after)
			return -ENOMEM;
		err = store_list(s, prefix, after, 0, out);
		if (err < 0)
			return err;
		if (out->more && out->count == before)
			return err_note(-L3_SERVER,
					"LIST %s: the store promises more and gives none",
					prefix ? prefix : "");
		if (out->more) {
			free(after);
			after = strdup(out->entries[out->count - 1].key);
		}
	} while (out->more);
	return 0;
}

int store_copy(struct store *s, const char *from, const char *to)
{
	int err = check_key(from);

	if (err >= 0)
		err = check_key(to);
	return err < 0 ? err : s->ops->copy(s, from, to);
}

int store_rename(struct store *s, const char *from, const char *to)
{
	int err = store_copy(s, from, to);

	if (err < 0 || strcmp(from, to) == 0)
		return err;
	return store_remove(s, from);
}

int store_remove(struct store *s, const char *key)
{
	int err = check_key(key);

	return err < 0 ? err : s->ops->remove(s, key);
}

int store_remove_many(struct store *s, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int err = check_key(keys[i]);

		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < count; i += DELETE_BATCH) {
		size_t n = min_u64(count - i, DELETE_BATCH);
		int err = n == 1 ? s->ops->remove(s, keys[i]) : s->ops->remove_many(s, keys + i, n);

		if (err < 0)
			return err;
	}
	return 0;
}

void store_cancel(struct store *s)
{
	if (s)
		s->ops->cancel(s);
}

/* ---- lists ---- */

int store_list_add(struct store_list *l, const char *key, uint64_t size_bytes, int64_t mtime_s)
{
	char *copy;

	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct store_entry *entries = realloc(l->entries, cap * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		l->entries = entries;
		l->cap = cap;
	}
	copy = strdup(key);
	if (!copy)
		return -ENOMEM;
	l->entries[l->count++] =
		(struct store_entry){ .key = copy, .size_bytes = size_bytes, .mtime_s = mtime_s };
	return 0;
}

void store_list_release(struct store_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->entries[i].key);
	free(l->entries);
	*l = (struct store_list)STORE_LIST_INIT;
}

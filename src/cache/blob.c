/* SPDX-License-Identifier: BSD-3-Clause */
/* blob: bytes of an object that several hold on to, and views: what of them somebody reads. */
#include "cache/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A window may reach far past the object's end: no more is set aside for it before it came. */
#define RESERVE_MAX_BYTES (8 * MIB)

/* Below this malloc has its own ways of using memory again. */
#define KEEP_FROM_BYTES (64 * KIB)
#define KEEP_MAX 64
#define ROUND_BYTES (128 * KIB)

struct spare {
	uint8_t *data;
	size_t cap;
};

struct blob_pool {
	unsigned refs; /* atomic: its owner's and the blobs' */
	uint64_t limit_bytes;
	pthread_mutex_t lock;
	struct spare kept[KEEP_MAX]; /* the oldest first */
	size_t count;
	uint64_t kept_bytes;
};

struct blob_pool *blob_pool_new(uint64_t limit_bytes)
{
	struct blob_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->refs = 1;
	pool->limit_bytes = limit_bytes;
	pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

static struct spare take_out(struct blob_pool *pool, size_t at)
{
	struct spare s = pool->kept[at];

	pool->count--;
	memmove(&pool->kept[at], &pool->kept[at + 1], (pool->count - at) * sizeof(s));
	pool->kept_bytes -= s.cap;
	return s;
}

void blob_pool_put(struct blob_pool *pool)
{
	if (!pool || __atomic_sub_fetch(&pool->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	while (pool->count > 0)
		free(take_out(pool, 0).data);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* One that is large enough, but not by much: what it has too many would be lost to the cache. */
static struct spare spare_take(struct blob_pool *pool, size_t len)
{
	struct spare s = { NULL, 0 };

	pthread_mutex_lock(&pool->lock);
	for (size_t i = pool->count; i > 0 && !s.data; i--) {
		size_t cap = pool->kept[i - 1].cap;

		if (cap >= len && cap - len <= len / 8)
			s = take_out(pool, i - 1);
	}
	pthread_mutex_unlock(&pool->lock);
	return s;
}

static void spare_give(struct blob_pool *pool, uint8_t *data, size_t cap)
{
	if (cap < KEEP_FROM_BYTES || cap > pool->limit_bytes) {
		free(data);
		return;
	}
	pthread_mutex_lock(&pool->lock);
	while (pool->count == KEEP_MAX || pool->kept_bytes + cap > pool->limit_bytes)
		free(take_out(pool, 0).data);
	pool->kept[pool->count++] = (struct spare){ data, cap };
	pool->kept_bytes += cap;
	pthread_mutex_unlock(&pool->lock);
}

/* Of large ones there are few sizes, so that they fit each other. */
static size_t room_for(uint64_t len)
{
	size_t room = min_u64(len, RESERVE_MAX_BYTES);

	return room < MIB ? room : (room + ROUND_BYTES - 1) / ROUND_BYTES * ROUND_BYTES;
}

struct blob *blob_new(struct blob_pool *pool, uint64_t offset, uint64_t len)
{
	struct blob *b = calloc(1, sizeof(*b));
	size_t room = room_for(len);
	struct spare s = { NULL, 0 };

	if (!b)
		return NULL;
	if (room >= KEEP_FROM_BYTES)
		s = spare_take(pool, room);
	if (!s.data)
		s = (struct spare){ malloc(room), room };
	if (!s.data) {
		free(b);
		return NULL;
	}
	*b = (struct blob){ .refs = 1, .offset = offset, .pool = pool };
	b->bytes.data = s.data;
	b->bytes.cap = s.cap;
	__atomic_add_fetch(&pool->refs, 1, __ATOMIC_RELAXED);
	return b;
}

struct blob *blob_copy(struct blob_pool *pool, uint64_t offset, const uint8_t *data, uint64_t len)
{
	struct blob *b = blob_new(pool, offset, len);

	if (b)
		buf_add(&b->bytes, data, len);
	return b;
}

void blob_shrink(struct blob *b)
{
	struct buf *bytes = &b->bytes;
	uint8_t *less;

	if (bytes->len == 0 || bytes->cap - bytes->len <= bytes->cap / 4)
		return;
	less = realloc(bytes->data, bytes->len);
	if (!less)
		return;
	bytes->data = less;
	bytes->cap = bytes->len;
}

struct blob *blob_get(struct blob *b)
{
	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void blob_put(struct blob *b)
{
	if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	spare_give(b->pool, b->bytes.data, b->bytes.cap);
	blob_pool_put(b->pool);
	free(b);
}

/* ---- views ---- */

static struct cache_chunk *chunks(const struct cache_view *v)
{
	return v->more ? v->more : (struct cache_chunk *)v->few;
}

void view_init(struct cache_view *v)
{
	v->more = NULL;
	v->count = 0;
	v->failed = false;
}

void cache_view_of(struct cache_view *v, uint64_t offset, const void *bytes, size_t len)
{
	view_init(v);
	v->count = 1;
	v->few[0] = (struct cache_chunk){ .bytes = bytes, .at = offset, .len = len };
}

static int grow(struct cache_view *v)
{
	size_t cap = v->more ? v->cap : ARRAY_LEN(v->few);
	struct cache_chunk *more;

	if (v->count < cap)
		return 0;
	more = realloc(v->more, 2 * cap * sizeof(*more));
	if (!more) {
		v->failed = true;
		return -ENOMEM;
	}
	if (!v->more)
		memcpy(more, v->few, sizeof(v->few));
	v->more = more;
	v->cap = 2 * cap;
	return 0;
}

int view_add(struct cache_view *v, struct blob *b, uint64_t offset, uint64_t len)
{
	int err = grow(v);

	if (err < 0)
		return err;
	chunks(v)[v->count++] = (struct cache_chunk){ .blob = blob_get(b),
						      .bytes = b->bytes.data + (offset - b->offset),
						      .at = offset,
						      .len = len };
	return 0;
}

void cache_view_release(struct cache_view *v)
{
	for (size_t i = 0; i < v->count; i++)
		blob_put(chunks(v)[i].blob);
	free(v->more);
	view_init(v);
}

/* The chunk that has the byte at offset. */
static const struct cache_chunk *chunk_at(const struct cache_view *v, uint64_t offset)
{
	const struct cache_chunk *c = chunks(v);
	size_t low = 0, high = v->count;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (c[mid].at <= offset)
			low = mid;
		else
			high = mid;
	}
	return &c[low];
}

const void *cache_view_bytes(const struct cache_view *v, uint64_t offset, size_t len, void *scratch)
{
	const struct cache_chunk *c = chunk_at(v, offset), *end = chunks(v) + v->count;
	uint8_t *out = scratch;

	assert(v->count > 0 && offset >= c->at);
	if (len <= c->len - (offset - c->at))
		return c->bytes + (offset - c->at);
	for (; len > 0; c++) {
		size_t skip = offset - c->at, n;

		assert(c < end);
		n = min_u64(len, c->len - skip);
		memcpy(out, c->bytes + skip, n);
		out += n;
		offset += n;
		len -= n;
	}
	(void)end;
	return scratch;
}

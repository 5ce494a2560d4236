/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: pieces in memory, the least recently used go first.
 *
 * A blob comes as a batch of pieces that refer to it. They leave together when room is needed, for
 * its memory is only free when none of them is left: what somebody wanted alone came alone, so that
 * a batch is about as large as the stretch that is read in one go. Where memory is too short for
 * that, pieces are copied out of large blobs.
 *
 * One lock for the table and the order; nobody copies under it.
 */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define OVERHEAD_BYTES 192 /* of malloc, of the blob and of the pieces' array, about */
#define BATCHES_MIN 8	   /* so many must fit, or smaller ones are made */

struct batch {
	struct object *owner;
	struct blob *blob;
	uint64_t cost_bytes;
	size_t pieces;
	struct batch *prev, *next;
};

struct piece {
	struct span at;
	struct batch *batch;
};

struct object {
	char *key;
	struct piece *pieces; /* by offset, no overlaps */
	size_t count, cap;
	UT_hash_handle hh;
};

struct memory {
	pthread_mutex_t lock;
	struct object *objects;
	struct batch *order; /* most recently used first */
	uint64_t used_bytes, limit_bytes;
};

int memory_new(uint64_t limit_bytes, struct memory **ret)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	m->limit_bytes = limit_bytes;
	*ret = m;
	return 0;
}

/* The first piece that ends after offset. */
static size_t find(const struct object *o, uint64_t offset)
{
	size_t low = 0, high = o->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (span_end(&o->pieces[mid].at) > offset)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static struct object *object_find(struct memory *m, const char *key)
{
	struct object *o;

	HASH_FIND_STR(m->objects, key, o);
	return o;
}

static void object_free(struct memory *m, struct object *o)
{
	HASH_DEL(m->objects, o);
	free(o->pieces);
	free(o->key);
	free(o);
}

static struct object *object_make(struct memory *m, const char *key)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->key = strdup(key);
	if (!o->key) {
		free(o);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, m->objects, o->key, strlen(o->key), o);
	return o;
}

/* Ends a batch without pieces. */
static void batch_free(struct memory *m, struct batch *b)
{
	DL_DELETE(m->order, b);
	m->used_bytes -= b->cost_bytes;
	blob_put(b->blob);
	free(b);
}

static void take_out(struct memory *m, struct object *o, size_t at)
{
	struct batch *b = o->pieces[at].batch;

	o->count--;
	memmove(&o->pieces[at], &o->pieces[at + 1], (o->count - at) * sizeof(o->pieces[0]));
	if (--b->pieces == 0)
		batch_free(m, b);
}

static void free_if_empty(struct memory *m, struct object *o)
{
	if (o->count == 0)
		object_free(m, o);
}

static void evict(struct memory *m, struct batch *b)
{
	struct object *o = b->owner;
	size_t i = find(o, b->blob->offset);

	/* With its last piece it is gone. */
	for (size_t left = b->pieces; left > 0; left--) {
		while (o->pieces[i].batch != b)
			i++;
		take_out(m, o, i);
	}
	free_if_empty(m, o);
}

static void make_room(struct memory *m)
{
	while (m->used_bytes > m->limit_bytes)
		evict(m, m->order->prev);
}

/* ---- reading ---- */

uint64_t memory_view(struct memory *m, const char *key, const struct span *want,
		     struct cache_view *view)
{
	uint64_t pos = want->offset, end = span_end(want);
	struct object *o;

	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	for (size_t i = o ? find(o, pos) : 0; o && i < o->count && pos < end; i++) {
		const struct piece *p = &o->pieces[i];
		uint64_t upto = min_u64(span_end(&p->at), end);

		if (p->at.offset > pos || view_add(view, p->batch->blob, pos, upto - pos) < 0)
			break;
		DL_DELETE(m->order, p->batch);
		DL_PREPEND(m->order, p->batch);
		pos = upto;
	}
	pthread_mutex_unlock(&m->lock);
	return pos - want->offset;
}

uint64_t memory_covers(struct memory *m, const char *key, const struct span *want)
{
	uint64_t pos = want->offset, end = span_end(want);
	struct object *o;

	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	for (size_t i = o ? find(o, pos) : 0; o && i < o->count && pos < end; i++) {
		if (o->pieces[i].at.offset > pos)
			break;
		pos = span_end(&o->pieces[i].at);
	}
	pthread_mutex_unlock(&m->lock);
	return min_u64(pos, end) - want->offset;
}

uint64_t memory_held(struct memory *m, const char *key, const struct span *range)
{
	uint64_t end = span_end(range), held = 0;
	struct object *o;

	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	for (size_t i = o ? find(o, range->offset) : 0; o && i < o->count; i++) {
		const struct span *at = &o->pieces[i].at;

		if (at->offset >= end)
			break;
		held += min_u64(span_end(at), end) - max_u64(at->offset, range->offset);
	}
	pthread_mutex_unlock(&m->lock);
	return held;
}

/* ---- inserting ---- */

/* Cuts off what neighbours have already; what they have in the middle makes way. False: nothing
 * left. */
static bool fit(struct memory *m, struct object *o, struct span *at)
{
	size_t i = find(o, at->offset);

	if (i < o->count && o->pieces[i].at.offset <= at->offset) {
		uint64_t cut = span_end(&o->pieces[i].at) - at->offset;

		if (cut >= at->len)
			return false;
		at->offset += cut;
		at->len -= cut;
		i++;
	}
	while (i < o->count && span_end(&o->pieces[i].at) <= span_end(at))
		take_out(m, o, i);
	if (i < o->count && o->pieces[i].at.offset < span_end(at))
		at->len = o->pieces[i].at.offset - at->offset;
	return at->len > 0;
}

static bool add(struct object *o, const struct span *at, struct batch *b)
{
	size_t i;

	if (o->count == o->cap) {
		size_t cap = o->cap ? 2 * o->cap : 4;
		struct piece *pieces = realloc(o->pieces, cap * sizeof(pieces[0]));

		if (!pieces)
			return false;
		o->pieces = pieces;
		o->cap = cap;
	}
	i = find(o, at->offset);
	memmove(&o->pieces[i + 1], &o->pieces[i], (o->count - i) * sizeof(o->pieces[0]));
	o->pieces[i] = (struct piece){ *at, b };
	o->count++;
	b->pieces++;
	return true;
}

static void add_pieces(struct memory *m, struct object *o, struct batch *b)
{
	struct span left = { b->blob->offset, b->blob->bytes.len };

	while (left.len > 0) {
		struct span part = { left.offset, piece_part(&left) };

		left.offset += part.len;
		left.len -= part.len;
		if (fit(m, o, &part) && !add(o, &part, b))
			break;
	}
}

static void insert_batch(struct memory *m, const char *key, struct blob *blob)
{
	struct batch *b = calloc(1, sizeof(*b));
	struct object *o;

	if (!b)
		return;
	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	if (!o)
		o = object_make(m, key);
	*b = (struct batch){ .owner = o,
			     .blob = blob_get(blob),
			     .cost_bytes = sizeof(*b) + blob->bytes.cap + OVERHEAD_BYTES,
			     .pieces = 1 }; /* as long as pieces come and go */
	m->used_bytes += b->cost_bytes;
	DL_PREPEND(m->order, b);
	if (o)
		add_pieces(m, o, b);
	if (--b->pieces == 0)
		batch_free(m, b);
	if (o)
		free_if_empty(m, o);
	make_room(m);
	pthread_mutex_unlock(&m->lock);
}

static void insert_pieces(struct memory *m, const char *key, const struct blob *blob)
{
	struct span left = { blob->offset, blob->bytes.len };

	while (left.len > 0) {
		uint64_t n = piece_part(&left);
		struct blob *b = NULL;

		if (n <= m->limit_bytes)
			b = blob_copy(blob->pool, left.offset,
				      blob->bytes.data + (left.offset - blob->offset), n);
		if (b)
			insert_batch(m, key, b);
		blob_put(b);
		left.offset += n;
		left.len -= n;
	}
}

void memory_insert(struct memory *m, const char *key, struct blob *b)
{
	if (b->bytes.len == 0 || b->bytes.failed)
		return;
	if (b->bytes.len <= PIECE_BYTES ? b->bytes.len <= m->limit_bytes
					: b->bytes.cap <= m->limit_bytes / BATCHES_MIN)
		insert_batch(m, key, b);
	else
		insert_pieces(m, key, b);
}

/* ---- dropping ---- */

void memory_drop(struct memory *m, const char *key, const struct span *range)
{
	pthread_mutex_lock(&m->lock);
	for (;;) {
		struct object *o = object_find(m, key);
		size_t i = o ? find(o, range->offset) : 0;

		if (!o || i == o->count || o->pieces[i].at.offset >= span_end(range))
			break;
		take_out(m, o, i);
		free_if_empty(m, o);
	}
	pthread_mutex_unlock(&m->lock);
}

void memory_forget(struct memory *m, const char *key)
{
	memory_drop(m, key, &(struct span){ 0, UINT64_MAX });
}

uint64_t memory_bytes(struct memory *m)
{
	uint64_t used;

	pthread_mutex_lock(&m->lock);
	used = m->used_bytes;
	pthread_mutex_unlock(&m->lock);
	return used;
}

void memory_free(struct memory *m)
{
	if (!m)
		return;
	m->limit_bytes = 0;
	make_room(m);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

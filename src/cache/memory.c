/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: pieces in memory, the least recently used go first.
 *
 * One lock for the table and the order; bytes are copied outside of it, under a reference.
 */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define BATCH 32
#define OVERHEAD_BYTES 64 /* of malloc and of the owner's array, about */

struct piece {
	struct object *owner;
	struct span at;
	const uint8_t *data; /* into bytes, from where at begins */
	uint64_t cost_bytes;
	unsigned refs; /* atomic; the table has one */
	struct piece *prev, *next;
	uint8_t bytes[];
};

struct object {
	char *key;
	struct piece **pieces; /* by offset, no overlaps */
	size_t count, cap;
	UT_hash_handle hh;
};

struct memory {
	pthread_mutex_t lock;
	struct object *objects;
	struct piece *order; /* most recently used first */
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

static void piece_put(struct piece *p)
{
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(p);
}

/* The first piece that ends after offset. */
static size_t find(const struct object *o, uint64_t offset)
{
	size_t low = 0, high = o->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (span_end(&o->pieces[mid]->at) > offset)
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

/* Takes a piece out of table and order. */
static void take_out(struct memory *m, struct object *o, size_t at)
{
	struct piece *p = o->pieces[at];

	o->count--;
	memmove(&o->pieces[at], &o->pieces[at + 1], (o->count - at) * sizeof(o->pieces[0]));
	DL_DELETE(m->order, p);
	m->used_bytes -= p->cost_bytes;
	piece_put(p);
}

static void free_if_empty(struct memory *m, struct object *o)
{
	if (o->count == 0)
		object_free(m, o);
}

static void make_room(struct memory *m)
{
	while (m->used_bytes > m->limit_bytes) {
		struct piece *last = m->order->prev;
		struct object *o = last->owner;

		take_out(m, o, find(o, last->at.offset));
		free_if_empty(m, o);
	}
}

/* ---- reading ---- */

/* Up to BATCH pieces that cover the range from its start on; each with a reference. */
static size_t gather(struct memory *m, const char *key, const struct span *want,
		     struct piece *found[BATCH])
{
	uint64_t pos = want->offset;
	struct object *o;
	size_t n = 0;

	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	for (size_t i = o ? find(o, pos) : 0; o && i < o->count && n < BATCH; i++) {
		struct piece *p = o->pieces[i];

		if (p->at.offset > pos || pos >= span_end(want))
			break;
		__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
		DL_DELETE(m->order, p);
		DL_PREPEND(m->order, p);
		found[n++] = p;
		pos = span_end(&p->at);
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}

uint64_t memory_copy(struct memory *m, const char *key, const struct span *want, uint8_t *dst)
{
	struct piece *found[BATCH];
	struct span left = *want;
	size_t n;

	do {
		n = left.len > 0 ? gather(m, key, &left, found) : 0;
		for (size_t i = 0; i < n; i++) {
			struct piece *p = found[i];
			uint64_t skip = left.offset - p->at.offset;
			uint64_t len = min_u64(p->at.len - skip, left.len);

			memcpy(dst + (left.offset - want->offset), p->data + skip, len);
			left.offset += len;
			left.len -= len;
			piece_put(p);
		}
	} while (n == BATCH);
	return want->len - left.len;
}

uint64_t memory_covers(struct memory *m, const char *key, const struct span *want)
{
	uint64_t pos = want->offset, end = span_end(want);
	struct object *o;

	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	for (size_t i = o ? find(o, pos) : 0; o && i < o->count && pos < end; i++) {
		if (o->pieces[i]->at.offset > pos)
			break;
		pos = span_end(&o->pieces[i]->at);
	}
	pthread_mutex_unlock(&m->lock);
	return min_u64(pos, end) - want->offset;
}

/* ---- inserting ---- */

static struct piece *piece_make(uint64_t offset, const uint8_t *data, uint64_t len)
{
	struct piece *p = malloc(sizeof(*p) + len);

	if (!p)
		return NULL;
	*p = (struct piece){ .at = { offset, len },
			     .data = p->bytes,
			     .cost_bytes = sizeof(*p) + len + OVERHEAD_BYTES,
			     .refs = 1 };
	memcpy(p->bytes, data, len);
	return p;
}

/* Cuts off what neighbours have already; what they have in the middle makes way. False: nothing
 * left. */
static bool fit(struct memory *m, struct object *o, struct piece *p)
{
	size_t i = find(o, p->at.offset);

	if (i < o->count && o->pieces[i]->at.offset <= p->at.offset) {
		uint64_t cut = span_end(&o->pieces[i]->at) - p->at.offset;

		if (cut >= p->at.len)
			return false;
		p->at.offset += cut;
		p->at.len -= cut;
		p->data += cut;
		i++;
	}
	while (i < o->count && span_end(&o->pieces[i]->at) <= span_end(&p->at))
		take_out(m, o, i);
	if (i < o->count && o->pieces[i]->at.offset < span_end(&p->at))
		p->at.len = o->pieces[i]->at.offset - p->at.offset;
	return p->at.len > 0;
}

static bool add(struct memory *m, struct object *o, struct piece *p)
{
	size_t at;

	if (o->count == o->cap) {
		size_t cap = o->cap ? 2 * o->cap : 4;
		struct piece **pieces = realloc(o->pieces, cap * sizeof(pieces[0]));

		if (!pieces)
			return false;
		o->pieces = pieces;
		o->cap = cap;
	}
	at = find(o, p->at.offset);
	memmove(&o->pieces[at + 1], &o->pieces[at], (o->count - at) * sizeof(o->pieces[0]));
	o->pieces[at] = p;
	o->count++;
	p->owner = o;
	DL_PREPEND(m->order, p);
	m->used_bytes += p->cost_bytes;
	return true;
}

static void insert_piece(struct memory *m, const char *key, struct piece *p)
{
	struct object *o;
	bool kept = false;

	pthread_mutex_lock(&m->lock);
	o = object_find(m, key);
	if (!o)
		o = object_make(m, key);
	if (o)
		kept = fit(m, o, p) && add(m, o, p);
	if (o)
		free_if_empty(m, o);
	make_room(m);
	pthread_mutex_unlock(&m->lock);
	if (!kept)
		piece_put(p);
}

void memory_insert(struct memory *m, const char *key, uint64_t offset, const uint8_t *data,
		   uint64_t len)
{
	struct span left = { offset, len };

	while (left.len > 0) {
		struct span part = { left.offset, piece_part(&left) };
		struct piece *p = NULL;

		if (part.len <= m->limit_bytes && memory_covers(m, key, &part) < part.len)
			p = piece_make(part.offset, data, part.len);
		if (p)
			insert_piece(m, key, p);
		data += part.len;
		left.offset += part.len;
		left.len -= part.len;
	}
}

/* ---- dropping ---- */

void memory_drop(struct memory *m, const char *key, const struct span *range)
{
	pthread_mutex_lock(&m->lock);
	for (;;) {
		struct object *o = object_find(m, key);
		size_t i = o ? find(o, range->offset) : 0;

		if (!o || i == o->count || o->pieces[i]->at.offset >= span_end(range))
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

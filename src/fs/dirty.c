/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty: bytes that were written and are not frozen yet.
 *
 * A set is a sorted array of chunks of 128 KiB of the file; each has one buffer that covers what
 * was written of it, and the valid intervals within. Appending to the last chunk costs a memcpy;
 * buffers grow by doubling in the direction of the writing. What the budget holds for a set is
 * memory, not valid bytes: intervals count as well, so that single bytes scattered about are frozen
 * in time.
 *
 * Whole buffers are kept for the next chunks while anything is dirty, up to a sixteenth of the budget: new memory
 * costs a page fault for every 4 KiB, and malloc gives back what a stream needs again a moment later.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_MIN 512
#define INTERVAL_COST 64 /* its later extent record, roughly */
#define SPARE_SHARE 16	 /* of the budget */

/* ---- buffers ---- */

struct spare_chunk { /* what an unused buffer begins with */
	struct spare_chunk *next;
};

static uint8_t *buffer_take(struct fs *fs, uint32_t cap)
{
	struct spare_chunk *s = NULL;

	if (cap == CHUNK_BYTES) {
		pthread_mutex_lock(&fs->spare_lock);
		s = fs->spare_chunks;
		if (s) {
			fs->spare_chunks = s->next;
			fs->spare_count--;
		}
		pthread_mutex_unlock(&fs->spare_lock);
	}
	return s ? (uint8_t *)s : malloc(cap);
}

static void buffer_give(struct fs *fs, uint8_t *bytes, uint32_t cap)
{
	struct spare_chunk *s = (struct spare_chunk *)bytes;

	if (cap == CHUNK_BYTES) {
		pthread_mutex_lock(&fs->spare_lock);
		if (fs->spare_count < fs->budget.limit_bytes / SPARE_SHARE / CHUNK_BYTES) {
			s->next = fs->spare_chunks;
			fs->spare_chunks = s;
			fs->spare_count++;
			bytes = NULL;
		}
		pthread_mutex_unlock(&fs->spare_lock);
	}
	free(bytes);
}

void dirty_spares_drop(struct fs *fs)
{
	struct spare_chunk *s, *next;

	pthread_mutex_lock(&fs->spare_lock);
	s = fs->spare_chunks;
	fs->spare_chunks = NULL;
	fs->spare_count = 0;
	pthread_mutex_unlock(&fs->spare_lock);
	for (; s; s = next) {
		next = s->next;
		free(s);
	}
}

/* ---- chunks ---- */

static uint64_t chunk_cost(const struct dirty_chunk *c)
{
	return sizeof(*c) + c->cap + (uint64_t)c->count * INTERVAL_COST;
}

static void chunk_free(struct fs *fs, struct dirty_chunk *c)
{
	buffer_give(fs, c->buf, c->cap);
	free(c->valid);
	free(c);
}

void dirty_set_release(struct fs *fs, struct dirty_set *set)
{
	for (size_t n = 0; n < set->count; n++)
		chunk_free(fs, set->chunks[n]);
	free(set->chunks);
	budget_give(&fs->budget, set->bytes);
	*set = (struct dirty_set){ 0 };
}

/* The first chunk with index >= the one asked. */
static size_t chunk_place(const struct dirty_set *set, uint64_t index)
{
	size_t low = 0, high = set->count;

	if (high > 0 && set->chunks[high - 1]->index < index)
		return high;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->chunks[mid]->index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int chunk_add(struct dirty_set *set, size_t place, uint64_t index)
{
	struct dirty_chunk *c;

	if (set->count == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 4;
		struct dirty_chunk **more = realloc(set->chunks, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		set->chunks = more;
		set->cap = cap;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->index = index;
	memmove(&set->chunks[place + 1], &set->chunks[place],
		(set->count - place) * sizeof(set->chunks[0]));
	set->chunks[place] = c;
	set->count++;
	return 0;
}

static uint32_t power_above(uint32_t len)
{
	uint32_t p = BUFFER_MIN;

	while (p < len)
		p *= 2;
	return p;
}

/* Makes the buffer cover [from, to); spare room goes to the side that grows. */
static int chunk_cover(struct fs *fs, struct dirty_chunk *c, uint32_t from, uint32_t to)
{
	uint32_t old_end = c->base + c->cap, base, end, cap;
	uint8_t *bytes;

	if (c->cap > 0 && from >= c->base && to <= old_end)
		return 0;
	base = from;
	end = to;
	if (c->cap > 0) {
		base = from < c->base ? from : c->base;
		end = to > old_end ? to : old_end;
	}
	cap = power_above(end - base);
	if (c->cap > 0 && from < c->base)
		base = end > cap ? end - cap : 0;
	if (base + cap > CHUNK_BYTES)
		cap = CHUNK_BYTES - base;
	if (c->cap > 0 && base == c->base && cap < CHUNK_BYTES) {
		bytes = realloc(c->buf, cap);
		if (!bytes)
			return -ENOMEM;
	} else {
		bytes = buffer_take(fs, cap);
		if (!bytes)
			return -ENOMEM;
		if (c->cap > 0)
			memcpy(bytes + (c->base - base), c->buf, c->cap);
		buffer_give(fs, c->buf, c->cap);
	}
	c->buf = bytes;
	c->base = base;
	c->cap = cap;
	return 0;
}

static int interval_room(struct dirty_chunk *c)
{
	uint32_t room = c->room ? c->room * 2 : 2;
	struct interval *more;

	if (c->count < c->room)
		return 0;
	more = realloc(c->valid, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->valid = more;
	c->room = room;
	return 0;
}

/* The first interval that ends at or after `at`. */
static uint32_t interval_place(const struct dirty_chunk *c, uint32_t at)
{
	uint32_t low = 0, high = c->count;

	if (high > 0 && c->valid[high - 1].to < at)
		return high;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (c->valid[mid].to < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Joins [from, to) with what it touches; there is room for one more. Returns the bytes gained. */
static uint32_t interval_add(struct dirty_chunk *c, uint32_t from, uint32_t to)
{
	uint32_t first = interval_place(c, from), last = first, had = 0;

	while (last < c->count && c->valid[last].from <= to) {
		from = c->valid[last].from < from ? c->valid[last].from : from;
		to = c->valid[last].to > to ? c->valid[last].to : to;
		had += c->valid[last].to - c->valid[last].from;
		last++;
	}
	if (last == first)
		memmove(&c->valid[first + 1], &c->valid[first],
			(c->count - first) * sizeof(c->valid[0]));
	else if (last > first + 1)
		memmove(&c->valid[first + 1], &c->valid[last],
			(c->count - last) * sizeof(c->valid[0]));
	c->count = c->count + 1 - (last - first);
	c->valid[first] = (struct interval){ from, to };
	return to - from - had;
}

static int chunk_write(struct fs *fs, struct dirty_set *set, uint64_t index, uint32_t from,
		       const uint8_t *bytes, uint32_t len)
{
	size_t place = chunk_place(set, index);
	struct dirty_chunk *c;
	uint64_t before = 0, after;
	int err = 0;

	if (place == set->count || set->chunks[place]->index != index)
		err = chunk_add(set, place, index);
	else
		before = chunk_cost(set->chunks[place]);
	if (err < 0)
		return err;
	c = set->chunks[place];
	err = chunk_cover(fs, c, from, from + len);
	if (err >= 0)
		err = interval_room(c);
	if (err >= 0) {
		memcpy(c->buf + (from - c->base), bytes, len);
		set->valid += interval_add(c, from, from + len);
	}
	after = chunk_cost(c);
	if (after > before)
		budget_force(&fs->budget, after - before);
	else
		budget_give(&fs->budget, before - after);
	set->bytes += after - before;
	return err;
}

ssize_t dirty_write(struct fs *fs, struct inode *i, uint64_t offset, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t done = 0;

	while (done < len) {
		uint64_t at = offset + done;
		uint32_t from = (uint32_t)(at % CHUNK_BYTES);
		uint32_t part = (uint32_t)min_u64(len - done, CHUNK_BYTES - from);
		int err = chunk_write(fs, &i->dirty, at / CHUNK_BYTES, from, bytes + done, part);

		if (err < 0)
			return done > 0 ? (ssize_t)done : err;
		done += part;
	}
	return (ssize_t)done;
}

static int chunk_each(const struct dirty_chunk *c, uint64_t start, uint64_t end, dirty_each_fn fn,
		      void *ctx)
{
	uint64_t chunk_start = c->index * CHUNK_BYTES;
	uint32_t low = start > chunk_start ? (uint32_t)(start - chunk_start) : 0;
	uint32_t high = (uint32_t)min_u64(end - chunk_start, CHUNK_BYTES);

	for (uint32_t n = interval_place(c, low); n < c->count && c->valid[n].from < high; n++) {
		uint32_t from = c->valid[n].from > low ? c->valid[n].from : low;
		uint32_t to = c->valid[n].to < high ? c->valid[n].to : high;
		int stop;

		if (from >= to)
			continue;
		stop = fn(ctx, chunk_start + from, c->buf + (from - c->base), to - from);
		if (stop)
			return stop;
	}
	return 0;
}

int dirty_each(const struct dirty_set *set, uint64_t start, uint64_t end, dirty_each_fn fn,
	       void *ctx)
{
	for (size_t n = chunk_place(set, start / CHUNK_BYTES); n < set->count; n++) {
		int stop;

		if (set->chunks[n]->index * CHUNK_BYTES >= end)
			break;
		stop = chunk_each(set->chunks[n], start, end, fn, ctx);
		if (stop)
			return stop;
	}
	return 0;
}

bool inode_has_dirty(const struct inode *i)
{
	return i->dirty.count > 0 || i->frozen;
}

uint64_t inode_unsaved_bytes(const struct inode *i)
{
	uint64_t bytes = i->dirty.valid;
	const struct frozen *z;

	DL_FOREACH (i->frozen, z)
		bytes += z->valid;
	return bytes;
}

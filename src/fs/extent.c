/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * extent: the map of a file, from ranges to stored bytes.
 *
 * One E record per extent, keyed by inode and end. So the first extent that overlaps a range from
 * `start` on is the first key at or after (inode, start + 1), and what overlaps comes right after
 * it. Extents of one inode never overlap; what no extent covers is a hole.
 *
 * A change clears ranges first (extents in the way are removed, or cut to what remains of them),
 * then puts the new extents. In the batch, deletions come before the puts: a cut extent and a new
 * one may end where an old one did.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int extent_list_add(struct extent_list *l, const struct extent *e)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		struct extent *more = realloc(l->at, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count++] = *e;
	return 0;
}

void extent_list_release(struct extent_list *l)
{
	free(l->at);
	*l = (struct extent_list){ 0 };
}

void extents_reset(struct extents *x)
{
	x->list.count = 0;
	buf_reset(&x->bytes);
}

int extents_add(struct extents *x, const struct extent *e)
{
	struct extent copy = *e;

	if (e->kind == EXTENT_INLINE) {
		copy.raw_offset = (uint32_t)x->bytes.len;
		buf_add(&x->bytes, e->bytes, e->end - e->start);
	}
	return extent_list_add(&x->list, &copy);
}

int extents_done(struct extents *x)
{
	for (size_t n = 0; n < x->list.count; n++)
		if (x->list.at[n].kind == EXTENT_INLINE)
			x->list.at[n].bytes = x->bytes.data + x->list.at[n].raw_offset;
	return buf_error(&x->bytes);
}

void extents_release(struct extents *x)
{
	extent_list_release(&x->list);
	buf_release(&x->bytes);
}

struct extent extent_part(const struct extent *e, uint64_t start, uint64_t end)
{
	struct extent part = *e;

	part.start = start;
	part.end = end;
	if (e->kind == EXTENT_STORED || e->kind == EXTENT_LOST)
		part.raw_offset = (uint32_t)(e->raw_offset + (start - e->start));
	else if (e->kind == EXTENT_INLINE)
		part.bytes = e->bytes + (start - e->start);
	return part;
}

/* ---- looking up ---- */

struct cursor {
	struct fs *fs;
	uint64_t ino;
	leveldb_iterator_t *it;
	bool shifting; /* what the map says has to be seen through this: */
	struct shift shift;
};

static int cursor_open(struct cursor *c, struct fs *fs, uint64_t ino)
{
	int err = fs->any_shift ? shift_read(fs, ino, &c->shift) : -ENOENT;

	if (err < 0 && err != -ENOENT)
		return err;
	c->fs = fs;
	c->ino = ino;
	c->shifting = err >= 0;
	c->it = leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	return c->it ? 0 : -ENOMEM;
}

static void cursor_close(struct cursor *c)
{
	leveldb_iter_destroy(c->it);
}

/* To the first extent that ends after `start`. */
static void cursor_seek(struct cursor *c, uint64_t start)
{
	struct key k;

	if (c->shifting)
		start = shift_place(&c->shift, start);
	key_extent(&k, c->ino, start + 1);
	leveldb_iter_seek(c->it, (const char *)k.bytes, k.len);
}

static void cursor_next(struct cursor *c)
{
	leveldb_iter_next(c->it);
}

static int cursor_error(struct cursor *c)
{
	char *msg = NULL;

	leveldb_iter_get_error(c->it, &msg);
	return msg ? db_error(c->fs->db, msg) : 0;
}

/* 1 and the extent (its inline bytes stay valid until the cursor moves); 0 at the end; or an error.
 */
static int cursor_look(struct cursor *c, struct extent *ret)
{
	size_t key_len, len;
	const char *key, *value;
	int err;

	if (!leveldb_iter_valid(c->it))
		return cursor_error(c);
	key = leveldb_iter_key(c->it, &key_len);
	if (key_len != KEY_ORDERED_BYTES || key[0] != 'E' || get_u64_be(key + 1) != c->ino)
		return 0;
	value = leveldb_iter_value(c->it, &len);
	err = extent_decode(value, len, get_u64_be(key + 9), ret);
	return err < 0 ? err : 1;
}

static int cursor_get(struct cursor *c, struct extent *ret)
{
	int err = cursor_look(c, ret);

	while (err > 0 && c->shifting && !shift_see(&c->shift, ret)) {
		cursor_next(c);
		err = cursor_look(c, ret);
	}
	return err;
}

int extent_walk_whole(struct fs *fs, uint64_t ino, uint64_t start,
		      int (*each)(void *ctx, const struct extent *e), void *ctx)
{
	struct extent e;
	struct cursor c;
	int err = cursor_open(&c, fs, ino);

	if (err < 0)
		return err;
	for (cursor_seek(&c, start); (err = cursor_get(&c, &e)) > 0; cursor_next(&c)) {
		err = each(ctx, &e);
		if (err)
			break;
	}
	cursor_close(&c);
	return err;
}

/* To the last extent that ends at `end` or before. */
static void cursor_seek_back(struct cursor *c, uint64_t end)
{
	cursor_seek(c, end);
	if (leveldb_iter_valid(c->it))
		leveldb_iter_prev(c->it);
	else
		leveldb_iter_seek_to_last(c->it);
}

int extent_walk_back(struct fs *fs, uint64_t ino, uint64_t start, uint64_t end,
		     int (*each)(void *ctx, const struct extent *e), void *ctx)
{
	struct extent e;
	struct cursor c;
	int err = cursor_open(&c, fs, ino);

	if (err < 0)
		return err;
	for (cursor_seek_back(&c, end); (err = cursor_get(&c, &e)) > 0; leveldb_iter_prev(c.it)) {
		if (e.end <= start) {
			err = 0;
			break;
		}
		err = each(ctx, &e);
		if (err)
			break;
	}
	cursor_close(&c);
	return err;
}

int extent_walk(struct fs *fs, uint64_t ino, uint64_t start, uint64_t end,
		int (*each)(void *ctx, const struct extent *e), void *ctx)
{
	struct extent e, part;
	struct cursor c;
	int err;

	if (start >= end)
		return 0;
	err = cursor_open(&c, fs, ino);
	if (err < 0)
		return err;
	for (cursor_seek(&c, start); (err = cursor_get(&c, &e)) > 0; cursor_next(&c)) {
		if (e.start >= end) {
			err = 0;
			break;
		}
		part = extent_part(&e, max_u64(e.start, start), min_u64(e.end, end));
		err = each(ctx, &part);
		if (err)
			break;
	}
	cursor_close(&c);
	return err;
}

void extent_warm(struct fs *fs, uint64_t ino, const uint64_t *starts, size_t count)
{
	struct cursor c;

	if (count == 0 || cursor_open(&c, fs, ino) < 0)
		return;
	for (size_t n = 0; n < count; n++) {
		struct extent e;

		cursor_seek(&c, starts[n]);
		if (cursor_get(&c, &e) > 0 && e.kind == EXTENT_STORED)
			txn_warm_segment(fs, e.ref.segment);
	}
	cursor_close(&c);
}

bool extent_may_overlap(const struct inode *i, uint64_t from)
{
	if (i->attr.alloc_bytes == 0 && !i->trimming)
		return false;
	return from < i->stored_size || i->trimming || (i->attr.flags & INODE_PREALLOC);
}

/* ---- changing ---- */

struct range {
	uint64_t start, end;
};

static void put_extent(struct txn *t, uint64_t ino, const struct extent *e)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_extent(&k, ino, e->end);
	extent_encode(&value, e);
	txn_put(t, &k, &value);
}

static void uncover(struct txn *t, struct inode *i, const struct extent *e, uint64_t bytes)
{
	i->attr.alloc_bytes -= bytes;
	t->used_bytes -= (int64_t)bytes;
	if (e->kind == EXTENT_STORED)
		txn_live(t, e->ref.segment, -(int64_t)bytes, 0);
}

/* Returns the bytes that stay in the map. */
static uint64_t put_moved(struct txn *t, struct inode *i, const struct extent *old, uint64_t start,
			  uint64_t end, int64_t by)
{
	struct extent part;

	if (start >= end)
		return 0;
	part = extent_part(old, start, end);
	part.start += (uint64_t)by;
	part.end += (uint64_t)by;
	put_extent(t, i->ino, &part);
	if (by != 0 && part.kind == EXTENT_STORED)
		txn_refer(t, part.ref.segment, i->ino, part.start, part.end, false);
	return end - start;
}

void extent_shift(struct txn *t, struct inode *i, const struct extent *old, uint64_t keep,
		  uint64_t from, int64_t by)
{
	uint64_t kept;
	struct key k;

	key_extent(&k, i->ino, old->end);
	txn_delete(t, &k);
	kept = put_moved(t, i, old, old->start, min_u64(old->end, keep), 0);
	kept += put_moved(t, i, old, max_u64(old->start, from), old->end, by);
	uncover(t, i, old, old->end - old->start - kept);
}

static void cover(struct txn *t, struct inode *i, const struct extent *e)
{
	int64_t bytes = (int64_t)(e->end - e->start);

	i->attr.alloc_bytes += (uint64_t)bytes;
	t->used_bytes += bytes;
	if (e->kind == EXTENT_STORED && e->foreign)
		txn_refer(t, e->ref.segment, i->ino, e->start, e->end, true);
	else if (e->kind == EXTENT_STORED)
		txn_live(t, e->ref.segment, bytes, bytes);
	put_extent(t, i->ino, e);
}

/*
 * Takes the ranges from *next on out of one old extent. *next moves past those that end within it.
 * The old key goes first; what remains is put again, perhaps under the same key.
 */
static void cut_one(struct txn *t, struct inode *i, const struct extent *old,
		    const struct range *ranges, size_t count, size_t *next)
{
	uint64_t at = old->start, kept = 0;
	size_t n = *next;
	struct key k;

	key_extent(&k, i->ino, old->end);
	txn_delete(t, &k);
	for (; n < count && ranges[n].start < old->end; n++) {
		if (ranges[n].start > at) {
			struct extent left = extent_part(old, at, ranges[n].start);

			put_extent(t, i->ino, &left);
			kept += left.end - left.start;
		}
		at = max_u64(at, ranges[n].end);
		if (ranges[n].end > old->end)
			break; /* the next old one meets it, too */
	}
	if (at < old->end) {
		struct extent right = extent_part(old, at, old->end);

		put_extent(t, i->ino, &right);
		kept += right.end - right.start;
	}
	*next = n;
	uncover(t, i, old, old->end - old->start - kept);
}

/* The cursor stands behind the old extents met so far; it may already be where the range begins. */
static int seek_forward(struct cursor *c, uint64_t start)
{
	struct extent e;
	int err = cursor_get(c, &e);

	if (err > 0 && e.end <= start)
		cursor_seek(c, start);
	return err;
}

static int clear_ranges(struct txn *t, struct inode *i, const struct range *ranges, size_t count)
{
	struct extent old;
	struct cursor c;
	size_t next = 0;
	int err = cursor_open(&c, t->fs, i->ino);

	if (err < 0)
		return err;
	cursor_seek(&c, ranges[0].start);
	while (next < count && (err = cursor_get(&c, &old)) > 0) {
		if (old.start >= ranges[next].end) {
			next++;
			if (next < count)
				err = seek_forward(&c, ranges[next].start);
			if (err < 0)
				break;
			continue;
		}
		cut_one(t, i, &old, ranges, count, &next);
		cursor_next(&c);
		if (next < count && (err = seek_forward(&c, ranges[next].start)) < 0)
			break;
	}
	cursor_close(&c);
	return err < 0 ? err : 0;
}

static int clear_below(struct txn *t, struct inode *i, const struct extent *e, size_t count)
{
	struct range small[16], *ranges = small;
	struct range *heap CLEANUP(free_ptr) = NULL;
	size_t n = 0;

	if (count > ARRAY_LEN(small)) {
		ranges = heap = calloc(count, sizeof(*ranges));
		if (!ranges)
			return -ENOMEM;
	}
	for (size_t k = 0; k < count; k++) {
		if (n > 0 && ranges[n - 1].end == e[k].start)
			ranges[n - 1].end = e[k].end;
		else
			ranges[n++] = (struct range){ e[k].start, e[k].end };
	}
	return clear_ranges(t, i, ranges, n);
}

int extent_replace(struct txn *t, struct inode *i, const struct extent *e, size_t count)
{
	int err = 0;

	if (count == 0)
		return 0;
	i->map_version++;
	/* Appending needs no look: nothing can be in the way. */
	if (extent_may_overlap(i, e[0].start))
		err = clear_below(t, i, e, count);
	if (err < 0)
		return err;
	for (size_t n = 0; n < count; n++)
		cover(t, i, &e[n]);
	return 0;
}

int extent_overlay(struct txn *t, struct inode *i, uint64_t start, uint64_t end,
		   const struct extent *e, size_t count)
{
	struct range range = { start, end };
	int err = 0;

	i->map_version++;
	if (extent_may_overlap(i, start))
		err = clear_ranges(t, i, &range, 1);
	for (size_t n = 0; n < count && err >= 0; n++)
		cover(t, i, &e[n]);
	return err;
}

int extent_insert(struct txn *t, struct inode *i, const struct extent *e)
{
	return extent_replace(t, i, e, 1);
}

int extent_remove(struct txn *t, struct inode *i, uint64_t start, uint64_t end)
{
	struct range range = { start, end };

	if (start >= end)
		return 0;
	i->map_version++;
	return clear_ranges(t, i, &range, 1);
}

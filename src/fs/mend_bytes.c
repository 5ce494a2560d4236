/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mend_bytes: ranges of files that are lost, and what segments' indexes still know.
 *
 * A range whose bytes cannot be had stays in the file as lost: reading it is an error, never zeros,
 * until it is written again. The record keeps where the bytes were; if they come back (an object
 * restored from somewhere), a later repair finds them.
 */
#include "fs/check.h"
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

typedef unsigned long long ull;

int mend_extent(struct check *c, uint64_t ino, const struct extent *e)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_extent(&k, ino, e->end);
	extent_encode(&value, e);
	return mend_put(c, &k, &value);
}

/* Older versions do not know such records. */
static int put_lost(struct check *c, uint64_t ino, const struct extent *e)
{
	int err = super_require(c->fs->store, &c->fs->super, SUPER_INCOMPAT_LOST);

	return err < 0 ? err : mend_extent(c, ino, e);
}

int mend_lost(struct check *c, uint64_t ino, const struct extent *e)
{
	struct extent lost = *e;

	lost.kind = EXTENT_LOST;
	return c->mend ? put_lost(c, ino, &lost) : 0;
}

int mend_lost_record(struct check *c, uint64_t ino, uint64_t end, uint64_t before)
{
	uint64_t least = end - min_u64(end, DATA_EXTENT_MAX);
	struct extent lost = { .start = max_u64(before, least), .end = end, .kind = EXTENT_LOST };

	if (!c->mend || end == 0 || end > FS_FILE_SIZE_MAX || lost.start >= end)
		return 0;
	return put_lost(c, ino, &lost);
}

/* ---- back-references ---- */

int mend_reference(struct check *c, uint64_t ino, const struct extent *e)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct reference r = { e->start, e->end }, old;
	struct key k;
	int err = mend_flush(c);

	if (!c->mend || err < 0)
		return err;
	key_reference(&k, e->ref.segment, ino);
	err = db_value(c->fs, &k, &value);
	if (err >= 0 && reference_decode(value.data, value.len, &old) >= 0) {
		r.start = min_u64(r.start, old.start);
		r.end = max_u64(r.end, old.end);
	}
	if (err < 0 && err != -ENOENT)
		return err;
	buf_reset(&value);
	reference_encode(&value, &r);
	return mend_put(c, &k, &value);
}

/* ---- holes that are none ---- */

struct gaps {
	struct check *c;
	uint64_t ino, at;
};

static int lose_gap(struct gaps *g, uint64_t end)
{
	struct extent lost = { .start = g->at, .end = end, .kind = EXTENT_LOST };

	return g->at < end ? put_lost(g->c, g->ino, &lost) : 0;
}

static int see_gap(void *ctx, const struct extent *e)
{
	struct gaps *g = ctx;
	int err = lose_gap(g, e->start);

	g->at = e->end;
	return err;
}

/* Its record and its extents are not of one time (or there was no record): which of its holes had bytes nobody knows, and
 * none may be read as zeros. */
int mend_gaps(struct check *c, struct node *n)
{
	struct gaps g = { c, n->ino, 0 };
	int err;

	if (!c->mend || !c->mend->rescued || !S_ISREG(n->mode))
		return 0;
	err = mend_flush(c);
	if (err >= 0)
		err = extent_walk(c->fs, n->ino, 0, n->size, see_gap, &g);
	return err < 0 ? err : lose_gap(&g, n->size);
}

/* ---- from segments' indexes ---- */

static int put_uncovered(struct gaps *g, const struct data_index_entry *x, uint64_t end)
{
	struct extent e = { .start = g->at, .end = end, .kind = EXTENT_STORED, .ref = x->ref };

	if (g->at >= end)
		return 0;
	e.raw_offset = (uint32_t)(g->at - x->file_offset);
	return mend_extent(g->c, g->ino, &e);
}

struct filling {
	struct gaps gaps;
	const struct data_index_entry *entry;
};

static int see_covered(void *ctx, const struct extent *e)
{
	struct filling *f = ctx;
	int err = put_uncovered(&f->gaps, f->entry, e->start);

	f->gaps.at = e->end;
	return err;
}

static int take_entry(struct check *c, const struct data_index_entry *x)
{
	struct filling f = { { c, x->ino, x->file_offset }, x };
	uint64_t end = x->file_offset + x->ref.raw_bytes;
	struct ghost *g;
	int err = mend_flush(c);

	if (x->ino <= FS_ROOT_INO || end > FS_FILE_SIZE_MAX || check_node(c, x->ino))
		return err;
	g = check_ghost(c, x->ino);
	if (!g)
		return -ENOMEM;
	g->extents = true;
	g->end = max_u64(g->end, end);
	if (err >= 0)
		err = extent_walk(c->fs, x->ino, x->file_offset, end, see_covered, &f);
	return err < 0 ? err : put_uncovered(&f.gaps, x, end);
}

static int take_index(struct check *c, uint64_t segment)
{
	struct data_index_entry *index CLEANUP(free_ptr) = NULL;
	uint64_t object_bytes;
	size_t count = 0;
	int err = data_read_index(c->fs->data, segment, &index, &count, &object_bytes);

	if (err == -ECANCELED || err == -L3_FENCED || err == -ENOMEM)
		return err;
	if (err < 0) /* not stored yet, or damaged: told elsewhere */
		return 0;
	/* What was written last counts. */
	for (size_t n = count; n-- > 0 && err >= 0;)
		err = take_entry(c, &index[n]);
	return err;
}

/* More was live in it than is found; or nothing is known of it. */
static bool lacks_extents(struct check *c, uint64_t segment)
{
	struct check_segment *s;

	HASH_FIND(hh, c->segments, &segment, sizeof(segment), s);
	return !s || !s->has_record || s->rec.live_bytes > s->live;
}

int mend_from_indexes(struct check *c)
{
	struct store_list list CLEANUP(store_list_release) = STORE_LIST_INIT;
	uint64_t id;
	int err;

	if (!c->mend || !c->mend->rescued || c->mend->indexed)
		return 0;
	c->mend->indexed = true;
	err = store_list_all(c->fs->store, "data/", "", &list);
	for (size_t n = list.count; n-- > 0 && err >= 0;) {
		err = check_step(c, "segments' indexes");
		if (err >= 0 && data_key_parse(list.entries[n].key, &id) >= 0 &&
		    lacks_extents(c, id))
			err = take_index(c, id);
	}
	return err;
}

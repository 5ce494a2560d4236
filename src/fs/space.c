/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space: truncation, allocation, holes, and finding them (lseek). Moving ranges: shift.c.
 *
 * These change the map directly, after everything written before has entered. A batch holds at most
 * some thousand extents: allocating or punching more than that goes in several, each of which
 * leaves a sound file; cutting more than that off is left to the reaper, and takes effect at once.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define EXTENTS_AT_ONCE 1000
#define ALLOCATE_MAX ((uint64_t)1 << 50) /* what statfs says is free */
#define TRIM_WAIT_MS 1000

/* ---- truncation ---- */

int file_wait_trim(struct fs *fs, struct inode *i)
{
	int err = 0;

	while (i->trimming && err >= 0) {
		err = file_may_write(fs);
		if (err >= 0)
			(void)cond_wait_ms(&i->changed, &i->lock, TRIM_WAIT_MS);
	}
	return err;
}

static int count_one(void *ctx, const struct extent *e)
{
	unsigned *count = ctx;

	return ++*count > EXTENTS_AT_ONCE;
}

/* 1: more than one batch should take. */
static int is_much(struct fs *fs, struct inode *i, uint64_t from)
{
	uint64_t end = i->trimming ? i->trim_from : UINT64_MAX;
	unsigned count = 0;

	if (!extent_may_overlap(i, from))
		return 0;
	return extent_walk(fs, i->ino, from, end, count_one, &count);
}

/* In the batch: what lies beyond the new size goes now, or is noted for the reaper. */
static int cut_off(struct txn *t, struct inode *i, uint64_t size, bool much)
{
	uint64_t end = i->trimming ? i->trim_from : UINT64_MAX;

	if (much) {
		orphan_put(t, i->ino, i->attr.nlink == 0, size);
		return 0;
	}
	return extent_may_overlap(i, size) ? extent_remove(t, i, size, end) : 0;
}

static int write_size(struct fs *fs, struct inode *i, uint64_t size, bool much)
{
	uint64_t alloc_bytes = i->attr.alloc_bytes, stored_size = i->stored_size;
	uint64_t old_size = i->attr.size;
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	if (size < max_u64(old_size, stored_size) || (i->attr.flags & INODE_PREALLOC))
		err = cut_off(&t, i, size, much);
	if (err < 0) {
		txn_abort(&t);
	} else {
		i->attr.size = i->stored_size = size;
		txn_put_inode(&t, i);
		err = txn_commit(&t);
	}
	if (err < 0) {
		i->attr.size = old_size;
		i->stored_size = stored_size;
		i->attr.alloc_bytes = alloc_bytes;
	}
	return err;
}

int file_truncate(struct fs *fs, struct inode *i, uint64_t size)
{
	int err, much;

	if (size > FS_FILE_SIZE_MAX)
		return -EFBIG;
	err = shift_finish(fs, i);
	if (err >= 0 && size > 0)
		err = flush_inode(fs, i);
	much = err < 0 ? err : is_much(fs, i, size);
	if (much < 0)
		return much;
	err = write_size(fs, i, size, much);
	if (err < 0)
		return err;
	/* To nothing: what has not entered never will. Only now, as the cut could have failed. */
	if (size == 0)
		dirty_drop(fs, i);
	i->attr_dirty = false;
	i->map_version++;
	if (much) {
		i->trimming = true;
		i->trim_from = size;
		orphan_queue_trim(fs, i->ino);
	}
	return 0;
}

/* ---- changing ranges ---- */

int file_settle(struct fs *fs, struct inode *i, uint64_t end)
{
	int err = 0;

	do {
		err = shift_finish(fs, i);
		if (err >= 0 && i->trimming && end > i->trim_from)
			err = file_wait_trim(fs, i);
		if (err >= 0)
			err = flush_inode(fs, i);
	} while (err >= 0 && (inode_has_dirty(i) || (i->trimming && end > i->trim_from) ||
			      (i->attr.flags & INODE_SHIFTING)));
	return err;
}

struct change { /* of one range of a file */
	struct fs *fs;
	struct inode *inode;
	uint64_t start, end;
	uint64_t size; /* of the file afterwards */
	uint32_t flags;
};

/* One batch: what `fill` does to the map, with the new size and flags and times in the last. */
static int change_batch(const struct change *c, bool last,
			int (*fill)(struct txn *t, const struct change *c, void *ctx), void *ctx)
{
	struct inode *i = c->inode;
	struct attr *a = &i->attr;
	struct attr before = *a;
	uint64_t stored_size = i->stored_size;
	struct txn t;
	int err = txn_begin(c->fs, &t);

	if (err < 0)
		return err;
	a->flags |= c->flags;
	err = fill(&t, c, ctx);
	if (err >= 0 && last) {
		a->size = i->stored_size = c->size;
		a->mtime_ns = a->ctime_ns = fs_now_ns(c->fs);
	}
	if (err >= 0) {
		txn_put_inode(&t, i);
		err = txn_commit(&t);
	} else {
		txn_abort(&t);
	}
	if (err < 0) {
		a->flags = before.flags;
		a->size = before.size;
		a->mtime_ns = before.mtime_ns;
		a->ctime_ns = before.ctime_ns;
		a->alloc_bytes = before.alloc_bytes;
		i->stored_size = stored_size;
	}
	return err;
}

/* ---- allocating ---- */

struct holes {
	struct extent_list list;
	uint64_t at; /* all before is allocated, or in the list */
};

static int add_hole(struct holes *h, uint64_t end)
{
	struct extent e = { .start = h->at, .end = end, .kind = EXTENT_UNWRITTEN };
	int err = h->at < end ? extent_list_add(&h->list, &e) : 0;

	return err;
}

static int hole_before(void *ctx, const struct extent *e)
{
	struct holes *h = ctx;
	int err = add_hole(h, e->start);

	if (err < 0)
		return err;
	h->at = e->end;
	return h->list.count >= EXTENTS_AT_ONCE;
}

static int put_holes(struct txn *t, const struct change *c, void *ctx)
{
	const struct holes *h = ctx;

	return extent_replace(t, c->inode, h->list.at, h->list.count);
}

static int allocate(const struct change *c)
{
	struct holes h = { .at = c->start };
	int err;

	do {
		h.list.count = 0;
		err = extent_walk(c->fs, c->inode->ino, h.at, c->end, hole_before, &h);
		if (err == 0) {
			err = add_hole(&h, c->end);
			h.at = c->end;
		}
		if (err >= 0)
			err = change_batch(c, h.at >= c->end, put_holes, &h);
	} while (err >= 0 && h.at < c->end);
	extent_list_release(&h.list);
	return err;
}

/* ---- clearing ---- */

struct slice {
	unsigned count;
	uint64_t start, end;
	bool last;
	bool unwritten; /* the range stays allocated */
};

static int slice_one(void *ctx, const struct extent *e)
{
	struct slice *s = ctx;

	s->end = e->end;
	return ++s->count >= EXTENTS_AT_ONCE;
}

static int clear_slice(struct txn *t, const struct change *c, void *ctx)
{
	const struct slice *s = ctx;
	struct extent e = { .start = c->start, .end = c->end, .kind = EXTENT_UNWRITTEN };

	if (s->last && s->unwritten)
		return extent_insert(t, c->inode, &e);
	return extent_remove(t, c->inode, s->start, s->end);
}

static int clear_range(const struct change *c, bool unwritten)
{
	struct slice s = { .start = c->start, .unwritten = unwritten };
	int err;

	do {
		s.count = 0;
		err = extent_walk(c->fs, c->inode->ino, s.start, c->end, slice_one, &s);
		if (err < 0)
			break;
		s.last = err == 0 || s.end >= c->end;
		if (s.last)
			s.end = c->end;
		err = change_batch(c, s.last, clear_slice, &s);
		s.start = s.end;
	} while (err >= 0 && !s.last);
	return err;
}

/* ---- fallocate ---- */

#define ALLOCATING (FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE)

/* Like ext4: ranges are not unshared, nor zeroed on the medium. */
static bool is_known(int mode)
{
	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return true;
	default:
		return false;
	}
}

/* In the order of Linux's vfs_fallocate. */
static int check_fallocate(const struct fs_file *f, int mode, uint64_t offset, uint64_t len)
{
	if (offset > FS_FILE_SIZE_MAX || len > FS_FILE_SIZE_MAX || len == 0)
		return -EINVAL; /* negative, to Linux */
	if (!is_known(mode))
		return -EOPNOTSUPP;
	if (!f->for_writing)
		return -EBADF;
	if (len > FS_FILE_SIZE_MAX - offset)
		return -EFBIG;
	if (!(mode & ~ALLOCATING) && len > ALLOCATE_MAX)
		return -ENOSPC;
	return file_may_write(f->fs);
}

/* Inode locked. */
static int fallocate_locked(struct fs *fs, struct inode *i, int mode, uint64_t offset, uint64_t len)
{
	struct change c = {
		.fs = fs, .inode = i, .start = offset, .end = offset + len, .size = i->attr.size
	};

	if (mode & FALLOC_FL_PUNCH_HOLE)
		return clear_range(&c, false);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		c.size = max_u64(c.size, c.end);
	if (c.end > i->attr.size)
		c.flags = INODE_PREALLOC; /* also while a batch of several is not the last */
	return mode & FALLOC_FL_ZERO_RANGE ? clear_range(&c, true) : allocate(&c);
}

static int shift(struct fs *fs, struct inode *i, int mode, uint64_t offset, uint64_t len)
{
	struct shift s = { .insert = mode == FALLOC_FL_INSERT_RANGE, .from = offset, .len = len };
	int err;

	s.at = s.insert ? FS_FILE_SIZE_MAX : offset + len;
	shift_warm(fs, i->ino, &s);
	pthread_mutex_lock(&i->lock);
	err = file_settle(fs, i, UINT64_MAX);
	if (err >= 0)
		err = shift_begin(fs, i, &s);
	if (err >= 0)
		err = shift_finish(fs, i);
	pthread_mutex_unlock(&i->lock);
	return err;
}

int fs_fallocate(struct fs_file *f, int mode, uint64_t offset, uint64_t len)
{
	struct inode *i = f->inode;
	unsigned tries = 0;
	int err = check_fallocate(f, mode, offset, len);

	if (err < 0)
		return err;
	if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
		return shift(f->fs, i, mode, offset, len);
	do {
		pthread_mutex_lock(&i->lock);
		err = file_settle(f->fs, i, offset + len);
		if (err >= 0)
			err = fallocate_locked(f->fs, i, mode, offset, len);
		pthread_mutex_unlock(&i->lock);
	} while (err == -ENOSPC && limit_squeeze(f->fs, &tries));
	return err;
}

/* ---- lseek ---- */

struct stretch {
	uint64_t start, end;
};

static int first_stretch(void *ctx, uint64_t start, const uint8_t *bytes, size_t len)
{
	*(struct stretch *)ctx = (struct stretch){ start, start + len };
	return 1;
}

static struct stretch next_in_set(const struct dirty_set *set, uint64_t from)
{
	struct stretch s = { UINT64_MAX, UINT64_MAX };

	(void)dirty_each(set, from, UINT64_MAX, first_stretch, &s);
	return s;
}

static struct stretch next_in_frozen(const struct frozen *z, uint64_t from)
{
	if (z->state != FROZEN_PACKED)
		return next_in_set(&z->set, from);
	for (size_t n = 0; n < z->packed.count; n++) {
		if (z->packed.at[n].end > from)
			return (struct stretch){ max_u64(z->packed.at[n].start, from),
						 z->packed.at[n].end };
	}
	return (struct stretch){ UINT64_MAX, UINT64_MAX };
}

/* The first bytes in memory from there on, in any set: of those that begin first, one. Inode
 * locked. */
static struct stretch next_in_memory(const struct inode *i, uint64_t from)
{
	struct stretch first = next_in_set(&i->dirty, from), s;
	const struct frozen *z;

	DL_FOREACH (i->frozen, z) {
		s = next_in_frozen(z, from);
		if (s.start < first.start)
			first = s;
	}
	return first;
}

struct view { /* of a file, for a moment */
	uint64_t size;
	uint64_t map_end; /* extents count up to here */
	struct stretch memory;
};

/* Follows bytes in memory as long as they go on, if follow; else finds the next. */
static struct view look(struct inode *i, uint64_t from, bool follow)
{
	struct view v;

	pthread_mutex_lock(&i->lock);
	v.size = i->attr.size;
	v.map_end = min_u64(i->trimming ? i->trim_from : UINT64_MAX, v.size);
	v.memory = next_in_memory(i, from);
	while (follow && v.memory.start == from && v.memory.end < v.size) {
		struct stretch more = next_in_memory(i, v.memory.end);

		if (more.start != v.memory.end)
			break;
		v.memory.end = more.end;
	}
	pthread_mutex_unlock(&i->lock);
	return v;
}

static int find_data(void *ctx, const struct extent *e)
{
	if (e->kind == EXTENT_UNWRITTEN)
		return 0;
	*(uint64_t *)ctx = e->start;
	return 1;
}

static int64_t seek_data(struct fs *fs, struct inode *i, uint64_t offset)
{
	struct view v = look(i, offset, false);
	uint64_t found = UINT64_MAX;
	int err;

	if (offset >= v.size)
		return -ENXIO;
	err = extent_walk(fs, i->ino, offset, min_u64(v.map_end, v.memory.start), find_data,
			  &found);
	if (err < 0)
		return err;
	found = min_u64(found, v.memory.start);
	return found < v.size ? (int64_t)found : -ENXIO;
}

static int follow_data(void *ctx, const struct extent *e)
{
	uint64_t *at = ctx;

	if (e->kind == EXTENT_UNWRITTEN || e->start != *at)
		return 1;
	*at = e->end;
	return 0;
}

static int64_t seek_hole(struct fs *fs, struct inode *i, uint64_t offset)
{
	uint64_t at = offset, before;
	struct view v;
	int err;

	do {
		before = at;
		v = look(i, at, true);
		if (offset >= v.size)
			return -ENXIO;
		if (v.memory.start == at)
			at = v.memory.end;
		err = extent_walk(fs, i->ino, at, v.map_end, follow_data, &at);
		if (err < 0)
			return err;
	} while (at > before && at < v.size);
	return (int64_t)min_u64(at, v.size);
}

int64_t fs_lseek(struct fs_file *f, uint64_t offset, int whence)
{
	int err;

	if (offset > FS_FILE_SIZE_MAX)
		return -ENXIO;
	pthread_mutex_lock(&f->inode->lock);
	err = shift_finish(f->fs, f->inode);
	pthread_mutex_unlock(&f->inode->lock);
	if (err < 0)
		return err;
	if (whence == SEEK_DATA)
		return seek_data(f->fs, f->inode, offset);
	if (whence == SEEK_HOLE)
		return seek_hole(f->fs, f->inode, offset);
	return -EINVAL;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy: copy_file_range. No byte is moved: the copy's extents refer to the same stored bytes, whole
 * or in part. Holes stay holes, and what was allocated but never written becomes one.
 *
 * What the source was told before the call enters the database first. Then slices of some thousand
 * extents are copied, each in a batch of its own with the size and times that go with it, so that a
 * crash leaves a beginning of the copy, as it does with a long write. Both inodes are locked during
 * a batch, and so whatever the source refers to cannot die before the copy refers to it as well.
 * Writers of the target wait until the end; those of the source, and all readers, do not.
 */
#include "fs/bytes.h"

#include <errno.h>

#define EXTENTS_AT_ONCE 1000

struct copying {
	struct fs *fs;
	struct inode *from, *to;
	uint64_t from_at, to_at, left;
	struct extents extents; /* of a slice: as they will be in the target */
	uint64_t slice;		/* bytes of it */
};

/* ---- a slice ---- */

struct limit {
	unsigned count;
	uint64_t end;
};

static int limit_one(void *ctx, const struct extent *e)
{
	struct limit *l = ctx;

	l->end = e->end;
	return ++l->count >= EXTENTS_AT_ONCE;
}

/* What of the target is overwritten must be as bounded as what is put there. */
static int limit_by_target(struct copying *c)
{
	struct limit l = { 0 };
	int err;

	c->slice = c->left;
	err = extent_walk(c->fs, c->to->ino, c->to_at, c->to_at + c->left, limit_one, &l);
	if (err > 0)
		c->slice = l.end - c->to_at;
	return err < 0 ? err : 0;
}

static int add_extent(void *ctx, const struct extent *e)
{
	struct copying *c = ctx;
	struct extent copy = *e;
	int err;

	if (e->kind == EXTENT_UNWRITTEN)
		return 0;
	copy.start = e->start - c->from_at + c->to_at;
	copy.end = e->end - c->from_at + c->to_at;
	copy.foreign = true;
	err = extents_add(&c->extents, &copy);
	if (err < 0)
		return err;
	if (c->extents.list.count < EXTENTS_AT_ONCE)
		return 0;
	c->slice = e->end - c->from_at;
	return 1;
}

/* Beyond a cut-off that is still being carried out there is nothing, whatever the map says. */
static uint64_t map_end(const struct inode *i)
{
	return i->trimming ? i->trim_from : UINT64_MAX;
}

/* The next slice. `end`: where the source's map ends. */
static int look(struct copying *c, uint64_t end)
{
	int err = limit_by_target(c);

	extents_reset(&c->extents);
	if (err >= 0)
		err = extent_walk(c->fs, c->from->ino, c->from_at,
				  min_u64(end, c->from_at + c->slice), add_extent, c);
	if (err >= 0)
		err = extents_done(&c->extents);
	return err < 0 ? err : 0;
}

/* Reads all that the batch will need, without a lock. */
static int warm(struct copying *c)
{
	uint64_t last = 0;
	int err = look(c, UINT64_MAX);

	for (size_t n = 0; n < c->extents.list.count && err >= 0; n++) {
		const struct extent *e = &c->extents.list.at[n];

		extent_warm(c->fs, c->to->ino, &e->start, 1);
		if (e->kind != EXTENT_STORED || e->ref.segment == last)
			continue;
		last = e->ref.segment;
		txn_warm_segment(c->fs, last);
		refs_warm(c->fs, last, c->to->ino);
	}
	return err;
}

/* Both locked. */
static int write_slice(struct copying *c)
{
	struct inode *to = c->to;
	struct attr before = to->attr, *a = &to->attr;
	uint64_t stored_size = to->stored_size, end = c->to_at + c->slice;
	struct txn t;
	int err = txn_begin(c->fs, &t);

	if (err < 0)
		return err;
	err = extent_overlay(&t, to, c->to_at, end, c->extents.list.at, c->extents.list.count);
	if (err >= 0) {
		a->size = to->stored_size = max_u64(a->size, end);
		a->mtime_ns = a->ctime_ns = fs_now_ns(c->fs);
		txn_put_inode(&t, to);
		err = txn_commit(&t);
	} else {
		txn_abort(&t);
	}
	if (err < 0) {
		a->size = before.size;
		a->mtime_ns = before.mtime_ns;
		a->ctime_ns = before.ctime_ns;
		a->alloc_bytes = before.alloc_bytes;
		to->stored_size = stored_size;
	}
	return err;
}

/* Since they were settled somebody may have cut the target off, or shifted one. Both locked. */
static bool is_ready(const struct copying *c)
{
	return !inode_has_dirty(c->to) && c->to_at + c->left <= map_end(c->to) &&
	       !((c->from->attr.flags | c->to->attr.flags) & INODE_SHIFTING);
}

/* 0: somebody came between. */
static int copy_slice(struct copying *c)
{
	int err = warm(c), done = 0;

	if (err < 0)
		return err;
	inode_lock_two(c->from, c->to);
	if (is_ready(c)) {
		err = look(c, map_end(c->from));
		if (err >= 0)
			err = write_slice(c);
		done = 1;
	}
	inode_unlock_two(c->from, c->to);
	return err < 0 ? err : done;
}

/* ---- the whole ---- */

static int settle(struct copying *c, struct inode *i, uint64_t end)
{
	int err;

	pthread_mutex_lock(&i->lock);
	err = file_settle(c->fs, i, end);
	pthread_mutex_unlock(&i->lock);
	return err;
}

static int64_t copy_all(struct copying *c)
{
	uint64_t len = c->left;
	unsigned tries = 0;
	int err = 0, done = 0;

	while (err >= 0 && c->left > 0) {
		if (!done)
			err = settle(c, c->from, c->from_at + c->left);
		if (!done && err >= 0)
			err = settle(c, c->to, c->to_at + c->left);
		if (err >= 0)
			err = done = copy_slice(c);
		if (err == -ENOSPC && limit_squeeze(c->fs, &tries))
			err = done = 0;
		if (err <= 0)
			continue;
		c->from_at += c->slice;
		c->to_at += c->slice;
		c->left -= c->slice;
	}
	return c->left < len ? (int64_t)(len - c->left) : err;
}

static uint64_t size_of(struct inode *i)
{
	uint64_t size;

	pthread_mutex_lock(&i->lock);
	size = i->attr.size;
	pthread_mutex_unlock(&i->lock);
	return size;
}

/* Linux's generic_copy_file_checks. *len becomes what there is to copy. */
static int check_copy(const struct fs_file *from, uint64_t from_offset, const struct fs_file *to,
		      uint64_t to_offset, uint64_t *len)
{
	uint64_t size;

	if (!to->for_writing)
		return -EBADF;
	if (from_offset > FS_FILE_SIZE_MAX || to_offset > FS_FILE_SIZE_MAX)
		return -EINVAL;
	if (*len > FS_FILE_SIZE_MAX - max_u64(from_offset, to_offset))
		return -EOVERFLOW;
	size = size_of(from->inode);
	*len = from_offset < size ? min_u64(*len, size - from_offset) : 0;
	if (from->inode == to->inode && to_offset + *len > from_offset &&
	    to_offset < from_offset + *len)
		return -EINVAL;
	if (!(from->fs->super.incompat & SUPER_INCOMPAT_RANGES))
		return -EOPNOTSUPP;
	return file_may_write(to->fs);
}

int64_t fs_copy_range(struct fs_file *from, uint64_t from_offset, struct fs_file *to,
		      uint64_t to_offset, uint64_t len)
{
	struct copying c = { .fs = to->fs, .from = from->inode, .to = to->inode };
	int64_t result = check_copy(from, from_offset, to, to_offset, &len);

	if (result < 0 || len == 0)
		return result;
	c.from_at = from_offset;
	c.to_at = to_offset;
	c.left = len;
	pthread_mutex_lock(&c.to->lock);
	c.to->flushing++; /* its writers wait */
	pthread_mutex_unlock(&c.to->lock);
	result = copy_all(&c);
	pthread_mutex_lock(&c.to->lock);
	if (--c.to->flushing == 0)
		pthread_cond_broadcast(&c.to->changed);
	pthread_mutex_unlock(&c.to->lock);
	extents_release(&c.extents);
	return result;
}

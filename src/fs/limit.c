/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * limit: size_limit and inode_limit, to the byte.
 *
 * What counts is what df shows: bytes allocated by extents (totals.used_bytes), and bytes that
 * writes have been promised (fs->reserved). A write is refused when it comes or not at all, so each
 * inode reserves the most by which its unsaved bytes can grow it:
 *
 *	the unsaved bytes, but not more than size - alloc_bytes unless something may be allocated
 *	beyond the size
 *
 * which is exact for files without holes and generous for writes over data in sparse ones. Where
 * generosity would refuse a write, everything is entered first and the write is measured against the
 * map: a refusal is exact, too. Before one, the reaper finishes what has been deleted.
 *
 * Transactions that allocate without having reserved (fallocate, shared extents, new inodes) are
 * held against the limits in txn_commit.
 */
#include "fs/bytes.h"

#include <errno.h>

#define SQUEEZES 10 /* the kernel tells a moment late that it has let go of a deleted file */
#define SQUEEZE_PAUSE_MS 10

/* ---- counting, with totals_lock held ---- */

static uint64_t free_bytes(const struct fs *fs)
{
	uint64_t limit = fs->config.size_limit_bytes, taken = fs->totals.used_bytes + fs->reserved;

	if (!limit)
		return INT64_MAX;
	return limit > taken ? limit - taken : 0;
}

static bool inodes_fit(const struct fs *fs, int64_t more)
{
	uint64_t limit = fs->config.inode_limit;

	return !limit || fs->totals.inodes + (uint64_t)more <= limit;
}

/* ---- transactions ---- */

int limit_hold(struct txn *t)
{
	struct fs *fs = t->fs;
	int err = 0;

	if (t->inodes <= 0 && (t->reserved || t->used_bytes <= 0))
		return 0;
	pthread_mutex_lock(&fs->totals_lock);
	if (t->inodes > 0 && !inodes_fit(fs, t->inodes))
		err = -ENOSPC;
	if (!t->reserved && t->used_bytes > 0 && (uint64_t)t->used_bytes > free_bytes(fs))
		err = -ENOSPC;
	if (err >= 0 && !t->reserved && t->used_bytes > 0) {
		t->held = (uint64_t)t->used_bytes;
		fs->reserved += t->held;
	}
	pthread_mutex_unlock(&fs->totals_lock);
	return err;
}

void limit_let_go(struct txn *t)
{
	if (!t->held)
		return;
	pthread_mutex_lock(&t->fs->totals_lock);
	t->fs->reserved -= t->held;
	pthread_mutex_unlock(&t->fs->totals_lock);
	t->held = 0;
}

/* ---- writes ---- */

static uint64_t growth(const struct inode *i, uint64_t unsaved, uint64_t size)
{
	uint64_t room = size > i->attr.alloc_bytes ? size - i->attr.alloc_bytes : 0;

	if ((i->attr.flags & INODE_PREALLOC) || i->trimming)
		return unsaved;
	return min_u64(unsaved, room);
}

/* Reserves more for the inode; false: there is not so much. */
static bool reserve(struct fs *fs, struct inode *i, uint64_t more)
{
	bool fits;

	pthread_mutex_lock(&fs->totals_lock);
	fits = more <= free_bytes(fs);
	if (fits) {
		fs->reserved += more;
		i->reserved += more;
	}
	pthread_mutex_unlock(&fs->totals_lock);
	return fits;
}

void limit_update(struct fs *fs, struct inode *i)
{
	uint64_t now = growth(i, inode_unsaved_bytes(i), i->attr.size);

	if (now == i->reserved)
		return;
	pthread_mutex_lock(&fs->totals_lock);
	fs->reserved += now - i->reserved;
	pthread_mutex_unlock(&fs->totals_lock);
	i->reserved = now;
}

struct fit {		/* how much of a range fits into what is free */
	uint64_t at;	/* all before is dealt with */
	uint64_t taken; /* of it, what has to be allocated */
	uint64_t free;
};

/* A hole of the map up to `end`. 1: no more fits. */
static int take_hole(struct fit *f, uint64_t end)
{
	uint64_t len = end > f->at ? end - f->at : 0, part = min_u64(len, f->free - f->taken);

	f->at += part;
	f->taken += part;
	return part < len;
}

static int fit_extent(void *ctx, const struct extent *e)
{
	struct fit *f = ctx;

	if (take_hole(f, e->start))
		return 1;
	f->at = max_u64(f->at, e->end);
	return 0;
}

/* Nothing of the inode is unsaved. */
static ssize_t admit_exactly(struct fs *fs, struct inode *i, uint64_t offset, size_t len)
{
	struct fit f = { .at = offset };
	int err;

	pthread_mutex_lock(&fs->totals_lock);
	f.free = free_bytes(fs);
	pthread_mutex_unlock(&fs->totals_lock);
	err = extent_walk(fs, i->ino, offset, offset + len, fit_extent, &f);
	if (err == 0)
		(void)take_hole(&f, offset + len);
	if (err < 0)
		return err;
	if (f.at == offset || !reserve(fs, i, f.taken))
		return -ENOSPC;
	return (ssize_t)(f.at - offset);
}

ssize_t limit_admit(struct fs *fs, struct inode *i, uint64_t offset, size_t len, bool exactly)
{
	uint64_t size = max_u64(i->attr.size, offset + len), need;
	int err;

	if (!fs->config.size_limit_bytes)
		return (ssize_t)len;
	need = growth(i, inode_unsaved_bytes(i) + len, size);
	if (reserve(fs, i, need > i->reserved ? need - i->reserved : 0))
		return (ssize_t)len;
	if (!exactly)
		return -ENOSPC;
	do
		err = flush_inode(fs, i);
	while (err >= 0 && inode_has_dirty(i));
	limit_update(fs, i);
	return err < 0 ? err : admit_exactly(fs, i, offset, len);
}

/* ---- making room ---- */

bool limit_squeeze(struct fs *fs, unsigned *tries)
{
	if (!fs->config.size_limit_bytes && !fs->config.inode_limit)
		return false;
	if (*tries > 0) {
		if (*tries >= SQUEEZES || !orphan_any(fs))
			return false;
		fs->clock->sleep_ms(fs->clock, SQUEEZE_PAUSE_MS);
	}
	++*tries;
	(void)flush_all(fs, true);
	orphan_drain(fs);
	return true;
}

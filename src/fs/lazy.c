/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lazy: access times that are newer than their records.
 *
 * Reading changes nothing that is worth a commit. An inode whose access time alone has changed
 * waits on a list of its own, which holds a reference; its record is written with whatever else
 * changes it, by fsync or sync, when the list grows long, or after an hour. A crash may lose it, an
 * unmount does not.
 */
#include "fs/internal.h"

#define LAZY_MAX 4096
#define LAZY_MS (60 * 60 * 1000)

/* Inode locked. */
static void note(struct fs *fs, struct inode *i)
{
	if (i->attr_dirty)
		return; /* goes with that */
	i->atime_lazy = true;
	if (i->on_lazy_list)
		return;
	(void)inode_ref(fs, i);
	i->on_lazy_list = true;
	i->lazy_since_ms = clock_mono_ms(fs->clock);
	pthread_mutex_lock(&fs->dirty_lock);
	DL_APPEND2(fs->lazy_inodes, i, lazy_prev, lazy_next);
	fs->lazy_count++;
	pthread_mutex_unlock(&fs->dirty_lock);
}

void lazy_settle(struct inode *i)
{
	i->attr_dirty |= i->atime_lazy;
	i->atime_lazy = false;
}

/* The first of the list if it is due, taken off it with its reference; NULL. */
static struct inode *take_due(struct fs *fs, bool all)
{
	uint64_t now = clock_mono_ms(fs->clock);
	struct inode *i;

	pthread_mutex_lock(&fs->dirty_lock);
	i = fs->lazy_inodes;
	if (i && !all && fs->lazy_count <= LAZY_MAX && now - i->lazy_since_ms < LAZY_MS)
		i = NULL;
	if (i) {
		DL_DELETE2(fs->lazy_inodes, i, lazy_prev, lazy_next);
		fs->lazy_count--;
	}
	pthread_mutex_unlock(&fs->dirty_lock);
	return i;
}

void lazy_release(struct fs *fs, bool all)
{
	struct inode *i;

	while ((i = take_due(fs, all))) {
		pthread_mutex_lock(&i->lock);
		i->on_lazy_list = false;
		if (i->atime_lazy && !i->gone) {
			lazy_settle(i);
			inode_mark_dirty(fs, i);
		}
		pthread_mutex_unlock(&i->lock);
		inode_put(fs, i);
	}
}

/* ---- the rules ---- */

#define DAY_NS (24 * 3600 * (int64_t)1000000000)

bool fs_touches_folders(const struct fs *fs)
{
	return !fs->read_only && fs->config.atime && !fs->config.nodiratime;
}

static bool is_due(const struct fs *fs, const struct attr *a, int64_t now)
{
	if (fs->read_only || !fs->config.atime || now == a->atime_ns)
		return false;
	if (a->flags & INODE_NOATIME)
		return false;
	if (S_ISDIR(a->mode) && fs->config.nodiratime)
		return false;
	if (fs->config.strictatime)
		return true;
	return a->atime_ns <= a->mtime_ns || a->atime_ns <= a->ctime_ns ||
	       now - a->atime_ns >= DAY_NS;
}

bool inode_touch_atime(struct fs *fs, struct inode *i)
{
	int64_t now = fs_now_ns(fs);

	if (!is_due(fs, &i->attr, now))
		return false;
	i->attr.atime_ns = now;
	note(fs, i);
	return true;
}

int fs_touch(struct fs *fs, uint64_t ino)
{
	struct inode *i;
	bool changed = false;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = inode_lock_live(i);
	if (err >= 0) {
		changed = inode_touch_atime(fs, i);
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err < 0 ? err : changed;
}

bool fs_touch_is_due(struct fs *fs, uint64_t ino)
{
	struct inode *i;
	bool due = false;

	if (inode_get(fs, ino, &i) < 0)
		return false;
	if (inode_lock_live(i) >= 0) {
		due = is_due(fs, &i->attr, fs_now_ns(fs));
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return due;
}

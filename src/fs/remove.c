/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remove: unlink and rmdir. The way of every change: make.c. A file that loses its last name
 * becomes an orphan in the same batch (orphan.c); its bytes in memory are then not worth entering.
 */
#include "fs/names.h"

#include <errno.h>

static int check_removal(const struct inode *i, bool folder)
{
	if (folder && i->type != S_IFDIR)
		return -ENOTDIR;
	if (!folder && i->type == S_IFDIR)
		return -EISDIR;
	return 0;
}

void removal_apply(struct txn *t, struct inode *i, int64_t now)
{
	i->attr.ctime_ns = now;
	i->attr.nlink = i->type == S_IFDIR ? 0 : i->attr.nlink - 1;
	if (i->attr.nlink == 0)
		orphan_put(t, i->ino, true, 0);
}

void removal_done(struct fs *fs, struct inode *i)
{
	if (i->attr.nlink > 0)
		return;
	if (i->opens == 0)
		dirty_drop(fs, i); /* nobody will ever read it */
	orphan_consider(fs, i, false);
}

/* Both locked. */
static int write_removal(struct fs *fs, struct party *p, struct inode *dir, struct inode *i,
			 const char *name, const struct entry *e)
{
	int64_t now = fs_now_ns(fs);
	struct txn t;
	int err = flags_check_removed(dir, i);

	if (err >= 0 && i->attr.entries > 0)
		err = -ENOTEMPTY;
	if (err >= 0)
		err = txn_begin(fs, &t);
	if (err < 0)
		return err;
	entry_remove(&t, dir->ino, name, e);
	removal_apply(&t, i, now);
	folder_changed(dir, -1, i->type == S_IFDIR ? -1 : 0, now);
	party_put(p, &t);
	err = party_commit(p, &t);
	if (err >= 0)
		removal_done(fs, i);
	return err;
}

int removal_order(struct fs *fs, struct inode *i)
{
	bool stays;

	pthread_mutex_lock(&i->lock);
	stays = i->type == S_IFREG && i->attr.nlink > 1 && !i->gone;
	pthread_mutex_unlock(&i->lock);
	return stays ? order_data(fs, i) : 0;
}

/* ns_lock held */
static int remove_found(struct fs *fs, struct inode *dir, const char *name, struct entry *e,
			bool folder)
{
	struct party p = { .count = 0 };
	struct inode *i;
	int err = entry_inode(fs, dir->ino, e, &i);

	if (err < 0)
		return err;
	err = check_removal(i, folder);
	if (err >= 0)
		err = removal_order(fs, i);
	if (err >= 0)
		err = entry_plan_removal(fs, dir->ino, name, e);
	party_add(&p, dir);
	party_add(&p, i);
	if (err >= 0)
		err = party_lock(&p);
	if (err >= 0) {
		err = write_removal(fs, &p, dir, i, name, e);
		party_unlock(&p);
	}
	inode_put(fs, i);
	return err;
}

static int remove_locked(struct fs *fs, struct inode *dir, const char *name, bool folder)
{
	struct entry e;
	int err = entry_find(fs, dir->ino, name, &e);

	if (err >= 0 && !e.found)
		err = -ENOENT;
	return err < 0 ? err : remove_found(fs, dir, name, &e, folder);
}

/* Without ns_lock: fills caches, refuses what can be refused, and enters what a file has in memory.
 */
static int warm_for_removal(struct fs *fs, const struct inode *dir, const char *name, bool folder)
{
	struct inode *i;
	struct entry e;
	int err = entry_find(fs, dir->ino, name, &e);

	if (err >= 0 && !e.found)
		err = -ENOENT;
	if (err < 0)
		return err;
	err = inode_get(fs, e.ino, &i);
	if (err < 0)
		return err == -ENOENT ? 0 : err; /* somebody was faster, or damage: seen later */
	err = check_removal(i, folder);
	if (err >= 0)
		err = removal_order(fs, i);
	inode_put(fs, i);
	return err == -ENOENT ? 0 : err;
}

static int remove_name(struct fs *fs, uint64_t dir, const char *name, bool folder)
{
	struct inode *i;
	int err = name_check(name);

	if (err < 0)
		return err;
	err = folder_get(fs, dir, &i);
	if (err < 0)
		return err;
	err = warm_for_removal(fs, i, name, folder);
	if (err >= 0) {
		pthread_mutex_lock(&fs->ns_lock);
		err = remove_locked(fs, i, name, folder);
		pthread_mutex_unlock(&fs->ns_lock);
	}
	inode_put(fs, i);
	return err;
}

int fs_unlink(struct fs *fs, uint64_t dir, const char *name)
{
	return name_is_dots(name) ? -EISDIR : remove_name(fs, dir, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t dir, const char *name)
{
	if (name_is_dots(name))
		return name[1] ? -ENOTEMPTY : -EINVAL;
	return remove_name(fs, dir, name, true);
}

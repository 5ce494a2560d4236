/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flags: what chattr(1) sets. Immutable and append-only files and folders refuse what Linux refuses
 * for them on other filesystems; it looks at flags of its own there, which FUSE does not set.
 */
#include "fs/bytes.h"
#include "fs/names.h"

#include <errno.h>
#include <linux/fs.h>

static const struct {
	uint32_t ours, theirs;
} known[] = {
	{ INODE_IMMUTABLE, FS_IMMUTABLE_FL }, { INODE_APPEND, FS_APPEND_FL },
	{ INODE_NOATIME, FS_NOATIME_FL },     { INODE_NODUMP, FS_NODUMP_FL },
	{ INODE_SYNC, FS_SYNC_FL },	      { INODE_DIRSYNC, FS_DIRSYNC_FL },
};

static uint32_t to_linux(uint32_t flags)
{
	uint32_t all = 0;

	for (size_t n = 0; n < ARRAY_LEN(known); n++)
		if (flags & known[n].ours)
			all |= known[n].theirs;
	return all;
}

static int from_linux(uint32_t flags, uint32_t *ret)
{
	*ret = 0;
	for (size_t n = 0; n < ARRAY_LEN(known); n++) {
		if (flags & known[n].theirs)
			*ret |= known[n].ours;
		flags &= ~known[n].theirs;
	}
	return flags ? -EOPNOTSUPP : 0;
}

/* ---- the rules ---- */

int flags_check_changed(const struct inode *i)
{
	return i->attr.flags & (INODE_IMMUTABLE | INODE_APPEND) ? -EPERM : 0;
}

int flags_check_added(const struct inode *dir)
{
	return dir->attr.flags & INODE_IMMUTABLE ? -EPERM : 0;
}

int flags_check_removed(const struct inode *dir, const struct inode *i)
{
	int err = flags_check_changed(dir);

	return err < 0 ? err : flags_check_changed(i);
}

uint32_t flags_inherited(const struct inode *dir, uint32_t mode)
{
	uint32_t passed = INODE_NOATIME | INODE_NODUMP;

	if (S_ISREG(mode) || S_ISDIR(mode))
		passed |= INODE_SYNC;
	if (S_ISDIR(mode))
		passed |= INODE_DIRSYNC;
	return dir->attr.flags & passed;
}

int fs_may_open(struct fs *fs, uint64_t ino, bool append, bool truncate)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = inode_lock_live(i);
	if (err >= 0) {
		if ((i->attr.flags & INODE_IMMUTABLE) ||
		    ((i->attr.flags & INODE_APPEND) && (!append || truncate)))
			err = -EPERM;
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err;
}

int fs_may_write(struct fs_file *f, uint64_t offset)
{
	struct inode *i = f->inode;
	int err = 0;

	pthread_mutex_lock(&i->lock);
	if ((i->attr.flags & INODE_IMMUTABLE) ||
	    ((i->attr.flags & INODE_APPEND) && offset < i->attr.size))
		err = -EPERM;
	pthread_mutex_unlock(&i->lock);
	return err;
}

/* ---- the flags themselves ---- */

static uint32_t present(struct inode *i)
{
	uint32_t flags;

	pthread_mutex_lock(&i->lock);
	flags = i->attr.flags;
	pthread_mutex_unlock(&i->lock);
	return flags;
}

bool fs_is_sync(struct fs *fs, uint64_t ino)
{
	struct inode *i;
	uint32_t flags;

	if (inode_get(fs, ino, &i) < 0)
		return false;
	flags = present(i);
	inode_put(fs, i);
	return flags & (INODE_SYNC | INODE_DIRSYNC);
}

static bool has_flags(const struct inode *i)
{
	return i->type == S_IFREG || i->type == S_IFDIR;
}

int fs_get_flags(struct fs *fs, uint64_t ino, uint32_t *ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	*ret = to_linux(present(i));
	err = has_flags(i) ? 0 : -ENOTTY;
	inode_put(fs, i);
	return err;
}

/* Locked. */
static int write_flags(struct fs *fs, struct party *p, struct inode *i, uint32_t flags)
{
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	i->attr.flags = (i->attr.flags & ~INODE_CHATTR) | flags;
	i->attr.ctime_ns = fs_now_ns(fs);
	party_put(p, &t);
	return party_commit(p, &t);
}

static int set_flags(struct fs *fs, struct inode *i, uint32_t flags)
{
	struct party p = { .count = 0 };
	int err = i->type == S_IFREG ? order_data(fs, i) : 0;

	party_add(&p, i);
	if (err >= 0)
		err = party_lock(&p);
	if (err < 0)
		return err;
	if ((i->attr.flags & INODE_CHATTR) != flags)
		err = write_flags(fs, &p, i, flags);
	party_unlock(&p);
	return err;
}

int fs_set_flags(struct fs *fs, uint64_t ino, uint32_t flags)
{
	struct inode *i;
	uint32_t ours;
	int err = from_linux(flags, &ours);

	if (err < 0)
		return err;
	err = inode_get(fs, ino, &i);
	if (err < 0)
		return err;
	if (!has_flags(i))
		err = -ENOTTY;
	else if ((ours & INODE_DIRSYNC) && i->type != S_IFDIR)
		err = -EOPNOTSUPP;
	else
		err = set_flags(fs, i, ours);
	inode_put(fs, i);
	return err;
}

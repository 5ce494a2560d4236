/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attr: getattr and setattr.
 */
#include "fs/names.h"

#include <errno.h>

#define NS_PER_S 1000000000
#define PERMISSION_BITS 07777

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = inode_lock_live(i);
	if (err >= 0) {
		inode_to_attr(i, ret);
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err;
}

#define S_MAX (INT64_MAX / NS_PER_S - 1)

/* Times that nanoseconds in 64 bits cannot say (before 1677, after 2262) become the nearest, as on
 * other filesystems. */
static int64_t to_ns(const struct timespec *t)
{
	int64_t s = t->tv_sec;

	if (s > S_MAX)
		return S_MAX * NS_PER_S;
	return (s < -S_MAX ? -S_MAX : s) * NS_PER_S + (s < -S_MAX ? 0 : t->tv_nsec);
}

static int check_request(const struct inode *i, const struct fs_attr *attr, unsigned which)
{
	if (!(which & FS_SET_SIZE))
		return 0;
	if (i->type == S_IFDIR)
		return -EISDIR;
	if (i->type != S_IFREG)
		return -EINVAL;
	return attr->size > FS_FILE_SIZE_MAX ? -EFBIG : 0;
}

/* As Linux does it when the owner changes or somebody unprivileged writes: set-user-ID goes,
 * set-group-ID where it means running as the group. */
uint32_t mode_without_suid(uint32_t mode)
{
	if (S_ISDIR(mode))
		return mode;
	if (mode & S_IXGRP)
		mode &= ~(uint32_t)S_ISGID;
	return mode & ~(uint32_t)S_ISUID;
}

static void apply_owner_and_mode(struct attr *a, const struct fs_attr *attr, unsigned which)
{
	if (which & FS_SET_UID)
		a->uid = attr->uid;
	if (which & FS_SET_GID)
		a->gid = attr->gid;
	if (which & FS_SET_MODE)
		a->mode = (a->mode & S_IFMT) | (attr->mode & PERMISSION_BITS);
	else if (which & (FS_SET_UID | FS_SET_GID | FS_KILL_SUID))
		a->mode = mode_without_suid(a->mode);
}

static void apply_times(struct attr *a, const struct fs_attr *attr, unsigned which, int64_t now)
{
	if (which & FS_SET_ATIME_NOW)
		a->atime_ns = now;
	else if (which & FS_SET_ATIME)
		a->atime_ns = to_ns(&attr->atime);
	if (which & FS_SET_MTIME_NOW)
		a->mtime_ns = now;
	else if (which & FS_SET_MTIME)
		a->mtime_ns = to_ns(&attr->mtime);
	else if (which & FS_SET_SIZE)
		a->mtime_ns = now;
	a->ctime_ns = which & FS_SET_CTIME ? to_ns(&attr->ctime) : now;
}

static void take_back(struct attr *a, const struct attr *before)
{
	a->mode = before->mode;
	a->uid = before->uid;
	a->gid = before->gid;
	a->atime_ns = before->atime_ns;
	a->mtime_ns = before->mtime_ns;
	a->ctime_ns = before->ctime_ns;
}

/* chmod also means the entries of an access ACL that stand for the mode's bits. */
static int put_acl_of_mode(struct txn *t, struct inode *i)
{
	struct buf acl CLEANUP(buf_release) = BUF_INIT;
	int err = xattr_read(t->fs, i->ino, ACL_ACCESS, &acl);

	if (err == -ENODATA)
		return 0;
	if (err < 0)
		return err;
	acl_chmod(acl.data, acl.len, i->attr.mode);
	xattr_put(t, i, ACL_ACCESS, &acl);
	return 0;
}

/* Inode locked. */
static int write_attr(struct fs *fs, struct inode *i, bool mode_set)
{
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	txn_put_inode(&t, i);
	if (mode_set && (i->attr.flags & INODE_HAS_XATTR))
		err = put_acl_of_mode(&t, i);
	if (err < 0) {
		txn_abort(&t);
		return err;
	}
	return txn_commit(&t);
}

/* An append-only file may still be touched: its times set to now. */
static int check_flags(const struct inode *i, unsigned which)
{
	unsigned harmless = FS_SET_ATIME_NOW | FS_SET_MTIME_NOW | FS_SET_CTIME;

	if (i->attr.flags & INODE_IMMUTABLE)
		return -EPERM;
	if (which & FS_SET_ATIME_NOW)
		harmless |= FS_SET_ATIME;
	if (which & FS_SET_MTIME_NOW)
		harmless |= FS_SET_MTIME;
	return which & ~harmless ? flags_check_changed(i) : 0;
}

/* Inode locked. */
static int change(struct fs *fs, struct inode *i, const struct fs_attr *attr, unsigned which)
{
	struct attr before;
	int err = check_flags(i, which);

	if (err >= 0 && inode_has_dirty(i) && which != FS_SET_SIZE)
		err = flush_inode(fs, i);
	if (err < 0)
		return err;
	before = i->attr;
	apply_owner_and_mode(&i->attr, attr, which);
	apply_times(&i->attr, attr, which, fs_now_ns(fs));
	if (!(which & FS_SET_SIZE) || (which & FS_SET_MODE)) {
		err = write_attr(fs, i, which & FS_SET_MODE);
		if (err >= 0)
			before = i->attr;
	}
	if (err >= 0 && (which & FS_SET_SIZE))
		err = file_truncate(fs, i, attr->size);
	if (err < 0)
		take_back(&i->attr, &before);
	return err;
}

int fs_setattr(struct fs *fs, uint64_t ino, const struct fs_attr *attr, unsigned which,
	       struct fs_attr *ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = check_request(i, attr, which);
	if (err >= 0)
		err = inode_lock_live(i);
	if (err >= 0) {
		err = change(fs, i, attr, which);
		if (err >= 0 && ret)
			inode_to_attr(i, ret);
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * make: new inodes, and new names for old ones.
 *
 * Every change of the namespace goes the same way: look without a lock first (so that the blocks
 * needed are in LevelDB's cache), take ns_lock, look again, lock the inodes, one batch, undo in
 * memory if it fails. Bytes of a regular file are entered before its record changes (order_data).
 */
#include "fs/names.h"

#include <errno.h>

#define LINK_MAX_FILE 65000
#define PERMISSION_BITS 07777

/* ---- making ---- */

struct birth { /* what is going to be made */
	uint64_t dir;
	const char *name; /* NULL: without one */
	struct attr attr;
	uint32_t umask;
	bool open;			    /* starts with opens = 1 */
	struct buf default_acl, access_acl; /* what the folder gives it */
};

static void birth_release(struct birth *b)
{
	buf_release(&b->default_acl);
	buf_release(&b->access_acl);
}

static void birth_begin(struct birth *b, struct fs *fs, uint64_t dir, const char *name,
			const struct fs_cred *cred, uint32_t mode)
{
	int64_t now = fs_now_ns(fs);

	*b = (struct birth){ .dir = dir,
			     .name = name,
			     .umask = cred->umask,
			     .attr = { .mode = mode,
				       .uid = cred->uid,
				       .gid = cred->gid,
				       .nlink = S_ISDIR(mode) ? 2 : 1,
				       .atime_ns = now,
				       .mtime_ns = now,
				       .ctime_ns = now,
				       .btime_ns = now } };
}

/* The default ACL, if the folder has one, decides instead of the umask. */
static int inherit_acl(struct fs *fs, const struct inode *dir, struct birth *b)
{
	int err = -ENODATA;
	bool plain;

	if ((dir->attr.flags & INODE_HAS_XATTR) && !S_ISLNK(b->attr.mode))
		err = xattr_read(fs, dir->ino, ACL_DEFAULT, &b->default_acl);
	if (err >= 0 && acl_check(b->default_acl.data, b->default_acl.len) < 0)
		err = -ENODATA;
	if (err < 0) {
		buf_reset(&b->default_acl);
		if (!S_ISLNK(b->attr.mode))
			b->attr.mode &= ~(b->umask & 0777);
		return err == -ENODATA ? 0 : err;
	}
	buf_add(&b->access_acl, b->default_acl.data, b->default_acl.len);
	if (buf_error(&b->access_acl) < 0)
		return -ENOMEM;
	b->attr.mode = acl_inherit(b->access_acl.data, b->access_acl.len, b->attr.mode);
	(void)acl_mode(b->access_acl.data, b->access_acl.len, b->attr.mode, &plain);
	if (plain)
		buf_reset(&b->access_acl); /* the mode says all */
	if (!S_ISDIR(b->attr.mode))
		buf_reset(&b->default_acl);
	if (b->access_acl.len + b->default_acl.len > 0)
		b->attr.flags |= INODE_HAS_XATTR;
	return 0;
}

static int inherit(struct fs *fs, const struct inode *dir, struct birth *b)
{
	if (dir->attr.mode & S_ISGID) {
		b->attr.gid = dir->attr.gid;
		if (S_ISDIR(b->attr.mode))
			b->attr.mode |= S_ISGID;
	}
	if (S_ISDIR(b->attr.mode))
		b->attr.parent = dir->ino;
	b->attr.flags |= flags_inherited(dir, b->attr.mode);
	return inherit_acl(fs, dir, b);
}

static void put_acls(struct txn *t, struct inode *i, const struct birth *b)
{
	if (b->access_acl.len > 0)
		xattr_put(t, i, ACL_ACCESS, &b->access_acl);
	if (b->default_acl.len > 0)
		xattr_put(t, i, ACL_DEFAULT, &b->default_acl);
}

/* The batch. Folder locked, node known to nobody. */
static int write_birth(struct fs *fs, struct party *p, struct inode *dir, struct inode *node,
		       const struct entry *where, const struct birth *b)
{
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	if (b->name) {
		entry_put(&t, dir->ino, b->name, where, node->attr.mode, node->ino);
		folder_changed(dir, 1, S_ISDIR(node->attr.mode), node->attr.btime_ns);
		party_put(p, &t);
	} else {
		orphan_put(&t, node->ino, true, 0);
	}
	txn_put_inode(&t, node);
	put_acls(&t, node, b);
	t.inodes++;
	return party_commit(p, &t);
}

/* Folder locked. */
static int bear(struct fs *fs, struct party *p, struct inode *dir, const struct entry *where,
		struct birth *b, struct inode **ret)
{
	struct inode *node;
	int err = flags_check_added(dir);

	if (err >= 0)
		err = inherit(fs, dir, b);
	if (err >= 0 && dir->attr.nlink == 0)
		err = -ENOENT;
	if (err >= 0 && S_ISDIR(b->attr.mode) && dir->attr.nlink == UINT32_MAX)
		err = -EMLINK;
	if (err >= 0)
		err = inode_make(fs, txn_new_ino(fs), &b->attr, &node);
	if (err < 0)
		return err;
	pthread_mutex_lock(&node->lock);
	node->opens = b->open ? 1 : 0;
	err = write_birth(fs, p, dir, node, where, b);
	if (err < 0)
		inode_set_gone(node);
	pthread_mutex_unlock(&node->lock);
	if (err < 0)
		inode_put(fs, node);
	else
		*ret = node;
	return err;
}

/* ns_lock held */
static int make_locked(struct fs *fs, struct inode *dir, struct birth *b, struct inode **ret)
{
	struct party p = { .count = 0 };
	struct entry where = { .found = false };
	int err = b->name ? entry_find(fs, dir->ino, b->name, &where) : 0;

	if (err < 0)
		return err;
	if (where.found)
		return -EEXIST;
	if (where.n == ENTRY_RUN_MAX)
		return err_note(-ENOSPC, "too many names with one hash in folder %llu",
				(unsigned long long)dir->ino);
	party_add(&p, dir);
	err = party_lock(&p);
	if (err < 0)
		return err;
	err = bear(fs, &p, dir, &where, b, ret);
	party_unlock(&p);
	return err;
}

static int warm_for_birth(struct fs *fs, struct inode *dir, const struct birth *b)
{
	struct entry e = { .found = false };
	int err = 0;

	if (b->name)
		err = name_is_dots(b->name) ? -EEXIST : name_check(b->name);
	if (err >= 0 && b->name)
		err = entry_find(fs, dir->ino, b->name, &e);
	if (err >= 0 && e.found)
		err = -EEXIST;
	if (err >= 0)
		xattr_warm(fs, dir, ACL_DEFAULT);
	return err;
}

/* The new inode, referenced. Releases b. */
static int make_node(struct fs *fs, struct birth *b, struct inode **ret)
{
	unsigned tries = 0;
	struct inode *dir;
	int err = folder_get(fs, b->dir, &dir);

	if (err < 0)
		goto out;
	err = warm_for_birth(fs, dir, b);
	while (err >= 0) {
		pthread_mutex_lock(&fs->ns_lock);
		err = make_locked(fs, dir, b, ret);
		pthread_mutex_unlock(&fs->ns_lock);
		if (err != -ENOSPC || !limit_squeeze(fs, &tries))
			break;
		err = 0;
	}
	inode_put(fs, dir);
out:
	birth_release(b);
	return err;
}

static void tell_attr(struct inode *i, struct fs_attr *ret)
{
	if (!ret)
		return;
	pthread_mutex_lock(&i->lock);
	inode_to_attr(i, ret);
	pthread_mutex_unlock(&i->lock);
}

static int make(struct fs *fs, struct birth *b, struct fs_attr *ret)
{
	struct inode *node;
	int err = make_node(fs, b, &node);

	if (err < 0)
		return err;
	tell_attr(node, ret);
	inode_put(fs, node);
	return 0;
}

int fs_mknod(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
	     uint32_t mode, uint64_t rdev, struct fs_attr *ret)
{
	struct birth b;

	switch (mode & S_IFMT) {
	case 0:
		mode |= S_IFREG;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	birth_begin(&b, fs, dir, name, cred, mode);
	if (S_ISCHR(mode) || S_ISBLK(mode))
		b.attr.rdev = rdev;
	return make(fs, &b, ret);
}

int fs_mkdir(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
	     uint32_t mode, struct fs_attr *ret)
{
	struct birth b;

	birth_begin(&b, fs, dir, name, cred, S_IFDIR | (mode & PERMISSION_BITS));
	return make(fs, &b, ret);
}

int fs_symlink(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
	       const char *target, struct fs_attr *ret)
{
	size_t len = strnlen(target, FS_SYMLINK_MAX + 1);
	struct birth b;

	if (len == 0)
		return -ENOENT;
	if (len > FS_SYMLINK_MAX)
		return -ENAMETOOLONG;
	birth_begin(&b, fs, dir, name, cred, S_IFLNK | 0777);
	b.attr.target.data = (uint8_t *)target; /* inode_make copies it */
	b.attr.target.len = len;
	b.attr.size = len;
	return make(fs, &b, ret);
}

int dir_create_open(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
		    uint32_t mode, struct inode **ret, struct fs_attr *ret_attr)
{
	struct birth b;
	int err;

	birth_begin(&b, fs, dir, name, cred, S_IFREG | (mode & PERMISSION_BITS));
	b.open = true;
	err = make_node(fs, &b, ret);
	if (err >= 0)
		tell_attr(*ret, ret_attr);
	return err;
}

int fs_tmpfile(struct fs *fs, uint64_t dir, const struct fs_cred *cred, uint32_t mode,
	       struct fs_attr *ret)
{
	struct inode *node;
	struct birth b;
	int err;

	birth_begin(&b, fs, dir, NULL, cred, S_IFREG | (mode & PERMISSION_BITS));
	b.attr.nlink = 0;
	b.attr.flags = INODE_NAMELESS;
	err = make_node(fs, &b, &node);
	if (err < 0)
		return err;
	orphan_note(fs, node->ino);
	tell_attr(node, ret);
	inode_put(fs, node);
	return 0;
}

/* ---- linking ---- */

/* Both locked. */
static int check_link(const struct inode *i, const struct inode *dir)
{
	if (flags_check_changed(i) < 0 || flags_check_added(dir) < 0)
		return -EPERM;
	if (i->attr.nlink == 0 && !(i->attr.flags & INODE_NAMELESS))
		return -ENOENT;
	if (i->attr.nlink >= LINK_MAX_FILE)
		return -EMLINK;
	return dir->attr.nlink == 0 ? -ENOENT : 0;
}

/* Both locked. */
static int write_link(struct fs *fs, struct party *p, struct inode *i, struct inode *dir,
		      const char *name, const struct entry *where)
{
	int64_t now = fs_now_ns(fs);
	bool first = i->attr.nlink == 0;
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	i->attr.nlink++;
	i->attr.ctime_ns = now;
	i->attr.flags &= ~INODE_NAMELESS;
	folder_changed(dir, 1, 0, now);
	entry_put(&t, dir->ino, name, where, i->attr.mode, i->ino);
	party_put(p, &t);
	if (first)
		orphan_clear(&t, i->ino);
	err = party_commit(p, &t);
	if (err >= 0 && first)
		orphan_forgive(fs, i->ino);
	return err;
}

/* ns_lock held */
static int link_locked(struct fs *fs, struct inode *i, struct inode *dir, const char *name)
{
	struct party p = { .count = 0 };
	struct entry where;
	int err = entry_find(fs, dir->ino, name, &where);

	if (err < 0)
		return err;
	if (where.found)
		return -EEXIST;
	if (where.n == ENTRY_RUN_MAX)
		return -ENOSPC;
	party_add(&p, dir);
	party_add(&p, i);
	err = party_lock(&p);
	if (err < 0)
		return err;
	err = check_link(i, dir);
	if (err >= 0)
		err = write_link(fs, &p, i, dir, name, &where);
	party_unlock(&p);
	return err;
}

static int link_to(struct fs *fs, struct inode *i, struct inode *dir, const char *name)
{
	struct entry e;
	int err = name_is_dots(name) ? -EEXIST : name_check(name);

	if (err >= 0)
		err = entry_find(fs, dir->ino, name, &e);
	if (err >= 0 && e.found)
		err = -EEXIST;
	if (err >= 0)
		err = order_data(fs, i);
	if (err < 0)
		return err;
	pthread_mutex_lock(&fs->ns_lock);
	err = link_locked(fs, i, dir, name);
	pthread_mutex_unlock(&fs->ns_lock);
	return err;
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *ret)
{
	struct inode *i, *folder = NULL;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	if (i->type == S_IFDIR)
		err = -EPERM;
	if (err >= 0)
		err = folder_get(fs, dir, &folder);
	if (err >= 0)
		err = link_to(fs, i, folder, name);
	if (err >= 0)
		tell_attr(i, ret);
	inode_put(fs, folder);
	inode_put(fs, i);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Names: looking up, making, linking, renaming, removing. */
#include "ops.h"

#include <errno.h>

static struct fs_cred cred_of(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);

	return (struct fs_cred){ .uid = c->uid, .gid = c->gid, .umask = c->umask };
}

void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct fuse_entry_param e = { .entry_timeout = OPS_TIMEOUT_S };
	struct fs_attr a;
	int err = fs_lookup(ops_fs(req), dir, name, &a);

	if (err < 0 && err != -ENOENT) {
		ops_reply_err(req, err);
		return;
	}
	if (err >= 0)
		ops_fill_entry(&a, &e);
	(void)fuse_reply_entry(req,
			       &e); /* inode 0: the kernel may remember that it does not exist */
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	/* Lookups need not be counted: an inode without a name cannot be looked up again, and for
	 * one that has a name this does nothing. */
	fs_forget(ops_fs(req), ino);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(ops_fs(req), forgets[i].ino);
	fuse_reply_none(req);
}

void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
	struct fs_cred cred = cred_of(req);
	struct fs_attr a;
	int err = fs_mknod(ops_fs(req), dir, name, &cred, mode, rdev, &a);

	ops_reply_made(req, err, dir, &a);
}

void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct fs_cred cred = cred_of(req);
	struct fs_attr a;
	int err = fs_mkdir(ops_fs(req), dir, name, &cred, mode, &a);

	ops_reply_made(req, err, dir, &a);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
	struct fs_cred cred = cred_of(req);
	struct fs_attr a;
	int err = fs_symlink(ops_fs(req), dir, name, &cred, target, &a);

	ops_reply_made(req, err, dir, &a);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
	struct fs_attr a;
	int err = fs_link(ops_fs(req), ino, dir, name, &a);

	ops_reply_made(req, err, dir, &a);
}

void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	ops_reply_changed(req, fs_unlink(ops_fs(req), dir, name), dir);
}

void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	ops_reply_changed(req, fs_rmdir(ops_fs(req), dir, name), dir);
}

_Static_assert(FS_RENAME_NOREPLACE == 1 && FS_RENAME_EXCHANGE == 2, "as renameat2(2) has them");

#define RENAME_FLAG_WHITEOUT 4u

/* The listing that the kernel keeps of a folder has the parent in it. */
static void parent_changed(fuse_req_t req, uint64_t dir, const char *name)
{
	struct fs_attr a;

	if (fs_lookup(ops_fs(req), dir, name, &a) >= 0 && S_ISDIR(a.mode))
		ops_drop_pages(req, a.ino);
}

void op_rename(fuse_req_t req, fuse_ino_t from_dir, const char *from, fuse_ino_t to_dir,
	       const char *to, unsigned int flags)
{
	struct fs_cred cred = cred_of(req);
	int err;

	if (flags & RENAME_FLAG_WHITEOUT)
		err = fs_rename_whiteout(ops_fs(req), from_dir, from, to_dir, to,
					 flags & ~RENAME_FLAG_WHITEOUT, &cred);
	else
		err = fs_rename(ops_fs(req), from_dir, from, to_dir, to, flags);
	if (err >= 0 && from_dir != to_dir) {
		parent_changed(req, to_dir, to);
		if (flags & FS_RENAME_EXCHANGE)
			parent_changed(req, from_dir, from);
	}
	/* One commit holds both folders' changes: it is one operation. */
	ops_reply_changed(req, err, to_dir);
}

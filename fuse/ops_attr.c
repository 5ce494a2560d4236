/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes, symlink targets, extended attributes, totals. */
#include "ops.h"
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

static void reply_attr(fuse_req_t req, int err, const struct fs_attr *a)
{
	struct stat st;

	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	ops_fill_stat(a, &st);
	(void)fuse_reply_attr(req, &st, OPS_TIMEOUT_S);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_attr a;
	int err = fs_getattr(ops_fs(req), ino, &a);

	if (err >= 0 && wire_request()->statx)
		wire_reply_statx(req, &a);
	else
		reply_attr(req, err, &a);
}

static unsigned translate_which(int to_set)
{
	static const struct {
		int from;
		unsigned to;
	} table[] = {
		{ FUSE_SET_ATTR_MODE, FS_SET_MODE },
		{ FUSE_SET_ATTR_UID, FS_SET_UID },
		{ FUSE_SET_ATTR_GID, FS_SET_GID },
		{ FUSE_SET_ATTR_SIZE, FS_SET_SIZE },
		{ FUSE_SET_ATTR_ATIME, FS_SET_ATIME },
		{ FUSE_SET_ATTR_MTIME, FS_SET_MTIME },
		{ FUSE_SET_ATTR_CTIME, FS_SET_CTIME },
		{ FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW },
		{ FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW },
	};
	unsigned which = 0;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (to_set & table[i].from)
			which |= table[i].to;
	return which;
}

/* Nothing to set; the writeback cache has a ctime of its own to go with it. */
static bool is_empty(unsigned which)
{
	return !(which & ~(unsigned)FS_SET_CTIME);
}

/* As chown(2) does it whoever calls: set-user-ID goes, and set-group-ID by its own rule. */
static int kill_by_chown(fuse_req_t req, uint64_t ino, struct fs_attr *a, unsigned *which)
{
	struct fs_attr now;
	int err;

	if (*which & FS_SET_MODE)
		return 0;
	err = fs_getattr(ops_fs(req), ino, &now);
	if (err < 0 || !(now.mode & (S_ISUID | S_ISGID)))
		return err;
	/* chown(-1, -1), which the kernel lets anybody do: but not take bits off somebody else's
	 * file. It asks in the same words when somebody writes to one; op_write sees to that. */
	if (is_empty(*which) && fuse_req_ctx(req)->uid != 0 && fuse_req_ctx(req)->uid != now.uid)
		return 0;
	a->mode = ops_killed_mode(req, &now);
	if (a->mode != now.mode)
		*which |= FS_SET_MODE;
	return 0;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct fs_attr a = { .ino = ino,
			     .mode = attr->st_mode,
			     .uid = attr->st_uid,
			     .gid = attr->st_gid,
			     .size = (uint64_t)attr->st_size,
			     .atime = attr->st_atim,
			     .mtime = attr->st_mtim,
			     .ctime = attr->st_ctim };
	unsigned which = translate_which(to_set);
	struct fs_attr result;
	int err = 0;

	/* On its own, so that a truncate of a file without these bits stays the cheap one. */
	if (which & FS_SET_SIZE)
		err = ops_kill_suid(req, ino);
	else if (is_empty(which) || (which & (FS_SET_UID | FS_SET_GID)))
		err = kill_by_chown(req, ino, &a, &which);
	if (err >= 0)
		err = fs_setattr(ops_fs(req), ino, &a, which, &result);
	reply_attr(req, ops_settle(req, err, ino), &result);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct buf target CLEANUP(buf_release) = BUF_INIT;
	int err = fs_readlink(ops_fs(req), ino, &target);

	if (err >= 0)
		(void)buf_cstr(&target);
	if (err >= 0)
		err = buf_error(&target);
	if (err < 0)
		ops_reply_err(req, err);
	else
		(void)fuse_reply_readlink(req, buf_cstr(&target));
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs_statfs s;
	struct statvfs v;
	int err = fs_statfs(ops_fs(req), &s);

	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	v = (struct statvfs){ .f_bsize = s.block_bytes,
			      .f_frsize = s.block_bytes,
			      .f_blocks = s.total_bytes / s.block_bytes,
			      .f_bfree = (s.total_bytes - s.used_bytes) / s.block_bytes,
			      .f_files = s.inodes_total,
			      .f_ffree = s.inodes_total - s.inodes_used,
			      .f_namemax = FS_NAME_MAX };
	v.f_bavail = v.f_bfree;
	v.f_favail = v.f_ffree;
	(void)fuse_reply_statfs(req, &v);
}

/* ---- extended attributes ---- */

/* An access ACL sets the mode; set-group-ID goes if a chmod by the same process would take it. */
static int kill_sgid(fuse_req_t req, uint64_t ino)
{
	struct fs_attr a;
	int err = fs_getattr(ops_fs(req), ino, &a);

	if (err < 0 || !(a.mode & S_ISGID))
		return err;
	a.mode &= ~(uint32_t)S_ISGID;
	return fs_setattr(ops_fs(req), ino, &a, FS_SET_MODE, NULL);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	int err = fs_setxattr(ops_fs(req), ino, name, value, size, flags);

	/* The kernel says so of default ACLs, too, which are not about the folder itself. */
	if (err >= 0 && wire_request()->acl_kills_sgid &&
	    strcmp(name, "system.posix_acl_access") == 0)
		err = kill_sgid(req, ino);
	ops_reply_changed(req, err, ino);
}

/* size 0 asks for the length. */
static void reply_xattr(fuse_req_t req, int err, const struct buf *value, size_t size)
{
	if (err >= 0)
		err = buf_error(value);
	if (err >= 0 && size && value->len > size)
		err = -ERANGE;
	if (err < 0)
		ops_reply_err(req, err);
	else if (size == 0)
		(void)fuse_reply_xattr(req, value->len);
	else
		(void)fuse_reply_buf(req, (const char *)value->data, value->len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	int err = fs_getxattr(ops_fs(req), ino, name, &value);

	reply_xattr(req, err, &value, size);
}

/* Only the privileged see that there are any: xattr(7). */
static void hide_trusted(struct buf *names)
{
	static const char prefix[] = "trusted.";
	size_t kept = 0;

	for (size_t at = 0; at < names->len;) {
		const char *name = (const char *)names->data + at;
		size_t len = strlen(name) + 1;

		if (strncmp(name, prefix, sizeof(prefix) - 1) != 0) {
			memmove(names->data + kept, name, len);
			kept += len;
		}
		at += len;
	}
	names->len = kept;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct buf names CLEANUP(buf_release) = BUF_INIT;
	int err = fs_listxattr(ops_fs(req), ino, &names);

	if (err >= 0 && fuse_req_ctx(req)->uid != 0)
		hide_trusted(&names);
	reply_xattr(req, err, &names, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	ops_reply_changed(req, fs_removexattr(ops_fs(req), ino, name), ino);
}

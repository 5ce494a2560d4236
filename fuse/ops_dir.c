/* SPDX-License-Identifier: BSD-3-Clause */
/* Directories. They need no handle: a position is a cookie that stays right whatever happens. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	fuse_req_t req;
	char *data;
	size_t size, used;
	bool plus;
};

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static size_t add_plain(struct listing *l, const struct fs_dirent *d)
{
	struct stat st = { .st_ino = d->ino, .st_mode = d->type };

	return fuse_add_direntry(l->req, l->data + l->used, l->size - l->used, d->name, &st,
				 (off_t)d->cookie);
}

/* "." and ".." come without node id, which tells the kernel not to take them for lookups. */
static size_t add_plus(struct listing *l, const struct fs_dirent *d)
{
	struct fuse_entry_param e = { .attr = { .st_ino = d->ino, .st_mode = d->type } };

	if (d->attr && !is_dots(d->name))
		ops_fill_entry(d->attr, &e);
	return fuse_add_direntry_plus(l->req, l->data + l->used, l->size - l->used, d->name, &e,
				      (off_t)d->cookie);
}

static bool add(void *ctx, const struct fs_dirent *d)
{
	struct listing *l = ctx;
	size_t needed = l->plus ? add_plus(l, d) : add_plain(l, d);

	if (needed > l->size - l->used)
		return false;
	l->used += needed;
	return true;
}

static void list(fuse_req_t req, uint64_t ino, size_t size, off_t off,
		 const struct fuse_file_info *fi, bool plus)
{
	struct listing l = { .req = req, .data = malloc(size), .size = size, .plus = plus };
	int err;

	/* The handle says O_NOATIME. */
	if (off == 0 && !fi->fh)
		(void)fs_touch(ops_fs(req), ino);
	err = l.data ? fs_readdir(ops_fs(req), ino, (uint64_t)off, plus, add, &l) : -ENOMEM;

	/* An error after some entries comes again, and is said then. */
	if (err < 0 && l.used == 0)
		ops_reply_err(req, err);
	else
		(void)fuse_reply_buf(req, l.data, l.used);
	free(l.data);
}

/*
 * The kernel keeps what it has listed until it changes the folder itself; we make it forget that
 * when listing has to change the access time. Where it never has to, it need not even ask to open.
 */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool noatime = fi->flags & O_NOATIME;

	if (ops_never_opens_folders(req)) {
		(void)fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->fh = noatime;
	fi->cache_readdir = 1;
	fi->keep_cache = noatime || !fs_touch_is_due(ops_fs(req), ino);
	(void)fuse_reply_open(req, fi);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	ops_reply_err(req, 0);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What we ask of the kernel, and how operations are answered. */
#include "ops.h"
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of one read or write, at most. Each worker, and there are many, has a buffer of that size. */
#define REQUEST_MIN (128 * KIB)
#define REQUEST_MAX MIB
#define REQUEST_SHARE 512      /* of mem_limit */
#define BACKGROUND_REQUESTS 64 /* readahead and asynchronous direct I/O in flight */
#define STAT_BLOCK_BYTES (128 * 1024)

/* ---- the connection ---- */

static void want(struct fuse_conn_info *conn, unsigned capability)
{
	if (conn->capable & capability)
		conn->want |= capability;
}

unsigned ops_request_bytes(const struct ops_ctx *ctx)
{
	unsigned bytes = REQUEST_MIN;

	while (bytes < REQUEST_MAX && bytes * 2ull <= ctx->mem_limit_bytes / REQUEST_SHARE)
		bytes *= 2;
	return bytes;
}

void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct ops_ctx *ctx = userdata;

	want(conn, FUSE_CAP_ASYNC_READ);
	want(conn, FUSE_CAP_ASYNC_DIO);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_READDIRPLUS);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO);
	if (!ctx->strictatime)
		want(conn, FUSE_CAP_CACHE_SYMLINKS);
	want(conn, FUSE_CAP_EXPORT_SUPPORT);
	/* The umask gives way to a folder's default ACL, which only the filesystem knows. */
	want(conn, FUSE_CAP_POSIX_ACL);
	want(conn, FUSE_CAP_DONT_MASK);
	/* The second version of it (wire.c) says who writes; the first does not. */
	conn->want &= ~(unsigned)FUSE_CAP_HANDLE_KILLPRIV;
	/* Cached pages never go stale behind the kernel's back, so a new mtime must not drop them.
	 */
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA);
	if (ctx->writeback)
		want(conn, FUSE_CAP_WRITEBACK_CACHE);
	/* Locks are between processes of this host: the kernel keeps them. Splicing would only add
	 * a pipe between the kernel's buffer and ours: bytes written are compressed, bytes read
	 * decompressed. */
	conn->want &=
		~(unsigned)(FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_SPLICE_READ |
			    FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	ctx->never_opens_folders =
		(conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) && !fs_touches_folders(ctx->fs);
	conn->max_write = ops_request_bytes(ctx);
	conn->max_readahead = REQUEST_MAX;
	conn->max_background = BACKGROUND_REQUESTS;
	conn->congestion_threshold = BACKGROUND_REQUESTS * 3 / 4;
	conn->time_gran = 1;
}

void op_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset,
		       struct fuse_bufvec *bufv)
{
	struct ops_ctx *ctx = cookie;

	__atomic_store_n(&ctx->probe_answered, true, __ATOMIC_RELAXED);
	fuse_reply_none(req);
}

/* ---- replies ---- */

static struct ops_ctx *context(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

struct fs *ops_fs(fuse_req_t req)
{
	return context(req)->fs;
}

bool ops_never_opens_folders(fuse_req_t req)
{
	return context(req)->never_opens_folders;
}

static void report(int err)
{
	static int64_t last_s = -1; /* atomic */
	struct timespec now;
	int64_t before = __atomic_load_n(&last_s, __ATOMIC_RELAXED);

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec == before ||
	    !__atomic_compare_exchange_n(&last_s, &before, now.tv_sec, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	log_line(LOG_L_WARN, "input/output error for a program: %s%s%s", err_text(err),
		 *err_last_note() ? ": " : "", err_last_note());
}

void ops_reply_err(fuse_req_t req, int err)
{
	/* What is wrong with the store is nothing that a program could tell apart from its own
	 * faults: a read that the store denies or throttles must not look like a missing right, or
	 * like EAGAIN. */
	int e = err <= -L3_FENCED ? EIO : err_to_errno(err);

	if (e == EIO)
		report(err);
	(void)fuse_reply_err(req, e);
}

void ops_fill_stat(const struct fs_attr *a, struct stat *ret)
{
	*ret = (struct stat){ .st_ino = a->ino,
			      .st_mode = a->mode,
			      .st_uid = a->uid,
			      .st_gid = a->gid,
			      .st_nlink = a->nlink,
			      .st_rdev = a->rdev,
			      .st_size = (off_t)a->size,
			      .st_blocks = (blkcnt_t)a->blocks,
			      .st_blksize = STAT_BLOCK_BYTES,
			      .st_atim = a->atime,
			      .st_mtim = a->mtime,
			      .st_ctim = a->ctime };
}

void ops_fill_entry(const struct fs_attr *a, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){ .ino = a->ino,
					  .generation = a->generation,
					  .attr_timeout = OPS_TIMEOUT_S,
					  .entry_timeout = OPS_TIMEOUT_S };
	ops_fill_stat(a, &ret->attr);
}

int ops_settle(fuse_req_t req, int err, uint64_t ino)
{
	struct ops_ctx *ctx = context(req);

	if (err < 0)
		return err;
	return ctx->sync_names || fs_is_sync(ctx->fs, ino) ? fs_fsync(ctx->fs, ino) : err;
}

void ops_reply_made(fuse_req_t req, int err, uint64_t dir, const struct fs_attr *a)
{
	struct fuse_entry_param e;

	err = ops_settle(req, err, dir);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	ops_fill_entry(a, &e);
	(void)fuse_reply_entry(req, &e);
}

void ops_reply_changed(fuse_req_t req, int err, uint64_t dir)
{
	ops_reply_err(req, ops_settle(req, err, dir));
}

/* ---- set-user-ID ---- */

void ops_attr_changed(fuse_req_t req, uint64_t ino)
{
	/* Attributes only: that waits for nothing. The kernel may have forgotten it: fine. */
	(void)fuse_lowlevel_notify_inval_inode(context(req)->fuse, ino, -1, 0);
}

void ops_drop_pages(fuse_req_t req, uint64_t ino)
{
	(void)fuse_lowlevel_notify_inval_inode(context(req)->fuse, ino, 0, 0);
}

#define GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

static bool has_group(fuse_req_t req, int count, gid_t *list, uint32_t gid)
{
	int have = fuse_req_getgroups(req, count, list);

	for (int n = 0; n < have && n < count; n++)
		if (list[n] == gid)
			return true;
	return false;
}

/* One that cannot be looked at is in no other group. */
static bool in_group(fuse_req_t req, uint32_t gid)
{
	gid_t few[64], *many;
	int count = fuse_req_getgroups(req, ARRAY_LEN(few), few);
	bool found;

	if (fuse_req_ctx(req)->gid == gid)
		return true;
	if (count <= (int)ARRAY_LEN(few))
		return has_group(req, ARRAY_LEN(few), few, gid);
	many = calloc(GROUPS_MAX, sizeof(*many));
	found = many && has_group(req, GROUPS_MAX, many, gid);
	free(many);
	return found;
}

/* set-group-ID without execution for the group stays for its members only. */
uint32_t ops_killed_mode(fuse_req_t req, const struct fs_attr *a)
{
	uint32_t mode = a->mode;

	if (S_ISDIR(mode))
		return mode;
	if ((mode & S_ISGID) &&
	    ((mode & S_IXGRP) || (fuse_req_ctx(req)->uid != 0 && !in_group(req, a->gid))))
		mode &= ~(uint32_t)S_ISGID;
	return mode & ~(uint32_t)S_ISUID;
}

/* The kernel knows (CAP_FSETID); where it does not say, root is taken for privileged. */
static bool is_privileged(fuse_req_t req)
{
	enum wire_writer writer = wire_request()->writer;

	return writer == WIRE_UNKNOWN ? fuse_req_ctx(req)->uid == 0 : writer == WIRE_PRIVILEGED;
}

int ops_kill_suid(fuse_req_t req, uint64_t ino)
{
	struct fs_attr a;
	uint32_t mode;
	int err;

	if (is_privileged(req))
		return 0;
	err = fs_getattr(ops_fs(req), ino, &a);
	if (err < 0 || !S_ISREG(a.mode) || !(a.mode & (S_ISUID | S_ISGID)))
		return err;
	mode = ops_killed_mode(req, &a);
	if (mode == a.mode)
		return 0;
	a.mode = mode;
	err = fs_setattr(ops_fs(req), ino, &a, FS_SET_MODE, NULL);
	if (err >= 0)
		ops_attr_changed(req, ino);
	return err;
}

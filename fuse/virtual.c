/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder .levels3fs: what is in it, and the operations on it. See virtual.h. */
#include "virtual.h"

#include "report.h"
#include "stream.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum node {
	NODE_FOLDER,
	NODE_STATUS,
	NODE_STATUS_JSON,
	NODE_STATS,
	NODE_METRICS,
	NODE_TRACE,
	NODE_COUNT
};

static const char *const names[NODE_COUNT] = {
	[NODE_FOLDER] = ".",	[NODE_STATUS] = "status",   [NODE_STATUS_JSON] = "status.json",
	[NODE_STATS] = "stats", [NODE_METRICS] = "metrics", [NODE_TRACE] = "trace",
};

_Static_assert(VIRTUAL_FIRST_INO + NODE_STATUS == VIRTUAL_PROBED_INO, "virtual.h");

struct opened { /* an open file: fi->fh */
	struct opened *next, **at;
	struct buf text;
	struct stream *stream; /* the trace; NULL */
};

struct virtual
{
	struct daemon *daemon;
	struct streams *streams;
	pthread_mutex_t lock;
	struct opened *first;
};

static struct virtual *virtual_of(fuse_req_t req)
{
	return ((struct ops_ctx *)fuse_req_userdata(req))->virtual;
}

static bool is_ours(uint64_t ino)
{
	return ino >= VIRTUAL_FIRST_INO && ino < VIRTUAL_FIRST_INO + NODE_COUNT;
}

static uint64_t ino_of(enum node n)
{
	return VIRTUAL_FIRST_INO + n;
}

/* The name is this folder's, unless the filesystem has something of that name. */
static bool is_reserved(fuse_req_t req, uint64_t dir, const char *name)
{
	struct fs_attr a;

	return dir == FS_ROOT_INO && strcmp(name, VIRTUAL_NAME) == 0 &&
	       fs_lookup(ops_fs(req), dir, name, &a) == -ENOENT;
}

/* ---- names and attributes ---- */

static void fill_attr(fuse_req_t req, enum node n, struct fs_attr *ret)
{
	struct timespec since = { .tv_sec = daemon_since_s(virtual_of(req)->daemon) };
	bool folder = n == NODE_FOLDER;

	*ret = (struct fs_attr){ .ino = ino_of(n),
				 .mode = folder ? S_IFDIR | 0500 : S_IFREG | 0400,
				 .uid = geteuid(),
				 .gid = getegid(),
				 .nlink = folder ? 2 : 1,
				 .atime = since,
				 .mtime = since,
				 .ctime = since,
				 .btime = since };
}

static void reply_node(fuse_req_t req, enum node n)
{
	struct fuse_entry_param e;
	struct fs_attr a;

	fill_attr(req, n, &a);
	ops_fill_entry(&a, &e);
	(void)fuse_reply_entry(req, &e);
}

/* ".." is asked for by NFS only. */
static void look_up(fuse_req_t req, const char *name)
{
	if (strcmp(name, "..") == 0) {
		op_lookup(req, FS_ROOT_INO, ".");
		return;
	}
	for (size_t i = 0; i < NODE_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) {
			reply_node(req, (enum node)i);
			return;
		}
	}
	(void)fuse_reply_err(req, ENOENT);
}

static void v_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	if (dir == VIRTUAL_FIRST_INO)
		look_up(req, name);
	else if (is_ours(dir) && strcmp(name, ".") == 0) /* NFS has only the number */
		reply_node(req, (enum node)(dir - VIRTUAL_FIRST_INO));
	else if (is_ours(dir))
		(void)fuse_reply_err(req, ENOTDIR);
	else if (is_reserved(req, dir, name))
		reply_node(req, NODE_FOLDER);
	else
		op_lookup(req, dir, name);
}

static void v_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_attr a;
	struct stat st;

	if (!is_ours(ino)) {
		op_getattr(req, ino, fi);
		return;
	}
	fill_attr(req, (enum node)(ino - VIRTUAL_FIRST_INO), &a);
	ops_fill_stat(&a, &st);
	if (wire_request()->statx)
		wire_reply_statx(req, &a);
	else
		(void)fuse_reply_attr(req, &st, OPS_TIMEOUT_S);
}

static void v_statfs(fuse_req_t req, fuse_ino_t ino)
{
	op_statfs(req, is_ours(ino) ? FS_ROOT_INO : ino);
}

/* ---- listing it ---- */

static size_t add_entry(fuse_req_t req, char *out, size_t room, size_t n, bool plus)
{
	const char *name = n == 0 ? "." : n == 1 ? ".." : names[n - 1];
	struct fuse_entry_param e = { 0 }; /* without inode: the kernel looks it up itself */

	e.attr.st_ino = n == 1 ? FS_ROOT_INO : ino_of(n ? (enum node)(n - 1) : NODE_FOLDER);
	e.attr.st_mode = n < 2 ? S_IFDIR : S_IFREG;
	return plus ? fuse_add_direntry_plus(req, out, room, name, &e, (off_t)n + 1)
		    : fuse_add_direntry(req, out, room, name, &e.attr, (off_t)n + 1);
}

static void list(fuse_req_t req, uint64_t ino, size_t size, off_t off, bool plus)
{
	char data[4096];
	size_t used = 0, room = min_u64(size, sizeof(data));

	if (ino != VIRTUAL_FIRST_INO) {
		(void)fuse_reply_err(req, ENOTDIR);
		return;
	}
	for (size_t n = (size_t)off; n <= NODE_COUNT; n++) {
		size_t needed = add_entry(req, data + used, room - used, n, plus);

		if (needed > room - used)
			break;
		used += needed;
	}
	(void)fuse_reply_buf(req, data, used);
}

static void v_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (is_ours(ino) && !ops_never_opens_folders(req))
		(void)fuse_reply_open(req, fi);
	else
		op_opendir(req, ino, fi);
}

static void v_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	if (is_ours(ino))
		list(req, ino, size, off, false);
	else
		op_readdir(req, ino, size, off, fi);
}

static void v_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	if (is_ours(ino))
		list(req, ino, size, off, true);
	else
		op_readdirplus(req, ino, size, off, fi);
}

/* ---- open files ---- */

static struct opened *opened_of(const struct fuse_file_info *fi)
{
	return (struct opened *)(uintptr_t)fi->fh; // NOLINT(performance-no-int-to-ptr)
}

static int say_status(struct virtual *v, bool json, struct buf *out)
{
	struct buf lines CLEANUP(buf_release) = BUF_INIT;
	char *text = NULL;
	size_t len = 0;
	FILE *f;
	int err;

	report_status(v->daemon, &lines);
	if (buf_error(&lines) < 0 || !(f = open_memstream(&text, &len)))
		return -ENOMEM;
	err = daemon_request(v->daemon)->words->status(f, buf_cstr(&lines), json);
	if (fclose(f) != 0 && err >= 0)
		err = -ENOMEM;
	if (err >= 0)
		buf_add(out, text, len);
	free(text);
	return err;
}

static int fill(struct virtual *v, enum node n, struct opened *o)
{
	int err = 0;

	if (n == NODE_TRACE)
		return stream_open(v->streams, &o->stream);
	if (n == NODE_STATUS || n == NODE_STATUS_JSON)
		err = say_status(v, n == NODE_STATUS_JSON, &o->text);
	else if (n == NODE_STATS)
		report_stats(v->daemon, &o->text);
	else
		report_metrics(v->daemon, &o->text);
	return err < 0 ? err : buf_error(&o->text);
}

/* NULL is fine. */
static void opened_free(struct opened *o)
{
	if (o)
		buf_release(&o->text);
	free(o);
}

static void enlist(struct virtual *v, struct opened *o)
{
	pthread_mutex_lock(&v->lock);
	o->next = v->first;
	o->at = &v->first;
	if (o->next)
		o->next->at = &o->next;
	v->first = o;
	pthread_mutex_unlock(&v->lock);
}

static void close_opened(struct virtual *v, struct opened *o)
{
	pthread_mutex_lock(&v->lock);
	*o->at = o->next;
	if (o->next)
		o->next->at = o->at;
	pthread_mutex_unlock(&v->lock);
	if (o->stream)
		stream_close(o->stream);
	opened_free(o);
}

/* The kernel has checked the mode already, unless the process is privileged. */
static int may_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	uid_t uid = fuse_req_ctx(req)->uid;

	if (uid != 0 && uid != geteuid())
		return -EACCES;
	return (fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) ? -EPERM : 0;
}

static void open_ours(fuse_req_t req, enum node n, struct fuse_file_info *fi)
{
	struct virtual *v = virtual_of(req);
	struct opened *o = calloc(1, sizeof(*o));
	int err = o ? may_open(req, fi) : -ENOMEM;

	if (err >= 0)
		err = fill(v, n, o);
	if (err < 0) {
		opened_free(o);
		ops_reply_err(req, err);
		return;
	}
	enlist(v, o);
	fi->fh = (uintptr_t)o;
	fi->direct_io = 1; /* whatever size it has */
	fi->nonseekable = n == NODE_TRACE;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) == -ENOENT)
		close_opened(v, o);
}

static void v_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (is_ours(ino))
		open_ours(req, (enum node)(ino - VIRTUAL_FIRST_INO), fi);
	else
		op_open(req, ino, fi);
}

static void v_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	struct virtual *v = virtual_of(req);
	struct opened *o;
	size_t at;

	if (!is_ours(ino)) {
		op_read(req, ino, size, off, fi);
		return;
	}
	o = opened_of(fi);
	if (o->stream) {
		stream_read(o->stream, req, size, fi->flags & O_NONBLOCK);
		return;
	}
	at = min_u64((uint64_t)off, o->text.len);
	/* As soon as it is answered it may be closed: that waits for the lock. */
	pthread_mutex_lock(&v->lock);
	(void)fuse_reply_buf(req, (const char *)o->text.data + at, min_u64(size, o->text.len - at));
	pthread_mutex_unlock(&v->lock);
}

static void v_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (is_ours(ino)) {
		close_opened(virtual_of(req), opened_of(fi));
		(void)fuse_reply_err(req, 0);
	} else {
		op_release(req, ino, fi);
	}
}

static void v_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, 0);
	else
		op_flush(req, ino, fi);
}

static void v_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, 0);
	else
		op_fsync(req, ino, datasync, fi);
}

static void v_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, 0);
	else
		op_fsyncdir(req, ino, datasync, fi);
}

static void v_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		    struct fuse_file_info *fi)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, EINVAL);
	else
		op_lseek(req, ino, off, whence, fi);
}

/* ---- what it does not have ---- */

static void v_readlink(fuse_req_t req, fuse_ino_t ino)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, EINVAL);
	else
		op_readlink(req, ino);
}

static void v_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, ENODATA);
	else
		op_getxattr(req, ino, name, size);
}

static void v_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	if (!is_ours(ino))
		op_listxattr(req, ino, size);
	else if (size == 0)
		(void)fuse_reply_xattr(req, 0);
	else
		(void)fuse_reply_buf(req, NULL, 0);
}

static void v_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		    struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_size,
		    size_t out_size)
{
	if (is_ours(ino))
		(void)fuse_reply_err(req, ENOTTY);
	else
		op_ioctl(req, ino, cmd, arg, fi, flags, in_buf, in_size, out_size);
}

static void v_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			      struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			      struct fuse_file_info *fi_out, size_t len, int flags)
{
	if (is_ours(ino_in) || is_ours(ino_out))
		(void)fuse_reply_err(req, EOPNOTSUPP); /* then it is read and written */
	else
		op_copy_file_range(req, ino_in, off_in, fi_in, ino_out, off_out, fi_out, len,
				   flags);
}

/* ---- changes: none ---- */

/* True if it was one of this folder, and is refused. */
static bool refused(fuse_req_t req, uint64_t ino, const char *name)
{
	if (!is_ours(ino) && !(name && is_reserved(req, ino, name)))
		return false;
	(void)fuse_reply_err(req, EPERM);
	return true;
}

static void v_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		      struct fuse_file_info *fi)
{
	if (!refused(req, ino, NULL))
		op_setattr(req, ino, attr, to_set, fi);
}

static void v_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		       size_t size, int flags)
{
	if (!refused(req, ino, NULL))
		op_setxattr(req, ino, name, value, size, flags);
}

static void v_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	if (!refused(req, ino, NULL))
		op_removexattr(req, ino, name);
}

static void v_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
	if (!refused(req, dir, name))
		op_mknod(req, dir, name, mode, rdev);
}

static void v_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	if (!refused(req, dir, name))
		op_mkdir(req, dir, name, mode);
}

static void v_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
	if (!refused(req, dir, name))
		op_symlink(req, target, dir, name);
}

static void v_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
		     struct fuse_file_info *fi)
{
	if (!refused(req, dir, name))
		op_create(req, dir, name, mode, fi);
}

static void v_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
	if (!refused(req, ino, NULL) && !refused(req, dir, name))
		op_link(req, ino, dir, name);
}

static void v_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	if (!refused(req, dir, name))
		op_unlink(req, dir, name);
}

static void v_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	if (!refused(req, dir, name))
		op_rmdir(req, dir, name);
}

static void v_rename(fuse_req_t req, fuse_ino_t from_dir, const char *from, fuse_ino_t to_dir,
		     const char *to, unsigned int flags)
{
	if (!refused(req, from_dir, from) && !refused(req, to_dir, to))
		op_rename(req, from_dir, from, to_dir, to, flags);
}

static void v_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	if (!refused(req, ino, NULL))
		op_write(req, ino, buf, size, off, fi);
}

static void v_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
			struct fuse_file_info *fi)
{
	if (!refused(req, ino, NULL))
		op_fallocate(req, ino, mode, offset, length, fi);
}

/* Forgetting and closing a folder need nothing here. No access, no locks: ops.h. */
const struct fuse_lowlevel_ops virtual_table = {
	.init = op_init,
	.lookup = v_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = v_getattr,
	.setattr = v_setattr,
	.readlink = v_readlink,
	.mknod = v_mknod,
	.mkdir = v_mkdir,
	.unlink = v_unlink,
	.rmdir = v_rmdir,
	.symlink = v_symlink,
	.rename = v_rename,
	.link = v_link,
	.open = v_open,
	.create = v_create,
	.read = v_read,
	.write = v_write,
	.flush = v_flush,
	.release = v_release,
	.fsync = v_fsync,
	.fallocate = v_fallocate,
	.lseek = v_lseek,
	.copy_file_range = v_copy_file_range,
	.ioctl = v_ioctl,
	.opendir = v_opendir,
	.readdir = v_readdir,
	.readdirplus = v_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = v_fsyncdir,
	.statfs = v_statfs,
	.setxattr = v_setxattr,
	.getxattr = v_getxattr,
	.listxattr = v_listxattr,
	.removexattr = v_removexattr,
	.retrieve_reply = op_retrieve_reply,
};

/* ---- life ---- */

int virtual_new(struct daemon *d, struct virtual **ret)
{
	struct virtual *v = calloc(1, sizeof(*v));
	int err = v ? streams_new(daemon_trace(d), daemon_request(d)->words, &v->streams) : -ENOMEM;

	if (err < 0) {
		free(v);
		return err;
	}
	v->daemon = d;
	pthread_mutex_init(&v->lock, NULL);
	*ret = v;
	return 0;
}

void virtual_free(struct virtual *v)
{
	if (!v)
		return;
	streams_free(v->streams);
	while (v->first) {
		struct opened *o = v->first;

		v->first = o->next;
		opened_free(o);
	}
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ops: the low-level FUSE operations. They translate between the kernel's protocol and src/fs and
 * decide nothing: permissions are the kernel's (default_permissions), everything else is the
 * filesystem's.
 *
 *	ops.c       what we ask of the kernel, replies
 *	ops_name.c  lookup, making, linking, renaming, removing
 *	ops_attr.c  attributes, extended attributes, statfs
 *	ops_file.c  open files
 *	ops_dir.c   directories
 *	ops_flags.c what chattr(1) sets
 *	park.c      what writes bring that wait without a worker
 *	wait.c      requests that may wait for the store do not keep a killed process waiting
 *	wire.c      what older releases of libfuse do not pass on
 *
 * The kernel comes to them by way of the folder .levels3fs (virtual.h).
 */
#ifndef LEVELS3_FUSE_OPS_H
#define LEVELS3_FUSE_OPS_H

#define FUSE_USE_VERSION 312

#include "fs/fs.h"

#include <fuse_lowlevel.h>

struct ops_ctx { /* the session's userdata */
	struct fs *fs;
	struct trace *trace;
	struct virtual *virtual;
	uint64_t mem_limit_bytes;
	bool writeback;	 /* the kernel's writeback cache */
	bool sync_names; /* -o sync, dirsync: names and attributes are durable when the call returns
			  */
	bool strictatime;	   /* every read counts: the kernel must not answer for us */
	bool never_opens_folders;  /* the kernel offers that, and access times do not ask for it */
	struct fuse_session *fuse; /* once mounted */
	bool probe_answered;	   /* atomic: session_probe */
};

/*
 * Nobody but this mount changes the filesystem, so what the kernel knows stays true until it
 * changes it itself; names that do not exist, too.
 */
#define OPS_TIMEOUT_S 86400.0

/* ---- for the operations ---- */

/* Of one read or write, at most. */
unsigned ops_request_bytes(const struct ops_ctx *ctx);
struct fs *ops_fs(fuse_req_t req);
bool ops_never_opens_folders(fuse_req_t req);
/* err 0 or any code of ours. Trouble with the store (EIO) is logged, at most once a second. */
void ops_reply_err(fuse_req_t req, int err);
void ops_fill_stat(const struct fs_attr *a, struct stat *ret);
void ops_fill_entry(const struct fs_attr *a, struct fuse_entry_param *ret);
/* Either the entry or the error; names in `dir` were changed. */
void ops_reply_made(fuse_req_t req, int err, uint64_t dir, const struct fs_attr *a);
/* Likewise without an entry. */
void ops_reply_changed(fuse_req_t req, int err, uint64_t dir);
/* -o sync: makes a change of an inode, or of names in a folder, durable; passes errors on. */
int ops_settle(fuse_req_t req, int err, uint64_t ino);
/* Who changes a file's bytes takes set-user-ID and set-group-ID away, unless privileged; if there
 * are any. */
int ops_kill_suid(fuse_req_t req, uint64_t ino);
/* The mode that Linux leaves when this process changes the owner, or a write kills the bits. */
uint32_t ops_killed_mode(fuse_req_t req, const struct fs_attr *a);
/* What the kernel knows of the attributes is no longer true, and it cannot know that. */
void ops_attr_changed(fuse_req_t req, uint64_t ino);
/* The kernel forgets the pages that it keeps of a file or, as its listing, of a folder. First it
 * hands over what programs have written through mappings. Hold no locks: that comes as writes, and
 * this waits for them. */
void ops_drop_pages(fuse_req_t req, uint64_t ino);

/* ---- wait.c ---- */

/*
 * A request that may wait for the store for long is bracketed by these. Meanwhile, if its process
 * is being killed, it is answered with EINTR, so that the process can go; what it asked for goes on
 * and has its effect or not, as with any kill. Other signals do not interrupt: programs do not
 * expect EINTR from files.
 */
struct wait {
	fuse_req_t req;
	struct wait *next;
	bool listed, answered, over;
};

int wait_start(void); /* once per process, before the session */
void wait_begin(struct wait *w, fuse_req_t req);
/* False: it was answered meanwhile, and req is gone; so may be the open file, which needs a
 * reference therefore. */
bool wait_end(struct wait *w) MUST_CHECK;
/* Calls fn, which may wait. The kernel's workers are limited, and there must always be one for what needs no store:
 * when many wait already, fn gets its turn on a thread of its own kind, after those who came before. */
void wait_aside(void (*fn)(void *arg), void *arg);
/* Calls fn here, in any case. */
void wait_here(void (*fn)(void *arg), void *arg);
/* So many wait already that fn should not be called here. */
bool wait_is_crowded(void);
/* fn, which brings its bytes along (park.c), gets its turn after all others that came this way, a few at a time. False: it
 * was not taken on. */
bool wait_parked(void (*fn)(void *arg), void *arg) MUST_CHECK;
/* A request is going to be answered by somebody else than the worker that has it; now it has been. */
void wait_owe(void);
void wait_paid(void);
/* Until nothing is owed; before the session goes. */
void wait_for_all(void);

/* ---- park.c ---- */

struct parked {
	char *bytes; /* NULL: in the file */
	int place;   /* there; -1: in memory */
	size_t size;
};

/* Once per process, before the session. request_bytes: the most that one write brings. */
void park_open(const char *cache_dir, uint64_t mem_limit_bytes, size_t request_bytes);
/* Copies. False: there is no room. */
bool park_put(const char *bytes, size_t size, struct parked *ret) MUST_CHECK;
/* The bytes, until park_drop, or for as long as buf is there, which has room for them. NULL: they cannot be read. */
const char *park_get(const struct parked *p, char *buf);
void park_drop(struct parked *p);

/* ---- the operations ----
 * No access: the kernel checks permissions. No locks: see op_init. */

void op_init(void *userdata, struct fuse_conn_info *conn);
void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t from_dir, const char *from, fuse_ino_t to_dir,
	       const char *to, unsigned int flags);

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_size,
	      size_t out_size);

void op_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset,
		       struct fuse_bufvec *bufv);

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

#endif

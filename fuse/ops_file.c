/* SPDX-License-Identifier: BSD-3-Clause */
/* Open files. fi->fh is the struct fs_file. */
#include "ops.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static struct fs_file *file_of(const struct fuse_file_info *fi)
{
	return (struct fs_file *)(uintptr_t)fi->fh; // NOLINT(performance-no-int-to-ptr)
}

/* What the kernel has cached of a file stays right while it is not open, too. Who only reads has
 * nothing to learn from closing. */
static void set_handle(struct fuse_file_info *fi, struct fs_file *f, bool for_writing)
{
	fi->fh = (uintptr_t)f;
	fi->keep_cache = 1;
	fi->noflush = !for_writing;
}

static bool writes(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

static void reply_created(fuse_req_t req, struct fuse_file_info *fi, struct fs_file *f,
			  const struct fs_attr *a)
{
	struct fuse_entry_param e;

	ops_fill_entry(a, &e);
	set_handle(fi, f, true);
	/* The process was killed meanwhile: there will be no release. */
	if (fuse_reply_create(req, &e, fi) == -ENOENT)
		fs_file_close(f);
}

static int make_file(fuse_req_t req, uint64_t dir, const char *name, mode_t mode,
		     struct fs_file **ret, struct fs_attr *ret_attr)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	struct fs_cred cred = { .uid = c->uid, .gid = c->gid, .umask = c->umask };
	int err;

	if (!wire_request()->tmpfile)
		return fs_file_create(ops_fs(req), dir, name, &cred, mode, ret, ret_attr);
	err = fs_tmpfile(ops_fs(req), dir, &cred, mode, ret_attr);
	return err < 0 ? err : fs_file_open(ops_fs(req), ret_attr->ino, true, false, ret);
}

void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct fs_file *f = NULL;
	struct fs_attr a;
	int err = make_file(req, dir, name, mode, &f, &a);

	if (err >= 0) {
		err = ops_settle(req, err, dir);
		if (err < 0)
			fs_file_close(f);
	}
	if (err < 0)
		ops_reply_err(req, err);
	else
		reply_created(req, fi, f, &a);
}

/* Reads that the kernel answers from its cache we do not see: opening for reading counts for them.
 */
static void touch(fuse_req_t req, uint64_t ino, const struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) == O_WRONLY || (fi->flags & (O_NOATIME | O_TRUNC)))
		return;
	if (fs_touch(ops_fs(req), ino) > 0)
		ops_attr_changed(req, ino);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool truncate = fi->flags & O_TRUNC;
	struct fs_file *f = NULL;
	int err = 0;

	if (writes(fi) || truncate)
		err = fs_may_open(ops_fs(req), ino, fi->flags & O_APPEND, truncate);
	if (err >= 0 && truncate)
		err = ops_kill_suid(req, ino);
	if (err >= 0)
		err = fs_file_open(ops_fs(req), ino, writes(fi) || truncate, truncate, &f);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	set_handle(fi, f, writes(fi) || truncate);
	touch(req, ino, fi);
	if (fuse_reply_open(req, fi) == -ENOENT)
		fs_file_close(f);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fs_file_close(file_of(fi));
	ops_reply_err(req, 0);
}

/* ---- bytes ---- */

/*
 * Buffers for answers, of which the one used last is the first to be used again: it is likely to be
 * in the processor's cache still. A megabyte from malloc would be mapped and cleared by the kernel
 * every time, and workers, who come and go, would each have one of their own.
 */
#define BUFFERS_KEPT 16

struct read_buffer {
	struct read_buffer *next;
	size_t size;
	char data[];
};

static struct {
	pthread_mutex_t lock;
	struct read_buffer *first;
	unsigned count;
} buffers = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct read_buffer *buffer_take(size_t size)
{
	struct read_buffer *b;

	pthread_mutex_lock(&buffers.lock);
	b = buffers.first;
	if (b) {
		buffers.first = b->next;
		buffers.count--;
	}
	pthread_mutex_unlock(&buffers.lock);
	if (b && b->size >= size)
		return b;
	free(b);
	b = malloc(sizeof(*b) + size);
	if (b)
		b->size = size;
	return b;
}

static void buffer_give(struct read_buffer *b)
{
	pthread_mutex_lock(&buffers.lock);
	if (buffers.count < BUFFERS_KEPT) {
		b->next = buffers.first;
		buffers.first = b;
		buffers.count++;
		b = NULL;
	}
	pthread_mutex_unlock(&buffers.lock);
	free(b);
}

struct read_job {
	fuse_req_t req;
	struct fs_file *file;
	size_t size;
	uint64_t offset;
	struct wait wait;
};

static void run_read(void *arg)
{
	struct read_job *job = arg;
	struct read_buffer *b = buffer_take(job->size);
	ssize_t n = b ? fs_read(job->file, b->data, job->size, job->offset) : -ENOMEM;

	if (!wait_end(&job->wait))
		n = 0; /* it has been answered, and req is gone */
	else if (n < 0)
		ops_reply_err(job->req, (int)n);
	else
		(void)fuse_reply_buf(job->req, b->data, (size_t)n);
	fs_file_close(job->file);
	if (b)
		buffer_give(b);
	free(job);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct read_job *job = malloc(sizeof(*job));

	if (!job) {
		ops_reply_err(req, -ENOMEM);
		return;
	}
	*job = (struct read_job){
		.req = req, .file = fs_file_ref(file_of(fi)), .size = size, .offset = (uint64_t)off
	};
	fs_file_noatime(job->file, fi->flags & O_NOATIME);
	wait_begin(&job->wait, req);
	wait_aside(run_read, job);
}

/* For a program, not for pages that it changed earlier. */
static int may_write(fuse_req_t req, uint64_t ino, const struct fuse_file_info *fi, uint64_t offset)
{
	int err = fs_may_write(file_of(fi), offset);

	return err < 0 ? err : ops_kill_suid(req, ino);
}

/* chattr +S: as if opened with O_SYNC. */
static ssize_t settle_written(struct fs *fs, uint64_t ino, ssize_t written)
{
	int err = fs_is_sync(fs, ino) ? fs_fsync(fs, ino) : 0;

	return err < 0 ? err : written;
}

struct write_job {
	fuse_req_t req;
	struct fs *fs;
	struct fs_file *file;
	const char *bytes;
	size_t size;
	uint64_t offset;
	bool page;
	struct parked parked; /* if it has no worker: then the job is its own */
	struct wait wait;
};

/* Unless it has been answered meanwhile, and req is gone. */
static void reply_written(struct wait *wait, fuse_req_t req, int64_t n)
{
	if (!wait_end(wait))
		return;
	if (n < 0)
		ops_reply_err(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

static void run_write(void *arg)
{
	struct write_job *job = arg;
	ssize_t n = -EIO;

	if (job->bytes)
		n = fs_write(job->file, job->bytes, job->size, job->offset, false, false);
	if (n >= 0)
		n = settle_written(job->fs, fs_file_ino(job->file), n);
	if (n >= 0 && (size_t)n < job->size && job->page)
		n = -ENOSPC; /* of pages the kernel would not notice */
	reply_written(&job->wait, job->req, n);
	fs_file_close(job->file);
}

static void run_parked_write(void *arg)
{
	struct write_job *job = arg;
	struct read_buffer *b = job->parked.bytes ? NULL : buffer_take(job->size);

	if (b || job->parked.bytes)
		job->bytes = park_get(&job->parked, b ? b->data : NULL);
	run_write(job);
	if (b)
		buffer_give(b);
	park_drop(&job->parked);
	free(job);
}

/* So many writers wait that there would be no workers left for others. */
static bool park_write(const struct write_job *job)
{
	struct write_job *own = malloc(sizeof(*own));

	if (!own)
		return false;
	*own = *job;
	own->bytes = NULL;
	if (!park_put(job->bytes, job->size, &own->parked)) {
		free(own);
		return false;
	}
	wait_begin(&own->wait, own->req);
	if (wait_parked(run_parked_write, own))
		return true;
	run_parked_write(own); /* no memory for the queue */
	return true;
}

/* O_APPEND needs nothing here: the kernel is the only one to know the file, holds its lock, and
 * says the offset. Pages written back (mmap) come without their writer, and take nothing away. */
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	int err = fi->writepage ? 0 : may_write(req, ino, fi, (uint64_t)off);
	struct write_job job = { .req = req,
				 .fs = ops_fs(req),
				 .bytes = buf,
				 .size = size,
				 .offset = (uint64_t)off,
				 .page = fi->writepage };

	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	job.file = fs_file_ref(file_of(fi));
	if (wait_is_crowded() && park_write(&job))
		return;
	wait_begin(&job.wait, req);
	wait_here(run_write, &job);
}

struct fsync_job {
	fuse_req_t req;
	struct fs *fs;
	struct fs_file *file; /* NULL: a folder */
	uint64_t ino;
	struct wait wait;
};

static void fsync_done(void *arg, int err)
{
	struct fsync_job *job = arg;

	if (wait_end(&job->wait))
		ops_reply_err(job->req, err);
	fs_file_close_later(job->file);
	free(job);
	wait_paid();
}

/* Keeps no worker while the store is waited for. */
static void run_fsync(void *arg)
{
	struct fsync_job *job = arg;

	if (job->file)
		fs_file_fsync_then(job->file, fsync_done, job);
	else
		fs_fsync_then(job->fs, job->ino, fsync_done, job);
}

static void start_fsync(fuse_req_t req, uint64_t ino, struct fs_file *file)
{
	struct fsync_job *job = malloc(sizeof(*job));

	if (!job) {
		ops_reply_err(req, -ENOMEM);
		return;
	}
	*job = (struct fsync_job){
		.req = req, .fs = ops_fs(req), .file = file ? fs_file_ref(file) : NULL, .ino = ino
	};
	wait_owe();
	wait_begin(&job->wait, req);
	wait_aside(run_fsync, job);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	start_fsync(req, ino, file_of(fi));
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	start_fsync(req, ino, NULL);
}

/* Closing promises nothing, but does not hide what has failed. */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	ops_reply_err(req, fs_file_flush(file_of(fi)));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	/* Of an append-only file, only what changes no byte of it. */
	int err = may_write(req, ino, fi, mode & ~FALLOC_FL_KEEP_SIZE ? 0 : UINT64_MAX);

	if (err >= 0)
		err = fs_fallocate(file_of(fi), mode, (uint64_t)offset, (uint64_t)length);
	ops_reply_err(req, err);
}

/* The answer has 32 bits for the number of bytes: who wants more asks again. */
#define COPY_BYTES_MAX (2 * GIB)

struct copy_job {
	fuse_req_t req;
	struct fs_file *from, *to;
	uint64_t from_offset, to_offset, len;
	struct wait wait;
};

static void run_copy(void *arg)
{
	struct copy_job *job = arg;
	int64_t n = fs_copy_range(job->from, job->from_offset, job->to, job->to_offset, job->len);

	reply_written(&job->wait, job->req, n);
	fs_file_close(job->from);
	fs_file_close(job->to);
	free(job);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	int err = flags ? -EINVAL : may_write(req, ino_out, fi_out, (uint64_t)off_out);
	struct copy_job *job = err < 0 ? NULL : malloc(sizeof(*job));

	if (!job) {
		ops_reply_err(req, err < 0 ? err : -ENOMEM);
		return;
	}
	*job = (struct copy_job){ .req = req,
				  .from = fs_file_ref(file_of(fi_in)),
				  .to = fs_file_ref(file_of(fi_out)),
				  .from_offset = (uint64_t)off_in,
				  .to_offset = (uint64_t)off_out,
				  .len = min_u64(len, COPY_BYTES_MAX) };
	wait_begin(&job->wait, req);
	wait_aside(run_copy, job);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	int64_t result;

	/* Where a program has just stored into a mapping of a hole, there is data. A mapping is an
	 * open file. */
	if (fs_file_has_writers(file_of(fi)))
		ops_drop_pages(req, ino);
	result = fs_lseek(file_of(fi), (uint64_t)off, whence);
	if (result < 0)
		ops_reply_err(req, (int)result);
	else
		(void)fuse_reply_lseek(req, result);
}

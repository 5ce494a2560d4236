/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on open files. */
#include "model/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DIRECT_ALIGN 4096u

static void put_fd(struct exec *e, unsigned slot, int fd)
{
	if (e->fd[slot] >= 0)
		(void)close(e->fd[slot]);
	e->fd[slot] = fd;
}

/* O_NONBLOCK, since nobody is at the other end of a FIFO. */
int64_t do_open(struct exec *e, const struct op *op)
{
	struct where w;
	int fd;

	if (!exec_where(e, op->path, &w))
		return -1;
	fd = openat(w.dir, w.path, (int)op->flags | O_NONBLOCK | O_CLOEXEC, op->mode);
	if (fd < 0)
		return -1;
	put_fd(e, op->slot, fd);
	return 0;
}

int64_t do_close(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];

	e->fd[op->slot] = -1;
	return close(fd);
}

int64_t do_dup(struct exec *e, const struct op *op)
{
	int fd = fcntl(e->fd[op->slot], F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	put_fd(e, op->slot2, fd);
	return 0;
}

int64_t do_setfl(struct exec *e, const struct op *op)
{
	return fcntl(e->fd[op->slot], F_SETFL, (int)op->flags | O_NONBLOCK);
}

/* ---- bytes ---- */

static bool is_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_DIRECT);
}

/* Unaligned direct I/O is refused by one filesystem and served by another; both is right. So it is
 * always aligned here. */
static size_t fit(int fd, uint64_t want, int64_t *off)
{
	size_t len = want > OUT_MAX ? OUT_MAX : (size_t)want;

	if (!is_direct(fd))
		return len;
	if (off && *off > 0)
		*off -= *off % DIRECT_ALIGN;
	len += (DIRECT_ALIGN - len % DIRECT_ALIGN) % DIRECT_ALIGN;
	return len > OUT_MAX ? OUT_MAX : len;
}

static void fit_position(int fd)
{
	off_t at;

	if (!is_direct(fd))
		return;
	at = lseek(fd, 0, SEEK_CUR);
	if (at > 0)
		(void)lseek(fd, at - at % DIRECT_ALIGN, SEEK_SET);
}

static int64_t got(struct exec *e, ssize_t n)
{
	e->res->out_len = n > 0 ? (size_t)n : 0;
	return n;
}

int64_t do_read(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];

	fit_position(fd);
	return got(e, read(fd, e->res->out, fit(fd, op->len, NULL)));
}

int64_t do_pread(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];
	int64_t off = op->off;
	size_t len = fit(fd, op->len, &off);

	return got(e, pread(fd, e->res->out, len, off));
}

int64_t do_write(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];
	size_t len = fit(fd, op->len, NULL);

	fit_position(fd);
	exec_fill(e->res->out, len, op->seed);
	return write(fd, e->res->out, len);
}

int64_t do_pwrite(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];
	int64_t off = op->off;
	size_t len = fit(fd, op->len, &off);

	exec_fill(e->res->out, len, op->seed);
	return pwrite(fd, e->res->out, len, off);
}

/* In three parts, one of them empty now and then. */
int64_t do_writev(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];
	size_t len = fit(fd, op->len, NULL), first = op->seed % 2 ? len / 3 : 0;
	struct iovec v[3] = { { e->res->out, first },
			      { e->res->out + first, (len - first) / 2 },
			      { e->res->out + first + (len - first) / 2,
				len - first - (len - first) / 2 } };

	fit_position(fd);
	exec_fill(e->res->out, len, op->seed);
	if (is_direct(fd))
		return write(fd, e->res->out, len);
	return writev(fd, v, 3);
}

/* ---- holes ---- */

#define LOOK_MAX (128 * 1024)

/* Looks at the beginning and the end of what is said to be a hole. */
static bool is_zero(struct exec *e, int fd, int64_t from, int64_t to)
{
	uint8_t *buf = e->res->out;
	int64_t starts[2] = { from, to - LOOK_MAX > from ? to - LOOK_MAX : from };

	for (unsigned s = 0; s < 2; s++) {
		int64_t len = to - starts[s] < LOOK_MAX ? to - starts[s] : LOOK_MAX;
		ssize_t n = len > 0 ? pread(fd, buf, (size_t)len, starts[s]) : 0;

		if (n < len)
			return n < 0 && errno == EBADF; /* not open for reading */
		for (ssize_t b = 0; b < n; b++)
			if (buf[b])
				return false;
	}
	return true;
}

/* Filesystems may know more or fewer holes; what they say of them must be true. */
static int64_t seek_hole(struct exec *e, int fd, const struct op *op, int64_t size)
{
	bool data = op->flags == SEEK_DATA;
	int64_t at = lseek(fd, op->off, (int)op->flags);
	int err = errno;

	if (at < 0 && (err != ENXIO || op->off < 0 || op->off >= size)) {
		errno = err;
		return -1;
	}
	if (at < 0 && !data)
		exec_note(e, "SEEK_HOLE at %lld within %lld: no hole at the end",
			  (long long)op->off, (long long)size);
	if (at >= 0 && (at < op->off || at > size || (data && at >= size)))
		exec_note(e, "%s: %lld of %lld", data ? "SEEK_DATA" : "SEEK_HOLE", (long long)at,
			  (long long)size);
	if (data && !is_zero(e, fd, op->off, at < 0 ? size : at))
		exec_note(e, "SEEK_DATA from %lld jumps over data to %lld", (long long)op->off,
			  (long long)at);
	if (!data && at >= 0 && at < size && !is_zero(e, fd, at, at + 1))
		exec_note(e, "SEEK_HOLE: data at %lld", (long long)at);
	(void)lseek(fd, op->off, SEEK_SET);
	return 0;
}

/* Positions of a folder's entries are each filesystem's own. */
int64_t do_lseek(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot];
	struct stat st = { 0 };

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return lseek(fd, 0, SEEK_SET);
	if (S_ISREG(st.st_mode) && (op->flags == SEEK_DATA || op->flags == SEEK_HOLE) &&
	    !is_direct(fd))
		return seek_hole(e, fd, op, st.st_size);
	return lseek(fd, op->off, op->flags > SEEK_END ? SEEK_SET : (int)op->flags);
}

/* ---- sizes and space ---- */

int64_t do_truncate(struct exec *e, const struct op *op)
{
	struct where w;

	if (!exec_where(e, op->path, &w))
		return -1;
	if (w.dir != e->root) { /* there is no truncateat */
		errno = EBADF;
		return -1;
	}
	return truncate(w.path, op->off);
}

int64_t do_ftruncate(struct exec *e, const struct op *op)
{
	return ftruncate(e->fd[op->slot], op->off);
}

int64_t do_fallocate(struct exec *e, const struct op *op)
{
	return fallocate(e->fd[op->slot], (int)op->flags, op->off, (off_t)op->len);
}

/* How much one call copies is each filesystem's choice: go on until all is copied. */
int64_t do_copyrange(struct exec *e, const struct op *op)
{
	int64_t from = op->off, to = op->off2;
	uint64_t done = 0;

	if (is_direct(e->fd[op->slot]) || is_direct(e->fd[op->slot2])) {
		errno = EOPNOTSUPP;
		return -1;
	}
	for (;;) {
		ssize_t n = copy_file_range(e->fd[op->slot], &from, e->fd[op->slot2], &to,
					    op->len - done, 0);

		if (n < 0 && done == 0)
			return -1;
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

int64_t do_fsync(struct exec *e, const struct op *op)
{
	return op->flags ? fdatasync(e->fd[op->slot]) : fsync(e->fd[op->slot]);
}

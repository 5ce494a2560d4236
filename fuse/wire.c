/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests on their way from the kernel to libfuse, and one answer on its way back. See wire.h. */
#include "trace.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* Newer than some <linux/fuse.h>. */
#define OPCODE_TMPFILE 51
#define OPCODE_STATX 52

#define WANTED_FLAGS (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT)

static _Thread_local struct wire_request current;
static _Thread_local uint64_t init_unique; /* the thread is answering this FUSE_INIT; 0: none */
static uint32_t taken;			   /* of WANTED_FLAGS; set before any other request comes */

const struct wire_request *wire_request(void)
{
	return &current;
}

void wire_reply_statx(fuse_req_t req, const struct fs_attr *a)
{
	struct { /* fuse_statx_out; its last member is the statx of statx(2), bit for bit */
		uint64_t attr_valid;
		uint32_t attr_valid_nsec, flags;
		uint64_t spare[2];
		struct statx stat;
	} out = { .attr_valid = (uint64_t)OPS_TIMEOUT_S };
	struct statx *s = &out.stat;
	struct stat st;

	ops_fill_stat(a, &st);
	*s = (struct statx){ .stx_mask = STATX_BASIC_STATS | STATX_BTIME,
			     .stx_blksize = (uint32_t)st.st_blksize,
			     .stx_nlink = (uint32_t)st.st_nlink,
			     .stx_uid = st.st_uid,
			     .stx_gid = st.st_gid,
			     .stx_mode = (uint16_t)st.st_mode,
			     .stx_ino = st.st_ino,
			     .stx_size = (uint64_t)st.st_size,
			     .stx_blocks = (uint64_t)st.st_blocks,
			     .stx_rdev_major = major(st.st_rdev),
			     .stx_rdev_minor = minor(st.st_rdev) };
	s->stx_atime.tv_sec = st.st_atim.tv_sec;
	s->stx_atime.tv_nsec = (uint32_t)st.st_atim.tv_nsec;
	s->stx_mtime.tv_sec = st.st_mtim.tv_sec;
	s->stx_mtime.tv_nsec = (uint32_t)st.st_mtim.tv_nsec;
	s->stx_ctime.tv_sec = st.st_ctim.tv_sec;
	s->stx_ctime.tv_nsec = (uint32_t)st.st_ctim.tv_nsec;
	s->stx_btime.tv_sec = a->btime.tv_sec;
	s->stx_btime.tv_nsec = (uint32_t)a->btime.tv_nsec;
	(void)fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14)

/* ---- requests ---- */

static enum wire_writer writer_by(bool kills)
{
	if (!(taken & FUSE_HANDLE_KILLPRIV_V2))
		return WIRE_UNKNOWN;
	return kills ? WIRE_UNPRIVILEGED : WIRE_PRIVILEGED;
}

static void take_init(const struct fuse_in_header *in, const struct fuse_init_in *arg)
{
	init_unique = in->unique;
	taken = arg->major == FUSE_KERNEL_VERSION && in->len >= sizeof(*in) + 16
			? arg->flags & WANTED_FLAGS
			: 0;
}

/* The longer form becomes the one that libfuse knows. Returns the new length of the request. */
static size_t take_setxattr(struct fuse_in_header *in, char *arg, size_t len)
{
	const size_t brief = FUSE_COMPAT_SETXATTR_IN_SIZE, whole = sizeof(struct fuse_setxattr_in);
	struct fuse_setxattr_in x;

	if (!(taken & FUSE_SETXATTR_EXT) || len < sizeof(*in) + whole)
		return len;
	memcpy(&x, arg, sizeof(x));
	current.acl_kills_sgid = x.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	memmove(arg + brief, arg + whole, len - sizeof(*in) - whole);
	in->len -= (uint32_t)(whole - brief);
	return len - (whole - brief);
}

static size_t take_request(struct fuse_in_header *in, size_t len)
{
	void *arg = in + 1;

	current = (struct wire_request){ .writer = WIRE_UNKNOWN };
	init_unique = 0;
	switch (in->opcode) {
	case FUSE_INIT:
		take_init(in, arg);
		break;
	case FUSE_OPEN:
		current.writer = writer_by(((struct fuse_open_in *)arg)->open_flags &
					   FUSE_OPEN_KILL_SUIDGID);
		break;
	case FUSE_SETATTR:
		current.writer =
			writer_by(((struct fuse_setattr_in *)arg)->valid & FATTR_KILL_SUIDGID);
		break;
	case FUSE_WRITE:
		current.writer = writer_by(((struct fuse_write_in *)arg)->write_flags &
					   FUSE_WRITE_KILL_SUIDGID);
		break;
	case FUSE_SETXATTR:
		return take_setxattr(in, arg, len);
	case OPCODE_TMPFILE:
		in->opcode = FUSE_CREATE;
		current.tmpfile = true;
		break;
	case OPCODE_STATX:
		in->opcode = FUSE_GETATTR; /* what its arguments begin with */
		current.statx = true;
		break;
	default:
		break;
	}
	return len;
}

static ssize_t on_read(int fd, void *buf, size_t size, void *userdata)
{
	ssize_t n = read(fd, buf, size);

	if (n < (ssize_t)sizeof(struct fuse_in_header))
		return n;
	trace_op_begin(((struct ops_ctx *)userdata)->trace, buf, (size_t)n);
	return (ssize_t)take_request(buf, (size_t)n);
}

/* ---- answers ---- */

static bool answers_init(const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;

	return init_unique && count == 2 && out->unique == init_unique && out->error == 0 &&
	       iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t);
}

static ssize_t on_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	if (answers_init(iov, count))
		((struct fuse_init_out *)iov[1].iov_base)->flags |= taken;
	trace_op_end(((struct ops_ctx *)userdata)->trace, iov, count);
	return writev(fd, iov, count);
}

/* ---- attaching ---- */

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
/* As libfuse does it without hooks. */
static int on_clone(int master)
{
	uint32_t from = (uint32_t)master;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, FUSE_DEV_IOC_CLONE, &from) < 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}
#endif

int wire_attach(struct fuse_session *se)
{
	struct fuse_custom_io io = { .read = on_read, .writev = on_writev };
	int err;

	taken = 0;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	io.clone_fd = on_clone;
	err = fuse_session_custom_io_317(se, &io, sizeof(io), fuse_session_fd(se));
#else
	err = fuse_session_custom_io(se, &io, fuse_session_fd(se));
#endif
	return err < 0 ? err_note(err, "libfuse refuses its hooks: %s", err_text(err)) : 0;
}

#else

int wire_attach(struct fuse_session *se)
{
	return 0;
}

#endif

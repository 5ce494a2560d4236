/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of the kernel, read from their bytes: which operation, on what, how much. */
#include "trace_ops.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>

struct known_op {
	const char *name;
	enum trace_kind kind;
	uint16_t skip; /* bytes of arguments before a name */
	uint8_t names;
};

/* By opcode. FORGET, BATCH_FORGET and INTERRUPT are the kernel's housekeeping and have no answer. */
static const struct known_op ops[] = {
	[FUSE_LOOKUP] = { "lookup", TRACE_LOOKUP, 0, 1 },
	[FUSE_GETATTR] = { "getattr", TRACE_GETATTR, 0, 0 },
	[FUSE_SETATTR] = { "setattr", TRACE_SETATTR, 0, 0 },
	[FUSE_READLINK] = { "readlink", TRACE_OTHER, 0, 0 },
	[FUSE_SYMLINK] = { "symlink", TRACE_CREATE, 0, 1 },
	[FUSE_MKNOD] = { "mknod", TRACE_CREATE, sizeof(struct fuse_mknod_in), 1 },
	[FUSE_MKDIR] = { "mkdir", TRACE_CREATE, sizeof(struct fuse_mkdir_in), 1 },
	[FUSE_UNLINK] = { "unlink", TRACE_REMOVE, 0, 1 },
	[FUSE_RMDIR] = { "rmdir", TRACE_REMOVE, 0, 1 },
	[FUSE_RENAME] = { "rename", TRACE_RENAME, sizeof(struct fuse_rename_in), 2 },
	[FUSE_LINK] = { "link", TRACE_CREATE, sizeof(struct fuse_link_in), 1 },
	[FUSE_OPEN] = { "open", TRACE_OPEN, 0, 0 },
	[FUSE_READ] = { "read", TRACE_READ, 0, 0 },
	[FUSE_WRITE] = { "write", TRACE_WRITE, 0, 0 },
	[FUSE_STATFS] = { "statfs", TRACE_OTHER, 0, 0 },
	[FUSE_RELEASE] = { "release", TRACE_OPEN, 0, 0 },
	[FUSE_FSYNC] = { "fsync", TRACE_SYNC, 0, 0 },
	[FUSE_SETXATTR] = { "setxattr", TRACE_XATTR, 0, 0 },
	[FUSE_GETXATTR] = { "getxattr", TRACE_XATTR, sizeof(struct fuse_getxattr_in), 1 },
	[FUSE_LISTXATTR] = { "listxattr", TRACE_XATTR, 0, 0 },
	[FUSE_REMOVEXATTR] = { "removexattr", TRACE_XATTR, 0, 1 },
	[FUSE_FLUSH] = { "flush", TRACE_OPEN, 0, 0 },
	[FUSE_OPENDIR] = { "opendir", TRACE_OPEN, 0, 0 },
	[FUSE_READDIR] = { "readdir", TRACE_READDIR, 0, 0 },
	[FUSE_RELEASEDIR] = { "releasedir", TRACE_OPEN, 0, 0 },
	[FUSE_FSYNCDIR] = { "fsyncdir", TRACE_SYNC, 0, 0 },
	[FUSE_CREATE] = { "create", TRACE_CREATE, sizeof(struct fuse_create_in), 1 },
	[FUSE_IOCTL] = { "ioctl", TRACE_OTHER, 0, 0 },
	[FUSE_FALLOCATE] = { "fallocate", TRACE_WRITE, 0, 0 },
	[FUSE_READDIRPLUS] = { "readdirplus", TRACE_READDIR, 0, 0 },
	[FUSE_RENAME2] = { "rename", TRACE_RENAME, sizeof(struct fuse_rename2_in), 2 },
	[FUSE_LSEEK] = { "lseek", TRACE_OTHER, 0, 0 },
	[FUSE_COPY_FILE_RANGE] = { "copy_file_range", TRACE_WRITE, 0, 0 },
	[FUSE_SYNCFS] = { "syncfs", TRACE_SYNC, 0, 0 },
	[51] = { "tmpfile", TRACE_CREATE, 0, 0 },
	[52] = { "statx", TRACE_GETATTR, 0, 0 }, /* newer than some <linux/fuse.h>, like the last */
};

static const char *const kind_names[TRACE_KIND_COUNT] = {
	[TRACE_LOOKUP] = "lookup",   [TRACE_GETATTR] = "getattr", [TRACE_SETATTR] = "setattr",
	[TRACE_OPEN] = "open",	     [TRACE_READ] = "read",	  [TRACE_WRITE] = "write",
	[TRACE_CREATE] = "create",   [TRACE_REMOVE] = "remove",	  [TRACE_RENAME] = "rename",
	[TRACE_READDIR] = "readdir", [TRACE_XATTR] = "xattr",	  [TRACE_SYNC] = "sync",
	[TRACE_OTHER] = "other",
};

const char *trace_kind_name(enum trace_kind kind)
{
	return kind_names[kind];
}

static const struct known_op *op_of(const struct fuse_in_header *in)
{
	if (in->opcode < ARRAY_LEN(ops) && ops[in->opcode].name)
		return &ops[in->opcode];
	return NULL;
}

uint64_t trace_op_unique(const void *request)
{
	const struct fuse_in_header *in = request;

	return in->unique;
}

enum trace_kind trace_op_kind(const void *request)
{
	const struct known_op *known = op_of(request);

	return known ? known->kind : TRACE_OTHER;
}

/* A name that ends within len bytes, behind what text has. Returns its length with the NUL. */
static size_t add_name(struct trace_op *op, const char *name, size_t len)
{
	size_t have = strlen(op->text), n = strnlen(name, len);

	if (n < len)
		(void)snprintf(op->text + have, sizeof(op->text) - have, "%s%s", have ? " -> " : "",
			       name);
	return n < len ? n + 1 : len;
}

static void add_names(struct trace_op *op, const struct known_op *known, const char *arg,
		      size_t len)
{
	size_t at = known->skip;

	for (unsigned n = 0; n < known->names && at < len; n++)
		at += add_name(op, arg + at, len - at);
}

static void add_range(struct trace_op *op, uint32_t opcode, const void *arg, size_t len)
{
	/* What read and write begin with is the same: fh, offset, size. */
	const struct fuse_read_in *io = arg;
	const struct fuse_fallocate_in *fallocate = arg;

	if ((opcode == FUSE_READ || opcode == FUSE_WRITE) && len >= sizeof(*io)) {
		op->has_offset = true;
		op->offset = io->offset;
		op->bytes = io->size;
	} else if (opcode == FUSE_FALLOCATE && len >= sizeof(*fallocate)) {
		op->has_offset = true;
		op->offset = fallocate->offset;
		op->bytes = fallocate->length;
	}
}

bool trace_op_parse(const void *request, size_t len, struct trace_op *ret)
{
	const struct fuse_in_header *in = request;
	const struct known_op *known = op_of(in);

	if (!known || len < sizeof(*in))
		return false;
	*ret = (struct trace_op){ .name = known->name,
				  .ino = in->nodeid,
				  .counts_answer = in->opcode == FUSE_READ,
				  .is_lookup = in->opcode == FUSE_LOOKUP };
	add_range(ret, in->opcode, in + 1, len - sizeof(*in));
	add_names(ret, known, (const char *)(in + 1), len - sizeof(*in));
	return true;
}

uint64_t trace_answer_unique(const struct iovec *iov, int count)
{
	const struct fuse_out_header *out;

	if (count < 1 || iov[0].iov_len < sizeof(*out))
		return 0;
	out = iov[0].iov_base;
	return out->unique;
}

/* That there is no such name is an entry without an inode, which the kernel remembers. */
static bool is_absent(const struct iovec *iov, int count)
{
	const struct fuse_entry_out *entry;

	if (count < 2 || iov[1].iov_len < sizeof(*entry))
		return false;
	entry = iov[1].iov_base;
	return entry->nodeid == 0;
}

int trace_op_answer(struct trace_op *op, const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;

	if (op->counts_answer)
		op->bytes = out->len > sizeof(*out) ? out->len - sizeof(*out) : 0;
	if (out->error == 0 && op->is_lookup && is_absent(iov, count))
		return ENOENT;
	return -out->error;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on attributes. */
#include "model/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

int64_t do_stat(struct exec *e, const struct op *op)
{
	struct where w;
	struct stat st;

	return exec_where(e, op->path, &w) ? fstatat(w.dir, w.path, &st, (int)op->flags) : -1;
}

int64_t do_access(struct exec *e, const struct op *op)
{
	struct where w;

	if (!exec_where(e, op->path, &w))
		return -1;
	return faccessat(w.dir, w.path, (int)(op->mode & 7), AT_EACCESS);
}

int64_t do_chmod(struct exec *e, const struct op *op)
{
	struct where w;

	return exec_where(e, op->path, &w) ? fchmodat(w.dir, w.path, op->mode, 0) : -1;
}

int64_t do_fchmod(struct exec *e, const struct op *op)
{
	return fchmod(e->fd[op->slot], op->mode);
}

int64_t do_chown(struct exec *e, const struct op *op)
{
	struct where w;

	if (!exec_where(e, op->path, &w))
		return -1;
	return fchownat(w.dir, w.path, (uid_t)op->off, (gid_t)op->off2, (int)op->flags);
}

int64_t do_fchown(struct exec *e, const struct op *op)
{
	return fchown(e->fd[op->slot], (uid_t)op->off, (gid_t)op->off2);
}

/* ---- times ---- */

/* -1: now, -2: leave it; else nanoseconds. */
static struct timespec time_of(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (ns == -1)
		t = (struct timespec){ .tv_nsec = UTIME_NOW };
	else if (ns == -2)
		t = (struct timespec){ .tv_nsec = UTIME_OMIT };
	return t;
}

int64_t do_utimens(struct exec *e, const struct op *op)
{
	struct timespec t[2] = { time_of(op->off), time_of(op->off2) };
	struct where w;

	return exec_where(e, op->path, &w) ? utimensat(w.dir, w.path, t, (int)op->flags) : -1;
}

int64_t do_futimens(struct exec *e, const struct op *op)
{
	struct timespec t[2] = { time_of(op->off), time_of(op->off2) };

	return futimens(e->fd[op->slot], t);
}

/* ---- extended attributes ---- */

/* The last slash component may be a symlink: it is meant itself. There are no *at calls for xattrs
 * yet. */
static const char *xattr_path(struct exec *e, const char *spec, struct where *w)
{
	if (!exec_where(e, spec, w))
		return NULL;
	if (w->dir == e->root)
		return w->path;
	errno = EBADF;
	return NULL;
}

static bool xattr_name(const char *spec, char *out, size_t size)
{
	int slot;

	return op_expand(spec, out, size, &slot);
}

static size_t value_of(struct exec *e, const struct op *op)
{
	size_t len = op->len > OUT_MAX ? OUT_MAX : (size_t)op->len;

	exec_fill(e->res->out, len, op->seed);
	return len;
}

static int64_t got(struct exec *e, ssize_t n, uint64_t size)
{
	e->res->out_len = n > 0 && size > 0 ? (size_t)n : 0;
	return n;
}

int64_t do_setxattr(struct exec *e, const struct op *op)
{
	struct where w;
	const char *path = xattr_path(e, op->path, &w);
	char name[512];

	if (!path || !xattr_name(op->name, name, sizeof(name)))
		return -1;
	return lsetxattr(path, name, e->res->out, value_of(e, op), (int)op->flags);
}

int64_t do_getxattr(struct exec *e, const struct op *op)
{
	struct where w;
	const char *path = xattr_path(e, op->path, &w);
	char name[512];

	if (!path || !xattr_name(op->name, name, sizeof(name)))
		return -1;
	return got(e, lgetxattr(path, name, e->res->out, op->len % OUT_MAX), op->len);
}

int64_t do_removexattr(struct exec *e, const struct op *op)
{
	struct where w;
	const char *path = xattr_path(e, op->path, &w);
	char name[512];

	if (!path || !xattr_name(op->name, name, sizeof(name)))
		return -1;
	return lremovexattr(path, name);
}

int64_t do_fsetxattr(struct exec *e, const struct op *op)
{
	char name[512];

	if (!xattr_name(op->name, name, sizeof(name)))
		return -1;
	return fsetxattr(e->fd[op->slot], name, e->res->out, value_of(e, op), (int)op->flags);
}

int64_t do_fgetxattr(struct exec *e, const struct op *op)
{
	char name[512];

	if (!xattr_name(op->name, name, sizeof(name)))
		return -1;
	return got(e, fgetxattr(e->fd[op->slot], name, e->res->out, op->len % OUT_MAX), op->len);
}

/* The order of names is each filesystem's own: the runner gets them sorted. */
static void sort_names(char *list, size_t len)
{
	bool again = true;

	while (again) {
		again = false;
		for (char *a = list; a + strlen(a) + 1 < list + len; a += strlen(a) + 1) {
			size_t la = strlen(a) + 1, lb = strlen(a + la) + 1;
			char hold[512];

			if (strcmp(a, a + la) <= 0 || la > sizeof(hold))
				continue;
			memcpy(hold, a, la);
			memmove(a, a + la, lb);
			memcpy(a + lb, hold, la);
			again = true;
		}
	}
}

int64_t do_listxattr(struct exec *e, const struct op *op)
{
	struct where w;
	const char *path = xattr_path(e, op->path, &w);
	ssize_t n;

	if (!path)
		return -1;
	n = llistxattr(path, (char *)e->res->out, op->len % OUT_MAX);
	if (n > 0 && op->len)
		sort_names((char *)e->res->out, (size_t)n);
	return got(e, n, op->len);
}

/* ---- ACLs ---- */

struct acl {
	uint8_t bytes[256];
	size_t len;
};

static void put_bytes(struct acl *a, uint64_t value, unsigned count)
{
	for (unsigned n = 0; n < count && a->len < sizeof(a->bytes); n++)
		a->bytes[a->len++] = (uint8_t)(value >> (8 * n));
}

static void put_entry(struct acl *a, unsigned tag, unsigned perm, uint32_t id)
{
	put_bytes(a, tag, 2);
	put_bytes(a, perm, 2);
	put_bytes(a, id, 4);
}

/* linux/posix_acl_xattr.h. One in sixteen is wrong: without a mask, out of order, no version. */
static void make_acl(struct acl *a, uint32_t seed)
{
	unsigned bad = seed & 15, bits = seed >> 4;
	bool users = bits & 1, groups = bits & 2, mask = users || groups || (bits & 4);

	put_bytes(a, bad == 1 && seed % 3 == 0 ? 7 : 2, 4);
	if (bad == 2 && seed % 3 == 0)
		return; /* no entries: none wanted */
	put_entry(a, 0x01, bits >> 3 & 7, UINT32_MAX);
	if (users)
		put_entry(a, 0x02, bits >> 6 & 7, 1000);
	if (users && (bits & 8))
		put_entry(a, 0x02, bits >> 9 & 7, 2000);
	put_entry(a, 0x04, bits >> 12 & 7, UINT32_MAX);
	if (groups)
		put_entry(a, 0x08, bits >> 15 & 7, bits & 16 ? 1000 : 3000);
	if (mask && bad != 3)
		put_entry(a, 0x10, bits >> 18 & 7, UINT32_MAX);
	if (bad != 4)
		put_entry(a, 0x20, bits >> 21 & 7, UINT32_MAX);
}

int64_t do_setacl(struct exec *e, const struct op *op)
{
	struct acl a = { .len = 0 };
	struct where w;
	const char *path = xattr_path(e, op->path, &w);

	if (!path)
		return -1;
	make_acl(&a, op->seed);
	return lsetxattr(path, op->name, a.bytes, a.len, 0);
}

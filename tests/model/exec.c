/* SPDX-License-Identifier: BSD-3-Clause */
/* One step: who does it, what it names, the handlers. */
#include "model/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const seen_names[SEEN_MAX] = { "path",    "folder", "target", "path2",
					   "folder2", "file",	"file2" };

/* ---- helpers ---- */

void exec_note(struct exec *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->res->note, sizeof(e->res->note), fmt, ap);
	va_end(ap);
}

void exec_fill(uint8_t *buf, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	if (seed % 4 == 0) {
		memset(buf, seed % 3 == 0 ? 0 : (int)(seed >> 4 & 0xff), len);
		return;
	}
	for (size_t n = 0; n < len; n++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		buf[n] = (uint8_t)x;
	}
}

bool exec_where(const struct exec *e, const char *spec, struct where *ret)
{
	int slot;

	if (!op_expand(spec, ret->path, sizeof(ret->path), &slot)) {
		errno = ENAMETOOLONG;
		return false;
	}
	ret->dir = slot < 0 ? e->root : e->fd[slot];
	return true;
}

/* ---- who ---- */

bool exec_become(struct exec *e, unsigned user)
{
	/* Each is in the group of the next one, too, and in one of its own. */
	gid_t gid = user * 1000, groups[] = { gid, gid + 1000, 3000 };
	bool ok = true;

	if (user == e->user)
		return true;
	if (e->user != 0)
		ok = seteuid(0) == 0 && setegid(0) == 0 && setgroups(0, NULL) == 0;
	if (ok && user != 0)
		ok = setgroups(2, groups) == 0 && setegid(gid) == 0 && seteuid(user * 1000) == 0;
	e->user = ok ? user : e->user;
	return ok;
}

/* ---- looking ---- */

static void take(struct seen *s, int result, const struct stat *st)
{
	*s = (struct seen){ .err = result < 0 ? errno : 0 };
	if (result < 0)
		return;
	s->mode = st->st_mode;
	s->nlink = (uint32_t)st->st_nlink;
	s->uid = st->st_uid;
	s->gid = st->st_gid;
	s->ino = st->st_ino;
	s->size = (uint64_t)st->st_size;
	s->rdev = st->st_rdev;
	s->atime = st->st_atim;
	s->mtime = st->st_mtim;
	s->ctime = st->st_ctim;
}

static void look_at_path(const struct exec *e, const char *spec, int flags, struct seen *ret)
{
	struct where w;
	struct stat st;

	if (exec_where(e, spec, &w))
		take(ret, fstatat(w.dir, w.path, &st, flags), &st);
}

static void look_at_parent(const struct exec *e, const char *spec, struct seen *ret)
{
	struct where w;
	struct stat st;
	int slot;

	if (!op_expand_parent(spec, w.path, sizeof(w.path), &slot))
		return;
	w.dir = slot < 0 ? e->root : e->fd[slot];
	take(ret, fstatat(w.dir, w.path, &st, 0), &st);
}

static void look_at_slot(const struct exec *e, unsigned slot, struct seen *ret)
{
	struct stat st;

	take(ret, fstat(e->fd[slot], &st), &st);
}

void observe(const struct exec *e, const struct op *op, struct seen *ret)
{
	const char *fields = op_fields(op->kind);

	for (unsigned n = 0; n < SEEN_MAX; n++)
		ret[n] = (struct seen){ .err = -1 };
	if (strchr(fields, 'p')) {
		look_at_path(e, op->path, AT_SYMLINK_NOFOLLOW, &ret[SEEN_PATH]);
		look_at_parent(e, op->path, &ret[SEEN_DIR]);
		look_at_path(e, op->path, 0, &ret[SEEN_TARGET]);
	}
	if (strchr(fields, 'P') && op->kind != OP_SYMLINK) {
		look_at_path(e, op->path2, AT_SYMLINK_NOFOLLOW, &ret[SEEN_PATH2]);
		look_at_parent(e, op->path2, &ret[SEEN_DIR2]);
	}
	if (strchr(fields, 's'))
		look_at_slot(e, op->slot, &ret[SEEN_FILE]);
	if (op->kind == OP_COPYRANGE)
		look_at_slot(e, op->slot2, &ret[SEEN_FILE2]);
}

/* ---- the step ---- */

static int64_t (*const handlers[OP_KINDS])(struct exec *e, const struct op *op) = {
	[OP_OPEN] = do_open,
	[OP_CLOSE] = do_close,
	[OP_DUP] = do_dup,
	[OP_SETFL] = do_setfl,
	[OP_READ] = do_read,
	[OP_PREAD] = do_pread,
	[OP_WRITE] = do_write,
	[OP_PWRITE] = do_pwrite,
	[OP_WRITEV] = do_writev,
	[OP_LSEEK] = do_lseek,
	[OP_TRUNCATE] = do_truncate,
	[OP_FTRUNCATE] = do_ftruncate,
	[OP_FALLOCATE] = do_fallocate,
	[OP_COPYRANGE] = do_copyrange,
	[OP_FSYNC] = do_fsync,
	[OP_MMAP] = do_mmap,
	[OP_MREAD] = do_mread,
	[OP_MWRITE] = do_mwrite,
	[OP_MSYNC] = do_msync,
	[OP_MUNMAP] = do_munmap,
	[OP_MKDIR] = do_mkdir,
	[OP_RMDIR] = do_rmdir,
	[OP_UNLINK] = do_unlink,
	[OP_MKNOD] = do_mknod,
	[OP_SYMLINK] = do_symlink,
	[OP_READLINK] = do_readlink,
	[OP_LINK] = do_link,
	[OP_LINKFD] = do_linkfd,
	[OP_RENAME] = do_rename,
	[OP_READDIR] = do_readdir,
	[OP_DENTS] = do_dents,
	[OP_SCAN] = do_scan,
	[OP_FILL] = do_fill,
	[OP_DRAIN] = do_drain,
	[OP_STAT] = do_stat,
	[OP_ACCESS] = do_access,
	[OP_CHMOD] = do_chmod,
	[OP_FCHMOD] = do_fchmod,
	[OP_CHOWN] = do_chown,
	[OP_FCHOWN] = do_fchown,
	[OP_UTIMENS] = do_utimens,
	[OP_FUTIMENS] = do_futimens,
	[OP_SETXATTR] = do_setxattr,
	[OP_GETXATTR] = do_getxattr,
	[OP_LISTXATTR] = do_listxattr,
	[OP_REMOVEXATTR] = do_removexattr,
	[OP_FSETXATTR] = do_fsetxattr,
	[OP_FGETXATTR] = do_fgetxattr,
	[OP_SETACL] = do_setacl,
	[OP_FLOCK] = do_flock,
	[OP_LOCK] = do_lock,
};

static void run_handler(struct exec *e, const struct op *op)
{
	struct result *res = e->res;

	if (!exec_become(e, op->user)) {
		exec_note(e, "cannot become user %u", op->user);
		return;
	}
	(void)umask(op->umask);
	errno = 0;
	res->ret = handlers[op->kind](e, op);
	res->err = res->ret < 0 ? errno : 0;
	if (!exec_become(e, 0))
		exec_note(e, "cannot become root again");
}

void exec_step(struct exec *e, const struct op *op)
{
	struct result *res = e->res;

	res->ret = 0;
	res->err = 0;
	res->out_len = 0;
	res->note[0] = '\0';
	observe(e, op, res->before);
	if (handlers[op->kind] && !op->omitted)
		run_handler(e, op);
	observe(e, op, res->after);
}

void exec_close_all(struct exec *e)
{
	for (unsigned n = 0; n < OP_SLOTS; n++) {
		map_drop(e, n);
		if (e->fd[n] >= 0)
			(void)close(e->fd[n]);
		e->fd[n] = -1;
	}
}

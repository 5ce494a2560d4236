/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on names and folders. */
#include "model/exec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int64_t do_mkdir(struct exec *e, const struct op *op)
{
	struct where w;

	return exec_where(e, op->path, &w) ? mkdirat(w.dir, w.path, op->mode) : -1;
}

int64_t do_rmdir(struct exec *e, const struct op *op)
{
	struct where w;

	return exec_where(e, op->path, &w) ? unlinkat(w.dir, w.path, AT_REMOVEDIR) : -1;
}

int64_t do_unlink(struct exec *e, const struct op *op)
{
	struct where w;

	return exec_where(e, op->path, &w) ? unlinkat(w.dir, w.path, 0) : -1;
}

int64_t do_mknod(struct exec *e, const struct op *op)
{
	struct where w;

	return exec_where(e, op->path, &w) ? mknodat(w.dir, w.path, op->mode, (dev_t)op->off) : -1;
}

int64_t do_symlink(struct exec *e, const struct op *op)
{
	struct where w, target;

	if (!exec_where(e, op->path, &w) || !exec_where(e, op->path2, &target))
		return -1;
	return symlinkat(target.path, w.dir, w.path);
}

int64_t do_readlink(struct exec *e, const struct op *op)
{
	struct where w;
	ssize_t n;

	if (!exec_where(e, op->path, &w))
		return -1;
	n = readlinkat(w.dir, w.path, (char *)e->res->out, OUT_MAX);
	e->res->out_len = n > 0 ? (size_t)n : 0;
	return n;
}

int64_t do_link(struct exec *e, const struct op *op)
{
	struct where from, to;

	if (!exec_where(e, op->path, &from) || !exec_where(e, op->path2, &to))
		return -1;
	return linkat(from.dir, from.path, to.dir, to.path, (int)op->flags);
}

int64_t do_linkfd(struct exec *e, const struct op *op)
{
	struct where to;

	if (!exec_where(e, op->path, &to))
		return -1;
	return linkat(e->fd[op->slot], "", to.dir, to.path, AT_EMPTY_PATH);
}

int64_t do_rename(struct exec *e, const struct op *op)
{
	struct where from, to;

	if (!exec_where(e, op->path, &from) || !exec_where(e, op->path2, &to))
		return -1;
	return renameat2(from.dir, from.path, to.dir, to.path, op->flags);
}

/* ---- listing ---- */

/* The form in which the kernel gives entries (getdents64(2)). */
struct dent {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

#define NAMES_MAX 4096

struct list {
	char *names[NAMES_MAX]; /* each with its type before it */
	size_t count;
};

static void list_free(struct list *l)
{
	for (size_t n = 0; n < l->count; n++)
		free(l->names[n]);
	free(l);
}

static bool list_add(struct list *l, unsigned char type, const char *name)
{
	size_t size = strlen(name) + 4;
	char *line = l->count < NAMES_MAX ? malloc(size) : NULL;

	if (!line) {
		errno = ENOMEM;
		return false;
	}
	(void)snprintf(line, size, "%02u %s", type, name);
	l->names[l->count++] = line;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, since the order is each filesystem's own. */
static void report(struct exec *e, struct list *l)
{
	struct result *res = e->res;

	qsort(l->names, l->count, sizeof(l->names[0]), by_name);
	for (size_t n = 0; n < l->count; n++) {
		size_t len = strlen(l->names[n]) + 1;

		if (res->out_len + len > OUT_MAX)
			return;
		memcpy(res->out + res->out_len, l->names[n], len);
		res->out_len += len;
	}
}

/* A small buffer: many calls. */
static int64_t list_all(struct list *l, int fd, size_t size)
{
	char *buf = malloc(size);
	ssize_t n = -1;

	while (buf && (n = getdents64(fd, buf, size)) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dent *d = (const struct dent *)(const void *)(buf + at);

			if (!list_add(l, d->type, d->name)) {
				free(buf);
				return -1;
			}
			at += d->reclen;
		}
	free(buf);
	return n;
}

static int64_t list_fd(struct exec *e, int fd, uint64_t size)
{
	struct list *l = calloc(1, sizeof(*l));
	int64_t n = -1;
	int err;

	if (l)
		n = list_all(l, fd, (size_t)(size < 300 ? 300 : size));
	err = errno;
	if (n >= 0)
		report(e, l);
	if (l)
		list_free(l);
	errno = err;
	return n;
}

int64_t do_readdir(struct exec *e, const struct op *op)
{
	struct where w;
	int64_t n;
	int fd, err;

	if (!exec_where(e, op->path, &w))
		return -1;
	fd = openat(w.dir, w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = list_fd(e, fd, op->len);
	err = errno;
	(void)close(fd);
	errno = err;
	return n;
}

/* Back at the start afterwards: what stands at the end is a position of the filesystem's own. */
int64_t do_dents(struct exec *e, const struct op *op)
{
	int fd = e->fd[op->slot], err;
	int64_t n;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	n = list_fd(e, fd, op->len);
	err = errno;
	(void)lseek(fd, 0, SEEK_SET);
	errno = err;
	return n;
}

/* ---- a folder that changes while it is read ---- */

#define TEMPORARY "@temporary"
#define TEMPORARIES 5

static bool is_temporary(const char *name)
{
	return strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0;
}

static void temporaries(int dir, bool make)
{
	for (unsigned n = 0; n < TEMPORARIES; n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), TEMPORARY "%u", n * 7919);
		if (make)
			(void)mknodat(dir, name, S_IFREG | 0600, 0);
		else
			(void)unlinkat(dir, name, 0);
	}
}

static bool read_some(DIR *d, uint64_t limit, struct list *l)
{
	const struct dirent *entry;

	errno = 0;
	while (limit-- > 0 && (entry = readdir(d)))
		if (!is_temporary(entry->d_name) && !list_add(l, entry->d_type, entry->d_name))
			return false;
	return errno == 0;
}

/* ext4 gives "." and ".." where their hashes are as long as a folder has one block, and first once it has more: going
 * back to between, one misses them. */
static bool dots_move(DIR *d)
{
	struct statfs s;

	return fstatfs(dirfd(d), &s) == 0 && s.f_type == EXT4_SUPER_MAGIC;
}

static bool is_dot(const char *line)
{
	return strcmp(line + 3, ".") == 0 || strcmp(line + 3, "..") == 0;
}

/* The next name of a list from *at on; NULL at its end. */
static const char *next_name(const struct list *l, size_t *at, bool without_dots)
{
	while (*at < l->count) {
		const char *line = l->names[(*at)++];

		if (!without_dots || !is_dot(line))
			return line;
	}
	return NULL;
}

static void compare_lists(struct exec *e, const struct list *first, size_t from,
			  const struct list *again, bool without_dots)
{
	size_t n = 0;

	for (;;) {
		const char *a = next_name(first, &from, without_dots);
		const char *b = next_name(again, &n, without_dots);

		if (a && b && strcmp(a, b) == 0)
			continue;
		if (a || b)
			exec_note(e, "after seekdir came \"%s\" instead of \"%s\"", b ? b : "",
				  a ? a : "");
		return;
	}
}

/* After going back, the same names come again. */
static bool read_again(struct exec *e, DIR *d, long position, struct list *first, size_t from)
{
	struct list *l = calloc(1, sizeof(*l));
	bool ok;

	if (!l)
		return false;
	seekdir(d, position);
	ok = read_some(d, UINT64_MAX, l);
	qsort(first->names + from, first->count - from, sizeof(first->names[0]), by_name);
	qsort(l->names, l->count, sizeof(l->names[0]), by_name);
	if (ok)
		compare_lists(e, first, from, l, dots_move(d));
	list_free(l);
	return ok;
}

/* Entries that stay are given once each, whatever comes and goes meanwhile. */
static int64_t scan(struct exec *e, DIR *d, uint64_t some)
{
	struct list *l = calloc(1, sizeof(*l));
	bool ok = l && read_some(d, some, l);
	long position = ok ? telldir(d) : 0;
	size_t from = l ? l->count : 0;

	temporaries(dirfd(d), true);
	ok = ok && read_some(d, UINT64_MAX, l);
	temporaries(dirfd(d), false);
	ok = ok && read_again(e, d, position, l, from);
	if (ok)
		report(e, l);
	if (l)
		list_free(l);
	return ok ? 0 : -1;
}

int64_t do_scan(struct exec *e, const struct op *op)
{
	struct where w;
	int64_t n;
	int fd, err;
	DIR *d;

	if (!exec_where(e, op->path, &w))
		return -1;
	fd = openat(w.dir, w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d)
		return -1;
	n = scan(e, d, op->len);
	err = errno;
	(void)closedir(d);
	errno = err;
	return n;
}

/* ---- many names ---- */

static int64_t many(struct exec *e, const struct op *op, int (*each)(int dir, const char *name))
{
	int64_t done = 0;
	struct where w;
	int fd;

	if (!exec_where(e, op->path, &w))
		return -1;
	fd = openat(w.dir, w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (uint64_t n = 0; n < op->len; n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "many.%llu", (unsigned long long)n);
		done += each(fd, name) == 0;
	}
	(void)close(fd);
	return done;
}

static int make_one(int dir, const char *name)
{
	return mknodat(dir, name, S_IFREG | 0644, 0);
}

static int remove_one(int dir, const char *name)
{
	return unlinkat(dir, name, 0);
}

int64_t do_fill(struct exec *e, const struct op *op)
{
	return many(e, op, make_one);
}

int64_t do_drain(struct exec *e, const struct op *op)
{
	return many(e, op, remove_one);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on mappings and locks. */
#include "model/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- mappings ---- */

#define MAP_MAX (128 * 1024u)
#define PAGE 4096

void map_drop(struct exec *e, unsigned slot)
{
	struct map *m = &e->map[slot];

	if (!m->at)
		return;
	(void)msync(m->at, m->len, MS_SYNC);
	(void)munmap(m->at, m->len);
	(void)close(m->fd);
	*m = (struct map){ 0 };
}

int64_t do_mmap(struct exec *e, const struct op *op)
{
	size_t len = op->len % MAP_MAX + 1;
	int64_t off = op->off - op->off % PAGE;
	int prot = PROT_READ | (op->flags & 2 ? PROT_WRITE : 0);
	void *at = mmap(NULL, len, prot, op->flags & 1 ? MAP_SHARED : MAP_PRIVATE, e->fd[op->slot],
			off);
	int fd;

	if (at == MAP_FAILED)
		return -1;
	fd = fcntl(e->fd[op->slot], F_DUPFD_CLOEXEC, 0);
	map_drop(e, op->slot2);
	e->map[op->slot2] = (struct map){ .at = at, .len = len, .fd = fd, .off = off };
	return 0;
}

static sigjmp_buf beyond;

static void on_fault(int sig)
{
	siglongjmp(beyond, sig);
}

/* SIGBUS beyond the end of the file becomes EFAULT, SIGSEGV (not mapped for writing) EACCES. */
static int64_t touch(uint8_t *to, const uint8_t *from, size_t len)
{
	struct sigaction a = { .sa_handler = on_fault }, bus, segv;
	int sig;

	(void)sigaction(SIGBUS, &a, &bus);
	(void)sigaction(SIGSEGV, &a, &segv);
	sig = sigsetjmp(beyond, 1);
	if (sig == 0)
		memcpy(to, from, len);
	(void)sigaction(SIGBUS, &bus, NULL);
	(void)sigaction(SIGSEGV, &segv, NULL);
	if (sig == 0)
		return (int64_t)len;
	errno = sig == SIGBUS ? EFAULT : EACCES;
	return -1;
}

/* The part of a mapping that a step is about. Within one page it is all there or nothing is. */
static bool part_of(const struct exec *e, const struct op *op, uint8_t **ret_at, size_t *ret_len)
{
	const struct map *m = &e->map[op->slot2];
	size_t off, len;

	if (!m->at) {
		errno = EBADF;
		return false;
	}
	off = (size_t)(op->off < 0 ? 0 : op->off) % m->len;
	len = op->len > m->len - off ? m->len - off : (size_t)op->len;
	if (len > PAGE - off % PAGE)
		len = PAGE - off % PAGE;
	*ret_at = m->at + off;
	*ret_len = len;
	return true;
}

int64_t do_mread(struct exec *e, const struct op *op)
{
	uint8_t *at;
	size_t len;
	int64_t n;

	if (!part_of(e, op, &at, &len))
		return -1;
	n = touch(e->res->out, at, len);
	e->res->out_len = n > 0 ? (size_t)n : 0;
	return n;
}

/* Not beyond the end of the file within its last page: see compare.c. Pages beyond it are not
 * there, and that is worth trying. */
static size_t within_file(const struct map *m, const uint8_t *at, size_t len)
{
	int64_t from = m->off + (at - m->at), left;
	struct stat st;

	if (fstat(m->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return len;
	left = st.st_size - from;
	if (left <= 0 && from / PAGE >= (st.st_size + PAGE - 1) / PAGE)
		return len;
	return left < (int64_t)len ? (size_t)(left > 0 ? left : 0) : len;
}

int64_t do_mwrite(struct exec *e, const struct op *op)
{
	uint8_t *at;
	size_t len;

	if (!part_of(e, op, &at, &len))
		return -1;
	len = within_file(&e->map[op->slot2], at, len);
	exec_fill(e->res->out, len, op->seed);
	return touch(at, e->res->out, len);
}

int64_t do_msync(struct exec *e, const struct op *op)
{
	struct map *m = &e->map[op->slot2];

	if (!m->at) {
		errno = EBADF;
		return -1;
	}
	return msync(m->at, m->len, MS_SYNC);
}

/* Synced first: bytes that are mapped no longer are stored when the kernel comes round to it, and a
 * kill of the daemon before that may lose them. */
int64_t do_munmap(struct exec *e, const struct op *op)
{
	map_drop(e, op->slot2);
	return 0;
}

/* ---- locks ---- */

int64_t do_flock(struct exec *e, const struct op *op)
{
	return flock(e->fd[op->slot], (int)op->flags | LOCK_NB);
}

/* Who holds it is another process on each side. */
static int64_t report(struct exec *e, const struct flock *l)
{
	int64_t told[3] = { l->l_type, 0, 0 };

	if (l->l_type != F_UNLCK) {
		told[1] = l->l_start;
		told[2] = l->l_len;
	}
	memcpy(e->res->out, told, sizeof(told));
	e->res->out_len = sizeof(told);
	return 0;
}

int64_t do_lock(struct exec *e, const struct op *op)
{
	static const int commands[] = { [LOCK_POSIX_SET] = F_SETLK,
					[LOCK_POSIX_GET] = F_GETLK,
					[LOCK_OFD_SET] = F_OFD_SETLK,
					[LOCK_OFD_GET] = F_OFD_GETLK };
	bool get = op->flags == LOCK_POSIX_GET || op->flags == LOCK_OFD_GET;
	struct flock l = { .l_type = (short)op->mode,
			   .l_whence = SEEK_SET,
			   .l_start = op->off,
			   .l_len = (off_t)op->len };

	if (fcntl(e->fd[op->slot], commands[op->flags % 4], &l) < 0)
		return -1;
	return get ? report(e, &l) : 0;
}

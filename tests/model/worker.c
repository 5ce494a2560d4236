/* SPDX-License-Identifier: BSD-3-Clause */
/* The process on one side, and how it is spoken to: shared memory, and a byte each way. */
#include "model/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 120000

enum command { COMMAND_STEP = 's', COMMAND_TREE = 't', COMMAND_OWN_TREE = 'o', COMMAND_STOP = 'q' };

struct shared {
	struct op op;
	bool ok;
	struct result result;
	struct tree tree;
};

struct worker {
	pid_t pid;
	int fd;
	struct shared *shared;
};

/* ---- in the process ---- */

/* What is written must be stored even if the filesystem's daemon is killed next. */
static bool store_all(struct exec *e)
{
	bool ok = true;

	for (unsigned n = 0; n < OP_SLOTS; n++) {
		if (e->map[n].at && msync(e->map[n].at, e->map[n].len, MS_SYNC) < 0)
			ok = false;
		/* FIFOs and O_PATH cannot be synced, nor need it. */
		if (e->fd[n] >= 0 && fsync(e->fd[n]) < 0 && errno == EIO)
			ok = false;
	}
	exec_close_all(e);
	return ok;
}

static bool obey(struct exec *e, struct shared *s, char command)
{
	switch (command) {
	case COMMAND_STEP:
		exec_step(e, &s->op);
		return true;
	case COMMAND_TREE:
	case COMMAND_OWN_TREE:
		tree_write(&s->tree, command == COMMAND_OWN_TREE);
		return true;
	default:
		s->ok = store_all(e);
		return false;
	}
}

static void serve(int fd, struct shared *s, const char *dir) __attribute__((noreturn));
static void serve(int fd, struct shared *s, const char *dir)
{
	struct exec e = { .res = &s->result };
	char command;
	bool more = true;

	for (unsigned n = 0; n < OP_SLOTS; n++)
		e.fd[n] = -1;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chroot(dir) < 0 || chdir("/") < 0)
		_exit(1);
	e.root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e.root < 0 || write(fd, "r", 1) != 1)
		_exit(1);
	while (more && read(fd, &command, 1) == 1) {
		more = obey(&e, s, command);
		if (write(fd, &command, 1) != 1)
			break;
	}
	_exit(0);
}

/* ---- the runner's side ---- */

static bool hear(struct worker *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	char byte;
	int n;

	do
		n = poll(&p, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	return n == 1 && read(w->fd, &byte, 1) == 1;
}

static bool tell(struct worker *w, char command)
{
	return send(w->fd, &command, 1, MSG_NOSIGNAL) == 1;
}

static void release(struct worker *w)
{
	if (w->shared)
		(void)munmap(w->shared, sizeof(*w->shared));
	if (w->fd >= 0)
		(void)close(w->fd);
	free(w);
}

static struct worker *make(void)
{
	struct worker *w = calloc(1, sizeof(*w));
	void *at;

	if (!w)
		return NULL;
	w->fd = -1;
	at = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) {
		free(w);
		return NULL;
	}
	w->shared = at;
	return w;
}

struct worker *worker_start(const char *dir)
{
	struct worker *w = make();
	int fds[2];

	if (!w || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		perror("worker");
		if (w)
			release(w);
		return NULL;
	}
	w->fd = fds[0];
	(void)fflush(NULL);
	w->pid = fork();
	if (w->pid == 0) {
		(void)close(fds[0]);
		serve(fds[1], w->shared, dir);
	}
	(void)close(fds[1]);
	if (w->pid > 0 && hear(w))
		return w;
	(void)fprintf(stderr, "no process in %s\n", dir);
	if (w->pid > 0)
		worker_kill(w);
	else
		release(w);
	return NULL;
}

void worker_begin(struct worker *w, const struct op *op)
{
	w->shared->op = *op;
	(void)tell(w, COMMAND_STEP);
}

bool worker_end(struct worker *w, struct result **ret)
{
	*ret = &w->shared->result;
	return hear(w);
}

const struct tree *worker_tree(struct worker *w, bool own)
{
	if (!tell(w, own ? COMMAND_OWN_TREE : COMMAND_TREE) || !hear(w))
		return NULL;
	return &w->shared->tree;
}

bool worker_stop(struct worker *w)
{
	bool ok = tell(w, COMMAND_STOP) && hear(w) && w->shared->ok;

	if (!ok)
		(void)kill(w->pid, SIGKILL);
	(void)waitpid(w->pid, NULL, 0);
	release(w);
	return ok;
}

void worker_kill(struct worker *w)
{
	if (!w)
		return;
	(void)kill(w->pid, SIGKILL);
	(void)waitpid(w->pid, NULL, 0);
	release(w);
}

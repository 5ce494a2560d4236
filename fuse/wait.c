/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A killed process must not hang in D state until the store answers. The kernel tells us once that
 * a signal has come for a waiting request, not which; from then on a thread looks at the process
 * now and then, and answers for it when it is being killed.
 *
 * Locks: libfuse's lock of the request → ours → libfuse's lock of the session.
 */
#include "ops.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_EVERY_MS 200
#define MANY 48		 /* of WORKERS_MAX */
#define ASIDE_THREADS 64 /* beside them */
#define PARKED_THREADS 8 /* and for writes, each of which may need a buffer */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static struct wait *interrupted; /* requests whose process has got a signal */
static bool proc_is_ours;	 /* /proc shows the pids that requests come with */
static pthread_t thread;
static unsigned waiting; /* atomic: workers that may be waiting */
static unsigned owed;	 /* requests that others than their worker answer */
static pthread_cond_t none_owed = PTHREAD_COND_INITIALIZER;
static struct pool *pool, *parked;

static uint64_t bit(int sig)
{
	return 1ull << (sig - 1);
}

struct signals { /* masks of /proc/TID/status */
	uint64_t pending, blocked, ignored, caught;
};

static void take_line(struct signals *s, const char *line)
{
	uint64_t mask = line[0] == 'S' && strlen(line) > 7 ? strtoull(line + 7, NULL, 16) : 0;

	if (strncmp(line, "SigPnd:", 7) == 0 || strncmp(line, "ShdPnd:", 7) == 0)
		s->pending |= mask;
	else if (strncmp(line, "SigBlk:", 7) == 0)
		s->blocked = mask;
	else if (strncmp(line, "SigIgn:", 7) == 0)
		s->ignored = mask;
	else if (strncmp(line, "SigCgt:", 7) == 0)
		s->caught = mask;
}

/* A pending signal that will end the process as soon as it gets to see it. */
static bool is_deadly(const struct signals *s)
{
	uint64_t harmless = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH) |
			    bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);

	if (s->pending & bit(SIGKILL))
		return true;
	return s->pending & ~(s->blocked | s->ignored | s->caught | harmless);
}

/* A process that cannot be looked at (it is in a pid namespace that we do not see) is taken for
 * living. */
static bool is_dying(pid_t tid)
{
	struct signals s = { 0 };
	char path[64], line[256];
	FILE *f;

	if (tid == 0 || !proc_is_ours)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)tid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT;
	while (fgets(line, sizeof(line), f))
		take_line(&s, line);
	(void)fclose(f);
	return is_deadly(&s);
}

/* Locked. Answers for the dying, and takes them off the list. */
static void look(void)
{
	for (struct wait **at = &interrupted; *at;) {
		struct wait *w = *at;

		if (!is_dying(fuse_req_ctx(w->req)->pid)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->listed = false;
		w->answered = true;
		(void)fuse_reply_err(w->req, EINTR);
	}
}

static void *watch(void *arg)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		if (interrupted) {
			look();
			(void)cond_wait_ms(&changed, &lock, LOOK_EVERY_MS);
		} else {
			pthread_cond_wait(&changed, &lock);
		}
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static bool look_at_proc(void)
{
	char target[32];
	ssize_t n = readlink("/proc/self", target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strtol(target, NULL, 10) == (long)getpid();
}

int wait_start(void)
{
	int err;

	err = pool_new("fuse-aside", ASIDE_THREADS, &pool);
	if (err >= 0)
		err = pool_new("fuse-parked", PARKED_THREADS, &parked);
	if (err < 0)
		return err;
	cond_init(&changed);
	proc_is_ours = look_at_proc();
	err = pthread_create(&thread, NULL, watch, NULL);
	if (err) {
		pool_free(pool);
		pool_free(parked);
		return err_note(-err, "cannot start a thread");
	}
	return 0;
}

/* Called by libfuse, with its lock of the request held. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct wait *w = data;

	pthread_mutex_lock(&lock);
	if (!w->over && !w->answered && !w->listed) {
		w->listed = true;
		w->next = interrupted;
		interrupted = w;
		pthread_cond_signal(&changed);
	}
	pthread_mutex_unlock(&lock);
}

void wait_begin(struct wait *w, fuse_req_t req)
{
	*w = (struct wait){ .req = req };
	fuse_req_interrupt_func(req, on_interrupt, w);
}

static void unlist(struct wait *w)
{
	struct wait **at = &interrupted;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->listed = false;
}

bool wait_end(struct wait *w)
{
	bool ours;

	pthread_mutex_lock(&lock);
	w->over = true;
	ours = !w->answered;
	if (w->listed)
		unlist(w);
	pthread_mutex_unlock(&lock);
	/* From here on on_interrupt is not running with w, and will not. */
	if (ours)
		fuse_req_interrupt_func(w->req, NULL, NULL);
	return ours;
}

/* ---- who waits ---- */

void wait_here(void (*fn)(void *arg), void *arg)
{
	__atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
	fn(arg);
	__atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
}

void wait_owe(void)
{
	pthread_mutex_lock(&lock);
	owed++;
	pthread_mutex_unlock(&lock);
}

void wait_paid(void)
{
	pthread_mutex_lock(&lock);
	if (--owed == 0)
		pthread_cond_broadcast(&none_owed);
	pthread_mutex_unlock(&lock);
}

struct task {
	void (*fn)(void *arg);
	void *arg;
};

static void run_aside(void *arg)
{
	struct task t = *(struct task *)arg;

	free(arg);
	t.fn(t.arg);
	wait_paid();
}

static bool start_in(struct pool *where, void (*fn)(void *arg), void *arg)
{
	struct task *t = malloc(sizeof(*t));

	if (!t)
		return false;
	*t = (struct task){ fn, arg };
	wait_owe();
	if (pool_submit(where, run_aside, t) >= 0)
		return true;
	wait_paid();
	free(t);
	return false;
}

void wait_aside(void (*fn)(void *arg), void *arg)
{
	if (!wait_is_crowded() || !start_in(pool, fn, arg))
		wait_here(fn, arg);
}

bool wait_is_crowded(void)
{
	return __atomic_load_n(&waiting, __ATOMIC_RELAXED) >= MANY;
}

bool wait_parked(void (*fn)(void *arg), void *arg)
{
	return start_in(parked, fn, arg);
}

void wait_for_all(void)
{
	pthread_mutex_lock(&lock);
	while (owed > 0)
		pthread_cond_wait(&none_owed, &lock);
	pthread_mutex_unlock(&lock);
}

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
#define MANY 48 /* of WORKERS_MAX */

/* Packing an extent takes 144 KiB of it. */
#define ASIDE_STACK_BYTES (512 * KIB + SANITIZER_STACK_BYTES)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static struct wait *interrupted; /* requests whose process has got a signal */
static bool stopping;
static bool proc_is_ours; /* /proc shows the pids that requests come with */
static pthread_t thread;
static unsigned waiting; /* atomic: between wait_begin and wait_end */
static unsigned aside;	 /* threads of wait_aside */
static pthread_cond_t none_aside = PTHREAD_COND_INITIALIZER;

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
	while (!stopping) {
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

	cond_init(&changed);
	stopping = false;
	proc_is_ours = look_at_proc();
	err = pthread_create(&thread, NULL, watch, NULL);
	if (err)
		return err_note(-err, "cannot start a thread");
	return 0;
}

void wait_stop(void)
{
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	pthread_cond_destroy(&changed);
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
	__atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
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

	__atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
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

/* ---- aside ---- */

struct task {
	void (*fn)(void *arg);
	void *arg;
};

static void *run_aside(void *arg)
{
	struct task t = *(struct task *)arg;

	free(arg);
	t.fn(t.arg);
	pthread_mutex_lock(&lock);
	if (--aside == 0)
		pthread_cond_broadcast(&none_aside);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static bool start_aside(struct task *t)
{
	pthread_attr_t attr;
	pthread_t unused;
	int err;

	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, ASIDE_STACK_BYTES);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&lock);
	err = pthread_create(&unused, &attr, run_aside, t);
	aside += err == 0;
	pthread_mutex_unlock(&lock);
	pthread_attr_destroy(&attr);
	return err == 0;
}

void wait_aside(void (*fn)(void *arg), void *arg)
{
	struct task *t = NULL;

	if (__atomic_load_n(&waiting, __ATOMIC_RELAXED) >= MANY)
		t = malloc(sizeof(*t));
	if (t)
		*t = (struct task){ fn, arg };
	if (t && start_aside(t))
		return;
	free(t);
	fn(arg);
}

void wait_for_aside(void)
{
	pthread_mutex_lock(&lock);
	while (aside > 0)
		pthread_cond_wait(&none_aside, &lock);
	pthread_mutex_unlock(&lock);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Up to a fixed number of threads that work off a queue: more than one start when jobs wait. */
#include "util/util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
	void (*fn)(void *arg);
	void *arg;
	struct job *next;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a job was queued, or stopping */
	pthread_cond_t idle; /* queue empty and nobody running */
	struct job *first, **last;
	unsigned queued, running;
	bool stopping;
	char name[16];
	unsigned thread_count, thread_max; /* those that ever started, and may */
	pthread_t threads[];
};

static void run_one(struct pool *p)
{
	struct job *j = p->first;

	p->first = j->next;
	if (!p->first)
		p->last = &p->first;
	p->queued--;
	p->running++;
	pthread_mutex_unlock(&p->lock);
	j->fn(j->arg);
	free(j);
	pthread_mutex_lock(&p->lock);
	p->running--;
	if (!p->first && p->running == 0)
		pthread_cond_broadcast(&p->idle);
}

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	(void)pthread_setname_np(pthread_self(), p->name);
	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (p->first)
			run_one(p);
		else if (p->stopping)
			break;
		else
			pthread_cond_wait(&p->work, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are the main thread's business. */
static int start_thread(struct pool *p)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&p->threads[p->thread_count], NULL, pool_thread, p);
	if (err == 0)
		p->thread_count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int pool_new(const char *name, unsigned threads, struct pool **ret)
{
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
	int err;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->idle, NULL);
	p->last = &p->first;
	p->thread_max = threads;
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	err = start_thread(p);
	if (err < 0) {
		pool_free(p);
		return err_note(err, "cannot start a thread for %s: %s (limits: ulimit -u, -v)", name,
				err_text(err));
	}
	*ret = p;
	return 0;
}

int pool_submit(struct pool *p, void (*fn)(void *arg), void *arg)
{
	struct job *j = malloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	*j = (struct job){ .fn = fn, .arg = arg };
	pthread_mutex_lock(&p->lock);
	*p->last = j;
	p->last = &j->next;
	/* If it cannot start, the ones there are do the work. */
	if (++p->queued > p->thread_count - p->running && p->thread_count < p->thread_max &&
	    !p->stopping)
		(void)start_thread(p);
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void pool_drain(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->first || p->running > 0)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->idle);
	free(p);
}

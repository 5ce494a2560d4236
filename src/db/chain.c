/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group commit: who waits for which cut, and what the leader does. One slot's way: slot.c.
 */
#include "db/chain.h"
#include "db/slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void db_chain_init(struct chain *c, const struct db_config *config, struct env *env, struct gc *gc)
{
	memset(c, 0, sizeof(*c));
	c->config = config;
	c->env = env;
	c->gc = gc;
	db_history_init(&c->history);
	pthread_mutex_init(&c->lock, NULL);
	cond_init(&c->crowd.whole);
	cond_init(&c->committer.work);
}

void db_chain_release(struct chain *c)
{
	db_history_release(&c->history);
	pthread_cond_destroy(&c->crowd.whole);
	pthread_cond_destroy(&c->committer.work);
	pthread_mutex_destroy(&c->lock);
}

/* ---- failure ---- */

/* chain.lock held */
static void wake(struct chain *c, struct chain_waiter *w)
{
	pthread_cond_signal(w->then ? &c->committer.work : &w->wake);
}

/* chain.lock held. False if it had failed before. */
static bool set_failed(struct chain *c, int err)
{
	struct chain_waiter *w;

	if (c->failed)
		return false;
	c->failed = err;
	snprintf(c->note, sizeof(c->note), "%s", err_last_note());
	DL_FOREACH (c->waiters, w)
		wake(c, w);
	pthread_cond_signal(&c->crowd.whole);
	return true;
}

static bool fail(struct chain *c, int err)
{
	bool first;

	pthread_mutex_lock(&c->lock);
	first = set_failed(c, err);
	pthread_mutex_unlock(&c->lock);
	db_env_fail(c->env, err);
	return first;
}

void db_chain_fail(struct chain *c, int err)
{
	(void)fail(c, err);
}

int db_chain_failed(struct chain *c)
{
	int err = 0;

	pthread_mutex_lock(&c->lock);
	if (c->failed)
		err = err_note(c->failed, "%s", c->note);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* What a cut could not survive: tell everybody, for good. */
static void fail_loudly(struct chain *c, int err)
{
	if (err == -L3_FENCED)
		lease_mark_lost(c->config->lease);
	if (fail(c, err) && err != -ECANCELED)
		notify(&c->config->notifier, LOG_L_ERROR, "nothing is written any more: %s (%s)",
		       err_text(err), c->note);
}

/* ---- leading ---- */

/* The cut itself: what is written up to here belongs to it, and who comes later needs another.
 * After an error there is nothing in it, but it counts all the same for those who wait for it. */
static int take_cut(struct chain *c, int err, struct rec **ret, uint64_t *ret_number)
{
	pthread_mutex_lock(&c->lock);
	*ret_number = ++c->begun;
	if (!err)
		err = db_env_cut(c->env, ret);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* chain.lock held */
static void set_done(struct chain *c, struct chain_waiter *w, int result)
{
	w->done = true;
	w->result = result;
	c->waiting--;
	if (w->then) {
		DL_DELETE(c->waiters, w);
		DL_APPEND(c->answers, w);
	}
	wake(c, w);
}

/* chain.lock held */
static void finish_cut(struct chain *c, uint64_t number, int err)
{
	struct chain_waiter *w, *tmp;

	c->finished = number;
	if (!err)
		c->durable = number;
	if (err && !c->failed)
		snprintf(c->note, sizeof(c->note), "%s", err_last_note());
	c->crowd.expected = c->waiting;
	DL_FOREACH_SAFE (c->waiters, w, tmp)
		if (w->need <= number && !w->done)
			set_done(c, w, err);
}

/* ---- gathering ---- */

/*
 * Threads that write and commit in turn come back together when a cut is done, and the first of them would lead
 * the next cut nearly alone, while the others wait for that one and then for their own: half as many commits
 * as could be. So the leader waits a little for those who had been waiting at the end of the last cut. It gives
 * up when nobody has come for a while, and tries ever more rarely where that does not pay. One thread alone
 * is never held up.
 */
#define GATHER_MIN_NS 50000 /* shorter waits are not worth sleeping for */
#define GATHER_MAX_NS 5000000
#define GATHER_STEPS 4	  /* at most, of */
#define GATHER_SHARE 8	  /* a share of what a cut takes each */
#define GATHER_REST_MAX 6 /* not for 64 cuts */

/* chain.lock held. Whether it pays. */
static bool want_crowd(struct chain *c)
{
	if (c->failed || c->waiting >= c->crowd.expected ||
	    c->crowd.cut_ns / GATHER_SHARE < GATHER_MIN_NS)
		return false;
	if (c->crowd.rest == 0)
		return true;
	c->crowd.rest--;
	return false;
}

static void gather(struct chain *c)
{
	uint64_t step_ns, before = 0, at_first;

	pthread_mutex_lock(&c->lock);
	if (want_crowd(c)) {
		step_ns = min_u64(c->crowd.cut_ns / GATHER_SHARE, GATHER_MAX_NS);
		at_first = c->waiting;
		c->crowd.going_on = true;
		for (int n = 0; n < GATHER_STEPS && c->waiting < c->crowd.expected &&
				c->waiting != before && !c->failed;
		     n++) {
			before = c->waiting;
			(void)cond_wait_ns(&c->crowd.whole, &c->lock, step_ns);
		}
		c->crowd.going_on = false;
		c->crowd.vain =
			c->waiting > at_first ? 0 : min_u64(c->crowd.vain + 1, GATHER_REST_MAX);
		c->crowd.rest = c->crowd.vain ? 1u << c->crowd.vain : 0;
	}
	pthread_mutex_unlock(&c->lock);
}

/* chain.lock held */
static void note_time(struct chain *c, uint64_t ns)
{
	c->commit_ns += ns;
	c->crowd.cut_ns = c->crowd.cut_ns ? (c->crowd.cut_ns * 7 + ns) / 8 : ns;
}

/* One cut from before_seal to its end. An error before the cut leaves everything pending for the
 * next one; an error after it is final, because what was cut is in no slot. */
static void lead(struct chain *c)
{
	const struct db_hooks *hooks = &c->config->hooks;
	int broken = db_env_failed(c->env), err = broken;
	struct db_seal seal = { 0 };
	struct rec *recs = NULL;
	struct clock *clock = c->config->clock;
	uint64_t number, begun_ns, before = c->commits;

	gather(c);
	begun_ns = clock->mono_ns(clock);
	if (!broken && hooks->before_seal)
		err = hooks->before_seal(hooks->ctx, &seal);
	err = take_cut(c, err, &recs, &number);
	if (!broken && hooks->after_seal)
		hooks->after_seal(hooks->ctx);
	if (!err)
		broken = err = db_slot_send(c, recs, &seal, number);
	if (broken)
		fail_loudly(c, broken);
	db_slot_seal_done(&seal, err);
	db_recs_free(recs);
	pthread_mutex_lock(&c->lock);
	finish_cut(c, number, err);
	if (c->commits != before) /* there was something to be sent */
		note_time(c, clock->mono_ns(clock) - begun_ns);
	pthread_mutex_unlock(&c->lock);
	if (!err)
		db_gc_settle(c->gc, number);
}

/* ---- waiting ---- */

/* chain.lock held */
static uint64_t cut_needed(struct chain *c)
{
	return c->begun + (db_env_is_dirty(c->env) ? 1 : 0);
}

uint64_t db_chain_cut_needed(struct chain *c)
{
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	n = cut_needed(c);
	pthread_mutex_unlock(&c->lock);
	return n;
}

uint64_t db_chain_next_cut(struct chain *c)
{
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	n = c->begun + 1;
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool db_chain_cut_is_durable(struct chain *c, uint64_t cut)
{
	bool durable;

	pthread_mutex_lock(&c->lock);
	durable = c->durable >= cut;
	pthread_mutex_unlock(&c->lock);
	return durable;
}

/* chain.lock held, given up meanwhile */
static void lead_once(struct chain *c, const struct chain_waiter *me)
{
	struct chain_waiter *w;

	c->busy = true;
	pthread_mutex_unlock(&c->lock);
	lead(c);
	pthread_mutex_lock(&c->lock);
	c->busy = false;
	/* One of those who came meanwhile is next. It may find that somebody else was faster: then
	 * that one will wake it, or another. */
	DL_FOREACH (c->waiters, w) {
		if (!w->done && w != me) {
			wake(c, w);
			break;
		}
	}
}

/* chain.lock held */
static void enlist(struct chain *c, struct chain_waiter *w)
{
	w->need = cut_needed(c);
	DL_APPEND(c->waiters, w);
	c->waiting++;
	if (c->crowd.going_on && c->waiting >= c->crowd.expected)
		pthread_cond_signal(&c->crowd.whole);
}

/* What LevelDB met in the background: there may be nothing to lead, and yet it is the end. */
static void look_for_failure(struct chain *c)
{
	int err = db_env_failed(c->env);

	if (err)
		fail_loudly(c, err);
}

int db_chain_commit(struct chain *c)
{
	struct chain_waiter w = { 0 };
	int err;

	look_for_failure(c);
	cond_init(&w.wake);
	pthread_mutex_lock(&c->lock);
	enlist(c, &w);
	while (!w.done && !c->failed && c->finished < w.need) {
		if (c->busy)
			pthread_cond_wait(&w.wake, &c->lock);
		else
			lead_once(c, &w);
	}
	if (!w.done)
		c->waiting--;
	DL_DELETE(c->waiters, &w);
	err = c->failed ? c->failed : w.result;
	if (err)
		err_note(err, "%s", c->note);
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&w.wake);
	return err;
}

/* ---- the committer ---- */

/* chain.lock held, given up meanwhile */
static void answer(struct chain *c)
{
	struct chain_waiter *all = c->answers, *w, *next;
	char note[sizeof(c->note)];

	memcpy(note, c->note, sizeof(note));
	c->answers = NULL;
	pthread_mutex_unlock(&c->lock);
	DL_FOREACH_SAFE (all, w, next) {
		if (w->result)
			err_note(w->result, "%s", note);
		w->then(w->arg, w->result);
		free(w);
	}
	pthread_mutex_lock(&c->lock);
}

/* chain.lock held. Nobody who is led or answered here waits for a cut any more. */
static void end_waits(struct chain *c, int err)
{
	struct chain_waiter *w, *next;

	DL_FOREACH_SAFE (c->waiters, w, next)
		if (w->then)
			set_done(c, w, err);
}

/* chain.lock held */
static bool has_to_lead(const struct chain *c)
{
	const struct chain_waiter *w;

	if (c->busy)
		return false;
	DL_FOREACH (c->waiters, w)
		if (w->then)
			return true;
	return false;
}

static void *committer_run(void *arg)
{
	struct chain *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		if (c->failed || c->committer.stop)
			end_waits(c, c->failed ? c->failed : -ECANCELED);
		if (c->answers)
			answer(c);
		else if (c->committer.stop)
			break;
		else if (has_to_lead(c))
			lead_once(c, NULL);
		else
			pthread_cond_wait(&c->committer.work, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* chain.lock held */
static bool have_committer(struct chain *c)
{
	if (!c->committer.started)
		c->committer.started = db_thread_start(&c->committer.thread, committer_run, c) == 0;
	return c->committer.started;
}

/* chain.lock held. Left to the committer; but who seems to be alone is quicker by itself. */
static bool leave(struct chain *c, struct chain_waiter *w)
{
	bool alone = !c->busy && !c->waiters && c->crowd.expected <= 1;

	if (!w || c->failed || alone || !have_committer(c))
		return false;
	enlist(c, w);
	if (c->finished >= w->need)
		set_done(c, w, 0);
	else if (!c->busy)
		pthread_cond_signal(&c->committer.work);
	return true;
}

void db_chain_commit_then(struct chain *c, void (*then)(void *arg, int err), void *arg)
{
	struct chain_waiter *w = calloc(1, sizeof(*w));
	bool left;

	if (w)
		*w = (struct chain_waiter){ .then = then, .arg = arg };
	look_for_failure(c);
	pthread_mutex_lock(&c->lock);
	left = leave(c, w);
	pthread_mutex_unlock(&c->lock);
	if (left)
		return;
	free(w);
	then(arg, db_chain_commit(c));
}

void db_chain_stop(struct chain *c)
{
	bool started;

	pthread_mutex_lock(&c->lock);
	c->committer.stop = true;
	started = c->committer.started;
	pthread_cond_signal(&c->committer.work);
	pthread_mutex_unlock(&c->lock);
	if (started)
		pthread_join(c->committer.thread, NULL);
}

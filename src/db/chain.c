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
}

void db_chain_release(struct chain *c)
{
	db_history_release(&c->history);
	pthread_mutex_destroy(&c->lock);
}

/* ---- failure ---- */

/* chain.lock held. False if it had failed before. */
static bool set_failed(struct chain *c, int err)
{
	struct chain_waiter *w;

	if (c->failed)
		return false;
	c->failed = err;
	snprintf(c->note, sizeof(c->note), "%s", err_last_note());
	DL_FOREACH (c->waiters, w)
		pthread_cond_signal(&w->wake);
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
static void finish_cut(struct chain *c, uint64_t number, int err)
{
	struct chain_waiter *w;

	c->finished = number;
	if (!err)
		c->durable = number;
	if (err && !c->failed)
		snprintf(c->note, sizeof(c->note), "%s", err_last_note());
	DL_FOREACH (c->waiters, w) {
		if (w->need > number || w->done)
			continue;
		w->done = true;
		w->result = err;
		pthread_cond_signal(&w->wake);
	}
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
	uint64_t number, begun_ns = clock->mono_ns(clock), before = c->commits;

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
		c->commit_ns += clock->mono_ns(clock) - begun_ns;
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
static void lead_or_wait(struct chain *c, struct chain_waiter *me)
{
	struct chain_waiter *w;

	if (c->busy) {
		pthread_cond_wait(&me->wake, &c->lock);
		return;
	}
	c->busy = true;
	pthread_mutex_unlock(&c->lock);
	lead(c);
	pthread_mutex_lock(&c->lock);
	c->busy = false;
	/* One of those who came meanwhile is next. It may find that somebody else was faster: then
	 * that one will wake it, or another. */
	DL_FOREACH (c->waiters, w) {
		if (!w->done && w != me) {
			pthread_cond_signal(&w->wake);
			break;
		}
	}
}

int db_chain_commit(struct chain *c)
{
	struct chain_waiter w = { 0 };
	int err = db_env_failed(c->env);

	if (err) /* perhaps in the background: there may be nothing to lead, and yet it is the end
		  */
		fail_loudly(c, err);
	cond_init(&w.wake);
	pthread_mutex_lock(&c->lock);
	w.need = cut_needed(c);
	DL_APPEND(c->waiters, &w);
	c->waiting++;
	while (!w.done && !c->failed && c->finished < w.need)
		lead_or_wait(c, &w);
	c->waiting--;
	DL_DELETE(c->waiters, &w);
	err = c->failed ? c->failed : w.result;
	if (err)
		err_note(err, "%s", c->note);
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&w.wake);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The background thread: checkpoints when they are due, deletions whose time has come, a commit
 * when too much waits in memory for one, and one sweep for tables that a crash left behind.
 *
 * A checkpoint never delays commits: the state is taken by reference under chain.lock, and all else
 * happens beside them. Its order is what keeps parts safe: first the state at slot N is taken, then
 * the owner stores every part that slots carry so far (N's and maybe later ones), then the
 * checkpoint is written. Only after that may slots up to N go.
 */
#include "db/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* While the store refuses deletions or checkpoints, and as the longest sleep. */
#define KEEPER_IDLE_MS 600000
/* Until the lease is asked about again. */
#define KEEPER_LEASE_MS 1000
/* A checkpoint up to this size is never put off; others at most until so many times the slots. */
#define CHEAP_BYTES MIB
#define PUT_OFF_MAX 8

void db_keeper_init(struct db *db)
{
	struct clock *clock = db->config.clock;

	pthread_mutex_init(&db->keeper.lock, NULL);
	cond_init(&db->keeper.changed);
	db->keeper.opened_ns = clock->mono_ns(clock);
	db->keeper.active = !db->config.hooks.before_seal && !db->config.hooks.before_checkpoint;
}

void db_keeper_release(struct db *db)
{
	db_checkpoint_list_release(&db->keeper.checkpoints);
	pthread_cond_destroy(&db->keeper.changed);
	pthread_mutex_destroy(&db->keeper.lock);
}

void db_keeper_kick(void *arg)
{
	struct db *db = arg;

	pthread_mutex_lock(&db->keeper.lock);
	db->keeper.kicked = true;
	pthread_cond_broadcast(&db->keeper.changed);
	pthread_mutex_unlock(&db->keeper.lock);
}

void db_keeper_activate(struct db *db)
{
	pthread_mutex_lock(&db->keeper.lock);
	db->keeper.active = true;
	pthread_mutex_unlock(&db->keeper.lock);
}

/* ---- checkpoints ---- */

static uint64_t newest_checkpoint(const struct keeper *k)
{
	return k->checkpoints.count ? k->checkpoints.slots[k->checkpoints.count - 1] : 0;
}

/* Exists already? What a checkpoint says follows from its slot, so any valid one will do. */
static int adopt(struct db *db, const char *key, uint64_t slot)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct history h;
	int err = store_get(db->config.forever, key, 0, STORE_TO_END, &b, NULL);

	if (err)
		return err;
	db_history_init(&h);
	err = db_checkpoint_decode(b.data, b.len, &db->config.fs, slot, key, &h);
	db_history_release(&h);
	return err;
}

static int put_checkpoint(struct db *db, const struct checkpoint *c)
{
	struct out o CLEANUP(db_out_release) = { 0 };
	char key[CHECKPOINT_KEY_LIMIT];
	struct store_put put = { .key = key, .cond = STORE_CREATE };
	int err;

	db_out_init(&o);
	err = db_checkpoint_encode(c, &db->config.fs, &o);
	if (err)
		return err;
	db_checkpoint_key(c->slot, key);
	put.iov = o.iov;
	put.iovcnt = (int)o.count;
	err = store_put(db->config.forever, &put, NULL);
	return err == -L3_PRECONDITION ? adopt(db, key, c->slot) : err;
}

struct taken { /* the chain's counters at the moment of the state that is written */
	uint64_t slots, bytes;
};

static int take_state(struct db *db, struct checkpoint *ret, struct taken *ret_taken)
{
	struct chain *c = &db->chain;
	int err = 0;

	pthread_mutex_lock(&c->lock);
	if (c->failed)
		err = err_note(c->failed, "%s", c->note);
	else if (db->parts_unseen)
		err = err_note(-EBUSY, "parts found in slots have not been taken over yet");
	else if (c->history.damaged)
		err = err_note(-ENOMEM, "memory ran out while following the chain");
	else
		err = db_checkpoint_take(&c->history, ret);
	*ret_taken = (struct taken){ c->slots_since, c->bytes_since };
	pthread_mutex_unlock(&c->lock);
	return err;
}

static int note_checkpoint(struct db *db, uint64_t slot, const struct taken *t)
{
	struct chain *c = &db->chain;
	int err;

	pthread_mutex_lock(&db->keeper.lock);
	err = db_checkpoint_list_add(&db->keeper.checkpoints, slot);
	pthread_mutex_unlock(&db->keeper.lock);
	pthread_mutex_lock(&c->lock);
	c->slots_since -= t->slots;
	c->bytes_since -= t->bytes;
	c->log_removed = false;
	pthread_mutex_unlock(&c->lock);
	return err;
}

static int make_checkpoint(struct db *db)
{
	const struct db_hooks *hooks = &db->config.hooks;
	struct checkpoint c CLEANUP(db_checkpoint_release) = { 0 };
	struct taken taken;
	int err = take_state(db, &c, &taken);

	if (err || c.slot == newest_checkpoint(&db->keeper))
		return err;
	if (hooks->before_checkpoint)
		err = hooks->before_checkpoint(hooks->ctx);
	if (!err)
		err = lease_wait(db->config.lease);
	if (!err)
		err = put_checkpoint(db, &c);
	if (!err)
		err = note_checkpoint(db, c.slot, &taken);
	if (!err && db_trim_run(db, &c) != 0)
		log_debug("old slots stay for now: %s", err_last_note());
	return err;
}

int db_keeper_checkpoint(struct db *db)
{
	struct keeper *k = &db->keeper;
	int err;

	pthread_mutex_lock(&k->lock);
	while (k->checkpointing)
		pthread_cond_wait(&k->changed, &k->lock);
	k->checkpointing = true;
	pthread_mutex_unlock(&k->lock);
	err = make_checkpoint(db);
	pthread_mutex_lock(&k->lock);
	k->checkpointing = false;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	return err;
}

/* What is worth writing: the slots since hold half as much, or it is little, or it has been put off
 * for long. Otherwise a stream of tiny commits would send a long log again and again. */
static bool is_worthwhile(const struct chain *c, uint64_t slots_wanted)
{
	uint64_t cost = c->history.file_bytes;

	return cost <= CHEAP_BYTES || c->bytes_since >= cost / 2 ||
	       c->slots_since >= slots_wanted * PUT_OFF_MAX;
}

/* Due at half the limits if a log has just ended, because the state is small then. */
static bool checkpoint_is_due(struct db *db)
{
	struct chain *c = &db->chain;
	uint64_t slots = db->config.checkpoint_slots, bytes = db->config.checkpoint_bytes;
	unsigned share;
	bool due;

	pthread_mutex_lock(&c->lock);
	share = c->log_removed ? 2 : 1;
	due = !c->failed && !db->parts_unseen &&
	      ((c->slots_since >= slots / share && is_worthwhile(c, slots)) ||
	       c->bytes_since >= bytes / share);
	pthread_mutex_unlock(&c->lock);
	return due;
}

/* ---- the thread ---- */

static bool sweep_is_due(struct db *db, uint64_t *ret_wait_ms)
{
	struct clock *clock = db->config.clock;
	uint64_t age_ms = (clock->mono_ns(clock) - db->keeper.opened_ns) / 1000000;

	*ret_wait_ms = KEEPER_IDLE_MS;
	if (db->keeper.swept)
		return false;
	if (age_ms < db->config.grace_ms) {
		*ret_wait_ms = db->config.grace_ms - age_ms;
		return false;
	}
	return true;
}

static void sweep_once(struct db *db)
{
	if (db_sweep_tables(db, NULL) < 0)
		log_debug("no sweep this time: %s", err_last_note());
	db->keeper.swept = true;
}

/* Who slept past its lease may have been taken over, and what it removed may have come back by a repair
 * of the chain: what stops it from writing does not stop it from deleting. */
static uint64_t collect(struct db *db)
{
	if (lease_lost(db->config.lease))
		return KEEPER_IDLE_MS;
	if (!lease_valid(db->config.lease))
		return KEEPER_LEASE_MS;
	db_gc_run(&db->gc);
	return db_gc_next_ms(&db->gc);
}

/* What is due now; the time until more may be. */
static uint64_t keeper_work(struct db *db, bool active)
{
	uint64_t wait_ms = KEEPER_IDLE_MS;

	if (db_chain_failed(&db->chain))
		return KEEPER_IDLE_MS;
	if (active && db_env_uncut_bytes(&db->env) > ENV_UNCUT_LIMIT)
		(void)db_chain_commit(&db->chain);
	if (active && checkpoint_is_due(db) && db_keeper_checkpoint(db) != 0)
		log_debug("no checkpoint this time: %s", err_last_note());
	if (sweep_is_due(db, &wait_ms))
		sweep_once(db);
	return min_u64(wait_ms, collect(db));
}

static void *keeper_run(void *arg)
{
	struct db *db = arg;
	struct keeper *k = &db->keeper;
	uint64_t wait_ms = 0;

	pthread_mutex_lock(&k->lock);
	while (!k->stop) {
		bool active = k->active;

		if (!k->kicked && wait_ms > 0)
			cond_wait_ms(&k->changed, &k->lock, wait_ms);
		if (k->stop)
			break;
		k->kicked = false;
		pthread_mutex_unlock(&k->lock);
		wait_ms = keeper_work(db, active);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int db_keeper_start(struct db *db)
{
	int err = db_thread_start(&db->keeper.thread, keeper_run, db);

	db->keeper.started = !err;
	return err;
}

void db_keeper_stop(struct db *db)
{
	struct keeper *k = &db->keeper;

	if (!k->started)
		return;
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	k->started = false;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chain: the commit chain: one linear history of slots, each written create-only.
 *
 * Writing a slot: cut what env has pending (and what the owner's hooks add), wait for what the cut
 * depends on, wait for a valid lease, PUT. One PUT is under way at a time; who commits meanwhile
 * shares the next cut, which one of them makes (the *leader*). Whoever does not wait itself (db_chain_commit_then)
 * is led, if need be, and answered by a thread of the chain's, the *committer*.
 *
 * Taking over: our epoch is above every one in the chain. The fence, an empty slot of the new
 * epoch, is created at the end of the chain. Whoever wrote before meets it with the next PUT and is
 * told so by the store, whatever the clocks say. Losing the race for a slot means reading it: an
 * older epoch's slot is applied and the next number tried; a newer epoch's ends our attempt. Last,
 * two looks back. If the lease is no longer ours, the fence may have landed in a gap that the
 * present writer's trimming had left, where nobody ever reads it; we stop. So we do if slots
 * above the checkpoint that we began with have been trimmed meanwhile: then somebody is writing
 * who still believes in a lease that is ours (a paused machine, a slow clock). The second look is
 * the one that needs nobody's clock: tests/protocol.
 *
 *	loaded ──db_chain_fence──▶ writing ──PUT refused, newer epoch in our slot──▶ failed (FENCED)
 *	                            │  ▲  └──────lease lost──────────────────────────▶ failed (FENCED)
 *	                    db_chain_commit                 db_chain_fail ───────────▶ failed
 *
 * Failed is for good: nothing is acknowledged any more, and env refuses LevelDB's writes.
 *
 * Locks: chain.lock, then env.lock or gc.lock. Not held across requests, hooks or waits.
 */
#ifndef LEVELS3_DB_CHAIN_H
#define LEVELS3_DB_CHAIN_H

#include "db/db.h"
#include "db/env.h"
#include "db/gc.h"
#include "db/history.h"
#include "db/load.h"

struct chain_waiter { /* one thread in db_chain_commit, or one call of db_chain_commit_then */
	struct chain_waiter *prev, *next;
	uint64_t need; /* the cut that holds what the caller wrote */
	bool done;
	int result;
	pthread_cond_t wake;		  /* done, failed, or to lead; */
	void (*then)(void *arg, int err); /* or what the committer calls, and frees this; NULL: a thread waits */
	void *arg;
};

struct chain {
	const struct db_config *config;
	struct env *env;
	struct gc *gc;
	void (*on_durable)(void *ctx); /* after each slot; must only wake somebody */
	void *ctx;
	uint64_t epoch;
	uint64_t fence_slot;
	uint64_t fence_mono_ns; /* just before the fence was written */

	pthread_mutex_t lock;
	struct history history; /* the durable state */
	bool busy;		/* somebody leads */
	/* Numbers of cuts (slots have numbers of their own): */
	uint64_t begun, finished, durable;
	struct chain_waiter *waiters;
	struct chain_waiter *answers; /* done, with `then` */
	uint64_t waiting;	      /* those of the waiters that are not done */
	struct {
		uint64_t expected; /* callers that the next cut may count on: those who commit again and again */
		uint64_t cut_ns;   /* how long a cut takes, on average */
		bool going_on;
		unsigned vain, rest; /* times in a row that nobody came; cuts until it is tried again */
		pthread_cond_t whole;
	} crowd;
	struct {
		pthread_t thread;
		pthread_cond_t work;
		bool started, stop;
	} committer;
	int failed;
	char note[256]; /* of failed, or of the last cut that failed */
	uint64_t commits, commit_ns;
	/* Since the last checkpoint: */
	uint64_t slots_since, bytes_since;
	bool log_removed;
};

void db_chain_init(struct chain *c, const struct db_config *config, struct env *env, struct gc *gc);
void db_chain_release(struct chain *c);

/* After db_load_history into c->history, from that checkpoint on; before anything is written. */
int db_chain_fence(struct chain *c, const struct load_config *load, uint64_t from);
/* Everything written before the call is durable when it returns 0. */
int db_chain_commit(struct chain *c);
/* Likewise without waiting: see db_commit_then. */
void db_chain_commit_then(struct chain *c, void (*then)(void *arg, int err), void *arg);
/* Ends the committer. Whoever it still owes an answer gets -ECANCELED. */
void db_chain_stop(struct chain *c);
/* The number of the cut that will hold, or holds, everything written so far. */
uint64_t db_chain_cut_needed(struct chain *c);
/* The number of the next cut that begins. */
uint64_t db_chain_next_cut(struct chain *c);
bool db_chain_cut_is_durable(struct chain *c, uint64_t cut);
/* For good; the first error stays. */
void db_chain_fail(struct chain *c, int err);
int db_chain_failed(struct chain *c);

#endif

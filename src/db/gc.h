/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gc: objects that nothing durable names any more, waiting for their deletion.
 *
 * Each waits for the cut whose durability makes it superfluous, and then for the grace, in which
 * readers of an older state may still want it. Any thread; own lock, never held across requests.
 */
#ifndef LEVELS3_DB_GC_H
#define LEVELS3_DB_GC_H

#include "db/db.h"

#define GC_NEVER UINT64_MAX

struct discard;

struct gc_config {
	struct store *store;
	struct cache *cache;
	struct clock *clock;
	uint64_t grace_ms;
};

struct gc {
	struct gc_config config;
	pthread_mutex_t lock;
	struct discard *waiting, **waiting_end; /* for their cut; need_cut ascending */
	struct discard *dated, **dated_end;	/* for their time; due_ns ascending */
	struct discard *table;			/* both, by key */
	struct db_trash counts;
};

void db_gc_init(struct gc *gc, const struct gc_config *config);
void db_gc_release(struct gc *gc);
/* The object may go once cut number need_cut is durable and the grace has passed. 1; 0 if it is waiting already. */
int db_gc_add(struct gc *gc, const char *key, uint64_t bytes, uint64_t need_cut);
/* Cuts up to this one are durable. */
void db_gc_settle(struct gc *gc, uint64_t durable_cut);
/* Deletes what is due, in batches. Failed ones are tried again later. */
void db_gc_run(struct gc *gc);
/* When db_gc_run next has something to do: ms from now, 0 for now, GC_NEVER. */
uint64_t db_gc_next_ms(struct gc *gc);
/* Is it waiting? */
bool db_gc_has(struct gc *gc, const char *key);
void db_gc_counts(struct gc *gc, struct db_trash *ret);

#endif

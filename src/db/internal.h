/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The database as its own files see it: env (LevelDB's directory), chain (commits), gc (deletions),
 * keeper (the background thread: checkpoints, trimming, deletions, sweeps).
 *
 * Locks, outermost first: keeper.lock, chain.lock, env.lock or gc.lock. None is held across
 * requests.
 */
#ifndef LEVELS3_DB_INTERNAL_H
#define LEVELS3_DB_INTERNAL_H

#include "db/chain.h"
#include "db/checkpoint.h"
#include "db/db.h"
#include "db/env.h"
#include "db/gc.h"

struct keeper {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool started, stop, kicked;
	bool active; /* the owner has begun to commit: its hooks may be called from here */
	bool checkpointing;
	struct checkpoint_list checkpoints;
	uint64_t trimmed_upto; /* slots up to here are gone, but for fences; 0: not known */
	bool swept;
	uint64_t opened_ns;
};

struct db {
	struct db_config config;
	struct env env;
	struct chain chain;
	struct gc gc;
	struct keeper keeper;
	bool parts_unseen; /* chain.lock: slots held parts that the owner has not been given */

	leveldb_env_t *shim;
	leveldb_options_t *options;
	leveldb_filterpolicy_t *filter;
	leveldb_cache_t *block_cache;
	leveldb_readoptions_t *read, *scan;
	leveldb_writeoptions_t *write;
	leveldb_t *handle;
};

static inline bool db_is_writable(const struct db *db)
{
	return db->config.lease != NULL;
}

void db_keeper_init(struct db *db);
int db_keeper_start(struct db *db);
void db_keeper_stop(struct db *db);
void db_keeper_release(struct db *db);
/* Something may be due: a checkpoint, a commit for memory's sake. Any thread; takes keeper.lock
 * only. */
void db_keeper_kick(void *db);
void db_keeper_activate(struct db *db);
/* A checkpoint of the durable state now, unless there is one; then trims. Waits for one under way.
 */
int db_keeper_checkpoint(struct db *db);

/* Deletes what the two newest checkpoints make superfluous. */
int db_trim_run(struct db *db, const struct checkpoint *newest);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * env: LevelDB's directory as it is now, and what of it the chain does not have yet.
 *
 * LevelDB's calls change the directory in memory at once and never wait for the network (but for a
 * table that finishes while too many wait for their upload). What the chain must learn is kept in
 * two ways:
 *
 *   - the *ordered queue*: everything but logs, as records in the order in which it happened. A
 *     TABLE record is ready when its object is uploaded; a cut takes the records before the first
 *     that is not ready.
 *   - *dirty logs*: bytes appended to logs and not cut yet. Every cut takes all of them.
 *
 * So a commit never waits for a table, and yet every cut is a state from which LevelDB recovers
 * everything written: logs may run ahead of MANIFEST, because LevelDB replays whatever logs the
 * MANIFEST it finds does not call obsolete, and their removal is in the ordered queue, after the
 * MANIFEST record that makes them obsolete. Bytes of a log that is removed in the same cut stay
 * out.
 *
 * Log bytes become visible to cuts at LevelDB's Flush, which is the end of a log record (or of one
 * physical part of it, which LevelDB's reader leaves out when the rest is missing).
 *
 * Locks: env.lock is a leaf; nobody holds it across I/O or a call into another room.
 */
#ifndef LEVELS3_DB_ENV_H
#define LEVELS3_DB_ENV_H

#include "cache/cache.h"
#include "db/env_shim.h"
#include "db/names.h"
#include "db/record.h"
#include "store/store.h"

/* Finished tables that wait for their upload: beyond this the thread that makes them waits. */
#define ENV_UPLOAD_LIMIT (64 * MIB)
/* Log bytes without any commit: beyond this one is asked for. */
#define ENV_UNCUT_LIMIT (64 * MIB)

struct env_config {
	struct store *forever; /* uploads */
	struct cache *cache;
	struct clock *clock;
	uint64_t epoch;
	bool salvage;  /* fsck: a table's bytes are handed out even if their checksum is wrong */
	bool writable; /* false: nothing is queued or uploaded, tables stay in memory */
	unsigned upload_threads;
	/* Called when ENV_UNCUT_LIMIT is passed; must only wake somebody. */
	void (*on_pressure)(void *ctx);
	void *ctx;
};

struct env_job { /* of LevelDB's background thread */
	struct env_job *next;
	void (*fn)(void *arg);
	void *arg;
};

struct env {
	struct env_config config;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* uploads, failure, closing */
	struct names live;
	struct rec *queue, **queue_end; /* the ordered queue */
	struct rec *queue_last;
	struct vfile *dirty; /* logs with bytes to cut; the list holds references */
	uint64_t uncut_bytes;
	uint64_t upload_bytes; /* tables finished and not uploaded */
	uint64_t tables_made;
	int failed; /* the first fatal error; LevelDB gets it on every write from then on */
	char failed_note[256];
	bool closing;
	bool locked;
	struct pool *uploads;

	pthread_mutex_t jobs_lock;
	pthread_cond_t jobs_changed;
	struct env_job *jobs, **jobs_end;
	pthread_t background;
	bool background_started, background_stop;
	bool background_held; /* read-only: jobs wait until LevelDB is closed */
};

/* Starts with a copy of `start`. */
int db_env_init(struct env *e, const struct env_config *config, const struct names *start);
/* Everything that waits gives up; reads of the background thread no longer retry. Before
 * leveldb_close. */
void db_env_shutdown(struct env *e);
/* After leveldb_close. Waits for uploads under way. */
void db_env_release(struct env *e);

/* The first caller's error stays; the present note goes with it. */
void db_env_fail(struct env *e, int err);
/* 0, or the fatal error with its note. */
int db_env_failed(struct env *e);

/* True if a cut would hold anything. */
bool db_env_is_dirty(struct env *e);
/* Takes what a slot may carry now, in the order in which to apply it. -ENOMEM: nothing was taken.
 */
int db_env_cut(struct env *e, struct rec **ret);
/* Waits until the tables that LevelDB has finished by now are uploaded. */
int db_env_wait_uploads(struct env *e);
uint64_t db_env_uncut_bytes(struct env *e);
uint64_t db_env_upload_bytes(struct env *e);
void db_env_count(struct env *e, uint64_t *ret_tables, uint64_t *ret_table_bytes,
		  uint64_t *ret_log_bytes);
/* Adds every table that the directory or a record on its way to the chain refers to, under the name
 * of its object without TABLE_PREFIX. */
int db_env_table_keys(struct env *e, struct names *ret);

/* The code of this thread's last failed read, which LevelDB only passes on as text; forgets it. */
int db_env_take_thread_error(void);

bool db_name_is_log(const char *name);
/* pthread_create with all signals blocked in the new thread. */
int db_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);

/* ---- between env.c and table.c ---- */

/* Makes the finished table visible, records it and submits its upload. */
int db_env_publish_table(struct env *e, const char *name, struct vfile *f);
/* Reads of tables: from memory, else through the cache, checked. */
int db_table_read(struct env *e, struct vfile *f, uint64_t offset, size_t len, uint8_t *dst);
/* The upload job; takes over the reference. */
int db_table_upload_submit(struct env *e, struct vfile *f);
bool db_env_on_background(struct env *e);
/* Sleeps, but not past shutdown; false then. */
bool db_env_pause(struct env *e, uint64_t ms);
void db_env_set_thread_error(int err);

#endif

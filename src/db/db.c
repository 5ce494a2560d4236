/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing: the chain's state, the fence, LevelDB on our Env. Small calls of the door.
 */
#include "db/internal.h"
#include "db/rescue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DB_NAME "db" /* LevelDB's idea of a folder; only file names matter */
#define BLOOM_BITS 10
/* Each open table keeps its index and filter in memory, some 100 KiB. */
#define MAX_OPEN_TABLES 500
#define READ_TRIES 10

static void set_default(uint64_t *value, uint64_t fallback)
{
	if (*value == 0)
		*value = fallback;
}

static void set_defaults(struct db_config *c)
{
	set_default(&c->write_buffer_bytes, 16 * MIB);
	set_default(&c->block_cache_bytes, 32 * MIB);
	set_default(&c->table_bytes, 4 * MIB);
	set_default(&c->checkpoint_bytes, 64 * MIB);
	if (c->checkpoint_slots == 0)
		c->checkpoint_slots = 128;
	if (c->upload_threads == 0)
		c->upload_threads = 4;
	if (!c->clock)
		c->clock = &clock_system;
}

/* ---- opening ---- */

/* A database is made on purpose only, and only where there is none. */
static int check_state(const struct db_config *c, const struct history *h)
{
	bool exists = db_names_find(&h->names, "CURRENT") != NULL;

	if (c->rescue == DB_RESCUE_FILES)
		return 0;
	if (c->create && exists)
		return err_note(-EEXIST, "the chain holds a database already");
	if (c->create || exists)
		return 0;
	if (h->slot == 0)
		return err_note(-L3_CORRUPT, SLOT_PREFIX " and " CHECKPOINT_PREFIX " are empty");
	return err_note(-L3_CORRUPT, "the chain holds no database (no CURRENT up to slot %llu)",
			(unsigned long long)h->slot);
}

static uint64_t newest(const struct checkpoint_list *l)
{
	return l->count ? l->slots[l->count - 1] : 0;
}

/* Who only reads makes sure here that it was the history; a writer does when it has its fence. */
static int read_history(struct db *db, const struct load_config *lc)
{
	struct history *h = &db->chain.history;
	struct checkpoint_list *l = &db->keeper.checkpoints;
	int err = -EAGAIN;

	for (int i = 0; i < READ_TRIES && err == -EAGAIN; i++) {
		db_checkpoint_list_release(l);
		err = db_load_history(lc, h, l);
		if (!err && !db_is_writable(db) && h->slot > newest(l))
			err = db_load_confirm(lc, newest(l));
	}
	return err;
}

static int load(struct db *db)
{
	struct chain *c = &db->chain;
	struct load_config lc = { .store = db->config.store,
				  .fs = db->config.fs,
				  .notifier = db->config.notifier };
	uint64_t from;
	int err = db->config.rescue ? db_rescue_history(&lc, &c->history, &db->keeper.checkpoints,
							&db->config)
				    : read_history(db, &lc);

	if (err)
		return err;
	from = db->config.rescue ? c->history.slot : newest(&db->keeper.checkpoints);
	c->slots_since = c->history.slot - from;
	if (db->config.rescue)
		from = max_u64(from, db->config.rescued->newest);
	err = check_state(&db->config, &c->history);
	if (!err && db_is_writable(db))
		err = db_chain_fence(c, &lc, from);
	db_history_measure(&c->history);
	db->parts_unseen = c->history.parts != NULL;
	return err;
}

static int start_env(struct db *db)
{
	struct env_config ec = {
		.forever = db->config.forever,
		.cache = db->config.cache,
		.clock = db->config.clock,
		.epoch = db->chain.epoch,
		.writable = db_is_writable(db),
		.salvage = db->config.rescue == DB_RESCUE_FILES,
		.upload_threads = db->config.upload_threads,
		.on_pressure = db_keeper_kick,
		.ctx = db,
	};

	return db_env_init(&db->env, &ec, &db->chain.history.names);
}

static int set_options(struct db *db)
{
	leveldb_options_t *o = leveldb_options_create();
	const struct db_config *c = &db->config;

	db->options = o;
	db->shim = env_shim_new(&db->env);
	db->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
	db->block_cache = leveldb_cache_create_lru(c->block_cache_bytes);
	if (!db->shim || !db->filter || !db->block_cache)
		return err_note(-ENOMEM, "no memory for LevelDB");
	leveldb_options_set_env(o, db->shim);
	leveldb_options_set_create_if_missing(o, c->create);
	leveldb_options_set_error_if_exists(o, c->create);
	/* Logs end at whole records or whole parts of records here, so anything else found in one
	 * is damage, and compaction must not copy damage into new tables. */
	leveldb_options_set_paranoid_checks(o, 1);
	leveldb_options_set_filter_policy(o, db->filter);
	leveldb_options_set_cache(o, db->block_cache);
	leveldb_options_set_compression(o, leveldb_snappy_compression);
	leveldb_options_set_write_buffer_size(o, c->write_buffer_bytes);
	leveldb_options_set_max_file_size(o, c->table_bytes);
	leveldb_options_set_max_open_files(o, MAX_OPEN_TABLES);
	db->read = leveldb_readoptions_create();
	leveldb_readoptions_set_verify_checksums(db->read, 1);
	db->scan = leveldb_readoptions_create();
	leveldb_readoptions_set_verify_checksums(db->scan, 1);
	leveldb_readoptions_set_fill_cache(db->scan, 0);
	db->write = leveldb_writeoptions_create();
	return 0;
}

static int repair_files(struct db *db)
{
	char *text = NULL;

	if (db_names_count(&db->env.live) == 0) {
		leveldb_options_set_create_if_missing(db->options, 1);
		return 0;
	}
	leveldb_repair_db(db->options, DB_NAME, &text);
	return text ? err_wrap(db_error(db, text), "LevelDB cannot repair its files") : 0;
}

static int open_leveldb(struct db *db)
{
	char *text = NULL;
	int err = set_options(db);

	(void)db_env_take_thread_error();
	if (!err && db->config.rescue == DB_RESCUE_FILES)
		err = repair_files(db);
	if (err)
		return err;
	db->handle = leveldb_open(db->options, DB_NAME, &text);
	if (text) {
		db->handle = NULL;
		return err_wrap(db_error(db, text), "LevelDB does not open");
	}
	/* Repaired tables all lie on level 0 in the order of their numbers, where a look-up would take
	 * the first it finds; merged they are in the order in which they were written. */
	if (db->config.rescue == DB_RESCUE_FILES)
		leveldb_compact_range(db->handle, NULL, 0, NULL, 0);
	return 0;
}

static void init(struct db *db, const struct db_config *config)
{
	struct gc_config gc;

	db->config = *config;
	set_defaults(&db->config);
	gc = (struct gc_config){ .store = db->config.store,
				 .cache = db->config.cache,
				 .clock = db->config.clock,
				 .grace_ms = db->config.grace_ms };
	db_gc_init(&db->gc, &gc);
	db_chain_init(&db->chain, &db->config, &db->env, &db->gc);
	db->chain.on_durable = db_keeper_kick;
	db->chain.ctx = db;
	db_keeper_init(db);
}

static void release(struct db *db)
{
	db_keeper_release(db);
	db_chain_release(&db->chain);
	db_gc_release(&db->gc);
	free(db);
}

static void stop(struct db *db)
{
	db_keeper_stop(db);
	db_chain_stop(&db->chain);
	db_env_shutdown(&db->env);
	if (db->handle)
		leveldb_close(db->handle);
	if (db->options)
		leveldb_options_destroy(db->options);
	if (db->read)
		leveldb_readoptions_destroy(db->read);
	if (db->scan)
		leveldb_readoptions_destroy(db->scan);
	if (db->write)
		leveldb_writeoptions_destroy(db->write);
	if (db->block_cache)
		leveldb_cache_destroy(db->block_cache);
	if (db->filter)
		leveldb_filterpolicy_destroy(db->filter);
	env_shim_free(db->shim);
	db_env_release(&db->env);
}

int db_open(const struct db_config *config, struct db **ret)
{
	struct db *db = calloc(1, sizeof(*db));
	int err;

	if (!db)
		return err_note(-ENOMEM, "no memory for a database");
	init(db, config);
	err = load(db);
	if (!err)
		err = start_env(db);
	if (err) {
		release(db);
		return err;
	}
	err = open_leveldb(db);
	if (!err && db_is_writable(db))
		err = db_keeper_start(db);
	if (err) {
		err = lease_explain(db->config.lease, err);
		db_close(db);
		return err;
	}
	*ret = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	stop(db);
	release(db);
}

void db_cancel(struct db *db)
{
	db_chain_fail(&db->chain, err_note(-ECANCELED, "the database is being shut down by force"));
	if (db->config.lease)
		lease_cancel(db->config.lease);
}

/* ---- parts ---- */

/* Was the beginning of this part's object among the parts before it? */
static bool has_beginning(const struct kept_part *all, const struct kept_part *part)
{
	for (const struct kept_part *p = all; p; p = p->next) {
		if (p->id == part->id && p->offset == 0)
			return true;
		if (p == part)
			return false;
	}
	return false;
}

int db_recovered_parts(struct db *db, db_part_fn fn, void *ctx)
{
	struct chain *c = &db->chain;
	int err = 0;

	/* Nobody else touches the list before parts_unseen is false. */
	for (struct kept_part *p = c->history.parts; p && !err; p = p->next)
		if (has_beginning(c->history.parts, p))
			err = fn(ctx, p->id, p->offset, p->bytes, p->len);
	if (err)
		return err;
	pthread_mutex_lock(&c->lock);
	db_history_drop_parts(&c->history);
	db->parts_unseen = false;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

/* ---- commits ---- */

static int check_writable(struct db *db)
{
	return db_is_writable(db) ? 0 : err_note(-EROFS, "the database was opened to read only");
}

int db_commit(struct db *db)
{
	int err = check_writable(db);

	if (err)
		return err;
	db_keeper_activate(db);
	return db_chain_commit(&db->chain);
}

void db_commit_then(struct db *db, void (*then)(void *arg, int err), void *arg)
{
	int err = check_writable(db);

	if (err) {
		then(arg, err);
		return;
	}
	db_keeper_activate(db);
	db_chain_commit_then(&db->chain, then, arg);
}

int db_checkpoint(struct db *db)
{
	int err = db_commit(db);

	if (!err)
		err = db_env_wait_uploads(&db->env);
	if (!err)
		err = db_chain_commit(&db->chain);
	if (!err)
		err = db_keeper_checkpoint(db);
	if (!err)
		db_gc_run(&db->gc);
	return err;
}

bool db_is_dirty(struct db *db)
{
	return db_is_writable(db) && db_env_is_dirty(&db->env);
}

int db_discard(struct db *db, const char *key, uint64_t bytes)
{
	int err = check_writable(db);
	uint64_t cut;

	if (err)
		return err;
	cut = db_chain_cut_needed(&db->chain);
	err = db_gc_add(&db->gc, key, bytes, cut);
	if (err > 0 && db_chain_cut_is_durable(&db->chain, cut))
		db_gc_settle(&db->gc, cut);
	return err < 0 ? err : 0;
}

void db_trash(struct db *db, struct db_trash *ret)
{
	db_gc_counts(&db->gc, ret);
}

int db_collect(struct db *db, struct db_trash *ret)
{
	int err = check_writable(db);

	if (!err && lease_lost(db->config.lease))
		err = err_note(-L3_FENCED, "a newer mount owns the filesystem");
	if (!err && lease_valid(db->config.lease))
		db_gc_run(&db->gc);
	db_gc_counts(&db->gc, ret);
	return err;
}

/* ---- the rest of the door ---- */

uint64_t db_next_cut(struct db *db)
{
	return db_chain_next_cut(&db->chain);
}

bool db_cut_is_durable(struct db *db, uint64_t cut)
{
	return db_chain_cut_is_durable(&db->chain, cut);
}

int db_failed(struct db *db)
{
	return __atomic_load_n(&db->env.failed, __ATOMIC_ACQUIRE);
}

leveldb_t *db_handle(struct db *db)
{
	return db->handle;
}

const leveldb_readoptions_t *db_read_options(struct db *db)
{
	return db->read;
}

const leveldb_readoptions_t *db_scan_options(struct db *db)
{
	return db->scan;
}

const leveldb_writeoptions_t *db_write_options(struct db *db)
{
	return db->write;
}

uint64_t db_epoch(const struct db *db)
{
	return db->chain.epoch;
}

/* LevelDB keeps only text; the code is known if the failure was this thread's, or if it is final.
 */
int db_error(struct db *db, char *leveldb_err)
{
	int err = db_env_take_thread_error();
	int failed = db_chain_failed(&db->chain);

	if (failed)
		err = failed;
	else if (strncmp(leveldb_err, "Corruption", strlen("Corruption")) == 0)
		err = -L3_CORRUPT;
	else if (!err)
		err = db_env_failed(&db->env);
	err = err_note(err ? err : -EIO, "%s", leveldb_err);
	leveldb_free(leveldb_err);
	return err;
}

int db_each_table(struct db *db, int (*fn)(void *ctx, const char *key, uint64_t size_bytes),
		  void *ctx)
{
	struct checkpoint state CLEANUP(db_checkpoint_release) = { 0 };
	int err;

	pthread_mutex_lock(&db->chain.lock);
	err = db_checkpoint_take(&db->chain.history, &state);
	pthread_mutex_unlock(&db->chain.lock);
	for (size_t i = 0; i < state.file_count && !err; i++) {
		const struct table *t = state.files[i].file->table;

		if (t)
			err = fn(ctx, t->key, t->size);
	}
	return err;
}

void db_stats(struct db *db, struct db_stats *ret)
{
	struct chain *c = &db->chain;
	struct keeper *k = &db->keeper;
	struct db_trash trash;

	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&c->lock);
	ret->epoch = c->history.epoch;
	ret->slot = c->history.slot;
	ret->commits = c->commits;
	ret->commit_ns = c->commit_ns;
	ret->commit_waiters = c->waiting;
	ret->fenced = c->failed == -L3_FENCED;
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_lock(&k->lock);
	if (k->checkpoints.count)
		ret->checkpoint_slot = k->checkpoints.slots[k->checkpoints.count - 1];
	pthread_mutex_unlock(&k->lock);
	ret->pending_bytes = db_env_uncut_bytes(&db->env);
	ret->upload_bytes = db_env_upload_bytes(&db->env);
	db_env_count(&db->env, &ret->tables, &ret->table_bytes, &ret->log_bytes);
	db_gc_counts(&db->gc, &trash);
	ret->discards_waiting = trash.waiting;
}

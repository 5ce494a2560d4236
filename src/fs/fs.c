/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing a filesystem: puts store, cache, lease, db and data together and takes them apart
 * in the other order. Memory is shared out here (struct memory_plan).
 */
#include "fs/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MAX_DELAY_MS 10000
#define FOREVER_MAX_DELAY_MS 15000
#define EMBED_BYTES (512 * KIB) /* a commit carries up to this much file data itself */
#define UPLOAD_THREADS 4
#define READ_THREADS 8

/* How mem_limit is divided. Dirty bytes and segments under way get what the fixed parts leave. */
struct memory_plan {
	uint64_t write_buffer, block_cache, cache, budget;
};

static struct memory_plan plan_memory(uint64_t limit)
{
	struct memory_plan p = {
		.write_buffer = max_u64(min_u64(limit / 32, 16 * MIB), 1 * MIB),
		.block_cache = max_u64(min_u64(limit / 10, 64 * MIB), 2 * MIB),
		.cache = max_u64(min_u64(limit / 8, 64 * MIB), 2 * MIB),
	};
	/* LevelDB may hold two write buffers, and the Env the log bytes of both. */
	uint64_t fixed = 4 * p.write_buffer + p.block_cache + p.cache;

	p.budget = max_u64(limit > fixed ? (limit - fixed) / 2 : 0, 8 * MIB);
	return p;
}

static uint64_t or_default(uint64_t v, uint64_t fallback)
{
	return v ? v : fallback;
}

/* ---- configuration ---- */

static void drop_config(struct fs_config *c)
{
	free(c->cache_dir);
	free((char *)c->store.endpoint);
	free((char *)c->store.region);
	free((char *)c->store.profile);
	free((char *)c->store.passwd_file);
	free((char *)c->store.sse);
	free((char *)c->store.sse_kms_key);
	free((char *)c->store.sse_c_key_file);
	free((char *)c->store.storage_class);
	free((char *)c->store.acl);
	free((char *)c->store.tags);
	free((char *)c->store.ca_file);
	free((char *)c->mountpoint);
}

static int dup_string(const char **field)
{
	char *copy;

	if (!*field)
		return 0;
	copy = strdup(*field);
	*field = copy;
	return copy ? 0 : -ENOMEM;
}

/* The caller's config may go away after fs_open. */
static int copy_config(struct fs_config *to, const struct fs_config *from)
{
	int failed = 0;

	*to = *from;
	memset(to->owned, 0, sizeof(to->owned));
	failed |= dup_string((const char **)&to->cache_dir);
	failed |= dup_string(&to->store.endpoint);
	failed |= dup_string(&to->store.region);
	failed |= dup_string(&to->store.profile);
	failed |= dup_string(&to->store.passwd_file);
	failed |= dup_string(&to->store.sse);
	failed |= dup_string(&to->store.sse_kms_key);
	failed |= dup_string(&to->store.sse_c_key_file);
	failed |= dup_string(&to->store.storage_class);
	failed |= dup_string(&to->store.acl);
	failed |= dup_string(&to->store.tags);
	failed |= dup_string(&to->store.ca_file);
	failed |= dup_string(&to->mountpoint);
	if (!to->clock)
		to->clock = &clock_system;
	return failed ? -ENOMEM : 0;
}

/* ---- stores ---- */

int fs_open_stores(struct fs *fs, const char *url)
{
	struct store_retry_config retry = {
		.attempts = fs->config.retry,
		.base_delay_ms = or_default(fs->config.retry_delay_ms, 100),
		.max_delay_ms = RETRY_MAX_DELAY_MS,
		.clock = fs->clock,
	};
	int err;

	if (fs->config.store_override)
		fs->base = store_ref(fs->config.store_override);
	else if ((err = store_open(url, &fs->config.store, &fs->base)) < 0)
		return err;
	err = store_wrap_trace(fs->base, fs->config.on_request, fs->config.ctx, &fs->trace);
	if (err < 0)
		return err;
	err = store_wrap_retry(fs->trace, &retry, &fs->store);
	if (err < 0)
		return err;
	retry.attempts = 0;
	retry.max_delay_ms = FOREVER_MAX_DELAY_MS;
	retry.notifier = fs->notifier;
	return store_wrap_retry(fs->trace, &retry, &fs->forever);
}

static void close_stores(struct fs *fs)
{
	store_unref(fs->forever);
	store_unref(fs->store);
	store_unref(fs->trace);
	store_unref(fs->base);
}

/* ---- fencing and trouble ---- */

static void on_notice(void *ctx, enum log_level level, const char *text)
{
	struct fs *fs = ctx;

	if (level <= LOG_L_WARN) {
		pthread_mutex_lock(&fs->error_lock);
		snprintf(fs->last_error, sizeof(fs->last_error), "%s", text);
		pthread_mutex_unlock(&fs->error_lock);
	}
	if (fs->config.notifier.fn)
		fs->config.notifier.fn(fs->config.notifier.ctx, level, text);
}

static void on_lease_lost(void *ctx)
{
	struct fs *fs = ctx;
	int none = 0;

	if (!__atomic_compare_exchange_n(&fs->fenced, &none, -L3_FENCED, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	notify(&fs->notifier, LOG_L_ERROR,
	       "fenced: another mount has taken this filesystem over; what was not acknowledged is "
	       "lost, and writes fail with EIO until it is mounted again");
	if (fs->config.on_fenced)
		fs->config.on_fenced(fs->config.ctx);
}

/* ---- opening ---- */

int fs_new(const struct fs_config *config, struct fs **ret)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	pthread_rwlockattr_t prefer_writers;

	if (!fs)
		return -ENOMEM;
	pthread_rwlockattr_init(&prefer_writers);
	pthread_rwlockattr_setkind_np(&prefer_writers,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fs->seal, &prefer_writers);
	pthread_rwlockattr_destroy(&prefer_writers);
	pthread_mutex_init(&fs->ns_lock, NULL);
	pthread_mutex_init(&fs->icache_lock, NULL);
	pthread_mutex_init(&fs->totals_lock, NULL);
	pthread_mutex_init(&fs->dirty_lock, NULL);
	pthread_mutex_init(&fs->error_lock, NULL);
	pthread_mutex_init(&fs->lag_lock, NULL);
	pthread_mutex_init(&fs->spare_lock, NULL);
	fs->notifier = (struct notifier){ on_notice, fs };
	fs->icache_max_unused = 65536;
	fs->reap_without_forget = true;
	if (copy_config(&fs->config, config) < 0) {
		drop_config(&fs->config);
		free(fs);
		return -ENOMEM;
	}
	fs->read_only = fs->config.read_only;
	fs->clock = fs->config.clock;
	budget_init(&fs->budget,
		    plan_memory(or_default(fs->config.mem_limit_bytes, 512 * MIB)).budget);
	*ret = fs;
	return 0;
}

static int on_lease_wait(void *ctx, const struct lease_holder *holder, uint64_t waited_ms)
{
	struct fs *fs = ctx;

	return fs->config.on_wait ? fs->config.on_wait(fs->config.ctx, holder, waited_ms) : 0;
}

int fs_take_lease(struct fs *fs, const char *holder, bool create)
{
	struct lease_config config = {
		.store = fs->store,
		.fs = fs->super.uuid,
		.mountpoint = fs->config.mountpoint ? fs->config.mountpoint : holder,
		.duration_ms = or_default(fs->config.lease_ms, 30000),
		.renew_ms = or_default(fs->config.renew_ms, 10000),
		.wait_ms = fs->config.lease_wait_ms,
		.create = create,
		.time_only = fs->config.lease_only,
		.clock = fs->clock,
		.notifier = fs->notifier,
		.on_wait = on_lease_wait,
		.on_lost = on_lease_lost,
		.ctx = fs,
	};

	return lease_acquire(&config, &fs->lease, NULL);
}

/* NULL: memory only. */
static const char *cache_dir(const struct fs *fs)
{
	const char *dir = fs->config.cache_dir;

	return dir && strcmp(dir, "none") != 0 ? dir : NULL;
}

uint64_t fs_cache_bytes(const struct fs *fs)
{
	struct cache_stats stats;

	cache_stats(fs->cache, &stats);
	if (stats.limit_disk)
		return stats.limit_disk;
	return plan_memory(or_default(fs->config.mem_limit_bytes, 512 * MIB)).cache;
}

static int open_cache(struct fs *fs)
{
	struct cache_config config = {
		.store = fs->store,
		.dir = cache_dir(fs),
		.fs = fs->super.uuid,
		.disk_bytes = fs->config.cache_size_bytes,
		.disk_percent = (unsigned)or_default(fs->config.cache_size_percent, FS_CACHE_PERCENT),
		.mem_bytes = plan_memory(or_default(fs->config.mem_limit_bytes, 512 * MIB)).cache,
		.notifier = fs->notifier,
	};

	/* Half of what the cache has memory for: what came ahead must not push out what has not been read. */
	fs->ahead_bytes = config.mem_bytes / 2;
	return cache_open(&config, &fs->cache);
}

static int open_db(struct fs *fs, bool create)
{
	struct memory_plan plan = plan_memory(or_default(fs->config.mem_limit_bytes, 512 * MIB));
	struct db_config config = {
		.store = fs->store,
		.forever = fs->forever,
		.cache = fs->cache,
		.lease = fs->lease,
		.fs = fs->super.uuid,
		.create = create,
		.write_buffer_bytes = plan.write_buffer,
		.block_cache_bytes = plan.block_cache,
		.grace_ms = fs->config.grace_ms,
		.clock = fs->clock,
		.notifier = fs->notifier,
		.rescue = fs->rescue,
		.rescued = &fs->rescued,
		.used_epoch = fs->used_epoch,
		.hooks = { .before_seal = txn_hook_before_seal,
			   .after_seal = txn_hook_after_seal,
			   .sent = txn_hook_sent,
			   .before_checkpoint = txn_hook_before_checkpoint,
			   .ctx = fs },
	};

	return db_open(&config, &fs->db);
}

static int open_data(struct fs *fs)
{
	struct data_config config = {
		.forever = fs->forever,
		.cache = fs->cache,
		.fs = fs->super.uuid,
		.epoch = fs->read_only ? 0 : db_epoch(fs->db),
		.segment_bytes = or_default(fs->config.segment_bytes, 16 * MIB),
		.embed_bytes = EMBED_BYTES,
		.upload_threads = UPLOAD_THREADS,
		.read_threads = READ_THREADS,
		.compress = fs->config.compress,
		.budget = &fs->budget,
		.clock = fs->clock,
		.on_durable = flush_segment_durable,
		.ctx = fs,
	};

	return data_open(&config, &fs->data);
}

int fs_load_totals(struct fs *fs)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;
	int err;

	key_totals(&k);
	err = db_value(fs, &k, &value);
	if (err == -ENOENT)
		return err_note(-L3_CORRUPT,
				"the database has no totals record: this is no levels3 filesystem, "
				"or its newest part is lost");
	if (err < 0)
		return err;
	return totals_decode(value.data, value.len, &fs->totals);
}

int fs_probe(struct fs *fs, const struct buf *super_bytes)
{
	int err;

	if (fs->read_only)
		return 0;
	err = lease_probe(fs->store, SUPER_KEY, super_bytes->data, super_bytes->len, fs->super.etag);
	if (err == -L3_NO_CONDITION && fs->config.lease_only) {
		notify(&fs->notifier, LOG_L_WARN,
		       "%s: only the lease's time guards this filesystem against a second writer "
		       "(lease_only)",
		       err_last_note());
		return 0;
	}
	if (err == -L3_NO_CONDITION)
		return err_wrap(err, "not mounted (-o lease_only accepts a weaker guard by time)");
	return err;
}

int fs_open_database(struct fs *fs, bool create)
{
	int err = open_cache(fs);

	if (err >= 0)
		err = pool_new("fs-worker", 2, &fs->workers);
	if (err >= 0)
		err = open_db(fs, create);
	if (err >= 0)
		err = open_data(fs);
	return err < 0 ? err : 0;
}

int fs_open_rooms(struct fs *fs, const char *holder, bool create, const struct buf *super_bytes)
{
	int err = fs_probe(fs, super_bytes);

	if (err >= 0 && !fs->read_only)
		err = fs_take_lease(fs, holder, create);
	return err < 0 ? err : fs_open_database(fs, create);
}

static void free_inodes(struct fs *fs)
{
	struct inode *i, *next;

	HASH_ITER (hh, fs->icache, i, next)
		inode_discard(fs, i);
}

void fs_close_database(struct fs *fs)
{
	struct seg *s, *next;

	clean_stop(fs);
	orphan_stop(fs);
	flush_stop(fs);
	if (fs->data)
		data_cancel(fs->data);
	db_close(fs->db); /* its commits and checkpoints use data */
	data_close(fs->data);
	flush_free(fs);
	pool_free(fs->workers);
	cache_close(fs->cache);
	free_inodes(fs);
	dirty_spares_drop(fs);
	HASH_ITER (hh, fs->segs, s, next) {
		HASH_DEL(fs->segs, s);
		free(s);
	}
	fs->dirty_segs = NULL;
	fs->db = NULL;
	fs->data = NULL;
	fs->workers = NULL;
	fs->cache = NULL;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	fs_close_database(fs);
	lease_free(fs->lease);
	close_stores(fs);
	budget_release(&fs->budget);
	pthread_rwlock_destroy(&fs->seal);
	pthread_mutex_destroy(&fs->ns_lock);
	pthread_mutex_destroy(&fs->icache_lock);
	pthread_mutex_destroy(&fs->totals_lock);
	pthread_mutex_destroy(&fs->dirty_lock);
	pthread_mutex_destroy(&fs->error_lock);
	pthread_mutex_destroy(&fs->lag_lock);
	pthread_mutex_destroy(&fs->spare_lock);
	drop_config(&fs->config);
	free(fs);
}

static int start_threads(struct fs *fs)
{
	int err = 0;

	if (fs->read_only)
		return 0;
	err = flush_start(fs);
	if (err >= 0)
		err = orphan_start(fs);
	if (err >= 0)
		err = clean_start(fs);
	return err < 0 ? err : 0;
}

/* Everything after the super is known. */
static int open_existing(struct fs *fs, const struct buf *super_bytes)
{
	struct recovery r = { .fs = fs };
	struct fs_attr root;
	int err = fs_open_rooms(fs, "(no mountpoint)", false, super_bytes);

	if (err >= 0 && !fs->read_only)
		err = super_require(fs->store, &fs->super, SUPER_INCOMPAT_RANGES);
	if (err >= 0)
		err = recover_parts(&r);
	if (err >= 0)
		err = fs_load_totals(fs);
	if (err >= 0 && fs->read_only)
		fs->any_shift = shift_any(fs);
	if (err >= 0)
		err = fs_getattr(fs, FS_ROOT_INO, &root);
	if (err == -ENOENT)
		err = err_note(-L3_CORRUPT, "the database has no root folder");
	if (err >= 0 && fs->lease)
		err = lease_start(fs->lease);
	if (err >= 0)
		err = recover_note(&r);
	if (err >= 0)
		err = start_threads(fs);
	if (err >= 0)
		err = recover_finish(&r);
	recover_release(&r);
	return err < 0 ? lease_explain(fs->lease, err) : 0;
}

void fs_give_up(struct fs *fs)
{
	struct buf note CLEANUP(buf_release) = BUF_INIT;

	buf_add_str(&note, err_last_note());
	if (fs->lease)
		(void)lease_release(fs->lease);
	store_cancel(fs->forever);
	fs_free(fs);
	(void)err_note(0, "%s", buf_cstr(&note));
}

static bool prefix_is_empty(int err)
{
	return err == -L3_NOT_LEVELS3;
}

int fs_open(const char *url, const struct fs_config *config, struct fs **ret)
{
	struct buf super_bytes CLEANUP(buf_release) = BUF_INIT;
	struct fs *fs = NULL;
	int err = fs_config_check(config);

	if (err < 0)
		return err;
	err = fs_new(config, &fs);
	if (err < 0)
		return err;
	err = fs_open_stores(fs, url);
	if (err >= 0)
		err = cache_check_dir(cache_dir(fs)); /* before anything is written to the store */
	if (err >= 0)
		err = super_read(fs->store, !fs->read_only, &fs->super, &super_bytes);
	if (prefix_is_empty(err) && config->create && !fs->read_only) {
		err = fs_format(url, config);
		if (err >= 0)
			err = super_read(fs->store, true, &fs->super, &super_bytes);
	}
	if (err >= 0 && fs->super.kind != SUPER_KIND_FS)
		err = err_note(-L3_NOT_LEVELS3,
			       "%s holds a plain LevelDB database, not a filesystem", url);
	if (err >= 0 && fs->super.state != SUPER_READY)
		err = err_note(-L3_NOT_LEVELS3,
			       "making the filesystem in %s was interrupted; finish it with: "
			       "levels3fs mkfs %s",
			       url, url);
	if (err >= 0)
		err = open_existing(fs, &super_bytes);
	if (err < 0) {
		fs_give_up(fs);
		return err;
	}
	*ret = fs;
	return 0;
}

/* ---- closing ---- */

struct drain { /* tells the owner how far the last flush is, while another thread does it */
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool finished;
	int result;
	char note[512];
};

static void *drain_thread(void *arg)
{
	struct drain *d = arg;
	int err = fs_sync(d->fs);

	if (err >= 0)
		err = db_checkpoint(d->fs->db);
	pthread_mutex_lock(&d->lock);
	d->result = err;
	(void)snprintf(d->note, sizeof(d->note), "%s", err < 0 ? err_last_note() : "");
	d->finished = true;
	pthread_cond_signal(&d->done);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static int drain(struct fs *fs, void (*progress)(void *ctx, uint64_t bytes_left), void *ctx)
{
	struct drain d = { .fs = fs, .lock = PTHREAD_MUTEX_INITIALIZER };
	int err;

	cond_init(&d.done);
	err = pthread_create(&d.thread, NULL, drain_thread, &d);
	if (err) {
		(void)drain_thread(&d); /* without progress, then */
	} else {
		pthread_mutex_lock(&d.lock);
		while (!d.finished) {
			if (cond_wait_ms(&d.done, &d.lock, 500) || !progress)
				continue;
			pthread_mutex_unlock(&d.lock);
			progress(ctx, budget_used(&fs->budget));
			pthread_mutex_lock(&d.lock);
		}
		pthread_mutex_unlock(&d.lock);
		pthread_join(d.thread, NULL);
	}
	pthread_cond_destroy(&d.done);
	if (d.result < 0)
		(void)err_note(d.result, "not everything could be stored: %s",
			       d.note[0] ? d.note : err_text(d.result));
	return d.result < 0 ? d.result : 0;
}

int fs_close(struct fs *fs, void (*progress)(void *ctx, uint64_t bytes_left), void *ctx)
{
	char note[512] = "";
	int err = 0;

	if (!fs)
		return 0;
	if (!fs->read_only) {
		clean_stop(fs);
		err = drain(fs, progress, ctx);
		orphan_stop(fs); /* not before: flushing may wait for a trim */
		flush_stop(fs);
		if (err >= 0)
			err = lease_release(fs->lease);
		if (err < 0)
			(void)snprintf(note, sizeof(note), "%s", err_last_note());
	}
	store_cancel(fs->forever);
	fs_free(fs);
	return err < 0 ? err_note(err, "%s", note) : 0;
}

void fs_abort(struct fs *fs)
{
	int none = 0;

	(void)__atomic_compare_exchange_n(&fs->fenced, &none, -ECANCELED, false, __ATOMIC_SEQ_CST,
					  __ATOMIC_SEQ_CST);
	if (fs->db)
		db_cancel(fs->db);
	if (fs->data)
		data_cancel(fs->data);
	if (fs->lease)
		lease_cancel(fs->lease);
	store_cancel(fs->forever);
	store_cancel(fs->store);
	store_cancel(fs->base);
}

void fs_crash(struct fs *fs)
{
	if (!fs)
		return;
	fs_abort(fs);
	fs_free(fs);
}

/* ---- the whole ---- */

#define STATFS_TOTAL_BYTES                                                                         \
	((uint64_t)1 << 50) /* a bucket has no end; this much is free beyond what is used */
#define STATFS_TOTAL_INODES ((uint64_t)1 << 40)

/* The limit, or without one so much more; never less than what there is. */
static uint64_t limit_or(uint64_t limit, uint64_t used, uint64_t more)
{
	return limit ? max_u64(limit, used) : used + more;
}

int fs_statfs(struct fs *fs, struct fs_statfs *ret)
{
	pthread_mutex_lock(&fs->totals_lock);
	*ret = (struct fs_statfs){ .used_bytes = fs->totals.used_bytes + fs->reserved,
				   .inodes_used = fs->totals.inodes,
				   .block_bytes = FS_BLOCK_BYTES };
	pthread_mutex_unlock(&fs->totals_lock);
	ret->total_bytes =
		limit_or(fs->config.size_limit_bytes, ret->used_bytes, STATFS_TOTAL_BYTES);
	ret->inodes_total = limit_or(fs->config.inode_limit, ret->inodes_used, STATFS_TOTAL_INODES);
	return 0;
}

static int64_t max_i64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void fs_status(struct fs *fs, struct fs_status *ret)
{
	struct db_stats db;
	int64_t since_ns;

	*ret = (struct fs_status){ .read_only = fs->read_only,
				   .dirty_bytes = budget_used(&fs->budget) };
	db_stats(fs->db, &db);
	ret->epoch = db.epoch;
	ret->slot = db.slot;
	ret->commits = db.commits;
	ret->commit_ns = db.commit_ns;
	ret->discards_waiting = db.discards_waiting;
	ret->bytes_read = __atomic_load_n(&fs->bytes_read, __ATOMIC_RELAXED);
	ret->bytes_written = __atomic_load_n(&fs->bytes_written, __ATOMIC_RELAXED);
	since_ns = lag_since_ns(fs);
	if (since_ns)
		ret->lag_ms = (uint64_t)max_i64(fs_now_ns(fs) - since_ns, 0) / 1000000;
	cache_stats(fs->cache, &ret->cache);
	ret->fenced = db.fenced || __atomic_load_n(&fs->fenced, __ATOMIC_SEQ_CST) == -L3_FENCED;
	store_trace_counts(fs->trace, &ret->requests);
	pthread_mutex_lock(&fs->icache_lock);
	ret->inodes_cached = HASH_COUNT(fs->icache);
	pthread_mutex_unlock(&fs->icache_lock);
	pthread_mutex_lock(&fs->error_lock);
	memcpy(ret->last_error, fs->last_error, sizeof(ret->last_error));
	pthread_mutex_unlock(&fs->error_lock);
}

const struct uuid *fs_uuid(const struct fs *fs)
{
	return &fs->super.uuid;
}

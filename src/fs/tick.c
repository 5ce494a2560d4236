/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tick: when flushing happens: the dirty list, the commit ticker, what durable segments set off,
 * and pressure on memory.
 *
 * The ticker alone commits in the background, every commit_ms and only if there is something. An
 * idle mount sends nothing. Jobs of the worker pool never wait for the network.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define DEFAULT_COMMIT_MS 5000

/* ---- the dirty list ---- */

void inode_mark_dirty(struct fs *fs, struct inode *i)
{
	if (i->on_dirty_list)
		return;
	(void)inode_ref(fs, i);
	i->on_dirty_list = true;
	pthread_mutex_lock(&fs->dirty_lock);
	DL_APPEND2(fs->dirty_inodes, i, dirty_prev, dirty_next);
	pthread_mutex_unlock(&fs->dirty_lock);
}

void flush_unlist(struct fs *fs, struct inode *i)
{
	if (!i->on_dirty_list)
		return;
	if (i->gone) {
		dirty_drop(fs, i);
		i->attr_dirty = false;
	}
	if (inode_has_dirty(i) || i->attr_dirty)
		return;
	i->on_dirty_list = false;
	pthread_mutex_lock(&fs->dirty_lock);
	DL_DELETE2(fs->dirty_inodes, i, dirty_prev, dirty_next);
	pthread_mutex_unlock(&fs->dirty_lock);
	inode_put(fs, i);
}

/* Everybody on the list, referenced. */
static int collect(struct fs *fs, struct inode ***ret, size_t *ret_count)
{
	struct inode *i, **all;
	size_t count = 0;

	pthread_mutex_lock(&fs->dirty_lock);
	DL_COUNT2(fs->dirty_inodes, i, count, dirty_next);
	all = calloc(count + 1, sizeof(*all));
	if (all) {
		count = 0;
		DL_FOREACH2(fs->dirty_inodes, i, dirty_next)
		all[count++] = inode_ref(fs, i);
	}
	pthread_mutex_unlock(&fs->dirty_lock);
	if (!all)
		return -ENOMEM;
	*ret = all;
	*ret_count = count;
	return 0;
}

/* Calls fn for every dirty inode, locked; goes on after failures and returns the first. */
static int each_dirty(struct fs *fs, int (*fn)(struct fs *fs, struct inode *i))
{
	struct inode **all;
	size_t count;
	int first = collect(fs, &all, &count);

	if (first < 0)
		return first;
	for (size_t n = 0; n < count; n++) {
		int err;

		flush_warm(fs, all[n]);
		pthread_mutex_lock(&all[n]->lock);
		err = fn(fs, all[n]);
		flush_unlist(fs, all[n]);
		pthread_mutex_unlock(&all[n]->lock);
		inode_put(fs, all[n]);
		if (err < 0 && first == 0)
			first = err;
	}
	free(all);
	return first;
}

int flush_all(struct fs *fs, bool force)
{
	lazy_release(fs, force);
	return each_dirty(fs, force ? flush_inode : flush_gently);
}

static bool anything_dirty(struct fs *fs)
{
	bool listed;

	pthread_mutex_lock(&fs->dirty_lock);
	listed = fs->dirty_inodes;
	pthread_mutex_unlock(&fs->dirty_lock);
	return listed || pending_any_dead(fs) || db_is_dirty(fs->db);
}

/* ---- the ticker ---- */

int fs_sync(struct fs *fs)
{
	int err;

	if (fs->read_only)
		return 0;
	err = flush_all(fs, true);
	if (err >= 0)
		err = pending_count_dead(fs);
	return err < 0 ? err : db_commit(fs->db);
}

/* The commit segment goes only when it is full or a checkpoint comes: not soon enough if it is what
 * takes the memory. */
static int store_what_commits_carry(struct fs *fs)
{
	struct data_stats stats;

	data_stats(fs->data, &stats);
	return stats.open_bytes >= fs->budget.limit_bytes / 8 ? data_store_parts(fs->data) : 0;
}

static void report(struct fs *fs, int err)
{
	struct flusher *f = fs->flusher;

	if (err < 0 && err != f->last_error && err != -ECANCELED)
		notify(&fs->notifier, LOG_L_WARN, "writing back failed: %s: %s", err_text(err),
		       err_last_note());
	f->last_error = err < 0 ? err : 0;
}

void flush_tick(struct fs *fs, bool pressed)
{
	int err, commit_err;

	lazy_release(fs, false);
	if (!pressed && !anything_dirty(fs)) {
		dirty_spares_drop(fs);
		return;
	}
	err = flush_all(fs, false);
	if (err >= 0)
		err = pending_count_dead(fs);
	data_push_stream(fs->data);
	commit_err = db_commit(fs->db);
	if (commit_err >= 0 && pressed)
		commit_err = store_what_commits_carry(fs);
	report(fs, err < 0 ? err : commit_err);
}

static void *ticker(void *arg)
{
	struct fs *fs = arg;
	struct flusher *f = fs->flusher;
	uint64_t period = fs->config.commit_ms ? fs->config.commit_ms : DEFAULT_COMMIT_MS;

	(void)pthread_setname_np(pthread_self(), "fs-tick");
	pthread_mutex_lock(&f->lock);
	while (!f->stopping) {
		bool pressed;

		if (!f->pressed)
			(void)cond_wait_ms(&f->wake, &f->lock, period);
		if (f->stopping)
			break;
		pressed = f->pressed;
		f->pressed = false;
		pthread_mutex_unlock(&f->lock);
		flush_tick(fs, pressed);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* ---- durable segments ---- */

/* Inodes with packed sets that may enter, referenced; twice in the list does no harm. */
static size_t collect_ready(struct fs *fs, struct inode **all, size_t max)
{
	struct flusher *f = fs->flusher;
	struct frozen *z;
	size_t count = 0;

	DL_FOREACH2(f->packed, z, ready_next)
	{
		if (count == max)
			break;
		if (flush_is_durable(fs, z) && (count == 0 || all[count - 1] != z->inode))
			all[count++] = inode_ref(fs, z->inode);
	}
	return count;
}

static void run_enter_job(void *arg)
{
	struct fs *fs = arg;
	struct flusher *f = fs->flusher;
	struct inode **all;
	struct frozen *z;
	size_t count = 0;

	pthread_mutex_lock(&f->lock);
	f->enter_queued = false;
	DL_COUNT2(f->packed, z, count, ready_next);
	all = calloc(count + 1, sizeof(*all));
	count = all ? collect_ready(fs, all, count) : 0; /* without memory: the tick does it */
	pthread_mutex_unlock(&f->lock);
	for (size_t n = 0; n < count; n++) {
		pthread_mutex_lock(&all[n]->lock);
		(void)flush_enter_ready(fs, all[n]);
		flush_unlist(fs, all[n]);
		pthread_mutex_unlock(&all[n]->lock);
		inode_put(fs, all[n]);
	}
	free(all);
}

void flush_segment_durable(void *ctx, uint64_t segment)
{
	struct fs *fs = ctx;
	struct flusher *f = fs->flusher;

	(void)segment; /* the job looks at all sets that wait */
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	if (!f->stopping && !f->enter_queued && f->packed)
		f->enter_queued = pool_submit(fs->workers, run_enter_job, fs) >= 0;
	pthread_mutex_unlock(&f->lock);
}

/* ---- pressure ---- */

/* Memory that is on its way out by itself. */
static uint64_t in_motion(struct fs *fs)
{
	struct data_stats stats;

	data_stats(fs->data, &stats);
	return stats.uploading_bytes + __atomic_load_n(&fs->flusher->packing, __ATOMIC_RELAXED);
}

static bool enough_in_motion(struct fs *fs)
{
	return in_motion(fs) >= fs->budget.limit_bytes / 4;
}

static void run_relief_job(void *arg)
{
	struct fs *fs = arg;
	struct flusher *f = fs->flusher;

	pthread_mutex_lock(&f->lock);
	f->relief_queued = false;
	pthread_mutex_unlock(&f->lock);
	if (!enough_in_motion(fs))
		(void)each_dirty(fs, flush_relieve);
	if (enough_in_motion(fs))
		return;
	/* Open segments hold the rest. */
	data_push_stream(fs->data);
	pthread_mutex_lock(&f->lock);
	f->pressed = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
}

/* Somebody waits for memory. Nothing is hurried while enough is under way: small segments would be
 * the only result. */
void flush_pressure(void *ctx)
{
	struct fs *fs = ctx;
	struct flusher *f = fs->flusher;

	if (enough_in_motion(fs))
		return;
	pthread_mutex_lock(&f->lock);
	if (!f->stopping && !f->relief_queued)
		f->relief_queued = pool_submit(fs->workers, run_relief_job, fs) >= 0;
	pthread_mutex_unlock(&f->lock);
}

/* ---- life ---- */

int flush_start(struct fs *fs)
{
	struct flusher *f = calloc(1, sizeof(*f));
	pthread_rwlockattr_t prefer_writers;
	sigset_t all, before;
	int err;

	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->pending_lock, NULL);
	/* Appending threads take turns without a gap: who wants it alone must not wait for one. */
	pthread_rwlockattr_init(&prefer_writers);
	pthread_rwlockattr_setkind_np(&prefer_writers,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&f->gate, &prefer_writers);
	pthread_rwlockattr_destroy(&prefer_writers);
	cond_init(&f->wake);
	fs->flusher = f;
	fs->budget.on_pressure = flush_pressure;
	fs->budget.ctx = fs;
	sigfillset(&all); /* signals are the main thread's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&f->thread, NULL, ticker, fs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	f->running = err == 0;
	return err ? err_note(-err, "cannot start the commit ticker") : 0;
}

void flush_stop(struct fs *fs)
{
	struct flusher *f = fs->flusher;
	bool running;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	running = f->running;
	f->running = false;
	f->stopping = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	if (running)
		pthread_join(f->thread, NULL);
	pool_drain(fs->workers);
}

void flush_free(struct fs *fs)
{
	struct flusher *f = fs->flusher;

	if (!f)
		return;
	fs->budget.on_pressure = NULL;
	fs->flusher = NULL;
	pending_release(f);
	pthread_rwlock_destroy(&f->gate);
	pthread_mutex_destroy(&f->pending_lock);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->wake);
	free(f);
}

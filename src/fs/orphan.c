/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * orphan: what is unlinked but still in use, and what waits to be dropped in the background.
 *
 * An inode that loses its last name gets an O record in the same batch. It goes when nobody has it
 * open and the kernel has forgotten it (or there is no kernel: fs_reap_without_forget). A file whose
 * end was cut off may have an O record too, for the extents beyond the cut. At mount every O record
 * found is work left by the mount before.
 *
 *	names:    link count 0 ── orphan_note ──► WAITING ── orphan_consider ──► QUEUED ──► reaped
 *	trims:    file_truncate ── orphan_queue_trim ──► QUEUED ──► trimmed
 *
 * The table of orphans holds numbers only: fs_forget, which the kernel calls for every inode it
 * drops, costs one look there. One thread, the reaper, does the work (reap.c). If the database or
 * the store gives it trouble it leaves things for a while; what is never done by this mount the next
 * one finds.
 */
#include "fs/names.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TROUBLE_PAUSE_MS 2000
/* Who removes many files shall not wake the reaper for each, nor have a batch written for each: it waits so long for more. */
#define GATHER_MS 50

enum place { NOWHERE, IN_QUEUE, IN_TRIMS };

struct orphan {
	uint64_t ino;
	UT_hash_handle hh;
	struct orphan *prev, *next; /* in the list that `place` says */
	enum place place;
	bool queued;	    /* is to be removed, */
	bool trim_queued;   /* is to be trimmed: first */
	struct inode *trim; /* referenced while it is being trimmed */
	uint64_t trimmed_to;
};

struct reaper {
	pthread_mutex_t lock; /* a leaf; everything below */
	pthread_cond_t wake;  /* there is work */
	pthread_cond_t idle;  /* there is none left, or trouble */
	pthread_t thread;
	bool running, stopping, busy, trouble;
	struct orphan *table; /* all */
	struct orphan *queue; /* DL: those to be removed */
	unsigned queued;      /* how many these are */
	unsigned draining;    /* threads that wait until there is no work */
	bool gathering;	      /* it waits for more */
	struct orphan *trims; /* DL: those to be trimmed */
};

/* ---- the table: with the lock held ---- */

static struct orphan *find(struct reaper *r, uint64_t ino)
{
	struct orphan *o;

	HASH_FIND(hh, r->table, &ino, sizeof(ino), o);
	return o;
}

/* NULL: out of memory. */
static struct orphan *find_or_add(struct reaper *r, uint64_t ino)
{
	struct orphan *o = find(r, ino);

	if (o)
		return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->ino = ino;
	HASH_ADD(hh, r->table, ino, sizeof(o->ino), o);
	return o;
}

static void unqueue(struct reaper *r, struct orphan *o)
{
	if (o->place == IN_TRIMS) {
		DL_DELETE(r->trims, o);
	} else if (o->place == IN_QUEUE) {
		DL_DELETE(r->queue, o);
		r->queued--;
	}
	o->place = NOWHERE;
}

/* Work that is worth beginning with. */
static bool is_due(const struct reaper *r)
{
	return r->trims || r->queued >= REAP_INODES || r->draining > 0 || r->stopping;
}

/* Puts it where it belongs: what is being trimmed is removed afterwards. */
static void requeue(struct reaper *r, struct orphan *o)
{
	unqueue(r, o);
	if (o->trim_queued) {
		DL_APPEND(r->trims, o);
		o->place = IN_TRIMS;
	} else if (o->queued && !o->trim) {
		DL_APPEND(r->queue, o);
		o->place = IN_QUEUE;
		r->queued++;
	}
	if (!r->gathering || is_due(r))
		pthread_cond_signal(&r->wake);
}

static void drop(struct reaper *r, struct orphan *o)
{
	unqueue(r, o);
	HASH_DEL(r->table, o);
	free(o);
}

/* ---- what the rest of the room calls ---- */

void orphan_put(struct txn *t, uint64_t ino, bool whole, uint64_t trim_from)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct orphan_record o = { whole, trim_from };
	struct key k;

	key_orphan(&k, ino);
	orphan_encode(&value, &o);
	txn_put(t, &k, &value);
}

void orphan_clear(struct txn *t, uint64_t ino)
{
	struct key k;

	key_orphan(&k, ino);
	txn_delete(t, &k);
}

/* Without memory the inode is reaped by the next mount. */
void orphan_note(struct fs *fs, uint64_t ino)
{
	struct reaper *r = fs->reaper;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	(void)find_or_add(r, ino);
	pthread_mutex_unlock(&r->lock);
}

void orphan_forgive(struct fs *fs, uint64_t ino)
{
	struct reaper *r = fs->reaper;
	struct orphan *o;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	o = find(r, ino);
	if (o) {
		o->queued = false;
		if (o->trim)
			requeue(r, o);
		else
			drop(r, o);
	}
	pthread_mutex_unlock(&r->lock);
}

void orphan_consider(struct fs *fs, struct inode *i, bool forgotten)
{
	bool forget_counts = !__atomic_load_n(&fs->reap_without_forget, __ATOMIC_RELAXED);
	struct reaper *r = fs->reaper;
	struct orphan *o;

	if (!r || i->gone || i->attr.nlink > 0)
		return;
	i->forgotten |= forgotten;
	pthread_mutex_lock(&r->lock);
	o = find_or_add(r, i->ino);
	if (o && !o->queued && i->opens == 0 && (i->forgotten || !forget_counts)) {
		o->queued = true;
		requeue(r, o);
	}
	pthread_mutex_unlock(&r->lock);
}

void fs_forget(struct fs *fs, uint64_t ino)
{
	struct reaper *r = fs->reaper;
	struct inode *i;
	bool known;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	known = find(r, ino);
	pthread_mutex_unlock(&r->lock);
	if (!known || inode_get(fs, ino, &i) < 0)
		return;
	pthread_mutex_lock(&i->lock);
	orphan_consider(fs, i, true);
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
}

void fs_reap_without_forget(struct fs *fs, bool on)
{
	__atomic_store_n(&fs->reap_without_forget, on, __ATOMIC_RELAXED);
}

/* The inode is kept in memory meanwhile: readers and writers look at i->trimming. */
void orphan_queue_trim(struct fs *fs, uint64_t ino)
{
	struct reaper *r = fs->reaper;
	struct inode *i = NULL;
	struct orphan *o;

	if (!r || inode_get(fs, ino, &i) < 0)
		return;
	pthread_mutex_lock(&r->lock);
	o = find_or_add(r, ino);
	if (o) {
		o->trim_queued = true;
		o->trimmed_to = 0; /* the cut-off may have moved down */
		if (!o->trim) {
			o->trim = i;
			i = NULL;
		}
		requeue(r, o);
	}
	pthread_mutex_unlock(&r->lock);
	inode_put(fs, i);
}

/* ---- the reaper ---- */

static bool has_work(const struct reaper *r)
{
	return r->queue || r->trims;
}

static bool is_stopping(struct reaper *r)
{
	bool stopping;

	pthread_mutex_lock(&r->lock);
	stopping = r->stopping;
	pthread_mutex_unlock(&r->lock);
	return stopping;
}

/* Up to REAP_INODES from the queue. They stay in the table, so that nobody queues them twice. */
static size_t take_some(struct reaper *r, uint64_t *inos)
{
	size_t count = 0;

	pthread_mutex_lock(&r->lock);
	while (r->queue && count < REAP_INODES) {
		inos[count++] = r->queue->ino;
		unqueue(r, r->queue);
	}
	pthread_mutex_unlock(&r->lock);
	return count;
}

enum outcome {
	REMOVED, /* or not there */
	IN_USE,	 /* somebody opened it again: waits for the last close */
	AGAIN,	 /* after trouble */
};

static void settle(struct reaper *r, uint64_t ino, enum outcome outcome)
{
	struct orphan *o;

	pthread_mutex_lock(&r->lock);
	o = find(r, ino);
	if (o && outcome == REMOVED && !o->trim)
		drop(r, o);
	else if (o && outcome == AGAIN)
		requeue(r, o);
	else if (o)
		o->queued = false;
	pthread_mutex_unlock(&r->lock);
}

/* Inodes of a batch that are not finished come again until they are. */
static int reap_claimed(struct fs *fs, struct reap_inode *list, size_t count)
{
	int err = 0;

	while (count > 0 && err >= 0) {
		size_t left = 0;

		err = reap_batch(fs, list, count);
		for (size_t n = 0; n < count; n++) {
			if (err < 0 || !list[n].finished) {
				list[left++] = list[n];
				continue;
			}
			settle(fs->reaper, list[n].inode->ino, REMOVED);
			inode_put(fs, list[n].inode);
		}
		count = left;
		if (is_stopping(fs->reaper))
			break;
	}
	for (size_t n = 0; n < count; n++) {
		settle(fs->reaper, list[n].inode->ino, AGAIN);
		inode_put(fs, list[n].inode);
	}
	return err;
}

static int reap_some(struct fs *fs)
{
	struct reap_inode claimed[REAP_INODES];
	uint64_t inos[REAP_INODES];
	size_t count = take_some(fs->reaper, inos), have = 0;
	int err = 0, reap_err;

	for (size_t n = 0; n < count; n++) {
		int got = err < 0 ? err : reap_claim(fs, inos[n], &claimed[have]);

		if (got > 0)
			have++;
		else if (got == 0)
			settle(fs->reaper, inos[n], IN_USE);
		else if (got == -ENOENT)
			settle(fs->reaper, inos[n], REMOVED);
		else
			settle(fs->reaper, inos[n], AGAIN);
		if (got < 0 && got != -ENOENT)
			err = got;
	}
	reap_err = reap_claimed(fs, claimed, have);
	return err < 0 ? err : reap_err;
}

/* Locked. The trim is done, unless the cut-off has moved meanwhile. */
static struct inode *end_trim(struct reaper *r, struct orphan *o)
{
	struct inode *i = o->trim;

	if (o->trim_queued)
		return NULL;
	o->trim = NULL;
	if (o->queued)
		requeue(r, o);
	else
		drop(r, o);
	return i;
}

/* One batch of the first trim. It stays in the table meanwhile: it has o->trim. */
static int trim_some(struct fs *fs)
{
	struct reaper *r = fs->reaper;
	struct inode *done = NULL;
	struct orphan *o;
	uint64_t from;
	int err;

	pthread_mutex_lock(&r->lock);
	o = r->trims;
	if (!o) {
		pthread_mutex_unlock(&r->lock);
		return 0;
	}
	unqueue(r, o);
	o->trim_queued = false;
	from = o->trimmed_to;
	pthread_mutex_unlock(&r->lock);
	err = reap_trim(fs, o->trim, &from);
	pthread_mutex_lock(&r->lock);
	if (err > 0) {
		done = end_trim(r, o);
	} else if (!o->trim_queued) {
		o->trim_queued = true;
		o->trimmed_to = from;
		requeue(r, o);
	}
	pthread_mutex_unlock(&r->lock);
	inode_put(fs, done);
	return err < 0 ? err : 0;
}

/* Locked. Until there is work, and more of it or some time has passed. */
static void wait_for_work(struct reaper *r)
{
	uint64_t end = 0, now;

	while (!has_work(r) && !r->stopping) {
		r->busy = false;
		pthread_cond_broadcast(&r->idle);
		pthread_cond_wait(&r->wake, &r->lock);
	}
	r->gathering = true;
	while (!is_due(r) && (now = clock_mono_ms(&clock_system), !end || now < end)) {
		end = end ? end : now + GATHER_MS;
		(void)cond_wait_ms(&r->wake, &r->lock, end - now);
	}
	r->gathering = false;
}

static void *reaper_thread(void *arg)
{
	struct fs *fs = arg;
	struct reaper *r = fs->reaper;

	(void)pthread_setname_np(pthread_self(), "fs-reaper");
	pthread_mutex_lock(&r->lock);
	for (;;) {
		int err;

		wait_for_work(r);
		if (r->stopping)
			break;
		r->busy = true;
		pthread_mutex_unlock(&r->lock);
		err = trim_some(fs);
		if (err >= 0)
			err = reap_some(fs);
		pthread_mutex_lock(&r->lock);
		r->trouble = err < 0;
		if (r->trouble && !r->stopping) {
			log_debug("reaper: %s", err_last_note());
			pthread_cond_broadcast(&r->idle);
			(void)cond_wait_ms(&r->wake, &r->lock, TROUBLE_PAUSE_MS);
		}
	}
	r->busy = false;
	pthread_cond_broadcast(&r->idle);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* ---- life ---- */

static int resume_trim(struct fs *fs, uint64_t ino, uint64_t trim_from)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err == -ENOENT
			       ? err_note(-L3_CORRUPT, "inode %llu is to be trimmed, and missing",
					  (unsigned long long)ino)
			       : err;
	pthread_mutex_lock(&i->lock);
	i->trimming = true;
	i->trim_from = trim_from;
	pthread_mutex_unlock(&i->lock);
	orphan_queue_trim(fs, ino);
	inode_put(fs, i);
	return 0;
}

static int resume(struct fs *fs, const char *key, const char *value, size_t len)
{
	struct orphan_record rec;
	uint64_t ino = get_u64_be(key + 1);
	struct reaper *r = fs->reaper;
	struct orphan *o;
	int err = orphan_decode(value, len, &rec);

	if (err < 0)
		return err;
	if (!rec.whole)
		return resume_trim(fs, ino, rec.trim_from);
	pthread_mutex_lock(&r->lock);
	o = find_or_add(r, ino);
	if (o && !o->queued) {
		o->queued = true;
		requeue(r, o);
	}
	pthread_mutex_unlock(&r->lock);
	return o ? 0 : -ENOMEM;
}

/* What earlier mounts left. */
static int resume_all(struct fs *fs)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_scan_options(fs->db));
	char first = KEY_ORPHAN, *msg = NULL;
	int err = 0;

	for (leveldb_iter_seek(it, &first, 1); err >= 0 && leveldb_iter_valid(it);
	     leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len != 9 || key[0] != KEY_ORPHAN)
			break;
		value = leveldb_iter_value(it, &len);
		err = resume(fs, key, value, len);
	}
	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(fs->db, msg) : err;
}

static int start_thread(struct fs *fs)
{
	struct reaper *r = fs->reaper;
	sigset_t all, before;
	int err;

	sigfillset(&all); /* signals are the main thread's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&r->thread, NULL, reaper_thread, fs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	r->running = err == 0;
	return err ? err_note(-err, "cannot start the reaper") : 0;
}

int orphan_start(struct fs *fs)
{
	struct reaper *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	cond_init(&r->wake);
	cond_init(&r->idle);
	fs->reaper = r;
	err = resume_all(fs);
	return err < 0 ? err : start_thread(fs);
}

bool orphan_any(struct fs *fs)
{
	struct reaper *r = fs->reaper;
	bool any = false;

	if (r) {
		pthread_mutex_lock(&r->lock);
		any = r->table;
		pthread_mutex_unlock(&r->lock);
	}
	return any;
}

bool orphan_is_idle(struct fs *fs)
{
	struct reaper *r = fs->reaper;
	bool idle;

	if (!r)
		return true;
	pthread_mutex_lock(&r->lock);
	idle = !r->running || r->stopping || r->trouble || !(r->busy || has_work(r));
	pthread_mutex_unlock(&r->lock);
	return idle;
}

void orphan_drain(struct fs *fs)
{
	struct reaper *r = fs->reaper;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->draining++;
	pthread_cond_signal(&r->wake);
	while (r->running && !r->stopping && !r->trouble && (r->busy || has_work(r)))
		pthread_cond_wait(&r->idle, &r->lock);
	r->draining--;
	pthread_mutex_unlock(&r->lock);
}

static void release_all(struct fs *fs)
{
	struct orphan *o, *next;

	HASH_ITER (hh, fs->reaper->table, o, next) {
		HASH_DEL(fs->reaper->table, o);
		inode_put(fs, o->trim);
		free(o);
	}
}

void orphan_stop(struct fs *fs)
{
	struct reaper *r = fs->reaper;
	bool running;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	running = r->running;
	r->running = false;
	r->stopping = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (running)
		pthread_join(r->thread, NULL);
	release_all(fs);
	fs->reaper = NULL;
	pthread_cond_destroy(&r->wake);
	pthread_cond_destroy(&r->idle);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

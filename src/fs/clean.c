/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clean: gives back the space of overwritten and removed bytes.
 *
 * A pass looks at the counters of all segments:
 *   - nothing live: the record goes in a batch, the object after that batch is durable and the
 * grace has passed (db_discard);
 *   - less than half live: what is live moves to new segments first (move.c). Where files share
 *     bytes the counters only say how much may be dead at most; the mover looks;
 *   - many tiny ones: they are moved together, full or not;
 *   - dead bytes spread thinly over many: where they are more than a quarter of what lives, the
 *     emptiest segments are moved until they are less than a fifth. In the long run a byte is
 *     written again for each few that were overwritten, and the store never holds much more than
 *     what lives.
 *
 * Never touched: segments that are not durable objects yet, that slots still carry, and that hold
 * bytes still to be entered (pending.c). A crash at any point leaves either the record and the
 * object, or an object without a record: those of earlier mounts are swept once, when this one is
 * old enough for everybody else to have gone.
 *
 * The thread wakes up to look at counters in memory; it asks the store for nothing unless a pass is
 * worth it.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PASS_MS 120000
#define SWEEP_AFTER_MS 900000
#define LOOK_MS 30000
#define PATIENCE_MS 600000    /* small garbage waits so long */
#define WORTH_BYTES (4 * MIB) /* more is taken at the next look */
#define THIN_BYTES (1 * GIB)  /* of segments with few dead bytes, in one pass */
#define TINY_BYTES (1 * MIB)
#define TINY_MANY 64

struct cleaner {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stopping;
	bool busy;		    /* a pass is under way, */
	bool (*goes_on)(void *ctx); /* for somebody who may end it; may be NULL */
	void *ctx;
	uint64_t started_ms, passed_ms;
	struct sight {		       /* of memory's counters, after the last pass */
		uint64_t sparse, dead; /* dead bytes: in sparse segments, in all */
		bool tiny;	       /* many of these */
	} seen;
	uint64_t stored; /* bytes of all segments, at the last pass */
	bool passed, swept, unfinished;
};

/* ---- the list of segments ---- */

struct census {
	struct census_entry {
		uint64_t segment;
		struct seg_record rec;
		bool present; /* from memory: newer than the database */
		bool chosen;  /* what lives in it is to be moved */
	} * at;
	size_t count, cap;
	uint64_t stored; /* bytes of all */
	bool tiny;	 /* many of these */
	bool unfinished; /* more would be chosen than one pass shall move */
};

static int census_add(struct census *c, uint64_t segment, const struct seg_record *rec,
		      bool present)
{
	if (c->count == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 256;
		struct census_entry *more = realloc(c->at, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->at = more;
		c->cap = cap;
	}
	c->at[c->count++] = (struct census_entry){ segment, *rec, present, false };
	return 0;
}

static int census_stored(struct fs *fs, struct census *c)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_scan_options(fs->db));
	struct seg_record rec;
	struct key from;
	char *msg = NULL;
	int err = 0;

	key_segment(&from, 0);
	for (leveldb_iter_seek(it, (const char *)from.bytes, from.len);
	     err >= 0 && leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len != from.len || key[0] != (char)from.bytes[0])
			break;
		value = leveldb_iter_value(it, &len);
		err = seg_decode(value, len, &rec);
		if (err >= 0)
			err = census_add(c, get_u64_be(key + 1), &rec, false);
	}
	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(fs->db, msg) : err;
}

static int census_present(struct fs *fs, struct census *c)
{
	struct seg *s, *next;
	int err = 0;

	pthread_mutex_lock(&fs->totals_lock);
	HASH_ITER (hh, fs->segs, s, next) {
		err = census_add(c, s->id, &s->rec, true);
		if (err < 0)
			break;
	}
	pthread_mutex_unlock(&fs->totals_lock);
	return err;
}

static int census_order(const void *a, const void *b)
{
	const struct census_entry *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return (int)y->present - (int)x->present;
}

/* The present counters win over the stored ones. */
static int census_take(struct fs *fs, struct census *c)
{
	int err = census_stored(fs, c);
	size_t kept = 0;

	if (err >= 0)
		err = census_present(fs, c);
	if (err < 0 || c->count == 0)
		return err;
	qsort(c->at, c->count, sizeof(c->at[0]), census_order);
	for (size_t n = 0; n < c->count; n++) {
		if (kept == 0 || c->at[kept - 1].segment != c->at[n].segment)
			c->at[kept++] = c->at[n];
	}
	c->count = kept;
	return 0;
}

/* ---- a pass ---- */

static bool may_touch(struct fs *fs, uint64_t segment)
{
	return data_is_durable(fs->data, segment) && !data_is_recovered(fs->data, segment) &&
	       (fs->read_only || !pending_has(fs, segment));
}

static bool is_tiny(const struct census_entry *e)
{
	return e->rec.total_bytes < TINY_BYTES;
}

/* At most: where files share bytes, more of it may be in use than one would think. */
static uint64_t dead_bytes(const struct seg_record *rec)
{
	uint64_t all = rec->total_bytes + rec->shared_bytes;

	return min_u64(all - min_u64(all, rec->live_bytes), rec->total_bytes);
}

static bool is_sparse(const struct seg_record *rec)
{
	return dead_bytes(rec) > rec->total_bytes - rec->total_bytes / 2;
}

static bool is_dead(struct fs *fs, const struct census_entry *e)
{
	struct seg *s;
	bool dead;

	pthread_mutex_lock(&fs->totals_lock);
	HASH_FIND(hh, fs->segs, &e->segment, sizeof(e->segment), s);
	dead = s ? s->rec.live_bytes == 0 : e->rec.live_bytes == 0;
	pthread_mutex_unlock(&fs->totals_lock);
	return dead;
}

/* Its counters cannot rise again: nobody appends to it, and nothing pending refers to it. 1 if it
 * is given up. */
static int give_up(struct fs *fs, const struct census_entry *e)
{
	char key[DATA_KEY_MAX];
	struct seg_record rec;
	struct txn t;
	int err;

	if (!may_touch(fs, e->segment) || !is_dead(fs, e))
		return 0;
	err = txn_segment(fs, e->segment, &rec);
	if (err >= 0 && rec.referenced)
		err = refs_drop_all(fs, e->segment);
	if (err >= 0)
		err = txn_begin(fs, &t);
	if (err < 0)
		return err;
	txn_drop_segment(&t, e->segment);
	err = txn_commit(&t);
	if (err < 0)
		return err;
	data_key(e->segment, key);
	log_debug("%s: %llu bytes, none live", key, (unsigned long long)e->rec.total_bytes);
	err = db_discard(fs->db, key, e->rec.total_bytes);
	return err < 0 ? err : 1;
}

static bool is_stopping(struct cleaner *c)
{
	bool stopping;

	pthread_mutex_lock(&c->lock);
	stopping = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return stopping || (c->goes_on && !c->goes_on(c->ctx));
}

static int give_up_dead(struct fs *fs, const struct census *census)
{
	int given = 0;

	for (size_t n = 0; n < census->count; n++) {
		int err;

		if (is_stopping(fs->cleaner))
			break;
		err = give_up(fs, &census->at[n]);
		if (err < 0)
			return err;
		given += err;
	}
	return given;
}

static bool too_many_tiny(const struct census *census)
{
	size_t tiny = 0;

	for (size_t n = 0; n < census->count; n++)
		tiny += is_tiny(&census->at[n]);
	return tiny > TINY_MANY;
}

static int by_emptiness(const void *a, const void *b)
{
	const struct seg_record *x = &((const struct census_entry *)a)->rec;
	const struct seg_record *y = &((const struct census_entry *)b)->rec;
	double dead_x = (double)dead_bytes(x) / (double)(x->total_bytes + 1);
	double dead_y = (double)dead_bytes(y) / (double)(y->total_bytes + 1);

	return (dead_x < dead_y) - (dead_x > dead_y);
}

/* Marks what deserves to be moved for itself. Returns what would be stored after that; dead segments aside. */
static uint64_t choose_sparse(struct census *c, uint64_t *ret_live)
{
	uint64_t stored = 0;

	c->tiny = too_many_tiny(c);
	*ret_live = 0;
	for (size_t n = 0; n < c->count; n++) {
		struct census_entry *e = &c->at[n];
		uint64_t live = e->rec.total_bytes - dead_bytes(&e->rec);

		c->stored += e->rec.total_bytes;
		if (e->rec.live_bytes == 0)
			continue;
		e->chosen = is_sparse(&e->rec) || (c->tiny && is_tiny(e));
		*ret_live += live;
		stored += e->chosen ? live : e->rec.total_bytes;
	}
	return stored;
}

/* Marks what deserves to be moved. The census may get the order of emptiness. */
static void choose(struct census *c)
{
	uint64_t live, moved = 0, stored = choose_sparse(c, &live);

	if (stored <= live + live / 4)
		return;
	qsort(c->at, c->count, sizeof(c->at[0]), by_emptiness);
	for (size_t n = 0; n < c->count && stored > live + live / 5; n++) {
		struct census_entry *e = &c->at[n];

		if (dead_bytes(&e->rec) * 8 <= e->rec.total_bytes)
			return; /* nor do those that follow win much */
		/* Of shared segments the counters do not say enough. */
		if (e->chosen || e->rec.live_bytes == 0 || e->rec.referenced)
			continue;
		c->unfinished = moved >= THIN_BYTES;
		if (c->unfinished)
			return;
		e->chosen = true;
		moved += e->rec.total_bytes;
		stored -= dead_bytes(&e->rec);
	}
}

/* Moves what is live in the segments that deserve it. */
static int empty_chosen(struct fs *fs, const struct census *census)
{
	struct mover *m = mover_new(fs);
	int err = m ? 0 : -ENOMEM;

	for (size_t n = 0; n < census->count && err >= 0; n++) {
		const struct census_entry *e = &census->at[n];

		if (is_stopping(fs->cleaner))
			break;
		if (e->chosen && may_touch(fs, e->segment))
			err = mover_add(m, e->segment, census->tiny && is_tiny(e));
	}
	if (err >= 0)
		err = mover_finish(m);
	mover_free(m);
	return err;
}

static int pass(struct fs *fs)
{
	struct census census = { 0 };
	int err = pending_count_dead(fs), given = 0;

	if (err >= 0)
		err = census_take(fs, &census);
	if (err >= 0) {
		choose(&census);
		fs->cleaner->stored = census.stored;
		fs->cleaner->unfinished = census.unfinished;
		err = empty_chosen(fs, &census);
	}
	if (err >= 0)
		given = give_up_dead(fs, &census);
	free(census.at);
	return err < 0 ? err : given;
}

static void view_segment(struct fs *fs, const struct census_entry *e, struct clean_view *view)
{
	if (!may_touch(fs, e->segment))
		return;
	if (e->rec.live_bytes == 0) {
		view->dead++;
		view->dead_bytes += e->rec.total_bytes;
	} else if (e->chosen) {
		view->sparse++;
		view->sparse_bytes += e->rec.total_bytes;
		view->live_bytes += min_u64(e->rec.live_bytes, e->rec.total_bytes);
	}
}

int clean_look(struct fs *fs, struct clean_view *ret)
{
	struct census census = { 0 };
	int err = census_take(fs, &census);

	*ret = (struct clean_view){ 0 };
	if (err >= 0)
		choose(&census);
	for (size_t n = 0; n < census.count && err >= 0; n++)
		view_segment(fs, &census.at[n], ret);
	free(census.at);
	return err;
}

/* Alone: a second caller waits. */
int clean_pass_while(struct fs *fs, bool (*goes_on)(void *ctx), void *ctx)
{
	struct cleaner *c = fs->cleaner;
	int err;

	if (!c)
		return -EROFS;
	pthread_mutex_lock(&c->lock);
	while (c->busy)
		pthread_cond_wait(&c->wake, &c->lock);
	c->busy = true;
	pthread_mutex_unlock(&c->lock);
	c->goes_on = goes_on;
	c->ctx = ctx;
	err = pass(fs);
	c->goes_on = NULL;
	pthread_mutex_lock(&c->lock);
	c->busy = false;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	return err;
}

int clean_pass(struct fs *fs)
{
	return clean_pass_while(fs, NULL, NULL);
}

/* ---- sweeping ---- */

/* A record, or bytes in memory. What is no segment's name is not ours to delete. */
static bool is_referenced(void *ctx, const char *key)
{
	struct fs *fs = ctx;
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	uint64_t segment;
	struct seg *s;
	struct key k;

	if (data_key_parse(key, &segment) < 0 || !may_touch(fs, segment))
		return true;
	pthread_mutex_lock(&fs->totals_lock);
	HASH_FIND(hh, fs->segs, &segment, sizeof(segment), s);
	pthread_mutex_unlock(&fs->totals_lock);
	if (s)
		return true;
	key_segment(&k, segment);
	return db_value(fs, &k, &value) != -ENOENT;
}

int clean_sweep(struct fs *fs, struct db_garbage *look)
{
	return db_sweep(fs->db, "data/", is_referenced, fs, look);
}

/* ---- the thread ---- */

/* What a pass could win, by the counters in memory: no requests. */
static struct sight garbage_in_sight(struct fs *fs)
{
	struct sight sight = { 0 };
	struct seg *s, *next;
	size_t tiny = 0;

	pthread_mutex_lock(&fs->totals_lock);
	HASH_ITER (hh, fs->segs, s, next) {
		uint64_t dead = dead_bytes(&s->rec);

		sight.dead += dead;
		if (is_sparse(&s->rec) || s->rec.live_bytes == 0)
			sight.sparse += dead;
		tiny += s->rec.total_bytes < TINY_BYTES;
	}
	pthread_mutex_unlock(&fs->totals_lock);
	sight.tiny = tiny > TINY_MANY;
	return sight;
}

static bool is_worth_it(struct fs *fs, struct cleaner *c, uint64_t now)
{
	struct sight sight;

	if (!c->passed)
		return now - c->started_ms >= FIRST_PASS_MS;
	if (c->unfinished)
		return true;
	sight = garbage_in_sight(fs);
	if (sight.sparse >= c->seen.sparse + WORTH_BYTES ||
	    sight.dead >= c->seen.dead + max_u64(WORTH_BYTES, c->stored / 32))
		return true;
	return (sight.tiny || sight.sparse != c->seen.sparse) && now - c->passed_ms >= PATIENCE_MS;
}

static void look(struct fs *fs, struct cleaner *c)
{
	uint64_t now = clock_mono_ms(&clock_system);
	int err;

	if (is_worth_it(fs, c, now)) {
		err = clean_pass(fs);
		if (err < 0)
			log_debug("cleaner: %s: %s", err_text(err), err_last_note());
		c->passed = true;
		c->passed_ms = now;
		c->seen = garbage_in_sight(fs);
	}
	if (!c->swept && now - c->started_ms >= SWEEP_AFTER_MS) {
		err = clean_sweep(fs, NULL);
		if (err < 0)
			log_debug("sweep: %s: %s", err_text(err), err_last_note());
		c->swept = err >= 0;
	}
}

static void *cleaner_thread(void *arg)
{
	struct fs *fs = arg;
	struct cleaner *c = fs->cleaner;

	(void)pthread_setname_np(pthread_self(), "fs-cleaner");
	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		if (cond_wait_ms(&c->wake, &c->lock, LOOK_MS) || c->stopping)
			continue; /* woken for something else */
		pthread_mutex_unlock(&c->lock);
		look(fs, c);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int clean_start(struct fs *fs)
{
	struct cleaner *c = calloc(1, sizeof(*c));
	sigset_t all, before;
	int err;

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	cond_init(&c->wake);
	c->started_ms = clock_mono_ms(&clock_system);
	fs->cleaner = c;
	sigfillset(&all); /* signals are the main thread's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&c->thread, NULL, cleaner_thread, fs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->running = err == 0;
	return err ? err_note(-err, "cannot start the cleaner") : 0;
}

void clean_stop(struct fs *fs)
{
	struct cleaner *c = fs->cleaner;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	if (c->running)
		pthread_join(c->thread, NULL);
	fs->cleaner = NULL;
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

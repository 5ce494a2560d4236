/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read: pieces of extents, from memory or through the cache.
 *
 *	data_read ── near: segment in memory, hot extent ─────────────── copy
 *	    └─────── far: sort, join neighbours to runs ── run_read (parallel) ── cache_read
 *	                                                       └── verify, unpack, copy ──┘
 *
 * Nothing is copied to a reader before the checksum of its extent was right, but for whole raw
 * extents: those are fetched to where they are wanted and checked there, and the read fails if
 * they are wrong.
 */
#include "data/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Most reads have few pieces: no allocation for them. */
#define SMALL_COUNT 32
#define NOTE_BYTES 256
/* A lone small extent brings its neighbourhood along: files written together are read together. */
#define WINDOW_BYTES (128 * KIB)

static bool is_whole(const struct data_piece *p)
{
	return p->raw_offset == 0 && p->len == p->ref.raw_bytes;
}

static int check_piece(const struct data_piece *p)
{
	int err = data_ref_check(&p->ref);

	if (err < 0)
		return err;
	if (p->len == 0 || p->raw_offset > p->ref.raw_bytes ||
	    p->len > p->ref.raw_bytes - p->raw_offset)
		return err_note(-L3_CORRUPT, "a reference to bytes outside its extent");
	return 0;
}

/* Part of a verified extent; its other parts are likely to be wanted next. */
static int unpack_part(struct data *d, const struct data_piece *p, const uint8_t *stored)
{
	struct hot_extent *e = data_hot_new(&p->ref);
	int err;

	if (!e)
		return -ENOMEM;
	err = data_extent_unpack(&p->ref, stored, e->raw);
	if (err < 0) {
		data_hot_put(e);
		return err;
	}
	memcpy(p->dst, e->raw + p->raw_offset, p->len);
	data_hot_add(&d->hot, e);
	return 0;
}

static int deliver(struct data *d, const struct data_piece *p, const uint8_t *stored, bool keep)
{
	int err = data_extent_verify(&p->ref, stored);

	if (err < 0)
		return err;
	if (p->ref.codec == DATA_RAW && (is_whole(p) || !keep)) {
		if (p->dst != stored)
			memcpy(p->dst, stored + p->raw_offset, p->len);
		return 0;
	}
	if (is_whole(p))
		return data_extent_unpack(&p->ref, stored, p->dst);
	return unpack_part(d, p, stored);
}

/* 1: done; 0: it has to come from the store. */
static int read_near(struct data *d, const struct data_piece *p)
{
	uint64_t end = (uint64_t)p->ref.offset + p->ref.stored_bytes;
	struct segment *seg;
	uint32_t len;
	int err;

	if (!is_whole(p) && data_hot_copy(&d->hot, &p->ref, p->raw_offset, p->len, p->dst))
		return 1;
	seg = data_seg_get(d, p->ref.segment, &len);
	if (!seg)
		return 0;
	if (end <= len) {
		err = deliver(d, p, seg->bytes + p->ref.offset, false);
		err = err < 0 ? err : 1;
	} else if (seg->recovered) {
		err = 0; /* past what slots carried: the old writer stored it */
	} else {
		err = err_note(-L3_CORRUPT, "an extent past the end of a segment being written");
	}
	data_seg_put(seg);
	return err;
}

/* All pieces raw and whole, side by side both in the object and in memory. */
static bool is_direct(const struct data_piece *const *pieces, const struct run *run)
{
	const struct data_piece *const *p = pieces + run->first;

	for (size_t i = 0; i < run->count; i++) {
		if (p[i]->ref.codec != DATA_RAW || !is_whole(p[i]))
			return false;
		if (i > 0 && (p[i]->dst != p[i - 1]->dst + p[i - 1]->len ||
			      p[i]->ref.offset != p[i - 1]->ref.offset + p[i - 1]->len))
			return false;
	}
	return true;
}

static int deliver_run(struct data *d, const struct data_piece *const *pieces,
		       const struct run *run, const uint8_t *bytes)
{
	for (size_t i = run->first; i < run->first + run->count; i++) {
		const struct data_piece *p = pieces[i];
		int err;

		/* An extent wanted in several parts was unpacked for the first of them. */
		if (!is_whole(p) && i > run->first &&
		    data_hot_copy(&d->hot, &p->ref, p->raw_offset, p->len, p->dst))
			continue;
		err = deliver(d, p, bytes + (p->ref.offset - run->start), true);
		if (err < 0)
			return err;
	}
	return 0;
}

static int fetch(struct data *d, const char *key, const struct run *run, uint8_t *bytes)
{
	uint64_t from = run->start, to = run->end;
	int err;

	if (to - from < WINDOW_BYTES) {
		from -= from % WINDOW_BYTES;
		to += WINDOW_BYTES - 1 - (to - 1) % WINDOW_BYTES;
	}
	err = cache_read(d->config.cache, key, run->start, run->end - run->start, bytes, from,
			 to - from);
	if (err == -ENOENT)
		return err_wrap(-L3_CORRUPT, "%s is missing, but durable state names it", key);
	return err;
}

static int run_read(struct data *d, const struct data_piece *const *pieces, const struct run *run)
{
	uint8_t *heap CLEANUP(free_ptr) = NULL;
	uint8_t *bytes = pieces[run->first]->dst;
	char key[DATA_KEY_MAX];
	int err;

	if (!is_direct(pieces, run)) {
		bytes = heap = malloc(run->end - run->start);
		if (!heap)
			return -ENOMEM;
	}
	data_key(run->segment, key);
	err = fetch(d, key, run, bytes);
	if (err < 0)
		return err;
	err = deliver_run(d, pieces, run, bytes);
	if (err != -L3_CORRUPT)
		return err;
	/* A copy damaged on the way or in the cache says nothing about the object. */
	log_debug("%s, fetching it again", err_last_note());
	cache_distrust(d->config.cache, key, run->start, run->end - run->start);
	err = fetch(d, key, run, bytes);
	return err < 0 ? err : deliver_run(d, pieces, run, bytes);
}

/*
 * Several runs of one read. Threads and caller take the next run until none is left; the caller
 * waits only for runs already taken, so a busy pool delays nobody. A thread that comes too late
 * finds nothing to do, and only drops its reference.
 */
struct read_job {
	struct data *d;
	const struct data_piece *const *pieces;
	const struct run *runs;
	size_t count;

	pthread_mutex_t lock;
	pthread_cond_t done;
	size_t next, finished;
	unsigned refs;
	int error; /* the first */
	char note[NOTE_BYTES];
};

static void job_put(struct read_job *job)
{
	bool last;

	pthread_mutex_lock(&job->lock);
	last = --job->refs == 0;
	pthread_mutex_unlock(&job->lock);
	if (!last)
		return;
	pthread_cond_destroy(&job->done);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static void job_work(struct read_job *job)
{
	pthread_mutex_lock(&job->lock);
	while (job->next < job->count) {
		const struct run *run = &job->runs[job->next++];
		int err = job->error;

		pthread_mutex_unlock(&job->lock);
		if (err == 0)
			err = run_read(job->d, job->pieces, run);
		pthread_mutex_lock(&job->lock);
		if (err < 0 && job->error == 0) {
			job->error = err;
			(void)snprintf(job->note, sizeof(job->note), "%s", err_last_note());
		}
		if (++job->finished == job->count)
			pthread_cond_signal(&job->done);
	}
	pthread_mutex_unlock(&job->lock);
}

static void job_thread(void *arg)
{
	struct read_job *job = arg;

	job_work(job);
	job_put(job);
}

static int read_parallel(struct data *d, const struct data_piece *const *pieces,
			 const struct run *runs, size_t count)
{
	size_t helpers = min_u64(count - 1, d->read_pool ? d->config.read_threads : 0);
	struct read_job *job = calloc(1, sizeof(*job));
	int err;

	if (!job)
		return -ENOMEM;
	*job = (struct read_job){
		.d = d, .pieces = pieces, .runs = runs, .count = count, .refs = 1
	};
	pthread_mutex_init(&job->lock, NULL);
	cond_init(&job->done);
	for (size_t i = 0; i < helpers; i++) {
		pthread_mutex_lock(&job->lock);
		job->refs++;
		pthread_mutex_unlock(&job->lock);
		if (pool_submit(d->read_pool, job_thread, job) < 0) {
			job_put(job); /* fewer helpers will do */
			break;
		}
	}
	job_work(job);
	pthread_mutex_lock(&job->lock);
	while (job->finished < job->count)
		pthread_cond_wait(&job->done, &job->lock);
	err = job->error;
	if (err < 0)
		err = err_note(err, "%s", job->note);
	pthread_mutex_unlock(&job->lock);
	job_put(job);
	return err;
}

static int order(const void *a, const void *b)
{
	const struct data_piece *const *x = a, *const *y = b;

	return data_ref_order(&(*x)->ref, &(*y)->ref);
}

static size_t split_runs(const struct data_piece *const *pieces, size_t count, struct run *runs)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (n == 0 || !data_run_extend(&runs[n - 1], &pieces[i]->ref, RUN_MAX_BYTES))
			data_run_begin(&runs[n++], &pieces[i]->ref, i);
	}
	return n;
}

/* far: the pieces left to fetch; room for all in runs. */
static int read_far(struct data *d, const struct data_piece **far, size_t count, struct run *runs)
{
	size_t n;

	qsort(far, count, sizeof(far[0]), order);
	n = split_runs(far, count, runs);
	if (n == 1)
		return run_read(d, far, &runs[0]);
	return read_parallel(d, far, runs, n);
}

int data_read(struct data *d, const struct data_piece *pieces, size_t count)
{
	const struct data_piece *small_far[SMALL_COUNT], **far = small_far;
	const struct data_piece **heap_far CLEANUP(free_ptr) = NULL;
	struct run small_runs[SMALL_COUNT], *runs = small_runs;
	struct run *heap_runs CLEANUP(free_ptr) = NULL;
	size_t n = 0;

	if (count > SMALL_COUNT) {
		far = heap_far = calloc(count, sizeof(*far));
		runs = heap_runs = calloc(count, sizeof(*runs));
		if (!far || !runs)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		int err = check_piece(&pieces[i]);

		if (err == 0)
			err = read_near(d, &pieces[i]);
		if (err < 0)
			return err;
		if (err == 0)
			far[n++] = &pieces[i];
	}
	return n == 0 ? 0 : read_far(d, far, n, runs);
}

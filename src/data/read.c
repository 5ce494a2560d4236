/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read: pieces of extents, from memory or through the cache.
 *
 *	data_read ── near: segment in memory, hot extent ─────────────── verify, unpack, copy
 *	    └─────── far: sort, join neighbours to runs ── run_read (parallel) ── cache_view
 *	                                                       └── verify, unpack, copy ──┘
 *
 * Bytes are checked and copied to the reader from where the cache has them. Nothing is copied
 * before its checksum was right: that of the extent, or of the block.
 */
#include "data/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Most reads have few pieces: no allocation for them. */
#define SMALL_COUNT 32
#define NOTE_BYTES 256

struct want {
	struct stretch at; /* what the piece takes of the object */
	const struct data_piece *piece;
};

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

static struct want want_of(const struct data_piece *p, enum data_reach reach)
{
	struct want w = { data_stretch_of(&p->ref), p };

	if (p->ref.codec == DATA_BLOCKS && reach == DATA_EXACT)
		data_blocks_range(&p->ref, p->raw_offset, p->len, &w.at.start, &w.at.end);
	return w;
}

/* Part of an extent that had to be decompressed: its other parts are likely to be wanted next. */
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

/* Raw and LZ4: all stored bytes are needed at once. */
static int deliver_extent(struct data *d, const struct data_piece *p, const struct cache_view *view)
{
	uint8_t scratch[DATA_EXTENT_MAX];
	const uint8_t *stored = cache_view_bytes(view, p->ref.offset, p->ref.stored_bytes, scratch);
	int err = data_extent_verify(&p->ref, stored);

	if (err < 0)
		return err;
	if (is_whole(p))
		return data_extent_unpack(&p->ref, stored, p->dst);
	if (p->ref.codec == DATA_LZ4)
		return unpack_part(d, p, stored);
	memcpy(p->dst, stored + p->raw_offset, p->len);
	return 0;
}

static bool is_hot(struct data *d, const struct data_piece *p)
{
	return p->ref.codec == DATA_LZ4 && !is_whole(p) &&
	       data_hot_copy(&d->hot, &p->ref, p->raw_offset, p->len, p->dst);
}

static int deliver(struct data *d, const struct data_piece *p, const struct cache_view *view)
{
	if (p->ref.codec == DATA_BLOCKS)
		return data_blocks_open(&p->ref, p->raw_offset, p->len, view, p->dst);
	return is_hot(d, p) ? 0 : deliver_extent(d, p, view);
}

/* 1: done; 0: it has to come from the store. */
static int read_near(struct data *d, const struct data_piece *p)
{
	uint64_t end = (uint64_t)p->ref.offset + p->ref.stored_bytes;
	struct cache_view view;
	struct segment *seg;
	uint32_t len;
	int err;

	if (is_hot(d, p))
		return 1;
	seg = data_seg_get(d, p->ref.segment, &len);
	if (!seg)
		return 0;
	if (end <= len) {
		cache_view_of(&view, 0, seg->bytes, len);
		err = deliver(d, p, &view);
		err = err < 0 ? err : 1;
	} else if (seg->recovered) {
		err = 0; /* past what slots carried: the old writer stored it */
	} else {
		err = err_note(-L3_CORRUPT, "an extent past the end of a segment being written");
	}
	data_seg_put(seg);
	return err;
}

static int deliver_run(struct data *d, const struct want *wants, const struct run *run,
		       const struct cache_view *view)
{
	int err = 0;

	for (size_t i = run->first; i < run->first + run->count && err == 0; i++)
		err = deliver(d, wants[i].piece, view);
	return err;
}

/*
 * How much a miss brings along, within a window of 128 KiB of the object.
 *
 * Who goes on from here gets all of it: files written together are read together, and where a
 * request takes 30 ms, these bytes take two more.
 *
 * Who jumps about gets exactly what was asked for: of a large database of which little is looked
 * at, nothing is fetched in vain. But a request costs as much time as a MiB or two, so a database
 * or a pack file that is looked at all over must not cost one for each page for ever. Who comes to
 * a window of which a part is in the cache has come back to it, and is likely to come again: then
 * it is eight times as much as was wanted so far, around what is wanted now. So the third request
 * to a window at the latest (of 4 KiB each) brings all of it, for an eighth more bytes than it has;
 * and one page in 128 KiB costs one page. The cache itself is the memory of this: what it has lost
 * is wanted no more.
 */
#define WINDOW_BYTES (128 * KIB)
#define WINDOW_GROWTH 8

static uint64_t window_bytes(struct data *d, const char *key, const struct stretch *at,
			     enum data_reach reach)
{
	uint64_t held, bytes = WINDOW_BYTES;

	if (reach == DATA_AROUND)
		return WINDOW_BYTES;
	held = cache_held(d->config.cache, key, at->start - at->start % WINDOW_BYTES, WINDOW_BYTES);
	while (bytes > held * WINDOW_GROWTH)
		bytes /= 2;
	return bytes;
}

static int view_run(struct data *d, const char *key, const struct run *run, enum data_reach reach,
		    struct cache_view *ret)
{
	uint64_t from = run->at.start, to = run->at.end, bytes = WINDOW_BYTES;
	int err;

	if (to - from < WINDOW_BYTES)
		bytes = window_bytes(d, key, &run->at, reach);
	if (to - from < bytes) {
		from -= from % bytes;
		to += bytes - 1 - (to - 1) % bytes;
	}
	err = cache_view(d->config.cache, key, run->at.start, run->at.end - run->at.start, from,
			 to - from, ret);
	if (err == -ENOENT)
		return err_wrap(-L3_CORRUPT, "%s is missing, but durable state names it", key);
	return err;
}

/* A copy damaged on the way or in the cache says nothing about the object. */
static int doubt_run(struct data *d, const char *key, const struct stretch *at,
		     const struct cache_view *view, struct cache_doubt *doubt)
{
	size_t len = at->end - at->start;
	uint8_t *scratch CLEANUP(free_ptr) = malloc(len);

	if (!scratch)
		return -ENOMEM;
	return cache_doubt(d->config.cache, doubt, key, at->start,
			   cache_view_bytes(view, at->start, len, scratch), len);
}

/* 1: another try is due. */
static int run_try(struct data *d, const char *key, const struct want *wants, const struct run *run,
		   enum data_reach reach, struct cache_doubt *doubt)
{
	struct cache_view view;
	int err = view_run(d, key, run, reach, &view);

	if (err < 0)
		return err;
	err = deliver_run(d, wants, run, &view);
	if (err == -L3_CORRUPT) {
		err = doubt_run(d, key, &run->at, &view, doubt);
		err = err < 0 ? err : 1;
	}
	cache_view_release(&view);
	return err;
}

static int run_read(struct data *d, const struct want *wants, const struct run *run,
		    enum data_reach reach)
{
	struct cache_doubt doubt = { 0 };
	char key[DATA_KEY_MAX];
	int err;

	data_key(run->at.segment, key);
	do
		err = run_try(d, key, wants, run, reach, &doubt);
	while (err > 0);
	return err;
}

/*
 * Several runs of one read. Threads and caller take the next run until none is left; the caller
 * waits only for runs already taken, so a busy pool delays nobody. A thread that comes too late
 * finds nothing to do, and only drops its reference.
 */
struct read_job {
	struct data *d;
	const struct want *wants;
	const struct run *runs;
	size_t count;
	enum data_reach reach;

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
			err = run_read(job->d, job->wants, run, job->reach);
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

static int read_parallel(struct data *d, const struct want *wants, const struct run *runs,
			 size_t count, enum data_reach reach)
{
	size_t helpers = min_u64(count - 1, d->read_pool ? d->config.read_threads : 0);
	struct read_job *job = calloc(1, sizeof(*job));
	int err;

	if (!job)
		return -ENOMEM;
	*job = (struct read_job){
		.d = d, .wants = wants, .runs = runs, .count = count, .reach = reach, .refs = 1
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

static size_t split_runs(const struct want *wants, size_t count, struct run *runs)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (n == 0 || !data_run_extend(&runs[n - 1], &wants[i].at, RUN_MAX_BYTES))
			data_run_begin(&runs[n++], &wants[i].at, i);
	}
	return n;
}

/* far: what is left to fetch; room for all in runs. */
static int read_far(struct data *d, struct want *far, size_t count, struct run *runs,
		    enum data_reach reach)
{
	size_t n;

	qsort(far, count, sizeof(far[0]), data_stretch_order);
	n = split_runs(far, count, runs);
	if (n == 1)
		return run_read(d, far, &runs[0], reach);
	return read_parallel(d, far, runs, n, reach);
}

static int read_pieces(struct data *d, const struct data_piece *pieces, size_t count,
		       enum data_reach reach)
{
	struct want small_far[SMALL_COUNT], *far = small_far;
	struct want *heap_far CLEANUP(free_ptr) = NULL;
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
			far[n++] = want_of(&pieces[i], reach);
	}
	return n == 0 ? 0 : read_far(d, far, n, runs, reach);
}

int data_read(struct data *d, const struct data_piece *pieces, size_t count, enum data_reach reach)
{
	int err = read_pieces(d, pieces, count, reach);

	/* It may be what is around that is missing or damaged. */
	if (err == -L3_CORRUPT && reach == DATA_AROUND)
		err = read_pieces(d, pieces, count, DATA_EXACT);
	return err;
}

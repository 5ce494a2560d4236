/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upload: sealed segments become objects, and waiting for that.
 *
 * The store waits out its troubles itself (config.forever). What still comes back is definite: the
 * segment has FAILED, its bytes stay readable in memory, and whoever waits for it learns why.
 */
#include "data/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int put_object(struct segment *seg, const char *key)
{
	struct iovec iov[2] = {
		{ .iov_base = seg->bytes, .iov_len = seg->len },
		{ .iov_base = seg->index.data, .iov_len = seg->index.len },
	};
	struct store_put put = { .key = key, .iov = iov, .iovcnt = 2, .cond = STORE_CREATE };
	struct store_meta meta;

	return store_put(seg->owner->config.forever, &put, &meta);
}

int data_seg_meet_recovered(struct segment *seg, const char *key)
{
	struct buf there CLEANUP(buf_release) = BUF_INIT;
	int err = store_get(seg->owner->config.forever, key, 0, seg->len, &there, NULL);

	if (err == -ENOENT)
		return err_note(-L3_CORRUPT, "%s is missing, but the database refers to it", key);
	if (err < 0)
		return err;
	if (there.len != seg->len || memcmp(there.data, seg->bytes, seg->len) != 0)
		return err_note(-L3_CORRUPT, "%s differs from what the commits carried of it", key);
	return 0;
}

/* Somebody wrote our name: we did (an answer got lost), a newer epoch that recovered it, or
 * nonsense. */
static int meet_own(struct segment *seg, const char *key)
{
	struct buf there CLEANUP(buf_release) = BUF_INIT;
	size_t len = seg->len, total = len + seg->index.len;
	int err = store_get(seg->owner->config.forever, key, 0, total + 1, &there, NULL);

	if (err == -ENOENT)
		return err_note(-L3_FENCED, "%s was made and removed by another mount", key);
	if (err < 0)
		return err;
	if (there.len == total && memcmp(there.data, seg->bytes, len) == 0 &&
	    memcmp(there.data + len, seg->index.data, seg->index.len) == 0)
		return 0;
	if (there.len >= SEGMENT_HEAD_BYTES &&
	    memcmp(there.data, seg->bytes, SEGMENT_HEAD_BYTES) == 0)
		return err_note(-L3_FENCED, "%s was written by a newer mount", key);
	return err_note(-L3_CORRUPT, "%s exists and is not ours", key);
}

static int make_durable(struct segment *seg, const char *key)
{
	int err;

	if (seg->must_exist)
		return data_seg_meet_recovered(seg, key);
	data_footer_put(&seg->index, seg->id, seg->len, seg->count);
	err = buf_error(&seg->index);
	if (err == 0)
		err = put_object(seg, key);
	if (err == -L3_PRECONDITION)
		err = seg->recovered ? data_seg_meet_recovered(seg, key) : meet_own(seg, key);
	return err;
}

static void write_through(struct segment *seg, const char *key)
{
	cache_insert(seg->owner->config.cache, key, 0, seg->bytes, seg->len, true);
}

static void decide(struct data *d, struct segment *seg, int err)
{
	pthread_mutex_lock(&d->lock);
	if (err == 0) {
		seg->state = SEG_DURABLE;
		seg->settling = true;
		d->segments_stored++;
	} else {
		seg->state = SEG_FAILED;
		seg->error = err;
		seg->note = strdup(err_last_note()); /* NULL: just without the words */
	}
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

/* Nobody waits for a local disk: commits go on; readers have the memory until the cache has it. */
static void settle(struct data *d, struct segment *seg, const char *key)
{
	struct segment *dropped;

	if (seg->class == DATA_STREAM && d->config.on_durable)
		d->config.on_durable(d->config.ctx, seg->id);
	write_through(seg, key);
	pthread_mutex_lock(&d->lock);
	seg->settling = false;
	dropped = data_seg_drop_locked(d, seg);
	pthread_mutex_unlock(&d->lock);
	data_seg_put(dropped);
}

static void upload(struct data *d, struct segment *seg)
{
	char key[DATA_KEY_MAX];
	int err;

	data_key(seg->id, key);
	err = make_durable(seg, key);
	log_debug("%s: %u bytes, %u extents: %s", key, seg->len, seg->count, err_text(err));
	decide(d, seg, err);
	if (err == 0)
		settle(d, seg, key);
}

static bool is_urgent(const struct segment *seg)
{
	return seg->class == DATA_COMMIT || seg->required;
}

/*
 * What somebody waits for goes first, then the oldest. Streams never have all the threads: the one
 * beyond config.upload_threads is kept for a commit that comes while they are busy. Nor do they have the
 * others where commits suffer (pace.c).
 */
static struct segment *pick_locked(struct data *d)
{
	struct clock *clock = d->config.clock;
	bool full = d->streams_uploading >= data_pace_locked(d, clock->mono_ns(clock));
	struct segment *seg, *next, *best = NULL;

	HASH_ITER (hh, d->table, seg, next) {
		if (d->closing || seg->state != SEG_QUEUED)
			continue;
		if (is_urgent(seg)) {
			best = seg;
			break;
		}
		if (!best && !full)
			best = seg;
	}
	return best;
}

void data_upload_job(void *data)
{
	struct data *d = data;
	struct segment *seg;

	pthread_mutex_lock(&d->lock);
	while ((seg = pick_locked(d))) {
		bool stream = !is_urgent(seg);

		seg->state = SEG_UPLOADING;
		atomic_fetch_add(&seg->refs, 1);
		d->streams_uploading += stream;
		pthread_mutex_unlock(&d->lock);
		upload(d, seg);
		data_seg_put(seg);
		pthread_mutex_lock(&d->lock);
		d->streams_uploading -= stream;
	}
	pthread_mutex_unlock(&d->lock);
}

bool data_is_durable(struct data *d, uint64_t segment)
{
	struct segment *seg;
	bool durable;

	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, segment);
	durable = !seg || seg->state == SEG_DURABLE;
	pthread_mutex_unlock(&d->lock);
	return durable;
}

/* 1: not decided yet. */
static int judge_locked(struct data *d, uint64_t segment)
{
	struct segment *seg = data_seg_find_locked(d, segment);

	if (!seg || seg->state == SEG_DURABLE)
		return 0;
	if (seg->state == SEG_FAILED)
		return err_note(seg->error, "%s", seg->note ? seg->note : "upload failed");
	if (d->cancelled)
		return err_note(-ECANCELED, "waiting for an upload was cancelled");
	if (!d->upload_pool)
		return err_note(-EROFS, "opened for reading only");
	data_seg_seal_locked(d, seg);
	data_seg_kick_locked(d);
	return 1;
}

int data_wait(struct data *d, uint64_t segment)
{
	int state;

	pthread_mutex_lock(&d->lock);
	/* A kick that lacked memory is repeated now and then. */
	while ((state = judge_locked(d, segment)) > 0)
		(void)cond_wait_ms(&d->changed, &d->lock, 1000);
	pthread_mutex_unlock(&d->lock);
	return state;
}

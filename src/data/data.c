/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data: opening, closing, cancelling and counting.
 */
#include "data/segment.h"

#include <errno.h>
#include <stdlib.h>

static int check_config(const struct data_config *c)
{
	if (c->epoch > UINT32_MAX)
		return err_note(-EOVERFLOW, "epoch %llu", (unsigned long long)c->epoch);
	if (c->epoch == 0)
		return 0;
	if (c->segment_bytes < SEGMENT_HEAD_BYTES + DATA_STORED_MAX ||
	    c->segment_bytes > SEGMENT_MAX_BYTES)
		return err_note(-L3_BAD_OPTION,
				"segment size %llu is not within 129 KiB and 256 MiB",
				(unsigned long long)c->segment_bytes);
	if (c->upload_threads == 0)
		return err_note(-L3_BAD_OPTION, "no upload threads");
	return 0;
}

static int start_pools(struct data *d)
{
	int err = 0;

	if (d->config.epoch != 0)
		err = pool_new("upload", d->config.upload_threads + 1, &d->upload_pool);
	if (err == 0 && d->config.read_threads > 0)
		err = pool_new("read", d->config.read_threads, &d->read_pool);
	return err;
}

int data_open(const struct data_config *config, struct data **ret)
{
	struct data *d;
	int err = check_config(config);

	if (err < 0)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->config = *config;
	d->config.forever = store_ref(config->forever);
	if (!d->config.clock)
		d->config.clock = &clock_system;
	data_pace_init(d);
	pthread_mutex_init(&d->lock, NULL);
	cond_init(&d->changed);
	data_hot_init(&d->hot, DATA_HOT_BYTES);
	if (config->epoch != 0 && config->budget)
		d->spare_max = (unsigned)min_u64(
			config->budget->limit_bytes / 4 / config->segment_bytes, DATA_SPARES_MAX);
	err = start_pools(d);
	if (err < 0) {
		data_close(d);
		return err;
	}
	*ret = d;
	return 0;
}

static void drop_segments(struct data *d)
{
	struct segment *seg, *next;

	HASH_ITER (hh, d->table, seg, next) {
		HASH_DEL(d->table, seg);
		if (d->config.budget)
			budget_give(d->config.budget, seg->budget_bytes);
		data_seg_put(seg);
	}
}

void data_close(struct data *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->closing = true;
	d->cancelled = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	pool_free(d->upload_pool);
	pool_free(d->read_pool);
	drop_segments(d);
	data_seg_drop_spares(d);
	data_hot_release(&d->hot);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	store_unref(d->config.forever);
	free(d);
}

void data_cancel(struct data *d)
{
	pthread_mutex_lock(&d->lock);
	d->cancelled = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

void data_stats(struct data *d, struct data_stats *ret)
{
	struct segment *seg, *next;

	*ret = (struct data_stats){ 0 };
	pthread_mutex_lock(&d->lock);
	HASH_ITER (hh, d->table, seg, next) {
		if (seg->state == SEG_OPEN)
			ret->open_bytes += seg->len;
		else if (seg->state != SEG_DURABLE)
			ret->uploading_bytes += seg->len;
	}
	ret->segments_stored = d->segments_stored;
	ret->raw_bytes = d->raw_bytes;
	ret->stored_bytes = d->stored_bytes;
	pthread_mutex_unlock(&d->lock);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cut: what a commit has to carry or to wait for, and where the carried bytes end up.
 *
 * A reference in the database points into a commit segment (always) or into a required stream
 * segment (or a durable one). A cut is whole when every byte of these is in an object, in this
 * slot, in an earlier slot (slots are one line: this one counts only if the earlier ones do), or
 * waited for.
 */
#include "data/segment.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Bytes that neither an object nor a slot has. */
static uint32_t bare_bytes(const struct segment *seg)
{
	if (seg->class != DATA_COMMIT || seg->state == SEG_DURABLE || seg->recovered)
		return 0;
	return seg->len - seg->carried_upto;
}

static void add_part(struct data_cut *cut, struct segment *seg)
{
	uint32_t len = bare_bytes(seg);

	if (len == 0)
		return;
	assert(seg->writers == 0); /* the seal lock keeps appends out */
	cut->parts[cut->part_count++] = (struct data_part){
		.segment = seg->id,
		.offset = seg->carried_upto,
		.data = seg->bytes + seg->carried_upto,
		.len = len,
	};
	seg->carried_upto = seg->len;
	seg->has_parts = true;
	seg->parts_out++;
}

static bool must_wait(const struct segment *seg)
{
	if (seg->state == SEG_DURABLE)
		return false;
	return seg->class == DATA_STREAM ? seg->required : bare_bytes(seg) > 0;
}

/* Everything unsent fits into the slot, and nothing of it has failed to become an object. */
static bool fits(struct data *d)
{
	struct segment *seg, *next;
	uint64_t total = 0;

	HASH_ITER (hh, d->table, seg, next) {
		uint32_t bare = bare_bytes(seg);

		if (bare > 0 && seg->state == SEG_FAILED)
			return false;
		total += bare;
	}
	return total <= d->config.embed_bytes;
}

static void plan_locked(struct data *d, struct data_cut *cut)
{
	bool all = fits(d);
	struct segment *seg, *next;

	HASH_ITER (hh, d->table, seg, next) {
		bool small = bare_bytes(seg) <= d->config.embed_bytes;

		/* What is open stays open if the slot can take it: others are waited for. */
		if (bare_bytes(seg) > 0 && (all || (seg->state == SEG_OPEN && small))) {
			add_part(cut, seg);
		} else if (must_wait(seg)) {
			data_seg_seal_locked(d, seg);
			cut->waits[cut->wait_count++] = seg->id;
		}
	}
	data_seg_kick_locked(d);
}

int data_cut(struct data *d, struct data_cut *ret)
{
	struct data_cut cut = { 0 };
	size_t count;
	int err = 0;

	pthread_mutex_lock(&d->lock);
	count = HASH_COUNT(d->table);
	if (count > 0) {
		cut.parts = calloc(count, sizeof(*cut.parts));
		cut.waits = calloc(count, sizeof(*cut.waits));
		if (cut.parts && cut.waits)
			plan_locked(d, &cut);
		else
			err = -ENOMEM;
	}
	pthread_mutex_unlock(&d->lock);
	if (err < 0) {
		data_cut_release(&cut);
		return err;
	}
	*ret = cut;
	return 0;
}

void data_cut_release(struct data_cut *cut)
{
	free(cut->parts);
	free(cut->waits);
	*cut = (struct data_cut){ 0 };
}

void data_part_done(struct data *d, uint64_t segment, int result)
{
	struct segment *seg, *dropped;

	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, segment);
	assert(seg && seg->parts_out > 0);
	seg->parts_out--;
	if (result != 0)
		seg->carried_upto = seg->carried_done; /* the next cut carries them once more */
	else if (seg->parts_out == 0)
		seg->carried_done = seg->carried_upto;
	dropped = data_seg_drop_locked(d, seg);
	pthread_mutex_unlock(&d->lock);
	data_seg_put(dropped);
}

void data_require(struct data *d, uint64_t segment)
{
	struct segment *seg;

	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, segment);
	if (seg && seg->state != SEG_DURABLE && seg->class == DATA_STREAM) {
		seg->required = true;
		if (seg->state == SEG_QUEUED)
			seg->state = SEG_SEALED; /* once more, now urgent */
		data_seg_seal_locked(d, seg);
		data_seg_kick_locked(d);
	}
	pthread_mutex_unlock(&d->lock);
}

/* Starts the upload of all that slots carry; *ret: their ids. */
static int begin_storing(struct data *d, uint64_t **ret, size_t *ret_count)
{
	struct segment *seg, *next;
	int err = 0;

	pthread_mutex_lock(&d->lock);
	*ret = calloc(HASH_COUNT(d->table) + 1, sizeof(**ret));
	*ret_count = 0;
	if (!*ret)
		err = -ENOMEM;
	HASH_ITER (hh, d->table, seg, next) {
		if (err < 0 || !seg->has_parts || seg->state == SEG_DURABLE)
			continue;
		(*ret)[(*ret_count)++] = seg->id;
		if (d->upload_pool)
			data_seg_seal_locked(d, seg);
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

int data_store_parts(struct data *d)
{
	uint64_t *ids CLEANUP(free_ptr) = NULL;
	size_t count;
	int err = begin_storing(d, &ids, &count);

	for (size_t i = 0; i < count && err == 0; i++)
		err = data_wait(d, ids[i]);
	return err;
}

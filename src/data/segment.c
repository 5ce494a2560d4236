/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment: the life of segments in memory, and appending to them.
 */
#include "data/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL_PAGED_BYTES (2 * MIB)

/* True: somebody else will use it. */
static bool keep_spare(struct segment *seg)
{
	struct data *d = seg->owner;
	bool keep;

	if (seg->class != DATA_STREAM || seg->recovered)
		return false;
	pthread_mutex_lock(&d->lock);
	keep = !d->closing && d->spare_count < d->spare_max;
	if (keep)
		d->spares[d->spare_count++] = seg->bytes;
	pthread_mutex_unlock(&d->lock);
	return keep;
}

void data_seg_drop_spares(struct data *d)
{
	uint8_t *spares[DATA_SPARES_MAX];
	unsigned count;

	pthread_mutex_lock(&d->lock);
	count = d->closing || HASH_COUNT(d->table) == 0 ? d->spare_count : 0;
	memcpy(spares, d->spares, sizeof(spares));
	d->spare_count -= count;
	pthread_mutex_unlock(&d->lock);
	while (count > 0)
		(void)munmap(spares[--count], d->config.segment_bytes);
}

static void segment_free(struct segment *seg)
{
	if (seg->bytes && !keep_spare(seg))
		(void)munmap(seg->bytes, seg->capacity);
	buf_release(&seg->index);
	free(seg->note);
	free(seg);
}

void data_seg_put(struct segment *seg)
{
	if (seg && atomic_fetch_sub(&seg->refs, 1) == 1)
		segment_free(seg);
}

static uint8_t *map_bytes(size_t capacity)
{
	void *p = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* A segment that grows is likely to become full: what it has beyond its beginning may come in huge pages, one
 * fault for each instead of 512. Those that stay small, and there may be many, take no more than they need. */
static void ask_for_huge_pages(uint8_t *bytes, size_t capacity)
{
#ifdef MADV_HUGEPAGE
	if (capacity > SMALL_PAGED_BYTES)
		(void)madvise(bytes + SMALL_PAGED_BYTES, capacity - SMALL_PAGED_BYTES,
			      MADV_HUGEPAGE);
#endif
}

static uint8_t *take_bytes(struct data *d, enum data_class class, bool recovered, size_t capacity)
{
	uint8_t *bytes;

	if (class == DATA_STREAM && !recovered && d->spare_count > 0)
		return d->spares[--d->spare_count];
	bytes = map_bytes(capacity);
	if (bytes && class == DATA_STREAM && !recovered && d->spare_max > 0)
		ask_for_huge_pages(bytes, capacity);
	return bytes;
}

int data_seg_new_locked(struct data *d, uint64_t id, enum data_class class, bool recovered,
			size_t capacity, struct segment **ret)
{
	struct segment *seg = calloc(1, sizeof(*seg));

	if (!seg)
		return -ENOMEM;
	seg->owner = d;
	seg->id = id;
	seg->class = class;
	seg->recovered = recovered;
	seg->state = recovered ? SEG_RECOVERED : SEG_OPEN;
	seg->capacity = capacity;
	atomic_init(&seg->refs, 1);
	seg->bytes = take_bytes(d, class, recovered, capacity);
	if (!seg->bytes)
		goto undo;
	HASH_ADD(hh, d->table, id, sizeof(seg->id), seg);
	if (!seg->hh.tbl)
		goto undo;
	*ret = seg;
	return 0;
undo:
	if (seg->bytes)
		(void)munmap(seg->bytes, capacity);
	free(seg);
	return -ENOMEM;
}

struct segment *data_seg_find_locked(struct data *d, uint64_t id)
{
	struct segment *seg;

	HASH_FIND(hh, d->table, &id, sizeof(id), seg);
	return seg;
}

struct segment *data_seg_get(struct data *d, uint64_t id, uint32_t *ret_len)
{
	struct segment *seg;

	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, id);
	if (seg) {
		atomic_fetch_add(&seg->refs, 1);
		*ret_len = seg->len;
	}
	pthread_mutex_unlock(&d->lock);
	return seg;
}

void data_seg_charge_locked(struct data *d, struct segment *seg, uint64_t bytes)
{
	seg->budget_bytes += bytes;
	if (d->config.budget)
		budget_force(d->config.budget, bytes);
}

struct segment *data_seg_drop_locked(struct data *d, struct segment *seg)
{
	if (seg->state != SEG_DURABLE || seg->settling || seg->parts_out > 0)
		return NULL;
	HASH_DEL(d->table, seg);
	if (d->config.budget)
		budget_give(d->config.budget, seg->budget_bytes);
	return seg;
}

static void queue_locked(struct data *d, struct segment *seg)
{
	if (seg->state != SEG_SEALED || seg->writers > 0)
		return;
	seg->state = SEG_QUEUED;
	if (pool_submit(d->upload_pool, data_upload_job, d) < 0)
		seg->state = SEG_SEALED; /* the next kick tries again */
}

void data_seg_kick_locked(struct data *d)
{
	struct segment *seg, *next;

	HASH_ITER (hh, d->table, seg, next) {
		queue_locked(d, seg);
	}
}

void data_seg_seal_locked(struct data *d, struct segment *seg)
{
	if (seg->state != SEG_OPEN && seg->state != SEG_RECOVERED)
		return;
	if (d->open[seg->class] == seg)
		d->open[seg->class] = NULL;
	seg->state = SEG_SEALED;
	data_seg_kick_locked(d);
}

static int open_locked(struct data *d, enum data_class class)
{
	struct segment *seg;
	int err;

	if (d->last_n == UINT32_MAX)
		return err_note(-EOVERFLOW, "this epoch has used up its segment numbers");
	err = data_seg_new_locked(d, d->config.epoch << 32 | (d->last_n + 1), class, false,
				  d->config.segment_bytes, &seg);
	if (err < 0)
		return err;
	d->last_n++;
	data_head_put(seg->bytes, &d->config.fs, seg->id);
	seg->len = SEGMENT_HEAD_BYTES;
	data_seg_charge_locked(d, seg, SEGMENT_HEAD_BYTES);
	d->open[class] = seg;
	return 0;
}

struct place {
	struct segment *seg;
	uint32_t entry; /* in the index */
};

/* Gives the extent its place and its index entry; the caller copies, then calls writer_done. */
static int reserve_locked(struct data *d, enum data_class class, uint64_t ino, uint64_t file_offset,
			  struct data_ref *ref, struct place *ret)
{
	struct segment *seg = d->open[class];
	int err = 0;

	if (seg && seg->len + ref->stored_bytes > seg->capacity) {
		data_seg_seal_locked(d, seg);
		seg = NULL;
	}
	if (!seg)
		err = open_locked(d, class);
	if (err < 0)
		return err;
	seg = d->open[class];
	/* Room for the footer as well, so that an upload needs no memory of ours. */
	err = buf_reserve(&seg->index, SEGMENT_ENTRY_BYTES + SEGMENT_FOOTER_BYTES);
	if (err < 0)
		return err;
	ref->segment = seg->id;
	ref->offset = seg->len;
	data_entry_put(&seg->index, ino, file_offset, ref);
	*ret = (struct place){ seg, seg->count++ };
	seg->len += ref->stored_bytes;
	seg->writers++;
	data_seg_charge_locked(d, seg, ref->stored_bytes + SEGMENT_ENTRY_BYTES);
	d->raw_bytes += ref->raw_bytes;
	d->stored_bytes += ref->stored_bytes;
	return 0;
}

static void writer_done(struct data *d, const struct place *at, uint64_t sum)
{
	struct segment *seg = at->seg;

	pthread_mutex_lock(&d->lock);
	data_entry_set_sum(&seg->index, at->entry, sum);
	seg->writers--;
	queue_locked(d, seg);
	pthread_mutex_unlock(&d->lock);
}

int data_append(struct data *d, enum data_class class, uint64_t ino, uint64_t file_offset,
		const void *raw, size_t raw_bytes, struct data_ref *ret)
{
	uint8_t scratch[DATA_EXTENT_MAX]; /* on the stack: no page faults at every extent */
	struct data_ref ref = { .segment = 0 };
	const void *packed;
	struct place at;
	int err;

	if (d->config.epoch == 0)
		return err_note(-EROFS, "opened for reading only");
	if (raw_bytes == 0 || raw_bytes > DATA_EXTENT_MAX)
		return -EINVAL;
	packed = data_extent_pack(d->config.compress, raw, raw_bytes, scratch, &ref);
	pthread_mutex_lock(&d->lock);
	err = reserve_locked(d, class, ino, file_offset, &ref, &at);
	pthread_mutex_unlock(&d->lock);
	if (err < 0)
		return err;
	data_extent_seal(packed, at.seg->bytes + ref.offset, &ref);
	writer_done(d, &at, ref.sum);
	*ret = ref;
	return 0;
}

void data_push_stream(struct data *d)
{
	pthread_mutex_lock(&d->lock);
	if (d->open[DATA_STREAM])
		data_seg_seal_locked(d, d->open[DATA_STREAM]);
	data_seg_kick_locked(d);
	pthread_mutex_unlock(&d->lock);
	data_seg_drop_spares(d);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recover: segments whose bytes were found in commit slots.
 *
 * They are read from memory until data_store_parts has made them objects. The object may exist
 * already, and may then be longer: parts stop being carried once a segment is full, and references
 * to what lies beyond them are read from the object, which some slot waited for.
 */
#include "data/segment.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Address space to begin with; memory comes with the bytes. */
#define RECOVER_BYTES (2 * MIB)

static int refuse(uint64_t segment, const char *what)
{
	char key[DATA_KEY_MAX];

	data_key(segment, key);
	return err_note(-L3_CORRUPT, "%s: a part found in a slot %s", key, what);
}

static int begin_locked(struct data *d, uint64_t segment, uint64_t offset, const void *bytes,
			size_t len, struct segment **ret)
{
	int err;

	if (d->config.epoch != 0 && segment >> 32 >= d->config.epoch)
		return refuse(segment, "is of our own epoch or a later one");
	if (offset != 0)
		return refuse(segment, "has no beginning");
	err = data_head_check(bytes, len, &d->config.fs, segment);
	if (err < 0)
		return err;
	return data_seg_new_locked(d, segment, DATA_COMMIT, true, RECOVER_BYTES, ret);
}

/* The old writer's segments may have been larger than ours. Moves: nobody reads before the last
 * part. */
static int grow_locked(struct segment *seg, size_t need)
{
	size_t capacity = seg->capacity;
	void *moved;

	if (need > SEGMENT_MAX_BYTES)
		return refuse(seg->id, "is too large");
	while (capacity < need)
		capacity *= 2;
	if (capacity == seg->capacity)
		return 0;
	moved = mremap(seg->bytes, seg->capacity, capacity, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED)
		return -ENOMEM;
	seg->bytes = moved;
	seg->capacity = capacity;
	return 0;
}

/* A slot whose outcome was unknown may have been written, and its bytes carried once more: same
 * bytes. */
static int join_locked(struct data *d, struct segment *seg, uint64_t offset, const uint8_t *bytes,
		       size_t len)
{
	size_t known;
	int err;

	if (!seg->recovered || seg->state != SEG_RECOVERED)
		return refuse(seg->id, "comes too late");
	if (offset > seg->len)
		return refuse(seg->id, "leaves a gap");
	err = len > SEGMENT_MAX_BYTES ? refuse(seg->id, "is too large")
				      : grow_locked(seg, offset + len);
	if (err < 0)
		return err;
	known = min_u64(len, seg->len - offset);
	if (memcmp(seg->bytes + offset, bytes, known) != 0)
		return refuse(seg->id, "contradicts an earlier one");
	memcpy(seg->bytes + offset + known, bytes + known, len - known);
	data_seg_charge_locked(d, seg, len - known);
	seg->len += (uint32_t)(len - known);
	seg->carried_upto = seg->carried_done = seg->len;
	seg->has_parts = true;
	return 0;
}

int data_recover_part(struct data *d, uint64_t segment, uint64_t offset, const void *bytes,
		      size_t len)
{
	struct segment *seg;
	int err = 0;

	/* The copy under the lock is fine here: nobody reads or writes yet. */
	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, segment);
	if (!seg)
		err = begin_locked(d, segment, offset, bytes, len, &seg);
	if (err == 0)
		err = join_locked(d, seg, offset, bytes, len);
	pthread_mutex_unlock(&d->lock);
	return err;
}

static int index_locked(struct data *d, struct segment *seg, uint64_t ino, uint64_t file_offset,
			const struct data_ref *ref)
{
	int err;

	if (seg->state != SEG_RECOVERED)
		return err_note(-EINVAL, "the index of a recovered segment is closed already");
	if ((uint64_t)ref->offset + ref->stored_bytes > seg->len) {
		seg->must_exist = true;
		return 0;
	}
	err = buf_reserve(&seg->index, SEGMENT_ENTRY_BYTES + SEGMENT_FOOTER_BYTES);
	if (err < 0)
		return err;
	data_entry_put(&seg->index, ino, file_offset, ref);
	seg->count++;
	data_seg_charge_locked(d, seg, SEGMENT_ENTRY_BYTES);
	return 0;
}

int data_recover_index(struct data *d, uint64_t ino, uint64_t file_offset,
		       const struct data_ref *ref)
{
	struct segment *seg;
	int err = data_ref_check(ref);

	if (err < 0)
		return err;
	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, ref->segment);
	if (seg && seg->recovered)
		err = index_locked(d, seg, ino, file_offset, ref);
	pthread_mutex_unlock(&d->lock);
	return err;
}

bool data_is_recovered(struct data *d, uint64_t segment)
{
	struct segment *seg;
	bool recovered;

	pthread_mutex_lock(&d->lock);
	seg = data_seg_find_locked(d, segment);
	recovered = seg && seg->recovered && seg->state != SEG_DURABLE;
	pthread_mutex_unlock(&d->lock);
	return recovered;
}

/* ---- for fsck: what the store has instead ---- */

/* NULL: slots carry nothing of it that is not stored. */
static struct segment *get_recovered(struct data *d, uint64_t id)
{
	uint32_t len;

	return data_is_recovered(d, id) ? data_seg_get(d, id, &len) : NULL;
}

uint64_t data_recovered_bytes(struct data *d, uint64_t segment)
{
	struct segment *seg = get_recovered(d, segment);
	uint64_t len = seg ? seg->len : 0;

	data_seg_put(seg);
	return len;
}

static int check_object(struct segment *seg)
{
	struct store_meta meta;
	char key[DATA_KEY_MAX];
	int err;

	data_key(seg->id, key);
	err = store_head(seg->owner->config.forever, key, &meta);
	if (err == -ENOENT)
		return 0;
	if (err >= 0)
		err = data_seg_meet_recovered(seg, key);
	if (err == -L3_CORRUPT) /* on the way, perhaps */
		err = data_seg_meet_recovered(seg, key);
	return err;
}

int data_recovered_check(struct data *d, uint64_t segment)
{
	struct segment *seg = get_recovered(d, segment);
	int err = seg ? check_object(seg) : 0;

	data_seg_put(seg);
	return err;
}

/* Longer than a segment can be is only what is none. */
#define OBJECT_MAX_BYTES (2 * SEGMENT_MAX_BYTES)

/* Appends what the object has from `offset` on, which must come twice the same: it will be written. */
static int get_tail(struct segment *seg, const char *key, struct buf *out)
{
	struct buf again CLEANUP(buf_release) = BUF_INIT;
	struct store *s = seg->owner->config.forever;
	uint64_t len = OBJECT_MAX_BYTES - seg->len;
	int err = store_get(s, key, seg->len, len, out, NULL);

	if (err >= 0)
		err = store_get(s, key, seg->len, len, &again, NULL);
	if (err < 0)
		return err;
	if (out->len != again.len || (out->len > 0 && memcmp(out->data, again.data, out->len) != 0))
		return err_note(-L3_SERVER, "%s comes differently each time", key);
	return 0;
}

/* Its own end, for an object that has no other. */
static int put_end(struct segment *seg, struct buf *out)
{
	buf_add(out, seg->index.data, seg->index.len);
	data_footer_put(out, seg->id, seg->len, seg->count);
	return buf_error(out);
}

static int replace_object(struct segment *seg)
{
	struct buf tail CLEANUP(buf_release) = BUF_INIT;
	char key[DATA_KEY_MAX];
	struct iovec iov[2] = { { .iov_base = seg->bytes, .iov_len = seg->len } };
	struct store_put put = { .key = key, .iov = iov, .iovcnt = 2, .cond = STORE_ALWAYS };
	struct store_meta meta;
	int err;

	data_key(seg->id, key);
	err = get_tail(seg, key, &tail);
	if (err >= 0 && tail.len == 0)
		err = put_end(seg, &tail);
	if (err < 0)
		return err;
	iov[1] = (struct iovec){ .iov_base = tail.data, .iov_len = tail.len };
	return store_put(seg->owner->config.forever, &put, &meta);
}

int data_recovered_replace(struct data *d, uint64_t segment)
{
	struct segment *seg = get_recovered(d, segment);
	int err = seg ? replace_object(seg) : -ENOENT;

	data_seg_put(seg);
	return err;
}

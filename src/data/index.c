/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index: what a stored segment says about itself; for the cleaner and fsck.
 */
#include "data/segment.h"

#include <errno.h>
#include <stdlib.h>

/* The second GET brings this much of the end: footer and, for most segments, the whole index. */
#define TAIL_BYTES (64 * KIB)

static int corrupt(const char *key, const char *what)
{
	return err_note(-L3_CORRUPT, "%s: %s", key, what);
}

/* Appends exactly [offset, offset + len). */
static int get_exactly(struct data *d, const char *key, uint64_t offset, size_t len,
		       struct buf *out, struct store_meta *ret_meta)
{
	int err = store_get(d->config.forever, key, offset, len, out, ret_meta);

	if (err < 0)
		return err;
	return out->len == len ? 0 : corrupt(key, "shorter than it says");
}

static int check_head(struct data *d, const char *key, uint64_t segment, uint64_t *ret_bytes)
{
	struct buf head CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	int err = get_exactly(d, key, 0, SEGMENT_HEAD_BYTES, &head, &meta);

	if (err == 0)
		err = data_head_check(head.data, head.len, &d->config.fs, segment);
	if (err < 0)
		return err;
	if (meta.size_bytes < SEGMENT_HEAD_BYTES + SEGMENT_FOOTER_BYTES)
		return corrupt(key, "shorter than a segment");
	*ret_bytes = meta.size_bytes;
	return 0;
}

static int entries_from(const uint8_t *index, const struct segment_footer *footer, uint64_t segment,
			struct data_index_entry **ret)
{
	struct data_index_entry *entries = calloc((size_t)footer->count + 1, sizeof(*entries));
	int err;

	if (!entries)
		return -ENOMEM;
	err = data_index_get(index, footer, segment, entries);
	if (err < 0) {
		free(entries);
		return err;
	}
	*ret = entries;
	return 0;
}

static int read_tail(struct data *d, const char *key, uint64_t segment, uint64_t bytes,
		     struct data_index_entry **ret, size_t *ret_count)
{
	struct buf tail CLEANUP(buf_release) = BUF_INIT;
	struct segment_footer footer = { 0 };
	uint64_t from = bytes - min_u64(bytes, TAIL_BYTES);
	int err = get_exactly(d, key, from, bytes - from, &tail, NULL);

	if (err < 0)
		return err;
	err = data_footer_get(tail.data + tail.len - SEGMENT_FOOTER_BYTES, bytes, segment, &footer);
	if (err < 0)
		return err;
	if (footer.index_offset < from) {
		buf_reset(&tail);
		from = footer.index_offset;
		err = get_exactly(d, key, from, bytes - from, &tail, NULL);
		if (err < 0)
			return err;
	}
	err = entries_from(tail.data + (footer.index_offset - from), &footer, segment, ret);
	if (err == 0)
		*ret_count = footer.count;
	return err;
}

int data_read_index(struct data *d, uint64_t segment, struct data_index_entry **ret,
		    size_t *ret_count, uint64_t *ret_object_bytes)
{
	char key[DATA_KEY_MAX];
	uint64_t bytes = 0;
	int err;

	data_key(segment, key);
	if (!data_is_durable(d, segment))
		return err_note(-EBUSY, "%s is not stored yet", key);
	err = check_head(d, key, segment, &bytes);
	if (err == 0)
		err = read_tail(d, key, segment, bytes, ret, ret_count);
	if (err == 0)
		*ret_object_bytes = bytes;
	return err;
}

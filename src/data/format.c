/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format: bytes of segments and extents, and names of objects. See format.h for the layout.
 */
#include "data/format.h"

#include <errno.h>
#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Shorter extents are stored raw: the few bytes won are not worth the work. */
#define COMPRESS_FROM_BYTES 128

static const uint8_t footer_magic[8] = { 'L', '3', 'S', 'E', 'G', 'E', 'N', 'D' };

void data_key(uint64_t segment, char out[DATA_KEY_MAX])
{
	(void)snprintf(out, DATA_KEY_MAX, "data/%010u-%010u", (unsigned)(segment >> 32),
		       (unsigned)(segment & UINT32_MAX));
}

static int parse_digits(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (v > UINT32_MAX)
		return -EINVAL;
	*ret = v;
	return 0;
}

int data_key_parse(const char *key, uint64_t *ret_segment)
{
	uint64_t epoch, n;

	if (strlen(key) != 26 || memcmp(key, "data/", 5) != 0 || key[15] != '-')
		return -EINVAL;
	if (parse_digits(key + 5, &epoch) < 0 || parse_digits(key + 16, &n) < 0)
		return -EINVAL;
	*ret_segment = epoch << 32 | n;
	return 0;
}

static int corrupt(uint64_t segment, const char *what)
{
	char key[DATA_KEY_MAX];

	data_key(segment, key);
	return err_note(-L3_CORRUPT, "%s: %s", key, what);
}

void data_head_put(uint8_t out[SEGMENT_HEAD_BYTES], const struct uuid *fs, uint64_t segment)
{
	frame_put_header(out, FRAME_SEGMENT, fs, 0, 0);
	put_u64(out + FRAME_HEADER_BYTES, segment);
}

int data_head_check(const void *data, size_t len, const struct uuid *fs, uint64_t segment)
{
	char key[DATA_KEY_MAX];
	uint64_t payload_len;
	int err;

	if (len < SEGMENT_HEAD_BYTES)
		return corrupt(segment, "shorter than a segment's head");
	data_key(segment, key);
	err = frame_check_header(data, len, FRAME_SEGMENT, fs, key, &payload_len);
	if (err < 0)
		return err;
	if (payload_len != 0 || get_u64((const uint8_t *)data + FRAME_HEADER_BYTES) != segment)
		return corrupt(segment, "the head belongs to another segment");
	return 0;
}

void data_entry_put(struct buf *index, uint64_t ino, uint64_t file_offset,
		    const struct data_ref *ref)
{
	buf_u64(index, ino);
	buf_u64(index, file_offset);
	buf_u32(index, ref->offset);
	buf_u32(index, ref->stored_bytes);
	buf_u32(index, ref->raw_bytes);
	buf_u8(index, ref->codec);
	buf_u64(index, ref->sum);
}

void data_entry_set_sum(struct buf *index, uint32_t n, uint64_t sum)
{
	put_u64(index->data + (size_t)n * SEGMENT_ENTRY_BYTES + SEGMENT_ENTRY_BYTES - 8, sum);
}

void data_footer_put(struct buf *index, uint64_t segment, uint64_t index_offset, uint32_t count)
{
	uint8_t footer[SEGMENT_FOOTER_BYTES];

	put_u64(footer, index_offset);
	put_u32(footer + 8, count);
	put_u32(footer + 12, 0);
	put_u64(footer + 16, XXH3_64bits(index->data, index->len));
	put_u64(footer + 24, segment);
	put_u64(footer + 32, XXH3_64bits(footer, 32));
	memcpy(footer + 40, footer_magic, sizeof(footer_magic));
	buf_add(index, footer, sizeof(footer));
}

int data_footer_get(const uint8_t *footer, uint64_t object_bytes, uint64_t segment,
		    struct segment_footer *ret)
{
	uint64_t index_bytes;

	if (memcmp(footer + 40, footer_magic, sizeof(footer_magic)) != 0 ||
	    get_u64(footer + 32) != XXH3_64bits(footer, 32))
		return corrupt(segment, "the footer is damaged");
	if (get_u64(footer + 24) != segment)
		return corrupt(segment, "the footer belongs to another segment");
	ret->index_offset = get_u64(footer);
	ret->count = get_u32(footer + 8);
	ret->index_sum = get_u64(footer + 16);
	index_bytes = (uint64_t)ret->count * SEGMENT_ENTRY_BYTES;
	if (ret->index_offset < SEGMENT_HEAD_BYTES || ret->index_offset > SEGMENT_MAX_BYTES ||
	    ret->index_offset + index_bytes + SEGMENT_FOOTER_BYTES != object_bytes)
		return corrupt(segment, "the footer does not fit the object's size");
	return 0;
}

static void entry_get(struct rd *r, uint64_t segment, struct data_index_entry *e)
{
	e->ino = rd_u64(r);
	e->file_offset = rd_u64(r);
	e->ref.segment = segment;
	e->ref.offset = rd_u32(r);
	e->ref.stored_bytes = rd_u32(r);
	e->ref.raw_bytes = rd_u32(r);
	e->ref.codec = rd_u8(r);
	e->ref.sum = rd_u64(r);
}

int data_index_get(const uint8_t *index, const struct segment_footer *footer, uint64_t segment,
		   struct data_index_entry *entries)
{
	size_t len = (size_t)footer->count * SEGMENT_ENTRY_BYTES;
	struct rd r;

	if (XXH3_64bits(index, len) != footer->index_sum)
		return corrupt(segment, "the index is damaged");
	rd_init(&r, index, len);
	for (uint32_t i = 0; i < footer->count; i++) {
		const struct data_ref *ref = &entries[i].ref;
		int err;

		entry_get(&r, segment, &entries[i]);
		err = data_ref_check(ref);
		if (err < 0)
			return err;
		if ((uint64_t)ref->offset + ref->stored_bytes > footer->index_offset)
			return corrupt(segment, "an index entry points past the extents");
	}
	return rd_done(&r);
}

/* Each extent has one form only: readers need not be ready for more than writers do. */
static bool is_stored_so(const struct data_ref *ref)
{
	switch (ref->codec) {
	case DATA_RAW:
		return ref->raw_bytes <= DATA_BLOCK_BYTES && ref->stored_bytes == ref->raw_bytes;
	case DATA_LZ4:
		return ref->stored_bytes < ref->raw_bytes;
	case DATA_BLOCKS:
		return ref->raw_bytes > DATA_BLOCK_BYTES &&
		       ref->stored_bytes == data_blocks_stored(ref->raw_bytes);
	default:
		return false;
	}
}

int data_ref_check(const struct data_ref *ref)
{
	if (ref->raw_bytes > 0 && ref->raw_bytes <= DATA_EXTENT_MAX && ref->stored_bytes > 0 &&
	    ref->offset >= SEGMENT_HEAD_BYTES &&
	    (uint64_t)ref->offset + ref->stored_bytes <= SEGMENT_MAX_BYTES && is_stored_so(ref))
		return 0;
	return corrupt(ref->segment, "impossible reference to an extent");
}

/*
 * Noise costs LZ4 little: without matches its stride grows. What costs most is data in which it finds just not
 * enough: so a large extent is tasted first, in a sample of stretches from all over it, so that those which
 * resemble each other are seen, too. The sample has to save what the whole would have to.
 */
#define SAMPLE_PARTS 4u
#define SAMPLE_PART_BYTES 2048u
#define SAMPLE_BYTES (SAMPLE_PARTS * SAMPLE_PART_BYTES)
#define SAMPLE_FROM_BYTES (4 * SAMPLE_BYTES)

static int worth_bytes(size_t raw_bytes)
{
	return (int)(raw_bytes - raw_bytes / 16);
}

/* out: as large as the extent. */
static bool is_promising(const uint8_t *raw, size_t raw_bytes, uint8_t *out)
{
	uint8_t sample[SAMPLE_BYTES];
	size_t step;

	if (raw_bytes < SAMPLE_FROM_BYTES)
		return true;
	step = (raw_bytes - SAMPLE_PART_BYTES) / (SAMPLE_PARTS - 1);
	for (size_t n = 0; n < SAMPLE_PARTS; n++)
		memcpy(sample + n * SAMPLE_PART_BYTES, raw + n * step, SAMPLE_PART_BYTES);
	return LZ4_compress_default((const char *)sample, (char *)out, SAMPLE_BYTES,
				    worth_bytes(SAMPLE_BYTES)) > 0;
}

const void *data_extent_pack(bool compress, const void *raw, size_t raw_bytes, uint8_t *scratch,
			     struct data_ref *ref)
{
	int got = 0;

	if (compress && raw_bytes >= COMPRESS_FROM_BYTES && is_promising(raw, raw_bytes, scratch))
		got = LZ4_compress_default(raw, (char *)scratch, (int)raw_bytes,
					   worth_bytes(raw_bytes));
	ref->raw_bytes = (uint32_t)raw_bytes;
	if (got > 0) {
		ref->stored_bytes = (uint32_t)got;
		ref->codec = DATA_LZ4;
		return scratch;
	}
	ref->codec = raw_bytes > DATA_BLOCK_BYTES ? DATA_BLOCKS : DATA_RAW;
	ref->stored_bytes = (uint32_t)raw_bytes;
	if (ref->codec == DATA_BLOCKS)
		ref->stored_bytes = data_blocks_stored((uint32_t)raw_bytes);
	return raw;
}

void data_extent_seal(const void *packed, uint8_t *out, struct data_ref *ref)
{
	if (ref->codec == DATA_BLOCKS) {
		data_blocks_seal(packed, out, ref);
		return;
	}
	ref->sum = XXH3_64bits(packed, ref->stored_bytes);
	memcpy(out, packed, ref->stored_bytes);
}

int data_extent_corrupt(const struct data_ref *ref, const char *what)
{
	char key[DATA_KEY_MAX];

	data_key(ref->segment, key);
	return err_note(-L3_CORRUPT, "%s: extent of %u bytes at offset %u: %s", key,
			ref->stored_bytes, ref->offset, what);
}

int data_extent_verify(const struct data_ref *ref, const uint8_t *stored)
{
	if (XXH3_64bits(stored, ref->stored_bytes) != ref->sum)
		return data_extent_corrupt(ref, "wrong checksum");
	return 0;
}

int data_extent_unpack(const struct data_ref *ref, const uint8_t *stored, uint8_t *raw)
{
	int got;

	if (ref->codec == DATA_RAW) {
		memcpy(raw, stored, ref->raw_bytes);
		return 0;
	}
	got = LZ4_decompress_safe((const char *)stored, (char *)raw, (int)ref->stored_bytes,
				  (int)ref->raw_bytes);
	if (got != (int)ref->raw_bytes)
		return data_extent_corrupt(ref, "does not decompress");
	return 0;
}

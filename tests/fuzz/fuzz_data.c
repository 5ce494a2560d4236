/* SPDX-License-Identifier: BSD-3-Clause */
/* Segment heads, indexes and footers with right checksums; and stored extents. */
#include "data/format.h"
#include "tests/fuzz/fuzz.h"

#include <xxhash.h>

#define ID ((uint64_t)1 << 32 | 7)

static const struct uuid fs;

static void as_head(const uint8_t *data, size_t len)
{
	(void)data_head_check(data, len, &fs, ID);
}

static void read_index(const uint8_t *object, size_t len)
{
	const uint8_t *footer = object + len - SEGMENT_FOOTER_BYTES;
	struct data_index_entry *entries;
	struct segment_footer f;

	if (data_footer_get(footer, len, ID, &f) < 0)
		return;
	MUST(f.index_offset + (uint64_t)f.count * SEGMENT_ENTRY_BYTES + SEGMENT_FOOTER_BYTES ==
	     len);
	entries = calloc(f.count + 1, sizeof(*entries));
	MUST(entries);
	if (data_index_get(object + f.index_offset, &f, ID, entries) == 0)
		for (uint32_t n = 0; n < f.count; n++)
			MUST(data_ref_check(&entries[n].ref) == 0);
	free(entries);
}

/* An object that ends with these bytes as its index: what is wrong in it is not the checksums. */
static void as_index(const uint8_t *data, size_t len)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT, index CLEANUP(buf_release) = BUF_INIT;
	uint8_t head[SEGMENT_HEAD_BYTES];
	uint32_t count = (uint32_t)(len / SEGMENT_ENTRY_BYTES);

	data_head_put(head, &fs, ID);
	buf_add(&b, head, sizeof(head));
	buf_add(&index, data, (size_t)count * SEGMENT_ENTRY_BYTES);
	data_footer_put(&index, ID, b.len, count);
	buf_add(&b, index.data, index.len);
	read_index(b.data, b.len);
}

static void as_footer(const uint8_t *data, size_t len)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	if (len < SEGMENT_FOOTER_BYTES)
		return;
	buf_add(&b, data, len);
	put_u64(b.data + len - 16, XXH3_64bits(b.data + len - SEGMENT_FOOTER_BYTES, 32));
	memcpy(b.data + len - 8, "L3SEGEND", 8);
	read_index(b.data, len);
}

/* A part of the raw bytes, chosen by the input; or all of them. */
static void open_blocks(const struct data_ref *ref, const uint8_t *stored)
{
	uint32_t from = ref->sum % ref->raw_bytes;
	uint32_t len = 1 + (uint32_t)(ref->sum >> 32) % (ref->raw_bytes - from);
	uint8_t *raw = malloc(ref->raw_bytes);
	struct cache_view view;

	MUST(raw);
	cache_view_of(&view, ref->offset, stored, ref->stored_bytes);
	(void)data_blocks_open(ref, from, len, &view, raw);
	(void)data_blocks_open(ref, 0, ref->raw_bytes, &view, raw);
	free(raw);
}

/* Sealed and opened again, it is what it was, wherever it lies. */
static void seal_blocks(const uint8_t *data, size_t len)
{
	struct data_ref ref = { .segment = ID, .offset = SEGMENT_HEAD_BYTES + (uint32_t)len };
	uint8_t *out, *raw;
	struct cache_view view;

	if (len <= DATA_BLOCK_BYTES || len > DATA_EXTENT_MAX)
		return;
	MUST(data_extent_pack(false, data, len, NULL, &ref) == data && ref.codec == DATA_BLOCKS);
	out = malloc(ref.stored_bytes);
	raw = malloc(len);
	MUST(out && raw);
	data_extent_seal(data, out, &ref);
	MUST(data_ref_check(&ref) == 0);
	cache_view_of(&view, ref.offset, out, ref.stored_bytes);
	MUST(data_blocks_open(&ref, 0, ref.raw_bytes, &view, raw) == 0);
	MUST(memcmp(raw, data, len) == 0);
	out[ref.sum % ref.stored_bytes] ^= 1;
	MUST(data_blocks_open(&ref, 0, ref.raw_bytes, &view, raw) < 0);
	free(out);
	free(raw);
}

static void as_extent(const uint8_t *data, size_t len)
{
	struct data_ref ref = { .segment = ID, .offset = SEGMENT_HEAD_BYTES };
	uint8_t *raw;

	if (len < 5)
		return;
	ref.raw_bytes = get_u32(data) % (2 * DATA_EXTENT_MAX);
	ref.codec = data[4];
	ref.stored_bytes = (uint32_t)(len - 5);
	ref.sum = XXH3_64bits(data + 5, len - 5);
	if (data_ref_check(&ref) < 0)
		return;
	if (ref.codec == DATA_BLOCKS) {
		open_blocks(&ref, data + 5);
		return;
	}
	if (data_extent_verify(&ref, data + 5) < 0)
		return;
	raw = malloc(ref.raw_bytes);
	MUST(raw);
	(void)data_extent_unpack(&ref, data + 5, raw);
	free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const uint8_t *, size_t) = { as_head, as_index, as_footer,
								  as_extent, seal_blocks };
	uint8_t *copy;

	if (size < 1)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	kinds[data[0] % ARRAY_LEN(kinds)](copy, size - 1);
	free(copy);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blocks: raw extents of which a part can be read and checked by itself. See format.h.
 *
 * Copying and hashing go block by block, so that the second of them finds the bytes in the nearest
 * cache of the processor.
 */
#include "data/format.h"

#include <string.h>
#include <xxhash.h>

/* Odd, so that no two places in a segment have the same seed, nor the same place in two segments.
 */
#define PLACE_FACTOR 0x9e3779b97f4a7c15u

uint32_t data_blocks_stored(uint32_t raw_bytes)
{
	uint32_t count = (raw_bytes + DATA_BLOCK_BYTES - 1) / DATA_BLOCK_BYTES;

	return raw_bytes + count * DATA_BLOCK_SUM_BYTES;
}

/* What block n of the extent has to have behind it. */
static uint64_t block_sum(const struct data_ref *ref, uint32_t n, const uint8_t *block, size_t len)
{
	uint64_t at = ref->offset + (uint64_t)n * DATA_BLOCK_STORED;

	return XXH3_64bits_withSeed(block, len, ref->segment ^ at * PLACE_FACTOR);
}

static uint32_t block_len(const struct data_ref *ref, uint32_t n)
{
	return (uint32_t)min_u64(DATA_BLOCK_BYTES, ref->raw_bytes - n * DATA_BLOCK_BYTES);
}

void data_blocks_seal(const uint8_t *raw, uint8_t *out, struct data_ref *ref)
{
	uint32_t count = (ref->raw_bytes + DATA_BLOCK_BYTES - 1) / DATA_BLOCK_BYTES;
	uint8_t sums[DATA_BLOCKS_MAX * DATA_BLOCK_SUM_BYTES];

	for (uint32_t n = 0; n < count; n++) {
		uint32_t len = block_len(ref, n);
		uint8_t *sum = sums + n * DATA_BLOCK_SUM_BYTES;

		put_u64(sum, block_sum(ref, n, raw, len));
		memcpy(out, raw, len);
		memcpy(out + len, sum, DATA_BLOCK_SUM_BYTES);
		raw += len;
		out += len + DATA_BLOCK_SUM_BYTES;
	}
	ref->sum = XXH3_64bits(sums, count * DATA_BLOCK_SUM_BYTES);
}

void data_blocks_range(const struct data_ref *ref, uint32_t raw_offset, uint32_t len,
		       uint32_t *ret_start, uint32_t *ret_end)
{
	uint32_t first = raw_offset / DATA_BLOCK_BYTES;
	uint32_t last = (raw_offset + len - 1) / DATA_BLOCK_BYTES;

	*ret_start = ref->offset + first * DATA_BLOCK_STORED;
	*ret_end =
		ref->offset + (uint32_t)min_u64((last + 1) * DATA_BLOCK_STORED, ref->stored_bytes);
}

int data_blocks_open(const struct data_ref *ref, uint32_t raw_offset, uint32_t len,
		     const struct cache_view *view, uint8_t *dst)
{
	uint32_t end = raw_offset + len, n = raw_offset / DATA_BLOCK_BYTES;
	uint8_t sums[DATA_BLOCKS_MAX * DATA_BLOCK_SUM_BYTES], scratch[DATA_BLOCK_STORED];
	bool whole = len == ref->raw_bytes;

	for (; n * DATA_BLOCK_BYTES < end; n++) {
		uint32_t start = n * DATA_BLOCK_BYTES, bytes = block_len(ref, n);
		uint32_t from = (uint32_t)max_u64(start, raw_offset);
		uint32_t to = (uint32_t)min_u64(start + bytes, end);
		const uint8_t *block =
			cache_view_bytes(view, ref->offset + (uint64_t)n * DATA_BLOCK_STORED,
					 bytes + DATA_BLOCK_SUM_BYTES, scratch);

		if (block_sum(ref, n, block, bytes) != get_u64(block + bytes))
			return data_extent_corrupt(ref, "a block has a wrong checksum");
		memcpy(dst + (from - raw_offset), block + (from - start), to - from);
		memcpy(sums + n * DATA_BLOCK_SUM_BYTES, block + bytes, DATA_BLOCK_SUM_BYTES);
	}
	if (whole && XXH3_64bits(sums, n * DATA_BLOCK_SUM_BYTES) != ref->sum)
		return data_extent_corrupt(ref, "wrong checksum");
	return 0;
}

uint32_t data_ref_unit(const struct data_ref *ref)
{
	return ref->codec == DATA_BLOCKS ? DATA_BLOCK_BYTES : ref->raw_bytes;
}

uint64_t data_ref_end(const struct data_ref *ref, uint32_t raw_offset, uint32_t len)
{
	uint32_t start, end = ref->offset + ref->stored_bytes;

	if (ref->codec == DATA_BLOCKS)
		data_blocks_range(ref, raw_offset, len, &start, &end);
	return end;
}

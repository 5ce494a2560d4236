/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format: the stored form of a segment and of one extent. All integers little-endian.
 *
 *	object data/<epoch, 10 digits>-<n, 10 digits>, create-only, never changed
 *
 *	  0  head, 64 bytes
 *	       0  frame header, 56 bytes: type "SEGM", payload length 0 and payload sum 0 (the bytes
 *	          after it are streamed; each part has a checksum of its own)
 *	      56  u64 segment id: epoch << 32 | n
 *	 64  stored extents, back to back, no padding
 *	  i  index: `count` entries of 37 bytes, in no particular order
 *	       0  u64 inode
 *	       8  u64 offset in the file of the extent's first raw byte
 *	      16  u32 offset in this object
 *	      20  u32 stored bytes
 *	      24  u32 raw bytes
 *	      28  u8  codec: 0 raw, 1 LZ4 block, 2 blocks
 *	      29  u64 XXH3-64 of the stored bytes; of the blocks' sums for codec 2
 *	  f  footer, the object's last 48 bytes
 *	       0  u64 offset of the index (i)
 *	       8  u32 count
 *	      12  u32 reserved, 0
 *	      16  u64 XXH3-64 of the index bytes (f - i)
 *	      24  u64 segment id
 *	      32  u64 XXH3-64 of footer bytes 0..31
 *	      40  "L3SEGEND"
 *
 * Codec 2 is for what does not compress and is more than a block: each 4096 raw bytes, and the
 * rest, are followed by a u64: their XXH3-64, seeded with the segment's id XOR (the block's offset
 * in this object times 0x9e3779b97f4a7c15, modulo 2^64). So a part of the extent can be fetched and
 * checked alone, and a block that belongs elsewhere is wrong. The extent's checksum is that of these
 * sums, one after another.
 *
 * The parts that commit slots carry are stretches of the same object from offset 0 on (head and
 * extents, never index or footer). A segment rebuilt from such parts after a crash lists in its
 * index only the extents that the database still refers to.
 */
#ifndef LEVELS3_DATA_FORMAT_H
#define LEVELS3_DATA_FORMAT_H

#include "data/data.h"

#define SEGMENT_HEAD_BYTES 64
#define SEGMENT_ENTRY_BYTES 37
#define SEGMENT_FOOTER_BYTES 48
/* No segment is larger, whoever wrote it: bounds what a reader of indexes or parts will take. */
#define SEGMENT_MAX_BYTES (256 * MIB)

struct segment_footer {
	uint64_t index_offset;
	uint32_t count;
	uint64_t index_sum;
};

void data_head_put(uint8_t out[SEGMENT_HEAD_BYTES], const struct uuid *fs, uint64_t segment);
/* -L3_CORRUPT, -L3_VERSION. */
int data_head_check(const void *data, size_t len, const struct uuid *fs, uint64_t segment);

void data_entry_put(struct buf *index, uint64_t ino, uint64_t file_offset,
		    const struct data_ref *ref);
/* The sum of entry n, known when the extent was copied to its place. */
void data_entry_set_sum(struct buf *index, uint32_t n, uint64_t sum);
/* Appends the footer to the index bytes it describes. */
void data_footer_put(struct buf *index, uint64_t segment, uint64_t index_offset, uint32_t count);
/* footer: the last 48 bytes of an object of object_bytes. -L3_CORRUPT. */
int data_footer_get(const uint8_t *footer, uint64_t object_bytes, uint64_t segment,
		    struct segment_footer *ret);
/* index: the bytes that `footer` describes; entries: room for footer->count. -L3_CORRUPT. */
int data_index_get(const uint8_t *index, const struct segment_footer *footer, uint64_t segment,
		   struct data_index_entry *entries);

/* ---- extents ---- */

#define DATA_BLOCK_BYTES 4096u
#define DATA_BLOCK_SUM_BYTES 8u
#define DATA_BLOCK_STORED (DATA_BLOCK_BYTES + DATA_BLOCK_SUM_BYTES)
#define DATA_BLOCKS_MAX (DATA_EXTENT_MAX / DATA_BLOCK_BYTES)
#define DATA_STORED_MAX (DATA_BLOCKS_MAX * DATA_BLOCK_STORED)

/* Chooses the codec: fills stored_bytes, raw_bytes and codec. Returns what data_extent_seal takes:
 * raw itself, or scratch (DATA_EXTENT_MAX bytes). */
const void *data_extent_pack(bool compress, const void *raw, size_t raw_bytes, uint8_t *scratch,
			     struct data_ref *ref);
/* Writes the stored bytes of the extent to out, which is its place: segment and offset are set.
 * Sets the sum. */
void data_extent_seal(const void *packed, uint8_t *out, struct data_ref *ref);
/* For raw and LZ4. -L3_CORRUPT if the stored bytes are not those that the reference was made for.
 */
int data_extent_verify(const struct data_ref *ref, const uint8_t *stored);
/* For raw and LZ4: all raw bytes, from verified stored ones. -L3_CORRUPT. */
int data_extent_unpack(const struct data_ref *ref, const uint8_t *stored, uint8_t *raw);
/* Notes where, and returns -L3_CORRUPT. */
int data_extent_corrupt(const struct data_ref *ref, const char *what);

/* blocks.c */
uint32_t data_blocks_stored(uint32_t raw_bytes);
void data_blocks_seal(const uint8_t *raw, uint8_t *out, struct data_ref *ref);
/* Where in the object the blocks of these raw bytes are. */
void data_blocks_range(const struct data_ref *ref, uint32_t raw_offset, uint32_t len,
		       uint32_t *ret_start, uint32_t *ret_end);
/* Copies a part of the raw bytes, checked block by block, and as a whole if it is all of them. The
 * view has the blocks. -L3_CORRUPT, and dst may hold what was right. */
int data_blocks_open(const struct data_ref *ref, uint32_t raw_offset, uint32_t len,
		     const struct cache_view *view, uint8_t *dst);

#endif

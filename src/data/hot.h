/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hot: a small LRU of extents, checked and decompressed, for readers that want them piece by piece.
 *
 * Any thread. Segment ids are never used twice, so nothing here goes stale.
 */
#ifndef LEVELS3_DATA_HOT_H
#define LEVELS3_DATA_HOT_H

#include "data/data.h"

#include <stdatomic.h>

#define HASH_NONFATAL_OOM 1 /* a failed HASH_ADD leaves hh.tbl NULL */
#include <uthash.h>

struct hot_key {
	uint64_t segment;
	uint64_t offset;
};

struct hot_extent {
	struct hot_key key;
	uint64_t sum;
	uint32_t raw_bytes;
	atomic_uint refs;
	struct hot_extent *prev, *next;
	UT_hash_handle hh;
	uint8_t raw[];
};

struct hot {
	pthread_mutex_t lock;
	struct hot_extent *table;
	struct hot_extent *lru; /* most recently used first */
	size_t bytes;
	size_t limit_bytes;
};

void data_hot_init(struct hot *hot, size_t limit_bytes);
void data_hot_release(struct hot *hot);
/* Copies [offset, offset + len) of the extent's raw bytes; false when it is not here. */
bool data_hot_copy(struct hot *hot, const struct data_ref *ref, uint32_t offset, uint32_t len,
		   uint8_t *dst);
/* An entry whose raw bytes the caller fills before data_hot_add. NULL: out of memory. */
struct hot_extent *data_hot_new(const struct data_ref *ref);
/* Takes the caller's entry over; drops the least recently used beyond the limit. */
void data_hot_add(struct hot *hot, struct hot_extent *e);
/* For an entry that is not to be added after all. */
void data_hot_put(struct hot_extent *e);

#endif

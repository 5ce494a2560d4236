/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the cache room: its parts and what they promise each other. Higher parts call lower ones:
 *
 *	cache.c   the door: tiers in turn, then a fetch
 *	flight.c  fetches under way, each for all who want its range
 *	memory.c  pieces in memory     disk.c   objects on disk: table, LRU, room, pieces
 *	                               index.c  the file that says what a data file holds
 *	                               spare.c  descriptors when there are none left
 *	                               folder.c the folder: may we use it, its lock, what is in it
 *	blob.c    bytes with references, views of them
 *
 * A piece never crosses a multiple of PIECE_BYTES of its object, and pieces of one object in one
 * tier do not overlap: what is offered is cut to that. A piece may be as small as what somebody
 * wanted.
 *
 * Bytes are not copied between the tiers: what a GET or the disk brought is a blob, which the
 * memory tier, the disk's writer and readers refer to.
 */
#ifndef LEVELS3_CACHE_INTERNAL_H
#define LEVELS3_CACHE_INTERNAL_H

#include "cache/cache.h"

#define PIECE_BYTES (128 * KIB)

struct span {
	uint64_t offset;
	uint64_t len;
};

static inline uint64_t span_end(const struct span *s)
{
	return s->offset + s->len;
}

/* How much of s lies before the next multiple of PIECE_BYTES. */
static inline uint64_t piece_part(const struct span *s)
{
	return min_u64(s->len, PIECE_BYTES - s->offset % PIECE_BYTES);
}

/* ---- blob.c */

/* Buffers of blobs that ended, kept for the next: new memory costs a page fault for every 4 KiB,
 * which is as much work as all that is done to the bytes. */
struct blob_pool;

struct blob {
	unsigned refs;	  /* atomic */
	uint64_t offset;  /* in the object */
	struct buf bytes; /* constant once others refer to it */
	struct blob_pool *pool;
};

/* Keeps limit_bytes at most. NULL: no memory. */
struct blob_pool *blob_pool_new(uint64_t limit_bytes);
void blob_pool_put(struct blob_pool *pool); /* lives until its last blob has ended. NULL is fine */

/* Empty, with room for len bytes (or as much as is sensible before they come). NULL: no memory. */
struct blob *blob_new(struct blob_pool *pool, uint64_t offset, uint64_t len);
struct blob *blob_copy(struct blob_pool *pool, uint64_t offset, const uint8_t *data, uint64_t len);
void blob_shrink(struct blob *b); /* gives back much room that was not needed */
struct blob *blob_get(struct blob *b);
void blob_put(struct blob *b); /* NULL is fine */

void view_init(struct cache_view *v);
/* Bytes [offset, offset + len) of the blob come next. -ENOMEM, and the view has failed. */
int view_add(struct cache_view *v, struct blob *b, uint64_t offset, uint64_t len);

/* ---- memory.c: an LRU of pieces. Any thread; no I/O. */

struct memory;

int memory_new(uint64_t limit_bytes, struct memory **ret);
void memory_free(struct memory *m); /* NULL is fine */
/* Adds what is there from the range's start on without a gap; the number of bytes. */
uint64_t memory_view(struct memory *m, const char *key, const struct span *want,
		     struct cache_view *view);
uint64_t memory_covers(struct memory *m, const char *key, const struct span *want);
/* Bytes of the range that are there, with gaps or without. */
uint64_t memory_held(struct memory *m, const char *key, const struct span *range);
/* Takes a reference. */
void memory_insert(struct memory *m, const char *key, struct blob *b);
void memory_drop(struct memory *m, const char *key, const struct span *range);
void memory_forget(struct memory *m, const char *key);
uint64_t memory_bytes(struct memory *m);

/* ---- disk.c: files. Any thread; waits for the disk only, with no lock held. NULL as disk: an
 * empty one that takes nothing. */

struct disk;

/* 0 with *ret NULL when another process uses the folder. */
/* Would disk_open refuse this folder? A full disk is no reason. */
int disk_check(const char *dir);
int disk_open(const struct cache_config *config, struct cache_stats *stats, struct blob_pool *pool,
	      struct disk **ret);
void disk_close(struct disk *d);
/* As memory_view. Whole pieces that had to be read are offered to promote. */
uint64_t disk_view(struct disk *d, const char *key, const struct span *want,
		   struct cache_view *view, struct memory *promote);
uint64_t disk_covers(struct disk *d, const char *key, const struct span *want);
uint64_t disk_held(struct disk *d, const char *key, const struct span *range);
void disk_write(struct disk *d, const char *key, uint64_t offset, const uint8_t *data,
		uint64_t len);
void disk_forget(struct disk *d, const char *key);
uint64_t disk_bytes(struct disk *d);
uint64_t disk_limit(const struct disk *d); /* never changes; NULL is fine */
/* What is taken of a disk of this size at most, and what is left free of it. */
void disk_limits(const struct cache_config *config, uint64_t total_bytes, uint64_t *ret_limit,
		 uint64_t *ret_min_free);

/* ---- index.c: pieces of a data file */

struct disk_piece {
	struct span at;
	uint64_t sum; /* XXH3-64 of its bytes */
};

struct piece_list { /* by offset, no overlaps */
	struct disk_piece *pieces;
	size_t count, cap;
};

void pieces_release(struct piece_list *l);
/* The first piece that ends after offset; count if none does. */
size_t pieces_find(const struct piece_list *l, uint64_t offset);
/* Takes the place of all that overlap it. */
int pieces_set(struct piece_list *l, const struct disk_piece *p);
void pieces_remove(struct piece_list *l, size_t at);

/* Reads the pieces of an open file. -L3_CORRUPT, or a negative errno. Records that are damaged are left out.
 */
int index_load(int fd, const char *key, struct piece_list *ret);
/* Appends their records to the file, open for appending; before them the head if the file is new. 0 or negative errno;
 * then the file is worthless. */
int index_append(int fd, const char *key, bool is_new, const struct disk_piece *pieces, size_t count,
		 uint64_t *ret_file_bytes);

/* ---- folder.c */

struct folder {
	int fd;	     /* DIR/uuid */
	int lock_fd; /* DIR/uuid/lock, locked */
};

#define OBJECT_NAME_LEN 32 /* hex digits; with ".d" the data, with ".i" the index */

/* 0 if dir, made if missing, can be used; else as folder_open. */
int folder_check(const char *dir);
/* -EBUSY when another process has the lock. */
int folder_open(const char *dir, const struct uuid *fs, struct folder *ret);
void folder_close(struct folder *f);
/* True if somebody has removed it. */
bool folder_is_gone(const struct folder *f);

struct folder_entry {
	char name[OBJECT_NAME_LEN + 1];
	bool is_index;
	uint64_t bytes; /* on disk */
	int64_t mtime_ns;
};
int folder_scan(const struct folder *f, int (*each)(void *ctx, const struct folder_entry *e),
		void *ctx);

#endif

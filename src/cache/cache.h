/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cache: pieces of immutable objects, in memory and on local disk. Never the only copy of anything.
 *
 * A piece is a byte range [offset, offset+len) of the object named by a store key. Objects never
 * change under a key, so pieces never go stale. The memory tier is an LRU of what was fetched; the
 * disk tier keeps one sparse file per object and a list of the ranges it holds, evicts whole
 * objects by LRU, survives restarts, and may be deleted or corrupted at any time: every range
 * carries a checksum (XXH3-64), and a bad, missing or unwritable file costs a fetch, never an error
 * or wrong bytes.
 *
 * All calls may be made from any thread. cache_read waits for the network on a miss and must not be
 * called under a lock that others need; the others never touch the network. No internal lock is
 * held across disk or network I/O.
 */
#ifndef LEVELS3_CACHE_H
#define LEVELS3_CACHE_H

#include "store/store.h"

struct cache;

struct cache_config {
	struct store *store; /* where misses are fetched; the cache takes a reference */
	const char *dir; /* NULL: memory only. Made 0700 if missing; must be ours and not a link */
	struct uuid fs;	 /* names the subfolder, so that filesystems can share a dir */
	uint64_t disk_bytes;	 /* cap of the disk tier for this filesystem; 0: */
	unsigned disk_percent;	 /* such a part of the disk that dir is on */
	uint64_t min_free_bytes; /* leave this much of the disk free (0: a twentieth, from 1 to 50 GiB) */
	uint64_t mem_bytes;	 /* of pieces in memory, on their way to the disk, and kept for new ones */
	unsigned max_inflight;	 /* fetches at once (default 24) */
	struct clock *clock;	 /* NULL: the system's */
	struct notifier
		notifier; /* told once when the disk tier has to be bypassed, and when it is back */
};

struct cache_stats {
	uint64_t hits_mem, hits_disk, misses; /* pieces */
	uint64_t bytes_fetched, bytes_mem, bytes_disk;
	uint64_t limit_disk; /* what bytes_disk stays below; 0: no disk tier */
	uint64_t corrupt, evicted_objects, bypassed;
};

/* -EACCES/-ENOTDIR/-EPERM with a note naming the folder and what is wrong with it (not ours, group
 * or world writable, a link, not writable). An exclusive lock on the subfolder keeps a second
 * process off it: that one runs with memory only (notified), it is no error. */
int cache_open(const struct cache_config *config, struct cache **ret);
/* What cache_open would refuse dir for, said before anything else is begun. Makes it if missing.
 * NULL is fine. */
int cache_check_dir(const char *dir);
/* Waits for prefetches under way; leaves the disk tier for the next start. NULL is fine. */
void cache_close(struct cache *c);

/*
 * Reads exactly len bytes at offset into dst. What is missing is fetched with one ranged GET of
 * [fetch_offset, fetch_offset + fetch_len), which must contain the range asked (0, 0: just the
 * range); one fetch per range at a time, others wait for it. Objects end before the window's end:
 * fine as long as the range asked is whole. -L3_CORRUPT if the object is too short, else errors of
 * store_get.
 */
int cache_read(struct cache *c, const char *key, uint64_t offset, size_t len, void *dst,
	       uint64_t fetch_offset, uint64_t fetch_len);
/*
 * The same without a copy: the bytes where they lie, which stay there until the view is released,
 * whatever becomes of the cache. Nothing to release after an error.
 */
struct cache_chunk {
	struct blob *blob; /* what holds them; NULL: the view's owner does */
	const uint8_t *bytes;
	uint64_t at; /* in the object */
	size_t len;
};
struct cache_view { /* its chunks, side by side; private */
	struct cache_chunk few[4];
	struct cache_chunk *more; /* NULL: the few are all */
	size_t count, cap;
	bool failed; /* no memory for a chunk */
};
int cache_view(struct cache *c, const char *key, uint64_t offset, size_t len, uint64_t fetch_offset,
	       uint64_t fetch_len, struct cache_view *ret);
void cache_view_release(struct cache_view *v);
/* [offset, offset + len) of the object, which the view must have: in place if they lie together,
 * else put together in scratch. */
const void *cache_view_bytes(const struct cache_view *v, uint64_t offset, size_t len,
			     void *scratch);
/* A view of bytes that the caller keeps; needs no release. */
void cache_view_of(struct cache_view *v, uint64_t offset, const void *bytes, size_t len);

/* How many bytes of the range would not need the network now. */
uint64_t cache_held(struct cache *c, const char *key, uint64_t offset, uint64_t len);
/* True if cache_read would not need the network now. */
bool cache_has(struct cache *c, const char *key, uint64_t offset, size_t len);
/* Fetches in the background unless present or under way; drops the request when busy. */
void cache_prefetch(struct cache *c, const char *key, uint64_t offset, size_t len);
/* Remembers bytes that we produced (write-through). Copies. disk_only: do not take memory for it.
 */
void cache_insert(struct cache *c, const char *key, uint64_t offset, const void *data, size_t len,
		  bool disk_only);
/* The range turned out wrong for its reader: forget it so that the next read fetches it again. */
void cache_distrust(struct cache *c, const char *key, uint64_t offset, size_t len);
/*
 * What to do about bytes that the reader's own checksum denies: the cache forgets them, and 0: read them again;
 * -L3_CORRUPT: the same come again and again, so it is the object that is damaged; -L3_SERVER: they come damaged in
 * ever new ways, so it is the line or the server, and may pass. One struct for each read, zeros at first.
 */
struct cache_doubt {
	unsigned tries, same;
	uint64_t sum;
};
int cache_doubt(struct cache *c, struct cache_doubt *d, const char *key, uint64_t offset, const void *bytes,
		size_t len);
/* The object is deleted. */
void cache_forget(struct cache *c, const char *key);
void cache_stats(struct cache *c, struct cache_stats *ret);

#endif

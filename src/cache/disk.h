/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The disk tier's table of objects, for disk.c (what to do with their bytes) and objects.c (their
 * life).
 *
 * An object is a data file, sparse, with pieces at their own offsets, and an index. Both are opened
 * for each operation: no descriptor is kept, and a file removed by anybody is simply found missing.
 *
 *	unknown ── scan or first write ──► in the table ── load ──► loaded ── evicted, damaged,
 *	   ▲                                                          │        forgotten: dead
 *	   └───────── files removed, out of the table: gone ◄─────────┘
 *
 * 1. busy: one thread at a time writes, loads or removes an object's files, with the lock dropped.
 * 2. A dead object stays in the table until its files are gone, so nobody makes new ones meanwhile.
 * 3. used_bytes counts the blocks of all files in the table; with reserved_bytes, what writes under
 * way may add, it never exceeds limit_bytes.
 */
#ifndef LEVELS3_CACHE_DISK_H
#define LEVELS3_CACHE_DISK_H

#include "cache/internal.h"

#include <uthash.h>
#include <utlist.h>

struct disk_object {
	char name[OBJECT_NAME_LEN + 1];
	struct piece_list pieces;	  /* when loaded */
	uint64_t data_bytes, index_bytes; /* blocks on disk */
	int64_t mtime_ns;		  /* as scanned */
	uint64_t touched_ms;
	unsigned refs;
	bool loaded, has_data, has_index;
	bool busy, dead, gone;
	struct disk_object *prev, *next;
	UT_hash_handle hh;
};

#define SPARE_FDS 4

struct spare { /* spare.c */
	pthread_mutex_t lock;
	pthread_cond_t back;
	int fds[SPARE_FDS], marker;
	unsigned count, lent;
};

void spare_init(struct spare *s);
void spare_release(struct spare *s);
/* openat(2), never through a link, with a spare descriptor if there is no other; waits for one that is lent (never
 * long: give it back before you open another). The descriptor, or a negative errno. */
int spare_open(struct spare *s, int dir, const char *file, int flags, bool *ret_lent);
void spare_close(struct spare *s, int fd, bool lent); /* fd may be negative */

struct disk {
	struct clock *clock;
	struct notifier notifier;
	struct cache_stats *stats; /* atomic counters */
	struct blob_pool *pool;
	char *dir;
	struct uuid fs;
	uint64_t limit_bytes, min_free_bytes;
	struct folder folder; /* the descriptors' numbers never change */
	struct spare spare;

	pthread_mutex_t lock;
	pthread_cond_t changed;		     /* an object is not busy any more */
	struct disk_object *objects, *order; /* most recently used first */
	uint64_t used_bytes, reserved_bytes;
	uint64_t bypass_until_ms;
	bool troubled; /* a person has heard of it */
	bool reopening;
};

#define FILE_NAME_LEN (OBJECT_NAME_LEN + 3)
void object_file(const struct disk_object *o, char kind, char out[FILE_NAME_LEN]);

/* All below: the lock is held, and is dropped meanwhile where it says so. */

/* The object with a reference, loaded (dropped), most recent; NULL if there is none (make: a new
 * one). */
struct disk_object *object_enter(struct disk *d, const char *key, bool make);
/* Without loading or making. */
struct disk_object *object_peek(struct disk *d, const char *key);
void object_put(struct disk *d, struct disk_object *o);
/* Becomes the one that may touch the files (dropped). Look at dead afterwards. */
void object_claim(struct disk *d, struct disk_object *o);
void object_unclaim(struct disk *d,
		    struct disk_object *o); /* removes the files of a dead one (dropped) */
/* Its files go as soon as nobody is busy with it (dropped). */
void object_kill(struct disk *d, struct disk_object *o);
/* Sets what its files take now. */
void object_account(struct disk *d, struct disk_object *o, uint64_t data, uint64_t index);

/* Evicts until need bytes more fit (dropped), and reserves them. 1; 0: they cannot; negative:
 * trouble. */
int disk_make_room(struct disk *d, uint64_t need);
/* After an error of the file system: leaves it alone for a while; if somebody removed the folder,
 * makes it again (dropped). */
void disk_trouble(struct disk *d, int err);
/* Not the disk's fault, and no reason to give up what is on it. */
bool disk_is_our_lack(int err);
bool disk_is_bypassed(struct disk *d);
void disk_all_well(struct disk *d); /* a write succeeded */

#endif

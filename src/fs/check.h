/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of fsck share: check.c (inodes, names, the whole), check_data.c (extents,
 * segments, objects in the store), and check_refs.c (from segments back to files).
 */
#ifndef LEVELS3_FS_CHECK_H
#define LEVELS3_FS_CHECK_H

#include "fs/internal.h"

struct node { /* an inode, and what the scans have found of it so far */
	uint64_t ino, size, parent;
	int64_t entries_left; /* its record's count, less the names found */
	int64_t alloc_left;   /* likewise, of allocated bytes */
	uint32_t mode, nlink;
	uint32_t links, subfolders; /* found */
	uint32_t flags;
	bool orphan, trim; /* it has an O record */
	bool shift;	   /* it has a T record */
	uint8_t walk;	   /* enum in check.c */
};

struct check_segment {
	uint64_t id;
	UT_hash_handle hh;
	uint64_t live, used_end; /* as the extents say */
	struct seg_record rec;
	bool has_record;
	bool found; /* in the store */
	uint64_t object_bytes;
};

struct check {
	struct fs *fs;
	const struct fs_check_options *options;
	struct fs_check_result result;
	const leveldb_snapshot_t *snapshot;
	leveldb_readoptions_t *read;
	struct totals totals; /* as of the snapshot */
	struct node *nodes;   /* ascending by ino */
	size_t node_count, node_cap;
	struct check_segment *segments;
	uint64_t before_dir, before_cookie; /* the entry before: to see runs of equal hashes */
	uint64_t extent_ino, extent_end;    /* likewise, to see extents that overlap */
	uint64_t done;			    /* of the present phase */
	struct check_reader *reader;	    /* of every byte, if asked for; likewise */
	struct check_indexes *indexes;	    /* of segments */
};

void check_problem(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
void check_step(struct check *c, const char *phase); /* one more key or object looked at */
struct node *check_node(struct check *c, uint64_t ino); /* NULL: none */
/* Calls fn for every key of a kind. fn returns an error to stop. */
typedef int (*check_key_fn)(struct check *c, const uint8_t *key, size_t key_len, const char *value,
			    size_t len);
int check_scan(struct check *c, enum key_kind kind, const char *phase, check_key_fn fn);

/* check_data.c. NULL: out of memory. */
struct check_segment *check_segment_get(struct check *c, uint64_t id);
int check_extents(struct check *c);
int check_segments(struct check *c); /* after check_extents */
int check_objects(struct check *c);
void check_segments_free(struct check *c);

/* check_refs.c */
int check_indexes_open(struct check *c);
void check_indexes_close(struct check *c); /* without open: fine */
/* The cleaner finds the extent, if the inode is going to stay. Only between open and close. */
int check_findable(struct check *c, uint64_t ino, const struct extent *e);
int check_references(struct check *c); /* after check_segments */

#endif

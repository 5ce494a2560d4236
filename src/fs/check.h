/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of fsck share.
 *
 *	fsck.c         the whole: lease, rescue, rounds of repair, and the look afterwards
 *	check.c        one look at all keys; inodes
 *	check_names.c  directory entries, and that everything can be reached
 *	check_data.c   extents, segments, objects in the store
 *	check_read.c   every byte, by several readers
 *	check_units.c  the good parts of an extent that has a bad one
 *	check_refs.c   from segments back to files
 *	check_say.c    findings, with ranges joined and paths looked up
 *	mend.c         changes of records, in batches
 *	mend_names.c   entries, lost+found, inodes that are missing
 *	mend_bytes.c   ranges that are lost, and what segments' indexes still know
 *
 * Looking and mending are one walk (struct check; c->mend says which): where a problem is told,
 * what is to be done about it is said as well, and done if this is a repair. One round mends what it
 * can see by itself; what follows from that (counts, mostly) is seen by the next. Rounds go on until
 * one changes nothing.
 */
#ifndef LEVELS3_FS_CHECK_H
#define LEVELS3_FS_CHECK_H

#ifndef HASH_NONFATAL_OOM
#define HASH_NONFATAL_OOM 1
#endif
#include "fs/internal.h"

#define CHECK_PATH_MAX 4096
#define FSCK_ASIDE "aside/" /* objects below are what repairs took out of the way */

enum fix { /* of an inode's record, to what the scans found; node.fix */
	   FIX_LINKS = 1,
	   FIX_ENTRIES = 2,
	   FIX_ALLOC = 4,
	   FIX_PARENT = 8,
	   FIX_SIZE = 16,
	   FIX_FLAGS = 32,
	   FIX_TARGET = 64,
	   FIX_MODE = 128,
};

struct node { /* an inode, and what the scans have found of it so far */
	uint64_t ino, size, parent;
	int64_t entries_left;		/* its record's count, less the names found */
	int64_t alloc_left;		/* likewise, of allocated bytes */
	uint64_t name_dir, name_cookie; /* one of its names */
	uint32_t mode, nlink;
	uint32_t links, subfolders; /* found */
	uint32_t flags;
	bool orphan, trim; /* it has an O record */
	bool shift;	   /* it has a T record */
	uint8_t walk;	   /* enum in check_names.c */
	uint8_t fix;
};

struct ghost { /* an inode that is missing, and what there is of it */
	uint64_t ino;
	UT_hash_handle hh;
	uint64_t end; /* of its last extent */
	uint8_t type; /* as an entry says: DT_*, or 0 */
	bool entries, extents, xattrs;
};

struct check_segment {
	uint64_t id;
	UT_hash_handle hh;
	uint64_t live, used_end; /* as the extents say */
	struct seg_record rec;
	bool has_record;
	bool found;    /* in the store */
	bool bad;      /* extents are in it, and it is missing or too short */
	bool unlisted; /* some extent was not findable: R records were added */
	uint64_t object_bytes;
};

struct check {
	struct fs *fs;
	const struct fs_check_options *options;
	struct fs_check_result result;
	struct mend *mend; /* NULL: nothing is changed */
	const leveldb_snapshot_t *snapshot;
	leveldb_readoptions_t *read;
	struct totals totals; /* as of the snapshot */
	struct node *nodes;   /* ascending by ino */
	size_t node_count, node_cap;
	uint64_t last_ino; /* the highest seen */
	struct ghost *ghosts;
	struct check_segment *segments;
	uint64_t before_dir, before_cookie; /* the entry before: to see runs of equal hashes */
	uint64_t extent_ino, extent_end;    /* likewise, to see extents that overlap */
	uint64_t done;			    /* of the present phase */
	struct check_readers *readers;	    /* of every byte, if asked for; likewise */
	struct check_indexes *indexes;	    /* of segments */
	struct buf damage;		    /* check_say.c: ranges not told yet */
};

/* ---- check_say.c ---- */

/* A problem. ino 0: of none. */
void check_problem(struct check *c, const char *code, uint64_t ino, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
void check_object_problem(struct check *c, const char *code, const char *object, const char *fmt,
			  ...) PRINTF_LIKE(4, 5);
/* These bytes of a file cannot be read. Neighbours are told as one, at the next check_tell_damage.
 */
int check_damage(struct check *c, const char *code, uint64_t ino, uint64_t start, uint64_t end,
		 const char *why);
void check_tell_damage(struct check *c);
/* What mending did, or knows: FS_MENDED, FS_NOTE. */
void check_say(struct check *c, enum fs_stage stage, const char *code, uint64_t ino,
	       const char *fmt, ...) PRINTF_LIKE(5, 6);
int check_step(struct check *c,
	       const char *phase); /* one more key or object looked at; -ECANCELED */

/* ---- check.c ---- */

struct node *check_node(struct check *c, uint64_t ino); /* NULL: none */
/* NULL: out of memory. */
struct ghost *check_ghost(struct check *c, uint64_t ino);
/* Calls fn for every key of a kind. fn returns an error to stop. */
typedef int (*check_key_fn)(struct check *c, const uint8_t *key, size_t key_len, const char *value,
			    size_t len);
int check_scan(struct check *c, enum key_kind kind, const char *phase, check_key_fn fn);
/* One round. mend may be NULL. */
int check_run(struct fs *fs, const struct fs_check_options *options, struct mend *mend,
	      struct fs_check_result *ret);

/* ---- check_names.c ---- */

int check_entries(struct check *c);
int check_reach(struct check *c); /* after all scans */

/* ---- check_data.c. NULL: out of memory. ---- */

struct check_segment *check_segment_get(struct check *c, uint64_t id);
int check_extents(struct check *c);
int check_segments(struct check *c); /* after check_extents */
int check_objects(struct check *c);
void check_segments_free(struct check *c);

/* ---- check_read.c ---- */

int check_readers_open(struct check *c);
int check_readers_add(struct check *c, uint64_t ino, const struct extent *e);
/* Waits, and tells what cannot be read. Without open: fine. */
int check_readers_close(struct check *c);

/* ---- check_units.c: parts of a stored extent that are checked by themselves (data_ref_unit) ---- */

typedef uint32_t check_units; /* a bit each: an extent has 32 blocks at most */
#define CHECK_UNITS_ALL UINT32_MAX

/* Those that end behind so many bytes of the object. */
check_units check_units_behind(const struct extent *e, uint64_t object_bytes);
/* Those of `which` that `read` says false of. */
typedef bool (*check_unit_fn)(void *ctx, const struct extent *unit);
check_units check_units_unread(const struct extent *e, check_units which, check_unit_fn read,
			       void *ctx);
struct damage_of {
	const char *code, *why;
	uint64_t ino;
};
/* Tells of what the extent has in these, some at least, and mends: that is lost, and the rest stays. */
int check_bad_units(struct check *c, const struct damage_of *d, const struct extent *e,
		    check_units bad);

/* ---- check_refs.c ---- */

int check_indexes_open(struct check *c);
void check_indexes_close(struct check *c); /* without open: fine */
/* The cleaner finds the extent, if the inode is going to stay; and the index does not contradict
 * it. Only between open and close. */
int check_findable(struct check *c, uint64_t ino, const struct extent *e);
int check_references(struct check *c); /* after check_segments */

/* ---- mend.c: all do nothing, and return 0, if nothing is to be changed ---- */

struct mend {
	struct check *c;
	leveldb_writebatch_t *batch;
	size_t batch_bytes;
	struct buf aside;     /* records that are to be kept, in the form of aside objects */
	uint64_t aside_count; /* objects written */
	uint64_t changes;
	uint64_t last_ino;   /* inode numbers up to here are given out */
	uint64_t lost_found; /* the folder; 0: not looked for yet */
	bool rescued; /* the database lost records: what a file's record says of its extents counts
		       */
	bool indexed; /* segments' indexes have been looked through */
};

int mend_begin(struct mend *m,
	       struct check *c); /* a round; the rest of *m stays from the one before */
int mend_end(struct mend *m);
void mend_release(struct mend *m);
int mend_put(struct check *c, const struct key *k, const struct buf *value);
int mend_delete(struct check *c, const uint8_t *key, size_t key_len);
/* Out of the database, into an object under aside/. */
int mend_set_aside(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		   size_t len);
/* What is in the batch is written, so that it can be read. */
int mend_flush(struct check *c);
/* The record of each node with a fix. */
int mend_nodes(struct check *c);
int mend_totals(struct check *c);
int mend_segment(struct check *c, const struct check_segment *s);

/* ---- mend_names.c ---- */

int mend_drop_entry(struct check *c, uint64_t dir, uint64_t cookie);
/* It is not where it would be looked for: takes it there, or away if it cannot be. */
int mend_move_entry(struct check *c, uint64_t dir, uint64_t cookie);
int mend_entry_type(struct check *c, uint64_t dir, uint64_t cookie, uint32_t mode);
int mend_salvage(struct check *c, struct node *n); /* a name in lost+found */
int mend_ghosts(struct check *c);
int mend_root(struct check *c);

/* ---- mend_bytes.c ---- */

int mend_lost(struct check *c, uint64_t ino, const struct extent *e); /* the range is lost */
int mend_lost_record(struct check *c, uint64_t ino, uint64_t end, uint64_t before);
int mend_extent(struct check *c, uint64_t ino, const struct extent *e);
int mend_reference(struct check *c, uint64_t ino, const struct extent *e);
/* After a rescue: the file's record has more bytes than its extents. */
int mend_gaps(struct check *c, struct node *n);
/* After a rescue: what segments' indexes know of files whose records are gone. */
int mend_from_indexes(struct check *c);

#endif

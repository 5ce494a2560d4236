/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files that carry file bytes share: dirty.c, extent.c, pending.c, flush.c, tick.c,
 * file.c, read.c, space.c, shift.c, copy.c, clean.c, gather.c, move.c. The rest of the room needs internal.h only.
 */
#ifndef LEVELS3_FS_BYTES_H
#define LEVELS3_FS_BYTES_H

#ifndef HASH_NONFATAL_OOM
#define HASH_NONFATAL_OOM 1 /* a failed HASH_ADD leaves hh.tbl NULL */
#endif
#include "fs/internal.h"

/* ---- dirty.c: bytes in memory ---- */

struct interval {
	uint32_t from, to; /* within the chunk */
};

struct dirty_chunk {
	uint64_t index; /* file offset / CHUNK_BYTES */
	uint8_t *buf;	/* bytes [base, base + cap) of the chunk */
	uint32_t base, cap;
	struct interval *valid; /* ascending, apart from each other */
	uint32_t count, room;
};

/* Calls fn for the valid stretches that overlap [start, end), in order and clipped; none crosses a
 * chunk's border. fn returns nonzero to stop, which is then the result. */
typedef int (*dirty_each_fn)(void *ctx, uint64_t start, const uint8_t *bytes, size_t len);
int dirty_each(const struct dirty_set *set, uint64_t start, uint64_t end, dirty_each_fn fn,
	       void *ctx);
/* Frees the chunks and gives their memory back to the budget. */
void dirty_set_release(struct fs *fs, struct dirty_set *set);

/* ---- extent.c: the map ---- */

struct extent_list { /* ascending, without overlap */
	struct extent *at;
	size_t count, cap;
};
int extent_list_add(struct extent_list *l, const struct extent *e);
void extent_list_release(struct extent_list *l);

struct extents { /* a list that keeps inline bytes as well */
	struct extent_list list;
	struct buf bytes; /* raw_offset says where, */
};
void extents_reset(struct extents *x);
int extents_add(struct extents *x, const struct extent *e);
int extents_done(struct extents *x); /* and now `bytes` of each does. -ENOMEM */
void extents_release(struct extents *x);

/* Like extent_insert for several at once: ascending, without overlap, all of one inode. */
int extent_replace(struct txn *t, struct inode *i, const struct extent *e, size_t count);
/* [start, end) has these extents, and else holes. */
int extent_overlay(struct txn *t, struct inode *i, uint64_t start, uint64_t end,
		   const struct extent *e, size_t count);
/* Like extent_walk, from start on, but not clipped. */
int extent_walk_whole(struct fs *fs, uint64_t ino, uint64_t start,
		      int (*each)(void *ctx, const struct extent *e), void *ctx);
/* Those that end in (start, end], the last first; not clipped. */
int extent_walk_back(struct fs *fs, uint64_t ino, uint64_t start, uint64_t end,
		     int (*each)(void *ctx, const struct extent *e), void *ctx);
/* Of an extent of the map stays what lies below `keep`; what lies from `from` on moves by so much; the rest
 * goes. Where it moves there is nothing any more. Locks and failure as with extent_insert. */
void extent_shift(struct txn *t, struct inode *i, const struct extent *old, uint64_t keep, uint64_t from,
		  int64_t by);
/* Looks each place up, so that what is needed to change it is in memory. No lock needed. */
void extent_warm(struct fs *fs, uint64_t ino, const uint64_t *starts, size_t count);
/* The part [start, end) of an extent. */
struct extent extent_part(const struct extent *e, uint64_t start, uint64_t end);
/* True if something of the map may lie at or beyond `from`. Inode locked. */
bool extent_may_overlap(const struct inode *i, uint64_t from);

/* ---- pending.c: segments with packed bytes that are not entered yet ---- */

/* data_append, and the bytes are pending until pending_entered or pending_dropped. */
int pending_append(struct fs *fs, enum data_class class, uint64_t ino, uint64_t file_offset,
		   const void *raw, size_t len, struct data_ref *ret);
void pending_entered(struct fs *fs, const struct extent_list *l);
/* They will never be entered: they count as dead from the next tick on. */
void pending_dropped(struct fs *fs, const struct extent_list *l);
/* Writes the counts of what was dropped. Leaves them for the next time on failure. */
int pending_count_dead(struct fs *fs);
bool pending_any_dead(struct fs *fs);
/* True if some bytes of the segment may still be entered. What is appended after this call is in
 * segments that were open at the time of the call, or younger. */
bool pending_has(struct fs *fs, uint64_t segment);
void pending_release(struct flusher *f);

/* ---- flush.c ---- */

enum frozen_state { FROZEN_WAITING, FROZEN_PACKING, FROZEN_PACKED };

struct frozen { /* a set on its way; see internal.h. Under inode.lock, but for what is noted */
	struct frozen *prev, *next;		/* in inode.frozen */
	struct frozen *ready_prev, *ready_next; /* in flusher.packed, under flusher.lock */
	bool in_packed_list;			/* likewise */
	struct inode *inode;
	unsigned refs; /* atomic: the inode's, one for each job */
	enum frozen_state state;
	bool submitted;		   /* a worker will come for it */
	bool dropped;		   /* no longer in inode.frozen */
	struct dirty_set set;	   /* until PACKED; constant */
	int64_t since_ns;	   /* of the set */
	struct extent_list packed; /* once PACKED */
	uint64_t valid;		   /* bytes in it */
	uint64_t size;		   /* of the file, at the freeze; the others likewise */
	uint32_t mode;
	int64_t mtime_ns, ctime_ns;
};

struct pending;
struct dead;

struct flusher {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t wake;
	pthread_t thread;
	bool running;
	bool stopping;
	bool pressed;	    /* somebody waits for memory */
	bool relief_queued; /* jobs under way, one of a kind at a time */
	bool enter_queued;
	int last_error;	       /* of the ticker: people are told once */
	struct frozen *packed; /* utlist DL: sets that wait for their segments */
	uint64_t packing;      /* atomic: memory of frozen sets that are not packed yet */

	pthread_rwlock_t gate; /* shared: from data_append until the bytes are known as pending */
	pthread_mutex_t pending_lock; /* a leaf: the two below */
	struct pending *pending;
	struct dead *dead;
};

/* Takes the whole dirty set out; -ENOMEM leaves it. Inode locked. */
int flush_freeze(struct fs *fs, struct inode *i);
/* Hands the frozen sets that nobody works on to the workers. Inode locked. */
void flush_submit(struct fs *fs, struct inode *i);
/* Are all segments of a PACKED set durable? */
bool flush_is_durable(struct fs *fs, const struct frozen *z);
/* Enters the sets at the head whose segments are durable. Inode locked. */
int flush_enter_ready(struct fs *fs, struct inode *i);
/* The tick's work on one inode: small things enter, large ones are frozen. Inode locked. */
int flush_gently(struct fs *fs, struct inode *i);
/* The record alone, when only times differ. Inode locked. */
int flush_attr(struct fs *fs, struct inode *i);
/* Freezes what there is, whatever its size, so that its memory goes to a segment. Inode locked. */
int flush_relieve(struct fs *fs, struct inode *i);
/* The reference that an inode on the dirty list has is dropped if it is clean. Inode locked, and
 * referenced by the caller. */
void flush_unlist(struct fs *fs, struct inode *i);
/* Looks at what a forced flush would look at. No lock held. */
void flush_warm(struct fs *fs, struct inode *i);
/* What the commit ticker does each time. pressed: somebody waits for memory. */
void flush_tick(struct fs *fs, bool pressed);
/* budget.on_pressure */
void flush_pressure(void *ctx);

/* ---- gather.c: who refers to a segment ---- */

struct live { /* a stretch of a file that lies in the segment */
	uint64_t ino;
	struct extent extent;
};
struct live_list {
	struct live *at;
	size_t count, cap;
};
/* Appends all, some perhaps twice, by the segment's index and R records; what changes meanwhile may be missed.
 * -E2BIG if there are too many to be worth it. *ret_raw_bytes: of all that was put into it. */
int gather_live(struct fs *fs, uint64_t segment, bool referenced, struct live_list *l,
		uint64_t *ret_raw_bytes);
/* Sorts by inode and offset. What was found twice, or changed between two looks, stays once. */
void live_arrange(struct live_list *l);

/* ---- move.c: for the cleaner ---- */

struct mover;
struct mover *mover_new(struct fs *fs); /* NULL: out of memory */
/* What is live in this segment shall move; done in batches, the last by mover_finish. Where files share bytes
 * only a look tells how much that is: if it is too much to be worth it, nothing moves, unless `anyway`. */
int mover_add(struct mover *m, uint64_t segment, bool anyway);
int mover_finish(struct mover *m);
void mover_free(struct mover *m);

/* ---- shift.c ---- */

/* What the database says of the inode's shift: -ENOENT if there is none. */
int shift_read(struct fs *fs, uint64_t ino, struct shift *ret);
/* For a read-only mount: where in the map to look for an offset, and what an extent found there means; false:
 * nothing. */
uint64_t shift_place(const struct shift *s, uint64_t offset);
bool shift_see(const struct shift *s, struct extent *e);
/* Checks as Linux does, and makes the first batch; shift_finish makes the others. file_settle(UINT64_MAX) came
 * before, and a hint for it shift_warm. Inode locked. */
int shift_begin(struct fs *fs, struct inode *i, const struct shift *what);
void shift_warm(struct fs *fs, uint64_t ino, const struct shift *s);
/* One batch more of a shift that goes on. Inode locked, relocked. */
int shift_step(struct fs *fs, struct inode *i);

/* ---- space.c ---- */

/* Everything written before has entered, and nothing is being dropped below `end`. Inode locked,
 * relocked. */
int file_settle(struct fs *fs, struct inode *i, uint64_t end);

/* ---- file.c, read.c ---- */

struct map_window;

struct fs_file {
	struct fs *fs;
	unsigned refs; /* atomic */
	struct inode *inode;
	bool for_writing;
	bool noatime;	      /* atomic */
	bool told;	      /* atomic: that what was written is not stored and will not be */
	pthread_mutex_t lock; /* a leaf; the rest below */
	struct map_window *window;
	uint64_t next_offset; /* where a sequential reader comes next */
	uint64_t sequential;  /* bytes read in a row */
	uint64_t ahead;	      /* readahead window; 0: none */
	uint64_t prefetched;  /* up to here */
};

void read_window_drop(struct fs_file *f);
/* The file is not read ahead of any more. file locked, or its last user. */
void read_ahead_end(struct fs_file *f);
/* The error for whoever writes: read-only, fenced; 0 if all is well. */
int file_may_write(struct fs *fs);
/* Takes bytes of the budget; waits while file_may_write. No inode locked. */
int file_take_memory(struct fs *fs, uint64_t bytes);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the fs room: what its files share.
 *
 *	fs.c       open, close, status: puts the rooms below together
 *	format.c   mkfs
 *	options.c  fs_config_set and the list of options
 *	keys.c     database keys, and the stored form of inodes, dentries, extents, segments, totals
 *	icache.c   the inode table in memory: get, put, load, evict
 *	txn.c      write batches under the seal lock; counters; before_seal/after_seal; commit ticker
 *	attr.c     getattr, setattr (truncate calls file.c)
 *	entry.c    directory entries in the database; the inodes of one operation (names.h)
 *	dir.c      lookup, readdir, readlink
 *	make.c     mknod, mkdir, symlink, tmpfile, link
 *	remove.c   unlink, rmdir
 *	rename.c   rename in all its forms
 *	xattr.c
 *	lazy.c     access times
 *	acl.c      POSIX ACLs: their part in modes, and inheritance
 *	limit.c    size_limit and inode_limit
 *	orphan.c   what is unlinked but open, or waits to be dropped in the background
 *	reap.c     the dropping, in bounded batches
 *	file.c     open, write, fsync
 *	read.c     read, readahead: the layers of a file put together
 *	space.c    truncate, fallocate, lseek
 *	dirty.c    bytes written but not yet in extents
 *	extent.c   the extent map: look up, cut, replace
 *	flush.c    dirty → frozen → packed → entered (below), for one inode
 *	tick.c     when: the dirty list, the commit ticker, durable segments, memory pressure
 *	pending.c  segments with bytes that are packed and not entered yet
 *	lag.c      how old the oldest change is that is not durable
 *	refs.c     R records: files that refer to a segment whose index does not say so
 *	copy.c     copy_file_range: files share stored bytes
 *	shift.c    fallocate's COLLAPSE_RANGE and INSERT_RANGE
 *	clean.c    the segment cleaner; gather.c finds what is live, move.c carries it
 *	recover.c  segments out of commit slots, after a crash
 *	tree.h     walking over a tree: sums, and with warm.c what files are made of and fetching it
 *	check.h    fsck: says which files are its own
 *
 * Lock order (take from the top, never wait for the network under any of them, except that a read of a
 * LevelDB block that is in no cache may; callers warm the keys before locking, see "warm"):
 *
 *	ns_lock            every change of the namespace (a mutex: LevelDB serialises batches anyway;
 *	                   lookups, readdir, data and attribute operations do not take it)
 *	inode.lock         of one inode; two: ascending ino
 *	seal (shared)      from the first effect on counters to the end of leveldb_write
 *	flusher.gate       (shared) from data_append until the bytes are noted as pending
 *	flusher.lock       sets that wait for their segments; before the icache lock
 *	icache, segs, reaper, dirty-list, pending, open file's locks: leaves
 *
 *	seal (exclusive)   the cut: before_seal to after_seal. Its holder takes only leaves.
 *
 * How written bytes travel. Each regular file's inode has
 *
 *	dirty     → the mutable set: what write() leaves, in chunks of 128 KiB
 *	frozen[]  → FIFO of immutable sets, oldest first; each goes PACKING → PACKED → entered
 *
 * freeze moves the whole dirty set into a new frozen one (so a set is always a cut of the file's write
 * history); pack compresses it into segments (data_append); enter puts its extents, and the size and
 * times the file had at the freeze, into the database in ONE batch. Sets of one inode enter in order.
 * That is promise "each file holds a prefix of its own writes".
 *
 *	background  a dirty set of FREEZE_BYTES is frozen and packed as DATA_STREAM by a worker; it enters
 *	            when its segments are durable (data on_durable → flush worker)
 *	forced      (flush_inode) a metadata operation or fsync on the inode: everything enters now, in order:
 *	            frozen sets after data_require of their segments; the dirty set directly (small:
 *	            DATA_COMMIT, else DATA_STREAM + data_require). CPU and memory only; the commit waits.
 *	tick        every commit_ms: small dirty sets are forced, larger ones frozen, the stream segment is
 *	            pushed, db_commit.
 *
 * Invariant: inode.attr is what programs see; the stored inode record carries `stored_size` instead of
 * attr.size while data is not entered: stored_size never covers bytes that have not been entered.
 */
#ifndef LEVELS3_FS_INTERNAL_H
#define LEVELS3_FS_INTERNAL_H

#include "fs/fs.h"
#include "data/data.h"
#include "db/db.h"

#include <uthash.h>
#include <utlist.h>

#define CHUNK_BYTES DATA_EXTENT_MAX
#define FREEZE_BYTES (4 * MIB)	  /* a dirty set of this size is frozen in the background */
#define FORCE_SMALL_BYTES (1 * MIB) /* up to this a forced set goes to the commit segment */
#define INLINE_MAX 512		  /* extents up to this many raw bytes live in their E record */

/* ---- keys.c ---- */

#define KEY_MAX 320
#define KEY_PREFIX_BYTES 9  /* letter and inode: what an inode's records of a kind share */
#define KEY_ORDERED_BYTES 17 /* of a D or E record */

enum key_kind { /* first byte of every key */
	KEY_INODE = 'I',
	KEY_DENTRY = 'D',
	KEY_EXTENT = 'E',
	KEY_XATTR = 'X',
	KEY_SEGMENT = 'S',
	KEY_REFERENCE = 'R',
	KEY_ORPHAN = 'O',
	KEY_SHIFT = 'T',
	KEY_TOTALS = 'M',
};

struct key {
	size_t len;
	uint8_t bytes[KEY_MAX];
};

/* Name hash → cookie: 55 bits of seeded XXH3 << 8 | n; never 0, 1 or 2. */
uint64_t key_cookie(const struct fs *fs, const char *name, unsigned n);
void key_inode(struct key *k, uint64_t ino);
void key_dentry(struct key *k, uint64_t dir, uint64_t cookie);
void key_extent(struct key *k, uint64_t ino, uint64_t end);
void key_xattr(struct key *k, uint64_t ino, const char *name); /* name NULL: the common prefix */
void key_segment(struct key *k, uint64_t segment);
void key_reference(struct key *k, uint64_t segment, uint64_t ino);
void key_orphan(struct key *k, uint64_t ino);
void key_shift(struct key *k, uint64_t ino);
void key_totals(struct key *k);

struct attr { /* the inode record, in memory */
	uint32_t mode, uid, gid, nlink;
	uint64_t rdev;
	uint64_t size;	 /* as programs see it; folders: 0 stored, see entries */
	uint64_t alloc_bytes; /* sum of extents' lengths in the database */
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
	uint64_t parent;  /* folders: for ".." */
	uint64_t entries; /* folders: names in it */
	uint32_t flags;	  /* INODE_HAS_XATTR, … */
	struct buf target; /* symlinks */
};
#define DIR_BYTES_PER_ENTRY 32 /* what st_size of a folder says */

#define INODE_HAS_XATTR 1u /* cleared never; saves look-ups where there were none */
#define INODE_PREALLOC 2u  /* extents may lie beyond the size (fallocate KEEP_SIZE); cleared never */
#define INODE_SHIFTING 8u  /* extents are being moved within the file, and a T record says how far (shift.c) */
#define INODE_NAMELESS 4u  /* made by fs_tmpfile and not linked yet: link may give it its first name */
/* flags.c: what chattr(1) sets */
#define INODE_IMMUTABLE 16u
#define INODE_APPEND 32u
#define INODE_NOATIME 64u
#define INODE_NODUMP 128u
#define INODE_SYNC 256u
#define INODE_DIRSYNC 512u
#define INODE_CHATTR \
	(INODE_IMMUTABLE | INODE_APPEND | INODE_NOATIME | INODE_NODUMP | INODE_SYNC | INODE_DIRSYNC)

void inode_encode(struct buf *out, const struct attr *a, uint64_t size);
int inode_decode(const void *data, size_t len, uint64_t ino, struct attr *ret);

struct dentry {
	uint8_t type; /* DT_* ; 0: a tombstone that keeps a run of equal hashes together */
	uint64_t ino;
	const char *name; /* into the value, not terminated */
	size_t name_len;
};
void dentry_encode(struct buf *out, uint8_t type, uint64_t ino, const char *name, size_t len);
int dentry_decode(const void *data, size_t len, struct dentry *ret);

enum extent_kind {
	EXTENT_STORED = 0, /* ref says where */
	EXTENT_INLINE = 1, /* bytes in the record */
	EXTENT_UNWRITTEN = 2, /* allocated (fallocate), reads as zeros */
	EXTENT_LOST = 3, /* fsck could not save the bytes: reading is EIO. ref says where they were, if known
			    (segment not 0); it counts as live no more */
};
struct extent {
	uint64_t start, end; /* in the file */
	uint8_t kind;
	struct data_ref ref;
	uint32_t raw_offset;	/* where start is within the ref's raw bytes */
	const uint8_t *bytes;	/* EXTENT_INLINE: end - start of them (into the value when decoded) */
	bool foreign;		/* to be put: its segment's index does not say so (refs.c) */
};
void extent_encode(struct buf *out, const struct extent *e);
/* end comes from the key. */
int extent_decode(const void *data, size_t len, uint64_t end, struct extent *ret);

struct seg_record {
	uint64_t live_bytes;  /* sum of (end - start) of the extents that refer to it */
	uint64_t total_bytes; /* of raw bytes ever put into it */
	uint64_t shared_bytes; /* of references added later, as far as they are not known to be superfluous:
				  live_bytes is at most the sum of the two, and what it lacks may be dead */
	bool referenced;       /* there may be R records (refs.c) */
};
#define REFERENCE_ANY_INO 0 /* the record's inode may be any: all files have to be looked through */
struct reference { /* an R record */
	uint64_t start, end;
};
struct totals {
	uint64_t next_ino;
	uint64_t inodes;      /* in existence, orphans included */
	uint64_t used_bytes;  /* sum of alloc_bytes */
};

void totals_encode(struct buf *out, const struct totals *t);
int totals_decode(const void *data, size_t len, struct totals *ret);
void seg_encode(struct buf *out, const struct seg_record *s);
int seg_decode(const void *data, size_t len, struct seg_record *ret);
void reference_encode(struct buf *out, const struct reference *r);
int reference_decode(const void *data, size_t len, struct reference *ret);

struct orphan_record {
	bool whole;	    /* the inode goes; else what lies at or beyond: */
	uint64_t trim_from;
};
struct shift { /* a T record; shift.c */
	bool insert;	    /* else: collapse */
	uint64_t from, len; /* the range that comes, or goes */
	uint64_t at;	    /* how far it went */
};
void shift_encode(struct buf *out, const struct shift *s);
int shift_decode(const void *data, size_t len, struct shift *ret);

void orphan_encode(struct buf *out, const struct orphan_record *o);
int orphan_decode(const void *data, size_t len, struct orphan_record *ret);
void xattr_encode(struct buf *out, const void *value, size_t len);
int xattr_decode(const void *data, size_t len, const uint8_t **ret_value, size_t *ret_len);

/* ---- inodes in memory (icache.c) ---- */

struct dirty_chunk;
struct spare_chunk;
struct frozen;

struct dirty_set {
	struct dirty_chunk **chunks; /* ascending by index */
	size_t count, cap;
	uint64_t bytes; /* memory it takes: what the budget holds for it */
	uint64_t valid; /* bytes of the file in it */
	int64_t since_ns; /* when the first of them was written; 0: there are none */
};

struct inode {
	uint64_t ino;
	uint32_t type;		    /* S_IFMT bits: never change, so no lock is needed */
	UT_hash_handle hh;	    /* in fs->icache */
	struct inode *prev, *next;  /* LRU of those with refs == 0 */
	unsigned refs;		    /* under icache lock */
	bool in_table;		    /* likewise */
	pthread_mutex_t lock;	    /* everything below */
	bool loaded;		    /* attr is valid; set atomically */
	bool gone;		    /* unlinked and being removed, or never there; set atomically by
					inode_set_gone. Nothing may be written for it any more */
	bool attr_dirty;	    /* attr differs from the stored record (times, size) */
	bool atime_lazy;	    /* only the access time does: lazy.c */
	bool on_lazy_list;
	uint64_t lazy_since_ms;
	bool on_dirty_list;
	bool forgotten;		    /* the kernel dropped it while it was open */
	unsigned opens;
	unsigned writers;	    /* opens for writing; atomic */
	struct attr attr;
	uint64_t stored_size;	    /* see the invariant above */
	uint64_t map_version;	    /* grows with every change of extents, dirty or frozen sets leaving */
	struct dirty_set dirty;
	struct frozen *frozen;	    /* utlist DL, oldest first */
	unsigned flushing;	    /* forced flushes under way: writers wait for `changed` */
	struct inode *dirty_prev, *dirty_next;
	struct inode *lazy_prev, *lazy_next;
	bool trimming;		    /* extents beyond trim_from are still being dropped in the background */
	uint64_t trim_from;
	uint64_t reserved;	    /* limit.c; needs fs->totals_lock only for the sum */
	bool shift_busy;	    /* somebody makes a batch of a shift */
	int64_t unsaved_since_ns;   /* atomic: of its bytes that have not entered (lag.c); 0: none */
	int write_error;	    /* writing it back failed for good (error_is_final) */
	uint64_t cut;		    /* of the database: the last that its record went into */
	pthread_cond_t changed;	    /* packing done, trimming done */
};

/* Referenced, not locked. -ENOENT if there is no such inode (or it is gone). The record is loaded. */
int inode_get(struct fs *fs, uint64_t ino, struct inode **ret);
/* A new inode in memory, referenced, loaded, not in the database yet. */
int inode_make(struct fs *fs, uint64_t ino, const struct attr *attr, struct inode **ret);
struct inode *inode_ref(struct fs *fs, struct inode *i);
void inode_put(struct fs *fs, struct inode *i); /* NULL is fine */
/* At the end: frees an inode with whatever is in it. */
void inode_discard(struct fs *fs, struct inode *i);
void inode_lock_two(struct inode *a, struct inode *b); /* same or NULL is fine */
void inode_unlock_two(struct inode *a, struct inode *b);
void inode_to_attr(const struct inode *i, struct fs_attr *ret); /* locked */
/* Locks it; -ENOENT (not locked) if it is gone. */
int inode_lock_live(struct inode *i);
void inode_set_gone(struct inode *i); /* locked */
int64_t fs_now_ns(struct fs *fs);

/* ---- access times (lazy.c) ---- */

/* It was read: by the mount's rules the access time may change (lazily): then true. Locked. */
bool inode_touch_atime(struct fs *fs, struct inode *i);
/* What waits with this inode shall be written with it. Locked. */
void lazy_settle(struct inode *i);
/* Those that have waited long enough, or all, go onto the dirty list. No lock held. */
void lazy_release(struct fs *fs, bool all);

/* ---- lag.c ---- */

/* The inode's unsaved bytes have come or gone. Locked. */
void lag_note_bytes(struct inode *i);
/* A batch is in the database. Seal held shared. */
void lag_note_batch(struct fs *fs);
/* The next cut will hold all batches so far. Seal held exclusively. */
void lag_seal(struct fs *fs);
/* Since when the oldest change waits, real time; 0: nothing does. Access times do not count. */
int64_t lag_since_ns(struct fs *fs);

/* Another try will not mend it: fenced, damaged, given up. All else is tried again. */
bool error_is_final(int err);

/* The mode after a write or change of owner by somebody without privileges (attr.c). */
uint32_t mode_without_suid(uint32_t mode);

/* ---- transactions (txn.c) ---- */

/*
 * One POSIX operation = one batch. Usage, with the inode locks held:
 *
 *	txn_begin(fs, &t);            // takes seal shared
 *	txn_put_inode(&t, inode); …   // fills the batch, notes counter changes
 *	err = txn_commit(&t);         // writes it, applies counters, releases seal; txn_abort(&t) instead
 *
 * On failure nothing has changed in the database or the counters; the caller restores what it changed in
 * struct inode. -EROFS on read-only mounts, -L3_FENCED.
 */
struct txn {
	struct fs *fs;
	leveldb_writebatch_t *batch;
	int64_t inodes, used_bytes;
	struct seg_delta {
		uint64_t segment;
		int64_t live, total, shared;
		bool drop, referenced;
	} *segs;
	size_t seg_count, seg_cap;
	struct txn_reference { /* refs.c */
		uint64_t segment, ino;
		struct reference range;
	} *refs;
	size_t ref_count, ref_cap;
	int err;
	bool reserved; /* what it allocates was reserved when it was written */
	uint64_t held; /* limit.c */
};
/* Brings the segment's counters into memory, so that txn_live need not wait for the store with the seal
 * lock held. Before txn_begin; a hint. */
void txn_warm_segment(struct fs *fs, uint64_t segment);
int txn_begin(struct fs *fs, struct txn *t);
void txn_put(struct txn *t, const struct key *k, const struct buf *value);
void txn_delete(struct txn *t, const struct key *k);
void txn_put_inode(struct txn *t, struct inode *i); /* with stored_size */
void txn_live(struct txn *t, uint64_t segment, int64_t live, int64_t total);
/* [start, end) of a file refers to the segment, and its index does not say so. shared: the bytes count as live,
 * and as shared; else they were counted before, elsewhere in the file. */
void txn_refer(struct txn *t, uint64_t segment, uint64_t ino, uint64_t start, uint64_t end, bool shared);
/* The cleaner has looked: what the counters were wrong by. */
void txn_correct(struct txn *t, uint64_t segment, int64_t total, int64_t shared);
/* The segment's record and counters go (the cleaner, which deletes the object). */
void txn_drop_segment(struct txn *t, uint64_t segment);
int txn_commit(struct txn *t);
void txn_abort(struct txn *t);
uint64_t txn_new_ino(struct fs *fs);
/* The counters as they are now. No lock needed. */
int txn_segment(struct fs *fs, uint64_t segment, struct seg_record *ret);

/* ---- back-references of segments (refs.c) ---- */

/* For txn.c: see txn_refer; refs_put fills the batch. */
void refs_note(struct txn *t, uint64_t segment, uint64_t ino, uint64_t start, uint64_t end);
int refs_put(struct txn *t);
/* Brings the record into memory: a hint, before txn_begin. */
void refs_warm(struct fs *fs, uint64_t segment, uint64_t ino);
/* The inode, which is being removed as a whole, refers to the segment no more. */
void refs_forget(struct txn *t, uint64_t segment, uint64_t ino);
/* Calls each for every record of the segment; nonzero stops. */
int refs_each(struct fs *fs, uint64_t segment,
	      int (*each)(void *ctx, uint64_t ino, const struct reference *r), void *ctx);
/* Nothing in it is live any more. In batches. */
int refs_drop_all(struct fs *fs, uint64_t segment);

/* ---- after a crash (recover.c) ---- */

struct recovery {
	struct fs *fs;
	uint64_t *segments; /* that slots carried parts of */
	size_t count, cap;
};
int recover_parts(struct recovery *r); /* before anything is read */
/* For fsck, right after: calls differs, with the note that says how, for each segment whose object is not what slots
 * carried of it. */
int recover_compare(const struct recovery *r, int (*differs)(void *ctx, uint64_t segment),
		    void *ctx);
/* Read-only mounts do nothing more. Notes what the cleaner has to know, before a checkpoint can come; then, all
 * being started, makes objects of them, and the next opening short. */
int recover_note(const struct recovery *r);
int recover_finish(const struct recovery *r);
void recover_release(struct recovery *r);

/* One value. -ENOENT if absent. */
int db_value(struct fs *fs, const struct key *k, struct buf *out);

int txn_hook_before_seal(void *ctx, struct db_seal *seal);
void txn_hook_after_seal(void *ctx);
void txn_hook_sent(void *ctx, uint64_t ns);
int txn_hook_before_checkpoint(void *ctx);

/* ---- namespace (make.c) ---- */

/* A new regular file, referenced, with opens = 1: so nobody can remove it before its first open is done. */
int dir_create_open(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred, uint32_t mode,
		    struct inode **ret, struct fs_attr *ret_attr);

/* ---- file bytes (dirty.c, extent.c, flush.c) ---- */

/* All on a locked inode. */
ssize_t dirty_write(struct fs *fs, struct inode *i, uint64_t offset, const void *data, size_t len);
/* All of it, frozen sets as well (unlinked file, truncation to 0, inode_discard). Does not touch the dirty
 * list: the next tick takes a clean or gone inode off it. */
void dirty_drop(struct fs *fs, struct inode *i);
/* Frees the buffers that are kept for what will be written. No lock needed. */
void dirty_spares_drop(struct fs *fs);
bool inode_has_dirty(const struct inode *i);
/* Bytes that will be allocated when they enter: for st_blocks, on top of alloc_bytes. */
uint64_t inode_unsaved_bytes(const struct inode *i);
/* attr (times) differs from the stored record, or there is dirty data: the tick shall look at it. */
void inode_mark_dirty(struct fs *fs, struct inode *i);

/* Everything of this inode enters the database now (see "forced" above). Inode locked, ns_lock may be held;
 * may unlock and relock the inode while a worker finishes packing (so hold no other inode's lock). Nothing
 * is left on return: writers of this inode wait meanwhile. No request to the store. */
int flush_inode(struct fs *fs, struct inode *i);
/* tick / sync: all dirty inodes. force: everything enters now. */
int flush_all(struct fs *fs, bool force);
int flush_start(struct fs *fs); /* the commit ticker; stop accepts an fs without one */
void flush_stop(struct fs *fs); /* twice is fine. No job of ours runs afterwards */
void flush_free(struct fs *fs); /* after flush_stop and data_close */
void flush_segment_durable(void *ctx, uint64_t segment); /* data_config.on_durable */

/* Puts the extent's place in the map: cuts or removes what it overlaps, counts. Inode locked, inside a txn.
 * These look at the database, not at the batch: two calls in one txn must not touch the same old extent.
 * i->attr.alloc_bytes is changed: restore it if the txn fails. */
int extent_insert(struct txn *t, struct inode *i, const struct extent *e);
/* Removes [start, end) from the map (holes). */
int extent_remove(struct txn *t, struct inode *i, uint64_t start, uint64_t end);
/* Calls each for the extents overlapping [start, end) in order; clipped to it. No lock needed; see
 * map_version for how a reader combines it with dirty sets. each returns nonzero to stop. */
int extent_walk(struct fs *fs, uint64_t ino, uint64_t start, uint64_t end,
		int (*each)(void *ctx, const struct extent *e), void *ctx);
/* Sets the size. Inode locked, may be unlocked and relocked; flushes by itself. Small files at once, large
 * ones by the reaper (O record with the cut-off); commits its own transactions. The caller sets the new
 * times in attr before (and takes them back on failure): they go into the same record. */
int file_truncate(struct fs *fs, struct inode *i, uint64_t size);
/* Extents that are to be moved within the file are (shift.c): before its map is looked at, and before anything is
 * written. Inode locked, relocked. */
int shift_finish(struct fs *fs, struct inode *i);
bool shift_any(struct fs *fs); /* is there a T record? A read-only mount has to heed it */
/* Waits (inode locked, relocked) until a background trim that overlaps is done. */
int file_wait_trim(struct fs *fs, struct inode *i);

/* ---- size_limit, inode_limit (limit.c) ---- */

/* A batch that allocates: -ENOSPC, or the room is held until limit_let_go. */
int limit_hold(struct txn *t);
void limit_let_go(struct txn *t);
/* How many bytes of a write there is room for, at least one; -ENOSPC. They are reserved: limit_update follows. If
 * there is too little, call limit_squeeze without locks, then again `exactly`: that may unlock and relock the
 * inode. Inode locked. */
ssize_t limit_admit(struct fs *fs, struct inode *i, uint64_t offset, size_t len, bool exactly);
/* The inode's unsaved bytes, size or extents have changed. Inode locked. */
void limit_update(struct fs *fs, struct inode *i);
/* After -ENOSPC, no lock held: true if it is worth another try. *tries begins with 0. */
bool limit_squeeze(struct fs *fs, unsigned *tries);

/* ---- orphans (orphan.c) ---- */

/* whole where the link count is 0, also for a trim: it must outlive the trim. */
void orphan_put(struct txn *t, uint64_t ino, bool whole, uint64_t trim_from);
void orphan_clear(struct txn *t, uint64_t ino);
/* nlink is 0: reap if nobody has it open and the kernel forgot it (or does not matter). */
void orphan_consider(struct fs *fs, struct inode *i, bool forgotten); /* inode locked */
void orphan_queue_trim(struct fs *fs, uint64_t ino);
int orphan_start(struct fs *fs);   /* reads O records of earlier mounts, starts the reaper */
void orphan_stop(struct fs *fs); /* twice is fine. After the last flush: one may wait for a trim */
bool orphan_any(struct fs *fs);	   /* is there one, in use or waiting? */
bool orphan_is_idle(struct fs *fs); /* nothing is being removed, or there is trouble */
void orphan_drain(struct fs *fs);  /* waits until the queue is empty (tests, unmount: bounded) */

int clean_start(struct fs *fs);
void clean_stop(struct fs *fs);
/* One look at all segments, now (tests, gc verb). Number of segments given up, or an error. */
int clean_pass(struct fs *fs);
/* Likewise, for as long as that says so; it is asked for each segment. */
int clean_pass_while(struct fs *fs, bool (*goes_on)(void *ctx), void *ctx);
/* What a pass would find now, without doing it; read-only mounts too. */
struct clean_view {
	uint64_t dead, dead_bytes;     /* segments with nothing live in them */
	uint64_t sparse, sparse_bytes; /* of which what is live would move, */
	uint64_t live_bytes;	       /* at most so much */
};
int clean_look(struct fs *fs, struct clean_view *ret);
/* Looks for segments that an earlier mount left behind without a record. Number found, or an error. look: see
 * db_sweep. */
int clean_sweep(struct fs *fs, struct db_garbage *look);

/* ---- fs.c: opening in steps, for format.c and fsck.c as well ---- */

int fs_new(const struct fs_config *config, struct fs **ret);
int fs_open_stores(struct fs *fs, const char *url);
/* Does the store honour conditions? Nothing on read-only mounts. */
int fs_probe(struct fs *fs, const struct buf *super_bytes);
int fs_take_lease(struct fs *fs, const char *holder, bool create);
/* Cache, workers, db and data. What is half open fs_close_database closes. */
int fs_open_database(struct fs *fs, bool create);
void fs_close_database(struct fs *fs);
/* All of these, from an existing super on. */
int fs_open_rooms(struct fs *fs, const char *holder, bool create, const struct buf *super_bytes);
int fs_load_totals(struct fs *fs);
/* How much the cache may hold. */
uint64_t fs_cache_bytes(const struct fs *fs);
/* Any half-built fs. Nothing is made durable here. */
void fs_free(struct fs *fs);
/* After a failure, and keeps its note: nobody else should wait for a lease that we took and cannot use. */
void fs_give_up(struct fs *fs);

/* ---- the filesystem ---- */

struct seg { /* a segment's counters; every segment touched since mount, or all once the cleaner looked */
	uint64_t id;
	UT_hash_handle hh;
	struct seg_record rec;
	bool dirty; /* differs from the S record; then in fs.dirty_segs */
	struct seg *dirty_prev, *dirty_next;
};

struct fs {
	struct store *base, *trace, *store, *forever;
	struct cache *cache;
	struct lease *lease;
	struct db *db;
	struct data *data;
	struct budget budget;
	struct super super;
	struct fs_config config; /* strings are owned copies */
	struct notifier notifier;
	struct clock *clock;
	bool read_only;
	enum db_rescue rescue; /* fsck's repair: how the database is to be opened, */
	struct db_rescued rescued; /* and what came of it */
	uint64_t used_epoch;
	bool checking;	/* opened by fsck: what is missing is what it looks for, and nothing runs beside it */
	bool any_shift; /* read-only: there are files whose map is to be seen through a T record */
	bool reap_without_forget; /* atomic */
	uint64_t hash_blind;	  /* bits of name hashes that do not count: 0, but for tests of collisions */
	int fenced; /* atomic: error to answer to writers, 0 if none */

	pthread_mutex_t ns_lock;
	pthread_rwlock_t seal; /* prefers writers */

	pthread_mutex_t icache_lock;
	struct inode *icache;
	struct inode *icache_lru;
	size_t icache_unused, icache_max_unused;

	pthread_mutex_t totals_lock; /* totals and segs */
	struct totals totals;
	bool totals_dirty;
	uint64_t bytes_read, bytes_written; /* atomic; of fs_status */
	uint64_t reserved; /* bytes that writes were promised (limit.c) */
	struct seg *segs;
	struct seg *dirty_segs; /* utlist DL */

	pthread_mutex_t dirty_lock;
	struct inode *dirty_inodes; /* DL by dirty_prev/dirty_next; each holds a reference */
	struct inode *lazy_inodes;  /* likewise by lazy_prev/lazy_next, oldest first */
	size_t lazy_count;

	pthread_mutex_t spare_lock; /* a leaf: */
	struct spare_chunk *spare_chunks; /* dirty.c */
	uint32_t spare_count;

	int64_t batch_since_ns; /* atomic: the first batch that is in no cut yet; 0: there is none */
	pthread_mutex_t lag_lock; /* a leaf: */
	uint64_t sealed_cut;	  /* the last that began, */
	int64_t sealed_since_ns;  /* and its first batch */

	unsigned readers;     /* atomic: open files that are read ahead of (read.c) */
	uint64_t ahead_bytes; /* for all of them together */

	struct pool *workers; /* packing, entering */
	struct flusher *flusher; /* flush.c: the commit ticker thread */
	struct reaper *reaper;	 /* orphan.c */
	struct cleaner *cleaner; /* clean.c */
	pthread_mutex_t error_lock;
	char last_error[512];
};

#endif

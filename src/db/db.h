/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * db: LevelDB on an object store, under one linear, fenced history.
 *
 *	super_read → db_open → leveldb_* on db_handle() … db_commit() … → db_close
 *
 * LevelDB runs on an Env (env.c, env_shim.cc) that keeps its small mutable files (logs, MANIFEST,
 * CURRENT) in a virtual file table in memory and its table files as immutable objects. Every change
 * of that table is a record; db_commit seals the records so far into the next slot of the commit
 * chain (chain.c) and PUTs it create-only. So:
 *
 *   - **db_commit returned 0 = everything written before the call survives the loss of this host.**
 *   - After any crash, what db_open finds is a prefix of what was written, ending at a slot's
 *     border (a *cut*), not before the last acknowledged commit.
 *   - Writes to LevelDB never wait for the network (nobody uses leveldb's sync=1); only commits do.
 *     Tables are uploaded in the background and named by a slot after that; commits do not wait for
 *     them, because until then the chain has the logs that they were made of (env.h). Only when
 *     uploads fall far behind does LevelDB's own stalling of writers set in.
 *   - One commit = one PUT on the critical path; callers that arrive while one is under way share
 *     the next (group commit).
 *
 * Invariants: doc/format.md (numbers as in the design). Takeover, fence, checkpoint: chain.c.
 */
#ifndef LEVELS3_DB_H
#define LEVELS3_DB_H

#include "cache/cache.h"
#include "lease/lease.h"
#include "store/store.h"

#include <leveldb/c.h>

struct db;
struct db_seal; /* a commit being put together, between before_seal and after_seal */

/* ---- super: the object that makes a prefix a levels3 database ---- */

enum super_state {
	SUPER_FORMATTING = 0, /* mkfs under way or interrupted */
	SUPER_READY = 1,
	SUPER_REPAIRING = 2, /* fsck has rescued the database and not looked through all files yet */
};

#define SUPER_KEY "super"
#define SUPER_KIND_FS 0x20205346 /* "FS  " */
#define SUPER_KIND_DB 0x20204244 /* "DB  ": plain LevelDB, by levels3.h */

/* Bits of `incompat` (doc/format.md). */
#define SUPER_INCOMPAT_RANGES 1u /* files may share stored bytes, and extents may be on the move */
#define SUPER_INCOMPAT_LOST 2u	 /* fsck has noted that ranges of files are lost */

struct super {
	uint32_t kind;
	uint32_t state;
	uint64_t compat;    /* feature flags: unknown ones may be ignored, */
	uint64_t ro_compat; /* unknown ones allow reading only, */
	uint64_t incompat;  /* unknown ones refuse */
	struct uuid uuid;
	uint64_t hash_seed; /* of directory hashes */
	int64_t created_real_ns;
	char etag[STORE_ETAG_MAX]; /* when super_read read it */
};

/* -L3_NOT_LEVELS3 when the prefix is empty or holds something else (the note tells which and hints
 * at mkfs); -L3_VERSION; -L3_CORRUPT. ret_raw: the object's bytes, for lease_probe. May be NULL. */
int super_read(struct store *s, bool for_writing, struct super *ret, struct buf *ret_raw);
/* For mkfs: create-only, state FORMATTING, only into an empty prefix (-L3_NOT_LEVELS3, -EEXIST when
 * a filesystem is there). Finds an interrupted mkfs' super and returns it. */
int super_create(struct store *s, struct super *super);
/* FORMATTING → READY by if-match. */
int super_finish(struct store *s, struct super *super);
/* For fsck: whatever the state. */
int super_look(struct store *s, bool for_writing, struct super *ret, struct buf *ret_raw);
/* Another state, by if-match: between READY and REPAIRING. Nothing is sent if it has it already. */
int super_mark(struct store *s, struct super *super, enum super_state state);
/* The filesystem is going to hold what versions without these features would not understand: from now on they
 * refuse it. By if-match; nothing is sent if it says so already. */
int super_require(struct store *s, struct super *super, uint64_t incompat);

/* ---- the database ---- */

struct db_hooks { /* what the owner adds to commits; all optional */
	/*
	 * Called before a cut. Shut out your own writers, write what must be in every cut
	 * (counters), and add what the slot shall wait for or carry. Between this and after_seal no
	 * leveldb_write of the owner may begin or be under way. Must not wait for the network or
	 * for other locks. Nonzero: the commit fails with it (after_seal is called all the same).
	 */
	int (*before_seal)(void *ctx, struct db_seal *seal);
	void (*after_seal)(void *ctx);
	/* The request of a slot took so long. Must be brief; no locks held. */
	void (*sent)(void *ctx, uint64_t ns);
	/* Before a checkpoint makes earlier slots superfluous: return 0 once every part
	 * (db_seal_part) carried by slots so far is stored elsewhere. May wait for the network. */
	int (*before_checkpoint)(void *ctx);
	void *ctx;
};

enum db_rescue {
	DB_RESCUE_NONE,
	/*
	 * The chain is broken: the newest state that can be had, and the fence behind everything that
	 * exists. Without any usable checkpoint: the files that slots and table objects make up. What
	 * was in the way stays as it is, and the old state the one that everybody else sees, until
	 * the owner's first db_checkpoint: that is the switch to the new one.
	 */
	DB_RESCUE_CHAIN,
	/* As that, and LevelDB's own repair makes a database of the files there are. */
	DB_RESCUE_FILES,
};

struct db_rescued {
	uint64_t slot;	/* the state is that after this slot */
	uint64_t end;	/* the last number in use; slots that exist behind it are not of this chain. Those between
			   must become fences: db_verify with `mend` does that */
	uint64_t newest; /* number of any checkpoint, bad ones too */
	bool files;	/* LevelDB's files were repaired: records may be missing, or back */
	bool scattered; /* there was no usable checkpoint */
};

struct db_config {
	struct store *store;   /* reads; bounded retries */
	struct store *forever; /* commits, uploads: retried until cancelled (store_cancel) */
	struct cache *cache;   /* table reads go through it, new tables are written through */
	struct lease *lease; /* NULL: read-only. Nothing is ever written to the store; LevelDB's own
				writes at opening stay in memory */
	struct uuid fs;
	bool create;		     /* mkfs: the chain must hold no database yet (else -EEXIST) */
	uint64_t write_buffer_bytes; /* LevelDB's memtable: 16 MiB */
	uint64_t block_cache_bytes;  /* 32 MiB */
	uint64_t table_bytes;	     /* 4 MiB */
	/* A checkpoint after so many slots: 128. It is put off where it would cost much more than the
	 * slots it replaces (small commits, a long log), but not beyond eight times as many, */
	unsigned checkpoint_slots;
	uint64_t checkpoint_bytes;   /* or bytes of slots: 64 MiB. */
	uint64_t grace_ms;	     /* how long removed objects stay: 10 min */
	unsigned upload_threads;     /* tables in parallel: 4 */
	struct clock *clock;
	struct notifier notifier;
	struct db_hooks hooks;
	enum db_rescue rescue; /* fsck's repair only; needs a lease */
	uint64_t used_epoch;   /* with it: the highest epoch in names of the owner's objects */
	struct db_rescued *rescued; /* with it: filled by db_open */
};

/*
 * Opens: newest checkpoint, slots after it, then (writing) the fence of our epoch, lease_confirm, a
 * look whether slots were trimmed meanwhile, LevelDB's own recovery. A slot missing while replaying
 * starts again from the newest checkpoint.
 * -L3_FENCED if a newer epoch is met, -L3_CORRUPT (names the object), store errors. Every object
 * that durable state names and that is missing is -L3_CORRUPT, never ENOENT and never a fresh
 * start.
 */
int db_open(const struct db_config *config, struct db **ret);

/*
 * Parts found in slots that are not stored elsewhere yet (see db_seal_part), in the order they were
 * written. The owner must see them before it reads anything, and store them before the next
 * checkpoint.
 */
typedef int (*db_part_fn)(void *ctx, uint64_t id, uint64_t offset, const void *data, size_t len);
int db_recovered_parts(struct db *db, db_part_fn fn, void *ctx);

leveldb_t *db_handle(struct db *db);
const leveldb_readoptions_t *db_read_options(struct db *db); /* checksums on, cache filled */
const leveldb_readoptions_t *db_scan_options(struct db *db); /* checksums on, cache not filled */
const leveldb_writeoptions_t *db_write_options(struct db *db);
/* Turns LevelDB's error string (freed here) into a code with a note: -L3_FENCED, -L3_CORRUPT, -EIO.
 */
int db_error(struct db *db, char *leveldb_err);
uint64_t db_epoch(const struct db *db);

/* Everything written before the call becomes durable. 0; -L3_FENCED; -L3_CORRUPT (another writer of
 * our own epoch); -ECANCELED after db_cancel; -EROFS; before_seal's error. Trouble with the store
 * is waited for. All but before_seal's errors are final: LevelDB is not written any more. Any
 * thread, no locks held. Without anything to make durable it returns at once and sends nothing. */
int db_commit(struct db *db);
/* Likewise, but of all who commit at a time only one is kept waiting: then(arg, result) is called once, by a thread of
 * ours with no locks held, or before this returns. It must be brief, wait for nothing and call nothing of ours:
 * others' answers come after it. */
void db_commit_then(struct db *db, void (*then)(void *arg, int err), void *arg);
/* As db_commit, and then a checkpoint; at unmount, so that the next opening is quick. */
int db_checkpoint(struct db *db);
/* True if something was written since the last cut. */
bool db_is_dirty(struct db *db);
/* The cut that will hold what is written now. Before before_seal or after after_seal, and while those are kept out;
 * else it may begin meanwhile. */
uint64_t db_next_cut(struct db *db);
bool db_cut_is_durable(struct db *db, uint64_t cut);
/* 0, or the error after which nothing is written any more. No lock. */
int db_failed(struct db *db);

/* In before_seal only. The slot is not PUT before wait(arg) returned 0; it may take long, is called
 * without locks, and its error fails the commit. done(arg) is called once at the end in any case.
 */
int db_seal_wait(struct db_seal *seal, int (*wait)(void *arg), void (*done)(void *arg), void *arg);
/* In before_seal only. The slot carries these bytes as part of object `id` at `offset`. They must
 * stay unchanged in memory until done(arg, result), result 0 when the slot is durable. */
int db_seal_part(struct db_seal *seal, uint64_t id, uint64_t offset, const void *data, size_t len,
		 void (*done)(void *arg, int result), void *arg);

/* Deletes the object once the cut that holds everything written so far is durable and the grace has
 * passed. Kept in memory: what a crash leaves behind is found by db_sweep of a later mount. */
int db_discard(struct db *db, const char *key, uint64_t bytes);
struct db_trash { /* what db_discard took, and tables that went out of use */
	uint64_t waiting, waiting_bytes; /* now: objects to be deleted */
	uint64_t due_ms;		 /* ms from now until the grace of all of them is over, */
	bool uncut;			 /* but for some that wait for a commit */
	uint64_t found, found_bytes;	 /* all since opening */
	uint64_t deleted, deleted_bytes;
	int trouble; /* the store refused the last deletion: it is tried again later */
	char note[256];
};
void db_trash(struct db *db, struct db_trash *ret);
/* Deletes what is due now, as is done in the background otherwise. ret is filled in any case. -EROFS, -L3_FENCED. */
int db_collect(struct db *db, struct db_trash *ret);
/* Lists prefix and discards objects that `referenced` denies and that are older than an hour by the
 * store's clock, written under an epoch before ours. For data/ by the owner; table/ is done by db
 * itself some time after opening, or with db_sweep_tables. With `look`, which may be NULL, they are added up there
 * and nothing is discarded; also where the database is read-only. Returns their number or an error. */
typedef bool (*db_referenced_fn)(void *ctx, const char *key);
struct db_garbage {
	uint64_t objects, bytes;
};
int db_sweep(struct db *db, const char *prefix, db_referenced_fn referenced, void *ctx,
	     struct db_garbage *look);
int db_sweep_tables(struct db *db, struct db_garbage *look);
/* Calls fn for every table object that the database refers to (fsck). */
int db_each_table(struct db *db, int (*fn)(void *ctx, const char *key, uint64_t size_bytes),
		  void *ctx);

struct db_stats {
	uint64_t epoch, slot, checkpoint_slot;
	uint64_t commits;	 /* slots written since opening */
	uint64_t commit_ns;	 /* all of them together, from the cut to its being durable */
	uint64_t commit_waiters; /* callers in db_commit now */
	uint64_t pending_bytes;	 /* of logs, in no cut yet */
	uint64_t log_bytes;	 /* of LevelDB's present logs, in memory */
	uint64_t tables, table_bytes, discards_waiting;
	uint64_t upload_bytes; /* of tables, in memory until they are uploaded */
	bool fenced;
};
void db_stats(struct db *db, struct db_stats *ret);

/* ---- fsck ---- */

struct db_verify_options {
	bool tables; /* read them, and compare the checksum of each window */
	bool mend;   /* the caller holds the lease: a fence that is missing or bad is made again, after
			`problem` was called for it */
	/* A stable name (doc/fsck.md), the object concerned or NULL, and a sentence. */
	void (*problem)(void *ctx, const char *code, const char *key, const char *text);
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	bool (*cancelled)(void *ctx); /* may be NULL; true: give up with -ECANCELED */
	void *ctx;
};
struct db_verify_result {
	uint64_t slot, epoch; /* of the newest state that can be loaded */
	uint64_t slots, checkpoints, tables, fences, problems;
	bool chain_broken;    /* the newest state cannot be loaded: DB_RESCUE_CHAIN */
	bool tables_broken;   /* a table that it names is missing or bad: DB_RESCUE_FILES */
};
/*
 * Looks at what the store has of the database, without opening it: each checkpoint, that slots are
 * contiguous, of the right epochs and decode, that the older checkpoint and the slots after it make
 * the newer one, that every fence is there, and the tables. A writer may be at work meanwhile.
 * 0 whatever is found; else it could not look.
 */
int db_verify(struct store *store, const struct uuid *fs, const struct db_verify_options *options,
	      struct db_verify_result *ret);

/* Is it the name of an object of this room's, or of the lease, by its form? */
bool db_owns_key(const char *key);
/* Makes waiting commits return -ECANCELED: forced unmount. Nothing more is acknowledged. A commit
 * that is inside a request or a wait of the owner's returns when that does: cancel those first
 * (store_cancel of `forever`, data_cancel). Cancels waiting for the lease. */
void db_cancel(struct db *db);
/* Ends background work without a commit and frees (so a caller that wants durability commits or
 * checkpoints first). Requests under way are waited for. The lease is not released here. NULL is
 * fine. */
void db_close(struct db *db);

#endif

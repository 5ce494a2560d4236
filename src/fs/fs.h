/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fs: the filesystem: inodes, directories, extents, xattrs, orphans, statfs, on db and data. No FUSE.
 *
 *	fs_config_init → fs_config_set("cache_dir", …)… → fs_open(url, &config, &fs)
 *	→ operations by inode number, from any number of threads → fs_close
 *
 * Promises (doc/durability.md):
 *   - fs_fsync returned 0: that file's bytes and every namespace operation accepted before the call
 *     survive anything. fs_sync: everything.
 *   - After a crash: namespace operations are a prefix of their history; each file holds a prefix of
 *     its own writes; what was done to a file (rename, chmod, …) never survives without the writes
 *     before it. Each operation is whole or absent.
 *   - nlink, sizes, totals, live counts of segments always equal what a full scan computes.
 *
 * Errors: negative errno, or private codes of util.h. The operations return what Linux returns for the
 * same call on ext4; permissions are the caller's business (the kernel checks them). A mount that
 * has been fenced answers -L3_FENCED to everything that writes; one that has met proven damage in what its own
 * writing rests on, -L3_CORRUPT. All other trouble is waited out in the background: an operation may fail, what was
 * accepted stays in memory and is tried again (error_is_final).
 *
 * Lock order: internal.h.
 */
#ifndef LEVELS3_FS_H
#define LEVELS3_FS_H

#include "cache/cache.h"
#include "lease/lease.h"
#include "store/store.h"
#include "util/util.h"

#include <sys/stat.h>
#include <time.h>

#define FS_ROOT_INO 1
#define FS_NAME_MAX 255
#define FS_SYMLINK_MAX 4095
#define FS_XATTR_NAME_MAX 255
#define FS_XATTR_SIZE_MAX 65536
#define FS_FILE_SIZE_MAX INT64_MAX
#define FS_BLOCK_BYTES 4096 /* what ranges to be collapsed or inserted are multiples of */

struct fs;
struct fs_file; /* one open of one inode; holds the inode alive */

/* ---- options ---- */

#define FS_CACHE_PERCENT 10

struct fs_config {
	struct store_config store; /* strings point into `owned` */
	unsigned retry;		   /* attempts of a read before EIO; default 10 */
	uint64_t retry_delay_ms;   /* base of the backoff: 100 ms */
	char *cache_dir;	   /* NULL: default folder of the user; "none": no disk cache */
	uint64_t cache_size_bytes; /* 0: a part of the disk, */
	unsigned cache_size_percent; /* 10 */
	uint64_t mem_limit_bytes;  /* 512 MiB */
	uint64_t commit_ms;	   /* 5 s */
	uint64_t lease_ms;	   /* 30 s */
	uint64_t renew_ms;	   /* 10 s */
	uint64_t lease_wait_ms;	   /* 0 */
	uint64_t grace_ms;	   /* 10 min */
	uint64_t segment_bytes;	   /* 16 MiB */
	bool compress;		   /* true */
	bool read_only;
	bool create;		   /* make the filesystem if the prefix is empty */
	bool lease_only;	   /* accept a store without conditional writes */
	bool atime;		   /* relatime; false: noatime */
	bool strictatime;
	bool nodiratime;	   /* no access times of folders */
	uint64_t size_limit_bytes; /* 0: none */
	unsigned inode_limit;	   /* 0: none */

	/* Not settable by name: */
	const char *mountpoint; /* for the lease; borrowed */
	struct clock *clock;
	struct notifier notifier;
	int (*on_wait)(void *ctx, const struct lease_holder *holder, uint64_t waited_ms);
	void (*on_fenced)(void *ctx);
	store_request_fn on_request; /* told of every request, from any thread; must not wait */
	void *ctx;
	struct store *store_override; /* tests: use this store (e.g. a fault wrapper) for the URL's */

	char *owned[24]; /* private */
};

void fs_config_init(struct fs_config *c);
void fs_config_release(struct fs_config *c);
/* Sets an option by its name as written by people ("cache_size", "64G"). value NULL for a flag.
 * 0; -L3_BAD_OPTION with a note that names option, value, range and, for an unknown name, the
 * nearest known one; -ENOENT-like "not one of ours" is -ENOTSUP, so that callers may try theirs. */
int fs_config_set(struct fs_config *c, const char *name, const char *value);
/* A list as after -o: "a,b=c,d". A comma or backslash within a value is written with a backslash before
 * it. `other` (may be NULL) sees each one first, and answers -ENOTSUP for what is not its own; the
 * answer is that for unknown options, too. Stops at the first error. */
typedef int (*fs_option_fn)(void *ctx, const char *name, const char *value);
int fs_config_parse(struct fs_config *c, const char *list, fs_option_fn other, void *ctx);
/* Whole-config checks (renew < lease/2, …). */
int fs_config_check(const struct fs_config *c);
/* For people, about a failed fs_open or fs_format: appends the thread's note (or the code's words), and on
 * a second line what can be done about it, naming options. No newline at the end. */
void fs_explain(int err, struct buf *out);

struct fs_option_info {
	const char *name;
	const char *argument; /* NULL: a flag */
	const char *fallback; /* the default as people write it */
	const char *help;
	const char *more;  /* when to change it, for the manual: sentences, with `words` to be taken literally; NULL */
	const char *range; /* "1 to 1000"; NULL: not a number */
};
/* The one list from which --help, completion and the manual pages come. Ends with a NULL name. */
const struct fs_option_info *fs_options(void);

/* ---- configuration files: levels3fs.conf(5) ---- */

struct fs_place { /* owned strings */
	char *url;
	char *mountpoint; /* NULL: not said */
};
/*
 * What `word` stands for: a URL (it has a ':' or a '/') for itself; else the section of that name in
 * /etc/levels3fs.conf or the user's ~/.config/levels3fs/config (which is read after it and goes first).
 * The settings for all filesystems, then those of the section, go to `set`; a flag's value is NULL.
 * -L3_BAD_OPTION, -L3_DENIED (others may write the file), or set's error, with a note that has file and line.
 */
int fs_place_find(const char *word, fs_option_fn set, void *ctx, struct fs_place *ret);
void fs_place_release(struct fs_place *p);
/* Each name of those files, once, with what it stands for (either may be NULL). A nonzero answer ends it, and is
 * returned. Errors as above. */
typedef int (*fs_place_fn)(void *ctx, const char *name, const struct fs_place *place);
int fs_place_each(fs_place_fn each, void *ctx);

/* ---- life ---- */

/* Makes an empty filesystem: refuses (nothing changed) where the prefix holds anything, but finishes an
 * interrupted one. */
int fs_format(const char *url, const struct fs_config *config);
/* Store, probe, lease, database, recovery. Errors as in the rooms below, each with a note for people. */
int fs_open(const char *url, const struct fs_config *config, struct fs **ret);
/* Makes everything durable, writes a checkpoint, releases the lease, frees. progress (may be NULL) is
 * called about twice a second with the bytes still to go. Nonzero if anything could not be stored (then
 * says so in the note; memory is freed all the same). After fs_abort: does not try. */
int fs_close(struct fs *fs, void (*progress)(void *ctx, uint64_t bytes_left), void *ctx);
/* Forced unmount: waiting calls return -ECANCELED, nothing more is stored. Any thread. */
void fs_abort(struct fs *fs);
/* Like losing the machine: drops everything not durable without a word to the store. Tests. */
void fs_crash(struct fs *fs);

/* ---- attributes ---- */

struct fs_attr {
	uint64_t ino;
	uint32_t mode; /* with S_IFMT */
	uint32_t uid, gid;
	uint32_t nlink;
	uint64_t rdev;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	struct timespec atime, mtime, ctime, btime;
	uint64_t generation;
};

struct fs_cred { /* who asks: owner of what is made */
	uint32_t uid, gid;
	uint32_t umask; /* bits taken off the mode, unless the folder has a default ACL */
};

enum {
	FS_SET_MODE = 1 << 0,
	FS_SET_UID = 1 << 1,
	FS_SET_GID = 1 << 2,
	FS_SET_SIZE = 1 << 3,
	FS_SET_ATIME = 1 << 4,
	FS_SET_MTIME = 1 << 5,
	FS_SET_ATIME_NOW = 1 << 6,
	FS_SET_MTIME_NOW = 1 << 7,
	FS_SET_CTIME = 1 << 8,
	FS_KILL_SUID = 1 << 9, /* clear setuid/setgid as a write by a non-owner would */
};

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *ret);
/* It is being read, from a cache of the caller's or as a folder: the access time changes if the mount's rules
 * say so. 1 if it did. Access times alone cost no commit; they are stored with the next one that has to
 * be, within the hour, or by fs_sync, fs_fsync and fs_close. */
int fs_touch(struct fs *fs, uint64_t ino);
/* Would it change now? False where that cannot be told. */
bool fs_touch_is_due(struct fs *fs, uint64_t ino);
/* Do the access times of folders ever change in this mount? */
bool fs_touches_folders(const struct fs *fs);
/* `which`: FS_SET_… bits naming the fields of `attr` to take; none: only ctime changes, as by chown(-1, -1).
 * Truncation (either way), chmod, chown with its clearing of setuid/setgid, utimens. */
int fs_setattr(struct fs *fs, uint64_t ino, const struct fs_attr *attr, unsigned which,
	       struct fs_attr *ret);

/* ---- flags: chattr(1) ---- */

/* FS_…_FL of <linux/fs.h>: immutable, append-only, noatime, nodump, sync, dirsync. -ENOTTY of what is neither file
 * nor folder. The operations on names and attributes keep to them; of bytes only the caller knows what was asked: */
int fs_get_flags(struct fs *fs, uint64_t ino, uint32_t *ret);
/* All at once. -EOPNOTSUPP if there are others among them. */
int fs_set_flags(struct fs *fs, uint64_t ino, uint32_t flags);
/* Before opening for writing, and before a write (but of pages that were accepted before): -EPERM. */
int fs_may_open(struct fs *fs, uint64_t ino, bool append, bool truncate);
int fs_may_write(struct fs_file *f, uint64_t offset);
/* What changes here should be durable when the call returns. */
bool fs_is_sync(struct fs *fs, uint64_t ino);

/* ---- names ---- */

/* "." and ".." work too (for NFS export). -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *ret);
/* Regular files, devices, FIFOs, sockets; mode with type; setgid folders pass on group (and for mkdir the bit). */
int fs_mknod(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred, uint32_t mode,
	     uint64_t rdev, struct fs_attr *ret);
int fs_mkdir(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred, uint32_t mode,
	     struct fs_attr *ret);
int fs_symlink(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
	       const char *target, struct fs_attr *ret);
/* out gets the target without NUL. */
int fs_readlink(struct fs *fs, uint64_t ino, struct buf *out);
int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *ret);
int fs_unlink(struct fs *fs, uint64_t dir, const char *name);
int fs_rmdir(struct fs *fs, uint64_t dir, const char *name);
#define FS_RENAME_NOREPLACE 1
#define FS_RENAME_EXCHANGE 2
int fs_rename(struct fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to,
	      unsigned flags);
/* The old name becomes a whiteout (a character device 0:0) in the same operation. */
int fs_rename_whiteout(struct fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir,
		       const char *to, unsigned flags, const struct fs_cred *owner);
/* A regular file without a name (O_TMPFILE); fs_link gives it one. It stays until its last close: open it
 * with fs_file_open. */
int fs_tmpfile(struct fs *fs, uint64_t dir, const struct fs_cred *cred, uint32_t mode,
	       struct fs_attr *ret);

/* Directory order is by the hash of the name; a cookie (1 to INT64_MAX) stays right whatever is added or
 * removed meanwhile. Calls each(…) for entries after `cookie` (0: from the start, with "." and ".."),
 * with full attributes if want_attr; each returns false to stop (that entry is not consumed). */
struct fs_dirent {
	const char *name;
	uint64_t ino;
	uint32_t type; /* S_IFMT bits */
	uint64_t cookie;
	const struct fs_attr *attr; /* NULL unless want_attr */
};
/* Does not change the access time: see fs_touch. */
int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool want_attr,
	       bool (*each)(void *ctx, const struct fs_dirent *entry), void *ctx);

/* ---- open files ---- */

/* Regular files. truncate: O_TRUNC, atomically with opening. */
int fs_file_open(struct fs *fs, uint64_t ino, bool for_writing, bool truncate, struct fs_file **ret);
/* mknod of a regular file and open in one. */
int fs_file_create(struct fs *fs, uint64_t dir, const char *name, const struct fs_cred *cred,
		   uint32_t mode, struct fs_file **ret, struct fs_attr *ret_attr);
void fs_file_close(struct fs_file *f);
/* It stays until fs_file_close has been called once more: for an operation that may outlive the last close. */
struct fs_file *fs_file_ref(struct fs_file *f);
/* fs_file_close for who must not wait: the last close may, and is left to another thread. NULL is fine. */
void fs_file_close_later(struct fs_file *f);
uint64_t fs_file_ino(const struct fs_file *f);
/* Whether this open of the file, or another, is for writing. */
bool fs_file_has_writers(const struct fs_file *f);
/* O_NOATIME: reads of this open do not change the access time. */
void fs_file_noatime(struct fs_file *f, bool on);
/* Bytes read (0 at the end) or an error. Holes are zeros. */
ssize_t fs_read(struct fs_file *f, void *buf, size_t len, uint64_t offset);
/* Bytes written (all, or an error). append: at the end, atomically. Waits for memory (mem_limit) when the
 * store is slower than the writer. kill_suid: the writer is not privileged. After a crash it is there whole or
 * not at all up to FS_WRITE_WHOLE bytes; a longer one is several, one after the other. */
#define FS_WRITE_WHOLE (4 * MIB)
ssize_t fs_write(struct fs_file *f, const void *buf, size_t len, uint64_t offset, bool append,
		 bool kill_suid);
/* The file's bytes and attributes, and the namespace so far, durable. The root folder stands for the whole
 * filesystem: Linux does not tell FUSE of syncfs(2), so this is what `sync MOUNTPOINT` can do. */
int fs_fsync(struct fs *fs, uint64_t ino);
/* Likewise, for one open of a file: fs_file_flush need not say again what this has said. */
int fs_file_fsync(struct fs_file *f);
/* Both, but of many callers one at most is kept waiting by the store: then(arg, result) is called once, by another
 * thread or before this returns.
 * It must be brief, wait for nothing and not call fs (but fs_file_close_later). The file stays referenced until then. */
void fs_fsync_then(struct fs *fs, uint64_t ino, void (*then)(void *arg, int err), void *arg);
void fs_file_fsync_then(struct fs_file *f, void (*then)(void *arg, int err), void *arg);
/* For close(2), before fs_file_close, once for each descriptor: stores nothing and waits for nothing. An error if the
 * file was open for writing, and something written to it is not stored and will not be; once for each open. */
int fs_file_flush(struct fs_file *f);
/* The whole filesystem durable. */
int fs_sync(struct fs *fs);
/* mode as in fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE with or without KEEP_SIZE,
 * COLLAPSE_RANGE, INSERT_RANGE; others -EOPNOTSUPP. After trouble with the store in the middle of collapsing or
 * inserting in a file of very many extents the call fails although it will be carried out. */
int fs_fallocate(struct fs_file *f, int mode, uint64_t offset, uint64_t len);
/* copy_file_range(2), between two files of one filesystem or within one: no byte is read or written, the copy
 * shares what is stored. The number of bytes, fewer than len at the end of the source or after trouble; else an
 * error: -EINVAL where the ranges overlap, -EOVERFLOW, -EOPNOTSUPP on a filesystem made before there was sharing.
 * Like a long write, a crash may leave the beginning of it. set-user-ID is the caller's business. */
int64_t fs_copy_range(struct fs_file *from, uint64_t from_offset, struct fs_file *to, uint64_t to_offset,
		      uint64_t len);
/* SEEK_DATA, SEEK_HOLE: the offset, or -ENXIO. */
int64_t fs_lseek(struct fs_file *f, uint64_t offset, int whence);

/* ---- extended attributes ---- */

int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t len,
		int flags); /* XATTR_CREATE, XATTR_REPLACE; -ENOSPC, -E2BIG, -ERANGE */
int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, struct buf *out); /* -ENODATA */
int fs_listxattr(struct fs *fs, uint64_t ino, struct buf *out); /* names, each with its NUL */
int fs_removexattr(struct fs *fs, uint64_t ino, const char *name);

/* ---- the rest ---- */

/* The kernel has dropped the inode: an unlinked one that is not open goes now. */
void fs_forget(struct fs *fs, uint64_t ino);
/* Without a kernel that forgets (in-process use): unlinked inodes go at last close. Default on; the FUSE
 * daemon switches it off. */
void fs_reap_without_forget(struct fs *fs, bool on);

struct fs_statfs {
	uint64_t used_bytes; /* allocated by files, uncompressed */
	uint64_t total_bytes, inodes_used, inodes_total;
	uint32_t block_bytes;
};
int fs_statfs(struct fs *fs, struct fs_statfs *ret);

struct fs_status {
	uint64_t epoch, slot;
	uint64_t dirty_bytes;	 /* written, not durable */
	uint64_t lag_ms;	 /* how old the oldest change is that is not durable; access times do not count */
	uint64_t inodes_cached;
	uint64_t commits, commit_ns; /* since opening, and what they took in all */
	uint64_t discards_waiting;   /* objects that will be deleted when the grace is over */
	uint64_t bytes_read, bytes_written; /* of files, by programs, since opening */
	bool read_only, fenced;
	struct store_counts requests;
	struct cache_stats cache;
	char last_error[512];
};
void fs_status(struct fs *fs, struct fs_status *ret);
const struct uuid *fs_uuid(const struct fs *fs);

/* ---- looking at what is stored, and fetching it ---- */

struct fs_watch { /* of something that takes long */
	/* Called now and then: false ends it with -ECANCELED. May be NULL. */
	bool (*goes_on)(void *ctx, uint64_t bytes, uint64_t files);
	void *ctx;
};

struct fs_object_info { /* of the store, of which a file uses extents */
	char key[64];
	uint64_t extents, compressed; /* all of them, and those that are */
	uint64_t bytes, stored_bytes;
	uint64_t cached_bytes; /* of stored_bytes, need not be fetched */
};
struct fs_file_info {
	struct fs_attr attr;
	uint64_t extents, objects;
	uint64_t stored_bytes, cached_bytes; /* of all objects */
	uint64_t inline_bytes;		     /* are in the database itself */
	uint64_t unwritten_bytes, lost_bytes;
	uint64_t unsaved_bytes; /* are only in memory yet */
};
/* What a file is made of. Nonzero from each ends it. May wait for the store, to read the database. */
int fs_describe(struct fs *fs, uint64_t ino, int (*each)(void *ctx, const struct fs_object_info *o), void *ctx,
		struct fs_file_info *ret);

struct fs_summary {
	uint64_t files, folders, links, others; /* each inode once */
	uint64_t names;
	uint64_t size_bytes;  /* of files */
	uint64_t alloc_bytes; /* of all: what du(1) counts */
};
/* An inode and all below it. Like fs_describe it may wait. */
int fs_summarize(struct fs *fs, uint64_t ino, const struct fs_watch *watch, struct fs_summary *ret);

struct fs_warmed {
	uint64_t files; /* that the cache has now, as far as they are stored */
	uint64_t fetched_bytes, held_bytes; /* stored bytes: fetched now, there already */
	bool full; /* it ended because the cache holds no more */
};
/* Fetches what the cache lacks of a file, or of all files below a folder. */
int fs_warm(struct fs *fs, uint64_t ino, const struct fs_watch *watch, struct fs_warmed *ret);

/* ---- collecting what nothing needs ---- */

struct fs_gc_result {
	uint64_t found, found_bytes;	 /* objects that nothing refers to any more, so far; those known before not counted */
	uint64_t rewrite, rewrite_bytes; /* dry_run: objects of which what is in use would move to new ones, */
	uint64_t in_use_bytes;		 /* and how much that is, at most */
	uint64_t deleted, deleted_bytes;
	uint64_t waiting, waiting_bytes; /* for their grace, in which readers may still want them: it is over */
	uint64_t due_ms;		 /* in so many ms */
};
struct fs_gc_options {
	bool dry_run; /* only look: read-only mounts, too */
	bool wait;    /* until the grace of all that was found is over */
	/* Several times a second. so_far may lag behind. False ends it with -ECANCELED. May be NULL. */
	bool (*goes_on)(void *ctx, const char *phase, const struct fs_gc_result *so_far);
	void *ctx;
};
/*
 * What is done in the background anyway, now: waits for what is being removed, gives up objects with nothing in use,
 * moves what is in use out of those with little of it, looks for objects that a crash left behind (which must be older
 * than an hour by the store's clock), writes a checkpoint, and deletes what is due. Nothing is deleted within its grace
 * (grace_ms): what waits at the end is deleted later by this mount, or else found by another. ret is filled also in case
 * of an error: the database's and the store's, -EROFS, -L3_FENCED.
 */
int fs_gc(struct fs *fs, const struct fs_gc_options *options, struct fs_gc_result *ret);

/* ---- fsck ---- */

enum fs_stage {
	FS_FOUND,  /* the check came upon a problem */
	FS_NOTE,   /* nothing wrong, but worth knowing */
	FS_MENDED, /* what the repair did */
	FS_LEFT,   /* a problem that is there after the repair */
};

struct fs_finding {
	enum fs_stage stage;
	const char *code;   /* one of the names in doc/fsck.md: they stay what they are */
	const char *object; /* a key in the store, or NULL */
	uint64_t ino;	    /* 0: none */
	uint64_t start, end; /* start < end: these bytes of the file */
	const char *path;   /* one of the inode's, from the root; NULL: none known */
	const char *text;   /* the whole as a sentence */
};

struct fs_check_options {
	bool data; /* read and check every byte; several requests at a time, READERS * 8 MiB of memory */
	/* From the calling thread. What it points to is gone afterwards. May be NULL. */
	void (*finding)(void *ctx, const struct fs_finding *f);
	/* total 0: not known. May be NULL. */
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	bool (*cancelled)(void *ctx); /* true: give up with -ECANCELED. May be NULL */
	void *ctx;
};
struct fs_check_result {
	uint64_t inodes, dentries, extents, segments, tables, orphans, bytes, problems;
	uint64_t lost_bytes; /* of files, that reading answers with EIO, as an earlier repair noted */
	uint64_t unreferenced_objects; /* garbage that the cleaner will take; not a problem */
};
/*
 * A full scan of an open filesystem (read-only or quiet): every key decodes, dentries and inodes agree,
 * nlink, directory counts, totals, live counts of segments (invariant 8), extents in order without
 * overlap and within their segments, every object named exists with the right size, no unknown keys.
 * 0 if sound, 1 if problems were reported, negative if it could not look.
 */
int fs_check(struct fs *fs, const struct fs_check_options *options, struct fs_check_result *ret);

struct fs_fsck_result {
	struct fs_check_result counts; /* of the last look */
	uint64_t found;		       /* problems, at first */
	uint64_t slot, epoch, slots, checkpoints, table_objects, foreign_objects, aside_objects;
	uint64_t mended, left;	/* changes that the repair made, and problems that are there now */
	bool unfinished; /* a rescue of the database was begun: nobody mounts before a repair has gone through */
	bool in_use;		/* somebody holds the lease: */
	struct lease_holder holder;
};
/*
 * The whole of fsck on what is not open here: the objects of the chain and of LevelDB (db_verify), then
 * fs_check, then what else is under the prefix. Without `repair` nothing is written. A filesystem that
 * somebody has mounted is looked at as it was at the beginning; result.in_use says so.
 *
 * With `repair` and problems: takes the lease (-L3_LEASE_HELD if somebody has it; so before anything is
 * looked at), brings the chain back to the newest state that can be had (db_rescue), LevelDB's files by
 * its own repair, and the records in order; then looks again. Nothing that is not understood is deleted:
 * objects and records that are in the way are kept under "aside/<epoch>/". Everything goes through the
 * chain, so that a crash leaves a state as good as before; a rescue that was cut short is noted in
 * `super`, and nobody mounts before it was finished.
 *
 * 0 if it could look (see result), else negative: it could not, or -ECANCELED.
 */
int fs_fsck(const char *url, const struct fs_config *config, const struct fs_check_options *options,
	    bool repair, struct fs_fsck_result *ret);

#endif

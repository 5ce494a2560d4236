/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the namespace share: entry.c, attr.c, acl.c, dir.c, make.c, remove.c, rename.c,
 * xattr.c, flags.c, orphan.c, reap.c. The rest of the room needs internal.h only.
 */
#ifndef LEVELS3_FS_NAMES_H
#define LEVELS3_FS_NAMES_H

#include "fs/internal.h"

/* ---- entry.c: directory entries in the database ---- */

#define ENTRY_RUN_MAX 256 /* names of one folder with equal hashes */

struct entry {
	bool found;
	unsigned n;	/* where in its run it is, or where it can be put; ENTRY_RUN_MAX: no room */
	uint64_t ino;	/* the rest: if found */
	uint8_t type;	/* DT_* */
	unsigned drop;	/* entry_plan_removal: how many before it become superfluous with it */
	bool entomb;	/* likewise: it must leave a tombstone */
};

/* 0, -ENOENT (empty), -ENAMETOOLONG, -EINVAL (a slash). */
int name_check(const char *name);
bool name_is_dots(const char *name); /* "." or ".." */
/* 0 whether it is there or not. */
int entry_find(struct fs *fs, uint64_t dir, const char *name, struct entry *ret);
/* Looks at the neighbours of a found entry, so that entry_remove need not read. ns_lock held. */
int entry_plan_removal(struct fs *fs, uint64_t dir, const char *name, struct entry *e);
void entry_put(struct txn *t, uint64_t dir, const char *name, const struct entry *where,
	       uint32_t mode, uint64_t ino);
void entry_remove(struct txn *t, uint64_t dir, const char *name, const struct entry *e);
/* True if the two names of one folder share a run: then one's place decides the other's. */
bool entry_same_run(struct fs *fs, const char *a, const char *b);

/* ---- entry.c: the inodes of one operation ---- */

struct party { /* those that an operation changes; locked in order of ino, undone together */
	struct inode *at[4];
	struct attr before[4];
	size_t count;
};
void party_add(struct party *p, struct inode *i); /* NULL, or twice the same: fine */
/* -ENOENT (nothing locked) if one is gone. */
int party_lock(struct party *p);
void party_unlock(struct party *p);
/* Puts all into the batch. */
void party_put(struct party *p, struct txn *t);
/* Commits; takes the changes of attributes back on failure. */
int party_commit(struct party *p, struct txn *t);

/* The folder, referenced: -ENOENT, -ENOTDIR. */
int folder_get(struct fs *fs, uint64_t ino, struct inode **ret);
/* The inode that an entry names, ns_lock held: that it is missing is damage. */
int entry_inode(struct fs *fs, uint64_t dir, const struct entry *e, struct inode **ret);
/* What was written to the file comes before what is going to be done to it (invariant 7). */
int order_data(struct fs *fs, struct inode *i);
/* A name came (+1) or went (-1); subfolders likewise. Folder locked. */
void folder_changed(struct inode *dir, int names, int subfolders, int64_t now);

/* ---- remove.c: parts that rename needs as well ---- */

/* The inode loses a name; a file without names, and a folder, becomes an orphan. Locked, in the batch. */
void removal_apply(struct txn *t, struct inode *i, int64_t now);
/* After the batch. Locked. */
void removal_done(struct fs *fs, struct inode *i);
/* order_data, if the file will have names left. Not locked. */
int removal_order(struct fs *fs, struct inode *i);

/* ---- xattr.c ---- */

/* The value appended to out; -ENODATA. */
int xattr_read(struct fs *fs, uint64_t ino, const char *name, struct buf *out);
void xattr_warm(struct fs *fs, struct inode *i, const char *name); /* not locked */
void xattr_put(struct txn *t, struct inode *i, const char *name, const struct buf *value);

/* ---- flags.c; all locked. 0 or -EPERM ---- */

/* The inode's attributes, names or bytes in place. */
int flags_check_changed(const struct inode *i);
/* A name comes into the folder; one goes, and with it the inode's. */
int flags_check_added(const struct inode *dir);
int flags_check_removed(const struct inode *dir, const struct inode *i);
/* What a new inode of this mode gets from its folder. */
uint32_t flags_inherited(const struct inode *dir, uint32_t mode);

/* ---- acl.c: POSIX ACLs, stored as the xattrs that Linux passes ---- */

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* -EINVAL, -EOPNOTSUPP (version) unless well-formed. */
int acl_check(const void *value, size_t len);
/* The permission bits that a valid access ACL stands for. *ret_plain: they say all of it. */
uint32_t acl_mode(const void *value, size_t len, uint32_t mode, bool *ret_plain);
/* chmod: changes the entries that the mode's bits stand for. In place. */
void acl_chmod(void *value, size_t len, uint32_t mode);
/* A new inode below a folder with a default ACL: *acl is that one, and becomes the access ACL. Returns the
 * mode. */
uint32_t acl_inherit(void *acl, size_t len, uint32_t mode);

/* ---- orphan.c, reap.c ---- */

/* Makes the inode known as unlinked, whatever else: fs_forget and orphan_consider find it. */
void orphan_note(struct fs *fs, uint64_t ino);
/* It has a name after all (fs_link of a nameless one). */
void orphan_forgive(struct fs *fs, uint64_t ino);

#define REAP_EXTENTS 1000 /* in one batch, about; xattrs count as well */
#define REAP_INODES 256

struct reap_inode { /* one on its way out */
	struct inode *inode; /* referenced, gone */
	uint64_t after;	     /* extents that end up to here have been removed */
	uint64_t bytes;	     /* of extents, in the batch at hand */
	bool finished;	     /* by the batch at hand */
};
/* 1: unlinked and nobody needs it, so it is marked gone; 0: it is in use; -ENOENT: not there. */
int reap_claim(struct fs *fs, uint64_t ino, struct reap_inode *ret);
/* One batch for several claimed inodes, as far as it goes; says which are finished. */
int reap_batch(struct fs *fs, struct reap_inode *list, size_t count);
/* One batch of a trim; *after likewise. 1: the trim is done. */
int reap_trim(struct fs *fs, struct inode *i, uint64_t *after);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rename: one name takes another's place, or two change places. The way of every change: make.c.
 *
 * A file's bytes in memory are entered before its name changes: so writing a new file and renaming
 * it over the old one leaves the old or the new content after a crash, with or without fsync.
 */
#include "fs/names.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 1000000 /* deeper than any tree: parents go round in a circle */

struct move {
	struct fs *fs;
	struct inode *from_dir, *to_dir;
	const char *from, *to;
	unsigned flags;
	struct entry source_entry, target_entry;
	struct inode *source, *target; /* referenced; target NULL: the name is free */
	bool in_place;		       /* the new name takes over the old one's slot in their run */
	const struct fs_cred *owner;   /* of the whiteout that the old name becomes; NULL: none */
	struct inode *whiteout;	       /* known to nobody */
	int64_t now;
};

static void forget_found(struct move *m)
{
	inode_put(m->fs, m->source);
	inode_put(m->fs, m->target);
	m->source = m->target = NULL;
}

/* Finds both names. Without ns_lock what is found may be history already. */
static int find_both(struct move *m)
{
	struct fs *fs = m->fs;
	int err = entry_find(fs, m->from_dir->ino, m->from, &m->source_entry);

	if (err >= 0)
		err = entry_find(fs, m->to_dir->ino, m->to, &m->target_entry);
	if (err >= 0 && !m->source_entry.found)
		err = -ENOENT;
	if (err >= 0)
		err = entry_inode(fs, m->from_dir->ino, &m->source_entry, &m->source);
	if (err >= 0 && m->target_entry.found)
		err = entry_inode(fs, m->to_dir->ino, &m->target_entry, &m->target);
	return err;
}

/* 1 if `ancestor` is i or above it; 0; or an error. */
static int is_above(struct fs *fs, const struct inode *ancestor, struct inode *i)
{
	uint64_t at = i->ino;

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		struct inode *step;
		int err;

		if (at == ancestor->ino)
			return 1;
		if (at == FS_ROOT_INO)
			return 0;
		err = inode_get(fs, at, &step);
		if (err < 0)
			return err;
		pthread_mutex_lock(&step->lock);
		at = step->attr.parent;
		pthread_mutex_unlock(&step->lock);
		inode_put(fs, step);
	}
	return err_note(-L3_CORRUPT, "the parents of folder %llu go round in a circle",
			(unsigned long long)i->ino);
}

/* A folder cannot go below itself. */
static int check_subtrees(struct move *m)
{
	int above = 0;

	if (m->from_dir == m->to_dir)
		return 0;
	if (m->source->type == S_IFDIR)
		above = is_above(m->fs, m->source, m->to_dir);
	if (above == 0 && m->target && m->target->type == S_IFDIR)
		above = is_above(m->fs, m->target, m->from_dir);
	else if (above > 0)
		return -EINVAL;
	if (above > 0)
		return m->flags & FS_RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return above;
}

static int check_types(const struct move *m)
{
	bool folder = m->source->type == S_IFDIR;

	if (!m->target)
		return m->flags & FS_RENAME_EXCHANGE ? -ENOENT : 0;
	if (m->flags & FS_RENAME_NOREPLACE)
		return -EEXIST;
	if (m->flags & FS_RENAME_EXCHANGE)
		return 0;
	if (folder && m->target->type != S_IFDIR)
		return -ENOTDIR;
	return !folder && m->target->type == S_IFDIR ? -EISDIR : 0;
}

/* What both inodes have in memory comes first; not needed for one that is replaced for good. */
static int order_both(struct move *m)
{
	int err = m->source->type == S_IFREG ? order_data(m->fs, m->source) : 0;

	if (err < 0 || !m->target || m->target->type != S_IFREG)
		return err;
	if (m->flags & FS_RENAME_EXCHANGE)
		return order_data(m->fs, m->target);
	return removal_order(m->fs, m->target);
}

/* A subfolder changes from one folder's count to the other's. */
static int subfolders(const struct inode *comes, const struct inode *leaves)
{
	return (comes && comes->type == S_IFDIR) - (leaves && leaves->type == S_IFDIR);
}

static void move_to(const struct move *m, struct inode *i, struct inode *dir)
{
	i->attr.ctime_ns = m->now;
	if (i->type == S_IFDIR)
		i->attr.parent = dir->ino;
}

static void write_exchange(struct move *m, struct txn *t)
{
	entry_put(t, m->from_dir->ino, m->from, &m->source_entry, m->target->type, m->target->ino);
	entry_put(t, m->to_dir->ino, m->to, &m->target_entry, m->source->type, m->source->ino);
	folder_changed(m->from_dir, 0, subfolders(m->target, m->source), m->now);
	folder_changed(m->to_dir, 0, subfolders(m->source, m->target), m->now);
	move_to(m, m->source, m->to_dir);
	move_to(m, m->target, m->from_dir);
}

static void write_old_name(struct move *m, struct txn *t)
{
	if (m->whiteout) {
		entry_put(t, m->from_dir->ino, m->from, &m->source_entry, S_IFCHR,
			  m->whiteout->ino);
		txn_put_inode(t, m->whiteout);
		t->inodes++;
	} else if (!m->in_place) {
		entry_remove(t, m->from_dir->ino, m->from, &m->source_entry);
	}
}

static void write_move(struct move *m, struct txn *t)
{
	write_old_name(m, t);
	entry_put(t, m->to_dir->ino, m->to, m->in_place ? &m->source_entry : &m->target_entry,
		  m->source->type, m->source->ino);
	folder_changed(m->from_dir, m->whiteout ? 0 : -1, subfolders(NULL, m->source), m->now);
	folder_changed(m->to_dir, m->target ? 0 : 1, subfolders(m->source, m->target), m->now);
	move_to(m, m->source, m->to_dir);
	if (m->target)
		removal_apply(t, m->target, m->now);
}

/* What an overlay filesystem takes for "deleted here": a character device 0:0. */
static int make_whiteout(struct move *m)
{
	struct attr a = { .mode = S_IFCHR,
			  .uid = m->owner->uid,
			  .gid = m->from_dir->attr.mode & S_ISGID ? m->from_dir->attr.gid
								  : m->owner->gid,
			  .nlink = 1,
			  .atime_ns = m->now,
			  .mtime_ns = m->now,
			  .ctime_ns = m->now,
			  .btime_ns = m->now };

	return inode_make(m->fs, txn_new_ino(m->fs), &a, &m->whiteout);
}

/* All locked. */
static int check_flags(const struct move *m)
{
	int err = flags_check_removed(m->from_dir, m->source);

	if (err < 0)
		return err;
	return m->target ? flags_check_removed(m->to_dir, m->target) : flags_check_added(m->to_dir);
}

static int write_all(struct move *m, struct party *p)
{
	bool exchange = m->flags & FS_RENAME_EXCHANGE;
	struct txn t;
	int err = check_flags(m);

	if (err < 0)
		return err;
	if (m->to_dir->attr.nlink == 0)
		return -ENOENT;
	if (m->target && !exchange && m->target->attr.entries > 0)
		return -ENOTEMPTY;
	m->now = fs_now_ns(m->fs);
	err = m->owner ? make_whiteout(m) : 0;
	if (err >= 0)
		err = txn_begin(m->fs, &t);
	if (err < 0)
		return err;
	if (exchange)
		write_exchange(m, &t);
	else
		write_move(m, &t);
	party_put(p, &t);
	err = party_commit(p, &t);
	if (err >= 0 && m->target && !exchange)
		removal_done(m->fs, m->target);
	return err;
}

/* Where the entries are and will be. */
static int plan_entries(struct move *m)
{
	bool one_run = m->from_dir == m->to_dir && entry_same_run(m->fs, m->from, m->to);

	if (m->flags & FS_RENAME_EXCHANGE)
		return 0;
	/* Removing and adding in one run would not see each other in the batch. */
	m->in_place = one_run && !m->target && !m->owner;
	if (m->in_place)
		return 0;
	if (!m->target && m->target_entry.n == ENTRY_RUN_MAX)
		return -ENOSPC;
	if (m->owner)
		return 0; /* the old name stays where it is */
	return entry_plan_removal(m->fs, m->from_dir->ino, m->from, &m->source_entry);
}

/* ns_lock held. 1: nothing to do. */
static int move_locked(struct move *m)
{
	struct party p = { .count = 0 };
	int err = find_both(m);

	if (err >= 0)
		err = check_types(m);
	if (err < 0)
		return err;
	if (m->source == m->target)
		return 0; /* two names of one file: POSIX says so */
	err = check_subtrees(m);
	if (err >= 0)
		err = order_both(m);
	if (err >= 0)
		err = plan_entries(m);
	if (err < 0)
		return err;
	party_add(&p, m->from_dir);
	party_add(&p, m->to_dir);
	party_add(&p, m->source);
	party_add(&p, m->target);
	err = party_lock(&p);
	if (err < 0)
		return err;
	err = write_all(m, &p);
	party_unlock(&p);
	return err;
}

/* Without ns_lock: caches are filled and bytes entered; only refusals that cannot be wrong count.
 */
static int warm(struct move *m)
{
	int err = find_both(m);

	if (err >= 0)
		err = check_types(m);
	if (err >= 0 && m->source != m->target) {
		(void)check_subtrees(m);
		err = order_both(m);
		if (err == -ENOENT)
			err = 0; /* gone meanwhile: move_locked will see */
	} else if (err == -L3_CORRUPT) {
		err = 0; /* perhaps only unlinked between two looks */
	}
	forget_found(m);
	return err;
}

static int move_names(struct move *m)
{
	int err = warm(m);

	if (err < 0)
		return err;
	pthread_mutex_lock(&m->fs->ns_lock);
	err = move_locked(m);
	if (err < 0 && m->whiteout)
		inode_set_gone(m->whiteout);
	pthread_mutex_unlock(&m->fs->ns_lock);
	inode_put(m->fs, m->whiteout);
	forget_found(m);
	return err;
}

static int move_between(struct move *m, uint64_t from_dir, uint64_t to_dir)
{
	struct fs *fs = m->fs;
	const char *from = m->from, *to = m->to;
	unsigned flags = m->flags;
	int err;

	if (flags & ~(unsigned)(FS_RENAME_NOREPLACE | FS_RENAME_EXCHANGE))
		return -EINVAL;
	if ((flags & FS_RENAME_NOREPLACE) && (flags & FS_RENAME_EXCHANGE))
		return -EINVAL;
	if (name_is_dots(from) || name_is_dots(to))
		return -EBUSY;
	err = name_check(from);
	if (err >= 0)
		err = name_check(to);
	if (err >= 0)
		err = folder_get(fs, from_dir, &m->from_dir);
	if (err >= 0)
		err = folder_get(fs, to_dir, &m->to_dir);
	if (err >= 0)
		err = move_names(m);
	inode_put(fs, m->from_dir);
	inode_put(fs, m->to_dir);
	return err;
}

int fs_rename(struct fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to,
	      unsigned flags)
{
	struct move m = { .fs = fs, .from = from, .to = to, .flags = flags };

	return move_between(&m, from_dir, to_dir);
}

int fs_rename_whiteout(struct fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir,
		       const char *to, unsigned flags, const struct fs_cred *owner)
{
	struct move m = { .fs = fs, .from = from, .to = to, .flags = flags, .owner = owner };

	return flags & FS_RENAME_EXCHANGE ? -EINVAL : move_between(&m, from_dir, to_dir);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mend_names: entries that are put where they are found, inodes that are made again from what is
 * left of them, and lost+found for what has no name.
 *
 * What is looked up here is the database as it is by now, not the snapshot: so what is in the batch
 * is written first.
 */
#include "fs/check.h"
#include "fs/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOST_FOUND "lost+found"
#define NAME_TRIES 1000

typedef unsigned long long ull;

/* ---- entries ---- */

static int read_entry(struct check *c, uint64_t dir, uint64_t cookie, struct buf *value,
		      struct dentry *ret)
{
	struct key k;
	int err = mend_flush(c);

	key_dentry(&k, dir, cookie);
	if (err >= 0)
		err = db_value(c->fs, &k, value);
	return err < 0 ? err : dentry_decode(value->data, value->len, ret);
}

static int put_entry(struct check *c, uint64_t dir, uint64_t cookie, uint8_t type, uint64_t ino,
		     const char *name, size_t len)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, dir, cookie);
	dentry_encode(&value, type, ino, name, len);
	return mend_put(c, &k, &value);
}

/* What comes after it in its run must stay to be found. */
int mend_drop_entry(struct check *c, uint64_t dir, uint64_t cookie)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct dentry next;
	struct key k;
	int err;

	if (!c->mend)
		return 0;
	err = (cookie & 0xff) == 0xff ? -ENOENT : read_entry(c, dir, cookie + 1, &value, &next);
	if (err >= 0)
		return put_entry(c, dir, cookie, 0, 0, "", 0);
	if (err != -ENOENT && err != -L3_CORRUPT)
		return err;
	key_dentry(&k, dir, cookie);
	return mend_delete(c, k.bytes, k.len);
}

int mend_move_entry(struct check *c, uint64_t dir, uint64_t cookie)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	char name[FS_NAME_MAX + 1];
	struct dentry d;
	struct entry e;
	int err;

	if (!c->mend)
		return 0;
	err = read_entry(c, dir, cookie, &value, &d);
	if (err < 0 || d.type == 0)
		return err == -ENOENT ? 0 : err;
	memcpy(name, d.name, d.name_len);
	name[d.name_len] = 0;
	err = entry_find(c->fs, dir, name, &e);
	if (err < 0 || (e.found && key_cookie(c->fs, name, e.n) == cookie))
		return err;
	if (!e.found && e.n < ENTRY_RUN_MAX)
		err = put_entry(c, dir, key_cookie(c->fs, name, e.n), d.type, d.ino, name,
				d.name_len);
	else
		check_say(c, FS_MENDED, "entry-removed", dir,
			  "folder %llu: a second entry \"%s\", of inode %llu, is removed", (ull)dir,
			  name, (ull)d.ino);
	return err < 0 ? err : mend_drop_entry(c, dir, cookie);
}

int mend_entry_type(struct check *c, uint64_t dir, uint64_t cookie, uint32_t mode)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct dentry d;
	int err;

	if (!c->mend)
		return 0;
	err = read_entry(c, dir, cookie, &value, &d);
	if (err < 0 || d.type == 0)
		return err == -ENOENT ? 0 : err;
	return put_entry(c, dir, cookie, (uint8_t)IFTODT(mode), d.ino, d.name, d.name_len);
}

/* ---- inodes ---- */

static int make_inode(struct check *c, uint64_t ino, uint32_t mode, uint64_t size)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	int64_t now = fs_now_ns(c->fs);
	struct attr a = { .mode = mode,
			  .uid = (uint32_t)geteuid(),
			  .gid = (uint32_t)getegid(),
			  .nlink = S_ISDIR(mode) ? 2 : 1,
			  .size = size,
			  .atime_ns = now,
			  .mtime_ns = now,
			  .ctime_ns = now,
			  .btime_ns = now,
			  .parent = S_ISDIR(mode) ? FS_ROOT_INO : 0 };
	struct key k;

	c->mend->last_ino = max_u64(c->mend->last_ino, ino);
	key_inode(&k, ino);
	inode_encode(&value, &a, size);
	return mend_put(c, &k, &value);
}

static uint64_t new_ino(struct check *c)
{
	struct mend *m = c->mend;

	m->last_ino = max_u64(max_u64(m->last_ino, c->last_ino), c->totals.next_ino - 1) + 1;
	return m->last_ino;
}

int mend_root(struct check *c)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;
	int err;

	if (!c->mend)
		return 0;
	key_inode(&k, FS_ROOT_INO);
	err = mend_flush(c);
	if (err >= 0)
		err = db_value(c->fs, &k, &value);
	if (err >= 0)
		err = mend_set_aside(c, k.bytes, k.len, (const char *)value.data, value.len);
	if (err < 0 && err != -ENOENT)
		return err;
	check_say(c, FS_MENDED, "inode-made", FS_ROOT_INO, "the root folder is made again");
	return make_inode(c, FS_ROOT_INO, S_IFDIR | 0755, 0);
}

/* ---- lost+found ---- */

/* A name that is free, or has this inode already. */
static int find_place(struct check *c, uint64_t dir, const char *base, uint64_t ino, char *name,
		      size_t size, struct entry *ret)
{
	int err = mend_flush(c);

	for (int n = 0; n < NAME_TRIES && err >= 0; n++) {
		(void)snprintf(name, size, n ? "%s.%d" : "%s", base, n);
		err = entry_find(c->fs, dir, name, ret);
		if (err >= 0 &&
		    ((ret->found && ret->ino == ino) || (!ret->found && ret->n < ENTRY_RUN_MAX)))
			return 0;
	}
	return err < 0 ? err : err_note(-ENOSPC, "no free name for %s", base);
}

static int make_lost_found(struct check *c, const char *name, const struct entry *e)
{
	uint64_t ino = new_ino(c);
	int err = make_inode(c, ino, S_IFDIR | 0700, 0);

	if (err >= 0)
		err = put_entry(c, FS_ROOT_INO, key_cookie(c->fs, name, e->n), DT_DIR, ino, name,
				strlen(name));
	c->mend->lost_found = ino;
	return err;
}

static bool is_folder(struct check *c, uint64_t ino)
{
	const struct node *n = check_node(c, ino);

	return n && S_ISDIR(n->mode);
}

static int open_lost_found(struct check *c)
{
	char name[32];
	struct entry e;
	int err = mend_flush(c);

	for (int n = 0; n < NAME_TRIES && err >= 0 && !c->mend->lost_found; n++) {
		(void)snprintf(name, sizeof(name), n ? LOST_FOUND ".%d" : LOST_FOUND, n);
		err = entry_find(c->fs, FS_ROOT_INO, name, &e);
		if (err >= 0 && e.found && is_folder(c, e.ino))
			c->mend->lost_found = e.ino;
		else if (err >= 0 && !e.found)
			err = make_lost_found(c, name, &e);
	}
	return err;
}

int mend_salvage(struct check *c, struct node *n)
{
	char base[32], name[48];
	struct entry e;
	int err;

	if (!c->mend)
		return 0;
	err = open_lost_found(c);
	(void)snprintf(base, sizeof(base), "#%llu", (ull)n->ino);
	if (err >= 0)
		err = find_place(c, c->mend->lost_found, base, n->ino, name, sizeof(name), &e);
	if (err < 0)
		return err;
	n->name_dir = c->mend->lost_found;
	n->name_cookie = key_cookie(c->fs, name, e.n);
	n->links = S_ISDIR(n->mode) ? 1 : n->links + 1;
	n->fix |= FIX_LINKS | (S_ISDIR(n->mode) ? FIX_PARENT : 0);
	err = put_entry(c, n->name_dir, n->name_cookie, (uint8_t)IFTODT(n->mode), n->ino, name,
			strlen(name));
	if (err >= 0)
		check_say(c, FS_MENDED, "salvaged", n->ino, "inode %llu is now /" LOST_FOUND "/%s",
			  (ull)n->ino, name);
	return err;
}

/* ---- inodes that are missing ---- */

static struct ghost *ghost_of(struct check *c, uint64_t ino)
{
	struct ghost *g;

	HASH_FIND(hh, c->ghosts, &ino, sizeof(ino), g);
	return g;
}

static bool comes_back(const struct ghost *g)
{
	return g->entries || g->extents;
}

static int drop_name(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	const struct ghost *g;
	struct dentry d;

	if (key_len != KEY_ORDERED_BYTES || dentry_decode(value, len, &d) < 0 || d.type == 0)
		return 0;
	g = ghost_of(c, d.ino);
	if (!g || comes_back(g) || check_node(c, d.ino))
		return 0;
	check_say(c, FS_MENDED, "entry-removed", get_u64_be(key + 1),
		  "folder %llu: \"%.*s\" is removed, as inode %llu is missing",
		  (ull)get_u64_be(key + 1), (int)d.name_len, d.name, (ull)d.ino);
	return mend_drop_entry(c, get_u64_be(key + 1), get_u64_be(key + 9));
}

static int drop_xattr(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	const struct ghost *g =
		key_len > KEY_PREFIX_BYTES ? ghost_of(c, get_u64_be(key + 1)) : NULL;

	if (!g || comes_back(g))
		return 0;
	return mend_set_aside(c, key, key_len, value, len);
}

/* What a folder's names, or a file's extents, tell of it; the rest is for the owner to set right.
 */
static int bring_back(struct check *c, const struct ghost *g)
{
	uint32_t mode = g->entries ? S_IFDIR | 0700 : S_IFREG | 0600;

	check_say(c, FS_MENDED, "inode-made", g->ino,
		  "inode %llu is made again, as a %s of which owner, mode and times are lost",
		  (ull)g->ino, g->entries ? "folder" : "file");
	return make_inode(c, g->ino, mode, g->entries ? 0 : g->end);
}

int mend_ghosts(struct check *c)
{
	bool names = false, xattrs = false;
	struct ghost *g, *next;
	int err = 0;

	if (!c->mend)
		return 0;
	HASH_ITER (hh, c->ghosts, g, next) {
		if (err < 0 || g->ino == FS_ROOT_INO)
			continue;
		if (comes_back(g))
			err = bring_back(c, g);
		names |= !comes_back(g) && g->type != 0;
		xattrs |= !comes_back(g) && g->xattrs;
	}
	if (err >= 0 && names)
		err = check_scan(c, KEY_DENTRY, "names of missing inodes", drop_name);
	if (err >= 0 && xattrs)
		err = check_scan(c, KEY_XATTR, "attributes of missing inodes", drop_xattr);
	return err;
}

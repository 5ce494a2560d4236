/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_names: fsck's part about directory entries: they are where they are looked for, name inodes
 * that are there, and every folder can be reached.
 */
#include "fs/check.h"
#include "fs/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_NAME_MAX 64

typedef unsigned long long ull;

struct place { /* an entry, and where it is */
	uint64_t dir, cookie;
	struct dentry d;
	char shown[SHOWN_NAME_MAX + 1];
};

/* ---- an entry ---- */

/* 1: it has been told, and what is to be done said: nothing more counts. */
static int check_place(struct check *c, const struct place *p)
{
	bool first = (p->cookie & 0xff) == 0, gap;
	char name[FS_NAME_MAX + 1];
	int err;

	gap = !first && (c->before_dir != p->dir || c->before_cookie + 1 != p->cookie);
	c->before_dir = p->dir;
	c->before_cookie = p->cookie;
	if (gap)
		check_problem(c, "entry-place", p->dir,
			      "folder %llu: entry %llx cannot be found: the one before is missing",
			      (ull)p->dir, (ull)p->cookie);
	if (p->d.type == 0)
		return gap ? mend_drop_entry(c, p->dir, p->cookie) : 0;
	memcpy(name, p->d.name, p->d.name_len);
	name[p->d.name_len] = 0;
	if (name_is_dots(name)) {
		check_problem(c, "entry-name", p->dir, "folder %llu has an entry \"%s\"",
			      (ull)p->dir, name);
		err = mend_drop_entry(c, p->dir, p->cookie);
		return err < 0 ? err : c->mend != NULL;
	}
	if (key_cookie(c->fs, name, 0) != (p->cookie & ~(uint64_t)0xff))
		check_problem(c, "entry-place", p->dir,
			      "folder %llu: name \"%s\" is not where its hash says", (ull)p->dir,
			      p->shown);
	else if (!gap)
		return 0;
	return mend_move_entry(c, p->dir, p->cookie);
}

/* A folder has one name, in the folder that its record says is above it. */
static int check_folder_entry(struct check *c, struct node *dir, struct node *child,
			      const struct place *p)
{
	bool second = child->links > 1, fits = child->parent == dir->ino;
	uint64_t drop_dir = p->dir, drop_cookie = p->cookie;

	if (!fits)
		check_problem(c, "folder-parent", child->ino,
			      "folder %llu has \"%s\", inode %llu, whose parent is said to be %llu",
			      (ull)dir->ino, p->shown, (ull)child->ino, (ull)child->parent);
	if (second || child->ino == FS_ROOT_INO)
		check_problem(c, "folder-names", child->ino, "folder %llu has more than one name",
			      (ull)child->ino);
	if (child->ino == FS_ROOT_INO || (second && !fits))
		return mend_drop_entry(c, drop_dir, drop_cookie);
	if (second && child->name_dir != child->parent) {
		drop_dir = child->name_dir;
		drop_cookie = child->name_cookie;
		child->name_dir = p->dir;
		child->name_cookie = p->cookie;
	}
	if (second)
		return mend_drop_entry(c, drop_dir, drop_cookie);
	dir->subfolders++;
	return 0;
}

static int check_child(struct check *c, struct node *dir, struct node *child, const struct place *p)
{
	int err = 0;

	child->links++;
	if (child->name_dir == 0) {
		child->name_dir = p->dir;
		child->name_cookie = p->cookie;
	}
	if ((uint32_t)DTTOIF(p->d.type) != (child->mode & S_IFMT)) {
		check_problem(c, "entry-type", child->ino,
			      "folder %llu: \"%s\" and inode %llu are of different types",
			      (ull)dir->ino, p->shown, (ull)child->ino);
		err = mend_entry_type(c, p->dir, p->cookie, child->mode);
	}
	if (err >= 0 && S_ISDIR(child->mode))
		err = check_folder_entry(c, dir, child, p);
	return err;
}

static int no_child(struct check *c, const struct node *dir, const struct place *p)
{
	struct ghost *g = check_ghost(c, p->d.ino);

	check_problem(c, "inode-missing", dir->ino,
		      "folder %llu: \"%s\" names inode %llu, which is missing", (ull)dir->ino,
		      p->shown, (ull)p->d.ino);
	if (g)
		g->type = p->d.type;
	return g ? 0 : -ENOMEM;
}

/* The folder will be back under its number: what is in it needs no other name. */
static void in_ghost(struct check *c, const struct place *p)
{
	struct node *child = p->d.type ? check_node(c, p->d.ino) : NULL;

	if (!child)
		return;
	child->links++;
	child->name_dir = p->dir;
	child->name_cookie = p->cookie;
}

/* Its names keep a folder that is missing in being; in what is none they mean nothing. */
static int no_folder(struct check *c, const struct node *dir, const struct place *p,
		     const uint8_t *key, const char *value, size_t len)
{
	struct ghost *g;

	check_problem(c, dir ? "entry-folder" : "inode-missing", p->dir,
		      "inode %llu has directory entries, and is %s", (ull)p->dir,
		      dir ? "no folder" : "missing");
	if (dir)
		return mend_set_aside(c, key, KEY_ORDERED_BYTES, value, len);
	g = check_ghost(c, p->dir);
	if (!g)
		return -ENOMEM;
	g->entries = true;
	in_ghost(c, p);
	return 0;
}

static int see_dentry(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct node *dir, *child;
	struct place p;
	int err;

	if (key_len != KEY_ORDERED_BYTES) {
		check_problem(c, "bad-record", 0, "a directory entry's key has %zu bytes", key_len);
		return mend_set_aside(c, key, key_len, value, len);
	}
	p.dir = get_u64_be(key + 1);
	p.cookie = get_u64_be(key + 9);
	if (dentry_decode(value, len, &p.d) < 0) {
		check_problem(c, "bad-record", p.dir, "folder %llu: %s", (ull)p.dir,
			      err_last_note());
		return mend_set_aside(c, key, key_len, value, len);
	}
	(void)snprintf(p.shown, sizeof(p.shown), "%.*s", (int)p.d.name_len, p.d.name);
	dir = check_node(c, p.dir);
	if (!dir || !S_ISDIR(dir->mode))
		return no_folder(c, dir, &p, key, value, len);
	err = check_place(c, &p);
	if (err != 0 || p.d.type == 0)
		return err < 0 ? err : 0;
	c->result.dentries++;
	dir->entries_left--;
	child = check_node(c, p.d.ino);
	return child ? check_child(c, dir, child, &p) : no_child(c, dir, &p);
}

int check_entries(struct check *c)
{
	return check_scan(c, KEY_DENTRY, "names", see_dentry);
}

/* ---- links, and the way to the root ---- */

enum walk { NOT_WALKED, WALKING, REACHES_ROOT };

/* The folder above, by the name if it has one. */
static uint64_t above(const struct node *n)
{
	return n->name_dir ? n->name_dir : n->parent;
}

static bool will_be_back(struct check *c, uint64_t ino)
{
	struct ghost *g;

	HASH_FIND(hh, c->ghosts, &ino, sizeof(ino), g);
	return g && g->entries;
}

/* Up from the folder until something known. One of a ring, or the uppermost, is what hangs in the
 * air. */
static int check_reachable(struct check *c, struct node *from)
{
	struct node *n = from, *last = from;
	int err = 0;

	while (n && n->walk == NOT_WALKED && n->ino != FS_ROOT_INO) {
		n->walk = WALKING;
		last = n;
		n = check_node(c, above(n));
	}
	if (!n && will_be_back(c, above(last))) {
		last->walk = REACHES_ROOT; /* for now: that it is missing has been told */
	} else if (!n || n->walk == WALKING) {
		n = n ? n : last;
		check_problem(c, "folder-unreachable", n->ino,
			      "folder %llu cannot be reached from the root", (ull)n->ino);
		n->walk = REACHES_ROOT; /* said once */
		if (n->name_dir)
			err = mend_drop_entry(c, n->name_dir, n->name_cookie);
		if (err >= 0)
			err = mend_salvage(c, n);
	}
	for (n = from; n && n->walk == WALKING; n = check_node(c, above(n)))
		n->walk = REACHES_ROOT;
	return err;
}

static int check_folder(struct check *c, struct node *n)
{
	if (n->links > 0 && n->nlink == 0)
		check_problem(c, "link-count", n->ino,
			      "folder %llu has a name, and the link count 0", (ull)n->ino);
	else if (n->nlink > 0 && n->nlink != 2 + n->subfolders)
		check_problem(c, "link-count", n->ino,
			      "folder %llu has the link count %u instead of %u", (ull)n->ino,
			      n->nlink, 2 + n->subfolders);
	if ((n->links > 0 || n->nlink > 0) && n->nlink != 2 + n->subfolders)
		n->fix |= FIX_LINKS;
	if (n->entries_left != 0) {
		check_problem(c, "entry-count", n->ino,
			      "folder %llu: its count of names is wrong by %lld", (ull)n->ino,
			      (long long)n->entries_left);
		n->fix |= FIX_ENTRIES;
	}
	if (n->links > 0 && n->parent != n->name_dir)
		n->fix |= FIX_PARENT;
	if (n->links > 0 || n->ino == FS_ROOT_INO)
		return n->nlink > 0 ? check_reachable(c, n) : 0;
	if (n->nlink == 0)
		return 0;
	check_problem(c, "no-name", n->ino, "folder %llu has no name", (ull)n->ino);
	n->walk = REACHES_ROOT;
	return mend_salvage(c, n);
}

static int check_links(struct check *c, struct node *n)
{
	if (S_ISDIR(n->mode))
		return 0;
	if (n->nlink != n->links) {
		check_problem(c, "link-count", n->ino,
			      "inode %llu has the link count %u instead of %u", (ull)n->ino,
			      n->nlink, n->links);
		n->fix |= FIX_LINKS;
	}
	return n->links == 0 && n->nlink > 0 ? mend_salvage(c, n) : 0;
}

/* Unlinked, and nothing says so. It may be one of those whose folder is lost, so it is kept. */
static int check_forgotten(struct check *c, struct node *n)
{
	if (n->nlink > 0 || n->orphan)
		return 0;
	check_problem(c, "no-name", n->ino,
		      "inode %llu has no name, and is not going to be removed", (ull)n->ino);
	return n->links > 0 ? 0 : mend_salvage(c, n);
}

static int check_orphan(struct check *c, struct node *n)
{
	struct key k;

	if (!n->orphan || n->links == 0)
		return 0;
	key_orphan(&k, n->ino);
	return mend_delete(c, k.bytes, k.len);
}

int check_reach(struct check *c)
{
	struct node *root = check_node(c, FS_ROOT_INO);
	int err = 0;

	if (!root || !S_ISDIR(root->mode)) {
		check_problem(c, "root-missing", FS_ROOT_INO, "the root folder is missing");
		/* All else hangs from it: nothing is to be salvaged before it is back. */
		return mend_root(c);
	}
	for (size_t n = 0; n < c->node_count && err >= 0; n++)
		if (S_ISDIR(c->nodes[n].mode))
			err = check_folder(c, &c->nodes[n]);
	for (size_t n = 0; n < c->node_count && err >= 0; n++) {
		err = check_links(c, &c->nodes[n]);
		if (err >= 0)
			err = check_forgotten(c, &c->nodes[n]);
		if (err >= 0)
			err = check_orphan(c, &c->nodes[n]);
	}
	return err;
}

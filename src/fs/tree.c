/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree: walks over all that lies below a folder, and adds it up. Straight from the database,
 * without the kernel.
 *
 * Memory is a cookie for each folder on the way down, and a few bytes for each inode with several
 * names, which is visited once. What is renamed meanwhile may be visited twice or not at all, as
 * with any walk.
 */
#include "fs/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 100000

struct level { /* a folder on the way down */
	uint64_t ino, cookie;
};

struct linked { /* has several names, and was visited */
	uint64_t ino;
	UT_hash_handle hh;
};

struct walk {
	struct fs *fs;
	tree_visit_fn visit;
	void *ctx;
	struct level *levels;
	size_t depth, cap;
	struct linked *linked;
	int err;
	bool found_folder; /* the listing ended early, for this folder: */
	uint64_t folder;
};

/* 1: seen before; 0: now it is. */
static int see(struct walk *w, uint64_t ino)
{
	struct linked *l;

	HASH_FIND(hh, w->linked, &ino, sizeof(ino), l);
	if (l)
		return 1;
	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->ino = ino;
	HASH_ADD(hh, w->linked, ino, sizeof(l->ino), l);
	if (l->hh.tbl)
		return 0;
	free(l);
	return -ENOMEM;
}

static int visit(struct walk *w, const struct fs_attr *a)
{
	bool again = false;

	if (!S_ISDIR(a->mode) && a->nlink > 1) {
		int seen = see(w, a->ino);

		if (seen < 0)
			return seen;
		again = seen > 0;
	}
	return w->visit(w->ctx, a, again);
}

static bool on_entry(void *ctx, const struct fs_dirent *d)
{
	struct walk *w = ctx;

	if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
		return true;
	w->levels[w->depth - 1].cookie = d->cookie;
	w->err = visit(w, d->attr);
	if (w->err < 0)
		return false;
	w->found_folder = S_ISDIR(d->attr->mode);
	w->folder = d->ino;
	return !w->found_folder;
}

static int descend(struct walk *w, uint64_t ino)
{
	if (w->depth == DEPTH_MAX)
		return -ELOOP; /* folders are being moved in circles while we walk */
	if (w->depth == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 32;
		struct level *more = realloc(w->levels, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->levels = more;
		w->cap = cap;
	}
	w->levels[w->depth++] = (struct level){ .ino = ino };
	return 0;
}

/* As far as the next folder in the deepest one, into which it goes; else back up. */
static int step(struct walk *w)
{
	const struct level *at = &w->levels[w->depth - 1];
	int err;

	w->found_folder = false;
	err = fs_readdir(w->fs, at->ino, at->cookie, true, on_entry, w);
	if (err == -ENOENT || err == -ENOTDIR)
		err = 0; /* removed meanwhile */
	if (err >= 0)
		err = w->err;
	if (err < 0)
		return err;
	if (w->found_folder)
		return descend(w, w->folder);
	w->depth--;
	return 0;
}

static void release(struct walk *w)
{
	struct linked *l, *next;

	HASH_ITER (hh, w->linked, l, next) {
		HASH_DEL(w->linked, l);
		free(l);
	}
	free(w->levels);
}

int tree_walk(struct fs *fs, uint64_t ino, tree_visit_fn fn, void *ctx)
{
	struct walk w = { .fs = fs, .visit = fn, .ctx = ctx };
	struct fs_attr top;
	int err = fs_getattr(fs, ino, &top);

	if (err >= 0)
		err = fn(ctx, &top, false);
	if (err >= 0 && S_ISDIR(top.mode))
		err = descend(&w, ino);
	while (err >= 0 && w.depth > 0)
		err = step(&w);
	release(&w);
	return err < 0 ? err : 0;
}

/* ---- adding up ---- */

struct adding {
	const struct fs_watch *watch;
	struct fs_summary *sum;
};

bool tree_goes_on(const struct fs_watch *watch, uint64_t bytes, uint64_t files)
{
	return !watch || !watch->goes_on || watch->goes_on(watch->ctx, bytes, files);
}

static int add(void *ctx, const struct fs_attr *a, bool again)
{
	struct adding *add = ctx;
	struct fs_summary *s = add->sum;

	s->names++;
	if (S_ISDIR(a->mode))
		s->folders++;
	else if (!again && S_ISREG(a->mode))
		s->files++;
	else if (!again && S_ISLNK(a->mode))
		s->links++;
	else if (!again)
		s->others++;
	if (!again) {
		s->alloc_bytes += a->blocks * 512;
		if (S_ISREG(a->mode))
			s->size_bytes += a->size;
	}
	return tree_goes_on(add->watch, s->alloc_bytes, s->names) ? 0 : -ECANCELED;
}

int fs_summarize(struct fs *fs, uint64_t ino, const struct fs_watch *watch, struct fs_summary *ret)
{
	struct adding adding = { watch, ret };

	*ret = (struct fs_summary){ 0 };
	return tree_walk(fs, ino, add, &adding);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths and folders of a filesystem that is not mounted. */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 40

struct walk {
	struct fs *fs;
	struct fs_attr at;
	char *left; /* of the path; owned */
	unsigned links;
};

/* The link's target and what comes after it is the path from now on; a relative one starts where we
 * are. */
static int follow(struct walk *w, const struct fs_attr *link, const char *after)
{
	struct buf path CLEANUP(buf_release) = BUF_INIT;
	int err;

	if (++w->links > LINKS_MAX)
		return -ELOOP;
	err = fs_readlink(w->fs, link->ino, &path);
	if (err < 0)
		return err;
	if (path.len > 0 && path.data[0] == '/')
		err = fs_getattr(w->fs, FS_ROOT_INO, &w->at);
	buf_add_str(&path, "/");
	buf_add_str(&path, after);
	if (err >= 0)
		err = buf_error(&path);
	if (err < 0)
		return err;
	free(w->left);
	w->left = strdup(buf_cstr(&path));
	return w->left ? 0 : -ENOMEM;
}

/* Takes one name off the path. 1: there was none left. */
static int step(struct walk *w, bool follow_last)
{
	char *name = w->left + strspn(w->left, "/");
	char *end = name + strcspn(name, "/");
	bool last = end[strspn(end, "/")] == '\0';
	struct fs_attr next;
	int err;

	if (!*name)
		return 1;
	if (*end)
		*end++ = '\0';
	err = fs_lookup(w->fs, w->at.ino, name, &next);
	if (err < 0)
		return err;
	if (S_ISLNK(next.mode) && (follow_last || !last))
		return follow(w, &next, end);
	w->at = next;
	memmove(w->left, end, strlen(end) + 1);
	return 0;
}

int cli_path_find(struct fs *fs, const char *path, bool follow_last, struct fs_attr *ret)
{
	struct walk w = { .fs = fs, .left = strdup(path) };
	int err = w.left ? fs_getattr(fs, FS_ROOT_INO, &w.at) : -ENOMEM;

	while (err == 0)
		err = step(&w, follow_last);
	free(w.left);
	if (err < 0)
		return err;
	*ret = w.at;
	return 0;
}

/* ---- folders ---- */

struct reading {
	struct cli_names *list;
	int err;
};

static int add(struct cli_names *l, const char *name, const struct fs_attr *attr)
{
	struct cli_name *more;

	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;

		more = realloc(l->at, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count] = (struct cli_name){ strdup(name), *attr };
	return l->at[l->count].name ? (int)!++l->count : -ENOMEM;
}

static bool on_entry(void *ctx, const struct fs_dirent *d)
{
	struct reading *r = ctx;

	if (!d->attr || strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
		return true;
	r->err = add(r->list, d->name, d->attr);
	return r->err >= 0;
}

static int by_name(const void *a, const void *b)
{
	const struct cli_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int cli_names_read(struct fs *fs, uint64_t dir, struct cli_names *ret)
{
	struct reading r = { .list = ret };
	int err;

	*ret = (struct cli_names){ 0 };
	err = fs_readdir(fs, dir, 0, true, on_entry, &r);
	if (err >= 0)
		err = r.err;
	if (err < 0) {
		cli_names_release(ret);
		return err;
	}
	if (ret->count > 0)
		qsort(ret->at, ret->count, sizeof(ret->at[0]), by_name);
	return 0;
}

void cli_names_release(struct cli_names *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->at[i].name);
	free(l->at);
	*l = (struct cli_names){ 0 };
}

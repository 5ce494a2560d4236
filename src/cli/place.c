/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which mount a word of the command line means: the folder it is on, its URL, or its name in
 * levels3fs.conf(5).
 */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool cli_is_url(const char *word)
{
	return strstr(word, "://") || strncmp(word, "mem:", 4) == 0;
}

static bool may_be_name(const char *word)
{
	return *word && !strpbrk(word, "/:") && strcmp(word, ".") != 0 && strcmp(word, "..") != 0;
}

static int copy_dir(const char *dir, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s", dir) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Not realpath: it may be a mount that hangs. */
static bool is_mounted_on(const char *path)
{
	char dir[PATH_MAX];
	struct ctl_mount m;

	return ctl_resolve(path, dir) >= 0 && ctl_mount_at(dir, &m) >= 0 && ctl_mount_is_ours(&m);
}

static bool is_within_ours(const char *path)
{
	char target[PATH_MAX];
	struct ctl_mount m;

	return is_mounted_on(path) ||
	       (realpath(path, target) && ctl_mount_of(target, &m) >= 0 && ctl_mount_is_ours(&m));
}

static int find_url(const char *url, char out[PATH_MAX])
{
	struct ctl_mount m;
	int err = ctl_mount_from(url, &m);

	return err < 0 ? err : copy_dir(m.dir, out);
}

struct wanted {
	const char *name;
	char *out;
};

/* 1: found. Where the file says, unless it is mounted elsewhere only. */
static int look(void *ctx, const char *name, const struct fs_place *p)
{
	struct wanted *w = ctx;

	if (strcmp(name, w->name) != 0)
		return 0;
	if (p->mountpoint && is_mounted_on(p->mountpoint))
		return copy_dir(p->mountpoint, w->out) < 0 ? -ENAMETOOLONG : 1;
	if (p->url && find_url(p->url, w->out) >= 0)
		return 1;
	return p->mountpoint && copy_dir(p->mountpoint, w->out) >= 0 ? 1 : -ENOENT;
}

int cli_place_dir(const char *word, char out[PATH_MAX])
{
	struct wanted w = { word, out };
	int err;

	if (cli_is_url(word))
		return find_url(word, out);
	if (!may_be_name(word) || is_within_ours(word))
		return copy_dir(word, out);
	err = fs_place_each(look, &w);
	if (err == 0) /* no name either */
		return copy_dir(word, out);
	return err < 0 ? err : 0;
}

static int is_same(void *ctx, const char *name, const struct fs_place *p)
{
	return strcmp(name, ctx) == 0;
}

bool cli_place_is_dir(const char *word)
{
	struct stat st;

	if (cli_is_url(word))
		return false;
	if (!may_be_name(word) || is_within_ours(word))
		return true;
	return fs_place_each(is_same, (void *)word) == 0 && stat(word, &st) == 0;
}

/* ---- for those who mistyped it ---- */

#define NAMES_MAX 64

struct names {
	const char *word;
	char *at[NAMES_MAX];
	size_t count;
	bool is_one;
};

static int collect(void *ctx, const char *name, const struct fs_place *p)
{
	struct names *n = ctx;

	n->is_one = n->is_one || strcmp(name, n->word) == 0;
	if (n->count < NAMES_MAX && (n->at[n->count] = strdup(name)))
		n->count++;
	return 0;
}

int cli_place_missing(int code, const char *word)
{
	struct names n = { .word = word };
	const char *near = NULL;

	if (cli_is_url(word))
		return cli_say(code, "%s is not mounted here", word);
	if (may_be_name(word) && fs_place_each(collect, &n) >= 0)
		near = nearest_name(word, (const char *const *)n.at, n.count);
	if (n.is_one)
		(void)cli_say(code, "%s is not mounted: levels3fs mount %s", word, word);
	else
		(void)cli_say(code, "no levels3fs is mounted on %s%s%s%s", word,
			      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	for (size_t i = 0; i < n.count; i++)
		free(n.at[i]);
	return code;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listing a file store. Byte order over whole keys is the order of names within a folder if each
 * subfolder's name is taken with a '/' behind it: "a-b" < "a/b" < "a0". So a folder's names are
 * sorted that way and walked depth first; only names that can matter to prefix and start are kept.
 */
#include "store/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_PAGE 10000 /* each page reads the folders anew */

struct walk {
	struct store_list *out;
	const char *prefix, *start_after;
	size_t max;
	char path[STORE_KEY_MAX + NAME_MAX + 2];
};

struct names {
	char **all;
	size_t count, cap;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_release(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->all[i]);
	free(n->all);
}

static int names_add(struct names *n, const char *name)
{
	char *copy;

	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		char **all = realloc(n->all, cap * sizeof(*all));

		if (!all)
			return -ENOMEM;
		n->all = all;
		n->cap = cap;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	n->all[n->count++] = copy;
	return 0;
}

static bool entry_is_dir(int dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Is w->path an object asked for, or, with '/' at its end, a folder that may hold some? */
static bool is_wanted(const struct walk *w, bool is_dir)
{
	size_t len = strlen(w->path), prefix_len = strlen(w->prefix);

	if (len > STORE_KEY_MAX) /* no key of ours */
		return false;
	if (strncmp(w->path, w->prefix, is_dir && len < prefix_len ? len : prefix_len) != 0)
		return false;
	return strcmp(w->path, w->start_after) > 0 ||
	       (is_dir && strncmp(w->path, w->start_after, len) == 0);
}

/* The wanted names of the folder w->path (up to len) in order, those of folders with '/' behind. */
static int read_names(DIR *dir, struct walk *w, size_t len, struct names *ret)
{
	struct dirent *e;
	int err = 0;

	while (err >= 0 && (errno = 0, e = readdir(dir))) {
		bool is_dir;

		if (e->d_name[0] == '.' &&
		    (len == 0 || !e->d_name[1] || strcmp(e->d_name, "..") == 0))
			continue;
		is_dir = entry_is_dir(dirfd(dir), e);
		(void)snprintf(w->path + len, sizeof(w->path) - len, "%s%s", e->d_name,
			       is_dir ? "/" : "");
		if (is_wanted(w, is_dir))
			err = names_add(ret, w->path + len);
	}
	if (err >= 0 && errno)
		err = -errno;
	if (ret->count > 0)
		qsort(ret->all, ret->count, sizeof(*ret->all), by_name);
	return err;
}

static int walk_file(int dir, const char *name, struct walk *w)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0; /* deleted meanwhile, or not ours */
	if (w->out->count >= w->max) {
		w->out->more = true;
		return 1;
	}
	return store_list_add(w->out, w->path, (uint64_t)st.st_size, st.st_mtim.tv_sec);
}

/* Takes fd, the folder w->path ("" or with '/' at its end). Returns 1 when enough was found. */
static int walk_folder(int fd, struct walk *w)
{
	struct names names CLEANUP(names_release) = { 0 };
	size_t len = strlen(w->path);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int err;

	if (!dir) {
		err = fd < 0 && errno == ENOENT ? 0 : -errno; /* deleted meanwhile */
		close_fd(&fd);
		return err;
	}
	err = read_names(dir, w, len, &names);
	for (size_t i = 0; i < names.count && err == 0; i++) {
		size_t n = strlen(names.all[i]);

		memcpy(w->path + len, names.all[i], n + 1);
		if (names.all[i][n - 1] != '/') {
			err = walk_file(fd, names.all[i], w);
			continue;
		}
		names.all[i][n - 1] = '\0'; /* with a slash, O_NOFOLLOW would follow */
		err = walk_folder(
			openat(fd, names.all[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
			w);
	}
	w->path[len] = '\0';
	(void)closedir(dir);
	return err;
}

int store_file_walk(int root, const char *prefix, const char *start_after, unsigned max,
		    struct store_list *out)
{
	struct walk w = { .out = out, .prefix = prefix, .start_after = start_after };
	int err;

	w.max = out->count + (max && max < LIST_PAGE ? max : LIST_PAGE);
	err = walk_folder(openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &w);
	return err < 0 ? err : 0;
}

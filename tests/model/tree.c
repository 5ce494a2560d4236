/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole tree as text: a line per name, sorted: type, mode, owner, links, size, device, target,
 * extended attributes, a checksum of the bytes, and which other names are the same file.
 */
#include "model/exec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK 65536
#define LINKED_MAX 16384

struct walk {
	struct tree *tree;
	bool own;
	struct {
		uint64_t ino;
		char *first; /* the name it was met under first */
	} * linked;
	size_t linked_count;
	uint8_t block[BLOCK];
};

static void say(struct tree *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct tree *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->text + t->len, sizeof(t->text) - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(t->text) - t->len)
		t->overflow = true;
	else
		t->len += (size_t)n;
}

/* Names may hold anything. */
static void say_escaped(struct tree *t, const char *text, size_t len)
{
	for (size_t n = 0; n < len; n++)
		if (text[n] > ' ' && text[n] < 127)
			say(t, "%c", text[n]);
		else
			say(t, "\\%02x", (unsigned char)text[n]);
}

static uint64_t mix(uint64_t hash, const uint8_t *data, size_t len)
{
	for (size_t n = 0; n < len; n++)
		hash = (hash ^ data[n]) * 0x100000001b3;
	return hash;
}

static bool all_zero(const uint8_t *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* ---- bytes ---- */

/* Blocks of zeros do not count, so that holes and zeros are the same. */
static bool hash_range(struct walk *w, int fd, int64_t from, int64_t to, uint64_t *hash)
{
	from -= from % BLOCK;
	while (from < to) {
		ssize_t n = pread(fd, w->block, BLOCK, from);

		if (n <= 0)
			return n == 0;
		if (!all_zero(w->block, (size_t)n)) {
			*hash = mix(*hash, (const uint8_t *)&from, sizeof(from));
			*hash = mix(*hash, w->block, (size_t)n);
		}
		from += BLOCK;
	}
	return true;
}

static bool hash_file(struct walk *w, int fd, int64_t size, uint64_t *hash)
{
	int64_t done = 0, at = 0;

	while (at < size) {
		int64_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0)
			return errno == ENXIO;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data)
			return false;
		/* Whole blocks, and none twice. */
		if (data < done)
			data = done;
		if (!hash_range(w, fd, data, hole, hash))
			return false;
		done = (hole + BLOCK - 1) / BLOCK * BLOCK;
		at = hole;
	}
	return true;
}

static void say_bytes(struct walk *w, const char *path, int64_t size)
{
	uint64_t hash = 0xcbf29ce484222325;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || !hash_file(w, fd, size, &hash))
		say(w->tree, "\tunreadable: %s", strerror(errno));
	else
		say(w->tree, "\t%016llx", (unsigned long long)hash);
	if (fd >= 0)
		(void)close(fd);
}

/* ---- attributes ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void say_xattr(struct walk *w, const char *path, const char *name)
{
	ssize_t n = lgetxattr(path, name, w->block, sizeof(w->block));

	say(w->tree, "\t");
	say_escaped(w->tree, name, strlen(name));
	if (n < 0)
		say(w->tree, "=%s", strerror(errno));
	else
		say(w->tree, "=%zd:%016llx", n, (unsigned long long)mix(n, w->block, (size_t)n));
}

static void say_xattrs(struct walk *w, const char *path)
{
	char list[16384], *names[256];
	ssize_t len = llistxattr(path, list, sizeof(list));
	size_t count = 0;

	if (len < 0)
		say(w->tree, "\txattrs: %s", strerror(errno));
	for (char *n = list; len > 0 && n < list + len && count < 256; n += strlen(n) + 1)
		names[count++] = n;
	qsort(names, count, sizeof(names[0]), by_text);
	for (size_t n = 0; n < count; n++)
		say_xattr(w, path, names[n]);
}

static void say_target(struct walk *w, const char *path)
{
	ssize_t n = readlink(path, (char *)w->block, sizeof(w->block));

	say(w->tree, "\t-> ");
	say_escaped(w->tree, (const char *)w->block, n > 0 ? (size_t)n : 0);
}

static void say_links(struct walk *w, const char *path, const struct stat *st)
{
	size_t n = 0;

	while (n < w->linked_count && w->linked[n].ino != st->st_ino)
		n++;
	if (n == w->linked_count && n < LINKED_MAX) {
		w->linked[n].ino = st->st_ino;
		w->linked[n].first = strdup(path);
		w->linked_count++;
	}
	if (n < LINKED_MAX && w->linked[n].first) {
		say(w->tree, "\tlike ");
		say_escaped(w->tree, w->linked[n].first, strlen(w->linked[n].first));
	}
}

/* What is the filesystem's own, but must stay: not the access time, since looking changes it. */
static void say_own(struct walk *w, const struct stat *st)
{
	say(w->tree, "\tino %llu mtime %lld.%09ld ctime %lld.%09ld", (unsigned long long)st->st_ino,
	    (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
	    st->st_ctim.tv_nsec);
}

static void say_entry(struct walk *w, const char *path)
{
	struct stat st;

	say_escaped(w->tree, path, strlen(path));
	if (lstat(path, &st) < 0) {
		say(w->tree, "\t%s\n", strerror(errno));
		return;
	}
	say(w->tree, "\t%o %u:%u links %u", st.st_mode, st.st_uid, st.st_gid,
	    (unsigned)st.st_nlink);
	if (!S_ISDIR(st.st_mode))
		say(w->tree, " size %lld", (long long)st.st_size);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		say(w->tree, " device %llx", (unsigned long long)st.st_rdev);
	if (S_ISLNK(st.st_mode))
		say_target(w, path);
	if (S_ISREG(st.st_mode))
		say_bytes(w, path, st.st_size);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		say_links(w, path, &st);
	say_xattrs(w, path);
	if (w->own)
		say_own(w, &st);
	say(w->tree, "\n");
}

/* ---- walking ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void walk_folder(struct walk *w, const char *path);

static void walk_entry(struct walk *w, const char *folder, const struct dirent *entry)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);

	if (n >= (int)sizeof(path)) {
		say(w->tree, "too deep\n");
		return;
	}
	say_entry(w, path);
	if (entry->d_type == DT_DIR)
		walk_folder(w, path);
}

static void walk_folder(struct walk *w, const char *path)
{
	struct dirent **list = NULL;
	int count = scandir(path, &list, NULL, by_name);

	if (count < 0)
		say(w->tree, "\t%s\n", strerror(errno));
	for (int n = 0; n < count; n++) {
		const char *name = list[n]->d_name;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			walk_entry(w, path, list[n]);
		free(list[n]);
	}
	free(list);
}

void tree_write(struct tree *t, bool own)
{
	struct walk *w = calloc(1, sizeof(*w));

	t->len = 0;
	t->overflow = false;
	if (w)
		w->linked = calloc(LINKED_MAX, sizeof(*w->linked));
	if (!w || !w->linked) {
		t->overflow = true;
		free(w);
		return;
	}
	w->tree = t;
	w->own = own;
	say_entry(w, ".");
	walk_folder(w, ".");
	for (size_t n = 0; n < w->linked_count; n++)
		free(w->linked[n].first);
	free(w->linked);
	free(w);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many small files, one operation at a time, as fast as the filesystem lets us:
 *
 *	files PHASE DIR COUNT [SIZE [LIMIT_S]]
 *
 * PHASE is create (folders too; writes SIZE bytes), stat, list (each folder, every entry's
 * attributes), read (open, read, close), rename (within the folder), unlink (files after rename,
 * then folders). Ends after COUNT files or LIMIT_S seconds, and prints as JSON how many it did in
 * which time. The phases after create get its count.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "names.h"

struct job {
	unsigned long count, size;
	uint64_t limit_ns;
	char *bytes;
	int dir_fd; /* the folder of the present file */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const char *name)
{
	(void)fprintf(stderr, "files: %s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

static void enter(struct job *j, const char *dir)
{
	if (j->dir_fd >= 0)
		(void)close(j->dir_fd);
	j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir_fd < 0)
		die("open", dir);
}

/* ---- one file ---- */

static void create_one(struct job *j, const char *name, const char *renamed)
{
	int fd = openat(j->dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		die("create", name);
	if (j->size && write(fd, j->bytes, j->size) != (ssize_t)j->size)
		die("write", name);
	if (close(fd) < 0)
		die("close", name);
}

static void stat_one(struct job *j, const char *name, const char *renamed)
{
	struct stat st;

	if (fstatat(j->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		die("stat", name);
}

static void read_one(struct job *j, const char *name, const char *renamed)
{
	int fd = openat(j->dir_fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("open", name);
	if (j->size && read(fd, j->bytes, j->size) != (ssize_t)j->size)
		die("read", name);
	(void)close(fd);
}

static void rename_one(struct job *j, const char *name, const char *renamed)
{
	if (renameat(j->dir_fd, name, j->dir_fd, renamed) < 0)
		die("rename", name);
}

static void unlink_one(struct job *j, const char *name, const char *renamed)
{
	if (unlinkat(j->dir_fd, renamed, 0) < 0)
		die("unlink", renamed);
}

/* ---- all of them ---- */

static unsigned long each_file(struct job *j, bool make_dirs,
			       void (*one)(struct job *j, const char *name, const char *renamed))
{
	char dir[NAME_BYTES], name[NAME_BYTES], renamed[NAME_BYTES];
	uint64_t end = j->limit_ns ? now_ns() + j->limit_ns : UINT64_MAX;
	unsigned long i;

	for (i = 0; i < j->count && now_ns() < end; i++) {
		if (i % FILES_PER_DIR == 0) {
			(void)snprintf(dir, sizeof(dir), DIR_FORMAT, (unsigned)(i / FILES_PER_DIR));
			if (make_dirs && mkdir(dir, 0755) < 0)
				die("mkdir", dir);
			enter(j, dir);
		}
		(void)snprintf(name, sizeof(name), FILE_FORMAT, (unsigned)i);
		(void)snprintf(renamed, sizeof(renamed), RENAMED_FORMAT, (unsigned)i);
		one(j, name, renamed);
	}
	return i;
}

static unsigned long list_dir(struct job *j, const char *dir)
{
	unsigned long seen = 0;
	const struct dirent *e;
	DIR *d;

	enter(j, dir);
	d = fdopendir(j->dir_fd);
	if (!d)
		die("opendir", dir);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		stat_one(j, e->d_name, NULL);
		seen++;
	}
	j->dir_fd = -1;
	(void)closedir(d);
	return seen;
}

static unsigned long list_all(struct job *j)
{
	unsigned dirs = (unsigned)((j->count + FILES_PER_DIR - 1) / FILES_PER_DIR);
	uint64_t end = j->limit_ns ? now_ns() + j->limit_ns : UINT64_MAX;
	unsigned long seen = 0;
	char dir[NAME_BYTES];

	for (unsigned i = 0; i < dirs && now_ns() < end; i++) {
		(void)snprintf(dir, sizeof(dir), DIR_FORMAT, i);
		seen += list_dir(j, dir);
	}
	return seen;
}

static unsigned long unlink_all(struct job *j)
{
	unsigned dirs = (unsigned)((j->count + FILES_PER_DIR - 1) / FILES_PER_DIR);
	unsigned long done = each_file(j, false, unlink_one);
	char dir[NAME_BYTES];

	for (unsigned i = 0; i < dirs && done == j->count; i++) {
		(void)snprintf(dir, sizeof(dir), DIR_FORMAT, i);
		if (rmdir(dir) < 0 && errno != ENOTEMPTY)
			die("rmdir", dir);
	}
	return done;
}

static unsigned long run(struct job *j, const char *phase)
{
	if (strcmp(phase, "create") == 0)
		return each_file(j, true, create_one);
	if (strcmp(phase, "stat") == 0)
		return each_file(j, false, stat_one);
	if (strcmp(phase, "read") == 0)
		return each_file(j, false, read_one);
	if (strcmp(phase, "rename") == 0)
		return each_file(j, false, rename_one);
	if (strcmp(phase, "unlink") == 0)
		return unlink_all(j);
	if (strcmp(phase, "list") == 0)
		return list_all(j);
	(void)fprintf(stderr, "files: no phase %s\n", phase);
	exit(2);
}

/* Like source code: neither random nor one byte repeated, so that compression does what it does. */
static char *make_bytes(size_t size)
{
	static const char form[] = "static int thing_%08x(struct thing *t)\n{\n\treturn %u;\n}\n";
	size_t most = sizeof(form) + 32, at = 0;
	char *bytes = malloc(size + most);

	for (unsigned n = 1; bytes && at < size; n = n * 1103515245u + 12345u)
		at += (size_t)snprintf(bytes + at, most, form, n, n >> 16);
	return bytes;
}

int main(int argc, char **argv)
{
	struct job j = { .dir_fd = -1 };
	uint64_t start;
	unsigned long done;

	if (argc < 4 || argc > 6) {
		(void)fprintf(stderr, "usage: files PHASE DIR COUNT [SIZE [LIMIT_S]]\n");
		return 2;
	}
	j.count = strtoul(argv[3], NULL, 10);
	j.size = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	j.limit_ns = argc > 5 ? strtoull(argv[5], NULL, 10) * 1000000000u : 0;
	j.bytes = make_bytes(j.size);
	if (!j.bytes || j.count > DIRS_MAX * FILES_PER_DIR || chdir(argv[2]) < 0)
		die("chdir", argv[2]);
	start = now_ns();
	done = run(&j, argv[1]);
	(void)printf("{ \"done\": %lu, \"seconds\": %.6f }\n", done,
		     (double)(now_ns() - start) / 1e9);
	return 0;
}

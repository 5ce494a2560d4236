/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A line in libmount's own table, so that umount(8) asks our helper. For a folder without one it
 * goes by statfs(2), which says "fuse" of every FUSE filesystem, finds no umount.fuse, and returns
 * from umount(2) alone while the daemon is still storing. With one it looks in the kernel's mount
 * table, and runs umount.fuse.levels3fs, which waits. The line's source is not the URL: should
 * mount(8) have options of its own to note for the same mount, it adds its line beside ours.
 */
#include "util/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define UTAB_DIR "/run/mount"
#define UTAB UTAB_DIR "/utab"
#define LOCK_TRIES 500 /* of 10 ms: others hold it for an instant */

static int lock_utab(void)
{
	int fd;

	if (mkdir(UTAB_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(UTAB ".lock", O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES) {
			(void)close(fd);
			return -EBUSY;
		}
		clock_system.sleep_ms(&clock_system, 10);
	}
	return fd;
}

/* As the kernel does in its table: space, tab, newline and backslash as \ooo. */
static void our_line(struct buf *b, const char *dir)
{
	buf_add_str(b, "SRC=levels3fs TARGET=");
	for (; *dir; dir++) {
		if (strchr(" \t\n\\", *dir))
			buf_printf(b, "\\%03o", (unsigned)(unsigned char)*dir);
		else
			buf_add(b, dir, 1);
	}
	buf_add_str(b, " ROOT=/ OPTS=uhelper=levels3fs\n");
}

/* Every line but this one. */
static int read_others(struct buf *others, const char *line)
{
	FILE *f = fopen(UTAB, "re");
	char *text = NULL;
	size_t size = 0;
	int err = 0;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (getline(&text, &size, f) >= 0)
		if (strcmp(text, line) != 0)
			buf_add_str(others, text);
	if (ferror(f))
		err = -EIO;
	free(text);
	(void)fclose(f);
	return err ? err : buf_error(others);
}

static int replace_utab(const struct buf *text)
{
	char path[] = UTAB ".XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0644) < 0)
		err = -errno;
	else if (write(fd, text->data, text->len) != (ssize_t)text->len)
		err = -EIO;
	(void)close(fd);
	if (!err && rename(path, UTAB) < 0)
		err = -errno;
	if (err)
		(void)unlink(path);
	return err;
}

static int change_utab(const char *dir, bool add)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;
	struct buf line CLEANUP(buf_release) = BUF_INIT;
	int lock, err;

	if (geteuid() != 0)
		return 0; /* umount(8) finds our helper by itself when it is not root's */
	our_line(&line, dir);
	if (buf_error(&line))
		return -ENOMEM;
	lock = lock_utab();
	if (lock < 0)
		return lock;
	err = read_others(&text, buf_cstr(&line));
	if (err >= 0 && add)
		buf_add(&text, line.data, line.len);
	if (err >= 0)
		err = buf_error(&text);
	if (err >= 0)
		err = replace_utab(&text);
	(void)close(lock);
	return err;
}

int ctl_utab_add(const char *dir)
{
	return change_utab(dir, true);
}

int ctl_utab_remove(const char *dir)
{
	return change_utab(dir, false);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * folder: DIR/UUID, where the disk tier keeps its files. Whoever can write there could feed us
 * bytes of his own, checksums included, so both folders must be ours and nobody else's to write.
 */
#include "cache/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int check_ours(int fd, const char *name)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_note(-errno, "cache folder %s: %s", name, strerrordesc_np(errno));
	if (st.st_uid != geteuid())
		return err_note(-EPERM, "cache folder %s belongs to user %u, not to us (user %u)",
				name, (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 022)
		return err_note(
			-EPERM,
			"cache folder %s can be written by others (mode %04o): chmod go-w it", name,
			(unsigned)st.st_mode & 07777);
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return err_note(errno == EACCES ? -EACCES : -errno,
				"cache folder %s is not writable: %s", name,
				strerrordesc_np(errno));
	return 0;
}

/* Opens name (made if missing) below at; fd, or negative errno with a note that calls it shown. */
static int open_ours(int at, const char *name, const char *shown)
{
	int fd, err;

	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return err_note(-errno, "cannot make cache folder %s: %s", shown,
				strerrordesc_np(errno));
	fd = openat(at, name, DIR_FLAGS);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_note(-ENOTDIR, "cache folder %s is a link or no folder at all", shown);
	if (fd < 0)
		return err_note(-errno, "cannot open cache folder %s: %s", shown,
				strerrordesc_np(errno));
	err = check_ours(fd, shown);
	if (err < 0) {
		(void)close(fd);
		return err;
	}
	return fd;
}

static int lock_folder(int fd, const char *shown)
{
	int lock = openat(fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (lock < 0)
		return err_note(-errno, "cannot open %s/lock: %s", shown, strerrordesc_np(errno));
	if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		int err = errno == EWOULDBLOCK ? -EBUSY : -errno;

		(void)close(lock);
		return err_note(err, "cannot lock %s: %s", shown, strerrordesc_np(-err));
	}
	return lock;
}

/* Without slashes at the end: they would make the kernel follow a link. */
static void trim_slashes(struct buf *path)
{
	while (path->len > 1 && path->data[path->len - 1] == '/')
		path->len--;
}

/* dir itself, made if missing; path: its name, to go on from. */
static int open_top(const char *dir, struct buf *path)
{
	buf_add_str(path, dir);
	trim_slashes(path);
	return buf_error(path) < 0 ? -ENOMEM : open_ours(AT_FDCWD, buf_cstr(path), dir);
}

int folder_check(const char *dir)
{
	struct buf path CLEANUP(buf_release) = BUF_INIT;
	int fd CLEANUP(close_fd) = open_top(dir, &path);

	return fd < 0 ? fd : 0;
}

int folder_open(const char *dir, const struct uuid *fs, struct folder *ret)
{
	struct buf path CLEANUP(buf_release) = BUF_INIT;
	struct folder f = { -1, -1 };
	char name[UUID_STR_LEN];
	int dir_fd CLEANUP(close_fd) = -1;

	uuid_format(fs, name);
	dir_fd = open_top(dir, &path);
	if (dir_fd < 0)
		return dir_fd;
	buf_printf(&path, "/%s", name);
	if (buf_error(&path) < 0)
		return -ENOMEM;
	f.fd = open_ours(dir_fd, name, buf_cstr(&path));
	if (f.fd < 0)
		return f.fd;
	f.lock_fd = lock_folder(f.fd, buf_cstr(&path));
	if (f.lock_fd < 0) {
		(void)close(f.fd);
		return f.lock_fd;
	}
	*ret = f;
	return 0;
}

void folder_close(struct folder *f)
{
	close_fd(&f->lock_fd);
	close_fd(&f->fd);
}

bool folder_is_gone(const struct folder *f)
{
	struct stat st;

	return fstat(f->fd, &st) < 0 || st.st_nlink == 0;
}

/* Is it one of our files? Others are left alone. */
static bool parse_name(const char *name, struct folder_entry *ret)
{
	if (strspn(name, "0123456789abcdef") != OBJECT_NAME_LEN)
		return false;
	memcpy(ret->name, name, OBJECT_NAME_LEN);
	ret->name[OBJECT_NAME_LEN] = '\0';
	ret->is_index = strcmp(name + OBJECT_NAME_LEN, ".i") == 0;
	return ret->is_index || strcmp(name + OBJECT_NAME_LEN, ".d") == 0;
}

int folder_scan(const struct folder *f, int (*each)(void *ctx, const struct folder_entry *e),
		void *ctx)
{
	int fd = openat(f->fd, ".", DIR_FLAGS), err = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;

	if (!d) {
		err = -errno;
		close_fd(&fd);
		return err_note(err, "cannot list the cache folder: %s", strerrordesc_np(-err));
	}
	while (err >= 0 && (de = readdir(d))) {
		struct folder_entry e;
		struct stat st;

		if (!parse_name(de->d_name, &e) ||
		    fstatat(f->fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		e.bytes = (uint64_t)st.st_blocks * 512;
		e.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		err = each(ctx, &e);
	}
	(void)closedir(d);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder of a file store: its URL, opening or making it, what dead writers left in it. */
#include "store/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STALE_TMP_S 3600
#define NS_PER_S 1000000000

/* What processes left that died while writing. Young ones may belong to another host (NFS). */
static void clean_tmp(int root)
{
	int fd = openat(root, FILE_TMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int64_t now = clock_system.real_ns(&clock_system) / NS_PER_S;
	struct dirent *e;
	DIR *dir;

	if (fd < 0 || !(dir = fdopendir(fd))) {
		close_fd(&fd);
		return;
	}
	while ((e = readdir(dir))) {
		struct stat st;

		if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtim.tv_sec + STALE_TMP_S < now)
			(void)unlinkat(fd, e->d_name, 0);
	}
	(void)closedir(dir);
}

static int make_folder(const char *path)
{
	char parent[PATH_MAX];
	char *slash;
	int fd CLEANUP(close_fd) = -1;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	(void)snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	slash[slash == parent] = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int open_root(const char *path, bool create, int *ret_fd)
{
	int err = create ? make_folder(path) : 0;
	int fd = err < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (err >= 0 && fd < 0)
		err = -errno;
	*ret_fd = fd;
	switch (-err) {
	case 0:
		return 0;
	case ENOENT:
		return err_note(
			-L3_NO_BUCKET,
			create ? "%s: its parent folder does not exist: make that first"
			       : "%s: no such folder; levels3fs mkfs (or -o create) makes it",
			path);
	case ENOTDIR:
		return err_note(-L3_BAD_OPTION, "%s: is not a folder", path);
	case EACCES:
	case EPERM:
		return err_note(-L3_DENIED, "%s: %s; user %u needs the right to use this folder",
				path, strerrordesc_np(-err), (unsigned)geteuid());
	default:
		return err_note(err == -EROFS ? -L3_DENIED : err, "%s: %s", path,
				strerrordesc_np(-err));
	}
}

static int parse_url(const char *url, char path[PATH_MAX])
{
	const char *p = url + strlen("file://");
	size_t len;

	if (*p != '/')
		return err_note(-L3_BAD_OPTION,
				"%s: needs an absolute path after file://, as in file:///srv/files",
				url);
	len = strlen(p);
	while (len > 1 && p[len - 1] == '/')
		len--;
	if (len >= PATH_MAX)
		return err_note(-L3_BAD_OPTION, "%s: the path is too long", url);
	if (len == 1)
		return err_note(-L3_BAD_OPTION, "%s: name a folder below the root of the disk",
				url);
	memcpy(path, p, len);
	path[len] = '\0';
	return 0;
}

int store_file_root(const char *url, bool create, int *ret_fd)
{
	char path[PATH_MAX];
	int err = parse_url(url, path);

	if (err >= 0)
		err = open_root(path, create, ret_fd);
	if (err >= 0)
		clean_tmp(*ret_fd);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks before mounting: most failed mounts fail here, and libfuse would only say "mount failed".
 */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <paths.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int resolve(const char *path, char dir[PATH_MAX])
{
	int err = *path ? ctl_resolve(path, dir) : -EINVAL;
	struct stat st;

	if (!*path)
		return err_note(err, "the mountpoint is an empty word: levels3fs mount URL DIR");

	/* A link to a folder is as good as the folder. */
	if (err >= 0 && lstat(dir, &st) == 0 && S_ISLNK(st.st_mode)) {
		char target[PATH_MAX];

		if (realpath(dir, target))
			memcpy(dir, target, sizeof(target));
		else
			err = -errno;
	}
	if (err == -ENOENT)
		return err_note(err, "the mountpoint %s does not exist; make it with mkdir", path);
	if (err < 0)
		return err_note(err, "the mountpoint %s cannot be used: %s", path, err_text(err));
	return 0;
}

/* A living mount of ours is refused; one whose daemon is dead is in the way of everything, so away
 * with it. */
static int check_ours(const struct ctl_mount *m)
{
	int fd = -1;
	pid_t pid = 0;
	int err = ctl_connect(m, &fd, &pid);

	if (err >= 0) {
		(void)close(fd);
		return err_note(-EBUSY, "%s is mounted on %s already (process %ld)", m->source,
				m->dir, (long)pid);
	}
	if (!ctl_mount_is_dead(m))
		return err_note(-EBUSY, "%s is mounted on %s already", m->source, m->dir);
	err = ctl_unmount(m->dir, MNT_DETACH);
	if (err < 0)
		return err_note(
			err,
			"a mount whose process has died is still on %s, and cannot be removed: %s",
			m->dir, err_text(err));
	log_line(LOG_L_WARN, "removed the dead mount that was left on %s", m->dir);
	return 0;
}

static int check_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool empty = true;

	if (!d)
		return err_note(-errno, "the mountpoint %s cannot be read: %s", dir,
				err_text(-errno));
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	(void)closedir(d);
	if (!empty)
		return err_note(
			-ENOTEMPTY,
			"the mountpoint %s is not empty, and what is in it would be hidden; "
			"-o nonempty mounts all the same",
			dir);
	return 0;
}

static int check_folder(const char *dir, bool may_be_nonempty)
{
	struct stat st;

	if (stat(dir, &st) < 0) {
		int err = -errno;

		if (err == -ENOENT)
			return err_note(err, "the mountpoint %s does not exist; make it with mkdir",
					dir);
		if (err == -ENOTCONN)
			return err_note(err,
					"a mount whose process has died is still on %s, or on a "
					"folder above it; take it away with umount -l",
					dir);
		return err_note(err, "the mountpoint %s cannot be used: %s", dir, err_text(err));
	}
	if (!S_ISDIR(st.st_mode))
		return err_note(-ENOTDIR, "the mountpoint %s is not a folder", dir);
	if (geteuid() != 0 && access(dir, W_OK) < 0)
		return err_note(
			-EACCES,
			"the mountpoint %s is not yours to write to, so only root may mount there",
			dir);
	return may_be_nonempty ? 0 : check_empty(dir);
}

int mountpoint_check(const char *path, bool may_be_nonempty, char ret_dir[PATH_MAX])
{
	struct ctl_mount m;
	int err = resolve(path, ret_dir);

	if (err < 0)
		return err;
	/* Before anything looks into the folder: a mount that hangs must not hang us. */
	if (ctl_mount_at(ret_dir, &m) == 0 && ctl_mount_is_ours(&m)) {
		err = check_ours(&m);
		if (err < 0)
			return err;
	}
	return check_folder(ret_dir, may_be_nonempty);
}

/* ---- a service beside fstab ---- */

/* A line that systemd mounts by itself, at boot or when somebody looks there. */
static bool mounts_by_itself(const struct mntent *line)
{
	return !hasmntopt(line, "noauto") || hasmntopt(line, "x-systemd.automount");
}

/* By their names alone: to look at the folders of other lines would wait for what hangs there. */
static bool same_folder(const char *a, const char *b)
{
	size_t len = strlen(a), other = strlen(b);

	while (len > 1 && a[len - 1] == '/')
		len--;
	while (other > 1 && b[other - 1] == '/')
		other--;
	return len == other && memcmp(a, b, len) == 0;
}

int mountpoint_check_fstab(const char *path)
{
	FILE *f = setmntent(_PATH_MNTTAB, "re");
	const struct mntent *line;
	char dir[PATH_MAX];
	int err = resolve(path, dir);

	while (f && err >= 0 && (line = getmntent(f)))
		if (mounts_by_itself(line) &&
		    (same_folder(line->mnt_dir, dir) || same_folder(line->mnt_dir, path)))
			err = err_note(
				-EBUSY,
				"%s is in " _PATH_MNTTAB
				", too, so that systemd would mount it twice: "
				"disable this service, or take that line out (or give it noauto)",
				line->mnt_dir);
	if (f)
		(void)endmntent(f);
	return err;
}

/* ---- folders apart ---- */

/* With all links followed in what exists of it, which need not be all. */
static void real_path(const char *path, char out[PATH_MAX])
{
	char head[PATH_MAX], real[PATH_MAX];
	size_t len = strnlen(path, sizeof(head) - 1);

	memcpy(head, path, len);
	head[len] = '\0';
	while (len > 0 && !realpath(head, real)) {
		while (len > 0 && head[len - 1] != '/')
			len--;
		while (len > 0 && head[len - 1] == '/')
			len--;
		head[len] = '\0';
	}
	if (len == 0 || strcmp(real, "/") == 0)
		real[0] = '\0';
	if (snprintf(out, PATH_MAX, "%s%s", real, path + len) >= PATH_MAX)
		out[0] = '\0';
}

static bool is_within(const char *path, const char *folder)
{
	size_t len = strcmp(folder, "/") == 0 ? 0 : strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '/' || !path[len]);
}

int mountpoint_check_store(const char *dir, const char *url)
{
	char store[PATH_MAX];

	if (strncmp(url, "file:///", strlen("file:///")) != 0)
		return 0;
	real_path(url + strlen("file://"), store);
	if (!store[strspn(store, "/")])
		return 0; /* the root of the disk: refused for what it is */
	if (is_within(store, dir))
		return err_note(-EINVAL,
				"the store %s is in the mountpoint %s, where the mount would hide "
				"it; mount somewhere else",
				store, dir);
	if (is_within(dir, store))
		return err_note(
			-EINVAL,
			"the mountpoint %s is in the store's folder %s, which holds objects "
			"only; mount somewhere else",
			dir, store);
	return 0;
}

int mountpoint_check_cache(const char *dir, const char *cache_dir)
{
	char cache[PATH_MAX];

	if (strcmp(cache_dir, "none") == 0)
		return 0;
	real_path(cache_dir, cache);
	if (is_within(cache, dir))
		return err_note(
			-EINVAL,
			"the cache folder %s is in the mountpoint %s, where the mount would "
			"hide it; name another with -o cache_dir=DIR",
			cache, dir);
	return 0;
}

/* ---- FUSE ---- */

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char full[PATH_MAX];

	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");

		if (snprintf(full, sizeof(full), "%.*s/%s", (int)len, p, program) < PATH_MAX &&
		    access(full, X_OK) == 0)
			return true;
		p += len + (p[len] == ':');
	}
	return false;
}

int mountpoint_check_fuse(void)
{
	if (access("/dev/fuse", F_OK) < 0)
		return err_note(-ENODEV, "/dev/fuse is missing: load the module (modprobe fuse), "
					 "or give the container "
					 "/dev/fuse and CAP_SYS_ADMIN");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return err_note(
			-EACCES,
			"you may not use /dev/fuse (%s); root can allow it: chmod 666 /dev/fuse",
			err_text(-errno));
	if (geteuid() != 0 && !in_path("fusermount3"))
		return err_note(-ENOENT, "fusermount3 is missing, which mounts for users other "
					 "than root: install the "
					 "package fuse3");
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Unmounting, as root by the system call, as anybody else through fusermount3. */
#include "util/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* fusermount3 -u [-z] DIR; its own words are worth less than ours. */
static int run_fusermount(const char *dir, bool lazy)
{
	char *argv[] = { (char *)"fusermount3", (char *)(lazy ? "-uzq" : "-uq"), (char *)"--",
			 (char *)dir, NULL };
	posix_spawn_file_actions_t actions;
	sigset_t none;
	posix_spawnattr_t attr;
	int status = 0, err;
	pid_t pid;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	err = posix_spawnp(&pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (err)
		return err_note(-err, "fusermount3 cannot be run: %s (package fuse3)",
				strerror(err));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int ctl_unmount(const char *dir, int flags)
{
	struct ctl_mount before, after;

	if (geteuid() == 0)
		return umount2(dir, flags | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	if (ctl_mount_at(dir, &before) < 0)
		return -EINVAL;
	if (before.owner != geteuid())
		return -EPERM;
	if (run_fusermount(dir, flags & (MNT_DETACH | MNT_FORCE)) == 0)
		return 0;
	/* It tells busy from failed in words only; look what has become of the mount. */
	if (ctl_mount_at(dir, &after) < 0 || after.minor != before.minor)
		return 0;
	return -EBUSY;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unmounting. umount(2) returns when the kernel is through with the mount; the daemon then stores
 * the rest. So: connect to the daemon first, unmount, follow what it says until it has gone.
 */
#include "cli/internal.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Exit codes of umount(8). */
enum { UMOUNT_USAGE = 1, UMOUNT_SYSTEM = 2, UMOUNT_FAILED = 32 };

#define GONE_WAIT_MS 10000
#define ELSEWHERE_MS 10000
#define HEARD_MS 10000
#define BUSY_TRIES 5
#define BUSY_PAUSE_MS 50

struct umount_command {
	const char *word; /* as given: a folder, a URL, a name of levels3fs.conf(5) */
	char path[PATH_MAX];
	char dir[PATH_MAX];
	bool force, lazy, quiet, help;
	struct ctl_reader daemon; /* .fd -1: not reached */
	pid_t pid;
};

void cli_umount_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs umount DIR [--force] [--lazy]\n\n"
		"Unmounts, and returns when everything written is in the store and the process "
		"that served\n"
		"the mount has ended. If the mount is in use, says by whom and changes nothing. On "
		"a folder\n"
		"that has just been unmounted in another way, waits for the rest.\n\n"
		"  -f, --force            give up what cannot be stored, and say how much that is\n"
		"  -w, --wait             until everything is stored; that is what it does anyway\n"
		"  -l, --lazy             take it away now, store the rest when it is no longer "
		"used; does not wait\n\n"
		"Exit status: 0 everything is stored; 1 wrong usage, or nothing mounted there; 2 "
		"the outcome\n"
		"could not be seen; 32 not unmounted, or not everything stored.\n",
		out);
}

/* ---- after the kernel has let go ---- */

static bool exists(pid_t pid)
{
	return kill(pid, 0) == 0 || errno == EPERM;
}

/* Until the process is really gone (and its parent knows), so that who unmounts may stop the
 * machine. */
static void wait_until_gone(pid_t pid)
{
	int fd CLEANUP(close_fd) = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return;
	while (poll(&p, 1, GONE_WAIT_MS) < 0 && errno == EINTR)
		;
	for (unsigned i = 0; i < 100 && exists(pid); i++)
		clock_system.sleep_ms(&clock_system, 10);
}

static int report_done(const struct umount_command *c, const char *line)
{
	char *words;

	if (strtol(line, &words, 10) == 0)
		return 0;
	return cli_say(UMOUNT_FAILED, "%s: %s", c->dir,
		       *words ? words + 1 : "not everything could be stored");
}

/* A bar is for those who look at it. */
static void show_left(struct cli_progress *progress, uint64_t left, uint64_t *most)
{
	char size[SIZE_STR_LEN], bar[CLI_BAR_LEN];

	*most = max_u64(*most, left);
	format_size(left, size);
	if (isatty(STDERR_FILENO))
		cli_progress(progress, "storing the rest %s, %s to go",
			     cli_bar(*most - left, *most, bar), size);
	else
		cli_progress(progress, "storing the rest: %s to go", size);
}

/* Lines of "watch" until "done". */
static int follow(struct umount_command *c)
{
	struct cli_progress progress = { 0 };
	char line[CTL_LINE_MAX];
	uint64_t most = 0;
	bool closing = false;
	int got, code = -1;

	while (code < 0 && (got = ctl_read(&c->daemon, line, closing ? 0 : ELSEWHERE_MS)) != 0) {
		if (got == -ETIMEDOUT) {
			(void)cli_say(0, "still waiting: the mount is in use elsewhere (another "
					 "mount namespace, "
					 "or files still open)");
			closing = true;
		} else if (got < 0) {
			break;
		} else if (strcmp(line, "closing") == 0) {
			closing = true;
		} else if (strncmp(line, "left ", 5) == 0) {
			show_left(&progress, strtoull(line + 5, NULL, 10), &most);
		} else if (strncmp(line, "done ", 5) == 0) {
			cli_progress_clear(&progress);
			code = report_done(c, line + 5);
		}
	}
	cli_progress_clear(&progress);
	if (code < 0)
		return cli_say(UMOUNT_FAILED,
			       "the process that served %s died before everything was stored; what "
			       "was not "
			       "synced may be lost",
			       c->dir);
	wait_until_gone(c->pid);
	return code;
}

/* ---- unmounting ---- */

static int complain(const struct umount_command *c, int err)
{
	if (err == -EPERM)
		return cli_say(UMOUNT_USAGE,
			       "%s was mounted by somebody else; only they or root can unmount it",
			       c->dir);
	if (err != -EBUSY)
		return cli_say(UMOUNT_FAILED, "%s cannot be unmounted: %s", c->dir,
			       *err_last_note() ? err_last_note() : err_text(err));
	(void)cli_say(0, "%s is in use; nothing was changed", c->dir);
	cli_say_users(c->dir);
	return UMOUNT_FAILED;
}

/* Who only looks a path up, as df and other commands of ours do, is gone in a moment. */
static int unmount(const struct umount_command *c)
{
	int flags = c->lazy ? MNT_DETACH : c->force ? MNT_FORCE : 0;
	int err = ctl_unmount(c->dir, flags);

	for (unsigned n = 0; n < BUSY_TRIES && err == -EBUSY && !c->force; n++) {
		clock_system.sleep_ms(&clock_system, BUSY_PAUSE_MS);
		err = ctl_unmount(c->dir, flags);
	}
	if (err == -EBUSY && c->force)
		err = ctl_unmount(c->dir, MNT_DETACH);
	return err;
}

/* Not reached: either it is dead, and the mount with it, or it lives where we cannot see it. */
static int without_daemon(const struct umount_command *c, const struct ctl_mount *m,
			  int connect_err)
{
	bool dead;
	int err;

	if (connect_err == -EACCES && geteuid() != 0)
		return complain(c, -EPERM);
	dead = ctl_mount_is_dead(m);
	err = unmount(c);
	if (err < 0)
		return complain(c, err);
	if (c->lazy)
		return 0;
	if (dead)
		return cli_say(UMOUNT_SYSTEM,
			       "%s is unmounted, but its process had died before: what was not "
			       "stored by then is "
			       "lost, and the next mount goes on from what is",
			       c->dir);
	return cli_say(UMOUNT_SYSTEM,
		       "%s is unmounted, but its process could not be asked whether everything is "
		       "stored: it "
		       "runs in another network namespace",
		       c->dir);
}

/* Until the daemon has heard us: a quick one could otherwise be gone before it reads the request.
 */
static int watch(struct umount_command *c)
{
	char line[CTL_LINE_MAX];
	int err = ctl_write(c->daemon.fd, c->force ? "abort" : "watch");

	if (err >= 0)
		err = ctl_read(&c->daemon, line, HEARD_MS);
	return err < 0 && err != -ETIMEDOUT ? err : 0;
}

static int unmount_and_follow(struct umount_command *c, const struct ctl_mount *m)
{
	int err = ctl_connect(m, &c->daemon.fd, &c->pid);

	if (err < 0)
		return without_daemon(c, m, err);
	err = watch(c);
	if (err >= 0)
		err = unmount(c);
	if (err < 0)
		return complain(c, err);
	return c->lazy ? 0 : follow(c);
}

/* The mount is gone, but its daemon may still be storing. */
static int follow_leftover(struct umount_command *c)
{
	if (ctl_connect_by_dir(c->dir, &c->daemon.fd, &c->pid) < 0)
		return strchr(c->word, '/') ? cli_say(UMOUNT_USAGE, "%s is not mounted", c->dir)
					    : cli_place_missing(UMOUNT_USAGE, c->word);
	if (ctl_write(c->daemon.fd, c->force ? "abort" : "watch") < 0)
		return cli_say(UMOUNT_USAGE, "%s is not mounted", c->dir);
	return c->lazy ? 0 : follow(c);
}

/* The path as it is, so that a dead mount can be named; else where it leads. */
static int find_mount(struct umount_command *c, struct ctl_mount *ret)
{
	char target[PATH_MAX];
	int err = cli_place_dir(c->word, c->path);

	if (err >= 0)
		err = ctl_resolve(c->path, c->dir);

	if (err >= 0)
		err = ctl_mount_at(c->dir, ret);
	if (err == -ENOENT && realpath(c->path, target) && ctl_mount_at(target, ret) >= 0) {
		memcpy(c->dir, target, sizeof(target));
		err = 0;
	}
	return err;
}

static int run(struct umount_command *c)
{
	struct ctl_mount m;
	int err = find_mount(c, &m), code;

	if (err < 0 && !c->path[0])
		return err == -ENOENT ? cli_place_missing(UMOUNT_USAGE, c->word)
				      : cli_say(UMOUNT_USAGE, "%s", err_last_note());
	if (err < 0 && !c->dir[0])
		return cli_say(UMOUNT_USAGE, "\"%s\" is no folder that can be looked up: %s",
			       c->word, err_text(err));
	if (err < 0)
		code = follow_leftover(c);
	else if (!ctl_mount_is_ours(&m))
		code = cli_say(UMOUNT_USAGE,
			       "%s is not a levels3fs mount but %s: umount(8) unmounts it", c->dir,
			       m.type);
	else
		code = unmount_and_follow(c, &m);
	close_fd(&c->daemon.fd);
	return code;
}

/* ---- arguments ---- */

static int take_dir(struct umount_command *c, int argc, char **argv)
{
	if (argc - optind != 1)
		return cli_say(UMOUNT_USAGE, "umount needs one folder: levels3fs umount DIR");
	c->word = argv[optind];
	return 0;
}

static const struct option longs[] = { { "force", no_argument, NULL, 'f' },
				       { "lazy", no_argument, NULL, 'l' },
				       { "wait", no_argument, NULL, 'w' },
				       { "help", no_argument, NULL, 'h' },
				       { NULL, 0, NULL, 0 } };

const struct cli_options cli_umount_options = { "flwh", longs };

static int parse(struct umount_command *c, int argc, char **argv)
{
	int opt;

	while ((opt = option_next(argc, argv, "flwh", longs)) != -1) {
		if (opt == 'f')
			c->force = true;
		else if (opt == 'l')
			c->lazy = true;
		else if (opt == 'h')
			c->help = true;
		else if (opt != 'w') /* which is what it does anyway */
			return cli_say_option(UMOUNT_USAGE, argv[0]);
	}
	return c->help ? 0 : take_dir(c, argc, argv);
}

int cli_umount(int argc, char **argv)
{
	struct umount_command c = { .daemon = { .fd = -1 } };
	int code = parse(&c, argc, argv);

	if (code == 0 && c.help)
		cli_show_help(cli_umount_help);
	else if (code == 0)
		code = run(&c);
	return code;
}

int cli_umount_helper(int argc, char **argv)
{
	struct umount_command c = { .daemon = { .fd = -1 } };
	int opt, code;

	while ((opt = getopt(argc, argv, "flnrvt:N:")) != -1) {
		switch (opt) {
		case 'f':
			c.force = true;
			break;
		case 'l':
			c.lazy = true;
			break;
		case 'N':
			return cli_say(UMOUNT_USAGE, "unmounting in another namespace is not "
						     "supported: nsenter does it");
		case '?':
			return cli_say(UMOUNT_USAGE, "usage: umount.levels3fs DIR [-flnrv]");
		default:
			break; /* no mtab to write, nothing to remount, nothing more to tell */
		}
	}
	code = take_dir(&c, argc, argv);
	return code ? code : run(&c);
}

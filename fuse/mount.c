/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mount command: reads its arguments, checks what can be checked at once, and leaves the rest
 * to a child process (daemon.c). The parent waits until that has read the root folder through the
 * kernel, or has failed and said why on the terminal that both share.
 */
#include "mount.h"
#include "daemon.h"
#include "mountpoint.h"
#include "supervisor.h"

#include "util/option.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct command {
	struct mount_options options;
	struct buf lists; /* of options, each with its NUL */
	struct fs_place place;
	const char *url, *dir; /* as given, or as a configuration file says */
	bool foreground, debug, fake, help;
};

static const struct mount_words *words;

void mount_use_words(const struct mount_words *w)
{
	words = w;
}

static int say(int code, const char *what)
{
	(void)fprintf(stderr, "levels3fs: %s\n", what);
	return code;
}

static int say_note(int code, int err)
{
	return say(code, *err_last_note() ? err_last_note() : err_text(err));
}

/* ---- help ---- */

static void list_options(FILE *out, const struct fs_option_info *list)
{
	for (; list->name; list++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s%s%s", list->name, list->argument ? "=" : "",
			       list->argument ? list->argument : "");
		(void)fprintf(out, "  %-23s %s [%s]\n", name, list->help, list->fallback);
	}
}

void mount_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs [mount] URL DIR [-o OPTION[,OPTION]…] [-f] [-d]\n"
		"       levels3fs mount NAME [DIR] [-o …]\n\n"
		"Mounts the filesystem in URL (s3://BUCKET/PREFIX or file:///FOLDER) on the "
		"folder DIR, and\n"
		"returns when it can be used. NAME is one of levels3fs.conf(5).\n\n"
		"  -o, --options OPTIONS   see below; may be given several times\n"
		"  -r, --read-only         the same as -o ro\n"
		"  -f, --foreground        stay in the foreground until it is unmounted\n"
		"  -d, --debug             show every operation; implies -f\n\n"
		"Options of the filesystem (with the default; levels3fs help OPTION says more):\n",
		out);
	list_options(out, fs_options());
	(void)fputs("\nOptions of the mount:\n", out);
	list_options(out, mount_options_list());
	(void)fputs("\nAnd those of mount(8): suid, nosuid, dev, nodev, exec, noexec, sync, "
		    "dirsync, _netdev, nofail,\n"
		    "user, users, x-….\n\n"
		    "Keys are never options: they come from AWS_ACCESS_KEY_ID and "
		    "AWS_SECRET_ACCESS_KEY, or from\n"
		    "~/.aws/credentials.\n",
		    out);
}

/* ---- arguments ---- */

static void add_options(struct command *c, const char *list)
{
	buf_add(&c->lists, list, strlen(list) + 1);
}

static int parse_lists(struct command *c)
{
	const char *list = (const char *)c->lists.data, *end = list + c->lists.len;
	int err = buf_error(&c->lists);

	for (; err >= 0 && list < end; list += strlen(list) + 1)
		err = mount_options_parse(&c->options, list);
	return err;
}

/* A configuration file's settings come first, so that what is given here overrides them. */
static int parse_all(struct command *c, const char *word)
{
	bool sloppy = c->options.sloppy;
	int err;

	mount_options_release(&c->options);
	mount_options_init(&c->options);
	c->options.sloppy = sloppy;
	err = mount_options_place(&c->options, word, &c->place);
	c->url = c->place.url;
	return err < 0 ? err : parse_lists(c);
}

/* To remount, mount(8) says what df shows, which is of no interest. */
static int settle_options(struct command *c, const char *word)
{
	int err = parse_lists(c);

	if (err >= 0 && !c->options.remount)
		err = parse_all(c, word);
	return err < 0 ? say_note(EXIT_USAGE, err) : 0;
}

static const char few_operands[] =
	"mount needs a URL and a folder: levels3fs mount URL DIR (levels3fs mount --help)";

static int take_operands(struct command *c, int argc, char **argv)
{
	const char *word = argv[optind], *dir = argc - optind == 2 ? argv[optind + 1] : NULL;
	int code;

	if (!word)
		return say(EXIT_USAGE, few_operands);
	if (argc - optind > 2)
		return say(EXIT_USAGE,
			   "mount takes one URL and one folder (options come after -o)");
	if (!*word)
		return say(EXIT_USAGE, "the URL is an empty word: levels3fs mount URL DIR");
	if (dir && strstr(dir, "://") && !strstr(word, "://"))
		return say(EXIT_USAGE,
			   "the URL comes first, then the folder: levels3fs mount URL DIR");
	code = settle_options(c, word);
	c->dir = dir ? dir : c->place.mountpoint;
	if (code == 0 && !c->dir)
		return say(EXIT_USAGE, few_operands);
	return code;
}

const struct option mount_longs[] = {
	{ "options", required_argument, NULL, 'o' }, { "read-only", no_argument, NULL, 'r' },
	{ "foreground", no_argument, NULL, 'f' },    { "debug", no_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },	     { NULL, 0, NULL, 0 }
};

static int parse_command(struct command *c, int argc, char **argv)
{
	int code = 0, opt;

	while (code == 0 && (opt = option_next(argc, argv, MOUNT_SHORTS, mount_longs)) != -1) {
		switch (opt) {
		case 'o':
			add_options(c, optarg);
			break;
		case 'r':
			add_options(c, "ro");
			break;
		case 'f':
			c->foreground = true;
			break;
		case 'd':
			c->foreground = c->debug = true;
			break;
		case 'h':
			c->help = true;
			return 0;
		default:
			(void)say_note(EXIT_USAGE, -L3_BAD_OPTION);
			return say(EXIT_USAGE, "levels3fs mount --help lists the options");
		}
	}
	return code ? code : take_operands(c, argc, argv);
}

/* mount(8): -s ignore unknown options, -f only pretend, -n no mtab, -v, -r, -w, -t TYPE, -N
 * NAMESPACE. */
static int parse_helper(struct command *c, int argc, char **argv)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	int code = 0, opt;

	while (code == 0 && (opt = getopt_long(argc, argv, "o:sfnvrwt:N:h", longs, NULL)) != -1) {
		switch (opt) {
		case 'o':
			add_options(c, optarg);
			break;
		case 'r':
			add_options(c, "ro");
			break;
		case 'w':
			add_options(c, "rw");
			break;
		case 's':
			c->options.sloppy = true;
			break;
		case 'f':
			c->fake = true;
			break;
		case 'n':
		case 'v':
		case 't':
			break;
		case 'h':
			c->help = true;
			return 0;
		case 'N':
			return say(
				EXIT_USAGE,
				"mounting in another namespace is not supported: nsenter does it");
		default:
			return say(EXIT_USAGE,
				   "usage: mount.levels3fs URL DIR [-sfnvrw] [-o OPTIONS]");
		}
	}
	return code ? code : take_operands(c, argc, argv);
}

/* ---- the cache folder ---- */

int mount_cache_dir(char out[PATH_MAX])
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (geteuid() == 0)
		n = snprintf(out, PATH_MAX, "/var/cache/levels3fs");
	else if (xdg && *xdg == '/')
		n = snprintf(out, PATH_MAX, "%s/levels3fs", xdg);
	else if (home && *home == '/')
		n = snprintf(out, PATH_MAX, "%s/.cache/levels3fs", home);
	else
		n = snprintf(out, PATH_MAX, "none"); /* nowhere to put it */
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The folders above it; the last is the cache's own to make. */
static void make_parents(const char *path)
{
	char copy[PATH_MAX];

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(copy, 0755);
		*p = '/';
	}
}

static int settle_cache_dir(struct mount_options *o, const char *mountpoint)
{
	char dir[PATH_MAX];
	int err = 0;

	if (!o->config.cache_dir) {
		err = mount_cache_dir(dir);
		if (err >= 0)
			err = fs_config_set(&o->config, "cache_dir", dir);
	}
	if (err >= 0)
		err = mountpoint_check_cache(mountpoint, o->config.cache_dir);
	if (err >= 0)
		make_parents(o->config.cache_dir);
	return err;
}

/* ---- remount ---- */

/* True if the daemon itself was mounted read-only. */
static bool serves_read_only(const struct ctl_mount *m)
{
	struct ctl_reader r = { .fd = -1 };
	char line[CTL_LINE_MAX];
	bool read_only = false;

	if (ctl_connect(m, &r.fd, NULL) < 0)
		return false;
	if (ctl_write(r.fd, "status") >= 0)
		while (ctl_read(&r, line, 5000) > 0)
			read_only = read_only || strcmp(line, "b read_only true") == 0;
	(void)close(r.fd);
	return read_only;
}

/* The kernel's flags change; the filesystem's options are taken at the next mount. */
static int remount(const struct command *c)
{
	char dir[PATH_MAX];
	struct ctl_mount m;
	int err = ctl_resolve(c->dir, dir);

	if (err >= 0)
		err = ctl_mount_at(dir, &m);
	if (err < 0 || !ctl_mount_is_ours(&m))
		return say(EXIT_MOUNT, "remount: no levels3fs is mounted there");
	if (geteuid() != 0)
		return say(EXIT_USAGE, "remount: only root can change a mount");
	if (!(c->options.flags & MS_RDONLY) && serves_read_only(&m))
		return say(
			EXIT_MOUNT,
			"remount: it was mounted read-only, without the right to write; unmount it "
			"and mount it again");
	if (mount(NULL, dir, NULL, MS_REMOUNT | c->options.flags, NULL) < 0) {
		(void)fprintf(stderr, "levels3fs: remount of %s: %s\n", dir, err_text(-errno));
		return EXIT_MOUNT;
	}
	return 0;
}

/* ---- mounting ---- */

/* The child's answer; without one it died. */
static int wait_for_child(int fd, pid_t pid)
{
	unsigned char code;
	int status = 0;
	ssize_t n;

	do
		n = read(fd, &code, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return code;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		(void)fprintf(stderr,
			      "levels3fs: the process that should serve the mount was killed by "
			      "signal %d\n",
			      WTERMSIG(status));
	return EXIT_SYSTEM;
}

/* Whatever the caller's shell had open (locks, pipes) must not stay open as long as the mount. */
static int drop_inherited_files(int keep)
{
	const int ours = STDERR_FILENO + 1;

	if (keep != ours && dup3(keep, ours, O_CLOEXEC) < 0)
		return -errno;
	(void)close_range(ours + 1, UINT_MAX, 0);
	return ours;
}

/* Descriptors that the caller had closed would else be taken by files, and written to as if a
 * terminal. */
static void open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

static int run_in_background(struct daemon_request *r)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return say(EXIT_SYSTEM, err_text(-errno));
	if (pid == 0) {
		r->ready_fd = drop_inherited_files(fds[1]);
		daemon_run(r);
	}
	(void)close(fds[1]);
	return wait_for_child(fds[0], pid);
}

static int mount_it(struct command *c)
{
	char dir[PATH_MAX];
	struct daemon_request r = { .url = c->url,
				    .dir = dir,
				    .options = &c->options,
				    .words = words,
				    .foreground = c->foreground,
				    .debug = c->debug,
				    .ready_fd = -1 };
	int err = fs_config_check(&c->options.config);

	if (err < 0)
		return say_note(EXIT_USAGE, err);
	if (c->fake)
		return 0;
	if (c->foreground && supervisor_is_there() && mountpoint_check_fstab(c->dir) < 0)
		return say_note(EXIT_USAGE, -EBUSY);
	err = mountpoint_check(c->dir, c->options.nonempty, dir);
	if (err >= 0)
		err = mountpoint_check_fuse();
	if (err >= 0)
		err = mountpoint_check_store(dir, c->url);
	if (err >= 0)
		err = settle_cache_dir(&c->options, dir);
	if (err < 0)
		return say_note(EXIT_MOUNT, err);
	if (c->foreground)
		daemon_run(&r);
	return run_in_background(&r);
}

static int run(int argc, char **argv, int (*parse)(struct command *c, int argc, char **argv))
{
	struct command c = { 0 };
	int code;

	open_standard_files();
	mount_options_init(&c.options);
	code = parse(&c, argc, argv);
	if (code == 0 && c.help)
		words->show_help(mount_help);
	else if (code == 0 && c.options.remount)
		code = remount(&c);
	else if (code == 0)
		code = mount_it(&c);
	mount_options_release(&c.options);
	fs_place_release(&c.place);
	buf_release(&c.lists);
	return code;
}

int mount_main(int argc, char **argv)
{
	return run(argc, argv, parse_command);
}

int mount_helper_main(int argc, char **argv)
{
	return run(argc, argv, parse_helper);
}

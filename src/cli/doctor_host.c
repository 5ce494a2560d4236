/* SPDX-License-Identifier: BSD-3-Clause */
/* doctor, the machine: FUSE, the cache's folder, memory, limits, clock; and the rest of a report. */
#include "cli/doctor.h"

#include "cache/cache.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"

#define FILES_FEW 4096
#define FILE_TEXT_MAX ((size_t)64 << 10)

extern char **environ;

static const struct cli_host *host_parts;

void cli_use_host(const struct cli_host *host)
{
	host_parts = host;
}

/* ---- FUSE ---- */

static void check_fuse(struct doctor *d)
{
	struct buf conf CLEANUP(buf_release) = BUF_INIT;
	bool others = false;
	struct ini ini = { NULL, 0 };
	struct ini_line line;
	int err = host_parts ? host_parts->check_fuse() : 0;

	if (err < 0)
		doctor_say(d, STORE_WRONG, "FUSE", NULL, "%s", err_last_note());
	else
		doctor_say(d, STORE_FINE, "FUSE", NULL, "/dev/fuse can be used");
	if (geteuid() == 0)
		return;
	if (file_read_all("/etc/fuse.conf", FILE_TEXT_MAX, &conf) >= 0)
		ini.next = buf_cstr(&conf);
	while (ini.next && ini_next(&ini, &line))
		others |= line.kind == INI_SETTING && !line.value &&
			  line.name_len == strlen("user_allow_other") &&
			  memcmp(line.name, "user_allow_other", line.name_len) == 0;
	doctor_say(d, STORE_FINE, "others", NULL, "%s",
		   others ? "user_allow_other is set: -o allow_other may be used"
			  : "only root may mount for others (user_allow_other in /etc/fuse.conf "
			    "would allow it)");
}

/* ---- the cache's folder ---- */

/* NULL: nothing to be said against it. */
static const char *against_type(const char *dir)
{
	struct statfs s;

	if (statfs(dir, &s) < 0)
		return NULL;
	switch ((unsigned long)s.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		return "it is in memory, which mem_limit does not count";
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
		return "it is not on a disk of this machine: hardly faster than the store";
	default:
		return NULL;
	}
}

/* The folder of the mount that was asked; "": there is none. */
static const char *cache_in_use(const struct doctor *d)
{
	return d->mount_asked && d->mount_err >= 0 ? cli_answer_text(&d->mount, "cache.dir") : "";
}

static void check_cache_there(struct doctor *d, const char *dir)
{
	const char *against = against_type(dir);
	char free_text[SIZE_STR_LEN], all_text[SIZE_STR_LEN];
	struct statvfs v;
	/* A mount that is at work has found it good, and may be another user's. */
	int err = *cache_in_use(d) ? 0 : cache_check_dir(dir);

	if (err < 0) {
		doctor_say_error(d, err, "cache", "another folder: -o cache_dir=DIR");
		return;
	}
	if (against) {
		doctor_say(d, STORE_ODD, "cache", "-o cache_dir=DIR names a folder on a disk",
			   "%s: %s", dir, against);
		return;
	}
	if (statvfs(dir, &v) < 0)
		return;
	(void)format_size((uint64_t)v.f_bavail * v.f_frsize, free_text);
	(void)format_size((uint64_t)v.f_blocks * v.f_frsize, all_text);
	doctor_say(d, (uint64_t)v.f_bavail * 20 < v.f_blocks ? STORE_ODD : STORE_FINE, "cache",
		   "with so little room it holds next to nothing: free some, or -o cache_dir=DIR",
		   "%s, %s of %s free on its disk", dir, free_text, all_text);
}

static void check_cache(struct doctor *d)
{
	const char *dir = *cache_in_use(d) ? cache_in_use(d) : d->url.config.cache_dir;
	char fallback[PATH_MAX];

	if (!dir && host_parts && host_parts->cache_dir(fallback) >= 0)
		dir = fallback;
	if (!dir || strcmp(dir, "none") == 0)
		doctor_say(d, STORE_FINE, "cache", NULL, "in memory only");
	else if (access(dir, F_OK) < 0)
		doctor_say(d, STORE_FINE, "cache", NULL, "%s, which the first mount makes", dir);
	else
		check_cache_there(d, dir);
}

/* ---- memory, limits, clock ---- */

/* The smallest of the machine's and the control groups' above us. */
static uint64_t memory_bytes(void)
{
	static const char *const limits[] = { "/sys/fs/cgroup/memory.max",
					      "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
	struct sysinfo info;
	uint64_t bytes = UINT64_MAX;

	if (sysinfo(&info) == 0)
		bytes = (uint64_t)info.totalram * info.mem_unit;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct buf text CLEANUP(buf_release) = BUF_INIT;
		char *end;
		uint64_t limit;

		if (file_read_all(limits[i], 64, &text) < 0)
			continue;
		limit = strtoull(buf_cstr(&text), &end, 10);
		if (end != buf_cstr(&text) && limit > 0)
			bytes = min_u64(bytes, limit);
	}
	return bytes;
}

static void check_memory(struct doctor *d)
{
	uint64_t all = memory_bytes(), ours = d->url.config.mem_limit_bytes;
	char all_text[SIZE_STR_LEN], ours_text[SIZE_STR_LEN];
	enum store_verdict verdict = ours >= all      ? STORE_WRONG
				     : ours > all / 2 ? STORE_ODD
						      : STORE_FINE;

	doctor_say(d, verdict, "memory", "-o mem_limit=SIZE, a fourth of it at most",
		   "mem_limit is %s of %s", format_size(ours, ours_text),
		   format_size(all, all_text));
}

static void check_limits(struct doctor *d)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	doctor_say(d, files.rlim_max < FILES_FEW ? STORE_ODD : STORE_FINE, "descriptors",
		   "ulimit -Hn, LimitNOFILE= of systemd, or /etc/security/limits.conf",
		   "up to %llu may be open", (unsigned long long)files.rlim_max);
}

static void check_clock(struct doctor *d)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);

	if (state < 0)
		return; /* in some containers nobody may ask */
	doctor_say(d, state == TIME_ERROR ? STORE_ODD : STORE_FINE, "time",
		   "timedatectl set-ntp true, or the same on the host of a container; a wrong time "
		   "is what stores refuse",
		   state == TIME_ERROR ? "nothing says that this machine's clock is set by others"
				       : "the clock is kept right");
}

void doctor_check_host(struct doctor *d)
{
	struct utsname u;

	doctor_about(d, "this machine");
	if (uname(&u) == 0)
		doctor_say(d, STORE_FINE, "version", NULL, "levels3fs %s on Linux %s",
			   PACKAGE_VERSION, u.release);
	check_fuse(d);
	check_cache(d);
	check_memory(d);
	check_limits(d);
	check_clock(d);
}

/* ---- the rest of a report ---- */

static int write_setting(void *ctx, const char *name, const char *value)
{
	FILE *out = ctx;

	(void)fprintf(out, "  %s%s%s\n", name, value ? " = " : "", value ? value : "");
	return 0;
}

static void write_settings(struct doctor *d, const char *word)
{
	const char *list = (const char *)d->url.lists.data, *end = list + d->url.lists.len;
	struct fs_place place;

	(void)fprintf(d->report, "\nsettings of levels3fs.conf\n");
	if (fs_place_find(word, write_setting, d->report, &place) >= 0)
		fs_place_release(&place);
	for (; list < end; list += strlen(list) + 1)
		(void)fprintf(d->report, "given with -o\n  %s\n", list);
}

static bool concerns_us(const char *variable)
{
	static const char *const names[] = { "AWS_",	     "LEVELS3",	     "http_proxy=",
					     "https_proxy=", "HTTPS_PROXY=", "no_proxy=",
					     "NO_PROXY=",    "all_proxy=",   "ALL_PROXY=" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Names only: some of the values are keys. */
static void write_environment(FILE *out)
{
	(void)fprintf(out, "\nvariables that are set (without their values)\n");
	for (char **v = environ; *v; v++)
		if (concerns_us(*v))
			(void)fprintf(out, "  %.*s\n", (int)strcspn(*v, "="), *v);
}

static bool write_mount(void *ctx, const struct ctl_mount *m)
{
	FILE *out = ctx;

	if (ctl_mount_is_ours(m))
		(void)fprintf(out, "  %s on %s\n", m->source, m->dir);
	return true;
}

static void write_status(FILE *out, const char *word)
{
	struct cli_answer a;

	if (cli_answer_ask(word, "status", &a) < 0)
		return;
	(void)fprintf(out, "\nstatus\n");
	for (size_t i = 0; i < a.count; i++)
		(void)fprintf(out, "  %s %s\n", a.items[i].key, a.items[i].value);
	cli_answer_release(&a);
}

/* Without a shell, and without the keys that our environment may have. -1: there is none. */
static pid_t start_journalctl(int output)
{
	static const char *const argv[] = { "journalctl", "-q", "--no-pager", "-n",
					    "100",	  "-t", "levels3fs",  NULL };
	char *const none[] = { NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int err;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	err = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (err == 0)
		err = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
						       O_WRONLY, 0);
	if (err == 0)
		err = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, none);
	(void)posix_spawn_file_actions_destroy(&actions);
	return err == 0 ? pid : -1;
}

static void copy_lines(FILE *out, int from)
{
	FILE *log = fdopen(from, "r");
	char line[1024];

	while (log && fgets(line, sizeof(line), log))
		(void)fprintf(out, "  %s", line);
	if (log)
		(void)fclose(log);
	else
		(void)close(from);
}

static void write_log(FILE *out)
{
	int ends[2];
	pid_t pid;

	(void)fprintf(out, "\nlast lines of the journal\n");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	pid = start_journalctl(ends[1]);
	(void)close(ends[1]);
	copy_lines(out, ends[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

void doctor_write_rest(struct doctor *d, const char *word)
{
	struct utsname u;

	(void)fprintf(d->report, "\nversions\n  levels3fs %s\n  LevelDB %d.%d\n  %s\n",
		      PACKAGE_VERSION, leveldb_major_version(), leveldb_minor_version(),
		      curl_version());
	if (uname(&u) == 0)
		(void)fprintf(d->report, "  %s %s %s %s\n", u.sysname, u.release, u.version,
			      u.machine);
	write_settings(d, word);
	write_environment(d->report);
	(void)fprintf(d->report, "\nmounts\n");
	(void)ctl_mount_each(write_mount, d->report);
	write_status(d->report, word);
	write_log(d->report);
}

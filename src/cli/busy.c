/* SPDX-License-Identifier: BSD-3-Clause */
/* Who keeps a mount busy, as /proc shows it; names only, nothing in the mount is touched. */
#include "cli/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USERS_SHOWN 8

static bool link_within(const char *link, const char *dir)
{
	char target[PATH_MAX];
	size_t len = strlen(dir);
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strncmp(target, dir, len) == 0 && (target[len] == '/' || target[len] == '\0');
}

/* What of dir the process holds; NULL: nothing that we can see. */
static const char *use_of(const char *pid, const char *dir)
{
	static const struct {
		const char *link, *words;
	} single[] = { { "cwd", "works in it" },
		       { "root", "has its root in it" },
		       { "exe", "is a program in it" } };
	char path[PATH_MAX];
	struct dirent *e;
	bool open_file = false;
	DIR *d;

	for (size_t i = 0; i < ARRAY_LEN(single); i++) {
		(void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, single[i].link);
		if (link_within(path, dir))
			return single[i].words;
	}
	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && !open_file && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		open_file = link_within(path, dir);
	}
	if (d)
		(void)closedir(d);
	return open_file ? "has files open in it" : NULL;
}

static void say_user(const char *pid, const char *words)
{
	struct buf name CLEANUP(buf_release) = BUF_INIT;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	(void)file_read_all(path, 4096, &name);
	(void)buf_cstr(&name);
	(void)fprintf(stderr, "  process %s (%.*s) %s\n", pid, (int)strcspn(buf_cstr(&name), "\n"),
		      buf_cstr(&name), words);
}

void cli_say_users(const char *dir)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	unsigned shown = 0;

	while (d && shown < USERS_SHOWN && (e = readdir(d))) {
		const char *words;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		words = use_of(e->d_name, dir);
		if (!words)
			continue;
		say_user(e->d_name, words);
		shown++;
	}
	if (d)
		(void)closedir(d);
}

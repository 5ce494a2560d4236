/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's mount table, read from /proc without touching any filesystem in it. */
#include "util/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define MOUNTINFO "/proc/self/mountinfo"

int ctl_resolve(const char *path, char out[PATH_MAX])
{
	char copy[PATH_MAX], parent[PATH_MAX];
	size_t len = strlen(path);
	char *slash;
	const char *last;

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(copy))
		return -ENAMETOOLONG;
	memcpy(copy, path, len);
	copy[len] = '\0';
	slash = strrchr(copy, '/');
	last = slash ? slash + 1 : copy;
	if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return realpath(copy, out) ? 0 : -errno;
	if (!realpath(slash == copy ? "/" : slash ? (*slash = '\0', copy) : ".", parent))
		return -errno;
	if (snprintf(out, PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last) >=
	    PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/* The kernel writes space, tab, newline and backslash as \ooo. False if it does not fit. */
static bool unescape(const char *from, char *to, size_t size)
{
	size_t n = 0;

	for (; *from && n + 1 < size; n++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			to[n] = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 +
				       (from[3] - '0'));
			from += 4;
		} else {
			to[n] = *from++;
		}
	}
	to[n] = '\0';
	return *from == '\0';
}

static uid_t owner_of(const char *super_options)
{
	const char *p = strstr(super_options, "user_id=");

	return p ? (uid_t)strtoul(p + strlen("user_id="), NULL, 10) : 0;
}

/* "36 35 98:0 /root /dir options [fields]… - type source super-options"; the line is torn apart. */
static bool parse_line(char *line, struct ctl_mount *ret)
{
	char *field[5], *rest = line, *tail;

	for (size_t i = 0; i < ARRAY_LEN(field); i++)
		if (!(field[i] = strsep(&rest, " ")))
			return false;
	if (!rest || !(tail = strstr(rest, " - ")))
		return false;
	tail += 3;
	if (sscanf(field[2], "%u:%u", &ret->major, &ret->minor) != 2)
		return false;
	if (!unescape(field[4], ret->dir, sizeof(ret->dir)))
		return false;
	(void)unescape(strsep(&tail, " "), ret->type, sizeof(ret->type));
	if (!tail)
		return false;
	(void)unescape(strsep(&tail, " "), ret->source, sizeof(ret->source));
	ret->owner = tail ? owner_of(tail) : 0;
	return true;
}

static bool is_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Later lines lie on top of earlier ones. */
static int search(const char *path, bool exact, struct ctl_mount *ret)
{
	struct ctl_mount *m CLEANUP(free_ptr) = malloc(sizeof(*m));
	FILE *f = fopen(MOUNTINFO, "re");
	char *line CLEANUP(free_ptr) = NULL;
	size_t cap = 0, best = 0;
	int err = -ENOENT;

	if (!m || !f) {
		err = m ? -errno : -ENOMEM;
		if (f)
			(void)fclose(f);
		return err;
	}
	while (getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!parse_line(line, m))
			continue;
		if (exact ? strcmp(m->dir, path) != 0
			  : !is_within(path, m->dir) || strlen(m->dir) < best)
			continue;
		*ret = *m;
		best = strlen(m->dir);
		err = 0;
	}
	(void)fclose(f);
	return err;
}

int ctl_mount_at(const char *dir, struct ctl_mount *ret)
{
	return search(dir, true, ret);
}

int ctl_mount_of(const char *path, struct ctl_mount *ret)
{
	return search(path, false, ret);
}

bool ctl_mount_is_ours(const struct ctl_mount *m)
{
	return strcmp(m->type, CTL_FSTYPE) == 0;
}

/* Not stat: the kernel may still know the root folder's attributes. */
bool ctl_mount_is_dead(const struct ctl_mount *m)
{
	struct statvfs v;

	return statvfs(m->dir, &v) < 0 && errno == ENOTCONN;
}

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

/* ---- looking for one ---- */

static bool is_at(const struct ctl_mount *m, const char *dir)
{
	return strcmp(m->dir, dir) == 0;
}

static bool is_above(const struct ctl_mount *m, const char *path)
{
	return is_within(path, m->dir);
}

static size_t url_len(const char *url)
{
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	return len;
}

static bool is_from(const struct ctl_mount *m, const char *url)
{
	size_t len = url_len(url);

	return ctl_mount_is_ours(m) && url_len(m->source) == len &&
	       memcmp(m->source, url, len) == 0;
}

int ctl_mount_each(bool (*each)(void *ctx, const struct ctl_mount *m), void *ctx)
{
	struct ctl_mount *m CLEANUP(free_ptr) = malloc(sizeof(*m));
	FILE *f = fopen(MOUNTINFO, "re");
	char *line CLEANUP(free_ptr) = NULL;
	bool goes_on = true;
	size_t cap = 0;
	int err = 0;

	if (!m || !f) {
		err = m ? -errno : -ENOMEM;
		if (f)
			(void)fclose(f);
		return err;
	}
	while (goes_on && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (parse_line(line, m))
			goes_on = each(ctx, m);
	}
	(void)fclose(f);
	return 0;
}

struct search {
	bool (*fits)(const struct ctl_mount *m, const char *what);
	const char *what;
	bool deepest, found;
	struct ctl_mount *ret;
};

/* The one whose folder is deepest; of these the last, which lies on top. */
static bool take_fitting(void *ctx, const struct ctl_mount *m)
{
	struct search *s = ctx;

	if (!s->fits(m, s->what) ||
	    (s->deepest && s->found && strlen(m->dir) < strlen(s->ret->dir)))
		return true;
	*s->ret = *m;
	s->found = true;
	return true;
}

static int search(bool (*fits)(const struct ctl_mount *m, const char *what), const char *what,
		  bool deepest, struct ctl_mount *ret)
{
	struct search s = { fits, what, deepest, false, ret };
	int err = ctl_mount_each(take_fitting, &s);

	return err < 0 ? err : s.found ? 0 : -ENOENT;
}

int ctl_mount_at(const char *dir, struct ctl_mount *ret)
{
	return search(is_at, dir, false, ret);
}

int ctl_mount_of(const char *path, struct ctl_mount *ret)
{
	return search(is_above, path, true, ret);
}

int ctl_mount_from(const char *url, struct ctl_mount *ret)
{
	return search(is_from, url, false, ret);
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

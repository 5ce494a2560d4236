/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking the daemon of a mount. Its answer is lines "n KEY NUMBER", "s KEY TEXT", "b KEY true|false". */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ANSWER_MS 20000

/* ---- finding it ---- */

/* -ENOTSUP: nothing of ours is mounted there. */
static int connect_to(const char *word, int *ret_fd)
{
	char path[PATH_MAX], dir[PATH_MAX] = "", target[PATH_MAX];
	struct ctl_mount m;
	int err = cli_place_dir(word, path);

	if (err == -ENOENT)
		return -ENOTSUP;
	if (err >= 0)
		err = ctl_resolve(path, dir);
	else
		return err;
	if (err >= 0)
		err = ctl_mount_at(dir, &m);
	if (err < 0 && realpath(path, target))
		err = ctl_mount_of(target, &m);
	if (err >= 0 && ctl_mount_is_ours(&m))
		return ctl_connect(&m, ret_fd, NULL);
	return ctl_connect_by_dir(dir, ret_fd, NULL) < 0 ? -ENOTSUP : 0;
}

int cli_ask_failed(const char *path, int err)
{
	if (err == -ENOTSUP)
		return cli_place_missing(EXIT_FAILED, path);
	if (err == -L3_BAD_OPTION || err == -L3_DENIED) /* a file of names cannot be used */
		return cli_say(EXIT_FAILED, "%s", err_last_note());
	if (err == -EACCES)
		return cli_say(EXIT_FAILED,
			       "%s was mounted by somebody else; only they and root may ask", path);
	return cli_say(EXIT_FAILED,
		       "the process that serves %s does not answer: it has died, or runs in "
		       "another network namespace",
		       path);
}

int cli_ask_begin(const char *path, const char *question, int *ret_fd)
{
	int fd CLEANUP(close_fd) = -1;
	int err = connect_to(path, &fd);

	if (err >= 0)
		err = ctl_write(fd, "%s", question);
	if (err < 0)
		return err;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static bool is_in(const char *path, struct ctl_mount *ret)
{
	return ctl_mount_of(path, ret) >= 0 && ctl_mount_is_ours(ret);
}

int cli_ask_inode(const char *word, const char *question, int *ret_fd)
{
	char path[PATH_MAX], dir[PATH_MAX], target[PATH_MAX];
	int fd CLEANUP(close_fd) = -1;
	struct ctl_mount m;
	struct stat st;
	int err = cli_place_dir(word, path);

	if (err == -ENOENT)
		return -ENOTSUP;
	if (err >= 0)
		err = ctl_resolve(path, dir);

	if (err < 0)
		return err;
	if (!is_in(dir, &m)) { /* a link from elsewhere into a mount? */
		if (!realpath(path, target))
			return -errno;
		memcpy(dir, target, sizeof(dir));
		if (!is_in(dir, &m))
			return -ENODEV;
	}
	if (lstat(dir, &st) < 0)
		return -errno;
	if (st.st_dev != makedev(m.major, m.minor))
		return -ENODEV;
	err = ctl_connect(&m, &fd, NULL);
	if (err >= 0)
		err = ctl_write(fd, "%s %llu", question, (unsigned long long)st.st_ino);
	if (err < 0)
		return err == -ENOENT ? -ESRCH : err;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ---- answers ---- */

void cli_answer_release(struct cli_answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->items[i].line);
	a->count = 0;
}

int cli_answer_add(struct cli_answer *a, const char *line)
{
	struct cli_item item = { .kind = line[0], .line = strdup(line) };

	if (!item.line)
		return -ENOMEM;
	item.key = strlen(item.line) > 2 ? item.line + 2 : NULL;
	item.value = item.key ? strchr(item.key, ' ') : NULL;
	if (!item.value || a->count == CLI_ITEMS_MAX) {
		free(item.line);
		return 0; /* of a later version */
	}
	*item.value++ = '\0';
	a->items[a->count++] = item;
	return 0;
}

int cli_answer_take(struct cli_answer *a, const char *lines)
{
	char line[CTL_LINE_MAX];
	int err = 0;

	for (; err >= 0 && *lines; lines += strcspn(lines, "\n"), lines += *lines == '\n') {
		(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(lines, "\n"), lines);
		err = cli_answer_add(a, line);
	}
	return err;
}

int cli_answer_ask(const char *path, const char *question, struct cli_answer *ret)
{
	struct ctl_reader r = { .fd = -1 };
	char line[CTL_LINE_MAX];
	int err = cli_ask_begin(path, question, &r.fd);

	*ret = (struct cli_answer){ .count = 0 };
	while (err >= 0 && (err = ctl_read(&r, line, ANSWER_MS)) > 0)
		err = cli_answer_add(ret, line);
	close_fd(&r.fd);
	if (err >= 0 && ret->count == 0)
		err = -ENOENT;
	if (err < 0)
		cli_answer_release(ret);
	return err;
}

const char *cli_answer_text(const struct cli_answer *a, const char *key)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i].key, key) == 0)
			return a->items[i].value;
	return "";
}

uint64_t cli_answer_number(const struct cli_answer *a, const char *key)
{
	return strtoull(cli_answer_text(a, key), NULL, 10);
}

uint64_t cli_answer_sum(const struct cli_answer *a, const char *group)
{
	size_t len = strlen(group);
	uint64_t sum = 0;

	for (size_t i = 0; i < a->count; i++)
		if (strncmp(a->items[i].key, group, len) == 0 &&
		    strncmp(a->items[i].key + len, "bytes_", 6) != 0)
			sum += strtoull(a->items[i].value, NULL, 10);
	return sum;
}

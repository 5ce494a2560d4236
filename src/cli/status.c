/* SPDX-License-Identifier: BSD-3-Clause */
/* status: what the daemon of a mount says of itself, as text or JSON. */
#include "cli/internal.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ITEMS_MAX 128
#define ANSWER_MS 20000

struct item { /* one line of the answer: "n KEY VALUE", "s …", "b …" */
	char kind;
	char *key, *value; /* in `line` */
	char *line;
};

struct answer {
	struct item items[ITEMS_MAX];
	size_t count;
};

void cli_status_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs status DIR [--json]\n\n"
		"Says what the mount on DIR is doing: what is not stored yet, how many requests of "
		"which kind it\n"
		"has sent, and the last trouble. --json writes all of it as one JSON object.\n\n"
		"Exit status: 0; 1 nothing is mounted there, or its process does not answer.\n",
		out);
}

/* ---- asking ---- */

static void release(struct answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->items[i].line);
	a->count = 0;
}

static int add_line(struct answer *a, const char *line)
{
	struct item item = { .kind = line[0], .line = strdup(line) };

	if (!item.line)
		return -ENOMEM;
	item.key = strlen(item.line) > 2 ? item.line + 2 : NULL;
	item.value = item.key ? strchr(item.key, ' ') : NULL;
	if (!item.value || a->count == ITEMS_MAX) {
		free(item.line);
		return 0; /* of a later version */
	}
	*item.value++ = '\0';
	a->items[a->count++] = item;
	return 0;
}

static int ask(int fd, struct answer *ret)
{
	struct ctl_reader r = { .fd = fd };
	char line[CTL_LINE_MAX];
	int err = ctl_write(fd, "status");

	while (err >= 0 && (err = ctl_read(&r, line, ANSWER_MS)) > 0)
		err = add_line(ret, line);
	return err;
}

static const char *value_of(const struct answer *a, const char *key)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i].key, key) == 0)
			return a->items[i].value;
	return "";
}

static uint64_t number_of(const struct answer *a, const char *key)
{
	return strtoull(value_of(a, key), NULL, 10);
}

/* ---- as JSON ---- */

static size_t group_len(const char *key)
{
	const char *dot = strchr(key, '.');

	return dot ? (size_t)(dot - key) : 0;
}

static bool same_group(const struct item *a, const struct item *b)
{
	size_t len = group_len(a->key);

	return len == group_len(b->key) && strncmp(a->key, b->key, len) == 0;
}

/* "a.b" is b within object a; members of one object follow each other. */
static void print_json(const struct answer *a)
{
	bool in_group = false;

	(void)putchar('{');
	for (size_t i = 0; i < a->count; i++) {
		const struct item *item = &a->items[i], *before = i ? item - 1 : NULL;
		size_t group = group_len(item->key);
		bool continues = before && group && same_group(before, item);

		if (in_group && !continues)
			(void)printf("\n  }");
		(void)printf("%s\n%s", before ? "," : "", continues ? "    " : "  ");
		if (group && !continues)
			(void)printf("\"%.*s\": {\n    ", (int)group, item->key);
		in_group = group != 0;
		cli_json_string(stdout, item->key + (group ? group + 1 : 0));
		(void)printf(": ");
		if (item->kind == 's')
			cli_json_string(stdout, item->value);
		else
			(void)printf("%s", item->value);
	}
	(void)printf("%s\n}\n", in_group ? "\n  }" : "");
}

/* ---- as text ---- */

static void print_group(const struct answer *a, const char *label, const char *group)
{
	size_t len = strlen(group);
	bool any = false;

	for (size_t i = 0; i < a->count; i++) {
		const struct item *item = &a->items[i];

		if (strncmp(item->key, group, len) != 0 || strcmp(item->value, "0") == 0 ||
		    strncmp(item->key + len, "bytes_", 6) == 0)
			continue;
		if (any)
			(void)printf(", %s %s", item->key + len, item->value);
		else
			(void)printf("  %-14s %s %s", label, item->key + len, item->value);
		any = true;
	}
	if (any)
		(void)putchar('\n');
}

static void print_head(const struct answer *a)
{
	time_t since = (time_t)number_of(a, "since");
	char when[64] = "";
	struct tm tm;

	if (localtime_r(&since, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	(void)printf("%s on %s\n", value_of(a, "url"), value_of(a, "mountpoint"));
	(void)printf("  %-14s %s since %s, process %s\n", "state", value_of(a, "state"), when,
		     value_of(a, "pid"));
	if (strcmp(value_of(a, "read_only"), "true") == 0)
		(void)printf("  %-14s %s\n", "", "read-only");
	if (strcmp(value_of(a, "fenced"), "true") == 0)
		(void)printf("  %-14s %s\n", "",
			     "FENCED: another mount has taken over; writes fail");
}

static void print_text(const struct answer *a)
{
	char size[SIZE_STR_LEN], out[SIZE_STR_LEN];

	print_head(a);
	(void)printf("  %-14s %s\n", "not stored yet",
		     format_size(number_of(a, "dirty_bytes"), size));
	if (strcmp(value_of(a, "state"), "mounted") != 0)
		return;
	(void)printf("  %-14s %s\n", "filesystem", value_of(a, "uuid"));
	(void)printf("  %-14s %s, slot %s\n", "epoch", value_of(a, "epoch"), value_of(a, "slot"));
	(void)printf("  %-14s %s\n", "inodes cached", value_of(a, "inodes_cached"));
	print_group(a, "requests", "requests.");
	print_group(a, "of them failed", "failed.");
	(void)printf("  %-14s %s in, %s out\n", "bytes",
		     format_size(number_of(a, "requests.bytes_in"), size),
		     format_size(number_of(a, "requests.bytes_out"), out));
	if (*value_of(a, "last_error"))
		(void)printf("  %-14s %s\n", "last trouble", value_of(a, "last_error"));
}

/* ---- the verb ---- */

static int connect_to(const char *path, int *ret_fd)
{
	char dir[PATH_MAX], target[PATH_MAX];
	struct ctl_mount m;
	int err = ctl_resolve(path, dir);

	if (err >= 0)
		err = ctl_mount_at(dir, &m);
	if (err < 0 && realpath(path, target))
		err = ctl_mount_of(target, &m);
	if (err >= 0 && ctl_mount_is_ours(&m))
		return ctl_connect(&m, ret_fd, NULL);
	return ctl_connect_by_dir(dir, ret_fd, NULL) < 0 ? -ENOTSUP : 0;
}

static int show(const char *path, bool json)
{
	struct answer a = { .count = 0 };
	int fd CLEANUP(close_fd) = -1;
	int err = connect_to(path, &fd);

	if (err == -ENOTSUP)
		return cli_say(EXIT_FAILED, "no levels3fs is mounted on %s", path);
	if (err == -EACCES)
		return cli_say(EXIT_FAILED,
			       "%s was mounted by somebody else; only they and root may ask", path);
	if (err >= 0)
		err = ask(fd, &a);
	if (err < 0 || a.count == 0) {
		release(&a);
		return cli_say(
			EXIT_FAILED,
			"the process that serves %s does not answer: it has died, or runs in "
			"another network namespace",
			path);
	}
	if (json)
		print_json(&a);
	else
		print_text(&a);
	release(&a);
	return 0;
}

int cli_status(int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	bool json = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (opt == 'h') {
			cli_status_help(stdout);
			return 0;
		}
		if (opt != 'j')
			return cli_say(EXIT_FAILED, "levels3fs status --help says what it takes");
		json = true;
	}
	if (argc - optind != 1)
		return cli_say(EXIT_FAILED, "status needs one folder: levels3fs status DIR");
	return show(argv[optind], json);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* status: what the daemon of a mount says of itself, as text or JSON. */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_status_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs status [DIR] [--json] [--prices PUT,GET[,GIB]]\n\n"
		"Says what the mount on DIR, or each on this machine, is doing: what is not stored "
		"yet and how old that is, "
		"how often the cache\n"
		"had what was read, what programs have asked for, how many requests of which kind "
		"it has sent, about\n"
		"what they cost, and the last trouble.\n\n"
		"  --json                 all of it as one JSON object; without DIR, an array of "
		"them\n"
		"  --prices PUT,GET[,GIB] of a thousand requests that write or list, of a thousand "
		"that read, and of a\n"
		"                         GiB received [" CLI_PRICES_DEFAULT
		"]: those of S3 Standard in us-east-1, in\n"
		"                         dollars, read from the same region; deleting costs "
		"nothing\n\n"
		"Exit status: 0; 1 nothing is mounted there, its process does not answer, or wrong "
		"usage.\n",
		out);
}

/* ---- estimates ---- */

static int add_hit_rate(struct cli_answer *a)
{
	uint64_t hits =
		cli_answer_number(a, "cache.hits_memory") + cli_answer_number(a, "cache.hits_disk");
	uint64_t all = hits + cli_answer_number(a, "cache.misses");
	char line[64];

	if (!*cli_answer_text(a, "cache.misses"))
		return 0;
	if (all == 0)
		return cli_answer_add(a, "n estimates.cache_hit_rate null");
	(void)snprintf(line, sizeof(line), "n estimates.cache_hit_rate %.4f",
		       (double)hits / (double)all);
	return cli_answer_add(a, line);
}

/* Of a store that is paid for. */
static int add_price(struct cli_answer *a, const struct cli_prices *p)
{
	char line[64];

	if (strncmp(cli_answer_text(a, "url"), "s3://", 5) != 0 ||
	    !*cli_answer_text(a, "requests.get"))
		return 0;
	(void)snprintf(line, sizeof(line), "n estimates.price %.4f", cli_prices_sum(p, a));
	return cli_answer_add(a, line);
}

/* ---- as JSON ---- */

static size_t group_len(const char *key)
{
	const char *dot = strchr(key, '.');

	return dot ? (size_t)(dot - key) : 0;
}

static bool same_group(const struct cli_item *a, const struct cli_item *b)
{
	size_t len = group_len(a->key);

	return len == group_len(b->key) && strncmp(a->key, b->key, len) == 0;
}

/* "a.b" is b within object a; members of one object follow each other. */
static void print_json(FILE *out, const struct cli_answer *a)
{
	bool in_group = false;

	(void)fputc('{', out);
	for (size_t i = 0; i < a->count; i++) {
		const struct cli_item *item = &a->items[i], *before = i ? item - 1 : NULL;
		size_t group = group_len(item->key);
		bool continues = before && group && same_group(before, item);

		if (in_group && !continues)
			(void)fprintf(out, "\n  }");
		(void)fprintf(out, "%s\n%s", before ? "," : "", continues ? "    " : "  ");
		if (group && !continues)
			(void)fprintf(out, "\"%.*s\": {\n    ", (int)group, item->key);
		in_group = group != 0;
		cli_json_string(out, item->key + (group ? group + 1 : 0));
		(void)fprintf(out, ": ");
		if (item->kind == 's')
			cli_json_string(out, item->value);
		else
			(void)fprintf(out, "%s", item->value);
	}
	(void)fprintf(out, "%s\n}\n", in_group ? "\n  }" : "");
}

/* ---- as text ---- */

static void print_group(FILE *out, const struct cli_answer *a, const char *label, const char *group)
{
	size_t len = strlen(group);
	bool any = false;

	for (size_t i = 0; i < a->count; i++) {
		const struct cli_item *item = &a->items[i];

		if (strncmp(item->key, group, len) != 0 || strcmp(item->value, "0") == 0 ||
		    strncmp(item->key + len, "bytes_", 6) == 0)
			continue;
		if (any)
			(void)fprintf(out, ", %s %s", item->key + len, item->value);
		else
			(void)fprintf(out, "  %-14s %s %s", label, item->key + len, item->value);
		any = true;
	}
	if (any)
		(void)fputc('\n', out);
}

static void print_head(FILE *out, const struct cli_answer *a)
{
	time_t since = (time_t)cli_answer_number(a, "since");
	char when[64] = "";
	struct tm tm;

	if (localtime_r(&since, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	(void)fprintf(out, "%s on %s\n", cli_answer_text(a, "url"),
		      cli_answer_text(a, "mountpoint"));
	(void)fprintf(out, "  %-14s %s since %s, process %s\n", "state",
		      cli_answer_text(a, "state"), when, cli_answer_text(a, "pid"));
	if (*cli_answer_text(a, "metrics"))
		(void)fprintf(out, "  %-14s http://%s/metrics\n", "metrics",
			      cli_answer_text(a, "metrics"));
	if (strcmp(cli_answer_text(a, "read_only"), "true") == 0)
		(void)fprintf(out, "  %-14s %s\n", "", "read-only");
	if (strcmp(cli_answer_text(a, "fenced"), "true") == 0)
		(void)fprintf(out, "  %-14s %s\n", "",
			      "FENCED: another mount has taken over; writes fail");
}

static void print_unsaved(FILE *out, const struct cli_answer *a)
{
	uint64_t bytes = cli_answer_number(a, "dirty_bytes");
	uint64_t lag_ms = cli_answer_number(a, "lag_ms");
	char size[SIZE_STR_LEN];

	(void)fprintf(out, "  %-14s %s", "not stored yet", format_size(bytes, size));
	if (lag_ms > 0)
		(void)fprintf(out, ", the oldest change is %.1f s old", (double)lag_ms / 1000);
	(void)fputc('\n', out);
}

static void print_commits(FILE *out, const struct cli_answer *a)
{
	uint64_t count = cli_answer_number(a, "commits.count");

	(void)fprintf(out, "  %-14s %llu", "commits", (unsigned long long)count);
	if (count > 0)
		(void)fprintf(out, ", %.1f ms each",
			      (double)cli_answer_number(a, "commits.took_us") / 1000 /
				      (double)count);
	(void)fputc('\n', out);
}

static void print_cache(FILE *out, const struct cli_answer *a)
{
	const char *rate = cli_answer_text(a, "estimates.cache_hit_rate");
	char mem[SIZE_STR_LEN], disk[SIZE_STR_LEN], limit[SIZE_STR_LEN];

	(void)fprintf(out, "  %-14s ", "cache");
	if (*rate && strcmp(rate, "null") != 0)
		(void)fprintf(out, "%.1f %% hits (memory %s, disk %s, missed %s), ",
			      100 * strtod(rate, NULL), cli_answer_text(a, "cache.hits_memory"),
			      cli_answer_text(a, "cache.hits_disk"),
			      cli_answer_text(a, "cache.misses"));
	(void)fprintf(out, "%s in memory, %s on disk of %s at most\n",
		      format_size(cli_answer_number(a, "cache.bytes_memory"), mem),
		      format_size(cli_answer_number(a, "cache.bytes_disk"), disk),
		      format_size(cli_answer_number(a, "cache.limit_disk"), limit));
}

static void print_price(FILE *out, const struct cli_answer *a)
{
	if (*cli_answer_text(a, "estimates.price"))
		(void)fprintf(out,
			      "  %-14s about %s since mounting, for requests and bytes received "
			      "(--prices)\n",
			      "price", cli_answer_text(a, "estimates.price"));
}

static void print_text(FILE *out, const struct cli_answer *a)
{
	char in[SIZE_STR_LEN], sent[SIZE_STR_LEN];

	print_head(out, a);
	print_unsaved(out, a);
	if (strcmp(cli_answer_text(a, "state"), "mounted") != 0)
		return;
	(void)fprintf(out, "  %-14s %s\n", "filesystem", cli_answer_text(a, "uuid"));
	(void)fprintf(out, "  %-14s %s, slot %s\n", "epoch", cli_answer_text(a, "epoch"),
		      cli_answer_text(a, "slot"));
	if (*cli_answer_text(a, "holder"))
		(void)fprintf(out, "  %-14s %s\n", "holder", cli_answer_text(a, "holder"));
	(void)fprintf(out, "  %-14s %s\n", "inodes cached", cli_answer_text(a, "inodes_cached"));
	print_commits(out, a);
	print_cache(out, a);
	if (*cli_answer_text(a, "cache.dir"))
		(void)fprintf(out, "  %-14s %s\n", "cache folder", cli_answer_text(a, "cache.dir"));
	print_group(out, a, "operations", "operations.");
	print_group(out, a, "requests", "requests.");
	print_group(out, a, "of them failed", "failed.");
	(void)fprintf(out, "  %-14s %s read, %s written\n", "by programs",
		      format_size(cli_answer_number(a, "files.bytes_read"), in),
		      format_size(cli_answer_number(a, "files.bytes_written"), sent));
	(void)fprintf(out, "  %-14s %s in, %s out\n", "bytes",
		      format_size(cli_answer_number(a, "requests.bytes_in"), in),
		      format_size(cli_answer_number(a, "requests.bytes_out"), sent));
	print_price(out, a);
	if (*cli_answer_text(a, "last_error"))
		(void)fprintf(out, "  %-14s %s\n", "last trouble",
			      cli_answer_text(a, "last_error"));
}

/* ---- the verb ---- */

/* What is estimated comes last. */
static int write_answer(FILE *out, struct cli_answer *a, bool json, const struct cli_prices *prices)
{
	int err = add_hit_rate(a);

	if (err >= 0)
		err = add_price(a, prices);
	if (err < 0)
		return err;
	if (json)
		print_json(out, a);
	else
		print_text(out, a);
	return 0;
}

int cli_status_write(FILE *out, const char *lines, bool json)
{
	struct cli_answer a = { .count = 0 };
	struct cli_prices prices;
	int err = cli_answer_take(&a, lines);

	(void)cli_prices_parse(CLI_PRICES_DEFAULT, &prices);
	if (err >= 0)
		err = write_answer(out, &a, json, &prices);
	cli_answer_release(&a);
	return err;
}

/* On a terminal no wider than that is. */
static int show_text(struct cli_answer *a, const struct cli_prices *prices)
{
	struct buf wrapped CLEANUP(buf_release) = BUF_INIT;
	char *text CLEANUP(free_ptr) = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err = f ? write_answer(f, a, false, prices) : -ENOMEM;

	if (f && fclose(f) != 0)
		err = -ENOMEM;
	if (err >= 0) {
		cli_wrap_text(&wrapped, text, cli_columns(STDOUT_FILENO));
		err = buf_error(&wrapped);
	}
	if (err >= 0)
		(void)fputs(buf_cstr(&wrapped), stdout);
	return err;
}

static int show_answer(struct cli_answer *a, bool json, const struct cli_prices *prices)
{
	int err = json ? write_answer(stdout, a, true, prices) : show_text(a, prices);

	if (err < 0)
		(void)cli_say_error(EXIT_FAILED, err, "status");
	cli_answer_release(a);
	return err < 0 ? EXIT_FAILED : 0;
}

static int show(const char *path, bool json, const struct cli_prices *prices)
{
	struct cli_answer a;
	int err = cli_answer_ask(path, "status", &a);

	return err < 0 ? cli_ask_failed(path, err) : show_answer(&a, json, prices);
}

static bool note_ours(void *dirs, const struct ctl_mount *m)
{
	if (ctl_mount_is_ours(m))
		buf_add(dirs, m->dir, strlen(m->dir) + 1);
	return true;
}

/* What cannot be asked has been said, and is left out. */
static int show_all(bool json, const struct cli_prices *prices)
{
	struct buf dirs CLEANUP(buf_release) = BUF_INIT;
	const char *between = json ? "[\n" : "";
	int err = ctl_mount_each(note_ours, &dirs), code = 0;

	if (err >= 0)
		err = buf_error(&dirs);
	if (err < 0)
		return cli_say_error(EXIT_FAILED, err, "status");
	if (dirs.len == 0 && !json)
		return cli_say(EXIT_FAILED, "no levels3fs is mounted here");
	for (const char *dir = (const char *)dirs.data;
	     dir && dir < (const char *)dirs.data + dirs.len; dir += strlen(dir) + 1) {
		struct cli_answer a;

		err = cli_answer_ask(dir, "status", &a);
		if (err < 0) {
			code = cli_ask_failed(dir, err);
			continue;
		}
		(void)fputs(between, stdout);
		between = json ? "," : "\n";
		code |= show_answer(&a, json, prices);
	}
	if (json)
		(void)fputs(strcmp(between, ",") == 0 ? "]\n" : "[]\n", stdout);
	return code;
}

static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
				       { "prices", required_argument, NULL, 'p' },
				       { "help", no_argument, NULL, 'h' },
				       { NULL, 0, NULL, 0 } };

const struct cli_options cli_status_options = { "h", longs };

int cli_status(int argc, char **argv)
{
	struct cli_prices prices;
	bool json = false;
	int opt;

	(void)cli_prices_parse(CLI_PRICES_DEFAULT, &prices);
	while ((opt = option_next(argc, argv, "h", longs)) != -1) {
		if (opt == 'h') {
			cli_show_help(cli_status_help);
			return 0;
		}
		if (opt == '?')
			return cli_say_option(EXIT_FAILED, argv[0]);
		if (opt == 'j')
			json = true;
		else if (cli_prices_parse(optarg, &prices) < 0)
			return cli_say(EXIT_FAILED,
				       "--prices %s: two or three numbers, as in "
				       "--prices " CLI_PRICES_DEFAULT,
				       optarg);
	}
	if (argc - optind > 1)
		return cli_say(EXIT_FAILED, "status takes one folder: levels3fs status DIR");
	if (argc == optind)
		return show_all(json, &prices);
	return show(argv[optind], json, &prices);
}

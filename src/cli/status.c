/* SPDX-License-Identifier: BSD-3-Clause */
/* status: what the daemon of a mount says of itself, as text or JSON. */
#include "cli/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_status_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs status DIR [--json] [--prices PUT,GET[,GIB]]\n\n"
		"Says what the mount on DIR is doing: what is not stored yet and how old that is, "
		"how often the cache\n"
		"had what was read, what programs have asked for, how many requests of which kind "
		"it has sent, about\n"
		"what they cost, and the last trouble.\n\n"
		"  --json                 all of it as one JSON object\n"
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
static void print_json(const struct cli_answer *a)
{
	bool in_group = false;

	(void)putchar('{');
	for (size_t i = 0; i < a->count; i++) {
		const struct cli_item *item = &a->items[i], *before = i ? item - 1 : NULL;
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

static void print_group(const struct cli_answer *a, const char *label, const char *group)
{
	size_t len = strlen(group);
	bool any = false;

	for (size_t i = 0; i < a->count; i++) {
		const struct cli_item *item = &a->items[i];

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

static void print_head(const struct cli_answer *a)
{
	time_t since = (time_t)cli_answer_number(a, "since");
	char when[64] = "";
	struct tm tm;

	if (localtime_r(&since, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	(void)printf("%s on %s\n", cli_answer_text(a, "url"), cli_answer_text(a, "mountpoint"));
	(void)printf("  %-14s %s since %s, process %s\n", "state", cli_answer_text(a, "state"),
		     when, cli_answer_text(a, "pid"));
	if (strcmp(cli_answer_text(a, "read_only"), "true") == 0)
		(void)printf("  %-14s %s\n", "", "read-only");
	if (strcmp(cli_answer_text(a, "fenced"), "true") == 0)
		(void)printf("  %-14s %s\n", "",
			     "FENCED: another mount has taken over; writes fail");
}

static void print_unsaved(const struct cli_answer *a)
{
	uint64_t bytes = cli_answer_number(a, "dirty_bytes");
	uint64_t lag_ms = cli_answer_number(a, "lag_ms");
	char size[SIZE_STR_LEN];

	(void)printf("  %-14s %s", "not stored yet", format_size(bytes, size));
	if (lag_ms > 0)
		(void)printf(", the oldest change is %.1f s old", (double)lag_ms / 1000);
	(void)putchar('\n');
}

static void print_commits(const struct cli_answer *a)
{
	uint64_t count = cli_answer_number(a, "commits.count");

	(void)printf("  %-14s %llu", "commits", (unsigned long long)count);
	if (count > 0)
		(void)printf(", %.1f ms each", (double)cli_answer_number(a, "commits.took_us") /
						       1000 / (double)count);
	(void)putchar('\n');
}

static void print_cache(const struct cli_answer *a)
{
	const char *rate = cli_answer_text(a, "estimates.cache_hit_rate");
	char mem[SIZE_STR_LEN], disk[SIZE_STR_LEN], limit[SIZE_STR_LEN];

	(void)printf("  %-14s ", "cache");
	if (*rate && strcmp(rate, "null") != 0)
		(void)printf("%.1f %% hits (memory %s, disk %s, missed %s), ",
			     100 * strtod(rate, NULL), cli_answer_text(a, "cache.hits_memory"),
			     cli_answer_text(a, "cache.hits_disk"),
			     cli_answer_text(a, "cache.misses"));
	(void)printf("%s in memory, %s on disk of %s at most\n",
		     format_size(cli_answer_number(a, "cache.bytes_memory"), mem),
		     format_size(cli_answer_number(a, "cache.bytes_disk"), disk),
		     format_size(cli_answer_number(a, "cache.limit_disk"), limit));
}

static void print_price(const struct cli_answer *a)
{
	if (*cli_answer_text(a, "estimates.price"))
		(void)printf("  %-14s about %s since mounting, for requests and bytes received "
			     "(--prices)\n",
			     "price", cli_answer_text(a, "estimates.price"));
}

static void print_text(const struct cli_answer *a)
{
	char size[SIZE_STR_LEN], out[SIZE_STR_LEN];

	print_head(a);
	print_unsaved(a);
	if (strcmp(cli_answer_text(a, "state"), "mounted") != 0)
		return;
	(void)printf("  %-14s %s\n", "filesystem", cli_answer_text(a, "uuid"));
	(void)printf("  %-14s %s, slot %s\n", "epoch", cli_answer_text(a, "epoch"),
		     cli_answer_text(a, "slot"));
	(void)printf("  %-14s %s\n", "inodes cached", cli_answer_text(a, "inodes_cached"));
	print_commits(a);
	print_cache(a);
	print_group(a, "operations", "operations.");
	print_group(a, "requests", "requests.");
	print_group(a, "of them failed", "failed.");
	(void)printf("  %-14s %s in, %s out\n", "bytes",
		     format_size(cli_answer_number(a, "requests.bytes_in"), size),
		     format_size(cli_answer_number(a, "requests.bytes_out"), out));
	print_price(a);
	if (*cli_answer_text(a, "last_error"))
		(void)printf("  %-14s %s\n", "last trouble", cli_answer_text(a, "last_error"));
}

/* ---- the verb ---- */

static int show(const char *path, bool json, const struct cli_prices *prices)
{
	struct cli_answer a;
	int err = cli_answer_ask(path, "status", &a);

	if (err < 0)
		return cli_ask_failed(path, err);
	err = add_hit_rate(&a);
	if (err >= 0)
		err = add_price(&a, prices);
	if (err < 0)
		(void)cli_say_error(EXIT_FAILED, err, "status");
	else if (json)
		print_json(&a);
	else
		print_text(&a);
	cli_answer_release(&a);
	return err < 0 ? EXIT_FAILED : 0;
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
			cli_status_help(stdout);
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
	if (argc - optind != 1)
		return cli_say(EXIT_FAILED, "status needs one folder: levels3fs status DIR");
	return show(argv[optind], json, &prices);
}

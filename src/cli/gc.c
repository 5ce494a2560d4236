/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gc: collecting what nothing needs any more. Of a mount its process does it; what is not mounted is
 * opened for it as by a mount.
 */
#include "cli/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS_PER_S 1000

struct collecting {
	struct cli_url url; /* first: take_own goes from it to the rest */
	bool dry_run, json, wait, no_wait;
	struct fs_gc_result result;
	struct cli_progress progress;
};

static volatile sig_atomic_t interrupted;

void cli_gc_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs gc DIR [--dry-run] [--wait] [--json]\n"
		"       levels3fs gc URL [--dry-run] [--no-wait] [--json] [-o "
		"OPTION[,OPTION]…]\n\n"
		"Collects now what nothing needs any more. Mounts do that by themselves, when it "
		"is "
		"worth it; this is for\n"
		"who wants the space at once. Of a mount its process does it. What is not mounted "
		"is taken as by a mount,\n"
		"so nobody else can mount it meanwhile.\n\n"
		"What goes out of use stays for a grace of 10 minutes (-o grace), because readers "
		"elsewhere may still want\n"
		"it. A mount deletes it afterwards by itself; --wait waits for that. Of a URL it "
		"is waited for, unless\n"
		"--no-wait says that a later mount may delete it. What a crash left in the store "
		"must be older than an\n"
		"hour.\n\n"
		"  -n, --dry-run          only say what there is to collect; writes nothing\n"
		"  --wait, --no-wait      for the grace to be over\n"
		"  --json                 as one JSON object\n"
		"  -o, --options OPTIONS  of a URL, as for mount: levels3fs help mount\n\n"
		"Exit status: 0; 1 it failed, or wrong usage; 130 interrupted: what is not deleted "
		"by then is deleted later.\n",
		out);
}

/* ---- showing ---- */

static void show_progress(struct collecting *c, const char *phase, uint64_t found, uint64_t waiting,
			  uint64_t due_ms)
{
	if (strcmp(phase, "waiting") == 0)
		cli_progress(&c->progress,
			     "%llu objects wait for their grace to be over: %llu:%02llu to go",
			     (unsigned long long)waiting,
			     (unsigned long long)(due_ms / MS_PER_S / 60),
			     (unsigned long long)(due_ms / MS_PER_S % 60));
	else
		cli_progress(&c->progress, "%s: %llu objects found", phase,
			     (unsigned long long)found);
}

static void print_json(const struct collecting *c)
{
	const struct fs_gc_result *r = &c->result;
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "found_objects", r->found },	       { "found_bytes", r->found_bytes },
		{ "rewrite_objects", r->rewrite },     { "rewrite_bytes", r->rewrite_bytes },
		{ "in_use_bytes", r->in_use_bytes },   { "deleted_objects", r->deleted },
		{ "deleted_bytes", r->deleted_bytes }, { "waiting_objects", r->waiting },
		{ "waiting_bytes", r->waiting_bytes }, { "waiting_ms", r->waiting ? r->due_ms : 0 }
	};

	(void)printf("{\n  \"dry_run\": %s", c->dry_run ? "true" : "false");
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		(void)printf(",\n  \"%s\": %llu", all[i].name, (unsigned long long)all[i].value);
	(void)printf("\n}\n");
}

static void print_waiting(const struct collecting *c, bool mounted)
{
	const struct fs_gc_result *r = &c->result;
	time_t until = (time_t)(clock_system.real_ns(&clock_system) / 1000000000 +
				(int64_t)(r->due_ms / MS_PER_S) + 1);
	char size[SIZE_STR_LEN], when[32] = "", count[CLI_COUNTED_LEN];
	struct tm tm;

	if (r->waiting == 0)
		return;
	if (localtime_r(&until, &tm))
		(void)strftime(when, sizeof(when), "%H:%M:%S", &tm);
	(void)printf("  %-14s %s, %s, until %s at most: readers elsewhere may still want them\n",
		     "waiting", cli_counted(r->waiting, "object", "objects", count),
		     format_size(r->waiting_bytes, size), when);
	if (!c->dry_run)
		(void)printf("  %-14s %s\n", "",
			     mounted ? "the mount deletes them then"
				     : "a later mount, or gc, finds and deletes them");
}

static void print_text(const struct collecting *c, bool mounted)
{
	const struct fs_gc_result *r = &c->result;
	char size[SIZE_STR_LEN], live[SIZE_STR_LEN], count[CLI_COUNTED_LEN];

	if (r->found == 0 && r->rewrite == 0 && r->deleted == 0 && r->waiting == 0) {
		(void)printf("nothing is left over\n");
		return;
	}
	(void)printf("  %-14s %s that nothing refers to, %s\n", c->dry_run ? "to collect" : "found",
		     cli_counted(r->found, "object", "objects", count),
		     format_size(r->found_bytes, size));
	if (r->rewrite)
		(void)printf("  %-14s %s, %s, of which at most %s are in use\n", "to rewrite",
			     cli_counted(r->rewrite, "object", "objects", count),
			     format_size(r->rewrite_bytes, size),
			     format_size(r->in_use_bytes, live));
	if (!c->dry_run)
		(void)printf("  %-14s %s, %s\n", "deleted",
			     cli_counted(r->deleted, "object", "objects", count),
			     format_size(r->deleted_bytes, size));
	print_waiting(c, mounted);
}

static void print(struct collecting *c, bool mounted)
{
	cli_progress_clear(&c->progress);
	if (c->json)
		print_json(c);
	else
		print_text(c, mounted);
	(void)fflush(stdout);
}

/* ---- of a mount ---- */

static void take_answer(struct fs_gc_result *r, const struct cli_answer *a)
{
	r->found = cli_answer_number(a, "found");
	r->found_bytes = cli_answer_number(a, "found_bytes");
	r->rewrite = cli_answer_number(a, "rewrite");
	r->rewrite_bytes = cli_answer_number(a, "rewrite_bytes");
	r->in_use_bytes = cli_answer_number(a, "in_use_bytes");
	r->deleted = cli_answer_number(a, "deleted");
	r->deleted_bytes = cli_answer_number(a, "deleted_bytes");
	r->waiting = cli_answer_number(a, "waiting");
	r->waiting_bytes = cli_answer_number(a, "waiting_bytes");
	r->due_ms = cli_answer_number(a, "due_ms");
}

static int take_line(struct collecting *c, struct cli_answer *a, const char *line)
{
	uint64_t found, waiting, due_ms;
	char phase[64];

	if (sscanf(line, "w %" SCNu64 " %" SCNu64 " %" SCNu64 " %63[^\n]", &found, &waiting,
		   &due_ms, phase) != 4)
		return cli_answer_add(a, line);
	show_progress(c, phase, found, waiting, due_ms);
	return 0;
}

static int collect_answer(struct collecting *c, const char *word, int fd)
{
	struct ctl_reader r = { .fd = fd };
	struct cli_answer a = { .count = 0 };
	char line[CTL_LINE_MAX];
	int err, code = 0;

	while ((err = ctl_read(&r, line, 0)) > 0)
		err = take_line(c, &a, line);
	cli_progress_clear(&c->progress);
	take_answer(&c->result, &a);
	if (err < 0)
		code = cli_ask_failed(word, err);
	else if (*cli_answer_text(&a, "error"))
		code = cli_say(EXIT_FAILED, "%s: %s", word, cli_answer_text(&a, "error"));
	else if (!*cli_answer_text(&a, "done"))
		code = cli_say(EXIT_FAILED, "%s: the mount ended before it was done", word);
	cli_answer_release(&a);
	if (code == 0)
		print(c, true);
	return code;
}

/* -ENOTSUP: it is not mounted here, or its process cannot be reached. */
static int ask_mount(struct collecting *c, const char *word, int *ret_fd)
{
	char question[16];

	(void)snprintf(question, sizeof(question), "gc %u",
		       (c->dry_run ? CTL_GC_DRY_RUN : 0) | (c->wait ? CTL_GC_WAIT : 0));
	return cli_ask_begin(word, question, ret_fd);
}

/* ---- of a URL ---- */

static void on_signal(int sig)
{
	interrupted = 1;
}

static bool goes_on(void *ctx, const char *phase, const struct fs_gc_result *so_far)
{
	struct collecting *c = ctx;

	show_progress(c, phase, so_far->found, so_far->waiting, so_far->due_ms);
	return !interrupted;
}

static int open_it(struct collecting *c, struct fs **ret)
{
	struct fs_config *config = &c->url.config;
	int err = 0;

	config->read_only = c->dry_run;
	config->create = false;
	config->mountpoint = "(gc)";
	/* The folder of a mount's cache is that mount's. */
	if (!config->cache_dir)
		err = fs_config_set(config, "cache_dir", "none");
	return err < 0 ? err : fs_open(c->url.url, config, ret);
}

static int collect_url(struct collecting *c)
{
	struct fs_gc_options options = {
		.dry_run = c->dry_run, .wait = !c->no_wait, .goes_on = goes_on, .ctx = c
	};
	struct sigaction action = { .sa_handler = on_signal };
	struct fs *fs;
	int err = open_it(c, &fs), closed, code = 0;

	if (err < 0)
		return cli_say_error(EXIT_FAILED, err, c->url.url);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	err = fs_gc(fs, &options, &c->result);
	cli_progress_clear(&c->progress);
	if (err < 0 && err != -ECANCELED)
		code = cli_say_error(EXIT_FAILED, err, c->url.url);
	closed = fs_close(fs, NULL, NULL);
	if (closed < 0)
		code = cli_say_error(EXIT_FAILED, closed, c->url.url);
	print(c, false);
	return code ? code : err == -ECANCELED ? 128 + SIGINT : 0;
}

/* ---- the verb ---- */

static int collect(struct collecting *c)
{
	const char *word = c->url.dir ? c->url.dir : c->url.url;
	int fd CLEANUP(close_fd) = -1;
	int err;

	if (c->wait && c->no_wait)
		return cli_say(EXIT_FAILED, "--wait and --no-wait: one of them");
	err = ask_mount(c, word, &fd);
	if (err >= 0)
		return collect_answer(c, word, fd);
	return c->url.dir ? cli_ask_failed(word, err) : collect_url(c);
}

static int take_own(struct cli_url *u, int opt, const char *argument)
{
	struct collecting *c = (struct collecting *)u;

	c->dry_run = c->dry_run || opt == 'n';
	c->json = c->json || opt == 'j';
	c->wait = c->wait || opt == 'w';
	c->no_wait = c->no_wait || opt == 'W';
	return 0;
}

static const struct option longs[] = {
	{ "options", required_argument, NULL, 'o' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "wait", no_argument, NULL, 'w' },
	{ "no-wait", no_argument, NULL, 'W' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

const struct cli_options cli_gc_options = { "o:nh", longs };

int cli_gc(int argc, char **argv)
{
	struct collecting c = { .dry_run = false };
	int code;

	cli_url_init(&c.url, EXIT_FAILED);
	c.url.take_own = take_own;
	c.url.takes_dir = true;
	code = cli_url_parse(&c.url, argc, argv, &cli_gc_options);
	if (code == 0 && c.url.help)
		cli_show_help(cli_gc_help);
	else if (code == 0 && c.url.rest_count > 0)
		code = cli_say(EXIT_FAILED, "gc takes one folder or URL, not \"%s\" as well",
			       c.url.rest[0]);
	else if (code == 0)
		code = collect(&c);
	cli_url_release(&c.url);
	return code;
}

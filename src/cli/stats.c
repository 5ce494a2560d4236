/* SPDX-License-Identifier: BSD-3-Clause */
/* stats: what a mount does, a line every second. */
#include "cli/internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HEADER_EVERY 20
#define INTERVAL_MS 1000
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 86400000

struct stats {
	const char *dir;
	uint64_t interval_ms, count; /* count 0: until interrupted */
	bool json, help;
	sigset_t signals;
};

struct sample {
	uint64_t at_ns;
	struct cli_answer a;
};

/* What happened between two samples. */
struct change {
	const struct sample *before, *after;
	double seconds;
};

void cli_stats_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs stats DIR [--interval TIME] [--count N] [--json]\n\n"
		"Shows what the mount on DIR does, a line every second until it is interrupted: "
		"operations of programs,\n"
		"requests to the store and bytes (all by the second), what is not stored yet and "
		"how old the oldest\n"
		"change of it is, how much of what was read the cache had, commits and how long "
		"one took.\n\n"
		"  --interval TIME        between lines: 500ms, 5s, 1m [1s]\n"
		"  --count N              so many lines [0: until interrupted]\n"
		"  --json                 each line as a JSON object\n\n"
		"Exit status: 0, also when interrupted; 1 nothing is mounted there, it was "
		"unmounted, or wrong usage.\n",
		out);
}

/* ---- numbers ---- */

static double rate(const struct change *c, const char *key)
{
	uint64_t before = cli_answer_number(&c->before->a, key);
	uint64_t after = cli_answer_number(&c->after->a, key);

	return after > before ? (double)(after - before) / c->seconds : 0;
}

static double rate_of_group(const struct change *c, const char *group)
{
	uint64_t before = cli_answer_sum(&c->before->a, group);
	uint64_t after = cli_answer_sum(&c->after->a, group);

	return after > before ? (double)(after - before) / c->seconds : 0;
}

/* part of whole in percent or units; -1 when there is no whole. */
static double hit_rate(const struct change *c)
{
	double hits = rate(c, "cache.hits_memory") + rate(c, "cache.hits_disk");
	double all = hits + rate(c, "cache.misses");

	return all > 0 ? hits / all : -1;
}

static double commit_ms(const struct change *c)
{
	double commits = rate(c, "commits.count");

	return commits > 0 ? rate(c, "commits.took_us") / commits / 1000 : -1;
}

/* ---- as text ---- */

static void print_header(void)
{
	/* On 80 columns. */
	(void)fputs(
		"-----operations/s------ --requests/s--- --bytes/s-- -not stored cache -commits-\n"
		"  all  read write other  get  put other    in   out bytes age s hit %  /s    ms\n",
		stdout);
}

/* Four digits and a unit at most. */
static const char *short_size(double bytes, char out[16])
{
	static const char units[] = "BKMGTP";
	size_t unit = 0;

	for (; bytes >= 9999.5 && unit < sizeof(units) - 2; unit++)
		bytes /= 1024;
	(void)snprintf(out, 16, "%.0f%c", bytes, units[unit]);
	return out;
}

static const char *or_dash(double value, const char *format, char out[16])
{
	if (value < 0)
		(void)snprintf(out, 16, "-");
	else
		(void)snprintf(out, 16, format[0] == '1' ? "%.1f" : "%.0f", value);
	return out;
}

static void print_line(const struct change *c)
{
	double ops = rate_of_group(c, "operations."), read = rate(c, "operations.read"),
	       write = rate(c, "operations.write");
	double requests = rate_of_group(c, "requests."), get = rate(c, "requests.get"),
	       put = rate(c, "requests.put");
	double hits = hit_rate(c);
	char in[16], out[16], dirty[16], hit[16], ms[16];

	(void)printf("%5.0f %5.0f %5.0f %5.0f %4.0f %4.0f %5.0f %5s %5s %5s %5.1f %5s %3.0f %5s\n",
		     ops, read, write, ops - read - write, get, put, requests - get - put,
		     short_size(rate(c, "requests.bytes_in"), in),
		     short_size(rate(c, "requests.bytes_out"), out),
		     short_size((double)cli_answer_number(&c->after->a, "dirty_bytes"), dirty),
		     (double)cli_answer_number(&c->after->a, "lag_ms") / 1000,
		     or_dash(hits < 0 ? hits : hits * 100, "0", hit), rate(c, "commits.count"),
		     or_dash(commit_ms(c), "1", ms));
}

/* ---- as JSON ---- */

static void print_rates(const struct change *c, const char *name, const char *group)
{
	const struct cli_answer *a = &c->after->a;
	size_t len = strlen(group);
	const char *comma = "";

	(void)printf(", \"%s\": {", name);
	for (size_t i = 0; i < a->count; i++) {
		if (strncmp(a->items[i].key, group, len) != 0)
			continue;
		(void)printf("%s\"%s\": %.2f", comma, a->items[i].key + len,
			     rate(c, a->items[i].key));
		comma = ", ";
	}
	(void)putchar('}');
}

static void print_or_null(const char *name, double value)
{
	if (value < 0)
		(void)printf(", \"%s\": null", name);
	else
		(void)printf(", \"%s\": %.4f", name, value);
}

static void print_json(const struct change *c)
{
	(void)printf("{\"time\": %.3f, \"seconds\": %.3f",
		     (double)clock_system.real_ns(&clock_system) / 1e9, c->seconds);
	print_rates(c, "operations_per_s", "operations.");
	print_rates(c, "requests_per_s", "requests.");
	(void)printf(", \"dirty_bytes\": %s, \"lag_ms\": %s",
		     cli_answer_text(&c->after->a, "dirty_bytes"),
		     cli_answer_text(&c->after->a, "lag_ms"));
	print_or_null("cache_hit_rate", hit_rate(c));
	(void)printf(", \"commits_per_s\": %.2f", rate(c, "commits.count"));
	print_or_null("commit_ms", commit_ms(c));
	(void)printf("}\n");
}

/* ---- the loop ---- */

static int take_sample(const struct stats *s, struct sample *ret)
{
	int err = cli_answer_ask(s->dir, "status", &ret->a);

	ret->at_ns = clock_system.mono_ns(&clock_system);
	if (err < 0)
		return err;
	if (strcmp(cli_answer_text(&ret->a, "state"), "mounted") == 0)
		return 0;
	cli_answer_release(&ret->a);
	return -ENOTSUP; /* it is being unmounted */
}

/* True if it was interrupted meanwhile. */
static bool pause_until(const struct stats *s, uint64_t due_ns)
{
	uint64_t now = clock_system.mono_ns(&clock_system), left = due_ns > now ? due_ns - now : 0;
	struct timespec t = { .tv_sec = (time_t)(left / 1000000000),
			      .tv_nsec = (long)(left % 1000000000) };
	int got;

	while ((got = sigtimedwait(&s->signals, NULL, &t)) < 0 && errno == EINTR)
		;
	return got > 0;
}

static void show(const struct stats *s, const struct sample *before, const struct sample *after,
		 uint64_t number)
{
	struct change c = { before, after, (double)(after->at_ns - before->at_ns) / 1e9 };

	if (c.seconds <= 0)
		c.seconds = 1e-9;
	if (s->json) {
		print_json(&c);
	} else {
		if (number % HEADER_EVERY == 0)
			print_header();
		print_line(&c);
	}
	(void)fflush(stdout);
}

/* Another mount on the same folder begins to count anew. */
static bool is_same_mount(const struct sample *a, const struct sample *b)
{
	return strcmp(cli_answer_text(&a->a, "pid"), cli_answer_text(&b->a, "pid")) == 0;
}

static int follow(const struct stats *s)
{
	struct sample samples[2];
	unsigned last = 0;
	uint64_t number = 0, due_ns;
	int err = take_sample(s, &samples[0]);

	if (err < 0)
		return cli_ask_failed(s->dir, err);
	due_ns = samples[0].at_ns;
	while (s->count == 0 || number < s->count) {
		due_ns += s->interval_ms * 1000000;
		if (pause_until(s, due_ns))
			break;
		err = take_sample(s, &samples[!last]);
		if (err < 0)
			break;
		if (is_same_mount(&samples[last], &samples[!last]))
			show(s, &samples[last], &samples[!last], number++);
		cli_answer_release(&samples[last].a);
		last = !last;
		due_ns = max_u64(due_ns, samples[last].at_ns - min_u64(samples[last].at_ns,
								       s->interval_ms * 1000000));
	}
	cli_answer_release(&samples[last].a);
	return err < 0 ? cli_ask_failed(s->dir, err) : 0;
}

/* They are taken where it waits, so that no line is left unfinished. */
static void hold_signals(struct stats *s)
{
	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &s->signals, NULL);
}

/* ---- the verb ---- */

static const struct option longs[] = { { "interval", required_argument, NULL, 'i' },
				       { "count", required_argument, NULL, 'n' },
				       { "json", no_argument, NULL, 'j' },
				       { "help", no_argument, NULL, 'h' },
				       { NULL, 0, NULL, 0 } };

const struct cli_options cli_stats_options = { "h", longs };

static int take_option(struct stats *s, int opt, const char *verb)
{
	switch (opt) {
	case 'i':
		if (parse_duration_ms(optarg, &s->interval_ms) < 0 ||
		    s->interval_ms < INTERVAL_MIN_MS || s->interval_ms > INTERVAL_MAX_MS)
			return cli_say(EXIT_FAILED, "--interval %s: a time from 100ms to 24h",
				       optarg);
		return 0;
	case 'n':
		if (parse_u64(optarg, &s->count) < 0)
			return cli_say(EXIT_FAILED, "--count %s: a number of lines", optarg);
		return 0;
	case 'j':
		s->json = true;
		return 0;
	case 'h':
		s->help = true;
		return 0;
	default:
		return cli_say_option(EXIT_FAILED, verb);
	}
}

int cli_stats(int argc, char **argv)
{
	struct stats s = { .interval_ms = INTERVAL_MS };
	int code = 0, opt;

	while (code == 0 && (opt = option_next(argc, argv, "h", longs)) != -1)
		code = take_option(&s, opt, argv[0]);
	if (code)
		return code;
	if (s.help) {
		cli_show_help(cli_stats_help);
		return 0;
	}
	if (argc - optind != 1)
		return cli_say(EXIT_FAILED, "stats needs one folder: levels3fs stats DIR");
	s.dir = argv[optind];
	hold_signals(&s);
	return follow(&s);
}

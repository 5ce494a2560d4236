/* SPDX-License-Identifier: BSD-3-Clause */
/* trace: a line for each request of a mount to its store, and for each operation of programs. */
#include "cli/internal.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BEGIN_MS 20000

struct tracer {
	const char *dir;
	uint64_t count, seen; /* count 0: until interrupted */
	bool ops, json, help;
	struct ctl_reader reader;
};

/* A line of the daemon's, taken apart. */
struct event {
	bool is_op;
	int64_t at_ns;
	char name[32], offset[24];
	uint64_t ino, bytes, took_ns;
	int result; /* negative code, or an errno */
	unsigned attempt;
	const char *text; /* key or names; "" */
};

void cli_trace_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs trace DIR [--ops] [--count N] [--json]\n\n"
		"Shows each request that the mount on DIR sends to its store, when it is answered, "
		"until it is\n"
		"interrupted: when, kind, bytes, milliseconds, result, which try it was, key.\n\n"
		"  --ops                  and each operation of programs, as the kernel passes it "
		"on: when, kind, inode,\n"
		"                         offset, bytes, microseconds, result, name\n"
		"  --count N              so many lines [0: until interrupted]\n"
		"  --json                 each line as a JSON object\n\n"
		"The mount never waits for a trace: what is not read in time is left out, and a "
		"line says how much.\n\n"
		"Exit status: 0, also when interrupted and when it is unmounted; 1 nothing is "
		"mounted there, or wrong usage.\n",
		out);
}

/* ---- lines ---- */

static bool parse(const char *line, struct event *e)
{
	int at = 0;

	*e = (struct event){ .is_op = line[0] == 'o' };
	if (line[0] == 'r')
		(void)sscanf(line, "r %" SCNd64 " %31s %" SCNu64 " %" SCNu64 " %d %u%n", &e->at_ns,
			     e->name, &e->bytes, &e->took_ns, &e->result, &e->attempt, &at);
	else if (line[0] == 'o')
		(void)sscanf(line,
			     "o %" SCNd64 " %31s %" SCNu64 " %" SCNu64 " %23s %" SCNu64 " %d%n",
			     &e->at_ns, e->name, &e->ino, &e->bytes, e->offset, &e->took_ns,
			     &e->result, &at);
	e->text = line + at + (line[at] == ' ');
	return at > 0;
}

static const char *result_text(const struct event *e)
{
	if (e->result == 0)
		return "ok";
	return e->is_op ? strerror(e->result) : err_text(e->result);
}

static void print_text(FILE *out, const struct event *e)
{
	time_t seconds = (time_t)(e->at_ns / 1000000000);
	char when[32] = "?", size[SIZE_STR_LEN];
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		(void)strftime(when, sizeof(when), "%H:%M:%S", &tm);
	(void)fprintf(out, "%s.%06u %-11s ", when, (unsigned)(e->at_ns % 1000000000 / 1000),
		      e->name);
	(void)fprintf(out, "%10s ", e->bytes ? format_size(e->bytes, size) : "-");
	if (e->is_op)
		(void)fprintf(out, "%8.0f us  inode %llu", (double)e->took_ns / 1e3,
			      (unsigned long long)e->ino);
	else
		(void)fprintf(out, "%8.1f ms ", (double)e->took_ns / 1e6);
	if (e->is_op && e->offset[0] != '-')
		(void)fprintf(out, " at %s", e->offset);
	if (*e->text)
		(void)fprintf(out, " %s", e->text);
	(void)fprintf(out, "  %s", result_text(e));
	if (e->attempt > 1)
		(void)fprintf(out, ", try %u", e->attempt);
	(void)fputc('\n', out);
}

static void print_json(FILE *out, const struct event *e)
{
	(void)fprintf(out, "{\"time\": %.6f, \"kind\": \"%s\", \"op\": \"%s\", \"bytes\": %llu",
		      (double)e->at_ns / 1e9, e->is_op ? "operation" : "request", e->name,
		      (unsigned long long)e->bytes);
	if (e->is_op) {
		(void)fprintf(out, ", \"us\": %.1f, \"errno\": %d, \"inode\": %llu",
			      (double)e->took_ns / 1e3, e->result, (unsigned long long)e->ino);
		if (e->offset[0] != '-')
			(void)fprintf(out, ", \"offset\": %s", e->offset);
	} else {
		(void)fprintf(out,
			      ", \"ms\": %.3f, \"try\": %u, \"result\": ", (double)e->took_ns / 1e6,
			      e->attempt);
		cli_json_string(out, result_text(e));
	}
	if (*e->text || !e->is_op) {
		(void)fprintf(out, ", \"%s\": ", e->is_op ? "name" : "key");
		cli_json_string(out, e->text);
	}
	(void)fprintf(out, "}\n");
}

static void print_lost(FILE *out, uint64_t lost, bool json)
{
	if (json)
		(void)fprintf(out, "{\"kind\": \"lost\", \"lines\": %llu}\n",
			      (unsigned long long)lost);
	else
		(void)fprintf(out,
			      "... %llu lines are missing here: they came faster than they were "
			      "read\n",
			      (unsigned long long)lost);
}

/* False if it is none: of a later version, say. */
static bool write_event(FILE *out, const char *line, bool json)
{
	struct event e;
	uint64_t lost;

	if (sscanf(line, "lost %" SCNu64, &lost) == 1) {
		print_lost(out, lost, json);
		return false;
	}
	if (!parse(line, &e))
		return false;
	if (json)
		print_json(out, &e);
	else
		print_text(out, &e);
	return true;
}

void cli_trace_write(FILE *out, const char *line)
{
	(void)write_event(out, line, false);
}

/* ---- listening ---- */

static int listening = -1;

static void on_signal(int sig)
{
	(void)sig;
	(void)shutdown(listening, SHUT_RDWR); /* as if the daemon had closed */
}

static void catch_signals(int fd)
{
	struct sigaction action = { .sa_handler = on_signal };

	listening = fd;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static int follow(struct tracer *t)
{
	char line[CTL_LINE_MAX];
	int err = cli_ask_begin(t->dir, t->ops ? "trace ops" : "trace", &t->reader.fd);

	if (err >= 0) {
		catch_signals(t->reader.fd);
		err = ctl_read(&t->reader, line, BEGIN_MS);
	}
	if (err <= 0)
		return cli_ask_failed(t->dir, err);
	if (strcmp(line, "tracing") != 0)
		return cli_say(EXIT_FAILED, "%s cannot be traced: %s", t->dir, line);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	while ((t->count == 0 || t->seen < t->count) && ctl_read(&t->reader, line, 0) > 0)
		t->seen += write_event(stdout, line, t->json);
	return 0;
}

/* ---- the verb ---- */

static const struct option longs[] = { { "ops", no_argument, NULL, 'o' },
				       { "count", required_argument, NULL, 'n' },
				       { "json", no_argument, NULL, 'j' },
				       { "help", no_argument, NULL, 'h' },
				       { NULL, 0, NULL, 0 } };

const struct cli_options cli_trace_options = { "h", longs };

static int take_option(struct tracer *t, int opt, const char *verb)
{
	switch (opt) {
	case 'o':
		t->ops = true;
		return 0;
	case 'n':
		if (parse_u64(optarg, &t->count) < 0)
			return cli_say(EXIT_FAILED, "--count %s: a number of lines", optarg);
		return 0;
	case 'j':
		t->json = true;
		return 0;
	case 'h':
		t->help = true;
		return 0;
	default:
		return cli_say_option(EXIT_FAILED, verb);
	}
}

int cli_trace(int argc, char **argv)
{
	struct tracer t = { .reader = { .fd = -1 } };
	int code = 0, opt;

	while (code == 0 && (opt = option_next(argc, argv, "h", longs)) != -1)
		code = take_option(&t, opt, argv[0]);
	if (code)
		return code;
	if (t.help) {
		cli_show_help(cli_trace_help);
		return 0;
	}
	if (argc - optind != 1)
		return cli_say(EXIT_FAILED, "trace needs one folder: levels3fs trace DIR");
	t.dir = argv[optind];
	code = follow(&t);
	close_fd(&t.reader.fd);
	return code;
}

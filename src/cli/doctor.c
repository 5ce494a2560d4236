/* SPDX-License-Identifier: BSD-3-Clause */
/* doctor: looks for what keeps a filesystem from working, and says what to do about it. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 2048

void cli_doctor_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs doctor URL|DIR [-o OPTION[,OPTION]…] [--json] [--bundle FILE]\n\n"
		"Checks this machine, the way to a store, what may be done there, and the "
		"filesystem in it; of a folder, the\n"
		"mount on it. Each finding is a line with ok, warning or problem, and what to do. "
		"In the store it makes\n"
		"objects under doctor/, and removes them; with -o ro it writes nothing.\n\n"
		"  --bundle FILE          write a report to be shown to others: findings, "
		"versions, "
		"settings, status, log.\n"
		"                         It has no keys in it, but names of hosts, buckets and "
		"folders\n"
		"  --json                 one JSON object\n"
		"  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		"Exit status: 0 no problems, warnings perhaps; 1 problems, or wrong usage.\n",
		out);
}

/* ---- saying ---- */

static const struct {
	const char *word, *colour;
} verdicts[] = { [STORE_FINE] = { "ok", "\033[32m" },
		 [STORE_ODD] = { "warning", "\033[33m" },
		 [STORE_WRONG] = { "problem", "\033[31m" } };

static void write_line(FILE *out, bool colour, enum store_verdict verdict, const char *what,
		       const char *text, const char *advice)
{
	struct buf line CLEANUP(buf_release) = BUF_INIT, wrapped CLEANUP(buf_release) = BUF_INIT;
	unsigned columns = cli_columns(fileno(out));
	const char *shown;

	buf_printf(&line, "  %-8s %-12s  %s", verdicts[verdict].word, what, text);
	cli_wrap_line(&wrapped, buf_cstr(&line), line.len, 0, columns);
	if (advice) {
		buf_reset(&line);
		buf_printf(&line, "%25s→ %s", "", advice);
		cli_wrap_line(&wrapped, buf_cstr(&line), line.len, 27, columns);
	}
	shown = buf_cstr(&wrapped);
	if (colour && wrapped.len > 10)
		(void)fprintf(out, "  %s%.8s\033[0m%s", verdicts[verdict].colour, shown + 2,
			      shown + 10);
	else
		(void)fputs(shown, out);
}

static void write_json(struct doctor *d, enum store_verdict verdict, const char *what,
		       const char *text, const char *advice)
{
	(void)printf("%s\n    {\"check\": ", d->any ? "," : "");
	cli_json_string(stdout, what);
	(void)printf(", \"verdict\": \"%s\", \"text\": ", verdicts[verdict].word);
	cli_json_string(stdout, text);
	if (advice) {
		(void)printf(", \"advice\": ");
		cli_json_string(stdout, advice);
	}
	(void)putchar('}');
}

void doctor_about(struct doctor *d, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!d->json)
		(void)printf("%s\n", text);
	if (d->report)
		(void)fprintf(d->report, "%s\n", text);
}

void doctor_say(struct doctor *d, enum store_verdict verdict, const char *what, const char *advice,
		const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->problems += verdict == STORE_WRONG;
	d->warnings += verdict == STORE_ODD;
	if (verdict == STORE_FINE)
		advice = NULL;
	if (d->json)
		write_json(d, verdict, what, text, advice);
	else
		write_line(stdout, d->colour, verdict, what, text, advice);
	if (d->report)
		write_line(d->report, false, verdict, what, text, advice);
	d->any = true;
	(void)fflush(stdout);
}

void doctor_say_error(struct doctor *d, int err, const char *what, const char *advice)
{
	static const char mark[] = "\n  hint: ";
	struct buf why CLEANUP(buf_release) = BUF_INIT;
	char *text, *hint;

	fs_explain(err, &why);
	text = (char *)buf_cstr(&why);
	hint = strstr(text, mark);
	if (hint) {
		*hint = '\0';
		hint += strlen(mark);
	}
	doctor_say(d, STORE_WRONG, what, advice ? advice : hint, "%s", text);
}

/* ---- the verb ---- */

struct owner {
	const char *url;
	char *name;
};

static int find_owner(void *ctx, const char *name, const struct fs_place *p)
{
	struct owner *o = ctx;

	if (!p->url || strcmp(p->url, o->url) != 0)
		return 0;
	o->name = strdup(name);
	return o->name ? 1 : -ENOMEM;
}

/* What a mount was given is not known, but a folder's URL says all, and a section of levels3fs.conf may. */
static void check_store_of(struct doctor *d, const char *url)
{
	struct owner owner = { .url = url };

	if (fs_place_each(find_owner, &owner) > 0 && cli_url_settle(&d->url, owner.name) == 0)
		doctor_check_store(d, d->url.url);
	else if (strncmp(url, "file:", 5) == 0 || d->url.lists.len > 0)
		doctor_check_store(d, url);
	else
		doctor_about(d,
			     "store %s\n  was not looked at, as the options of the mount are not "
			     "known here: levels3fs doctor %s -o …",
			     url, url);
	free(owner.name);
}

static void check(struct doctor *d)
{
	struct buf url CLEANUP(buf_release) = BUF_INIT;
	const char *word = d->url.dir ? d->url.dir : d->url.url;
	char dir[PATH_MAX];
	bool is_mount = d->url.dir || cli_place_dir(word, dir) >= 0;

	if (is_mount)
		doctor_ask_mount(d, word);
	doctor_check_host(d);
	if (is_mount)
		doctor_check_mount(d, word, &url);
	if (!d->url.dir)
		doctor_check_store(d, d->url.url);
	else if (url.len > 0)
		check_store_of(d, buf_cstr(&url));
	if (d->report)
		doctor_write_rest(d, word);
}

static int open_report(struct doctor *d)
{
	int fd = open(d->bundle, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return cli_say(EXIT_FAILED, "--bundle %s: %s", d->bundle, err_text(-errno));
	d->report = fdopen(fd, "w");
	if (d->report)
		return 0;
	(void)close(fd);
	return cli_say(EXIT_FAILED, "--bundle %s: %s", d->bundle, err_text(-ENOMEM));
}

static int close_report(struct doctor *d)
{
	bool bad = ferror(d->report);

	bad |= fclose(d->report) != 0;
	if (bad)
		return cli_say(EXIT_FAILED, "--bundle %s could not be written", d->bundle);
	if (!d->json)
		(void)printf("The report is in %s.\n", d->bundle);
	return 0;
}

static int run(struct doctor *d)
{
	int code = d->bundle ? open_report(d) : 0;

	if (code)
		return code;
	d->colour = !d->json && cli_wants_colour();
	if (d->json)
		(void)printf("{\n  \"checks\": [");
	check(d);
	if (d->json)
		(void)printf("\n  ],\n  \"problems\": %u,\n  \"warnings\": %u\n}\n", d->problems,
			     d->warnings);
	else
		(void)printf("%u problem%s, %u warning%s\n", d->problems,
			     d->problems == 1 ? "" : "s", d->warnings, d->warnings == 1 ? "" : "s");
	if (d->report)
		code = close_report(d);
	return d->problems ? EXIT_FAILED : code;
}

static int take_own(struct cli_url *u, int opt, const char *argument)
{
	struct doctor *d = (struct doctor *)u;

	if (opt == 'b')
		d->bundle = argument;
	else
		d->json = true;
	return 0;
}

static const struct option longs[] = { { "options", required_argument, NULL, 'o' },
				       { "bundle", required_argument, NULL, 'b' },
				       { "json", no_argument, NULL, 'j' },
				       { "help", no_argument, NULL, 'h' },
				       { NULL, 0, NULL, 0 } };

const struct cli_options cli_doctor_options = { "o:h", longs };

int cli_doctor(int argc, char **argv)
{
	struct doctor d = { .any = false };
	int code;

	cli_url_init(&d.url, EXIT_FAILED);
	d.url.take_own = take_own;
	d.url.takes_dir = true;
	d.url.takes_cache = true;
	code = cli_url_parse(&d.url, argc, argv, &cli_doctor_options);
	if (code == 0 && d.url.help)
		cli_show_help(cli_doctor_help);
	else if (code == 0 && d.url.rest_count > 0)
		code = cli_say(EXIT_FAILED, "doctor takes one URL or folder, not \"%s\" as well",
			       d.url.rest[0]);
	else if (code == 0)
		code = run(&d);
	cli_url_release(&d.url);
	if (d.mount_asked && d.mount_err >= 0)
		cli_answer_release(&d.mount);
	return code;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* log: how much the process of a mount writes to its log. */
#include "cli/internal.h"

void cli_log_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs log DIR [LEVEL]\n\n"
		"Says how much the mount on DIR writes to its log, and where that is; with LEVEL "
		"changes how much, until it\n"
		"is unmounted:\n\n"
		"  error                  what has failed for good\n"
		"  warn                   and what programs have noticed\n"
		"  info                   and requests that failed or were slow, now and then\n"
		"  debug                  and every such request, and what else helps to find a "
		"fault\n\n"
		"Exit status: 0; 1 nothing is mounted there, its process does not answer, or wrong "
		"usage.\n",
		out);
}

static const struct option longs[] = { { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };

const struct cli_options cli_log_options = { "h", longs };

static int ask(const char *dir, const char *question)
{
	struct cli_answer a;
	int err = cli_answer_ask(dir, question, &a), code = 0;

	if (err < 0)
		return cli_ask_failed(dir, err);
	if (*cli_answer_text(&a, "error"))
		code = cli_say(EXIT_FAILED, "%s", cli_answer_text(&a, "error"));
	else
		(void)printf("%s, to %s\n", cli_answer_text(&a, "level"),
			     cli_answer_text(&a, "where"));
	cli_answer_release(&a);
	return code;
}

int cli_log(int argc, char **argv)
{
	enum log_level level;
	char question[32];
	int opt;

	while ((opt = option_next(argc, argv, "h", longs)) != -1) {
		if (opt != 'h')
			return cli_say_option(EXIT_FAILED, argv[0]);
		cli_show_help(cli_log_help);
		return 0;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return cli_say(EXIT_FAILED, "log needs a folder: levels3fs log DIR [LEVEL]");
	if (argc - optind == 1)
		return ask(argv[optind], "log");
	if (log_level_parse(argv[optind + 1], &level) < 0)
		return cli_say(EXIT_FAILED, "%s is no level: error, warn, info or debug",
			       argv[optind + 1]);
	(void)snprintf(question, sizeof(question), "log %s", log_level_name(level));
	return ask(argv[optind], question);
}

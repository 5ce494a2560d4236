/* SPDX-License-Identifier: BSD-3-Clause */
/* What verbs on a URL share: their options, and opening the filesystem there without mounting it.
 */
#include "cli/internal.h"

#include <string.h>

static void on_notice(void *ctx, enum log_level level, const char *text)
{
	if (level <= LOG_L_WARN)
		(void)cli_say(0, "%s", text);
}

void cli_url_init(struct cli_url *u, int usage_code)
{
	memset(u, 0, sizeof(*u));
	u->usage_code = usage_code;
	fs_config_init(&u->config);
	u->config.notifier.fn = on_notice;
}

void cli_url_release(struct cli_url *u)
{
	fs_config_release(&u->config);
}

static int take_option(struct cli_url *u, int opt, const char *verb)
{
	switch (opt) {
	case 'o':
		if (fs_config_parse(&u->config, optarg, NULL, NULL) < 0)
			return cli_say(u->usage_code, "%s", err_last_note());
		return 0;
	case 'h':
		u->help = true;
		return 0;
	case '?':
		return cli_say(u->usage_code, "levels3fs %s --help says what it takes", verb);
	default:
		u->flags |= cli_flag((char)opt);
		return 0;
	}
}

int cli_url_parse(struct cli_url *u, int argc, char **argv, const char *shorts,
		  const struct option *longs)
{
	int code = 0, opt;

	while (code == 0 && !u->help && (opt = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
		code = take_option(u, opt, argv[0]);
	if (code || u->help)
		return code;
	if (optind == argc)
		return cli_say(u->usage_code, "%s needs one URL: levels3fs %s --help", argv[0],
			       argv[0]);
	u->url = argv[optind];
	u->rest = argv + optind + 1;
	u->rest_count = argc - optind - 1;
	if (fs_config_check(&u->config) < 0)
		return cli_say(u->usage_code, "%s", err_last_note());
	return 0;
}

int cli_url_open(struct cli_url *u, int code, struct fs **ret)
{
	char what[600];
	int err = 0;

	u->config.read_only = true;
	u->config.create = false;
	/* The folder of a mount's cache is that mount's. */
	if (!u->config.cache_dir)
		err = fs_config_set(&u->config, "cache_dir", "none");
	if (err >= 0)
		err = fs_open(u->url, &u->config, ret);
	if (err >= 0)
		return 0;
	(void)snprintf(what, sizeof(what), "%.500s cannot be read", u->url);
	return cli_say_error(code, err, what);
}

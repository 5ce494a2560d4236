/* SPDX-License-Identifier: BSD-3-Clause */
/* What verbs on a URL share: their options, and opening the filesystem there without mounting it.
 */
#include "cli/internal.h"

#include <errno.h>
#include <string.h>

#define RETRIES 10
#define RETRY_DELAY_MS 100
#define RETRY_MAX_DELAY_MS 5000

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
	fs_place_release(&u->place);
	buf_release(&u->lists);
}

static int take_option(struct cli_url *u, int opt, const char *verb)
{
	switch (opt) {
	case 'o':
		buf_add(&u->lists, optarg, strlen(optarg) + 1);
		return 0;
	case 'h':
		u->help = true;
		return 0;
	case '?':
		return cli_say_option(u->usage_code, verb);
	default:
		if (u->take_own)
			return u->take_own(u, opt, optarg);
		u->flags |= cli_flag((char)opt);
		return 0;
	}
}

/* fs_option_fn, for what a configuration file says: options of the mount are none of ours, and neither is the folder of
 * its cache. */
static int set_from_file(void *ctx, const char *name, const char *value)
{
	struct cli_url *u = ctx;
	bool skip = !u->takes_cache && strcmp(name, "cache_dir") == 0;
	int err = skip ? 0 : fs_config_set(&u->config, name, value);

	return err == -ENOTSUP ? 0 : err;
}

static int parse_lists(struct cli_url *u)
{
	const char *list = (const char *)u->lists.data, *end = list + u->lists.len;
	int err = buf_error(&u->lists);

	for (; err >= 0 && list < end; list += strlen(list) + 1)
		err = fs_config_parse(&u->config, list, NULL, NULL);
	return err;
}

/* What was given with -o goes before what a file says. */
int cli_url_settle(struct cli_url *u, const char *word)
{
	int err = fs_place_find(word, set_from_file, u, &u->place);

	if (err >= 0)
		err = parse_lists(u);
	if (err >= 0)
		err = fs_config_check(&u->config);
	u->url = u->place.url;
	return err < 0 ? cli_say(u->usage_code, "%s", err_last_note()) : 0;
}

int cli_url_parse(struct cli_url *u, int argc, char **argv, const struct cli_options *options)
{
	int code = 0, opt;

	while (code == 0 && !u->help &&
	       (opt = option_next(argc, argv, options->shorts, options->longs)) != -1)
		code = take_option(u, opt, argv[0]);
	if (code || u->help)
		return code;
	if (u->takes_action && optind < argc)
		u->action = argv[optind++];
	if (optind == argc)
		return cli_say(u->usage_code, "%s needs one URL: levels3fs %s --help", argv[0],
			       argv[0]);
	u->rest = argv + optind + 1;
	u->rest_count = argc - optind - 1;
	if (!u->takes_dir || !cli_place_is_dir(argv[optind]))
		return cli_url_settle(u, argv[optind]);
	u->dir = argv[optind];
	return parse_lists(u) < 0 ? cli_say(u->usage_code, "%s", err_last_note()) : 0;
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

int cli_store_open(const struct cli_url *u, bool for_writing, struct cli_store *ret)
{
	struct store_retry_config retry = { .attempts = RETRIES,
					    .base_delay_ms = RETRY_DELAY_MS,
					    .max_delay_ms = RETRY_MAX_DELAY_MS,
					    .clock = &clock_system };
	int err = store_open(u->url, &u->config.store, &ret->base);

	if (err >= 0)
		err = store_wrap_retry(ret->base, &retry, &ret->store);
	return err < 0 ? err : super_read(ret->store, for_writing, &ret->super, NULL);
}

void cli_store_close(struct cli_store *s)
{
	store_unref(s->store);
	store_unref(s->base);
}

void cli_store_lease(const struct cli_store *s, const struct cli_url *u, const char *who,
		     struct lease_config *ret)
{
	*ret = (struct lease_config){
		.store = s->store,
		.fs = s->super.uuid,
		.mountpoint = who,
		.duration_ms = u->config.lease_ms,
		.renew_ms = u->config.renew_ms,
		.wait_ms = u->config.lease_wait_ms,
		.time_only = u->config.lease_only,
		.clock = &clock_system,
		.notifier = u->config.notifier,
	};
}

const struct option cli_url_longs[] = { { "options", required_argument, NULL, 'o' },
					{ "help", no_argument, NULL, 'h' },
					{ "json", no_argument, NULL, 'j' },
					{ "yes", no_argument, NULL, 'y' },
					{ "recursive", no_argument, NULL, 'R' },
					{ "long", no_argument, NULL, 'l' },
					{ NULL, 0, NULL, 0 } };
#define LONGS_MAX 8

static int parse_and_run(struct cli_url *u, int argc, char **argv, const struct cli_url_verb *v)
{
	struct option longs[LONGS_MAX] = { 0 };
	struct cli_options options = { v->options->shorts, longs };
	size_t count = 0;
	int code;

	u->takes_action = v->takes_action;
	for (const struct option *o = cli_url_longs; o->name && count < LONGS_MAX - 1; o++)
		if (strchr(options.shorts, o->val))
			longs[count++] = *o;
	code = cli_url_parse(u, argc, argv, &options);
	if (code)
		return code;
	if (u->help) {
		cli_show_help(v->help);
		return 0;
	}
	if (v->url_only && u->rest_count > 0)
		return cli_say(u->usage_code, "%s takes one URL, not \"%s\" as well", argv[0],
			       u->rest[0]);
	return v->run(u);
}

int cli_url_run(int argc, char **argv, const struct cli_url_verb *v)
{
	struct cli_url u;
	int code;

	cli_url_init(&u, EXIT_FAILED);
	code = parse_and_run(&u, argc, argv, v);
	cli_url_release(&u);
	return code;
}

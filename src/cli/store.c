/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs on a URL that is not mounted here: mkfs, fsck. */
#include "cli/internal.h"

#include <getopt.h>
#include <string.h>

/* Exit codes of fsck(8). */
enum { FSCK_ERRORS_LEFT = 4, FSCK_OPERATIONAL = 8, FSCK_USAGE = 16 };

struct url_command {
	struct fs_config config;
	const char *url;
	bool data, help;
	int usage_code;
};

static void on_notice(void *ctx, enum log_level level, const char *text)
{
	if (level <= LOG_L_WARN)
		(void)cli_say(0, "%s", text);
}

static int add_options(struct url_command *c, const char *list)
{
	int err = fs_config_parse(&c->config, list, NULL, NULL);

	return err < 0 ? cli_say(c->usage_code, "%s", err_last_note()) : 0;
}

static int parse(struct url_command *c, int argc, char **argv, bool is_fsck)
{
	static const struct option longs[] = { { "options", required_argument, NULL, 'o' },
					       { "data", no_argument, NULL, 'D' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	int code = 0, opt;

	while (code == 0 && (opt = getopt_long(argc, argv, "o:h", longs, NULL)) != -1) {
		if (opt == 'o')
			code = add_options(c, optarg);
		else if (opt == 'h')
			c->help = true;
		else if (opt == 'D' && is_fsck)
			c->data = true;
		else
			return cli_say(c->usage_code, "levels3fs %s --help says what it takes",
				       argv[0]);
	}
	if (code || c->help)
		return code;
	if (argc - optind != 1)
		return cli_say(c->usage_code,
			       "%s needs one URL: levels3fs %s URL (options come after -o)",
			       argv[0], argv[0]);
	c->url = argv[optind];
	if (fs_config_check(&c->config) < 0)
		return cli_say(c->usage_code, "%s", err_last_note());
	return 0;
}

static void init(struct url_command *c, int usage_code)
{
	memset(c, 0, sizeof(*c));
	fs_config_init(&c->config);
	c->config.notifier.fn = on_notice;
	c->usage_code = usage_code;
}

/* ---- mkfs ---- */

void cli_mkfs_help(FILE *out)
{
	(void)fputs("usage: levels3fs mkfs URL [-o OPTION[,OPTION]…]\n\n"
		    "Makes an empty filesystem. Refuses, and changes nothing, where the prefix or "
		    "folder holds\n"
		    "anything; finishes what an interrupted mkfs began. The bucket (for "
		    "file:///A/B the folder /A)\n"
		    "must exist. The options are those of mount: levels3fs help mount.\n\n"
		    "Exit status: 0 made; 1 not.\n",
		    out);
}

static int format(const struct url_command *c)
{
	int err = fs_format(c->url, &c->config);
	char what[600];

	if (err < 0) {
		(void)snprintf(what, sizeof(what), "no filesystem was made in %.500s", c->url);
		return cli_say_error(EXIT_FAILED, err, what);
	}
	(void)printf("made an empty filesystem in %s\n", c->url);
	return 0;
}

int cli_mkfs(int argc, char **argv)
{
	struct url_command c;
	int code;

	init(&c, EXIT_FAILED);
	code = parse(&c, argc, argv, false);
	if (code == 0 && c.help)
		cli_mkfs_help(stdout);
	else if (code == 0)
		code = format(&c);
	fs_config_release(&c.config);
	return code;
}

/* ---- fsck ---- */

void cli_fsck_help(FILE *out)
{
	(void)fputs("usage: levels3fs fsck URL [-o OPTION[,OPTION]…] [--data]\n\n"
		    "Checks that a filesystem is sound: every record, name, link count, total, and "
		    "that every object\n"
		    "named is there. Changes nothing, and is never needed after a crash. It may be "
		    "mounted meanwhile:\n"
		    "what is checked is its state at the start.\n\n"
		    "  --data                 also read and check every byte of every file\n"
		    "  -o OPTIONS             as for mount: levels3fs help mount\n\n"
		    "Exit status: 0 sound; 4 problems were found; 8 it could not be checked; 16 "
		    "wrong usage.\n",
		    out);
}

struct fsck {
	struct cli_progress progress;
};

static void on_problem(void *ctx, const char *text)
{
	struct fsck *f = ctx;

	cli_progress_clear(&f->progress);
	(void)printf("problem: %s\n", text);
}

static void on_fsck_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct fsck *f = ctx;

	if (total)
		cli_progress(&f->progress, "%s: %llu of %llu", phase, (unsigned long long)done,
			     (unsigned long long)total);
	else
		cli_progress(&f->progress, "%s: %llu", phase, (unsigned long long)done);
}

static void print_result(const struct fs_check_result *r)
{
	char size[SIZE_STR_LEN];

	(void)printf("%llu inodes, %llu names, %llu extents, %llu segments, %llu tables, %llu "
		     "orphans, %s of data\n",
		     (unsigned long long)r->inodes, (unsigned long long)r->dentries,
		     (unsigned long long)r->extents, (unsigned long long)r->segments,
		     (unsigned long long)r->tables, (unsigned long long)r->orphans,
		     format_size(r->bytes, size));
	if (r->unreferenced_objects)
		(void)printf("%llu objects are not used any more and will be removed by the next "
			     "mount\n",
			     (unsigned long long)r->unreferenced_objects);
}

static int check(const struct url_command *c, struct fs *fs)
{
	struct fsck f = { { 0 } };
	struct fs_check_options options = {
		.data = c->data, .problem = on_problem, .progress = on_fsck_progress, .ctx = &f
	};
	struct fs_check_result result = { 0 };
	int err = fs_check(fs, &options, &result);

	cli_progress_clear(&f.progress);
	if (err < 0)
		return cli_say_error(FSCK_OPERATIONAL, err, "the check could not be finished");
	print_result(&result);
	if (err == 0) {
		(void)printf("%s is sound\n", c->url);
		return 0;
	}
	(void)printf("%s has %llu problems; nothing was changed\n", c->url,
		     (unsigned long long)result.problems);
	return FSCK_ERRORS_LEFT;
}

static int open_and_check(struct url_command *c)
{
	struct fs *fs = NULL;
	char what[600];
	int err, code;

	c->config.read_only = true;
	c->config.create = false;
	/* It is the store that is to be checked, not what the cache remembers of it. */
	err = fs_config_set(&c->config, "cache_dir", "none");
	if (err >= 0)
		err = fs_open(c->url, &c->config, &fs);
	if (err < 0) {
		(void)snprintf(what, sizeof(what), "%.500s cannot be checked", c->url);
		return cli_say_error(err == -L3_BAD_OPTION ? FSCK_USAGE : FSCK_OPERATIONAL, err,
				     what);
	}
	code = check(c, fs);
	(void)fs_close(fs, NULL, NULL); /* read-only: nothing to store */
	return code;
}

int cli_fsck(int argc, char **argv)
{
	struct url_command c;
	int code;

	init(&c, FSCK_USAGE);
	code = parse(&c, argc, argv, true);
	if (code == 0 && c.help)
		cli_fsck_help(stdout);
	else if (code == 0)
		code = open_and_check(&c);
	fs_config_release(&c.config);
	return code;
}

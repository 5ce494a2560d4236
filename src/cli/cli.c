/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of verbs, and how one is chosen. */
#include "cli/internal.h"

#include <string.h>

#include "config.h"

static int cli_help(int argc, char **argv);

static const struct cli_verb verbs[] = {
	{ "mkfs", "URL [-o OPTIONS]", "make an empty filesystem", cli_mkfs, cli_mkfs_help,
	  &cli_mkfs_options, NULL },
	{ "umount", "DIR [--force]", "unmount, and wait until everything is stored", cli_umount,
	  cli_umount_help, &cli_umount_options, NULL },
	{ "status", "[DIR] [--json]", "what a mount is doing", cli_status, cli_status_help,
	  &cli_status_options, NULL },
	{ "stats", "DIR [--count N]", "the same, live: a line every second", cli_stats,
	  cli_stats_help, &cli_stats_options, NULL },
	{ "trace", "DIR [--ops]", "each request that a mount sends, as it happens", cli_trace,
	  cli_trace_help, &cli_trace_options, NULL },
	{ "log", "DIR [LEVEL]", "how much a mount writes to its log", cli_log, cli_log_help,
	  &cli_log_options, NULL },
	{ "info", "PATH [--json]", "what a file is made of", cli_info, cli_info_help,
	  &cli_info_options, NULL },
	{ "summary", "PATH [--json]", "count what lies below a folder, quickly", cli_summary,
	  cli_summary_help, &cli_summary_options, NULL },
	{ "warmup", "PATH…", "fetch files into the cache", cli_warmup, cli_warmup_help,
	  &cli_warmup_options, NULL },
	{ "fsck", "URL [-o OPTIONS] [--repair]", "check a filesystem, or repair it", cli_fsck,
	  cli_fsck_help, &cli_fsck_options, NULL },
	{ "gc", "DIR|URL [--dry-run] [--wait]", "collect what nothing needs any more, now", cli_gc,
	  cli_gc_help, &cli_gc_options, NULL },
	{ "ls", "URL [PATH…] [-l] [-R]", "list folders of a filesystem that is not mounted", cli_ls,
	  cli_ls_help, &cli_ls_options, NULL },
	{ "cat", "URL PATH…", "write out files of such a filesystem", cli_cat, cli_cat_help,
	  &cli_cat_options, NULL },
	{ "cp", "URL PATH… DEST", "copy files and folders out of it", cli_cp, cli_cp_help,
	  &cli_cp_options, NULL },
	{ "lease", "show|break URL", "who has a filesystem; take it from a dead machine", cli_lease,
	  cli_lease_help, &cli_lease_options, NULL },
	{ "destroy", "URL", "remove a filesystem and all that is in it", cli_destroy,
	  cli_destroy_help, &cli_destroy_options, NULL },
	{ "bench", "URL|DIR [-o OPTIONS] [--json]", "measure the object store itself, or a mount",
	  cli_bench, cli_bench_help, &cli_bench_options, NULL },
	{ "doctor", "URL|DIR [-o OPTIONS] [--json]", "look for what is wrong, and say what to do",
	  cli_doctor, cli_doctor_help, &cli_doctor_options, NULL },
	{ "help", "[VERB|OPTION]", "this text, or that of a verb or an option", cli_help, NULL,
	  NULL, NULL },
};

static const struct cli_verb *mount_verb;

static const struct cli_verb *find(const char *name)
{
	if (strcmp(mount_verb->name, name) == 0)
		return mount_verb;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	if (strcmp(name, "unmount") == 0)
		return find("umount");
	return NULL;
}

static const char *nearest(const char *name)
{
	const char *names[ARRAY_LEN(verbs) + 1];

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		names[i] = verbs[i].name;
	names[ARRAY_LEN(verbs)] = mount_verb->name;
	return nearest_name(name, names, ARRAY_LEN(names));
}

/* printf pads by bytes; a character of UTF-8 may have several. */
static int padded(const char *text, int columns)
{
	for (; *text; text++)
		columns += (*text & 0xc0) == 0x80;
	return columns;
}

static void print_verb(FILE *out, const struct cli_verb *v)
{
	(void)fprintf(out, "  levels3fs %-7s %-*s %s\n", v->name, padded(v->arguments, 33),
		      v->arguments, v->summary);
}

static void print_usage(FILE *out)
{
	(void)fputs("levels3fs: a POSIX filesystem in an S3 bucket\n\n", out);
	print_verb(out, mount_verb);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		print_verb(out, &verbs[i]);
	(void)fputs("\nURL is s3://BUCKET/PREFIX or file:///ABSOLUTE/FOLDER; a name of "
		    "levels3fs.conf(5) does "
		    "for it, and for DIR.\n"
		    "levels3fs help VERB says more; so do the manual pages levels3fs(1) and "
		    "mount.levels3fs(8).\n",
		    out);
}

static int unknown_verb(const char *name)
{
	const char *near = nearest(name);

	if (near)
		return cli_say(EXIT_FAILED, "unknown verb \"%s\"; did you mean \"%s\"?", name,
			       near);
	return cli_say(EXIT_FAILED, "unknown verb \"%s\" (levels3fs --help lists them)", name);
}

/* Of the filesystem or the mount; NULL: there is none of that name. */
static const struct fs_option_info *find_option(const char *name)
{
	const struct fs_option_info *lists[] = { fs_options(), mount_verb->more() };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (const struct fs_option_info *o = lists[i]; o->name; o++)
			if (strcmp(o->name, name) == 0)
				return o;
	return NULL;
}

static int cli_help(int argc, char **argv)
{
	const struct fs_option_info *option;
	const struct cli_verb *v;

	if (argc < 2) {
		cli_show_help(print_usage);
		return 0;
	}
	v = find(argv[1]);
	option = find_option(argv[1]);
	if (!v && !option)
		return unknown_verb(argv[1]);
	if (v && v->help)
		cli_show_help(v->help);
	else if (v)
		cli_show_help(print_usage);
	if (option) /* "lease" is both */
		cli_print_option(stdout, option);
	return 0;
}

/* ---- for the shells' completion ---- */

static void list_names(const struct fs_option_info *list)
{
	for (; list->name; list++)
		(void)printf("%s%s\n", list->name, list->argument ? "=" : "");
}

static void list_after_o(const struct cli_verb *v)
{
	if (!strstr(v->options->shorts, "o:"))
		return;
	list_names(fs_options());
	if (v->more)
		list_names(v->more());
}

static void list_options(const struct cli_options *o)
{
	for (const char *s = o->shorts; *s; s++)
		if (*s != ':')
			(void)printf("-%c\n", *s);
	for (const struct option *l = o->longs; l->name; l++)
		if (o->longs != cli_url_longs || strchr(o->shorts, l->val))
			(void)printf("--%s\n", l->name);
}

static int list_name(void *ctx, const char *name, const struct fs_place *p)
{
	(void)puts(name);
	return 0;
}

static bool list_ours(void *ctx, const struct ctl_mount *m)
{
	if (ctl_mount_is_ours(m))
		(void)puts(m->dir);
	return true;
}

/* Names of the configuration, and where the verb is about a mount, the folders of those. */
static void list_places(const struct cli_verb *v)
{
	(void)fs_place_each(list_name, NULL);
	if (v != mount_verb &&
	    (strstr(v->arguments, "DIR") || strncmp(v->arguments, "PATH", 4) == 0))
		(void)ctl_mount_each(list_ours, NULL);
}

/* levels3fs complete [VERB [-o|@]]: what may stand there, each on a line; "@" is a place. contrib/completion asks. */
static int complete(int argc, char **argv)
{
	const struct cli_verb *v;

	if (argc < 2) {
		(void)puts(mount_verb->name);
		for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
			(void)puts(verbs[i].name);
		return 0;
	}
	v = find(argv[1]);
	if (!v || !v->options)
		return v ? 0 : EXIT_FAILED;
	if (argc > 2 && strcmp(argv[2], "@") == 0)
		list_places(v);
	else if (argc > 2)
		list_after_o(v);
	else
		list_options(v->options);
	return 0;
}

static bool is_any(const char *arg, const char *a, const char *b)
{
	return strcmp(arg, a) == 0 || strcmp(arg, b) == 0;
}

/* "levels3fs URL DIR", "levels3fs -o … URL DIR" */
static bool means_mount(const char *arg)
{
	return arg[0] == '-' || strstr(arg, "://") || strncmp(arg, "mem:", 4) == 0;
}

int cli_main(int argc, char **argv, const struct cli_verb *mount)
{
	const struct cli_verb *v;

	mount_verb = mount;
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_FAILED;
	}
	if (is_any(argv[1], "--help", "-h"))
		return cli_help(1, argv);
	if (is_any(argv[1], "--version", "-V")) {
		(void)printf("levels3fs %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "complete") == 0)
		return complete(argc - 1, argv + 1);
	v = find(argv[1]);
	if (v)
		return v->run(argc - 1, argv + 1);
	if (means_mount(argv[1]))
		return mount->run(argc, argv);
	return unknown_verb(argv[1]);
}

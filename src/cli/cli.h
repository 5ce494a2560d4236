/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cli: the command line of levels3fs, but for mounting, which the program adds as one more verb.
 *
 * Each verb is a function with main's arguments (argv[0] is the verb) that returns the exit code.
 * Messages for people go to stderr as "levels3fs: …"; what was asked for goes to stdout. Keys are
 * never arguments: they would be seen by everybody who lists processes.
 */
#ifndef LEVELS3_CLI_H
#define LEVELS3_CLI_H

#include "fs/fs.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

struct cli_options { /* of a verb, as for getopt_long */
	const char *shorts;
	const struct option *longs;
};

struct cli_verb {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(int argc, char **argv);
	void (*help)(FILE *out);
	const struct cli_options *options; /* NULL: none */
	/* What may stand after its -o besides the filesystem's options. May be NULL. */
	const struct fs_option_info *(*more)(void);
};

/* `mount` is also what runs for "levels3fs URL DIR". */
int cli_main(int argc, char **argv, const struct cli_verb *mount);
/* What the program knows of mounting, for doctor. */
struct cli_host {
	int (*check_fuse)(void); /* can this user mount? An error with a note */
	int (*cache_dir)(char out[PATH_MAX]); /* where the cache is unless options say otherwise */
};
/* Kept, not copied; before cli_main. */
void cli_use_host(const struct cli_host *host);
/* On the standard output; on a terminal no wider than that is. */
void cli_show_help(void (*help)(FILE *out));
/* umount.levels3fs DIR [-flnrv], as umount(8) calls it. Exit codes of umount(8). */
int cli_umount_helper(int argc, char **argv);

/* What the daemon says in answer to "status" (util/ctl.h), as the verb shows it. -ENOMEM. */
int cli_status_write(FILE *out, const char *lines, bool json);
/* A line of its trace (fuse/trace.h), as the verb shows it; nothing for what is none. */
void cli_trace_write(FILE *out, const char *line);

#endif

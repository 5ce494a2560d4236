/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the cli room.
 *
 *	cli.c       the table of verbs, help, typos
 *	say.c       messages, progress
 *	store.c     mkfs, fsck: verbs that open a URL
 *	umount.c    umount, and the helper of umount(8)
 *	busy.c      who uses a mount
 *	status.c    status
 *	bench.c     bench
 */
#ifndef LEVELS3_CLI_INTERNAL_H
#define LEVELS3_CLI_INTERNAL_H

#include "cli/cli.h"
#include "fs/fs.h"
#include "util/ctl.h"

/* Exit codes of mkfs and others; fsck(8) and umount(8) have theirs. */
enum { EXIT_FAILED = 1 };

int cli_mkfs(int argc, char **argv);
void cli_mkfs_help(FILE *out);
int cli_fsck(int argc, char **argv);
void cli_fsck_help(FILE *out);
int cli_umount(int argc, char **argv);
void cli_umount_help(FILE *out);
int cli_status(int argc, char **argv);
void cli_status_help(FILE *out);
int cli_bench(int argc, char **argv);
void cli_bench_help(FILE *out);

/* "levels3fs: …\n" on stderr; returns code. */
int cli_say(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "levels3fs: WHAT: why, and what to do about it" */
int cli_say_error(int code, int err, const char *what);

/* Something that takes long: on a terminal one line that changes, elsewhere a line now and then. */
struct cli_progress {
	bool shown; /* the terminal's line is not empty */
	uint64_t next_ms;
};
void cli_progress(struct cli_progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Before any other output. */
void cli_progress_clear(struct cli_progress *p);

/* Says which processes use the mount on dir, as far as we may see. */
void cli_say_users(const char *dir);

#endif

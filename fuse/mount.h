/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuse: the daemon and the mount helper. This is the room's door.
 *
 *	mount.c       the command: arguments, checks, the process in the background
 *	options.c     what stands after -o
 *	mountpoint.c  whether the folder will do
 *	daemon.c      the serving process: opening, signals, closing
 *	session.c     the connection with the kernel
 *	ops*.c        the operations
 *	control.c     the control socket
 *	report.c      the status that it tells
 *	scrape.c      metrics over HTTP; scrape_address.c: on which port
 *	metrics.c     the same for Prometheus; meter.c: how long requests take
 *	logger.c      the log
 *	supervisor.c  what systemd is told; pulse.c: whether the daemon is alive
 *	virtual.c     the folder .levels3fs; stream.c: its trace
 *
 * It translates and decides nothing: what a filesystem does is in src/fs.
 */
#ifndef LEVELS3_FUSE_MOUNT_H
#define LEVELS3_FUSE_MOUNT_H

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

/* How what the daemon tells of itself reads to people: the command line knows, a room of the same rank, so the
 * program hands it on. Before any of those below. */
struct mount_words {
	int (*status)(FILE *out, const char *lines, bool json);
	void (*trace)(FILE *out, const char *line);
	void (*show_help)(void (*help)(FILE *out));
};
void mount_use_words(const struct mount_words *words);

/* levels3fs [mount] URL DIR [-o OPTIONS] [-f] [-d]; argv[0] is the verb. Exit codes of mount(8). */
int mount_main(int argc, char **argv);
/* mount.levels3fs URL DIR [-sfnv] [-o OPTIONS], as mount(8) calls it. */
int mount_helper_main(int argc, char **argv);
void mount_help(FILE *out);
/* Where the cache of this user's mounts is; "none". -ENAMETOOLONG. */
int mount_cache_dir(char out[PATH_MAX]);
#define MOUNT_SHORTS "o:rfdh"
extern const struct option mount_longs[];

#endif

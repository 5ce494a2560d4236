/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands after -o: the filesystem's options (fs.h), mount(8)'s, and the daemon's own. */
#ifndef LEVELS3_FUSE_OPTIONS_H
#define LEVELS3_FUSE_OPTIONS_H

#include "fs/fs.h"

#include <stdio.h>

enum log_where { LOG_BY_ITSELF, LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_JOURNALD };

enum who_may { OTHERS_DEFAULT, OTHERS_ALLOWED, OTHERS_DENIED, OTHERS_ROOT };

struct mount_options {
	struct fs_config config;
	unsigned long flags; /* MS_… of mount(2) */
	enum who_may others;
	bool writeback, nonempty, remount;
	bool sloppy;	/* mount -s: what is unknown is ignored */
	enum log_level log_level;
	enum log_where log_where;
	char *metrics; /* where to listen; NULL: nowhere */
	char *fsname;	/* what df shows; NULL: the URL */
	char *security; /* context= and its kin, for the kernel; NULL */
};

void mount_options_init(struct mount_options *o);
void mount_options_release(struct mount_options *o);
/* May be called several times, as -o may be given. 0; -L3_BAD_OPTION with a note for people. */
int mount_options_parse(struct mount_options *o, const char *list);
/* What a word for the filesystem stands for, with the settings that levels3fs.conf(5) has for it: before
 * mount_options_parse, which goes first. Errors as fs_place_find. */
int mount_options_place(struct mount_options *o, const char *word, struct fs_place *ret);
/* The list for libfuse. */
int mount_options_for_fuse(const struct mount_options *o, const char *url, struct buf *out);
/* For --help: name, argument, default, meaning; ends with a NULL name. Without fs_options(). */
const struct fs_option_info *mount_options_list(void);

#endif

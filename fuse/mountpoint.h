/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether something can be mounted on a folder, said in words before anything is done. */
#ifndef LEVELS3_FUSE_MOUNTPOINT_H
#define LEVELS3_FUSE_MOUNTPOINT_H

#include "util/ctl.h"

/* ret_dir: the absolute path. Removes a dead mount of ours that a crash left there. Errors have a
 * note. */
int mountpoint_check(const char *path, bool may_be_nonempty, char ret_dir[PATH_MAX]);
/* A file store in the mountpoint would be hidden by the mount, a mountpoint in a file store counted
 * among its objects; a cache folder in the mountpoint is hidden, too. dir: as from above. */
int mountpoint_check_store(const char *dir, const char *url);
int mountpoint_check_cache(const char *dir, const char *cache_dir);
/* For a service of systemd: no line of fstab, of which systemd makes a unit as well, is about the same folder. */
int mountpoint_check_fstab(const char *path);
/* /dev/fuse, and fusermount3 for users other than root. */
int mountpoint_check_fuse(void);

#endif

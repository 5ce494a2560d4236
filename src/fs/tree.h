/* SPDX-License-Identifier: BSD-3-Clause */
/* Walking over what lies below a folder: tree.c, and warm.c, which uses it. */
#ifndef LEVELS3_FS_TREE_H
#define LEVELS3_FS_TREE_H

#include "fs/bytes.h"

/* again: it has several names, and was visited by another of them. Negative: the walk ends with that. */
typedef int (*tree_visit_fn)(void *ctx, const struct fs_attr *a, bool again);

/* The inode itself, and all below it if it is a folder. No locks held. */
int tree_walk(struct fs *fs, uint64_t ino, tree_visit_fn fn, void *ctx);
bool tree_goes_on(const struct fs_watch *watch, uint64_t bytes, uint64_t files);

#endif

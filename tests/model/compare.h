/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compare: whether two sides did the same, and the only place that says where they may differ.
 */
#ifndef MODEL_COMPARE_H
#define MODEL_COMPARE_H

#include "model/worker.h"

#define WHAT_MAX 32
#define DETAIL_MAX 512

struct verdict {
	bool differs;
	char what[WHAT_MAX];	 /* the kind of difference; shrinking keeps to it */
	char detail[DETAIL_MAX]; /* for people */
};

#define DIRTY_MAX 1024

/* Inodes of our side whose mtime and ctime the kernel may still change: see compare.c. */
struct dirty {
	uint64_t inos[DIRTY_MAX];
	size_t count;
	bool all;
};

struct compare {
	struct dirty dirty;
	uint64_t mapped[OP_ACTORS][OP_SLOTS]; /* inode that a mapping is of; 0: not a shared one */
	bool ours_coarse, native_coarse;      /* times do not change with every change */
};

void compare_steps(struct compare *c, const struct op *op, const struct result *ours,
		   const struct result *native, struct verdict *ret);
void compare_trees(const struct tree *a, const struct tree *b, const char *what,
		   struct verdict *ret);

#endif

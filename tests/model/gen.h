/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *  gen: random steps. The generator is told what each step found, so that most steps meet
 * something; as both sides find the same, the same seed gives the same steps.
 */
#ifndef MODEL_GEN_H
#define MODEL_GEN_H

#include "model/worker.h"

struct features {     /* what both sides can do */
	bool tmpfile; /* O_TMPFILE: needs libfuse 3.17 */
	bool shift;   /* FALLOC_FL_COLLAPSE_RANGE, _INSERT_RANGE: the kernel's FUSE refuses them */
	bool big_xattr; /* values up to 64 KiB: ext4 needs ea_inode */
};

struct gen;

struct gen *gen_new(uint64_t seed, const struct features *f);
void gen_free(struct gen *g);
void gen_next(struct gen *g, struct op *ret);
/* What came of it, on either side. */
void gen_told(struct gen *g, const struct op *op, const struct result *res);
/* All files have been closed. */
void gen_closed(struct gen *g);
/* For choices beside the steps, such as when to remount. */
uint32_t gen_below(struct gen *g, uint32_t n);

#endif

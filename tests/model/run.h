/* SPDX-License-Identifier: BSD-3-Clause */
/* run: a list of steps on fresh folders of both sides; and finding a short list that still fails.
 */
#ifndef MODEL_RUN_H
#define MODEL_RUN_H

#include "model/compare.h"
#include "model/gen.h"

/* How often steps of each kind did something, and how often they were refused. */
struct run_stats {
	uint64_t done[OP_KINDS], refused[OP_KINDS];
};

struct run_config {
	const char *ours, *native;
	const char *remount; /* a command; gets how as its last argument. NULL: no remounts */
	bool ours_coarse, native_coarse; /* see struct compare */
	bool verbose;
	struct run_stats *stats;	   /* may be NULL */
	bool (*omit)(const struct op *op); /* self-test: steps that our side leaves out */
};

/* Where steps come from as they are needed: see gen.h. */
struct run_source {
	void (*next)(void *ctx, size_t at, struct op *ret);
	void (*told)(void *ctx, const struct op *op, const struct result *res);
	void *ctx;
};

/* With a source, ops is filled from it on the way. Where nothing differs: -1; else the number of
 * the step that did. Fresh folders are made, and removed afterwards unless something differs. */
long run_steps(const struct run_config *c, const struct run_source *source, struct op *ops,
	       size_t count, struct verdict *ret);
/* Leaves in ops[0 … *count) a list in which no step can be left out: it fails in the same way.
 * Stops early after `seconds`. */
void shrink(const struct run_config *c, struct op *ops, size_t *count, struct verdict *v,
	    unsigned seconds);
/* What both sides can do. False: one cannot be written to. */
bool run_probe(struct run_config *c, struct features *ret);

#endif

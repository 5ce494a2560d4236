/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether the model test itself can be relied on: no false alarms, no real one missed. */
#include "model/run.h"
#include "model/selftest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS 3000

static struct op steps[STEPS];

static bool fail(const char *what)
{
	(void)printf("FAIL: %s\n", what);
	return false;
}

static bool text_is_faithful(void)
{
	for (size_t n = 0; n < STEPS; n++) {
		char line[OP_LINE_MAX], again[OP_LINE_MAX];
		FILE *f = fmemopen(line, sizeof(line), "w");
		struct op back;

		op_print(f, &steps[n]);
		(void)fclose(f);
		if (!op_parse(line, &back))
			return false;
		f = fmemopen(again, sizeof(again), "w");
		op_print(f, &back);
		(void)fclose(f);
		if (strcmp(line, again) != 0)
			return fail(line);
	}
	return true;
}

static bool one_filesystem_does_not_differ(const struct run_config *c)
{
	struct verdict v;
	long at = run_steps(c, NULL, steps, STEPS, &v);

	if (at < 0)
		return true;
	(void)printf("step %ld: %s: %s\n", at, v.what, v.detail);
	return fail("two folders of the same filesystem differ");
}

static bool is_chmod(const struct op *op)
{
	return op->kind == OP_CHMOD;
}

/* One side forgets every chmod: one is enough to see that. */
static bool a_difference_is_found_and_shrunk(struct run_config *c)
{
	struct verdict v;
	size_t count;
	long at;

	c->omit = is_chmod;
	at = run_steps(c, NULL, steps, STEPS, &v);
	if (at < 0)
		return fail("the planted difference was not found");
	count = (size_t)at + 1;
	shrink(c, steps, &count, &v, 120);
	return count == 1 || fail("the planted difference was not shrunk");
}

int selftest(void)
{
	static const struct features none;
	char top[] = "/var/tmp/fsmodel.XXXXXX";
	struct run_config c = { .ours = top, .native = top };
	struct gen *g = gen_new(1, &none);
	struct features f;
	bool ok = g && mkdtemp(top) && run_probe(&c, &f);

	for (size_t n = 0; ok && n < STEPS; n++)
		gen_next(g, &steps[n]);
	gen_free(g);
	ok = ok && text_is_faithful() && one_filesystem_does_not_differ(&c) &&
	     a_difference_is_found_and_shrunk(&c);
	(void)rmdir(top);
	return ok ? 0 : 1;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding a short list of steps that still fails: Zeller and Hildebrandt, Simplifying and Isolating
 * Failure-Inducing Input (ddmin), here by leaving out parts only.
 */
#include "model/run.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shrinking {
	const struct run_config *config;
	struct op *ops, *trial;
	size_t count;
	enum op_kind kind; /* of the step that fails */
	struct verdict *verdict;
	time_t until;
};

/* Whether the trial fails as the whole did; then it takes its place, up to the failing step. */
static bool adopt(struct shrinking *s, size_t count)
{
	struct verdict v;
	long at = run_steps(s->config, NULL, s->trial, count, &v);

	if (at < 0 || at >= (long)count || strcmp(v.what, s->verdict->what) != 0 ||
	    s->trial[at].kind != s->kind)
		return false;
	s->count = (size_t)at + 1;
	memcpy(s->ops, s->trial, s->count * sizeof(*s->ops));
	*s->verdict = v;
	(void)fprintf(stderr, "\rshrinking: %zu steps   ", s->count);
	return true;
}

static bool try_without(struct shrinking *s, size_t from, size_t len)
{
	size_t rest;

	if (from + len > s->count)
		len = s->count - from;
	rest = s->count - from - len;
	memcpy(s->trial, s->ops, from * sizeof(*s->ops));
	memcpy(s->trial + from, s->ops + from + len, rest * sizeof(*s->ops));
	return adopt(s, from + rest);
}

/* From the end: what is close to the failure matters most, and stays. */
static bool remove_parts(struct shrinking *s, size_t len)
{
	size_t from = s->count > 1 ? s->count - 1 : 0;
	bool any = false;

	while (from > 0 && time(NULL) < s->until) {
		size_t part = from < len ? from : len;

		from -= part;
		any = try_without(s, from, part) || any;
		if (from > s->count - 1)
			from = s->count - 1;
	}
	return any;
}

/* Root and the first process, if it makes no difference who. */
static void simplify(struct shrinking *s)
{
	memcpy(s->trial, s->ops, s->count * sizeof(*s->ops));
	for (size_t n = 0; n < s->count; n++)
		s->trial[n].actor = 0;
	(void)adopt(s, s->count);
	memcpy(s->trial, s->ops, s->count * sizeof(*s->ops));
	for (size_t n = 0; n < s->count; n++) {
		s->trial[n].user = 0;
		s->trial[n].umask = 022;
	}
	(void)adopt(s, s->count);
}

void shrink(const struct run_config *c, struct op *ops, size_t *count, struct verdict *v,
	    unsigned seconds)
{
	struct shrinking s = { .config = c,
			       .ops = ops,
			       .trial = calloc(*count, sizeof(*ops)),
			       .count = *count,
			       .kind = ops[*count - 1].kind,
			       .verdict = v,
			       .until = time(NULL) + (time_t)seconds };
	size_t len = *count / 2;

	if (!s.trial)
		return;
	while (len > 0 && time(NULL) < s.until) {
		bool any = remove_parts(&s, len);

		if (len > 1)
			len /= 2;
		else if (!any)
			break;
	}
	simplify(&s);
	(void)fputc('\n', stderr);
	*count = s.count;
	free(s.trial);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runs: puts neighbouring stretches together, so that they are fetched with one GET.
 */
#include "data/segment.h"

struct stretch data_stretch_of(const struct data_ref *ref)
{
	return (struct stretch){ ref->segment, ref->offset, ref->offset + ref->stored_bytes };
}

int data_stretch_order(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return 0;
}

void data_run_begin(struct run *run, const struct stretch *s, size_t first)
{
	*run = (struct run){ .at = *s, .first = first, .count = 1 };
}

bool data_run_extend(struct run *run, const struct stretch *s, uint64_t max_bytes)
{
	uint32_t end = (uint32_t)max_u64(run->at.end, s->end);

	if (s->segment != run->at.segment || s->start > run->at.end + RUN_GAP_BYTES)
		return false;
	if (end - run->at.start > max_bytes)
		return false;
	run->at.end = end;
	run->count++;
	return true;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runs: puts neighbouring extents together, so that they are fetched with one GET.
 */
#include "data/segment.h"

int data_ref_order(const struct data_ref *a, const struct data_ref *b)
{
	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

void data_run_begin(struct run *run, const struct data_ref *ref, size_t first)
{
	*run = (struct run){
		.segment = ref->segment,
		.start = ref->offset,
		.end = (uint64_t)ref->offset + ref->stored_bytes,
		.first = first,
		.count = 1,
	};
}

bool data_run_extend(struct run *run, const struct data_ref *ref, uint64_t max_bytes)
{
	uint64_t end = max_u64(run->end, (uint64_t)ref->offset + ref->stored_bytes);

	if (ref->segment != run->segment || ref->offset > run->end + RUN_GAP_BYTES)
		return false;
	if (end - run->start > max_bytes)
		return false;
	run->end = end;
	run->count++;
	return true;
}

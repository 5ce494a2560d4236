/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prefetch: readahead into the cache. Only a hint: what cannot be had now is dropped.
 */
#include "data/segment.h"

#include <stdlib.h>

/*
 * Runs also end at multiples of this in the object, so that overlapping hints ask for the same
 * ranges again, which the cache then finds present or under way. Several of them are fetched at
 * once, which fills the pipe better than one large GET.
 */
#define GRID_BYTES (2 * MIB)

bool data_is_at_hand(struct data *d, const struct data_ref *ref)
{
	struct segment *seg;
	char key[DATA_KEY_MAX];
	uint32_t len;

	if (data_ref_check(ref) < 0)
		return false;
	seg = data_seg_get(d, ref->segment, &len);
	data_seg_put(seg);
	if (seg)
		return true;
	data_key(ref->segment, key);
	return cache_has(d->config.cache, key, ref->offset, ref->stored_bytes);
}

static void fetch(struct data *d, const struct run *run)
{
	char key[DATA_KEY_MAX];

	data_key(run->at.segment, key);
	cache_prefetch(d->config.cache, key, run->at.start, run->at.end - run->at.start);
}

void data_prefetch(struct data *d, const struct data_ref *refs, size_t count)
{
	struct stretch *wanted CLEANUP(free_ptr) = count ? calloc(count, sizeof(*wanted)) : NULL;
	struct run run;
	size_t n = 0;

	if (!wanted)
		return;
	for (size_t i = 0; i < count; i++) {
		if (data_ref_check(&refs[i]) >= 0 && !data_is_at_hand(d, &refs[i]))
			wanted[n++] = data_stretch_of(&refs[i]);
	}
	if (n == 0)
		return;
	qsort(wanted, n, sizeof(*wanted), data_stretch_order);
	data_run_begin(&run, &wanted[0], 0);
	for (size_t i = 1; i < n; i++) {
		if (wanted[i].start / GRID_BYTES == run.at.start / GRID_BYTES &&
		    data_run_extend(&run, &wanted[i], RUN_MAX_BYTES))
			continue;
		fetch(d, &run);
		data_run_begin(&run, &wanted[i], i);
	}
	fetch(d, &run);
}

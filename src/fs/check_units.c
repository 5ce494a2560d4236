/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_units: an extent of which a part is damaged keeps the rest.
 *
 * What is stored in blocks has a checksum for each of them; so the others can still be believed. What
 * is stored otherwise is one unit. The good and the bad stretches become extents of their own, that refer to
 * the same stored extent as before.
 */
#include "fs/check.h"
#include "fs/bytes.h"

#define UNITS_MAX (8 * sizeof(check_units))

/* False: nothing of the extent lies in it. */
static bool unit_of(const struct extent *e, unsigned n, struct extent *ret)
{
	uint64_t unit = data_ref_unit(&e->ref), len = e->end - e->start;
	uint64_t from = max_u64(n * unit, e->raw_offset);
	uint64_t to = min_u64((n + 1) * unit, e->raw_offset + len);

	if (from >= to)
		return false;
	*ret = extent_part(e, e->start + (from - e->raw_offset), e->start + (to - e->raw_offset));
	return true;
}

static uint64_t end_of(const struct extent *e)
{
	return data_ref_end(&e->ref, e->raw_offset, (uint32_t)(e->end - e->start));
}

check_units check_units_behind(const struct extent *e, uint64_t object_bytes)
{
	check_units units = 0;
	struct extent part;

	for (unsigned n = 0; n < UNITS_MAX; n++)
		if (unit_of(e, n, &part) && end_of(&part) > object_bytes)
			units |= (check_units)1 << n;
	return units;
}

check_units check_units_unread(const struct extent *e, check_units which, check_unit_fn read,
			       void *ctx)
{
	check_units units = 0;
	struct extent part;

	for (unsigned n = 0; n < UNITS_MAX; n++)
		if ((which >> n & 1) && unit_of(e, n, &part) && !read(ctx, &part))
			units |= (check_units)1 << n;
	return units;
}

static int end_stretch(struct check *c, const struct damage_of *d, const struct extent *e, bool bad)
{
	int err = 0;

	if (e->start == e->end)
		return 0;
	if (!bad)
		return mend_extent(c, d->ino, e);
	err = check_damage(c, d->code, d->ino, e->start, e->end, d->why);
	return err < 0 ? err : mend_lost(c, d->ino, e);
}

int check_bad_units(struct check *c, const struct damage_of *d, const struct extent *e,
		    check_units bad)
{
	struct extent stretch = extent_part(e, e->start, e->start), part;
	bool is_bad = false;
	int err = 0;

	for (unsigned n = 0; n < UNITS_MAX && err >= 0; n++) {
		if (!unit_of(e, n, &part))
			continue;
		if (is_bad != (bad >> n & 1)) {
			err = end_stretch(c, d, &stretch, is_bad);
			stretch = part;
			is_bad = !is_bad;
		}
		stretch.end = part.end;
	}
	return err < 0 ? err : end_stretch(c, d, &stretch, is_bad);
}

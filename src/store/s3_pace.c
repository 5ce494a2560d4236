/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many requests may be under way at once. It starts at what `connections` allows; when the server asks to slow
 * down (429, 503) it is halved, once for all requests that were under way together, and grows by one
 * for each round of requests that went well, as TCP does it.
 */
#include "store/s3.h"

void s3_pace_init(struct s3_pace *p, unsigned most)
{
	*p = (struct s3_pace){ .most = most, .limit = most };
}

bool s3_pace_may_begin(const struct s3_pace *p)
{
	return p->under_way < p->limit;
}

uint64_t s3_pace_begin(struct s3_pace *p)
{
	p->under_way++;
	return p->begun++;
}

static void slow_down(struct s3_pace *p, uint64_t number)
{
	unsigned least = p->most < S3_PACE_LEAST ? p->most : S3_PACE_LEAST;

	if (number < p->slowed_at)
		return; /* of the same crowd */
	p->slowed_at = p->begun;
	p->went_well = 0;
	p->limit = p->limit / 2 > least ? p->limit / 2 : least;
}

bool s3_pace_end(struct s3_pace *p, uint64_t number, long status)
{
	p->under_way--;
	if (status == 429 || status == 503) {
		slow_down(p, number);
		return false;
	}
	/* Nothing is learned from what got no answer, or from those before the server's plea. */
	if (status == 0 || p->limit == p->most || number < p->slowed_at ||
	    ++p->went_well < p->limit)
		return false;
	p->went_well = 0;
	p->limit++;
	return true;
}

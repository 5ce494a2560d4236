/* SPDX-License-Identifier: BSD-3-Clause */
/* meter: how long requests to the store take, by kind, in the form of Prometheus' histograms. */
#ifndef LEVELS3_FUSE_METER_H
#define LEVELS3_FUSE_METER_H

#include "store/store.h"

#define METER_BUCKETS 12

struct meter_kind { /* all atomic while others count */
	uint64_t within
		[METER_BUCKETS]; /* took longer than the bucket before, not longer than this one */
	uint64_t beyond;
	uint64_t took_ns;
};
struct meter { /* begins as zeros */
	struct meter_kind kinds[STORE_OP_COUNT];
};

/* Any thread. */
void meter_request(struct meter *m, const struct store_request *r);
/* For a person and for Prometheus: the upper bound of a bucket, in seconds. */
const char *meter_bound(size_t bucket);
void meter_read(const struct meter *m, enum store_op op, struct meter_kind *ret);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Histograms of requests. See meter.h. */
#include "meter.h"

static const struct {
	uint64_t ns;
	const char *seconds;
} bounds[METER_BUCKETS] = {
	{ 1000000, "0.001" },  { 2500000, "0.0025" }, { 5000000, "0.005" },  { 10000000, "0.01" },
	{ 25000000, "0.025" }, { 50000000, "0.05" },  { 100000000, "0.1" },  { 250000000, "0.25" },
	{ 1000000000, "1" },   { 2500000000, "2.5" }, { 10000000000, "10" }, { 30000000000, "30" },
};

const char *meter_bound(size_t bucket)
{
	return bounds[bucket].seconds;
}

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void meter_request(struct meter *m, const struct store_request *r)
{
	struct meter_kind *k = &m->kinds[r->op];
	size_t i = 0;

	while (i < METER_BUCKETS && r->took_ns > bounds[i].ns)
		i++;
	add(i < METER_BUCKETS ? &k->within[i] : &k->beyond, 1);
	add(&k->took_ns, r->took_ns);
}

void meter_read(const struct meter *m, enum store_op op, struct meter_kind *ret)
{
	const struct meter_kind *k = &m->kinds[op];

	for (size_t i = 0; i < METER_BUCKETS; i++)
		ret->within[i] = load(&k->within[i]);
	ret->beyond = load(&k->beyond);
	ret->took_ns = load(&k->took_ns);
}

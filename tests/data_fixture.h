/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the data room share: a room on a memory store, with every request counted and
 * faults at will, and bytes whose rightness shows.
 *
 *	data ── forever (retry) ── counts (trace) ── faults ── mem:
 *	cache ───────────────────────┘
 */
#ifndef LEVELS3_TESTS_DATA_FIXTURE_H
#define LEVELS3_TESTS_DATA_FIXTURE_H

#include "data/data.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_URL "mem:data-tests"

struct fixture {
	struct store *mem, *faults, *counts, *forever;
	struct cache *cache;
	struct budget budget;
	struct data_config config;
	struct data *d;
	pthread_mutex_t lock;
	enum store_fault fault; /* what happens ... */
	enum store_op fault_op; /* ... to these operations ... */
	unsigned fault_times;	/* ... so many times more */
	unsigned durable_calls;
	bool holding;	    /* PUTs do not get through, */
	unsigned passes;    /* but for so many */
	unsigned held;	    /* that wait */
	pthread_cond_t let; /* one of these has changed */
};

static inline void fixture_hold(struct fixture *f, bool on, unsigned passes)
{
	pthread_mutex_lock(&f->lock);
	f->holding = on;
	f->passes += passes;
	pthread_cond_broadcast(&f->let);
	pthread_mutex_unlock(&f->lock);
}

/* Locked. */
static inline void fixture_wait_for_pass(struct fixture *f)
{
	f->held++;
	while (f->holding && f->passes == 0)
		pthread_cond_wait(&f->let, &f->lock);
	if (f->holding)
		f->passes--;
	f->held--;
}

static inline enum store_fault fixture_decide(void *ctx, uint64_t number, enum store_op op,
					      const char *key, int *error)
{
	struct fixture *f = ctx;
	enum store_fault fault = STORE_FAULT_NONE;

	pthread_mutex_lock(&f->lock);
	if (op == STORE_OP_PUT)
		fixture_wait_for_pass(f);
	if (op == f->fault_op && f->fault_times > 0) {
		f->fault_times--;
		fault = f->fault;
		*error = -L3_UNREACHABLE;
	}
	pthread_mutex_unlock(&f->lock);
	return fault;
}

static inline void fixture_fault(struct fixture *f, enum store_op op, enum store_fault fault,
				 unsigned times)
{
	pthread_mutex_lock(&f->lock);
	f->fault = fault;
	f->fault_op = op;
	f->fault_times = times;
	pthread_mutex_unlock(&f->lock);
}

/* Lets hanging requests go on, also those that are only about to hang. */
static inline void fixture_resume_until_durable(struct fixture *f, uint64_t segment)
{
	while (!data_is_durable(f->d, segment)) {
		store_fault_resume(f->faults);
		clock_system.sleep_ms(&clock_system, 1);
	}
}

/* Memory is given back a little after durability: when the cache has been told. */
static inline void fixture_drained(struct fixture *f)
{
	while (budget_used(&f->budget) > 0)
		clock_system.sleep_ms(&clock_system, 1);
}

static inline void fixture_on_durable(void *ctx, uint64_t segment)
{
	struct fixture *f = ctx;

	ck_assert(data_is_durable(f->d, segment));
	pthread_mutex_lock(&f->lock);
	f->durable_calls++;
	pthread_mutex_unlock(&f->lock);
}

static inline void fixture_open_cache(struct fixture *f)
{
	struct cache_config config = { .store = f->counts, .mem_bytes = 64 * MIB };

	ck_assert_int_eq(cache_open(&config, &f->cache), 0);
}

static inline void fixture_stores(struct fixture *f)
{
	struct store_config config = { 0 };
	struct store_fault_plan plan = { .decide = fixture_decide, .ctx = f };
	struct store_retry_config retry = { .base_delay_ms = 1,
					    .max_delay_ms = 2,
					    .clock = &clock_system };

	ck_assert_int_eq(store_open(FIXTURE_URL, &config, &f->mem), 0);
	ck_assert_int_eq(store_wrap_fault(f->mem, &plan, &f->faults), 0);
	ck_assert_int_eq(store_wrap_trace(f->faults, NULL, NULL, &f->counts), 0);
	ck_assert_int_eq(store_wrap_retry(f->counts, &retry, &f->forever), 0);
}

static inline void fixture_open_data(struct fixture *f)
{
	ck_assert_int_eq(data_open(&f->config, &f->d), 0);
}

static inline void fixture_open(struct fixture *f)
{
	*f = (struct fixture){ .d = NULL };
	pthread_mutex_init(&f->lock, NULL);
	cond_init(&f->let);
	fixture_stores(f);
	fixture_open_cache(f);
	budget_init(&f->budget, GIB);
	f->config = (struct data_config){
		.forever = f->forever,
		.cache = f->cache,
		.fs = { { 1, 2, 3 } },
		.epoch = 7,
		.segment_bytes = 16 * MIB,
		.embed_bytes = 128 * KIB,
		.upload_threads = 4,
		.read_threads = 4,
		.compress = true,
		.budget = &f->budget,
		.on_durable = fixture_on_durable,
		.ctx = f,
	};
	fixture_open_data(f);
}

/* The room and all that it and the cache remember is gone; the store stays. A new mount: a new
 * epoch. */
static inline void fixture_reopen(struct fixture *f)
{
	data_close(f->d);
	f->d = NULL;
	cache_close(f->cache);
	fixture_open_cache(f);
	f->config.cache = f->cache;
	f->config.epoch++;
	fixture_open_data(f);
}

static inline void fixture_close(struct fixture *f)
{
	data_close(f->d);
	cache_close(f->cache);
	ck_assert_uint_eq(budget_used(&f->budget), 0);
	store_unref(f->forever);
	store_unref(f->counts);
	store_unref(f->faults);
	store_unref(f->mem);
	store_mem_drop(FIXTURE_URL);
	budget_release(&f->budget);
	pthread_mutex_destroy(&f->lock);
}

static inline uint64_t fixture_requests(struct fixture *f, enum store_op op)
{
	struct store_counts counts;

	store_trace_counts(f->counts, &counts);
	return counts.requests[op];
}

enum bytes_kind { BYTES_ZERO, BYTES_TEXT, BYTES_NOISE, BYTES_KINDS };

/* Bytes that depend on kind and seed only. */
static inline void bytes_fill(uint8_t *out, size_t len, enum bytes_kind kind, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		if (kind == BYTES_NOISE)
			out[i] = (uint8_t)(x >> 56);
		else if (kind == BYTES_TEXT)
			out[i] = (uint8_t)("etaoin shrdlu "[(i / 3 + seed) % 14] ^ (i % 97 == 0));
		else
			out[i] = 0;
	}
}

struct extent {
	struct data_ref ref;
	uint64_t ino, file_offset;
	enum bytes_kind kind;
	uint64_t seed;
	uint32_t len;
};

static inline int extent_try(struct data *d, enum data_class class, struct extent *e)
{
	static _Thread_local uint8_t raw[DATA_EXTENT_MAX];

	bytes_fill(raw, e->len, e->kind, e->seed);
	return data_append(d, class, e->ino, e->file_offset, raw, e->len, &e->ref);
}

static inline struct extent extent_append(struct data *d, enum data_class class, size_t len,
					  enum bytes_kind kind, uint64_t seed)
{
	struct extent e = {
		.ino = 100 + seed, .file_offset = seed << 20, .kind = kind, .seed = seed, .len = len
	};

	ck_assert_int_eq(extent_try(d, class, &e), 0);
	ck_assert_uint_eq(e.ref.raw_bytes, len);
	return e;
}

static inline uint64_t fixture_bytes_in(struct fixture *f)
{
	struct store_counts counts;

	store_trace_counts(f->counts, &counts);
	return counts.bytes_in;
}

/* 0 and right bytes, or the error; wrong bytes fail the test. */
static inline int extent_reach(struct data *d, const struct extent *e, uint32_t from, uint32_t len,
			       enum data_reach reach)
{
	static _Thread_local uint8_t want[DATA_EXTENT_MAX], got[DATA_EXTENT_MAX];
	struct data_piece piece = { .ref = e->ref, .raw_offset = from, .len = len, .dst = got };
	int err;

	bytes_fill(want, e->len, e->kind, e->seed);
	memset(got, 0xee, sizeof(got));
	err = data_read(d, &piece, 1, reach);
	if (err == 0)
		ck_assert(memcmp(got, want + from, len) == 0);
	return err;
}

static inline int extent_read(struct data *d, const struct extent *e, uint32_t from, uint32_t len)
{
	return extent_reach(d, e, from, len, DATA_AROUND);
}

static inline void extent_check(struct data *d, const struct extent *e)
{
	ck_assert_int_eq(extent_read(d, e, 0, e->len), 0);
}

#endif

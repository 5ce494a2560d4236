/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the cache room share: objects whose bytes tell their place, every request
 * counted, faults on demand, a folder that is measured as du(1) does.
 *
 *	cache ── counts (trace) ── faults ── mem:
 */
#ifndef LEVELS3_TESTS_CACHE_FIXTURE_H
#define LEVELS3_TESTS_CACHE_FIXTURE_H

#include "cache/cache.h"
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXTURE_URL "mem:cache-tests"
#define PIECE (128 * KIB)

struct fixture {
	struct store *mem, *faults, *counts;
	struct cache_config config;
	struct cache *c;
	char dir[64];
	struct clock clock;
	uint64_t now_ns;
	pthread_mutex_t lock;
	enum store_fault fault; /* what GETs meet ... */
	unsigned fault_times;	/* ... so many times more */
	bool held;		/* GETs take until this is over, and succeed */
	unsigned warnings, infos;
	char last_warning[512];
};

static struct fixture fx;

static uint64_t fixture_mono_ns(struct clock *c)
{
	return __atomic_load_n(&fx.now_ns, __ATOMIC_SEQ_CST);
}

static enum store_fault fixture_decide(void *ctx, uint64_t number, enum store_op op,
				       const char *key, int *error)
{
	enum store_fault fault = STORE_FAULT_NONE;

	while (op == STORE_OP_GET && __atomic_load_n(&fx.held, __ATOMIC_SEQ_CST))
		clock_system.sleep_ms(&clock_system, 1);
	pthread_mutex_lock(&fx.lock);
	if (op == STORE_OP_GET && fx.fault_times > 0) {
		fx.fault_times--;
		fault = fx.fault;
		*error = -L3_UNREACHABLE;
	}
	pthread_mutex_unlock(&fx.lock);
	return fault;
}

static inline void let_gets_fail(enum store_fault fault, unsigned times)
{
	pthread_mutex_lock(&fx.lock);
	fx.fault = fault;
	fx.fault_times = times;
	pthread_mutex_unlock(&fx.lock);
}

static inline void hold_gets(bool held)
{
	__atomic_store_n(&fx.held, held, __ATOMIC_SEQ_CST);
}

static void fixture_notify(void *ctx, enum log_level level, const char *text)
{
	pthread_mutex_lock(&fx.lock);
	if (level <= LOG_L_WARN) {
		fx.warnings++;
		(void)snprintf(fx.last_warning, sizeof(fx.last_warning), "%s", text);
	} else {
		fx.infos++;
	}
	pthread_mutex_unlock(&fx.lock);
}

static inline unsigned warnings(void)
{
	unsigned n;

	pthread_mutex_lock(&fx.lock);
	n = fx.warnings;
	pthread_mutex_unlock(&fx.lock);
	return n;
}

static inline unsigned infos(void)
{
	unsigned n;

	pthread_mutex_lock(&fx.lock);
	n = fx.infos;
	pthread_mutex_unlock(&fx.lock);
	return n;
}

/* ---- contents ---- */

static inline uint64_t word_at(unsigned object, uint64_t word)
{
	uint64_t x = (word + 1) * UINT64_C(0x9e3779b97f4a7c15) + object * 7919;

	return x ^ x >> 29;
}

static inline void fill(unsigned object, uint64_t offset, uint8_t *out, size_t len)
{
	while (len > 0) {
		uint64_t word = word_at(object, offset / 8);
		size_t skip = offset % 8, n = min_u64(8 - skip, len);

		memcpy(out, (const uint8_t *)&word + skip, n);
		out += n;
		offset += n;
		len -= n;
	}
}

static inline const char *key_of(unsigned object, char key[32])
{
	(void)snprintf(key, 32, "data/object-%u", object);
	return key;
}

static inline void make_object(unsigned object, size_t len)
{
	uint8_t *data = malloc(len);
	char key[32];

	ck_assert_ptr_nonnull(data);
	fill(object, 0, data, len);
	ck_assert_int_eq(
		store_put_bytes(fx.mem, key_of(object, key), data, len, STORE_ALWAYS, NULL, NULL),
		0);
	free(data);
}

/* Bytes that are not those of the object fail the test. */
static inline int try_read(unsigned object, uint64_t offset, size_t len, uint64_t window,
			   uint64_t window_len)
{
	uint8_t *got = malloc(len), *want = malloc(len);
	char key[32];
	int err;

	ck_assert(got && want);
	memset(got, 0xee, len);
	err = cache_read(fx.c, key_of(object, key), offset, len, got, window, window_len);
	if (err == 0) {
		fill(object, offset, want, len);
		ck_assert(memcmp(got, want, len) == 0);
	}
	free(got);
	free(want);
	return err;
}

static inline void read_range(unsigned object, uint64_t offset, size_t len)
{
	ck_assert_int_eq(try_read(object, offset, len, 0, 0), 0);
}

static inline bool has(unsigned object, uint64_t offset, size_t len)
{
	char key[32];

	return cache_has(fx.c, key_of(object, key), offset, len);
}

static inline void insert(unsigned object, uint64_t offset, size_t len, bool disk_only)
{
	uint8_t *data = malloc(len);
	char key[32];

	ck_assert_ptr_nonnull(data);
	fill(object, offset, data, len);
	cache_insert(fx.c, key_of(object, key), offset, data, len, disk_only);
	free(data);
}

static inline uint64_t gets(void)
{
	struct store_counts counts;

	store_trace_counts(fx.counts, &counts);
	return counts.requests[STORE_OP_GET];
}

static inline struct cache_stats stats(void)
{
	struct cache_stats s;

	cache_stats(fx.c, &s);
	return s;
}

/* ---- the folder ---- */

struct one_file {
	char path[400];
	uint64_t size, blocks_bytes;
};

/* All files of objects; others (the lock) are left out. */
static inline size_t list_files(struct one_file *files, size_t max)
{
	char uuid[UUID_STR_LEN], path[128];
	const struct dirent *de;
	size_t n = 0;
	DIR *d;

	uuid_format(&fx.config.fs, uuid);
	(void)snprintf(path, sizeof(path), "%s/%s", fx.dir, uuid);
	d = opendir(path);
	while (d && (de = readdir(d))) {
		struct one_file f;
		struct stat st;

		(void)snprintf(f.path, sizeof(f.path), "%s/%s", path, de->d_name);
		if (strlen(de->d_name) != 34 || lstat(f.path, &st) < 0)
			continue;
		f.size = (uint64_t)st.st_size;
		f.blocks_bytes = (uint64_t)st.st_blocks * 512;
		if (n < max)
			files[n] = f;
		n++;
	}
	if (d)
		(void)closedir(d);
	return n;
}

static inline uint64_t du(void)
{
	static _Thread_local struct one_file files[4096];
	size_t n = list_files(files, ARRAY_LEN(files));
	uint64_t sum = 0;

	ck_assert_uint_le(n, ARRAY_LEN(files));
	for (size_t i = 0; i < n; i++)
		sum += files[i].blocks_bytes;
	return sum;
}

static inline void run(const char *what)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "%s %s", what, fx.dir);
	ck_assert_int_eq(system(command), 0);
}

/* ---- opening ---- */

static inline void open_cache(void)
{
	ck_assert_msg(cache_open(&fx.config, &fx.c) == 0, "%s", err_last_note());
}

static inline void close_cache(void)
{
	cache_close(fx.c);
	fx.c = NULL;
}

static inline void reopen_cache(void)
{
	close_cache();
	open_cache();
}

static void setup_store(void)
{
	struct store_fault_plan plan = { .decide = fixture_decide };

	fx = (struct fixture){ .clock = { .mono_ns = fixture_mono_ns },
			       .now_ns = UINT64_C(1000000000000) };
	pthread_mutex_init(&fx.lock, NULL);
	ck_assert_int_eq(store_open(FIXTURE_URL, NULL, &fx.mem), 0);
	ck_assert_int_eq(store_wrap_fault(fx.mem, &plan, &fx.faults), 0);
	ck_assert_int_eq(store_wrap_trace(fx.faults, NULL, NULL, &fx.counts), 0);
	fx.config = (struct cache_config){
		.store = fx.counts,
		.fs = { { 1, 2, 3 } },
		.mem_bytes = 64 * MIB,
		.min_free_bytes = 1,
		.clock = &fx.clock,
		.notifier = { fixture_notify, NULL },
	};
}

static inline void setup_memory(void)
{
	setup_store();
	open_cache();
}

/* With so little memory that nothing stays there. */
static inline void setup_disk(void)
{
	setup_store();
	(void)snprintf(fx.dir, sizeof(fx.dir), "/tmp/cache-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fx.dir));
	fx.config.dir = fx.dir;
	fx.config.disk_bytes = 64 * MIB;
	fx.config.mem_bytes = 0;
	fx.config.max_inflight = 2; /* few threads: these tests open it thousands of times */
	open_cache();
}

static void teardown(void)
{
	cache_close(fx.c);
	store_unref(fx.counts);
	store_unref(fx.faults);
	store_unref(fx.mem);
	store_mem_drop(FIXTURE_URL);
	if (fx.dir[0])
		run("rm -rf");
	pthread_mutex_destroy(&fx.lock);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the db room share: a *mount*, which is a lease, a cache and a database on a
 * store whose requests are counted and made to fail at will. Several mounts may be on one store;
 * each has a clock of its own, so that one can sleep through what another does.
 *
 *	db ── store, forever (retry) ── faults ── counts (trace) ── the store of the test
 *	lease ──────────────────────────── same
 */
#ifndef LEVELS3_TESTS_DB_FIXTURE_H
#define LEVELS3_TESTS_DB_FIXTURE_H

#include "db/db.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define LEASE_MS 30000

struct fake_clock {
	struct clock clock;
	uint64_t now_ns;
};

static inline uint64_t fake_mono_ns(struct clock *c)
{
	return __atomic_load_n(&((struct fake_clock *)c)->now_ns, __ATOMIC_SEQ_CST);
}

static inline int64_t fake_real_ns(struct clock *c)
{
	return INT64_C(1700000000) * (int64_t)SECOND_NS + (int64_t)fake_mono_ns(c);
}

static inline void fake_sleep_ms(struct clock *c, uint64_t ms)
{
	__atomic_add_fetch(&((struct fake_clock *)c)->now_ns, ms * 1000000, __ATOMIC_SEQ_CST);
}

struct mount {
	const char *url;
	struct fake_clock time;
	struct store *base, *counts, *faults, *store, *forever;
	struct store_fault_plan plan; /* set before mount_open */
	struct cache *cache;
	struct lease *lease;
	struct db_config config; /* may be set before mount_open; stores and lease are filled in */
	struct db *db;
	char said[4096]; /* by the notifier */
	pthread_mutex_t said_lock;
};

static const struct uuid fixture_uuid = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
					    16 } };

static inline void fixture_notify(void *ctx, enum log_level level, const char *text)
{
	struct mount *m = ctx;
	size_t used;

	pthread_mutex_lock(&m->said_lock);
	used = strlen(m->said);
	snprintf(m->said + used, sizeof(m->said) - used, "%s\n", text);
	pthread_mutex_unlock(&m->said_lock);
}

static inline void mount_init(struct mount *m, const char *url)
{
	memset(m, 0, sizeof(*m));
	m->url = url;
	m->time.clock = (struct clock){ fake_mono_ns, fake_real_ns, fake_sleep_ms };
	m->time.now_ns = 1000 * SECOND_NS;
	pthread_mutex_init(&m->said_lock, NULL);
	m->config.write_buffer_bytes =
		64 * KIB; /* LevelDB's least: many memtables from little data */
	m->config.grace_ms = 600000;
}

static inline int mount_stores(struct mount *m)
{
	struct store_config sc = { .create = true };
	struct store_retry_config few = { .attempts = 4, .clock = &m->time.clock };
	struct store_retry_config many = { .attempts = 0, .clock = &m->time.clock };
	int err = store_open(m->url, &sc, &m->base);

	if (!err)
		err = store_wrap_trace(m->base, NULL, NULL, &m->counts);
	if (!err)
		err = store_wrap_fault(m->counts, &m->plan, &m->faults);
	if (!err)
		err = store_wrap_retry(m->faults, &few, &m->store);
	if (!err)
		err = store_wrap_retry(m->faults, &many, &m->forever);
	return err;
}

static inline int mount_lease(struct mount *m)
{
	struct lease_config lc = { .store = m->store,
				   .fs = fixture_uuid,
				   .mountpoint = "(test)",
				   .duration_ms = LEASE_MS,
				   .renew_ms = 10000,
				   .wait_ms = 10 * LEASE_MS,
				   .clock = &m->time.clock };

	return lease_acquire(&lc, &m->lease, NULL);
}

static inline int mount_database(struct mount *m)
{
	m->config.store = m->store;
	m->config.forever = m->forever;
	m->config.cache = m->cache;
	m->config.lease = m->lease;
	m->config.fs = fixture_uuid;
	m->config.clock = &m->time.clock;
	m->config.notifier = (struct notifier){ fixture_notify, m };
	return db_open(&m->config, &m->db);
}

enum mount_mode { MOUNT_CREATE, MOUNT_WRITE, MOUNT_READ };

/* A takeover waits for the other's lease by the mount's own clock, which sleeping moves. */
static inline int mount_try(struct mount *m, enum mount_mode mode)
{
	struct cache_config cc = { .fs = fixture_uuid, .mem_bytes = 4 * MIB };
	int err = mount_stores(m);

	cc.store = m->store;
	m->config.create = mode == MOUNT_CREATE;
	if (!err)
		err = cache_open(&cc, &m->cache);
	if (!err && mode != MOUNT_READ)
		err = mount_lease(m);
	if (!err)
		err = mount_database(m);
	return err;
}

/* Nothing is committed, and the lease stays as it is, as after a crash. */
static inline void mount_drop(struct mount *m)
{
	db_close(m->db);
	lease_free(m->lease);
	cache_close(m->cache);
	store_unref(m->forever);
	store_unref(m->store);
	store_unref(m->faults);
	store_unref(m->counts);
	store_unref(m->base);
	m->db = NULL;
	m->lease = NULL;
	m->cache = NULL;
	m->forever = m->store = m->faults = m->counts = m->base = NULL;
}

static inline void mount_open(struct mount *m, enum mount_mode mode)
{
	int err = mount_try(m, mode);

	ck_assert_msg(err == 0, "opening: %s: %s", err_text(err), err_last_note());
}

static inline void mount_close(struct mount *m)
{
	ck_assert_msg(db_checkpoint(m->db) == 0, "checkpoint: %s", err_last_note());
	db_close(m->db);
	m->db = NULL;
	ck_assert_int_eq(lease_release(m->lease), 0);
	mount_drop(m);
}

/* ---- contents ---- */

static inline int try_put(struct mount *m, const char *key, const char *value)
{
	char *text = NULL;

	leveldb_put(db_handle(m->db), db_write_options(m->db), key, strlen(key), value,
		    strlen(value), &text);
	return text ? db_error(m->db, text) : 0;
}

static inline void put(struct mount *m, const char *key, const char *value)
{
	ck_assert_msg(try_put(m, key, value) == 0, "put: %s", err_last_note());
}

/* The value, to be freed; NULL where there is none. */
static inline char *get(struct mount *m, const char *key)
{
	char *text = NULL, *value, *copy = NULL;
	size_t len;

	value = leveldb_get(db_handle(m->db), db_read_options(m->db), key, strlen(key), &len,
			    &text);
	ck_assert_msg(!text, "get: %s", text);
	if (value)
		copy = strndup(value, len);
	leveldb_free(value);
	return copy;
}

static inline void ck_value(struct mount *m, const char *key, const char *value)
{
	char *found = get(m, key);

	if (value)
		ck_assert_pstr_eq(found, value);
	else
		ck_assert_msg(!found, "%s should not be there", key);
	free(found);
}

/* Numbered keys, written in order: what is there after a crash must be 0..n-1 for some n. */
static inline int try_put_number(struct mount *m, unsigned n, size_t value_bytes)
{
	char key[16], *value = malloc(value_bytes + 1);
	int err;

	snprintf(key, sizeof(key), "%08u", n);
	for (size_t i = 0; i < value_bytes; i++)
		value[i] = (char)('!' + (n * 31 + i * 7 + (i * n) % 13) % 90);
	value[value_bytes] = 0;
	err = try_put(m, key, value);
	free(value);
	return err;
}

static inline void put_numbers(struct mount *m, unsigned from, unsigned to, size_t value_bytes)
{
	for (unsigned n = from; n < to; n++)
		ck_assert_msg(try_put_number(m, n, value_bytes) == 0, "put %u: %s", n,
			      err_last_note());
}

/* Counts them, and checks that none is missing in between. Other keys come after them. */
static inline unsigned count_numbers(struct mount *m)
{
	leveldb_iterator_t *it = leveldb_create_iterator(db_handle(m->db), db_scan_options(m->db));
	char *text = NULL, want[16];
	unsigned n = 0;

	for (leveldb_iter_seek_to_first(it); leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t len;
		const char *key = leveldb_iter_key(it, &len);

		if (len > 0 && (key[0] < '0' || key[0] > '9'))
			break;
		snprintf(want, sizeof(want), "%08u", n++);
		ck_assert_msg(len == 8 && memcmp(key, want, 8) == 0, "%.*s instead of %s", (int)len,
			      key, want);
	}
	leveldb_iter_get_error(it, &text);
	ck_assert_msg(!text, "iterating: %s", text);
	leveldb_iter_destroy(it);
	return n;
}

/* ---- the store ---- */

static inline uint64_t requests(struct mount *m, enum store_op op)
{
	struct store_counts c;

	store_trace_counts(m->counts, &c);
	return c.requests[op];
}

static inline uint64_t all_requests(struct mount *m)
{
	uint64_t n = 0;

	for (int op = 0; op < STORE_OP_COUNT; op++)
		n += requests(m, op);
	return n;
}

static inline void list_objects(const char *url, const char *prefix, struct store_list *ret)
{
	struct store *s = NULL;

	ck_assert_int_eq(store_open(url, NULL, &s), 0);
	ck_assert_int_eq(store_list_all(s, prefix, NULL, ret), 0);
	store_unref(s);
}

static inline size_t count_objects(const char *url, const char *prefix)
{
	struct store_list l = STORE_LIST_INIT;
	size_t n;

	list_objects(url, prefix, &l);
	n = l.count;
	store_list_release(&l);
	return n;
}

static inline bool object_exists(const char *url, const char *key)
{
	struct store_meta meta;
	struct store *s = NULL;
	int err;

	ck_assert_int_eq(store_open(url, NULL, &s), 0);
	err = store_head(s, key, &meta);
	store_unref(s);
	return err == 0;
}

static inline void remove_object(const char *url, const char *key)
{
	struct store *s = NULL;

	ck_assert_int_eq(store_open(url, NULL, &s), 0);
	ck_assert_int_eq(store_remove(s, key), 0);
	store_unref(s);
}

/* Flips a bit in the middle. */
static inline void spoil_object(const char *url, const char *key)
{
	struct buf b = BUF_INIT;
	struct store *s = NULL;

	ck_assert_int_eq(store_open(url, NULL, &s), 0);
	ck_assert_int_eq(store_get(s, key, 0, STORE_TO_END, &b, NULL), 0);
	b.data[b.len / 2] ^= 4;
	ck_assert_int_eq(store_put_bytes(s, key, b.data, b.len, STORE_ALWAYS, NULL, NULL), 0);
	buf_release(&b);
	store_unref(s);
}

/* The n-th key (from the end if negative) under a prefix. */
static inline void nth_object(const char *url, const char *prefix, int n, char out[STORE_KEY_MAX])
{
	struct store_list l = STORE_LIST_INIT;

	list_objects(url, prefix, &l);
	if (n < 0)
		n += (int)l.count;
	ck_assert_msg(n >= 0 && (size_t)n < l.count, "too few objects under %s", prefix);
	snprintf(out, STORE_KEY_MAX, "%s", l.entries[n].key);
	store_list_release(&l);
}

/* A database with `n` numbers, properly closed. */
static inline void make_database_of(const char *url, unsigned n)
{
	struct mount m;

	mount_init(&m, url);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, n, 100);
	mount_close(&m);
}

/* Writes, checkpoints and trims until nothing but checkpoints and fences is left of old slots. */
static inline void live_on(struct mount *m, unsigned *n)
{
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 3; k++, (*n)++) {
			ck_assert_int_eq(try_put_number(m, *n, 50), 0);
			ck_assert_int_eq(db_commit(m->db), 0);
		}
		ck_assert_int_eq(db_checkpoint(m->db), 0);
	}
}

#endif

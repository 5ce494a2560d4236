/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commit chain: what an acknowledged commit costs and is worth, two writers, takeover, fences,
 * checkpoints, trimming, deletion. Crashes at every operation: db_crash.c.
 */
#include "db_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define URL "mem:db-chain-tests"

static void setup(void)
{
	store_mem_drop(URL);
}

/* A database with `n` numbers, properly closed. */
static void make_database(unsigned n)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, n, 100);
	mount_close(&m);
}

/* ---- commits ---- */

START_TEST(test_a_commit_is_one_put_and_a_needless_one_none)
{
	struct mount m;
	uint64_t before;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), 0);
	for (int i = 0; i < 10; i++) {
		put(&m, "b", "2");
		ck_assert(db_is_dirty(m.db));
		before = all_requests(&m);
		ck_assert_int_eq(db_commit(m.db), 0);
		ck_assert_uint_eq(all_requests(&m) - before, 1);
		ck_assert(!db_is_dirty(m.db));
		ck_assert_int_eq(db_commit(m.db), 0);
		ck_assert_uint_eq(all_requests(&m) - before, 1);
	}
	mount_drop(&m);
}
END_TEST

#define WRITERS 16
#define WRITES 50

struct writer {
	struct mount *m;
	unsigned *left; /* writers still at work */
	int id;
};

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	char key[32];
	bool ok = true;

	for (int i = 0; i < WRITES && ok; i++) {
		snprintf(key, sizeof(key), "%d/%d", w->id, i);
		ok = try_put(w->m, key, "x") == 0 && db_commit(w->m->db) == 0;
	}
	__atomic_sub_fetch(w->left, 1, __ATOMIC_SEQ_CST);
	return ok ? NULL : "failed";
}

struct gathering {
	struct mount *m;
	unsigned left;
};

/* The answer to a slot's PUT comes when another committer has arrived meanwhile, if there is any.
 */
static enum store_fault slow_slots(void *ctx, uint64_t number, enum store_op op, const char *key,
				   int *error)
{
	struct gathering *g = ctx;
	struct db_stats s = { 0 };

	if (op != STORE_OP_PUT || strncmp(key, "chain/", 6) != 0 || !g->m->db)
		return STORE_FAULT_NONE;
	while (s.commit_waiters < 2 && __atomic_load_n(&g->left, __ATOMIC_SEQ_CST) >= 2) {
		sched_yield();
		db_stats(g->m->db, &s);
	}
	return STORE_FAULT_NONE;
}

START_TEST(test_commits_of_many_threads_share_slots)
{
	struct writer w[WRITERS];
	pthread_t t[WRITERS];
	struct db_stats s;
	struct mount m;
	struct gathering g = { &m, WRITERS };
	void *result;

	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ slow_slots, &g };
	mount_open(&m, MOUNT_CREATE);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ &m, &g.left, i };
		ck_assert_int_eq(pthread_create(&t[i], NULL, writer_run, &w[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(t[i], &result);
		ck_assert_ptr_null(result);
	}
	db_stats(m.db, &s);
	/* Whoever came during a PUT shared the next: two or more callers to each, but for the tail.
	 */
	ck_assert_uint_le(s.commits, WRITERS * WRITES / 2 + WRITES);
	ck_assert_uint_gt(s.commits, 0);
	mount_drop(&m);

	m.plan.decide = NULL;
	mount_open(&m, MOUNT_WRITE);
	for (int i = 0; i < WRITERS; i++)
		for (int n = 0; n < WRITES; n++) {
			char key[32];

			snprintf(key, sizeof(key), "%d/%d", i, n);
			ck_value(&m, key, "x");
		}
	mount_drop(&m);
}
END_TEST

START_TEST(test_what_was_not_committed_is_not_there_after_a_crash)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 10, 10);
	ck_assert_int_eq(db_commit(m.db), 0);
	put_numbers(&m, 10, 20, 10);
	mount_drop(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 10);
	mount_drop(&m);
}
END_TEST

/* ---- hooks ---- */

struct owner {
	struct mount *m;
	int seal_error, wait_error;
	bool wait, write_in_seal;
	const char *part;
	uint64_t part_id, part_offset;
	unsigned seals, unseals, waits, wait_dones, part_dones, checkpoints;
	int part_result;
};

static int owner_wait(void *arg)
{
	struct owner *o = arg;

	o->waits++;
	return o->wait_error ? err_note(o->wait_error, "the owner's wait") : 0;
}

static void owner_wait_done(void *arg)
{
	((struct owner *)arg)->wait_dones++;
}

static void owner_part_done(void *arg, int result)
{
	struct owner *o = arg;

	o->part_dones++;
	o->part_result = result;
}

static int owner_before_seal(void *ctx, struct db_seal *seal)
{
	struct owner *o = ctx;

	o->seals++;
	if (o->write_in_seal)
		put(o->m, "counter", "in the cut");
	if (o->wait)
		ck_assert_int_eq(db_seal_wait(seal, owner_wait, owner_wait_done, o), 0);
	if (o->part)
		ck_assert_int_eq(db_seal_part(seal, o->part_id, o->part_offset, o->part,
					      strlen(o->part), owner_part_done, o),
				 0);
	return o->seal_error ? err_note(o->seal_error, "the owner's seal") : 0;
}

static void owner_after_seal(void *ctx)
{
	((struct owner *)ctx)->unseals++;
}

static int owner_before_checkpoint(void *ctx)
{
	((struct owner *)ctx)->checkpoints++;
	return 0;
}

static void open_with_owner(struct mount *m, struct owner *o, enum mount_mode mode)
{
	o->m = m;
	m->config.hooks = (struct db_hooks){ owner_before_seal, owner_after_seal,
					     owner_before_checkpoint, o };
	mount_open(m, mode);
}

START_TEST(test_what_the_owner_writes_while_sealing_is_in_the_cut)
{
	struct owner o = { .write_in_seal = true };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), 0);
	ck_assert(!db_is_dirty(m.db));
	ck_assert_uint_eq(o.seals, 1);
	ck_assert_uint_eq(o.unseals, 1);
	mount_drop(&m);
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_value(&m, "counter", "in the cut");
	mount_drop(&m);
}
END_TEST

START_TEST(test_an_owner_that_cannot_seal_fails_that_commit_only)
{
	struct owner o = { .seal_error = -ENOSPC };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), -ENOSPC);
	ck_assert_str_eq(err_last_note(), "the owner's seal");
	ck_assert_uint_eq(o.unseals, 1);
	o.seal_error = 0;
	ck_assert(db_is_dirty(m.db));
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_slot_waits_for_what_the_owner_says_and_its_failure_is_final)
{
	struct owner o = { .wait = true };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), 0);
	ck_assert_uint_eq(o.waits, 1);
	ck_assert_uint_eq(o.wait_dones, 1);
	put(&m, "b", "2");
	o.wait_error = -ECANCELED;
	ck_assert_int_eq(db_commit(m.db), -ECANCELED);
	ck_assert_uint_eq(o.wait_dones, 2);
	o.wait_error = 0;
	ck_assert_int_eq(db_commit(m.db), -ECANCELED);
	ck_assert_int_ne(try_put(&m, "c", "3"), 0);
	mount_drop(&m);
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	ck_value(&m, "b", NULL);
	mount_drop(&m);
}
END_TEST

struct parts {
	struct buf bytes;
	unsigned calls;
};

static int collect_part(void *ctx, uint64_t id, uint64_t offset, const void *data, size_t len)
{
	struct parts *p = ctx;

	ck_assert_uint_eq(id, 77);
	ck_assert_uint_eq(offset, p->bytes.len);
	buf_add(&p->bytes, data, len);
	p->calls++;
	return 0;
}

START_TEST(test_parts_come_back_after_a_crash_until_a_checkpoint)
{
	struct owner o = { .part_id = 77 };
	struct parts p = { BUF_INIT, 0 };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	for (int i = 0; i < 2; i++) {
		o.part = i ? "world" : "hello ";
		put(&m, "a", o.part);
		ck_assert_int_eq(db_commit(m.db), 0);
		o.part_offset += strlen(o.part);
		ck_assert_int_eq(o.part_result, 0);
	}
	ck_assert_uint_eq(o.part_dones, 2);
	mount_drop(&m);

	o.part = NULL;
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_assert_int_eq(db_checkpoint(m.db), -EBUSY); /* or they would be lost */
	ck_assert_int_eq(db_recovered_parts(m.db, collect_part, &p), 0);
	ck_assert_uint_eq(p.calls, 2);
	ck_assert_str_eq(buf_cstr(&p.bytes), "hello world");
	o.checkpoints = 0;
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	ck_assert_uint_eq(o.checkpoints, 1);
	/* The rest of an object whose beginning is stored by now is of no use. */
	o.part = "late";
	put(&m, "a", "3");
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);

	o.part = NULL;
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_assert_int_eq(db_recovered_parts(m.db, collect_part, &p), 0);
	ck_assert_uint_eq(p.calls, 2);
	mount_drop(&m);
	buf_release(&p.bytes);
}
END_TEST

/* ---- two writers ---- */

START_TEST(test_a_writer_that_was_replaced_is_fenced_and_its_data_absent)
{
	struct mount zombie, m;
	struct db_stats s;

	mount_init(&zombie, URL);
	mount_init(&m, URL);
	mount_open(&zombie, MOUNT_CREATE);
	put_numbers(&zombie, 0, 5, 10);
	ck_assert_int_eq(db_commit(zombie.db), 0);

	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_gt(db_epoch(m.db), db_epoch(zombie.db));
	put_numbers(&zombie, 5, 9, 10);
	ck_assert_int_eq(db_commit(zombie.db), -L3_FENCED);
	ck_assert_int_eq(db_commit(zombie.db), -L3_FENCED);
	ck_assert_int_eq(try_put(&zombie, "x", "y"), -L3_FENCED);
	ck_assert(lease_lost(zombie.lease));
	ck_assert_ptr_nonnull(strstr(zombie.said, "fenced"));
	db_stats(zombie.db, &s);
	ck_assert(s.fenced);
	put_numbers(&m, 5, 7, 20);
	ck_assert_int_eq(db_commit(m.db), 0);
	/* What the fenced one has in memory may still be read. */
	ck_assert_uint_eq(count_numbers(&zombie), 9);
	mount_drop(&zombie);
	mount_drop(&m);

	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 7);
	mount_drop(&m);
}
END_TEST

/* Writes, checkpoints and trims until nothing but checkpoints and fences is left of old slots. */
static void live_on(struct mount *m, unsigned *n)
{
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 3; k++, (*n)++) {
			ck_assert_int_eq(try_put_number(m, *n, 50), 0);
			ck_assert_int_eq(db_commit(m->db), 0);
		}
		ck_assert_int_eq(db_checkpoint(m->db), 0);
	}
}

START_TEST(test_a_zombie_that_wakes_after_trimming_meets_the_fence)
{
	struct mount zombie, m;
	unsigned n = 5;
	char first[STORE_KEY_MAX];

	mount_init(&zombie, URL);
	mount_init(&m, URL);
	mount_open(&zombie, MOUNT_CREATE);
	put_numbers(&zombie, 0, 5, 10);
	ck_assert_int_eq(db_commit(zombie.db), 0);
	for (int i = 0; i < 3; i++) {
		mount_open(&m, MOUNT_WRITE);
		live_on(&m, &n);
		mount_close(&m);
	}
	ck_assert_uint_lt(count_objects(URL, "chain/"), 12);
	ck_assert_uint_eq(count_objects(URL, "checkpoint/"), 2);
	nth_object(URL, "chain/", 0, first);
	ck_assert_str_eq(first, "chain/00000000000000000001"); /* the first epoch's fence */
	ck_assert_int_eq(try_put_number(&zombie, 5, 10), 0);
	ck_assert_int_eq(db_commit(zombie.db), -L3_FENCED);
	mount_drop(&zombie);

	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), n);
	mount_drop(&m);
}
END_TEST

/* Things that happen to somebody else just before the mount's n-th operation of a kind. */
struct meanwhile {
	struct mount *self;
	enum store_op op;
	const char *prefix;
	unsigned skip;
	void (*happens)(struct mount *other, unsigned *n);
	struct mount other;
	unsigned n;
	bool done;
};

static enum store_fault decide_meanwhile(void *ctx, uint64_t number, enum store_op op,
					 const char *key, int *error)
{
	struct meanwhile *w = ctx;

	if (w->done || op != w->op || strncmp(key, w->prefix, strlen(w->prefix)) != 0)
		return STORE_FAULT_NONE;
	if (w->skip > 0) {
		w->skip--;
		return STORE_FAULT_NONE;
	}
	w->done = true;
	w->happens(&w->other, &w->n);
	return STORE_FAULT_NONE;
}

/* Somebody opens, and lives on. */
static void takes_over(struct mount *other, unsigned *n)
{
	mount_init(other, URL);
	mount_open(other, MOUNT_WRITE);
	live_on(other, n);
}

START_TEST(test_an_opener_overtaken_just_before_its_fence_stops)
{
	struct meanwhile w = {
		.op = STORE_OP_PUT, .prefix = "chain/", .happens = takes_over, .n = 5
	};
	struct mount m;
	int err;

	make_database(5);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide_meanwhile, &w };
	err = mount_try(&m, MOUNT_WRITE);
	ck_assert_int_eq(err, -L3_FENCED);
	ck_assert(w.done);
	mount_drop(&m);
	/* The other does not notice. */
	put_numbers(&w.other, w.n, w.n + 1, 10);
	ck_assert_int_eq(db_commit(w.other.db), 0);
	mount_close(&w.other);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), w.n + 1);
	mount_drop(&m);
}
END_TEST

static struct mount *old_writer;

/* The old writer goes on for a while, and only then somebody takes over: the slot that the opener
 * wants to create is trimmed away by the time it does. */
static void goes_on_and_is_taken_over(struct mount *other, unsigned *n)
{
	for (int i = 0; i < 3; i++, (*n)++) {
		ck_assert_int_eq(try_put_number(old_writer, *n, 10), 0);
		ck_assert_int_eq(db_commit(old_writer->db), 0);
	}
	takes_over(other, n);
}

START_TEST(test_a_fence_that_lands_in_a_trimmed_gap_is_nobodys)
{
	struct meanwhile w = {
		.op = STORE_OP_PUT, .prefix = "chain/", .happens = goes_on_and_is_taken_over, .n = 5
	};
	struct mount m, old;

	make_database(5);
	mount_init(&old, URL);
	mount_open(&old, MOUNT_WRITE);
	old_writer = &old;
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide_meanwhile, &w };
	ck_assert_int_eq(mount_try(&m, MOUNT_WRITE), -L3_FENCED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "taken over")); /* said the lease */
	mount_drop(&m);
	mount_drop(&old);
	live_on(&w.other, &w.n);
	mount_close(&w.other);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), w.n);
	mount_drop(&m);
}
END_TEST

/* The old writer's clock stands still, as that of a paused machine does: it believes in its lease,
 * and what it acknowledges must not be lost. */
static void goes_on(struct mount *other, unsigned *n)
{
	(void)other;
	live_on(old_writer, n);
}

START_TEST(test_an_opener_whose_fence_lands_in_a_gap_stops_though_the_lease_is_its_own)
{
	struct meanwhile w = { .op = STORE_OP_PUT, .prefix = "chain/", .happens = goes_on, .n = 5 };
	struct mount m, old;

	make_database(5);
	mount_init(&old, URL);
	mount_open(&old, MOUNT_WRITE);
	old_writer = &old;
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide_meanwhile, &w };
	ck_assert_int_eq(mount_try(&m, MOUNT_WRITE), -L3_FENCED);
	ck_assert(w.done);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "still writing"));
	mount_drop(&m);
	live_on(&old, &w.n);
	mount_drop(&old);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), w.n);
	mount_drop(&m);
}
END_TEST

static void writes_one_more(struct mount *other, unsigned *n)
{
	ck_assert_int_eq(try_put_number(old_writer, (*n)++, 10), 0);
	ck_assert_int_eq(db_commit(old_writer->db), 0);
}

START_TEST(test_a_commit_that_beats_the_fence_belongs_to_the_history)
{
	struct meanwhile w = {
		.op = STORE_OP_PUT, .prefix = "chain/", .happens = writes_one_more, .n = 5
	};
	struct mount m, old;

	make_database(5);
	mount_init(&old, URL);
	mount_open(&old, MOUNT_WRITE);
	old_writer = &old;
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide_meanwhile, &w };
	mount_open(&m, MOUNT_WRITE);
	ck_assert(w.done);
	ck_assert_uint_eq(count_numbers(&m), 6);
	ck_assert_int_eq(try_put_number(&old, 6, 10), 0);
	ck_assert_int_eq(db_commit(old.db), -L3_FENCED);
	mount_drop(&old);
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_reader_begins_again_when_slots_are_trimmed_under_it)
{
	static const struct {
		enum store_op op;
		const char *prefix;
	} moments[] = {
		{ STORE_OP_LIST, "chain/" },
		{ STORE_OP_GET, "checkpoint/" },
		{ STORE_OP_GET, "chain/" },
	};
	struct mount m, old;
	unsigned n = 5;

	make_database(5);
	mount_init(&old, URL);
	mount_open(&old, MOUNT_WRITE);
	old_writer = &old;
	live_on(&old, &n);
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		struct meanwhile w = {
			.op = moments[i].op, .prefix = moments[i].prefix, .happens = goes_on, .n = n
		};

		put_numbers(&old, w.n, w.n + 1, 10);
		w.n++;
		ck_assert_int_eq(db_commit(old.db), 0);
		mount_init(&m, URL);
		m.plan = (struct store_fault_plan){ decide_meanwhile, &w };
		mount_open(&m, MOUNT_READ);
		ck_assert(w.done);
		ck_assert_uint_ge(count_numbers(&m), n + 1);
		mount_drop(&m);
		n = w.n;
	}
	mount_drop(&old);
}
END_TEST

START_TEST(test_a_lost_lease_object_does_not_reset_the_epoch)
{
	struct mount m;
	uint64_t epoch;

	make_database(5);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	epoch = db_epoch(m.db);
	mount_close(&m);
	remove_object(URL, "lease");
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_gt(db_epoch(m.db), epoch);
	ck_assert_uint_eq(lease_epoch(m.lease), db_epoch(m.db));
	ck_assert_uint_eq(count_numbers(&m), 5);
	mount_close(&m);
}
END_TEST

struct late {
	bool armed;
};

static enum store_fault decide_late(void *ctx, uint64_t number, enum store_op op, const char *key,
				    int *error)
{
	struct late *l = ctx;

	if (!__atomic_load_n(&l->armed, __ATOMIC_SEQ_CST) || op != STORE_OP_PUT ||
	    strncmp(key, "chain/", 6) != 0)
		return STORE_FAULT_NONE;
	return STORE_FAULT_LATE;
}

static void *commit_run(void *arg)
{
	struct mount *m = arg;

	return (void *)(intptr_t)db_commit(m->db);
}

START_TEST(test_a_slot_that_arrives_after_the_takeover_changes_nothing)
{
	struct late l = { false };
	struct mount zombie, m;
	pthread_t t;
	void *result;

	mount_init(&zombie, URL);
	mount_init(&m, URL);
	zombie.plan = (struct store_fault_plan){ decide_late, &l };
	mount_open(&zombie, MOUNT_CREATE);
	put_numbers(&zombie, 0, 5, 10);
	ck_assert_int_eq(db_commit(zombie.db), 0);
	put_numbers(&zombie, 5, 8, 10);
	__atomic_store_n(&l.armed, true, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(pthread_create(&t, NULL, commit_run, &zombie), 0);
	while (store_fault_count(zombie.faults) < 20)
		sched_yield(); /* it tries again and again */
	mount_open(&m, MOUNT_WRITE);
	store_fault_resume(zombie.faults);
	__atomic_store_n(&l.armed, false, __ATOMIC_SEQ_CST);
	pthread_join(t, &result);
	ck_assert_int_eq((intptr_t)result, -L3_FENCED);
	mount_drop(&zombie);
	ck_assert_uint_eq(count_numbers(&m), 5);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 5);
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_cancelled_database_acknowledges_nothing)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	db_cancel(m.db);
	ck_assert_int_eq(db_commit(m.db), -ECANCELED);
	ck_assert_int_eq(db_checkpoint(m.db), -ECANCELED);
	mount_drop(&m);
}
END_TEST

/* ---- what may be missing or bad ---- */

static void ck_refused(const char *naming)
{
	size_t before = count_objects(URL, "c"); /* chain and checkpoints */
	struct mount m;
	int err;

	for (int mode = MOUNT_WRITE; mode <= MOUNT_READ; mode++) {
		mount_init(&m, URL);
		err = mount_try(&m, mode);
		ck_assert_msg(err == -L3_CORRUPT, "opened with %s, wanted a complaint about %s",
			      err ? err_text(err) : "success", naming);
		ck_assert_msg(strstr(err_last_note(), naming), "%s: does not name %s",
			      err_last_note(), naming);
		mount_drop(&m);
	}
	ck_assert_uint_eq(count_objects(URL, "c"), before);
}

/* Two checkpoints, some slots after the newer. */
static void make_history(void)
{
	struct mount m;
	unsigned n = 0;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	live_on(&m, &n);
	for (int i = 0; i < 3; i++, n++) {
		ck_assert_int_eq(try_put_number(&m, n, 50), 0);
		ck_assert_int_eq(db_commit(m.db), 0);
	}
	mount_drop(&m);
}

#define HISTORY_NUMBERS 15

START_TEST(test_a_missing_slot_is_an_error_that_names_it)
{
	char key[STORE_KEY_MAX];

	make_history();
	nth_object(URL, "chain/", -2, key);
	remove_object(URL, key);
	ck_refused(key);
}
END_TEST

START_TEST(test_a_bad_slot_is_an_error_that_names_it)
{
	char key[STORE_KEY_MAX];

	make_history();
	nth_object(URL, "chain/", -2, key);
	spoil_object(URL, key);
	ck_refused(key);
}
END_TEST

START_TEST(test_a_bad_newest_checkpoint_is_survived_with_the_one_before)
{
	char key[STORE_KEY_MAX];
	struct mount m;

	make_history();
	nth_object(URL, "checkpoint/", -1, key);
	spoil_object(URL, key);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_ptr_nonnull(strstr(m.said, key));
	ck_assert_uint_eq(count_numbers(&m), HISTORY_NUMBERS);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), HISTORY_NUMBERS);
	mount_drop(&m);
}
END_TEST

START_TEST(test_two_bad_checkpoints_are_an_error_that_names_the_newest)
{
	char newest[STORE_KEY_MAX], older[STORE_KEY_MAX];

	make_history();
	nth_object(URL, "checkpoint/", -1, newest);
	nth_object(URL, "checkpoint/", -2, older);
	spoil_object(URL, newest);
	spoil_object(URL, older);
	ck_refused(newest);
}
END_TEST

START_TEST(test_lost_checkpoints_are_an_error_not_a_fresh_start)
{
	char key[STORE_KEY_MAX];

	make_history();
	while (count_objects(URL, "checkpoint/") > 0) {
		nth_object(URL, "checkpoint/", 0, key);
		remove_object(URL, key);
	}
	ck_refused("chain/");
}
END_TEST

START_TEST(test_an_empty_chain_is_opened_by_mkfs_only)
{
	struct mount m;

	ck_refused("empty");
	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	mount_drop(&m); /* only the fence is there: mkfs was interrupted */
	ck_refused("CURRENT");
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	mount_close(&m);
	mount_init(&m, URL);
	ck_assert_int_eq(mount_try(&m, MOUNT_CREATE), -EEXIST);
	mount_drop(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	mount_drop(&m);
}
END_TEST

/* ---- costs ---- */

START_TEST(test_opening_takes_few_requests)
{
	uint64_t lease_requests = 3; /* GET, PUT, and GET to confirm */
	struct mount m;

	make_database(300);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_READ);
	ck_assert_uint_le(all_requests(&m), 3);
	ck_assert_uint_eq(requests(&m, STORE_OP_PUT), 0);
	mount_drop(&m);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	/* LIST, GET, LIST, PUT of the fence, LIST to see where it is; and maybe the table that
	 * LevelDB makes of its log. */
	ck_assert_uint_le(all_requests(&m), lease_requests + 6);
	mount_drop(&m);
}
END_TEST

START_TEST(test_checkpoints_keep_the_chain_short)
{
	struct mount m;

	mount_init(&m, URL);
	m.config.checkpoint_slots = 8;
	mount_open(&m, MOUNT_CREATE);
	for (unsigned n = 0; n < 200; n++) {
		struct db_stats s;
		uint64_t newest;

		ck_assert_int_eq(try_put_number(&m, n, 10), 0);
		ck_assert_int_eq(db_commit(m.db), 0);
		db_stats(m.db, &s);
		for (newest = s.checkpoint_slot; s.slot - newest > 16; newest = s.checkpoint_slot) {
			sched_yield();
			db_stats(m.db, &s);
		}
	}
	mount_close(&m);
	ck_assert_uint_le(count_objects(URL, "checkpoint/"), 2);
	ck_assert_uint_lt(count_objects(URL, "chain/"), 25);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 200);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	mount_close(&m);
	/* The slots after the older checkpoint, and a fence for each of the three. */
	ck_assert_uint_lt(count_objects(URL, "chain/"), 12);
}
END_TEST

/* ---- deletion ---- */

static void pass(struct mount *m, uint64_t ms)
{
	fake_sleep_ms(&m->time.clock, ms);
	ck_assert_int_eq(lease_renew(m->lease), 0);
}

/* The keeper may be at it just now. */
static void wait_until_gone(const char *url, const char *key)
{
	while (object_exists(url, key))
		sched_yield();
}

static void compact(struct mount *m)
{
	leveldb_compact_range(db_handle(m->db), NULL, 0, NULL, 0);
}

START_TEST(test_removed_tables_stay_for_the_grace)
{
	struct db_stats s;
	struct mount m;
	size_t before;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 20000, 100);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	before = count_objects(URL, "table/");
	ck_assert_uint_gt(before, 0);
	for (unsigned n = 0; n < 20000; n++)
		put_numbers(&m, n, n + 1, 90);
	compact(&m);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	db_stats(m.db, &s);
	ck_assert_uint_gt(s.discards_waiting, 0);
	ck_assert_uint_eq(count_objects(URL, "table/"), s.tables + s.discards_waiting);
	pass(&m, m.config.grace_ms - 1000);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	ck_assert_uint_eq(count_objects(URL, "table/"), s.tables + s.discards_waiting);
	pass(&m, 2000);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	do
		db_stats(m.db, &s);
	while (s.discards_waiting > 0);
	ck_assert_uint_eq(count_objects(URL, "table/"), s.tables);
	ck_assert_uint_eq(count_numbers(&m), 20000);
	mount_close(&m);
}
END_TEST

START_TEST(test_a_discarded_object_goes_after_the_cut_and_the_grace)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	ck_assert_int_eq(store_put_bytes(m.store, "data/x", "x", 1, STORE_CREATE, NULL, NULL), 0);
	put(&m, "a", "no longer refers to x");
	ck_assert_int_eq(db_discard(m.db, "data/x"), 0);
	pass(&m, m.config.grace_ms * 2);
	ck_assert(object_exists(URL, "data/x"));
	ck_assert_int_eq(db_checkpoint(m.db), 0); /* the cut, and the grace begins */
	ck_assert(object_exists(URL, "data/x"));
	pass(&m, m.config.grace_ms + 1);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	wait_until_gone(URL, "data/x");
	/* Nothing to wait for but the grace. */
	ck_assert_int_eq(store_put_bytes(m.store, "data/y", "y", 1, STORE_CREATE, NULL, NULL), 0);
	ck_assert_int_eq(db_discard(m.db, "data/y"), 0);
	pass(&m, m.config.grace_ms + 1);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	wait_until_gone(URL, "data/y");
	mount_drop(&m);
}
END_TEST

static bool refers_to_kept(void *ctx, const char *key)
{
	return strcmp(key, "data/kept") == 0;
}

/* ---- sweeping: on a folder, because there the age of objects can be set ---- */

static char folder[64], folder_url[80];

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/db_chain_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(folder_url, sizeof(folder_url), "file://%s", folder);
}

static void drop_folder(void)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void make_object(struct mount *m, const char *key, time_t age_s)
{
	char path[STORE_KEY_MAX + 64];
	struct timespec t[2] = { { .tv_sec = time(NULL) - age_s },
				 { .tv_sec = time(NULL) - age_s } };

	if (!object_exists(folder_url, key))
		ck_assert_int_eq(store_put_bytes(m->store, key, "x", 1, STORE_CREATE, NULL, NULL),
				 0);
	snprintf(path, sizeof(path), "%s/%s", folder, key);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, t, 0), 0);
}

START_TEST(test_a_sweep_spares_what_is_young_or_referred_to)
{
	struct mount m;

	make_folder();
	mount_init(&m, folder_url);
	mount_open(&m, MOUNT_CREATE);
	make_object(&m, "data/kept", 9000);
	make_object(&m, "data/lost", 9000);
	make_object(&m, "data/young", 3000);
	make_object(&m, "data/ours", 60);
	ck_assert_int_eq(db_sweep(m.db, "data/", refers_to_kept, NULL), 1);
	/* An hour later the young one is old; but our own are never taken for garbage. */
	pass(&m, 3600000);
	ck_assert_int_eq(db_sweep(m.db, "data/", refers_to_kept, NULL), 2);
	pass(&m, m.config.grace_ms + 1);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	pass(&m, m.config.grace_ms + 1);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	ck_assert(object_exists(folder_url, "data/kept"));
	ck_assert(object_exists(folder_url, "data/ours"));
	wait_until_gone(folder_url, "data/lost");
	wait_until_gone(folder_url, "data/young");
	mount_drop(&m);
	drop_folder();
}
END_TEST

START_TEST(test_tables_that_a_crash_left_are_swept_and_no_others)
{
	static const char garbage[] = "table/00000000000000004711-0000000001";
	struct store_list l = STORE_LIST_INIT;
	struct db_stats s;
	struct mount m;

	make_folder();
	mount_init(&m, folder_url);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 5000, 50);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	mount_drop(&m);

	mount_open(&m, MOUNT_WRITE);
	make_object(&m, garbage, 9000);
	make_object(&m, "table/not-of-this-form", 9000);
	list_objects(folder_url, "table/", &l);
	ck_assert_uint_gt(l.count, 2);
	for (size_t i = 0; i < l.count; i++)
		make_object(&m, l.entries[i].key, 9000);
	store_list_release(&l);
	compact(&m); /* the old ones are superfluous now, but in the durable state still */
	db_stats(m.db, &s);
	ck_assert_uint_eq(s.discards_waiting, 0);
	pass(&m, m.config.grace_ms + 1);
	put_numbers(&m, 5000, 5001, 50);
	ck_assert_int_eq(db_commit(m.db), 0); /* wakes the keeper, which sweeps */
	for (int i = 0; i < 4; i++) {
		pass(&m, m.config.grace_ms + 1);
		ck_assert_int_eq(db_checkpoint(m.db), 0);
	}
	while (object_exists(folder_url, garbage)) {
		sched_yield();
		pass(&m, m.config.grace_ms + 1);
		ck_assert_int_eq(db_checkpoint(m.db), 0);
	}
	ck_assert(object_exists(folder_url, "table/not-of-this-form"));
	mount_drop(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 5001);
	mount_drop(&m);
	drop_folder();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the commit chain");
	TCase *commits = tcase_create("commits"), *writers = tcase_create("two writers");
	TCase *bad = tcase_create("missing and bad objects"),
	      *gc = tcase_create("costs and deletion");

	tcase_add_checked_fixture(commits, setup, NULL);
	tcase_set_timeout(commits, 60);
	tcase_add_test(commits, test_a_commit_is_one_put_and_a_needless_one_none);
	tcase_add_test(commits, test_commits_of_many_threads_share_slots);
	tcase_add_test(commits, test_what_was_not_committed_is_not_there_after_a_crash);
	tcase_add_test(commits, test_what_the_owner_writes_while_sealing_is_in_the_cut);
	tcase_add_test(commits, test_an_owner_that_cannot_seal_fails_that_commit_only);
	tcase_add_test(commits, test_a_slot_waits_for_what_the_owner_says_and_its_failure_is_final);
	tcase_add_test(commits, test_parts_come_back_after_a_crash_until_a_checkpoint);
	tcase_add_test(commits, test_a_cancelled_database_acknowledges_nothing);
	suite_add_tcase(s, commits);

	tcase_add_checked_fixture(writers, setup, NULL);
	tcase_set_timeout(writers, 60);
	tcase_add_test(writers, test_a_writer_that_was_replaced_is_fenced_and_its_data_absent);
	tcase_add_test(writers, test_a_zombie_that_wakes_after_trimming_meets_the_fence);
	tcase_add_test(writers, test_an_opener_overtaken_just_before_its_fence_stops);
	tcase_add_test(writers, test_a_fence_that_lands_in_a_trimmed_gap_is_nobodys);
	tcase_add_test(writers,
		       test_an_opener_whose_fence_lands_in_a_gap_stops_though_the_lease_is_its_own);
	tcase_add_test(writers, test_a_commit_that_beats_the_fence_belongs_to_the_history);
	tcase_add_test(writers, test_a_reader_begins_again_when_slots_are_trimmed_under_it);
	tcase_add_test(writers, test_a_lost_lease_object_does_not_reset_the_epoch);
	tcase_add_test(writers, test_a_slot_that_arrives_after_the_takeover_changes_nothing);
	suite_add_tcase(s, writers);

	tcase_add_checked_fixture(bad, setup, NULL);
	tcase_set_timeout(bad, 60);
	tcase_add_test(bad, test_a_missing_slot_is_an_error_that_names_it);
	tcase_add_test(bad, test_a_bad_slot_is_an_error_that_names_it);
	tcase_add_test(bad, test_a_bad_newest_checkpoint_is_survived_with_the_one_before);
	tcase_add_test(bad, test_two_bad_checkpoints_are_an_error_that_names_the_newest);
	tcase_add_test(bad, test_lost_checkpoints_are_an_error_not_a_fresh_start);
	tcase_add_test(bad, test_an_empty_chain_is_opened_by_mkfs_only);
	suite_add_tcase(s, bad);

	tcase_add_checked_fixture(gc, setup, NULL);
	tcase_set_timeout(gc, 120);
	tcase_add_test(gc, test_opening_takes_few_requests);
	tcase_add_test(gc, test_checkpoints_keep_the_chain_short);
	tcase_add_test(gc, test_removed_tables_stay_for_the_grace);
	tcase_add_test(gc, test_a_discarded_object_goes_after_the_cut_and_the_grace);
	tcase_add_test(gc, test_a_sweep_spares_what_is_young_or_referred_to);
	tcase_add_test(gc, test_tables_that_a_crash_left_are_swept_and_no_others);
	suite_add_tcase(s, gc);
	return run_suite(s);
}

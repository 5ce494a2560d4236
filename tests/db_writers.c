/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two writers of one database: takeover, fences, and writers that sleep and wake at the worst
 * moment. Only one history may come out of it, and what was acknowledged is in it.
 */
#include "db_fixture.h"

#include <pthread.h>

#define URL "mem:db-writers-tests"

static void setup(void)
{
	store_mem_drop(URL);
}

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

	make_database_of(URL, 5);
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

	make_database_of(URL, 5);
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

	make_database_of(URL, 5);
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

	make_database_of(URL, 5);
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
		{ STORE_OP_LIST, "ch" }, /* of slots and checkpoints */
		{ STORE_OP_GET, "checkpoint/" },
		{ STORE_OP_GET, "chain/" },
	};
	struct mount m, old;
	unsigned n = 5;

	make_database_of(URL, 5);
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

	make_database_of(URL, 5);
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

int main(void)
{
	Suite *s = suite_create("two writers");
	TCase *t = tcase_create("two writers");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_a_writer_that_was_replaced_is_fenced_and_its_data_absent);
	tcase_add_test(t, test_a_zombie_that_wakes_after_trimming_meets_the_fence);
	tcase_add_test(t, test_an_opener_overtaken_just_before_its_fence_stops);
	tcase_add_test(t, test_a_fence_that_lands_in_a_trimmed_gap_is_nobodys);
	tcase_add_test(t,
		       test_an_opener_whose_fence_lands_in_a_gap_stops_though_the_lease_is_its_own);
	tcase_add_test(t, test_a_commit_that_beats_the_fence_belongs_to_the_history);
	tcase_add_test(t, test_a_reader_begins_again_when_slots_are_trimmed_under_it);
	tcase_add_test(t, test_a_lost_lease_object_does_not_reset_the_epoch);
	tcase_add_test(t, test_a_slot_that_arrives_after_the_takeover_changes_nothing);
	suite_add_tcase(s, t);
	return run_suite(s);
}

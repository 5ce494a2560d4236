/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The queue of superfluous objects, alone: an object goes after its cut and its grace, and a
 * deletion that fails is tried again. (This one looks behind the door, at db/gc.h: from outside,
 * nobody can keep the queue from being served at the wrong moment.)
 */
#include "db/gc.h"
#include "db_fixture.h"

#define URL "mem:db-gc-tests"
#define GRACE_MS 1000

static struct mount m;
static struct gc gc;
static bool refuse;

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	*error = -L3_DENIED;
	if (refuse && (op == STORE_OP_DELETE || op == STORE_OP_DELETE_MANY))
		return STORE_FAULT_ERROR_BEFORE;
	return STORE_FAULT_NONE;
}

static void setup(void)
{
	struct cache_config cc = { .fs = fixture_uuid, .mem_bytes = MIB };
	struct gc_config config;

	store_mem_drop(URL);
	refuse = false;
	mount_init(&m, URL);
	m.plan.decide = decide;
	ck_assert_int_eq(mount_stores(&m), 0);
	cc.store = m.store;
	ck_assert_int_eq(cache_open(&cc, &m.cache), 0);
	config = (struct gc_config){ m.store, m.cache, &m.time.clock, GRACE_MS };
	db_gc_init(&gc, &config);
}

static void teardown(void)
{
	db_gc_release(&gc);
	mount_drop(&m);
}

static void add(const char *key, uint64_t need_cut)
{
	ck_assert_int_eq(store_put_bytes(m.store, key, "x", 1, STORE_CREATE, NULL, NULL), 0);
	ck_assert_int_eq(db_gc_add(&gc, key, 1, need_cut), 1);
}

static uint64_t waiting(void)
{
	struct db_trash t;

	db_gc_counts(&gc, &t);
	return t.waiting;
}

static void pass(uint64_t ms)
{
	fake_sleep_ms(&m.time.clock, ms);
	db_gc_run(&gc);
}

START_TEST(test_an_object_goes_after_its_cut_and_then_its_grace)
{
	add("a", 5);
	add("b", 6);
	ck_assert_uint_eq(db_gc_next_ms(&gc), GC_NEVER);
	db_gc_settle(&gc, 4);
	pass(GRACE_MS * 10);
	ck_assert(object_exists(URL, "a"));
	db_gc_settle(&gc, 5);
	ck_assert_uint_ge(db_gc_next_ms(&gc), GRACE_MS);
	pass(GRACE_MS - 1);
	ck_assert(object_exists(URL, "a"));
	pass(1);
	ck_assert(!object_exists(URL, "a"));
	pass(GRACE_MS * 10);
	ck_assert(object_exists(URL, "b"));
	ck_assert_uint_eq(waiting(), 1);
	db_gc_settle(&gc, 9);
	pass(GRACE_MS);
	ck_assert(!object_exists(URL, "b"));
	ck_assert_uint_eq(waiting(), 0);
}
END_TEST

START_TEST(test_a_deletion_that_fails_is_tried_again)
{
	add("a", 1);
	db_gc_settle(&gc, 1);
	refuse = true;
	pass(GRACE_MS);
	ck_assert(object_exists(URL, "a"));
	ck_assert_uint_eq(waiting(), 1);
	ck_assert_uint_gt(db_gc_next_ms(&gc), 0);
	refuse = false;
	pass(db_gc_next_ms(&gc));
	ck_assert(!object_exists(URL, "a"));
}
END_TEST

START_TEST(test_an_object_waits_once_and_is_counted_so)
{
	struct db_trash t;

	add("a", 1);
	ck_assert_int_eq(db_gc_add(&gc, "a", 1, 2), 0);
	ck_assert(db_gc_has(&gc, "a"));
	ck_assert(!db_gc_has(&gc, "b"));
	db_gc_counts(&gc, &t);
	ck_assert(t.uncut);
	ck_assert_uint_eq(t.waiting, 1);
	ck_assert_uint_eq(t.found_bytes, 1);
	db_gc_settle(&gc, 2);
	db_gc_counts(&gc, &t);
	ck_assert(!t.uncut);
	ck_assert_uint_ge(t.due_ms, GRACE_MS);
	refuse = true;
	pass(GRACE_MS);
	db_gc_counts(&gc, &t);
	ck_assert_int_eq(t.trouble, -L3_DENIED);
	refuse = false;
	pass(db_gc_next_ms(&gc));
	db_gc_counts(&gc, &t);
	ck_assert_int_eq(t.trouble, 0);
	ck_assert_uint_eq(t.waiting + t.waiting_bytes + t.due_ms, 0);
	ck_assert_uint_eq(t.deleted, 1);
	ck_assert(!db_gc_has(&gc, "a"));
}
END_TEST

START_TEST(test_many_go_with_few_requests)
{
	char key[32];

	for (int i = 0; i < 2500; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		add(key, 1);
	}
	db_gc_settle(&gc, 1);
	pass(GRACE_MS);
	ck_assert_uint_eq(count_objects(URL, ""), 0);
	ck_assert_uint_eq(requests(&m, STORE_OP_DELETE_MANY), 3);
	ck_assert_uint_eq(requests(&m, STORE_OP_DELETE), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("superfluous objects");
	TCase *tc = tcase_create("queue");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_an_object_goes_after_its_cut_and_then_its_grace);
	tcase_add_test(tc, test_a_deletion_that_fails_is_tried_again);
	tcase_add_test(tc, test_an_object_waits_once_and_is_counted_so);
	tcase_add_test(tc, test_many_go_with_few_requests);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

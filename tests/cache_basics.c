/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cache: what a read costs in requests, pieces side by side and over each other, one fetch for all
 * who want the same, fetching ahead, errors, and the memory cap.
 */
#include "tests/cache_fixture.h"

#define OBJECT_BYTES (1 * MIB + 777)

static void setup(void)
{
	setup_memory();
	make_object(1, OBJECT_BYTES);
}

START_TEST(the_first_read_fetches_and_the_second_does_not)
{
	read_range(1, 1000, 5000);
	ck_assert_uint_eq(gets(), 1);
	ck_assert_uint_eq(stats().bytes_fetched, 5000);
	read_range(1, 1000, 5000);
	read_range(1, 3000, 10);
	ck_assert_uint_eq(gets(), 1);
	ck_assert_uint_eq(stats().hits_mem, 2);
	ck_assert_uint_eq(stats().misses, 1);
	read_range(1, 5999, 2);
	ck_assert_uint_eq(gets(), 2);
}
END_TEST

START_TEST(a_window_is_fetched_whole_with_one_request)
{
	ck_assert_int_eq(try_read(1, 300000, 100, 262144, 131072), 0);
	ck_assert_uint_eq(gets(), 1);
	ck_assert(has(1, 262144, 131072));
	ck_assert(!has(1, 262143, 1));
	ck_assert(!has(1, 393216, 1));
	read_range(1, 262144, 131072);
	ck_assert_uint_eq(gets(), 1);
}
END_TEST

START_TEST(a_window_may_reach_past_the_end_of_the_object_but_the_range_may_not)
{
	ck_assert_int_eq(try_read(1, OBJECT_BYTES - 10, 10, OBJECT_BYTES - 1000, MIB), 0);
	read_range(1, OBJECT_BYTES - 1000, 1000);
	ck_assert_uint_eq(gets(), 1);
	ck_assert_int_eq(try_read(1, OBJECT_BYTES - 10, 11, 0, 0), -L3_CORRUPT);
	ck_assert_int_eq(try_read(1, 10 * MIB, 1, 0, 0), -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "data/object-1"));
}
END_TEST

START_TEST(a_window_that_does_not_hold_the_range_is_refused)
{
	ck_assert_int_eq(try_read(1, 100, 100, 150, 1000), -EINVAL);
	ck_assert_int_eq(try_read(1, 100, 100, 0, 150), -EINVAL);
	ck_assert_int_eq(try_read(1, UINT64_MAX - 1, 100, 0, 0), -EINVAL);
	ck_assert_int_eq(try_read(1, 100, 100, 10, UINT64_MAX), -EINVAL);
	ck_assert_uint_eq(gets(), 0);
}
END_TEST

START_TEST(an_object_that_is_not_there_is_the_stores_error)
{
	ck_assert_int_eq(try_read(2, 0, 1, 0, 0), -ENOENT);
	make_object(2, 100);
	read_range(2, 0, 100);
}
END_TEST

START_TEST(an_error_is_not_remembered)
{
	let_gets_fail(STORE_FAULT_ERROR_BEFORE, 1);
	ck_assert_int_eq(try_read(1, 0, 100, 0, 0), -L3_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "fault"));
	read_range(1, 0, 100);
	ck_assert_uint_eq(gets(), 2);
}
END_TEST

START_TEST(a_read_is_served_from_pieces_side_by_side)
{
	read_range(1, 0, 100);
	read_range(1, 100, 200);
	read_range(1, 300, 300000);
	ck_assert_uint_eq(gets(), 3);
	read_range(1, 0, 300300);
	read_range(1, 50, 260);
	ck_assert_uint_eq(gets(), 3);
}
END_TEST

/* Ranges at random, by insert, read and window, against the bytes there must be. */
START_TEST(pieces_over_each_other_give_the_right_bytes)
{
	srand(4711);
	for (int i = 0; i < 3000; i++) {
		uint64_t offset = (uint64_t)rand() % (OBJECT_BYTES - 1);
		size_t len = 1 + (size_t)rand() %
					 min_u64(rand() % 3 ? 3000 : 300000, OBJECT_BYTES - offset);

		if (i % 3 == 0)
			insert(1, offset, len, false);
		else
			read_range(1, offset, len);
		ck_assert(has(1, offset, len));
		if (i % 500 == 499) {
			char key[32];

			cache_distrust(fx.c, key_of(1, key), offset, len);
			ck_assert(!has(1, offset, 1));
			ck_assert(!has(1, offset + len - 1, 1));
		}
		if (i % 1000 == 999) {
			char key[32];

			cache_forget(fx.c, key_of(1, key));
			ck_assert_uint_eq(stats().bytes_mem, 0);
		}
	}
}
END_TEST

START_TEST(inserted_bytes_need_no_request)
{
	make_object(2, MIB);
	insert(2, 0, MIB, false);
	read_range(2, 0, MIB);
	ck_assert_uint_eq(gets(), 0);
	make_object(3, MIB);
	insert(3, 0, MIB, true); /* there is no disk: nothing to do */
	ck_assert(!has(3, 0, 1));
}
END_TEST

START_TEST(what_is_distrusted_is_fetched_again)
{
	char key[32];

	read_range(1, 0, 600000);
	cache_distrust(fx.c, key_of(1, key), 200000, 10);
	ck_assert(!has(1, 200000, 10));
	ck_assert(has(1, 0, 1000)); /* other pieces are not concerned */
	read_range(1, 200000, 10);
	ck_assert_uint_eq(gets(), 2);
}
END_TEST

START_TEST(the_same_wrong_bytes_again_and_again_prove_damage_and_ever_new_ones_do_not)
{
	struct cache_doubt same = { 0 }, other = { 0 };
	char key[32];
	unsigned tries = 0;
	int err = 0;

	(void)key_of(1, key);
	for (; err == 0 && tries < 100; tries++)
		err = cache_doubt(fx.c, &same, key, 0, "wrong", 5);
	ck_assert_int_eq(err, -L3_CORRUPT);
	ck_assert_uint_ge(tries, 2);
	ck_assert_ptr_nonnull(strstr(err_last_note(), key));
	for (err = 0, tries = 0; err == 0 && tries < 100; tries++) {
		char bytes[8] = { 0 };

		(void)snprintf(bytes, sizeof(bytes), "%u", tries);
		err = cache_doubt(fx.c, &other, key, 0, bytes, sizeof(bytes));
	}
	ck_assert_int_eq(err, -L3_SERVER);
	ck_assert(err_is_transient(err));
	ck_assert_uint_ge(tries, 4);
}
END_TEST

START_TEST(memory_never_exceeds_its_cap_and_keeps_what_was_used_last)
{
	close_cache();
	fx.config.mem_bytes = MIB;
	open_cache();
	for (unsigned o = 10; o < 20; o++)
		make_object(o, 3 * PIECE);
	for (unsigned o = 10; o < 20; o++) {
		read_range(10, 0, PIECE); /* always in use */
		read_range(o, 0, 3 * PIECE);
		ck_assert_uint_le(stats().bytes_mem, MIB);
		ck_assert(has(10, 0, PIECE));
		ck_assert(has(o, 0, 3 * PIECE));
	}
	ck_assert(!has(13, 0, 3 * PIECE));
	ck_assert_uint_eq(gets(), 11); /* the second of object 10 was for its other two pieces */
}
END_TEST

START_TEST(without_any_memory_reads_work_all_the_same)
{
	close_cache();
	fx.config.mem_bytes = 0;
	open_cache();
	read_range(1, 0, OBJECT_BYTES);
	read_range(1, 0, OBJECT_BYTES);
	ck_assert_uint_eq(gets(), 2);
	ck_assert_uint_eq(stats().bytes_mem, 0);
}
END_TEST

/* ---- together ---- */

#define READERS 8

struct reader {
	pthread_t thread;
	uint64_t offset;
	size_t len;
	int result;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	r->result = try_read(1, r->offset, r->len, 0, OBJECT_BYTES);
	return NULL;
}

static void start_readers(struct reader readers[READERS])
{
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .offset = i * 100000, .len = 50000 };
		ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]),
				 0);
	}
}

static void join_readers(struct reader readers[READERS])
{
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_join(readers[i].thread, NULL), 0);
}

/* What hangs goes on from now on; also what is only about to hang. */
struct resumer {
	pthread_t thread;
	bool stop;
};

static void *resumer_main(void *arg)
{
	struct resumer *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
		store_fault_resume(fx.faults);
		clock_system.sleep_ms(&clock_system, 1);
	}
	return NULL;
}

static void start_resuming(struct resumer *r)
{
	r->stop = false;
	ck_assert_int_eq(pthread_create(&r->thread, NULL, resumer_main, r), 0);
}

static void stop_resuming(struct resumer *r)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(pthread_join(r->thread, NULL), 0);
}

static void wait_gets(uint64_t n)
{
	while (store_fault_count(fx.faults) < n)
		clock_system.sleep_ms(&clock_system, 1);
}

START_TEST(many_readers_of_one_window_cause_one_request)
{
	struct reader readers[READERS];
	struct resumer resumer;
	uint64_t before;

	let_gets_fail(STORE_FAULT_HANG, 1); /* all of them meet while it is under way ... */
	start_readers(readers);
	wait_gets(1);
	start_resuming(&resumer); /* ... or later, and it fails: */
	join_readers(readers);
	stop_resuming(&resumer);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert(readers[i].result == -L3_UNREACHABLE || readers[i].result == 0);

	close_cache();
	open_cache();
	before = gets();
	start_readers(readers);
	join_readers(readers);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(readers[i].result, 0);
	ck_assert_uint_eq(gets(), before + 1);
}
END_TEST

/* ---- ahead ---- */

static void wait_has(unsigned object, uint64_t offset, size_t len)
{
	while (!has(object, offset, len))
		clock_system.sleep_ms(&clock_system, 1);
}

static void prefetch(unsigned object, uint64_t offset, size_t len)
{
	char key[32];

	cache_prefetch(fx.c, key_of(object, key), offset, len);
}

START_TEST(what_was_fetched_ahead_needs_no_request)
{
	prefetch(1, 0, 500000);
	wait_has(1, 0, 500000);
	read_range(1, 100000, 400000);
	prefetch(1, 100000, 400000);
	prefetch(1, 0, 0);
	close_cache(); /* waits for those under way */
	ck_assert_uint_eq(gets(), 1);
	open_cache();
}
END_TEST

START_TEST(a_reader_waits_for_what_is_being_fetched_ahead)
{
	struct reader readers[READERS];
	struct resumer resumer;

	let_gets_fail(STORE_FAULT_HANG_AFTER, 1);
	prefetch(1, 0, OBJECT_BYTES);
	wait_gets(1);
	prefetch(1, 1000, 1000); /* under way */
	start_readers(readers);
	start_resuming(&resumer);
	join_readers(readers);
	stop_resuming(&resumer);
	/* The fetch ahead failed, which is not the readers' failure: one of them fetched for all.
	 */
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(readers[i].result, 0);
	ck_assert_uint_eq(gets(), 2);
}
END_TEST

START_TEST(fetches_ahead_are_dropped_when_too_many_are_under_way)
{
	struct resumer resumer;

	close_cache();
	fx.config.max_inflight = 2;
	open_cache();
	for (unsigned o = 10; o < 15; o++)
		make_object(o, 1000);
	let_gets_fail(STORE_FAULT_HANG, 2);
	for (unsigned o = 10; o < 15; o++)
		prefetch(o, 0, 1000);
	wait_gets(2);
	read_range(14, 0, 1000); /* who reads does not have to wait for them */
	start_resuming(&resumer);
	close_cache();
	stop_resuming(&resumer);
	ck_assert_uint_eq(gets(), 3);
	open_cache();
}
END_TEST

static void *read_across(void *arg)
{
	int *result = arg;

	*result = try_read(1, 400000, 200000, 0, 0);
	return NULL;
}

START_TEST(a_read_across_two_fetches_under_way_waits_for_both)
{
	pthread_t thread;
	int result;

	hold_gets(true);
	prefetch(1, 0, 500000);
	prefetch(1, 500000, 300000);
	wait_gets(2);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_across, &result), 0);
	hold_gets(false);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(gets(), 2);
}
END_TEST

START_TEST(a_read_that_begins_before_a_fetch_under_way_fetches_up_to_it)
{
	pthread_t thread;
	int result;

	hold_gets(true);
	prefetch(1, 450000, 100000);
	wait_gets(1);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_across, &result), 0);
	wait_gets(2);
	hold_gets(false);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(gets(), 3); /* before it, it, and after it */
	ck_assert_uint_eq(stats().bytes_fetched, 200000);
}
END_TEST

START_TEST(a_fetch_ahead_leaves_out_what_is_under_way_or_there)
{
	read_range(1, 100000, 50000);
	hold_gets(true);
	prefetch(1, 300000, 100000);
	wait_gets(2);
	prefetch(1, 100000, 400000);
	wait_gets(4);
	hold_gets(false);
	wait_has(1, 100000, 400000);
	ck_assert_uint_eq(gets(), 4);
	ck_assert_uint_eq(stats().bytes_fetched, 400000);
}
END_TEST

/* Parts came, and a window around them is asked for: its beginning is there. */
START_TEST(a_window_is_not_fetched_where_it_begins_with_what_is_there)
{
	read_range(1, 0, 131072);
	ck_assert_int_eq(try_read(1, 131000, 1000, 0, 262144), 0);
	ck_assert_uint_eq(gets(), 2);
	ck_assert_uint_eq(stats().bytes_fetched, 262144);
	ck_assert(has(1, 0, 262144));
}
END_TEST

START_TEST(how_much_is_held_is_known_with_gaps_as_well)
{
	char key[32];

	read_range(1, 1000, 100);
	read_range(1, 5000, 200);
	ck_assert_uint_eq(cache_held(fx.c, key_of(1, key), 0, 10000), 300);
	ck_assert_uint_eq(cache_held(fx.c, key, 1050, 4000), 50 + 50);
	ck_assert_uint_eq(cache_held(fx.c, key, 1100, 3900), 0);
	ck_assert_uint_eq(cache_held(fx.c, "data/none", 0, 10000), 0);
}
END_TEST

START_TEST(a_view_keeps_its_bytes_whatever_becomes_of_the_cache)
{
	uint8_t want[3000], scratch[3000];
	struct cache_view view;
	char key[32];

	read_range(1, 1000, 1000); /* so that it is of two parts */
	ck_assert_int_eq(cache_view(fx.c, key_of(1, key), 1000, 3000, 0, 0, &view), 0);
	cache_forget(fx.c, key);
	close_cache();
	open_cache();
	fill(1, 1000, want, sizeof(want));
	ck_assert(memcmp(cache_view_bytes(&view, 1000, 3000, scratch), want, 3000) == 0);
	ck_assert(memcmp(cache_view_bytes(&view, 1900, 200, scratch), want + 900, 200) == 0);
	ck_assert_ptr_ne(cache_view_bytes(&view, 1200, 700, scratch), scratch); /* in place */
	cache_view_release(&view);
}
END_TEST

#define STRESS_THREADS 6
#define STRESS_OBJECTS 12
#define STRESS_STEPS 300

static void *stress_main(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < STRESS_STEPS; i++) {
		unsigned o = 10 + (unsigned)rand_r(&seed) % STRESS_OBJECTS;
		uint64_t offset = (uint64_t)rand_r(&seed) % (300 * KIB);
		size_t len = 1 + (size_t)rand_r(&seed) % (100 * KIB);
		char key[32];

		switch (rand_r(&seed) % 12) {
		case 0:
			cache_forget(fx.c, key_of(o, key));
			break;
		case 1:
			cache_distrust(fx.c, key_of(o, key), offset, len);
			break;
		case 2:
			insert(o, offset, len, rand_r(&seed) % 2);
			break;
		case 3:
			prefetch(o, offset, len);
			break;
		case 4:
			(void)has(o, offset, len);
			break;
		default:
			ck_assert_int_eq(try_read(o, offset, len, 0, 400 * KIB), 0);
		}
	}
	return NULL;
}

static void stress(void)
{
	pthread_t threads[STRESS_THREADS];

	for (unsigned o = 10; o < 10 + STRESS_OBJECTS; o++)
		make_object(o, 400 * KIB);
	for (uintptr_t i = 0; i < STRESS_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, stress_main, (void *)(i + 1)),
				 0);
	for (unsigned i = 0; i < STRESS_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

START_TEST(many_threads_with_little_memory_read_the_right_bytes)
{
	close_cache();
	fx.config.mem_bytes = MIB;
	open_cache();
	stress();
	ck_assert_uint_le(stats().bytes_mem, MIB);
}
END_TEST

START_TEST(many_threads_with_little_memory_and_disk_read_the_right_bytes)
{
	teardown();
	setup_disk();
	close_cache();
	fx.config.mem_bytes = MIB;
	fx.config.disk_bytes = 2 * MIB;
	open_cache();
	stress();
	close_cache();
	ck_assert_uint_le(du(), 2 * MIB);
	open_cache();
	ck_assert_uint_eq(stats().bytes_disk, du());
	ck_assert_uint_eq(stats().corrupt, 0);
	ck_assert_uint_eq(warnings(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cache: reads and what they cost");
	TCase *t = tcase_create("reads"), *together = tcase_create("together");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, the_first_read_fetches_and_the_second_does_not);
	tcase_add_test(t, a_window_is_fetched_whole_with_one_request);
	tcase_add_test(t, a_window_may_reach_past_the_end_of_the_object_but_the_range_may_not);
	tcase_add_test(t, a_window_that_does_not_hold_the_range_is_refused);
	tcase_add_test(t, an_object_that_is_not_there_is_the_stores_error);
	tcase_add_test(t, an_error_is_not_remembered);
	tcase_add_test(t, a_read_is_served_from_pieces_side_by_side);
	tcase_add_test(t, pieces_over_each_other_give_the_right_bytes);
	tcase_add_test(t, inserted_bytes_need_no_request);
	tcase_add_test(t, what_is_distrusted_is_fetched_again);
	tcase_add_test(t,
		       the_same_wrong_bytes_again_and_again_prove_damage_and_ever_new_ones_do_not);
	tcase_add_test(t, memory_never_exceeds_its_cap_and_keeps_what_was_used_last);
	tcase_add_test(t, without_any_memory_reads_work_all_the_same);
	suite_add_tcase(s, t);

	tcase_add_checked_fixture(together, setup, teardown);
	tcase_set_timeout(together, 240);
	tcase_add_test(together, many_readers_of_one_window_cause_one_request);
	tcase_add_test(together, what_was_fetched_ahead_needs_no_request);
	tcase_add_test(together, a_reader_waits_for_what_is_being_fetched_ahead);
	tcase_add_test(together, fetches_ahead_are_dropped_when_too_many_are_under_way);
	tcase_add_test(together, a_read_across_two_fetches_under_way_waits_for_both);
	tcase_add_test(together, a_read_that_begins_before_a_fetch_under_way_fetches_up_to_it);
	tcase_add_test(together, a_fetch_ahead_leaves_out_what_is_under_way_or_there);
	tcase_add_test(together, a_window_is_not_fetched_where_it_begins_with_what_is_there);
	tcase_add_test(together, how_much_is_held_is_known_with_gaps_as_well);
	tcase_add_test(together, a_view_keeps_its_bytes_whatever_becomes_of_the_cache);
	tcase_add_test(together, many_threads_with_little_memory_read_the_right_bytes);
	tcase_add_test(together, many_threads_with_little_memory_and_disk_read_the_right_bytes);
	suite_add_tcase(s, together);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease: keeping it, losing it, giving it back; with answers lost, requests late, the object
 * deleted or damaged; and the renewal thread.
 */
#include "tests/lease_fixture.h"

#include <xxhash.h>

static void taken_over(void)
{
	struct lease_holder h = foreign_holder(stored().epoch + 1);

	store_holder(&h);
}

static void check_is_lost(struct lease *l)
{
	ck_assert(lease_lost(l));
	ck_assert(!lease_valid(l));
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	ck_assert_int_eq(lease_confirm(l), -L3_FENCED);
	ck_assert_int_eq(lease_raise(l, 1000), -L3_FENCED);
	ck_assert_int_eq(lease_wait(l), -L3_FENCED);
	ck_assert_int_eq(lease_release(l), -L3_FENCED);
	ck_assert_uint_eq(fx.lost_calls, 1);
}

/* ---- keeping it ---- */

START_TEST(a_lease_is_valid_until_a_tenth_before_its_end)
{
	struct lease *l = acquire();

	pass_seconds(26);
	ck_assert(lease_valid(l));
	pass_seconds(1);
	ck_assert(!lease_valid(l));
	ck_assert(!lease_lost(l));
	lease_free(l);
}
END_TEST

START_TEST(a_renewal_changes_the_object_and_moves_the_end)
{
	struct lease *l = acquire();
	struct lease_holder first = stored(), second;

	pass_seconds(20);
	ck_assert_int_eq(lease_renew(l), 0);
	second = stored();
	ck_assert_uint_eq(second.epoch, first.epoch);
	ck_assert_uint_gt(second.renewals, first.renewals);
	ck_assert_uint_ne(second.nonce, first.nonce);
	ck_assert_int_eq(second.since_real_ns, first.since_real_ns);
	pass_seconds(26);
	ck_assert(lease_valid(l));
	pass_seconds(1);
	ck_assert(!lease_valid(l));
	lease_free(l);
}
END_TEST

static void ten_seconds_pass(void)
{
	pass_seconds(10);
}

START_TEST(the_time_counts_from_before_the_request_was_sent)
{
	struct lease *l = acquire();

	fx.before_put = ten_seconds_pass;
	ck_assert_int_eq(lease_renew(l), 0);
	pass_seconds(16);
	ck_assert(lease_valid(l));
	pass_seconds(1);
	ck_assert(!lease_valid(l));
	lease_free(l);
}
END_TEST

START_TEST(trouble_of_any_length_ends_with_the_next_success)
{
	struct lease *l = acquire();

	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, 100);
	for (int i = 0; i < 100; i++) {
		pass_seconds(1);
		ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
		ck_assert(lease_valid(l) == (i < 26));
		ck_assert(!lease_lost(l));
	}
	ck_assert_uint_eq(fx.warnings, 1);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert(lease_valid(l));
	ck_assert_uint_eq(lease_epoch(l), 1);
	ck_assert_uint_eq(fx.lost_calls, 0);
	lease_free(l);
}
END_TEST

START_TEST(lost_answers_do_not_lose_the_lease_nor_prolong_it)
{
	struct lease *l = acquire();

	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	pass_seconds(10);
	ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	pass_seconds(17);
	ck_assert(!lease_valid(l));
	/* The object is ours by a write we know nothing of, several times over. */
	for (int i = 0; i < 5; i++) {
		let_fail(STORE_OP_PUT, STORE_FAULT_NONE, 0);
		ck_assert_int_eq(lease_renew(l), 0);
		ck_assert(lease_valid(l));
		let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
		ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	}
	ck_assert_int_eq(lease_confirm(l), 0);
	ck_assert_uint_eq(fx.lost_calls, 0);
	lease_free(l);
}
END_TEST

START_TEST(under_retries_a_lost_answer_is_not_even_noticed)
{
	struct store_retry_config retry = {
		.attempts = 4, .base_delay_ms = 1, .max_delay_ms = 2, .clock = &clock_system
	};
	struct store *retrying;
	struct lease *l;

	ck_assert_int_eq(store_wrap_retry(fx.faults, &retry, &retrying), 0);
	fx.config.store = retrying;
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	l = acquire();
	for (int i = 0; i < 5; i++) {
		let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
		ck_assert_int_eq(lease_renew(l), 0);
	}
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	ck_assert_int_eq(lease_release(l), 0);
	ck_assert(stored().released);
	lease_free(l);
	store_unref(retrying);
}
END_TEST

START_TEST(a_renewal_that_arrives_late_harms_nobody)
{
	struct lease *l = acquire();

	let_fail(STORE_OP_PUT, STORE_FAULT_LATE, 1);
	ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	ck_assert_int_eq(lease_renew(l), 0);
	store_fault_resume(fx.faults); /* meets an etag that is gone */
	ck_assert_int_eq(lease_renew(l), 0);
	let_fail(STORE_OP_PUT, STORE_FAULT_LATE, 1);
	ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	store_fault_resume(fx.faults); /* takes effect: the object is by a write given up */
	ck_assert_int_eq(lease_renew(l), 0);
	let_fail(STORE_OP_PUT, STORE_FAULT_LATE, 1);
	ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	taken_over();
	store_fault_resume(fx.faults);
	ck_assert_str_eq(stored().host, "far.example");
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	lease_free(l);
}
END_TEST

START_TEST(a_deleted_object_is_made_again_with_the_same_epoch)
{
	struct lease *l = acquire();

	ck_assert_int_eq(lease_raise(l, 5), 0);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert_uint_eq(stored().epoch, 5);
	ck_assert(lease_valid(l));
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_confirm(l), 0);
	ck_assert_uint_eq(stored().epoch, 5);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_release(l), 0);
	ck_assert(stored().released);
	ck_assert_uint_eq(stored().epoch, 5);
	lease_free(l);
}
END_TEST

START_TEST(a_damaged_object_is_an_error_until_it_is_gone_and_is_not_overwritten)
{
	struct lease *l = acquire();
	struct buf damaged CLEANUP(buf_release) = BUF_INIT;

	load_bytes(&damaged);
	damaged.data[60] ^= 1;
	store_bytes(&damaged);
	ck_assert_int_eq(lease_renew(l), -L3_CORRUPT);
	check_bytes(&damaged);
	ck_assert(!lease_lost(l));
	pass_seconds(100);
	ck_assert_int_eq(lease_renew(l), -L3_CORRUPT);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert(lease_valid(l));
	lease_free(l);
}
END_TEST

START_TEST(raising_goes_up_only)
{
	struct lease *l = acquire();
	uint64_t renewals;

	ck_assert_int_eq(lease_raise(l, 9), 0);
	ck_assert_uint_eq(lease_epoch(l), 9);
	ck_assert_uint_eq(stored().epoch, 9);
	renewals = stored().renewals;
	ck_assert_int_eq(lease_raise(l, 9), 0);
	ck_assert_uint_eq(stored().renewals, renewals);
	ck_assert_int_eq(lease_raise(l, 8), -EINVAL);
	ck_assert_uint_eq(lease_epoch(l), 9);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	ck_assert_int_eq(lease_raise(l, 12), -L3_UNREACHABLE);
	ck_assert_int_eq(lease_raise(l, 13), 0);
	ck_assert_uint_eq(stored().epoch, 13);
	ck_assert_int_eq(lease_release(l), 0);
	lease_free(l);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 14);
	lease_free(l);
}
END_TEST

/* ---- losing it ---- */

START_TEST(a_zombie_that_wakes_up_finds_the_higher_epoch_and_stops)
{
	struct lease *l = acquire();

	pass_seconds(3600);
	taken_over();
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "far.example"));
	ck_assert_str_eq(stored().host, "far.example");
	check_is_lost(l);
	ck_assert_str_eq(stored().host, "far.example");
	lease_free(l);
}
END_TEST

START_TEST(another_holder_of_any_epoch_means_it_is_lost)
{
	struct lease *l = acquire();
	struct lease_holder h = foreign_holder(1);

	ck_assert_int_eq(lease_raise(l, 5), 0);
	store_holder(&h); /* our object was deleted, and somebody began anew */
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	check_is_lost(l);
	ck_assert_uint_eq(stored().epoch, 1);
	lease_free(l);
}
END_TEST

START_TEST(a_holder_that_writes_a_newer_format_means_it_is_lost)
{
	struct lease *l = acquire();
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h = foreign_holder(2);

	encode_holder(&h, &b);
	b.data[12] = FRAME_VERSION + 1;
	put_u64(b.data + 48, XXH3_64bits(b.data, 48));
	ck_assert_int_eq(lease_renew(l), 0);
	store_bytes(&b);
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	check_is_lost(l);
	lease_free(l);
}
END_TEST

START_TEST(confirming_tells_ours_from_another_and_trouble_from_both)
{
	struct lease *l = acquire();

	ck_assert_int_eq(lease_confirm(l), 0);
	let_fail(STORE_OP_GET, STORE_FAULT_ERROR_BEFORE, 1);
	ck_assert_int_eq(lease_confirm(l), -L3_UNREACHABLE);
	ck_assert(!lease_lost(l));
	taken_over();
	ck_assert_int_eq(lease_confirm(l), -L3_FENCED);
	check_is_lost(l);
	lease_free(l);
}
END_TEST

static struct lease *to_lose;

static void chain_meets_a_newer_epoch(void)
{
	lease_mark_lost(to_lose);
}

START_TEST(what_seems_damaged_to_who_slept_through_a_takeover_is_explained_by_that)
{
	struct lease *l = acquire();

	ck_assert_int_eq(lease_explain(NULL, -L3_CORRUPT), -L3_CORRUPT);
	ck_assert_int_eq(lease_explain(l, err_note(-L3_CORRUPT, "table/1 is missing")),
			 -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "table/1"));
	taken_over();
	ck_assert_int_eq(lease_explain(l, -ENOMEM), -ENOMEM);
	ck_assert_int_eq(lease_explain(l, -L3_CORRUPT), -L3_FENCED);
	check_is_lost(l);
	lease_free(l);
}
END_TEST

START_TEST(a_renewal_that_succeeds_after_the_loss_makes_nothing_valid)
{
	struct lease *l = to_lose = acquire();

	fx.before_put = chain_meets_a_newer_epoch;
	(void)lease_renew(l);
	check_is_lost(l);
	lease_mark_lost(l);
	ck_assert_uint_eq(fx.lost_calls, 1);
	lease_free(l);
}
END_TEST

START_TEST(taking_over_while_a_release_is_on_its_way_is_not_overwritten)
{
	struct lease *l = acquire();

	fx.before_put = taken_over;
	ck_assert_int_eq(lease_release(l), -L3_FENCED);
	ck_assert_str_eq(stored().host, "far.example");
	ck_assert(!stored().released);
	lease_free(l);
}
END_TEST

/* ---- giving it back ---- */

START_TEST(after_a_release_nothing_more_is_written)
{
	struct lease *l = acquire();
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert_int_eq(lease_release(l), 0);
	load_bytes(&b);
	ck_assert_int_eq(lease_renew(l), -L3_CLOSED);
	ck_assert_int_eq(lease_raise(l, 9), -L3_CLOSED);
	ck_assert_int_eq(lease_wait(l), -L3_CLOSED);
	ck_assert_int_eq(lease_release(l), -L3_CLOSED);
	check_bytes(&b);
	ck_assert_uint_eq(fx.lost_calls, 0);
	lease_free(l);
}
END_TEST

START_TEST(a_release_after_a_lost_answer_finds_its_object)
{
	struct lease *l = acquire();

	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	ck_assert_int_eq(lease_release(l), 0);
	ck_assert(stored().released);
	lease_free(l);
}
END_TEST

/* ---- waiting, without the thread ---- */

START_TEST(who_waits_before_the_thread_runs_renews_by_itself)
{
	struct lease *l = acquire();

	pass_seconds(100);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, 20);
	ck_assert_int_eq(lease_wait(l), 0);
	ck_assert(lease_valid(l));
	ck_assert_uint_eq(seconds_now(), 1120);
	lease_free(l);
}
END_TEST

START_TEST(waiting_ends_when_cancelled)
{
	struct lease *l = acquire();

	lease_cancel(l);
	pass_seconds(100);
	ck_assert_int_eq(lease_wait(l), -ECANCELED);
	ck_assert(!lease_lost(l));
	lease_free(l);
}
END_TEST

/* ---- the thread ---- */

static void use_real_time(void)
{
	fx.config.clock = &clock_system;
	fx.config.duration_ms = 60000;
	fx.config.renew_ms = 2;
}

/* Until the object was written so often; the test's own time limit is the only one. */
static void wait_renewals(uint64_t renewals)
{
	while (stored().renewals < renewals)
		clock_system.sleep_ms(&clock_system, 1);
}

static void wait_lost_call(void)
{
	while (__atomic_load_n(&fx.lost_calls, __ATOMIC_SEQ_CST) == 0)
		clock_system.sleep_ms(&clock_system, 1);
}

START_TEST(the_thread_renews_again_and_again_until_the_release)
{
	struct lease *l;

	use_real_time();
	l = acquire();
	ck_assert_int_eq(lease_start(l), 0);
	wait_renewals(5);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 3);
	wait_renewals(15);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_confirm(l), 0);
	wait_renewals(20);
	ck_assert(lease_valid(l));
	ck_assert_int_eq(lease_release(l), 0);
	ck_assert(stored().released);
	ck_assert_uint_eq(fx.lost_calls, 0);
	lease_free(l);
}
END_TEST

START_TEST(the_thread_tells_once_that_the_lease_is_lost_and_ends)
{
	struct lease *l;

	use_real_time();
	l = acquire();
	ck_assert_int_eq(lease_start(l), 0);
	wait_renewals(3);
	taken_over();
	wait_lost_call();
	check_is_lost(l);
	lease_free(l);
	ck_assert_uint_eq(fx.lost_calls, 1);
	ck_assert_str_eq(stored().host, "far.example");
}
END_TEST

START_TEST(the_thread_tells_what_the_chain_found_out)
{
	struct lease *l;

	use_real_time();
	fx.config.renew_ms = 20000;
	l = acquire();
	ck_assert_int_eq(lease_start(l), 0);
	lease_mark_lost(l);
	wait_lost_call();
	ck_assert(!pthread_equal(fx.lost_thread, pthread_self()));
	check_is_lost(l);
	lease_free(l);
}
END_TEST

#define WAITERS 4

static void *waiter(void *l)
{
	return (void *)(intptr_t)lease_wait(l);
}

static void start_waiters(struct lease *l, pthread_t threads[WAITERS])
{
	for (int i = 0; i < WAITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, waiter, l), 0);
}

static void join_waiters(const pthread_t threads[WAITERS], int want)
{
	for (int i = 0; i < WAITERS; i++) {
		void *result;

		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		ck_assert_int_eq((int)(intptr_t)result, want);
	}
}

/* The lease runs out on the fake clock while the thread, that sleeps for real, is far from its
 * turn. */
START_TEST(who_waits_hurries_the_thread)
{
	pthread_t threads[WAITERS];
	struct lease *l = acquire();

	ck_assert_int_eq(lease_start(l), 0);
	pass_seconds(27);
	ck_assert(!lease_valid(l));
	start_waiters(l, threads);
	join_waiters(threads, 0);
	ck_assert(lease_valid(l));
	ck_assert_int_eq(lease_release(l), 0);
	lease_free(l);
}
END_TEST

START_TEST(a_request_that_hangs_holds_up_nobody_but_those_who_wait_for_it)
{
	pthread_t threads[WAITERS];
	struct lease *l;

	use_real_time();
	fx.config.duration_ms = 500;
	l = acquire();
	let_fail(STORE_OP_PUT, STORE_FAULT_HANG, 1);
	ck_assert_int_eq(lease_start(l), 0);
	start_waiters(l, threads);
	while (lease_valid(l))
		clock_system.sleep_ms(&clock_system, 1);
	ck_assert(!lease_lost(l));
	ck_assert_uint_eq(lease_epoch(l), 1);
	while (!lease_valid(l)) { /* until it hangs, and no more */
		store_fault_resume(fx.faults);
		clock_system.sleep_ms(&clock_system, 1);
	}
	join_waiters(threads, 0);
	ck_assert_int_eq(lease_release(l), 0);
	lease_free(l);
}
END_TEST

START_TEST(waiters_are_woken_by_the_loss_and_by_cancelling)
{
	pthread_t threads[WAITERS];
	struct lease *l = acquire();

	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, UINT32_MAX);
	ck_assert_int_eq(lease_start(l), 0);
	pass_seconds(27);
	start_waiters(l, threads);
	lease_mark_lost(l);
	join_waiters(threads, -L3_FENCED);
	lease_free(l);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);

	let_fail(STORE_OP_PUT, STORE_FAULT_NONE, 0);
	l = acquire();
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, UINT32_MAX);
	ck_assert_int_eq(lease_start(l), 0);
	pass_seconds(27);
	start_waiters(l, threads);
	lease_cancel(l);
	join_waiters(threads, -ECANCELED);
	lease_free(l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease: keeping and losing it");
	TCase *t = tcase_create("step by step"), *threads = tcase_create("with the renewal thread");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_lease_is_valid_until_a_tenth_before_its_end);
	tcase_add_test(t, a_renewal_changes_the_object_and_moves_the_end);
	tcase_add_test(t, the_time_counts_from_before_the_request_was_sent);
	tcase_add_test(t, trouble_of_any_length_ends_with_the_next_success);
	tcase_add_test(t, lost_answers_do_not_lose_the_lease_nor_prolong_it);
	tcase_add_test(t, under_retries_a_lost_answer_is_not_even_noticed);
	tcase_add_test(t, a_renewal_that_arrives_late_harms_nobody);
	tcase_add_test(t, a_deleted_object_is_made_again_with_the_same_epoch);
	tcase_add_test(t, a_damaged_object_is_an_error_until_it_is_gone_and_is_not_overwritten);
	tcase_add_test(t, raising_goes_up_only);
	tcase_add_test(t, a_zombie_that_wakes_up_finds_the_higher_epoch_and_stops);
	tcase_add_test(t, another_holder_of_any_epoch_means_it_is_lost);
	tcase_add_test(t, a_holder_that_writes_a_newer_format_means_it_is_lost);
	tcase_add_test(t, confirming_tells_ours_from_another_and_trouble_from_both);
	tcase_add_test(t, what_seems_damaged_to_who_slept_through_a_takeover_is_explained_by_that);
	tcase_add_test(t, a_renewal_that_succeeds_after_the_loss_makes_nothing_valid);
	tcase_add_test(t, taking_over_while_a_release_is_on_its_way_is_not_overwritten);
	tcase_add_test(t, after_a_release_nothing_more_is_written);
	tcase_add_test(t, a_release_after_a_lost_answer_finds_its_object);
	tcase_add_test(t, who_waits_before_the_thread_runs_renews_by_itself);
	tcase_add_test(t, waiting_ends_when_cancelled);
	suite_add_tcase(s, t);

	tcase_add_checked_fixture(threads, setup, teardown);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, the_thread_renews_again_and_again_until_the_release);
	tcase_add_test(threads, the_thread_tells_once_that_the_lease_is_lost_and_ends);
	tcase_add_test(threads, the_thread_tells_what_the_chain_found_out);
	tcase_add_test(threads, who_waits_hurries_the_thread);
	tcase_add_test(threads, a_request_that_hangs_holds_up_nobody_but_those_who_wait_for_it);
	tcase_add_test(threads, waiters_are_woken_by_the_loss_and_by_cancelling);
	suite_add_tcase(s, threads);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease: finding out whether a store honours conditions, and the weaker guard, by time alone, where
 * it does not.
 */
#include "tests/lease_fixture.h"

static const char super[] = "the bytes of some object";
static struct careless careless;

static int probe(struct store *s)
{
	int err = lease_probe(s, "super", super, sizeof(super), NULL);
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert_int_eq(store_get(fx.mem, "super", 0, STORE_TO_END, &b, NULL), 0);
	ck_assert_uint_eq(b.len, sizeof(super));
	ck_assert(memcmp(b.data, super, b.len) == 0);
	return err;
}

static void setup_probe(void)
{
	setup();
	ck_assert_int_eq(
		store_put_bytes(fx.mem, "super", super, sizeof(super), STORE_ALWAYS, NULL, NULL),
		0);
}

START_TEST(a_store_that_honours_conditions_passes)
{
	ck_assert_int_eq(probe(fx.mem), 0);
}
END_TEST

START_TEST(whose_etag_is_known_needs_no_more_than_the_three_writes)
{
	struct store_counts n;
	struct store_meta meta;
	struct store *s;

	ck_assert_int_eq(store_head(fx.mem, "super", &meta), 0);
	ck_assert_int_eq(store_wrap_trace(fx.mem, NULL, NULL, &s), 0);
	ck_assert_int_eq(lease_probe(s, "super", super, sizeof(super), meta.etag), 0);
	store_trace_counts(s, &n);
	ck_assert_uint_eq(n.requests[STORE_OP_PUT], 3);
	ck_assert_uint_eq(n.requests[STORE_OP_GET] + n.requests[STORE_OP_HEAD], 0);
	store_unref(s);
}
END_TEST

START_TEST(a_store_that_ignores_a_condition_is_found_out_and_the_note_says_which)
{
	struct store *s = careless_init(&careless, fx.mem);

	careless.honours_match = true;
	ck_assert_int_eq(probe(s), -L3_NO_CONDITION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "If-None-Match"));
	careless.honours_create = true;
	careless.honours_match = false;
	ck_assert_int_eq(probe(s), -L3_NO_CONDITION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "If-Match"));
	careless.honours_create = false;
	ck_assert_int_eq(probe(s), -L3_NO_CONDITION);
	careless.honours_create = true;
	careless.refuses_match = true;
	ck_assert_int_eq(probe(s), -L3_NO_CONDITION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "refuses If-Match"));
	store_unref(s);
}
END_TEST

START_TEST(lost_answers_under_retries_are_not_held_against_the_store)
{
	struct store_retry_config retry = {
		.attempts = 4, .base_delay_ms = 1, .max_delay_ms = 2, .clock = &clock_system
	};
	struct store *s;

	ck_assert_int_eq(store_wrap_retry(fx.faults, &retry, &s), 0);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, 1);
	ck_assert_int_eq(probe(s), 0);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 3);
	ck_assert_int_eq(probe(s), 0);
	store_unref(s);
}
END_TEST

static unsigned put_count;

static void every_other_put_fails(void)
{
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, ++put_count % 2 == 0 && put_count < 10);
	fx.before_put = every_other_put_fails;
}

START_TEST(a_store_that_fails_every_other_request_is_not_blamed)
{
	struct store_retry_config retry = {
		.attempts = 4, .base_delay_ms = 1, .max_delay_ms = 2, .clock = &clock_system
	};
	struct store *s;

	ck_assert_int_eq(store_wrap_retry(fx.faults, &retry, &s), 0);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, 1);
	fx.before_put = every_other_put_fails;
	ck_assert_int_eq(probe(s), 0);
	ck_assert_uint_ge(put_count, 10);
	store_unref(s);
}
END_TEST

static void somebody_else_probes(void)
{
	ck_assert_int_eq(
		store_put_bytes(fx.mem, "super", super, sizeof(super), STORE_ALWAYS, NULL, NULL),
		0);
}

static void before_the_second_put(void)
{
	fx.before_put = somebody_else_probes;
}

static void before_the_first_put(void)
{
	fx.before_put = before_the_second_put;
}

START_TEST(two_probes_at_the_same_time_do_not_confuse_each_other)
{
	fx.before_put = before_the_first_put;
	ck_assert_int_eq(probe(fx.faults), 0);
}
END_TEST

static const char changed[] = "what somebody else has made of it meanwhile";

START_TEST(what_somebody_else_has_changed_meanwhile_stays_so)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta; /* of what it was */

	ck_assert_int_eq(store_head(fx.mem, "super", &meta), 0);
	ck_assert_int_eq(store_put_bytes(fx.mem, "super", changed, sizeof(changed), STORE_ALWAYS,
					 NULL, NULL),
			 0);
	ck_assert_int_eq(lease_probe(fx.mem, "super", super, sizeof(super), meta.etag), 0);
	ck_assert_int_eq(store_get(fx.mem, "super", 0, STORE_TO_END, &b, NULL), 0);
	ck_assert_uint_eq(b.len, sizeof(changed));
	ck_assert_mem_eq(b.data, changed, b.len);
}
END_TEST

START_TEST(trouble_is_not_taken_for_an_answer)
{
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, 1);
	ck_assert_int_eq(probe(fx.faults), -L3_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "probing conditional writes"));
	let_fail(STORE_OP_GET, STORE_FAULT_THROTTLE, 1);
	ck_assert_int_eq(probe(fx.faults), -L3_THROTTLED);
	let_fail(STORE_OP_PUT, STORE_FAULT_NONE, 0);
	ck_assert_int_eq(probe(fx.faults), 0);
}
END_TEST

/* ---- by time alone ---- */

static void setup_by_time(void)
{
	setup();
	fx.config.store = careless_init(&careless, fx.faults);
	fx.config.time_only = true;
	fx.config.wait_ms = 100000;
}

static void teardown_by_time(void)
{
	store_unref(fx.config.store);
	teardown();
}

START_TEST(by_time_alone_a_lease_is_taken_kept_and_given_back)
{
	struct lease *l = acquire();

	ck_assert_uint_eq(lease_epoch(l), 1);
	ck_assert(lease_valid(l));
	pass_seconds(10);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert_int_eq(lease_confirm(l), 0);
	ck_assert_int_eq(lease_raise(l, 4), 0);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert_uint_eq(stored().epoch, 4);
	ck_assert_int_eq(lease_release(l), 0);
	ck_assert(stored().released);
	lease_free(l);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 5);
	lease_free(l);
}
END_TEST

static void overwritten_by_another(void)
{
	struct lease_holder h = foreign_holder(2);

	fx.time.on_sleep = NULL;
	store_holder(&h);
}

START_TEST(by_time_alone_who_is_overwritten_while_waiting_does_not_hold_it)
{
	fx.config.wait_ms = 0;
	fx.time.on_sleep = overwritten_by_another;
	refused(-L3_LEASE_HELD);
	ck_assert_str_eq(stored().host, "far.example");
	ck_assert_uint_eq(fx.lost_calls, 0);
}
END_TEST

START_TEST(by_time_alone_a_foreign_lease_still_has_to_run_out)
{
	struct lease_holder h = foreign_holder(7);
	struct lease *l;

	store_holder(&h);
	l = acquire();
	ck_assert_uint_ge(seconds_now(), 1030);
	ck_assert_uint_eq(lease_epoch(l), 8);
	lease_free(l);
}
END_TEST

START_TEST(by_time_alone_a_renewal_does_not_overwrite_another_holder)
{
	struct lease *l = acquire();

	overwritten_by_another();
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	ck_assert(lease_lost(l));
	ck_assert_uint_eq(fx.lost_calls, 1);
	ck_assert_int_eq(lease_release(l), -L3_FENCED);
	ck_assert_str_eq(stored().host, "far.example");
	lease_free(l);
}
END_TEST

START_TEST(by_time_alone_a_renewal_after_the_end_looks_twice)
{
	struct lease *l = acquire();

	pass_seconds(100);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert(lease_valid(l));
	pass_seconds(100);
	fx.time.on_sleep = overwritten_by_another;
	ck_assert_int_eq(lease_renew(l), -L3_FENCED);
	ck_assert(!lease_valid(l));
	lease_free(l);
}
END_TEST

START_TEST(by_time_alone_a_lost_answer_does_not_lose_the_lease)
{
	struct lease *l;

	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 1);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 1);
	ck_assert_int_eq(lease_renew(l), -L3_UNREACHABLE);
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert_uint_eq(fx.lost_calls, 0);
	lease_free(l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease: stores with and without conditions");
	TCase *t = tcase_create("probing"), *by_time = tcase_create("by time alone");

	tcase_add_checked_fixture(t, setup_probe, teardown);
	tcase_add_test(t, a_store_that_honours_conditions_passes);
	tcase_add_test(t, whose_etag_is_known_needs_no_more_than_the_three_writes);
	tcase_add_test(t, a_store_that_ignores_a_condition_is_found_out_and_the_note_says_which);
	tcase_add_test(t, lost_answers_under_retries_are_not_held_against_the_store);
	tcase_add_test(t, a_store_that_fails_every_other_request_is_not_blamed);
	tcase_add_test(t, two_probes_at_the_same_time_do_not_confuse_each_other);
	tcase_add_test(t, what_somebody_else_has_changed_meanwhile_stays_so);
	tcase_add_test(t, trouble_is_not_taken_for_an_answer);
	suite_add_tcase(s, t);

	tcase_add_checked_fixture(by_time, setup_by_time, teardown_by_time);
	tcase_add_test(by_time, by_time_alone_a_lease_is_taken_kept_and_given_back);
	tcase_add_test(by_time, by_time_alone_who_is_overwritten_while_waiting_does_not_hold_it);
	tcase_add_test(by_time, by_time_alone_a_foreign_lease_still_has_to_run_out);
	tcase_add_test(by_time, by_time_alone_a_renewal_does_not_overwrite_another_holder);
	tcase_add_test(by_time, by_time_alone_a_renewal_after_the_end_looks_twice);
	tcase_add_test(by_time, by_time_alone_a_lost_answer_does_not_lose_the_lease);
	suite_add_tcase(s, by_time);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* When the watchdog is told that the daemon is alive, and when not. */
#include "../fuse/supervisor.h"
#include "runner.h"

static struct pulse pulse;
static struct pulse_facts facts;

static void setup(void)
{
	pulse = (struct pulse){ 0 };
	facts = (struct pulse_facts){ .now_ms = 5000, .patience_ms = 1000 };
}

static enum pulse_verdict after(uint64_t ms)
{
	facts.now_ms += ms;
	return pulse_judge(&pulse, &facts);
}

START_TEST(while_requests_are_taken_up_it_is_alive_and_asked_again)
{
	ck_assert_int_eq(after(0), PULSE_ASK);
	for (int i = 0; i < 3; i++) {
		facts.answered = true;
		ck_assert_int_eq(after(5000), PULSE_ASK);
		facts.answered = false;
		ck_assert_int_eq(after(900), PULSE_WAITING);
	}
}
END_TEST

START_TEST(a_request_that_nobody_takes_up_though_nothing_waits_for_the_store_means_stuck)
{
	ck_assert_int_eq(after(0), PULSE_ASK);
	ck_assert_int_eq(after(999), PULSE_WAITING);
	ck_assert_int_eq(after(1), PULSE_STUCK);
	ck_assert_int_eq(after(100000), PULSE_STUCK);
	facts.answered = true;
	ck_assert_int_eq(after(1), PULSE_ASK);
}
END_TEST

START_TEST(who_waits_for_the_store_is_not_stuck_however_long)
{
	ck_assert_int_eq(after(0), PULSE_ASK);
	facts.in_flight = 128;
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(after(60000), PULSE_WAITING);
	/* between two tries nothing is under way, but they fail */
	facts.in_flight = 0;
	for (int i = 0; i < 100; i++) {
		facts.failed++;
		ck_assert_int_eq(after(60000), PULSE_WAITING);
	}
	/* and when it is over, patience begins anew */
	ck_assert_int_eq(after(999), PULSE_WAITING);
	ck_assert_int_eq(after(1), PULSE_STUCK);
}
END_TEST

START_TEST(what_failed_before_it_was_asked_excuses_nothing)
{
	facts.failed = 7;
	ck_assert_int_eq(after(0), PULSE_ASK);
	ck_assert_int_eq(after(1000), PULSE_STUCK);
}
END_TEST

START_TEST(while_the_rest_is_stored_it_counts_as_alive)
{
	ck_assert_int_eq(after(0), PULSE_ASK);
	facts.closing = true;
	ck_assert_int_eq(after(10000000), PULSE_WAITING);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watchdog");
	TCase *tc = tcase_create("watchdog");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, while_requests_are_taken_up_it_is_alive_and_asked_again);
	tcase_add_test(
		tc,
		a_request_that_nobody_takes_up_though_nothing_waits_for_the_store_means_stuck);
	tcase_add_test(tc, who_waits_for_the_store_is_not_stuck_however_long);
	tcase_add_test(tc, what_failed_before_it_was_asked_excuses_nothing);
	tcase_add_test(tc, while_the_rest_is_stored_it_counts_as_alive);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

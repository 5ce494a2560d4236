/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One session (open, write, commit, compact, checkpoint, close) with something going wrong at its
 * N-th store operation, for every N until a session meets no fault. Afterwards the database opens,
 * holds everything that was acknowledged, and is a prefix of what was written.
 */
#include "db_fixture.h"

#include <sched.h>

#define URL "mem:db-crash-tests"
#define OLD_NUMBERS 60
#define COMMITS 8
#define NUMBERS_EACH 12
#define VALUE_BYTES 2000

static void make_database(void)
{
	struct mount m;

	store_mem_drop(URL);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, OLD_NUMBERS, VALUE_BYTES);
	mount_close(&m);
}

struct session {
	struct mount m;
	uint64_t at; /* the operation that meets the fault */
	enum store_fault fault;
	bool met, over; /* atomic: it is happening, it has happened */
	/* Somebody else takes over at that moment. */
	bool taken_over;
	struct mount other;

	unsigned written, acknowledged;
	int result;
};

static void take_over(struct session *s)
{
	mount_init(&s->other, URL);
	mount_open(&s->other, MOUNT_WRITE);
	put(&s->other, "z", "the other one");
	ck_assert_int_eq(db_commit(s->other.db), 0);
}

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct session *s = ctx;

	if (number != s->at)
		return STORE_FAULT_NONE;
	__atomic_store_n(&s->met, true, __ATOMIC_SEQ_CST);
	if (s->taken_over)
		take_over(s);
	__atomic_store_n(&s->over, true, __ATOMIC_SEQ_CST);
	return s->fault;
}

/* The fault may hit a background thread, and be at it still when the session has ended. */
static bool has_met(struct session *s)
{
	if (!__atomic_load_n(&s->met, __ATOMIC_SEQ_CST))
		return false;
	while (!__atomic_load_n(&s->over, __ATOMIC_SEQ_CST))
		sched_yield();
	return true;
}

static int write_some(struct session *s)
{
	int err = 0;

	for (int c = 0; c < COMMITS && !err; c++) {
		for (int i = 0; i < NUMBERS_EACH && !err; i++) {
			err = try_put_number(&s->m, s->written, VALUE_BYTES);
			if (!err)
				s->written++;
		}
		if (!err)
			err = c == COMMITS / 2 ? db_checkpoint(s->m.db) : db_commit(s->m.db);
		if (!err)
			s->acknowledged = s->written;
	}
	return err;
}

static int run_session(struct session *s)
{
	int err;

	mount_init(&s->m, URL);
	s->m.plan = (struct store_fault_plan){ decide, s };
	s->written = s->acknowledged = OLD_NUMBERS;
	err = mount_try(&s->m, MOUNT_WRITE);
	if (!err)
		err = write_some(s);
	if (!err)
		leveldb_compact_range(db_handle(s->m.db), NULL, 0, NULL, 0);
	if (!err)
		err = db_checkpoint(s->m.db);
	s->result = err;
	return err;
}

/* What is there is a prefix that reaches as far as promised, and life goes on. */
static void ck_contents(const struct session *s, const char *what)
{
	struct mount m;
	unsigned n;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	n = count_numbers(&m);
	ck_assert_msg(n >= s->acknowledged && n <= s->written + NUMBERS_EACH,
		      "%s at %llu: %u numbers, %u were acknowledged, %u written", what,
		      (unsigned long long)s->at, n, s->acknowledged, s->written);
	put_numbers(&m, n, n + 30, VALUE_BYTES);
	mount_close(&m);
	mount_open(&m, MOUNT_READ);
	ck_assert_uint_eq(count_numbers(&m), n + 30);
	mount_drop(&m);
}

START_TEST(test_after_a_crash_at_any_operation_what_was_acknowledged_is_there)
{
	struct session s;

	for (uint64_t at = 1;; at++) {
		make_database();
		s = (struct session){ .at = at, .fault = STORE_FAULT_DEAD };
		run_session(&s);
		if (!has_met(&s))
			ck_assert_int_eq(s.result, 0);
		mount_drop(&s.m);
		ck_contents(&s, "dead");
		if (!has_met(&s))
			break;
	}
	ck_assert_uint_gt(s.at, 20);
}
END_TEST

static void survive(enum store_fault fault, const char *what)
{
	struct session s;

	for (uint64_t at = 1;; at++) {
		make_database();
		s = (struct session){ .at = at, .fault = fault };
		ck_assert_msg(run_session(&s) == 0, "%s at %llu: %s", what, (unsigned long long)at,
			      err_last_note());
		ck_assert_uint_eq(s.acknowledged, OLD_NUMBERS + COMMITS * NUMBERS_EACH);
		db_close(s.m.db);
		s.m.db = NULL;
		ck_contents(&s, what);
		/* What was on its way for long arrives in another epoch. */
		store_fault_resume(s.m.faults);
		mount_drop(&s.m);
		s.written += 30;
		s.acknowledged = s.written;
		ck_contents(&s, what);
		if (!has_met(&s))
			break;
	}
}

START_TEST(test_one_failed_request_is_not_noticed)
{
	survive(STORE_FAULT_ERROR_BEFORE, "error before effect");
}
END_TEST

START_TEST(test_one_lost_answer_is_not_noticed)
{
	survive(STORE_FAULT_ERROR_AFTER, "error after effect");
}
END_TEST

START_TEST(test_one_request_sent_twice_is_not_noticed)
{
	survive(STORE_FAULT_DUPLICATE, "duplicate");
}
END_TEST

START_TEST(test_one_late_request_is_not_noticed)
{
	survive(STORE_FAULT_LATE, "late");
}
END_TEST

START_TEST(test_a_takeover_at_any_operation_loses_nothing_acknowledged)
{
	struct session s;

	for (uint64_t at = 1;; at++) {
		bool fenced, other_fenced;

		make_database();
		s = (struct session){ .at = at, .taken_over = true };
		run_session(&s);
		if (!has_met(&s)) {
			mount_drop(&s.m);
			if (!has_met(&s))
				break;
			mount_drop(&s.other);
			continue;
		}
		/* Exactly one of the two goes on. */
		fenced = s.result != 0 || try_put(&s.m, "y", "y") != 0 || db_commit(s.m.db) != 0;
		put(&s.other, "z", "goes on");
		other_fenced = db_commit(s.other.db) != 0;
		ck_assert_msg(fenced != other_fenced, "at %llu: %s", (unsigned long long)at,
			      fenced ? "both are fenced" : "none is fenced");
		mount_drop(&s.m);
		mount_drop(&s.other);
		ck_contents(&s, "takeover");
	}
	ck_assert_uint_gt(s.at, 20);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trouble at every operation");
	TCase *tc = tcase_create("trouble");

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, test_after_a_crash_at_any_operation_what_was_acknowledged_is_there);
	tcase_add_test(tc, test_one_failed_request_is_not_noticed);
	tcase_add_test(tc, test_one_lost_answer_is_not_noticed);
	tcase_add_test(tc, test_one_request_sent_twice_is_not_noticed);
	tcase_add_test(tc, test_one_late_request_is_not_noticed);
	tcase_add_test(tc, test_a_takeover_at_any_operation_loses_nothing_acknowledged);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

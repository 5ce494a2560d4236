/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LevelDB on a store, as a user of its C API sees it: what was committed is there after reopening,
 * on every kind of store, through compactions, and without the network where memory serves.
 */
#include "db_fixture.h"

#define URL "mem:db-env-tests"

static void setup(void)
{
	store_mem_drop(URL);
}

START_TEST(test_what_was_committed_is_there_after_reopening)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	put(&m, "b", "2");
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);

	mount_open(&m, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	ck_value(&m, "b", "2");
	ck_value(&m, "c", NULL);
	mount_close(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("LevelDB on a store");
	TCase *tc = tcase_create("contents");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_what_was_committed_is_there_after_reopening);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

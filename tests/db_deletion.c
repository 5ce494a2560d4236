/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When objects of a database that nothing refers to are deleted: after the cut and the grace, by
 * the keeper, and by the sweeps of what a crash left behind.
 */
#include "db_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define URL "mem:db-deletion-tests"

static void setup(void)
{
	store_mem_drop(URL);
}

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
	ck_assert_int_eq(db_discard(m.db, "data/x", 1), 0);
	pass(&m, m.config.grace_ms * 2);
	ck_assert(object_exists(URL, "data/x"));
	ck_assert_int_eq(db_checkpoint(m.db), 0); /* the cut, and the grace begins */
	ck_assert(object_exists(URL, "data/x"));
	pass(&m, m.config.grace_ms + 1);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	wait_until_gone(URL, "data/x");
	/* Nothing to wait for but the grace. */
	ck_assert_int_eq(store_put_bytes(m.store, "data/y", "y", 1, STORE_CREATE, NULL, NULL), 0);
	ck_assert_int_eq(db_discard(m.db, "data/y", 1), 0);
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
	snprintf(folder, sizeof(folder), "/tmp/db_deletion_XXXXXX");
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
	struct db_garbage look = { 0, 0 };
	struct mount m;

	make_folder();
	mount_init(&m, folder_url);
	mount_open(&m, MOUNT_CREATE);
	make_object(&m, "data/kept", 9000);
	make_object(&m, "data/lost", 9000);
	make_object(&m, "data/young", 3000);
	make_object(&m, "data/ours", 60);
	ck_assert_int_eq(db_sweep(m.db, "data/", refers_to_kept, NULL, NULL), 1);
	/* An hour later the young one is old; but our own are never taken for garbage. */
	pass(&m, 3600000);
	ck_assert_int_eq(db_sweep(m.db, "data/", refers_to_kept, NULL, &look), 1);
	ck_assert_uint_eq(look.objects, 1);
	ck_assert_uint_eq(look.bytes, 1);
	/* Only looking changed nothing; what waits already is not found again. */
	ck_assert_int_eq(db_sweep(m.db, "data/", refers_to_kept, NULL, NULL), 1);
	ck_assert_int_eq(db_sweep(m.db, "data/", refers_to_kept, NULL, NULL), 0);
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
	Suite *s = suite_create("deletion");
	TCase *t = tcase_create("deletion");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_removed_tables_stay_for_the_grace);
	tcase_add_test(t, test_a_discarded_object_goes_after_the_cut_and_the_grace);
	tcase_add_test(t, test_a_sweep_spares_what_is_young_or_referred_to);
	tcase_add_test(t, test_tables_that_a_crash_left_are_swept_and_no_others);
	suite_add_tcase(s, t);
	return run_suite(s);
}

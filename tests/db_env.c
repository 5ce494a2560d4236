/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LevelDB on a store, as a user of its C API sees it: what was committed is there after reopening,
 * on every kind of store, through compactions; and how it bears a store that fails, hangs or lies.
 */
#include "db_fixture.h"

#include <sched.h>

#define URL "mem:db-env-tests"

static char folder[64], folder_url[80];

static void setup(void)
{
	store_mem_drop(URL);
}

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/db_env_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(folder_url, sizeof(folder_url), "file://%s", folder);
}

static void drop_folder(void)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void compact(struct mount *m)
{
	leveldb_compact_range(db_handle(m->db), NULL, 0, NULL, 0);
}

/* ---- contents ---- */

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

#define MANY 300000

static void write_many(const char *url, unsigned many)
{
	struct db_stats s;
	struct mount m;

	mount_init(&m, url);
	m.config.write_buffer_bytes = MIB;
	m.config.table_bytes = MIB;
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, many, 60);
	ck_assert_int_eq(db_commit(m.db), 0);
	ck_assert_uint_eq(count_numbers(&m), many);
	mount_drop(&m);

	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), many);
	put_numbers(&m, 0, many / 2, 30);
	compact(&m);
	ck_assert_uint_eq(count_numbers(&m), many);
	db_stats(m.db, &s);
	ck_assert_uint_gt(s.tables, 3);
	mount_close(&m);

	mount_open(&m, MOUNT_READ);
	ck_assert_uint_eq(count_numbers(&m), many);
	mount_drop(&m);
}

START_TEST(test_hundreds_of_thousands_of_keys_in_memory)
{
	write_many(URL, MANY);
}
END_TEST

START_TEST(test_a_hundred_thousand_keys_in_a_folder)
{
	make_folder();
	write_many(folder_url, MANY / 3);
	drop_folder();
}
END_TEST

START_TEST(test_deleted_keys_stay_deleted)
{
	char *text = NULL;
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 5000, 50);
	put(&m, "x", "y");
	ck_assert_int_eq(db_commit(m.db), 0);
	leveldb_delete(db_handle(m.db), db_write_options(m.db), "x", 1, &text);
	ck_assert_ptr_null(text);
	compact(&m);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_value(&m, "x", NULL);
	ck_assert_uint_eq(count_numbers(&m), 5000);
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_reader_sees_everything_and_writes_nothing)
{
	uint64_t objects;
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 5000, 50);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	put_numbers(&m, 5000, 9000, 50);
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);
	objects = count_objects(URL, "");

	mount_init(&m, URL);
	mount_open(&m, MOUNT_READ);
	ck_assert_uint_eq(count_numbers(&m), 9000);
	ck_assert_int_eq(db_commit(m.db), -EROFS);
	ck_assert_int_eq(db_checkpoint(m.db), -EROFS);
	ck_assert_int_eq(db_discard(m.db, "data/x", 1), -EROFS);
	ck_assert(!db_is_dirty(m.db));
	ck_assert_uint_eq(requests(&m, STORE_OP_PUT), 0);
	ck_assert_uint_eq(requests(&m, STORE_OP_DELETE), 0);
	ck_assert_uint_eq(requests(&m, STORE_OP_DELETE_MANY), 0);
	mount_drop(&m);
	ck_assert_uint_eq(count_objects(URL, ""), objects);
}
END_TEST

static int add_table(void *ctx, const char *key, uint64_t size_bytes)
{
	uint64_t *total = ctx;

	ck_assert_msg(object_exists(URL, key), "%s", key);
	*total += size_bytes;
	return 0;
}

START_TEST(test_every_table_that_is_listed_exists)
{
	uint64_t total = 0;
	struct db_stats s;
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 20000, 50);
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	ck_assert_int_eq(db_each_table(m.db, add_table, &total), 0);
	db_stats(m.db, &s);
	ck_assert_uint_gt(s.tables, 0);
	ck_assert_uint_gt(total, 0);
	mount_close(&m);
}
END_TEST

/* ---- a store in trouble ---- */

/* What happens to requests of one kind while it is armed. */
struct trouble {
	enum store_op op;
	const char *prefix;
	enum store_fault fault;
	unsigned times; /* atomic */
};

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct trouble *t = ctx;
	unsigned left;

	if (op != t->op || strncmp(key, t->prefix, strlen(t->prefix)) != 0)
		return STORE_FAULT_NONE;
	left = __atomic_load_n(&t->times, __ATOMIC_SEQ_CST);
	while (left > 0)
		if (__atomic_compare_exchange_n(&t->times, &left, left - 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return t->fault;
	return STORE_FAULT_NONE;
}

static void arm(struct trouble *t, unsigned times)
{
	__atomic_store_n(&t->times, times, __ATOMIC_SEQ_CST);
}

START_TEST(test_commits_do_not_wait_for_tables)
{
	struct trouble t = { STORE_OP_PUT, "table/", STORE_FAULT_HANG, 0 };
	struct mount m;

	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide, &t };
	mount_open(&m, MOUNT_CREATE);
	arm(&t, UINT32_MAX);
	/* Many memtables' worth: each becomes a table that stays in memory, and the logs that
	 * LevelDB has removed since are still what the chain lives on. */
	for (unsigned n = 0; n < 4000; n += 500) {
		put_numbers(&m, n, n + 500, 500);
		ck_assert_int_eq(db_commit(m.db), 0);
	}
	ck_assert_uint_eq(count_objects(URL, "table/"), 0);
	ck_assert_uint_eq(count_numbers(&m), 4000);
	store_cancel(m.faults);
	mount_drop(&m);

	arm(&t, 0);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 4000);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 4000);
	mount_drop(&m);
}
END_TEST

START_TEST(test_tables_reach_the_chain_in_order_as_their_uploads_end)
{
	struct trouble t = { STORE_OP_PUT, "table/", STORE_FAULT_HANG, 0 };
	unsigned n = 0;
	struct mount m;

	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide, &t };
	mount_open(&m, MOUNT_CREATE);
	for (int round = 0; round < 12; round++) {
		arm(&t, 1 + round % 3);
		for (int i = 0; i < 4; i++, n += 100) {
			put_numbers(&m, n, n + 100, 300);
			ck_assert_int_eq(db_commit(m.db), 0);
		}
		if (round % 2)
			store_fault_resume(m.faults);
		store_cancel(m.faults);
		mount_drop(&m);
		arm(&t, 0);
		mount_open(&m, MOUNT_WRITE);
		ck_assert_uint_eq(count_numbers(&m), n);
	}
	mount_drop(&m);
}
END_TEST

static void make_tables(unsigned n)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, n, 100);
	compact(&m);
	mount_close(&m);
}

START_TEST(test_a_read_that_fails_is_an_error_and_the_next_one_works)
{
	struct trouble t = { STORE_OP_GET, "table/", STORE_FAULT_ERROR_BEFORE, 0 };
	char *text = NULL, *value;
	struct mount m;
	size_t len;

	make_tables(5000);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide, &t };
	mount_open(&m, MOUNT_READ);
	arm(&t, UINT32_MAX);
	value = leveldb_get(db_handle(m.db), db_read_options(m.db), "00000001", 8, &len, &text);
	ck_assert_ptr_null(value);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(db_error(m.db, text), -L3_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "table/"));
	arm(&t, 0);
	ck_assert_uint_eq(count_numbers(&m), 5000);
	mount_drop(&m);
}
END_TEST

START_TEST(test_compaction_waits_for_the_store_and_does_not_give_up)
{
	struct trouble t = { STORE_OP_GET, "table/", STORE_FAULT_ERROR_BEFORE, 0 };
	struct mount m;

	make_tables(5000);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide, &t };
	mount_open(&m, MOUNT_WRITE);
	put_numbers(&m, 0, 5000, 50);
	arm(&t, 20); /* more than one read's attempts */
	compact(&m);
	arm(&t, 0);
	put_numbers(&m, 5000, 5001, 50); /* LevelDB has not stopped writing */
	ck_assert_int_eq(db_commit(m.db), 0);
	ck_assert_uint_eq(count_numbers(&m), 5001);
	mount_close(&m);
}
END_TEST

struct canceller {
	struct mount *m;
	struct trouble *t;
};

static void *cancel_run(void *arg)
{
	struct canceller *c = arg;

	while (__atomic_load_n(&c->t->times, __ATOMIC_SEQ_CST) == UINT32_MAX)
		sched_yield();
	db_cancel(c->m->db);
	return NULL;
}

START_TEST(test_a_compaction_that_waits_for_the_store_can_be_cancelled)
{
	struct trouble t = { STORE_OP_GET, "table/", STORE_FAULT_ERROR_BEFORE, 0 };
	struct mount m;
	struct canceller c = { &m, &t };
	pthread_t thread;

	make_tables(5000);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide, &t };
	mount_open(&m, MOUNT_WRITE);
	put_numbers(&m, 0, 100, 50);
	ck_assert_int_eq(db_commit(m.db), 0);
	arm(&t, UINT32_MAX);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_run, &c), 0);
	compact(&m);
	pthread_join(thread, NULL);
	ck_assert_int_eq(try_put(&m, "x", "y"), -ECANCELED);
	mount_drop(&m);
	arm(&t, 0);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 5000);
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_wrong_answer_is_asked_for_again)
{
	struct trouble t = { STORE_OP_GET, "table/", STORE_FAULT_FLIP, 0 };
	struct mount m;

	make_tables(5000);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ decide, &t };
	mount_open(&m, MOUNT_READ);
	arm(&t, 1);
	ck_assert_uint_eq(count_numbers(&m), 5000);
	ck_assert_uint_eq(t.times, 0);
	mount_drop(&m);
}
END_TEST

static void ck_table_error(const char *key)
{
	uint64_t objects = count_objects(URL, "table/");
	char *text = NULL;
	struct mount m;
	int err;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	for (unsigned n = 0; n < 5000 && !text; n += 10) {
		char number[16];
		size_t len;

		snprintf(number, sizeof(number), "%08u", n);
		leveldb_free(leveldb_get(db_handle(m.db), db_read_options(m.db), number, 8, &len,
					 &text));
	}
	ck_assert_ptr_nonnull(text);
	err = db_error(m.db, text);
	ck_assert_msg(err == -L3_CORRUPT, "%s: %s", err_text(err), err_last_note());
	ck_assert_msg(strstr(err_last_note(), key), "%s does not name %s", err_last_note(), key);
	/* The rest goes on. */
	put(&m, "x", "y");
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);
	ck_assert_uint_ge(count_objects(URL, "table/"), objects);
}

START_TEST(test_a_missing_table_is_corruption_that_names_it)
{
	char key[STORE_KEY_MAX];

	make_tables(5000);
	nth_object(URL, "table/", -1, key);
	remove_object(URL, key);
	ck_table_error(key);
}
END_TEST

START_TEST(test_a_spoilt_table_is_corruption_that_names_it)
{
	char key[STORE_KEY_MAX];

	make_tables(5000);
	nth_object(URL, "table/", -1, key);
	spoil_object(URL, key);
	ck_table_error(key);
}
END_TEST

START_TEST(test_two_databases_in_one_process_do_not_meet)
{
	struct mount a, b;

	store_mem_drop("mem:db-env-other");
	mount_init(&a, URL);
	mount_init(&b, "mem:db-env-other");
	mount_open(&a, MOUNT_CREATE);
	mount_open(&b, MOUNT_CREATE);
	put_numbers(&a, 0, 3000, 50);
	put_numbers(&b, 0, 1000, 50);
	mount_close(&a);
	mount_close(&b);
	mount_open(&a, MOUNT_WRITE);
	mount_open(&b, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&a), 3000);
	ck_assert_uint_eq(count_numbers(&b), 1000);
	mount_drop(&a);
	mount_drop(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("LevelDB on a store");
	TCase *contents = tcase_create("contents"), *trouble = tcase_create("a store in trouble");

	tcase_set_timeout(contents, 300);
	tcase_add_checked_fixture(contents, setup, NULL);
	tcase_add_test(contents, test_what_was_committed_is_there_after_reopening);
	tcase_add_test(contents, test_hundreds_of_thousands_of_keys_in_memory);
	tcase_add_test(contents, test_a_hundred_thousand_keys_in_a_folder);
	tcase_add_test(contents, test_deleted_keys_stay_deleted);
	tcase_add_test(contents, test_a_reader_sees_everything_and_writes_nothing);
	tcase_add_test(contents, test_every_table_that_is_listed_exists);
	tcase_add_test(contents, test_two_databases_in_one_process_do_not_meet);
	suite_add_tcase(s, contents);

	tcase_set_timeout(trouble, 120);
	tcase_add_checked_fixture(trouble, setup, NULL);
	tcase_add_test(trouble, test_commits_do_not_wait_for_tables);
	tcase_add_test(trouble, test_tables_reach_the_chain_in_order_as_their_uploads_end);
	tcase_add_test(trouble, test_a_read_that_fails_is_an_error_and_the_next_one_works);
	tcase_add_test(trouble, test_compaction_waits_for_the_store_and_does_not_give_up);
	tcase_add_test(trouble, test_a_compaction_that_waits_for_the_store_can_be_cancelled);
	tcase_add_test(trouble, test_a_wrong_answer_is_asked_for_again);
	tcase_add_test(trouble, test_a_missing_table_is_corruption_that_names_it);
	tcase_add_test(trouble, test_a_spoilt_table_is_corruption_that_names_it);
	suite_add_tcase(s, trouble);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Honest errors: what fsync, close and write say when another mount has taken over, when what the
 * writing rests on is damaged, when it is given up; that all other trouble is waited out and never
 * told; that no old handle leads to something new after a crash.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#include <stdatomic.h>

#define URL "mem:fs-errors-tests"

/* ---- two mounts ---- */

static struct fs *other; /* the one that takes over */

static void take_over(void)
{
	must(fs_open(URL, &config, &other), "taking over");
}

static void end_both(void)
{
	(void)fs_close(fs, NULL, NULL);
	fs = other;
	other = NULL;
	check_fs(true);
	end_fs(URL);
}

static struct fs_file *open_file(uint64_t ino, bool for_writing)
{
	struct fs_file *f;

	must(fs_file_open(fs, ino, for_writing, false, &f), "open file");
	return f;
}

static void put_text(struct fs_file *f, const char *text, uint64_t offset)
{
	ck_assert_int_eq(fs_write(f, text, strlen(text), offset, false, false),
			 (ssize_t)strlen(text));
}

static void expect_text(struct fs *where, uint64_t ino, const char *text)
{
	struct fs_file *f;
	char got[64];
	ssize_t n;

	must(fs_file_open(where, ino, false, false, &f), "open file");
	n = fs_read(f, got, sizeof(got), 0);
	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_mem_eq(got, text, strlen(text));
	fs_file_close(f);
}

struct handles { /* of a file with something unsaved, and of one that is stored whole */
	uint64_t unsaved, stored;
	struct fs_file *writer, *second, *reader, *idle;
};

static struct handles make_handles(void)
{
	struct handles h = { .unsaved = make_file(FS_ROOT_INO, "unsaved"),
			     .stored = make_file(FS_ROOT_INO, "stored") };

	h.writer = open_file(h.unsaved, true);
	h.second = open_file(h.unsaved, true);
	h.reader = open_file(h.unsaved, false);
	h.idle = open_file(h.stored, true);
	put_text(h.idle, "stored", 0);
	put_text(h.writer, "first", 0);
	must(fs_file_fsync(h.writer), "fsync");
	must(fs_file_fsync(h.idle), "fsync");
	put_text(h.writer, " second", 5);
	return h;
}

static void close_handles(struct handles *h)
{
	fs_file_close(h->writer);
	fs_file_close(h->second);
	fs_file_close(h->reader);
	fs_file_close(h->idle);
}

static void note_result(void *ret, int err)
{
	*(int *)ret = err;
}

/* However the writing ended: what each of the handles says from then on. */
static void expect_refusals(struct handles *h, int err)
{
	struct fs_attr attr;
	int result;

	for (int again = 0; again < 2; again++) {
		result = 0;
		fs_file_fsync_then(h->writer, note_result, &result);
		ck_assert_int_eq(result, err);
		ck_assert_int_eq(fs_sync(fs), err);
		ck_assert_int_eq(fs_write(h->writer, "x", 1, 0, false, false), err);
		ck_assert_int_eq(fs_mkdir(fs, FS_ROOT_INO, "new", &nobody, 0755, &attr), err);
	}
	ck_assert_int_eq(fs_file_flush(h->writer), 0); /* fsync has said it */
	ck_assert_int_eq(fs_file_flush(h->second), err);
	ck_assert_int_eq(fs_file_flush(h->second), 0);
	ck_assert_int_eq(fs_file_fsync(h->second), err);
	ck_assert_int_eq(fs_file_flush(h->reader), 0);
	ck_assert_int_eq(fs_file_flush(h->idle), 0);
	expect_text(fs, h->unsaved, "first second");
	expect_text(fs, h->stored, "stored");
}

START_TEST(after_a_takeover_every_handle_with_something_unsaved_is_told_and_nothing_is_acknowledged)
{
	struct handles h;

	make_fs(URL);
	h = make_handles();
	take_over();
	expect_refusals(&h, -L3_FENCED);
	expect_text(other, h.unsaved, "first");
	close_handles(&h);
	ck_assert_int_lt(fs_close(fs, NULL, NULL), 0);
	fs = other;
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(what_was_entered_but_not_committed_counts_as_unsaved)
{
	struct fs_file *f;
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "file");
	must(fs_sync(fs), "sync");
	f = open_file(ino, true);
	put_text(f, "entered", 0);
	must(flush_all(fs, true), "entering");
	take_over();
	ck_assert_int_eq(fs_sync(fs), -L3_FENCED);
	ck_assert_int_eq(fs_file_flush(f), -L3_FENCED);
	ck_assert_int_eq(fs_file_flush(f), 0);
	fs_file_close(f);
	end_both();
}
END_TEST

START_TEST(giving_up_is_told_as_well)
{
	struct handles h;

	make_fs(URL);
	h = make_handles();
	fs_abort(fs);
	expect_refusals(&h, -ECANCELED);
	close_handles(&h);
	ck_assert_int_lt(fs_close(fs, NULL, NULL), 0);
	fs = NULL;
	end_fs(URL);
}
END_TEST

/* The next slot is there already, and is nonsense. */
static void damage_chain(void)
{
	struct store_config none = { 0 };
	struct store *s;
	struct fs_status status;
	char key[64];

	fs_status(fs, &status);
	(void)snprintf(key, sizeof(key), "chain/%020llu", (unsigned long long)status.slot + 1);
	must(store_open(URL, &none, &s), "store");
	must(store_put_bytes(s, key, "nonsense", 8, STORE_ALWAYS, NULL, NULL), key);
	store_unref(s);
}

START_TEST(damage_in_what_the_writing_rests_on_ends_it_and_leaves_the_reading)
{
	struct handles h;

	make_fs(URL);
	h = make_handles();
	damage_chain();
	expect_refusals(&h, -L3_CORRUPT);
	close_handles(&h);
	ck_assert_int_lt(fs_close(fs, NULL, NULL), 0);
	fs = NULL;
	mend_store(URL);
	end_fs(URL);
}
END_TEST

/* ---- trouble that passes ---- */

struct trouble {
	struct store *base, *faults;
	int error;
	enum store_fault fault;
	enum store_op op;
	const char *prefix;    /* of keys */
	atomic_uint left, met; /* how often it will be met, was met */
};
static struct trouble trouble;

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct trouble *t = ctx;
	unsigned left = atomic_load(&t->left);

	if (op != t->op || strncmp(key, t->prefix, strlen(t->prefix)) != 0)
		return STORE_FAULT_NONE;
	while (left > 0 && !atomic_compare_exchange_weak(&t->left, &left, left - 1))
		;
	if (left == 0)
		return STORE_FAULT_NONE;
	atomic_fetch_add(&t->met, 1);
	*error = t->error;
	return t->fault;
}

static void make_troubled_fs(void)
{
	struct store_fault_plan plan = { decide, &trouble };
	struct store_config none = { 0 };

	quiet_config();
	store_mem_drop(URL);
	must(fs_format(URL, &config), "format");
	must(store_open(URL, &none, &trouble.base), "store");
	must(store_wrap_fault(trouble.base, &plan, &trouble.faults), "faults");
	config.store_override = trouble.faults;
	open_fs(URL);
}

static void end_troubled_fs(void)
{
	close_fs();
	store_unref(trouble.faults);
	store_unref(trouble.base);
	config.store_override = NULL;
	open_fs(URL);
	check_fs(true);
	end_fs(URL);
}

static void begin_trouble(enum store_fault fault, int error, enum store_op op, const char *prefix,
			  unsigned times)
{
	trouble.fault = fault;
	trouble.error = error;
	trouble.op = op;
	trouble.prefix = prefix;
	atomic_store(&trouble.met, 0);
	atomic_store(&trouble.left, times);
}

START_TEST(whatever_the_store_says_to_a_commit_is_waited_out_and_told_to_nobody)
{
	static const int errors[] = { -L3_DENIED,    -ENOSPC,	      -L3_NO_BUCKET,
				      -L3_THROTTLED, -L3_UNREACHABLE, -L3_CLOCK_SKEW,
				      -EIO,	     -L3_SERVER,      -ENOMEM,
				      -EACCES,	     -L3_WRONG_REGION };
	static const enum store_fault faults[] = { STORE_FAULT_ERROR_BEFORE,
						   STORE_FAULT_ERROR_AFTER };
	struct fs_file *f;
	uint64_t ino;

	trouble = (struct trouble){ .prefix = "" };
	make_troubled_fs();
	ino = make_file(FS_ROOT_INO, "file");
	f = open_file(ino, true);
	for (size_t n = 0; n < 2 * ARRAY_LEN(errors); n++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "round %zu", n);
		begin_trouble(faults[n % 2], errors[n / 2], STORE_OP_PUT, "chain/", 15);
		put_text(f, text, 0);
		must(fs_file_fsync(f), "fsync");
		ck_assert_uint_gt(atomic_load(&trouble.met), 0);
		ck_assert_int_eq(fs_file_flush(f), 0);
		atomic_store(&trouble.left, 0);
		expect_text(fs, ino, text);
	}
	fs_file_close(f);
	end_troubled_fs();
}
END_TEST

/* Files of some size and many names, so that segments and tables are made and read. */
static void make_tree(unsigned files)
{
	uint8_t bytes[70000];
	char name[32];

	for (unsigned n = 0; n < files; n++) {
		(void)snprintf(name, sizeof(name), "file %u", n);
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(n * 31 + i * i / 7);
		write_at(make_file(FS_ROOT_INO, name), bytes, sizeof(bytes), 0);
	}
}

static void expect_tree(unsigned files)
{
	uint8_t bytes[70000];
	char name[32];

	for (unsigned n = 0; n < files; n++) {
		(void)snprintf(name, sizeof(name), "file %u", n);
		ck_assert_uint_eq(read_at(find(FS_ROOT_INO, name), bytes, sizeof(bytes), 0),
				  sizeof(bytes));
		for (size_t i = 0; i < sizeof(bytes); i += 97)
			ck_assert_uint_eq(bytes[i], (uint8_t)(n * 31 + i * i / 7));
	}
}

START_TEST(bytes_that_come_damaged_in_ever_new_ways_are_no_proof_and_are_fetched_again)
{
	static const char *const prefixes[] = { "data/", "table/" };

	trouble = (struct trouble){ .prefix = "" };
	make_troubled_fs();
	make_tree(40);
	for (size_t n = 0; n < ARRAY_LEN(prefixes); n++) {
		/* A mount that knows nothing yet, with little memory to know it in. */
		must(fs_config_set(&config, "mem_limit", "64M"), "mem_limit");
		begin_trouble(STORE_FAULT_FLIP, 0, STORE_OP_GET, prefixes[n], 8);
		reopen_fs(URL);
		expect_tree(40);
		ck_assert_uint_gt(atomic_load(&trouble.met), 0);
	}
	end_troubled_fs();
}
END_TEST

/* ---- handles ---- */

START_TEST(an_inode_number_given_again_after_a_crash_has_another_generation)
{
	struct fs_attr root, lost, made;
	struct fs_attr kept;

	make_fs(URL);
	root = attr_of(FS_ROOT_INO);
	kept = attr_of(make_file(FS_ROOT_INO, "kept"));
	must(fs_sync(fs), "sync");
	lost = attr_of(make_file(FS_ROOT_INO, "lost"));
	lose_machine(URL);
	ck_assert_uint_eq(find(FS_ROOT_INO, "lost"), 0);
	made = attr_of(make_file(FS_ROOT_INO, "made"));
	ck_assert_uint_eq(made.ino, lost.ino); /* else there is nothing to tell apart */
	ck_assert_uint_ne((uint32_t)made.generation, (uint32_t)lost.generation);
	ck_assert_uint_eq(attr_of(kept.ino).generation, kept.generation);
	ck_assert_uint_eq(attr_of(FS_ROOT_INO).generation, root.generation);
	must(fs_setattr(fs, kept.ino, &kept, FS_SET_MTIME_NOW, NULL), "times");
	ck_assert_uint_eq(attr_of(kept.ino).generation, kept.generation);
	end_fs(URL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("honest errors");
	TCase *c = tcase_create("errors");

	tcase_set_timeout(c, TEST_TIMEOUT_S);
	tcase_add_test(
		c,
		after_a_takeover_every_handle_with_something_unsaved_is_told_and_nothing_is_acknowledged);
	tcase_add_test(c, what_was_entered_but_not_committed_counts_as_unsaved);
	tcase_add_test(c, giving_up_is_told_as_well);
	tcase_add_test(c, damage_in_what_the_writing_rests_on_ends_it_and_leaves_the_reading);
	tcase_add_test(c, whatever_the_store_says_to_a_commit_is_waited_out_and_told_to_nobody);
	tcase_add_test(c,
		       bytes_that_come_damaged_in_ever_new_ways_are_no_proof_and_are_fetched_again);
	tcase_add_test(c, an_inode_number_given_again_after_a_crash_has_another_generation);
	suite_add_tcase(s, c);
	return run_suite(s);
}

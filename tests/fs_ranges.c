/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranges of files are copied without a byte being touched: what is read afterwards, what is
 * counted, what it costs, and that the cleaner finds everything and keeps shared what is shared.
 */
#define URL "mem:fs-ranges-tests"
#include "fs_ranges.h"

#define PLACE DATA_EXTENT_MAX

static void copy_object(struct store *from, struct store *to, const char *key)
{
	struct buf object CLEANUP(buf_release) = BUF_INIT;

	must(store_get(from, key, 0, STORE_TO_END, &object, NULL), key);
	must(store_put_bytes(to, key, object.data, object.len, STORE_ALWAYS, NULL, NULL), key);
}

/* The super object as a version made it that did not know of sharing. */
static void forget_feature(struct store *s)
{
	struct super super;
	struct store *other;

	must(super_read(s, true, &super, NULL), "super");
	ck_assert_uint_eq(super.incompat, SUPER_INCOMPAT_RANGES);
	super.incompat = 0;
	must(store_open(URL "-super", &config.store, &other), "store");
	must(super_create(other, &super), "super");
	must(super_finish(other, &super), "super");
	copy_object(other, s, SUPER_KEY);
	store_unref(other);
	store_mem_drop(URL "-super");
}

/* ---- copy_file_range(2) ---- */

START_TEST(a_copy_has_the_bytes_of_its_source)
{
	twin_write(&a, 3 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 3 * MIB), 3 * MIB);
	check_all();
}
END_TEST

START_TEST(what_was_written_just_before_is_copied_although_nothing_is_stored_yet)
{
	twin_write(&a, 100, 0, 1); /* kept in its record */
	ck_assert_int_eq(twin_copy(&a, 0, &b, 5000, 100), 100);
	twin_write(&a, 200000, 50, 2);
	ck_assert_int_eq(twin_copy(&a, 20, &b, 7000, 190000), 190000);
	check_all();
}
END_TEST

START_TEST(a_copy_begins_and_ends_at_any_byte)
{
	twin_write(&a, 5 * PLACE, 0, 1);
	twin_write(&b, 5 * PLACE, 0, 2);
	ck_assert_int_eq(twin_copy(&a, 1, &b, 3, 1), 1);
	ck_assert_int_eq(twin_copy(&a, PLACE - 1, &b, 77, PLACE + 2), PLACE + 2);
	ck_assert_int_eq(twin_copy(&a, 3, &b, 2 * PLACE + 4097, 2 * PLACE - 1), 2 * PLACE - 1);
	ck_assert_int_eq(twin_copy(&b, 1000, &a, 999, 3 * PLACE), 3 * PLACE); /* of copies */
	check_all();
}
END_TEST

START_TEST(a_copy_ends_where_its_source_ends)
{
	twin_write(&a, 1000, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 900, &b, 0, 1 * MIB), 100);
	ck_assert_int_eq(twin_copy(&a, 1000, &b, 0, 10), 0);
	ck_assert_int_eq(twin_copy(&a, 5000, &b, 0, 10), 0);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 0), 0);
	ck_assert_uint_eq(b.size, 100);
	check_all();
}
END_TEST

START_TEST(a_copy_beyond_the_end_extends_the_file)
{
	twin_write(&a, 10000, 0, 1);
	twin_write(&b, 100, 0, 2);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 2 * MIB, 10000), 10000);
	ck_assert_uint_eq(b.size, 2 * MIB + 10000);
	ck_assert_int_eq(seek_in(&b, 100, SEEK_DATA), 2 * MIB);
	check_all();
}
END_TEST

START_TEST(holes_are_copied_as_holes_also_over_data_and_at_the_end)
{
	twin_write(&b, 4 * MIB, 0, 2);
	twin_write(&a, 1 * MIB, 1 * MIB, 1);
	twin_truncate(&a, 3 * MIB);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 3 * MIB), 3 * MIB);
	ck_assert_int_eq(seek_in(&b, 0, SEEK_DATA), 1 * MIB);
	ck_assert_int_eq(seek_in(&b, 1 * MIB, SEEK_HOLE), 2 * MIB);
	ck_assert_int_eq(seek_in(&b, 2 * MIB, SEEK_DATA), 3 * MIB);
	ck_assert_int_eq(twin_copy(&a, 2 * MIB, &b, 4 * MIB, 1 * MIB), 1 * MIB);
	ck_assert_uint_eq(b.size, 5 * MIB);
	check_all();
}
END_TEST

START_TEST(what_was_allocated_and_never_written_takes_no_room_in_the_copy)
{
	uint64_t before;

	must(twin_allocate(&a, 0, 0, 2 * MIB), "allocate");
	before = attr_of(b.ino).blocks;
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	ck_assert_uint_eq(attr_of(b.ino).blocks, before);
	ck_assert_uint_eq(b.size, 2 * MIB);
	check_all();
}
END_TEST

START_TEST(within_a_file_ranges_that_overlap_are_refused_others_are_copied)
{
	twin_write(&a, 1 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &a, 1, 100), -EINVAL);
	ck_assert_int_eq(twin_copy(&a, 1, &a, 0, 100), -EINVAL);
	ck_assert_int_eq(twin_copy(&a, 5, &a, 5, 1), -EINVAL);
	ck_assert_int_eq(twin_copy(&a, 0, &a, 100, 100), 100);
	ck_assert_int_eq(twin_copy(&a, 500000, &a, 0, 400000), 400000);
	/* what would overlap lies beyond the end */
	ck_assert_int_eq(twin_copy(&a, 1 * MIB - 10, &a, 1 * MIB, 1 * MIB), 10);
	check_all();
}
END_TEST

START_TEST(ranges_that_cannot_be_are_refused)
{
	struct fs_file *in, *out;

	must(fs_file_open(fs, a.ino, true, false, &in), "open");
	must(fs_file_open(fs, b.ino, false, false, &out), "open");
	ck_assert_int_eq(fs_copy_range(in, 0, out, 0, 1), -EBADF);
	ck_assert_int_eq(fs_copy_range(out, INT64_MAX, in, 0, 2), -EOVERFLOW);
	ck_assert_int_eq(fs_copy_range(out, 0, in, INT64_MAX, 2), -EOVERFLOW);
	ck_assert_int_eq(fs_copy_range(out, (uint64_t)INT64_MAX + 1, in, 0, 0), -EINVAL);
	fs_file_close(in);
	fs_file_close(out);
}
END_TEST

START_TEST(a_copy_changes_the_times_of_its_target_only)
{
	struct fs_attr from, to;

	twin_write(&a, 1000, 0, 1);
	from = attr_of(a.ino);
	to = attr_of(b.ino);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 1000), 1000);
	ck_assert_int_eq(attr_of(a.ino).mtime.tv_nsec, from.mtime.tv_nsec);
	ck_assert(attr_of(b.ino).mtime.tv_sec != to.mtime.tv_sec ||
		  attr_of(b.ino).mtime.tv_nsec != to.mtime.tv_nsec);
	ck_assert_int_eq(attr_of(b.ino).ctime.tv_nsec, attr_of(b.ino).mtime.tv_nsec);
}
END_TEST

START_TEST(source_and_copy_go_their_own_ways)
{
	twin_write(&a, 2 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	twin_write(&a, 300000, 100, 2);
	twin_write(&b, 300000, 1 * MIB, 3);
	must(twin_allocate(&a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1500000, 5000), "punch");
	twin_truncate(&a, 1900000);
	check_all();
	twin_truncate(&a, 0);
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	orphan_drain(fs);
	twin_check(&b);
	check_fs(true);
}
END_TEST

START_TEST(a_filesystem_without_the_feature_gets_it_when_it_is_mounted_for_writing)
{
	struct super super;
	struct store *s;

	twin_write(&a, 100000, 0, 1);
	close_fs();
	must(store_open(URL, &config.store, &s), "store");
	forget_feature(s);
	config.read_only = true;
	open_fs(URL);
	close_fs();
	must(super_read(s, true, &super, NULL), "super");
	ck_assert_uint_eq(super.incompat, 0);
	config.read_only = false;
	open_fs(URL);
	must(super_read(s, true, &super, NULL), "super");
	ck_assert_uint_eq(super.incompat, SUPER_INCOMPAT_RANGES);
	store_unref(s);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 100000), 100000);
	check_all();
}
END_TEST

/* ---- what a copy costs ---- */

static uint64_t puts_so_far(void)
{
	struct fs_status s;

	fs_status(fs, &s);
	return s.requests.requests[STORE_OP_PUT];
}

/* Zeros in 128 KiB of memory, as many as there are: 10 GiB of them take little room in the store.
 */
static void write_long(uint64_t ino, uint64_t len)
{
	uint8_t *zeros = calloc(1, 4 * MIB);
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open file");
	for (uint64_t at = 0; at < len; at += 4 * MIB)
		ck_assert_int_eq(fs_write(f, zeros, 4 * MIB, at, false, false), 4 * MIB);
	fs_file_close(f);
	free(zeros);
}

START_TEST(ten_gibibytes_are_copied_without_storing_a_byte_of_them)
{
	struct fs_file *in, *out;
	uint64_t before, objects;
	size_t count;

	teardown();
	make_fs(URL);
	twin_make(&a, "a");
	twin_make(&b, "b");
	write_long(a.ino, 10 * GIB);
	calm();
	(void)stored(&count);
	objects = count;
	before = puts_so_far();
	in = twin_open(&a);
	out = twin_open(&b);
	ck_assert_int_eq(fs_copy_range(in, 0, out, 0, 10 * GIB), 10 * GIB);
	fs_file_close(in);
	fs_file_close(out);
	must(fs_fsync(fs, b.ino), "fsync");
	/* a slot; LevelDB may have made a few tables of so many records, and need not wait for the
	 * fsync with that */
	ck_assert_uint_le(puts_so_far() - before, 8);
	(void)stored(&count);
	ck_assert_uint_eq(count, objects);
	ck_assert_uint_eq(attr_of(b.ino).size, 10 * GIB);
	ck_assert_uint_eq(attr_of(b.ino).blocks, attr_of(a.ino).blocks);
	check_fs(false);
}
END_TEST

/* ---- the cleaner ---- */

/* Several files, a few of which share. */
static struct twin others[4];

static void make_others(void)
{
	static const char *const names[] = { "c", "d", "e", "f" };

	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_make(&others[n], names[n]);
}

static void check_others(void)
{
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_check(&others[n]);
}

static void free_others(void)
{
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_free(&others[n]);
}

START_TEST(space_comes_back_when_all_that_share_it_are_gone_and_not_before)
{
	twin_write(&a, 3 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 3 * MIB), 3 * MIB);
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	calm();
	clean();
	ck_assert_uint_ge(stored(NULL), 3 * MIB);
	twin_check(&b);
	check_fs(true);
	must(fs_unlink(fs, FS_ROOT_INO, "b"), "unlink");
	calm();
	clean();
	ck_assert_uint_eq(stored(NULL), 0);
	check_fs(true);
}
END_TEST

START_TEST(what_is_shared_moves_once_and_stays_shared)
{
	make_others();
	twin_write(&a, 3 * MIB, 0, 1);
	calm();
	/* each keeps a quarter MiB of each MiB of the source, at places of its own */
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		for (size_t at = 0; at < 3 * MIB; at += 1 * MIB)
			ck_assert_int_eq(
				twin_copy(&a, at + 1000, &others[n], at / 2 + 7 * n, 256 * KIB),
				256 * KIB);
	calm();
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	calm();
	clean();
	ck_assert_uint_lt(stored(NULL), 1 * MIB);
	check_others();
	check_fs(true);
	/* and once more, of what was moved */
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_truncate(&others[n], 200 * KIB);
	calm();
	clean();
	ck_assert_uint_lt(stored(NULL), 300 * KIB);
	check_others();
	lose_machine(URL);
	check_others();
	check_fs(true);
	free_others();
}
END_TEST

START_TEST(many_references_to_little_do_not_hide_that_the_rest_is_dead)
{
	twin_write(&a, 1 * MIB - 100 * KIB, 0, 1);
	calm();
	for (size_t n = 0; n < 40; n++)
		ck_assert_int_eq(twin_copy(&a, 0, &b, n * 60000, 60000), 60000);
	twin_truncate(&a, 0);
	calm();
	clean();
	ck_assert_uint_lt(stored(NULL), 70000);
	check_all();
}
END_TEST

START_TEST(a_segment_that_is_in_use_is_not_moved_and_looked_at_once)
{
	struct fs_status before, after;

	twin_write(&a, 900000, 0, 1);
	calm();
	for (unsigned n = 0; n < 3; n++) {
		ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 900000), 900000);
		twin_truncate(&b, 0);
	}
	ck_assert_int_eq(twin_copy(&a, 0, &b, 1000, 900000), 900000);
	calm();
	ck_assert_int_eq(clean_pass(fs), 0);
	must(fs_sync(fs), "sync");
	fs_status(fs, &before);
	ck_assert_int_eq(clean_pass(fs), 0);
	must(fs_sync(fs), "sync");
	fs_status(fs, &after);
	ck_assert_uint_eq(after.requests.requests[STORE_OP_PUT],
			  before.requests.requests[STORE_OP_PUT]);
	ck_assert_uint_eq(after.requests.requests[STORE_OP_GET],
			  before.requests.requests[STORE_OP_GET]);
	check_all();
}
END_TEST

START_TEST(copies_of_copies_are_found_wherever_they_went)
{
	make_others();
	twin_write(&a, 2 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 700000, &b, 33, 100000), 100000);
	ck_assert_int_eq(twin_copy(&b, 1033, &others[0], 900001, 90000), 90000);
	ck_assert_int_eq(twin_copy(&others[0], 900001, &others[0], 5, 80000), 80000);
	ck_assert_int_eq(twin_copy(&others[0], 5, &others[1], 0, 70000), 70000);
	twin_truncate(&a, 0);
	twin_truncate(&b, 0);
	twin_truncate(&others[0], 500000);
	calm();
	check_fs(true);
	clean();
	ck_assert_uint_lt(stored(NULL), 100000);
	check_others();
	check_all();
	check_others();
	free_others();
}
END_TEST

START_TEST(what_is_copied_while_it_moves_is_kept)
{
	uint64_t segment;
	struct mover *m;

	make_others();
	twin_write(&a, 900000, 0, 1);
	calm();
	segment = db_epoch(fs->db) << 32 | 1;
	ck_assert_int_eq(twin_copy(&a, 100, &b, 0, 200000), 200000);
	calm();
	m = mover_new(fs);
	must(mover_add(m, segment, true), "move");
	ck_assert_int_eq(twin_copy(&a, 50000, &others[0], 10, 300000), 300000);
	ck_assert_int_eq(twin_copy(&b, 0, &b, 300000, 100000), 100000);
	ck_assert_int_eq(twin_copy(&a, 200000, &a, 4096, 131072), 131072);
	must(mover_finish(m), "move");
	mover_free(m);
	calm();
	check_others();
	check_all();
	clean();
	check_others();
	check_all();
	free_others();
}
END_TEST

START_TEST(a_segment_found_in_slots_after_a_crash_leads_to_all_that_share_it)
{
	twin_write(&a, 20000, 0, 1);
	must(fs_fsync(fs, a.ino), "fsync"); /* carried by a slot */
	ck_assert_int_eq(twin_copy(&a, 10000, &b, 5, 9000), 9000);
	must(fs_fsync(fs, b.ino), "fsync");
	twin_truncate(&a, 100);
	must(fs_fsync(fs, a.ino), "fsync");
	lose_machine(URL);
	check_all();
	clean();
	check_all();
}
END_TEST

START_TEST(back_references_go_with_the_file_or_with_the_segment)
{
	leveldb_iterator_t *it;
	const char first = KEY_REFERENCE;
	size_t len;

	twin_write(&a, 2 * MIB, 0, 1);
	calm();
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	must(fs_unlink(fs, FS_ROOT_INO, "b"), "unlink");
	calm();
	it = leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	leveldb_iter_seek(it, &first, 1);
	ck_assert(!leveldb_iter_valid(it) || leveldb_iter_key(it, &len)[0] != first);
	leveldb_iter_destroy(it);
	twin_free(&b);
	twin_make(&b, "b2");
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	twin_write(&a, 2 * MIB, 0, 2);
	twin_write(&b, 2 * MIB, 0, 3);
	calm();
	clean();
	it = leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	leveldb_iter_seek(it, &first, 1);
	ck_assert(!leveldb_iter_valid(it) || leveldb_iter_key(it, &len)[0] != first);
	leveldb_iter_destroy(it);
	check_all();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("copied ranges");
	TCase *copies = tcase_create("copies"), *cost = tcase_create("what a copy costs");
	TCase *cleaning = tcase_create("cleaning");

	tcase_add_checked_fixture(copies, setup, teardown);
	tcase_set_timeout(copies, TEST_TIMEOUT_S);
	tcase_add_test(copies, a_copy_has_the_bytes_of_its_source);
	tcase_add_test(copies,
		       what_was_written_just_before_is_copied_although_nothing_is_stored_yet);
	tcase_add_test(copies, a_copy_begins_and_ends_at_any_byte);
	tcase_add_test(copies, a_copy_ends_where_its_source_ends);
	tcase_add_test(copies, a_copy_beyond_the_end_extends_the_file);
	tcase_add_test(copies, holes_are_copied_as_holes_also_over_data_and_at_the_end);
	tcase_add_test(copies, what_was_allocated_and_never_written_takes_no_room_in_the_copy);
	tcase_add_test(copies, within_a_file_ranges_that_overlap_are_refused_others_are_copied);
	tcase_add_test(copies, ranges_that_cannot_be_are_refused);
	tcase_add_test(copies, a_copy_changes_the_times_of_its_target_only);
	tcase_add_test(copies, source_and_copy_go_their_own_ways);
	tcase_add_test(copies,
		       a_filesystem_without_the_feature_gets_it_when_it_is_mounted_for_writing);
	tcase_add_checked_fixture(cost, setup, teardown);
	tcase_set_timeout(cost, TEST_TIMEOUT_S);
	tcase_add_test(cost, ten_gibibytes_are_copied_without_storing_a_byte_of_them);
	tcase_add_checked_fixture(cleaning, setup, teardown);
	tcase_set_timeout(cleaning, TEST_TIMEOUT_S);
	tcase_add_test(cleaning, space_comes_back_when_all_that_share_it_are_gone_and_not_before);
	tcase_add_test(cleaning, what_is_shared_moves_once_and_stays_shared);
	tcase_add_test(cleaning, many_references_to_little_do_not_hide_that_the_rest_is_dead);
	tcase_add_test(cleaning, a_segment_that_is_in_use_is_not_moved_and_looked_at_once);
	tcase_add_test(cleaning, copies_of_copies_are_found_wherever_they_went);
	tcase_add_test(cleaning, what_is_copied_while_it_moves_is_kept);
	tcase_add_test(cleaning, a_segment_found_in_slots_after_a_crash_leads_to_all_that_share_it);
	tcase_add_test(cleaning, back_references_go_with_the_file_or_with_the_segment);
	suite_add_tcase(s, copies);
	suite_add_tcase(s, cost);
	suite_add_tcase(s, cleaning);
	return run_suite(s);
}

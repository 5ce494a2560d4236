/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is dropped in the background: files with more extents than a batch takes, ends that were cut
 * off, many small files at once; and that it is finished after the machine is lost in the middle.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#define URL "mem:fs-reaper-tests"
#define ROOT FS_ROOT_INO
#define PIECES 3500 /* more than three batches */
#define STRIDE (256 * KIB)
#define PIECE_BYTES 700 /* not inline */

static void setup(void)
{
	make_fs(URL);
}

static void teardown(void)
{
	orphan_drain(fs);
	check_fs(true);
	reopen_fs(URL);
	check_fs(true);
	end_fs(URL);
}

static uint64_t make_scattered(const char *name)
{
	uint64_t ino = make_file(ROOT, name);
	char piece[PIECE_BYTES];
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open");
	for (uint64_t n = 0; n < PIECES; n++) {
		memset(piece, (int)('a' + n % 26), sizeof(piece));
		ck_assert_int_eq(fs_write(f, piece, sizeof(piece), n * STRIDE, false, false),
				 PIECE_BYTES);
	}
	fs_file_close(f);
	must(fs_fsync(fs, ino), "fsync");
	return ino;
}

static void truncate_to(uint64_t ino, uint64_t size)
{
	struct fs_attr attr = { .size = size };

	must(fs_setattr(fs, ino, &attr, FS_SET_SIZE, &attr), "truncate");
	ck_assert_uint_eq(attr.size, size);
}

static uint64_t used_bytes(void)
{
	struct fs_statfs s;

	must(fs_statfs(fs, &s), "statfs");
	return s.used_bytes;
}

static char byte_at(uint64_t ino, uint64_t offset)
{
	char c = 0;

	ck_assert_uint_eq(read_at(ino, &c, 1, offset), 1);
	return c;
}

START_TEST(a_file_of_many_extents_goes_in_full)
{
	make_scattered("f");
	ck_assert_uint_eq(used_bytes(), PIECES * PIECE_BYTES);
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	orphan_drain(fs);
	ck_assert_uint_eq(used_bytes(), 0);
	ck_assert_uint_eq(check_fs(false).extents, 0);
}
END_TEST

START_TEST(an_end_of_many_extents_is_cut_off_at_once_and_dropped_later)
{
	uint64_t f = make_scattered("f");

	truncate_to(f, 10 * STRIDE + 300);
	ck_assert_int_eq(byte_at(f, 10 * STRIDE + 299), 'k');
	check_fs(false); /* whatever is left to do */
	truncate_to(f, PIECES * STRIDE);
	ck_assert_int_eq(byte_at(f, 10 * STRIDE + 299), 'k');
	ck_assert_int_eq(byte_at(f, 10 * STRIDE + 300), 0);
	ck_assert_int_eq(byte_at(f, 11 * STRIDE), 0);
	orphan_drain(fs);
	ck_assert_uint_eq(used_bytes(), 10 * PIECE_BYTES + 300);
	ck_assert_int_eq(byte_at(f, 3000 * STRIDE), 0);
	ck_assert_uint_eq(check_fs(true).orphans, 0);
}
END_TEST

START_TEST(what_is_written_into_a_dropped_end_stays)
{
	uint64_t f = make_scattered("f");

	truncate_to(f, 100);
	write_at(f, "new", 3, 2000 * STRIDE + 10);
	ck_assert_int_eq(byte_at(f, 2000 * STRIDE), 0);
	ck_assert_int_eq(byte_at(f, 2000 * STRIDE + 10), 'n');
	must(fs_fsync(fs, f), "fsync");
	orphan_drain(fs);
	ck_assert_int_eq(byte_at(f, 2000 * STRIDE + 10), 'n');
	ck_assert_uint_eq(used_bytes(), 103);
}
END_TEST

START_TEST(a_file_cut_twice_loses_what_the_lower_cut_says)
{
	uint64_t f = make_scattered("f");

	truncate_to(f, 2000 * STRIDE);
	truncate_to(f, 100 * STRIDE);
	truncate_to(f, 5);
	orphan_drain(fs);
	ck_assert_uint_eq(used_bytes(), 5);
	ck_assert_uint_eq(attr_of(f).blocks, 1);
}
END_TEST

START_TEST(a_file_cut_off_and_removed_goes_in_full)
{
	uint64_t f = make_scattered("f");
	struct fs_file *file;
	struct fs_attr attr;

	must(fs_file_open(fs, f, true, false, &file), "open");
	truncate_to(f, 5);
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	orphan_drain(fs);
	check_fs(false);
	fs_file_close(file);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
	ck_assert_uint_eq(used_bytes(), 0);
}
END_TEST

START_TEST(an_unlinked_open_file_can_be_cut_off_and_is_removed_after_a_crash)
{
	uint64_t f = make_scattered("f");
	struct fs_file *file;
	struct fs_attr attr;

	must(fs_file_open(fs, f, true, false, &file), "open");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	truncate_to(f, 5);
	orphan_drain(fs);
	ck_assert_uint_eq(check_fs(false).orphans, 1);
	must(fs_sync(fs), "sync");
	fs_file_close(file);
	lose_machine(URL);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
	ck_assert_uint_eq(used_bytes(), 0);
}
END_TEST

START_TEST(thousands_of_small_files_go_in_a_few_batches)
{
	uint64_t d = make_dir(ROOT, "d");
	char name[32];

	for (unsigned n = 0; n < 5000; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		write_at(make_file(d, name), name, strlen(name), 0);
	}
	must(fs_sync(fs), "sync");
	for (unsigned n = 0; n < 5000; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		must(fs_unlink(fs, d, name), name);
	}
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	orphan_drain(fs);
	ck_assert_uint_eq(check_fs(false).inodes, 1);
	ck_assert_uint_eq(used_bytes(), 0);
}
END_TEST

/* ---- the machine is lost on the way ---- */

static void lose_on_the_way(unsigned cuts)
{
	for (unsigned n = 0; n < cuts; n++)
		must(db_commit(fs->db), "commit");
	lose_machine(URL);
	check_fs(false);
	orphan_drain(fs);
}

START_TEST(a_removal_is_finished_after_the_machine_was_lost_in_it)
{
	make_scattered("f");
	make_scattered("g");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	lose_on_the_way((unsigned)_i);
	if (find(ROOT, "f"))
		must(fs_unlink(fs, ROOT, "f"), "unlink");
	orphan_drain(fs);
	ck_assert_uint_eq(used_bytes(), PIECES * PIECE_BYTES);
}
END_TEST

START_TEST(a_cut_off_end_is_dropped_after_the_machine_was_lost_in_it)
{
	uint64_t f = make_scattered("f");

	truncate_to(f, 1000 * STRIDE);
	lose_on_the_way((unsigned)_i + 1);
	ck_assert_uint_eq(attr_of(f).size, 1000 * STRIDE);
	ck_assert_uint_eq(used_bytes(), 1000 * PIECE_BYTES);
	truncate_to(f, 3000 * STRIDE);
	ck_assert_int_eq(byte_at(f, 2000 * STRIDE), 0);
	ck_assert_int_eq(byte_at(f, 999 * STRIDE), 'a' + 999 % 26);
}
END_TEST

START_TEST(unmounting_leaves_the_rest_to_the_next_mount)
{
	uint64_t f = make_scattered("f");
	struct fs_attr attr;

	make_scattered("g");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	truncate_to(find(ROOT, "g"), 100);
	reopen_fs(URL);
	check_fs(false);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
	ck_assert_uint_eq(used_bytes(), 100);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dropping in the background");
	TCase *t = tcase_create("reaper");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_test(t, a_file_of_many_extents_goes_in_full);
	tcase_add_test(t, an_end_of_many_extents_is_cut_off_at_once_and_dropped_later);
	tcase_add_test(t, what_is_written_into_a_dropped_end_stays);
	tcase_add_test(t, a_file_cut_twice_loses_what_the_lower_cut_says);
	tcase_add_test(t, a_file_cut_off_and_removed_goes_in_full);
	tcase_add_test(t, an_unlinked_open_file_can_be_cut_off_and_is_removed_after_a_crash);
	tcase_add_test(t, thousands_of_small_files_go_in_a_few_batches);
	tcase_add_loop_test(t, a_removal_is_finished_after_the_machine_was_lost_in_it, 0, 6);
	tcase_add_loop_test(t, a_cut_off_end_is_dropped_after_the_machine_was_lost_in_it, 0, 6);
	tcase_add_test(t, unmounting_leaves_the_rest_to_the_next_mount);
	suite_add_tcase(s, t);
	return run_suite(s);
}

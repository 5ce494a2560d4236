/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranges of files are collapsed and inserted without a byte being touched: Linux's rules, what a
 * crash leaves in files of very many extents, the cleaner, and everybody at the same time.
 */
#define URL "mem:fs-shift-tests"
#include "fs_ranges.h"

/* ---- FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE: fallocate(2) ---- */

START_TEST(collapsing_takes_a_range_out_and_inserting_puts_a_hole_in)
{
	twin_write(&a, 3 * MIB + 77, 0, 1);
	must(twin_collapse(&a, 4096, 1 * MIB), "collapse");
	twin_check(&a);
	must(twin_insert(&a, 1 * MIB + 4096, 8192), "insert");
	ck_assert_int_eq(seek_in(&a, 0, SEEK_HOLE), 1 * MIB + 4096);
	ck_assert_int_eq(seek_in(&a, 1 * MIB + 4096, SEEK_DATA), 1 * MIB + 4096 + 8192);
	must(twin_insert(&a, 0, 128 * KIB), "insert");
	must(twin_collapse(&a, 0, 4096), "collapse");
	ck_assert_int_eq(attr_of(a.ino).blocks,
			 (long)(3 * MIB + 77 - 1 * MIB + 511) / 512); /* holes take no room */
	check_all();
}
END_TEST

START_TEST(what_was_allocated_or_written_in_its_record_moves_as_well)
{
	twin_write(&a, 300, 0, 1);
	must(fs_fsync(fs, a.ino), "fsync");
	must(twin_insert(&a, 0, 4096), "insert");
	twin_check(&a);
	must(twin_allocate(&b, FALLOC_FL_KEEP_SIZE, 100000, 100000), "allocate");
	twin_write(&b, 50000, 0, 2);
	must(twin_insert(&b, 4096, 4096), "insert");
	must(twin_insert(&b, 8192, 40960), "insert");
	must(twin_collapse(&b, 4096, 8192), "collapse");
	must(twin_collapse(&a, 0, 4096), "collapse");
	check_all();
	twin_truncate(&b, 250000);
	ck_assert_uint_eq(attr_of(b.ino).blocks, (150000 + 511) / 512);
	check_all();
}
END_TEST

START_TEST(what_was_written_just_before_is_moved_and_what_is_written_after_stays)
{
	twin_write(&a, 200000, 0, 1);
	must(twin_insert(&a, 4096, 4096), "insert");
	twin_write(&a, 10000, 1000, 2);
	must(twin_collapse(&a, 8192, 4096), "collapse");
	twin_write(&a, 10000, a.size, 3);
	check_all();
}
END_TEST

/* ext4's rules, in its order: ext4_collapse_range, ext4_insert_range. */
START_TEST(ranges_that_cannot_be_collapsed_or_inserted_are_refused)
{
	struct fs_file *f;

	twin_write(&a, 100000, 0, 1);
	ck_assert_int_eq(twin_collapse(&a, 1, 4096), -EINVAL);
	ck_assert_int_eq(twin_collapse(&a, 4096, 4095), -EINVAL);
	ck_assert_int_eq(twin_insert(&a, 4095, 4096), -EINVAL);
	ck_assert_int_eq(twin_insert(&a, 4096, 1), -EINVAL);
	ck_assert_int_eq(twin_collapse(&a, 98304, 4096), -EINVAL); /* to the end, and beyond */
	ck_assert_int_eq(twin_insert(&a, 102400, 4096), -EINVAL);
	twin_truncate(&a, 102400);
	ck_assert_int_eq(twin_collapse(&a, 98304, 4096), -EINVAL); /* just to the end */
	ck_assert_int_eq(twin_insert(&a, 102400, 4096), -EINVAL);
	ck_assert_int_eq(twin_insert(&a, 98304, 4096), 0);
	ck_assert_int_eq(twin_collapse(&a, 98304, 4096), 0);
	f = twin_open(&a);
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, INT64_MAX - 4095), -EFBIG);
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 4096, INT64_MAX - 4095), -EFBIG);
	must(fs_fallocate(f, FALLOC_FL_KEEP_SIZE, (uint64_t)1 << 62, 4096), "allocate");
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, (uint64_t)1 << 62), -EFBIG);
	must(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, 4096), "insert");
	must(fs_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), "collapse");
	fs_file_close(f);
	check_all();
}
END_TEST

/* Linux's vfs_fallocate, and what ext4 does not know. */
START_TEST(modes_that_cannot_be_are_refused_in_linuxs_order)
{
	static const int bad[] = { FALLOC_FL_PUNCH_HOLE,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |
					   FALLOC_FL_KEEP_SIZE,
				   FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE,
				   FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE,
				   FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE,
				   FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE,
				   FALLOC_FL_UNSHARE_RANGE,
				   FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
				   1 << 30 };
	static const int good[] = { 0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_COLLAPSE_RANGE,
				    FALLOC_FL_INSERT_RANGE };
	struct fs_file *f = twin_open(&a), *reader;

	must(fs_file_open(fs, a.ino, false, false, &reader), "open");
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		ck_assert_int_eq(fs_fallocate(f, bad[n], 0, 4096), -EOPNOTSUPP);
		ck_assert_int_eq(fs_fallocate(f, bad[n], 0, 0), -EINVAL);
	}
	for (size_t n = 0; n < ARRAY_LEN(good); n++) {
		ck_assert_int_eq(fs_fallocate(f, good[n], 0, 0), -EINVAL);
		ck_assert_int_eq(fs_fallocate(f, good[n], (uint64_t)-4096, 4096), -EINVAL);
		ck_assert_int_eq(fs_fallocate(f, good[n], 4096, (uint64_t)-4096), -EINVAL);
		ck_assert_int_eq(fs_fallocate(reader, good[n], 0, 4096), -EBADF);
		ck_assert_int_eq(fs_fallocate(f, good[n], INT64_MAX - 4095, 8192), -EFBIG);
	}
	fs_file_close(f);
	fs_file_close(reader);
}
END_TEST

START_TEST(shifted_extents_are_found_by_the_cleaner)
{
	twin_write(&a, 3 * MIB, 0, 1);
	calm();
	must(twin_insert(&a, 1 * MIB, 2 * MIB), "insert");
	must(twin_collapse(&a, 0, 512 * KIB), "collapse");
	must(twin_insert(&a, 4096, 4096), "insert");
	ck_assert_int_eq(twin_copy(&a, 3 * MIB, &b, 100, 400 * KIB), 400 * KIB);
	must(twin_insert(&b, 8192, 12288), "insert");
	must(twin_allocate(&a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 300 * KIB, 3 * MIB),
	     "punch");
	calm();
	check_fs(true);
	clean();
	ck_assert_uint_lt(stored(NULL), a.size - 3 * MIB + 400 * KIB);
	check_all();
	must(twin_collapse(&a, 0, 8192), "collapse");
	twin_truncate(&a, 200 * KIB);
	clean();
	check_all();
}
END_TEST

/* ---- files of very many extents ---- */

#define MANY 2500 /* extents: three batches */
#define APART 1024

/* Bytes every APART, so that each is an extent of its own. */
static void scatter(struct twin *t)
{
	for (size_t n = 0; n < MANY; n++)
		twin_write(t, 600, n * APART, n + 1);
	twin_truncate(t, MANY * APART);
	must(fs_fsync(fs, t->ino), "fsync");
	ck_assert_uint_ge(check_fs(false).extents, MANY);
}

struct range {
	bool insert;
	size_t from, len;
};

static const struct range shifts[] = {
	{ false, 0, 4096 },	     { false, 4096, 1200 * APART - 1200 * APART % 4096 },
	{ false, 1000 * KIB, 4096 }, { true, 0, 4096 },
	{ true, 8192, 1 * MIB },     { true, 400 * KIB, 4096 },
};

static void begin_shift(struct twin *t, const struct range *r)
{
	struct shift s = { .insert = r->insert, .from = r->from, .len = r->len };
	struct inode *i;

	must(inode_get(fs, t->ino, &i), "inode");
	pthread_mutex_lock(&i->lock);
	must(file_settle(fs, i, UINT64_MAX), "settle");
	must(shift_begin(fs, i, &s), "begin");
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	twin_shift(t, r->insert, r->from, r->len);
}

/* False: it was done before. */
static bool shift_more(const struct twin *t)
{
	struct inode *i;
	bool more;

	must(inode_get(fs, t->ino, &i), "inode");
	pthread_mutex_lock(&i->lock);
	more = i->attr.flags & INODE_SHIFTING;
	if (more)
		must(shift_step(fs, i), "step");
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	return more;
}

/* After `steps` batches the machine is lost; false: there were not so many. */
static bool shift_and_die(const struct range *r, unsigned steps)
{
	bool more = true;
	struct fs_file *f;

	setup();
	scatter(&a);
	begin_shift(&a, r);
	for (unsigned n = 0; n < steps && more; n++)
		more = shift_more(&a);
	check_fs(true);
	must(fs_sync(fs), "sync");
	fs_crash(fs);
	fs = NULL;
	config.read_only = true;
	open_fs(URL);
	must(fs_file_open(fs, a.ino, false, false, &f), "open");
	ck_assert_int_eq(fs_lseek(f, a.size - APART + 600, SEEK_DATA), -ENXIO);
	ck_assert_int_eq(fs_lseek(f, a.size - APART, SEEK_DATA), (long)a.size - APART);
	ck_assert_int_eq(fs_lseek(f, a.size - APART, SEEK_HOLE), (long)a.size - APART + 600);
	fs_file_close(f);
	twin_check(&a);
	check_fs(true);
	fs_crash(fs);
	config.read_only = false;
	open_fs(URL);
	check_fs(true);
	ck_assert_uint_eq(attr_of(a.ino).size, a.size);
	check_all();
	teardown();
	return more;
}

START_TEST(a_shift_has_happened_once_it_has_begun_wherever_a_crash_comes)
{
	unsigned steps = 0;

	teardown();
	while (shift_and_die(&shifts[_i], steps))
		steps++;
	ck_assert_uint_ge(steps, 2);
	setup();
}
END_TEST

START_TEST(who_comes_first_carries_a_shift_on)
{
	struct fs_attr attr;
	struct fs_file *f;

	scatter(&a);
	begin_shift(&a, &shifts[3]);
	twin_write(&a, 5000, 5000, 9);
	twin_check(&a);
	begin_shift(&a, &shifts[0]);
	twin_truncate(&a, 1500000);
	twin_check(&a);
	begin_shift(&a, &shifts[3]);
	ck_assert_int_eq(twin_copy(&a, 3, &b, 77, 1 * MIB), 1 * MIB);
	begin_shift(&a, &shifts[0]);
	ck_assert_int_eq(twin_copy(&b, 3, &a, 77, 1 * MIB - 4096), 1 * MIB - 4096);
	begin_shift(&a, &shifts[3]);
	must(twin_insert(&a, 0, 4096), "insert");
	begin_shift(&a, &shifts[0]);
	attr = attr_of(a.ino);
	attr.mode = 0600;
	must(fs_setattr(fs, a.ino, &attr, FS_SET_MODE, &attr), "chmod");
	f = twin_open(&a);
	ck_assert_int_eq(fs_lseek(f, 0, SEEK_DATA), 4096);
	fs_file_close(f);
	check_all();
}
END_TEST

START_TEST(a_file_that_is_being_shifted_can_be_removed)
{
	scatter(&a);
	begin_shift(&a, &shifts[3]);
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	calm();
	ck_assert_uint_eq(check_fs(true).extents, 0);
	lose_machine(URL);
	ck_assert_uint_eq(check_fs(true).extents, 0);
	clean();
	ck_assert_uint_eq(stored(NULL), 0);
}
END_TEST

START_TEST(the_cleaner_leaves_a_file_alone_that_is_being_shifted)
{
	scatter(&a);
	calm();
	must(twin_allocate(&a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * MIB), "punch");
	twin_write(&a, 2000, 0, 3);
	scatter(&b);
	calm();
	begin_shift(&b, &shifts[4]);
	clean();
	check_fs(true);
	check_all();
	clean();
	check_all();
}
END_TEST

START_TEST(a_copy_of_very_many_extents_is_whole_too)
{
	scatter(&a);
	scatter(&b);
	ck_assert_int_eq(twin_copy(&a, 300, &b, 333, 2 * MIB), 2 * MIB);
	check_all();
}
END_TEST

/* ---- who does what at the same time ---- */

static struct {
	struct twin *from, *to;
	bool stop; /* atomic */
} crowd;

static void *copier(void *arg)
{
	struct fs_file *in = twin_open(crowd.from), *out = twin_open(crowd.to);

	while (!__atomic_load_n(&crowd.stop, __ATOMIC_SEQ_CST)) {
		int64_t n = fs_copy_range(in, 0, out, 0, 2 * MIB);

		if (n != 2 * MIB)
			return arg;
	}
	fs_file_close(in);
	fs_file_close(out);
	return NULL;
}

static void *writer(void *arg)
{
	static const uint8_t same[4096] = { 7, 7, 7 };
	struct fs_file *f = twin_open(crowd.from);
	uint64_t at = 0;

	while (!__atomic_load_n(&crowd.stop, __ATOMIC_SEQ_CST)) {
		if (fs_write(f, same, sizeof(same), at % (2 * MIB), false, false) < 0)
			return arg;
		at += 3 * sizeof(same);
	}
	fs_file_close(f);
	return NULL;
}

static void *shifter(void *arg)
{
	struct fs_file *f = twin_open(crowd.to);

	while (!__atomic_load_n(&crowd.stop, __ATOMIC_SEQ_CST)) {
		if (fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, 4096) < 0 ||
		    fs_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) < 0)
			return arg;
	}
	fs_file_close(f);
	return NULL;
}

START_TEST(copies_both_ways_writes_shifts_reads_and_the_cleaner_get_along)
{
	pthread_t threads[3];
	uint8_t *buf = malloc(2 * MIB);
	void *trouble = NULL;

	twin_write(&a, 2 * MIB, 0, 1);
	twin_write(&b, 3 * MIB, 0, 2);
	crowd.from = &a;
	crowd.to = &b;
	ck_assert_int_eq(pthread_create(&threads[0], NULL, copier, &crowd), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, writer, &crowd), 0);
	ck_assert_int_eq(pthread_create(&threads[2], NULL, shifter, &crowd), 0);
	for (unsigned n = 0; n < 15; n++) {
		struct fs_file *in = twin_open(&b), *out = twin_open(&a);

		ck_assert_int_ge(fs_copy_range(in, 1 * MIB, out, 4096, 512 * KIB), 0);
		fs_file_close(in);
		fs_file_close(out);
		ck_assert_uint_eq(read_at(b.ino, buf, 2 * MIB, 0), 2 * MIB);
		must(fs_sync(fs), "sync");
		must(clean_pass(fs), "clean");
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_SEQ_CST);
	for (size_t n = 0; n < 3; n++) {
		void *result;

		pthread_join(threads[n], &result);
		trouble = result ? result : trouble;
	}
	ck_assert_ptr_null(trouble);
	calm();
	check_fs(true);
	lose_machine(URL);
	check_fs(true);
	free(buf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shifted ranges");
	TCase *shifting = tcase_create("shifting"), *many = tcase_create("very many extents");
	TCase *crowded = tcase_create("crowded");

	tcase_add_checked_fixture(shifting, setup, teardown);
	tcase_set_timeout(shifting, TEST_TIMEOUT_S);
	tcase_add_test(shifting, collapsing_takes_a_range_out_and_inserting_puts_a_hole_in);
	tcase_add_test(shifting, what_was_allocated_or_written_in_its_record_moves_as_well);
	tcase_add_test(shifting,
		       what_was_written_just_before_is_moved_and_what_is_written_after_stays);
	tcase_add_test(shifting, ranges_that_cannot_be_collapsed_or_inserted_are_refused);
	tcase_add_test(shifting, modes_that_cannot_be_are_refused_in_linuxs_order);
	tcase_add_test(shifting, shifted_extents_are_found_by_the_cleaner);
	tcase_add_checked_fixture(many, setup, teardown);
	tcase_set_timeout(many, TEST_TIMEOUT_S);
	tcase_add_loop_test(many, a_shift_has_happened_once_it_has_begun_wherever_a_crash_comes, 0,
			    ARRAY_LEN(shifts));
	tcase_add_test(many, who_comes_first_carries_a_shift_on);
	tcase_add_test(many, a_file_that_is_being_shifted_can_be_removed);
	tcase_add_test(many, the_cleaner_leaves_a_file_alone_that_is_being_shifted);
	tcase_add_test(many, a_copy_of_very_many_extents_is_whole_too);
	tcase_add_checked_fixture(crowded, setup, teardown);
	tcase_set_timeout(crowded, TEST_TIMEOUT_S);
	tcase_add_test(crowded, copies_both_ways_writes_shifts_reads_and_the_cleaner_get_along);
	suite_add_tcase(s, shifting);
	suite_add_tcase(s, many);
	suite_add_tcase(s, crowded);
	return run_suite(s);
}

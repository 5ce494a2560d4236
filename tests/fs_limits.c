/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * size_limit and inode_limit to the byte, whatever is in memory and whatever is in the map; and
 * access times that cost nothing.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#include <fcntl.h>

#define URL "mem:fs-limits-tests"
#define ROOT FS_ROOT_INO
#define LIMIT (3 * MIB + 12345)
#define FILES 6
#define SPAN (1 * MIB) /* of a file */

static void setup(void)
{
	make_fs(URL);
}

static void teardown(void)
{
	check_fs(true);
	end_fs(URL);
}

static void reopen_with(const char *options)
{
	close_fs();
	must(fs_config_parse(&config, options, NULL, NULL), options);
	open_fs(URL);
}

static struct fs_statfs totals(void)
{
	struct fs_statfs s;

	must(fs_statfs(fs, &s), "statfs");
	return s;
}

/* ---- a model: which bytes are allocated ---- */

struct model_file {
	uint64_t ino, size;
	struct fs_file *open;
	bool taken[SPAN]; /* allocated */
};

static struct model_file files[FILES];
static uint64_t taken_bytes; /* of all */
static char bytes[SPAN];

static void take(struct model_file *f, uint64_t from, uint64_t to, bool on)
{
	for (uint64_t n = from; n < to; n++) {
		taken_bytes += (uint64_t)on - (uint64_t)f->taken[n];
		f->taken[n] = on;
	}
}

static uint64_t missing(const struct model_file *f, uint64_t from, uint64_t to)
{
	uint64_t count = 0;

	for (uint64_t n = from; n < to; n++)
		count += !f->taken[n];
	return count;
}

static void make_model_file(struct model_file *f, int n)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "f%d", n);
	f->ino = make_file(ROOT, name);
	f->size = 0;
	must(fs_file_open(fs, f->ino, true, false, &f->open), "open");
}

/* Short or refused exactly where the next byte would be one too many. */
static void random_write(struct model_file *f, uint64_t from, uint64_t len)
{
	ssize_t done = fs_write(f->open, bytes, len, from, false, false);

	if (done < 0) {
		ck_assert_int_eq(done, -ENOSPC);
		done = 0;
	}
	take(f, from, from + (uint64_t)done, true);
	if (done > 0)
		f->size = max_u64(f->size, from + (uint64_t)done);
	ck_assert_uint_le(taken_bytes, LIMIT);
	if ((uint64_t)done < len) {
		ck_assert_uint_eq(taken_bytes, LIMIT);
		ck_assert(!f->taken[from + (uint64_t)done]);
	}
}

static void random_allocation(struct model_file *f, uint64_t from, uint64_t len, int mode)
{
	uint64_t more = missing(f, from, from + len);
	int err = fs_fallocate(f->open, mode, from, len);

	if (taken_bytes + more > LIMIT) {
		ck_assert_int_eq(err, -ENOSPC);
		return;
	}
	must(err, "fallocate");
	take(f, from, from + len, true);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		f->size = max_u64(f->size, from + len);
}

static void random_truncation(struct model_file *f, uint64_t size)
{
	struct fs_attr a = { .size = size };

	must(fs_setattr(fs, f->ino, &a, FS_SET_SIZE, NULL), "truncate");
	take(f, size, SPAN, false);
	f->size = size;
}

static void random_removal(struct model_file *f, int n)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "f%d", n);
	must(fs_unlink(fs, ROOT, name), "unlink");
	fs_file_close(f->open);
	take(f, 0, SPAN, false);
	make_model_file(f, n);
}

static void random_step(void)
{
	int n = rand() % FILES;
	struct model_file *f = &files[n];
	uint64_t from = (uint64_t)rand() % (SPAN - 1), len = 1 + (uint64_t)rand() % 200000;

	len = min_u64(len, SPAN - from);
	switch (rand() % 16) {
	case 0:
		random_truncation(f, from);
		break;
	case 1:
		must(fs_fallocate(f->open, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, len),
		     "punch");
		take(f, from, from + len, false);
		break;
	case 2:
		random_allocation(f, from, len, 0);
		break;
	case 3:
		random_allocation(f, from, len, FALLOC_FL_KEEP_SIZE);
		break;
	case 4:
		random_removal(f, n);
		break;
	case 5:
		must(fs_fsync(fs, f->ino), "fsync");
		break;
	default:
		random_write(f, from, len);
		break;
	}
}

static void assert_exact(void)
{
	must(fs_sync(fs), "sync");
	orphan_drain(fs);
	ck_assert_uint_eq(totals().used_bytes, taken_bytes);
	ck_assert_uint_eq(fs->reserved, 0);
}

START_TEST(nothing_is_refused_that_fits_and_nothing_accepted_that_does_not)
{
	srand((unsigned)_i);
	memset(bytes, 'x', sizeof(bytes));
	config.size_limit_bytes = LIMIT;
	reopen_fs(URL);
	for (int n = 0; n < FILES; n++)
		make_model_file(&files[n], n);
	for (int step = 0; step < 400; step++) {
		random_step();
		ck_assert_uint_ge(LIMIT, taken_bytes);
		if (step % 50 == 49)
			assert_exact();
	}
	for (int n = 0; n < FILES; n++) {
		ck_assert_uint_eq(attr_of(files[n].ino).size, files[n].size);
		fs_file_close(files[n].open);
	}
	assert_exact();
}
END_TEST

START_TEST(a_write_that_fits_in_part_is_done_in_part)
{
	uint64_t a = make_file(ROOT, "a"), b = make_file(ROOT, "b");
	struct fs_file *f;

	reopen_with("size_limit=1M");
	memset(bytes, 'x', sizeof(bytes));
	write_at(a, bytes, MIB - 10, 0);
	must(fs_file_open(fs, b, true, false, &f), "open");
	ck_assert_int_eq(fs_write(f, bytes, 100, 0, false, false), 10);
	ck_assert_int_eq(fs_write(f, bytes, 100, 10, false, false), -ENOSPC);
	ck_assert_uint_eq(attr_of(b).size, 10);
	fs_file_close(f);
	ck_assert_uint_eq(totals().used_bytes, totals().total_bytes);
}
END_TEST

START_TEST(files_beyond_the_limit_are_refused_until_one_goes)
{
	struct fs_attr a;

	reopen_with("inode_limit=4");
	(void)make_file(ROOT, "a");
	(void)make_dir(ROOT, "b");
	must(fs_tmpfile(fs, ROOT, &nobody, 0600, &a), "tmpfile");
	ck_assert_uint_eq(totals().inodes_used, totals().inodes_total);
	ck_assert_int_eq(fs_mknod(fs, ROOT, "c", &nobody, S_IFREG | 0644, 0, &a), -ENOSPC);
	ck_assert_int_eq(fs_symlink(fs, ROOT, "c", &nobody, "x", &a), -ENOSPC);
	ck_assert_int_eq(fs_rename_whiteout(fs, ROOT, "a", ROOT, "c", 0, &nobody), -ENOSPC);
	ck_assert(find(ROOT, "a") && !find(ROOT, "c"));
	must(fs_rename(fs, ROOT, "a", ROOT, "c", 0), "rename");
	must(fs_unlink(fs, ROOT, "c"), "unlink");
	(void)make_file(ROOT, "d"); /* the reaper is not waited for */
}
END_TEST

START_TEST(what_is_there_already_may_be_more_than_the_limit)
{
	uint64_t ino = make_file(ROOT, "a");
	char got[4];

	memset(bytes, 'x', sizeof(bytes));
	write_at(ino, bytes, sizeof(bytes), 0);
	reopen_with("size_limit=1000,inode_limit=1");
	ck_assert_uint_eq(totals().used_bytes, sizeof(bytes));
	ck_assert_uint_eq(totals().total_bytes, sizeof(bytes));
	ck_assert_uint_eq(read_at(ino, got, 4, 0), 4);
	write_at(ino, "over", 4, 100); /* needs no room */
	must(fs_fsync(fs, ino), "fsync");
	must(fs_unlink(fs, ROOT, "a"), "unlink");
}
END_TEST

/* ---- whiteouts in runs of equal hashes ---- */

START_TEST(whiteouts_stand_where_the_old_names_stood)
{
	struct fs_attr a;

	fs->hash_blind = UINT64_MAX; /* one run */
	(void)make_file(ROOT, "a");
	(void)make_file(ROOT, "b");
	(void)make_file(ROOT, "c");
	must(fs_rename_whiteout(fs, ROOT, "a", ROOT, "d", 0, &nobody), "whiteout");
	must(fs_rename_whiteout(fs, ROOT, "b", ROOT, "c", 0, &nobody), "whiteout over a name");
	must(fs_lookup(fs, ROOT, "a", &a), "a");
	ck_assert(S_ISCHR(a.mode) && a.rdev == 0 && a.uid == nobody.uid);
	must(fs_lookup(fs, ROOT, "b", &a), "b");
	ck_assert(S_ISCHR(a.mode));
	ck_assert(find(ROOT, "c") && find(ROOT, "d"));
	ck_assert_int_eq(fs_rename_whiteout(fs, ROOT, "c", ROOT, "d", FS_RENAME_NOREPLACE, &nobody),
			 -EEXIST);
	ck_assert_int_eq(fs_rename_whiteout(fs, ROOT, "c", ROOT, "d", FS_RENAME_EXCHANGE, &nobody),
			 -EINVAL);
	check_fs(false);
	fs->hash_blind = 0;
	must(fs_unlink(fs, ROOT, "none") == -ENOENT ? 0 : -1, "nothing by that name");
	fs->hash_blind = UINT64_MAX;
	for (const char *name = "abcd"; *name; name++)
		must(fs_unlink(fs, ROOT, (char[2]){ *name, 0 }), "unlink");
	fs->hash_blind = 0;
}
END_TEST

/* ---- access times ---- */

static uint64_t puts_so_far(void)
{
	struct fs_status s;

	fs_status(fs, &s);
	return s.requests.requests[STORE_OP_PUT];
}

START_TEST(access_times_cost_no_commit_and_survive_closing)
{
	uint64_t ino = make_file(ROOT, "a"), puts;
	struct fs_attr a;

	write_at(ino, "text", 4, 0);
	must(fs_sync(fs), "sync");
	puts = puts_so_far();
	ck_assert_int_eq(fs_touch(fs, ino), 1);
	ck_assert_int_eq(fs_touch(fs, ino), 0);
	ck_assert_int_eq(fs_touch(fs, ROOT), 1);
	flush_all(fs, false); /* the tick */
	must(db_commit(fs->db), "commit");
	ck_assert_uint_eq(puts_so_far(), puts);
	a = attr_of(ino);
	ck_assert(a.atime.tv_sec > a.mtime.tv_sec || a.atime.tv_nsec > a.mtime.tv_nsec);
	reopen_fs(URL);
	ck_assert_int_eq(attr_of(ino).atime.tv_sec, a.atime.tv_sec);
	ck_assert_int_eq(attr_of(ino).atime.tv_nsec, a.atime.tv_nsec);
}
END_TEST

START_TEST(an_access_time_goes_with_the_next_change_or_after_an_hour)
{
	uint64_t a = make_file(ROOT, "a"), b = make_file(ROOT, "b");
	struct fs_attr attr = { .mode = 0600 };
	struct timespec read_a, read_b;

	must(fs_sync(fs), "sync");
	ck_assert_int_eq(fs_touch(fs, a), 1);
	ck_assert_int_eq(fs_touch(fs, b), 1);
	read_a = attr_of(a).atime;
	read_b = attr_of(b).atime;
	must(fs_setattr(fs, a, &attr, FS_SET_MODE, NULL), "chmod");
	must(db_commit(fs->db), "commit");
	lose_machine(URL);
	ck_assert_int_eq(attr_of(a).atime.tv_nsec, read_a.tv_nsec);
	ck_assert_int_ne(attr_of(b).atime.tv_nsec, read_b.tv_nsec); /* lost, as it may be */
	ck_assert_int_eq(fs_touch(fs, b), 1);
	read_b = attr_of(b).atime;
	test_sleep_ms(&test_clock, HOUR_MS);
	must(flush_all(fs, false), "the tick");
	must(db_commit(fs->db), "commit");
	lose_machine(URL);
	ck_assert_int_eq(attr_of(b).atime.tv_nsec, read_b.tv_nsec);
}
END_TEST

START_TEST(thousands_of_access_times_do_not_pin_thousands_of_inodes)
{
	enum { MANY = 6000 };
	static uint64_t inos[MANY];
	char name[16];

	for (int n = 0; n < MANY; n++) {
		(void)snprintf(name, sizeof(name), "f%d", n);
		inos[n] = make_file(ROOT, name);
	}
	must(fs_sync(fs), "sync");
	for (int n = 0; n < MANY; n++)
		ck_assert_int_eq(fs_touch(fs, inos[n]), 1);
	must(flush_all(fs, false), "the tick");
	ck_assert_uint_le(fs->lazy_count, 4096);
	must(fs_sync(fs), "sync");
	ck_assert_uint_eq(fs->lazy_count, 0);
	ck_assert_ptr_null(fs->dirty_inodes);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits and access times");
	TCase *t = tcase_create("limits");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_loop_test(t, nothing_is_refused_that_fits_and_nothing_accepted_that_does_not, 0,
			    8);
	tcase_add_test(t, a_write_that_fits_in_part_is_done_in_part);
	tcase_add_test(t, files_beyond_the_limit_are_refused_until_one_goes);
	tcase_add_test(t, what_is_there_already_may_be_more_than_the_limit);
	tcase_add_test(t, whiteouts_stand_where_the_old_names_stood);
	tcase_add_test(t, access_times_cost_no_commit_and_survive_closing);
	tcase_add_test(t, an_access_time_goes_with_the_next_change_or_after_an_hour);
	tcase_add_test(t, thousands_of_access_times_do_not_pin_thousands_of_inodes);
	suite_add_tcase(s, t);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of the three times each operation marks (XBD 4.9 and the pages of XSH), relatime, and
 * birth. */
#include "posix_fixture.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/xattr.h>

enum { A = 1, M = 2, C = 4 };

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* Until a new mark differs from all before: filesystems may mark with the clock's ticks. */
static void pass_time(void)
{
	struct timespec start, now, ms = { 0, 1000000 };

	ok(clock_gettime(CLOCK_REALTIME, &start));
	do {
		nanosleep(&ms, NULL);
		ok(clock_gettime(CLOCK_REALTIME_COARSE, &now));
	} while (!later(now, start));
}

static unsigned changed(const struct stat *before, const struct stat *after)
{
	return (later(after->st_atim, before->st_atim) ? A : 0) |
	       (later(after->st_mtim, before->st_mtim) ? M : 0) |
	       (later(after->st_ctim, before->st_ctim) ? C : 0);
}

static struct stat before_file, before_dir, before_dir2;

/* file, dir and dir2 as they are; dir/file is one to be removed and renamed. */
static void prepare(void)
{
	touch_with("file", "12345");
	ok(mkdir("dir", 0777));
	ok(mkdir("dir2", 0777));
	touch("dir/file", 0644);
	ok(symlink("target", "link"));
}

static void note(void)
{
	pass_time();
	before_file = look("file");
	before_dir = look("dir");
	before_dir2 = look("dir2");
}

#define marks(name, before, which)                                                                 \
	do {                                                                                       \
		struct stat marks_now = look(name);                                                \
		unsigned marked = changed(&(before), &marks_now);                                  \
		ck_assert_msg(marked == (which), "%s: marked %s%s%s", name, marked & A ? "a" : "", \
			      marked & M ? "m" : "", marked & C ? "c" : "");                       \
	} while (0)

/* XSH write, ftruncate, truncate, open */
START_TEST(changing_bytes_marks_modification_and_change)
{
	int fd;

	prepare();
	fd = (int)ok(open("file", O_RDWR));
	note();
	put(fd, "x", 1);
	marks("file", before_file, M | C);
	note();
	ck_assert_int_eq(ok(write(fd, "", 0)), 0);
	marks("file", before_file, 0);
	ok(ftruncate(fd, 100));
	marks("file", before_file, M | C);
	note();
	ok(ftruncate(fd, 100)); /* the same size */
	marks("file", before_file, M | C);
	note();
	ok(truncate("file", 0));
	marks("file", before_file, M | C);
	note();
	ok(close((int)ok(open("file", O_WRONLY | O_TRUNC)))); /* of an empty file, too */
	marks("file", before_file, M | C);
	note();
	ok(close((int)ok(open("file", O_WRONLY | O_CREAT, 0644)))); /* which is there */
	marks("file", before_file, 0);
	ok(fallocate(fd, 0, 0, 10000));
	marks("file", before_file, M | C);
	note();
	ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5000));
	marks("file", before_file, M | C);
	ok(close(fd));
}
END_TEST

/* XSH mmap: marked by msync at the latest */
START_TEST(writing_through_a_mapping_marks_by_the_next_msync)
{
	int fd;
	char *map;

	prepare();
	fd = (int)ok(open("file", O_RDWR));
	map = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	note();
	map[0] = 'x';
	ok(msync(map, 5, MS_SYNC));
	marks("file", before_file, M | C);
	ok(munmap(map, 5));
	ok(close(fd));
	assert_text("file", "x2345");
}
END_TEST

/* XSH chmod, chown, link, rename, futimens; setxattr(2) */
START_TEST(changing_what_is_about_the_file_marks_change_only)
{
	struct timespec omit[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };

	prepare();
	note();
	ok(chmod("file", 0600));
	marks("file", before_file, C);
	note();
	ok(chown("file", 1, 1));
	marks("file", before_file, C);
	note();
	ok(setxattr("file", "trusted.a", "1", 1, 0));
	marks("file", before_file, C);
	note();
	ok(removexattr("file", "trusted.a"));
	marks("file", before_file, C);
	note();
	ok(link("file", "dir/new"));
	marks("file", before_file, C);
	marks("dir", before_dir, M | C);
	note();
	ok(unlink("dir/new"));
	marks("file", before_file, C);
	marks("dir", before_dir, M | C);
	note();
	ok(rename("file", "dir/new"));
	marks("dir/new", before_file, C);
	ok(rename("dir/new", "file"));
	note();
	ok(utimensat(AT_FDCWD, "file", omit, 0));
	marks("file", before_file, 0);
}
END_TEST

/* XSH open, mkdir, symlink, mkfifo, link, unlink, rmdir, rename */
START_TEST(changing_names_marks_the_folder)
{
	prepare();
	note();
	touch("dir/made", 0644);
	marks("dir", before_dir, M | C);
	note();
	ok(mkdir("dir/sub", 0755));
	marks("dir", before_dir, M | C);
	note();
	ok(symlink("x", "dir/sym"));
	marks("dir", before_dir, M | C);
	note();
	ok(mkfifo("dir/fifo", 0644));
	marks("dir", before_dir, M | C);
	note();
	ok(rmdir("dir/sub"));
	marks("dir", before_dir, M | C);
	note();
	ok(rename("dir/made", "dir2/made"));
	marks("dir", before_dir, M | C);
	marks("dir2", before_dir2, M | C);
	note();
	put((int)ok(open("dir/file", O_WRONLY)), "x", 1);
	ok(chmod("dir/file", 0600));
	marks("dir", before_dir, 0);
	fails(EEXIST, mkdir("dir/file", 0755));
	fails(ENOENT, unlink("dir/none"));
	marks("dir", before_dir, 0);
}
END_TEST

/* XBD 4.9: what is made has all three */
START_TEST(what_is_made_is_marked_with_now)
{
	struct timespec start, end;
	struct stat st;

	ok(clock_gettime(CLOCK_REALTIME_COARSE, &start));
	touch("made", 0644);
	st = look("made");
	ok(clock_gettime(CLOCK_REALTIME, &end));
	ck_assert(!later(start, st.st_mtim) && !later(st.st_mtim, end));
	ck_assert(!later(start, st.st_atim) && !later(st.st_atim, end));
	ck_assert(!later(start, st.st_ctim) && !later(st.st_ctim, end));
}
END_TEST

/* XSH futimens */
START_TEST(times_are_kept_to_the_nanosecond)
{
	static const struct timespec kept[] = { { 0, 0 },	   { 1, 999999999 },
						{ -1, 1 },	   { -2000000000, 123456789 },
						{ 2147483648, 5 }, { 4294967296, 6 },
						{ 7000000000, 7 } };

	touch("file", 0644);
	for (size_t n = 0; n < sizeof(kept) / sizeof(kept[0]); n++) {
		struct timespec set[2] = { kept[n], kept[n] };
		struct stat st;

		ok(utimensat(AT_FDCWD, "file", set, 0));
		st = look("file");
		ck_assert_int_eq(st.st_mtim.tv_sec, kept[n].tv_sec);
		ck_assert_int_eq(st.st_mtim.tv_nsec, kept[n].tv_nsec);
		ck_assert_int_eq(st.st_atim.tv_sec, kept[n].tv_sec);
		ck_assert_int_eq(st.st_atim.tv_nsec, kept[n].tv_nsec);
	}
	ok(symlink("file", "link"));
	ok(utimensat(AT_FDCWD, "link", (struct timespec[2]){ { 5, 0 }, { 6, 0 } },
		     AT_SYMLINK_NOFOLLOW));
	ck_assert_int_eq(look("link").st_mtim.tv_sec, 6);
	ck_assert_int_eq(look("file").st_mtim.tv_sec, 7000000000);
}
END_TEST

/* utimensat(2): UTIME_OMIT, UTIME_NOW one by one */
START_TEST(one_time_can_be_set_without_the_other)
{
	struct stat st;

	prepare();
	ok(utimensat(AT_FDCWD, "file", (struct timespec[2]){ { 5, 0 }, { 0, UTIME_OMIT } }, 0));
	st = look("file");
	ck_assert_int_eq(st.st_atim.tv_sec, 5);
	ck_assert_int_gt(st.st_mtim.tv_sec, 1000000);
	ok(utimensat(AT_FDCWD, "file", (struct timespec[2]){ { 0, UTIME_OMIT }, { 6, 0 } }, 0));
	ok(utimensat(AT_FDCWD, "file", (struct timespec[2]){ { 0, UTIME_NOW }, { 0, UTIME_OMIT } },
		     0));
	st = look("file");
	ck_assert_int_gt(st.st_atim.tv_sec, 1000000);
	ck_assert_int_eq(st.st_mtim.tv_sec, 6);
}
END_TEST

/* ---- access: XSH read, readdir, readlink, mmap; mount(8) relatime ---- */

static void read_it(const char *name, int flags)
{
	int fd = (int)ok(open(name, O_RDONLY | flags));
	char c;

	ok(read(fd, &c, 1));
	ok(close(fd));
}

static void list_it(const char *name)
{
	DIR *d = opendir(name);

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		;
	ok(closedir(d));
}

START_TEST(a_read_after_a_change_marks_access_and_the_next_does_not)
{
	prepare();
	note();
	read_it("file", 0);
	marks("file", before_file, A);
	note();
	read_it("file", 0);
	marks("file", before_file, 0);
	ok(chmod("file", 0600));
	note();
	read_it("file", 0);
	marks("file", before_file, A);
}
END_TEST

START_TEST(O_NOATIME_leaves_no_mark)
{
	prepare();
	note();
	read_it("file", O_NOATIME);
	marks("file", before_file, 0);
	read_it("file", 0);
	marks("file", before_file, A);
}
END_TEST

START_TEST(folders_and_links_are_read_as_well)
{
	char buf[16];
	struct stat before;

	prepare();
	note();
	list_it("dir");
	marks("dir", before_dir, A);
	note();
	list_it("dir");
	marks("dir", before_dir, 0);
	before = look("link");
	ok(readlink("link", buf, sizeof(buf)));
	marks("link", before, A);
}
END_TEST

START_TEST(reading_through_a_mapping_marks_access)
{
	volatile char seen;
	int fd;
	char *map;

	prepare();
	note();
	fd = (int)ok(open("file", O_RDONLY));
	map = mmap(NULL, 5, PROT_READ, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	seen = map[0];
	ck_assert_int_eq(seen, '1');
	ok(munmap(map, 5));
	ok(close(fd));
	marks("file", before_file, A);
}
END_TEST

START_TEST(looking_opening_for_writing_and_closing_mark_nothing)
{
	struct stat st;

	prepare();
	note();
	ok(stat("file", &st));
	ok(access("file", R_OK));
	ok(close((int)ok(open("file", O_WRONLY))));
	ok(close((int)ok(open("file", O_PATH))));
	marks("file", before_file, 0);
}
END_TEST

/* statx(2): stx_btime */
START_TEST(birth_is_told_and_never_changes)
{
	struct statx made, now;

	touch("file", 0644);
	ok(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS | STATX_BTIME, &made));
	ck_assert(made.stx_mask & STATX_BTIME);
	ck_assert_int_eq(made.stx_btime.tv_sec, made.stx_mtime.tv_sec);
	pass_time();
	ok(truncate("file", 5));
	ok(utimensat(AT_FDCWD, "file", (struct timespec[2]){ { 5, 0 }, { 6, 0 } }, 0));
	ok(rename("file", "renamed"));
	ok(statx(AT_FDCWD, "renamed", 0, STATX_BASIC_STATS | STATX_BTIME, &now));
	ck_assert(now.stx_mask & STATX_BTIME);
	ck_assert_int_eq(now.stx_btime.tv_sec, made.stx_btime.tv_sec);
	ck_assert_uint_eq(now.stx_btime.tv_nsec, made.stx_btime.tv_nsec);
	ck_assert_int_eq(now.stx_mtime.tv_sec, 6);
	ck_assert_uint_eq(now.stx_size, 5);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("times");
	TCase *t = posix_case(s, "marks");

	tcase_add_test(t, changing_bytes_marks_modification_and_change);
	tcase_add_test(t, writing_through_a_mapping_marks_by_the_next_msync);
	tcase_add_test(t, changing_what_is_about_the_file_marks_change_only);
	tcase_add_test(t, changing_names_marks_the_folder);
	tcase_add_test(t, what_is_made_is_marked_with_now);
	tcase_add_test(t, times_are_kept_to_the_nanosecond);
	tcase_add_test(t, one_time_can_be_set_without_the_other);
	t = posix_case(s, "access");
	tcase_add_test(t, a_read_after_a_change_marks_access_and_the_next_does_not);
	tcase_add_test(t, O_NOATIME_leaves_no_mark);
	tcase_add_test(t, folders_and_links_are_read_as_well);
	tcase_add_test(t, reading_through_a_mapping_marks_access);
	tcase_add_test(t, looking_opening_for_writing_and_closing_mark_nothing);
	tcase_add_test(t, birth_is_told_and_never_changes);
	return run_suite(s);
}

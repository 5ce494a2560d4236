/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A filesystem with an end: XSH write, posix_fallocate, open, mkdir: ENOSPC; XSH fstatvfs. To be
 * run on one with room for 16 MiB to 256 MiB and 100 to 1000 files, all of it free:
 * size_limit=32M,inode_limit=200, or tmpfs with size=32m,nr_inodes=200.
 */
#include "posix_fixture.h"

#include <sys/statvfs.h>

#define MIB (1 << 20)
#define SLACK (64 << 10) /* filesystems count in blocks */

static char bytes[MIB];

static struct statvfs room(void)
{
	struct statvfs s;

	ok(statvfs(".", &s));
	return s;
}

static uint64_t free_bytes(void)
{
	struct statvfs s = room();

	ck_assert(s.f_bfree == s.f_bavail); /* nothing is set aside for root */
	return (uint64_t)s.f_bavail * s.f_frsize;
}

static uint64_t used_bytes(void)
{
	struct statvfs s = room();

	return (uint64_t)(s.f_blocks - s.f_bfree) * s.f_frsize;
}

/* What an earlier test has deleted may still be on its way out: closing is told to a FUSE filesystem after the fact. */
static void start(void)
{
	start_in_fresh_folder();
	while (used_bytes() > SLACK)
		ok(usleep(10000));
	memset(bytes, 'x', sizeof(bytes));
	ck_assert_msg(free_bytes() >= 16 * MIB && free_bytes() <= 256 * MIB,
		      "not a filesystem of the right size: %llu bytes free",
		      (unsigned long long)free_bytes());
}

/* Writes until there is no more room: how much. */
static uint64_t fill(int fd, size_t step)
{
	uint64_t done = 0;
	ssize_t n;

	while ((n = write(fd, bytes, step)) > 0)
		done += (uint64_t)n;
	ck_assert_int_lt(n, 0);
	ck_assert_int_eq(errno, ENOSPC);
	return done;
}

static void assert_kept(int fd, uint64_t len)
{
	static char got[MIB];
	uint64_t seen = 0;
	ssize_t n;

	ok(lseek(fd, 0, SEEK_SET));
	while ((n = ok(read(fd, got, sizeof(got)))) > 0) {
		ck_assert_int_eq(memcmp(got, bytes, (size_t)n), 0);
		seen += (uint64_t)n;
	}
	ck_assert_uint_eq(seen, len);
}

START_TEST(what_was_accepted_is_kept_and_the_rest_refused)
{
	uint64_t before = free_bytes(), done;
	int fd = make("file", 0644);

	done = fill(fd, 100000);
	ck_assert_uint_le(done, before);
	ck_assert_uint_ge(done + SLACK, before);
	ck_assert_uint_le(free_bytes(), SLACK);
	fails(ENOSPC, write(fd, bytes, 1));
	ok(fsync(fd));
	assert_kept(fd, done);
	ok(close(fd));
}
END_TEST

START_TEST(the_last_bytes_are_written_in_part)
{
	uint64_t before = free_bytes();
	int fd = make("file", 0644);

	for (uint64_t at = 0; at + MIB <= before - MIB / 2; at += MIB)
		put(fd, bytes, MIB);
	ck_assert_uint_lt(free_bytes(), 3 * MIB / 2 + 1);
	(void)fill(fd, MIB);
	ck_assert_uint_le(free_bytes(), SLACK);
	ok(close(fd));
}
END_TEST

START_TEST(deleting_cutting_and_punching_make_room_at_once)
{
	int fd = make("file", 0644), other = make("other", 0644);
	uint64_t done = fill(fd, MIB);

	ok(unlink("file"));
	fails(ENOSPC, write(other, bytes, MIB)); /* still open */
	ok(close(fd));
	ck_assert_uint_ge(fill(other, MIB) + SLACK, done);
	ok(ftruncate(other, MIB));
	ok(lseek(other, 0, SEEK_END));
	ck_assert_uint_ge(fill(other, MIB) + MIB + SLACK, done);
	ok(fallocate(other, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, 4 * MIB));
	ck_assert_uint_ge(free_bytes() + SLACK, 4 * MIB);
	ck_assert_int_eq(ok(pwrite(other, bytes, MIB, 2 * MIB)), MIB);
	ok(fsync(other));
	ok(close(other));
}
END_TEST

START_TEST(overwriting_needs_no_room)
{
	int fd = make("file", 0644);
	uint64_t done = fill(fd, MIB);

	for (uint64_t at = 0; at + 10000 < done; at += 100000)
		ck_assert_int_eq(ok(pwrite(fd, bytes, 10000, (off_t)at)), 10000);
	ok(fsync(fd));
	for (uint64_t at = 5000; at + 10000 < done; at += 300000)
		ck_assert_int_eq(ok(pwrite(fd, bytes, 10000, (off_t)at)), 10000);
	ok(fsync(fd));
	assert_kept(fd, done);
	ok(close(fd));
}
END_TEST

/* XSH posix_fallocate: later writes do not fail for want of space */
START_TEST(allocated_space_can_be_written_when_all_is_full)
{
	int fd = make("allocated", 0644), other = make("file", 0644);

	ok(fallocate(fd, 0, 0, 5 * MIB));
	ok(fallocate(fd, FALLOC_FL_KEEP_SIZE, 5 * MIB, MIB));
	fails(ENOSPC, fallocate(other, 0, 0, (off_t)free_bytes() + MIB));
	ok(ftruncate(other, 0));
	(void)fill(other, MIB);
	for (int n = 0; n < 6; n++)
		ck_assert_int_eq(ok(pwrite(fd, bytes, MIB, n * MIB)), MIB);
	ok(fsync(fd));
	assert_kept(fd, 6 * MIB);
	ok(close(fd));
	ok(close(other));
}
END_TEST

START_TEST(writers_at_once_share_what_there_is)
{
	enum { WRITERS = 4 };
	uint64_t before = free_bytes(), sum = 0;
	pid_t pids[WRITERS];
	char name[16];

	for (int w = 0; w < WRITERS; w++) {
		pids[w] = (pid_t)ok(fork());
		if (pids[w])
			continue;
		snprintf(name, sizeof(name), "w%d", w);
		int fd = make(name, 0644);

		(void)fill(fd, 50000);
		ok(fsync(fd));
		_exit(0);
	}
	for (int w = 0; w < WRITERS; w++)
		await(pids[w]);
	for (int w = 0; w < WRITERS; w++) {
		snprintf(name, sizeof(name), "w%d", w);
		int fd = (int)ok(open(name, O_RDONLY));

		assert_kept(fd, (uint64_t)look(name).st_size);
		sum += (uint64_t)look(name).st_size;
		ok(close(fd));
	}
	ck_assert_uint_le(sum, before);
	ck_assert_uint_ge(sum + SLACK * WRITERS, before);
}
END_TEST

START_TEST(files_are_counted_and_a_deleted_one_makes_room)
{
	uint64_t before = room().f_ffree, made = 0;
	char name[32];
	int fd, kept = -1;

	ck_assert_uint_ge(before, 90);
	for (;; made++) {
		snprintf(name, sizeof(name), "f%llu", (unsigned long long)made);
		fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			break;
		if (made == 0)
			kept = fd;
		else
			ok(close(fd));
	}
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_uint_eq(made, before);
	ck_assert_uint_eq(room().f_ffree, 0);
	fails(ENOSPC, mkdir("dir", 0755));
	fails(ENOSPC, symlink("x", "link"));
	fails(ENOSPC, mkfifo("fifo", 0644));
	if (!on_type(MAGIC_TMPFS)) /* where a name takes as much as a file */
		ok(link("f1", "another name"));
	ok(rename("f1", "renamed"));
	ok(unlink("f0"));
	fails(ENOSPC, mkdir("dir", 0755)); /* still open */
	ok(close(kept));
	ok(mkdir("dir", 0755));
	ok(unlink("f2"));
	touch("again", 0644);
	fails(ENOSPC, mkdir("dir2", 0755));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("space");
	TCase *t = tcase_create("space");

	tcase_add_checked_fixture(t, start, remove_folder);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	suite_add_tcase(s, t);
	tcase_add_test(t, what_was_accepted_is_kept_and_the_rest_refused);
	tcase_add_test(t, the_last_bytes_are_written_in_part);
	tcase_add_test(t, deleting_cutting_and_punching_make_room_at_once);
	tcase_add_test(t, overwriting_needs_no_room);
	tcase_add_test(t, allocated_space_can_be_written_when_all_is_full);
	tcase_add_test(t, writers_at_once_share_what_there_is);
	tcase_add_test(t, files_are_counted_and_a_deleted_one_makes_room);
	return run_suite(s);
}

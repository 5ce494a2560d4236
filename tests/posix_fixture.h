/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the programs that ask a mounted filesystem what a local one would answer. They know nothing
 * of levels3fs: run on ext4 or tmpfs they pass as well, which shows that they ask the right thing.
 *
 *	LEVELS3_TEST_DIR=/mnt tests/posix_files          (as root: tests of other users' rights)
 *
 * Every test works in a fresh folder below it, and in a process of its own.
 */
#ifndef LEVELS3_TESTS_POSIX_FIXTURE_H
#define LEVELS3_TESTS_POSIX_FIXTURE_H

#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_TIMEOUT_S 240
#define UNUSED __attribute__((unused))

/* ---- saying what is expected ---- */

static inline long expect_success(long result, const char *call, int line)
{
	int error = errno;

	ck_assert_msg(result >= 0, "line %d: %s: %s", line, call, strerror(error));
	return result;
}

static inline void expect_failure(long result, int wanted, const char *call, int line)
{
	int error = errno;

	ck_assert_msg(result == -1, "line %d: %s should fail: %s", line, call, strerror(wanted));
	ck_assert_msg(error == wanted, "line %d: %s should fail: %s; but: %s", line, call,
		      strerror(wanted), strerror(error));
}

#define ok(call) expect_success((long)(call), #call, __LINE__)
#define fails(error, call) expect_failure((long)(call), error, #call, __LINE__)

/* ---- a folder for each test ---- */

static char test_dir[PATH_MAX];

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

static inline void start_in_fresh_folder(void)
{
	const char *top = getenv("LEVELS3_TEST_DIR");

	ck_assert_msg(top != NULL, "LEVELS3_TEST_DIR must name a folder of the filesystem to test");
	ck_assert_int_lt(snprintf(test_dir, sizeof(test_dir), "%s/t.XXXXXX", top), PATH_MAX);
	ck_assert_msg(mkdtemp(test_dir) != NULL, "%s: %s", test_dir, strerror(errno));
	ok(chmod(test_dir, 0777));
	ok(chdir(test_dir));
	umask(022);
}

static inline void remove_folder(void)
{
	ok(chdir("/"));
	ok(nftw(test_dir, remove_one, 32, FTW_DEPTH | FTW_PHYS));
}

/* ---- users: the effective ones, so that root can come back ---- */

static inline void be(uid_t uid, gid_t gid, size_t count, const gid_t *groups)
{
	ok(seteuid(0));
	ok(setgroups(count, groups));
	ok(setegid(gid));
	ok(seteuid(uid));
}

static UNUSED void be_user(uid_t uid, gid_t gid)
{
	be(uid, gid, 0, NULL);
}

static UNUSED void be_member(uid_t uid, gid_t gid, gid_t supplementary)
{
	be(uid, gid, 1, &supplementary);
}

static UNUSED void be_root(void)
{
	be(0, 0, 0, NULL);
}

/* ---- files ---- */

static UNUSED int make(const char *name, mode_t mode)
{
	int fd = (int)ok(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));

	ok(fchmod(fd, mode));
	return fd;
}

static UNUSED void touch(const char *name, mode_t mode)
{
	ok(close(make(name, mode)));
}

static UNUSED void put(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(ok(write(fd, bytes, len)), (long)len);
}

static UNUSED void touch_with(const char *name, const char *text)
{
	int fd = make(name, 0666);

	put(fd, text, strlen(text));
	ok(close(fd));
}

static UNUSED void assert_text(const char *name, const char *text)
{
	char got[4096] = "";
	int fd = (int)ok(open(name, O_RDONLY));

	ok(read(fd, got, sizeof(got) - 1));
	ok(close(fd));
	ck_assert_str_eq(got, text);
}

static UNUSED struct stat look(const char *name)
{
	struct stat st;

	ok(lstat(name, &st));
	return st;
}

static UNUSED unsigned mode_of(const char *name)
{
	return look(name).st_mode & 07777;
}

static UNUSED bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static UNUSED bool on_type(long magic)
{
	struct statfs s;

	ok(statfs(".", &s));
	return (long)s.f_type == magic;
}
#define MAGIC_TMPFS 0x01021994
#define MAGIC_FUSE 0x65735546
#define MAGIC_EXT4 0xef53

/* ---- processes ---- */

static UNUSED void await(pid_t pid)
{
	int status;

	ok(waitpid(pid, &status, 0));
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: status %x", status);
}

/* ---- suites ---- */

static inline TCase *posix_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, start_in_fresh_folder, remove_folder);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	suite_add_tcase(s, t);
	return t;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File handles, as an NFS server uses them: open_by_handle_at(2). They stay right when the
 * filesystem has been unmounted between:
 *
 *	CK_RUN_CASE=save posix_handles; (unmount, mount); CK_RUN_CASE=use posix_handles
 */
#include "posix_fixture.h"

#include <dirent.h>

#define HANDLE_MAX 128

struct stored {
	char name[64];
	uint64_t ino;
	int gone;
	struct {
		struct file_handle h;
		unsigned char bytes[HANDLE_MAX];
	} handle;
};

static const char *const names[] = { ".",	 "dir",	     "dir/sub", "dir/sub/file",
				     "dir/link", "dir/fifo", "doomed",	"renamed" };
#define NAMES (sizeof(names) / sizeof(names[0]))

static void enter_top(void)
{
	const char *top = getenv("LEVELS3_TEST_DIR");

	ck_assert_msg(top != NULL, "LEVELS3_TEST_DIR must name a folder of the filesystem to test");
	ok(chdir(top));
}

static void take_handle(const char *name, struct stored *s)
{
	int mount;

	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->handle.h.handle_bytes = HANDLE_MAX;
	ok(name_to_handle_at(AT_FDCWD, name, &s->handle.h, &mount, 0));
	s->ino = look(name).st_ino;
}

START_TEST(handles_are_taken)
{
	struct stored all[NAMES];
	int fd;

	ok(mkdir("dir", 0755));
	ok(mkdir("dir/sub", 0755));
	touch_with("dir/sub/file", "text");
	ok(symlink("target", "dir/link"));
	ok(mkfifo("dir/fifo", 0600));
	touch("doomed", 0644);
	touch_with("renamed", "moved");
	for (size_t n = 0; n < NAMES; n++)
		take_handle(names[n], &all[n]);
	ok(unlink("doomed"));
	all[6].gone = 1;
	touch("doomed", 0644); /* another one */
	ok(rename("renamed", "dir/other name"));
	fd = make("handles", 0600);
	put(fd, all, sizeof(all));
	ok(fsync(fd));
	ok(close(fd));
}
END_TEST

static int open_stored(struct stored *s, int flags)
{
	int mount = (int)ok(open(".", O_RDONLY | O_DIRECTORY));
	int fd = open_by_handle_at(mount, &s->handle.h, flags), error = errno;

	ok(close(mount));
	errno = error;
	return fd;
}

static void assert_stored(struct stored *s)
{
	struct stat st;
	int fd;

	if (s->gone) {
		fails(ESTALE, open_stored(s, O_PATH));
		return;
	}
	fd = (int)ok(open_stored(s, O_PATH));
	ok(fstat(fd, &st));
	ck_assert_uint_eq(st.st_ino, s->ino);
	ok(close(fd));
}

START_TEST(handles_lead_to_what_they_were_taken_of)
{
	struct stored all[NAMES];
	int fd = (int)ok(open("handles", O_RDONLY));
	char got[8] = "";

	ck_assert_int_eq(ok(read(fd, all, sizeof(all))), sizeof(all));
	ok(close(fd));
	for (size_t n = 0; n < NAMES; n++)
		assert_stored(&all[n]);
	fd = (int)ok(open_stored(&all[3], O_RDWR));
	ck_assert_int_eq(ok(read(fd, got, sizeof(got))), 4);
	ck_assert_str_eq(got, "text");
	ok(close(fd));
	fd = (int)ok(open_stored(&all[7], O_RDONLY));
	ck_assert_int_eq(ok(read(fd, got, sizeof(got))), 5);
	ok(close(fd));
	/* A folder found by its handle knows where it is. */
	fd = (int)ok(open_stored(&all[2], O_RDONLY | O_DIRECTORY));
	ok(fchdir(fd));
	ck_assert(exists("file"));
	ok(chdir("../.."));
	ck_assert(exists("handles"));
	ok(close(fd));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("handles");
	TCase *t = tcase_create("save");

	tcase_add_checked_fixture(t, enter_top, NULL);
	tcase_add_test(t, handles_are_taken);
	suite_add_tcase(s, t);
	t = tcase_create("use");
	tcase_add_checked_fixture(t, enter_top, NULL);
	tcase_add_test(t, handles_lead_to_what_they_were_taken_of);
	suite_add_tcase(s, t);
	return run_suite(s);
}

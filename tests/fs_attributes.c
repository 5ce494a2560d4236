/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attributes and extended attributes: what they may be, who changes them, which times go with it,
 * as on Linux; and that a read-only mount changes nothing.
 */
#include "fs_fixture.h"

#include <sys/xattr.h>

#define URL "mem:fs-attributes-tests"
#define ROOT FS_ROOT_INO

static void setup(void)
{
	make_fs(URL);
}

static void teardown(void)
{
	check_fs(false);
	reopen_fs(URL);
	check_fs(true);
	end_fs(URL);
}

/* ---- attributes ---- */

START_TEST(chmod_keeps_the_type_and_changes_ctime)
{
	uint64_t f = make_file(ROOT, "f");
	struct timespec t = now_of(f);
	struct fs_attr attr = { .mode = 04711 };

	must(fs_setattr(fs, f, &attr, FS_SET_MODE, &attr), "chmod");
	ck_assert_uint_eq(attr.mode, S_IFREG | 04711);
	ck_assert(later(attr.ctime, t));
}
END_TEST

/* chown(2): "the st_ctime of the file is updated", whoever it is given to. */
START_TEST(a_chown_to_nobody_new_changes_ctime_only)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_attr before = attr_of(f), after;

	must(fs_setattr(fs, f, &before, 0, &after), "chown -1 -1");
	ck_assert(later(after.ctime, before.ctime));
	after.ctime = before.ctime;
	ck_assert_mem_eq(&after, &before, sizeof(after));
}
END_TEST

START_TEST(chown_of_a_program_clears_set_id_bits)
{
	uint64_t f = make_file(ROOT, "f"), d = make_dir(ROOT, "d");
	struct fs_attr attr = { .mode = 06755 };

	must(fs_setattr(fs, f, &attr, FS_SET_MODE, NULL), "chmod");
	must(fs_setattr(fs, d, &attr, FS_SET_MODE, NULL), "chmod");
	attr.uid = 7;
	must(fs_setattr(fs, f, &attr, FS_SET_UID, &attr), "chown");
	ck_assert_uint_eq(attr.mode & 07777, 0755);
	ck_assert_uint_eq(attr.uid, 7);
	ck_assert_uint_eq(attr.gid, 1000);
	attr.mode = 06745; /* set-group-ID without running: a mandatory lock, stays */
	must(fs_setattr(fs, f, &attr, FS_SET_MODE, NULL), "chmod");
	must(fs_setattr(fs, f, &attr, FS_KILL_SUID, &attr), "as a write");
	ck_assert_uint_eq(attr.mode & 07777, 02745);
	must(fs_setattr(fs, d, &attr, FS_SET_UID, &attr), "chown");
	ck_assert_uint_eq(attr.mode & 07777, 06755);
}
END_TEST

START_TEST(times_are_set_to_the_nanosecond_even_before_1970)
{
	struct fs_attr attr = { .atime = { -5, 999999999 }, .mtime = { 4102444800, 1 } };
	uint64_t f = make_file(ROOT, "f");

	must(fs_setattr(fs, f, &attr, FS_SET_ATIME | FS_SET_MTIME, NULL), "utimens");
	reopen_fs(URL);
	attr = attr_of(f);
	ck_assert_int_eq(attr.atime.tv_sec, -5);
	ck_assert_int_eq(attr.atime.tv_nsec, 999999999);
	ck_assert_int_eq(attr.mtime.tv_sec, 4102444800);
	ck_assert_int_eq(attr.mtime.tv_nsec, 1);
	must(fs_setattr(fs, f, &attr, FS_SET_ATIME_NOW, &attr), "touch -a");
	ck_assert_int_gt(attr.atime.tv_sec, 0);
	ck_assert_int_eq(attr.mtime.tv_sec, 4102444800);
}
END_TEST

START_TEST(only_regular_files_can_be_truncated)
{
	struct fs_attr attr = { .size = 0 }, made;
	uint64_t d = make_dir(ROOT, "d");

	must(fs_mknod(fs, ROOT, "p", &nobody, S_IFIFO | 0600, 0, &made), "mkfifo");
	ck_assert_int_eq(fs_setattr(fs, d, &attr, FS_SET_SIZE, NULL), -EISDIR);
	ck_assert_int_eq(fs_setattr(fs, made.ino, &attr, FS_SET_SIZE, NULL), -EINVAL);
	attr.size = (uint64_t)FS_FILE_SIZE_MAX + 1;
	ck_assert_int_eq(fs_setattr(fs, make_file(ROOT, "f"), &attr, FS_SET_SIZE, NULL), -EFBIG);
}
END_TEST

START_TEST(what_does_not_exist_is_said_not_to)
{
	struct fs_attr attr;
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert_int_eq(fs_getattr(fs, 4711, &attr), -ENOENT);
	ck_assert_int_eq(fs_setattr(fs, 4711, &attr, FS_SET_MODE, NULL), -ENOENT);
	ck_assert_int_eq(fs_lookup(fs, 4711, "x", &attr), -ENOENT);
	ck_assert_int_eq(fs_listxattr(fs, 4711, &b), -ENOENT);
	/* and the number can be given out later */
	for (unsigned n = 0; n < 10; n++)
		ck_assert_int_eq(fs_getattr(fs, 2 + n, &attr), -ENOENT);
	ck_assert_uint_eq(attr_of(make_file(ROOT, "f")).nlink, 1);
}
END_TEST

/* ---- extended attributes ---- */

START_TEST(extended_attributes_are_set_read_listed_and_removed)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	uint64_t f = make_file(ROOT, "f");
	struct timespec t = now_of(f);

	ck_assert_int_eq(fs_getxattr(fs, f, "user.a", &b), -ENODATA);
	ck_assert_int_eq(fs_removexattr(fs, f, "user.a"), -ENODATA);
	must(fs_setxattr(fs, f, "user.a", "one", 3, 0), "setxattr");
	ck_assert(later(now_of(f), t));
	must(fs_setxattr(fs, f, "user.b", "", 0, XATTR_CREATE), "setxattr");
	ck_assert_int_eq(fs_setxattr(fs, f, "user.a", "x", 1, XATTR_CREATE), -EEXIST);
	ck_assert_int_eq(fs_setxattr(fs, f, "user.c", "x", 1, XATTR_REPLACE), -ENODATA);
	must(fs_setxattr(fs, f, "user.a", "three", 5, XATTR_REPLACE), "setxattr");
	reopen_fs(URL);
	must(fs_getxattr(fs, f, "user.a", &b), "getxattr");
	ck_assert_str_eq(buf_cstr(&b), "three");
	buf_reset(&b);
	must(fs_listxattr(fs, f, &b), "listxattr");
	ck_assert_uint_eq(b.len, 14);
	ck_assert_mem_eq(b.data, "user.a\0user.b", 14);
	must(fs_removexattr(fs, f, "user.a"), "removexattr");
	buf_reset(&b);
	ck_assert_int_eq(fs_getxattr(fs, f, "user.a", &b), -ENODATA);
	must(fs_getxattr(fs, f, "user.b", &b), "an empty value is a value");
}
END_TEST

START_TEST(extended_attributes_have_the_limits_of_linux)
{
	char name[300], *value = calloc(1, 65537);
	uint64_t f = make_file(ROOT, "f");

	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[256] = 0;
	ck_assert_int_eq(fs_setxattr(fs, f, name, "x", 1, 0), -ERANGE);
	name[255] = 0;
	must(fs_setxattr(fs, f, name, "x", 1, 0), "longest name");
	ck_assert_int_eq(fs_setxattr(fs, f, "user.v", value, 65537, 0), -E2BIG);
	must(fs_setxattr(fs, f, "user.v", value, 65536, 0), "longest value");
	ck_assert_int_eq(fs_setxattr(fs, f, "", "x", 1, 0), -ERANGE);
	ck_assert_int_eq(fs_setxattr(fs, f, "system.unknown", "x", 1, 0), -EOPNOTSUPP);
	ck_assert_int_eq(fs_setxattr(fs, f, "nothing", "x", 1, 0), -EOPNOTSUPP);
	free(value);
}
END_TEST

START_TEST(an_access_acl_and_the_mode_say_the_same)
{
	/* u::rw- u:1:rwx g::r-- m::rwx o::--- */
	static const uint8_t acl[] = { 2,   0,	 0,   0,   1,	0,   6,	 0,   255, 255, 255,
				       255, 2,	 0,   7,   0,	1,   0,	 0,   0,   4,	0,
				       4,   0,	 255, 255, 255, 255, 16, 0,   7,   0,	255,
				       255, 255, 255, 32,  0,	0,   0,	 255, 255, 255, 255 };
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct fs_attr attr = { .mode = 0640 };
	uint64_t f = make_file(ROOT, "f");
	struct timespec before;

	must(fs_setxattr(fs, f, "system.posix_acl_access", acl, sizeof(acl), 0), "setfacl");
	ck_assert_uint_eq(attr_of(f).mode & 0777, 0670);
	must(fs_setattr(fs, f, &attr, FS_SET_MODE, NULL), "chmod");
	must(fs_getxattr(fs, f, "system.posix_acl_access", &b), "getfacl");
	ck_assert_uint_eq(b.len, sizeof(acl));
	ck_assert_uint_eq(b.data[4 + 3 * 8 + 2], 4); /* the mask follows the group bits */
	ck_assert_uint_eq(b.data[4 + 2 * 8 + 2], 4); /* the group's own entry stays */
	ck_assert_int_eq(fs_setxattr(fs, f, "system.posix_acl_access", "rubbish", 7, 0), -EINVAL);
	ck_assert_int_eq(fs_setxattr(fs, f, "system.posix_acl_default", acl, sizeof(acl), 0),
			 -EACCES);
	must(fs_removexattr(fs, f, "system.posix_acl_access"), "setfacl -b");
	before = attr_of(f).ctime;
	must(fs_removexattr(fs, f, "system.posix_acl_access"), "setfacl -b of a file without ACL");
	ck_assert(!later(attr_of(f).ctime, before));
	ck_assert_uint_eq(attr_of(f).mode & 0777, 0640);
}
END_TEST

/* ---- a read-only mount ---- */

START_TEST(a_read_only_mount_reads_and_refuses_to_write)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_attr attr = { .mode = 0600 };

	write_at(f, "text", 4, 0);
	close_fs();
	config.read_only = true;
	open_fs(URL);
	ck_assert_uint_eq(find(ROOT, "f"), f);
	ck_assert_int_eq(fs_mknod(fs, ROOT, "g", &nobody, S_IFREG, 0, &attr), -EROFS);
	ck_assert_int_eq(fs_unlink(fs, ROOT, "f"), -EROFS);
	ck_assert_int_eq(fs_rename(fs, ROOT, "f", ROOT, "g", 0), -EROFS);
	ck_assert_int_eq(fs_setattr(fs, f, &attr, FS_SET_MODE, NULL), -EROFS);
	ck_assert_int_eq(fs_setxattr(fs, f, "user.a", "x", 1, 0), -EROFS);
	ck_assert_uint_eq(find(ROOT, "f"), f);
	check_fs(true);
	close_fs();
	config.read_only = false;
	open_fs(URL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("attributes");
	TCase *t = tcase_create("attributes");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_test(t, chmod_keeps_the_type_and_changes_ctime);
	tcase_add_test(t, a_chown_to_nobody_new_changes_ctime_only);
	tcase_add_test(t, chown_of_a_program_clears_set_id_bits);
	tcase_add_test(t, times_are_set_to_the_nanosecond_even_before_1970);
	tcase_add_test(t, only_regular_files_can_be_truncated);
	tcase_add_test(t, what_does_not_exist_is_said_not_to);
	tcase_add_test(t, extended_attributes_are_set_read_listed_and_removed);
	tcase_add_test(t, extended_attributes_have_the_limits_of_linux);
	tcase_add_test(t, an_access_acl_and_the_mode_say_the_same);
	tcase_add_test(t, a_read_only_mount_reads_and_refuses_to_write);
	suite_add_tcase(s, t);
	return run_suite(s);
}

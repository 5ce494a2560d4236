/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names: what mknod, mkdir, link, symlink, unlink, rmdir, rename and readdir do and refuse, as on
 * Linux; what becomes of the unlinked. Everything through the door, but for the seam that makes
 * names collide. Attributes: fs_attributes.c.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#define URL "mem:fs-namespace-tests"
#define ROOT FS_ROOT_INO

static void setup(void)
{
	make_fs(URL);
}

static void teardown(void)
{
	orphan_drain(fs);
	check_fs(false);
	reopen_fs(URL);
	check_fs(true);
	end_fs(URL);
}

static uint64_t inodes_used(void)
{
	struct fs_statfs s;

	must(fs_statfs(fs, &s), "statfs");
	return s.inodes_used;
}

/* ---- making ---- */

START_TEST(a_new_file_has_its_owner_mode_and_times)
{
	struct fs_attr attr;

	must(fs_mknod(fs, ROOT, "f", &nobody, S_IFREG | 0640, 0, &attr), "mknod");
	ck_assert_uint_eq(attr.mode, S_IFREG | 0640);
	ck_assert_uint_eq(attr.uid, 1000);
	ck_assert_uint_eq(attr.gid, 1000);
	ck_assert_uint_eq(attr.nlink, 1);
	ck_assert_uint_eq(attr.size, 0);
	ck_assert_uint_eq(attr.blocks, 0);
	ck_assert_int_eq(attr.btime.tv_sec, attr.mtime.tv_sec);
	ck_assert_uint_eq(find(ROOT, "f"), attr.ino);
}
END_TEST

START_TEST(devices_fifos_and_sockets_keep_type_and_number)
{
	static const uint32_t types[] = { S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	struct fs_attr attr;
	char name[8];

	for (unsigned n = 0; n < ARRAY_LEN(types); n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		must(fs_mknod(fs, ROOT, name, &nobody, types[n] | 0600, 0x123, &attr), name);
		ck_assert_uint_eq(attr.mode & S_IFMT, types[n]);
		ck_assert_uint_eq(attr.rdev, n < 2 ? 0x123 : 0);
	}
	ck_assert_int_eq(fs_mknod(fs, ROOT, "d", &nobody, S_IFDIR | 0755, 0, &attr), -EPERM);
}
END_TEST

START_TEST(a_name_can_be_made_only_once)
{
	struct fs_attr attr;

	make_file(ROOT, "f");
	ck_assert_int_eq(fs_mknod(fs, ROOT, "f", &nobody, S_IFREG, 0, &attr), -EEXIST);
	ck_assert_int_eq(fs_mkdir(fs, ROOT, "f", &nobody, 0755, &attr), -EEXIST);
	ck_assert_int_eq(fs_symlink(fs, ROOT, "f", &nobody, "x", &attr), -EEXIST);
	ck_assert_int_eq(fs_mkdir(fs, ROOT, ".", &nobody, 0755, &attr), -EEXIST);
	ck_assert_int_eq(fs_mkdir(fs, ROOT, "..", &nobody, 0755, &attr), -EEXIST);
}
END_TEST

START_TEST(names_have_up_to_255_bytes)
{
	char name[258];
	struct fs_attr attr;

	memset(name, 'n', sizeof(name));
	name[255] = 0;
	make_file(ROOT, name);
	ck_assert_uint_ne(find(ROOT, name), 0);
	name[255] = 'n';
	name[256] = 0;
	ck_assert_int_eq(fs_mknod(fs, ROOT, name, &nobody, S_IFREG, 0, &attr), -ENAMETOOLONG);
	ck_assert_int_eq(fs_lookup(fs, ROOT, name, &attr), -ENAMETOOLONG);
	ck_assert_int_eq(fs_unlink(fs, ROOT, name), -ENAMETOOLONG);
	ck_assert_int_eq(fs_rename(fs, ROOT, name, ROOT, "x", 0), -ENAMETOOLONG);
	ck_assert_int_eq(fs_mknod(fs, ROOT, "", &nobody, S_IFREG, 0, &attr), -ENOENT);
}
END_TEST

START_TEST(a_file_is_no_folder)
{
	uint64_t f = make_file(ROOT, "f"), d = make_dir(ROOT, "d");
	struct fs_attr attr;

	ck_assert_int_eq(fs_lookup(fs, f, "x", &attr), -ENOTDIR);
	ck_assert_int_eq(fs_mknod(fs, f, "x", &nobody, S_IFREG, 0, &attr), -ENOTDIR);
	ck_assert_int_eq(fs_rename(fs, ROOT, "d", f, "x", 0), -ENOTDIR);
	ck_assert_int_eq(fs_link(fs, f, f, "x", &attr), -ENOTDIR);
	ck_assert_int_eq(fs_rmdir(fs, ROOT, "f"), -ENOTDIR);
	ck_assert_int_eq(fs_unlink(fs, ROOT, "d"), -EISDIR);
	ck_assert_int_eq(fs_link(fs, d, ROOT, "x", &attr), -EPERM);
}
END_TEST

START_TEST(folders_count_their_subfolders_as_links)
{
	uint64_t d = make_dir(ROOT, "d");

	ck_assert_uint_eq(attr_of(d).nlink, 2);
	make_dir(d, "a");
	make_dir(d, "b");
	make_file(d, "f");
	ck_assert_uint_eq(attr_of(d).nlink, 4);
	must(fs_rmdir(fs, d, "a"), "rmdir");
	ck_assert_uint_eq(attr_of(d).nlink, 3);
	ck_assert_uint_eq(attr_of(ROOT).nlink, 3);
}
END_TEST

START_TEST(making_and_removing_changes_the_times_of_the_folder)
{
	uint64_t d = make_dir(ROOT, "d");
	struct timespec t = now_of(d);

	make_file(d, "f");
	ck_assert(later(now_of(d), t));
	ck_assert(later(attr_of(d).mtime, t));
	t = now_of(d);
	must(fs_unlink(fs, d, "f"), "unlink");
	ck_assert(later(attr_of(d).mtime, t));
}
END_TEST

START_TEST(a_set_group_id_folder_passes_on_its_group)
{
	struct fs_attr attr = { .mode = S_ISGID | 0775, .gid = 50 };
	uint64_t d = make_dir(ROOT, "d");

	must(fs_setattr(fs, d, &attr, FS_SET_GID, &attr), "chown");
	attr.mode = S_ISGID | 0775;
	must(fs_setattr(fs, d, &attr, FS_SET_MODE, &attr), "chmod");
	ck_assert_uint_eq(attr_of(make_file(d, "f")).gid, 50);
	attr = attr_of(make_dir(d, "sub"));
	ck_assert_uint_eq(attr.gid, 50);
	ck_assert(attr.mode & S_ISGID);
}
END_TEST

START_TEST(the_umask_counts_unless_the_folder_has_a_default_acl)
{
	/* u::rwx g::rwx o::r-x, mask absent */
	static const uint8_t acl[] = {
		2, 0, 0,   0,	1,   0,	  7,  0, 255, 255, 255, 255, 4,	  0,
		7, 0, 255, 255, 255, 255, 32, 0, 5,   0,   255, 255, 255, 255
	};
	struct fs_cred cred = { 1000, 1000, 027 };
	uint64_t d = make_dir(ROOT, "d");
	struct fs_attr attr;

	must(fs_mknod(fs, d, "a", &cred, S_IFREG | 0666, 0, &attr), "mknod");
	ck_assert_uint_eq(attr.mode & 07777, 0640);
	must(fs_setxattr(fs, d, "system.posix_acl_default", acl, sizeof(acl), 0), "default acl");
	must(fs_mknod(fs, d, "b", &cred, S_IFREG | 0666, 0, &attr), "mknod");
	ck_assert_uint_eq(attr.mode & 07777, 0664);
	must(fs_mkdir(fs, d, "sub", &cred, 0777, &attr), "mkdir");
	ck_assert_uint_eq(attr.mode & 07777, 0775);
	must(fs_mknod(fs, attr.ino, "c", &cred, S_IFREG | 0666, 0, &attr), "mknod below");
	ck_assert_uint_eq(attr.mode & 07777, 0664);
}
END_TEST

START_TEST(a_symlink_gives_back_its_target)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	char *longest = malloc(4097);
	struct fs_attr attr;

	must(fs_symlink(fs, ROOT, "s", &nobody, "../far/away", &attr), "symlink");
	ck_assert_uint_eq(attr.size, 11);
	ck_assert_uint_eq(attr.mode, S_IFLNK | 0777);
	must(fs_readlink(fs, attr.ino, &b), "readlink");
	ck_assert_str_eq(buf_cstr(&b), "../far/away");
	ck_assert_int_eq(fs_readlink(fs, ROOT, &b), -EINVAL);
	memset(longest, 'x', 4096);
	longest[4096] = 0;
	ck_assert_int_eq(fs_symlink(fs, ROOT, "t", &nobody, longest, &attr), -ENAMETOOLONG);
	longest[4095] = 0;
	must(fs_symlink(fs, ROOT, "t", &nobody, longest, &attr), "longest symlink");
	ck_assert_int_eq(fs_symlink(fs, ROOT, "u", &nobody, "", &attr), -ENOENT);
	free(longest);
}
END_TEST

START_TEST(the_dots_can_be_looked_up)
{
	uint64_t a = make_dir(ROOT, "a"), b = make_dir(a, "b"), f = make_file(b, "f");

	ck_assert_uint_eq(find(b, "."), b);
	ck_assert_uint_eq(find(b, ".."), a);
	ck_assert_uint_eq(find(ROOT, ".."), ROOT);
	ck_assert_uint_eq(find(f, "."), f);
}
END_TEST

START_TEST(nothing_can_be_made_in_a_removed_folder)
{
	uint64_t d = make_dir(ROOT, "d"), f = make_file(ROOT, "f");
	struct fs_attr attr;

	fs_reap_without_forget(fs, false);
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	ck_assert_int_eq(fs_mknod(fs, d, "x", &nobody, S_IFREG, 0, &attr), -ENOENT);
	ck_assert_int_eq(fs_mkdir(fs, d, "x", &nobody, 0755, &attr), -ENOENT);
	ck_assert_int_eq(fs_link(fs, f, d, "x", &attr), -ENOENT);
	ck_assert_int_eq(fs_rename(fs, ROOT, "f", d, "x", 0), -ENOENT);
}
END_TEST

/* ---- linking and removing ---- */

START_TEST(hard_links_are_one_file_with_a_count)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_attr attr;
	struct timespec t = now_of(f);

	must(fs_link(fs, f, ROOT, "g", &attr), "link");
	ck_assert_uint_eq(attr.nlink, 2);
	ck_assert_uint_eq(find(ROOT, "g"), f);
	ck_assert(later(attr.ctime, t));
	ck_assert_int_eq(fs_link(fs, f, ROOT, "g", &attr), -EEXIST);
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	ck_assert_uint_eq(attr_of(f).nlink, 1);
	ck_assert_uint_eq(find(ROOT, "f"), 0);
	ck_assert_int_eq(fs_unlink(fs, ROOT, "f"), -ENOENT);
}
END_TEST

START_TEST(a_file_has_at_most_65000_links)
{
	uint64_t f = make_file(ROOT, "f"), d = make_dir(ROOT, "d");
	struct fs_attr attr;
	char name[16];

	for (unsigned n = 1; n < 65000; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		must(fs_link(fs, f, d, name, &attr), name);
	}
	ck_assert_int_eq(fs_link(fs, f, d, "more", &attr), -EMLINK);
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	must(fs_link(fs, f, d, "more", &attr), "link again");
}
END_TEST

START_TEST(only_empty_folders_are_removed)
{
	uint64_t d = make_dir(ROOT, "d");

	make_file(d, "f");
	ck_assert_int_eq(fs_rmdir(fs, ROOT, "d"), -ENOTEMPTY);
	must(fs_unlink(fs, d, "f"), "unlink");
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	ck_assert_uint_eq(find(ROOT, "d"), 0);
	ck_assert_int_eq(fs_rmdir(fs, ROOT, "d"), -ENOENT);
	ck_assert_int_eq(fs_rmdir(fs, ROOT, "."), -EINVAL);
	ck_assert_int_eq(fs_rmdir(fs, ROOT, ".."), -ENOTEMPTY);
}
END_TEST

START_TEST(an_unlinked_file_goes_with_all_it_had)
{
	uint64_t before = inodes_used(), f = make_file(ROOT, "f");
	char *bytes = calloc(1, 300000);
	struct fs_attr attr;
	struct fs_statfs s;

	memset(bytes, 'b', 300000);
	write_at(f, bytes, 300000, 0);
	must(fs_setxattr(fs, f, "user.a", "1", 1, 0), "setxattr");
	must(fs_fsync(fs, f), "fsync");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
	ck_assert_uint_eq(inodes_used(), before);
	must(fs_statfs(fs, &s), "statfs");
	ck_assert_uint_eq(s.used_bytes, 0);
	ck_assert_uint_eq(check_fs(false).extents, 0);
	free(bytes);
}
END_TEST

START_TEST(an_unlinked_open_file_lives_until_its_last_close)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_file *one, *two;
	struct fs_attr attr;
	char got[6] = "";

	must(fs_file_open(fs, f, true, false, &one), "open");
	must(fs_file_open(fs, f, false, false, &two), "open");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	ck_assert_int_eq(fs_write(one, "hello", 5, 0, false, false), 5);
	fs_file_close(one);
	orphan_drain(fs);
	ck_assert_int_eq(fs_read(two, got, 5, 0), 5);
	ck_assert_str_eq(got, "hello");
	ck_assert_uint_eq(attr_of(f).nlink, 0);
	check_fs(false);
	fs_file_close(two);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
}
END_TEST

START_TEST(a_kernel_that_forgets_decides_when_the_unlinked_go)
{
	uint64_t f = make_file(ROOT, "f"), d = make_dir(ROOT, "d"), live = make_file(ROOT, "live");
	struct fs_attr attr;
	struct fs_file *file;

	fs_reap_without_forget(fs, false);
	must(fs_file_open(fs, f, true, false, &file), "open");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	fs_forget(fs, live);
	fs_forget(fs, 123456789);
	orphan_drain(fs);
	ck_assert_uint_eq(attr_of(f).nlink, 0);
	ck_assert_uint_eq(attr_of(d).nlink, 0);
	ck_assert_uint_eq(attr_of(live).nlink, 1);
	fs_forget(fs, d);
	fs_forget(fs, f); /* before its close has come through */
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, d, &attr), -ENOENT);
	ck_assert_uint_eq(attr_of(f).nlink, 0);
	fs_file_close(file);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
}
END_TEST

START_TEST(what_was_not_forgotten_in_time_goes_at_the_next_mount)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_attr attr;

	fs_reap_without_forget(fs, false);
	write_at(f, "bytes", 5, 0);
	must(fs_fsync(fs, f), "fsync");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	ck_assert_uint_eq(check_fs(false).orphans, 1);
	reopen_fs(URL);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, f, &attr), -ENOENT);
	ck_assert_uint_eq(check_fs(false).orphans, 0);
}
END_TEST

START_TEST(a_nameless_file_may_get_a_name_or_goes_at_its_close)
{
	struct fs_attr attr;
	struct fs_file *file;
	uint64_t kept, lost;

	must(fs_tmpfile(fs, ROOT, &nobody, 0600, &attr), "tmpfile");
	kept = attr.ino;
	ck_assert_uint_eq(attr.nlink, 0);
	must(fs_file_open(fs, kept, true, false, &file), "open");
	ck_assert_int_eq(fs_write(file, "kept", 4, 0, false, false), 4);
	check_fs(false);
	must(fs_link(fs, kept, ROOT, "kept", &attr), "link");
	ck_assert_uint_eq(attr.nlink, 1);
	fs_file_close(file);
	must(fs_tmpfile(fs, ROOT, &nobody, 0600, &attr), "tmpfile");
	lost = attr.ino;
	must(fs_file_open(fs, lost, true, false, &file), "open");
	fs_file_close(file);
	orphan_drain(fs);
	ck_assert_uint_eq(find(ROOT, "kept"), kept);
	ck_assert_int_eq(fs_getattr(fs, lost, &attr), -ENOENT);
}
END_TEST

START_TEST(an_unlinked_file_cannot_get_a_name_again)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_file *file;
	struct fs_attr attr;

	must(fs_file_open(fs, f, true, false, &file), "open");
	must(fs_unlink(fs, ROOT, "f"), "unlink");
	ck_assert_int_eq(fs_link(fs, f, ROOT, "g", &attr), -ENOENT);
	fs_file_close(file);
}
END_TEST

START_TEST(inode_numbers_are_never_given_out_again)
{
	uint64_t last = 0;

	for (unsigned round = 0; round < 4; round++) {
		uint64_t f = make_file(ROOT, "f");

		ck_assert_uint_gt(f, last);
		last = f;
		must(fs_unlink(fs, ROOT, "f"), "unlink");
		orphan_drain(fs);
		reopen_fs(URL);
	}
}
END_TEST

/* ---- renaming ---- */

START_TEST(rename_moves_a_name)
{
	uint64_t a = make_dir(ROOT, "a"), b = make_dir(ROOT, "b"), f = make_file(a, "f");
	struct timespec t = now_of(f);

	must(fs_rename(fs, a, "f", b, "g", 0), "rename");
	ck_assert_uint_eq(find(a, "f"), 0);
	ck_assert_uint_eq(find(b, "g"), f);
	ck_assert(later(now_of(f), t));
	ck_assert(later(attr_of(a).mtime, t));
	ck_assert(later(attr_of(b).mtime, t));
	ck_assert_int_eq(fs_rename(fs, a, "f", b, "h", 0), -ENOENT);
	must(fs_rename(fs, b, "g", b, "h", 0), "rename in place");
	ck_assert_uint_eq(find(b, "h"), f);
}
END_TEST

START_TEST(rename_replaces_a_file)
{
	uint64_t f = make_file(ROOT, "f"), g = make_file(ROOT, "g");
	struct fs_attr attr;

	must(fs_rename(fs, ROOT, "f", ROOT, "g", 0), "rename");
	ck_assert_uint_eq(find(ROOT, "g"), f);
	ck_assert_uint_eq(find(ROOT, "f"), 0);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, g, &attr), -ENOENT);
	ck_assert_uint_eq(check_fs(false).dentries, 1);
}
END_TEST

START_TEST(rename_replaces_only_its_like)
{
	uint64_t d = make_dir(ROOT, "d"), e = make_dir(ROOT, "e");
	struct fs_attr attr;

	make_file(ROOT, "f");
	make_file(e, "x");
	ck_assert_int_eq(fs_rename(fs, ROOT, "f", ROOT, "d", 0), -EISDIR);
	ck_assert_int_eq(fs_rename(fs, ROOT, "d", ROOT, "f", 0), -ENOTDIR);
	ck_assert_int_eq(fs_rename(fs, ROOT, "d", ROOT, "e", 0), -ENOTEMPTY);
	must(fs_unlink(fs, e, "x"), "unlink");
	must(fs_rename(fs, ROOT, "d", ROOT, "e", 0), "over an empty folder");
	ck_assert_uint_eq(find(ROOT, "e"), d);
	ck_assert_uint_eq(attr_of(ROOT).nlink, 3);
	orphan_drain(fs);
	ck_assert_int_eq(fs_getattr(fs, e, &attr), -ENOENT);
}
END_TEST

START_TEST(a_folder_moves_with_its_parent_link)
{
	uint64_t a = make_dir(ROOT, "a"), b = make_dir(ROOT, "b"), d = make_dir(a, "d");

	must(fs_rename(fs, a, "d", b, "d", 0), "rename");
	ck_assert_uint_eq(find(d, ".."), b);
	ck_assert_uint_eq(attr_of(a).nlink, 2);
	ck_assert_uint_eq(attr_of(b).nlink, 3);
}
END_TEST

START_TEST(a_folder_cannot_go_below_itself)
{
	uint64_t a = make_dir(ROOT, "a"), b = make_dir(a, "b"), c = make_dir(b, "c");

	ck_assert_int_eq(fs_rename(fs, ROOT, "a", a, "x", 0), -EINVAL);
	ck_assert_int_eq(fs_rename(fs, ROOT, "a", c, "x", 0), -EINVAL);
	ck_assert_int_eq(fs_rename(fs, ROOT, "a", c, "x", FS_RENAME_NOREPLACE), -EINVAL);
	ck_assert_int_eq(fs_rename(fs, b, "c", ROOT, "a", 0), -ENOTEMPTY);
	ck_assert_int_eq(fs_rename(fs, b, "c", ROOT, "a", FS_RENAME_EXCHANGE), -EINVAL);
	ck_assert_int_eq(fs_rename(fs, ROOT, "a", b, "c", FS_RENAME_EXCHANGE), -EINVAL);
}
END_TEST

START_TEST(renaming_one_name_of_a_file_over_another_does_nothing)
{
	uint64_t f = make_file(ROOT, "f");
	struct fs_attr attr;

	must(fs_link(fs, f, ROOT, "g", &attr), "link");
	must(fs_rename(fs, ROOT, "f", ROOT, "g", 0), "rename");
	ck_assert_uint_eq(find(ROOT, "f"), f);
	ck_assert_uint_eq(find(ROOT, "g"), f);
	ck_assert_uint_eq(attr_of(f).nlink, 2);
	must(fs_rename(fs, ROOT, "f", ROOT, "f", 0), "onto itself");
}
END_TEST

START_TEST(noreplace_does_not_replace)
{
	uint64_t f = make_file(ROOT, "f");

	make_file(ROOT, "g");
	ck_assert_int_eq(fs_rename(fs, ROOT, "f", ROOT, "g", FS_RENAME_NOREPLACE), -EEXIST);
	must(fs_rename(fs, ROOT, "f", ROOT, "h", FS_RENAME_NOREPLACE), "rename");
	ck_assert_uint_eq(find(ROOT, "h"), f);
}
END_TEST

START_TEST(exchange_swaps_whatever_there_is)
{
	uint64_t a = make_dir(ROOT, "a"), b = make_dir(ROOT, "b");
	uint64_t f = make_file(a, "f"), d = make_dir(b, "d");

	must(fs_rename(fs, a, "f", b, "d", FS_RENAME_EXCHANGE), "exchange");
	ck_assert_uint_eq(find(a, "f"), d);
	ck_assert_uint_eq(find(b, "d"), f);
	ck_assert_uint_eq(find(d, ".."), a);
	ck_assert_uint_eq(attr_of(a).nlink, 3);
	ck_assert_uint_eq(attr_of(b).nlink, 2);
	ck_assert_int_eq(fs_rename(fs, a, "f", b, "none", FS_RENAME_EXCHANGE), -ENOENT);
	ck_assert_int_eq(fs_rename(fs, a, "f", b, "d", FS_RENAME_EXCHANGE | FS_RENAME_NOREPLACE),
			 -EINVAL);
}
END_TEST

/* ---- names with one hash ---- */

START_TEST(names_with_equal_hashes_do_not_get_in_each_others_way)
{
	uint64_t d, ino[50];
	char name[16], to[16];

	fs->hash_blind = ~(uint64_t)1; /* two runs */
	d = make_dir(ROOT, "d");
	for (unsigned n = 0; n < 50; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		ino[n] = make_file(d, name);
	}
	for (unsigned n = 0; n < 50; n += 3) {
		(void)snprintf(name, sizeof(name), "%u", n);
		must(fs_unlink(fs, d, name), name);
	}
	for (unsigned n = 1; n < 50; n += 3) {
		(void)snprintf(name, sizeof(name), "%u", n);
		(void)snprintf(to, sizeof(to), "to-%u", n);
		must(fs_rename(fs, d, name, d, to, 0), name);
	}
	for (unsigned n = 0; n < 50; n++) {
		(void)snprintf(name, sizeof(name), n % 3 == 1 ? "to-%u" : "%u", n);
		ck_assert_uint_eq(find(d, name), n % 3 == 0 ? 0 : ino[n]);
	}
	check_fs(false);
	for (unsigned n = 0; n < 50; n++) {
		(void)snprintf(name, sizeof(name), n % 3 == 1 ? "to-%u" : "%u", n);
		if (n % 3)
			must(fs_unlink(fs, d, name), name);
	}
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	fs->hash_blind = 0;
}
END_TEST

START_TEST(a_run_of_equal_hashes_ends_at_256_names_with_an_error)
{
	struct fs_attr attr;
	char name[16];
	uint64_t d;

	fs->hash_blind = UINT64_MAX;
	d = make_dir(ROOT, "d");
	for (unsigned n = 0; n < 256; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		make_file(d, name);
	}
	ck_assert_int_eq(fs_mknod(fs, d, "more", &nobody, S_IFREG, 0, &attr), -ENOSPC);
	must(fs_rename(fs, d, "7", d, "more", 0), "rename within the run");
	ck_assert_int_eq(fs_mknod(fs, d, "7", &nobody, S_IFREG, 0, &attr), -ENOSPC);
	must(fs_unlink(fs, d, "100"), "unlink");
	make_file(d, "7");
	for (unsigned n = 0; n < 256; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		if (n != 100)
			must(fs_unlink(fs, d, name), name);
	}
	must(fs_unlink(fs, d, "more"), "unlink");
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	fs->hash_blind = 0;
}
END_TEST

static TCase *group(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	suite_add_tcase(s, t);
	return t;
}

static void add_making(Suite *s)
{
	TCase *t = group(s, "making");

	tcase_add_test(t, a_new_file_has_its_owner_mode_and_times);
	tcase_add_test(t, devices_fifos_and_sockets_keep_type_and_number);
	tcase_add_test(t, a_name_can_be_made_only_once);
	tcase_add_test(t, names_have_up_to_255_bytes);
	tcase_add_test(t, a_file_is_no_folder);
	tcase_add_test(t, folders_count_their_subfolders_as_links);
	tcase_add_test(t, making_and_removing_changes_the_times_of_the_folder);
	tcase_add_test(t, a_set_group_id_folder_passes_on_its_group);
	tcase_add_test(t, the_umask_counts_unless_the_folder_has_a_default_acl);
	tcase_add_test(t, a_symlink_gives_back_its_target);
	tcase_add_test(t, the_dots_can_be_looked_up);
	tcase_add_test(t, nothing_can_be_made_in_a_removed_folder);
}

static void add_removing(Suite *s)
{
	TCase *t = group(s, "linking and removing");

	tcase_add_test(t, hard_links_are_one_file_with_a_count);
	tcase_add_test(t, a_file_has_at_most_65000_links);
	tcase_add_test(t, only_empty_folders_are_removed);
	tcase_add_test(t, an_unlinked_file_goes_with_all_it_had);
	tcase_add_test(t, an_unlinked_open_file_lives_until_its_last_close);
	tcase_add_test(t, a_kernel_that_forgets_decides_when_the_unlinked_go);
	tcase_add_test(t, what_was_not_forgotten_in_time_goes_at_the_next_mount);
	tcase_add_test(t, a_nameless_file_may_get_a_name_or_goes_at_its_close);
	tcase_add_test(t, an_unlinked_file_cannot_get_a_name_again);
	tcase_add_test(t, inode_numbers_are_never_given_out_again);
}

static void add_renaming(Suite *s)
{
	TCase *t = group(s, "renaming");

	tcase_add_test(t, rename_moves_a_name);
	tcase_add_test(t, rename_replaces_a_file);
	tcase_add_test(t, rename_replaces_only_its_like);
	tcase_add_test(t, a_folder_moves_with_its_parent_link);
	tcase_add_test(t, a_folder_cannot_go_below_itself);
	tcase_add_test(t, renaming_one_name_of_a_file_over_another_does_nothing);
	tcase_add_test(t, noreplace_does_not_replace);
	tcase_add_test(t, exchange_swaps_whatever_there_is);
}

static void add_collisions(Suite *s)
{
	/* The final check would not find names by their true hashes, so these clean up themselves.
	 */
	TCase *t = group(s, "names with one hash");

	tcase_add_test(t, names_with_equal_hashes_do_not_get_in_each_others_way);
	tcase_add_test(t, a_run_of_equal_hashes_ends_at_256_names_with_an_error);
}

int main(void)
{
	Suite *s = suite_create("names in a filesystem");

	add_making(s);
	add_removing(s);
	add_renaming(s);
	add_collisions(s);
	return run_suite(s);
}

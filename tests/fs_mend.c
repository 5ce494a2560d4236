/* SPDX-License-Identifier: BSD-3-Clause */
/* fsck --repair: names, inodes, attributes, totals; and how a repair behaves as a whole. */
#include "fs_mend.h"

#include <dirent.h>

static void damage_file_inode(void)
{
	remove_inode(file);
}

static void file_is_gone(void)
{
	ck_assert_uint_eq(find(dir, "file"), 0);
	ck_assert_uint_eq(find(sub, "other"), 0);
	big_is_whole(find(ROOT, "big"));
	must(fs_rmdir(fs, dir, "sub"), "rmdir");
	must(fs_rmdir(fs, ROOT, "dir"), "rmdir");
}

static void damage_big_inode(void)
{
	remove_inode(big);
}

static void big_is_back_in_place(void)
{
	ck_assert_uint_eq(find(ROOT, "big"), big);
	big_is_whole(big);
	ck_assert_uint_eq(attr_of(big).mode, S_IFREG | 0600);
}

static void damage_big_inode_bytes(void)
{
	struct key k;

	key_inode(&k, big);
	put_garbage(&k);
}

static void damage_dir_inode(void)
{
	remove_inode(dir);
}

static void dir_is_back(void)
{
	ck_assert_uint_eq(find(ROOT, "dir"), dir);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(attr_of(dir).nlink, 3);
}

static void damage_file_entry(void)
{
	remove_entry(dir, "file");
}

static void file_has_one_name(void)
{
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(attr_of(file).nlink, 1);
}

static void damage_big_entry(void)
{
	remove_entry(ROOT, "big");
}

static void big_is_in_lost_found(void)
{
	ck_assert_uint_eq(in_lost_found(big), big);
	big_is_whole(big);
	ck_assert_uint_eq(attr_of(big).nlink, 1);
}

static void damage_dir_entry(void)
{
	remove_entry(ROOT, "dir");
}

static void dir_is_in_lost_found(void)
{
	ck_assert_uint_eq(in_lost_found(dir), dir);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(find(dir, ".."), find(ROOT, "lost+found"));
}

static void damage_entry_bytes(void)
{
	struct key k;

	key_dentry(&k, ROOT, key_cookie(fs, "big", 0));
	put_garbage(&k);
}

static void one_link_more(struct attr *a)
{
	a->nlink++;
}

static void damage_links(void)
{
	edit_inode(file, one_link_more);
}

static void damage_folder_links(void)
{
	edit_inode(dir, one_link_more);
}

static void one_entry_more(struct attr *a)
{
	a->entries++;
}

static void damage_entry_count(void)
{
	edit_inode(dir, one_entry_more);
}

static void ring(void)
{
	remove_entry(ROOT, "dir");
	put_entry(sub, DT_DIR, dir, "dir");
}

static void ring_is_in_lost_found(void)
{
	uint64_t a = in_lost_found(dir), b = in_lost_found(sub);

	ck_assert(a == dir || b == sub);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
}

static void parent_is_self(struct attr *a)
{
	a->parent = sub;
}

static void damage_parent(void)
{
	edit_inode(sub, parent_is_self);
}

static void parent_is_right(void)
{
	all_is_there();
	ck_assert_uint_eq(find(sub, ".."), dir);
}

static void second_folder_name(void)
{
	put_entry(ROOT, DT_DIR, sub, "again");
}

static void folder_has_one_name(void)
{
	all_is_there();
	ck_assert_uint_eq(find(ROOT, "again"), 0);
}

static void misplaced(void)
{
	remove_entry(dir, "file");
	put_entry_at(dir, key_cookie(fs, "else", 0), DT_REG, file, "file");
}

static void gap_in_run(void)
{
	remove_entry(dir, "file");
	put_entry_at(dir, key_cookie(fs, "file", 1), DT_REG, file, "file");
}

static void twice_the_same(void)
{
	put_entry_at(dir, key_cookie(fs, "file", 0) + 1, DT_REG, big, "file");
	put_entry_at(dir, key_cookie(fs, "else", 0), DT_REG, file, "file");
}

static void wrong_type(void)
{
	put_entry(dir, DT_SOCK, file, "file");
}

static void dot_entry(void)
{
	put_entry(dir, DT_REG, file, ".");
}

static void entries_of_a_file(void)
{
	put_entry(big, DT_REG, file, "inside");
}

static void orphan_with_names(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_orphan(&k, file);
	orphan_encode(&value, &(struct orphan_record){ .whole = true });
	put_value(&k, &value);
}

static void orphan_of_nobody(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_orphan(&k, 4711);
	orphan_encode(&value, &(struct orphan_record){ .whole = true });
	put_value(&k, &value);
}

static void no_links(struct attr *a)
{
	a->nlink = 0;
}

static void forgotten(void)
{
	remove_entry(ROOT, "big");
	edit_inode(big, no_links);
}

static void no_flags(struct attr *a)
{
	a->flags = 0;
}

static void denied_xattr(void)
{
	edit_inode(file, no_flags);
}

static void xattr_is_there(void)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	all_is_there();
	must(fs_getxattr(fs, file, "user.a", &b), "getxattr");
}

static void xattr_of_nobody(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_xattr(&k, 4711, "user.b");
	xattr_encode(&value, "2", 1);
	put_value(&k, &value);
}

static void bad_acl(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_xattr(&k, file, "system.posix_acl_access");
	xattr_encode(&value, "nonsense", 8);
	put_value(&k, &value);
}

static void unknown_key(void)
{
	struct key k = { .len = 2, .bytes = { 'Z', 'z' } };

	put_garbage(&k);
}

static void nul_in_target(struct attr *a)
{
	a->target.data[3] = 0;
}

static void damage_target(void)
{
	edit_inode(link_ino, nul_in_target);
}

static void target_is_cut(void)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	must(fs_readlink(fs, link_ino, &b), "readlink");
	ck_assert_str_eq(buf_cstr(&b), "dir");
}

static void lost_root(void)
{
	remove_inode(ROOT);
}

static void lost_totals(void)
{
	struct key k;

	key_totals(&k);
	remove_key(&k);
}

static void wrong_totals(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_totals(&k);
	totals_encode(&value, &(struct totals){ 3, 99, 5 });
	put_value(&k, &value);
}

static void numbers_go_on(void)
{
	all_is_there();
	ck_assert_uint_gt(make_file(ROOT, "new"), link_ino);
}

static const struct damage damages[] = {
	{ "inode of an empty file", damage_file_inode, nothing, "inode-missing", file_is_gone },
	{ "inode of a file with bytes", damage_big_inode, nothing, "inode-missing",
	  big_is_back_in_place },
	{ "record of an inode", damage_big_inode_bytes, nothing, "bad-record",
	  big_is_back_in_place },
	{ "inode of a folder", damage_dir_inode, nothing, "inode-missing", dir_is_back },
	{ "one of two names", damage_file_entry, nothing, "link-count", file_has_one_name },
	{ "only name", damage_big_entry, nothing, "link-count", big_is_in_lost_found },
	{ "name of a folder", damage_dir_entry, nothing, "no-name", dir_is_in_lost_found },
	{ "record of an entry", damage_entry_bytes, nothing, "bad-record", big_is_in_lost_found },
	{ "link count", damage_links, nothing, "link-count", all_is_there },
	{ "link count of a folder", damage_folder_links, nothing, "link-count", all_is_there },
	{ "count of names", damage_entry_count, nothing, "entry-count", all_is_there },
	{ "folders in a ring", ring, nothing, "folder-unreachable", ring_is_in_lost_found },
	{ "parent", damage_parent, nothing, "folder-parent", parent_is_right },
	{ "folder with two names", second_folder_name, nothing, "folder-names",
	  folder_has_one_name },
	{ "name in the wrong place", misplaced, nothing, "entry-place", all_is_there },
	{ "gap in a run of names", gap_in_run, nothing, "entry-place", all_is_there },
	{ "a name twice", twice_the_same, nothing, "entry-place", all_is_there },
	{ "type in an entry", wrong_type, nothing, "entry-type", all_is_there },
	{ "an entry \".\"", dot_entry, nothing, "entry-name", all_is_there },
	{ "entries of a file", entries_of_a_file, nothing, "entry-folder", is_set_aside },
	{ "orphan with names", orphan_with_names, nothing, "orphan", all_is_there },
	{ "orphan that is missing", orphan_of_nobody, nothing, "orphan", all_is_there },
	{ "orphan that nobody knows", forgotten, nothing, "no-name", big_is_in_lost_found },
	{ "attribute denied", denied_xattr, nothing, "xattr", xattr_is_there },
	{ "attribute of nobody", xattr_of_nobody, nothing, "inode-missing", is_set_aside },
	{ "ACL", bad_acl, nothing, "acl", is_set_aside },
	{ "unknown key", unknown_key, nothing, "unknown-key", is_set_aside },
	{ "symlink's target", damage_target, nothing, "symlink", target_is_cut },
	{ "root", lost_root, nothing, "root-missing", all_is_there },
	{ "totals missing", lost_totals, nothing, "totals", numbers_go_on },
	{ "totals", wrong_totals, nothing, "next-inode", numbers_go_on },
};

START_TEST(what_is_damaged_is_found_and_repaired)
{
	is_found_and_repaired(&damages[_i]);
}
END_TEST

START_TEST(looking_changes_nothing)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct store_list a CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store_list b CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	damage_big_entry();
	close_fs();
	must(store_list_all(s, "", NULL, &a), "list");
	ck_assert_uint_gt(run_fsck(false, &said).found, 0);
	must(store_list_all(s, "", NULL, &b), "list");
	ck_assert_uint_eq(a.count, b.count);
	store_unref(s);
	release(&said);
}
END_TEST

START_TEST(what_is_sound_is_not_written_to)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct fs_fsck_result r;

	close_fs();
	r = run_fsck(true, &said);
	ck_assert_uint_eq(r.found, 0);
	ck_assert_uint_eq(r.mended, 0);
	ck_assert_uint_eq(r.left, 0);
	release(&said);
}
END_TEST

START_TEST(what_is_mounted_is_not_repaired_but_looked_at)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct fs_check_options options = { .finding = collect, .ctx = &said };
	struct fs_fsck_result r;

	config.lease_wait_ms = 0;
	ck_assert_int_eq(fs_fsck(URL, &config, &options, true, &r), -L3_LEASE_HELD);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "held by"));
	make_file(ROOT, "unsaved");
	must(fs_fsck(URL, &config, &options, false, &r), "fsck");
	ck_assert(r.in_use);
	ck_assert_uint_eq(r.found, 0);
	make_file(ROOT, "afterwards");
	must(fs_sync(fs), "sync");
	close_fs();
	release(&said);
}
END_TEST

START_TEST(foreign_objects_are_told_and_left)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct store *s = plain_store();
	struct fs_fsck_result r;

	damage_big_entry();
	close_fs();
	must(store_put_bytes(s, "chain/notes.txt", "x", 1, STORE_ALWAYS, NULL, NULL), "put");
	must(store_put_bytes(s, "holiday.jpg", "x", 1, STORE_ALWAYS, NULL, NULL), "put");
	r = run_fsck(true, &said);
	ck_assert_uint_eq(r.left, 0);
	ck_assert_uint_eq(r.foreign_objects, 2);
	ck_assert(object_exists("chain/notes.txt"));
	ck_assert(object_exists("holiday.jpg"));
	store_unref(s);
	release(&said);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair: names and inodes");
	TCase *t = tcase_create("damages");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_damaged_is_found_and_repaired, 0,
			    (int)ARRAY_LEN(damages));
	tcase_add_test(t, looking_changes_nothing);
	tcase_add_test(t, what_is_sound_is_not_written_to);
	tcase_add_test(t, what_is_mounted_is_not_repaired_but_looked_at);
	tcase_add_test(t, foreign_objects_are_told_and_left);
	suite_add_tcase(s, t);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fsck finds what is wrong. Each test damages a sound filesystem in one way, behind the back of the
 * room or in the store, and fsck has to say so.
 */
#include "fs_damage.h"

#define URL "mem:fs-check-tests"
#define ROOT FS_ROOT_INO
#define BIG 400000

static uint64_t dir, sub, file, big, tiny;

/* A folder in a folder; a file with two names and an xattr; one that fills extents; an inline one.
 */
static void setup(void)
{
	uint8_t *bytes = malloc(BIG);
	struct fs_attr attr;

	make_fs(URL);
	fs_reap_without_forget(fs, false);
	dir = make_dir(ROOT, "dir");
	sub = make_dir(dir, "sub");
	file = make_file(dir, "file");
	must(fs_link(fs, file, sub, "other", &attr), "link");
	must(fs_setxattr(fs, file, "user.a", "1", 1, 0), "setxattr");
	big = make_file(ROOT, "big");
	for (size_t n = 0; n < BIG; n++)
		bytes[n] = (uint8_t)(n / 16 * (n / 16) >> 8 ^ n / 16); /* which LZ4 makes smaller */
	write_at(big, bytes, BIG, 0);
	tiny = make_file(ROOT, "tiny");
	write_at(tiny, "abc", 3, 0);
	must(fs_sync(fs), "sync");
	free(bytes);
	check_fs(true);
}

static void teardown(void)
{
	fs_crash(fs);
	fs = NULL;
	fs_config_release(&config);
	store_mem_drop(URL);
}

/* ---- looking ---- */

struct said {
	struct buf text;
};

static void collect(void *ctx, const struct fs_finding *f)
{
	struct said *s = ctx;

	if (f->stage == FS_FOUND)
		buf_printf(&s->text, "%s\n", f->text);
}

/* fsck says something with these words. */
static void expect(const char *words)
{
	struct said said = { .text = BUF_INIT };
	struct fs_check_options options = { .data = true, .finding = collect, .ctx = &said };
	struct fs_check_result result;

	ck_assert_int_eq(fs_check(fs, &options, &result), 1);
	ck_assert_uint_gt(result.problems, 0);
	ck_assert_msg(strstr(buf_cstr(&said.text), words), "\"%s\" is not in:\n%s", words,
		      buf_cstr(&said.text));
	buf_release(&said.text);
}

/* ---- names and inodes ---- */

START_TEST(a_missing_inode_is_noticed)
{
	struct key k;

	key_inode(&k, file);
	remove_key(&k);
	expect("is missing");
	expect("inodes, and the totals say");
}
END_TEST

START_TEST(a_missing_name_is_noticed)
{
	struct key k;

	key_dentry(&k, dir, key_cookie(fs, "file", 0));
	remove_key(&k);
	expect("link count 2 instead of 1");
	expect("its count of names is wrong by 1");
}
END_TEST

static void one_link_more(struct attr *a)
{
	a->nlink++;
}

START_TEST(a_wrong_link_count_is_noticed)
{
	edit_inode(file, one_link_more);
	expect("link count 3 instead of 2");
}
END_TEST

START_TEST(a_wrong_link_count_of_a_folder_is_noticed)
{
	edit_inode(dir, one_link_more);
	expect("link count 4 instead of 3");
}
END_TEST

static void no_links(struct attr *a)
{
	a->nlink = 0;
}

START_TEST(an_inode_that_nobody_will_remove_is_noticed)
{
	edit_inode(file, no_links);
	expect("has no name, and is not going to be removed");
}
END_TEST

static void parent_is_sub(struct attr *a)
{
	a->parent = sub;
}

START_TEST(a_wrong_parent_is_noticed)
{
	edit_inode(sub, parent_is_sub);
	expect("whose parent is said to be");
}
END_TEST

/* dir is in sub, which is in dir. */
START_TEST(folders_in_a_ring_are_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, ROOT, key_cookie(fs, "dir", 0));
	must(db_value(fs, &k, &value), "entry");
	remove_key(&k);
	key_dentry(&k, sub, key_cookie(fs, "dir", 0));
	put_value(&k, &value);
	expect("cannot be reached from the root");
}
END_TEST

START_TEST(a_name_in_the_wrong_place_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, dir, key_cookie(fs, "file", 0));
	must(db_value(fs, &k, &value), "entry");
	remove_key(&k);
	key_dentry(&k, dir, key_cookie(fs, "else", 0));
	put_value(&k, &value);
	expect("is not where its hash says");
}
END_TEST

START_TEST(a_gap_in_a_run_of_equal_hashes_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, dir, key_cookie(fs, "file", 0));
	must(db_value(fs, &k, &value), "entry");
	remove_key(&k);
	key_dentry(&k, dir, key_cookie(fs, "file", 1));
	put_value(&k, &value);
	expect("the one before is missing");
}
END_TEST

START_TEST(a_missing_orphan_record_is_noticed)
{
	struct key k;

	must(fs_unlink(fs, ROOT, "big"), "unlink");
	key_orphan(&k, big);
	remove_key(&k);
	expect("is not going to be removed");
}
END_TEST

START_TEST(an_orphan_record_of_a_file_with_a_name_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_orphan(&k, file);
	orphan_encode(&value, &(struct orphan_record){ .whole = true });
	put_value(&k, &value);
	expect("is to be removed, and has 2 links");
}
END_TEST

static void no_xattrs(struct attr *a)
{
	a->flags = 0;
}

START_TEST(an_attribute_that_its_inode_denies_is_noticed)
{
	edit_inode(file, no_xattrs);
	expect("and its record denies it");
}
END_TEST

START_TEST(keys_nobody_knows_are_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k = { .len = 2, .bytes = { 'Z', 'z' } };

	buf_u8(&value, 1);
	put_value(&k, &value);
	expect("unknown kind 0x5a");
}
END_TEST

START_TEST(a_record_that_cannot_be_decoded_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, dir, key_cookie(fs, "file", 0));
	buf_u8(&value, 77);
	put_value(&k, &value);
	expect("unknown version 77");
}
END_TEST

/* ---- bytes ---- */

static struct extent first_extent(uint64_t ino, uint64_t end, struct buf *value)
{
	struct extent e;
	struct key k;

	key_extent(&k, ino, end);
	must(db_value(fs, &k, value), "extent");
	must(extent_decode(value->data, value->len, end, &e), "extent");
	return e;
}

START_TEST(overlapping_extents_are_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = first_extent(big, DATA_EXTENT_MAX, &value);
	struct key k;

	e.end -= 10;
	buf_reset(&value);
	extent_encode(&value, &e);
	key_extent(&k, big, e.end);
	put_value(&k, &value);
	expect("overlap");
	expect("live bytes, and its record says");
	expect("its allocated bytes are wrong");
}
END_TEST

START_TEST(a_lost_extent_is_noticed)
{
	struct key k;

	key_extent(&k, big, DATA_EXTENT_MAX);
	remove_key(&k);
	expect("its allocated bytes are wrong by 131072");
	expect("and the totals say");
}
END_TEST

static void half_as_long(struct attr *a)
{
	a->size /= 2;
}

START_TEST(an_extent_behind_the_end_is_noticed)
{
	edit_inode(big, half_as_long);
	expect("behind the end");
}
END_TEST

START_TEST(a_missing_segment_record_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = first_extent(big, DATA_EXTENT_MAX, &value);
	struct key k;

	key_segment(&k, e.ref.segment);
	reopen_fs(URL);
	remove_key(&k);
	expect("live bytes, and no record");
}
END_TEST

static struct store *plain_store(void)
{
	struct store *s;

	must(store_open(URL, &config.store, &s), "store");
	return s;
}

/* The object of big's first extent, and the extent. Everything is stored, and nothing in memory. */
static struct extent on_the_store(char key[DATA_KEY_MAX])
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e;

	reopen_fs(URL);
	e = first_extent(big, DATA_EXTENT_MAX, &value);
	data_key(e.ref.segment, key);
	return e;
}

START_TEST(a_missing_segment_is_noticed)
{
	struct store *s = plain_store();
	char key[DATA_KEY_MAX];

	on_the_store(key);
	must(store_remove(s, key), "remove");
	store_unref(s);
	expect("is missing; 400000 bytes of files are in it");
}
END_TEST

START_TEST(a_segment_cut_short_is_noticed)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();
	char key[DATA_KEY_MAX];

	on_the_store(key);
	must(store_get(s, key, 0, STORE_TO_END, &bytes, NULL), "get");
	must(store_put_bytes(s, key, bytes.data, 1000, STORE_ALWAYS, NULL, NULL), "put");
	store_unref(s);
	expect("extents in it up to");
}
END_TEST

START_TEST(a_flipped_bit_in_a_segment_is_noticed)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();
	char key[DATA_KEY_MAX];
	struct extent e = on_the_store(key);

	must(store_get(s, key, 0, STORE_TO_END, &bytes, NULL), "get");
	bytes.data[e.ref.offset + e.ref.stored_bytes / 2] ^= 4;
	must(store_put_bytes(s, key, bytes.data, bytes.len, STORE_ALWAYS, NULL, NULL), "put");
	store_unref(s);
	expect("bytes 0 to 131072 cannot be read");
}
END_TEST

/* What is read in parts is checked in parts. */
START_TEST(a_flipped_bit_that_no_read_has_touched_is_noticed)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT, value CLEANUP(buf_release) = BUF_INIT;
	uint64_t ino = make_file(ROOT, "noise"), x = 1;
	static uint8_t noise[DATA_EXTENT_MAX];
	struct store *s = plain_store();
	char key[DATA_KEY_MAX];
	struct extent e;

	for (size_t n = 0; n < sizeof(noise); n++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		noise[n] = (uint8_t)(x >> 56);
	}
	write_at(ino, noise, sizeof(noise), 0);
	reopen_fs(URL);
	e = first_extent(ino, DATA_EXTENT_MAX, &value);
	ck_assert_int_eq(e.ref.codec, DATA_BLOCKS);
	data_key(e.ref.segment, key);
	must(store_get(s, key, 0, STORE_TO_END, &bytes, NULL), "get");
	bytes.data[e.ref.offset + 10 * (4096 + 8)] ^= 4;
	must(store_put_bytes(s, key, bytes.data, bytes.len, STORE_ALWAYS, NULL, NULL), "put");
	store_unref(s);
	ck_assert_uint_eq(read_at(ino, noise, 4096, 9 * 4096), 4096);
	ck_assert_uint_eq(read_at(ino, noise, 4096, 11 * 4096), 4096);
	expect("bytes 40960 to 45056 cannot be read");
}
END_TEST

static uint64_t copy_of_big(void)
{
	uint64_t ino = make_file(ROOT, "copy");
	struct fs_file *in, *out;

	must(fs_file_open(fs, big, false, false, &in), "open");
	must(fs_file_open(fs, ino, true, false, &out), "open");
	ck_assert_int_eq(fs_copy_range(in, 0, out, 77, BIG), BIG);
	fs_file_close(in);
	fs_file_close(out);
	return ino;
}

START_TEST(an_extent_that_its_segment_does_not_lead_to_is_noticed)
{
	uint64_t copy = copy_of_big();
	char name[DATA_KEY_MAX];
	struct extent e = on_the_store(name);
	struct key k;

	check_fs(true);
	key_reference(&k, e.ref.segment, copy);
	remove_key(&k);
	expect("nothing leads from");
}
END_TEST

START_TEST(a_back_reference_of_a_segment_that_denies_it_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	char name[DATA_KEY_MAX];
	struct extent e = on_the_store(name);
	struct key k;

	reference_encode(&value, &(struct reference){ 0, 4096 });
	key_reference(&k, e.ref.segment, file);
	put_value(&k, &value);
	expect("has a back-reference, and its record denies it");
	remove_key(&k);
	key_reference(&k, e.ref.segment + 4711, file);
	put_value(&k, &value);
	expect("has a back-reference, and no record");
}
END_TEST

static void shifting(struct attr *a)
{
	a->flags |= INODE_SHIFTING;
}

START_TEST(a_shift_that_only_one_side_knows_of_is_noticed)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	edit_inode(big, shifting);
	expect("is being shifted, and no record says how");
	shift_encode(&value, &(struct shift){ true, 0, 4096, 8192 });
	key_shift(&k, file);
	put_value(&k, &value);
	expect("is being shifted, and its record denies it");
}
END_TEST

START_TEST(an_object_that_nobody_needs_is_no_problem)
{
	struct store *s = plain_store();
	char key[DATA_KEY_MAX];

	data_key((uint64_t)1 << 32 | 999999, key);
	must(store_put_bytes(s, key, "x", 1, STORE_ALWAYS, NULL, NULL), "put");
	store_unref(s);
	ck_assert_uint_ge(check_fs(true).unreferenced_objects, 1);
}
END_TEST

START_TEST(a_sound_filesystem_is_counted_right)
{
	struct fs_check_result r = check_fs(true);

	ck_assert_uint_eq(r.inodes, 6);
	ck_assert_uint_eq(r.dentries, 6);
	ck_assert_uint_eq(r.bytes, BIG + 3);
	ck_assert_uint_eq(r.orphans, 0);
	ck_assert_uint_ge(r.segments, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fsck");
	TCase *names = tcase_create("names and inodes"), *bytes = tcase_create("bytes");

	tcase_add_checked_fixture(names, setup, teardown);
	tcase_add_checked_fixture(bytes, setup, teardown);
	tcase_add_test(names, a_missing_inode_is_noticed);
	tcase_add_test(names, a_missing_name_is_noticed);
	tcase_add_test(names, a_wrong_link_count_is_noticed);
	tcase_add_test(names, a_wrong_link_count_of_a_folder_is_noticed);
	tcase_add_test(names, an_inode_that_nobody_will_remove_is_noticed);
	tcase_add_test(names, a_wrong_parent_is_noticed);
	tcase_add_test(names, folders_in_a_ring_are_noticed);
	tcase_add_test(names, a_name_in_the_wrong_place_is_noticed);
	tcase_add_test(names, a_gap_in_a_run_of_equal_hashes_is_noticed);
	tcase_add_test(names, a_missing_orphan_record_is_noticed);
	tcase_add_test(names, an_orphan_record_of_a_file_with_a_name_is_noticed);
	tcase_add_test(names, an_attribute_that_its_inode_denies_is_noticed);
	tcase_add_test(names, keys_nobody_knows_are_noticed);
	tcase_add_test(names, a_record_that_cannot_be_decoded_is_noticed);
	tcase_add_test(bytes, overlapping_extents_are_noticed);
	tcase_add_test(bytes, a_lost_extent_is_noticed);
	tcase_add_test(bytes, an_extent_behind_the_end_is_noticed);
	tcase_add_test(bytes, a_missing_segment_record_is_noticed);
	tcase_add_test(bytes, a_missing_segment_is_noticed);
	tcase_add_test(bytes, a_segment_cut_short_is_noticed);
	tcase_add_test(bytes, a_flipped_bit_in_a_segment_is_noticed);
	tcase_add_test(bytes, a_flipped_bit_that_no_read_has_touched_is_noticed);
	tcase_add_test(bytes, an_extent_that_its_segment_does_not_lead_to_is_noticed);
	tcase_add_test(bytes, a_back_reference_of_a_segment_that_denies_it_is_noticed);
	tcase_add_test(bytes, a_shift_that_only_one_side_knows_of_is_noticed);
	tcase_add_test(bytes, an_object_that_nobody_needs_is_no_problem);
	tcase_add_test(bytes, a_sound_filesystem_is_counted_right);
	suite_add_tcase(s, names);
	suite_add_tcase(s, bytes);
	return run_suite(s);
}

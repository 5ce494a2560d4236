/* SPDX-License-Identifier: BSD-3-Clause */
/* fsck --repair: extents, segments and their counters. */
#include "fs_mend.h"

static void damage_extent(void)
{
	struct key k;

	key_extent(&k, big, 2 * DATA_EXTENT_MAX);
	put_garbage(&k);
}

static void second_extent_is_lost(void)
{
	big_lacks(DATA_EXTENT_MAX, 2 * DATA_EXTENT_MAX);
}

/* Only what cannot be believed: a block of it. */
static void a_block_is_lost(void)
{
	big_lacks(DATA_EXTENT_MAX, DATA_EXTENT_MAX + 4096);
}

static void overlapping(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = extent_of(big, DATA_EXTENT_MAX);
	struct key k;

	e.end -= 10;
	extent_encode(&value, &e);
	key_extent(&k, big, e.end);
	put_value(&k, &value);
}

static void half_as_long(struct attr *a)
{
	a->size /= 2;
}

static void wrong_size(void)
{
	edit_inode(big, half_as_long);
}

static void wrong_allocation(struct attr *a)
{
	a->alloc_bytes += 1000;
}

static void damage_allocation(void)
{
	edit_inode(big, wrong_allocation);
}

static void extents_of_a_folder(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = extent_of(big, DATA_EXTENT_MAX);
	struct key k;

	extent_encode(&value, &e);
	key_extent(&k, dir, e.end);
	put_value(&k, &value);
}

static void lost_segment_record(void)
{
	struct key k;

	key_segment(&k, extent_of(big, DATA_EXTENT_MAX).ref.segment);
	remove_key(&k);
}

static void wrong_live_count(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_segment(&k, extent_of(big, DATA_EXTENT_MAX).ref.segment);
	seg_encode(&value, &(struct seg_record){ .live_bytes = 17, .total_bytes = BIG });
	put_value(&k, &value);
}

static void lost_back_reference(void)
{
	struct extent e = extent_of(big, DATA_EXTENT_MAX);
	uint64_t ino = make_file(ROOT, "copy");
	struct fs_file *in, *out;
	struct key k;

	must(fs_file_open(fs, big, false, false, &in), "open");
	must(fs_file_open(fs, ino, true, false, &out), "open");
	ck_assert_int_eq(fs_copy_range(in, 0, out, 77, BIG), BIG);
	fs_file_close(in);
	fs_file_close(out);
	must(fs_sync(fs), "sync");
	key_reference(&k, e.ref.segment, ino);
	remove_key(&k);
}

static void denied_back_reference(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	reference_encode(&value, &(struct reference){ 0, 4096 });
	key_reference(&k, extent_of(big, DATA_EXTENT_MAX).ref.segment, file);
	put_value(&k, &value);
}

static void shifting(struct attr *a)
{
	a->flags |= INODE_SHIFTING;
}

static void shift_without_record(void)
{
	edit_inode(big, shifting);
}

static void shift_without_flag(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	shift_encode(&value, &(struct shift){ true, 0, 4096, 8192 });
	key_shift(&k, big);
	put_value(&k, &value);
}

static char segment_of_big[DATA_KEY_MAX];
static struct extent first_of_big;

static void note_segment(void)
{
	first_of_big = extent_of(big, DATA_EXTENT_MAX);
	data_key(first_of_big.ref.segment, segment_of_big);
}

static void lost_segment(void)
{
	remove_object(segment_of_big);
}

static void big_is_lost(void)
{
	uint8_t byte;
	struct fs_file *f;

	must(fs_file_open(fs, find(ROOT, "big"), false, false, &f), "open");
	ck_assert_uint_eq(attr_of(big).size, BIG);
	ck_assert_int_lt(fs_read(f, &byte, 1, 0), 0);
	ck_assert_int_lt(fs_read(f, &byte, 1, BIG - 1), 0);
	fs_file_close(f);
	write_at(big, big_bytes, BIG, 0);
	big_is_whole(big);
}

static void cut_short(struct buf *b)
{
	b->len = first_of_big.ref.offset + first_of_big.ref.stored_bytes;
}

static void short_segment(void)
{
	change_object(segment_of_big, cut_short);
}

static void first_extent_is_left(void)
{
	static uint8_t got[DATA_EXTENT_MAX];

	ck_assert_uint_eq(read_at(big, got, sizeof(got), 0), sizeof(got));
	ck_assert_int_eq(memcmp(got, big_bytes, sizeof(got)), 0);
}

#define STORED_BLOCK (4096 + 8)

static void cut_in_a_block(struct buf *b)
{
	b->len = first_of_big.ref.offset + first_of_big.ref.stored_bytes + 3 * STORED_BLOCK + 100;
}

static void shorter_segment(void)
{
	change_object(segment_of_big, cut_in_a_block);
}

static void three_blocks_of_the_second_are_left(void)
{
	static uint8_t got[DATA_EXTENT_MAX];
	size_t left = DATA_EXTENT_MAX + 3 * 4096;
	struct fs_file *f;

	must(fs_file_open(fs, find(ROOT, "big"), false, false, &f), "open");
	for (size_t at = 0; at < left; at += 4096) {
		ck_assert_int_eq(fs_read(f, got, 4096, at), 4096);
		ck_assert_int_eq(memcmp(got, big_bytes + at, 4096), 0);
	}
	ck_assert_int_lt(fs_read(f, got, 1, left), 0);
	ck_assert_int_lt(fs_read(f, got, 1, BIG - 1), 0);
	fs_file_close(f);
}

/* The last whole one of the second extent, and the first of the third. */
static void flip_neighbours(struct buf *b)
{
	size_t third = first_of_big.ref.offset + 2 * (size_t)first_of_big.ref.stored_bytes;

	b->data[third - STORED_BLOCK + 5] ^= 1;
	b->data[third + 4096] ^= 1;
}

static void flipped_neighbours(void)
{
	change_object(segment_of_big, flip_neighbours);
}

static void two_blocks_are_lost(void)
{
	big_lacks(2 * DATA_EXTENT_MAX - 4096, 2 * DATA_EXTENT_MAX + 4096);
}

/* Each block is right, and all together are not what was written. */
static void wrong_sum(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = extent_of(big, 2 * DATA_EXTENT_MAX);
	struct key k;

	e.ref.sum ^= 1;
	extent_encode(&value, &e);
	key_extent(&k, big, e.end);
	put_value(&k, &value);
}

static void flip_second(struct buf *b)
{
	b->data[first_of_big.ref.offset + first_of_big.ref.stored_bytes + 1000] ^= 1;
}

static void flipped_bit(void)
{
	change_object(segment_of_big, flip_second);
}

static const struct damage damages[] = {
	{ "record of an extent", damage_extent, nothing, "bad-record", second_extent_is_lost },
	{ "extents that overlap", overlapping, nothing, "extent-overlap", all_is_there },
	{ "size", wrong_size, nothing, "extent-beyond-end", all_is_there },
	{ "allocated bytes", damage_allocation, nothing, "allocated", all_is_there },
	{ "extents of a folder", extents_of_a_folder, nothing, "extent-type", is_set_aside },
	{ "segment's record", lost_segment_record, nothing, "live-count", all_is_there },
	{ "live count", wrong_live_count, nothing, "live-count", all_is_there },
	{ "back-reference", lost_back_reference, nothing, "back-reference", all_is_there },
	{ "back-reference denied", denied_back_reference, nothing, "back-reference", all_is_there },
	{ "shift without a record", shift_without_record, nothing, "shift", all_is_there },
	{ "shift without a flag", shift_without_flag, nothing, "shift", is_set_aside },
	{ "segment missing", note_segment, lost_segment, "segment-missing", big_is_lost },
	{ "segment cut short", note_segment, short_segment, "segment-short", first_extent_is_left },
	{ "segment cut in an extent", note_segment, shorter_segment, "segment-short",
	  three_blocks_of_the_second_are_left },
	{ "segment with a flipped bit", note_segment, flipped_bit, "bytes-damaged",
	  a_block_is_lost },
	{ "segment with two flipped bits", note_segment, flipped_neighbours, "bytes-damaged",
	  two_blocks_are_lost },
	{ "checksum of an extent", wrong_sum, nothing, "bytes-damaged", second_extent_is_lost },
};

START_TEST(what_is_damaged_is_found_and_repaired)
{
	is_found_and_repaired(&damages[_i]);
}
END_TEST

START_TEST(lost_bytes_come_back_with_their_object)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();

	note_segment();
	close_fs();
	must(store_get(s, segment_of_big, 0, STORE_TO_END, &bytes, NULL), "get");
	lost_segment();
	ck_assert_uint_eq(run_fsck(true, &said).left, 0);
	must(store_put_bytes(s, segment_of_big, bytes.data, bytes.len, STORE_ALWAYS, NULL, NULL),
	     "put");
	ck_assert_uint_eq(run_fsck(true, &said).left, 0);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said.found), "lost-range-back"));
	open_fs(URL);
	all_is_there();
	close_fs();
	check_store(URL);
	store_unref(s);
	release(&said);
}
END_TEST

/* Without --data only sizes are known, which is enough for this. */
START_TEST(a_repair_that_reads_no_bytes_keeps_the_good_blocks_of_a_short_segment_too)
{
	struct fs_check_options options = { 0 };
	struct fs_fsck_result r;

	note_segment();
	close_fs();
	shorter_segment();
	must(fs_fsck(URL, &config, &options, true, &r), "fsck");
	ck_assert_uint_gt(r.found, 0);
	ck_assert_uint_eq(r.left, 0);
	must(fs_fsck(URL, &config, &options, false, &r), "fsck");
	ck_assert_uint_eq(r.found, 0);
	open_fs(URL);
	three_blocks_of_the_second_are_left();
	close_fs();
}
END_TEST

/* The index is had by two GETs, then the line is gone. */
static enum store_fault cut_off(void *ctx, uint64_t number, enum store_op op, const char *key,
				int *error)
{
	unsigned *gets = ctx;

	if (op != STORE_OP_GET || strncmp(key, "data/", 5) != 0 || ++*gets <= 2)
		return STORE_FAULT_NONE;
	*error = -L3_UNREACHABLE;
	return STORE_FAULT_ERROR_BEFORE;
}

START_TEST(a_store_that_cannot_be_reached_is_no_damage)
{
	struct fs_check_options options = { .data = true };
	unsigned gets = 0;
	struct store_fault_plan plan = { cut_off, &gets };
	struct store *base = plain_store();
	struct fs_fsck_result r;

	close_fs();
	must(store_wrap_fault(base, &plan, &config.store_override), "faults");
	ck_assert_int_eq(fs_fsck(URL, &config, &options, true, &r), -L3_UNREACHABLE);
	ck_assert_uint_gt(gets, 2);
	store_unref(config.store_override);
	config.store_override = NULL;
	store_unref(base);
	check_store(URL);
}
END_TEST

START_TEST(damaged_files_are_told_by_path_and_range)
{
	struct said said = { BUF_INIT, BUF_INIT };

	note_segment();
	must(fs_rename(fs, ROOT, "big", sub, "deep", 0), "rename");
	close_fs();
	flipped_bit();
	ck_assert_uint_gt(run_fsck(false, &said).found, 0);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said.all), "bytes 131072 to 135168 cannot be read"));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said.all), "[/dir/sub/deep]"));
	release(&said);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair: bytes");
	TCase *t = tcase_create("damages");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_damaged_is_found_and_repaired, 0,
			    (int)ARRAY_LEN(damages));
	tcase_add_test(t, lost_bytes_come_back_with_their_object);
	tcase_add_test(t,
		       a_repair_that_reads_no_bytes_keeps_the_good_blocks_of_a_short_segment_too);
	tcase_add_test(t, a_store_that_cannot_be_reached_is_no_damage);
	tcase_add_test(t, damaged_files_are_told_by_path_and_range);
	suite_add_tcase(s, t);
	return run_suite(s);
}

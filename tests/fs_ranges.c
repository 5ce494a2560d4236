/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ranges of files are copied and moved without a byte being touched: what is read afterwards, what
 * is counted, what a crash leaves, and that the cleaner finds everything and keeps shared what is
 * shared.
 */
#include "fs_twin.h"

#define URL "mem:fs-ranges-tests"
#define PLACE DATA_EXTENT_MAX

static struct twin a, b;

static void setup(void)
{
	make_clean_fs(URL);
	twin_make(&a, "a");
	twin_make(&b, "b");
}

static void teardown(void)
{
	end_fs(URL);
	twin_free(&a);
	twin_free(&b);
}

/* Both, as they are in memory, after a sync and a crash, and all that fsck can see. */
static void check_all(void)
{
	twin_check(&a);
	twin_check(&b);
	calm();
	check_fs(true);
	lose_machine(URL);
	twin_check(&a);
	twin_check(&b);
	check_fs(true);
}

/* The kind of what is stored is SEEK_DATA's and SEEK_HOLE's business. */
static int64_t seek_in(const struct twin *t, uint64_t offset, int whence)
{
	struct fs_file *f = twin_open(t);
	int64_t at = fs_lseek(f, offset, whence);

	fs_file_close(f);
	return at;
}

static void copy_object(struct store *from, struct store *to, const char *key)
{
	struct buf object CLEANUP(buf_release) = BUF_INIT;

	must(store_get(from, key, 0, STORE_TO_END, &object, NULL), key);
	must(store_put_bytes(to, key, object.data, object.len, STORE_ALWAYS, NULL, NULL), key);
}

/* The super object as a version made it that did not know of sharing. */
static void forget_feature(struct store *s)
{
	struct super super;
	struct store *other;

	must(super_read(s, true, &super, NULL), "super");
	ck_assert_uint_eq(super.incompat, SUPER_INCOMPAT_RANGES);
	super.incompat = 0;
	must(store_open(URL "-super", &config.store, &other), "store");
	must(super_create(other, &super), "super");
	must(super_finish(other, &super), "super");
	copy_object(other, s, SUPER_KEY);
	store_unref(other);
	store_mem_drop(URL "-super");
}

/* ---- copy_file_range(2) ---- */

START_TEST(a_copy_has_the_bytes_of_its_source)
{
	twin_write(&a, 3 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 3 * MIB), 3 * MIB);
	check_all();
}
END_TEST

START_TEST(what_was_written_just_before_is_copied_although_nothing_is_stored_yet)
{
	twin_write(&a, 100, 0, 1); /* kept in its record */
	ck_assert_int_eq(twin_copy(&a, 0, &b, 5000, 100), 100);
	twin_write(&a, 200000, 50, 2);
	ck_assert_int_eq(twin_copy(&a, 20, &b, 7000, 190000), 190000);
	check_all();
}
END_TEST

START_TEST(a_copy_begins_and_ends_at_any_byte)
{
	twin_write(&a, 5 * PLACE, 0, 1);
	twin_write(&b, 5 * PLACE, 0, 2);
	ck_assert_int_eq(twin_copy(&a, 1, &b, 3, 1), 1);
	ck_assert_int_eq(twin_copy(&a, PLACE - 1, &b, 77, PLACE + 2), PLACE + 2);
	ck_assert_int_eq(twin_copy(&a, 3, &b, 2 * PLACE + 4097, 2 * PLACE - 1), 2 * PLACE - 1);
	ck_assert_int_eq(twin_copy(&b, 1000, &a, 999, 3 * PLACE), 3 * PLACE); /* of copies */
	check_all();
}
END_TEST

START_TEST(a_copy_ends_where_its_source_ends)
{
	twin_write(&a, 1000, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 900, &b, 0, 1 * MIB), 100);
	ck_assert_int_eq(twin_copy(&a, 1000, &b, 0, 10), 0);
	ck_assert_int_eq(twin_copy(&a, 5000, &b, 0, 10), 0);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 0), 0);
	ck_assert_uint_eq(b.size, 100);
	check_all();
}
END_TEST

START_TEST(a_copy_beyond_the_end_extends_the_file)
{
	twin_write(&a, 10000, 0, 1);
	twin_write(&b, 100, 0, 2);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 2 * MIB, 10000), 10000);
	ck_assert_uint_eq(b.size, 2 * MIB + 10000);
	ck_assert_int_eq(seek_in(&b, 100, SEEK_DATA), 2 * MIB);
	check_all();
}
END_TEST

START_TEST(holes_are_copied_as_holes_also_over_data_and_at_the_end)
{
	twin_write(&b, 4 * MIB, 0, 2);
	twin_write(&a, 1 * MIB, 1 * MIB, 1);
	twin_truncate(&a, 3 * MIB);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 3 * MIB), 3 * MIB);
	ck_assert_int_eq(seek_in(&b, 0, SEEK_DATA), 1 * MIB);
	ck_assert_int_eq(seek_in(&b, 1 * MIB, SEEK_HOLE), 2 * MIB);
	ck_assert_int_eq(seek_in(&b, 2 * MIB, SEEK_DATA), 3 * MIB);
	ck_assert_int_eq(twin_copy(&a, 2 * MIB, &b, 4 * MIB, 1 * MIB), 1 * MIB);
	ck_assert_uint_eq(b.size, 5 * MIB);
	check_all();
}
END_TEST

START_TEST(what_was_allocated_and_never_written_takes_no_room_in_the_copy)
{
	uint64_t before;

	must(twin_allocate(&a, 0, 0, 2 * MIB), "allocate");
	before = attr_of(b.ino).blocks;
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	ck_assert_uint_eq(attr_of(b.ino).blocks, before);
	ck_assert_uint_eq(b.size, 2 * MIB);
	check_all();
}
END_TEST

START_TEST(within_a_file_ranges_that_overlap_are_refused_others_are_copied)
{
	twin_write(&a, 1 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &a, 1, 100), -EINVAL);
	ck_assert_int_eq(twin_copy(&a, 1, &a, 0, 100), -EINVAL);
	ck_assert_int_eq(twin_copy(&a, 5, &a, 5, 1), -EINVAL);
	ck_assert_int_eq(twin_copy(&a, 0, &a, 100, 100), 100);
	ck_assert_int_eq(twin_copy(&a, 500000, &a, 0, 400000), 400000);
	/* what would overlap lies beyond the end */
	ck_assert_int_eq(twin_copy(&a, 1 * MIB - 10, &a, 1 * MIB, 1 * MIB), 10);
	check_all();
}
END_TEST

START_TEST(ranges_that_cannot_be_are_refused)
{
	struct fs_file *in, *out;

	must(fs_file_open(fs, a.ino, true, false, &in), "open");
	must(fs_file_open(fs, b.ino, false, false, &out), "open");
	ck_assert_int_eq(fs_copy_range(in, 0, out, 0, 1), -EBADF);
	ck_assert_int_eq(fs_copy_range(out, INT64_MAX, in, 0, 2), -EOVERFLOW);
	ck_assert_int_eq(fs_copy_range(out, 0, in, INT64_MAX, 2), -EOVERFLOW);
	ck_assert_int_eq(fs_copy_range(out, (uint64_t)INT64_MAX + 1, in, 0, 0), -EINVAL);
	fs_file_close(in);
	fs_file_close(out);
}
END_TEST

START_TEST(a_copy_changes_the_times_of_its_target_only)
{
	struct fs_attr from, to;

	twin_write(&a, 1000, 0, 1);
	from = attr_of(a.ino);
	to = attr_of(b.ino);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 1000), 1000);
	ck_assert_int_eq(attr_of(a.ino).mtime.tv_nsec, from.mtime.tv_nsec);
	ck_assert(attr_of(b.ino).mtime.tv_sec != to.mtime.tv_sec ||
		  attr_of(b.ino).mtime.tv_nsec != to.mtime.tv_nsec);
	ck_assert_int_eq(attr_of(b.ino).ctime.tv_nsec, attr_of(b.ino).mtime.tv_nsec);
}
END_TEST

START_TEST(source_and_copy_go_their_own_ways)
{
	twin_write(&a, 2 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	twin_write(&a, 300000, 100, 2);
	twin_write(&b, 300000, 1 * MIB, 3);
	must(twin_allocate(&a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1500000, 5000), "punch");
	twin_truncate(&a, 1900000);
	check_all();
	twin_truncate(&a, 0);
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	orphan_drain(fs);
	twin_check(&b);
	check_fs(true);
}
END_TEST

START_TEST(a_filesystem_without_the_feature_gets_it_when_it_is_mounted_for_writing)
{
	struct super super;
	struct store *s;

	twin_write(&a, 100000, 0, 1);
	close_fs();
	must(store_open(URL, &config.store, &s), "store");
	forget_feature(s);
	config.read_only = true;
	open_fs(URL);
	close_fs();
	must(super_read(s, true, &super, NULL), "super");
	ck_assert_uint_eq(super.incompat, 0);
	config.read_only = false;
	open_fs(URL);
	must(super_read(s, true, &super, NULL), "super");
	ck_assert_uint_eq(super.incompat, SUPER_INCOMPAT_RANGES);
	store_unref(s);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 100000), 100000);
	check_all();
}
END_TEST

/* ---- what a copy costs ---- */

static uint64_t puts_so_far(void)
{
	struct fs_status s;

	fs_status(fs, &s);
	return s.requests.requests[STORE_OP_PUT];
}

/* Zeros in 128 KiB of memory, as many as there are: 10 GiB of them take little room in the store.
 */
static void write_long(uint64_t ino, uint64_t len)
{
	uint8_t *zeros = calloc(1, 4 * MIB);
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open file");
	for (uint64_t at = 0; at < len; at += 4 * MIB)
		ck_assert_int_eq(fs_write(f, zeros, 4 * MIB, at, false, false), 4 * MIB);
	fs_file_close(f);
	free(zeros);
}

START_TEST(ten_gibibytes_are_copied_without_storing_a_byte_of_them)
{
	struct fs_file *in, *out;
	uint64_t before, objects;
	size_t count;

	teardown();
	make_fs(URL);
	twin_make(&a, "a");
	twin_make(&b, "b");
	write_long(a.ino, 10 * GIB);
	calm();
	(void)stored(&count);
	objects = count;
	before = puts_so_far();
	in = twin_open(&a);
	out = twin_open(&b);
	ck_assert_int_eq(fs_copy_range(in, 0, out, 0, 10 * GIB), 10 * GIB);
	fs_file_close(in);
	fs_file_close(out);
	must(fs_fsync(fs, b.ino), "fsync");
	/* a slot; LevelDB may have made a few tables of so many records, and need not wait for the
	 * fsync with that */
	ck_assert_uint_le(puts_so_far() - before, 8);
	(void)stored(&count);
	ck_assert_uint_eq(count, objects);
	ck_assert_uint_eq(attr_of(b.ino).size, 10 * GIB);
	ck_assert_uint_eq(attr_of(b.ino).blocks, attr_of(a.ino).blocks);
	check_fs(false);
}
END_TEST

/* ---- the cleaner ---- */

/* Several files, a few of which share. */
static struct twin others[4];

static void make_others(void)
{
	static const char *const names[] = { "c", "d", "e", "f" };

	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_make(&others[n], names[n]);
}

static void check_others(void)
{
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_check(&others[n]);
}

static void free_others(void)
{
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_free(&others[n]);
}

START_TEST(space_comes_back_when_all_that_share_it_are_gone_and_not_before)
{
	twin_write(&a, 3 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 3 * MIB), 3 * MIB);
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	calm();
	clean();
	ck_assert_uint_ge(stored(NULL), 3 * MIB);
	twin_check(&b);
	check_fs(true);
	must(fs_unlink(fs, FS_ROOT_INO, "b"), "unlink");
	calm();
	clean();
	ck_assert_uint_eq(stored(NULL), 0);
	check_fs(true);
}
END_TEST

START_TEST(what_is_shared_moves_once_and_stays_shared)
{
	make_others();
	twin_write(&a, 3 * MIB, 0, 1);
	calm();
	/* each keeps a quarter MiB of each MiB of the source, at places of its own */
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		for (size_t at = 0; at < 3 * MIB; at += 1 * MIB)
			ck_assert_int_eq(
				twin_copy(&a, at + 1000, &others[n], at / 2 + 7 * n, 256 * KIB),
				256 * KIB);
	calm();
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	calm();
	clean();
	ck_assert_uint_lt(stored(NULL), 1 * MIB);
	check_others();
	check_fs(true);
	/* and once more, of what was moved */
	for (size_t n = 0; n < ARRAY_LEN(others); n++)
		twin_truncate(&others[n], 200 * KIB);
	calm();
	clean();
	ck_assert_uint_lt(stored(NULL), 300 * KIB);
	check_others();
	lose_machine(URL);
	check_others();
	check_fs(true);
	free_others();
}
END_TEST

START_TEST(many_references_to_little_do_not_hide_that_the_rest_is_dead)
{
	twin_write(&a, 1 * MIB - 100 * KIB, 0, 1);
	calm();
	for (size_t n = 0; n < 40; n++)
		ck_assert_int_eq(twin_copy(&a, 0, &b, n * 60000, 60000), 60000);
	twin_truncate(&a, 0);
	calm();
	clean();
	ck_assert_uint_lt(stored(NULL), 70000);
	check_all();
}
END_TEST

START_TEST(a_segment_that_is_in_use_is_not_moved_and_looked_at_once)
{
	struct fs_status before, after;

	twin_write(&a, 900000, 0, 1);
	calm();
	for (unsigned n = 0; n < 3; n++) {
		ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 900000), 900000);
		twin_truncate(&b, 0);
	}
	ck_assert_int_eq(twin_copy(&a, 0, &b, 1000, 900000), 900000);
	calm();
	ck_assert_int_eq(clean_pass(fs), 0);
	must(fs_sync(fs), "sync");
	fs_status(fs, &before);
	ck_assert_int_eq(clean_pass(fs), 0);
	must(fs_sync(fs), "sync");
	fs_status(fs, &after);
	ck_assert_uint_eq(after.requests.requests[STORE_OP_PUT],
			  before.requests.requests[STORE_OP_PUT]);
	ck_assert_uint_eq(after.requests.requests[STORE_OP_GET],
			  before.requests.requests[STORE_OP_GET]);
	check_all();
}
END_TEST

START_TEST(copies_of_copies_are_found_wherever_they_went)
{
	make_others();
	twin_write(&a, 2 * MIB, 0, 1);
	ck_assert_int_eq(twin_copy(&a, 700000, &b, 33, 100000), 100000);
	ck_assert_int_eq(twin_copy(&b, 1033, &others[0], 900001, 90000), 90000);
	ck_assert_int_eq(twin_copy(&others[0], 900001, &others[0], 5, 80000), 80000);
	ck_assert_int_eq(twin_copy(&others[0], 5, &others[1], 0, 70000), 70000);
	twin_truncate(&a, 0);
	twin_truncate(&b, 0);
	twin_truncate(&others[0], 500000);
	calm();
	check_fs(true);
	clean();
	ck_assert_uint_lt(stored(NULL), 100000);
	check_others();
	check_all();
	check_others();
	free_others();
}
END_TEST

START_TEST(what_is_copied_while_it_moves_is_kept)
{
	uint64_t segment;
	struct mover *m;

	make_others();
	twin_write(&a, 900000, 0, 1);
	calm();
	segment = db_epoch(fs->db) << 32 | 1;
	ck_assert_int_eq(twin_copy(&a, 100, &b, 0, 200000), 200000);
	calm();
	m = mover_new(fs);
	must(mover_add(m, segment, true), "move");
	ck_assert_int_eq(twin_copy(&a, 50000, &others[0], 10, 300000), 300000);
	ck_assert_int_eq(twin_copy(&b, 0, &b, 300000, 100000), 100000);
	ck_assert_int_eq(twin_copy(&a, 200000, &a, 4096, 131072), 131072);
	must(mover_finish(m), "move");
	mover_free(m);
	calm();
	check_others();
	check_all();
	clean();
	check_others();
	check_all();
	free_others();
}
END_TEST

START_TEST(a_segment_found_in_slots_after_a_crash_leads_to_all_that_share_it)
{
	twin_write(&a, 20000, 0, 1);
	must(fs_fsync(fs, a.ino), "fsync"); /* carried by a slot */
	ck_assert_int_eq(twin_copy(&a, 10000, &b, 5, 9000), 9000);
	must(fs_fsync(fs, b.ino), "fsync");
	twin_truncate(&a, 100);
	must(fs_fsync(fs, a.ino), "fsync");
	lose_machine(URL);
	check_all();
	clean();
	check_all();
}
END_TEST

START_TEST(back_references_go_with_the_file_or_with_the_segment)
{
	leveldb_iterator_t *it;
	const char first = KEY_REFERENCE;
	size_t len;

	twin_write(&a, 2 * MIB, 0, 1);
	calm();
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	must(fs_unlink(fs, FS_ROOT_INO, "b"), "unlink");
	calm();
	it = leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	leveldb_iter_seek(it, &first, 1);
	ck_assert(!leveldb_iter_valid(it) || leveldb_iter_key(it, &len)[0] != first);
	leveldb_iter_destroy(it);
	twin_free(&b);
	twin_make(&b, "b2");
	ck_assert_int_eq(twin_copy(&a, 0, &b, 0, 2 * MIB), 2 * MIB);
	twin_write(&a, 2 * MIB, 0, 2);
	twin_write(&b, 2 * MIB, 0, 3);
	calm();
	clean();
	it = leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	leveldb_iter_seek(it, &first, 1);
	ck_assert(!leveldb_iter_valid(it) || leveldb_iter_key(it, &len)[0] != first);
	leveldb_iter_destroy(it);
	check_all();
}
END_TEST

/* ---- FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE: fallocate(2) ---- */

START_TEST(collapsing_takes_a_range_out_and_inserting_puts_a_hole_in)
{
	twin_write(&a, 3 * MIB + 77, 0, 1);
	must(twin_collapse(&a, 4096, 1 * MIB), "collapse");
	twin_check(&a);
	must(twin_insert(&a, 1 * MIB + 4096, 8192), "insert");
	ck_assert_int_eq(seek_in(&a, 0, SEEK_HOLE), 1 * MIB + 4096);
	ck_assert_int_eq(seek_in(&a, 1 * MIB + 4096, SEEK_DATA), 1 * MIB + 4096 + 8192);
	must(twin_insert(&a, 0, 128 * KIB), "insert");
	must(twin_collapse(&a, 0, 4096), "collapse");
	ck_assert_int_eq(attr_of(a.ino).blocks,
			 (long)(3 * MIB + 77 - 1 * MIB + 511) / 512); /* holes take no room */
	check_all();
}
END_TEST

START_TEST(what_was_allocated_or_written_in_its_record_moves_as_well)
{
	twin_write(&a, 300, 0, 1);
	must(fs_fsync(fs, a.ino), "fsync");
	must(twin_insert(&a, 0, 4096), "insert");
	twin_check(&a);
	must(twin_allocate(&b, FALLOC_FL_KEEP_SIZE, 100000, 100000), "allocate");
	twin_write(&b, 50000, 0, 2);
	must(twin_insert(&b, 4096, 4096), "insert");
	must(twin_insert(&b, 8192, 40960), "insert");
	must(twin_collapse(&b, 4096, 8192), "collapse");
	must(twin_collapse(&a, 0, 4096), "collapse");
	check_all();
	twin_truncate(&b, 250000);
	ck_assert_uint_eq(attr_of(b.ino).blocks, (150000 + 511) / 512);
	check_all();
}
END_TEST

START_TEST(what_was_written_just_before_is_moved_and_what_is_written_after_stays)
{
	twin_write(&a, 200000, 0, 1);
	must(twin_insert(&a, 4096, 4096), "insert");
	twin_write(&a, 10000, 1000, 2);
	must(twin_collapse(&a, 8192, 4096), "collapse");
	twin_write(&a, 10000, a.size, 3);
	check_all();
}
END_TEST

/* ext4's rules, in its order: ext4_collapse_range, ext4_insert_range. */
START_TEST(ranges_that_cannot_be_collapsed_or_inserted_are_refused)
{
	struct fs_file *f;

	twin_write(&a, 100000, 0, 1);
	ck_assert_int_eq(twin_collapse(&a, 1, 4096), -EINVAL);
	ck_assert_int_eq(twin_collapse(&a, 4096, 4095), -EINVAL);
	ck_assert_int_eq(twin_insert(&a, 4095, 4096), -EINVAL);
	ck_assert_int_eq(twin_insert(&a, 4096, 1), -EINVAL);
	ck_assert_int_eq(twin_collapse(&a, 98304, 4096), -EINVAL); /* to the end, and beyond */
	ck_assert_int_eq(twin_insert(&a, 102400, 4096), -EINVAL);
	twin_truncate(&a, 102400);
	ck_assert_int_eq(twin_collapse(&a, 98304, 4096), -EINVAL); /* just to the end */
	ck_assert_int_eq(twin_insert(&a, 102400, 4096), -EINVAL);
	ck_assert_int_eq(twin_insert(&a, 98304, 4096), 0);
	ck_assert_int_eq(twin_collapse(&a, 98304, 4096), 0);
	f = twin_open(&a);
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, INT64_MAX - 4095), -EFBIG);
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 4096, INT64_MAX - 4095), -EFBIG);
	must(fs_fallocate(f, FALLOC_FL_KEEP_SIZE, (uint64_t)1 << 62, 4096), "allocate");
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, (uint64_t)1 << 62), -EFBIG);
	must(fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, 4096), "insert");
	must(fs_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), "collapse");
	fs_file_close(f);
	check_all();
}
END_TEST

/* Linux's vfs_fallocate, and what ext4 does not know. */
START_TEST(modes_that_cannot_be_are_refused_in_linuxs_order)
{
	static const int bad[] = { FALLOC_FL_PUNCH_HOLE,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |
					   FALLOC_FL_KEEP_SIZE,
				   FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE,
				   FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE,
				   FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE,
				   FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE,
				   FALLOC_FL_UNSHARE_RANGE,
				   FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
				   1 << 30 };
	static const int good[] = { 0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_COLLAPSE_RANGE,
				    FALLOC_FL_INSERT_RANGE };
	struct fs_file *f = twin_open(&a), *reader;

	must(fs_file_open(fs, a.ino, false, false, &reader), "open");
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		ck_assert_int_eq(fs_fallocate(f, bad[n], 0, 4096), -EOPNOTSUPP);
		ck_assert_int_eq(fs_fallocate(f, bad[n], 0, 0), -EINVAL);
	}
	for (size_t n = 0; n < ARRAY_LEN(good); n++) {
		ck_assert_int_eq(fs_fallocate(f, good[n], 0, 0), -EINVAL);
		ck_assert_int_eq(fs_fallocate(f, good[n], (uint64_t)-4096, 4096), -EINVAL);
		ck_assert_int_eq(fs_fallocate(f, good[n], 4096, (uint64_t)-4096), -EINVAL);
		ck_assert_int_eq(fs_fallocate(reader, good[n], 0, 4096), -EBADF);
		ck_assert_int_eq(fs_fallocate(f, good[n], INT64_MAX - 4095, 8192), -EFBIG);
	}
	fs_file_close(f);
	fs_file_close(reader);
}
END_TEST

START_TEST(shifted_extents_are_found_by_the_cleaner)
{
	twin_write(&a, 3 * MIB, 0, 1);
	calm();
	must(twin_insert(&a, 1 * MIB, 2 * MIB), "insert");
	must(twin_collapse(&a, 0, 512 * KIB), "collapse");
	must(twin_insert(&a, 4096, 4096), "insert");
	ck_assert_int_eq(twin_copy(&a, 3 * MIB, &b, 100, 400 * KIB), 400 * KIB);
	must(twin_insert(&b, 8192, 12288), "insert");
	must(twin_allocate(&a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 300 * KIB, 3 * MIB),
	     "punch");
	calm();
	check_fs(true);
	clean();
	ck_assert_uint_lt(stored(NULL), a.size - 3 * MIB + 400 * KIB);
	check_all();
	must(twin_collapse(&a, 0, 8192), "collapse");
	twin_truncate(&a, 200 * KIB);
	clean();
	check_all();
}
END_TEST

/* ---- files of very many extents ---- */

#define MANY 2500 /* extents: three batches */
#define APART 1024

/* Bytes every APART, so that each is an extent of its own. */
static void scatter(struct twin *t)
{
	for (size_t n = 0; n < MANY; n++)
		twin_write(t, 600, n * APART, n + 1);
	twin_truncate(t, MANY * APART);
	must(fs_fsync(fs, t->ino), "fsync");
	ck_assert_uint_ge(check_fs(false).extents, MANY);
}

struct range {
	bool insert;
	size_t from, len;
};

static const struct range shifts[] = {
	{ false, 0, 4096 },	     { false, 4096, 1200 * APART - 1200 * APART % 4096 },
	{ false, 1000 * KIB, 4096 }, { true, 0, 4096 },
	{ true, 8192, 1 * MIB },     { true, 400 * KIB, 4096 },
};

static void begin_shift(struct twin *t, const struct range *r)
{
	struct shift s = { .insert = r->insert, .from = r->from, .len = r->len };
	struct inode *i;

	must(inode_get(fs, t->ino, &i), "inode");
	pthread_mutex_lock(&i->lock);
	must(file_settle(fs, i, UINT64_MAX), "settle");
	must(shift_begin(fs, i, &s), "begin");
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	twin_shift(t, r->insert, r->from, r->len);
}

/* False: it was done before. */
static bool shift_more(const struct twin *t)
{
	struct inode *i;
	bool more;

	must(inode_get(fs, t->ino, &i), "inode");
	pthread_mutex_lock(&i->lock);
	more = i->attr.flags & INODE_SHIFTING;
	if (more)
		must(shift_step(fs, i), "step");
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	return more;
}

/* After `steps` batches the machine is lost; false: there were not so many. */
static bool shift_and_die(const struct range *r, unsigned steps)
{
	bool more = true;
	struct fs_file *f;

	setup();
	scatter(&a);
	begin_shift(&a, r);
	for (unsigned n = 0; n < steps && more; n++)
		more = shift_more(&a);
	check_fs(true);
	must(fs_sync(fs), "sync");
	fs_crash(fs);
	fs = NULL;
	config.read_only = true;
	open_fs(URL);
	must(fs_file_open(fs, a.ino, false, false, &f), "open");
	ck_assert_int_eq(fs_lseek(f, a.size - APART + 600, SEEK_DATA), -ENXIO);
	ck_assert_int_eq(fs_lseek(f, a.size - APART, SEEK_DATA), (long)a.size - APART);
	ck_assert_int_eq(fs_lseek(f, a.size - APART, SEEK_HOLE), (long)a.size - APART + 600);
	fs_file_close(f);
	twin_check(&a);
	check_fs(true);
	fs_crash(fs);
	config.read_only = false;
	open_fs(URL);
	check_fs(true);
	ck_assert_uint_eq(attr_of(a.ino).size, a.size);
	check_all();
	teardown();
	return more;
}

START_TEST(a_shift_has_happened_once_it_has_begun_wherever_a_crash_comes)
{
	unsigned steps = 0;

	teardown();
	while (shift_and_die(&shifts[_i], steps))
		steps++;
	ck_assert_uint_ge(steps, 2);
	setup();
}
END_TEST

START_TEST(who_comes_first_carries_a_shift_on)
{
	struct fs_attr attr;
	struct fs_file *f;

	scatter(&a);
	begin_shift(&a, &shifts[3]);
	twin_write(&a, 5000, 5000, 9);
	twin_check(&a);
	begin_shift(&a, &shifts[0]);
	twin_truncate(&a, 1500000);
	twin_check(&a);
	begin_shift(&a, &shifts[3]);
	ck_assert_int_eq(twin_copy(&a, 3, &b, 77, 1 * MIB), 1 * MIB);
	begin_shift(&a, &shifts[0]);
	ck_assert_int_eq(twin_copy(&b, 3, &a, 77, 1 * MIB - 4096), 1 * MIB - 4096);
	begin_shift(&a, &shifts[3]);
	must(twin_insert(&a, 0, 4096), "insert");
	begin_shift(&a, &shifts[0]);
	attr = attr_of(a.ino);
	attr.mode = 0600;
	must(fs_setattr(fs, a.ino, &attr, FS_SET_MODE, &attr), "chmod");
	f = twin_open(&a);
	ck_assert_int_eq(fs_lseek(f, 0, SEEK_DATA), 4096);
	fs_file_close(f);
	check_all();
}
END_TEST

START_TEST(a_file_that_is_being_shifted_can_be_removed)
{
	scatter(&a);
	begin_shift(&a, &shifts[3]);
	must(fs_unlink(fs, FS_ROOT_INO, "a"), "unlink");
	calm();
	ck_assert_uint_eq(check_fs(true).extents, 0);
	lose_machine(URL);
	ck_assert_uint_eq(check_fs(true).extents, 0);
	clean();
	ck_assert_uint_eq(stored(NULL), 0);
}
END_TEST

START_TEST(the_cleaner_leaves_a_file_alone_that_is_being_shifted)
{
	scatter(&a);
	calm();
	must(twin_allocate(&a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * MIB), "punch");
	twin_write(&a, 2000, 0, 3);
	scatter(&b);
	calm();
	begin_shift(&b, &shifts[4]);
	clean();
	check_fs(true);
	check_all();
	clean();
	check_all();
}
END_TEST

START_TEST(a_copy_of_very_many_extents_is_whole_too)
{
	scatter(&a);
	scatter(&b);
	ck_assert_int_eq(twin_copy(&a, 300, &b, 333, 2 * MIB), 2 * MIB);
	check_all();
}
END_TEST

/* ---- who does what at the same time ---- */

static struct {
	struct twin *from, *to;
	bool stop; /* atomic */
} crowd;

static void *copier(void *arg)
{
	struct fs_file *in = twin_open(crowd.from), *out = twin_open(crowd.to);

	while (!__atomic_load_n(&crowd.stop, __ATOMIC_SEQ_CST)) {
		int64_t n = fs_copy_range(in, 0, out, 0, 2 * MIB);

		if (n != 2 * MIB)
			return arg;
	}
	fs_file_close(in);
	fs_file_close(out);
	return NULL;
}

static void *writer(void *arg)
{
	static const uint8_t same[4096] = { 7, 7, 7 };
	struct fs_file *f = twin_open(crowd.from);
	uint64_t at = 0;

	while (!__atomic_load_n(&crowd.stop, __ATOMIC_SEQ_CST)) {
		if (fs_write(f, same, sizeof(same), at % (2 * MIB), false, false) < 0)
			return arg;
		at += 3 * sizeof(same);
	}
	fs_file_close(f);
	return NULL;
}

static void *shifter(void *arg)
{
	struct fs_file *f = twin_open(crowd.to);

	while (!__atomic_load_n(&crowd.stop, __ATOMIC_SEQ_CST)) {
		if (fs_fallocate(f, FALLOC_FL_INSERT_RANGE, 0, 4096) < 0 ||
		    fs_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) < 0)
			return arg;
	}
	fs_file_close(f);
	return NULL;
}

START_TEST(copies_both_ways_writes_shifts_reads_and_the_cleaner_get_along)
{
	pthread_t threads[3];
	uint8_t *buf = malloc(2 * MIB);
	void *trouble = NULL;

	twin_write(&a, 2 * MIB, 0, 1);
	twin_write(&b, 3 * MIB, 0, 2);
	crowd.from = &a;
	crowd.to = &b;
	ck_assert_int_eq(pthread_create(&threads[0], NULL, copier, &crowd), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, writer, &crowd), 0);
	ck_assert_int_eq(pthread_create(&threads[2], NULL, shifter, &crowd), 0);
	for (unsigned n = 0; n < 15; n++) {
		struct fs_file *in = twin_open(&b), *out = twin_open(&a);

		ck_assert_int_ge(fs_copy_range(in, 1 * MIB, out, 4096, 512 * KIB), 0);
		fs_file_close(in);
		fs_file_close(out);
		ck_assert_uint_eq(read_at(b.ino, buf, 2 * MIB, 0), 2 * MIB);
		must(fs_sync(fs), "sync");
		must(clean_pass(fs), "clean");
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_SEQ_CST);
	for (size_t n = 0; n < 3; n++) {
		void *result;

		pthread_join(threads[n], &result);
		trouble = result ? result : trouble;
	}
	ck_assert_ptr_null(trouble);
	calm();
	check_fs(true);
	lose_machine(URL);
	check_fs(true);
	free(buf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ranges of files");
	TCase *copies = tcase_create("copies"), *cost = tcase_create("what a copy costs");
	TCase *cleaning = tcase_create("cleaning"), *shifting = tcase_create("shifting");
	TCase *many = tcase_create("very many extents"), *crowded = tcase_create("crowded");

	tcase_add_checked_fixture(copies, setup, teardown);
	tcase_set_timeout(copies, TEST_TIMEOUT_S);
	tcase_add_test(copies, a_copy_has_the_bytes_of_its_source);
	tcase_add_test(copies,
		       what_was_written_just_before_is_copied_although_nothing_is_stored_yet);
	tcase_add_test(copies, a_copy_begins_and_ends_at_any_byte);
	tcase_add_test(copies, a_copy_ends_where_its_source_ends);
	tcase_add_test(copies, a_copy_beyond_the_end_extends_the_file);
	tcase_add_test(copies, holes_are_copied_as_holes_also_over_data_and_at_the_end);
	tcase_add_test(copies, what_was_allocated_and_never_written_takes_no_room_in_the_copy);
	tcase_add_test(copies, within_a_file_ranges_that_overlap_are_refused_others_are_copied);
	tcase_add_test(copies, ranges_that_cannot_be_are_refused);
	tcase_add_test(copies, a_copy_changes_the_times_of_its_target_only);
	tcase_add_test(copies, source_and_copy_go_their_own_ways);
	tcase_add_test(copies,
		       a_filesystem_without_the_feature_gets_it_when_it_is_mounted_for_writing);
	tcase_add_checked_fixture(cost, setup, teardown);
	tcase_set_timeout(cost, TEST_TIMEOUT_S);
	tcase_add_test(cost, ten_gibibytes_are_copied_without_storing_a_byte_of_them);
	tcase_add_checked_fixture(cleaning, setup, teardown);
	tcase_set_timeout(cleaning, TEST_TIMEOUT_S);
	tcase_add_test(cleaning, space_comes_back_when_all_that_share_it_are_gone_and_not_before);
	tcase_add_test(cleaning, what_is_shared_moves_once_and_stays_shared);
	tcase_add_test(cleaning, many_references_to_little_do_not_hide_that_the_rest_is_dead);
	tcase_add_test(cleaning, a_segment_that_is_in_use_is_not_moved_and_looked_at_once);
	tcase_add_test(cleaning, copies_of_copies_are_found_wherever_they_went);
	tcase_add_test(cleaning, what_is_copied_while_it_moves_is_kept);
	tcase_add_test(cleaning, a_segment_found_in_slots_after_a_crash_leads_to_all_that_share_it);
	tcase_add_test(cleaning, back_references_go_with_the_file_or_with_the_segment);
	tcase_add_checked_fixture(shifting, setup, teardown);
	tcase_set_timeout(shifting, TEST_TIMEOUT_S);
	tcase_add_test(shifting, collapsing_takes_a_range_out_and_inserting_puts_a_hole_in);
	tcase_add_test(shifting, what_was_allocated_or_written_in_its_record_moves_as_well);
	tcase_add_test(shifting,
		       what_was_written_just_before_is_moved_and_what_is_written_after_stays);
	tcase_add_test(shifting, ranges_that_cannot_be_collapsed_or_inserted_are_refused);
	tcase_add_test(shifting, modes_that_cannot_be_are_refused_in_linuxs_order);
	tcase_add_test(shifting, shifted_extents_are_found_by_the_cleaner);
	tcase_add_checked_fixture(many, setup, teardown);
	tcase_set_timeout(many, TEST_TIMEOUT_S);
	tcase_add_loop_test(many, a_shift_has_happened_once_it_has_begun_wherever_a_crash_comes, 0,
			    ARRAY_LEN(shifts));
	tcase_add_test(many, who_comes_first_carries_a_shift_on);
	tcase_add_test(many, a_file_that_is_being_shifted_can_be_removed);
	tcase_add_test(many, the_cleaner_leaves_a_file_alone_that_is_being_shifted);
	tcase_add_test(many, a_copy_of_very_many_extents_is_whole_too);
	tcase_add_checked_fixture(crowded, setup, teardown);
	tcase_set_timeout(crowded, TEST_TIMEOUT_S);
	tcase_add_test(crowded, copies_both_ways_writes_shifts_reads_and_the_cleaner_get_along);
	suite_add_tcase(s, copies);
	suite_add_tcase(s, cost);
	suite_add_tcase(s, cleaning);
	suite_add_tcase(s, shifting);
	suite_add_tcase(s, many);
	suite_add_tcase(s, crowded);
	return run_suite(s);
}

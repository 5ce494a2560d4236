/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cleaner: space that nobody needs any more comes back, and nothing else does.
 */
#include "fs_clean.h"

#define URL "mem:fs-clean-tests"

/* Files f0, f1, … of so many bytes, in the store. */
static void make_many(unsigned files, size_t bytes)
{
	char name[16];

	make_clean_fs(URL);
	for (unsigned n = 0; n < files; n++) {
		(void)snprintf(name, sizeof(name), "f%u", n);
		write_file(name, bytes, n);
	}
	calm();
}

/* All whose number divided by `of` leaves this. */
static void remove_many(unsigned files, unsigned of, unsigned leaves)
{
	char name[16];

	for (unsigned n = leaves; n < files; n += of) {
		(void)snprintf(name, sizeof(name), "f%u", n);
		must(fs_unlink(fs, FS_ROOT_INO, name), "unlink");
	}
	calm();
}

static void check_many(unsigned files, size_t bytes, unsigned of, unsigned leaves)
{
	char name[16];

	for (unsigned n = leaves; n < files; n += of) {
		(void)snprintf(name, sizeof(name), "f%u", n);
		check_file(name, bytes, n);
	}
	check_fs(true);
}

START_TEST(what_was_overwritten_is_deleted_from_the_store)
{
	make_clean_fs(URL);
	for (unsigned n = 0; n < 5; n++) {
		write_file("file", 6 * MIB, n);
		calm();
	}
	ck_assert_uint_gt(stored(NULL), 29 * MIB);
	clean();
	ck_assert_uint_lt(stored(NULL), 7 * MIB);
	check_file("file", 6 * MIB, 4);
	check_fs(true);
	lose_machine(URL);
	check_file("file", 6 * MIB, 4);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(what_lives_among_dead_bytes_moves_and_stays_readable)
{
	enum { FILES = 120, BYTES = 100000 };

	make_many(FILES, BYTES);
	for (unsigned leaves = 1; leaves < 5; leaves++)
		remove_many(FILES, 5, leaves);
	ck_assert_uint_gt(stored(NULL), FILES * BYTES);
	clean();
	ck_assert_uint_lt(stored(NULL), FILES * BYTES / 5 * 3 / 2);
	check_many(FILES, BYTES, 5, 0);
	lose_machine(URL);
	check_many(FILES, BYTES, 5, 0);
	lose_machine(URL);
	end_fs(URL);
}
END_TEST

/* Half of every segment is dead, and no more than that: none of them is sparse by itself. */
START_TEST(the_store_shrinks_when_dead_bytes_are_spread_thinly)
{
	enum { FILES = 160, BYTES = 100000, LEFT = FILES * BYTES / 2 };

	make_many(FILES, BYTES);
	remove_many(FILES, 2, 0);
	clean();
	ck_assert_uint_lt(stored(NULL), LEFT + LEFT / 10 * 3);
	check_many(FILES, BYTES, 2, 1);
	end_fs(URL);
}
END_TEST

/* Nothing is written again and again for the sake of a few bytes. */
START_TEST(a_few_dead_bytes_stay_where_they_are)
{
	enum { FILES = 160, BYTES = 100000 };
	struct store_counts before, after;

	make_many(FILES, BYTES);
	remove_many(FILES, 8, 0);
	store_trace_counts(fs->trace, &before);
	clean();
	store_trace_counts(fs->trace, &after);
	ck_assert_uint_lt(after.bytes_out - before.bytes_out, FILES * BYTES / 10);
	ck_assert_uint_gt(stored(NULL), FILES * BYTES);
	end_fs(URL);
}
END_TEST

START_TEST(parts_of_extents_move_without_what_was_overwritten)
{
	uint8_t page[4096];
	uint8_t *want = malloc(2 * MIB);
	uint64_t ino;

	make_clean_fs(URL);
	write_file("file", 2 * MIB, 1);
	fill(want, 2 * MIB, 1);
	ino = find(FS_ROOT_INO, "file");
	calm();
	for (unsigned n = 0; n < 2 * MIB / sizeof(page); n++) {
		if (n % 8 == 3)
			continue;
		fill(page, sizeof(page), 1000 + n);
		memcpy(want + n * sizeof(page), page, sizeof(page));
		write_at(ino, page, sizeof(page), n * sizeof(page));
	}
	calm();
	clean();
	for (int crashed = 0; crashed < 2; crashed++) {
		uint8_t *got = malloc(2 * MIB);

		ck_assert_uint_eq(read_at(ino, got, 2 * MIB, 0), 2 * MIB);
		ck_assert(memcmp(got, want, 2 * MIB) == 0);
		free(got);
		check_fs(true);
		lose_machine(URL);
	}
	free(want);
	end_fs(URL);
}
END_TEST

START_TEST(many_tiny_segments_become_few_and_small_pieces_of_a_file_one)
{
	enum { PIECES = 80, BYTES = 1000 };
	uint8_t *want = malloc(PIECES * BYTES), *got = malloc(PIECES * BYTES);
	uint64_t ino, before;
	size_t objects;

	make_clean_fs(URL);
	ino = make_file(FS_ROOT_INO, "log");
	fill(want, PIECES * BYTES, 9);
	for (unsigned n = 0; n < PIECES; n++) {
		write_at(ino, want + n * BYTES, BYTES, n * BYTES);
		calm();
	}
	(void)stored(&objects);
	ck_assert_uint_ge(objects, PIECES);
	before = check_fs(true).extents;
	ck_assert_uint_eq(before, PIECES);
	clean();
	(void)stored(&objects);
	ck_assert_uint_le(objects, 2);
	ck_assert_uint_eq(check_fs(true).extents, 1);
	ck_assert_uint_eq(read_at(ino, got, PIECES * BYTES, 0), PIECES * BYTES);
	ck_assert_mem_eq(got, want, PIECES * BYTES);
	free(want);
	free(got);
	end_fs(URL);
}
END_TEST

/* Packs what the file has into the open stream segment. */
static void pack_now(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	must(flush_freeze(fs, i), "freeze");
	flush_submit(fs, i);
	pthread_mutex_unlock(&i->lock);
	pool_drain(fs->workers);
}

static void set_trimming(struct inode *i, bool trimming)
{
	pthread_mutex_lock(&i->lock);
	i->trimming = trimming;
	i->trim_from = 0;
	pthread_mutex_unlock(&i->lock);
}

START_TEST(a_segment_with_bytes_still_to_come_is_kept)
{
	struct inode *late, *gone;
	uint64_t segment;

	make_clean_fs(URL);
	write_file("late", 300000, 2);
	write_file("gone", 300000, 1);
	must(inode_get(fs, find(FS_ROOT_INO, "late"), &late), "inode");
	must(inode_get(fs, find(FS_ROOT_INO, "gone"), &gone), "inode");
	set_trimming(late, true); /* what it has packed must wait with entering */
	pack_now(late);
	pack_now(gone);
	segment = late->frozen->packed.at[0].ref.segment;
	data_push_stream(fs->data);
	must(data_wait(fs->data, segment), "upload");
	must(fs_fsync(fs, gone->ino), "fsync");
	inode_put(fs, gone);
	must(fs_unlink(fs, FS_ROOT_INO, "gone"), "unlink");
	orphan_drain(fs);
	ck_assert_int_eq(clean_pass(fs), 0);
	ck_assert(pending_has(fs, segment));
	set_trimming(late, false);
	inode_put(fs, late);
	clean();
	lose_machine(URL);
	check_file("late", 300000, 2);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(bytes_that_were_packed_and_cut_off_before_they_entered_come_back)
{
	struct fs_attr empty = { .size = 0 };
	const struct extent_list *packed;
	struct inode *i;
	uint64_t first, last;

	make_clean_fs(URL);
	write_file("file", 3 * MIB, 1);
	must(inode_get(fs, find(FS_ROOT_INO, "file"), &i), "inode");
	pack_now(i);
	packed = &i->frozen->packed;
	first = packed->at[0].ref.segment;
	last = packed->at[packed->count - 1].ref.segment;
	must(fs_setattr(fs, i->ino, &empty, FS_SET_SIZE, NULL), "truncate");
	inode_put(fs, i);
	for (uint64_t segment = first; segment <= last; segment++)
		must(data_wait(fs->data, segment), "upload");
	calm();
	ck_assert_uint_gt(stored(NULL), 2 * MIB);
	clean();
	ck_assert_uint_eq(stored(NULL), 0);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(what_is_overwritten_or_removed_while_it_moves_stays_so)
{
	uint8_t *want = malloc(900000), *got = malloc(900000);
	struct mover *m;
	uint64_t ino;
	size_t objects;

	make_clean_fs(URL);
	write_file("file", 900000, 1);
	write_file("gone", 100000, 2);
	calm();
	(void)stored(&objects);
	ck_assert_uint_eq(objects, 1);
	ino = find(FS_ROOT_INO, "file");
	m = mover_new(fs);
	must(mover_add(m, db_epoch(fs->db) << 32 | 1, false), "move");
	fill(want, 900000, 1);
	fill(want + 300000, 200000, 3);
	write_at(ino, want + 300000, 200000, 300000);
	must(fs_fsync(fs, ino), "fsync");
	must(fs_unlink(fs, FS_ROOT_INO, "gone"), "unlink");
	orphan_drain(fs);
	must(mover_finish(m), "move");
	mover_free(m);
	calm();
	clean();
	lose_machine(URL);
	ck_assert_uint_eq(read_at(ino, got, 900000, 0), 900000);
	ck_assert(memcmp(got, want, 900000) == 0);
	check_fs(true);
	free(want);
	free(got);
	end_fs(URL);
}
END_TEST

START_TEST(cleaning_what_is_clean_does_nothing)
{
	struct fs_status before, after;

	make_clean_fs(URL);
	write_file("file", 3 * MIB, 1);
	calm();
	fs_status(fs, &before);
	ck_assert_int_eq(clean_pass(fs), 0);
	must(fs_sync(fs), "sync");
	fs_status(fs, &after);
	ck_assert_uint_eq(after.requests.requests[STORE_OP_PUT],
			  before.requests.requests[STORE_OP_PUT]);
	ck_assert_uint_eq(after.slot, before.slot);
	end_fs(URL);
}
END_TEST

/* ---- on request: fs_gc ---- */

#define GRACE_MS 600000

/* A deleted file of 3 MiB, and everything else calm. */
static void make_garbage(void)
{
	make_clean_fs(URL);
	close_fs();
	config.grace_ms = GRACE_MS;
	config.lease_ms = HOUR_MS;
	open_fs(URL);
	write_file("kept", 1 * MIB, 1);
	write_file("gone", 3 * MIB, 2);
	calm();
	must(fs_unlink(fs, FS_ROOT_INO, "gone"), "unlink");
	calm();
}

START_TEST(what_is_collected_on_request_goes_after_its_grace_and_not_before)
{
	struct fs_gc_options options = { .wait = false };
	struct fs_gc_result r;
	uint64_t before, found;

	make_garbage();
	before = stored(NULL);
	must(fs_gc(fs, &options, &r), "gc");
	ck_assert_uint_ge(r.found_bytes, 3 * MIB);
	ck_assert_uint_eq(r.deleted, 0);
	ck_assert_uint_eq(r.waiting, r.found);
	ck_assert_uint_gt(r.due_ms, 0);
	ck_assert_uint_le(r.due_ms, GRACE_MS + 1);
	ck_assert_uint_ge(stored(NULL), before);
	found = r.found;
	options.wait = true;
	must(fs_gc(fs, &options, &r), "gc that waits");
	ck_assert_uint_eq(r.found, 0);
	ck_assert_uint_eq(r.deleted, found);
	ck_assert_uint_eq(r.waiting, 0);
	ck_assert_uint_lt(stored(NULL), 2 * MIB);
	check_file("kept", 1 * MIB, 1);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(a_dry_run_says_what_there_is_and_changes_nothing_on_a_read_only_mount_too)
{
	struct fs_gc_options options = { .dry_run = true };
	struct fs_gc_result r;
	uint64_t before;

	make_garbage();
	before = stored(NULL);
	must(fs_gc(fs, &options, &r), "dry run");
	ck_assert_uint_ge(r.found_bytes, 3 * MIB);
	ck_assert_uint_eq(r.waiting, 0);
	close_fs();
	config.read_only = true;
	open_fs(URL);
	must(fs_gc(fs, &options, &r), "dry run, read-only");
	ck_assert_uint_ge(r.found_bytes, 3 * MIB);
	ck_assert_uint_eq(stored(NULL), before);
	options.dry_run = false;
	ck_assert_int_eq(fs_gc(fs, &options, &r), -EROFS);
	end_fs(URL);
}
END_TEST

static bool until_it_waits(void *ctx, const char *phase, const struct fs_gc_result *so_far)
{
	return strcmp(phase, "waiting") != 0;
}

START_TEST(who_is_interrupted_while_waiting_leaves_everything_as_it_is)
{
	struct fs_gc_options options = { .wait = true, .goes_on = until_it_waits };
	struct fs_gc_result r;
	uint64_t before;

	make_garbage();
	before = stored(NULL);
	ck_assert_int_eq(fs_gc(fs, &options, &r), -ECANCELED);
	ck_assert_uint_gt(r.waiting, 0);
	ck_assert_uint_eq(r.deleted, 0);
	ck_assert_uint_ge(stored(NULL), before);
	check_fs(true);
	end_fs(URL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cleaning");
	TCase *c = tcase_create("clean");

	tcase_set_timeout(c, TEST_TIMEOUT_S);
	tcase_add_test(c, what_was_overwritten_is_deleted_from_the_store);
	tcase_add_test(c, what_lives_among_dead_bytes_moves_and_stays_readable);
	tcase_add_test(c, the_store_shrinks_when_dead_bytes_are_spread_thinly);
	tcase_add_test(c, a_few_dead_bytes_stay_where_they_are);
	tcase_add_test(c, parts_of_extents_move_without_what_was_overwritten);
	tcase_add_test(c, many_tiny_segments_become_few_and_small_pieces_of_a_file_one);
	tcase_add_test(c, a_segment_with_bytes_still_to_come_is_kept);
	tcase_add_test(c, bytes_that_were_packed_and_cut_off_before_they_entered_come_back);
	tcase_add_test(c, what_is_overwritten_or_removed_while_it_moves_stays_so);
	tcase_add_test(c, cleaning_what_is_clean_does_nothing);
	tcase_add_test(c, what_is_collected_on_request_goes_after_its_grace_and_not_before);
	tcase_add_test(c,
		       a_dry_run_says_what_there_is_and_changes_nothing_on_a_read_only_mount_too);
	tcase_add_test(c, who_is_interrupted_while_waiting_leaves_everything_as_it_is);
	suite_add_tcase(s, c);
	return run_suite(s);
}

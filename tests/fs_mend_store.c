/* SPDX-License-Identifier: BSD-3-Clause */
/* fsck --repair: slots, checkpoints, fences, the lease, tables. */
#include "fs_mend_store.h"

/* Of six commits the last three cannot be had. */
static void first_half_is_there(void)
{
	all_is_there();
	ck_assert_uint_ne(find(ROOT, "new0"), 0);
	ck_assert_uint_ne(find(ROOT, "new2"), 0);
	ck_assert_uint_eq(find(ROOT, "new3"), 0);
	ck_assert_uint_eq(find(ROOT, "new5"), 0);
	ck_assert(object_exists("aside/"));
	make_file(ROOT, "after");
	must(fs_sync(fs), "sync");
}

static void all_new_is_there(void)
{
	all_is_there();
	ck_assert_uint_ne(find(ROOT, "new0"), 0);
	ck_assert_uint_ne(find(ROOT, "new5"), 0);
}

/* Nothing but bytes of files is left: they are files by their numbers. */
static void only_segments_are_left(void)
{
	ck_assert_uint_eq(in_lost_found(big), big);
	big_is_whole(big);
}

static uint64_t pieced;

/* A file whose bytes are in two objects. */
static void write_pieces(void)
{
	pieced = make_file(ROOT, "pieced");
	write_at(pieced, big_bytes, 100000, 0);
	reopen_fs(URL);
	write_at(pieced, big_bytes + 200000, 100000, 200000);
	tables_then_close();
}

static void lose_database_and_a_piece(void)
{
	char key[STORE_KEY_MAX];

	object_at("data/", 1, key);
	remove_object(key);
	lose_database();
}

/* Nobody knows what was before the second: no zeros, in any case. */
static void only_the_second_piece_is_left(void)
{
	static uint8_t got[100000];
	struct fs_file *f;

	ck_assert_uint_eq(in_lost_found(pieced), pieced);
	must(fs_file_open(fs, pieced, false, false, &f), "open");
	ck_assert_int_lt(fs_read(f, got, 4096, 0), 0);
	ck_assert_int_lt(fs_read(f, got, 4096, 150000), 0);
	ck_assert_int_eq(fs_read(f, got, sizeof(got), 200000), (ssize_t)sizeof(got));
	ck_assert_int_eq(memcmp(got, big_bytes + 200000, sizeof(got)), 0);
	fs_file_close(f);
}

static const struct damage damages[] = {
	{ "slot missing", crash_with_slots, lost_slot, "slot-missing", first_half_is_there },
	{ "slot with a flipped bit", crash_with_slots, bad_slot, "slot-damaged",
	  first_half_is_there },
	{ "newest checkpoint", more_slots, bad_checkpoint, "checkpoint-damaged", all_new_is_there },
	{ "first slot of an epoch", more_slots, lost_fence, "fence-missing", all_new_is_there },
	{ "first slot of an epoch with a flipped bit", more_slots, bad_fence, "fence-damaged",
	  all_new_is_there },
	{ "junk with the name of a slot", crash_with_slots, junk_slot, "slot-missing",
	  all_new_is_there },
	{ "junk with names of checkpoints", crash_with_slots, junk_checkpoints,
	  "checkpoint-damaged", all_new_is_there },
	{ "lease", nothing, bad_lease, "lease-damaged", all_is_there },
	{ "table with a flipped bit", tables_then_close, flip_table, "table-damaged", NULL },
	{ "tables missing", tables_then_close, lose_tables, "table-missing",
	  only_segments_are_left },
	{ "checkpoints missing", tables_then_close, lose_checkpoints, "slot-missing",
	  all_is_there },
	{ "database missing", tables_then_close, lose_database, "chain-empty",
	  only_segments_are_left },
	{ "database missing, and a segment", write_pieces, lose_database_and_a_piece, "chain-empty",
	  only_the_second_piece_is_left },
};

START_TEST(what_is_damaged_is_found_and_repaired)
{
	is_found_and_repaired(&damages[_i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair: chain and tables");
	TCase *t = tcase_create("damages");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_damaged_is_found_and_repaired, 0, (int)ARRAY_LEN(damages));
	suite_add_tcase(s, t);
	return run_suite(s);
}

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

static char carried_key[DATA_KEY_MAX];
static uint64_t carried;

/* Slots have the first bytes of a segment, and the object has them too, with more behind them. */
static void crash_with_carried_bytes_stored(void)
{
	carried = make_file(ROOT, "carried");
	write_at(carried, big_bytes, 10000, 0);
	must(fs_sync(fs), "sync");
	write_at(carried, big_bytes + 10000, BIG - 10000, 10000);
	must(fs_sync(fs), "sync");
	must(data_store_parts(fs->data), "store");
	data_key(extent_of(carried, 10000).ref.segment, carried_key);
	fs_crash(fs);
	fs = NULL;
}

static void flip_early(struct buf *b)
{
	b->data[1000] ^= 2;
}

static void cut_early(struct buf *b)
{
	b->len = 1000;
}

static void long_junk(struct buf *b)
{
	for (size_t n = 0; n < b->len; n++)
		b->data[n] = (uint8_t)(n * 37);
}

static void flip_carried(void)
{
	change_object(carried_key, flip_early);
}

static void cut_carried(void)
{
	change_object(carried_key, cut_early);
}

static void junk_carried(void)
{
	change_object(carried_key, long_junk);
}

static void carried_is_whole(void)
{
	all_is_there();
	big_is_whole(carried);
	ck_assert(object_exists("aside/"));
}

/* What slots had in any case; and nothing wrong. */
static void what_slots_had_is_there(void)
{
	static uint8_t got[BIG];
	struct fs_file *f;

	all_is_there();
	must(fs_file_open(fs, carried, false, false, &f), "open");
	for (size_t at = 0; at < BIG; at += 10000) {
		ssize_t len = fs_read(f, got, 10000, at);

		ck_assert(at > 0 || len == 10000);
		ck_assert(len < 0 || memcmp(got, big_bytes + at, 10000) == 0);
	}
	fs_file_close(f);
	ck_assert(object_exists("aside/"));
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
	{ "object of bytes that slots have, with a flipped bit", crash_with_carried_bytes_stored,
	  flip_carried, "segment-differs", carried_is_whole },
	{ "object of bytes that slots have, cut short", crash_with_carried_bytes_stored,
	  cut_carried, "segment-differs", what_slots_had_is_there },
	{ "junk in place of bytes that slots have", crash_with_carried_bytes_stored, junk_carried,
	  "segment-differs", what_slots_had_is_there },
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

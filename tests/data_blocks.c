/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data: extents of blocks: what a part of one costs, that each block is checked by itself, for its
 * bytes and its place, and how reads that come back to a neighbourhood widen.
 */
#include "data/format.h"
#include "tests/data_fixture.h"

#include <xxhash.h>

static struct fixture fx;

static void setup(void)
{
	fixture_open(&fx);
}

static void teardown(void)
{
	fixture_close(&fx);
}

/* On the store, in no cache. */
static struct extent stored(size_t len, enum bytes_kind kind, uint64_t seed)
{
	struct extent e = extent_append(fx.d, DATA_STREAM, len, kind, seed);

	ck_assert_int_eq(data_wait(fx.d, e.ref.segment), 0);
	fixture_reopen(&fx);
	return e;
}

static struct buf object_of(const struct extent *e)
{
	struct buf object = BUF_INIT;
	char key[DATA_KEY_MAX];

	data_key(e->ref.segment, key);
	ck_assert_int_eq(store_get(fx.mem, key, 0, STORE_TO_END, &object, NULL), 0);
	return object;
}

/* Whatever was cached of it is gone as well. */
static void overwrite(const struct extent *e, const struct buf *object)
{
	char key[DATA_KEY_MAX];

	data_key(e->ref.segment, key);
	ck_assert_int_eq(
		store_put_bytes(fx.mem, key, object->data, object->len, STORE_ALWAYS, NULL, NULL),
		0);
	cache_forget(fx.cache, key);
}

static int exact(const struct extent *e, uint32_t from, uint32_t len)
{
	return extent_reach(fx.d, e, from, len, DATA_EXACT);
}

struct cost {
	uint64_t gets, bytes;
};

static struct cost cost_now(void)
{
	return (struct cost){ fixture_requests(&fx, STORE_OP_GET), fixture_bytes_in(&fx) };
}

static struct cost cost_since(struct cost before)
{
	struct cost now = cost_now();

	return (struct cost){ now.gets - before.gets, now.bytes - before.bytes };
}

/* ---- form ---- */

START_TEST(what_does_not_compress_is_stored_in_blocks_if_it_is_more_than_one)
{
	static const size_t sizes[] = { 1,     4095,  4096,   4097,   8191,   8192,  8193,
					12287, 65536, 126976, 126977, 131071, 131072 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct extent e = extent_append(fx.d, DATA_STREAM, sizes[i], BYTES_NOISE, i);
		size_t blocks = (sizes[i] + 4095) / 4096;

		ck_assert_int_eq(e.ref.codec, blocks > 1 ? DATA_BLOCKS : DATA_RAW);
		ck_assert_uint_eq(e.ref.stored_bytes, sizes[i] + (blocks > 1 ? 8 * blocks : 0));
	}
}
END_TEST

/* As doc/format.md has it, put together here once more. */
START_TEST(the_stored_form_is_the_documented_one)
{
	struct extent e = stored(2 * 4096 + 100, BYTES_NOISE, 1);
	struct buf object CLEANUP(buf_release) = object_of(&e);
	static uint8_t raw[2 * 4096 + 100];
	uint8_t sums[3 * 8];

	bytes_fill(raw, sizeof(raw), BYTES_NOISE, 1);
	for (size_t n = 0; n < 3; n++) {
		size_t at = e.ref.offset + n * 4104, len = n < 2 ? 4096 : 100;
		uint64_t seed = e.ref.segment ^ at * 0x9e3779b97f4a7c15u;

		ck_assert(memcmp(object.data + at, raw + n * 4096, len) == 0);
		ck_assert_uint_eq(get_u64(object.data + at + len),
				  XXH3_64bits_withSeed(raw + n * 4096, len, seed));
		memcpy(sums + n * 8, object.data + at + len, 8);
	}
	ck_assert_uint_eq(e.ref.sum, XXH3_64bits(sums, sizeof(sums)));
	ck_assert_uint_eq(e.ref.stored_bytes, 2 * 4096 + 100 + 3 * 8);
}
END_TEST

/* Every start and end around a border of blocks. */
static void read_parts(const struct extent *e)
{
	for (uint32_t from = 0; from < e->len; from += from % 4096 == 4095 ? 1 : 4095)
		for (uint32_t to = from + 1; to <= e->len; to += to % 4096 == 1 ? 4094 : 1)
			ck_assert_int_eq(exact(e, from, to - from), 0);
	extent_check(fx.d, e);
}

START_TEST(any_part_of_an_extent_of_any_size_reads_right)
{
	static const size_t sizes[] = { 4096, 4097, 8191, 8192, 8193, 12288, 32769 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct extent e = extent_append(fx.d, DATA_STREAM, sizes[i], BYTES_NOISE, i);

		read_parts(&e); /* in memory */
		ck_assert_int_eq(data_wait(fx.d, e.ref.segment), 0);
		fixture_reopen(&fx);
		read_parts(&e);
	}
}
END_TEST

/* ---- cost ---- */

START_TEST(a_page_costs_one_get_and_its_own_bytes)
{
	struct extent e = stored(131072, BYTES_NOISE, 1);
	struct cost before = cost_now(), cost;

	ck_assert_int_eq(exact(&e, 20 * 4096, 4096), 0);
	cost = cost_since(before);
	ck_assert_uint_eq(cost.gets, 1);
	ck_assert_uint_eq(cost.bytes, 4096 + 8);
	ck_assert_int_eq(exact(&e, 20 * 4096 + 1, 4000), 0);
	ck_assert_uint_eq(cost_since(before).gets, 1);
}
END_TEST

START_TEST(a_page_across_two_blocks_costs_one_get_too)
{
	struct extent e = stored(131072, BYTES_NOISE, 1);
	struct cost before = cost_now(), cost;

	ck_assert_int_eq(exact(&e, 20 * 4096 + 100, 4096), 0);
	cost = cost_since(before);
	ck_assert_uint_eq(cost.gets, 1);
	ck_assert_uint_eq(cost.bytes, 2 * (4096 + 8));
}
END_TEST

START_TEST(the_end_of_an_extent_costs_its_short_block)
{
	struct extent e = stored(3 * 4096 + 10, BYTES_NOISE, 1);
	struct cost before = cost_now(), cost;

	ck_assert_int_eq(exact(&e, 3 * 4096 + 9, 1), 0);
	cost = cost_since(before);
	ck_assert_uint_eq(cost.gets, 1);
	ck_assert_uint_eq(cost.bytes, 10 + 8);
}
END_TEST

START_TEST(pages_here_and_there_cost_a_get_each_and_little_more_than_they_are)
{
	struct extent all[100];
	struct cost before, cost;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 131072, BYTES_NOISE, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	before = cost_now();
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		ck_assert_int_eq(exact(&all[(i * 37) % 100], 4096 * 12, 4096), 0);
	cost = cost_since(before);
	ck_assert_uint_eq(cost.gets, 100);
	ck_assert_uint_eq(cost.bytes, 100 * (4096 + 8));
}
END_TEST

START_TEST(an_extent_looked_at_all_over_is_soon_there_whole)
{
	struct extent e = stored(131072, BYTES_NOISE, 1);
	struct cost before = cost_now(), cost;

	for (uint32_t i = 0; i < 32; i++)
		ck_assert_int_eq(exact(&e, i * 13 % 32 * 4096, 4096), 0);
	cost = cost_since(before);
	/* Three for a window; the extent's last bytes are in the next one. */
	ck_assert_uint_le(cost.gets, 4);
	ck_assert_uint_le(cost.bytes, 131072 * 3 / 2);
}
END_TEST

START_TEST(a_small_extent_of_a_reader_that_jumps_brings_no_others)
{
	struct extent all[64];
	struct cost before, cost;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 4096, BYTES_NOISE, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	before = cost_now();
	ck_assert_int_eq(exact(&all[30], 0, 4096), 0);
	cost = cost_since(before);
	ck_assert_uint_eq(cost.gets, 1);
	ck_assert_uint_eq(cost.bytes, 4096);
	/* Others near it are wanted as well: it widens, in each of the windows. */
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		ck_assert_int_eq(exact(&all[i * 37 % 64], 0, 4096), 0);
	ck_assert_uint_le(cost_since(before).gets, 3 + 3 + 1);
}
END_TEST

START_TEST(a_reader_that_goes_on_gets_the_whole_extent)
{
	struct extent e = stored(131072, BYTES_NOISE, 1);
	struct cost before = cost_now();

	for (uint32_t at = 0; at < e.len; at += 4096)
		ck_assert_int_eq(extent_read(fx.d, &e, at, 4096), 0);
	ck_assert_uint_eq(cost_since(before).gets, 1);
}
END_TEST

/* What came in pieces is put together; what is missing is all that is asked for. */
START_TEST(a_whole_read_after_parts_of_it)
{
	struct extent e = stored(131072, BYTES_NOISE, 1);
	struct cost before;

	ck_assert_int_eq(exact(&e, 0, 5000), 0);
	before = cost_now();
	ck_assert_int_eq(exact(&e, 0, 131072), 0);
	ck_assert_uint_eq(cost_since(before).gets, 1);
	ck_assert_uint_eq(cost_since(before).bytes, e.ref.stored_bytes - 2 * (4096 + 8));
}
END_TEST

START_TEST(compressed_extents_need_what_is_left_of_them_and_no_more)
{
	struct extent all[3];
	struct cost before, cost;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 131072, BYTES_TEXT, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	before = cost_now();
	ck_assert_int_eq(exact(&all[1], 70000, 4096), 0);
	cost = cost_since(before);
	ck_assert_uint_eq(cost.gets, 1);
	ck_assert_uint_eq(cost.bytes, all[1].ref.stored_bytes);
}
END_TEST

/* ---- damage ---- */

/* Reads each block alone, and then all; a bit per block that was refused, the highest for all. */
static uint64_t refused(const struct extent *e)
{
	uint32_t blocks = (e->len + 4095) / 4096;
	uint64_t bits = 0;
	struct buf object CLEANUP(buf_release) = object_of(e);

	for (uint32_t n = 0; n <= blocks; n++) {
		uint32_t from = n < blocks ? n * 4096 : 0;
		uint32_t len = n < blocks ? (uint32_t)min_u64(4096, e->len - from) : e->len;
		int err;

		overwrite(e, &object); /* what is cached goes */
		err = exact(e, from, len);
		ck_assert(err == 0 || err == -L3_CORRUPT);
		bits |= (uint64_t)(err < 0) << (n < blocks ? n : 63);
	}
	return bits;
}

START_TEST(a_flipped_bit_spoils_its_own_block_only)
{
	struct extent e = stored(5 * 4096 + 100, BYTES_NOISE, 1);
	struct buf object CLEANUP(buf_release) = object_of(&e);

	for (uint32_t at = 0; at < e.ref.stored_bytes; at += 97) {
		uint32_t block = at / (4096 + 8);

		object.data[e.ref.offset + at] ^= 1 << at % 8;
		overwrite(&e, &object);
		ck_assert_uint_eq(refused(&e), (uint64_t)1 << block | (uint64_t)1 << 63);
		object.data[e.ref.offset + at] ^= 1 << at % 8;
	}
	overwrite(&e, &object);
	ck_assert_uint_eq(refused(&e), 0);
}
END_TEST

static uint8_t *block_of(struct buf *object, const struct extent *e, uint32_t n)
{
	return object->data + e->ref.offset + (size_t)n * (4096 + 8);
}

START_TEST(blocks_that_changed_places_are_refused)
{
	struct extent e = stored(8 * 4096, BYTES_NOISE, 1);
	struct buf object CLEANUP(buf_release) = object_of(&e);
	uint8_t third[4096 + 8];

	memcpy(third, block_of(&object, &e, 3), sizeof(third));
	memcpy(block_of(&object, &e, 3), block_of(&object, &e, 6), sizeof(third));
	memcpy(block_of(&object, &e, 6), third, sizeof(third));
	overwrite(&e, &object);
	ck_assert_uint_eq(refused(&e), (uint64_t)1 << 3 | (uint64_t)1 << 6 | (uint64_t)1 << 63);
}
END_TEST

START_TEST(equal_bytes_at_another_place_or_in_another_segment_are_not_the_same)
{
	struct extent one = stored(8 * 4096, BYTES_NOISE, 1);
	struct extent two = stored(8 * 4096, BYTES_NOISE, 1);
	struct buf from CLEANUP(buf_release) = object_of(&one);
	struct buf to CLEANUP(buf_release) = object_of(&two);

	ck_assert_uint_eq(one.ref.offset, two.ref.offset);
	ck_assert_uint_ne(one.ref.segment, two.ref.segment);
	ck_assert(memcmp(block_of(&from, &one, 5), block_of(&to, &two, 5), 4096) == 0);
	memcpy(block_of(&to, &two, 5), block_of(&from, &one, 5), 4096 + 8);
	overwrite(&two, &to);
	ck_assert_uint_eq(refused(&two), (uint64_t)1 << 5 | (uint64_t)1 << 63);
}
END_TEST

START_TEST(a_wrong_sum_in_the_reference_is_seen_when_all_is_read)
{
	struct extent e = stored(8 * 4096, BYTES_NOISE, 1);

	e.ref.sum ^= 1;
	ck_assert_uint_eq(refused(&e), (uint64_t)1 << 63);
}
END_TEST

START_TEST(blocks_damaged_on_the_way_are_fetched_again)
{
	struct extent e = stored(131072, BYTES_NOISE, 1);

	for (uint32_t n = 0; n < 4; n++) {
		fixture_fault(&fx, STORE_OP_GET, STORE_FAULT_FLIP, 1);
		ck_assert_int_eq(exact(&e, n * 8 * 4096, 4096), 0);
	}
}
END_TEST

/* ---- all of it ---- */

START_TEST(parts_over_each_other_in_any_order_read_right)
{
	static uint8_t got[64][20000];
	static uint8_t want[131072];
	struct data_piece pieces[64];
	struct extent all[12];

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 30000 + i * 7001, i % BYTES_KINDS, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	srand(11);
	for (unsigned round = 0; round < 60; round++) {
		size_t which[64];

		if (round % 10 == 0)
			fixture_reopen(&fx);
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
			which[i] = (size_t)rand() % ARRAY_LEN(all);
			pieces[i] = (struct data_piece){
				.ref = all[which[i]].ref,
				.raw_offset = (uint32_t)rand() % 10000,
				.len = 1 + (uint32_t)rand() % 20000,
				.dst = got[i],
			};
		}
		ck_assert_int_eq(data_read(fx.d, pieces, 1 + (size_t)rand() % 64,
					   rand() % 2 ? DATA_EXACT : DATA_AROUND),
				 0);
		ck_assert_int_eq(data_read(fx.d, pieces, 64, DATA_EXACT), 0);
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
			const struct extent *e = &all[which[i]];

			bytes_fill(want, e->len, e->kind, e->seed);
			ck_assert(memcmp(got[i], want + pieces[i].raw_offset, pieces[i].len) == 0);
		}
	}
}
END_TEST

START_TEST(the_index_says_what_was_appended)
{
	struct extent e = stored(100000, BYTES_NOISE, 1);
	struct data_index_entry *entries;
	uint64_t bytes;
	size_t count;

	ck_assert_int_eq(data_read_index(fx.d, e.ref.segment, &entries, &count, &bytes), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(entries[0].ref.sum, e.ref.sum);
	ck_assert_uint_eq(entries[0].ref.codec, DATA_BLOCKS);
	ck_assert_uint_eq(entries[0].ref.stored_bytes, e.ref.stored_bytes);
	free(entries);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("extents of blocks");
	TCase *tc = tcase_create("blocks");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_does_not_compress_is_stored_in_blocks_if_it_is_more_than_one);
	tcase_add_test(tc, the_stored_form_is_the_documented_one);
	tcase_add_test(tc, any_part_of_an_extent_of_any_size_reads_right);
	tcase_add_test(tc, a_page_costs_one_get_and_its_own_bytes);
	tcase_add_test(tc, a_page_across_two_blocks_costs_one_get_too);
	tcase_add_test(tc, the_end_of_an_extent_costs_its_short_block);
	tcase_add_test(tc, pages_here_and_there_cost_a_get_each_and_little_more_than_they_are);
	tcase_add_test(tc, an_extent_looked_at_all_over_is_soon_there_whole);
	tcase_add_test(tc, a_small_extent_of_a_reader_that_jumps_brings_no_others);
	tcase_add_test(tc, a_reader_that_goes_on_gets_the_whole_extent);
	tcase_add_test(tc, a_whole_read_after_parts_of_it);
	tcase_add_test(tc, compressed_extents_need_what_is_left_of_them_and_no_more);
	tcase_add_test(tc, a_flipped_bit_spoils_its_own_block_only);
	tcase_add_test(tc, blocks_that_changed_places_are_refused);
	tcase_add_test(tc, equal_bytes_at_another_place_or_in_another_segment_are_not_the_same);
	tcase_add_test(tc, a_wrong_sum_in_the_reference_is_seen_when_all_is_read);
	tcase_add_test(tc, blocks_damaged_on_the_way_are_fetched_again);
	tcase_add_test(tc, parts_over_each_other_in_any_order_read_right);
	tcase_add_test(tc, the_index_says_what_was_appended);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

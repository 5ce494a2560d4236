/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data: what reads cost in requests, and that pieces go where they are wanted.
 */
#include "tests/data_fixture.h"

static struct fixture fx;

static void setup(void)
{
	fixture_open(&fx);
}

static void teardown(void)
{
	fixture_close(&fx);
}

static void read_all(const struct extent *all, size_t count, uint8_t *dst)
{
	struct data_piece *pieces = calloc(count, sizeof(*pieces));
	size_t at = 0;

	ck_assert_ptr_nonnull(pieces);
	for (size_t i = 0; i < count; i++) {
		pieces[i] = (struct data_piece){ .ref = all[i].ref,
						 .len = all[i].len,
						 .dst = dst + at };
		at += all[i].len;
	}
	ck_assert_int_eq(data_read(fx.d, pieces, count, DATA_AROUND), 0);
	free(pieces);
}

/* Writes, stores, forgets all caches, reads in one call; returns the GETs it took. */
static uint64_t gets_for(size_t count, size_t len, enum bytes_kind kind)
{
	struct extent *all = calloc(count, sizeof(*all));
	uint8_t *got = malloc(count * len), *want = malloc(len);
	uint64_t before;

	ck_assert(all && got && want);
	for (size_t i = 0; i < count; i++)
		all[i] = extent_append(fx.d, DATA_STREAM, len, kind, i);
	ck_assert_int_eq(data_wait(fx.d, all[count - 1].ref.segment), 0);
	fixture_reopen(&fx);
	before = fixture_requests(&fx, STORE_OP_GET);
	read_all(all, count, got);
	before = fixture_requests(&fx, STORE_OP_GET) - before;
	for (size_t i = 0; i < count; i++) {
		bytes_fill(want, len, kind, i);
		ck_assert(memcmp(got + i * len, want, len) == 0);
	}
	free(all);
	free(got);
	free(want);
	return before;
}

START_TEST(one_cold_small_extent_costs_one_get)
{
	ck_assert_uint_eq(gets_for(1, 4096, BYTES_NOISE), 1);
}
END_TEST

START_TEST(one_cold_full_extent_costs_one_get)
{
	ck_assert_uint_eq(gets_for(1, 131072, BYTES_TEXT), 1);
}
END_TEST

START_TEST(neighbouring_extents_share_a_get)
{
	ck_assert_uint_eq(gets_for(64, 4096, BYTES_NOISE), 1);
}
END_TEST

START_TEST(a_long_read_takes_few_large_gets)
{
	ck_assert_uint_le(gets_for(96, 131072, BYTES_NOISE), 4);
}
END_TEST

START_TEST(compressed_neighbours_share_a_get_too)
{
	ck_assert_uint_eq(gets_for(64, 131072, BYTES_TEXT), 1);
}
END_TEST

START_TEST(small_gaps_do_not_split_a_read)
{
	struct extent all[80], every_second[40];
	static uint8_t got[40 * 8192];
	uint64_t before;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 8192, BYTES_NOISE, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	for (size_t i = 0; i < ARRAY_LEN(every_second); i++)
		every_second[i] = all[2 * i];
	before = fixture_requests(&fx, STORE_OP_GET);
	read_all(every_second, ARRAY_LEN(every_second), got);
	ck_assert_uint_eq(fixture_requests(&fx, STORE_OP_GET) - before, 1);
}
END_TEST

START_TEST(neighbours_may_be_wanted_at_places_that_are_none)
{
	static uint8_t got[5][65536];
	struct data_piece pieces[5];
	uint8_t want[65536];

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct extent e = extent_append(fx.d, DATA_STREAM, 65536, BYTES_NOISE, i);

		pieces[i] = (struct data_piece){ .ref = e.ref, .len = e.len, .dst = got[4 - i] };
	}
	ck_assert_int_eq(data_wait(fx.d, pieces[0].ref.segment), 0);
	fixture_reopen(&fx);
	ck_assert_int_eq(data_read(fx.d, pieces, ARRAY_LEN(pieces), DATA_AROUND), 0);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		bytes_fill(want, sizeof(want), BYTES_NOISE, i);
		ck_assert(memcmp(got[4 - i], want, sizeof(want)) == 0);
	}
}
END_TEST

START_TEST(small_files_written_together_are_read_with_few_gets)
{
	struct extent all[256];
	uint64_t before;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 2000, BYTES_NOISE, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	before = fixture_requests(&fx, STORE_OP_GET);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		extent_check(fx.d, &all[i]);
	ck_assert_uint_le(fixture_requests(&fx, STORE_OP_GET) - before, 10);
}
END_TEST

START_TEST(an_extent_read_piece_by_piece_is_fetched_once)
{
	for (enum bytes_kind k = 0; k < BYTES_KINDS; k++) {
		struct extent e = extent_append(fx.d, DATA_STREAM, 131072, k, k);
		uint64_t before;

		ck_assert_int_eq(data_wait(fx.d, e.ref.segment), 0);
		fixture_reopen(&fx);
		before = fixture_requests(&fx, STORE_OP_GET);
		for (uint32_t at = 0; at < e.len; at += 4096)
			ck_assert_int_eq(extent_read(fx.d, &e, at, 4096), 0);
		ck_assert_uint_eq(fixture_requests(&fx, STORE_OP_GET) - before, 1);
	}
}
END_TEST

START_TEST(pieces_in_any_order_and_of_many_segments_go_where_they_are_wanted)
{
	struct extent all[60];
	struct data_piece pieces[120];
	static uint8_t got[120][3000];
	uint8_t want[9000];

	fx.config.segment_bytes = 256 * KIB;
	fixture_reopen(&fx);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = extent_append(fx.d, DATA_STREAM, 9000, i % BYTES_KINDS, i);
		if (i % 7 == 6)
			data_push_stream(fx.d);
	}
	for (size_t i = 0; i < 54; i++)
		ck_assert_int_eq(data_wait(fx.d, all[i].ref.segment), 0);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct extent *e = &all[(i * 37) % ARRAY_LEN(all)];

		pieces[i] = (struct data_piece){
			.ref = e->ref, .raw_offset = (uint32_t)i * 50, .len = 3000, .dst = got[i]
		};
	}
	ck_assert_int_eq(data_read(fx.d, pieces, ARRAY_LEN(pieces), DATA_AROUND), 0);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		size_t n = (i * 37) % ARRAY_LEN(all);

		bytes_fill(want, sizeof(want), n % BYTES_KINDS, n);
		ck_assert(memcmp(got[i], want + i * 50, 3000) == 0);
	}
}
END_TEST

static bool is_cached(const struct extent *e)
{
	char key[DATA_KEY_MAX];

	data_key(e->ref.segment, key);
	return cache_has(fx.cache, key, e->ref.offset, e->ref.stored_bytes);
}

START_TEST(prefetched_extents_are_read_without_further_gets)
{
	struct extent all[64];
	struct data_ref refs[64];
	uint64_t before;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = extent_append(fx.d, DATA_STREAM, 65536, BYTES_NOISE, i);
		refs[i] = all[i].ref;
	}
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	before = fixture_requests(&fx, STORE_OP_GET);
	data_prefetch(fx.d, refs, ARRAY_LEN(refs));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		while (!is_cached(&all[i]))
			clock_system.sleep_ms(&clock_system, 1);
		extent_check(fx.d, &all[i]);
	}
	ck_assert_uint_le(fixture_requests(&fx, STORE_OP_GET) - before, 4);
	data_prefetch(fx.d, refs, ARRAY_LEN(refs));
	cache_close(fx.cache); /* ends prefetches */
	ck_assert_uint_le(fixture_requests(&fx, STORE_OP_GET) - before, 4);
	fixture_open_cache(&fx);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reading file bytes");
	TCase *tc = tcase_create("reads");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_cold_small_extent_costs_one_get);
	tcase_add_test(tc, one_cold_full_extent_costs_one_get);
	tcase_add_test(tc, neighbouring_extents_share_a_get);
	tcase_add_test(tc, a_long_read_takes_few_large_gets);
	tcase_add_test(tc, compressed_neighbours_share_a_get_too);
	tcase_add_test(tc, small_gaps_do_not_split_a_read);
	tcase_add_test(tc, neighbours_may_be_wanted_at_places_that_are_none);
	tcase_add_test(tc, small_files_written_together_are_read_with_few_gets);
	tcase_add_test(tc, an_extent_read_piece_by_piece_is_fetched_once);
	tcase_add_test(tc, pieces_in_any_order_and_of_many_segments_go_where_they_are_wanted);
	tcase_add_test(tc, prefetched_extents_are_read_without_further_gets);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

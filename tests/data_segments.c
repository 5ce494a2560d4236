/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data: extents go into segments and come back, from memory and from the store; what a read costs
 * in requests; and that damaged objects give an error, never wrong bytes.
 */
#include "tests/data_fixture.h"

static const size_t sizes[] = { 1,    2,    100,  127,	 128,	129,   511,    512,   513,
				4095, 4096, 4097, 65535, 65536, 65537, 131071, 131072 };

static struct fixture fx;

static void setup(void)
{
	fixture_open(&fx);
}

static void teardown(void)
{
	fixture_close(&fx);
}

static void check_parts(const struct extent *e)
{
	uint32_t third = e->len / 3;

	extent_check(fx.d, e);
	ck_assert_int_eq(extent_read(fx.d, e, e->len - 1, 1), 0);
	ck_assert_int_eq(extent_read(fx.d, e, 0, 1), 0);
	if (third > 0)
		ck_assert_int_eq(extent_read(fx.d, e, third, third), 0);
}

static void round_trip(enum data_class class)
{
	struct extent all[ARRAY_LEN(sizes) * BYTES_KINDS];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (enum bytes_kind k = 0; k < BYTES_KINDS; k++, n++)
			all[n] = extent_append(fx.d, class, sizes[i], k, n);
	}
	for (size_t i = 0; i < n; i++)
		check_parts(&all[i]);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	for (size_t i = 0; i < n; i++)
		check_parts(&all[i]);
	fixture_reopen(&fx);
	for (size_t i = 0; i < n; i++)
		check_parts(&all[i]);
}

START_TEST(extents_of_every_size_and_kind_come_back)
{
	round_trip(DATA_COMMIT);
}
END_TEST

START_TEST(extents_come_back_when_compression_is_off)
{
	fx.config.compress = false;
	fixture_reopen(&fx);
	round_trip(DATA_STREAM);
}
END_TEST

START_TEST(compression_is_kept_only_where_it_saves)
{
	struct extent noise = extent_append(fx.d, DATA_STREAM, 65536, BYTES_NOISE, 1);
	struct extent text = extent_append(fx.d, DATA_STREAM, 65536, BYTES_TEXT, 2);

	ck_assert_int_eq(noise.ref.codec, DATA_BLOCKS);
	ck_assert_uint_eq(noise.ref.stored_bytes, 65536 + 16 * 8);
	ck_assert_int_eq(text.ref.codec, DATA_LZ4);
	ck_assert_uint_lt(text.ref.stored_bytes, 32768);
}
END_TEST

START_TEST(noise_at_the_beginning_does_not_hide_what_compresses)
{
	static uint8_t raw[DATA_EXTENT_MAX];
	struct data_ref ref;

	bytes_fill(raw, sizeof(raw) / 4, BYTES_NOISE, 1);
	bytes_fill(raw + sizeof(raw) / 4, sizeof(raw) - sizeof(raw) / 4, BYTES_TEXT, 2);
	ck_assert_int_eq(data_append(fx.d, DATA_STREAM, 1, 0, raw, sizeof(raw), &ref), 0);
	ck_assert_int_eq(ref.codec, DATA_LZ4);
	ck_assert_uint_lt(ref.stored_bytes, sizeof(raw) / 2);
}
END_TEST

START_TEST(sizes_that_no_extent_has_are_refused)
{
	static uint8_t raw[DATA_EXTENT_MAX + 1];
	struct data_ref ref;

	ck_assert_int_eq(data_append(fx.d, DATA_COMMIT, 1, 0, raw, 0, &ref), -EINVAL);
	ck_assert_int_eq(data_append(fx.d, DATA_COMMIT, 1, 0, raw, sizeof(raw), &ref), -EINVAL);
}
END_TEST

START_TEST(a_full_segment_is_sealed_and_stored_and_gives_its_memory_back)
{
	struct extent all[64];
	struct data_stats stats;

	fx.config.segment_bytes = MIB;
	fixture_reopen(&fx);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 131072, BYTES_NOISE, i);
	/* Seven such extents and a head fit into 1 MiB. */
	ck_assert_uint_eq(all[6].ref.segment, all[0].ref.segment);
	ck_assert_uint_ne(all[7].ref.segment, all[0].ref.segment);
	for (size_t i = 0; i < 63; i++)
		ck_assert_int_eq(data_wait(fx.d, all[i].ref.segment), 0);
	data_stats(fx.d, &stats);
	ck_assert_uint_eq(stats.segments_stored, 9);
	ck_assert_uint_eq(stats.uploading_bytes, 0);
	ck_assert_uint_eq(stats.open_bytes, 64 + 131072 + 32 * 8);
	ck_assert_uint_eq(stats.raw_bytes, 64 * 131072);
	data_push_stream(fx.d);
	ck_assert_int_eq(data_wait(fx.d, all[63].ref.segment), 0);
	fixture_drained(&fx);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		extent_check(fx.d, &all[i]);
}
END_TEST

#define WRITERS 4
#define PER_WRITER 150

struct writer {
	unsigned number;
	struct extent extents[PER_WRITER];
	int failed;
};

static int write_and_read(struct writer *w, unsigned i)
{
	struct extent *e = &w->extents[i];
	unsigned seed = w->number * PER_WRITER + i;

	*e = (struct extent){
		.ino = w->number, .file_offset = i, .seed = seed, .kind = i % BYTES_KINDS
	};
	e->len = 1 + (seed * 7919) % DATA_EXTENT_MAX;
	if (extent_try(fx.d, i % 2 ? DATA_COMMIT : DATA_STREAM, e) < 0)
		return 1;
	if (i % 25 == 0)
		data_push_stream(fx.d);
	for (unsigned back = 0; back <= i && back < 40; back += 13) {
		const struct extent *old = &w->extents[i - back];

		if (extent_read(fx.d, old, 0, old->len) < 0 ||
		    extent_read(fx.d, old, old->len / 2, old->len - old->len / 2) < 0)
			return 1;
	}
	return 0;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	for (unsigned i = 0; i < PER_WRITER && !w->failed; i++)
		w->failed = write_and_read(w, i);
	return NULL;
}

START_TEST(writers_and_readers_in_parallel_see_their_own_bytes)
{
	static struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	struct data_stats stats;

	fx.config.segment_bytes = 512 * KIB;
	fixture_reopen(&fx);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i].number = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	data_push_stream(fx.d);
	for (unsigned i = 0; i < WRITERS; i++) {
		ck_assert_int_eq(writers[i].failed, 0);
		for (unsigned k = 0; k < PER_WRITER; k++)
			ck_assert_int_eq(data_wait(fx.d, writers[i].extents[k].ref.segment), 0);
	}
	data_stats(fx.d, &stats);
	ck_assert_uint_eq(stats.open_bytes + stats.uploading_bytes, 0);
	fixture_drained(&fx);
	fixture_reopen(&fx);
	for (unsigned i = 0; i < WRITERS * PER_WRITER; i++)
		extent_check(fx.d, &writers[i % WRITERS].extents[i / WRITERS]);
}
END_TEST

START_TEST(every_durable_stream_segment_is_announced_once)
{
	uint64_t last = 0;
	unsigned segments = 0;

	fx.config.segment_bytes = 256 * KIB;
	fixture_reopen(&fx);
	for (unsigned i = 0; i < 20; i++) {
		struct extent e = extent_append(fx.d, DATA_STREAM, 100000, BYTES_NOISE, i);

		segments += e.ref.segment != last;
		last = e.ref.segment;
		(void)extent_append(fx.d, DATA_COMMIT, 100000, BYTES_NOISE, i);
	}
	data_push_stream(fx.d);
	ck_assert_int_eq(data_wait(fx.d, last), 0);
	data_close(fx.d); /* after the announcements under way */
	fx.d = NULL;
	ck_assert_uint_eq(fx.durable_calls, segments);
}
END_TEST

/* ---- indexes ---- */

static void check_index(const struct extent *all, size_t count)
{
	struct data_index_entry *entries CLEANUP(free_ptr) = NULL;
	struct store_meta meta;
	char key[DATA_KEY_MAX];
	size_t n;
	uint64_t bytes;

	ck_assert_int_eq(data_read_index(fx.d, all[0].ref.segment, &entries, &n, &bytes), 0);
	ck_assert_uint_eq(n, count);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(entries[i].ino, all[i].ino);
		ck_assert_uint_eq(entries[i].file_offset, all[i].file_offset);
		ck_assert_uint_eq(entries[i].ref.segment, all[i].ref.segment);
		ck_assert_uint_eq(entries[i].ref.offset, all[i].ref.offset);
		ck_assert_uint_eq(entries[i].ref.stored_bytes, all[i].ref.stored_bytes);
		ck_assert_uint_eq(entries[i].ref.raw_bytes, all[i].ref.raw_bytes);
		ck_assert_uint_eq(entries[i].ref.codec, all[i].ref.codec);
		ck_assert_uint_eq(entries[i].ref.sum, all[i].ref.sum);
	}
	data_key(all[0].ref.segment, key);
	ck_assert_int_eq(store_head(fx.mem, key, &meta), 0);
	ck_assert_uint_eq(bytes, meta.size_bytes);
}

START_TEST(a_stored_segment_lists_its_extents)
{
	struct extent all[50];
	uint64_t before;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_COMMIT, 1 + i * 2000, i % BYTES_KINDS, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	before = fixture_requests(&fx, STORE_OP_GET);
	check_index(all, ARRAY_LEN(all));
	ck_assert_uint_eq(fixture_requests(&fx, STORE_OP_GET) - before, 2);
}
END_TEST

START_TEST(an_index_of_any_length_is_read)
{
	static struct extent all[5000];

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_COMMIT, 20, BYTES_NOISE, i);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	check_index(all, ARRAY_LEN(all));
}
END_TEST

START_TEST(the_index_of_a_segment_not_yet_stored_is_busy)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 20, BYTES_NOISE, 1);
	struct data_index_entry *entries;
	uint64_t bytes;
	size_t n;

	ck_assert_int_eq(data_read_index(fx.d, e.ref.segment, &entries, &n, &bytes), -EBUSY);
}
END_TEST

/* ---- damage ---- */

static void overwrite(uint64_t segment, const uint8_t *bytes, size_t len)
{
	char key[DATA_KEY_MAX];
	struct store_meta meta;

	data_key(segment, key);
	ck_assert_int_eq(store_put_bytes(fx.mem, key, bytes, len, STORE_ALWAYS, NULL, &meta), 0);
	cache_forget(fx.cache, key);
}

static int try_index(uint64_t segment)
{
	struct data_index_entry *entries CLEANUP(free_ptr) = NULL;
	uint64_t bytes;
	size_t n;

	return data_read_index(fx.d, segment, &entries, &n, &bytes);
}

/* How many of the extents, and of the index, are refused. Wrong bytes fail. */
static unsigned refusals(const struct extent *all, size_t count)
{
	unsigned refused = 0;
	int err;

	for (size_t i = 0; i < count; i++) {
		err = extent_read(fx.d, &all[i], 0, all[i].len);
		ck_assert(err == 0 || err == -L3_CORRUPT);
		refused += err < 0;
	}
	err = try_index(all[0].ref.segment);
	ck_assert(err == 0 || err == -L3_CORRUPT || err == -L3_VERSION);
	return refused + (err < 0);
}

START_TEST(no_flipped_byte_of_a_segment_gives_wrong_bytes)
{
	struct extent all[4];
	struct buf object CLEANUP(buf_release) = BUF_INIT;
	char key[DATA_KEY_MAX];

	all[0] = extent_append(fx.d, DATA_COMMIT, 300, BYTES_NOISE, 0);
	all[1] = extent_append(fx.d, DATA_COMMIT, 300, BYTES_TEXT, 1);
	all[2] = extent_append(fx.d, DATA_COMMIT, 5000, BYTES_ZERO, 2);
	all[3] = extent_append(fx.d, DATA_COMMIT, 1, BYTES_NOISE, 3);
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_drained(&fx); /* from here on the object is read, not memory */
	data_key(all[0].ref.segment, key);
	ck_assert_int_eq(store_get(fx.mem, key, 0, STORE_TO_END, &object, NULL), 0);
	for (size_t i = 0; i < object.len; i++) {
		object.data[i] ^= 1 << (i % 8);
		overwrite(all[0].ref.segment, object.data, object.len);
		/* Exactly one is hit: an extent, or what the index reader looks at. */
		ck_assert_uint_eq(refusals(all, ARRAY_LEN(all)), 1);
		object.data[i] ^= 1 << (i % 8);
	}
	overwrite(all[0].ref.segment, object.data, object.len);
	ck_assert_uint_eq(refusals(all, ARRAY_LEN(all)), 0);
	for (size_t len = 0; len < object.len; len++) {
		overwrite(all[0].ref.segment, object.data, len);
		ck_assert_uint_ge(refusals(all, ARRAY_LEN(all)), 1);
	}
}
END_TEST

START_TEST(a_missing_object_is_corruption_not_an_absent_file)
{
	struct extent e = extent_append(fx.d, DATA_STREAM, 5000, BYTES_NOISE, 1);
	char key[DATA_KEY_MAX];

	ck_assert_int_eq(data_wait(fx.d, e.ref.segment), 0);
	fixture_reopen(&fx);
	data_key(e.ref.segment, key);
	ck_assert_int_eq(store_remove(fx.mem, key), 0);
	ck_assert_int_eq(extent_read(fx.d, &e, 0, e.len), -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), key));
}
END_TEST

START_TEST(one_damaged_extent_among_many_fails_the_read_and_names_the_segment)
{
	struct extent all[80];
	struct data_piece pieces[80];
	static uint8_t got[80][131072];
	struct buf object CLEANUP(buf_release) = BUF_INIT;
	char key[DATA_KEY_MAX];

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = extent_append(fx.d, DATA_STREAM, 131072, BYTES_NOISE, i);
		pieces[i] = (struct data_piece){ .ref = all[i].ref, .len = 131072, .dst = got[i] };
	}
	ck_assert_int_eq(data_wait(fx.d, all[0].ref.segment), 0);
	fixture_reopen(&fx);
	data_key(all[0].ref.segment, key);
	ck_assert_int_eq(store_get(fx.mem, key, 0, STORE_TO_END, &object, NULL), 0);
	object.data[all[70].ref.offset + 5] ^= 1;
	overwrite(all[0].ref.segment, object.data, object.len);
	ck_assert_int_eq(data_read(fx.d, pieces, ARRAY_LEN(pieces), DATA_AROUND), -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), key));
	ck_assert_int_eq(data_read(fx.d, pieces, 70, DATA_AROUND), 0);
}
END_TEST

START_TEST(bytes_damaged_on_the_way_are_fetched_again)
{
	struct extent raw = extent_append(fx.d, DATA_STREAM, 131072, BYTES_NOISE, 1);
	struct extent lz4 = extent_append(fx.d, DATA_STREAM, 131072, BYTES_TEXT, 2);

	ck_assert_int_eq(data_wait(fx.d, raw.ref.segment), 0);
	fixture_reopen(&fx);
	fixture_fault(&fx, STORE_OP_GET, STORE_FAULT_FLIP, 1);
	extent_check(fx.d, &raw);
	fixture_fault(&fx, STORE_OP_GET, STORE_FAULT_FLIP, 1);
	extent_check(fx.d, &lz4);
}
END_TEST

START_TEST(impossible_references_are_refused)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 5000, BYTES_NOISE, 1);
	struct extent bad;

	bad = e, bad.ref.offset = 0;
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	bad = e, bad.ref.codec = 9;
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	bad = e, bad.ref.stored_bytes = 6000;
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	bad = e, bad.ref.raw_bytes = bad.ref.stored_bytes = DATA_EXTENT_MAX + 1;
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	bad = e, bad.ref.codec = DATA_LZ4, bad.ref.raw_bytes = 6000;
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	bad = e, bad.ref.offset += 1000; /* past what has been written */
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	bad = e, bad.ref.sum ^= 1; /* of all blocks, so all of them are looked at */
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 5000), -L3_CORRUPT);
	bad = e, bad.ref.segment ^= (uint64_t)1 << 32;
	ck_assert_int_eq(extent_read(fx.d, &bad, 0, 100), -L3_CORRUPT);
	extent_check(fx.d, &e);
}
END_TEST

START_TEST(keys_name_segments_and_nothing_else_parses)
{
	static const char *const bad[] = {
		"data/",
		"data/0000000007-000000004",
		"data/0000000007-00000000422",
		"data/0000000007_0000000042",
		"data/00000000x7-0000000042",
		"tabl/0000000007-0000000042",
		"data/4294967296-0000000042",
	};
	char key[DATA_KEY_MAX];
	uint64_t segment;

	data_key((uint64_t)7 << 32 | 42, key);
	ck_assert_str_eq(key, "data/0000000007-0000000042");
	ck_assert_int_eq(data_key_parse(key, &segment), 0);
	ck_assert_uint_eq(segment, (uint64_t)7 << 32 | 42);
	data_key(UINT64_MAX, key);
	ck_assert_int_eq(data_key_parse(key, &segment), 0);
	ck_assert_uint_eq(segment, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(data_key_parse(bad[i], &segment), -EINVAL);
}
END_TEST

/* ---- the pace ---- */

static uint64_t now_ns = 1;

static uint64_t told_ns(struct clock *c)
{
	return __atomic_load_n(&now_ns, __ATOMIC_SEQ_CST);
}

static struct clock told = { .mono_ns = told_ns };

static void commits_take(unsigned ms, unsigned times)
{
	while (times-- > 0)
		data_commit_took(fx.d, ms * UINT64_C(1000000));
}

/* Until so many segments are stored, and so many uploads are held up. */
static void await_uploads(uint64_t stored, unsigned held)
{
	struct data_stats s;
	unsigned n;

	do {
		clock_system.sleep_ms(&clock_system, 1);
		data_stats(fx.d, &s);
		pthread_mutex_lock(&fx.lock);
		n = fx.held;
		pthread_mutex_unlock(&fx.lock);
	} while (s.segments_stored != stored || n != held);
}

START_TEST(streams_give_way_to_commits_that_they_make_slow)
{
	data_close(fx.d);
	fx.config.segment_bytes = 256 * KIB;
	fx.config.clock = &told;
	fixture_open_data(&fx);
	commits_take(5, 3);
	fixture_hold(&fx, true, 0);
	for (uint64_t n = 0; n < 20; n++)
		(void)extent_append(fx.d, DATA_STREAM, DATA_EXTENT_MAX, BYTES_NOISE, n);
	await_uploads(0, 4);
	commits_take(50, 6);
	fixture_hold(&fx, true, 3);
	await_uploads(3, 1);
	fixture_hold(&fx, true, 1);
	await_uploads(4, 1);
	/* They do not mind this one: one more. */
	commits_take(5, 8);
	await_uploads(4, 2);
	/* Nobody commits any more. */
	__atomic_add_fetch(&now_ns, UINT64_C(2000000000), __ATOMIC_SEQ_CST);
	fixture_hold(&fx, true, 1);
	await_uploads(5, 4);
	fixture_hold(&fx, false, 0);
	data_push_stream(fx.d);
	fixture_drained(&fx);
}
END_TEST

START_TEST(what_a_commit_waits_for_is_uploaded_beside_streams_that_gave_way)
{
	struct extent e;

	data_close(fx.d);
	fx.config.segment_bytes = 256 * KIB;
	fixture_open_data(&fx);
	commits_take(5, 3);
	fixture_hold(&fx, true, 0);
	for (uint64_t n = 0; n < 4; n++)
		e = extent_append(fx.d, DATA_STREAM, DATA_EXTENT_MAX, BYTES_NOISE, n);
	await_uploads(0, 3);
	commits_take(50, 6);
	data_require(fx.d, e.ref.segment);
	await_uploads(0, 4);
	fixture_hold(&fx, false, 0);
	ck_assert_int_eq(data_wait(fx.d, e.ref.segment), 0);
	fixture_drained(&fx);
}
END_TEST

static void add_damage(TCase *tc)
{
	tcase_add_test(tc, no_flipped_byte_of_a_segment_gives_wrong_bytes);
	tcase_add_test(tc, a_missing_object_is_corruption_not_an_absent_file);
	tcase_add_test(tc, one_damaged_extent_among_many_fails_the_read_and_names_the_segment);
	tcase_add_test(tc, bytes_damaged_on_the_way_are_fetched_again);
	tcase_add_test(tc, impossible_references_are_refused);
}

int main(void)
{
	Suite *s = suite_create("file bytes in segments");
	TCase *tc = tcase_create("segments");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, extents_of_every_size_and_kind_come_back);
	tcase_add_test(tc, extents_come_back_when_compression_is_off);
	tcase_add_test(tc, compression_is_kept_only_where_it_saves);
	tcase_add_test(tc, noise_at_the_beginning_does_not_hide_what_compresses);
	tcase_add_test(tc, sizes_that_no_extent_has_are_refused);
	tcase_add_test(tc, a_full_segment_is_sealed_and_stored_and_gives_its_memory_back);
	tcase_add_test(tc, writers_and_readers_in_parallel_see_their_own_bytes);
	tcase_add_test(tc, every_durable_stream_segment_is_announced_once);
	tcase_add_test(tc, a_stored_segment_lists_its_extents);
	tcase_add_test(tc, an_index_of_any_length_is_read);
	tcase_add_test(tc, the_index_of_a_segment_not_yet_stored_is_busy);
	tcase_add_test(tc, streams_give_way_to_commits_that_they_make_slow);
	tcase_add_test(tc, what_a_commit_waits_for_is_uploaded_beside_streams_that_gave_way);
	tcase_add_test(tc, keys_name_segments_and_nothing_else_parses);
	add_damage(tc);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

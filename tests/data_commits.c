/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data: what commits carry and wait for, what a crash leaves, and uploads in trouble.
 *
 * A "slot log" plays the commit chain: it keeps copies of the parts that successful commits
 * carried.
 */
#include "data/format.h"
#include "tests/data_fixture.h"

#define LOG_MAX 64

struct slot_log {
	struct {
		uint64_t segment, offset;
		uint8_t *bytes;
		size_t len;
	} parts[LOG_MAX];
	size_t count;
};

static struct fixture fx;
static struct slot_log slots;

static void setup(void)
{
	fixture_open(&fx);
	slots.count = 0;
}

static void teardown(void)
{
	fixture_close(&fx);
	for (size_t i = 0; i < slots.count; i++)
		free(slots.parts[i].bytes);
}

static void log_part(const struct data_part *part)
{
	size_t n = slots.count++;

	ck_assert_uint_lt(n, LOG_MAX);
	slots.parts[n].segment = part->segment;
	slots.parts[n].offset = part->offset;
	slots.parts[n].len = part->len;
	slots.parts[n].bytes = malloc(part->len);
	ck_assert_ptr_nonnull(slots.parts[n].bytes);
	memcpy(slots.parts[n].bytes, part->data, part->len);
}

/* A whole commit; returns the bytes its slot carried. */
static size_t commit(size_t *ret_waits)
{
	struct data_cut cut;
	size_t carried = 0;

	ck_assert_int_eq(data_cut(fx.d, &cut), 0);
	for (size_t i = 0; i < cut.wait_count; i++) {
		ck_assert_int_eq(data_wait(fx.d, cut.waits[i]), 0);
		ck_assert(data_is_durable(fx.d, cut.waits[i]));
	}
	for (size_t i = 0; i < cut.part_count; i++) {
		log_part(&cut.parts[i]);
		carried += cut.parts[i].len;
		data_part_done(fx.d, cut.parts[i].segment, 0);
	}
	if (ret_waits)
		*ret_waits = cut.wait_count;
	data_cut_release(&cut);
	return carried;
}

static int replay(void)
{
	int err = 0;

	for (size_t i = 0; i < slots.count && err == 0; i++)
		err = data_recover_part(fx.d, slots.parts[i].segment, slots.parts[i].offset,
					slots.parts[i].bytes, slots.parts[i].len);
	return err;
}

static void crash(void)
{
	fixture_reopen(&fx);
}

static void list(const struct extent *e)
{
	ck_assert_int_eq(data_recover_index(fx.d, e->ino, e->file_offset, &e->ref), 0);
}

/* ---- cuts ---- */

START_TEST(a_small_commit_carries_its_bytes_and_sends_no_object)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 5000, BYTES_NOISE, 1);
	size_t waits;

	ck_assert_uint_eq(commit(&waits), 64 + e.ref.stored_bytes);
	ck_assert_uint_eq(waits, 0);
	ck_assert_uint_eq(slots.parts[0].offset, 0);
	ck_assert_uint_eq(slots.parts[0].segment, e.ref.segment);
	ck_assert_uint_eq(fixture_requests(&fx, STORE_OP_PUT), 0);
	ck_assert(!data_is_durable(fx.d, e.ref.segment));
}
END_TEST

START_TEST(carried_bytes_are_not_carried_again)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 5000, BYTES_NOISE, 1);

	ck_assert_uint_eq(commit(NULL), 64 + e.ref.stored_bytes);
	ck_assert_uint_eq(commit(NULL), 0);
	(void)extent_append(fx.d, DATA_COMMIT, 700, BYTES_NOISE, 2);
	ck_assert_uint_eq(commit(NULL), 700);
	ck_assert_uint_eq(slots.parts[1].offset, 64 + e.ref.stored_bytes);
	ck_assert_uint_eq(slots.count, 2);
}
END_TEST

START_TEST(a_commit_larger_than_the_limit_waits_for_its_segment)
{
	struct extent a = extent_append(fx.d, DATA_COMMIT, 100000, BYTES_NOISE, 1);
	struct extent b = extent_append(fx.d, DATA_COMMIT, 100000, BYTES_NOISE, 2);
	size_t waits;

	ck_assert_uint_eq(commit(&waits), 0);
	ck_assert_uint_eq(waits, 1);
	ck_assert(data_is_durable(fx.d, a.ref.segment));
	crash();
	extent_check(fx.d, &a);
	extent_check(fx.d, &b);
}
END_TEST

START_TEST(parts_of_one_cut_never_exceed_the_limit_and_leave_nothing_out)
{
	fx.config.segment_bytes = 300 * KIB;
	fixture_reopen(&fx);
	for (unsigned round = 0; round < 40; round++) {
		struct extent all[6];
		unsigned n = round % 6 + 1;

		for (unsigned i = 0; i < n; i++)
			all[i] = extent_append(fx.d, DATA_COMMIT,
					       1 + (round * 7717 + i * 9001) % 60000, BYTES_NOISE,
					       round * 6 + i);
		slots.count = 0;
		ck_assert_uint_le(commit(NULL), fx.config.embed_bytes);
		for (unsigned i = 0; i < n; i++) {
			uint64_t end = all[i].ref.offset + all[i].ref.stored_bytes;
			bool safe = data_is_durable(fx.d, all[i].ref.segment);

			for (size_t p = 0; p < slots.count; p++)
				safe = safe || (slots.parts[p].segment == all[i].ref.segment &&
						slots.parts[p].offset + slots.parts[p].len >= end);
			ck_assert(safe);
		}
		while (slots.count > 0)
			free(slots.parts[--slots.count].bytes);
	}
}
END_TEST

START_TEST(parts_may_come_from_a_segment_under_way_and_the_open_one)
{
	static uint8_t got[60000], want[60000];
	struct cache_view view;
	struct data_cut cut;
	struct extent a, b;

	fx.config.segment_bytes = 200 * KIB;
	fixture_reopen(&fx);
	fixture_fault(&fx, STORE_OP_PUT, STORE_FAULT_HANG, 1);
	(void)extent_append(fx.d, DATA_COMMIT, 120000, BYTES_NOISE, 0);
	(void)commit(NULL);
	a = extent_append(fx.d, DATA_COMMIT, 60000, BYTES_NOISE, 1);
	b = extent_append(fx.d, DATA_COMMIT, 60000, BYTES_NOISE, 2);
	ck_assert_uint_ne(a.ref.segment, b.ref.segment);
	ck_assert_int_eq(data_cut(fx.d, &cut), 0);
	ck_assert_uint_eq(cut.wait_count, 0);
	ck_assert_uint_eq(cut.part_count, 2);
	ck_assert_uint_eq(cut.parts[0].segment, a.ref.segment);
	ck_assert_uint_eq(cut.parts[0].offset, a.ref.offset);
	ck_assert_uint_eq(cut.parts[1].segment, b.ref.segment);
	ck_assert_uint_eq(cut.parts[1].offset, 0);
	/* The memory of a part stays while it is out, even when the segment became an object. */
	fixture_resume_until_durable(&fx, a.ref.segment);
	cache_view_of(&view, a.ref.offset, cut.parts[0].data, cut.parts[0].len);
	ck_assert_int_eq(data_blocks_open(&a.ref, 0, a.len, &view, got), 0);
	bytes_fill(want, a.len, a.kind, a.seed);
	ck_assert(memcmp(got, want, a.len) == 0);
	data_part_done(fx.d, a.ref.segment, 0);
	data_part_done(fx.d, b.ref.segment, 0);
	data_cut_release(&cut);
}
END_TEST

START_TEST(a_part_whose_slot_failed_is_carried_again)
{
	struct data_cut cut;

	(void)extent_append(fx.d, DATA_COMMIT, 500, BYTES_NOISE, 1);
	(void)commit(NULL);
	(void)extent_append(fx.d, DATA_COMMIT, 600, BYTES_NOISE, 2);
	ck_assert_int_eq(data_cut(fx.d, &cut), 0);
	ck_assert_uint_eq(cut.part_count, 1);
	ck_assert_uint_eq(cut.parts[0].len, 600);
	data_part_done(fx.d, cut.parts[0].segment, -ECANCELED);
	data_cut_release(&cut);
	ck_assert_uint_eq(commit(NULL), 600);
	ck_assert_uint_eq(slots.parts[1].offset, 64 + 500);
}
END_TEST

START_TEST(streams_do_not_hold_up_commits_until_required)
{
	struct extent s = extent_append(fx.d, DATA_STREAM, 100000, BYTES_NOISE, 1);
	struct extent c = extent_append(fx.d, DATA_COMMIT, 1000, BYTES_NOISE, 2);
	struct data_cut cut;
	size_t waits;

	ck_assert_uint_eq(commit(&waits), 64 + 1000);
	ck_assert_uint_eq(waits, 0);
	ck_assert(!data_is_durable(fx.d, s.ref.segment));
	fixture_fault(&fx, STORE_OP_PUT, STORE_FAULT_HANG, 1);
	data_require(fx.d, s.ref.segment);
	(void)extent_append(fx.d, DATA_COMMIT, 1000, BYTES_NOISE, 3);
	ck_assert_int_eq(data_cut(fx.d, &cut), 0);
	ck_assert_uint_eq(cut.part_count, 1);
	ck_assert_uint_eq(cut.parts[0].len, 1000);
	ck_assert_uint_eq(cut.wait_count, 1);
	ck_assert_uint_eq(cut.waits[0], s.ref.segment);
	data_part_done(fx.d, c.ref.segment, 0);
	data_cut_release(&cut);
	fixture_resume_until_durable(&fx, s.ref.segment);
	ck_assert(!data_is_durable(fx.d, c.ref.segment));
	data_require(fx.d, s.ref.segment); /* durable already: nothing to wait for */
	ck_assert_uint_eq(commit(&waits), 0);
	ck_assert_uint_eq(waits, 0);
}
END_TEST

START_TEST(storing_parts_empties_the_slots_of_their_meaning_and_the_budget)
{
	struct extent a = extent_append(fx.d, DATA_COMMIT, 1000, BYTES_NOISE, 1), b;

	(void)commit(NULL);
	ck_assert_uint_ge(budget_used(&fx.budget), 1064);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	ck_assert(data_is_durable(fx.d, a.ref.segment));
	fixture_drained(&fx);
	b = extent_append(fx.d, DATA_COMMIT, 1000, BYTES_NOISE, 2);
	ck_assert_uint_ne(b.ref.segment, a.ref.segment);
	ck_assert_int_eq(data_store_parts(fx.d), 0); /* no slot carries b yet */
	ck_assert(!data_is_durable(fx.d, b.ref.segment));
	crash();
	extent_check(fx.d, &a);
}
END_TEST

/* ---- after a crash ---- */

START_TEST(carried_bytes_are_read_after_a_crash_and_become_an_object)
{
	struct extent all[30];
	struct data_index_entry *entries CLEANUP(free_ptr) = NULL;
	uint64_t bytes;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = extent_append(fx.d, DATA_COMMIT, 100 + i * 100, i % BYTES_KINDS, i);
		(void)commit(NULL);
	}
	crash();
	ck_assert_int_eq(replay(), 0);
	ck_assert(data_is_recovered(fx.d, all[0].ref.segment));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		extent_check(fx.d, &all[i]);
		if (i % 2 == 0)
			list(&all[i]);
	}
	ck_assert_uint_eq(fixture_requests(&fx, STORE_OP_GET), 0);
	ck_assert_uint_eq(commit(NULL), 0);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	ck_assert(!data_is_recovered(fx.d, all[0].ref.segment));
	fixture_drained(&fx);
	crash();
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		extent_check(fx.d, &all[i]);
	ck_assert_int_eq(data_read_index(fx.d, all[0].ref.segment, &entries, &n, &bytes), 0);
	ck_assert_uint_eq(n, 15);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(entries[i].ref.sum, all[2 * i].ref.sum);
}
END_TEST

START_TEST(the_old_writers_own_upload_may_have_been_first_and_be_longer)
{
	struct extent carried = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1), late;

	(void)commit(NULL);
	late = extent_append(fx.d, DATA_COMMIT, 100000, BYTES_NOISE, 2);
	ck_assert_int_eq(data_wait(fx.d, late.ref.segment), 0);
	crash();
	ck_assert_int_eq(replay(), 0);
	extent_check(fx.d, &carried);
	extent_check(fx.d, &late);
	ck_assert_int_eq(extent_read(fx.d, &late, 5000, 100), 0);
	list(&carried);
	list(&late);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	crash();
	extent_check(fx.d, &carried);
	extent_check(fx.d, &late);
}
END_TEST

START_TEST(recovered_bytes_meet_an_object_unknown_to_the_index_as_well)
{
	struct extent carried = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1);

	(void)commit(NULL);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	crash();
	ck_assert_int_eq(replay(), 0);
	list(&carried);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	extent_check(fx.d, &carried);
}
END_TEST

static void meet(const void *bytes, size_t len)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1);
	struct store_meta meta;
	char key[DATA_KEY_MAX];

	(void)commit(NULL);
	crash();
	data_key(e.ref.segment, key);
	ck_assert_int_eq(store_put_bytes(fx.mem, key, bytes, len, STORE_CREATE, NULL, &meta), 0);
	ck_assert_int_eq(replay(), 0);
	list(&e);
	ck_assert_int_eq(data_store_parts(fx.d), -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), key));
	extent_check(fx.d, &e); /* what we have is still read */
}

START_TEST(another_object_under_a_recovered_name_is_corruption)
{
	meet("other", 5);
}
END_TEST

START_TEST(a_long_other_object_under_a_recovered_name_is_corruption)
{
	static uint8_t other[5000];

	meet(other, sizeof(other));
}
END_TEST

/* A segment whose beginning slots carried, and whose object the old writer stored with more behind it. */
static void carried_and_stored(struct extent *carried, struct extent *late, char key[DATA_KEY_MAX])
{
	*carried = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1);
	(void)commit(NULL);
	*late = extent_append(fx.d, DATA_COMMIT, 100000, BYTES_NOISE, 2);
	ck_assert_int_eq(data_wait(fx.d, late->ref.segment), 0);
	data_key(carried->ref.segment, key);
	crash();
}

static void get_object(const char *key, struct buf *out)
{
	ck_assert_int_eq(store_get(fx.mem, key, 0, STORE_TO_END, out, NULL), 0);
}

static void put_object(const char *key, const struct buf *b)
{
	ck_assert_int_eq(store_put_bytes(fx.mem, key, b->data, b->len, STORE_ALWAYS, NULL, NULL),
			 0);
}

START_TEST(an_object_that_has_what_slots_carried_is_told_from_one_that_has_not)
{
	struct buf object CLEANUP(buf_release) = BUF_INIT;
	struct extent carried, late;
	char key[DATA_KEY_MAX];

	carried_and_stored(&carried, &late, key);
	ck_assert_int_eq(replay(), 0);
	ck_assert_uint_eq(data_recovered_bytes(fx.d, carried.ref.segment), 64 + 3000);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment), 0);
	get_object(key, &object);
	object.data[object.len - 60] ^= 1; /* behind what was carried: not said here */
	put_object(key, &object);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment), 0);
	object.data[100] ^= 1;
	put_object(key, &object);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment), -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), key));
	ck_assert_int_eq(store_remove(fx.mem, key), 0);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment), 0);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment + 1), 0);
	ck_assert_uint_eq(data_recovered_bytes(fx.d, carried.ref.segment + 1), 0);
}
END_TEST

START_TEST(what_slots_carried_takes_the_place_of_what_differs_and_the_rest_stays)
{
	struct buf before CLEANUP(buf_release) = BUF_INIT, after CLEANUP(buf_release) = BUF_INIT;
	struct extent carried, late;
	char key[DATA_KEY_MAX];

	carried_and_stored(&carried, &late, key);
	get_object(key, &before);
	before.data[100] ^= 1;
	put_object(key, &before);
	before.data[100] ^= 1;
	ck_assert_int_eq(replay(), 0);
	ck_assert_int_eq(data_recovered_replace(fx.d, carried.ref.segment), 0);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment), 0);
	get_object(key, &after);
	ck_assert_uint_eq(after.len, before.len);
	ck_assert_int_eq(memcmp(after.data, before.data, after.len), 0);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	crash();
	extent_check(fx.d, &carried);
	extent_check(fx.d, &late);
}
END_TEST

START_TEST(a_short_object_in_the_place_of_what_slots_carried_becomes_a_whole_one)
{
	struct data_index_entry *entries CLEANUP(free_ptr) = NULL;
	struct buf object CLEANUP(buf_release) = BUF_INIT;
	struct extent carried, late;
	char key[DATA_KEY_MAX];
	uint64_t bytes;
	size_t n;

	carried_and_stored(&carried, &late, key);
	get_object(key, &object);
	object.len = 1000;
	put_object(key, &object);
	ck_assert_int_eq(replay(), 0);
	list(&carried);
	ck_assert_int_eq(data_recovered_check(fx.d, carried.ref.segment), -L3_CORRUPT);
	ck_assert_int_eq(data_recovered_replace(fx.d, carried.ref.segment), 0);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
	fixture_drained(&fx);
	crash();
	extent_check(fx.d, &carried);
	ck_assert_int_eq(data_read_index(fx.d, carried.ref.segment, &entries, &n, &bytes), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(extent_read(fx.d, &late, 0, 100), -L3_CORRUPT);
}
END_TEST

START_TEST(a_segment_referred_to_past_its_parts_must_exist)
{
	struct extent carried = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1), late;
	struct store_meta meta;
	char key[DATA_KEY_MAX];

	(void)commit(NULL);
	late = extent_append(fx.d, DATA_COMMIT, 100000, BYTES_NOISE, 2);
	crash();
	ck_assert_int_eq(replay(), 0);
	list(&carried);
	list(&late);
	ck_assert_int_eq(data_store_parts(fx.d), -L3_CORRUPT);
	data_key(late.ref.segment, key);
	/* Nothing was written in its place that would hide the loss. */
	ck_assert_int_eq(store_head(fx.mem, key, &meta), -ENOENT);
}
END_TEST

START_TEST(parts_that_do_not_fit_together_are_corruption)
{
	uint64_t segment;

	(void)extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1);
	(void)commit(NULL);
	(void)extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 2);
	(void)commit(NULL);
	segment = slots.parts[0].segment;
	crash();
	/* no beginning */
	ck_assert_int_eq(data_recover_part(fx.d, segment, slots.parts[1].offset,
					   slots.parts[1].bytes, slots.parts[1].len),
			 -L3_CORRUPT);
	/* another segment's head */
	ck_assert_int_eq(
		data_recover_part(fx.d, segment + 1, 0, slots.parts[0].bytes, slots.parts[0].len),
		-L3_CORRUPT);
	ck_assert_int_eq(
		data_recover_part(fx.d, segment, 0, slots.parts[0].bytes, slots.parts[0].len), 0);
	/* a gap */
	ck_assert_int_eq(data_recover_part(fx.d, segment, slots.parts[1].offset + 1,
					   slots.parts[1].bytes, 10),
			 -L3_CORRUPT);
	/* a second copy of the same bytes is fine, other bytes are not */
	ck_assert_int_eq(replay(), 0);
	slots.parts[1].bytes[7] ^= 1;
	ck_assert_int_eq(replay(), -L3_CORRUPT);
}
END_TEST

START_TEST(a_writer_whose_segment_was_recovered_by_another_is_fenced)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_NOISE, 1);
	struct data_config config = fx.config;
	struct data *zombie = fx.d;

	(void)commit(NULL);
	config.epoch++;
	ck_assert_int_eq(data_open(&config, &fx.d), 0);
	ck_assert_int_eq(replay(), 0);
	ck_assert_int_eq(data_store_parts(fx.d), 0); /* with an empty index: other bytes */
	ck_assert_int_eq(data_store_parts(zombie), -L3_FENCED);
	ck_assert_int_eq(data_wait(zombie, e.ref.segment), -L3_FENCED);
	data_close(zombie);
}
END_TEST

START_TEST(recovered_segments_are_read_but_not_stored_by_readers)
{
	struct extent e = extent_append(fx.d, DATA_COMMIT, 3000, BYTES_TEXT, 1);
	struct data_ref ref;

	(void)commit(NULL);
	data_close(fx.d);
	fx.config.epoch = 0;
	fixture_open_data(&fx);
	ck_assert_int_eq(replay(), 0);
	extent_check(fx.d, &e);
	ck_assert_int_eq(data_store_parts(fx.d), -EROFS);
	ck_assert_int_eq(data_append(fx.d, DATA_COMMIT, 1, 0, "x", 1, &ref), -EROFS);
}
END_TEST

START_TEST(a_recovered_segment_may_be_larger_than_ours)
{
	struct extent all[40];

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = extent_append(fx.d, DATA_COMMIT, 120000, BYTES_NOISE, i);
		(void)commit(NULL);
	}
	ck_assert_uint_eq(all[0].ref.segment, all[39].ref.segment);
	fx.config.segment_bytes = 256 * KIB;
	crash();
	ck_assert_int_eq(replay(), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		extent_check(fx.d, &all[i]);
	ck_assert_int_eq(data_store_parts(fx.d), 0);
}
END_TEST

/* ---- trouble ---- */

static void store_through(enum store_fault fault)
{
	struct extent all[10];

	fixture_fault(&fx, STORE_OP_PUT, fault, 5);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = extent_append(fx.d, DATA_STREAM, 100000, BYTES_NOISE, i);
		data_push_stream(fx.d);
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		ck_assert_int_eq(data_wait(fx.d, all[i].ref.segment), 0);
	fixture_drained(&fx);
	crash();
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		extent_check(fx.d, &all[i]);
}

START_TEST(failing_uploads_are_delays)
{
	store_through(STORE_FAULT_ERROR_BEFORE);
}
END_TEST

START_TEST(uploads_whose_answer_is_lost_are_delays)
{
	store_through(STORE_FAULT_ERROR_AFTER);
}
END_TEST

START_TEST(uploads_sent_twice_are_no_trouble)
{
	store_through(STORE_FAULT_DUPLICATE);
}
END_TEST

static void *wait_main(void *arg)
{
	const struct extent *e = arg;

	return (void *)(intptr_t)data_wait(fx.d, e->ref.segment);
}

START_TEST(cancelling_wakes_those_who_wait)
{
	struct extent e = extent_append(fx.d, DATA_STREAM, 1000, BYTES_NOISE, 1);
	pthread_t thread;
	void *result;

	fixture_fault(&fx, STORE_OP_PUT, STORE_FAULT_HANG, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_main, &e), 0);
	/* Until the waiter has had the segment sealed and its upload hangs. */
	while (store_fault_count(fx.faults) == 0)
		clock_system.sleep_ms(&clock_system, 1);
	data_cancel(fx.d);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_int_eq((int)(intptr_t)result, -ECANCELED);
	extent_check(fx.d, &e);
	fixture_resume_until_durable(&fx, e.ref.segment);
}
END_TEST

START_TEST(appends_and_reads_go_on_while_uploads_hang)
{
	struct extent all[40];

	fx.config.segment_bytes = 256 * KIB;
	fixture_reopen(&fx);
	fixture_fault(&fx, STORE_OP_PUT, STORE_FAULT_HANG, 4);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = extent_append(fx.d, DATA_STREAM, 100000, BYTES_NOISE, i);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		extent_check(fx.d, &all[i]);
	ck_assert_uint_ge(budget_used(&fx.budget), 40 * 100000);
	data_push_stream(fx.d);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		fixture_resume_until_durable(&fx, all[i].ref.segment);
	fixture_drained(&fx);
}
END_TEST

START_TEST(a_commit_overtakes_the_streams_before_it)
{
	struct extent streams[8], c;

	fx.config.upload_threads = 2;
	fixture_reopen(&fx);
	fixture_fault(&fx, STORE_OP_PUT, STORE_FAULT_HANG, 2);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		streams[i] = extent_append(fx.d, DATA_STREAM, 1000, BYTES_NOISE, i);
		data_push_stream(fx.d);
	}
	while (store_fault_count(fx.faults) < 2)
		clock_system.sleep_ms(&clock_system, 1);
	c = extent_append(fx.d, DATA_COMMIT, 1000, BYTES_NOISE, 9);
	ck_assert_int_eq(data_wait(fx.d, c.ref.segment), 0);
	data_require(fx.d, streams[7].ref.segment);
	ck_assert_int_eq(data_wait(fx.d, streams[7].ref.segment), 0);
	for (size_t i = 0; i < 7; i++)
		ck_assert(!data_is_durable(fx.d, streams[i].ref.segment));
	for (size_t i = 0; i < 7; i++)
		fixture_resume_until_durable(&fx, streams[i].ref.segment);
}
END_TEST

START_TEST(a_stranger_under_our_name_is_corruption_for_those_who_wait)
{
	struct extent e =
		extent_append(fx.d, DATA_COMMIT, 200000 % DATA_EXTENT_MAX, BYTES_NOISE, 1);
	struct data_cut cut;
	struct store_meta meta;
	char key[DATA_KEY_MAX];

	data_key(e.ref.segment, key);
	ck_assert_int_eq(store_put_bytes(fx.mem, key, "other", 5, STORE_CREATE, NULL, &meta), 0);
	(void)extent_append(fx.d, DATA_COMMIT, DATA_EXTENT_MAX, BYTES_NOISE, 2);
	for (unsigned i = 0; i < 2; i++) { /* once and for all */
		ck_assert_int_eq(data_cut(fx.d, &cut), 0);
		ck_assert_uint_eq(cut.wait_count, 1);
		ck_assert_int_eq(data_wait(fx.d, cut.waits[0]), -L3_CORRUPT);
		ck_assert_ptr_nonnull(strstr(err_last_note(), key));
		data_cut_release(&cut);
	}
	extent_check(fx.d, &e);
}
END_TEST

START_TEST(closing_drops_what_is_not_stored)
{
	struct extent e = extent_append(fx.d, DATA_STREAM, 1000, BYTES_NOISE, 1);

	crash();
	fixture_drained(&fx);
	ck_assert_int_eq(extent_read(fx.d, &e, 0, e.len), -L3_CORRUPT);
}
END_TEST

static void add_cuts(TCase *tc)
{
	tcase_add_test(tc, a_small_commit_carries_its_bytes_and_sends_no_object);
	tcase_add_test(tc, carried_bytes_are_not_carried_again);
	tcase_add_test(tc, a_commit_larger_than_the_limit_waits_for_its_segment);
	tcase_add_test(tc, parts_of_one_cut_never_exceed_the_limit_and_leave_nothing_out);
	tcase_add_test(tc, parts_may_come_from_a_segment_under_way_and_the_open_one);
	tcase_add_test(tc, a_part_whose_slot_failed_is_carried_again);
	tcase_add_test(tc, streams_do_not_hold_up_commits_until_required);
	tcase_add_test(tc, storing_parts_empties_the_slots_of_their_meaning_and_the_budget);
}

static void add_recovery(TCase *tc)
{
	tcase_add_test(tc, carried_bytes_are_read_after_a_crash_and_become_an_object);
	tcase_add_test(tc, the_old_writers_own_upload_may_have_been_first_and_be_longer);
	tcase_add_test(tc, recovered_bytes_meet_an_object_unknown_to_the_index_as_well);
	tcase_add_test(tc, another_object_under_a_recovered_name_is_corruption);
	tcase_add_test(tc, a_long_other_object_under_a_recovered_name_is_corruption);
	tcase_add_test(tc, an_object_that_has_what_slots_carried_is_told_from_one_that_has_not);
	tcase_add_test(tc, what_slots_carried_takes_the_place_of_what_differs_and_the_rest_stays);
	tcase_add_test(tc, a_short_object_in_the_place_of_what_slots_carried_becomes_a_whole_one);
	tcase_add_test(tc, a_segment_referred_to_past_its_parts_must_exist);
	tcase_add_test(tc, parts_that_do_not_fit_together_are_corruption);
	tcase_add_test(tc, a_writer_whose_segment_was_recovered_by_another_is_fenced);
	tcase_add_test(tc, recovered_segments_are_read_but_not_stored_by_readers);
	tcase_add_test(tc, a_recovered_segment_may_be_larger_than_ours);
}

static void add_trouble(TCase *tc)
{
	tcase_add_test(tc, failing_uploads_are_delays);
	tcase_add_test(tc, uploads_whose_answer_is_lost_are_delays);
	tcase_add_test(tc, uploads_sent_twice_are_no_trouble);
	tcase_add_test(tc, cancelling_wakes_those_who_wait);
	tcase_add_test(tc, appends_and_reads_go_on_while_uploads_hang);
	tcase_add_test(tc, a_commit_overtakes_the_streams_before_it);
	tcase_add_test(tc, a_stranger_under_our_name_is_corruption_for_those_who_wait);
	tcase_add_test(tc, closing_drops_what_is_not_stored);
}

int main(void)
{
	Suite *s = suite_create("commits of file bytes");
	TCase *tc = tcase_create("commits");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	add_cuts(tc);
	add_recovery(tc);
	add_trouble(tc);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

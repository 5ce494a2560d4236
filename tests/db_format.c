/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stored forms of slots and checkpoints: version 1 stays as it is written here byte by byte, and
 * bytes that are not what was written are an error, never a crash. (Behind the door: db/history.h
 * and db/checkpoint.h.)
 */
#include "db/checkpoint.h"
#include "db/history.h"
#include "db_fixture.h"

static const char slot_payload[] =
	/* slot 7, epoch 2, nonce, flags: a fence */
	"0700000000000000" "0200000000000000" "8877665544332211" "01"
	/* CREATE "a.log" */
	"01" "06" "05612e6c6f67"
	/* APPEND "a.log" at 0: "abc" */
	"02" "11" "05612e6c6f67" "0000000000000000" "616263"
	/* TABLE "000009.ldb": number 9, epoch 2, size 5, windows of 2^19, one checksum */
	"03" "17" "0a3030303030392e6c6462" "09" "02" "05" "13" "efcdab8967452301"
	/* REMOVE "b" */
	"04" "02" "0162"
	/* RENAME "t" to "CURRENT" */
	"05" "0a" "0174" "0743555252454e54"
	/* PART of object 0x200000001 at 64: "part" */
	"06" "14" "0100000002000000" "4000000000000000" "70617274";

static const char checkpoint_payload[] =
	/* slot 7, epoch 2 */
	"0700000000000000" "0200000000000000"
	/* two fences: epoch 1 in slot 1, epoch 2 in slot 7 */
	"02" "0100000000000000" "0100000000000000" "0200000000000000" "0700000000000000"
	/* two files: "a.log", bytes "abc" */
	"02" "05612e6c6f67" "00" "03616263"
	/* and the table */
	"0a3030303030392e6c6462" "01" "09" "02" "05" "13" "efcdab8967452301";

static void from_hex(const char *hex, struct buf *ret)
{
	for (; *hex; hex += 2) {
		unsigned byte;

		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		buf_u8(ret, (uint8_t)byte);
	}
}

static void collect(const struct out *o, struct buf *ret)
{
	for (size_t i = 0; i < o->count; i++)
		buf_add(ret, o->iov[i].iov_base, o->iov[i].iov_len);
	ck_assert_int_eq(buf_error(ret), 0);
	ck_assert_uint_eq(ret->len, o->bytes);
}

static struct vfile *new_bytes(const char *content)
{
	struct vfile *f = NULL;

	ck_assert_int_eq(db_vfile_new(&f), 0);
	ck_assert_int_eq(db_rope_append(&f->rope, content, strlen(content)), 0);
	db_vfile_publish(f, strlen(content));
	return f;
}

static struct vfile *new_table(void)
{
	struct vfile *f = NULL;

	ck_assert_int_eq(db_vfile_new_table(9, 2, &f), 0);
	f->table->size = 5;
	f->table->window_shift = 19;
	f->table->windows = 1;
	f->table->sums = calloc(1, sizeof(uint64_t));
	f->table->verified = calloc(1, 1);
	f->table->sums[0] = 0x0123456789abcdef;
	return f;
}

/* The state before the slot: slot 6 of epoch 1, with files "b" and "t". */
static void before(struct history *h)
{
	struct vfile *f = new_bytes("current");

	db_history_init(h);
	h->slot = 6;
	h->epoch = 1;
	ck_assert_int_eq(db_history_add_fence(h, 1, 1), 0);
	ck_assert_int_eq(db_names_set(&h->names, "b", f, 7), 0);
	ck_assert_int_eq(db_names_set(&h->names, "t", f, 7), 0);
	db_vfile_put(f);
}

static struct rec *add_rec(struct rec ***end, enum rec_type type, const char *name, struct vfile *f)
{
	struct rec *r = NULL;

	ck_assert_int_eq(db_rec_new(type, name, f, &r), 0);
	**end = r;
	*end = &r->next;
	return r;
}

START_TEST(test_a_slot_is_written_as_ever)
{
	struct slot_head head = { 7, 2, 0x1122334455667788, SLOT_FLAG_FENCE };
	struct part part = { .id = 0x200000001, .offset = 64, .data = "part", .len = 4 };
	struct buf want = BUF_INIT, found = BUF_INIT;
	struct rec *recs = NULL, **end = &recs, *r;
	struct vfile *log = new_bytes("abc"), *table = new_table();
	struct out o;

	add_rec(&end, REC_CREATE, "a.log", log);
	add_rec(&end, REC_APPEND, "a.log", log)->upto = 3;
	add_rec(&end, REC_TABLE, "000009.ldb", table);
	add_rec(&end, REC_REMOVE, "b", NULL);
	r = add_rec(&end, REC_RENAME, "t", NULL);
	snprintf(r->to, sizeof(r->to), "CURRENT");
	db_out_init(&o);
	ck_assert_int_eq(db_slot_encode(&o, &head, &fixture_uuid, recs, &part, 1), 0);
	collect(&o, &found);
	from_hex(slot_payload, &want);
	ck_assert_uint_eq(found.len, FRAME_HEADER_BYTES + want.len);
	ck_assert_mem_eq(found.data + FRAME_HEADER_BYTES, want.data, want.len);
	db_out_release(&o);
	db_recs_free(recs);
	db_vfile_put(log);
	db_vfile_put(table);
	buf_release(&want);
	buf_release(&found);
}
END_TEST

static void frame(uint32_t type, const char *hex, struct buf *ret)
{
	struct buf payload = BUF_INIT;

	from_hex(hex, &payload);
	frame_put(ret, type, &fixture_uuid, payload.data, payload.len);
	buf_release(&payload);
}

static void ck_state(const struct history *h)
{
	const struct entry *log = db_names_find(&h->names, "a.log");
	const struct entry *table = db_names_find(&h->names, "000009.ldb");

	ck_assert_uint_eq(h->slot, 7);
	ck_assert_uint_eq(h->epoch, 2);
	ck_assert_uint_eq(h->fence_count, 2);
	ck_assert(db_history_is_fence(h, 1));
	ck_assert(db_history_is_fence(h, 7));
	ck_assert(!db_history_is_fence(h, 6));
	ck_assert_ptr_nonnull(log);
	ck_assert_uint_eq(log->len, 3);
	ck_assert_ptr_nonnull(table);
	ck_assert_str_eq(table->file->table->key, "table/00000000000000000009-0000000002");
	ck_assert_uint_eq(table->len, 5);
}

START_TEST(test_an_old_slot_is_read)
{
	struct buf b = BUF_INIT;
	struct history h;

	before(&h);
	frame(FRAME_SLOT, slot_payload, &b);
	ck_assert_int_eq(db_history_replay(&h, b.data, b.len, &fixture_uuid, "it", NULL), 0);
	ck_state(&h);
	ck_assert_ptr_null(db_names_find(&h.names, "b"));
	ck_assert_ptr_null(db_names_find(&h.names, "t"));
	ck_assert_ptr_nonnull(db_names_find(&h.names, "CURRENT"));
	ck_assert_uint_eq(h.parts->id, 0x200000001);
	ck_assert_uint_eq(h.parts->offset, 64);
	ck_assert_mem_eq(h.parts->bytes, "part", 4);
	db_history_release(&h);
	buf_release(&b);
}
END_TEST

START_TEST(test_a_checkpoint_is_written_and_read_as_ever)
{
	struct buf b = BUF_INIT, found = BUF_INIT;
	struct checkpoint c;
	struct history h;
	struct out o;

	db_history_init(&h);
	frame(FRAME_CHECKPOINT, checkpoint_payload, &b);
	ck_assert_int_eq(db_checkpoint_decode(b.data, b.len, &fixture_uuid, 7, "it", &h), 0);
	ck_state(&h);
	ck_assert_int_eq(db_checkpoint_take(&h, &c), 0);
	db_out_init(&o);
	ck_assert_int_eq(db_checkpoint_encode(&c, &fixture_uuid, &o), 0);
	collect(&o, &found);
	ck_assert_uint_eq(found.len, b.len);
	ck_assert_mem_eq(found.data, b.data, b.len);
	db_out_release(&o);
	db_checkpoint_release(&c);
	db_history_release(&h);
	buf_release(&b);
	buf_release(&found);
}
END_TEST

static int decode(uint32_t type, const struct buf *b)
{
	struct history h;
	int err;

	if (type == FRAME_SLOT) {
		before(&h);
		err = db_history_replay(&h, b->data, b->len, &fixture_uuid, "it", NULL);
	} else {
		db_history_init(&h);
		err = db_checkpoint_decode(b->data, b->len, &fixture_uuid, 7, "it", &h);
	}
	db_history_release(&h);
	return err;
}

static const struct {
	uint32_t type;
	const char *payload;
} forms[] = {
	{ FRAME_SLOT, slot_payload },
	{ FRAME_CHECKPOINT, checkpoint_payload },
};

START_TEST(test_every_flipped_bit_is_noticed)
{
	struct buf b = BUF_INIT;

	frame(forms[_i].type, forms[_i].payload, &b);
	ck_assert_int_eq(decode(forms[_i].type, &b), 0);
	for (size_t i = 0; i < b.len * 8; i++) {
		int err;

		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
		err = decode(forms[_i].type, &b);
		ck_assert_msg(err == -L3_CORRUPT || err == -L3_VERSION, "bit %zu: %s", i,
			      err_text(err));
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	buf_release(&b);
}
END_TEST

START_TEST(test_every_truncation_is_noticed)
{
	struct buf b = BUF_INIT;

	frame(forms[_i].type, forms[_i].payload, &b);
	while (b.len > 0) {
		b.len--;
		ck_assert_int_eq(decode(forms[_i].type, &b), -L3_CORRUPT);
	}
	buf_release(&b);
}
END_TEST

/* Checksums are no defence against whoever computes them: any payload is taken or refused in order. */
START_TEST(test_hostile_payloads_do_no_harm)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x05, 0x7f, 0x80, 0xff };
	struct buf payload = BUF_INIT, b = BUF_INIT;

	from_hex(forms[_i].payload, &payload);
	for (size_t i = 0; i < payload.len; i++) {
		uint8_t was = payload.data[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			int err;

			payload.data[i] = values[v];
			for (size_t cut = payload.len; cut + 3 > payload.len; cut--) {
				buf_reset(&b);
				frame_put(&b, forms[_i].type, &fixture_uuid, payload.data, cut);
				err = decode(forms[_i].type, &b);
				ck_assert_msg(err == 0 || err == -L3_CORRUPT || err == -L3_VERSION,
					      "byte %zu: %s", i, err_text(err));
			}
		}
		payload.data[i] = was;
	}
	buf_release(&payload);
	buf_release(&b);
}
END_TEST

/* Both have it behind their number. */
START_TEST(test_an_epoch_that_no_name_has_room_for_is_refused)
{
	struct buf payload = BUF_INIT, b = BUF_INIT;

	from_hex(forms[_i].payload, &payload);
	payload.data[8 + 4] = 1;
	frame_put(&b, forms[_i].type, &fixture_uuid, payload.data, payload.len);
	ck_assert_int_eq(decode(forms[_i].type, &b), -L3_CORRUPT);
	buf_release(&payload);
	buf_release(&b);
}
END_TEST

START_TEST(test_slots_out_of_order_are_refused)
{
	struct buf b = BUF_INIT;
	struct history h;

	frame(FRAME_SLOT, slot_payload, &b);
	before(&h);
	h.slot = 5; /* another number is expected */
	ck_assert_int_eq(db_history_replay(&h, b.data, b.len, &fixture_uuid, "it", NULL),
			 -L3_CORRUPT);
	db_history_release(&h);
	before(&h);
	h.epoch = 3; /* epochs never decrease */
	ck_assert_int_eq(db_history_replay(&h, b.data, b.len, &fixture_uuid, "it", NULL),
			 -L3_CORRUPT);
	db_history_release(&h);
	before(&h);
	h.epoch = 2; /* a fence must begin its epoch */
	ck_assert_int_eq(db_history_replay(&h, b.data, b.len, &fixture_uuid, "it", NULL),
			 -L3_CORRUPT);
	db_history_release(&h);
	buf_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stored forms of the chain");
	TCase *tc = tcase_create("forms");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_a_slot_is_written_as_ever);
	tcase_add_test(tc, test_an_old_slot_is_read);
	tcase_add_test(tc, test_a_checkpoint_is_written_and_read_as_ever);
	tcase_add_loop_test(tc, test_every_flipped_bit_is_noticed, 0, 2);
	tcase_add_loop_test(tc, test_every_truncation_is_noticed, 0, 2);
	tcase_add_loop_test(tc, test_hostile_payloads_do_no_harm, 0, 2);
	tcase_add_loop_test(tc, test_an_epoch_that_no_name_has_room_for_is_refused, 0, 2);
	tcase_add_test(tc, test_slots_out_of_order_are_refused);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

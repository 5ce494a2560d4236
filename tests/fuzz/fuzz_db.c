/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slots and checkpoints with right numbers and checksums, and any content. A first byte below 128:
 * a row of slots (u16 length, payload without its number) replayed one after another; else a
 * checkpoint's payload, without its number, and then it is written again.
 */
#include "db/checkpoint.h"
#include "tests/fuzz/fuzz.h"

static const struct uuid fs;

static void replay(struct history *h, const uint8_t *payload, size_t len, int *err)
{
	struct buf numbered CLEANUP(buf_release) = BUF_INIT;
	struct buf framed CLEANUP(buf_release) = BUF_INIT;
	uint8_t *copy;

	buf_u64(&numbered, h->slot + 1);
	buf_add(&numbered, payload, len);
	frame_put(&framed, FRAME_SLOT, &fs, numbered.data, numbered.len);
	copy = fuzz_copy(framed.data, framed.len);
	*err = db_history_replay(h, copy, framed.len, &fs, "fuzz", NULL);
	free(copy);
}

static void as_slots(const uint8_t *data, size_t len)
{
	struct history h;
	uint64_t slot, epoch;
	int err = 0;

	db_history_init(&h);
	while (err == 0 && len >= 2) {
		size_t n = min_u64((size_t)data[0] | (size_t)data[1] << 8, len - 2);

		slot = h.slot;
		epoch = h.epoch;
		replay(&h, data + 2, n, &err);
		if (err == 0)
			MUST(h.slot == slot + 1 && h.epoch >= epoch);
		data += 2 + n;
		len -= 2 + n;
	}
	db_history_release(&h);
}

static void write_again(const struct history *h)
{
	struct checkpoint c = { 0 };
	struct out o CLEANUP(db_out_release) = { 0 };

	MUST(db_checkpoint_take(h, &c) == 0);
	db_out_init(&o);
	MUST(db_checkpoint_encode(&c, &fs, &o) == 0);
	db_checkpoint_release(&c);
}

static void as_checkpoint(const uint8_t *data, size_t len)
{
	struct buf numbered CLEANUP(buf_release) = BUF_INIT;
	struct buf framed CLEANUP(buf_release) = BUF_INIT;
	struct history h;
	uint8_t *copy;

	buf_u64(&numbered, 7);
	buf_add(&numbered, data, len);
	frame_put(&framed, FRAME_CHECKPOINT, &fs, numbered.data, numbered.len);
	copy = fuzz_copy(framed.data, framed.len);
	db_history_init(&h);
	if (db_checkpoint_decode(copy, framed.len, &fs, 7, "fuzz", &h) == 0)
		write_again(&h);
	db_history_release(&h);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] < 128)
		as_slots(data + 1, size - 1);
	else
		as_checkpoint(data + 1, size - 1);
	return 0;
}

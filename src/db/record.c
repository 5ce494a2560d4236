/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Encoding and decoding of slots, and of tables in slots and checkpoints.
 */
#include "db/record.h"
#include "db/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SHIFT_MIN 12
#define SHIFT_MAX 30

void db_slot_key(uint64_t slot, char out[SLOT_KEY_LIMIT])
{
	snprintf(out, SLOT_KEY_LIMIT, SLOT_PREFIX "%020llu", (unsigned long long)slot);
}

int db_numbered_key_parse(const char *key, const char *prefix, uint64_t *ret)
{
	size_t n = strlen(prefix);

	if (strncmp(key, prefix, n) != 0 || strlen(key + n) != 20)
		return -EINVAL;
	return parse_u64(key + n, ret);
}

int db_rec_new(enum rec_type type, const char *name, struct vfile *file, struct rec **ret)
{
	struct rec *r = calloc(1, sizeof(*r));

	if (!r)
		return err_note(-ENOMEM, "no memory to record a change of %s", name);
	r->type = type;
	r->file = file ? db_vfile_get(file) : NULL;
	snprintf(r->name, sizeof(r->name), "%s", name);
	*ret = r;
	return 0;
}

void db_rec_free(struct rec *r)
{
	if (!r)
		return;
	db_vfile_put(r->file);
	free(r);
}

void db_recs_free(struct rec *list)
{
	struct rec *next;

	for (; list; list = next) {
		next = list->next;
		db_rec_free(list);
	}
}

/* ---- writing ---- */

void db_out_init(struct out *o)
{
	static const uint8_t room[FRAME_HEADER_BYTES];

	memset(o, 0, sizeof(*o));
	buf_add(&o->head, room, sizeof(room));
}

void db_out_release(struct out *o)
{
	buf_release(&o->head);
	free(o->pieces);
	free(o->iov);
	memset(o, 0, sizeof(*o));
}

static void out_piece(struct out *o, const void *data, size_t offset, size_t len)
{
	if (o->head.failed || len == 0)
		return;
	if (o->count == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 16;
		struct out_piece *p = realloc(o->pieces, cap * sizeof(*p));

		if (!p) {
			o->head.failed = true;
			return;
		}
		o->pieces = p;
		o->cap = cap;
	}
	o->pieces[o->count++] = (struct out_piece){ data, offset, len };
	o->bytes += len;
}

static void out_close_head(struct out *o)
{
	size_t from = o->closed;

	o->closed = o->head.len;
	out_piece(o, NULL, from, o->head.len - from);
}

/* Pieces shorter than this are cheaper copied than pointed at. */
#define COPY_BELOW 256

void db_out_data(struct out *o, const void *data, size_t len)
{
	if (len < COPY_BELOW) {
		buf_add(&o->head, data, len);
		return;
	}
	out_close_head(o);
	out_piece(o, data, 0, len);
}

void db_out_rope(struct out *o, const struct rope *r, struct rope_cursor *at, uint64_t end)
{
	const uint8_t *data;
	size_t n;

	while ((n = db_rope_next(r, at, end, &data)) > 0)
		db_out_data(o, data, n);
}

/* The payload's checksum, which leaves out the header at the front of the first piece. */
static int out_sum(const struct out *o, uint64_t *ret)
{
	XXH3_state_t *x = XXH3_createState();
	size_t skip = FRAME_HEADER_BYTES;

	if (!x)
		return err_note(-ENOMEM, "no memory for a checksum");
	XXH3_64bits_reset(x);
	for (size_t i = 0; i < o->count; i++) {
		XXH3_64bits_update(x, (uint8_t *)o->iov[i].iov_base + skip,
				   o->iov[i].iov_len - skip);
		skip = 0;
	}
	*ret = XXH3_64bits_digest(x);
	XXH3_freeState(x);
	return 0;
}

int db_out_finish(struct out *o, uint32_t frame_type, const struct uuid *fs)
{
	uint64_t sum = 0;
	int err;

	out_close_head(o);
	err = buf_error(&o->head);
	if (err)
		return err_note(err, "no memory for an object of %llu bytes",
				(unsigned long long)o->bytes);
	o->iov = calloc(o->count, sizeof(*o->iov));
	if (!o->iov)
		return err_note(-ENOMEM, "no memory for an object of %zu pieces", o->count);
	for (size_t i = 0; i < o->count; i++) {
		const struct out_piece *p = &o->pieces[i];

		o->iov[i].iov_base = p->data ? (void *)p->data : o->head.data + p->offset;
		o->iov[i].iov_len = p->len;
	}
	err = out_sum(o, &sum);
	if (!err)
		frame_put_header(o->head.data, frame_type, fs, o->bytes - FRAME_HEADER_BYTES, sum);
	return err;
}

void db_table_encode(struct buf *b, const struct table *t)
{
	buf_varint(b, t->number);
	buf_varint(b, t->epoch);
	buf_varint(b, t->size);
	buf_u8(b, t->window_shift);
	for (size_t i = 0; i < t->windows; i++)
		buf_u64(b, t->sums[i]);
}

/* Type, length and body; `foreign` bytes of the body follow from elsewhere. */
static void put_record(struct buf *b, enum rec_type type, const struct buf *body, uint64_t foreign)
{
	buf_u8(b, type);
	buf_varint(b, body->len + foreign);
	buf_add(b, body->data, body->len);
	if (body->failed)
		b->failed = true;
}

static void put_append(struct out *o, struct buf *body, const struct rec *r)
{
	struct vfile *f = r->file;

	buf_u64(body, r->from);
	put_record(&o->head, REC_APPEND, body, r->upto - r->from);
	db_rope_seek(&f->rope, &f->sent, r->from);
	db_out_rope(o, &f->rope, &f->sent, r->upto);
}

static void put_rec(struct out *o, struct buf *body, const struct rec *r)
{
	buf_reset(body);
	buf_bytes(body, r->name, strlen(r->name));
	switch (r->type) {
	case REC_APPEND:
		put_append(o, body, r);
		return;
	case REC_TABLE:
		db_table_encode(body, r->file->table);
		break;
	case REC_RENAME:
		buf_bytes(body, r->to, strlen(r->to));
		break;
	case REC_CREATE:
	case REC_REMOVE:
	case REC_PART:
		break;
	}
	put_record(&o->head, r->type, body, 0);
}

static void put_part(struct out *o, struct buf *body, const struct part *p)
{
	buf_reset(body);
	buf_u64(body, p->id);
	buf_u64(body, p->offset);
	put_record(&o->head, REC_PART, body, p->len);
	db_out_data(o, p->data, p->len);
}

int db_slot_encode(struct out *o, const struct slot_head *head, const struct uuid *fs,
		   const struct rec *recs, const struct part *parts, size_t part_count)
{
	struct buf body CLEANUP(buf_release) = BUF_INIT;

	buf_u64(&o->head, head->slot);
	buf_u64(&o->head, head->epoch);
	buf_u64(&o->head, head->nonce);
	buf_u8(&o->head, head->flags);
	for (const struct rec *r = recs; r; r = r->next)
		put_rec(o, &body, r);
	for (size_t i = 0; i < part_count; i++)
		put_part(o, &body, &parts[i]);
	return db_out_finish(o, FRAME_SLOT, fs);
}

/* ---- reading ---- */

int db_slot_decode(const void *data, size_t len, const struct uuid *fs, uint64_t slot,
		   const char *what, struct slot_head *ret, struct rd *ret_records)
{
	int err = frame_get(data, len, FRAME_SLOT, fs, what, ret_records, NULL);

	if (err)
		return err;
	ret->slot = rd_u64(ret_records);
	ret->epoch = rd_u64(ret_records);
	ret->nonce = rd_u64(ret_records);
	ret->flags = rd_u8(ret_records);
	if (rd_error(ret_records))
		return err_note(-L3_CORRUPT, "%s is too short for a slot", what);
	if (ret->slot != slot)
		return err_note(-L3_CORRUPT, "%s says that it is slot %llu", what,
				(unsigned long long)ret->slot);
	if (ret->epoch > LEASE_EPOCH_MAX)
		return err_note(-L3_CORRUPT, "%s has the impossible epoch %llu", what,
				(unsigned long long)ret->epoch);
	if (ret->flags & ~SLOT_FLAG_FENCE)
		return err_note(-L3_VERSION, "%s has flags of a newer version (%#x)", what,
				ret->flags);
	return 0;
}

bool db_name_decode(struct rd *r, char out[FILE_NAME_LIMIT])
{
	size_t len = 0;
	const uint8_t *name = rd_bytes(r, &len);

	if (!name || !db_name_fits((const char *)name, len)) {
		r->failed = true;
		return false;
	}
	memcpy(out, name, len);
	out[len] = 0;
	return true;
}

int db_table_decode(struct rd *r, struct vfile **ret)
{
	uint64_t number = rd_varint(r), epoch = rd_varint(r), size = rd_varint(r);
	unsigned shift = rd_u8(r);
	struct vfile *f = NULL;
	struct table *t;
	size_t windows;
	int err;

	if (rd_error(r) || size > TABLE_SIZE_LIMIT || shift < SHIFT_MIN || shift > SHIFT_MAX)
		return -L3_CORRUPT;
	windows = db_table_window_count(size, shift);
	if (rd_left(r) / sizeof(uint64_t) < windows)
		return -L3_CORRUPT;
	err = db_vfile_new_table(number, epoch, &f);
	if (err)
		return err;
	t = f->table;
	t->size = size;
	t->window_shift = shift;
	t->windows = windows;
	t->uploaded = true;
	t->sums = calloc(windows + 1, sizeof(*t->sums));
	t->verified = calloc(windows + 1, 1);
	if (!t->sums || !t->verified) {
		db_vfile_put(f);
		return err_note(-ENOMEM, "no memory for a table");
	}
	for (size_t i = 0; i < windows; i++)
		t->sums[i] = rd_u64(r);
	f->created = true;
	*ret = f;
	return 0;
}

static int body_decode(struct rd *b, struct rec_view *v)
{
	switch (v->type) {
	case REC_CREATE:
	case REC_REMOVE:
		db_name_decode(b, v->name);
		return rd_done(b);
	case REC_RENAME:
		if (db_name_decode(b, v->name))
			db_name_decode(b, v->to);
		return rd_done(b);
	case REC_TABLE:
		if (!db_name_decode(b, v->name))
			return -L3_CORRUPT;
		return db_table_decode(b, &v->table);
	case REC_APPEND:
		db_name_decode(b, v->name);
		v->offset = rd_u64(b);
		break;
	case REC_PART:
		v->id = rd_u64(b);
		v->offset = rd_u64(b);
		break;
	default:
		return -L3_VERSION;
	}
	v->len = rd_left(b);
	v->data = rd_take(b, v->len);
	return rd_error(b);
}

int db_rec_next(struct rd *records, const char *what, struct rec_view *ret)
{
	const uint8_t *body;
	struct rd b;
	size_t len;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (rd_left(records) == 0)
		return 0;
	ret->type = rd_u8(records);
	body = rd_bytes(records, &len);
	if (!body)
		return err_note(-L3_CORRUPT, "%s ends within a record", what);
	rd_init(&b, body, len);
	err = body_decode(&b, ret);
	if (!err && rd_left(&b) > 0) {
		db_vfile_put(ret->table);
		err = -L3_CORRUPT;
	}
	if (err == -L3_VERSION)
		return err_note(err, "%s has a record of type %u, of a newer version", what,
				ret->type);
	if (err == -L3_CORRUPT)
		return err_note(err, "%s has a bad record of type %u", what, ret->type);
	return err ? err : 1;
}

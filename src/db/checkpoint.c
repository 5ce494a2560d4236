/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stored form of checkpoints. When one is taken, and what is trimmed then: keeper.c.
 */
#include "db/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_BYTES = 0, KIND_TABLE = 1 };

void db_checkpoint_key(uint64_t slot, char out[CHECKPOINT_KEY_LIMIT])
{
	snprintf(out, CHECKPOINT_KEY_LIMIT, CHECKPOINT_PREFIX "%020llu", (unsigned long long)slot);
}

int db_checkpoint_list_add(struct checkpoint_list *l, uint64_t slot)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		uint64_t *s = realloc(l->slots, cap * sizeof(*s));

		if (!s)
			return err_note(-ENOMEM, "no memory for the list of checkpoints");
		l->slots = s;
		l->cap = cap;
	}
	l->slots[l->count++] = slot;
	return 0;
}

void db_checkpoint_list_release(struct checkpoint_list *l)
{
	free(l->slots);
	memset(l, 0, sizeof(*l));
}

int db_checkpoint_take(const struct history *h, struct checkpoint *ret)
{
	struct checkpoint c = { .slot = h->slot, .epoch = h->epoch };
	struct entry *e, *tmp;

	c.fences = malloc((h->fence_count + 1) * sizeof(*c.fences));
	c.files = calloc(db_names_count(&h->names) + 1, sizeof(*c.files));
	if (!c.fences || !c.files) {
		db_checkpoint_release(&c);
		return err_note(-ENOMEM, "no memory for a checkpoint");
	}
	c.fence_count = h->fence_count;
	if (h->fence_count)
		memcpy(c.fences, h->fences, h->fence_count * sizeof(*c.fences));
	names_each(&h->names, e, tmp)
	{
		struct checkpoint_file *f = &c.files[c.file_count++];

		memcpy(f->name, e->name, sizeof(f->name));
		f->file = db_vfile_get(e->file);
		f->len = e->len;
	}
	*ret = c;
	return 0;
}

void db_checkpoint_release(struct checkpoint *c)
{
	for (size_t i = 0; i < c->file_count; i++)
		db_vfile_put(c->files[i].file);
	free(c->files);
	free(c->fences);
	memset(c, 0, sizeof(*c));
}

static void put_file(struct out *o, const struct checkpoint_file *f)
{
	struct rope_cursor at = ROPE_CURSOR_INIT;

	buf_bytes(&o->head, f->name, strlen(f->name));
	if (f->file->table) {
		buf_u8(&o->head, KIND_TABLE);
		db_table_encode(&o->head, f->file->table);
		return;
	}
	buf_u8(&o->head, KIND_BYTES);
	buf_varint(&o->head, f->len);
	db_out_rope(o, &f->file->rope, &at, f->len);
}

int db_checkpoint_encode(const struct checkpoint *c, const struct uuid *fs, struct out *o)
{
	buf_u64(&o->head, c->slot);
	buf_u64(&o->head, c->epoch);
	buf_varint(&o->head, c->fence_count);
	for (size_t i = 0; i < c->fence_count; i++) {
		buf_u64(&o->head, c->fences[i].epoch);
		buf_u64(&o->head, c->fences[i].slot);
	}
	buf_varint(&o->head, c->file_count);
	for (size_t i = 0; i < c->file_count; i++)
		put_file(o, &c->files[i]);
	return db_out_finish(o, FRAME_CHECKPOINT, fs);
}

static int get_fences(struct rd *r, struct history *h)
{
	uint64_t count = rd_varint(r);

	for (uint64_t i = 0; i < count && !rd_error(r); i++) {
		struct fence f = { rd_u64(r), rd_u64(r) };
		const struct fence *last = h->fence_count ? &h->fences[h->fence_count - 1] : NULL;
		int err;

		if (f.epoch > LEASE_EPOCH_MAX)
			return -L3_CORRUPT;
		if (last && (f.epoch <= last->epoch || f.slot <= last->slot))
			return -L3_CORRUPT;
		err = db_history_add_fence(h, f.epoch, f.slot);
		if (err)
			return err;
	}
	return rd_error(r);
}

static int get_bytes(struct rd *r, struct vfile **ret)
{
	size_t len = 0;
	const uint8_t *data = rd_bytes(r, &len);
	struct vfile *f = NULL;
	int err;

	if (!data && len)
		return -L3_CORRUPT;
	err = db_vfile_new(&f);
	if (err)
		return err;
	f->created = true;
	f->cut = len;
	err = db_rope_append(&f->rope, data, len);
	if (err) {
		db_vfile_put(f);
		return err;
	}
	db_vfile_publish(f, len);
	*ret = f;
	return 0;
}

static int get_file(struct rd *r, struct history *h)
{
	char name[FILE_NAME_LIMIT];
	struct vfile *f = NULL;
	uint8_t kind;
	int err;

	if (!db_name_decode(r, name))
		return -L3_CORRUPT;
	kind = rd_u8(r);
	if (kind == KIND_TABLE)
		err = db_table_decode(r, &f);
	else if (kind == KIND_BYTES)
		err = get_bytes(r, &f);
	else
		return -L3_CORRUPT;
	if (!err && rd_error(r))
		err = -L3_CORRUPT;
	if (!err)
		err = db_names_set(&h->names, name, f, f->table ? f->table->size : f->published);
	db_vfile_put(f);
	return err;
}

static int get_all(struct rd *r, struct history *h)
{
	uint64_t count;
	int err;

	h->slot = rd_u64(r);
	h->epoch = rd_u64(r);
	if (h->epoch > LEASE_EPOCH_MAX)
		return -L3_CORRUPT;
	err = get_fences(r, h);
	count = rd_varint(r);
	for (uint64_t i = 0; i < count && !err; i++)
		err = get_file(r, h);
	return err ? err : rd_done(r);
}

int db_checkpoint_decode(const void *data, size_t len, const struct uuid *fs, uint64_t slot,
			 const char *what, struct history *h)
{
	struct rd r;
	int err = frame_get(data, len, FRAME_CHECKPOINT, fs, what, &r, NULL);

	if (err)
		return err;
	err = get_all(&r, h);
	if (!err && h->slot != slot)
		err = -L3_CORRUPT;
	return err == -L3_CORRUPT ? err_note(err, "%s holds no proper checkpoint", what) : err;
}

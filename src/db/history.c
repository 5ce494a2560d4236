/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Applying slots to the durable state. Replayed slots and our own go through the same rules.
 */
#include "db/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void db_history_init(struct history *h)
{
	memset(h, 0, sizeof(*h));
	h->parts_end = &h->parts;
}

void db_history_drop_parts(struct history *h)
{
	struct kept_part *p = h->parts, *next;

	for (; p; p = next) {
		next = p->next;
		free(p);
	}
	h->parts = NULL;
	h->parts_end = &h->parts;
}

void db_history_release(struct history *h)
{
	db_names_release(&h->names);
	db_history_drop_parts(h);
	free(h->fences);
	db_history_init(h);
}

int db_history_add_fence(struct history *h, uint64_t epoch, uint64_t slot)
{
	if (h->fence_count == h->fence_cap) {
		size_t cap = h->fence_cap ? h->fence_cap * 2 : 16;
		struct fence *f = realloc(h->fences, cap * sizeof(*f));

		if (!f)
			return err_note(-ENOMEM, "no memory for the list of epochs");
		h->fences = f;
		h->fence_cap = cap;
	}
	h->fences[h->fence_count++] = (struct fence){ epoch, slot };
	return 0;
}

bool db_history_is_fence(const struct history *h, uint64_t slot)
{
	size_t low = 0, high = h->fence_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (h->fences[mid].slot < slot)
			low = mid + 1;
		else
			high = mid;
	}
	return low < h->fence_count && h->fences[low].slot == slot;
}

/* The border between epochs: they never decrease, and the first slot of each says so. */
static int enter_slot(struct history *h, const struct slot_head *head, const char *what)
{
	bool first = head->epoch > h->epoch;
	int err = 0;

	if (h->loose)
		first = (head->flags & SLOT_FLAG_FENCE) && first;
	else if (head->epoch < h->epoch)
		return err_note(-L3_CORRUPT, "%s is of epoch %llu after epoch %llu", what,
				(unsigned long long)head->epoch, (unsigned long long)h->epoch);
	if (!h->loose && first != !!(head->flags & SLOT_FLAG_FENCE))
		return err_note(-L3_CORRUPT, "%s %s the first of epoch %llu", what,
				first ? "should be" : "claims to be",
				(unsigned long long)head->epoch);
	if (first)
		err = db_history_add_fence(h, head->epoch, head->slot);
	h->slot = head->slot;
	h->epoch = max_u64(h->epoch, head->epoch);
	return err;
}

static uint64_t bytes_of(const struct entry *e)
{
	return e && !e->file->table ? e->len : 0;
}

void db_history_measure(struct history *h)
{
	struct entry *e, *tmp;

	h->file_bytes = 0;
	names_each (&h->names, e, tmp)
		h->file_bytes += bytes_of(e);
}

/* What of the name that a record is about is in file_bytes, before it is applied and after. */
static uint64_t counted(const struct history *h, const struct rec *r)
{
	uint64_t bytes = bytes_of(db_names_find(&h->names, r->name));

	return r->type == REC_RENAME ? bytes + bytes_of(db_names_find(&h->names, r->to)) : bytes;
}

static int apply(struct names *n, const struct rec *r)
{
	struct entry *e;

	switch (r->type) {
	case REC_CREATE:
		return db_names_set(n, r->name, r->file, 0);
	case REC_APPEND:
		e = db_names_find(n, r->name);
		if (!e)
			return -ENOENT;
		e->len = r->upto;
		return 0;
	case REC_TABLE:
		return db_names_set(n, r->name, r->file, r->file->table->size);
	case REC_REMOVE:
		db_names_remove(n, r->name);
		return 0;
	case REC_RENAME:
		return db_names_rename(n, r->name, r->to);
	case REC_PART:
		break;
	}
	return 0;
}

void db_history_apply(struct history *h, const struct slot_head *head, const struct rec *recs)
{
	int err = enter_slot(h, head, "our own slot");

	for (; recs && !err; recs = recs->next) {
		h->file_bytes -= counted(h, recs);
		err = apply(&h->names, recs);
		h->file_bytes += counted(h, recs);
	}
	if (err)
		h->damaged = true;
}

/* Does it go on where the parts before end? */
static bool part_fits(const struct history *h, const struct rec_view *v)
{
	uint64_t end = 0;

	for (const struct kept_part *p = h->parts; p; p = p->next)
		if (p->id == v->id)
			end = max_u64(end, p->offset + p->len);
	return v->offset <= end;
}

static int keep_part(struct history *h, const struct rec_view *v)
{
	struct kept_part *p;

	if (h->loose && !part_fits(h, v))
		return 0;
	p = malloc(sizeof(*p) + v->len);
	if (!p)
		return err_note(-ENOMEM, "no memory for %zu bytes found in a slot", v->len);
	p->next = NULL;
	p->id = v->id;
	p->offset = v->offset;
	p->len = v->len;
	memcpy(p->bytes, v->data, v->len);
	*h->parts_end = p;
	h->parts_end = &p->next;
	return 0;
}

static int replay_append(struct history *h, const struct rec_view *v, const char *what)
{
	struct entry *e = db_names_find(&h->names, v->name);
	int err;

	if (h->loose && (!e || e->file->table || e->len != v->offset)) {
		db_names_remove(&h->names, v->name);
		return 0;
	}
	if (!e || e->file->table || e->len != v->offset)
		return err_note(-L3_CORRUPT, "%s appends to %s at %llu, which has %llu bytes", what,
				v->name, (unsigned long long)v->offset,
				(unsigned long long)(e ? e->len : 0));
	err = db_rope_append(&e->file->rope, v->data, v->len);
	if (err)
		return err;
	e->len += v->len;
	e->file->cut = e->len;
	db_vfile_publish(e->file, e->len);
	return 0;
}

static int replay_create(struct history *h, const struct rec_view *v)
{
	struct vfile *f = NULL;
	int err = db_vfile_new(&f);

	if (err)
		return err;
	f->created = true;
	err = db_names_set(&h->names, v->name, f, 0);
	db_vfile_put(f);
	return err;
}

static int replay_record(struct history *h, const struct rec_view *v, const char *what)
{
	int err;

	switch (v->type) {
	case REC_CREATE:
		return replay_create(h, v);
	case REC_APPEND:
		return replay_append(h, v, what);
	case REC_TABLE:
		err = db_names_set(&h->names, v->name, v->table, v->table->table->size);
		db_vfile_put(v->table);
		return err;
	case REC_PART:
		return keep_part(h, v);
	case REC_REMOVE:
		if (!db_names_find(&h->names, v->name))
			break;
		db_names_remove(&h->names, v->name);
		return 0;
	case REC_RENAME:
		if (!db_names_find(&h->names, v->name))
			break;
		return db_names_rename(&h->names, v->name, v->to);
	}
	if (h->loose)
		return 0;
	return err_note(-L3_CORRUPT, "%s changes %s, which does not exist", what, v->name);
}

int db_history_replay(struct history *h, const void *data, size_t len, const struct uuid *fs,
		      const char *what, struct slot_head *ret_head)
{
	struct slot_head head;
	struct rec_view v;
	struct rd records;
	int err;

	err = db_slot_decode(data, len, fs, h->slot + 1, what, &head, &records);
	if (err)
		return err;
	err = enter_slot(h, &head, what);
	while (!err) {
		err = db_rec_next(&records, what, &v);
		if (err <= 0)
			break;
		err = replay_record(h, &v, what);
	}
	if (!err && ret_head)
		*ret_head = head;
	return err;
}

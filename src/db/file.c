/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ropes, tables and the reference counted files made of them.
 */
#include "db/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CHUNK_MIN ((size_t)512)
#define CHUNK_MAX ((size_t)64 * KIB)

struct chunk {
	struct chunk *next; /* set before bytes beyond this chunk are published */
	uint64_t start;	    /* offset in the file */
	size_t cap;
	uint8_t data[];
};

static int rope_grow(struct rope *r)
{
	size_t cap = r->last ? min_u64(CHUNK_MAX, r->last->cap * 4) : CHUNK_MIN;
	struct chunk *c = malloc(sizeof(*c) + cap);

	if (!c)
		return err_note(-ENOMEM, "no memory for a log");
	c->next = NULL;
	c->start = r->len;
	c->cap = cap;
	if (r->last)
		r->last->next = c;
	else
		r->first = c;
	r->last = c;
	return 0;
}

int db_rope_append(struct rope *r, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len > 0) {
		size_t used = r->last ? (size_t)(r->len - r->last->start) : 0;
		size_t n;
		int err;

		if (!r->last || used == r->last->cap) {
			err = rope_grow(r);
			if (err)
				return err;
			continue;
		}
		n = min_u64(len, r->last->cap - used);
		memcpy(r->last->data + used, from, n);
		r->len += n;
		from += n;
		len -= n;
	}
	return 0;
}

void db_rope_release(struct rope *r)
{
	struct chunk *c = r->first, *next;

	for (; c; c = next) {
		next = c->next;
		free(c);
	}
	memset(r, 0, sizeof(*r));
}

size_t db_rope_next(const struct rope *r, struct rope_cursor *at, uint64_t end, const uint8_t **ret)
{
	size_t skip, n;

	if (at->pos >= end)
		return 0;
	if (!at->chunk)
		at->chunk = r->first;
	while (at->pos >= at->chunk->start + at->chunk->cap)
		at->chunk = at->chunk->next;
	skip = at->pos - at->chunk->start;
	n = min_u64(at->chunk->cap - skip, end - at->pos);
	*ret = at->chunk->data + skip;
	at->pos += n;
	return n;
}

void db_rope_seek(const struct rope *r, struct rope_cursor *at, uint64_t pos)
{
	const uint8_t *data;

	if (at->pos > pos)
		*at = (struct rope_cursor)ROPE_CURSOR_INIT;
	while (at->pos < pos)
		db_rope_next(r, at, pos, &data);
}

int db_blob_new(struct blob **ret)
{
	struct blob *b = calloc(1, sizeof(*b));

	if (!b)
		return err_note(-ENOMEM, "no memory for a table");
	b->refs = 1;
	b->bytes.limit = TABLE_SIZE_LIMIT;
	*ret = b;
	return 0;
}

struct blob *db_blob_get(struct blob *b)
{
	if (b)
		__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void db_blob_put(struct blob *b)
{
	if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	buf_release(&b->bytes);
	free(b);
}

size_t db_table_window_count(uint64_t size, unsigned shift)
{
	return (size + ((uint64_t)1 << shift) - 1) >> shift;
}

/* How much the first window lacks, as the last one is whole. */
static uint64_t window_pad(const struct table *t)
{
	return ((uint64_t)t->windows << t->window_shift) - t->size;
}

size_t db_table_window_of(const struct table *t, uint64_t offset)
{
	return (offset + window_pad(t)) >> t->window_shift;
}

void db_table_window_range(const struct table *t, size_t window, uint64_t *ret_start,
			   uint64_t *ret_len)
{
	uint64_t pad = window_pad(t);
	uint64_t start = (uint64_t)window << t->window_shift;
	uint64_t end = start + ((uint64_t)1 << t->window_shift) - pad;

	start = start > pad ? start - pad : 0;
	*ret_start = start;
	*ret_len = end - start;
}

int db_table_measure(struct table *t, const struct buf *bytes)
{
	t->size = bytes->len;
	t->window_shift = TABLE_WINDOW_SHIFT;
	t->windows = db_table_window_count(t->size, t->window_shift);
	t->sums = calloc(t->windows + 1, sizeof(*t->sums));
	t->verified = calloc(t->windows + 1, 1);
	if (!t->sums || !t->verified)
		return err_note(-ENOMEM, "no memory for %s", t->key);
	for (size_t i = 0; i < t->windows; i++) {
		uint64_t start, len;

		db_table_window_range(t, i, &start, &len);
		t->sums[i] = XXH3_64bits(bytes->data + start, len);
	}
	return 0;
}

int db_vfile_new(struct vfile **ret)
{
	struct vfile *f = calloc(1, sizeof(*f));

	if (!f)
		return err_note(-ENOMEM, "no memory for a file");
	f->refs = 1;
	*ret = f;
	return 0;
}

int db_vfile_new_table(uint64_t number, uint64_t epoch, struct vfile **ret)
{
	struct vfile *f = NULL;
	int err = db_vfile_new(&f);

	if (err)
		return err;
	f->table = calloc(1, sizeof(*f->table));
	if (!f->table) {
		db_vfile_put(f);
		return err_note(-ENOMEM, "no memory for a table");
	}
	f->table->number = number;
	f->table->epoch = epoch;
	db_table_key(number, epoch, f->table->key);
	*ret = f;
	return 0;
}

struct vfile *db_vfile_get(struct vfile *f)
{
	__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

static void table_free(struct table *t)
{
	if (!t)
		return;
	db_blob_put(t->blob);
	free(t->sums);
	free(t->verified);
	free(t);
}

void db_vfile_put(struct vfile *f)
{
	if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	db_rope_release(&f->rope);
	table_free(f->table);
	free(f);
}

uint64_t db_vfile_published(const struct vfile *f)
{
	return __atomic_load_n(&f->published, __ATOMIC_ACQUIRE);
}

void db_vfile_publish(struct vfile *f, uint64_t len)
{
	__atomic_store_n(&f->published, len, __ATOMIC_RELEASE);
}

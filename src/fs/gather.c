/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gather: what is live in a segment, and in which files: for the cleaner.
 *
 * The segment's index says for which file and offset each extent was written; R records (refs.c)
 * say where else to look. Both are hints: what counts is what the maps of the files say.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

#define LIVE_MAX (1u << 20) /* references to one segment that are looked at */

struct search {
	struct live_list *list;
	size_t first; /* of this segment in the list */
	uint64_t segment, ino;
	const struct data_ref *ref; /* this place only, or NULL */
	struct fs *fs;
};

static int live_add(struct live_list *l, uint64_t ino, const struct extent *e)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct live *more = realloc(l->at, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->at = more;
		l->cap = cap;
	}
	l->at[l->count++] = (struct live){ ino, *e };
	return 0;
}

static int see_extent(void *ctx, const struct extent *e)
{
	const struct search *s = ctx;

	if (e->kind != EXTENT_STORED || e->ref.segment != s->segment)
		return 0;
	if (s->ref && e->ref.offset != s->ref->offset)
		return 0;
	if (s->list->count - s->first >= LIVE_MAX)
		return -E2BIG;
	return live_add(s->list, s->ino, e);
}

static int by_index(struct search *s, const struct data_index_entry *index, size_t count)
{
	int err = 0;

	for (size_t n = 0; n < count && err >= 0; n++) {
		const struct data_index_entry *x = &index[n];

		s->ino = x->ino;
		s->ref = &x->ref;
		err = extent_walk(s->fs, x->ino, x->file_offset, x->file_offset + x->ref.raw_bytes,
				  see_extent, s);
	}
	s->ref = NULL;
	return err;
}

static int see_any(struct search *s, const char *key, const char *value, size_t len)
{
	struct extent e;
	int err = extent_decode(value, len, get_u64_be(key + KEY_PREFIX_BYTES), &e);

	s->ino = get_u64_be(key + 1);
	return err < 0 ? err : see_extent(s, &e);
}

/* All extents of all files. */
static int by_looking(struct search *s)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(s->fs->db), db_scan_options(s->fs->db));
	const char first = KEY_EXTENT;
	char *msg = NULL;
	int err = 0;

	for (leveldb_iter_seek(it, &first, 1); err >= 0 && leveldb_iter_valid(it);
	     leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len != KEY_ORDERED_BYTES || key[0] != first)
			break;
		value = leveldb_iter_value(it, &len);
		err = see_any(s, key, value, len);
	}
	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(s->fs->db, msg) : err;
}

static int by_reference(void *ctx, uint64_t ino, const struct reference *r)
{
	struct search *s = ctx;

	if (ino == REFERENCE_ANY_INO)
		return by_looking(s);
	s->ino = ino;
	return extent_walk(s->fs, ino, r->start, r->end, see_extent, s);
}

static int live_order(const void *a, const void *b)
{
	const struct live *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->extent.start != y->extent.start)
		return x->extent.start < y->extent.start ? -1 : 1;
	return 0;
}

void live_arrange(struct live_list *l)
{
	size_t kept = 0;

	if (l->count > 0)
		qsort(l->at, l->count, sizeof(l->at[0]), live_order);
	for (size_t n = 0; n < l->count; n++) {
		const struct live *last = kept > 0 ? &l->at[kept - 1] : NULL;
		struct live x = l->at[n];

		if (last && last->ino == x.ino && last->extent.end > x.extent.start) {
			if (x.extent.end <= last->extent.end)
				continue;
			x.extent = extent_part(&x.extent, last->extent.end, x.extent.end);
		}
		l->at[kept++] = x;
	}
	l->count = kept;
}

static int index_order(const void *a, const void *b)
{
	const struct data_index_entry *x = a, *y = b;

	return x->ref.offset < y->ref.offset ? -1 : x->ref.offset > y->ref.offset;
}

/* One that was put together after a crash may name a place more than once. */
static uint64_t raw_bytes(struct data_index_entry *index, size_t count)
{
	uint64_t bytes = 0;

	if (count > 0)
		qsort(index, count, sizeof(index[0]), index_order);
	for (size_t n = 0; n < count; n++)
		if (n == 0 || index[n].ref.offset != index[n - 1].ref.offset)
			bytes += index[n].ref.raw_bytes;
	return bytes;
}

/* fsck has noted that the index is of no use: who refers to the segment is to be looked for everywhere. */
static bool is_known_bad(struct fs *fs, uint64_t segment, bool referenced)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_reference(&k, segment, REFERENCE_ANY_INO);
	return referenced && db_value(fs, &k, &value) >= 0;
}

int gather_live(struct fs *fs, uint64_t segment, bool referenced, struct live_list *l,
		uint64_t *ret_raw_bytes)
{
	struct data_index_entry *index CLEANUP(free_ptr) = NULL;
	struct search s = { .list = l, .first = l->count, .segment = segment, .fs = fs };
	uint64_t object_bytes;
	size_t count = 0;
	int err = data_read_index(fs->data, segment, &index, &count, &object_bytes);

	if (err == -L3_CORRUPT && is_known_bad(fs, segment, referenced))
		err = 0;
	if (err >= 0)
		err = by_index(&s, index, count);
	if (err >= 0 && referenced)
		err = refs_each(fs, segment, by_reference, &s);
	if (err < 0) {
		l->count = s.first;
		return err;
	}
	*ret_raw_bytes = raw_bytes(index, count);
	return 0;
}

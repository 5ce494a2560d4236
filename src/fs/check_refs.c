/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_refs: fsck's part about the way back from segments to files: every extent can be found by
 * its segment's index or by an R record (refs.c), or the cleaner would leave it behind.
 *
 * Indexes are read from the store, and a few are kept: extents come in order of files, and a file's
 * segments repeat.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT 32

typedef unsigned long long ull;

struct kept_index {
	uint64_t segment, used;
	struct data_index_entry *at;
	size_t count;
	bool known; /* else it is not stored yet, or cannot be read */
};

struct check_indexes {
	struct kept_index kept[KEPT];
	uint64_t clock;
};

int check_indexes_open(struct check *c)
{
	c->indexes = calloc(1, sizeof(*c->indexes));
	return c->indexes ? 0 : -ENOMEM;
}

void check_indexes_close(struct check *c)
{
	if (!c->indexes)
		return;
	for (size_t n = 0; n < KEPT; n++)
		free(c->indexes->kept[n].at);
	free(c->indexes);
	c->indexes = NULL;
}

static int place_order(const void *a, const void *b)
{
	const struct data_index_entry *x = a, *y = b;

	return x->ref.offset < y->ref.offset ? -1 : x->ref.offset > y->ref.offset;
}

static int any_reference(struct check *c, uint64_t segment);

/* The cleaner then has to look everywhere, and has to be told so. */
static int bad_index(struct check *c, uint64_t segment)
{
	struct extent all = { .end = FS_FILE_SIZE_MAX, .ref.segment = segment };
	struct buf why CLEANUP(buf_release) = BUF_INIT;
	struct check_segment *s;
	char key[DATA_KEY_MAX];
	int found;

	buf_add_str(&why, err_last_note());
	found = any_reference(c, segment);
	if (found != 0)
		return found < 0 ? found : 0;
	data_key(segment, key);
	check_object_problem(c, "segment-index", key, "%s: its index cannot be read: %s", key,
			     buf_cstr(&why));
	s = check_segment_get(c, segment);
	if (!s)
		return -ENOMEM;
	s->unlisted = true;
	return mend_reference(c, REFERENCE_ANY_INO, &all);
}

/* What cannot be read is told as such; objects that are missing are another check's business. */
static int load(struct check *c, struct kept_index *k, uint64_t segment)
{
	uint64_t object_bytes;
	int err;

	free(k->at);
	*k = (struct kept_index){ .segment = segment };
	err = data_read_index(c->fs->data, segment, &k->at, &k->count, &object_bytes);
	if (err == -ECANCELED || err == -L3_FENCED || err == -ENOMEM)
		return err;
	k->known = err >= 0;
	if (err < 0 && err != -EBUSY && err != -ENOENT)
		return bad_index(c, segment);
	if (k->count > 0)
		qsort(k->at, k->count, sizeof(k->at[0]), place_order);
	return 0;
}

static int get(struct check *c, uint64_t segment, const struct kept_index **ret)
{
	struct check_indexes *x = c->indexes;
	struct kept_index *oldest = &x->kept[0];
	int err = 0;
	size_t n;

	for (n = 0; n < KEPT && x->kept[n].segment != segment; n++)
		if (x->kept[n].used < oldest->used)
			oldest = &x->kept[n];
	if (n < KEPT)
		oldest = &x->kept[n];
	else
		err = load(c, oldest, segment);
	oldest->used = ++x->clock;
	*ret = oldest;
	return err;
}

static bool same_place(const struct data_ref *a, const struct data_ref *b)
{
	return a->stored_bytes == b->stored_bytes && a->raw_bytes == b->raw_bytes &&
	       a->codec == b->codec && a->sum == b->sum;
}

/* *ret_differs: it has something else at this place. */
static bool in_index(const struct kept_index *k, uint64_t ino, const struct extent *e,
		     bool *ret_differs)
{
	size_t low = 0, high = k->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (k->at[mid].ref.offset < e->ref.offset)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_differs = low < k->count && k->at[low].ref.offset == e->ref.offset &&
		       !same_place(&k->at[low].ref, &e->ref);
	for (; low < k->count && k->at[low].ref.offset == e->ref.offset; low++)
		if (k->at[low].ino == ino && k->at[low].file_offset <= e->start &&
		    e->end - k->at[low].file_offset <= k->at[low].ref.raw_bytes)
			return true;
	return false;
}

/* 1, 0, or an error. */
static int in_reference(struct check *c, uint64_t ino, const struct extent *e)
{
	struct reference r;
	char *msg = NULL, *value;
	struct key k;
	size_t len;
	int err;

	key_reference(&k, e->ref.segment, ino);
	value = leveldb_get(db_handle(c->fs->db), c->read, (const char *)k.bytes, k.len, &len,
			    &msg);
	if (msg)
		return db_error(c->fs->db, msg);
	if (!value)
		return 0;
	err = reference_decode(value, len, &r);
	leveldb_free(value);
	return err >= 0 && r.start <= e->start && e->end <= r.end; /* damage is told elsewhere */
}

/* 1: any file may refer to it. */
static int any_reference(struct check *c, uint64_t segment)
{
	const struct extent whole = { .end = 1, .ref.segment = segment };

	return in_reference(c, REFERENCE_ANY_INO, &whole);
}

/* 1: by the index or a record. */
static int is_findable(struct check *c, uint64_t ino, const struct extent *e, bool *ret_differs)
{
	const struct kept_index *k;
	int found = get(c, e->ref.segment, &k);

	*ret_differs = false;
	if (found < 0)
		return found;
	if (!k->known || in_index(k, ino, e, ret_differs))
		return 1;
	found = in_reference(c, ino, e);
	return found != 0 ? found : in_reference(c, REFERENCE_ANY_INO, e);
}

int check_findable(struct check *c, uint64_t ino, const struct extent *e)
{
	struct check_segment *s;
	char key[DATA_KEY_MAX];
	bool differs;
	int found;

	if (!c->indexes || e->kind != EXTENT_STORED)
		return 0;
	found = is_findable(c, ino, e, &differs);
	if (found < 0)
		return found;
	data_key(e->ref.segment, key);
	if (differs)
		check_problem(c, "extent-index", ino,
			      "inode %llu: the extent at %llu is not what the index of %s says",
			      (ull)ino, (ull)e->start, key);
	if (found > 0)
		return 0;
	check_problem(c, "back-reference", ino,
		      "inode %llu: nothing leads from %s to the extent at %llu", (ull)ino, key,
		      (ull)e->start);
	s = check_segment_get(c, e->ref.segment);
	if (!s)
		return -ENOMEM;
	s->unlisted = true;
	return mend_reference(c, ino, e);
}

static int see_reference(struct check *c, const uint8_t *key, size_t key_len, const char *value,
			 size_t len)
{
	struct check_segment *s = NULL;
	char name[DATA_KEY_MAX];
	struct reference r;
	uint64_t segment;

	if (key_len != KEY_ORDERED_BYTES) {
		check_problem(c, "bad-record", 0, "a back-reference's key has %zu bytes", key_len);
		return mend_set_aside(c, key, key_len, value, len);
	}
	segment = get_u64_be(key + 1);
	data_key(segment, name);
	if (reference_decode(value, len, &r) < 0) {
		check_problem(c, "bad-record", 0, "%s: %s", name, err_last_note());
		return mend_set_aside(c, key, key_len, value, len);
	}
	HASH_FIND(hh, c->segments, &segment, sizeof(segment), s);
	if (s && s->has_record && s->rec.referenced)
		return 0;
	check_object_problem(c, "back-reference", name, "%s has a back-reference, and %s", name,
			     s && s->has_record ? "its record denies it" : "no record");
	if (!s || !s->has_record)
		return mend_delete(c, key, key_len);
	s->unlisted = true;
	return mend_segment(c, s);
}

int check_references(struct check *c)
{
	return check_scan(c, KEY_REFERENCE, "back-references", see_reference);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_data: fsck's half about bytes: extents, segments' live counts, objects in the store, and,
 * if asked for, every byte.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (8 * MIB) /* at once */
#define READ_PIECES (READ_BYTES / DATA_EXTENT_MAX)
#define DATA_PREFIX "data/"
#define TABLE_PREFIX "table/"

typedef unsigned long long ull;

/* ---- every byte ---- */

struct check_reader {
	uint8_t *bytes;
	struct data_piece pieces[READ_PIECES];
	uint64_t inos[READ_PIECES], starts[READ_PIECES];
	size_t count;
};

static int reader_open(struct check *c)
{
	c->reader = calloc(1, sizeof(*c->reader));
	if (!c->reader)
		return -ENOMEM;
	c->reader->bytes = malloc(READ_BYTES);
	return c->reader->bytes ? 0 : -ENOMEM;
}

static void reader_close(struct check *c)
{
	if (!c->reader)
		return;
	free(c->reader->bytes);
	free(c->reader);
	c->reader = NULL;
}

/* Something is wrong with one of them, or with the store: one by one tells. */
static int read_single(struct check *c)
{
	struct check_reader *r = c->reader;

	for (size_t n = 0; n < r->count; n++) {
		int err = data_read(c->fs->data, &r->pieces[n], 1, DATA_EXACT);

		if (err == -ECANCELED || err == -L3_FENCED)
			return err;
		if (err < 0)
			check_problem(c, "inode %llu: the bytes at %llu cannot be read: %s: %s",
				      (ull)r->inos[n], (ull)r->starts[n], err_text(err),
				      err_last_note());
	}
	return 0;
}

static int reader_flush(struct check *c)
{
	struct check_reader *r = c->reader;
	int err = 0;

	if (!r || r->count == 0)
		return 0;
	if (data_read(c->fs->data, r->pieces, r->count, DATA_EXACT) < 0)
		err = read_single(c);
	r->count = 0;
	return err;
}

static int reader_add(struct check *c, uint64_t ino, const struct extent *e)
{
	struct check_reader *r = c->reader;
	size_t n;

	if (!r || e->kind != EXTENT_STORED)
		return 0;
	n = r->count++;
	r->pieces[n] = (struct data_piece){ .ref = e->ref,
					    .raw_offset = e->raw_offset,
					    .len = (uint32_t)(e->end - e->start),
					    .dst = r->bytes + n * DATA_EXTENT_MAX };
	r->inos[n] = ino;
	r->starts[n] = e->start;
	return r->count == READ_PIECES ? reader_flush(c) : 0;
}

/* ---- extents ---- */

struct check_segment *check_segment_get(struct check *c, uint64_t id)
{
	struct check_segment *s;

	HASH_FIND(hh, c->segments, &id, sizeof(id), s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id = id;
	HASH_ADD(hh, c->segments, id, sizeof(s->id), s);
	return s;
}

void check_segments_free(struct check *c)
{
	struct check_segment *s, *next;

	HASH_ITER (hh, c->segments, s, next) {
		HASH_DEL(c->segments, s);
		free(s);
	}
}

/* Extents may lie beyond the size where they were allocated on purpose, or are being trimmed. */
static void check_range(struct check *c, struct node *n, const struct extent *e)
{
	if (!S_ISREG(n->mode))
		check_problem(c, "inode %llu has extents, and is no regular file", (ull)n->ino);
	if (c->extent_ino == n->ino && e->start < c->extent_end)
		check_problem(c, "inode %llu: the extents at %llu and %llu overlap", (ull)n->ino,
			      (ull)c->extent_end, (ull)e->start);
	if (e->end > n->size && !n->trim && !n->orphan &&
	    !(n->flags & (INODE_PREALLOC | INODE_SHIFTING)))
		check_problem(c, "inode %llu: an extent ends at %llu, behind the end at %llu",
			      (ull)n->ino, (ull)e->end, (ull)n->size);
	c->extent_ino = n->ino;
	c->extent_end = e->end;
	n->alloc_left -= (int64_t)(e->end - e->start);
}

static int count_live(struct check *c, const struct extent *e)
{
	struct check_segment *s;

	if (e->kind != EXTENT_STORED)
		return 0;
	s = check_segment_get(c, e->ref.segment);
	if (!s)
		return -ENOMEM;
	s->live += e->end - e->start;
	s->used_end = max_u64(s->used_end, (uint64_t)e->ref.offset + e->ref.stored_bytes);
	return 0;
}

static int see_extent(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct extent e;
	struct node *n;
	int err;

	if (key_len != 17) {
		check_problem(c, "an extent's key has %zu bytes instead of 17", key_len);
		return 0;
	}
	c->result.extents++;
	if (extent_decode(value, len, get_u64_be(key + 9), &e) < 0) {
		check_problem(c, "inode %llu: %s", (ull)get_u64_be(key + 1), err_last_note());
		return 0;
	}
	c->result.bytes += e.end - e.start;
	n = check_node(c, get_u64_be(key + 1));
	if (n)
		check_range(c, n, &e);
	else
		check_problem(c, "inode %llu has extents, and is missing",
			      (ull)get_u64_be(key + 1));
	err = count_live(c, &e);
	if (err >= 0 && n && !n->orphan)
		err = check_findable(c, n->ino, &e);
	return err < 0 ? err : reader_add(c, get_u64_be(key + 1), &e);
}

int check_extents(struct check *c)
{
	int err = c->options->data ? reader_open(c) : 0;

	if (err >= 0 && c->options->data)
		err = check_indexes_open(c);
	if (err >= 0)
		err = check_scan(c, KEY_EXTENT, c->options->data ? "bytes" : "extents", see_extent);
	if (err >= 0)
		err = reader_flush(c);
	reader_close(c);
	check_indexes_close(c);
	return err;
}

/* ---- live counts ---- */

static int see_segment(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		       size_t len)
{
	struct check_segment *s;
	struct seg_record rec;

	if (key_len != 9) {
		check_problem(c, "a segment's key has %zu bytes instead of 9", key_len);
		return 0;
	}
	if (seg_decode(value, len, &rec) < 0) {
		check_problem(c, "segment %llx: %s", (ull)get_u64_be(key + 1), err_last_note());
		return 0;
	}
	s = check_segment_get(c, get_u64_be(key + 1));
	if (!s)
		return -ENOMEM;
	if (!s->has_record) /* else what is in memory is newer */
		s->rec = rec;
	s->has_record = true;
	return 0;
}

static void check_live(struct check *c, const struct check_segment *s)
{
	char key[DATA_KEY_MAX];

	data_key(s->id, key);
	if (!s->has_record)
		check_problem(c, "%s has %llu live bytes, and no record", key, (ull)s->live);
	else if (s->rec.live_bytes != s->live)
		check_problem(c, "%s has %llu live bytes, and its record says %llu", key,
			      (ull)s->live, (ull)s->rec.live_bytes);
	else if (s->rec.live_bytes > s->rec.total_bytes + s->rec.shared_bytes)
		check_problem(c, "%s: of %llu bytes, %llu shared, %llu are said to be live", key,
			      (ull)s->rec.total_bytes, (ull)s->rec.shared_bytes,
			      (ull)s->rec.live_bytes);
}

int check_segments(struct check *c)
{
	struct check_segment *s, *next;
	int err = check_scan(c, KEY_SEGMENT, "segments", see_segment);

	if (err < 0)
		return err;
	HASH_ITER (hh, c->segments, s, next) {
		c->result.segments++;
		check_live(c, s);
	}
	return 0;
}

/* ---- objects ---- */

static int match_segments(struct check *c)
{
	struct store_list list CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list_all(c->fs->store, DATA_PREFIX, "", &list);

	if (err < 0)
		return err;
	c->done = 0;
	for (size_t n = 0; n < list.count; n++) {
		struct check_segment *s = NULL;
		uint64_t id;

		check_step(c, "objects");
		if (data_key_parse(list.entries[n].key, &id) >= 0)
			HASH_FIND(hh, c->segments, &id, sizeof(id), s);
		if (!s || s->live == 0) {
			c->result.unreferenced_objects++;
			continue;
		}
		s->found = true;
		s->object_bytes = list.entries[n].size_bytes;
	}
	return 0;
}

/* What is still in memory, or carried by commits, need not be an object yet. */
static void check_object(struct check *c, const struct check_segment *s)
{
	char key[DATA_KEY_MAX];

	if (s->live == 0 || !data_is_durable(c->fs->data, s->id))
		return;
	data_key(s->id, key);
	if (!s->found)
		check_problem(c, "object %s is missing; %llu bytes of files are in it", key,
			      (ull)s->live);
	else if (s->object_bytes < s->used_end)
		check_problem(c, "object %s has %llu bytes, and extents in it up to %llu", key,
			      (ull)s->object_bytes, (ull)s->used_end);
}

struct tables {
	struct check *c;
	const struct store_list *list;
	uint64_t missing;
	bool report;
};

static const struct store_entry *find_entry(const struct store_list *list, const char *key)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(list->entries[mid].key, key);

		if (order == 0)
			return &list->entries[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int see_table(void *ctx, const char *key, uint64_t size_bytes)
{
	struct tables *t = ctx;
	const struct store_entry *e = find_entry(t->list, key);

	if (!t->report) {
		t->missing += !e;
		return 0;
	}
	t->c->result.tables++;
	if (!e)
		check_problem(t->c, "object %s is missing; it is a part of the database", key);
	else if (e->size_bytes != size_bytes)
		check_problem(t->c, "object %s has %llu bytes instead of %llu", key,
			      (ull)e->size_bytes, (ull)size_bytes);
	return 0;
}

/* A table may come to be between the listing and the question which there are: then list again. */
static int check_tables(struct check *c)
{
	struct store_list list CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct tables t = { .c = c, .list = &list };
	int err = store_list_all(c->fs->store, TABLE_PREFIX, "", &list);

	if (err >= 0)
		err = db_each_table(c->fs->db, see_table, &t);
	if (err >= 0 && t.missing > 0) {
		store_list_release(&list);
		err = store_list_all(c->fs->store, TABLE_PREFIX, "", &list);
	}
	t.report = true;
	return err < 0 ? err : db_each_table(c->fs->db, see_table, &t);
}

int check_objects(struct check *c)
{
	struct check_segment *s, *next;
	int err = match_segments(c);

	if (err < 0)
		return err;
	HASH_ITER (hh, c->segments, s, next)
		check_object(c, s);
	return check_tables(c);
}

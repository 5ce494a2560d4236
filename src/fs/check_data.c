/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_data: fsck's half about bytes: extents, segments' live counts, objects in the store.
 */
#include "fs/check.h"
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DATA_PREFIX "data/"
#define TABLE_PREFIX "table/"

typedef unsigned long long ull;

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

/* What another extent has already is cut off. */
static int check_overlap(struct check *c, const struct node *n, struct extent *e)
{
	uint64_t before = c->extent_ino == n->ino ? c->extent_end : 0;

	c->extent_ino = n->ino;
	c->extent_end = e->end;
	if (e->start >= before)
		return 0;
	check_problem(c, "extent-overlap", n->ino,
		      "inode %llu: the extents at %llu and %llu overlap", (ull)n->ino, (ull)before,
		      (ull)e->start);
	if (c->mend)
		*e = extent_part(e, before, e->end);
	return mend_extent(c, n->ino, e);
}

/* Extents may lie beyond the size where they were allocated on purpose, or are being trimmed. Else
 * the size is what is wrong: where there are bytes, they were written. */
static void check_end(struct check *c, struct node *n, const struct extent *e)
{
	if (e->end <= n->size || n->trim || n->orphan ||
	    (n->flags & (INODE_PREALLOC | INODE_SHIFTING)))
		return;
	check_problem(c, "extent-beyond-end", n->ino,
		      "inode %llu: an extent ends at %llu, behind the end at %llu", (ull)n->ino,
		      (ull)e->end, (ull)n->size);
	if (e->kind == EXTENT_UNWRITTEN) {
		n->flags |= INODE_PREALLOC;
		n->fix |= FIX_FLAGS;
	} else if (c->mend) {
		n->size = e->end;
		n->fix |= FIX_SIZE;
	}
}

static uint64_t end_in_object(const struct extent *e)
{
	return data_ref_end(&e->ref, e->raw_offset, (uint32_t)(e->end - e->start));
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
	s->used_end = max_u64(s->used_end, end_in_object(e));
	return 0;
}

static int no_file(struct check *c, uint64_t ino, const struct extent *e)
{
	struct ghost *g = check_ghost(c, ino);

	check_problem(c, "inode-missing", ino, "inode %llu has extents, and is missing", (ull)ino);
	if (!g)
		return -ENOMEM;
	g->extents = true;
	g->end = max_u64(g->end, e->end);
	return count_live(c, e);
}

/* Not as an unreadable file's: it says nothing that could be read. */
static int bad_extent(struct check *c, const uint8_t *key, const char *value, size_t len)
{
	uint64_t ino = get_u64_be(key + 1), end = get_u64_be(key + 9);
	uint64_t before = c->extent_ino == ino ? c->extent_end : 0;
	struct node *n = check_node(c, ino);
	int err;

	check_problem(c, "bad-record", ino, "inode %llu: %s", (ull)ino, err_last_note());
	err = mend_set_aside(c, key, KEY_ORDERED_BYTES, value, len);
	return err < 0 || !n || !S_ISREG(n->mode) ? err : mend_lost_record(c, ino, end, before);
}

/* The object may have come back, from a backup for instance. */
static bool is_back(struct check *c, const struct extent *e)
{
	uint8_t *bytes CLEANUP(free_ptr) = NULL;
	struct data_piece piece = { .ref = e->ref,
				    .raw_offset = e->raw_offset,
				    .len = (uint32_t)(e->end - e->start) };

	if (!c->options->data || e->ref.segment == 0)
		return false;
	piece.dst = bytes = malloc(piece.len);
	return bytes && data_read(c->fs->data, &piece, 1, DATA_EXACT) >= 0;
}

static int see_lost(struct check *c, const struct node *n, const struct extent *e)
{
	struct extent stored = *e;

	if (is_back(c, e)) {
		check_problem(c, "lost-range-back", n->ino,
			      "inode %llu: bytes %llu to %llu were lost, and can be read again",
			      (ull)n->ino, (ull)e->start, (ull)e->end);
		stored.kind = EXTENT_STORED;
		return mend_extent(c, n->ino, &stored);
	}
	c->result.lost_bytes += e->end - e->start;
	return check_damage(c, "lost-range", n->ino, e->start, e->end,
			    "were lost, as an earlier repair has noted");
}

static int check_extent(struct check *c, struct node *n, struct extent *e)
{
	int err = check_overlap(c, n, e);

	check_end(c, n, e);
	n->alloc_left -= (int64_t)(e->end - e->start);
	if (err >= 0 && e->kind == EXTENT_LOST)
		err = see_lost(c, n, e);
	if (err >= 0)
		err = count_live(c, e);
	if (err >= 0 && !n->orphan)
		err = check_findable(c, n->ino, e);
	return err < 0 ? err : check_readers_add(c, n->ino, e);
}

static int see_extent(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct extent e;
	struct node *n;

	if (key_len != KEY_ORDERED_BYTES) {
		check_problem(c, "bad-record", 0, "an extent's key has %zu bytes", key_len);
		return mend_set_aside(c, key, key_len, value, len);
	}
	c->result.extents++;
	if (extent_decode(value, len, get_u64_be(key + 9), &e) < 0)
		return bad_extent(c, key, value, len);
	c->result.bytes += e.end - e.start;
	n = check_node(c, get_u64_be(key + 1));
	if (!n)
		return no_file(c, get_u64_be(key + 1), &e);
	if (S_ISREG(n->mode))
		return check_extent(c, n, &e);
	check_problem(c, "extent-type", n->ino, "inode %llu has extents, and is no regular file",
		      (ull)n->ino);
	return mend_set_aside(c, key, key_len, value, len);
}

int check_extents(struct check *c)
{
	bool data = c->options->data;
	int err = data ? check_readers_open(c) : 0, end;

	if (err >= 0 && data)
		err = check_indexes_open(c);
	if (err >= 0)
		err = check_scan(c, KEY_EXTENT, data ? "bytes" : "extents", see_extent);
	end = check_readers_close(c);
	check_indexes_close(c);
	return err < 0 ? err : end;
}

/* ---- live counts ---- */

static int see_segment(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		       size_t len)
{
	struct check_segment *s;
	struct seg_record rec;

	if (key_len != KEY_PREFIX_BYTES) {
		check_problem(c, "bad-record", 0, "a segment's key has %zu bytes", key_len);
		return mend_set_aside(c, key, key_len, value, len);
	}
	if (seg_decode(value, len, &rec) < 0) {
		check_problem(c, "bad-record", 0, "segment %llx: %s", (ull)get_u64_be(key + 1),
			      err_last_note());
		return mend_set_aside(c, key, key_len, value, len);
	}
	s = check_segment_get(c, get_u64_be(key + 1));
	if (!s)
		return -ENOMEM;
	if (!s->has_record) /* else what is in memory is newer */
		s->rec = rec;
	s->has_record = true;
	return 0;
}

static int check_live(struct check *c, const struct check_segment *s)
{
	char key[DATA_KEY_MAX];

	data_key(s->id, key);
	if (!s->has_record)
		check_object_problem(c, "live-count", key, "%s has %llu live bytes, and no record",
				     key, (ull)s->live);
	else if (s->rec.live_bytes != s->live)
		check_object_problem(c, "live-count", key,
				     "%s has %llu live bytes, and its record says %llu", key,
				     (ull)s->live, (ull)s->rec.live_bytes);
	else if (s->rec.live_bytes > s->rec.total_bytes + s->rec.shared_bytes)
		check_object_problem(c, "live-count", key,
				     "%s: of %llu bytes, %llu shared, %llu are said to be live",
				     key, (ull)s->rec.total_bytes, (ull)s->rec.shared_bytes,
				     (ull)s->rec.live_bytes);
	else if (!s->unlisted || s->rec.referenced)
		return 0;
	return mend_segment(c, s);
}

int check_segments(struct check *c)
{
	struct check_segment *s, *next;
	int err = check_scan(c, KEY_SEGMENT, "segments", see_segment);

	HASH_ITER (hh, c->segments, s, next) {
		if (err < 0)
			break;
		c->result.segments++;
		err = check_live(c, s);
	}
	return err;
}

/* ---- objects ---- */

static int match_segments(struct check *c)
{
	struct store_list list CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list_all(c->fs->store, DATA_PREFIX, "", &list);

	if (err < 0)
		return err;
	c->done = 0;
	for (size_t n = 0; n < list.count && err >= 0; n++) {
		struct check_segment *s = NULL;
		uint64_t id;

		err = check_step(c, "objects");
		if (data_key_parse(list.entries[n].key, &id) >= 0)
			HASH_FIND(hh, c->segments, &id, sizeof(id), s);
		if (!s || s->live == 0) {
			c->result.unreferenced_objects++;
			continue;
		}
		s->found = true;
		s->object_bytes = list.entries[n].size_bytes;
	}
	return err;
}

/* What is still in memory need not be an object yet, nor what commits carry. */
static void check_object(struct check *c, struct check_segment *s)
{
	uint64_t carried = data_recovered_bytes(c->fs->data, s->id);
	char key[DATA_KEY_MAX];

	if (s->live == 0 || (carried == 0 && !data_is_durable(c->fs->data, s->id)))
		return;
	s->object_bytes = max_u64(s->object_bytes, carried);
	s->bad = s->object_bytes < s->used_end;
	if (!s->bad)
		return;
	data_key(s->id, key);
	if (!s->found)
		check_object_problem(c, "segment-missing", key,
				     "object %s is missing; %llu bytes of files are in it", key,
				     (ull)s->live);
	else
		check_object_problem(c, "segment-short", key,
				     "object %s has %llu bytes, and extents in it up to %llu", key,
				     (ull)s->object_bytes, (ull)s->used_end);
}

/* Which files have bytes in what is not there. Who has read them all knows. */
static int see_bad_extent(struct check *c, const uint8_t *key, size_t key_len, const char *value,
			  size_t len)
{
	struct damage_of d = { "bytes-missing",
			       "cannot be read: the object that has them is missing or too short",
			       0 };
	struct check_segment *s = NULL;
	struct extent e;

	if (key_len != KEY_ORDERED_BYTES ||
	    extent_decode(value, len, get_u64_be(key + 9), &e) < 0 || e.kind != EXTENT_STORED)
		return 0;
	HASH_FIND(hh, c->segments, &e.ref.segment, sizeof(e.ref.segment), s);
	if (!s || !s->bad || end_in_object(&e) <= s->object_bytes)
		return 0;
	d.ino = get_u64_be(key + 1);
	return check_bad_units(c, &d, &e, check_units_behind(&e, s->object_bytes));
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
		check_object_problem(t->c, "table-missing", key,
				     "object %s is missing; it is a part of the database", key);
	else if (e->size_bytes != size_bytes)
		check_object_problem(t->c, "table-damaged", key,
				     "object %s has %llu bytes instead of %llu", key,
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
	bool bad = false;

	if (err < 0)
		return err;
	HASH_ITER (hh, c->segments, s, next) {
		check_object(c, s);
		bad |= s->bad;
	}
	if (bad && !c->options->data)
		err = check_scan(c, KEY_EXTENT, "extents in missing objects", see_bad_extent);
	return err < 0 ? err : check_tables(c);
}

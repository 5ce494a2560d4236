/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * refs: R records, the back-references of segments.
 *
 * A segment's index names the file and the offset each extent was written for. Copies that share
 * it, and extents that were shifted within their file, are elsewhere; for them there is a record
 * per segment and inode: all of that inode's references which the index does not say lie in one
 * range of the file, the record's. It is a hint that may be too wide (what was overwritten, cut off
 * or moved away leaves it as it is), but misses nothing:
 *
 * 1. Who puts such a reference notes it in the same batch, and holds the inode's lock; so nobody
 *    else changes the record meanwhile.
 * 2. The range only grows. Records go with the inode (reap.c) or with the segment (clean.c).
 * 3. Of a segment that was put together from commit slots after a crash nobody knows which files it
 *    is of. Its record of inode 0 (REFERENCE_ANY_INO) says so.
 * 4. A segment that may have such records says so in its own (seg_record.referenced), so that all
 *    others cost nothing.
 */
#include "fs/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DROP_AT_ONCE 1000

static struct txn_reference *find_note(struct txn *t, uint64_t segment, uint64_t ino)
{
	for (size_t n = t->ref_count; n-- > 0;)
		if (t->refs[n].segment == segment && t->refs[n].ino == ino)
			return &t->refs[n];
	return NULL;
}

static void widen(struct reference *r, uint64_t start, uint64_t end)
{
	r->start = min_u64(r->start, start);
	r->end = max_u64(r->end, end);
}

void refs_note(struct txn *t, uint64_t segment, uint64_t ino, uint64_t start, uint64_t end)
{
	struct txn_reference *r = find_note(t, segment, ino);

	if (r) {
		widen(&r->range, start, end);
		return;
	}
	if (t->ref_count == t->ref_cap) {
		size_t cap = t->ref_cap ? t->ref_cap * 2 : 8;

		r = realloc(t->refs, cap * sizeof(*r));
		if (!r) {
			t->err = -ENOMEM;
			return;
		}
		t->refs = r;
		t->ref_cap = cap;
	}
	t->refs[t->ref_count++] = (struct txn_reference){ segment, ino, { start, end } };
}

static int read_reference(struct fs *fs, const struct key *k, struct reference *ret)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	int err = db_value(fs, k, &value);

	return err < 0 ? err : reference_decode(value.data, value.len, ret);
}

static int put_one(struct txn *t, const struct txn_reference *r)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct reference range = r->range, before;
	struct key k;
	int err;

	key_reference(&k, r->segment, r->ino);
	err = read_reference(t->fs, &k, &before);
	if (err >= 0)
		widen(&range, before.start, before.end);
	else if (err != -ENOENT)
		return err;
	if (err >= 0 && range.start == before.start && range.end == before.end)
		return 0;
	reference_encode(&value, &range);
	txn_put(t, &k, &value);
	return 0;
}

int refs_put(struct txn *t)
{
	int err = 0;

	for (size_t n = 0; n < t->ref_count && err >= 0; n++)
		err = put_one(t, &t->refs[n]);
	return err;
}

void refs_warm(struct fs *fs, uint64_t segment, uint64_t ino)
{
	struct reference r;
	struct key k;

	key_reference(&k, segment, ino);
	(void)read_reference(fs, &k, &r);
}

void refs_forget(struct txn *t, uint64_t segment, uint64_t ino)
{
	struct seg_record rec;
	struct key k;

	if (txn_segment(t->fs, segment, &rec) < 0 || !rec.referenced)
		return;
	key_reference(&k, segment, ino);
	txn_delete(t, &k);
}

int refs_each(struct fs *fs, uint64_t segment,
	      int (*each)(void *ctx, uint64_t ino, const struct reference *r), void *ctx)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_scan_options(fs->db));
	char *msg = NULL;
	struct key from;
	int err = 0;

	key_reference(&from, segment, 0);
	for (leveldb_iter_seek(it, (const char *)from.bytes, from.len);
	     err == 0 && leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;
		struct reference r;

		if (key_len != from.len || memcmp(key, from.bytes, KEY_PREFIX_BYTES) != 0)
			break;
		value = leveldb_iter_value(it, &len);
		err = reference_decode(value, len, &r);
		if (err >= 0)
			err = each(ctx, get_u64_be(key + KEY_PREFIX_BYTES), &r);
	}
	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(fs->db, msg) : err;
}

struct dropping {
	struct txn txn;
	uint64_t segment;
	unsigned count;
};

static int drop_one(void *ctx, uint64_t ino, const struct reference *r)
{
	struct dropping *d = ctx;
	struct key k;

	key_reference(&k, d->segment, ino);
	txn_delete(&d->txn, &k);
	return ++d->count == DROP_AT_ONCE;
}

int refs_drop_all(struct fs *fs, uint64_t segment)
{
	struct dropping d;
	int more;

	do {
		int err;

		d = (struct dropping){ .segment = segment };
		err = txn_begin(fs, &d.txn);
		if (err < 0)
			return err;
		more = refs_each(fs, segment, drop_one, &d);
		if (more < 0) {
			txn_abort(&d.txn);
			return more;
		}
		err = txn_commit(&d.txn);
		if (err < 0)
			return err;
	} while (more > 0);
	return 0;
}

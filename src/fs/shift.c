/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shift: fallocate's COLLAPSE_RANGE and INSERT_RANGE. The extents behind the range get other places
 * in the file; their bytes stay where they are stored.
 *
 * A batch moves some thousand extents. Where that is not all, the first batch, which has the new
 * size and times already, leaves a record of how far it went (T) and a flag in the inode, and later
 * ones carry that on: from then on the operation has happened, whatever crash comes, and only has to
 * be carried out. So the map must not be looked at before: who needs it carries the shift on to its
 * end first (shift_finish), be it right after the call, or at the first access after a crash. There
 * is nothing unsaved in the inode meanwhile, as writers are such, too. The inode is locked for one
 * batch at a time.
 *
 * Upwards (insert) the last extents go first, downwards (collapse) the first, so that none meets
 * one that has not moved yet. With at, from, len of the record, in places of the map:
 *
 *	collapse	[0, at - len) is as it will be, [at, …) is still to go down by len; at the
 *			beginning at is from + len; what is left of [from, at) is on its way out
 *	insert		[0, from) and [at + len, …) are as they will be, [from, at) is still to go
 *			up by len
 *
 * A read-only mount cannot carry it on. It sees the map through these rules (shift_place,
 * shift_see).
 */
#include "fs/bytes.h"

#include <errno.h>

#define EXTENTS_AT_ONCE 1000
#define WAIT_MS 1000

/* ---- seen from a read-only mount ---- */

bool shift_any(struct fs *fs)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	const char first = KEY_SHIFT;
	size_t len;
	bool any;

	leveldb_iter_seek(it, &first, 1);
	any = leveldb_iter_valid(it) && leveldb_iter_key(it, &len)[0] == first;
	leveldb_iter_destroy(it);
	return any;
}

int shift_read(struct fs *fs, uint64_t ino, struct shift *ret)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;
	int err;

	key_shift(&k, ino);
	err = db_value(fs, &k, &value);
	return err < 0 ? err : shift_decode(value.data, value.len, ret);
}

uint64_t shift_place(const struct shift *s, uint64_t offset)
{
	if (!s->insert)
		return offset < s->at - s->len ? offset : offset + s->len;
	if (offset < s->from || offset >= s->at + s->len)
		return offset;
	return offset < s->from + s->len ? s->from : offset - s->len;
}

bool shift_see(const struct shift *s, struct extent *e)
{
	uint64_t low = s->insert ? s->from : s->at - s->len;
	struct extent part;

	if (e->end <= low || (s->insert && e->start >= s->at + s->len))
		return true;
	if (!s->insert && e->end <= s->at)
		return false;
	part = s->insert ? *e : extent_part(e, max_u64(e->start, s->at), e->end);
	part.start += s->insert ? s->len : -s->len;
	part.end += s->insert ? s->len : -s->len;
	*e = part;
	return true;
}

/* ---- a batch ---- */

static int add_extent(void *ctx, const struct extent *e)
{
	struct extents *x = ctx;
	int err = extents_add(x, e);

	return err < 0 ? err : x->list.count >= EXTENTS_AT_ONCE;
}

/* The extents whose turn it is. 1: there may be more. */
static int gather(struct fs *fs, uint64_t ino, const struct shift *s, struct extents *x)
{
	int more;

	extents_reset(x);
	if (s->insert)
		more = extent_walk_back(fs, ino, s->from, s->at, add_extent, x);
	else
		more = extent_walk_whole(fs, ino, s->at == s->from + s->len ? s->from : s->at,
					 add_extent, x);
	return more < 0 ? more : (extents_done(x) < 0 ? -ENOMEM : more);
}

void shift_warm(struct fs *fs, uint64_t ino, const struct shift *s)
{
	struct extents x = { 0 };
	uint64_t last = 0;

	if (gather(fs, ino, s, &x) < 0)
		x.list.count = 0;
	for (size_t n = 0; n < x.list.count; n++) {
		const struct extent *e = &x.list.at[n];

		if (e->kind != EXTENT_STORED || e->ref.segment == last)
			continue;
		last = e->ref.segment;
		txn_warm_segment(fs, last);
		refs_warm(fs, last, ino);
	}
	extents_release(&x);
}

static void move(struct txn *t, struct inode *i, struct shift *s, const struct extents *x)
{
	for (size_t n = 0; n < x->list.count; n++) {
		const struct extent *e = &x->list.at[n];

		if (s->insert) {
			extent_shift(t, i, e, s->from, s->from, (int64_t)s->len);
			s->at = max_u64(e->start, s->from);
		} else {
			extent_shift(t, i, e, s->from, s->from + s->len, -(int64_t)s->len);
			s->at = max_u64(e->end, s->from + s->len);
		}
	}
}

struct cut {
	struct txn *txn;
	struct inode *inode;
	uint64_t from;
};

static int cut_one(void *ctx, const struct extent *e)
{
	const struct cut *c = ctx;

	if (e->start < c->from)
		extent_shift(c->txn, c->inode, e, c->from, c->from, 0);
	return 1;
}

/* While only one side of it moves no extent may lie on both sides of `from`. */
static int cut_at(struct txn *t, struct inode *i, uint64_t from)
{
	struct cut c = { t, i, from };
	int err = extent_walk_whole(t->fs, i->ino, from, cut_one, &c);

	return err < 0 ? err : 0;
}

/* *s is how far it went afterwards. */
static int fill(struct txn *t, struct inode *i, struct shift *s, const struct extents *x,
		bool first, bool last)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;
	int err = 0;

	key_shift(&k, i->ino);
	move(t, i, s, x);
	if (last) {
		i->attr.flags &= ~INODE_SHIFTING;
		if (!first)
			txn_delete(t, &k);
	} else {
		i->attr.flags |= INODE_SHIFTING;
		shift_encode(&value, s);
		txn_put(t, &k, &value);
		if (first && s->insert)
			err = cut_at(t, i, s->from);
	}
	txn_put_inode(t, i);
	return err;
}

/* Inode locked. On failure nothing has changed; the caller takes back what it changed before. */
static int write_batch(struct fs *fs, struct inode *i, struct shift *s, bool first)
{
	uint64_t alloc_bytes = i->attr.alloc_bytes;
	uint32_t flags = i->attr.flags;
	struct extents x = { 0 };
	int more = gather(fs, i->ino, s, &x);
	struct txn t;
	int err = more < 0 ? more : txn_begin(fs, &t);

	if (err >= 0) {
		err = fill(&t, i, s, &x, first, !more);
		if (err >= 0)
			err = txn_commit(&t);
		else
			txn_abort(&t);
	}
	if (err < 0) {
		i->attr.flags = flags;
		i->attr.alloc_bytes = alloc_bytes;
	}
	i->map_version++;
	extents_release(&x);
	return err;
}

/* ---- carrying on ---- */

static int read_record(struct fs *fs, uint64_t ino, struct shift *ret)
{
	int err = shift_read(fs, ino, ret);

	if (err == -ENOENT)
		return err_note(-L3_CORRUPT, "inode %llu is being shifted, and no record says how",
				(unsigned long long)ino);
	return err;
}

int shift_step(struct fs *fs, struct inode *i)
{
	struct shift s;
	int err;

	i->shift_busy = true;
	pthread_mutex_unlock(&i->lock);
	err = read_record(fs, i->ino, &s);
	if (err >= 0)
		shift_warm(fs, i->ino, &s);
	pthread_mutex_lock(&i->lock);
	if (err >= 0)
		err = i->gone ? -ENOENT : write_batch(fs, i, &s, false);
	i->shift_busy = false;
	pthread_cond_broadcast(&i->changed);
	return err;
}

int shift_finish(struct fs *fs, struct inode *i)
{
	int err = 0;

	while ((i->attr.flags & INODE_SHIFTING) && !fs->read_only && err >= 0) {
		if (!i->shift_busy) {
			err = shift_step(fs, i);
			continue;
		}
		err = file_may_write(fs);
		if (err >= 0)
			(void)cond_wait_ms(&i->changed, &i->lock, WAIT_MS);
	}
	return err;
}

/* ---- beginning ---- */

static int last_end(void *ctx, const struct extent *e)
{
	*(uint64_t *)ctx = e->end;
	return 1;
}

/* As ext4 does it, in its order. */
static int check_insert(struct fs *fs, const struct inode *i, uint64_t from, uint64_t len)
{
	uint64_t end = i->attr.size;
	int err;

	if (len > FS_FILE_SIZE_MAX - end)
		return -EFBIG;
	if (from >= end)
		return -EINVAL;
	err = extent_walk_back(fs, i->ino, end, FS_FILE_SIZE_MAX, last_end, &end);
	if (err < 0)
		return err;
	return len > FS_FILE_SIZE_MAX - end ? -EFBIG : 0; /* allocated beyond the size */
}

int shift_begin(struct fs *fs, struct inode *i, const struct shift *what)
{
	struct attr before = i->attr, *a = &i->attr;
	uint64_t stored_size = i->stored_size;
	struct shift s = *what;
	int err = 0;

	if ((s.from | s.len) % FS_BLOCK_BYTES)
		return -EINVAL;
	if (s.insert)
		err = check_insert(fs, i, s.from, s.len);
	else if (s.from + s.len >= a->size)
		err = -EINVAL;
	if (err < 0)
		return err;
	s.at = s.insert ? FS_FILE_SIZE_MAX : s.from + s.len;
	a->size += s.insert ? s.len : -s.len;
	i->stored_size = a->size;
	a->mtime_ns = a->ctime_ns = fs_now_ns(fs);
	err = write_batch(fs, i, &s, true);
	if (err < 0) {
		a->size = before.size;
		i->stored_size = stored_size;
		a->mtime_ns = before.mtime_ns;
		a->ctime_ns = before.ctime_ns;
	}
	return err;
}

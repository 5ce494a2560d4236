/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn: write batches, the counters that go with them, and what every cut contains.
 *
 * Counters (totals, live bytes of segments) change with nearly every batch. They live in memory and
 * are written once per cut: before_seal shuts writers out, writes one batch with all that changed,
 * and lets db take the cut. So a cut's counters are exactly those of its batches (invariant 8), and
 * inode numbers given out before the cut are below its next_ino: none is ever given out twice, not
 * even after a crash.
 *
 * fs->seal: shared from txn_begin to txn_commit, exclusive from before_seal to after_seal.
 * fs->totals_lock guards the counters; it is a leaf.
 */
#include "fs/internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- reading ---- */

int db_value(struct fs *fs, const struct key *k, struct buf *out)
{
	char *msg = NULL, *value;
	size_t len;

	value = leveldb_get(db_handle(fs->db), db_read_options(fs->db), (const char *)k->bytes,
			    k->len, &len, &msg);
	if (msg)
		return db_error(fs->db, msg);
	if (!value)
		return -ENOENT;
	buf_add(out, value, len);
	leveldb_free(value);
	return buf_error(out);
}

/* ---- segments' counters ---- */

/* totals_lock held */
static struct seg *seg_find(struct fs *fs, uint64_t segment)
{
	struct seg *s;

	HASH_FIND(hh, fs->segs, &segment, sizeof(segment), s);
	return s;
}

static bool seg_known(struct fs *fs, uint64_t segment)
{
	bool known;

	pthread_mutex_lock(&fs->totals_lock);
	known = seg_find(fs, segment);
	pthread_mutex_unlock(&fs->totals_lock);
	return known;
}

static int seg_read(struct fs *fs, uint64_t segment, struct seg_record *ret)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;
	int err;

	*ret = (struct seg_record){ 0 };
	if (segment >> 32 == db_epoch(fs->db))
		return 0; /* ours, and not touched yet: there is no record */
	key_segment(&k, segment);
	err = db_value(fs, &k, &value);
	if (err == -ENOENT)
		return 0;
	return err < 0 ? err : seg_decode(value.data, value.len, ret);
}

int txn_segment(struct fs *fs, uint64_t segment, struct seg_record *ret)
{
	struct seg *s;

	pthread_mutex_lock(&fs->totals_lock);
	s = seg_find(fs, segment);
	if (s)
		*ret = s->rec;
	pthread_mutex_unlock(&fs->totals_lock);
	return s ? 0 : seg_read(fs, segment, ret);
}

/* Seal lock held, so the record does not change meanwhile: only a cut writes it. */
static int seg_load(struct fs *fs, uint64_t segment)
{
	struct seg_record rec;
	struct seg *fresh;
	int err;

	if (seg_known(fs, segment))
		return 0;
	err = seg_read(fs, segment, &rec);
	if (err < 0)
		return err;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->id = segment;
	fresh->rec = rec;
	pthread_mutex_lock(&fs->totals_lock);
	if (!seg_find(fs, segment)) {
		HASH_ADD(hh, fs->segs, id, sizeof(fresh->id), fresh);
		fresh = NULL;
	}
	pthread_mutex_unlock(&fs->totals_lock);
	free(fresh);
	return 0;
}

void txn_warm_segment(struct fs *fs, uint64_t segment)
{
	struct seg_record rec;

	if (!seg_known(fs, segment))
		(void)seg_read(fs, segment, &rec); /* the block is in LevelDB's cache now */
}

/* ---- batches ---- */

static int may_write(struct fs *fs)
{
	int fenced = __atomic_load_n(&fs->fenced, __ATOMIC_SEQ_CST);

	if (fs->read_only)
		return -EROFS;
	if (fenced == -L3_FENCED)
		return err_note(fenced, "another mount has taken this filesystem over");
	return fenced;
}

int txn_begin(struct fs *fs, struct txn *t)
{
	int err = may_write(fs);

	*t = (struct txn){ .fs = fs };
	if (err < 0)
		return err;
	t->batch = leveldb_writebatch_create();
	pthread_rwlock_rdlock(&fs->seal);
	return 0;
}

void txn_put(struct txn *t, const struct key *k, const struct buf *value)
{
	int err = buf_error(value);

	if (err < 0)
		t->err = err;
	else
		leveldb_writebatch_put(t->batch, (const char *)k->bytes, k->len,
				       (const char *)value->data, value->len);
}

void txn_delete(struct txn *t, const struct key *k)
{
	leveldb_writebatch_delete(t->batch, (const char *)k->bytes, k->len);
}

void txn_put_inode(struct txn *t, struct inode *i)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_inode(&k, i->ino);
	inode_encode(&value, &i->attr, i->stored_size);
	txn_put(t, &k, &value);
	i->cut = db_next_cut(t->fs->db); /* none begins while we have the seal lock */
}

static struct seg_delta *delta_of(struct txn *t, uint64_t segment)
{
	struct seg_delta *more;

	for (size_t n = t->seg_count; n-- > 0;)
		if (t->segs[n].segment == segment)
			return &t->segs[n];
	if (t->seg_count == t->seg_cap) {
		size_t cap = t->seg_cap ? t->seg_cap * 2 : 8;

		more = realloc(t->segs, cap * sizeof(*more));
		if (!more)
			return NULL;
		t->segs = more;
		t->seg_cap = cap;
	}
	t->segs[t->seg_count] = (struct seg_delta){ .segment = segment };
	return &t->segs[t->seg_count++];
}

static struct seg_delta *delta_loaded(struct txn *t, uint64_t segment)
{
	struct seg_delta *d = delta_of(t, segment);
	int err = d ? seg_load(t->fs, segment) : -ENOMEM;

	if (err < 0)
		t->err = err;
	return err < 0 ? NULL : d;
}

void txn_live(struct txn *t, uint64_t segment, int64_t live, int64_t total)
{
	struct seg_delta *d = delta_loaded(t, segment);

	if (!d)
		return;
	d->live += live;
	d->total += total;
}

void txn_refer(struct txn *t, uint64_t segment, uint64_t ino, uint64_t start, uint64_t end,
	       bool shared)
{
	struct seg_delta *d = delta_loaded(t, segment);
	int64_t bytes = shared ? (int64_t)(end - start) : 0;

	if (!d)
		return;
	d->live += bytes;
	d->shared += bytes;
	d->referenced = true;
	refs_note(t, segment, ino, start, end);
}

void txn_correct(struct txn *t, uint64_t segment, int64_t total, int64_t shared)
{
	struct seg_delta *d = delta_loaded(t, segment);

	if (!d)
		return;
	d->total += total;
	d->shared += shared;
}

void txn_drop_segment(struct txn *t, uint64_t segment)
{
	struct seg_delta *d = delta_loaded(t, segment);
	struct key k;

	if (!d)
		return;
	d->drop = true;
	key_segment(&k, segment);
	txn_delete(t, &k);
}

static void seg_clean(struct fs *fs, struct seg *s)
{
	if (s->dirty)
		DL_DELETE2(fs->dirty_segs, s, dirty_prev, dirty_next);
	s->dirty = false;
}

/* totals_lock held. Nothing here can fail: txn_live has loaded the segments. */
static void apply_segment(struct fs *fs, const struct seg_delta *d)
{
	struct seg *s = seg_find(fs, d->segment);

	if (!s)
		return;
	if (d->drop) {
		seg_clean(fs, s);
		HASH_DEL(fs->segs, s);
		free(s);
		return;
	}
	s->rec.live_bytes += (uint64_t)d->live;
	s->rec.total_bytes += (uint64_t)d->total;
	s->rec.shared_bytes += (uint64_t)d->shared;
	s->rec.referenced |= d->referenced;
	if (!s->dirty)
		DL_APPEND2(fs->dirty_segs, s, dirty_prev, dirty_next);
	s->dirty = true;
}

static void apply_counters(struct txn *t)
{
	struct fs *fs = t->fs;

	if (!t->inodes && !t->used_bytes && t->seg_count == 0)
		return;
	pthread_mutex_lock(&fs->totals_lock);
	if (t->inodes || t->used_bytes) {
		fs->totals.inodes += (uint64_t)t->inodes;
		fs->totals.used_bytes += (uint64_t)t->used_bytes;
		fs->totals_dirty = true;
	}
	for (size_t n = 0; n < t->seg_count; n++)
		apply_segment(fs, &t->segs[n]);
	pthread_mutex_unlock(&fs->totals_lock);
}

void txn_abort(struct txn *t)
{
	if (!t->batch)
		return;
	limit_let_go(t);
	pthread_rwlock_unlock(&t->fs->seal);
	leveldb_writebatch_destroy(t->batch);
	free(t->segs);
	free(t->refs);
	*t = (struct txn){ 0 };
}

static int write_batch(struct fs *fs, leveldb_writebatch_t *batch)
{
	char *msg = NULL;

	leveldb_write(db_handle(fs->db), db_write_options(fs->db), batch, &msg);
	return msg ? db_error(fs->db, msg) : 0;
}

int txn_commit(struct txn *t)
{
	int err = t->err;

	if (err >= 0)
		err = refs_put(t);
	if (err >= 0)
		err = t->err;
	if (err >= 0)
		err = limit_hold(t);
	if (err >= 0)
		err = write_batch(t->fs, t->batch);
	if (err >= 0) {
		apply_counters(t);
		lag_note_batch(t->fs);
	}
	txn_abort(t); /* lets go of what the transaction had; the batch is written */
	return err;
}

uint64_t txn_new_ino(struct fs *fs)
{
	uint64_t ino;

	pthread_mutex_lock(&fs->totals_lock);
	ino = fs->totals.next_ino++;
	fs->totals_dirty = true;
	pthread_mutex_unlock(&fs->totals_lock);
	return ino;
}

/* ---- the cut ---- */

static void put_value(leveldb_writebatch_t *batch, const struct key *k, const struct buf *value)
{
	leveldb_writebatch_put(batch, (const char *)k->bytes, k->len, (const char *)value->data,
			       value->len);
}

/* Seal lock held exclusively. Number of records put, or an error. */
static int put_counters(struct fs *fs, leveldb_writebatch_t *batch)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct seg *s;
	struct key k;
	int count = 0;

	if (fs->totals_dirty) {
		key_totals(&k);
		totals_encode(&value, &fs->totals);
		if (buf_error(&value) < 0)
			return -ENOMEM;
		put_value(batch, &k, &value);
		count++;
	}
	DL_FOREACH2 (fs->dirty_segs, s, dirty_next) {
		buf_reset(&value);
		key_segment(&k, s->id);
		seg_encode(&value, &s->rec);
		if (buf_error(&value) < 0)
			return -ENOMEM;
		put_value(batch, &k, &value);
		count++;
	}
	return count;
}

static void mark_clean(struct fs *fs)
{
	fs->totals_dirty = false;
	while (fs->dirty_segs)
		seg_clean(fs, fs->dirty_segs);
}

/* txn_new_ino needs no seal lock: a number taken after this is in the next cut, as its inode will
 * be. */
static int write_counters(struct fs *fs)
{
	leveldb_writebatch_t *batch = leveldb_writebatch_create();
	int count, err;

	pthread_mutex_lock(&fs->totals_lock);
	count = put_counters(fs, batch);
	err = count > 0 ? write_batch(fs, batch) : count;
	if (err >= 0 && count > 0)
		mark_clean(fs);
	pthread_mutex_unlock(&fs->totals_lock);
	leveldb_writebatch_destroy(batch);
	return err;
}

struct carried { /* a part on its way, or a segment waited for */
	struct data *data;
	uint64_t segment;
};

static void carried_part_done(void *arg, int result)
{
	struct carried *c = arg;

	data_part_done(c->data, c->segment, result);
	free(c);
}

static int carried_wait(void *arg)
{
	const struct carried *c = arg;

	return data_wait(c->data, c->segment);
}

static struct carried *carried_new(struct fs *fs, uint64_t segment)
{
	struct carried *c = malloc(sizeof(*c));

	if (c)
		*c = (struct carried){ fs->data, segment };
	return c;
}

static int carry_part(struct fs *fs, struct db_seal *seal, const struct data_part *p)
{
	struct carried *c = carried_new(fs, p->segment);
	int err =
		c ? db_seal_part(seal, p->segment, p->offset, p->data, p->len, carried_part_done, c)
		  : -ENOMEM;

	if (err < 0) {
		free(c);
		data_part_done(fs->data, p->segment, err);
	}
	return err;
}

static int wait_for(struct fs *fs, struct db_seal *seal, uint64_t segment)
{
	struct carried *c = carried_new(fs, segment);
	int err = c ? db_seal_wait(seal, carried_wait, free, c) : -ENOMEM;

	if (err < 0)
		free(c);
	return err;
}

/* Every part is answered for: by carried_part_done once db has it, here otherwise. */
static int seal_data(struct fs *fs, struct db_seal *seal)
{
	struct data_cut cut;
	int err = data_cut(fs->data, &cut);

	if (err < 0)
		return err;
	for (size_t n = 0; n < cut.part_count; n++) {
		if (err >= 0)
			err = carry_part(fs, seal, &cut.parts[n]);
		else
			data_part_done(fs->data, cut.parts[n].segment, err);
	}
	for (size_t n = 0; n < cut.wait_count && err >= 0; n++)
		err = wait_for(fs, seal, cut.waits[n]);
	data_cut_release(&cut);
	return err < 0 ? err : 0;
}

int txn_hook_before_seal(void *ctx, struct db_seal *seal)
{
	struct fs *fs = ctx;
	int err;

	pthread_rwlock_wrlock(&fs->seal);
	if (!fs->db)
		return 0; /* still opening: there is nothing of ours yet */
	err = write_counters(fs);
	if (err >= 0 && fs->data)
		err = seal_data(fs, seal);
	if (err >= 0)
		lag_seal(fs);
	return err < 0 ? err : 0;
}

void txn_hook_after_seal(void *ctx)
{
	struct fs *fs = ctx;

	pthread_rwlock_unlock(&fs->seal);
}

void txn_hook_sent(void *ctx, uint64_t ns)
{
	struct fs *fs = ctx;

	if (fs->data)
		data_commit_took(fs->data, ns);
}

int txn_hook_before_checkpoint(void *ctx)
{
	struct fs *fs = ctx;

	return fs->data ? data_store_parts(fs->data) : 0;
}

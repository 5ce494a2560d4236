/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flush: dirty → frozen → packed → entered, for one inode.
 *
 *	            flush_freeze            pack_claimed             enter_frozen
 *	dirty set ───────────────► WAITING ─────► PACKING ─► PACKED ─────────────► in the database
 *	    │                         └─ a worker, or whoever forces ─┘                 ▲
 *	    └────────────────── enter_dirty (small, forced) ────────────────────────────┘
 *
 * 1. Sets of one inode enter in the order of their freezing; the dirty set enters directly only
 *    when no frozen one is left.
 * 2. A frozen set's bytes do not change. They are read without the lock by the one thread that made
 *    the set PACKING; the chunks are freed under the lock.
 * 3. What is packed is pending (pending.c) until it is entered or dropped.
 * 4. The record written with a set has the size and times of its freeze, those of the newest set
 *    the present ones.
 * 5. No network: entering bytes that are not durable yet makes the next cut wait (data_require),
 *    not us.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

#define WARM_MAX 64

/* ---- freezing ---- */

static struct frozen *frozen_ref(struct frozen *z)
{
	__atomic_fetch_add(&z->refs, 1, __ATOMIC_RELAXED);
	return z;
}

/* The bytes are gone by then: packed or dropped. */
static void frozen_put(struct frozen *z)
{
	if (__atomic_sub_fetch(&z->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(z);
}

int flush_freeze(struct fs *fs, struct inode *i)
{
	struct frozen *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	z->inode = i;
	z->refs = 1;
	z->set = i->dirty;
	z->since_ns = i->dirty.since_ns;
	z->valid = i->dirty.valid;
	z->size = i->attr.size;
	z->mode = i->attr.mode;
	z->mtime_ns = i->attr.mtime_ns;
	z->ctime_ns = i->attr.ctime_ns;
	i->dirty = (struct dirty_set){ 0 };
	DL_APPEND(i->frozen, z);
	__atomic_fetch_add(&fs->flusher->packing, z->set.bytes, __ATOMIC_RELAXED);
	return 0;
}

static void release_frozen_set(struct fs *fs, struct frozen *z)
{
	if (fs->flusher)
		__atomic_fetch_sub(&fs->flusher->packing, z->set.bytes, __ATOMIC_RELAXED);
	dirty_set_release(fs, &z->set);
}

static void packed_list_add(struct fs *fs, struct frozen *z)
{
	struct flusher *f = fs->flusher;

	pthread_mutex_lock(&f->lock);
	DL_APPEND2(f->packed, z, ready_prev, ready_next);
	z->in_packed_list = true;
	pthread_mutex_unlock(&f->lock);
}

static void packed_list_remove(struct fs *fs, struct frozen *z)
{
	struct flusher *f = fs->flusher;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	if (z->in_packed_list)
		DL_DELETE2(f->packed, z, ready_prev, ready_next);
	z->in_packed_list = false;
	pthread_mutex_unlock(&f->lock);
}

/* Takes the set out of the inode. One that is being packed is cleaned up by the packer. */
static void frozen_remove(struct fs *fs, struct inode *i, struct frozen *z, bool entered)
{
	DL_DELETE(i->frozen, z);
	z->dropped = true;
	if (z->state == FROZEN_PACKED) {
		packed_list_remove(fs, z);
		if (entered)
			pending_entered(fs, &z->packed);
		else
			pending_dropped(fs, &z->packed);
		extent_list_release(&z->packed);
	} else if (z->state == FROZEN_WAITING) {
		release_frozen_set(fs, z);
	}
	frozen_put(z);
	lag_note_bytes(i);
}

void dirty_drop(struct fs *fs, struct inode *i)
{
	if (!inode_has_dirty(i))
		return;
	while (i->frozen)
		frozen_remove(fs, i, i->frozen, false);
	dirty_set_release(fs, &i->dirty);
	lag_note_bytes(i);
	i->map_version++;
	limit_update(fs, i);
	pthread_cond_broadcast(&i->changed);
}

/* ---- packing ---- */

struct packer {
	struct fs *fs;
	enum data_class class;
	uint64_t ino;
	bool tiny;
	struct extent_list *out;
};

static int pack_one(void *ctx, uint64_t start, const uint8_t *bytes, size_t len)
{
	struct packer *p = ctx;
	struct extent e = { .start = start, .end = start + len };
	int err = extent_list_add(p->out, &e); /* first the room: then the append cannot get lost */

	if (err < 0)
		return err;
	p->out->count--;
	if (p->tiny) {
		e.kind = EXTENT_INLINE;
		e.bytes = bytes;
	} else {
		e.kind = EXTENT_STORED;
		err = pending_append(p->fs, p->class, p->ino, start, bytes, len, &e.ref);
	}
	return err < 0 ? err : extent_list_add(p->out, &e);
}

/* Tiny extents point into the set. */
static int pack(struct packer *p, const struct dirty_set *set)
{
	int err = dirty_each(set, 0, UINT64_MAX, pack_one, p);

	if (err < 0) {
		pending_dropped(p->fs, p->out);
		extent_list_release(p->out);
	}
	return err;
}

static void warm_list(struct fs *fs, uint64_t ino, const struct extent_list *l)
{
	uint64_t starts[WARM_MAX];

	for (size_t at = 0; at < l->count;) {
		size_t n = 0;

		while (n < WARM_MAX && at < l->count)
			starts[n++] = l->at[at++].start;
		extent_warm(fs, ino, starts, n);
	}
}

/* Packs a WAITING set. Unlocks the inode meanwhile; the caller holds references of both. */
static int pack_claimed(struct fs *fs, struct inode *i, struct frozen *z)
{
	struct extent_list list = { 0 };
	struct packer p = { .fs = fs, .class = DATA_STREAM, .ino = i->ino, .out = &list };
	bool overwrites = extent_may_overlap(i, z->set.chunks[0]->index * CHUNK_BYTES);
	int err;

	z->state = FROZEN_PACKING;
	pthread_mutex_unlock(&i->lock);
	err = pack(&p, &z->set);
	if (err >= 0 && overwrites)
		warm_list(fs, i->ino, &list);
	pthread_mutex_lock(&i->lock);
	if (z->dropped) {
		pending_dropped(fs, &list);
		extent_list_release(&list);
		release_frozen_set(fs, z);
		err = 0;
	} else if (err < 0) {
		z->state = FROZEN_WAITING;
		z->submitted = false;
	} else {
		z->state = FROZEN_PACKED;
		z->packed = list;
		release_frozen_set(fs, z);
		packed_list_add(fs, z);
	}
	pthread_cond_broadcast(&i->changed);
	return err;
}

struct pack_job {
	struct fs *fs;
	struct frozen *z;
};

static void run_pack_job(void *arg)
{
	struct pack_job *job = arg;
	struct inode *i = job->z->inode;

	pthread_mutex_lock(&i->lock);
	if (job->z->state == FROZEN_WAITING && !job->z->dropped)
		(void)pack_claimed(job->fs, i, job->z); /* the tick tries again */
	(void)flush_enter_ready(job->fs, i);
	flush_unlist(job->fs, i);
	pthread_mutex_unlock(&i->lock);
	frozen_put(job->z);
	inode_put(job->fs, i);
	free(job);
}

void flush_submit(struct fs *fs, struct inode *i)
{
	struct frozen *z;

	DL_FOREACH (i->frozen, z) {
		struct pack_job *job;

		if (z->state != FROZEN_WAITING || z->submitted)
			continue;
		job = malloc(sizeof(*job));
		if (!job)
			return;
		*job = (struct pack_job){ fs, frozen_ref(z) };
		(void)inode_ref(fs, i);
		z->submitted = true;
		if (pool_submit(fs->workers, run_pack_job, job) < 0) {
			z->submitted = false;
			frozen_put(z);
			inode_put(fs, i); /* not the last reference: the caller has one */
			free(job);
			return;
		}
	}
}

/* ---- entering ---- */

static uint64_t set_end(const struct dirty_set *set)
{
	return (set->chunks[set->count - 1]->index + 1) * CHUNK_BYTES;
}

/* Where old extents beyond a cut-off are still being dropped, nothing new may enter: true if what
 * would come next has to wait for that. */
static bool is_blocked(const struct inode *i)
{
	const struct frozen *z = i->frozen;

	if (!i->trimming)
		return false;
	if (!z)
		return i->dirty.count > 0 && set_end(&i->dirty) > i->trim_from;
	return z->state == FROZEN_PACKED && z->packed.count > 0 &&
	       z->packed.at[z->packed.count - 1].end > i->trim_from;
}

static void put_record_of(struct txn *t, struct inode *i, const struct frozen *z)
{
	struct attr *a = &i->attr;
	uint32_t mode = a->mode;
	int64_t mtime_ns = a->mtime_ns, ctime_ns = a->ctime_ns;

	a->mode = z->mode;
	a->mtime_ns = z->mtime_ns;
	a->ctime_ns = z->ctime_ns;
	txn_put_inode(t, i);
	a->mode = mode;
	a->mtime_ns = mtime_ns;
	a->ctime_ns = ctime_ns;
}

/* Fills and commits the transaction. z NULL: the list is the dirty set. */
static int enter_in(struct txn *t, struct inode *i, const struct extent_list *l,
		    const struct frozen *z)
{
	bool newest = !z || (!z->next && i->dirty.count == 0);
	uint64_t alloc_bytes = i->attr.alloc_bytes, stored_size = i->stored_size;
	int err;

	t->reserved = true;
	err = extent_replace(t, i, l->at, l->count);

	if (err < 0) {
		txn_abort(t);
	} else {
		i->stored_size = z ? z->size : i->attr.size;
		if (newest)
			txn_put_inode(t, i);
		else
			put_record_of(t, i, z);
		err = txn_commit(t);
	}
	if (err < 0) {
		i->attr.alloc_bytes = alloc_bytes;
		i->stored_size = stored_size;
	} else if (newest) {
		i->attr_dirty = false;
	}
	return err;
}

static void require_segments(struct fs *fs, const struct extent_list *l)
{
	uint64_t last = 0;

	for (size_t n = 0; n < l->count; n++) {
		if (l->at[n].ref.segment != last)
			data_require(fs->data, l->at[n].ref.segment);
		last = l->at[n].ref.segment;
	}
}

bool flush_is_durable(struct fs *fs, const struct frozen *z)
{
	const struct extent_list *l = &z->packed;
	uint64_t last = 0;

	for (size_t n = 0; n < l->count; n++) {
		if (l->at[n].ref.segment != last &&
		    !data_is_durable(fs->data, l->at[n].ref.segment))
			return false;
		last = l->at[n].ref.segment;
	}
	return true;
}

/* The PACKED set at the head. */
static int enter_frozen(struct fs *fs, struct inode *i, bool require)
{
	struct frozen *z = i->frozen;
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	if (require)
		require_segments(fs, &z->packed);
	err = enter_in(&t, i, &z->packed, z);
	if (err >= 0) {
		frozen_remove(fs, i, z, true);
		limit_update(fs, i);
	}
	return err;
}

int flush_enter_ready(struct fs *fs, struct inode *i)
{
	int err = 0;

	while (err >= 0 && i->frozen && i->frozen->state == FROZEN_PACKED && !is_blocked(i) &&
	       flush_is_durable(fs, i->frozen))
		err = enter_frozen(fs, i, false);
	if (error_is_final(err) && i->write_error == 0)
		i->write_error = err;
	return err;
}

/* The whole dirty set, packed under the lock: it is small, and no frozen one is left. */
static int enter_dirty(struct fs *fs, struct inode *i)
{
	struct extent_list list = { 0 };
	struct packer p = { .fs = fs, .class = DATA_COMMIT, .ino = i->ino, .out = &list };
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	p.tiny = i->dirty.valid <= INLINE_MAX && i->attr.size <= INLINE_MAX;
	err = pack(&p, &i->dirty);
	if (err < 0) {
		txn_abort(&t);
		return err;
	}
	err = enter_in(&t, i, &list, NULL);
	if (err >= 0) {
		pending_entered(fs, &list);
		dirty_set_release(fs, &i->dirty);
		lag_note_bytes(i);
		limit_update(fs, i);
	} else {
		pending_dropped(fs, &list);
	}
	extent_list_release(&list);
	return err;
}

int flush_attr(struct fs *fs, struct inode *i)
{
	struct txn t;
	int err;

	if (!i->attr_dirty)
		return 0;
	err = txn_begin(fs, &t);
	if (err < 0)
		return err;
	txn_put_inode(&t, i);
	err = txn_commit(&t);
	if (err >= 0)
		i->attr_dirty = false;
	return err;
}

/* ---- forced and gentle ---- */

/* Moves the oldest frozen set on by one step. */
static int force_head(struct fs *fs, struct inode *i)
{
	struct frozen *z = i->frozen;
	int err = 0;

	switch (z->state) {
	case FROZEN_WAITING:
		(void)frozen_ref(z);
		err = pack_claimed(fs, i, z);
		frozen_put(z);
		break;
	case FROZEN_PACKING:
		pthread_cond_wait(&i->changed, &i->lock);
		break;
	case FROZEN_PACKED:
		err = enter_frozen(fs, i, true);
		break;
	}
	return err;
}

static int force_all(struct fs *fs, struct inode *i)
{
	int err = 0;

	while (err >= 0 && inode_has_dirty(i)) {
		if (is_blocked(i))
			err = file_wait_trim(fs, i);
		else if (i->frozen)
			err = force_head(fs, i);
		else if (i->dirty.valid > FORCE_SMALL_BYTES)
			err = flush_freeze(fs, i);
		else
			err = enter_dirty(fs, i);
	}
	return err < 0 ? err : flush_attr(fs, i);
}

int flush_inode(struct fs *fs, struct inode *i)
{
	int err;

	if (i->gone) {
		dirty_drop(fs, i);
		i->attr_dirty = false;
		return 0;
	}
	lazy_settle(i);
	if (!inode_has_dirty(i) && !i->attr_dirty)
		return 0;
	i->flushing++;
	err = force_all(fs, i);
	if (--i->flushing == 0)
		pthread_cond_broadcast(&i->changed);
	return err;
}

int flush_gently(struct fs *fs, struct inode *i)
{
	int err = 0;

	if (i->gone)
		return flush_inode(fs, i);
	if (i->dirty.count > 0) {
		if (!i->frozen && i->dirty.valid <= FORCE_SMALL_BYTES)
			err = is_blocked(i) ? 0 : enter_dirty(fs, i);
		else
			err = flush_freeze(fs, i);
	}
	flush_submit(fs, i);
	if (err >= 0)
		err = flush_enter_ready(fs, i);
	if (err >= 0 && !inode_has_dirty(i))
		err = flush_attr(fs, i);
	return err;
}

int flush_relieve(struct fs *fs, struct inode *i)
{
	int err = 0;

	if (!i->gone && i->dirty.count > 0)
		err = flush_freeze(fs, i);
	flush_submit(fs, i);
	return err;
}

void flush_warm(struct fs *fs, struct inode *i)
{
	uint64_t starts[WARM_MAX];
	size_t count = 0;

	pthread_mutex_lock(&i->lock);
	for (size_t n = 0; n < i->dirty.count && count < WARM_MAX; n++) {
		const struct dirty_chunk *c = i->dirty.chunks[n];
		uint64_t start = c->index * CHUNK_BYTES + (c->count > 0 ? c->valid[0].from : 0);

		if (extent_may_overlap(i, start))
			starts[count++] = start;
	}
	pthread_mutex_unlock(&i->lock);
	extent_warm(fs, i->ino, starts, count);
}

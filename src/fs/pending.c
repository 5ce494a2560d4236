/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pending: which segments hold bytes that are packed and not yet entered.
 *
 * Between data_append and the batch that refers to the bytes, no record knows of them: their
 * segment may look dead, or may not have a record at all. The cleaner asks here before it gives a
 * segment up.
 *
 * What is dropped in between (the file was truncated or removed) is garbage of a segment; its total
 * is counted by the next tick, so that a segment of which nothing was ever entered gets its record,
 * and the cleaner will find it. A crash before that leaves an unreferenced object: db_sweep's
 * business.
 *
 * The gate: data_append tells the segment only when it returns. Whoever appends holds the gate
 * shared until the bytes are noted; pending_has takes it exclusively for a moment, so that every
 * append into a segment that was closed before has been noted.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

#define COUNT_AT_ONCE 1024

struct pending {
	uint64_t segment;
	uint64_t bytes;
	UT_hash_handle hh;
};

struct dead {
	uint64_t segment;
	uint64_t bytes;
	struct dead *next;
};

/* Locked. NULL: out of memory. */
static struct pending *find_or_add(struct flusher *f, uint64_t segment)
{
	struct pending *p;

	HASH_FIND(hh, f->pending, &segment, sizeof(segment), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->segment = segment;
	HASH_ADD(hh, f->pending, segment, sizeof(p->segment), p);
	if (p->hh.tbl)
		return p;
	free(p);
	return NULL;
}

static int note(struct flusher *f, uint64_t segment, uint64_t bytes)
{
	struct pending *p;

	pthread_mutex_lock(&f->pending_lock);
	p = find_or_add(f, segment);
	if (p)
		p->bytes += bytes;
	pthread_mutex_unlock(&f->pending_lock);
	return p ? 0 : -ENOMEM;
}

/* Locked. */
static void unnote(struct flusher *f, uint64_t segment, uint64_t bytes)
{
	struct pending *p;

	HASH_FIND(hh, f->pending, &segment, sizeof(segment), p);
	if (!p)
		return;
	p->bytes -= bytes;
	if (p->bytes > 0)
		return;
	HASH_DEL(f->pending, p);
	free(p);
}

/* Locked. Without memory the bytes stay pending: the segment waits until a later mount sweeps it.
 */
static void add_dead(struct flusher *f, uint64_t segment, uint64_t bytes)
{
	struct dead *d;

	if (f->dead && f->dead->segment == segment) {
		f->dead->bytes += bytes;
		return;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return;
	d->segment = segment;
	d->bytes = bytes;
	LL_PREPEND(f->dead, d);
}

int pending_append(struct fs *fs, enum data_class class, uint64_t ino, uint64_t file_offset,
		   const void *raw, size_t len, struct data_ref *ret)
{
	struct flusher *f = fs->flusher;
	int err;

	pthread_rwlock_rdlock(&f->gate);
	err = data_append(fs->data, class, ino, file_offset, raw, len, ret);
	if (err >= 0)
		err = note(f, ret->segment, len);
	pthread_rwlock_unlock(&f->gate);
	return err;
}

static void settle(struct fs *fs, const struct extent_list *l, bool entered)
{
	struct flusher *f = fs->flusher;

	if (!f || l->count == 0)
		return;
	pthread_mutex_lock(&f->pending_lock);
	for (size_t n = 0; n < l->count; n++) {
		const struct extent *e = &l->at[n];

		if (e->kind != EXTENT_STORED)
			continue;
		if (entered)
			unnote(f, e->ref.segment, e->end - e->start);
		else
			add_dead(f, e->ref.segment, e->end - e->start);
	}
	pthread_mutex_unlock(&f->pending_lock);
}

void pending_entered(struct fs *fs, const struct extent_list *l)
{
	settle(fs, l, true);
}

void pending_dropped(struct fs *fs, const struct extent_list *l)
{
	settle(fs, l, false);
}

bool pending_any_dead(struct fs *fs)
{
	struct flusher *f = fs->flusher;
	bool any;

	pthread_mutex_lock(&f->pending_lock);
	any = f->dead;
	pthread_mutex_unlock(&f->pending_lock);
	return any;
}

/* Cuts a list of at most COUNT_AT_ONCE off. */
static struct dead *take_dead(struct flusher *f)
{
	struct dead *first, *last;

	pthread_mutex_lock(&f->pending_lock);
	first = last = f->dead;
	for (unsigned n = 1; last && last->next && n < COUNT_AT_ONCE; n++)
		last = last->next;
	if (last) {
		f->dead = last->next;
		last->next = NULL;
	}
	pthread_mutex_unlock(&f->pending_lock);
	return first;
}

static void give_back_dead(struct flusher *f, struct dead *list)
{
	pthread_mutex_lock(&f->pending_lock);
	LL_CONCAT(f->dead, list);
	pthread_mutex_unlock(&f->pending_lock);
}

/* They have been counted, and are pending no longer. */
static void unnote_dead(struct flusher *f, const struct dead *list)
{
	const struct dead *d;

	pthread_mutex_lock(&f->pending_lock);
	LL_FOREACH (list, d)
		unnote(f, d->segment, d->bytes);
	pthread_mutex_unlock(&f->pending_lock);
}

static void free_dead(struct dead *list)
{
	struct dead *d, *next;

	LL_FOREACH_SAFE(list, d, next)
	free(d);
}

static int count_dead(struct fs *fs, const struct dead *list)
{
	const struct dead *d;
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	LL_FOREACH (list, d)
		txn_live(&t, d->segment, 0, (int64_t)d->bytes);
	return txn_commit(&t);
}

int pending_count_dead(struct fs *fs)
{
	struct dead *list;
	int err = 0;

	while (err >= 0 && (list = take_dead(fs->flusher))) {
		err = count_dead(fs, list);
		if (err < 0) {
			give_back_dead(fs->flusher, list);
			continue;
		}
		unnote_dead(fs->flusher, list);
		free_dead(list);
	}
	return err;
}

bool pending_has(struct fs *fs, uint64_t segment)
{
	struct flusher *f = fs->flusher;
	struct pending *p;

	pthread_rwlock_wrlock(&f->gate);
	pthread_rwlock_unlock(&f->gate);
	pthread_mutex_lock(&f->pending_lock);
	HASH_FIND(hh, f->pending, &segment, sizeof(segment), p);
	pthread_mutex_unlock(&f->pending_lock);
	return p;
}

void pending_release(struct flusher *f)
{
	struct pending *p, *next;

	HASH_ITER (hh, f->pending, p, next) {
		HASH_DEL(f->pending, p);
		free(p);
	}
	free_dead(f->dead);
	f->dead = NULL;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move: carries live bytes from old segments to new ones, for the cleaner.
 *
 *	mover_add        segment's index → extents that still refer to it, gathered from several
 *segments carry            in order of inode and offset: read, join neighbours, append to the
 *stream segment; wait until that is durable enter            per inode, locked, in one batch: only
 *what still refers to the old place
 *
 * Writers go on meanwhile: what they overwrite between gathering and entering is not entered, and
 *its copy counts as dead. The map says the same bytes before and after, so no inode record changes.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH_BYTES (32 * MIB)
#define BATCH_MOVES 65536
#define ENTER_MOVES 1000 /* in one transaction */

struct move {
	uint64_t ino;
	struct extent old;
	bool lost;	     /* cannot be read: stays where it is */
	struct data_ref ref; /* where it is now */
	uint32_t raw_offset; /* of its first byte there */
};

struct mover {
	struct fs *fs;
	struct move *moves;
	size_t count, cap;
	uint64_t bytes;
	size_t carried; /* the first so many are pending in new segments */
	uint8_t *buf;	/* DATA_EXTENT_MAX */
};

struct mover *mover_new(struct fs *fs)
{
	struct mover *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->fs = fs;
	m->buf = malloc(DATA_EXTENT_MAX);
	if (m->buf)
		return m;
	free(m);
	return NULL;
}

/* ---- gathering ---- */

struct search {
	struct mover *mover;
	uint64_t ino;
	const struct data_ref *ref; /* extents into it are wanted */
};

static bool same_place(const struct data_ref *a, const struct data_ref *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

static int add_move(void *ctx, const struct extent *e)
{
	const struct search *s = ctx;
	struct mover *m = s->mover;

	if (e->kind != EXTENT_STORED || !same_place(&e->ref, s->ref))
		return 0;
	if (m->count == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 256;
		struct move *more = realloc(m->moves, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->moves = more;
		m->cap = cap;
	}
	m->moves[m->count++] = (struct move){ .ino = s->ino, .old = *e };
	m->bytes += e->end - e->start;
	return 0;
}

/* Damage is no reason to stop cleaning elsewhere, nor to touch what is damaged. */
static bool is_damage(int err)
{
	return err == -L3_CORRUPT || err == -ENOENT;
}

static int leave_alone(struct mover *m)
{
	notify(&m->fs->notifier, LOG_L_WARN, "cleaner: %s: left alone", err_last_note());
	return 0;
}

int mover_add(struct mover *m, uint64_t segment)
{
	struct data_index_entry *index CLEANUP(free_ptr) = NULL;
	uint64_t object_bytes;
	size_t count = 0;
	int err = data_read_index(m->fs->data, segment, &index, &count, &object_bytes);

	if (is_damage(err))
		return leave_alone(m);
	for (size_t n = 0; n < count && err >= 0; n++) {
		struct search s = { m, index[n].ino, &index[n].ref };

		err = extent_walk(m->fs, s.ino, index[n].file_offset,
				  index[n].file_offset + index[n].ref.raw_bytes, add_move, &s);
	}
	if (err >= 0 && (m->bytes >= BATCH_BYTES || m->count >= BATCH_MOVES))
		err = mover_finish(m);
	return err;
}

static int move_order(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->old.start != y->old.start)
		return x->old.start < y->old.start ? -1 : 1;
	return 0;
}

/* Sorts; an index may have named one place twice, and a writer may have cut between two looks. */
static void arrange(struct mover *m)
{
	size_t kept = 0;

	if (m->count == 0)
		return;
	qsort(m->moves, m->count, sizeof(m->moves[0]), move_order);
	for (size_t n = 0; n < m->count; n++) {
		const struct move *last = kept ? &m->moves[kept - 1] : NULL;

		if (!last || last->ino != m->moves[n].ino || last->old.end <= m->moves[n].old.start)
			m->moves[kept++] = m->moves[n];
	}
	m->count = kept;
}

/* ---- carrying ---- */

/* How many from `first` on are neighbours and make one extent. */
static size_t neighbours(const struct mover *m, size_t first, size_t *ret_bytes)
{
	const struct move *a = &m->moves[first];
	size_t n = first;

	*ret_bytes = 0;
	do {
		*ret_bytes += m->moves[n].old.end - m->moves[n].old.start;
		n++;
	} while (n < m->count && m->moves[n].ino == a->ino &&
		 m->moves[n].old.start == m->moves[n - 1].old.end &&
		 m->moves[n].old.end - a->old.start <= DATA_EXTENT_MAX);
	return n - first;
}

static int read_old(struct mover *m, const struct move *moves, size_t count)
{
	struct data_piece *pieces CLEANUP(free_ptr) = calloc(count, sizeof(*pieces));

	if (!pieces)
		return -ENOMEM;
	for (size_t n = 0; n < count; n++)
		pieces[n] = (struct data_piece){
			.ref = moves[n].old.ref,
			.raw_offset = moves[n].old.raw_offset,
			.len = (uint32_t)(moves[n].old.end - moves[n].old.start),
			.dst = m->buf + (moves[n].old.start - moves[0].old.start),
		};
	return data_read(m->fs->data, pieces, count);
}

static int carry_some(struct mover *m, size_t *ret_count)
{
	struct move *moves = &m->moves[m->carried];
	size_t bytes, count = neighbours(m, m->carried, &bytes);
	struct data_ref ref;
	int err = read_old(m, moves, count);

	*ret_count = count;
	if (is_damage(err)) {
		for (size_t n = 0; n < count; n++)
			moves[n].lost = true;
		return leave_alone(m);
	}
	if (err >= 0)
		err = file_take_memory(m->fs, bytes);
	if (err < 0)
		return err;
	err = pending_append(m->fs, DATA_STREAM, moves[0].ino, moves[0].old.start, m->buf, bytes,
			     &ref);
	budget_give(&m->fs->budget, bytes); /* the segment has it now */
	if (err < 0)
		return err;
	for (size_t n = 0; n < count; n++) {
		moves[n].ref = ref;
		moves[n].raw_offset = (uint32_t)(moves[n].old.start - moves[0].old.start);
	}
	return 0;
}

/* A hint for the reads to come, some of them at a time. */
static void prefetch(struct mover *m, size_t from)
{
	struct data_ref refs[64];
	size_t count = 0;

	while (count < ARRAY_LEN(refs) && from < m->count)
		refs[count++] = m->moves[from++].old.ref;
	data_prefetch(m->fs->data, refs, count);
}

static int carry(struct mover *m)
{
	size_t count, prefetched = 0;
	int err = 0;

	while (m->carried < m->count && err >= 0) {
		if (m->carried >= prefetched) {
			prefetch(m, m->carried);
			prefetched = m->carried + 64;
		}
		err = carry_some(m, &count);
		if (err >= 0)
			m->carried += count;
	}
	return err;
}

static int wait_durable(struct mover *m)
{
	uint64_t last = 0;
	int err = 0;

	data_push_stream(m->fs->data);
	for (size_t n = 0; n < m->carried && err >= 0; n++) {
		if (!m->moves[n].lost && m->moves[n].ref.segment != last)
			err = data_wait(m->fs->data, m->moves[n].ref.segment);
		last = m->moves[n].ref.segment;
	}
	return err;
}

/* ---- entering ---- */

struct entry {
	const struct move *move;
	struct extent_list fresh; /* of all moves so far */
	struct extent_list left;  /* copies that nobody wants; only lengths count */
	uint64_t kept;		  /* bytes of this move */
};

static int keep_part(void *ctx, const struct extent *e)
{
	struct entry *x = ctx;
	const struct move *m = x->move;
	struct extent *last = x->fresh.count ? &x->fresh.at[x->fresh.count - 1] : NULL;
	struct extent now = { .start = e->start,
			      .end = e->end,
			      .kind = EXTENT_STORED,
			      .ref = m->ref,
			      .raw_offset = (uint32_t)(m->raw_offset + (e->start - m->old.start)) };

	if (e->kind != EXTENT_STORED || !same_place(&e->ref, &m->old.ref))
		return 0;
	x->kept += e->end - e->start;
	if (last && last->end == now.start && same_place(&last->ref, &now.ref) &&
	    last->raw_offset + (last->end - last->start) == now.raw_offset) {
		last->end = now.end;
		return 0;
	}
	return extent_list_add(&x->fresh, &now);
}

static int leave(struct entry *x, const struct move *m, uint64_t bytes)
{
	struct extent e = { .end = bytes, .kind = EXTENT_STORED, .ref = m->ref };

	return bytes > 0 ? extent_list_add(&x->left, &e) : 0;
}

/* What is still where it was. Inode locked. */
static int compare(struct fs *fs, const struct move *moves, size_t count, struct entry *x)
{
	int err = 0;

	for (size_t n = 0; n < count && err >= 0; n++) {
		const struct extent *old = &moves[n].old;

		if (moves[n].lost)
			continue;
		x->move = &moves[n];
		x->kept = 0;
		err = extent_walk(fs, moves[n].ino, old->start, old->end, keep_part, x);
		if (err >= 0)
			err = leave(x, &moves[n], old->end - old->start - x->kept);
	}
	return err;
}

static int write_moves(struct fs *fs, struct inode *i, const struct extent_list *fresh)
{
	uint64_t alloc_bytes = i->attr.alloc_bytes;
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	err = extent_replace(&t, i, fresh->at, fresh->count);
	if (err >= 0)
		err = txn_commit(&t);
	else
		txn_abort(&t);
	if (err < 0)
		i->attr.alloc_bytes = alloc_bytes;
	return err;
}

/* All of them, if they cannot be entered. Without memory the segment stays pending until unmount.
 */
static void drop_moves(struct fs *fs, const struct move *moves, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		struct extent e = { .end = moves[n].old.end - moves[n].old.start,
				    .kind = EXTENT_STORED,
				    .ref = moves[n].ref };

		if (!moves[n].lost)
			pending_dropped(fs, &(struct extent_list){ &e, 1, 1 });
	}
}

/* 0 although nothing was entered, if the file has gone or its end is being dropped. */
static int enter_locked(struct fs *fs, struct inode *i, const struct move *moves, size_t count,
			struct entry *x)
{
	if (i->gone || (i->trimming && moves[count - 1].old.end > i->trim_from))
		return -ENOENT;
	return compare(fs, moves, count, x);
}

static int enter_inode(struct fs *fs, const struct move *moves, size_t count)
{
	struct entry x = { 0 };
	struct inode *i;
	int err = inode_get(fs, moves[0].ino, &i);

	if (err < 0) {
		drop_moves(fs, moves, count);
		return err == -ENOENT ? 0 : err;
	}
	pthread_mutex_lock(&i->lock);
	err = enter_locked(fs, i, moves, count, &x);
	if (err >= 0)
		err = write_moves(fs, i, &x.fresh);
	pthread_mutex_unlock(&i->lock);
	if (err >= 0) {
		pending_entered(fs, &x.fresh);
		pending_dropped(fs, &x.left);
	} else {
		drop_moves(fs, moves, count);
	}
	extent_list_release(&x.fresh);
	extent_list_release(&x.left);
	inode_put(fs, i);
	return err == -ENOENT ? 0 : err;
}

static void warm(struct fs *fs, const struct move *moves, size_t count)
{
	uint64_t starts[ENTER_MOVES];

	for (size_t n = 0; n < count; n++)
		starts[n] = moves[n].old.start;
	extent_warm(fs, moves[0].ino, starts, count);
}

static int enter(struct mover *m)
{
	size_t at = 0;
	int err = 0;

	while (at < m->carried) {
		const struct move *first = &m->moves[at];
		size_t count = 1;

		while (at + count < m->carried && count < ENTER_MOVES &&
		       m->moves[at + count].ino == first->ino)
			count++;
		if (err >= 0) {
			warm(m->fs, first, count);
			err = enter_inode(m->fs, first, count);
		} else {
			drop_moves(m->fs, first, count);
		}
		at += count;
	}
	return err;
}

int mover_finish(struct mover *m)
{
	int err, entered = 0;

	arrange(m);
	err = carry(m);
	if (err >= 0 && m->carried > 0)
		err = wait_durable(m);
	if (err >= 0)
		entered = enter(m);
	else
		drop_moves(m->fs, m->moves, m->carried);
	m->count = m->carried = 0;
	m->bytes = 0;
	return err < 0 ? err : entered;
}

void mover_free(struct mover *m)
{
	if (!m)
		return;
	free(m->moves);
	free(m->buf);
	free(m);
}

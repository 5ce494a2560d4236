/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move: carries live bytes from old segments to new ones, for the cleaner.
 *
 *	mover_add	who refers to the segment (gather.c); several segments come together
 *	plan		the stretches of stored bytes that are referred to: pieces. Each is carried
 *			once, however many share it; its home is one of those references, and what
 *			the new index will say
 *	carry		in order of homes: read, join neighbours, append to the stream segment; wait
 *			until that is durable
 *	enter		per inode, locked, in one batch: only what still refers to the old place.
 *			Where the new index says something else, with an R record
 *
 * Writers go on meanwhile: what they overwrite between gathering and entering is not entered, and a
 * copy that nobody refers to counts as dead. The map says the same bytes before and after, so no
 * inode record changes.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH_BYTES (32 * MIB)
#define BATCH_MOVES 65536
#define ENTER_MOVES 1000 /* in one transaction */

struct piece {
	struct data_ref old;
	uint32_t from, to;   /* raw bytes of it */
	uint64_t ino, start; /* home: where `from` is in that file */
	bool lost;	     /* cannot be read: stays where it is */
	struct data_ref ref; /* where it is now */
	uint32_t raw_offset; /* of its first byte there */
	uint64_t entered;    /* bytes that the new index finds */
};

struct move {
	uint64_t ino;
	struct extent old;
	struct piece *piece;
	uint64_t kept; /* bytes that still referred to the old place, and are at home in the new one
			*/
};

struct mover {
	struct fs *fs;
	struct live_list found;
	uint64_t bytes;
	struct move *moves; /* by inode and offset */
	size_t count;
	struct piece *pieces, **order; /* by home */
	size_t piece_count;
	size_t carried; /* the first so many of `order` are pending in new segments */
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

/* ---- what is worth moving ---- */

static bool same_place(const struct data_ref *a, const struct data_ref *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

static int compare_places(const struct extent *x, const struct extent *y)
{
	if (x->ref.segment != y->ref.segment)
		return x->ref.segment < y->ref.segment ? -1 : 1;
	if (x->ref.offset != y->ref.offset)
		return x->ref.offset < y->ref.offset ? -1 : 1;
	if (x->raw_offset != y->raw_offset)
		return x->raw_offset < y->raw_offset ? -1 : 1;
	return 0;
}

static int place_order(const void *a, const void *b)
{
	return compare_places(&((const struct live *)a)->extent, &((const struct live *)b)->extent);
}

static uint32_t raw_end(const struct extent *e)
{
	return (uint32_t)(e->raw_offset + (e->end - e->start));
}

/* What several refer to counts once. */
static uint64_t unique_bytes(struct live *at, size_t count)
{
	const struct extent *last = NULL;
	uint64_t bytes = 0;
	uint32_t end = 0;

	if (count > 0)
		qsort(at, count, sizeof(at[0]), place_order);
	for (size_t n = 0; n < count; n++) {
		const struct extent *e = &at[n].extent;

		if (!last || !same_place(&last->ref, &e->ref))
			end = 0;
		if (raw_end(e) > end) {
			bytes += raw_end(e) - (e->raw_offset > end ? e->raw_offset : end);
			end = raw_end(e);
		}
		last = e;
	}
	return bytes;
}

/* So that nobody looks again before more of it is dead. */
static int correct(struct fs *fs, uint64_t segment, const struct seg_record *before, uint64_t raw,
		   uint64_t unique)
{
	int64_t total = (int64_t)(raw - before->total_bytes);
	int64_t shared = (int64_t)(before->live_bytes - unique - before->shared_bytes);
	struct txn t;
	int err;

	if (total == 0 && shared == 0)
		return 0;
	err = txn_begin(fs, &t);
	if (err < 0)
		return err;
	txn_correct(&t, segment, total, shared);
	return txn_commit(&t);
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

/* The mover does not take on what files share, if more than half of it is in use. */
static int weigh(struct mover *m, uint64_t segment, const struct seg_record *rec, size_t first,
		 uint64_t raw, bool anyway)
{
	uint64_t unique = unique_bytes(m->found.at + first, m->found.count - first);

	if (anyway || unique < raw / 2)
		return 0;
	m->found.count = first;
	return correct(m->fs, segment, rec, raw, unique);
}

int mover_add(struct mover *m, uint64_t segment, bool anyway)
{
	size_t first = m->found.count;
	struct seg_record rec;
	uint64_t raw = 0;
	int err = txn_segment(m->fs, segment, &rec);

	if (err >= 0)
		err = gather_live(m->fs, segment, rec.referenced, &m->found, &raw);
	if (is_damage(err))
		return leave_alone(m);
	if (err == -E2BIG)
		return correct(m->fs, segment, &rec, rec.total_bytes,
			       min_u64(rec.live_bytes, rec.total_bytes));
	if (raw == 0)
		raw = rec.total_bytes; /* found in slots after a crash: it has no index */
	if (err >= 0 && rec.referenced)
		err = weigh(m, segment, &rec, first, raw, anyway);
	for (size_t n = first; n < m->found.count; n++)
		m->bytes += m->found.at[n].extent.end - m->found.at[n].extent.start;
	if (err >= 0 && (m->bytes >= BATCH_BYTES || m->found.count >= BATCH_MOVES))
		err = mover_finish(m);
	return err;
}

/* ---- planning ---- */

static int move_order(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->old.start != y->old.start)
		return x->old.start < y->old.start ? -1 : 1;
	return 0;
}

static int move_place_order(const void *a, const void *b)
{
	int order = compare_places(&((const struct move *)a)->old, &((const struct move *)b)->old);

	return order ? order : move_order(a, b);
}

static int home_order(const void *a, const void *b)
{
	const struct piece *x = *(struct piece *const *)a, *y = *(struct piece *const *)b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return 0;
}

/* Those that overlap become one piece; its first reference is its home. */
static void cut_pieces(struct mover *m)
{
	struct piece *p = NULL;

	qsort(m->moves, m->count, sizeof(m->moves[0]), move_place_order);
	for (size_t n = 0; n < m->count; n++) {
		struct move *x = &m->moves[n];

		if (p && same_place(&p->old, &x->old.ref) && x->old.raw_offset < p->to) {
			p->to = p->to > raw_end(&x->old) ? p->to : raw_end(&x->old);
		} else {
			p = &m->pieces[m->piece_count++];
			*p = (struct piece){ .old = x->old.ref,
					     .from = x->old.raw_offset,
					     .to = raw_end(&x->old),
					     .ino = x->ino,
					     .start = x->old.start };
		}
		x->piece = p;
	}
}

static void drop_plan(struct mover *m)
{
	free(m->moves);
	free(m->pieces);
	free(m->order);
	m->moves = NULL;
	m->pieces = NULL;
	m->order = NULL;
	m->count = m->piece_count = m->carried = 0;
	m->found.count = 0;
	m->bytes = 0;
}

static int plan(struct mover *m)
{
	live_arrange(&m->found);
	m->moves = calloc(m->found.count, sizeof(*m->moves));
	m->pieces = calloc(m->found.count, sizeof(*m->pieces));
	m->order = calloc(m->found.count, sizeof(struct piece *));
	if (!m->moves || !m->pieces || !m->order)
		return -ENOMEM;
	m->count = m->found.count;
	for (size_t n = 0; n < m->count; n++)
		m->moves[n] = (struct move){ m->found.at[n].ino, m->found.at[n].extent, NULL, 0 };
	cut_pieces(m);
	for (size_t n = 0; n < m->piece_count; n++)
		m->order[n] = &m->pieces[n];
	qsort(m->order, m->piece_count, sizeof(struct piece *), home_order);
	qsort(m->moves, m->count, sizeof(m->moves[0]), move_order);
	return 0;
}

/* ---- carrying ---- */

static uint32_t piece_len(const struct piece *p)
{
	return p->to - p->from;
}

/* How many from `first` on are neighbours and make one extent. */
static size_t neighbours(const struct mover *m, size_t first, size_t *ret_bytes)
{
	const struct piece *a = m->order[first];
	size_t n = first, bytes = 0;

	do {
		bytes += piece_len(m->order[n]);
		n++;
	} while (n < m->piece_count && m->order[n]->ino == a->ino &&
		 m->order[n]->start == a->start + bytes &&
		 bytes + piece_len(m->order[n]) <= DATA_EXTENT_MAX);
	*ret_bytes = bytes;
	return n - first;
}

static int read_old(struct mover *m, struct piece *const *pieces, size_t count)
{
	struct data_piece *wanted CLEANUP(free_ptr) = calloc(count, sizeof(*wanted));
	uint8_t *dst = m->buf;

	if (!wanted)
		return -ENOMEM;
	for (size_t n = 0; n < count; n++) {
		wanted[n] = (struct data_piece){ .ref = pieces[n]->old,
						 .raw_offset = pieces[n]->from,
						 .len = piece_len(pieces[n]),
						 .dst = dst };
		dst += piece_len(pieces[n]);
	}
	return data_read(m->fs->data, wanted, count, DATA_EXACT);
}

static int carry_some(struct mover *m, size_t *ret_count)
{
	struct piece **pieces = &m->order[m->carried];
	size_t bytes, count = neighbours(m, m->carried, &bytes);
	struct data_ref ref;
	uint32_t at = 0;
	int err = read_old(m, pieces, count);

	*ret_count = count;
	if (is_damage(err)) {
		for (size_t n = 0; n < count; n++)
			pieces[n]->lost = true;
		return leave_alone(m);
	}
	if (err >= 0)
		err = file_take_memory(m->fs, bytes);
	if (err < 0)
		return err;
	err = pending_append(m->fs, DATA_STREAM, pieces[0]->ino, pieces[0]->start, m->buf, bytes,
			     &ref);
	budget_give(&m->fs->budget, bytes); /* the segment has it now */
	if (err < 0)
		return err;
	for (size_t n = 0; n < count; n++) {
		pieces[n]->ref = ref;
		pieces[n]->raw_offset = at;
		at += piece_len(pieces[n]);
	}
	return 0;
}

/* A hint for the reads to come, some of them at a time. */
static void prefetch(struct mover *m, size_t from)
{
	struct data_ref refs[64];
	size_t count = 0;

	while (count < ARRAY_LEN(refs) && from < m->piece_count)
		refs[count++] = m->order[from++]->old;
	data_prefetch(m->fs->data, refs, count);
}

static int carry(struct mover *m)
{
	size_t count, prefetched = 0;
	int err = 0;

	while (m->carried < m->piece_count && err >= 0) {
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
		const struct piece *p = m->order[n];

		if (!p->lost && p->ref.segment != last)
			err = data_wait(m->fs->data, p->ref.segment);
		last = p->ref.segment;
	}
	return err;
}

/* ---- entering ---- */

struct entry {
	struct move *move;
	struct extent_list fresh; /* of all moves so far */
};

/* Whether the new index says where it is. */
static bool is_at_home(const struct move *m)
{
	const struct piece *p = m->piece;

	return m->ino == p->ino && m->old.start == p->start + (m->old.raw_offset - p->from);
}

static int keep_part(void *ctx, const struct extent *e)
{
	struct entry *x = ctx;
	struct move *m = x->move;
	const struct piece *p = m->piece;
	struct extent *last = x->fresh.count ? &x->fresh.at[x->fresh.count - 1] : NULL;
	struct extent now = { .start = e->start,
			      .end = e->end,
			      .kind = EXTENT_STORED,
			      .ref = p->ref,
			      .raw_offset = p->raw_offset + (e->raw_offset - p->from),
			      .foreign = !is_at_home(m) };

	if (e->kind != EXTENT_STORED || !same_place(&e->ref, &m->old.ref) ||
	    e->start - m->old.start != (uint64_t)e->raw_offset - m->old.raw_offset)
		return 0;
	if (!now.foreign)
		m->kept += e->end - e->start;
	if (last && last->end == now.start && same_place(&last->ref, &now.ref) &&
	    last->raw_offset + (last->end - last->start) == now.raw_offset &&
	    last->foreign == now.foreign) {
		last->end = now.end;
		return 0;
	}
	return extent_list_add(&x->fresh, &now);
}

/* What is still where it was. Inode locked. */
static int compare(struct fs *fs, struct move *moves, size_t count, struct entry *x)
{
	int err = 0;

	for (size_t n = 0; n < count && err >= 0; n++) {
		const struct extent *old = &moves[n].old;

		if (moves[n].piece->lost)
			continue;
		x->move = &moves[n];
		moves[n].kept = 0;
		err = extent_walk(fs, moves[n].ino, old->start, old->end, keep_part, x);
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

/* 0 although nothing was entered, if the file has gone or its extents are on their way. */
static int enter_locked(struct fs *fs, struct inode *i, struct move *moves, size_t count,
			struct entry *x)
{
	if (i->gone || (i->trimming && moves[count - 1].old.end > i->trim_from) ||
	    (i->attr.flags & INODE_SHIFTING))
		return -ENOENT;
	return compare(fs, moves, count, x);
}

static int enter_inode(struct fs *fs, struct move *moves, size_t count)
{
	struct entry x = { 0 };
	struct inode *i;
	int err = inode_get(fs, moves[0].ino, &i);

	if (err < 0)
		return err == -ENOENT ? 0 : err;
	pthread_mutex_lock(&i->lock);
	err = enter_locked(fs, i, moves, count, &x);
	if (err >= 0)
		err = write_moves(fs, i, &x.fresh);
	pthread_mutex_unlock(&i->lock);
	for (size_t n = 0; n < count && err >= 0; n++)
		moves[n].piece->entered += moves[n].kept;
	extent_list_release(&x.fresh);
	inode_put(fs, i);
	return err == -ENOENT ? 0 : err;
}

static void warm(struct fs *fs, const struct move *moves, size_t count)
{
	uint64_t starts[ENTER_MOVES], last = 0;

	for (size_t n = 0; n < count; n++) {
		starts[n] = moves[n].old.start;
		if (!moves[n].piece->lost && moves[n].piece->ref.segment != last &&
		    !is_at_home(&moves[n])) {
			last = moves[n].piece->ref.segment;
			refs_warm(fs, last, moves[n].ino);
		}
	}
	extent_warm(fs, moves[0].ino, starts, count);
}

static int enter(struct mover *m)
{
	size_t at = 0;
	int err = 0;

	while (at < m->count && err >= 0) {
		struct move *first = &m->moves[at];
		size_t count = 1;

		while (at + count < m->count && count < ENTER_MOVES &&
		       m->moves[at + count].ino == first->ino)
			count++;
		warm(m->fs, first, count);
		err = enter_inode(m->fs, first, count);
		at += count;
	}
	return err;
}

/* What the new index finds has been counted with its references; the rest is dead, or shared.
 * Without memory the segment stays pending until unmount. */
static void settle(struct mover *m)
{
	for (size_t n = 0; n < m->carried; n++) {
		const struct piece *p = m->order[n];
		struct extent in = { .end = p->entered, .ref = p->ref };
		struct extent out = { .end = piece_len(p) - p->entered, .ref = p->ref };

		if (p->lost)
			continue;
		if (in.end > 0)
			pending_entered(m->fs, &(struct extent_list){ &in, 1, 1 });
		if (out.end > 0)
			pending_dropped(m->fs, &(struct extent_list){ &out, 1, 1 });
	}
}

int mover_finish(struct mover *m)
{
	int err = m->found.count > 0 ? plan(m) : 0;

	if (err >= 0)
		err = carry(m);
	if (err >= 0 && m->carried > 0)
		err = wait_durable(m);
	if (err >= 0)
		err = enter(m);
	settle(m);
	drop_plan(m);
	return err;
}

void mover_free(struct mover *m)
{
	if (!m)
		return;
	drop_plan(m);
	free(m->found.at);
	free(m->buf);
	free(m);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_read: fsck --data: every byte of every file is read and checked.
 *
 * The scan of extents fills batches; each is read by a thread of its own while the next is filled,
 * so that a few READERS times what data_read fetches at once are on their way. A batch that failed
 * is read piece by piece, and then block by block, to find out which are bad. What the readers find
 * is told by the scanning thread, when it takes the batch back.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define READERS 4
#define READ_BYTES (8 * MIB) /* of a batch */
#define READ_PIECES (READ_BYTES / DATA_EXTENT_MAX)
#define WHY_MAX 256

struct bad_piece {
	size_t piece;
	check_units units; /* of its extent */
	char why[WHY_MAX];
};

struct check_batch {
	struct check *c;
	bool busy; /* readers' lock */
	uint8_t *bytes;
	struct data_piece pieces[READ_PIECES];
	struct extent extents[READ_PIECES];
	uint64_t inos[READ_PIECES];
	size_t count;
	struct bad_piece bad[READ_PIECES];
	size_t bad_count;
	int err; /* it could not look */
	char note[WHY_MAX];
};

struct check_readers {
	struct pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct check_batch batches[READERS];
	size_t filling;
};

/* It says nothing about the object: another one would not be read now either. */
static bool is_final(int err)
{
	return err == -ECANCELED || err == -L3_FENCED || err == -ENOMEM || err == -L3_UNREACHABLE ||
	       err == -L3_THROTTLED || err == -L3_CLOCK_SKEW || err == -L3_NO_BUCKET;
}

/* False: its bytes are bad. Once it could not look, nothing is any more. */
static bool read_piece(struct check_batch *b, const struct data_piece *piece)
{
	int err = b->err < 0 ? 0 : data_read(b->c->fs->data, piece, 1, DATA_EXACT);

	if (!is_final(err))
		return err >= 0;
	b->err = err;
	(void)snprintf(b->note, WHY_MAX, "%s", err_last_note());
	return true;
}

struct unit_reader {
	struct check_batch *b;
	uint8_t *dst;
};

static bool read_unit(void *ctx, const struct extent *unit)
{
	const struct unit_reader *r = ctx;
	struct data_piece piece = { .ref = unit->ref,
				    .raw_offset = unit->raw_offset,
				    .len = (uint32_t)(unit->end - unit->start),
				    .dst = r->dst };

	return read_piece(r->b, &piece);
}

static uint64_t bytes_there(struct check *c, uint64_t segment)
{
	struct store_meta meta;
	char key[DATA_KEY_MAX];
	int err;

	data_key(segment, key);
	err = store_head(c->fs->store, key, &meta);
	if (err < 0)
		meta.size_bytes = err == -ENOENT ? 0 : UINT64_MAX; /* unknown: then try */
	return max_u64(meta.size_bytes, data_recovered_bytes(c->fs->data, segment));
}

/* Of an extent that cannot be read as a whole. If it cannot although its blocks can, none is believed. */
static check_units find_bad_units(struct check_batch *b, size_t n)
{
	const struct extent *e = &b->extents[n];
	struct unit_reader r = { b, b->pieces[n].dst };
	check_units units;

	if (data_ref_unit(&e->ref) == e->ref.raw_bytes)
		return CHECK_UNITS_ALL;
	units = check_units_behind(e, bytes_there(b->c, e->ref.segment));
	units |= check_units_unread(e, ~units, read_unit, &r);
	return units ? units : CHECK_UNITS_ALL;
}

static void read_single(struct check_batch *b)
{
	for (size_t n = 0; n < b->count && b->err >= 0; n++) {
		struct bad_piece *bad = &b->bad[b->bad_count];

		if (read_piece(b, &b->pieces[n]))
			continue;
		(void)snprintf(bad->why, WHY_MAX, "cannot be read: %s", err_last_note());
		bad->piece = n;
		bad->units = find_bad_units(b, n);
		b->bad_count += b->err >= 0;
	}
}

static void read_batch(void *arg)
{
	struct check_batch *b = arg;
	struct check_readers *r = b->c->readers;

	if (data_read(b->c->fs->data, b->pieces, b->count, DATA_EXACT) < 0)
		read_single(b);
	pthread_mutex_lock(&r->lock);
	b->busy = false;
	pthread_cond_broadcast(&r->idle);
	pthread_mutex_unlock(&r->lock);
}

/* Waits for the batch and tells what came of it; then it is empty. */
static int take_back(struct check *c, struct check_batch *b)
{
	struct check_readers *r = c->readers;
	int err = 0;

	pthread_mutex_lock(&r->lock);
	while (b->busy)
		pthread_cond_wait(&r->idle, &r->lock);
	pthread_mutex_unlock(&r->lock);
	for (size_t n = 0; n < b->bad_count && err >= 0; n++) {
		const struct bad_piece *bad = &b->bad[n];
		const struct damage_of d = { "bytes-damaged", bad->why, b->inos[bad->piece] };

		err = check_bad_units(c, &d, &b->extents[bad->piece], bad->units);
	}
	if (b->err < 0)
		err = err_note(b->err, "%s", b->note);
	b->count = b->bad_count = 0;
	b->err = 0;
	return err;
}

static int hand_over(struct check *c)
{
	struct check_readers *r = c->readers;
	struct check_batch *b = &r->batches[r->filling];
	int err;

	if (b->count == 0)
		return 0;
	b->busy = true;
	err = pool_submit(r->pool, read_batch, b);
	if (err < 0) {
		b->busy = false;
		return err;
	}
	r->filling = (r->filling + 1) % READERS;
	return take_back(c, &r->batches[r->filling]);
}

int check_readers_add(struct check *c, uint64_t ino, const struct extent *e)
{
	struct check_batch *b;
	size_t n;

	if (!c->readers || e->kind != EXTENT_STORED)
		return 0;
	b = &c->readers->batches[c->readers->filling];
	n = b->count++;
	b->pieces[n] = (struct data_piece){ .ref = e->ref,
					    .raw_offset = e->raw_offset,
					    .len = (uint32_t)(e->end - e->start),
					    .dst = b->bytes + n * DATA_EXTENT_MAX };
	b->inos[n] = ino;
	b->extents[n] = *e;
	return b->count == READ_PIECES ? hand_over(c) : 0;
}

int check_readers_open(struct check *c)
{
	struct check_readers *r = calloc(1, sizeof(*r));

	c->readers = r;
	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->idle, NULL);
	for (size_t n = 0; n < READERS; n++) {
		r->batches[n].c = c;
		r->batches[n].bytes = malloc(READ_BYTES);
		if (!r->batches[n].bytes)
			return -ENOMEM;
	}
	return pool_new("fsck-read", READERS, &r->pool);
}

int check_readers_close(struct check *c)
{
	struct check_readers *r = c->readers;
	int err, back;

	if (!r)
		return 0;
	err = r->pool ? hand_over(c) : 0;
	for (size_t n = 0; n < READERS; n++) {
		back = take_back(c, &r->batches[n]);
		if (err >= 0)
			err = back;
	}
	pool_free(r->pool);
	for (size_t n = 0; n < READERS; n++)
		free(r->batches[n].bytes);
	pthread_cond_destroy(&r->idle);
	pthread_mutex_destroy(&r->lock);
	free(r);
	c->readers = NULL;
	return err;
}

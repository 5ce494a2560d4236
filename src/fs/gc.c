/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gc: everything that collects what nothing needs (reaper, cleaner, sweeps, deletions), once and now
 * instead of when it is worth it.
 *
 *	removals end → passes of the cleaner, until one finds nothing → sweeps → checkpoint → deletions
 *	that are due → (waiting) the others, when their grace is over
 *
 * Each of these is safe at any time; the waits between them in the background only save requests.
 */
#include "fs/bytes.h"

#include <errno.h>

#define PASSES_MAX 8
#define LOOK_MS 200

struct collecting {
	struct fs *fs;
	const struct fs_gc_options *options;
	struct db_trash before;
	struct fs_gc_result *result;
};

static void take_counts(struct collecting *c, const struct db_trash *now)
{
	struct fs_gc_result *r = c->result;

	r->found = now->found - c->before.found;
	r->found_bytes = now->found_bytes - c->before.found_bytes;
	r->deleted = now->deleted - c->before.deleted;
	r->deleted_bytes = now->deleted_bytes - c->before.deleted_bytes;
	r->waiting = now->waiting;
	r->waiting_bytes = now->waiting_bytes;
	r->due_ms = now->due_ms;
}

static int go_on(const struct collecting *c, const char *phase)
{
	if (!c->options->goes_on || c->options->goes_on(c->options->ctx, phase, c->result))
		return 0;
	return err_note(-ECANCELED, "interrupted");
}

static void pause_ms(const struct collecting *c, uint64_t ms)
{
	c->fs->config.clock->sleep_ms(c->fs->config.clock, ms);
}

static int await_removals(struct collecting *c)
{
	int err = go_on(c, "removing");

	while (err >= 0 && !orphan_is_idle(c->fs)) {
		pause_ms(c, LOOK_MS);
		err = go_on(c, "removing");
	}
	return err;
}

static bool cleaning_goes_on(void *ctx)
{
	struct collecting *c = ctx;
	struct db_trash now;

	db_trash(c->fs->db, &now);
	take_counts(c, &now);
	return go_on(c, "cleaning") >= 0;
}

/* A pass gives up what the one before it emptied. */
static int clean(struct collecting *c)
{
	int err = 0, given = 1;

	for (unsigned n = 0; n < PASSES_MAX && err >= 0 && (given > 0 || n < 2); n++) {
		err = given = clean_pass_while(c->fs, cleaning_goes_on, c);
		if (err >= 0)
			err = go_on(c, "cleaning");
		if (err >= 0)
			err = fs_sync(c->fs);
	}
	return err;
}

static int sweep(struct collecting *c)
{
	int err = go_on(c, "looking for what crashes left behind");

	if (err >= 0)
		err = clean_sweep(c->fs, NULL);
	if (err >= 0)
		err = db_sweep_tables(c->fs->db, NULL);
	return err;
}

/* Deletes what is due. */
static int delete_due(struct collecting *c, struct db_trash *ret)
{
	int err = db_collect(c->fs->db, ret);

	take_counts(c, ret);
	if (err >= 0 && ret->trouble)
		err = err_note(ret->trouble, "%s", ret->note);
	return err;
}

/* What others put there meanwhile has a later time. */
static int await_grace(struct collecting *c, struct db_trash *now)
{
	uint64_t end_ms = clock_mono_ms(c->fs->config.clock) + now->due_ms;
	int err = 0;

	while (err >= 0 && now->waiting > 0 &&
	       (clock_mono_ms(c->fs->config.clock) < end_ms || now->due_ms == 0)) {
		err = go_on(c, "waiting");
		if (err >= 0)
			pause_ms(c, LOOK_MS);
		if (err >= 0)
			err = delete_due(c, now);
	}
	return err;
}

static int collect(struct collecting *c)
{
	struct db_trash now;
	int err = await_removals(c);

	if (err >= 0)
		err = clean(c);
	if (err >= 0)
		err = sweep(c);
	if (err >= 0)
		err = go_on(c, "deleting");
	if (err >= 0)
		err = db_checkpoint(c->fs->db);
	if (err >= 0)
		err = delete_due(c, &now);
	if (err >= 0 && c->options->wait)
		err = await_grace(c, &now);
	db_trash(c->fs->db, &now);
	take_counts(c, &now);
	return err;
}

static int look(struct collecting *c)
{
	struct fs_gc_result *r = c->result;
	struct db_garbage left = { 0, 0 };
	struct clean_view view;
	int err = await_removals(c); /* they go on by themselves */

	if (err >= 0)
		err = go_on(c, "looking");
	if (err >= 0)
		err = clean_look(c->fs, &view);
	if (err >= 0)
		err = clean_sweep(c->fs, &left);
	if (err >= 0)
		err = go_on(c, "looking");
	if (err >= 0)
		err = db_sweep_tables(c->fs->db, &left);
	if (err < 0)
		return err;
	r->found = view.dead + left.objects;
	r->found_bytes = view.dead_bytes + left.bytes;
	r->rewrite = view.sparse;
	r->rewrite_bytes = view.sparse_bytes;
	r->in_use_bytes = view.live_bytes;
	return 0;
}

int fs_gc(struct fs *fs, const struct fs_gc_options *options, struct fs_gc_result *ret)
{
	struct collecting c = { .fs = fs, .options = options, .result = ret };
	int err;

	*ret = (struct fs_gc_result){ 0 };
	if (!options->dry_run && fs->read_only)
		return err_note(-EROFS, "it is mounted read-only");
	db_trash(fs->db, &c.before);
	take_counts(&c, &c.before);
	err = options->dry_run ? look(&c) : collect(&c);
	return err < 0 ? err : 0;
}

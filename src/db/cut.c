/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cutting: what of the directory goes into the next slot. See env.h for what may run ahead of what.
 */
#include "db/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static bool queue_is_ready(const struct env *e)
{
	return e->queue && (e->queue->type != REC_TABLE || e->queue->file->table->uploaded);
}

bool db_env_is_dirty(struct env *e)
{
	bool dirty;

	pthread_mutex_lock(&e->lock);
	dirty = e->dirty || queue_is_ready(e);
	pthread_mutex_unlock(&e->lock);
	return dirty;
}

/* The ready records at the front of the queue, as a list of their own. */
static struct rec *take_ready(struct env *e)
{
	struct rec *head = NULL, **end = &head;

	while (queue_is_ready(e)) {
		struct rec *r = e->queue;

		e->queue = r->next;
		r->next = NULL;
		*end = r;
		end = &r->next;
	}
	if (!e->queue) {
		e->queue_end = &e->queue;
		e->queue_last = NULL;
	}
	return head;
}

/* Records for every dirty log: to come to be, if need be, and its bytes. */
static int reserve_recs(const struct env *e, struct rec **ret)
{
	struct rec *list = NULL;
	struct vfile *f;

	DL_FOREACH (e->dirty, f) {
		for (int i = 0; i < 2; i++) {
			struct rec *r = NULL;
			int err = db_rec_new(i ? REC_CREATE : REC_APPEND, f->name, f, &r);

			if (err) {
				db_recs_free(list);
				return err;
			}
			r->next = list;
			list = r;
		}
	}
	*ret = list;
	return 0;
}

/* From the reserved records (CREATE before APPEND for each log) those that are needed. */
static struct rec *cut_logs(struct env *e, struct rec *reserved)
{
	struct rec *head = NULL, **end = &head, *next;

	for (struct rec *r = reserved; r; r = next) {
		struct vfile *f = r->file;

		next = r->next;
		r->next = NULL;
		if (f->gone || (r->type == REC_CREATE && f->created)) {
			db_rec_free(r);
			continue;
		}
		if (r->type == REC_APPEND) {
			r->from = f->cut;
			r->upto = db_vfile_published(f);
			f->cut = r->upto;
		}
		f->created = true;
		*end = r;
		end = &r->next;
	}
	return head;
}

static void clean_logs(struct env *e)
{
	struct vfile *f, *tmp;

	DL_FOREACH_SAFE (e->dirty, f, tmp) {
		DL_DELETE(e->dirty, f);
		f->dirty = false;
		db_vfile_put(f);
	}
	e->uncut_bytes = 0;
}

/* Marks logs whose removal is in this cut, and drops the removal of those the chain never saw. */
static struct rec *settle_removals(struct rec *list)
{
	struct rec **at = &list;

	while (*at) {
		struct rec *r = *at;

		if (r->type == REC_REMOVE && r->file->is_log) {
			r->file->gone = true;
			if (!r->file->created) {
				*at = r->next;
				db_rec_free(r);
				continue;
			}
		}
		at = &r->next;
	}
	return list;
}

int db_env_cut(struct env *e, struct rec **ret)
{
	struct rec *logs = NULL, *ordered, **end;
	int err;

	pthread_mutex_lock(&e->lock);
	err = reserve_recs(e, &logs);
	if (err) {
		pthread_mutex_unlock(&e->lock);
		return err;
	}
	ordered = settle_removals(take_ready(e));
	logs = cut_logs(e, logs);
	clean_logs(e);
	pthread_mutex_unlock(&e->lock);
	for (end = &logs; *end; end = &(*end)->next)
		;
	*end = ordered;
	*ret = logs;
	return 0;
}

uint64_t db_env_uncut_bytes(struct env *e)
{
	uint64_t n;

	pthread_mutex_lock(&e->lock);
	n = e->uncut_bytes;
	pthread_mutex_unlock(&e->lock);
	return n;
}

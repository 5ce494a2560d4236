/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The discard queue.
 */
#include "db/gc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* a failed HASH_ADD leaves hh.tbl NULL */
#include <uthash.h>

#define GC_BATCH 1000
#define GC_RETRY_MS 30000

struct discard {
	struct discard *next;
	uint64_t need_cut;
	uint64_t due_ns;
	uint64_t bytes;
	UT_hash_handle hh;
	char key[];
};

void db_gc_init(struct gc *gc, const struct gc_config *config)
{
	memset(gc, 0, sizeof(*gc));
	gc->config = *config;
	gc->waiting_end = &gc->waiting;
	gc->dated_end = &gc->dated;
	pthread_mutex_init(&gc->lock, NULL);
}

static void free_list(struct discard *d)
{
	struct discard *next;

	for (; d; d = next) {
		next = d->next;
		free(d);
	}
}

void db_gc_release(struct gc *gc)
{
	HASH_CLEAR(hh, gc->table);
	free_list(gc->waiting);
	free_list(gc->dated);
	pthread_mutex_destroy(&gc->lock);
}

/* gc.lock held */
static struct discard *pop(struct discard **head, struct discard ***end)
{
	struct discard *d = *head;

	*head = d->next;
	if (!*head)
		*end = head;
	d->next = NULL;
	return d;
}

static void push(struct discard ***end, struct discard *d)
{
	**end = d;
	*end = &d->next;
}

/* gc.lock held. Takes d. 0 if the key is in it already, -ENOMEM. */
static int enter(struct gc *gc, struct discard *d)
{
	struct discard *same;

	HASH_FIND_STR(gc->table, d->key, same);
	if (!same) {
		HASH_ADD_STR(gc->table, key, d);
		if (d->hh.tbl) {
			push(&gc->waiting_end, d);
			gc->counts.waiting++;
			gc->counts.waiting_bytes += d->bytes;
			gc->counts.found++;
			gc->counts.found_bytes += d->bytes;
			return 1;
		}
	}
	free(d);
	return same ? 0 : -ENOMEM;
}

int db_gc_add(struct gc *gc, const char *key, uint64_t bytes, uint64_t need_cut)
{
	size_t len = strlen(key) + 1;
	struct discard *d = malloc(sizeof(*d) + len);
	int err = -ENOMEM;

	if (d) {
		*d = (struct discard){ .need_cut = need_cut, .bytes = bytes };
		memcpy(d->key, key, len);
		pthread_mutex_lock(&gc->lock);
		err = enter(gc, d);
		pthread_mutex_unlock(&gc->lock);
	}
	if (err < 0)
		return err_note(err, "no memory to remember that %s is to be deleted", key);
	return err;
}

static uint64_t now_ns(struct gc *gc)
{
	return gc->config.clock->mono_ns(gc->config.clock);
}

void db_gc_settle(struct gc *gc, uint64_t durable_cut)
{
	uint64_t due = now_ns(gc) + gc->config.grace_ms * 1000000;

	pthread_mutex_lock(&gc->lock);
	while (gc->waiting && gc->waiting->need_cut <= durable_cut) {
		struct discard *d = pop(&gc->waiting, &gc->waiting_end);

		d->due_ns = due;
		push(&gc->dated_end, d);
	}
	pthread_mutex_unlock(&gc->lock);
}

static struct discard *take_due(struct gc *gc)
{
	uint64_t now = now_ns(gc);
	struct discard *list = NULL, **end = &list;

	pthread_mutex_lock(&gc->lock);
	for (size_t n = 0; n < GC_BATCH && gc->dated && gc->dated->due_ns <= now; n++)
		push(&end, pop(&gc->dated, &gc->dated_end));
	pthread_mutex_unlock(&gc->lock);
	return list;
}

static int remove_list(struct gc *gc, const struct discard *list)
{
	const char *keys[GC_BATCH];
	size_t n = 0;

	for (const struct discard *d = list; d; d = d->next)
		keys[n++] = d->key;
	return store_remove_many(gc->config.store, keys, n);
}

static void put_back(struct gc *gc, struct discard *list)
{
	uint64_t due = now_ns(gc) + GC_RETRY_MS * 1000000ULL;

	pthread_mutex_lock(&gc->lock);
	while (list) {
		struct discard *d = list;

		list = d->next;
		d->next = NULL;
		d->due_ns = due;
		push(&gc->dated_end, d);
	}
	pthread_mutex_unlock(&gc->lock);
}

static void finish_list(struct gc *gc, struct discard *list)
{
	for (const struct discard *d = list; d; d = d->next)
		cache_forget(gc->config.cache, d->key);
	pthread_mutex_lock(&gc->lock);
	for (struct discard *d = list; d; d = d->next) {
		HASH_DEL(gc->table, d);
		gc->counts.waiting--;
		gc->counts.waiting_bytes -= d->bytes;
		gc->counts.deleted++;
		gc->counts.deleted_bytes += d->bytes;
	}
	gc->counts.trouble = 0;
	pthread_mutex_unlock(&gc->lock);
	free_list(list);
}

static void note_trouble(struct gc *gc, int err)
{
	log_debug("superfluous objects stay for now: %s", err_last_note());
	pthread_mutex_lock(&gc->lock);
	gc->counts.trouble = err;
	(void)snprintf(gc->counts.note, sizeof(gc->counts.note), "%s", err_last_note());
	pthread_mutex_unlock(&gc->lock);
}

void db_gc_run(struct gc *gc)
{
	struct discard *list;

	while ((list = take_due(gc)) != NULL) {
		int err = remove_list(gc, list);

		if (err) {
			note_trouble(gc, err);
			put_back(gc, list);
			return;
		}
		finish_list(gc, list);
	}
}

uint64_t db_gc_next_ms(struct gc *gc)
{
	uint64_t now = now_ns(gc), next = GC_NEVER;

	pthread_mutex_lock(&gc->lock);
	if (gc->dated)
		next = gc->dated->due_ns > now ? (gc->dated->due_ns - now) / 1000000 + 1 : 0;
	pthread_mutex_unlock(&gc->lock);
	return next;
}

/* gc.lock held. The dated ones are in the order of their time. */
static uint64_t last_due_ns(const struct gc *gc)
{
	uint64_t due = 0;

	for (const struct discard *d = gc->dated; d; d = d->next)
		due = d->due_ns;
	return due;
}

void db_gc_counts(struct gc *gc, struct db_trash *ret)
{
	uint64_t now = now_ns(gc), due;

	pthread_mutex_lock(&gc->lock);
	*ret = gc->counts;
	due = last_due_ns(gc);
	ret->uncut = gc->waiting != NULL;
	pthread_mutex_unlock(&gc->lock);
	ret->due_ms = due > now ? (due - now) / 1000000 + 1 : 0;
}

bool db_gc_has(struct gc *gc, const char *key)
{
	struct discard *d;

	pthread_mutex_lock(&gc->lock);
	HASH_FIND_STR(gc->table, key, d);
	pthread_mutex_unlock(&gc->lock);
	return d != NULL;
}

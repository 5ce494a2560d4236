/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trimming and sweeping: deleting what nothing durable needs.
 *
 * Trimming keeps the two newest checkpoints, the slots after the older of them, and the first slot
 * of every epoch. Sweeping looks for objects that a crash left behind: an object is garbage only if
 * it is older than an hour by the store's own clock, was written before our epoch began by that
 * same clock (so no write of ours can be taken for garbage, and old ones are not added any more:
 * every earlier writer is fenced), and nothing refers to it.
 */
#include "db/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_BATCH 1000
#define SWEEP_AGE_S 3600
/* Servers behind one store need not agree on the time to the second. */
#define SWEEP_SKEW_S 600

/* ---- a batch of keys ---- */

struct batch {
	struct store *store;
	char (*keys)[CHECKPOINT_KEY_LIMIT];
	size_t count;
};

static int batch_init(struct batch *b, struct store *store)
{
	b->store = store;
	b->count = 0;
	b->keys = malloc(TRIM_BATCH * sizeof(*b->keys));
	return b->keys ? 0 : err_note(-ENOMEM, "no memory for trimming");
}

static void batch_release(struct batch *b)
{
	free(b->keys);
}

static int batch_flush(struct batch *b)
{
	const char *keys[TRIM_BATCH];
	int err;

	for (size_t i = 0; i < b->count; i++)
		keys[i] = b->keys[i];
	err = b->count ? store_remove_many(b->store, keys, b->count) : 0;
	b->count = 0;
	return err;
}

/* Room for a key, to be filled by the caller; NULL if a batch could not be deleted. */
static char *batch_next(struct batch *b)
{
	if (b->count == TRIM_BATCH && batch_flush(b) != 0)
		return NULL;
	return b->keys[b->count++];
}

/* ---- trimming ---- */

static bool is_fence(const struct checkpoint *c, uint64_t slot)
{
	for (size_t i = 0; i < c->fence_count; i++)
		if (c->fences[i].slot == slot)
			return true;
	return false;
}

static int trim_slot(struct batch *b, const struct checkpoint *c, uint64_t slot)
{
	char *key;

	if (is_fence(c, slot))
		return 0;
	key = batch_next(b);
	if (!key)
		return -EAGAIN;
	db_slot_key(slot, key);
	return 0;
}

/* Once per opening, what is there is asked: earlier mounts may have left slots behind. */
static int trim_listed(struct batch *b, const struct checkpoint *c, uint64_t upto)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list_all(b->store, SLOT_PREFIX, NULL, &l);

	for (size_t i = 0; i < l.count && !err; i++) {
		uint64_t slot;

		if (db_numbered_key_parse(l.entries[i].key, SLOT_PREFIX, &slot) == 0 &&
		    slot <= upto)
			err = trim_slot(b, c, slot);
	}
	return err;
}

static int trim_counted(struct batch *b, const struct checkpoint *c, uint64_t after, uint64_t upto)
{
	int err = 0;

	for (uint64_t slot = after + 1; slot <= upto && !err; slot++)
		err = trim_slot(b, c, slot);
	return err;
}

/* All but the last two of the list. */
static int trim_checkpoints(struct batch *b, const uint64_t *slots, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *key = batch_next(b);

		if (!key)
			return -EAGAIN;
		db_checkpoint_key(slots[i], key);
	}
	return batch_flush(b);
}

/* Which checkpoints go, and the older of those that stay. */
static int plan(struct keeper *k, struct checkpoint_list *ret_old, uint64_t *ret_kept)
{
	struct checkpoint_list *l = &k->checkpoints;
	int err = 0;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i + 2 < l->count && !err; i++)
		err = db_checkpoint_list_add(ret_old, l->slots[i]);
	*ret_kept = l->count >= 2 ? l->slots[l->count - 2] : 0;
	pthread_mutex_unlock(&k->lock);
	return err;
}

static void drop_oldest(struct keeper *k, size_t count, uint64_t trimmed_upto)
{
	struct checkpoint_list *l = &k->checkpoints;

	pthread_mutex_lock(&k->lock);
	memmove(l->slots, l->slots + count, (l->count - count) * sizeof(*l->slots));
	l->count -= count;
	k->trimmed_upto = trimmed_upto;
	pthread_mutex_unlock(&k->lock);
}

int db_trim_run(struct db *db, const struct checkpoint *newest)
{
	struct keeper *k = &db->keeper;
	struct checkpoint_list old CLEANUP(db_checkpoint_list_release) = { 0 };
	struct batch b CLEANUP(batch_release);
	uint64_t kept = 0;
	int err = batch_init(&b, db->config.store);

	if (!err)
		err = plan(k, &old, &kept);
	if (err || kept == 0)
		return err;
	err = trim_checkpoints(&b, old.slots, old.count);
	if (!err && k->trimmed_upto == 0)
		err = trim_listed(&b, newest, kept);
	else if (!err)
		err = trim_counted(&b, newest, k->trimmed_upto, kept);
	if (!err)
		err = batch_flush(&b);
	if (!err)
		drop_oldest(k, old.count, kept);
	return err;
}

/* ---- sweeping ---- */

struct horizon {	 /* objects written before both are old enough */
	int64_t epoch_s; /* by the store's clock */
	int64_t hour_s;
};

/* The store's time is that of our fence, plus what has passed since by our own clock. */
static int horizon_of_fence(struct db *db, struct horizon *ret)
{
	struct clock *clock = db->config.clock;
	struct store_meta meta;
	char key[SLOT_KEY_LIMIT];
	int err;

	db_slot_key(db->chain.fence_slot, key);
	err = store_head(db->config.store, key, &meta);
	if (err)
		return err;
	ret->epoch_s = meta.mtime_s - SWEEP_SKEW_S;
	ret->hour_s = meta.mtime_s - SWEEP_AGE_S +
		      (int64_t)((clock->mono_ns(clock) - db->chain.fence_mono_ns) / 1000000000);
	return 0;
}

/* Nothing is going to be deleted by it. */
static void estimate_horizon(struct db *db, struct horizon *ret)
{
	int64_t now_s = db->config.clock->real_ns(db->config.clock) / 1000000000;

	ret->epoch_s = now_s - SWEEP_SKEW_S;
	ret->hour_s = now_s - SWEEP_AGE_S;
}

static int find_horizon(struct db *db, struct horizon *ret)
{
	if (!db_is_writable(db)) {
		estimate_horizon(db, ret);
		return 0;
	}
	return horizon_of_fence(db, ret);
}

struct sweep {
	struct db *db;
	struct horizon horizon;
	db_referenced_fn referenced;
	void *ctx;
	struct db_garbage *look;
};

/* 1, or 0 if it waits for its deletion already. */
static int sweep_object(struct sweep *s, const struct store_entry *e)
{
	int err = 0;

	if (db_gc_has(&s->db->gc, e->key))
		return 0;
	if (s->look) {
		s->look->objects++;
		s->look->bytes += e->size_bytes;
	} else {
		err = db_discard(s->db, e->key, e->size_bytes);
	}
	return err ? err : 1;
}

static int sweep_page(struct sweep *s, const struct store_list *l)
{
	const struct horizon *h = &s->horizon;
	int count = 0;

	for (size_t i = 0; i < l->count; i++) {
		const struct store_entry *e = &l->entries[i];
		int n;

		if (e->mtime_s >= h->epoch_s || e->mtime_s >= h->hour_s ||
		    s->referenced(s->ctx, e->key))
			continue;
		n = sweep_object(s, e);
		if (n < 0)
			return n;
		count += n;
	}
	return count;
}

int db_sweep(struct db *db, const char *prefix, db_referenced_fn referenced, void *ctx,
	     struct db_garbage *look)
{
	struct sweep s = { .db = db, .referenced = referenced, .ctx = ctx, .look = look };
	char after[STORE_KEY_MAX + 1] = "";
	bool more = true;
	int count = 0, n;
	int err;

	if (!look && !db_is_writable(db))
		return err_note(-EROFS, "a read-only database is not swept");
	err = find_horizon(db, &s.horizon);
	while (!err && more && count < INT32_MAX / 2) {
		struct store_list l = STORE_LIST_INIT;

		err = store_list(db->config.store, prefix, after[0] ? after : NULL, 0, &l);
		n = err ? err : sweep_page(&s, &l);
		more = !err && l.more && l.count > 0;
		if (more)
			memcpy(after, l.entries[l.count - 1].key,
			       strlen(l.entries[l.count - 1].key) + 1);
		store_list_release(&l);
		if (n < 0)
			return n;
		count += n;
	}
	if (!look)
		db_keeper_kick(db);
	return err ? err : count;
}

static bool table_referenced(void *ctx, const char *key)
{
	const char *name = strrchr(key, '/');

	if (!name || !db_name_fits(name + 1, strlen(name + 1)))
		return true; /* not of ours: not understood, not deleted */
	return db_names_find(ctx, name + 1) != NULL;
}

/* Only names of the form that db_table_key makes are ever deleted. */
static bool table_kept(void *ctx, const char *key)
{
	char same[TABLE_KEY_LIMIT];
	unsigned long long number, epoch;

	if (sscanf(key, TABLE_PREFIX "%20llu-%10llu", &number, &epoch) != 2)
		return true;
	db_table_key(number, epoch, same);
	return strcmp(same, key) != 0 || table_referenced(ctx, key);
}

int db_sweep_tables(struct db *db, struct db_garbage *look)
{
	struct names keep = { 0 };
	struct entry *e, *tmp;
	int err;

	/* Durable state first, then the present one: a table on its way from this to that is in
	 * one. */
	pthread_mutex_lock(&db->chain.lock);
	err = 0;
	names_each(&db->chain.history.names, e, tmp) if (e->file->table && !err) err =
		db_names_set(&keep, strrchr(e->file->table->key, '/') + 1, e->file, 0);
	pthread_mutex_unlock(&db->chain.lock);
	if (!err)
		err = db_env_table_keys(&db->env, &keep);
	if (!err)
		err = db_sweep(db, TABLE_PREFIX, table_kept, &keep, look);
	db_names_release(&keep);
	return err;
}

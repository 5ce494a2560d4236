/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading the durable state.
 *
 * The order of requests matters against a writer that goes on meanwhile: it writes a checkpoint
 * before it deletes the slots that the checkpoint replaces. So a slot that is missing after the
 * newest checkpoint has either been replaced since (a newer checkpoint is there now) or is lost.
 */
#include "db/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_TRIES 10
#define FETCH_THREADS 32
#define NOTE_LIMIT 512
#define CHAIN_AND_CHECKPOINTS                                                                      \
	"ch"	       /* what SLOT_PREFIX and CHECKPOINT_PREFIX begin with, and nothing else */
#define LIST_PAGE 1000 /* what S3 gives at once */

struct attempt {
	const struct load_config *c;
	struct history *h;
	struct checkpoint_list list;
	struct checkpoint_list slots; /* that were seen at the same time, if all were */
	bool slots_seen;
	bool missing;  /* the error is that an object listed or expected was not there */
	uint64_t good; /* the last slot that could be applied */
};

static int object_missing(struct attempt *a, const char *key)
{
	a->missing = true;
	return err_note(-L3_CORRUPT, "%s is missing", key);
}

int db_load_numbers(const struct load_config *c, const char *prefix, struct checkpoint_list *ret)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list_all(c->store, prefix, NULL, &l);

	for (size_t i = 0; i < l.count && !err; i++) {
		uint64_t slot;

		if (db_numbered_key_parse(l.entries[i].key, prefix, &slot) == 0)
			err = db_checkpoint_list_add(ret, slot);
	}
	return err;
}

/*
 * Slots and checkpoints in one request: "chain/…" and "checkpoint/…" are neighbours. What they are at one moment, or
 * slots first, is as good as checkpoints first: slots that came later are found when the fence meets them. Where old
 * epochs' fences fill the page, only the checkpoints are asked for, and then what follows the newest.
 */
static int list_all(struct attempt *a)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	uint64_t slot;
	int err;

	a->list.count = a->slots.count = 0;
	err = store_list(a->c->store, CHAIN_AND_CHECKPOINTS, NULL, LIST_PAGE, &l);
	a->slots_seen = !l.more;
	if (err || l.more)
		return err ? err : db_load_numbers(a->c, CHECKPOINT_PREFIX, &a->list);
	for (size_t i = 0; i < l.count && !err; i++) {
		const char *key = l.entries[i].key;

		if (db_numbered_key_parse(key, SLOT_PREFIX, &slot) == 0)
			err = db_checkpoint_list_add(&a->slots, slot);
		else if (db_numbered_key_parse(key, CHECKPOINT_PREFIX, &slot) == 0)
			err = db_checkpoint_list_add(&a->list, slot);
	}
	return err;
}

static int read_checkpoint(struct attempt *a, uint64_t slot)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	char key[CHECKPOINT_KEY_LIMIT];
	int err;

	db_checkpoint_key(slot, key);
	err = store_get(a->c->store, key, 0, STORE_TO_END, &b, NULL);
	if (err == -ENOENT)
		return object_missing(a, key);
	if (err)
		return err;
	return db_checkpoint_decode(b.data, b.len, &a->c->fs, slot, key, a->h);
}

/* ---- slots in parallel ---- */

struct fetch {
	struct store *store;
	char key[SLOT_KEY_LIMIT];
	struct buf data;
	int err;
	char note[NOTE_LIMIT];
};

static void fetch_run(void *arg)
{
	struct fetch *f = arg;

	f->err = store_get(f->store, f->key, 0, STORE_TO_END, &f->data, NULL);
	if (f->err)
		snprintf(f->note, sizeof(f->note), "%s", err_last_note());
}

static int fetch_result(struct attempt *a, struct fetch *f)
{
	if (f->err == -ENOENT)
		return object_missing(a, f->key);
	if (f->err)
		return err_note(f->err, "%s", f->note);
	return db_history_replay(a->h, f->data.data, f->data.len, &a->c->fs, f->key, NULL);
}

/* Slots first..first+count-1, all at once. */
static int replay_batch(struct attempt *a, struct pool *pool, uint64_t first, size_t count)
{
	struct fetch *all = calloc(count, sizeof(*all));
	int err = 0;

	if (!all)
		return err_note(-ENOMEM, "no memory to read slots");
	for (size_t i = 0; i < count; i++) {
		all[i].store = a->c->store;
		db_slot_key(first + i, all[i].key);
		if (!pool || pool_submit(pool, fetch_run, &all[i]) != 0)
			fetch_run(&all[i]);
	}
	if (pool)
		pool_drain(pool);
	for (size_t i = 0; i < count; i++) {
		if (!err)
			err = fetch_result(a, &all[i]);
		if (!err)
			a->good = a->h->slot;
		buf_release(&all[i].data);
	}
	free(all);
	return err;
}

static int list_slots(struct attempt *a)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	char key[SLOT_KEY_LIMIT];
	uint64_t slot;
	int err;

	a->slots.count = 0;
	db_slot_key(a->h->slot, key);
	err = store_list_all(a->c->store, SLOT_PREFIX, key, &l);
	for (size_t i = 0; i < l.count && !err; i++)
		if (db_numbered_key_parse(l.entries[i].key, SLOT_PREFIX, &slot) == 0)
			err = db_checkpoint_list_add(&a->slots, slot);
	return err;
}

/* The last slot that exists, seen from h->slot on. Every one between must be there. */
static int find_end(struct attempt *a, uint64_t *ret)
{
	uint64_t end = a->h->slot;
	char key[SLOT_KEY_LIMIT];
	int err = a->slots_seen ? 0 : list_slots(a);

	for (size_t i = 0; i < a->slots.count && !err; i++) {
		uint64_t slot = a->slots.slots[i];

		if (slot <= end)
			continue;
		if (slot != end + 1) {
			db_slot_key(end + 1, key);
			return object_missing(a, key);
		}
		end = slot;
	}
	*ret = end;
	return err;
}

static int replay_upto(struct attempt *a, uint64_t end)
{
	struct pool *pool = NULL;
	int err = 0;

	a->good = a->h->slot;
	if (a->h->slot + 1 < end)
		err = pool_new("load", FETCH_THREADS, &pool);
	while (!err && a->h->slot < end)
		err = replay_batch(a, pool, a->h->slot + 1,
				   min_u64(end - a->h->slot, FETCH_THREADS));
	pool_free(pool);
	return err;
}

static int replay_slots(struct attempt *a)
{
	uint64_t end = 0;
	int err = find_end(a, &end);

	return err ? err : replay_upto(a, end);
}

int db_load_slots(const struct load_config *c, struct history *h, uint64_t end, uint64_t *ret_good,
		  bool *ret_missing)
{
	struct attempt a = { .c = c, .h = h };
	int err = replay_upto(&a, end);

	*ret_good = a.good;
	if (ret_missing)
		*ret_missing = a.missing;
	return err;
}

int db_load_checkpoint(const struct load_config *c, uint64_t slot, struct history *h,
		       bool *ret_missing)
{
	struct attempt a = { .c = c, .h = h };
	int err = read_checkpoint(&a, slot);

	if (ret_missing)
		*ret_missing = a.missing;
	return err;
}

/* ---- the whole ---- */

/* The newest checkpoint, or the one before if that is bad: the slots since are still there. */
static int start_from_checkpoint(struct attempt *a, char bad[NOTE_LIMIT])
{
	int err = 0;

	bad[0] = 0;
	for (size_t i = 0; i < 2 && i < a->list.count; i++) {
		err = read_checkpoint(a, a->list.slots[a->list.count - 1 - i]);
		if (!err) {
			a->list.count -= i; /* a bad one does not count among those to keep */
			return 0;
		}
		db_history_release(a->h);
		if (err != -L3_CORRUPT || a->missing)
			return err;
		if (!bad[0])
			snprintf(bad, NOTE_LIMIT, "%s", err_last_note());
	}
	return bad[0] ? err_note(-L3_CORRUPT, "%s", bad) : err;
}

static int try_load(struct attempt *a)
{
	char bad[NOTE_LIMIT];
	int err;

	db_history_release(a->h);
	a->missing = false;
	err = start_from_checkpoint(a, bad);
	if (!err)
		err = replay_slots(a);
	if (err && bad[0])
		return err_wrap(err, "%s, and from the checkpoint before", bad);
	if (!err && bad[0])
		notify(&a->c->notifier, LOG_L_WARN,
		       "%s; the checkpoint before it and the slots since were used instead", bad);
	return err;
}

static uint64_t newest(const struct checkpoint_list *l)
{
	return l->count ? l->slots[l->count - 1] : 0;
}

int db_load_history(const struct load_config *c, struct history *h, struct checkpoint_list *ret)
{
	struct attempt a = { .c = c, .h = h };
	uint64_t before;
	int err;

	err = list_all(&a);
	for (int i = 0; i < LOAD_TRIES && !err; i++) {
		char note[NOTE_LIMIT];

		err = try_load(&a);
		if (!err || !a.missing)
			break;
		/* Replaced by a newer checkpoint meanwhile? Then that one will do. */
		snprintf(note, sizeof(note), "%s", err_last_note());
		before = newest(&a.list);
		err = list_all(&a);
		if (!err && newest(&a.list) <= before)
			err = err_note(-L3_CORRUPT, "%s", note);
	}
	if (!err && a.missing)
		err = err_note(-EAGAIN, "the chain is being trimmed faster than it can be read");
	db_checkpoint_list_release(&a.slots);
	if (err) {
		db_history_release(h);
		db_checkpoint_list_release(&a.list);
		return err;
	}
	*ret = a.list;
	return 0;
}

/* Slots above a checkpoint go only once two newer ones exist, and the two newest of all always
 * stay. */
int db_load_confirm(const struct load_config *c, uint64_t from)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	char key[CHECKPOINT_KEY_LIMIT];
	size_t newer = 0;
	uint64_t slot;
	int err;

	db_checkpoint_key(from, key);
	err = store_list_all(c->store, CHECKPOINT_PREFIX, key, &l);
	for (size_t i = 0; i < l.count && !err; i++)
		newer += db_numbered_key_parse(l.entries[i].key, CHECKPOINT_PREFIX, &slot) == 0;
	if (!err && newer >= 2)
		err = err_note(-EAGAIN, "the chain was trimmed while it was being read");
	return err;
}

int db_load_next_slot(const struct load_config *c, struct history *h, struct slot_head *ret)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	char key[SLOT_KEY_LIMIT];
	int err;

	db_slot_key(h->slot + 1, key);
	err = store_get(c->store, key, 0, STORE_TO_END, &b, NULL);
	if (err)
		return err;
	return db_history_replay(h, b.data, b.len, &c->fs, key, ret);
}

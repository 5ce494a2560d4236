/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rescue: which state to go on from when the newest cannot be loaded.
 *
 * Every checkpoint that can be read, and the beginning of the chain, is a base from which slots can
 * be followed as far as they go; what gets furthest wins. A state between is a state that really
 * was. Only if there is none are slots taken as they are (history's `loose`): logs that are whole,
 * and tables, to which those are added that only the store's listing knows. That is no state that
 * ever was, but what LevelDB's repair can make a database of.
 *
 * Slots behind the state that is gone on from are of no use any more, and some of their numbers may be
 * empty. But one of them may be the next slot of a writer that sleeps, and what stopped it, the fence
 * of the epoch after its own, may be among what is lost, or would be trimmed with the rest. So each
 * of these numbers becomes the fence of an epoch of its own: the list of fences says so from the first
 * checkpoint on, db_verify makes those that are not there, and trimming keeps them for ever.
 */
#include "db/rescue.h"
#include "db/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers between two slots that may have been lost; what stands beyond is a name that was made up,
 * unless it says itself that it belongs to this chain. */
#define GAP_MAX 4096
/* Numbers that are closed, the last ones. It takes several checkpoints' slots to have more. */
#define CLAIMS_MAX 4096

struct rescue {
	const struct load_config *load;
	struct history *h;
	struct checkpoint_list checkpoints, slots;
	struct checkpoint_list removed; /* numbers of tables that slots remove */
	uint64_t epoch;			/* the highest in any slot that can be read */
	uint64_t end;			/* the last number that is in use */
};

static bool is_damage(int err)
{
	return err == -L3_CORRUPT || err == -L3_VERSION;
}

/* ---- a state that was ---- */

/* base 0: the beginning. 1: loaded; 0: that base is no good. */
static int load_base(struct rescue *r, uint64_t base)
{
	int err;

	db_history_release(r->h);
	if (base == 0)
		return 1;
	err = db_load_checkpoint(r->load, base, r->h, NULL);
	if (!err)
		return 1;
	db_history_release(r->h);
	return is_damage(err) ? 0 : err;
}

/* How far slots can be followed from there. 1, or 0 if that base is no good. */
static int measure(struct rescue *r, uint64_t base, uint64_t *ret_reach)
{
	const struct checkpoint_list *l = &r->slots;
	uint64_t end = l->count ? max_u64(l->slots[l->count - 1], base) : base;
	int err = load_base(r, base);

	if (err <= 0)
		return err;
	err = db_load_slots(r->load, r->h, end, ret_reach, NULL);
	return err && !is_damage(err) ? err : 1;
}

struct best {
	bool any;
	uint64_t base, reach;
};

static int consider(struct rescue *r, uint64_t base, struct checkpoint_list *good, struct best *b)
{
	uint64_t reach = 0;
	int got = measure(r, base, &reach);

	if (got <= 0)
		return got;
	if (base > 0)
		got = db_checkpoint_list_add(good, base);
	if (!b->any || reach > b->reach)
		*b = (struct best){ true, base, reach };
	return got < 0 ? got : 0;
}

static int find_best(struct rescue *r, struct checkpoint_list *good, struct best *ret)
{
	int err = 0;

	/* Ascending, as the list has to be. */
	if (r->slots.count && r->slots.slots[0] == 1)
		err = consider(r, 0, good, ret);
	for (size_t i = 0; i < r->checkpoints.count && !err; i++)
		err = consider(r, r->checkpoints.slots[i], good, ret);
	return err;
}

/* 1: there is a state, and it holds a database. */
static int load_best(struct rescue *r, const struct best *b)
{
	uint64_t reach;
	int err = b->any ? load_base(r, b->base) : 0;

	if (err <= 0)
		return err;
	err = db_load_slots(r->load, r->h, b->reach, &reach, NULL);
	return err ? err : db_names_find(&r->h->names, "CURRENT") != NULL;
}

/* ---- what there is ---- */

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n > e && strcmp(name + n - e, end) == 0;
}

static bool is_table_name(const char *name, uint64_t *ret_number)
{
	char digits[FILE_NAME_LIMIT];

	if (!ends_with(name, ".ldb") && !ends_with(name, ".sst"))
		return false;
	(void)snprintf(digits, sizeof(digits), "%.*s", (int)(strlen(name) - 4), name);
	return parse_u64(digits, ret_number) == 0;
}

static int note_removals(struct rescue *r, struct rd records, const char *key)
{
	struct rec_view v;
	uint64_t number;
	int err;

	while ((err = db_rec_next(&records, key, &v)) > 0) {
		db_vfile_put(v.table);
		if (v.type == REC_REMOVE && is_table_name(v.name, &number) &&
		    db_checkpoint_list_add(&r->removed, number) < 0)
			return -ENOMEM;
	}
	return 0; /* damage at the end of it: what came before counts */
}

/* 1 and its head, if it can be read; 0: it cannot. */
static int read_slot(struct rescue *r, uint64_t slot, struct buf *b, struct slot_head *ret_head,
		     struct rd *ret_records)
{
	char key[SLOT_KEY_LIMIT];
	int err;

	db_slot_key(slot, key);
	err = store_get(r->load->store, key, 0, STORE_TO_END, b, NULL);
	if (!err)
		err = db_slot_decode(b->data, b->len, &r->load->fs, slot, key, ret_head,
				     ret_records);
	if (err)
		return err == -ENOENT || is_damage(err) ? 0 : err;
	r->epoch = max_u64(r->epoch, ret_head->epoch);
	return 1;
}

/* Whatever of it can be used. */
static int take_slot(struct rescue *r, uint64_t slot)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	char key[SLOT_KEY_LIMIT];
	struct slot_head head;
	struct rd records;
	int got = read_slot(r, slot, &b, &head, &records), err;

	if (got <= 0)
		return got;
	db_slot_key(slot, key);
	r->h->slot = slot - 1;
	err = note_removals(r, records, key);
	if (!err)
		err = db_history_replay(r->h, b.data, b.len, &r->load->fs, key, NULL);
	return is_damage(err) ? 0 : err;
}

/* LevelDB's repair makes those anew, and would believe neither. */
static void drop_manifests(struct names *n)
{
	struct entry *e, *tmp;
	uint64_t number;

	names_each(n, e, tmp)
	{
		if (!e->file->table && !ends_with(e->name, ".log"))
			db_names_remove(n, e->name);
		else if (e->file->table && !is_table_name(e->name, &number))
			db_names_remove(n, e->name);
	}
}

static bool is_known(const struct names *n, const char *key)
{
	struct entry *e, *tmp;

	names_each(n, e,
		   tmp) if (e->file->table && strcmp(e->file->table->key, key) == 0) return true;
	return false;
}

static bool was_removed(const struct rescue *r, uint64_t number)
{
	for (size_t i = 0; i < r->removed.count; i++)
		if (r->removed.slots[i] == number)
			return true;
	return false;
}

/* Its checksums are those of the bytes that it has; LevelDB's own tell which are good. */
static int measure_table(struct rescue *r, const char *key, struct vfile *f)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	int err = store_get(r->load->store, key, 0, STORE_TO_END, &b, NULL);

	if (!err)
		err = db_table_measure(f->table, &b);
	if (!err)
		f->table->uploaded = f->created = true;
	return err;
}

static int add_table(struct rescue *r, const char *key)
{
	unsigned long long number, epoch;
	char name[FILE_NAME_LIMIT];
	struct vfile *f = NULL;
	int err;

	if (!db_owns_key(key) || sscanf(key, TABLE_PREFIX "%20llu-%10llu", &number, &epoch) != 2)
		return 0;
	r->epoch = max_u64(r->epoch, epoch);
	if (is_known(&r->h->names, key) || was_removed(r, number))
		return 0;
	err = db_vfile_new_table(number, epoch, &f);
	if (!err)
		err = measure_table(r, key, f);
	/* LevelDB may have used a number twice, in two epochs. */
	do {
		(void)snprintf(name, sizeof(name), "%06llu.ldb", number);
		number += 1000000000;
	} while (db_names_find(&r->h->names, name));
	if (!err)
		err = db_names_set(&r->h->names, name, f, f->table->size);
	db_vfile_put(f);
	return err == -ENOENT ? 0 : err;
}

static int add_tables(struct rescue *r)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list_all(r->load->store, TABLE_PREFIX, NULL, &l);

	for (size_t i = 0; i < l.count && !err; i++)
		err = add_table(r, l.entries[i].key);
	return err;
}

static int scrape(struct rescue *r)
{
	int err = 0;

	db_history_release(r->h);
	r->h->loose = true;
	for (size_t i = 0; i < r->slots.count && !err; i++)
		err = take_slot(r, r->slots.slots[i]);
	r->h->loose = false;
	drop_manifests(&r->h->names);
	return err ? err : add_tables(r);
}

/* ---- numbers that nobody may write to any more ---- */

/* Of those behind the state only. */
static int keep_fence(struct history *h, const struct slot_head *head)
{
	const struct fence *last = h->fence_count ? &h->fences[h->fence_count - 1] : NULL;

	if (!(head->flags & SLOT_FLAG_FENCE) ||
	    (last && (head->epoch <= last->epoch || head->slot <= last->slot)))
		return 0;
	return db_history_add_fence(h, head->epoch, head->slot);
}

/* Fences behind the state count: the epoch that follows must be above theirs. */
static int look_at_rest(struct rescue *r, uint64_t from)
{
	r->end = from;
	for (size_t i = 0; i < r->slots.count; i++) {
		struct buf b CLEANUP(buf_release) = BUF_INIT;
		uint64_t slot = r->slots.slots[i];
		struct slot_head head;
		struct rd records;
		int got;

		if (slot <= from)
			continue;
		got = read_slot(r, slot, &b, &head, &records);
		if (got > 0 && keep_fence(r->h, &head) < 0)
			return -ENOMEM;
		if (got < 0)
			return got;
		if (got > 0 || slot - r->end <= GAP_MAX)
			r->end = slot;
	}
	return 0;
}

/* The last of them become fences, which takes an epoch each; of those before, the fences that are there stay. */
static int claim(struct rescue *r, uint64_t from, uint64_t lease_epoch)
{
	struct history *h = r->h;
	uint64_t slot = r->end - min_u64(r->end - from, CLAIMS_MAX);
	int err = 0;

	if (slot == r->end)
		return 0;
	while (h->fence_count && h->fences[h->fence_count - 1].slot > slot)
		h->fence_count--;
	h->epoch = max_u64(h->epoch, lease_epoch);
	while (slot < r->end && !err)
		err = db_history_add_fence(h, ++h->epoch, ++slot);
	return err;
}

/* ---- the whole ---- */

static int choose(struct rescue *r, struct checkpoint_list *good, enum db_rescue how,
		  struct db_rescued *ret)
{
	struct best best = { 0 };
	int err = find_best(r, good, &best);

	if (err)
		return err;
	err = load_best(r, &best);
	ret->scattered = err == 0;
	ret->slot = ret->scattered ? 0 : r->h->slot;
	if (err == 0 && how != DB_RESCUE_FILES)
		return err_note(-L3_CORRUPT, "no checkpoint and no slots make up a database");
	return err == 0 ? scrape(r) : err < 0 ? err : 0;
}

/* Where the next slot goes, and what must not be used before it. */
static int go_behind(struct rescue *r, const struct checkpoint_list *good,
		     const struct db_config *config)
{
	uint64_t from = config->rescued->slot;
	int err = look_at_rest(r, from);

	if (err)
		return err;
	if (r->checkpoints.count)
		config->rescued->newest = r->checkpoints.slots[r->checkpoints.count - 1];
	if (good->count)
		r->end = max_u64(r->end, good->slots[good->count - 1]);
	r->h->slot = config->rescued->end = r->end;
	r->h->epoch = max_u64(max_u64(r->h->epoch, r->epoch), config->used_epoch);
	return claim(r, from, lease_epoch(config->lease));
}

int db_rescue_history(const struct load_config *c, struct history *h, struct checkpoint_list *good,
		      const struct db_config *config)
{
	struct rescue r = { .load = c, .h = h };
	int err = db_load_numbers(c, CHECKPOINT_PREFIX, &r.checkpoints);

	*config->rescued = (struct db_rescued){ .files = config->rescue == DB_RESCUE_FILES };
	if (!err)
		err = db_load_numbers(c, SLOT_PREFIX, &r.slots);
	if (!err)
		err = choose(&r, good, config->rescue, config->rescued);
	if (!err)
		err = go_behind(&r, good, config);
	db_checkpoint_list_release(&r.checkpoints);
	db_checkpoint_list_release(&r.slots);
	db_checkpoint_list_release(&r.removed);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verify: fsck's half about the database's objects, without opening it.
 *
 * Starts from the older of the two newest checkpoints and follows the slots, comparing what comes
 * out with the newer one on the way. Beside that every object is looked at by itself, so that all
 * that is bad is told, not only the first that ends the history.
 *
 * A writer may trim meanwhile. What was found is told only when the checkpoints at the end are
 * those of the beginning; else it is looked for again.
 */
#include "db/internal.h"
#include "db/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define VERIFY_TRIES 5
#define VERIFY_THREADS 4
#define READ_BYTES (4 * MIB)
#define READ_TRIES 3
#define TEXT_MAX 640

struct found {
	struct found *next;
	const char *code;
	bool has_key;
	char key[TABLE_KEY_LIMIT];
	char text[TEXT_MAX];
};

struct verify {
	struct load_config load;
	const struct db_verify_options *options;
	struct db_verify_result result;
	struct checkpoint_list checkpoints, slots;
	struct history state; /* the newest that can be loaded */
	bool loaded;	      /* there is one */
	struct store_list tables;
	pthread_mutex_t lock; /* found, done, err */
	struct found *found, **found_end;
	uint64_t done;
	int err;
};

static int found(struct verify *v, const char *code, const char *key, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static int found(struct verify *v, const char *code, const char *key, const char *fmt, ...)
{
	struct found *f = calloc(1, sizeof(*f));
	va_list ap;

	if (!f)
		return -ENOMEM;
	f->code = code;
	f->has_key = key != NULL;
	if (key)
		snprintf(f->key, sizeof(f->key), "%s", key);
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&v->lock);
	*v->found_end = f;
	v->found_end = &f->next;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static void drop_found(struct verify *v)
{
	struct found *f, *next;

	for (f = v->found; f; f = next) {
		next = f->next;
		free(f);
	}
	v->found = NULL;
	v->found_end = &v->found;
}

static bool cancelled(const struct verify *v)
{
	return v->options->cancelled && v->options->cancelled(v->options->ctx);
}

static int step(struct verify *v, const char *phase, uint64_t done, uint64_t total)
{
	if (v->options->progress)
		v->options->progress(v->options->ctx, phase, done, total);
	return cancelled(v) ? err_note(-ECANCELED, "interrupted") : 0;
}

static bool is_damage(int err)
{
	return err == -L3_CORRUPT || err == -L3_VERSION;
}

/* ---- one object by itself ---- */

/* A slot's form, and its head if it is good: 1; 0 if it is not there or bad (*ret_bad). */
static int look_at_slot(struct verify *v, uint64_t slot, struct slot_head *ret, bool *ret_bad)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	char key[SLOT_KEY_LIMIT];
	struct rec_view view;
	struct rd records;
	int err;

	*ret_bad = false;
	db_slot_key(slot, key);
	err = store_get(v->load.store, key, 0, STORE_TO_END, &b, NULL);
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = db_slot_decode(b.data, b.len, &v->load.fs, slot, key, ret, &records);
	while (!err && (err = db_rec_next(&records, key, &view)) > 0) {
		db_vfile_put(view.table);
		err = 0;
	}
	*ret_bad = is_damage(err);
	return *ret_bad ? 0 : err < 0 ? err : 1;
}

/* From the slot at which the history ended: `why` says what is the matter with that. */
static int look_behind(struct verify *v, uint64_t good, const char *why)
{
	uint64_t expected = good + 1;
	int err = 0;

	for (size_t i = 0; i < v->slots.count && !err; i++) {
		uint64_t slot = v->slots.slots[i];
		char key[SLOT_KEY_LIMIT];
		struct slot_head head;
		bool bad;

		if (slot <= good)
			continue;
		db_slot_key(expected, key);
		if (slot != expected)
			err = found(v, "slot-missing", key,
				    "the slots from %llu to %llu are missing: what was committed "
				    "from there on cannot be read",
				    (unsigned long long)expected, (unsigned long long)slot - 1);
		expected = slot + 1;
		db_slot_key(slot, key);
		if (!err)
			err = look_at_slot(v, slot, &head, &bad);
		if (err < 0)
			return err;
		if (bad)
			err = found(v, "slot-damaged", key, "%s", err_last_note());
		else if (slot == good + 1)
			err = found(v, "slot-damaged", key, "%s", why);
		else
			err = 0;
		if (!err)
			err = step(v, "slots", i, v->slots.count);
	}
	return err;
}

/* The first slot of an epoch is what stops a writer that slept; so it is there for ever. */
static int look_at_fence(struct verify *v, const struct fence *f)
{
	struct slot_head head = { 0 };
	char key[SLOT_KEY_LIMIT];
	bool bad;
	int got = look_at_slot(v, f->slot, &head, &bad);

	if (got < 0)
		return got;
	db_slot_key(f->slot, key);
	v->result.fences++;
	if (bad)
		return found(v, "fence-damaged", key, "%s", err_last_note());
	if (got == 0)
		return found(v, "fence-missing", key,
			     "%s is missing: the first slot of epoch %llu, which keeps older "
			     "writers out",
			     key, (unsigned long long)f->epoch);
	if (head.epoch != f->epoch || !(head.flags & SLOT_FLAG_FENCE))
		return found(v, "fence-damaged", key, "%s is not the first slot of epoch %llu", key,
			     (unsigned long long)f->epoch);
	return 0;
}

static int look_at_fences(struct verify *v)
{
	int err = 0;

	for (size_t i = 0; i < v->state.fence_count && !err; i++) {
		err = look_at_fence(v, &v->state.fences[i]);
		if (!err)
			err = step(v, "fences", i + 1, v->state.fence_count);
	}
	return err;
}

/* ---- checkpoints, and what slots make of them ---- */

static bool same_bytes(const struct entry *a, const struct entry *b)
{
	struct rope_cursor at_a = ROPE_CURSOR_INIT, at_b = ROPE_CURSOR_INIT;
	const uint8_t *x = NULL, *y = NULL;
	size_t left_x = 0, left_y = 0, n;

	if (a->len != b->len)
		return false;
	for (uint64_t done = 0; done < a->len; done += n) {
		if (left_x == 0)
			left_x = db_rope_next(&a->file->rope, &at_a, a->len, &x);
		if (left_y == 0)
			left_y = db_rope_next(&b->file->rope, &at_b, b->len, &y);
		n = min_u64(left_x, left_y);
		if (n == 0 || memcmp(x, y, n) != 0)
			return false;
		x += n;
		y += n;
		left_x -= n;
		left_y -= n;
	}
	return true;
}

static bool same_file(const struct entry *a, const struct entry *b)
{
	const struct table *x = a->file->table, *y = b->file->table;

	if (!x != !y)
		return false;
	if (!x)
		return same_bytes(a, b);
	return x->number == y->number && x->epoch == y->epoch && x->size == y->size &&
	       x->windows == y->windows &&
	       memcmp(x->sums, y->sums, x->windows * sizeof(*x->sums)) == 0;
}

static bool same_state(const struct history *a, const struct history *b)
{
	struct entry *e, *tmp, *other;

	if (a->epoch != b->epoch || db_names_count(&a->names) != db_names_count(&b->names))
		return false;
	names_each(&a->names, e, tmp)
	{
		other = db_names_find(&b->names, e->name);
		if (!other || !same_file(e, other))
			return false;
	}
	return true;
}

/* 1: it is good; 0: bad, and told so, if it is still there. */
static int look_at_checkpoint(struct verify *v, uint64_t slot, struct history *h)
{
	char key[CHECKPOINT_KEY_LIMIT];
	bool missing = false;
	int err = db_load_checkpoint(&v->load, slot, h, &missing);

	if (err >= 0)
		return 1;
	db_history_release(h);
	if (missing)
		return 0;
	if (!is_damage(err))
		return err;
	db_checkpoint_key(slot, key);
	err = found(v, "checkpoint-damaged", key, "%s", err_last_note());
	return err;
}

/* Into the two that are the last good ones so far; the older is that from which the history goes on. */
static void take_checkpoint(struct verify *v, struct history *newest, bool *any, struct history *h)
{
	struct history *to = v->loaded ? newest : &v->state;

	if (*any) {
		db_history_release(&v->state);
		v->state = *newest;
		v->state.parts_end = &v->state.parts;
	}
	*any = v->loaded;
	v->loaded = true;
	*to = *h;
	to->parts_end = &to->parts;
}

/* Whoever mounts tries the two newest names. */
static int look_at_checkpoints(struct verify *v, struct history *newest, bool *ret_two)
{
	const struct checkpoint_list *l = &v->checkpoints;
	bool usable = l->count == 0;
	int err = 0;

	*ret_two = false;
	for (size_t i = 0; i < l->count && err >= 0; i++) {
		struct history h;

		db_history_init(&h);
		err = look_at_checkpoint(v, l->slots[i], &h);
		if (err > 0) {
			take_checkpoint(v, newest, ret_two, &h);
			usable = i + 2 >= l->count;
		}
		if (err >= 0)
			err = step(v, "checkpoints", i + 1, l->count);
	}
	v->result.chain_broken = !usable;
	return err < 0 ? err : 0;
}

static uint64_t last_of(const struct checkpoint_list *l)
{
	return l->count ? l->slots[l->count - 1] : 0;
}

/* Follows the history up to `end`; what stops it is told. 1: all of it. */
static int follow(struct verify *v, uint64_t end)
{
	struct buf why CLEANUP(buf_release) = BUF_INIT;
	uint64_t good = v->state.slot;
	int err = db_load_slots(&v->load, &v->state, end, &good, NULL);

	if (!err)
		return 1;
	if (!is_damage(err))
		return err;
	buf_add_str(&why, err_last_note());
	err = look_behind(v, good, buf_cstr(&why));
	return err < 0 ? err : 0;
}

/* The older checkpoint and slots have to make the newer one. If they do not reach it (one is bad,
 * or was trimmed by somebody at work), the newer one is what everybody goes on from. */
static int join(struct verify *v, struct history *newest)
{
	char key[CHECKPOINT_KEY_LIMIT];
	int got = follow(v, newest->slot), err = 0;

	if (got < 0)
		return got;
	db_checkpoint_key(newest->slot, key);
	if (got > 0 && !same_state(&v->state, newest))
		err = found(v, "checkpoint-differs", key,
			    "%s is not what the checkpoint before and the slots make", key);
	if (got > 0 && !err) {
		db_history_drop_parts(&v->state);
		return 0;
	}
	db_history_release(&v->state);
	v->state = *newest;
	v->state.parts_end = &v->state.parts;
	db_history_init(newest);
	return err;
}

static int look_at_chain(struct verify *v)
{
	struct history newest;
	bool two = false;
	int err, got;

	db_history_init(&newest);
	err = look_at_checkpoints(v, &newest, &two);
	if (!err && two)
		err = join(v, &newest);
	db_history_release(&newest);
	if (err)
		return err;
	got = follow(v, max_u64(last_of(&v->slots), v->state.slot));
	if (got < 0)
		return got;
	v->result.chain_broken |= got == 0;
	if (v->result.chain_broken)
		return 0;
	v->result.chain_broken = !db_names_find(&v->state.names, "CURRENT");
	if (v->result.chain_broken)
		err = found(v, "chain-empty", NULL,
			    "no checkpoint and no slots make up a database");
	if (!err)
		err = look_at_fences(v);
	v->result.slot = v->state.slot;
	v->result.epoch = v->state.epoch;
	return err;
}

/* ---- tables ---- */

static const struct store_entry *find_object(const struct store_list *l, const char *key)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(l->entries[mid].key, key);

		if (order == 0)
			return &l->entries[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct reading {
	struct verify *v;
	const struct table *table;
};

/* Windows [*next, …) of one request. */
static int try_windows(struct verify *v, const struct table *t, size_t *next)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	uint64_t start, len, from, end;
	size_t last = *next;
	int err;

	db_table_window_range(t, *next, &from, &len);
	for (end = from + len; last + 1 < t->windows && end - from < READ_BYTES; end = start + len)
		db_table_window_range(t, ++last, &start, &len);
	err = store_get(v->load.store, t->key, from, end - from, &b, NULL);
	if (!err && b.len != end - from)
		err = err_note(-L3_CORRUPT, "%s is shorter than it should be", t->key);
	for (; !err && *next <= last; (*next)++) {
		db_table_window_range(t, *next, &start, &len);
		if (XXH3_64bits(b.data + (start - from), len) != t->sums[*next])
			err = err_note(-L3_CORRUPT,
				       "%s: bytes %llu to %llu are not what was written", t->key,
				       (unsigned long long)start,
				       (unsigned long long)(start + len));
	}
	return err;
}

/* What comes damaged once may have become so on its way. */
static int read_windows(struct verify *v, const struct table *t, size_t *next)
{
	int err = -L3_CORRUPT;

	for (int i = 0; i < READ_TRIES && err == -L3_CORRUPT; i++)
		err = try_windows(v, t, next);
	return err;
}

static void read_table(void *arg)
{
	struct reading *r = arg;
	struct verify *v = r->v;
	const struct table *t = r->table;
	size_t next = 0;
	int err = 0;

	while (!err && next < t->windows) {
		err = cancelled(v) ? err_note(-ECANCELED, "interrupted") : 0;
		if (!err)
			err = read_windows(v, t, &next);
	}
	if (err == -L3_CORRUPT)
		err = found(v, "table-damaged", t->key, "%s", err_last_note());
	else if (err == -ENOENT)
		err = found(v, "table-missing", t->key, "%s is missing", t->key);
	pthread_mutex_lock(&v->lock);
	v->done++;
	if (err && !v->err)
		v->err = err;
	pthread_mutex_unlock(&v->lock);
	free(r);
}

/* Its object, by the listing; then its bytes, in the pool. */
static int look_at_table(struct verify *v, struct pool *pool, const struct table *t)
{
	const struct store_entry *e = find_object(&v->tables, t->key);
	struct reading *r;
	int err;

	v->result.tables++;
	if (!e)
		return found(v, "table-missing", t->key,
			     "%s is missing; it is a part of the database", t->key);
	if (e->size_bytes != t->size)
		return found(v, "table-damaged", t->key, "%s has %llu bytes instead of %llu",
			     t->key, (unsigned long long)e->size_bytes,
			     (unsigned long long)t->size);
	if (!pool)
		return 0;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct reading){ v, t };
	err = pool_submit(pool, read_table, r);
	if (err)
		free(r);
	return err;
}

static int look_at_tables(struct verify *v)
{
	struct pool *pool = NULL;
	struct entry *e, *tmp;
	int err = store_list_all(v->load.store, TABLE_PREFIX, NULL, &v->tables);

	if (!err && v->options->tables)
		err = pool_new("verify", VERIFY_THREADS, &pool);
	names_each(&v->state.names, e, tmp)
	{
		if (e->file->table && !err)
			err = look_at_table(v, pool, e->file->table);
		if (!err)
			err = step(v, "tables", v->result.tables, 0);
	}
	pool_free(pool);
	return err ? err : v->err;
}

/* ---- the whole ---- */

static void reset(struct verify *v)
{
	drop_found(v);
	db_history_release(&v->state);
	db_checkpoint_list_release(&v->checkpoints);
	db_checkpoint_list_release(&v->slots);
	store_list_release(&v->tables);
	memset(&v->result, 0, sizeof(v->result));
	v->loaded = false;
	v->err = 0;
}

static int look(struct verify *v)
{
	int err;

	reset(v);
	err = db_load_numbers(&v->load, CHECKPOINT_PREFIX, &v->checkpoints);
	if (!err)
		err = db_load_numbers(&v->load, SLOT_PREFIX, &v->slots);
	if (!err)
		err = look_at_chain(v);
	if (!err && !v->result.chain_broken)
		err = look_at_tables(v);
	v->result.slots = v->slots.count;
	v->result.checkpoints = v->checkpoints.count;
	return err;
}

/* 1: somebody trims and writes meanwhile. */
static int has_moved(struct verify *v)
{
	struct checkpoint_list now = { 0 };
	int err = db_load_numbers(&v->load, CHECKPOINT_PREFIX, &now);
	bool moved = last_of(&now) != last_of(&v->checkpoints);

	db_checkpoint_list_release(&now);
	return err < 0 ? err : moved;
}

/* The slot says what it said; nobody reads it any more but who slept since. A bad one is written
 * over, as there must be one all the time. */
static int make_fence(struct verify *v, const char *key, bool over)
{
	struct out o CLEANUP(db_out_release) = { 0 };
	struct slot_head head = { .nonce = random_u64(), .flags = SLOT_FLAG_FENCE };
	struct store_put put = { .key = key, .cond = over ? STORE_ALWAYS : STORE_CREATE };
	int err = db_numbered_key_parse(key, SLOT_PREFIX, &head.slot);

	for (size_t i = 0; i < v->state.fence_count; i++)
		if (v->state.fences[i].slot == head.slot)
			head.epoch = v->state.fences[i].epoch;
	db_out_init(&o);
	if (!err)
		err = db_slot_encode(&o, &head, &v->load.fs, NULL, NULL, 0);
	put.iov = o.iov;
	put.iovcnt = (int)o.count;
	return err ? err : store_put(v->load.store, &put, NULL);
}

static int tell(struct verify *v)
{
	const struct db_verify_options *o = v->options;
	int err = 0;

	for (const struct found *f = v->found; f && !err; f = f->next) {
		v->result.problems++;
		if (strncmp(f->code, "table-", 6) == 0)
			v->result.tables_broken = true;
		if (o->problem)
			o->problem(o->ctx, f->code, f->has_key ? f->key : NULL, f->text);
		if (o->mend && strncmp(f->code, "fence-", 6) == 0)
			err = make_fence(v, f->key, strcmp(f->code, "fence-damaged") == 0);
	}
	return err;
}

int db_verify(struct store *store, const struct uuid *fs, const struct db_verify_options *options,
	      struct db_verify_result *ret)
{
	struct verify v = { .load = { .store = store, .fs = *fs }, .options = options };
	int err = 0, moved = 1;

	pthread_mutex_init(&v.lock, NULL);
	v.found_end = &v.found;
	db_history_init(&v.state);
	for (int i = 0; i < VERIFY_TRIES && !err && moved > 0; i++) {
		err = look(&v);
		moved = err || (!v.found && !v.result.chain_broken) ? 0 : has_moved(&v);
		if (moved < 0)
			err = moved;
	}
	if (!err)
		err = tell(&v);
	if (!err)
		*ret = v.result;
	reset(&v);
	pthread_mutex_destroy(&v.lock);
	return err;
}

bool db_owns_key(const char *key)
{
	char same[TABLE_KEY_LIMIT];
	unsigned long long number, epoch;
	uint64_t slot;

	if (strcmp(key, SUPER_KEY) == 0 || strcmp(key, "lease") == 0)
		return true;
	if (db_numbered_key_parse(key, SLOT_PREFIX, &slot) == 0 ||
	    db_numbered_key_parse(key, CHECKPOINT_PREFIX, &slot) == 0)
		return true;
	if (sscanf(key, TABLE_PREFIX "%20llu-%10llu", &number, &epoch) != 2)
		return false;
	db_table_key(number, epoch, same);
	return strcmp(same, key) == 0;
}

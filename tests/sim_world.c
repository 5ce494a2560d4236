/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of a simulation: memory, and a journal of every effect in the order in which they came.
 * A power cut at any moment is then a matter of building that moment again.
 *
 * The defects are here, where they show: at the border between the code and its store.
 */
#include "sim.h"

#include "store/internal.h"

struct effect {
	char *key;
	bool removal;
	uint8_t *data;
	size_t len;
};

struct effects {
	struct effect *at;
	size_t count, cap;
};

struct world {
	struct store store;
	struct store *mem;
	char *url;
	pthread_mutex_t lock;
	struct effects journal;
	struct effects held; /* acknowledged, and not really there yet (SIM_RECORD_FIRST) */
};

__thread unsigned sim_attempt;

static void push(struct effects *l, struct effect e)
{
	if (l->count == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 256;
		l->at = realloc(l->at, l->cap * sizeof(*l->at));
		if (!l->at)
			abort();
	}
	l->at[l->count++] = e;
}

static void release(struct effects *l)
{
	for (size_t n = 0; n < l->count; n++) {
		free(l->at[n].key);
		free(l->at[n].data);
	}
	free(l->at);
	*l = (struct effects){ 0 };
}

static bool begins(const char *key, const char *prefix)
{
	return strncmp(key, prefix, strlen(prefix)) == 0;
}

/* ---- defects ---- */

static const char *const names[SIM_DEFECTS] = {
	[SIM_SOUND] = "none",
	[SIM_NO_FENCE] = "no-fence",
	[SIM_FENCE_DELETED] = "fence-deleted",
	[SIM_TABLE_NAMES] = "table-without-epoch",
	[SIM_NO_ORDER] = "metadata-before-data",
	[SIM_RECORD_FIRST] = "record-before-segment",
	[SIM_NO_NONCE] = "retry-without-nonce",
	[SIM_NO_TRIM_LOOK] = "trimming-not-noticed",
};

const char *sim_defect_name(enum sim_defect defect)
{
	return names[defect];
}

static enum store_cond map_cond(const char *key, enum store_cond cond)
{
	if (sim_defect == SIM_NO_FENCE && begins(key, "chain/"))
		return STORE_ALWAYS;
	if (sim_defect == SIM_TABLE_NAMES && begins(key, "table/"))
		return STORE_ALWAYS;
	return cond;
}

static bool taken_for_ours(const char *key, int err)
{
	return sim_defect == SIM_NO_NONCE && err == -L3_PRECONDITION && sim_attempt > 1 &&
	       begins(key, "chain/");
}

/* Locked. What was held back arrives after the slot that should have waited for it. */
static void enter_journal(struct world *w, struct effect e)
{
	if (sim_defect == SIM_RECORD_FIRST && !e.removal && begins(e.key, "data/")) {
		push(&w->held, e);
		return;
	}
	sim_say("  effect %zu: %s %s, %zu bytes", w->journal.count + 1,
		e.removal ? "DELETE" : "PUT", e.key, e.len);
	push(&w->journal, e);
	if (!begins(e.key, "chain/"))
		return;
	for (size_t n = 0; n < w->held.count; n++)
		push(&w->journal, w->held.at[n]);
	w->held.count = 0;
}

/* ---- the store's operations ---- */

static int world_get(struct store *s, const char *key, uint64_t offset, uint64_t len,
		     struct buf *out, struct store_meta *ret_meta)
{
	return store_get(((struct world *)s)->mem, key, offset, len, out, ret_meta);
}

static struct effect put_effect(const struct store_put *put)
{
	struct effect e = { .key = strdup(put->key), .len = store_put_size(put) };
	size_t at = 0;

	e.data = malloc(e.len + 1);
	if (!e.key || !e.data)
		abort();
	for (int i = 0; i < put->iovcnt; i++) {
		memcpy(e.data + at, put->iov[i].iov_base, put->iov[i].iov_len);
		at += put->iov[i].iov_len;
	}
	return e;
}

static int world_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct world *w = (struct world *)s;
	struct store_put real = *put;
	int err;

	real.cond = map_cond(put->key, put->cond);
	pthread_mutex_lock(&w->lock);
	err = store_put(w->mem, &real, ret_meta);
	if (err >= 0)
		enter_journal(w, put_effect(&real));
	pthread_mutex_unlock(&w->lock);
	return taken_for_ours(put->key, err) ? 0 : err;
}

static int world_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	int err = store_head(((struct world *)s)->mem, key, ret_meta);

	/* Who misses its own fence would stop there: not what the defect is about. */
	if (err == -ENOENT && sim_defect == SIM_FENCE_DELETED && begins(key, "chain/")) {
		*ret_meta = (struct store_meta){ 0 };
		return 0;
	}
	return err;
}

static int world_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		      struct store_list *out)
{
	return store_list(((struct world *)s)->mem, prefix, start_after, max, out);
}

/* Locked. */
static int remove_one(struct world *w, const char *key)
{
	struct effect e = { .key = strdup(key), .removal = true };
	struct store_meta meta;

	if (!e.key)
		abort();
	if (store_head(w->mem, key, &meta) == -ENOENT) {
		free(e.key);
		return 0;
	}
	enter_journal(w, e);
	return store_remove(w->mem, key);
}

/* Locked. All slots before this one. */
static void remove_fences(struct world *w, const char *key)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	if (store_list_all(w->mem, "chain/", NULL, &l) < 0)
		abort();
	for (size_t n = 0; n < l.count && strcmp(l.entries[n].key, key) < 0; n++)
		(void)remove_one(w, l.entries[n].key);
}

static int world_remove(struct store *s, const char *key)
{
	struct world *w = (struct world *)s;
	int err;

	pthread_mutex_lock(&w->lock);
	if (sim_defect == SIM_FENCE_DELETED && begins(key, "chain/"))
		remove_fences(w, key);
	err = remove_one(w, key);
	pthread_mutex_unlock(&w->lock);
	return err;
}

/* As with a real store: one request, an effect for each key. */
static int world_remove_many(struct store *s, const char *const *keys, size_t count)
{
	int err = 0;

	for (size_t n = 0; n < count && err >= 0; n++)
		err = world_remove(s, keys[n]);
	return err;
}

static int world_copy(struct store *s, const char *from, const char *to)
{
	struct buf data CLEANUP(buf_release) = BUF_INIT;
	int err = store_get(s, from, 0, STORE_TO_END, &data, NULL);

	return err < 0 ? err
		       : store_put_bytes(s, to, data.data, data.len, STORE_ALWAYS, NULL, NULL);
}

/* A machine that gives up does not take the store down for others. */
static void world_cancel(struct store *s)
{
}

static void world_destroy(struct store *s)
{
	struct world *w = (struct world *)s;

	release(&w->journal);
	release(&w->held);
	store_unref(w->mem);
	store_mem_drop(w->url);
	pthread_mutex_destroy(&w->lock);
	free(w->url);
	store_fini(s);
	free(w);
}

static const struct store_ops world_ops = {
	.name = "world",
	.get = world_get,
	.put = world_put,
	.head = world_head,
	.list = world_list,
	.copy = world_copy,
	.remove = world_remove,
	.remove_many = world_remove_many,
	.cancel = world_cancel,
	.destroy = world_destroy,
};

struct world *world_new(const char *url)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_config config = { 0 };

	store_mem_drop(url);
	if (!w || store_init(&w->store, &world_ops, url) < 0 ||
	    store_open(url, &config, &w->mem) < 0 || !(w->url = strdup(url)))
		abort();
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

void world_free(struct world *w)
{
	store_unref(&w->store);
}

struct store *world_store(struct world *w)
{
	return &w->store;
}

size_t world_length(struct world *w)
{
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = w->journal.count;
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* ---- moments ---- */

static void play_one(const struct effect *e, struct store *to)
{
	int err = e->removal
			  ? store_remove(to, e->key)
			  : store_put_bytes(to, e->key, e->data, e->len, STORE_ALWAYS, NULL, NULL);

	if (err < 0)
		abort();
}

void world_play(struct world *w, size_t from, size_t upto, struct store *to)
{
	pthread_mutex_lock(&w->lock);
	for (size_t n = from; n < upto && n < w->journal.count; n++)
		play_one(&w->journal.at[n], to);
	pthread_mutex_unlock(&w->lock);
}

/* Overwriting is by if-match, with an etag of long ago: it would be refused. */
static bool is_overwritten(const char *key)
{
	return begins(key, "lease") || begins(key, "super");
}

void world_arrive(struct world *w, size_t effect, struct store *to)
{
	pthread_mutex_lock(&w->lock);
	if (effect < w->journal.count && !is_overwritten(w->journal.at[effect].key)) {
		const struct effect *e = &w->journal.at[effect];

		(void)(e->removal ? store_remove(to, e->key)
				  : store_put_bytes(to, e->key, e->data, e->len,
						    map_cond(e->key, STORE_CREATE), NULL, NULL));
	}
	pthread_mutex_unlock(&w->lock);
}

const char *world_describe(struct world *w, size_t effect, char *out, size_t size)
{
	pthread_mutex_lock(&w->lock);
	if (effect < w->journal.count)
		(void)snprintf(out, size, "%s %s (%zu bytes)",
			       w->journal.at[effect].removal ? "DELETE" : "PUT",
			       w->journal.at[effect].key, w->journal.at[effect].len);
	else
		(void)snprintf(out, size, "nothing");
	pthread_mutex_unlock(&w->lock);
	return out;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending a slot, judging a refusal, and the fence at the beginning of an epoch.
 */
#include "db/slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_PAUSE_MS 100
/* A create-only PUT refused although the slot is not there contradicts itself: ask again, but not
 * for ever. */
#define REFUSED_TRIES 10
#define REFUSED_PAUSE_MS 200
#define FENCE_TRIES 100000

/* ---- what the owner adds ---- */

static int grow(void **array, size_t count, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 8;
	void *p;

	if (count < *cap)
		return 0;
	p = realloc(*array, more * size);
	if (!p)
		return err_note(-ENOMEM, "no memory for a commit");
	*array = p;
	*cap = more;
	return 0;
}

int db_seal_wait(struct db_seal *s, int (*wait)(void *arg), void (*done)(void *arg), void *arg)
{
	int err = grow((void **)&s->waits, s->wait_count, &s->wait_cap, sizeof(*s->waits));

	if (!err)
		s->waits[s->wait_count++] = (struct seal_wait){ wait, done, arg };
	return err;
}

int db_seal_part(struct db_seal *s, uint64_t id, uint64_t offset, const void *data, size_t len,
		 void (*done)(void *arg, int result), void *arg)
{
	int err = grow((void **)&s->parts, s->part_count, &s->part_cap, sizeof(*s->parts));

	if (!err)
		s->parts[s->part_count++] = (struct part){ id, offset, data, len, done, arg };
	return err;
}

void db_slot_seal_done(struct db_seal *s, int result)
{
	for (size_t i = 0; i < s->part_count; i++)
		if (s->parts[i].done)
			s->parts[i].done(s->parts[i].arg, result);
	for (size_t i = 0; i < s->wait_count; i++)
		if (s->waits[i].done)
			s->waits[i].done(s->waits[i].arg);
	free(s->parts);
	free(s->waits);
	memset(s, 0, sizeof(*s));
}

/* ---- judging a refusal ---- */

static int say_fenced(struct chain *c, const char *key, uint64_t epoch)
{
	return err_note(-L3_FENCED, "%s is of epoch %llu, ours is %llu: another writer took over",
			key, (unsigned long long)epoch, (unsigned long long)c->epoch);
}

/* Our slot exists already. 0: it is ours after all; -EAGAIN: it is not there. */
static int judge(struct chain *c, struct store *store, const char *key,
		 const struct slot_head *ours)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct slot_head found;
	struct rd records;
	int err = store_get(store, key, 0, STORE_TO_END, &b, NULL);

	if (err == -ENOENT)
		return err_note(-EAGAIN, "%s was refused as existing, but does not exist", key);
	if (err)
		return err;
	err = db_slot_decode(b.data, b.len, &c->config->fs, ours->slot, key, &found, &records);
	if (err)
		return err;
	if (found.epoch > c->epoch)
		return say_fenced(c, key, found.epoch);
	if (found.epoch == ours->epoch && found.nonce == ours->nonce)
		return 0;
	return err_note(-L3_CORRUPT, "%s is of epoch %llu, where ours (%llu) should come next", key,
			(unsigned long long)found.epoch, (unsigned long long)c->epoch);
}

static int put_slot(struct chain *c, const struct slot_head *head, const struct out *o)
{
	struct store *store = c->config->forever;
	struct clock *clock = c->config->clock;
	char key[SLOT_KEY_LIMIT];
	struct store_put put = {
		.key = key, .iov = o->iov, .iovcnt = (int)o->count, .cond = STORE_CREATE
	};
	int err = 0;

	db_slot_key(head->slot, key);
	for (int i = 0; i < REFUSED_TRIES; i++) {
		err = store_put(store, &put, NULL);
		if (err != -L3_PRECONDITION)
			return err;
		err = judge(c, store, key, head);
		if (err != -EAGAIN)
			return err;
		clock->sleep_ms(clock, REFUSED_PAUSE_MS);
	}
	return err_wrap(-L3_SERVER, "the store contradicts itself");
}

/* ---- sending ---- */

/* What has been cut must get into a slot, so a lack of memory is waited out. */
static int encode(struct chain *c, const struct slot_head *head, const struct rec *recs,
		  const struct db_seal *seal, struct out *o)
{
	struct clock *clock = c->config->clock;
	int err;

	for (;;) {
		db_out_init(o);
		err = db_slot_encode(o, head, &c->config->fs, recs, seal->parts, seal->part_count);
		if (err != -ENOMEM)
			return err;
		db_out_release(o);
		err = db_chain_failed(c);
		if (err)
			return err;
		clock->sleep_ms(clock, MEMORY_PAUSE_MS);
	}
}

static void enter_history(struct chain *c, const struct slot_head *head, const struct rec *recs,
			  uint64_t bytes)
{
	pthread_mutex_lock(&c->lock);
	db_history_apply(&c->history, head, recs);
	c->commits++;
	c->slots_since++;
	c->bytes_since += bytes;
	for (; recs; recs = recs->next)
		if (recs->type == REC_REMOVE && db_name_is_log(recs->name))
			c->log_removed = true;
	pthread_mutex_unlock(&c->lock);
}

/* Tables whose removal is durable now: nothing but readers within their grace wants them. */
static void discard_tables(struct chain *c, const struct rec *recs, uint64_t cut)
{
	for (; recs; recs = recs->next) {
		if (recs->type != REC_REMOVE || !recs->file->table)
			continue;
		if (db_gc_add(c->gc, recs->file->table->key, recs->file->table->size, cut) < 0)
			log_debug("left to a later sweep: %s", recs->file->table->key);
	}
}

static int wait_for_all(const struct db_seal *seal)
{
	for (size_t i = 0; i < seal->wait_count; i++) {
		int err = seal->waits[i].wait(seal->waits[i].arg);

		if (err)
			return err_wrap(err, "what a commit has to wait for failed");
	}
	return 0;
}

int db_slot_send(struct chain *c, const struct rec *recs, const struct db_seal *seal, uint64_t cut)
{
	struct out o CLEANUP(db_out_release) = { 0 };
	struct slot_head head = { .slot = c->history.slot + 1,
				  .epoch = c->epoch,
				  .nonce = random_u64() };
	const struct db_hooks *hooks = &c->config->hooks;
	struct clock *clock = c->config->clock;
	int err = wait_for_all(seal);
	uint64_t begun_ns;

	if (err || (!recs && seal->part_count == 0))
		return err;
	err = encode(c, &head, recs, seal, &o);
	if (!err)
		err = lease_wait(c->config->lease);
	begun_ns = clock->mono_ns(clock);
	if (!err)
		err = put_slot(c, &head, &o);
	if (err)
		return err;
	if (hooks->sent)
		hooks->sent(hooks->ctx, clock->mono_ns(clock) - begun_ns);
	enter_history(c, &head, recs, o.bytes);
	discard_tables(c, recs, cut);
	if (c->on_durable)
		c->on_durable(c->ctx);
	/* The slot stands. But where only time guards, an answer is owed only within the lease. */
	return lease_wait(c->config->lease);
}

/* ---- the fence ---- */

/* Our epoch must be above all in the chain: a lease object that was lost began again too low. */
static int choose_epoch(struct chain *c)
{
	struct lease *lease = c->config->lease;
	int err = 0;

	if (lease_epoch(lease) <= c->history.epoch)
		err = lease_raise(lease, c->history.epoch + 1);
	c->epoch = lease_epoch(lease);
	return err;
}

static int put_fence(struct chain *c, const struct slot_head *head)
{
	struct out o CLEANUP(db_out_release) = { 0 };
	char key[SLOT_KEY_LIMIT];
	struct store_put put = { .key = key, .cond = STORE_CREATE };
	int err;

	db_out_init(&o);
	err = db_slot_encode(&o, head, &c->config->fs, NULL, NULL, 0);
	if (err)
		return err;
	put.iov = o.iov;
	put.iovcnt = (int)o.count;
	db_slot_key(head->slot, key);
	return store_put(c->config->store, &put, NULL);
}

/* The slot was taken. 0: by us (an answer was lost); -EAGAIN: by an old writer, and it is applied.
 */
static int lost_race(struct chain *c, const struct load_config *load, const struct slot_head *ours)
{
	struct slot_head found;
	char key[SLOT_KEY_LIMIT];
	int err = db_load_next_slot(load, &c->history, &found);

	if (err == -ENOENT) {
		c->config->clock->sleep_ms(c->config->clock, REFUSED_PAUSE_MS);
		return -EAGAIN;
	}
	if (err)
		return err;
	c->slots_since++;
	if (found.epoch < c->epoch)
		return -EAGAIN;
	if (found.epoch == ours->epoch && found.nonce == ours->nonce)
		return 0;
	db_slot_key(ours->slot, key);
	lease_mark_lost(c->config->lease);
	return say_fenced(c, key, found.epoch);
}

static int take_slot(struct chain *c, const struct load_config *load)
{
	struct slot_head head = { .epoch = c->epoch,
				  .nonce = random_u64(),
				  .flags = SLOT_FLAG_FENCE };
	int err = -EAGAIN;

	for (int i = 0; i < FENCE_TRIES && err == -EAGAIN; i++) {
		head.slot = c->history.slot + 1;
		err = put_fence(c, &head);
		if (err == -L3_PRECONDITION)
			err = lost_race(c, load, &head);
	}
	if (err)
		return err;
	if (c->history.slot != head.slot)
		db_history_apply(&c->history, &head, NULL);
	c->fence_slot = head.slot;
	return c->history.damaged ? err_note(-ENOMEM, "no memory for the chain's state") : 0;
}

/* Is the fence where the history ends, and is what was loaded the history? */
static int look_back(const struct load_config *load, uint64_t from)
{
	int err = db_load_confirm(load, from);

	if (err != -EAGAIN)
		return err;
	return err_note(-L3_FENCED, "another mount is still writing: %s", err_last_note());
}

int db_chain_fence(struct chain *c, const struct load_config *load, uint64_t from)
{
	struct clock *clock = c->config->clock;
	int err = choose_epoch(c);

	c->fence_mono_ns = clock->mono_ns(clock);
	if (!err)
		err = take_slot(c, load);
	if (!err)
		err = lease_confirm(c->config->lease);
	if (!err)
		err = look_back(load, from);
	return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lease that is held: writing it again before it runs out, noticing that it is lost, giving it
 * back.
 *
 *	           lease_put ok                       another holder seen, lease_mark_lost
 *	 valid ◄──────────────────── overdue ──┐   ┌────────────────► lost (for good)
 *	   └──── valid_until passes ────►      │   │
 *	   └───────────────────────────────────┴───┘
 *
 * 1. valid_until counts from before the write was sent, and ends a margin before the duration: an
 *    observer counts the full duration from when it has seen the write.
 * 2. lost never becomes false again, and a write that succeeds after it makes nothing valid.
 * 3. An error is never final: only another holder's object in the place of ours is.
 * 4. One thread at a time (busy) asks the store; the lock is not held meanwhile.
 */
#include "lease/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NS_PER_MS 1000000
#define WRITE_TRIES 4
#define RETRY_MAX_MS 1000

static uint64_t now_ns(struct lease *l)
{
	return l->config.clock->mono_ns(l->config.clock);
}

static uint64_t retry_ms(const struct lease *l)
{
	return min_u64(RETRY_MAX_MS, max_u64(1, l->config.renew_ms / 10));
}

/* Differing clock speeds, and whatever time passes between asking lease_valid and acting on it. */
static uint64_t safe_ns(const struct lease *l)
{
	uint64_t ms = l->config.duration_ms;

	return (ms - ms / 10) * NS_PER_MS;
}

/*
 * Nonces are a keyed hash of the write's number: all of them differ, and we know our own again
 * however many answers were lost, without keeping a list.
 */
static uint64_t lease_nonce(const struct lease *l, uint64_t write)
{
	uint8_t bytes[8];

	put_u64(bytes, write);
	return XXH3_64bits_withSeed(bytes, sizeof(bytes), l->secret);
}

bool lease_is_ours(struct lease *l, const struct lease_holder *h)
{
	uint64_t writes;

	pthread_mutex_lock(&l->lock);
	writes = l->writes;
	pthread_mutex_unlock(&l->lock);
	return h->renewals > 0 && h->renewals <= writes && h->nonce == lease_nonce(l, h->renewals);
}

/* ---- one thread at a time ---- */

static int begin(struct lease *l)
{
	int err = 0;

	pthread_mutex_lock(&l->lock);
	while (l->busy)
		pthread_cond_wait(&l->changed, &l->lock);
	if (l->lost)
		err = err_note(-L3_FENCED, "the lease is lost to another mount");
	else if (l->released)
		err = err_note(-L3_CLOSED, "the lease has been released");
	else
		l->busy = true;
	pthread_mutex_unlock(&l->lock);
	return err;
}

static void end(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	l->busy = false;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

/* With a renewal thread it is that thread that tells. */
static void tell_lost(struct lease *l)
{
	bool due;

	pthread_mutex_lock(&l->lock);
	due = l->lost && !l->lost_told &&
	      (!l->threaded || pthread_equal(pthread_self(), l->thread));
	if (due)
		l->lost_told = true;
	pthread_mutex_unlock(&l->lock);
	if (due && l->config.on_lost)
		l->config.on_lost(l->config.ctx);
}

static void set_lost(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	l->lost = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

/* ---- writing ---- */

static void fill_record(struct lease *l, bool released, struct lease_holder *h)
{
	*h = (struct lease_holder){ .released = released,
				    .duration_ms = l->config.duration_ms,
				    .since_real_ns = l->since_real_ns };
	/* Each time: a fork in between would make the old pid a dead one. */
	lease_identify(h);
	if (l->mountpoint)
		memcpy(h->mountpoint, l->mountpoint,
		       min_u64(strlen(l->mountpoint), sizeof(h->mountpoint) - 1));
	pthread_mutex_lock(&l->lock);
	h->epoch = l->epoch;
	h->renewals = ++l->writes;
	pthread_mutex_unlock(&l->lock);
	h->nonce = lease_nonce(l, h->renewals);
}

static enum store_cond condition(const struct lease *l)
{
	if (l->config.time_only)
		return STORE_ALWAYS;
	return l->etag[0] ? STORE_MATCH : STORE_CREATE;
}

int lease_put(struct lease *l, bool released)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h;
	struct store_meta meta;
	uint64_t sent_ns;
	int err;

	fill_record(l, released, &h);
	err = lease_encode(&h, &l->config.fs, &bytes);
	if (err < 0)
		return err;
	sent_ns = now_ns(l);
	err = store_put_bytes(l->config.store, LEASE_KEY, bytes.data, bytes.len, condition(l),
			      l->etag, &meta);
	if (err < 0)
		return err;
	memcpy(l->etag, meta.etag, sizeof(l->etag));
	pthread_mutex_lock(&l->lock);
	l->valid_until_ns = sent_ns + safe_ns(l);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

void lease_settle(struct lease *l)
{
	l->config.clock->sleep_ms(l->config.clock, l->config.renew_ms / 2);
}

/* Whose is the object now? 0 with its etag if it is ours or gone; -L3_FENCED, and lost, if not. */
static int look_again(struct lease *l)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h;
	int err = lease_fetch(l->config.store, &l->config.fs, &h, l->etag);

	if (err == -ENOENT) {
		l->etag[0] = '\0';
		return 0;
	}
	/* What a newer levels3fs wrote is not ours. Damage may well be in our own. */
	if (err == -L3_VERSION) {
		set_lost(l);
		return err_wrap(-L3_FENCED, "the lease was taken over");
	}
	if (err < 0 || lease_is_ours(l, &h))
		return err;
	set_lost(l);
	lease_describe(&h, &who);
	return err_note(-L3_FENCED, "the lease was taken over (epoch %llu) by %s",
			(unsigned long long)h.epoch, buf_cstr(&who));
}

/*
 * By if-match. The answer to an earlier write may have been lost, then the etag we know is old
 * though the object is ours; and an object deleted by somebody is made again, unless another holder
 * was faster.
 */
static int write_checked(struct lease *l, bool released)
{
	int err = -L3_PRECONDITION;

	for (int i = 0; i < WRITE_TRIES; i++) {
		err = lease_put(l, released);
		if (err != -L3_PRECONDITION && err != -ENOENT)
			return err;
		err = look_again(l);
		if (err < 0)
			return err;
	}
	return err_note(-L3_SERVER,
			"object " LEASE_KEY
			": the store refused to replace it although its etag was the right one");
}

static bool is_valid(struct lease *l)
{
	bool valid;

	pthread_mutex_lock(&l->lock);
	valid = !l->lost && !l->released && now_ns(l) < l->valid_until_ns;
	pthread_mutex_unlock(&l->lock);
	return valid;
}

/* Without conditions: look, write, and if that came after our time, look once more after a while.
 */
static int write_by_time(struct lease *l, bool released)
{
	uint64_t until, before;
	int err = look_again(l);

	if (err < 0)
		return err;
	pthread_mutex_lock(&l->lock);
	before = l->valid_until_ns;
	pthread_mutex_unlock(&l->lock);
	err = lease_put(l, released);
	if (err < 0 || now_ns(l) < before)
		return err;
	pthread_mutex_lock(&l->lock);
	until = l->valid_until_ns;
	l->valid_until_ns = 0;
	pthread_mutex_unlock(&l->lock);
	lease_settle(l);
	err = look_again(l);
	if (err < 0)
		return err;
	pthread_mutex_lock(&l->lock);
	l->valid_until_ns = until;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static int write_now(struct lease *l, bool released)
{
	return l->config.time_only ? write_by_time(l, released) : write_checked(l, released);
}

/* ---- holding ---- */

int lease_new(const struct lease_config *config, struct lease **ret)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->config = *config;
	if (!l->config.clock)
		l->config.clock = &clock_system;
	l->mountpoint = strdup(config->mountpoint ? config->mountpoint : "");
	if (!l->mountpoint) {
		free(l);
		return -ENOMEM;
	}
	l->config.store = store_ref(config->store);
	l->secret = random_u64();
	pthread_mutex_init(&l->lock, NULL);
	cond_init(&l->changed);
	*ret = l;
	return 0;
}

uint64_t lease_epoch(const struct lease *l)
{
	struct lease *mutable = (struct lease *)l; /* for the lock only */
	uint64_t epoch;

	pthread_mutex_lock(&mutable->lock);
	epoch = l->epoch;
	pthread_mutex_unlock(&mutable->lock);
	return epoch;
}

int lease_raise(struct lease *l, uint64_t epoch)
{
	uint64_t before;
	int err = epoch > LEASE_EPOCH_MAX ? err_note(-EOVERFLOW, "all epochs have been used up")
					  : begin(l);

	if (err < 0)
		return err;
	pthread_mutex_lock(&l->lock);
	before = l->epoch;
	if (epoch > before)
		l->epoch = epoch;
	pthread_mutex_unlock(&l->lock);
	if (epoch < before)
		err = err_note(-EINVAL, "epochs only grow: %llu after %llu",
			       (unsigned long long)epoch, (unsigned long long)before);
	else if (epoch > before)
		err = write_now(l, false);
	end(l);
	tell_lost(l);
	return err;
}

/* A deleted object says nothing about who should write: it is made again. */
int lease_confirm(struct lease *l)
{
	int err = begin(l);

	if (err < 0)
		return err;
	err = look_again(l);
	if (err >= 0 && !l->etag[0])
		err = write_now(l, false);
	end(l);
	tell_lost(l);
	return err;
}

int lease_explain(struct lease *l, int err)
{
	struct buf note CLEANUP(buf_release) = BUF_INIT;

	if (!l || err != -L3_CORRUPT)
		return err;
	buf_add_str(&note, err_last_note());
	if (lease_confirm(l) == -L3_FENCED)
		return -L3_FENCED;
	return err_note(err, "%s", buf_cstr(&note));
}

/* Bad news once the time has run out, good news after it; both once. */
static void report(struct lease *l, int err)
{
	bool bad = err < 0 && err != -L3_FENCED && !is_valid(l);
	bool changed;

	if (err < 0 && !bad)
		return;
	pthread_mutex_lock(&l->lock);
	changed = l->overdue_noticed != bad;
	l->overdue_noticed = bad;
	pthread_mutex_unlock(&l->lock);
	if (!changed)
		return;
	if (bad)
		notify(&l->config.notifier, LOG_L_WARN,
		       "the lease could not be renewed in time, writes wait until it is: %s",
		       err_last_note());
	else
		notify(&l->config.notifier, LOG_L_INFO, "the lease is renewed again");
}

int lease_renew(struct lease *l)
{
	int err = begin(l);

	if (err == -L3_FENCED)
		tell_lost(l);
	if (err < 0)
		return err;
	err = write_now(l, false);
	end(l);
	report(l, err);
	tell_lost(l);
	return err;
}

bool lease_valid(struct lease *l)
{
	return is_valid(l);
}

bool lease_lost(struct lease *l)
{
	bool lost;

	pthread_mutex_lock(&l->lock);
	lost = l->lost;
	pthread_mutex_unlock(&l->lock);
	return lost;
}

void lease_mark_lost(struct lease *l)
{
	set_lost(l);
	tell_lost(l);
}

/* ---- the renewal thread ---- */

static bool ended(const struct lease *l)
{
	return l->stopping || l->lost;
}

/* Sleeps until it is time. Who waits for the lease may hurry a renewal, but not a retry. */
static void wait_turn(struct lease *l, uint64_t ms, bool may_hurry)
{
	uint64_t due = now_ns(l) + ms * NS_PER_MS;

	while (!ended(l) && !(may_hurry && l->hurry)) {
		uint64_t now = now_ns(l);

		if (now >= due)
			break;
		(void)cond_wait_ms(&l->changed, &l->lock, (due - now + NS_PER_MS - 1) / NS_PER_MS);
	}
	l->hurry = false;
}

static void *renew_thread(void *arg)
{
	struct lease *l = arg;
	int err = 0;

	(void)pthread_setname_np(pthread_self(), "lease");
	pthread_mutex_lock(&l->lock);
	for (;;) {
		wait_turn(l, err < 0 ? retry_ms(l) : l->config.renew_ms, err >= 0);
		if (ended(l))
			break;
		pthread_mutex_unlock(&l->lock);
		err = lease_renew(l);
		if (err < 0)
			log_debug("lease: %s", err_last_note());
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	tell_lost(l);
	return NULL;
}

int lease_start(struct lease *l)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's business */
	pthread_mutex_lock(&l->lock);		     /* l->thread is set before the thread looks */
	err = pthread_create(&l->thread, NULL, renew_thread, l);
	l->threaded = err == 0;
	pthread_mutex_unlock(&l->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err == 0 ? 0 : err_note(-err, "cannot start the lease's renewal thread");
}

static void stop_thread(struct lease *l)
{
	bool join;

	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	join = l->threaded;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	if (!join)
		return;
	pthread_join(l->thread, NULL);
	pthread_mutex_lock(&l->lock);
	l->threaded = false;
	pthread_mutex_unlock(&l->lock);
}

/* ---- waiting ---- */

static int wait_result(struct lease *l)
{
	if (l->lost)
		return err_note(-L3_FENCED, "the lease is lost to another mount");
	if (l->cancelled)
		return err_note(-ECANCELED, "gave up waiting for the lease");
	if (l->released || l->stopping)
		return err_note(-L3_CLOSED, "the lease is being given back");
	return now_ns(l) < l->valid_until_ns ? 0 : 1;
}

/* Before lease_start, who waits renews. */
static void renew_here(struct lease *l)
{
	int err = lease_renew(l);

	if (err < 0 && err != -L3_FENCED)
		l->config.clock->sleep_ms(l->config.clock, retry_ms(l));
}

int lease_wait(struct lease *l)
{
	int err;

	pthread_mutex_lock(&l->lock);
	while ((err = wait_result(l)) > 0) {
		if (l->threaded) {
			l->hurry = true;
			pthread_cond_broadcast(&l->changed);
			pthread_cond_wait(&l->changed, &l->lock);
			continue;
		}
		pthread_mutex_unlock(&l->lock);
		renew_here(l);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

void lease_cancel(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	l->cancelled = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

/* ---- the end ---- */

int lease_release(struct lease *l)
{
	int err;

	stop_thread(l);
	err = begin(l);
	if (err < 0)
		return err;
	/* Not valid from here on, whatever becomes of the request. */
	pthread_mutex_lock(&l->lock);
	l->released = true;
	pthread_mutex_unlock(&l->lock);
	err = write_now(l, true);
	end(l);
	tell_lost(l);
	return err;
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	stop_thread(l);
	store_unref(l->config.store);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->changed);
	free(l->mountpoint);
	free(l);
}

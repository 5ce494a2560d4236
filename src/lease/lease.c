/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holding the lease.
 *
 * State, under `lock`; the thread that writes the object (one at a time, `writing`) drops it meanwhile:
 *
 *	HELD  --renewal succeeded--> HELD (deadline moves)
 *	HELD  --deadline passes----> HELD but not valid: lease_valid() false, renewal goes on trying
 *	HELD  --other epoch seen---> LOST (for good; on_lost once)
 *
 * The deadline counts from *before* the request that succeeded was sent, and ends a tenth early, so
 * that by our clock we stop before anybody who watches the object may start.
 */
#include "lease/record.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 1000	   /* while waiting for somebody else's lease */
#define RETRY_RENEW_MS 500 /* after a renewal that failed */

struct lease {
	struct lease_config config;
	struct lease_holder self;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char etag[STORE_ETAG_MAX];
	uint64_t deadline_ms; /* by config.clock */
	bool lost, told, cancelled, stopping, running;
	bool writing;
	pthread_t thread;
};

static uint64_t now_ms(const struct lease *l)
{
	return clock_mono_ms(l->config.clock);
}

/* Writes self with the given condition. Not locked; the caller holds `writing`. */
static int write_record(struct lease *l, enum store_cond cond, const char *etag, uint64_t *ret_sent_ms,
			struct store_meta *ret_meta)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	l->self.nonce = random_u64();
	lease_record_encode(&b, &l->config.fs, &l->self);
	if (buf_error(&b) < 0)
		return -ENOMEM;
	*ret_sent_ms = now_ms(l);
	if (l->config.time_only)
		cond = STORE_ALWAYS;
	return store_put_bytes(l->config.store, LEASE_KEY, b.data, b.len, cond, etag, ret_meta);
}

static void note_success(struct lease *l, uint64_t sent_ms, const struct store_meta *meta)
{
	memcpy(l->etag, meta->etag, sizeof(l->etag));
	l->deadline_ms = sent_ms + l->config.duration_ms - l->config.duration_ms / 10;
	pthread_cond_broadcast(&l->changed);
}

static void begin_write(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	while (l->writing)
		pthread_cond_wait(&l->changed, &l->lock);
	l->writing = true;
	pthread_mutex_unlock(&l->lock);
}

/* Leaves the lock held. */
static void end_write(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	l->writing = false;
	pthread_cond_broadcast(&l->changed);
}

/* ---- taking ------------------------------------------------------------------------------------------ */

/* What is known of a foreign holder while waiting for it. */
struct watch {
	bool present;
	struct lease_holder holder;
	struct store_meta meta;
	char etag[STORE_ETAG_MAX];
	uint64_t unchanged_since_ms;
};

static int look(struct lease *l, struct watch *w)
{
	int err = lease_fetch(l->config.store, &l->config.fs, &w->holder, &w->meta);

	if (err == -ENOENT) {
		w->present = false;
		return 0;
	}
	if (err < 0)
		return err;
	if (!w->present || strcmp(w->etag, w->meta.etag) != 0) {
		memcpy(w->etag, w->meta.etag, sizeof(w->etag));
		w->unchanged_since_ms = now_ms(l);
	}
	w->present = true;
	return 0;
}

static bool is_free(struct lease *l, const struct watch *w)
{
	uint64_t unchanged = now_ms(l) - w->unchanged_since_ms;

	return !w->present || w->holder.released || lease_holder_is_dead(&w->holder) ||
	       (unchanged > 0 && unchanged >= w->holder.duration_ms);
}

static int refuse(const struct lease *l, const struct lease_holder *h, uint64_t waited_ms)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;

	lease_describe(h, &who);
	if (l->config.wait_ms == 0)
		return err_note(-L3_LEASE_HELD,
				"in use by %s. If that machine is dead, wait for its lease to run out: "
				"-o lease_wait=%llu",
				buf_cstr(&who), (unsigned long long)(h->duration_ms / 1000 + 5));
	return err_note(-L3_LEASE_HELD, "in use by %s; it is alive: its lease was renewed while waiting %llu s",
			buf_cstr(&who), (unsigned long long)waited_ms / 1000);
}

/* Until the object is free to take. */
static int wait_for_turn(struct lease *l, struct watch *w, struct lease_holder *ret_holder)
{
	uint64_t start = now_ms(l);

	for (;;) {
		uint64_t waited;
		int err = look(l, w);

		if (err < 0)
			return err;
		if (is_free(l, w))
			return 0;
		if (ret_holder)
			*ret_holder = w->holder;
		waited = now_ms(l) - start;
		if (waited >= l->config.wait_ms)
			return refuse(l, &w->holder, waited);
		if (l->config.on_wait && l->config.on_wait(l->config.ctx, &w->holder, waited) != 0)
			return err_note(-EINTR, "stopped waiting for the lease");
		l->config.clock->sleep_ms(l->config.clock, min_u64(POLL_MS, l->config.wait_ms - waited));
	}
}

/* Without conditions two may have written: the last one's record stays, so look after a while. */
static int confirm_by_time(struct lease *l)
{
	struct lease_holder seen;
	struct store_meta meta;
	int err;

	l->config.clock->sleep_ms(l->config.clock, l->config.renew_ms);
	err = lease_fetch(l->config.store, &l->config.fs, &seen, &meta);
	if (err >= 0 && seen.nonce != l->self.nonce)
		return refuse(l, &seen, 0);
	return err;
}

static int try_take(struct lease *l, const struct watch *w)
{
	struct store_meta meta;
	uint64_t sent;
	int err;

	l->self.epoch = w->present ? w->holder.epoch + 1 : 1;
	l->self.since_real_ns = l->config.clock->real_ns(l->config.clock);
	if (!w->present && !l->config.create)
		notify(&l->config.notifier, LOG_L_WARN,
		       "the lease object is missing (deleted?); the commit chain still guards the epoch");
	err = write_record(l, w->present ? STORE_MATCH : STORE_CREATE, w->etag, &sent, &meta);
	if (err < 0)
		return err;
	note_success(l, sent, &meta);
	return l->config.time_only ? confirm_by_time(l) : 0;
}

static int check_config(const struct lease_config *c)
{
	if (c->duration_ms == 0 || c->renew_ms == 0 || c->renew_ms * 2 >= c->duration_ms)
		return err_note(-L3_BAD_OPTION,
				"renew=%gs must be less than half of lease=%gs, so that one late renewal "
				"does not lose the lease",
				(double)c->renew_ms / 1000, (double)c->duration_ms / 1000);
	return 0;
}

static int lease_new(const struct lease_config *config, struct lease **ret)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->config = *config;
	l->config.store = store_ref(config->store);
	if (!l->config.clock)
		l->config.clock = &clock_system;
	pthread_mutex_init(&l->lock, NULL);
	cond_init(&l->changed);
	l->self.duration_ms = config->duration_ms;
	lease_describe_self(&l->self, config->mountpoint);
	l->config.mountpoint = NULL; /* the caller's string; self has a copy */
	*ret = l;
	return 0;
}

int lease_acquire(const struct lease_config *config, struct lease **ret, struct lease_holder *ret_holder)
{
	struct watch w = { 0 };
	struct lease *l;
	int err = check_config(config);

	if (err >= 0)
		err = lease_new(config, &l);
	if (err < 0)
		return err;
	do {
		err = wait_for_turn(l, &w, ret_holder);
		if (err >= 0 && w.present && config->create)
			err = err_note(-EEXIST, "a lease object is there already");
		if (err >= 0)
			err = try_take(l, &w);
		/* Lost a race: look again; the winner is alive now. */
	} while (err == -L3_PRECONDITION);
	if (err < 0) {
		lease_free(l);
		return err;
	}
	*ret = l;
	return 0;
}

uint64_t lease_epoch(const struct lease *l)
{
	return l->self.epoch;
}

/* ---- losing ------------------------------------------------------------------------------------------ */

void lease_mark_lost(struct lease *l)
{
	bool tell;

	pthread_mutex_lock(&l->lock);
	l->lost = true;
	tell = !l->told;
	l->told = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	if (tell && l->config.on_lost)
		l->config.on_lost(l->config.ctx);
}

static int is_lost(struct lease *l, const struct lease_holder *by)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;

	lease_describe(by, &who);
	lease_mark_lost(l);
	return err_note(-L3_FENCED, "taken over by %s (epoch %llu, ours was %llu)", buf_cstr(&who),
			(unsigned long long)by->epoch, (unsigned long long)l->self.epoch);
}

/* Same process, same epoch: written by us, whichever of our writes it was. */
static bool is_ours(const struct lease *l, const struct lease_holder *h)
{
	return h->epoch == l->self.epoch && !h->released && h->pid == l->self.pid &&
	       h->pid_start == l->self.pid_start && h->since_real_ns == l->self.since_real_ns &&
	       strcmp(h->boot_id, l->self.boot_id) == 0;
}

int lease_confirm(struct lease *l)
{
	struct lease_holder seen;
	struct store_meta meta;
	int err = lease_fetch(l->config.store, &l->config.fs, &seen, &meta);

	if (err < 0)
		return err;
	if (!is_ours(l, &seen))
		return is_lost(l, &seen);
	return 0;
}

/* ---- renewing ------------------------------------------------------------------------------------------ */

/* The object is not as we left it: still ours by another of our writes, gone, or somebody else's. */
static int renew_after_surprise(struct lease *l, uint64_t *sent, struct store_meta *meta)
{
	struct lease_holder seen;
	int err = lease_fetch(l->config.store, &l->config.fs, &seen, meta);

	if (err == -ENOENT)
		return write_record(l, STORE_CREATE, NULL, sent, meta);
	if (err < 0)
		return err;
	if (!is_ours(l, &seen))
		return is_lost(l, &seen);
	return write_record(l, STORE_MATCH, meta->etag, sent, meta);
}

int lease_renew(struct lease *l)
{
	struct store_meta meta;
	uint64_t sent = 0;
	char etag[STORE_ETAG_MAX];
	int err;

	if (lease_lost(l))
		return -L3_FENCED;
	begin_write(l);
	memcpy(etag, l->etag, sizeof(etag));
	l->self.renewals++;
	err = write_record(l, STORE_MATCH, etag, &sent, &meta);
	if (err == -L3_PRECONDITION || err == -ENOENT)
		err = renew_after_surprise(l, &sent, &meta);
	end_write(l);
	if (err >= 0)
		note_success(l, sent, &meta);
	pthread_mutex_unlock(&l->lock);
	return err;
}

static void *renewal_thread(void *arg)
{
	struct lease *l = arg;
	uint64_t pause = l->config.renew_ms;

	pthread_mutex_lock(&l->lock);
	while (!l->stopping && !l->lost) {
		int err;

		if (cond_wait_ms(&l->changed, &l->lock, pause) && (l->stopping || l->lost))
			break;
		pthread_mutex_unlock(&l->lock);
		err = lease_renew(l);
		pthread_mutex_lock(&l->lock);
		pause = err < 0 ? min_u64(RETRY_RENEW_MS, l->config.renew_ms) : l->config.renew_ms;
		if (err < 0 && !l->lost)
			log_debug("lease renewal failed: %s", err_last_note());
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int lease_start(struct lease *l)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&l->thread, NULL, renewal_thread, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	l->running = err == 0;
	return -err;
}

static void stop_thread(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	if (l->running)
		pthread_join(l->thread, NULL);
	l->running = false;
}

int lease_raise(struct lease *l, uint64_t epoch)
{
	struct store_meta meta;
	char etag[STORE_ETAG_MAX];
	uint64_t sent;
	int err;

	if (epoch <= l->self.epoch)
		return 0;
	begin_write(l);
	l->self.epoch = epoch;
	memcpy(etag, l->etag, sizeof(etag));
	err = write_record(l, STORE_MATCH, etag, &sent, &meta);
	end_write(l);
	if (err >= 0)
		note_success(l, sent, &meta);
	pthread_mutex_unlock(&l->lock);
	if (err != -L3_PRECONDITION)
		return err;
	lease_mark_lost(l);
	return err_note(-L3_FENCED, "somebody else took the lease at the same time");
}

/* ---- asking ------------------------------------------------------------------------------------------ */

bool lease_valid(struct lease *l)
{
	bool valid;

	pthread_mutex_lock(&l->lock);
	valid = !l->lost && now_ms(l) < l->deadline_ms;
	pthread_mutex_unlock(&l->lock);
	return valid;
}

bool lease_lost(struct lease *l)
{
	bool lost;

	pthread_mutex_lock(&l->lock);
	lost = l->lost;
	pthread_mutex_unlock(&l->lock);
	return lost;
}

int lease_wait(struct lease *l)
{
	int err = 0;

	pthread_mutex_lock(&l->lock);
	while (!l->lost && !l->cancelled && now_ms(l) >= l->deadline_ms)
		pthread_cond_wait(&l->changed, &l->lock);
	if (l->lost)
		err = err_note(-L3_FENCED, "the lease was taken over");
	else if (l->cancelled)
		err = err_note(-ECANCELED, "cancelled while waiting for the lease to be renewed");
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

/* ---- leaving ------------------------------------------------------------------------------------------ */

int lease_release(struct lease *l)
{
	struct store_meta meta;
	uint64_t sent;
	int err;

	stop_thread(l);
	if (lease_lost(l))
		return -L3_FENCED;
	if (l->self.released)
		return 0;
	l->self.released = true;
	err = write_record(l, STORE_MATCH, l->etag, &sent, &meta);
	if (err == -L3_PRECONDITION)
		return err_note(-L3_FENCED, "the lease was taken over before it could be released");
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
	free(l);
}

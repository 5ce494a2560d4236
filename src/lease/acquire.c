/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking the lease.
 *
 *	look ── absent, released, holder dead, unchanged for its duration ──► take ── ok ──► held
 *	 ▲ └─── otherwise: wait (up to wait_ms), look again                   │
 *	 └──────────────── somebody was faster, answer lost ──────────────────┘
 *
 * "Unchanged for its duration" is measured here, from when the object was first seen as it is. The
 * take is by if-match with the etag seen, so a holder that renewed in the last moment, or while this
 * machine slept, is not robbed.
 */
#include "lease/internal.h"

#include <errno.h>
#include <string.h>

#define NS_PER_MS 1000000
#define POLL_MS 1000
#define TAKE_TRIES 10 /* lost races, lost answers */

/* The object as last seen, and since when it has been like that. */
struct watch {
	bool exists;
	struct lease_holder holder;
	char etag[STORE_ETAG_MAX];
	uint64_t since_ns;
};

static uint64_t now_ns(struct lease *l)
{
	return l->config.clock->mono_ns(l->config.clock);
}

static int corrupt_note(int err)
{
	if (err != -L3_CORRUPT)
		return err;
	return err_wrap(
		err,
		"the lease cannot be read, so nobody knows whether another mount is active; if "
		"none is, delete the object \"" LEASE_KEY "\" and try again");
}

static int look(struct lease *l, struct watch *w)
{
	struct lease_holder h;
	char etag[STORE_ETAG_MAX];
	int err = lease_fetch(l->config.store, &l->config.fs, &h, etag);
	uint64_t now = now_ns(l); /* after the answer: the object cannot be older than that here */

	if (err == -ENOENT) {
		*w = (struct watch){ .exists = false, .since_ns = now };
		return 0;
	}
	if (err < 0)
		return corrupt_note(err);
	if (!w->exists || strcmp(w->etag, etag) != 0 || w->holder.nonce != h.nonce)
		w->since_ns = now;
	w->exists = true;
	w->holder = h;
	memcpy(w->etag, etag, sizeof(w->etag));
	return 0;
}

static bool has_run_out(struct lease *l, const struct watch *w)
{
	return (now_ns(l) - w->since_ns) / NS_PER_MS >= w->holder.duration_ms;
}

static bool may_take(struct lease *l, const struct watch *w)
{
	return l->config.force || !w->exists || w->holder.released ||
	       lease_holder_is_dead(&w->holder) || has_run_out(l, w);
}

static int refuse(struct lease *l, const struct watch *w, struct lease_holder *ret_holder)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;
	uint64_t wait_s = w->holder.duration_ms / 1000 + 5;

	if (ret_holder)
		*ret_holder = w->holder;
	lease_describe(&w->holder, &who);
	if (l->config.wait_ms > w->holder.duration_ms)
		return err_note(-L3_LEASE_HELD,
				"held by %s; it is alive, it renewed its lease meanwhile",
				buf_cstr(&who));
	return err_note(-L3_LEASE_HELD,
			"held by %s. If that host is dead, wait until its lease runs out: -o "
			"lease_wait=%llu (or see \"levels3fs help lease\")",
			buf_cstr(&who), (unsigned long long)wait_s);
}

/* Until the next look. */
static int wait_a_little(struct lease *l, const struct watch *w, uint64_t waited_ms)
{
	uint64_t watched_ms = (now_ns(l) - w->since_ns) / NS_PER_MS;
	uint64_t ms = min_u64(POLL_MS, l->config.wait_ms - waited_ms);

	if (l->config.on_wait && l->config.on_wait(l->config.ctx, &w->holder, waited_ms) != 0)
		return err_note(-EINTR, "interrupted while waiting for the lease");
	if (watched_ms < w->holder.duration_ms)
		ms = min_u64(ms, w->holder.duration_ms - watched_ms);
	l->config.clock->sleep_ms(l->config.clock, max_u64(ms, 1));
	return 0;
}

/* Looks until the lease can be taken. */
static int wait_free(struct lease *l, struct watch *w, struct lease_holder *ret_holder)
{
	uint64_t start = now_ns(l);

	for (;;) {
		uint64_t waited_ms;
		int err = look(l, w);

		if (err < 0 || (w->exists && lease_is_ours(l, &w->holder)) || may_take(l, w))
			return err;
		waited_ms = (now_ns(l) - start) / NS_PER_MS;
		if (waited_ms >= l->config.wait_ms)
			return refuse(l, w, ret_holder);
		err = wait_a_little(l, w, waited_ms);
		if (err < 0)
			return err;
	}
}

static void tell_taking(struct lease *l, const struct watch *w)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;

	if (!w->exists && !l->config.create)
		notify(&l->config.notifier, LOG_L_WARN,
		       "the object \"" LEASE_KEY
		       "\" is missing and made anew; the chain still knows the epochs");
	if (!w->exists || w->holder.released)
		return;
	lease_describe(&w->holder, &who);
	notify(&l->config.notifier, LOG_L_INFO, "taking over the lease of %s", buf_cstr(&who));
}

/* One write. Of an object that is ours already (its answer was lost) the epoch stays. */
static int take(struct lease *l, const struct watch *w, bool ours)
{
	memcpy(l->etag, w->etag, sizeof(l->etag));
	l->epoch = w->exists ? w->holder.epoch + !ours : 1;
	if (l->epoch > LEASE_EPOCH_MAX)
		return err_note(-EOVERFLOW, "all epochs have been used up");
	if (!ours)
		l->since_real_ns = l->config.clock->real_ns(l->config.clock);
	return lease_put(l, false);
}

/* After anything but a plain success, the object itself says who has it. */
static bool may_look_again(int err)
{
	return err == -L3_PRECONDITION || err == -ENOENT || err_is_transient(err);
}

/*
 * Held is what was written with success (only then it is known since when) and, where the store
 * gives no guarantee, is still there a while later.
 */
static int acquire(struct lease *l, struct lease_holder *ret_holder)
{
	struct watch w = { .exists = false };
	bool written = false;
	int err = 0;

	for (int i = 0; i < TAKE_TRIES; i++) {
		bool ours;
		int looked = wait_free(l, &w, ret_holder);

		if (looked < 0)
			return looked;
		ours = w.exists && lease_is_ours(l, &w.holder);
		if (ours && written)
			return 0;
		if (i == 0)
			tell_taking(l, &w);
		err = take(l, &w, ours);
		if (err < 0 && !may_look_again(err))
			return err;
		written = err >= 0;
		if (written && !l->config.time_only)
			return 0;
		if (written)
			lease_settle(l);
	}
	return err < 0 ? err_wrap(err, "the lease could not be taken")
		       : err_note(-L3_LEASE_HELD, "others keep writing the lease at the same time");
}

static int check_config(const struct lease_config *config)
{
	if (config->renew_ms == 0 || config->renew_ms >= config->duration_ms / 2)
		return err_note(-L3_BAD_OPTION,
				"a lease of %llu ms cannot be renewed every %llu ms: the renewal "
				"must come in less "
				"than half of its time",
				(unsigned long long)config->duration_ms,
				(unsigned long long)config->renew_ms);
	return 0;
}

int lease_acquire(const struct lease_config *config, struct lease **ret,
		  struct lease_holder *ret_holder)
{
	struct lease *l;
	int err = check_config(config);

	if (err < 0)
		return err;
	err = lease_new(config, &l);
	if (err < 0)
		return err;
	err = acquire(l, ret_holder);
	if (err < 0) {
		lease_free(l);
		return err;
	}
	*ret = l;
	return 0;
}

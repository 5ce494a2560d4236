/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wrapper that tries again: exponential backoff with full jitter (random in [0, base * 2^n],
 * capped), and the answer to the ambiguous PUT.
 *
 * A conditional PUT whose answer was lost may have taken effect, and its retry meets
 * -L3_PRECONDITION. So after a *retried* PUT is refused, the object is read back: exactly our bytes
 * mean that we had succeeded (what is written conditionally has a nonce or an epoch in it).
 */
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOTIFY_AFTER_MS 5000
#define NOTIFY_EVERY_MS 60000

struct retry {
	struct store store;
	struct store *next;
	struct store_retry_config config;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool cancelled; /* under lock */
};

_Thread_local unsigned store_attempt = 1;

struct attempt { /* one call's tries */
	struct retry *r;
	const char *what, *key;
	unsigned tries; /* made so far */
	uint64_t first_failed_ms, told_ms;
	bool told;
};

static struct attempt begin(struct store *s, const char *what, const char *key)
{
	return (struct attempt){ .r = (struct retry *)s, .what = what, .key = key };
}

static bool is_definite(int err)
{
	return err >= 0 || err == -ENOENT || err == -L3_PRECONDITION || err == -ECANCELED ||
	       err == -EINVAL || err == -L3_BAD_OPTION;
}

static bool is_worth_retrying(const struct attempt *a, int err)
{
	if (a->r->config.attempts == 0)
		return !is_definite(err);
	return err_is_transient(err) && a->tries < a->r->config.attempts;
}

static uint64_t backoff_ms(const struct attempt *a)
{
	const struct store_retry_config *c = &a->r->config;
	unsigned doublings = a->tries - 1 < 20 ? a->tries - 1 : 20;
	uint64_t ceiling = min_u64(c->base_delay_ms << doublings, c->max_delay_ms);

	return ceiling ? random_u64() % (ceiling + 1) : 0;
}

/* False when cancelled meanwhile. A clock of the tests' own is asked to sleep instead of waiting
 * here. */
static bool pause_ms(struct retry *r, uint64_t ms)
{
	bool cancelled;

	if (r->config.clock != &clock_system)
		r->config.clock->sleep_ms(r->config.clock, ms);
	pthread_mutex_lock(&r->lock);
	if (r->config.clock == &clock_system) {
		uint64_t end = clock_mono_ms(&clock_system) + ms, now;

		while (!r->cancelled && (now = clock_mono_ms(&clock_system)) < end)
			(void)cond_wait_ms(&r->wake, &r->lock, end - now);
	}
	cancelled = r->cancelled;
	pthread_mutex_unlock(&r->lock);
	return !cancelled;
}

static void tell_trouble(struct attempt *a, int err)
{
	uint64_t now = clock_mono_ms(a->r->config.clock);

	if (a->tries == 1)
		a->first_failed_ms = now;
	if (now - a->first_failed_ms < NOTIFY_AFTER_MS ||
	    (a->told && now - a->told_ms < NOTIFY_EVERY_MS))
		return;
	a->told = true;
	a->told_ms = now;
	notify(&a->r->config.notifier, LOG_L_WARN, "%s %s fails since %llu s, still trying: %s",
	       a->what, a->key, (unsigned long long)(now - a->first_failed_ms) / 1000,
	       *err_last_note() ? err_last_note() : err_text(err));
}

/* After a try that gave *err: true if there should be another. May change *err. */
static bool again(struct attempt *a, int *err)
{
	a->tries++;
	store_attempt = 1;
	if (*err >= 0 || !is_worth_retrying(a, *err)) {
		if (a->told && is_definite(*err))
			notify(&a->r->config.notifier, LOG_L_INFO, "%s %s: the store answers again",
			       a->what, a->key);
		if (*err < 0 && a->tries > 1 && !is_definite(*err))
			*err = err_wrap(*err, "given up after %u tries", a->tries);
		return false;
	}
	log_debug("%s %s: try %u: %s", a->what, a->key, a->tries,
		  *err_last_note() ? err_last_note() : err_text(*err));
	tell_trouble(a, *err);
	if (!pause_ms(a->r, backoff_ms(a))) {
		*err = err_wrap(-ECANCELED, "%s %s: cancelled while retrying", a->what, a->key);
		return false;
	}
	store_attempt = a->tries + 1;
	return true;
}

static int check_cancelled(struct attempt *a)
{
	bool cancelled;

	pthread_mutex_lock(&a->r->lock);
	cancelled = a->r->cancelled;
	pthread_mutex_unlock(&a->r->lock);
	return cancelled ? err_note(-ECANCELED, "%s %s: cancelled", a->what, a->key) : 0;
}

static int retry_get(struct store *s, const char *key, uint64_t offset, uint64_t len,
		     struct buf *out, struct store_meta *ret_meta)
{
	struct attempt a = begin(s, "GET", key);
	size_t before = out->len;
	bool failed = out->failed;
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do {
		out->len = before;
		out->failed = failed; /* there may be memory again */
		err = store_get(a.r->next, key, offset, len, out, ret_meta);
	} while (again(&a, &err));
	return err;
}

static bool same_bytes(const struct store_put *put, const struct buf *data)
{
	size_t at = 0;

	if (store_put_size(put) != data->len)
		return false;
	for (int i = 0; i < put->iovcnt; i++) {
		size_t n = put->iov[i].iov_len;

		if (n && memcmp(data->data + at, put->iov[i].iov_base, n) != 0)
			return false;
		at += n;
	}
	return true;
}

/* 0 if the object is what we meant to write, -L3_PRECONDITION if not or absent. */
static int was_it_us(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct buf data CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	int err = retry_get(s, put->key, 0, STORE_TO_END, &data, &meta);

	if (err == -ENOENT || (err >= 0 && !same_bytes(put, &data)))
		return err_note(-L3_PRECONDITION, "PUT %s: somebody else's object is there",
				put->key);
	if (err >= 0 && ret_meta)
		*ret_meta = meta;
	return err;
}

static int retry_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct attempt a = begin(s, "PUT", put->key);
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do
		err = store_put(a.r->next, put, ret_meta);
	while (again(&a, &err));
	if (err == -L3_PRECONDITION && a.tries > 1)
		err = was_it_us(s, put, ret_meta);
	return err;
}

static int retry_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	struct attempt a = begin(s, "HEAD", key);
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do
		err = store_head(a.r->next, key, ret_meta);
	while (again(&a, &err));
	return err;
}

static void cut_list(struct store_list *l, size_t count)
{
	while (l->count > count)
		free(l->entries[--l->count].key);
	l->more = false;
}

static int retry_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		      struct store_list *out)
{
	struct attempt a = begin(s, "LIST", prefix);
	size_t before = out->count;
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do {
		cut_list(out, before);
		err = store_list(a.r->next, prefix, start_after, max, out);
	} while (again(&a, &err));
	return err;
}

static int retry_copy(struct store *s, const char *from, const char *to)
{
	struct attempt a = begin(s, "COPY", from);
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do
		err = store_copy(a.r->next, from, to);
	while (again(&a, &err));
	return err;
}

static int retry_remove(struct store *s, const char *key)
{
	struct attempt a = begin(s, "DELETE", key);
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do
		err = store_remove(a.r->next, key);
	while (again(&a, &err));
	return err;
}

static int retry_remove_many(struct store *s, const char *const *keys, size_t count)
{
	struct attempt a = begin(s, "DELETE", keys[0]);
	int err = check_cancelled(&a);

	if (err < 0)
		return err;
	do
		err = store_remove_many(a.r->next, keys, count);
	while (again(&a, &err));
	return err;
}

static void retry_cancel(struct store *s)
{
	struct retry *r = (struct retry *)s;

	pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

static void retry_destroy(struct store *s)
{
	struct retry *r = (struct retry *)s;

	store_unref(r->next);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->wake);
	store_fini(s);
	free(r);
}

static const struct store_ops retry_ops = {
	.name = "retry",
	.get = retry_get,
	.put = retry_put,
	.head = retry_head,
	.list = retry_list,
	.copy = retry_copy,
	.remove = retry_remove,
	.remove_many = retry_remove_many,
	.cancel = retry_cancel,
	.destroy = retry_destroy,
};

int store_wrap_retry(struct store *next, const struct store_retry_config *config,
		     struct store **ret)
{
	struct retry *r = calloc(1, sizeof(*r));

	if (!r || store_init(&r->store, &retry_ops, next->url) < 0) {
		free(r);
		return -ENOMEM;
	}
	r->next = store_ref(next);
	r->config = *config;
	if (!r->config.clock)
		r->config.clock = &clock_system;
	pthread_mutex_init(&r->lock, NULL);
	cond_init(&r->wake);
	*ret = &r->store;
	return 0;
}

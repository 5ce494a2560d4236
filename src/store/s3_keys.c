/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keys in use. Whoever sends a request takes a reference of the present ones; newer ones
 * replace the whole.
 *
 *	life of keys that expire, from when they came
 *	|------------- fresh -------------|---- soon ----|-- late --|  expired
 *	                                  renewed in the            |
 *	                                  background     requests wait for newer ones
 *
 * One fetch at a time, without the lock; after one that failed, the next one waits longer each
 * time. Keys that could not be renewed are used on: the server knows best whether they still do.
 *
 * Keys that a server refuses are looked for anew, at once where that means to read a file, and at
 * most once a minute where somebody else is asked: a server that refuses everything must not make
 * us call STS for each request.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOON_S (15 * 60) /* before they expire, but no more than a fourth of their life */
#define LATE_S 60	 /* likewise a tenth */
#define AGAIN_MS 60000
#define PAUSE_MS 1000 /* after the first failure; doubles */
#define PAUSE_MAX_MS 30000
#define PAUSE_LATE_MS 5000 /* where the provider has no newer ones yet */
#define NEAR_MS 1000
#define NS_PER_S 1000000000

struct s3_keyring {
	struct s3_chain chain;
	char *profile, *passwd_file, *bucket, *region; /* what chain points to */
	bool stopped;				       /* atomic */
	pthread_mutex_t lock;
	pthread_cond_t fetched;
	struct s3_keys *keys;
	bool fetching;
	unsigned failures;
	uint64_t not_before_ms; /* the next fetch to renew */
	uint64_t again_ms;	/* the next one after a refusal */
	struct buf trouble;	/* why the last fetch failed; "" if it did not */
	struct pool *pool;	/* NULL: not needed yet */
};

enum age { FRESH, SOON, LATE };

void s3_keys_put(struct s3_keys *k)
{
	if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	s3_cred_release(&k->cred);
	free(k);
}

static struct s3_keys *keys_ref(struct s3_keys *k)
{
	__atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
	return k;
}

static int64_t now_s(struct s3_keyring *r)
{
	return r->chain.clock->real_ns(r->chain.clock) / NS_PER_S;
}

static uint64_t now_ms(struct s3_keyring *r)
{
	return clock_mono_ms(r->chain.clock);
}

static enum age age_of(struct s3_keyring *r)
{
	const struct s3_keys *k = r->keys;
	int64_t left = k->cred.expires_s - now_s(r), life = k->cred.expires_s - k->since_s;

	if (!k->cred.expires_s)
		return FRESH;
	if (left <= (int64_t)min_u64(LATE_S, (uint64_t)life / 10))
		return LATE;
	return left <= (int64_t)min_u64(SOON_S, (uint64_t)life / 4) ? SOON : FRESH;
}

/* ---- fetching ---- */

static int fetch(struct s3_keyring *r, struct s3_keys **ret)
{
	struct s3_keys *k = calloc(1, sizeof(*k));
	int err = k ? s3_chain_load(&r->chain, &k->cred) : -ENOMEM;

	if (err < 0) {
		free(k);
		return err;
	}
	k->refs = 1;
	k->since_s = now_s(r);
	if (k->cred.expires_s && k->cred.expires_s <= k->since_s) {
		s3_keys_put(k);
		return err_note(-L3_DENIED, "the credentials that were found have expired already");
	}
	*ret = k;
	return 0;
}

/* With the lock. */
static void note_failure(struct s3_keyring *r)
{
	uint64_t pause_ms = PAUSE_MAX_MS;

	if (r->failures < 5)
		pause_ms = min_u64(PAUSE_MAX_MS, (uint64_t)PAUSE_MS << r->failures);
	r->failures++;
	r->not_before_ms = now_ms(r) + pause_ms;
	buf_reset(&r->trouble);
	buf_add_str(&r->trouble, err_last_note());
}

/* With the lock. Which are not needed any more: the old ones, or, where the provider has the same
 * again, those that it gave (who uses the old ones goes on, and asks again later). */
static struct s3_keys *replace(struct s3_keyring *r, struct s3_keys *fresh)
{
	struct s3_keys *old = r->keys;

	r->failures = 0;
	r->not_before_ms = 0;
	buf_reset(&r->trouble);
	if (s3_cred_same(&old->cred, &fresh->cred) &&
	    old->cred.expires_s == fresh->cred.expires_s) {
		r->not_before_ms = now_ms(r);
		if (age_of(r) != FRESH)
			r->not_before_ms += age_of(r) == LATE ? PAUSE_LATE_MS : PAUSE_MAX_MS;
		return fresh;
	}
	r->keys = fresh;
	return old;
}

/* With the lock, which it drops meanwhile; nobody else is fetching. */
static void fetch_and_replace(struct s3_keyring *r)
{
	struct s3_keys *fresh = NULL, *old = NULL;
	int err;

	r->fetching = true;
	pthread_mutex_unlock(&r->lock);
	err = fetch(r, &fresh);
	pthread_mutex_lock(&r->lock);
	r->fetching = false;
	if (err < 0)
		note_failure(r);
	else
		old = replace(r, fresh);
	r->again_ms = r->keys->cred.is_remote ? now_ms(r) + AGAIN_MS : 0;
	pthread_cond_broadcast(&r->fetched);
	s3_keys_put(old);
}

static void renew_in_background(void *arg)
{
	struct s3_keyring *r = arg;

	pthread_mutex_lock(&r->lock);
	fetch_and_replace(r);
	pthread_mutex_unlock(&r->lock);
}

/* With the lock. Where no thread can be had, the keys will be renewed when they are late. */
static void begin_renewal(struct s3_keyring *r)
{
	if (!r->pool && pool_new("s3-keys", 1, &r->pool) < 0)
		return;
	r->fetching = pool_submit(r->pool, renew_in_background, r) >= 0;
}

static void await_fetch(struct s3_keyring *r)
{
	while (r->fetching)
		pthread_cond_wait(&r->fetched, &r->lock);
}

struct s3_keys *s3_keyring_get(struct s3_keyring *r)
{
	struct s3_keys *k;
	enum age age;

	pthread_mutex_lock(&r->lock);
	age = age_of(r);
	if (age == LATE && r->fetching)
		await_fetch(r);
	else if (age == LATE && now_ms(r) >= r->not_before_ms)
		fetch_and_replace(r);
	else if (age == SOON && !r->fetching && now_ms(r) >= r->not_before_ms)
		begin_renewal(r);
	k = keys_ref(r->keys);
	pthread_mutex_unlock(&r->lock);
	return k;
}

bool s3_keyring_renew(struct s3_keyring *r, const struct s3_keys *used)
{
	bool changed;

	pthread_mutex_lock(&r->lock);
	if (r->keys == used && r->fetching)
		await_fetch(r);
	else if (r->keys == used && now_ms(r) >= r->again_ms && now_ms(r) >= r->not_before_ms)
		fetch_and_replace(r);
	changed = r->keys != used;
	pthread_mutex_unlock(&r->lock);
	return changed;
}

void s3_keyring_trouble(struct s3_keyring *r, struct buf *out)
{
	pthread_mutex_lock(&r->lock);
	buf_add(out, r->trouble.data, r->trouble.len);
	pthread_mutex_unlock(&r->lock);
}

/* ---- life ---- */

static int copy(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int set_up_chain(struct s3_keyring *r, const struct store_config *config,
			const struct s3_place *place, struct clock *clock)
{
	struct store_config far = *config, near = *config;
	int err = 0;

	if (copy(config->profile, &r->profile) < 0 ||
	    copy(config->passwd_file, &r->passwd_file) < 0 || copy(place->bucket, &r->bucket) < 0 ||
	    copy(place->region, &r->region) < 0)
		return -ENOMEM;
	r->chain = (struct s3_chain){ .profile = r->profile,
				      .passwd_file = r->passwd_file,
				      .bucket = r->bucket,
				      .region = r->region,
				      .fips = config->fips,
				      .clock = clock,
				      .stopped = &r->stopped };
	far.connections = near.connections = 1;
	near.connect_timeout_ms = near.timeout_ms = NEAR_MS;
	err = s3_http_new(&far, &r->chain.far);
	return err < 0 ? err : s3_http_new(&near, &r->chain.near);
}

int s3_keyring_new(const struct store_config *config, const struct s3_place *place,
		   struct clock *clock, struct s3_keyring **ret)
{
	struct s3_keyring *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->fetched, NULL);
	err = set_up_chain(r, config, place, clock);
	if (err >= 0)
		err = fetch(r, &r->keys);
	if (err < 0)
		s3_keyring_free(r);
	else
		*ret = r;
	return err;
}

void s3_keyring_stop(struct s3_keyring *r)
{
	if (!r)
		return;
	__atomic_store_n(&r->stopped, true, __ATOMIC_RELEASE);
	s3_http_cancel(r->chain.far);
	s3_http_cancel(r->chain.near);
}

void s3_keyring_free(struct s3_keyring *r)
{
	if (!r)
		return;
	if (r->pool)
		s3_keyring_stop(r);
	pool_free(r->pool);
	s3_keys_put(r->keys);
	s3_http_free(r->chain.far);
	s3_http_free(r->chain.near);
	free(r->profile);
	free(r->passwd_file);
	free(r->bucket);
	free(r->region);
	buf_release(&r->trouble);
	pthread_cond_destroy(&r->fetched);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

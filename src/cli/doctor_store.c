/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * doctor, the store: the way to it, what our keys may do there, whether it honours conditions, what is
 * at the prefix, how long requests take. Scratch objects are under doctor/, and removed.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000.0
#define ATTEMPTS 3
#define RETRY_MS 200
#define SMALL_BYTES 4096
#define ROUNDS 8
#define SLOW_MS 1000
#define KEY_BYTES 64

struct probe {
	struct doctor *d;
	const char *url;
	struct store *base, *store;
	bool blocked; /* the way to it fails */
	char prefix[KEY_BYTES / 2];
	uint8_t bytes[SMALL_BYTES];
	uint64_t put_ns[ROUNDS], get_ns[ROUNDS];
};

static void key_of(const struct probe *p, unsigned n, char out[KEY_BYTES])
{
	(void)snprintf(out, KEY_BYTES, "%s%u", p->prefix, n);
}

static uint64_t now_ns(void)
{
	return clock_system.mono_ns(&clock_system);
}

/* ---- the way to it ---- */

static void on_remark(void *ctx, const struct store_remark *r)
{
	struct probe *p = ctx;

	/* A skewed clock and a certificate's age do not keep us from trying. */
	p->blocked |= r->verdict == STORE_WRONG && strcmp(r->what, "clock") != 0;
	doctor_say(p->d, r->verdict, r->what, r->advice, "%s", r->text);
}

static int open_store(struct probe *p)
{
	struct store_retry_config retry = { .attempts = ATTEMPTS,
					    .base_delay_ms = RETRY_MS,
					    .max_delay_ms = RETRY_MS,
					    .clock = &clock_system };
	int err = store_examine(p->url, &p->d->url.config.store, on_remark, p);

	if (err >= 0 && p->blocked)
		return -ECANCELED; /* said already */
	if (err >= 0)
		err = store_open(p->url, &p->d->url.config.store, &p->base);
	if (err >= 0)
		err = store_wrap_retry(p->base, &retry, &p->store);
	if (err < 0)
		doctor_say_error(p->d, err, "store", NULL);
	return err;
}

/* ---- what is there ---- */

static void check_lease(struct probe *p, const struct super *super)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h;
	int err = lease_read(p->store, &super->uuid, &h);

	if (err == -ENOENT) {
		doctor_say(p->d, STORE_FINE, "lease", NULL, "nobody has ever mounted it");
		return;
	}
	if (err < 0) {
		doctor_say_error(p->d, err, "lease", NULL);
		return;
	}
	lease_describe(&h, &who);
	if (h.released)
		doctor_say(p->d, STORE_FINE, "lease", NULL, "free; the last to have it: %s",
			   buf_cstr(&who));
	else if (lease_holder_is_dead(&h))
		doctor_say(p->d, STORE_FINE, "lease", NULL,
			   "held by %s; that process is gone, the next mount takes it at once",
			   buf_cstr(&who));
	else
		doctor_say(p->d, STORE_FINE, "lease", NULL, "held by %s", buf_cstr(&who));
}

static void check_filesystem(struct probe *p)
{
	struct super super;
	char uuid[UUID_STR_LEN], made[32] = "";
	struct tm tm;
	time_t t;
	int err = super_read(p->store, !p->d->url.config.read_only, &super, NULL);

	if (err == -L3_NOT_LEVELS3) {
		doctor_say(p->d, STORE_ODD, "filesystem", "levels3fs mkfs makes one", "%s",
			   err_last_note());
		return;
	}
	if (err < 0) {
		doctor_say_error(p->d, err, "filesystem", NULL);
		return;
	}
	uuid_format(&super.uuid, uuid);
	t = (time_t)(super.created_real_ns / NS_PER_S);
	if (gmtime_r(&t, &tm))
		(void)strftime(made, sizeof(made), "%Y-%m-%d", &tm);
	if (super.kind != SUPER_KIND_FS)
		doctor_say(p->d, STORE_WRONG, "filesystem", "name another prefix",
			   "there is a plain LevelDB database, no filesystem");
	else if (super.state != SUPER_READY)
		doctor_say(p->d, STORE_WRONG, "filesystem",
			   super.state == SUPER_FORMATTING ? "levels3fs mkfs finishes it"
							   : "levels3fs fsck --repair finishes it",
			   "%s, but %s was interrupted", uuid,
			   super.state == SUPER_FORMATTING ? "making it" : "its repair");
	else
		doctor_say(p->d, STORE_FINE, "filesystem", NULL,
			   "%s, made on %s, format %d, features %llx", uuid, made, FRAME_VERSION,
			   (unsigned long long)super.incompat);
	check_lease(p, &super);
}

/* ---- what we may ---- */

static bool check_list(struct probe *p)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list(p->store, "", NULL, 10, &l);

	if (err < 0) {
		doctor_say_error(p->d, err, "may list",
				 err == -L3_DENIED ? "the keys need s3:ListBucket on the bucket"
						   : NULL);
		return err == -L3_DENIED; /* the rest may say more */
	}
	doctor_say(p->d, STORE_FINE, "may list", NULL, "%s",
		   l.count ? "yes: there are objects" : "yes: nothing is there");
	return true;
}

static int put_one(struct probe *p, unsigned n)
{
	uint64_t start = now_ns();
	char key[KEY_BYTES];
	int err;

	key_of(p, n, key);
	err = store_put_bytes(p->store, key, p->bytes, sizeof(p->bytes), STORE_ALWAYS, NULL, NULL);
	p->put_ns[n] = now_ns() - start;
	return err;
}

static int get_one(struct probe *p, unsigned n)
{
	struct buf in CLEANUP(buf_release) = BUF_INIT;
	uint64_t start = now_ns();
	char key[KEY_BYTES];
	int err;

	key_of(p, n, key);
	err = store_get(p->store, key, 0, STORE_TO_END, &in, NULL);
	p->get_ns[n] = now_ns() - start;
	if (err >= 0 && (in.len != sizeof(p->bytes) || memcmp(in.data, p->bytes, in.len) != 0))
		return err_note(-L3_CORRUPT, "what was written comes back changed");
	return err;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double median_ms(uint64_t ns[ROUNDS])
{
	qsort(ns, ROUNDS, sizeof(ns[0]), by_size);
	return (double)ns[ROUNDS / 2] / NS_PER_MS;
}

static int check_write(struct probe *p)
{
	int err = 0;

	for (unsigned n = 0; n < ROUNDS && err >= 0; n++)
		err = put_one(p, n);
	if (err < 0)
		doctor_say_error(p->d, err, "may write",
				 err == -L3_DENIED ? "the keys need s3:PutObject below the prefix; "
						     "to read only: -o ro"
						   : NULL);
	else
		doctor_say(p->d, STORE_FINE, "may write", NULL, "yes: objects below doctor/");
	return err;
}

static int check_read(struct probe *p)
{
	int err = 0;

	for (unsigned n = 0; n < ROUNDS && err >= 0; n++)
		err = get_one(p, n);
	if (err < 0)
		doctor_say_error(p->d, err, "may read",
				 err == -L3_DENIED ? "the keys need s3:GetObject below the prefix"
						   : NULL);
	else
		doctor_say(p->d, STORE_FINE, "may read", NULL, "yes, and unchanged");
	return err;
}

static void check_conditions(struct probe *p)
{
	char key[KEY_BYTES];
	int err;

	key_of(p, 0, key);
	err = lease_probe(p->store, key, p->bytes, sizeof(p->bytes), NULL);
	if (err >= 0)
		doctor_say(p->d, STORE_FINE, "conditions", NULL,
			   "create-only and compare-and-swap writes are honoured");
	else
		doctor_say_error(p->d, err, "conditions",
				 err == -L3_NO_CONDITION
					 ? "doc/stores.md lists servers that do; -o lease_only "
					   "mounts without, guarded by time alone"
					 : NULL);
}

static void check_remove(struct probe *p)
{
	char keys[ROUNDS][KEY_BYTES];
	const char *list[ROUNDS];
	struct store_meta meta;
	int err;

	for (unsigned n = 0; n < ROUNDS; n++) {
		key_of(p, n, keys[n]);
		list[n] = keys[n];
	}
	err = store_remove_many(p->store, list, ROUNDS);
	if (err >= 0 && store_head(p->store, keys[0], &meta) >= 0)
		err = err_note(-L3_SERVER, "what was deleted is there still");
	if (err < 0)
		doctor_say_error(p->d, err, "may delete",
				 "the keys need s3:DeleteObject below the prefix, or space never "
				 "comes back; the objects below doctor/ can be deleted by hand");
	else
		doctor_say(p->d, STORE_FINE, "may delete", NULL, "yes");
}

static void check_latency(struct probe *p)
{
	double put = median_ms(p->put_ns), get = median_ms(p->get_ns);

	doctor_say(p->d, put > SLOW_MS || get > SLOW_MS ? STORE_ODD : STORE_FINE, "latency",
		   "an fsync takes as long as a write: is there a region, or a server, nearer by?",
		   "4 KiB are written in %.1f ms and read in %.1f ms (medians of %d)", put, get,
		   ROUNDS);
}

static void check_writing(struct probe *p)
{
	const struct fs_config *c = &p->d->url.config;

	if (c->read_only || c->store.anonymous) {
		doctor_say(p->d, STORE_FINE, "may write", NULL, "not tried (%s)",
			   c->read_only ? "ro" : "anonymous");
		return;
	}
	if (check_write(p) < 0)
		return;
	if (check_read(p) >= 0) {
		check_conditions(p);
		check_latency(p);
	}
	check_remove(p);
}

void doctor_check_store(struct doctor *d, const char *url)
{
	struct probe p = { .d = d, .url = url };

	doctor_about(d, "store %s", url);
	(void)snprintf(p.prefix, sizeof(p.prefix), "doctor/%016llx-",
		       (unsigned long long)random_u64());
	random_bytes(p.bytes, sizeof(p.bytes));
	if (open_store(&p) >= 0 && check_list(&p)) {
		check_filesystem(&p);
		check_writing(&p);
	}
	store_unref(p.store);
	store_unref(p.base);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cache: the door. A read takes what memory has, then what the disk has, then the network:
 *
 *	cache_read ── memory ── disk ── all there ──────────────────────────► done
 *	     │                   └── own flight ── GET ── memory ── reader ───► done
 *	     │                   │                             └─ disk, later, by a thread of its
 *own └── again ◄─────────┴── somebody's flight ── its bytes ──────────► done
 */
#include "cache/flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INFLIGHT_DEFAULT 16
#define BACKLOG_MIN_BYTES (4 * MIB)
#define BACKLOG_MAX_BYTES (32 * MIB)

struct cache {
	struct store *store;
	struct memory *memory;
	struct disk *disk; /* NULL: memory only */
	struct flights flights;
	struct pool *fetchers, *writer;
	unsigned max_inflight;
	uint64_t backlog_bytes, backlog_max_bytes; /* fetched, not yet on disk; atomic */
	struct cache_stats stats;		   /* counters, atomic */
};

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

/* ---- opening ---- */

int cache_open(const struct cache_config *config, struct cache **ret)
{
	struct cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->store = store_ref(config->store);
	c->max_inflight = config->max_inflight ? config->max_inflight : INFLIGHT_DEFAULT;
	c->backlog_max_bytes =
		min_u64(BACKLOG_MAX_BYTES, max_u64(BACKLOG_MIN_BYTES, config->mem_bytes / 4));
	flights_init(&c->flights);
	err = memory_new(config->mem_bytes, &c->memory);
	if (err >= 0 && config->dir)
		err = disk_open(config, &c->stats, &c->disk);
	if (err >= 0)
		err = pool_new("cache-fetch", c->max_inflight, &c->fetchers);
	if (err >= 0 && c->disk)
		err = pool_new("cache-disk", 1, &c->writer);
	if (err < 0) {
		cache_close(c);
		return err;
	}
	*ret = c;
	return 0;
}

int cache_check_dir(const char *dir)
{
	return dir ? disk_check(dir) : 0;
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	pool_free(c->fetchers);
	pool_free(c->writer);
	disk_close(c->disk);
	memory_free(c->memory);
	flights_release(&c->flights);
	store_unref(c->store);
	free(c);
}

/* ---- from fetched to kept ---- */

struct keep { /* bytes on their way to the disk */
	struct cache *cache;
	struct blob *blob;
	char key[];
};

static void keep_run(void *arg)
{
	struct keep *k = arg;

	disk_write(k->cache->disk, k->key, k->blob->offset, k->blob->bytes.data,
		   k->blob->bytes.len);
	__atomic_sub_fetch(&k->cache->backlog_bytes, k->blob->bytes.len, __ATOMIC_RELAXED);
	blob_put(k->blob);
	free(k);
}

/* A reader does not wait for the disk; a disk that falls behind gets less. */
static void keep_later(struct cache *c, const char *key, struct blob *b)
{
	size_t key_size = strlen(key) + 1;
	struct keep *k;

	if (!c->disk || b->bytes.len == 0)
		return;
	k = malloc(sizeof(*k) + key_size);
	if (!k)
		return;
	*k = (struct keep){ .cache = c, .blob = b };
	memcpy(k->key, key, key_size);
	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&c->backlog_bytes, b->bytes.len, __ATOMIC_RELAXED) <=
		    c->backlog_max_bytes &&
	    pool_submit(c->writer, keep_run, k) >= 0)
		return;
	__atomic_sub_fetch(&c->backlog_bytes, b->bytes.len, __ATOMIC_RELAXED);
	count(&c->stats.bypassed, 1);
	blob_put(b);
	free(k);
}

/* ---- fetching ---- */

static int get(struct cache *c, const struct flight *f, struct blob **ret)
{
	struct blob *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->refs = 1;
	b->offset = f->window.offset;
	err = store_get(c->store, f->key, f->window.offset, f->window.len, &b->bytes, NULL);
	if (err < 0) {
		blob_put(b);
		return err;
	}
	*ret = b;
	return 0;
}

/* In memory before it lands: whoever comes too late for the flight finds the bytes there. */
static void fly(struct cache *c, struct flight *f)
{
	struct blob *b = NULL;
	int err = get(c, f, &b);

	if (err >= 0) {
		count(&c->stats.bytes_fetched, b->bytes.len);
		memory_insert(c->memory, f->key, b->offset, b->bytes.data, b->bytes.len);
		keep_later(c, f->key, b);
	}
	flight_land(&c->flights, f, err, b);
}

/* 0 with the bytes, 1: look into the tiers again, or the error. */
static int take(const struct flight *f, const struct span *want, uint8_t *dst)
{
	uint64_t skip = want->offset - f->window.offset;

	if (f->err < 0)
		return err_note(f->err, "%s", f->note);
	if (!f->blob)
		return 1;
	if (f->blob->bytes.len < skip + want->len)
		return err_note(-L3_CORRUPT,
				"object %s ends at byte %llu, but bytes up to %llu are wanted",
				f->key, (unsigned long long)(f->window.offset + f->blob->bytes.len),
				(unsigned long long)span_end(want));
	memcpy(dst, f->blob->bytes.data + skip, want->len);
	return 0;
}

static int fetch(struct cache *c, const char *key, const struct span *want,
		 const struct span *window, uint8_t *dst)
{
	bool own;
	struct flight *f = flight_board(&c->flights, key, want, window, 0, &own);
	int err;

	if (!f)
		return -ENOMEM;
	if (!own)
		flight_wait(&c->flights, f);
	else if (memory_covers(c->memory, key, want) == want->len)
		flight_land(&c->flights, f, 0, NULL); /* another landed since we looked */
	else
		fly(c, f);
	err = take(f, want, dst);
	if (err < 0 && !own && f->background)
		err = 1;
	flight_put(&c->flights, f);
	return err;
}

/* ---- reading ---- */

/* As much as the tiers have from the start on, each where the other has a gap. */
static uint64_t copy_kept(struct cache *c, const char *key, const struct span *want, uint8_t *dst)
{
	struct span left = *want;
	uint64_t n;

	do {
		uint8_t *to = dst + (left.offset - want->offset);

		n = memory_copy(c->memory, key, &left, to);
		if (n > 0) {
			count(&c->stats.hits_mem, 1);
		} else {
			n = disk_copy(c->disk, key, &left, to, c->memory);
			if (n > 0)
				count(&c->stats.hits_disk, 1);
		}
		left.offset += n;
		left.len -= n;
	} while (n > 0 && left.len > 0);
	return want->len - left.len;
}

static bool contains(const struct span *window, const struct span *want)
{
	return window->offset <= want->offset && window->len <= UINT64_MAX - window->offset &&
	       want->len <= UINT64_MAX - want->offset && span_end(window) >= span_end(want);
}

int cache_read(struct cache *c, const char *key, uint64_t offset, size_t len, void *dst,
	       uint64_t fetch_offset, uint64_t fetch_len)
{
	struct span want = { offset, len };
	struct span window = { fetch_offset, fetch_len };
	int err;

	if (fetch_offset == 0 && fetch_len == 0)
		window = want;
	if (!contains(&window, &want))
		return err_note(-EINVAL, "cache: bytes wanted of %s are outside of those to fetch",
				key);
	if (len == 0)
		return 0;
	do {
		if (copy_kept(c, key, &want, dst) == len)
			return 0;
		err = fetch(c, key, &want, &window, dst);
	} while (err > 0);
	count(&c->stats.misses, 1);
	return err;
}

bool cache_has(struct cache *c, const char *key, uint64_t offset, size_t len)
{
	struct span left = { offset, len };
	uint64_t n = 1;

	while (left.len > 0 && n > 0) {
		n = memory_covers(c->memory, key, &left);
		if (n == 0)
			n = disk_covers(c->disk, key, &left);
		left.offset += n;
		left.len -= n;
	}
	return left.len == 0;
}

struct prefetch {
	struct cache *cache;
	struct flight *flight;
};

static void prefetch_run(void *arg)
{
	struct prefetch *p = arg;

	fly(p->cache, p->flight);
	flight_put(&p->cache->flights, p->flight);
	free(p);
}

void cache_prefetch(struct cache *c, const char *key, uint64_t offset, size_t len)
{
	struct span window = { offset, len };
	struct prefetch *p;
	struct flight *f;
	bool own;

	if (len == 0 || !contains(&window, &window) || cache_has(c, key, offset, len))
		return;
	f = flight_board(&c->flights, key, &window, &window, c->max_inflight, &own);
	if (!f)
		return;
	p = own ? malloc(sizeof(*p)) : NULL;
	if (p)
		*p = (struct prefetch){ c, f };
	if (p && pool_submit(c->fetchers, prefetch_run, p) >= 0)
		return;
	if (own)
		flight_land(&c->flights, f, err_note(-ENOMEM, "no memory to fetch %s ahead", key),
			    NULL);
	flight_put(&c->flights, f);
	free(p);
}

/* ---- the rest ---- */

void cache_insert(struct cache *c, const char *key, uint64_t offset, const void *data, size_t len,
		  bool disk_only)
{
	if (!disk_only)
		memory_insert(c->memory, key, offset, data, len);
	disk_write(c->disk, key, offset, data, len);
}

/* On disk the whole object goes: its index may speak for the wrong bytes again after a restart. */
void cache_distrust(struct cache *c, const char *key, uint64_t offset, size_t len)
{
	memory_drop(c->memory, key, &(struct span){ offset, len });
	disk_forget(c->disk, key);
}

void cache_forget(struct cache *c, const char *key)
{
	memory_forget(c->memory, key);
	disk_forget(c->disk, key);
}

static uint64_t value(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void cache_stats(struct cache *c, struct cache_stats *ret)
{
	*ret = (struct cache_stats){
		.hits_mem = value(&c->stats.hits_mem),
		.hits_disk = value(&c->stats.hits_disk),
		.misses = value(&c->stats.misses),
		.bytes_fetched = value(&c->stats.bytes_fetched),
		.bytes_mem = memory_bytes(c->memory),
		.bytes_disk = disk_bytes(c->disk),
		.corrupt = value(&c->stats.corrupt),
		.evicted_objects = value(&c->stats.evicted_objects),
		.bypassed = value(&c->stats.bypassed),
	};
}

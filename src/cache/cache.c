/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cache: the door. A read takes what memory has, then what the disk has, then the network:
 *
 *	cache_read ── memory ── disk ── all there ──────────────────────────► done
 *	     │                   └── own flight ── GET ── memory ── reader ───► done
 *	     │                   │                             └─ disk, later, by its own thread
 *	     └── again ◄─────────┴── somebody's flight ── its bytes ──────────► done
 */
#include "cache/flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define INFLIGHT_DEFAULT 24
#define DOUBT_SAME 3
#define DOUBT_TRIES 12
#define POOL_MAX_BYTES (16 * MIB)
#define BACKLOG_MIN_BYTES (1 * MIB)
#define BACKLOG_MAX_BYTES (32 * MIB)

struct cache {
	struct store *store;
	struct blob_pool *pool;
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
	uint64_t pool_bytes = min_u64(config->mem_bytes / 4, POOL_MAX_BYTES);
	uint64_t backlog_bytes =
		config->dir ? min_u64(config->mem_bytes / 4, BACKLOG_MAX_BYTES) : 0;
	struct cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->store = store_ref(config->store);
	c->max_inflight = config->max_inflight ? config->max_inflight : INFLIGHT_DEFAULT;
	c->backlog_max_bytes = max_u64(backlog_bytes, BACKLOG_MIN_BYTES);
	flights_init(&c->flights);
	c->pool = blob_pool_new(pool_bytes);
	err = c->pool ? memory_new(config->mem_bytes - pool_bytes - backlog_bytes, &c->memory)
		      : -ENOMEM;
	if (err >= 0 && config->dir)
		err = disk_open(config, &c->stats, c->pool, &c->disk);
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
	blob_pool_put(c->pool);
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

/* What waits for the disk is kept within bounds; but what is larger than those goes alone. */
static bool backlog_take(struct cache *c, uint64_t bytes)
{
	uint64_t waiting = __atomic_fetch_add(&c->backlog_bytes, bytes, __ATOMIC_RELAXED);

	if (waiting == 0 || waiting + bytes <= c->backlog_max_bytes)
		return true;
	__atomic_sub_fetch(&c->backlog_bytes, bytes, __ATOMIC_RELAXED);
	return false;
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
	*k = (struct keep){ .cache = c, .blob = blob_get(b) };
	memcpy(k->key, key, key_size);
	if (backlog_take(c, b->bytes.len)) {
		if (pool_submit(c->writer, keep_run, k) >= 0)
			return;
		__atomic_sub_fetch(&c->backlog_bytes, b->bytes.len, __ATOMIC_RELAXED);
	}
	count(&c->stats.bypassed, 1);
	blob_put(b);
	free(k);
}

/* ---- fetching ---- */

static int get(struct cache *c, const struct flight *f, struct blob **ret)
{
	struct blob *b = blob_new(c->pool, f->window.offset, f->window.len);
	int err;

	if (!b)
		return -ENOMEM;
	err = store_get(c->store, f->key, f->window.offset, f->window.len, &b->bytes, NULL);
	if (err < 0) {
		blob_put(b);
		return err;
	}
	blob_shrink(b);
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
		memory_insert(c->memory, f->key, b);
		keep_later(c, f->key, b);
	}
	flight_land(&c->flights, f, err, b);
}

/* How many bytes it had from the start on; 0: look into the tiers again; or the error. */
static int64_t take(const struct flight *f, const struct span *want, struct cache_view *view)
{
	uint64_t end = min_u64(span_end(&f->window), span_end(want)), has;
	int err;

	if (f->err < 0)
		return err_note(f->err, "%s", f->note);
	if (!f->blob)
		return 0;
	has = f->blob->offset + f->blob->bytes.len;
	if (has < end)
		return err_note(
			-L3_CORRUPT, "object %s ends at byte %llu, but bytes up to %llu are wanted",
			f->key, (unsigned long long)has, (unsigned long long)span_end(want));
	err = view_add(view, f->blob, want->offset, end - want->offset);
	return err < 0 ? err : (int64_t)(end - want->offset);
}

/* As take. What is under way already is waited for, and not fetched twice. */
static int64_t fetch(struct cache *c, const char *key, const struct span *want,
		     const struct span *window, struct cache_view *view)
{
	bool own;
	struct flight *f = flight_board(&c->flights, key, want->offset, window, 0, &own);
	int64_t got;

	if (!f)
		return -ENOMEM;
	if (!own)
		flight_wait(&c->flights, f);
	else if (memory_covers(c->memory, key, want) > 0)
		flight_land(&c->flights, f, 0, NULL); /* another landed since we looked */
	else
		fly(c, f);
	got = take(f, want, view);
	if (got < 0 && !own && f->background)
		got = 0;
	flight_put(&c->flights, f);
	return got;
}

/* ---- reading ---- */

/* As much as the tiers have from the start on, each where the other has a gap. */
static void take_kept(struct cache *c, const char *key, struct span *left, struct cache_view *view)
{
	uint64_t n;

	do {
		n = memory_view(c->memory, key, left, view);
		if (n > 0) {
			count(&c->stats.hits_mem, 1);
		} else {
			n = disk_view(c->disk, key, left, view, c->memory);
			if (n > 0)
				count(&c->stats.hits_disk, 1);
		}
		left->offset += n;
		left->len -= n;
	} while (n > 0 && left->len > 0);
}

static bool contains(const struct span *window, const struct span *want)
{
	return window->offset <= want->offset && window->len <= UINT64_MAX - window->offset &&
	       want->len <= UINT64_MAX - want->offset && span_end(window) >= span_end(want);
}

/* How much the tiers have from the start on. */
static uint64_t covers(struct cache *c, const char *key, const struct span *range)
{
	struct span left = *range;
	uint64_t n = 1;

	while (left.len > 0 && n > 0) {
		n = memory_covers(c->memory, key, &left);
		if (n == 0)
			n = disk_covers(c->disk, key, &left);
		left.offset += n;
		left.len -= n;
	}
	return range->len - left.len;
}

/* What is left of the window to fetch, which begins with what is there already. */
static struct span rest_of(struct cache *c, const char *key, const struct span *window,
			   const struct span *left)
{
	struct span before = { window->offset, left->offset - window->offset };
	uint64_t skip = covers(c, key, &before);

	return (struct span){ window->offset + skip, window->len - skip };
}

static int view_all(struct cache *c, const char *key, const struct span *want,
		    const struct span *window, struct cache_view *view)
{
	struct span left = *want;
	bool missed = false;
	int64_t got = 0;

	for (;;) {
		struct span rest;

		take_kept(c, key, &left, view);
		if (left.len == 0 || view->failed)
			break;
		rest = rest_of(c, key, window, &left);
		got = fetch(c, key, &left, &rest, view);
		if (got < 0)
			break;
		missed = true;
		left.offset += (uint64_t)got;
		left.len -= (uint64_t)got;
	}
	if (missed || got < 0)
		count(&c->stats.misses, 1);
	return view->failed ? -ENOMEM : got < 0 ? (int)got : 0;
}

int cache_view(struct cache *c, const char *key, uint64_t offset, size_t len, uint64_t fetch_offset,
	       uint64_t fetch_len, struct cache_view *ret)
{
	struct span want = { offset, len };
	struct span window = { fetch_offset, fetch_len };
	int err;

	view_init(ret);
	if (fetch_offset == 0 && fetch_len == 0)
		window = want;
	if (!contains(&window, &want))
		return err_note(-EINVAL, "cache: bytes wanted of %s are outside of those to fetch",
				key);
	if (len == 0)
		return 0;
	err = view_all(c, key, &want, &window, ret);
	if (err < 0)
		cache_view_release(ret);
	return err;
}

int cache_read(struct cache *c, const char *key, uint64_t offset, size_t len, void *dst,
	       uint64_t fetch_offset, uint64_t fetch_len)
{
	struct cache_view view;
	const void *bytes;
	int err = cache_view(c, key, offset, len, fetch_offset, fetch_len, &view);

	if (err < 0 || len == 0)
		return err;
	bytes = cache_view_bytes(&view, offset, len, dst);
	if (bytes != dst)
		memcpy(dst, bytes, len);
	cache_view_release(&view);
	return 0;
}

uint64_t cache_held(struct cache *c, const char *key, uint64_t offset, uint64_t len)
{
	struct span range = { offset, len };

	/* What one has the other often has as well. */
	return max_u64(memory_held(c->memory, key, &range), disk_held(c->disk, key, &range));
}

bool cache_has(struct cache *c, const char *key, uint64_t offset, size_t len)
{
	return covers(c, key, &(struct span){ offset, len }) == len;
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

/* Takes the flight over. */
static void launch(struct cache *c, struct flight *f)
{
	struct prefetch *p = malloc(sizeof(*p));

	if (p)
		*p = (struct prefetch){ c, f };
	if (p && pool_submit(c->fetchers, prefetch_run, p) >= 0)
		return;
	flight_land(&c->flights, f, err_note(-ENOMEM, "no memory to fetch %s ahead", f->key), NULL);
	flight_put(&c->flights, f);
	free(p);
}

void cache_prefetch(struct cache *c, const char *key, uint64_t offset, size_t len)
{
	struct span left = { offset, len };

	if (!contains(&left, &left))
		return;
	while (left.len > 0) {
		uint64_t skip = covers(c, key, &left), end = span_end(&left);
		struct flight *f = NULL;
		bool own = false;

		left = (struct span){ left.offset + skip, left.len - skip };
		if (left.len > 0)
			f = flight_board(&c->flights, key, left.offset, &left, c->max_inflight,
					 &own);
		if (!f)
			return;
		left.offset = min_u64(span_end(&f->window), end);
		left.len = end - left.offset;
		if (own)
			launch(c, f);
		else
			flight_put(&c->flights, f);
	}
}

/* ---- the rest ---- */

void cache_insert(struct cache *c, const char *key, uint64_t offset, const void *data, size_t len,
		  bool disk_only)
{
	struct span left = { offset, disk_only ? 0 : len };
	const uint8_t *from = data;

	while (left.len > 0) {
		uint64_t n = piece_part(&left);
		struct blob *b = blob_copy(c->pool, left.offset, from, n);

		if (b)
			memory_insert(c->memory, key, b);
		blob_put(b);
		from += n;
		left.offset += n;
		left.len -= n;
	}
	disk_write(c->disk, key, offset, data, len);
}

/* On disk the whole object goes: its index may speak for the wrong bytes again after a restart. */
void cache_distrust(struct cache *c, const char *key, uint64_t offset, size_t len)
{
	memory_drop(c->memory, key, &(struct span){ offset, len });
	disk_forget(c->disk, key);
}

/* Three times, because what was on its way to the disk when it was distrusted comes once more. */
int cache_doubt(struct cache *c, struct cache_doubt *d, const char *key, uint64_t offset,
		const void *bytes, size_t len)
{
	uint64_t sum = XXH3_64bits(bytes, len);

	d->same = d->tries > 0 && d->sum == sum ? d->same + 1 : 1;
	d->sum = sum;
	d->tries++;
	cache_distrust(c, key, offset, len);
	if (d->same == DOUBT_SAME)
		return err_note(-L3_CORRUPT, "%s: bytes %llu to %llu are not what was written", key,
				(unsigned long long)offset, (unsigned long long)(offset + len));
	if (d->tries == DOUBT_TRIES)
		return err_note(-L3_SERVER,
				"%s: bytes %llu to %llu come damaged, each time differently", key,
				(unsigned long long)offset, (unsigned long long)(offset + len));
	log_debug("%s: bytes %llu to %llu came damaged, fetching them again", key,
		  (unsigned long long)offset, (unsigned long long)(offset + len));
	return 0;
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
		.limit_disk = disk_limit(c->disk),
		.corrupt = value(&c->stats.corrupt),
		.evicted_objects = value(&c->stats.evicted_objects),
		.bypassed = value(&c->stats.bypassed),
	};
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables as objects: uploading the new ones, reading them back.
 *
 * A table is read from memory until its object exists, then through the cache, in windows that
 * carry their own checksums in the chain: the first read of a window by this process fetches and
 * checks all of it, later ones take what they need from the cache (which checks its own pieces).
 */
#include "db/env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000

void db_table_key(uint64_t number, uint64_t epoch, char out[TABLE_KEY_LIMIT])
{
	snprintf(out, TABLE_KEY_LIMIT, TABLE_PREFIX "%020llu-%010llu", (unsigned long long)number,
		 (unsigned long long)(epoch % 10000000000ULL));
}

/* ---- upload ---- */

struct upload {
	struct env *env;
	struct vfile *file;
};

static void write_through(struct env *e, const struct table *t)
{
	for (size_t i = 0; i < t->windows; i++) {
		uint64_t start, len;

		db_table_window_range(t, i, &start, &len);
		cache_insert(e->config.cache, t->key, start, t->blob->bytes.data + start, len,
			     false);
	}
}

static void upload_done(struct env *e, struct vfile *f, int err)
{
	struct table *t = f->table;
	struct blob *blob = NULL;

	pthread_mutex_lock(&e->lock);
	if (!err) {
		t->uploaded = true;
		blob = t->blob;
		__atomic_store_n(&t->blob, NULL, __ATOMIC_RELEASE);
	}
	e->upload_bytes -= t->size;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
	db_blob_put(blob);
}

static int upload(struct env *e, const struct table *t)
{
	int err;

	pthread_mutex_lock(&e->lock);
	err = e->closing ? -ECANCELED : e->failed;
	pthread_mutex_unlock(&e->lock);
	if (err)
		return err_note(err, "%s is not uploaded any more", t->key);
	err = store_put_bytes(e->config.forever, t->key, t->blob->bytes.data, t->blob->bytes.len,
			      STORE_CREATE, NULL, NULL);
	if (err == -L3_PRECONDITION)
		err = err_note(-L3_CORRUPT, "%s exists already: two writers share epoch %llu",
			       t->key, (unsigned long long)t->epoch);
	return err;
}

static void upload_run(void *arg)
{
	struct upload *u = arg;
	int err = upload(u->env, u->file->table);

	if (err)
		db_env_fail(u->env, err);
	else
		write_through(u->env, u->file->table);
	upload_done(u->env, u->file, err);
	db_vfile_put(u->file);
	free(u);
}

int db_table_upload_submit(struct env *e, struct vfile *f)
{
	struct upload *u = malloc(sizeof(*u));
	int err = u ? 0 : -ENOMEM;

	if (u) {
		u->env = e;
		u->file = f;
		err = pool_submit(e->uploads, upload_run, u);
	}
	if (!err)
		return 0;
	e->upload_bytes -= f->table->size;
	db_vfile_put(f);
	free(u);
	return err_note(err, "no memory to upload a table");
}

/* ---- reading ---- */

static struct blob *blob_of(struct env *e, struct table *t)
{
	struct blob *b;

	if (!__atomic_load_n(&t->blob, __ATOMIC_ACQUIRE))
		return NULL;
	pthread_mutex_lock(&e->lock);
	b = db_blob_get(t->blob);
	pthread_mutex_unlock(&e->lock);
	return b;
}

/* The object's name belongs to every error; that it is not there is corruption: the chain names it.
 */
static int read_error(const struct table *t, int err)
{
	if (err == -ENOENT)
		return err_note(-L3_CORRUPT, "%s is missing", t->key);
	return err_wrap(err, "%s", t->key);
}

static int read_checked(struct env *e, struct table *t, size_t window, uint8_t *buffer)
{
	struct cache *cache = e->config.cache;
	struct cache_doubt doubt = { 0 };
	uint64_t start, len;
	int err;

	db_table_window_range(t, window, &start, &len);
	do {
		err = cache_read(cache, t->key, start, len, buffer, start, len);
		if (err)
			return read_error(t, err);
		if (XXH3_64bits(buffer, len) == t->sums[window]) {
			__atomic_store_n(&t->verified[window], 1, __ATOMIC_RELAXED);
			return 0;
		}
		err = cache_doubt(cache, &doubt, t->key, start, buffer, len);
	} while (!err);
	if (err == -L3_CORRUPT && e->config.salvage)
		return 0; /* LevelDB's own checksums tell which blocks are good */
	return err;
}

/* A range within one window. */
static int read_window(struct env *e, struct table *t, size_t window, uint64_t offset, size_t len,
		       uint8_t *dst)
{
	uint64_t start, window_len;
	uint8_t *buffer;
	int err;

	db_table_window_range(t, window, &start, &window_len);
	if (__atomic_load_n(&t->verified[window], __ATOMIC_RELAXED)) {
		err = cache_read(e->config.cache, t->key, offset, len, dst, start, window_len);
		return err ? read_error(t, err) : 0;
	}
	buffer = malloc(window_len);
	if (!buffer)
		return err_note(-ENOMEM, "no memory to read %s", t->key);
	err = read_checked(e, t, window, buffer);
	if (!err)
		memcpy(dst, buffer + (offset - start), len);
	free(buffer);
	return err;
}

static int read_object(struct env *e, struct table *t, uint64_t offset, size_t len, uint8_t *dst)
{
	while (len > 0) {
		size_t window = db_table_window_of(t, offset), n;
		uint64_t start, window_len;
		int err;

		db_table_window_range(t, window, &start, &window_len);
		n = min_u64(len, start + window_len - offset);
		err = read_window(e, t, window, offset, n, dst);
		if (err)
			return err;
		offset += n;
		dst += n;
		len -= n;
	}
	return 0;
}

/* Compaction reads on: have the next window fetched meanwhile. */
static void read_ahead(struct env *e, const struct table *t, uint64_t offset)
{
	size_t next = db_table_window_of(t, offset) + 1;
	uint64_t start, len;

	if (next >= t->windows)
		return;
	db_table_window_range(t, next, &start, &len);
	if (!cache_has(e->config.cache, t->key, start, len))
		cache_prefetch(e->config.cache, t->key, start, len);
}

static bool worth_retrying(int err)
{
	return err && err != -L3_CORRUPT && err != -ECANCELED;
}

/*
 * LevelDB takes an error on its background thread as final: the database would not be written any
 * more. So that thread waits for the store as long as it takes, and what it cannot wait out (proven
 * damage) is made known as the end of all writing; others get the error at once.
 */
int db_table_read(struct env *e, struct vfile *f, uint64_t offset, size_t len, uint8_t *dst)
{
	struct table *t = f->table;
	struct blob *blob;
	uint64_t pause_ms = RETRY_FIRST_MS;
	int err;

	if (len == 0)
		return 0;
	blob = blob_of(e, t);
	if (blob) {
		memcpy(dst, blob->bytes.data + offset, len);
		db_blob_put(blob);
		return 0;
	}
	if (!db_env_on_background(e))
		return read_object(e, t, offset, len, dst);
	read_ahead(e, t, offset);
	while (worth_retrying(err = read_object(e, t, offset, len, dst))) {
		log_debug("compaction waits for the store: %s", err_last_note());
		if (!db_env_pause(e, pause_ms))
			return err_note(-ECANCELED, "%s: shutting down", t->key);
		pause_ms = min_u64(pause_ms * 2, RETRY_MAX_MS);
	}
	if (err)
		db_env_fail(e, err);
	return err;
}

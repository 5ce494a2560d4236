/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hot: the LRU of decompressed extents. Entries are referenced while they are copied from, so that
 * the lock is never held over a copy.
 */
#include "data/hot.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void data_hot_init(struct hot *hot, size_t limit_bytes)
{
	*hot = (struct hot){ .limit_bytes = limit_bytes };
	pthread_mutex_init(&hot->lock, NULL);
}

void data_hot_put(struct hot_extent *e)
{
	if (e && atomic_fetch_sub(&e->refs, 1) == 1)
		free(e);
}

static void remove_locked(struct hot *hot, struct hot_extent *e)
{
	HASH_DEL(hot->table, e);
	DL_DELETE(hot->lru, e);
	hot->bytes -= e->raw_bytes;
	data_hot_put(e);
}

void data_hot_release(struct hot *hot)
{
	while (hot->lru)
		remove_locked(hot, hot->lru);
	pthread_mutex_destroy(&hot->lock);
}

static struct hot_extent *find_locked(struct hot *hot, const struct hot_key *key)
{
	struct hot_extent *e;

	HASH_FIND(hh, hot->table, key, sizeof(*key), e);
	return e;
}

bool data_hot_copy(struct hot *hot, const struct data_ref *ref, uint32_t offset, uint32_t len,
		   uint8_t *dst)
{
	struct hot_key key = { ref->segment, ref->offset };
	struct hot_extent *e;

	pthread_mutex_lock(&hot->lock);
	e = find_locked(hot, &key);
	/* A reference that disagrees with the one verified must be judged by itself. */
	if (e && (e->sum != ref->sum || e->raw_bytes != ref->raw_bytes))
		e = NULL;
	if (e) {
		atomic_fetch_add(&e->refs, 1);
		DL_DELETE(hot->lru, e);
		DL_PREPEND(hot->lru, e);
	}
	pthread_mutex_unlock(&hot->lock);
	if (!e)
		return false;
	memcpy(dst, e->raw + offset, len);
	data_hot_put(e);
	return true;
}

struct hot_extent *data_hot_new(const struct data_ref *ref)
{
	struct hot_extent *e = malloc(sizeof(*e) + ref->raw_bytes);

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	e->key = (struct hot_key){ ref->segment, ref->offset };
	e->sum = ref->sum;
	e->raw_bytes = ref->raw_bytes;
	atomic_init(&e->refs, 1);
	return e;
}

void data_hot_add(struct hot *hot, struct hot_extent *e)
{
	struct hot_extent *old;

	pthread_mutex_lock(&hot->lock);
	old = find_locked(hot, &e->key);
	if (old)
		remove_locked(hot, old);
	HASH_ADD(hh, hot->table, key, sizeof(e->key), e);
	if (e->hh.tbl) {
		DL_PREPEND(hot->lru, e);
		hot->bytes += e->raw_bytes;
	} else {
		data_hot_put(e);
	}
	while (hot->bytes > hot->limit_bytes && hot->lru)
		remove_locked(hot, hot->lru->prev);
	pthread_mutex_unlock(&hot->lock);
}

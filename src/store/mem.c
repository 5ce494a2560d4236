/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem: objects in this process' memory, for tests. A named space ("mem:name") outlives the stores
 * opened on it, as a bucket does; cancel affects one handle only.
 */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* not exit(): the object is then not in the table */
#include <uthash.h>

struct object {
	char *key;
	uint8_t *data;
	size_t len;
	uint64_t version; /* unique in the process: the etag */
	int64_t mtime_s;
	UT_hash_handle hh;
};

struct space {
	char *name;
	pthread_mutex_t lock;
	struct object *objects;
	unsigned refs; /* under spaces_lock; the name itself counts as one until dropped */
	struct space *next;
};

struct mem {
	struct store store;
	struct space *space;
	bool cancelled; /* atomic */
};

static pthread_mutex_t spaces_lock = PTHREAD_MUTEX_INITIALIZER;
static struct space *spaces;
static uint64_t last_version; /* atomic */
static struct clock *mem_clock = &clock_system; /* atomic */

static void object_free(struct object *o)
{
	free(o->key);
	free(o->data);
	free(o);
}

static void space_free(struct space *sp)
{
	struct object *o, *next;

	HASH_ITER (hh, sp->objects, o, next) {
		HASH_DEL(sp->objects, o);
		object_free(o);
	}
	pthread_mutex_destroy(&sp->lock);
	free(sp->name);
	free(sp);
}

static void space_put(struct space *sp)
{
	bool last;

	pthread_mutex_lock(&spaces_lock);
	last = --sp->refs == 0;
	pthread_mutex_unlock(&spaces_lock);
	if (last)
		space_free(sp);
}

static struct space *space_get(const char *name)
{
	struct space *sp;

	pthread_mutex_lock(&spaces_lock);
	for (sp = spaces; sp && strcmp(sp->name, name) != 0; sp = sp->next)
		;
	if (!sp && (sp = calloc(1, sizeof(*sp)))) {
		sp->name = strdup(name);
		if (sp->name) {
			pthread_mutex_init(&sp->lock, NULL);
			sp->refs = 1;
			sp->next = spaces;
			spaces = sp;
		} else {
			free(sp);
			sp = NULL;
		}
	}
	if (sp)
		sp->refs++;
	pthread_mutex_unlock(&spaces_lock);
	return sp;
}

void store_mem_drop(const char *url)
{
	struct space **p, *found;

	pthread_mutex_lock(&spaces_lock);
	for (p = &spaces; *p && strcmp((*p)->name, url) != 0; p = &(*p)->next)
		;
	found = *p;
	if (found)
		*p = found->next;
	pthread_mutex_unlock(&spaces_lock);
	if (found)
		space_put(found);
}

void store_mem_clock(struct clock *clock)
{
	__atomic_store_n(&mem_clock, clock ? clock : &clock_system, __ATOMIC_RELEASE);
}

static int enter(struct store *s, const char *what, const char *key)
{
	struct mem *m = (struct mem *)s;

	if (__atomic_load_n(&m->cancelled, __ATOMIC_ACQUIRE))
		return err_note(-ECANCELED, "%s %s: cancelled", what, key);
	pthread_mutex_lock(&m->space->lock);
	return 0;
}

static void leave(struct store *s)
{
	pthread_mutex_unlock(&((struct mem *)s)->space->lock);
}

static struct object *find(struct store *s, const char *key)
{
	struct object *o;

	HASH_FIND_STR(((struct mem *)s)->space->objects, key, o);
	return o;
}

static void fill_meta(const struct object *o, struct store_meta *ret)
{
	if (!ret)
		return;
	*ret = (struct store_meta){ .size_bytes = o->len, .mtime_s = o->mtime_s };
	(void)snprintf(ret->etag, sizeof(ret->etag), "%016llx", (unsigned long long)o->version);
}

static int mem_get(struct store *s, const char *key, uint64_t offset, uint64_t len, struct buf *out,
		   struct store_meta *ret_meta)
{
	struct object *o;
	size_t before = out->len;
	int err = enter(s, "GET", key);

	if (err < 0)
		return err;
	o = find(s, key);
	if (!o) {
		err = err_note(-ENOENT, "GET %s: no such object", key);
	} else {
		if (offset < o->len)
			buf_add(out, o->data + offset, min_u64(len, o->len - offset));
		err = buf_error(out);
		fill_meta(o, ret_meta);
	}
	leave(s);
	if (err < 0)
		out->len = before;
	return err;
}

static int64_t now_s(void)
{
	struct clock *clock = __atomic_load_n(&mem_clock, __ATOMIC_ACQUIRE);

	return clock->real_ns(clock) / 1000000000;
}

static struct object *object_new(const struct store_put *put)
{
	struct object *o = calloc(1, sizeof(*o));
	size_t at = 0;

	if (!o)
		return NULL;
	o->len = store_put_size(put);
	o->key = strdup(put->key);
	o->data = malloc(o->len ? o->len : 1);
	if (!o->key || !o->data) {
		object_free(o);
		return NULL;
	}
	for (int i = 0; i < put->iovcnt; i++) {
		if (put->iov[i].iov_len)
			memcpy(o->data + at, put->iov[i].iov_base, put->iov[i].iov_len);
		at += put->iov[i].iov_len;
	}
	o->mtime_s = now_s();
	o->version = __atomic_add_fetch(&last_version, 1, __ATOMIC_RELAXED);
	return o;
}

static int check_condition(const struct store_put *put, const struct object *present)
{
	struct store_meta meta;

	if (put->cond == STORE_CREATE && present)
		return err_note(-L3_PRECONDITION, "PUT %s: exists", put->key);
	if (put->cond != STORE_MATCH)
		return 0;
	if (!present)
		return err_note(-L3_PRECONDITION, "PUT %s: does not exist", put->key);
	fill_meta(present, &meta);
	if (strcmp(meta.etag, put->match_etag) != 0)
		return err_note(-L3_PRECONDITION, "PUT %s: has changed", put->key);
	return 0;
}

static int mem_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct mem *m = (struct mem *)s;
	struct object *made = object_new(put), *old;
	int err;

	if (!made)
		return -ENOMEM;
	err = enter(s, "PUT", put->key);
	if (err < 0) {
		object_free(made);
		return err;
	}
	old = find(s, put->key);
	err = check_condition(put, old);
	if (err >= 0) {
		HASH_ADD_KEYPTR(hh, m->space->objects, made->key, strlen(made->key), made);
		if (!made->hh.tbl)
			err = -ENOMEM;
	}
	if (err >= 0) {
		if (old)
			HASH_DEL(m->space->objects, old);
		fill_meta(made, ret_meta);
	} else {
		old = made;
	}
	leave(s);
	if (old)
		object_free(old);
	return err;
}

static int mem_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	struct object *o;
	int err = enter(s, "HEAD", key);

	if (err < 0)
		return err;
	o = find(s, key);
	if (o)
		fill_meta(o, ret_meta);
	else
		err = err_note(-ENOENT, "HEAD %s: no such object", key);
	leave(s);
	return err;
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct object *const *)a)->key, (*(struct object *const *)b)->key);
}

static int mem_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		    struct store_list *out)
{
	struct mem *m = (struct mem *)s;
	struct object **found = NULL, *o, *next;
	size_t count = 0;
	int err = enter(s, "LIST", prefix);

	if (err < 0)
		return err;
	found = malloc((HASH_COUNT(m->space->objects) + 1) * sizeof(struct object *));
	if (!found)
		err = -ENOMEM;
	else
		HASH_ITER (hh, m->space->objects, o, next)
			if (strncmp(o->key, prefix, strlen(prefix)) == 0 &&
			    strcmp(o->key, start_after) > 0)
				found[count++] = o;
	if (count > 0)
		qsort(found, count, sizeof(struct object *), by_key);
	if (max == 0 || max > 1000)
		max = 1000;
	for (size_t i = 0; i < count && i < max && err >= 0; i++)
		err = store_list_add(out, found[i]->key, found[i]->len, found[i]->mtime_s);
	out->more = count > max;
	leave(s);
	free(found);
	return err;
}

static int mem_copy(struct store *s, const char *from, const char *to)
{
	struct buf data CLEANUP(buf_release) = BUF_INIT;
	int err = mem_get(s, from, 0, STORE_TO_END, &data, NULL);
	struct iovec v = { .iov_base = data.data, .iov_len = data.len };
	struct store_put put = { .key = to, .iov = &v, .iovcnt = 1 };

	return err < 0 ? err : mem_put(s, &put, NULL);
}

static int mem_remove(struct store *s, const char *key)
{
	struct mem *m = (struct mem *)s;
	struct object *o;
	int err = enter(s, "DELETE", key);

	if (err < 0)
		return err;
	o = find(s, key);
	if (o)
		HASH_DEL(m->space->objects, o);
	leave(s);
	if (o)
		object_free(o);
	return 0;
}

static int mem_remove_many(struct store *s, const char *const *keys, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err >= 0; i++)
		err = mem_remove(s, keys[i]);
	return err;
}

static void mem_cancel(struct store *s)
{
	__atomic_store_n(&((struct mem *)s)->cancelled, true, __ATOMIC_RELEASE);
}

static void mem_destroy(struct store *s)
{
	struct mem *m = (struct mem *)s;

	if (m->space)
		space_put(m->space);
	store_fini(s);
	free(m);
}

static const struct store_ops mem_ops = {
	.name = "mem",
	.get = mem_get,
	.put = mem_put,
	.head = mem_head,
	.list = mem_list,
	.copy = mem_copy,
	.remove = mem_remove,
	.remove_many = mem_remove_many,
	.cancel = mem_cancel,
	.destroy = mem_destroy,
};

int store_mem_open(const char *url, const struct store_config *config, struct store **ret)
{
	struct mem *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	if (store_init(&m->store, &mem_ops, url) < 0 || !(m->space = space_get(url))) {
		mem_destroy(&m->store);
		return -ENOMEM;
	}
	*ret = &m->store;
	return 0;
}

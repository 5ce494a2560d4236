/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * objects: the life of the disk tier's objects, their order of use, room for new ones, and what
 * happens when the disk does not do its part.
 */
#include "cache/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#define BYPASS_MS 30000

static void object_name(const char *key, char out[OBJECT_NAME_LEN + 1])
{
	XXH128_hash_t h = XXH3_128bits(key, strlen(key));

	(void)snprintf(out, OBJECT_NAME_LEN + 1, "%016llx%016llx", (unsigned long long)h.high64,
		       (unsigned long long)h.low64);
}

void object_file(const struct disk_object *o, char kind, char out[FILE_NAME_LEN])
{
	(void)snprintf(out, FILE_NAME_LEN, "%s.%c", o->name, kind);
}

static void object_free(struct disk_object *o)
{
	pieces_release(&o->pieces);
	free(o);
}

static struct disk_object *object_find(struct disk *d, const char *name)
{
	struct disk_object *o;

	HASH_FIND_STR(d->objects, name, o);
	return o;
}

static struct disk_object *object_make(struct disk *d, const char *name)
{
	struct disk_object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	memcpy(o->name, name, sizeof(o->name));
	HASH_ADD_STR(d->objects, name, o);
	DL_PREPEND(d->order, o);
	return o;
}

/* Out of the table; freed with the last reference. */
static void detach(struct disk *d, struct disk_object *o)
{
	HASH_DEL(d->objects, o);
	DL_DELETE(d->order, o);
	d->used_bytes -= o->data_bytes + o->index_bytes;
	o->gone = true;
}

void object_put(struct disk *d, struct disk_object *o)
{
	if (--o->refs == 0 && o->gone)
		object_free(o);
}

void object_account(struct disk *d, struct disk_object *o, uint64_t data, uint64_t index)
{
	d->used_bytes = d->used_bytes - o->data_bytes - o->index_bytes + data + index;
	o->data_bytes = data;
	o->index_bytes = index;
}

/* ---- one at a time ---- */

void object_claim(struct disk *d, struct disk_object *o)
{
	while (o->busy)
		pthread_cond_wait(&d->changed, &d->lock);
	o->busy = true;
}

static void remove_files(struct disk *d, const struct disk_object *o)
{
	char file[FILE_NAME_LEN];

	object_file(o, 'i', file);
	(void)unlinkat(d->folder.fd, file, 0);
	object_file(o, 'd', file);
	(void)unlinkat(d->folder.fd, file, 0);
}

void object_unclaim(struct disk *d, struct disk_object *o)
{
	if (o->dead && !o->gone) {
		pthread_mutex_unlock(&d->lock);
		remove_files(d, o);
		pthread_mutex_lock(&d->lock);
		detach(d, o);
	}
	o->busy = false;
	pthread_cond_broadcast(&d->changed);
}

void object_kill(struct disk *d, struct disk_object *o)
{
	o->dead = true;
	if (o->busy)
		return; /* whoever is, will see it */
	o->busy = true;
	object_unclaim(d, o);
}

/* ---- entering ---- */

static int read_index(struct disk *d, struct disk_object *o, const char *key,
		      struct piece_list *ret)
{
	char file[FILE_NAME_LEN];
	bool lent;
	int fd, err;

	object_file(o, 'i', file);
	fd = spare_open(&d->spare, d->folder.fd, file, O_RDONLY, &lent);
	err = fd < 0 ? fd : index_load(fd, key, ret);
	spare_close(&d->spare, fd, lent);
	return err;
}

static void load(struct disk *d, struct disk_object *o, const char *key)
{
	struct piece_list pieces;
	int err;

	pthread_mutex_unlock(&d->lock);
	err = read_index(d, o, key, &pieces);
	pthread_mutex_lock(&d->lock);
	if (disk_is_our_lack(err))
		return;
	if (err < 0) {
		__atomic_add_fetch(&d->stats->corrupt, 1, __ATOMIC_RELAXED);
		o->dead = true;
		return;
	}
	o->pieces = pieces;
	o->loaded = true;
}

struct disk_object *object_peek(struct disk *d, const char *key)
{
	char name[OBJECT_NAME_LEN + 1];
	struct disk_object *o;

	object_name(key, name);
	o = object_find(d, name);
	if (!o || o->dead)
		return NULL;
	o->refs++;
	return o;
}

struct disk_object *object_enter(struct disk *d, const char *key, bool make)
{
	struct disk_object *o = object_peek(d, key);
	char name[OBJECT_NAME_LEN + 1];

	if (!o) {
		object_name(key, name);
		if (!make || object_find(d, name))
			return NULL;
		o = object_make(d, name);
		if (!o)
			return NULL;
		o->loaded = true;
		o->refs = 1;
	}
	if (!o->loaded) {
		object_claim(d, o);
		if (!o->loaded && !o->dead)
			load(d, o, key);
		object_unclaim(d, o);
	}
	if (o->dead || !o->loaded) {
		object_put(d, o);
		return NULL;
	}
	DL_DELETE(d->order, o);
	DL_PREPEND(d->order, o);
	return o;
}

/* ---- room ---- */

static struct disk_object *pick_victim(struct disk *d)
{
	struct disk_object *o = d->order ? d->order->prev : NULL;

	while (o && (o->busy || o->dead))
		o = o == d->order ? NULL : o->prev;
	return o;
}

static bool evict_one(struct disk *d)
{
	struct disk_object *o = pick_victim(d);

	if (!o)
		return false;
	o->refs++;
	object_kill(d, o);
	object_put(d, o);
	__atomic_add_fetch(&d->stats->evicted_objects, 1, __ATOMIC_RELAXED);
	return true;
}

/* Is as much left to others as it should be? */
static int leaves_enough(struct disk *d, uint64_t need)
{
	struct statvfs v;
	int err;

	pthread_mutex_unlock(&d->lock);
	err = fstatvfs(d->folder.fd, &v) < 0 ? -errno : 0;
	pthread_mutex_lock(&d->lock);
	if (err < 0)
		return err;
	return (uint64_t)v.f_bavail * v.f_frsize >= d->min_free_bytes + d->reserved_bytes + need;
}

int disk_make_room(struct disk *d, uint64_t need)
{
	for (;;) {
		int enough;

		while (d->used_bytes + d->reserved_bytes + need > d->limit_bytes)
			if (!evict_one(d))
				return 0;
		enough = leaves_enough(d, need);
		if (enough < 0)
			return enough;
		if (!enough && !evict_one(d))
			return -ENOSPC;
		/* The lock was dropped: look again before it counts. */
		if (enough && d->used_bytes + d->reserved_bytes + need <= d->limit_bytes) {
			d->reserved_bytes += need;
			return 1;
		}
	}
}

/* ---- trouble ---- */

static uint64_t now_ms(struct disk *d)
{
	return clock_mono_ms(d->clock);
}

bool disk_is_our_lack(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

bool disk_is_bypassed(struct disk *d)
{
	return d->reopening || now_ms(d) < d->bypass_until_ms;
}

static void bypass(struct disk *d, int err, const char *why)
{
	bool first = !d->troubled;

	d->bypass_until_ms = now_ms(d) + BYPASS_MS;
	d->troubled = true;
	if (!first)
		return;
	pthread_mutex_unlock(&d->lock);
	notify(&d->notifier, LOG_L_WARN,
	       "cache folder %s cannot be used for now, going on without: %s", d->dir,
	       why[0] ? why : err_text(err));
	pthread_mutex_lock(&d->lock);
}

void disk_all_well(struct disk *d)
{
	if (!d->troubled)
		return;
	d->troubled = false;
	pthread_mutex_unlock(&d->lock);
	notify(&d->notifier, LOG_L_INFO, "cache folder %s is in use again", d->dir);
	pthread_mutex_lock(&d->lock);
}

/* The files of all objects are gone with the folder. */
static void forget_all(struct disk *d)
{
	struct disk_object *o, *next;

	HASH_ITER (hh, d->objects, o, next) {
		o->dead = true;
		if (o->busy)
			continue;
		detach(d, o);
		if (o->refs == 0)
			object_free(o);
	}
}

/* The new folder takes the place of the old under the same descriptor numbers, which others may be
 * using just now. */
static int replace_folder(struct disk *d)
{
	struct folder f;
	int err = folder_open(d->dir, &d->fs, &f);

	if (err < 0)
		return err;
	if (dup3(f.lock_fd, d->folder.lock_fd, O_CLOEXEC) < 0 ||
	    dup3(f.fd, d->folder.fd, O_CLOEXEC) < 0)
		err = -errno;
	folder_close(&f);
	return err;
}

static void reopen(struct disk *d)
{
	int err;

	d->reopening = true;
	pthread_mutex_unlock(&d->lock);
	err = folder_is_gone(&d->folder) ? replace_folder(d) : 1;
	pthread_mutex_lock(&d->lock);
	d->reopening = false;
	if (err == 0)
		forget_all(d);
	else if (err < 0)
		bypass(d, err, err_last_note());
}

void disk_trouble(struct disk *d, int err)
{
	if (err != -ENOENT)
		bypass(d, err, "");
	else if (!d->reopening)
		reopen(d);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * park: where the bytes of writes are that wait without a worker. A worker's own buffer is needed for the next
 * request; so they are copied, to memory up to a bound, beyond it to a file without a name in the cache folder. Both
 * are empty again as soon as nobody waits. What finds no room, or would fill the disk, keeps its worker.
 *
 * The file has places of one size, as large as a request can be.
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MEMORY_SHARE 16 /* of mem_limit */
#define PLACES 512
#define LEFT_FREE_BYTES GIB

static struct {
	pthread_mutex_t lock;
	uint64_t memory_bytes, memory_used;
	int fd; /* -1: no file */
	size_t place_bytes;
	unsigned places_used;
	bool taken[PLACES];
} lot = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

/* Where nobody else comes by: the cache folder is its owner's alone. */
static int unnamed_file(const char *dir)
{
	char *path CLEANUP(free_ptr) = NULL;
	int fd;

	if (!dir || strcmp(dir, "none") == 0)
		return -1;
	if (asprintf(&path, "%s/parked-XXXXXX", dir) < 0) {
		path = NULL;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	else
		log_line(LOG_L_DEBUG, "%s: %s", path, err_text(-errno));
	return fd;
}

void park_open(const char *cache_dir, uint64_t mem_limit_bytes, size_t request_bytes)
{
	lot.memory_bytes = mem_limit_bytes / MEMORY_SHARE;
	lot.place_bytes = request_bytes;
	lot.fd = unnamed_file(cache_dir);
}

static bool take_memory(const char *bytes, size_t size, struct parked *ret)
{
	bool fits;

	pthread_mutex_lock(&lot.lock);
	fits = lot.memory_used + size <= lot.memory_bytes;
	if (fits)
		lot.memory_used += size;
	pthread_mutex_unlock(&lot.lock);
	if (!fits)
		return false;
	*ret = (struct parked){ .bytes = malloc(size), .place = -1, .size = size };
	if (!ret->bytes) {
		park_drop(ret);
		return false;
	}
	memcpy(ret->bytes, bytes, size);
	return true;
}

static int take_place(size_t size)
{
	int place = -1;

	pthread_mutex_lock(&lot.lock);
	for (int n = 0; n < PLACES && place < 0 && lot.fd >= 0 && size <= lot.place_bytes; n++)
		if (!lot.taken[n])
			place = n;
	if (place >= 0) {
		lot.taken[place] = true;
		lot.places_used++;
	}
	pthread_mutex_unlock(&lot.lock);
	return place;
}

static off_t offset_of(const struct parked *p)
{
	return (off_t)p->place * (off_t)lot.place_bytes;
}

/* The disk is others', too. */
static bool leaves_enough(void)
{
	struct statvfs v;

	return fstatvfs(lot.fd, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize >= LEFT_FREE_BYTES;
}

static bool take_file(const char *bytes, size_t size, struct parked *ret)
{
	*ret = (struct parked){ .place = take_place(size), .size = size };
	if (ret->place < 0)
		return false;
	if (leaves_enough() && pwrite(lot.fd, bytes, size, offset_of(ret)) == (ssize_t)size)
		return true;
	park_drop(ret);
	return false;
}

bool park_put(const char *bytes, size_t size, struct parked *ret)
{
	return take_memory(bytes, size, ret) || take_file(bytes, size, ret);
}

const char *park_get(const struct parked *p, char *buf)
{
	if (p->place < 0)
		return p->bytes;
	return pread(lot.fd, buf, p->size, offset_of(p)) == (ssize_t)p->size ? buf : NULL;
}

void park_drop(struct parked *p)
{
	free(p->bytes);
	pthread_mutex_lock(&lot.lock);
	if (p->place < 0) {
		lot.memory_used -= p->size;
	} else {
		lot.taken[p->place] = false;
		if (--lot.places_used == 0 && ftruncate(lot.fd, 0) < 0)
			log_debug("what was parked stays on the disk: %s", err_text(-errno));
	}
	pthread_mutex_unlock(&lot.lock);
}

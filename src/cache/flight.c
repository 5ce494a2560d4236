/* SPDX-License-Identifier: BSD-3-Clause */
/* flight: the list of GETs under way, and waiting for them. There are few, so a list will do. */
#include "cache/flight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void flights_init(struct flights *fl)
{
	*fl = (struct flights){ .list = NULL };
	pthread_mutex_init(&fl->lock, NULL);
	pthread_cond_init(&fl->landed, NULL);
}

void flights_release(struct flights *fl)
{
	pthread_mutex_destroy(&fl->lock);
	pthread_cond_destroy(&fl->landed);
}

/* The one that brings the byte at offset. Else *ret_free_to is where the next one begins, if that
 * is before. */
static struct flight *find(struct flights *fl, const char *key, uint64_t offset,
			   uint64_t *ret_free_to)
{
	struct flight *f;

	DL_FOREACH (fl->list, f) {
		if (span_end(&f->window) <= offset || f->window.offset >= *ret_free_to ||
		    strcmp(f->key, key) != 0)
			continue;
		if (f->window.offset <= offset)
			return f;
		*ret_free_to = f->window.offset;
	}
	return NULL;
}

static struct flight *flight_new(const char *key, uint64_t start, uint64_t end)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->window = (struct span){ start, end - start };
	f->key = strdup(key);
	if (!f->key) {
		free(f);
		return NULL;
	}
	return f;
}

struct flight *flight_board(struct flights *fl, const char *key, uint64_t offset,
			    const struct span *window, unsigned max, bool *ret_own)
{
	uint64_t end = span_end(window);
	struct flight *f;

	*ret_own = false;
	pthread_mutex_lock(&fl->lock);
	f = find(fl, key, offset, &end);
	if (!f && (max == 0 || fl->count < max)) {
		f = flight_new(key, window->offset, end);
		if (f) {
			DL_APPEND(fl->list, f);
			fl->count++;
			f->background = max > 0;
			*ret_own = true;
		}
	}
	if (f)
		f->refs++;
	pthread_mutex_unlock(&fl->lock);
	return f;
}

void flight_land(struct flights *fl, struct flight *f, int err, struct blob *blob)
{
	pthread_mutex_lock(&fl->lock);
	f->err = err;
	f->blob = blob;
	(void)snprintf(f->note, sizeof(f->note), "%s", err < 0 ? err_last_note() : "");
	f->done = true;
	DL_DELETE(fl->list, f);
	fl->count--;
	pthread_cond_broadcast(&fl->landed);
	pthread_mutex_unlock(&fl->lock);
}

void flight_wait(struct flights *fl, struct flight *f)
{
	pthread_mutex_lock(&fl->lock);
	while (!f->done)
		pthread_cond_wait(&fl->landed, &fl->lock);
	pthread_mutex_unlock(&fl->lock);
}

void flight_put(struct flights *fl, struct flight *f)
{
	bool last;

	pthread_mutex_lock(&fl->lock);
	last = --f->refs == 0;
	pthread_mutex_unlock(&fl->lock);
	if (!last)
		return;
	blob_put(f->blob);
	free(f->key);
	free(f);
}

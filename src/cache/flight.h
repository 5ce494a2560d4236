/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flights: GETs under way. Who wants bytes that one of them brings waits for it instead of asking
 * again.
 */
#ifndef LEVELS3_CACHE_FLIGHT_H
#define LEVELS3_CACHE_FLIGHT_H

#include "cache/internal.h"

struct flight {
	char *key;
	struct span window;
	bool background; /* nobody's own: its failure is not the failure of those who wait */
	bool done;
	int err;
	char note[256];
	struct blob *blob; /* when done without error; NULL: look into the tiers again */
	unsigned refs;
	struct flight *prev, *next;
};

struct flights {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct flight *list;
	unsigned count;
};

void flights_init(struct flights *fl);
void flights_release(struct flights *fl);

/* The flight that brings the byte at offset, or a new one if there is none, for the window, which
 * has that byte, up to where another flight's begins; with a reference. *ret_own: it is new, and
 * the caller has to land it. max: most at once for a new one, 0 for any number. NULL: too many, or
 * no memory. */
struct flight *flight_board(struct flights *fl, const char *key, uint64_t offset,
			    const struct span *window, unsigned max, bool *ret_own);
/* Ends it, with a blob (taken over) or an error whose note is this thread's. */
void flight_land(struct flights *fl, struct flight *f, int err, struct blob *blob);
void flight_wait(struct flights *fl, struct flight *f);
void flight_put(struct flights *fl, struct flight *f);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the lease room: the state of a lease, and what its files need of each other. */
#ifndef LEVELS3_LEASE_INTERNAL_H
#define LEVELS3_LEASE_INTERNAL_H

#include "lease/lease.h"

#define LEASE_KEY "lease"
#define LEASE_OBJECT_MAX 4096 /* a frame with the longest strings is smaller */

struct lease {
	struct lease_config config; /* store: our reference */
	char *mountpoint;	    /* our copy */
	uint64_t secret;	    /* what nonces are made with: see lease_nonce */

	pthread_mutex_t lock; /* never held while the store is asked */
	pthread_cond_t changed;

	/* Under the lock. */
	uint64_t epoch;
	uint64_t writes; /* begun so far, with whatever outcome */
	uint64_t valid_until_ns;
	bool busy; /* one thread at a time asks the store; it owns what is below */
	bool lost, lost_told;
	bool released, cancelled, stopping, threaded;
	bool hurry;	      /* somebody waits for the renewal */
	bool overdue_noticed; /* a person has heard that renewing fails */
	pthread_t thread;

	/* Of the thread that has set busy. */
	char etag[STORE_ETAG_MAX]; /* of the object as we last knew it; "" when there is none */
	int64_t since_real_ns;
};

/* ---- record.c: the stored form */

int lease_encode(const struct lease_holder *h, const struct uuid *fs, struct buf *out);
int lease_decode(const void *data, size_t len, const struct uuid *fs, struct lease_holder *ret);
/* Like lease_read, and the etag to go with it. */
int lease_fetch(struct store *store, const struct uuid *fs, struct lease_holder *ret,
		char etag[STORE_ETAG_MAX]);

/* ---- process.c: who we are */

/* Fills pid, pid_start, pid_ns, boot_id and host. What cannot be found out stays 0 or empty, and is
 * then never taken as proof of a death. */
void lease_identify(struct lease_holder *h);

/* ---- lease.c: for acquire.c */

int lease_new(const struct lease_config *config, struct lease **ret);
/* True if this very lease wrote the object, be it by a request whose answer was lost. */
bool lease_is_ours(struct lease *l, const struct lease_holder *h);
/* Writes the object once, on condition that it still is the one with our etag (or absent). With it
 * the lease is valid for its duration from now, but for a margin. */
int lease_put(struct lease *l, bool released);
/* Time-only mode: time for another taker's write to arrive and be seen. */
void lease_settle(struct lease *l);

#endif

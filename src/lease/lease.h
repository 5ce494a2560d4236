/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease: who should write. One object, "lease", changed only by if-match (create-only at birth).
 *
 * The lease says who *should* write; the commit chain (db) is what stops a zombie. So this room
 * promises: epochs only grow; after lease_lost() is true nothing makes the lease valid again; and by
 * this host's own clock (CLOCK_BOOTTIME) lease_valid() is false from the moment on which another
 * host may have taken over. Nobody's clock but our own is trusted: a foreign lease is expired when
 * its ETag has not changed for its full duration as watched from here; at once when it was released,
 * or when its holder was a process of this same boot and pid namespace that is gone.
 *
 *	lease_acquire → lease_raise (db, when the chain has a higher epoch) → lease_start
 *	→ … lease_valid/lease_wait … → lease_release → lease_free
 *
 * Stored form: doc/format.md, "lease". Reference: Gray and Cheriton, Leases, SOSP 1989.
 */
#ifndef LEVELS3_LEASE_H
#define LEVELS3_LEASE_H

#include "store/store.h"

/* Names of objects and ids of segments have no room for more; nobody comes that far who counts from 1. */
#define LEASE_EPOCH_MAX UINT32_MAX

struct lease;

struct lease_holder { /* what the object says */
	uint64_t epoch;
	bool released;
	uint64_t duration_ms;
	uint64_t renewals;
	uint64_t nonce;
	int64_t since_real_ns; /* when this epoch was acquired, by the holder's clock: for people only */
	uint64_t pid;
	uint64_t pid_start;	 /* field 22 of /proc/PID/stat */
	uint64_t pid_ns;	 /* inode number of /proc/self/ns/pid */
	char boot_id[40];
	char host[256];
	char mountpoint[1024]; /* or the verb that holds it: "(mkfs)" */
};

struct lease_config {
	struct store *store; /* with retries of bounded number; a reference is taken */
	struct uuid fs;
	const char *mountpoint; /* shown to people */
	uint64_t duration_ms;	/* 30 s */
	uint64_t renew_ms;	/* 10 s; must be less than half of duration: else -L3_BAD_OPTION */
	uint64_t wait_ms;	/* how long to wait for somebody else's lease; 0: refuse at once */
	bool create;		/* mkfs: there should be no object yet; otherwise a missing one is warned of.
				   One left by an interrupted mkfs is taken over like any other */
	/* -o lease_only, for stores that ignore conditions: looks, writes, waits renew_ms / 2, and looks
	 * whether the object is still its own. Two that begin within that time don't both hold it; a
	 * machine that stands still between its look and its write may overwrite another's. */
	bool time_only;
	/* Takes it from whoever has it. A holder that is alive after all finds out when it renews, and what it
	 * stores before somebody mounts again counts; with time_only nothing keeps it from writing meanwhile. */
	bool force;
	struct clock *clock; /* NULL: the system's */
	struct notifier notifier;
	/* Called while waiting, about once a second, so that a person sees progress. May be NULL.
	 * Nonzero return stops waiting with -EINTR. */
	int (*on_wait)(void *ctx, const struct lease_holder *holder, uint64_t waited_ms);
	void *ctx;
	/* Called once, when the lease is lost for good: from the renewal thread if there is one, else
	 * from the thread that found out. */
	void (*on_lost)(void *ctx);
};

/*
 * Takes the lease: epoch = the object's + 1. Writes the object once. -L3_LEASE_HELD with a note "held
 * by HOST, pid N, mounted on DIR since TIME" and *ret_holder (if not NULL) filled; -EINTR; -EOVERFLOW behind
 * LEASE_EPOCH_MAX; -L3_CORRUPT for a damaged object; store errors.
 * A crash right after leaves a lease that nobody holds: it runs out.
 */
int lease_acquire(const struct lease_config *config, struct lease **ret,
		  struct lease_holder *ret_holder);
uint64_t lease_epoch(const struct lease *l);
/* Moves to a higher epoch (the chain had seen one, the lease object was lost or reset). 0; -EINVAL for a
 * lower one; -L3_FENCED when somebody else holds it; store errors (try again). */
int lease_raise(struct lease *l, uint64_t epoch);
/* Reads the object again: 0 if it is still ours, -L3_FENCED (and lost from now on) if somebody else's,
 * store errors. A deleted one is made again first, unless somebody else is faster. */
int lease_confirm(struct lease *l);

/* Reading failed with err. Where that is -L3_CORRUPT and somebody else has the lease by now, who may have removed what we
 * were about to read: -L3_FENCED; else err, with its note. l may be NULL. */
int lease_explain(struct lease *l, int err);

/* Starts renewing in a thread. */
int lease_start(struct lease *l);
/* One step of the renewal: renews now. 0; -L3_FENCED; -L3_CLOSED after the release; any other error may
 * pass, whatever it is. */
int lease_renew(struct lease *l);
/* True while no other host can have taken over, by our clock. Cheap. */
bool lease_valid(struct lease *l);
/* True once somebody else has taken it: fenced for good. */
bool lease_lost(struct lease *l);
/* The chain met a newer epoch: same as if the renewal had. */
void lease_mark_lost(struct lease *l);
/* Waits until valid (renewed), before lease_start by renewing itself. 0, -L3_FENCED when lost, -ECANCELED
 * after lease_cancel, -L3_CLOSED when being released. */
int lease_wait(struct lease *l);
void lease_cancel(struct lease *l);
/* Stops renewing and marks the object released if it is still ours, so that the next mount need not
 * wait. Everything must be durable before. */
int lease_release(struct lease *l);
/* Stops the thread without touching the object. NULL is fine. */
void lease_free(struct lease *l);

/* For status, doctor, refusal messages. -ENOENT if there is none. */
int lease_read(struct store *store, const struct uuid *fs, struct lease_holder *ret);
/* True if the holder was a process of this boot and pid namespace that no longer runs. */
bool lease_holder_is_dead(const struct lease_holder *h);
/* "host.example, pid 4242, mounted on /mnt since 2026-01-02 03:04:05" */
void lease_describe(const struct lease_holder *h, struct buf *out);

/*
 * Does this bucket honour create-only and if-match? Tries on `key` (an existing object whose bytes
 * are `data`), always writing those same bytes, so that a store that ignores conditions does no harm. etag: what it
 * had when they were read, if known: that saves a request.
 * 0; -L3_NO_CONDITION with a note that says which one is ignored; store errors.
 */
int lease_probe(struct store *store, const char *key, const void *data, size_t len, const char *etag);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot: one cut on its way into the store.
 */
#ifndef LEVELS3_DB_SLOT_H
#define LEVELS3_DB_SLOT_H

#include "db/chain.h"

struct seal_wait {
	int (*wait)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct db_seal { /* what the owner's before_seal adds to a cut */
	struct seal_wait *waits;
	size_t wait_count, wait_cap;
	struct part *parts;
	size_t part_count, part_cap;
};

/* Waits for what the cut depends on, PUTs it as the next slot and applies it to the history. 0
 * means durable, and ours to acknowledge. */
int db_slot_send(struct chain *c, const struct rec *recs, const struct db_seal *seal, uint64_t cut);
/* Calls the owner's done functions and frees. */
void db_slot_seal_done(struct db_seal *seal, int result);

#endif

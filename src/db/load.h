/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load: reads the durable state from the store: newest checkpoint, then the slots after it.
 */
#ifndef LEVELS3_DB_LOAD_H
#define LEVELS3_DB_LOAD_H

#include "db/checkpoint.h"
#include "db/history.h"

struct load_config {
	struct store *store;
	struct uuid fs;
	struct notifier notifier;
};

/*
 * Fills h (fresh) and the list of checkpoints that exist. Two requests (four where there are a thousand old epochs) and
 * one for each slot after the checkpoint, those in parallel. A writer that trims meanwhile makes it begin again.
 * -L3_CORRUPT names the object that is missing or bad; an empty chain is no error (h->slot is 0).
 */
int db_load_history(const struct load_config *c, struct history *h, struct checkpoint_list *ret);

/*
 * Applies the slots after h->slot up to `end`, fetched in parallel. After an error, *ret_good is the last slot
 * before the first that is missing or bad, and h of no further use. ret_missing may be NULL.
 */
int db_load_slots(const struct load_config *c, struct history *h, uint64_t end, uint64_t *ret_good,
		  bool *ret_missing);
/* Fills a fresh history from one checkpoint. -L3_CORRUPT, also if it is missing. */
int db_load_checkpoint(const struct load_config *c, uint64_t slot, struct history *h,
		       bool *ret_missing);
/* The numbers of the objects "PREFIX<20 digits>" that exist, ascending. Adds to the list. */
int db_load_numbers(const struct load_config *c, const char *prefix, struct checkpoint_list *ret);

/*
 * After loading from checkpoint `from` (0: none), and after creating a fence: 0 if no slot above
 * `from` can have been trimmed before this call; -EAGAIN if one may have been. Then what was read
 * or created there need not be the history: a fence that came too late may stand in the gap. One
 * request.
 */
int db_load_confirm(const struct load_config *c, uint64_t from);

/* Reads slot h->slot + 1, applies it, tells its head: for the fence. -ENOENT where there is none.
 */
int db_load_next_slot(const struct load_config *c, struct history *h, struct slot_head *ret);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rescue: the best that can be had of a chain that is broken; for fsck's repair.
 */
#ifndef LEVELS3_DB_RESCUE_H
#define LEVELS3_DB_RESCUE_H

#include "db/db.h"
#include "db/load.h"

/*
 * Fills h (fresh) with the newest state that checkpoints and slots make up, and the list with the
 * checkpoints that can be read. With DB_RESCUE_FILES, and no such state, with all logs and tables
 * that there are. h->slot is then the last number that is in use, h->epoch the highest seen or given:
 * the fence comes after that. Numbers behind the state are fences in h->fences, whatever the store
 * has of them: db_verify makes them. Changes nothing in the store. -L3_CORRUPT if there is nothing to be had.
 */
int db_rescue_history(const struct load_config *c, struct history *h, struct checkpoint_list *good,
		      const struct db_config *config);

#endif

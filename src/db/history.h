/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history: what the chain durably says up to some slot: LevelDB's directory, the epochs' first
 * slots, and the parts that slots carry for the owner. Opening builds it from checkpoint and slots;
 * afterwards every slot that became durable is applied to it, and checkpoints are made of it.
 * Not locked here: while opening it belongs to one thread, later to the chain's lock.
 */
#ifndef LEVELS3_DB_HISTORY_H
#define LEVELS3_DB_HISTORY_H

#include "db/names.h"
#include "db/record.h"

struct fence {
	uint64_t epoch, slot;
};

struct kept_part { /* found in a slot; the bytes follow */
	struct kept_part *next;
	uint64_t id, offset;
	size_t len;
	uint8_t bytes[];
};

struct history {
	struct names names;
	uint64_t slot, epoch; /* of the last slot; 0: none */
	struct fence *fences; /* ascending */
	size_t fence_count, fence_cap;
	struct kept_part *parts, **parts_end;
	uint64_t file_bytes; /* of files that are no tables: what a checkpoint costs */
	bool damaged; /* out of memory while applying: no checkpoint may be made of it */
	bool loose;   /* for fsck: what does not fit to what is there is left out, and no error */
};

void db_history_init(struct history *h);
void db_history_release(struct history *h);

/* Applies slot h->slot + 1 from its stored bytes. `what` is its key. -L3_CORRUPT with a note; the
 * history is then of no further use. ret_head may be NULL. */
int db_history_replay(struct history *h, const void *data, size_t len, const struct uuid *fs,
		      const char *what, struct slot_head *ret_head);
/* Applies our own slot, which has become durable. */
void db_history_apply(struct history *h, const struct slot_head *head, const struct rec *recs);

/* Sets file_bytes, once replay is over; applying keeps it up to date. */
void db_history_measure(struct history *h);
int db_history_add_fence(struct history *h, uint64_t epoch, uint64_t slot);
bool db_history_is_fence(const struct history *h, uint64_t slot);
void db_history_drop_parts(struct history *h);

#endif

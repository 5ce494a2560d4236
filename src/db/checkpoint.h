/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checkpoint: the durable state in one object, so that opening need not read the whole chain.
 *
 * Payload of checkpoint/<slot, 20 digits>: u64 slot, u64 epoch, varint count and (u64 epoch, u64
 * slot) of every epoch's first slot, varint count and the files: name, u8 kind, then for bytes (0)
 * their varint length and themselves, for a table (1) what db_table_encode writes.
 *
 * The two newest are kept, and all slots after the older of them, so that one bad object does not
 * end a filesystem. Slots before that go, but never the first of an epoch: it is what stops a
 * writer that slept through a takeover.
 */
#ifndef LEVELS3_DB_CHECKPOINT_H
#define LEVELS3_DB_CHECKPOINT_H

#include "db/history.h"
#include "store/store.h"

#define CHECKPOINT_PREFIX "checkpoint/"
#define CHECKPOINT_KEY_LIMIT 40

void db_checkpoint_key(uint64_t slot, char out[CHECKPOINT_KEY_LIMIT]);

struct checkpoint_list { /* slots of checkpoints in the store, ascending */
	uint64_t *slots;
	size_t count, cap;
};

int db_checkpoint_list_add(struct checkpoint_list *l, uint64_t slot);
void db_checkpoint_list_release(struct checkpoint_list *l);

/* A copy of the state at h->slot, by reference to files: cheap, taken under the chain's lock. */
struct checkpoint {
	uint64_t slot, epoch;
	struct fence *fences;
	size_t fence_count;
	struct checkpoint_file {
		char name[FILE_NAME_LIMIT];
		struct vfile *file;
		uint64_t len;
	} * files;
	size_t file_count;
};

int db_checkpoint_take(const struct history *h, struct checkpoint *ret);
void db_checkpoint_release(struct checkpoint *c);
/* Ready to be PUT; points into the files. */
int db_checkpoint_encode(const struct checkpoint *c, const struct uuid *fs, struct out *o);
/* Fills a fresh history. */
int db_checkpoint_decode(const void *data, size_t len, const struct uuid *fs, uint64_t slot,
			 const char *what, struct history *h);

#endif

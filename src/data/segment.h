/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment: what the files of this room share: segments in memory, and the struct that holds them.
 *
 *    OPEN ──────────► SEALED ──────────► QUEUED ──► UPLOADING ─┬─► DURABLE (soon leaves the table)
 *         when full,    ▲    last writer       upload.c        └─► FAILED (stays in memory)
 *         cut, pushed,  │    is done:
 *         required or   │    data_seg_kick
 *         waited for    │
 *    RECOVERED ─────────┘ data_store_parts
 *
 * Laws:
 *  1. A segment's bytes below `len` never change and never move, once their writer is done.
 *  2. A segment that isn't DURABLE is in the table: who doesn't find it may count on the object.
 *  3. Nothing is uploaded while a writer still copies into it.
 *  4. Bytes below `carried_upto` are in slots that are durable or on their way, or will be carried
 *     again (data_part_done with an error).
 *  5. The lock is held for bookkeeping only: no network, no compression, no copying of extents.
 */
#ifndef LEVELS3_DATA_SEGMENT_H
#define LEVELS3_DATA_SEGMENT_H

#include "data/format.h"
#include "data/hot.h"

#define DATA_HOT_BYTES (16 * MIB)

enum segment_state {
	SEG_OPEN,
	SEG_RECOVERED,
	SEG_SEALED,
	SEG_QUEUED,
	SEG_UPLOADING,
	SEG_DURABLE,
	SEG_FAILED
};

struct segment {
	/* constant */
	struct data *owner;
	uint64_t id;
	enum data_class class;
	bool recovered;
	uint8_t *bytes; /* a mapping of `capacity`; pages come as they are written */
	size_t capacity;
	atomic_uint refs; /* the table's, readers', the upload's */

	/* under data.lock */
	enum segment_state state;
	uint32_t len;
	struct buf index; /* entries as they will be stored, room for the footer reserved */
	uint32_t count;
	unsigned writers;
	unsigned parts_out;    /* given to cuts, not yet done */
	bool settling;	       /* durable, but being announced and written through to the cache */
	uint32_t carried_upto; /* by slots durable or under way */
	uint32_t carried_done; /* by durable slots */
	bool has_parts;	       /* some slot may carry bytes of it */
	bool required;	       /* stream: references to it are in the database */
	bool must_exist;       /* recovered: the database refers to bytes past our parts */
	uint64_t budget_bytes; /* forced into the budget */
	int error;	       /* when FAILED */
	char *note;	       /* its circumstances, or NULL */
	UT_hash_handle hh;
};

/* Mappings of stream segments that ended, for the next: those have a page fault for every 4 KiB
 * behind them. As many as a quarter of the budget has room for, which is not charged for them, and
 * only while there are segments. */
#define DATA_SPARES_MAX 2

struct pace { /* pace.c; under data.lock */
	unsigned allowed;    /* streams that are uploaded at a time */
	uint64_t alone_ns;   /* what a commit's request takes while none is, on average; 0: not known */
	uint64_t beside_ns;  /* while some are, since `allowed` changed, */
	unsigned commits;    /* of so many */
	uint64_t last_ns;    /* when the last one ended */
};

struct data {
	struct data_config config;
	struct pool *upload_pool; /* NULL when read-only */
	struct pool *read_pool;
	struct hot hot;

	pthread_mutex_t lock;
	pthread_cond_t changed;	 /* a segment became durable or failed; cancelled */
	struct segment *table;	 /* by id, iterated in order of birth */
	struct segment *open[2]; /* by class */
	uint32_t last_n;
	unsigned streams_uploading;
	struct pace pace;
	uint8_t *spares[DATA_SPARES_MAX];
	unsigned spare_count, spare_max;
	bool cancelled;
	bool closing;
	uint64_t segments_stored, raw_bytes, stored_bytes;
};

/* segment.c. "_locked": the caller holds data.lock. */
int data_seg_new_locked(struct data *d, uint64_t id, enum data_class class, bool recovered,
			size_t capacity, struct segment **ret);
struct segment *data_seg_find_locked(struct data *d, uint64_t id);
/* Ends an OPEN (or RECOVERED) segment; its upload begins when nobody writes any more. */
void data_seg_seal_locked(struct data *d, struct segment *seg);
/* Hands SEALED segments without writers to the upload threads; also mends an earlier -ENOMEM. */
void data_seg_kick_locked(struct data *d);
/* Charges more bytes of this segment to the budget. */
void data_seg_charge_locked(struct data *d, struct segment *seg, uint64_t bytes);
/* A DURABLE segment that nobody needs in memory any more leaves the table and gives its budget
 * back. Returns the table's reference, to be put without the lock, or NULL. */
struct segment *data_seg_drop_locked(struct data *d, struct segment *seg) MUST_CHECK;
/* A segment that readers must find in memory, referenced, with its present length; or NULL. */
struct segment *data_seg_get(struct data *d, uint64_t id, uint32_t *ret_len);
void data_seg_put(struct segment *seg);

void data_pace_init(struct data *d);
/* How many streams may be uploaded at a time. */
unsigned data_pace_locked(struct data *d, uint64_t now_ns);

/* Nobody streams: the spare mappings go. */
void data_seg_drop_spares(struct data *d);

/* upload.c: a pool job; uploads what is QUEUED. */
void data_upload_job(void *data);
/* The object must hold all that slots carried of it: the old writer's upload, or our own. -L3_CORRUPT if it is
 * missing, or differs. */
int data_seg_meet_recovered(struct segment *seg, const char *key);

/* runs.c: neighbouring stored ranges, fetched together. */
struct stretch { /* [start, end) of a segment's object */
	uint64_t segment;
	uint32_t start, end;
};

struct run {
	struct stretch at;
	size_t first, count; /* of the sorted stretches */
};

#define RUN_GAP_BYTES (16 * KIB)
#define RUN_MAX_BYTES (4 * MIB)

struct stretch data_stretch_of(const struct data_ref *ref); /* all that is stored of it */
/* True if the stretch was taken into the run. */
bool data_run_extend(struct run *run, const struct stretch *s, uint64_t max_bytes);
void data_run_begin(struct run *run, const struct stretch *s, size_t first);
/* For qsort, of stretches or of what begins with one. */
int data_stretch_order(const void *a, const void *b);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * record: the stored form of slots and of what a table is; doc/format.md has it byte by byte.
 *
 * A slot's payload: u64 slot, u64 epoch, u64 nonce, u8 flags, then records to the end:
 * u8 type, varint length, body. Names are bytes after a varint length.
 *
 *	CREATE  name			an empty file, in place of any of that name
 *	APPEND  name, u64 offset, bytes	the offset is the file's length so far
 *	TABLE   name, table		a table file, see db_table_encode
 *	REMOVE  name
 *	RENAME  from, to
 *	PART    u64 id, u64 offset, bytes	a piece of an object of the owner
 *
 * A slot is applied whole or not at all.
 */
#ifndef LEVELS3_DB_RECORD_H
#define LEVELS3_DB_RECORD_H

#include "db/file.h"
#include "lease/lease.h"
#include "store/store.h"

#define SLOT_KEY_LIMIT 32
#define SLOT_PREFIX "chain/"
#define SLOT_FLAG_FENCE 1 /* the first of its epoch */

void db_slot_key(uint64_t slot, char out[SLOT_KEY_LIMIT]);
/* The number in "PREFIX<20 digits>". -EINVAL if the key is not of that form. */
int db_numbered_key_parse(const char *key, const char *prefix, uint64_t *ret);

enum rec_type {
	REC_CREATE = 1,
	REC_APPEND = 2,
	REC_TABLE = 3,
	REC_REMOVE = 4,
	REC_RENAME = 5,
	REC_PART = 6,
};

struct rec { /* a change of the directory that goes into a slot */
	enum rec_type type;
	struct vfile *file;  /* a reference; NULL for RENAME */
	uint64_t from, upto; /* APPEND: bytes of the file */
	struct rec *next;
	char name[FILE_NAME_LIMIT];
	char to[FILE_NAME_LIMIT]; /* RENAME */
};

int db_rec_new(enum rec_type type, const char *name, struct vfile *file, struct rec **ret);
void db_rec_free(struct rec *r);
void db_recs_free(struct rec *list);

struct part { /* of the owner's object `id` */
	uint64_t id, offset;
	const void *data;
	size_t len;
	void (*done)(void *arg, int result); /* seals only */
	void *arg;
};

struct slot_head {
	uint64_t slot, epoch, nonce;
	uint8_t flags;
};

/* ---- writing: a frame of small own bytes and long foreign ones, ready for store_put ---- */

struct out_piece {
	const void *data; /* NULL: of the head */
	size_t offset, len;
};

struct out {
	struct buf head; /* the frame's header, then what buf_* adds */
	size_t closed;	 /* head bytes that are in pieces */
	struct out_piece *pieces;
	size_t count, cap;
	struct iovec *iov; /* by db_out_finish */
	uint64_t bytes;
};

void db_out_init(struct out *o);
void db_out_release(struct out *o);
void db_out_data(struct out *o, const void *data, size_t len); /* must stay until db_out_release */
void db_out_rope(struct out *o, const struct rope *r, struct rope_cursor *at, uint64_t end);
/* Header, checksum and iov. -ENOMEM if anything before went wrong. */
int db_out_finish(struct out *o, uint32_t frame_type, const struct uuid *fs);

/* The whole slot. Ropes are pointed at, not copied. Only one thread at a time. */
int db_slot_encode(struct out *o, const struct slot_head *head, const struct uuid *fs,
		   const struct rec *recs, const struct part *parts, size_t part_count);

void db_table_encode(struct buf *b, const struct table *t);

/* ---- reading ---- */

struct rec_view { /* points into the slot's bytes */
	enum rec_type type;
	char name[FILE_NAME_LIMIT];
	char to[FILE_NAME_LIMIT];
	uint64_t id, offset;
	const uint8_t *data;
	size_t len;
	struct vfile *table; /* the caller's to put */
};

/* Checks the frame, and that it is this slot. `what` names it in errors. */
int db_slot_decode(const void *data, size_t len, const struct uuid *fs, uint64_t slot,
		   const char *what, struct slot_head *ret, struct rd *ret_records);
/* 1 and a record, 0 at the end, or an error. */
int db_rec_next(struct rd *records, const char *what, struct rec_view *ret);
int db_table_decode(struct rd *r, struct vfile **ret);
/* Takes a name; false if it does not fit. */
bool db_name_decode(struct rd *r, char out[FILE_NAME_LIMIT]);

#endif

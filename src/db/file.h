/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file: what is behind a name of LevelDB's directory.
 *
 * Either bytes in memory (logs, MANIFEST, CURRENT): an append-only rope of chunks that never move,
 * so that a slot being sent and a checkpoint being put together point at them while LevelDB goes on
 * appending; or a table: an immutable object, whose bytes are held here until they are uploaded.
 * Both are reference counted; the last reference frees.
 */
#ifndef LEVELS3_DB_FILE_H
#define LEVELS3_DB_FILE_H

#include "util/util.h"

#define FILE_NAME_LIMIT 64 /* with the NUL */
#define TABLE_KEY_LIMIT 40
#define TABLE_PREFIX "table/"
/* Tables are read and checked in windows of this size, counted from the end of the object, so that
 * footer, index and filter arrive with the first of them. */
#define TABLE_WINDOW_SHIFT 19
#define TABLE_SIZE_LIMIT ((uint64_t)1 << 36)

/* ---- ropes: one writer; readers of a published length need no lock ---- */

struct chunk;

struct rope {
	struct chunk *first, *last;
	uint64_t len;
};

struct rope_cursor {
	const struct chunk *chunk;
	uint64_t pos;
};

#define ROPE_CURSOR_INIT                                                                           \
	{                                                                                          \
		NULL, 0                                                                            \
	}

int db_rope_append(struct rope *r, const void *data, size_t len);
void db_rope_release(struct rope *r);
/* The next stretch before `end` (which is not past what the writer had published); 0 at the end. */
size_t db_rope_next(const struct rope *r, struct rope_cursor *at, uint64_t end,
		    const uint8_t **ret);
/* Moves forward, or from the start again. */
void db_rope_seek(const struct rope *r, struct rope_cursor *at, uint64_t pos);

/* ---- tables ---- */

struct blob { /* bytes of a table that is not durable yet */
	unsigned refs;
	struct buf bytes;
};

int db_blob_new(struct blob **ret);
struct blob *db_blob_get(struct blob *b);
void db_blob_put(struct blob *b);

struct table {
	uint64_t number, epoch, size;
	unsigned window_shift;
	size_t windows;
	uint64_t *sums;	   /* XXH3-64 of each window */
	uint8_t *verified; /* per window: its bytes were seen to match (atomic) */
	struct blob *blob; /* env's lock; NULL once only the object has them */
	bool uploaded;	   /* env's lock */
	uint64_t made;	   /* env's lock: the how-manieth of this env's */
	char key[TABLE_KEY_LIMIT];
};

void db_table_key(uint64_t number, uint64_t epoch, char out[TABLE_KEY_LIMIT]);
size_t db_table_window_count(uint64_t size, unsigned shift);
size_t db_table_window_of(const struct table *t, uint64_t offset);
void db_table_window_range(const struct table *t, size_t window, uint64_t *ret_start,
			   uint64_t *ret_len);
/* Sizes the table and computes its sums from the whole object's bytes. */
int db_table_measure(struct table *t, const struct buf *bytes);

/* ---- files ---- */

struct vfile {
	unsigned refs;
	struct rope rope;
	uint64_t published;  /* atomic: bytes up to here may be read and cut */
	struct table *table; /* NULL: bytes */
	/* Under env's lock: what the chain has of it. */
	bool is_log;  /* cut on its own, ahead of the ordered queue */
	bool created; /* the chain has been told that it exists */
	bool dirty;   /* in env's list of logs with bytes to cut */
	bool gone;    /* its removal is in the present cut */
	uint64_t cut; /* bytes below are in slots, or on their way */
	struct vfile *prev, *next;
	char name[FILE_NAME_LIMIT]; /* of a log */
	/* The one thread that puts a slot together: where the last one ended. */
	struct rope_cursor sent;
};

int db_vfile_new(struct vfile **ret);
/* A table without sums or bytes. */
int db_vfile_new_table(uint64_t number, uint64_t epoch, struct vfile **ret);
struct vfile *db_vfile_get(struct vfile *f);
void db_vfile_put(struct vfile *f); /* NULL is fine */
uint64_t db_vfile_published(const struct vfile *f);
void db_vfile_publish(struct vfile *f, uint64_t len);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recover: parts that slots carried become segments again, after a crash.
 *
 * Nothing says at once which files they are of, and to look through all extents would make opening
 * slow: so their index is empty, and a back-reference to no particular file (refs.c) tells the
 * cleaner to look, should it ever need to know.
 */
#include "fs/internal.h"

#include <errno.h>
#include <stdlib.h>

/* The parts of one segment need not come one after another, but there are few segments. */
static int on_recovered_part(void *ctx, uint64_t id, uint64_t offset, const void *bytes, size_t len)
{
	struct recovery *r = ctx;
	uint64_t *more;
	size_t n = 0;

	while (n < r->count && r->segments[n] != id)
		n++;
	if (n == r->count && n == r->cap) {
		more = realloc(r->segments, (2 * n + 8) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->segments = more;
		r->cap = 2 * n + 8;
	}
	if (n == r->count)
		r->segments[r->count++] = id;
	return data_recover_part(r->fs->data, id, offset, bytes, len);
}

int recover_parts(struct recovery *r)
{
	return db_recovered_parts(r->fs->db, on_recovered_part, r);
}

int recover_compare(const struct recovery *r, int (*differs)(void *ctx, uint64_t segment),
		    void *ctx)
{
	int err = 0;

	for (size_t n = 0; n < r->count && err >= 0; n++) {
		err = data_recovered_check(r->fs->data, r->segments[n]);
		if (err == -L3_CORRUPT)
			err = differs(ctx, r->segments[n]);
	}
	return err;
}

int recover_note(const struct recovery *r)
{
	struct txn t;
	int err;

	if (r->count == 0 || r->fs->read_only)
		return 0;
	err = txn_begin(r->fs, &t);
	if (err < 0)
		return err;
	for (size_t n = 0; n < r->count; n++)
		txn_refer(&t, r->segments[n], REFERENCE_ANY_INO, 0, FS_FILE_SIZE_MAX, false);
	return txn_commit(&t);
}

int recover_finish(const struct recovery *r)
{
	return r->count == 0 || r->fs->read_only ? 0 : db_checkpoint(r->fs->db);
}

void recover_release(struct recovery *r)
{
	free(r->segments);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names: a flat directory, from names to files. One is what LevelDB sees now; another is what the
 * chain holds durably, where a file counts only up to `len`. Guarded by whoever owns it.
 */
#ifndef LEVELS3_DB_NAMES_H
#define LEVELS3_DB_NAMES_H

#include "db/file.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry {
	struct vfile *file; /* a reference */
	uint64_t len;
	UT_hash_handle hh;
	char name[FILE_NAME_LIMIT];
};

struct names {
	struct entry *head;
};

struct entry *db_names_find(const struct names *n, const char *name);
/* Replaces what has this name. Takes a reference of its own. */
int db_names_set(struct names *n, const char *name, struct vfile *file, uint64_t len);
void db_names_remove(struct names *n, const char *name);
/* -ENOENT if there is no `from`. */
int db_names_rename(struct names *n, const char *from, const char *to);
/* Makes `to`, which is empty, the same as `from`. */
int db_names_copy(const struct names *from, struct names *to);
void db_names_release(struct names *n);
size_t db_names_count(const struct names *n);

#define names_each(n, e, tmp) HASH_ITER (hh, (n)->head, e, tmp)

/* A name fits if it is 1 to FILE_NAME_LIMIT - 1 bytes without '/' and NUL. */
bool db_name_fits(const char *name, size_t len);

#endif

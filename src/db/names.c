/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hash table of names.
 */
#include "db/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool db_name_fits(const char *name, size_t len)
{
	return len > 0 && len < FILE_NAME_LIMIT && !memchr(name, '/', len) && !memchr(name, 0, len);
}

struct entry *db_names_find(const struct names *n, const char *name)
{
	struct entry *e;

	HASH_FIND_STR(n->head, name, e);
	return e;
}

static int names_add(struct names *n, const char *name, struct vfile *file, uint64_t len)
{
	struct entry *e = calloc(1, sizeof(*e));
	bool out_of_memory = false;

	if (!e)
		return err_note(-ENOMEM, "no memory for the name %s", name);
	memcpy(e->name, name, strlen(name) + 1);
	e->file = file;
	e->len = len;
#undef uthash_nonfatal_oom
#define uthash_nonfatal_oom(elt) (out_of_memory = true)
	HASH_ADD_STR(n->head, name, e);
	if (out_of_memory) {
		free(e);
		return err_note(-ENOMEM, "no memory for the name %s", name);
	}
	db_vfile_get(file);
	return 0;
}

int db_names_set(struct names *n, const char *name, struct vfile *file, uint64_t len)
{
	struct entry *e = db_names_find(n, name);

	if (!e)
		return names_add(n, name, file, len);
	db_vfile_get(file);
	db_vfile_put(e->file);
	e->file = file;
	e->len = len;
	return 0;
}

void db_names_remove(struct names *n, const char *name)
{
	struct entry *e = db_names_find(n, name);

	if (!e)
		return;
	HASH_DEL(n->head, e);
	db_vfile_put(e->file);
	free(e);
}

int db_names_rename(struct names *n, const char *from, const char *to)
{
	struct entry *e = db_names_find(n, from);
	int err;

	if (!e)
		return err_note(-ENOENT, "no file %s to rename", from);
	if (strcmp(from, to) == 0)
		return 0;
	err = db_names_set(n, to, e->file, e->len);
	if (!err)
		db_names_remove(n, from);
	return err;
}

int db_names_copy(const struct names *from, struct names *to)
{
	struct entry *e, *tmp;

	names_each(from, e, tmp)
	{
		int err = names_add(to, e->name, e->file, e->len);

		if (err)
			return err;
	}
	return 0;
}

void db_names_release(struct names *n)
{
	struct entry *e, *tmp;

	names_each(n, e, tmp)
	{
		HASH_DEL(n->head, e);
		db_vfile_put(e->file);
		free(e);
	}
}

size_t db_names_count(const struct names *n)
{
	return HASH_COUNT(n->head);
}

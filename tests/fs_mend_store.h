/* SPDX-License-Identifier: BSD-3-Clause */
/* Damages of the objects of chain, tables and lease. */
#ifndef LEVELS3_TESTS_FS_MEND_STORE_H
#define LEVELS3_TESTS_FS_MEND_STORE_H

#include "fs_mend.h"

static inline void more_slots(void)
{
	char name[16];

	for (int n = 0; n < 6; n++) {
		(void)snprintf(name, sizeof(name), "new%d", n);
		make_file(ROOT, name);
		must(fs_sync(fs), "sync");
	}
}

static inline void crash_with_slots(void)
{
	more_slots();
	fs_crash(fs);
	fs = NULL;
}

static inline void lost_slot(void)
{
	char key[STORE_KEY_MAX];

	object_at("chain/", 2, key);
	remove_object(key);
}

static inline void bad_slot(void)
{
	char key[STORE_KEY_MAX];

	object_at("chain/", 2, key);
	change_object(key, flip_middle);
}

static inline void bad_checkpoint(void)
{
	char key[STORE_KEY_MAX];

	object_at("checkpoint/", 0, key);
	change_object(key, flip_middle);
}

static inline void tables_then_close(void)
{
	into_tables();
	must(fs_sync(fs), "sync");
	close_fs();
}

static inline void flip_table(void)
{
	char key[STORE_KEY_MAX];

	object_at("table/", 0, key);
	change_object(key, flip_middle);
}

static inline void lose_tables(void)
{
	remove_all("table/");
}

static inline void lose_checkpoints(void)
{
	remove_all("checkpoint/");
}

static inline void lose_database(void)
{
	remove_all("checkpoint/");
	remove_all("table/");
	remove_all("chain/");
}

static inline void first_fence(char key[STORE_KEY_MAX])
{
	(void)snprintf(key, STORE_KEY_MAX, "chain/%020d", 1);
}

static inline void lost_fence(void)
{
	char key[STORE_KEY_MAX];

	first_fence(key);
	remove_object(key);
}

static inline void bad_fence(void)
{
	char key[STORE_KEY_MAX];

	first_fence(key);
	change_object(key, flip_middle);
}

static inline void bad_lease(void)
{
	change_object("lease", flip_middle);
}

static inline void put_junk(const char *key)
{
	struct store *s = plain_store();

	must(store_put_bytes(s, key, "junk", 4, STORE_ALWAYS, NULL, NULL), key);
	store_unref(s);
}

/* Names that would be the newest of all. */
static inline void junk_slot(void)
{
	put_junk("chain/18446744073709551615");
}

static inline void junk_checkpoints(void)
{
	put_junk("checkpoint/18446744073709551614");
	put_junk("checkpoint/18446744073709551615");
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two twins in a filesystem of small segments, for tests of ranges. URL is the including file's.
 */
#ifndef LEVELS3_TESTS_FS_RANGES_H
#define LEVELS3_TESTS_FS_RANGES_H

#include "fs_twin.h"

static struct twin a, b;

static inline void setup(void)
{
	make_clean_fs(URL);
	twin_make(&a, "a");
	twin_make(&b, "b");
}

static inline void teardown(void)
{
	end_fs(URL);
	twin_free(&a);
	twin_free(&b);
}

/* Both, as they are in memory, after a sync and a crash, and all that fsck can see. */
static inline void check_all(void)
{
	twin_check(&a);
	twin_check(&b);
	calm();
	check_fs(true);
	lose_machine(URL);
	twin_check(&a);
	twin_check(&b);
	check_fs(true);
}

/* The kind of what is stored is SEEK_DATA's and SEEK_HOLE's business. */
static inline int64_t seek_in(const struct twin *t, uint64_t offset, int whence)
{
	struct fs_file *f = twin_open(t);
	int64_t at = fs_lseek(f, offset, whence);

	fs_file_close(f);
	return at;
}

#endif

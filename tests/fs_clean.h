/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of what lies in segments: small ones, bytes that cannot be compressed, and the cleaner
 * on request.
 */
#ifndef LEVELS3_TESTS_FS_CLEAN_H
#define LEVELS3_TESTS_FS_CLEAN_H

#include "fs/bytes.h"
#include "fs_fixture.h"

static inline void make_clean_fs(const char *url)
{
	quiet_config();
	config.segment_bytes = 1 * MIB;
	config.compress = false;
	config.grace_ms = 1;
	store_mem_drop(url);
	must(fs_format(url, &config), "format");
	open_fs(url);
}

static inline void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2654435761u + 1;

	for (size_t n = 0; n < len; n++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[n] = (uint8_t)(x >> 56);
	}
}

static inline void write_file(const char *name, size_t len, uint64_t seed)
{
	uint64_t ino = find(FS_ROOT_INO, name);
	uint8_t *bytes = malloc(len);

	fill(bytes, len, seed);
	write_at(ino ? ino : make_file(FS_ROOT_INO, name), bytes, len, 0);
	free(bytes);
}

static inline void check_file(const char *name, size_t len, uint64_t seed)
{
	uint8_t *bytes = malloc(len), *got = malloc(len + 1);

	fill(bytes, len, seed);
	ck_assert_uint_eq(read_at(find(FS_ROOT_INO, name), got, len + 1, 0), len);
	ck_assert_msg(memcmp(got, bytes, len) == 0, "%s has other bytes", name);
	free(bytes);
	free(got);
}

static inline uint64_t stored(size_t *ret_objects)
{
	struct store_list list = STORE_LIST_INIT;
	uint64_t bytes = 0;

	must(store_list_all(fs->store, "data/", "", &list), "list");
	for (size_t n = 0; n < list.count; n++)
		bytes += list.entries[n].size_bytes;
	if (ret_objects)
		*ret_objects = list.count;
	store_list_release(&list);
	return bytes;
}

/* Whatever removal unlinked has gone, and everything is in the store. */
static inline void calm(void)
{
	orphan_drain(fs);
	must(fs_sync(fs), "sync");
	must(db_checkpoint(fs->db), "checkpoint");
}

/* Until nothing is left to give up; then what was given up is deleted after the grace. */
static inline void clean(void)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	struct db_stats stats;
	int given;

	do {
		given = clean_pass(fs);
		must(given, "clean");
		calm();
	} while (given > 0);
	do {
		test_sleep_ms(&test_clock, 1000);
		(void)nanosleep(&pause, NULL);
		must(db_commit(fs->db), "commit");
		db_stats(fs->db, &stats);
	} while (stats.discards_waiting > 0);
}

#endif

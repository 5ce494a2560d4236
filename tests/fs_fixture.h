/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A filesystem in memory for tests of the fs room, and short forms of what they do with it.
 */
#ifndef LEVELS3_TESTS_FS_FIXTURE_H
#define LEVELS3_TESTS_FS_FIXTURE_H

#include "fs/fs.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS 3600000
#define TEST_TIMEOUT_S 300

static struct fs *fs; /* the one mounted */
static struct fs_config config;
static const struct fs_cred nobody = { 1000, 1000, 0 };

/* Nobody waits here: a sleep moves the clock on. The tests' own process holds the lease of a
 * filesystem that it lost, so that it has to run out. */
static uint64_t slept_ns; /* atomic */

static inline uint64_t test_mono_ns(struct clock *c)
{
	return clock_system.mono_ns(&clock_system) + __atomic_load_n(&slept_ns, __ATOMIC_SEQ_CST);
}

static inline int64_t test_real_ns(struct clock *c)
{
	return clock_system.real_ns(&clock_system);
}

static inline void test_sleep_ms(struct clock *c, uint64_t ms)
{
	__atomic_fetch_add(&slept_ns, ms * 1000000, __ATOMIC_SEQ_CST);
}

static struct clock test_clock = { test_mono_ns, test_real_ns, test_sleep_ms };

/* Nothing happens in the background but on request. */
static inline void quiet_config(void)
{
	fs_config_init(&config);
	config.commit_ms = HOUR_MS;
	ck_assert_int_eq(fs_config_set(&config, "cache_dir", "none"), 0);
	config.cache_size_bytes = 16 * MIB;
	config.clock = &test_clock;
	config.lease_wait_ms = HOUR_MS;
}

static inline void must(int err, const char *what)
{
	ck_assert_msg(err >= 0, "%s: %d %s: %s", what, err, err_text(err), err_last_note());
}

static inline void open_fs(const char *url)
{
	must(fs_open(url, &config, &fs), "open");
}

static inline void make_fs(const char *url)
{
	quiet_config();
	store_mem_drop(url);
	must(fs_format(url, &config), "format");
	open_fs(url);
}

static inline void close_fs(void)
{
	must(fs_close(fs, NULL, NULL), "close");
	fs = NULL;
}

static inline void say_finding(void *ctx, const struct fs_finding *f)
{
	unsigned *said = ctx;

	if (f->stage == FS_FOUND && (*said)++ < 20)
		(void)fprintf(stderr, "fsck: %s: %s\n", f->code, f->text);
}

/* Every byte of a store in which nothing may be wrong. */
static inline void check_store(const char *url)
{
	unsigned said = 0;
	struct fs_check_options options = { .data = true, .finding = say_finding, .ctx = &said };
	struct fs_config plain = config;
	struct fs_fsck_result result;

	plain.store_override = NULL;
	must(fs_fsck(url, &plain, &options, false, &result), "fsck of the store");
	ck_assert_uint_eq(result.found, 0);
}

/* After damage that was done on purpose: fsck finds it, and repairs all of it. */
static inline void mend_store(const char *url)
{
	struct fs_check_options options = { .data = true };
	struct fs_config plain = config;
	struct fs_fsck_result result;

	plain.store_override = NULL;
	must(fs_fsck(url, &plain, &options, true, &result), "repair of the store");
	ck_assert_uint_gt(result.found, 0);
	ck_assert_uint_eq(result.left, 0);
}

/* Whatever a test has done, it leaves a sound filesystem. */
static inline void end_fs(const char *url)
{
	if (fs)
		close_fs();
	check_store(url);
	fs_config_release(&config);
	store_mem_drop(url);
}

static inline void reopen_fs(const char *url)
{
	close_fs();
	open_fs(url);
}

/* What was not durable is gone. */
static inline void lose_machine(const char *url)
{
	fs_crash(fs);
	open_fs(url);
}

static inline struct fs_check_result check_fs(bool bytes)
{
	unsigned said = 0;
	struct fs_check_options options = { .data = bytes, .finding = say_finding, .ctx = &said };
	struct fs_check_result result;
	int err = fs_check(fs, &options, &result);

	must(err, "fsck");
	ck_assert_uint_eq(result.problems, 0);
	ck_assert_int_eq(err, 0);
	return result;
}

static inline uint64_t make_file(uint64_t dir, const char *name)
{
	struct fs_attr attr;

	must(fs_mknod(fs, dir, name, &nobody, S_IFREG | 0644, 0, &attr), name);
	return attr.ino;
}

static inline uint64_t make_dir(uint64_t dir, const char *name)
{
	struct fs_attr attr;

	must(fs_mkdir(fs, dir, name, &nobody, 0755, &attr), name);
	return attr.ino;
}

/* 0 if there is no such name. */
static inline uint64_t find(uint64_t dir, const char *name)
{
	struct fs_attr attr;
	int err = fs_lookup(fs, dir, name, &attr);

	if (err == -ENOENT)
		return 0;
	must(err, name);
	return attr.ino;
}

static inline struct fs_attr attr_of(uint64_t ino)
{
	struct fs_attr attr;

	must(fs_getattr(fs, ino, &attr), "getattr");
	return attr;
}

static inline void write_at(uint64_t ino, const void *bytes, size_t len, uint64_t offset)
{
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open file");
	ck_assert_int_eq(fs_write(f, bytes, len, offset, false, false), (ssize_t)len);
	fs_file_close(f);
}

static inline size_t read_at(uint64_t ino, void *bytes, size_t len, uint64_t offset)
{
	struct fs_file *f;
	ssize_t got;

	must(fs_file_open(fs, ino, false, false, &f), "open file");
	got = fs_read(f, bytes, len, offset);
	ck_assert_int_ge(got, 0);
	fs_file_close(f);
	return (size_t)got;
}

static inline struct timespec now_of(uint64_t ino)
{
	return attr_of(ino).ctime;
}

static inline bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

#endif

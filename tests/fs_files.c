/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is read is what was written: whatever the order of writes, cuts, holes and allocations,
 * however far it has got on its way to the store, through any handle, and after a remount.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#define URL "mem:fs-files-tests"
#define MODEL_BYTES (3 * 1024 * 1024)

/* ---- a file as an array ---- */

struct model {
	uint8_t *bytes; /* zeros beyond size */
	uint64_t size;
	uint64_t seed;
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
	return (m->seed >> 33) % below;
}

/* Few long ones, many short ones, and borders of chunks now and then. */
static uint64_t draw_len(struct model *m)
{
	switch (draw(m, 6)) {
	case 0:
		return 1 + draw(m, 600 * KIB);
	case 1:
		return 128 * KIB;
	case 2:
		return 4096;
	default:
		return 1 + draw(m, 9000);
	}
}

static uint64_t draw_offset(struct model *m, uint64_t len)
{
	uint64_t offset = draw(m, MODEL_BYTES - len + 1);

	switch (draw(m, 4)) {
	case 0:
		return offset / (128 * KIB) * (128 * KIB);
	case 1:
		return min_u64(m->size, MODEL_BYTES - len);
	case 2:
		return offset / 4096 * 4096;
	default:
		return offset;
	}
}

static void model_zero(struct model *m, uint64_t offset, uint64_t len)
{
	memset(m->bytes + offset, 0, len);
}

static void do_write(struct model *m, struct fs_file *f, bool append)
{
	uint64_t len = draw_len(m), offset = append ? m->size : draw_offset(m, len);
	uint8_t first = (uint8_t)draw(m, 256);

	if (offset + len > MODEL_BYTES)
		return;
	for (uint64_t n = 0; n < len; n++)
		m->bytes[offset + n] = (uint8_t)(first + n * 7 + (n >> 9));
	ck_assert_int_eq(fs_write(f, m->bytes + offset, len, append ? 0 : offset, append, false),
			 (ssize_t)len);
	m->size = max_u64(m->size, offset + len);
}

static void do_truncate(struct model *m, struct fs_file *f)
{
	uint64_t size = draw(m, 8) == 0 ? 0 : draw(m, MODEL_BYTES);
	struct fs_attr attr = { .size = size };

	must(fs_setattr(fs, fs_file_ino(f), &attr, FS_SET_SIZE, &attr), "truncate");
	ck_assert_uint_eq(attr.size, size);
	if (size < m->size)
		model_zero(m, size, m->size - size);
	m->size = size;
}

static void do_fallocate(struct model *m, struct fs_file *f)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };
	int mode = modes[draw(m, ARRAY_LEN(modes))];
	uint64_t len = draw_len(m), offset = draw_offset(m, len);

	must(fs_fallocate(f, mode, offset, len), "fallocate");
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_zero(m, offset, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		m->size = max_u64(m->size, offset + len);
}

/* Asserting each byte would take check longer than all the rest. */
static void same_bytes(const uint8_t *got, const uint8_t *want, uint64_t len, uint64_t offset)
{
	uint64_t k = 0;

	if (memcmp(got, want, len) == 0)
		return;
	while (got[k] == want[k])
		k++;
	ck_abort_msg("byte %llu is %02x instead of %02x (in %llu at %llu)",
		     (unsigned long long)(offset + k), got[k], want[k], (unsigned long long)len,
		     (unsigned long long)offset);
}

static bool all_are(const uint8_t *bytes, uint64_t len, uint8_t value)
{
	return len == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static void check_read(const struct model *m, struct fs_file *f, uint64_t offset, uint64_t len)
{
	uint8_t *got = malloc(len + 1);
	uint64_t want = offset < m->size ? min_u64(len, m->size - offset) : 0;
	ssize_t n = fs_read(f, got, len, offset);

	ck_assert_int_eq(n, (ssize_t)want);
	same_bytes(got, m->bytes + offset, want, offset);
	free(got);
}

/* Data never lies where lseek saw a hole. */
static void check_holes(const struct model *m, struct fs_file *f)
{
	uint64_t at = 0;

	while (at < m->size) {
		int64_t data = fs_lseek(f, at, SEEK_DATA);
		uint64_t end = data < 0 ? m->size : (uint64_t)data;

		ck_assert(data >= 0 || data == -ENXIO);
		ck_assert_uint_ge(end, at);
		ck_assert_msg(all_are(m->bytes + at, end - at, 0), "data in the hole at %llu",
			      (unsigned long long)at);
		if (data < 0)
			return;
		at = (uint64_t)fs_lseek(f, end, SEEK_HOLE);
		ck_assert_uint_gt(at, end);
		ck_assert_uint_le(at, m->size);
	}
	ck_assert_int_eq(fs_lseek(f, m->size, SEEK_DATA), -ENXIO);
	ck_assert_int_eq(fs_lseek(f, m->size, SEEK_HOLE), -ENXIO);
}

static void step(struct model *m, struct fs_file **f)
{
	uint64_t ino = fs_file_ino(*f), len, what = draw(m, 100);

	if (what < 40) {
		do_write(m, *f, false);
	} else if (what < 50) {
		do_write(m, *f, true);
	} else if (what < 56) {
		do_truncate(m, *f);
	} else if (what < 64) {
		do_fallocate(m, *f);
	} else if (what < 86) {
		len = draw_len(m);
		check_read(m, *f, draw_offset(m, len), len);
	} else if (what < 90) {
		must(fs_fsync(fs, ino), "fsync");
	} else if (what < 92) {
		must(flush_all(fs, false), "tick");
		data_push_stream(fs->data);
	} else if (what < 93) {
		must(fs_sync(fs), "sync");
	} else if (what < 95) {
		check_holes(m, *f);
	} else if (what < 96) {
		must(clean_pass(fs), "clean");
	} else if (what < 98) {
		fs_file_close(*f);
		must(fs_file_open(fs, ino, true, false, f), "open file");
	} else if (what < 99) {
		fs_file_close(*f);
		reopen_fs(URL);
		must(fs_file_open(fs, ino, true, false, f), "open file");
	}
	ck_assert_uint_eq(attr_of(ino).size, m->size);
}

static void live(uint64_t seed, unsigned steps)
{
	struct model m = { .bytes = calloc(1, MODEL_BYTES), .seed = seed };
	struct fs_file *f;

	make_fs(URL);
	must(fs_file_open(fs, make_file(FS_ROOT_INO, "file"), true, false, &f), "open file");
	for (unsigned n = 0; n < steps; n++)
		step(&m, &f);
	check_read(&m, f, 0, MODEL_BYTES);
	must(fs_sync(fs), "sync");
	check_fs(true);
	check_read(&m, f, 0, MODEL_BYTES);
	fs_file_close(f);
	free(m.bytes);
	end_fs(URL);
}

START_TEST(random_operations_on_a_file_do_what_an_array_does)
{
	live((uint64_t)_i * 7919 + 1, 400);
}
END_TEST

/* ---- particular shapes ---- */

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t n = 0; n < len; n++)
		bytes[n] = (uint8_t)((n * 131 + seed * 31) >> 3) ^ (uint8_t)(n >> 7);
}

START_TEST(a_sparse_file_of_a_tebibyte_takes_what_was_written)
{
	uint64_t tib = (uint64_t)1 << 40;
	uint8_t out[5000], got[5000];
	struct fs_file *f;
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "sparse");
	must(fs_file_open(fs, ino, true, false, &f), "open file");
	for (uint64_t n = 0; n < 64; n++) {
		fill(out, sizeof(out), n);
		ck_assert_int_eq(fs_write(f, out, sizeof(out), n * (tib / 64) + 77, false, false),
				 sizeof(out));
	}
	for (int reopened = 0; reopened < 2; reopened++) {
		for (uint64_t n = 0; n < 64; n++) {
			uint64_t at = n * (tib / 64) + 77;

			fill(out, sizeof(out), n);
			ck_assert_int_eq(fs_read(f, got, sizeof(got), at), sizeof(got));
			ck_assert_mem_eq(got, out, sizeof(got));
			ck_assert_int_eq(fs_lseek(f, at + 1, SEEK_HOLE),
					 (int64_t)(at + sizeof(out)));
			if (n < 63)
				ck_assert_int_eq(fs_lseek(f, at + sizeof(out), SEEK_DATA),
						 (int64_t)(at + tib / 64));
		}
		ck_assert_uint_lt(attr_of(ino).blocks * 512, MIB);
		fs_file_close(f);
		reopen_fs(URL);
		must(fs_file_open(fs, ino, true, false, &f), "open file");
	}
	fs_file_close(f);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(every_other_byte_written_alone_is_there)
{
	uint8_t one = 0x5a, got[40000], want[40000] = { 0 };
	struct fs_file *f;

	make_fs(URL);
	must(fs_file_open(fs, make_file(FS_ROOT_INO, "comb"), true, false, &f), "open file");
	for (uint64_t n = 0; n < sizeof(got); n += 2) {
		want[n] = one;
		ck_assert_int_eq(fs_write(f, &one, 1, n, false, false), 1);
	}
	for (int synced = 0; synced < 2; synced++) {
		ck_assert_int_eq(fs_read(f, got, sizeof(got), 0), sizeof(got) - 1);
		same_bytes(got, want, sizeof(got) - 1, 0);
		must(fs_sync(fs), "sync");
	}
	fs_file_close(f);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(a_file_that_was_emptied_on_opening_is_empty_at_once_and_later)
{
	uint8_t out[300000];
	struct fs_file *f;
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "file");
	fill(out, sizeof(out), 1);
	write_at(ino, out, sizeof(out), 0);
	must(fs_fsync(fs, ino), "fsync");
	write_at(ino, out, sizeof(out), sizeof(out));
	must(fs_file_open(fs, ino, true, true, &f), "open emptying");
	ck_assert_uint_eq(attr_of(ino).size, 0);
	ck_assert_uint_eq(attr_of(ino).blocks, 0);
	ck_assert_int_eq(fs_write(f, "x", 1, 10, false, false), 1);
	fs_file_close(f);
	reopen_fs(URL);
	ck_assert_uint_eq(read_at(ino, out, sizeof(out), 0), 11);
	ck_assert_mem_eq(out, "\0\0\0\0\0\0\0\0\0\0x", 11);
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(an_unlinked_file_is_read_and_written_until_its_last_close)
{
	static uint8_t out[6 * 1024 * 1024], got[sizeof(out)];
	struct fs_file *f;

	make_fs(URL);
	must(fs_file_open(fs, make_file(FS_ROOT_INO, "file"), true, false, &f), "open file");
	must(fs_unlink(fs, FS_ROOT_INO, "file"), "unlink");
	fill(out, sizeof(out), 3);
	ck_assert_int_eq(fs_write(f, out, sizeof(out), 0, false, false), sizeof(out));
	must(fs_sync(fs), "sync");
	ck_assert_int_eq(fs_write(f, out, 100, 1000, false, false), 100);
	memcpy(out + 1000, out, 100);
	ck_assert_int_eq(fs_read(f, got, sizeof(got), 0), sizeof(got));
	ck_assert_mem_eq(got, out, sizeof(got));
	fs_file_close(f);
	orphan_drain(fs);
	must(fs_sync(fs), "sync");
	ck_assert_uint_eq(check_fs(true).bytes, 0);
	end_fs(URL);
}
END_TEST

START_TEST(what_cannot_be_done_to_a_file_is_refused_as_on_linux)
{
	struct fs_file *f;
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "file");
	ck_assert_int_eq(fs_file_open(fs, FS_ROOT_INO, false, false, &f), -EISDIR);
	ck_assert_int_eq(fs_file_open(fs, 4711, false, false, &f), -ENOENT);
	must(fs_file_open(fs, ino, false, false, &f), "open file");
	ck_assert_int_eq(fs_write(f, "x", 1, 0, false, false), -EBADF);
	ck_assert_int_eq(fs_fallocate(f, 0, 0, 1), -EBADF);
	fs_file_close(f);
	must(fs_file_open(fs, ino, true, false, &f), "open file");
	ck_assert_int_eq(fs_write(f, "x", 1, FS_FILE_SIZE_MAX, false, false), -EFBIG);
	ck_assert_int_eq(fs_write(f, "xyz", 3, FS_FILE_SIZE_MAX - 1, false, false), 1);
	ck_assert_int_eq(fs_fallocate(f, 0, 0, 0), -EINVAL);
	ck_assert_int_eq(fs_fallocate(f, 0, FS_FILE_SIZE_MAX, 1), -EFBIG);
	ck_assert_int_eq(fs_fallocate(f, 0, 0, FS_FILE_SIZE_MAX), -ENOSPC);
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_PUNCH_HOLE, 0, 1), -EOPNOTSUPP);
	ck_assert_int_eq(fs_fallocate(f, FALLOC_FL_UNSHARE_RANGE, 0, 4096), -EOPNOTSUPP);
	ck_assert_int_eq(fs_lseek(f, FS_FILE_SIZE_MAX, SEEK_DATA), -ENXIO);
	ck_assert_int_eq(fs_lseek(f, 0, SEEK_CUR), -EINVAL);
	fs_file_close(f);
	must(fs_sync(fs), "sync");
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(a_write_by_somebody_unprivileged_takes_setuid_away_and_moves_times)
{
	struct fs_attr attr = { .mode = 06755 }, before;
	struct fs_file *f;
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "file");
	must(fs_setattr(fs, ino, &attr, FS_SET_MODE, &before), "chmod");
	must(fs_file_open(fs, ino, true, false, &f), "open file");
	ck_assert_int_eq(fs_write(f, "x", 1, 0, false, false), 1);
	ck_assert_uint_eq(attr_of(ino).mode & 07777, 06755);
	ck_assert_int_eq(fs_write(f, "x", 1, 0, false, true), 1);
	fs_file_close(f);
	for (int reopened = 0; reopened < 2; reopened++) {
		attr = attr_of(ino);
		ck_assert_uint_eq(attr.mode & 07777, 0755);
		ck_assert(attr.mtime.tv_sec > before.mtime.tv_sec ||
			  attr.mtime.tv_nsec > before.mtime.tv_nsec);
		ck_assert_int_eq(attr.ctime.tv_nsec, attr.mtime.tv_nsec);
		reopen_fs(URL);
	}
	end_fs(URL);
}
END_TEST

/* ---- several at a time ---- */

#define APPENDERS 4
#define RECORDS 400
#define RECORD_BYTES 512

static void *append_records(void *arg)
{
	uint8_t record[RECORD_BYTES];
	uint64_t ino = find(FS_ROOT_INO, "log"), who = (uintptr_t)arg;
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open file");
	for (uint64_t n = 0; n < RECORDS; n++) {
		memset(record, (int)(who + 1), sizeof(record));
		put_u64(record, n);
		ck_assert_int_eq(fs_write(f, record, sizeof(record), 0, true, false),
				 sizeof(record));
		if (n % 50 == who)
			must(fs_fsync(fs, ino), "fsync");
	}
	fs_file_close(f);
	return NULL;
}

START_TEST(appenders_never_overwrite_or_split_each_others_records)
{
	static uint8_t all[APPENDERS * RECORDS * RECORD_BYTES];
	uint64_t next[APPENDERS] = { 0 };
	pthread_t threads[APPENDERS];
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "log");
	for (uintptr_t n = 0; n < APPENDERS; n++)
		ck_assert_int_eq(pthread_create(&threads[n], NULL, append_records, (void *)n), 0);
	for (unsigned n = 0; n < APPENDERS; n++)
		pthread_join(threads[n], NULL);
	reopen_fs(URL);
	ck_assert_uint_eq(read_at(ino, all, sizeof(all), 0), sizeof(all));
	for (size_t at = 0; at < sizeof(all); at += RECORD_BYTES) {
		unsigned who = all[at + 8] - 1u;

		ck_assert_uint_lt(who, APPENDERS);
		ck_assert_uint_eq(get_u64(all + at), next[who]++);
		ck_assert(all_are(all + at + 8, RECORD_BYTES - 8, (uint8_t)(who + 1)));
	}
	check_fs(true);
	end_fs(URL);
}
END_TEST

#define CELLS 64
#define CELL_BYTES 20000

struct scribbler {
	unsigned who;
	uint64_t ino;
};
static int scribbling; /* atomic: writers left */

/* A cell always holds one value throughout, whoever looks. */
static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint8_t cell[CELL_BYTES];
	struct fs_file *f;

	must(fs_file_open(fs, s->ino, true, false, &f), "open file");
	for (unsigned n = 0; n < 600; n++) {
		unsigned which = (n * 13 + s->who * 29) % CELLS;

		memset(cell, (int)(n + s->who), sizeof(cell));
		ck_assert_int_eq(
			fs_write(f, cell, sizeof(cell), (uint64_t)which * CELL_BYTES, false, false),
			sizeof(cell));
		if (n % 64 == 63)
			must(fs_fsync(fs, s->ino), "fsync");
	}
	fs_file_close(f);
	__atomic_fetch_sub(&scribbling, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *watch(void *arg)
{
	struct scribbler *s = arg;
	uint8_t cell[CELL_BYTES];
	struct fs_file *f;

	must(fs_file_open(fs, s->ino, false, false, &f), "open file");
	for (unsigned n = 0; __atomic_load_n(&scribbling, __ATOMIC_SEQ_CST) > 0; n++) {
		ssize_t got = fs_read(f, cell, sizeof(cell), (uint64_t)(n % CELLS) * CELL_BYTES);

		ck_assert_int_ge(got, 0);
		ck_assert_msg(all_are(cell, (uint64_t)got, cell[0]), "a torn cell");
	}
	fs_file_close(f);
	return NULL;
}

/* Ticks, pushes and cleaning in between, as the background would. */
static void *stir(void *arg)
{
	while (__atomic_load_n(&scribbling, __ATOMIC_SEQ_CST) > 0) {
		must(flush_all(fs, false), "tick");
		data_push_stream(fs->data);
		must(db_commit(fs->db), "commit");
		must(clean_pass(fs), "clean");
	}
	return NULL;
}

START_TEST(readers_see_whole_writes_while_they_travel_to_the_store)
{
	pthread_t writers[2], readers[2], other;
	struct scribbler s[2];
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "cells");
	scribbling = 2;
	for (unsigned n = 0; n < 2; n++) {
		s[n] = (struct scribbler){ n, ino };
		ck_assert_int_eq(pthread_create(&writers[n], NULL, scribble, &s[n]), 0);
		ck_assert_int_eq(pthread_create(&readers[n], NULL, watch, &s[n]), 0);
	}
	ck_assert_int_eq(pthread_create(&other, NULL, stir, NULL), 0);
	for (unsigned n = 0; n < 2; n++) {
		pthread_join(writers[n], NULL);
		pthread_join(readers[n], NULL);
	}
	pthread_join(other, NULL);
	must(fs_sync(fs), "sync");
	check_fs(true);
	end_fs(URL);
}
END_TEST

START_TEST(a_long_sequential_file_reads_back_through_readahead)
{
	enum { MANY = 40 };
	static uint8_t out[1024 * 1024], got[1024 * 1024];
	struct fs_file *f;
	uint64_t ino;

	make_fs(URL);
	ino = make_file(FS_ROOT_INO, "long");
	must(fs_file_open(fs, ino, true, false, &f), "open file");
	for (uint64_t n = 0; n < MANY; n++) {
		fill(out, sizeof(out), n);
		ck_assert_int_eq(fs_write(f, out, sizeof(out), n * sizeof(out), false, false),
				 sizeof(out));
	}
	fs_file_close(f);
	reopen_fs(URL);
	must(fs_file_open(fs, ino, false, false, &f), "open file");
	for (uint64_t n = 0; n < MANY; n++) {
		fill(out, sizeof(out), n);
		for (size_t at = 0; at < sizeof(got); at += 128 * KIB)
			ck_assert_int_eq(fs_read(f, got + at, 128 * KIB, n * sizeof(got) + at),
					 (ssize_t)(128 * KIB));
		ck_assert_mem_eq(got, out, sizeof(got));
	}
	ck_assert_int_eq(fs_read(f, got, sizeof(got), MANY * sizeof(got)), 0);
	fs_file_close(f);
	check_fs(false);
	end_fs(URL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the bytes of files");
	TCase *c = tcase_create("files");

	tcase_set_timeout(c, TEST_TIMEOUT_S);
	tcase_add_loop_test(c, random_operations_on_a_file_do_what_an_array_does, 0, 12);
	tcase_add_test(c, a_sparse_file_of_a_tebibyte_takes_what_was_written);
	tcase_add_test(c, every_other_byte_written_alone_is_there);
	tcase_add_test(c, a_file_that_was_emptied_on_opening_is_empty_at_once_and_later);
	tcase_add_test(c, an_unlinked_file_is_read_and_written_until_its_last_close);
	tcase_add_test(c, what_cannot_be_done_to_a_file_is_refused_as_on_linux);
	tcase_add_test(c, a_write_by_somebody_unprivileged_takes_setuid_away_and_moves_times);
	tcase_add_test(c, appenders_never_overwrite_or_split_each_others_records);
	tcase_add_test(c, readers_see_whole_writes_while_they_travel_to_the_store);
	tcase_add_test(c, a_long_sequential_file_reads_back_through_readahead);
	suite_add_tcase(s, c);
	return run_suite(s);
}

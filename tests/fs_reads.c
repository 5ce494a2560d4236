/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What reading files costs: requests for file bytes, and how many bytes they bring, by the way in
 * which a file is read. Counts, not times.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#define URL "mem:fs-reads-tests"
#define FILE_BYTES (32 * MIB)
#define PAGE_BYTES 4096

static struct store *base, *watched;
static uint64_t gets, bytes_in; /* atomic: of segments */

static void count_request(void *ctx, const struct store_request *r)
{
	if (r->op != STORE_OP_GET || strncmp(r->key, "data/", 5) != 0)
		return;
	__atomic_fetch_add(&gets, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&bytes_in, r->bytes, __ATOMIC_SEQ_CST);
}

static void setup(void)
{
	struct store_config none = { 0 };

	quiet_config();
	store_mem_drop(URL);
	must(fs_format(URL, &config), "format");
	must(store_open(URL, &none, &base), "store");
	must(store_wrap_trace(base, count_request, NULL, &watched), "trace");
	config.store_override = watched;
	open_fs(URL);
}

static void teardown(void)
{
	close_fs();
	store_unref(watched);
	store_unref(base);
	config.store_override = NULL;
	end_fs(URL);
}

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2654435761u + 1;

	for (size_t n = 0; n < len; n++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[n] = (uint8_t)(x >> 56);
	}
}

/* Each page has bytes of its own. Then nothing of it is in memory. */
static uint64_t make_pages(const char *name, uint64_t bytes)
{
	uint64_t ino = make_file(FS_ROOT_INO, name);
	uint8_t page[PAGE_BYTES];
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open");
	for (uint64_t at = 0; at < bytes; at += PAGE_BYTES) {
		fill(page, sizeof(page), at);
		ck_assert_int_eq(fs_write(f, page, sizeof(page), at, false, false), PAGE_BYTES);
	}
	fs_file_close(f);
	reopen_fs(URL);
	return ino;
}

static void read_page(struct fs_file *f, uint64_t page)
{
	uint8_t got[PAGE_BYTES], want[PAGE_BYTES];

	ck_assert_int_eq(fs_read(f, got, sizeof(got), page * PAGE_BYTES), PAGE_BYTES);
	fill(want, sizeof(want), page * PAGE_BYTES);
	ck_assert(memcmp(got, want, sizeof(got)) == 0);
}

static struct fs_file *open_counted(uint64_t ino)
{
	struct fs_file *f;

	must(fs_file_open(fs, ino, false, false, &f), "open");
	__atomic_store_n(&gets, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&bytes_in, 0, __ATOMIC_SEQ_CST);
	return f;
}

/* What goes on in the background is over after closing. */
static void close_counted(struct fs_file *f)
{
	fs_file_close(f);
	reopen_fs(URL);
}

START_TEST(a_page_here_and_there_is_one_get_of_little_more)
{
	struct fs_file *f = open_counted(make_pages("file", FILE_BYTES));

	/* In an order in which neighbours are far apart; 100 KiB from each other. */
	for (uint64_t n = 0; n < 300; n++)
		read_page(f, 1 + n * 131 % 300 * 27);
	close_counted(f);
	ck_assert_uint_ge(gets, 250); /* some fell into what a neighbour had brought */
	ck_assert_uint_le(gets, 300);
	ck_assert_uint_le(bytes_in, 3 * 300 * PAGE_BYTES);
}
END_TEST

START_TEST(a_page_in_each_quarter_megabyte_costs_exactly_itself)
{
	struct fs_file *f = open_counted(make_pages("file", FILE_BYTES));

	for (uint64_t n = 0; n < 128; n++)
		read_page(f, 20 + n * 37 % 128 * 64);
	close_counted(f);
	ck_assert_uint_eq(gets, 128);
	ck_assert_uint_eq(bytes_in, 128 * (PAGE_BYTES + 8));
}
END_TEST

START_TEST(a_file_read_all_over_is_not_fetched_page_by_page)
{
	struct fs_file *f = open_counted(make_pages("file", 8 * MIB));

	for (uint64_t n = 0; n < 2048; n++)
		read_page(f, n * 1237 % 2048);
	close_counted(f);
	ck_assert_uint_le(gets, 64 * 4);
	ck_assert_uint_le(bytes_in, 8 * MIB * 3 / 2);
}
END_TEST

START_TEST(reading_on_takes_few_gets_however_small_the_reads)
{
	struct fs_file *f = open_counted(make_pages("file", FILE_BYTES));

	for (uint64_t n = 0; n < FILE_BYTES / PAGE_BYTES; n++)
		read_page(f, n);
	close_counted(f);
	/* A window that the reader overtakes before its turn has come is fetched in two parts. */
	ck_assert_uint_le(gets, 2 * 40);
	ck_assert_uint_le(bytes_in, FILE_BYTES + FILE_BYTES / 100);
}
END_TEST

START_TEST(reading_on_in_the_middle_widens_with_the_second_read)
{
	struct fs_file *f = open_counted(make_pages("file", FILE_BYTES));

	for (uint64_t n = 4000; n < 4000 + 256; n++)
		read_page(f, n);
	fs_file_close(f);
	ck_assert_uint_le(gets, 12); /* the page, its extent, and then readahead */
	reopen_fs(URL);
}
END_TEST

/* Pages that were written one by one lie in the segment as they were written. */
START_TEST(pages_written_at_random_are_read_at_random_with_a_bounded_number_of_gets)
{
	uint64_t ino = make_file(FS_ROOT_INO, "db");
	uint8_t page[PAGE_BYTES];
	struct fs_file *f;

	must(fs_file_open(fs, ino, true, false, &f), "open");
	for (uint64_t n = 0; n < 1024; n++) {
		uint64_t at = n * 389 % 1024 * PAGE_BYTES;

		fill(page, sizeof(page), at);
		ck_assert_int_eq(fs_write(f, page, sizeof(page), at, false, false), PAGE_BYTES);
		if (n % 64 == 63)
			must(fs_fsync(fs, ino), "fsync");
	}
	fs_file_close(f);
	reopen_fs(URL);
	f = open_counted(ino);
	for (uint64_t n = 0; n < 1024; n++)
		read_page(f, n * 619 % 1024);
	close_counted(f);
	ck_assert_uint_le(gets, 4 * 4 * MIB / (128 * KIB) + 8);
}
END_TEST

START_TEST(small_files_of_a_folder_share_gets)
{
	uint64_t inos[200];
	uint8_t page[PAGE_BYTES];
	struct fs_file *f;

	for (uint64_t n = 0; n < ARRAY_LEN(inos); n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "small-%llu", (unsigned long long)n);
		inos[n] = make_file(FS_ROOT_INO, name);
		fill(page, sizeof(page), 0);
		write_at(inos[n], page, sizeof(page), 0);
	}
	reopen_fs(URL);
	f = open_counted(inos[0]);
	fs_file_close(f);
	for (uint64_t n = 0; n < ARRAY_LEN(inos); n++) {
		must(fs_file_open(fs, inos[n], false, false, &f), "open");
		read_page(f, 0);
		fs_file_close(f);
	}
	reopen_fs(URL);
	ck_assert_uint_le(gets, 12);
}
END_TEST

START_TEST(a_copy_costs_what_the_original_does)
{
	uint64_t ino = make_pages("file", MIB), copy = make_file(FS_ROOT_INO, "copy");
	struct fs_file *in, *out;
	uint8_t got[PAGE_BYTES], want[PAGE_BYTES];

	must(fs_file_open(fs, ino, false, false, &in), "open");
	must(fs_file_open(fs, copy, true, false, &out), "open");
	ck_assert_int_eq(fs_copy_range(in, 0, out, 1000, MIB), (ssize_t)MIB);
	fs_file_close(in);
	fs_file_close(out);
	reopen_fs(URL);
	out = open_counted(copy);
	ck_assert_int_eq(fs_read(out, got, sizeof(got), 1000 + 77 * PAGE_BYTES), PAGE_BYTES);
	fill(want, sizeof(want), 77 * PAGE_BYTES);
	ck_assert(memcmp(got, want, sizeof(got)) == 0);
	ck_assert_uint_eq(gets, 1);
	ck_assert_uint_eq(bytes_in, PAGE_BYTES + 8);
	close_counted(out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("what reads cost");
	TCase *t = tcase_create("reads");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_page_here_and_there_is_one_get_of_little_more);
	tcase_add_test(t, a_page_in_each_quarter_megabyte_costs_exactly_itself);
	tcase_add_test(t, a_file_read_all_over_is_not_fetched_page_by_page);
	tcase_add_test(t, reading_on_takes_few_gets_however_small_the_reads);
	tcase_add_test(t, reading_on_in_the_middle_widens_with_the_second_read);
	tcase_add_test(t, pages_written_at_random_are_read_at_random_with_a_bounded_number_of_gets);
	tcase_add_test(t, small_files_of_a_folder_share_gets);
	tcase_add_test(t, a_copy_costs_what_the_original_does);
	suite_add_tcase(s, t);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* util: numbers, durations and names as people write them, small files. */
#include "util/option.h"
#include "util/util.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- numbers, names ---- */

START_TEST(whole_numbers_are_read_exactly_or_refused)
{
	static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "0x1", "1.0", "a" };
	uint64_t v = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(parse_u64(bad[i], &v), -EINVAL);
	ck_assert_int_eq(parse_u64("18446744073709551616", &v), -ERANGE);
	ck_assert_int_eq(parse_u64("99999999999999999999", &v), -ERANGE);
	ck_assert_uint_eq(v, 7); /* untouched by failures */
	ck_assert_int_eq(parse_u64("18446744073709551615", &v), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
	ck_assert_int_eq(parse_u64("000", &v), 0);
	ck_assert_uint_eq(v, 0);
}
END_TEST

START_TEST(sizes_are_read_as_people_write_them)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "10", 10 },
		{ "10B", 10 },
		{ "512M", 512 * MIB },
		{ "512m", 512 * MIB },
		{ "64KiB", 64 * KIB },
		{ "64kB", 64 * KIB },
		{ "1.5G", 1536 * MIB },
		{ "0.25T", 256 * GIB },
		{ "2P", 2048 * 1024 * GIB },
		{ "16383P", 16383ull << 50 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = { "",	  "M",	 "-1M",	   "1X",   "1MM", "1 M",
					   ".5G", "1.G", "1.5.5G", "1Mi5", "1e3" };
	uint64_t v = 7;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_msg(parse_size(good[i].text, &v) == 0, "%s", good[i].text);
		ck_assert_msg(v == good[i].bytes, "%s is %llu", good[i].text,
			      (unsigned long long)v);
	}
	v = 7;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(parse_size(bad[i], &v) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(parse_size("16384P", &v), -ERANGE);
	ck_assert_int_eq(parse_size("18446744073709551616", &v), -ERANGE);
	ck_assert_uint_eq(v, 7);
}
END_TEST

START_TEST(durations_and_switches_are_read_as_people_write_them)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = { { "5", 5000 },	 { "5s", 5000 },     { "250ms", 250 },
		     { "2m", 120000 },	 { "2min", 120000 }, { "1h", 3600000 },
		     { "1d", 86400000 }, { "0.5", 500 },     { "1.5h", 5400000 } };
	static const char *const bad[] = { "", "s", "5x", "5 s", "-5", "5S", "5ms5" };
	uint64_t v;
	bool on = false;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_msg(parse_duration_ms(good[i].text, &v) == 0, "%s", good[i].text);
		ck_assert_msg(v == good[i].ms, "%s is %llu ms", good[i].text,
			      (unsigned long long)v);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(parse_duration_ms(bad[i], &v) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(parse_bool("Yes", &on), 0);
	ck_assert(on);
	ck_assert_int_eq(parse_bool("off", &on), 0);
	ck_assert(!on);
	ck_assert_int_eq(parse_bool("perhaps", &on), -EINVAL);
	ck_assert_int_eq(parse_bool("", &on), -EINVAL);
}
END_TEST

START_TEST(sizes_are_written_for_people)
{
	char text[SIZE_STR_LEN];

	ck_assert_str_eq(format_size(0, text), "0 bytes");
	ck_assert_str_eq(format_size(1023, text), "1023 bytes");
	ck_assert_str_eq(format_size(1024, text), "1.0 KiB");
	ck_assert_str_eq(format_size(1288490189, text), "1.2 GiB");
	ck_assert_str_eq(format_size(UINT64_MAX, text), "16.0 EiB");
}
END_TEST

START_TEST(a_mistyped_name_finds_the_one_that_was_meant)
{
	static const char *const names[] = { "cache_dir", "cache_size", "region", "endpoint",
					     "ro" };
	char *huge CLEANUP(free_ptr) = malloc(100001);

	ck_assert_str_eq(nearest_name("cache_sise", names, 5), "cache_size");
	ck_assert_str_eq(nearest_name("chace_dir", names, 5), "cache_dir");
	ck_assert_str_eq(nearest_name("regon", names, 5), "region");
	ck_assert_str_eq(nearest_name("endpointt", names, 5), "endpoint");
	ck_assert_str_eq(nearest_name("ro", names, 5), "ro");
	ck_assert_ptr_null(nearest_name("bucket", names, 5));
	ck_assert_ptr_null(nearest_name("", names, 5));
	ck_assert_ptr_null(nearest_name("region", names, 0));
	ck_assert_ptr_nonnull(huge);
	memset(huge, 'r', 100000);
	huge[100000] = '\0';
	ck_assert_ptr_null(nearest_name(huge, names, 5));
}
END_TEST

START_TEST(a_small_file_is_read_whole_and_a_large_one_refused)
{
	char path[] = "/tmp/util_basics.XXXXXX";
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(write(fd, "0123456789", 10), 10);
	(void)close(fd);
	buf_add_str(&b, "before");
	ck_assert_int_eq(file_read_all(path, 10000, &b), 0);
	ck_assert_uint_eq(b.len, 10006);
	ck_assert_mem_eq(b.data, "before0123", 10);
	buf_reset(&b);
	ck_assert_int_eq(file_read_all(path, 9999, &b), -EFBIG);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(file_read_all(path, 9999, &b), -ENOENT);
}
END_TEST

static int options_of(char *word, const char **ret_note)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
					       { "interval", required_argument, NULL, 'i' },
					       { "internal", no_argument, NULL, 'x' },
					       { NULL, 0, NULL, 0 } };
	char *argv[] = { "verb", word, NULL };
	int opt;

	optind = 0; /* from the start */
	err_clear();
	opt = option_next(2, argv, "hi:", longs);
	*ret_note = err_last_note();
	return opt;
}

START_TEST(an_option_that_is_unknown_gets_a_suggestion)
{
	static const struct {
		char *word;
		int opt;
		const char *note;
	} cases[] = {
		{ "--json", 'j', "" },
		{ "--interval=5", 'i', "" },
		{ "-i5", 'i', "" },
		{ "-h", 'h', "" },
		{ "word", -1, "" },
		{ "--jsn", '?', "unknown option \"--jsn\"; did you mean \"--json\"?" },
		{ "--intervall=5", '?', "unknown option \"--intervall=5\"; did you mean \"--interval\"?" },
		{ "--frobnicate", '?', "unknown option \"--frobnicate\"" },
		{ "-j", '?', "unknown option \"-j\"" },
		{ "--json=1", '?', "option \"--json\" takes no value" },
		{ "--interval", '?', "option \"--interval\" needs a value" },
		{ "--inter", '?', "option \"--inter\" could be more than one" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *note;

		ck_assert_int_eq(options_of(cases[i].word, &note), cases[i].opt);
		ck_assert_str_eq(note, cases[i].note);
	}
}
END_TEST

static void add_cases(Suite *s)
{
	TCase *t;

	t = tcase_create("numbers, names");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, whole_numbers_are_read_exactly_or_refused);
	tcase_add_test(t, sizes_are_read_as_people_write_them);
	tcase_add_test(t, durations_and_switches_are_read_as_people_write_them);
	tcase_add_test(t, sizes_are_written_for_people);
	tcase_add_test(t, a_mistyped_name_finds_the_one_that_was_meant);
	tcase_add_test(t, an_option_that_is_unknown_gets_a_suggestion);
	tcase_add_test(t, a_small_file_is_read_whole_and_a_large_one_refused);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("util: what people write");

	add_cases(s);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command line reads from people, and shows them. */
#include "cli/internal.h"
#include "runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(prices_are_two_or_three_numbers)
{
	static const char *const refused[] = { "",     "5",    "5,",	"5,x",	 "5,1,", "5,1,2,3",
					       "-5,1", "5,-1", "inf,1", "nan,1", "5 1",	 "5,1x" };
	struct cli_prices p;

	ck_assert_int_eq(cli_prices_parse(CLI_PRICES_DEFAULT, &p), 0);
	ck_assert_double_eq_tol(p.put_1000, 0.005, 1e-9);
	ck_assert_double_eq_tol(p.get_1000, 0.0004, 1e-9);
	ck_assert_double_eq_tol(p.gib_in, 0, 1e-9);
	ck_assert_int_eq(cli_prices_parse("5,0.5,9.25", &p), 0);
	ck_assert_double_eq_tol(p.gib_in, 9.25, 1e-9);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		ck_assert_msg(cli_prices_parse(refused[i], &p) == -EINVAL, "\"%s\"", refused[i]);
}
END_TEST

START_TEST(the_price_is_that_of_what_was_requested)
{
	static const char *const lines[] = {
		"n requests.put 1000",	"n requests.list 500",	   "n requests.get 2000",
		"n requests.head 1000", "n requests.delete 77777", "n requests.bytes_in 536870912"
	};
	struct cli_prices p = { 2, 1, 10 };
	struct cli_answer a = { .count = 0 };

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		ck_assert_int_eq(cli_answer_add(&a, lines[i]), 0);
	ck_assert_double_eq_tol(cli_prices_sum(&p, &a), 3 + 3 + 5, 1e-9);
	ck_assert_uint_eq(cli_answer_sum(&a, "requests."), 1000 + 500 + 2000 + 1000 + 77777);
	cli_answer_release(&a);
}
END_TEST

START_TEST(what_a_later_daemon_says_does_no_harm)
{
	struct cli_answer a = { .count = 0 };
	char line[32];

	ck_assert_int_eq(cli_answer_add(&a, ""), 0);
	ck_assert_int_eq(cli_answer_add(&a, "n"), 0);
	ck_assert_int_eq(cli_answer_add(&a, "n key"), 0);
	ck_assert_uint_eq(a.count, 0);
	for (unsigned i = 0; i < 2 * CLI_ITEMS_MAX; i++) {
		(void)snprintf(line, sizeof(line), "n key%u %u", i, i);
		ck_assert_int_eq(cli_answer_add(&a, line), 0);
	}
	ck_assert_uint_eq(a.count, CLI_ITEMS_MAX);
	ck_assert_uint_eq(cli_answer_number(&a, "key7"), 7);
	ck_assert_str_eq(cli_answer_text(&a, "none"), "");
	cli_answer_release(&a);
}
END_TEST

START_TEST(a_bar_is_as_long_at_its_end_as_at_its_beginning)
{
	char out[CLI_BAR_LEN];

	ck_assert_str_eq(cli_bar(0, 100, out), "[                        ]   0 %");
	ck_assert_str_eq(cli_bar(50, 100, out), "[############            ]  50 %");
	ck_assert_str_eq(cli_bar(99, 100, out), "[####################### ]  99 %");
	ck_assert_str_eq(cli_bar(100, 100, out), "[########################] 100 %");
	ck_assert_str_eq(cli_bar(UINT64_MAX, 1, out), "[########################] 100 %");
	ck_assert_str_eq(cli_bar(0, 0, out), "[########################] 100 %");
}
END_TEST

static void ck_wrapped(const char *text, size_t columns, const char *expected)
{
	struct buf out CLEANUP(buf_release) = BUF_INIT;

	cli_wrap_text(&out, text, columns);
	ck_assert_str_eq(buf_cstr(&out), expected);
}

START_TEST(what_fits_a_terminal_is_shown_as_it_was_written)
{
	static const char text[] = "usage: levels3fs verb URL\n\nOne line,\nand another.\n\n  -x, "
				   "--long  what it does\n";

	ck_wrapped(text, 0, text);
	ck_wrapped("", 40, "");
	ck_wrapped("\n\n", 40, "\n\n");
	ck_wrapped("no end", 40, "no end");
	ck_wrapped("  -x          what it does\n  --other-one  as well\n", 40,
		   "  -x          what it does\n  --other-one  as well\n");
}
END_TEST

START_TEST(text_is_wrapped_at_the_end_of_a_terminal)
{
	/* paragraphs are one text, however they were broken */
	ck_wrapped("It says what it finds, and then\nwhat is to be done.\n\nNot more.\n", 30,
		   "It says what it finds, and\nthen what is to be done.\n\nNot more.\n");
	/* texts in lists stay to the right of what they are about, if there is room */
	ck_wrapped("  --json    one JSON object that has all of\n            what it found\n", 40,
		   "  --json    one JSON object that has all\n            of what it found\n");
	ck_wrapped("  --a-long-option        what is said of it\n", 32,
		   "  --a-long-option\n        what is said of it\n");
	/* characters are counted, not bytes; a word longer than the line stands alone */
	ck_wrapped("äöüß äöüß äöüß äöüß äöüß\n", 20, "äöüß äöüß äöüß äöüß\näöüß\n");
	ck_wrapped("see s3://a-bucket-of/some/length/and/more\n", 20,
		   "see\ns3://a-bucket-of/some/length/and/more\n");
	ck_wrapped("usage: levels3fs verb URL [--an-option] [--another-one]\n", 40,
		   "usage: levels3fs verb URL [--an-option]\n              [--another-one]\n");
	ck_assert_uint_eq(cli_cut("äöüß", 3), strlen("äöü"));
	ck_assert_uint_eq(cli_cut("abc", 5), 3);
}
END_TEST

START_TEST(one_is_no_plural)
{
	char out[CLI_COUNTED_LEN];

	ck_assert_str_eq(cli_counted(0, "file", "files", out), "0 files");
	ck_assert_str_eq(cli_counted(1, "file", "files", out), "1 file");
	ck_assert_str_eq(cli_counted(UINT64_MAX, "file", "files", out),
			 "18446744073709551615 files");
}
END_TEST

START_TEST(a_word_for_a_mount_is_a_folder_or_a_name_or_a_url)
{
	char path[] = "/tmp/cli_words_XXXXXX", dir[PATH_MAX];
	int fd = mkstemp(path);
	static const char text[] =
		"[named]\nurl = mem:cli-words\nmountpoint = /no/such/mountpoint\n"
		"[nowhere]\nurl = mem:cli-words-2\n";

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(setenv("LEVELS3FS_CONFIG", path, 1), 0);
	ck_assert_int_eq(cli_place_dir("named", dir), 0);
	ck_assert_str_eq(dir, "/no/such/mountpoint");
	ck_assert_int_eq(cli_place_dir("./named", dir), 0);
	ck_assert_str_eq(dir, "./named");
	ck_assert_int_eq(cli_place_dir("unnamed", dir), 0);
	ck_assert_str_eq(dir, "unnamed");
	ck_assert_int_eq(cli_place_dir("nowhere", dir), -ENOENT);
	ck_assert_int_eq(cli_place_dir("mem:cli-words", dir), -ENOENT);
	ck_assert(cli_place_is_dir("/tmp"));
	ck_assert(cli_place_is_dir("."));
	ck_assert(!cli_place_is_dir("named"));
	ck_assert(!cli_place_is_dir("s3://bucket/x"));
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command line");
	TCase *tc = tcase_create("command line");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, prices_are_two_or_three_numbers);
	tcase_add_test(tc, the_price_is_that_of_what_was_requested);
	tcase_add_test(tc, what_a_later_daemon_says_does_no_harm);
	tcase_add_test(tc, a_bar_is_as_long_at_its_end_as_at_its_beginning);
	tcase_add_test(tc, what_fits_a_terminal_is_shown_as_it_was_written);
	tcase_add_test(tc, text_is_wrapped_at_the_end_of_a_terminal);
	tcase_add_test(tc, one_is_no_plural);
	tcase_add_test(tc, a_word_for_a_mount_is_a_folder_or_a_name_or_a_url);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

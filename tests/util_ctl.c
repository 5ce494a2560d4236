/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding a mount's daemon, lines over its socket, and the kernel's mount table. */
#include "util/ctl.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAJOR 4000 /* no device has it */

static int pair[2];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void teardown(void)
{
	(void)close(pair[0]);
	(void)close(pair[1]);
}

START_TEST(lines_arrive_one_by_one_however_they_are_cut)
{
	struct ctl_reader r = { .fd = pair[1] };
	char line[CTL_LINE_MAX];

	ck_assert_int_eq(write(pair[0], "one\ntw", 6), 6);
	ck_assert_int_eq(ctl_read(&r, line, 1000), 1);
	ck_assert_str_eq(line, "one");
	ck_assert_int_eq(ctl_read(&r, line, 1), -ETIMEDOUT);
	ck_assert_int_eq(write(pair[0], "o\n\n", 3), 3);
	ck_assert_int_eq(ctl_read(&r, line, 1000), 1);
	ck_assert_str_eq(line, "two");
	ck_assert_int_eq(ctl_read(&r, line, 1000), 1);
	ck_assert_str_eq(line, "");
	(void)shutdown(pair[0], SHUT_WR);
	ck_assert_int_eq(ctl_read(&r, line, 1000), 0);
}
END_TEST

START_TEST(a_newline_in_a_message_does_not_make_two_lines)
{
	struct ctl_reader r = { .fd = pair[1] };
	char line[CTL_LINE_MAX];

	ck_assert_int_eq(ctl_write(pair[0], "s key %s", "a\nb"), 0);
	ck_assert_int_eq(ctl_read(&r, line, 1000), 1);
	ck_assert_str_eq(line, "s key a b");
}
END_TEST

START_TEST(a_line_without_end_is_refused_and_a_long_message_cut)
{
	struct ctl_reader r = { .fd = pair[1] };
	char line[CTL_LINE_MAX], *much = malloc(2 * CTL_LINE_MAX);

	ck_assert_ptr_nonnull(much);
	memset(much, 'x', 2 * CTL_LINE_MAX);
	much[2 * CTL_LINE_MAX - 1] = '\0';
	ck_assert_int_eq(ctl_write(pair[0], "%s", much), 0);
	ck_assert_int_eq(ctl_read(&r, line, 1000), 1);
	ck_assert_uint_lt(strlen(line), CTL_LINE_MAX);
	ck_assert_int_eq(write(pair[0], much, CTL_LINE_MAX), CTL_LINE_MAX);
	ck_assert_int_eq(ctl_read(&r, line, 1000), -EPROTO);
	free(much);
}
END_TEST

START_TEST(writing_to_one_who_left_is_an_error_and_no_signal)
{
	(void)close(pair[1]);
	pair[1] = -1;
	ck_assert_int_eq(ctl_write(pair[0], "anybody?"), -EPIPE);
}
END_TEST

START_TEST(a_daemon_is_found_by_the_device_of_its_mount_only)
{
	struct ctl_mount m = { .major = MAJOR, .minor = (unsigned)getpid(), .owner = geteuid() };
	int listener, client = -1, server = -1;
	pid_t pid = 0;

	ck_assert_int_eq(ctl_connect(&m, &client, &pid), -ENOENT);
	ck_assert_int_eq(ctl_listen(m.major, m.minor, &listener), 0);
	ck_assert_int_eq(ctl_connect(&m, &client, &pid), 0);
	ck_assert_int_eq(pid, getpid());
	ck_assert_int_eq(ctl_accept(listener, &server), 0);
	(void)close(client);
	(void)close(server);
	m.minor++;
	ck_assert_int_eq(ctl_connect(&m, &client, &pid), -ENOENT);
	(void)close(listener);
}
END_TEST

START_TEST(a_socket_of_somebody_who_did_not_mount_is_not_believed)
{
	struct ctl_mount m = { .major = MAJOR,
			       .minor = (unsigned)getpid(),
			       .owner = geteuid() + 1 };
	int listener, client = -1;

	ck_assert_int_eq(ctl_listen(m.major, m.minor, &listener), 0);
	/* Root's word counts for every mount. */
	ck_assert_int_eq(ctl_connect(&m, &client, NULL), geteuid() == 0 ? 0 : -EACCES);
	if (client >= 0)
		(void)close(client);
	(void)close(listener);
}
END_TEST

START_TEST(the_mount_table_knows_proc_and_what_lies_in_it)
{
	struct ctl_mount m, within;

	ck_assert_int_eq(ctl_mount_at("/proc", &m), 0);
	ck_assert_str_eq(m.type, "proc");
	ck_assert(!ctl_mount_is_ours(&m));
	ck_assert_int_eq(ctl_mount_of("/proc/1/status", &within), 0);
	ck_assert_uint_eq(within.minor, m.minor);
	ck_assert_int_eq(ctl_mount_at("/proc/1/status", &m), -ENOENT);
	ck_assert_int_eq(ctl_mount_of("/procession", &m), 0);
	ck_assert_str_ne(m.dir, "/proc");
}
END_TEST

START_TEST(a_path_is_made_absolute_without_touching_its_last_part)
{
	char out[PATH_MAX];

	ck_assert_int_eq(ctl_resolve("/usr//bin/../no such thing/", out), 0);
	ck_assert_str_eq(out, "/usr/no such thing");
	ck_assert_int_eq(ctl_resolve("/", out), 0);
	ck_assert_str_eq(out, "/");
	ck_assert_int_eq(ctl_resolve("/no such thing/x", out), -ENOENT);
	ck_assert_int_eq(ctl_resolve("", out), -ENOENT);
	ck_assert_int_eq(chdir("/usr"), 0);
	ck_assert_int_eq(ctl_resolve("x", out), 0);
	ck_assert_str_eq(out, "/usr/x");
	ck_assert_int_eq(ctl_resolve(".", out), 0);
	ck_assert_str_eq(out, "/usr");
	ck_assert_int_eq(ctl_resolve("..", out), 0);
	ck_assert_str_eq(out, "/");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *tc = tcase_create("control");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lines_arrive_one_by_one_however_they_are_cut);
	tcase_add_test(tc, a_newline_in_a_message_does_not_make_two_lines);
	tcase_add_test(tc, a_line_without_end_is_refused_and_a_long_message_cut);
	tcase_add_test(tc, writing_to_one_who_left_is_an_error_and_no_signal);
	tcase_add_test(tc, a_daemon_is_found_by_the_device_of_its_mount_only);
	tcase_add_test(tc, a_socket_of_somebody_who_did_not_mount_is_not_believed);
	tcase_add_test(tc, the_mount_table_knows_proc_and_what_lies_in_it);
	tcase_add_test(tc, a_path_is_made_absolute_without_touching_its_last_part);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding a mount's daemon, lines over its socket, and the kernel's mount table. */
#include "util/ctl.h"
#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

struct fake { /* a daemon that answers "serving" with `dir`, or not at all if it is NULL */
	int listener;
	const char *dir;
};

static void *fake_daemon(void *arg)
{
	const struct fake *f = arg;
	int fd;

	while (ctl_accept(f->listener, &fd) == 0) {
		struct ctl_reader r = { .fd = fd };
		char line[CTL_LINE_MAX];

		if (ctl_read(&r, line, 5000) > 0 && strcmp(line, "serving") == 0 && f->dir)
			(void)ctl_write(fd, "%s", f->dir);
		(void)close(fd);
	}
	return NULL;
}

/* Ends with the test's process. */
static void start_fake(struct fake *f, const struct ctl_mount *m)
{
	pthread_t thread;

	ck_assert_int_eq(ctl_listen(m->major, m->minor, &f->listener), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, fake_daemon, f), 0);
	(void)pthread_detach(thread);
}

START_TEST(a_daemon_is_found_by_the_device_of_its_mount_only)
{
	static struct fake f = { .dir = "/somewhere" };
	struct ctl_mount m = { .major = MAJOR, .minor = (unsigned)getpid(), .owner = geteuid() };
	int client = -1;
	pid_t pid = 0;

	ck_assert_int_eq(ctl_connect(&m, &client, &pid), -ENOENT);
	start_fake(&f, &m);
	ck_assert_int_eq(ctl_connect(&m, &client, &pid), 0);
	ck_assert_int_eq(pid, getpid());
	(void)close(client);
	m.minor++;
	ck_assert_int_eq(ctl_connect(&m, &client, &pid), -ENOENT);
}
END_TEST

START_TEST(a_daemon_whose_mount_is_gone_is_not_taken_for_the_next_with_its_device)
{
	static struct fake f = { .dir = NULL };
	struct ctl_mount m = { .major = MAJOR, .minor = (unsigned)getpid(), .owner = geteuid() };
	int client = -1;

	start_fake(&f, &m);
	ck_assert_int_eq(ctl_connect(&m, &client, NULL), -ENOENT);
}
END_TEST

START_TEST(a_socket_of_somebody_who_did_not_mount_is_not_believed)
{
	static struct fake f = { .dir = "/somewhere" };
	struct ctl_mount m = { .major = MAJOR,
			       .minor = (unsigned)getpid(),
			       .owner = geteuid() + 1 };
	int client = -1;

	start_fake(&f, &m);
	/* Root's word counts for every mount. */
	ck_assert_int_eq(ctl_connect(&m, &client, NULL), geteuid() == 0 ? 0 : -EACCES);
}
END_TEST

START_TEST(a_daemon_that_serves_nobody_holds_nobody_up)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener, clients[64], fd;
	unsigned count = 0;

	ck_assert_int_eq(ctl_listen(4095, 78, &listener), 0);
	(void)snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "levels3fs/4095:78/%ld",
		       (long)getpid());
	for (; count < ARRAY_LEN(clients); count++) {
		clients[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(clients[count], (struct sockaddr *)&addr,
			    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					strlen(addr.sun_path + 1))) < 0)
			break;
	}
	ck_assert_uint_lt(count, ARRAY_LEN(clients)); /* the queue is full */
	ck_assert_int_eq(ctl_connect_by_dir("/no such folder", &fd, NULL), -ENOENT);
	for (unsigned i = 0; i <= count; i++)
		(void)close(clients[i]);
	(void)close(listener);
}
END_TEST

START_TEST(the_mount_table_knows_proc_and_what_lies_in_it)
{
	struct ctl_mount m, within;
	int err;

	ck_assert_int_eq(ctl_mount_at("/proc", &m), 0);
	ck_assert_str_eq(m.type, "proc");
	ck_assert(!ctl_mount_is_ours(&m));
	ck_assert_int_eq(ctl_mount_of("/proc/1/status", &within), 0);
	ck_assert_uint_eq(within.minor, m.minor);
	ck_assert_int_eq(ctl_mount_at("/proc/1/status", &m), -ENOENT);
	/* In a chroot that is no mountpoint the table has nothing above it. */
	err = ctl_mount_of("/procession", &m);
	ck_assert(err == -ENOENT || (err == 0 && strcmp(m.dir, "/proc") != 0));
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

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lines_arrive_one_by_one_however_they_are_cut);
	tcase_add_test(tc, a_newline_in_a_message_does_not_make_two_lines);
	tcase_add_test(tc, a_line_without_end_is_refused_and_a_long_message_cut);
	tcase_add_test(tc, writing_to_one_who_left_is_an_error_and_no_signal);
	tcase_add_test(tc, a_daemon_is_found_by_the_device_of_its_mount_only);
	tcase_add_test(tc,
		       a_daemon_whose_mount_is_gone_is_not_taken_for_the_next_with_its_device);
	tcase_add_test(tc, a_socket_of_somebody_who_did_not_mount_is_not_believed);
	tcase_add_test(tc, a_daemon_that_serves_nobody_holds_nobody_up);
	tcase_add_test(tc, the_mount_table_knows_proc_and_what_lies_in_it);
	tcase_add_test(tc, a_path_is_made_absolute_without_touching_its_last_part);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

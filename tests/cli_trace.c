/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines for those who listen: what they say, and that nobody waits for a listener. */
#include "../fuse/trace.h"
#include "runner.h"

#include "util/ctl.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 20000

static struct trace *trace;
static struct ctl_reader reader;

static void setup(void)
{
	ck_assert_int_eq(trace_new(&trace), 0);
	reader = (struct ctl_reader){ .fd = -1 };
}

/* The trace stays, as it does in the daemon: its thread ends after the next line. */
static void teardown(void)
{
	close_fd(&reader.fd);
}

static void read_line(char line[CTL_LINE_MAX])
{
	ck_assert_int_eq(ctl_read(&reader, line, WAIT_MS), 1);
}

static void listen_to(bool with_ops)
{
	char line[CTL_LINE_MAX];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(trace_listen(trace, pair[0], with_ops), 0);
	reader.fd = pair[1];
	read_line(line);
	ck_assert_str_eq(line, "tracing");
}

static void request(const char *key, int result)
{
	struct store_request r = { .op = STORE_OP_PUT,
				   .key = key,
				   .bytes = 7,
				   .took_ns = 5000,
				   .result = result,
				   .attempt = 2 };

	trace_request(trace, &r);
}

/* A line without its kind and time. */
static const char *behind_time(const char *line)
{
	const char *at = strchr(line + 2, ' ');

	return at ? at + 1 : "";
}

START_TEST(a_request_is_a_line_with_bytes_time_result_try_and_key)
{
	char line[CTL_LINE_MAX];

	listen_to(false);
	request("chain/1", 0);
	request("a\nb\x1b[2J", -L3_THROTTLED);
	read_line(line);
	ck_assert_int_eq(line[0], 'r');
	ck_assert_str_eq(behind_time(line), "put 7 5000 0 2 chain/1");
	read_line(line);
	ck_assert_str_eq(behind_time(line), "put 7 5000 -2005 2 a?b?[2J");
}
END_TEST

struct kernel_request {
	struct fuse_in_header in;
	char arg[64];
};

static void begin(uint32_t opcode, uint64_t unique, const void *arg, size_t len)
{
	struct kernel_request r = { .in = { .opcode = opcode, .unique = unique, .nodeid = 42 } };

	memcpy(r.arg, arg, len);
	r.in.len = (uint32_t)(sizeof(r.in) + len);
	trace_op_begin(trace, &r, r.in.len);
}

static void end(uint64_t unique, int error, size_t bytes)
{
	struct fuse_out_header out = { .unique = unique,
				       .error = -error,
				       .len = (uint32_t)(sizeof(out) + bytes) };
	struct iovec iov = { &out, sizeof(out) };

	trace_op_end(trace, &iov, 1);
}

/* The line, but for the time it took, which comes before `rest`. */
static void expect_op(const char *head, const char *rest)
{
	char line[CTL_LINE_MAX];
	const char *at;

	read_line(line);
	ck_assert_int_eq(line[0], 'o');
	at = behind_time(line);
	ck_assert_msg(strncmp(at, head, strlen(head)) == 0, "%s", line);
	at = strchr(at + strlen(head), ' ');
	ck_assert_str_eq(at ? at + 1 : "", rest);
}

START_TEST(an_operation_is_a_line_with_inode_bytes_offset_errno_and_names)
{
	static const char names[] = "\1\0\0\0\0\0\0\0old\0new"; /* behind the new folder's inode */
	struct fuse_read_in read_in = { .offset = 4096, .size = 100 };

	listen_to(true);
	begin(FUSE_RENAME, 10, names, sizeof(names));
	begin(FUSE_READ, 12, &read_in, sizeof(read_in));
	begin(FUSE_LOOKUP, 14, "x", 2);
	end(12, 0, 60);
	end(10, 0, 0);
	end(14, ENOENT, 0);
	expect_op("read 42 60 4096 ", "0");
	expect_op("rename 42 0 - ", "0 old -> new");
	expect_op("lookup 42 0 - ", "2 x");
}
END_TEST

START_TEST(a_request_that_is_cut_short_is_not_read_beyond_its_end)
{
	listen_to(true);
	begin(FUSE_LOOKUP, 10, "xyz", 3); /* no NUL */
	begin(FUSE_RENAME, 12, "1234", 4);
	begin(FUSE_READ, 14, "1234", 4);
	begin(4711, 16, "", 0);
	for (uint64_t unique = 10; unique <= 16; unique += 2)
		end(unique, EIO, 0);
	expect_op("lookup 42 0 - ", "5");
	expect_op("rename 42 0 - ", "5");
	expect_op("read 42 0 - ", "5");
	request("last", 0);
}
END_TEST

START_TEST(operations_are_counted_while_nobody_listens)
{
	uint64_t counts[TRACE_KIND_COUNT];

	begin(FUSE_LOOKUP, 10, "x", 2);
	begin(FUSE_MKDIR, 12, "", 0);
	begin(FUSE_MKNOD, 14, "", 0);
	begin(4711, 16, "", 0);
	trace_counts(trace, counts);
	ck_assert_uint_eq(counts[TRACE_LOOKUP], 1);
	ck_assert_uint_eq(counts[TRACE_CREATE], 2);
	ck_assert_uint_eq(counts[TRACE_OTHER], 1);
	for (unsigned i = 0; i < TRACE_KIND_COUNT; i++)
		ck_assert(trace_kind_name((enum trace_kind)i) != NULL);
}
END_TEST

#define FLOOD 100000

/* More than any buffer holds, while nobody reads: this test ends at all because nothing waits. */
START_TEST(what_is_not_read_in_time_is_left_out_and_counted)
{
	char line[CTL_LINE_MAX];
	uint64_t seen = 0, lost = 0;
	unsigned long long n;

	listen_to(false);
	for (unsigned i = 0; i < FLOOD; i++)
		request("data/0000000001-0000000001", 0);
	while (seen + lost < FLOOD) {
		read_line(line);
		if (sscanf(line, "lost %llu", &n) == 1)
			lost += n;
		else
			seen++;
	}
	ck_assert_uint_eq(seen + lost, FLOOD);
	ck_assert_uint_gt(lost, 0);
}
END_TEST

START_TEST(listeners_are_limited_and_one_that_left_makes_room)
{
	int others[16], count = 0, pair[2], err = 0;

	for (; count < 16; count++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		err = trace_listen(trace, pair[0], false);
		if (err < 0)
			break;
		others[count] = pair[1];
	}
	ck_assert_int_eq(err, -EBUSY);
	ck_assert_int_gt(count, 2);
	(void)close(others[0]);
	while ((err = trace_listen(trace, pair[0], false)) == -EBUSY)
		(void)usleep(10000); /* nothing happens, of which it could be told */
	ck_assert_int_eq(err, 0);
	(void)close(pair[1]);
	for (int i = 1; i < count; i++)
		(void)close(others[i]);
	request("key", 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lines for listeners");
	TCase *tc = tcase_create("lines for listeners");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_request_is_a_line_with_bytes_time_result_try_and_key);
	tcase_add_test(tc, an_operation_is_a_line_with_inode_bytes_offset_errno_and_names);
	tcase_add_test(tc, a_request_that_is_cut_short_is_not_read_beyond_its_end);
	tcase_add_test(tc, operations_are_counted_while_nobody_listens);
	tcase_add_test(tc, what_is_not_read_in_time_is_left_out_and_counted);
	tcase_add_test(tc, listeners_are_limited_and_one_that_left_makes_room);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The S3 store against a server that answers from a script: what every kind of answer, torn, wrong
 * or absent ones too, is turned into, and what a person is told. Writing: store_s3_writes.c.
 */
#include "tests/store_s3_http.h"

static struct reply made_reply; /* of the bytes in made */

/* ---- reading ---- */

START_TEST(an_object_comes_with_what_is_known_of_it)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n"
		       "Last-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n\r\nhello" });

	buf_add_str(&got, "before:");
	ck_ok(get_all());
	ck_assert_str_eq(buf_cstr(&got), "before:hello");
	ck_assert_str_eq(meta.etag, "abc");
	ck_assert_uint_eq(meta.size_bytes, 5);
	ck_assert_int_eq(meta.mtime_s, 1795248000);
	ck_sent(0, "GET /bucket/pre/k HTTP/1.1\r\n");
	ck_sent(0, "\r\nx-amz-content-sha256: e3b0c44298fc1c14");
	ck_sent(0, "\r\nx-amz-security-token: " TOKEN "\r\n");
	ck_sent(0, "Credential=AKIDOFTEST/");
	ck_sent(0, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
	ck_not_sent(0, SECRET);
	ck_not_sent(0, "\r\nrange:");
}
END_TEST

#define HELLO_MD5 "5d41402abc4b2a76b9719d911017c592"
#define FIVE_BYTES "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"" HELLO_MD5 "\"\r\n\r\n"

START_TEST(bytes_that_do_not_fit_an_etag_which_is_their_md5_were_changed_on_the_way)
{
	OPEN({ .text = FIVE_BYTES "hello" }, { .text = FIVE_BYTES "hEllo" },
	     { .text = FIVE_BYTES "helLo" }, { .text = FIVE_BYTES "hello" });

	ck_ok(get_all());
	buf_reset(&got);
	buf_add_str(&got, "before");
	ck_assert_int_eq(get_all(), -L3_UNREACHABLE);
	ck_assert_str_eq(buf_cstr(&got), "before");
	ck_note_has("changed on the way");
	ck_ok(get_all());
	ck_assert_str_eq(buf_cstr(&got), "beforehello");
}
END_TEST

START_TEST(so_are_those_of_an_object_that_is_smaller_than_the_range_asked_for)
{
	OPEN({ .text = FIVE_BYTES "hEllo" }, { .text = FIVE_BYTES "hello" });

	ck_assert_int_eq(store_get(s3, "k", 0, 100, &got, NULL), -L3_UNREACHABLE);
	ck_assert_uint_eq(got.len, 0);
}
END_TEST

START_TEST(a_server_whose_etags_only_look_like_md5_is_believed_after_one_more_look)
{
	OPEN({ .text = FIVE_BYTES "other" }, { .text = FIVE_BYTES "other" },
	     { .text = FIVE_BYTES "third" });

	ck_ok(get_all());
	ck_assert_str_eq(buf_cstr(&got), "other");
	buf_reset(&got);
	ck_ok(get_all());
	ck_assert_str_eq(buf_cstr(&got), "third");
}
END_TEST

START_TEST(a_torn_body_is_an_error_and_leaves_the_buffer_as_it_was)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", .then = CLOSE });

	buf_add_str(&got, "before");
	ck_assert_int_eq(get_all(), -L3_UNREACHABLE);
	ck_assert_str_eq(buf_cstr(&got), "before");
	ck_assert(!got.failed);
	ck_note_has("GET k: ");
}
END_TEST

START_TEST(a_body_whose_end_cannot_be_told_from_a_broken_connection_is_refused)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\n\r\nall of it?", .then = CLOSE });

	ck_assert_int_eq(get_all(), -L3_SERVER);
	ck_assert_uint_eq(got.len, 0);
}
END_TEST

START_TEST(a_chunked_body_is_taken_whole_or_not_at_all)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		       "chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n" },
	     { .text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
	       .then = CLOSE });

	ck_ok(get_all());
	ck_assert_str_eq(buf_cstr(&got), "hello");
	ck_assert_uint_eq(meta.size_bytes, 5);
	ck_assert_int_eq(get_all(), -L3_UNREACHABLE);
	ck_assert_str_eq(buf_cstr(&got), "hello");
}
END_TEST

START_TEST(a_range_is_taken_from_a_server_that_knows_no_ranges)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789" });

	ck_ok(store_get(s3, "k", 3, 4, &got, &meta));
	ck_assert_str_eq(buf_cstr(&got), "3456");
	ck_assert_uint_eq(meta.size_bytes, 10);
	ck_ok(store_get(s3, "k", 8, 100, &got, NULL));
	ck_assert_str_eq(buf_cstr(&got), "345689");
	ck_ok(store_get(s3, "k", 10, STORE_TO_END, &got, NULL));
	ck_assert_str_eq(buf_cstr(&got), "345689");
	ck_sent(0, "\r\nrange: bytes=3-6\r\n");
	ck_sent(2, "\r\nrange: bytes=10-\r\n");
}
END_TEST

#define PARTIAL(range, length, body)                                                               \
	"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " range                              \
	"\r\nContent-Length: " length "\r\n\r\n" body

START_TEST(a_range_is_that_range_or_an_error)
{
	OPEN({ .text = PARTIAL("3-6/10", "4", "3456") },		  /* right */
	     { .text = PARTIAL("0-3/10", "4", "0123") },		  /* another */
	     { .text = PARTIAL("3-4/10", "2", "34") },			  /* less */
	     { .text = PARTIAL("3-8/10", "6", "345678"), .then = CLOSE }, /* more */
	     { .text = PARTIAL("3-6/10", "3", "345") },			  /* not what it says */
	     { .text = PARTIAL("3-6/ *", "4", "3456") },		  /* of how many? */
	     { .text = PARTIAL("rubbish", "4", "3456") },		  /* */
	     { .text = PARTIAL("3-4/5", "2", "34") } /* right: the object ends before */);

	ck_ok(store_get(s3, "k", 3, 4, &got, &meta));
	ck_assert_uint_eq(meta.size_bytes, 10);
	for (int i = 0; i < 6; i++) {
		int err = store_get(s3, "k", 3, 4, &got, NULL);

		ck_assert_msg(err == -L3_SERVER || err == -L3_UNREACHABLE, "%d: %d", i, err);
		ck_assert_str_eq(buf_cstr(&got), "3456");
	}
	ck_ok(store_get(s3, "k", 3, 4, &got, &meta));
	ck_assert_str_eq(buf_cstr(&got), "345634");
	ck_assert_uint_eq(meta.size_bytes, 5);
}
END_TEST

START_TEST(a_range_past_the_end_is_nothing)
{
	OPEN({ .text = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n" },
	     { .text = HEAD_ABC });

	ck_ok(store_get(s3, "k", 100, 4, &got, NULL));
	ck_ok(store_get(s3, "k", 100, 4, &got, &meta));
	ck_assert_uint_eq(got.len, 0);
	ck_assert_uint_eq(meta.size_bytes, 3);
	ck_assert_str_eq(meta.etag, "abc");
}
END_TEST

START_TEST(requests_share_a_connection)
{
	OPEN({ .text = HEAD_ABC }, { .text = HEAD_ABC }, { .text = HEAD_ABC },
	     { .text = HEAD_ABC });

	for (int i = 0; i < 4; i++)
		ck_ok(store_head(s3, "k", &meta));
	ck_assert_uint_eq(server.request_count, 4);
	ck_assert_uint_eq(server.connection_count, 1);
}
END_TEST

/* ---- no answer, or none that is one ---- */

START_TEST(rubbish_for_an_answer_counts_as_no_answer)
{
	OPEN({ .text = "SSH-2.0-OpenSSH_9.2\r\n", .then = CLOSE }, { .text = "", .then = CLOSE },
	     { .text = "HTTP/1.1 2", .then = CLOSE },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Le", .then = CLOSE },
	     { .text = "HTTP/1.1 200 OK\r\nETag: \"ab", .then = CLOSE },
	     { .text = "HTTP/1.1 204 No Content\r\n", .then = CLOSE });

	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(get_all(), -L3_UNREACHABLE);
		ck_note_has("GET k: ");
	}
	ck_assert_int_eq(create(NULL), -L3_UNREACHABLE);
	ck_assert_int_eq(store_remove(s3, "k"), -L3_UNREACHABLE);
}
END_TEST

START_TEST(nobody_listening_is_unreachable)
{
	struct store_config config = { .endpoint = "http://127.0.0.1:1" };

	server_start(&server, NULL, 0);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_assert_int_eq(get_all(), -L3_UNREACHABLE);
	ck_note_has("127.0.0.1");
	ck_assert_int_eq(create(NULL), -L3_UNREACHABLE);
	ck_note_has("PUT k: ");
}
END_TEST

START_TEST(a_server_that_falls_silent_or_drips_is_given_up)
{
	static const struct reply replies[] = {
		{ .text = "", .then = HANG },
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf", .then = HANG },
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", .then = DRIP },
	};
	static const struct store_config config = { .timeout_ms = 200 };

	open_with(replies, ARRAY_LEN(replies), &config);
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		ck_assert_int_eq(get_all(), -L3_UNREACHABLE);
		ck_note_has("0.2 s");
		ck_assert_uint_eq(got.len, 0);
	}
}
END_TEST

static void *get_in_thread(void *ret)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	*(int *)ret = store_get(s3, "k", 0, STORE_TO_END, &b, NULL);
	return NULL;
}

START_TEST(cancelling_ends_a_transfer_and_the_wait_for_a_connection)
{
	pthread_t threads[2];
	int results[2];

	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", .then = HANG });
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, get_in_thread, &results[i]);
	server_await(&server, 1);
	store_cancel(s3);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(results[i], -ECANCELED);
	}
	ck_assert_int_eq(create(NULL), -ECANCELED);
	ck_assert_uint_eq(server.request_count, 1);
}
END_TEST

START_TEST(a_server_that_asks_to_slow_down_gets_half_as_many_requests_at_once)
{
	struct reply replies[16] = {
		{ .text = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n" }
	};
	const struct store_config config = { .connections = 12 };
	pthread_t threads[12];
	int results[12];

	for (size_t i = 1; i < ARRAY_LEN(replies); i++)
		replies[i] = (struct reply){
			.text = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", .then = HANG
		};
	open_with(replies, ARRAY_LEN(replies), &config);
	ck_assert_int_eq(get_all(), -L3_THROTTLED);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_create(&threads[i], NULL, get_in_thread, &results[i]);
	server_await(&server, 1 + 6);
	store_cancel(s3);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(server.request_count, 1 + 6);
}
END_TEST

/* All of a crowd that may be under way, with the same answer. */
static void crowd(struct s3_pace *p, long status)
{
	uint64_t numbers[64];
	size_t n = 0;

	while (s3_pace_may_begin(p) && n < ARRAY_LEN(numbers))
		numbers[n++] = s3_pace_begin(p);
	ck_assert_uint_eq(n, p->limit);
	for (size_t i = 0; i < n; i++)
		(void)s3_pace_end(p, numbers[i], status);
}

START_TEST(the_pace_halves_once_for_a_crowd_and_comes_back_round_by_round)
{
	struct s3_pace p;

	s3_pace_init(&p, 32);
	crowd(&p, 200);
	ck_assert_uint_eq(p.limit, 32);
	crowd(&p, 503);
	ck_assert_uint_eq(p.limit, 16);
	crowd(&p, 429);
	ck_assert_uint_eq(p.limit, 8);
	for (unsigned i = 9; i <= 32; i++) {
		crowd(&p, i % 2 ? 200 : 404);
		ck_assert_uint_eq(p.limit, i);
	}
	crowd(&p, 200);
	ck_assert_uint_eq(p.limit, 32);
	for (unsigned i = 0; i < 9; i++)
		crowd(&p, 503);
	ck_assert_uint_eq(p.limit, S3_PACE_LEAST);
	crowd(&p, 0); /* no answer: nothing is learned */
	ck_assert_uint_eq(p.limit, S3_PACE_LEAST);
	s3_pace_init(&p, 1);
	crowd(&p, 503);
	ck_assert_uint_eq(p.limit, 1);
}
END_TEST

START_TEST(headers_without_bounds_are_cut_off)
{
	buf_add_str(&made, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 400000; i += 40)
		buf_printf(&made, "X-Filler-%06d: 012345678901234567\r\n", i);
	made_reply = (struct reply){ buf_cstr(&made), CLOSE };
	open_with(&made_reply, 1, NULL);
	ck_assert_int_lt(get_all(), 0);
	ck_note_has("GET k: ");
}
END_TEST

START_TEST(an_error_without_bounds_is_cut_off)
{
	buf_add_str(&made, "HTTP/1.1 500 Oops\r\nContent-Length: @\r\n\r\n");
	for (size_t i = 0; i <= S3_XML_MAX; i += 16)
		buf_add_str(&made, "0123456789abcdef");
	made_reply = (struct reply){ buf_cstr(&made), CLOSE };
	open_with(&made_reply, 1, NULL);
	ck_assert_int_eq(get_all(), -L3_SERVER);
	ck_note_has("longer than it may be");
}
END_TEST

/* ---- what errors mean ---- */

struct judged {
	const char *status, *code;
	int err;
	const char *words; /* in the note */
};

static const struct judged judged[] = {
	{ "404 Not Found", "NoSuchKey", -ENOENT, "NoSuchKey" },
	{ "404 Not Found", "NoSuchBucket", -L3_NO_BUCKET, "no bucket bucket at http://127.0.0.1" },
	{ "403 Forbidden", "AccessDenied", -L3_DENIED, "no right" },
	{ "403 Forbidden", "InvalidAccessKeyId", -L3_DENIED, "does not know this access key" },
	{ "403 Forbidden", "SignatureDoesNotMatch", -L3_DENIED, "secret key" },
	{ "400 Bad Request", "ExpiredToken", -L3_DENIED, "ran out" },
	{ "403 Forbidden", "RequestTimeTooSkewed", -L3_CLOCK_SKEW,
	  "the server's 2001-02-03T04:05:06Z" },
	{ "403 Forbidden", "NeverHeardOf", -L3_DENIED, "NeverHeardOf" },
	{ "412 Precondition Failed", "PreconditionFailed", -L3_PRECONDITION, "412" },
	{ "409 Conflict", "ConditionalRequestConflict", -L3_SERVER, "409" },
	{ "409 Conflict", "OperationAborted", -L3_SERVER, "OperationAborted" },
	{ "503 Slow Down", "SlowDown", -L3_THROTTLED, "SlowDown" },
	{ "503 Service Unavailable", "ServiceUnavailable", -L3_THROTTLED, "503" },
	{ "429 Too Many Requests", "TooManyRequests", -L3_THROTTLED, "429" },
	{ "500 Internal Server Error", "InternalError", -L3_SERVER, "InternalError" },
	{ "500 Internal Server Error", "UnknownError", -L3_SERVER, "UnknownError" },
	{ "400 Bad Request", "RequestTimeout", -L3_UNREACHABLE, "RequestTimeout" },
	{ "400 Bad Request", "BadDigest", -L3_UNREACHABLE, "on the way" },
	{ "400 Bad Request", "NeverHeardOf", -L3_SERVER, "NeverHeardOf" },
	{ "403 Forbidden", "QuotaExceeded", -ENOSPC, "QuotaExceeded" },
	{ "301 Moved Permanently", "PermanentRedirect", -L3_WRONG_REGION, "region" },
	{ "501 Not Implemented", "NotImplemented", -L3_NO_CONDITION, "conditional" },
};

START_TEST(every_error_has_its_meaning_and_a_note_to_find_it_by)
{
	const struct judged *j = &judged[_i];
	char body[512];

	(void)snprintf(body, sizeof(body),
		       "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>in words</Message>"
		       "<RequestId>REQ17</RequestId><ServerTime>2001-02-03T04:05:06Z</ServerTime>"
		       "</Error>",
		       j->code);
	buf_printf(&made, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", j->status, strlen(body),
		   body);
	made_reply.text = buf_cstr(&made);
	open_with(&made_reply, 1, NULL);
	ck_assert_int_eq(create(&meta), j->err);
	ck_note_has("PUT k: HTTP ");
	ck_note_has(j->code);
	ck_note_has("in words");
	ck_note_has("REQ17");
	ck_note_has(j->words);
	server_await(&server, 1);
	ck_assert_uint_eq(server.request_count, 1); /* trying again is not this room's */
}
END_TEST

START_TEST(without_a_code_the_status_says_it)
{
	OPEN({ .text = "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 502 x\r\nContent-Length: 6\r\n\r\n<html>" },
	     { .text = "HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 412 x\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 507 x\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 418 x\r\nx-amz-request-id: TEA\r\nContent-Length: 0\r\n\r\n" });

	ck_assert_int_eq(create(NULL), -L3_THROTTLED);
	ck_assert_int_eq(create(NULL), -L3_SERVER);
	ck_assert_int_eq(create(NULL), -L3_DENIED);
	ck_assert_int_eq(create(NULL), -L3_PRECONDITION);
	ck_assert_int_eq(create(NULL), -ENOSPC);
	ck_assert_int_eq(create(NULL), -L3_SERVER);
	ck_note_has("418");
	ck_note_has("TEA");
}
END_TEST

START_TEST(only_s3_can_say_that_an_object_is_absent)
{
	OPEN({ .text = "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n<html></html>" },
	     { .text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" });

	ck_assert_int_eq(get_all(), -L3_SERVER);
	ck_assert_int_eq(get_all(), -L3_SERVER);
	ck_assert_int_eq(store_remove(s3, "k"), -L3_SERVER);
	ck_assert_int_eq(store_head(s3, "k", &meta), -ENOENT); /* these have no body ever */
}
END_TEST

START_TEST(a_bucket_elsewhere_than_the_region_given_is_told_with_its_region)
{
	static const struct store_config given = { .region = "us-east-1" };
	static const struct reply replies[] = {
		{ .text = "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3\r\n"
			  "Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" },
		{ .text = "HTTP/1.1 400 Bad Request\r\nContent-Length: @\r\n\r\n"
			  "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is "
			  "wrong"
			  "</Message><Region>ap-south-1</Region></Error>" },
		{ .text = "HTTP/1.1 400 Bad Request\r\nx-amz-bucket-region: eu-west-3\r\n\r\n",
		  .then = CLOSE }
	};

	open_with(replies, ARRAY_LEN(replies), &given);
	ck_assert_int_eq(get_all(), -L3_WRONG_REGION);
	ck_note_has("region=eu-west-3");
	ck_assert_int_eq(create(NULL), -L3_WRONG_REGION);
	ck_note_has("region=ap-south-1");
	ck_assert_int_eq(store_head(s3, "k", &meta), -L3_WRONG_REGION);
	ck_note_has("region=eu-west-3");
	ck_assert_uint_eq(server.request_count, 3); /* redirects are not followed */
}
END_TEST

/* ---- credentials ---- */

#define EXPIRED                                                                                    \
	"HTTP/1.1 403 Forbidden\r\nContent-Length: @\r\n\r\n"                                      \
	"<Error><Code>InvalidAccessKeyId</Code></Error>"

START_TEST(newer_credentials_are_found_when_the_old_are_refused)
{
	OPEN({ .text = EXPIRED }, { .text = OK_ETAG },
	     { .text = "HTTP/1.1 403 Forbidden\r\n\r\n", .then = CLOSE }, { .text = HEAD_ABC });

	write_keys("AKIDSECOND");
	ck_ok(create(&meta));
	ck_sent(0, "Credential=AKIDOFTEST/");
	ck_sent(1, "Credential=AKIDSECOND/");
	write_keys("AKIDTHIRD");
	ck_ok(store_head(s3, "k", &meta));
	ck_sent(2, "Credential=AKIDSECOND/");
	ck_sent(3, "Credential=AKIDTHIRD/");
}
END_TEST

START_TEST(the_same_credentials_are_not_tried_twice)
{
	OPEN({ .text = EXPIRED }, { .text = OK_ETAG });

	ck_assert_int_eq(create(&meta), -L3_DENIED);
	ck_assert_uint_eq(server.request_count, 1);
}
END_TEST

START_TEST(vanished_credentials_leave_the_servers_answer_as_the_error)
{
	char path[PATH_MAX + 16];

	OPEN({ .text = EXPIRED }, { .text = OK_ETAG });
	(void)snprintf(path, sizeof(path), "%s/keys", here.folder);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(create(&meta), -L3_DENIED);
	ck_note_has("InvalidAccessKeyId");
}
END_TEST

static void add_reading(TCase *t)
{
	tcase_add_test(t, an_object_comes_with_what_is_known_of_it);
	tcase_add_test(t, bytes_that_do_not_fit_an_etag_which_is_their_md5_were_changed_on_the_way);
	tcase_add_test(t, so_are_those_of_an_object_that_is_smaller_than_the_range_asked_for);
	tcase_add_test(t, a_server_whose_etags_only_look_like_md5_is_believed_after_one_more_look);
	tcase_add_test(t, a_torn_body_is_an_error_and_leaves_the_buffer_as_it_was);
	tcase_add_test(t, a_body_whose_end_cannot_be_told_from_a_broken_connection_is_refused);
	tcase_add_test(t, a_chunked_body_is_taken_whole_or_not_at_all);
	tcase_add_test(t, a_range_is_taken_from_a_server_that_knows_no_ranges);
	tcase_add_test(t, a_range_is_that_range_or_an_error);
	tcase_add_test(t, a_range_past_the_end_is_nothing);
	tcase_add_test(t, requests_share_a_connection);
	tcase_add_test(t, rubbish_for_an_answer_counts_as_no_answer);
	tcase_add_test(t, nobody_listening_is_unreachable);
	tcase_add_test(t, a_server_that_falls_silent_or_drips_is_given_up);
	tcase_add_test(t, cancelling_ends_a_transfer_and_the_wait_for_a_connection);
	tcase_add_test(t, a_server_that_asks_to_slow_down_gets_half_as_many_requests_at_once);
	tcase_add_test(t, headers_without_bounds_are_cut_off);
	tcase_add_test(t, an_error_without_bounds_is_cut_off);
}

static void add_errors(TCase *t)
{
	tcase_add_loop_test(t, every_error_has_its_meaning_and_a_note_to_find_it_by, 0,
			    (int)ARRAY_LEN(judged));
	tcase_add_test(t, without_a_code_the_status_says_it);
	tcase_add_test(t, only_s3_can_say_that_an_object_is_absent);
	tcase_add_test(t, a_bucket_elsewhere_than_the_region_given_is_told_with_its_region);
	tcase_add_test(t, newer_credentials_are_found_when_the_old_are_refused);
	tcase_add_test(t, the_same_credentials_are_not_tried_twice);
	tcase_add_test(t, vanished_credentials_leave_the_servers_answer_as_the_error);
}

int main(void)
{
	Suite *s = suite_create("store: what S3's answers are turned into");
	TCase *t = tcase_create("scripted server"), *pace = tcase_create("pace");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_reading(t);
	add_errors(t);
	suite_add_tcase(s, t);
	tcase_add_test(pace, the_pace_halves_once_for_a_crowd_and_comes_back_round_by_round);
	suite_add_tcase(s, pace);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The S3 store against a server that answers from a script: conditions, copies, deletes, lists, and
 * uploads in parts.
 */
#include "tests/store_s3_http.h"

/* ---- conditions ---- */

static int match(const char *etag)
{
	return store_put_bytes(s3, "k", "x", 1, STORE_MATCH, etag, &meta);
}

#define REFUSED "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"

START_TEST(the_form_of_if_match_that_the_server_takes_is_found_and_remembered)
{
	OPEN({ .text = REFUSED }, { .text = HEAD_ABC }, { .text = OK_ETAG },
	     { .text = OK_ETAG }, /* bare is right */
	     { .text = REFUSED }, { .text = HEAD_ABC },
	     { .text = OK_ETAG }); /* the server was updated */

	ck_ok(match("abc"));
	ck_sent(0, "\r\nif-match: \"abc\"\r\n");
	ck_sent(1, "HEAD ");
	ck_sent(2, "\r\nif-match: abc\r\n");
	ck_ok(match("abc"));
	ck_sent(3, "\r\nif-match: abc\r\n");
	ck_ok(match("abc"));
	ck_sent(4, "\r\nif-match: abc\r\n");
	ck_sent(6, "\r\nif-match: \"abc\"\r\n");
}
END_TEST

START_TEST(a_server_whose_ids_tell_that_it_is_ceph_gets_the_bare_form_first)
{
	OPEN({ .text = "HTTP/1.1 404 Not Found\r\n"
		       "x-amz-request-id: tx00000bbc4313a2be9f833-006b0232ad-100c-default\r\n"
		       "Content-Length: 0\r\n\r\n" },
	     { .text = OK_ETAG });

	ck_assert_int_eq(store_head(s3, "k", &meta), -ENOENT);
	ck_ok(match("abc"));
	ck_sent(1, "\r\nif-match: abc\r\n");
}
END_TEST

START_TEST(what_our_own_write_replaced_is_refused_without_a_second_look)
{
	OPEN({ .text = OK_ETAG }, { .text = REFUSED }, { .text = REFUSED }, { .text = HEAD_ABC });

	ck_ok(match("older"));
	ck_assert_int_eq(match("older"), -L3_PRECONDITION);
	ck_assert_uint_eq(server.request_count, 2);
	ck_assert_int_eq(match("older"), -L3_PRECONDITION); /* again: is it something else? */
	ck_assert_uint_eq(server.request_count, 4);
}
END_TEST

START_TEST(an_etag_that_does_not_match_is_refused_for_good)
{
	OPEN({ .text = REFUSED }, { .text = HEAD_ABC }, { .text = OK_ETAG });

	ck_assert_int_eq(match("other"), -L3_PRECONDITION);
	ck_note_has("PUT k: HTTP 412");
	ck_assert_uint_eq(server.request_count, 2);
}
END_TEST

START_TEST(a_match_where_nothing_is_is_a_precondition_not_met)
{
	OPEN({ .text = "HTTP/1.1 404 Not Found\r\nContent-Length: @\r\n\r\n"
		       "<Error><Code>NoSuchKey</Code></Error>" },
	     { .text = "HTTP/1.1 404 Not Found\r\n\r\n", .then = CLOSE });

	ck_assert_int_eq(match("abc"), -L3_PRECONDITION);
}
END_TEST

START_TEST(a_refusal_after_a_silent_second_sending_is_no_definite_answer)
{
	/* The connection dies without an answer; what is sent again may meet what the first did. */
	OPEN({ .text = HEAD_ABC }, { .text = "", .then = CLOSE }, { .text = REFUSED });

	ck_ok(store_head(s3, "k", &meta));
	ck_assert_int_eq(create(&meta), -L3_UNREACHABLE);
	ck_assert_uint_eq(server.request_count, 3);
	ck_sent(2, "PUT ");
	ck_note_has("first sending");
}
END_TEST

START_TEST(an_answer_to_a_put_without_an_etag_is_no_proof_of_whose_object_is_there)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" }, { .text = HEAD_ABC });

	ck_assert_int_eq(create(&meta), -L3_SERVER);
	ck_note_has("ETag");
	ck_ok(create(NULL));
	ck_ok(store_put_bytes(s3, "k", "abc", 3, STORE_ALWAYS, NULL, &meta));
	ck_assert_str_eq(meta.etag, "abc");
}
END_TEST

START_TEST(a_put_sends_its_pieces_and_their_hash)
{
	struct iovec v[] = { { (void *)"Welcome to ", 11 }, { (void *)"Amazon S3.", 10 } };
	struct store_put put = { .key = "a b", .iov = v, .iovcnt = 2, .cond = STORE_CREATE };

	OPEN({ .text = OK_ETAG });
	ck_ok(store_put(s3, &put, &meta));
	ck_assert_uint_eq(meta.size_bytes, 21);
	ck_assert_str_eq(meta.etag, "abc");
	ck_sent(0, "PUT /bucket/pre/a%20b HTTP/1.1\r\n");
	ck_sent(0, "\r\nif-none-match: *\r\n");
	ck_sent(0, "\r\nContent-Length: 21\r\n");
	ck_sent(0, "\r\nx-amz-content-sha256: "
		   "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\r\n");
	ck_sent(0, "\r\n\r\nWelcome to Amazon S3.");
	ck_not_sent(0, "Expect:");
}
END_TEST

/* ---- copies, deletes, lists ---- */

START_TEST(an_error_inside_a_200_for_a_copy_is_an_error)
{
	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
		       "<Error><Code>SlowDown</Code><Message>later</Message></Error>" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" });

	ck_assert_int_eq(store_copy(s3, "from", "to"), -L3_THROTTLED);
	ck_note_has("COPY from: HTTP 200 SlowDown: later");
	ck_assert_int_eq(store_copy(s3, "from", "to"), -L3_SERVER);
	ck_note_has("COPY from");
	ck_assert_int_eq(store_copy(s3, "from", "to"), -L3_SERVER);
	ck_sent(0, "PUT /bucket/pre/to HTTP/1.1\r\n");
	ck_sent(0, "\r\nx-amz-copy-source: /bucket/pre/from\r\n");
}
END_TEST

START_TEST(a_server_without_deletes_of_many_gets_single_ones)
{
	static const char *const keys[] = { "a", "b<", "c" };

	OPEN({ .text = "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n" },
	     { .text = NO_CONTENT }, { .text = NO_CONTENT }, { .text = NO_CONTENT },
	     { .text = NO_CONTENT }, { .text = NO_CONTENT });
	ck_ok(store_remove_many(s3, keys, 3));
	ck_sent(0, "POST /bucket/?delete= HTTP/1.1\r\n");
	ck_sent(0, "<Key>pre/b&#60;</Key>");
	ck_sent(0, "\r\ncontent-md5: ");
	ck_sent(3, "DELETE /bucket/pre/c ");
	ck_ok(store_remove_many(s3, keys, 2));
	ck_sent(4, "DELETE /bucket/pre/a ");
}
END_TEST

START_TEST(a_key_that_could_not_be_deleted_is_named)
{
	static const char *const keys[] = { "a", "b" };

	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: "
		       "@\r\n\r\n<DeleteResult><Error><Key>pre/b</Key>"
		       "<Code>AccessDenied</Code></Error></DeleteResult>" });
	ck_assert_int_eq(store_remove_many(s3, keys, 2), -L3_DENIED);
	ck_note_has("pre/b");
}
END_TEST

START_TEST(pages_with_nothing_of_ours_are_gone_through)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<IsTruncated>true</IsTruncated><Contents><Key>pre/</Key><Size>0</Size></"
		       "Contents>"
		       "</ListBucketResult>" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<IsTruncated>false</IsTruncated>"
		       "<Contents><Key>pre/a</Key><Size>7</Size></Contents>"
		       "</ListBucketResult>" });
	ck_ok(store_list(s3, "", "", 0, &l));
	ck_keys(&l, "a");
	ck_assert(!l.more);
	ck_sent(0, "prefix=pre%2F");
	ck_not_sent(0, "start-after");
	ck_sent(1, "start-after=pre%2F ");
}
END_TEST

START_TEST(more_after_nothing_is_refused_instead_of_asked_for_ever)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<IsTruncated>true</IsTruncated></ListBucketResult>" });
	ck_assert_int_eq(store_list(s3, "", "", 0, &l), -L3_SERVER);
}
END_TEST

START_TEST(where_the_server_does_not_say_that_a_list_is_whole_the_rest_is_asked_for)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<Contents><Key>pre/a</Key><Size>7</Size></Contents></ListBucketResult>" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<Contents><Key>pre/b</Key><Size>7</Size></Contents></ListBucketResult>" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult/>" });
	ck_ok(store_list_all(s3, "", "", &l));
	ck_keys(&l, "a b");
	ck_sent(2, "start-after=pre%2Fb ");
}
END_TEST

START_TEST(the_same_page_again_is_refused_instead_of_taken_for_the_next)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	OPEN({ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<IsTruncated>true</IsTruncated><Contents><Key>pre/a</Key><Size>7</Size>"
		       "</Contents></ListBucketResult>" },
	     { .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult>"
		       "<IsTruncated>true</IsTruncated><Contents><Key>pre/a</Key><Size>7</Size>"
		       "</Contents></ListBucketResult>" });
	ck_assert_int_eq(store_list_all(s3, "", "", &l), -L3_SERVER);
	ck_note_has("asked for");
}
END_TEST

/* ---- uploads in parts ---- */

#define UPLOAD                                                                                     \
	"HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<InitiateMultipartUploadResult>"              \
	"<UploadId>u/1</UploadId></InitiateMultipartUploadResult>"

static const struct store_config in_parts = { .multipart_bytes = 5 * MIB };

static int put_large(void)
{
	size_t len = 5 * MIB + 1;
	char *p CLEANUP(free_ptr) = calloc(1, len);

	ck_assert_ptr_nonnull(p);
	return store_put_bytes(s3, "k", p, len, STORE_ALWAYS, NULL, &meta);
}

START_TEST(a_failed_part_fails_the_whole_and_throws_away_what_was_sent)
{
	static const struct reply replies[] = {
		{ .text = UPLOAD },
		{ .text = OK_ETAG },
		{ .text = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n" },
		{ .text = NO_CONTENT }
	};

	open_with(replies, ARRAY_LEN(replies), &in_parts);
	ck_assert_int_eq(put_large(), -L3_SERVER);
	ck_note_has("HTTP 500");
	ck_sent(0, "POST /bucket/pre/k?uploads= ");
	ck_sent(1, "PUT /bucket/pre/k?partNumber=1&uploadId=u%2F1 ");
	ck_sent(2, "PUT /bucket/pre/k?partNumber=2&uploadId=u%2F1 ");
	ck_sent(3, "DELETE /bucket/pre/k?uploadId=u%2F1 ");
}
END_TEST

START_TEST(an_error_inside_a_200_for_the_completion_is_an_error)
{
	static const struct reply replies[] = {
		{ .text = UPLOAD },
		{ .text = OK_ETAG },
		{ .text = OK_ETAG },
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
			  "<Error><Code>InternalError</Code></Error>" },
		{ .text = NO_CONTENT }
	};

	open_with(replies, ARRAY_LEN(replies), &in_parts);
	ck_assert_int_eq(put_large(), -L3_SERVER);
	ck_note_has("InternalError");
	ck_sent(3, "<Part><PartNumber>2</PartNumber><ETag>\"abc\"</ETag></Part>");
	ck_sent(4, "DELETE ");
}
END_TEST

static void add_writing(TCase *t)
{
	tcase_add_test(t, the_form_of_if_match_that_the_server_takes_is_found_and_remembered);
	tcase_add_test(t, a_server_whose_ids_tell_that_it_is_ceph_gets_the_bare_form_first);
	tcase_add_test(t, what_our_own_write_replaced_is_refused_without_a_second_look);
	tcase_add_test(t, an_etag_that_does_not_match_is_refused_for_good);
	tcase_add_test(t, a_match_where_nothing_is_is_a_precondition_not_met);
	tcase_add_test(t, a_refusal_after_a_silent_second_sending_is_no_definite_answer);
	tcase_add_test(t, an_answer_to_a_put_without_an_etag_is_no_proof_of_whose_object_is_there);
	tcase_add_test(t, a_put_sends_its_pieces_and_their_hash);
	tcase_add_test(t, an_error_inside_a_200_for_a_copy_is_an_error);
	tcase_add_test(t, a_server_without_deletes_of_many_gets_single_ones);
	tcase_add_test(t, a_key_that_could_not_be_deleted_is_named);
	tcase_add_test(t, pages_with_nothing_of_ours_are_gone_through);
	tcase_add_test(t, more_after_nothing_is_refused_instead_of_asked_for_ever);
	tcase_add_test(t, where_the_server_does_not_say_that_a_list_is_whole_the_rest_is_asked_for);
	tcase_add_test(t, the_same_page_again_is_refused_instead_of_taken_for_the_next);
	tcase_add_test(t, a_failed_part_fails_the_whole_and_throws_away_what_was_sent);
	tcase_add_test(t, an_error_inside_a_200_for_the_completion_is_an_error);
}

int main(void)
{
	Suite *s = suite_create("store: what is written to S3, copied, deleted and listed");
	TCase *t = tcase_create("scripted server");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_writing(t);
	suite_add_tcase(s, t);
	return run_suite(s);
}

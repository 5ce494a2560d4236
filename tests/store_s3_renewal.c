/* SPDX-License-Identifier: BSD-3-Clause */
/* When the keys in use are replaced by newer ones, and what requests do meanwhile. */
#include "tests/store_s3_keys.h"

static void be_a_container(void)
{
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
}

/* Until the renewal that goes on in the background has come to its end. */
static void await_keys(const char *access_key)
{
	struct timespec pause = { 0, 1000000 };

	for (;;) {
		s3_keys_put(keys);
		keys = s3_keyring_get(ring);
		if (strcmp(keys->cred.access_key, access_key) == 0)
			return;
		(void)nanosleep(&pause, NULL);
	}
}

START_TEST(keys_are_renewed_in_the_background_before_they_expire)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK2", "2026-11-21T09:50:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(44 * 60);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 1);
	pass(2 * 60);
	ck_present("AK1"); /* goes on with the old ones */
	await_keys("AK2");
	ck_assert_uint_eq(server.request_count, 2);
	pass(30 * 60);
	ck_present("AK2");
	ck_assert_uint_eq(server.request_count, 2);
}
END_TEST

START_TEST(keys_about_to_expire_are_waited_for)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK2", "2026-11-21T10:00:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(59 * 60 + 30);
	ck_present("AK2");
}
END_TEST

static void *get_keys(void *arg)
{
	struct s3_keys *k = s3_keyring_get(ring);

	ck_assert_str_eq(k->cred.access_key, "AK2");
	s3_keys_put(k);
	return NULL;
}

START_TEST(many_who_need_newer_keys_at_once_make_one_request)
{
	pthread_t threads[16];

	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK2", "2026-11-21T10:00:00Z") },
	      { .text = HOST_JSON("AK3", "2026-11-21T10:00:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(60 * 60 + 1);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, get_keys, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(server.request_count, 2);
}
END_TEST

START_TEST(keys_that_could_not_be_renewed_are_used_on_and_asked_for_later_and_later)
{
	struct buf trouble CLEANUP(buf_release) = BUF_INIT;

	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = "HTTP/1.1 500 Oh\r\nContent-Length: @\r\n\r\nno luck" },
	      { .text = "HTTP/1.1 500 Oh\r\nContent-Length: @\r\n\r\nno luck" },
	      { .text = HOST_JSON("AK2", "2026-11-21T10:00:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(59 * 60 + 30);
	ck_present("AK1");
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 2);
	s3_keyring_trouble(ring, &trouble);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&trouble), "HTTP 500: no luck"));
	pass(1);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 3);
	pass(1);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 3);
	pass(1);
	ck_present("AK2");
	buf_reset(&trouble);
	s3_keyring_trouble(ring, &trouble);
	ck_assert_uint_eq(trouble.len, 0);
}
END_TEST

START_TEST(a_provider_that_has_no_newer_keys_yet_is_not_asked_by_every_request)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) }, { .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK1", IN_AN_HOUR) });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(59 * 60 + 30);
	ck_present("AK1");
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 2);
	pass(6);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 3);
}
END_TEST

START_TEST(keys_that_a_server_refuses_are_asked_for_anew_once_a_minute_at_most)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) }, { .text = HOST_JSON("AK2", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK3", IN_AN_HOUR) });

	be_a_container();
	ck_ring("AK1", TOKEN);
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AK2");
	ck_assert(!s3_keyring_renew(ring, keys));
	ck_assert_uint_eq(server.request_count, 2);
	pass(61);
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AK3");
}
END_TEST

START_TEST(a_request_refused_for_expired_keys_is_sent_again_with_newer_ones)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	char endpoint[64];
	struct store_config config = { .endpoint = endpoint };

	SERVE({ .text = HOST_JSON("AK1", "2099-11-21T09:00:00Z") },
	      { .text = "HTTP/1.1 400 Bad Request\r\nContent-Length: @\r\n\r\n<Error><Code>"
			"ExpiredToken</Code><Message>m</Message></Error>" },
	      { .text = HOST_JSON("AK2", "2099-11-21T09:00:00Z") },
	      { .text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n\r\nhello" });

	be_a_container();
	unsetenv("http_proxy");
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_ok(store_get(s3, "k", 0, STORE_TO_END, &got, NULL));
	ck_assert_str_eq(buf_cstr(&got), "hello");
	ck_sent(1, "Credential=AK1/");
	ck_sent(3, "Credential=AK2/");
	ck_not_sent(3, SECRET);
	ck_sent(3, "\r\nx-amz-security-token: " TOKEN "\r\n");
}
END_TEST

START_TEST(a_request_refused_for_good_says_why_no_newer_keys_came)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	char endpoint[64];
	struct store_config config = { .endpoint = endpoint };

	SERVE({ .text = HOST_JSON("AK1", "2099-11-21T09:00:00Z") },
	      { .text = REFUSED "<Error><Code>InvalidAccessKeyId</Code></Error>" },
	      { .text = REFUSED "not any more" });

	be_a_container();
	unsetenv("http_proxy");
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_assert_int_eq(store_get(s3, "k", 0, STORE_TO_END, &got, NULL), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "InvalidAccessKeyId"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "HTTP 403: not any more"));
}
END_TEST

START_TEST(an_anonymous_request_is_not_signed_and_needs_no_keys)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	char endpoint[64];
	struct store_config config = { .endpoint = endpoint, .anonymous = true };

	SERVE({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n\r\nhello" },
	      { .text = REFUSED "<Error><Code>AccessDenied</Code></Error>" });

	unsetenv("http_proxy");
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_ok(store_get(s3, "k", 0, STORE_TO_END, &got, NULL));
	ck_sent(0, "GET /bucket/pre/k HTTP/1.1\r\n");
	ck_not_sent(0, "\r\nauthorization:");
	ck_not_sent(0, "\r\nx-amz-");
	ck_assert_int_eq(store_get(s3, "k", 0, STORE_TO_END, &got, NULL), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "option anonymous"));
}
END_TEST

START_TEST(who_waits_for_keys_is_released_when_all_is_cancelled)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) }, { .text = "", .then = HANG });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(50 * 60);
	ck_present("AK1");
	server_await(&server, 2);
	s3_keyring_stop(ring); /* teardown would hang otherwise */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store: how S3's keys are renewed");
	TCase *t = tcase_create("renewals");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, keys_are_renewed_in_the_background_before_they_expire);
	tcase_add_test(t, keys_about_to_expire_are_waited_for);
	tcase_add_test(t, many_who_need_newer_keys_at_once_make_one_request);
	tcase_add_test(t, keys_that_could_not_be_renewed_are_used_on_and_asked_for_later_and_later);
	tcase_add_test(t, a_provider_that_has_no_newer_keys_yet_is_not_asked_by_every_request);
	tcase_add_test(t, keys_that_a_server_refuses_are_asked_for_anew_once_a_minute_at_most);
	tcase_add_test(t, a_request_refused_for_expired_keys_is_sent_again_with_newer_ones);
	tcase_add_test(t, a_request_refused_for_good_says_why_no_newer_keys_came);
	tcase_add_test(t, an_anonymous_request_is_not_signed_and_needs_no_keys);
	tcase_add_test(t, who_waits_for_keys_is_released_when_all_is_cancelled);
	suite_add_tcase(s, t);
	return run_suite(s);
}

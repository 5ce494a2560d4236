/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What options make requests say besides what they are about: encryption, storage class, ACL, tags,
 * who pays; and where requests go when a bucket turns out to be in another region. By what a server
 * receives.
 */
#include "store/s3.h"
#include "tests/store_s3_server.h"

#include <sys/stat.h>

#define OK_ETAG "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 0\r\n\r\n"
#define HEAD_ABC "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 3\r\n\r\n"
#define COPIED "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<CopyObjectResult/>"
#define LISTED "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n<ListBucketResult/>"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"
#define SSE "\r\nx-amz-server-side-encryption"

/* 32 bytes, in base64 and their MD5, as openssl(1) says. */
#define KEY "0123456789abcdefghijklmnopqrstuv"
#define KEY_BASE64 "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="

static struct server server;
static bool serving;
static struct place here;
static struct store *s3;
static struct buf got;
static char endpoint[64], key_file[PATH_MAX + 16];

extern char **environ;

static void setup(void)
{
	char *tmp = getenv("TMPDIR");

	tmp = tmp ? strdup(tmp) : NULL;
	ck_assert_int_eq(clearenv(), 0);
	if (tmp)
		ck_assert_int_eq(setenv("TMPDIR", tmp, 1), 0);
	free(tmp);
	here = (struct place){ .url = "" };
	got = (struct buf)BUF_INIT;
	make_folder(&here);
	(void)snprintf(key_file, sizeof(key_file), "%s/key", here.folder);
	ck_assert_int_eq(setenv("HOME", here.folder, 1), 0);
	ck_assert_int_eq(setenv("AWS_ACCESS_KEY_ID", "AK", 1), 0);
	ck_assert_int_eq(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
}

static void teardown(void)
{
	store_unref(s3);
	s3 = NULL;
	if (serving)
		server_stop(&server);
	serving = false;
	buf_release(&got);
	remove_folder(&here);
}

static void open_with(const struct reply *replies, size_t count, struct store_config *config)
{
	server_start(&server, replies, count);
	serving = true;
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	config->endpoint = endpoint;
	config->connections = 1;
	ck_ok(store_open("s3://bucket/pre", config, &s3));
}

static void write_key(const char *text, size_t len, mode_t mode)
{
	FILE *f = fopen(key_file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), mode), 0);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static void ck_sent(size_t i, const char *words)
{
	ck_assert_msg(strcasestr(server_request(&server, i), words) != NULL, "%s: %s", words,
		      server_request(&server, i));
}

static void ck_not_sent(size_t i, const char *words)
{
	ck_assert_msg(strcasestr(server_request(&server, i), words) == NULL, "%s: %s", words,
		      server_request(&server, i));
}

static void ck_signed(size_t i, const char *name)
{
	const char *list = strstr(server_request(&server, i), "SignedHeaders=");
	char text[1024];

	ck_assert_ptr_nonnull(list);
	(void)snprintf(text, sizeof(text), "%.*s;", (int)strcspn(list, ","), list);
	ck_assert_msg(strstr(text, name) != NULL, "%s is not signed: %s", name, text);
}

static int put(uint64_t size)
{
	char *bytes = calloc(1, size);
	int err;

	ck_assert_ptr_nonnull(bytes);
	err = store_put_bytes(s3, "k", bytes, size, STORE_ALWAYS, NULL, NULL);
	free(bytes);
	return err;
}

static int get(void)
{
	struct store_meta meta;

	return store_head(s3, "k", &meta);
}

/* ---- on which request what stands ---- */

START_TEST(objects_are_written_as_the_options_say_and_read_without_a_word)
{
	static const struct reply replies[] = { { .text = OK_ETAG },
						{ .text = HEAD_ABC },
						{ .text = COPIED },
						{ .text = NO_CONTENT },
						{ .text = LISTED } };
	struct store_config config = { .sse = "aws:kms",
				       .sse_kms_key = "arn:aws:kms:eu-west-1:1:key/a-b",
				       .storage_class = "STANDARD_IA",
				       .acl = "bucket-owner-full-control",
				       .tags = "project=x&cost%20centre=4%2F2" };
	struct store_list list = STORE_LIST_INIT;

	open_with(replies, ARRAY_LEN(replies), &config);
	ck_ok(put(3));
	ck_ok(get());
	ck_ok(store_copy(s3, "k", "l"));
	ck_ok(store_remove(s3, "k"));
	ck_ok(store_list(s3, "", "", 0, &list));
	for (size_t i = 0; i <= 2; i += 2) {
		ck_sent(i, SSE ": aws:kms\r\n");
		ck_sent(i, SSE "-aws-kms-key-id: arn:aws:kms:eu-west-1:1:key/a-b\r\n");
		ck_sent(i, "\r\nx-amz-storage-class: STANDARD_IA\r\n");
		ck_sent(i, "\r\nx-amz-acl: bucket-owner-full-control\r\n");
		ck_signed(i, ";x-amz-server-side-encryption;");
		ck_signed(i, ";x-amz-acl;");
	}
	ck_sent(0, "\r\nx-amz-tagging: project=x&cost%20centre=4%2F2\r\n");
	ck_not_sent(2, "x-amz-tagging");
	for (size_t i = 1; i < 5; i += 1 + (i == 1)) {
		ck_not_sent(i, SSE);
		ck_not_sent(i, "x-amz-storage-class");
		ck_not_sent(i, "x-amz-acl");
		ck_not_sent(i, "x-amz-tagging");
	}
	store_list_release(&list);
}
END_TEST

START_TEST(an_upload_in_parts_says_it_once_at_the_beginning)
{
	static const struct reply replies[] = {
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
			  "<InitiateMultipartUploadResult><UploadId>id</UploadId>"
			  "</InitiateMultipartUploadResult>" },
		{ .text = OK_ETAG },
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
			  "<CompleteMultipartUploadResult/>" },
	};
	struct store_config config = {
		.sse = "AES256", .storage_class = "GLACIER_IR", .tags = "a=b", .multipart_bytes = 1
	};

	open_with(replies, ARRAY_LEN(replies), &config);
	ck_ok(put(1000));
	ck_sent(0, "POST /bucket/pre/k?uploads= ");
	ck_sent(0, SSE ": AES256\r\n");
	ck_sent(0, "\r\nx-amz-storage-class: GLACIER_IR\r\n");
	ck_sent(0, "\r\nx-amz-tagging: a=b\r\n");
	for (size_t i = 1; i < 3; i++) {
		ck_not_sent(i, SSE);
		ck_not_sent(i, "x-amz-storage-class");
		ck_not_sent(i, "x-amz-tagging");
	}
}
END_TEST

START_TEST(who_pays_is_said_with_every_request)
{
	static const struct reply replies[] = { { .text = OK_ETAG },
						{ .text = HEAD_ABC },
						{ .text = NO_CONTENT },
						{ .text = LISTED } };
	struct store_config config = { .requester_pays = true };
	struct store_list list = STORE_LIST_INIT;

	open_with(replies, ARRAY_LEN(replies), &config);
	ck_ok(put(3));
	ck_ok(get());
	ck_ok(store_remove(s3, "k"));
	ck_ok(store_list(s3, "", "", 0, &list));
	for (size_t i = 0; i < 4; i++) {
		ck_sent(i, "\r\nx-amz-request-payer: requester\r\n");
		ck_signed(i, ";x-amz-request-payer;");
	}
	store_list_release(&list);
}
END_TEST

/* ---- SSE-C ---- */

static void ck_customer_key(size_t i, const char *prefix)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "\r\nx-amz-%s-customer-algorithm: AES256\r\n", prefix);
	ck_sent(i, line);
	(void)snprintf(line, sizeof(line), "\r\nx-amz-%s-customer-key: " KEY_BASE64 "\r\n", prefix);
	ck_sent(i, line);
	(void)snprintf(line, sizeof(line), "\r\nx-amz-%s-customer-key-md5: ", prefix);
	ck_sent(i, line);
}

START_TEST(a_key_of_ones_own_goes_with_all_that_reads_or_writes_objects)
{
	static const struct reply replies[] = {
		{ .text = OK_ETAG },
		{ .text = HEAD_ABC },
		{ .text = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 3\r\n\r\nxyz" },
		{ .text = COPIED },
		{ .text = NO_CONTENT },
	};
	struct store_config config = { .sse_c_key_file = key_file };

	write_key(KEY, 32, 0600);
	open_with(replies, ARRAY_LEN(replies), &config);
	ck_ok(put(3));
	ck_ok(get());
	ck_ok(store_get(s3, "k", 0, STORE_TO_END, &got, NULL));
	ck_ok(store_copy(s3, "k", "l"));
	ck_ok(store_remove(s3, "k"));
	for (size_t i = 0; i < 4; i++)
		ck_customer_key(i, "server-side-encryption");
	ck_customer_key(3, "copy-source-server-side-encryption");
	ck_not_sent(4, SSE);
}
END_TEST

START_TEST(an_upload_in_parts_has_the_key_with_each_part)
{
	static const struct reply replies[] = {
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
			  "<InitiateMultipartUploadResult><UploadId>id</UploadId>"
			  "</InitiateMultipartUploadResult>" },
		{ .text = OK_ETAG },
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
			  "<CompleteMultipartUploadResult/>" },
	};
	struct store_config config = { .sse_c_key_file = key_file, .multipart_bytes = 1 };

	write_key(KEY_BASE64 "\n", 45, 0640);
	open_with(replies, ARRAY_LEN(replies), &config);
	ck_ok(put(1000));
	ck_customer_key(0, "server-side-encryption");
	ck_customer_key(1, "server-side-encryption");
}
END_TEST

START_TEST(a_key_that_cannot_be_used_is_refused_and_not_shown)
{
	static const struct {
		const char *text;
		mode_t mode;
		const char *endpoint, *words;
	} cases[] = {
		{ KEY "w", 0600, "https://host", "32 bytes" },
		{ "0123456789abcdefghijklmnopqrstu", 0600, "https://host", "32 bytes" },
		{ "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0d!Y=", 0600, "https://host",
		  "32 bytes" },
		{ KEY, 0644, "https://host", "chmod 600" },
		{ KEY, 0600, "http://host.example", "in the clear" },
	};
	struct store_config config = { .sse_c_key_file = key_file };

	config.endpoint = "https://host";
	ck_assert_int_eq(store_open("s3://bucket", &config, &s3), -L3_BAD_OPTION);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_key(cases[i].text, strlen(cases[i].text), cases[i].mode);
		config.endpoint = cases[i].endpoint;
		ck_assert_int_lt(store_open("s3://bucket", &config, &s3), 0);
		ck_assert_msg(strstr(err_last_note(), cases[i].words) != NULL, "%s: %s",
			      cases[i].words, err_last_note());
		ck_assert_ptr_null(strstr(err_last_note(), "cdefgh"));
	}
}
END_TEST

/* ---- values ---- */

START_TEST(values_that_nobody_knows_are_refused_with_the_list_of_those_known)
{
	static const struct {
		struct store_config config;
		const char *words;
	} cases[] = {
		{ { .sse = "kms" }, "option sse=kms: must be AES256, aws:kms or aws:kms:dsse" },
		{ { .storage_class = "GLACIER" }, "storage_class=GLACIER: must be STANDARD, " },
		{ { .acl = "public" }, "acl=public: must be private, public-read, " },
		{ { .sse_kms_key = "k" }, "sse_kms_key needs sse=aws:kms" },
		{ { .sse = "AES256", .sse_kms_key = "k" }, "sse_kms_key needs sse=aws:kms" },
		{ { .sse = "AES256", .sse_c_key_file = "/k" }, "exclude each other" },
		{ { .sse = "aws:kms", .sse_kms_key = "a\r\nb: c" }, "control characters" },
		{ { .tags = "a=b c" }, "option tags: blanks" },
		{ { .tags = "a" }, "tags=a: must be NAME=VALUE" },
		{ { .tags = "=b" }, "must be NAME=VALUE" },
		{ { .tags = "1=&2=&3=&4=&5=&6=&7=&8=&9=&10=&11=" }, "10 tags at most" },
		{ { .fips = true, .endpoint = "https://host" }, "fips is for AWS' own endpoints" },
		{ { .dualstack = true, .endpoint = "https://host" }, "dualstack is for AWS'" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ck_assert_int_eq(store_open("s3://bucket", &cases[i].config, &s3), -L3_BAD_OPTION);
		ck_assert_msg(strstr(err_last_note(), cases[i].words) != NULL, "%s: %s",
			      cases[i].words, err_last_note());
	}
}
END_TEST

/* ---- regions ---- */

START_TEST(a_bucket_in_another_region_is_found_by_what_the_server_says)
{
	static const struct reply replies[] = {
		{ .text = "HTTP/1.1 400 Bad Request\r\nx-amz-bucket-region: eu-west-3\r\n\r\n",
		  .then = CLOSE },
		{ .text = HEAD_ABC },
		{ .text = HEAD_ABC },
		{ .text = "HTTP/1.1 400 Bad Request\r\nContent-Length: @\r\n\r\n"
			  "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>"
			  "<Region>ap-south-1</Region></Error>" },
		{ .text = OK_ETAG },
	};
	struct store_config config = { 0 };

	open_with(replies, ARRAY_LEN(replies), &config);
	ck_ok(get());
	ck_ok(get());
	ck_ok(put(3));
	ck_sent(0, "/us-east-1/s3/aws4_request");
	ck_sent(1, "/eu-west-3/s3/aws4_request");
	ck_sent(2, "/eu-west-3/s3/aws4_request");
	ck_sent(3, "/eu-west-3/s3/aws4_request");
	ck_sent(4, "/ap-south-1/s3/aws4_request");
}
END_TEST

START_TEST(a_server_that_sends_us_around_or_nowhere_is_not_followed_for_ever)
{
	static const struct reply replies[] = {
		{ .text = "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: r1\r\nContent-Length: "
			  "0\r\n\r\n" },
		{ .text = "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: r2\r\nContent-Length: "
			  "0\r\n\r\n" },
		{ .text = "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: evil.example/\r\n"
			  "Content-Length: 0\r\n\r\n" },
	};
	struct store_config config = { 0 };

	open_with(replies, ARRAY_LEN(replies), &config);
	ck_assert_int_eq(get(), -L3_WRONG_REGION);
	ck_assert_uint_eq(server.request_count, 2);
	ck_assert_int_eq(get(), -L3_WRONG_REGION);
	ck_assert_uint_eq(server.request_count, 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store: what S3's options make requests say");
	TCase *t = tcase_create("requests");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, objects_are_written_as_the_options_say_and_read_without_a_word);
	tcase_add_test(t, an_upload_in_parts_says_it_once_at_the_beginning);
	tcase_add_test(t, who_pays_is_said_with_every_request);
	tcase_add_test(t, a_key_of_ones_own_goes_with_all_that_reads_or_writes_objects);
	tcase_add_test(t, an_upload_in_parts_has_the_key_with_each_part);
	tcase_add_test(t, a_key_that_cannot_be_used_is_refused_and_not_shown);
	tcase_add_test(t, values_that_nobody_knows_are_refused_with_the_list_of_those_known);
	tcase_add_test(t, a_bucket_in_another_region_is_found_by_what_the_server_says);
	tcase_add_test(t, a_server_that_sends_us_around_or_nowhere_is_not_followed_for_ever);
	suite_add_tcase(s, t);
	return run_suite(s);
}

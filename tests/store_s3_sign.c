/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AWS Signature Version 4 against what AWS published: the cases of its test suite (aws4_testsuite)
 * and the examples of S3's documentation ("Signature calculations for the Authorization header").
 */
#include "store/s3.h"
#include "tests/store_fixture.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SUITE_TOKEN                                                                                \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmx" \
	"fpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0K" \
	"PkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZb" \
	"qBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

struct vector {
	const char *name;
	const char *method, *path, *query;
	struct s3_header headers[5]; /* besides host and x-amz-date */
	const char *body;
	const char *signed_names, *signature;
};

/* Paths are given as they are sent: normalising them, which the suite has cases for, is not S3's
 * way. */
static const struct vector suite_vectors[] = {
	{ "get-vanilla",
	  "GET",
	  "/",
	  "",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-vanilla-empty-query-key",
	  "GET",
	  "/",
	  "Param1=value1",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
	{ "get-vanilla-query-order-key-case",
	  "GET",
	  "/",
	  "Param2=value2&Param1=value1",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-query-unreserved",
	  "GET",
	  "/",
	  UNRESERVED "=" UNRESERVED,
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-vanilla-utf8-query",
	  "GET",
	  "/",
	  "%E1%88%B4=bar",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
	{ "get-unreserved",
	  "GET",
	  "/" UNRESERVED,
	  "",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
	{ "get-utf8",
	  "GET",
	  "/%E1%88%B4",
	  "",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-space",
	  "GET",
	  "/example%20space/",
	  "",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-header-key-duplicate",
	  "GET",
	  "/",
	  "",
	  { { "my-header1", "value2" }, { "my-header1", "value2" }, { "my-header1", "value1" } },
	  "",
	  "host;my-header1;x-amz-date",
	  "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
	{ "get-header-value-order",
	  "GET",
	  "/",
	  "",
	  { { "my-header1", "value4" },
	    { "my-header1", "value1" },
	    { "my-header1", "value3" },
	    { "my-header1", "value2" } },
	  "",
	  "host;my-header1;x-amz-date",
	  "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
	{ "get-header-value-trim",
	  "GET",
	  "/",
	  "",
	  { { "my-header1", " value1" }, { "my-header2", " \"a   b   c\"" } },
	  "",
	  "host;my-header1;my-header2;x-amz-date",
	  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "post-vanilla",
	  "POST",
	  "/",
	  "",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-vanilla-query",
	  "POST",
	  "/",
	  "Param1=value1",
	  { { 0 } },
	  "",
	  "host;x-amz-date",
	  "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
	{ "post-header-key-sort",
	  "POST",
	  "/",
	  "",
	  { { "my-header1", "value1" } },
	  "",
	  "host;my-header1;x-amz-date",
	  "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
	{ "post-header-value-case",
	  "POST",
	  "/",
	  "",
	  { { "my-header1", "VALUE1" } },
	  "",
	  "host;my-header1;x-amz-date",
	  "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
	{ "post-sts-header-before",
	  "POST",
	  "/",
	  "",
	  { { "x-amz-security-token", SUITE_TOKEN } },
	  "",
	  "host;x-amz-date;x-amz-security-token",
	  "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
	{ "post-x-www-form-urlencoded",
	  "POST",
	  "/",
	  "",
	  { { "content-type", "application/x-www-form-urlencoded" } },
	  "Param1=value1",
	  "content-type;host;x-amz-date",
	  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
};

/* Here the hash of the payload is a header too, added by sign_vector. */
static const struct vector s3_vectors[] = {
	{ "GET Object",
	  "GET",
	  "/test.txt",
	  "",
	  { { "range", "bytes=0-9" } },
	  "",
	  "host;range;x-amz-content-sha256;x-amz-date",
	  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "PUT Object",
	  "PUT",
	  "/test%24file.text",
	  "",
	  { { "date", "Fri, 24 May 2013 00:00:00 GMT" },
	    { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
	  "Welcome to Amazon S3.",
	  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "GET Bucket Lifecycle",
	  "GET",
	  "/",
	  "lifecycle",
	  { { 0 } },
	  "",
	  "host;x-amz-content-sha256;x-amz-date",
	  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "GET Bucket (List Objects)",
	  "GET",
	  "/",
	  "max-keys=2&prefix=J",
	  { { 0 } },
	  "",
	  "host;x-amz-content-sha256;x-amz-date",
	  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static char suite_id[] = "AKIDEXAMPLE";
static char suite_secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
static char s3_id[] = "AKIAIOSFODNN7EXAMPLE";
static char s3_secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/* Everything of the request but its headers, which the caller adds to. */
static struct s3_sign_request prepare(const struct vector *v, struct s3_header *headers,
				      const struct s3_cred *cred, char hash[S3_SHA256_HEX_LEN])
{
	struct iovec body = { (void *)v->body, strlen(v->body) };
	struct s3_sign_request r = { .method = v->method,
				     .path = v->path,
				     .query = v->query,
				     .headers = headers,
				     .payload_sha256 = hash,
				     .region = "us-east-1",
				     .cred = cred };

	ck_ok(s3_sha256_hex(&body, 1, hash));
	for (size_t i = 0; i < ARRAY_LEN(v->headers) && v->headers[i].name; i++)
		headers[r.header_count++] = v->headers[i];
	return r;
}

static void ck_signature(const struct vector *v, const struct s3_sign_request *r, const char *start)
{
	struct buf expected CLEANUP(buf_release) = BUF_INIT, got CLEANUP(buf_release) = BUF_INIT;

	buf_printf(&expected, "%s, SignedHeaders=%s, Signature=%s", start, v->signed_names,
		   v->signature);
	ck_ok(s3_sign(r, &got));
	ck_assert_msg(strcmp(buf_cstr(&got), buf_cstr(&expected)) == 0, "%s: %s", v->name,
		      buf_cstr(&got));
}

START_TEST(requests_of_the_published_suite_get_the_published_signatures)
{
	const struct s3_cred cred = { .access_key = suite_id, .secret_key = suite_secret };
	const struct vector *v = &suite_vectors[_i];
	struct s3_header headers[8];
	char hash[S3_SHA256_HEX_LEN];
	struct s3_sign_request r = prepare(v, headers, &cred, hash);

	r.service = "service";
	r.amz_date = "20150830T123600Z";
	headers[r.header_count++] = (struct s3_header){ "x-amz-date", r.amz_date };
	headers[r.header_count++] = (struct s3_header){ "host", "example.amazonaws.com" };
	ck_signature(v, &r,
		     "AWS4-HMAC-SHA256 "
		     "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request");
}
END_TEST

START_TEST(requests_of_the_s3_documentation_get_its_signatures)
{
	const struct s3_cred cred = { .access_key = s3_id, .secret_key = s3_secret };
	const struct vector *v = &s3_vectors[_i];
	struct s3_header headers[8];
	char hash[S3_SHA256_HEX_LEN];
	struct s3_sign_request r = prepare(v, headers, &cred, hash);

	r.service = "s3";
	r.amz_date = "20130524T000000Z";
	headers[r.header_count++] = (struct s3_header){ "host", "examplebucket.s3.amazonaws.com" };
	headers[r.header_count++] = (struct s3_header){ "x-amz-date", r.amz_date };
	headers[r.header_count++] = (struct s3_header){ "x-amz-content-sha256", hash };
	ck_signature(v, &r,
		     "AWS4-HMAC-SHA256 "
		     "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request");
}
END_TEST

START_TEST(the_canonical_request_is_the_documented_one)
{
	const struct s3_cred cred = { .access_key = s3_id, .secret_key = s3_secret };
	struct s3_header headers[] = { { "x-amz-date", "20130524T000000Z" },
				       { "range", "bytes=0-9 " },
				       { "x-amz-content-sha256", EMPTY_SHA256 },
				       { "host", "examplebucket.s3.amazonaws.com" } };
	struct s3_sign_request r = { .method = "GET",
				     .path = "/test.txt",
				     .query = "",
				     .headers = headers,
				     .header_count = ARRAY_LEN(headers),
				     .payload_sha256 = EMPTY_SHA256,
				     .amz_date = "20130524T000000Z",
				     .region = "us-east-1",
				     .service = "s3",
				     .cred = &cred };
	struct buf out CLEANUP(buf_release) = BUF_INIT, names CLEANUP(buf_release) = BUF_INIT;

	ck_ok(s3_canonical_request(&r, &out, &names));
	ck_assert_str_eq(buf_cstr(&out),
			 "GET\n/test.txt\n\n"
			 "host:examplebucket.s3.amazonaws.com\n"
			 "range:bytes=0-9\n"
			 "x-amz-content-sha256:" EMPTY_SHA256 "\n"
			 "x-amz-date:20130524T000000Z\n\n"
			 "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY_SHA256);
}
END_TEST

static void ck_query(const char *query, const char *expected)
{
	struct s3_sign_request r = {
		.method = "GET", .path = "/", .query = query, .payload_sha256 = ""
	};
	struct buf out CLEANUP(buf_release) = BUF_INIT, names CLEANUP(buf_release) = BUF_INIT;
	struct buf whole CLEANUP(buf_release) = BUF_INIT;

	buf_printf(&whole, "GET\n/\n%s\n\n\n", expected);
	ck_ok(s3_canonical_request(&r, &out, &names));
	ck_assert_str_eq(buf_cstr(&out), buf_cstr(&whole));
}

START_TEST(queries_are_sorted_by_name_and_then_by_value)
{
	ck_query(NULL, "");
	ck_query("uploads", "uploads=");
	ck_query("b=2&a=z&a=y&a-b=1&A=0", "A=0&a=y&a=z&a-b=1&b=2");
	ck_query("a-b=1&a", "a=&a-b=1");
	ck_query("ab=1&a=2&a%20=3", "a=2&a%20=3&ab=1");
}
END_TEST

START_TEST(nothing_but_unreserved_characters_goes_unencoded)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	s3_encode(&b, "a b/c~d_e.f-g*h+\xc3\xa9", false);
	ck_assert_str_eq(buf_cstr(&b), "a%20b%2Fc~d_e.f-g%2Ah%2B%C3%A9");
	buf_reset(&b);
	s3_encode(&b, "a/b//\x01%", true);
	ck_assert_str_eq(buf_cstr(&b), "a/b//%01%25");
}
END_TEST

START_TEST(a_payload_in_pieces_has_the_hash_of_the_whole)
{
	struct iovec v[] = { { (void *)"Welcome to ", 11 },
			     { NULL, 0 },
			     { (void *)"Amazon S3.", 10 } };
	char hash[S3_SHA256_HEX_LEN], md5[S3_MD5_BASE64_LEN];

	ck_ok(s3_sha256_hex(v, ARRAY_LEN(v), hash));
	ck_assert_str_eq(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	ck_ok(s3_sha256_hex(NULL, 0, hash));
	ck_assert_str_eq(hash, EMPTY_SHA256);
	ck_ok(s3_md5_base64("", 0, md5));
	ck_assert_str_eq(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
}
END_TEST

START_TEST(a_secret_longer_than_any_is_refused_not_cut)
{
	char secret[2048], hash[S3_SHA256_HEX_LEN];
	const struct s3_cred cred = { .access_key = s3_id, .secret_key = secret };
	struct s3_header headers[8];
	struct s3_sign_request r = prepare(&s3_vectors[0], headers, &cred, hash);
	struct buf out CLEANUP(buf_release) = BUF_INIT;

	memset(secret, 's', sizeof(secret));
	secret[sizeof(secret) - 1] = '\0';
	r.service = "s3";
	r.amz_date = "20130524T000000Z";
	ck_assert_int_eq(s3_sign(&r, &out), -L3_DENIED);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store: S3 requests are signed as AWS published it");
	TCase *t = tcase_create("signature version 4");

	tcase_add_loop_test(t, requests_of_the_published_suite_get_the_published_signatures, 0,
			    (int)ARRAY_LEN(suite_vectors));
	tcase_add_loop_test(t, requests_of_the_s3_documentation_get_its_signatures, 0,
			    (int)ARRAY_LEN(s3_vectors));
	tcase_add_test(t, the_canonical_request_is_the_documented_one);
	tcase_add_test(t, queries_are_sorted_by_name_and_then_by_value);
	tcase_add_test(t, nothing_but_unreserved_characters_goes_unencoded);
	tcase_add_test(t, a_payload_in_pieces_has_the_hash_of_the_whole);
	tcase_add_test(t, a_secret_longer_than_any_is_refused_not_cut);
	suite_add_tcase(s, t);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AWS Signature Version 4, step by step as in "Create a signed AWS API request":
 * canonical request → string to sign → signing key → signature.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHA256_BYTES 32
#define MD5_BYTES 16
#define QUERY_PAIRS_MAX 32
#define HEADERS_MAX 24
#define SECRET_MAX 512
#define CANONICAL_USUAL 8192

static void to_hex(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * len] = '\0';
}

int s3_sha256_hex(const struct iovec *iov, int iovcnt, char out[S3_SHA256_HEX_LEN])
{
	uint8_t sum[SHA256_BYTES];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

	for (int i = 0; ok && i < iovcnt; i++)
		if (iov[i].iov_len)
			ok = EVP_DigestUpdate(ctx, iov[i].iov_base, iov[i].iov_len);
	ok = ok && EVP_DigestFinal_ex(ctx, sum, NULL);
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return err_note(-ENOMEM, "OpenSSL does not compute SHA-256");
	to_hex(sum, sizeof(sum), out);
	return 0;
}

int s3_md5_base64(const void *data, size_t len, char out[S3_MD5_BASE64_LEN])
{
	uint8_t sum[MD5_BYTES];

	if (!EVP_Digest(data, len, sum, NULL, EVP_md5(), NULL))
		return err_note(-ENOTSUP, "OpenSSL does not compute MD5 (FIPS mode?)");
	(void)EVP_EncodeBlock((unsigned char *)out, sum, sizeof(sum));
	return 0;
}

bool s3_md5_differs(const void *data, size_t len, const char *hex)
{
	uint8_t sum[MD5_BYTES];
	char ours[2 * MD5_BYTES + 1];

	if (strlen(hex) != 2 * MD5_BYTES || strspn(hex, "0123456789abcdef") != 2 * MD5_BYTES)
		return false;
	if (!EVP_Digest(data, len, sum, NULL, EVP_md5(), NULL))
		return false;
	to_hex(sum, sizeof(sum), ours);
	return strcmp(ours, hex) != 0;
}

void s3_encode(struct buf *out, const char *s, bool keep_slash)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s) || (keep_slash && *s == '/'))
			buf_add(out, s, 1);
		else
			buf_printf(out, "%%%02X", (unsigned char)*s);
	}
}

/* ---- canonical request ---- */

/* By name, then by value: '=' and the end of a name without one sort before all else. */
static int by_name_then_value(const void *a, const void *b)
{
	const char *p = *(char *const *)a, *q = *(char *const *)b;

	while (*p && *p == *q) {
		p++;
		q++;
	}
	if (*p == '=' || *q == '=')
		return *p == '=' ? (*q == '\0' ? 1 : -1) : (*p == '\0' ? -1 : 1);
	return (unsigned char)*p - (unsigned char)*q;
}

/* "b=2&a" → "a=&b=2" */
static int canonical_query(const char *query, struct buf *out)
{
	char *copy CLEANUP(free_ptr) = strdup(query ? query : "");
	char *pairs[QUERY_PAIRS_MAX], *save = NULL;
	size_t count = 0;

	if (!copy)
		return -ENOMEM;
	for (char *p = strtok_r(copy, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
		if (count == ARRAY_LEN(pairs))
			return -E2BIG;
		pairs[count++] = p;
	}
	if (count > 0)
		qsort(pairs, count, sizeof(pairs[0]), by_name_then_value);
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%s%s", i ? "&" : "", pairs[i], strchr(pairs[i], '=') ? "" : "=");
	return 0;
}

/* Leading and trailing blanks go, runs of blanks become one. */
static void canonical_value(struct buf *out, const char *value)
{
	value += strspn(value, " \t");
	while (*value) {
		size_t word = strcspn(value, " \t"), blanks = strspn(value + word, " \t");

		buf_add(out, value, word);
		value += word + blanks;
		if (*value)
			buf_add(out, " ", 1);
	}
}

/* Stable, unlike qsort: values of one name stay in their order. */
static void sort_headers(struct s3_header *h, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j > 0 && strcmp(h[j - 1].name, h[j].name) > 0; j--) {
			struct s3_header swap = h[j];

			h[j] = h[j - 1];
			h[j - 1] = swap;
		}
}

static int canonical_headers(const struct s3_sign_request *r, struct buf *out, struct buf *names)
{
	struct s3_header sorted[HEADERS_MAX];

	if (r->header_count > ARRAY_LEN(sorted))
		return -E2BIG;
	for (size_t i = 0; i < r->header_count; i++)
		sorted[i] = r->headers[i];
	sort_headers(sorted, r->header_count);
	for (size_t i = 0; i < r->header_count; i++) {
		bool again = i > 0 && strcmp(sorted[i - 1].name, sorted[i].name) == 0;
		bool more =
			i + 1 < r->header_count && strcmp(sorted[i + 1].name, sorted[i].name) == 0;

		if (!again) {
			buf_printf(names, "%s%s", i ? ";" : "", sorted[i].name);
			buf_printf(out, "%s:", sorted[i].name);
		}
		canonical_value(out, sorted[i].value);
		buf_add_str(out, more ? "," : "\n");
	}
	return 0;
}

int s3_canonical_request(const struct s3_sign_request *r, struct buf *out, struct buf *signed_names)
{
	int err;

	buf_printf(out, "%s\n%s\n", r->method, r->path);
	err = canonical_query(r->query, out);
	buf_add(out, "\n", 1);
	if (err >= 0)
		err = canonical_headers(r, out, signed_names);
	if (err < 0)
		return err;
	buf_printf(out, "\n%s\n%s", buf_cstr(signed_names), r->payload_sha256);
	return buf_error(out) < 0 || buf_error(signed_names) < 0 ? -ENOMEM : 0;
}

/* ---- string to sign, key, signature ---- */

static void scope(const struct s3_sign_request *r, struct buf *out)
{
	buf_printf(out, "%.8s/%s/%s/aws4_request", r->amz_date, r->region, r->service);
}

static int string_to_sign(const struct s3_sign_request *r, const struct buf *canonical,
			  struct buf *out)
{
	char hash[S3_SHA256_HEX_LEN];
	struct iovec v = { canonical->data, canonical->len };
	int err = s3_sha256_hex(&v, 1, hash);

	if (err < 0)
		return err;
	buf_printf(out, "AWS4-HMAC-SHA256\n%s\n", r->amz_date);
	scope(r, out);
	buf_printf(out, "\n%s", hash);
	return buf_error(out);
}

static int hmac(const void *key, size_t key_len, const void *data, size_t len,
		uint8_t out[SHA256_BYTES])
{
	unsigned out_len = SHA256_BYTES;

	if (!HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &out_len))
		return err_note(-ENOMEM, "OpenSSL does not compute HMAC-SHA-256");
	return 0;
}

static int signing_key(const struct s3_sign_request *r, uint8_t key[SHA256_BYTES])
{
	char start[SECRET_MAX];
	int n = snprintf(start, sizeof(start), "AWS4%s", r->cred->secret_key), err;
	const char *steps[] = { r->region, r->service, "aws4_request" };

	if ((size_t)n >= sizeof(start))
		err = err_note(-L3_DENIED, "the secret access key is longer than any is");
	else
		err = hmac(start, (size_t)n, r->amz_date, 8, key);
	OPENSSL_cleanse(start, sizeof(start));
	for (size_t i = 0; err >= 0 && i < ARRAY_LEN(steps); i++) {
		uint8_t next[SHA256_BYTES];

		err = hmac(key, SHA256_BYTES, steps[i], strlen(steps[i]), next);
		memcpy(key, next, SHA256_BYTES);
		OPENSSL_cleanse(next, sizeof(next));
	}
	return err;
}

static int signature(const struct s3_sign_request *r, const struct buf *to_sign,
		     char out[S3_SHA256_HEX_LEN])
{
	uint8_t key[SHA256_BYTES] = { 0 }, sum[SHA256_BYTES];
	int err = signing_key(r, key);

	if (err >= 0)
		err = hmac(key, sizeof(key), to_sign->data, to_sign->len, sum);
	OPENSSL_cleanse(key, sizeof(key));
	if (err >= 0)
		to_hex(sum, sizeof(sum), out);
	return err;
}

int s3_amz_date(char out[S3_AMZ_DATE_LEN])
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !strftime(out, S3_AMZ_DATE_LEN, "%Y%m%dT%H%M%SZ", &tm))
		return err_note(-L3_CLOCK_SKEW, "this machine's clock shows no possible time");
	return 0;
}

int s3_sign(const struct s3_sign_request *r, struct buf *ret)
{
	struct buf canonical CLEANUP(s3_wipe_buf) = BUF_INIT; /* tokens are in it */
	struct buf names CLEANUP(buf_release) = BUF_INIT;
	struct buf to_sign CLEANUP(buf_release) = BUF_INIT;
	char hex[S3_SHA256_HEX_LEN];
	int err = buf_reserve(&canonical, CANONICAL_USUAL); /* growing would leave copies behind */

	if (err >= 0)
		err = s3_canonical_request(r, &canonical, &names);
	if (err >= 0)
		err = string_to_sign(r, &canonical, &to_sign);
	if (err >= 0)
		err = signature(r, &to_sign, hex);
	if (err < 0)
		return err;
	buf_printf(ret, "AWS4-HMAC-SHA256 Credential=%s/", r->cred->access_key);
	scope(r, ret);
	buf_printf(ret, ", SignedHeaders=%s, Signature=%s", buf_cstr(&names), hex);
	return buf_error(ret);
}

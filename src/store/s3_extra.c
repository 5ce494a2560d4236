/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a bucket's owner wants said with requests: encryption by the server (SSE-S3, SSE-KMS, SSE-C),
 * storage class, ACL, tags, who pays. Which request carries what is AWS' API reference.
 *
 * The key of SSE-C is sent with every request that reads or writes an object, so only over https (or
 * within this machine).
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMER_KEY_BYTES 32
#define CUSTOMER_KEY_BASE64 44
#define TAGS_MAX 10

static const char *const encryptions[] = { "AES256", "aws:kms", "aws:kms:dsse" };
/* Those from which objects can be read at once. */
static const char *const classes[] = { "STANDARD",   "STANDARD_IA",	    "ONEZONE_IA",
				       "GLACIER_IR", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY",
				       "OUTPOSTS",   "EXPRESS_ONEZONE" };
static const char *const acls[] = {
	"private",	 "public-read",	      "public-read-write",	  "authenticated-read",
	"aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"
};

/* ---- checking what was given ---- */

static int one_of(const char *option, const char *value, const char *const *list, size_t count)
{
	struct buf all CLEANUP(buf_release) = BUF_INIT;

	for (size_t i = 0; value && i < count; i++) {
		if (strcmp(value, list[i]) == 0)
			return 0;
		buf_printf(&all, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", list[i]);
	}
	return value ? err_note(-L3_BAD_OPTION, "option %s=%s: must be %s", option, value,
				buf_cstr(&all))
		     : 0;
}

/* They go into headers. */
static int check_printable(const char *option, const char *value)
{
	for (const char *c = value; c && *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c > '~')
			return err_note(
				-L3_BAD_OPTION,
				"option %s: blanks and control characters are written as in "
				"a URL (%%20)",
				option);
	return 0;
}

/* "name=value&name=value" */
static int check_tags(const char *tags)
{
	unsigned count = 0;

	for (const char *t = tags; t && *t; count++) {
		size_t len = strcspn(t, "&");

		if (t[0] == '=' || !memchr(t, '=', len))
			return err_note(
				-L3_BAD_OPTION,
				"option tags=%s: must be NAME=VALUE&NAME=VALUE…, written as "
				"in a URL",
				tags);
		t += len + (t[len] == '&');
	}
	if (count > TAGS_MAX)
		return err_note(-L3_BAD_OPTION, "option tags: an object has %d tags at most",
				TAGS_MAX);
	return check_printable("tags", tags);
}

static int check_together(const struct store_config *c)
{
	if (c->sse_kms_key && (!c->sse || strncmp(c->sse, "aws:kms", 7) != 0))
		return err_note(-L3_BAD_OPTION,
				"option sse_kms_key needs sse=aws:kms or sse=aws:kms:dsse");
	if (c->sse && c->sse_c_key_file)
		return err_note(-L3_BAD_OPTION, "sse and sse_c_key_file exclude each other");
	return 0;
}

int s3_extra_check(const struct store_config *c)
{
	int err = one_of("sse", c->sse, encryptions, ARRAY_LEN(encryptions));

	if (err >= 0)
		err = one_of("storage_class", c->storage_class, classes, ARRAY_LEN(classes));
	if (err >= 0)
		err = one_of("acl", c->acl, acls, ARRAY_LEN(acls));
	if (err >= 0)
		err = check_printable("sse_kms_key", c->sse_kms_key);
	if (err >= 0)
		err = check_tags(c->tags);
	return err < 0 ? err : check_together(c);
}

/* ---- SSE-C ---- */

/* 32 bytes, or these in base64. */
static int decode_key(const char *path, const struct buf *text, uint8_t key[CUSTOMER_KEY_BYTES])
{
	uint8_t decoded[CUSTOMER_KEY_BYTES + 4] = { 0 };
	size_t len = text->len;
	int n = -1;

	if (len == CUSTOMER_KEY_BYTES) {
		memcpy(key, text->data, CUSTOMER_KEY_BYTES);
		return 0;
	}
	while (len > 0 && strchr("\r\n", text->data[len - 1]))
		len--;
	if (len == CUSTOMER_KEY_BASE64 && text->data[len - 1] == '=' && text->data[len - 2] != '=')
		n = EVP_DecodeBlock(decoded, text->data, (int)len);
	memcpy(key, decoded, CUSTOMER_KEY_BYTES);
	OPENSSL_cleanse(decoded, sizeof(decoded));
	if (n < 0)
		return err_note(-L3_BAD_OPTION,
				"sse_c_key_file=%s: must hold a key of 32 bytes, as they are or in "
				"base64",
				path);
	return 0;
}

static int load_key(const char *path, struct s3_extra *e)
{
	struct buf text CLEANUP(s3_wipe_buf) = BUF_INIT;
	uint8_t key[CUSTOMER_KEY_BYTES];
	int err = s3_read_secret(path, &text);

	if (err >= 0)
		err = s3_check_private(path);
	if (err >= 0)
		err = decode_key(path, &text, key);
	if (err < 0)
		return err == -ENOENT ? -L3_BAD_OPTION : err;
	e->customer_key = s3_secret_alloc(CUSTOMER_KEY_BASE64 + 1);
	if (e->customer_key) {
		(void)EVP_EncodeBlock((unsigned char *)e->customer_key, key, sizeof(key));
		err = s3_md5_base64(key, sizeof(key), e->customer_key_md5);
	}
	OPENSSL_cleanse(key, sizeof(key));
	return e->customer_key ? err : -ENOMEM;
}

/* ---- life ---- */

static int copy(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int s3_extra_init(const struct store_config *c, struct s3_extra *ret)
{
	struct s3_extra e = { .requester_pays = c->requester_pays };
	int err = s3_extra_check(c);

	if (err >= 0 && (copy(c->sse, &e.sse) < 0 || copy(c->sse_kms_key, &e.sse_kms_key) < 0 ||
			 copy(c->storage_class, &e.storage_class) < 0 || copy(c->acl, &e.acl) < 0 ||
			 copy(c->tags, &e.tags) < 0))
		err = -ENOMEM;
	if (err >= 0 && c->sse_c_key_file)
		err = load_key(c->sse_c_key_file, &e);
	if (err < 0)
		s3_extra_release(&e);
	else
		*ret = e;
	return err;
}

void s3_extra_release(struct s3_extra *e)
{
	free(e->sse);
	free(e->sse_kms_key);
	free(e->storage_class);
	free(e->acl);
	free(e->tags);
	s3_secret_free(e->customer_key);
	*e = (struct s3_extra){ 0 };
}

int s3_extra_check_place(const struct s3_extra *e, const struct s3_place *p)
{
	static const char *const here[] = { "http://127.", "http://localhost", "http://[::1]" };

	if (!e->customer_key || strncmp(p->base, "https://", 8) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(here); i++)
		if (strncmp(p->base, here[i], strlen(here[i])) == 0)
			return 0;
	return err_note(
		-L3_BAD_OPTION,
		"sse_c_key_file: the key would go over the network in the clear: use https");
}

/* ---- headers ---- */

static size_t add(struct s3_header *out, size_t n, const char *name, const char *value)
{
	if (value)
		out[n++] = (struct s3_header){ name, value };
	return n;
}

static size_t add_customer_key(const struct s3_extra *e, struct s3_header *out, size_t n)
{
	n = add(out, n, "x-amz-server-side-encryption-customer-algorithm", "AES256");
	n = add(out, n, "x-amz-server-side-encryption-customer-key", e->customer_key);
	return add(out, n, "x-amz-server-side-encryption-customer-key-md5", e->customer_key_md5);
}

static size_t add_source_key(const struct s3_extra *e, struct s3_header *out, size_t n)
{
	n = add(out, n, "x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256");
	n = add(out, n, "x-amz-copy-source-server-side-encryption-customer-key", e->customer_key);
	return add(out, n, "x-amz-copy-source-server-side-encryption-customer-key-md5",
		   e->customer_key_md5);
}

size_t s3_extra_headers(const struct s3_extra *e, enum s3_kind kind,
			struct s3_header out[S3_EXTRA_HEADERS])
{
	size_t n = 0;

	if (e->requester_pays)
		n = add(out, n, "x-amz-request-payer", "requester");
	if (e->customer_key && kind != S3_OTHER)
		n = add_customer_key(e, out, n);
	if (e->customer_key && kind == S3_COPY)
		n = add_source_key(e, out, n);
	if (kind == S3_WRITE || kind == S3_COPY) {
		n = add(out, n, "x-amz-server-side-encryption", e->sse);
		n = add(out, n, "x-amz-server-side-encryption-aws-kms-key-id", e->sse_kms_key);
		n = add(out, n, "x-amz-storage-class", e->storage_class);
		n = add(out, n, "x-amz-acl", e->acl);
	}
	if (kind == S3_WRITE) /* a copy has its source's */
		n = add(out, n, "x-amz-tagging", e->tags);
	return n;
}

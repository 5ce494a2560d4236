/* SPDX-License-Identifier: BSD-3-Clause */
/* Does a store honour conditional writes? Asked on the real bucket, in a way that cannot do harm. */
#include "lease/lease.h"

#include <errno.h>
#include <string.h>

static int put(struct store *s, const char *key, const void *data, size_t len, enum store_cond cond,
	       const char *etag)
{
	return store_put_bytes(s, key, data, len, cond, etag, NULL);
}

/* An etag of the same form that is not the object's. */
static void spoil(char *etag)
{
	size_t n = strlen(etag);

	etag[n - 1] = etag[n - 1] == '0' ? '1' : '0';
}

int lease_probe(struct store *store, const char *key, const void *data, size_t len)
{
	struct store_meta meta;
	char wrong[STORE_ETAG_MAX];
	int err;

	err = put(store, key, data, len, STORE_CREATE, NULL);
	if (err >= 0)
		return err_note(-L3_NO_CONDITION, "the store ignores If-None-Match: it overwrote an object that "
						  "was to be created only if absent, so two mounts could write");
	if (err != -L3_PRECONDITION)
		return err;
	err = store_head(store, key, &meta);
	if (err < 0)
		return err;
	if (!meta.etag[0])
		return err_note(-L3_NO_CONDITION, "the store gives objects no ETag");
	memcpy(wrong, meta.etag, sizeof(wrong));
	spoil(wrong);
	err = put(store, key, data, len, STORE_MATCH, wrong);
	if (err >= 0)
		return err_note(-L3_NO_CONDITION, "the store ignores If-Match: it overwrote an object although "
						  "the ETag given was wrong, so two mounts could write");
	if (err != -L3_PRECONDITION)
		return err;
	err = put(store, key, data, len, STORE_MATCH, meta.etag);
	if (err == -L3_PRECONDITION)
		return err_note(-L3_NO_CONDITION, "the store refuses If-Match even with the right ETag");
	return err;
}

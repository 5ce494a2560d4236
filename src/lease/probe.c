/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does a store honour the conditions that the lease and the chain stand on? Three questions: is
 * create-only refused where an object is, is if-match granted with the right etag, and is it refused
 * with a wrong one.
 */
#include "lease/internal.h"

#include <errno.h>
#include <string.h>

/*
 * A write that ought to be refused is tried so often before the store is blamed: below may be a
 * wrapper that retries, and takes equal bytes found after a lost answer for its own success.
 */
#define TRIES 10

struct probe {
	struct store *store;
	const char *key;
	const void *data;
	size_t len;
	const char *etag;
};

static int expect_refusal(const struct probe *p, enum store_cond cond, const char *etag,
			  const char *what)
{
	int err = 0;

	for (int i = 0; i < TRIES && err >= 0; i++)
		err = store_put_bytes(p->store, p->key, p->data, p->len, cond, etag, NULL);
	if (err >= 0)
		return err_note(-L3_NO_CONDITION,
				"%s: the store ignores %s, so two mounts could write",
				p->store->url, what);
	return err == -L3_PRECONDITION ? 0 : err;
}

static int expect_create_refused(const struct probe *p)
{
	return expect_refusal(p, STORE_CREATE, NULL, "create-only writes (If-None-Match)");
}

/* Writes what is there now, so that nobody's change of it is undone. */
static int put_back(const struct probe *p, struct store_meta *ret_meta)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	int err = store_get(p->store, p->key, 0, STORE_TO_END, &b, &meta);

	return err < 0 ? err
		       : store_put_bytes(p->store, p->key, b.data, b.len, STORE_MATCH, meta.etag,
					 ret_meta);
}

/* What was read is still there, if it has the etag. */
static int put_again(const struct probe *p, struct store_meta *ret_meta)
{
	if (!p->etag || !p->etag[0])
		return -L3_PRECONDITION;
	return store_put_bytes(p->store, p->key, p->data, p->len, STORE_MATCH, p->etag, ret_meta);
}

/* Others may probe the same object just now, so the etag can be old before it is used. */
static int expect_grant(const struct probe *p, struct store_meta *ret_meta)
{
	int err = put_again(p, ret_meta);

	for (int i = 0; i < TRIES && err == -L3_PRECONDITION; i++)
		err = put_back(p, ret_meta);
	if (err < 0 && err != -L3_PRECONDITION)
		return err;
	if (err == -L3_PRECONDITION)
		return err_note(-L3_NO_CONDITION,
				"%s: the store refuses If-Match even with the right etag",
				p->store->url);
	return err;
}

/* With an etag of the right form that is not the object's; in the way that was granted, since a server may know
 * more than one, and refuse always in the others. */
static int expect_match_refused(const struct probe *p)
{
	struct store_meta meta;
	char *last;
	int err = expect_grant(p, &meta);

	if (err < 0)
		return err;
	if (!meta.etag[0])
		return err_note(-L3_NO_CONDITION, "%s: the store gives objects no ETag",
				p->store->url);
	last = meta.etag + strlen(meta.etag) - 1;
	*last = *last == '0' ? '1' : '0';
	return expect_refusal(p, STORE_MATCH, meta.etag, "compare-and-swap writes (If-Match)");
}

int lease_probe(struct store *store, const char *key, const void *data, size_t len,
		const char *etag)
{
	struct probe p = { .store = store, .key = key, .data = data, .len = len, .etag = etag };
	int err = expect_create_refused(&p);

	if (err >= 0)
		err = expect_match_refused(&p);
	if (err < 0 && err != -L3_NO_CONDITION)
		return err_wrap(err, "probing conditional writes");
	return err < 0 ? err : 0;
}

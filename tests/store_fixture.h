/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the store room share: a fresh place for each test, on whichever store, and
 * short forms of the calls that most tests make.
 */
#ifndef LEVELS3_TESTS_STORE_FIXTURE_H
#define LEVELS3_TESTS_STORE_FIXTURE_H

#include "store/store.h"
#include "runner.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ck_ok(call)                                                                                \
	do {                                                                                       \
		int ck_ok_err = (call);                                                            \
		ck_assert_msg(ck_ok_err >= 0, "%s: %s: %s", #call, err_text(ck_ok_err),            \
			      err_last_note());                                                    \
	} while (0)

struct place { /* where a test's objects are */
	char url[PATH_MAX];
	char folder[PATH_MAX - 8]; /* of file: stores, else "" */
	struct store_config config;
	struct store *store;
};

static __attribute__((unused)) int remove_entry(const char *path, const struct stat *st, int type,
						struct FTW *at)
{
	return remove(path);
}

/* A folder of its own below $TMPDIR. */
static __attribute__((unused)) void make_folder(struct place *p)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(p->folder, sizeof(p->folder), "%s/levels3-store.XXXXXX",
		       tmp && *tmp == '/' ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(p->folder));
	(void)snprintf(p->url, sizeof(p->url), "file://%s", p->folder);
}

static __attribute__((unused)) void remove_folder(struct place *p)
{
	if (p->folder[0])
		(void)nftw(p->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	p->folder[0] = '\0';
}

static __attribute__((unused)) struct store *open_place(const struct place *p)
{
	struct store *s = NULL;

	ck_ok(store_open(p->url, &p->config, &s));
	return s;
}

static __attribute__((unused)) int put_text(struct store *s, const char *key, const char *text)
{
	return store_put_bytes(s, key, text, strlen(text), STORE_ALWAYS, NULL, NULL);
}

static __attribute__((unused)) int create_text(struct store *s, const char *key, const char *text)
{
	return store_put_bytes(s, key, text, strlen(text), STORE_CREATE, NULL, NULL);
}

static __attribute__((unused)) int match_text(struct store *s, const char *key, const char *text,
					      const char *etag, struct store_meta *meta)
{
	return store_put_bytes(s, key, text, strlen(text), STORE_MATCH, etag, meta);
}

/* The object is there and holds text. */
static __attribute__((unused)) void ck_text(struct store *s, const char *key, const char *text)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_ok(store_get(s, key, 0, STORE_TO_END, &b, NULL));
	ck_assert_str_eq(buf_cstr(&b), text);
}

static __attribute__((unused)) void ck_absent(struct store *s, const char *key)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;

	ck_assert_int_eq(store_get(s, key, 0, STORE_TO_END, &b, NULL), -ENOENT);
	ck_assert_int_eq(store_head(s, key, &meta), -ENOENT);
}

/* The list holds these keys, given in one string with blanks between. */
static __attribute__((unused)) void ck_keys(const struct store_list *l, const char *expected)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	for (size_t i = 0; i < l->count; i++)
		buf_printf(&b, "%s%s", i ? " " : "", l->entries[i].key);
	ck_assert_str_eq(buf_cstr(&b), expected);
}

static __attribute__((unused)) void ck_all_keys(struct store *s, const char *prefix,
						const char *expected)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	ck_ok(store_list_all(s, prefix, NULL, &l));
	ck_keys(&l, expected);
}

/* One more in a counter that many change at once: read, and swap until nobody came between. Every
 * value has a nonce in it. 0 or an error. */
static __attribute__((unused)) int count_up(struct store *s, const char *key)
{
	for (;;) {
		struct buf b CLEANUP(buf_release) = BUF_INIT;
		struct store_meta meta;
		char text[64];
		int err = store_get(s, key, 0, STORE_TO_END, &b, &meta);

		if (err < 0)
			return err;
		(void)snprintf(text, sizeof(text), "%llu %016llx",
			       strtoull(buf_cstr(&b), NULL, 10) + 1,
			       (unsigned long long)random_u64());
		err = match_text(s, key, text, meta.etag, NULL);
		if (err != -L3_PRECONDITION)
			return err;
	}
}

#endif

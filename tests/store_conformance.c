/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What store.h promises, asked of every store: mem:, file: in a fresh folder, and, where
 * LEVELS3_TEST_S3_URL (and LEVELS3_TEST_S3_ENDPOINT) name a bucket, that S3 server.
 */
#include "tests/store_fixture.h"

#include <pthread.h>

#define THREADS 16
#define MANY 1500 /* more than S3 lists or deletes in one request */

static struct place here;

static void open_here(void)
{
	here.store = open_place(&here);
}

static void setup_mem(void)
{
	here = (struct place){ .url = "mem:conformance" };
	open_here();
}

static void setup_file(void)
{
	here = (struct place){ .url = "" };
	make_folder(&here);
	open_here();
}

/* A prefix of its own in the bucket. */
static void setup_s3(void)
{
	here = (struct place){ .config = { .endpoint = getenv("LEVELS3_TEST_S3_ENDPOINT"),
					   .multipart_bytes = 8 * MIB } };
	(void)snprintf(here.url, sizeof(here.url), "%s/conformance-%016llx",
		       getenv("LEVELS3_TEST_S3_URL"), (unsigned long long)random_u64());
	open_here();
}

static void remove_all(struct store *s)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	const char **keys CLEANUP(free_ptr) = NULL;

	if (store_list_all(s, NULL, NULL, &l) < 0 || !(keys = calloc(l.count + 1, sizeof(*keys))))
		return;
	for (size_t i = 0; i < l.count; i++)
		keys[i] = l.entries[i].key;
	(void)store_remove_many(s, keys, l.count);
}

static void teardown(void)
{
	struct store *s = open_place(&here); /* the test may have cancelled its own */

	remove_all(s);
	store_unref(s);
	store_unref(here.store);
	store_mem_drop(here.url);
	remove_folder(&here);
}

/* Runs fn in THREADS threads, each with its number; every other one has a handle of its own. */
struct crew {
	struct store *store;
	int number, result;
	int (*fn)(struct store *s, int number);
	pthread_barrier_t *start;
	pthread_t thread;
};

static void *crew_main(void *arg)
{
	struct crew *c = arg;

	(void)pthread_barrier_wait(c->start);
	c->result = c->fn(c->store, c->number);
	return NULL;
}

static void run_crew(int (*fn)(struct store *s, int number), int results[THREADS])
{
	struct store_retry_config patient = { .attempts = 30,
					      .base_delay_ms = 10,
					      .max_delay_ms = 500 };
	struct crew crew[THREADS];
	pthread_barrier_t start;

	ck_assert_int_eq(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (int i = 0; i < THREADS; i++) {
		struct store *own = i % 2 ? open_place(&here) : store_ref(here.store);

		crew[i] = (struct crew){ .number = i, .fn = fn, .start = &start };
		ck_ok(store_wrap_retry(own, &patient, &crew[i].store));
		store_unref(own);
		ck_assert_int_eq(pthread_create(&crew[i].thread, NULL, crew_main, &crew[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(crew[i].thread, NULL);
		store_unref(crew[i].store);
		results[i] = crew[i].result;
	}
	pthread_barrier_destroy(&start);
}

static void ck_crew(int (*fn)(struct store *s, int number))
{
	int results[THREADS];

	run_crew(fn, results);
	for (int i = 0; i < THREADS; i++)
		ck_assert_msg(results[i] >= 0, "thread %d: %s", i, err_text(results[i]));
}

/* ---- reading and writing ---- */

START_TEST(what_was_put_is_read_back_whole_and_in_ranges)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	static const struct {
		uint64_t offset, len;
		const char *expected;
	} ranges[] = {
		{ 0, STORE_TO_END, "0123456789" },
		{ 0, 10, "0123456789" },
		{ 0, 1, "0" },
		{ 9, 1, "9" },
		{ 3, 4, "3456" },
		{ 8, 100, "89" },
		{ 5, STORE_TO_END, "56789" },
		{ 10, 1, "" },
		{ 10, STORE_TO_END, "" },
		{ 1000, 5, "" },
		{ 4, 0, "" },
		{ 2, UINT64_MAX - 1, "23456789" },
		{ 1ull << 62, STORE_TO_END, "" },
	};

	ck_ok(put_text(here.store, "data/x", "0123456789"));
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		buf_reset(&b);
		buf_add_str(&b, "before:");
		ck_ok(store_get(here.store, "data/x", ranges[i].offset, ranges[i].len, &b, NULL));
		ck_assert_str_eq(buf_cstr(&b) + 7, ranges[i].expected);
		ck_assert_mem_eq(b.data, "before:", 7);
	}
}
END_TEST

START_TEST(get_head_and_put_agree_about_size_and_etag)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta put, get, head;

	ck_ok(store_put_bytes(here.store, "x", "0123456789", 10, STORE_ALWAYS, NULL, &put));
	ck_ok(store_get(here.store, "x", 2, 3, &b, &get));
	ck_ok(store_head(here.store, "x", &head));
	ck_assert_uint_eq(get.size_bytes, 10); /* of the object, not of the range */
	ck_assert_uint_eq(head.size_bytes, 10);
	ck_assert_str_ne(put.etag, "");
	ck_assert_str_eq(put.etag, get.etag);
	ck_assert_str_eq(put.etag, head.etag);
	ck_assert_int_gt(head.mtime_s, 1600000000);
}
END_TEST

START_TEST(an_absent_object_is_enoent_and_leaves_the_buffer_as_it_was)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	buf_add_str(&b, "before");
	ck_assert_int_eq(store_get(here.store, "no/such", 0, STORE_TO_END, &b, NULL), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "no/such"));
	ck_assert_str_eq(buf_cstr(&b), "before");
	ck_absent(here.store, "no/such");
	ck_ok(put_text(here.store, "a", "an object"));
	ck_absent(here.store, "a/b");
}
END_TEST

START_TEST(an_empty_object_exists)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;

	ck_ok(store_put_bytes(here.store, "empty", NULL, 0, STORE_CREATE, NULL, NULL));
	ck_ok(store_get(here.store, "empty", 0, STORE_TO_END, &b, &meta));
	ck_assert_uint_eq(b.len, 0);
	ck_assert_uint_eq(meta.size_bytes, 0);
	ck_ok(store_get(here.store, "empty", 0, 5, &b, NULL));
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(create_text(here.store, "empty", "x"), -L3_PRECONDITION);
	ck_all_keys(here.store, NULL, "empty");
}
END_TEST

START_TEST(a_put_of_several_pieces_joins_them)
{
	struct iovec v[] = {
		{ (void *)"ab", 2 }, { NULL, 0 }, { (void *)"c", 1 }, { (void *)"defg", 4 }
	};
	struct store_put put = { .key = "joined", .iov = v, .iovcnt = ARRAY_LEN(v) };

	ck_ok(store_put(here.store, &put, NULL));
	ck_text(here.store, "joined", "abcdefg");
}
END_TEST

START_TEST(an_overwrite_replaces_bytes_and_etag)
{
	struct store_meta first, second, third;

	ck_ok(store_put_bytes(here.store, "x", "a long one", 10, STORE_ALWAYS, NULL, &first));
	ck_ok(store_put_bytes(here.store, "x", "short", 5, STORE_ALWAYS, NULL, &second));
	ck_text(here.store, "x", "short");
	ck_ok(store_put_bytes(here.store, "x", "shore", 5, STORE_ALWAYS, NULL, &third));
	ck_assert_str_ne(first.etag, second.etag);
	ck_assert_str_ne(second.etag, third.etag);
}
END_TEST

START_TEST(what_one_handle_put_another_sees)
{
	struct store *other = open_place(&here);

	ck_ok(put_text(here.store, "x/y", "there"));
	ck_text(other, "x/y", "there");
	ck_all_keys(other, "x/", "x/y");
	ck_ok(store_remove(other, "x/y"));
	ck_absent(here.store, "x/y");
	ck_all_keys(here.store, "", "");
	store_unref(other);
}
END_TEST

/* Bytes that differ at every offset, from a seed. */
static uint8_t *pattern(size_t len, uint64_t seed)
{
	uint8_t *p = malloc(len);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(seed >> 56);
	}
	return p;
}

static void ck_large(struct store *s, const char *key, const uint8_t *p, size_t len)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;

	ck_ok(store_get(s, key, 0, STORE_TO_END, &b, &meta));
	ck_assert_uint_eq(b.len, len);
	ck_assert_uint_eq(meta.size_bytes, len);
	ck_assert(memcmp(b.data, p, len) == 0);
	buf_reset(&b);
	ck_ok(store_get(s, key, len / 2 + 7, MIB, &b, NULL));
	ck_assert_uint_eq(b.len, MIB);
	ck_assert(memcmp(b.data, p + len / 2 + 7, MIB) == 0);
}

START_TEST(twenty_mebibytes_come_back_as_they_were)
{
	const size_t len = 20 * MIB + 13;
	uint8_t *p CLEANUP(free_ptr) = pattern(len, 1);
	struct store_meta put, head, again;

	ck_ok(store_put_bytes(here.store, "big", p, len, STORE_CREATE, NULL,
			      &put)); /* in one piece */
	ck_large(here.store, "big", p, len);
	ck_ok(store_head(here.store, "big", &head));
	ck_assert_str_eq(put.etag, head.etag);
	ck_assert_int_eq(store_put_bytes(here.store, "big", p, len, STORE_CREATE, NULL, NULL),
			 -L3_PRECONDITION);
	p[len - 1] ^= 1;
	ck_ok(store_put_bytes(here.store, "big", p, len, STORE_ALWAYS, NULL,
			      &again)); /* in parts, on s3 */
	ck_large(here.store, "big", p, len);
	ck_ok(store_head(here.store, "big", &head));
	ck_assert_str_ne(put.etag, head.etag);
	ck_assert_str_eq(again.etag, head.etag);
	ck_ok(store_copy(here.store, "big", "copy"));
	ck_large(here.store, "copy", p, len);
}
END_TEST

static int rewrite(struct store *s, int number)
{
	uint8_t *p CLEANUP(free_ptr) = malloc(64 * KIB);
	int err = p ? 0 : -ENOMEM;

	for (int i = 0; i < 10 && err >= 0; i++) {
		memset(p, number, 64 * KIB);
		err = store_put_bytes(s, "x", p, 64 * KIB, STORE_ALWAYS, NULL, NULL);
	}
	return err;
}

static int read_uniform(struct store *s, int number)
{
	for (int i = 0; i < 20; i++) {
		struct buf b CLEANUP(buf_release) = BUF_INIT;
		int err = store_get(s, "x", 0, STORE_TO_END, &b, NULL);

		if (err < 0)
			return err;
		if (b.len != 64 * KIB || memcmp(b.data, b.data + 1, b.len - 1) != 0)
			return -L3_CORRUPT;
	}
	return 0;
}

static int rewrite_or_read(struct store *s, int number)
{
	return number % 4 ? read_uniform(s, number) : rewrite(s, number);
}

START_TEST(readers_see_one_of_the_objects_written_never_a_mixture)
{
	ck_ok(rewrite(here.store, 0));
	ck_crew(rewrite_or_read);
}
END_TEST

/* ---- conditions ---- */

START_TEST(create_only_refuses_where_an_object_is)
{
	ck_ok(create_text(here.store, "chain/00000000000000000001", "first"));
	ck_assert_int_eq(create_text(here.store, "chain/00000000000000000001", "second"),
			 -L3_PRECONDITION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "chain/00000000000000000001"));
	ck_text(here.store, "chain/00000000000000000001", "first");
	ck_ok(store_remove(here.store, "chain/00000000000000000001"));
	ck_ok(create_text(here.store, "chain/00000000000000000001", "third"));
	ck_text(here.store, "chain/00000000000000000001", "third");
}
END_TEST

START_TEST(if_match_replaces_only_the_object_it_was_told_of)
{
	struct store_meta first, second, third;

	ck_ok(store_put_bytes(here.store, "lease", "one", 3, STORE_CREATE, NULL, &first));
	ck_ok(match_text(here.store, "lease", "two", first.etag, &second));
	ck_text(here.store, "lease", "two");
	ck_assert_int_eq(match_text(here.store, "lease", "stale", first.etag, NULL),
			 -L3_PRECONDITION);
	ck_text(here.store, "lease", "two");
	ck_ok(put_text(here.store, "lease", "somebody's"));
	ck_assert_int_eq(match_text(here.store, "lease", "stale", second.etag, NULL),
			 -L3_PRECONDITION);
	ck_text(here.store, "lease", "somebody's");
	ck_ok(store_head(here.store, "lease", &third));
	ck_ok(match_text(here.store, "lease", "three", third.etag, NULL));
	ck_text(here.store, "lease", "three");
}
END_TEST

START_TEST(if_match_refuses_where_nothing_is)
{
	struct store_meta meta;

	ck_assert_int_lt(
		match_text(here.store, "lease", "x", "0123456789abcdef0123456789abcdef", NULL), 0);
	ck_absent(here.store, "lease");
	ck_ok(store_put_bytes(here.store, "lease", "one", 3, STORE_CREATE, NULL, &meta));
	ck_ok(store_remove(here.store, "lease"));
	ck_assert_int_eq(match_text(here.store, "lease", "x", meta.etag, NULL), -L3_PRECONDITION);
	ck_absent(here.store, "lease");
	ck_assert_int_eq(match_text(here.store, "lease", "x", "", NULL), -EINVAL);
	ck_assert_int_eq(match_text(here.store, "lease", "x", NULL, NULL), -EINVAL);
}
END_TEST

static int create_own(struct store *s, int number)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", number);
	return create_text(s, "chain/00000000000000000002", text);
}

START_TEST(of_many_creators_at_once_exactly_one_wins)
{
	for (int round = 0; round < 5; round++) {
		int results[THREADS], winner = -1;
		char text[16];

		run_crew(create_own, results);
		for (int i = 0; i < THREADS; i++) {
			if (results[i] == -L3_PRECONDITION)
				continue;
			ck_assert_msg(results[i] >= 0, "%s", err_text(results[i]));
			ck_assert_int_eq(winner, -1);
			winner = i;
		}
		ck_assert_int_ge(winner, 0);
		(void)snprintf(text, sizeof(text), "%d", winner);
		ck_text(here.store, "chain/00000000000000000002", text);
		ck_ok(store_remove(here.store, "chain/00000000000000000002"));
	}
}
END_TEST

static int count_five(struct store *s, int number)
{
	int err = 0;

	for (int i = 0; i < 5 && err >= 0; i++)
		err = count_up(s, "counter");
	return err;
}

START_TEST(a_counter_swapped_by_many_at_once_loses_no_count)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_ok(create_text(here.store, "counter", "0 start"));
	ck_crew(count_five);
	ck_ok(store_get(here.store, "counter", 0, STORE_TO_END, &b, NULL));
	ck_assert_int_eq(atoi(buf_cstr(&b)), 5 * THREADS);
}
END_TEST

/* ---- keys and lists ---- */

static const char *const odd_keys[] = {
	" leading blank",
	"!bang",
	"#hash?query",
	"$dollar",
	"%41%2F",
	"&amp;",
	"'quote'",
	"(round)",
	"*star*",
	"+plus+",
	",comma",
	"-dash",
	"1.5",
	"<tag>",
	"=equals=",
	"@at",
	"UPPER",
	"[square]",
	"\"double\"",
	"^caret",
	"a b/c d/e  f",
	"back\\slash",
	"caf\xc3\xa9/\xe6\x97\xa5\xe6\x9c\xac/\xf0\x9f\x98\x80",
	"e..f/...g",
	"trailing blank ",
	"x/y;z:w",
	"{curly}",
	"|pipe",
	"~tilde~",
};

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

START_TEST(keys_of_any_characters_work_everywhere)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	const char *sorted[ARRAY_LEN(odd_keys)];

	memcpy(sorted, odd_keys, sizeof(sorted));
	qsort(sorted, ARRAY_LEN(sorted), sizeof(*sorted), by_bytes);
	for (size_t i = 0; i < ARRAY_LEN(odd_keys); i++)
		ck_ok(create_text(here.store, odd_keys[i], odd_keys[i]));
	ck_ok(store_list_all(here.store, NULL, NULL, &l));
	ck_assert_uint_eq(l.count, ARRAY_LEN(odd_keys));
	for (size_t i = 0; i < l.count; i++) {
		struct store_list rest CLEANUP(store_list_release) = STORE_LIST_INIT;
		struct store_list one CLEANUP(store_list_release) = STORE_LIST_INIT;

		ck_assert_str_eq(l.entries[i].key, sorted[i]);
		ck_assert_uint_eq(l.entries[i].size_bytes, strlen(sorted[i]));
		ck_text(here.store, sorted[i], sorted[i]);
		ck_ok(store_list_all(here.store, NULL, sorted[i], &rest));
		ck_assert_uint_eq(rest.count, l.count - i - 1);
		ck_ok(store_list_all(here.store, sorted[i], NULL, &one));
		ck_keys(&one, sorted[i]);
		ck_ok(store_copy(here.store, sorted[i], "copy"));
		ck_text(here.store, "copy", sorted[i]);
		ck_ok(store_remove(here.store, "copy"));
	}
	ck_ok(store_remove_many(here.store, odd_keys, ARRAY_LEN(odd_keys)));
	ck_all_keys(here.store, NULL, "");
}
END_TEST

START_TEST(the_longest_key_works_and_bad_keys_are_refused)
{
	char longest[STORE_KEY_MAX + 2];
	const char *const bad[] = { "",
				    "/",
				    "/a",
				    "a/",
				    "a//b",
				    ".",
				    "..",
				    "./a",
				    "a/.",
				    "a/../b",
				    "a/./b",
				    "..//",
				    "a/..",
				    longest,
				    "\xff",
				    "\xc0\xaf",
				    "\xed\xa0\x80",
				    "a\x80",
				    "\xf4\x90\x80\x80",
				    "\xc3" };
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;

	for (int i = 0; i <= STORE_KEY_MAX; i++)
		longest[i] = i % 200 == 199 ? '/' : 'k';
	longest[STORE_KEY_MAX + 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(store_get(here.store, bad[i], 0, 1, &b, NULL), -EINVAL);
		ck_assert_int_eq(create_text(here.store, bad[i], "x"), -EINVAL);
		ck_assert_int_eq(store_head(here.store, bad[i], &meta), -EINVAL);
		ck_assert_int_eq(store_remove(here.store, bad[i]), -EINVAL);
		ck_assert_int_eq(store_remove_many(here.store, &bad[i], 1), -EINVAL);
		ck_assert_int_eq(store_copy(here.store, bad[i], "x"), -EINVAL);
		ck_assert_int_eq(store_copy(here.store, "x", bad[i]), -EINVAL);
	}
	longest[STORE_KEY_MAX] = '\0';
	longest[STORE_KEY_MAX - 1] = 'k';
	ck_ok(create_text(here.store, longest, "x"));
	ck_text(here.store, longest, "x");
	ck_all_keys(here.store, "k", longest);
	ck_ok(store_remove(here.store, longest));
	ck_absent(here.store, longest);
}
END_TEST

static void make_keys(const char *const *keys)
{
	for (; *keys; keys++)
		ck_ok(put_text(here.store, *keys, *keys));
}

START_TEST(lists_are_in_byte_order_of_the_whole_key)
{
	static const char *const keys[] = { "d0",      "d/b",	   "d-b",  "d!x",	  "d/a/z",
					    "d/a-1",   "d/a0",	   "e",	   "d/b\xc3\xa9", "D",
					    "chain/2", "chain/10", "d/b~", NULL };

	make_keys(keys);
	ck_all_keys(here.store, NULL,
		    "D chain/10 chain/2 d!x d-b d/a-1 d/a/z d/a0 d/b d/b~ d/b\xc3\xa9 d0 e");
	ck_all_keys(here.store, "d/", "d/a-1 d/a/z d/a0 d/b d/b~ d/b\xc3\xa9");
	ck_all_keys(here.store, "d/a", "d/a-1 d/a/z d/a0");
	ck_all_keys(here.store, "d/a/", "d/a/z");
	ck_all_keys(here.store, "d/b", "d/b d/b~ d/b\xc3\xa9");
	ck_all_keys(here.store, "chain/1", "chain/10");
	ck_all_keys(here.store, "nothing/like/that", "");
	ck_all_keys(here.store, "e/", "");
}
END_TEST

static void ck_after(const char *prefix, const char *after, const char *expected)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	ck_ok(store_list(here.store, prefix, after, 0, &l));
	ck_assert(!l.more);
	ck_keys(&l, expected);
}

START_TEST(a_list_begins_after_the_key_it_is_told)
{
	static const char *const keys[] = { "a/1", "a/3", "a/3-x", "a/5", "b/1", NULL };

	make_keys(keys);
	ck_after("", "a/3", "a/3-x a/5 b/1");
	ck_after("", "a/2", "a/3 a/3-x a/5 b/1");
	ck_after("a/", "a/3-x", "a/5");
	ck_after("a/", "a/5", "");
	ck_after("a/", "a/9", "");
	ck_after("a/", "a", "a/1 a/3 a/3-x a/5");
	ck_after("b/", "a/3", "b/1");
	ck_after("a/", "b", "");
	ck_after("", "a/", "a/1 a/3 a/3-x a/5 b/1");
	ck_after("", "a0", "b/1");
	ck_after("", "z", "");
	ck_after(NULL, NULL, "a/1 a/3 a/3-x a/5 b/1");
}
END_TEST

START_TEST(pages_join_to_the_whole_list_and_say_whether_there_is_more)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	char key[32];
	const char *after = NULL;

	for (int i = 0; i < 25; i++) {
		(void)snprintf(key, sizeof(key), "p/%d/%02d", i / 7, i);
		ck_ok(put_text(here.store, key, key));
	}
	for (int page = 0; page < 3; page++) {
		ck_ok(store_list(here.store, "p/", after, 10, &l));
		ck_assert_uint_eq(l.count, page == 2 ? 25u : (size_t)(page + 1) * 10);
		ck_assert_int_eq(l.more, page < 2);
		after = l.entries[l.count - 1].key;
	}
	for (int i = 0; i < 25; i++) {
		(void)snprintf(key, sizeof(key), "p/%d/%02d", i / 7, i);
		ck_assert_str_eq(l.entries[i].key, key);
		ck_assert_uint_eq(l.entries[i].size_bytes, strlen(key));
		ck_assert_int_gt(l.entries[i].mtime_s, 1600000000);
	}
	store_list_release(&l);
	ck_ok(store_list(here.store, "p/", NULL, 25, &l));
	ck_assert_uint_eq(l.count, 25);
	ck_assert(!l.more);
}
END_TEST

static int come_and_go(struct store *s, int number)
{
	char key[32];
	int err = 0;

	for (int i = 0; i < 10 && err >= 0; i++) {
		(void)snprintf(key, sizeof(key), "q/%d-%d", number, i);
		err = put_text(s, key, "x");
		if (err >= 0)
			err = store_remove(s, key);
	}
	return err;
}

static int list_those_that_stay(struct store *s, int number)
{
	for (int i = 0; i < 20; i++) {
		struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
		unsigned stayed = 0;
		int err = store_list_all(s, "q/", NULL, &l);

		if (err < 0)
			return err;
		for (size_t k = 0; k < l.count; k++)
			stayed += strncmp(l.entries[k].key, "q/stays", 7) == 0;
		if (stayed != 10)
			return -L3_CORRUPT;
	}
	return 0;
}

static int change_or_list(struct store *s, int number)
{
	return number % 4 ? come_and_go(s, number) : list_those_that_stay(s, number);
}

START_TEST(a_list_made_during_changes_has_everything_that_stayed)
{
	char key[32];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(key, sizeof(key), "q/stays%d", i);
		ck_ok(put_text(here.store, key, "x"));
	}
	ck_crew(change_or_list);
}
END_TEST

/* ---- copies and deletes ---- */

START_TEST(a_copy_is_another_object_with_the_same_bytes)
{
	ck_ok(put_text(here.store, "from", "bytes"));
	ck_ok(store_copy(here.store, "from", "deep/er/to"));
	ck_text(here.store, "deep/er/to", "bytes");
	ck_ok(put_text(here.store, "from", "changed"));
	ck_text(here.store, "deep/er/to", "bytes");
	ck_ok(store_copy(here.store, "from", "deep/er/to"));
	ck_text(here.store, "deep/er/to", "changed");
	ck_assert_int_eq(store_copy(here.store, "absent", "to"), -ENOENT);
	ck_absent(here.store, "to");
	ck_assert_int_eq(store_rename(here.store, "absent", "to"), -ENOENT);
}
END_TEST

START_TEST(a_rename_moves_the_object)
{
	ck_ok(put_text(here.store, "from", "bytes"));
	ck_ok(put_text(here.store, "to", "old"));
	ck_ok(store_rename(here.store, "from", "to"));
	ck_text(here.store, "to", "bytes");
	ck_absent(here.store, "from");
	ck_all_keys(here.store, NULL, "to");
}
END_TEST

START_TEST(deleting_what_is_not_there_succeeds)
{
	static const char *const keys[] = { "no", "such/object", "there" };

	ck_ok(store_remove(here.store, "no/such/object"));
	ck_ok(put_text(here.store, "there", "x"));
	ck_ok(store_remove(here.store, "there/below"));
	ck_text(here.store, "there", "x");
	ck_ok(store_remove(here.store, "there"));
	ck_ok(store_remove(here.store, "there"));
	ck_absent(here.store, "there");
	ck_ok(store_remove_many(here.store, keys, ARRAY_LEN(keys)));
	ck_ok(store_remove_many(here.store, NULL, 0));
}
END_TEST

static void many_key(char key[32], int i)
{
	(void)snprintf(key, 32, "many/%d/%05d", i % 3, i);
}

static int put_share(struct store *s, int number)
{
	char key[32];
	int err = 0;

	for (int i = number; i < MANY && err >= 0; i += THREADS) {
		many_key(key, i);
		err = create_text(s, key, "x");
	}
	return err;
}

START_TEST(many_objects_are_listed_and_deleted_in_as_many_pages_as_it_takes)
{
	static char names[MANY + 1][32];
	const char *keys[MANY + 1];
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	ck_crew(put_share);
	ck_ok(put_text(here.store, "many/3/stays", "x"));
	ck_ok(store_list_all(here.store, "many/", NULL, &l));
	ck_assert_uint_eq(l.count, MANY + 1);
	ck_assert(!l.more);
	for (size_t i = 1; i < l.count; i++)
		ck_assert_int_lt(strcmp(l.entries[i - 1].key, l.entries[i].key), 0);
	for (int i = 0; i < MANY; i++) {
		many_key(names[i], i);
		keys[i] = names[i];
	}
	keys[MANY] = "many/absent";
	ck_ok(store_remove_many(here.store, keys, MANY + 1));
	ck_all_keys(here.store, NULL, "many/3/stays");
}
END_TEST

/* ---- cancelling, opening ---- */

START_TEST(a_cancelled_store_answers_nothing_else_and_its_neighbour_goes_on)
{
	struct store *other = open_place(&here);
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	const char *const keys[] = { "x", "y" };
	struct store_meta meta;

	ck_ok(put_text(here.store, "x", "there"));
	store_cancel(here.store);
	ck_assert_int_eq(store_get(here.store, "x", 0, 1, &b, NULL), -ECANCELED);
	ck_assert_int_eq(put_text(here.store, "x", "y"), -ECANCELED);
	ck_assert_int_eq(store_head(here.store, "x", &meta), -ECANCELED);
	ck_assert_int_eq(store_list(here.store, "", NULL, 0, &l), -ECANCELED);
	ck_assert_int_eq(store_copy(here.store, "x", "y"), -ECANCELED);
	ck_assert_int_eq(store_remove(here.store, "x"), -ECANCELED);
	ck_assert_int_eq(store_remove_many(here.store, keys, 2), -ECANCELED);
	ck_text(other, "x", "there");
	ck_all_keys(other, NULL, "x");
	store_unref(other);
	store_cancel(NULL);
}
END_TEST

START_TEST(urls_of_no_store_are_refused_with_a_hint)
{
	static const char *const urls[] = { "",	  "ftp://x/y", "/srv/files", "bucket/prefix",
					    "S3", "mem" };
	struct store *s = NULL;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		ck_assert_int_eq(store_open(urls[i], NULL, &s), -L3_BAD_OPTION);
		ck_assert_ptr_nonnull(strstr(err_last_note(), "s3://"));
		ck_assert_ptr_null(s);
	}
}
END_TEST

static void add_all(Suite *s, const char *name, void (*setup)(void))
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 240);
	tcase_add_test(t, what_was_put_is_read_back_whole_and_in_ranges);
	tcase_add_test(t, get_head_and_put_agree_about_size_and_etag);
	tcase_add_test(t, an_absent_object_is_enoent_and_leaves_the_buffer_as_it_was);
	tcase_add_test(t, an_empty_object_exists);
	tcase_add_test(t, a_put_of_several_pieces_joins_them);
	tcase_add_test(t, an_overwrite_replaces_bytes_and_etag);
	tcase_add_test(t, what_one_handle_put_another_sees);
	tcase_add_test(t, twenty_mebibytes_come_back_as_they_were);
	tcase_add_test(t, readers_see_one_of_the_objects_written_never_a_mixture);
	tcase_add_test(t, create_only_refuses_where_an_object_is);
	tcase_add_test(t, if_match_replaces_only_the_object_it_was_told_of);
	tcase_add_test(t, if_match_refuses_where_nothing_is);
	tcase_add_test(t, of_many_creators_at_once_exactly_one_wins);
	tcase_add_test(t, a_counter_swapped_by_many_at_once_loses_no_count);
	tcase_add_test(t, keys_of_any_characters_work_everywhere);
	tcase_add_test(t, the_longest_key_works_and_bad_keys_are_refused);
	tcase_add_test(t, lists_are_in_byte_order_of_the_whole_key);
	tcase_add_test(t, a_list_begins_after_the_key_it_is_told);
	tcase_add_test(t, pages_join_to_the_whole_list_and_say_whether_there_is_more);
	tcase_add_test(t, a_list_made_during_changes_has_everything_that_stayed);
	tcase_add_test(t, a_copy_is_another_object_with_the_same_bytes);
	tcase_add_test(t, a_rename_moves_the_object);
	tcase_add_test(t, deleting_what_is_not_there_succeeds);
	tcase_add_test(t, many_objects_are_listed_and_deleted_in_as_many_pages_as_it_takes);
	tcase_add_test(t, a_cancelled_store_answers_nothing_else_and_its_neighbour_goes_on);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("store: what every store promises");
	TCase *t = tcase_create("urls");

	tcase_add_test(t, urls_of_no_store_are_refused_with_a_hint);
	suite_add_tcase(s, t);
	add_all(s, "mem:", setup_mem);
	add_all(s, "file:", setup_file);
	if (getenv("LEVELS3_TEST_S3_URL")) {
		add_all(s, "s3:", setup_s3);
	} else {
		(void)printf(
			"SKIPPED: store_conformance on s3: (LEVELS3_TEST_S3_URL is not set)\n");
		if (getenv("LEVELS3_TEST_NO_SKIP"))
			return EXIT_FAILURE;
	}
	return run_suite(s);
}

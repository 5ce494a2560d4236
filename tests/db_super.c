/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The super object: a prefix is made a filesystem on purpose, once, and what is not understood is
 * not touched.
 */
#include "db_fixture.h"

#define URL "mem:db-super-tests"

static struct store *store;

static void setup(void)
{
	store_unref(store);
	store_mem_drop(URL);
	ck_assert_int_eq(store_open(URL, NULL, &store), 0);
}

static void teardown(void)
{
	store_unref(store);
	store = NULL;
}

static struct super fresh(void)
{
	return (struct super){ .kind = SUPER_KIND_FS,
			       .hash_seed = 4711,
			       .created_real_ns = 1234567890123456789 };
}

static void put_super(const struct super *s)
{
	struct super copy = *s;

	setup();
	ck_assert_int_eq(super_create(store, &copy), 0);
	ck_assert_int_eq(super_finish(store, &copy), 0);
}

START_TEST(test_what_mkfs_wrote_is_read_back)
{
	struct buf raw = BUF_INIT, object = BUF_INIT;
	struct super s = fresh(), found;

	ck_assert_int_eq(super_create(store, &s), 0);
	ck_assert_int_eq(s.state, SUPER_FORMATTING);
	ck_assert_int_eq(super_finish(store, &s), 0);
	ck_assert_int_eq(s.state, SUPER_READY);
	ck_assert_int_eq(super_finish(store, &s), 0); /* an answer was lost, say */
	ck_assert_int_eq(super_read(store, true, &found, &raw), 0);
	ck_assert_mem_eq(&found.uuid, &s.uuid, sizeof(s.uuid));
	ck_assert_uint_eq(found.kind, SUPER_KIND_FS);
	ck_assert_uint_eq(found.hash_seed, 4711);
	ck_assert_int_eq(found.created_real_ns, 1234567890123456789);
	ck_assert_int_eq(store_get(store, SUPER_KEY, 0, STORE_TO_END, &object, NULL), 0);
	ck_assert_uint_eq(raw.len, object.len);
	ck_assert_mem_eq(raw.data, object.data, raw.len);
	buf_release(&raw);
	buf_release(&object);
}
END_TEST

START_TEST(test_an_empty_prefix_is_no_filesystem_and_the_note_says_what_to_do)
{
	struct super found;

	ck_assert_int_eq(super_read(store, true, &found, NULL), -L3_NOT_LEVELS3);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "empty"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "mkfs"));
}
END_TEST

START_TEST(test_a_prefix_with_other_things_is_left_alone)
{
	struct super s = fresh();

	ck_assert_int_eq(store_put_bytes(store, "photos/cat", "x", 1, STORE_CREATE, NULL, NULL), 0);
	ck_assert_int_eq(super_read(store, true, &s, NULL), -L3_NOT_LEVELS3);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "none of levels3"));
	ck_assert_int_eq(super_create(store, &s), -L3_NOT_LEVELS3);
	ck_assert_uint_eq(count_objects(URL, ""), 1);
}
END_TEST

START_TEST(test_a_filesystem_is_not_made_twice)
{
	struct super s = fresh(), again = fresh(), found;

	put_super(&s);
	ck_assert_int_eq(super_create(store, &again), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "filesystem"));
	ck_assert_int_eq(super_read(store, true, &found, NULL), 0);
}
END_TEST

START_TEST(test_an_interrupted_mkfs_is_gone_on_with_and_not_mounted)
{
	struct super s = fresh(), again = fresh(), found;

	ck_assert_int_eq(super_create(store, &s), 0);
	ck_assert_int_eq(super_read(store, true, &found, NULL), -L3_NOT_LEVELS3);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "interrupted"));
	ck_assert_int_eq(store_put_bytes(store, "lease", "x", 1, STORE_CREATE, NULL, NULL), 0);
	ck_assert_int_eq(super_create(store, &again), 0);
	ck_assert_mem_eq(&again.uuid, &s.uuid, sizeof(s.uuid));
	ck_assert_int_eq(super_finish(store, &again), 0);
	ck_assert_int_eq(super_read(store, true, &found, NULL), 0);
}
END_TEST

START_TEST(test_an_interrupted_mkfs_of_another_kind_is_refused)
{
	struct super s = fresh(), other = fresh();

	other.kind = SUPER_KIND_DB;
	ck_assert_int_eq(super_create(store, &s), 0);
	ck_assert_int_eq(super_create(store, &other), -EEXIST);
}
END_TEST

START_TEST(test_unknown_features_refuse_as_much_as_they_must)
{
	struct super s = fresh(), found;

	s.compat = 1;
	put_super(&s);
	ck_assert_int_eq(super_read(store, true, &found, NULL), 0);
	ck_assert_uint_eq(found.compat, 1);
	s.ro_compat = 2;
	put_super(&s);
	ck_assert_int_eq(super_read(store, true, &found, NULL), -L3_VERSION);
	ck_assert_int_eq(super_read(store, false, &found, NULL), 0);
	s.incompat = 4;
	put_super(&s);
	ck_assert_int_eq(super_read(store, false, &found, NULL), -L3_VERSION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "newer"));
}
END_TEST

START_TEST(test_a_feature_that_is_required_is_noted_once_and_refuses_older_versions)
{
	struct super s = fresh(), found;
	struct store_meta before, after;

	s.compat = 1;
	put_super(&s);
	ck_assert_int_eq(super_read(store, true, &found, NULL), 0);
	ck_assert_int_eq(super_require(store, &found, SUPER_INCOMPAT_RANGES), 0);
	ck_assert_uint_eq(found.incompat, SUPER_INCOMPAT_RANGES);
	ck_assert_int_eq(store_head(store, SUPER_KEY, &before), 0);
	ck_assert_int_eq(super_require(store, &found, SUPER_INCOMPAT_RANGES), 0);
	ck_assert_int_eq(store_head(store, SUPER_KEY, &after), 0);
	ck_assert_str_eq(before.etag, after.etag);
	ck_assert_int_eq(super_read(store, true, &s, NULL), 0);
	ck_assert_uint_eq(s.incompat, SUPER_INCOMPAT_RANGES);
	ck_assert_uint_eq(s.compat, 1);
	ck_assert_uint_eq(s.state, SUPER_READY);
	s.incompat = 0;
	s.uuid.bytes[0] ^= 1;
	ck_assert_int_eq(super_require(store, &s, SUPER_INCOMPAT_RANGES), -L3_CORRUPT);
}
END_TEST

START_TEST(test_every_flipped_bit_is_noticed)
{
	struct super s = fresh(), found;
	struct buf b = BUF_INIT;

	put_super(&s);
	ck_assert_int_eq(store_get(store, SUPER_KEY, 0, STORE_TO_END, &b, NULL), 0);
	for (size_t i = 0; i < b.len * 8; i++) {
		int err;

		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert_int_eq(
			store_put_bytes(store, SUPER_KEY, b.data, b.len, STORE_ALWAYS, NULL, NULL),
			0);
		err = super_read(store, true, &found, NULL);
		ck_assert_msg(err == -L3_CORRUPT || err == -L3_VERSION, "bit %zu: %s", i,
			      err_text(err));
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	buf_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the super object");
	TCase *tc = tcase_create("super");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_what_mkfs_wrote_is_read_back);
	tcase_add_test(tc, test_an_empty_prefix_is_no_filesystem_and_the_note_says_what_to_do);
	tcase_add_test(tc, test_a_prefix_with_other_things_is_left_alone);
	tcase_add_test(tc, test_a_filesystem_is_not_made_twice);
	tcase_add_test(tc, test_an_interrupted_mkfs_is_gone_on_with_and_not_mounted);
	tcase_add_test(tc, test_an_interrupted_mkfs_of_another_kind_is_refused);
	tcase_add_test(tc, test_unknown_features_refuse_as_much_as_they_must);
	tcase_add_test(tc,
		       test_a_feature_that_is_required_is_noted_once_and_refuses_older_versions);
	tcase_add_test(tc, test_every_flipped_bit_is_noticed);
	suite_add_tcase(s, tc);
	return run_suite(s);
}

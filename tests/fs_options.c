/* SPDX-License-Identifier: BSD-3-Clause */
/* Options as people write them: names, values, ranges, lists, and what is said of wrong ones. */
#include "fs/fs.h"
#include "runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fs_config config;

static void setup(void)
{
	fs_config_init(&config);
}

static void teardown(void)
{
	fs_config_release(&config);
}

static void assert_note_has(const char *word)
{
	ck_assert_msg(strstr(err_last_note(), word), "\"%s\" is not in \"%s\"", word,
		      err_last_note());
}

static void assert_refused(const char *name, const char *value, const char *word)
{
	struct fs_config before = config;

	ck_assert_int_eq(fs_config_set(&config, name, value), -L3_BAD_OPTION);
	assert_note_has(name);
	assert_note_has(word);
	ck_assert_mem_eq(&before, &config, sizeof(config));
}

START_TEST(sizes_and_times_are_understood_as_people_write_them)
{
	ck_assert_int_eq(fs_config_set(&config, "cache_size", "1.5G"), 0);
	ck_assert_uint_eq(config.cache_size_bytes, 1536 * MIB);
	ck_assert_int_eq(fs_config_set(&config, "cache_size", "25%"), 0);
	ck_assert_uint_eq(config.cache_size_percent, 25);
	ck_assert_uint_eq(config.cache_size_bytes, 0);
	ck_assert_int_eq(fs_config_set(&config, "mem_limit", "128MiB"), 0);
	ck_assert_uint_eq(config.mem_limit_bytes, 128 * MIB);
	ck_assert_int_eq(fs_config_set(&config, "commit", "0.5"), 0);
	ck_assert_uint_eq(config.commit_ms, 500);
	ck_assert_int_eq(fs_config_set(&config, "lease", "2m"), 0);
	ck_assert_uint_eq(config.lease_ms, 120000);
	ck_assert_int_eq(fs_config_set(&config, "retry_delay", "250ms"), 0);
	ck_assert_uint_eq(config.retry_delay_ms, 250);
	ck_assert_int_eq(fs_config_set(&config, "retry", "3"), 0);
	ck_assert_uint_eq(config.retry, 3);
	ck_assert_int_eq(fs_config_set(&config, "lease_wait", "0"), 0);
	ck_assert_uint_eq(config.lease_wait_ms, 0);
}
END_TEST

START_TEST(a_value_out_of_range_is_named_with_the_range_and_changes_nothing)
{
	assert_refused("commit", "0", "from 100ms to 1h");
	assert_refused("commit", "2h", "from 100ms to 1h");
	assert_refused("cache_size", "1M", "from 16M to 1P, or 1% to 90%");
	assert_refused("cache_size", "0%", "1% to 90%");
	assert_refused("cache_size", "91%", "1% to 90%");
	assert_refused("cache_size", "%", "1% to 90%");
	assert_refused("mem_limit", "5%", "a size from 64M to 1T");
	assert_refused("retry", "0", "from 1 to 1000");
	assert_refused("connections", "99999999999999999999", "from 1 to 1024");
	assert_refused("lease", "500ms", "from 1 to 1h");
}
END_TEST

START_TEST(a_value_that_is_no_value_is_refused)
{
	assert_refused("commit", "soon", "soon");
	assert_refused("commit", "-1", "-1");
	assert_refused("commit", "", "commit=");
	assert_refused("commit", NULL, "commit=SECONDS");
	assert_refused("cache_size", "lots", "lots");
	assert_refused("cache_size", "10X", "10X");
	assert_refused("region", "", "region=NAME");
	assert_refused("endpoint", NULL, "endpoint=URL");
	assert_refused("path_style", "yes", "takes no value");
}
END_TEST

START_TEST(folders_and_files_must_be_absolute)
{
	assert_refused("cache_dir", "cache", "absolute path or \"none\"");
	assert_refused("ca_file", "none", "absolute path");
	ck_assert_int_eq(fs_config_set(&config, "cache_dir", "none"), 0);
	ck_assert_str_eq(config.cache_dir, "none");
	ck_assert_int_eq(fs_config_set(&config, "cache_dir", "/a/b"), 0);
	ck_assert_str_eq(config.cache_dir, "/a/b");
}
END_TEST

START_TEST(strings_are_kept_apart_and_outlive_what_they_were_set_from)
{
	char value[16] = "one";

	ck_assert_int_eq(fs_config_set(&config, "region", value), 0);
	strcpy(value, "two");
	ck_assert_int_eq(fs_config_set(&config, "profile", value), 0);
	strcpy(value, "http://three");
	ck_assert_int_eq(fs_config_set(&config, "endpoint", value), 0);
	strcpy(value, "/four");
	ck_assert_int_eq(fs_config_set(&config, "ca_file", value), 0);
	ck_assert_str_eq(config.store.region, "one");
	ck_assert_str_eq(config.store.profile, "two");
	ck_assert_str_eq(config.store.endpoint, "http://three");
	ck_assert_str_eq(config.store.ca_file, "/four");
}
END_TEST

START_TEST(an_unknown_option_is_not_ours_and_its_likeness_is_named)
{
	ck_assert_int_eq(fs_config_set(&config, "cache_sise", "5G"), -ENOTSUP);
	assert_note_has("cache_sise");
	assert_note_has("did you mean \"cache_size\"?");
	ck_assert_int_eq(fs_config_set(&config, "zzzzzzzz", NULL), -ENOTSUP);
	ck_assert_ptr_null(strstr(err_last_note(), "did you mean"));
}
END_TEST

START_TEST(flags_set_what_they_say_and_the_last_one_wins)
{
	ck_assert_int_eq(
		fs_config_parse(&config,
				"path_style,ro,no_compress,create,noatime,lease_only,no_verify_tls",
				NULL, NULL),
		0);
	ck_assert(config.store.path_style && config.read_only && !config.compress &&
		  config.create && config.store.create && !config.atime && config.lease_only &&
		  config.store.no_verify);
	ck_assert_int_eq(fs_config_parse(&config, "rw,compress,strictatime", NULL, NULL), 0);
	ck_assert(!config.read_only && config.compress && config.atime && config.strictatime);
	ck_assert_int_eq(fs_config_parse(&config, "relatime", NULL, NULL), 0);
	ck_assert(config.atime && !config.strictatime);
}
END_TEST

START_TEST(commas_and_backslashes_in_values_are_written_with_a_backslash)
{
	ck_assert_int_eq(fs_config_parse(&config, "profile=a\\,b\\\\c,region=r=1,", NULL, NULL), 0);
	ck_assert_str_eq(config.store.profile, "a,b\\c");
	ck_assert_str_eq(config.store.region, "r=1");
}
END_TEST

START_TEST(a_list_stops_at_its_first_error)
{
	ck_assert_int_eq(fs_config_parse(&config, "commit=7,commit=x,commit=9", NULL, NULL),
			 -L3_BAD_OPTION);
	ck_assert_uint_eq(config.commit_ms, 7000);
	ck_assert_int_eq(fs_config_parse(&config, "nonsense=1", NULL, NULL), -ENOTSUP);
	ck_assert_int_eq(fs_config_parse(&config, "", NULL, NULL), 0);
}
END_TEST

static int take_suid(void *ctx, const char *name, const char *value)
{
	if (strcmp(name, "suid") != 0)
		return -ENOTSUP;
	(*(int *)ctx)++;
	return 0;
}

START_TEST(options_of_others_go_to_them)
{
	int seen = 0;

	ck_assert_int_eq(fs_config_parse(&config, "suid,commit=3,suid", take_suid, &seen), 0);
	ck_assert_int_eq(seen, 2);
	ck_assert_uint_eq(config.commit_ms, 3000);
}
END_TEST

START_TEST(options_that_contradict_each_other_are_refused_together)
{
	ck_assert_int_eq(fs_config_check(&config), 0);
	ck_assert_int_eq(fs_config_parse(&config, "lease=10,renew=5", NULL, NULL), 0);
	ck_assert_int_eq(fs_config_check(&config), -L3_BAD_OPTION);
	assert_note_has("renew=5");
	assert_note_has("lease=10");
	ck_assert_int_eq(fs_config_parse(&config, "renew=4", NULL, NULL), 0);
	ck_assert_int_eq(fs_config_check(&config), 0);
	ck_assert_int_eq(fs_config_parse(&config, "ro,create", NULL, NULL), 0);
	ck_assert_int_eq(fs_config_check(&config), -L3_BAD_OPTION);
}
END_TEST

START_TEST(without_keys_a_mount_is_read_only_and_keys_come_from_one_place)
{
	static const struct {
		const char *options, *named;
	} bad[] = { { "anonymous,rw", "anonymous and rw" },
		    { "anonymous,profile=work", "anonymous and profile" },
		    { "anonymous,passwd_file=/keys", "anonymous and passwd_file" },
		    { "profile=work,passwd_file=/keys", "profile and passwd_file" } };

	ck_assert_int_eq(fs_config_parse(&config, "anonymous", NULL, NULL), 0);
	ck_assert(config.read_only && config.store.anonymous);
	ck_assert_int_eq(fs_config_check(&config), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		fs_config_release(&config);
		fs_config_init(&config);
		ck_assert_int_eq(fs_config_parse(&config, bad[i].options, NULL, NULL), 0);
		ck_assert_int_eq(fs_config_check(&config), -L3_BAD_OPTION);
		assert_note_has(bad[i].named);
	}
}
END_TEST

/* A default shown to people must be the one that applies: setting it changes nothing. */
START_TEST(the_defaults_that_are_shown_are_those_that_apply)
{
	unsigned numbers = 0;

	for (const struct fs_option_info *o = fs_options(); o->name; o++) {
		struct fs_config before = config;
		bool is_on = strcmp(o->fallback, "on") == 0;

		if (!o->argument && !is_on)
			continue;
		if (o->argument && strcmp(o->argument, "SIZE") != 0 &&
		    strcmp(o->argument, "SECONDS") != 0 && strcmp(o->argument, "COUNT") != 0)
			continue;
		ck_assert_int_eq(fs_config_set(&config, o->name, o->argument ? o->fallback : NULL),
				 0);
		ck_assert_msg(memcmp(&before, &config, sizeof(config)) == 0,
			      "%s=%s is not the default", o->name, o->fallback);
		numbers++;
	}
	ck_assert_uint_gt(numbers, 12);
}
END_TEST

/* And the other way round: what is said to be off is, and what has no number was not set to anything. */
START_TEST(what_is_not_the_default_changes_something)
{
	unsigned seen = 0;

	for (const struct fs_option_info *o = fs_options(); o->name; o++) {
		bool is_text = o->argument && !o->range;
		struct fs_config before;

		if (!is_text && (o->argument || strcmp(o->fallback, "off") != 0))
			continue;
		teardown();
		setup();
		before = config;
		ck_assert_int_eq(fs_config_set(&config, o->name, is_text ? "/some" : NULL), 0);
		ck_assert_msg(memcmp(&before, &config, sizeof(config)) != 0, "%s changes nothing",
			      o->name);
		seen++;
	}
	ck_assert_uint_gt(seen, 20);
}
END_TEST

START_TEST(every_number_has_a_unit_a_range_and_advice)
{
	for (const struct fs_option_info *o = fs_options(); o->name; o++) {
		bool is_number = o->argument && strspn(o->fallback, "0123456789") > 0;

		ck_assert_msg(is_number == (o->range != NULL), "%s: range %s", o->name, o->range);
		if (!is_number)
			continue;
		ck_assert(strcmp(o->argument, "SIZE") == 0 || strcmp(o->argument, "SECONDS") == 0 ||
			  strcmp(o->argument, "COUNT") == 0);
		ck_assert_msg(o->more && *o->more, "nothing says when to change %s", o->name);
	}
}
END_TEST

START_TEST(every_option_that_is_promised_is_there)
{
	static const char *const promised[] = {
		"cache_dir", "cache_size", "mem_limit", "commit",      "lease",
		"renew",     "lease_wait", "retry",	"retry_delay", "timeout",
		"endpoint",  "region",	   "profile",	"path_style",
	};

	for (size_t i = 0; i < ARRAY_LEN(promised); i++) {
		const struct fs_option_info *o = fs_options();

		while (o->name && strcmp(o->name, promised[i]) != 0)
			o++;
		ck_assert_msg(o->name != NULL, "%s is missing", promised[i]);
		ck_assert_ptr_nonnull(o->help);
	}
}
END_TEST

START_TEST(an_error_is_explained_with_its_note_and_what_to_do)
{
	struct buf out = BUF_INIT;

	(void)err_note(-L3_CLOCK_SKEW, "the store's clock is 2 h ahead");
	fs_explain(-L3_CLOCK_SKEW, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "2 h ahead"));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "hint: "));
	buf_reset(&out);
	err_clear();
	fs_explain(-ENOSPC, &out);
	ck_assert_str_eq(buf_cstr(&out), "No space left on device");
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tc = tcase_create("options");

	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, sizes_and_times_are_understood_as_people_write_them);
	tcase_add_test(tc, a_value_out_of_range_is_named_with_the_range_and_changes_nothing);
	tcase_add_test(tc, a_value_that_is_no_value_is_refused);
	tcase_add_test(tc, folders_and_files_must_be_absolute);
	tcase_add_test(tc, strings_are_kept_apart_and_outlive_what_they_were_set_from);
	tcase_add_test(tc, an_unknown_option_is_not_ours_and_its_likeness_is_named);
	tcase_add_test(tc, flags_set_what_they_say_and_the_last_one_wins);
	tcase_add_test(tc, commas_and_backslashes_in_values_are_written_with_a_backslash);
	tcase_add_test(tc, a_list_stops_at_its_first_error);
	tcase_add_test(tc, options_of_others_go_to_them);
	tcase_add_test(tc, options_that_contradict_each_other_are_refused_together);
	tcase_add_test(tc, without_keys_a_mount_is_read_only_and_keys_come_from_one_place);
	tcase_add_test(tc, the_defaults_that_are_shown_are_those_that_apply);
	tcase_add_test(tc, what_is_not_the_default_changes_something);
	tcase_add_test(tc, every_number_has_a_unit_a_range_and_advice);
	tcase_add_test(tc, every_option_that_is_promised_is_there);
	tcase_add_test(tc, an_error_is_explained_with_its_note_and_what_to_do);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

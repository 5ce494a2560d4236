/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration files: what a name stands for, whose word counts, what is said of wrong ones. */
#include "fs/fs.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[128];
static struct fs_config config;
static struct fs_place place;

static int set(void *ctx, const char *name, const char *value)
{
	return fs_config_set(ctx, name, value);
}

static int find(const char *word)
{
	return fs_place_find(word, set, &config, &place);
}

static void write_file(const char *where, const char *text)
{
	FILE *f = fopen(where, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(where, 0644), 0);
}

static void setup(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/fs_conf_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/conf", folder);
	ck_assert_int_eq(setenv("LEVELS3FS_CONFIG", path, 1), 0);
	fs_config_init(&config);
}

static void teardown(void)
{
	fs_place_release(&place);
	fs_config_release(&config);
	(void)unlink(path);
	(void)rmdir(folder);
}

static void assert_refused(const char *word, int err, const char *words)
{
	ck_assert_int_eq(find(word), err);
	ck_assert_msg(strstr(err_last_note(), words), "\"%s\" is not in \"%s\"", words,
		      err_last_note());
	ck_assert_ptr_null(place.url);
	ck_assert_ptr_null(place.mountpoint);
}

START_TEST(a_name_stands_for_its_url_mountpoint_and_options)
{
	write_file(path,
		   "# ours\n[photos]\nurl = s3://bucket/a;b  ; a comment\n mountpoint=/mnt/p\n"
		   "cache_size = 1G\npath_style\nnoatime = yes\n\n[other]\nurl = mem:x\n"
		   "cache_size = 2G\n");
	ck_assert_int_eq(find("photos"), 0);
	ck_assert_str_eq(place.url, "s3://bucket/a;b");
	ck_assert_str_eq(place.mountpoint, "/mnt/p");
	ck_assert_uint_eq(config.cache_size_bytes, GIB);
	ck_assert(config.store.path_style);
	ck_assert(!config.atime);
}
END_TEST

START_TEST(what_holds_for_all_comes_first_and_holds_for_urls_too)
{
	write_file(path, "[a]\nurl = mem:a\ncommit = 2\n[defaults]\ncommit = 7\nretry = 3\n");
	ck_assert_int_eq(find("a"), 0);
	ck_assert_uint_eq(config.commit_ms, 2000);
	ck_assert_uint_eq(config.retry, 3);
	fs_place_release(&place);
	ck_assert_int_eq(find("mem:a"), 0);
	ck_assert_str_eq(place.url, "mem:a");
	ck_assert_ptr_null(place.mountpoint);
	ck_assert_uint_eq(config.commit_ms, 7000);
}
END_TEST

START_TEST(a_section_may_stand_twice_and_the_later_word_counts)
{
	write_file(path, "[a]\nurl = mem:a\ncommit = 2\n[b]\n[a]\ncommit = 3\n");
	ck_assert_int_eq(find("a"), 0);
	ck_assert_str_eq(place.url, "mem:a");
	ck_assert_uint_eq(config.commit_ms, 3000);
}
END_TEST

START_TEST(the_users_own_file_is_read_last)
{
	char own[160], dir[140];

	(void)snprintf(dir, sizeof(dir), "%s/levels3fs", folder);
	(void)snprintf(own, sizeof(own), "%s/config", dir);
	ck_assert_int_eq(mkdir(dir, 0755), 0);
	ck_assert_int_eq(unsetenv("LEVELS3FS_CONFIG"), 0);
	ck_assert_int_eq(setenv("XDG_CONFIG_HOME", folder, 1), 0);
	write_file(own, "[levels3fs-test-only]\nurl = mem:a\ncommit = 3\n");
	ck_assert_int_eq(find("levels3fs-test-only"), 0);
	ck_assert_str_eq(place.url, "mem:a");
	(void)unlink(own);
	(void)rmdir(dir);
	fs_place_release(&place);
	ck_assert_int_eq(find("mem:without-any-file"), 0);
	fs_place_release(&place);
	ck_assert_int_eq(setenv("LEVELS3FS_CONFIG", "", 1), 0); /* as good as unset */
	ck_assert_int_eq(find("mem:without-any-file"), 0);
}
END_TEST

struct seen {
	char text[256];
	int answer;
};

static int see(void *ctx, const char *name, const struct fs_place *p)
{
	struct seen *s = ctx;
	size_t len = strlen(s->text);

	(void)snprintf(s->text + len, sizeof(s->text) - len, "%s %s %s;", name,
		       p->url ? p->url : "-", p->mountpoint ? p->mountpoint : "-");
	return s->answer;
}

START_TEST(all_names_can_be_listed_each_once)
{
	struct seen s = { .answer = 0 };

	write_file(path, "[defaults]\nretry = 3\n[b]\nurl = mem:b\nno_such_option = 7\n[a]\n"
			 "mountpoint = /mnt/a\n[b]\nmountpoint = /mnt/b\n");
	ck_assert_int_eq(fs_place_each(see, &s), 0);
	ck_assert_str_eq(s.text, "b mem:b /mnt/b;a - /mnt/a;");
	s = (struct seen){ .answer = 7 };
	ck_assert_int_eq(fs_place_each(see, &s), 7);
	ck_assert_str_eq(s.text, "b mem:b /mnt/b;");
}
END_TEST

START_TEST(unknown_names_are_errors_with_a_suggestion)
{
	write_file(path, "[photos]\nurl = mem:x\n[defaults]\n");
	assert_refused("photo", -L3_BAD_OPTION, "did you mean \"photos\"?");
	assert_refused("zzzzzzzz", -L3_BAD_OPTION, path);
	assert_refused("defaults", -L3_BAD_OPTION, "no URL");
	assert_refused("default", -L3_BAD_OPTION, "no URL");
}
END_TEST

START_TEST(wrong_settings_are_named_by_file_and_line)
{
	char where[160];

	(void)snprintf(where, sizeof(where), "%s:3: ", path);
	write_file(path, "[a]\nurl = mem:x\ncomit = 3\n");
	ck_assert_int_eq(find("a"), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(err_last_note(), where));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "did you mean \"commit\"?"));
	write_file(path, "[a]\nurl = mem:x\ncommit = soon\n");
	assert_refused("a", -L3_BAD_OPTION, where);
	write_file(path, "[a]\nurl = mem:x\npath_style = no\n");
	assert_refused("a", -L3_BAD_OPTION, where);
	write_file(path, "[a]\nurl = mem:x\nmountpoint = here\n");
	assert_refused("a", -L3_BAD_OPTION, "absolute path");
	write_file(path, "[a]\nurl = mem:x\n= 3\n");
	assert_refused("a", -L3_BAD_OPTION, where);
	write_file(path, "[a]\ncommit = 2\n");
	assert_refused("a", -L3_BAD_OPTION, "[a] has no \"url = …\"");
	write_file(path, "[defaults]\nurl = mem:x\n");
	assert_refused("mem:y", -L3_BAD_OPTION, "cannot be the same");
	write_file(path, "[b]\nnonsense = 3\n[a]\nurl = mem:x\n");
	ck_assert_int_eq(find("a"), 0); /* others' mistakes are not ours */
}
END_TEST

START_TEST(a_file_that_others_may_write_is_not_believed)
{
	write_file(path, "[a]\nurl = mem:x\n");
	ck_assert_int_eq(chmod(path, 0664), 0);
	assert_refused("a", -L3_DENIED, "chmod go-w");
	assert_refused("mem:x", -L3_DENIED, "chmod go-w");
	ck_assert_int_eq(chmod(path, 0644), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 12345, 0), 0);
		assert_refused("a", -L3_DENIED, "belongs to user 12345");
	}
}
END_TEST

START_TEST(a_file_asked_for_must_be_there)
{
	assert_refused("mem:x", -ENOENT, path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("configuration files");
	TCase *t = tcase_create("configuration files");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_name_stands_for_its_url_mountpoint_and_options);
	tcase_add_test(t, what_holds_for_all_comes_first_and_holds_for_urls_too);
	tcase_add_test(t, a_section_may_stand_twice_and_the_later_word_counts);
	tcase_add_test(t, the_users_own_file_is_read_last);
	tcase_add_test(t, all_names_can_be_listed_each_once);
	tcase_add_test(t, unknown_names_are_errors_with_a_suggestion);
	tcase_add_test(t, wrong_settings_are_named_by_file_and_line);
	tcase_add_test(t, a_file_that_others_may_write_is_not_believed);
	tcase_add_test(t, a_file_asked_for_must_be_there);
	suite_add_tcase(s, t);
	return run_suite(s);
}

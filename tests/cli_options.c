/* SPDX-License-Identifier: BSD-3-Clause */
/* The manual page and the tables of options say the same; mount options become what the kernel
 * takes. */
#include "../fuse/options.h"
#include "runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static struct mount_options options;

static void setup(void)
{
	mount_options_init(&options);
}

static void teardown(void)
{
	mount_options_release(&options);
}

/* ---- the manual page ---- */

static struct buf page = BUF_INIT;

static const char *manual(void)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];

	if (page.len == 0) {
		(void)snprintf(path, sizeof(path), "%s/man/mount.levels3fs.8",
			       srcdir ? srcdir : ".");
		ck_assert_int_eq(file_read_all(path, MIB, &page), 0);
	}
	return buf_cstr(&page);
}

/* The text of ".It Cm NAME", up to the next item. */
static bool item_of(const char *name, char *out, size_t size)
{
	char head[128];
	const char *start, *end;

	(void)snprintf(head, sizeof(head), ".It Cm %s", name);
	for (start = strstr(manual(), head); start; start = strstr(start + 1, head))
		if (start[strlen(head)] == '\n' || start[strlen(head)] == ' ')
			break;
	if (!start)
		return false;
	end = strstr(start + 1, "\n.It ");
	if (!end || strstr(start, "\n.El") < end)
		end = strstr(start, "\n.El");
	(void)snprintf(out, size, "%.*s", (int)(end - start), start);
	return true;
}

static void assert_documented(const struct fs_option_info *list)
{
	for (; list->name; list++) {
		char text[4096], wanted[256];

		ck_assert_msg(item_of(list->name, text, sizeof(text)),
			      "%s is not in the manual page", list->name);
		(void)snprintf(wanted, sizeof(wanted), "Default: %s.", list->fallback);
		ck_assert_msg(strstr(text, wanted) != NULL,
			      "the manual page has another default of %s than %s", list->name,
			      list->fallback);
		ck_assert_msg((strstr(text, " Ns = Ns Ar ") != NULL) == (list->argument != NULL),
			      "the manual page errs in whether %s takes a value", list->name);
	}
}

START_TEST(every_option_is_in_the_manual_with_its_default)
{
	assert_documented(fs_options());
	assert_documented(mount_options_list());
}
END_TEST

static bool is_known(const char *name, size_t len)
{
	const struct fs_option_info *lists[] = { fs_options(), mount_options_list() };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (const struct fs_option_info *o = lists[i]; o->name; o++)
			if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
				return true;
	return false;
}

START_TEST(the_manual_names_no_option_that_does_not_exist)
{
	unsigned seen = 0;

	for (const char *p = strstr(manual(), ".It Cm "); p; p = strstr(p + 1, ".It Cm ")) {
		const char *name = p + strlen(".It Cm ");
		size_t len = strcspn(name, " \n");

		ck_assert_msg(is_known(name, len), "%.*s", (int)len, name);
		seen++;
	}
	ck_assert_uint_gt(seen, 20);
}
END_TEST

/* ---- mount options ---- */

static void assert_for_fuse(const char *list, const char *has, const char *has_not)
{
	struct buf out = BUF_INIT;
	char framed[1024];

	ck_assert_int_eq(mount_options_parse(&options, list), 0);
	ck_assert_int_eq(mount_options_for_fuse(&options, "mem:x", &out), 0);
	(void)snprintf(framed, sizeof(framed), ",%s,", buf_cstr(&out));
	if (has)
		ck_assert_msg(strstr(framed, has) != NULL, "%s is not in %s", has, framed);
	if (has_not)
		ck_assert_msg(strstr(framed, has_not) == NULL, "%s is in %s", has_not, framed);
	buf_release(&out);
}

START_TEST(what_mount8_adds_for_itself_is_taken_and_not_handed_on)
{
	ck_assert_int_eq(
		mount_options_parse(
			&options,
			"defaults,_netdev,nofail,noauto,user=joe,users,owner,group,comment=hm,"
			"x-systemd.automount,X-own,relatime"),
		0);
	assert_for_fuse("", ",subtype=levels3fs,", "netdev");
	assert_for_fuse("", NULL, "relatime");
	assert_for_fuse("", NULL, "user");
}
END_TEST

START_TEST(flags_reach_the_kernel_and_the_filesystem)
{
	assert_for_fuse("ro,noexec,noatime", ",ro,", ",rw,");
	ck_assert_uint_eq(options.flags, MS_RDONLY | MS_NOEXEC | MS_NOATIME);
	ck_assert(options.config.read_only);
	ck_assert(!options.config.atime);
	assert_for_fuse("rw,exec,relatime", ",rw,", "noexec");
	ck_assert_uint_eq(options.flags, 0);
	ck_assert(!options.config.read_only);
}
END_TEST

START_TEST(root_mounts_like_a_local_filesystem_unless_told)
{
	bool root = geteuid() == 0;

	assert_for_fuse("", root ? ",suid,dev," : NULL, "nosuid");
	assert_for_fuse("", root ? ",allow_other," : NULL, root ? NULL : "allow_other");
	assert_for_fuse("no_allow_other", NULL, "allow_other");
	if (root)
		assert_for_fuse("nosuid,nodev", ",nosuid,nodev,", NULL);
}
END_TEST

START_TEST(a_comma_in_the_source_does_not_become_an_option)
{
	assert_for_fuse("fsname=a\\,suid", ",fsname=a\\,suid,", NULL);
}
END_TEST

static void assert_refused(const char *list, const char *words)
{
	ck_assert_int_eq(mount_options_parse(&options, list), -L3_BAD_OPTION);
	ck_assert_msg(strstr(err_last_note(), words) != NULL, "\"%s\" is not in \"%s\"", words,
		      err_last_note());
}

START_TEST(unknown_mount_options_are_errors_with_a_suggestion)
{
	assert_refused("nosiud", "did you mean \"nosuid\"?");
	assert_refused("wirteback", "did you mean \"writeback\"?");
	assert_refused("comit=3", "did you mean \"commit\"?");
	assert_refused("qqqqqqqq=1", "unknown option \"qqqqqqqq\"");
	assert_refused("nosuid=1", "takes no value");
	assert_refused("writeback=1", "takes no value");
	assert_refused("fsname", "needs a value");
	options.sloppy = true;
	ck_assert_int_eq(mount_options_parse(&options, "qqqqqqqq=1"), 0);
	assert_refused("commit=x", "commit=x");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mount options");
	TCase *tc = tcase_create("mount options");

	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, every_option_is_in_the_manual_with_its_default);
	tcase_add_test(tc, the_manual_names_no_option_that_does_not_exist);
	tcase_add_test(tc, what_mount8_adds_for_itself_is_taken_and_not_handed_on);
	tcase_add_test(tc, flags_reach_the_kernel_and_the_filesystem);
	tcase_add_test(tc, root_mounts_like_a_local_filesystem_unless_told);
	tcase_add_test(tc, a_comma_in_the_source_does_not_become_an_option);
	tcase_add_test(tc, unknown_mount_options_are_errors_with_a_suggestion);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

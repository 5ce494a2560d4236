/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listing folders: everything once, whatever is added or removed meanwhile; and many threads at
 * once in one folder.
 */
#include "fs_fixture.h"

#include <pthread.h>

#define URL "mem:fs-listing-tests"
#define ROOT FS_ROOT_INO
#define MANY 100000

static void setup(void)
{
	make_fs(URL);
}

static void teardown(void)
{
	check_fs(false);
	reopen_fs(URL);
	check_fs(true);
	end_fs(URL);
}

/* ---- one listing, in steps ---- */

struct walk {
	uint64_t dir, cookie;
	size_t at_a_time, got;
	bool want_attr;
	uint8_t *seen; /* how often file-N came */
	size_t others, dots;
};

static bool take_entry(void *ctx, const struct fs_dirent *e)
{
	struct walk *w = ctx;
	unsigned n;

	if (w->got == w->at_a_time)
		return false;
	ck_assert_uint_gt(e->cookie, w->cookie);
	ck_assert_uint_le(e->cookie, INT64_MAX);
	w->cookie = e->cookie;
	w->got++;
	if (w->want_attr) {
		ck_assert_ptr_nonnull(e->attr);
		ck_assert_uint_eq(e->attr->ino, e->ino);
		ck_assert_uint_eq(e->attr->mode & S_IFMT, e->type);
	}
	if (sscanf(e->name, "file-%u", &n) == 1)
		w->seen[n]++;
	else if (e->name[0] == '.')
		w->dots++;
	else
		w->others++;
	return true;
}

/* False at the end. */
static bool step(struct walk *w)
{
	w->got = 0;
	must(fs_readdir(fs, w->dir, w->cookie, w->want_attr, take_entry, w), "readdir");
	return w->got == w->at_a_time;
}

static void make_numbered(uint64_t dir, unsigned from, unsigned upto)
{
	char name[32];

	for (unsigned n = from; n < upto; n++) {
		(void)snprintf(name, sizeof(name), "file-%u", n);
		make_file(dir, name);
	}
}

START_TEST(an_empty_folder_has_the_two_dots)
{
	struct walk w = { .dir = make_dir(ROOT, "d"), .at_a_time = 10, .want_attr = true };

	ck_assert(!step(&w));
	ck_assert_uint_eq(w.dots, 2);
	ck_assert_uint_eq(w.cookie, 2);
	ck_assert(!step(&w));
	ck_assert_uint_eq(w.got, 0);
}
END_TEST

START_TEST(a_hundred_thousand_names_come_once_each_while_others_come_and_go)
{
	struct walk w = { .dir = make_dir(ROOT, "d"), .at_a_time = 100 };
	char name[32];
	unsigned other = 0;

	w.seen = calloc(MANY, 1);
	make_numbered(w.dir, 0, MANY);
	ck_assert_uint_eq(attr_of(w.dir).nlink, 2);
	while (step(&w)) {
		for (unsigned n = 0; n < 3; n++, other++) {
			(void)snprintf(name, sizeof(name), "other-%u", other);
			make_file(w.dir, name);
			if (other % 2 == 0)
				continue;
			(void)snprintf(name, sizeof(name), "other-%u", other / 2);
			(void)fs_unlink(fs, w.dir, name);
		}
	}
	for (unsigned n = 0; n < MANY; n++)
		ck_assert_msg(w.seen[n] == 1, "file-%u came %u times", n, w.seen[n]);
	ck_assert_uint_eq(w.dots, 2);
	free(w.seen);
}
END_TEST

START_TEST(a_folder_can_be_emptied_while_it_is_read)
{
	struct walk w = { .dir = make_dir(ROOT, "d"), .at_a_time = 7, .want_attr = true };
	char name[32];
	unsigned left = 1000;

	w.seen = calloc(1000, 1);
	make_numbered(w.dir, 0, 1000);
	while (step(&w)) {
		for (unsigned n = 0; n < 1000; n++) {
			if (w.seen[n] != 1)
				continue;
			(void)snprintf(name, sizeof(name), "file-%u", n);
			must(fs_unlink(fs, w.dir, name), name);
			w.seen[n] = 2;
			left--;
		}
	}
	for (unsigned n = 0; n < 1000; n++) {
		(void)snprintf(name, sizeof(name), "file-%u", n);
		if (w.seen[n] == 1)
			must(fs_unlink(fs, w.dir, name), name);
		left -= w.seen[n] == 1;
	}
	ck_assert_uint_eq(left, 0);
	must(fs_rmdir(fs, ROOT, "d"), "rmdir");
	free(w.seen);
}
END_TEST

START_TEST(a_cookie_is_good_after_a_remount)
{
	struct walk w = { .dir = make_dir(ROOT, "d"), .at_a_time = 50 };

	w.seen = calloc(500, 1);
	make_numbered(w.dir, 0, 500);
	while (step(&w))
		reopen_fs(URL);
	for (unsigned n = 0; n < 500; n++)
		ck_assert_uint_eq(w.seen[n], 1);
	free(w.seen);
}
END_TEST

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 300

struct worker {
	pthread_t thread;
	unsigned n;
	uint64_t dirs[2];
};

static bool count_entry(void *ctx, const struct fs_dirent *e)
{
	(*(unsigned *)ctx)++;
	return true;
}

/* What another thread did first is no failure; anything else is. */
static void allowed(int err)
{
	if (err < 0 && err != -ENOENT && err != -EEXIST && err != -ENOTEMPTY && err != -EISDIR &&
	    err != -ENOTDIR)
		must(err, "in a thread");
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct fs_attr attr;
	char own[32], shared[32], dir[32];
	unsigned count = 0;

	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t a = w->dirs[r % 2], b = w->dirs[(r / 2 + w->n) % 2];

		(void)snprintf(own, sizeof(own), "own-%u-%u", w->n, r);
		(void)snprintf(shared, sizeof(shared), "shared-%u", r % 5);
		(void)snprintf(dir, sizeof(dir), "dir-%u", r % 3);
		must(fs_mknod(fs, a, own, &nobody, S_IFREG | 0644, 0, &attr), own);
		write_at(attr.ino, own, strlen(own), 0);
		allowed(fs_rename(fs, a, own, b, shared, r % 7 == 0 ? FS_RENAME_EXCHANGE : 0));
		allowed(fs_link(fs, attr.ino, b, own, &attr));
		allowed(fs_mkdir(fs, a, dir, &nobody, 0755, &attr));
		allowed(fs_rename(fs, a, dir, b, dir, 0));
		allowed(fs_setxattr(fs, attr.ino, "user.n", own, strlen(own), 0));
		allowed(fs_rmdir(fs, b, dir));
		allowed(fs_unlink(fs, b, shared));
		if (r % 3 == 0)
			allowed(fs_unlink(fs, b, own));
		if (r % 10 == 0)
			must(fs_readdir(fs, a, 0, true, count_entry, &count), "readdir");
		if (r % 50 == 0)
			must(fs_sync(fs), "sync");
	}
	return NULL;
}

START_TEST(threads_that_change_the_same_names_leave_a_sound_tree)
{
	struct worker w[THREADS];
	uint64_t a, b;

	config.commit_ms = 20; /* commits go on meanwhile */
	reopen_fs(URL);
	a = make_dir(ROOT, "a");
	b = make_dir(ROOT, "b");
	for (unsigned n = 0; n < THREADS; n++) {
		w[n] = (struct worker){ .n = n, .dirs = { a, b } };
		ck_assert_int_eq(pthread_create(&w[n].thread, NULL, work, &w[n]), 0);
	}
	for (unsigned n = 0; n < THREADS; n++)
		pthread_join(w[n].thread, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("listing folders");
	TCase *t = tcase_create("listing");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_test(t, an_empty_folder_has_the_two_dots);
	tcase_add_test(t, a_hundred_thousand_names_come_once_each_while_others_come_and_go);
	tcase_add_test(t, a_folder_can_be_emptied_while_it_is_read);
	tcase_add_test(t, a_cookie_is_good_after_a_remount);
	tcase_add_test(t, threads_that_change_the_same_names_leave_a_sound_tree);
	suite_add_tcase(s, t);
	return run_suite(s);
}

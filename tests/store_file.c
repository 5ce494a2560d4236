/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file: stores: what is theirs alone. Other processes at the same objects, writers that are killed,
 * the folder and its permissions, links and files that are not ours, folders with many objects.
 */
#include "tests/store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define PROCESSES 8

static struct place here;

static void setup(void)
{
	here = (struct place){ .url = "" };
	make_folder(&here);
	here.store = open_place(&here);
}

static void teardown(void)
{
	store_unref(here.store);
	remove_folder(&here);
}

static const char *inside(const char *name)
{
	static char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", here.folder, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	int fd CLEANUP(close_fd) =
		open(inside(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(inside(name), &st) == 0;
}

/* ---- other processes ---- */

/* Runs fn in PROCESSES processes at once, each with a handle of its own; collects what they return,
 * 0 to 9. */
static void run_processes(int (*fn)(struct store *s, int number), int results[PROCESSES])
{
	pid_t pids[PROCESSES];
	int start[2];

	ck_assert_int_eq(pipe(start), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0) {
			struct store *s = NULL;
			char byte;

			(void)close(start[1]);
			if (store_open(here.url, NULL, &s) < 0 || read(start[0], &byte, 1) != 0)
				_exit(9);
			_exit(fn(s, i));
		}
	}
	(void)close(start[0]);
	(void)close(start[1]); /* now */
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFEXITED(status));
		results[i] = WEXITSTATUS(status);
		ck_assert_int_ne(results[i], 9);
	}
}

static int create_one(struct store *s, int number)
{
	char text[16];
	int err;

	(void)snprintf(text, sizeof(text), "%d", number);
	err = create_text(s, "chain/00000000000000000001", text);
	return err >= 0 ? 1 : err == -L3_PRECONDITION ? 0 : 9;
}

START_TEST(of_many_processes_creating_exactly_one_wins)
{
	for (int round = 0; round < 10; round++) {
		int results[PROCESSES], winners = 0;
		char text[16] = "";

		run_processes(create_one, results);
		for (int i = 0; i < PROCESSES; i++) {
			winners += results[i];
			if (results[i])
				(void)snprintf(text, sizeof(text), "%d", i);
		}
		ck_assert_int_eq(winners, 1);
		ck_text(here.store, "chain/00000000000000000001", text);
		ck_ok(store_remove(here.store, "chain/00000000000000000001"));
	}
}
END_TEST

static int count_twenty(struct store *s, int number)
{
	for (int i = 0; i < 20; i++)
		if (count_up(s, "counter") < 0)
			return 9;
	return 0;
}

START_TEST(a_counter_swapped_by_many_processes_loses_no_count)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	int results[PROCESSES];

	ck_ok(create_text(here.store, "counter", "0 start"));
	run_processes(count_twenty, results);
	ck_ok(store_get(here.store, "counter", 0, STORE_TO_END, &b, NULL));
	ck_assert_int_eq(atoi(buf_cstr(&b)), 20 * PROCESSES);
}
END_TEST

#define TURNS 300

/* The last turn that the object knows of. */
static int read_turn(struct store *s, struct store_meta *ret_meta)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	return store_get(s, "x", 0, STORE_TO_END, &b, ret_meta) < 0 ? -1 : atoi(buf_cstr(&b));
}

/* Process 0 writes the turns, plainly; the others swap all the time and keep the turn they found. A
 * swap that goes over a plain write brings the turn before it back. */
static int write_or_swap(struct store *s, int number)
{
	int turn = 0;

	while (turn < TURNS) {
		struct store_meta meta;
		char text[64];
		int err;

		turn = number ? read_turn(s, &meta) : turn + 1;
		if (turn < 0)
			return 9;
		(void)snprintf(text, sizeof(text), "%d %016llx", turn,
			       (unsigned long long)random_u64());
		err = number ? match_text(s, "x", text, meta.etag, NULL) : put_text(s, "x", text);
		if (err < 0 && err != -L3_PRECONDITION)
			return 9;
		if (number == 0 && read_turn(s, NULL) != turn) {
			(void)snprintf(text, sizeof(text), "%d", TURNS); /* the others may end */
			while (read_turn(s, NULL) < TURNS)
				(void)put_text(s, "x", text);
			return 1;
		}
	}
	return 0;
}

START_TEST(no_swap_of_any_process_goes_over_a_plain_write)
{
	int results[PROCESSES];

	ck_ok(create_text(here.store, "x", "0"));
	run_processes(write_or_swap, results);
	ck_assert_int_eq(results[0], 0);
	ck_assert_int_eq(read_turn(here.store, NULL), TURNS);
}
END_TEST

static void write_until_killed(int pipe_end)
{
	uint8_t *block = malloc(256 * KIB);
	struct store *s = NULL;
	char key[32];

	if (!block || store_open(here.url, NULL, &s) < 0)
		_exit(1);
	for (int i = 0;; i++) {
		memset(block, i, 256 * KIB);
		(void)snprintf(key, sizeof(key), "data/%06d", i);
		if (store_put_bytes(s, key, block, 256 * KIB, STORE_CREATE, NULL, NULL) < 0 ||
		    store_put_bytes(s, "same", block, 256 * KIB, STORE_ALWAYS, NULL, NULL) < 0 ||
		    write(pipe_end, "x", 1) != 1)
			_exit(1);
	}
}

static void ck_whole(const char *key)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_ok(store_get(here.store, key, 0, STORE_TO_END, &b, NULL));
	ck_assert_uint_eq(b.len, 256 * KIB);
	ck_assert(memcmp(b.data, b.data + 1, b.len - 1) == 0);
}

START_TEST(a_writer_killed_at_any_moment_leaves_whole_objects_and_all_it_was_sure_of)
{
	for (int round = 0; round < 5; round++) {
		struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
		int done[2], status;
		size_t sure = 0;
		char byte;
		pid_t pid;

		ck_assert_int_eq(pipe(done), 0);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			write_until_killed(done[1]);
		(void)close(done[1]);
		while (sure < (size_t)(3 + round) && read(done[0], &byte, 1) == 1)
			sure++;
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		while (read(done[0], &byte, 1) == 1)
			sure++;
		(void)close(done[0]);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status));

		ck_ok(store_list_all(here.store, "data/", NULL, &l));
		ck_assert_uint_ge(l.count, sure);
		for (size_t i = 0; i < l.count; i++) {
			ck_whole(l.entries[i].key);
			ck_ok(store_remove(here.store, l.entries[i].key));
		}
		ck_whole("same");
	}
}
END_TEST

/* ---- the folder ---- */

static void ck_open(int expected, const char *url, bool create, const char *hint)
{
	struct store_config config = { .create = create };
	struct store *s = NULL;

	ck_assert_msg(store_open(url, &config, &s) == expected, "%s: %s", url, err_last_note());
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(err_last_note(), hint), "%s", err_last_note());
}

START_TEST(only_a_folder_can_be_opened_and_a_hint_says_what_to_do)
{
	char url[PATH_MAX + 128];

	(void)snprintf(url, sizeof(url), "%s/missing", here.url);
	ck_open(-L3_NO_BUCKET, url, false, "create");
	(void)snprintf(url, sizeof(url), "%s/missing/deeper", here.url);
	ck_open(-L3_NO_BUCKET, url, true, "parent");
	write_file("plain", "x");
	(void)snprintf(url, sizeof(url), "%s/plain", here.url);
	ck_open(-L3_BAD_OPTION, url, true, "not a folder");
	ck_open(-L3_BAD_OPTION, "file://relative/path", true, "absolute");
	ck_open(-L3_BAD_OPTION, "file://", true, "absolute");
	ck_open(-L3_BAD_OPTION, "file:///", true, "below");
	ck_open(-L3_BAD_OPTION, "file:////", true, "below");
	ck_assert(!exists("missing"));
}
END_TEST

START_TEST(create_makes_the_folder_for_the_owner_only)
{
	struct place made = { .config = { .create = true } };
	struct store *s;
	struct stat st;

	(void)snprintf(made.url, sizeof(made.url), "%.4000s/new//", here.url);
	s = open_place(&made);
	ck_ok(put_text(s, "chain/1", "x"));
	store_unref(s);
	ck_assert_int_eq(stat(inside("new"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(inside("new/chain"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(inside("new/chain/1"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	made.config.create = false;
	s = open_place(&made);
	ck_text(s, "chain/1", "x");
	store_unref(s);
}
END_TEST

START_TEST(opening_alone_writes_nothing)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert_int_eq(store_get(here.store, "lease", 0, STORE_TO_END, &b, NULL), -ENOENT);
	ck_all_keys(here.store, NULL, "");
	ck_assert_int_eq(rmdir(here.folder), 0); /* still empty */
}
END_TEST

START_TEST(a_folder_deleted_meanwhile_is_not_taken_for_an_empty_store)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store_meta meta;

	ck_ok(put_text(here.store, "super", "x"));
	remove_folder(&here);
	ck_assert_int_eq(store_head(here.store, "super", &meta), -L3_NO_BUCKET);
	ck_assert_int_eq(store_list(here.store, "", NULL, 0, &l), -L3_NO_BUCKET);
	ck_assert_int_eq(create_text(here.store, "super", "y"), -L3_NO_BUCKET);
	ck_assert_int_eq(store_remove(here.store, "super"), -L3_NO_BUCKET);
}
END_TEST

START_TEST(the_store_keeps_its_own_files_out_of_sight)
{
	struct store_meta meta;

	ck_ok(store_put_bytes(here.store, "lease", "1", 1, STORE_CREATE, NULL, &meta));
	ck_ok(match_text(here.store, "lease", "2", meta.etag, NULL));
	ck_assert(exists(".lock"));
	ck_assert(exists(".tmp"));
	ck_all_keys(here.store, NULL, "lease");
	ck_all_keys(here.store, ".", "");
	ck_assert_int_eq(store_head(here.store, ".lock", &meta), -EINVAL);
	ck_assert_int_eq(put_text(here.store, ".tmp/x", "x"), -EINVAL);
	ck_assert_int_eq(store_remove(here.store, ".lock"), -EINVAL);
	ck_assert_int_eq(store_copy(here.store, "lease", ".lock"), -EINVAL);
	ck_ok(put_text(here.store, "deeper/.dots", "x"));
	ck_all_keys(here.store, NULL, "deeper/.dots lease");
}
END_TEST

START_TEST(failed_and_finished_writes_leave_no_temporary_files)
{
	struct store_meta meta;

	ck_ok(store_put_bytes(here.store, "lease", "1", 1, STORE_CREATE, NULL, &meta));
	ck_assert_int_eq(create_text(here.store, "lease", "2"), -L3_PRECONDITION);
	ck_ok(match_text(here.store, "lease", "2", meta.etag, NULL));
	ck_assert_int_eq(match_text(here.store, "lease", "3", meta.etag, NULL), -L3_PRECONDITION);
	ck_ok(put_text(here.store, "lease", "4"));
	ck_ok(store_copy(here.store, "lease", "copy"));
	ck_assert_int_eq(put_text(here.store, "lease/below", "x"), -EINVAL);
	ck_assert_int_eq(rmdir(inside(".tmp")), 0); /* it is empty */
}
END_TEST

START_TEST(opening_cleans_up_what_writers_left_long_ago)
{
	const struct timespec old[2] = { { .tv_sec = time(NULL) - 7200 },
					 { .tv_sec = time(NULL) - 7200 } };
	struct store *s;

	ck_ok(put_text(here.store, "x", "x"));
	write_file(".tmp/1-old", "half an ob");
	write_file(".tmp/2-young", "half an ob");
	ck_assert_int_eq(utimensat(AT_FDCWD, inside(".tmp/1-old"), old, 0), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, inside("x"), old, 0), 0);
	s = open_place(&here);
	ck_assert(!exists(".tmp/1-old"));
	ck_assert(exists(".tmp/2-young"));
	ck_text(s, "x", "x");
	store_unref(s);
}
END_TEST

/* ---- objects ---- */

START_TEST(symbolic_links_are_not_followed)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct place outside = { .url = "" };
	char secret[PATH_MAX];
	struct stat st;

	make_folder(&outside);
	(void)snprintf(secret, sizeof(secret), "%.4000s/secret", outside.folder);
	outside.store = open_place(&outside);
	ck_ok(put_text(outside.store, "secret", "secret"));
	ck_assert_int_eq(symlink(secret, inside("leaf")), 0);
	ck_assert_int_eq(symlink(outside.folder, inside("dir")), 0);

	ck_assert_int_eq(store_get(here.store, "leaf", 0, STORE_TO_END, &b, NULL), -L3_DENIED);
	ck_assert_int_eq(store_get(here.store, "dir/secret", 0, STORE_TO_END, &b, NULL),
			 -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "symbolic link"));
	ck_assert_int_eq(put_text(here.store, "dir/new", "x"), -L3_DENIED);
	ck_assert_int_eq(create_text(here.store, "dir/sub/new", "x"), -L3_DENIED);
	ck_assert_int_eq(store_remove(here.store, "dir/secret"), -L3_DENIED);
	ck_assert_int_eq(create_text(here.store, "leaf", "x"), -L3_PRECONDITION);
	ck_all_keys(here.store, NULL, "");
	ck_ok(put_text(here.store, "leaf", "ours")); /* replaces the link, not what it points to */
	ck_text(here.store, "leaf", "ours");
	ck_text(outside.store, "secret", "secret");
	ck_all_keys(outside.store, NULL, "secret");
	ck_assert_int_eq(lstat(inside("dir"), &st), 0);
	store_unref(outside.store);
	remove_folder(&outside);
}
END_TEST

START_TEST(an_object_and_others_below_its_key_are_refused_for_good)
{
	struct store_meta meta;

	ck_ok(put_text(here.store, "a", "object"));
	ck_assert_int_eq(put_text(here.store, "a/b", "x"), -EINVAL);
	ck_assert_int_eq(create_text(here.store, "a/b/c", "x"), -EINVAL);
	ck_assert_int_eq(match_text(here.store, "a/b", "x", "etag", NULL), -L3_PRECONDITION);
	ck_ok(put_text(here.store, "d/e", "object"));
	ck_assert_int_eq(put_text(here.store, "d", "x"), -EINVAL);
	ck_assert_int_eq(create_text(here.store, "d", "x"), -EINVAL);
	ck_assert_int_eq(store_head(here.store, "d", &meta), -ENOENT);
	ck_ok(store_remove(here.store, "d")); /* no object of that name */
	ck_all_keys(here.store, NULL, "a d/e");
}
END_TEST

START_TEST(a_part_of_a_key_too_long_for_a_file_name_is_refused_for_good)
{
	char key[400];
	struct store_meta meta;

	memset(key, 'n', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	ck_assert_int_eq(create_text(here.store, key, "x"), -EINVAL);
	ck_assert_int_eq(store_head(here.store, key, &meta), -ENOENT);
	ck_ok(store_remove(here.store, key));
	key[300] = '/';
	ck_assert_int_eq(put_text(here.store, key, "x"), -EINVAL);
	ck_assert_int_eq(store_head(here.store, key, &meta), -ENOENT);
	ck_ok(store_remove(here.store, key));
}
END_TEST

START_TEST(large_objects_replaced_by_the_same_bytes_have_new_etags)
{
	const size_t len = 2 * MIB;
	uint8_t *bytes CLEANUP(free_ptr) = calloc(1, len);
	struct store_meta metas[30];

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < ARRAY_LEN(metas); i++) {
		ck_ok(store_put_bytes(here.store, "big", bytes, len, STORE_ALWAYS, NULL,
				      &metas[i]));
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(metas[i].etag, metas[k].etag);
	}
	ck_assert_int_eq(
		store_put_bytes(here.store, "big", bytes, len, STORE_MATCH, metas[0].etag, NULL),
		-L3_PRECONDITION);
	ck_ok(store_put_bytes(here.store, "big", bytes, len, STORE_MATCH, metas[29].etag, NULL));
}
END_TEST

START_TEST(files_that_are_no_objects_are_left_alone)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert_int_eq(mkfifo(inside("fifo"), 0600), 0);
	ck_assert_int_eq(mkdir(inside("empty"), 0700), 0);
	ck_all_keys(here.store, NULL, "");
	ck_assert_int_eq(store_get(here.store, "fifo", 0, STORE_TO_END, &b, NULL), -ENOENT);
	ck_assert_int_eq(store_get(here.store, "empty", 0, STORE_TO_END, &b, NULL), -ENOENT);
	ck_assert_int_eq(store_get(here.store, "fifo/x", 0, STORE_TO_END, &b, NULL), -ENOENT);
}
END_TEST

#define CROWD 25000

START_TEST(a_folder_of_many_thousand_objects_is_listed_whole_and_in_order)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	char name[32];

	ck_assert_int_eq(mkdir(inside("data"), 0700), 0);
	for (int i = 0; i < CROWD; i++) {
		/* Objects are plain files; without a sync for each this is quick. */
		(void)snprintf(name, sizeof(name), "data/%010d", i * 7919 % CROWD);
		write_file(name, "");
	}
	ck_ok(store_list(here.store, "data/", NULL, 0, &l));
	ck_assert(l.more);
	store_list_release(&l);
	ck_ok(store_list_all(here.store, "data/", NULL, &l));
	ck_assert_uint_eq(l.count, CROWD);
	for (int i = 0; i < CROWD; i++) {
		(void)snprintf(name, sizeof(name), "data/%010d", i);
		ck_assert_str_eq(l.entries[i].key, name);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store: folders");
	TCase *t = tcase_create("processes");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, of_many_processes_creating_exactly_one_wins);
	tcase_add_test(t, a_counter_swapped_by_many_processes_loses_no_count);
	tcase_add_test(t, no_swap_of_any_process_goes_over_a_plain_write);
	tcase_add_test(t,
		       a_writer_killed_at_any_moment_leaves_whole_objects_and_all_it_was_sure_of);
	suite_add_tcase(s, t);
	t = tcase_create("the folder");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, only_a_folder_can_be_opened_and_a_hint_says_what_to_do);
	tcase_add_test(t, create_makes_the_folder_for_the_owner_only);
	tcase_add_test(t, opening_alone_writes_nothing);
	tcase_add_test(t, a_folder_deleted_meanwhile_is_not_taken_for_an_empty_store);
	tcase_add_test(t, the_store_keeps_its_own_files_out_of_sight);
	tcase_add_test(t, failed_and_finished_writes_leave_no_temporary_files);
	tcase_add_test(t, opening_cleans_up_what_writers_left_long_ago);
	suite_add_tcase(s, t);
	t = tcase_create("objects");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, symbolic_links_are_not_followed);
	tcase_add_test(t, an_object_and_others_below_its_key_are_refused_for_good);
	tcase_add_test(t, a_part_of_a_key_too_long_for_a_file_name_is_refused_for_good);
	tcase_add_test(t, large_objects_replaced_by_the_same_bytes_have_new_etags);
	tcase_add_test(t, files_that_are_no_objects_are_left_alone);
	tcase_add_test(t, a_folder_of_many_thousand_objects_is_listed_whole_and_in_order);
	suite_add_tcase(s, t);
	return run_suite(s);
}

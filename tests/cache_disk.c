/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cache: the disk tier. It outlives the process, keeps to its size, and whatever happens to its
 * files, readers get the right bytes.
 */
#include "tests/cache_fixture.h"
#include "cache/internal.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define OBJECT_BYTES (600 * KIB)

static void setup(void)
{
	setup_disk();
	make_object(1, OBJECT_BYTES);
	make_object(2, OBJECT_BYTES);
}

static void next_half_minute(void)
{
	__atomic_add_fetch(&fx.now_ns, UINT64_C(31000000000), __ATOMIC_SEQ_CST);
}

/* ---- outliving ---- */

START_TEST(pieces_outlive_a_restart)
{
	read_range(1, 1000, 5000);
	ck_assert_int_eq(try_read(2, 300000, 10, 0, MIB), 0);
	insert(3, 0, 400 * KIB, true);
	reopen_cache();
	ck_assert_uint_eq(gets(), 2);
	read_range(1, 1000, 5000);
	read_range(1, 2000, 17);
	read_range(2, 0, OBJECT_BYTES);
	read_range(3, 100, 300 * KIB);
	ck_assert_uint_eq(gets(), 2);
	ck_assert_uint_ge(stats().hits_disk, 4);
	ck_assert_uint_eq(stats().corrupt, 0);
	ck_assert(!has(1, 0, 1));
	ck_assert(!has(1, 6000, 1));
}
END_TEST

START_TEST(what_the_disk_gives_is_kept_in_memory)
{
	insert(1, 0, OBJECT_BYTES, true);
	close_cache();
	fx.config.mem_bytes = 4 * MIB;
	open_cache();
	read_range(1, 0, 100);
	ck_assert_uint_eq(stats().hits_disk, 1);
	read_range(1, 100, 1000);
	ck_assert_uint_eq(stats().hits_disk, 1);
	ck_assert_uint_eq(stats().hits_mem, 1);
	ck_assert_uint_eq(gets(), 0);
}
END_TEST

START_TEST(memory_and_disk_together_make_up_a_read)
{
	close_cache();
	fx.config.mem_bytes = 4 * MIB;
	open_cache();
	insert(1, 0, PIECE, true);
	read_range(1, PIECE, PIECE);
	insert(1, 2 * PIECE, PIECE, true);
	close_cache();
	open_cache();
	read_range(1, PIECE, PIECE);
	read_range(1, 0, 3 * PIECE);
	ck_assert(has(1, 10, 3 * PIECE - 20));
	ck_assert_uint_eq(gets(), 1);
}
END_TEST

START_TEST(forgotten_objects_leave_no_files)
{
	char key[32];

	insert(1, 0, OBJECT_BYTES, true);
	insert(2, 0, OBJECT_BYTES, true);
	cache_forget(fx.c, key_of(1, key));
	ck_assert_uint_eq(list_files(NULL, 0), 2);
	ck_assert_uint_eq(stats().bytes_disk, du());
	cache_forget(fx.c, key_of(1, key));
	reopen_cache();
	cache_forget(fx.c, key_of(2, key)); /* not looked at since the start */
	ck_assert_uint_eq(list_files(NULL, 0), 0);
	ck_assert_uint_eq(stats().bytes_disk, 0);
}
END_TEST

START_TEST(what_is_distrusted_does_not_come_back_after_a_restart)
{
	char key[32];

	insert(1, 0, OBJECT_BYTES, true);
	cache_distrust(fx.c, key_of(1, key), 1000, 1);
	reopen_cache();
	ck_assert(!has(1, 1000, 1));
	read_range(1, 1000, 1);
	ck_assert_uint_eq(gets(), 1);
}
END_TEST

START_TEST(pieces_over_each_other_give_the_right_bytes_after_a_restart)
{
	srand(4711);
	for (int i = 0; i < 400; i++) {
		uint64_t offset = (uint64_t)rand() % (OBJECT_BYTES - 1);
		size_t len = 1 + (size_t)rand() %
					 min_u64(rand() % 3 ? 3000 : 200000, OBJECT_BYTES - offset);

		insert(1, offset, len, true);
		ck_assert(has(1, offset, len));
		if (i % 40 == 39)
			reopen_cache();
		ck_assert(has(1, offset, len));
		read_range(1, offset, len);
	}
	ck_assert_uint_eq(gets(), 0);
	ck_assert_uint_eq(stats().corrupt, 0);
}
END_TEST

START_TEST(filesystems_share_a_folder_without_seeing_each_other)
{
	insert(1, 0, 1000, true);
	close_cache();
	fx.config.fs.bytes[0] = 99;
	open_cache();
	ck_assert(!has(1, 0, 1));
	insert(2, 0, 1000, true);
	close_cache();
	fx.config.fs.bytes[0] = 1;
	open_cache();
	ck_assert(has(1, 0, 1000));
	ck_assert(!has(2, 0, 1));
}
END_TEST

/* ---- its size ---- */

START_TEST(the_disk_never_exceeds_its_cap)
{
	close_cache();
	fx.config.disk_bytes = 2 * MIB;
	open_cache();
	for (unsigned o = 10; o < 40; o++) {
		for (unsigned i = 0; i < 8; i++) {
			insert(o, i * 100000 + o, 50000 + i, true);
			ck_assert_uint_le(du(), 2 * MIB);
		}
		ck_assert_uint_eq(stats().bytes_disk, du());
		ck_assert(has(o, 700000 + o, 50000));
	}
	ck_assert_uint_ge(du(), MIB);
	ck_assert_uint_gt(stats().evicted_objects, 20);
	/* An object alone larger than the cap is kept in part. */
	insert(50, 0, 4 * MIB, true);
	ck_assert_uint_le(du(), 2 * MIB);
	ck_assert(has(50, 0, MIB));
	/* A smaller cap at the next start counts at once. */
	close_cache();
	fx.config.disk_bytes = MIB;
	open_cache();
	ck_assert_uint_le(du(), MIB);
	ck_assert_uint_eq(stats().bytes_disk, du());
	ck_assert_uint_eq(warnings(), 0);
}
END_TEST

START_TEST(the_least_recently_used_objects_go_first)
{
	close_cache();
	fx.config.disk_bytes = 4 * 300 * KIB;
	open_cache();
	for (unsigned o = 10; o < 13; o++)
		insert(o, 0, 280 * KIB, true);
	read_range(10, 0, 1000);
	insert(13, 0, 280 * KIB, true);
	insert(14, 0, 280 * KIB, true);
	ck_assert(has(10, 0, 1000));
	ck_assert(!has(11, 0, 1000));
	ck_assert(has(14, 0, 1000));
}
END_TEST

static void set_age(unsigned days)
{
	char command[200];

	(void)snprintf(command, sizeof(command),
		       "find %s -name '*.i' -newermt '1 day ago' -exec touch -d '%u days ago' {} +",
		       fx.dir, days);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(the_order_of_use_outlives_a_restart)
{
	for (unsigned o = 10; o < 13; o++) {
		insert(o, 0, 280 * KIB, true);
		set_age(30 - o);
	}
	next_half_minute();
	next_half_minute();
	read_range(10, 0, 1000); /* the oldest by its birth */
	close_cache();
	fx.config.disk_bytes = 2 * 300 * KIB;
	open_cache();
	ck_assert(has(10, 0, 1000));
	ck_assert(!has(11, 0, 1000));
	ck_assert(has(12, 0, 1000));
	ck_assert_uint_eq(gets(), 0);
}
END_TEST

START_TEST(a_part_of_the_disk_is_taken_where_no_size_is_said)
{
	struct statvfs v;

	close_cache();
	fx.config.disk_bytes = 0;
	fx.config.disk_percent = 10;
	open_cache();
	ck_assert_int_eq(statvfs(fx.dir, &v), 0);
	ck_assert_uint_eq(stats().limit_disk,
			  max_u64((uint64_t)v.f_blocks * v.f_frsize / 10, 16 * MIB));
	insert(1, 0, 1000, true);
	ck_assert_uint_gt(du(), 0);
}
END_TEST

START_TEST(a_twentieth_of_the_disk_is_left_to_others_by_itself)
{
	static const struct {
		uint64_t disk, limit, min_free;
	} cases[] = {
		{ 0, 16 * MIB, GIB },
		{ 8 * MIB, 16 * MIB, GIB },
		{ 10 * GIB, GIB, GIB },
		{ 100 * GIB, 10 * GIB, 5 * GIB },
		{ 20000 * GIB, 2000 * GIB, 50 * GIB },
	};
	struct cache_config config = { .disk_percent = 10 };
	uint64_t limit, min_free;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		disk_limits(&config, cases[i].disk, &limit, &min_free);
		ck_assert_uint_eq(limit, cases[i].limit);
		ck_assert_uint_eq(min_free, cases[i].min_free);
	}
	config.disk_bytes = MIB;
	config.min_free_bytes = 1;
	disk_limits(&config, 10 * GIB, &limit, &min_free);
	ck_assert_uint_eq(limit, MIB);
	ck_assert_uint_eq(min_free, 1);
}
END_TEST

START_TEST(as_much_of_the_disk_as_asked_is_left_to_others)
{
	insert(1, 0, OBJECT_BYTES, true);
	close_cache();
	fx.config.min_free_bytes = UINT64_MAX / 4;
	open_cache();
	ck_assert_uint_eq(du(), 0);
	read_range(1, 0, 1000);
	insert(2, 0, 1000, true);
	ck_assert_uint_eq(du(), 0);
}
END_TEST

START_TEST(thousands_of_objects_open_without_reading_their_indexes)
{
	close_cache();
	fx.config.disk_bytes = GIB;
	open_cache();
	for (unsigned o = 100; o < 2100; o++)
		insert(o, 0, 100, true);
	reopen_cache();
	ck_assert_uint_eq(stats().bytes_disk, du());
	for (unsigned o = 100; o < 2100; o += 100)
		read_range(o, 0, 100);
	ck_assert_uint_eq(gets(), 0);
}
END_TEST

/* ---- damage ---- */

static void flip(const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 0x04;
	ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* Two small pieces with a hole between them. */
static void keep_small_object(void)
{
	insert(1, 0, 200, true);
	insert(1, 400, 200, true);
}

static void check_damaged(uint64_t *refetched)
{
	uint64_t before = gets();

	open_cache();
	read_range(1, 0, 200);
	read_range(1, 400, 200);
	*refetched += gets() - before;
	reopen_cache(); /* what was fetched again is there for good */
	before = gets();
	read_range(1, 0, 200);
	read_range(1, 400, 200);
	ck_assert_uint_le(gets() - before, 1);
}

START_TEST(any_byte_changed_in_any_file_costs_a_fetch_and_never_wrong_bytes)
{
	struct one_file files[2];
	char key[32];

	for (unsigned f = 0; f < 2; f++) {
		uint64_t size = 1;

		for (uint64_t at = 0; at < size; at++) {
			uint64_t refetched = 0;

			keep_small_object();
			close_cache();
			ck_assert_uint_eq(list_files(files, 2), 2);
			size = files[f].size;
			flip(files[f].path, at);
			check_damaged(&refetched);
			/* All bytes count but those of the hole. */
			if (files[f].path[strlen(files[f].path) - 1] == 'i' || at < 200 ||
			    at >= 400)
				ck_assert_uint_ge(refetched, 1);
			cache_forget(fx.c, key_of(1, key));
		}
	}
}
END_TEST

START_TEST(files_cut_short_cost_a_fetch_and_never_wrong_bytes)
{
	struct one_file files[2];
	char key[32];

	for (unsigned f = 0; f < 2; f++) {
		uint64_t size = 1;

		for (uint64_t len = 0; len < size; len += 7) {
			uint64_t refetched = 0;

			keep_small_object();
			close_cache();
			ck_assert_uint_eq(list_files(files, 2), 2);
			size = files[f].size;
			ck_assert_int_eq(truncate(files[f].path, (off_t)len), 0);
			check_damaged(&refetched);
			ck_assert_uint_ge(refetched, 1);
			cache_forget(fx.c, key_of(1, key));
		}
	}
}
END_TEST

START_TEST(a_piece_damaged_while_in_use_is_noticed)
{
	struct one_file files[2];

	insert(1, 0, OBJECT_BYTES, true);
	read_range(1, 0, OBJECT_BYTES);
	ck_assert_uint_eq(list_files(files, 2), 2);
	for (unsigned f = 0; f < 2; f++)
		if (files[f].path[strlen(files[f].path) - 1] == 'd')
			flip(files[f].path, 300000);
	read_range(1, 299999, 2);
	ck_assert_uint_eq(gets(), 1);
	ck_assert_uint_eq(stats().corrupt, 1);
	read_range(1, 0, 200000); /* the other pieces are as good as before */
	ck_assert_uint_eq(gets(), 1);
}
END_TEST

START_TEST(an_index_of_another_object_is_not_believed)
{
	struct one_file before[2], files[4];
	char command[2048];

	insert(1, 0, 1000, true);
	ck_assert_uint_eq(list_files(before, 2), 2);
	insert(2, 0, 1000, true);
	close_cache();
	ck_assert_uint_eq(list_files(files, 4), 4);
	for (unsigned i = 0; i < 4; i++) {
		size_t n = strlen(files[i].path);
		const struct one_file *from =
			&before[before[0].path[n - 1] == files[i].path[n - 1] ? 0 : 1];

		if (strcmp(from->path, files[i].path) == 0)
			continue;
		(void)snprintf(command, sizeof(command), "cp %s %s", from->path, files[i].path);
		ck_assert_int_eq(system(command), 0);
	}
	open_cache();
	read_range(2, 0, 1000);
	read_range(1, 0, 1000);
	ck_assert_uint_eq(gets(), 1);
}
END_TEST

START_TEST(half_an_object_and_strange_files_are_handled_at_the_start)
{
	struct one_file files[4];
	char command[600];

	insert(1, 0, 1000, true);
	insert(2, 0, 1000, true);
	close_cache();
	ck_assert_uint_eq(list_files(files, 4), 4);
	ck_assert_int_eq(unlink(files[0].path), 0);
	(void)snprintf(command, sizeof(command), "touch $(dirname %s)/letter", files[1].path);
	ck_assert_int_eq(system(command), 0);
	open_cache();
	ck_assert_uint_eq(list_files(NULL, 0), 2);
	ck_assert_uint_eq(stats().bytes_disk, du());
	read_range(1, 0, 1000);
	read_range(2, 0, 1000);
	ck_assert_uint_eq(gets(), 1);
	(void)snprintf(command, sizeof(command), "test -e $(dirname %s)/letter", files[1].path);
	ck_assert_int_eq(system(command), 0); /* not ours: left alone */
}
END_TEST

/* ---- removed while in use ---- */

START_TEST(single_files_may_be_removed_at_any_time)
{
	for (unsigned f = 0; f < 2; f++) {
		struct one_file files[2];

		insert(1, 0, OBJECT_BYTES, true);
		ck_assert_uint_eq(list_files(files, 2), 2);
		ck_assert_int_eq(unlink(files[f].path), 0);
		insert(1, 0, OBJECT_BYTES, true); /* believed to be there, or found out */
		read_range(1, 0, OBJECT_BYTES);
		reopen_cache();
		read_range(1, 0, OBJECT_BYTES);
		reopen_cache();
	}
	ck_assert_uint_eq(stats().bytes_disk, du());
	ck_assert_uint_eq(warnings(), 0);
}
END_TEST

START_TEST(the_whole_folder_may_be_removed_and_is_made_again)
{
	insert(1, 0, OBJECT_BYTES, true);
	read_range(1, 0, 1000);
	run("rm -rf");
	read_range(1, 0, 1000);
	ck_assert_uint_eq(gets(), 1);
	/* Writes are lost while it is found out and mended; life goes on. */
	do
		insert(12, 0, 1000, true);
	while (!has(12, 0, 1000));
	ck_assert_uint_gt(list_files(NULL, 0), 0);
	reopen_cache();
	ck_assert(has(12, 0, 1000));
	ck_assert_uint_eq(stats().bytes_disk, du());
	ck_assert_uint_eq(warnings(), 0);
}
END_TEST

START_TEST(a_folder_taken_by_another_while_away_is_left_to_it)
{
	char uuid[UUID_STR_LEN], path[200];
	int fd;

	insert(1, 0, 1000, true);
	run("rm -rf");
	uuid_format(&fx.config.fs, uuid);
	ck_assert_int_eq(mkdir(fx.dir, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", fx.dir, uuid);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%s/lock", fx.dir, uuid);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	for (unsigned o = 10; o < 13; o++)
		insert(o, 0, 1000, true);
	ck_assert_uint_eq(list_files(NULL, 0), 0);
	ck_assert_uint_eq(warnings(), 1);
	read_range(1, 0, 1000);
	close(fd);
	next_half_minute();
	/* The other is gone. What was read may be on its way to the disk just now, and find that out. */
	do
		insert(11, 0, 1000, true);
	while (!has(11, 0, 1000));
	while (infos() == 0)
		sched_yield();
	ck_assert_uint_eq(warnings(), 1);
	ck_assert_uint_eq(infos(), 1);
}
END_TEST

/* ---- folders that must not be used ---- */

static void refused(int want, const char *word)
{
	struct cache *c = NULL;

	ck_assert_int_eq(cache_open(&fx.config, &c), want);
	ck_assert_ptr_null(c);
	ck_assert_msg(strstr(err_last_note(), word) && strstr(err_last_note(), "/tmp/cache-test-"),
		      "%s", err_last_note());
}

START_TEST(a_folder_that_others_can_write_is_refused)
{
	close_cache();
	ck_assert_int_eq(chmod(fx.dir, 0777), 0);
	refused(-EPERM, "can be written by others");
	ck_assert_int_eq(chmod(fx.dir, 0770), 0);
	refused(-EPERM, "can be written by others");
	ck_assert_int_eq(chmod(fx.dir, 0755), 0);
	open_cache();
	close_cache();
	run("chmod -R go+w");
	ck_assert_int_eq(chmod(fx.dir, 0700), 0);
	refused(-EPERM, "can be written by others"); /* the one below */
	run("chmod -R go-w");
	open_cache();
}
END_TEST

START_TEST(a_link_or_a_file_instead_of_a_folder_is_refused)
{
	char link[80];

	close_cache();
	(void)snprintf(link, sizeof(link), "%s.link", fx.dir);
	ck_assert_int_eq(symlink(fx.dir, link), 0);
	fx.config.dir = link;
	refused(-ENOTDIR, "is a link");
	(void)snprintf(link, sizeof(link), "%s.link/", fx.dir); /* a slash would have it followed */
	refused(-ENOTDIR, "is a link");
	(void)snprintf(link, sizeof(link), "%s.link", fx.dir);
	ck_assert_int_eq(unlink(link), 0);
	close(open(link, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	refused(-ENOTDIR, "no folder");
	ck_assert_int_eq(unlink(link), 0);
	(void)snprintf(link, sizeof(link), "%s.link/too/deep", fx.dir);
	refused(-ENOENT, "cannot make");
	fx.config.dir = fx.dir;
	open_cache();
}
END_TEST

START_TEST(a_folder_of_another_user_is_refused)
{
	close_cache();
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(fx.dir, 12345, (gid_t)-1), 0);
		refused(-EPERM, "belongs to user 12345");
		ck_assert_int_eq(chown(fx.dir, 0, (gid_t)-1), 0);
	} else {
		ck_assert_int_eq(chmod(fx.dir, 0500), 0);
		refused(-EACCES, "not writable");
		ck_assert_int_eq(chmod(fx.dir, 0700), 0);
	}
	open_cache();
}
END_TEST

START_TEST(links_in_place_of_files_are_not_followed)
{
	struct one_file files[2];
	char victim[80], text[8] = { 0 };
	int fd;

	insert(1, 0, 1000, true);
	close_cache();
	(void)snprintf(victim, sizeof(victim), "%s/victim", fx.dir);
	fd = open(victim, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, "mine", 4), 4);
	ck_assert_uint_eq(list_files(files, 2), 2);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(unlink(files[i].path), 0);
		ck_assert_int_eq(symlink(victim, files[i].path), 0);
	}
	open_cache();
	read_range(1, 0, 1000);
	insert(1, 2000, 1000, true);
	ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 4);
	ck_assert_str_eq(text, "mine");
	close(fd);
}
END_TEST

START_TEST(files_and_folders_are_for_the_owner_only)
{
	char command[300];

	insert(1, 0, 1000, true);
	run("rm -rf");
	close_cache();
	(void)umask(0);
	open_cache();
	insert(1, 0, 1000, true);
	(void)snprintf(command, sizeof(command), "test -z \"$(find %s -perm /077)\"", fx.dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(a_second_process_runs_with_memory_only)
{
	struct cache *second = NULL;
	struct cache_config config = fx.config;
	uint8_t got[100];
	char key[32];

	insert(1, 0, 1000, true);
	config.mem_bytes = MIB;
	ck_assert_int_eq(cache_open(&config, &second), 0);
	ck_assert_uint_eq(warnings(), 1);
	ck_assert_ptr_nonnull(strstr(fx.last_warning, "another process"));
	ck_assert(!cache_has(second, key_of(1, key), 0, 100));
	ck_assert_int_eq(cache_read(second, key, 0, 100, got, 0, 0), 0);
	ck_assert(cache_has(second, key, 0, 100));
	cache_close(second);
	ck_assert(has(1, 0, 1000));
}
END_TEST

/* ---- a disk that does not do its part ---- */

START_TEST(a_write_that_fails_is_told_once_and_the_disk_is_tried_again_later)
{
	struct rlimit small = { 64 * KIB, RLIM_INFINITY }, before;

	(void)signal(SIGXFSZ, SIG_IGN);
	insert(1, 0, 1000, true);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	read_range(2, 100000, 100000);
	for (int i = 0; i < 3; i++) {
		insert(2, 100000, 100000, true);
		next_half_minute();
		insert(2, 100000, 100000, true);
		insert(3, 0, 1000, true); /* left alone for a while */
		ck_assert(!has(3, 0, 1));
	}
	ck_assert_uint_eq(warnings(), 1);
	ck_assert_ptr_nonnull(strstr(fx.last_warning, fx.dir));
	ck_assert_uint_gt(stats().bypassed, 0);
	read_range(1, 0, 1000); /* what is there still serves */
	read_range(2, 100000, 100000);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	next_half_minute();
	insert(2, 100000, 100000, true);
	ck_assert(has(2, 100000, 100000));
	ck_assert_uint_eq(infos(), 1);
	ck_assert_uint_eq(warnings(), 1);
	ck_assert_uint_eq(stats().bytes_disk, du());
}
END_TEST

START_TEST(out_of_descriptors_nothing_on_the_disk_is_given_up)
{
	struct rlimit before, none;

	insert(1, 0, PIECE, true);
	reopen_cache();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	read_range(1, 0, PIECE); /* from the store, which is in memory */
	insert(1, PIECE, PIECE, true);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_uint_eq(gets(), 1);
	ck_assert_uint_eq(list_files(NULL, 0), 2);
	reopen_cache();
	read_range(1, 0, PIECE);
	ck_assert_uint_eq(gets(), 1);
	ck_assert_uint_eq(stats().corrupt, 0);
}
END_TEST

static void *read_many_times(void *arg)
{
	for (int i = 0; i < 50; i++)
		read_range((unsigned)(uintptr_t)arg, 0, OBJECT_BYTES);
	return NULL;
}

START_TEST(out_of_descriptors_what_is_on_the_disk_is_read_from_there)
{
	struct rlimit before, few = { .rlim_cur = 64 };
	pthread_t threads[8];
	int taken[64], count = 0;

	insert(1, 0, OBJECT_BYTES, true);
	insert(2, 0, OBJECT_BYTES, true);
	reopen_cache(); /* the indexes have to be read, too */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (count < 64 && (taken[count] = dup(0)) >= 0)
		count++;
	for (uintptr_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, read_many_times, (void *)(i % 2 + 1)), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_lt(dup(0), 0); /* there was none all the time */
	while (count > 0)
		(void)close(taken[--count]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_uint_eq(gets(), 0);
}
END_TEST

START_TEST(out_of_descriptors_what_comes_is_kept_on_the_disk)
{
	struct rlimit before, few = { .rlim_cur = 64 };
	int taken[64], count = 0;

	insert(1, 0, PIECE, true);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (count < 64 && (taken[count] = dup(0)) >= 0)
		count++;
	insert(1, PIECE, OBJECT_BYTES - PIECE, true); /* to a file that is there */
	insert(2, 0, OBJECT_BYTES, true);	      /* to a new one */
	read_range(1, 0, OBJECT_BYTES);
	read_range(2, 0, OBJECT_BYTES);
	ck_assert_int_lt(dup(0), 0); /* there was none all the time */
	while (count > 0)
		(void)close(taken[--count]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	reopen_cache();
	read_range(1, 0, OBJECT_BYTES);
	read_range(2, 0, OBJECT_BYTES);
	ck_assert_uint_eq(gets(), 0);
	ck_assert_uint_eq(stats().bypassed, 0);
}
END_TEST

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The spare ones are filled up while others are lent. */
START_TEST(descriptors_that_come_and_go_are_neither_lost_nor_kept)
{
	struct rlimit before, few = { .rlim_cur = 64 };
	unsigned opened = open_descriptors();
	pthread_t threads[8];
	int taken[64], count = 0;

	insert(1, 0, OBJECT_BYTES, true);
	insert(2, 0, OBJECT_BYTES, true);
	reopen_cache();
	ck_assert_uint_eq(open_descriptors(), opened);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (uintptr_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, read_many_times, (void *)(i % 2 + 1)), 0);
	for (int i = 0; i < 300; i++) {
		while (count < 64 && (taken[count] = dup(0)) >= 0)
			count++;
		sched_yield();
		while (count > 0)
			(void)close(taken[--count]);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	reopen_cache(); /* what was on its way to the disk has arrived */
	read_range(1, 0, OBJECT_BYTES);
	ck_assert_uint_eq(open_descriptors(), opened);
}
END_TEST

START_TEST(a_full_disk_is_no_error_for_readers)
{
	close_cache();
	if (geteuid() != 0 || mount("none", fx.dir, "tmpfs", 0, "size=1m,mode=0700") < 0) {
		open_cache();
		return; /* needs a file system of its own; RLIMIT_FSIZE stands in above */
	}
	open_cache();
	for (unsigned o = 10; o < 16; o++) {
		make_object(o, OBJECT_BYTES);
		for (int i = 0; i < 2; i++)
			read_range(o, 0, OBJECT_BYTES);
		insert(o, 0, OBJECT_BYTES, true);
		next_half_minute();
	}
	reopen_cache();
	for (unsigned o = 10; o < 16; o++)
		read_range(o, 0, OBJECT_BYTES);
	close_cache();
	ck_assert_int_eq(umount(fx.dir), 0);
	open_cache();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cache: the disk tier");
	TCase *t = tcase_create("disk");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 240);
	tcase_add_test(t, pieces_outlive_a_restart);
	tcase_add_test(t, what_the_disk_gives_is_kept_in_memory);
	tcase_add_test(t, memory_and_disk_together_make_up_a_read);
	tcase_add_test(t, forgotten_objects_leave_no_files);
	tcase_add_test(t, what_is_distrusted_does_not_come_back_after_a_restart);
	tcase_add_test(t, pieces_over_each_other_give_the_right_bytes_after_a_restart);
	tcase_add_test(t, filesystems_share_a_folder_without_seeing_each_other);
	tcase_add_test(t, the_disk_never_exceeds_its_cap);
	tcase_add_test(t, the_least_recently_used_objects_go_first);
	tcase_add_test(t, the_order_of_use_outlives_a_restart);
	tcase_add_test(t, a_part_of_the_disk_is_taken_where_no_size_is_said);
	tcase_add_test(t, a_twentieth_of_the_disk_is_left_to_others_by_itself);
	tcase_add_test(t, as_much_of_the_disk_as_asked_is_left_to_others);
	tcase_add_test(t, thousands_of_objects_open_without_reading_their_indexes);
	tcase_add_test(t, any_byte_changed_in_any_file_costs_a_fetch_and_never_wrong_bytes);
	tcase_add_test(t, files_cut_short_cost_a_fetch_and_never_wrong_bytes);
	tcase_add_test(t, a_piece_damaged_while_in_use_is_noticed);
	tcase_add_test(t, an_index_of_another_object_is_not_believed);
	tcase_add_test(t, half_an_object_and_strange_files_are_handled_at_the_start);
	tcase_add_test(t, single_files_may_be_removed_at_any_time);
	tcase_add_test(t, the_whole_folder_may_be_removed_and_is_made_again);
	tcase_add_test(t, a_folder_taken_by_another_while_away_is_left_to_it);
	tcase_add_test(t, a_folder_that_others_can_write_is_refused);
	tcase_add_test(t, a_link_or_a_file_instead_of_a_folder_is_refused);
	tcase_add_test(t, a_folder_of_another_user_is_refused);
	tcase_add_test(t, links_in_place_of_files_are_not_followed);
	tcase_add_test(t, files_and_folders_are_for_the_owner_only);
	tcase_add_test(t, a_second_process_runs_with_memory_only);
	tcase_add_test(t, a_write_that_fails_is_told_once_and_the_disk_is_tried_again_later);
	tcase_add_test(t, out_of_descriptors_nothing_on_the_disk_is_given_up);
	tcase_add_test(t, out_of_descriptors_what_is_on_the_disk_is_read_from_there);
	tcase_add_test(t, out_of_descriptors_what_comes_is_kept_on_the_disk);
	tcase_add_test(t, descriptors_that_come_and_go_are_neither_lost_nor_kept);
	tcase_add_test(t, a_full_disk_is_no_error_for_readers);
	suite_add_tcase(s, t);
	return run_suite(s);
}

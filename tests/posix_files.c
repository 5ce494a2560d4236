/* SPDX-License-Identifier: BSD-3-Clause */
/* File bytes: reading, writing, sizes, holes, mappings, direct I/O, several processes at once. */
#include "posix_fixture.h"

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define BLOCK 4096
#define LAST ((off_t)INT64_MAX)

static void assert_all(const char *bytes, size_t len, char value)
{
	for (size_t n = 0; n < len; n++)
		ck_assert_msg(bytes[n] == value, "byte %zu is %d, not %d", n, bytes[n], value);
}

static off_t size_of(int fd)
{
	struct stat st;

	ok(fstat(fd, &st));
	return st.st_size;
}

/* ---- reading and writing ---- */

/* XSH read, write, pread, pwrite, lseek */
START_TEST(bytes_are_where_they_were_written)
{
	int fd = make("file", 0644);
	char got[32] = "";

	put(fd, "hello", 5);
	ck_assert_int_eq(ok(lseek(fd, 0, SEEK_CUR)), 5);
	ck_assert_int_eq(ok(read(fd, got, 1)), 0);
	ck_assert_int_eq(ok(pwrite(fd, "J", 1, 0)), 1);
	ck_assert_int_eq(ok(lseek(fd, 0, SEEK_CUR)), 5);
	ck_assert_int_eq(ok(pread(fd, got, sizeof(got), 0)), 5);
	ck_assert_str_eq(got, "Jello");
	ck_assert_int_eq(ok(pread(fd, got, 5, 100)), 0);
	ck_assert_int_eq(ok(lseek(fd, 10, SEEK_END)), 15);
	put(fd, "x", 1);
	ck_assert_int_eq(size_of(fd), 16);
	memset(got, 'g', sizeof(got));
	ck_assert_int_eq(ok(pread(fd, got, sizeof(got), 5)), 11);
	assert_all(got, 10, 0);
	fails(EINVAL, lseek(fd, -1, SEEK_SET));
	fails(EINVAL, lseek(fd, -17, SEEK_END));
	fails(EINVAL, pread(fd, got, 1, -1));
	ok(close(fd));
	fd = (int)ok(open("file", O_WRONLY));
	fails(EBADF, read(fd, got, 1));
	ok(close(fd));
	fd = (int)ok(open("file", O_RDONLY));
	fails(EBADF, write(fd, got, 1));
	fails(EINVAL, ftruncate(fd, 0));
	ok(close(fd));
}
END_TEST

/* XSH readv, writev; sendfile(2), splice(2) */
START_TEST(vectors_and_pipes_carry_the_same_bytes)
{
	struct iovec out[2] = { { "abc", 3 }, { "defg", 4 } };
	int fd = make("file", 0644), to = make("to", 0644), ends[2];
	char a[3] = "", b[8] = "";
	struct iovec in[2] = { { a, 2 }, { b, 7 } };

	ck_assert_int_eq(ok(writev(fd, out, 2)), 7);
	ck_assert_int_eq(ok(preadv(fd, in, 2, 0)), 7);
	ck_assert_str_eq(a, "ab");
	ck_assert_str_eq(b, "cdefg");
	ok(lseek(fd, 0, SEEK_SET));
	ck_assert_int_eq(ok(sendfile(to, fd, NULL, 7)), 7);
	ok(pipe(ends));
	ck_assert_int_eq(ok(splice(fd, &(loff_t){ 1 }, ends[1], NULL, 6, 0)), 6);
	ck_assert_int_eq(ok(splice(ends[0], NULL, to, &(loff_t){ 7 }, 6, 0)), 6);
	assert_text("to", "abcdefgbcdefg");
	ok(close(fd));
	ok(close(to));
}
END_TEST

/* XSH write with O_APPEND: no other write comes between; also directly, and one by one durable */
static const struct appending {
	int flags, records;
	size_t len;
} appendings[] = { { 0, 500, 61 }, { O_DIRECT, 100, BLOCK }, { O_SYNC, 20, 61 } };

static void append_records(const struct appending *a, char letter)
{
	char *record = aligned_alloc(BLOCK, BLOCK);
	int fd = open("log", O_WRONLY | O_APPEND | a->flags);

	ck_assert_ptr_nonnull(record);
	if (fd < 0 && on_type(MAGIC_TMPFS)) /* no direct I/O there */
		fd = open("log", O_WRONLY | O_APPEND);
	memset(record, letter, a->len);
	for (int n = 0; n < a->records; n++)
		put(fd, record, a->len);
	_exit(0);
}

START_TEST(appending_processes_lose_nothing)
{
	enum { WRITERS = 4 };
	const struct appending *a = &appendings[_i];
	int seen[WRITERS] = { 0 }, fd;
	pid_t pids[WRITERS];
	char got[BLOCK];

	touch("log", 0644);
	for (int w = 0; w < WRITERS; w++) {
		pids[w] = (pid_t)ok(fork());
		if (pids[w] == 0)
			append_records(a, (char)('a' + w));
	}
	for (int w = 0; w < WRITERS; w++)
		await(pids[w]);
	fd = (int)ok(open("log", O_RDONLY));
	ck_assert_int_eq(size_of(fd), (off_t)a->len * a->records * WRITERS);
	while (ok(read(fd, got, a->len)) == (long)a->len) {
		assert_all(got, a->len, got[0]);
		seen[got[0] - 'a']++;
	}
	for (int w = 0; w < WRITERS; w++)
		ck_assert_int_eq(seen[w], a->records);
	ok(close(fd));
}
END_TEST

/* XSH write: one file's size is one truth for all processes */
START_TEST(truncating_and_writing_at_once_leave_zeros_or_bytes)
{
	enum { LEN = 200000 };
	static char got[LEN + 10000];
	int fd = make("file", 0644);
	pid_t pid = (pid_t)ok(fork());
	ssize_t n;

	if (pid == 0) {
		static char bytes[10000];

		memset(bytes, 'w', sizeof(bytes));
		for (int i = 0; i < 400; i++)
			ok(pwrite(fd, bytes, sizeof(bytes), (i * 7919) % LEN));
		_exit(0);
	}
	for (int i = 0; i < 400; i++)
		ok(ftruncate(fd, (i * 104729) % LEN));
	await(pid);
	n = ok(pread(fd, got, sizeof(got), 0));
	ck_assert_int_eq(n, size_of(fd));
	for (ssize_t i = 0; i < n; i++)
		ck_assert(got[i] == 0 || got[i] == 'w');
	ok(close(fd));
}
END_TEST

/* open(2): O_SYNC, O_DSYNC */
START_TEST(synchronous_writes_work)
{
	int fd = make("file", 0644);

	ok(close(fd));
	fd = (int)ok(open("file", O_WRONLY | O_SYNC));
	put(fd, "abc", 3);
	ok(close(fd));
	fd = (int)ok(open("file", O_WRONLY | O_DSYNC | O_APPEND));
	put(fd, "def", 3);
	ok(fsync(fd));
	ok(fdatasync(fd));
	ok(sync_file_range(fd, 0, 6, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	ok(close(fd));
	ck_assert_int_eq(pwritev2((int)ok(open("file", O_WRONLY)), &(struct iovec){ "X", 1 }, 1, 0,
				  RWF_DSYNC),
			 1);
	assert_text("file", "Xbcdef");
}
END_TEST

/* ---- sizes ---- */

/* XSH truncate */
START_TEST(what_is_cut_off_comes_back_as_zeros)
{
	static char bytes[3 * BLOCK + 100], got[sizeof(bytes)];
	int fd = make("file", 0644);

	memset(bytes, 'x', sizeof(bytes));
	for (off_t cut = sizeof(bytes); cut > 0; cut -= 1237) {
		ck_assert_int_eq(ok(pwrite(fd, bytes, sizeof(bytes), 0)), sizeof(bytes));
		ok(ftruncate(fd, cut));
		ck_assert_int_eq(size_of(fd), cut);
		ok(ftruncate(fd, sizeof(bytes)));
		ck_assert_int_eq(ok(pread(fd, got, sizeof(got), 0)), sizeof(got));
		assert_all(got, (size_t)cut, 'x');
		assert_all(got + cut, sizeof(got) - (size_t)cut, 0);
	}
	fails(EINVAL, ftruncate(fd, -1));
	fails(EISDIR, truncate(".", 0));
	ok(close(fd));
}
END_TEST

/* XBD <sys/types.h> off_t; XSH truncate, write: EFBIG */
START_TEST(files_go_up_to_the_last_offset)
{
	int fd = make("file", 0644);
	char got[4];

	if (ftruncate(fd, LAST) < 0) {
		ck_assert_int_eq(errno, EFBIG); /* ext4's own limit */
		ck_assert(!on_type(MAGIC_FUSE));
		return;
	}
	ck_assert_int_eq(size_of(fd), LAST);
	ck_assert_int_eq(look("file").st_blocks, 0);
	ck_assert_int_eq(ok(pread(fd, got, 2, LAST - 2)), 2);
	ck_assert_int_eq(ok(lseek(fd, 0, SEEK_END)), LAST);
	ok(ftruncate(fd, 0));
	ck_assert_int_eq(ok(pwrite(fd, "end", 3, LAST - 3)), 3);
	ck_assert_int_eq(size_of(fd), LAST);
	fails(EINVAL, pwrite(fd, "x", 1, LAST)); /* no offset is after that */
	ck_assert_int_eq(ok(pread(fd, got, 3, LAST - 3)), 3);
	ck_assert_int_eq(memcmp(got, "end", 3), 0);
	fails(EINVAL, lseek(fd, 1, SEEK_END)); /* Linux; POSIX: EOVERFLOW */
	ok(close(fd));
}
END_TEST

/* XSH write, ftruncate: RLIMIT_FSIZE */
START_TEST(the_process_limit_of_sizes_holds)
{
	struct rlimit limit = { 1000, RLIM_INFINITY };
	int fd = make("file", 0644);
	char bytes[600] = "";

	signal(SIGXFSZ, SIG_IGN);
	ok(setrlimit(RLIMIT_FSIZE, &limit));
	ck_assert_int_eq(ok(write(fd, bytes, 600)), 600);
	ck_assert_int_eq(ok(write(fd, bytes, 600)), 400);
	fails(EFBIG, write(fd, bytes, 600));
	fails(EFBIG, ftruncate(fd, 1001));
	limit.rlim_cur = RLIM_INFINITY;
	ok(setrlimit(RLIMIT_FSIZE, &limit));
	ok(close(fd));
}
END_TEST

/* lseek(2): SEEK_DATA, SEEK_HOLE */
START_TEST(holes_are_told_from_data)
{
	const off_t mib = 1 << 20;
	int fd = make("file", 0644);

	ok(pwrite(fd, "a", 1, mib));
	ok(pwrite(fd, "b", 1, 3 * mib));
	ok(ftruncate(fd, 5 * mib));
	for (int synced = 0; synced < 2; synced++) {
		off_t hole;

		ck_assert_int_eq(ok(lseek(fd, 0, SEEK_HOLE)), 0);
		ck_assert_int_eq(ok(lseek(fd, 0, SEEK_DATA)), mib);
		hole = (off_t)ok(lseek(fd, mib, SEEK_HOLE));
		ck_assert(hole > mib && hole <= mib + 65536);
		ck_assert_int_eq(ok(lseek(fd, hole, SEEK_DATA)), 3 * mib);
		hole = (off_t)ok(lseek(fd, 3 * mib, SEEK_HOLE));
		fails(ENXIO, lseek(fd, hole, SEEK_DATA));
		fails(ENXIO, lseek(fd, 5 * mib, SEEK_DATA));
		fails(ENXIO, lseek(fd, 5 * mib, SEEK_HOLE));
		ok(fsync(fd));
	}
	ok(close(fd));
}
END_TEST

static void assert_range(int fd, off_t from, off_t to, char value)
{
	static char got[64 * BLOCK];

	ck_assert_int_eq(ok(pread(fd, got, (size_t)(to - from), from)), to - from);
	assert_all(got, (size_t)(to - from), value);
}

/* fallocate(2); XSH posix_fallocate */
START_TEST(space_is_allocated_and_given_back)
{
	static char bytes[16 * BLOCK];
	int fd = make("file", 0644);
	struct stat st;

	memset(bytes, 'x', sizeof(bytes));
	put(fd, bytes, sizeof(bytes));
	ok(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 32 * BLOCK));
	ok(fstat(fd, &st));
	ck_assert_int_eq(st.st_size, 16 * BLOCK);
	ck_assert_int_ge(st.st_blocks, 32 * BLOCK / 512);
	ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, 2 * BLOCK));
	ok(fstat(fd, &st));
	ck_assert_int_lt(st.st_blocks, 32 * BLOCK / 512);
	assert_range(fd, 0, BLOCK, 'x');
	assert_range(fd, BLOCK, 3 * BLOCK, 0);
	assert_range(fd, 3 * BLOCK, 16 * BLOCK, 'x');
	ck_assert_int_eq(ok(lseek(fd, 0, SEEK_HOLE)), BLOCK);
	if (fallocate(fd, FALLOC_FL_ZERO_RANGE, 4 * BLOCK, BLOCK + 10) == 0) {
		assert_range(fd, 4 * BLOCK, 5 * BLOCK + 10, 0);
		assert_range(fd, 5 * BLOCK + 10, 16 * BLOCK, 'x');
	} else {
		ck_assert_msg(on_type(MAGIC_TMPFS), "ZERO_RANGE: %s", strerror(errno));
	}
	ok(posix_fallocate(fd, 0, 40 * BLOCK));
	ck_assert_int_eq(size_of(fd), 40 * BLOCK);
	assert_range(fd, 16 * BLOCK, 40 * BLOCK, 0);
	fails(EINVAL, fallocate(fd, 0, 0, 0));
	fails(EINVAL, fallocate(fd, 0, -1, 10));
	fails(EFBIG, fallocate(fd, 0, LAST - 10, 100));
	ok(close(fd));
}
END_TEST

/* ---- mappings: XSH mmap, msync ---- */

static char *map_of(int fd, size_t len, int prot, int flags)
{
	char *map = mmap(NULL, len, prot, flags, fd, 0);

	ck_assert_msg(map != MAP_FAILED, "mmap: %s", strerror(errno));
	return map;
}

START_TEST(a_shared_mapping_and_the_file_are_one)
{
	int fd = make("file", 0644);
	char *map, *other, got[4] = "";

	ok(ftruncate(fd, 2 * BLOCK));
	map = map_of(fd, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);
	other = map_of(fd, 2 * BLOCK, PROT_READ, MAP_SHARED);
	memcpy(map + BLOCK, "map", 3);
	ck_assert_int_eq(memcmp(other + BLOCK, "map", 3), 0);
	ck_assert_int_eq(ok(pread(fd, got, 3, BLOCK)), 3);
	ck_assert_str_eq(got, "map");
	ok(pwrite(fd, "fil", 3, 0));
	ck_assert_int_eq(memcmp(map, "fil", 3), 0);
	ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK));
	assert_all(map, BLOCK, 0);
	map[1] = 'y';
	ok(msync(map, 2 * BLOCK, MS_SYNC));
	ok(munmap(map, 2 * BLOCK));
	ok(munmap(other, 2 * BLOCK));
	ok(close(fd));
	fd = (int)ok(open("file", O_RDONLY));
	ok(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	ck_assert_int_eq(ok(pread(fd, got, 3, 0)), 3);
	ck_assert_int_eq(memcmp(got, "\0y", 3), 0);
	ok(close(fd));
}
END_TEST

START_TEST(a_private_mapping_is_ones_own)
{
	int fd = make("file", 0644);
	char *map;

	put(fd, "text", 4);
	ok(close(fd));
	fd = (int)ok(open("file", O_RDONLY));
	map = map_of(fd, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memcpy(map, "mine", 4);
	assert_text("file", "text");
	ok(munmap(map, 4));
	ck_assert_ptr_eq(mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
	ok(close(fd));
}
END_TEST

START_TEST(two_processes_share_a_mapping)
{
	int fd = make("file", 0644);
	volatile char *map;
	pid_t pid;

	ok(ftruncate(fd, BLOCK));
	map = map_of(fd, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);
	pid = (pid_t)ok(fork());
	if (pid == 0) {
		int own = (int)ok(open("file", O_RDWR));
		volatile char *mine = map_of(own, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);

		mine[7] = 'c';
		while (mine[8] != 'p')
			sched_yield();
		_exit(0);
	}
	while (map[7] != 'c')
		sched_yield();
	map[8] = 'p';
	await(pid);
	ok(close(fd));
}
END_TEST

static sigjmp_buf after_bus;

static void on_bus(int sig)
{
	siglongjmp(after_bus, 1);
}

START_TEST(beyond_the_end_a_mapping_is_SIGBUS)
{
	volatile bool bus = false;
	int fd = make("file", 0644);
	volatile char *map;

	ok(ftruncate(fd, 3 * BLOCK));
	map = map_of(fd, 3 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);
	map[2 * BLOCK] = 'x';
	ok(ftruncate(fd, BLOCK + 10));
	signal(SIGBUS, on_bus);
	if (sigsetjmp(after_bus, 1) == 0)
		map[2 * BLOCK] = 'y';
	else
		bus = true;
	ck_assert(bus);
	ck_assert_int_eq(map[BLOCK + 100], 0); /* the last page is zeros after the end */
	ok(ftruncate(fd, 3 * BLOCK));
	ck_assert_int_eq(map[2 * BLOCK], 0);
	ok(close(fd));
}
END_TEST

/* ---- direct I/O: open(2) O_DIRECT ---- */

START_TEST(direct_and_buffered_see_the_same_bytes)
{
	enum { LEN = 16 * BLOCK };
	int fd = make("file", 0644), direct = open("file", O_RDWR | O_DIRECT);
	char *bytes = aligned_alloc(BLOCK, LEN), *map;

	ck_assert_ptr_nonnull(bytes);
	if (direct < 0) {
		ck_assert_int_eq(errno, EINVAL);
		ck_assert(on_type(MAGIC_TMPFS));
		return;
	}
	memset(bytes, 'b', LEN);
	put(fd, bytes, LEN);
	ck_assert_int_eq(ok(pread(direct, bytes, LEN, 0)), LEN);
	assert_all(bytes, LEN, 'b');
	map = map_of(fd, LEN, PROT_READ | PROT_WRITE, MAP_SHARED);
	ck_assert_int_eq(map[BLOCK], 'b'); /* cached */
	memset(bytes, 'd', LEN);
	ck_assert_int_eq(ok(pwrite(direct, bytes, 2 * BLOCK, BLOCK)), 2 * BLOCK);
	assert_range(fd, 0, BLOCK, 'b');
	assert_range(fd, BLOCK, 3 * BLOCK, 'd');
	assert_range(fd, 3 * BLOCK, LEN, 'b');
	assert_all(map + BLOCK, 2 * BLOCK, 'd');
	memset(map, 'm', BLOCK);
	ck_assert_int_eq(ok(pread(direct, bytes, BLOCK, 0)), BLOCK);
	assert_all(bytes, BLOCK, 'm');
	ck_assert_int_eq(ok(pwrite(direct, bytes, BLOCK, LEN)), BLOCK); /* at the end */
	ck_assert_int_eq(size_of(fd), LEN + BLOCK);
	ok(munmap(map, LEN));
	ok(close(fd));
	ok(close(direct));
	free(bytes);
}
END_TEST

/* poll(2): a regular file is always ready */
START_TEST(a_file_is_always_ready)
{
	int fd = make("file", 0644);
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	ck_assert_int_eq(ok(poll(&p, 1, -1)), 1);
	ck_assert_int_eq(p.revents, POLLIN | POLLOUT);
	ok(close(fd));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("files");
	TCase *t = posix_case(s, "bytes");

	tcase_add_test(t, bytes_are_where_they_were_written);
	tcase_add_test(t, vectors_and_pipes_carry_the_same_bytes);
	tcase_add_loop_test(t, appending_processes_lose_nothing, 0,
			    (int)(sizeof(appendings) / sizeof(appendings[0])));
	tcase_add_test(t, truncating_and_writing_at_once_leave_zeros_or_bytes);
	tcase_add_test(t, synchronous_writes_work);
	tcase_add_test(t, a_file_is_always_ready);
	t = posix_case(s, "sizes");
	tcase_add_test(t, what_is_cut_off_comes_back_as_zeros);
	tcase_add_test(t, files_go_up_to_the_last_offset);
	tcase_add_test(t, the_process_limit_of_sizes_holds);
	t = posix_case(s, "holes");
	tcase_add_test(t, holes_are_told_from_data);
	tcase_add_test(t, space_is_allocated_and_given_back);
	t = posix_case(s, "mappings");
	tcase_add_test(t, a_shared_mapping_and_the_file_are_one);
	tcase_add_test(t, a_private_mapping_is_ones_own);
	tcase_add_test(t, two_processes_share_a_mapping);
	tcase_add_test(t, beyond_the_end_a_mapping_is_SIGBUS);
	tcase_add_test(t, direct_and_buffered_see_the_same_bytes);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranges of files: copying them, punching them below a mapping, and how far they may go. */
#include "posix_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define BLOCK 4096
#define PAGES 64
#define LEN ((size_t)PAGES * BLOCK)

static void assert_bytes(int fd, off_t at, const char *bytes, size_t len)
{
	char got[64];

	ck_assert_uint_le(len, sizeof(got));
	ck_assert_int_eq(ok(pread(fd, got, len, at)), (long)len);
	ck_assert_int_eq(memcmp(got, bytes, len), 0);
}

static off_t size_of(int fd)
{
	struct stat st;

	ok(fstat(fd, &st));
	return st.st_size;
}

/* ---- copy_file_range(2) ---- */

START_TEST(a_range_is_copied_to_another_file_and_within_one)
{
	int a = make("a", 0644), b = make("b", 0644);
	off_t from = 2, to = 5;

	put(a, "0123456789", 10);
	ck_assert_int_eq(ok(copy_file_range(a, &from, b, &to, 4, 0)), 4);
	ck_assert_int_eq(from, 6);
	ck_assert_int_eq(to, 9);
	ck_assert_int_eq(size_of(b), 9);
	assert_bytes(b, 0,
		     "\0\0\0\0\0"
		     "2345",
		     9);
	ck_assert_int_eq(ok(lseek(a, 0, SEEK_CUR)), 10); /* given offsets leave the positions */
	ck_assert_int_eq(ok(copy_file_range(a, NULL, b, NULL, 4, 0)), 0);
	ok(lseek(a, 8, SEEK_SET));
	ck_assert_int_eq(ok(copy_file_range(a, NULL, b, NULL, 100, 0)), 2); /* what there is */
	ck_assert_int_eq(ok(lseek(a, 0, SEEK_CUR)), 10);
	ck_assert_int_eq(ok(lseek(b, 0, SEEK_CUR)), 2);
	assert_bytes(b, 0, "89\0", 3);
	from = 0, to = 10;
	ck_assert_int_eq(ok(copy_file_range(a, &from, a, &to, 10, 0)), 10);
	assert_bytes(a, 0, "01234567890123456789", 20);
	ok(close(a));
	ok(close(b));
}
END_TEST

START_TEST(a_copy_has_what_mappings_wrote)
{
	int a = make("a", 0644), b = make("b", 0644);
	char *from, *to;

	ok(ftruncate(a, BLOCK));
	ok(ftruncate(b, BLOCK));
	from = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
	to = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, b, 0);
	ck_assert(from != MAP_FAILED && to != MAP_FAILED);
	memset(to, 't', BLOCK);
	memcpy(from + 100, "mapped", 6);
	ck_assert_int_eq(ok(copy_file_range(a, &(off_t){ 100 }, b, &(off_t){ 200 }, 6, 0)), 6);
	ck_assert_int_eq(memcmp(to + 199, "tmappedt", 8), 0);
	assert_bytes(b, 199, "tmappedt", 8);
	ok(munmap(from, BLOCK));
	ok(munmap(to, BLOCK));
	ok(close(a));
	ok(close(b));
}
END_TEST

START_TEST(a_range_that_cannot_be_copied_is_refused)
{
	int a = make("a", 0644), b = make("b", 0644), dir, reader, appender;
	off_t zero = 0, ten = 10;

	put(a, "0123456789abcdefghij", 20);
	dir = (int)ok(open(".", O_RDONLY | O_DIRECTORY));
	reader = (int)ok(open("b", O_RDONLY));
	appender = (int)ok(open("b", O_WRONLY | O_APPEND));
	fails(EINVAL, copy_file_range(a, &zero, a, &ten, 11, 0)); /* overlap */
	fails(EINVAL, copy_file_range(a, &zero, b, &zero, 5, 1));
	fails(EBADF, copy_file_range(a, &zero, reader, &zero, 5, 0));
	fails(EBADF, copy_file_range(b, &zero, appender, &zero, 5, 0));
	fails(EISDIR, copy_file_range(dir, &zero, b, &zero, 5, 0));
	fails(EOVERFLOW, copy_file_range(a, &ten, b, &zero, SIZE_MAX, 0));
	ck_assert_int_eq(size_of(b), 0);
	ok(close(a));
	ok(close(b));
	ok(close(dir));
	ok(close(reader));
	ok(close(appender));
}
END_TEST

/* ---- fallocate(2) below a mapping ---- */

static char *map_file(int fd, int flags)
{
	char *map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, flags, fd, 0);

	ck_assert_msg(map != MAP_FAILED, "mmap: %s", strerror(errno));
	return map;
}

static void assert_zeros_or(const char *bytes, size_t len, char value)
{
	size_t n = 0;

	while (n < len && (bytes[n] == 0 || bytes[n] == value))
		n++; /* an assertion for each would take longer than all the rest */
	ck_assert_msg(n == len, "byte %zu is %d", n, bytes[n < len ? n : 0]);
}

static void punch(int fd, off_t at, off_t len)
{
	ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len));
}

START_TEST(a_hole_is_punched_below_mappings)
{
	int fd = make("file", 0644);
	char *map = map_file(fd, MAP_SHARED), *own = map_file(fd, MAP_PRIVATE);

	ok(ftruncate(fd, LEN));
	memset(map, 's', LEN); /* not stored yet */
	own[BLOCK] = 'o';
	punch(fd, BLOCK - 10, BLOCK + 20);
	ck_assert_int_eq(map[BLOCK - 11], 's');
	assert_zeros_or(map + BLOCK - 10, BLOCK + 20, 0);
	ck_assert_int_eq(map[2 * BLOCK + 10], 's');
	ck_assert_int_eq(own[BLOCK], 'o'); /* a page of one's own stays */
	ck_assert_int_eq(own[BLOCK + 1], 's');
	ck_assert_int_eq(own[BLOCK - 1], 0); /* one that was only looked at does not */
	map[BLOCK] = 'n';
	ok(msync(map, LEN, MS_SYNC));
	assert_bytes(fd, BLOCK - 1, "\0n\0", 3);
	ok(munmap(map, LEN));
	ok(munmap(own, LEN));
	ok(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	assert_bytes(fd, BLOCK - 12, "ss\0\0\0\0\0\0\0\0\0\0n\0", 14);
	ok(close(fd));
}
END_TEST

/* Fills page after page through a mapping of its own. */
static void store_pages(void)
{
	int fd = (int)ok(open("file", O_RDWR));
	char *map = map_file(fd, MAP_SHARED);

	for (int n = 0; n < 40 * PAGES; n++)
		memset(map + (size_t)(n * 37 % PAGES) * BLOCK, 's', BLOCK);
	_exit(0);
}

START_TEST(who_stores_and_who_punches_leave_zeros_or_bytes)
{
	static char got[LEN];
	int fd = make("file", 0644);
	char *map;
	pid_t pid;

	ok(ftruncate(fd, LEN));
	pid = (pid_t)ok(fork());
	if (pid == 0)
		store_pages();
	for (int n = 0; n < 300; n++) {
		punch(fd, (off_t)(n * 29 % PAGES) * BLOCK + n % 3, (off_t)(1 + n % 5) * BLOCK);
		ck_assert_int_eq(ok(pread(fd, got, LEN, 0)), LEN);
		assert_zeros_or(got, LEN, 's');
	}
	await(pid);
	map = map_file(fd, MAP_SHARED);
	punch(fd, 0, LEN);
	assert_zeros_or(map, LEN, 0);
	for (size_t n = 0; n < PAGES; n++)
		map[n * BLOCK + n] = 'e';
	ok(munmap(map, LEN));
	ok(fsync(fd));
	ok(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	ck_assert_int_eq(ok(pread(fd, got, LEN, 0)), LEN);
	for (size_t n = 0; n < PAGES; n++)
		ck_assert_int_eq(got[n * BLOCK + n], 'e');
	assert_zeros_or(got, LEN, 'e');
	ok(close(fd));
}
END_TEST

/* ---- lseek(2): SEEK_HOLE, SEEK_DATA ---- */

/* A hole is where nothing was ever stored, whichever way the bytes around it came. */
START_TEST(holes_are_found_between_bytes_of_every_kind)
{
	const off_t mib = 1 << 20;
	int fd = make("file", 0644);
	char *map;

	ok(pwrite(fd, "stored", 6, 0));
	ok(fsync(fd));
	ok(pwrite(fd, "written", 7, 2 * mib));
	ok(ftruncate(fd, 9 * mib));
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4 * mib);
	ck_assert_ptr_ne(map, MAP_FAILED);
	map[0] = 'm';
	ck_assert_int_eq(ok(copy_file_range(fd, &(off_t){ 0 }, fd, &(off_t){ 6 * mib }, 6, 0)), 6);
	for (off_t at = 0; at < 8 * mib; at += 2 * mib) {
		off_t hole;

		ck_assert_int_eq(ok(lseek(fd, at ? at - BLOCK : 0, SEEK_DATA)), at);
		hole = (off_t)ok(lseek(fd, at, SEEK_HOLE));
		ck_assert(hole > at && hole <= at + 65536);
		ck_assert_int_eq(ok(lseek(fd, hole, SEEK_HOLE)), hole);
	}
	fails(ENXIO, lseek(fd, 7 * mib, SEEK_DATA));
	ck_assert_int_eq(ok(lseek(fd, 8 * mib, SEEK_HOLE)), 8 * mib);
	punch(fd, 2 * mib, mib);
	ck_assert_int_eq(ok(lseek(fd, mib, SEEK_DATA)), 4 * mib);
	ok(munmap(map, BLOCK));
	ok(close(fd));
}
END_TEST

/* ---- too far ---- */

#ifdef __x86_64__
/* open(2) as a 32-bit program calls it, which can do without O_LARGEFILE. The path must lie low. */
static int open_32(const char *path, unsigned flags)
{
	int result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(5), "b"(path), "c"(flags), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

/* Not every kernel has these calls: then a signal comes, or an error. */
static int result_of_open_32(const char *path, unsigned flags)
{
	int status;
	pid_t pid = (pid_t)ok(fork());

	if (pid == 0) {
		int fd = open_32(path, flags);

		_exit(fd < 0 ? -fd : 0);
	}
	ok(waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : ENOSYS;
}

/* XSH open: EOVERFLOW */
START_TEST(a_large_file_is_too_large_for_who_cannot_count_so_far)
{
	const unsigned large_file = 0100000;
	char *path = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	ck_assert_ptr_ne(path, MAP_FAILED);
	memcpy(path, "file", 5);
	touch("file", 0644);
	ok(truncate("file", INT32_MAX));
	if (result_of_open_32(path, O_RDONLY) == ENOSYS)
		return;
	ck_assert_int_eq(result_of_open_32(path, O_RDONLY), 0);
	ok(truncate("file", (off_t)INT32_MAX + 1));
	ck_assert_int_eq(result_of_open_32(path, O_RDONLY), EOVERFLOW);
	ck_assert_int_eq(result_of_open_32(path, O_RDONLY | large_file), 0);
}
END_TEST
#endif

/* XSH fcntl: EOVERFLOW; posix_fallocate: EFBIG; lseek: EINVAL */
START_TEST(ranges_end_with_the_last_offset)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = INT64_MAX };
	int fd = make("file", 0644);

	l.l_len = 1;
	ok(fcntl(fd, F_SETLK, &l));
	l.l_len = 2;
	fails(EOVERFLOW, fcntl(fd, F_SETLK, &l));
	fails(EOVERFLOW, fcntl(fd, F_OFD_SETLK, &l));
	ok(lseek(fd, 10, SEEK_SET));
	l.l_whence = SEEK_CUR;
	fails(EOVERFLOW, fcntl(fd, F_SETLK, &l));
	fails(EFBIG, fallocate(fd, 0, INT64_MAX, 1));
	fails(EFBIG, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, INT64_MAX, 1));
	fails(EINVAL, lseek(fd, INT64_MAX, SEEK_CUR)); /* POSIX: EOVERFLOW */
	fails(EINVAL, pread(fd, &l, 2, INT64_MAX));
	ck_assert_int_eq(size_of(fd), 0);
	ok(close(fd));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ranges");
	TCase *t = posix_case(s, "copies");

	tcase_add_test(t, a_range_is_copied_to_another_file_and_within_one);
	tcase_add_test(t, a_copy_has_what_mappings_wrote);
	tcase_add_test(t, a_range_that_cannot_be_copied_is_refused);
	t = posix_case(s, "holes");
	tcase_add_test(t, a_hole_is_punched_below_mappings);
	tcase_add_test(t, who_stores_and_who_punches_leave_zeros_or_bytes);
	tcase_add_test(t, holes_are_found_between_bytes_of_every_kind);
	t = posix_case(s, "ends");
#ifdef __x86_64__
	tcase_add_test(t, a_large_file_is_too_large_for_who_cannot_count_so_far);
#endif
	tcase_add_test(t, ranges_end_with_the_last_offset);
	return run_suite(s);
}

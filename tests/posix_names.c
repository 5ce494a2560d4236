/* SPDX-License-Identifier: BSD-3-Clause */
/* Names: making, linking, renaming, removing, listing. */
#include "posix_fixture.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static char *repeated(char c, size_t len)
{
	char *s = malloc(len + 1);

	ck_assert_ptr_nonnull(s);
	memset(s, c, len);
	s[len] = '\0';
	return s;
}

/* POSIX.1-2017 XBD 4.13, <limits.h> NAME_MAX */
START_TEST(a_name_has_255_bytes_at_most)
{
	char *fits = repeated('n', 255), *longer = repeated('n', 256);

	touch(fits, 0644);
	ck_assert(exists(fits));
	fails(ENAMETOOLONG, open(longer, O_CREAT | O_WRONLY, 0644));
	fails(ENAMETOOLONG, mkdir(longer, 0755));
	fails(ENAMETOOLONG, symlink("x", longer));
	fails(ENAMETOOLONG, mkfifo(longer, 0644));
	fails(ENAMETOOLONG, link(fits, longer));
	fails(ENAMETOOLONG, rename(fits, longer));
	fails(ENAMETOOLONG, unlink(longer));
	fails(ENAMETOOLONG, access(longer, F_OK));
	ck_assert_int_eq(pathconf(".", _PC_NAME_MAX), 255);
	free(fits);
	free(longer);
}
END_TEST

/* XBD <limits.h> PATH_MAX: with its NUL */
START_TEST(a_path_has_4095_bytes_at_most)
{
	char *path = repeated('/', 4096);

	memcpy(path, "./", 2);
	path[4094] = 'f';
	path[4095] = '\0';
	touch("f", 0644);
	ok(access(path, F_OK));
	path[4094] = '/';
	path[4095] = 'f';
	fails(ENAMETOOLONG, access(path, F_OK));
	free(path);
}
END_TEST

/* readlink(2), symlink(2): a target is a path */
START_TEST(a_link_says_what_it_was_given)
{
	char *target = repeated('t', 4095), *longer = repeated('t', 4096), got[8192];

	ok(symlink(target, "link"));
	ck_assert_int_eq(ok(readlink("link", got, sizeof(got))), 4095);
	ck_assert_int_eq(memcmp(got, target, 4095), 0);
	ck_assert_int_eq(look("link").st_size, 4095);
	ck_assert_int_eq(ok(readlink("link", got, 10)), 10);
	fails(ENAMETOOLONG, symlink(longer, "longer"));
	fails(ENOENT, symlink("", "empty"));
	fails(EEXIST, symlink("other", "link"));
	touch("file", 0644);
	fails(EINVAL, readlink("file", got, sizeof(got)));
	free(target);
	free(longer);
}
END_TEST

/* XBD 4.13: pathname resolution */
START_TEST(links_that_go_in_circles_are_ELOOP)
{
	ok(symlink("b", "a"));
	ok(symlink("a", "b"));
	fails(ELOOP, open("a", O_RDONLY));
	fails(ELOOP, access("a/x", F_OK));
	touch("file", 0644);
	ok(symlink("file", "good"));
	fails(ELOOP, open("good", O_RDONLY | O_NOFOLLOW));
}
END_TEST

/* XSH open */
START_TEST(open_makes_what_it_should)
{
	ok(mkdir("dir", 0755));
	touch("file", 0644);
	fails(EEXIST, open("file", O_CREAT | O_EXCL | O_WRONLY, 0644));
	fails(EISDIR, open("dir", O_WRONLY));
	fails(EISDIR, open("dir", O_CREAT | O_RDONLY, 0644));
	fails(ENOTDIR, open("file", O_DIRECTORY | O_RDONLY));
	fails(ENOTDIR, open("file/x", O_RDONLY));
	fails(ENOENT, open("no/x", O_CREAT | O_WRONLY, 0644));
	fails(EISDIR, open("new/", O_CREAT | O_WRONLY, 0644));
	ok(symlink("made", "dangling"));
	fails(EEXIST, open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0644));
	ok(close((int)ok(open("dangling", O_CREAT | O_WRONLY, 0644))));
	ck_assert(S_ISREG(look("made").st_mode));
}
END_TEST

/* XSH open, mkdir, mkfifo: mode & ~umask */
START_TEST(the_umask_takes_bits_off_what_is_made)
{
	umask(0137);
	ok(close((int)ok(open("file", O_CREAT | O_WRONLY, 0777))));
	ok(mkdir("dir", 0777));
	ok(mkfifo("fifo", 0777));
	ck_assert_uint_eq(mode_of("file"), 0640);
	ck_assert_uint_eq(mode_of("dir"), 0640);
	ck_assert_uint_eq(mode_of("fifo"), 0640);
	umask(0);
	ok(close((int)ok(open("all", O_CREAT | O_WRONLY, 07777))));
	ck_assert_uint_eq(mode_of("all"), 07777);
}
END_TEST

/* XSH mknod; mknod(2) */
START_TEST(nodes_of_every_kind_can_be_made)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int s = (int)ok(socket(AF_UNIX, SOCK_STREAM, 0));

	ok(mknod("file", S_IFREG | 0644, 0));
	ok(mknod("plain", 0600, 0));
	ok(mknod("fifo", S_IFIFO | 0644, 0));
	ok(mknod("sock", S_IFSOCK | 0644, 0));
	ok(bind(s, (struct sockaddr *)&at, sizeof(at)));
	ok(mknod("char", S_IFCHR | 0600, makedev(1, 3)));
	ok(mknod("block", S_IFBLK | 0600, makedev(4000, 1000000)));
	ck_assert(S_ISREG(look("file").st_mode) && S_ISREG(look("plain").st_mode));
	ck_assert(S_ISFIFO(look("fifo").st_mode));
	ck_assert(S_ISSOCK(look("sock").st_mode) && S_ISSOCK(look("socket").st_mode));
	ck_assert(S_ISCHR(look("char").st_mode) && look("char").st_rdev == makedev(1, 3));
	ck_assert(S_ISBLK(look("block").st_mode));
	ck_assert(look("block").st_rdev == makedev(4000, 1000000));
	fails(EPERM, mknod("dir", S_IFDIR | 0755, 0));
	fails(EEXIST, mknod("fifo", S_IFREG | 0644, 0));
	ok(close(s));
}
END_TEST

/* fifo(7), unix(7) */
START_TEST(fifos_and_sockets_carry_bytes)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int s = (int)ok(socket(AF_UNIX, SOCK_STREAM, 0)), c, fifo;
	char got[3] = "";

	ok(mkfifo("fifo", 0600));
	fifo = (int)ok(open("fifo", O_RDWR));
	put(fifo, "ab", 2);
	ck_assert_int_eq(ok(read(fifo, got, 2)), 2);
	ck_assert_str_eq(got, "ab");
	ok(bind(s, (struct sockaddr *)&at, sizeof(at)));
	ok(listen(s, 1));
	c = (int)ok(socket(AF_UNIX, SOCK_STREAM, 0));
	ok(connect(c, (struct sockaddr *)&at, sizeof(at)));
	ok(close(c));
	ok(close(s));
	ok(close(fifo));
}
END_TEST

/* XSH mkdir, rmdir */
START_TEST(only_empty_folders_are_removed)
{
	ok(mkdir("dir", 0755));
	fails(EEXIST, mkdir("dir", 0755));
	touch("dir/file", 0644);
	fails(ENOTEMPTY, rmdir("dir"));
	fails(EINVAL, rmdir("dir/."));
	fails(ENOTEMPTY, rmdir("dir/.."));
	fails(ENOTDIR, rmdir("dir/file"));
	fails(EISDIR, unlink("dir"));
	fails(ENOTDIR, unlink("dir/file/"));
	fails(ENOENT, rmdir("none"));
	ok(unlink("dir/file"));
	ok(rmdir("dir"));
	ck_assert(!exists("dir"));
}
END_TEST

/* inode(7): st_nlink of folders, as ext4 counts */
START_TEST(a_folder_counts_its_subfolders)
{
	ok(mkdir("a", 0755));
	ok(mkdir("b", 0755));
	ck_assert_int_eq(look("a").st_nlink, 2);
	ok(mkdir("a/1", 0755));
	ok(mkdir("a/2", 0755));
	touch("a/file", 0644);
	ck_assert_int_eq(look("a").st_nlink, 4);
	ok(rename("a/1", "b/1"));
	ck_assert_int_eq(look("a").st_nlink, 3);
	ck_assert_int_eq(look("b").st_nlink, 3);
	ok(renameat2(AT_FDCWD, "a/file", AT_FDCWD, "b/1", RENAME_EXCHANGE));
	ck_assert_int_eq(look("a").st_nlink, 4);
	ck_assert_int_eq(look("b").st_nlink, 2);
	ok(mkdir("b/2", 0755));
	ok(rename("a/2", "b/2"));
	ck_assert_int_eq(look("a").st_nlink, 3);
	ck_assert_int_eq(look("b").st_nlink, 3);
	ok(rmdir("b/2"));
	ck_assert_int_eq(look("b").st_nlink, 2);
}
END_TEST

/* XSH link, linkat */
START_TEST(names_of_one_file_share_everything)
{
	touch_with("one", "text");
	ok(link("one", "two"));
	ck_assert_int_eq(look("one").st_nlink, 2);
	ck_assert(look("one").st_ino == look("two").st_ino);
	ok(chmod("two", 0600));
	ck_assert_uint_eq(mode_of("one"), 0600);
	fails(EEXIST, link("one", "two"));
	ok(mkdir("dir", 0755));
	fails(EPERM, link("dir", "dir2"));
	fails(ENOENT, link("none", "three"));
	ok(unlink("one"));
	ck_assert_int_eq(look("two").st_nlink, 1);
	assert_text("two", "text");
	ok(symlink("two", "sym"));
	ok(linkat(AT_FDCWD, "sym", AT_FDCWD, "sym2", 0));
	ck_assert(S_ISLNK(look("sym2").st_mode));
	ok(linkat(AT_FDCWD, "sym", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	ck_assert(S_ISREG(look("followed").st_mode));
}
END_TEST

/* XSH link: EMLINK; ext4's limit */
START_TEST(a_file_has_65000_names_at_most)
{
	char name[32];

	if (on_type(MAGIC_TMPFS))
		return; /* has no limit */
	touch("file", 0644);
	for (int n = 1; n < 65000; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		ok(link("file", name));
	}
	ck_assert_int_eq(look("file").st_nlink, 65000);
	fails(EMLINK, link("file", "more"));
	ok(unlink("n1"));
	ok(link("file", "more"));
}
END_TEST

/* XSH rename */
START_TEST(rename_replaces_what_it_may)
{
	ino_t ino;

	touch_with("new", "new");
	touch_with("old", "old");
	ino = look("new").st_ino;
	ok(rename("new", "old"));
	ck_assert(!exists("new") && look("old").st_ino == ino);
	assert_text("old", "new");
	ok(mkdir("dir", 0755));
	ok(mkdir("empty", 0755));
	touch("dir/file", 0644);
	fails(EISDIR, rename("old", "dir"));
	fails(ENOTDIR, rename("dir", "old"));
	fails(ENOTEMPTY, rename("empty", "dir"));
	ok(rename("dir", "empty"));
	ck_assert(exists("empty/file") && !exists("dir"));
	fails(EINVAL, rename("empty", "empty/below"));
	fails(EBUSY, rename("empty/.", "x"));
	fails(ENOENT, rename("none", "x"));
	fails(ENOTDIR, rename("old", "y/"));
}
END_TEST

/* XSH rename: two names of one file */
START_TEST(rename_onto_another_name_of_the_same_file_does_nothing)
{
	touch("one", 0644);
	ok(link("one", "two"));
	ok(rename("one", "two"));
	ck_assert(exists("one") && exists("two"));
	ck_assert_int_eq(look("one").st_nlink, 2);
}
END_TEST

/* rename(2): RENAME_NOREPLACE, RENAME_EXCHANGE */
START_TEST(renameat2_keeps_or_exchanges)
{
	touch_with("a", "a");
	touch_with("b", "b");
	fails(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	ok(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
	assert_text("c", "b");
	assert_text("b", "a");
	fails(ENOENT, renameat2(AT_FDCWD, "c", AT_FDCWD, "none", RENAME_EXCHANGE));
	fails(EINVAL, renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
	ok(mkdir("dir", 0755));
	touch("dir/in", 0644);
	ok(renameat2(AT_FDCWD, "dir", AT_FDCWD, "b", RENAME_EXCHANGE));
	ck_assert(exists("b/in"));
	assert_text("dir", "a");
	fails(EINVAL, renameat2(AT_FDCWD, "b", AT_FDCWD, "b/in", RENAME_EXCHANGE));
}
END_TEST

/* rename(2): RENAME_WHITEOUT, as overlay filesystems need it above */
START_TEST(renameat2_leaves_a_whiteout)
{
	touch_with("a", "a");
	touch_with("b", "b");
	ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_WHITEOUT));
	assert_text("c", "a");
	ck_assert(S_ISCHR(look("a").st_mode) && look("a").st_rdev == makedev(0, 0));
	ok(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_WHITEOUT));
	assert_text("b", "a");
	ck_assert(S_ISCHR(look("c").st_mode));
	ok(unlink("a"));
	ok(unlink("c"));
}
END_TEST

/* XSH rename, link: EXDEV */
START_TEST(names_do_not_cross_filesystems)
{
	const char *elsewhere = on_type(MAGIC_TMPFS) ? "/var/tmp" : "/dev/shm";
	char there[64];

	snprintf(there, sizeof(there), "%s/posix-names-%d", elsewhere, (int)getpid());
	touch("file", 0644);
	fails(EXDEV, rename("file", there));
	fails(EXDEV, link("file", there));
}
END_TEST

/* open(2): O_TMPFILE */
START_TEST(a_file_without_a_name_can_get_one)
{
	char path[64], got[5] = "";
	struct stat st;
	int fd;

	umask(027);
	fd = (int)ok(open(".", O_TMPFILE | O_RDWR, 0666));
	put(fd, "text", 4);
	ok(fstat(fd, &st));
	ck_assert_int_eq(st.st_nlink, 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0640);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ok(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	ck_assert_int_eq(look("named").st_nlink, 1);
	ok(close(fd));
	assert_text("named", "text");
	fd = (int)ok(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
	put(fd, "text", 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fails(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
	ck_assert_int_eq(ok(pread(fd, got, 4, 0)), 4);
	ck_assert_str_eq(got, "text");
	ok(close(fd));
	fails(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0600));
}
END_TEST

/* XSH unlink: open files live on */
START_TEST(a_deleted_file_lives_while_it_is_open)
{
	int fd = make("file", 0644), again;
	char path[64], got[6] = "";
	struct stat st;

	put(fd, "12345", 5);
	ok(unlink("file"));
	ok(fstat(fd, &st));
	ck_assert_int_eq(st.st_nlink, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = (int)ok(open(path, O_RDWR)); /* by its inode */
	ok(ftruncate(again, 3));
	ok(fchmod(again, 0600));
	ck_assert_int_eq(ok(pread(fd, got, 5, 0)), 3);
	ck_assert_str_eq(got, "123");
	fails(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	touch("file", 0644); /* another one of that name */
	ck_assert(look("file").st_ino != st.st_ino);
	ok(close(fd));
	ck_assert_int_eq(ok(pread(again, got, 5, 0)), 3);
	ok(close(again));
}
END_TEST

/* XSH rmdir: the folder may be somebody's current one */
START_TEST(in_a_deleted_folder_nothing_is_found_or_made)
{
	char buf[PATH_MAX];
	struct stat st;
	DIR *d;

	ok(mkdir("dir", 0755));
	ok(chdir("dir"));
	d = opendir(".");
	ck_assert_ptr_nonnull(d);
	ok(rmdir("../dir"));
	fails(ENOENT, open("x", O_CREAT | O_WRONLY, 0644));
	fails(ENOENT, mkdir("x", 0755));
	fails(ENOENT, symlink("y", "x"));
	ck_assert_ptr_null(getcwd(buf, sizeof(buf)));
	ck_assert_int_eq(errno, ENOENT);
	ok(stat(".", &st));
	ck_assert_int_eq(st.st_nlink, 0);
	ck_assert_ptr_null(readdir(d));
	ok(closedir(d));
	ok(chdir(".."));
}
END_TEST

/* ---- listing ---- */

#define MANY 3000

static void make_many(int count)
{
	char name[32];

	ok(mkdir("many", 0755));
	for (int n = 0; n < count; n++) {
		snprintf(name, sizeof(name), "many/f%05d", n);
		touch(name, 0644);
	}
}

static int number_of(const struct dirent *e)
{
	return e->d_name[0] == 'f' ? (int)strtol(e->d_name + 1, NULL, 10) : -1;
}

static DIR *open_many(void)
{
	DIR *d = opendir("many");

	ck_assert_ptr_nonnull(d);
	return d;
}

/* XSH readdir: what is neither added nor removed comes exactly once */
START_TEST(a_changing_folder_lists_what_stays_exactly_once)
{
	int seen[MANY] = { 0 }, count = 0;
	struct dirent *e;
	char name[32];
	DIR *d;

	make_many(MANY);
	d = open_many();
	while ((e = readdir(d))) {
		int n = number_of(e);

		if (n >= 0 && n < MANY)
			seen[n]++;
		snprintf(name, sizeof(name), "many/g%05d", count++);
		touch(name, 0644);
		if (n % 3 == 0) {
			snprintf(name, sizeof(name), "many/f%05d", n);
			ok(unlink(name));
		}
		ck_assert_int_lt(count, 20 * MANY);
	}
	ok(closedir(d));
	for (int n = 0; n < MANY; n++)
		ck_assert_msg(seen[n] == 1, "f%05d came %d times", n, seen[n]);
}
END_TEST

/* XSH telldir, seekdir, rewinddir */
START_TEST(a_place_in_a_folder_stays_while_others_come_and_go)
{
	static long places[MANY];
	struct dirent *e;
	char name[32];
	int n;
	DIR *d;

	make_many(MANY);
	d = open_many();
	for (long at = telldir(d); (e = readdir(d)); at = telldir(d)) {
		n = number_of(e);
		if (n < 0)
			continue;
		places[n] = at;
	}
	for (n = 0; n < MANY; n += 2) { /* half of them go, others come */
		snprintf(name, sizeof(name), "many/f%05d", n);
		ok(unlink(name));
		snprintf(name, sizeof(name), "many/h%05d", n);
		touch(name, 0644);
	}
	if (on_type(MAGIC_TMPFS) || on_type(MAGIC_FUSE)) { /* ext4 has a cache per handle */
		for (n = MANY - 1; n > 0; n -= 2) {
			seekdir(d, places[n]);
			do
				e = readdir(d);
			while (e && number_of(e) < 0);
			ck_assert_ptr_nonnull(e);
			ck_assert_int_eq(number_of(e), n);
		}
	}
	rewinddir(d);
	for (n = 0; (e = readdir(d));)
		n += e->d_name[0] == 'h';
	ck_assert_int_eq(n, MANY / 2);
	ok(closedir(d));
}
END_TEST

/* XSH readdir, unlink: as rm -r does it */
START_TEST(a_folder_can_be_emptied_while_it_is_read)
{
	struct dirent *e;
	int left = MANY;
	DIR *d;

	make_many(MANY);
	d = open_many();
	while ((e = readdir(d))) {
		if (number_of(e) < 0)
			continue;
		ok(unlinkat(dirfd(d), e->d_name, 0));
		left--;
	}
	ok(closedir(d));
	ck_assert_int_eq(left, 0);
	ok(rmdir("many"));
}
END_TEST

static ino_t listed_ino(const char *dir, const char *name, unsigned char *type)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	ino_t ino = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, name) == 0) {
			ino = e->d_ino;
			*type = e->d_type;
		}
	ok(closedir(d));
	return ino;
}

/* readdir(3): d_ino, d_type; "." and ".." */
START_TEST(a_listing_tells_number_and_type)
{
	unsigned char type = DT_UNKNOWN;

	ok(mkdir("dir", 0755));
	ok(mkdir("other", 0755));
	ok(mkdir("dir/sub", 0755));
	touch("dir/file", 0644);
	ok(symlink("x", "dir/link"));
	ok(mkfifo("dir/fifo", 0644));
	ck_assert(listed_ino("dir", "file", &type) == look("dir/file").st_ino && type == DT_REG);
	ck_assert(listed_ino("dir", "link", &type) == look("dir/link").st_ino && type == DT_LNK);
	ck_assert(listed_ino("dir", "fifo", &type) == look("dir/fifo").st_ino && type == DT_FIFO);
	ck_assert(listed_ino("dir", "sub", &type) == look("dir/sub").st_ino && type == DT_DIR);
	ck_assert(listed_ino("dir", ".", &type) == look("dir").st_ino && type == DT_DIR);
	ck_assert(listed_ino("dir", "..", &type) == look(".").st_ino && type == DT_DIR);
	ck_assert(listed_ino("dir/sub", "..", &type) == look("dir").st_ino);
	ck_assert(listed_ino("dir/sub", "..", &type) == look("dir").st_ino);
	ok(rename("dir/sub", "other/sub"));
	ck_assert(listed_ino("other/sub", "..", &type) == look("other").st_ino);
	ck_assert(look("other/sub/..").st_ino == look("other").st_ino);
	ok(mkdir("dir/sub", 0755));
	ck_assert(listed_ino("dir/sub", "..", &type) == look("dir").st_ino);
	ok(renameat2(AT_FDCWD, "dir/sub", AT_FDCWD, "other/sub", RENAME_EXCHANGE));
	ck_assert(listed_ino("other/sub", "..", &type) == look("other").st_ino);
	ck_assert(listed_ino("dir/sub", "..", &type) == look("dir").st_ino);
}
END_TEST

/* XSH fsync on a folder; dirfd */
START_TEST(folders_can_be_made_durable)
{
	int fd = (int)ok(open(".", O_RDONLY | O_DIRECTORY));

	touch("file", 0644);
	ok(fsync(fd));
	ok(fdatasync(fd));
	ok(syncfs(fd));
	fails(EISDIR, read(fd, &fd, 1));
	ok(close(fd));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("names");
	TCase *t = posix_case(s, "names");

	tcase_add_test(t, a_name_has_255_bytes_at_most);
	tcase_add_test(t, a_path_has_4095_bytes_at_most);
	tcase_add_test(t, a_link_says_what_it_was_given);
	tcase_add_test(t, links_that_go_in_circles_are_ELOOP);
	tcase_add_test(t, open_makes_what_it_should);
	tcase_add_test(t, the_umask_takes_bits_off_what_is_made);
	tcase_add_test(t, nodes_of_every_kind_can_be_made);
	tcase_add_test(t, fifos_and_sockets_carry_bytes);
	tcase_add_test(t, only_empty_folders_are_removed);
	tcase_add_test(t, a_folder_counts_its_subfolders);
	tcase_add_test(t, names_of_one_file_share_everything);
	tcase_add_test(t, rename_replaces_what_it_may);
	tcase_add_test(t, rename_onto_another_name_of_the_same_file_does_nothing);
	tcase_add_test(t, renameat2_keeps_or_exchanges);
	tcase_add_test(t, renameat2_leaves_a_whiteout);
	tcase_add_test(t, names_do_not_cross_filesystems);
	tcase_add_test(t, a_file_without_a_name_can_get_one);
	tcase_add_test(t, a_deleted_file_lives_while_it_is_open);
	tcase_add_test(t, in_a_deleted_folder_nothing_is_found_or_made);
	t = posix_case(s, "emlink"); /* takes as long as all others together */
	tcase_add_test(t, a_file_has_65000_names_at_most);
	t = posix_case(s, "listing");
	tcase_add_test(t, a_changing_folder_lists_what_stays_exactly_once);
	tcase_add_test(t, a_place_in_a_folder_stays_while_others_come_and_go);
	tcase_add_test(t, a_folder_can_be_emptied_while_it_is_read);
	tcase_add_test(t, a_listing_tells_number_and_type);
	tcase_add_test(t, folders_can_be_made_durable);
	return run_suite(s);
}

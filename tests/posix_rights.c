/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what: modes, owners, set-user-ID, ACLs, extended attributes. Runs as root, and as
 * others within. */
#include "posix_fixture.h"

#include <sys/mman.h>
#include <sys/xattr.h>

enum { OWNER = 1001, OTHER = 1002, GROUP = 2001, GROUP2 = 2002 };

static int may(const char *name, int how)
{
	int fd = open(name, how);

	if (fd < 0)
		return -errno;
	ok(close(fd));
	return 0;
}

static void owned(const char *name, mode_t mode)
{
	touch(name, 0600);
	ok(chown(name, OWNER, GROUP));
	ok(chmod(name, mode));
}

/* ---- modes ---- */

/* XBD 4.5: exactly one class decides */
START_TEST(the_class_of_the_process_decides)
{
	owned("group", 0070);
	owned("owner", 0700);
	owned("other", 0007);
	be_user(OWNER, OWNER);
	ck_assert_int_eq(may("owner", O_RDWR), 0);
	ck_assert_int_eq(may("other", O_RDONLY), -EACCES);
	be_user(OTHER, GROUP);
	ck_assert_int_eq(may("group", O_RDWR), 0);
	ck_assert_int_eq(may("owner", O_RDONLY), -EACCES);
	ck_assert_int_eq(may("other", O_RDONLY), -EACCES);
	be_member(OTHER, OTHER, GROUP); /* a supplementary group is one of the groups */
	ck_assert_int_eq(may("group", O_RDWR), 0);
	ck_assert_int_eq(may("other", O_RDONLY), -EACCES);
	be_member(OTHER, OTHER, GROUP2);
	ck_assert_int_eq(may("group", O_RDONLY), -EACCES);
	ck_assert_int_eq(may("other", O_RDWR), 0);
	be_root();
	ck_assert_int_eq(may("other", O_RDWR), 0);
}
END_TEST

/* XBD 4.13: search permission; XSH unlink: write permission of the folder */
START_TEST(folders_need_search_to_pass_and_write_to_change)
{
	ok(mkdir("dir", 0755));
	touch("dir/file", 0666);
	ok(chmod("dir", 0766));
	be_user(OTHER, OTHER);
	ck_assert_int_eq(may("dir/file", O_RDONLY), -EACCES);
	ck_assert_int_eq(may("dir", O_RDONLY), 0);
	be_root();
	ok(chmod("dir", 0755));
	be_user(OTHER, OTHER);
	ck_assert_int_eq(may("dir/file", O_RDWR), 0);
	fails(EACCES, unlink("dir/file"));
	fails(EACCES, rename("dir/file", "mine"));
	fails(EACCES, open("dir/new", O_CREAT | O_WRONLY, 0644));
	fails(EACCES, mkdir("dir/new", 0755));
	be_root();
	ok(chmod("dir", 0777));
	be_user(OTHER, OTHER);
	ok(rename("dir/file", "dir/renamed"));
	ok(unlink("dir/renamed"));
	be_root();
}
END_TEST

/* XSH unlink, rename: S_ISVTX */
START_TEST(in_a_sticky_folder_only_owners_remove)
{
	ok(mkdir("tmp", 0700));
	ok(chmod("tmp", 01777));
	owned("tmp/theirs", 0666);
	be_user(OTHER, OTHER);
	touch("tmp/mine", 0666);
	fails(EPERM, unlink("tmp/theirs"));
	fails(EPERM, rename("tmp/theirs", "tmp/x"));
	fails(EPERM, rename("tmp/mine", "tmp/theirs"));
	fails(EPERM, rename("tmp/theirs", "elsewhere"));
	be_user(OWNER, OWNER);
	fails(EPERM, unlink("tmp/mine"));
	ok(unlink("tmp/theirs"));
	be_root();
	ok(chown("tmp", OWNER, GROUP));
	be_user(OWNER, OWNER);
	ok(unlink("tmp/mine")); /* the folder's owner may */
	be_root();
}
END_TEST

/* XSH open, mkdir; inode(7): S_ISGID of a folder */
START_TEST(a_setgid_folder_passes_its_group_on)
{
	ok(mkdir("dir", 0777));
	ok(chown("dir", 0, GROUP));
	ok(chmod("dir", 02777));
	umask(0);
	be_user(OTHER, OTHER);
	ok(close((int)ok(open("dir/file", O_CREAT | O_WRONLY, 0644))));
	ok(mkdir("dir/sub", 0755));
	ok(symlink("x", "dir/link"));
	ok(mkfifo("dir/fifo", 0644));
	ok(mkdir("plain", 0755));
	ck_assert_int_eq(look("dir/file").st_gid, GROUP);
	ck_assert_int_eq(look("dir/sub").st_gid, GROUP);
	ck_assert_int_eq(look("dir/link").st_gid, GROUP);
	ck_assert_int_eq(look("dir/fifo").st_gid, GROUP);
	ck_assert_int_eq(look("plain").st_gid, OTHER);
	ck_assert_uint_eq(mode_of("dir/sub"), 02755);
	ck_assert_uint_eq(mode_of("dir/file"), 0644);
	/* Who is no member cannot make a program that runs as the group. */
	ok(close((int)ok(open("dir/program", O_CREAT | O_WRONLY, 02755))));
	ck_assert_uint_eq(mode_of("dir/program"), 0755);
	be_root();
}
END_TEST

/* XSH chmod */
START_TEST(chmod_is_the_owners_and_setgid_the_members)
{
	owned("file", 0644);
	be_user(OTHER, OTHER);
	fails(EPERM, chmod("file", 0666));
	be_user(OWNER, OWNER);
	ok(chmod("file", 06755));
	ck_assert_uint_eq(mode_of("file"), 04755); /* not in its group */
	be_user(OWNER, GROUP);
	ok(chmod("file", 06755));
	ck_assert_uint_eq(mode_of("file"), 06755);
	be_member(OWNER, OWNER, GROUP);
	ok(chmod("file", 02710));
	ck_assert_uint_eq(mode_of("file"), 02710);
	be_root();
	ok(chmod("file", 07777));
	ck_assert_uint_eq(mode_of("file"), 07777);
}
END_TEST

/* XSH chown */
START_TEST(chown_is_roots_and_groups_their_members)
{
	owned("file", 0644);
	be_member(OWNER, OWNER, GROUP2);
	fails(EPERM, chown("file", OTHER, (gid_t)-1));
	fails(EPERM, chown("file", (uid_t)-1, 999));
	ok(chown("file", (uid_t)-1, GROUP2));
	ok(chown("file", OWNER, (gid_t)-1));
	ck_assert_int_eq(look("file").st_gid, GROUP2);
	be_user(OTHER, OTHER);
	fails(EPERM, chown("file", OTHER, OTHER));
	be_root();
	ok(symlink("file", "link"));
	ok(lchown("link", OTHER, OTHER));
	ck_assert_int_eq(look("link").st_uid, OTHER);
	ck_assert_int_eq(look("file").st_uid, OWNER);
	ok(chown("file", 4000000000u, 4000000001u));
	ck_assert_uint_eq(look("file").st_uid, 4000000000u);
	ck_assert_uint_eq(look("file").st_gid, 4000000001u);
}
END_TEST

/* XSH chown: set-user-ID and set-group-ID; chown(2) for root */
START_TEST(chown_takes_set_user_id_away)
{
	owned("file", 06755);
	be_member(OWNER, GROUP, GROUP2);
	ok(chown("file", (uid_t)-1, GROUP2));
	ck_assert_uint_eq(mode_of("file"), 0755);
	be_root();
	ok(chmod("file", 06755));
	ok(chown("file", OTHER, OTHER));
	ck_assert_uint_eq(mode_of("file"), 0755);
	ok(chmod("file", 06745)); /* without execution by the group */
	ok(chown("file", OWNER, GROUP));
	ck_assert_uint_eq(mode_of("file"), 02745);
	ok(mkdir("dir", 0755));
	ok(chmod("dir", 06755));
	ok(chown("dir", OTHER, OTHER));
	ck_assert_uint_eq(mode_of("dir"), 06755);
}
END_TEST

/* ---- set-user-ID and writing ---- */

static void write_one(void)
{
	int fd = (int)ok(open("file", O_WRONLY));

	put(fd, "x", 1);
	ok(close(fd));
}

static void truncate_it(void)
{
	ok(truncate("file", 3));
}

static void open_truncating(void)
{
	ok(close((int)ok(open("file", O_WRONLY | O_TRUNC))));
}

static void allocate(void)
{
	int fd = (int)ok(open("file", O_WRONLY));

	ok(fallocate(fd, 0, 0, 100));
	ok(close(fd));
}

static void write_directly(void)
{
	void *block = aligned_alloc(4096, 4096);
	int fd = open("file", O_WRONLY | O_DIRECT);

	ck_assert_ptr_nonnull(block);
	memset(block, 'x', 4096);
	if (fd < 0)
		fd = (int)ok(open("file", O_WRONLY)); /* no direct I/O here */
	put(fd, block, 4096);
	ok(close(fd));
	free(block);
}

static void copy_into(void)
{
	int from = (int)ok(open(".", O_TMPFILE | O_RDWR, 0600)),
	    to = (int)ok(open("file", O_WRONLY));

	put(from, "x", 1);
	ck_assert_int_eq(ok(copy_file_range(from, &(off_t){ 0 }, to, NULL, 1, 0)), 1);
	ok(close(from));
	ok(close(to));
}

static void (*const changes[])(void) = { write_one, truncate_it,    open_truncating,
					 allocate,  write_directly, copy_into };
#define CHANGES ((int)(sizeof(changes) / sizeof(changes[0])))

static void assert_left(void (*change)(void), mode_t mode, uid_t uid, gid_t gid, mode_t left)
{
	be_root();
	ok(chmod("file", mode));
	ck_assert_uint_eq(mode_of("file"), mode);
	be_user(uid, gid);
	change();
	ck_assert_uint_eq(mode_of("file"), left);
	be_root();
}

/* XSH write, ftruncate; write(2), truncate(2), fallocate(2) */
START_TEST(whoever_changes_a_programs_bytes_takes_its_set_user_id_away)
{
	owned("file", 0666);
	assert_left(changes[_i], 06777, OTHER, OTHER, 0777);
	assert_left(changes[_i], 06777, OWNER, GROUP, 0777);
	assert_left(changes[_i], 04777, OTHER, OTHER, 0777);
	assert_left(changes[_i], 06767, OTHER, GROUP,
		    02767); /* a member, and the group cannot run it */
	assert_left(changes[_i], 06767, OTHER, OTHER, 0767);
	assert_left(changes[_i], 06777, 0, 0, 06777);
}
END_TEST

/* XSH write of no bytes */
START_TEST(writing_nothing_takes_nothing_away)
{
	int fd;

	owned("file", 06777);
	be_user(OTHER, OTHER);
	fd = (int)ok(open("file", O_WRONLY));
	ck_assert_int_eq(ok(write(fd, "", 0)), 0);
	ck_assert_uint_eq(mode_of("file"), 06777);
	ok(close(fd));
	be_root();
}
END_TEST

static const uint8_t caps[20] = { 0, 0, 0, 2, 0, 4 }; /* cap_net_bind_service, permitted */

/* capabilities(7), xattr(7): security.capability goes with the bytes and with the owner */
START_TEST(whoever_changes_a_programs_bytes_takes_its_capabilities_away)
{
	uint8_t got[64];

	owned("file", 0777);
	ok(setxattr("file", "security.capability", caps, sizeof(caps), 0));
	ck_assert_int_gt(ok(getxattr("file", "security.capability", got, sizeof(got))), 0);
	be_user(OTHER, OTHER);
	changes[_i]();
	be_root();
	fails(ENODATA, getxattr("file", "security.capability", got, sizeof(got)));
	ok(setxattr("file", "security.capability", caps, sizeof(caps), 0));
	ok(chown("file", OTHER, OTHER));
	fails(ENODATA, getxattr("file", "security.capability", got, sizeof(got)));
}
END_TEST

/* XSH futimens */
START_TEST(times_are_the_owners_and_now_is_the_writers)
{
	struct timespec set[2] = { { 1, 2 }, { 3, 4 } };
	struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };

	owned("file", 0646);
	be_user(OTHER, OTHER);
	fails(EPERM, utimensat(AT_FDCWD, "file", set, 0));
	ok(utimensat(AT_FDCWD, "file", now, 0));
	ok(utimensat(AT_FDCWD, "file", NULL, 0));
	be_user(OWNER, OWNER);
	ok(utimensat(AT_FDCWD, "file", set, 0));
	ck_assert_int_eq(look("file").st_mtim.tv_sec, 3);
	be_root();
	ok(chmod("file", 0644));
	be_user(OTHER, OTHER);
	fails(EACCES, utimensat(AT_FDCWD, "file", now, 0));
	fails(EPERM, open("file", O_RDONLY | O_NOATIME)); /* open(2) */
	be_root();
}
END_TEST

/* ---- ACLs: POSIX 1003.1e draft 17; acl(5) ---- */

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP_NAMED = 8, MASK = 16, OTHERS = 32 };
#define NOBODY 0xffffffffu
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static int set_acl(const char *name, const char *kind, const struct acl_entry *e, size_t count)
{
	uint8_t value[256] = { 2 };

	memcpy(value + 4, e, count * sizeof(*e));
	return setxattr(name, kind, value, 4 + count * sizeof(*e), 0);
}

static unsigned acl_perm(const char *name, const char *kind, unsigned tag)
{
	struct {
		uint32_t version;
		struct acl_entry e[20];
	} acl;
	long len = ok(getxattr(name, kind, &acl, sizeof(acl)));

	ck_assert_uint_eq(acl.version, 2);
	for (long n = 0; n < (len - 4) / 8; n++)
		if (acl.e[n].tag == tag)
			return acl.e[n].perm;
	ck_abort_msg("%s has no entry %u", name, tag);
	return 0;
}

static const struct acl_entry other_reads[] = {
	{ USER_OBJ, 6, NOBODY },    { USER, 6, OTHER },	 { GROUP_OBJ, 0, NOBODY },
	{ GROUP_NAMED, 4, GROUP2 }, { MASK, 4, NOBODY }, { OTHERS, 0, NOBODY }
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

START_TEST(an_acl_grants_what_its_mask_lets_through)
{
	owned("file", 0600);
	ok(set_acl("file", ACCESS, other_reads, COUNT(other_reads)));
	ck_assert_uint_eq(mode_of("file"), 0640); /* the mask shows as the group's bits */
	be_user(OTHER, OTHER);
	ck_assert_int_eq(may("file", O_RDONLY), 0);
	ck_assert_int_eq(may("file", O_RDWR), -EACCES);
	be_member(1003, 1003, GROUP2);
	ck_assert_int_eq(may("file", O_RDONLY), 0);
	be_user(1003, GROUP);
	ck_assert_int_eq(may("file", O_RDONLY), -EACCES);
	be_root();
	ok(chmod("file", 0660)); /* chmod sets the mask */
	ck_assert_uint_eq(acl_perm("file", ACCESS, MASK), 6);
	ck_assert_uint_eq(acl_perm("file", ACCESS, GROUP_OBJ), 0);
	be_user(OTHER, OTHER);
	ck_assert_int_eq(may("file", O_RDWR), 0);
	be_user(1003, GROUP);
	ck_assert_int_eq(may("file", O_RDONLY), -EACCES);
	be_root();
	ok(removexattr("file", ACCESS));
	be_user(OTHER, OTHER);
	ck_assert_int_eq(may("file", O_RDONLY), -EACCES);
	be_root();
}
END_TEST

START_TEST(a_default_acl_is_inherited_instead_of_the_umask)
{
	ok(mkdir("dir", 0777));
	ok(set_acl("dir", DEFAULT, other_reads, COUNT(other_reads)));
	umask(0777);
	ok(close((int)ok(open("dir/file", O_CREAT | O_WRONLY, 0666))));
	ok(mkdir("dir/sub", 0777));
	ok(mknod("dir/fifo", S_IFIFO | 0600, 0));
	ok(symlink("x", "dir/link"));
	umask(022);
	ck_assert_uint_eq(mode_of("dir/file"), 0640);
	ck_assert_uint_eq(acl_perm("dir/file", ACCESS, USER), 6);
	ck_assert_uint_eq(acl_perm("dir/file", ACCESS, MASK), 4);
	fails(ENODATA, getxattr("dir/file", DEFAULT, NULL, 0));
	ck_assert_uint_eq(mode_of("dir/sub"), 0640);
	ck_assert_uint_eq(acl_perm("dir/sub", DEFAULT, MASK), 4);
	ck_assert_uint_eq(mode_of("dir/fifo"), 0600);
	ck_assert_uint_eq(acl_perm("dir/fifo", ACCESS, MASK), 0);
	be_user(OTHER, OTHER);
	ck_assert_int_eq(may("dir/file", O_RDONLY), 0);
	ck_assert_int_eq(may("dir/file", O_RDWR), -EACCES);
	be_root();
}
END_TEST

START_TEST(an_acl_that_the_mode_can_say_is_the_mode)
{
	static const struct acl_entry plain[] = { { USER_OBJ, 7, NOBODY },
						  { GROUP_OBJ, 5, NOBODY },
						  { OTHERS, 1, NOBODY } };
	static const struct acl_entry broken[] = { { USER_OBJ, 7, NOBODY },
						   { USER, 7, OTHER },
						   { GROUP_OBJ, 5, NOBODY },
						   { OTHERS, 1, NOBODY } };

	owned("file", 0600);
	ok(set_acl("file", ACCESS, plain, COUNT(plain)));
	ck_assert_uint_eq(mode_of("file"), 0751);
	fails(ENODATA, getxattr("file", ACCESS, NULL, 0));
	fails(EINVAL, set_acl("file", ACCESS, broken, COUNT(broken))); /* names without a mask */
	fails(EACCES, set_acl("file", DEFAULT, plain, COUNT(plain)));
	be_user(OTHER, OTHER);
	fails(EPERM, set_acl("file", ACCESS, plain, COUNT(plain)));
	be_root();
}
END_TEST

/* 1003.1e with XSH chmod: setting an ACL is a chmod */
START_TEST(an_acl_set_by_a_non_member_takes_set_group_id_away)
{
	owned("file", 02755);
	be_user(OWNER, OWNER);
	ok(set_acl("file", ACCESS, other_reads, COUNT(other_reads)));
	ck_assert_uint_eq(mode_of("file"), 0640);
	be_root();
	ok(chmod("file", 02755));
	be_user(OWNER, GROUP);
	ok(set_acl("file", ACCESS, other_reads, COUNT(other_reads)));
	ck_assert_uint_eq(mode_of("file"), 02640);
	be_root();
}
END_TEST

/* ---- extended attributes: xattr(7), setxattr(2) ---- */

START_TEST(user_attributes_go_by_the_files_mode)
{
	char got[8];

	if (on_type(MAGIC_TMPFS))
		return; /* older ones have none */
	owned("file", 0644);
	ok(setxattr("file", "user.a", "1", 1, 0));
	be_user(OTHER, OTHER);
	ck_assert_int_eq(ok(getxattr("file", "user.a", got, sizeof(got))), 1);
	fails(EACCES, setxattr("file", "user.a", "2", 1, 0));
	fails(EACCES, removexattr("file", "user.a"));
	be_root();
	ok(chmod("file", 0600));
	be_user(OTHER, OTHER);
	fails(EACCES, getxattr("file", "user.a", got, sizeof(got)));
	be_root();
	ok(symlink("file", "link"));
	ok(mkfifo("fifo", 0666));
	fails(EPERM, lsetxattr("link", "user.a", "1", 1, 0));
	fails(EPERM, setxattr("fifo", "user.a", "1", 1, 0));
	ok(mkdir("sticky", 0777));
	ok(chmod("sticky", 01777));
	be_user(OTHER, OTHER);
	fails(EPERM, setxattr("sticky", "user.a", "1", 1, 0));
	be_root();
	ok(setxattr("sticky", "user.a", "1", 1, 0));
}
END_TEST

START_TEST(trusted_attributes_are_there_for_root_only)
{
	char list[64];

	owned("file", 0666);
	ok(setxattr("file", "trusted.a", "1", 1, 0));
	ok(lsetxattr("file", "security.a", "1", 1, 0));
	ck_assert_int_eq(ok(listxattr("file", list, sizeof(list))), 10 + 11);
	ck_assert_int_eq(ok(listxattr("file", NULL, 0)), 10 + 11);
	be_user(OWNER, GROUP);
	ck_assert_int_eq(ok(listxattr("file", list, sizeof(list))), 11);
	ck_assert_int_eq(ok(listxattr("file", NULL, 0)), 11);
	ck_assert_str_eq(list, "security.a");
	fails(ENODATA, getxattr("file", "trusted.a", list, sizeof(list)));
	fails(EPERM, setxattr("file", "trusted.b", "1", 1, 0));
	fails(EPERM, removexattr("file", "trusted.a"));
	fails(EPERM, setxattr("file", "security.b", "1", 1, 0));
	ck_assert_int_eq(ok(getxattr("file", "security.a", list, sizeof(list))), 1);
	be_root();
}
END_TEST

START_TEST(attributes_are_made_and_replaced_as_asked)
{
	char name[300] = "trusted.", got[300];

	touch("file", 0644);
	fails(ENODATA, setxattr("file", "trusted.a", "1", 1, XATTR_REPLACE));
	ok(setxattr("file", "trusted.a", "12", 2, XATTR_CREATE));
	fails(EEXIST, setxattr("file", "trusted.a", "2", 1, XATTR_CREATE));
	ok(setxattr("file", "trusted.a", "345", 3, XATTR_REPLACE));
	ck_assert_int_eq(ok(getxattr("file", "trusted.a", NULL, 0)), 3);
	fails(ERANGE, getxattr("file", "trusted.a", got, 2));
	fails(ERANGE, listxattr("file", got, 3));
	ok(setxattr("file", "trusted.empty", "", 0, 0));
	ck_assert_int_eq(ok(getxattr("file", "trusted.empty", got, sizeof(got))), 0);
	ok(removexattr("file", "trusted.a"));
	fails(ENODATA, removexattr("file", "trusted.a"));
	fails(ENODATA, getxattr("file", "trusted.a", got, sizeof(got)));
	memset(name + 8, 'n', 255 - 8);
	ok(setxattr("file", name, "1", 1, 0));
	name[255] = 'n';
	fails(ERANGE, setxattr("file", name, "1", 1, 0));
	fails(EOPNOTSUPP, setxattr("file", "nothing.a", "1", 1, 0));
	fails(EOPNOTSUPP, setxattr("file", "noprefix", "1", 1, 0));
	fails(EINVAL, setxattr("file", "trusted.", "1", 1, 0));
}
END_TEST

/* xattr(7): XATTR_SIZE_MAX */
START_TEST(an_attribute_holds_up_to_64_kib)
{
	static char value[65537], got[65537];

	if (!on_type(MAGIC_FUSE))
		return; /* ext4 has a block for all */
	memset(value, 'v', sizeof(value));
	touch("file", 0644);
	ok(setxattr("file", "user.big", value, 65536, 0));
	ck_assert_int_eq(ok(getxattr("file", "user.big", got, 65536)), 65536);
	ck_assert_int_eq(memcmp(value, got, 65536), 0);
	fails(E2BIG, setxattr("file", "user.big", value, 65537, 0));
}
END_TEST

/* ---- programs ---- */

/* XSH exec; open(2): ETXTBSY */
START_TEST(programs_run_from_here)
{
	char buf[65536];
	int from = (int)ok(open("/bin/sleep", O_RDONLY)), to = make("program", 0755), out[2];
	ssize_t n;
	pid_t pid;

	while ((n = ok(read(from, buf, sizeof(buf)))) > 0)
		put(to, buf, (size_t)n);
	ok(close(from));
	ok(close(to));
	ok(pipe2(out, O_CLOEXEC)); /* closes when the program runs */
	pid = (pid_t)ok(fork());
	if (pid == 0) {
		execl("./program", "program", "60", (char *)NULL);
		_exit(1);
	}
	ok(close(out[1]));
	ck_assert_int_eq(ok(read(out[0], buf, 1)), 0);
	fails(ETXTBSY, open("program", O_WRONLY));
	ok(kill(pid, SIGKILL));
	ok(waitpid(pid, NULL, 0));
	ok(chmod("program", 0644));
	fails(EACCES, access("program", X_OK));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rights");
	TCase *t = posix_case(s, "modes");

	if (geteuid() != 0) {
		fprintf(stderr, "needs root\n");
		return EXIT_FAILURE;
	}
	tcase_add_test(t, the_class_of_the_process_decides);
	tcase_add_test(t, folders_need_search_to_pass_and_write_to_change);
	tcase_add_test(t, in_a_sticky_folder_only_owners_remove);
	tcase_add_test(t, a_setgid_folder_passes_its_group_on);
	tcase_add_test(t, chmod_is_the_owners_and_setgid_the_members);
	tcase_add_test(t, chown_is_roots_and_groups_their_members);
	tcase_add_test(t, chown_takes_set_user_id_away);
	tcase_add_loop_test(t, whoever_changes_a_programs_bytes_takes_its_set_user_id_away, 0,
			    CHANGES);
	tcase_add_test(t, writing_nothing_takes_nothing_away);
	tcase_add_loop_test(t, whoever_changes_a_programs_bytes_takes_its_capabilities_away, 0,
			    CHANGES);
	tcase_add_test(t, times_are_the_owners_and_now_is_the_writers);
	tcase_add_test(t, programs_run_from_here);
	t = posix_case(s, "acls");
	tcase_add_test(t, an_acl_grants_what_its_mask_lets_through);
	tcase_add_test(t, a_default_acl_is_inherited_instead_of_the_umask);
	tcase_add_test(t, an_acl_that_the_mode_can_say_is_the_mode);
	tcase_add_test(t, an_acl_set_by_a_non_member_takes_set_group_id_away);
	t = posix_case(s, "xattrs");
	tcase_add_test(t, user_attributes_go_by_the_files_mode);
	tcase_add_test(t, trusted_attributes_are_there_for_root_only);
	tcase_add_test(t, attributes_are_made_and_replaced_as_asked);
	tcase_add_test(t, an_attribute_holds_up_to_64_kib);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Locks: XSH fcntl (F_SETLK, F_SETLKW, F_GETLK), fcntl(2) for open file description locks,
 * flock(2); leases and watches. */
#include "posix_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>

static int lock(int fd, int how, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, how, &l);
}

/* Runs in another process, and tells what it came to. */
static int other_process(int (*fn)(void))
{
	int status;
	pid_t pid = (pid_t)ok(fork());

	if (pid == 0)
		_exit(fn());
	ok(waitpid(pid, &status, 0));
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int open_file(void)
{
	return (int)ok(open("file", O_RDWR));
}

/* 0: could lock; else the error. */
static int write_lock_first_byte(void)
{
	return lock(open_file(), F_SETLK, F_WRLCK, 0, 1) < 0 ? errno : 0;
}

static int read_lock_first_byte(void)
{
	return lock(open_file(), F_SETLK, F_RDLCK, 0, 1) < 0 ? errno : 0;
}

static int write_lock_byte_10(void)
{
	return lock(open_file(), F_SETLK, F_WRLCK, 10, 1) < 0 ? errno : 0;
}

static int owner_of_first_byte(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	ok(fcntl(open_file(), F_GETLK, &l));
	return l.l_type == F_WRLCK && l.l_pid == getppid() && l.l_start == 0 && l.l_len == 5;
}

START_TEST(processes_lock_ranges_against_each_other)
{
	int fd = make("file", 0644), second = open_file();

	ok(lock(fd, F_SETLK, F_WRLCK, 0, 5));
	ck_assert_int_eq(other_process(write_lock_first_byte), EAGAIN);
	ck_assert_int_eq(other_process(read_lock_first_byte), EAGAIN);
	ck_assert_int_eq(other_process(write_lock_byte_10), 0);
	ck_assert_int_eq(other_process(owner_of_first_byte), 1);
	ok(lock(fd, F_SETLK, F_RDLCK, 0, 5)); /* its own gives way */
	ck_assert_int_eq(other_process(read_lock_first_byte), 0);
	ck_assert_int_eq(other_process(write_lock_first_byte), EAGAIN);
	ok(lock(fd, F_SETLK, F_UNLCK, 0, 1));
	ck_assert_int_eq(other_process(write_lock_first_byte), 0);
	ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	ck_assert_int_eq(other_process(write_lock_byte_10), EAGAIN);
	ok(close(second)); /* any of the process's: POSIX says so */
	ck_assert_int_eq(other_process(write_lock_byte_10), 0);
	ok(close(fd));
	fd = (int)ok(open("file", O_RDONLY));
	fails(EBADF, lock(fd, F_SETLK, F_WRLCK, 0, 1));
	ok(close(fd));
}
END_TEST

/* ---- waiting ---- */

static int pipe_ends[2];

static void tell(char c)
{
	ck_assert_int_eq(write(pipe_ends[1], &c, 1), 1);
}

static char hear(void)
{
	char c = 0;

	ck_assert_int_eq(read(pipe_ends[0], &c, 1), 1);
	return c;
}

/* Interrupts it until it says so: a signal may come before it waits. */
static char interrupt(pid_t pid)
{
	struct pollfd p = { .fd = pipe_ends[0], .events = POLLIN };

	do
		ok(kill(pid, SIGUSR1));
	while (ok(poll(&p, 1, 10)) == 0);
	return hear();
}

static int take_posix(void)
{
	return lock(open_file(), F_SETLKW, F_WRLCK, 0, 1);
}

static int take_ofd(void)
{
	return lock(open_file(), F_OFD_SETLKW, F_WRLCK, 0, 1);
}

static int take_flock(void)
{
	return flock(open_file(), LOCK_EX);
}

static int (*const takes[])(void) = { take_posix, take_ofd, take_flock };

static void ignore(int sig)
{
}

/* A process that waits for the lock; tells 'l' when it has it, 'i' when a signal ended the wait. */
static pid_t waiter(int (*take)(void))
{
	struct sigaction action = { .sa_handler = ignore };
	pid_t pid = (pid_t)ok(fork());

	if (pid)
		return pid;
	ok(sigaction(SIGUSR1, &action, NULL));
	tell('b');
	tell(take() == 0 ? 'l' : errno == EINTR ? 'i' : 'e');
	_exit(0);
}

static void hold(int fd, int kind, bool on)
{
	if (kind == 2)
		ok(flock(fd, on ? LOCK_EX : LOCK_UN));
	else
		ok(lock(fd, kind == 1 ? F_OFD_SETLK : F_SETLK, on ? F_WRLCK : F_UNLCK, 0, 1));
}

START_TEST(who_waits_for_a_lock_gets_it_or_a_signal)
{
	int fd = make("file", 0644), held;
	pid_t pid;

	ok(close(fd));
	ok(pipe(pipe_ends));
	held = open_file();
	hold(held, _i, true);
	pid = waiter(takes[_i]);
	ck_assert_int_eq(hear(), 'b');
	ck_assert_int_eq(interrupt(pid), 'i');
	await(pid);
	pid = waiter(takes[_i]);
	ck_assert_int_eq(hear(), 'b');
	hold(held, _i, false); /* closing would not do: the waiter has inherited it */
	ck_assert_int_eq(hear(), 'l');
	await(pid);
}
END_TEST

START_TEST(a_killed_process_leaves_no_lock)
{
	pid_t pid;

	touch("file", 0644);
	ok(pipe(pipe_ends));
	pid = (pid_t)ok(fork());
	if (pid == 0) {
		ok(take_posix());
		ok(take_flock());
		tell('l');
		for (;;)
			pause();
	}
	ck_assert_int_eq(hear(), 'l');
	ck_assert_int_eq(other_process(write_lock_first_byte), EAGAIN);
	ok(kill(pid, SIGKILL));
	ok(waitpid(pid, NULL, 0));
	ck_assert_int_eq(other_process(write_lock_first_byte), 0);
	ok(flock(open_file(), LOCK_EX | LOCK_NB));
}
END_TEST

/* Waits for the other's byte, and lets go of its own when that is refused. */
static int cross(int fd, off_t own, off_t others)
{
	if (lock(fd, F_SETLKW, F_WRLCK, others, 1) == 0)
		return 0;
	ck_assert_int_eq(errno, EDEADLK);
	ok(lock(fd, F_SETLK, F_UNLCK, own, 1));
	return 1;
}

/* XSH fcntl: EDEADLK */
START_TEST(a_circle_of_waiting_is_refused_to_one_of_them)
{
	int fd = make("file", 0644), refused, status;
	pid_t pid;

	ok(pipe(pipe_ends));
	ok(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = (pid_t)ok(fork());
	if (pid == 0) {
		ok(lock(fd, F_SETLK, F_WRLCK, 1, 1));
		tell('b');
		_exit(cross(fd, 1, 0));
	}
	ck_assert_int_eq(hear(), 'b');
	refused = cross(fd, 0, 1);
	ok(waitpid(pid, &status, 0));
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(refused + WEXITSTATUS(status), 1);
	ok(close(fd));
}
END_TEST

/* fcntl(2): open file description locks */
START_TEST(description_locks_belong_to_the_open_file)
{
	int a = make("file", 0644), b = open_file(), copy = (int)ok(dup(a));

	ok(lock(a, F_OFD_SETLK, F_WRLCK, 0, 1));
	fails(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	fails(EAGAIN, lock(b, F_SETLK, F_WRLCK, 0, 1));
	ok(lock(b, F_OFD_SETLK, F_WRLCK, 1, 1));
	ok(close(open_file())); /* takes none away */
	fails(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	ok(close(a));
	fails(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	ok(close(copy));
	ok(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	ok(close(b));
}
END_TEST

START_TEST(flock_is_shared_or_exclusive)
{
	int a = make("file", 0644), b = open_file(), c;

	ok(flock(a, LOCK_SH));
	ok(flock(b, LOCK_SH));
	fails(EWOULDBLOCK, flock(a, LOCK_EX | LOCK_NB));
	ok(flock(b, LOCK_UN));
	ok(flock(a, LOCK_EX | LOCK_NB));
	fails(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
	ok(lock(b, F_SETLK, F_WRLCK, 0, 0)); /* another kind: they do not meet */
	c = (int)ok(dup(a));
	ok(flock(c, LOCK_UN));
	ok(flock(b, LOCK_EX | LOCK_NB));
	ok(mkdir("dir", 0755));
	c = (int)ok(open("dir", O_RDONLY | O_DIRECTORY));
	ok(flock(c, LOCK_EX));
	ok(close(a));
	ok(close(b));
	ok(close(c));
}
END_TEST

/* ---- leases and watches: fcntl(2) F_SETLEASE, inotify(7) ---- */

static int open_for_writing(void)
{
	return open("file", O_WRONLY | O_NONBLOCK) < 0 ? errno : 0;
}

START_TEST(who_holds_a_lease_is_told_before_somebody_writes)
{
	struct timespec soon = { 60, 0 };
	sigset_t set;
	int fd;

	touch("file", 0644);
	fd = (int)ok(open("file", O_RDONLY));
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ok(sigprocmask(SIG_BLOCK, &set, NULL));
	ok(fcntl(fd, F_SETLEASE, F_RDLCK));
	ck_assert_int_eq(fcntl(fd, F_GETLEASE), F_RDLCK);
	ck_assert_int_eq(other_process(open_for_writing), EWOULDBLOCK);
	ck_assert_int_eq(sigtimedwait(&set, NULL, &soon), SIGIO);
	ok(fcntl(fd, F_SETLEASE, F_UNLCK));
	ck_assert_int_eq(other_process(open_for_writing), 0);
	ok(close(fd));
}
END_TEST

static uint32_t next_event(int watch, const char *name)
{
	union {
		struct inotify_event e;
		char bytes[sizeof(struct inotify_event) + 16]; /* room for one with a short name */
	} u;

	ok(read(watch, &u, sizeof(u)));
	ck_assert_str_eq(u.e.len ? u.e.name : "", name);
	return u.e.mask;
}

START_TEST(who_watches_a_folder_sees_what_happens_in_it)
{
	int watch = (int)ok(inotify_init1(IN_NONBLOCK));

	ok(mkdir("dir", 0755));
	ok(inotify_add_watch(watch, "dir",
			     IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_DELETE));
	touch_with("dir/file", "x");
	ck_assert_uint_eq(next_event(watch, "file"), IN_CREATE);
	ck_assert_uint_eq(next_event(watch, "file"), IN_ATTRIB); /* fchmod */
	ck_assert_uint_eq(next_event(watch, "file"), IN_MODIFY);
	ok(rename("dir/file", "file"));
	ck_assert_uint_eq(next_event(watch, "file"), IN_MOVED_FROM);
	ok(mkdir("dir/sub", 0755));
	ok(rmdir("dir/sub"));
	ck_assert_uint_eq(next_event(watch, "sub"), IN_CREATE | IN_ISDIR);
	ck_assert_uint_eq(next_event(watch, "sub"), IN_DELETE | IN_ISDIR);
	ok(close(watch));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("locks");
	TCase *t = posix_case(s, "locks");

	tcase_add_test(t, processes_lock_ranges_against_each_other);
	tcase_add_loop_test(t, who_waits_for_a_lock_gets_it_or_a_signal, 0, 3);
	tcase_add_test(t, a_killed_process_leaves_no_lock);
	tcase_add_test(t, a_circle_of_waiting_is_refused_to_one_of_them);
	tcase_add_test(t, description_locks_belong_to_the_open_file);
	tcase_add_test(t, flock_is_shared_or_exclusive);
	tcase_add_test(t, who_holds_a_lease_is_told_before_somebody_writes);
	tcase_add_test(t, who_watches_a_folder_sees_what_happens_in_it);
	return run_suite(s);
}

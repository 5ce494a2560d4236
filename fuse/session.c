/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection with the kernel. */
#include "session.h"
#include "virtual.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_log.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * A worker waits with its request, for the store or for memory, so there must be enough of them
 * that waiting ones do not keep others out. They come as they are needed, and stay: with many
 * fsyncs that share commits they would end and begin with every one.
 */
#define WORKERS_MAX 128
#define READAHEAD_KIB "1024"
#define WAKE_EVERY_MS 50

struct session {
	const struct daemon_request *request;
	struct fuse_session *fuse;
	struct ops_ctx *ops;
	bool mounted;
	unsigned dev_major, dev_minor; /* of the mount; 0:0 unknown */
	bool ended;		       /* atomic: the loop has returned */
	pthread_t loop_thread;
	void (*on_ready)(void *ctx);
	void *ready_ctx;
	int ready_result;

	/* The supervisor's thread: */
	int cannot_probe; /* the kernel does not know how, or does not want to */
	bool introducing; /* atomic */
	bool has_introducer;
	pthread_t introducer;
};

/* ---- libfuse's messages ---- */

static char last_message[256];
static bool serving; /* atomic */

/* What it says when mounting fails becomes our error's note; anything later goes to the log. */
static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[1024];
	enum log_level ours = level <= FUSE_LOG_ERR	  ? LOG_L_ERROR
			      : level == FUSE_LOG_WARNING ? LOG_L_WARN
			      : level <= FUSE_LOG_INFO	  ? LOG_L_INFO
							  : LOG_L_DEBUG;

	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	if (ours == LOG_L_ERROR && !__atomic_load_n(&serving, __ATOMIC_RELAXED))
		(void)snprintf(last_message, sizeof(last_message), "%.255s", line);
	else
		log_line(ours, "%s", line);
}

/* ---- mounting ---- */

int session_new(const struct daemon_request *r, struct ops_ctx *ops, struct session **ret)
{
	struct buf options CLEANUP(buf_release) = BUF_INIT;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct session *s = calloc(1, sizeof(*s));
	int err = s ? mount_options_for_fuse(r->options, r->url, &options) : -ENOMEM;

	if (err < 0) {
		free(s);
		return err;
	}
	fuse_set_log_func(on_fuse_log);
	s->request = r;
	s->ops = ops;
	if (fuse_opt_add_arg(&args, "levels3fs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
	    fuse_opt_add_arg(&args, buf_cstr(&options)) == 0 &&
	    (!r->debug || fuse_opt_add_arg(&args, "-d") == 0))
		s->fuse = fuse_session_new(&args, &virtual_table, sizeof(virtual_table), ops);
	fuse_opt_free_args(&args);
	if (!s->fuse) {
		free(s);
		return err_note(-EINVAL, "libfuse refuses: %s", last_message);
	}
	*ret = s;
	return 0;
}

int session_mount(struct session *s)
{
	struct ctl_mount m;
	int err;

	if (fuse_session_mount(s->fuse, s->request->dir) != 0)
		return *last_message
			       ? err_note(-EPERM, "the kernel refuses to mount: %s", last_message)
			       : err_note(-EPERM,
					  "fusermount3 refuses to mount, for the reason above");
	s->mounted = true;
	err = wire_attach(s->fuse);
	if (err < 0)
		return err;
	s->ops->fuse = s->fuse;
	__atomic_store_n(&serving, true, __ATOMIC_RELAXED);
	if (ctl_mount_at(s->request->dir, &m) >= 0) {
		s->dev_major = m.major;
		s->dev_minor = m.minor;
	}
	return 0;
}

/* ---- serving ---- */

/* The kernel reads ahead 128 KiB at most unless told; only root can. */
static void widen_readahead(const struct stat *root)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb",
		       major(root->st_dev), minor(root->st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, READAHEAD_KIB, strlen(READAHEAD_KIB)) < 0)
		log_debug("%s: %s", path, err_text(-errno));
	(void)close(fd);
}

/* A program's view: the whole way through the kernel and back. */
static void *first_look(void *arg)
{
	struct session *s = arg;
	/* Opened, not just looked at: valgrind holds all threads up while one is in stat. */
	int fd CLEANUP(close_fd) = open(s->request->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat root;

	if (fd < 0 || fstat(fd, &root) < 0) {
		s->ready_result = -errno;
		session_stop(s);
		return NULL;
	}
	widen_readahead(&root);
	close_fd(&fd);
	s->on_ready(s->ready_ctx);
	return NULL;
}

static void ignore_signal(int sig)
{
}

/* Only wakes the loop's thread; see end_loop. */
static void accept_wake_signal(void)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	sigset_t set;

	(void)sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int run_loop(struct session *s)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_idle_threads(config, WORKERS_MAX);
	fuse_loop_cfg_set_max_threads(config, WORKERS_MAX);
	err = fuse_session_loop_mt(s->fuse, config);
	fuse_loop_cfg_destroy(config);
	__atomic_store_n(&s->ended, true, __ATOMIC_RELEASE);
	return err < 0 ? err_note(err, "the connection with the kernel broke: %s", err_text(err))
		       : 0;
}

int session_loop(struct session *s, void (*on_ready)(void *ctx), void *ctx)
{
	pthread_t looker;
	int err;

	s->on_ready = on_ready;
	s->ready_ctx = ctx;
	s->loop_thread = pthread_self();
	accept_wake_signal();
	if (pthread_create(&looker, NULL, first_look, s) != 0)
		return err_note(-EAGAIN, "cannot start a thread");
	err = run_loop(s);
	wait_for_all();
	pthread_join(looker, NULL);
	if (err >= 0 && s->ready_result < 0)
		return err_note(s->ready_result, "the root folder cannot be read: %s",
				err_text(s->ready_result));
	return err;
}

/* ---- probing ---- */

/* So that the kernel knows the file of which session_probe asks. On a thread of its own: it waits for a worker. */
static void *introduce(void *arg)
{
	struct session *s = arg;
	char path[PATH_MAX + sizeof(VIRTUAL_NAME) + 16];
	struct stat unused;

	(void)snprintf(path, sizeof(path), "%s/" VIRTUAL_NAME "/status", s->request->dir);
	if (stat(path, &unused) < 0)
		log_debug("%s: %s", path, err_text(-errno));
	__atomic_store_n(&s->introducing, false, __ATOMIC_RELEASE);
	return NULL;
}

static void start_introducing(struct session *s)
{
	if (__atomic_exchange_n(&s->introducing, true, __ATOMIC_ACQUIRE))
		return;
	if (s->has_introducer)
		pthread_join(s->introducer, NULL);
	s->has_introducer = pthread_create(&s->introducer, NULL, introduce, s) == 0;
	if (!s->has_introducer)
		__atomic_store_n(&s->introducing, false, __ATOMIC_RELEASE);
}

/* It shall send back what it has cached of a file, in no bytes. */
int session_probe(struct session *s)
{
	int err = s->cannot_probe;

	if (err < 0)
		return err;
	__atomic_store_n(&s->ops->probe_answered, false, __ATOMIC_RELAXED);
	err = fuse_lowlevel_notify_retrieve(s->fuse, VIRTUAL_PROBED_INO, 0, 0, s->ops);
	if (err == -ENOENT)
		start_introducing(s);
	else if (err < 0)
		s->cannot_probe = err;
	return err;
}

/* ---- the end ---- */

/* libfuse's loop waits on a semaphore, and looks whether it shall end when a signal interrupts
 * that. It may be about to begin waiting, so more than one may be needed. */
static void end_loop(struct session *s)
{
	struct clock *c = &clock_system;

	fuse_session_exit(s->fuse);
	while (!__atomic_load_n(&s->ended, __ATOMIC_ACQUIRE)) {
		(void)pthread_kill(s->loop_thread, SIGUSR1);
		c->sleep_ms(c, WAKE_EVERY_MS);
	}
}

/* Writes out what the kernel still has of mapped files. */
static void flush_kernel(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)syncfs(fd);
	(void)close(fd);
}

/* Somebody may have unmounted ours already, or mounted something over it. */
static bool is_on_top(const struct session *s)
{
	struct ctl_mount m;

	return ctl_mount_at(s->request->dir, &m) >= 0 && m.major == s->dev_major &&
	       m.minor == s->dev_minor;
}

void session_stop(struct session *s)
{
	int err = is_on_top(s) ? ctl_unmount(s->request->dir, 0) : -EBUSY;

	if (err >= 0)
		return; /* the kernel ends the session */
	if (!is_on_top(s)) {
		end_loop(s);
		return;
	}
	log_line(LOG_L_WARN, "%s is in use (%s): its programs will get errors from now on",
		 s->request->dir, err_text(err));
	flush_kernel(s->request->dir);
	(void)ctl_unmount(s->request->dir, MNT_DETACH);
	end_loop(s);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->mounted && is_on_top(s))
		fuse_session_unmount(s->fuse);
	fuse_session_destroy(s->fuse); /* it may wait for that */
	if (s->has_introducer)
		pthread_join(s->introducer, NULL);
	free(s);
}

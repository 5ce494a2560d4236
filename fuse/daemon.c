/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that serves a mount, from opening the filesystem to storing the last byte. */
#include "daemon.h"
#include "logger.h"
#include "ops.h"
#include "scrape.h"
#include "session.h"
#include "supervisor.h"
#include "virtual.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define VISITORS_MAX 8

struct daemon {
	const struct daemon_request *request;
	struct fs_config config;
	struct fs *fs; /* with lock: NULL once closing has begun */
	struct ops_ctx ops;
	struct trace *trace;
	struct meter meter;
	int metrics_fd; /* -1: none */
	char metrics_address[SCRAPE_ADDRESS_LEN];
	struct virtual *virtual;
	struct session *session;
	struct control *control;
	pthread_t signals;

	pthread_mutex_t lock;
	pthread_cond_t stopped;
	bool stopping;	   /* the signal thread is in session_stop */
	unsigned visitors; /* daemon_enter */
	enum daemon_state state;
	uint64_t bytes_left; /* while closing */
	uint64_t bytes_given_up;
	bool aborted;
	int64_t since_s;
	int ready_fd;
};

/* ---- log ---- */

static void on_notice(void *ctx, enum log_level level, const char *text)
{
	log_line(level, "%s", text);
}

static void on_request(void *ctx, const struct store_request *r)
{
	struct daemon *d = ctx;

	meter_request(&d->meter, r);
	logger_request(r);
	trace_request(d->trace, r);
}

static int on_lease_wait(void *ctx, const struct lease_holder *holder, uint64_t waited_ms)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;
	struct daemon *d = ctx;
	uint64_t all_s = d->config.lease_wait_ms / 1000;

	if (waited_ms / 1000 % 5 != 0)
		return 0;
	lease_describe(holder, &who);
	supervisor_wait_more("Waiting for the lease, held by ", buf_cstr(&who));
	log_line(LOG_L_INFO, "waiting for the lease, held by %s (%llu s of %llu s)", buf_cstr(&who),
		 (unsigned long long)(waited_ms / 1000), (unsigned long long)all_s);
	return 0;
}

/* ---- the parent ---- */

/* Who started us waits for this. Once. */
static void tell_parent(struct daemon *d, int code)
{
	unsigned char byte = (unsigned char)code;

	if (d->ready_fd < 0)
		return;
	while (write(d->ready_fd, &byte, 1) < 0 && errno == EINTR)
		;
	(void)close(d->ready_fd);
	d->ready_fd = -1;
}

static void let_go_of_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	if (chdir("/") < 0)
		log_line(LOG_L_WARN, "cannot change to /: %s", err_text(-errno));
	logger_detach();
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null > STDERR_FILENO)
		(void)close(null);
}

/* Called once the root could be read through the kernel. */
static void on_ready(void *ctx)
{
	struct daemon *d = ctx;

	if (!d->request->foreground)
		let_go_of_terminal();
	log_line(d->request->foreground ? LOG_L_INFO : LOG_L_DEBUG, "%s is mounted on %s",
		 d->request->url, d->request->dir);
	supervisor_ready();
	tell_parent(d, 0);
}

/* ---- what the control socket asks ---- */

enum daemon_state daemon_state(struct daemon *d)
{
	enum daemon_state state;

	pthread_mutex_lock(&d->lock);
	state = d->state;
	pthread_mutex_unlock(&d->lock);
	return state;
}

const struct daemon_request *daemon_request(const struct daemon *d)
{
	return d->request;
}

struct trace *daemon_trace(const struct daemon *d)
{
	return d->trace;
}

const struct meter *daemon_meter(const struct daemon *d)
{
	return &d->meter;
}

const char *daemon_metrics_address(const struct daemon *d)
{
	return d->metrics_address;
}

int64_t daemon_since_s(const struct daemon *d)
{
	return d->since_s;
}

const char *daemon_cache_dir(const struct daemon *d)
{
	return d->config.cache_dir ? d->config.cache_dir : "none";
}

bool daemon_look(struct daemon *d, struct daemon_view *ret)
{
	bool open;

	pthread_mutex_lock(&d->lock);
	open = d->state == DAEMON_MOUNTED;
	if (open) {
		fs_status(d->fs, &ret->fs);
		(void)fs_statfs(d->fs, &ret->space);
		ret->uuid = *fs_uuid(d->fs);
	}
	pthread_mutex_unlock(&d->lock);
	return open;
}

uint64_t daemon_bytes_left(struct daemon *d)
{
	uint64_t left;

	pthread_mutex_lock(&d->lock);
	left = d->bytes_left;
	pthread_mutex_unlock(&d->lock);
	return left;
}

struct fs *daemon_enter(struct daemon *d)
{
	struct fs *fs = NULL;

	pthread_mutex_lock(&d->lock);
	if (d->state == DAEMON_MOUNTED && d->visitors < VISITORS_MAX) {
		d->visitors++;
		fs = d->fs;
	}
	pthread_mutex_unlock(&d->lock);
	return fs;
}

void daemon_leave(struct daemon *d)
{
	pthread_mutex_lock(&d->lock);
	d->visitors--;
	pthread_cond_signal(&d->stopped);
	pthread_mutex_unlock(&d->lock);
}

/* The session stays as long as somebody is in the filesystem. */
bool daemon_probe(struct daemon *d)
{
	bool asked;

	if (!daemon_enter(d))
		return false;
	asked = session_probe(d->session) >= 0;
	daemon_leave(d);
	return asked;
}

bool daemon_probe_answered(struct daemon *d)
{
	return __atomic_load_n(&d->ops.probe_answered, __ATOMIC_RELAXED);
}

/* While closing, the filesystem is fs_close's, which asks (on_progress). */
void daemon_abort(struct daemon *d)
{
	struct fs_status s = { 0 };

	pthread_mutex_lock(&d->lock);
	if (!d->aborted && (d->state == DAEMON_MOUNTED || d->visitors > 0)) {
		fs_status(d->fs, &s);
		d->bytes_given_up = s.dirty_bytes;
		fs_abort(d->fs);
	} else if (!d->aborted) {
		d->bytes_given_up = d->bytes_left;
	}
	d->aborted = true;
	pthread_mutex_unlock(&d->lock);
	log_line(LOG_L_WARN, "told to give up what is not stored yet");
}

/* ---- signals ---- */

static void daemon_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGQUIT);
}

/* The session stays until session_stop has returned (wait_for_stop). False if it is too late. */
static bool begin_stop(struct daemon *d)
{
	pthread_mutex_lock(&d->lock);
	d->stopping = d->state == DAEMON_MOUNTED;
	pthread_mutex_unlock(&d->lock);
	return d->stopping;
}

static void end_stop(struct daemon *d)
{
	pthread_mutex_lock(&d->lock);
	d->stopping = false;
	pthread_cond_signal(&d->stopped);
	pthread_mutex_unlock(&d->lock);
}

static void on_signal(struct daemon *d, int sig)
{
	if (daemon_state(d) == DAEMON_OPENING) {
		/* Nothing has been accepted, and a lease taken by a process that is gone is free.
		 */
		log_line(LOG_L_ERROR, "interrupted by signal %d; nothing is mounted", sig);
		tell_parent(d, EXIT_INTERRUPTED);
		_exit(EXIT_INTERRUPTED);
	}
	if (sig == SIGQUIT)
		daemon_abort(d);
	if (begin_stop(d)) {
		log_line(LOG_L_INFO, "signal %d: unmounting %s", sig, d->request->dir);
		session_stop(d->session);
		end_stop(d);
	} else if (sig != SIGQUIT) {
		log_line(LOG_L_WARN, "still storing what was written; SIGQUIT gives it up");
	}
}

static void *signal_thread(void *arg)
{
	struct daemon *d = arg;
	sigset_t set;

	daemon_signals(&set);
	for (;;) {
		int sig;

		if (sigwait(&set, &sig) == 0)
			on_signal(d, sig);
	}
	return NULL;
}

/* Before any other thread is made, so that all inherit the mask. */
static int take_signals(struct daemon *d)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	daemon_signals(&set);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&d->signals, NULL, signal_thread, d) != 0)
		return err_note(-EAGAIN, "cannot start a thread");
	(void)pthread_detach(d->signals);
	return 0;
}

/* ---- opening and closing ---- */

/* Every cached object may be an open file. */
static void raise_file_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

static void complain(struct daemon *d, const char *what, int err)
{
	struct buf why CLEANUP(buf_release) = BUF_INIT;

	fs_explain(err, &why);
	supervisor_say("STATUS=%s: %s", what, buf_cstr(&why));
	log_line(LOG_L_ERROR, "%s %s on %s: %s", what, d->request->url, d->request->dir,
		 buf_cstr(&why));
}

/* What the kernel has accepted into its cache could not be refused any more for want of space. */
static bool may_write_back(const struct daemon *d)
{
	return d->request->options->writeback && !d->config.size_limit_bytes;
}

/* Under writeback the kernel marks what is written with the time of its last tick. Ours must not be
 * ahead of that: what is later would look earlier. */
static int64_t tick_ns(struct clock *c)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

static struct clock ticking_clock;

/*
 * What malloc keeps for later counts as well. It has a heap for every few threads, each as large as it once was;
 * and a freed buffer inside of one goes back to the kernel only when all behind it are free. With little memory,
 * buffers live outside of the heaps; with more, mapping them anew each time would cost more than it saves.
 */
#define HEAP_SHARE (64 * MIB) /* of mem_limit, for each heap */
#define HEAPS_MIN 2
#define LITTLE_MEMORY (256 * MIB)
#define MAPPED_FROM (64 * KIB)

static void bound_heaps(uint64_t mem_limit_bytes)
{
#ifdef M_ARENA_MAX
	(void)mallopt(M_ARENA_MAX,
		      (int)max_u64(HEAPS_MIN, min_u64(mem_limit_bytes / HEAP_SHARE, INT_MAX)));
	if (mem_limit_bytes < LITTLE_MEMORY)
		(void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
#endif
}

static int open_filesystem(struct daemon *d)
{
	int err = trace_new(&d->trace);

	if (err < 0)
		return err;
	d->config = d->request->options->config;
	bound_heaps(d->config.mem_limit_bytes);
	d->config.mountpoint = d->request->dir;
	d->config.notifier = (struct notifier){ on_notice, d };
	d->config.on_wait = on_lease_wait;
	d->config.on_request = on_request;
	d->config.ctx = d;
	if (may_write_back(d)) {
		ticking_clock = clock_system;
		ticking_clock.real_ns = tick_ns;
		d->config.clock = &ticking_clock;
	}
	if (d->request->options->writeback && !may_write_back(d))
		log_line(LOG_L_WARN, "size_limit goes without writeback");
	err = fs_open(d->request->url, &d->config, &d->fs);
	if (err < 0)
		return err;
	fs_reap_without_forget(d->fs, false);
	err = virtual_new(d, &d->virtual);
	if (err < 0)
		return err;
	d->ops = (struct ops_ctx){ .fs = d->fs,
				   .trace = d->trace,
				   .virtual = d->virtual,
				   .writeback = may_write_back(d),
				   .mem_limit_bytes = d->config.mem_limit_bytes,
				   .strictatime = d->config.strictatime,
				   .sync_names = d->request->options->flags &
						 (MS_SYNCHRONOUS | MS_DIRSYNC) };
	park_open(d->config.cache_dir, d->config.mem_limit_bytes, ops_request_bytes(&d->ops));
	return 0;
}

/* Nothing is lost without it but comfort. */
static void start_control(struct daemon *d)
{
	struct ctl_mount m;
	int err = ctl_mount_at(d->request->dir, &m);

	if (err >= 0)
		err = control_start(d, &m, &d->control);
	if (err < 0)
		log_line(LOG_L_WARN, "no control socket, so \"levels3fs status\" will not work: %s",
			 err_text(err));
}

static void announce(struct daemon *d)
{
	int err = ctl_utab_add(d->request->dir);

	if (err < 0)
		log_line(LOG_L_WARN,
			 "umount(8) will not wait until everything is stored, \"levels3fs umount\" "
			 "does: /run/mount/utab: %s",
			 err_text(err));
}

/* Before anything else, as the port may be taken. */
static int listen_for_metrics(struct daemon *d)
{
	const char *where = d->request->options->metrics;

	d->metrics_fd = -1;
	return where ? scrape_listen(where, &d->metrics_fd, d->metrics_address) : 0;
}

static int start_metrics(struct daemon *d)
{
	return d->metrics_fd < 0 ? 0 : scrape_start(d, d->metrics_fd);
}

/* From mounting to the kernel's last word. */
static int serve(struct daemon *d)
{
	int err = session_mount(d->session);

	if (err < 0)
		return err;
	pthread_mutex_lock(&d->lock);
	d->state = DAEMON_MOUNTED;
	d->since_s = (int64_t)time(NULL);
	pthread_mutex_unlock(&d->lock);
	start_control(d);
	announce(d);
	err = start_metrics(d);
	if (err < 0)
		return err;
	return session_loop(d->session, on_ready, d);
}

static void on_progress(void *ctx, uint64_t bytes_left)
{
	struct daemon *d = ctx;
	bool aborted;

	pthread_mutex_lock(&d->lock);
	d->bytes_left = bytes_left;
	aborted = d->aborted;
	pthread_mutex_unlock(&d->lock);
	control_say(d->control, "left %llu", (unsigned long long)bytes_left);
	if (aborted)
		fs_abort(d->fs);
}

/* From here on nobody else uses session or filesystem. Returns what was so far. */
static enum daemon_state begin_closing(struct daemon *d)
{
	enum daemon_state before;
	struct fs_status s;

	pthread_mutex_lock(&d->lock);
	before = d->state;
	d->state = DAEMON_CLOSING;
	pthread_mutex_unlock(&d->lock);
	control_say(d->control, "closing");
	supervisor_say("STOPPING=1");
	pthread_mutex_lock(&d->lock);
	while (d->stopping || d->visitors > 0)
		pthread_cond_wait(&d->stopped, &d->lock);
	if (d->fs) {
		fs_status(d->fs, &s);
		d->bytes_left = s.dirty_bytes;
	}
	pthread_mutex_unlock(&d->lock);
	return before;
}

static int close_filesystem(struct daemon *d, bool was_mounted)
{
	char size[SIZE_STR_LEN];
	int err;

	err = fs_close(d->fs, on_progress, d);
	d->fs = NULL;
	if (err >= 0) {
		control_say(d->control, "done 0");
		if (was_mounted)
			log_line(LOG_L_INFO, "%s is unmounted, and everything stored in %s",
				 d->request->dir, d->request->url);
		return 0;
	}
	if (d->aborted)
		(void)err_note(err,
			       "given up: %s of file data, and the last changes, are not stored",
			       format_size(d->bytes_given_up, size));
	control_say(d->control, "done %d %s", -err,
		    *err_last_note() ? err_last_note() : err_text(err));
	complain(d, "could not store everything written to", err);
	return err;
}

static int open_and_serve(struct daemon *d)
{
	int err = listen_for_metrics(d);

	if (err >= 0)
		err = open_filesystem(d);
	if (err >= 0)
		err = session_new(d->request, &d->ops, &d->session);
	if (err >= 0)
		err = serve(d);
	if (err < 0)
		complain(d, d->ready_fd < 0 ? "no longer serving" : "cannot mount", err);
	return err;
}

static int run(struct daemon *d)
{
	int err = open_and_serve(d);
	int code = err == -L3_BAD_OPTION ? EXIT_USAGE : err < 0 ? EXIT_MOUNT : 0;
	bool was_mounted = begin_closing(d) == DAEMON_MOUNTED;

	virtual_free(d->virtual);
	session_free(d->session);
	if (was_mounted)
		(void)ctl_utab_remove(d->request->dir);
	if (d->fs && close_filesystem(d, was_mounted) < 0)
		code = EXIT_MOUNT;
	return code;
}

noreturn void daemon_run(const struct daemon_request *r)
{
	struct daemon d = { .request = r,
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .stopped = PTHREAD_COND_INITIALIZER,
			    .ready_fd = r->ready_fd };
	int code = EXIT_SYSTEM;

	if (logger_start(r) < 0) {
		log_line(LOG_L_ERROR, "%s", err_last_note());
		tell_parent(&d, EXIT_USAGE);
		_exit(EXIT_USAGE);
	}
	raise_file_limit();
	if (store_take_keys() < 0)
		log_line(LOG_L_DEBUG, "the keys stay in the environment: %s", err_last_note());
	if (take_signals(&d) < 0 || wait_start() < 0 ||
	    (r->foreground && supervisor_start(&d) < 0))
		log_line(LOG_L_ERROR, "%s", err_last_note());
	else
		code = run(&d);
	tell_parent(&d, code);
	/* Not by returning: the signal thread uses what is on this stack, and watchers of the
	 * control socket wait for the end of the process. */
	_exit(code);
}

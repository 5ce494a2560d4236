/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling systemd. See supervisor.h. */
#include "supervisor.h"

#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_EVERY_MS 5000
#define MORE_TIME_S 60
#define LINES_BYTES 1024

static struct {
	int fd; /* -1: nobody to tell */
	struct sockaddr_un to;
	socklen_t to_len;
	uint64_t watchdog_ms; /* 0: none */
	bool ready;	      /* atomic */
} manager = { .fd = -1 };

struct watch { /* the thread's */
	struct daemon *daemon;
	struct pulse pulse;
	uint64_t bytes_left;
	bool closing, stuck;
};

/* ---- the datagrams ---- */

void supervisor_say(const char *fmt, ...)
{
	char lines[LINES_BYTES];
	va_list ap;

	if (manager.fd < 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(lines, sizeof(lines), fmt, ap);
	va_end(ap);
	if (sendto(manager.fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
		   (struct sockaddr *)&manager.to, manager.to_len) < 0)
		log_debug("the service manager is not told: %s", err_text(-errno));
}

void supervisor_ready(void)
{
	supervisor_say("READY=1");
	__atomic_store_n(&manager.ready, true, __ATOMIC_RELEASE);
}

void supervisor_wait_more(const char *why, const char *more)
{
	supervisor_say("STATUS=%s%s\nEXTEND_TIMEOUT_USEC=%d000000", why, more, MORE_TIME_S);
}

/* ---- a look now and then ---- */

static uint64_t sum(const uint64_t counts[STORE_OP_COUNT])
{
	uint64_t all = 0;

	for (size_t i = 0; i < STORE_OP_COUNT; i++)
		all += counts[i];
	return all;
}

static void say_mounted(const struct daemon_view *v)
{
	char size[SIZE_STR_LEN], age[64] = "";

	if (v->fs.lag_ms > 0)
		(void)snprintf(age, sizeof(age), ", the oldest change is %llu s old",
			       (unsigned long long)(v->fs.lag_ms / 1000));
	supervisor_say("STATUS=Mounted%s; %s not stored yet%s%s%s",
		       v->fs.fenced ? ", but FENCED by another mount" : "",
		       format_size(v->fs.dirty_bytes, size), age,
		       *v->fs.last_error ? "; last trouble: " : "", v->fs.last_error);
}

/* A limit for stopping counts from the last time that something got stored. */
static void say_closing(struct watch *w)
{
	uint64_t left = daemon_bytes_left(w->daemon);
	bool goes_on = !w->closing || left < w->bytes_left;
	char size[SIZE_STR_LEN];

	w->closing = true;
	w->bytes_left = left;
	supervisor_say("STATUS=Storing what was written: %s left", format_size(left, size));
	if (goes_on)
		supervisor_say("EXTEND_TIMEOUT_USEC=%d000000", MORE_TIME_S);
}

static bool is_alive(struct watch *w, const struct daemon_view *v, bool open)
{
	struct pulse_facts f = { .now_ms = clock_mono_ms(&clock_system),
				 .closing = !open,
				 .answered = daemon_probe_answered(w->daemon),
				 .patience_ms = manager.watchdog_ms / 2 };
	enum pulse_verdict verdict;
	bool was = w->stuck;

	if (open) {
		f.in_flight = v->fs.requests.in_flight;
		f.failed = sum(v->fs.requests.failed);
	}
	verdict = pulse_judge(&w->pulse, &f);
	if (verdict == PULSE_ASK && !daemon_probe(w->daemon))
		w->pulse.asked = false;
	w->stuck = verdict == PULSE_STUCK;
	if (w->stuck && !was)
		log_line(LOG_L_ERROR,
			 "no request of the kernel is taken up any more, although "
			 "nothing waits for the store: the watchdog is not told that we "
			 "are alive");
	return !w->stuck;
}

static void look(struct watch *w)
{
	struct daemon_view v;
	bool open;

	if (!__atomic_load_n(&manager.ready, __ATOMIC_ACQUIRE))
		return;
	open = daemon_look(w->daemon, &v);
	if (manager.watchdog_ms && is_alive(w, &v, open))
		supervisor_say("WATCHDOG=1");
	if (open)
		say_mounted(&v);
	else
		say_closing(w);
}

static void *watch_thread(void *arg)
{
	struct watch w = { .daemon = arg };
	uint64_t pause_ms = LOOK_EVERY_MS;

	if (manager.watchdog_ms && manager.watchdog_ms / 4 < pause_ms)
		pause_ms = max_u64(manager.watchdog_ms / 4, 1);
	for (;;) {
		look(&w);
		clock_system.sleep_ms(&clock_system, pause_ms);
	}
	return NULL;
}

/* ---- beginning ---- */

bool supervisor_is_there(void)
{
	const char *name = getenv("NOTIFY_SOCKET");

	return name && *name;
}

/* A path, or "@NAME" for an abstract socket. */
static int take_address(const char *name)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(manager.to.sun_path))
		return err_note(-EINVAL, "NOTIFY_SOCKET=%s is no socket that can be used", name);
	manager.to.sun_family = AF_UNIX;
	memcpy(manager.to.sun_path, name, len);
	manager.to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@')
		manager.to.sun_path[0] = '\0';
	else
		manager.to_len++;
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return manager.fd < 0 ? -errno : 0;
}

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	uint64_t value = 0;

	if (text && parse_u64(text, &value) < 0)
		value = 0;
	return value;
}

int supervisor_start(struct daemon *d)
{
	const char *name = getenv("NOTIFY_SOCKET");
	uint64_t pid = number_of("WATCHDOG_PID");
	pthread_t thread;
	int err;

	if (!name)
		return 0;
	err = take_address(name);
	if (pid == 0 || pid == (uint64_t)getpid())
		manager.watchdog_ms = number_of("WATCHDOG_USEC") / 1000;
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	if (err < 0)
		return err;
	err = -pthread_create(&thread, NULL, watch_thread, d);
	if (err < 0)
		return err_note(err, "cannot start a thread");
	(void)pthread_detach(thread);
	return 0;
}

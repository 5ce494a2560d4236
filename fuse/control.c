/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's side of the control socket (util/ctl.h has the protocol). */
#include "logger.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCHERS_MAX 32
#define REQUEST_MS 20000

struct control {
	struct daemon *daemon;
	int listener;
	pthread_t thread;
	pthread_mutex_t lock; /* watchers */
	int watchers[WATCHERS_MAX];
	size_t watcher_count;
};

static void say_status(struct daemon *d, int fd)
{
	struct buf lines CLEANUP(buf_release) = BUF_INIT;

	report_status(d, &lines);
	if (buf_error(&lines) >= 0)
		(void)ctl_send(fd, lines.data, lines.len);
}

/* ---- requests ---- */

/* False when there are too many. */
static bool add_watcher(struct control *c, int fd)
{
	bool room;

	pthread_mutex_lock(&c->lock);
	room = c->watcher_count < WATCHERS_MAX;
	if (room) {
		(void)ctl_write(fd, "%s",
				daemon_state(c->daemon) == DAEMON_MOUNTED ? "mounted" : "closing");
		c->watchers[c->watcher_count++] = fd;
	}
	pthread_mutex_unlock(&c->lock);
	return room;
}

/* True if fd is kept. */
static bool serve_trace(struct control *c, int fd, bool with_ops)
{
	int err = trace_listen(daemon_trace(c->daemon), fd, with_ops);

	if (err < 0)
		(void)ctl_write(fd, "too many listen already, or there is no memory for another");
	return err >= 0;
}

static void serve_log(int fd, const char *name)
{
	enum log_level level;

	if (*name && log_level_parse(name, &level) < 0) {
		(void)ctl_write(fd, "s error unknown level");
		return;
	}
	if (*name)
		log_set_level(level);
	(void)ctl_write(fd, "s level %s", log_level_name(log_level()));
	(void)ctl_write(fd, "s where %s", logger_where());
}

/* True if fd is kept. */
static bool serve(struct control *c, int fd)
{
	struct ctl_reader reader = { .fd = fd };
	char line[CTL_LINE_MAX];
	bool kept;

	if (ctl_read(&reader, line, REQUEST_MS) <= 0)
		return false;
	if (strcmp(line, "watch") == 0 || strcmp(line, "abort") == 0) {
		kept = add_watcher(c, fd);
		if (line[0] == 'a')
			daemon_abort(c->daemon);
		return kept;
	}
	if (strcmp(line, "trace") == 0 || strcmp(line, "trace ops") == 0)
		return serve_trace(c, fd, line[5] != '\0');
	if (inspect_start(c->daemon, fd, line, &kept))
		return kept;
	if (strcmp(line, "mountpoint") == 0 ||
	    (strcmp(line, "serving") == 0 && daemon_state(c->daemon) != DAEMON_CLOSING))
		(void)ctl_write(fd, "%s", daemon_request(c->daemon)->dir);
	else if (strcmp(line, "status") == 0)
		say_status(c->daemon, fd);
	else if (strcmp(line, "log") == 0 || strncmp(line, "log ", 4) == 0)
		serve_log(fd, line[3] ? line + 4 : "");
	else if (strcmp(line, "serving") != 0)
		(void)ctl_write(fd, "s error unknown request");
	return false;
}

static void *control_thread(void *arg)
{
	struct control *c = arg;

	for (;;) {
		int fd = -1;
		int err = ctl_accept(c->listener, &fd);

		if (err == -EMFILE || err == -ENFILE)
			clock_system.sleep_ms(&clock_system, 1000);
		else if (err >= 0 && !serve(c, fd))
			(void)close(fd);
	}
	return NULL;
}

/* ---- life ---- */

static void control_free(struct control *c)
{
	close_fd(&c->listener);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int control_start(struct daemon *d, const struct ctl_mount *m, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->daemon = d;
	c->listener = -1;
	pthread_mutex_init(&c->lock, NULL);
	err = ctl_listen(m->major, m->minor, &c->listener);
	if (err >= 0)
		err = -pthread_create(&c->thread, NULL, control_thread, c);
	if (err < 0) {
		control_free(c);
		return err;
	}
	(void)pthread_detach(c->thread);
	*ret = c;
	return 0;
}

void control_say(struct control *c, const char *fmt, ...)
{
	char line[CTL_LINE_MAX];
	size_t kept = 0;
	va_list ap;

	if (!c)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->watcher_count; i++) {
		if (ctl_write(c->watchers[i], "%s", line) >= 0)
			c->watchers[kept++] = c->watchers[i];
		else
			(void)close(c->watchers[i]); /* gone */
	}
	c->watcher_count = kept;
	pthread_mutex_unlock(&c->lock);
}

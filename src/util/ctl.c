/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket of a mount: an abstract unix socket "levels3fs/MAJOR:MINOR/PID". */
#include "util/ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_PREFIX "levels3fs/"
#define PATIENCE_S 5
/* A machine with much else to do is slow to answer; one that asks all daemons must not wait long
 * for each. */
#define ASK_MS 20000
#define ASK_EACH_MS 2000
#define LOOKS 5
#define ACCEPTS 0x10000 /* __SO_ACCEPTCON of the kernel */

/* ---- names ---- */

static socklen_t address(const char *name, struct sockaddr_un *ret)
{
	size_t len = strlen(name);

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (len > sizeof(ret->sun_path) - 1)
		len = sizeof(ret->sun_path) - 1;
	memcpy(ret->sun_path + 1, name, len); /* the leading NUL makes it abstract */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

static int peer(int fd, struct ucred *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &len) < 0 ? -errno : 0;
}

static void be_impatient(int fd)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* ---- the daemon's side ---- */

int ctl_listen(unsigned major, unsigned minor, int *ret_fd)
{
	struct sockaddr_un addr;
	char name[96];
	socklen_t len;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), NAME_PREFIX "%u:%u/%ld", major, minor, (long)getpid());
	len = address(name, &addr);
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 16) < 0) {
		int err = -errno;

		(void)close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int ctl_accept(int listener, int *ret_fd)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred who;

	if (fd < 0)
		return -errno;
	if (peer(fd, &who) < 0 || (who.uid != 0 && who.uid != geteuid())) {
		(void)close(fd);
		return -EACCES;
	}
	be_impatient(fd);
	*ret_fd = fd;
	return 0;
}

/* ---- the client's side ---- */

/* One that serves nobody any more has a full queue: it is waited for no longer than for an answer.
 */
static int connect_name(const char *name, const uid_t *owner, int patience_ms, int *ret_fd,
			pid_t *ret_pid)
{
	int fd CLEANUP(close_fd) = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = patience_ms / 1000 }, none = { 0 };
	struct sockaddr_un addr;
	struct ucred who;
	socklen_t len = address(name, &addr);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&addr, len) < 0 || peer(fd, &who) < 0)
		return -errno;
	/* Anybody may take a name; only root or the mount's owner is believed. */
	if (who.uid != 0 && who.uid != (owner ? *owner : geteuid()))
		return -EACCES;
	if (geteuid() != 0 && geteuid() != who.uid)
		return -EACCES;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	if (ret_pid)
		*ret_pid = who.pid;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* Connections have their listener's name, too. */
static bool is_listening(const char *line)
{
	unsigned flags = 0;

	(void)sscanf(line, "%*s %*s %*s %x", &flags);
	return flags & ACCEPTS;
}

/* calls attempt for the name of each levels3fs socket until it returns other than -ENOENT. */
static int each_name(int (*attempt)(const char *name, void *ctx), void *ctx)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512];
	int err = -ENOENT;

	if (!f)
		return -ENOENT;
	while (err == -ENOENT && fgets(line, sizeof(line), f)) {
		char *name = strstr(line, " @" NAME_PREFIX);

		if (!name || !is_listening(line))
			continue;
		name += 2;
		name[strcspn(name, "\n")] = '\0';
		err = attempt(name, ctx);
	}
	(void)fclose(f);
	return err;
}

struct wanted {
	const char *prefix; /* of the name, or */
	const char *dir;    /* the mountpoint */
	const uid_t *owner;
	int fd;
	pid_t pid;
	bool denied;
};

/* Asks for a line on a connection of its own: a daemon serves one request a connection, and one
 * connection after another. 0, -ENOENT if no answer comes, -EACCES. */
static int ask(const char *name, const uid_t *owner, const char *question, int patience_ms,
	       char out[CTL_LINE_MAX])
{
	struct ctl_reader r = { .fd = -1 };
	int err = connect_name(name, owner, patience_ms, &r.fd, NULL);

	if (err < 0)
		return err;
	if (ctl_write(r.fd, "%s", question) < 0 || ctl_read(&r, out, patience_ms) <= 0)
		err = -ENOENT;
	(void)close(r.fd);
	return err;
}

/* A device number is given again as soon as its mount is gone, while that mount's daemon may still
 * be storing: so it is asked whether it serves, and what. */
static int attempt_mount(const char *name, void *ctx)
{
	struct wanted *w = ctx;
	char line[CTL_LINE_MAX];
	int err;

	if (strncmp(name, w->prefix, strlen(w->prefix)) != 0)
		return -ENOENT;
	err = ask(name, w->owner, "serving", ASK_MS, line);
	w->denied = w->denied || err == -EACCES;
	if (err < 0 || (w->dir && strcmp(line, w->dir) != 0))
		return -ENOENT;
	return connect_name(name, w->owner, ASK_MS, &w->fd, &w->pid) < 0 ? -ENOENT : 0;
}

static bool has_dir(const char *name, const char *dir)
{
	char line[CTL_LINE_MAX];

	return ask(name, NULL, "mountpoint", ASK_EACH_MS, line) == 0 && strcmp(line, dir) == 0;
}

static int attempt_dir(const char *name, void *ctx)
{
	struct wanted *w = ctx;

	if (!has_dir(name, w->dir))
		return -ENOENT;
	return connect_name(name, NULL, ASK_EACH_MS, &w->fd, &w->pid) < 0 ? -ENOENT : 0;
}

static int found(int err, const struct wanted *w, int *ret_fd, pid_t *ret_pid)
{
	if (err < 0)
		return w->denied ? -EACCES : err;
	*ret_fd = w->fd;
	if (ret_pid)
		*ret_pid = w->pid;
	return 0;
}

int ctl_connect(const struct ctl_mount *m, int *ret_fd, pid_t *ret_pid)
{
	char prefix[96];
	struct wanted w = { .prefix = prefix, .dir = m->dir, .owner = &m->owner, .fd = -1 };
	int err = -ENOENT;

	(void)snprintf(prefix, sizeof(prefix), NAME_PREFIX "%u:%u/", m->major, m->minor);
	/* The kernel tells the list page by page; what others close meanwhile can make it leave one
	 * out. */
	for (unsigned i = 0; i < LOOKS && err == -ENOENT; i++)
		err = each_name(attempt_mount, &w);
	w.dir = NULL; /* moved, or seen through a bind mount */
	if (err == -ENOENT)
		err = each_name(attempt_mount, &w);
	return found(err, &w, ret_fd, ret_pid);
}

int ctl_connect_by_dir(const char *dir, int *ret_fd, pid_t *ret_pid)
{
	struct wanted w = { .dir = dir, .fd = -1 };

	return found(each_name(attempt_dir, &w), &w, ret_fd, ret_pid);
}

/* ---- lines ---- */

int ctl_send(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t done = send(fd, at, len, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		len -= (size_t)done;
	}
	return 0;
}

int ctl_write(int fd, const char *fmt, ...)
{
	char line[CTL_LINE_MAX];
	va_list ap;
	size_t len;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	len = (size_t)n < sizeof(line) - 2 ? (size_t)n : sizeof(line) - 2;
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[len++] = '\n';
	return ctl_send(fd, line, len);
}

static bool take_line(struct ctl_reader *r, char out[CTL_LINE_MAX])
{
	char *end = memchr(r->data, '\n', r->len);
	size_t len;

	if (!end)
		return false;
	len = (size_t)(end - r->data);
	memcpy(out, r->data, len);
	out[len] = '\0';
	r->len -= len + 1;
	memmove(r->data, end + 1, r->len);
	return true;
}

int ctl_read(struct ctl_reader *r, char out[CTL_LINE_MAX], int timeout_ms)
{
	while (!take_line(r, out)) {
		struct pollfd p = { .fd = r->fd, .events = POLLIN };
		ssize_t n;

		if (r->len == sizeof(r->data))
			return -EPROTO;
		n = poll(&p, 1, timeout_ms ? timeout_ms : -1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ETIMEDOUT;
		n = recv(r->fd, r->data + r->len, sizeof(r->data) - r->len, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 && errno != ECONNRESET ? -errno : 0;
		r->len += (size_t)n;
	}
	return 1;
}

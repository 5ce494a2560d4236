/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener for Prometheus. See scrape.h. */
#include "scrape.h"

#include "report.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 8
#define REQUEST_BYTES 4096
#define PATIENCE_MS 5000
#define BACKLOG 16

struct connection {
	int fd; /* -1: free */
	uint64_t until_ms;
	char in[REQUEST_BYTES];
	size_t in_len;
	struct buf out; /* empty: the request is not there yet */
	size_t out_pos;
};

struct scrape {
	struct daemon *daemon;
	int listener;
	struct connection connections[CONNECTIONS_MAX];
};

/* ---- answers ---- */

static void add_answer(struct buf *out, const char *status, const struct buf *body, bool with_body)
{
	buf_printf(out,
		   "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		   "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		   status, body->len);
	if (with_body)
		buf_add(out, body->data, body->len);
}

static bool asks_for(const char *line, const char *method)
{
	size_t len = strlen(method);

	return strncmp(line, method, len) == 0 && line[len] == ' ';
}

static bool is_metrics(const char *path)
{
	static const char name[] = "/metrics";
	size_t len = strcspn(path, " ?\r\n");

	return len == sizeof(name) - 1 && strncmp(path, name, len) == 0;
}

static void answer(struct scrape *s, struct connection *c)
{
	struct buf body CLEANUP(buf_release) = BUF_INIT;
	const char *status = "200 OK";
	bool head = asks_for(c->in, "HEAD");

	if (!head && !asks_for(c->in, "GET"))
		status = "405 Method Not Allowed";
	else if (!is_metrics(strchr(c->in, ' ') + 1))
		status = "404 Not Found";
	if (status[0] == '2')
		report_metrics(s->daemon, &body);
	else
		buf_printf(&body, "%s: here is GET /metrics only\n", status);
	if (buf_error(&body) >= 0)
		add_answer(&c->out, status, &body, !head);
}

/* ---- connections ---- */

static void drop(struct connection *c)
{
	close_fd(&c->fd);
	buf_release(&c->out);
}

/* False: it is over. */
static bool receive(struct scrape *s, struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len, MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	if (!strstr(c->in, "\r\n\r\n") && !strstr(c->in, "\n\n"))
		return c->in_len < sizeof(c->in) - 1;
	answer(s, c);
	return buf_error(&c->out) >= 0 && c->out.len > 0;
}

static bool transmit(struct connection *c)
{
	ssize_t n = send(c->fd, c->out.data + c->out_pos, c->out.len - c->out_pos,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->out_pos += (size_t)n;
	return c->out_pos < c->out.len;
}

static struct connection *free_one(struct scrape *s)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (s->connections[i].fd < 0)
			return &s->connections[i];
	return NULL;
}

static void take_connection(struct scrape *s)
{
	struct connection *c = free_one(s);
	int fd = c ? accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			clock_system.sleep_ms(&clock_system, 1000);
		return;
	}
	c->fd = fd;
	c->in_len = c->out_pos = 0;
	c->until_ms = clock_mono_ms(&clock_system) + PATIENCE_MS;
}

/* ---- the thread ---- */

static void look_after(struct scrape *s, struct connection *c, short events)
{
	bool goes_on = true;

	if (c->fd < 0)
		return;
	if (events && c->out.len > 0)
		goes_on = transmit(c);
	else if (events)
		goes_on = receive(s, c);
	if (!goes_on || clock_mono_ms(&clock_system) >= c->until_ms)
		drop(c);
}

static void *scrape_thread(void *arg)
{
	struct scrape *s = arg;
	struct pollfd fds[CONNECTIONS_MAX + 1];

	for (;;) {
		bool any = false;

		for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
			struct connection *c = &s->connections[i];

			fds[i] = (struct pollfd){ .fd = c->fd,
						  .events = c->out.len > 0 ? POLLOUT : POLLIN };
			any = any || c->fd >= 0;
		}
		/* While all are taken, newcomers wait in the kernel's queue. */
		fds[CONNECTIONS_MAX] =
			(struct pollfd){ .fd = free_one(s) ? s->listener : -1, .events = POLLIN };
		if (poll(fds, CONNECTIONS_MAX + 1, any ? PATIENCE_MS : -1) < 0)
			continue;
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			look_after(s, &s->connections[i], fds[i].revents);
		if (fds[CONNECTIONS_MAX].revents)
			take_connection(s);
	}
	return NULL;
}

/* ---- beginning ---- */

static int tell_address(int fd, char out[SCRAPE_ADDRESS_LEN])
{
	char host[48], port[8];
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	(void)snprintf(out, SCRAPE_ADDRESS_LEN, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
		       port);
	return 0;
}

int scrape_listen(const char *where, int *ret_fd, char ret_address[SCRAPE_ADDRESS_LEN])
{
	struct sockaddr_storage at;
	socklen_t len;
	int fd CLEANUP(close_fd) = -1;
	int on = 1, err = scrape_parse(where, &at, &len);

	if (err < 0)
		return err;
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A port of a mount that ended a moment ago is free. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    tell_address(fd, ret_address) < 0) {
		err = -errno;
		return err_note(err, "metrics=%s: cannot listen there: %s", where, err_text(err));
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int scrape_start(struct daemon *d, int fd)
{
	struct scrape *s = calloc(1, sizeof(*s));
	pthread_t thread;

	if (!s)
		return -ENOMEM;
	s->daemon = d;
	s->listener = fd;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		s->connections[i].fd = -1;
	if (pthread_create(&thread, NULL, scrape_thread, s) != 0) {
		free(s);
		return err_note(-EAGAIN, "cannot start a thread");
	}
	(void)pthread_detach(thread);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server for tests that answers from a script, over real sockets: the Nth request it reads gets
 * the Nth reply, whatever it asks. What came is kept for the test to look at.
 */
#ifndef LEVELS3_TESTS_STORE_S3_SERVER_H
#define LEVELS3_TESTS_STORE_S3_SERVER_H

#include "tests/store_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#define REQUESTS_MAX 32
#define CONNECTIONS_MAX 32

enum then {	   /* after the reply */
	    KEEP,  /* wait for the next request */
	    CLOSE, /* end the connection */
	    HANG,  /* neither answer nor close until the test ends */
	    DRIP,  /* one byte of nothing in particular now and then */
};

struct reply {
	const char *text; /* "Content-Length: @" is what the body has */
	enum then then;
};

struct server {
	const struct reply *replies;
	size_t reply_count;
	int listening, port;
	int stop[2]; /* readable: the test ends */
	pthread_t thread, connections[CONNECTIONS_MAX];
	pthread_mutex_t lock;
	pthread_cond_t came;
	size_t connection_count, request_count;
	struct buf requests[REQUESTS_MAX];
};

struct connection {
	struct server *server;
	int fd;
};

/* False when the test ends. */
static inline bool wait_readable(struct server *v, int fd, int ms)
{
	struct pollfd p[] = { { v->stop[0], POLLIN, 0 }, { fd, POLLIN, 0 } };

	(void)poll(p, fd >= 0 ? 2 : 1, ms);
	return p[0].revents == 0;
}

static inline uint64_t body_length(const char *head)
{
	const char *p = strcasestr(head, "\r\ncontent-length:");

	return p ? strtoull(p + 17, NULL, 10) : 0;
}

/* One request with its body into b; false at the end of the connection or the test. */
static inline bool read_request(struct server *v, int fd, struct buf *b)
{
	for (;;) {
		char *head_end = b->len ? strstr(buf_cstr(b), "\r\n\r\n") : NULL;
		ssize_t n;

		if (head_end) {
			size_t head = (size_t)(head_end + 4 - (char *)b->data);

			if (b->len >= head + body_length((char *)b->data))
				return true;
		}
		if (!wait_readable(v, fd, -1) || buf_reserve(b, 64 * KIB) < 0)
			return false;
		n = recv(fd, b->data + b->len, b->cap - b->len - 1, 0);
		if (n <= 0)
			return false;
		b->len += (size_t)n;
	}
}

static inline void send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static inline void send_reply(int fd, const char *text)
{
	const char *length = strstr(text, "Content-Length: @"), *body = strstr(text, "\r\n\r\n");
	char number[24];

	if (length && body) {
		length += strlen("Content-Length: ");
		(void)snprintf(number, sizeof(number), "%zu", strlen(body + 4));
		send_all(fd, text, (size_t)(length - text));
		send_all(fd, number, strlen(number));
		text = length + 1;
	}
	send_all(fd, text, strlen(text));
}

/* Keeps the request, and says which reply it gets. */
static inline const struct reply *next_reply(struct server *v, struct buf *request)
{
	const struct reply *r = NULL;

	pthread_mutex_lock(&v->lock);
	if (v->request_count < v->reply_count && v->request_count < REQUESTS_MAX) {
		r = &v->replies[v->request_count];
		v->requests[v->request_count] = *request;
		*request = (struct buf)BUF_INIT;
		v->request_count++;
		pthread_cond_broadcast(&v->came);
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

static inline void drip(struct server *v, int fd)
{
	while (wait_readable(v, -1, 20) && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
		;
}

static inline void *serve_connection(void *arg)
{
	struct connection *c = arg;
	const struct reply *r;
	struct buf request = BUF_INIT;
	enum then then = KEEP;

	while (then == KEEP && read_request(c->server, c->fd, &request)) {
		r = next_reply(c->server, &request);
		if (!r) /* more requests than the test foresees: it will see that */
			break;
		send_reply(c->fd, r->text);
		then = r->then;
	}
	if (then == HANG)
		(void)wait_readable(c->server, -1, -1);
	if (then == DRIP)
		drip(c->server, c->fd);
	(void)close(c->fd);
	buf_release(&request);
	free(c);
	return NULL;
}

static inline void *serve(void *arg)
{
	struct server *v = arg;

	while (wait_readable(v, v->listening, -1) && v->connection_count < CONNECTIONS_MAX) {
		struct connection *c = malloc(sizeof(*c));

		ck_assert_ptr_nonnull(c);
		*c = (struct connection){ v, accept(v->listening, NULL, NULL) };
		pthread_create(&v->connections[v->connection_count++], NULL, serve_connection, c);
	}
	return NULL;
}

static inline void server_start(struct server *v, const struct reply *replies, size_t count)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	*v = (struct server){ .replies = replies, .reply_count = count };
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->came, NULL);
	ck_assert_int_eq(pipe(v->stop), 0);
	v->listening = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(v->listening, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(v->listening, CONNECTIONS_MAX), 0);
	ck_assert_int_eq(getsockname(v->listening, (struct sockaddr *)&a, &len), 0);
	v->port = ntohs(a.sin_port);
	ck_assert_int_eq(pthread_create(&v->thread, NULL, serve, v), 0);
}

static inline void server_stop(struct server *v)
{
	ck_assert_int_eq(write(v->stop[1], "x", 1), 1);
	pthread_join(v->thread, NULL);
	for (size_t i = 0; i < v->connection_count; i++)
		pthread_join(v->connections[i], NULL);
	(void)close(v->listening);
	(void)close(v->stop[0]);
	(void)close(v->stop[1]);
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		buf_release(&v->requests[i]);
}

static inline void server_await(struct server *v, size_t requests)
{
	pthread_mutex_lock(&v->lock);
	while (v->request_count < requests)
		pthread_cond_wait(&v->came, &v->lock);
	pthread_mutex_unlock(&v->lock);
}

static inline const char *server_request(struct server *v, size_t i)
{
	const char *text;

	pthread_mutex_lock(&v->lock);
	ck_assert_msg(i < v->request_count, "only %zu requests came", v->request_count);
	text = buf_cstr(&v->requests[i]);
	pthread_mutex_unlock(&v->lock);
	return text;
}

#endif

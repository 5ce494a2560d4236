/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TCP proxy between an S3 client and a server on loopback: counts requests by kind, delays what
 * passes as a long line would, and does what bad lines and bad servers do when it is told to.
 *
 *	proxy SERVER_PORT DELAY_MS COUNTS_SOCKET [CONTROL_SOCKET]
 *
 * Prints the port it listens on. DELAY_MS is a whole round trip: half of it for each direction, one
 * more for connecting. Bandwidth is not limited. Bytes pass unchanged, so signatures stay right. Who
 * connects to the Unix socket COUNTS_SOCKET is given the counts so far as one JSON object. fault.h
 * lists the commands that the Unix socket CONTROL_SOCKET takes. It need not find the server there:
 * who connects meanwhile is sent away.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

#define READ_BYTES (256 * 1024)
/* In flight per direction. With a delay that is bandwidth x delay of a fast line; without one, what
 * the slower side does not take must be felt by the faster. */
#define QUEUE_DELAYED (64 * 1024 * 1024)
#define QUEUE_DIRECT (1024 * 1024)
#define EVENTS 64
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

struct piece { /* bytes on their way */
	struct piece *next;
	uint64_t due_ns;
	size_t len, sent;
	uint8_t bytes[];
};

struct flow { /* one direction */
	int from, to;
	struct piece *first, **last;
	size_t queued;
	bool ended;  /* nothing more comes */
	bool closed; /* and the other side was told */
};

struct conn {
	struct conn *next, **link;
	struct flow up, down;
	struct http http;
	struct fault_fate fate; /* of the request under way */
	uint64_t open_ns;	/* when the client may believe to be connected */
	bool broken;
	bool silent; /* nothing passes any more, until heal */
};

static struct conn *conns;
static struct http_counts counts;
static uint64_t half_delay_ns;
static size_t queue_max = QUEUE_DIRECT;
static bool line_is_cut;
static uint8_t scratch[READ_BYTES];

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- one direction ---- */

static void send_pieces(struct conn *c, struct flow *f, uint64_t now)
{
	while (f->first && f->first->due_ns <= now) {
		struct piece *p = f->first;
		ssize_t n = send(f->to, p->bytes + p->sent, p->len - p->sent, MSG_NOSIGNAL);

		if (n < 0) {
			c->broken = c->broken || (errno != EAGAIN && errno != EINTR);
			return;
		}
		p->sent += (size_t)n;
		f->queued -= (size_t)n;
		if (p->sent < p->len)
			return;
		f->first = p->next;
		if (!f->first)
			f->last = &f->first;
		free(p);
	}
	if (f->ended && !f->first && !f->closed) {
		(void)shutdown(f->to, SHUT_WR);
		f->closed = true;
	}
}

static void queue_piece(struct conn *c, struct flow *f, const uint8_t *bytes, size_t len,
			uint64_t due)
{
	struct piece *p = malloc(sizeof(*p) + len);

	if (!p) {
		c->broken = true;
		return;
	}
	*p = (struct piece){ .due_ns = due, .len = len };
	memcpy(p->bytes, bytes, len);
	*f->last = p;
	f->last = &p->next;
	f->queued += len;
}

/* What need not wait goes on at once, without being copied. */
static void pass(struct conn *c, struct flow *f, size_t len, uint64_t now)
{
	uint64_t due = now + half_delay_ns + (f == &c->down ? c->fate.delay_ns : 0);
	ssize_t sent = 0;

	if (due < c->open_ns)
		due = c->open_ns;
	if (!f->first && due <= now) {
		sent = send(f->to, scratch, len, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			c->broken = true;
		if (sent < 0)
			sent = 0;
	}
	if ((size_t)sent < len)
		queue_piece(c, f, scratch + sent, len - (size_t)sent, due);
}

/* The client closes its end with a reset instead of an orderly end. */
static void reset(struct conn *c)
{
	struct linger at_once = { .l_onoff = 1 };

	(void)setsockopt(c->up.from, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	c->broken = true;
}

/* len bytes of a request are in scratch. False: they go no further. */
static bool admit(struct conn *c, size_t len)
{
	uint64_t before = c->http.begun;

	http_feed(&c->http, scratch, len, &counts);
	counts.wire_up += len;
	if (c->http.begun == before)
		return !c->silent;
	fault_draw(c->http.kind, &c->fate);
	c->silent = c->silent || c->fate.fault == FAULT_STALL;
	if (c->fate.fault == FAULT_RESET)
		reset(c);
	else if (c->fate.fault == FAULT_DROP)
		c->broken = true;
	return !c->silent && !c->broken;
}

/* Likewise of an answer. */
static bool admit_answer(struct conn *c, size_t *len)
{
	enum fault_verdict v = fault_answer(&c->fate, scratch, len);

	counts.wire_down += *len;
	c->silent = c->silent || v == FAULT_SWALLOW;
	if (v != FAULT_CLOSE)
		return !c->silent;
	(void)!send(c->down.to, scratch, *len, MSG_NOSIGNAL);
	c->broken = true;
	return false;
}

static void receive(struct conn *c, struct flow *f, uint64_t now)
{
	while (!f->ended && !c->broken && f->queued < queue_max) {
		ssize_t n = recv(f->from, scratch, sizeof(scratch), 0);
		size_t len = n > 0 ? (size_t)n : 0;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			c->broken = errno != EAGAIN;
			return;
		}
		if (n == 0) {
			f->ended = true;
			send_pieces(c, f, now);
			return;
		}
		if (f == &c->up ? admit(c, len) : admit_answer(c, &len))
			pass(c, f, len, now);
	}
}

/* ---- connections ---- */

static void free_flow(struct flow *f)
{
	while (f->first) {
		struct piece *p = f->first;

		f->first = p->next;
		free(p);
	}
}

static void drop(struct conn *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	(void)close(c->up.from);
	(void)close(c->down.from);
	free_flow(&c->up);
	free_flow(&c->down);
	free(c);
}

/* Events are edges, so this goes on until nothing can go on. */
static void pump(struct conn *c, uint64_t now)
{
	send_pieces(c, &c->up, now);
	send_pieces(c, &c->down, now);
	receive(c, &c->up, now);
	receive(c, &c->down, now);
}

static bool is_over(const struct conn *c)
{
	return c->broken || (c->up.closed && c->down.closed);
}

static void init_flow(struct flow *f, int from, int to)
{
	*f = (struct flow){ .from = from, .to = to };
	f->last = &f->first;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		(void)close(fd);
		return -1;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int watch(int epoll, int fd, struct conn *c)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				 .data.ptr = c };
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -1;
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

static void begin(int epoll, int client, uint16_t port, uint64_t now)
{
	int server = line_is_cut ? -1 : connect_to(port);
	struct conn *c = server < 0 ? NULL : calloc(1, sizeof(*c));

	if (!c) {
		(void)close(client);
		if (server >= 0)
			(void)close(server);
		return;
	}
	init_flow(&c->up, client, server);
	init_flow(&c->down, server, client);
	c->open_ns = half_delay_ns ? now + 3 * half_delay_ns : 0;
	c->next = conns;
	c->link = &conns;
	if (conns)
		conns->link = &c->next;
	conns = c;
	counts.connections++;
	if (watch(epoll, client, c) < 0 || watch(epoll, server, c) < 0)
		c->broken = true;
}

/* ---- the loop ---- */

static uint64_t due_of(const struct conn *c)
{
	uint64_t up = c->up.first ? c->up.first->due_ns : UINT64_MAX;
	uint64_t down = c->down.first ? c->down.first->due_ns : UINT64_MAX;

	return up < down ? up : down;
}

/* Of what was not due yet when we looked last; what was due then but was not taken waits for the
 * socket's own event, not for time. */
static uint64_t next_due(uint64_t looked)
{
	uint64_t next = UINT64_MAX;

	for (const struct conn *c = conns; c; c = c->next) {
		uint64_t due = due_of(c);

		if (due > looked && due < next)
			next = due;
	}
	return next;
}

/* Both ends of a connection may be in one batch of events, so it goes only after the batch. */
static void pump_due(uint64_t now)
{
	struct conn *next;

	for (struct conn *c = conns; c; c = next) {
		next = c->next;
		if (due_of(c) <= now)
			pump(c, now);
		if (is_over(c))
			drop(c);
	}
}

static void accept_all(int epoll, int listener, uint16_t server_port)
{
	int client;

	while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		begin(epoll, client, server_port, now_ns());
}

static void tell_counts(int listener)
{
	int asker = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char text[1024];

	if (asker < 0)
		return;
	(void)!write(asker, text, http_print(&counts, text, sizeof(text)));
	(void)close(asker);
}

static void obey(enum fault_order order)
{
	if (order == FAULT_ORDER_NONE)
		return;
	line_is_cut = order == FAULT_ORDER_CUT;
	for (struct conn *c = conns; c; c = c->next) {
		if (line_is_cut)
			reset(c);
		else if (c->silent)
			c->broken = true;
	}
}

/* Whoever sends commands does so at once. */
static void take_command(int listener)
{
	struct timeval patience = { .tv_sec = 5 };
	int asker = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char line[256], reply[512];
	ssize_t n;

	if (asker < 0)
		return;
	(void)setsockopt(asker, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	n = recv(asker, line, sizeof(line) - 1, 0);
	if (n > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		obey(fault_command(line, reply, sizeof(reply)));
		(void)!send(asker, reply, strlen(reply), MSG_NOSIGNAL);
	}
	(void)close(asker);
}

static int wait_events(int epoll, struct epoll_event *events, uint64_t looked)
{
	uint64_t now = now_ns(), due = next_due(looked), wait = due > now ? due - now : 0;
	struct timespec t = { .tv_sec = (time_t)(wait / NS_PER_S),
			      .tv_nsec = (long)(wait % NS_PER_S) };
	int n = epoll_pwait2(epoll, events, EVENTS, due == UINT64_MAX ? NULL : &t, NULL);

	if (n < 0 && errno != EINTR)
		die("epoll_pwait2");
	return n;
}

struct sockets {
	int clients, counter, control; /* that one -1 if there is none */
};

static void serve(int epoll, const struct sockets *s, uint16_t server_port)
{
	struct epoll_event events[EVENTS];
	uint64_t now = now_ns();

	while (true) {
		int n = wait_events(epoll, events, now);

		now = now_ns();

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &counts)
				tell_counts(s->counter);
			else if (events[i].data.ptr == &line_is_cut)
				take_command(s->control);
			else if (events[i].data.ptr)
				pump(events[i].data.ptr, now);
			else
				accept_all(epoll, s->clients, server_port);
		}
		pump_due(now);
	}
}

/* ---- the beginning ---- */

static int listen_tcp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("listening");
	(void)printf("%u\n", ntohs(a.sin_port));
	(void)fflush(stdout);
	return fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(a.sun_path)) {
		(void)fprintf(stderr, "%s: too long for a socket\n", path);
		exit(1);
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
		die(path);
	return fd;
}

static void add(int epoll, int fd, void *mark)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = mark };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

int main(int argc, char **argv)
{
	struct sockets s = { .control = -1 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 4 || argc > 5) {
		(void)fprintf(stderr,
			      "usage: proxy SERVER_PORT DELAY_MS COUNTS_SOCKET [CONTROL_SOCKET]\n");
		return 2;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* whom it serves has no use for it after its end */
	half_delay_ns = (uint64_t)(strtod(argv[2], NULL) * (double)NS_PER_MS / 2);
	if (half_delay_ns)
		queue_max = QUEUE_DELAYED;
	if (epoll < 0)
		die("epoll_create1");
	s.counter = listen_unix(argv[3]);
	add(epoll, s.counter, &counts);
	if (argc == 5) {
		s.control = listen_unix(argv[4]);
		add(epoll, s.control, &line_is_cut);
	}
	s.clients = listen_tcp();
	add(epoll, s.clients, NULL);
	serve(epoll, &s, (uint16_t)strtoul(argv[1], NULL, 10));
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners, and the lines that they get. See trace.h; which operation is what: trace_ops.c. */
#include "trace_ops.h"

#include "util/ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENERS_MAX 8
#define RING_BYTES ((size_t)1024 * 1024)
#define SEND_BYTES ((size_t)32 * 1024)
#define LINE_BYTES 1400 /* a key or a name is 900 bytes at most */
#define LOST_BYTES 64
#define LOOK_EVERY_MS 1000

/* Operations under way are found again by their number. Of two with the same place the later stays. */
#define FLIGHTS 1024

enum { WANTS_REQUESTS = 1, WANTS_OPS = 2 };

struct listener {
	struct trace *trace;
	int fd;
	unsigned wants;
	pthread_cond_t filled;
	size_t start, len;
	uint64_t lost;
	char ring[RING_BYTES];
};

struct flight {
	uint64_t unique, began_ns;
	struct trace_op op;
};

struct trace {
	uint64_t counts[TRACE_KIND_COUNT]; /* atomic */
	unsigned wants;			   /* atomic: what any listener wants */
	pthread_mutex_t lock;		   /* a leaf: all below, and the listeners' rings */
	struct listener *listeners[LISTENERS_MAX];
	struct flight *flights;
};

int trace_new(struct trace **ret)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

void trace_counts(struct trace *t, uint64_t ret[TRACE_KIND_COUNT])
{
	for (size_t i = 0; i < TRACE_KIND_COUNT; i++)
		ret[i] = __atomic_load_n(&t->counts[i], __ATOMIC_RELAXED);
}

static bool is_wanted(struct trace *t, unsigned what)
{
	return __atomic_load_n(&t->wants, __ATOMIC_RELAXED) & what;
}

/* ---- rings: trace.lock held ---- */

static void ring_put(struct listener *l, const char *bytes, size_t len)
{
	size_t at = (l->start + l->len) % RING_BYTES, first = min_u64(len, RING_BYTES - at);

	memcpy(l->ring + at, bytes, first);
	memcpy(l->ring, bytes + first, len - first);
	l->len += len;
}

static size_t ring_take(struct listener *l, char *out, size_t max)
{
	size_t len = min_u64(l->len, max), first = min_u64(len, RING_BYTES - l->start);

	memcpy(out, l->ring + l->start, first);
	memcpy(out + first, l->ring, len - first);
	l->start = (l->start + len) % RING_BYTES;
	l->len -= len;
	return len;
}

static void put_lost(struct listener *l)
{
	char line[LOST_BYTES];
	int len = snprintf(line, sizeof(line), "lost %llu\n", (unsigned long long)l->lost);

	ring_put(l, line, (size_t)len);
	l->lost = 0;
}

static void listener_add(struct listener *l, const char *line, size_t len)
{
	if (RING_BYTES - l->len < len + LOST_BYTES) {
		l->lost++;
		return;
	}
	if (l->lost)
		put_lost(l);
	ring_put(l, line, len);
	pthread_cond_signal(&l->filled);
}

/* ---- lines ---- */

static void say(struct trace *t, unsigned what, char *line, int len)
{
	size_t n = len < 0 ? 0 : min_u64((uint64_t)len, LINE_BYTES - 1);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (t->listeners[i] && (t->listeners[i]->wants & what))
			listener_add(t->listeners[i], line, n);
	pthread_mutex_unlock(&t->lock);
}

void trace_request(struct trace *t, const struct store_request *r)
{
	char line[LINE_BYTES + 1];

	if (!is_wanted(t, WANTS_REQUESTS))
		return;
	say(t, WANTS_REQUESTS, line,
	    snprintf(line, LINE_BYTES, "r %lld %s %llu %llu %d %u %s",
		     (long long)clock_system.real_ns(&clock_system), store_op_name(r->op),
		     (unsigned long long)r->bytes, (unsigned long long)r->took_ns,
		     r->result < 0 ? r->result : 0, r->attempt, r->key));
}

static struct flight *flight_of(struct trace *t, uint64_t unique)
{
	return &t->flights[unique / 2 % FLIGHTS]; /* the kernel counts in twos */
}

void trace_op_begin(struct trace *t, const void *request, size_t len)
{
	struct flight f;

	__atomic_add_fetch(&t->counts[trace_op_kind(request)], 1, __ATOMIC_RELAXED);
	if (!is_wanted(t, WANTS_OPS) || !trace_op_parse(request, len, &f.op))
		return;
	f.unique = trace_op_unique(request);
	f.began_ns = clock_system.mono_ns(&clock_system);
	pthread_mutex_lock(&t->lock);
	if (t->flights)
		*flight_of(t, f.unique) = f;
	pthread_mutex_unlock(&t->lock);
}

static bool take_flight(struct trace *t, uint64_t unique, struct flight *ret)
{
	struct flight *f;
	bool found = false;

	pthread_mutex_lock(&t->lock);
	if (unique && t->flights) {
		f = flight_of(t, unique);
		found = f->unique == unique;
		if (found)
			*ret = *f;
		f->unique = found ? 0 : f->unique;
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

static void format_offset(const struct trace_op *op, char out[24])
{
	if (op->has_offset)
		(void)snprintf(out, 24, "%llu", (unsigned long long)op->offset);
	else
		(void)snprintf(out, 24, "-");
}

void trace_op_end(struct trace *t, const struct iovec *iov, int count)
{
	char line[LINE_BYTES + 1], offset[24];
	struct flight f;
	uint64_t unique, took_ns;
	int error;

	if (!is_wanted(t, WANTS_OPS))
		return;
	unique = trace_answer_unique(iov, count);
	if (!take_flight(t, unique, &f))
		return;
	took_ns = clock_system.mono_ns(&clock_system) - f.began_ns;
	error = trace_op_answer(&f.op, iov, count);
	format_offset(&f.op, offset);
	say(t, WANTS_OPS, line,
	    snprintf(line, LINE_BYTES, "o %lld %s %llu %llu %s %llu %d%s%s",
		     (long long)clock_system.real_ns(&clock_system), f.op.name,
		     (unsigned long long)f.op.ino, (unsigned long long)f.op.bytes, offset,
		     (unsigned long long)took_ns, error, *f.op.text ? " " : "", f.op.text));
}

/* ---- listeners ---- */

/* trace.lock held */
static void count_wants(struct trace *t)
{
	unsigned wants = 0;

	for (size_t i = 0; i < LISTENERS_MAX; i++)
		wants |= t->listeners[i] ? t->listeners[i]->wants : 0;
	__atomic_store_n(&t->wants, wants, __ATOMIC_RELAXED);
}

static void listener_remove(struct listener *l)
{
	struct trace *t = l->trace;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (t->listeners[i] == l)
			t->listeners[i] = NULL;
	count_wants(t);
	pthread_mutex_unlock(&t->lock);
	(void)close(l->fd);
	pthread_cond_destroy(&l->filled);
	free(l);
}

static bool send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* Who listens while nothing happens leaves without a word, too. */
static bool is_gone(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

static void *listener_thread(void *arg)
{
	struct listener *l = arg;
	char bytes[SEND_BYTES];
	bool gone = false;
	size_t len;

	do {
		pthread_mutex_lock(&l->trace->lock);
		while (l->len == 0 && !(gone = is_gone(l->fd)))
			(void)cond_wait_ms(&l->filled, &l->trace->lock, LOOK_EVERY_MS);
		len = ring_take(l, bytes, sizeof(bytes));
		if (l->len == 0 && l->lost)
			put_lost(l);
		pthread_mutex_unlock(&l->trace->lock);
	} while (!gone && send_all(l->fd, bytes, len));
	listener_remove(l);
	return NULL;
}

static int listener_add_to(struct trace *t, struct listener *l)
{
	int err = -EBUSY;

	pthread_mutex_lock(&t->lock);
	if ((l->wants & WANTS_OPS) && !t->flights) {
		t->flights = calloc(FLIGHTS, sizeof(*t->flights));
		if (!t->flights)
			err = -ENOMEM;
	}
	for (size_t i = 0; i < LISTENERS_MAX && err == -EBUSY; i++) {
		if (t->listeners[i])
			continue;
		t->listeners[i] = l;
		err = 0;
	}
	count_wants(t);
	pthread_mutex_unlock(&t->lock);
	return err;
}

int trace_listen(struct trace *t, int fd, bool with_ops)
{
	struct listener *l = calloc(1, sizeof(*l));
	pthread_t thread;
	int err;

	if (!l)
		return -ENOMEM;
	l->trace = t;
	l->fd = fd;
	l->wants = WANTS_REQUESTS | (with_ops ? WANTS_OPS : 0);
	cond_init(&l->filled);
	err = listener_add_to(t, l);
	if (err < 0) {
		pthread_cond_destroy(&l->filled);
		free(l);
		return err;
	}
	(void)ctl_write(fd, "tracing");
	if (pthread_create(&thread, NULL, listener_thread, l) != 0) {
		listener_remove(l); /* and fd with it: there is no memory to say so */
		return 0;
	}
	(void)pthread_detach(thread);
	return 0;
}

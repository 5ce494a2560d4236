/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams of the trace. See stream.h.
 *
 * Of each stream one read is under way at a time (busy). It belongs to the worker that brought it, until that hands
 * it to the thread (waiting), which alone answers it then. So a stream that waits cannot be closed meanwhile, and
 * what has come of it needs no lock.
 *
 * Locks: libfuse's lock of the request → ours.
 */
#include "stream.h"

#include "trace.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAW_BYTES 4096	   /* a line of the trace is shorter */
#define STREAMS_MAX 16	   /* trace_listen allows fewer */
#define OUT_BYTES 65536	   /* ready to be read; then no more is taken */
#define ANSWER_BYTES 16384 /* to one read, at most */

struct stream {
	struct streams *all;
	struct stream *next;
	int fd; /* lines come from here */
	bool busy;
	fuse_req_t waiting; /* with lock; NULL */
	size_t wanted;
	bool interrupted; /* with lock */
	char raw[RAW_BYTES];
	size_t raw_len;
	struct buf out;
	size_t out_pos;
};

struct streams {
	struct trace *trace;
	const struct mount_words *words;
	int wake; /* eventfd */
	pthread_t thread;
	pthread_mutex_t lock;
	struct stream *first;
	bool stopping;
};

/* ---- lines ---- */

/* As a person reads it. */
static void add_line(struct stream *s, const char *line)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	s->all->words->trace(f, line);
	if (fclose(f) == 0)
		buf_add(&s->out, text, len);
	free(text);
}

static void add_lines(struct stream *s)
{
	char *end;

	while ((end = memchr(s->raw, '\n', s->raw_len))) {
		size_t len = (size_t)(end + 1 - s->raw);

		*end = '\0';
		add_line(s, s->raw);
		s->raw_len -= len;
		memmove(s->raw, s->raw + len, s->raw_len);
	}
	if (s->raw_len == sizeof(s->raw))
		s->raw_len = 0;
}

/* Takes what has come. 0: nothing will come any more; -EAGAIN: nothing yet. */
static int fill(struct stream *s)
{
	ssize_t n = 1;

	if (s->out_pos == s->out.len) {
		buf_reset(&s->out);
		s->out_pos = 0;
	}
	while (n > 0 && s->out.len < OUT_BYTES) {
		n = recv(s->fd, s->raw + s->raw_len, sizeof(s->raw) - s->raw_len, MSG_DONTWAIT);
		if (n > 0) {
			s->raw_len += (size_t)n;
			add_lines(s);
		}
	}
	if (s->out_pos < s->out.len)
		return 1;
	return n == 0 ? 0 : -EAGAIN;
}

/* ---- answers: from then on the stream may be gone, or the next read come ---- */

/* What there is; nothing is the end. */
static void answer(struct stream *s, fuse_req_t req, size_t size)
{
	char bytes[ANSWER_BYTES];
	size_t len = min_u64(min_u64(size, sizeof(bytes)), s->out.len - s->out_pos);

	if (len > 0)
		memcpy(bytes, s->out.data + s->out_pos, len);
	s->out_pos += len;
	__atomic_store_n(&s->busy, false, __ATOMIC_RELEASE);
	(void)fuse_reply_buf(req, bytes, len);
}

static void refuse(struct stream *s, fuse_req_t req, int error)
{
	__atomic_store_n(&s->busy, false, __ATOMIC_RELEASE);
	(void)fuse_reply_err(req, error);
}

/* ---- waiting ---- */

static void wake(struct streams *all)
{
	uint64_t one = 1;

	if (write(all->wake, &one, sizeof(one)) < 0)
		log_debug("eventfd: %s", err_text(-errno));
}

/* Called by libfuse, with its lock of the request held. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct stream *s = data;

	pthread_mutex_lock(&s->all->lock);
	s->interrupted = true;
	pthread_mutex_unlock(&s->all->lock);
	wake(s->all);
}

void stream_read(struct stream *s, fuse_req_t req, size_t size, bool nonblocking)
{
	int got;

	if (__atomic_exchange_n(&s->busy, true, __ATOMIC_ACQUIRE)) {
		(void)fuse_reply_err(req, EAGAIN); /* another thread reads the same open */
		return;
	}
	got = fill(s);
	if (got >= 0) {
		answer(s, req, size);
		return;
	}
	if (nonblocking) {
		refuse(s, req, EAGAIN);
		return;
	}
	s->interrupted = false;
	s->wanted = size;
	fuse_req_interrupt_func(req, on_interrupt, s);
	pthread_mutex_lock(&s->all->lock);
	s->waiting = req;
	pthread_mutex_unlock(&s->all->lock);
	wake(s->all);
}

/* ---- the thread ---- */

struct round { /* what it looks at in one go */
	struct pollfd fds[STREAMS_MAX + 1];
	struct stream *streams[STREAMS_MAX];
	size_t count;
};

/* False: it shall end. Those that wait stay until they are answered. */
static bool gather(struct streams *all, struct round *r)
{
	bool goes_on;

	r->count = 0;
	r->fds[STREAMS_MAX] = (struct pollfd){ .fd = all->wake, .events = POLLIN };
	pthread_mutex_lock(&all->lock);
	goes_on = !all->stopping;
	for (struct stream *s = all->first; s && r->count < STREAMS_MAX; s = s->next) {
		if (!s->waiting)
			continue;
		r->fds[r->count] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
		r->streams[r->count++] = s;
	}
	pthread_mutex_unlock(&all->lock);
	for (size_t i = r->count; i < STREAMS_MAX; i++)
		r->fds[i] = (struct pollfd){ .fd = -1 };
	return goes_on;
}

/* Answers the read that waits, if it is time to. */
static void serve(struct stream *s, bool readable)
{
	struct streams *all = s->all;
	fuse_req_t req = NULL;
	int error = 0, got = 1;

	pthread_mutex_lock(&all->lock);
	if (all->stopping || s->interrupted)
		error = all->stopping ? ENODEV : EINTR;
	else if (readable)
		got = fill(s);
	if (error || (readable && got >= 0)) {
		req = s->waiting;
		s->waiting = NULL;
	}
	pthread_mutex_unlock(&all->lock);
	if (!req)
		return;
	/* After this, on_interrupt is not running, and will not. */
	fuse_req_interrupt_func(req, NULL, NULL);
	if (error)
		refuse(s, req, error);
	else
		answer(s, req, s->wanted);
}

static void *streams_thread(void *arg)
{
	struct streams *all = arg;
	struct round r;
	uint64_t count;
	bool goes_on;

	do {
		goes_on = gather(all, &r);
		if (goes_on && poll(r.fds, STREAMS_MAX + 1, -1) < 0)
			continue;
		if (goes_on && r.fds[STREAMS_MAX].revents &&
		    read(all->wake, &count, sizeof(count)) < 0)
			continue;
		for (size_t i = 0; i < r.count; i++)
			serve(r.streams[i], r.fds[i].revents);
	} while (goes_on);
	return NULL;
}

/* ---- life ---- */

int streams_new(struct trace *trace, const struct mount_words *words, struct streams **ret)
{
	struct streams *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->trace = trace;
	all->words = words;
	all->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&all->lock, NULL);
	if (all->wake < 0 || pthread_create(&all->thread, NULL, streams_thread, all) != 0) {
		close_fd(&all->wake);
		pthread_mutex_destroy(&all->lock);
		free(all);
		return err_note(-EAGAIN, "cannot start a thread");
	}
	*ret = all;
	return 0;
}

static void stream_free(struct stream *s)
{
	close_fd(&s->fd);
	buf_release(&s->out);
	free(s);
}

void streams_free(struct streams *all)
{
	if (!all)
		return;
	pthread_mutex_lock(&all->lock);
	all->stopping = true;
	pthread_mutex_unlock(&all->lock);
	wake(all);
	pthread_join(all->thread, NULL);
	while (all->first) {
		struct stream *s = all->first;

		all->first = s->next;
		stream_free(s);
	}
	close_fd(&all->wake);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

int stream_open(struct streams *all, struct stream **ret)
{
	struct stream *s = calloc(1, sizeof(*s));
	int pair[2], err;

	if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		err = s ? -errno : -ENOMEM;
		free(s);
		return err;
	}
	s->all = all;
	s->fd = pair[0];
	err = trace_listen(all->trace, pair[1], false);
	if (err < 0) {
		(void)close(pair[1]);
		stream_free(s);
		return err;
	}
	pthread_mutex_lock(&all->lock);
	s->next = all->first;
	all->first = s;
	pthread_mutex_unlock(&all->lock);
	*ret = s;
	return 0;
}

void stream_close(struct stream *s)
{
	struct streams *all = s->all;
	struct stream **at = &all->first;

	/* The kernel has had the last answer: with this, what its thread did to the stream is seen here. */
	(void)__atomic_load_n(&s->busy, __ATOMIC_ACQUIRE);
	pthread_mutex_lock(&all->lock);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	pthread_mutex_unlock(&all->lock);
	stream_free(s);
}

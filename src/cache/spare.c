/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spare: a few descriptors that are kept, so that what is on the disk can be read, and what comes to
 * the cache be kept, when the process, or the machine, has no others left. One is closed and its number used for the file; a thread that
 * comes in between may get it, and then it is lost until there are descriptors again.
 */
#include "cache/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Locked, or not shared yet. Those that are lent come back. */
static void fill(struct spare *s)
{
	while (s->marker >= 0 && s->count + s->lent < SPARE_FDS) {
		int fd = fcntl(s->marker, F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return;
		s->fds[s->count++] = fd;
	}
}

void spare_init(struct spare *s)
{
	*s = (struct spare){ .marker = eventfd(0, EFD_CLOEXEC) };
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->back, NULL);
	fill(s);
}

void spare_release(struct spare *s)
{
	while (s->count > 0)
		(void)close(s->fds[--s->count]);
	close_fd(&s->marker);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->back);
}

static int open_file(int dir, const char *file, int flags)
{
	int fd = openat(dir, file, flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

static bool is_lack(int err)
{
	return err == -EMFILE || err == -ENFILE;
}

int spare_open(struct spare *s, int dir, const char *file, int flags, bool *ret_lent)
{
	int fd = open_file(dir, file, flags);

	*ret_lent = false;
	if (!is_lack(fd))
		return fd;
	pthread_mutex_lock(&s->lock);
	while (is_lack(fd) && s->count + s->lent > 0) {
		if (s->count == 0) {
			pthread_cond_wait(&s->back, &s->lock);
			continue;
		}
		(void)close(s->fds[--s->count]);
		fd = open_file(dir, file, flags);
		*ret_lent = fd >= 0;
	}
	s->lent += *ret_lent;
	pthread_mutex_unlock(&s->lock);
	return fd;
}

void spare_close(struct spare *s, int fd, bool lent)
{
	if (fd < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->lent -= lent;
	if (lent && dup3(s->marker, fd, O_CLOEXEC) >= 0) /* the number stays ours */
		s->fds[s->count++] = fd;
	else
		(void)close(fd);
	fill(s);
	if (lent)
		pthread_cond_broadcast(&s->back);
	pthread_mutex_unlock(&s->lock);
}

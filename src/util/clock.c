/* SPDX-License-Identifier: BSD-3-Clause */
/* Time, waiting, randomness, uuids. */
#include "util/util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

static uint64_t system_mono_ns(struct clock *c)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int64_t system_real_ns(struct clock *c)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}

static void system_sleep_ms(struct clock *c, uint64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS) };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

struct clock clock_system = {
	.mono_ns = system_mono_ns,
	.real_ns = system_real_ns,
	.sleep_ms = system_sleep_ms,
};

uint64_t clock_mono_ms(struct clock *c)
{
	return c->mono_ns(c) / NS_PER_MS;
}

void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

bool cond_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ns / NS_PER_S);
	ns = (uint64_t)t.tv_nsec + ns % NS_PER_S;
	t.tv_sec += (time_t)(ns / NS_PER_S);
	t.tv_nsec = (long)(ns % NS_PER_S);
	return pthread_cond_timedwait(cond, lock, &t) != ETIMEDOUT;
}

bool cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ms)
{
	return cond_wait_ns(cond, lock, ms * NS_PER_MS);
}

void random_bytes(void *out, size_t len)
{
	uint8_t *p = out;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno != EINTR)
			abort(); /* every kernel that has FUSE 3 has getrandom */
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}

void uuid_make(struct uuid *ret)
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
	ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x40); /* RFC 9562, version 4 */
	ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
}

void uuid_format(const struct uuid *u, char out[UUID_STR_LEN])
{
	const uint8_t *b = u->bytes;

	(void)snprintf(out, UUID_STR_LEN,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
		       b[14], b[15]);
}

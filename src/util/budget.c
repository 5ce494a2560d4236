/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes of memory against a limit. */
#include "util/util.h"

#include <assert.h>
#include <errno.h>

void budget_init(struct budget *b, uint64_t limit_bytes)
{
	*b = (struct budget){ .limit_bytes = limit_bytes };
	pthread_mutex_init(&b->lock, NULL);
	cond_init(&b->freed);
}

void budget_release(struct budget *b)
{
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->freed);
}

static bool fits(const struct budget *b, uint64_t bytes)
{
	return b->used_bytes == 0 || (b->used_bytes <= b->limit_bytes && bytes <= b->limit_bytes - b->used_bytes);
}

/* Locked on entry and exit; false when time ran out. */
static bool wait_for_room(struct budget *b, uint64_t bytes, uint64_t timeout_ms)
{
	uint64_t end = timeout_ms ? clock_mono_ms(&clock_system) + timeout_ms : UINT64_MAX;

	while (!fits(b, bytes)) {
		uint64_t now = clock_mono_ms(&clock_system);

		if (now >= end)
			return false;
		/* Pressure is told again now and then: what the owner flushed may have filled up again. */
		(void)cond_wait_ms(&b->freed, &b->lock, min_u64(end - now, 1000));
		if (!fits(b, bytes) && b->on_pressure) {
			pthread_mutex_unlock(&b->lock);
			b->on_pressure(b->ctx);
			pthread_mutex_lock(&b->lock);
		}
	}
	return true;
}

int budget_take(struct budget *b, uint64_t bytes, uint64_t timeout_ms)
{
	bool ok = true;

	pthread_mutex_lock(&b->lock);
	if (!fits(b, bytes)) {
		b->waiters++;
		if (b->on_pressure) {
			pthread_mutex_unlock(&b->lock);
			b->on_pressure(b->ctx);
			pthread_mutex_lock(&b->lock);
		}
		ok = wait_for_room(b, bytes, timeout_ms);
		b->waiters--;
	}
	if (ok)
		b->used_bytes += bytes;
	pthread_mutex_unlock(&b->lock);
	return ok ? 0 : -ETIMEDOUT;
}

void budget_force(struct budget *b, uint64_t bytes)
{
	pthread_mutex_lock(&b->lock);
	b->used_bytes += bytes;
	pthread_mutex_unlock(&b->lock);
}

void budget_give(struct budget *b, uint64_t bytes)
{
	pthread_mutex_lock(&b->lock);
	assert(b->used_bytes >= bytes);
	b->used_bytes -= bytes;
	if (b->waiters > 0)
		pthread_cond_broadcast(&b->freed);
	pthread_mutex_unlock(&b->lock);
}

uint64_t budget_used(struct budget *b)
{
	uint64_t used;

	pthread_mutex_lock(&b->lock);
	used = b->used_bytes;
	pthread_mutex_unlock(&b->lock);
	return used;
}

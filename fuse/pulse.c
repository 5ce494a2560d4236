/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether the daemon is alive. See supervisor.h. */
#include "supervisor.h"

/* An outage that ended a moment ago has left many who wait their turn. */
static bool waits_for_store(const struct pulse *p, const struct pulse_facts *f)
{
	return f->in_flight > 0 || f->failed != p->failed_then;
}

enum pulse_verdict pulse_judge(struct pulse *p, const struct pulse_facts *f)
{
	if (f->closing)
		return PULSE_WAITING;
	if (!p->asked || f->answered) {
		*p = (struct pulse){ .asked = true,
				     .asked_ms = f->now_ms,
				     .failed_then = f->failed };
		return PULSE_ASK;
	}
	if (waits_for_store(p, f)) {
		p->asked_ms = f->now_ms;
		p->failed_then = f->failed;
		return PULSE_WAITING;
	}
	return f->now_ms - p->asked_ms < f->patience_ms ? PULSE_WAITING : PULSE_STUCK;
}

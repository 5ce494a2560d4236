/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * supervisor: what systemd is told if it has started us (Type=notify): sd_notify(3), which is a datagram to the socket
 * that NOTIFY_SOCKET names. Without one all of this does nothing.
 *
 *	opening		STATUS, and more time while the lease is waited for
 *	mounted		READY=1; then STATUS, and WATCHDOG=1 as long as the daemon is alive
 *	closing		STOPPING=1; STATUS, WATCHDOG=1, and more time as long as bytes get stored
 *
 * Alive means: our locks can be had, and the kernel's requests are taken up and answered. To see that, the kernel is
 * asked to send us one (session_probe), which touches no file and keeps nobody from unmounting. It does not mean that
 * the store answers: who waits for the store is not stuck, and killing the daemon would lose what it has not stored.
 * So a request that is not taken up proves something only while nothing is under way to the store and nothing fails
 * there. While the rest is being stored the daemon counts as alive: TimeoutStopSec decides how long that may take.
 */
#ifndef LEVELS3_FUSE_SUPERVISOR_H
#define LEVELS3_FUSE_SUPERVISOR_H

#include "util/util.h"

struct daemon;

/* Before supervisor_start: has something like systemd started us? */
bool supervisor_is_there(void);
/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment. Before other threads begin. */
int supervisor_start(struct daemon *d);
/* Lines "VARIABLE=VALUE". Any thread; never waits. */
void supervisor_say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Programs can use the mount. */
void supervisor_ready(void);
/* It may take so long to open. */
void supervisor_wait_more(const char *why, const char *more);

/* ---- what alive means ---- */

struct pulse { /* begins as zeros */
	bool asked;
	uint64_t asked_ms, failed_then;
};
struct pulse_facts {
	uint64_t now_ms;
	bool closing;
	bool answered;		    /* the last probe, if any */
	uint64_t in_flight, failed; /* requests to the store: now, and ever */
	uint64_t patience_ms;	    /* for an answer */
};
enum pulse_verdict {
	PULSE_STUCK,
	PULSE_WAITING, /* alive as far as one can tell */
	PULSE_ASK,     /* alive; it should be asked again */
};
enum pulse_verdict pulse_judge(struct pulse *p, const struct pulse_facts *f);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the proxy does to requests and answers when it is told to.
 *
 * Commands, one line on a connection of its own to the control socket, answered by one line:
 *
 *	FAULT PERCENT KIND[,KIND...] [MS]
 *		from now on so many of these requests, as http_kind names them ("any": all), meet
 *		the fault; an earlier rule for a request goes before a later one
 *	cut	the line is cut: what is connected is reset, nobody gets through
 *	heal	no fault any more; what hung is closed
 *	hits	{"drop": 3, ...}: how many requests met each fault so far
 *
 * Faults:
 *	drop      closed instead of passing the request on
 *	reset     likewise, by a reset
 *	stall     not passed on, and no answer, until heal
 *	lose      passed on; closed instead of answering: it took effect
 *	mute      passed on; no answer, until heal
 *	truncate  closed in the middle of the answer
 *	corrupt   one bit of the answer's body is another
 *	delay     the answer comes MS milliseconds later
 */
#ifndef BENCH_FAULT_H
#define BENCH_FAULT_H

#include "http.h"

#include <stdbool.h>

enum fault {
	FAULT_NONE,
	FAULT_DROP,
	FAULT_RESET,
	FAULT_STALL,
	FAULT_LOSE,
	FAULT_MUTE,
	FAULT_TRUNCATE,
	FAULT_CORRUPT,
	FAULT_DELAY,
	FAULTS
};

struct fault_fate { /* of one request and its answer */
	enum fault fault;
	uint64_t delay_ns;
	bool placed;	/* place is known: */
	uint64_t place; /* where in the answer's body it is cut off, or damaged */
	uint64_t body_passed;
	struct http_answer answer;
};

/* A request of this kind begins: what shall happen to it. */
void fault_draw(enum http_kind kind, struct fault_fate *ret);

enum fault_verdict {
	FAULT_PASS,    /* the first *len of the bytes, which may be other ones now */
	FAULT_SWALLOW, /* none of them, and nothing else of this connection */
	FAULT_CLOSE,   /* after the first *len */
};
/* Bytes of the answer are on their way to the client. */
enum fault_verdict fault_answer(struct fault_fate *f, uint8_t *bytes, size_t *len);

enum fault_order { FAULT_ORDER_NONE, FAULT_ORDER_CUT, FAULT_ORDER_HEAL };
/* Obeys a command; what the connections have to do about it. reply: the line to answer with. */
enum fault_order fault_command(const char *line, char *reply, size_t size);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace: what the mount is asked by the kernel, and what it asks of the store, for those who listen
 * on the control socket.
 *
 * Operations are always counted, which costs an addition each. Lines are made only while somebody
 * listens: each listener has a ring of bounded size and a thread that sends from it. Where a
 * listener reads too slowly, lines are dropped, and it is told how many; nothing ever waits for it.
 *
 * Operations are seen where libfuse can be hooked (wire.h); without that none are counted.
 *
 *	r TIME OP BYTES TOOK RESULT ATTEMPT KEY		a request; RESULT 0, or a negative code of util.h
 *	o TIME OP INODE BYTES OFFSET TOOK ERRNO [NAME]	an operation; OFFSET - where there is none
 *	lost N						so many lines are missing here
 *
 * TIME and TOOK are in nanoseconds, TIME since 1970. Names hold no control characters.
 */
#ifndef LEVELS3_FUSE_TRACE_H
#define LEVELS3_FUSE_TRACE_H

#include "store/store.h"

enum trace_kind {
	TRACE_LOOKUP,
	TRACE_GETATTR,
	TRACE_SETATTR,
	TRACE_OPEN,
	TRACE_READ,
	TRACE_WRITE,
	TRACE_CREATE,
	TRACE_REMOVE,
	TRACE_RENAME,
	TRACE_READDIR,
	TRACE_XATTR,
	TRACE_SYNC,
	TRACE_OTHER,
	TRACE_KIND_COUNT
};

struct trace; /* any thread; lives as long as the process */

int trace_new(struct trace **ret);
const char *trace_kind_name(enum trace_kind kind);
void trace_counts(struct trace *t, uint64_t ret[TRACE_KIND_COUNT]);

/* After each answer of the store. Never waits. */
void trace_request(struct trace *t, const struct store_request *r);
/* A request of the kernel as it came, and the answer as it goes. Never wait. */
void trace_op_begin(struct trace *t, const void *request, size_t len);
void trace_op_end(struct trace *t, const struct iovec *iov, int count);

/* Sends lines until the other side closes; fd is taken over if this returns 0. -EBUSY: too many
 * listen already. */
int trace_listen(struct trace *t, int fd, bool with_ops);

#endif

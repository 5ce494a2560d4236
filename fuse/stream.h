/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream: lines of the trace for reads of a file that never ends.
 *
 * A read is answered as soon as there is a line. Until then it occupies no worker: one thread waits for the lines of
 * all streams, and answers. A signal to the reading process ends the wait with EINTR, as on a pipe.
 */
#ifndef LEVELS3_FUSE_STREAM_H
#define LEVELS3_FUSE_STREAM_H

#include "mount.h"
#include "ops.h"

struct streams; /* all of a mount; any thread */
struct stream;	/* one open file */

int streams_new(struct trace *trace, const struct mount_words *words, struct streams **ret);
/* Answers all that wait (ENODEV) and ends the thread; no read may come any more. The streams are freed. NULL is
 * fine. */
void streams_free(struct streams *all);

/* -EBUSY: too many listen already. */
int stream_open(struct streams *all, struct stream **ret);
/* Answers now or later. */
void stream_read(struct stream *s, fuse_req_t req, size_t size, bool nonblocking);
/* The kernel does that when no read is under way any more. */
void stream_close(struct stream *s);

#endif

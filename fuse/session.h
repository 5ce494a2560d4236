/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection with the kernel: libfuse's session, its threads, and its end. */
#ifndef LEVELS3_FUSE_SESSION_H
#define LEVELS3_FUSE_SESSION_H

#include "daemon.h"
#include "ops.h"

struct session;

int session_new(const struct daemon_request *r, struct ops_ctx *ops, struct session **ret);
int session_mount(struct session *s);
/* Serves until the filesystem is unmounted. on_ready is called from another thread once a program
 * could read the root folder. An error of libfuse, or of that reading. */
int session_loop(struct session *s, void (*on_ready)(void *ctx), void *ctx);
/* Any thread: unmounts. If it is in use, detaches it after flushing, and ends the session all the
 * same. */
void session_stop(struct session *s);
/* Has the kernel send us a request, which op_retrieve_reply answers: false in ops_ctx.probe_answered until then. No
 * file is opened for that: nobody is kept from unmounting. One thread, one at a time. -ENOENT: later perhaps. */
int session_probe(struct session *s);
/* Unmounts if that has not been done. NULL is fine. */
void session_free(struct session *s);

#endif

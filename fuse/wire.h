/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire: what the kernel says and older releases of libfuse do not pass on.
 *
 * A hook reads each request before libfuse does, in the thread that will serve it, and keeps what
 * the operation cannot learn otherwise. Two requests that libfuse does not know become others that
 * it does, with a note of what they were:
 *
 *	FUSE_TMPFILE → FUSE_CREATE   op_create makes a file without a name
 *	FUSE_STATX   → FUSE_GETATTR  op_getattr answers with the time of birth as well
 *
 * And our answer to FUSE_INIT also takes on
 *
 *	FUSE_HANDLE_KILLPRIV_V2      each write says whether it takes set-user-ID away, and the
 *				     kernel stops asking for security.capability before every one
 *	FUSE_SETXATTR_EXT	     setting an ACL says whether it takes set-group-ID away
 *
 * libfuse can be hooked from 3.14 on. Without it the operations do with what they are told.
 */
#ifndef LEVELS3_FUSE_WIRE_H
#define LEVELS3_FUSE_WIRE_H

#include "ops.h"

enum wire_writer { /* may this process write to a set-user-ID file and leave it so? */
		   WIRE_UNKNOWN,
		   WIRE_PRIVILEGED,
		   WIRE_UNPRIVILEGED,
};

struct wire_request {
	enum wire_writer writer;
	bool acl_kills_sgid; /* setxattr of an access ACL */
	bool tmpfile;	     /* this create */
	bool statx;	     /* this getattr */
};

/* After mounting, before the loop. */
int wire_attach(struct fuse_session *se);
/* About the request that this thread is serving. */
const struct wire_request *wire_request(void);
/* The answer to a getattr that is a statx. */
void wire_reply_statx(fuse_req_t req, const struct fs_attr *a);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtual: the folder .levels3fs in the root, which the filesystem knows nothing of. In it the daemon tells of itself:
 *
 *	status		as "levels3fs status" shows it; status.json: with --json
 *	stats		its numbers, each on a line "NAME NUMBER"
 *	metrics		for Prometheus
 *	trace		requests to the store as they happen, as "levels3fs trace" shows them, until it is closed
 *
 * No listing of the root has it, so that what walks the tree (rm, tar, rsync, find, du) never meets it; looking it up
 * finds it. Its inode numbers are above all that a filesystem ever gives. It is read-only, and belongs to the owner of
 * the mount, who alone may read it, besides root: those whom the control socket answers, too.
 *
 * Contents are made when a file is opened, so that what one open reads belongs together; sizes are 0, as in /proc.
 *
 * A user's own file of that name goes first, so that nothing stored is ever out of reach: it can be made only by a
 * version that did not reserve the name, since to this one's users the name is taken (EEXIST), and moving something
 * there is refused (EPERM). Once it is renamed or removed, the folder is there again.
 */
#ifndef LEVELS3_FUSE_VIRTUAL_H
#define LEVELS3_FUSE_VIRTUAL_H

#include "daemon.h"
#include "ops.h"

#define VIRTUAL_NAME ".levels3fs"
#define VIRTUAL_FIRST_INO ((uint64_t)1 << 62)
#define VIRTUAL_PROBED_INO (VIRTUAL_FIRST_INO + 1) /* "status", of which session_probe asks */

struct virtual;

int virtual_new(struct daemon *d, struct virtual **ret);
/* After the session's loop and before the session goes: whoever still waits for a trace is answered. NULL is fine. */
void virtual_free(struct virtual *v);

/* The operations of the mount: those of ops.h, with this folder among them. */
extern const struct fuse_lowlevel_ops virtual_table;

#endif

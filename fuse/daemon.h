/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a mounted filesystem, in the process that serves it:
 *
 *	OPENING   daemon_run: fs_open, mount
 *	MOUNTED   requests are served, until the kernel says that it is unmounted (umount,
 *		  fusermount3 -u), or a signal makes us unmount it ourselves
 *	CLOSING   fs_close stores the rest; the control socket tells how far it is
 *	(the end)
 *
 * Signals: INT, TERM, HUP unmount. QUIT, or "abort" on the control socket, gives up what is not
 * stored. All signals go to one thread; no other ever sees one.
 */
#ifndef LEVELS3_FUSE_DAEMON_H
#define LEVELS3_FUSE_DAEMON_H

#include "meter.h"
#include "mount.h"
#include "options.h"
#include "trace.h"

#include "util/ctl.h"

#include <stdnoreturn.h>

/* Exit codes of mount(8). */
enum { EXIT_USAGE = 1, EXIT_SYSTEM = 2, EXIT_INTERRUPTED = 8, EXIT_MOUNT = 32 };

struct daemon_request {
	const char *url;
	const char *dir; /* absolute */
	const struct mount_options *options;
	const struct mount_words *words;
	bool foreground, debug;
	int ready_fd; /* the exit code for the waiting parent goes here, when mounted or failed; -1
		       */
};

/* Does not return: the process ends with the exit code. */
noreturn void daemon_run(const struct daemon_request *r);

/* ---- for those who tell of it: the control socket, the virtual folder ---- */

enum daemon_state { DAEMON_OPENING, DAEMON_MOUNTED, DAEMON_CLOSING };

struct daemon;

enum daemon_state daemon_state(struct daemon *d);
const struct daemon_request *daemon_request(const struct daemon *d);
struct trace *daemon_trace(const struct daemon *d);
const struct meter *daemon_meter(const struct daemon *d);
/* Where Prometheus finds the metrics; "": nowhere. */
const char *daemon_metrics_address(const struct daemon *d);
int64_t daemon_since_s(const struct daemon *d);
const char *daemon_cache_dir(const struct daemon *d); /* "none" where there is none */
struct daemon_view {
	struct fs_status fs;
	struct fs_statfs space;
	struct uuid uuid;
};
/* False when closing: then only daemon_bytes_left says something. */
bool daemon_look(struct daemon *d, struct daemon_view *ret);
uint64_t daemon_bytes_left(struct daemon *d);
void daemon_abort(struct daemon *d);

/* The filesystem for somebody who may take long, until daemon_leave; NULL if it is not mounted, or too many are in it.
 * They should go when daemon_state changes: closing waits for them. */
struct fs *daemon_enter(struct daemon *d);
void daemon_leave(struct daemon *d);

/* supervisor.c: has the kernel send a request to us, and says whether it was answered. False if that cannot be done. */
bool daemon_probe(struct daemon *d);
bool daemon_probe_answered(struct daemon *d);

/* inspect.c: true if that is one of its questions; then, whether it keeps fd, and closes it. */
bool inspect_start(struct daemon *d, int fd, const char *line, bool *ret_kept);

struct control; /* control.c: the socket, served by a thread of its own until the process ends */

int control_start(struct daemon *d, const struct ctl_mount *m, struct control **ret);
/* A line for everybody who watches. NULL is fine. */
void control_say(struct control *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl: finding the daemon behind a mount, and talking to it. A second door of util, for the daemon
 * (fuse) and the command line (cli), which are equal ranks.
 *
 * The kernel's mount table says which device number a mount has; the daemon listens on an abstract
 * unix socket named after that number and its own pid. So finding it never touches the filesystem,
 * which may hang or be dead. Both sides check the other's uid: root and the mount's owner may talk.
 *
 * Protocol: the client sends one line, the daemon answers in lines (CTL_LINE_MAX bytes at most).
 *
 *	mountpoint	"DIR", then closes
 *	serving		likewise, but says nothing once the mount is gone and the rest is being stored
 *	status		"n KEY NUMBER", "s KEY TEXT", "b KEY true|false" …, then closes
 *	watch		"mounted" or "closing", later "left BYTES" …, at the end "done 0" or
 *			"done CODE TEXT"; closes when the process ends
 *	info, summary, warmup INODE	lines "p BYTES FILES" while it takes long, lines "o …" of objects, then as
 *			status with "done" or "error" (fuse/inspect.c)
 *	gc FLAGS	likewise, but with lines "w FOUND WAITING DUE_MS PHASE" while it takes long
 *	log [LEVEL]	"s level LEVEL", "s where stderr|syslog|journald", or "s error TEXT"; LEVEL is taken over
 *	trace [ops]	"tracing", then lines as they happen: fuse/trace.h
 *	abort		like watch, but what is not stored is given up
 */
#ifndef LEVELS3_UTIL_CTL_H
#define LEVELS3_UTIL_CTL_H

#include "util/util.h"

#include <limits.h>

/* ---- mount table ---- */

enum { CTL_GC_DRY_RUN = 1, CTL_GC_WAIT = 2 }; /* flags of "gc" */

#define CTL_FSTYPE "fuse.levels3fs"

struct ctl_mount {
	char dir[PATH_MAX];
	char source[PATH_MAX];
	char type[64];
	unsigned major, minor;
	uid_t owner; /* who mounted it */
};

/* An absolute path for a mountpoint whose filesystem may be dead: resolves all but the last
 * component. -ENOENT, -ENAMETOOLONG, … */
int ctl_resolve(const char *path, char out[PATH_MAX]);
/* The topmost mount on exactly that folder (absolute). -ENOENT if nothing is mounted there. */
int ctl_mount_at(const char *dir, struct ctl_mount *ret);
/* The mount in which an absolute path without links lies. */
int ctl_mount_of(const char *path, struct ctl_mount *ret);
/* All mounts, those that lie on top of others after these; until each says false. */
int ctl_mount_each(bool (*each)(void *ctx, const struct ctl_mount *m), void *ctx);
/* A mount of ours of this URL, the latest if there are several. -ENOENT. */
int ctl_mount_from(const char *url, struct ctl_mount *ret);
bool ctl_mount_is_ours(const struct ctl_mount *m);
/* True if its daemon has died. Asks the kernel, so only for one that ctl_connect does not find: it would wait
 * for a daemon that hangs. */
bool ctl_mount_is_dead(const struct ctl_mount *m);
/* Unmounts: root by umount2(2) with these flags; others through fusermount3, lazily for MNT_DETACH and
 * MNT_FORCE. -EBUSY, -EPERM, -EINVAL (nothing mounted there). */
int ctl_unmount(const char *dir, int flags);
/* Tells umount(8) to ask our helper, which waits until everything is stored, for the mount on this folder (absolute,
 * resolved); and that it is over. Only root can, and need. An errno of /run/mount, -EBUSY (locked for seconds). A
 * crash leaves a line that the next mount there takes over. */
int ctl_utab_add(const char *dir);
int ctl_utab_remove(const char *dir);

/* ---- sockets ---- */

#define CTL_LINE_MAX 4096

/* Daemon: listens for the mount with this device number. */
int ctl_listen(unsigned major, unsigned minor, int *ret_fd);
/* Daemon: the next client that may talk to us; others are turned away (-EACCES). A client that
 * neither reads nor writes costs at most a few seconds. */
int ctl_accept(int listener, int *ret_fd);

/* Client: -ENOENT if no daemon of that mount can be found (gone, or in another network namespace),
 * -EACCES if it belongs to somebody else. ret_pid may be NULL. */
int ctl_connect(const struct ctl_mount *m, int *ret_fd, pid_t *ret_pid);
/* Client: a daemon that had its filesystem on this folder, be it unmounted already. -ENOENT. */
int ctl_connect_by_dir(const char *dir, int *ret_fd, pid_t *ret_pid);

/* A formatted line; the newline is added, those within become spaces. Never raises SIGPIPE. */
int ctl_write(int fd, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Lines as they are. */
int ctl_send(int fd, const void *bytes, size_t len);

struct ctl_reader {
	int fd;
	size_t len;
	char data[CTL_LINE_MAX];
};
/* 1: a line (without newline) in out; 0: the other side closed; -ETIMEDOUT (timeout_ms 0: wait for
 * ever), -EPROTO for a line too long. */
int ctl_read(struct ctl_reader *r, char out[CTL_LINE_MAX], int timeout_ms);

#endif

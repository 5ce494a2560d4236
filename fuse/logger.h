/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * logger: where the daemon's log goes: the terminal until it is mounted; then standard error, syslog(3) or journald,
 * which gets URL, mountpoint, and of requests object, time and request id as fields of their own.
 *
 * Of requests to the store those are logged that fail or are slow, one every ten seconds at most; at level debug all
 * of them. One daemon in a process.
 */
#ifndef LEVELS3_FUSE_LOGGER_H
#define LEVELS3_FUSE_LOGGER_H

#include "store/store.h"

struct daemon_request;

/* Before other threads begin; takes JOURNAL_STREAM from the environment. -L3_BAD_OPTION, -ENOENT (no journald). */
int logger_start(const struct daemon_request *r);
/* The terminal is about to go. */
void logger_detach(void);
/* "stderr", "syslog", "journald" */
const char *logger_where(void);
/* After each answer of the store, in the thread that asked. */
void logger_request(const struct store_request *r);

#endif

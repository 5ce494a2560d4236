/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report: what the daemon says of itself, for the control socket, for the virtual folder and for Prometheus.
 *
 *	report_status	lines "n KEY NUMBER", "s KEY TEXT", "b KEY true|false": the control socket's "status"
 *	report_stats	the numbers among them, as "KEY NUMBER"
 *	report_metrics	Prometheus' text format, version 0.0.4 (metrics.c)
 *
 * Any thread; they wait for no store. Trouble shows in out->failed.
 */
#ifndef LEVELS3_FUSE_REPORT_H
#define LEVELS3_FUSE_REPORT_H

#include "daemon.h"

void report_status(struct daemon *d, struct buf *out);
void report_stats(struct daemon *d, struct buf *out);
void report_metrics(struct daemon *d, struct buf *out);

#endif

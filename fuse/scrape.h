/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scrape: the metrics over HTTP, for Prometheus: GET /metrics and nothing else, on the address of option metrics.
 *
 * One thread serves a few connections at a time, each with one answer and a time by which it must be through; what
 * comes is looked at as far as the first line. So small a part of HTTP needs no library, which would bring threads,
 * buffers and features of its own into the process that everything depends on.
 *
 * Whoever reaches the port may read: the metrics hold counters, the source and the mountpoint, as the mount table
 * does. By default that is this machine only.
 */
#ifndef LEVELS3_FUSE_SCRAPE_H
#define LEVELS3_FUSE_SCRAPE_H

#include "daemon.h"

#include <sys/socket.h>

/* "PORT", "ADDRESS:PORT", "[ADDRESS]:PORT", with numbers or "localhost". -L3_BAD_OPTION with a note. */
int scrape_parse(const char *where, struct sockaddr_storage *ret, socklen_t *ret_len);
/* Takes the port. ret_address: where that is, for people. -EADDRINUSE and others, with a note. */
#define SCRAPE_ADDRESS_LEN 72
int scrape_listen(const char *where, int *ret_fd, char ret_address[SCRAPE_ADDRESS_LEN]);
/* Serves until the process ends. fd is taken over. */
int scrape_start(struct daemon *d, int fd);

#endif

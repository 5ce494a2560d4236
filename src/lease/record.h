/* SPDX-License-Identifier: BSD-3-Clause */
/* The lease object's bytes, and what the local machine says about a holder. Private to the room. */
#ifndef LEVELS3_LEASE_RECORD_H
#define LEVELS3_LEASE_RECORD_H

#include "lease/lease.h"

#define LEASE_KEY "lease"

void lease_record_encode(struct buf *out, const struct uuid *fs, const struct lease_holder *h);
int lease_record_decode(const void *data, size_t len, const struct uuid *fs, struct lease_holder *ret);
/* Fills in host, boot, process. */
void lease_describe_self(struct lease_holder *ret, const char *mountpoint);
/* Reads the object and its etag. -ENOENT if there is none. */
int lease_fetch(struct store *store, const struct uuid *fs, struct lease_holder *ret,
		struct store_meta *ret_meta);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the store room: the implementations that store_open chooses from. */
#ifndef LEVELS3_STORE_INTERNAL_H
#define LEVELS3_STORE_INTERNAL_H

#include "store/store.h"

int store_mem_open(const char *url, const struct store_config *config, struct store **ret);
int store_file_open(const char *url, const struct store_config *config, struct store **ret);
int store_s3_open(const char *url, const struct store_config *config, struct store **ret);

/* For every constructor: one reference, a copy of the url. 0 or -ENOMEM. */
int store_init(struct store *s, const struct store_ops *ops, const char *url);
/* The counterpart, for constructors that fail and for destroy. */
void store_fini(struct store *s);

/* The try of the call that this thread is making, from 1 on: set by retry, told by trace. */
extern _Thread_local unsigned store_attempt;

/* By what the server knows the request that this thread has sent last; "": set by s3, told by trace. */
extern _Thread_local char store_request_id[96];

size_t store_put_size(const struct store_put *put);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* What the bytes of the FUSE protocol say about an operation. For trace.c. */
#ifndef LEVELS3_FUSE_TRACE_OPS_H
#define LEVELS3_FUSE_TRACE_OPS_H

#include "trace.h"

#define TRACE_TEXT_MAX 520 /* two names */

struct trace_op {
	const char *name;
	bool counts_answer; /* its bytes are those of the answer */
	bool is_lookup;
	bool has_offset;
	uint64_t ino, bytes, offset;
	char text[TRACE_TEXT_MAX]; /* names in the folder that `ino` is, or of an attribute; "" */
};

uint64_t trace_op_unique(const void *request);
enum trace_kind trace_op_kind(const void *request);
/* False for what has no answer, and is nothing that a program has asked for. */
bool trace_op_parse(const void *request, size_t len, struct trace_op *ret);
/* 0 for what answers no request. */
uint64_t trace_answer_unique(const struct iovec *iov, int count);
/* What the answer adds. Returns its errno, positive. */
int trace_op_answer(struct trace_op *op, const struct iovec *iov, int count);

#endif

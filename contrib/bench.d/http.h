/* SPDX-License-Identifier: BSD-3-Clause */
/* What an S3 client asks for, seen from its bytes alone: requests by kind, bytes of their bodies.
 */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 16384

enum http_kind { /* as `levels3fs status` names them */
		 HTTP_GET,
		 HTTP_PUT,
		 HTTP_HEAD,
		 HTTP_LIST,
		 HTTP_COPY,
		 HTTP_DELETE,
		 HTTP_DELETE_MANY,
		 HTTP_MULTIPART,
		 HTTP_OTHER,
		 HTTP_KINDS
};

struct http_counts {
	uint64_t requests[HTTP_KINDS];
	uint64_t connections;
	uint64_t body_up;	     /* bytes of objects (and of lists of keys) sent */
	uint64_t wire_up, wire_down; /* all bytes, heads too */
	uint64_t lost; /* connections whose requests could not be told apart any more */
};

/* One connection's requests. Zeros are its beginning. */
struct http {
	enum { HTTP_IN_HEAD, HTTP_IN_BODY, HTTP_IS_LOST } state;
	uint64_t body_left;
	size_t len;
	char head[HTTP_HEAD_MAX + 1];
};

void http_feed(struct http *h, const void *bytes, size_t len, struct http_counts *counts);
/* As one JSON object. Returns its length; 0 if it does not fit. */
size_t http_print(const struct http_counts *counts, char *out, size_t size);

#endif

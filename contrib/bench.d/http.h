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
	uint64_t begun;	     /* requests whose head was seen whole */
	enum http_kind kind; /* of the last of them */
	size_t len;
	char head[HTTP_HEAD_MAX + 1];
};

/* One answer, from its first byte on; http_answer_begin is its beginning. Those that only say to go
 * on (1xx) are passed over. */
struct http_answer {
	enum { ANSWER_IN_HEAD, ANSWER_IN_BODY, ANSWER_IS_UNKNOWN } state;
	uint64_t body_bytes; /* known once it is in the body; 0 for one of unknown length, too */
	size_t len;
	char head[HTTP_HEAD_MAX + 1];
};

/* The kind of that name, HTTP_KINDS if there is none. */
enum http_kind http_kind_of_name(const char *name);
void http_answer_begin(struct http_answer *a);
/* Feeds what belongs to the head: how many of the bytes that was. Nothing once the body has begun.
 */
size_t http_answer_feed(struct http_answer *a, const void *bytes, size_t len);
void http_feed(struct http *h, const void *bytes, size_t len, struct http_counts *counts);
/* As one JSON object. Returns its length; 0 if it does not fit. */
size_t http_print(const struct http_counts *counts, char *out, size_t size);

#endif

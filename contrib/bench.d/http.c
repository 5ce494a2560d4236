/* SPDX-License-Identifier: BSD-3-Clause */
/* Follows the requests on one connection: a head, then as many bytes as it announces, and again. */
#include "http.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const kind_names[HTTP_KINDS] = {
	[HTTP_GET] = "get",
	[HTTP_PUT] = "put",
	[HTTP_HEAD] = "head",
	[HTTP_LIST] = "list",
	[HTTP_COPY] = "copy",
	[HTTP_DELETE] = "delete",
	[HTTP_DELETE_MANY] = "delete_many",
	[HTTP_MULTIPART] = "multipart",
	[HTTP_OTHER] = "other",
};

/* ---- what a head says ---- */

/* The value of a header, in head; NULL if it is not there. */
static const char *header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	}
	return NULL;
}

struct target { /* of a request: "/bucket/key?query", path-style */
	char method[16];
	char path[2048];
	const char *query;
	bool has_key;
};

static bool parse_target(const char *head, struct target *t)
{
	char *query, *slash;

	if (sscanf(head, "%15s %2047s", t->method, t->path) != 2 || t->path[0] != '/')
		return false;
	query = strchr(t->path, '?');
	if (query)
		*query++ = '\0';
	t->query = query ? query : "";
	slash = strchr(t->path + 1, '/');
	t->has_key = slash && slash[1];
	return true;
}

/* A parameter of the query, by its whole name. */
static bool asks(const struct target *t, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = t->query; p; p = strchr(p, '&')) {
		p += *p == '&';
		if (strncmp(p, name, len) == 0 && (!p[len] || p[len] == '=' || p[len] == '&'))
			return true;
	}
	return false;
}

static enum http_kind kind_of_get(const struct target *t)
{
	if (t->has_key)
		return HTTP_GET;
	if (asks(t, "prefix") || asks(t, "list-type") || asks(t, "delimiter") || !*t->query)
		return HTTP_LIST;
	return HTTP_OTHER;
}

static enum http_kind kind_of(const struct target *t, const char *head)
{
	if (asks(t, "uploadId") || asks(t, "uploads"))
		return HTTP_MULTIPART;
	if (strcmp(t->method, "GET") == 0)
		return kind_of_get(t);
	if (strcmp(t->method, "HEAD") == 0)
		return HTTP_HEAD;
	if (strcmp(t->method, "PUT") == 0 && t->has_key)
		return header(head, "x-amz-copy-source") ? HTTP_COPY : HTTP_PUT;
	if (strcmp(t->method, "DELETE") == 0 && t->has_key)
		return HTTP_DELETE;
	if (strcmp(t->method, "POST") == 0 && asks(t, "delete"))
		return HTTP_DELETE_MANY;
	return HTTP_OTHER;
}

/* ---- following ---- */

static void lose(struct http *h, struct http_counts *counts)
{
	h->state = HTTP_IS_LOST;
	counts->lost++;
}

static void end_of_head(struct http *h, struct http_counts *counts)
{
	const char *length = header(h->head, "content-length");
	struct target t;

	if (!parse_target(h->head, &t) || header(h->head, "transfer-encoding")) {
		lose(h, counts);
		return;
	}
	h->kind = kind_of(&t, h->head);
	h->begun++;
	counts->requests[h->kind]++;
	h->body_left = length ? strtoull(length, NULL, 10) : 0;
	counts->body_up += h->body_left;
	h->state = h->body_left ? HTTP_IN_BODY : HTTP_IN_HEAD;
	h->len = 0;
}

/* Takes what belongs to a head and returns how much that was. *ret_whole: it is whole, and ends
 * with a newline. */
static size_t take_head(char head[HTTP_HEAD_MAX + 1], size_t *head_len, const char *bytes,
			size_t len, bool *ret_whole)
{
	size_t before = *head_len, room = HTTP_HEAD_MAX - before;
	size_t n = len < room ? len : room;
	size_t from = before > 3 ? before - 3 : 0;
	char *end;

	memcpy(head + before, bytes, n);
	*head_len += n;
	head[*head_len] = '\0';
	end = memmem(head + from, *head_len - from, "\r\n\r\n", 4);
	*ret_whole = end;
	if (!end)
		return n;
	n = (size_t)(end + 4 - head) - before;
	end[2] = '\0';
	return n;
}

static size_t feed_head(struct http *h, const char *bytes, size_t len, struct http_counts *counts)
{
	bool whole;
	size_t n = take_head(h->head, &h->len, bytes, len, &whole);

	if (whole)
		end_of_head(h, counts);
	else if (h->len == HTTP_HEAD_MAX)
		lose(h, counts);
	return n;
}

void http_feed(struct http *h, const void *bytes, size_t len, struct http_counts *counts)
{
	const char *p = bytes;

	while (len && h->state != HTTP_IS_LOST) {
		size_t n;

		if (h->state == HTTP_IN_HEAD) {
			n = feed_head(h, p, len, counts);
		} else {
			n = len < h->body_left ? len : (size_t)h->body_left;
			h->body_left -= n;
			if (!h->body_left)
				h->state = HTTP_IN_HEAD;
		}
		p += n;
		len -= n;
	}
}

/* ---- answers ---- */

enum http_kind http_kind_of_name(const char *name)
{
	enum http_kind k = 0;

	while (k < HTTP_KINDS && strcmp(kind_names[k], name) != 0)
		k++;
	return k;
}

void http_answer_begin(struct http_answer *a)
{
	a->state = ANSWER_IN_HEAD;
	a->len = 0;
	a->body_bytes = 0;
}

static void end_of_answer_head(struct http_answer *a)
{
	const char *length = header(a->head, "content-length");
	unsigned status = 0;

	if (sscanf(a->head, "HTTP/%*s %3u", &status) != 1) {
		a->state = ANSWER_IS_UNKNOWN;
		return;
	}
	if (status < 200) {
		http_answer_begin(a);
		return;
	}
	a->state = ANSWER_IN_BODY;
	a->body_bytes = length ? strtoull(length, NULL, 10) : 0;
}

size_t http_answer_feed(struct http_answer *a, const void *bytes, size_t len)
{
	const char *p = bytes;
	size_t done = 0;

	while (done < len && a->state == ANSWER_IN_HEAD) {
		bool whole;

		done += take_head(a->head, &a->len, p + done, len - done, &whole);
		if (whole)
			end_of_answer_head(a);
		else if (a->len == HTTP_HEAD_MAX)
			a->state = ANSWER_IS_UNKNOWN;
	}
	return done;
}

size_t http_print(const struct http_counts *counts, char *out, size_t size)
{
	size_t len = 0;
	int n;

	for (int i = 0; i < HTTP_KINDS && len < size; i++) {
		n = snprintf(out + len, size - len, "%s\"%s\": %llu", i ? ", " : "{ ",
			     kind_names[i], (unsigned long long)counts->requests[i]);
		len += n > 0 ? (size_t)n : 0;
	}
	if (len >= size)
		return 0;
	n = snprintf(out + len, size - len,
		     ", \"connections\": %llu, \"body_up\": %llu, \"wire_up\": %llu, "
		     "\"wire_down\": %llu, \"lost\": %llu }\n",
		     (unsigned long long)counts->connections, (unsigned long long)counts->body_up,
		     (unsigned long long)counts->wire_up, (unsigned long long)counts->wire_down,
		     (unsigned long long)counts->lost);
	return n > 0 && (size_t)n < size - len ? len + (size_t)n : 0;
}

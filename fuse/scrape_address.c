/* SPDX-License-Identifier: BSD-3-Clause */
/* On which address and port metrics are served. */
#include "scrape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define HOST_BYTES 64

static int bad(const char *where)
{
	return err_note(-L3_BAD_OPTION,
			"metrics=%s: it is PORT, ADDRESS:PORT or [ADDRESS]:PORT, of a number each",
			where);
}

/* ret_host "": none is given. */
static int split(const char *where, char ret_host[HOST_BYTES], uint64_t *ret_port)
{
	const char *colon = strrchr(where, ':'), *port = colon ? colon + 1 : where;
	size_t len = colon ? (size_t)(colon - where) : 0;

	if (len > 1 && where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	} else if (memchr(where, ':', len)) {
		return -EINVAL; /* an IPv6 address without brackets */
	}
	if (len >= HOST_BYTES || (colon && len == 0))
		return -EINVAL;
	memcpy(ret_host, where, len);
	ret_host[len] = '\0';
	return parse_u64(port, ret_port) < 0 || *ret_port > UINT16_MAX ? -EINVAL : 0;
}

int scrape_parse(const char *where, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char host[HOST_BYTES];
	uint64_t port;

	if (split(where, host, &port) < 0)
		return bad(where);
	v4.sin_port = v6.sin6_port = htons((uint16_t)port);
	if (!*host || strcmp(host, "localhost") == 0)
		(void)snprintf(host, sizeof(host), "127.0.0.1");
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(ret, &v4, sizeof(v4));
		*ret_len = sizeof(v4);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
		return bad(where);
	memcpy(ret, &v6, sizeof(v6));
	*ret_len = sizeof(v6);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever a server sends back over a real connection: status line, headers, body. The bytes are
 * the whole answer, and the connection ends after them.
 */
#include "store/s3.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int listening;
static struct store *s3;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct buf answer; /* under the lock: who asked may have turned away long ago */

static void answer_one(int fd)
{
	struct buf mine CLEANUP(buf_release) = BUF_INIT;
	char request[4096];
	size_t done = 0;

	pthread_mutex_lock(&lock);
	buf_add(&mine, answer.data, answer.len);
	pthread_mutex_unlock(&lock);
	if (recv(fd, request, sizeof(request), 0) > 0)
		while (done < mine.len) {
			ssize_t n = send(fd, mine.data + done, mine.len - done, MSG_NOSIGNAL);

			if (n <= 0)
				break;
			done += (size_t)n;
		}
	/* What is unread would turn the end into a reset. */
	(void)shutdown(fd, SHUT_WR);
	while (recv(fd, request, sizeof(request), 0) > 0)
		;
	(void)close(fd);
}

static void *serve(void *arg)
{
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0)
			return NULL;
		answer_one(fd);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct store_config config = { .connections = 1, .timeout_ms = 1000 };
	socklen_t len = sizeof(a);
	char endpoint[64];
	pthread_t thread;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)setenv("AWS_ACCESS_KEY_ID", "AKIDOFTEST", 1);
	(void)setenv("AWS_SECRET_ACCESS_KEY", "secretOfThisTest", 1);
	listening = socket(AF_INET, SOCK_STREAM, 0);
	MUST(bind(listening, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listening, 16) == 0);
	MUST(getsockname(listening, (struct sockaddr *)&a, &len) == 0);
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", ntohs(a.sin_port));
	config.endpoint = endpoint;
	MUST(store_open("s3://bucket/pre", &config, &s3) == 0);
	MUST(pthread_create(&thread, NULL, serve, NULL) == 0);
	return 0;
}

static void ask(unsigned kind)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	struct store_list list = { 0 };
	struct store_meta meta = { 0 };

	switch (kind % 6) {
	case 0:
		if (store_get(s3, "k", 0, STORE_TO_END, &got, &meta) == 0)
			MUST(strlen(meta.etag) < STORE_ETAG_MAX);
		break;
	case 1:
		if (store_get(s3, "k", 3, 5, &got, NULL) == 0)
			MUST(got.len <= 5);
		break;
	case 2:
		(void)store_head(s3, "k", &meta);
		break;
	case 3:
		(void)store_put_bytes(s3, "k", "bytes", 5, STORE_CREATE, NULL, &meta);
		break;
	case 4:
		(void)store_list(s3, "", NULL, 10, &list);
		store_list_release(&list);
		break;
	default:
		(void)store_remove(s3, "k");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	pthread_mutex_lock(&lock);
	buf_reset(&answer);
	buf_add(&answer, data + 1, size - 1);
	pthread_mutex_unlock(&lock);
	ask(data[0]);
	return 0;
}

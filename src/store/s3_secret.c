/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that held keys: overwritten when it is given back, ours and that of libraries. */
#include "store/s3_cred.h"

#include <curl/curl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void s3_wipe(char *s)
{
	if (s)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
}

void s3_wipe_ptr(char **s)
{
	s3_wipe(*s);
	*s = NULL;
}

void s3_wipe_buf(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->cap);
	buf_release(b);
}

void s3_wipe_free(void *p)
{
	if (p)
		OPENSSL_cleanse(p, malloc_usable_size(p));
	free(p);
}

void *s3_wipe_realloc(void *p, size_t size)
{
	void *larger = malloc(size);

	if (larger && p) {
		memcpy(larger, p, min_u64(size, malloc_usable_size(p)));
		s3_wipe_free(p);
	}
	return larger;
}

/* ---- libcurl ---- */

static _Thread_local bool discreet;

void s3_curl_discreet(bool on)
{
	discreet = on;
}

static void curl_free_(void *p)
{
	if (discreet)
		s3_wipe_free(p);
	else
		free(p);
}

static void *curl_realloc_(void *p, size_t size)
{
	return discreet ? s3_wipe_realloc(p, size) : realloc(p, size);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	(void)curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, curl_free_, curl_realloc_, strdup,
				   calloc);
}

void s3_curl_init(void)
{
	(void)pthread_once(&curl_once, init_curl);
}

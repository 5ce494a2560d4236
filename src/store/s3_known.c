/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Servers that are known by their host name, or by what they call themselves in their answers: which
 * region their name tells, and what to know of them. doc/stores.md has all that each needs, and its sources.
 */
#include "store/s3.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* clang-format off: a table is read by columns */
static const struct s3_known known[] = {
	{ .name = "AWS S3", .host = ".amazonaws.com", .says = "AmazonS3" },
	{ .name = "AWS S3 (China)", .host = ".amazonaws.com.cn" },
	{ .name = "Cloudflare R2", .host = ".r2.cloudflarestorage.com", .region = "auto" },
	{ .name = "Google Cloud Storage",
	  .host = "storage.googleapis.com",
	  .says = "UploadServer",
	  .region = "auto" },
	{ .name = "Backblaze B2", .host = ".backblazeb2.com" },
	{ .name = "Wasabi", .host = ".wasabisys.com", .says = "WasabiS3" },
	{ .name = "MinIO",
	  .says = "MinIO",
	  .advice = "use a release newer than October 2025: older ones may ignore conditions, see "
		    "doc/stores.md" },
	{ .name = "SeaweedFS",
	  .says = "SeaweedFS",
	  .advice = "conditions are not atomic in all of its releases: mount on one machine only, "
		    "see doc/stores.md" },
	{ .name = "Ceph RADOS Gateway", .says = "Ceph", .ids = "tx0", .bare_match = true },
};
/* clang-format on */

/* "a.b" ends with ".b", "b" with "b"; a port is no part of it. */
static bool ends_with(const char *host, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && strncasecmp(host + len - n, end, n) == 0 &&
	       (end[0] == '.' || len == n || host[len - n - 1] == '.');
}

const struct s3_known *s3_known_host(const char *host)
{
	size_t len = strcspn(host, ":");

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].host && ends_with(host, len, known[i].host))
			return &known[i];
	return NULL;
}

const struct s3_known *s3_known_words(const char *words)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].says && strncasecmp(words, known[i].says, strlen(known[i].says)) == 0)
			return &known[i];
	return NULL;
}

const struct s3_known *s3_known_id(const char *request_id)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].ids && strncmp(request_id, known[i].ids, strlen(known[i].ids)) == 0)
			return &known[i];
	return NULL;
}

/* "eu-central-1", "us-west-004": letters first, a digit last, and a hyphen. */
static bool is_region(const char *label, size_t len)
{
	return len > 4 && len < S3_REGION_MAX && isalpha((unsigned char)label[0]) &&
	       isdigit((unsigned char)label[len - 1]) && memchr(label, '-', len);
}

/* The label before the provider's name: "s3.eu-central-1.amazonaws.com", or "s3-eu-central-1" in old names. */
static bool region_of_label(const char *host, size_t len, char out[S3_REGION_MAX])
{
	const char *label = memrchr(host, '.', len);

	label = label ? label + 1 : host;
	len -= (size_t)(label - host);
	if (len > 3 && strncmp(label, "s3-", 3) == 0) {
		label += 3;
		len -= 3;
	}
	if (!is_region(label, len))
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)tolower((unsigned char)label[i]);
	out[len] = '\0';
	return true;
}

bool s3_known_region(const char *host, char out[S3_REGION_MAX])
{
	const struct s3_known *k = s3_known_host(host);

	if (!k)
		return false;
	if (!k->region)
		return region_of_label(host, strcspn(host, ":") - strlen(k->host), out);
	(void)snprintf(out, S3_REGION_MAX, "%s", k->region);
	return true;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a bucket is. s3://BUCKET/PREFIX, the endpoint (AWS' own for the region unless given), and
 * whether the bucket's name stands in the host name (virtual-host style) or in the path.
 *
 * Virtual-host style with the providers that want it, also where the endpoint already begins with
 * "BUCKET."; path style, which every other server knows, for all else.
 */
#include "store/s3.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_MAX 512

void s3_place_release(struct s3_place *p)
{
	free(p->bucket);
	free(p->prefix);
	free(p->base);
	free(p->host);
	free(p->path);
	free(p->region);
	*p = (struct s3_place){ 0 };
}

/* Old buckets and other servers allow more than DNS names, but nothing that would need encoding. */
static int check_bucket(const char *url, const char *name, size_t len)
{
	if (len == 0)
		return err_note(-L3_BAD_OPTION, "%s: no bucket; write s3://BUCKET/PREFIX", url);
	if (memchr(name, '@', len)) /* not shown again, it may be a password */
		return err_note(
			-L3_BAD_OPTION,
			"no keys in a URL, where everybody can see them: they come from "
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from ~/.aws/credentials");
	if (memchr(name, ':', len))
		return err_note(
			-L3_BAD_OPTION,
			"%s: write s3://BUCKET/PREFIX; a server and its port are given with "
			"endpoint=https://HOST:PORT",
			url);
	if (len < 3 || len > 255)
		return err_note(-L3_BAD_OPTION, "%s: a bucket's name has 3 to 63 characters", url);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-._", name[i]))
			return err_note(
				-L3_BAD_OPTION,
				"%s: a bucket's name has letters, digits, '-', '.' and '_' only",
				url);
	return 0;
}

static int check_prefix(const char *url, const char *prefix)
{
	if (strpbrk(prefix, "?#"))
		return err_note(-L3_BAD_OPTION,
				"%s: no '?' or '#' in a prefix; options are given after -o", url);
	if (strlen(prefix) > PREFIX_MAX)
		return err_note(-L3_BAD_OPTION,
				"%s: the prefix is too long (%zu bytes, %d at most)", url,
				strlen(prefix), PREFIX_MAX);
	for (const char *c = prefix; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return err_note(-L3_BAD_OPTION, "the prefix has a control character in it");
	while (*prefix) {
		size_t n = strcspn(prefix, "/");

		if (n == 0 || (n == 1 && prefix[0] == '.') ||
		    (n == 2 && prefix[0] == '.' && prefix[1] == '.'))
			return err_note(-L3_BAD_OPTION,
					"%s: the prefix has an empty, . or .. component", url);
		prefix += n + (prefix[n] == '/');
	}
	return 0;
}

static int split_url(const char *url, struct s3_place *p)
{
	const char *bucket = url + strlen("s3://");
	size_t len = strcspn(bucket, "/");
	const char *prefix = bucket + len + (bucket[len] == '/');
	size_t prefix_len = strlen(prefix);
	int err = check_bucket(url, bucket, len);

	if (err < 0)
		return err;
	if (prefix_len > 1 && prefix[prefix_len - 1] == '/')
		prefix_len--;
	p->bucket = strndup(bucket, len);
	if (asprintf(&p->prefix, "%.*s%s", (int)prefix_len, prefix, prefix_len ? "/" : "") < 0)
		p->prefix = NULL;
	if (!p->bucket || !p->prefix)
		return -ENOMEM;
	return check_prefix(url, p->prefix);
}

/* ":443" up to end, or nothing. Colons within [] belong to an IPv6 address. */
static bool is_port(const char *colon, const char *end)
{
	const char *bracket = colon ? memchr(colon, ']', (size_t)(end - colon)) : NULL;
	long port = 0;

	if (bracket)
		colon = bracket + 1 < end ? bracket + 1 : NULL;
	if (!colon)
		return true;
	for (const char *c = colon + 1; c < end; c++) {
		if (!isdigit((unsigned char)*c) || port > 65535)
			return false;
		port = port * 10 + (*c - '0');
	}
	return *colon == ':' && port >= 1 && port <= 65535;
}

int s3_split_endpoint(const char *name, const char *endpoint, char **ret_scheme, char **ret_host)
{
	const char *sep = strstr(endpoint, "://");
	const char *host = sep ? sep + 3 : endpoint;
	size_t len = strcspn(host, "/?#");

	if (memchr(host, '@', len))
		return err_note(-L3_BAD_OPTION,
				"%s: no user and password in it; credentials come from the "
				"environment or ~/.aws/credentials",
				name);
	if (sep && strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0)
		return err_note(-L3_BAD_OPTION, "%s=%s: only https:// and http:// can be used",
				name, endpoint);
	if (len == 0 || (host[len] && strcmp(host + len, "/") != 0))
		return err_note(-L3_BAD_OPTION, "%s=%s: write https://HOST or https://HOST:PORT",
				name, endpoint);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr("-._:[]", host[i]))
			return err_note(-L3_BAD_OPTION, "%s=%s: not a host name", name, endpoint);
	if (!is_port(memchr(host, ':', len), host + len))
		return err_note(-L3_BAD_OPTION, "%s=%s: a port is a number from 1 to 65535", name,
				endpoint);
	*ret_scheme = sep ? strndup(endpoint, (size_t)(host - endpoint)) : strdup("https://");
	*ret_host = strndup(host, len);
	return *ret_scheme && *ret_host ? 0 : -ENOMEM;
}

static int aws_endpoint(const struct store_config *config, const char *region, char **ret_scheme,
			char **ret_host)
{
	const char *china = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";

	if (asprintf(ret_host, "s3%s%s.%s.amazonaws.com%s", config->fips ? "-fips" : "",
		     config->dualstack ? ".dualstack" : "", region, china) < 0)
		*ret_host = NULL;
	*ret_scheme = strdup("https://");
	return *ret_scheme && *ret_host ? 0 : -ENOMEM;
}

int s3_check_region(const char *name, const char *region)
{
	if (!*region || strlen(region) > 63)
		return err_note(-L3_BAD_OPTION, "%s=%s: no region's name", name, region);
	for (const char *c = region; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return err_note(-L3_BAD_OPTION, "%s=%s: no region's name", name, region);
	return 0;
}

/* ---- addressing style ---- */

/* One label of a host name: dots would leave what a TLS wildcard covers. */
static bool is_host_label(const char *bucket)
{
	for (const char *c = bucket; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '-')
			return false;
	return strlen(bucket) <= 63 && bucket[0] != '-';
}

static bool wants_virtual_host(const char *host)
{
	static const char *const providers[] = { ".amazonaws.com", ".amazonaws.com.cn",
						 ".aliyuncs.com", ".myqcloud.com" };
	size_t len = strcspn(host, ":");

	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		size_t n = strlen(providers[i]);

		if (len > n && strncasecmp(host + len - n, providers[i], n) == 0)
			return true;
	}
	return false;
}

static bool names_bucket(const char *host, const char *bucket)
{
	size_t n = strlen(bucket);

	return strncmp(host, bucket, n) == 0 && host[n] == '.' &&
	       wants_virtual_host(host + n); /* else it may be a server called like the bucket */
}

static int set_addressing(struct s3_place *p, const char *scheme, const char *host, bool path_style)
{
	bool virtual_host = !path_style && is_host_label(p->bucket) && wants_virtual_host(host);
	int n;

	if (!path_style && names_bucket(host, p->bucket)) {
		p->host = strdup(host);
		n = asprintf(&p->path, "%s", "");
	} else if (virtual_host) {
		if (asprintf(&p->host, "%s.%s", p->bucket, host) < 0)
			p->host = NULL;
		n = asprintf(&p->path, "%s", "");
	} else {
		p->host = strdup(host);
		n = asprintf(&p->path, "/%s", p->bucket);
	}
	if (n < 0)
		p->path = NULL;
	if (!p->path || !p->host || asprintf(&p->base, "%s%s", scheme, p->host) < 0) {
		p->base = NULL;
		return -ENOMEM;
	}
	return 0;
}

int s3_place_parse(const char *url, const struct store_config *config,
		   const struct s3_profile *profile, struct s3_place *ret)
{
	struct s3_place p = { 0 };
	char *scheme CLEANUP(free_ptr) = NULL, *host CLEANUP(free_ptr) = NULL;
	const char *endpoint = config->endpoint ? config->endpoint : profile->endpoint;
	const char *region = config->region ? config->region : profile->region;
	char known[S3_REGION_MAX];
	int err = split_url(url, &p);

	if (err >= 0 && endpoint && (config->fips || config->dualstack))
		err = err_note(-L3_BAD_OPTION,
			       "%s is for AWS' own endpoints; with endpoint=%s it says nothing",
			       config->fips ? "fips" : "dualstack", endpoint);
	if (err >= 0 && endpoint)
		err = s3_split_endpoint("endpoint", endpoint, &scheme, &host);
	if (!region)
		region = host && s3_known_region(host, known) ? known : "us-east-1";
	if (err >= 0)
		err = s3_check_region("region", region);
	if (err >= 0 && !(p.region = strdup(region)))
		err = -ENOMEM;
	if (err >= 0 && !endpoint)
		err = aws_endpoint(config, region, &scheme, &host);
	if (err >= 0)
		err = set_addressing(&p, scheme, host, config->path_style);
	if (err < 0)
		s3_place_release(&p);
	else
		*ret = p;
	return err;
}

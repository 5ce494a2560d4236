/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys that the host gives to what runs on it.
 *
 * Containers (ECS, EKS Pod Identity): AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, at 169.254.170.2, or
 * AWS_CONTAINER_CREDENTIALS_FULL_URI; with AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, read each time,
 * or AWS_CONTAINER_AUTHORIZATION_TOKEN. Over http only with addresses that never leave the host.
 *
 * EC2: instance metadata, version 2 only: a session token by PUT, which no proxy or tricked program
 * would fetch, then the role's name, then its keys. A machine that is no instance notices that
 * nobody answers within a second.
 */
#include "store/s3_cred.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ECS_HOST "169.254.170.2"
#define EC2_ENDPOINT "http://169.254.169.254"
#define EC2_ENDPOINT_IPV6 "http://[fd00:ec2::254]"
#define EC2_ROLES "/latest/meta-data/iam/security-credentials/"
#define EC2_TOKEN_SECONDS "300" /* used at once */
/* Keys that the metadata service did not renew in time are valid on: "static stability". */
#define EC2_EXTEND_S 600

static const struct s3_json_names names = { .access_key = "AccessKeyId",
					    .secret_key = "SecretAccessKey",
					    .token = "Token",
					    .expires = "Expiration" };

static void add_header(struct s3_fetch *f, const char *name, const char *value)
{
	f->headers[f->header_count++] = (struct s3_header){ name, value };
}

/* What goes into a header or a URL as it is. */
static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~')
			return false;
	return true;
}

static void cut_line_end(struct buf *b)
{
	while (b->len > 0 && strchr("\r\n", b->data[b->len - 1]))
		b->len--;
}

/* ---- containers ---- */

/* Whether "host" (of `len` bytes, without a port) is this machine, or what stands beside it. */
static bool may_be_asked_in_the_clear(const char *host, size_t len)
{
	static const char *const hosts[] = { "localhost", "[::1]", ECS_HOST, "169.254.170.23",
					     "[fd00:ec2::23]" };
	char text[INET_ADDRSTRLEN];
	struct in_addr a;

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (len == strlen(hosts[i]) && strncasecmp(host, hosts[i], len) == 0)
			return true;
	if (len >= sizeof(text))
		return false;
	(void)snprintf(text, sizeof(text), "%.*s", (int)len, host);
	return inet_pton(AF_INET, text, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

static int check_full_uri(const char *uri)
{
	const char *host;
	size_t len;

	if (strchr(uri, '@') || !is_plain(uri))
		return err_note(-L3_BAD_OPTION,
				"AWS_CONTAINER_CREDENTIALS_FULL_URI is not a plain URL");
	if (strncasecmp(uri, "https://", 8) == 0)
		return 0;
	if (strncasecmp(uri, "http://", 7) != 0)
		return err_note(-L3_BAD_OPTION,
				"AWS_CONTAINER_CREDENTIALS_FULL_URI=%s: only https:// and http://",
				uri);
	host = uri + 7;
	len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	if (strlen(host) < len || !may_be_asked_in_the_clear(host, len))
		return err_note(-L3_BAD_OPTION,
				"AWS_CONTAINER_CREDENTIALS_FULL_URI=%s: http:// is for this "
				"machine's own addresses, " ECS_HOST
				", 169.254.170.23 and [fd00:ec2::23] only; use https://",
				uri);
	return 0;
}

static int container_url(struct buf *url)
{
	const char *relative = s3_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = s3_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	int err;

	if (relative && (relative[0] != '/' || !is_plain(relative)))
		return err_note(-L3_BAD_OPTION,
				"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with '/'");
	if (relative) {
		buf_printf(url, "http://" ECS_HOST "%s", relative);
	} else if (full) {
		err = check_full_uri(full);
		if (err < 0)
			return err;
		buf_add_str(url, full);
	} else {
		return err_note(-ENOENT, "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
					 "AWS_CONTAINER_CREDENTIALS_FULL_URI is set");
	}
	(void)buf_cstr(url);
	return buf_error(url);
}

/* The Authorization header's value; "" for none. */
static int container_token(struct buf *token)
{
	const char *file = s3_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *value = s3_secret_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	int err = 0;

	if (file)
		err = s3_read_secret(file, token);
	else if (value)
		buf_add_str(token, value);
	if (err == -ENOENT)
		err = -L3_DENIED;
	if (err < 0)
		return err_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	cut_line_end(token);
	for (size_t i = 0; i < token->len; i++) /* "Bearer ..." has a blank */
		if (token->data[i] < ' ' || token->data[i] > '~')
			return err_note(-L3_DENIED, "the container's authorization token has "
						    "control characters in it");
	(void)buf_cstr(token);
	return buf_error(token);
}

int s3_cred_container(const struct s3_chain *chain, struct s3_cred *ret)
{
	struct buf url CLEANUP(buf_release) = BUF_INIT, token CLEANUP(s3_wipe_buf) = BUF_INIT;
	struct buf json CLEANUP(s3_wipe_buf) = BUF_INIT;
	struct s3_fetch f = { .who = "container credentials", .method = "GET", .direct = true };
	int err = container_url(&url);

	if (err >= 0)
		err = container_token(&token);
	if (err < 0)
		return err;
	f.url = buf_cstr(&url);
	if (token.len)
		add_header(&f, "authorization", buf_cstr(&token));
	err = s3_fetch_run(chain->near, &f, &json, NULL);
	return err < 0 ? err : s3_json_cred(&json, f.who, &names, ret);
}

/* ---- EC2 ---- */

static const char *ec2_endpoint(void)
{
	const char *given = s3_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = s3_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

	if (given)
		return given;
	return mode && strcasecmp(mode, "IPv6") == 0 ? EC2_ENDPOINT_IPV6 : EC2_ENDPOINT;
}

static int ec2_ask(const struct s3_chain *chain, struct s3_fetch *f, const char *path,
		   struct buf *ret, long *ret_status)
{
	struct buf url CLEANUP(buf_release) = BUF_INIT;
	const char *base = ec2_endpoint();
	size_t len = strlen(base);

	if (len && base[len - 1] == '/')
		len--;
	buf_printf(&url, "%.*s%s", (int)len, base, path);
	f->who = "EC2 instance metadata";
	f->url = buf_cstr(&url);
	f->direct = true;
	if (buf_error(&url) < 0)
		return -ENOMEM;
	return s3_fetch_run(chain->near, f, ret, ret_status);
}

static int ec2_session(const struct s3_chain *chain, struct buf *token)
{
	static const struct buf nothing = BUF_INIT;
	struct s3_fetch f = { .method = "PUT", .body = &nothing };
	long status = 0;
	int err;

	add_header(&f, "x-aws-ec2-metadata-token-ttl-seconds", EC2_TOKEN_SECONDS);
	err = ec2_ask(chain, &f, "/latest/api/token", token, &status);
	/* Nobody there, or somebody who has nothing to do with EC2: not set up. */
	if (err < 0 && err != -ENOMEM && err != -ECANCELED && (status == 0 || status == 404))
		err = -ENOENT;
	if (err < 0)
		return err;
	cut_line_end(token);
	if (!token->len || !is_plain(buf_cstr(token)))
		return err_note(-L3_SERVER, "EC2 instance metadata: the session token is none");
	return buf_error(token);
}

static int ec2_role(const struct s3_chain *chain, const char *token, struct buf *path)
{
	struct buf role CLEANUP(buf_release) = BUF_INIT;
	struct s3_fetch f = { .method = "GET" };
	long status = 0;
	int err;

	add_header(&f, "x-aws-ec2-metadata-token", token);
	err = ec2_ask(chain, &f, EC2_ROLES, &role, &status);
	if (status == 404)
		return err_note(-ENOENT, "EC2 instance metadata: the instance has no role");
	if (err < 0)
		return err;
	role.len = strcspn(buf_cstr(&role), "\r\n"); /* the first of them */
	if (!role.len)
		return err_note(-ENOENT, "EC2 instance metadata: the instance has no role");
	buf_add_str(path, EC2_ROLES);
	s3_encode(path, buf_cstr(&role), false);
	(void)buf_cstr(path);
	return buf_error(path);
}

int s3_cred_ec2(const struct s3_chain *chain, struct s3_cred *ret)
{
	struct buf token CLEANUP(s3_wipe_buf) = BUF_INIT, json CLEANUP(s3_wipe_buf) = BUF_INIT;
	struct buf path CLEANUP(buf_release) = BUF_INIT;
	const char *off = s3_env("AWS_EC2_METADATA_DISABLED");
	struct s3_fetch f = { .method = "GET" };
	int64_t now_s = chain->clock->real_ns(chain->clock) / 1000000000;
	int err;

	if (off && strcasecmp(off, "true") == 0)
		return err_note(-ENOENT, "AWS_EC2_METADATA_DISABLED is true");
	err = ec2_session(chain, &token);
	if (err >= 0)
		err = ec2_role(chain, buf_cstr(&token), &path);
	if (err < 0)
		return err;
	add_header(&f, "x-aws-ec2-metadata-token", buf_cstr(&token));
	err = ec2_ask(chain, &f, buf_cstr(&path), &json, NULL);
	if (err >= 0)
		err = s3_json_cred(&json, f.who, &names, ret);
	if (err >= 0 && ret->expires_s && ret->expires_s <= now_s)
		ret->expires_s = now_s + EC2_EXTEND_S;
	return err;
}

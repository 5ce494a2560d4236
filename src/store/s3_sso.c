/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IAM Identity Center (SSO): "aws sso login" leaves a token in ~/.aws/sso/cache, in a file named
 * after the SHA-1 of the session's name (or of the start URL, in profiles of the older kind). With
 * that, GetRoleCredentials gives keys. Nobody but the user can log in again.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA1_BYTES 20
#define WHO "SSO GetRoleCredentials"

struct sso { /* of a profile */
	char *session, *start_url, *region, *account, *role;
};

static void sso_release(struct sso *s)
{
	free(s->session);
	free(s->start_url);
	free(s->region);
	free(s->account);
	free(s->role);
}

static int missing(const char *profile, const char *name)
{
	return err_note(-L3_DENIED, "profile %s: SSO needs %s", profile, name);
}

static int from_session(struct s3_files *f, struct sso *s)
{
	char *section CLEANUP(free_ptr) = NULL;
	int err;

	if (asprintf(&section, "sso-session %s", s->session) < 0) {
		section = NULL;
		return -ENOMEM;
	}
	err = s3_ini_get(buf_cstr(&f->text[S3_FILE_CONFIG]), section, "sso_region", &s->region);
	if (err == -ENOENT)
		return err_note(-L3_DENIED, "[%s] with sso_region is not in %s", section,
				f->path[S3_FILE_CONFIG]);
	return err;
}

/* -ENOENT if the profile has nothing to do with SSO. */
static int read_settings(struct s3_files *f, const char *profile, struct sso *s)
{
	int err = s3_files_get(f, profile, "sso_session", &s->session);

	if (err == -ENOENT)
		err = s3_files_get(f, profile, "sso_start_url", &s->start_url);
	if (err < 0)
		return err;
	err = s->session ? from_session(f, s) : s3_files_get(f, profile, "sso_region", &s->region);
	if (err == -ENOENT)
		return missing(profile, "sso_region");
	if (err >= 0)
		err = s3_files_get(f, profile, "sso_account_id", &s->account);
	if (err == -ENOENT)
		return missing(profile, "sso_account_id");
	if (err >= 0)
		err = s3_files_get(f, profile, "sso_role_name", &s->role);
	return err == -ENOENT ? missing(profile, "sso_role_name") : err;
}

/* ---- the token ---- */

static int token_path(const struct sso *s, char **ret)
{
	const char *name = s->session ? s->session : s->start_url;
	uint8_t sum[SHA1_BYTES];
	char file[sizeof("sso/cache/.json") + 2 * SHA1_BYTES];
	int n;

	if (!EVP_Digest(name, strlen(name), sum, NULL, EVP_sha1(), NULL))
		return err_note(-ENOTSUP, "OpenSSL does not compute SHA-1 (FIPS mode?)");
	n = snprintf(file, sizeof(file), "sso/cache/");
	for (size_t i = 0; i < SHA1_BYTES; i++)
		n += snprintf(file + n, sizeof(file) - (size_t)n, "%02x", sum[i]);
	(void)snprintf(file + n, sizeof(file) - (size_t)n, ".json");
	return s3_home_path(file, ret);
}

static int log_in_again(const char *profile, const char *why)
{
	return err_note(-L3_DENIED, "SSO: %s: run \"aws sso login --profile %s\"", why, profile);
}

static int read_token(const struct s3_chain *chain, const struct sso *s, const char *profile,
		      char **ret)
{
	struct buf json CLEANUP(s3_wipe_buf) = BUF_INIT;
	char *path CLEANUP(free_ptr) = NULL, *expires CLEANUP(free_ptr) = NULL;
	int64_t now_s = chain->clock->real_ns(chain->clock) / 1000000000;
	int err = token_path(s, &path);

	if (err >= 0)
		err = s3_read_secret(path, &json);
	if (err == -ENOENT || err == -ENOTDIR)
		return log_in_again(profile, "there is no login");
	if (err >= 0)
		err = s3_check_private(path);
	if (err < 0)
		return err;
	err = s3_json_string(&json, "expiresAt", &expires);
	if (err == -ENOMEM)
		return err;
	if (err < 0 || s3_parse_time(expires) <= now_s)
		return log_in_again(profile,
				    err < 0 ? "the login cannot be read" : "the login has expired");
	err = s3_json_string(&json, "accessToken", ret);
	return err == -ENOENT || err == -L3_SERVER
		       ? log_in_again(profile, "the login cannot be read")
		       : err;
}

/* ---- the keys ---- */

static int make_url(const struct sso *s, struct buf *url)
{
	const char *given = s3_env("AWS_ENDPOINT_URL_SSO");
	char *scheme CLEANUP(free_ptr) = NULL, *host CLEANUP(free_ptr) = NULL;
	int err = s3_check_region("sso_region", s->region);

	if (err >= 0 && given)
		err = s3_split_endpoint("AWS_ENDPOINT_URL_SSO", given, &scheme, &host);
	if (err < 0)
		return err;
	if (given)
		buf_printf(url, "%s%s", scheme, host);
	else
		buf_printf(url, "https://portal.sso.%s.amazonaws.com%s", s->region,
			   strncmp(s->region, "cn-", 3) == 0 ? ".cn" : "");
	buf_add_str(url, "/federation/credentials?role_name=");
	s3_encode(url, s->role, false);
	buf_add_str(url, "&account_id=");
	s3_encode(url, s->account, false);
	(void)buf_cstr(url);
	return buf_error(url);
}

static int get_keys(const struct s3_chain *chain, const struct sso *s, const char *profile,
		    const char *token, struct s3_cred *ret)
{
	static const struct s3_json_names names = { .inside = "roleCredentials",
						    .access_key = "accessKeyId",
						    .secret_key = "secretAccessKey",
						    .token = "sessionToken",
						    .expires = "expiration" };
	struct buf url CLEANUP(buf_release) = BUF_INIT, json CLEANUP(s3_wipe_buf) = BUF_INIT;
	struct s3_fetch f = { .who = WHO,
			      .method = "GET",
			      .headers = { { "x-amz-sso_bearer_token", token } },
			      .header_count = 1 };
	long status = 0;
	int err = make_url(s, &url);

	if (err < 0)
		return err;
	f.url = buf_cstr(&url);
	err = s3_fetch_run(chain->far, &f, &json, &status);
	if (status == 401)
		return log_in_again(profile, "the login is not accepted any more");
	return err < 0 ? err : s3_json_cred(&json, WHO, &names, ret);
}

int s3_cred_sso(const struct s3_chain *chain, struct s3_files *f, const char *profile,
		struct s3_cred *ret)
{
	struct sso s CLEANUP(sso_release) = { 0 };
	char *token CLEANUP(s3_wipe_ptr) = NULL;
	int err = read_settings(f, profile, &s);

	if (err >= 0)
		err = read_token(chain, &s, profile, &token);
	if (err >= 0 && strpbrk(token, "\r\n"))
		err = log_in_again(profile, "the login cannot be read");
	return err < 0 ? err : get_keys(chain, &s, profile, token, ret);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Roles, by AWS' Security Token Service: AssumeRole, signed with the keys of somebody who may, and
 * AssumeRoleWithWebIdentity, which shows a token that an identity provider signed (IRSA: EKS writes
 * it to a file and renews it there). STS is asked in the region (STS' endpoint for it), or at
 * AWS_ENDPOINT_URL_STS.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STS_VERSION "2011-06-15"
#define DURATION_LEAST_S 900
#define DURATION_MOST_S 43200

/* ---- where and how ---- */

static int sts_host(const struct s3_chain *chain, char **ret_base, char **ret_host)
{
	const char *given = s3_env("AWS_ENDPOINT_URL_STS");
	const char *china = strncmp(chain->region, "cn-", 3) == 0 ? ".cn" : "";
	char *scheme = NULL;
	int err = 0, n = 0;

	if (given) {
		err = s3_split_endpoint("AWS_ENDPOINT_URL_STS", given, &scheme, ret_host);
	} else {
		n = asprintf(ret_host, "sts%s.%s.amazonaws.com%s", chain->fips ? "-fips" : "",
			     chain->region, china);
		scheme = strdup("https://");
	}
	if (n < 0)
		*ret_host = NULL;
	if (err >= 0 &&
	    (!*ret_host || !scheme || asprintf(ret_base, "%s%s/", scheme, *ret_host) < 0)) {
		*ret_base = NULL;
		err = -ENOMEM;
	}
	free(scheme);
	return err;
}

static void add_field(struct buf *form, const char *name, const char *value)
{
	buf_printf(form, "%s%s=", form->len ? "&" : "", name);
	s3_encode(form, value, false);
}

static void add_header(struct s3_fetch *f, const char *name, const char *value)
{
	f->headers[f->header_count++] = (struct s3_header){ name, value };
}

struct signing { /* what must live as long as the headers */
	char sha256[S3_SHA256_HEX_LEN], date[S3_AMZ_DATE_LEN];
	struct buf authorization;
};

static int sign(const struct s3_chain *chain, struct s3_fetch *f, const struct s3_cred *cred,
		struct signing *s)
{
	struct iovec v = { f->body->data, f->body->len };
	struct s3_sign_request r = { .method = "POST",
				     .path = "/",
				     .query = "",
				     .headers = f->headers,
				     .payload_sha256 = s->sha256,
				     .amz_date = s->date,
				     .region = chain->region,
				     .service = "sts",
				     .cred = cred };
	int err = s3_sha256_hex(&v, 1, s->sha256);

	if (err >= 0)
		err = s3_amz_date(s->date);
	if (err < 0)
		return err;
	add_header(f, "x-amz-date", s->date);
	if (cred->session_token)
		add_header(f, "x-amz-security-token", cred->session_token);
	r.header_count = f->header_count;
	err = s3_sign(&r, &s->authorization);
	add_header(f, "authorization", buf_cstr(&s->authorization));
	return err < 0 ? err : buf_error(&s->authorization);
}

/* cred NULL: the form says who is asking. */
static int ask(const struct s3_chain *chain, const char *action, const struct buf *form,
	       const struct s3_cred *cred, struct s3_cred *ret)
{
	char *base CLEANUP(free_ptr) = NULL, *host CLEANUP(free_ptr) = NULL, root[64];
	struct buf xml CLEANUP(s3_wipe_buf) = BUF_INIT;
	struct signing s = { .authorization = BUF_INIT };
	struct s3_fetch f = { .who = action, .method = "POST", .body = form };
	int err = sts_host(chain, &base, &host);

	if (err >= 0 && buf_error(form) < 0)
		err = -ENOMEM;
	if (err < 0)
		return err;
	f.url = base;
	add_header(&f, "host", host);
	add_header(&f, "content-type", "application/x-www-form-urlencoded");
	if (cred)
		err = sign(chain, &f, cred, &s);
	if (err >= 0)
		err = s3_fetch_run(chain->far, &f, &xml, NULL);
	if (err >= 0) {
		(void)snprintf(root, sizeof(root), "%sResponse", action);
		err = s3_xml_credentials(xml.data, xml.len, root, ret);
		if (err < 0)
			err = err_wrap(err, "%s", action);
	}
	buf_release(&s.authorization);
	return err;
}

/* ---- what roles are asked for ---- */

/* Something in the trail of who did what; STS allows letters, digits and _+=,.@- */
static void add_session(struct buf *form, const struct s3_chain *chain, const char *given)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "levels3fs-%lld-%d",
		       (long long)(chain->clock->real_ns(chain->clock) / 1000000000),
		       (int)getpid());
	add_field(form, "RoleSessionName", given ? given : name);
}

static int add_duration(struct buf *form, const char *seconds)
{
	uint64_t v;

	if (!seconds)
		return 0;
	if (parse_u64(seconds, &v) < 0 || v < DURATION_LEAST_S || v > DURATION_MOST_S)
		return err_note(-L3_BAD_OPTION,
				"duration_seconds = %s: must be a number from %d to %d", seconds,
				DURATION_LEAST_S, DURATION_MOST_S);
	add_field(form, "DurationSeconds", seconds);
	return 0;
}

static void begin(struct buf *form, const char *action)
{
	add_field(form, "Action", action);
	add_field(form, "Version", STS_VERSION);
}

int s3_cred_role(const struct s3_chain *chain, const struct s3_role *role,
		 const struct s3_cred *source, struct s3_cred *ret)
{
	struct buf form CLEANUP(buf_release) = BUF_INIT;
	int err;

	begin(&form, "AssumeRole");
	add_field(&form, "RoleArn", role->arn);
	add_session(&form, chain, role->session_name);
	if (role->external_id)
		add_field(&form, "ExternalId", role->external_id);
	err = add_duration(&form, role->duration_seconds);
	return err < 0 ? err : ask(chain, "AssumeRole", &form, source, ret);
}

int s3_cred_web_identity(const struct s3_chain *chain, const struct s3_role *role,
			 struct s3_cred *ret)
{
	struct buf form CLEANUP(s3_wipe_buf) = BUF_INIT, token CLEANUP(s3_wipe_buf) = BUF_INIT;
	int err = s3_read_secret(role->token_file, &token);

	if (err == -ENOENT)
		err = -L3_DENIED;
	if (err < 0)
		return err_wrap(err, "web identity token");
	while (token.len > 0 && strchr("\r\n ", token.data[token.len - 1]))
		token.len--;
	err = buf_reserve(&form, 3 * token.len + 4096); /* growing would leave copies behind */
	if (err < 0)
		return err;
	begin(&form, "AssumeRoleWithWebIdentity");
	add_field(&form, "RoleArn", role->arn);
	add_session(&form, chain, role->session_name);
	add_field(&form, "WebIdentityToken", buf_cstr(&token));
	err = add_duration(&form, role->duration_seconds);
	return err < 0 ? err : ask(chain, "AssumeRoleWithWebIdentity", &form, NULL, ret);
}

int s3_cred_web_identity_env(const struct s3_chain *chain, struct s3_cred *ret)
{
	struct s3_role role = { .arn = s3_env("AWS_ROLE_ARN"),
				.session_name = s3_env("AWS_ROLE_SESSION_NAME"),
				.token_file = s3_env("AWS_WEB_IDENTITY_TOKEN_FILE") };

	if (!role.token_file)
		return err_note(-ENOENT, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (!role.arn)
		return err_note(-L3_DENIED,
				"AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
	return s3_cred_web_identity(chain, &role, ret);
}

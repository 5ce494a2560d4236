/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is asked for keys, in the order of the AWS tools:
 *
 *	passwd_file     if given, nothing else
 *	environment     unless a profile was given by name
 *	web identity    likewise: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN
 *	profile         a role, a login (SSO), keys, credential_process: whichever it has first
 *	container, EC2  unless a profile was given by name
 *
 * The first that has been set up gives the keys or the error.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8 /* of source_profile */

/* ---- profiles ---- */

static int no_profile(struct s3_files *f, const char *profile)
{
	return err_note(-L3_BAD_OPTION, "profile %s: in neither %s nor %s", profile,
			f->path[S3_FILE_CREDENTIALS], f->path[S3_FILE_CONFIG]);
}

/* Keys, or a program that gives some. */
static int from_own(const struct s3_chain *chain, struct s3_files *f, const char *profile,
		    struct s3_cred *ret)
{
	char *command CLEANUP(free_ptr) = NULL;
	int err = s3_cred_static(f, profile, ret);

	if (err != -ENOENT)
		return err;
	if (s3_files_get(f, profile, "credential_process", &command) == -ENOMEM)
		return -ENOMEM;
	return command ? s3_cred_process(chain, command, ret) : err;
}

/* ---- roles ---- */

enum {
	ROLE_ARN,
	SESSION_NAME,
	EXTERNAL_ID,
	DURATION,
	TOKEN_FILE,
	SOURCE,
	CREDENTIAL_SOURCE,
	MFA,
	ROLE_SETTINGS
};

static const char *const role_names[ROLE_SETTINGS] = { "role_arn",
						       "role_session_name",
						       "external_id",
						       "duration_seconds",
						       "web_identity_token_file",
						       "source_profile",
						       "credential_source",
						       "mfa_serial" };

struct role_settings {
	char *v[ROLE_SETTINGS]; /* NULL: not set */
};

static void role_settings_release(struct role_settings *s)
{
	for (size_t i = 0; i < ROLE_SETTINGS; i++)
		free(s->v[i]);
}

static int read_role(struct s3_files *f, const char *profile, struct role_settings *s)
{
	for (size_t i = 0; i < ROLE_SETTINGS; i++) {
		int err = s3_files_get(f, profile, role_names[i], &s->v[i]);

		if (err < 0 && (err != -ENOENT || i == ROLE_ARN))
			return err;
	}
	if (s->v[MFA])
		return err_note(-L3_DENIED,
				"profile %s: mfa_serial: a mount has nobody to ask for a code; use "
				"keys that \"aws sts\" or \"aws sso login\" gave",
				profile);
	return 0;
}

static int from_credential_source(const struct s3_chain *chain, const char *name,
				  struct s3_cred *ret)
{
	if (strcmp(name, "Environment") == 0)
		return s3_cred_environment(ret);
	if (strcmp(name, "EcsContainer") == 0)
		return s3_cred_container(chain, ret);
	if (strcmp(name, "Ec2InstanceMetadata") == 0)
		return s3_cred_ec2(chain, ret);
	return err_note(-L3_BAD_OPTION,
			"credential_source = %s: must be Environment, EcsContainer or "
			"Ec2InstanceMetadata",
			name);
}

static int from_section(const struct s3_chain *chain, struct s3_files *f, const char *profile,
			unsigned depth, struct s3_cred *ret);

/* The keys of who may assume the profile's role. */
static int from_source(const struct s3_chain *chain, struct s3_files *f, const char *profile,
		       const struct role_settings *s, unsigned depth, struct s3_cred *ret)
{
	const char *source = s->v[SOURCE];
	int err;

	if (!source == !s->v[CREDENTIAL_SOURCE])
		return err_note(-L3_BAD_OPTION,
				"profile %s: role_arn needs source_profile or credential_source, "
				"one of them",
				profile);
	if (s->v[CREDENTIAL_SOURCE]) {
		err = from_credential_source(chain, s->v[CREDENTIAL_SOURCE], ret);
	} else if (strcmp(source, profile) == 0) {
		err = from_own(chain, f, profile, ret);
	} else if (!s3_files_have(f, source)) {
		err = no_profile(f, source);
	} else {
		err = from_section(chain, f, source, depth + 1, ret);
	}
	if (err == -ENOENT) /* set up, but leads to nothing */
		err = -L3_DENIED;
	return err < 0 ? err_wrap(err, "profile %s", profile) : 0;
}

/* -ENOENT if the profile has no role. */
static int from_role(const struct s3_chain *chain, struct s3_files *f, const char *profile,
		     unsigned depth, struct s3_cred *ret)
{
	struct role_settings s CLEANUP(role_settings_release) = { { NULL } };
	struct s3_cred source CLEANUP(s3_cred_release) = { 0 };
	struct s3_role role;
	int err = read_role(f, profile, &s);

	if (err < 0)
		return err;
	role = (struct s3_role){ .arn = s.v[ROLE_ARN],
				 .session_name = s.v[SESSION_NAME],
				 .external_id = s.v[EXTERNAL_ID],
				 .duration_seconds = s.v[DURATION],
				 .token_file = s.v[TOKEN_FILE] };
	if (role.token_file)
		return s3_cred_web_identity(chain, &role, ret);
	err = from_source(chain, f, profile, &s, depth, &source);
	return err < 0 ? err : s3_cred_role(chain, &role, &source, ret);
}

/* Keeps the note of the last provider that had nothing, which names the usual things. */
static int from_section(const struct s3_chain *chain, struct s3_files *f, const char *profile,
			unsigned depth, struct s3_cred *ret)
{
	int err;

	if (depth > DEPTH_MAX)
		return err_note(-L3_BAD_OPTION, "profile %s: source_profile leads in a circle",
				profile);
	err = from_role(chain, f, profile, depth, ret);
	if (err == -ENOENT)
		err = s3_cred_sso(chain, f, profile, ret);
	return err == -ENOENT ? from_own(chain, f, profile, ret) : err;
}

static int from_profile(const struct s3_chain *chain, struct s3_cred *ret)
{
	struct s3_files f CLEANUP(s3_files_release);
	bool named = chain->profile || s3_env("AWS_PROFILE");
	const char *profile;
	int err = s3_files_read(&f);

	if (err >= 0)
		err = s3_profile_name(chain->profile, &profile);
	if (err >= 0 && named && !s3_files_have(&f, profile))
		err = no_profile(&f, profile);
	if (err >= 0)
		err = from_section(chain, &f, profile, 0, ret);
	return err;
}

/* ---- the order ---- */

static int from_environment(const struct s3_chain *chain, struct s3_cred *ret)
{
	return s3_cred_environment(ret);
}

static const struct provider {
	const char *name;
	int (*load)(const struct s3_chain *chain, struct s3_cred *ret);
	bool for_named; /* asked, too, when a profile was given by name */
} providers[] = {
	{ "environment", from_environment, false },
	{ "web identity", s3_cred_web_identity_env, false },
	{ "profile", from_profile, true },
	{ "container", s3_cred_container, false },
	{ "EC2", s3_cred_ec2, false },
};

int s3_chain_load(const struct s3_chain *chain, struct s3_cred *ret)
{
	struct buf tried CLEANUP(buf_release) = BUF_INIT;

	if (chain->passwd_file) {
		int err = s3_cred_passwd_file(chain->passwd_file, chain->bucket, ret);

		ret->from = err < 0 ? NULL : "passwd_file";
		return err;
	}
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		const struct provider *p = &providers[i];
		int err;

		if (chain->profile && !p->for_named)
			continue;
		err_clear();
		err = p->load(chain, ret);
		if (err >= 0)
			ret->from = p->name;
		if (err != -ENOENT)
			return err;
		buf_printf(&tried, "%s%s: %s", tried.len ? "; " : "", p->name, err_last_note());
	}
	return err_note(-L3_DENIED, "no credentials: %s", buf_cstr(&tried));
}

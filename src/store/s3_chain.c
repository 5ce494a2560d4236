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

/* ---- profiles ---- */

static int no_profile(struct s3_files *f, const char *profile)
{
	return err_note(-L3_BAD_OPTION, "profile %s: in neither %s nor %s", profile,
			f->path[S3_FILE_CREDENTIALS], f->path[S3_FILE_CONFIG]);
}

/* credential_process, if the profile has one. */
static int from_process(const struct s3_chain *chain, struct s3_files *f, const char *profile,
			struct s3_cred *ret)
{
	char *command CLEANUP(free_ptr) = NULL;
	int err = s3_files_get(f, profile, "credential_process", &command);

	return err < 0 ? err : s3_cred_process(chain, command, ret);
}

/* Keeps the note of the last provider that had nothing, which names all that a profile can have. */
static int from_section(const struct s3_chain *chain, struct s3_files *f, const char *profile,
			struct s3_cred *ret)
{
	int err = from_process(chain, f, profile, ret);

	return err == -ENOENT ? s3_cred_static(f, profile, ret) : err;
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
		err = from_section(chain, &f, profile, ret);
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
	{ "profile", from_profile, true },
	{ "container", s3_cred_container, false },
	{ "EC2", s3_cred_ec2, false },
};

int s3_chain_load(const struct s3_chain *chain, struct s3_cred *ret)
{
	struct buf tried CLEANUP(buf_release) = BUF_INIT;

	if (chain->passwd_file)
		return s3_cred_passwd_file(chain->passwd_file, chain->bucket, ret);
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		const struct provider *p = &providers[i];
		int err;

		if (chain->profile && !p->for_named)
			continue;
		err_clear();
		err = p->load(chain, ret);
		if (err != -ENOENT)
			return err;
		buf_printf(&tried, "%s%s: %s", tried.len ? "; " : "", p->name, err_last_note());
	}
	return err_note(-L3_DENIED, "no credentials: %s", buf_cstr(&tried));
}

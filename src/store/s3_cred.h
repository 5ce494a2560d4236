/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the S3 store's credentials: the providers, and what they share.
 *
 *	s3_keys.c     the keys in use: renewed before they expire, looked for anew when refused
 *	s3_chain.c    the order in which providers are asked, and what profiles say
 *	s3_cred.c     keys as such; environment, shared files, passwd_file
 *	s3_files.c    the AWS tools' files and settings
 *	s3_process.c  credential_process
 *	s3_host.c     what the host gives: container endpoints (ECS, EKS), EC2's instance metadata
 *	s3_sts.c      roles: AssumeRole, AssumeRoleWithWebIdentity
 *	s3_sso.c      what "aws sso login" left
 *	s3_secret.c   memory that held keys is overwritten
 *	s3_fetch.c    one exchange of any of these with its server, and the JSON of answers
 *
 * A provider returns 0 with keys; -ENOENT and a note on what it looked for, where it has not been
 * set up (the next one is asked); or another error where it has been, but fails. Then no other is
 * asked: keys of another identity than the one meant would be a surprise.
 */
#ifndef LEVELS3_STORE_S3_CRED_H
#define LEVELS3_STORE_S3_CRED_H

#include "store/s3.h"

#define S3_TOKEN_MAX ((size_t)64 << 10) /* of what a provider answers */

struct s3_chain {		 /* where to look; never changes */
	const char *profile;	 /* NULL: AWS_PROFILE, "default" */
	const char *passwd_file; /* NULL: none; else nothing but this is asked */
	const char *bucket;	 /* whose keys to take from it */
	const char *region;	 /* for STS */
	bool fips;
	struct clock *clock;
	struct s3_http *far;  /* STS, SSO */
	struct s3_http *near; /* what is on this host or beside it: short time-outs */
	const bool *stopped;  /* atomic */
};

int s3_chain_load(const struct s3_chain *chain, struct s3_cred *ret);

/* ---- s3_files.c ---- */

enum s3_file { S3_FILE_CREDENTIALS, S3_FILE_CONFIG, S3_FILE_COUNT };

struct s3_files {
	struct buf text[S3_FILE_COUNT];
	char *path[S3_FILE_COUNT];
};

const char *s3_env(const char *name); /* NULL if empty, too */
/* On failure, too, released by s3_files_release. An absent file is an empty one. */
int s3_files_read(struct s3_files *f);
void s3_files_release(struct s3_files *f);
/* Like s3_ini_get, of a profile's section, in one file or whichever has it first. */
int s3_files_get_from(struct s3_files *f, enum s3_file which, const char *profile, const char *key,
		      char **ret);
int s3_files_get(struct s3_files *f, const char *profile, const char *key, char **ret);
bool s3_files_have(struct s3_files *f, const char *profile);
int s3_profile_name(const char *profile, const char **ret);
int s3_home_path(const char *name, char **ret); /* ~/.aws/NAME */
/* A note for all errors; -ENOENT if it is not there. */
int s3_read_secret(const char *path, struct buf *text);
int s3_check_private(const char *path);

/* ---- s3_secret.c ---- */

void s3_wipe(char *s); /* and frees; NULL is fine */
void s3_wipe_ptr(char **s);
void s3_wipe_buf(struct buf *b);
/* In place of free and realloc, for libraries: all that malloc gave is overwritten. */
void s3_wipe_free(void *p);
void *s3_wipe_realloc(void *p, size_t size);
void s3_curl_init(void);
/* What libcurl frees in this thread, from now on, is overwritten first. */
void s3_curl_discreet(bool on);

/* ---- s3_cred.c ---- */

/* A string in protected memory; NULL without memory. */
char *s3_secret_alloc(size_t size);
void s3_secret_free(char *s); /* NULL is fine */
/* A variable with a secret in it, also when store_take_keys has taken it out of the environment. */
const char *s3_secret_env(const char *name);
/* Takes over three ordinary strings (token may be NULL) and wipes them; checks, and puts the secret
 * ones where they are protected. expires_s 0: never. */
int s3_cred_make(char *access_key, char *secret_key, char *session_token, int64_t expires_s,
		 struct s3_cred *ret);
int s3_cred_environment(struct s3_cred *ret);
/* aws_access_key_id and what belongs to it in one of the shared files. */
int s3_cred_static(struct s3_files *f, const char *profile, struct s3_cred *ret);
int s3_cred_passwd_file(const char *path, const char *bucket, struct s3_cred *ret);

/* ---- s3_fetch.c ---- */

struct s3_fetch {
	const char *who; /* for notes: "EC2 instance metadata" */
	const char *method, *url;
	struct s3_header headers[8];
	size_t header_count;
	const struct buf *body; /* NULL: none */
	bool direct;		/* past any proxy */
};

/* The body of an answer 2xx; else an error with a note on what the server said. ret_status (may be
 * NULL) is set even then, 0 if no answer came. */
int s3_fetch_run(struct s3_http *http, const struct s3_fetch *f, struct buf *ret_body,
		 long *ret_status);

struct s3_json_names {	    /* of members */
	const char *inside; /* NULL: they are the outermost object's */
	const char *access_key, *secret_key, *token, *expires;
};

int s3_json_cred(const struct buf *json, const char *who, const struct s3_json_names *names,
		 struct s3_cred *ret);
/* A string member, malloc'd: 0, -ENOENT, -L3_SERVER, -ENOMEM. */
int s3_json_string(const struct buf *json, const char *name, char **ret);
/* Whether its member Version is 1. */
bool s3_json_is_version_1(const struct buf *json);

/* ---- the providers ---- */

int s3_cred_process(const struct s3_chain *chain, const char *command, struct s3_cred *ret);
struct s3_role { /* strings may be NULL but arn */
	const char *arn, *session_name, *external_id, *duration_seconds;
	const char *token_file; /* for web identities */
};

/* `source`: the keys of who may assume it. */
int s3_cred_role(const struct s3_chain *chain, const struct s3_role *role,
		 const struct s3_cred *source, struct s3_cred *ret);
int s3_cred_web_identity(const struct s3_chain *chain, const struct s3_role *role,
			 struct s3_cred *ret);
int s3_cred_web_identity_env(const struct s3_chain *chain, struct s3_cred *ret);
/* -ENOENT if the profile has nothing of SSO in it. */
int s3_cred_sso(const struct s3_chain *chain, struct s3_files *f, const char *profile,
		struct s3_cred *ret);
int s3_cred_container(const struct s3_chain *chain, struct s3_cred *ret);
int s3_cred_ec2(const struct s3_chain *chain, struct s3_cred *ret);

#endif

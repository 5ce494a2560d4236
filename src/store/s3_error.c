/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What S3's answers mean, and the words for a person. By S3's code where the answer has one, by
 * HTTP status where it has none (HEAD never has). What nobody recognises counts as the server's
 * trouble, so that it is tried again: a proxy's whim must not stop a mount for good.
 */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct meaning {
	const char *code;
	int err;
	const char *advice;
} meanings[] = {
	{ "NoSuchKey", ENOENT, NULL },
	{ "NoSuchUpload", ENOENT, NULL },
	{ "NoSuchBucket", L3_NO_BUCKET, NULL },
	{ "PreconditionFailed", L3_PRECONDITION, NULL },
	/* Two writers at once: who won is not said, so it is asked again. */
	{ "ConditionalRequestConflict", L3_SERVER, NULL },
	{ "OperationAborted", L3_SERVER, NULL },
	{ "AccessDenied", L3_DENIED, NULL },
	{ "AllAccessDisabled", L3_DENIED, NULL },
	{ "AccountProblem", L3_DENIED, NULL },
	{ "InvalidObjectState", L3_DENIED, "the object lies in an archive" },
	{ "SignatureDoesNotMatch", L3_DENIED,
	  "the secret key does not fit the access key, or a proxy changes requests" },
	{ "InvalidAccessKeyId", L3_DENIED, "the server does not know this access key" },
	{ "ExpiredToken", L3_DENIED, "the session token ran out; newer ones are read when there" },
	{ "InvalidToken", L3_DENIED, "the session token is not accepted" },
	{ "TokenRefreshRequired", L3_DENIED, "the session token ran out" },
	{ "RequestTimeTooSkewed", L3_CLOCK_SKEW, NULL },
	{ "AuthorizationHeaderMalformed", L3_WRONG_REGION, NULL },
	{ "PermanentRedirect", L3_WRONG_REGION, NULL },
	{ "TemporaryRedirect", L3_WRONG_REGION, NULL },
	{ "IllegalLocationConstraintException", L3_WRONG_REGION, NULL },
	{ "SlowDown", L3_THROTTLED, NULL },
	{ "ServiceUnavailable", L3_THROTTLED, NULL },
	{ "TooManyRequests", L3_THROTTLED, NULL },
	{ "Throttling", L3_THROTTLED, NULL },
	{ "ThrottlingException", L3_THROTTLED, NULL },
	{ "RequestLimitExceeded", L3_THROTTLED, NULL },
	{ "BandwidthLimitExceeded", L3_THROTTLED, NULL },
	/* The request did not arrive whole. */
	{ "RequestTimeout", L3_UNREACHABLE, NULL },
	{ "IncompleteBody", L3_UNREACHABLE, NULL },
	{ "BadDigest", L3_UNREACHABLE, "bytes were changed on the way" },
	{ "XAmzContentSHA256Mismatch", L3_UNREACHABLE, "bytes were changed on the way" },
	{ "QuotaExceeded", ENOSPC, NULL },
	{ "InsufficientCapacity", ENOSPC, NULL },
	{ "XMinioStorageFull", ENOSPC, NULL },
	{ "EntityTooLarge", EFBIG, NULL },
	{ "KeyTooLongError", EINVAL, NULL },
};

static const struct {
	long status;
	int err;
} statuses[] = {
	{ 301, L3_WRONG_REGION }, { 307, L3_WRONG_REGION }, { 308, L3_WRONG_REGION },
	{ 401, L3_DENIED },	  { 403, L3_DENIED },	    { 407, L3_DENIED },
	{ 408, L3_UNREACHABLE },  { 412, L3_PRECONDITION }, { 429, L3_THROTTLED },
	{ 503, L3_THROTTLED },	  { 507, ENOSPC },
};

static const struct meaning *find_meaning(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (strcmp(meanings[i].code, code) == 0)
			return &meanings[i];
	return NULL;
}

/* The region in which the server says the bucket is, "" if it does not. */
static const char *hinted_region(const struct s3_call *c)
{
	const char *hint = c->answer.region[0] ? c->answer.region : c->error.region;

	return strcmp(hint, c->place->region) == 0 ? "" : hint;
}

static bool is_conditional(const struct s3_call *c)
{
	for (size_t i = 0; i < c->header_count; i++)
		if (strncmp(c->headers[i].name, "if-", 3) == 0)
			return true;
	return false;
}

static int by_status(const struct s3_call *c)
{
	long status = c->answer.status;

	/* S3 says why a key is not there. A 404 without that, other than to a HEAD, may come from
	 * anything that listens at that address, and must not be taken for an absent object. */
	if (status == 404 && strcmp(c->method, "HEAD") == 0)
		return ENOENT;
	if (status == 400 && hinted_region(c)[0])
		return L3_WRONG_REGION;
	if (status == 501 && is_conditional(c))
		return L3_NO_CONDITION;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].err;
	return L3_SERVER;
}

const char *s3_error_other_region(const struct s3_call *c)
{
	const struct meaning *m = c->error.code[0] ? find_meaning(c->error.code) : NULL;
	int err = m ? m->err : by_status(c);
	const char *hint = hinted_region(c);

	return err == L3_WRONG_REGION && *hint ? hint : NULL;
}

bool s3_error_is_about_keys(const struct s3_call *c)
{
	static const char *const codes[] = { "InvalidAccessKeyId", "ExpiredToken", "InvalidToken",
					     "TokenRefreshRequired", "SignatureDoesNotMatch" };

	if (c->answer.status != 400 && c->answer.status != 401 && c->answer.status != 403)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(c->error.code, codes[i]) == 0)
			return true;
	return !c->error.code[0]; /* a HEAD: nobody knows */
}

bool s3_error_is_unknown_request(const struct s3_call *c)
{
	return c->answer.status == 501 || c->answer.status == 405 ||
	       strcmp(c->error.code, "NotImplemented") == 0 ||
	       strcmp(c->error.code, "MethodNotAllowed") == 0;
}

/* ---- words ---- */

static void format_utc(time_t when, char out[32])
{
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(out, 32, "?");
}

static void add_clocks(const struct s3_call *c, struct buf *note)
{
	char ours[32], theirs[40] = "unknown";

	format_utc(time(NULL), ours);
	if (c->error.server_time[0])
		(void)snprintf(theirs, sizeof(theirs), "%s", c->error.server_time);
	else if (c->answer.date_s)
		format_utc((time_t)c->answer.date_s, theirs);
	buf_printf(note, "; the time here is %s, the server's %s: set the clock (NTP)", ours,
		   theirs);
}

static void add_region(const struct s3_call *c, struct buf *note)
{
	const char *hint = hinted_region(c);

	if (*hint)
		buf_printf(note, "; bucket %s is in region %s, not %s: use region=%s",
			   c->place->bucket, hint, c->place->region, hint);
	else
		buf_printf(note,
			   "; bucket %s is not in region %s at %s: see the options region and "
			   "endpoint",
			   c->place->bucket, c->place->region, c->place->base);
}

/* By the names that policies have for them. */
static void add_right(const struct s3_call *c, struct buf *note)
{
	static const struct {
		const char *what, *right;
	} rights[] = { { "LIST", "s3:ListBucket" },
		       { "HEAD", "s3:GetObject" },
		       { "GET", "s3:GetObject" },
		       { "DELETE", "s3:DeleteObject" } };
	const char *right = "s3:PutObject";

	for (size_t i = 0; i < ARRAY_LEN(rights); i++)
		if (strcmp(c->what, rights[i].what) == 0)
			right = rights[i].right;
	buf_printf(
		note,
		"; the key has no right to do this (%s); a mount needs s3:ListBucket, "
		"s3:GetObject, s3:PutObject and s3:DeleteObject, with the option ro the first two",
		right);
}

static void add_keys(const struct s3_call *c, struct buf *note)
{
	struct buf trouble CLEANUP(buf_release) = BUF_INIT;

	if (!c->s3->keyring) {
		buf_add_str(note, "; the request was not signed (option anonymous)");
		return;
	}
	s3_keyring_trouble(c->s3->keyring, &trouble);
	if (trouble.len)
		buf_printf(note, "; newer keys could not be had: %s", buf_cstr(&trouble));
	else
		buf_add_str(note, "; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
				  "or from ~/.aws/credentials (profile=NAME)");
}

static void add_advice(const struct s3_call *c, int err, const char *advice, struct buf *note)
{
	if (err == L3_CLOCK_SKEW)
		add_clocks(c, note);
	else if (err == L3_WRONG_REGION)
		add_region(c, note);
	else if (err == L3_NO_BUCKET)
		buf_printf(note,
			   "; there is no bucket %s at %s: make it first, or correct the name",
			   c->place->bucket, c->place->base);
	else if (err == L3_NO_CONDITION)
		buf_add_str(note, "; the server does not know conditional writes");
	else if (err == L3_SERVER && c->answer.status < 500 && !c->error.code[0])
		buf_printf(note,
			   "; %s does not answer as an S3 server does: see the option endpoint",
			   c->place->base);
	else if (strcmp(c->error.code, "AccessDenied") == 0)
		add_right(c, note);
	else if (advice)
		buf_printf(note, "; %s", advice);
	if (err == L3_DENIED)
		add_keys(c, note);
}

int s3_error_judge(const struct s3_call *c)
{
	const struct meaning *m = c->error.code[0] ? find_meaning(c->error.code) : NULL;
	const char *request = c->answer.request_id[0] ? c->answer.request_id : c->error.request_id;
	struct buf note CLEANUP(buf_release) = BUF_INIT;
	int err = m ? m->err : by_status(c);

	buf_printf(&note, "%s %s: HTTP %ld", c->what, c->about, c->answer.status);
	if (c->error.code[0])
		buf_printf(&note, " %s", c->error.code);
	if (c->error.message[0])
		buf_printf(&note, ": %s", c->error.message);
	if (request[0])
		buf_printf(&note, " (request %s)", request);
	add_advice(c, err, m ? m->advice : NULL, &note);
	return err_note(-err, "%s", buf_cstr(&note));
}

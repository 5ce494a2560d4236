/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of a filesystem: one table from which parsing, --help and the man pages' check come.
 * Adding an option is adding a line here, and one to the man page (tests/cli_options.c insists).
 */
#include "fs/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define MS_PER_S 1000
#define MS_PER_MIN (60 * MS_PER_S)
#define MS_PER_HOUR (60 * MS_PER_MIN)
#define MS_PER_DAY (24 * MS_PER_HOUR)

enum kind { KIND_TEXT, KIND_PATH, KIND_DIR, KIND_SIZE, KIND_DURATION, KIND_COUNT, KIND_FLAG };

struct effect { /* of a flag */
	size_t field;
	bool value;
};

struct option {
	struct fs_option_info info;
	enum kind kind;
	size_t field;		  /* in struct fs_config; not for flags */
	uint64_t min, max;	  /* of numbers: bytes, ms */
	struct effect effects[2]; /* flags; field 0 means none (the first field is no bool) */
};

#define FIELD(name) offsetof(struct fs_config, name)

/* clang-format off: a table is read by columns */
static const struct option options[] = {
	{ { "cache_dir", "DIR", "/var/cache/levels3fs (root) or ~/.cache/levels3fs",
	    "disk cache, may be deleted at any time; \"none\": memory only" },
	  KIND_DIR,
	  FIELD(cache_dir),
	  0,
	  0,
	  { { 0 } } },
	{ { "cache_size", "SIZE", "10G", "most that the disk cache may take" },
	  KIND_SIZE,
	  FIELD(cache_size_bytes),
	  16 * MIB,
	  1024 * 1024 * GIB,
	  { { 0 } } },
	{ { "mem_limit", "SIZE", "512M",
	    "memory for unsent data and caches; writers wait beyond it" },
	  KIND_SIZE,
	  FIELD(mem_limit_bytes),
	  64 * MIB,
	  1024 * GIB,
	  { { 0 } } },
	{ { "commit", "SECONDS", "5",
	    "everything written is durable after this long even without fsync" },
	  KIND_DURATION,
	  FIELD(commit_ms),
	  100,
	  MS_PER_HOUR,
	  { { 0 } } },
	{ { "lease", "SECONDS", "30", "how long a host that died keeps others from mounting" },
	  KIND_DURATION,
	  FIELD(lease_ms),
	  MS_PER_S,
	  MS_PER_HOUR,
	  { { 0 } } },
	{ { "renew", "SECONDS", "10", "how often the lease is renewed; less than half of it" },
	  KIND_DURATION,
	  FIELD(renew_ms),
	  100,
	  MS_PER_HOUR,
	  { { 0 } } },
	{ { "lease_wait", "SECONDS", "0",
	    "how long to wait for somebody else's lease; 0: refuse at once" },
	  KIND_DURATION,
	  FIELD(lease_wait_ms),
	  0,
	  MS_PER_DAY,
	  { { 0 } } },
	{ { "retry", "COUNT", "10",
	    "attempts of a read before it fails; writes are tried until they succeed" },
	  KIND_COUNT,
	  FIELD(retry),
	  1,
	  1000,
	  { { 0 } } },
	{ { "retry_delay", "SECONDS", "100ms",
	    "first pause between attempts; doubles each time, with jitter" },
	  KIND_DURATION,
	  FIELD(retry_delay_ms),
	  1,
	  MS_PER_MIN,
	  { { 0 } } },
	{ { "timeout", "SECONDS", "30",
	    "a request on which no byte moves for this long is given up" },
	  KIND_DURATION,
	  FIELD(store.timeout_ms),
	  MS_PER_S,
	  MS_PER_HOUR,
	  { { 0 } } },
	{ { "connect_timeout", "SECONDS", "10", "time to reach the server" },
	  KIND_DURATION,
	  FIELD(store.connect_timeout_ms),
	  100,
	  10 * MS_PER_MIN,
	  { { 0 } } },
	{ { "connections", "COUNT", "32", "requests to the server at once, at most" },
	  KIND_COUNT,
	  FIELD(store.connections),
	  1,
	  1024,
	  { { 0 } } },
	{ { "endpoint", "URL", "AWS for the region", "the S3 server: https://HOST[:PORT]" },
	  KIND_TEXT,
	  FIELD(store.endpoint),
	  0,
	  0,
	  { { 0 } } },
	{ { "region", "NAME", "the profile's, AWS_REGION, us-east-1", "the bucket's region" },
	  KIND_TEXT,
	  FIELD(store.region),
	  0,
	  0,
	  { { 0 } } },
	{ { "profile", "NAME", "AWS_PROFILE, default",
	    "whose keys, in ~/.aws/credentials and ~/.aws/config" },
	  KIND_TEXT,
	  FIELD(store.profile),
	  0,
	  0,
	  { { 0 } } },
	{ { "passwd_file", "FILE", "none",
	    "keys for servers other than AWS: [BUCKET:]ACCESS_KEY:SECRET_KEY, mode 0600" },
	  KIND_PATH,
	  FIELD(store.passwd_file),
	  0,
	  0,
	  { { 0 } } },
	{ { "anonymous", NULL, "off", "no keys: a public bucket, read-only (implies ro)" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(store.anonymous), true }, { FIELD(read_only), true } } },
	{ { "path_style", NULL, "off", "https://HOST/BUCKET instead of https://BUCKET.HOST" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(store.path_style), true } } },
	{ { "dualstack", NULL, "off", "AWS' endpoints that know IPv6" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(store.dualstack), true } } },
	{ { "fips", NULL, "off", "AWS' endpoints with FIPS cryptography" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(store.fips), true } } },
	{ { "sse", "KIND", "the bucket's",
	    "the server encrypts what is written: AES256, aws:kms, aws:kms:dsse" },
	  KIND_TEXT,
	  FIELD(store.sse),
	  0,
	  0,
	  { { 0 } } },
	{ { "sse_kms_key", "ID", "the account's",
	    "the key of sse=aws:kms" },
	  KIND_TEXT,
	  FIELD(store.sse_kms_key),
	  0,
	  0,
	  { { 0 } } },
	{ { "sse_c_key_file", "FILE", "none",
	    "the server encrypts with this key of 32 bytes (SSE-C), mode 0600" },
	  KIND_PATH,
	  FIELD(store.sse_c_key_file),
	  0,
	  0,
	  { { 0 } } },
	{ { "storage_class", "NAME", "STANDARD",
	    "of the objects written: STANDARD_IA, GLACIER_IR, ..." },
	  KIND_TEXT,
	  FIELD(store.storage_class),
	  0,
	  0,
	  { { 0 } } },
	{ { "acl", "NAME", "the bucket's",
	    "of the objects written: private, bucket-owner-full-control, ..." },
	  KIND_TEXT,
	  FIELD(store.acl),
	  0,
	  0,
	  { { 0 } } },
	{ { "tags", "LIST", "none",
	    "of the objects written: NAME=VALUE&NAME=VALUE" },
	  KIND_TEXT,
	  FIELD(store.tags),
	  0,
	  0,
	  { { 0 } } },
	{ { "requester_pays", NULL, "off", "pay for requests to somebody else's bucket" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(store.requester_pays), true } } },
	{ { "ca_file", "FILE", "the system's", "certificates (PEM) that vouch for the server" },
	  KIND_PATH,
	  FIELD(store.ca_file),
	  0,
	  0,
	  { { 0 } } },
	{ { "no_verify_tls", NULL, "off", "do not check the server's certificate: for tests only" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(store.no_verify), true } } },
	{ { "grace", "SECONDS", "10m", "how long objects no longer needed stay in the store" },
	  KIND_DURATION,
	  FIELD(grace_ms),
	  MS_PER_S,
	  30 * (uint64_t)MS_PER_DAY,
	  { { 0 } } },
	{ { "segment_size", "SIZE", "16M", "size of the objects that file data is packed into" },
	  KIND_SIZE,
	  FIELD(segment_bytes),
	  256 * KIB,
	  256 * MIB,
	  { { 0 } } },
	{ { "compress", NULL, "on", "compress file data with LZ4 where that helps" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(compress), true } } },
	{ { "no_compress", NULL, "off", "store file data as it is" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(compress), false } } },
	{ { "ro", NULL, "off", "read-only: nothing is written to the store, no lease is taken" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(read_only), true } } },
	{ { "rw", NULL, "on", "read and write" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(read_only), false } } },
	{ { "create", NULL, "off", "make the filesystem if the prefix is empty" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(create), true }, { FIELD(store.create), true } } },
	{ { "lease_only", NULL, "off",
	    "accept a store without conditional writes: only time guards against a second writer" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(lease_only), true } } },
	{ { "relatime", NULL, "on", "access times at most once a day, or after a change" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(atime), true }, { FIELD(strictatime), false } } },
	{ { "noatime", NULL, "off", "no access times" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(atime), false }, { FIELD(strictatime), false } } },
	{ { "nodiratime", NULL, "off", "no access times of folders" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(nodiratime), true } } },
	{ { "diratime", NULL, "on", "access times of folders as of files" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(nodiratime), false } } },
	{ { "size_limit", "SIZE", "0",
	    "no space left beyond so much data, which df shows as the size; 0: none" },
	  KIND_SIZE,
	  FIELD(size_limit_bytes),
	  0,
	  INT64_MAX,
	  { { 0 } } },
	{ { "inode_limit", "COUNT", "0",
	    "no space left beyond so many files and folders; 0: none" },
	  KIND_COUNT,
	  FIELD(inode_limit),
	  0,
	  UINT32_MAX,
	  { { 0 } } },
	{ { "strictatime", NULL, "off", "an access time for every read" },
	  KIND_FLAG,
	  0,
	  0,
	  0,
	  { { FIELD(atime), true }, { FIELD(strictatime), true } } },
};
/* clang-format on */

/* What fs_options gives out: the same lines, and the end. */
static struct fs_option_info infos[ARRAY_LEN(options) + 1];
static pthread_once_t infos_once = PTHREAD_ONCE_INIT;

static void fill_infos(void)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		infos[i] = options[i].info;
}

const struct fs_option_info *fs_options(void)
{
	(void)pthread_once(&infos_once, fill_infos);
	return infos;
}

/* ---- the structure ---- */

void fs_config_init(struct fs_config *c)
{
	*c = (struct fs_config){
		.store = { .connections = 32,
			   .connect_timeout_ms = 10 * MS_PER_S,
			   .timeout_ms = 30 * MS_PER_S },
		.retry = 10,
		.retry_delay_ms = 100,
		.cache_size_bytes = 10 * GIB,
		.mem_limit_bytes = 512 * MIB,
		.commit_ms = 5 * MS_PER_S,
		.lease_ms = 30 * MS_PER_S,
		.renew_ms = 10 * MS_PER_S,
		.grace_ms = 10 * MS_PER_MIN,
		.segment_bytes = 16 * MIB,
		.compress = true,
		.atime = true,
	};
}

void fs_config_release(struct fs_config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(c->owned); i++)
		free(c->owned[i]);
	memset(c, 0, sizeof(*c));
}

/* ---- one option ---- */

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(options[i].info.name, name) == 0)
			return &options[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[ARRAY_LEN(options)], *near;

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		names[i] = options[i].info.name;
	near = nearest_name(name, names, ARRAY_LEN(names));
	if (near)
		return err_note(-ENOTSUP, "unknown option \"%s\"; did you mean \"%s\"?", name,
				near);
	return err_note(-ENOTSUP, "unknown option \"%s\" (levels3fs help mount lists them)", name);
}

static bool is_string(const struct option *o)
{
	return o->kind == KIND_TEXT || o->kind == KIND_PATH || o->kind == KIND_DIR;
}

static bool is_path(const struct option *o, const char *value)
{
	return value[0] == '/' || (o->kind == KIND_DIR && strcmp(value, "none") == 0);
}

/* The slot in c->owned of a string option: its rank among them. */
static size_t owned_slot(const struct option *o)
{
	size_t slot = 0;

	for (const struct option *p = options; p < o; p++)
		if (is_string(p))
			slot++;
	return slot;
}

static int set_text(struct fs_config *c, const struct option *o, const char *value)
{
	size_t slot = owned_slot(o);
	char *copy;

	if (!*value)
		return err_note(-L3_BAD_OPTION, "option %s needs a value: %s=%s", o->info.name,
				o->info.name, o->info.argument);
	if (o->kind != KIND_TEXT && !is_path(o, value))
		return err_note(-L3_BAD_OPTION, "option %s=%s: must be an absolute path%s",
				o->info.name, value, o->kind == KIND_DIR ? " or \"none\"" : "");
	copy = strdup(value);
	if (!copy)
		return err_note(-ENOMEM, "out of memory");
	free(c->owned[slot]);
	c->owned[slot] = copy;
	*(char **)((char *)c + o->field) = copy;
	return 0;
}

static const char *format_duration(uint64_t ms, char out[SIZE_STR_LEN])
{
	if (ms % MS_PER_DAY == 0 && ms)
		(void)snprintf(out, SIZE_STR_LEN, "%llud", (unsigned long long)(ms / MS_PER_DAY));
	else if (ms % MS_PER_HOUR == 0 && ms)
		(void)snprintf(out, SIZE_STR_LEN, "%lluh", (unsigned long long)(ms / MS_PER_HOUR));
	else if (ms % MS_PER_MIN == 0 && ms)
		(void)snprintf(out, SIZE_STR_LEN, "%llum", (unsigned long long)(ms / MS_PER_MIN));
	else if (ms % MS_PER_S == 0)
		(void)snprintf(out, SIZE_STR_LEN, "%llu", (unsigned long long)(ms / MS_PER_S));
	else
		(void)snprintf(out, SIZE_STR_LEN, "%llums", (unsigned long long)ms);
	return out;
}

static int out_of_range(const struct option *o, const char *value)
{
	char low[SIZE_STR_LEN], high[SIZE_STR_LEN];

	switch (o->kind) {
	case KIND_SIZE:
		return err_note(-L3_BAD_OPTION,
				"option %s=%s: must be a size from %s to %s, such as 64M or 1.5G",
				o->info.name, value, format_size(o->min, low),
				format_size(o->max, high));
	case KIND_DURATION:
		return err_note(-L3_BAD_OPTION,
				"option %s=%s: must be a time from %s to %s, such as 5 (seconds), "
				"0.5, 250ms or 2m",
				o->info.name, value, format_duration(o->min, low),
				format_duration(o->max, high));
	default:
		return err_note(-L3_BAD_OPTION, "option %s=%s: must be a number from %llu to %llu",
				o->info.name, value, (unsigned long long)o->min,
				(unsigned long long)o->max);
	}
}

static int set_number(struct fs_config *c, const struct option *o, const char *value)
{
	uint64_t v = 0;
	int err = o->kind == KIND_SIZE	     ? parse_size(value, &v)
		  : o->kind == KIND_DURATION ? parse_duration_ms(value, &v)
					     : parse_u64(value, &v);

	if (err < 0 || v < o->min || v > o->max)
		return out_of_range(o, value);
	if (o->kind == KIND_COUNT)
		*(unsigned *)((char *)c + o->field) = (unsigned)v;
	else
		*(uint64_t *)((char *)c + o->field) = v;
	return 0;
}

static int set_flag(struct fs_config *c, const struct option *o)
{
	for (size_t i = 0; i < ARRAY_LEN(o->effects); i++)
		if (o->effects[i].field)
			*(bool *)((char *)c + o->effects[i].field) = o->effects[i].value;
	return 0;
}

int fs_config_set(struct fs_config *c, const char *name, const char *value)
{
	const struct option *o = find(name);

	if (!o)
		return unknown(name);
	if (o->kind == KIND_FLAG)
		return value ? err_note(-L3_BAD_OPTION, "option %s takes no value (\"%s=%s\")",
					name, name, value)
			     : set_flag(c, o);
	if (!value)
		return err_note(-L3_BAD_OPTION, "option %s needs a value: %s=%s", name, name,
				o->info.argument);
	if (is_string(o))
		return set_text(c, o, value);
	return set_number(c, o, value);
}

/* ---- lists of options ---- */

/* Ends the item at its comma and takes the backslashes off; returns the next item or NULL. */
static char *cut_item(char *item)
{
	char *to = item;

	for (char *from = item; *from; from++) {
		if (*from == ',') {
			*to = '\0';
			return from + 1;
		}
		if (from[0] == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	*to = '\0';
	return NULL;
}

static int set_item(struct fs_config *c, char *item, fs_option_fn other, void *ctx)
{
	char *value = strchr(item, '=');
	int err = -ENOTSUP;

	if (!*item)
		return 0; /* "a,,b", a trailing comma: harmless */
	if (value)
		*value++ = '\0';
	if (other)
		err = other(ctx, item, value);
	if (err == -ENOTSUP)
		err = fs_config_set(c, item, value);
	return err;
}

int fs_config_parse(struct fs_config *c, const char *list, fs_option_fn other, void *ctx)
{
	char *copy CLEANUP(free_ptr) = strdup(list);
	int err = copy ? 0 : err_note(-ENOMEM, "out of memory");

	for (char *item = copy; item && err >= 0;) {
		char *next = cut_item(item);

		err = set_item(c, item, other, ctx);
		item = next;
	}
	return err < 0 ? err : 0;
}

/* ---- the whole ---- */

int fs_config_check(const struct fs_config *c)
{
	char a[SIZE_STR_LEN], b[SIZE_STR_LEN];

	/* 0 means the default, for callers in-process that fill the structure by hand. */
	if (c->renew_ms && c->lease_ms && c->renew_ms * 2 >= c->lease_ms)
		return err_note(-L3_BAD_OPTION, "renew=%s must be less than half of lease=%s",
				format_duration(c->renew_ms, a), format_duration(c->lease_ms, b));
	if (c->read_only && c->create)
		return err_note(
			-L3_BAD_OPTION,
			"ro and create exclude each other: a read-only mount makes nothing");
	if (c->store.anonymous && !c->read_only)
		return err_note(
			-L3_BAD_OPTION,
			"anonymous and rw exclude each other: nothing is written without keys");
	if (c->store.anonymous && (c->store.profile || c->store.passwd_file))
		return err_note(-L3_BAD_OPTION, "anonymous and %s exclude each other",
				c->store.profile ? "profile" : "passwd_file");
	if (c->store.profile && c->store.passwd_file)
		return err_note(-L3_BAD_OPTION, "profile and passwd_file exclude each other");
	return 0;
}

/* ---- what a person can do about an error ---- */

static const struct {
	int code;
	const char *hint;
} hints[] = {
	{ L3_WRONG_REGION, "give the bucket's region with -o region=NAME" },
	{ L3_CLOCK_SKEW, "set this machine's clock (timedatectl set-ntp true)" },
	{ L3_UNREACHABLE,
	  "check -o endpoint=URL, the network, and the proxy variables (https_proxy, no_proxy)" },
	{ L3_VERSION,
	  "install a newer levels3fs, or mount with -o ro if it says that reading is possible" },
	{ L3_NO_CONDITION,
	  "use a server that honours If-None-Match and If-Match on PUT (AWS S3, Ceph, MinIO); "
	  "-o lease_only accepts a weaker guard by time" },
	{ L3_CORRUPT, "nothing was changed; look closer with: levels3fs fsck URL" },
};

void fs_explain(int err, struct buf *out)
{
	buf_add_str(out, *err_last_note() ? err_last_note() : err_text(err));
	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		if (hints[i].code == -err)
			buf_printf(out, "\n  hint: %s", hints[i].hint);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options as people write them: what option_table.c says becomes struct fs_config, or an error that
 * says what would be right.
 */
#include "fs/option.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

/* ---- the list for others ---- */

#define RANGE_LEN 64
#define PERCENT_MAX 90

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

/* As parse_size reads it: "16M". */
static const char *format_bytes(uint64_t bytes, char out[SIZE_STR_LEN])
{
	static const char units[] = "KMGTP";
	char unit[2] = "";

	for (const char *u = units; *u && bytes && bytes % KIB == 0; u++) {
		bytes /= KIB;
		unit[0] = *u;
	}
	(void)snprintf(out, SIZE_STR_LEN, "%llu%s", (unsigned long long)bytes, unit);
	return out;
}

static const char *format_number(const struct fs_option *o, uint64_t v, char out[SIZE_STR_LEN])
{
	if (o->kind == KIND_DURATION)
		return format_duration(v, out);
	if (o->kind == KIND_SIZE || o->kind == KIND_SHARE)
		return format_bytes(v, out);
	(void)snprintf(out, SIZE_STR_LEN, "%llu", (unsigned long long)v);
	return out;
}

/* Nothing for what is no number. */
static void format_range(const struct fs_option *o, const char *before, char out[RANGE_LEN])
{
	char low[SIZE_STR_LEN], high[SIZE_STR_LEN];

	if (o->max == 0)
		return;
	(void)snprintf(out, RANGE_LEN, "%s%s to %s", before, format_number(o, o->min, low),
		       format_number(o, o->max, high));
	if (o->kind == KIND_SHARE)
		(void)snprintf(out + strlen(out), RANGE_LEN - strlen(out),
			       ", or 1%% to %d%% of the disk", PERCENT_MAX);
}

static struct fs_option_info infos[FS_OPTIONS_MAX];
static char ranges[FS_OPTIONS_MAX][RANGE_LEN];
static pthread_once_t infos_once = PTHREAD_ONCE_INIT;

static void fill_infos(void)
{
	const struct fs_option *o = fs_option_table;

	for (size_t i = 0; o->info.name; i++, o++) {
		assert(i + 1 < FS_OPTIONS_MAX);
		infos[i] = o->info;
		format_range(o, "", ranges[i]);
		infos[i].range = ranges[i][0] ? ranges[i] : NULL;
	}
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
		.cache_size_percent = FS_CACHE_PERCENT,
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

static const struct fs_option *find(const char *name)
{
	for (const struct fs_option *o = fs_option_table; o->info.name; o++)
		if (strcmp(o->info.name, name) == 0)
			return o;
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[FS_OPTIONS_MAX], *near;
	size_t n = 0;

	for (const struct fs_option *o = fs_option_table; o->info.name; o++)
		names[n++] = o->info.name;
	near = nearest_name(name, names, n);
	if (near)
		return err_note(-ENOTSUP, "unknown option \"%s\"; did you mean \"%s\"?", name,
				near);
	return err_note(-ENOTSUP, "unknown option \"%s\" (levels3fs help mount lists them)", name);
}

static bool is_string(const struct fs_option *o)
{
	return o->kind == KIND_TEXT || o->kind == KIND_PATH || o->kind == KIND_DIR;
}

static bool is_path(const struct fs_option *o, const char *value)
{
	return value[0] == '/' || (o->kind == KIND_DIR && strcmp(value, "none") == 0);
}

/* The slot in c->owned of a string option: its rank among them. */
static size_t owned_slot(const struct fs_option *o)
{
	size_t slot = 0;

	for (const struct fs_option *p = fs_option_table; p < o; p++)
		if (is_string(p))
			slot++;
	return slot;
}

static int set_text(struct fs_config *c, const struct fs_option *o, const char *value)
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

static int out_of_range(const struct fs_option *o, const char *value)
{
	static const char *const what[] = {
		[KIND_SIZE] = "a size%s, such as 64M or 1.5G",
		[KIND_SHARE] = "a size%s, such as 5G or 20%%",
		[KIND_DURATION] = "a time%s, such as 5 (seconds), 0.5, 250ms or 2m",
		[KIND_COUNT] = "a number%s",
	};
	char range[RANGE_LEN] = "", text[160];

	format_range(o, " from ", range);
	(void)snprintf(text, sizeof(text), what[o->kind], range);
	return err_note(-L3_BAD_OPTION, "option %s=%s: must be %s", o->info.name, value, text);
}

static int set_number(struct fs_config *c, const struct fs_option *o, const char *value)
{
	uint64_t v = 0;
	int err = o->kind == KIND_SIZE || o->kind == KIND_SHARE ? parse_size(value, &v)
		  : o->kind == KIND_DURATION			? parse_duration_ms(value, &v)
								: parse_u64(value, &v);

	if (err < 0 || v < o->min || v > o->max)
		return out_of_range(o, value);
	if (o->kind == KIND_COUNT)
		*(unsigned *)((char *)c + o->field) = (unsigned)v;
	else
		*(uint64_t *)((char *)c + o->field) = v;
	return 0;
}

static int set_flag(struct fs_config *c, const struct fs_option *o)
{
	for (size_t i = 0; i < ARRAY_LEN(o->effects); i++)
		if (o->effects[i].field)
			*(bool *)((char *)c + o->effects[i].field) = o->effects[i].value;
	return 0;
}

/* 1: it is a part of the disk; 0: it is not; else it is out of range. */
static int set_percent(struct fs_config *c, const struct fs_option *o, const char *value)
{
	char digits[8] = "";
	size_t len = strlen(value);
	uint64_t v = 0;

	if (o->kind != KIND_SHARE || len == 0 || value[len - 1] != '%')
		return 0;
	if (len <= sizeof(digits))
		memcpy(digits, value, len - 1);
	if (parse_u64(digits, &v) < 0 || v < 1 || v > PERCENT_MAX)
		return out_of_range(o, value);
	*(unsigned *)((char *)c + o->share_field) = (unsigned)v;
	*(uint64_t *)((char *)c + o->field) = 0;
	return 1;
}

int fs_config_set(struct fs_config *c, const char *name, const char *value)
{
	const struct fs_option *o = find(name);
	int err;

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
	err = set_percent(c, o, value);
	if (err != 0)
		return err < 0 ? err : 0;
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

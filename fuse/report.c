/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's status as lines. See report.h. */
#include "report.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static void say_number(struct buf *out, const char *key, uint64_t value)
{
	buf_printf(out, "n %s %llu\n", key, (unsigned long long)value);
}

static void say_bool(struct buf *out, const char *key, bool value)
{
	buf_printf(out, "b %s %s\n", key, value ? "true" : "false");
}

/* On one line. */
static void say_text(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "s %s ", key);
	for (; *value; value++)
		buf_u8(out, *value == '\n' ? ' ' : (uint8_t)*value);
	buf_u8(out, '\n');
}

static void say_requests(struct buf *out, const struct store_counts *c)
{
	char key[64];

	for (size_t i = 0; i < STORE_OP_COUNT; i++) {
		(void)snprintf(key, sizeof(key), "requests.%s", store_op_name((enum store_op)i));
		say_number(out, key, c->requests[i]);
	}
	say_number(out, "requests.bytes_in", c->bytes_in);
	say_number(out, "requests.bytes_out", c->bytes_out);
	for (size_t i = 0; i < STORE_OP_COUNT; i++) {
		(void)snprintf(key, sizeof(key), "failed.%s", store_op_name((enum store_op)i));
		say_number(out, key, c->failed[i]);
	}
}

static void say_cache(struct buf *out, const struct cache_stats *c)
{
	say_number(out, "cache.hits_memory", c->hits_mem);
	say_number(out, "cache.hits_disk", c->hits_disk);
	say_number(out, "cache.misses", c->misses);
	say_number(out, "cache.bytes_fetched", c->bytes_fetched);
	say_number(out, "cache.bytes_memory", c->bytes_mem);
	say_number(out, "cache.bytes_disk", c->bytes_disk);
	say_number(out, "cache.limit_disk", c->limit_disk);
	say_number(out, "cache.evicted_objects", c->evicted_objects);
	say_number(out, "cache.corrupt", c->corrupt);
}

static void say_operations(struct buf *out, struct trace *t)
{
	uint64_t counts[TRACE_KIND_COUNT];
	char key[64];

	trace_counts(t, counts);
	for (size_t i = 0; i < TRACE_KIND_COUNT; i++) {
		(void)snprintf(key, sizeof(key), "operations.%s",
			       trace_kind_name((enum trace_kind)i));
		say_number(out, key, counts[i]);
	}
}

/* Who writes. A mount that only reads, or has lost the lease, would have to ask the store. */
static void say_holder(struct buf *out, const struct fs_status *s)
{
	char host[HOST_NAME_MAX + 1] = "", holder[sizeof(host) + 32];

	if (s->read_only || s->fenced || gethostname(host, sizeof(host) - 1) < 0)
		return;
	(void)snprintf(holder, sizeof(holder), "%s, pid %ld", host, (long)getpid());
	say_text(out, "holder", holder);
}

static void say_filesystem(struct buf *out, const struct daemon_view *v)
{
	const struct fs_status *s = &v->fs;
	char uuid[UUID_STR_LEN];

	uuid_format(&v->uuid, uuid);
	say_text(out, "uuid", uuid);
	say_number(out, "epoch", s->epoch);
	say_holder(out, s);
	say_number(out, "slot", s->slot);
	say_number(out, "dirty_bytes", s->dirty_bytes);
	say_number(out, "lag_ms", s->lag_ms);
	say_number(out, "files.bytes_read", s->bytes_read);
	say_number(out, "files.bytes_written", s->bytes_written);
	say_number(out, "inodes_cached", s->inodes_cached);
	say_bool(out, "read_only", s->read_only);
	say_bool(out, "fenced", s->fenced);
	say_text(out, "last_error", s->last_error);
	say_number(out, "commits.count", s->commits);
	say_number(out, "commits.took_us", s->commit_ns / 1000);
	say_requests(out, &s->requests);
	say_cache(out, &s->cache);
}

void report_status(struct daemon *d, struct buf *out)
{
	const struct daemon_request *r = daemon_request(d);
	struct daemon_view v;
	bool open = daemon_look(d, &v);

	say_text(out, "version", PACKAGE_VERSION);
	say_text(out, "url", r->url);
	say_text(out, "mountpoint", r->dir);
	say_text(out, "state", open ? "mounted" : "closing");
	if (*daemon_metrics_address(d))
		say_text(out, "metrics", daemon_metrics_address(d));
	say_number(out, "pid", (uint64_t)getpid());
	say_number(out, "since", (uint64_t)daemon_since_s(d));
	if (open) {
		say_filesystem(out, &v);
		say_text(out, "cache.dir", daemon_cache_dir(d));
		say_operations(out, daemon_trace(d));
	} else {
		say_number(out, "dirty_bytes", daemon_bytes_left(d));
	}
}

void report_stats(struct daemon *d, struct buf *out)
{
	struct buf all CLEANUP(buf_release) = BUF_INIT;
	const char *line;

	report_status(d, &all);
	for (line = buf_cstr(&all); *line; line = strchr(line, '\n') + 1)
		if (line[0] == 'n')
			buf_add(out, line + 2, (size_t)(strchr(line, '\n') + 1 - (line + 2)));
	if (buf_error(&all) < 0)
		out->failed = true;
}

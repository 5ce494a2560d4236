/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prometheus' text format. Names and units keep to its conventions: base units, _total for what only
 * grows. contrib/grafana shows them; tests/mount/metrics.py knows the grammar.
 */
#include "meter.h"
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config.h"

#define PREFIX "levels3fs_"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void integer(struct buf *out, const char *name, const char *type, const char *help,
		    uint64_t value)
{
	head(out, name, type, help);
	buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void decimal(struct buf *out, const char *name, const char *type, const char *help,
		    double value)
{
	head(out, name, type, help);
	buf_printf(out, "%s %.6f\n", name, value);
}

/* One of several with the same name. */
static void labelled(struct buf *out, const char *name, const char *label, const char *which,
		     uint64_t value)
{
	buf_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, which, (unsigned long long)value);
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* As the value of a label: the bytes of a mountpoint may be any. */
static void add_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			buf_u8(out, '\\');
		if (*text == '\n')
			buf_add_str(out, "\\n");
		else
			buf_u8(out, (uint8_t)*text);
	}
}

/* ---- the mount and its process ---- */

static void add_info(struct daemon *d, struct buf *out)
{
	const struct daemon_request *r = daemon_request(d);

	head(out, PREFIX "info", "gauge", "What is mounted where, as labels; always 1.");
	buf_add_str(out, PREFIX "info{version=\"" PACKAGE_VERSION "\",source=\"");
	/* What everybody can see in the mount table. */
	add_escaped(out, r->options->fsname ? r->options->fsname : r->url);
	buf_add_str(out, "\",mountpoint=\"");
	add_escaped(out, r->dir);
	buf_add_str(out, "\"} 1\n");
}

static uint64_t resident_bytes(void)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;
	unsigned long long pages = 0;

	if (file_read_all("/proc/self/statm", 4096, &text) >= 0)
		(void)sscanf(buf_cstr(&text), "%*u %llu", &pages);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_process(struct buf *out)
{
	struct rusage u = { 0 };

	(void)getrusage(RUSAGE_SELF, &u);
	decimal(out, "process_cpu_seconds_total", "counter",
		"Total user and system CPU time spent in seconds.",
		(double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	integer(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		resident_bytes());
}

/* ---- the filesystem ---- */

static void add_state(struct buf *out, const struct daemon_view *v)
{
	const struct fs_status *s = &v->fs;

	integer(out, PREFIX "read_only", "gauge", "1 if nothing is written to the store.",
		s->read_only);
	integer(out, PREFIX "fenced", "gauge",
		"1 if another mount has taken over, so that writing fails.", s->fenced);
	integer(out, PREFIX "epoch", "gauge", "How often the filesystem has changed hands.",
		s->epoch);
	decimal(out, PREFIX "unstored_age_seconds", "gauge",
		"Age of the oldest change that a crash now would lose; 0 if there is none.",
		(double)s->lag_ms / 1e3);
	integer(out, PREFIX "read_bytes_total", "counter",
		"Bytes of files that programs have read.", s->bytes_read);
	integer(out, PREFIX "written_bytes_total", "counter",
		"Bytes of files that programs have written.", s->bytes_written);
	integer(out, PREFIX "cached_inodes", "gauge", "Inodes held in memory.", s->inodes_cached);
	integer(out, PREFIX "used_bytes", "gauge",
		"Allocated by files, before compression: what df shows.", v->space.used_bytes);
	integer(out, PREFIX "used_inodes", "gauge", "Files, folders and others.",
		v->space.inodes_used);
	integer(out, PREFIX "discards_waiting", "gauge",
		"Objects that will be deleted when the grace is over.", s->discards_waiting);
}

static void add_commits(struct buf *out, const struct fs_status *s)
{
	const char *name = PREFIX "commit_duration_seconds";

	head(out, name, "summary", "How long commits took to be durable.");
	buf_printf(out, "%s_sum %.6f\n%s_count %llu\n", name, seconds(s->commit_ns), name,
		   (unsigned long long)s->commits);
}

static void add_cache(struct buf *out, const struct cache_stats *c)
{
	const char *name = PREFIX "cache_reads_total";

	head(out, name, "counter", "Pieces of objects that were read, by where they were found.");
	labelled(out, name, "from", "memory", c->hits_mem);
	labelled(out, name, "from", "disk", c->hits_disk);
	labelled(out, name, "from", "store", c->misses);
	name = PREFIX "cache_bytes";
	head(out, name, "gauge", "What the cache holds.");
	labelled(out, name, "where", "memory", c->bytes_mem);
	labelled(out, name, "where", "disk", c->bytes_disk);
	integer(out, PREFIX "cache_disk_limit_bytes", "gauge", "The most that it may take on disk.",
		c->limit_disk);
	integer(out, PREFIX "cache_fetched_bytes_total", "counter",
		"Fetched from the store for the cache.", c->bytes_fetched);
	integer(out, PREFIX "cache_evicted_objects_total", "counter",
		"Objects that had to make room.", c->evicted_objects);
	integer(out, PREFIX "cache_corrupt_pieces_total", "counter",
		"Pieces on disk that were damaged, and fetched again.", c->corrupt);
}

static void add_operations(struct buf *out, struct trace *t)
{
	const char *name = PREFIX "operations_total";
	uint64_t counts[TRACE_KIND_COUNT];

	trace_counts(t, counts);
	head(out, name, "counter", "Operations of programs that the kernel passed on.");
	for (size_t i = 0; i < TRACE_KIND_COUNT; i++)
		labelled(out, name, "operation", trace_kind_name((enum trace_kind)i), counts[i]);
}

/* ---- the store ---- */

static void add_counts(struct buf *out, const char *name, const char *help,
		       const uint64_t counts[STORE_OP_COUNT])
{
	head(out, name, "counter", help);
	for (size_t i = 0; i < STORE_OP_COUNT; i++)
		labelled(out, name, "request", store_op_name((enum store_op)i), counts[i]);
}

static void add_duration(struct buf *out, const char *name, const char *op,
			 const struct meter_kind *k)
{
	unsigned long long sum = 0;

	for (size_t i = 0; i < METER_BUCKETS; i++) {
		sum += k->within[i];
		buf_printf(out, "%s_bucket{request=\"%s\",le=\"%s\"} %llu\n", name, op,
			   meter_bound(i), sum);
	}
	sum += k->beyond;
	buf_printf(out, "%s_bucket{request=\"%s\",le=\"+Inf\"} %llu\n", name, op, sum);
	buf_printf(out, "%s_sum{request=\"%s\"} %.6f\n", name, op, seconds(k->took_ns));
	buf_printf(out, "%s_count{request=\"%s\"} %llu\n", name, op, sum);
}

static void add_durations(struct buf *out, const struct meter *m)
{
	const char *name = PREFIX "store_request_duration_seconds";
	struct meter_kind k;

	head(out, name, "histogram", "How long the store took to answer, retries on their own.");
	for (size_t i = 0; i < STORE_OP_COUNT; i++) {
		meter_read(m, (enum store_op)i, &k);
		add_duration(out, name, store_op_name((enum store_op)i), &k);
	}
}

static void add_store(struct buf *out, const struct store_counts *c)
{
	add_counts(out, PREFIX "store_requests_total",
		   "Requests to the object store, retries included.", c->requests);
	add_counts(out, PREFIX "store_request_failures_total",
		   "Those of them that failed. \"Not found\" and \"is there already\" are answers.",
		   c->failed);
	integer(out, PREFIX "store_requests_in_flight", "gauge", "Requests not answered yet.",
		c->in_flight);
	integer(out, PREFIX "store_received_bytes_total", "counter",
		"Bytes of objects received from the store.", c->bytes_in);
	integer(out, PREFIX "store_sent_bytes_total", "counter",
		"Bytes of objects sent to the store.", c->bytes_out);
}

void report_metrics(struct daemon *d, struct buf *out)
{
	struct daemon_view v;
	bool open = daemon_look(d, &v);

	add_info(d, out);
	integer(out, PREFIX "mounted", "gauge",
		"1 while programs can use it, 0 while it is being unmounted and stores the rest.",
		open);
	integer(out, PREFIX "start_time_seconds", "gauge", "When it was mounted, since 1970.",
		(uint64_t)daemon_since_s(d));
	integer(out, PREFIX "unstored_bytes", "gauge", "File data not stored yet.",
		open ? v.fs.dirty_bytes : daemon_bytes_left(d));
	if (open) {
		add_state(out, &v);
		add_commits(out, &v.fs);
		add_cache(out, &v.fs.cache);
		add_operations(out, daemon_trace(d));
		add_store(out, &v.fs.requests);
	}
	add_durations(out, daemon_meter(d));
	add_process(out);
}

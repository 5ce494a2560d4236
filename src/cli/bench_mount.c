/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench of a folder: what programs get through a mount, with a verdict for each figure.
 *
 * The references are of two kinds (doc/performance.md). What the mount itself decides is held against
 * fixed numbers. What the store decides is held against the requests that the mount sent meanwhile,
 * as its trace tells them; where there is no trace, it has no verdict.
 */
#include "cli/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000.0
#define SMALL_BYTES 4096
#define STEP_BYTES ((size_t)MIB)
#define PHASE_NS (30 * NS_PER_S)
#define SYNCS 100
#define READS 1000
#define QUIET_MS 300
#define NAME_BYTES 32

enum reference {
	RATE,	    /* so many a second */
	BANDWIDTH,  /* MiB a second */
	LATENCY,    /* ms, the median */
	OVER_PUT,   /* the median, in medians of the PUTs of commits */
	OVER_STREAM /* bandwidth, in that of one PUT of a segment after the other */
};

struct timing {
	uint64_t *took_ns; /* of each operation; room for `max` */
	uint64_t max, count, bytes, elapsed_ns;
};

struct folder { /* the temporary one */
	const struct cli_bench_mount *m;
	char path[PATH_MAX];
	int fd;
	uint8_t *bytes; /* STEP_BYTES, random */
	uint64_t files; /* were created */
	struct cli_progress progress;
};

struct phase {
	const char *name, *what;
	int (*run)(struct folder *f, struct timing *t);
	enum reference reference;
	double green, yellow; /* no worse than */
};

enum verdict { NONE, GREEN, YELLOW, RED };

struct sent { /* PUTs of a phase */
	uint64_t commit_ns[1024], commits;
	uint64_t segment_bytes, segment_ns;
};

static uint64_t now_ns(void)
{
	return clock_system.mono_ns(&clock_system);
}

/* ---- operations ---- */

static int failed(const char *what)
{
	return err_note(-errno, "%s: %s", what, strerror(errno));
}

static void name_of(uint64_t n, char out[NAME_BYTES])
{
	(void)snprintf(out, NAME_BYTES, "f%07llu", (unsigned long long)n);
}

/* Does one operation after the other until there are enough, or time is up. */
static int repeat(struct folder *f, struct timing *t, uint64_t count,
		  int (*op)(struct folder *f, uint64_t n, void *arg), void *arg)
{
	uint64_t start = now_ns(), before = start, after;
	int err = 0;

	for (t->count = 0; t->count < count && t->count < t->max && err >= 0;) {
		if (*f->m->interrupted)
			return err_note(-EINTR, "interrupted");
		err = op(f, t->count, arg);
		after = now_ns();
		t->took_ns[t->count++] = after - before;
		before = after;
		if (after - start > PHASE_NS)
			break;
	}
	t->elapsed_ns = now_ns() - start;
	return err;
}

static int create_one(struct folder *f, uint64_t n, void *arg)
{
	char name[NAME_BYTES];
	int fd;
	bool bad;

	name_of(n, name);
	fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed("creating a file");
	f->files = n + 1;
	bad = write(fd, f->bytes, SMALL_BYTES) != SMALL_BYTES;
	bad |= close(fd) < 0;
	return bad ? failed("writing a file") : 0;
}

static int run_create(struct folder *f, struct timing *t)
{
	return repeat(f, t, f->m->count, create_one, NULL);
}

static int stat_one(struct folder *f, uint64_t n, void *arg)
{
	char name[NAME_BYTES];
	struct stat st;

	name_of(n % max_u64(f->files, 1), name);
	return fstatat(f->fd, name, &st, 0) < 0 ? failed("stat") : 0;
}

static int run_stat(struct folder *f, struct timing *t)
{
	return repeat(f, t, f->files, stat_one, NULL);
}

static int unlink_one(struct folder *f, uint64_t n, void *arg)
{
	char name[NAME_BYTES];

	name_of(n, name);
	return unlinkat(f->fd, name, 0) < 0 ? failed("removing a file") : 0;
}

static int run_unlink(struct folder *f, struct timing *t)
{
	return repeat(f, t, f->files, unlink_one, NULL);
}

static int write_step(struct folder *f, uint64_t n, void *arg)
{
	memcpy(f->bytes, &n, sizeof(n)); /* no two the same */
	if (pwrite(*(int *)arg, f->bytes, STEP_BYTES, (off_t)(n * STEP_BYTES)) !=
	    (ssize_t)STEP_BYTES)
		return failed("writing");
	return 0;
}

static int run_write(struct folder *f, struct timing *t)
{
	int fd CLEANUP(close_fd) =
		openat(f->fd, "large", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t start = now_ns();
	int err = fd < 0 ? failed("creating a file") : 0;

	if (err >= 0)
		err = repeat(f, t, f->m->size_bytes / STEP_BYTES, write_step, &fd);
	if (err >= 0 && fsync(fd) < 0)
		err = failed("fsync");
	t->elapsed_ns = now_ns() - start;
	t->bytes = t->count * STEP_BYTES;
	return err;
}

/* Without what the kernel keeps of it. */
static int open_large(struct folder *f, uint64_t *ret_bytes)
{
	int fd = openat(f->fd, "large", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		close_fd(&fd);
		return failed("opening what was written");
	}
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	*ret_bytes = (uint64_t)st.st_size;
	return fd;
}

static int read_step(struct folder *f, uint64_t n, void *arg)
{
	if (pread(*(int *)arg, f->bytes, STEP_BYTES, (off_t)(n * STEP_BYTES)) !=
	    (ssize_t)STEP_BYTES)
		return failed("reading");
	return 0;
}

static int run_read(struct folder *f, struct timing *t)
{
	uint64_t bytes = 0;
	int fd CLEANUP(close_fd) = open_large(f, &bytes);
	int err = fd < 0 ? fd : repeat(f, t, bytes / STEP_BYTES, read_step, &fd);

	t->bytes = t->count * STEP_BYTES;
	return err;
}

struct random_read {
	int fd;
	uint64_t bytes;
};

static int read_somewhere(struct folder *f, uint64_t n, void *arg)
{
	const struct random_read *r = arg;
	uint64_t block = random_u64() % (r->bytes / SMALL_BYTES);

	if (pread(r->fd, f->bytes, SMALL_BYTES, (off_t)(block * SMALL_BYTES)) != SMALL_BYTES)
		return failed("reading");
	return 0;
}

static int run_random(struct folder *f, struct timing *t)
{
	struct random_read r = { .bytes = 0 };
	int err;

	r.fd = open_large(f, &r.bytes);
	if (r.fd < 0)
		return r.fd;
	(void)posix_fadvise(r.fd, 0, 0, POSIX_FADV_RANDOM);
	err = repeat(f, t, READS, read_somewhere, &r);
	close_fd(&r.fd);
	return err;
}

static int sync_one(struct folder *f, uint64_t n, void *arg)
{
	int fd = *(int *)arg;

	memcpy(f->bytes, &n, sizeof(n));
	if (pwrite(fd, f->bytes, SMALL_BYTES, (off_t)(n * SMALL_BYTES)) != SMALL_BYTES)
		return failed("writing");
	return fsync(fd) < 0 ? failed("fsync") : 0;
}

static int run_sync(struct folder *f, struct timing *t)
{
	int fd CLEANUP(close_fd) =
		openat(f->fd, "synced", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? failed("creating a file") : repeat(f, t, SYNCS, sync_one, &fd);
}

/* What is green is what a mount on one or two slow cores reaches with a store nearby; doc/performance.md has the same
 * numbers. */
static const struct phase phases[] = {
	{ "create", "files of 4 KiB created", run_create, RATE, 1000, 200 },
	{ "stat", "of them looked at", run_stat, RATE, 5000, 1000 },
	{ "fsync", "4 KiB written and fsynced", run_sync, OVER_PUT, 2, 4 },
	{ "write", "one large file written, fsync", run_write, OVER_STREAM, 0.8, 0.4 },
	{ "read", "and read again", run_read, BANDWIDTH, 200, 50 },
	{ "random_read", "4 KiB anywhere in it", run_random, LATENCY, 1, 5 },
	{ "unlink", "small files removed", run_unlink, RATE, 1000, 200 },
};

/* ---- verdicts ---- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Of sorted ones. */
static double percentile_ms(const uint64_t *ns, uint64_t count, unsigned percent)
{
	return count ? (double)ns[(count - 1) * percent / 100] / NS_PER_MS : 0;
}

static double seconds(const struct timing *t)
{
	return (double)max_u64(t->elapsed_ns, 1) / NS_PER_S;
}

static double mib_per_s(const struct timing *t)
{
	return (double)t->bytes / MIB / seconds(t);
}

static void take_sent(struct sent *s, const char *line)
{
	uint64_t bytes, took;
	char op[32], key[64];
	int result;

	if (sscanf(line, "r %*s %31s %" SCNu64 " %" SCNu64 " %d %*u %63s", op, &bytes, &took,
		   &result, key) != 5 ||
	    strcmp(op, "put") != 0 || result != 0)
		return;
	if (strncmp(key, "chain/", 6) == 0 && s->commits < ARRAY_LEN(s->commit_ns)) {
		s->commit_ns[s->commits++] = took;
	} else if (strncmp(key, "data/", 5) == 0) {
		s->segment_bytes += bytes;
		s->segment_ns += took;
	}
}

/* What was sent since the last call. */
static void drain(struct ctl_reader *trace, struct sent *ret)
{
	char line[CTL_LINE_MAX];

	*ret = (struct sent){ .commits = 0 };
	while (trace->fd >= 0 && ctl_read(trace, line, QUIET_MS) > 0)
		take_sent(ret, line);
	qsort(ret->commit_ns, ret->commits, sizeof(ret->commit_ns[0]), by_size);
}

/* In units of the reference; negative: there is none. */
static double measure(const struct phase *p, const struct timing *t, const struct sent *s,
		      char *words, size_t size)
{
	double base;

	switch (p->reference) {
	case RATE:
		(void)snprintf(words, size, "green from %.0f/s", p->green);
		return (double)t->count / seconds(t);
	case BANDWIDTH:
		(void)snprintf(words, size, "green from %.0f MiB/s", p->green);
		return mib_per_s(t);
	case LATENCY:
		(void)snprintf(words, size, "green up to %.0f ms", p->green);
		return percentile_ms(t->took_ns, t->count, 50);
	case OVER_PUT:
		base = percentile_ms(s->commit_ns, s->commits, 50);
		if (base <= 0)
			break;
		(void)snprintf(words, size, "a PUT takes %.2f ms; green up to %.0f times that",
			       base, p->green);
		return percentile_ms(t->took_ns, t->count, 50) / base;
	case OVER_STREAM:
		if (s->segment_ns == 0)
			break;
		base = (double)s->segment_bytes / MIB / ((double)s->segment_ns / NS_PER_S);
		(void)snprintf(words, size, "one PUT moves %.0f MiB/s; green from %.1f times that",
			       base, p->green);
		return mib_per_s(t) / base;
	}
	(void)snprintf(words, size, "no levels3fs there: no verdict");
	return -1;
}

static enum verdict judge(const struct phase *p, double value)
{
	bool less_is_better = p->reference == LATENCY || p->reference == OVER_PUT;

	if (value < 0)
		return NONE;
	if (less_is_better ? value <= p->green : value >= p->green)
		return GREEN;
	return (less_is_better ? value <= p->yellow : value >= p->yellow) ? YELLOW : RED;
}

/* ---- showing ---- */

static void print_phase(const struct cli_bench_mount *m, const struct phase *p,
			const struct timing *t, enum verdict v, const char *words, bool first)
{
	static const char *const names[] = { "", "green", "yellow", "red" };
	static const char *const colours[] = { "", "\033[32m", "\033[33m", "\033[31m" };
	double p50 = percentile_ms(t->took_ns, t->count, 50);
	double p99 = percentile_ms(t->took_ns, t->count, 99);
	char value[32];

	if (m->json) {
		(void)printf("%s\n  \"%s\": { \"count\": %llu, \"bytes\": %llu, \"seconds\": %.6f, "
			     "\"per_s\": %.1f, \"mib_per_s\": %.2f, \"p50_ms\": %.4f, \"p99_ms\": "
			     "%.4f, \"verdict\": %s%s%s, \"reference\": \"%s\" }",
			     first ? "{" : ",", p->name, (unsigned long long)t->count,
			     (unsigned long long)t->bytes, seconds(t),
			     (double)t->count / seconds(t), mib_per_s(t), p50, p99, v ? "\"" : "",
			     v ? names[v] : "null", v ? "\"" : "", words);
		return;
	}
	if (t->bytes)
		(void)snprintf(value, sizeof(value), "%.1f MiB/s", mib_per_s(t));
	else
		(void)snprintf(value, sizeof(value), "%.1f/s", (double)t->count / seconds(t));
	if (first)
		(void)printf("%-32s %12s %9s %9s  verdict\n", "", "", "p50 ms", "p99 ms");
	(void)printf("%-32s %12s %9.3f %9.3f  %s%s%s\n", p->what, value, p50, p99,
		     m->colour ? colours[v] : "", names[v], m->colour && v ? "\033[0m" : "");
	(void)printf("    %s\n", words);
	(void)fflush(stdout);
}

/* ---- the whole ---- */

static int run_phase(struct folder *f, const struct phase *p, struct ctl_reader *trace, bool first)
{
	struct timing t = { .max = max_u64(max_u64(f->m->count, f->m->size_bytes / STEP_BYTES),
					   max_u64(SYNCS, READS)) };
	struct sent *sent CLEANUP(free_ptr) = malloc(sizeof(*sent));
	char words[128];
	int err = -ENOMEM;

	t.took_ns = calloc(t.max, sizeof(*t.took_ns));
	if (t.took_ns && sent) {
		cli_progress(&f->progress, "%s", p->what);
		drain(trace, sent);
		err = p->run(f, &t);
	}
	if (err >= 0) {
		drain(trace, sent);
		qsort(t.took_ns, t.count, sizeof(t.took_ns[0]), by_size);
		cli_progress_clear(&f->progress);
		print_phase(f->m, p, &t, judge(p, measure(p, &t, sent, words, sizeof(words))),
			    words, first);
	}
	free(t.took_ns);
	return err;
}

static int check_room(const struct cli_bench_mount *m)
{
	char size[SIZE_STR_LEN], room[SIZE_STR_LEN];
	struct statvfs v;

	if (statvfs(m->dir, &v) < 0)
		return err_note(-errno, "%s", strerror(errno));
	if ((uint64_t)v.f_bavail * v.f_frsize / 2 < m->size_bytes)
		return err_note(-ENOSPC, "%s for --size, but only %s free",
				format_size(m->size_bytes, size),
				format_size((uint64_t)v.f_bavail * v.f_frsize, room));
	return 0;
}

static int make_folder(struct folder *f)
{
	int err = check_room(f->m);

	if (err < 0)
		return err;
	f->bytes = malloc(STEP_BYTES);
	if (!f->bytes)
		return -ENOMEM;
	random_bytes(f->bytes, STEP_BYTES);
	if (snprintf(f->path, sizeof(f->path), "%s/bench-XXXXXX", f->m->dir) >=
	    (int)sizeof(f->path))
		return -ENAMETOOLONG;
	if (!mkdtemp(f->path)) {
		f->path[0] = '\0';
		return failed("making a folder");
	}
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->fd < 0 ? failed("opening a folder") : 0;
}

/* Whatever of ours is left. */
static int remove_folder(struct folder *f)
{
	char name[NAME_BYTES];

	for (uint64_t n = 0; n < f->files && f->fd >= 0; n++) {
		name_of(n, name);
		(void)unlinkat(f->fd, name, 0);
	}
	if (f->fd >= 0) {
		(void)unlinkat(f->fd, "large", 0);
		(void)unlinkat(f->fd, "synced", 0);
	}
	close_fd(&f->fd);
	free(f->bytes);
	if (f->path[0] && rmdir(f->path) < 0)
		return err_note(-errno, "%s is left: %s", f->path, strerror(errno));
	return 0;
}

int cli_bench_mount_run(const struct cli_bench_mount *m)
{
	struct folder f = { .m = m, .fd = -1 };
	struct ctl_reader trace = { .fd = -1 };
	int err = make_folder(&f), removed, code = 0;

	if (err >= 0)
		(void)cli_ask_begin(m->dir, "trace", &trace.fd);
	for (size_t i = 0; i < ARRAY_LEN(phases) && err >= 0; i++)
		err = run_phase(&f, &phases[i], &trace, i == 0);
	cli_progress_clear(&f.progress);
	if (m->json && err >= 0)
		(void)printf("\n}\n");
	close_fd(&trace.fd);
	if (err == -EINTR)
		code = 130;
	else if (err < 0)
		code = cli_say(EXIT_FAILED, "%s: %s", m->dir, err_last_note());
	removed = remove_folder(&f);
	return removed < 0 ? cli_say(EXIT_FAILED, "%s", err_last_note()) : code;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* bench: how fast the object store answers through our own client: the limit for any filesystem on
 * it. Of a folder: bench_mount.c. */
#include "cli/internal.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000.0
#define SMALL_BYTES 4096
#define KEY_BYTES 64
#define THREADS_MAX 1024
#define COUNT_MAX 1000000
#define LARGE_MAX (1024 * MIB)
#define TOTAL_MAX (1024 * GIB)

enum kind { KIND_PUT, KIND_GET, KIND_RANGE };

struct phase {
	const char *name;
	const char *what;
	enum kind kind;
	char series;   /* of keys: a PUT makes them, the GETs after it read them */
	bool large;    /* objects of large_bytes, else of SMALL_BYTES */
	bool parallel; /* by all threads, else by one */
};

/* Commits are create-only PUTs of a few KiB; segments are large ones; a cold random read is a
 * range. */
static const struct phase phases[] = {
	{ "put_small", "4 KiB PUT", KIND_PUT, 's', false, false },
	{ "get_small", "4 KiB GET", KIND_GET, 's', false, false },
	{ "put_small_parallel", "4 KiB PUT, parallel", KIND_PUT, 'p', false, true },
	{ "get_small_parallel", "4 KiB GET, parallel", KIND_GET, 'p', false, true },
	{ "put_large", "large PUT", KIND_PUT, 'l', true, false },
	{ "get_large", "large GET", KIND_GET, 'l', true, false },
	{ "put_large_parallel", "large PUT, parallel", KIND_PUT, 'b', true, true },
	{ "get_large_parallel", "large GET, parallel", KIND_GET, 'b', true, true },
	{ "get_range", "4 KiB range of a large object", KIND_RANGE, 'b', true, false },
};

struct settings {
	struct cli_url url; /* first: take_own goes from it to the rest */
	uint64_t large_bytes, total_bytes, count, threads; /* 0: not given */
	bool json;
};

struct run { /* one phase */
	const struct phase *phase;
	struct store *store;
	const char *prefix;
	const uint8_t *bytes;
	uint64_t object_bytes, objects, count, threads;
	uint64_t next;	   /* atomic: the number of the next request */
	uint64_t *took_ns; /* by number of request */
	pthread_mutex_t lock;
	int err; /* the first */
	char note[512];
	uint64_t elapsed_ns;
};

static volatile sig_atomic_t interrupted;

void cli_bench_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs bench URL [-o OPTION[,OPTION]…] [--count N] [--size SIZE] "
		"[--total SIZE]\n"
		"                       [--threads N] [--json]\n"
		"       levels3fs bench DIR [--count N] [--size SIZE] [--json]\n\n"
		"Measures the object store itself, through the client that mounts use: the time of "
		"small requests,\n"
		"and the bandwidth of large ones. It makes objects under a prefix of its own, "
		"URL/bench/…, and removes\n"
		"them; whatever else is in URL is neither read nor changed. At most twice --total "
		"is stored at a time.\n\n"
		"Of a folder it measures what programs get through the mount that it is in: small "
		"files made, looked at and\n"
		"removed, a large one written and read, small writes with fsync, random reads. "
		"Verdicts are green, yellow, red;\n"
		"doc/performance.md says against what. Each measurement ends after 30 seconds. It "
		"works in a folder of its own\n"
		"in DIR, and removes it.\n\n"
		"  --count N              small requests of each kind (200); small files (1000)\n"
		"  --size SIZE            of a large object (16M); of the large file (256M)\n"
		"  --total SIZE           moved by each measurement of bandwidth (512M)\n"
		"  --threads N            of parallel requests (16)\n"
		"  --json                 one JSON object\n"
		"  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		"Exit status: 0; 1 something failed; 130 interrupted. The objects are removed "
		"either way.\n",
		out);
}

/* ---- one request ---- */

static void key_of(const struct run *r, uint64_t number, char out[KEY_BYTES])
{
	(void)snprintf(out, KEY_BYTES, "%s%c%06llu", r->prefix, r->phase->series,
		       (unsigned long long)number);
}

static int get(const struct run *r, const char *key, uint64_t offset, uint64_t len, struct buf *in)
{
	int err;

	buf_reset(in);
	err = store_get(r->store, key, offset, len, in, NULL);
	if (err < 0)
		return err;
	return in->len == len ? 0
			      : err_note(-L3_CORRUPT, "%s: %zu bytes came, %llu were asked for",
					 key, in->len, (unsigned long long)len);
}

static int request(const struct run *r, uint64_t number, struct buf *in)
{
	char key[KEY_BYTES];
	uint64_t offset = 0;

	key_of(r, number % r->objects, key);
	switch (r->phase->kind) {
	case KIND_PUT:
		return store_put_bytes(r->store, key, r->bytes, r->object_bytes, STORE_CREATE, NULL,
				       NULL);
	case KIND_GET:
		return get(r, key, 0, r->object_bytes, in);
	case KIND_RANGE:
		if (r->object_bytes > SMALL_BYTES)
			offset = random_u64() % (r->object_bytes - SMALL_BYTES);
		return get(r, key, offset, SMALL_BYTES, in);
	}
	return -EINVAL;
}

/* ---- one phase ---- */

static void keep_error(struct run *r, int err)
{
	pthread_mutex_lock(&r->lock);
	if (!r->err) {
		(void)snprintf(r->note, sizeof(r->note), "%s", err_last_note());
		__atomic_store_n(&r->err, err, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&r->lock);
}

static void work(void *arg)
{
	struct run *r = arg;
	struct buf in CLEANUP(buf_release) = BUF_INIT;

	while (!interrupted && !__atomic_load_n(&r->err, __ATOMIC_RELAXED)) {
		uint64_t number = __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED);
		uint64_t start = clock_system.mono_ns(&clock_system);
		int err;

		if (number >= r->count)
			return;
		err = request(r, number, &in);
		r->took_ns[number] = clock_system.mono_ns(&clock_system) - start;
		if (err < 0)
			keep_error(r, err);
	}
}

static int run_threads(struct run *r)
{
	struct pool *pool;
	uint64_t start;
	int err = pool_new("bench", (unsigned)r->threads, &pool);

	if (err < 0)
		return err;
	start = clock_system.mono_ns(&clock_system);
	for (uint64_t i = 0; i < r->threads && err >= 0; i++)
		err = pool_submit(pool, work, r);
	pool_free(pool);
	r->elapsed_ns = clock_system.mono_ns(&clock_system) - start;
	if (err >= 0 && r->err)
		return err_note(r->err, "%s", r->note);
	return err;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double percentile_ms(const struct run *r, unsigned percent)
{
	return (double)r->took_ns[(r->count - 1) * percent / 100] / NS_PER_MS;
}

/* On 80 columns. */
#define HEADER "                              threads       /s    MiB/s  p50 ms  p90 ms  p99 ms\n"

static void print_run(const struct run *r, bool json, bool first)
{
	double seconds = (double)r->elapsed_ns / NS_PER_S;
	uint64_t moved = r->count * (r->phase->kind == KIND_RANGE ? SMALL_BYTES : r->object_bytes);
	double rate = (double)r->count / seconds, mib = (double)moved / MIB / seconds;

	if (json)
		(void)printf("%s\n  \"%s\": { \"threads\": %llu, \"count\": %llu, \"bytes\": %llu, "
			     "\"seconds\": %.6f, \"per_s\": %.1f, \"mib_per_s\": %.2f, "
			     "\"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, "
			     "\"max_ms\": %.3f }",
			     first ? "{" : ",", r->phase->name, (unsigned long long)r->threads,
			     (unsigned long long)r->count, (unsigned long long)moved, seconds, rate,
			     mib, percentile_ms(r, 50), percentile_ms(r, 90), percentile_ms(r, 99),
			     percentile_ms(r, 100));
	else
		(void)printf("%s%-29s %7llu %8.1f %8.1f %7.2f %7.2f %7.2f\n", first ? HEADER : "",
			     r->phase->what, (unsigned long long)r->threads, rate, mib,
			     percentile_ms(r, 50), percentile_ms(r, 90), percentile_ms(r, 99));
	(void)fflush(stdout);
}

static void init_run(struct run *r, const struct settings *s, const struct phase *p)
{
	uint64_t large = max_u64(s->total_bytes / s->large_bytes, 1);

	*r = (struct run){ .phase = p,
			   .object_bytes = p->large ? s->large_bytes : SMALL_BYTES,
			   .objects = p->large ? large : s->count,
			   .threads = p->parallel ? s->threads : 1 };
	r->count = p->kind == KIND_RANGE ? s->count : r->objects;
	/* A small request alone takes milliseconds; sixteen at a time need more to be measured. */
	if (p->parallel && !p->large)
		r->count = r->objects = s->count * 4;
	/* One stream is slower and needs less. */
	if (!p->parallel && p->large && p->kind != KIND_RANGE)
		r->count = r->objects = max_u64(large / 4, 1);
	r->threads = min_u64(r->threads, r->count);
}

static int run_phase(struct run *r, bool json, bool first)
{
	int err;

	r->took_ns = calloc(r->count, sizeof(*r->took_ns));
	if (!r->took_ns)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	err = run_threads(r);
	if (err >= 0 && !interrupted) {
		qsort(r->took_ns, r->count, sizeof(*r->took_ns), by_size);
		print_run(r, json, first);
	}
	pthread_mutex_destroy(&r->lock);
	free(r->took_ns);
	return err;
}

static int run_all(const struct settings *s, struct store *store, const char *prefix)
{
	uint64_t len = max_u64(s->large_bytes, SMALL_BYTES);
	uint8_t *bytes CLEANUP(free_ptr) = malloc(len);
	int err = 0;

	if (!bytes)
		return -ENOMEM;
	random_bytes(bytes, len);
	for (size_t i = 0; i < ARRAY_LEN(phases) && err >= 0 && !interrupted; i++) {
		struct run r;

		init_run(&r, s, &phases[i]);
		r.store = store;
		r.prefix = prefix;
		r.bytes = bytes;
		err = run_phase(&r, s->json, i == 0);
	}
	if (s->json && err >= 0 && !interrupted)
		(void)printf("\n}\n");
	return err;
}

/* ---- before and after ---- */

static int remove_ours(struct store *store, const char *prefix)
{
	struct store_list list CLEANUP(store_list_release) = STORE_LIST_INIT;
	int err = store_list_all(store, prefix, "", &list);
	const char **keys CLEANUP(free_ptr) = NULL;

	if (err < 0 || list.count == 0)
		return err;
	keys = malloc(list.count * sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < list.count; i++)
		keys[i] = list.entries[i].key;
	return store_remove_many(store, keys, list.count);
}

static void on_signal(int sig)
{
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
}

static int measure(struct settings *s)
{
	struct store_config *config = &s->url.config.store;
	struct store *store = NULL;
	char prefix[KEY_BYTES / 2], what[600];
	int err, removed, code = 0;

	config->connections = (unsigned)max_u64(config->connections, s->threads);
	err = store_open(s->url.url, config, &store);
	if (err < 0) {
		(void)snprintf(what, sizeof(what), "%.500s cannot be measured", s->url.url);
		return cli_say_error(EXIT_FAILED, err, what);
	}
	(void)snprintf(prefix, sizeof(prefix), "bench/%016llx/", (unsigned long long)random_u64());
	catch_signals();
	err = run_all(s, store, prefix);
	if (err < 0)
		code = cli_say_error(EXIT_FAILED, err, "the measurement ended early");
	else if (interrupted)
		code = 128 + SIGINT;
	removed = remove_ours(store, prefix);
	if (removed < 0) {
		(void)snprintf(what, sizeof(what), "objects were left under %.500s/%s", s->url.url,
			       prefix);
		code = cli_say_error(EXIT_FAILED, removed, what);
	}
	store_unref(store);
	return code;
}

/* ---- the verb ---- */

static int number(const char *name, const char *text, bool size, uint64_t max, uint64_t *ret)
{
	int err = size ? parse_size(text, ret) : parse_u64(text, ret);

	if (err < 0 || *ret == 0 || *ret > max)
		return cli_say(EXIT_FAILED, "--%s %s: a number from 1 to %llu%s", name, text,
			       (unsigned long long)max, size ? " bytes" : "");
	return 0;
}

static int take_own(struct cli_url *u, int opt, const char *argument)
{
	struct settings *s = (struct settings *)u;

	switch (opt) {
	case 'n':
		return number("count", argument, false, COUNT_MAX, &s->count);
	case 's':
		return number("size", argument, true, TOTAL_MAX, &s->large_bytes);
	case 't':
		return number("total", argument, true, TOTAL_MAX, &s->total_bytes);
	case 'p':
		return number("threads", argument, false, THREADS_MAX, &s->threads);
	default:
		s->json = true;
		return 0;
	}
}

static const struct option longs[] = {
	{ "options", required_argument, NULL, 'o' }, { "count", required_argument, NULL, 'n' },
	{ "size", required_argument, NULL, 's' },    { "total", required_argument, NULL, 't' },
	{ "threads", required_argument, NULL, 'p' }, { "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },	     { NULL, 0, NULL, 0 },
};

const struct cli_options cli_bench_options = { "o:h", longs };

static int parse(struct settings *s, int argc, char **argv)
{
	int code = cli_url_parse(&s->url, argc, argv, &cli_bench_options);

	if (code || s->url.help)
		return code;
	if (s->url.rest_count > 0)
		return cli_say(EXIT_FAILED, "bench takes one URL or folder, not \"%s\" as well",
			       s->url.rest[0]);
	if (s->url.dir && (s->total_bytes || s->threads))
		return cli_say(EXIT_FAILED, "--total and --threads are for the bench of a URL");
	if (!s->url.dir && s->large_bytes > LARGE_MAX)
		return cli_say(EXIT_FAILED, "--size: an object has %u MiB at most",
			       (unsigned)(LARGE_MAX / MIB));
	return 0;
}

static uint64_t or_else(uint64_t value, uint64_t fallback)
{
	return value ? value : fallback;
}

static int measure_mount(const struct settings *s)
{
	struct cli_bench_mount m = { .dir = s->url.dir,
				     .count = or_else(s->count, 1000),
				     .size_bytes = or_else(s->large_bytes, 256 * MIB),
				     .json = s->json,
				     .colour = !s->json && cli_wants_colour(),
				     .interrupted = &interrupted };

	if (m.size_bytes < MIB)
		return cli_say(EXIT_FAILED, "--size: a MiB at least");
	catch_signals();
	return cli_bench_mount_run(&m);
}

static int measure_store(struct settings *s)
{
	s->large_bytes = or_else(s->large_bytes, 16 * MIB);
	s->total_bytes = or_else(s->total_bytes, 512 * MIB);
	s->count = or_else(s->count, 200);
	s->threads = or_else(s->threads, 16);
	return measure(s);
}

int cli_bench(int argc, char **argv)
{
	struct settings s = { .json = false };
	int code;

	cli_url_init(&s.url, EXIT_FAILED);
	s.url.take_own = take_own;
	s.url.takes_dir = true;
	code = parse(&s, argc, argv);
	if (code == 0 && s.url.help)
		cli_show_help(cli_bench_help);
	else if (code == 0)
		code = s.url.dir ? measure_mount(&s) : measure_store(&s);
	cli_url_release(&s.url);
	return code;
}

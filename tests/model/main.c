/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fsmodel: random steps on our filesystem and on a native one side by side; every difference is a
 * failure, and is shrunk to a short list of steps.
 *
 *	fsmodel --ours DIR --native DIR [--seed N] [--steps N] [--episode N] [--check N]
 *		[--remount COMMAND] [--remount-every N] [--save FILE] [--shrink SECONDS] [--stats] [--verbose]
 *	fsmodel --ours DIR --native DIR --replay FILE [--remount COMMAND] [--shrink 0]
 *	fsmodel		tests itself: two native folders, a planted difference
 *
 * Steps come in episodes, each on fresh folders with the next seed, so that any failure can be had
 * again by the seed of its episode. Needs root: it becomes other users, and makes devices.
 * Ends with 0 if nothing differs, 1 if something does, 2 on wrong use.
 */
#include "model/run.h"
#include "model/selftest.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct settings {
	struct run_config run;
	struct features features;
	uint64_t seed, steps, episode, check_every, remount_every;
	const char *replay, *save;
	unsigned shrink_s;
};

/* ---- reporting ---- */

#define PRINTED_MAX 300

static void print_list(FILE *out, const struct op *ops, size_t count, size_t max)
{
	size_t first = count > max ? count - max : 0;

	if (first)
		(void)fprintf(out, "… %zu more, which --save FILE keeps\n", first);
	for (size_t n = first; n < count; n++)
		op_print(out, &ops[n]);
}

static void save(const struct settings *s, const struct op *ops, size_t count)
{
	FILE *f = s->save ? fopen(s->save, "we") : NULL;

	if (!f)
		return;
	print_list(f, ops, count, count);
	(void)fclose(f);
}

static void explain(const struct settings *s, struct op *ops, size_t count, struct verdict *v)
{
	printf("%s: %s\n", v->what, v->detail);
	if (s->shrink_s > 0 && count > 0)
		shrink(&s->run, ops, &count, v, s->shrink_s);
	printf("the shortest list found (replay it with --replay FILE), of %zu steps:\n", count);
	print_list(stdout, ops, count, PRINTED_MAX);
	printf("%s: %s\n", v->what, v->detail);
	(void)fflush(stdout);
	save(s, ops, count);
}

/* ---- random steps ---- */

struct making {
	const struct settings *settings;
	struct gen *gen;
	size_t count;
};

static void make_step(void *ctx, size_t at, struct op *ret)
{
	const struct making *m = ctx;
	const struct settings *s = m->settings;

	if (s->remount_every && at % s->remount_every == s->remount_every - 1) {
		*ret = (struct op){ .kind = OP_REMOUNT, .flags = gen_below(m->gen, REMOUNTS) };
		gen_closed(m->gen);
	} else if (at == m->count - 1 || at % s->check_every == s->check_every - 1) {
		*ret = (struct op){ .kind = OP_CHECK };
	} else {
		gen_next(m->gen, ret);
	}
}

static void tell_step(void *ctx, const struct op *op, const struct result *res)
{
	const struct making *m = ctx;

	gen_told(m->gen, op, res);
}

static bool run_episode(const struct settings *s, uint64_t seed, struct op *ops, size_t count)
{
	struct making m = { s, gen_new(seed, &s->features), count };
	const struct run_source source = { make_step, tell_step, &m };
	struct verdict v;
	long at;

	if (!m.gen)
		return false;
	at = run_steps(&s->run, &source, ops, count, &v);
	gen_free(m.gen);
	if (at < 0)
		return true;
	printf("seed %" PRIu64 ", step %ld of %zu: ", seed, at, count);
	explain(s, ops, (size_t)at < count ? (size_t)at + 1 : count, &v);
	return false;
}

#define PROGRESS_STEPS 100000

static void tell_progress(const struct settings *s, uint64_t done, time_t start)
{
	printf("%" PRIu64 " of %" PRIu64 " steps in %ld s\n", done, s->steps,
	       (long)(time(NULL) - start));
	(void)fflush(stdout);
}

static int run_random(const struct settings *s)
{
	struct op *ops = calloc(s->episode, sizeof(*ops));
	uint64_t done = 0, seed = s->seed;
	time_t start = time(NULL);
	bool ok = ops != NULL;

	while (ok && done < s->steps) {
		uint64_t count = s->steps - done < s->episode ? s->steps - done : s->episode;

		ok = run_episode(s, seed++, ops, count);
		done += count;
		if (ok && done % PROGRESS_STEPS < count)
			tell_progress(s, done, start);
	}
	free(ops);
	if (!ok)
		return 1;
	printf("%" PRIu64 " steps from seed %" PRIu64 " in %ld s: nothing differs\n", done, s->seed,
	       (long)(time(NULL) - start));
	return 0;
}

/* ---- a given list ---- */

static struct op *load(const char *path, size_t *ret_count)
{
	FILE *f = fopen(path, "re");
	char line[OP_LINE_MAX];
	struct op *ops = NULL;
	size_t count = 0;
	bool ok = f != NULL;

	while (ok && fgets(line, sizeof(line), f)) {
		struct op *more;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		more = realloc(ops, (count + 1) * sizeof(*ops));
		ops = more ? more : ops;
		ok = more && op_parse(line, &ops[count++]);
	}
	if (!f)
		perror(path);
	else
		(void)fclose(f);
	if (!ok) {
		free(ops);
		return NULL;
	}
	*ret_count = count;
	return ops;
}

static int run_replay(const struct settings *s)
{
	size_t count = 0;
	struct op *ops = load(s->replay, &count);
	struct verdict v;
	long at;

	if (!ops)
		return 2;
	at = run_steps(&s->run, NULL, ops, count, &v);
	if (at < 0)
		printf("%zu steps of %s: nothing differs\n", count, s->replay);
	else
		explain(s, ops, (size_t)at < count ? (size_t)at + 1 : count, &v);
	free(ops);
	return at < 0 ? 0 : 1;
}

/* ---- the command line ---- */

static const struct option options[] = { { "ours", required_argument, NULL, 'o' },
					 { "native", required_argument, NULL, 'n' },
					 { "seed", required_argument, NULL, 's' },
					 { "steps", required_argument, NULL, 'c' },
					 { "episode", required_argument, NULL, 'e' },
					 { "check", required_argument, NULL, 'k' },
					 { "remount", required_argument, NULL, 'r' },
					 { "remount-every", required_argument, NULL, 'R' },
					 { "replay", required_argument, NULL, 'p' },
					 { "save", required_argument, NULL, 'w' },
					 { "shrink", required_argument, NULL, 'S' },
					 { "verbose", no_argument, NULL, 'v' },
					 { "stats", no_argument, NULL, 't' },
					 { NULL, 0, NULL, 0 } };

static struct run_stats stats;

static void print_stats(const struct settings *s)
{
	for (unsigned k = 0; s->run.stats && k < OP_KINDS; k++)
		printf("%-12s %8" PRIu64 " done %8" PRIu64 " refused\n", op_name(k), stats.done[k],
		       stats.refused[k]);
}

static bool parse_options(int argc, char **argv, struct settings *s)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'o':
			s->run.ours = optarg;
			break;
		case 'n':
			s->run.native = optarg;
			break;
		case 's':
			s->seed = strtoull(optarg, NULL, 10);
			break;
		case 'c':
			s->steps = strtoull(optarg, NULL, 10);
			break;
		case 'e':
			s->episode = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			s->check_every = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			s->run.remount = optarg;
			break;
		case 'R':
			s->remount_every = strtoull(optarg, NULL, 10);
			break;
		case 'p':
			s->replay = optarg;
			break;
		case 'w':
			s->save = optarg;
			break;
		case 'S':
			s->shrink_s = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			s->run.stats = &stats;
			break;
		case 'v':
			s->run.verbose = true;
			break;
		default:
			return false;
		}
	return optind == argc && s->run.ours && s->run.native && s->episode > 0 &&
	       s->check_every > 0;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.seed = 1, .steps = 10000, .episode = 5000, .check_every = 1000, .shrink_s = 600
	};
	int code;

	if (geteuid() != 0) {
		(void)fprintf(stderr, "fsmodel needs root\n");
		return argc == 1 && !getenv("LEVELS3_TEST_NO_SKIP") ? 77 : 2;
	}
	if (argc == 1)
		return selftest();
	if (!parse_options(argc, argv, &s)) {
		(void)fprintf(stderr, "usage: see the head of tests/model/main.c\n");
		return 2;
	}
	if (!run_probe(&s.run, &s.features))
		return 2;
	printf("with: O_TMPFILE %s, collapse and insert range %s, large xattrs %s, fine times %s "
	       "and %s\n",
	       s.features.tmpfile ? "yes" : "no", s.features.shift ? "yes" : "no",
	       s.features.big_xattr ? "yes" : "no", s.run.ours_coarse ? "no" : "yes",
	       s.run.native_coarse ? "no" : "yes");
	(void)fflush(stdout);
	code = s.replay ? run_replay(&s) : run_random(&s);
	print_stats(&s);
	return code;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulation as a program.
 *
 *	sim [--runs N] [--seed N] [--steps N] [--defect NAME] [--verbose]
 *
 * Without --seed: runs with seeds 1 to N (LEVELS3_SIM_RUNS, else RUNS). With it: that one. A
 * failure is run again with fewer steps until it is as short as it gets, and then told in full.
 */
#include "sim.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS 2000
#define BATCH 20	/* runs of one process */
#define RUN_SECONDS 120 /* one that takes longer hangs */
#define SHRINK_TRIES 40
/* Mounts come and go by the thousand: their stacks are kept. */
#define STACK_BYTES (512 * KIB + SANITIZER_STACK_BYTES)

enum sim_defect sim_defect;
bool sim_verbose;

static uint64_t *current; /* shared with the processes: the seed at hand */

/* ---- chance ---- */

uint64_t sim_hash(uint64_t a, uint64_t b)
{
	uint64_t x = a + 0x9e3779b97f4a7c15u * (b + 1);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u; /* splitmix64 */
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t sim_hash_str(uint64_t a, const char *s)
{
	for (; *s; s++)
		a = sim_hash(a, (uint8_t)*s);
	return a;
}

uint64_t roll(struct dice *d, uint64_t below)
{
	d->state = sim_hash(d->state, 0);
	return d->state % below;
}

bool one_in(struct dice *d, unsigned n)
{
	return roll(d, n) == 0;
}

/* ---- telling ---- */

void sim_violation(const char *fmt, ...)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	va_list ap;

	pthread_mutex_lock(&once); /* and never unlocked: the process ends here */
	(void)fprintf(stderr, "broken promise: ");
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	_exit(SIM_FAILED);
}

void sim_say(const char *fmt, ...)
{
	va_list ap;

	if (!sim_verbose)
		return;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
}

/* ---- what the linker puts in the place of the code's own (sim.mk) ---- */

int __wrap_order_data(struct fs *fs, struct inode *i);
int __real_order_data(struct fs *fs, struct inode *i);

int __wrap_order_data(struct fs *fs, struct inode *i)
{
	return sim_defect == SIM_NO_ORDER ? 0 : __real_order_data(fs, i);
}

void __wrap_db_table_key(uint64_t number, uint64_t epoch, char *out);
void __real_db_table_key(uint64_t number, uint64_t epoch, char *out);

void __wrap_db_table_key(uint64_t number, uint64_t epoch, char *out)
{
	__real_db_table_key(number, sim_defect == SIM_TABLE_NAMES ? 0 : epoch, out);
}

struct load_config;
int __wrap_db_load_confirm(const struct load_config *c, uint64_t from);
int __real_db_load_confirm(const struct load_config *c, uint64_t from);

int __wrap_db_load_confirm(const struct load_config *c, uint64_t from)
{
	return sim_defect == SIM_NO_TRIM_LOOK ? 0 : __real_db_load_confirm(c, from);
}

uint64_t __wrap_random_u64(void);

/* Nonces, jitter, the seed of name hashes: repeatable. */
uint64_t __wrap_random_u64(void)
{
	static uint64_t drawn;

	return sim_hash(__atomic_load_n(current, __ATOMIC_RELAXED),
			__atomic_add_fetch(&drawn, 1, __ATOMIC_RELAXED));
}

/* ---- processes ---- */

static void run_seeds(uint64_t first, uint64_t last, unsigned steps, bool quiet)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, STACK_BYTES) != 0 ||
	    pthread_setattr_default_np(&attr) != 0)
		_exit(SIM_FAILED);
	if (quiet && !freopen("/dev/null", "w", stderr))
		_exit(SIM_FAILED);
	for (uint64_t seed = first; seed <= last; seed++) {
		__atomic_store_n(current, seed, __ATOMIC_RELAXED);
		(void)alarm(RUN_SECONDS);
		sim_run(seed, steps);
	}
	exit(EXIT_SUCCESS);
}

/* The exit status, or 128 and the signal. */
static int spawn(uint64_t first, uint64_t last, unsigned steps, bool quiet)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		run_seeds(first, last, steps, quiet);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("sim");
		exit(EXIT_FAILURE);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The fewest steps with which it fails as well: steps are drawn in order, so fewer are a beginning
 * of the same. */
static unsigned shrink(uint64_t seed, unsigned steps)
{
	unsigned low = 0, tries = 0;

	while (low + 1 < steps && tries++ < SHRINK_TRIES) {
		unsigned half = low + (steps - low) / 2;

		if (spawn(seed, seed, half, true) != 0)
			steps = half;
		else
			low = half;
	}
	return steps;
}

static void tell(uint64_t seed, unsigned steps, int status)
{
	(void)fprintf(stderr, "seed %llu failed (%s %d)\n", (unsigned long long)seed,
		      status > 128 ? "signal" : "status", status > 128 ? status - 128 : status);
	steps = shrink(seed, steps);
	(void)fprintf(stderr, "again, with --seed %llu --steps %u:\n", (unsigned long long)seed,
		      steps);
	sim_verbose = true;
	for (int n = 0; n < 5 && spawn(seed, seed, steps, n < 4) == 0; n++)
		(void)fprintf(stderr, "this time it passes: threads take other turns\n");
	(void)spawn(seed, seed, steps, false);
}

static int run_all(uint64_t start, uint64_t runs, unsigned steps)
{
	for (uint64_t first = start; first < start + runs; first += BATCH) {
		uint64_t last = min_u64(start + runs, first + BATCH) - 1;
		int status = spawn(first, last, steps, false);

		if (status == 0)
			continue;
		if (!sim_defect)
			tell(*current, steps, status);
		else
			(void)fprintf(stderr, "seed %llu caught %s\n", (unsigned long long)*current,
				      sim_defect_name(sim_defect));
		return EXIT_FAILURE;
	}
	(void)printf("%llu runs kept their promises\n", (unsigned long long)runs);
	return EXIT_SUCCESS;
}

/* ---- options ---- */

static const struct option options[] = {
	{ "runs", required_argument, NULL, 'r' },  { "seed", required_argument, NULL, 's' },
	{ "steps", required_argument, NULL, 'n' }, { "defect", required_argument, NULL, 'd' },
	{ "verbose", no_argument, NULL, 'v' },	   { NULL, 0, NULL, 0 },
};

static enum sim_defect parse_defect(const char *name)
{
	for (int n = 0; n < SIM_DEFECTS; n++)
		if (strcmp(name, sim_defect_name((enum sim_defect)n)) == 0)
			return (enum sim_defect)n;
	(void)fprintf(stderr, "sim: no such defect: %s\n", name);
	exit(2);
}

static uint64_t parse_number(const char *s)
{
	uint64_t n;

	if (parse_u64(s, &n) == 0)
		return n;
	(void)fprintf(stderr, "sim: not a number: %s\n", s);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *wanted = getenv("LEVELS3_SIM_RUNS");
	uint64_t runs = 0, seed = 0, steps = SIM_STEPS;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'r')
			runs = parse_number(optarg);
		else if (c == 's')
			seed = parse_number(optarg);
		else if (c == 'n')
			steps = parse_number(optarg);
		else if (c == 'd')
			sim_defect = parse_defect(optarg);
		else if (c == 'v')
			sim_verbose = true;
		else
			return 2;
	}
	current = mmap(NULL, sizeof(*current), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (current == MAP_FAILED)
		return EXIT_FAILURE;
	if (seed && !runs)
		return spawn(seed, seed, (unsigned)steps, false);
	if (!runs)
		runs = wanted ? parse_number(wanted) : RUNS;
	return run_all(seed ? seed : 1, runs, (unsigned)steps);
}

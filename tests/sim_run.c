/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One run: machines take turns as the seed says, standing still, jumping in time, crashing, taking
 * over. In the end everything that is left wakes up, the last word is checked, and then the power
 * goes at every effect (or a sample of them, in long runs): what the store held at that moment is
 * mounted and checked again.
 */
#include "sim.h"

#include <unistd.h>

#define CUT_URL "mem:sim-cut"
#define PAST_URL "mem:sim-past"
#define CUTS_MOST 4  /* in a run; */
#define EVERY_CUT 64 /* but all in one of so many runs */
#define HOUR_MS 3600000ull
#define DAY_MS (24 * HOUR_MS)

/* ---- the schedule ---- */

static void time_passes(struct run *run, uint64_t ms)
{
	sim_clock_jump(&run->store_clock, ms, 0);
	for (unsigned n = 0; n < run->machine_count; n++)
		sim_clock_jump(&run->machines[n].clock, ms, 0);
	sim_say("%llu s pass", (unsigned long long)ms / 1000);
}

/* One machine's clock alone: ahead, or the time of day anywhere. */
static void jump(struct machine *m)
{
	struct dice *d = &m->run->dice;
	uint64_t ms = one_in(d, 2) ? roll(d, 10000) : roll(d, 3 * DAY_MS);

	sim_clock_jump(&m->clock, one_in(d, 3) ? 0 : ms, (int64_t)roll(d, 2000000) - 1000000);
	sim_say("machine %u: clock jumps by up to %llu ms", m->id, (unsigned long long)ms);
}

/* The operator, who thinks it helps. */
static void delete_lease(struct run *run)
{
	sim_say("the lease is deleted");
	if (store_remove(world_store(run->world), "lease") < 0)
		abort();
}

/* A storm of refusals begins now and then, and lasts for some steps. */
static void weather(struct run *run)
{
	struct dice *d = &run->dice;
	bool begins = run->trouble > 0 && one_in(d, 30);
	unsigned lasts = 1 + (unsigned)roll(d, 6);

	pthread_mutex_lock(&run->turn);
	if (run->storm > 0)
		run->storm--;
	else if (begins)
		run->storm = lasts;
	pthread_mutex_unlock(&run->turn);
	if (begins)
		sim_say("the store refuses nearly everything for %u steps", lasts);
}

static void disturb(struct run *run, struct machine *m)
{
	struct dice *d = &run->dice;

	switch (roll(d, 16)) {
	case 0:
		jump(m);
		break;
	case 1:
		time_passes(run, one_in(d, 2) ? roll(d, 20000) : roll(d, 5 * DAY_MS));
		break;
	case 2:
		if (run->machine_count > 1 && one_in(d, 2))
			delete_lease(run);
		break;
	default:
		break;
	}
}

/* It shall stand still at one of its next requests. */
static void arm(struct machine *m, unsigned most)
{
	bool at_slot = one_in(&m->run->dice, 2);

	pthread_mutex_lock(&m->run->turn);
	m->freeze_at_slot = at_slot;
	m->freeze_in = 1 + (unsigned)roll(&m->run->dice, at_slot ? 2 : most);
	pthread_mutex_unlock(&m->run->turn);
}

static bool somebody_stands_still(struct run *run)
{
	for (unsigned n = 0; n < run->machine_count; n++)
		if (machine_busy(&run->machines[n]))
			return true;
	return false;
}

static void step_up(struct run *run, struct machine *m)
{
	struct dice *d = &run->dice;
	bool alone = run->machine_count == 1;
	uint64_t what = roll(d, 100);

	if (somebody_stands_still(run) && one_in(d, 6)) {
		machine_do(m, job_settle);
		if (one_in(d, 2))
			time_passes(run, roll(d, 5 * DAY_MS));
		return;
	}
	if (!alone && what < 10)
		arm(m, one_in(d, 2) ? 2 : 8);
	if (!alone && (what < 5 || one_in(d, 10)))
		machine_do(m, job_sync);
	else if (what >= 98)
		machine_do(m, job_crash);
	else if (what >= 96)
		machine_do(m, job_close);
	else
		machine_do(m, job_step);
}

static bool somebody_up(struct run *run)
{
	for (unsigned n = 0; n < run->machine_count; n++)
		if (run->machines[n].state == MACHINE_UP && !machine_busy(&run->machines[n]))
			return true;
	return false;
}

static void step(struct run *run)
{
	struct dice *d = &run->dice;
	struct machine *m = &run->machines[roll(d, run->machine_count)];
	bool rare = one_in(d, 12), seldom = one_in(d, 5);

	weather(run);
	disturb(run, m);
	if (machine_busy(m)) {
		if (seldom) {
			sim_say("machine %u goes on", m->id);
			machine_thaw(m);
		}
	} else if (m->state == MACHINE_UP) {
		step_up(run, m);
	} else if (rare || !somebody_up(run)) {
		if (run->machine_count > 1 && one_in(d, 3))
			arm(m, 40);
		machine_do(m, job_open);
	}
}

static void make_filesystem(struct run *run)
{
	struct fs_config config;
	int err;

	sim_config(&config, &run->store_clock.clock);
	config.store_override = world_store(run->world);
	err = fs_format(SIM_URL, &config);
	if (err < 0)
		sim_violation("mkfs: %d %s: %s", err, err_text(err), err_last_note());
	fs_config_release(&config);
}

/* ---- looking at the whole ---- */

struct problems {
	char first[512];
	unsigned count;
};

static void note_problem(void *ctx, const struct fs_finding *f)
{
	struct problems *p = ctx;

	if (f->stage == FS_FOUND && p->count++ == 0)
		(void)snprintf(p->first, sizeof(p->first), "%s: %s", f->code, f->text);
}

static void check_whole(struct fs *fs, const char *when)
{
	struct problems p = { .count = 0 };
	struct fs_check_options options = { .data = true, .finding = note_problem, .ctx = &p };
	struct fs_check_result result;
	int err = fs_check(fs, &options, &result);

	if (err < 0)
		sim_violation("%s: fsck cannot look: %d %s: %s", when, err, err_text(err),
			      err_last_note());
	if (err > 0)
		sim_violation("%s: fsck found %u problems: %s", when, p.count, p.first);
}

static struct reign *reign_at(struct run *run, size_t effects)
{
	struct reign *best = NULL;

	for (struct reign *r = run->reigns; r; r = r->next)
		if (r->opened <= effects && (!best || r->epoch > best->epoch))
			best = r;
	return best;
}

static void must(int err, const char *when)
{
	if (err < 0)
		sim_violation("%s: %d %s: %s", when, err, err_text(err), err_last_note());
}

static bool same_found(const struct found *a, const struct found *b)
{
	for (size_t n = 0; n < a->count && n < b->count; n++) {
		const struct found_name *x = &a->at[n], *y = &b->at[n];

		if (x->name != y->name || x->ino != y->ino || x->mode != y->mode ||
		    x->nlink != y->nlink || x->file.size != y->file.size ||
		    x->file.sum != y->file.sum)
			return false;
	}
	return a->count == b->count;
}

static void check_fit(struct run *run, const struct reign *r, struct span span, struct found *f,
		      const char *when)
{
	if (reign_fits(r, span, f, NULL) >= 0)
		return;
	reign_explain(r, span, f);
	sim_violation("%s: what is found is no state of epoch %llu after its last acknowledgement",
		      when, (unsigned long long)r->epoch);
}

/* ---- power cuts ---- */

struct cut {
	struct run *run;
	size_t at;	 /* effects that came before it */
	uint64_t arrive; /* at this request of the next mount comes one more: it was on its way */
	uint64_t chance;
	struct store *store;
	char when[256];
};

static enum store_fault arrive_late(void *ctx, uint64_t number, enum store_op op, const char *key,
				    int *error)
{
	struct cut *c = ctx;

	if (number == c->arrive)
		world_arrive(c->run->world, c->at, c->store);
	return STORE_FAULT_NONE;
}

static void copy_store(struct store *from, struct store *to)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;

	must(store_list_all(from, "", NULL, &l), "listing");
	for (size_t n = 0; n < l.count; n++) {
		struct buf b CLEANUP(buf_release) = BUF_INIT;

		must(store_get(from, l.entries[n].key, 0, STORE_TO_END, &b, NULL), "copying");
		must(store_put_bytes(to, l.entries[n].key, b.data, b.len, STORE_ALWAYS, NULL, NULL),
		     "copying");
	}
}

/* A mount that looks, checks everything, and goes: by its own will or not. */
static void visit(struct cut *c, struct clock *clock, bool late, bool clean, struct found *ret)
{
	struct store_fault_plan plan = { arrive_late, c };
	struct store *mem, *faults;
	struct fs_config config;
	struct fs *fs = NULL;
	int err;

	if (!late)
		c->arrive = 0;
	sim_config(&config, clock);
	must(store_open(CUT_URL, &config.store, &mem), "cut"); /* a handle that may be cancelled */
	must(store_wrap_fault(mem, &plan, &faults), "faults");
	store_unref(mem);
	config.store_override = faults;
	err = fs_open(CUT_URL, &config, &fs);
	/* A fence that was on its way is of our own epoch if the lease had been deleted. It is not
	 * ours, so we step back; who comes next has a higher one. */
	if (err == -L3_FENCED && c->arrive)
		err = fs_open(CUT_URL, &config, &fs);
	must(err, c->when);
	must(found_read(fs, ret), c->when);
	check_whole(fs, c->when);
	if (one_in(&(struct dice){ c->chance }, 3)) {
		orphan_drain(fs);
		must(clean_pass(fs), c->when);
	}
	if (clean)
		must(fs_close(fs, NULL, NULL), c->when);
	else
		fs_crash(fs);
	fs_config_release(&config);
	store_unref(faults);
}

/* fsck on what lies there, mounted by nobody: a crash leaves nothing for it to do. */
static void check_store(struct clock *clock, const char *when)
{
	struct problems p = { .count = 0 };
	struct fs_check_options options = { .data = true, .finding = note_problem, .ctx = &p };
	struct fs_fsck_result result;
	struct fs_config config;
	int err;

	sim_config(&config, clock);
	config.store_override = NULL;
	err = fs_fsck(CUT_URL, &config, &options, false, &result);
	fs_config_release(&config);
	must(err, when);
	if (result.found > 0)
		sim_violation("%s: fsck of the store found %u problems: %s", when, p.count,
			      p.first);
}

static void check_cut(struct run *run, struct store *past, size_t at)
{
	struct cut c = { .run = run, .at = at, .chance = sim_hash(run->seed, at) };
	struct reign *r = reign_at(run, at);
	struct store_config sc = { 0 };
	struct found first = { 0 }, second = { 0 };
	struct sim_clock clock;
	char what[128];

	sim_clock_init(&clock, 1);
	store_mem_drop(CUT_URL);
	must(store_open(CUT_URL, &sc, &c.store), "cut");
	copy_store(past, c.store);
	c.arrive = c.chance % 2 ? 0 : 1 + sim_hash(c.chance, 1) % 60;
	(void)snprintf(c.when, sizeof(c.when), "power cut after effect %zu, %s comes %s", at,
		       world_describe(run->world, at, what, sizeof(what)),
		       c.arrive ? "late" : "never");
	if (c.chance % 4 == 0)
		check_store(&clock.clock, c.when);
	visit(&c, &clock.clock, true, c.chance % 3 == 0, &first);
	if (r)
		check_fit(run, r, (struct span){ at, at }, &first, c.when);
	visit(&c, &clock.clock, false, true, &second);
	if (!same_found(&first, &second))
		sim_violation("%s: the second mount finds another state than the first", c.when);
	if (c.chance % 5 < 2)
		check_store(&clock.clock, c.when);
	found_release(&first);
	found_release(&second);
	store_unref(c.store);
	store_mem_drop(CUT_URL);
}

static void check_cuts(struct run *run, size_t from)
{
	size_t length = world_length(run->world), every = (length - from) / CUTS_MOST + 1;
	struct store_config sc = { 0 };
	struct store *past;
	size_t played = 0;

	if (run->seed % EVERY_CUT == 0)
		every = 1;
	store_mem_drop(PAST_URL);
	must(store_open(PAST_URL, &sc, &past), "past");
	for (size_t at = from + run->seed % every; at <= length; at += every) {
		world_play(run->world, played, at, past);
		played = at;
		check_cut(run, past, at);
	}
	store_unref(past);
	store_mem_drop(PAST_URL);
}

/* ---- the run ---- */

static void draw_run(struct run *run)
{
	struct dice *d = &run->dice;
	static const unsigned troubles[] = { 0, 0, 20, 100, 300 };

	run->machine_count = one_in(d, 2) ? 1 : 1 + (unsigned)roll(d, 3);
	run->trouble = troubles[roll(d, ARRAY_LEN(troubles))];
	run->lively = one_in(d, 4);
	run->nervous = one_in(d, 6);
	sim_appetite = (unsigned)(roll(d, 8) == 0 ? 2 + roll(d, 2) : roll(d, 2));
	sim_say("seed %llu: %u machines, trouble %u, appetite %u", (unsigned long long)run->seed,
		run->machine_count, run->trouble, sim_appetite);
}

/* Those that stand still wake up; whoever is up goes down, half of them in order. */
static void wake_and_end(struct run *run)
{
	for (unsigned n = 0; n < run->machine_count; n++) {
		struct machine *m = &run->machines[n];

		m->freeze_in = 0;
		if (machine_busy(m)) {
			sim_say("machine %u goes on at last", m->id);
			machine_thaw(m);
		}
		if (m->state == MACHINE_UP && one_in(&run->dice, 2))
			machine_do(m, job_sync);
	}
	for (unsigned n = 0; n < run->machine_count; n++) {
		struct machine *m = &run->machines[n];

		if (m->state == MACHINE_UP)
			machine_do(m, one_in(&run->dice, 2) ? job_close : job_crash);
		machine_end(m);
	}
}

/* The last mount, on the store itself. */
static void last_word(struct run *run)
{
	struct fs_config config;
	struct found f = { 0 };
	struct fs *fs = NULL;
	struct reign *r = reign_at(run, SIZE_MAX);

	sim_config(&config, &run->store_clock.clock);
	config.store_override = world_store(run->world);
	must(fs_open(SIM_URL, &config, &fs), "the last mount");
	must(found_read(fs, &f), "the last mount");
	check_whole(fs, "the last mount");
	if (r)
		check_fit(run, r, SPAN_NOW, &f, "the last mount");
	must(fs_close(fs, NULL, NULL), "the last mount");
	fs_config_release(&config);
	found_release(&f);
}

static void release(struct run *run)
{
	struct reign *r, *next;

	for (r = run->reigns; r; r = next) {
		next = r->next;
		reign_free(r);
	}
	store_mem_clock(NULL);
	world_free(run->world);
	pthread_mutex_destroy(&run->turn);
	pthread_cond_destroy(&run->turned);
	free(run);
}

void sim_run(uint64_t seed, unsigned steps)
{
	struct run *run = calloc(1, sizeof(*run));
	size_t made;

	if (!run)
		abort();
	run->seed = seed;
	run->dice.state = sim_hash(seed, 1);
	pthread_mutex_init(&run->turn, NULL);
	pthread_cond_init(&run->turned, NULL);
	sim_clock_init(&run->store_clock, 1000000000000000);
	store_mem_clock(&run->store_clock.clock);
	draw_run(run);
	run->world = world_new(SIM_URL);
	make_filesystem(run);
	made = world_length(run->world);
	for (unsigned n = 0; n < run->machine_count; n++)
		machine_start(run, n);
	machine_do(&run->machines[0], job_open);
	for (run->step = 0; run->step < steps; run->step++)
		step(run);
	wake_and_end(run);
	last_word(run);
	check_cuts(run, made);
	release(run);
}

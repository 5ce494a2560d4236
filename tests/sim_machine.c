/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine: a thread that does one job at a time, a clock of its own, a network that loses things,
 * and a mount. It can stand still at any of its requests: the job is then not done before somebody
 * thaws it, however much the rest of the world has moved on.
 */
#include "sim.h"

#include <time.h>
#include <unistd.h>

#define LEASE_MS 4000
#define RENEW_MS 200 /* a failed renewal is tried again after a tenth of it, in real time */
#define READ_TRIES 4

/* ---- clocks ---- */

static uint64_t sim_mono_ns(struct clock *c)
{
	return __atomic_load_n(&((struct sim_clock *)c)->mono_ns, __ATOMIC_SEQ_CST);
}

static int64_t sim_real_ns(struct clock *c)
{
	struct sim_clock *s = (struct sim_clock *)c;

	return __atomic_load_n(&s->real_ns, __ATOMIC_SEQ_CST) + (int64_t)sim_mono_ns(c);
}

/* Nobody waits: the time is over. */
static void sim_sleep_ms(struct clock *c, uint64_t ms)
{
	__atomic_fetch_add(&((struct sim_clock *)c)->mono_ns, ms * 1000000, __ATOMIC_SEQ_CST);
}

void sim_clock_init(struct sim_clock *c, uint64_t mono_ns)
{
	*c = (struct sim_clock){ { sim_mono_ns, sim_real_ns, sim_sleep_ms },
				 mono_ns,
				 1700000000000000000 };
}

void sim_clock_jump(struct sim_clock *c, uint64_t ms, int64_t real_ms)
{
	__atomic_fetch_add(&c->mono_ns, ms * 1000000, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&c->real_ns, real_ms * 1000000, __ATOMIC_SEQ_CST);
}

/* ---- the network ---- */

struct tried { /* how often each request was made */
	uint64_t what;
	unsigned times;
	UT_hash_handle hh;
};

/* turn held */
static unsigned count_try(struct machine *m, uint64_t what)
{
	struct tried *t;

	HASH_FIND(hh, m->tried, &what, sizeof(what), t);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			abort();
		t->what = what;
		HASH_ADD(hh, m->tried, what, sizeof(t->what), t);
	}
	return ++t->times;
}

static void forget_tries(struct machine *m)
{
	struct tried *t, *next;

	HASH_ITER (hh, m->tried, t, next) {
		HASH_DEL(m->tried, t);
		free(t);
	}
}

/* turn held, given up meanwhile. True if the request was the one that froze. */
static bool stand_still(struct machine *m, enum store_op op, const char *key)
{
	bool counts = !m->freeze_at_slot ||
		      (op == STORE_OP_PUT && strncmp(key, "chain/", strlen("chain/")) == 0);
	bool first = false;

	if (counts && m->freeze_in > 0 && --m->freeze_in == 0) {
		m->frozen = first = true;
		pthread_cond_broadcast(&m->run->turned);
	}
	while (m->frozen)
		pthread_cond_wait(&m->run->turned, &m->run->turn);
	return first;
}

static const char *const fault_names[] = {
	[STORE_FAULT_ERROR_BEFORE] = "loss of the request",
	[STORE_FAULT_ERROR_AFTER] = "loss of the answer",
	[STORE_FAULT_THROTTLE] = "refusal for now",
	[STORE_FAULT_DUPLICATE] = "doubling",
	[STORE_FAULT_LATE] = "delay beyond the time-out",
};

static enum store_fault draw_fault(uint64_t chance, int *error)
{
	static const int errors[] = { -L3_UNREACHABLE, -L3_SERVER, -L3_THROTTLED };

	*error = errors[(chance >> 8) % ARRAY_LEN(errors)];
	switch (chance % 8) {
	case 0:
	case 1:
		return STORE_FAULT_ERROR_BEFORE;
	case 2:
	case 3:
		return STORE_FAULT_ERROR_AFTER;
	case 4:
		return STORE_FAULT_THROTTLE;
	case 5:
		return STORE_FAULT_DUPLICATE;
	default:
		return STORE_FAULT_LATE;
	}
}

/* 500, 503, or 409 to conditional writes that meet each other. What it refused it may have done. */
static enum store_fault draw_refusal(uint64_t chance, int *error)
{
	*error = chance % 3 == 0 ? -L3_THROTTLED : -L3_SERVER;
	return (chance >> 8) % 8 == 0 ? STORE_FAULT_ERROR_AFTER : STORE_FAULT_ERROR_BEFORE;
}

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct machine *m = ctx;
	uint64_t what = sim_hash_str(sim_hash(m->run->seed, (uint64_t)op), key), chance;
	unsigned trouble = m->run->trouble;
	enum store_fault fault;
	bool late, storm;

	pthread_mutex_lock(&m->run->turn);
	sim_attempt = count_try(m, what);
	chance = sim_hash(sim_hash(what, m->id), sim_attempt);
	if (stand_still(m, op, key))
		trouble = max_u64(trouble, 500);
	storm = m->run->storm > 0;
	if (storm)
		trouble = max_u64(trouble, 900);
	pthread_mutex_unlock(&m->run->turn);
	late = trouble > 0 && chance % 64 == 0;
	chance = sim_hash(chance, 1);
	if (chance % 32 == 0) /* others overtake it */
		(void)usleep((useconds_t)(chance >> 8) % 200);
	if (late)
		store_fault_resume(m->faults);
	chance = sim_hash(chance, 2);
	if (chance % 1000 >= trouble || sim_attempt > 8)
		return STORE_FAULT_NONE;
	fault = (storm ? draw_refusal : draw_fault)(sim_hash(chance, 3), error);
	sim_say("  machine %u: %s of %s, try %u", m->id, fault_names[fault], key, sim_attempt);
	return fault;
}

/* ---- jobs ---- */

static void *machine_run(void *arg)
{
	struct machine *m = arg;
	struct run *run = m->run;

	pthread_mutex_lock(&run->turn);
	for (;;) {
		while (!m->job && !m->quit)
			pthread_cond_wait(&run->turned, &run->turn);
		if (!m->job)
			break;
		pthread_mutex_unlock(&run->turn);
		m->job(m);
		pthread_mutex_lock(&run->turn);
		m->job = NULL;
		pthread_cond_broadcast(&run->turned);
	}
	pthread_mutex_unlock(&run->turn);
	return NULL;
}

static void wait_turn(struct machine *m)
{
	while (m->job && !m->frozen)
		pthread_cond_wait(&m->run->turned, &m->run->turn);
}

void machine_start(struct run *run, unsigned id)
{
	struct machine *m = &run->machines[id];

	*m = (struct machine){ .run = run, .id = id };
	m->dice.state = sim_hash(run->seed, 1000 + id);
	sim_clock_init(&m->clock, 1000000000000 + roll(&m->dice, 1000) * 1000000000000);
	if (pthread_create(&m->thread, NULL, machine_run, m) != 0)
		abort();
}

void machine_end(struct machine *m)
{
	pthread_mutex_lock(&m->run->turn);
	m->quit = true;
	pthread_cond_broadcast(&m->run->turned);
	pthread_mutex_unlock(&m->run->turn);
	pthread_join(m->thread, NULL);
	forget_tries(m);
}

void machine_do(struct machine *m, void (*job)(struct machine *m))
{
	pthread_mutex_lock(&m->run->turn);
	m->job = job;
	pthread_cond_broadcast(&m->run->turned);
	wait_turn(m);
	pthread_mutex_unlock(&m->run->turn);
}

bool machine_busy(struct machine *m)
{
	bool busy;

	pthread_mutex_lock(&m->run->turn);
	busy = m->job || m->frozen;
	pthread_mutex_unlock(&m->run->turn);
	return busy;
}

void machine_thaw(struct machine *m)
{
	pthread_mutex_lock(&m->run->turn);
	m->frozen = false;
	pthread_cond_broadcast(&m->run->turned);
	wait_turn(m);
	pthread_mutex_unlock(&m->run->turn);
}

/* ---- what errors are right ---- */

/* turn held */
static bool superseded(const struct machine *m)
{
	for (const struct reign *r = m->run->reigns; r && m->reign; r = r->next)
		if (r->epoch > m->reign->epoch)
			return true;
	return false;
}

/* Has another machine ever tried to open? Its attempt may still be under way. turn held */
static bool has_rivals(const struct machine *m)
{
	for (unsigned n = 0; n < m->run->machine_count; n++)
		if (n != m->id && m->run->machines[n].opens > 0)
			return true;
	return false;
}

/* Returns if it is; else ends the process. */
static void expect_trouble(struct machine *m, int err, const char *what)
{
	bool rivals, old;

	pthread_mutex_lock(&m->run->turn);
	rivals = has_rivals(m);
	old = superseded(m);
	pthread_mutex_unlock(&m->run->turn);
	if (err_is_transient(err) || (err == -L3_FENCED && rivals) ||
	    (old && (err == -L3_CORRUPT || err == -EIO || err == -ECANCELED)))
		return;
	sim_violation("machine %u: %s: %d %s: %s", m->id, what, err, err_text(err),
		      err_last_note());
}

/* ---- acknowledgements ---- */

/* turn held. Promise 3: who came after must have what this one was promised. */
static void check_successors(struct machine *m, unsigned count)
{
	const struct reign *mine = m->reign;

	for (const struct reign *r = m->run->reigns; r; r = r->next) {
		if (r->epoch <= mine->epoch)
			continue;
		if (r->parent == mine && reign_fits(mine, SPAN_NOW, &r->found, NULL) < 0)
			sim_violation("machine %u (epoch %llu) acknowledged what machine %u (epoch "
				      "%llu) did not find when it took over",
				      m->id, (unsigned long long)mine->epoch, r->machine,
				      (unsigned long long)r->epoch);
		if (reign_descends(r, mine))
			continue;
		for (unsigned n = mine->inherited; n < count; n++)
			if (mine->facts[n].effective)
				sim_violation(
					"machine %u (epoch %llu) acknowledged something after "
					"machine %u (epoch %llu) had taken over from another one",
					m->id, (unsigned long long)mine->epoch, r->machine,
					(unsigned long long)r->epoch);
	}
}

static void acknowledged(struct machine *m, bool all, unsigned node)
{
	struct reign *r = m->reign;

	pthread_mutex_lock(&m->run->turn);
	reign_ack(r, all, node, r->count, world_length(m->run->world));
	check_successors(m, r->count);
	pthread_mutex_unlock(&m->run->turn);
	sim_say("machine %u: acknowledged %u operations", m->id, r->count);
}

/* ---- opening ---- */

static struct reign *newest_before(struct run *run, uint64_t epoch)
{
	struct reign *best = NULL;

	for (struct reign *r = run->reigns; r; r = r->next)
		if (r->epoch < epoch && (!best || r->epoch > best->epoch))
			best = r;
	return best;
}

/* turn held */
static void begin_reign(struct machine *m, struct found *f)
{
	struct run *run = m->run;
	uint64_t epoch = db_epoch(m->fs->db), *values = NULL;
	struct reign *parent = newest_before(run, epoch);
	int count = parent ? reign_fits(parent, SPAN_NOW, f, &values) : 0;

	if (count < 0) {
		reign_explain(parent, SPAN_NOW, f);
		sim_violation("machine %u opened (epoch %llu) and found what is no state of epoch "
			      "%llu after its last acknowledgement",
			      m->id, (unsigned long long)epoch, (unsigned long long)parent->epoch);
	}
	m->reign = reign_new(parent, f, (unsigned)count, values, sim_hash(run->seed, epoch));
	free(values);
	m->reign->epoch = epoch;
	m->reign->machine = m->id;
	m->reign->opened = world_length(run->world);
	reign_ack(m->reign, true, 0, m->reign->inherited, m->reign->opened);
	m->reign->next = run->reigns;
	run->reigns = m->reign;
	m->state = MACHINE_UP;
	sim_say("machine %u: open, epoch %llu, %d operations of epoch %llu found", m->id,
		(unsigned long long)epoch, count, parent ? (unsigned long long)parent->epoch : 0);
}

/* What it finds; trouble with the store may pass, and a zombie's objects may be gone. */
static int look_around(struct machine *m, struct found *f)
{
	int err = 0;

	for (unsigned n = 0; n < READ_TRIES; n++) {
		err = found_read(m->fs, f);
		if (err >= 0 || !err_is_transient(err))
			break;
	}
	return err;
}

static bool newer_exists(struct machine *m)
{
	uint64_t epoch = db_epoch(m->fs->db);
	bool newer = false;

	pthread_mutex_lock(&m->run->turn);
	for (const struct reign *r = m->run->reigns; r; r = r->next)
		newer |= r->epoch > epoch;
	pthread_mutex_unlock(&m->run->turn);
	return newer;
}

/* While others wait for the lease, its holder may renew it: unless that stands still. */
static int on_wait(void *ctx, const struct lease_holder *holder, uint64_t waited_ms)
{
	struct machine *m = ctx;

	for (unsigned n = 0; m->run->lively && n < m->run->machine_count; n++) {
		struct machine *other = &m->run->machines[n];
		bool awake;

		if (other == m)
			continue;
		pthread_mutex_lock(&m->run->turn);
		awake = other->state == MACHINE_UP && !other->frozen && !other->job;
		if (awake)
			other->freeze_in = 0;
		pthread_mutex_unlock(&m->run->turn);
		if (awake)
			(void)lease_renew(other->fs->lease);
	}
	return 0;
}

void sim_config(struct fs_config *c, struct clock *clock)
{
	fs_config_init(c);
	if (fs_config_set(c, "cache_dir", "none") < 0)
		abort();
	c->clock = clock;
	c->commit_ms = 3600000; /* the schedule says when */
	c->lease_ms = LEASE_MS;
	c->renew_ms = RENEW_MS;
	c->lease_wait_ms = 3 * LEASE_MS;
	c->segment_bytes = 256 * KIB;
	c->mem_limit_bytes = 48 * MIB;
	c->cache_size_bytes = 16 * MIB;
}

static void drop_network(struct machine *m)
{
	m->config.store_override = NULL;
	fs_config_release(&m->config);
	store_unref(m->faults); /* late effects that have not come by now never do */
	m->faults = NULL;
}

/* Opening may be refused: somebody else is alive, or newer; or the store did not answer. */
static void check_refusal(struct machine *m, int err)
{
	if (err_is_transient(err) || err == -L3_LEASE_HELD || err == -EAGAIN)
		return;
	if (err == -L3_FENCED && has_rivals(m))
		return;
	sim_violation("machine %u cannot open: %d %s: %s", m->id, err, err_text(err),
		      err_last_note());
}

/* Cuts are then taken wherever the filesystem is between two of its own steps. */
static void *commit_always(void *arg)
{
	struct machine *m = arg;
	int err = 0;

	while (err >= 0 && __atomic_load_n(&m->committing, __ATOMIC_RELAXED)) {
		err = db_commit(m->fs->db);
		(void)usleep(20);
	}
	return NULL;
}

static void start_committing(struct machine *m)
{
	if (!m->run->nervous)
		return;
	m->nervous = m->committing = true;
	if (pthread_create(&m->committer, NULL, commit_always, m) != 0)
		abort();
}

static void stop_committing(struct machine *m)
{
	if (!m->nervous)
		return;
	__atomic_store_n(&m->committing, false, __ATOMIC_RELAXED);
	pthread_join(m->committer, NULL);
	m->nervous = false;
}

static void crash(struct machine *m)
{
	struct fs *fs = m->fs;

	stop_committing(m);
	pthread_mutex_lock(&m->run->turn);
	m->state = MACHINE_DOWN;
	m->fs = NULL;
	m->reign = NULL;
	pthread_mutex_unlock(&m->run->turn);
	fs_crash(fs);
	drop_network(m);
}

void job_open(struct machine *m)
{
	struct store_fault_plan plan = { decide, m };
	struct found f = { 0 };
	int err;

	pthread_mutex_lock(&m->run->turn);
	m->opens++;
	pthread_mutex_unlock(&m->run->turn);
	if (store_wrap_fault(world_store(m->run->world), &plan, &m->faults) < 0)
		abort();
	sim_config(&m->config, &m->clock.clock);
	m->config.store_override = m->faults;
	m->config.on_wait = on_wait;
	m->config.ctx = m;
	err = fs_open(SIM_URL, &m->config, &m->fs);
	if (err < 0) {
		sim_say("machine %u: not opened: %s", m->id, err_text(err));
		check_refusal(m, err);
		m->fs = NULL;
		drop_network(m);
		return;
	}
	err = look_around(m, &f);
	if (err < 0 && !err_is_transient(err) && !newer_exists(m))
		sim_violation("machine %u cannot read what it opened: %d %s: %s", m->id, err,
			      err_text(err), err_last_note());
	if (err < 0) {
		crash(m);
		return;
	}
	pthread_mutex_lock(&m->run->turn);
	begin_reign(m, &f);
	pthread_mutex_unlock(&m->run->turn);
	start_committing(m);
}

/* ---- working ---- */

static void operate(struct machine *m)
{
	struct reign *r = m->reign;
	struct undo *undo = malloc(sizeof(*undo));
	unsigned node = r->model.node_count;
	uint64_t made = 0;
	int want, got;

	if (node >= MODEL_NODES - 2 || r->count >= MODEL_ENTRIES / 2) {
		free(undo);
		return; /* the model is as full as it gets */
	}
	if (!undo)
		abort();
	pthread_mutex_lock(&m->run->turn);
	want = reign_draw(r, __atomic_add_fetch(&m->run->values, 1, __ATOMIC_SEQ_CST),
			  world_length(m->run->world), undo);
	pthread_mutex_unlock(&m->run->turn);
	got = real_do(m->fs, shape_do, &r->facts[r->count - 1].op, r->inos, &made);
	if (got != want) {
		if (got >= 0 || (got > -L3_FENCED && got != -EIO && got != -ECANCELED))
			sim_violation("machine %u: operation %u: %d instead of %d: %s", m->id,
				      r->count - 1, got, want, err_last_note());
		expect_trouble(m, got, "an operation");
		pthread_mutex_lock(&m->run->turn);
		reign_undo(r, undo);
		pthread_mutex_unlock(&m->run->turn);
	} else if (r->model.node_count > node) {
		r->inos[node] = made;
	}
	undo_release(undo);
	free(undo);
}

static unsigned draw_file(struct machine *m)
{
	const struct model *model = &m->reign->model;

	for (unsigned tries = 0; tries < 20; tries++) {
		unsigned n = (unsigned)roll(&m->dice, model->node_count);

		if (!model->nodes[n].dir && model->nodes[n].nlink > 0)
			return n;
	}
	return MODEL_NODES;
}

static void fsync_one(struct machine *m)
{
	unsigned node = draw_file(m);
	int err;

	if (node == MODEL_NODES)
		return;
	err = fs_fsync(m->fs, m->reign->inos[node]);
	if (err >= 0)
		acknowledged(m, false, node);
	else
		expect_trouble(m, err, "fsync");
}

void job_sync(struct machine *m)
{
	int err = fs_sync(m->fs);

	if (err >= 0)
		acknowledged(m, true, 0);
	else
		expect_trouble(m, err, "sync");
}

static void tolerate(struct machine *m, int err, const char *what)
{
	if (err < 0)
		expect_trouble(m, err, what);
}

/* What the daemon does by itself now and then. */
static void keep_house(struct machine *m)
{
	struct fs *fs = m->fs;

	switch (roll(&m->dice, 8)) {
	case 0:
		tolerate(m, db_checkpoint(fs->db), "checkpoint");
		break;
	case 1:
		leveldb_compact_range(db_handle(fs->db), NULL, 0, NULL, 0);
		break;
	case 2:
		tolerate(m, clean_pass(fs), "cleaning");
		break;
	case 3:
		tolerate(m, clean_sweep(fs, NULL), "sweeping");
		break;
	case 4:
		orphan_drain(fs);
		break;
	case 5:
		tolerate(m, lease_renew(fs->lease), "renewal");
		break;
	default:
		flush_tick(fs, one_in(&m->dice, 4));
	}
}

/* Some work and a checkpoint, again and again: old slots are trimmed, old objects deleted. */
void job_settle(struct machine *m)
{
	uint64_t pause_ms = one_in(&m->dice, 2) ? 3600000 : 100; /* beyond its lease, or not */

	for (unsigned n = 0; n < 4; n++) {
		operate(m);
		job_sync(m);
		sim_clock_jump(&m->clock, pause_ms, 0);
		tolerate(m, db_checkpoint(m->fs->db), "checkpoint");
	}
	tolerate(m, clean_pass(m->fs), "cleaning");
	tolerate(m, clean_sweep(m->fs, NULL), "sweeping");
	sim_say("machine %u: settled", m->id);
}

void job_step(struct machine *m)
{
	unsigned what = (unsigned)roll(&m->dice, 20);

	if (what < 2)
		keep_house(m);
	else if (what < 4)
		fsync_one(m);
	else if (what < 5)
		job_sync(m);
	else if (m->reign->model.node_count < MODEL_NODES - 2 &&
		 m->reign->count < MODEL_ENTRIES / 2)
		operate(m);
}

void job_close(struct machine *m)
{
	struct fs *fs = m->fs;
	int err;

	stop_committing(m);
	pthread_mutex_lock(&m->run->turn);
	m->state = MACHINE_RETIRED; /* nobody renews its lease from outside any more */
	pthread_mutex_unlock(&m->run->turn);
	err = fs_close(fs, NULL, NULL);
	if (err >= 0)
		acknowledged(m, true, 0);
	else
		expect_trouble(m, err, "unmounting");
	sim_say("machine %u: closed: %s", m->id, err_text(err));
	pthread_mutex_lock(&m->run->turn);
	m->state = MACHINE_DOWN;
	m->fs = NULL;
	m->reign = NULL;
	pthread_mutex_unlock(&m->run->turn);
	drop_network(m);
}

void job_crash(struct machine *m)
{
	crash(m);
	sim_say("machine %u: crashed", m->id);
}

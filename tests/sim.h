/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim: whole filesystems, several on one store, through faults, stalls, takeovers and power cuts,
 * against a model. What it looks for is a broken promise (doc/durability.md).
 *
 *	sim_world.c    the store: one journal of effects, from which every moment can be had again;
 *	               and the defects that a simulation worth its name must find
 *	sim_history.c  what was done, what was acknowledged, and whether what is found fits
 *	sim_machine.c  one machine: a thread, a clock, a network with faults, a mount
 *	sim_run.c      one run: a schedule drawn from a seed, then the power cuts
 *	sim.c          the program: many runs, each found failure replayed with fewer steps
 *	sim_broken     the test of the test: every defect must be caught
 *
 * Time is virtual, and each machine has its own. The fate of a request is decided by the seed, the
 * machine, the request's kind and key, and how often that was asked for before: not by the order of
 * arrival. What a seed does not decide is how the threads of one mount interleave.
 */
#ifndef LEVELS3_TESTS_SIM_H
#define LEVELS3_TESTS_SIM_H

#include "fs/internal.h"
#include "fs/bytes.h"
#include "model.h"

#define SIM_URL "mem:sim"
#define SIM_STEPS 70
#define SIM_FAILED 10 /* exit status of a process that found a broken promise */

/* None of them is in the code: sim_world.c and the linker (sim.mk) put them in. */
enum sim_defect {
	SIM_SOUND,
	SIM_NO_FENCE,	   /* slots can be overwritten: a fence stops nobody */
	SIM_FENCE_DELETED, /* trimming takes the first slots of epochs, too */
	SIM_TABLE_NAMES,   /* tables are named by number only */
	SIM_NO_ORDER,	   /* metadata before the data written before it */
	SIM_RECORD_FIRST,  /* slots before the segments they refer to */
	SIM_NO_NONCE,	   /* a refused slot is taken for ours if it was sent before */
	SIM_NO_TRIM_LOOK,  /* who has made its fence does not look what was trimmed meanwhile */
	SIM_DEFECTS
};
const char *sim_defect_name(enum sim_defect defect);
extern enum sim_defect sim_defect; /* of this process */

/* ---- chance ---- */

struct dice {
	uint64_t state;
};

uint64_t sim_hash(uint64_t a, uint64_t b);
uint64_t sim_hash_str(uint64_t a, const char *s);
uint64_t roll(struct dice *d, uint64_t below); /* 0 to below - 1 */
bool one_in(struct dice *d, unsigned n);

/* Says what was broken, and ends the process with SIM_FAILED. */
void sim_violation(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
extern bool sim_verbose;
void sim_say(const char *fmt, ...) PRINTF_LIKE(1, 2); /* if verbose */

/* ---- the store (sim_world.c) ---- */

struct world;

/* An empty one; what the URL held is dropped. */
struct world *world_new(const char *url);
void world_free(struct world *w);
struct store *world_store(struct world *w);
size_t world_length(struct world *w); /* effects so far */
/* Applies effects [from, upto) to another store. */
void world_play(struct world *w, size_t from, size_t upto, struct store *to);
/* A request that was on its way reaches the store only now, and is judged by what is there. */
void world_arrive(struct world *w, size_t effect, struct store *to);
const char *world_describe(struct world *w, size_t effect, char *out, size_t size);
/* What a request knows of its caller: set by the machine before each, in the same thread. */
extern __thread unsigned sim_attempt; /* how often this machine has asked for the same, from 1 */

/* ---- histories (sim_history.c) ---- */

struct found_file {
	uint64_t size, sum;
};

struct found_name { /* in the order of a walk; a folder's end has a name of its own */
	unsigned name;
	bool dir;
	uint32_t nlink, mode;
	uint64_t ino;
	struct found_file file;
};
#define FOUND_END MODEL_NAMES

struct found { /* a tree, as it was read */
	struct found_name *at;
	size_t count, cap;
};
int found_read(struct fs *fs, struct found *ret); /* an error of the filesystem's */
void found_release(struct found *f);

struct fact { /* an operation done */
	struct model_op op;
	size_t begun;		 /* effects in the store when it began */
	bool effective;		 /* it changed something */
	unsigned node;		 /* WRITE: of which file, */
	struct found_file after; /* and what that holds then */
};

struct ack {		/* a success of fsync or sync, or of unmounting */
	unsigned count; /* operations before it */
	bool all;	/* sync */
	unsigned node;	/* fsync: of this */
	size_t given;	/* effects in the store when it was known */
};

struct reign {		      /* the time of one mount */
	struct reign *parent; /* from which it took over; NULL: the first */
	uint64_t epoch;
	unsigned machine;
	size_t opened;	    /* effects in the store when it was known to be open */
	struct found found; /* by it, at the beginning */
	unsigned inherited; /* facts that are the parent's */
	struct fact *facts;
	unsigned count, cap;
	struct ack *acks;
	unsigned ack_count, ack_cap;
	/* As its programs see it: */
	struct model model;
	uint64_t inos[MODEL_NODES]; /* 0: not known yet */
	struct buf contents[MODEL_NODES];
	struct reign *next; /* older ones */
};

struct span {	      /* a moment, for reign_fits */
	size_t acks;  /* those given with so many effects in the store count, */
	size_t begun; /* and operations begun with no more than so many may have happened */
};
#define SPAN_NOW ((struct span){ SIZE_MAX, SIZE_MAX })

/* Can this be what is left of the reign? -1, or the number of facts. *ret_values (may be NULL, free
 * it): for every node, the last write that is there. */
int reign_fits(const struct reign *r, struct span span, const struct found *f,
	       uint64_t **ret_values);
/* Tells a person why not. */
void reign_explain(const struct reign *r, struct span span, const struct found *f);
/* How many operations have been acknowledged, and begun, by then. */
unsigned reign_acked(const struct reign *r, size_t acks);
unsigned reign_begun(const struct reign *r, size_t begun);
/* A new reign over what was found: facts 0 to count - 1, without the writes that got lost. */
struct reign *reign_new(struct reign *parent, struct found *f, unsigned count,
			const uint64_t *values, uint64_t model_seed);
void reign_free(struct reign *r);
bool reign_descends(const struct reign *r, const struct reign *ancestor);
void reign_print(const struct reign *r, FILE *to);

/* The next operation: drawn and entered before it is done. reign_undo takes it back. */
struct undo {
	struct model model;
	struct buf content;
	unsigned node;
	bool written;
};
int reign_draw(struct reign *r, uint64_t value, size_t begun, struct undo *undo);
void reign_undo(struct reign *r, struct undo *undo);
void undo_release(struct undo *undo);
void reign_ack(struct reign *r, bool all, unsigned node, unsigned count, size_t given);

/* What writing `value` means. */
enum shape_kind { SHAPE_WRITE, SHAPE_APPEND, SHAPE_TRUNCATE, SHAPE_PUNCH, SHAPE_ALLOCATE };
struct shape {
	enum shape_kind kind;
	uint64_t offset, len;
};
extern unsigned sim_appetite; /* how large writes get, 0 to 3 */
struct shape shape_of(uint64_t value);
int shape_do(struct fs *fs, uint64_t ino, uint64_t value); /* a model_write_fn */

/* ---- machines (sim_machine.c) ---- */

struct run;

struct sim_clock {
	struct clock clock; /* first */
	uint64_t mono_ns;   /* atomic */
	int64_t real_ns;    /* atomic; on top of mono */
};
void sim_clock_init(struct sim_clock *c, uint64_t mono_ns);
void sim_clock_jump(struct sim_clock *c, uint64_t ms, int64_t real_ms);

enum machine_state { MACHINE_DOWN, MACHINE_UP, MACHINE_RETIRED };

struct machine {
	struct run *run;
	unsigned id;
	struct sim_clock clock;
	struct dice dice; /* for what it does itself */
	enum machine_state state;
	struct store *faults;
	struct fs *fs;
	struct fs_config config;
	struct reign *reign;
	unsigned opens;

	pthread_t thread;
	void (*job)(struct machine *m); /* run.turn */
	bool quit;
	bool nervous;	 /* a second thread commits all the time */
	bool committing; /* atomic: it shall go on */
	pthread_t committer;
	bool frozen;	     /* its requests stand still */
	unsigned freeze_in;  /* at so many requests from now; 0: never */
	bool freeze_at_slot; /* only those count that write a slot */
	struct tried *tried;
};

struct run {
	uint64_t seed;
	unsigned steps;
	struct dice dice;
	struct world *world;
	struct machine machines[3];
	unsigned machine_count;
	unsigned trouble; /* of 1000 requests so many go wrong */
	unsigned storm;	  /* for so many steps more the store refuses nearly all of them; turn */
	bool nervous;	  /* machines commit all the time */
	bool lively;	  /* who holds the lease renews it while others wait for it */
	struct sim_clock store_clock;
	uint64_t values;      /* atomic: the last one drawn */
	pthread_mutex_t turn; /* machines' jobs and freezing, histories */
	pthread_cond_t turned;
	struct reign *reigns; /* newest first */
	unsigned step;
};

void machine_start(struct run *run, unsigned id);
void machine_end(struct machine *m); /* not frozen, and down */
/* Starts the job, and returns when it is done or the machine frozen. Not while it is busy. */
void machine_do(struct machine *m, void (*job)(struct machine *m));
bool machine_busy(struct machine *m);
void machine_thaw(struct machine *m);
/* Jobs: */
void job_open(struct machine *m);
void job_step(struct machine *m);
void job_sync(struct machine *m);
void job_settle(struct machine *m);
void job_close(struct machine *m);
void job_crash(struct machine *m);

/* ---- runs (sim_run.c) ---- */

void sim_run(uint64_t seed, unsigned steps);
void sim_config(struct fs_config *c, struct clock *clock);

#endif

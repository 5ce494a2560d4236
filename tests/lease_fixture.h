/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the lease room share: a memory store with faults on demand, a clock that only
 * moves when told, and lease objects written by holders that do not exist.
 *
 *	lease ── faults ── mem:
 */
#ifndef LEVELS3_TESTS_LEASE_FIXTURE_H
#define LEVELS3_TESTS_LEASE_FIXTURE_H

#include "lease/lease.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_URL "mem:lease-tests"
#define SECOND_NS UINT64_C(1000000000)
#define KEY "lease"

struct fake_clock {
	struct clock clock;
	uint64_t now_ns;
	void (*on_sleep)(void); /* something happens while somebody sleeps */
};

struct fixture {
	struct store *mem, *faults;
	struct fake_clock time;
	struct lease_config config;
	pthread_mutex_t lock;
	enum store_op fault_op;	  /* these operations ... */
	enum store_fault fault;	  /* ... meet this ... */
	unsigned fault_times;	  /* ... so many times more */
	void (*before_put)(void); /* once, before the next PUT has an effect */
	unsigned lost_calls, warnings, waits;
	pthread_t lost_thread; /* that made the call */
	int stop_after_waits;
};

static struct fixture fx;

static uint64_t fake_mono_ns(struct clock *c)
{
	return __atomic_load_n(&((struct fake_clock *)c)->now_ns, __ATOMIC_SEQ_CST);
}

static int64_t fake_real_ns(struct clock *c)
{
	return INT64_C(1700000000) * (int64_t)SECOND_NS + (int64_t)fake_mono_ns(c);
}

static void fake_sleep_ms(struct clock *c, uint64_t ms)
{
	struct fake_clock *f = (struct fake_clock *)c;

	__atomic_add_fetch(&f->now_ns, ms * 1000000, __ATOMIC_SEQ_CST);
	if (f->on_sleep)
		f->on_sleep();
}

static inline void pass_seconds(uint64_t s)
{
	__atomic_add_fetch(&fx.time.now_ns, s * SECOND_NS, __ATOMIC_SEQ_CST);
}

static inline uint64_t seconds_now(void)
{
	return fx.time.now_ns / SECOND_NS;
}

static enum store_fault fixture_decide(void *ctx, uint64_t number, enum store_op op,
				       const char *key, int *error)
{
	enum store_fault fault = STORE_FAULT_NONE;
	void (*before)(void) = NULL;

	pthread_mutex_lock(&fx.lock);
	if (op == fx.fault_op && fx.fault_times > 0) {
		fx.fault_times--;
		fault = fx.fault;
		*error = -L3_UNREACHABLE;
	}
	if (op == STORE_OP_PUT) {
		before = fx.before_put;
		fx.before_put = NULL;
	}
	pthread_mutex_unlock(&fx.lock);
	if (before)
		before();
	return fault;
}

static inline void let_fail(enum store_op op, enum store_fault fault, unsigned times)
{
	pthread_mutex_lock(&fx.lock);
	fx.fault_op = op;
	fx.fault = fault;
	fx.fault_times = times;
	pthread_mutex_unlock(&fx.lock);
}

static void fixture_notify(void *ctx, enum log_level level, const char *text)
{
	if (level <= LOG_L_WARN)
		__atomic_add_fetch(&fx.warnings, 1, __ATOMIC_SEQ_CST);
}

static void fixture_on_lost(void *ctx)
{
	fx.lost_thread = pthread_self();
	__atomic_add_fetch(&fx.lost_calls, 1, __ATOMIC_SEQ_CST);
}

static int fixture_on_wait(void *ctx, const struct lease_holder *holder, uint64_t waited_ms)
{
	fx.waits++;
	return fx.stop_after_waits > 0 && (int)fx.waits >= fx.stop_after_waits;
}

static void setup(void)
{
	struct store_fault_plan plan = { .decide = fixture_decide };

	fx = (struct fixture){
		.time = { .clock = { fake_mono_ns, fake_real_ns, fake_sleep_ms },
			  .now_ns = 1000 * SECOND_NS },
	};
	pthread_mutex_init(&fx.lock, NULL);
	ck_assert_int_eq(store_open(FIXTURE_URL, NULL, &fx.mem), 0);
	ck_assert_int_eq(store_wrap_fault(fx.mem, &plan, &fx.faults), 0);
	fx.config = (struct lease_config){
		.store = fx.faults,
		.fs = { { 1, 2, 3 } },
		.mountpoint = "/mnt/here",
		.duration_ms = 30000,
		.renew_ms = 10000,
		.create = true,
		.clock = &fx.time.clock,
		.notifier = { fixture_notify, NULL },
		.on_wait = fixture_on_wait,
		.on_lost = fixture_on_lost,
	};
}

static void teardown(void)
{
	store_unref(fx.faults);
	store_unref(fx.mem);
	store_mem_drop(FIXTURE_URL);
	pthread_mutex_destroy(&fx.lock);
}

static inline struct lease *acquire(void)
{
	struct lease *l = NULL;

	ck_assert_int_eq(lease_acquire(&fx.config, &l, NULL), 0);
	return l;
}

static inline void refused(int want)
{
	struct lease *l = NULL;

	ck_assert_int_eq(lease_acquire(&fx.config, &l, NULL), want);
	ck_assert_ptr_null(l);
}

static inline struct lease_holder stored(void)
{
	struct lease_holder h;

	ck_assert_int_eq(lease_read(fx.mem, &fx.config.fs, &h), 0);
	return h;
}

static inline struct lease_holder foreign_holder(uint64_t epoch)
{
	return (struct lease_holder){
		.epoch = epoch,
		.duration_ms = 30000,
		.renewals = 1,
		.nonce = random_u64(),
		.since_real_ns = INT64_C(1767323045) * (int64_t)SECOND_NS,
		.pid = 4242,
		.pid_start = 77,
		.pid_ns = 4026531836,
		.boot_id = "00000000-1111-2222-3333-444444444444",
		.host = "far.example",
		.mountpoint = "/srv/far",
	};
}

/* Byte by byte, as doc/format.md has it: the tests do not take the room's word for its own format.
 */
static inline void encode_holder(const struct lease_holder *h, struct buf *out)
{
	struct buf p CLEANUP(buf_release) = BUF_INIT;

	buf_u64(&p, h->epoch);
	buf_u8(&p, h->released);
	buf_u64(&p, h->duration_ms);
	buf_u64(&p, h->renewals);
	buf_u64(&p, h->nonce);
	buf_u64(&p, (uint64_t)h->since_real_ns);
	buf_u64(&p, h->pid);
	buf_u64(&p, h->pid_start);
	buf_u64(&p, h->pid_ns);
	buf_bytes(&p, h->boot_id, strlen(h->boot_id));
	buf_bytes(&p, h->host, strlen(h->host));
	buf_bytes(&p, h->mountpoint, strlen(h->mountpoint));
	frame_put(out, FRAME_LEASE, &fx.config.fs, p.data, p.len);
	ck_assert_int_eq(buf_error(out), 0);
}

static inline void store_bytes(const struct buf *b)
{
	ck_assert_int_eq(store_put_bytes(fx.mem, KEY, b->data, b->len, STORE_ALWAYS, NULL, NULL),
			 0);
}

static inline void store_holder(const struct lease_holder *h)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	encode_holder(h, &b);
	store_bytes(&b);
}

static inline void load_bytes(struct buf *b)
{
	ck_assert_int_eq(store_get(fx.mem, KEY, 0, STORE_TO_END, b, NULL), 0);
}

/* The object holds exactly these bytes. */
static inline void check_bytes(const struct buf *want)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	load_bytes(&b);
	ck_assert_uint_eq(b.len, want->len);
	ck_assert(b.len == 0 || memcmp(b.data, want->data, b.len) == 0);
}

/*
 * A store that takes conditions for suggestions: it keeps those in `honours` and ignores the
 * others.
 */
struct careless {
	struct store store;
	struct store *next;
	bool honours_create, honours_match, refuses_match;
};

static struct store *careless_next(struct store *s)
{
	return ((struct careless *)s)->next;
}

static int careless_get(struct store *s, const char *key, uint64_t offset, uint64_t len,
			struct buf *out, struct store_meta *meta)
{
	return store_get(careless_next(s), key, offset, len, out, meta);
}

static int careless_put(struct store *s, const struct store_put *put, struct store_meta *meta)
{
	struct careless *c = (struct careless *)s;
	struct store_put p = *put;

	if (p.cond == STORE_MATCH && c->refuses_match)
		return err_note(-L3_PRECONDITION, "never the right etag");
	if ((p.cond == STORE_CREATE && !c->honours_create) ||
	    (p.cond == STORE_MATCH && !c->honours_match))
		p.cond = STORE_ALWAYS;
	return store_put(c->next, &p, meta);
}

static int careless_head(struct store *s, const char *key, struct store_meta *meta)
{
	return store_head(careless_next(s), key, meta);
}

static void careless_destroy(struct store *s)
{
	store_unref(careless_next(s));
}

static const struct store_ops careless_ops = {
	.name = "careless",
	.get = careless_get,
	.put = careless_put,
	.head = careless_head,
	.destroy = careless_destroy,
};

static inline struct store *careless_init(struct careless *c, struct store *next)
{
	*c = (struct careless){ .store = { .ops = &careless_ops, .refs = 1, .url = "careless:" },
				.next = store_ref(next) };
	return &c->store;
}

#endif

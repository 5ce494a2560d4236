/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wrappers around a store: how often retry tries and what it makes of lost answers, what trace
 * counts, and that each fault does what its name says. All over mem:, in this order:
 *
 *	retry ── trace ── faults ── mem
 */
#include "tests/store_fixture.h"

#include <pthread.h>
#include <sched.h>

#define URL "mem:wrappers"
#define FOREVER 0

static struct store *mem, *faults, *trace;

static struct script {
	enum store_fault kinds[8]; /* of the first operations; then none */
	int error;
	enum store_op last_op;
	char last_key[64];
} script;

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	script.last_op = op;
	(void)snprintf(script.last_key, sizeof(script.last_key), "%s", key);
	*error = script.error;
	return number <= ARRAY_LEN(script.kinds) ? script.kinds[number - 1] : STORE_FAULT_NONE;
}

static struct fake {
	struct clock clock;
	uint64_t now_ms, slept_ms[64];
	unsigned sleeps;
	void (*on_sleep)(void);
} fake;

static uint64_t fake_mono_ns(struct clock *c)
{
	return fake.now_ms * 1000000;
}

static void fake_sleep_ms(struct clock *c, uint64_t ms)
{
	if (fake.sleeps < ARRAY_LEN(fake.slept_ms))
		fake.slept_ms[fake.sleeps] = ms;
	fake.sleeps++;
	fake.now_ms += ms;
	if (fake.on_sleep)
		fake.on_sleep();
}

static void make_faults(void)
{
	struct store_fault_plan plan = { .decide = decide };

	store_unref(trace);
	store_unref(faults);
	ck_ok(store_wrap_fault(mem, &plan, &faults));
	ck_ok(store_wrap_trace(faults, NULL, NULL, &trace));
}

static void setup(void)
{
	store_mem_drop(URL);
	ck_ok(store_open(URL, NULL, &mem));
	faults = trace = NULL;
	script = (struct script){ .error = -L3_UNREACHABLE };
	fake = (struct fake){ .clock = { .mono_ns = fake_mono_ns, .sleep_ms = fake_sleep_ms } };
	make_faults();
}

static void teardown(void)
{
	store_unref(trace);
	store_unref(faults);
	store_unref(mem);
	store_mem_drop(URL);
}

static struct store *retry(unsigned attempts)
{
	struct store_retry_config c = { .attempts = attempts,
					.base_delay_ms = 100,
					.max_delay_ms = 1000,
					.clock = &fake.clock };
	struct store *s;

	ck_ok(store_wrap_retry(trace, &c, &s));
	return s;
}

static uint64_t requests(enum store_op op)
{
	struct store_counts c;

	store_trace_counts(trace, &c);
	return c.requests[op];
}

/* The first n operations meet this. */
static void let_fail(unsigned n, enum store_fault kind, int error)
{
	script.error = error;
	for (unsigned i = 0; i < ARRAY_LEN(script.kinds); i++)
		script.kinds[i] = i < n ? kind : STORE_FAULT_NONE;
	make_faults(); /* counts anew */
}

/* ---- retry ---- */

START_TEST(trouble_that_passes_is_not_noticed)
{
	static const int transient[] = { L3_UNREACHABLE, L3_SERVER, L3_THROTTLED, EINTR, EAGAIN };

	for (size_t i = 0; i < ARRAY_LEN(transient); i++) {
		struct store *s;

		let_fail(3, STORE_FAULT_ERROR_BEFORE, -transient[i]);
		s = retry(4);
		ck_ok(put_text(s, "x", "bytes"));
		ck_assert_uint_eq(requests(STORE_OP_PUT), 4);
		ck_text(mem, "x", "bytes");
		store_unref(s);
	}
}
END_TEST

START_TEST(what_is_there_or_not_is_an_answer_and_no_failure)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store_counts c;

	let_fail(1, STORE_FAULT_ERROR_BEFORE, -L3_SERVER);
	ck_assert_int_eq(put_text(trace, "x", "bytes"), -L3_SERVER);
	ck_ok(put_text(trace, "x", "bytes"));
	ck_assert_int_eq(create_text(trace, "x", "others"), -L3_PRECONDITION);
	ck_assert_int_eq(store_get(trace, "no", 0, 1, &b, NULL), -ENOENT);
	store_trace_counts(trace, &c);
	ck_assert_uint_eq(c.requests[STORE_OP_PUT], 3);
	ck_assert_uint_eq(c.failed[STORE_OP_PUT], 1);
	ck_assert_uint_eq(c.requests[STORE_OP_GET], 1);
	ck_assert_uint_eq(c.failed[STORE_OP_GET], 0);
}
END_TEST

START_TEST(after_the_last_attempt_the_error_is_handed_on_with_its_note)
{
	struct store *s;

	let_fail(8, STORE_FAULT_ERROR_BEFORE, -L3_SERVER);
	s = retry(3);
	ck_assert_int_eq(put_text(s, "x", "bytes"), -L3_SERVER);
	ck_assert_uint_eq(requests(STORE_OP_PUT), 3);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "3 tries"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "x: fault before effect"));
	ck_absent(mem, "x");
	store_unref(s);
}
END_TEST

START_TEST(definite_answers_are_not_asked_for_again)
{
	static const int definite[] = { ENOENT, L3_PRECONDITION, ECANCELED, EINVAL, L3_BAD_OPTION };
	static const int final_when_counted[] = { L3_DENIED, ENOSPC, L3_NO_BUCKET };

	for (size_t i = 0; i < ARRAY_LEN(definite); i++) {
		for (unsigned attempts = 0; attempts <= 5; attempts += 5) {
			struct store *s;

			let_fail(1, STORE_FAULT_ERROR_BEFORE, -definite[i]);
			s = retry(attempts);
			ck_assert_int_eq(put_text(s, "x", "bytes"), -definite[i]);
			ck_assert_uint_eq(requests(STORE_OP_PUT), 1);
			store_unref(s);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(final_when_counted); i++) {
		struct store *s;

		let_fail(1, STORE_FAULT_ERROR_BEFORE, -final_when_counted[i]);
		s = retry(5);
		ck_assert_int_eq(put_text(s, "x", "bytes"), -final_when_counted[i]);
		ck_assert_uint_eq(requests(STORE_OP_PUT), 1);
		store_unref(s);
		let_fail(6, STORE_FAULT_ERROR_BEFORE, -final_when_counted[i]);
		s = retry(FOREVER); /* someone may give us the right, or make room */
		ck_ok(put_text(s, "x", "bytes"));
		ck_assert_uint_eq(requests(STORE_OP_PUT), 7);
		store_unref(s);
	}
}
END_TEST

START_TEST(every_operation_is_tried_again_and_reads_are_never_doubled)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	const char *const keys[] = { "a", "b", "gone" };
	struct store_meta meta;
	struct store *s;

	ck_ok(put_text(mem, "a", "0123"));
	ck_ok(put_text(mem, "b", "4567"));
#define ck_tried(call, op)                                                                         \
	do {                                                                                       \
		let_fail(2, STORE_FAULT_ERROR_AFTER, -L3_UNREACHABLE);                             \
		s = retry(3);                                                                      \
		ck_ok(call);                                                                       \
		ck_assert_uint_eq(requests(op), 3);                                                \
		store_unref(s);                                                                    \
	} while (0)
	ck_tried(store_get(s, "a", 1, 2, &b, &meta), STORE_OP_GET);
	ck_assert_str_eq(buf_cstr(&b), "12");
	ck_tried(store_head(s, "a", &meta), STORE_OP_HEAD);
	ck_tried(store_list(s, "", NULL, 1, &l), STORE_OP_LIST);
	ck_keys(&l, "a");
	ck_assert(l.more);
	ck_tried(store_copy(s, "a", "copy"), STORE_OP_COPY);
	ck_text(mem, "copy", "0123");
	ck_tried(store_remove(s, "copy"), STORE_OP_DELETE);
	ck_absent(mem, "copy");
	ck_tried(store_remove_many(s, keys, 3), STORE_OP_DELETE_MANY);
	ck_all_keys(mem, NULL, "");
}
END_TEST

START_TEST(waits_grow_are_random_and_have_a_ceiling)
{
	struct store *s;
	uint64_t largest = 0;
	bool differ = false;

	for (int round = 0; round < 8; round++) {
		let_fail(8, STORE_FAULT_ERROR_BEFORE, -L3_THROTTLED);
		s = retry(FOREVER);
		fake.sleeps = 0;
		ck_ok(put_text(s, "x", "bytes"));
		ck_assert_uint_eq(fake.sleeps, 8);
		for (unsigned i = 0; i < fake.sleeps; i++) {
			ck_assert_uint_le(fake.slept_ms[i], min_u64(100u << i, 1000));
			largest = max_u64(largest, fake.slept_ms[i]);
			differ |= i > 4 && fake.slept_ms[i] != fake.slept_ms[4];
		}
		store_unref(s);
	}
	ck_assert_uint_gt(largest, 100); /* 32 draws from [0, 1000] */
	ck_assert(differ);
}
END_TEST

/* ---- retry: the ambiguous PUT ---- */

START_TEST(a_create_whose_answer_was_lost_succeeds)
{
	struct store_meta meta, there;
	struct store *s;

	for (unsigned attempts = 0; attempts <= 3; attempts += 3) {
		let_fail(1, STORE_FAULT_ERROR_AFTER, -L3_UNREACHABLE);
		s = retry(attempts);
		ck_ok(store_put_bytes(s, "slot", "ours", 4, STORE_CREATE, NULL, &meta));
		ck_assert_uint_eq(requests(STORE_OP_PUT), 2);
		ck_ok(store_head(mem, "slot", &there));
		ck_assert_str_eq(meta.etag,
				 there.etag); /* of our object, ready for the next swap */
		ck_ok(store_remove(mem, "slot"));
		store_unref(s);
	}
}
END_TEST

START_TEST(a_swap_whose_answer_was_lost_succeeds)
{
	struct store_meta first, second, third;
	struct store *s;

	ck_ok(store_put_bytes(mem, "lease", "old", 3, STORE_CREATE, NULL, &first));
	let_fail(1, STORE_FAULT_ERROR_AFTER, -L3_SERVER);
	s = retry(3);
	ck_ok(match_text(s, "lease", "ours", first.etag, &second));
	ck_text(mem, "lease", "ours");
	ck_ok(match_text(s, "lease", "next", second.etag, &third));
	store_unref(s);
}
END_TEST

START_TEST(a_create_of_several_pieces_is_recognised)
{
	struct iovec v[] = { { (void *)"ab", 2 }, { NULL, 0 }, { (void *)"cd", 2 } };
	struct store_put put = { .key = "x", .iov = v, .iovcnt = 3, .cond = STORE_CREATE };
	struct store *s;

	let_fail(1, STORE_FAULT_ERROR_AFTER, -L3_UNREACHABLE);
	s = retry(3);
	ck_ok(store_put(s, &put, NULL));
	store_unref(s);
	for (int what = 0; what < 3; what++) {
		static const char *const others[] = { "abcX", "abc", "abcde" };

		ck_ok(put_text(mem, "x", others[what]));
		let_fail(1, STORE_FAULT_ERROR_BEFORE, -L3_UNREACHABLE);
		s = retry(3);
		ck_assert_int_eq(store_put(s, &put, NULL), -L3_PRECONDITION);
		store_unref(s);
	}
}
END_TEST

START_TEST(somebody_elses_object_is_never_taken_for_ours)
{
	struct store_meta first;
	struct store *s;

	for (int effect = 0; effect < 2; effect++) {
		enum store_fault kind = effect ? STORE_FAULT_ERROR_AFTER : STORE_FAULT_ERROR_BEFORE;

		ck_ok(put_text(mem, "slot", "theirs"));
		let_fail(1, kind, -L3_UNREACHABLE);
		s = retry(3);
		ck_assert_int_eq(create_text(s, "slot", "ours"), -L3_PRECONDITION);
		ck_assert_ptr_nonnull(strstr(err_last_note(), "slot"));
		ck_text(mem, "slot", "theirs");
		ck_ok(store_head(mem, "slot", &first));
		ck_ok(put_text(mem, "slot", "newer"));
		let_fail(1, kind, -L3_UNREACHABLE);
		store_unref(s);
		s = retry(3);
		ck_assert_int_eq(match_text(s, "slot", "ours", first.etag, NULL), -L3_PRECONDITION);
		ck_text(mem, "slot", "newer");
		store_unref(s);
	}
}
END_TEST

static void overtake(void)
{
	ck_ok(put_text(mem, "slot", "theirs"));
}

START_TEST(who_is_overtaken_between_his_tries_has_lost)
{
	struct store *s;

	let_fail(1, STORE_FAULT_ERROR_BEFORE, -L3_UNREACHABLE);
	fake.on_sleep = overtake;
	s = retry(3);
	ck_assert_int_eq(create_text(s, "slot", "ours"), -L3_PRECONDITION);
	ck_text(mem, "slot", "theirs");
	store_unref(s);
}
END_TEST

START_TEST(a_first_refusal_is_final_without_reading)
{
	struct store *s = retry(3);

	ck_ok(create_text(mem, "slot", "ours")); /* the very same bytes, but not by this call */
	ck_assert_int_eq(create_text(s, "slot", "ours"), -L3_PRECONDITION);
	ck_assert_uint_eq(requests(STORE_OP_GET), 0);
	store_unref(s);
}
END_TEST

START_TEST(the_reading_back_is_tried_again_too)
{
	struct store *s;

	script.kinds[0] = STORE_FAULT_ERROR_AFTER; /* the PUT; the second is refused */
	script.kinds[2] = script.kinds[3] = STORE_FAULT_ERROR_BEFORE;
	make_faults();
	s = retry(3);
	ck_ok(create_text(s, "slot", "ours"));
	ck_assert_uint_eq(requests(STORE_OP_PUT), 2);
	ck_assert_uint_eq(requests(STORE_OP_GET), 3);
	store_unref(s);
	ck_ok(store_remove(mem, "slot"));
	script.kinds[4] = STORE_FAULT_ERROR_BEFORE;
	make_faults();
	s = retry(3); /* cannot be found out: neither success nor PRECONDITION */
	ck_assert_int_eq(create_text(s, "slot", "ours"), -L3_UNREACHABLE);
	store_unref(s);
}
END_TEST

START_TEST(of_a_put_sent_twice_by_the_network_the_first_counts)
{
	struct store *s;

	let_fail(1, STORE_FAULT_DUPLICATE, 0);
	s = retry(3);
	ck_ok(create_text(s, "slot", "ours"));
	ck_text(mem, "slot", "ours");
	store_unref(s);
}
END_TEST

/* ---- retry: cancelling, telling ---- */

struct caller {
	struct store *store;
	int result;
	char note[256];
	pthread_t thread;
};

static void *put_main(void *arg)
{
	struct caller *c = arg;

	c->result = put_text(c->store, "x", "bytes");
	(void)snprintf(c->note, sizeof(c->note), "%s", err_last_note());
	return NULL;
}

static void start_put(struct caller *c, struct store *s)
{
	*c = (struct caller){ .store = s };
	ck_assert_int_eq(pthread_create(&c->thread, NULL, put_main, c), 0);
}

START_TEST(cancel_wakes_who_waits_for_the_next_try)
{
	struct store_retry_config slow = { .base_delay_ms = 1000000000,
					   .max_delay_ms = 1000000000 };
	struct caller callers[3];
	struct store *s;

	let_fail(ARRAY_LEN(callers), STORE_FAULT_ERROR_BEFORE, -L3_UNREACHABLE);
	ck_ok(store_wrap_retry(trace, &slow, &s));
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		start_put(&callers[i], s);
	while (requests(STORE_OP_PUT) < ARRAY_LEN(callers))
		sched_yield();
	store_cancel(s);
	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		pthread_join(callers[i].thread, NULL);
		ck_assert_int_eq(callers[i].result, -ECANCELED);
		ck_assert_ptr_nonnull(strstr(callers[i].note, "x"));
	}
	ck_assert_int_eq(put_text(s, "x", "bytes"), -ECANCELED);
	ck_assert_uint_eq(requests(STORE_OP_PUT), ARRAY_LEN(callers));
	ck_ok(put_text(mem, "x", "the store below goes on"));
	ck_ok(put_text(trace, "y", "and so does what others wrap around it"));
	store_unref(s);
}
END_TEST

static struct told {
	unsigned warnings, all_clear;
	char last[256];
} told;

static void hear(void *ctx, enum log_level level, const char *text)
{
	if (level == LOG_L_WARN)
		told.warnings++;
	else
		told.all_clear++;
	(void)snprintf(told.last, sizeof(told.last), "%s", text);
}

static void four_seconds_pass(void)
{
	fake.now_ms += 4000;
}

START_TEST(lasting_trouble_is_told_once_a_minute_and_its_end_too)
{
	struct store_retry_config c = { .clock = &fake.clock, .notifier = { .fn = hear } };
	struct store *s;

	told = (struct told){ 0 };
	fake.on_sleep = four_seconds_pass;
	let_fail(2, STORE_FAULT_ERROR_BEFORE, -L3_UNREACHABLE);
	ck_ok(store_wrap_retry(trace, &c, &s));
	ck_ok(put_text(s, "x", "bytes"));
	ck_assert_uint_eq(told.warnings + told.all_clear, 0); /* 4 s: nobody need know */
	store_unref(s);

	let_fail(8, STORE_FAULT_ERROR_BEFORE, -L3_UNREACHABLE);
	ck_ok(store_wrap_retry(trace, &c, &s));
	ck_ok(put_text(s, "x", "bytes"));
	ck_assert_uint_eq(told.warnings, 1); /* 28 s */
	ck_assert_uint_eq(told.all_clear, 1);
	ck_assert_ptr_nonnull(strstr(told.last, "PUT x"));
	store_unref(s);
}
END_TEST

static void half_a_minute_passes(void)
{
	fake.now_ms += 30000;
}

START_TEST(trouble_that_goes_on_is_told_again_each_minute)
{
	struct store_retry_config c = { .clock = &fake.clock, .notifier = { .fn = hear } };
	struct store *s;

	told = (struct told){ 0 };
	fake.on_sleep = half_a_minute_passes;
	let_fail(8, STORE_FAULT_ERROR_BEFORE, -L3_UNREACHABLE);
	ck_ok(store_wrap_retry(trace, &c, &s));
	ck_ok(put_text(s, "x", "bytes"));
	ck_assert_uint_eq(told.warnings, 4); /* after 30, 90, 150, 210 s */
	ck_assert_uint_eq(told.all_clear, 1);
	store_unref(s);
}
END_TEST

/* ---- trace ---- */

static struct heard {
	unsigned count;
	struct store_request last;
	char key[64];
} heard;

static void hear_request(void *ctx, const struct store_request *r)
{
	struct heard *h = ctx;

	h->count++;
	h->last = *r;
	(void)snprintf(h->key, sizeof(h->key), "%s", r->key);
}

static void ck_heard(enum store_op op, const char *key, uint64_t bytes, int result)
{
	ck_assert_int_eq(heard.last.op, op);
	ck_assert_str_eq(heard.key, key);
	ck_assert_uint_eq(heard.last.bytes, bytes);
	ck_assert_int_eq(heard.last.result, result);
}

START_TEST(trace_tells_of_each_request_and_counts_it)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	const char *const keys[] = { "x", "y" };
	struct store_counts c;
	struct store_meta meta;
	struct store *t;

	heard = (struct heard){ 0 };
	ck_ok(store_wrap_trace(mem, hear_request, &heard, &t));
	ck_ok(put_text(t, "x", "0123456789"));
	ck_heard(STORE_OP_PUT, "x", 10, 0);
	ck_assert_int_eq(create_text(t, "x", "abc"), -L3_PRECONDITION);
	ck_heard(STORE_OP_PUT, "x", 3, -L3_PRECONDITION);
	ck_ok(store_get(t, "x", 8, 100, &b, NULL));
	ck_heard(STORE_OP_GET, "x", 2, 0);
	ck_assert_int_eq(store_get(t, "no", 0, 1, &b, NULL), -ENOENT);
	ck_heard(STORE_OP_GET, "no", 0, -ENOENT);
	ck_ok(store_head(t, "x", &meta));
	ck_heard(STORE_OP_HEAD, "x", 0, 0);
	ck_ok(store_list(t, "", NULL, 0, &l));
	ck_heard(STORE_OP_LIST, "", 0, 0);
	ck_ok(store_rename(t, "x", "y"));
	ck_heard(STORE_OP_DELETE, "x", 0, 0);
	ck_ok(store_remove_many(t, keys, 2));
	ck_assert_int_eq(heard.last.op, STORE_OP_DELETE_MANY);
	ck_assert_int_eq(put_text(t, "/bad", "x"), -EINVAL); /* no request */

	store_trace_counts(t, &c);
	ck_assert_uint_eq(c.requests[STORE_OP_PUT], 2);
	ck_assert_uint_eq(c.failed[STORE_OP_PUT], 0); /* that it exists is an answer */
	ck_assert_uint_eq(c.requests[STORE_OP_GET], 2);
	ck_assert_uint_eq(c.failed[STORE_OP_GET], 0);
	ck_assert_uint_eq(c.requests[STORE_OP_HEAD], 1);
	ck_assert_uint_eq(c.requests[STORE_OP_LIST], 1);
	ck_assert_uint_eq(c.requests[STORE_OP_COPY], 1);
	ck_assert_uint_eq(c.requests[STORE_OP_DELETE], 1);
	ck_assert_uint_eq(c.requests[STORE_OP_DELETE_MANY], 1);
	ck_assert_uint_eq(c.bytes_out, 13);
	ck_assert_uint_eq(c.bytes_in, 2);
	ck_assert_uint_eq(heard.count, 9);
	store_unref(t);
}
END_TEST

/* ---- faults ---- */

START_TEST(an_error_before_has_no_effect_and_an_error_after_has)
{
	let_fail(1, STORE_FAULT_ERROR_BEFORE, -L3_DENIED);
	ck_assert_int_eq(put_text(faults, "x", "bytes"), -L3_DENIED);
	ck_absent(mem, "x");
	let_fail(1, STORE_FAULT_ERROR_AFTER, -L3_SERVER);
	ck_assert_int_eq(put_text(faults, "x", "bytes"), -L3_SERVER);
	ck_text(mem, "x", "bytes");
	let_fail(1, STORE_FAULT_ERROR_AFTER, -L3_SERVER);
	ck_assert_int_eq(store_remove(faults, "x"), -L3_SERVER);
	ck_absent(mem, "x");
	let_fail(1, STORE_FAULT_THROTTLE, 0);
	ck_assert_int_eq(put_text(faults, "x", "bytes"), -L3_THROTTLED);
	ck_absent(mem, "x");
}
END_TEST

START_TEST(reads_that_fail_after_leave_nothing_behind)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_ok(put_text(mem, "x", "bytes"));
	let_fail(2, STORE_FAULT_ERROR_AFTER, -L3_UNREACHABLE);
	ck_assert_int_eq(store_get(faults, "x", 0, STORE_TO_END, &b, NULL), -L3_UNREACHABLE);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(store_list(faults, "", NULL, 0, &l), -L3_UNREACHABLE);
	ck_assert_uint_eq(l.count, 0);
}
END_TEST

START_TEST(the_plan_is_asked_with_number_operation_and_key)
{
	struct store_meta meta;

	ck_assert_uint_eq(store_fault_count(faults), 0);
	ck_ok(put_text(faults, "x", "bytes"));
	ck_assert_uint_eq(store_fault_count(faults), 1);
	ck_assert_int_eq(script.last_op, STORE_OP_PUT);
	ck_ok(store_head(faults, "x", &meta));
	ck_assert_uint_eq(store_fault_count(faults), 2);
	ck_assert_int_eq(script.last_op, STORE_OP_HEAD);
	ck_assert_str_eq(script.last_key, "x");
}
END_TEST

/* A PUT meets kind; waits until it hangs; then how() ends that. */
static int hung_put(enum store_fault kind, void (*how)(struct store *faults))
{
	struct caller c;

	let_fail(1, kind, 0);
	start_put(&c, faults);
	while (store_fault_count(faults) == 0)
		sched_yield();
	how(faults);
	pthread_join(c.thread, NULL);
	return c.result;
}

START_TEST(who_hangs_goes_on_with_an_error_after_resume_or_cancel)
{
	ck_assert_int_eq(hung_put(STORE_FAULT_HANG, store_fault_resume), -L3_UNREACHABLE);
	ck_absent(mem, "x");
	ck_ok(put_text(faults, "y", "the next is not held up"));
	ck_assert_int_eq(hung_put(STORE_FAULT_HANG_AFTER, store_fault_resume), -L3_UNREACHABLE);
	ck_text(mem, "x", "bytes");
	ck_ok(store_remove(mem, "x"));
	ck_assert_int_eq(hung_put(STORE_FAULT_HANG, store_cancel), -ECANCELED);
	ck_assert_int_eq(put_text(faults, "y", "later"), -ECANCELED);
}
END_TEST

static void die_elsewhere(struct store *s)
{
	ck_assert_int_eq(put_text(s, "other", "x"), -ECANCELED);
}

START_TEST(a_dead_machine_does_nothing_more)
{
	struct store_meta meta;
	struct caller c;

	script.kinds[0] = STORE_FAULT_HANG;
	script.kinds[1] = STORE_FAULT_DEAD;
	make_faults();
	start_put(&c, faults);
	while (store_fault_count(faults) == 0)
		sched_yield();
	die_elsewhere(faults);
	pthread_join(c.thread, NULL);
	ck_assert_int_eq(c.result, -ECANCELED);
	ck_assert_int_eq(store_head(faults, "x", &meta), -ECANCELED);
	ck_assert_int_eq(put_text(faults, "x", "bytes"), -ECANCELED);
	ck_all_keys(mem, NULL, "");
	ck_ok(put_text(mem, "x", "others live on"));
}
END_TEST

START_TEST(a_duplicate_takes_effect_twice_and_the_first_answer_counts)
{
	struct store_meta first, there;
	const char *const keys[] = { "x", "y" };

	let_fail(8, STORE_FAULT_DUPLICATE, 0);
	ck_ok(store_put_bytes(faults, "x", "bytes", 5, STORE_CREATE, NULL, &first));
	ck_ok(store_head(mem, "x", &there));
	ck_assert_str_eq(first.etag, there.etag); /* the second was refused */
	ck_ok(store_put_bytes(faults, "x", "bytes", 5, STORE_ALWAYS, NULL, &first));
	ck_ok(store_head(mem, "x", &there));
	ck_assert_str_ne(first.etag, there.etag); /* the second came over it */
	ck_ok(store_copy(faults, "x", "y"));
	ck_ok(store_remove(faults, "x"));
	ck_absent(mem, "x");
	ck_assert_int_eq(store_copy(faults, "x", "z"), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "x"));
	ck_ok(store_remove_many(faults, keys, 2));
	ck_all_keys(mem, NULL, "");
}
END_TEST

START_TEST(late_requests_take_effect_at_resume_in_their_order)
{
	const char *const keys[] = { "a", "b" };
	struct store_meta meta;

	ck_ok(store_put_bytes(mem, "swap", "old", 3, STORE_ALWAYS, NULL, &meta));
	ck_ok(put_text(mem, "a", "x"));
	ck_ok(put_text(mem, "b", "x"));
	let_fail(7, STORE_FAULT_LATE, 0);
	ck_assert_int_eq(put_text(faults, "x", "first"), -L3_UNREACHABLE);
	ck_assert_int_eq(create_text(faults, "x", "second"), -L3_UNREACHABLE);
	ck_assert_int_eq(match_text(faults, "swap", "new", meta.etag, NULL), -L3_UNREACHABLE);
	ck_assert_int_eq(match_text(faults, "swap", "newer", meta.etag, NULL), -L3_UNREACHABLE);
	ck_assert_int_eq(store_copy(faults, "x", "copy"), -L3_UNREACHABLE);
	ck_assert_int_eq(store_remove_many(faults, keys, 2), -L3_UNREACHABLE);
	ck_assert_int_eq(store_remove(faults, "copy2"), -L3_UNREACHABLE);
	ck_all_keys(mem, NULL, "a b swap");
	ck_text(mem, "swap", "old");
	store_fault_resume(faults);
	ck_all_keys(mem, NULL, "copy swap x");
	ck_text(mem, "x", "first");
	ck_text(mem, "swap", "new");
	ck_text(mem, "copy", "first");
	ck_ok(store_remove(mem, "x"));
	store_fault_resume(faults); /* each only once */
	ck_absent(mem, "x");
	let_fail(1, STORE_FAULT_LATE, 0);
	ck_assert_int_eq(put_text(faults, "lost", "x"),
			 -L3_UNREACHABLE); /* never arrives; nothing leaks */
}
END_TEST

START_TEST(a_flip_changes_one_bit_of_what_is_read)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	unsigned bits = 0;

	ck_ok(put_text(mem, "x", "0123456789"));
	buf_add_str(&b, "before");
	let_fail(1, STORE_FAULT_FLIP, 0);
	ck_ok(store_get(faults, "x", 0, STORE_TO_END, &b, NULL));
	ck_assert_uint_eq(b.len, 16);
	for (size_t i = 0; i < b.len; i++)
		bits += (unsigned)__builtin_popcount(b.data[i] ^ (uint8_t) "before0123456789"[i]);
	ck_assert_uint_eq(bits, 1);
	ck_assert_mem_eq(b.data, "before", 6);
	ck_text(mem, "x", "0123456789");
}
END_TEST

/* ---- mem ---- */

START_TEST(memory_stores_of_one_name_are_one_store_until_dropped)
{
	struct store *same, *other, *fresh;

	ck_ok(store_open(URL, NULL, &same));
	ck_ok(store_open(URL "-other", NULL, &other));
	ck_ok(put_text(mem, "x", "bytes"));
	ck_text(same, "x", "bytes");
	ck_absent(other, "x");
	store_unref(same);
	ck_ok(store_open(URL, NULL, &same));
	ck_text(same, "x", "bytes");
	store_mem_drop(URL);
	ck_ok(store_open(URL, NULL, &fresh));
	ck_absent(fresh, "x");
	ck_text(same, "x", "bytes"); /* who still has it keeps it */
	store_unref(same);
	store_unref(fresh);
	store_unref(other);
	store_mem_drop(URL "-other");
	store_mem_drop("mem:never-opened");
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return t;
}

int main(void)
{
	Suite *s = suite_create("store: wrappers");
	TCase *t = add_case(s, "retry");

	tcase_add_test(t, trouble_that_passes_is_not_noticed);
	tcase_add_test(t, what_is_there_or_not_is_an_answer_and_no_failure);
	tcase_add_test(t, after_the_last_attempt_the_error_is_handed_on_with_its_note);
	tcase_add_test(t, definite_answers_are_not_asked_for_again);
	tcase_add_test(t, every_operation_is_tried_again_and_reads_are_never_doubled);
	tcase_add_test(t, waits_grow_are_random_and_have_a_ceiling);
	tcase_add_test(t, cancel_wakes_who_waits_for_the_next_try);
	tcase_add_test(t, lasting_trouble_is_told_once_a_minute_and_its_end_too);
	tcase_add_test(t, trouble_that_goes_on_is_told_again_each_minute);
	t = add_case(s, "lost answers");
	tcase_add_test(t, a_create_whose_answer_was_lost_succeeds);
	tcase_add_test(t, a_swap_whose_answer_was_lost_succeeds);
	tcase_add_test(t, a_create_of_several_pieces_is_recognised);
	tcase_add_test(t, somebody_elses_object_is_never_taken_for_ours);
	tcase_add_test(t, who_is_overtaken_between_his_tries_has_lost);
	tcase_add_test(t, a_first_refusal_is_final_without_reading);
	tcase_add_test(t, the_reading_back_is_tried_again_too);
	tcase_add_test(t, of_a_put_sent_twice_by_the_network_the_first_counts);
	t = add_case(s, "trace");
	tcase_add_test(t, trace_tells_of_each_request_and_counts_it);
	t = add_case(s, "faults");
	tcase_add_test(t, an_error_before_has_no_effect_and_an_error_after_has);
	tcase_add_test(t, reads_that_fail_after_leave_nothing_behind);
	tcase_add_test(t, the_plan_is_asked_with_number_operation_and_key);
	tcase_add_test(t, who_hangs_goes_on_with_an_error_after_resume_or_cancel);
	tcase_add_test(t, a_dead_machine_does_nothing_more);
	tcase_add_test(t, a_duplicate_takes_effect_twice_and_the_first_answer_counts);
	tcase_add_test(t, late_requests_take_effect_at_resume_in_their_order);
	tcase_add_test(t, a_flip_changes_one_bit_of_what_is_read);
	t = add_case(s, "memory");
	tcase_add_test(t, memory_stores_of_one_name_are_one_store_until_dropped);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* util: the thread pool, the budget, clock and log. */
#include "util/util.h"
#include "runner.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- clock, randomness ---- */

START_TEST(a_wait_with_nobody_to_end_it_ends_by_itself)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond;
	uint64_t start = clock_mono_ms(&clock_system);

	cond_init(&cond);
	pthread_mutex_lock(&lock);
	while (cond_wait_ms(&cond, &lock, 5))
		; /* woken for no reason */
	pthread_mutex_unlock(&lock);
	ck_assert_uint_ge(clock_mono_ms(&clock_system) - start, 4);
	pthread_cond_destroy(&cond);
}
END_TEST

START_TEST(uuids_differ_and_have_the_form_of_version_4)
{
	struct uuid a, b;
	char text[UUID_STR_LEN];

	uuid_make(&a);
	uuid_make(&b);
	ck_assert_mem_ne(a.bytes, b.bytes, sizeof(a.bytes));
	uuid_format(&a, text);
	ck_assert_uint_eq(strlen(text), 36);
	ck_assert_uint_eq((unsigned char)text[14], '4');
	ck_assert_ptr_nonnull(strchr("89ab", text[19]));
	uuid_format(&(struct uuid){ { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
		    text);
	ck_assert_str_eq(text, "01020304-0506-0708-090a-0b0c0d0e0f10");
}
END_TEST

/* ---- log ---- */

static void keep_line(void *ctx, enum log_level level, const char *line)
{
	(void)snprintf(ctx, 100, "%d %s", (int)level, line);
}

START_TEST(the_log_drops_what_is_above_its_level)
{
	char last[100] = "";

	log_setup(LOG_L_INFO, keep_line, last);
	log_debug("not %s", "wanted");
	ck_assert_str_eq(last, "");
	log_line(LOG_L_INFO, "hello %d", 5);
	ck_assert_str_eq(last, "2 hello 5");
	log_setup(LOG_L_DEBUG, keep_line, last);
	log_debug("now");
	ck_assert_str_eq(last, "3 now");
	log_setup(LOG_L_WARN, NULL, NULL);
	notify(NULL, LOG_L_WARN, "nobody listens");
	notify(&(struct notifier){ NULL, NULL }, LOG_L_WARN, "nobody listens");
	notify(&(struct notifier){ keep_line, last }, LOG_L_WARN, "trouble: %s", "x");
	ck_assert_str_eq(last, "1 trouble: x");
}
END_TEST

/* ---- pool ---- */

#define JOBS 2000

struct order {
	pthread_mutex_t lock;
	int started[JOBS];
	int count;
	bool signals_blocked;
};

struct job {
	struct order *order;
	int number;
};

static void note_order(void *arg)
{
	struct job *j = arg;
	sigset_t blocked;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	pthread_mutex_lock(&j->order->lock);
	j->order->started[j->order->count++] = j->number;
	j->order->signals_blocked =
		sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGHUP) == 1;
	pthread_mutex_unlock(&j->order->lock);
}

static void submit_all(struct pool *p, struct order *o, struct job *jobs)
{
	pthread_mutex_init(&o->lock, NULL);
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){ o, i };
		ck_assert_int_eq(pool_submit(p, note_order, &jobs[i]), 0);
	}
}

START_TEST(one_thread_runs_jobs_in_the_order_of_submission_without_signals)
{
	static struct order o;
	static struct job jobs[JOBS];
	struct pool *p = NULL;
	sigset_t here;

	ck_assert_int_eq(pool_new("a-name-longer-than-linux-allows", 1, &p), 0);
	submit_all(p, &o, jobs);
	pool_drain(p);
	ck_assert_int_eq(o.count, JOBS);
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(o.started[i], i);
	ck_assert(o.signals_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &here);
	ck_assert_int_eq(sigismember(&here, SIGTERM), 0);
	pool_free(p);
}
END_TEST

START_TEST(many_threads_run_every_job_once_and_freeing_waits_for_all)
{
	static struct order o;
	static struct job jobs[JOBS];
	static bool seen[JOBS];
	struct pool *p = NULL;

	ck_assert_int_eq(pool_new("test", 4, &p), 0);
	submit_all(p, &o, jobs);
	pool_free(p);
	ck_assert_int_eq(o.count, JOBS);
	for (int i = 0; i < JOBS; i++) {
		ck_assert(!seen[o.started[i]]);
		seen[o.started[i]] = true;
	}
	pool_free(NULL);
}
END_TEST

struct chain { /* a job that submits the next */
	struct pool *pool;
	int left;
};

static void go_on(void *arg)
{
	struct chain *c = arg;

	if (--c->left > 0)
		ck_assert_int_eq(pool_submit(c->pool, go_on, c), 0);
}

START_TEST(jobs_that_jobs_submit_are_waited_for_too)
{
	struct chain c = { .left = 500 };

	ck_assert_int_eq(pool_new("test", 2, &c.pool), 0);
	ck_assert_int_eq(pool_submit(c.pool, go_on, &c), 0);
	pool_drain(c.pool);
	ck_assert_int_eq(c.left, 0);
	c.left = 500;
	ck_assert_int_eq(pool_submit(c.pool, go_on, &c), 0);
	pool_free(c.pool);
	ck_assert_int_eq(c.left, 0);
}
END_TEST

/* ---- budget ---- */

START_TEST(a_full_budget_refuses_in_time_and_a_large_request_passes_alone)
{
	struct budget b;

	budget_init(&b, 100);
	ck_assert_int_eq(budget_take(&b, 60, 1), 0);
	ck_assert_int_eq(budget_take(&b, 41, 1), -ETIMEDOUT);
	ck_assert_uint_eq(budget_used(&b), 60);
	ck_assert_int_eq(budget_take(&b, 40, 1), 0);
	budget_force(&b, 50);
	ck_assert_uint_eq(budget_used(&b), 150);
	ck_assert_int_eq(budget_take(&b, 1, 1), -ETIMEDOUT);
	ck_assert_int_eq(budget_take(&b, UINT64_MAX, 1), -ETIMEDOUT);
	budget_give(&b, 150);
	ck_assert_int_eq(budget_take(&b, 1000, 1), 0);
	ck_assert_int_eq(budget_take(&b, 1, 1), -ETIMEDOUT);
	budget_give(&b, 1000);
	ck_assert_uint_eq(budget_used(&b), 0);
	budget_release(&b);
}
END_TEST

static void count_pressure(void *ctx)
{
	__atomic_add_fetch((int *)ctx, 1, __ATOMIC_SEQ_CST);
}

static void *take_forever(void *arg)
{
	return (void *)(intptr_t)budget_take(arg, 100, 0);
}

START_TEST(who_waits_puts_pressure_on_the_owner_and_goes_on_when_bytes_come_back)
{
	int pressure = 0;
	struct budget b;
	pthread_t t;
	void *result;

	budget_init(&b, 100);
	b.on_pressure = count_pressure;
	b.ctx = &pressure;
	ck_assert_int_eq(budget_take(&b, 100, 0), 0);
	ck_assert_int_eq(pressure, 0);
	ck_assert_int_eq(pthread_create(&t, NULL, take_forever, &b), 0);
	while (__atomic_load_n(&pressure, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
	budget_give(&b, 100);
	pthread_join(t, &result);
	ck_assert_int_eq((intptr_t)result, 0);
	ck_assert_uint_eq(budget_used(&b), 100);
	budget_give(&b, 100);
	budget_release(&b);
}
END_TEST

static void give_back(void *ctx)
{
	budget_give(ctx, 80);
}

START_TEST(an_owner_that_gives_back_at_once_lets_the_waiter_pass)
{
	struct budget b;

	budget_init(&b, 100);
	ck_assert_int_eq(budget_take(&b, 80, 0), 0);
	b.on_pressure = give_back;
	b.ctx = &b;
	ck_assert_int_eq(budget_take(&b, 100, 0), 0);
	ck_assert_uint_eq(budget_used(&b), 100);
	budget_give(&b, 100);
	budget_release(&b);
}
END_TEST

struct taker {
	struct budget *budget;
	uint64_t *in_use, *most; /* under the test's own lock */
	pthread_mutex_t *lock;
};

static void *take_and_give(void *arg)
{
	struct taker *t = arg;

	for (int i = 0; i < 300; i++) {
		uint64_t bytes = 1 + random_u64() % 60;

		if (budget_take(t->budget, bytes, 0) < 0)
			return NULL;
		pthread_mutex_lock(t->lock);
		*t->in_use += bytes;
		*t->most = max_u64(*t->most, *t->in_use);
		pthread_mutex_unlock(t->lock);
		sched_yield();
		pthread_mutex_lock(t->lock);
		*t->in_use -= bytes;
		pthread_mutex_unlock(t->lock);
		budget_give(t->budget, bytes);
	}
	return t;
}

START_TEST(many_takers_never_exceed_the_limit_and_all_get_their_turn)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t in_use = 0, most = 0;
	struct budget b;
	struct taker taker = { &b, &in_use, &most, &lock };
	pthread_t threads[8];
	void *ok;

	budget_init(&b, 100);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, &taker), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &ok);
		ck_assert_ptr_nonnull(ok);
	}
	ck_assert_uint_le(most, 100);
	ck_assert_uint_eq(budget_used(&b), 0);
	budget_release(&b);
}
END_TEST

static void add_cases(Suite *s)
{
	TCase *t;

	t = tcase_create("clock, randomness");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_wait_with_nobody_to_end_it_ends_by_itself);
	tcase_add_test(t, uuids_differ_and_have_the_form_of_version_4);
	suite_add_tcase(s, t);

	t = tcase_create("log");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_log_drops_what_is_above_its_level);
	suite_add_tcase(s, t);

	t = tcase_create("pool");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, one_thread_runs_jobs_in_the_order_of_submission_without_signals);
	tcase_add_test(t, many_threads_run_every_job_once_and_freeing_waits_for_all);
	tcase_add_test(t, jobs_that_jobs_submit_are_waited_for_too);
	suite_add_tcase(s, t);

	t = tcase_create("budget");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_full_budget_refuses_in_time_and_a_large_request_passes_alone);
	tcase_add_test(t, who_waits_puts_pressure_on_the_owner_and_goes_on_when_bytes_come_back);
	tcase_add_test(t, an_owner_that_gives_back_at_once_lets_the_waiter_pass);
	tcase_add_test(t, many_takers_never_exceed_the_limit_and_all_get_their_turn);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("util: threads, budget, log");

	add_cases(s);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commit chain: what an acknowledged commit costs and is worth, the owner's hooks, checkpoints,
 * what may be missing. Two writers: db_writers.c; deletion: db_deletion.c; crashes at every
 * operation: db_crash.c.
 */
#include "db_fixture.h"

#include <pthread.h>

#define URL "mem:db-chain-tests"

static void setup(void)
{
	store_mem_drop(URL);
}

/* ---- commits ---- */

START_TEST(test_a_commit_is_one_put_and_a_needless_one_none)
{
	struct mount m;
	uint64_t before;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), 0);
	for (int i = 0; i < 10; i++) {
		put(&m, "b", "2");
		ck_assert(db_is_dirty(m.db));
		before = all_requests(&m);
		ck_assert_int_eq(db_commit(m.db), 0);
		ck_assert_uint_eq(all_requests(&m) - before, 1);
		ck_assert(!db_is_dirty(m.db));
		ck_assert_int_eq(db_commit(m.db), 0);
		ck_assert_uint_eq(all_requests(&m) - before, 1);
	}
	mount_drop(&m);
}
END_TEST

#define WRITERS 16
#define WRITES 50

struct writer {
	struct mount *m;
	unsigned *left; /* writers still at work */
	int id;
};

struct answer { /* of a db_commit_then */
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned count;
	int err;
	char note[128];
};

static void answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	pthread_mutex_init(&a->lock, NULL);
	cond_init(&a->came);
}

static void take_answer(void *arg, int err)
{
	struct answer *a = arg;

	pthread_mutex_lock(&a->lock);
	a->count++;
	a->err = err;
	snprintf(a->note, sizeof(a->note), "%s", err_last_note());
	pthread_cond_signal(&a->came);
	pthread_mutex_unlock(&a->lock);
}

static int await_answer(struct answer *a)
{
	int err;

	pthread_mutex_lock(&a->lock);
	while (a->count == 0)
		pthread_cond_wait(&a->came, &a->lock);
	a->count--;
	err = a->err;
	pthread_mutex_unlock(&a->lock);
	return err;
}

static unsigned answers(struct answer *a)
{
	unsigned n;

	pthread_mutex_lock(&a->lock);
	n = a->count;
	pthread_mutex_unlock(&a->lock);
	return n;
}

static int commit_and_await(struct db *db)
{
	struct answer a;

	answer_init(&a);
	db_commit_then(db, take_answer, &a);
	return await_answer(&a);
}

/* Every other one does not wait in db_commit. */
static void *writer_run(void *arg)
{
	struct writer *w = arg;
	char key[32];
	bool ok = true;

	for (int i = 0; i < WRITES && ok; i++) {
		snprintf(key, sizeof(key), "%d/%d", w->id, i);
		ok = try_put(w->m, key, "x") == 0 &&
		     (w->id % 2 ? db_commit(w->m->db) : commit_and_await(w->m->db)) == 0;
	}
	__atomic_sub_fetch(w->left, 1, __ATOMIC_SEQ_CST);
	return ok ? NULL : "failed";
}

struct gathering {
	struct mount *m;
	unsigned left;
};

/* The answer to a slot's PUT comes when another committer has arrived meanwhile, if there is any.
 */
static enum store_fault slow_slots(void *ctx, uint64_t number, enum store_op op, const char *key,
				   int *error)
{
	struct gathering *g = ctx;
	struct db_stats s = { 0 };

	if (op != STORE_OP_PUT || strncmp(key, "chain/", 6) != 0 || !g->m->db)
		return STORE_FAULT_NONE;
	while (s.commit_waiters < 2 && __atomic_load_n(&g->left, __ATOMIC_SEQ_CST) >= 2) {
		sched_yield();
		db_stats(g->m->db, &s);
	}
	return STORE_FAULT_NONE;
}

START_TEST(test_commits_of_many_threads_share_slots)
{
	struct writer w[WRITERS];
	pthread_t t[WRITERS];
	struct db_stats s;
	struct mount m;
	struct gathering g = { &m, WRITERS };
	void *result;

	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ slow_slots, &g };
	mount_open(&m, MOUNT_CREATE);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ &m, &g.left, i };
		ck_assert_int_eq(pthread_create(&t[i], NULL, writer_run, &w[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(t[i], &result);
		ck_assert_ptr_null(result);
	}
	db_stats(m.db, &s);
	/* Whoever came during a PUT shared the next: two or more callers to each, but for the tail.
	 */
	ck_assert_uint_le(s.commits, WRITERS * WRITES / 2 + WRITES);
	ck_assert_uint_gt(s.commits, 0);
	mount_drop(&m);

	m.plan.decide = NULL;
	mount_open(&m, MOUNT_WRITE);
	for (int i = 0; i < WRITERS; i++)
		for (int n = 0; n < WRITES; n++) {
			char key[32];

			snprintf(key, sizeof(key), "%d/%d", i, n);
			ck_value(&m, key, "x");
		}
	mount_drop(&m);
}
END_TEST

START_TEST(test_what_was_not_committed_is_not_there_after_a_crash)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put_numbers(&m, 0, 10, 10);
	ck_assert_int_eq(db_commit(m.db), 0);
	put_numbers(&m, 10, 20, 10);
	mount_drop(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 10);
	mount_drop(&m);
}
END_TEST

/* ---- hooks ---- */

struct owner {
	struct mount *m;
	int seal_error, wait_error;
	bool wait, write_in_seal;
	const char *part;
	uint64_t part_id, part_offset;
	unsigned seals, unseals, waits, wait_dones, part_dones, checkpoints;
	int part_result;
};

static int owner_wait(void *arg)
{
	struct owner *o = arg;

	o->waits++;
	return o->wait_error ? err_note(o->wait_error, "the owner's wait") : 0;
}

static void owner_wait_done(void *arg)
{
	((struct owner *)arg)->wait_dones++;
}

static void owner_part_done(void *arg, int result)
{
	struct owner *o = arg;

	o->part_dones++;
	o->part_result = result;
}

static int owner_before_seal(void *ctx, struct db_seal *seal)
{
	struct owner *o = ctx;

	o->seals++;
	if (o->write_in_seal)
		put(o->m, "counter", "in the cut");
	if (o->wait)
		ck_assert_int_eq(db_seal_wait(seal, owner_wait, owner_wait_done, o), 0);
	if (o->part)
		ck_assert_int_eq(db_seal_part(seal, o->part_id, o->part_offset, o->part,
					      strlen(o->part), owner_part_done, o),
				 0);
	return o->seal_error ? err_note(o->seal_error, "the owner's seal") : 0;
}

static void owner_after_seal(void *ctx)
{
	((struct owner *)ctx)->unseals++;
}

static int owner_before_checkpoint(void *ctx)
{
	((struct owner *)ctx)->checkpoints++;
	return 0;
}

static void open_with_owner(struct mount *m, struct owner *o, enum mount_mode mode)
{
	o->m = m;
	m->config.hooks = (struct db_hooks){ .before_seal = owner_before_seal,
					     .after_seal = owner_after_seal,
					     .before_checkpoint = owner_before_checkpoint,
					     .ctx = o };
	mount_open(m, mode);
}

START_TEST(test_what_the_owner_writes_while_sealing_is_in_the_cut)
{
	struct owner o = { .write_in_seal = true };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), 0);
	ck_assert(!db_is_dirty(m.db));
	ck_assert_uint_eq(o.seals, 1);
	ck_assert_uint_eq(o.unseals, 1);
	mount_drop(&m);
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_value(&m, "counter", "in the cut");
	mount_drop(&m);
}
END_TEST

START_TEST(test_an_owner_that_cannot_seal_fails_that_commit_only)
{
	struct owner o = { .seal_error = -ENOSPC };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), -ENOSPC);
	ck_assert_str_eq(err_last_note(), "the owner's seal");
	ck_assert_uint_eq(o.unseals, 1);
	o.seal_error = 0;
	ck_assert(db_is_dirty(m.db));
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_slot_waits_for_what_the_owner_says_and_its_failure_is_final)
{
	struct owner o = { .wait = true };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	put(&m, "a", "1");
	ck_assert_int_eq(db_commit(m.db), 0);
	ck_assert_uint_eq(o.waits, 1);
	ck_assert_uint_eq(o.wait_dones, 1);
	put(&m, "b", "2");
	o.wait_error = -ECANCELED;
	ck_assert_int_eq(db_commit(m.db), -ECANCELED);
	ck_assert_uint_eq(o.wait_dones, 2);
	o.wait_error = 0;
	ck_assert_int_eq(db_commit(m.db), -ECANCELED);
	ck_assert_int_ne(try_put(&m, "c", "3"), 0);
	mount_drop(&m);
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	ck_value(&m, "b", NULL);
	mount_drop(&m);
}
END_TEST

/* ---- commits that nobody waits in ---- */

struct gate { /* slots do not get through while it is shut */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool shut, reached;
};

static void gate_init(struct gate *g)
{
	*g = (struct gate){ 0 };
	pthread_mutex_init(&g->lock, NULL);
	cond_init(&g->changed);
}

static void gate_set(struct gate *g, bool shut)
{
	pthread_mutex_lock(&g->lock);
	g->shut = shut;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static enum store_fault stop_at_gate(void *ctx, uint64_t number, enum store_op op, const char *key,
				     int *error)
{
	struct gate *g = ctx;

	if (op != STORE_OP_PUT || strncmp(key, "chain/", 6) != 0)
		return STORE_FAULT_NONE;
	pthread_mutex_lock(&g->lock);
	g->reached = g->shut;
	pthread_cond_broadcast(&g->changed);
	while (g->shut)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
	return STORE_FAULT_NONE;
}

static void *commit_run(void *db)
{
	return db_commit(db) == 0 ? NULL : "failed";
}

/* Another thread's commit, in the middle of its PUT. */
static pthread_t commit_up_to_gate(struct mount *m, struct gate *g)
{
	pthread_t t;

	gate_set(g, true);
	put(m, "leader", "1");
	ck_assert_int_eq(pthread_create(&t, NULL, commit_run, m->db), 0);
	pthread_mutex_lock(&g->lock);
	while (!g->reached)
		pthread_cond_wait(&g->changed, &g->lock);
	g->reached = false;
	pthread_mutex_unlock(&g->lock);
	return t;
}

START_TEST(test_a_commit_that_is_not_waited_for_is_answered_once_it_is_durable)
{
	struct mount m;
	struct answer a;
	struct gate g;
	pthread_t leader;

	answer_init(&a);
	gate_init(&g);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ stop_at_gate, &g };
	mount_open(&m, MOUNT_CREATE);
	leader = commit_up_to_gate(&m, &g);
	put(&m, "a", "1");
	db_commit_then(m.db, take_answer, &a);
	put(&m, "b", "1");
	db_commit_then(m.db, take_answer, &a);
	ck_assert_uint_eq(answers(&a), 0);
	gate_set(&g, false);
	ck_assert_int_eq(await_answer(&a), 0);
	ck_assert_int_eq(await_answer(&a), 0);
	pthread_join(leader, NULL);
	db_commit_then(m.db, take_answer, &a); /* there is nothing to commit */
	ck_assert_int_eq(await_answer(&a), 0);
	mount_drop(&m);

	mount_open(&m, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	ck_value(&m, "b", "1");
	mount_drop(&m);
}
END_TEST

START_TEST(test_a_commit_that_is_not_waited_for_learns_what_went_wrong)
{
	struct owner o = { 0 };
	struct mount m;
	struct answer a;
	struct gate g;
	pthread_t leader;

	answer_init(&a);
	gate_init(&g);
	mount_init(&m, URL);
	m.plan = (struct store_fault_plan){ stop_at_gate, &g };
	open_with_owner(&m, &o, MOUNT_CREATE);
	leader = commit_up_to_gate(&m, &g);
	put(&m, "a", "1");
	db_commit_then(m.db, take_answer, &a);
	o.seal_error = -ENOSPC; /* read by whoever leads next */
	gate_set(&g, false);
	ck_assert_int_eq(await_answer(&a), -ENOSPC);
	ck_assert_str_eq(a.note, "the owner's seal");
	pthread_join(leader, NULL);
	o.seal_error = 0;

	leader = commit_up_to_gate(&m, &g);
	put(&m, "b", "1");
	db_commit_then(m.db, take_answer, &a);
	db_cancel(m.db);
	ck_assert_int_eq(await_answer(&a), -ECANCELED); /* although the store is silent still */
	db_commit_then(m.db, take_answer, &a);
	ck_assert_int_eq(await_answer(&a), -ECANCELED);
	gate_set(&g, false);
	pthread_join(leader, NULL);
	mount_drop(&m);
}
END_TEST

struct parts {
	struct buf bytes;
	unsigned calls;
};

static int collect_part(void *ctx, uint64_t id, uint64_t offset, const void *data, size_t len)
{
	struct parts *p = ctx;

	ck_assert_uint_eq(id, 77);
	ck_assert_uint_eq(offset, p->bytes.len);
	buf_add(&p->bytes, data, len);
	p->calls++;
	return 0;
}

START_TEST(test_parts_come_back_after_a_crash_until_a_checkpoint)
{
	struct owner o = { .part_id = 77 };
	struct parts p = { BUF_INIT, 0 };
	struct mount m;

	mount_init(&m, URL);
	open_with_owner(&m, &o, MOUNT_CREATE);
	for (int i = 0; i < 2; i++) {
		o.part = i ? "world" : "hello ";
		put(&m, "a", o.part);
		ck_assert_int_eq(db_commit(m.db), 0);
		o.part_offset += strlen(o.part);
		ck_assert_int_eq(o.part_result, 0);
	}
	ck_assert_uint_eq(o.part_dones, 2);
	mount_drop(&m);

	o.part = NULL;
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_assert_int_eq(db_checkpoint(m.db), -EBUSY); /* or they would be lost */
	ck_assert_int_eq(db_recovered_parts(m.db, collect_part, &p), 0);
	ck_assert_uint_eq(p.calls, 2);
	ck_assert_str_eq(buf_cstr(&p.bytes), "hello world");
	o.checkpoints = 0;
	ck_assert_int_eq(db_checkpoint(m.db), 0);
	ck_assert_uint_eq(o.checkpoints, 1);
	/* The rest of an object whose beginning is stored by now is of no use. */
	o.part = "late";
	put(&m, "a", "3");
	ck_assert_int_eq(db_commit(m.db), 0);
	mount_drop(&m);

	o.part = NULL;
	open_with_owner(&m, &o, MOUNT_WRITE);
	ck_assert_int_eq(db_recovered_parts(m.db, collect_part, &p), 0);
	ck_assert_uint_eq(p.calls, 2);
	mount_drop(&m);
	buf_release(&p.bytes);
}
END_TEST

START_TEST(test_a_cancelled_database_acknowledges_nothing)
{
	struct mount m;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	db_cancel(m.db);
	ck_assert_int_eq(db_commit(m.db), -ECANCELED);
	ck_assert_int_eq(db_checkpoint(m.db), -ECANCELED);
	mount_drop(&m);
}
END_TEST

/* ---- what may be missing or bad ---- */

static void ck_refused(const char *naming)
{
	size_t before = count_objects(URL, "c"); /* chain and checkpoints */
	struct mount m;
	int err;

	for (int mode = MOUNT_WRITE; mode <= MOUNT_READ; mode++) {
		mount_init(&m, URL);
		err = mount_try(&m, mode);
		ck_assert_msg(err == -L3_CORRUPT, "opened with %s, wanted a complaint about %s",
			      err ? err_text(err) : "success", naming);
		ck_assert_msg(strstr(err_last_note(), naming), "%s: does not name %s",
			      err_last_note(), naming);
		mount_drop(&m);
	}
	ck_assert_uint_eq(count_objects(URL, "c"), before);
}

/* Two checkpoints, some slots after the newer. */
static void make_history(void)
{
	struct mount m;
	unsigned n = 0;

	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	live_on(&m, &n);
	for (int i = 0; i < 3; i++, n++) {
		ck_assert_int_eq(try_put_number(&m, n, 50), 0);
		ck_assert_int_eq(db_commit(m.db), 0);
	}
	mount_drop(&m);
}

#define HISTORY_NUMBERS 15

START_TEST(test_a_missing_slot_is_an_error_that_names_it)
{
	char key[STORE_KEY_MAX];

	make_history();
	nth_object(URL, "chain/", -2, key);
	remove_object(URL, key);
	ck_refused(key);
}
END_TEST

START_TEST(test_a_bad_slot_is_an_error_that_names_it)
{
	char key[STORE_KEY_MAX];

	make_history();
	nth_object(URL, "chain/", -2, key);
	spoil_object(URL, key);
	ck_refused(key);
}
END_TEST

START_TEST(test_a_bad_newest_checkpoint_is_survived_with_the_one_before)
{
	char key[STORE_KEY_MAX];
	struct mount m;

	make_history();
	nth_object(URL, "checkpoint/", -1, key);
	spoil_object(URL, key);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_ptr_nonnull(strstr(m.said, key));
	ck_assert_uint_eq(count_numbers(&m), HISTORY_NUMBERS);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), HISTORY_NUMBERS);
	mount_drop(&m);
}
END_TEST

START_TEST(test_two_bad_checkpoints_are_an_error_that_names_the_newest)
{
	char newest[STORE_KEY_MAX], older[STORE_KEY_MAX];

	make_history();
	nth_object(URL, "checkpoint/", -1, newest);
	nth_object(URL, "checkpoint/", -2, older);
	spoil_object(URL, newest);
	spoil_object(URL, older);
	ck_refused(newest);
}
END_TEST

START_TEST(test_lost_checkpoints_are_an_error_not_a_fresh_start)
{
	char key[STORE_KEY_MAX];

	make_history();
	while (count_objects(URL, "checkpoint/") > 0) {
		nth_object(URL, "checkpoint/", 0, key);
		remove_object(URL, key);
	}
	ck_refused("chain/");
}
END_TEST

START_TEST(test_an_empty_chain_is_opened_by_mkfs_only)
{
	struct mount m;

	ck_refused("empty");
	mount_init(&m, URL);
	mount_open(&m, MOUNT_CREATE);
	mount_drop(&m); /* only the fence is there: mkfs was interrupted */
	ck_refused("CURRENT");
	mount_open(&m, MOUNT_CREATE);
	put(&m, "a", "1");
	mount_close(&m);
	mount_init(&m, URL);
	ck_assert_int_eq(mount_try(&m, MOUNT_CREATE), -EEXIST);
	mount_drop(&m);
	mount_open(&m, MOUNT_WRITE);
	ck_value(&m, "a", "1");
	mount_drop(&m);
}
END_TEST

/* ---- costs ---- */

START_TEST(test_opening_takes_few_requests)
{
	uint64_t lease_requests = 3; /* GET, PUT, and GET to confirm */
	struct mount m;

	make_database_of(URL, 300);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_READ);
	ck_assert_uint_le(all_requests(&m), 2);
	ck_assert_uint_eq(requests(&m, STORE_OP_PUT), 0);
	mount_drop(&m);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_WRITE);
	/* LIST, GET, PUT of the fence, LIST to see where it is; and maybe the table that LevelDB
	 * makes of its log. */
	ck_assert_uint_le(all_requests(&m), lease_requests + 5);
	mount_drop(&m);
}
END_TEST

/* Names are all that is looked at of what lies before a checkpoint. */
static void make_old_fences(unsigned count)
{
	char key[STORE_KEY_MAX];
	struct store *s = NULL;

	ck_assert_int_eq(store_open(URL, NULL, &s), 0);
	for (unsigned n = 0; n < count; n++) {
		(void)snprintf(key, sizeof(key), "chain/%020u-%u", 0, n);
		ck_assert_int_eq(store_put_bytes(s, key, "x", 1, STORE_ALWAYS, NULL, NULL), 0);
	}
	store_unref(s);
}

START_TEST(test_thousands_of_old_fences_are_not_listed_page_by_page)
{
	struct mount m;

	make_database_of(URL, 300);
	make_old_fences(3000);
	mount_init(&m, URL);
	mount_open(&m, MOUNT_READ);
	ck_assert_uint_eq(requests(&m, STORE_OP_LIST), 3);
	ck_assert_uint_eq(count_numbers(&m), 300);
	mount_drop(&m);
}
END_TEST

START_TEST(test_checkpoints_keep_the_chain_short)
{
	struct mount m;

	mount_init(&m, URL);
	m.config.checkpoint_slots = 8;
	mount_open(&m, MOUNT_CREATE);
	for (unsigned n = 0; n < 200; n++) {
		struct db_stats s;
		uint64_t newest;

		ck_assert_int_eq(try_put_number(&m, n, 10), 0);
		ck_assert_int_eq(db_commit(m.db), 0);
		db_stats(m.db, &s);
		for (newest = s.checkpoint_slot; s.slot - newest > 16; newest = s.checkpoint_slot) {
			sched_yield();
			db_stats(m.db, &s);
		}
	}
	mount_close(&m);
	ck_assert_uint_le(count_objects(URL, "checkpoint/"), 2);
	ck_assert_uint_lt(count_objects(URL, "chain/"), 25);
	mount_open(&m, MOUNT_WRITE);
	ck_assert_uint_eq(count_numbers(&m), 200);
	mount_close(&m);
	mount_open(&m, MOUNT_WRITE);
	mount_close(&m);
	/* The slots after the older checkpoint, and a fence for each of the three. */
	ck_assert_uint_lt(count_objects(URL, "chain/"), 12);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the commit chain");
	TCase *commits = tcase_create("commits"), *bad = tcase_create("missing and bad objects");
	TCase *costs = tcase_create("costs");

	tcase_add_checked_fixture(commits, setup, NULL);
	tcase_set_timeout(commits, 60);
	tcase_add_test(commits, test_a_commit_is_one_put_and_a_needless_one_none);
	tcase_add_test(commits, test_commits_of_many_threads_share_slots);
	tcase_add_test(commits, test_what_was_not_committed_is_not_there_after_a_crash);
	tcase_add_test(commits, test_what_the_owner_writes_while_sealing_is_in_the_cut);
	tcase_add_test(commits, test_an_owner_that_cannot_seal_fails_that_commit_only);
	tcase_add_test(commits, test_a_slot_waits_for_what_the_owner_says_and_its_failure_is_final);
	tcase_add_test(commits,
		       test_a_commit_that_is_not_waited_for_is_answered_once_it_is_durable);
	tcase_add_test(commits, test_a_commit_that_is_not_waited_for_learns_what_went_wrong);
	tcase_add_test(commits, test_parts_come_back_after_a_crash_until_a_checkpoint);
	tcase_add_test(commits, test_a_cancelled_database_acknowledges_nothing);
	suite_add_tcase(s, commits);

	tcase_add_checked_fixture(bad, setup, NULL);
	tcase_set_timeout(bad, 60);
	tcase_add_test(bad, test_a_missing_slot_is_an_error_that_names_it);
	tcase_add_test(bad, test_a_bad_slot_is_an_error_that_names_it);
	tcase_add_test(bad, test_a_bad_newest_checkpoint_is_survived_with_the_one_before);
	tcase_add_test(bad, test_two_bad_checkpoints_are_an_error_that_names_the_newest);
	tcase_add_test(bad, test_lost_checkpoints_are_an_error_not_a_fresh_start);
	tcase_add_test(bad, test_an_empty_chain_is_opened_by_mkfs_only);
	suite_add_tcase(s, bad);

	tcase_add_checked_fixture(costs, setup, NULL);
	tcase_set_timeout(costs, 120);
	tcase_add_test(costs, test_opening_takes_few_requests);
	tcase_add_test(costs, test_thousands_of_old_fences_are_not_listed_page_by_page);
	tcase_add_test(costs, test_checkpoints_keep_the_chain_short);
	suite_add_tcase(s, costs);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine is lost at the N-th store operation, for every N, while ranges are copied, collapsed,
 * inserted, written and cleaned. What the next mount finds is sound, and each file is as it was
 * after some operation, not before the last acknowledged sync.
 */
#define URL "mem:fs-ranges-crash-tests"
#include "fs_ranges.h"

#include <xxhash.h>

#define STEPS 40
#define SYNC_EVERY 5
#define CLEAN_EVERY 13
#define LEAST_POINTS 30 /* a session surely has so many store operations */
#define LONG (1 * MIB)

static struct {
	struct store *faults;
	uint64_t at;
	bool met;		      /* atomic */
	uint64_t state[2][STEPS + 1]; /* of each file after so many steps */
	unsigned done, acknowledged;
	uint64_t random;
} session;

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	if (number < session.at)
		return STORE_FAULT_NONE;
	__atomic_store_n(&session.met, true, __ATOMIC_SEQ_CST);
	return STORE_FAULT_DEAD;
}

static bool dead(void)
{
	return __atomic_load_n(&session.met, __ATOMIC_SEQ_CST);
}

static size_t draw(size_t below)
{
	session.random = session.random * 6364136223846793005u + 1442695040888963407u;
	return (session.random >> 33) % below;
}

/* What the twins do is done by hand here: trouble is expected, and the arrays must stay behind. */
static int64_t do_step(struct fs_file *f, struct twin *t, struct fs_file *other, struct twin *o)
{
	size_t at = draw(LONG), to = draw(LONG), len = 1 + draw(200000), block = FS_BLOCK_BYTES;
	size_t low = at / block * block, part = (len / block + 1) * block;
	int64_t err;

	switch (draw(6)) {
	case 0:
	case 1:
		fill(t->bytes + at, len, at);
		t->size = max_u64(t->size, at + len);
		return fs_write(f, t->bytes + at, len, at, false, false);
	case 2:
		if (low >= t->size)
			return 0;
		err = fs_fallocate(f, FALLOC_FL_INSERT_RANGE, low, part);
		if (err >= 0)
			twin_shift(t, true, low, part);
		return err;
	case 3:
		if (low + part >= t->size)
			return 0;
		err = fs_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, low, part);
		if (err >= 0)
			twin_shift(t, false, low, part);
		return err;
	default:
		err = fs_copy_range(other, at, f, to, len);
		if (err > 0) {
			memcpy(t->bytes + to, o->bytes + at, (size_t)err);
			t->size = max_u64(t->size, to + (size_t)err);
		}
		return err;
	}
}

static uint64_t state_of(const uint8_t *bytes, size_t size)
{
	return XXH3_64bits_withSeed(bytes, size, size);
}

static void remember(void)
{
	session.state[0][session.done] = state_of(a.bytes, a.size);
	session.state[1][session.done] = state_of(b.bytes, b.size);
}

static void trouble(int64_t err, const char *what)
{
	if (err < 0)
		ck_assert_msg(dead(), "%s: %s: %s", what, err_text((int)err), err_last_note());
}

static void sync_and_clean(void)
{
	int err = fs_sync(fs);

	trouble(err, "sync");
	if (err >= 0)
		session.acknowledged = session.done;
	if (session.done % CLEAN_EVERY == 0) {
		trouble(db_checkpoint(fs->db), "checkpoint");
		trouble(clean_pass(fs), "clean");
	}
}

static void run(void)
{
	while (session.done < STEPS && !dead()) {
		struct twin *t = session.done % 2 ? &a : &b, *o = t == &a ? &b : &a;
		struct fs_file *f = twin_open(t), *other = twin_open(o);
		int64_t err = do_step(f, t, other, o);

		fs_file_close(f);
		fs_file_close(other);
		trouble(err, "step");
		session.done++; /* what failed may be there after all: its state is one more */
		remember();
		if (err < 0)
			return;
		if (session.done % SYNC_EVERY == 0 || session.done % CLEAN_EVERY == 0)
			sync_and_clean();
	}
}

static void live_and_die(void)
{
	struct store_fault_plan plan = { .decide = decide };
	struct store *base;

	must(store_open(URL, &config.store, &base), "store");
	must(store_wrap_fault(base, &plan, &session.faults), "faults");
	store_unref(base);
	config.store_override = session.faults;
	if (fs_open(URL, &config, &fs) >= 0) {
		run();
		fs_crash(fs);
	}
	config.store_override = NULL;
	store_unref(session.faults);
}

/* As after some step since the last sync that was acknowledged. */
static void expect_some_state(const struct twin *t, unsigned which)
{
	uint8_t *got = malloc(TWIN_MAX);
	size_t size = read_at(t->ino, got, TWIN_MAX, 0);
	uint64_t state = state_of(got, size);
	bool fits = false;

	free(got);
	for (unsigned n = session.acknowledged; n <= session.done && !fits; n++)
		fits = session.state[which][n] == state;
	ck_assert_msg(fits,
		      "machine lost at operation %llu: file %u of %zu bytes is as after no step of "
		      "%u to %u",
		      (unsigned long long)session.at, which, size, session.acknowledged,
		      session.done);
}

static void look(void)
{
	open_fs(URL);
	check_fs(true);
	expect_some_state(&a, 0);
	expect_some_state(&b, 1);
	calm();
	clean();
	check_fs(true);
	expect_some_state(&a, 0);
	expect_some_state(&b, 1);
}

START_TEST(wherever_the_machine_is_lost_each_file_is_as_after_some_operation)
{
	uint64_t at = 1;

	do {
		setup();
		twin_write(&a, 300000, 0, 1);
		twin_write(&b, 200000, 0, 2);
		close_fs();
		memset(&session, 0, sizeof(session));
		session.at = at++;
		session.random = (uint64_t)_i + 5;
		remember();
		live_and_die();
		look();
		teardown();
	} while (dead());
	ck_assert_uint_gt(at, LEAST_POINTS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("losing the machine while ranges move");
	TCase *t = tcase_create("at every store operation");

	tcase_set_timeout(t, 2 * TEST_TIMEOUT_S);
	tcase_add_loop_test(t, wherever_the_machine_is_lost_each_file_is_as_after_some_operation, 0,
			    4);
	suite_add_tcase(s, t);
	return run_suite(s);
}

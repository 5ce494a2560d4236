/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A writer sleeps; another takes over, commits, and is lost; slots of the chain are lost, too, among
 * them what would have stopped the sleeper; the chain is repaired. When the sleeper wakes, right then
 * or after everything superfluous has been collected, it believes in its lease as before, and the
 * number of its next slot may be one that the damage or the repair left empty. It must be told no,
 * and what was repaired must stay as it is.
 */
#include "fs_mend_store.h"

#define SESSIONS 3 /* mounts that write and collect before the sleeper wakes late */

/* ---- the sleeper: its clock stands still, and of its lease it hears nothing ---- */

static struct fs *sleeper;
static struct store *sleepers_line;

static uint64_t stopped_mono_ns(struct clock *c)
{
	return 1;
}

static int64_t stopped_real_ns(struct clock *c)
{
	return 1;
}

static void stopped_sleep_ms(struct clock *c, uint64_t ms)
{
}

static struct clock stopped_clock = { stopped_mono_ns, stopped_real_ns, stopped_sleep_ms };
static bool asleep; /* atomic */

static enum store_fault no_lease(void *ctx, uint64_t number, enum store_op op, const char *key,
				 int *error)
{
	bool cut_off = __atomic_load_n(&asleep, __ATOMIC_SEQ_CST);

	*error = -L3_UNREACHABLE;
	return cut_off && strcmp(key, "lease") == 0 ? STORE_FAULT_ERROR_BEFORE : STORE_FAULT_NONE;
}

static void sync_file(struct fs *in, const char *name)
{
	struct fs_attr attr;

	must(fs_mknod(in, ROOT, name, &nobody, S_IFREG | 0644, 0, &attr), name);
	must(fs_sync(in), "sync");
}

/* The newest slot is its own. */
static void fall_asleep(void)
{
	struct store_fault_plan plan = { .decide = no_lease };
	struct fs_config its = config;
	struct store *base = plain_store();

	must(store_wrap_fault(base, &plan, &sleepers_line), "faults");
	store_unref(base);
	its.store_override = sleepers_line;
	its.clock = &stopped_clock;
	must(fs_open(URL, &its, &sleeper), "open");
	sync_file(sleeper, "before1");
	sync_file(sleeper, "before2");
	__atomic_store_n(&asleep, true, __ATOMIC_SEQ_CST);
}

/* Acknowledges nothing. */
static void wake(void)
{
	struct fs_attr attr;
	int err = fs_mknod(sleeper, ROOT, "late", &nobody, S_IFREG | 0644, 0, &attr);

	if (err >= 0)
		err = fs_sync(sleeper);
	ck_assert_msg(err == -L3_FENCED, "%d: %s", err, err_last_note());
	fs_crash(sleeper);
	store_unref(sleepers_line);
	__atomic_store_n(&asleep, false, __ATOMIC_SEQ_CST);
}

/* ---- damages, by the number of the last slot that the sleeper has written ---- */

static uint64_t last_slot(void)
{
	struct fs_status status;

	fs_status(sleeper, &status);
	return status.slot;
}

static void lose_slots(uint64_t from, uint64_t to)
{
	char key[STORE_KEY_MAX];

	for (uint64_t slot = from; slot <= to; slot++) {
		(void)snprintf(key, sizeof(key), "chain/%020llu", (unsigned long long)slot);
		remove_object(key);
	}
}

static void lose_next_fence(uint64_t last)
{
	lose_slots(last + 1, last + 1);
}

static void lose_before_fence(uint64_t last)
{
	lose_slots(last, last);
}

static void lose_all_around(uint64_t last)
{
	lose_slots(last, last + 3);
}

static void damage_next_fence(uint64_t last)
{
	char key[STORE_KEY_MAX];

	(void)snprintf(key, sizeof(key), "chain/%020llu", (unsigned long long)last + 1);
	change_object(key, flip_middle);
}

static void (*const damages[])(uint64_t last) = { lose_next_fence, lose_before_fence,
						  lose_all_around, damage_next_fence };

/* ---- what others do meanwhile ---- */

static void take_over_and_die(void)
{
	open_fs(URL);
	more_slots();
	fs_crash(fs);
	fs = NULL;
}

/* Each session ends with a checkpoint, and trims what the one before has left. */
static void collect_everything(void)
{
	for (int n = 0; n < SESSIONS; n++) {
		char name[24];

		(void)snprintf(name, sizeof(name), "session%d", n);
		open_fs(URL);
		sync_file(fs, name);
		close_fs();
	}
}

static void repair(void)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct fs_fsck_result r = run_fsck(true, &said);

	ck_assert_uint_gt(r.found, 0);
	ck_assert_msg(r.left == 0, "%s", buf_cstr(&said.all));
	release(&said);
}

static void expect_the_repaired(bool collected)
{
	open_fs(URL);
	all_is_there();
	ck_assert_uint_ne(find(ROOT, "before1"), 0);
	ck_assert_uint_eq(find(ROOT, "late"), 0);
	ck_assert(collected == (find(ROOT, "session0") != 0));
	sync_file(fs, "after");
	close_fs();
	check_store(URL);
}

static void sleep_through_a_repair(void (*damage)(uint64_t last), bool collect)
{
	uint64_t last;

	close_fs();
	fall_asleep();
	last = last_slot();
	take_over_and_die();
	damage(last);
	repair();
	if (collect)
		collect_everything();
	wake();
	expect_the_repaired(collect);
}

START_TEST(a_writer_that_slept_through_a_repair_is_fenced)
{
	sleep_through_a_repair(damages[_i], false);
}
END_TEST

START_TEST(a_writer_that_wakes_after_all_was_collected_is_fenced)
{
	sleep_through_a_repair(damages[_i], true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair: writers that sleep through it");
	TCase *t = tcase_create("sleepers");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_writer_that_slept_through_a_repair_is_fenced, 0,
			    (int)ARRAY_LEN(damages));
	tcase_add_loop_test(t, a_writer_that_wakes_after_all_was_collected_is_fenced, 0,
			    (int)ARRAY_LEN(damages));
	suite_add_tcase(s, t);
	return run_suite(s);
}

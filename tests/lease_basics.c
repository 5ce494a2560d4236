/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease: who gets it, who is refused, when another host's lease counts as run out, and that an
 * object nobody understands is left alone.
 */
#include "tests/lease_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- plain ---- */

START_TEST(the_first_taker_gets_epoch_one_and_says_who_it_is)
{
	struct lease *l = acquire();
	struct lease_holder h = stored();

	ck_assert_uint_eq(lease_epoch(l), 1);
	ck_assert(lease_valid(l));
	ck_assert(!lease_lost(l));
	ck_assert_uint_eq(h.epoch, 1);
	ck_assert(!h.released);
	ck_assert_uint_eq(h.duration_ms, 30000);
	ck_assert_uint_eq(h.pid, (uint64_t)getpid());
	ck_assert_uint_ne(h.pid_start, 0);
	ck_assert_uint_ne(h.pid_ns, 0);
	ck_assert_uint_eq(strlen(h.boot_id), 36);
	ck_assert_str_eq(h.mountpoint, "/mnt/here");
	ck_assert_int_eq(h.since_real_ns, fake_real_ns(&fx.time.clock));
	ck_assert_uint_eq(fx.warnings, 0);
	lease_free(l);
}
END_TEST

START_TEST(a_missing_lease_of_an_old_filesystem_is_made_anew_with_a_warning)
{
	struct lease *l;

	fx.config.create = false;
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 1);
	ck_assert_uint_eq(fx.warnings, 1);
	lease_free(l);
}
END_TEST

START_TEST(a_second_taker_is_refused_and_told_by_whom)
{
	struct lease *holder = acquire(), *l = NULL;
	struct lease_holder h = { 0 };
	char pid[32];

	ck_assert_int_eq(lease_acquire(&fx.config, &l, &h), -L3_LEASE_HELD);
	(void)snprintf(pid, sizeof(pid), "pid %d,", (int)getpid());
	ck_assert_ptr_nonnull(strstr(err_last_note(), "held by "));
	ck_assert_ptr_nonnull(strstr(err_last_note(), pid));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "mounted on /mnt/here since 2023-"));
	ck_assert_uint_eq(h.pid, (uint64_t)getpid());
	ck_assert_uint_eq(h.epoch, 1);
	ck_assert_ptr_null(l);
	ck_assert(lease_valid(holder));
	ck_assert_int_eq(lease_renew(holder), 0);
	lease_free(holder);
}
END_TEST

START_TEST(a_released_lease_is_taken_at_once_with_the_next_epoch)
{
	struct lease *l = acquire();

	ck_assert_int_eq(lease_release(l), 0);
	ck_assert(!lease_valid(l));
	ck_assert(stored().released);
	lease_free(l);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 2);
	ck_assert(!stored().released);
	ck_assert_uint_eq(fx.waits, 0);
	lease_free(l);
}
END_TEST

START_TEST(a_renewal_that_cannot_come_in_time_is_refused)
{
	fx.config.renew_ms = 15000;
	refused(-L3_BAD_OPTION);
	fx.config.renew_ms = 0;
	refused(-L3_BAD_OPTION);
	fx.config.renew_ms = 10000;
	fx.config.duration_ms = 0;
	refused(-L3_BAD_OPTION);
}
END_TEST

START_TEST(a_description_is_fit_for_people_and_terminals)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h = foreign_holder(1);

	lease_describe(&h, &b);
	ck_assert_str_eq(
		buf_cstr(&b),
		"far.example, pid 4242, mounted on /srv/far since 2026-01-02 03:04:05 UTC");
	buf_reset(&b);
	memcpy(h.host, "a\033[2J\nb", 8);
	memcpy(h.mountpoint, "(mkfs)", 7);
	lease_describe(&h, &b);
	ck_assert_str_eq(buf_cstr(&b), "a?[2J?b, pid 4242 (mkfs) since 2026-01-02 03:04:05 UTC");
}
END_TEST

/* ---- holders of this machine ---- */

static struct store *shared_folder(char dir[64])
{
	struct store *s = NULL;
	char url[80];

	(void)snprintf(dir, 64, "/tmp/lease-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(url, sizeof(url), "file://%s", dir);
	ck_assert_int_eq(store_open(url, NULL, &s), 0);
	return s;
}

/* A child that takes the lease, says so, and ends when told. */
static pid_t child_takes(int *ret_stop)
{
	int ready[2], stop[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(stop), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct lease *l = NULL;
		int ok = lease_acquire(&fx.config, &l, NULL) == 0;

		close(stop[1]);
		if (ok && write(ready[1], "x", 1) == 1)
			(void)!read(stop[0], &c, 1);
		_exit(!ok);
	}
	close(stop[0]);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*ret_stop = stop[1];
	return pid;
}

START_TEST(a_holder_of_this_machine_that_died_is_replaced_at_once)
{
	char dir[64], command[96];
	struct store *folder = shared_folder(dir);
	struct lease *l;
	siginfo_t info;
	int stop;
	pid_t pid;

	fx.config.store = folder;
	pid = child_takes(&stop);
	refused(-L3_LEASE_HELD);
	close(stop);
	/* Ended, but nobody has fetched its exit status: dead all the same. */
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 2);
	ck_assert_int_eq(lease_release(l), 0);
	lease_free(l);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);

	pid = child_takes(&stop);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(stop);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 4);
	ck_assert_uint_eq(fx.waits, 0);
	lease_free(l);
	store_unref(folder);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(a_holder_counts_as_dead_only_on_proof)
{
	struct lease *l = acquire();
	const struct lease_holder self = stored();
	struct lease_holder h = self;

	ck_assert(!lease_holder_is_dead(&h));
	h.pid_start++; /* the pid is used again */
	ck_assert(lease_holder_is_dead(&h));
	memcpy(h.boot_id, "00000000-1111-2222-3333-444444444444", 37);
	ck_assert(!lease_holder_is_dead(&h)); /* another machine */
	h.boot_id[0] = '\0';
	ck_assert(!lease_holder_is_dead(&h));
	h = self;
	h.pid_start++;
	h.pid_ns++; /* a container */
	ck_assert(!lease_holder_is_dead(&h));
	h = self;
	h.pid = 0;
	ck_assert(!lease_holder_is_dead(&h));
	h.pid = UINT64_MAX; /* would be every process there is */
	ck_assert(!lease_holder_is_dead(&h));
	h.pid = (uint64_t)getppid();
	h.pid_start = 0; /* unknown: an existing pid is no proof of anything */
	ck_assert(!lease_holder_is_dead(&h));
	lease_free(l);
}
END_TEST

/* ---- holders elsewhere ---- */

START_TEST(a_foreign_lease_is_refused_at_once_without_waiting_time)
{
	struct lease_holder h = foreign_holder(7);

	store_holder(&h);
	refused(-L3_LEASE_HELD);
	ck_assert_ptr_nonnull(
		strstr(err_last_note(), "far.example, pid 4242, mounted on /srv/far"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "lease_wait=35"));
	ck_assert_uint_eq(seconds_now(), 1000);
	ck_assert_uint_eq(fx.waits, 0);
}
END_TEST

START_TEST(a_foreign_lease_runs_out_when_unchanged_for_its_duration_on_our_clock)
{
	struct lease_holder h = foreign_holder(7);
	struct lease *l;

	h.duration_ms = 45000; /* the holder's duration counts, not ours */
	store_holder(&h);
	fx.config.wait_ms = 60000;
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 8);
	ck_assert_uint_eq(seconds_now(), 1045);
	ck_assert_uint_ge(fx.waits, 40);
	ck_assert_uint_le(fx.waits, 50);
	lease_free(l);
}
END_TEST

START_TEST(waiting_ends_with_a_refusal_when_the_time_is_over)
{
	struct lease_holder h = foreign_holder(7);

	store_holder(&h);
	fx.config.wait_ms = 29999;
	refused(-L3_LEASE_HELD);
	ck_assert_uint_eq(fx.time.now_ns, 1000 * SECOND_NS + UINT64_C(29999000000));
	ck_assert_uint_eq(stored().nonce, h.nonce);
}
END_TEST

START_TEST(waiting_can_be_interrupted)
{
	struct lease_holder h = foreign_holder(7);

	store_holder(&h);
	fx.config.wait_ms = 60000;
	fx.stop_after_waits = 3;
	refused(-EINTR);
	ck_assert_uint_eq(fx.waits, 3);
}
END_TEST

static void holder_renews(void)
{
	struct lease_holder h = stored();

	h.nonce = random_u64();
	h.renewals++;
	store_holder(&h);
}

static void holder_renews_after_20_s(void)
{
	if (seconds_now() == 1020 && stored().renewals == 1)
		holder_renews();
}

START_TEST(a_renewal_by_the_holder_starts_the_watch_again)
{
	struct lease_holder h = foreign_holder(7);
	struct lease *l;

	store_holder(&h);
	fx.config.wait_ms = 100000;
	fx.time.on_sleep = holder_renews_after_20_s;
	l = acquire();
	ck_assert_uint_eq(seconds_now(), 1050);
	ck_assert_uint_eq(lease_epoch(l), 8);
	lease_free(l);
}
END_TEST

START_TEST(a_holder_that_keeps_renewing_is_never_robbed)
{
	struct lease_holder h = foreign_holder(7);

	store_holder(&h);
	fx.config.wait_ms = 500000;
	fx.time.on_sleep = holder_renews;
	refused(-L3_LEASE_HELD);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "it is alive"));
	ck_assert_uint_eq(seconds_now(), 1500);
	ck_assert_uint_eq(stored().epoch, 7);
}
END_TEST

static void machine_sleeps_for_an_hour(void)
{
	fx.time.on_sleep = NULL;
	fx.before_put = holder_renews;
	pass_seconds(3600);
}

START_TEST(a_renewal_that_a_sleeping_observer_did_not_see_is_respected)
{
	struct lease_holder h = foreign_holder(7);
	struct lease *l;

	store_holder(&h);
	fx.config.wait_ms = 3600 * 2000;
	fx.time.on_sleep = machine_sleeps_for_an_hour;
	l = acquire();
	/* Found run out at 4601, but renewed in the last moment: another 30 s from there. */
	ck_assert_uint_eq(seconds_now(), 4631);
	ck_assert_uint_eq(lease_epoch(l), 8);
	lease_free(l);
}
END_TEST

static void another_taker_is_faster(void)
{
	struct lease_holder h = stored();

	ck_assert(h.released);
	h = foreign_holder(h.epoch + 1);
	store_holder(&h);
}

START_TEST(who_loses_the_race_for_a_free_lease_is_refused)
{
	struct lease_holder h = foreign_holder(7);

	h.released = true;
	store_holder(&h);
	fx.before_put = another_taker_is_faster;
	refused(-L3_LEASE_HELD);
	ck_assert_uint_eq(stored().epoch, 8);
	ck_assert_str_eq(stored().host, "far.example");
}
END_TEST

#define TAKERS 8

static void *taker(void *arg)
{
	struct lease_config config = fx.config;
	struct lease **l = arg;

	config.clock = &clock_system;
	config.store = fx.mem;
	(void)lease_acquire(&config, l, NULL);
	return NULL;
}

START_TEST(of_many_takers_one_wins)
{
	for (unsigned round = 1; round <= 50; round++) {
		struct lease *leases[TAKERS] = { NULL };
		pthread_t threads[TAKERS];
		unsigned winners = 0;

		for (int i = 0; i < TAKERS; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, taker, &leases[i]), 0);
		for (int i = 0; i < TAKERS; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		for (int i = 0; i < TAKERS; i++) {
			if (!leases[i])
				continue;
			winners++;
			ck_assert_uint_eq(lease_epoch(leases[i]), round);
			ck_assert_int_eq(lease_release(leases[i]), 0);
			lease_free(leases[i]);
		}
		ck_assert_uint_eq(winners, 1);
	}
}
END_TEST

/* ---- the store in trouble ---- */

START_TEST(a_take_whose_answer_is_lost_succeeds_all_the_same)
{
	struct lease *l;

	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_AFTER, 2);
	l = acquire();
	ck_assert_uint_eq(lease_epoch(l), 1);
	ck_assert(lease_valid(l));
	ck_assert_int_eq(lease_renew(l), 0);
	ck_assert_uint_eq(fx.lost_calls, 0);
	lease_free(l);
}
END_TEST

START_TEST(a_store_that_does_not_answer_gives_its_error)
{
	let_fail(STORE_OP_GET, STORE_FAULT_ERROR_BEFORE, 1);
	refused(-L3_UNREACHABLE);
	let_fail(STORE_OP_PUT, STORE_FAULT_ERROR_BEFORE, 1000);
	refused(-L3_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "could not be taken"));
}
END_TEST

/* ---- objects that nobody should touch ---- */

START_TEST(an_object_with_any_byte_changed_is_an_error_and_stays_as_it_is)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h = foreign_holder(7);

	h.released = true; /* even one that would be free */
	encode_holder(&h, &b);
	for (size_t i = 0; i < b.len; i++) {
		struct lease *l = NULL;

		b.data[i] ^= 0x40;
		store_bytes(&b);
		ck_assert_int_eq(lease_acquire(&fx.config, &l, NULL), -L3_CORRUPT);
		ck_assert_ptr_nonnull(strstr(err_last_note(), "delete the object \"lease\""));
		check_bytes(&b);
		b.data[i] ^= 0x40;
	}
	for (size_t len = 0; len < b.len; len += 7) {
		struct buf part = { .data = b.data, .len = len };

		store_bytes(&part);
		refused(-L3_CORRUPT);
		check_bytes(&part);
	}
}
END_TEST

START_TEST(fields_that_do_not_fit_are_an_error)
{
	struct buf payload CLEANUP(buf_release) = BUF_INIT;
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	for (int i = 0; i < 65; i++)
		buf_u8(&payload, 0);
	buf_varint(&payload, UINT64_MAX);
	frame_put(&b, FRAME_LEASE, &fx.config.fs, payload.data, payload.len);
	store_bytes(&b);
	refused(-L3_CORRUPT);
	payload.len = 65;
	buf_bytes(&payload, "0123456789012345678901234567890123456789", 40); /* no room for a NUL */
	buf_u16(&payload, 0);
	buf_reset(&b);
	frame_put(&b, FRAME_LEASE, &fx.config.fs, payload.data, payload.len);
	store_bytes(&b);
	refused(-L3_CORRUPT);
}
END_TEST

START_TEST(an_epoch_beyond_all_that_can_be_is_damage_and_the_last_has_no_next)
{
	struct lease_holder h = foreign_holder(LEASE_EPOCH_MAX + (uint64_t)1);
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	h.released = true;
	store_holder(&h);
	refused(-L3_CORRUPT);
	h.epoch = LEASE_EPOCH_MAX;
	store_holder(&h);
	encode_holder(&h, &b);
	refused(-EOVERFLOW);
	check_bytes(&b);
}
END_TEST

START_TEST(an_object_of_a_newer_version_is_refused_and_stays_as_it_is)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct lease_holder h = foreign_holder(7);

	h.released = true;
	encode_holder(&h, &b);
	b.data[12] = FRAME_VERSION + 1;
	put_u64(b.data + 48, XXH3_64bits(b.data, 48));
	store_bytes(&b);
	refused(-L3_VERSION);
	check_bytes(&b);
}
END_TEST

START_TEST(the_lease_of_another_filesystem_is_refused)
{
	struct lease_holder h = foreign_holder(7);

	h.released = true;
	store_holder(&h);
	fx.config.fs.bytes[0]++;
	refused(-L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "another filesystem"));
}
END_TEST

START_TEST(what_is_written_reads_back_as_the_format_page_has_it)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct lease *l = acquire();
	struct lease_holder h = stored();

	encode_holder(&h, &b);
	check_bytes(&b);
	ck_assert_int_eq(lease_read(fx.mem, NULL, &h), 0);
	lease_free(l);
	ck_assert_int_eq(store_remove(fx.mem, KEY), 0);
	ck_assert_int_eq(lease_read(fx.mem, NULL, &h), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease: who may take it");
	TCase *t = tcase_create("taking");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_first_taker_gets_epoch_one_and_says_who_it_is);
	tcase_add_test(t, a_missing_lease_of_an_old_filesystem_is_made_anew_with_a_warning);
	tcase_add_test(t, a_second_taker_is_refused_and_told_by_whom);
	tcase_add_test(t, a_released_lease_is_taken_at_once_with_the_next_epoch);
	tcase_add_test(t, a_renewal_that_cannot_come_in_time_is_refused);
	tcase_add_test(t, a_description_is_fit_for_people_and_terminals);
	tcase_add_test(t, a_holder_of_this_machine_that_died_is_replaced_at_once);
	tcase_add_test(t, a_holder_counts_as_dead_only_on_proof);
	tcase_add_test(t, a_foreign_lease_is_refused_at_once_without_waiting_time);
	tcase_add_test(t, a_foreign_lease_runs_out_when_unchanged_for_its_duration_on_our_clock);
	tcase_add_test(t, waiting_ends_with_a_refusal_when_the_time_is_over);
	tcase_add_test(t, waiting_can_be_interrupted);
	tcase_add_test(t, a_renewal_by_the_holder_starts_the_watch_again);
	tcase_add_test(t, a_holder_that_keeps_renewing_is_never_robbed);
	tcase_add_test(t, a_renewal_that_a_sleeping_observer_did_not_see_is_respected);
	tcase_add_test(t, who_loses_the_race_for_a_free_lease_is_refused);
	tcase_add_test(t, of_many_takers_one_wins);
	tcase_add_test(t, a_take_whose_answer_is_lost_succeeds_all_the_same);
	tcase_add_test(t, a_store_that_does_not_answer_gives_its_error);
	tcase_add_test(t, an_object_with_any_byte_changed_is_an_error_and_stays_as_it_is);
	tcase_add_test(t, fields_that_do_not_fit_are_an_error);
	tcase_add_test(t, an_epoch_beyond_all_that_can_be_is_damage_and_the_last_has_no_next);
	tcase_add_test(t, an_object_of_a_newer_version_is_refused_and_stays_as_it_is);
	tcase_add_test(t, the_lease_of_another_filesystem_is_refused);
	tcase_add_test(t, what_is_written_reads_back_as_the_format_page_has_it);
	suite_add_tcase(s, t);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way of bytes to the store: what it costs in requests, what waits for what, how much memory it
 * takes, and what is left of it when the machine is lost on the way.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#include <sched.h>

#define URL "mem:fs-flush-tests"

/* ---- a store that is watched and held up ---- */

struct valve {
	struct store *base, *counts, *faults;
	uint64_t puts;	  /* atomic: but for the lease's */
	uint64_t others;  /* atomic: likewise */
	const char *hold; /* atomic: PUTs of keys that begin so hang; NULL: none */
	uint64_t held;	  /* atomic */
	uint64_t dead_at; /* the machine is lost at this operation; 0: never */
	bool died;	  /* atomic */
};

static struct valve valve;

static void count_request(void *ctx, const struct store_request *r)
{
	struct valve *v = ctx;

	if (strcmp(r->key, "lease") == 0)
		return;
	__atomic_fetch_add(r->op == STORE_OP_PUT ? &v->puts : &v->others, 1, __ATOMIC_SEQ_CST);
}

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct valve *v = ctx;
	const char *hold = __atomic_load_n(&v->hold, __ATOMIC_SEQ_CST);

	if (v->dead_at && number >= v->dead_at) {
		__atomic_store_n(&v->died, true, __ATOMIC_SEQ_CST);
		return STORE_FAULT_DEAD;
	}
	if (op != STORE_OP_PUT || !hold || strncmp(key, hold, strlen(hold)) != 0)
		return STORE_FAULT_NONE;
	__atomic_fetch_add(&v->held, 1, __ATOMIC_SEQ_CST);
	*error = -L3_UNREACHABLE;
	return STORE_FAULT_HANG;
}

static void open_valve(uint64_t dead_at)
{
	struct store_fault_plan plan = { decide, &valve };
	struct store_config none = { 0 };

	valve = (struct valve){ .dead_at = dead_at };
	must(store_open(URL, &none, &valve.base), "store");
	must(store_wrap_trace(valve.base, count_request, &valve, &valve.counts), "trace");
	must(store_wrap_fault(valve.counts, &plan, &valve.faults), "faults");
	config.store_override = valve.faults;
}

static void close_valve(void)
{
	store_unref(valve.faults);
	store_unref(valve.counts);
	store_unref(valve.base);
	config.store_override = NULL;
}

static void hold(const char *prefix)
{
	__atomic_store_n(&valve.hold, prefix, __ATOMIC_SEQ_CST);
}

static void let_go(void)
{
	hold(NULL);
	store_fault_resume(valve.faults);
}

static uint64_t puts_so_far(void)
{
	return __atomic_load_n(&valve.puts, __ATOMIC_SEQ_CST);
}

static uint64_t requests_so_far(void)
{
	return puts_so_far() + __atomic_load_n(&valve.others, __ATOMIC_SEQ_CST);
}

static void make_watched_fs(void)
{
	quiet_config();
	store_mem_drop(URL);
	must(fs_format(URL, &config), "format");
	open_valve(0);
	open_fs(URL);
	/* Opening leaves a table on its way to the store; it must not be counted with what follows. */
	must(db_checkpoint(fs->db), "checkpoint");
}

static void end_watched_fs(void)
{
	if (fs)
		close_fs();
	close_valve();
	end_fs(URL);
}

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2654435761u + 1;

	for (size_t n = 0; n < len; n++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[n] = (uint8_t)(x >> 56);
	}
}

/* ---- requests ---- */

START_TEST(a_small_write_and_its_fsync_cost_one_put_and_nothing_else)
{
	uint8_t page[4096];
	struct fs_file *f;
	uint64_t ino;

	make_watched_fs();
	ino = make_file(FS_ROOT_INO, "file");
	must(fs_file_open(fs, ino, true, false, &f), "open file");
	must(fs_sync(fs), "sync");
	for (uint64_t n = 0; n < 30; n++) {
		uint64_t before = puts_so_far(), all = requests_so_far();

		fill(page, sizeof(page), n);
		ck_assert_int_eq(fs_write(f, page, sizeof(page), n % 7 * 4096, false, false), 4096);
		must(fs_fsync(fs, ino), "fsync");
		ck_assert_uint_eq(puts_so_far() - before, 1);
		ck_assert_uint_eq(requests_so_far() - all, 1);
	}
	fs_file_close(f);
	end_watched_fs();
}
END_TEST

START_TEST(fsync_and_sync_of_what_is_clean_send_nothing)
{
	uint64_t ino, before;

	make_watched_fs();
	ino = make_file(FS_ROOT_INO, "file");
	write_at(ino, "abc", 3, 0);
	must(fs_sync(fs), "sync");
	must(flush_all(fs, false), "tick");
	must(db_commit(fs->db), "commit");
	before = requests_so_far();
	must(fs_fsync(fs, ino), "fsync");
	must(fs_fsync(fs, FS_ROOT_INO), "fsync of a folder");
	must(fs_sync(fs), "sync");
	ck_assert_uint_eq(requests_so_far(), before);
	end_watched_fs();
}
END_TEST

START_TEST(twenty_thousand_small_files_cost_a_few_dozen_puts)
{
	enum { FILES = 20000, EVERY = 997 };
	uint8_t out[3000], got[3001];
	struct fs_attr attr = { .mode = 0600 };
	char name[32];
	uint64_t before, dir = 0;

	make_watched_fs();
	before = puts_so_far();
	for (unsigned n = 0; n < FILES; n++) {
		uint64_t ino;

		(void)snprintf(name, sizeof(name), "n%u", n);
		if (n % 1000 == 0)
			dir = make_dir(FS_ROOT_INO, name);
		ino = make_file(dir, name);
		fill(out, sizeof(out), n);
		write_at(ino, out, 1 + n % sizeof(out), 0);
		must(fs_setattr(fs, ino, &attr, FS_SET_MODE, NULL), "chmod");
	}
	must(fs_sync(fs), "sync");
	ck_assert_uint_lt(puts_so_far() - before, 60);
	close_fs();
	open_fs(URL);
	for (unsigned n = 0; n < FILES; n += EVERY) {
		(void)snprintf(name, sizeof(name), "n%u", n / 1000 * 1000);
		dir = find(FS_ROOT_INO, name);
		(void)snprintf(name, sizeof(name), "n%u", n);
		fill(out, sizeof(out), n);
		ck_assert_uint_eq(read_at(find(dir, name), got, sizeof(got), 0),
				  1 + n % sizeof(out));
		ck_assert_mem_eq(got, out, 1 + n % sizeof(out));
	}
	check_fs(false);
	end_watched_fs();
}
END_TEST

/* ---- who waits for whom ---- */

static void write_stream(struct fs_file *f, uint64_t mib, uint64_t seed)
{
	static uint8_t out[1024 * 1024];

	for (uint64_t n = 0; n < mib; n++) {
		fill(out, sizeof(out), seed + n);
		ck_assert_int_eq(fs_write(f, out, sizeof(out), n * sizeof(out), false, false),
				 sizeof(out));
	}
}

static void check_stream(uint64_t ino, uint64_t mib, uint64_t seed)
{
	static uint8_t out[1024 * 1024], got[1024 * 1024];

	for (uint64_t n = 0; n < mib; n++) {
		fill(out, sizeof(out), seed + n);
		ck_assert_uint_eq(read_at(ino, got, sizeof(got), n * sizeof(got)), sizeof(got));
		ck_assert_mem_eq(got, out, sizeof(got));
	}
}

START_TEST(an_fsync_does_not_wait_for_its_neighbours_stream)
{
	uint64_t stream, small;
	struct fs_file *f;
	char got[4];

	make_watched_fs();
	stream = make_file(FS_ROOT_INO, "stream");
	small = make_file(FS_ROOT_INO, "small");
	must(fs_sync(fs), "sync");
	hold("data/");
	must(fs_file_open(fs, stream, true, false, &f), "open file");
	write_stream(f, 48, 5);
	while (__atomic_load_n(&valve.held, __ATOMIC_SEQ_CST) == 0)
		(void)sched_yield();
	write_at(small, "abc", 3, 0);
	must(fs_fsync(fs, small), "fsync beside a stream that is stuck");
	check_stream(stream, 48, 5); /* from memory */
	let_go();
	must(fs_fsync(fs, stream), "fsync of the stream");
	fs_file_close(f);
	fs_crash(fs);
	close_valve();
	open_fs(URL);
	check_stream(stream, 48, 5);
	ck_assert_uint_eq(read_at(small, got, sizeof(got), 0), 3);
	check_fs(true);
	end_fs(URL);
}
END_TEST

/* ---- memory ---- */

static void *stream_writer(void *arg)
{
	write_stream(arg, 96, 77);
	return NULL;
}

static unsigned waiting(void)
{
	unsigned n;

	pthread_mutex_lock(&fs->budget.lock);
	n = fs->budget.waiters;
	pthread_mutex_unlock(&fs->budget.lock);
	return n;
}

START_TEST(writers_wait_for_a_store_that_hangs_and_go_on_with_it)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	struct fs_file *f;
	pthread_t writer;
	uint64_t ino;

	make_watched_fs();
	close_fs();
	config.mem_limit_bytes = 64 * MIB;
	open_fs(URL);
	ino = make_file(FS_ROOT_INO, "file");
	must(fs_file_open(fs, ino, true, false, &f), "open file");
	hold("");
	ck_assert_int_eq(pthread_create(&writer, NULL, stream_writer, f), 0);
	while (waiting() == 0)
		(void)nanosleep(&pause, NULL);
	/* What was taken already may be in two forms for a moment: while it is being packed. */
	ck_assert_uint_le(budget_used(&fs->budget), fs->budget.limit_bytes + 3 * FREEZE_BYTES);
	let_go();
	pthread_join(writer, NULL);
	must(fs_fsync(fs, ino), "fsync");
	check_stream(ino, 96, 77);
	fs_file_close(f);
	end_watched_fs();
}
END_TEST

START_TEST(many_files_with_little_in_each_do_not_use_up_the_memory)
{
	enum { FILES = 1500, BYTES = 100000 };
	static uint8_t out[BYTES], got[BYTES];
	static uint64_t inos[FILES];
	char name[32];

	make_watched_fs();
	close_fs();
	config.mem_limit_bytes = 64 * MIB;
	open_fs(URL);
	for (unsigned n = 0; n < FILES; n++) {
		(void)snprintf(name, sizeof(name), "n%u", n);
		inos[n] = make_file(FS_ROOT_INO, name);
		fill(out, sizeof(out), n);
		write_at(inos[n], out, sizeof(out), 0);
	}
	for (unsigned n = 0; n < FILES; n += 7) {
		fill(out, sizeof(out), n);
		ck_assert_uint_eq(read_at(inos[n], got, sizeof(got), 0), sizeof(got));
		ck_assert_mem_eq(got, out, sizeof(got));
	}
	must(fs_sync(fs), "sync");
	check_fs(true);
	end_watched_fs();
}
END_TEST

/* ---- losing the machine ---- */

#define RECORD 512
#define LOGS 2
#define SLOTS 64
#define STEPS 192

/* What a session wrote, and what of it was acknowledged. */
struct history {
	uint64_t logs[LOGS], logs_synced[LOGS]; /* records appended */
	uint64_t ring, ring_synced;		/* records written round and round */
	uint64_t generation, generation_synced; /* of the file that is replaced by renaming */
	uint64_t seed;
};

static uint64_t draw(struct history *h, uint64_t below)
{
	h->seed = h->seed * 6364136223846793005u + 1442695040888963407u;
	return (h->seed >> 33) % below;
}

static void make_record(uint8_t *record, uint64_t who, uint64_t n)
{
	fill(record, RECORD, who * 1000003 + n);
	put_u64(record, n + 1); /* a hole has none */
}

static int append_log(struct history *h, unsigned which, uint64_t count)
{
	uint64_t ino = which + 2; /* made first, in this order */
	uint8_t *bytes = malloc(count * RECORD);
	struct fs_file *f;
	ssize_t got;
	int err = fs_file_open(fs, ino, true, false, &f);

	for (uint64_t n = 0; n < count; n++)
		make_record(bytes + n * RECORD, which, h->logs[which] + n);
	if (err >= 0) {
		got = fs_write(f, bytes, count * RECORD, 0, true, false);
		h->logs[which] += got > 0 ? (uint64_t)got / RECORD : 0;
		err = got < 0 ? (int)got : 0;
		fs_file_close(f);
	}
	free(bytes);
	return err;
}

static int write_ring(struct history *h)
{
	uint8_t record[RECORD];
	struct fs_file *f;
	ssize_t got;
	int err = fs_file_open(fs, LOGS + 2, true, false, &f);

	if (err < 0)
		return err;
	make_record(record, LOGS, h->ring);
	got = fs_write(f, record, RECORD, h->ring % SLOTS * RECORD, false, false);
	h->ring += got == RECORD;
	fs_file_close(f);
	return got < 0 ? (int)got : 0;
}

static size_t generation_bytes(uint64_t n)
{
	return 1000 + n * 7919 % 300000;
}

static int replace_file(struct history *h)
{
	uint64_t next = h->generation + 1;
	size_t len = generation_bytes(next);
	uint8_t *bytes = malloc(len);
	struct fs_file *f;
	ssize_t got = 0;
	int err = fs_file_create(fs, FS_ROOT_INO, "new", &nobody, 0644, &f, NULL);

	fill(bytes, len, next);
	if (err >= 0) {
		got = fs_write(f, bytes, len, 0, false, false);
		fs_file_close(f);
		err = got < 0 ? (int)got : fs_rename(fs, FS_ROOT_INO, "new", FS_ROOT_INO, "it", 0);
	}
	free(bytes);
	if (err >= 0)
		h->generation = next;
	return err;
}

static int sync_something(struct history *h)
{
	uint64_t which = draw(h, 4);
	int err;

	if (which == 3) {
		struct history now = *h;

		err = fs_sync(fs);
		if (err >= 0) {
			memcpy(h->logs_synced, now.logs, sizeof(now.logs));
			h->ring_synced = now.ring;
			h->generation_synced = now.generation;
		}
		return err;
	}
	err = fs_fsync(fs, which + 2);
	if (err < 0)
		return err;
	if (which < LOGS)
		h->logs_synced[which] = h->logs[which];
	else
		h->ring_synced = h->ring;
	h->generation_synced = h->generation; /* the namespace so far is in it */
	return 0;
}

static int one_step(struct history *h)
{
	uint64_t what = draw(h, 100);

	if (what < 40)
		return append_log(h, (unsigned)draw(h, LOGS), 1 + draw(h, 30));
	if (what < 43)
		return append_log(h, 0, 9000 + draw(h, 3000)); /* more than is frozen at once */
	if (what < 70)
		return write_ring(h);
	if (what < 80)
		return replace_file(h);
	if (what < 88) {
		int err = flush_all(fs, false);

		data_push_stream(fs->data);
		return err;
	}
	if (what < 90)
		return clean_pass(fs);
	return sync_something(h);
}

static uint8_t *read_whole(uint64_t ino, uint64_t *ret_len)
{
	uint64_t size = attr_of(ino).size;
	uint8_t *bytes = malloc(size + 1);

	*ret_len = read_at(ino, bytes, size + 1, 0);
	ck_assert_uint_eq(*ret_len, size);
	return bytes;
}

static void check_log(const struct history *h, unsigned which, uint64_t at)
{
	uint8_t want[RECORD];
	uint64_t len, count;
	uint8_t *bytes = read_whole(which + 2, &len);

	count = len / RECORD;
	ck_assert_uint_eq(len % RECORD, 0);
	ck_assert_msg(count >= h->logs_synced[which] && count <= h->logs[which],
		      "lost at %llu: log %u has %llu records, of %llu to %llu",
		      (unsigned long long)at, which, (unsigned long long)count,
		      (unsigned long long)h->logs_synced[which],
		      (unsigned long long)h->logs[which]);
	for (uint64_t n = 0; n < count; n++) {
		make_record(want, which, n);
		if (memcmp(bytes + n * RECORD, want, RECORD) != 0)
			ck_abort_msg("lost at %llu: record %llu of log %u is wrong",
				     (unsigned long long)at, (unsigned long long)n, which);
	}
	free(bytes);
}

/* After some number of writes each slot has the last one made to it. */
static void check_ring(const struct history *h, uint64_t at)
{
	uint8_t want[RECORD];
	uint64_t len, count = 0;
	uint8_t *bytes = read_whole(LOGS + 2, &len);

	ck_assert_uint_eq(len % RECORD, 0);
	for (uint64_t s = 0; s < len / RECORD; s++)
		count = max_u64(count, get_u64(bytes + s * RECORD));
	ck_assert_uint_ge(count, h->ring_synced);
	ck_assert_uint_le(count, h->ring);
	ck_assert_uint_eq(len / RECORD, min_u64(count, SLOTS));
	for (uint64_t s = 0; s < len / RECORD; s++) {
		uint64_t last = count - 1 - (count - 1 + SLOTS - s) % SLOTS;

		make_record(want, LOGS, last);
		ck_assert_msg(memcmp(bytes + s * RECORD, want, RECORD) == 0,
			      "lost at %llu: slot %llu is not as after %llu writes",
			      (unsigned long long)at, (unsigned long long)s,
			      (unsigned long long)count);
	}
	free(bytes);
}

static void check_replaced(const struct history *h, uint64_t at)
{
	uint64_t ino = find(FS_ROOT_INO, "it"), len, n;
	uint8_t *bytes, *want;
	bool found = false;

	if (!ino) {
		ck_assert_uint_eq(h->generation_synced, 0);
		return;
	}
	bytes = read_whole(ino, &len);
	want = malloc(len + 1);
	/* The last rename may have been whole although its answer was not. */
	for (n = max_u64(h->generation_synced, 1); n <= h->generation + 1 && !found; n++) {
		fill(want, len, n);
		found = generation_bytes(n) == len && memcmp(want, bytes, len) == 0;
	}
	ck_assert_msg(found, "lost at %llu: the replaced file is none that ever was",
		      (unsigned long long)at);
	free(want);
	free(bytes);
}

/* Returns whether the machine was lost. */
static bool session(uint64_t at, uint64_t seed)
{
	struct history h = { .seed = seed };
	bool died;
	int err;

	quiet_config();
	config.mem_limit_bytes = 128 * MIB;
	store_mem_drop(URL);
	must(fs_format(URL, &config), "format");
	open_fs(URL);
	(void)make_file(FS_ROOT_INO, "log0");
	(void)make_file(FS_ROOT_INO, "log1");
	(void)make_file(FS_ROOT_INO, "ring");
	close_fs();
	open_valve(at);
	err = fs_open(URL, &config, &fs);
	for (unsigned n = 0; err >= 0 && n < STEPS; n++)
		err = one_step(&h);
	died = __atomic_load_n(&valve.died, __ATOMIC_SEQ_CST);
	ck_assert_msg(err >= 0 || died, "%s", err_last_note());
	if (fs)
		fs_crash(fs);
	fs = NULL;
	close_valve();
	open_fs(URL);
	for (unsigned n = 0; n < LOGS; n++)
		check_log(&h, n, at);
	check_ring(&h, at);
	check_replaced(&h, at);
	check_fs(true);
	end_fs(URL);
	return died;
}

#define CRASH_LANES 6

START_TEST(each_file_is_a_prefix_of_its_writes_wherever_the_machine_is_lost)
{
	uint64_t at = 1 + (uint64_t)_i;

	while (session(at, (uint64_t)_i + 1))
		at += at < 60 ? CRASH_LANES : 3 * CRASH_LANES;
	ck_assert_uint_gt(at, 30);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bytes on their way to the store");
	TCase *c = tcase_create("flush");

	tcase_set_timeout(c, TEST_TIMEOUT_S);
	tcase_add_test(c, a_small_write_and_its_fsync_cost_one_put_and_nothing_else);
	tcase_add_test(c, fsync_and_sync_of_what_is_clean_send_nothing);
	tcase_add_test(c, twenty_thousand_small_files_cost_a_few_dozen_puts);
	tcase_add_test(c, an_fsync_does_not_wait_for_its_neighbours_stream);
	tcase_add_test(c, writers_wait_for_a_store_that_hangs_and_go_on_with_it);
	tcase_add_test(c, many_files_with_little_in_each_do_not_use_up_the_memory);
	tcase_add_loop_test(c, each_file_is_a_prefix_of_its_writes_wherever_the_machine_is_lost, 0,
			    CRASH_LANES);
	suite_add_tcase(s, c);
	return run_suite(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine is lost at the N-th store operation, for every N until a session gets through. What
 * the next mount finds, without any repair, is sound; its names are those after some operation of
 * the session, not before the last acknowledged sync; and each file has at least the bytes that
 * were written to it before the last change of its metadata that is there.
 */
#include "fs/internal.h"
#include "fs_model.h"

#define URL "mem:fs-crash-tests"
#define OPS 120
#define SYNC_EVERY 6
#define LEAST_POINTS 20 /* a session surely has so many store operations */

struct session {
	struct store *faults;
	uint64_t at;
	bool met; /* atomic */

	struct model model; /* as the session sees it */
	struct model_op ops[OPS];
	bool synced[OPS]; /* a sync was acknowledged after this operation */
	uint64_t inos[MODEL_NODES];
	unsigned done, acknowledged;
	uint64_t seed;
};

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct session *s = ctx;

	if (number < s->at)
		return STORE_FAULT_NONE;
	__atomic_store_n(&s->met, true, __ATOMIC_SEQ_CST);
	return STORE_FAULT_DEAD;
}

static bool dead(struct session *s)
{
	return __atomic_load_n(&s->met, __ATOMIC_SEQ_CST);
}

/* One operation on both; false if the machine is gone. */
static bool step(struct session *s)
{
	struct model_op *op = &s->ops[s->done];
	unsigned before = s->model.node_count;
	struct model was = s->model;
	uint64_t made = 0;
	int want, got;

	*op = model_draw_op(&s->model, s->done + 1);
	want = model_do(&s->model, op);
	got = real_do(fs, real_write, op, s->inos, &made);
	if (got != want) {
		ck_assert_msg(dead(s), "operation %u: %d instead of %d: %s", s->done, got, want,
			      err_last_note());
		s->model = was;
		return false;
	}
	if (s->model.node_count > before)
		s->inos[before] = made;
	s->done++;
	return true;
}

static void sync_now(struct session *s)
{
	if (fs_sync(fs) < 0) {
		ck_assert_msg(dead(s), "sync: %s", err_last_note());
		return;
	}
	s->acknowledged = s->done;
	if (s->done > 0)
		s->synced[s->done - 1] = true;
}

static void run(struct session *s)
{
	while (s->done < OPS && step(s)) {
		if (s->done % SYNC_EVERY == 0)
			sync_now(s);
		if (s->done % (2 * SYNC_EVERY) == 0)
			orphan_drain(fs); /* what is unlinked goes in the middle of it */
	}
}

static void open_faulty(struct session *s)
{
	struct store_fault_plan plan = { .decide = decide, .ctx = s };
	struct store *base;

	must(store_open(URL, &config.store, &base), "store");
	must(store_wrap_fault(base, &plan, &s->faults), "faults");
	store_unref(base);
	config.store_override = s->faults;
}

/* The session, up to its end or the machine's. */
static void live_and_die(struct session *s)
{
	model_init(&s->model, s->seed);
	s->inos[MODEL_ROOT] = FS_ROOT_INO;
	open_faulty(s);
	if (fs_open(URL, &config, &fs) < 0) {
		ck_assert_msg(dead(s), "open: %s", err_last_note());
	} else {
		run(s);
		if (dead(s) || s->at % 2)
			fs_crash(fs);
		else if (fs_close(fs, NULL, NULL) >= 0)
			s->acknowledged = s->done;
		else
			ck_assert_msg(dead(s), "close: %s", err_last_note());
	}
	fs = NULL;
	config.store_override = NULL;
	store_unref(s->faults);
}

/* ---- afterwards ---- */

static bool same_names(struct model *m, const char *found)
{
	struct buf want CLEANUP(buf_release) = BUF_INIT;

	model_print(m, MODEL_ROOT, &want);
	return strcmp(buf_cstr(&want), found) == 0;
}

/* The state after the first `count` operations. */
static void replay(const struct session *s, unsigned count, struct model *m)
{
	model_init(m, s->seed);
	for (unsigned n = 0; n < count; n++) {
		(void)model_do(m, &s->ops[n]);
		if (s->synced[n])
			model_sync(m);
	}
}

static void expect_a_prefix(struct session *s)
{
	struct buf found CLEANUP(buf_release) = BUF_INIT;
	uint64_t newest[MODEL_NODES];
	struct model m;
	bool fits = false;

	must(real_print(fs, FS_ROOT_INO, &found), "tree");
	for (unsigned n = 0; n < MODEL_NODES; n++)
		newest[n] = s->model.nodes[n].value;
	for (unsigned count = s->acknowledged; count <= s->done && !fits; count++) {
		replay(s, count, &m);
		fits = same_names(&m, buf_cstr(&found)) &&
		       model_values_fit(&m, MODEL_ROOT, FS_ROOT_INO, newest);
	}
	ck_assert_msg(
		fits,
		"machine lost at operation %llu: what is there is no state after %u to %u: %s",
		(unsigned long long)s->at, s->acknowledged, s->done, buf_cstr(&found));
}

static void look(struct session *s)
{
	open_fs(URL);
	check_fs(true);
	expect_a_prefix(s);
	orphan_drain(fs);
	check_fs(true);
	close_fs();
	open_fs(URL);
	check_fs(true);
	expect_a_prefix(s);
	close_fs();
}

START_TEST(a_machine_lost_at_any_moment_leaves_a_sound_prefix)
{
	struct session *s = malloc(sizeof(*s));
	uint64_t at = 1;

	quiet_config();
	config.segment_bytes = 256 * KIB;
	do {
		memset(s, 0, sizeof(*s));
		s->at = at;
		s->seed = (uint64_t)_i + 100;
		store_mem_drop(URL);
		must(fs_format(URL, &config), "format");
		live_and_die(s);
		look(s);
		at++;
	} while (dead(s));
	ck_assert_uint_gt(at, LEAST_POINTS);
	free(s);
	fs_config_release(&config);
	store_mem_drop(URL);
}
END_TEST

/* ---- writing a new file over an old one ---- */

static int write_words(uint64_t ino, char letter, size_t len)
{
	char *bytes = malloc(len);
	struct fs_file *f;
	int err = fs_file_open(fs, ino, true, false, &f);

	memset(bytes, letter, len);
	if (err >= 0) {
		ssize_t done = fs_write(f, bytes, len, 0, false, false);

		err = done < 0 ? (int)done : 0;
		ck_assert(done < 0 || (size_t)done == len);
		fs_file_close(f);
	}
	free(bytes);
	return err;
}

static void replace_file(struct session *s, size_t len)
{
	struct fs_attr attr;
	int err = fs_mknod(fs, FS_ROOT_INO, "new", &nobody, S_IFREG | 0644, 0, &attr);

	if (err >= 0)
		err = write_words(attr.ino, 'n', len);
	if (err >= 0)
		err = fs_rename(fs, FS_ROOT_INO, "new", FS_ROOT_INO, "file", 0);
	if (err >= 0)
		err = fs_fsync(fs, FS_ROOT_INO);
	ck_assert_msg(err >= 0 || dead(s), "replacing: %s", err_last_note());
}

static void expect_whole(const char *name, const char *letters, size_t len)
{
	char *bytes = malloc(len + 1);
	uint64_t ino = find(FS_ROOT_INO, name);

	ck_assert_uint_ne(ino, 0);
	ck_assert_uint_eq(read_at(ino, bytes, len + 1, 0), len);
	ck_assert_ptr_nonnull(strchr(letters, bytes[0]));
	ck_assert(memcmp(bytes, bytes + 1, len - 1) == 0); /* all are the same letter */
	free(bytes);
}

START_TEST(a_file_renamed_over_another_without_fsync_is_the_old_or_the_new_one_in_full)
{
	size_t len = _i == 0 ? 100 : _i == 1 ? 100000 : 3000000;
	struct session *s = malloc(sizeof(*s));
	uint64_t at = 1;

	do {
		memset(s, 0, sizeof(*s));
		s->at = at++;
		make_fs(URL);
		must(write_words(make_file(FS_ROOT_INO, "file"), 'o', len), "write");
		close_fs();
		open_faulty(s);
		if (fs_open(URL, &config, &fs) >= 0) {
			replace_file(s, len);
			fs_crash(fs);
		}
		config.store_override = NULL;
		store_unref(s->faults);
		open_fs(URL);
		check_fs(true);
		expect_whole("file", "on", len);
		end_fs(URL);
	} while (dead(s));
	free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("losing the machine");
	TCase *t = tcase_create("at every store operation");

	tcase_set_timeout(t, 2 * TEST_TIMEOUT_S);
	tcase_add_loop_test(t, a_machine_lost_at_any_moment_leaves_a_sound_prefix, 0, 8);
	tcase_add_loop_test(
		t, a_file_renamed_over_another_without_fsync_is_the_old_or_the_new_one_in_full, 0,
		3);
	suite_add_tcase(s, t);
	return run_suite(s);
}

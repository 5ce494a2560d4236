/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random operations give the same results, and the same tree, as the simplest filesystem there is;
 * across remounts and losses of the machine after a sync.
 */
#include "fs/internal.h"
#include "fs_model.h"

#define URL "mem:fs-random-tests"
#define ROUNDS 6
#define OPS 250

static struct model model;
static uint64_t inos[MODEL_NODES];

static void run_ops(uint64_t first_value)
{
	for (uint64_t n = 0; n < OPS; n++) {
		struct model_op op;
		uint64_t made = 0;
		unsigned before = model.node_count;
		int want, got;

		if (model.node_count >= MODEL_NODES - 1)
			return;
		op = model_draw_op(&model, first_value + n);
		want = model_do(&model, &op);
		got = real_do(fs, real_write, &op, inos, &made);
		ck_assert_msg(
			got == want,
			"operation %llu of kind %u (%u in %u, %u in %u): %d instead of %d: %s",
			(unsigned long long)n, op.kind, op.name, op.dir, op.to_name, op.to_dir, got,
			want, err_last_note());
		if (model.node_count > before)
			inos[before] = made;
	}
}

static void compare(void)
{
	struct buf want CLEANUP(buf_release) = BUF_INIT, got CLEANUP(buf_release) = BUF_INIT;
	uint64_t newest[MODEL_NODES];
	struct fs_statfs s;
	uint64_t live = 0;

	model_sync(&model);
	model_print(&model, MODEL_ROOT, &want);
	must(real_print(fs, FS_ROOT_INO, &got), "tree");
	ck_assert_str_eq(buf_cstr(&got), buf_cstr(&want));
	for (unsigned n = 0; n < MODEL_NODES; n++) {
		newest[n] = model.nodes[n].value;
		live += model.nodes[n].nlink > 0;
	}
	ck_assert(model_values_fit(&model, MODEL_ROOT, FS_ROOT_INO, newest));
	orphan_drain(fs);
	must(fs_statfs(fs, &s), "statfs");
	ck_assert_uint_eq(s.inodes_used, live);
}

START_TEST(random_operations_do_what_posix_says_and_survive)
{
	make_fs(URL);
	model_init(&model, (uint64_t)_i + 1);
	inos[MODEL_ROOT] = FS_ROOT_INO;
	for (unsigned r = 0; r < ROUNDS; r++) {
		run_ops(1 + r * OPS);
		compare();
		check_fs(false);
		if (r % 2) {
			reopen_fs(URL);
		} else {
			must(fs_sync(fs), "sync");
			lose_machine(URL);
		}
		compare();
		check_fs(true);
	}
	end_fs(URL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("random operations");
	TCase *t = tcase_create("against a model");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_loop_test(t, random_operations_do_what_posix_says_and_survive, 0, 12);
	suite_add_tcase(s, t);
	return run_suite(s);
}

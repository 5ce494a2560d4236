/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random operations give the same results, and the same tree, as the simplest filesystem there is;
 * across remounts and losses of the machine after a sync. Likewise what is done to the bytes of a
 * few files, with arrays beside them.
 */
#include "fs_model.h"
#include "fs_twin.h"

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

/* ---- bytes ---- */

#define FILES 3
#define STEPS 60
#define LONG (4 * MIB)
#define BLOCK FS_BLOCK_BYTES

static struct twin twins[FILES];
static uint64_t random_state;

static size_t draw(size_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

/* Short ones and long ones; 1 at least. */
static size_t draw_len(void)
{
	return 1 + draw((size_t)1 << (1 + draw(20)));
}

static void copy_some(struct twin *from, struct twin *to)
{
	size_t from_offset = draw(LONG), to_offset = draw(LONG), len = draw_len();
	size_t want = from_offset < from->size ? min_u64(len, from->size - from_offset) : 0;
	bool overlap =
		from == to && to_offset < from_offset + want && from_offset < to_offset + want;

	ck_assert_int_eq(twin_copy(from, from_offset, to, to_offset, len),
			 overlap ? -EINVAL : (int64_t)want);
}

static void shift_some(struct twin *t, bool insert)
{
	size_t offset = draw(LONG) / BLOCK * BLOCK, len = draw_len() / BLOCK * BLOCK + BLOCK;
	int err;

	if (insert && t->size + len > TWIN_MAX)
		return;
	err = insert ? twin_insert(t, offset, len) : twin_collapse(t, offset, len);
	if (insert ? offset >= t->size - (err < 0 ? 0 : len)
		   : offset + len >= t->size + (err < 0 ? 0 : len))
		ck_assert_int_eq(err, -EINVAL);
	else
		must(err, "shift");
}

static void step(uint64_t seed)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	struct twin *t = &twins[draw(FILES)];

	switch (draw(16)) {
	case 0:
	case 1:
	case 2:
	case 3:
		twin_write(t, draw_len(), draw(LONG), seed);
		break;
	case 4:
		twin_truncate(t, draw(LONG));
		break;
	case 5:
	case 6:
		must(twin_allocate(t, modes[draw(ARRAY_LEN(modes))], draw(LONG), draw_len()),
		     "fallocate");
		break;
	case 7:
		shift_some(t, true);
		break;
	case 8:
		shift_some(t, false);
		break;
	case 9:
		must(fs_fsync(fs, t->ino), "fsync");
		break;
	default:
		copy_some(t, &twins[draw(FILES)]);
		break;
	}
}

static void check_twins(void)
{
	for (size_t n = 0; n < FILES; n++)
		twin_check(&twins[n]);
}

START_TEST(random_changes_of_bytes_give_what_an_array_gives_and_survive)
{
	static const char *const names[FILES] = { "a", "b", "c" };

	make_clean_fs(URL);
	random_state = (uint64_t)_i + 77;
	for (size_t n = 0; n < FILES; n++)
		twin_make(&twins[n], names[n]);
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (uint64_t n = 0; n < STEPS; n++)
			step(r * STEPS + n);
		check_twins();
		if (r % 3 == 0)
			clean();
		check_twins();
		check_fs(true);
		if (r % 2) {
			reopen_fs(URL);
		} else {
			must(fs_sync(fs), "sync");
			lose_machine(URL);
		}
		check_twins();
		check_fs(true);
	}
	for (size_t n = 0; n < FILES; n++) {
		must(fs_unlink(fs, FS_ROOT_INO, names[n]), "unlink");
		twin_free(&twins[n]);
	}
	calm();
	clean();
	ck_assert_uint_eq(stored(NULL), 0);
	check_fs(true);
	end_fs(URL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("random operations");
	TCase *t = tcase_create("against a model");

	tcase_set_timeout(t, TEST_TIMEOUT_S);
	tcase_add_loop_test(t, random_operations_do_what_posix_says_and_survive, 0, 12);
	tcase_add_loop_test(t, random_changes_of_bytes_give_what_an_array_gives_and_survive, 0, 12);
	suite_add_tcase(s, t);
	return run_suite(s);
}

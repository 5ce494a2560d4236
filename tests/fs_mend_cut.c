/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A repair is stopped at the N-th store operation, for every N until one gets through. What is there
 * then, mounted as it is, has all that could be read before and that the whole repair keeps; or, if
 * it could not be mounted before, it is refused still, or is what the whole repair makes. And a
 * second repair, after that mount, comes to the same filesystem as one that nobody stopped.
 *
 * Most operations only read: where the store holds the same objects as after an earlier stop, the
 * rest has been seen already.
 */
#include "fs_mend_store.h"

#include "data/data.h"

#include <dirent.h>
#include <xxhash.h>

typedef unsigned long long ull;

#define SOUND "mem:fs-mend-cut-before"
#define PIECE 4096
#define LEAST_POINTS 20 /* a repair surely has so many store operations, */
#define LEAST_STATES 4	/* and leaves the store in so many states on its way */

/* ---- copies of a store ---- */

static void copy_objects(const char *from_url, const char *to_url)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *from, *to;

	store_mem_drop(to_url);
	must(store_open(from_url, &config.store, &from), "store");
	must(store_open(to_url, &config.store, &to), "store");
	must(store_list_all(from, "", NULL, &l), "list");
	for (size_t n = 0; n < l.count; n++) {
		struct buf b CLEANUP(buf_release) = BUF_INIT;

		must(store_get(from, l.entries[n].key, 0, STORE_TO_END, &b, NULL), "get");
		must(store_put_bytes(to, l.entries[n].key, b.data, b.len, STORE_ALWAYS, NULL, NULL),
		     "put");
	}
	store_unref(from);
	store_unref(to);
}

/* Names and sizes; what is in them follows from these, but for nonces, times, and `super`. */
static uint64_t shape_of_store(void)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, "", NULL, &l), "list");
	for (size_t n = 0; n < l.count; n++)
		buf_printf(&b, "%s %llu\n", l.entries[n].key, (ull)l.entries[n].size_bytes);
	must(store_get(s, SUPER_KEY, 0, STORE_TO_END, &b, NULL), "super");
	store_unref(s);
	return XXH3_64bits(b.data, b.len);
}

/* ---- what a filesystem has ---- */

struct tree {
	struct buf exact; /* all attributes that do not come from a clock */
	struct buf bytes; /* names, types and contents */
};

struct place {
	struct tree *tree;
	const char *path;
};

/* The bytes that can be read, and where none can. */
static uint64_t hash_of_file(const struct fs_attr *attr)
{
	uint8_t piece[PIECE];
	XXH3_state_t *hash = XXH3_createState();
	struct fs_file *f;
	uint64_t digest;

	ck_assert_ptr_nonnull(hash);
	(void)XXH3_64bits_reset(hash);
	must(fs_file_open(fs, attr->ino, false, false, &f), "open");
	for (uint64_t at = 0; at < attr->size; at += PIECE) {
		ssize_t got = fs_read(f, piece, PIECE, at);

		(void)XXH3_64bits_update(hash, got < 0 ? "lost" : (const char *)piece,
					 got < 0 ? 4 : (size_t)got);
	}
	fs_file_close(f);
	digest = XXH3_64bits_digest(hash);
	XXH3_freeState(hash);
	return digest;
}

static uint64_t hash_of(const struct fs_attr *attr)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	if (S_ISREG(attr->mode))
		return hash_of_file(attr);
	if (!S_ISLNK(attr->mode))
		return 0;
	must(fs_readlink(fs, attr->ino, &b), "readlink");
	return XXH3_64bits(b.data, b.len);
}

static void walk(struct tree *t, uint64_t folder, const char *path);

static void see_inode(struct tree *t, const char *path, const struct fs_attr *a)
{
	uint64_t hash = hash_of(a);

	buf_printf(&t->exact, "%s %llu %o %u %u %u %llu %llu %016llx\n", path, (ull)a->ino, a->mode,
		   a->uid, a->gid, a->nlink, (ull)a->size, (ull)a->blocks, (ull)hash);
	buf_printf(&t->bytes, "%s %o %llu %016llx\n", path, a->mode & (unsigned)S_IFMT,
		   S_ISDIR(a->mode) ? 0 : (ull)a->size, (ull)hash);
	if (S_ISDIR(a->mode))
		walk(t, a->ino, path);
}

static bool see_entry(void *ctx, const struct fs_dirent *e)
{
	const struct place *at = ctx;
	struct fs_attr attr;
	char path[512];

	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return true;
	(void)snprintf(path, sizeof(path), "%s/%s", at->path, e->name);
	if (fs_getattr(fs, e->ino, &attr) >= 0)
		see_inode(at->tree, path, &attr);
	else
		buf_printf(&at->tree->exact, "%s cannot be read\n", path);
	return true;
}

static void walk(struct tree *t, uint64_t folder, const char *path)
{
	struct place at = { t, path };

	must(fs_readdir(fs, folder, 0, false, see_entry, &at), "readdir");
}

static void tree_release(struct tree *t)
{
	buf_release(&t->exact);
	buf_release(&t->bytes);
}

/* Of a mount as anybody makes it. Nonzero: it was refused. */
static int look(struct tree *t)
{
	int err = fs_open(URL, &config, &fs);

	if (err < 0)
		return err;
	walk(t, ROOT, "");
	close_fs();
	return 0;
}

static bool has_line(const struct tree *t, const char *line, size_t len)
{
	const char *all = buf_cstr((struct buf *)&t->bytes);

	for (const char *at = all; (at = strstr(at, line)) != NULL; at++)
		if ((at == all || at[-1] == '\n') && at[len] == '\n')
			return true;
	return false;
}

/* Whatever both `a` and `b` have is in `c`. */
static void expect_common(const struct tree *a, const struct tree *b, const struct tree *c,
			  const char *what)
{
	char *text = strdup(buf_cstr((struct buf *)&a->bytes)), *save = NULL;

	ck_assert_ptr_nonnull(text);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		ck_assert_msg(!has_line(b, l, strlen(l)) || has_line(c, l, strlen(l)),
			      "%s: lost by a repair that was stopped: %s\nThere is:\n%s", what, l,
			      buf_cstr((struct buf *)&c->bytes));
	free(text);
}

/* ---- the repair ---- */

struct cut {
	const struct damage *damage;
	uint64_t at;
	bool met; /* atomic */
	struct tree before, whole;
	bool mountable; /* as it was damaged */
	uint64_t seen;
	unsigned states;
};

static enum store_fault decide(void *ctx, uint64_t number, enum store_op op, const char *key,
			       int *error)
{
	struct cut *c = ctx;

	if (number < c->at)
		return STORE_FAULT_NONE;
	__atomic_store_n(&c->met, true, __ATOMIC_SEQ_CST);
	return STORE_FAULT_DEAD;
}

/* Every problem is gone after it. */
static void repair(const char *what)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct fs_fsck_result r = run_fsck(true, &said);

	ck_assert_msg(r.left == 0, "%s: %llu problems left:\n%s", what, (ull)r.left,
		      buf_cstr(&said.all));
	release(&said);
}

static void repair_and_stop(struct cut *c)
{
	struct store_fault_plan plan = { .decide = decide, .ctx = c };
	struct fs_check_options options = { .data = true };
	struct fs_fsck_result r;
	struct store *base = plain_store();
	int err;

	c->met = false;
	must(store_wrap_fault(base, &plan, &config.store_override), "faults");
	err = fs_fsck(URL, &config, &options, true, &r);
	ck_assert_msg(err >= 0 || c->met, "%s: %s", c->damage->what, err_last_note());
	store_unref(config.store_override);
	config.store_override = NULL;
	store_unref(base);
}

static void expect_what_was(struct cut *c)
{
	struct tree now = { BUF_INIT, BUF_INIT };
	int err = look(&now);

	ck_assert_msg(err >= 0 || !c->mountable || strstr(err_last_note(), "repair"),
		      "%s, stopped at %llu: %s", c->damage->what, (ull)c->at, err_last_note());
	if (err >= 0 && c->mountable)
		expect_common(&c->before, &c->whole, &now, c->damage->what);
	else if (err >= 0)
		ck_assert_str_eq(buf_cstr(&now.exact), buf_cstr(&c->whole.exact));
	tree_release(&now);
}

static void expect_the_whole(struct cut *c)
{
	struct tree now = { BUF_INIT, BUF_INIT };

	repair(c->damage->what);
	must(look(&now), "open after the second repair");
	ck_assert_msg(strcmp(buf_cstr(&now.exact), buf_cstr(&c->whole.exact)) == 0,
		      "%s, stopped at %llu: the second repair made\n%sinstead of\n%s",
		      c->damage->what, (ull)c->at, buf_cstr(&now.exact), buf_cstr(&c->whole.exact));
	check_store(URL);
	tree_release(&now);
}

/* The damaged store is in SOUND; what a repair that nobody stops makes of it. */
static void prepare(struct cut *c)
{
	c->damage->before();
	if (fs)
		close_fs();
	c->damage->on_store();
	copy_objects(URL, SOUND);
	c->mountable = look(&c->before) >= 0;
	copy_objects(SOUND, URL);
	repair(c->damage->what);
	must(look(&c->whole), "open after the repair");
	copy_objects(SOUND, URL);
	c->seen = shape_of_store();
}

static void stop_everywhere(const struct damage *d)
{
	struct cut c = { .damage = d, .met = true };

	prepare(&c);
	while (c.met) {
		uint64_t shape;

		c.at++;
		copy_objects(SOUND, URL);
		repair_and_stop(&c);
		shape = shape_of_store();
		if (shape == c.seen)
			continue;
		c.seen = shape;
		c.states++;
		expect_what_was(&c);
		expect_the_whole(&c);
	}
	ck_assert_uint_gt(c.at, LEAST_POINTS);
	ck_assert_uint_ge(c.states, LEAST_STATES);
	tree_release(&c.before);
	tree_release(&c.whole);
	store_mem_drop(SOUND);
}

/* ---- damages ---- */

static void damage_records(void)
{
	struct key unknown = { .len = 2, .bytes = { 'Z', 'z' } };
	struct key k;

	remove_entry(ROOT, "dir");
	key_inode(&k, big);
	put_garbage(&k);
	put_garbage(&unknown);
	put_entry(ROOT, DT_REG, 4711, "nobody");
}

static void lose_segment(void)
{
	char key[STORE_KEY_MAX];

	object_at("data/", 0, key);
	remove_object(key);
}

static void flip_segment(void)
{
	char key[STORE_KEY_MAX];

	object_at("data/", 0, key);
	change_object(key, flip_middle);
}

static void slots_and_tables(void)
{
	into_tables();
	crash_with_slots();
}

static void lose_slot_and_table(void)
{
	lost_slot();
	flip_table();
}

static const struct damage damages[] = {
	{ .what = "slot missing", .before = crash_with_slots, .on_store = lost_slot },
	{ .what = "slot with a flipped bit", .before = crash_with_slots, .on_store = bad_slot },
	{ .what = "slot missing, and a table with a flipped bit",
	  .before = slots_and_tables,
	  .on_store = lose_slot_and_table },
	{ .what = "newest checkpoint", .before = more_slots, .on_store = bad_checkpoint },
	{ .what = "first slot of an epoch", .before = more_slots, .on_store = lost_fence },
	{ .what = "first slot of an epoch with a flipped bit",
	  .before = more_slots,
	  .on_store = bad_fence },
	{ .what = "junk with the name of a slot",
	  .before = crash_with_slots,
	  .on_store = junk_slot },
	{ .what = "junk with names of checkpoints",
	  .before = crash_with_slots,
	  .on_store = junk_checkpoints },
	{ .what = "lease", .before = nothing, .on_store = bad_lease },
	{ .what = "table with a flipped bit", .before = tables_then_close, .on_store = flip_table },
	{ .what = "tables missing", .before = tables_then_close, .on_store = lose_tables },
	{ .what = "checkpoints missing",
	  .before = tables_then_close,
	  .on_store = lose_checkpoints },
	{ .what = "database missing", .before = tables_then_close, .on_store = lose_database },
	{ .what = "records", .before = damage_records, .on_store = nothing },
	{ .what = "segment missing", .before = nothing, .on_store = lose_segment },
	{ .what = "segment with a flipped bit", .before = nothing, .on_store = flip_segment },
};

START_TEST(a_repair_can_be_stopped_anywhere_and_done_again)
{
	stop_everywhere(&damages[_i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair: stopped anywhere");
	TCase *t = tcase_create("damages");

	tcase_set_timeout(t, 4 * TEST_TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_repair_can_be_stopped_anywhere_and_done_again, 0,
			    (int)ARRAY_LEN(damages));
	suite_add_tcase(s, t);
	return run_suite(s);
}

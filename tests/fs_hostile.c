/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile bucket: objects cut short, changed, removed, swapped, replayed, copied to other names,
 * and new ones under odd names. Files may become unreadable; no byte that is read may be wrong, no
 * other file may suffer, and a repair comes to an end that is sound.
 *
 * Each run has a seed; LEVELS3_HOSTILE_SEED tries one alone, with LEVELS3_HOSTILE_RUNS so many from it
 * on. Who forges checksums on purpose can write whatever the owner of the bucket could
 * (doc/security.md): that is tests/fuzz.
 */
#include "fs_fixture.h"

#include <sys/resource.h>

#define URL "mem:fs-hostile-tests"
#define ROOT FS_ROOT_INO
#define RUNS 40
#define FOLDERS 3
#define FILES 24
#define OBJECTS_MAX 512
#define READ_BYTES (128 * 1024)
#define DEPTH_MAX 6
#define MEMORY_MAX GIB
#define NEW_TEXT "new"

/* ---- chance ---- */

static uint64_t dice;

static uint64_t hash(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u; /* splitmix64 */
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static size_t roll(size_t below)
{
	dice += 0x9e3779b97f4a7c15u;
	return below ? hash(dice) % below : 0;
}

/* ---- stores as they were ---- */

struct object {
	char key[STORE_KEY_MAX];
	struct buf bytes;
};

struct snapshot {
	struct object objects[OBJECTS_MAX];
	size_t count;
};

static struct snapshot older, crashed, closed; /* made once */
static struct snapshot now;

static void take(struct snapshot *to)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s;

	must(store_open(URL, &config.store, &s), "store");
	must(store_list_all(s, "", NULL, &l), "list");
	ck_assert_uint_le(l.count, OBJECTS_MAX);
	for (size_t n = 0; n < l.count; n++) {
		struct object *o = &to->objects[to->count++];

		(void)snprintf(o->key, sizeof(o->key), "%s", l.entries[n].key);
		must(store_get(s, o->key, 0, STORE_TO_END, &o->bytes, NULL), "get");
	}
	store_unref(s);
}

static void copy(const struct object *from, struct object *to)
{
	struct buf b = BUF_INIT;

	buf_add(&b, from->bytes.data, from->bytes.len);
	ck_assert_int_eq(buf_error(&b), 0);
	buf_release(&to->bytes);
	memcpy(to->key, from->key, sizeof(to->key));
	to->bytes = b;
}

static void begin_with(const struct snapshot *from)
{
	now.count = from->count;
	for (size_t n = 0; n < from->count; n++)
		copy(&from->objects[n], &now.objects[n]);
}

/* Names that the store does not take are not there. */
static void put_bucket(void)
{
	struct store *s;

	store_mem_drop(URL);
	must(store_open(URL, &config.store, &s), "store");
	for (size_t n = 0; n < now.count; n++) {
		struct object *o = &now.objects[n];

		if (o->key[0])
			(void)store_put_bytes(s, o->key, o->bytes.data, o->bytes.len, STORE_ALWAYS,
					      NULL, NULL);
		buf_release(&o->bytes);
	}
	store_unref(s);
}

/* ---- the files ---- */

struct file {
	uint64_t ino, size, hole_at, hole_end; /* zeros there */
	char keys[16][64];		       /* of the objects that it needs */
	size_t key_count;
};

static struct file files[FILES];

static uint8_t byte_of(size_t id, uint64_t at)
{
	if (at >= files[id].hole_at && at < files[id].hole_end)
		return 0;
	return (uint8_t)(hash(id * 1000003 + at / 8) >> (at % 8 * 8));
}

static void write_range(size_t id, uint64_t from, uint64_t to)
{
	static uint8_t bytes[READ_BYTES];

	while (from < to) {
		size_t len = min_u64(to - from, sizeof(bytes));

		for (size_t n = 0; n < len; n++)
			bytes[n] = byte_of(id, from + n);
		write_at(files[id].ino, bytes, len, from);
		from += len;
	}
}

/* Every byte of a file is written once: an older state has fewer of them, and no others. */
static void make_file_of(size_t id, uint64_t folder)
{
	static const uint64_t sizes[] = { 0, 10, 3000, 5000, 70000, 200000, 400000, 600000 };
	struct file *f = &files[id];
	char name[16];

	(void)snprintf(name, sizeof(name), "f%zu", id);
	f->ino = make_file(folder, name);
	f->size = sizes[id % ARRAY_LEN(sizes)];
	if (f->size >= 400000) {
		f->hole_at = 100000;
		f->hole_end = 200000;
		write_range(id, 0, f->hole_at);
		must(fs_sync(fs), "sync");
		write_range(id, f->hole_end, f->size);
	} else {
		write_range(id, 0, f->size);
	}
	must(fs_setxattr(fs, f->ino, "user.id", name, strlen(name), 0), "setxattr");
	if (id % 3 == 0)
		must(fs_sync(fs), "sync");
}

static int note_object(void *ctx, const struct fs_object_info *o)
{
	struct file *f = ctx;

	ck_assert_uint_lt(f->key_count, ARRAY_LEN(f->keys));
	(void)snprintf(f->keys[f->key_count++], sizeof(f->keys[0]), "%s", o->key);
	return 0;
}

static uint64_t folder_of(size_t id)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "d%zu", id % FOLDERS);
	return find(ROOT, name) ? find(ROOT, name) : make_dir(ROOT, name);
}

static void note_objects(void)
{
	struct fs_file_info info;

	for (size_t id = 0; id < FILES; id++)
		must(fs_describe(fs, files[id].ino, note_object, &files[id], &info), "describe");
}

static void make_snapshots(void)
{
	struct fs_attr attr;

	quiet_config();
	config.segment_bytes = 256 * KIB;
	store_mem_drop(URL);
	must(fs_format(URL, &config), "format");
	open_fs(URL);
	for (size_t id = 0; id < FILES / 2; id++)
		make_file_of(id, folder_of(id));
	must(fs_symlink(fs, ROOT, "link", &nobody, "d0/f3", &attr), "symlink");
	close_fs();
	take(&older);
	open_fs(URL);
	for (size_t id = FILES / 2; id < FILES; id++)
		make_file_of(id, folder_of(id));
	must(fs_sync(fs), "sync");
	fs_crash(fs);
	take(&crashed);
	open_fs(URL);
	reopen_fs(URL);
	note_objects();
	close_fs();
	take(&closed);
}

/* ---- reading them ---- */

struct seen {
	bool whole[FILES];
	bool damaged[FILES]; /* the test knows that it is */
	unsigned failed;
};

static struct seen seen;

static bool is_new(const uint8_t *bytes, size_t len)
{
	return len <= strlen(NEW_TEXT) && memcmp(bytes, NEW_TEXT, len) == 0;
}

static void check_bytes(size_t id, uint64_t at, const uint8_t *bytes, size_t len)
{
	size_t right = 0;

	if (at == 0 && is_new(bytes, len))
		return; /* made after the file of that number was lost */
	ck_assert_uint_lt(id, FILES);
	ck_assert_uint_le(at + len, files[id].size);
	while (right < len && bytes[right] == byte_of(id, at + right))
		right++;
	ck_assert_msg(right == len, "f%zu: another byte at %llu", id,
		      (unsigned long long)(at + right));
}

static void read_file(uint64_t ino)
{
	static uint8_t bytes[READ_BYTES];
	struct fs_attr attr;
	struct fs_file *f;
	size_t id = 0;
	bool whole = true;

	while (id < FILES && files[id].ino != ino)
		id++;
	if (fs_getattr(fs, ino, &attr) < 0 || fs_file_open(fs, ino, false, false, &f) < 0) {
		seen.failed++;
		return;
	}
	for (uint64_t at = 0; at < attr.size; at += READ_BYTES) {
		ssize_t got = fs_read(f, bytes, READ_BYTES, at);

		whole = whole && got >= 0;
		if (got > 0)
			check_bytes(id, at, bytes, (size_t)got);
	}
	fs_file_close(f);
	seen.failed += !whole;
	if (id < FILES)
		seen.whole[id] = whole && attr.size == files[id].size;
}

static void walk(uint64_t dir, unsigned depth);

static bool visit(void *ctx, const struct fs_dirent *e)
{
	const unsigned *depth = ctx;
	struct buf value CLEANUP(buf_release) = BUF_INIT;

	ck_assert(*e->name && !strchr(e->name, '/'));
	if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
		return true;
	if (e->type == S_IFDIR)
		walk(e->ino, *depth + 1);
	else if (e->type == S_IFREG)
		read_file(e->ino);
	else if (e->type == S_IFLNK && fs_readlink(fs, e->ino, &value) >= 0)
		ck_assert_str_eq(buf_cstr(&value), "d0/f3");
	return true;
}

static void walk(uint64_t dir, unsigned depth)
{
	ck_assert_uint_lt(depth, DEPTH_MAX);
	if (fs_readdir(fs, dir, 0, false, visit, &depth) < 0)
		seen.failed++;
}

/* False: it cannot be mounted. */
static bool mount_and_read(bool for_writing)
{
	config.read_only = !for_writing;
	memset(seen.whole, 0, sizeof(seen.whole));
	seen.failed = 0;
	if (fs_open(URL, &config, &fs) < 0) {
		ck_assert_str_ne(err_last_note(), "");
		fs = NULL;
		return false;
	}
	walk(ROOT, 0);
	return true;
}

/* Where something is damaged, it may fail. */
static void write_there(void)
{
	struct fs_attr attr;
	struct fs_file *f;

	if (fs_file_create(fs, ROOT, "new", &nobody, 0644, &f, &attr) < 0)
		return;
	(void)fs_write(f, NEW_TEXT, strlen(NEW_TEXT), 0, false, false);
	(void)fs_file_fsync(f);
	fs_file_close(f);
}

/* ---- damage ---- */

static struct object *any(void)
{
	return &now.objects[roll(now.count)];
}

static struct object *add_object(const struct object *like)
{
	struct object *o = &now.objects[now.count];

	ck_assert_uint_lt(now.count, OBJECTS_MAX);
	now.count++;
	o->bytes = (struct buf)BUF_INIT;
	copy(like, o);
	return o;
}

static void randomize(struct object *o, size_t at, size_t len)
{
	for (size_t n = at; n < at + len && n < o->bytes.len; n++)
		o->bytes.data[n] = (uint8_t)roll(256);
}

static void swap(struct object *a, struct object *b)
{
	struct buf bytes = a->bytes;

	a->bytes = b->bytes;
	b->bytes = bytes;
}

static void replay(void)
{
	const struct object *from = &older.objects[roll(older.count)];

	for (size_t n = 0; n < now.count; n++)
		if (strcmp(now.objects[n].key, from->key) == 0) {
			copy(from, &now.objects[n]);
			return;
		}
	(void)add_object(from);
}

/* The next of its kind: the last digit of its number is another. */
static void neighbour(void)
{
	struct object *o = add_object(any());
	size_t at = strlen(o->key);

	while (at > 0 && !strchr("0123456789abcdef", o->key[at - 1]))
		at--;
	if (at > 0)
		o->key[at - 1] = "0123456789abcdef"[roll(16)];
}

static void odd_name(void)
{
	static const char *const names[] = {
		"..",	  "../super", "data/../super", "data/",	  "/",	     "chain/",
		"chain/..", "chain/zz", "table/ ",	 "a//b",  "lease ", "data/\xff\xfe",
		"super/x",  "\n",	  "checkpoint/-1", "fence/0"
	};
	struct object *o = add_object(any());

	if (roll(8) == 0) {
		memset(o->key, 'a', STORE_KEY_MAX - 1);
		o->key[STORE_KEY_MAX - 1] = '\0';
	} else {
		(void)snprintf(o->key, sizeof(o->key), "%s", names[roll(ARRAY_LEN(names))]);
	}
}

static void damage_object(struct object *o, struct object *other)
{
	switch (roll(8)) {
	case 0:
		o->bytes.len = roll(o->bytes.len + 1);
		break;
	case 1:
		randomize(o, roll(o->bytes.len), 1 + roll(5000));
		break;
	case 2:
		if (o->bytes.len)
			o->bytes.data[roll(o->bytes.len)] ^= (uint8_t)(1 << roll(8));
		break;
	case 3:
		o->key[0] = '\0';
		break;
	case 4:
		swap(o, other);
		break;
	case 5:
		randomize(o, 0, o->bytes.len);
		break;
	case 6:
		o->bytes.len = 0;
		break;
	default:
		buf_add(&o->bytes, other->bytes.data, min_u64(other->bytes.len, 1000));
	}
}

static void damage_anything(void)
{
	switch (roll(8)) {
	case 0:
		replay();
		break;
	case 1:
		neighbour();
		break;
	case 2:
		odd_name();
		break;
	default:
		damage_object(any(), any());
	}
}

/* ---- the runs ---- */

static void count_left(void *ctx, const struct fs_finding *f)
{
	uint64_t *left = ctx;

	*left += f->stage == FS_LEFT && *f->text;
}

/* A repair does it, or says why not. */
static bool repair(void)
{
	uint64_t said = 0;
	struct fs_check_options options = { .data = true, .finding = count_left, .ctx = &said };
	struct fs_fsck_result r;

	(void)fs_fsck(URL, &config, &options, false, &r);
	if (fs_fsck(URL, &config, &options, true, &r) < 0) {
		ck_assert_str_ne(err_last_note(), "");
		return false;
	}
	ck_assert(r.left == 0 || said > 0);
	return r.left == 0;
}

/* What is repaired is sound, and nothing wrong in it. */
static void repair_and_read(void)
{
	config.read_only = false;
	if (!repair())
		return;
	check_store(URL);
	ck_assert(mount_and_read(true));
	write_there();
	walk(ROOT, 0);
	close_fs();
	check_store(URL);
}

static void run(uint64_t seed, const struct snapshot *from)
{
	dice = hash(seed);
	begin_with(from);
	for (size_t n = 1 + roll(3); n > 0; n--)
		damage_anything();
	put_bucket();
	if (mount_and_read(roll(2))) {
		if (!config.read_only)
			write_there();
		(void)fs_close(fs, NULL, NULL);
		fs = NULL;
	}
	repair_and_read();
}

static bool needs(const struct file *f, const char *key)
{
	for (size_t n = 0; n < f->key_count; n++)
		if (strcmp(f->keys[n], key) == 0)
			return true;
	return false;
}

static struct object *any_segment(void)
{
	struct object *o;

	do
		o = any();
	while (strncmp(o->key, "data/", 5) != 0);
	for (size_t id = 0; id < FILES; id++)
		seen.damaged[id] = seen.damaged[id] || needs(&files[id], o->key);
	return o;
}

static void others_are_whole(void)
{
	for (size_t id = 0; id < FILES; id++)
		ck_assert_msg(seen.whole[id] || seen.damaged[id],
			      "f%zu has nothing in what was damaged, and cannot be read whole", id);
}

static void run_on_data(uint64_t seed)
{
	dice = hash(seed);
	memset(seen.damaged, 0, sizeof(seen.damaged));
	begin_with(&closed);
	for (size_t n = 1 + roll(2); n > 0; n--)
		damage_object(any_segment(), any_segment());
	put_bucket();
	ck_assert(mount_and_read(false));
	close_fs();
	others_are_whole();
	repair_and_read();
	others_are_whole();
}

static void each_seed(void (*fn)(uint64_t seed))
{
	const char *seeds = getenv("LEVELS3_HOSTILE_SEED"), *runs = getenv("LEVELS3_HOSTILE_RUNS");
	uint64_t first = seeds ? strtoull(seeds, NULL, 0) : 1, count = seeds ? 1 : RUNS;

	if (runs)
		count = strtoull(runs, NULL, 0);
	for (uint64_t seed = first; seed < first + count; seed++) {
		(void)fprintf(stderr, "LEVELS3_HOSTILE_SEED=%llu\n", (unsigned long long)seed);
		fn(seed);
	}
}

static void run_crashed(uint64_t seed)
{
	run(seed, &crashed);
}

static void run_closed(uint64_t seed)
{
	run(seed, &closed);
}

static void setup(void)
{
	struct rlimit memory = { MEMORY_MAX, RLIM_INFINITY }, before;

	ck_assert_int_eq(getrlimit(RLIMIT_DATA, &before), 0);
	memory.rlim_max = before.rlim_max;
	if (SANITIZER_STACK_BYTES == 0) /* those take memory by the terabyte */
		ck_assert_int_eq(setrlimit(RLIMIT_DATA, &memory), 0);
	make_snapshots();
}

static void teardown(void)
{
	fs_config_release(&config);
	store_mem_drop(URL);
}

START_TEST(no_byte_is_wrong_whatever_happened_after_a_crash)
{
	each_seed(run_crashed);
}
END_TEST

START_TEST(no_byte_is_wrong_whatever_happened_after_an_unmount)
{
	each_seed(run_closed);
}
END_TEST

START_TEST(damage_to_data_costs_only_the_files_that_are_there)
{
	each_seed(run_on_data);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("a hostile bucket");
	TCase *t = tcase_create("a hostile bucket");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 900);
	tcase_add_test(t, no_byte_is_wrong_whatever_happened_after_a_crash);
	tcase_add_test(t, no_byte_is_wrong_whatever_happened_after_an_unmount);
	tcase_add_test(t, damage_to_data_costs_only_the_files_that_are_there);
	suite_add_tcase(s, t);
	return run_suite(s);
}

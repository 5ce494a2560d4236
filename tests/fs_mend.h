/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fsck --repair, for tables of damages. Each is done to a sound filesystem, behind its back; then fsck has to find it
 * under its name, the repair to leave nothing wrong, and what need not be lost has to be there.
 */
#ifndef LEVELS3_TESTS_FS_MEND_H
#define LEVELS3_TESTS_FS_MEND_H

#include "fs_damage.h"

#define URL "mem:fs-mend-tests"
#define ROOT FS_ROOT_INO
#define BIG 400000

static uint64_t dir, sub, file, big, tiny, link_ino;
static uint8_t big_bytes[BIG];

static inline void fill_big(void)
{
	uint64_t x = 88172645463325252u;

	for (size_t n = 0; n < BIG; n++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		big_bytes[n] = (uint8_t)x;
	}
}

/* /dir/sub/other = /dir/file, with an xattr; /big of four extents; /tiny inline; /link. */
static inline void setup(void)
{
	struct fs_attr attr;

	make_fs(URL);
	fill_big();
	dir = make_dir(ROOT, "dir");
	sub = make_dir(dir, "sub");
	file = make_file(dir, "file");
	must(fs_link(fs, file, sub, "other", &attr), "link");
	must(fs_setxattr(fs, file, "user.a", "1", 1, 0), "setxattr");
	big = make_file(ROOT, "big");
	write_at(big, big_bytes, BIG, 0);
	tiny = make_file(ROOT, "tiny");
	write_at(tiny, "abc", 3, 0);
	must(fs_symlink(fs, ROOT, "link", &nobody, "dir/file", &attr), "symlink");
	link_ino = attr.ino;
	must(fs_sync(fs), "sync");
	reopen_fs(URL);
}

static inline void teardown(void)
{
	fs_config_release(&config);
	store_mem_drop(URL);
}

/* ---- the store ---- */

static inline struct store *plain_store(void)
{
	struct store *s;

	must(store_open(URL, &config.store, &s), "store");
	return s;
}

static inline void remove_object(const char *key)
{
	struct store *s = plain_store();

	must(store_remove(s, key), key);
	store_unref(s);
}

static inline void change_object(const char *key, void (*change)(struct buf *b))
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();

	must(store_get(s, key, 0, STORE_TO_END, &b, NULL), key);
	change(&b);
	must(store_put_bytes(s, key, b.data, b.len, STORE_ALWAYS, NULL, NULL), key);
	store_unref(s);
}

static inline void flip_middle(struct buf *b)
{
	b->data[b->len / 2] ^= 4;
}

/* The nth from the end of those with a prefix. */
static inline void object_at(const char *prefix, size_t from_end, char out[STORE_KEY_MAX])
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, prefix, NULL, &l), "list");
	ck_assert_uint_gt(l.count, from_end);
	(void)snprintf(out, STORE_KEY_MAX, "%s", l.entries[l.count - 1 - from_end].key);
	store_unref(s);
}

static inline void remove_all(const char *prefix)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, prefix, NULL, &l), "list");
	for (size_t n = 0; n < l.count; n++)
		must(store_remove(s, l.entries[n].key), "remove");
	store_unref(s);
}

static inline bool object_exists(const char *prefix)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, prefix, NULL, &l), "list");
	store_unref(s);
	return l.count > 0;
}

/* LevelDB writes all it has in memory into tables. */
static inline void into_tables(void)
{
	leveldb_compact_range(db_handle(fs->db), NULL, 0, NULL, 0);
}

/* ---- fsck ---- */

struct said {
	struct buf found, all;
};

static inline void collect(void *ctx, const struct fs_finding *f)
{
	struct said *s = ctx;

	if (f->stage == FS_FOUND)
		buf_printf(&s->found, "%s ", f->code);
	buf_printf(&s->all, "%d %s: %s [%s]\n", f->stage, f->code, f->text, f->path ? f->path : "");
}

static inline struct fs_fsck_result run_fsck(bool repair, struct said *said)
{
	struct fs_check_options options = { .data = true, .finding = collect, .ctx = said };
	struct fs_fsck_result r;

	must(fs_fsck(URL, &config, &options, repair, &r), "fsck");
	return r;
}

static inline void release(struct said *s)
{
	buf_release(&s->found);
	buf_release(&s->all);
}

/* ---- what has to be there ---- */

static inline void big_is_whole(uint64_t ino)
{
	static uint8_t got[BIG + 1];

	ck_assert_uint_eq(read_at(ino, got, sizeof(got), 0), BIG);
	ck_assert_int_eq(memcmp(got, big_bytes, BIG), 0);
}

/* Reading [start, end) fails; all else is there. */
static inline void big_lacks(size_t start, size_t end)
{
	static uint8_t got[BIG];
	struct fs_file *f;

	must(fs_file_open(fs, find(ROOT, "big"), false, false, &f), "open");
	ck_assert_int_lt(fs_read(f, got, end - start, start), 0);
	ck_assert_int_lt(fs_read(f, got, 1, end - 1), 0);
	ck_assert_int_eq(fs_read(f, got, start, 0), (ssize_t)start);
	ck_assert_int_eq(memcmp(got, big_bytes, start), 0);
	ck_assert_int_eq(fs_read(f, got, BIG - end, end), (ssize_t)(BIG - end));
	ck_assert_int_eq(memcmp(got, big_bytes + end, BIG - end), 0);
	fs_file_close(f);
}

static inline uint64_t in_lost_found(uint64_t ino)
{
	uint64_t folder = find(ROOT, "lost+found");
	char name[32];

	ck_assert_uint_ne(folder, 0);
	(void)snprintf(name, sizeof(name), "#%llu", (unsigned long long)ino);
	return find(folder, name);
}

static inline void all_is_there(void)
{
	uint8_t bytes[4];

	ck_assert_uint_eq(find(ROOT, "dir"), dir);
	ck_assert_uint_eq(find(dir, "sub"), sub);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(attr_of(file).nlink, 2);
	ck_assert_uint_eq(find(ROOT, "big"), big);
	big_is_whole(big);
	ck_assert_uint_eq(read_at(find(ROOT, "tiny"), bytes, 4, 0), 3);
	ck_assert_int_eq(memcmp(bytes, "abc", 3), 0);
	ck_assert_uint_eq(find(ROOT, "link"), link_ino);
	ck_assert_uint_eq(find(ROOT, "lost+found"), 0);
}

static inline void is_set_aside(void)
{
	all_is_there();
	ck_assert(object_exists("aside/"));
}

/* ---- a table of damages ---- */

static inline void nothing(void)
{
}

struct damage {
	const char *what;
	void (*before)(void); /* in the open filesystem; closes it, or not */
	void (*on_store)(void);
	const char *code;
	void (*after)(void); /* in the one opened after the repair */
};

static inline void is_found_and_repaired(const struct damage *d)
{
	struct said first = { BUF_INIT, BUF_INIT }, second = { BUF_INIT, BUF_INIT };
	struct fs_fsck_result r;

	d->before();
	if (fs)
		close_fs();
	d->on_store();
	r = run_fsck(true, &first);
	ck_assert_msg(strstr(buf_cstr(&first.found), d->code), "%s: no \"%s\" in:\n%s", d->what,
		      d->code, buf_cstr(&first.all));
	ck_assert_msg(r.left == 0, "%s: %llu problems left:\n%s", d->what,
		      (unsigned long long)r.left, buf_cstr(&first.all));
	ck_assert_uint_gt(r.mended, 0);
	r = run_fsck(false, &second);
	ck_assert_msg(r.found == 0, "%s: a second fsck says:\n%s", d->what, buf_cstr(&second.all));
	open_fs(URL);
	if (d->after)
		d->after();
	check_fs(true);
	close_fs();
	check_store(URL);
	release(&first);
	release(&second);
}

#endif

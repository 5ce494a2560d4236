/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fsck --repair: a table of damages. Each is done to a sound filesystem, behind its back; then fsck
 * has to find it under its name, the repair to leave nothing wrong, and what need not be lost has
 * to be there.
 */
#include "fs/internal.h"
#include "fs_fixture.h"

#include <dirent.h>

#define URL "mem:fs-mend-tests"
#define ROOT FS_ROOT_INO
#define BIG 400000

static uint64_t dir, sub, file, big, tiny, link_ino;
static uint8_t big_bytes[BIG];

static void fill_big(void)
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
static void setup(void)
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

static void teardown(void)
{
	fs_config_release(&config);
	store_mem_drop(URL);
}

/* ---- behind its back ---- */

static void put_value(const struct key *k, const struct buf *value)
{
	char *msg = NULL;

	leveldb_put(db_handle(fs->db), db_write_options(fs->db), (const char *)k->bytes, k->len,
		    (const char *)value->data, value->len, &msg);
	ck_assert_ptr_null(msg);
}

static void remove_key(const struct key *k)
{
	char *msg = NULL;

	leveldb_delete(db_handle(fs->db), db_write_options(fs->db), (const char *)k->bytes, k->len,
		       &msg);
	ck_assert_ptr_null(msg);
}

static void put_garbage(const struct key *k)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;

	buf_u8(&value, 77);
	put_value(k, &value);
}

static void edit_inode(uint64_t ino, void (*edit)(struct attr *a))
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct attr a;
	struct key k;

	key_inode(&k, ino);
	must(db_value(fs, &k, &value), "inode");
	must(inode_decode(value.data, value.len, ino, &a), "inode");
	edit(&a);
	buf_reset(&value);
	inode_encode(&value, &a, a.size);
	put_value(&k, &value);
	buf_release(&a.target);
}

static void remove_inode(uint64_t ino)
{
	struct key k;

	key_inode(&k, ino);
	remove_key(&k);
}

static void remove_entry(uint64_t folder, const char *name)
{
	struct key k;

	key_dentry(&k, folder, key_cookie(fs, name, 0));
	remove_key(&k);
}

static void put_entry_at(uint64_t folder, uint64_t cookie, uint8_t type, uint64_t ino,
			 const char *name)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, folder, cookie);
	dentry_encode(&value, type, ino, name, strlen(name));
	put_value(&k, &value);
}

static void put_entry(uint64_t folder, uint8_t type, uint64_t ino, const char *name)
{
	put_entry_at(folder, key_cookie(fs, name, 0), type, ino, name);
}

static struct extent extent_of(uint64_t ino, uint64_t end)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e;
	struct key k;

	key_extent(&k, ino, end);
	must(db_value(fs, &k, &value), "extent");
	must(extent_decode(value.data, value.len, end, &e), "extent");
	e.bytes = NULL;
	return e;
}

/* ---- the store ---- */

static struct store *plain_store(void)
{
	struct store *s;

	must(store_open(URL, &config.store, &s), "store");
	return s;
}

static void remove_object(const char *key)
{
	struct store *s = plain_store();

	must(store_remove(s, key), key);
	store_unref(s);
}

static void change_object(const char *key, void (*change)(struct buf *b))
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();

	must(store_get(s, key, 0, STORE_TO_END, &b, NULL), key);
	change(&b);
	must(store_put_bytes(s, key, b.data, b.len, STORE_ALWAYS, NULL, NULL), key);
	store_unref(s);
}

static void flip_middle(struct buf *b)
{
	b->data[b->len / 2] ^= 4;
}

/* The nth from the end of those with a prefix. */
static void object_at(const char *prefix, size_t from_end, char out[STORE_KEY_MAX])
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, prefix, NULL, &l), "list");
	ck_assert_uint_gt(l.count, from_end);
	(void)snprintf(out, STORE_KEY_MAX, "%s", l.entries[l.count - 1 - from_end].key);
	store_unref(s);
}

static void remove_all(const char *prefix)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, prefix, NULL, &l), "list");
	for (size_t n = 0; n < l.count; n++)
		must(store_remove(s, l.entries[n].key), "remove");
	store_unref(s);
}

static bool object_exists(const char *prefix)
{
	struct store_list l CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	must(store_list_all(s, prefix, NULL, &l), "list");
	store_unref(s);
	return l.count > 0;
}

/* LevelDB writes all it has in memory into tables. */
static void into_tables(void)
{
	leveldb_compact_range(db_handle(fs->db), NULL, 0, NULL, 0);
}

/* ---- fsck ---- */

struct said {
	struct buf found, all;
};

static void collect(void *ctx, const struct fs_finding *f)
{
	struct said *s = ctx;

	if (f->stage == FS_FOUND)
		buf_printf(&s->found, "%s ", f->code);
	buf_printf(&s->all, "%d %s: %s [%s]\n", f->stage, f->code, f->text, f->path ? f->path : "");
}

static struct fs_fsck_result run_fsck(bool repair, struct said *said)
{
	struct fs_check_options options = { .data = true, .finding = collect, .ctx = said };
	struct fs_fsck_result r;

	must(fs_fsck(URL, &config, &options, repair, &r), "fsck");
	return r;
}

static void release(struct said *s)
{
	buf_release(&s->found);
	buf_release(&s->all);
}

/* ---- what has to be there ---- */

static void big_is_whole(uint64_t ino)
{
	static uint8_t got[BIG + 1];

	ck_assert_uint_eq(read_at(ino, got, sizeof(got), 0), BIG);
	ck_assert_int_eq(memcmp(got, big_bytes, BIG), 0);
}

/* Reading [start, end) fails; all else is there. */
static void big_lacks(size_t start, size_t end)
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

static uint64_t in_lost_found(uint64_t ino)
{
	uint64_t folder = find(ROOT, "lost+found");
	char name[32];

	ck_assert_uint_ne(folder, 0);
	(void)snprintf(name, sizeof(name), "#%llu", (unsigned long long)ino);
	return find(folder, name);
}

static void all_is_there(void)
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

/* ---- names and inodes ---- */

static void damage_file_inode(void)
{
	remove_inode(file);
}

static void file_is_gone(void)
{
	ck_assert_uint_eq(find(dir, "file"), 0);
	ck_assert_uint_eq(find(sub, "other"), 0);
	big_is_whole(find(ROOT, "big"));
	must(fs_rmdir(fs, dir, "sub"), "rmdir");
	must(fs_rmdir(fs, ROOT, "dir"), "rmdir");
}

static void damage_big_inode(void)
{
	remove_inode(big);
}

static void big_is_back_in_place(void)
{
	ck_assert_uint_eq(find(ROOT, "big"), big);
	big_is_whole(big);
	ck_assert_uint_eq(attr_of(big).mode, S_IFREG | 0600);
}

static void damage_big_inode_bytes(void)
{
	struct key k;

	key_inode(&k, big);
	put_garbage(&k);
}

static void damage_dir_inode(void)
{
	remove_inode(dir);
}

static void dir_is_back(void)
{
	ck_assert_uint_eq(find(ROOT, "dir"), dir);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(attr_of(dir).nlink, 3);
}

static void damage_file_entry(void)
{
	remove_entry(dir, "file");
}

static void file_has_one_name(void)
{
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(attr_of(file).nlink, 1);
}

static void damage_big_entry(void)
{
	remove_entry(ROOT, "big");
}

static void big_is_in_lost_found(void)
{
	ck_assert_uint_eq(in_lost_found(big), big);
	big_is_whole(big);
	ck_assert_uint_eq(attr_of(big).nlink, 1);
}

static void damage_dir_entry(void)
{
	remove_entry(ROOT, "dir");
}

static void dir_is_in_lost_found(void)
{
	ck_assert_uint_eq(in_lost_found(dir), dir);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
	ck_assert_uint_eq(find(dir, ".."), find(ROOT, "lost+found"));
}

static void damage_entry_bytes(void)
{
	struct key k;

	key_dentry(&k, ROOT, key_cookie(fs, "big", 0));
	put_garbage(&k);
}

static void one_link_more(struct attr *a)
{
	a->nlink++;
}

static void damage_links(void)
{
	edit_inode(file, one_link_more);
}

static void damage_folder_links(void)
{
	edit_inode(dir, one_link_more);
}

static void one_entry_more(struct attr *a)
{
	a->entries++;
}

static void damage_entry_count(void)
{
	edit_inode(dir, one_entry_more);
}

static void ring(void)
{
	remove_entry(ROOT, "dir");
	put_entry(sub, DT_DIR, dir, "dir");
}

static void ring_is_in_lost_found(void)
{
	uint64_t a = in_lost_found(dir), b = in_lost_found(sub);

	ck_assert(a == dir || b == sub);
	ck_assert_uint_eq(find(dir, "file"), file);
	ck_assert_uint_eq(find(sub, "other"), file);
}

static void parent_is_self(struct attr *a)
{
	a->parent = sub;
}

static void damage_parent(void)
{
	edit_inode(sub, parent_is_self);
}

static void parent_is_right(void)
{
	all_is_there();
	ck_assert_uint_eq(find(sub, ".."), dir);
}

static void second_folder_name(void)
{
	put_entry(ROOT, DT_DIR, sub, "again");
}

static void folder_has_one_name(void)
{
	all_is_there();
	ck_assert_uint_eq(find(ROOT, "again"), 0);
}

static void misplaced(void)
{
	remove_entry(dir, "file");
	put_entry_at(dir, key_cookie(fs, "else", 0), DT_REG, file, "file");
}

static void gap_in_run(void)
{
	remove_entry(dir, "file");
	put_entry_at(dir, key_cookie(fs, "file", 1), DT_REG, file, "file");
}

static void twice_the_same(void)
{
	put_entry_at(dir, key_cookie(fs, "file", 0) + 1, DT_REG, big, "file");
	put_entry_at(dir, key_cookie(fs, "else", 0), DT_REG, file, "file");
}

static void wrong_type(void)
{
	put_entry(dir, DT_SOCK, file, "file");
}

static void dot_entry(void)
{
	put_entry(dir, DT_REG, file, ".");
}

static void entries_of_a_file(void)
{
	put_entry(big, DT_REG, file, "inside");
}

static void orphan_with_names(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_orphan(&k, file);
	orphan_encode(&value, &(struct orphan_record){ .whole = true });
	put_value(&k, &value);
}

static void orphan_of_nobody(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_orphan(&k, 4711);
	orphan_encode(&value, &(struct orphan_record){ .whole = true });
	put_value(&k, &value);
}

static void no_links(struct attr *a)
{
	a->nlink = 0;
}

static void forgotten(void)
{
	remove_entry(ROOT, "big");
	edit_inode(big, no_links);
}

static void no_flags(struct attr *a)
{
	a->flags = 0;
}

static void denied_xattr(void)
{
	edit_inode(file, no_flags);
}

static void xattr_is_there(void)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	all_is_there();
	must(fs_getxattr(fs, file, "user.a", &b), "getxattr");
}

static void xattr_of_nobody(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_xattr(&k, 4711, "user.b");
	xattr_encode(&value, "2", 1);
	put_value(&k, &value);
}

static void bad_acl(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_xattr(&k, file, "system.posix_acl_access");
	xattr_encode(&value, "nonsense", 8);
	put_value(&k, &value);
}

static void unknown_key(void)
{
	struct key k = { .len = 2, .bytes = { 'Z', 'z' } };

	put_garbage(&k);
}

static void is_set_aside(void)
{
	all_is_there();
	ck_assert(object_exists("aside/"));
}

static void nul_in_target(struct attr *a)
{
	a->target.data[3] = 0;
}

static void damage_target(void)
{
	edit_inode(link_ino, nul_in_target);
}

static void target_is_cut(void)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	must(fs_readlink(fs, link_ino, &b), "readlink");
	ck_assert_str_eq(buf_cstr(&b), "dir");
}

static void lost_root(void)
{
	remove_inode(ROOT);
}

static void lost_totals(void)
{
	struct key k;

	key_totals(&k);
	remove_key(&k);
}

static void wrong_totals(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_totals(&k);
	totals_encode(&value, &(struct totals){ 3, 99, 5 });
	put_value(&k, &value);
}

static void numbers_go_on(void)
{
	all_is_there();
	ck_assert_uint_gt(make_file(ROOT, "new"), link_ino);
}

/* ---- bytes ---- */

static void damage_extent(void)
{
	struct key k;

	key_extent(&k, big, 2 * DATA_EXTENT_MAX);
	put_garbage(&k);
}

static void second_extent_is_lost(void)
{
	big_lacks(DATA_EXTENT_MAX, 2 * DATA_EXTENT_MAX);
}

static void overlapping(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = extent_of(big, DATA_EXTENT_MAX);
	struct key k;

	e.end -= 10;
	extent_encode(&value, &e);
	key_extent(&k, big, e.end);
	put_value(&k, &value);
}

static void half_as_long(struct attr *a)
{
	a->size /= 2;
}

static void wrong_size(void)
{
	edit_inode(big, half_as_long);
}

static void wrong_allocation(struct attr *a)
{
	a->alloc_bytes += 1000;
}

static void damage_allocation(void)
{
	edit_inode(big, wrong_allocation);
}

static void extents_of_a_folder(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct extent e = extent_of(big, DATA_EXTENT_MAX);
	struct key k;

	extent_encode(&value, &e);
	key_extent(&k, dir, e.end);
	put_value(&k, &value);
}

static void lost_segment_record(void)
{
	struct key k;

	key_segment(&k, extent_of(big, DATA_EXTENT_MAX).ref.segment);
	remove_key(&k);
}

static void wrong_live_count(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_segment(&k, extent_of(big, DATA_EXTENT_MAX).ref.segment);
	seg_encode(&value, &(struct seg_record){ .live_bytes = 17, .total_bytes = BIG });
	put_value(&k, &value);
}

static void lost_back_reference(void)
{
	struct extent e = extent_of(big, DATA_EXTENT_MAX);
	uint64_t ino = make_file(ROOT, "copy");
	struct fs_file *in, *out;
	struct key k;

	must(fs_file_open(fs, big, false, false, &in), "open");
	must(fs_file_open(fs, ino, true, false, &out), "open");
	ck_assert_int_eq(fs_copy_range(in, 0, out, 77, BIG), BIG);
	fs_file_close(in);
	fs_file_close(out);
	must(fs_sync(fs), "sync");
	key_reference(&k, e.ref.segment, ino);
	remove_key(&k);
}

static void denied_back_reference(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	reference_encode(&value, &(struct reference){ 0, 4096 });
	key_reference(&k, extent_of(big, DATA_EXTENT_MAX).ref.segment, file);
	put_value(&k, &value);
}

static void shifting(struct attr *a)
{
	a->flags |= INODE_SHIFTING;
}

static void shift_without_record(void)
{
	edit_inode(big, shifting);
}

static void shift_without_flag(void)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	shift_encode(&value, &(struct shift){ true, 0, 4096, 8192 });
	key_shift(&k, big);
	put_value(&k, &value);
}

static char segment_of_big[DATA_KEY_MAX];
static struct extent first_of_big;

static void note_segment(void)
{
	first_of_big = extent_of(big, DATA_EXTENT_MAX);
	data_key(first_of_big.ref.segment, segment_of_big);
}

static void lost_segment(void)
{
	remove_object(segment_of_big);
}

static void big_is_lost(void)
{
	uint8_t byte;
	struct fs_file *f;

	must(fs_file_open(fs, find(ROOT, "big"), false, false, &f), "open");
	ck_assert_uint_eq(attr_of(big).size, BIG);
	ck_assert_int_lt(fs_read(f, &byte, 1, 0), 0);
	ck_assert_int_lt(fs_read(f, &byte, 1, BIG - 1), 0);
	fs_file_close(f);
	write_at(big, big_bytes, BIG, 0);
	big_is_whole(big);
}

static void cut_short(struct buf *b)
{
	b->len = first_of_big.ref.offset + first_of_big.ref.stored_bytes;
}

static void short_segment(void)
{
	change_object(segment_of_big, cut_short);
}

static void first_extent_is_left(void)
{
	static uint8_t got[DATA_EXTENT_MAX];

	ck_assert_uint_eq(read_at(big, got, sizeof(got), 0), sizeof(got));
	ck_assert_int_eq(memcmp(got, big_bytes, sizeof(got)), 0);
}

static void flip_second(struct buf *b)
{
	b->data[first_of_big.ref.offset + first_of_big.ref.stored_bytes + 1000] ^= 1;
}

static void flipped_bit(void)
{
	change_object(segment_of_big, flip_second);
}

/* ---- chain and tables ---- */

static void more_slots(void)
{
	char name[16];

	for (int n = 0; n < 6; n++) {
		(void)snprintf(name, sizeof(name), "new%d", n);
		make_file(ROOT, name);
		must(fs_sync(fs), "sync");
	}
}

static void crash_with_slots(void)
{
	more_slots();
	fs_crash(fs);
	fs = NULL;
}

static void lost_slot(void)
{
	char key[STORE_KEY_MAX];

	object_at("chain/", 2, key);
	remove_object(key);
}

static void bad_slot(void)
{
	char key[STORE_KEY_MAX];

	object_at("chain/", 2, key);
	change_object(key, flip_middle);
}

/* Of six commits the last three cannot be had. */
static void first_half_is_there(void)
{
	all_is_there();
	ck_assert_uint_ne(find(ROOT, "new0"), 0);
	ck_assert_uint_ne(find(ROOT, "new2"), 0);
	ck_assert_uint_eq(find(ROOT, "new3"), 0);
	ck_assert_uint_eq(find(ROOT, "new5"), 0);
	ck_assert(object_exists("aside/"));
	make_file(ROOT, "after");
	must(fs_sync(fs), "sync");
}

static void bad_checkpoint(void)
{
	char key[STORE_KEY_MAX];

	object_at("checkpoint/", 0, key);
	change_object(key, flip_middle);
}

static void all_new_is_there(void)
{
	all_is_there();
	ck_assert_uint_ne(find(ROOT, "new0"), 0);
	ck_assert_uint_ne(find(ROOT, "new5"), 0);
}

static void tables_then_close(void)
{
	into_tables();
	must(fs_sync(fs), "sync");
	close_fs();
}

static void flip_table(void)
{
	char key[STORE_KEY_MAX];

	object_at("table/", 0, key);
	change_object(key, flip_middle);
}

static void lose_tables(void)
{
	remove_all("table/");
}

/* Nothing but bytes of files is left: they are files by their numbers. */
static void only_segments_are_left(void)
{
	ck_assert_uint_eq(in_lost_found(big), big);
	big_is_whole(big);
}

static void lose_checkpoints(void)
{
	remove_all("checkpoint/");
}

static void lose_database(void)
{
	remove_all("checkpoint/");
	remove_all("table/");
	remove_all("chain/");
}

static void first_fence(char key[STORE_KEY_MAX])
{
	(void)snprintf(key, STORE_KEY_MAX, "chain/%020d", 1);
}

static void lost_fence(void)
{
	char key[STORE_KEY_MAX];

	first_fence(key);
	remove_object(key);
}

static void bad_fence(void)
{
	char key[STORE_KEY_MAX];

	first_fence(key);
	change_object(key, flip_middle);
}

static void bad_lease(void)
{
	change_object("lease", flip_middle);
}

static void nothing(void)
{
}

struct damage {
	const char *what;
	void (*before)(void); /* in the open filesystem; closes it, or not */
	void (*on_store)(void);
	const char *code;
	void (*after)(void); /* in the one opened after the repair */
};

static const struct damage damages[] = {
	{ "inode of an empty file", damage_file_inode, nothing, "inode-missing", file_is_gone },
	{ "inode of a file with bytes", damage_big_inode, nothing, "inode-missing",
	  big_is_back_in_place },
	{ "record of an inode", damage_big_inode_bytes, nothing, "bad-record",
	  big_is_back_in_place },
	{ "inode of a folder", damage_dir_inode, nothing, "inode-missing", dir_is_back },
	{ "one of two names", damage_file_entry, nothing, "link-count", file_has_one_name },
	{ "only name", damage_big_entry, nothing, "link-count", big_is_in_lost_found },
	{ "name of a folder", damage_dir_entry, nothing, "no-name", dir_is_in_lost_found },
	{ "record of an entry", damage_entry_bytes, nothing, "bad-record", big_is_in_lost_found },
	{ "link count", damage_links, nothing, "link-count", all_is_there },
	{ "link count of a folder", damage_folder_links, nothing, "link-count", all_is_there },
	{ "count of names", damage_entry_count, nothing, "entry-count", all_is_there },
	{ "folders in a ring", ring, nothing, "folder-unreachable", ring_is_in_lost_found },
	{ "parent", damage_parent, nothing, "folder-parent", parent_is_right },
	{ "folder with two names", second_folder_name, nothing, "folder-names",
	  folder_has_one_name },
	{ "name in the wrong place", misplaced, nothing, "entry-place", all_is_there },
	{ "gap in a run of names", gap_in_run, nothing, "entry-place", all_is_there },
	{ "a name twice", twice_the_same, nothing, "entry-place", all_is_there },
	{ "type in an entry", wrong_type, nothing, "entry-type", all_is_there },
	{ "an entry \".\"", dot_entry, nothing, "entry-name", all_is_there },
	{ "entries of a file", entries_of_a_file, nothing, "entry-folder", is_set_aside },
	{ "orphan with names", orphan_with_names, nothing, "orphan", all_is_there },
	{ "orphan that is missing", orphan_of_nobody, nothing, "orphan", all_is_there },
	{ "orphan that nobody knows", forgotten, nothing, "no-name", big_is_in_lost_found },
	{ "attribute denied", denied_xattr, nothing, "xattr", xattr_is_there },
	{ "attribute of nobody", xattr_of_nobody, nothing, "inode-missing", is_set_aside },
	{ "ACL", bad_acl, nothing, "acl", is_set_aside },
	{ "unknown key", unknown_key, nothing, "unknown-key", is_set_aside },
	{ "symlink's target", damage_target, nothing, "symlink", target_is_cut },
	{ "root", lost_root, nothing, "root-missing", all_is_there },
	{ "totals missing", lost_totals, nothing, "totals", numbers_go_on },
	{ "totals", wrong_totals, nothing, "next-inode", numbers_go_on },
	{ "record of an extent", damage_extent, nothing, "bad-record", second_extent_is_lost },
	{ "extents that overlap", overlapping, nothing, "extent-overlap", all_is_there },
	{ "size", wrong_size, nothing, "extent-beyond-end", all_is_there },
	{ "allocated bytes", damage_allocation, nothing, "allocated", all_is_there },
	{ "extents of a folder", extents_of_a_folder, nothing, "extent-type", is_set_aside },
	{ "segment's record", lost_segment_record, nothing, "live-count", all_is_there },
	{ "live count", wrong_live_count, nothing, "live-count", all_is_there },
	{ "back-reference", lost_back_reference, nothing, "back-reference", all_is_there },
	{ "back-reference denied", denied_back_reference, nothing, "back-reference", all_is_there },
	{ "shift without a record", shift_without_record, nothing, "shift", all_is_there },
	{ "shift without a flag", shift_without_flag, nothing, "shift", is_set_aside },
	{ "segment missing", note_segment, lost_segment, "segment-missing", big_is_lost },
	{ "segment cut short", note_segment, short_segment, "segment-short", first_extent_is_left },
	{ "segment with a flipped bit", note_segment, flipped_bit, "bytes-damaged",
	  second_extent_is_lost },
	{ "slot missing", crash_with_slots, lost_slot, "slot-missing", first_half_is_there },
	{ "slot with a flipped bit", crash_with_slots, bad_slot, "slot-damaged",
	  first_half_is_there },
	{ "newest checkpoint", more_slots, bad_checkpoint, "checkpoint-damaged", all_new_is_there },
	{ "first slot of an epoch", more_slots, lost_fence, "fence-missing", all_new_is_there },
	{ "first slot of an epoch with a flipped bit", more_slots, bad_fence, "fence-damaged",
	  all_new_is_there },
	{ "lease", nothing, bad_lease, "lease-damaged", all_is_there },
	{ "table with a flipped bit", tables_then_close, flip_table, "table-damaged", NULL },
	{ "tables missing", tables_then_close, lose_tables, "table-missing",
	  only_segments_are_left },
	{ "checkpoints missing", tables_then_close, lose_checkpoints, "slot-missing",
	  all_is_there },
	{ "database missing", tables_then_close, lose_database, "chain-empty",
	  only_segments_are_left },
};

START_TEST(what_is_damaged_is_found_and_repaired)
{
	const struct damage *d = &damages[_i];
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
END_TEST

START_TEST(looking_changes_nothing)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct store_list a CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store_list b CLEANUP(store_list_release) = STORE_LIST_INIT;
	struct store *s = plain_store();

	damage_big_entry();
	close_fs();
	must(store_list_all(s, "", NULL, &a), "list");
	ck_assert_uint_gt(run_fsck(false, &said).found, 0);
	must(store_list_all(s, "", NULL, &b), "list");
	ck_assert_uint_eq(a.count, b.count);
	store_unref(s);
	release(&said);
}
END_TEST

START_TEST(what_is_sound_is_not_written_to)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct fs_fsck_result r;

	close_fs();
	r = run_fsck(true, &said);
	ck_assert_uint_eq(r.found, 0);
	ck_assert_uint_eq(r.mended, 0);
	ck_assert_uint_eq(r.left, 0);
	release(&said);
}
END_TEST

START_TEST(what_is_mounted_is_not_repaired_but_looked_at)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct fs_check_options options = { .finding = collect, .ctx = &said };
	struct fs_fsck_result r;

	config.lease_wait_ms = 0;
	ck_assert_int_eq(fs_fsck(URL, &config, &options, true, &r), -L3_LEASE_HELD);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "held by"));
	make_file(ROOT, "unsaved");
	must(fs_fsck(URL, &config, &options, false, &r), "fsck");
	ck_assert(r.in_use);
	ck_assert_uint_eq(r.found, 0);
	make_file(ROOT, "afterwards");
	must(fs_sync(fs), "sync");
	close_fs();
	release(&said);
}
END_TEST

START_TEST(foreign_objects_are_told_and_left)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct store *s = plain_store();
	struct fs_fsck_result r;

	damage_big_entry();
	close_fs();
	must(store_put_bytes(s, "chain/notes.txt", "x", 1, STORE_ALWAYS, NULL, NULL), "put");
	must(store_put_bytes(s, "holiday.jpg", "x", 1, STORE_ALWAYS, NULL, NULL), "put");
	r = run_fsck(true, &said);
	ck_assert_uint_eq(r.left, 0);
	ck_assert_uint_eq(r.foreign_objects, 2);
	ck_assert(object_exists("chain/notes.txt"));
	ck_assert(object_exists("holiday.jpg"));
	store_unref(s);
	release(&said);
}
END_TEST

START_TEST(lost_bytes_come_back_with_their_object)
{
	struct said said = { BUF_INIT, BUF_INIT };
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct store *s = plain_store();

	note_segment();
	close_fs();
	must(store_get(s, segment_of_big, 0, STORE_TO_END, &bytes, NULL), "get");
	lost_segment();
	ck_assert_uint_eq(run_fsck(true, &said).left, 0);
	must(store_put_bytes(s, segment_of_big, bytes.data, bytes.len, STORE_ALWAYS, NULL, NULL),
	     "put");
	ck_assert_uint_eq(run_fsck(true, &said).left, 0);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said.found), "lost-range-back"));
	open_fs(URL);
	all_is_there();
	close_fs();
	check_store(URL);
	store_unref(s);
	release(&said);
}
END_TEST

START_TEST(damaged_files_are_told_by_path_and_range)
{
	struct said said = { BUF_INIT, BUF_INIT };

	note_segment();
	must(fs_rename(fs, ROOT, "big", sub, "deep", 0), "rename");
	close_fs();
	flipped_bit();
	ck_assert_uint_gt(run_fsck(false, &said).found, 0);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said.all), "bytes 131072 to 262144 cannot be read"));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said.all), "[/dir/sub/deep]"));
	release(&said);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair");
	TCase *table = tcase_create("damages"), *whole = tcase_create("the whole");

	tcase_set_timeout(table, TEST_TIMEOUT_S);
	tcase_set_timeout(whole, TEST_TIMEOUT_S);
	tcase_add_checked_fixture(table, setup, teardown);
	tcase_add_checked_fixture(whole, setup, teardown);
	tcase_add_loop_test(table, what_is_damaged_is_found_and_repaired, 0,
			    (int)ARRAY_LEN(damages));
	tcase_add_test(whole, looking_changes_nothing);
	tcase_add_test(whole, what_is_sound_is_not_written_to);
	tcase_add_test(whole, what_is_mounted_is_not_repaired_but_looked_at);
	tcase_add_test(whole, foreign_objects_are_told_and_left);
	tcase_add_test(whole, lost_bytes_come_back_with_their_object);
	tcase_add_test(whole, damaged_files_are_told_by_path_and_range);
	suite_add_tcase(s, table);
	suite_add_tcase(s, whole);
	return run_suite(s);
}

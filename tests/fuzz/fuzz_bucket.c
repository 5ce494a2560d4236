/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile bucket: a small filesystem whose objects were changed, cut, swapped, replayed, removed
 * or joined by others, is opened, walked, read and checked, or repaired. It may refuse; it may not
 * crash, hang, or take memory without bounds; and what a repair calls sound can be mounted.
 *
 * The input is a list of changes: u8 what, u8 object, u16 where, u8 count, then count bytes. The
 * first byte of all: 1 to open for writing, 2 to repair before.
 */
#include "fs/fs.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <xxhash.h>

#define URL "mem:fuzz"
#define OBJECTS_MAX 64
#define HOUR_MS 3600000
#define READ_MAX (256 * KIB)
#define DEPTH_MAX 8

struct object {
	char key[STORE_KEY_MAX];
	struct buf bytes;
};

static struct object base[OBJECTS_MAX], now[OBJECTS_MAX];
static size_t base_count, now_count;
static struct fs_config config;

/* Nobody waits: a sleep moves the clock on. */
static uint64_t slept_ns;

static uint64_t mono_ns(struct clock *c)
{
	return clock_system.mono_ns(&clock_system) + __atomic_load_n(&slept_ns, __ATOMIC_SEQ_CST);
}

static int64_t real_ns(struct clock *c)
{
	return clock_system.real_ns(&clock_system);
}

static void sleep_ms(struct clock *c, uint64_t ms)
{
	__atomic_fetch_add(&slept_ns, ms * 1000000, __ATOMIC_SEQ_CST);
}

static struct clock quick_clock = { mono_ns, real_ns, sleep_ms };

/* ---- the bucket as it was made ---- */

static void put_file(struct fs *fs, const char *name, size_t len)
{
	static const struct fs_cred cred = { 1000, 1000, 022 };
	struct fs_file *f;
	struct fs_attr attr;
	char *bytes = malloc(len);

	MUST(bytes);
	for (size_t n = 0; n < len; n++)
		bytes[n] = (char)(n * n >> 7);
	MUST(fs_file_create(fs, FS_ROOT_INO, name, &cred, 0644, &f, &attr) == 0);
	MUST(fs_write(f, bytes, len, 0, false, false) == (ssize_t)len);
	MUST(fs_setxattr(fs, attr.ino, "user.a", "b", 1, 0) == 0);
	MUST(fs_fsync(fs, attr.ino) == 0);
	fs_file_close(f);
	free(bytes);
}

static void take_bucket(void)
{
	struct store_list list = { 0 };
	struct store *s;

	MUST(store_open(URL, &config.store, &s) == 0);
	MUST(store_list_all(s, "", NULL, &list) == 0 && list.count <= OBJECTS_MAX);
	for (size_t n = 0; n < list.count; n++) {
		struct object *o = &base[base_count++];

		(void)snprintf(o->key, sizeof(o->key), "%s", list.entries[n].key);
		MUST(store_get(s, o->key, 0, STORE_TO_END, &o->bytes, NULL) == 0);
	}
	store_list_release(&list);
	store_unref(s);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct fs_attr attr;
	struct fs_cred cred = { 0 };
	struct fs *fs;

	fs_config_init(&config);
	config.commit_ms = HOUR_MS;
	config.mem_limit_bytes = 64 * MIB;
	config.segment_bytes = 512 * KIB;
	config.clock = &quick_clock;
	config.lease_wait_ms = HOUR_MS;
	MUST(fs_config_set(&config, "cache_dir", "none") == 0);
	MUST(fs_format(URL, &config) == 0 && fs_open(URL, &config, &fs) == 0);
	put_file(fs, "small", 100);
	put_file(fs, "large", 300000);
	MUST(fs_mkdir(fs, FS_ROOT_INO, "folder", &cred, 0755, &attr) == 0);
	MUST(fs_symlink(fs, attr.ino, "link", &cred, "../small", &attr) == 0);
	MUST(fs_close(fs, NULL, NULL) == 0);
	/* A second mount that dies leaves slots after the checkpoint. */
	MUST(fs_open(URL, &config, &fs) == 0);
	put_file(fs, "later", 5000);
	fs_crash(fs);
	take_bucket();
	return 0;
}

/* ---- changing it ---- */

/* As who made it on purpose would: the checksums of the frame are right. */
static void mend_frame(struct buf *b)
{
	if (b->len < FRAME_HEADER_BYTES)
		return;
	if (get_u64(b->data + 16) == b->len - FRAME_HEADER_BYTES)
		put_u64(b->data + 24,
			XXH3_64bits(b->data + FRAME_HEADER_BYTES, b->len - FRAME_HEADER_BYTES));
	put_u64(b->data + 48, XXH3_64bits(b->data, 48));
}

static void overwrite(struct buf *b, size_t at, const uint8_t *bytes, size_t count)
{
	for (size_t n = 0; n < count && at + n < b->len; n++)
		b->data[at + n] = bytes[n];
}

static void change(const uint8_t *head, const uint8_t *bytes, size_t count)
{
	struct object *o = &now[head[1] % now_count], *other = &now[head[2] % now_count];
	size_t at = (size_t)head[2] | (size_t)head[3] << 8, from_end;

	switch (head[0] % 8) {
	case 0:
		overwrite(&o->bytes, at, bytes, count);
		mend_frame(&o->bytes);
		break;
	case 1:
		overwrite(&o->bytes, at, bytes, count);
		break;
	case 2:
		o->bytes.len = min_u64(o->bytes.len, at);
		break;
	case 3:
		o->key[0] = '\0';
		break;
	case 4: { /* swapped */
		struct buf swap = o->bytes;

		o->bytes = other->bytes;
		other->bytes = swap;
		break;
	}
	case 5: /* replayed in another's place */
		buf_reset(&o->bytes);
		buf_add(&o->bytes, other->bytes.data, other->bytes.len);
		break;
	case 6: /* another name */
		(void)snprintf(o->key, sizeof(o->key), "%.*s", (int)count, (const char *)bytes);
		break;
	default:
		from_end = min_u64(at, o->bytes.len);
		overwrite(&o->bytes, o->bytes.len - from_end, bytes, count);
		mend_frame(&o->bytes);
	}
}

static void change_all(const uint8_t *data, size_t size)
{
	while (size >= 5 && now_count > 0) {
		size_t count = min_u64(data[4], size - 5);

		change(data, data + 5, count);
		data += 5 + count;
		size -= 5 + count;
	}
}

static void make_bucket(const uint8_t *data, size_t size)
{
	struct store *s;

	store_mem_drop(URL);
	MUST(store_open(URL, &config.store, &s) == 0);
	now_count = base_count;
	for (size_t n = 0; n < base_count; n++) {
		now[n].bytes = (struct buf)BUF_INIT;
		memcpy(now[n].key, base[n].key, sizeof(now[n].key));
		buf_add(&now[n].bytes, base[n].bytes.data, base[n].bytes.len);
	}
	change_all(data, size);
	for (size_t n = 0; n < now_count; n++) {
		if (now[n].key[0])
			(void)store_put_bytes(s, now[n].key, now[n].bytes.data, now[n].bytes.len,
					      STORE_ALWAYS, NULL, NULL);
		buf_release(&now[n].bytes);
	}
	store_unref(s);
}

/* ---- using it ---- */

static void read_file(struct fs *fs, uint64_t ino)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct fs_file *f;
	char *bytes = malloc(READ_MAX);

	MUST(bytes);
	(void)fs_getxattr(fs, ino, "user.a", &value);
	if (fs_file_open(fs, ino, false, false, &f) == 0) {
		(void)fs_read(f, bytes, READ_MAX, 0);
		(void)fs_lseek(f, 0, 4 /* SEEK_HOLE */);
		fs_file_close(f);
	}
	free(bytes);
}

struct walk {
	struct fs *fs;
	unsigned depth;
};

static void walk(struct fs *fs, uint64_t dir, unsigned depth);

static bool visit(void *ctx, const struct fs_dirent *e)
{
	const struct walk *w = ctx;
	struct buf target CLEANUP(buf_release) = BUF_INIT;

	MUST(!strchr(e->name, '/') && *e->name);
	if (e->type == S_IFDIR && strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0)
		walk(w->fs, e->ino, w->depth + 1);
	else if (e->type == S_IFREG)
		read_file(w->fs, e->ino);
	else if (e->type == S_IFLNK)
		(void)fs_readlink(w->fs, e->ino, &target);
	return true;
}

static void walk(struct fs *fs, uint64_t dir, unsigned depth)
{
	struct walk w = { fs, depth };

	if (depth < DEPTH_MAX)
		(void)fs_readdir(fs, dir, 0, true, visit, &w);
}

static bool repair(void)
{
	struct fs_check_options options = { .data = true };
	struct fs_fsck_result result;

	config.read_only = false;
	return fs_fsck(URL, &config, &options, true, &result) == 0 && result.left == 0;
}

static bool use(bool for_writing)
{
	struct fs_check_options options = { .data = true };
	struct fs_check_result result;
	struct fs *fs;

	config.read_only = !for_writing;
	if (fs_open(URL, &config, &fs) < 0)
		return false;
	walk(fs, FS_ROOT_INO, 0);
	(void)fs_check(fs, &options, &result);
	(void)fs_close(fs, NULL, NULL);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	make_bucket(data + 1, size - 1);
	if (data[0] & 2 && repair())
		MUST(use(data[0] & 1));
	else
		(void)use(data[0] & 1);
	return 0;
}

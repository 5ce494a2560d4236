/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dir: looking names up, listing folders, reading symlinks. No lock of the namespace is needed: a
 * look-up is one read of the database, a listing reads one snapshot of it.
 */
#include "fs/names.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

/* ---- looking ---- */

/* A file that has no name and is not open is on its way out: nobody finds it by number either. */
static int attr_of(struct fs *fs, uint64_t ino, struct fs_attr *ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = inode_lock_live(i);
	if (err >= 0) {
		if (i->attr.nlink == 0 && i->opens == 0)
			err = -ENOENT;
		else
			inode_to_attr(i, ret);
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err;
}

static int look_up_parent(struct fs *fs, uint64_t dir, struct fs_attr *ret)
{
	uint64_t parent;
	struct inode *i;
	int err = folder_get(fs, dir, &i);

	if (err < 0)
		return err;
	pthread_mutex_lock(&i->lock);
	parent = i->attr.parent;
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	return fs_getattr(fs, parent, ret);
}

int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *ret)
{
	struct inode *i;
	struct entry e;
	int err;

	if (strcmp(name, ".") == 0)
		return attr_of(fs, dir, ret);
	if (strcmp(name, "..") == 0)
		return look_up_parent(fs, dir, ret);
	err = name_check(name);
	if (err < 0)
		return err;
	err = folder_get(fs, dir, &i);
	if (err < 0)
		return err;
	err = entry_find(fs, dir, name, &e);
	inode_put(fs, i);
	if (err >= 0 && !e.found)
		err = -ENOENT;
	return err < 0 ? err : fs_getattr(fs, e.ino, ret);
}

int fs_readlink(struct fs *fs, uint64_t ino, struct buf *out)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	if (i->type != S_IFLNK)
		err = -EINVAL;
	if (err >= 0)
		err = inode_lock_live(i);
	if (err >= 0) {
		buf_add(out, i->attr.target.data, i->attr.target.len);
		err = buf_error(out);
		(void)inode_touch_atime(fs, i);
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err;
}

/* ---- listing ---- */

#define COOKIE_DOT 1
#define COOKIE_DOTDOT 2

struct listing {
	struct fs *fs;
	uint64_t dir;
	bool want_attr;
	bool (*each)(void *ctx, const struct fs_dirent *entry);
	void *ctx;
};

/* 1: go on; 0: enough. An entry whose inode has gone since is passed over. */
static int tell(const struct listing *l, const char *name, uint64_t ino, uint32_t type,
		uint64_t cookie)
{
	struct fs_dirent entry = { .name = name, .ino = ino, .type = type, .cookie = cookie };
	struct fs_attr attr;

	if (l->want_attr) {
		int err = fs_getattr(l->fs, ino, &attr);

		if (err == -ENOENT)
			return 1;
		if (err < 0)
			return err;
		entry.attr = &attr;
	}
	return l->each(l->ctx, &entry) ? 1 : 0;
}

static int tell_dots(const struct listing *l, uint64_t cookie, uint64_t parent)
{
	int more = 1;

	if (cookie < COOKIE_DOT)
		more = tell(l, ".", l->dir, S_IFDIR, COOKIE_DOT);
	if (more > 0 && cookie < COOKIE_DOTDOT)
		more = tell(l, "..", parent, S_IFDIR, COOKIE_DOTDOT);
	return more;
}

static int tell_stored(const struct listing *l, uint64_t cookie, const char *value, size_t len)
{
	char name[FS_NAME_MAX + 1];
	struct dentry d;
	int err = dentry_decode(value, len, &d);

	if (err < 0)
		return err;
	if (d.type == 0)
		return 1;
	memcpy(name, d.name, d.name_len);
	name[d.name_len] = 0;
	return tell(l, name, d.ino, DTTOIF(d.type), cookie);
}

static int tell_entries(const struct listing *l, uint64_t cookie)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(l->fs->db), db_read_options(l->fs->db));
	struct key k;
	char *msg = NULL;
	int more = 1;

	key_dentry(&k, l->dir, (cookie > COOKIE_DOTDOT ? cookie : COOKIE_DOTDOT) + 1);
	leveldb_iter_seek(it, (const char *)k.bytes, k.len);
	for (; more > 0 && leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len != KEY_ORDERED_BYTES || memcmp(key, k.bytes, KEY_PREFIX_BYTES) != 0)
			break;
		value = leveldb_iter_value(it, &len);
		more = tell_stored(l, get_u64_be(key + 9), value, len);
	}
	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(l->fs->db, msg) : more;
}

int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool want_attr,
	       bool (*each)(void *ctx, const struct fs_dirent *entry), void *ctx)
{
	struct listing l = { fs, dir, want_attr, each, ctx };
	uint64_t parent;
	struct inode *i;
	int err = folder_get(fs, dir, &i);

	if (err < 0)
		return err;
	pthread_mutex_lock(&i->lock);
	parent = i->attr.parent;
	pthread_mutex_unlock(&i->lock);
	err = tell_dots(&l, cookie, parent);
	if (err > 0 && cookie < INT64_MAX)
		err = tell_entries(&l, cookie);
	inode_put(fs, i);
	return err < 0 ? err : 0;
}

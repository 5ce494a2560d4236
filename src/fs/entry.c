/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * entry: directory entries in the database, and the inodes that one operation changes together.
 *
 * An entry's key has 55 bits of its name's hash and a number n: names of a folder with equal hashes
 * form a run n = 0, 1, 2, … without gaps, so that a look-up ends at the first n that is absent. An
 * entry that leaves from the middle of a run becomes a tombstone; one that leaves from its end
 * takes the tombstones before it along. An entry keeps its n, and so its readdir cookie, as long as
 * it lives.
 */
#include "fs/names.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

int name_check(const char *name)
{
	size_t len = strnlen(name, FS_NAME_MAX + 1);

	if (len == 0)
		return -ENOENT;
	if (len > FS_NAME_MAX)
		return -ENAMETOOLONG;
	return strchr(name, '/') ? -EINVAL : 0;
}

bool name_is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- looking up ---- */

/* The name in `value` is what ret points to. -ENOENT where the run ends. */
static int read_member(struct fs *fs, uint64_t dir, uint64_t cookie, struct buf *value,
		       struct dentry *ret)
{
	struct key k;
	int err;

	buf_reset(value);
	key_dentry(&k, dir, cookie);
	err = db_value(fs, &k, value);
	return err < 0 ? err : dentry_decode(value->data, value->len, ret);
}

static bool same_name(const struct dentry *d, const char *name, size_t len)
{
	return d->type != 0 && d->name_len == len && memcmp(d->name, name, len) == 0;
}

int entry_find(struct fs *fs, uint64_t dir, const char *name, struct entry *ret)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	uint64_t base = key_cookie(fs, name, 0);
	unsigned free_n = ENTRY_RUN_MAX;
	size_t len = strlen(name);
	struct dentry d;

	for (unsigned n = 0; n < ENTRY_RUN_MAX; n++) {
		int err = read_member(fs, dir, base | n, &value, &d);

		if (err < 0 && err != -ENOENT)
			return err;
		if (err >= 0 && same_name(&d, name, len)) {
			*ret = (struct entry){ true, n, d.ino, d.type, 0, false };
			return 0;
		}
		if ((err < 0 || d.type == 0) && free_n == ENTRY_RUN_MAX)
			free_n = n;
		if (err < 0)
			break;
	}
	*ret = (struct entry){ .n = free_n };
	return 0;
}

bool entry_same_run(struct fs *fs, const char *a, const char *b)
{
	return key_cookie(fs, a, 0) == key_cookie(fs, b, 0);
}

/* ---- changing ---- */

int entry_plan_removal(struct fs *fs, uint64_t dir, const char *name, struct entry *e)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	uint64_t base = key_cookie(fs, name, 0);
	struct dentry d;
	int err = -ENOENT;

	e->entomb = false;
	e->drop = 0;
	if (e->n + 1 < ENTRY_RUN_MAX)
		err = read_member(fs, dir, base | (e->n + 1), &value, &d);
	e->entomb = err >= 0;
	if (err != -ENOENT)
		return err;
	while (e->drop < e->n) {
		err = read_member(fs, dir, base | (e->n - e->drop - 1), &value, &d);
		if (err < 0)
			return err == -ENOENT ? -L3_CORRUPT : err;
		if (d.type != 0)
			break;
		e->drop++;
	}
	return 0;
}

void entry_put(struct txn *t, uint64_t dir, const char *name, const struct entry *where,
	       uint32_t mode, uint64_t ino)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, dir, key_cookie(t->fs, name, where->n));
	dentry_encode(&value, IFTODT(mode), ino, name, strlen(name));
	txn_put(t, &k, &value);
}

void entry_remove(struct txn *t, uint64_t dir, const char *name, const struct entry *e)
{
	struct buf tombstone CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	if (e->entomb) {
		key_dentry(&k, dir, key_cookie(t->fs, name, e->n));
		dentry_encode(&tombstone, 0, 0, "", 0);
		txn_put(t, &k, &tombstone);
		return;
	}
	for (unsigned back = 0; back <= e->drop; back++) {
		key_dentry(&k, dir, key_cookie(t->fs, name, e->n - back));
		txn_delete(t, &k);
	}
}

/* ---- the inodes of one operation ---- */

void party_add(struct party *p, struct inode *i)
{
	size_t n = p->count;

	if (!i)
		return;
	for (size_t k = 0; k < p->count; k++)
		if (p->at[k] == i)
			return;
	for (; n > 0 && p->at[n - 1]->ino > i->ino; n--)
		p->at[n] = p->at[n - 1];
	p->at[n] = i;
	p->count++;
}

void party_unlock(struct party *p)
{
	for (size_t n = p->count; n-- > 0;)
		pthread_mutex_unlock(&p->at[n]->lock);
}

int party_lock(struct party *p)
{
	bool gone = false;

	for (size_t n = 0; n < p->count; n++) {
		pthread_mutex_lock(&p->at[n]->lock);
		p->before[n] = p->at[n]->attr;
		gone |= p->at[n]->gone;
	}
	if (!gone)
		return 0;
	party_unlock(p);
	return -ENOENT;
}

void party_put(struct party *p, struct txn *t)
{
	for (size_t n = 0; n < p->count; n++)
		txn_put_inode(t, p->at[n]);
}

int party_commit(struct party *p, struct txn *t)
{
	int err = txn_commit(t);

	if (err < 0)
		for (size_t n = 0; n < p->count; n++)
			p->at[n]->attr = p->before[n];
	return err;
}

int folder_get(struct fs *fs, uint64_t ino, struct inode **ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	if (i->type != S_IFDIR) {
		inode_put(fs, i);
		return -ENOTDIR;
	}
	*ret = i;
	return 0;
}

int entry_inode(struct fs *fs, uint64_t dir, const struct entry *e, struct inode **ret)
{
	int err = inode_get(fs, e->ino, ret);

	if (err == -ENOENT)
		return err_note(-L3_CORRUPT,
				"folder %llu has a name for inode %llu, which is missing",
				(unsigned long long)dir, (unsigned long long)e->ino);
	return err;
}

int order_data(struct fs *fs, struct inode *i)
{
	int err = inode_lock_live(i);

	if (err < 0)
		return err;
	if (inode_has_dirty(i))
		err = flush_inode(fs, i);
	pthread_mutex_unlock(&i->lock);
	return err;
}

void folder_changed(struct inode *dir, int names, int subfolders, int64_t now)
{
	dir->attr.entries += (uint64_t)(int64_t)names;
	dir->attr.nlink += (uint32_t)subfolders;
	dir->attr.mtime_ns = now;
	dir->attr.ctime_ns = now;
}

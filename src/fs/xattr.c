/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xattr: extended attributes, one record each. POSIX ACLs are among them: setting the access ACL
 * sets the mode as well, and one that the mode says in full is not kept.
 */
#include "fs/names.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define LIST_MAX 65536 /* what listxattr(2) can return */

int xattr_read(struct fs *fs, uint64_t ino, const char *name, struct buf *out)
{
	struct buf record CLEANUP(buf_release) = BUF_INIT;
	const uint8_t *value;
	struct key k;
	size_t len;
	int err;

	key_xattr(&k, ino, name);
	err = db_value(fs, &k, &record);
	if (err == -ENOENT)
		return -ENODATA;
	if (err >= 0)
		err = xattr_decode(record.data, record.len, &value, &len);
	if (err < 0)
		return err;
	buf_add(out, value, len);
	return buf_error(out);
}

void xattr_warm(struct fs *fs, struct inode *i, const char *name)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	bool any;

	pthread_mutex_lock(&i->lock);
	any = i->attr.flags & INODE_HAS_XATTR;
	pthread_mutex_unlock(&i->lock);
	if (any)
		(void)xattr_read(fs, i->ino, name, &value);
}

void xattr_put(struct txn *t, struct inode *i, const char *name, const struct buf *value)
{
	struct buf record CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_xattr(&k, i->ino, name);
	xattr_encode(&record, value->data, value->len);
	txn_put(t, &k, &record);
}

static void xattr_delete(struct txn *t, const struct inode *i, const char *name)
{
	struct key k;

	key_xattr(&k, i->ino, name);
	txn_delete(t, &k);
}

static bool is_acl(const char *name)
{
	return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static int check_name(const char *name)
{
	static const char *const kinds[] = { "user.", "trusted.", "security." };
	size_t len = strnlen(name, FS_XATTR_NAME_MAX + 1);

	if (len == 0 || len > FS_XATTR_NAME_MAX)
		return -ERANGE;
	if (is_acl(name))
		return 0;
	for (size_t n = 0; n < ARRAY_LEN(kinds); n++) {
		size_t prefix = strlen(kinds[n]);

		if (strncmp(name, kinds[n], prefix) == 0)
			return len > prefix ? 0 : -EINVAL;
	}
	return -EOPNOTSUPP;
}

/* ---- listing ---- */

static int add_names(leveldb_iterator_t *it, const struct key *prefix, struct buf *out)
{
	for (; leveldb_iter_valid(it); leveldb_iter_next(it)) {
		size_t len;
		const char *key = leveldb_iter_key(it, &len);

		if (len <= prefix->len || memcmp(key, prefix->bytes, prefix->len) != 0)
			break;
		buf_add(out, key + prefix->len, len - prefix->len);
		buf_u8(out, 0);
	}
	return buf_error(out);
}

static int list_names(struct fs *fs, uint64_t ino, struct buf *out)
{
	leveldb_iterator_t *it =
		leveldb_create_iterator(db_handle(fs->db), db_read_options(fs->db));
	char *msg = NULL;
	struct key k;
	int err;

	key_xattr(&k, ino, NULL);
	leveldb_iter_seek(it, (const char *)k.bytes, k.len);
	err = add_names(it, &k, out);
	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(fs->db, msg) : err;
}

/* ---- changing ---- */

struct change {
	const char *name;
	struct buf value; /* borrowed */
	bool remove;	  /* the record goes, if there is one */
	int flags;
};

/* Inode locked. What setting an ACL means for the mode, and whether the record is needed. */
static int apply_acl(struct inode *i, struct change *c)
{
	bool access = strcmp(c->name, ACL_ACCESS) == 0, plain = false;
	int err;

	if (!access && strcmp(c->name, ACL_DEFAULT) != 0)
		return 0;
	if (i->type == S_IFLNK)
		return -EOPNOTSUPP;
	if (!access && i->type != S_IFDIR)
		return -EACCES;
	err = acl_check(c->value.data, c->value.len);
	if (err < 0)
		return err;
	c->remove = c->value.len <= sizeof(uint32_t); /* without entries */
	if (access && !c->remove) {
		i->attr.mode = acl_mode(c->value.data, c->value.len, i->attr.mode, &plain);
		c->remove = plain;
	}
	return 0;
}

static int check_room(struct fs *fs, const struct inode *i, const char *name)
{
	struct buf names CLEANUP(buf_release) = BUF_INIT;
	int err = list_names(fs, i->ino, &names);

	if (err < 0)
		return err;
	return names.len + strlen(name) + 1 > LIST_MAX ? -ENOSPC : 0;
}

/* Inode locked. 1: there is such an attribute; 0: there is not, but there may be. */
static int check_flags(struct fs *fs, struct inode *i, const struct change *c)
{
	struct buf old CLEANUP(buf_release) = BUF_INIT;
	int err = -ENODATA;

	if (i->attr.flags & INODE_HAS_XATTR)
		err = xattr_read(fs, i->ino, c->name, &old);
	if (err >= 0)
		return c->flags & XATTR_CREATE ? -EEXIST : 1;
	if (err != -ENODATA)
		return err;
	if (c->flags & XATTR_REPLACE)
		return -ENODATA;
	return i->attr.flags & INODE_HAS_XATTR ? check_room(fs, i, c->name) : 0;
}

static int write_change(struct fs *fs, struct party *p, struct inode *i, const struct change *c)
{
	struct txn t;
	int err = txn_begin(fs, &t);

	if (err < 0)
		return err;
	i->attr.ctime_ns = fs_now_ns(fs);
	if (c->remove) {
		xattr_delete(&t, i, c->name);
	} else {
		i->attr.flags |= INODE_HAS_XATTR;
		xattr_put(&t, i, c->name, &c->value);
	}
	party_put(p, &t);
	return party_commit(p, &t);
}

static int change_locked(struct fs *fs, struct party *p, struct inode *i, struct change *c)
{
	uint32_t mode = i->attr.mode;
	int err = flags_check_changed(i), existed = 0;

	if (err >= 0)
		err = existed = check_flags(fs, i, c);
	if (err >= 0 && !c->remove)
		err = apply_acl(i, c);
	/* An ACL that says what the mode says already changes nothing. */
	if (err >= 0 && (!c->remove || existed || mode != i->attr.mode))
		err = write_change(fs, p, i, c);
	if (err < 0)
		i->attr.mode = mode;
	return err;
}

static int change_xattr(struct fs *fs, uint64_t ino, struct change *c)
{
	struct party p = { .count = 0 };
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	xattr_warm(fs, i, c->name);
	if (i->type == S_IFREG)
		err = order_data(fs, i);
	party_add(&p, i);
	if (err >= 0)
		err = party_lock(&p);
	if (err >= 0) {
		err = change_locked(fs, &p, i, c);
		party_unlock(&p);
	}
	inode_put(fs, i);
	return err;
}

int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t len,
		int flags)
{
	struct change c = { .name = name,
			    .value = { .data = (uint8_t *)value, .len = len },
			    .flags = flags };
	int err = check_name(name);

	if (err < 0)
		return err;
	if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) || flags == (XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	return len > FS_XATTR_SIZE_MAX ? -E2BIG : change_xattr(fs, ino, &c);
}

int fs_removexattr(struct fs *fs, uint64_t ino, const char *name)
{
	struct change c = { .name = name, .remove = true, .flags = XATTR_REPLACE };
	int err = check_name(name);

	if (err >= 0)
		err = change_xattr(fs, ino, &c);
	/* Every file has an ACL, if only its mode: to remove what says no more succeeds. */
	return err == -ENODATA && is_acl(name) ? 0 : err;
}

/* ---- reading ---- */

static int has_any(struct fs *fs, uint64_t ino, bool *ret)
{
	struct inode *i;
	int err = inode_get(fs, ino, &i);

	if (err < 0)
		return err;
	err = inode_lock_live(i);
	if (err >= 0) {
		*ret = i->attr.flags & INODE_HAS_XATTR;
		pthread_mutex_unlock(&i->lock);
	}
	inode_put(fs, i);
	return err;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, struct buf *out)
{
	bool any;
	int err = check_name(name);

	if (err >= 0)
		err = has_any(fs, ino, &any);
	if (err < 0)
		return err;
	return any ? xattr_read(fs, ino, name, out) : -ENODATA;
}

int fs_listxattr(struct fs *fs, uint64_t ino, struct buf *out)
{
	bool any;
	int err = has_any(fs, ino, &any);

	if (err < 0 || !any)
		return err;
	return list_names(fs, ino, out);
}

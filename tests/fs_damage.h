/* SPDX-License-Identifier: BSD-3-Clause */
/* Changing the records of an open filesystem behind its back, for tests of what notices and mends. */
#ifndef LEVELS3_TESTS_FS_DAMAGE_H
#define LEVELS3_TESTS_FS_DAMAGE_H

#include "fs/internal.h"
#include "fs_fixture.h"

static inline void put_value(const struct key *k, const struct buf *value)
{
	char *msg = NULL;

	leveldb_put(db_handle(fs->db), db_write_options(fs->db), (const char *)k->bytes, k->len,
		    (const char *)value->data, value->len, &msg);
	ck_assert_ptr_null(msg);
}

static inline void remove_key(const struct key *k)
{
	char *msg = NULL;

	leveldb_delete(db_handle(fs->db), db_write_options(fs->db), (const char *)k->bytes, k->len,
		       &msg);
	ck_assert_ptr_null(msg);
}

static inline void put_garbage(const struct key *k)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;

	buf_u8(&value, 77);
	put_value(k, &value);
}

static inline void edit_inode(uint64_t ino, void (*edit)(struct attr *a))
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

static inline void remove_inode(uint64_t ino)
{
	struct key k;

	key_inode(&k, ino);
	remove_key(&k);
}

static inline void remove_entry(uint64_t folder, const char *name)
{
	struct key k;

	key_dentry(&k, folder, key_cookie(fs, name, 0));
	remove_key(&k);
}

static inline void put_entry_at(uint64_t folder, uint64_t cookie, uint8_t type, uint64_t ino,
			 const char *name)
{
	struct buf value CLEANUP(buf_release) = BUF_INIT;
	struct key k;

	key_dentry(&k, folder, cookie);
	dentry_encode(&value, type, ino, name, strlen(name));
	put_value(&k, &value);
}

static inline void put_entry(uint64_t folder, uint8_t type, uint64_t ino, const char *name)
{
	put_entry_at(folder, key_cookie(fs, name, 0), type, ino, name);
}

static inline struct extent extent_of(uint64_t ino, uint64_t end)
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

#endif

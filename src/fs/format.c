/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format: making an empty filesystem.
 */
#include "fs/internal.h"

#include <errno.h>
#include <unistd.h>

static int make_root(struct fs *fs)
{
	int64_t now = fs->clock->real_ns(fs->clock);
	struct attr attr = { .mode = S_IFDIR | 0755,
			     .uid = (uint32_t)geteuid(),
			     .gid = (uint32_t)getegid(),
			     .nlink = 2,
			     .atime_ns = now,
			     .mtime_ns = now,
			     .ctime_ns = now,
			     .btime_ns = now,
			     .parent = FS_ROOT_INO };
	struct inode *root = NULL;
	struct txn t;
	int err = inode_make(fs, FS_ROOT_INO, &attr, &root);

	if (err < 0)
		return err;
	fs->totals = (struct totals){ .next_ino = FS_ROOT_INO + 1 };
	fs->totals_dirty = true;
	err = txn_begin(fs, &t);
	if (err >= 0) {
		txn_put_inode(&t, root);
		t.inodes++;
		err = txn_commit(&t);
	}
	inode_put(fs, root);
	return err;
}

/* A database from an interrupted attempt may be there already: then only what is missing is made.
 */
static int fill_new(struct fs *fs, const struct buf *super_bytes)
{
	struct lease_holder holder;
	bool fresh = lease_read(fs->store, &fs->super.uuid, &holder) == -ENOENT;
	int err = fs_open_rooms(fs, "(mkfs)", fresh, super_bytes);

	if (err >= 0)
		err = fs_load_totals(fs);
	if (err == -L3_CORRUPT && fs->db)
		err = make_root(fs);
	if (err >= 0)
		err = db_checkpoint(fs->db);
	if (err >= 0)
		err = super_finish(fs->store, &fs->super);
	if (err >= 0)
		err = lease_release(fs->lease);
	return err;
}

int fs_format(const char *url, const struct fs_config *config)
{
	struct buf super_bytes CLEANUP(buf_release) = BUF_INIT;
	struct fs_config quiet = *config;
	struct fs *fs = NULL;
	int err;

	quiet.read_only = false;
	quiet.cache_dir = NULL; /* nothing worth keeping yet */
	quiet.store.create = true;
	err = fs_new(&quiet, &fs);
	if (err < 0)
		return err;
	err = fs_open_stores(fs, url);
	if (err >= 0) {
		fs->super = (struct super){ .kind = SUPER_KIND_FS,
					    .incompat = SUPER_INCOMPAT_RANGES,
					    .hash_seed = random_u64(),
					    .created_real_ns = fs->clock->real_ns(fs->clock) };
		uuid_make(&fs->super.uuid);
		err = super_create(fs->store, &fs->super);
	}
	if (err >= 0) {
		err = super_read(fs->store, true, &fs->super, &super_bytes);
		if (err == -L3_NOT_LEVELS3 && fs->super.state == SUPER_FORMATTING)
			err = 0; /* that is what we are here for */
	}
	if (err >= 0)
		err = fill_new(fs, &super_bytes);
	if (err < 0) {
		fs_give_up(fs);
		return err;
	}
	fs_free(fs);
	return 0;
}

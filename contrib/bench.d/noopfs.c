/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A filesystem that does nothing, to see what the kernel's protocol alone allows.
 *
 *	noopfs DIR SIZE
 *
 * Answers everything as fast as it can be answered, with the settings that levels3fs asks of the
 * kernel. It knows which of the names in names.h exist (one byte each) and nothing else: every file
 * has SIZE zeros, writes are dropped. One more file, "stream", takes and gives any number of bytes.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names.h"

#define TIMEOUT_S 86400.0
#define REQUEST_BYTES (1024 * 1024)
#define STREAM_BYTES ((off_t)1 << 40)
#define FILES_MAX ((unsigned)DIRS_MAX * FILES_PER_DIR)

/* Inode numbers: 1 root, 2 stream, then folders, then files. A file keeps its number when renamed.
 */
#define STREAM_INO 2
#define DIR_INO 16
#define FILE_INO (DIR_INO + DIRS_MAX)

enum state { ABSENT, PLAIN, RENAMED };

static uint8_t dirs[DIRS_MAX];
static uint8_t files[FILES_MAX];
static off_t file_bytes;
static char zeros[REQUEST_BYTES];

static bool is_dir(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID || (ino >= DIR_INO && ino < FILE_INO);
}

static void fill_stat(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){ .st_ino = ino, .st_nlink = 1, .st_blksize = 131072 };
	st->st_mode = is_dir(ino) ? S_IFDIR | 0755 : S_IFREG | 0644;
	if (!is_dir(ino))
		st->st_size = ino == STREAM_INO ? STREAM_BYTES : file_bytes;
}

static struct fuse_entry_param entry_of(fuse_ino_t ino)
{
	struct fuse_entry_param e = { .ino = ino,
				      .attr_timeout = TIMEOUT_S,
				      .entry_timeout = TIMEOUT_S };

	fill_stat(ino, &e.attr);
	return e;
}

/* ---- names ---- */

/* The byte that says whether a name exists, the value it has if it does, and its inode number. */
struct slot {
	uint8_t *byte;
	uint8_t value;
	fuse_ino_t ino;
};

static bool find(fuse_ino_t parent, const char *name, struct slot *ret)
{
	char *end;
	unsigned long n = name[0] ? strtoul(name + 1, &end, 10) : 0;

	if (!name[0] || *end)
		return false;
	if (parent == FUSE_ROOT_ID) {
		*ret = (struct slot){ &dirs[n % DIRS_MAX], PLAIN, DIR_INO + n };
		return name[0] == 'd' && n < DIRS_MAX;
	}
	*ret = (struct slot){ &files[n % FILES_MAX], name[0] == 'r' ? RENAMED : PLAIN,
			      FILE_INO + n };
	return (name[0] == 'r' || name[0] == 'f') && n < FILES_MAX;
}

static bool is_stream(fuse_ino_t parent, const char *name)
{
	return parent == FUSE_ROOT_ID && strcmp(name, "stream") == 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .entry_timeout = TIMEOUT_S };
	struct slot s;

	if (is_stream(parent, name))
		e = entry_of(STREAM_INO);
	else if (find(parent, name, &s) && *s.byte == s.value)
		e = entry_of(s.ino);
	(void)fuse_reply_entry(req, &e);
}

static void set(fuse_req_t req, fuse_ino_t parent, const char *name, bool exists)
{
	struct slot s;

	if (!find(parent, name, &s)) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	*s.byte = exists ? s.value : ABSENT;
	(void)fuse_reply_err(req, 0);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fuse_entry_param e;
	struct slot s;

	if (!find(parent, name, &s)) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	*s.byte = s.value;
	e = entry_of(s.ino);
	(void)fuse_reply_entry(req, &e);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fuse_entry_param e = entry_of(STREAM_INO);
	struct slot s;

	if (!is_stream(parent, name)) {
		if (!find(parent, name, &s)) {
			(void)fuse_reply_err(req, EINVAL);
			return;
		}
		*s.byte = s.value;
		e = entry_of(s.ino);
		e.attr.st_size = 0;
	}
	(void)fuse_reply_create(req, &e, fi);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	set(req, parent, name, false);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
		      const char *to_name, unsigned flags)
{
	set(req, to_parent, to_name, true);
}

/* ---- attributes, bytes ---- */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	fill_stat(ino, &st);
	(void)fuse_reply_attr(req, &st, TIMEOUT_S);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which,
		       struct fuse_file_info *fi)
{
	op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	(void)fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	off_t end = ino == STREAM_INO ? STREAM_BYTES : file_bytes;
	size_t n = off >= end ? 0 : (size_t)(end - off);

	if (n > size)
		n = size;
	(void)fuse_reply_buf(req, zeros, n < sizeof(zeros) ? n : sizeof(zeros));
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)fuse_reply_write(req, size);
}

static void op_done(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fuse_reply_err(req, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)fuse_reply_err(req, 0);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)fuse_reply_err(req, ENODATA);
}

/* ---- folders ---- */

/* What comes at or after position *at: a name and its number; false at the end. */
static bool next_entry(fuse_ino_t dir, off_t *at, char name[NAME_BYTES], fuse_ino_t *ret_ino)
{
	off_t first = (off_t)(dir - DIR_INO) * FILES_PER_DIR;
	bool root = dir == FUSE_ROOT_ID;

	for (; *at < (root ? DIRS_MAX : FILES_PER_DIR); (*at)++) {
		unsigned n = (unsigned)(root ? *at : first + *at);

		if ((root ? dirs[n] : files[n]) == ABSENT)
			continue;
		(void)snprintf(name, NAME_BYTES,
			       root		   ? DIR_FORMAT
			       : files[n] == PLAIN ? FILE_FORMAT
						   : RENAMED_FORMAT,
			       n);
		*ret_ino = (root ? DIR_INO : FILE_INO) + n;
		return true;
	}
	return false;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, bool plus)
{
	char *out = malloc(size), name[NAME_BYTES];
	size_t len = 0, n;
	fuse_ino_t child;

	for (; out && next_entry(ino, &at, name, &child); at++, len += n) {
		struct fuse_entry_param e = entry_of(child);

		n = plus ? fuse_add_direntry_plus(req, out + len, size - len, name, &e, at + 1)
			 : fuse_add_direntry(req, out + len, size - len, name, &e.attr, at + 1);
		if (n > size - len)
			break;
	}
	if (out)
		(void)fuse_reply_buf(req, out, len);
	else
		(void)fuse_reply_err(req, ENOMEM);
	free(out);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	list(req, ino, size, off, true);
}

/* ---- the session ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC |
				FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
				FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_POSIX_ACL |
				FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_EXPLICIT_INVAL_DATA;

	conn->want |= conn->capable & wanted;
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->max_write = REQUEST_BYTES;
	conn->max_readahead = REQUEST_BYTES;
	conn->max_background = 64;
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.mkdir = op_mkdir,
	.unlink = op_remove,
	.rmdir = op_remove,
	.rename = op_rename,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.release = op_done,
	.fsync = op_fsync,
	.getxattr = op_getxattr,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
};

static int loop(struct fuse_session *s)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	if (!config)
		return 1;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_idle_threads(config, 12);
	err = fuse_session_loop_mt(s, config);
	fuse_loop_cfg_destroy(config);
	return err < 0;
}

int main(int argc, char **argv)
{
	char *fuse_argv[] = { "noopfs", "-o", "default_permissions,fsname=noopfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, fuse_argv);
	struct fuse_session *s;
	int code = 1;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: noopfs DIR SIZE\n");
		return 2;
	}
	file_bytes = strtol(argv[2], NULL, 10);
	s = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (s && fuse_set_signal_handlers(s) == 0 && fuse_session_mount(s, argv[1]) == 0) {
		if (fuse_daemonize(0) == 0)
			code = loop(s);
		fuse_session_unmount(s);
	}
	if (s)
		fuse_session_destroy(s);
	fuse_opt_free_args(&args);
	return code;
}

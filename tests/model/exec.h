/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec: doing one step in the worker's process.
 *
 * A handler returns what the system call does (-1 and errno), and leaves what was read in
 * result->out.
 */
#ifndef MODEL_EXEC_H
#define MODEL_EXEC_H

#include "model/worker.h"

struct map {
	uint8_t *at; /* NULL: none */
	size_t len;
	int fd; /* of the file, ours to close */
	int64_t off;
};

struct exec {
	int root; /* the tree */
	int fd[OP_SLOTS];
	struct map map[OP_SLOTS];
	struct result *res;
	unsigned user;
};

/* A path of a step, ready for the *at calls. */
struct where {
	int dir;
	char path[5000];
};

bool exec_where(const struct exec *e, const char *spec, struct where *ret);
/* Takes on the user of a step, and back. */
bool exec_become(struct exec *e, unsigned user);
/* The step, and the looks before and after it. */
void exec_step(struct exec *e, const struct op *op);
void exec_close_all(struct exec *e);
void exec_note(struct exec *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Deterministic bytes: random, one byte over and over, or zeros. */
void exec_fill(uint8_t *buf, size_t len, uint32_t seed);
void observe(const struct exec *e, const struct op *op, struct seen *ret);
void tree_write(struct tree *t, bool own);

/* exec_file.c */
int64_t do_open(struct exec *e, const struct op *op);
int64_t do_close(struct exec *e, const struct op *op);
int64_t do_dup(struct exec *e, const struct op *op);
int64_t do_setfl(struct exec *e, const struct op *op);
int64_t do_read(struct exec *e, const struct op *op);
int64_t do_pread(struct exec *e, const struct op *op);
int64_t do_write(struct exec *e, const struct op *op);
int64_t do_pwrite(struct exec *e, const struct op *op);
int64_t do_writev(struct exec *e, const struct op *op);
int64_t do_lseek(struct exec *e, const struct op *op);
int64_t do_truncate(struct exec *e, const struct op *op);
int64_t do_ftruncate(struct exec *e, const struct op *op);
int64_t do_fallocate(struct exec *e, const struct op *op);
int64_t do_copyrange(struct exec *e, const struct op *op);
int64_t do_fsync(struct exec *e, const struct op *op);

/* exec_map.c */
int64_t do_mmap(struct exec *e, const struct op *op);
int64_t do_mread(struct exec *e, const struct op *op);
int64_t do_mwrite(struct exec *e, const struct op *op);
int64_t do_msync(struct exec *e, const struct op *op);
int64_t do_munmap(struct exec *e, const struct op *op);
int64_t do_flock(struct exec *e, const struct op *op);
int64_t do_lock(struct exec *e, const struct op *op);
void map_drop(struct exec *e, unsigned slot);

/* exec_name.c */
int64_t do_mkdir(struct exec *e, const struct op *op);
int64_t do_rmdir(struct exec *e, const struct op *op);
int64_t do_unlink(struct exec *e, const struct op *op);
int64_t do_mknod(struct exec *e, const struct op *op);
int64_t do_symlink(struct exec *e, const struct op *op);
int64_t do_readlink(struct exec *e, const struct op *op);
int64_t do_link(struct exec *e, const struct op *op);
int64_t do_linkfd(struct exec *e, const struct op *op);
int64_t do_rename(struct exec *e, const struct op *op);
int64_t do_readdir(struct exec *e, const struct op *op);
int64_t do_dents(struct exec *e, const struct op *op);
int64_t do_scan(struct exec *e, const struct op *op);
int64_t do_fill(struct exec *e, const struct op *op);
int64_t do_drain(struct exec *e, const struct op *op);

/* exec_attr.c */
int64_t do_stat(struct exec *e, const struct op *op);
int64_t do_access(struct exec *e, const struct op *op);
int64_t do_chmod(struct exec *e, const struct op *op);
int64_t do_fchmod(struct exec *e, const struct op *op);
int64_t do_chown(struct exec *e, const struct op *op);
int64_t do_fchown(struct exec *e, const struct op *op);
int64_t do_utimens(struct exec *e, const struct op *op);
int64_t do_futimens(struct exec *e, const struct op *op);
int64_t do_setxattr(struct exec *e, const struct op *op);
int64_t do_getxattr(struct exec *e, const struct op *op);
int64_t do_listxattr(struct exec *e, const struct op *op);
int64_t do_removexattr(struct exec *e, const struct op *op);
int64_t do_fsetxattr(struct exec *e, const struct op *op);
int64_t do_fgetxattr(struct exec *e, const struct op *op);
int64_t do_setacl(struct exec *e, const struct op *op);

#endif

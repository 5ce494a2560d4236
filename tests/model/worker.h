/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker: a process that does steps on one side of the model test.
 *
 * It lives in the tree under test (chroot), so that paths and symlinks cannot lead out of it and
 * mean the same on both sides. Each side has OP_ACTORS of them, for what processes do to each
 * other. The runner hands a step over and gets back what a program could see: the result, and the
 * attributes before and after of everything the step names.
 */
#ifndef MODEL_WORKER_H
#define MODEL_WORKER_H

#include "model/op.h"

#include <sys/types.h>
#include <time.h>

#define OUT_MAX (256 * 1024)
#define TREE_MAX (64 * 1024 * 1024)
#define NOTE_MAX 256

/* What a step names: its paths, the folders they are in, what they lead to, its open files. */
enum { SEEN_PATH, SEEN_DIR, SEEN_TARGET, SEEN_PATH2, SEEN_DIR2, SEEN_FILE, SEEN_FILE2, SEEN_MAX };
extern const char *const seen_names[SEEN_MAX];

struct seen {
	int err; /* errno of looking; -1: not named */
	uint32_t mode, nlink, uid, gid;
	uint64_t ino, size, rdev;
	struct timespec atime, mtime, ctime;
};

struct result {
	int64_t ret; /* -1: failed */
	int err;     /* errno, then */
	size_t out_len;
	char note[NOTE_MAX]; /* what was wrong by itself, whatever the other side says */
	struct seen before[SEEN_MAX], after[SEEN_MAX];
	uint8_t out[OUT_MAX] __attribute__((aligned(4096))); /* bytes read, names listed */
};

/* Of OP_CHECK: the whole tree as sorted lines "path\tattributes…". `own`: with what only the same
 * filesystem must keep (inode numbers, times). */
struct tree {
	size_t len;
	bool overflow;
	char text[TREE_MAX];
};

struct worker;

/* Starts one in `dir`. NULL with a message: could not. */
struct worker *worker_start(const char *dir);
void worker_begin(struct worker *w, const struct op *op);
/* False: it died or took longer than two minutes; it is of no use any more. */
bool worker_end(struct worker *w, struct result **ret);
/* Writes the tree down; NULL as above. Valid until the next call. */
const struct tree *worker_tree(struct worker *w, bool own);
/* Stores what is in its open files and mappings, closes them, and ends it. False: something failed.
 */
bool worker_stop(struct worker *w);
void worker_kill(struct worker *w);

#endif

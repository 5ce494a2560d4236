/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * op: one step of the model test, and its form as a line of text.
 *
 * A step names everything by itself (paths, slots of open files, offsets, the seed of its bytes),
 * so that any part of a list of steps is a list of steps: that is what shrinking needs. A step
 * whose file is not open any more fails with EBADF, on both sides.
 *
 * Paths are written as specs: "%3/a" is "a" below the folder open in slot 3; the components @255
 * and @256 are names of that many bytes, @odd one of odd bytes; the whole path @empty is "", @4095
 * and @4096 are paths of that length.
 */
#ifndef MODEL_OP_H
#define MODEL_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OP_SPEC_MAX 64
#define OP_LINE_MAX 512
#define OP_SLOTS 8  /* open files of each process */
#define OP_ACTORS 2 /* processes of each side */
#define OP_USERS 3  /* root, and two that are nobody */

enum op_kind {
	OP_OPEN,
	OP_CLOSE,
	OP_DUP,
	OP_SETFL,
	OP_READ,
	OP_PREAD,
	OP_WRITE,
	OP_PWRITE,
	OP_WRITEV,
	OP_LSEEK,
	OP_TRUNCATE,
	OP_FTRUNCATE,
	OP_FALLOCATE,
	OP_COPYRANGE,
	OP_FSYNC,
	OP_MMAP,
	OP_MREAD,
	OP_MWRITE,
	OP_MSYNC,
	OP_MUNMAP,
	OP_MKDIR,
	OP_RMDIR,
	OP_UNLINK,
	OP_MKNOD,
	OP_SYMLINK,
	OP_READLINK,
	OP_LINK,
	OP_LINKFD,
	OP_RENAME,
	OP_READDIR,
	OP_DENTS,
	OP_SCAN,
	OP_FILL,
	OP_DRAIN,
	OP_STAT,
	OP_ACCESS,
	OP_CHMOD,
	OP_FCHMOD,
	OP_CHOWN,
	OP_FCHOWN,
	OP_UTIMENS,
	OP_FUTIMENS,
	OP_SETXATTR,
	OP_GETXATTR,
	OP_LISTXATTR,
	OP_REMOVEXATTR,
	OP_FSETXATTR,
	OP_FGETXATTR,
	OP_SETACL,
	OP_FLOCK,
	OP_LOCK,
	OP_CHECK,
	OP_REMOUNT,
	OP_KINDS
};

/* What OP_REMOUNT's flags say. */
enum remount { REMOUNT_PLAIN, REMOUNT_COLD, REMOUNT_KILL, REMOUNTS };
extern const char *const remount_names[REMOUNTS];

/* OP_LOCK's flags: which family, set or ask. Its mode is F_RDLCK, F_WRLCK or F_UNLCK. */
enum { LOCK_POSIX_SET, LOCK_POSIX_GET, LOCK_OFD_SET, LOCK_OFD_GET };

struct op {
	uint8_t kind;  /* enum op_kind */
	uint8_t actor; /* which process does it */
	uint8_t user;  /* as whom */
	uint8_t slot, slot2;
	bool omitted; /* it is not done, only looked at: the self-test's planted difference */
	uint16_t umask;
	uint32_t flags, mode;
	int64_t off, off2;
	uint64_t len;
	uint32_t seed;
	char path[OP_SPEC_MAX], path2[OP_SPEC_MAX], name[OP_SPEC_MAX];
};

/* Which fields a kind has, in the order in which they are written:
 * p path, P path2, s slot, S slot2, f flags, m mode, o off, O off2, l len, d seed, n name. */
const char *op_fields(enum op_kind kind);
const char *op_name(enum op_kind kind);

void op_print(FILE *out, const struct op *op);
/* False, with a message on stderr, if that is no step. */
bool op_parse(const char *line, struct op *ret);

/* The path that a spec stands for; *ret_slot is the slot of the folder it starts from, -1 the root
 * of the tree. False if it does not fit. */
bool op_expand(const char *spec, char *out, size_t size, int *ret_slot);
/* Likewise of the folder that the last component is in. */
bool op_expand_parent(const char *spec, char *out, size_t size, int *ret_slot);

#endif

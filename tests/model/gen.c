/* SPDX-License-Identifier: BSD-3-Clause */
/* Random steps: which, by whom, on what. */
#include "model/gen.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KNOWN 64 /* paths that are there, as far as we know */

enum type { NOTHING, FOLDER, REGULAR, OTHER };

struct slot {
	enum type type;
	bool readable, writable, mapped;
};

struct gen {
	uint64_t state;
	struct features features;
	struct known {
		char path[OP_SPEC_MAX];
		enum type type;
	} known[KNOWN];
	struct slot slots[OP_ACTORS][OP_SLOTS];
	unsigned total_weight;
};

/* ---- numbers ---- */

/* splitmix64 */
static uint64_t draw(struct gen *g)
{
	uint64_t z = g->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t gen_below(struct gen *g, uint32_t n)
{
	return (uint32_t)(draw(g) % n);
}

static bool one_in(struct gen *g, uint32_t n)
{
	return gen_below(g, n) == 0;
}

/* Mostly small; now and then at the places where numbers get longer, up to what ext4 can. */
static int64_t draw_offset(struct gen *g)
{
	static const int64_t edges[] = { 4096,	  65536,     131072,	 1 << 20,
					 4 << 20, 1ll << 31, 1ll << 32,	 1ll << 40,
					 0,	  16 << 20,  15ll << 40, (1ll << 32) - 4096 };
	uint32_t r = gen_below(g, 100);

	if (r < 60)
		return gen_below(g, 65536);
	if (r < 75)
		return (int64_t)gen_below(g, 64) * 4096;
	if (r < 85)
		return gen_below(g, 1 << 20);
	if (r < 97)
		return (int64_t)gen_below(g, 300);
	r = gen_below(g, COUNT(edges));
	return edges[r] + (one_in(g, 2) ? 0 : (int64_t)gen_below(g, 5) - 2);
}

static uint64_t draw_length(struct gen *g)
{
	uint32_t r = gen_below(g, 100);

	if (r < 5)
		return 0;
	if (r < 50)
		return gen_below(g, 300);
	if (r < 80)
		return gen_below(g, 20000);
	if (r < 90)
		return (uint64_t)(1 + gen_below(g, 16)) * 4096;
	return gen_below(g, 200000);
}

/* ---- paths ---- */

static void draw_name(struct gen *g, char *out, size_t size)
{
	static const char *const special[] = {
		"@255", "@255b", "@odd", "@256", ".", "..", "many.3"
	};

	if (one_in(g, 12))
		(void)snprintf(out, size, "%s", special[gen_below(g, COUNT(special))]);
	else
		(void)snprintf(out, size, "%c", 'a' + (int)gen_below(g, 7));
}

/* type NOTHING: any */
static const struct known *draw_known(struct gen *g, enum type type)
{
	unsigned first = gen_below(g, KNOWN);

	for (unsigned n = 0; n < KNOWN; n++) {
		const struct known *k = &g->known[(first + n) % KNOWN];

		if (k->type && (!type || k->type == type))
			return k;
	}
	return NULL;
}

static void draw_fresh_path(struct gen *g, char *out)
{
	const struct known *k = one_in(g, 4) ? NULL : draw_known(g, FOLDER);
	char name[16];

	draw_name(g, name, sizeof(name));
	if (one_in(g, 25))
		(void)snprintf(out, OP_SPEC_MAX, "%%%u/%s", gen_below(g, OP_SLOTS), name);
	else if (k)
		(void)snprintf(out, OP_SPEC_MAX, "%.40s/%s", k->path, name);
	else
		(void)snprintf(out, OP_SPEC_MAX, "%s", name);
}

static void draw_path(struct gen *g, bool fresh, enum type type, char *out)
{
	static const char *const special[] = { "@empty", "@4095", "@4096", ".",
					       "..",	 "/",	  "a/",	   "b/." };
	const struct known *k = fresh || one_in(g, 8) ? NULL : draw_known(g, type);

	if (one_in(g, 60))
		(void)snprintf(out, OP_SPEC_MAX, "%s", special[gen_below(g, COUNT(special))]);
	else if (k)
		(void)snprintf(out, OP_SPEC_MAX, "%.40s%s", k->path, one_in(g, 60) ? "/" : "");
	else
		draw_fresh_path(g, out);
}

/* What a kind of step is mostly done to. */
static void draw_first_path(struct gen *g, const struct op *op, char *out)
{
	switch (op->kind) {
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_SYMLINK:
	case OP_LINKFD:
		draw_path(g, !one_in(g, 6), NOTHING, out);
		break;
	case OP_READDIR:
	case OP_SCAN:
	case OP_FILL:
	case OP_DRAIN:
	case OP_RMDIR:
		draw_path(g, false, one_in(g, 8) ? NOTHING : FOLDER, out);
		break;
	case OP_OPEN:
		draw_path(g, one_in(g, 4), one_in(g, 3) ? NOTHING : REGULAR, out);
		break;
	case OP_TRUNCATE:
	case OP_LINK:
		draw_path(g, false, one_in(g, 4) ? NOTHING : REGULAR, out);
		break;
	case OP_READLINK:
		draw_path(g, false, one_in(g, 4) ? NOTHING : OTHER, out);
		break;
	default:
		draw_path(g, false, NOTHING, out);
		break;
	}
}

/* Most of the time one that the step can use. */
static uint8_t draw_slot(struct gen *g, const struct op *op, bool mapped, bool writable)
{
	unsigned first = gen_below(g, OP_SLOTS);

	for (unsigned n = 0; n < OP_SLOTS && !one_in(g, 40); n++) {
		const struct slot *s = &g->slots[op->actor][(first + n) % OP_SLOTS];

		if (mapped ? s->mapped
			   : (s->type == REGULAR && (writable ? s->writable : s->readable)))
			return (uint8_t)((first + n) % OP_SLOTS);
	}
	return (uint8_t)first;
}

static uint8_t draw_first_slot(struct gen *g, const struct op *op)
{
	switch (op->kind) {
	case OP_READ:
	case OP_PREAD:
	case OP_COPYRANGE:
	case OP_LSEEK:
		return draw_slot(g, op, false, false);
	case OP_WRITE:
	case OP_PWRITE:
	case OP_WRITEV:
	case OP_FTRUNCATE:
	case OP_FALLOCATE:
	case OP_MMAP:
	case OP_LOCK:
		return draw_slot(g, op, false, true);
	case OP_DENTS:
		for (uint8_t n = 0; n < OP_SLOTS; n++)
			if (g->slots[op->actor][n].type == FOLDER && !one_in(g, 4))
				return n;
		return 0;
	default:
		return (uint8_t)gen_below(g, OP_SLOTS);
	}
}

static uint8_t draw_second_slot(struct gen *g, const struct op *op)
{
	if (op->kind == OP_MREAD || op->kind == OP_MWRITE || op->kind == OP_MSYNC)
		return draw_slot(g, op, true, false);
	if (op->kind == OP_COPYRANGE)
		return draw_slot(g, op, false, true);
	return (uint8_t)gen_below(g, OP_SLOTS);
}

/* ---- fields ---- */

static uint32_t draw_open_flags(struct gen *g)
{
	static const uint32_t access[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };
	static const uint32_t rare[] = { O_NOFOLLOW, O_SYNC, O_DSYNC,	O_DIRECTORY,
					 O_PATH,     O_EXCL, O_NOATIME, O_DIRECT };
	uint32_t flags = access[gen_below(g, COUNT(access))];

	if (g->features.tmpfile && one_in(g, 20))
		return (one_in(g, 8) ? O_RDONLY : O_RDWR) | O_TMPFILE | (one_in(g, 4) ? O_EXCL : 0);
	if (one_in(g, 8))
		return O_RDONLY | O_DIRECTORY;
	if (one_in(g, 2))
		flags |= O_CREAT;
	if (one_in(g, 6))
		flags |= O_TRUNC;
	if (one_in(g, 6))
		return flags | O_APPEND;
	if (one_in(g, 4))
		flags |= rare[gen_below(g, COUNT(rare))];
	if (flags & O_CREAT)
		flags |= one_in(g, 4) ? O_EXCL : 0;
	/* O_CREAT with O_DIRECTORY means something else in each version of Linux. */
	return (flags & O_DIRECTORY) == O_DIRECTORY ? flags & ~(uint32_t)O_CREAT : flags;
}

static uint32_t draw_fallocate_flags(struct gen *g)
{
	static const uint32_t modes[] = { 0,
					  FALLOC_FL_KEEP_SIZE,
					  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  FALLOC_FL_ZERO_RANGE,
					  FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					  FALLOC_FL_PUNCH_HOLE,
					  FALLOC_FL_COLLAPSE_RANGE,
					  FALLOC_FL_INSERT_RANGE };

	return modes[gen_below(g, COUNT(modes) - (g->features.shift ? 0 : 2))];
}

static uint32_t draw_lseek_flags(struct gen *g)
{
	static const uint32_t whence[] = { SEEK_SET,  SEEK_SET,	 SEEK_CUR,  SEEK_END,
					   SEEK_DATA, SEEK_DATA, SEEK_HOLE, SEEK_HOLE };

	return whence[gen_below(g, COUNT(whence))];
}

static uint32_t draw_flock_flags(struct gen *g)
{
	static const uint32_t kinds[] = { LOCK_SH, LOCK_EX, LOCK_UN };

	return kinds[gen_below(g, COUNT(kinds))];
}

static uint32_t draw_flags(struct gen *g, enum op_kind kind)
{
	switch (kind) {
	case OP_OPEN:
		return draw_open_flags(g);
	case OP_SETFL:
		return one_in(g, 2) ? O_APPEND : 0;
	case OP_FALLOCATE:
		return draw_fallocate_flags(g);
	case OP_LSEEK:
		return draw_lseek_flags(g);
	case OP_MMAP:
		return gen_below(g, 4);
	case OP_FSYNC:
		return gen_below(g, 2);
	case OP_RENAME:
		return one_in(g, 4) ? gen_below(g, 3) + (one_in(g, 20) ? 1 : 0) : 0;
	case OP_LINK:
		return one_in(g, 4) ? AT_SYMLINK_FOLLOW : 0;
	case OP_STAT:
	case OP_CHOWN:
	case OP_UTIMENS:
		return one_in(g, 3) ? AT_SYMLINK_NOFOLLOW : 0;
	case OP_SETXATTR:
	case OP_FSETXATTR:
		return one_in(g, 3) ? 1 + gen_below(g, 2) : 0;
	case OP_FLOCK:
		return draw_flock_flags(g);
	case OP_LOCK:
		return gen_below(g, 4);
	default:
		return 0;
	}
}

static uint32_t draw_mode(struct gen *g, enum op_kind kind)
{
	static const uint32_t types[] = { S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR,
					  S_IFBLK, 0,	    S_IFREG,  S_IFDIR };
	uint32_t mode = one_in(g, 3) ? gen_below(g, 010000) : (one_in(g, 2) ? 0777 : 0644);

	if (kind == OP_LOCK)
		return gen_below(g, 3);
	return kind == OP_MKNOD ? types[gen_below(g, COUNT(types))] | mode : mode;
}

static int64_t draw_id(struct gen *g)
{
	static const int64_t ids[] = { 0, 1000, 2000, 3000, -1, 70000 };

	return ids[gen_below(g, COUNT(ids))];
}

static int64_t draw_time(struct gen *g)
{
	uint32_t r = gen_below(g, 8);

	if (r < 2)
		return -1 - (int64_t)r;
	if (r < 4)
		return (int64_t)gen_below(g, 1000) * 1000000000;
	return (int64_t)(draw(g) % (8000000000ull * 1000000000ull));
}

static int64_t draw_where(struct gen *g, enum op_kind kind)
{
	const dev_t devices[] = { makedev(1, 3), makedev(250, 77), makedev(4000, 1000000) };

	switch (kind) {
	case OP_CHOWN:
	case OP_FCHOWN:
		return draw_id(g);
	case OP_UTIMENS:
	case OP_FUTIMENS:
		return draw_time(g);
	case OP_MKNOD:
		return (int64_t)devices[gen_below(g, COUNT(devices))];
	case OP_LSEEK:
	case OP_TRUNCATE:
	case OP_FTRUNCATE:
		return one_in(g, 40) ? -(int64_t)gen_below(g, 5000) : draw_offset(g);
	default:
		return draw_offset(g);
	}
}

static uint64_t draw_amount(struct gen *g, enum op_kind kind)
{
	uint32_t r = gen_below(g, 100);

	switch (kind) {
	case OP_SETXATTR:
	case OP_FSETXATTR:
		if (r < 90 || !g->features.big_xattr)
			return gen_below(g, 200);
		return r < 98 ? gen_below(g, 65537) : 65537;
	case OP_GETXATTR:
	case OP_FGETXATTR:
	case OP_LISTXATTR:
		return r < 70 ? 65536 : gen_below(g, 100);
	case OP_READDIR:
	case OP_DENTS:
		return r < 50 ? 32768 : 300 + gen_below(g, 2000);
	case OP_SCAN:
		return gen_below(g, 12);
	case OP_FILL:
	case OP_DRAIN:
		return r < 80 ? gen_below(g, 20) : gen_below(g, 400);
	default:
		return draw_length(g);
	}
}

static void draw_xattr_name(struct gen *g, enum op_kind kind, char *out)
{
	static const char *const names[] = {
		"user.a",
		"user.a",
		"user.b",
		"user.c",
		"user.@x",
		"trusted.t",
		"security.s",
		"user.",
		"nobody.x",
		"nodot",
		"@256",
		"user.\xc3\xa4",
		"system.posix_acl_access",
		"system.posix_acl_default",
	};
	static const char *const acls[] = { "system.posix_acl_access", "system.posix_acl_default" };
	/* An ACL of random bytes is only refused: setacl makes real ones. */
	size_t count = COUNT(names);

	(void)snprintf(out, OP_SPEC_MAX, "%s",
		       kind == OP_SETACL ? acls[gen_below(g, 2)]
					 : names[gen_below(g, (uint32_t)count)]);
}

static void draw_field(struct gen *g, char field, struct op *op)
{
	switch (field) {
	case 'p':
		draw_first_path(g, op, op->path);
		break;
	case 'P':
		draw_path(g, op->kind == OP_LINK || (op->kind == OP_RENAME && !one_in(g, 3)),
			  NOTHING, op->path2);
		break;
	case 's':
		op->slot = draw_first_slot(g, op);
		break;
	case 'S':
		op->slot2 = draw_second_slot(g, op);
		break;
	case 'f':
		op->flags = draw_flags(g, op->kind);
		break;
	case 'm':
		op->mode = draw_mode(g, op->kind);
		break;
	case 'o':
		op->off = draw_where(g, op->kind);
		break;
	case 'O':
		op->off2 = draw_where(g, op->kind);
		break;
	case 'l':
		op->len = draw_amount(g, op->kind);
		break;
	case 'd':
		op->seed = (uint32_t)draw(g);
		break;
	default:
		draw_xattr_name(g, op->kind, op->name);
		break;
	}
}

/* ---- kinds ---- */

static const struct {
	enum op_kind kind;
	unsigned weight;
} weights[] = {
	{ OP_OPEN, 110 },     { OP_CLOSE, 25 },	      { OP_DUP, 6 },	   { OP_SETFL, 6 },
	{ OP_READ, 40 },      { OP_PREAD, 50 },	      { OP_WRITE, 50 },	   { OP_PWRITE, 60 },
	{ OP_WRITEV, 15 },    { OP_LSEEK, 40 },	      { OP_TRUNCATE, 20 }, { OP_FTRUNCATE, 20 },
	{ OP_FALLOCATE, 40 }, { OP_COPYRANGE, 25 },   { OP_FSYNC, 4 },	   { OP_MMAP, 20 },
	{ OP_MREAD, 20 },     { OP_MWRITE, 20 },      { OP_MSYNC, 4 },	   { OP_MUNMAP, 8 },
	{ OP_MKDIR, 40 },     { OP_RMDIR, 15 },	      { OP_UNLINK, 40 },   { OP_MKNOD, 20 },
	{ OP_SYMLINK, 20 },   { OP_READLINK, 10 },    { OP_LINK, 30 },	   { OP_LINKFD, 8 },
	{ OP_RENAME, 60 },    { OP_READDIR, 15 },     { OP_DENTS, 8 },	   { OP_SCAN, 8 },
	{ OP_FILL, 1 },	      { OP_DRAIN, 3 },	      { OP_STAT, 15 },	   { OP_ACCESS, 15 },
	{ OP_CHMOD, 30 },     { OP_FCHMOD, 8 },	      { OP_CHOWN, 25 },	   { OP_FCHOWN, 8 },
	{ OP_UTIMENS, 20 },   { OP_FUTIMENS, 8 },     { OP_SETXATTR, 30 }, { OP_GETXATTR, 15 },
	{ OP_LISTXATTR, 10 }, { OP_REMOVEXATTR, 10 }, { OP_FSETXATTR, 6 }, { OP_FGETXATTR, 6 },
	{ OP_SETACL, 20 },    { OP_FLOCK, 10 },	      { OP_LOCK, 15 },
};

static enum op_kind draw_kind(struct gen *g)
{
	uint32_t r = gen_below(g, g->total_weight);
	size_t n = 0;

	while (r >= weights[n].weight)
		r -= weights[n++].weight;
	return weights[n].kind;
}

/* ---- what is there ---- */

static enum type type_of(const struct seen *s)
{
	if (s->err != 0)
		return NOTHING;
	if (S_ISDIR(s->mode))
		return FOLDER;
	return S_ISREG(s->mode) ? REGULAR : OTHER;
}

static struct known *find_known(struct gen *g, const char *path)
{
	for (unsigned n = 0; n < KNOWN; n++)
		if (g->known[n].type && strcmp(g->known[n].path, path) == 0)
			return &g->known[n];
	return NULL;
}

/* Only what names the same thing tomorrow, and is not too deep. */
static bool is_worth_knowing(const char *path)
{
	size_t len = strlen(path);

	return len > 0 && len < 30 && !strchr(path, '%') && !strstr(path, "..") &&
	       strncmp(path, "@empty", 6) != 0 && strncmp(path, "@40", 3) != 0 &&
	       path[len - 1] != '/' && path[len - 1] != '.';
}

static void learn(struct gen *g, const char *path, const struct seen *s)
{
	struct known *k = find_known(g, path);

	if (!is_worth_knowing(path))
		return;
	if (!k && type_of(s) != NOTHING)
		k = &g->known[gen_below(g, KNOWN)];
	if (!k)
		return;
	(void)snprintf(k->path, sizeof(k->path), "%s", path);
	k->type = type_of(s);
}

/* What was below it is now below its new name. */
static void learn_rename(struct gen *g, const char *from, const char *to)
{
	size_t len = strlen(from);

	for (unsigned n = 0; n < KNOWN; n++) {
		struct known *k = &g->known[n];
		char path[2 * OP_SPEC_MAX];

		if (strncmp(k->path, from, len) != 0 || k->path[len] != '/')
			continue;
		(void)snprintf(path, sizeof(path), "%s%s", to, k->path + len);
		if (is_worth_knowing(path))
			(void)snprintf(k->path, sizeof(k->path), "%.60s", path);
		else
			k->type = NOTHING;
	}
}

static void learn_slots(struct gen *g, const struct op *op, const struct result *res)
{
	struct slot *s = &g->slots[op->actor][op->slot], *s2 = &g->slots[op->actor][op->slot2];
	uint32_t access = op->flags & O_ACCMODE;

	s->type = type_of(&res->after[SEEN_FILE]);
	if (res->ret < 0)
		return;
	if (op->kind == OP_OPEN) {
		s->readable = access != O_WRONLY && !(op->flags & O_PATH);
		s->writable = access != O_RDONLY && !(op->flags & O_PATH);
	} else if (op->kind == OP_DUP) {
		*s2 = (struct slot){ s->type, s->readable, s->writable, s2->mapped };
	} else if (op->kind == OP_MMAP) {
		s2->mapped = true;
	}
}

void gen_told(struct gen *g, const struct op *op, const struct result *res)
{
	const char *fields = op_fields(op->kind);

	if (op->kind == OP_RENAME && res->ret == 0)
		learn_rename(g, op->path, op->path2);
	if (strchr(fields, 'p'))
		learn(g, op->path, &res->after[SEEN_PATH]);
	if (strchr(fields, 'P') && op->kind != OP_SYMLINK)
		learn(g, op->path2, &res->after[SEEN_PATH2]);
	if (strchr(fields, 's'))
		learn_slots(g, op, res);
	if (op->kind == OP_MUNMAP)
		g->slots[op->actor][op->slot2].mapped = false;
}

void gen_closed(struct gen *g)
{
	memset(g->slots, 0, sizeof(g->slots));
}

void gen_next(struct gen *g, struct op *ret)
{
	static const uint16_t umasks[] = { 022, 022, 0, 077, 027 };

	*ret = (struct op){ .kind = (uint8_t)draw_kind(g) };
	ret->actor = one_in(g, 4);
	ret->user = (uint8_t)(one_in(g, 4) ? 1 + gen_below(g, 2) : 0);
	ret->umask = umasks[gen_below(g, COUNT(umasks))];
	for (const char *f = op_fields(ret->kind); *f; f++)
		draw_field(g, *f, ret);
}

struct gen *gen_new(uint64_t seed, const struct features *f)
{
	struct gen *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->state = seed * 0x2545f4914f6cdd1d + 1;
	g->features = *f;
	for (size_t n = 0; n < COUNT(weights); n++)
		g->total_weight += weights[n].weight;
	return g;
}

void gen_free(struct gen *g)
{
	free(g);
}

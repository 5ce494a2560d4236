/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps as text: the table of kinds, printing, parsing, paths. */
#include "model/op.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- names of flags ---- */

struct flag {
	const char *name;
	uint32_t value;
};

/* Where one contains another, it comes first. */
static const struct flag open_flags[] = {
	{ "TMPFILE", O_TMPFILE },     { "SYNC", O_SYNC },	{ "DSYNC", O_DSYNC },
	{ "DIRECTORY", O_DIRECTORY }, { "WRONLY", O_WRONLY },	{ "RDWR", O_RDWR },
	{ "CREAT", O_CREAT },	      { "EXCL", O_EXCL },	{ "TRUNC", O_TRUNC },
	{ "APPEND", O_APPEND },	      { "DIRECT", O_DIRECT },	{ "NOFOLLOW", O_NOFOLLOW },
	{ "PATH", O_PATH },	      { "NOATIME", O_NOATIME }, { NULL, 0 }
};
static const struct flag falloc_flags[] = {
	{ "KEEP_SIZE", FALLOC_FL_KEEP_SIZE },	{ "PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE },
	{ "ZERO_RANGE", FALLOC_FL_ZERO_RANGE }, { "COLLAPSE", FALLOC_FL_COLLAPSE_RANGE },
	{ "INSERT", FALLOC_FL_INSERT_RANGE },	{ NULL, 0 }
};
static const struct flag whence_flags[] = { { "CUR", SEEK_CUR },
					    { "HOLE", SEEK_HOLE },
					    { "END", SEEK_END },
					    { "DATA", SEEK_DATA },
					    { NULL, 0 } };
static const struct flag mmap_flags[] = { { "SHARED", 1 }, { "WRITE", 2 }, { NULL, 0 } };
static const struct flag fsync_flags[] = { { "DATA", 1 }, { NULL, 0 } };
static const struct flag at_flags[] = { { "NOFOLLOW", AT_SYMLINK_NOFOLLOW },
					{ "FOLLOW", AT_SYMLINK_FOLLOW },
					{ "REMOVEDIR", AT_REMOVEDIR },
					{ NULL, 0 } };
static const struct flag rename_flags[] = { { "NOREPLACE", RENAME_NOREPLACE },
					    { "EXCHANGE", RENAME_EXCHANGE },
					    { NULL, 0 } };
static const struct flag xattr_flags[] = { { "CREATE", XATTR_CREATE },
					   { "REPLACE", XATTR_REPLACE },
					   { NULL, 0 } };
static const struct flag flock_flags[] = {
	{ "SH", LOCK_SH }, { "EX", LOCK_EX }, { "UN", LOCK_UN }, { NULL, 0 }
};
static const struct flag lock_flags[] = { { "OFD_GET", LOCK_OFD_GET },
					  { "OFD_SET", LOCK_OFD_SET },
					  { "GET", LOCK_POSIX_GET },
					  { NULL, 0 } };
static const struct flag remount_flags[] = { { "KILL", REMOUNT_KILL },
					     { "COLD", REMOUNT_COLD },
					     { NULL, 0 } };
const char *const remount_names[REMOUNTS] = { "plain", "cold", "kill" };

/* ---- the kinds ---- */

static const struct kind {
	const char *name, *fields;
	const struct flag *flags;
} kinds[OP_KINDS] = {
	[OP_OPEN] = { "open", "spfm", open_flags },
	[OP_CLOSE] = { "close", "s", NULL },
	[OP_DUP] = { "dup", "sS", NULL },
	[OP_SETFL] = { "setfl", "sf", open_flags },
	[OP_READ] = { "read", "sl", NULL },
	[OP_PREAD] = { "pread", "sol", NULL },
	[OP_WRITE] = { "write", "sld", NULL },
	[OP_PWRITE] = { "pwrite", "sold", NULL },
	[OP_WRITEV] = { "writev", "sld", NULL },
	[OP_LSEEK] = { "lseek", "sof", whence_flags },
	[OP_TRUNCATE] = { "truncate", "po", NULL },
	[OP_FTRUNCATE] = { "ftruncate", "so", NULL },
	[OP_FALLOCATE] = { "fallocate", "sfol", falloc_flags },
	[OP_COPYRANGE] = { "copyrange", "soSOl", NULL },
	[OP_FSYNC] = { "fsync", "sf", fsync_flags },
	[OP_MMAP] = { "mmap", "sSolf", mmap_flags },
	[OP_MREAD] = { "mread", "Sol", NULL },
	[OP_MWRITE] = { "mwrite", "Sold", NULL },
	[OP_MSYNC] = { "msync", "S", NULL },
	[OP_MUNMAP] = { "munmap", "S", NULL },
	[OP_MKDIR] = { "mkdir", "pm", NULL },
	[OP_RMDIR] = { "rmdir", "p", NULL },
	[OP_UNLINK] = { "unlink", "p", NULL },
	[OP_MKNOD] = { "mknod", "pmo", NULL },
	[OP_SYMLINK] = { "symlink", "Pp", NULL },
	[OP_READLINK] = { "readlink", "p", NULL },
	[OP_LINK] = { "link", "pPf", at_flags },
	[OP_LINKFD] = { "linkfd", "sp", NULL },
	[OP_RENAME] = { "rename", "pPf", rename_flags },
	[OP_READDIR] = { "readdir", "pl", NULL },
	[OP_DENTS] = { "dents", "sl", NULL },
	[OP_SCAN] = { "scan", "pl", NULL },
	[OP_FILL] = { "fill", "pl", NULL },
	[OP_DRAIN] = { "drain", "pl", NULL },
	[OP_STAT] = { "stat", "pf", at_flags },
	[OP_ACCESS] = { "access", "pm", NULL },
	[OP_CHMOD] = { "chmod", "pm", NULL },
	[OP_FCHMOD] = { "fchmod", "sm", NULL },
	[OP_CHOWN] = { "chown", "poOf", at_flags },
	[OP_FCHOWN] = { "fchown", "soO", NULL },
	[OP_UTIMENS] = { "utimens", "poOf", at_flags },
	[OP_FUTIMENS] = { "futimens", "soO", NULL },
	[OP_SETXATTR] = { "setxattr", "pnldf", xattr_flags },
	[OP_GETXATTR] = { "getxattr", "pnl", NULL },
	[OP_LISTXATTR] = { "listxattr", "pl", NULL },
	[OP_REMOVEXATTR] = { "removexattr", "pn", NULL },
	[OP_FSETXATTR] = { "fsetxattr", "snldf", xattr_flags },
	[OP_FGETXATTR] = { "fgetxattr", "snl", NULL },
	[OP_SETACL] = { "setacl", "pnd", NULL },
	[OP_FLOCK] = { "flock", "sf", flock_flags },
	[OP_LOCK] = { "lock", "sfmol", lock_flags },
	[OP_CHECK] = { "check", "", NULL },
	[OP_REMOUNT] = { "remount", "f", remount_flags },
};

const char *op_fields(enum op_kind kind)
{
	return kinds[kind].fields;
}

const char *op_name(enum op_kind kind)
{
	return kinds[kind].name;
}

/* ---- printing ---- */

static void print_flags(FILE *out, const struct flag *names, uint32_t value)
{
	const char *bar = "";

	if (value == 0)
		(void)fputc('-', out);
	for (; names && names->name && value; names++) {
		if ((value & names->value) != names->value)
			continue;
		(void)fprintf(out, "%s%s", bar, names->name);
		value &= ~names->value;
		bar = "|";
	}
	if (value)
		(void)fprintf(out, "%s0x%x", bar, value);
}

static void print_field(FILE *out, const struct op *op, char field)
{
	switch (field) {
	case 'p':
		(void)fputs(op->path, out);
		break;
	case 'P':
		(void)fputs(op->path2, out);
		break;
	case 'n':
		(void)fputs(op->name, out);
		break;
	case 's':
		(void)fprintf(out, "%u", op->slot);
		break;
	case 'S':
		(void)fprintf(out, "%u", op->slot2);
		break;
	case 'f':
		print_flags(out, kinds[op->kind].flags, op->flags);
		break;
	case 'm':
		(void)fprintf(out, "%#o", op->mode);
		break;
	case 'o':
		(void)fprintf(out, "%lld", (long long)op->off);
		break;
	case 'O':
		(void)fprintf(out, "%lld", (long long)op->off2);
		break;
	case 'l':
		(void)fprintf(out, "%llu", (unsigned long long)op->len);
		break;
	default:
		(void)fprintf(out, "%u", op->seed);
		break;
	}
}

void op_print(FILE *out, const struct op *op)
{
	(void)fprintf(out, "%u %u %03o %s", op->actor, op->user, op->umask, kinds[op->kind].name);
	for (const char *f = kinds[op->kind].fields; *f; f++) {
		(void)fputc(' ', out);
		print_field(out, op, *f);
	}
	(void)fputc('\n', out);
}

/* ---- parsing ---- */

static bool parse_number(const char *word, int base, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(word, &end, base);
	return errno == 0 && end != word && *end == '\0';
}

static bool parse_flag(const char *word, const struct flag *names, uint32_t *value)
{
	int64_t number;

	for (; names && names->name; names++)
		if (strcmp(names->name, word) == 0) {
			*value |= names->value;
			return true;
		}
	if (!parse_number(word, 0, &number))
		return false;
	*value |= (uint32_t)number;
	return true;
}

static bool parse_flags(char *word, const struct flag *names, uint32_t *ret)
{
	char *rest;

	*ret = 0;
	if (strcmp(word, "-") == 0)
		return true;
	for (char *w = strtok_r(word, "|", &rest); w; w = strtok_r(NULL, "|", &rest))
		if (!parse_flag(w, names, ret))
			return false;
	return true;
}

static bool parse_string(const char *word, char *ret)
{
	int n = snprintf(ret, OP_SPEC_MAX, "%s", word);

	return n < OP_SPEC_MAX;
}

static bool parse_field(char *word, char field, struct op *op)
{
	int64_t n = 0;

	switch (field) {
	case 'p':
		return parse_string(word, op->path);
	case 'P':
		return parse_string(word, op->path2);
	case 'n':
		return parse_string(word, op->name);
	case 'f':
		return parse_flags(word, kinds[op->kind].flags, &op->flags);
	default:
		break;
	}
	if (!parse_number(word, field == 'm' ? 8 : 10, &n))
		return false;
	switch (field) {
	case 's':
		op->slot = (uint8_t)(n % OP_SLOTS);
		break;
	case 'S':
		op->slot2 = (uint8_t)(n % OP_SLOTS);
		break;
	case 'm':
		op->mode = (uint32_t)n;
		break;
	case 'o':
		op->off = n;
		break;
	case 'O':
		op->off2 = n;
		break;
	case 'l':
		op->len = (uint64_t)n;
		break;
	default:
		op->seed = (uint32_t)n;
		break;
	}
	return true;
}

static bool parse_kind(const char *word, struct op *op)
{
	for (unsigned k = 0; k < OP_KINDS; k++)
		if (strcmp(kinds[k].name, word) == 0) {
			op->kind = (uint8_t)k;
			return true;
		}
	return false;
}

static bool parse_who(const char *word, unsigned at, struct op *op)
{
	int64_t n;

	if (!parse_number(word, at == 2 ? 8 : 10, &n) || n < 0)
		return false;
	switch (at) {
	case 0:
		op->actor = (uint8_t)(n % OP_ACTORS);
		break;
	case 1:
		op->user = (uint8_t)(n % OP_USERS);
		break;
	default:
		op->umask = (uint16_t)(n & 0777);
		break;
	}
	return true;
}

bool op_parse(const char *line, struct op *ret)
{
	const char *field = "";
	char copy[OP_LINE_MAX], *rest = NULL, *word;
	unsigned at = 0;
	bool ok = true;

	*ret = (struct op){ 0 };
	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (word = strtok_r(copy, " \n", &rest); word && ok; word = strtok_r(NULL, " \n", &rest)) {
		if (at < 3) {
			ok = parse_who(word, at, ret);
		} else if (at == 3) {
			ok = parse_kind(word, ret);
			field = ok ? kinds[ret->kind].fields : "";
		} else {
			ok = *field && parse_field(word, *field++, ret);
		}
		at++;
	}
	ok = ok && at > 3 && *field == '\0';
	if (!ok)
		(void)fprintf(stderr, "this is no step: %s\n", line);
	return ok;
}

/* ---- paths ---- */

static const struct {
	const char *token;
	size_t len;
	const char *text; /* repeated up to len; 0: once */
} components[] = {
	{ "@255", 255, "x" },
	{ "@255b", 255, "y\xc3\xa4" },
	{ "@256", 256, "x" },
	{ "@odd", 0, "\x01 \xff\n*\"\\" },
};

static size_t add_component(const char *token, size_t len, char *out, size_t size)
{
	for (size_t c = 0; c < COUNT(components); c++) {
		size_t step = strlen(components[c].text);
		size_t total = components[c].len ? components[c].len : step;

		if (strlen(components[c].token) != len ||
		    strncmp(components[c].token, token, len) != 0)
			continue;
		for (size_t n = 0; n < total && n + 1 < size; n++)
			out[n] = components[c].text[n % step];
		return total;
	}
	for (size_t n = 0; n < len && n + 1 < size; n++)
		out[n] = token[n];
	return len;
}

/* "././…/a", as long as that. */
static bool long_path(size_t len, char *out, size_t size)
{
	if (len + 1 > size)
		return false;
	for (size_t n = 0; n < len; n++)
		out[n] = n % 2 ? '/' : '.';
	out[len - 1] = len % 2 ? 'a' : '/';
	out[len] = '\0';
	return true;
}

static bool expand(const char *spec, size_t spec_len, char *out, size_t size, int *ret_slot)
{
	const char *end = spec + spec_len;
	size_t at = 0;

	*ret_slot = -1;
	if (*spec == '%') {
		*ret_slot = (spec[1] - '0') % OP_SLOTS;
		spec = end - spec > 3 ? spec + 3 : end;
	}
	while (spec < end && at + 1 < size) {
		size_t len = strcspn(spec, "/");

		if (spec + len > end)
			len = (size_t)(end - spec);
		at += add_component(spec, len, out + at, size - at);
		spec += len;
		if (spec < end && at + 1 < size) {
			out[at++] = '/';
			spec++;
		}
	}
	out[at < size ? at : size - 1] = '\0';
	return at < size;
}

bool op_expand(const char *spec, char *out, size_t size, int *ret_slot)
{
	*ret_slot = -1;
	*out = '\0';
	if (strcmp(spec, "@empty") == 0)
		return true;
	if (strcmp(spec, "@4095") == 0 || strcmp(spec, "@4096") == 0)
		return long_path(strtoul(spec + 1, NULL, 10), out, size);
	return expand(spec, strlen(spec), out, size, ret_slot);
}

bool op_expand_parent(const char *spec, char *out, size_t size, int *ret_slot)
{
	const char *slash = strrchr(spec, '/');
	size_t len = slash ? (size_t)(slash - spec) : 0;
	bool ok = expand(spec, len, out, size, ret_slot);

	if (ok && *out == '\0')
		(void)snprintf(out, size, ".");
	return ok;
}

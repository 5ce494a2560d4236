/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the cli room.
 *
 *	cli.c       the table of verbs, help, typos
 *	say.c       messages, progress
 *	wrap.c      text for narrow terminals
 *	url.c       what verbs on a URL share
 *	place.c     which mount a word means
 *	mkfs.c      mkfs
 *	fsck.c      fsck
 *	json.c      strings of JSON
 *	path.c      paths in a filesystem that is not mounted
 *	list.c      ls, cat
 *	copy.c      cp
 *	lease.c     lease show, lease break
 *	destroy.c   destroy
 *	gc.c        gc
 *	doctor.h    doctor
 *	umount.c    umount, and the helper of umount(8)
 *	busy.c      who uses a mount
 *	ask.c       asking the daemon of a mount
 *	status.c    status
 *	price.c     what requests cost
 *	stats.c     stats
 *	trace.c     trace
 *	log.c       log
 *	inspect.c   info, summary, warmup
 *	bench.c     bench, of a store
 *	bench_mount.c	and of a mount
 */
#ifndef LEVELS3_CLI_INTERNAL_H
#define LEVELS3_CLI_INTERNAL_H

#include "cli/cli.h"
#include "db/db.h"
#include "fs/fs.h"
#include "util/ctl.h"
#include "util/option.h"

#include <signal.h>

/* Exit codes of mkfs and others; fsck(8) and umount(8) have theirs. */
enum { EXIT_FAILED = 1 };

int cli_mkfs(int argc, char **argv);
void cli_mkfs_help(FILE *out);
extern const struct cli_options cli_mkfs_options;
int cli_fsck(int argc, char **argv);
void cli_fsck_help(FILE *out);
extern const struct cli_options cli_fsck_options;
int cli_umount(int argc, char **argv);
void cli_umount_help(FILE *out);
extern const struct cli_options cli_umount_options;
int cli_status(int argc, char **argv);
void cli_status_help(FILE *out);
extern const struct cli_options cli_status_options;
int cli_stats(int argc, char **argv);
void cli_stats_help(FILE *out);
extern const struct cli_options cli_stats_options;
int cli_info(int argc, char **argv);
void cli_info_help(FILE *out);
extern const struct cli_options cli_info_options;
int cli_summary(int argc, char **argv);
void cli_summary_help(FILE *out);
extern const struct cli_options cli_summary_options;
int cli_warmup(int argc, char **argv);
void cli_warmup_help(FILE *out);
extern const struct cli_options cli_warmup_options;
int cli_trace(int argc, char **argv);
void cli_trace_help(FILE *out);
extern const struct cli_options cli_trace_options;
int cli_log(int argc, char **argv);
void cli_log_help(FILE *out);
extern const struct cli_options cli_log_options;
int cli_bench(int argc, char **argv);
void cli_bench_help(FILE *out);
extern const struct cli_options cli_bench_options;
int cli_ls(int argc, char **argv);
void cli_ls_help(FILE *out);
extern const struct cli_options cli_ls_options;
int cli_cat(int argc, char **argv);
void cli_cat_help(FILE *out);
extern const struct cli_options cli_cat_options;
int cli_cp(int argc, char **argv);
void cli_cp_help(FILE *out);
extern const struct cli_options cli_cp_options;
int cli_lease(int argc, char **argv);
void cli_lease_help(FILE *out);
extern const struct cli_options cli_lease_options;
int cli_doctor(int argc, char **argv);
void cli_doctor_help(FILE *out);
extern const struct cli_options cli_doctor_options;
int cli_gc(int argc, char **argv);
void cli_gc_help(FILE *out);
extern const struct cli_options cli_gc_options;
int cli_destroy(int argc, char **argv);
void cli_destroy_help(FILE *out);
extern const struct cli_options cli_destroy_options;

/* Unit, meaning, when to change it, range, default. */
void cli_print_option(FILE *out, const struct fs_option_info *o);
/* After option_next's '?'; returns code. */
int cli_say_option(int code, const char *verb);
/* "levels3fs: …\n" on stderr; returns code. */
int cli_say(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "levels3fs: WHAT: why, and what to do about it" */
int cli_say_error(int code, int err, const char *what);

/* On `out`, quoted. What is no UTF-8 becomes U+FFFD. */
void cli_json_string(FILE *out, const char *s);
/* Shows the text, and asks for the word on a terminal. 0: go on (at once with yes); else not. */
int cli_confirm(bool yes, const char *word, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define CLI_COUNTED_LEN 64
/* "1 file", "3 files" */
const char *cli_counted(uint64_t n, const char *one, const char *many, char out[CLI_COUNTED_LEN]);
/* Of a file by its mode. */
const char *cli_type_name(uint64_t mode);

/* ---- wrap.c ---- */

/* How wide the terminal is; 0: it is none. */
unsigned cli_columns(int fd);
/* Bytes of the first characters. */
size_t cli_cut(const char *text, size_t columns);
/* A line whose further lines begin below column `hang`, or, of a list, below its text; and its end. 0 columns: as it is. */
void cli_wrap_line(struct buf *out, const char *line, size_t len, size_t hang, size_t columns);
/* Lines that were made for a wider terminal, as paragraphs; each with its end. */
void cli_wrap_text(struct buf *out, const char *text, size_t columns);

/* Something that takes long: on a terminal one line that changes, elsewhere a line now and then. */
struct cli_progress {
	bool shown; /* the terminal's line is not empty */
	uint64_t next_ms;
};
void cli_progress(struct cli_progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "[#####     ]  50 %"; all 0: as if it were done. */
#define CLI_BAR_LEN 40
const char *cli_bar(uint64_t done, uint64_t all, char out[CLI_BAR_LEN]);
/* Before any other output. */
void cli_progress_clear(struct cli_progress *p);

/* ---- url.c ---- */

struct cli_url { /* of a verb: "VERB [OPTIONS] [ACTION] URL REST…"; a name of levels3fs.conf(5) does for the URL */
	struct fs_config config;
	struct buf lists; /* given with -o, each with its NUL */
	struct fs_place place;
	/* May be set: other options than flags. 0, or the exit code after having said why. */
	int (*take_own)(struct cli_url *u, int opt, const char *argument);
	bool takes_action; /* may be set: a word comes before the URL */
	const char *action;
	bool takes_cache; /* may be set: the cache_dir of the file's counts, which is that of the mount */
	bool takes_dir; /* may be set: a folder does for the URL, */
	const char *dir; /* and was given; then there is no url */
	const char *url;
	char **rest;
	int rest_count;
	uint64_t flags; /* cli_flag of those given */
	bool help;
	int usage_code;
};

/* The bit of a flag's letter. */
static inline uint64_t cli_flag(char letter)
{
	return (uint64_t)1 << (letter & 63);
}

void cli_url_init(struct cli_url *u, int usage_code);
void cli_url_release(struct cli_url *u);
/* -o, -h and flags by their letters. 0, or the exit code after having said why. */
int cli_url_parse(struct cli_url *u, int argc, char **argv, const struct cli_options *options);
/* What a word given for the URL says: url, and the settings of its section. As cli_url_parse, which does it. */
int cli_url_settle(struct cli_url *u, const char *word);
/* Those that verbs on a URL may have; a verb has the ones whose letters are among its shorts. */
extern const struct option cli_url_longs[];
/* A whole verb whose options are no more than these. */
struct cli_url_verb {
	const struct cli_options *options; /* with cli_url_longs */
	bool url_only;			   /* nothing may come after the URL */
	bool takes_action;		   /* a word before it */
	void (*help)(FILE *out);
	int (*run)(struct cli_url *u);
};
int cli_url_run(int argc, char **argv, const struct cli_url_verb *v);
/* Read-only, whoever has it mounted. 0, or `code` after having said why. */
int cli_url_open(struct cli_url *u, int code, struct fs **ret);

/* The store below a filesystem, for verbs that look at it or end it. */
struct cli_store { /* begins as zeros; closed in any case */
	struct store *base, *store;
	struct super super;
};
int cli_store_open(const struct cli_url *u, bool for_writing, struct cli_store *ret);
void cli_store_close(struct cli_store *s);
/* How to take its lease; `who` is what others are told, "(verb)". */
void cli_store_lease(const struct cli_store *s, const struct cli_url *u, const char *who,
		     struct lease_config *ret);

/* ---- place.c ---- */

/* "s3://…" and the like, as opposed to a folder, or a name of levels3fs.conf(5). */
bool cli_is_url(const char *word);
/* The folder of the mount that a word means. What is neither URL nor name is taken for the folder itself; a folder of a
 * mount goes before a name. -ENOENT: it is not mounted; -L3_BAD_OPTION, -L3_DENIED with a note: the files cannot be read. */
int cli_place_dir(const char *word, char out[PATH_MAX]);
/* Is it a folder, of a mount or not, rather than a URL or a name? */
bool cli_place_is_dir(const char *word);
/* Says that nothing of ours is mounted there, or what was probably meant; returns code. */
int cli_place_missing(int code, const char *word);

/* ---- bench_mount.c ---- */

struct cli_bench_mount {
	const char *dir;
	uint64_t count, size_bytes; /* small files; bytes of the large one */
	bool json, colour;
	const volatile sig_atomic_t *interrupted;
};
/* Measures through a folder, and prints. The exit code. */
int cli_bench_mount_run(const struct cli_bench_mount *m);
/* Does the standard output take colours? */
bool cli_wants_colour(void);

/* ---- ask.c ---- */

#define CLI_ITEMS_MAX 128

struct cli_item {
	char kind;
	char *key, *value; /* in `line` */
	char *line;
};
struct cli_answer {
	struct cli_item items[CLI_ITEMS_MAX];
	size_t count;
};
/* Asks the daemon of the mount on this folder, or of this name or URL. -ENOTSUP nothing is mounted there, -EACCES, or it does not answer:
 * cli_ask_failed says which, and returns the exit code. */
int cli_answer_ask(const char *path, const char *question, struct cli_answer *ret);
int cli_ask_failed(const char *path, int err);
/* For answers of other forms: the connection. */
/* The same of a file in a mount: "QUESTION INODE". -ENODEV: it is in none. */
int cli_ask_inode(const char *path, const char *question, int *ret_fd);
int cli_ask_begin(const char *path, const char *question, int *ret_fd);
/* One more, as a line of the daemon's. */
int cli_answer_add(struct cli_answer *a, const char *line);
/* All that it has answered. */
int cli_answer_take(struct cli_answer *a, const char *lines);
void cli_answer_release(struct cli_answer *a);
/* "" and 0 for what was not said. */
const char *cli_answer_text(const struct cli_answer *a, const char *key);
uint64_t cli_answer_number(const struct cli_answer *a, const char *key);
/* Of all in "group." but bytes. */
uint64_t cli_answer_sum(const struct cli_answer *a, const char *group);

/* ---- price.c ---- */

#define CLI_PRICES_DEFAULT "0.005,0.0004,0"

struct cli_prices { /* of a thousand requests, and of a GiB received */
	double put_1000, get_1000, gib_in;
};
/* "PUT,GET[,GIB]". -EINVAL. */
int cli_prices_parse(const char *text, struct cli_prices *ret);
double cli_prices_sum(const struct cli_prices *p, const struct cli_answer *a);

/* ---- path.c ---- */

/* An inode by its path from the root; symbolic links on the way are followed within the filesystem,
 * one at the end if asked. -ENOENT, -ENOTDIR, -ELOOP. */
int cli_path_find(struct fs *fs, const char *path, bool follow_last, struct fs_attr *ret);

struct cli_name {
	char *name;
	struct fs_attr attr;
};
struct cli_names {
	struct cli_name *at;
	size_t count, cap;
};
/* What a folder holds, in the order of names, without "." and "..". */
int cli_names_read(struct fs *fs, uint64_t dir, struct cli_names *ret);
void cli_names_release(struct cli_names *l);

/* Says which processes use the mount on dir, as far as we may see. */
void cli_say_users(const char *dir);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* fsck: what it found and did, as lines for people or as one JSON object. */
#include "cli/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Exit codes of fsck(8); they are added up. */
enum {
	FSCK_CORRECTED = 1,
	FSCK_ERRORS_LEFT = 4,
	FSCK_OPERATIONAL = 8,
	FSCK_USAGE = 16,
	FSCK_CANCELLED = 32
};

#define LIST_BYTES (64 * MIB) /* of the report: what is more is only counted */
#define SHOWN_NOTES 20	      /* of a kind, for people */
#define STAGES 4

typedef unsigned long long ull;

struct list { /* findings of one stage, as members of a JSON array */
	FILE *out;
	char *text;
	size_t len;
	uint64_t count, omitted;
};

struct fsck {
	struct cli_url url;
	bool data, repair, json;
	struct cli_progress progress;
	struct list lists[STAGES];
	uint64_t foreign, lost;
	struct fs_fsck_result result;
};

static volatile sig_atomic_t interrupted;

void cli_fsck_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs fsck URL [-o OPTION[,OPTION]…] [--data] [--repair] [--json]\n\n"
		"Checks that a filesystem is sound: every record, name, link count, total, and "
		"that "
		"every object\n"
		"named is there. Changes nothing without --repair, and is never needed after a "
		"crash. "
		"It may be\n"
		"mounted meanwhile: what is checked is its state at the start.\n\n"
		"  --data                 also read and check every byte of every file\n"
		"  --repair               set right what is wrong; refused while it is mounted. "
		"What "
		"cannot be\n"
		"                         used is kept under aside/, what has no name goes to "
		"/lost+found,\n"
		"                         and bytes that are lost read as errors, not as zeros\n"
		"  --json                 one JSON object: doc/fsck.md describes it\n"
		"  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		"Exit status, added up: 0 sound; 1 problems were repaired; 4 problems are left; 8 "
		"it "
		"could not be\n"
		"checked or repaired; 16 wrong usage; 32 interrupted.\n",
		out);
}

/* ---- findings ---- */

static const char *const stage_names[STAGES] = {
	[FS_FOUND] = "problem", [FS_NOTE] = "note", [FS_MENDED] = "repaired", [FS_LEFT] = "left"
};

static void json_member(FILE *out, const char *name, const char *value)
{
	(void)fprintf(out, ", \"%s\": ", name);
	cli_json_string(out, value);
}

static void json_finding(FILE *out, const struct fs_finding *f, bool first)
{
	(void)fprintf(out, "%s\n    { \"code\": ", first ? "" : ",");
	cli_json_string(out, f->code);
	if (f->ino)
		(void)fprintf(out, ", \"inode\": %llu", (ull)f->ino);
	if (f->path)
		json_member(out, "path", f->path);
	if (f->object)
		json_member(out, "object", f->object);
	if (f->start < f->end)
		(void)fprintf(out, ", \"start\": %llu, \"end\": %llu", (ull)f->start, (ull)f->end);
	json_member(out, "text", f->text);
	(void)fputs(" }", out);
}

static void keep_finding(struct list *l, const struct fs_finding *f)
{
	if (l->omitted || (l->out && fflush(l->out) != 0) || l->len > LIST_BYTES) {
		l->omitted++;
		return;
	}
	json_finding(l->out, f, l->count++ == 0);
}

/* Of what may be many and is no problem, people see the first. */
static bool is_shown(struct fsck *c, const struct fs_finding *f)
{
	if (f->stage != FS_NOTE)
		return true;
	if (strcmp(f->code, "foreign-object") == 0)
		return c->foreign++ < SHOWN_NOTES;
	if (strcmp(f->code, "lost-range") == 0)
		return c->lost++ < SHOWN_NOTES;
	return true;
}

/* Names are any bytes, also such as a terminal would obey. */
static void print_safely(const char *text)
{
	for (; *text; text++)
		(void)putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void on_finding(void *ctx, const struct fs_finding *f)
{
	struct fsck *c = ctx;

	cli_progress_clear(&c->progress);
	if (c->json) {
		keep_finding(&c->lists[f->stage], f);
		return;
	}
	if (!is_shown(c, f))
		return;
	(void)printf("%s: ", stage_names[f->stage]);
	print_safely(f->text);
	if (f->path) {
		(void)fputs(" (", stdout);
		print_safely(f->path);
		(void)putchar(')');
	}
	(void)putchar('\n');
}

static void on_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct fsck *c = ctx;

	if (total)
		cli_progress(&c->progress, "%s: %llu of %llu", phase, (ull)done, (ull)total);
	else
		cli_progress(&c->progress, "%s: %llu", phase, (ull)done);
}

static bool is_cancelled(void *ctx)
{
	return interrupted != 0;
}

static int on_wait(void *ctx, const struct lease_holder *holder, uint64_t waited_ms)
{
	struct fsck *c = ctx;

	cli_progress(&c->progress, "waiting for the lease of %s: %llu s", holder->host,
		     (ull)waited_ms / 1000);
	return interrupted != 0;
}

/* ---- for people ---- */

static void print_holder(const struct fsck *c)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;

	if (!c->result.in_use)
		return;
	lease_describe(&c->result.holder, &who);
	(void)printf("it is in use by %s: this was its state when the check began; what is written "
		     "meanwhile may look like a problem, so check again when it is unmounted\n",
		     buf_cstr(&who));
}

static void print_counts(const struct fsck *c)
{
	const struct fs_check_result *r = &c->result.counts;
	char size[SIZE_STR_LEN], lost[SIZE_STR_LEN], counts[6][CLI_COUNTED_LEN];

	(void)printf("%s, %s, %s, %s, %s, %s, %s of data\n",
		     cli_counted(r->inodes, "inode", "inodes", counts[0]),
		     cli_counted(r->dentries, "name", "names", counts[1]),
		     cli_counted(r->extents, "extent", "extents", counts[2]),
		     cli_counted(r->segments, "segment", "segments", counts[3]),
		     cli_counted(r->tables, "table", "tables", counts[4]),
		     cli_counted(r->orphans, "orphan", "orphans", counts[5]),
		     format_size(r->bytes, size));
	if (r->lost_bytes)
		(void)printf(
			"%s of files are lost, as an earlier repair has noted: reading them is "
			"an error\n",
			format_size(r->lost_bytes, lost));
	if (r->unreferenced_objects)
		(void)printf("not used any more: %s, for the next mount to remove\n",
			     cli_counted(r->unreferenced_objects, "object", "objects", counts[0]));
	if (c->result.foreign_objects)
		(void)printf(
			"not of levels3: %s, left alone\n",
			cli_counted(c->result.foreign_objects, "object", "objects", counts[0]));
	if (c->result.aside_objects)
		(void)printf(
			"taken out of the way by repairs: %s under aside/, which may be deleted\n",
			cli_counted(c->result.aside_objects, "object", "objects", counts[0]));
}

static void print_verdict(const struct fsck *c)
{
	const struct fs_fsck_result *r = &c->result;
	char found[CLI_COUNTED_LEN];

	(void)cli_counted(r->found, "problem", "problems", found);
	if (r->found == 0)
		(void)printf("%s is sound\n", c->url.url);
	else if (!c->repair)
		(void)printf("%s has %s; nothing was changed\n", c->url.url, found);
	else if (r->left == 0)
		(void)printf("%s had %s, and is sound now\n", c->url.url, found);
	else
		(void)printf("%s had %s; %llu left\n", c->url.url, found, (ull)r->left);
}

/* ---- as JSON ---- */

static void json_holder(const struct lease_holder *h)
{
	(void)printf("{ \"host\": ");
	cli_json_string(stdout, h->host);
	(void)printf(", \"pid\": %llu, \"mountpoint\": ", (ull)h->pid);
	cli_json_string(stdout, h->mountpoint);
	(void)printf(", \"since\": %lld }", (long long)(h->since_real_ns / 1000000000));
}

static void json_counts(const struct fs_fsck_result *r)
{
	const struct fs_check_result *n = &r->counts;

	(void)printf("  \"state\": { \"slot\": %llu, \"epoch\": %llu },\n", (ull)r->slot,
		     (ull)r->epoch);
	(void)printf("  \"counts\": { \"inodes\": %llu, \"names\": %llu, \"extents\": %llu, "
		     "\"segments\": %llu, \"tables\": %llu, \"orphans\": %llu, \"bytes\": %llu, "
		     "\"lost_bytes\": %llu, \"slots\": %llu, \"checkpoints\": %llu, "
		     "\"unreferenced_objects\": %llu, \"foreign_objects\": %llu, "
		     "\"aside_objects\": %llu },\n",
		     (ull)n->inodes, (ull)n->dentries, (ull)n->extents, (ull)n->segments,
		     (ull)n->tables, (ull)n->orphans, (ull)n->bytes, (ull)n->lost_bytes,
		     (ull)r->slots, (ull)r->checkpoints, (ull)n->unreferenced_objects,
		     (ull)r->foreign_objects, (ull)r->aside_objects);
}

static void json_list(struct list *l, const char *name)
{
	(void)printf("  \"%s\": [%.*s%s],\n", name, (int)l->len, l->text ? l->text : "",
		     l->count ? "\n  " : "");
}

static const char *verdict(int code)
{
	if (code & FSCK_CANCELLED)
		return "interrupted";
	if (code & (FSCK_OPERATIONAL | FSCK_USAGE))
		return "failed";
	if (code & FSCK_ERRORS_LEFT)
		return "problems";
	return code & FSCK_CORRECTED ? "repaired" : "sound";
}

static void print_json(struct fsck *c, int code, const char *error)
{
	uint64_t omitted = 0;

	(void)printf("{\n  \"url\": ");
	cli_json_string(stdout, c->url.url);
	(void)printf(",\n  \"result\": \"%s\",\n  \"exit_status\": %d,\n", verdict(code), code);
	(void)printf("  \"data\": %s,\n  \"repair\": %s,\n", c->data ? "true" : "false",
		     c->repair ? "true" : "false");
	(void)printf("  \"in_use\": ");
	if (c->result.in_use)
		json_holder(&c->result.holder);
	else
		(void)printf("null");
	(void)printf(",\n");
	json_counts(&c->result);
	(void)printf("  \"unfinished\": %s,\n", c->result.unfinished ? "true" : "false");
	(void)printf("  \"found\": %llu,\n  \"changes\": %llu,\n  \"remaining\": %llu,\n",
		     (ull)c->result.found, (ull)c->result.mended, (ull)c->result.left);
	for (size_t n = 0; n < STAGES; n++)
		omitted += c->lists[n].omitted;
	json_list(&c->lists[FS_FOUND], "problems");
	json_list(&c->lists[FS_MENDED], "repairs");
	json_list(&c->lists[FS_LEFT], "left");
	json_list(&c->lists[FS_NOTE], "notes");
	(void)printf("  \"omitted\": %llu,\n  \"error\": ", (ull)omitted);
	if (error)
		cli_json_string(stdout, error);
	else
		(void)printf("null");
	(void)printf("\n}\n");
}

/* ---- the verb ---- */

static void on_signal(int sig)
{
	interrupted = 1;
}

/* The second one ends the process as usual. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
}

static int code_of(const struct fsck *c, int err)
{
	int code = 0;

	if (err == -L3_BAD_OPTION)
		return FSCK_USAGE;
	if (err < 0 && interrupted)
		return FSCK_CANCELLED;
	if (err < 0)
		return FSCK_OPERATIONAL;
	if (c->result.found > 0 && c->result.left < c->result.found && c->repair)
		code |= FSCK_CORRECTED;
	if (c->result.left > 0)
		code |= FSCK_ERRORS_LEFT;
	return code;
}

static int open_lists(struct fsck *c)
{
	for (size_t n = 0; n < STAGES && c->json; n++) {
		c->lists[n].out = open_memstream(&c->lists[n].text, &c->lists[n].len);
		if (!c->lists[n].out)
			return cli_say(FSCK_OPERATIONAL, "no memory for the report");
	}
	return 0;
}

static void close_lists(struct fsck *c)
{
	for (size_t n = 0; n < STAGES; n++)
		if (c->lists[n].out)
			(void)fclose(c->lists[n].out);
}

static void free_lists(struct fsck *c)
{
	for (size_t n = 0; n < STAGES; n++)
		free(c->lists[n].text);
}

/* What was done, and what was not. */
static void explain(const struct fsck *c, int err, struct buf *out)
{
	const struct fs_fsck_result *r = &c->result;

	if (!interrupted) {
		fs_explain(err, out);
	} else if (!c->repair) {
		buf_add_str(out, "interrupted: not everything was looked at; nothing was changed");
	} else {
		buf_printf(out, "interrupted: not everything was looked at or repaired; ");
		if (r->mended)
			buf_printf(out, "%llu changes were made and stay", (ull)r->mended);
		else
			buf_add_str(out, "nothing was changed");
	}
	if (r->unfinished)
		buf_add_str(out, "; nobody can mount it before fsck --repair has gone through");
}

static int report(struct fsck *c, int err)
{
	struct buf why CLEANUP(buf_release) = BUF_INIT;
	int code = code_of(c, err);
	char what[600];

	cli_progress_clear(&c->progress);
	if (err < 0)
		explain(c, err, &why);
	close_lists(c);
	if (c->json)
		print_json(c, code, err < 0 ? buf_cstr(&why) : NULL);
	if (err < 0) {
		(void)snprintf(what, sizeof(what), "%.500s cannot be %s", c->url.url,
			       c->repair ? "repaired" : "checked");
		return cli_say(code, "%s: %s", what, buf_cstr(&why));
	}
	if (c->json)
		return code;
	print_counts(c);
	print_holder(c);
	print_verdict(c);
	return code;
}

static int run(struct fsck *c)
{
	struct fs_check_options options = { .data = c->data,
					    .finding = on_finding,
					    .progress = on_progress,
					    .cancelled = is_cancelled,
					    .ctx = c };
	int code = open_lists(c);

	if (code == 0) {
		catch_signals();
		code = report(c,
			      fs_fsck(c->url.url, &c->url.config, &options, c->repair, &c->result));
	}
	free_lists(c);
	return code;
}

static const struct option longs[] = {
	{ "options", required_argument, NULL, 'o' }, { "data", no_argument, NULL, 'D' },
	{ "repair", no_argument, NULL, 'r' },	     { "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },	     { NULL, 0, NULL, 0 }
};

const struct cli_options cli_fsck_options = { "o:h", longs };

int cli_fsck(int argc, char **argv)
{
	struct fsck c = { .data = false };
	int code;

	cli_url_init(&c.url, FSCK_USAGE);
	c.url.config.on_wait = on_wait;
	c.url.config.ctx = &c;
	code = cli_url_parse(&c.url, argc, argv, &cli_fsck_options);
	c.data = c.url.flags & cli_flag('D');
	c.repair = c.url.flags & cli_flag('r');
	c.json = c.url.flags & cli_flag('j');
	if (code == 0 && c.url.help)
		cli_show_help(cli_fsck_help);
	else if (code == 0 && c.url.rest_count > 0)
		code = cli_say(FSCK_USAGE,
			       "fsck needs one URL: levels3fs fsck URL (options come after -o)");
	else if (code == 0)
		code = run(&c);
	cli_url_release(&c.url);
	return code;
}

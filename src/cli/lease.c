/* SPDX-License-Identifier: BSD-3-Clause */
/* lease: who has a filesystem, and taking it from one that is known to be dead. */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S 1000000000

void cli_lease_help(FILE *out)
{
	(void)fputs(
		"usage: levels3fs lease show URL [--json] [-o OPTION[,OPTION]…]\n"
		"       levels3fs lease break URL [--yes] [-o OPTION[,OPTION]…]\n\n"
		"The lease says which mount may write. \"show\" says who has it.\n\n"
		"A lease that is no longer renewed runs out by itself (-o lease_wait=35 waits for "
		"that when mounting).\n"
		"\"break\" takes it away at once, for when the machine that has it is known to be "
		"gone. A mount that is\n"
		"alive after all is shut out: its programs get errors, and what it had not stored "
		"is lost.\n\n"
		"  --yes                  break without asking\n"
		"  --json                 show as one JSON object\n"
		"  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		"Exit status: 0; 1 it could not be read or broken, or wrong usage.\n",
		out);
}

struct opened {
	struct cli_store s;
	bool has_holder;
	struct lease_holder holder;
};

static int look(const struct cli_url *u, bool for_writing, struct opened *ret)
{
	int err = cli_store_open(u, for_writing, &ret->s);

	if (err >= 0)
		err = lease_read(ret->s.store, &ret->s.super.uuid, &ret->holder);
	ret->has_holder = err >= 0;
	return err == -ENOENT ? 0 : err;
}

static bool is_held(const struct opened *o)
{
	return o->has_holder && !o->holder.released;
}

/* ---- show ---- */

static void print_json(const struct opened *o)
{
	const struct lease_holder *h = &o->holder;

	(void)printf("{\n  \"held\": %s", is_held(o) ? "true" : "false");
	if (o->has_holder) {
		(void)printf(",\n  \"epoch\": %llu,\n  \"host\": ", (unsigned long long)h->epoch);
		cli_json_string(stdout, h->host);
		(void)printf(",\n  \"pid\": %llu,\n  \"mountpoint\": ", (unsigned long long)h->pid);
		cli_json_string(stdout, h->mountpoint);
		(void)printf(
			",\n  \"since\": %lld,\n  \"duration_ms\": %llu,\n  \"renewals\": %llu,\n"
			"  \"holder_is_dead\": %s",
			(long long)(h->since_real_ns / NS_PER_S),
			(unsigned long long)h->duration_ms, (unsigned long long)h->renewals,
			is_held(o) && lease_holder_is_dead(h) ? "true" : "false");
	}
	(void)printf("\n}\n");
}

static void print_text(const struct cli_url *u, const struct opened *o)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;

	if (!o->has_holder) {
		(void)printf("nobody has ever held the lease of %s\n", u->url);
		return;
	}
	lease_describe(&o->holder, &who);
	if (o->holder.released)
		(void)printf("free; the last to hold it (epoch %llu): %s\n",
			     (unsigned long long)o->holder.epoch, buf_cstr(&who));
	else
		(void)printf("held (epoch %llu) by %s%s\n", (unsigned long long)o->holder.epoch,
			     buf_cstr(&who),
			     lease_holder_is_dead(&o->holder)
				     ? "; that process is gone, the next mount takes it at once"
				     : "");
}

static int show(const struct cli_url *u, const struct opened *o)
{
	if (u->flags & cli_flag('j'))
		print_json(o);
	else
		print_text(u, o);
	return 0;
}

/* ---- break ---- */

static int confirm(const struct cli_url *u, const struct opened *o)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT;

	lease_describe(&o->holder, &who);
	return cli_confirm(
		u->flags & cli_flag('y'), "yes",
		"The lease of %s is held by %s.\n"
		"If that mount is alive, its programs will get errors, and what it has not "
		"stored is lost.%s",
		u->url, buf_cstr(&who),
		u->config.lease_only ? "\nOn this store nothing but time keeps it from writing: "
				       "make sure that it is dead!"
				     : "");
}

static int take_away(const struct cli_url *u, const struct opened *o)
{
	struct lease_config config;
	struct lease *l;
	int err;

	cli_store_lease(&o->s, u, "(lease break)", &config);
	config.force = true;
	err = lease_acquire(&config, &l, NULL);
	if (err < 0)
		return err;
	err = lease_release(l);
	lease_free(l);
	return err;
}

static int break_it(const struct cli_url *u, const struct opened *o)
{
	int err;

	if (!is_held(o)) {
		(void)printf("nobody holds the lease of %s; nothing was changed\n", u->url);
		return 0;
	}
	if (confirm(u, o) != 0)
		return cli_say(EXIT_FAILED, "nothing was changed");
	err = take_away(u, o);
	if (err < 0)
		return cli_say_error(EXIT_FAILED, err, "the lease could not be broken");
	(void)printf("the lease of %s is free\n", u->url);
	return 0;
}

/* ---- the verb ---- */

static int run(struct cli_url *u)
{
	struct opened o = { .has_holder = false };
	bool breaks = strcmp(u->action, "break") == 0;
	int err, code;

	if (!breaks && strcmp(u->action, "show") != 0)
		return cli_say(EXIT_FAILED, "lease knows \"show\" and \"break\", not \"%s\"",
			       u->action);
	err = look(u, breaks, &o);
	if (err < 0)
		code = cli_say_error(EXIT_FAILED, err, u->url);
	else
		code = breaks ? break_it(u, &o) : show(u, &o);
	cli_store_close(&o.s);
	return code;
}

const struct cli_options cli_lease_options = { "o:hjy", cli_url_longs };

int cli_lease(int argc, char **argv)
{
	static const struct cli_url_verb verb = {
		.options = &cli_lease_options, .url_only = true, .takes_action = true, .help = cli_lease_help, .run = run
	};

	return cli_url_run(argc, argv, &verb);
}

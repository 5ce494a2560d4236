/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * destroy: removes a filesystem from its bucket or folder.
 *
 * Under its lease, so nobody mounts it meanwhile; "super" goes last, so that an interrupted one is
 * still known for what it was, and can be gone on with. What is not of our making stays.
 */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 1000 /* keys of one request */
#define LEASE_KEY "lease"

void cli_destroy_help(FILE *out)
{
	(void)fputs("usage: levels3fs destroy URL [--yes] [-o OPTION[,OPTION]…]\n\n"
		    "Removes a filesystem and everything in it from its bucket or folder, after "
		    "asking. "
		    "Refuses while it is\n"
		    "mounted anywhere. Objects that are not of levels3fs' making stay, as does the "
		    "bucket. What was\n"
		    "interrupted can be repeated.\n\n"
		    "  --yes                  without asking\n"
		    "  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		    "Exit status: 0 it is gone; 1 not.\n",
		    out);
}

struct destroyer {
	struct cli_store s;
	struct store_list all;
	const char **keys; /* of ours, but for "lease" and "super" */
	size_t count;
	uint64_t bytes;
	struct cli_progress progress;
};

static void release(struct destroyer *d)
{
	free(d->keys);
	store_list_release(&d->all);
	cli_store_close(&d->s);
}

static bool is_ours(const char *key)
{
	static const char *const folders[] = { "chain/", "checkpoint/", "table/", "data/",
					       "aside/" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (strncmp(key, folders[i], strlen(folders[i])) == 0)
			return true;
	return false;
}

static int look(const struct cli_url *u, struct destroyer *d)
{
	int err = cli_store_open(u, true, &d->s);

	if (err >= 0)
		err = store_list_all(d->s.store, "", NULL, &d->all);
	if (err < 0)
		return err;
	d->keys = calloc(d->all.count + 1, sizeof(*d->keys));
	if (!d->keys)
		return -ENOMEM;
	for (size_t i = 0; i < d->all.count; i++) {
		if (!is_ours(d->all.entries[i].key))
			continue;
		d->keys[d->count++] = d->all.entries[i].key;
		d->bytes += d->all.entries[i].size_bytes;
	}
	return 0;
}

static int remove_all(struct destroyer *d, struct lease *lease)
{
	for (size_t done = 0; done < d->count; done += AT_ONCE) {
		int err = lease_wait(lease);

		if (err >= 0)
			err = store_remove_many(d->s.store, d->keys + done,
						min_u64(AT_ONCE, d->count - done));
		if (err < 0)
			return err;
		cli_progress(&d->progress, "%zu of %zu objects removed", done, d->count);
	}
	return 0;
}

static int destroy_leased(struct destroyer *d, struct lease *lease)
{
	int err = lease_start(lease), released;

	if (err >= 0)
		err = remove_all(d, lease);
	cli_progress_clear(&d->progress);
	released = lease_release(lease);
	if (err >= 0)
		err = released;
	if (err >= 0)
		err = store_remove(d->s.store, LEASE_KEY);
	return err < 0 ? err : store_remove(d->s.store, SUPER_KEY);
}

static int destroy(const struct cli_url *u, struct destroyer *d)
{
	struct lease_config config;
	struct lease *lease;
	int err;

	cli_store_lease(&d->s, u, "(destroy)", &config);
	err = lease_acquire(&config, &lease, NULL);
	if (err < 0)
		return err;
	err = destroy_leased(d, lease);
	lease_free(lease);
	return err;
}

static int run(struct cli_url *u)
{
	struct destroyer d = { .count = 0 };
	char size[SIZE_STR_LEN], count[CLI_COUNTED_LEN];
	int err = look(u, &d), code = 0;

	(void)cli_counted(d.count, "object", "objects", count);
	(void)format_size(d.bytes, size);
	if (err < 0)
		code = cli_say_error(EXIT_FAILED, err, u->url);
	else if (cli_confirm(u->flags & cli_flag('y'), "destroy",
			     "The filesystem in %s, %s of %s in all, will be removed for ever.",
			     u->url, count, size) != 0)
		code = cli_say(EXIT_FAILED, "nothing was changed");
	else if ((err = destroy(u, &d)) < 0)
		code = cli_say_error(EXIT_FAILED, err, "it could not be removed");
	else
		(void)printf("%s is gone: %s of %s\n", u->url, count, size);
	release(&d);
	return code;
}

const struct cli_options cli_destroy_options = { "o:hy", cli_url_longs };

int cli_destroy(int argc, char **argv)
{
	static const struct cli_url_verb verb = { .options = &cli_destroy_options,
						  .url_only = true,
						  .help = cli_destroy_help,
						  .run = run };

	return cli_url_run(argc, argv, &verb);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* mkfs. */
#include "cli/internal.h"

void cli_mkfs_help(FILE *out)
{
	(void)fputs("usage: levels3fs mkfs URL [-o OPTION[,OPTION]…]\n\n"
		    "Makes an empty filesystem. Refuses, and changes nothing, where the prefix or "
		    "folder holds\n"
		    "anything; finishes what an interrupted mkfs began. The bucket (for "
		    "file:///A/B the folder /A)\n"
		    "must exist.\n\n"
		    "  -o, --options OPTIONS  as for mount: levels3fs help mount\n\n"
		    "Exit status: 0 made; 1 not.\n",
		    out);
}

static int format(struct cli_url *u)
{
	int err = fs_format(u->url, &u->config);
	char what[600];

	if (err < 0) {
		(void)snprintf(what, sizeof(what), "no filesystem was made in %.500s", u->url);
		return cli_say_error(EXIT_FAILED, err, what);
	}
	(void)printf("made an empty filesystem in %s\n", u->url);
	return 0;
}

const struct cli_options cli_mkfs_options = { "o:h", cli_url_longs };

int cli_mkfs(int argc, char **argv)
{
	static const struct cli_url_verb verb = {
		.options = &cli_mkfs_options, .url_only = true, .help = cli_mkfs_help, .run = format
	};

	return cli_url_run(argc, argv, &verb);
}

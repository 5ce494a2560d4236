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
		    "must exist. The options are those of mount: levels3fs help mount.\n\n"
		    "Exit status: 0 made; 1 not.\n",
		    out);
}

static int format(const struct cli_url *u)
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

int cli_mkfs(int argc, char **argv)
{
	static const struct option longs[] = { { "options", required_argument, NULL, 'o' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	struct cli_url u;
	int code;

	cli_url_init(&u, EXIT_FAILED);
	code = cli_url_parse(&u, argc, argv, "o:h", longs);
	if (code == 0 && u.help)
		cli_mkfs_help(stdout);
	else if (code == 0 && u.rest_count > 0)
		code = cli_say(EXIT_FAILED,
			       "mkfs needs one URL: levels3fs mkfs URL (options come after -o)");
	else if (code == 0)
		code = format(&u);
	cli_url_release(&u);
	return code;
}

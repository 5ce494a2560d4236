/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * levels3fs: the program. By its name it is the command, or the helper that mount(8) and umount(8)
 * look for in /sbin. It alone knows both rooms of the top rank: fuse, which mounts, and cli, the
 * other verbs.
 */
#include "cli/cli.h"
#include "mount.h"
#include "mountpoint.h"
#include "options.h"

#include <string.h>

static const struct cli_options mount_verb_options = { MOUNT_SHORTS, mount_longs };

static const struct cli_verb mount_verb = {
	.name = "mount",
	.arguments = "URL DIR [-o OPTIONS] [-f] [-d]",
	.summary = "mount a filesystem; the word \"mount\" may be left out",
	.run = mount_main,
	.help = mount_help,
	.options = &mount_verb_options,
	.more = mount_options_list,
};

static const struct mount_words words = { .status = cli_status_write,
					  .trace = cli_trace_write,
					  .show_help = cli_show_help };

static const struct cli_host host = { .check_fuse = mountpoint_check_fuse,
				      .cache_dir = mount_cache_dir };

static const char *own_name(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return slash ? slash + 1 : argv0 ? argv0 : "";
}

int main(int argc, char **argv)
{
	const char *name = own_name(argc > 0 ? argv[0] : NULL);

	mount_use_words(&words);
	cli_use_host(&host);
	if (strcmp(name, "mount.levels3fs") == 0 || strcmp(name, "mount.fuse.levels3fs") == 0)
		return mount_helper_main(argc, argv);
	if (strcmp(name, "umount.levels3fs") == 0 || strcmp(name, "umount.fuse.levels3fs") == 0)
		return cli_umount_helper(argc, argv);
	return cli_main(argc, argv, &mount_verb);
}

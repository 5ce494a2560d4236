/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes a folder with a file in it in the root of a filesystem that is not mounted, whatever its name: what a mount
 * would not let anybody make.
 *
 *	plant URL OPTIONS NAME
 */
#include "fs/fs.h"

#include <stdio.h>
#include <stdlib.h>

static int plant(struct fs *fs, const char *name)
{
	const struct fs_cred root = { 0, 0, 0 };
	struct fs_attr folder, file;
	int err = fs_mkdir(fs, FS_ROOT_INO, name, &root, 0755, &folder);

	return err < 0 ? err : fs_mknod(fs, folder.ino, "mine", &root, S_IFREG | 0644, 0, &file);
}

int main(int argc, char **argv)
{
	struct fs_config config;
	struct fs *fs = NULL;
	int err = -EXIT_FAILURE;

	if (argc != 4)
		return EXIT_FAILURE;
	fs_config_init(&config);
	err = fs_config_parse(&config, argv[2], NULL, NULL);
	if (err >= 0)
		err = fs_open(argv[1], &config, &fs);
	if (err >= 0) {
		int closed;

		err = plant(fs, argv[3]);
		closed = fs_close(fs, NULL, NULL);
		err = err < 0 ? err : closed;
	}
	if (err < 0)
		(void)fprintf(stderr, "plant: %s: %s\n", err_text(err), err_last_note());
	fs_config_release(&config);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

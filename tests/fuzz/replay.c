/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzzer's function once for each file of the folders and files named. Without any, as in
 * `make check`: for the kept ones, $srcdir/tests/fuzz/seeds/NAME.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define INPUT_MAX (16 * MIB)

int __attribute__((weak)) LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

static unsigned runs;

static int run_file(const char *path)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	if (file_read_all(path, INPUT_MAX, &b) < 0) {
		(void)fprintf(stderr, "%s: %s\n", path, err_last_note());
		return 1;
	}
	(void)LLVMFuzzerTestOneInput(b.data, b.len);
	runs++;
	return 0;
}

static int run_folder(const char *path, DIR *dir)
{
	char file[PATH_MAX];
	struct dirent *e;
	int failed = 0;

	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		failed |= run_file(file);
	}
	return failed;
}

static int run_any(const char *path)
{
	DIR *dir = opendir(path);
	int failed = dir ? run_folder(path, dir) : run_file(path);

	if (dir)
		(void)closedir(dir);
	return failed;
}

static int run_kept(const char *program)
{
	const char *srcdir = getenv("srcdir"), *name = strstr(program, "fuzz_");
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/tests/fuzz/seeds/%s", srcdir ? srcdir : ".",
		       name ? name + strlen("fuzz_") : program);
	return run_any(path);
}

int main(int argc, char **argv)
{
	int failed = 0;

	(void)LLVMFuzzerInitialize(&argc, &argv);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	if (argc < 2)
		failed = run_kept(argv[0]);
	for (int i = 1; i < argc; i++)
		failed |= run_any(argv[i]);
	(void)printf("%u inputs\n", runs);
	return failed || runs == 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The names that `files` makes, and that `noopfs` knows: d0001/f000001, after renaming
 * d0001/r000001. */
#ifndef BENCH_NAMES_H
#define BENCH_NAMES_H

#define NAME_BYTES 24
#define DIR_FORMAT "d%04u"
#define FILE_FORMAT "f%06u"
#define RENAMED_FORMAT "r%06u"
#define DIRS_MAX 2000
#define FILES_PER_DIR 1000

#endif

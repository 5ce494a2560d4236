/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the file store: the parts that need nothing of it but its folder. */
#ifndef LEVELS3_STORE_FILE_H
#define LEVELS3_STORE_FILE_H

#include "store/store.h"

#define FILE_TMP_DIR ".tmp"

/* The folder of a file:// URL, made if `create` and its parent is there; temporary files that dead
 * writers left long ago are removed. -L3_BAD_OPTION, -L3_NO_BUCKET, -L3_DENIED with a note. */
int store_file_root(const char *url, bool create, int *ret_fd);

/* store_ops.list over the files below root; objects come and go meanwhile. -errno without a note.
 */
int store_file_walk(int root, const char *prefix, const char *start_after, unsigned max,
		    struct store_list *out);

#endif

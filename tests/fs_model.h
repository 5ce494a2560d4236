/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests with a fixture need to compare the mounted filesystem with the model. */
#ifndef LEVELS3_TESTS_FS_MODEL_H
#define LEVELS3_TESTS_FS_MODEL_H

#include "fs_fixture.h"
#include "model.h"

/* Some values are written long, so that they are not kept inline. */
static inline int real_write(struct fs *real, uint64_t ino, uint64_t value)
{
	uint64_t words[300];
	size_t len = value % 2 ? sizeof(words) : sizeof(words[0]);
	struct fs_file *f;
	ssize_t got;
	int err = fs_file_open(real, ino, true, false, &f);

	if (err < 0)
		return err;
	for (size_t n = 0; n < ARRAY_LEN(words); n++)
		words[n] = value;
	got = fs_write(f, words, len, 0, false, false);
	fs_file_close(f);
	return got < 0 ? (int)got : 0;
}

/* The values of files may be newer than the model's floor, and not newer than `newest` of the node.
 * Names agree already. */
static inline bool model_values_fit(struct model *m, unsigned dir, uint64_t real_dir,
				    const uint64_t *newest)
{
	struct fs_attr attr;
	char name[16];

	for (unsigned n = 0; n < MODEL_NAMES; n++) {
		struct model_entry *e = model_find(m, dir, n);
		uint64_t value = 0;

		if (!e)
			continue;
		must(fs_lookup(fs, real_dir, model_name(n, name), &attr), name);
		if (m->nodes[e->node].dir) {
			if (!model_values_fit(m, e->node, attr.ino, newest))
				return false;
			continue;
		}
		if (attr.size > 0)
			ck_assert_uint_eq(read_at(attr.ino, &value, sizeof(value), 0),
					  sizeof(value));
		if (value < m->nodes[e->node].floor || value > newest[e->node])
			return false;
	}
	return true;
}

#endif

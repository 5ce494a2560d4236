/* SPDX-License-Identifier: BSD-3-Clause */
/* The index of a file in the disk cache: bytes as they are, or records with right checksums. */
#include "cache/internal.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define KEY "data/0000000001-0000000001"
#define RECORD_BYTES 32

static char folder[] = "/tmp/levels3-fuzz.XXXXXX";
static int folder_fd;

static void remove_folder(void)
{
	(void)unlinkat(folder_fd, "f", 0);
	(void)rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	MUST(mkdtemp(folder));
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY);
	MUST(folder_fd >= 0 && atexit(remove_folder) == 0);
	return 0;
}

static void add_head(struct buf *b)
{
	buf_add_str(b, "l3cache1");
	buf_u16(b, (uint16_t)strlen(KEY));
	buf_add_str(b, KEY);
	buf_u64(b, XXH3_64bits(b->data, b->len));
}

static void add_records(struct buf *b, const uint8_t *data, size_t len)
{
	for (; len >= 24; data += 24, len -= 24) {
		buf_add(b, data, 24);
		buf_u64(b, XXH3_64bits(data, 24));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf file CLEANUP(buf_release) = BUF_INIT;
	struct piece_list list = { 0 };
	uint64_t end = 0;
	int fd;

	if (size < 1)
		return 0;
	if (data[0] % 2) {
		add_head(&file);
		add_records(&file, data + 1, size - 1);
	} else {
		buf_add(&file, data + 1, size - 1);
	}
	fd = openat(folder_fd, "f", O_RDWR | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && write(fd, file.data, file.len) == (ssize_t)file.len);
	if (index_load(fd, KEY, &list) == 0) {
		for (size_t n = 0; n < list.count; n++) {
			MUST(list.pieces[n].at.offset >= end);
			end = span_end(&list.pieces[n].at);
		}
	}
	pieces_release(&list);
	(void)close(fd);
	return 0;
}

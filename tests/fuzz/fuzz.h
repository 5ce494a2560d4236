/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzzers share. Each fuzz_NAME.c has one function that takes any bytes; the first byte
 * chooses what they are taken for. Linked with libFuzzer (configure --enable-fuzzing, clang), or
 * with replay.c, which runs the kept inputs of seeds/NAME in `make check`.
 */
#ifndef LEVELS3_TESTS_FUZZ_H
#define LEVELS3_TESTS_FUZZ_H

#include "util/util.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv); /* optional; replay.c calls it, too */

/* The bytes in a block of their own, so that a read past their end is seen. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* Likewise, with a NUL at the end. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

/* A claim that holds for any input; unlike assert it is there whatever NDEBUG says. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_SELFTEST_H
#define MODEL_SELFTEST_H

/* 0: two folders of one filesystem do not differ, a planted difference is found and shrunk, and
 * steps read as they are written. */
int selftest(void);

#endif

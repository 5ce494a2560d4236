/* SPDX-License-Identifier: BSD-3-Clause */
/* The lease object, and the frame around every object: as it came, and with right checksums. */
#include "lease/internal.h"
#include "tests/fuzz/fuzz.h"

static void decode(const uint8_t *data, size_t size)
{
	struct lease_holder holder;
	struct uuid fs = { { 0 } };

	if (lease_decode(data, size, &fs, &holder) == 0) {
		MUST(strlen(holder.host) < sizeof(holder.host));
		MUST(strlen(holder.mountpoint) < sizeof(holder.mountpoint));
		MUST(strlen(holder.boot_id) < sizeof(holder.boot_id));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf framed CLEANUP(buf_release) = BUF_INIT;
	struct uuid fs = { { 0 } };
	uint8_t *copy;

	if (size < 1)
		return 0;
	if (data[0] % 2)
		frame_put(&framed, FRAME_LEASE, &fs, data + 1, size - 1);
	else
		buf_add(&framed, data + 1, size - 1);
	copy = fuzz_copy(framed.data, framed.len);
	decode(copy, framed.len);
	free(copy);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What the requests of a mount cost, about. */
#include "cli/internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int cli_prices_parse(const char *text, struct cli_prices *ret)
{
	double values[3] = { 0 };
	size_t count = 0;

	while (count < ARRAY_LEN(values)) {
		char *end;

		if (*text == '-' || *text == '+')
			return -EINVAL;
		values[count] = strtod(text, &end);
		if (end == text || !isfinite(values[count]))
			return -EINVAL;
		count++;
		text = end;
		if (*text != ',')
			break;
		text++;
	}
	if (*text || count < 2)
		return -EINVAL;
	*ret = (struct cli_prices){ values[0], values[1], values[2] };
	return 0;
}

double cli_prices_sum(const struct cli_prices *p, const struct cli_answer *a)
{
	uint64_t writes =
		cli_answer_number(a, "requests.put") + cli_answer_number(a, "requests.copy") +
		cli_answer_number(a, "requests.list") + cli_answer_number(a, "requests.multipart");
	uint64_t reads =
		cli_answer_number(a, "requests.get") + cli_answer_number(a, "requests.head");
	uint64_t in = cli_answer_number(a, "requests.bytes_in");

	return (double)writes / 1000 * p->put_1000 + (double)reads / 1000 * p->get_1000 +
	       (double)in / (double)GIB * p->gib_in;
}

/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What can become of a frame, each with its counter.
 */
#pragma once

#include "maps.h"

static __always_inline int pass(void)
{
	count(COUNTER_passed);
	return XDP_PASS;
}

static __always_inline int drop(enum sidestep_counter why)
{
	count(why);
	return XDP_DROP;
}

static __always_inline int malformed(void)
{
	count(COUNTER_malformed);
	return pass();
}

static __always_inline int redirect(struct xdp_md *ctx, enum sidestep_counter as)
{
	int verdict = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_DROP);

	count(verdict == XDP_REDIRECT ? as : COUNTER_no_socket);
	return verdict;
}

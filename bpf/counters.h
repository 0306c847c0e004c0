/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What the XDP program counts, once for both sides: C makes an enum of this list, and a Rust test
 * holds `device::af_xdp::counters` to it. Add at the end; keep one entry a line.
 */
#pragma once

#define SIDESTEP_COUNTERS(X)                                                                       \
	X(passed)             /* left to the kernel */                                                 \
	X(redirected_tcp)     /* TCP handed to the engine */                                           \
	X(redirected_control) /* ARP, NDP or ICMP handed to the engine */                              \
	X(fragments_dropped)  /* fragments of what would have been ours */                             \
	X(no_socket)          /* ours, but no engine serves this queue: dropped */                     \
	X(malformed)          /* headers cut short or too many: left to the kernel */                  \
	X(syn_cookies_sent)   /* SYNs answered with a cookie */                                        \
	X(syn_cookies_passed) /* ACKs handed to the engine for the cookie that they bring back */      \
	X(syn_cookies_failed) /* ACKs dropped: of no known flow, and without a valid cookie */         \
	X(flood_dropped)      /* other segments of no known flow, dropped in a flood */                \
	X(bad_checksum)       /* SYNs dropped in a flood: damaged */

enum sidestep_counter {
#define X(name) COUNTER_##name,
	SIDESTEP_COUNTERS(X)
#undef X
	COUNTERS
};

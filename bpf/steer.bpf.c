/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Decides, for each frame that the driver receives, whether it is Sidestep's or the kernel's.
 *
 * Ours: TCP to an (address, port) that is served; and for an address that is owned, which the
 * kernel therefore doesn't have, also its ARP, NDP, ICMP echo, ICMP errors and the rest of its TCP
 * (replies to what we opened, and segments to closed ports, which want an RST that nobody else
 * would send). Also ours, wherever they come to, are ICMP errors that quote a segment from a served
 * (address, port): the kernel knows no such connection. Everything else goes to the kernel as if
 * this program weren't there.
 *
 * Fragments are never reassembled. A first fragment that names a served port is dropped and
 * counted, as the kernel would otherwise complete and answer it. Later fragments carry no ports:
 * those to an owned address are dropped too, those to an address shared with the kernel are passed,
 * since they may belong to the kernel's own connections; without the first one it discards them.
 *
 * A frame of ours on a queue without a socket is dropped and counted. The kernel has no such
 * listener and would answer RST, killing a connection that another queue may be serving.
 *
 * Of a packet in several buffers, which a larger MTU than a page's brings, only the first buffer is
 * read. Drivers fill it: all headers are there.
 *
 * A tag of 802.1Q is skipped, whatever its VLAN: where hardware strips tags, nobody could tell.
 *
 * While an engine says that it is flooded, flood.h stands before its queue.
 */
#include "steer.h"

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	return steer_frame(ctx);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

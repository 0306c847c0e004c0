/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What steer.bpf.c says, as a function: programs that measure it include it too.
 */
#pragma once

#include "flood.h"
#include "parse.h"

/* <linux/icmp.h> and <linux/if_arp.h> pull in the C library, which BPF hasn't. */
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_PARAMETER_PROBLEM 4
#define ICMPV6_ECHO 128
#define NDP_SOLICITATION 135
#define NDP_ADVERTISEMENT 136

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender_ip[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target_ip[4];
};

struct ports {
	__be16 source;
	__be16 destination;
};

struct icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

static __always_inline int steer_arp(struct xdp_md *ctx, struct cursor *cursor)
{
	struct arp *arp = TAKE(cursor, sizeof(*arp));
	struct address target;
	__be32 ipv4;

	if (!arp)
		return malformed();
	if (arp->protocol != bpf_htons(ETH_P_IP) || arp->protocol_length != sizeof(ipv4) ||
	    arp->hardware_length != ETH_ALEN)
		return pass();
	__builtin_memcpy(&ipv4, arp->target_ip, sizeof(ipv4));
	map_ipv4(&target, ipv4);
	return is_owned(&target) ? redirect(ctx, COUNTER_redirected_control) : pass();
}

static __always_inline int steer_tcp(struct xdp_md *ctx, struct cursor *cursor,
				     const struct datagram *datagram)
{
	struct ports *ports;
	int served, ours;

	if (datagram->fragment == LATER_FRAGMENT)
		return is_owned(&datagram->destination) ? drop(COUNTER_fragments_dropped) : pass();
	ports = TAKE(cursor, sizeof(*ports));
	if (!ports)
		return malformed();
	served = is_served(&datagram->destination, ports->destination);
	ours = served || is_owned(&datagram->destination);
	if (!ours)
		return pass();
	if (datagram->fragment == FIRST_FRAGMENT)
		return drop(COUNTER_fragments_dropped);
	if (is_flooded(ctx)) {
		struct arrived arrived = {
			.flow = {
				.remote = datagram->source,
				.local = datagram->destination,
				.ports = ports->source | (__u32)ports->destination << 16,
				.is_v4 = datagram->is_v4,
			},
			.offset = (void *)ports - (void *)(long)ctx->data,
			.length = datagram->length,
			.tagged = datagram->tagged,
			.odd = datagram->odd,
			.served = served,
			.ecn_field = datagram->ecn,
		};

		return stand_before(ctx, &arrived);
	}
	return redirect(ctx, COUNTER_redirected_tcp);
}

/* Whether the packet that an ICMP error quotes is a segment from a served address and port. */
static __always_inline int quotes_served(struct cursor *cursor, int version)
{
	struct address source;
	struct ipv6hdr *ipv6;
	struct iphdr *ipv4;
	struct ports *ports;

	if (version == 4) {
		ipv4 = TAKE(cursor, sizeof(*ipv4));
		if (!ipv4 || ipv4->version != 4 || ipv4->ihl < 5 || ipv4->protocol != IPPROTO_TCP)
			return 0;
		map_ipv4(&source, ipv4->saddr);
		if (!TAKE(cursor, ipv4->ihl * 4 - sizeof(*ipv4)))
			return 0;
	} else {
		ipv6 = TAKE(cursor, sizeof(*ipv6));
		if (!ipv6 || ipv6->version != 6 || ipv6->nexthdr != IPPROTO_TCP)
			return 0;
		__builtin_memcpy(&source, &ipv6->saddr, sizeof(source));
	}
	ports = TAKE(cursor, sizeof(*ports));
	return ports && is_served(&source, ports->source);
}

static __always_inline int steer_icmp(struct xdp_md *ctx, struct cursor *cursor,
				      const struct datagram *datagram)
{
	struct icmp *icmp = TAKE(cursor, sizeof(*icmp));
	int ours;

	if (!icmp)
		return malformed();
	switch (icmp->type) {
	case ICMP_ECHO:
		ours = is_owned(&datagram->destination);
		break;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		ours = is_owned(&datagram->destination) || quotes_served(cursor, 4);
		break;
	default:
		return pass();
	}
	return ours ? redirect(ctx, COUNTER_redirected_control) : pass();
}

static __always_inline int steer_icmpv6(struct xdp_md *ctx, struct cursor *cursor,
					const struct datagram *datagram)
{
	struct icmp *icmp = TAKE(cursor, sizeof(*icmp));
	struct address address = datagram->destination;
	struct address *target;

	if (!icmp)
		return malformed();
	switch (icmp->type) {
	case NDP_SOLICITATION:
		/* It comes to a multicast group that many addresses share: only the target tells. */
		target = TAKE(cursor, sizeof(*target));
		if (!target)
			return malformed();
		address = *target;
		break;
	case NDP_ADVERTISEMENT:
	case ICMPV6_ECHO:
		break;
	case ICMPV6_UNREACHABLE:
	case ICMPV6_TOO_BIG:
	case ICMPV6_TIME_EXCEEDED:
	case ICMPV6_PARAMETER_PROBLEM:
		if (quotes_served(cursor, 6))
			return redirect(ctx, COUNTER_redirected_control);
		break;
	default:
		return pass();
	}
	return is_owned(&address) ? redirect(ctx, COUNTER_redirected_control) : pass();
}

static __always_inline int steer_ipv4(struct xdp_md *ctx, struct cursor *cursor, __u8 tagged)
{
	struct datagram datagram = { .tagged = tagged };

	if (parse_ipv4(cursor, &datagram) != PARSED)
		return malformed();
	if (datagram.protocol == IPPROTO_TCP)
		return steer_tcp(ctx, cursor, &datagram);
	if (datagram.protocol == IPPROTO_ICMP && datagram.fragment == WHOLE)
		return steer_icmp(ctx, cursor, &datagram);
	return pass();
}

static __always_inline int steer_ipv6(struct xdp_md *ctx, struct cursor *cursor, __u8 tagged)
{
	struct datagram datagram = { .tagged = tagged };

	if (parse_ipv6(cursor, &datagram) != PARSED)
		return malformed();
	if (datagram.protocol == IPPROTO_TCP)
		return steer_tcp(ctx, cursor, &datagram);
	if (datagram.protocol == IPPROTO_ICMPV6 && datagram.fragment == WHOLE)
		return steer_icmpv6(ctx, cursor, &datagram);
	return pass();
}

static __always_inline int steer_frame(struct xdp_md *ctx)
{
	struct cursor cursor = {
		.at = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};

	__u8 tagged = 0;

	switch (parse_link(&cursor, &tagged)) {
	case bpf_htons(ETH_P_ARP):
		return steer_arp(ctx, &cursor);
	case bpf_htons(ETH_P_IP):
		return steer_ipv4(ctx, &cursor, tagged);
	case bpf_htons(ETH_P_IPV6):
		return steer_ipv6(ctx, &cursor, tagged);
	}
	return pass();
}

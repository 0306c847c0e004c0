/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Header parsing for XDP: a cursor that moves forward over checked bytes, and what steering needs
 * to know of a packet. Every loop has a bound that the verifier can see.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

/* Hosts send at most one or two; more is somebody probing. */
#define MAX_EXTENSION_HEADERS 6

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET 0x1fff
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_OFFSET 0xfff8

struct cursor {
	void *at;
	void *end;
};

/* `at` before moving over `size` bytes, or null when they aren't all there. */
#define TAKE(cursor, size)                                                                         \
	({                                                                                             \
		void *taken = (cursor)->at;                                                                \
		if (taken + (size) > (cursor)->end)                                                        \
			taken = 0;                                                                             \
		else                                                                                       \
			(cursor)->at = taken + (size);                                                         \
		taken;                                                                                     \
	})

enum fragment { WHOLE, FIRST_FRAGMENT, LATER_FRAGMENT };

/* What the network header says; the cursor stands behind it. */
struct datagram {
	struct address source;
	struct address destination;
	enum fragment fragment;
	__u8 protocol;
	__u8 is_v4;
	__u8 tagged;
	__u8 ecn;
	/* It has IPv6 headers that the engine won't take either, or only perhaps. */
	__u8 odd;
	/* Bytes behind the network header, as it says itself. */
	__s32 length;
};

enum parsed { PARSED, MALFORMED };

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

struct extension {
	__u8 next;
	__u8 length;
};

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

/* The EtherType in network order, behind at most one 802.1Q tag; 0 when cut short. */
static __always_inline __be16 parse_link(struct cursor *cursor, __u8 *tagged)
{
	struct ethhdr *ethernet = TAKE(cursor, sizeof(*ethernet));
	struct vlan_tag *tag;

	if (!ethernet)
		return 0;
	if (ethernet->h_proto != bpf_htons(ETH_P_8021Q))
		return ethernet->h_proto;
	*tagged = 1;
	tag = TAKE(cursor, sizeof(*tag));
	return tag ? tag->ethertype : 0;
}

static __always_inline void map_ipv4(struct address *address, __be32 ipv4)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = bpf_htonl(0xffff);
	address->word[3] = ipv4;
}

static __always_inline enum parsed parse_ipv4(struct cursor *cursor, struct datagram *datagram)
{
	struct iphdr *ip = TAKE(cursor, sizeof(*ip));
	__u16 fragment;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return MALFORMED;
	if (!TAKE(cursor, ip->ihl * 4 - sizeof(*ip)))
		return MALFORMED;
	map_ipv4(&datagram->source, ip->saddr);
	map_ipv4(&datagram->destination, ip->daddr);
	datagram->is_v4 = 1;
	datagram->ecn = ip->tos & 3;
	datagram->length = bpf_ntohs(ip->tot_len) - ip->ihl * 4;
	datagram->protocol = ip->protocol;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & IPV4_OFFSET)
		datagram->fragment = LATER_FRAGMENT;
	else if (fragment & IPV4_MORE_FRAGMENTS)
		datagram->fragment = FIRST_FRAGMENT;
	else
		datagram->fragment = WHOLE;
	return PARSED;
}

/* Moves over one extension header. A fragment header that is all of the datagram is no fragment. */
static __always_inline enum parsed parse_extension(struct cursor *cursor, struct datagram *datagram)
{
	struct fragment_header *fragment;
	struct extension *extension;
	__u16 offset, length;

	if (datagram->protocol == IPPROTO_FRAGMENT) {
		fragment = TAKE(cursor, sizeof(*fragment));
		if (!fragment)
			return MALFORMED;
		datagram->odd = 1;
		datagram->length -= sizeof(*fragment);
		offset = bpf_ntohs(fragment->offset);
		if (offset & IPV6_OFFSET)
			datagram->fragment = LATER_FRAGMENT;
		else if (offset & IPV6_MORE_FRAGMENTS)
			datagram->fragment = FIRST_FRAGMENT;
		datagram->protocol = fragment->next;
		return PARSED;
	}
	extension = TAKE(cursor, sizeof(*extension));
	if (!extension)
		return MALFORMED;
	/* The authentication header alone counts in words of four bytes, less two. */
	if (datagram->protocol == IPPROTO_AH)
		length = (extension->length + 2) * 4;
	else
		length = (extension->length + 1) * 8;
	datagram->odd |= datagram->protocol == IPPROTO_ROUTING;
	datagram->length -= length;
	datagram->protocol = extension->next;
	return TAKE(cursor, length - sizeof(*extension)) ? PARSED : MALFORMED;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_AH;
}

static __always_inline enum parsed parse_ipv6(struct cursor *cursor, struct datagram *datagram)
{
	struct ipv6hdr *ip = TAKE(cursor, sizeof(*ip));

	if (!ip || ip->version != 6)
		return MALFORMED;
	__builtin_memcpy(&datagram->source, &ip->saddr, sizeof(datagram->source));
	__builtin_memcpy(&datagram->destination, &ip->daddr, sizeof(datagram->destination));
	datagram->ecn = ip->flow_lbl[0] >> 4 & 3;
	datagram->length = bpf_ntohs(ip->payload_len);
	datagram->protocol = ip->nexthdr;
	datagram->fragment = WHOLE;
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		/* What follows a later fragment's header is data, not headers. */
		if (!is_extension(datagram->protocol) || datagram->fragment == LATER_FRAGMENT)
			return PARSED;
		if (parse_extension(cursor, datagram) != PARSED)
			return MALFORMED;
	}
	return is_extension(datagram->protocol) ? MALFORMED : PARSED;
}

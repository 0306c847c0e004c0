/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The maps that the runtime fills, and their layouts. Rust mirrors the two key types in
 * `device::af_xdp::steer`, which asserts their sizes.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "counters.h"

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d, in network order. */
struct address {
	__u32 word[4];
};

/* A local address and port; the port in network order. */
struct endpoint {
	struct address address;
	__be16 port;
	__u16 zero;
};

/* One socket per receive queue; the loader sizes it to the interface. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/*
 * Where we listen. A wildcard listener is one entry for each local address, so that the program
 * needs one look-up and never claims an address that the runtime doesn't know.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct endpoint);
	__type(value, __u32);
} served SEC(".maps");

/* Addresses that the kernel doesn't have: all their ARP, NDP, ICMP and TCP is ours to answer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, __u32);
} owned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(enum sidestep_counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		*value += 1;
}

static __always_inline int is_owned(const struct address *address)
{
	return bpf_map_lookup_elem(&owned, address) != 0;
}

static __always_inline int is_served(const struct address *address, __be16 port)
{
	struct endpoint key = { .address = *address, .port = port };

	return bpf_map_lookup_elem(&served, &key) != 0;
}

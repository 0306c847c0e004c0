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

/* Keys of cookies, and those that a reader looks at: see src/tcp/cookie/keys.rs. */
#define KEY_RING 8
#define KEY_LOOK_BACK 6
/* Queues beyond are served, but not protected. */
#define MAX_QUEUES 256
/* Words of a flow, each with its secret, and one secret more. */
#define FILTER_SECRETS 10

struct cookie_key {
	__u32 from_step;
	__u32 zero;
	__u64 word[2];
};

/* UNIX time was `unix_ms` at `at_ns` of the monotonic clock, and runs at `rate`. */
struct cookie_clock {
	__u64 at_ns;
	__u64 unix_ms;
	__u64 rate;
};

/* What we offer in a SYN-ACK, in one word, so that it changes at once. */
#define OFFER_MSS_V4(offer) ((__u32)((offer) & 0xffff))
#define OFFER_MSS_V6(offer) ((__u32)((offer) >> 16 & 0xffff))
#define OFFER_WINDOW(offer) ((__u32)((offer) >> 32 & 0xffff))
#define OFFER_SCALE(offer) ((__u32)((offer) >> 48 & 0xff))
#define OFFER_SCALES (1ull << 56)
#define OFFER_SACK (1ull << 57)
#define OFFER_TIMESTAMPS (1ull << 58)
#define OFFER_CLASSIC_ECN (1ull << 61)
#define OFFER_ACCURATE_ECN (1ull << 62)
/* Not in it, but as constant: begun checksums are taken, and XDP_TX works. */
#define TAKES_PARTIAL (1ull << 59)
#define ANSWERS (1ull << 60)

/*
 * All that flood mode needs, in memory that the server has mapped: nothing here is ever locked, and
 * each part is changed by one store. `src/device/af_xdp/shield.rs` is the other side.
 */
struct flood_state {
	/* Numbers of the newest, modulo their counts. */
	__u32 newest_key;
	__u32 newest_clock;
	struct cookie_key keys[KEY_RING];
	struct cookie_clock clocks[2];
	__u64 offer;
	__u64 filter_secrets[FILTER_SECRETS];
	/* By receive queue: its engine wants help. */
	__u8 flooded[MAX_QUEUES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_state);
} flood SEC(".maps");

/*
 * A counting filter of the flows that have state, one byte a counter, written by the engines: zero
 * is certain, anything else is a perhaps.
 */
#define KNOWN_SHIFT 21

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, (1 << KNOWN_SHIFT) / 8);
	__type(key, __u32);
	__type(value, __u64);
} known SEC(".maps");

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

/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What it costs to answer a SYN in the driver: the program that serves, and beside it one that does
 * the same job with the kernel's own cookies. A run of BPF_PROG_RUN leaves the answer in the frame,
 * so each program first puts the frame back; `put_back` alone says what that costs.
 */
#include "../../bpf/steer.h"

#define LONGEST 128

struct frame {
	__u32 length;
	__u8 bytes[LONGEST];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frame);
} original SEC(".maps");

/* Verified on its own: its many ways out must not multiply those of the program behind it. */
__noinline int restore(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct frame *frame = bpf_map_lookup_elem(&original, &zero);
	struct cursor cursor;
	int longer;

	if (!frame)
		return 0;
	longer = frame->length - (ctx->data_end - ctx->data);
	if (longer && bpf_xdp_adjust_tail(ctx, longer))
		return 0;
	cursor.at = (void *)(long)ctx->data;
	cursor.end = (void *)(long)ctx->data_end;
	for (int i = 0; i < LONGEST; i += 2) {
		__u16 *word = TAKE(&cursor, 2);

		if (!word)
			break;
		*word = *(__u16 *)(frame->bytes + i);
	}
	return 1;
}

SEC("xdp")
int put_back(struct xdp_md *ctx)
{
	return restore(ctx) ? XDP_TX : XDP_ABORTED;
}

SEC("xdp")
int ours(struct xdp_md *ctx)
{
	return restore(ctx) ? steer_frame(ctx) : XDP_ABORTED;
}

/* The kernel's number for a segment with 20 bytes of options, and a clock with options in it. */
static __always_inline int kernels_cookie(struct iphdr *ip, struct tcphdr *tcp, __u32 options,
					  struct cookie *cookie)
{
	__s64 value = bpf_tcp_raw_gen_syncookie_ipv4(ip, tcp, 40);

	if (value < 0)
		return 0;
	cookie->isn = value;
	cookie->timestamp = bpf_ktime_get_ns() / 1000000;
	cookie->timestamp &= ~(TSVAL_BITS - 1);
	cookie->timestamp |= options >> OPTION_SCALE_SHIFT & (TSVAL_BITS - 1);
	return 1;
}

/* As flood.h's answer, without its look at the queue's flag and at the filter of known flows. */
static __always_inline int reference_answer(struct xdp_md *ctx, struct cursor *cursor,
					    const struct datagram *datagram)
{
	struct flow flow = { .remote = datagram->source, .local = datagram->destination, .is_v4 = 1 };
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, offset = cursor->at - data, options;
	struct flood_state *state = bpf_map_lookup_elem(&flood, &zero);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct tcphdr *tcp = cursor->at;
	struct cookie cookie = {};
	struct reply reply = {};
	__u64 syn, offer;

	if (!state || (void *)(tcp + 1) + 20 > end || (void *)(ip + 1) > end || tcp->doff != 10)
		return XDP_ABORTED;
	flow.ports = tcp->source | (__u32)tcp->dest << 16;
	if (!is_served(&flow.local, tcp->dest) || !tcp->syn || tcp->ack || tcp->rst || tcp->fin)
		return XDP_ABORTED;
	if (!is_unicast(&flow) || !ipv4_is_whole(ctx, sizeof(struct ethhdr)))
		return XDP_ABORTED;
	offer = state->offer;
	if (!syn_is_whole(ctx, &flow, offset, datagram->length, 0))
		return XDP_ABORTED;
	syn = syn_options(ctx, tcp, offset);
	options = kept_options(syn, offer, 1);
	if (!kernels_cookie(ip, tcp, options, &cookie))
		return XDP_ABORTED;
	reply.irs = bpf_ntohl(tcp->seq);
	reply.isn = cookie.isn;
	reply.window = OFFER_WINDOW(offer);
	reply.ethernet = *(struct ethhdr *)data;
	offered_options(&reply.options, offer, options, 1, cookie.timestamp, SYN_TIMESTAMP(syn));
	if (!write_reply(ctx, &flow, &reply))
		return XDP_ABORTED;
	count(COUNTER_syn_cookies_sent);
	return XDP_TX;
}

SEC("xdp")
int reference(struct xdp_md *ctx)
{
	struct datagram datagram = {};
	struct cursor cursor;
	__u8 tagged = 0;

	if (!restore(ctx))
		return XDP_ABORTED;
	cursor.at = (void *)(long)ctx->data;
	cursor.end = (void *)(long)ctx->data_end;
	if (parse_link(&cursor, &tagged) != bpf_htons(ETH_P_IP))
		return XDP_ABORTED;
	if (parse_ipv4(&cursor, &datagram) != PARSED || datagram.protocol != IPPROTO_TCP)
		return XDP_ABORTED;
	return reference_answer(ctx, &cursor, &datagram);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

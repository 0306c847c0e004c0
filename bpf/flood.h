/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Flood mode: what stands before a queue whose engine has more half-open connections than it likes.
 *
 *   a flow that the engines may know    to the engine, whatever it is: it alone can tell an old SYN
 *                                       from a new one, or answer it with a challenge ACK
 *   SYN to a served port                cookie SYN-ACK by XDP_TX; to the engine, which answers with
 *                                       a cookie too, where XDP_TX isn't to be had
 *   SYN to another port                 to the engine, which refuses it
 *   an ACK that brings a cookie back    to the engine, which makes the connection
 *   anything else                       dropped before it costs a frame
 *
 * The engines keep a counting filter of their flows. Its hash is multilinear: for two flows that
 * somebody chose without the secrets, every pair of results is equally likely. So a flood gets as
 * much through the filter as it is full: its engine then treats that as it would without us.
 */
#pragma once

#include "syn.h"
#include "verdict.h"

/* Whether the engine of this frame's queue wants help. */
static __always_inline int is_flooded(struct xdp_md *ctx)
{
	__u32 key = 0, queue = ctx->rx_queue_index;
	const struct flood_state *state = bpf_map_lookup_elem(&flood, &key);

	return state && queue < MAX_QUEUES && *(volatile const __u8 *)&state->flooded[queue];
}

static __always_inline __u64 cookie_now_ms(const struct flood_state *state)
{
	__u32 newest = *(volatile const __u32 *)&state->newest_clock;
	const struct cookie_clock *clock = &state->clocks[newest & 1];
	__u64 now = bpf_ktime_get_ns(), since = now > clock->at_ns ? now - clock->at_ns : 0;

	return clock->unix_ms + ((since >> 14) * clock->rate >> 34);
}

static __always_inline int is_known(const struct flood_state *state, const struct flow *flow)
{
	const __u64 *secret = state->filter_secrets;
	__u64 sum = secret[0] + secret[1] * flow->ports, *counters;
	__u32 place;

	sum += secret[2] * flow->remote.word[3] + secret[3] * flow->local.word[3];
	if (!flow->is_v4) {
		for (int i = 0; i < 3; i++)
			sum += secret[4 + i] * flow->remote.word[i] +
			       secret[7 + i] * flow->local.word[i];
	}
	place = sum >> (64 - KNOWN_SHIFT);
	sum = place / 8;
	counters = bpf_map_lookup_elem(&known, &(__u32){ sum });
	return !counters || (*(volatile __u64 *)counters >> place % 8 * 8 & 0xff);
}

/* Neither a group nor nobody: nothing else is answered. */
static __always_inline int is_unicast(const struct flow *flow)
{
	const __u32 *word = flow->remote.word;

	if (flow->is_v4)
		return (word[3] & 0xf0) != 0xe0 && word[3] && ~word[3];
	return (word[0] & 0xff) != 0xff && (word[0] | word[1] | word[2] | word[3]);
}

/* The echo among the options of an ACK, laid out as everyone does, or else looked for. */
static __always_inline int find_echo(struct xdp_md *ctx, struct tcphdr *tcp, __u32 offset,
				     __u32 *echo)
{
	__u32 length = tcp->doff * 4 - sizeof(*tcp);
	__u32 *word = (void *)(tcp + 1);
	__u64 found;

	if (!length)
		return 0;
	if (length == 12 && (void *)(word + 3) <= (void *)(long)ctx->data_end &&
	    word[0] == WORD(OPTION_NOP, OPTION_NOP, OPTION_TIMESTAMP, 10)) {
		*echo = bpf_ntohl(word[2]);
		return 1;
	}
	found = walk_options(ctx, offset + sizeof(*tcp), length, 0);
	*echo = bpf_ntohl(SYN_TIMESTAMP(found));
	return !!(found & SYN_HAS_TIMESTAMPS);
}

/* A segment of ours for a flooded queue, as far as it has been read. */
struct arrived {
	struct flow flow;
	/* Of the TCP header, from the beginning of the frame. */
	__u32 offset;
	/* Bytes of the segment, as the network header says. */
	__s32 length;
	__u32 tagged;
	__u32 odd;
	__u32 served;
	/* Of the IP header. */
	__u32 ecn_field;
};

static __always_inline int answer(struct xdp_md *ctx, const struct flood_state *state,
				  struct tcphdr *tcp, const struct arrived *in)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 link = sizeof(struct ethhdr) + (in->tagged ? sizeof(struct vlan_tag) : 0);
	__u64 offer = *(volatile const __u64 *)&state->offer, syn;
	struct reply reply = { .tagged = in->tagged };
	const struct flow *flow = &in->flow;
	struct ethhdr *ethernet = data;
	struct cookie cookie;
	__u32 options, ecn;

	if ((void *)(ethernet + 1) > end)
		return drop(COUNTER_flood_dropped);
	if (!is_unicast(flow) || ethernet->h_dest[0] & 1)
		return drop(COUNTER_flood_dropped);
	if (flow->is_v4 && !ipv4_is_whole(ctx, link))
		return drop(COUNTER_bad_checksum);
	if (!syn_is_whole(ctx, flow, in->offset, in->length, !!(offer & TAKES_PARTIAL)))
		return drop(COUNTER_bad_checksum);
	if (!(offer & ANSWERS))
		return redirect(ctx, COUNTER_redirected_tcp);
	syn = syn_options(ctx, tcp, in->offset);
	options = kept_options(syn, offer, flow->is_v4);
	if (options & OPTION_TIMESTAMPS) {
		ecn = agreed_ecn(ecn_flags(tcp), offer);
		options |= ecn << OPTION_ECN_SHIFT;
		reply.ecn_flags = answered_ecn(ecn, in->ecn_field);
	}
	reply.irs = bpf_ntohl(tcp->seq);
	cookie = cookie_encode(state, flow, reply.irs, options, cookie_now_ms(state));
	reply.isn = cookie.isn;
	reply.window = OFFER_WINDOW(offer);
	reply.ethernet = *ethernet;
	offered_options(&reply.options, offer, options, flow->is_v4, cookie.timestamp,
			SYN_TIMESTAMP(syn));
	if (!write_reply(ctx, flow, &reply))
		return redirect(ctx, COUNTER_redirected_tcp);
	count(COUNTER_syn_cookies_sent);
	return XDP_TX;
}

__noinline int stand_before(struct xdp_md *ctx, const struct arrived *in)
{
	struct tcphdr *tcp;
	const struct flood_state *state;
	struct returned returned = {};
	__u32 zero = 0;

	state = bpf_map_lookup_elem(&flood, &zero);
	if (!in || !state)
		return drop(COUNTER_flood_dropped);
	tcp = (void *)(long)ctx->data + (in->offset & 0xfff);
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return drop(COUNTER_flood_dropped);
	if (is_known(state, &in->flow))
		return redirect(ctx, COUNTER_redirected_tcp);
	if (tcp->doff < 5 || tcp->doff * 4 > in->length || in->odd || tcp->rst)
		return drop(COUNTER_flood_dropped);
	if (tcp->syn && !tcp->ack && !tcp->fin)
		return in->served ? answer(ctx, state, tcp, in) :
				    redirect(ctx, COUNTER_redirected_tcp);
	if (tcp->syn || !tcp->ack || !in->served)
		return drop(COUNTER_flood_dropped);
	returned.irs = bpf_ntohl(tcp->seq) - 1;
	returned.isn = bpf_ntohl(tcp->ack_seq) - 1;
	returned.has_echo = find_echo(ctx, tcp, in->offset, &returned.echo);
	returned.unix_ms = cookie_now_ms(state);
	if (!cookie_is_valid(&in->flow, &returned))
		return drop(COUNTER_syn_cookies_failed);
	count(COUNTER_syn_cookies_passed);
	return redirect(ctx, COUNTER_redirected_tcp);
}

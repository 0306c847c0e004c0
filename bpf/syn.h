/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * A SYN read and answered: its checksums, its options, and the SYN-ACK that takes its place in the
 * frame. What is offered, and how it lies in the packet, is what the engine would send: a test
 * compares the two byte by byte.
 */
#pragma once

#include <linux/tcp.h>

#include "cookie.h"
#include "parse.h"

#define HOP_LIMIT 64
#define DEFAULT_MSS_V4 536
#define DEFAULT_MSS_V6 1220
#define MIN_MSS 64
#define MAX_SCALE 14

/* More than any frame that XDP takes in one piece. */
#define MAX_DATA 4096
#define MAX_OPTIONS 40

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_SCALE 3
#define OPTION_SACK_PERMITTED 4
#define OPTION_TIMESTAMP 8

/* Options as their words lie in a packet, on a little-endian machine. */
#define WORD(a, b, c, d) ((a) | (b) << 8 | (c) << 16 | (__u32)(d) << 24)

/* A SYN's options in one word, so that a function can return them. */
#define SYN_MSS(word) ((__u32)((word) & 0xffff))
#define SYN_SCALE(word) ((__u32)((word) >> 16 & 15))
#define SYN_HAS_SCALE (1ull << 20)
#define SYN_HAS_SACK (1ull << 21)
#define SYN_HAS_TIMESTAMPS (1ull << 22)
#define SYN_HAS_MSS (1ull << 23)
/* There are no more, or one was malformed; and where the next begins. */
#define OPTIONS_OVER (1ull << 24)
#define OPTIONS_AT(word) ((__u32)((word) >> 25 & 63))
#define OPTIONS_STEP(len) ((__u64)(len) << 25)
/* TSval of a SYN, TSecr of others. */
#define SYN_TIMESTAMP(word) ((__be32)((word) >> 32))

static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The sum over addresses, protocol and length. */
static __always_inline __u64 pseudo_sum(const struct flow *flow, __u32 length)
{
	__u64 sum = bpf_htons(length) + bpf_htons(IPPROTO_TCP);

	sum += (__u64)flow->remote.word[3] + flow->local.word[3];
	if (flow->is_v4)
		return sum;
	for (int i = 0; i < 3; i++)
		sum += (__u64)flow->remote.word[i] + flow->local.word[i];
	return sum;
}

/*
 * The sum over `length` bytes of the packet, or -1 if they aren't there. A function of its own: the
 * verifier looks at it once.
 */
__noinline __s64 sum_data(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	void *at = (void *)(long)ctx->data + (offset & 0xfff);
	void *end = (void *)(long)ctx->data_end;
	__u64 sum = 0;

	for (int i = 0; i < MAX_DATA / 4 && length >= 4; i++) {
		void *next = at + 4;

		/* Or else the compiler would move the end, which the verifier forbids. */
		asm volatile("" : "+r"(next));
		if (next > end)
			return -1;
		sum += *(__u32 *)at;
		at = next;
		length -= 4;
	}
	if (length >= 4)
		return -1;
	for (int i = 0; i < 3 && length; i++) {
		if (at + 1 > end)
			return -1;
		sum += (__u32)*(__u8 *)at << 8 * i;
		at += 1;
		length -= 1;
	}
	return sum;
}

/* The next option of the segment whose options begin at `offset`, entered into `word`. */
__noinline __u64 take_option(struct xdp_md *ctx, __u32 offset, __u32 length, __u64 word, int is_syn)
{
	void *end = (void *)(long)ctx->data_end;
	__u32 at = OPTIONS_AT(word), len, scale;
	__u8 *option = (void *)(long)ctx->data + (offset & 0xfff) + at;

	if (at >= length || (void *)(option + 1) > end || option[0] == OPTION_END)
		return word | OPTIONS_OVER;
	if (option[0] == OPTION_NOP)
		return word + OPTIONS_STEP(1);
	if (at + 2 > length || (void *)(option + 2) > end)
		return word | OPTIONS_OVER;
	len = option[1];
	if (len < 2 || at + len > length)
		return word | OPTIONS_OVER;
	word += OPTIONS_STEP(len);
	switch (option[0]) {
	case OPTION_TIMESTAMP:
		if (len != 10 || (void *)(option + 10) > end)
			return word | OPTIONS_OVER;
		word &= 0xffffffff;
		word |= (__u64)*(__u32 *)(option + (is_syn ? 2 : 6)) << 32;
		return word | SYN_HAS_TIMESTAMPS;
	case OPTION_MSS:
		if (len != 4 || (void *)(option + 4) > end)
			return word | OPTIONS_OVER;
		return (word & ~0xffffull) | (option[2] << 8 | option[3]) | SYN_HAS_MSS;
	case OPTION_SCALE:
		if (len != 3 || (void *)(option + 3) > end)
			return word | OPTIONS_OVER;
		scale = option[2] > MAX_SCALE ? MAX_SCALE : option[2];
		return (word & ~(15ull << 16)) | scale << 16 | SYN_HAS_SCALE;
	case OPTION_SACK_PERMITTED:
		return word | (len == 2 ? SYN_HAS_SACK : OPTIONS_OVER);
	}
	return word;
}

/* The options of a segment, in any order, up to the first that is malformed. */
__noinline __u64 walk_options(struct xdp_md *ctx, __u32 offset, __u32 length, int is_syn)
{
	__u64 word = 0;

	for (int i = 0; i < MAX_OPTIONS && !(word & OPTIONS_OVER); i++)
		word = take_option(ctx, offset, length, word, is_syn);
	return word;
}

/* The options of a SYN: at once if they are laid out as Linux and the BSDs after it do. */
static __always_inline __u64 syn_options(struct xdp_md *ctx, struct tcphdr *tcp, __u32 offset)
{
	__u32 length = tcp->doff * 4 - sizeof(*tcp);
	__u32 *word = (void *)(tcp + 1);

	if (length == 20 && (void *)(word + 5) <= (void *)(long)ctx->data_end &&
	    (word[0] & 0xffff) == WORD(OPTION_MSS, 4, 0, 0) &&
	    word[1] == WORD(OPTION_SACK_PERMITTED, 2, OPTION_TIMESTAMP, 10) &&
	    (word[4] & 0xffffff) == WORD(OPTION_NOP, OPTION_SCALE, 3, 0)) {
		__u32 scale = word[4] >> 24;

		return (__u64)word[2] << 32 | bpf_ntohs(word[0] >> 16) | SYN_HAS_MSS | SYN_HAS_SACK |
		       SYN_HAS_TIMESTAMPS | SYN_HAS_SCALE |
		       (scale > MAX_SCALE ? MAX_SCALE : scale) << 16;
	}
	if (!length)
		return 0;
	return walk_options(ctx, offset + sizeof(*tcp), length, 1);
}

static __always_inline __u32 mss_index(__u32 mss, int is_v4)
{
	/* The tables of src/tcp/cookie/layout.rs. */
	if (is_v4)
		return (mss >= 536) + (mss >= 1200) + (mss >= 1360) + (mss >= 1400) +
		       (mss >= 1440) + (mss >= 1460) + (mss >= 8960);
	return (mss >= 1220) + (mss >= 1280) + (mss >= 1340) + (mss >= 1380) + (mss >= 1420) +
	       (mss >= 1440) + (mss >= 8940);
}

/* What the cookie keeps of the SYN and of what we offer ourselves. */
__noinline __u32 kept_options(__u64 syn, __u64 offer, int is_v4)
{
	__u32 mss = SYN_MSS(syn), scale = OPTION_NO_SCALE, options;
	int sack = (syn & SYN_HAS_SACK) && (offer & OFFER_SACK);
	int timestamps = (syn & SYN_HAS_TIMESTAMPS) && (offer & OFFER_TIMESTAMPS);

	if (!(syn & SYN_HAS_MSS))
		mss = is_v4 ? DEFAULT_MSS_V4 : DEFAULT_MSS_V6;
	if ((syn & SYN_HAS_SCALE) && (offer & OFFER_SCALES))
		scale = SYN_SCALE(syn);
	if (!timestamps && !(sack && (scale == 7 || scale == 8)))
		scale = OPTION_NO_SCALE;
	options = mss_index(mss, is_v4) | scale << OPTION_SCALE_SHIFT;
	return options | (sack ? OPTION_SACK : 0) | (timestamps ? OPTION_TIMESTAMPS : 0);
}

/* TCP's flags AE, CWR and ECE, as one number. */
#define FLAG_ECE 1
#define FLAG_CWR 2
#define FLAG_AE 4
#define ASKS_CLASSIC (FLAG_ECE | FLAG_CWR)

static __always_inline __u32 ecn_flags(const struct tcphdr *tcp)
{
	const __u8 *bytes = (const void *)tcp;

	return bytes[13] >> 6 | (bytes[12] & 1) << 2;
}

/* What a SYN with these flags asks for and we agree to: see src/tcp/ecn.rs. */
static __always_inline __u32 agreed_ecn(__u32 flags, __u64 offer)
{
	int accurate = !!(offer & OFFER_ACCURATE_ECN);

	if (!flags || !(offer & (OFFER_CLASSIC_ECN | OFFER_ACCURATE_ECN)))
		return ECN_NONE;
	if (flags != ASKS_CLASSIC && accurate)
		return ECN_ACCURATE;
	return (flags & ASKS_CLASSIC) == ASKS_CLASSIC ? ECN_CLASSIC : ECN_NONE;
}

/* The flags of a SYN-ACK; `field` is the ECN field of the SYN (RFC 9768 table 2). */
static __always_inline __u32 answered_ecn(__u32 ecn, __u32 field)
{
	if (ecn == ECN_NONE)
		return 0;
	if (ecn == ECN_CLASSIC)
		return FLAG_ECE;
	return field == 0 ? FLAG_CWR :
	       field == 1 ? FLAG_CWR | FLAG_ECE :
	       field == 2 ? FLAG_AE :
			    FLAG_AE | FLAG_CWR;
}

/* Whether the SYN whose TCP header is at `offset` arrived as it was sent. */
__noinline int syn_is_whole(struct xdp_md *ctx, const struct flow *flow, __u32 offset, __u32 length,
			    int partial)
{
	void *end = (void *)(long)ctx->data_end;
	struct tcphdr *tcp = (void *)(long)ctx->data + (offset & 0xfff);
	__u32 header, *word = (void *)tcp;
	__u64 sum;
	__s64 data;

	if (!flow || (void *)(tcp + 1) > end)
		return 0;
	sum = pseudo_sum(flow, length);
	if (partial && tcp->check == (__u16)fold(sum))
		return 1;
	header = tcp->doff * 4;
	for (int i = 0; i < 5; i++)
		sum += word[i];
	word += 5;
	for (int i = 0; i < MAX_OPTIONS / 4; i++) {
		if (20 + 4 * i >= (int)header)
			break;
		if ((void *)(word + i + 1) > end)
			return 0;
		sum += word[i];
	}
	if (length > header) {
		data = sum_data(ctx, offset + header, length - header);
		if (data < 0)
			return 0;
		sum += data;
	}
	return fold(sum) == 0xffff;
}

/* Whether the IPv4 header at `offset` sums up to what it must. */
__noinline int ipv4_is_whole(struct xdp_md *ctx, __u32 offset)
{
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(long)ctx->data + (offset & 0xff);
	__u32 *word = (void *)ip;
	__u64 sum = 0;

	if ((void *)(ip + 1) > end)
		return 0;
	for (int i = 0; i < 15; i++) {
		if (i >= ip->ihl)
			break;
		if ((void *)(word + i + 1) > end)
			return 0;
		sum += word[i];
	}
	return fold(sum) == 0xffff;
}

/* The words of our options, in order. */
struct option_words {
	__u32 word[5];
	__u32 count;
};

static __always_inline void offered_options(struct option_words *out, __u64 offer, __u32 options,
					    int is_v4, __u32 value, __be32 echo)
{
	__u32 mss = is_v4 ? OFFER_MSS_V4(offer) : OFFER_MSS_V6(offer);
	int sack = options & OPTION_SACK, timestamps = options & OPTION_TIMESTAMPS;
	__u32 n = 1;

	out->word[0] = WORD(OPTION_MSS, 4, mss >> 8, mss & 0xff);
	if (timestamps) {
		out->word[1] = sack ? WORD(OPTION_SACK_PERMITTED, 2, OPTION_TIMESTAMP, 10) :
				      WORD(OPTION_NOP, OPTION_NOP, OPTION_TIMESTAMP, 10);
		out->word[2] = bpf_htonl(value);
		out->word[3] = echo;
		n = 4;
	} else if (sack) {
		out->word[1] = WORD(OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2);
		n = 2;
	}
	if ((options >> OPTION_SCALE_SHIFT & 15) != OPTION_NO_SCALE) {
		__u32 scale = WORD(OPTION_NOP, OPTION_SCALE, 3, OFFER_SCALE(offer));

		/* Constant places: the verifier wants them. */
		if (n == 4)
			out->word[4] = scale;
		else if (n == 2)
			out->word[2] = scale;
		else
			out->word[1] = scale;
		n += 1;
	}
	out->count = n;
}

/* What is taken from the SYN before its frame is written over. */
struct reply {
	struct ethhdr ethernet;
	int tagged;
	__u32 irs;
	__u32 isn;
	__u32 window;
	/* AE, CWR and ECE. */
	__u32 ecn_flags;
	struct option_words options;
};

static __always_inline void write_ipv4(struct iphdr *ip, const struct flow *flow, __u32 length)
{
	__be32 from = flow->local.word[3], to = flow->remote.word[3];
	__u32 *word = (void *)ip;
	__u64 sum;

	word[0] = WORD(0x45, 0, (sizeof(*ip) + length) >> 8 & 0xff, (sizeof(*ip) + length) & 0xff);
	word[1] = WORD(0, 0, 0x40, 0);
	sum = (__u64)word[0] + word[1] + WORD(HOP_LIMIT, IPPROTO_TCP, 0, 0) + from + to;
	word[2] = WORD(HOP_LIMIT, IPPROTO_TCP, 0, 0) | (__u32)(__u16)~fold(sum) << 16;
	word[3] = from;
	word[4] = to;
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, const struct flow *flow, __u32 length)
{
	__u32 *word = (void *)ip;

	word[0] = WORD(0x60, 0, 0, 0);
	word[1] = WORD(length >> 8, length & 0xff, IPPROTO_TCP, HOP_LIMIT);
	for (int i = 0; i < 4; i++) {
		word[2 + i] = flow->local.word[i];
		word[6 + i] = flow->remote.word[i];
	}
}

static __always_inline int write_tcp(struct cursor *cursor, const struct flow *flow,
				     const struct reply *reply)
{
	__u32 *word = TAKE(cursor, sizeof(struct tcphdr)), *option;
	__u32 length = sizeof(struct tcphdr) + 4 * reply->options.count;
	__u64 sum = pseudo_sum(flow, length);

	if (!word)
		return 0;
	word[0] = flow->ports << 16 | flow->ports >> 16;
	word[1] = bpf_htonl(reply->isn);
	word[2] = bpf_htonl(reply->irs + 1);
	/* SYN and ACK. */
	word[3] = WORD(length << 2 | reply->ecn_flags >> 2,
		       (reply->ecn_flags << 6 & 0xff) | 0x12, reply->window >> 8, reply->window & 0xff);
	sum += (__u64)word[0] + word[1] + word[2] + word[3];
	for (__u32 i = 0; i < 5; i++) {
		if (i >= reply->options.count)
			break;
		option = TAKE(cursor, 4);
		if (!option)
			return 0;
		*option = reply->options.word[i];
		sum += *option;
	}
	word[4] = (__u16)~fold(sum);
	return 1;
}

/* Makes the frame the SYN-ACK. Zero if it can't be made that long: then nothing has changed. */
__noinline int write_reply(struct xdp_md *ctx, const struct flow *flow, const struct reply *reply)
{
	__u32 segment, network, link;
	struct cursor cursor;
	int longer;
	struct ethhdr *ethernet;
	struct vlan_tag *tag;
	void *ip;

	if (!flow || !reply)
		return 0;
	segment = sizeof(struct tcphdr) + 4 * reply->options.count;
	network = flow->is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	link = sizeof(struct ethhdr) + (reply->tagged ? sizeof(struct vlan_tag) : 0);
	longer = link + network + segment - (ctx->data_end - ctx->data);
	if (longer && bpf_xdp_adjust_tail(ctx, longer))
		return 0;
	cursor.at = (void *)(long)ctx->data;
	cursor.end = (void *)(long)ctx->data_end;
	ethernet = TAKE(&cursor, sizeof(*ethernet));
	if (!ethernet)
		return 0;
	__builtin_memcpy(ethernet->h_dest, reply->ethernet.h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, reply->ethernet.h_dest, ETH_ALEN);
	if (reply->tagged) {
		tag = TAKE(&cursor, sizeof(*tag));
		if (!tag)
			return 0;
	}
	if (flow->is_v4) {
		ip = TAKE(&cursor, sizeof(struct iphdr));
		if (!ip)
			return 0;
		write_ipv4(ip, flow, segment);
	} else {
		ip = TAKE(&cursor, sizeof(struct ipv6hdr));
		if (!ip)
			return 0;
		write_ipv6(ip, flow, segment);
	}
	return write_tcp(&cursor, flow, reply);
}

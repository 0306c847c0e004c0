/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * SYN cookies, the same as those of src/tcp/cookie.rs, where the bits and the cost of guessing them
 * are explained; tests/vectors/syn_cookies.txt holds the two together.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "SipHash here takes bytes as a little-endian machine loads them"
#endif

/* log2 of the milliseconds of a counter step, and by how much clocks may differ. */
#define STEP_SHIFT 16
#define SKEW_MS 4096

#define TIMESTAMPS_MAC ((1u << 28) - 1)
#define NO_TIMESTAMPS_MAC ((1u << 26) - 1)
#define TSVAL_BITS (1u << 7)

/* What is hashed and sent: MSS index, then these. */
#define OPTION_SCALE_SHIFT 3
#define OPTION_NO_SCALE 15
#define OPTION_SACK (1u << 7)
#define OPTION_ECN_SHIFT 8
#define OPTION_TIMESTAMPS (1u << 10)

enum { ECN_NONE, ECN_CLASSIC, ECN_ACCURATE };

/* A connection as its segments from the client show it, in network order. */
struct flow {
	struct address remote;
	struct address local;
	/* The client's port, ours: the first four bytes of its TCP header. */
	__be32 ports;
	int is_v4;
};

struct cookie {
	__u32 isn;
	__u32 timestamp;
};

struct sip {
	__u64 v0, v1, v2, v3;
};

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = ROTATE(s->v1, 13);
	s->v1 ^= s->v0;
	s->v0 = ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTATE(s->v3, 16);
	s->v3 ^= s->v2;
	s->v0 += s->v3;
	s->v3 = ROTATE(s->v3, 21);
	s->v3 ^= s->v0;
	s->v2 += s->v1;
	s->v1 = ROTATE(s->v1, 17);
	s->v1 ^= s->v2;
	s->v2 = ROTATE(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/* `word`: up to seven last bytes; `length`: of the whole input. The low half of the hash. */
static __always_inline __u32 sip_end(struct sip s, __u64 word, __u64 length)
{
	sip_word(&s, word | length << 56);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static __always_inline __u64 two_words(__u32 low, __u32 high)
{
	return (__u64)high << 32 | low;
}

/* What is hashed for a cookie. */
struct cookie_input {
	__u64 key[2];
	__u32 irs;
	__u32 step;
	__u32 options;
};

static __always_inline struct sip sip_begin(const struct cookie_input *in)
{
	return (struct sip){
		.v0 = in->key[0] ^ 0x736f6d6570736575,
		.v1 = in->key[1] ^ 0x646f72616e646f6d,
		.v2 = in->key[0] ^ 0x6c7967656e657261,
		.v3 = in->key[1] ^ 0x7465646279746573,
	};
}

/* `s` has taken both addresses: the cookie's hash, and above it the origin of timestamps. */
static __always_inline __u64 sip_both(struct sip s, const struct flow *flow,
				      const struct cookie_input *in, __u64 addresses)
{
	struct sip mac = s;
	__u32 origin = 0;

	if (in->options & OPTION_TIMESTAMPS)
		origin = sip_end(s, flow->ports, addresses + 4);
	sip_word(&mac, two_words(flow->ports, bpf_htonl(in->irs)));
	return two_words(sip_end(mac, two_words(in->step, in->options), addresses + 14), origin);
}

/* Functions of their own, here and below: the verifier looks at each once, and not on each path. */
__noinline __u64 cookie_hash_v4(const struct flow *flow, const struct cookie_input *in)
{
	struct sip s;

	if (!flow || !in)
		return 0;
	s = sip_begin(in);
	sip_word(&s, two_words(flow->remote.word[3], flow->local.word[3]));
	return sip_both(s, flow, in, 8);
}

__noinline __u64 cookie_hash_v6(const struct flow *flow, const struct cookie_input *in)
{
	struct sip s;

	if (!flow || !in)
		return 0;
	s = sip_begin(in);
	sip_word(&s, two_words(flow->remote.word[0], flow->remote.word[1]));
	sip_word(&s, two_words(flow->remote.word[2], flow->remote.word[3]));
	sip_word(&s, two_words(flow->local.word[0], flow->local.word[1]));
	sip_word(&s, two_words(flow->local.word[2], flow->local.word[3]));
	return sip_both(s, flow, in, 32);
}

/* Hashes with the key in force in the step: see src/tcp/cookie/keys.rs. */
static __always_inline __u64 cookie_hash(const struct flood_state *state,
					 const struct flow *flow, struct cookie_input *in)
{
	__u32 newest = *(volatile const __u32 *)&state->newest_key;
	const struct cookie_key *key = &state->keys[newest % KEY_RING];

	for (int back = 1; back < KEY_LOOK_BACK && key->from_step > in->step; back++)
		key = &state->keys[(newest - back) % KEY_RING];
	in->key[0] = key->word[0];
	in->key[1] = key->word[1];
	return flow->is_v4 ? cookie_hash_v4(flow, in) : cookie_hash_v6(flow, in);
}

static __always_inline __u32 cookie_shape(__u32 options)
{
	__u32 scale = options >> OPTION_SCALE_SHIFT & 15;

	if (!(options & OPTION_SACK))
		return 0;
	return scale == 7 ? 2 : scale == 8 ? 3 : 1;
}

static __always_inline struct cookie cookie_encode(const struct flood_state *state,
						   const struct flow *flow, __u32 irs,
						   __u32 options, __u64 unix_ms)
{
	__u32 step = unix_ms >> STEP_SHIFT, head = step << 31 | (options & 7) << 28, clock;
	struct cookie_input in = { .irs = irs, .step = step, .options = options };
	__u64 hash = cookie_hash(state, flow, &in);
	struct cookie cookie = {};

	if (!(options & OPTION_TIMESTAMPS)) {
		cookie.isn = head | cookie_shape(options) << 26 | (hash & NO_TIMESTAMPS_MAC);
		return cookie;
	}
	cookie.isn = head | (hash & TIMESTAMPS_MAC);
	clock = (__u32)unix_ms + (__u32)(hash >> 32);
	cookie.timestamp = (clock & ~(TSVAL_BITS - 1)) |
			   (options >> OPTION_SCALE_SHIFT & (TSVAL_BITS - 1));
	/* Never ahead of the clock: what the connection says next must not be older. */
	if ((__s32)(cookie.timestamp - clock) > 0)
		cookie.timestamp -= TSVAL_BITS;
	return cookie;
}

/* What an ACK brings back. */
struct returned {
	__u32 irs;
	__u32 isn;
	__u32 has_echo;
	__u32 echo;
	__u64 unix_ms;
};

/* What the numbers that came back say; negative if no encoder writes that. */
static __always_inline __s32 cookie_options(const struct returned *in)
{
	__u32 mss = in->isn >> 28 & 7, shape = in->isn >> 26 & 3, scale;

	if (in->has_echo) {
		if ((in->echo & (TSVAL_BITS - 1)) >> 5 == 3)
			return -1;
		return mss | (in->echo & (TSVAL_BITS - 1)) << OPTION_SCALE_SHIFT |
		       OPTION_TIMESTAMPS;
	}
	scale = shape == 2 ? 7 : shape == 3 ? 8 : OPTION_NO_SCALE;
	return mss | scale << OPTION_SCALE_SHIFT | (shape ? OPTION_SACK : 0);
}

static __always_inline int cookie_is_made_in(const struct flood_state *state,
					     const struct flow *flow, const struct returned *in,
					     __u32 options, __u32 step)
{
	const __u32 oldest = (2u << STEP_SHIFT) + TSVAL_BITS + SKEW_MS;
	struct cookie_input input = { .irs = in->irs, .step = step, .options = options };
	__u64 hash = cookie_hash(state, flow, &input);
	__u32 wrong = (__u32)hash ^ in->isn, origin = hash >> 32;

	if (!(options & OPTION_TIMESTAMPS))
		return !(wrong & NO_TIMESTAMPS_MAC);
	if (wrong & TIMESTAMPS_MAC)
		return 0;
	return (__u32)in->unix_ms + SKEW_MS - (in->echo - origin) < oldest;
}

/* Whether the cookie is one of ours and not too old. */
__noinline int cookie_is_valid(const struct flow *flow, const struct returned *in)
{
	const struct flood_state *state;
	__u32 now, step, zero = 0;
	__s32 options;

	state = bpf_map_lookup_elem(&flood, &zero);
	if (!flow || !in || !state)
		return 0;
	options = cookie_options(in);
	now = in->unix_ms >> STEP_SHIFT;
	step = now;
	if (options < 0)
		return 0;
	if ((now & 1) != in->isn >> 31)
		step = now - 1;
	if (cookie_is_made_in(state, flow, in, options, step))
		return 1;
	/* A machine whose clock is ahead may have begun the next step. */
	if (step == now || (in->unix_ms + SKEW_MS) >> STEP_SHIFT == now)
		return 0;
	return cookie_is_made_in(state, flow, in, options, now + 1);
}

/* lwIP as a server of TCP over IPv4 and Ethernet that is to be fast, and nothing else. */
#ifndef BENCH_LWIP_LWIPOPTS_H
#define BENCH_LWIP_LWIPOPTS_H

/* The raw callback API in one thread, without assertions. */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_NOASSERT 1
#define LWIP_STATS 0

#define LWIP_SINGLE_NETIF 1
#define LWIP_UDP 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
/* All SYN-ACKs of a turn may wait for the router's hardware address. */
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 64
#define MEMP_NUM_ARP_QUEUE 64

/* As in all contenders. Of lwIP's three ways to sum, this was the fastest here. */
#define CHECKSUM_CHECK_IP 1
#define CHECKSUM_CHECK_TCP 1
#define CHECKSUM_GEN_IP 1
#define CHECKSUM_GEN_TCP 1
#define LWIP_CHKSUM_ALGORITHM 3

#define LWIP_TCP_TIMESTAMPS 1
/* For bench-bulk; where the link takes less, less is agreed on. */
#define TCP_MSS 8960
/* Both windows are no memory but promises: those of bench-bulk's clients. */
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 0
#define TCP_WND 65535
#define TCP_SND_BUF 131072
#define TCP_SND_QUEUELEN 512
#define TCP_SNDLOWAT 16384
#define TCP_SNDQUEUELOWAT 256
/* Nothing is appended to a segment later: room for that would be wasted. */
#define TCP_OVERSIZE 0
/* Received packets are lent, not given: lwIP must not keep any. Here none comes out of order. */
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define TCP_QUEUE_OOSEQ 0

/* Pools for 10,000 connections: a tenth less time for a request than with malloc. */
#define MEM_ALIGNMENT 8
#define MEM_USE_POOLS 1
#define MEMP_USE_CUSTOM_POOLS 1
#define MEMP_NUM_TCP_PCB 10240
#define MEMP_NUM_TCP_SEG 20480
#define MEMP_NUM_PBUF 20480

#endif

/* The smallest servers there are on lwIP's raw API, and what carries their packets. The build script
 * compiles it as one unit with lwIP. */

#include <stddef.h>
#include <string.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"

/* As in src/contender/lwip/ffi.rs, which reads packets that are transmitted. */
_Static_assert(offsetof(struct pbuf, next) == 0, "pbuf.next");
_Static_assert(offsetof(struct pbuf, payload) == sizeof(void *), "pbuf.payload");
_Static_assert(offsetof(struct pbuf, tot_len) == 2 * sizeof(void *), "pbuf.tot_len");
_Static_assert(offsetof(struct pbuf, len) == 2 * sizeof(void *) + 2, "pbuf.len");

enum work { RESPOND, SINK, SOURCE };

/* `Config` in ffi.rs. */
struct glue_config {
    /* An `enum work`. */
    uint8_t work;
    uint8_t mac[6];
    uint8_t ip[4];
    uint8_t router[4];
    uint16_t port;
    uint16_t mtu;
    /* Bytes of a request. */
    size_t request;
    /* The response, or what bulk transfers write at once. */
    const uint8_t *block;
    size_t block_len;
    /* Transmits a packet. */
    void (*transmit)(void *wire, const struct pbuf *packet);
};

static struct glue_config config;
static struct netif interface;
static struct tcp_pcb *listener;
/* The device, while Rust lends it, and the time. */
static void *wire;
static u32_t now_ms;

u32_t sys_now(void)
{
    return now_ms;
}

static err_t transmit(struct netif *netif, struct pbuf *packet)
{
    LWIP_UNUSED_ARG(netif);
    /* Connections that are dropped acknowledge and reset, to nobody. */
    if (wire != NULL) {
        config.transmit(wire, packet);
    }
    return ERR_OK;
}

static err_t up(struct netif *netif)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->mtu = config.mtu;
    netif->hwaddr_len = sizeof config.mac;
    memcpy(netif->hwaddr, config.mac, sizeof config.mac);
    /* Up at once: nobody is to be told about it. */
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
                   NETIF_FLAG_UP | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

/* The bytes of a request that has not arrived whole are counted in the connection's argument. */
static err_t respond(void *arg, struct tcp_pcb *pcb, struct pbuf *packet, err_t err)
{
    size_t have;
    LWIP_UNUSED_ARG(err);
    if (packet == NULL) {
        return tcp_close(pcb);
    }
    have = (size_t)arg + packet->tot_len;
    tcp_recved(pcb, packet->tot_len);
    pbuf_free(packet);
    for (; have >= config.request; have -= config.request) {
        if (tcp_write(pcb, config.block, (u16_t)config.block_len, TCP_WRITE_FLAG_COPY) != ERR_OK) {
            tcp_abort(pcb);
            return ERR_ABRT;
        }
    }
    tcp_arg(pcb, (void *)have);
    return ERR_OK;
}

static err_t sink(void *arg, struct tcp_pcb *pcb, struct pbuf *packet, err_t err)
{
    LWIP_UNUSED_ARG(arg);
    LWIP_UNUSED_ARG(err);
    if (packet == NULL) {
        return tcp_close(pcb);
    }
    tcp_recved(pcb, packet->tot_len);
    pbuf_free(packet);
    return ERR_OK;
}

static err_t source(void *arg, struct tcp_pcb *pcb, u16_t acknowledged)
{
    LWIP_UNUSED_ARG(arg);
    LWIP_UNUSED_ARG(acknowledged);
    while (tcp_sndbuf(pcb) >= config.block_len) {
        if (tcp_write(pcb, config.block, (u16_t)config.block_len, 0) != ERR_OK) {
            break;
        }
    }
    return ERR_OK;
}

static err_t opened(void *arg, struct tcp_pcb *pcb, err_t err)
{
    LWIP_UNUSED_ARG(arg);
    LWIP_UNUSED_ARG(err);
    tcp_arg(pcb, NULL);
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, config.work == RESPOND ? respond : sink);
    if (config.work == SOURCE) {
        tcp_sent(pcb, source);
        return source(NULL, pcb, 0);
    }
    return ERR_OK;
}

/* Listens as `with` says. False if lwIP refuses. At most one server at a time: lwIP's state is
 * global. */
int glue_start(const struct glue_config *with)
{
    static int initialised;
    ip4_addr_t ip, mask, router;
    struct tcp_pcb *pcb;
    config = *with;
    now_ms = 0;
    if (!initialised) {
        lwip_init();
        initialised = 1;
    }
    sys_restart_timeouts();
    IP4_ADDR(&ip, config.ip[0], config.ip[1], config.ip[2], config.ip[3]);
    IP4_ADDR(&router, config.router[0], config.router[1], config.router[2], config.router[3]);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    if (netif_add(&interface, &ip, &mask, &router, NULL, up, ethernet_input) == NULL) {
        return 0;
    }
    netif_set_default(&interface);
    pcb = tcp_new();
    if (pcb == NULL || tcp_bind(pcb, IP4_ADDR_ANY, config.port) != ERR_OK) {
        return 0;
    }
    listener = tcp_listen(pcb);
    if (listener == NULL) {
        return 0;
    }
    tcp_accept(listener, opened);
    return 1;
}

/* Ends the server without a word to anybody. An interface takes the connections of its address with
 * it. */
void glue_stop(void)
{
    tcp_close(listener);
    listener = NULL;
    netif_remove(&interface);
}

/* Tells the time and does what is due. */
void glue_turn(void *lent, uint32_t milliseconds)
{
    wire = lent;
    now_ms = milliseconds;
    sys_check_timeouts();
    wire = NULL;
}

static void released(struct pbuf *packet)
{
    LWIP_UNUSED_ARG(packet);
}

/* Hands lwIP a packet, in place: it writes to it too. It must not need it afterwards, and does not
 * as long as nothing is queued out of order and no callback refuses data. */
void glue_input(void *lent, uint8_t *bytes, uint16_t len)
{
    static struct pbuf_custom received;
    struct pbuf *packet;
    wire = lent;
    received.custom_free_function = released;
    packet = pbuf_alloced_custom(PBUF_RAW, len, PBUF_REF, &received, bytes, len);
    if (interface.input(packet, &interface) != ERR_OK) {
        pbuf_free(packet);
    }
    if (packet->ref != 0) {
        abort();
    }
    wire = NULL;
}

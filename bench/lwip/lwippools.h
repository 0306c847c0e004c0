/* What lwIP allocates of varying size: segments that carry a response or refer to it, and others.
 * Included more than once. */
LWIP_MALLOC_MEMPOOL_START
LWIP_MALLOC_MEMPOOL(20480, 256)
LWIP_MALLOC_MEMPOOL(64, 10240)
LWIP_MALLOC_MEMPOOL_END

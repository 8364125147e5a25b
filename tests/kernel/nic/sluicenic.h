/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sluicenic: a pair of Ethernet devices, connected to each other, that can do what the kernel
 * asks of a NIC before it lets io_uring receive straight into a program's memory: headers split
 * from payload, flows steered to queues, and queues that take their buffers from elsewhere.
 *
 * For tests only. The payload's "DMA" is a memcpy.
 *
 *	pair.c		the two devices, opening and closing, transmission
 *	steer.c		to which queue a frame goes: rules, else a hash
 *	queue.c		a receive queue: its NAPI, its page pool, its posted buffers
 *	split.c		a frame becomes an skb with its payload in those buffers
 *	ethtool.c	settings and counters
 */
#ifndef SLUICENIC_H
#define SLUICENIC_H

#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/netdev_queues.h>
#include <net/netmem.h>
#include <net/page_pool/types.h>

#define SLUICENIC_NAME		"sluicenic"
#define SLUICENIC_POSTED_MAX	4096	/* buffers posted to a queue, and so its ring's size */
#define SLUICENIC_WIRE_MAX	1024	/* frames on their way to a queue */
#define SLUICENIC_RULES_MAX	64
#define SLUICENIC_INDIR_SIZE	128
#define SLUICENIC_INLINE_MAX	1024

enum sluicenic_placement {
	SLUICENIC_PACKED,	/* at the next multiple of buffer_align */
	SLUICENIC_ODD,		/* at the next odd address */
	SLUICENIC_SCATTERED,	/* after a pseudo-random gap, of 63 bytes at most */
};

/* In debugfs; the queues read them as they are at that moment. */
struct sluicenic_knobs {
	u32	buffer_offset;		/* where the first fragment of a buffer begins */
	u32	buffer_placement;	/* where the others begin: enum sluicenic_placement */
	u32	buffer_align;
	u32	buffer_fragments;	/* at most so many to a buffer; 0: until it is full */
	u32	fragment_size;		/* bytes at most; 0: what the buffer has room for */
	u32	inline_size;		/* a payload of at most so many bytes stays inline */
	u32	drop_every;		/* every nth packet to be split is dropped; 0: none */
	u32	starve;			/* not 0: as if the queues had no buffers */
};

/* Written by one context each: NAPI, or under the lock of the list of arrived frames (full). */
struct sluicenic_queue_stats {
	u64	packets;
	u64	bytes;
	u64	split;		/* packets with their payload in buffers of the queue */
	u64	inlined;	/* packets with their payload behind their headers */
	u64	buffers;	/* buffers begun */
	u64	fragments;
	u64	shared;		/* fragments in a buffer that has others already */
	u64	odd;		/* fragments at odd offsets */
	u64	alloc_fail;	/* the pool had no buffer to post */
	u64	no_buffer;	/* packets dropped for want of a posted buffer */
	u64	forced;		/* packets dropped because of drop_every */
	u64	full;		/* frames dropped because too many wait */
};

/*
 * A receive queue. Everything below @arrived is touched by the queue's NAPI, or with that NAPI
 * disabled, by the control path.
 */
struct sluicenic_queue {
	struct napi_struct	napi;
	struct sluicenic	*nic;
	unsigned int		index;

	struct sk_buff_head	arrived;	/* as transmitted: data begins at the MAC header */
	bool			open;		/* under the lock of @arrived */

	struct page_pool	*pool;
	bool			split;		/* the pool's memory is not the kernel's to read */
	unsigned int		buffer_size;
	/* Buffers of the pool that wait for payload, as in a real ring: first in, first out. */
	netmem_ref		posted[SLUICENIC_POSTED_MAX];
	unsigned int		posted_first;
	unsigned int		posted_count;
	/*
	 * The buffer being filled, or 0. The queue has a reference to it, and each fragment has
	 * one of its own.
	 */
	netmem_ref		current_buffer;
	unsigned int		current_offset;		/* where the next fragment begins */
	unsigned int		current_fragments;

	u32			random;
	u32			to_drop;		/* counts up to drop_every */
	struct sluicenic_queue_stats stats;
};

/* What decides about a frame's queue. Never changed, only replaced. */
struct sluicenic_steering {
	struct rcu_head		rcu;
	u32			indir[SLUICENIC_INDIR_SIZE];
	bool			used[SLUICENIC_RULES_MAX];
	struct ethtool_rx_flow_spec rules[SLUICENIC_RULES_MAX];
};

/* One of the two devices: what netdev_priv() is. */
struct sluicenic {
	struct net_device	*dev;
	struct net_device	*peer;	/* there until both devices are unregistered */
	struct sluicenic_steering __rcu *steering;	/* replaced under the device's lock */
	struct sluicenic_knobs	knobs;
	u32			ring_size;
	struct sluicenic_queue	*queues;	/* as many as the device has at most */
};

static inline struct sluicenic *sluicenic_of(const struct net_device *dev)
{
	return netdev_priv(dev);
}

/* pair.c */
int sluicenic_open(struct net_device *dev);
int sluicenic_close(struct net_device *dev);

/* steer.c */
int sluicenic_steering_init(struct sluicenic *nic);
void sluicenic_steering_free(struct sluicenic *nic);
struct sluicenic_queue *sluicenic_steer(struct sluicenic *nic, struct sk_buff *skb);
int sluicenic_spread(struct sluicenic *nic, const u32 *indir);
int sluicenic_get_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locations);
int sluicenic_set_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info);

/* queue.c */
extern const struct netdev_queue_mgmt_ops sluicenic_queue_mgmt_ops;
void sluicenic_queue_init(struct sluicenic *nic, unsigned int index);
int sluicenic_queue_open(struct sluicenic_queue *queue);
void sluicenic_queue_close(struct sluicenic_queue *queue);
void sluicenic_queue_arrive(struct sluicenic_queue *queue, struct sk_buff *skb);
netmem_ref sluicenic_unpost(struct sluicenic_queue *queue);

/* split.c */
void sluicenic_receive(struct sluicenic_queue *queue, struct sk_buff *skb);

/* ethtool.c */
extern const struct ethtool_ops sluicenic_ethtool_ops;
extern const struct netdev_stat_ops sluicenic_stat_ops;

#endif

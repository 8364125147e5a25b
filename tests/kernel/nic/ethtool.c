// SPDX-License-Identifier: GPL-2.0
/* Settings and counters: what ethtool(8) and the kernel's netlink families show and change. */
#include <linux/ethtool_netlink.h>
#include <net/netdev_lock.h>

#include "sluicenic.h"

/* ---- Rings ---- */

static void get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			  struct kernel_ethtool_ringparam *kernel_ring,
			  struct netlink_ext_ack *extack)
{
	ring->rx_pending = sluicenic_of(dev)->ring_size;
	ring->rx_max_pending = SLUICENIC_POSTED_MAX;
	/* The split as such is the core's setting; left to us, we would not split. */
	kernel_ring->tcp_data_split =
		dev->cfg->hds_config == ETHTOOL_TCP_DATA_SPLIT_ENABLED ?
			ETHTOOL_TCP_DATA_SPLIT_ENABLED : ETHTOOL_TCP_DATA_SPLIT_DISABLED;
	kernel_ring->hds_thresh_max = PAGE_SIZE;
}

/*
 * There is nothing to do for the split: it is seen only by a memory provider, and the core binds
 * one only while the split is on, for payload of any length.
 */
static int set_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			 struct kernel_ethtool_ringparam *kernel_ring,
			 struct netlink_ext_ack *extack)
{
	if (!ring->rx_pending)
		return -EINVAL;
	WRITE_ONCE(sluicenic_of(dev)->ring_size, ring->rx_pending);
	return 0;
}

/* ---- Queues ---- */

static void get_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	channels->max_combined = dev->num_rx_queues;
	channels->combined_count = dev->real_num_rx_queues;
}

static int spread_evenly(struct net_device *dev, unsigned int queues)
{
	u32 indir[SLUICENIC_INDIR_SIZE];
	unsigned int i;

	for (i = 0; i < SLUICENIC_INDIR_SIZE; i++)
		indir[i] = ethtool_rxfh_indir_default(i, queues);
	return sluicenic_spread(sluicenic_of(dev), indir);
}

/* The core has seen to it that no rule, table or provider needs a queue that goes away. */
static int set_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	bool running = netif_running(dev);
	int error, opened;

	if (running)
		sluicenic_close(dev);
	error = netif_set_real_num_queues(dev, channels->combined_count,
					  channels->combined_count);
	if (!error && !netif_is_rxfh_configured(dev))
		error = spread_evenly(dev, channels->combined_count);
	opened = running ? sluicenic_open(dev) : 0;
	return error ?: opened;
}

static u32 get_rx_ring_count(struct net_device *dev)
{
	return dev->real_num_rx_queues;
}

static u32 get_rxfh_indir_size(struct net_device *dev)
{
	return SLUICENIC_INDIR_SIZE;
}

static int get_rxfh(struct net_device *dev, struct ethtool_rxfh_param *rxfh)
{
	const struct sluicenic_steering *steering;

	rxfh->hfunc = ETH_RSS_HASH_UNKNOWN;
	if (!rxfh->indir)
		return 0;
	rcu_read_lock();
	steering = rcu_dereference(sluicenic_of(dev)->steering);
	memcpy(rxfh->indir, steering->indir, sizeof(steering->indir));
	rcu_read_unlock();
	return 0;
}

static int set_rxfh(struct net_device *dev, struct ethtool_rxfh_param *rxfh,
		    struct netlink_ext_ack *extack)
{
	if (rxfh->key || rxfh->hfunc != ETH_RSS_HASH_NO_CHANGE)
		return -EOPNOTSUPP;
	return rxfh->indir ? sluicenic_spread(sluicenic_of(dev), rxfh->indir) : 0;
}

/* ---- Counters ---- */

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(field)	{ #field, offsetof(struct sluicenic_queue_stats, field) }
	COUNTER(packets),
	COUNTER(bytes),
	COUNTER(split),
	COUNTER(inlined),
	COUNTER(buffers),
	COUNTER(fragments),
	COUNTER(shared),
	COUNTER(odd),
	COUNTER(alloc_fail),
	COUNTER(no_buffer),
	COUNTER(forced),
	COUNTER(full),
#undef COUNTER
};

static int get_sset_count(struct net_device *dev, int set)
{
	return set == ETH_SS_STATS ? ARRAY_SIZE(counters) * dev->num_rx_queues : -EOPNOTSUPP;
}

static void get_strings(struct net_device *dev, u32 set, u8 *data)
{
	unsigned int i, j;

	if (set != ETH_SS_STATS)
		return;
	for (i = 0; i < dev->num_rx_queues; i++)
		for (j = 0; j < ARRAY_SIZE(counters); j++)
			ethtool_sprintf(&data, "rx%u_%s", i, counters[j].name);
}

static void get_ethtool_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	unsigned int i, j;

	for (i = 0; i < dev->num_rx_queues; i++) {
		const void *of_queue = &sluicenic_of(dev)->queues[i].stats;

		for (j = 0; j < ARRAY_SIZE(counters); j++)
			*data++ = READ_ONCE(*(const u64 *)(of_queue + counters[j].offset));
	}
}

static void get_queue_stats_rx(struct net_device *dev, int index,
			       struct netdev_queue_stats_rx *rx)
{
	const struct sluicenic_queue_stats *stats = &sluicenic_of(dev)->queues[index].stats;

	rx->packets = stats->packets;
	rx->bytes = stats->bytes;
	rx->alloc_fail = stats->alloc_fail;
	rx->hw_drops = stats->no_buffer + stats->forced + stats->full;
	rx->hw_drop_overruns = stats->no_buffer + stats->full;
}

/* All is counted by queue; zeros say that the queues' sums are the device's. */
static void get_base_stats(struct net_device *dev, struct netdev_queue_stats_rx *rx,
			   struct netdev_queue_stats_tx *tx)
{
	rx->packets = 0;
	rx->bytes = 0;
	rx->alloc_fail = 0;
	rx->hw_drops = 0;
	rx->hw_drop_overruns = 0;
}

const struct netdev_stat_ops sluicenic_stat_ops = {
	.get_queue_stats_rx	= get_queue_stats_rx,
	.get_base_stats		= get_base_stats,
};

static void get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, SLUICENIC_NAME, sizeof(info->driver));
}

const struct ethtool_ops sluicenic_ethtool_ops = {
	.supported_ring_params	= ETHTOOL_RING_USE_TCP_DATA_SPLIT | ETHTOOL_RING_USE_HDS_THRS,
	.op_needs_rtnl		= ETHTOOL_OP_NEEDS_RTNL_SCHANNELS,
	.get_drvinfo		= get_drvinfo,
	.get_link		= ethtool_op_get_link,
	.get_ringparam		= get_ringparam,
	.set_ringparam		= set_ringparam,
	.get_channels		= get_channels,
	.set_channels		= set_channels,
	.get_rx_ring_count	= get_rx_ring_count,
	.get_rxnfc		= sluicenic_get_rxnfc,
	.set_rxnfc		= sluicenic_set_rxnfc,
	.get_rxfh_indir_size	= get_rxfh_indir_size,
	.get_rxfh		= get_rxfh,
	.set_rxfh		= set_rxfh,
	.get_sset_count		= get_sset_count,
	.get_strings		= get_strings,
	.get_ethtool_stats	= get_ethtool_stats,
};

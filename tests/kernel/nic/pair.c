// SPDX-License-Identifier: GPL-2.0
/* The two devices: what one transmits the other receives. */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/rtnetlink.h>
#include <net/netdev_lock.h>

#include "sluicenic.h"

static unsigned int queues = 4;
module_param(queues, uint, 0444);
MODULE_PARM_DESC(queues, "queues of each device");

/*
 * The devices' parent. The kernel maps a program's memory for DMA on behalf of it, and does not
 * let a device without such a parent near that memory.
 */
static struct platform_device *board;
static struct net_device *devices[2];
static struct dentry *debugfs;

/* ---- Opening and closing ---- */

static void close_queues(struct sluicenic *nic, unsigned int count)
{
	while (count--)
		sluicenic_queue_close(&nic->queues[count]);
}

int sluicenic_open(struct net_device *dev)
{
	struct sluicenic *nic = sluicenic_of(dev);
	unsigned int i;

	for (i = 0; i < dev->real_num_rx_queues; i++) {
		int error = sluicenic_queue_open(&nic->queues[i]);

		if (error) {
			close_queues(nic, i);
			return error;
		}
	}
	netif_tx_start_all_queues(dev);
	if (netif_running(nic->peer)) {
		netif_carrier_on(dev);
		netif_carrier_on(nic->peer);
	}
	return 0;
}

int sluicenic_close(struct net_device *dev)
{
	struct sluicenic *nic = sluicenic_of(dev);

	netif_carrier_off(dev);
	netif_carrier_off(nic->peer);
	netif_tx_disable(dev);
	close_queues(nic, dev->real_num_rx_queues);
	return 0;
}

/* ---- Transmission ---- */

/* No back-pressure, as there is none on a wire: what finds the peer's queue full is lost. */
static netdev_tx_t sluicenic_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct sluicenic *peer = sluicenic_of(sluicenic_of(dev)->peer);

	skb_tx_timestamp(skb);
	dev_dstats_tx_add(dev, skb->len);
	sluicenic_queue_arrive(sluicenic_steer(peer, skb), skb);
	return NETDEV_TX_OK;
}

static int sluicenic_get_iflink(const struct net_device *dev)
{
	return READ_ONCE(sluicenic_of(dev)->peer->ifindex);
}

static const struct net_device_ops sluicenic_netdev_ops = {
	.ndo_open		= sluicenic_open,
	.ndo_stop		= sluicenic_close,
	.ndo_start_xmit		= sluicenic_start_xmit,
	.ndo_get_iflink		= sluicenic_get_iflink,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_validate_addr	= eth_validate_addr,
};

/* ---- The pair comes and goes ---- */

static void create_knobs(struct sluicenic *nic, unsigned int number)
{
	struct sluicenic_knobs *knobs = &nic->knobs;
	struct dentry *directory;
	char name[] = "0";

	name[0] += number;
	directory = debugfs_create_dir(name, debugfs);
	debugfs_create_u32("buffer_offset", 0644, directory, &knobs->buffer_offset);
	debugfs_create_u32("buffer_placement", 0644, directory, &knobs->buffer_placement);
	debugfs_create_u32("buffer_align", 0644, directory, &knobs->buffer_align);
	debugfs_create_u32("buffer_fragments", 0644, directory, &knobs->buffer_fragments);
	debugfs_create_u32("fragment_size", 0644, directory, &knobs->fragment_size);
	debugfs_create_u32("inline_size", 0644, directory, &knobs->inline_size);
	debugfs_create_u32("drop_every", 0644, directory, &knobs->drop_every);
	debugfs_create_u32("starve", 0644, directory, &knobs->starve);
}

static void free_device(struct net_device *dev)
{
	if (!dev)
		return;
	sluicenic_steering_free(sluicenic_of(dev));
	kvfree(sluicenic_of(dev)->queues);
	free_netdev(dev);
}

static void set_up(struct net_device *dev)
{
	SET_NETDEV_DEV(dev, &board->dev);
	strscpy(dev->name, SLUICENIC_NAME "%d");
	eth_hw_addr_random(dev);
	dev->netdev_ops = &sluicenic_netdev_ops;
	dev->ethtool_ops = &sluicenic_ethtool_ops;
	dev->stat_ops = &sluicenic_stat_ops;
	dev->queue_mgmt_ops = &sluicenic_queue_mgmt_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_DSTATS;
	dev->max_mtu = ETH_MAX_MTU;
	dev->hw_features = NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA |
			   NETIF_F_TSO | NETIF_F_TSO_ECN | NETIF_F_TSO6 | NETIF_F_NTUPLE;
	dev->features = dev->hw_features & ~NETIF_F_NTUPLE;	/* that is switched on as needed */
	netdev_lockdep_set_classes(dev);
}

static struct net_device *create_device(void)
{
	struct net_device *dev = alloc_etherdev_mq(sizeof(struct sluicenic), queues);
	struct sluicenic *nic;
	unsigned int i;

	if (!dev)
		return NULL;
	nic = sluicenic_of(dev);
	nic->dev = dev;
	nic->ring_size = 64;
	nic->knobs.buffer_align = 1;
	nic->queues = kvcalloc(queues, sizeof(*nic->queues), GFP_KERNEL);
	if (!nic->queues || sluicenic_steering_init(nic)) {
		free_device(dev);
		return NULL;
	}
	for (i = 0; i < queues; i++)
		sluicenic_queue_init(nic, i);
	set_up(dev);
	return dev;
}

/* Both at once: from the first moment each has its peer. */
static int register_devices(void)
{
	int error;

	sluicenic_of(devices[0])->peer = devices[1];
	sluicenic_of(devices[1])->peer = devices[0];
	rtnl_lock();
	netif_carrier_off(devices[0]);
	netif_carrier_off(devices[1]);
	error = register_netdevice(devices[0]);
	if (error)
		goto out;
	error = register_netdevice(devices[1]);
	if (error)
		unregister_netdevice(devices[0]);
out:
	rtnl_unlock();
	return error;
}

static void unregister_devices(void)
{
	LIST_HEAD(both);

	rtnl_lock();
	unregister_netdevice_queue(devices[0], &both);
	unregister_netdevice_queue(devices[1], &both);
	/* Closes both before it goes on with either: nothing is on its way any more. */
	unregister_netdevice_many(&both);
	rtnl_unlock();
}

static int __init sluicenic_init(void)
{
	const struct platform_device_info info = {
		.name = SLUICENIC_NAME,
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	int error = -ENOMEM;

	if (queues < 1 || queues > SLUICENIC_INDIR_SIZE)
		return -EINVAL;
	board = platform_device_register_full(&info);
	if (IS_ERR(board))
		return PTR_ERR(board);
	devices[0] = create_device();
	devices[1] = create_device();
	if (devices[0] && devices[1])
		error = register_devices();
	if (error) {
		free_device(devices[0]);
		free_device(devices[1]);
		platform_device_unregister(board);
		return error;
	}
	debugfs = debugfs_create_dir(SLUICENIC_NAME, NULL);
	create_knobs(sluicenic_of(devices[0]), 0);
	create_knobs(sluicenic_of(devices[1]), 1);
	return 0;
}

static void __exit sluicenic_exit(void)
{
	debugfs_remove(debugfs);
	unregister_devices();
	free_device(devices[0]);
	free_device(devices[1]);
	platform_device_unregister(board);
}

module_init(sluicenic_init);
module_exit(sluicenic_exit);
MODULE_DESCRIPTION("A pair of test NICs whose queues can receive into a program's memory");
MODULE_LICENSE("GPL");

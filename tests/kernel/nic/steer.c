// SPDX-License-Identifier: GPL-2.0
/*
 * To which queue a frame goes: to that of the first rule that fits it (ethtool -N), else to the
 * one at its hash in the indirection table (ethtool -X).
 */
#include <linux/slab.h>
#include <net/flow_dissector.h>
#include <net/netdev_lock.h>

#include "sluicenic.h"

static struct sluicenic_steering *locked_steering(const struct sluicenic *nic)
{
	return rcu_dereference_protected(nic->steering, lockdep_is_held(&nic->dev->lock));
}

int sluicenic_steering_init(struct sluicenic *nic)
{
	struct sluicenic_steering *steering = kzalloc(sizeof(*steering), GFP_KERNEL);
	unsigned int i;

	if (!steering)
		return -ENOMEM;
	for (i = 0; i < SLUICENIC_INDIR_SIZE; i++)
		steering->indir[i] = ethtool_rxfh_indir_default(i, nic->dev->real_num_rx_queues);
	RCU_INIT_POINTER(nic->steering, steering);
	return 0;
}

/* After the device is unregistered. */
void sluicenic_steering_free(struct sluicenic *nic)
{
	kfree(rcu_dereference_protected(nic->steering, true));
}

/* To be changed and then given to replace(). */
static struct sluicenic_steering *copy(const struct sluicenic *nic)
{
	return kmemdup(locked_steering(nic), sizeof(struct sluicenic_steering), GFP_KERNEL);
}

static void replace(struct sluicenic *nic, struct sluicenic_steering *steering)
{
	struct sluicenic_steering *old = locked_steering(nic);

	rcu_assign_pointer(nic->steering, steering);
	kfree_rcu(old, rcu);
}

/* ---- For each frame ---- */

static bool fits_tcp4(const struct ethtool_tcpip4_spec *want,
		      const struct ethtool_tcpip4_spec *mask, const struct flow_keys *keys)
{
	return keys->control.addr_type == FLOW_DISSECTOR_KEY_IPV4_ADDRS &&
	       !((keys->addrs.v4addrs.src ^ want->ip4src) & mask->ip4src) &&
	       !((keys->addrs.v4addrs.dst ^ want->ip4dst) & mask->ip4dst) &&
	       !((keys->ports.src ^ want->psrc) & mask->psrc) &&
	       !((keys->ports.dst ^ want->pdst) & mask->pdst);
}

static bool fits_tcp6(const struct ethtool_tcpip6_spec *want,
		      const struct ethtool_tcpip6_spec *mask, const struct flow_keys *keys)
{
	const __be32 *src = keys->addrs.v6addrs.src.s6_addr32;
	const __be32 *dst = keys->addrs.v6addrs.dst.s6_addr32;
	unsigned int i;

	if (keys->control.addr_type != FLOW_DISSECTOR_KEY_IPV6_ADDRS)
		return false;
	for (i = 0; i < 4; i++)
		if (((src[i] ^ want->ip6src[i]) & mask->ip6src[i]) ||
		    ((dst[i] ^ want->ip6dst[i]) & mask->ip6dst[i]))
			return false;
	return !((keys->ports.src ^ want->psrc) & mask->psrc) &&
	       !((keys->ports.dst ^ want->pdst) & mask->pdst);
}

static bool fits(const struct ethtool_rx_flow_spec *rule, const struct flow_keys *keys)
{
	if (keys->basic.ip_proto != IPPROTO_TCP)
		return false;
	if (rule->flow_type == TCP_V4_FLOW)
		return fits_tcp4(&rule->h_u.tcp_ip4_spec, &rule->m_u.tcp_ip4_spec, keys);
	return fits_tcp6(&rule->h_u.tcp_ip6_spec, &rule->m_u.tcp_ip6_spec, keys);
}

static u32 queue_index(const struct sluicenic *nic, const struct sluicenic_steering *steering,
		       struct sk_buff *skb)
{
	struct flow_keys keys;
	unsigned int i;
	u32 hash = 0;

	if (!skb_flow_dissect_flow_keys(skb, &keys, 0))
		return steering->indir[0];
	if (nic->dev->features & NETIF_F_NTUPLE)
		for (i = 0; i < SLUICENIC_RULES_MAX; i++)
			if (steering->used[i] && fits(&steering->rules[i], &keys))
				return steering->rules[i].ring_cookie;
	if (keys.control.addr_type)
		hash = flow_hash_from_keys(&keys);	/* which changes the keys */
	skb_set_hash(skb, hash, PKT_HASH_TYPE_L4);
	return steering->indir[hash % SLUICENIC_INDIR_SIZE];
}

struct sluicenic_queue *sluicenic_steer(struct sluicenic *nic, struct sk_buff *skb)
{
	u32 index;

	rcu_read_lock();
	index = queue_index(nic, rcu_dereference(nic->steering), skb);
	rcu_read_unlock();
	return &nic->queues[index];
}

/* ---- The indirection table ---- */

int sluicenic_spread(struct sluicenic *nic, const u32 *indir)
{
	struct sluicenic_steering *steering = copy(nic);

	if (!steering)
		return -ENOMEM;
	memcpy(steering->indir, indir, sizeof(steering->indir));
	replace(nic, steering);
	return 0;
}

/* ---- Rules ---- */

static bool is_supported(const struct ethtool_rx_flow_spec *rule)
{
	if (rule->flow_type == TCP_V4_FLOW)
		return !rule->m_u.tcp_ip4_spec.tos;
	if (rule->flow_type == TCP_V6_FLOW)
		return !rule->m_u.tcp_ip6_spec.tclass;
	return false;	/* also with FLOW_EXT, FLOW_MAC_EXT or FLOW_RSS */
}

static int free_location(const struct sluicenic_steering *steering)
{
	unsigned int i;

	for (i = 0; i < SLUICENIC_RULES_MAX; i++)
		if (!steering->used[i])
			return i;
	return -ENOSPC;
}

static int insert_rule(struct sluicenic *nic, struct ethtool_rx_flow_spec *rule)
{
	struct sluicenic_steering *steering;
	int location = rule->location;

	if (!(nic->dev->features & NETIF_F_NTUPLE) || !is_supported(rule))
		return -EOPNOTSUPP;
	if (rule->ring_cookie >= nic->dev->real_num_rx_queues)
		return -EINVAL;
	if (rule->location == RX_CLS_LOC_ANY)
		location = free_location(locked_steering(nic));
	else if (rule->location >= SLUICENIC_RULES_MAX)
		return -EINVAL;
	if (location < 0)
		return location;

	steering = copy(nic);
	if (!steering)
		return -ENOMEM;
	rule->location = location;
	steering->rules[location] = *rule;
	steering->used[location] = true;
	replace(nic, steering);
	return 0;
}

static int delete_rule(struct sluicenic *nic, u32 location)
{
	struct sluicenic_steering *steering;

	if (location >= SLUICENIC_RULES_MAX || !locked_steering(nic)->used[location])
		return -ENOENT;
	steering = copy(nic);
	if (!steering)
		return -ENOMEM;
	steering->used[location] = false;
	replace(nic, steering);
	return 0;
}

int sluicenic_set_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info)
{
	switch (info->cmd) {
	case ETHTOOL_SRXCLSRLINS:
		return insert_rule(sluicenic_of(dev), &info->fs);
	case ETHTOOL_SRXCLSRLDEL:
		return delete_rule(sluicenic_of(dev), info->fs.location);
	}
	return -EOPNOTSUPP;
}

static int list_rules(const struct sluicenic_steering *steering, struct ethtool_rxnfc *info,
		      u32 *locations)
{
	u32 count = 0;
	unsigned int i;

	for (i = 0; i < SLUICENIC_RULES_MAX; i++) {
		if (!steering->used[i])
			continue;
		if (locations && count == info->rule_cnt)
			return -EMSGSIZE;
		if (locations)
			locations[count] = i;
		count++;
	}
	info->rule_cnt = count;
	info->data = SLUICENIC_RULES_MAX | (locations ? 0 : RX_CLS_LOC_SPECIAL);
	return 0;
}

int sluicenic_get_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locations)
{
	const struct sluicenic_steering *steering = locked_steering(sluicenic_of(dev));
	u32 location = info->fs.location;

	switch (info->cmd) {
	case ETHTOOL_GRXCLSRLCNT:
		return list_rules(steering, info, NULL);
	case ETHTOOL_GRXCLSRLALL:
		return list_rules(steering, info, locations);
	case ETHTOOL_GRXCLSRULE:
		if (location >= SLUICENIC_RULES_MAX || !steering->used[location])
			return -ENOENT;
		info->fs = steering->rules[location];
		return 0;
	}
	return -EOPNOTSUPP;
}

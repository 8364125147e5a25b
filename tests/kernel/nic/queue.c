// SPDX-License-Identifier: GPL-2.0
/*
 * A receive queue: frames wait in it for its NAPI, which hands them up, and buffers wait in it
 * for payload.
 *
 * While a memory provider (io_uring, here) is bound to the queue, its page pool gives out the
 * provider's memory. Binding replaces the pool only, as sluicenic_queue_mgmt_ops below say;
 * NAPI and the frames that wait stay.
 */
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <net/netdev_lock.h>
#include <net/page_pool/helpers.h>

#include "sluicenic.h"

static unsigned int ring_size(const struct sluicenic_queue *queue)
{
	return READ_ONCE(queue->nic->ring_size);
}

static void return_buffer(struct sluicenic_queue *queue, netmem_ref buffer, bool in_napi)
{
	page_pool_put_full_netmem(queue->pool, buffer, in_napi);
}

/* The one that was posted first. There is one. */
netmem_ref sluicenic_unpost(struct sluicenic_queue *queue)
{
	netmem_ref buffer = queue->posted[queue->posted_first];

	queue->posted_first = (queue->posted_first + 1) % SLUICENIC_POSTED_MAX;
	queue->posted_count--;
	return buffer;
}

/* As many as the ring's size says, or as the pool has. */
static void post_buffers(struct sluicenic_queue *queue)
{
	/* Without a provider the payload stays where the sender has it. */
	unsigned int wanted = queue->split ? ring_size(queue) : 0;

	while (queue->posted_count > wanted)
		return_buffer(queue, sluicenic_unpost(queue), true);
	while (queue->posted_count < wanted) {
		netmem_ref buffer = page_pool_dev_alloc_netmems(queue->pool);
		unsigned int last;

		if (!buffer) {
			queue->stats.alloc_fail++;
			return;
		}
		last = (queue->posted_first + queue->posted_count++) % SLUICENIC_POSTED_MAX;
		queue->posted[last] = buffer;
	}
}

static int poll(struct napi_struct *napi, int budget)
{
	struct sluicenic_queue *queue = container_of(napi, struct sluicenic_queue, napi);
	struct sk_buff *skb;
	int done = 0;

	/* Before each frame: the frames that wait came all at once, as they never do on a wire. */
	for (post_buffers(queue); done < budget; post_buffers(queue)) {
		skb = skb_dequeue(&queue->arrived);
		if (!skb)
			break;
		sluicenic_receive(queue, skb);
		done++;
	}

	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

static void wake(struct sluicenic_queue *queue)
{
	local_bh_disable();
	napi_schedule(&queue->napi);
	local_bh_enable();	/* runs it */
}

/* From the peer's transmission, with the bottom halves disabled. */
void sluicenic_queue_arrive(struct sluicenic_queue *queue, struct sk_buff *skb)
{
	struct sk_buff_head *arrived = &queue->arrived;
	bool fits;

	spin_lock(&arrived->lock);
	fits = queue->open && skb_queue_len(arrived) < SLUICENIC_WIRE_MAX;
	if (fits)
		__skb_queue_tail(arrived, skb);
	else
		queue->stats.full++;
	spin_unlock(&arrived->lock);

	if (fits) {
		napi_schedule(&queue->napi);
	} else {
		dev_dstats_rx_dropped(queue->nic->dev);
		kfree_skb(skb);
	}
}

/* ---- The pool comes and goes ---- */

static struct page_pool *create_pool(struct sluicenic_queue *queue,
				     const struct netdev_queue_config *qcfg)
{
	struct net_device *dev = queue->nic->dev;
	struct page_pool_params params = {
		.flags = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV |
			 PP_FLAG_ALLOW_UNREADABLE_NETMEM,
		.order = ilog2(qcfg->rx_page_size) - PAGE_SHIFT,
		.pool_size = 1024,
		.nid = NUMA_NO_NODE,
		.dev = dev->dev.parent,
		.netdev = dev,
		.queue_idx = queue->index,
		.dma_dir = DMA_FROM_DEVICE,
		.max_len = qcfg->rx_page_size,
	};

	return page_pool_create(&params);
}

static void start(struct sluicenic_queue *queue, struct page_pool *pool)
{
	queue->pool = pool;
	queue->split = page_pool_is_unreadable(pool);
	queue->buffer_size = PAGE_SIZE << pool->p.order;
	/*
	 * Only now, not when the pool is made: a pool that is destroyed before it was in use
	 * must not belong to a NAPI that is running.
	 */
	page_pool_enable_direct_recycling(pool, &queue->napi);
	napi_enable_locked(&queue->napi);
	/* Posts the buffers, and takes in what came in the meantime. */
	wake(queue);
}

static struct page_pool *stop(struct sluicenic_queue *queue)
{
	struct page_pool *pool = queue->pool;

	napi_disable_locked(&queue->napi);
	/* From here on nobody else touches the queue's buffers. */
	if (queue->current_buffer)
		return_buffer(queue, queue->current_buffer, false);
	queue->current_buffer = 0;
	while (queue->posted_count)
		return_buffer(queue, sluicenic_unpost(queue), false);
	page_pool_disable_direct_recycling(pool);
	queue->pool = NULL;
	return pool;
}

/* ---- Opening and closing ---- */

void sluicenic_queue_init(struct sluicenic *nic, unsigned int index)
{
	struct sluicenic_queue *queue = &nic->queues[index];

	queue->nic = nic;
	queue->index = index;
	queue->random = index + 1;
	skb_queue_head_init(&queue->arrived);
}

static void set_open(struct sluicenic_queue *queue, bool open)
{
	spin_lock_bh(&queue->arrived.lock);
	queue->open = open;
	spin_unlock_bh(&queue->arrived.lock);
}

int sluicenic_queue_open(struct sluicenic_queue *queue)
{
	struct net_device *dev = queue->nic->dev;
	struct netdev_queue_config qcfg;
	struct page_pool *pool;

	netdev_queue_config(dev, queue->index, &qcfg);
	pool = create_pool(queue, &qcfg);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	netif_napi_add_config_locked(dev, &queue->napi, poll, queue->index);
	netif_queue_set_napi(dev, queue->index, NETDEV_QUEUE_TYPE_RX, &queue->napi);
	start(queue, pool);
	set_open(queue, true);
	return 0;
}

void sluicenic_queue_close(struct sluicenic_queue *queue)
{
	struct page_pool *pool;

	set_open(queue, false);
	pool = stop(queue);
	netif_queue_set_napi(queue->nic->dev, queue->index, NETDEV_QUEUE_TYPE_RX, NULL);
	netif_napi_del_locked(&queue->napi);	/* and waits for those who schedule it */
	skb_queue_purge(&queue->arrived);
	page_pool_destroy(pool);
}

/* ---- What binds and unbinds a memory provider ---- */

/* What the core keeps for us: of a queue that runs, or is to run. */
struct queue_memory {
	struct page_pool *pool;
};

static int queue_mem_alloc(struct net_device *dev, struct netdev_queue_config *qcfg,
			   void *per_queue_mem, int index)
{
	struct queue_memory *memory = per_queue_mem;
	struct page_pool *pool = create_pool(&sluicenic_of(dev)->queues[index], qcfg);

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	memory->pool = pool;
	return 0;
}

static void queue_mem_free(struct net_device *dev, void *per_queue_mem)
{
	struct queue_memory *memory = per_queue_mem;

	page_pool_destroy(memory->pool);
}

static int queue_start(struct net_device *dev, struct netdev_queue_config *qcfg,
		       void *per_queue_mem, int index)
{
	struct queue_memory *memory = per_queue_mem;

	start(&sluicenic_of(dev)->queues[index], memory->pool);
	return 0;
}

static int queue_stop(struct net_device *dev, void *per_queue_mem, int index)
{
	struct queue_memory *memory = per_queue_mem;

	memory->pool = stop(&sluicenic_of(dev)->queues[index]);
	return 0;
}

static void default_qcfg(struct net_device *dev, struct netdev_queue_config *qcfg)
{
	qcfg->rx_page_size = PAGE_SIZE;
}

static int validate_qcfg(struct net_device *dev, struct netdev_queue_config *qcfg,
			 struct netlink_ext_ack *extack)
{
	if (!is_power_of_2(qcfg->rx_page_size) || qcfg->rx_page_size < PAGE_SIZE)
		return -EINVAL;
	return qcfg->rx_page_size > SZ_2M ? -ERANGE : 0;
}

const struct netdev_queue_mgmt_ops sluicenic_queue_mgmt_ops = {
	.ndo_queue_mem_size	= sizeof(struct queue_memory),
	.ndo_queue_mem_alloc	= queue_mem_alloc,
	.ndo_queue_mem_free	= queue_mem_free,
	.ndo_queue_start	= queue_start,
	.ndo_queue_stop		= queue_stop,
	.ndo_default_qcfg	= default_qcfg,
	.ndo_validate_qcfg	= validate_qcfg,
	.supported_params	= QCFG_RX_PAGE_SIZE,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * Reception. A TCP segment that comes to a queue with a memory provider is split: its headers go
 * into a new skb's linear part, its payload into buffers of the queue's pool, at offsets that the
 * knobs decide about. Everything else goes up as the peer sent it.
 */
#include <linux/dma-direct.h>
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/ip.h>
#include <net/page_pool/helpers.h>

#include "sluicenic.h"

#define KNOB(queue, name)	READ_ONCE((queue)->nic->knobs.name)

/* ---- Parsing ---- */

/* Where the TCP header begins, or 0: not TCP, or a part of it only. */
static unsigned int tcp_offset(const struct sk_buff *skb)
{
	const struct ipv6hdr *v6;
	const struct iphdr *v4;
	struct ipv6hdr v6_copy;
	struct iphdr v4_copy;

	switch (skb->protocol) {
	case htons(ETH_P_IP):
		v4 = skb_header_pointer(skb, ETH_HLEN, sizeof(v4_copy), &v4_copy);
		if (!v4 || v4->protocol != IPPROTO_TCP || ip_is_fragment(v4))
			return 0;
		return ETH_HLEN + v4->ihl * 4;
	case htons(ETH_P_IPV6):
		v6 = skb_header_pointer(skb, ETH_HLEN, sizeof(v6_copy), &v6_copy);
		if (!v6 || v6->nexthdr != IPPROTO_TCP)
			return 0;
		return ETH_HLEN + sizeof(*v6);
	}
	return 0;
}

/* The length of all headers of a TCP segment that has a payload, or 0. */
static unsigned int headers_length(const struct sk_buff *skb)
{
	unsigned int offset = tcp_offset(skb);
	const struct tcphdr *tcp;
	struct tcphdr tcp_copy;
	unsigned int length;

	if (!offset)
		return 0;
	tcp = skb_header_pointer(skb, offset, sizeof(tcp_copy), &tcp_copy);
	if (!tcp)
		return 0;
	length = offset + tcp->doff * 4;
	return length < skb->len ? length : 0;
}

/* ---- Buffers ---- */

/* The offset from @least on at which the next fragment is to begin. */
static unsigned int place(struct sluicenic_queue *queue, unsigned int least)
{
	switch (KNOB(queue, buffer_placement)) {
	case SLUICENIC_ODD:
		return least | 1;
	case SLUICENIC_SCATTERED:
		queue->random = queue->random * 1664525 + 1013904223;
		return least + (queue->random >> 26);
	default:
		return roundup(least, clamp(KNOB(queue, buffer_align), 1, PAGE_SIZE));
	}
}

/* Sees to a current buffer with room in it. False if there is none. */
static bool take_buffer(struct sluicenic_queue *queue)
{
	unsigned int offset;

	if (queue->current_buffer)
		return true;
	if (!queue->posted_count || KNOB(queue, starve))
		return false;
	queue->current_buffer = sluicenic_unpost(queue);
	offset = min(KNOB(queue, buffer_offset), queue->buffer_size - 1);
	queue->current_offset = min(place(queue, offset), queue->buffer_size - 1);
	queue->current_fragments = 0;
	queue->stats.buffers++;
	return true;
}

/* Lets go of the current buffer, if it has no room for another fragment. */
static void finish_buffer(struct sluicenic_queue *queue)
{
	u32 fragments_max = KNOB(queue, buffer_fragments);

	if (queue->current_offset < queue->buffer_size &&
	    (!fragments_max || queue->current_fragments < fragments_max))
		return;
	page_pool_put_full_netmem(queue->pool, queue->current_buffer, true);
	queue->current_buffer = 0;
}

/* A real NIC would do this by itself: @length bytes of the frame to an address on the bus. */
static void dma(struct sluicenic_queue *queue, const struct sk_buff *frame, unsigned int from,
		unsigned int length)
{
	dma_addr_t address = page_pool_get_dma_addr_netmem(queue->current_buffer);
	void *memory = phys_to_virt(dma_to_phys(queue->pool->p.dev, address));

	skb_copy_bits(frame, from, memory + queue->current_offset, length);
	page_pool_dma_sync_netmem_for_cpu(queue->pool, queue->current_buffer,
					  queue->current_offset, length);
}

/*
 * Puts @length bytes of the frame, or as many of them as fit, into the current buffer, and that
 * part of the buffer onto @skb. Returns how many bytes these were.
 */
static unsigned int add_fragment(struct sluicenic_queue *queue, struct sk_buff *skb,
				 const struct sk_buff *frame, unsigned int from,
				 unsigned int length)
{
	u32 size_max = KNOB(queue, fragment_size) ?: queue->buffer_size;
	unsigned int offset = queue->current_offset;
	netmem_ref buffer = queue->current_buffer;
	unsigned int next;

	length = min3(length, size_max, queue->buffer_size - offset);
	dma(queue, frame, from, length);
	next = min(place(queue, offset + length), queue->buffer_size);

	page_pool_ref_netmem(buffer);	/* the fragment's, beside ours */
	skb_add_rx_frag_netmem(skb, skb_shinfo(skb)->nr_frags, buffer, offset, length,
			       next - offset);

	queue->stats.fragments++;
	queue->stats.shared += queue->current_fragments > 0;
	queue->stats.odd += offset & 1;
	queue->current_offset = next;
	queue->current_fragments++;
	finish_buffer(queue);
	return length;
}

/* ---- The skb ---- */

/* With the first @length bytes of the frame in its linear part. */
static struct sk_buff *new_skb(struct sluicenic_queue *queue, const struct sk_buff *frame,
			       unsigned int length)
{
	struct sk_buff *skb = napi_alloc_skb(&queue->napi, length);

	if (!skb)
		return NULL;
	skb_copy_bits(frame, 0, skb_put(skb, length), length);
	skb_mark_for_recycle(skb);
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	skb_copy_hash(skb, frame);
	/* The peer's TSO becomes our receive offload: one skb for many segments. */
	skb_shinfo(skb)->gso_size = skb_shinfo(frame)->gso_size;
	skb_shinfo(skb)->gso_segs = skb_shinfo(frame)->gso_segs;
	skb_shinfo(skb)->gso_type = skb_shinfo(frame)->gso_type;
	return skb;
}

/* Another skb for the fragments that @first, and those listed in it up to @last, can't hold. */
static struct sk_buff *list_skb(struct sluicenic_queue *queue, struct sk_buff *first,
				struct sk_buff *last)
{
	struct sk_buff *skb = napi_alloc_skb(&queue->napi, 0);

	if (!skb)
		return NULL;
	skb_mark_for_recycle(skb);
	first->truesize += skb->truesize;
	if (last == first)
		skb_shinfo(first)->frag_list = skb;
	else
		last->next = skb;
	return skb;
}

/* Puts the frame's bytes from @from on into buffers. False if there are not enough of these. */
static bool add_payload(struct sluicenic_queue *queue, struct sk_buff *skb,
			const struct sk_buff *frame, unsigned int from)
{
	struct sk_buff *last = skb;

	while (from < frame->len) {
		unsigned int added, truesize;

		if (!take_buffer(queue))
			return false;
		if (skb_shinfo(last)->nr_frags == MAX_SKB_FRAGS)
			last = list_skb(queue, skb, last);
		if (!last)
			return false;
		truesize = last->truesize;
		added = add_fragment(queue, last, frame, from, frame->len - from);
		if (last != skb) {
			skb->len += added;
			skb->data_len += added;
			skb->truesize += last->truesize - truesize;
		}
		from += added;
	}
	return true;
}

static bool is_to_be_dropped(struct sluicenic_queue *queue)
{
	u32 every = KNOB(queue, drop_every);

	if (!every || ++queue->to_drop < every)
		return false;
	queue->to_drop = 0;
	return true;
}

/* The skb to hand up in place of the frame, or NULL if the frame is lost. */
static struct sk_buff *split(struct sluicenic_queue *queue, const struct sk_buff *frame,
			     unsigned int headers)
{
	unsigned int payload = frame->len - headers;
	bool is_inline = payload <= min(KNOB(queue, inline_size), SLUICENIC_INLINE_MAX);
	struct sk_buff *skb;

	if (is_to_be_dropped(queue)) {
		queue->stats.forced++;
		return NULL;
	}
	skb = new_skb(queue, frame, is_inline ? frame->len : headers);
	if (!skb)
		return NULL;
	if (is_inline) {
		queue->stats.inlined++;
	} else if (add_payload(queue, skb, frame, headers)) {
		queue->stats.split++;
	} else {
		queue->stats.no_buffer++;
		kfree_skb(skb);	/* and the fragments that it has got */
		return NULL;
	}
	skb->protocol = eth_type_trans(skb, queue->nic->dev);
	return skb;
}

/*
 * Hands the frame up as it is. A clone is not: the sender has the other half until the payload is
 * acknowledged, and GRO, which rearranges fragments, would do so in both.
 */
static bool forward(struct net_device *dev, struct sk_buff *frame)
{
	if (skb_unclone(frame, GFP_ATOMIC)) {
		kfree_skb(frame);
		return false;
	}
	return __dev_forward_skb(dev, frame) == NET_RX_SUCCESS;	/* else it has freed it */
}

/* Takes the frame. In the queue's NAPI. */
void sluicenic_receive(struct sluicenic_queue *queue, struct sk_buff *frame)
{
	struct net_device *dev = queue->nic->dev;
	unsigned int headers = queue->split ? headers_length(frame) : 0;
	unsigned int length = frame->len;
	struct sk_buff *skb = frame;

	if (headers) {
		skb = split(queue, frame, headers);
		if (skb)
			consume_skb(frame);
		else
			kfree_skb(frame);
	} else if (!forward(dev, frame)) {
		skb = NULL;
	}
	if (!skb) {
		dev_dstats_rx_dropped(dev);
		return;
	}
	queue->stats.packets++;
	queue->stats.bytes += length;
	dev_dstats_rx_add(dev, length);
	skb_record_rx_queue(skb, queue->index);
	napi_gro_receive(&queue->napi, skb);
}

// SPDX-License-Identifier: GPL-2.0
#include <linux/mutex.h>
#include <linux/slab.h>
#include "bind.h"
#include "rdma_int.h"
#include "settings.h"

/* An RDMA device that is there and not going. */
struct known {
	struct list_head link;
	struct ib_device *device;
};

/* devices, transports, and of each transport device, pd, buffers and whether a lane has its queue */
static DEFINE_MUTEX(bind_lock);
static LIST_HEAD(devices);
static LIST_HEAD(transports);

/* ---- buffers ---- */

static enum dma_data_direction direction(const struct fsw_buffer *buffer)
{
	return buffer->in ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
}

static int buffer_map(struct fsw_rdma *rdma, struct fsw_buffer *buffer)
{
	u64 dma = ib_dma_map_single(rdma->device, buffer->va, buffer->bytes, direction(buffer));

	lockdep_assert_held(&bind_lock);
	if (ib_dma_mapping_error(rdma->device, dma))
		return -ENOMEM;
	buffer->dma = dma;
	return 0;
}

static void buffer_unmap(struct fsw_rdma *rdma, struct fsw_buffer *buffer)
{
	lockdep_assert_held(&bind_lock);
	ib_dma_unmap_single(rdma->device, buffer->dma, buffer->bytes, direction(buffer));
}

int fsw_buffer_get(void *transport, struct fsw_buffer *buffer, size_t bytes)
{
	struct fsw_rdma *rdma = transport;
	int ret = 0;

	buffer->bytes = bytes;
	buffer->va = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	if (!buffer->va)
		return -ENOMEM;
	mutex_lock(&bind_lock);
	if (rdma->device)
		ret = buffer_map(rdma, buffer);
	if (!ret)
		list_add_tail(&buffer->link, &rdma->buffers);
	mutex_unlock(&bind_lock);
	if (ret) {
		free_pages_exact(buffer->va, bytes);
		buffer->va = NULL;
	}
	return ret;
}

void fsw_buffer_put(void *transport, struct fsw_buffer *buffer)
{
	struct fsw_rdma *rdma = transport;

	mutex_lock(&bind_lock);
	list_del(&buffer->link);
	if (rdma->device)
		buffer_unmap(rdma, buffer);
	mutex_unlock(&bind_lock);
	free_pages_exact(buffer->va, buffer->bytes);
	buffer->va = NULL;
}

static void buffers_unmap(struct fsw_rdma *rdma, struct fsw_buffer *end)
{
	struct fsw_buffer *buffer;

	list_for_each_entry(buffer, &rdma->buffers, link) {
		if (buffer == end)
			return;
		buffer_unmap(rdma, buffer);
	}
}

static int buffers_map(struct fsw_rdma *rdma)
{
	struct fsw_buffer *buffer;

	list_for_each_entry(buffer, &rdma->buffers, link) {
		if (buffer_map(rdma, buffer)) {
			buffers_unmap(rdma, buffer);
			return -ENOMEM;
		}
	}
	return 0;
}

/* ---- binding ---- */

static void lanes_unbind(struct fsw_rdma *rdma, unsigned int nr)
{
	while (nr--)
		fsw_lane_unbind(&rdma->lanes[nr]);
}

static int lanes_bind(struct fsw_rdma *rdma)
{
	unsigned int i;
	int ret;

	for (i = 0; i < rdma->nr_lanes; i++) {
		ret = fsw_lane_bind(&rdma->lanes[i], rdma->device);
		if (ret) {
			lanes_unbind(rdma, i);
			return ret;
		}
	}
	return 0;
}

static int device_check(const struct ib_device *device, const char **why)
{
	unsigned int depth = max(fsw_write_depth(), fsw_settings.readahead_pages) + 1;

	if (depth <= (unsigned int)device->attrs.max_qp_wr && depth <= (unsigned int)device->attrs.max_cqe)
		return 0;
	*why = "the RDMA device's queues are too short: load the module with a smaller staging_max or fewer readahead_pages";
	return -E2BIG;
}

static int bind(struct fsw_rdma *rdma, struct ib_device *device, const char **why)
{
	int ret;

	lockdep_assert_held(&bind_lock);
	ret = device_check(device, why);
	if (ret)
		return ret;
	rdma->pd = ib_alloc_pd(device, 0);
	if (IS_ERR(rdma->pd)) {
		*why = "no protection domain on the RDMA device";
		return PTR_ERR(rdma->pd);
	}
	rdma->device = device;
	ret = buffers_map(rdma);
	if (ret) {
		*why = "the buffers cannot be mapped for the RDMA device";
		goto free_pd;
	}
	ret = lanes_bind(rdma);
	if (ret) {
		*why = "no completion queue on the RDMA device";
		goto unmap;
	}
	return 0;

unmap:
	buffers_unmap(rdma, NULL);
free_pd:
	ib_dealloc_pd(rdma->pd);
	rdma->device = NULL;
	return ret;
}

static void unbind(struct fsw_rdma *rdma)
{
	lockdep_assert_held(&bind_lock);
	if (!rdma->device)
		return;
	lanes_unbind(rdma, rdma->nr_lanes);
	buffers_unmap(rdma, NULL);
	ib_dealloc_pd(rdma->pd);
	rdma->device = NULL;
}

static struct known *known_find(const struct ib_device *device)
{
	struct known *known;

	lockdep_assert_held(&bind_lock);
	list_for_each_entry(known, &devices, link)
		if (known->device == device)
			return known;
	return NULL;
}

static int get_locked(struct fsw_rdma *rdma, struct ib_device *device, const char **why)
{
	int ret = 0;

	if (!known_find(device)) {
		*why = "the RDMA device is going away";
		return -ENODEV;
	}
	if (rdma->device && rdma->device != device) {
		*why = "reached over another RDMA device than the peers before";
		return -EXDEV;
	}
	if (!rdma->device)
		ret = bind(rdma, device, why);
	if (!ret)
		atomic_inc(&rdma->bound);
	return ret;
}

int fsw_bind_get(struct fsw_rdma *rdma, struct ib_device *device, const char **why)
{
	int ret;

	fsw_stall_sleep();
	mutex_lock(&bind_lock);
	ret = get_locked(rdma, device, why);
	mutex_unlock(&bind_lock);
	return ret;
}

void fsw_bind_put(struct fsw_rdma *rdma)
{
	if (atomic_dec_and_test(&rdma->bound))
		wake_up_all(&rdma->idle);
}

void fsw_bind_add(struct fsw_rdma *rdma)
{
	mutex_lock(&bind_lock);
	list_add_tail(&rdma->link, &transports);
	mutex_unlock(&bind_lock);
}

void fsw_bind_del(struct fsw_rdma *rdma)
{
	mutex_lock(&bind_lock);
	unbind(rdma);
	list_del(&rdma->link);
	mutex_unlock(&bind_lock);
}

/* ---- RDMA devices coming and going ---- */

static int device_came(struct ib_device *device)
{
	struct known *known = kzalloc(sizeof(*known), GFP_KERNEL);

	if (!known)
		return -ENOMEM;
	known->device = device;
	mutex_lock(&bind_lock);
	list_add_tail(&known->link, &devices);
	mutex_unlock(&bind_lock);
	return 0;
}

static void peers_lose(struct fsw_rdma *rdma)
{
	struct fsw_rdma_peer *peer;

	spin_lock(&rdma->peers_lock);
	list_for_each_entry(peer, &rdma->peers, link)
		fsw_peer_lost(peer, -ENODEV, "the RDMA device is going away");
	spin_unlock(&rdma->peers_lock);
}

/*
 * rdma_cm, loaded before us, is told after us and then waits for our ids. No peer binds to the device any more; who is
 * still connecting finds it unknown and gives its ids back.
 */
static void device_goes(struct ib_device *device, void *data)
{
	struct fsw_rdma *rdma;
	struct known *known;

	mutex_lock(&bind_lock);
	known = known_find(device);
	if (known) {
		list_del(&known->link);
		kfree(known);
	}
	list_for_each_entry(rdma, &transports, link) {
		if (rdma->device != device)
			continue;
		fsw_stall_sleep();
		peers_lose(rdma);
		wait_event(rdma->idle, atomic_read(&rdma->bound) == 0);
		unbind(rdma);
	}
	mutex_unlock(&bind_lock);
}

static struct ib_client client = {
	.name = "farswap",
	.add = device_came,
	.remove = device_goes,
};

int fsw_bind_init(void)
{
	return ib_register_client(&client);
}

void fsw_bind_exit(void)
{
	ib_unregister_client(&client);
}

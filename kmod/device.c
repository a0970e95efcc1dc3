// SPDX-License-Identifier: GPL-2.0
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/suspend.h>
#include "device.h"
#include "netlink.h"
#include "rdma.h"
#include "settings.h"

#define WANT_EVERY	(HZ / 10)	/* at most one look, and one EV_WANT, in this time */

static DEFINE_MUTEX(devices_lock);	/* the_device, closing */
static struct fsw_device *the_device;
static bool closing;			/* the module goes: no new device */

static int fail(struct netlink_ext_ack *extack, int error, const char *why)
{
	if (extack)
		extack->_msg = why;
	return error;
}

/* ---- finding it ---- */

static void device_free(struct kref *refs)
{
	kfree(container_of(refs, struct fsw_device, refs));
}

void fsw_device_put(struct fsw_device *dev)
{
	kref_put(&dev->refs, device_free);
}

struct fsw_device *fsw_device_get(const char *name)
{
	struct fsw_device *dev = NULL;

	mutex_lock(&devices_lock);
	if (the_device && (!name || !strcmp(name, FSW_DEVICE_NAME))) {
		dev = the_device;
		kref_get(&dev->refs);
	}
	mutex_unlock(&devices_lock);
	return dev;
}

/* ---- what the core and the transport tell ---- */

static void want_work(struct work_struct *work)
{
	struct fsw_device *dev = container_of(to_delayed_work(work), struct fsw_device, want_work);
	unsigned int want = fsw_extents_wanted(dev->core);

	dev->wanted = jiffies;
	if (want)
		fsw_netlink_want(FSW_DEVICE_NAME, want);
}

/* Any context, any number of times. Reading wanted without a lock only makes an event early or late. */
static void core_wants(void *ctx)
{
	struct fsw_device *dev = ctx;
	unsigned long next = READ_ONCE(dev->wanted) + WANT_EVERY;

	queue_delayed_work(dev->wq, &dev->want_work, time_before(jiffies, next) ? next - jiffies : 0);
}

static void peer_changed(void *ctx, u32 node, unsigned int state, const char *why)
{
	fsw_netlink_peer(FSW_DEVICE_NAME, node, state, why);
}

/* ---- new ---- */

static void device_params(struct fsw_device *dev, const struct fsw_device_config *config)
{
	const struct fsw_settings *s = &fsw_settings;

	dev->params = (struct fsw_params){
		.size = config->size,
		.slab_bytes = config->slab_bytes,
		.copies = config->copies,
		.spares = config->spares,
		.codec = config->codec,
		.window = s->window,
		.staging = s->staging_pages,
		.staging_max = s->staging_max,
		.close_ms = s->close_ms,
		.store_ms = s->store_ms,
		.hedge_ms = s->hedge_ms,
		.load_ms = s->load_ms,
		.seal_ms = s->load_ms + s->write_ms,
		.poll_us = s->poll_us,
		.ahead = s->readahead_pages,
		.readahead = &s->readahead,
		.scrub = &s->scrub,
		.want = core_wants,
		.want_ctx = dev,
	};
}

static int device_init(struct fsw_device *dev, struct netlink_ext_ack *extack)
{
	int ret;

	dev->wq = alloc_workqueue("farswap_device", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!dev->wq)
		return fail(extack, -ENOMEM, "out of memory: no workqueue");
	ret = fsw_unread_init(&dev->unread, dev->params.size / FSW_PAGE);
	if (ret) {
		fail(extack, ret, "out of memory: a bit for each page");
		goto free_wq;
	}
	dev->rdma = fsw_rdma_new(FSW_DEVICE_NAME, peer_changed, dev);
	if (IS_ERR(dev->rdma)) {
		ret = fail(extack, PTR_ERR(dev->rdma), "out of memory: the transport's buffers");
		goto free_unread;
	}
	dev->core = fsw_core_new(&dev->params, &fsw_rdma_ops, dev->rdma);
	if (IS_ERR(dev->core)) {
		ret = fail(extack, PTR_ERR(dev->core), PTR_ERR(dev->core) == -ENOMEM ?
			   "out of memory: staging pool, read-ahead buffers and map" : "size, slab size or copies out of range");
		goto free_rdma;
	}
	fsw_rdma_attach(dev->rdma, dev->core);
	return 0;

free_rdma:
	fsw_rdma_free(dev->rdma);
free_unread:
	fsw_unread_free(&dev->unread);
free_wq:
	destroy_workqueue(dev->wq);
	return ret;
}

static struct fsw_device *device_alloc(const struct fsw_device_config *config)
{
	struct fsw_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	kref_init(&dev->refs);
	init_rwsem(&dev->lock);
	atomic_set(&dev->openers, 0);
	INIT_DELAYED_WORK(&dev->want_work, want_work);
	dev->wanted = jiffies - WANT_EVERY;
	dev->state = FARSWAP_DEV_NEW;
	device_params(dev, config);
	return dev;
}

static int new_locked(const struct fsw_device_config *config, struct netlink_ext_ack *extack)
{
	struct fsw_device *dev;
	int ret;

	lockdep_assert_held(&devices_lock);
	if (closing)
		return fail(extack, -EPERM, "the module is being removed");
	if (the_device)
		return fail(extack, -EEXIST, "the device exists");
	dev = device_alloc(config);
	if (!dev)
		return fail(extack, -ENOMEM, "out of memory: the device");
	ret = device_init(dev, extack);
	if (ret)
		fsw_device_put(dev);
	else
		the_device = dev;
	return ret;
}

int fsw_device_new(const struct fsw_device_config *config, struct netlink_ext_ack *extack)
{
	int ret;

	if (strcmp(config->name, FSW_DEVICE_NAME))
		return fail(extack, -EINVAL, "the device's name must be " FSW_DEVICE_NAME);
	mutex_lock(&devices_lock);
	ret = new_locked(config, extack);
	mutex_unlock(&devices_lock);
	return ret;
}

/* ---- start ---- */

static int start_locked(struct fsw_device *dev, struct netlink_ext_ack *extack)
{
	struct gendisk *disk;

	lockdep_assert_held_write(&dev->lock);
	if (dev->state == FARSWAP_DEV_UP)
		return fail(extack, -EALREADY, "the device is up");
	if (dev->state != FARSWAP_DEV_NEW)
		return fail(extack, -ENODEV, "the device is going down");
	disk = fsw_disk_new(dev);
	if (IS_ERR(disk))
		return fail(extack, PTR_ERR(disk), "the disk could not be made");
	dev->disk = disk;
	dev->state = FARSWAP_DEV_UP;
	return 0;
}

int fsw_device_start(struct fsw_device *dev, struct netlink_ext_ack *extack)
{
	int ret;

	down_write(&dev->lock);
	ret = start_locked(dev, extack);
	up_write(&dev->lock);
	return ret;
}

/* ---- peers and extents ---- */

/* Until up_read() it is there, and not going down. */
static int device_enter(struct fsw_device *dev, struct netlink_ext_ack *extack)
{
	down_read(&dev->lock);
	if (dev->state == FARSWAP_DEV_NEW || dev->state == FARSWAP_DEV_UP)
		return 0;
	up_read(&dev->lock);
	return fail(extack, -ENODEV, "the device is going down");
}

int fsw_device_peer_add(struct fsw_device *dev, const struct fsw_peer_config *config, struct netlink_ext_ack *extack)
{
	struct fsw_rdma_peer *peer;
	const char *why;
	unsigned int noio;
	int ret = device_enter(dev, extack);

	if (ret)
		return ret;
	peer = fsw_rdma_peer_new(dev->rdma, config, &why);
	up_read(&dev->lock);
	if (IS_ERR(peer))
		return fail(extack, PTR_ERR(peer), why);
	/* the peer is on the transport's list now: fsw_rdma_stop() interrupts it and waits */
	noio = memalloc_noio_save();	/* pages may wait for it, so it must not wait for pages */
	ret = fsw_rdma_peer_connect(peer, &why);
	memalloc_noio_restore(noio);
	return ret ? fail(extack, ret, why) : 0;
}

static int with_peer(struct fsw_device *dev, u32 node, int (*what)(struct fsw_rdma *rdma, u32 node, const char **why),
		     struct netlink_ext_ack *extack)
{
	const char *why;
	int ret = device_enter(dev, extack);

	if (ret)
		return ret;
	ret = what(dev->rdma, node, &why);
	up_read(&dev->lock);
	return ret ? fail(extack, ret, why) : 0;
}

int fsw_device_peer_gone(struct fsw_device *dev, u32 node, struct netlink_ext_ack *extack)
{
	return with_peer(dev, node, fsw_rdma_peer_gone, extack);
}

int fsw_device_peer_del(struct fsw_device *dev, u32 node, struct netlink_ext_ack *extack)
{
	return with_peer(dev, node, fsw_rdma_peer_del, extack);
}

/* The peers of an extent's members, and those that they succeed. All are held until they are put. */
struct members {
	struct fsw_member to[FARSWAP_COPIES_MAX];
	struct fsw_peer *succeeds[FARSWAP_COPIES_MAX];
};

static void members_put(struct fsw_device *dev, struct members *members)
{
	unsigned int i;

	for (i = 0; i < FARSWAP_COPIES_MAX; i++) {
		if (members->to[i].peer)
			fsw_rdma_peer_put(dev->rdma, members->to[i].peer);
		if (members->succeeds[i])
			fsw_rdma_peer_put(dev->rdma, members->succeeds[i]);
	}
}

static int member_get(struct fsw_device *dev, const struct fsw_member_config *from, struct fsw_member *to,
		      struct fsw_peer **succeeds, struct netlink_ext_ack *extack)
{
	*to = (struct fsw_member){
		.peer = fsw_rdma_peer_get(dev->rdma, from->node),
		.slab = from->slab,
		.incarnation = from->incarnation,
		.remote = from->remote,
		.rkey = from->rkey,
	};
	if (from->heir)
		*succeeds = fsw_rdma_peer_get(dev->rdma, from->succeeds);
	if (!to->peer || (from->heir && !*succeeds))
		return fail(extack, -ENOENT, "a member's node is no peer of the device");
	if (!fsw_peer_live(to->peer) && to->peer != *succeeds)
		return fail(extack, -ENOTCONN, "a member's node is not live");
	if (from->remote + dev->params.slab_bytes < from->remote)
		return fail(extack, -ERANGE, "a member's region does not fit in its address space");
	return 0;
}

static const char *extent_error(int error)
{
	switch (error) {
	case -ENOENT:
		return "there is no such extent";
	case -ESTALE:
		return "the extent is in another generation";
	case -EBUSY:
		return "the extent is sealed, or just being sealed or set";
	case -ETIMEDOUT:
		return "what is being written to the extent did not end: it is not sealed";
	case -EEXIST:
		return "the extent exists, or one has a member's slab";
	case -ENOSPC:
		return "the device has all the extents that it can use";
	case -ENODATA:
		return "a member with every page right leaves, and too few others have";
	case -ENOMEM:
		return "out of memory: the extent's tables";
	default:
		return "the extent is not sealed, or the members are more than copies, two of one node, or succeed nobody";
	}
}

/* Add an extent, or set its members. */
static int extent_change(struct fsw_device *dev, u64 id, u32 generation, const struct fsw_member_config *config, unsigned int nr,
			 bool set, struct netlink_ext_ack *extack)
{
	struct members members = { 0 };
	unsigned int i, noio;
	int ret = device_enter(dev, extack);

	if (ret)
		return ret;
	for (i = 0; i < nr && !ret; i++)
		ret = member_get(dev, &config[i], &members.to[i], &members.succeeds[i], extack);
	if (!ret) {
		noio = memalloc_noio_save();	/* stores may wait for this very extent */
		ret = set ? fsw_extent_set(dev->core, id, generation, members.to, nr, members.succeeds) :
			    fsw_extent_add(dev->core, id, generation, members.to, nr);
		memalloc_noio_restore(noio);
		if (ret)
			fail(extack, ret, extent_error(ret));
	}
	members_put(dev, &members);
	up_read(&dev->lock);
	return ret;
}

int fsw_device_extent_add(struct fsw_device *dev, u64 id, u32 generation, const struct fsw_member_config *config,
			  unsigned int nr, struct netlink_ext_ack *extack)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (config[i].heir)
			return fail(extack, -EINVAL, "a new extent's member succeeds nobody");
	return extent_change(dev, id, generation, config, nr, false, extack);
}

int fsw_device_extent_set(struct fsw_device *dev, u64 id, u32 generation, const struct fsw_member_config *config,
			  unsigned int nr, struct netlink_ext_ack *extack)
{
	return extent_change(dev, id, generation, config, nr, true, extack);
}

static int extent_do(struct fsw_device *dev, u64 id, u32 generation, struct netlink_ext_ack *extack,
		     int (*what)(struct fsw_core *core, u64 id, u32 generation))
{
	int ret = device_enter(dev, extack);

	if (ret)
		return ret;
	ret = what(dev->core, id, generation);
	up_read(&dev->lock);
	return ret ? fail(extack, ret, extent_error(ret)) : 0;
}

int fsw_device_extent_seal(struct fsw_device *dev, u64 id, u32 generation, struct netlink_ext_ack *extack)
{
	return extent_do(dev, id, generation, extack, fsw_extent_seal);
}

int fsw_device_extent_open(struct fsw_device *dev, u64 id, u32 generation, struct netlink_ext_ack *extack)
{
	return extent_do(dev, id, generation, extack, fsw_extent_open);
}

/* ---- going ---- */

/* No open comes any more, and from here on no other command does anything. */
static int close_locked(struct fsw_device *dev, struct netlink_ext_ack *extack)
{
	lockdep_assert_held_write(&dev->lock);
	if (dev->state != FARSWAP_DEV_NEW && dev->state != FARSWAP_DEV_UP)
		return fail(extack, -ENODEV, "the device is going down");
	if (atomic_cmpxchg(&dev->openers, 0, FSW_OPENERS_CLOSED) != 0)
		return fail(extack, -EBUSY, "the disk is open (swapped on?)");
	dev->state = FARSWAP_DEV_DOWN;
	return 0;
}

/*
 * Who may still hold what: nobody has the disk open, and when it is gone no store, load or attribute runs; the
 * core's own workers end with fsw_core_stop(); chains and READs end with their peers; events come from both and end
 * here.
 */
static void device_exit(struct fsw_device *dev)
{
	if (dev->disk)
		fsw_disk_del(dev->disk);
	fsw_core_stop(dev->core);
	fsw_rdma_stop(dev->rdma);
	cancel_delayed_work_sync(&dev->want_work);
	fsw_core_free(dev->core);
	fsw_rdma_free(dev->rdma);
	fsw_unread_free(&dev->unread);
	destroy_workqueue(dev->wq);
}

static void device_forget(struct fsw_device *dev)
{
	mutex_lock(&devices_lock);
	the_device = NULL;
	mutex_unlock(&devices_lock);
	fsw_netlink_gone(FSW_DEVICE_NAME);
	fsw_device_put(dev);
}

int fsw_device_del(struct fsw_device *dev, struct netlink_ext_ack *extack)
{
	int ret;

	down_write(&dev->lock);
	ret = close_locked(dev, extack);
	if (!ret) {
		device_exit(dev);
		dev->state = 0;
	}
	up_write(&dev->lock);
	if (!ret)
		device_forget(dev);
	return ret;
}

/* ---- the host's sleep ---- */

/*
 * Refused while the disk is open: queue pairs do not live through it, so what programs touch on waking, before donors are connected
 * again, would be a SIGBUS; and after a sleep longer than the lease every page would be lost. A disk that is opened between this question
 * and the freezing of user space is not seen.
 */
static int sleep_notify(struct notifier_block *block, unsigned long event, void *unused)
{
	const char *what = event == PM_HIBERNATION_PREPARE ? "hibernation" : event == PM_SUSPEND_PREPARE ? "suspend" : NULL;
	struct fsw_device *dev = what ? fsw_device_get(NULL) : NULL;
	bool open;

	if (!dev)
		return NOTIFY_DONE;
	open = atomic_read(&dev->openers) > 0;
	fsw_device_put(dev);
	if (!open)
		return NOTIFY_DONE;
	pr_err("%s: %s refused: the disk is in use, and pages on other hosts cannot be read on waking: swapoff first\n", FSW_DEVICE_NAME,
	       what);
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block sleep_block = { .notifier_call = sleep_notify };

/* ---- all of them ---- */

int fsw_devices_init(void)
{
	return register_pm_notifier(&sleep_block);
}

void fsw_devices_exit(void)
{
	struct fsw_device *dev;

	unregister_pm_notifier(&sleep_block);
	mutex_lock(&devices_lock);
	closing = true;
	mutex_unlock(&devices_lock);
	dev = fsw_device_get(NULL);
	if (!dev)
		return;
	/* no disk is open: it would hold the module. -ENODEV: a DEV_DEL is at it, the family's exit waits for that */
	fsw_device_del(dev, NULL);
	fsw_device_put(dev);
}

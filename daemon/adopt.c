// SPDX-License-Identifier: GPL-2.0
/*
 * A daemon that starts finds the device of its former life: its name is in the run directory, all else in the
 * kernel. One that is up is taken over as it is; one that was still being made is deleted. Whatever cannot be read
 * ends the try, and the next tick begins anew: what is half known is not managed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "members.h"

static void state_path(char *path, size_t size)
{
	snprintf(path, size, "%s/%s.device", farswapd.run_dir, farswapd.self->name);
}

int adopt_remember(const char *name)
{
	char path[4200], line[64];
	int n = snprintf(line, sizeof(line), "%s\n", name);
	int fd, ret = 0;

	state_path(path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, line, (size_t)n) != n)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

void adopt_forget(void)
{
	char path[4200];

	state_path(path, sizeof(path));
	unlink(path);
}

static bool recall(char *name)
{
	char path[4200], line[64] = "";
	FILE *file;

	state_path(path, sizeof(path));
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	if (!farswap_device_name_ok(line)) {
		farswap_log("%s: malformed, ignored", path);
		return false;
	}
	farswap_name_copy(name, line);
	return true;
}

static void nothing_there(void)
{
	memset(&device, 0, sizeof(device));
}

static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

/* true when it was no good: stays ADOPTING */
static bool failed(int error, const char *what, const char *why)
{
	if (error)
		farswap_log_limited(&limit, "%s: not taken over yet: %s: %s", device.name, what, why);
	return error;
}

static void on_extents(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)arg;
	device.in_air--;
	if (failed(error, "its extents", why))
		return;
	error = extent_take_all(answers);
	if (failed(error, "an extent", strerror(-error)))
		return;
	farswap_log("%s: found up with %zu extents, taken over", device.name, device.table.n);
	device_enter(PHASE_UP);
}

/* of the lost ones, or of the others */
static int take_peer(const struct nlmsghdr *nlh, bool lost)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct farswap_node *node;
	struct device_peer *peer;
	uint32_t number;

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	if (lost != (farswap_nl_u8(attrs, FARSWAP_A_PEER_STATE) == FARSWAP_PEER_LOST))
		return 0;
	number = farswap_nl_u32(attrs, FARSWAP_A_NODE);
	if (number >= device.next_peer)
		device.next_peer = number + 1;
	node = farswap_conf_node(&farswapd.conf, farswap_nl_string(attrs, FARSWAP_A_PEER_NAME));
	if (!node && !members_settled()) {
		farswap_log_limited(&limit, "%s: peer %u (%s) is not known: waiting for etcd to tell of it", device.name, number,
				    farswap_nl_string(attrs, FARSWAP_A_PEER_NAME));
		return -EAGAIN;
	}
	if (!node || peer_numbered(number)) {
		farswap_log("%s: peer %u (%s) is no node that is known: left as it is", device.name, number,
			    farswap_nl_string(attrs, FARSWAP_A_PEER_NAME));
		return 0;
	}
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX && peer->state != PEER_FREE; peer++)
		;
	if (peer == device.peers + DEVICE_PEERS_MAX)
		return 0;
	peer->link = link_of(node);
	peer->number = number;
	peer->session = farswap_nl_u64(attrs, FARSWAP_A_SESSION);
	peer->incarnation = farswap_nl_u64(attrs, FARSWAP_A_INCARNATION);
	peer->in_kernel = true;
	peer->suspect_ns = farswap_now_ns();
	peer->state = lost ? PEER_SUSPECT : PEER_LIVE;
	snprintf(peer->why, sizeof(peer->why), "%s", farswap_nl_string(attrs, FARSWAP_A_REASON));
	return 0;
}

/* those in use get their records first; a lost one may come back, unless its session went on under another number */
static int take_peers(const struct kernel_answer *first)
{
	const struct kernel_answer *answer;
	const struct device_peer *peer;
	int lost, ret = 0;

	for (lost = 0; lost <= 1; lost++)
		for (answer = first; answer && !ret; answer = answer->next)
			ret = take_peer(answer->nlh, lost);
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state == PEER_LIVE || peer->state == PEER_SUSPECT)
			rejoin_supersede(peer);
	return ret;
}

static void on_peers(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)arg;
	device.in_air--;
	if (failed(error, "its peers", why))
		return;
	error = take_peers(answers);
	if (failed(error, "a peer", strerror(-error)))
		return;
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_EXTENT_GET, 1), on_extents, NULL);
}

/* arrays are as long as these say, and divisions divide by them */
static int take_device(struct nlattr *const *attrs)
{
	unsigned int state = farswap_nl_u8(attrs, FARSWAP_A_DEV_STATE);

	device.size = farswap_nl_u64(attrs, FARSWAP_A_SIZE);
	device.slab_bytes = farswap_nl_u64(attrs, FARSWAP_A_SLAB_BYTES);
	device.copies = farswap_nl_u8(attrs, FARSWAP_A_COPIES);
	device.spares = farswap_nl_u32(attrs, FARSWAP_A_SPARES);
	device.queues = farswap_nl_u32(attrs, FARSWAP_A_QUEUES);
	if (state < FARSWAP_DEV_NEW || state > FARSWAP_DEV_DOWN || !device.size || device.size > DEVICE_BYTES_MAX ||
	    device.slab_bytes < FARSWAP_SLAB_BYTES_MIN || device.slab_bytes > FARSWAP_SLAB_BYTES_MAX ||
	    device.slab_bytes & (device.slab_bytes - 1) || !device.copies || device.copies > FARSWAP_COPIES_MAX ||
	    !device.queues || device.queues > DEVICE_QUEUES_MAX)
		return -EBADMSG;
	return 0;
}

static void on_device(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	(void)arg;
	device.in_air--;
	if (farswap_nl_is_gone(error)) {
		adopt_forget();
		nothing_there();
		return;
	}
	if (!error && (!answers || farswap_nl_parse(answers->nlh, attrs) || take_device(attrs))) {
		error = -EBADMSG;
		why = "malformed answer of the kernel module";
	}
	if (failed(error, "its state", why))
		return;
	device.in_kernel = true;
	if (farswap_nl_u8(attrs, FARSWAP_A_DEV_STATE) != FARSWAP_DEV_UP) {
		device_undo("was left half made by an earlier farswapd and is deleted");
		return;
	}
	if (device.slab_bytes != farswapd.conf.slab_bytes)
		farswap_log("%s: made with slabs of %llu bytes, %s says %llu now: it gets no more extents", device.name,
			    (unsigned long long)device.slab_bytes, farswapd.conf.path,
			    (unsigned long long)farswapd.conf.slab_bytes);
	kernel_listen();
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_PEER_GET, 1), on_peers, NULL);
}

void adopt_start(void)
{
	extent_table_free(&device.table);	/* of a try that failed */
	repair_reset();
	memset(&device, 0, sizeof(device));
	if (!recall(device.name))
		return;
	device.phase = PHASE_ADOPTING;
	device.adopted = true;
	device.next_peer = 1;
	device.next_extent = 1;
	device.seed = farswapd.incarnation;
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_DEV_GET, 0), on_device, NULL);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * wire SOCKET SEED TAP...: takes the place of the bridge between the machines' taps, and misbehaves between chosen ones when told to.
 * The first TAP is node 1's; a frame goes to the node in the last byte of its destination (52:54:00:00:00:0N), or to all.
 *
 * wire SOCKET COMMAND: tells the one that serves there, prints its answer:
 *   FROM TO cut            frames of that direction vanish
 *   FROM TO flap MS        they vanish for so long, pass for so long, and so on
 *   FROM TO drop PERCENT   so many of them vanish
 *   FROM TO duplicate PERCENT
 *   FROM TO reorder PERCENT   so many are kept back for 10 ms
 *   FROM TO delay MS       each comes so much later
 *   FROM TO hold           kept until the direction is whole again, then all come in their order, as fast as a machine takes them
 *   FROM TO whole          as at first; the answer is how many frames it hit since it was not
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NODES		9
#define FRAME_MAX	(65536 + 64)
#define REORDER_MS	10
#define KEPT_MAX	(256u << 20)	/* bytes kept back in all; more vanish, and it says so */
#define FULL_MS		2		/* what a full tap did not take is tried again after so long, */
#define FULL_END_MS	10000		/* and for so long */
#define NEVER		UINT64_MAX

enum fault { WHOLE, CUT, FLAP, DROP, DUPLICATE, REORDER, DELAY, HOLD, FAULTS };

static const char *const names[FAULTS] = { "whole", "cut", "flap", "drop", "duplicate", "reorder", "delay", "hold" };

static struct direction {
	enum fault fault;
	unsigned int amount;
	unsigned long hits;
} directions[NODES + 1][NODES + 1];

/* frames kept back, the one that is due first at the head; a virtio header comes before each */
static struct kept {
	struct kept *next;
	uint64_t due, end;		/* ms; end: 0 as long as no tap refused it */
	unsigned int from, to;
	size_t bytes;
	char frame[];
} *kept;

static size_t kept_bytes;
static int taps[NODES + 1], drops[NODES + 1];	/* the latter: the file with the frames that the tap dropped */
static unsigned int nr_taps;
static uint64_t randomness;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

/* xorshift64 (Marsaglia 2003) */
static bool percent(unsigned int amount)
{
	randomness ^= randomness << 13;
	randomness ^= randomness >> 7;
	randomness ^= randomness << 17;
	return randomness % 100 < amount;
}

/* With the virtio header in front, so that checksums and segments left to the device stay so. */
static int tap_open(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, room = 8 << 20;

	if (fd < 0 || !at.sll_ifindex)
		err(1, "%s", name);
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		err(1, "%s", name);
	return fd;
}

static int drops_open(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_dropped", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static unsigned long dropped(unsigned int to)
{
	char text[24] = "";

	if (pread(drops[to], text, sizeof(text) - 1, 0) <= 0)
		warn("drops of node %u", to);
	return strtoul(text, NULL, 10);
}

/* A machine that is off or full loses the frame, as on any wire. */
static void deliver(unsigned int to, const char *frame, size_t bytes)
{
	if (write(taps[to], frame, bytes) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENETDOWN && errno != EIO)
		warn("tap of node %u", to);
}

static void keep_until(struct kept *k, uint64_t due)
{
	struct kept **at = &kept;

	while (*at && (*at)->due <= due)
		at = &(*at)->next;
	k->due = due;
	k->next = *at;
	*at = k;
}

static void keep(unsigned int from, unsigned int to, const char *frame, size_t bytes, uint64_t due)
{
	struct kept *k;

	if (kept_bytes + bytes > KEPT_MAX) {
		warnx("no room for what is kept back: a frame vanished");
		return;
	}
	k = malloc(sizeof(*k) + bytes);
	if (!k)
		err(1, "malloc");
	*k = (struct kept){ .from = from, .to = to, .bytes = bytes };
	memcpy(k->frame, frame, bytes);
	keep_until(k, due);
	kept_bytes += bytes;
}

/*
 * A tap holds 1000 frames for its machine and drops what is more without a word but in its count. Many that come at once, after they were
 * held, are to come all the same.
 */
static void deliver_due(void)
{
	uint64_t now = now_ms();
	struct kept *k;

	while ((k = kept) && k->due <= now) {
		unsigned long before = dropped(k->to);

		kept = k->next;
		deliver(k->to, k->frame, k->bytes);
		if (dropped(k->to) != before && (!k->end || now < k->end)) {
			k->end = k->end ?: now + FULL_END_MS;
			keep_until(k, now + FULL_MS);
			continue;
		}
		kept_bytes -= k->bytes;
		free(k);
	}
}

static void pass(unsigned int from, unsigned int to, const char *frame, size_t bytes)
{
	struct direction *d = &directions[from][to];
	uint64_t now = now_ms();
	bool hit = true;

	switch (d->fault) {
	case CUT:
		break;
	case FLAP:
		hit = now / d->amount % 2;
		break;
	case DROP:
	case DUPLICATE:
	case REORDER:
		hit = percent(d->amount);
		break;
	case DELAY:
		keep(from, to, frame, bytes, now + d->amount);
		break;
	case HOLD:
		keep(from, to, frame, bytes, NEVER);
		break;
	default:
		hit = false;
	}
	d->hits += hit;
	if (d->fault == REORDER && hit)
		keep(from, to, frame, bytes, now + REORDER_MS);
	else if (d->fault == DUPLICATE || !hit)
		deliver(to, frame, bytes);
	if (d->fault == DUPLICATE && hit)
		deliver(to, frame, bytes);
}

static void take(unsigned int from)
{
	static char frame[sizeof(struct virtio_net_hdr) + FRAME_MAX];
	const struct ether_header *head = (const void *)(frame + sizeof(struct virtio_net_hdr));
	unsigned int to;
	ssize_t n;

	while ((n = read(taps[from], frame, sizeof(frame))) > 0) {
		if ((size_t)n < sizeof(struct virtio_net_hdr) + sizeof(*head))
			continue;
		to = head->ether_dhost[5];
		if (head->ether_dhost[0] & 1) {
			for (to = 1; to <= nr_taps; to++)
				if (to != from)
					pass(from, to, frame, n);
		} else if (to >= 1 && to <= nr_taps && to != from) {
			pass(from, to, frame, n);
		}
	}
}

/* What a direction kept back comes from now on, in its order. */
static void release(unsigned int from, unsigned int to)
{
	struct kept **at = &kept, *k, *mine = NULL, **end = &mine;
	uint64_t now = now_ms();

	while ((k = *at))
		if (k->from == from && k->to == to) {
			*at = k->next;
			k->next = NULL;
			*end = k;
			end = &k->next;
		} else {
			at = &k->next;
		}
	while ((k = mine)) {
		mine = k->next;
		keep_until(k, now);
	}
}

static void command(const char *text, char *answer, size_t size)
{
	unsigned int from, to, amount = 0, fault;
	struct direction *d;
	char name[16];

	if (sscanf(text, "%u %u %15s %u", &from, &to, name, &amount) < 3 || !from || !to || from > nr_taps || to > nr_taps) {
		snprintf(answer, size, "no such direction: %s", text);
		return;
	}
	for (fault = 0; fault < FAULTS && strcmp(names[fault], name); fault++)
		;
	if (fault == FAULTS || (!amount && (fault == FLAP || fault == DROP || fault == DUPLICATE || fault == REORDER || fault == DELAY))) {
		snprintf(answer, size, "no such fault: %s", text);
		return;
	}
	d = &directions[from][to];
	snprintf(answer, size, "%lu", d->hits);
	*d = (struct direction){ .fault = fault, .amount = amount };
	release(from, to);
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 8))
		err(1, "%s", path);
	return fd;
}

static void asked(int listener)
{
	char text[128], answer[192];
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = 0;
		command(text, answer, sizeof(answer));
		if (write(fd, answer, strlen(answer)) < 0)
			warn("answer");
	}
	close(fd);
}

static void serve(const char *path, char **names_of_taps)
{
	struct pollfd fds[NODES + 1];
	unsigned int i;

	fds[0] = (struct pollfd){ .fd = listen_at(path), .events = POLLIN };
	for (i = 1; i <= nr_taps; i++) {
		taps[i] = tap_open(names_of_taps[i - 1]);
		drops[i] = drops_open(names_of_taps[i - 1]);
		fds[i] = (struct pollfd){ .fd = taps[i], .events = POLLIN };
	}
	for (;;) {
		int wait = -1;

		deliver_due();
		if (kept && kept->due != NEVER)
			wait = kept->due > now_ms() ? (int)(kept->due - now_ms()) : 0;
		if (poll(fds, nr_taps + 1, wait) < 0 && errno != EINTR)
			err(1, "poll");
		for (i = 1; i <= nr_taps; i++)
			if (fds[i].revents)
				take(i);
		if (fds[0].revents)
			asked(fds[0].fd);
	}
}

static int tell(const char *path, const char *text)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char answer[192];
	ssize_t n;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	n = read(fd, answer, sizeof(answer) - 1);
	if (n <= 0)
		errx(1, "%s: no answer", path);
	answer[n] = 0;
	puts(answer);
	return answer[0] == 'n';
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return tell(argv[1], argv[2]);
	if (argc < 5 || argc - 3 > NODES)
		errx(1, "usage: wire SOCKET SEED TAP TAP... | wire SOCKET 'FROM TO FAULT [AMOUNT]'");
	nr_taps = argc - 3;
	randomness = strtoull(argv[2], NULL, 10) * 2 + 1;
	prctl(PR_SET_PDEATHSIG, SIGTERM);	/* it serves one test */
	serve(argv[1], argv + 3);
}

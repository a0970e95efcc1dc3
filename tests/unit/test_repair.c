// SPDX-License-Identifier: GPL-2.0
/*
 * The manager against a kernel and donors made here, where everything fails at random: links, donors, queue pairs, requests (some
 * after they were carried out), the daemon itself. What must never happen is looked at as it happens; when all is well
 * again for a while, every extent is whole, its copies are right, and no slab is held for nothing.
 */
#include <endian.h>
#include <errno.h>
#include <netlink/genl/genl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"

#define NODES		6		/* 0 is the client */
#define EXTENTS		5
#define COPIES		3
#define FRAMES		12		/* in use, of each extent */
#define SLABS		4000		/* that ever were */
#define QUEUE		256
#define MS		1000000ull
#define check(what)	do { if (!(what)) { \
		printf("seed %llu, at %llu ms, line %d: %s\n", first_seed, (unsigned long long)(now / MS), __LINE__, #what); \
		fail(); } } while (0)

struct device device;
struct farswapd farswapd;
static struct link links[NODES];
static uint64_t now, seed;
static unsigned long long first_seed;
static bool kicked, faults;
static uint64_t unique = 100;
static unsigned int lost_grants;	/* whose answer did not come: nobody knows of the slab */

struct slab {
	bool there;
	int node;
	uint64_t session, extent, incarnation;
	uint32_t generation, rkey;
	uint32_t data[FRAMES];
};

static struct slab slabs[SLABS];	/* slab n has number n + 1 and address (n + 1) << 30 */
static unsigned int n_slabs;

static struct { bool up; uint64_t incarnation, session; } donors[NODES];

/* WRITEs of one donor to another that have not ended; answered: to the manager, if it still waits */
struct push { bool there; unsigned int from, to; int node; uint64_t offset, bytes; };
static struct push pushes[64];

static struct { uint32_t number; int node; uint64_t session, incarnation; bool there, live; } kpeers[64];
static struct kextent {
	uint64_t number;
	uint32_t generation;
	bool sealed;
	unsigned int n;
	struct { uint32_t peer; unsigned int slab; uint32_t rkey, missed; } members[FARSWAP_COPIES_MAX];
	uint32_t data[FRAMES];
} kextents[EXTENTS];
static unsigned int n_kextents;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

static bool chance(uint32_t in)
{
	return faults && !draw(in);
}

/* --- what the daemon is linked with --- */

uint64_t __wrap_farswap_now_ns(void);
uint64_t __wrap_farswap_now_ns(void)
{
	return now;
}

void device_kick(void)
{
	kicked = true;
}

void device_enter(enum device_phase phase)
{
	device.phase = phase;
	kicked = true;
}

void device_explain(char *out, size_t size)
{
	snprintf(out, size, "why");
}

void device_undo(const char *format, ...)
{
	fail_msg("undone: %s", format);
}

unsigned int device_extents_needed(void)
{
	return EXTENTS;
}

struct nl_msg *device_msg(int cmd, int dump)
{
	return farswap_nl_new(cmd, dump);
}

int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg)
{
	(void)source;
	(void)usec;
	(void)handler;
	(void)arg;
	return 0;
}

static void say(const char *format, va_list args)
{
	if (!getenv("VERBOSE"))
		return;
	printf("%8llu ms: ", (unsigned long long)(now / MS - 1000000));
	vprintf(format, args);
	printf("\n");
}

void farswap_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
{
	va_list args;

	(void)limit;
	va_start(args, format);
	say(format, args);
	va_end(args);
}

void kernel_listen(void)
{
}

struct link *link_of(const struct farswap_node *node)
{
	return &links[node - farswapd.conf.nodes];
}

uint64_t link_silent_ns(const struct link *link)
{
	(void)link;
	return 0;
}

bool link_is_well(const struct link *link)
{
	return link->state == LINK_READY;
}

/* --- the donors --- */

struct request {
	bool there;
	int node;
	union farswap_msg msg;
	link_answer answer;
	void *arg;
};

static struct request requests[QUEUE];
static unsigned int first_request, n_requests;

bool link_request(struct link *link, union farswap_msg *msg, link_answer answer, void *arg)
{
	struct request *request = &requests[(first_request + n_requests) % QUEUE];

	if (link->state != LINK_READY || n_requests == QUEUE || chance(50))
		return false;
	*request = (struct request) { true, (int)(link - links), *msg, answer, arg };
	n_requests++;
	return true;
}

static int kpeer_of(uint32_t number)
{
	int i;

	for (i = 0; i < 64; i++)
		if (kpeers[i].there && kpeers[i].number == number)
			return i;
	return -1;
}

static bool is_live(uint32_t number)
{
	int i = kpeer_of(number);

	return i >= 0 && kpeers[i].live;
}

/* a slab that the kernel may write to: nobody else may, and it must stay */
static struct kextent *member_of(unsigned int slab)
{
	unsigned int e, m;

	for (e = 0; e < n_kextents; e++)
		for (m = 0; m < kextents[e].n; m++)
			if (kextents[e].members[m].slab == slab)
				return &kextents[e];
	return NULL;
}

static void end_session(int node, bool asked)
{
	unsigned int s, e;

	for (s = 0; s < n_slabs; s++) {
		if (!slabs[s].there || slabs[s].node != node)
			continue;
		check(!asked || !member_of(s));	/* no set names it any more */
		slabs[s].there = false;
	}
	donors[node].session = 0;
	for (e = 0; e < 64; e++)
		if (kpeers[e].node == node)
			kpeers[e].live = false;
}

static void set_reject(union farswap_msg *answer, unsigned int type, unsigned int code)
{
	farswap_msg_make(answer, FARSWAP_MSG_REJECT, 0);
	answer->reject.type = htole16(type);
	answer->reject.code = htole16(code);
}

static void run_push(struct push *push)
{
	const struct kextent *extent = member_of(push->to);
	unsigned int f;

	push->there = false;
	if (!slabs[push->to].there || !slabs[push->from].there)
		return;
	check(!extent || extent->sealed);
	for (f = 0; f < FRAMES; f++)
		if (push->offset <= f * 4096ull * 7 && f * 4096ull * 7 < push->offset + push->bytes)
			slabs[push->to].data[f] = slabs[push->from].data[f];
}

static void tell_slab(unsigned int s, enum farswap_msg_type type, union farswap_msg *answer)
{
	farswap_msg_make(answer, type, 0);
	answer->grant.session = htole64(slabs[s].session);
	answer->grant.extent = htole64(slabs[s].extent);
	answer->grant.generation = htole32(slabs[s].generation);
	answer->grant.slab = htole64(s + 1);
	answer->grant.incarnation = htole64(slabs[s].incarnation);
	answer->grant.address = htole64((s + 1ull) << 30);
	answer->grant.rkey = htole32(slabs[s].rkey);
	answer->grant.bytes = htole64(2 << 20);
}

static void serve_grant(int node, const struct farswap_msg_grant *grant, union farswap_msg *answer)
{
	unsigned int s;

	for (s = 0; s < n_slabs; s++)
		if (slabs[s].there && slabs[s].node == node && slabs[s].extent == le64toh(grant->extent) &&
		    slabs[s].generation == le32toh(grant->generation))
			break;
	if (s == n_slabs) {
		check(n_slabs < SLABS);
		n_slabs++;
		slabs[s] = (struct slab) { .there = true, .node = node, .session = le64toh(grant->session),
			.extent = le64toh(grant->extent), .generation = le32toh(grant->generation), .incarnation = ++unique,
			.rkey = (uint32_t)++unique };
		memset(slabs[s].data, 0xee, sizeof(slabs[s].data));
	}
	tell_slab(s, FARSWAP_MSG_GRANTED, answer);
}

static struct push *serve_push(int node, const struct farswap_msg_push *ask, union farswap_msg *answer)
{
	unsigned int i, to = (unsigned int)(le64toh(ask->remote) >> 30) - 1;

	for (i = 0; i < 64 && pushes[i].there; i++)
		;
	check(i < 64 && to < n_slabs);
	if (chance(15)) {
		set_reject(answer, FARSWAP_MSG_PUSH, draw(2) ? FARSWAP_REJECT_CONNECT : FARSWAP_REJECT_NO_QUEUE);
		return NULL;
	}
	pushes[i] = (struct push) { true, (unsigned int)le64toh(ask->slab) - 1, to, node, le64toh(ask->offset), le64toh(ask->bytes) };
	/* its connection fails, and what it posted is still under way */
	if (!slabs[to].there || chance(30)) {
		pushes[i].there = slabs[to].there;
		set_reject(answer, FARSWAP_MSG_PUSH, FARSWAP_REJECT_WRITE);
		return NULL;
	}
	farswap_msg_make(answer, FARSWAP_MSG_PUSHED, 0);
	answer->push.session = ask->session;
	answer->push.slab = ask->slab;
	answer->push.offset = ask->offset;
	answer->push.bytes = ask->bytes;
	return &pushes[i];
}

static void serve_check(const struct farswap_msg_check *ask, union farswap_msg *answer)
{
	const struct slab *slab = &slabs[le64toh(ask->slab) - 1];
	uint32_t i;

	farswap_msg_make(answer, FARSWAP_MSG_CHECKED, 0);
	answer->checked.session = ask->session;
	answer->checked.slab = ask->slab;
	answer->checked.n = ask->n;
	for (i = 0; i < le32toh(ask->n); i++)
		if (slab->data[le32toh(ask->sums[i].frame) / 7] != le32toh(ask->sums[i].sum))
			answer->checked.differ[i / 8] |= (uint8_t)(1u << i % 8);
}

static void serve_list(int node, const struct farswap_msg_list *ask, union farswap_msg *answer)
{
	uint32_t s, n = 0;

	farswap_msg_make(answer, FARSWAP_MSG_LISTED, 0);
	answer->listed.session = ask->session;
	for (s = (uint32_t)le64toh(ask->after); s < n_slabs && n < FARSWAP_LIST_SLABS; s++)
		if (slabs[s].there && slabs[s].node == node)
			answer->listed.slabs[n++] = htole64(s + 1);
	answer->listed.n = htole32(n);
}

/* carried out; the push that is under way now, if it was one */
static struct push *serve(struct request *request, union farswap_msg *answer)
{
	union farswap_msg *msg = &request->msg;
	unsigned int type = le16toh(msg->head.type), e;
	uint64_t session = le64toh(msg->session.session);
	int node = request->node;

	check(farswap_msg_check(msg, le32toh(msg->head.bytes)) == FARSWAP_MSG_GOOD);
	if (type == FARSWAP_MSG_OPEN && !session && !donors[node].session)
		donors[node].session = session = ++unique;
	if (!session || donors[node].session != session) {
		set_reject(answer, type, FARSWAP_REJECT_NO_SESSION);
		return NULL;
	}
	switch (type) {
	case FARSWAP_MSG_REJOIN:
		for (e = 0; e < 64; e++)
			if (kpeers[e].node == node)
				kpeers[e].live = false;
		/* fall through */
	case FARSWAP_MSG_OPEN:
		farswap_msg_make(answer, type + 1, 0);
		answer->session.session = htole64(session);
		answer->session.rdma_port = htole16(7474);
		break;
	case FARSWAP_MSG_TOKEN:
		farswap_msg_make(answer, FARSWAP_MSG_TOKEN_OK, 0);
		answer->token.session = htole64(session);
		answer->token.token[0] = 1;
		break;
	case FARSWAP_MSG_GRANT:
		serve_grant(node, &msg->grant, answer);
		break;
	case FARSWAP_MSG_CLOSE:
		end_session(node, true);
		farswap_msg_make(answer, FARSWAP_MSG_CLOSED, 0);
		answer->session.session = htole64(session);
		break;
	case FARSWAP_MSG_RELEASE:
		check(!member_of((unsigned int)le64toh(msg->slab.slab) - 1));
		if (!slabs[le64toh(msg->slab.slab) - 1].there) {
			set_reject(answer, type, FARSWAP_REJECT_NO_SLAB);
			break;
		}
		slabs[le64toh(msg->slab.slab) - 1].there = false;
		farswap_msg_make(answer, FARSWAP_MSG_RELEASED, 0);
		answer->slab = msg->slab;
		answer->head.type = htole16(FARSWAP_MSG_RELEASED);
		break;
	case FARSWAP_MSG_PUSH:
		return serve_push(node, &msg->push, answer);
	case FARSWAP_MSG_LIST:
		serve_list(node, &msg->list, answer);
		break;
	case FARSWAP_MSG_CHECK:
		serve_check(&msg->check, answer);
		break;
	case FARSWAP_MSG_LOCATE:
		check(slabs[le64toh(msg->slab.slab) - 1].there);
		tell_slab((unsigned int)le64toh(msg->slab.slab) - 1, FARSWAP_MSG_LOCATED, answer);
		break;
	default:
		fail_msg("request %u", type);
	}
	return NULL;
}

/* every request of that link that is still in the air gets no answer; some are carried out all the same */
static void break_link(int node, bool tell)
{
	struct request taken[QUEUE];
	union farswap_msg answer;
	unsigned int i, n = n_requests, k = 0;

	links[node].state = LINK_BROKEN;
	for (i = 0; i < n; i++) {
		struct request *request = &requests[(first_request + i) % QUEUE];

		if (!request->there || request->node != node)
			continue;
		taken[k++] = *request;
		request->there = false;
		if (!donors[node].up || draw(2))
			continue;
		if (le16toh(request->msg.head.type) == FARSWAP_MSG_GRANT)
			lost_grants++;
		serve(request, &answer);
	}
	for (i = 0; i < k && tell; i++)
		taken[i].answer(&links[node], NULL, taken[i].arg);
	kicked = true;
}

static void run_request(void)
{
	struct request request = requests[first_request];
	union farswap_msg answer;
	struct push *push;

	first_request = (first_request + 1) % QUEUE;
	n_requests--;
	if (!request.there)
		return;
	push = serve(&request, &answer);
	if (push && chance(30)) {	/* it goes on for long, and the control connection does not */
		links[request.node].state = LINK_BROKEN;
		request.answer(&links[request.node], NULL, request.arg);
		break_link(request.node, true);
		return;
	}
	if (push)
		run_push(push);
	check(farswap_msg_check(&answer, le32toh(answer.head.bytes)) == FARSWAP_MSG_GOOD);
	request.answer(&links[request.node], &answer, request.arg);
}

/* --- the kernel --- */

struct call {
	struct nl_msg *msg;
	kernel_done done;
	void *arg;
};

static struct call calls[QUEUE];
static unsigned int first_call, n_calls;

void kernel_call(struct nl_msg *msg, kernel_done done, void *arg)
{
	check(msg && n_calls < QUEUE);
	calls[(first_call + n_calls++) % QUEUE] = (struct call) { msg, done, arg };
}

static struct kernel_answer *add_answer(struct kernel_answer *before, struct nl_msg *msg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct kernel_answer *answer = malloc(sizeof(*answer) + nlh->nlmsg_len), *last = before;

	memcpy(answer->nlh, nlh, nlh->nlmsg_len);
	answer->next = NULL;
	nlmsg_free(msg);
	while (last && last->next)
		last = last->next;
	if (last)
		last->next = answer;
	return before ? before : answer;
}

static struct kernel_answer *get_device(void)
{
	struct nl_msg *msg = farswap_nl_new(FARSWAP_CMD_DEV_GET, 0);

	nla_put_u8(msg, FARSWAP_A_DEV_STATE, FARSWAP_DEV_UP);
	nla_put_u64(msg, FARSWAP_A_SIZE, EXTENTS * (2ull << 20));
	nla_put_u64(msg, FARSWAP_A_SLAB_BYTES, 2 << 20);
	nla_put_u8(msg, FARSWAP_A_COPIES, COPIES);
	nla_put_u32(msg, FARSWAP_A_SPARES, 1);
	nla_put_u32(msg, FARSWAP_A_QUEUES, 2);
	nla_put_u32(msg, FARSWAP_A_WANT, EXTENTS - n_kextents);
	return add_answer(NULL, msg);
}

static struct kernel_answer *get_peers(void)
{
	struct kernel_answer *all = NULL;
	int i;

	for (i = 0; i < 64; i++) {
		struct nl_msg *msg;

		if (!kpeers[i].there)
			continue;
		msg = farswap_nl_new(FARSWAP_CMD_PEER_GET, 0);
		nla_put_u32(msg, FARSWAP_A_NODE, kpeers[i].number);
		nla_put_string(msg, FARSWAP_A_PEER_NAME, farswapd.conf.nodes[kpeers[i].node].name);
		nla_put_u8(msg, FARSWAP_A_PEER_STATE, kpeers[i].live ? FARSWAP_PEER_LIVE : FARSWAP_PEER_LOST);
		nla_put_u64(msg, FARSWAP_A_SESSION, kpeers[i].session);
		nla_put_u64(msg, FARSWAP_A_INCARNATION, kpeers[i].incarnation);
		all = add_answer(all, msg);
	}
	return all;
}

static struct kernel_answer *get_extents(void)
{
	struct kernel_answer *all = NULL;
	unsigned int e, m;

	for (e = n_kextents; e-- > 0;) {
		struct nl_msg *msg = farswap_nl_new(FARSWAP_CMD_EXTENT_GET, 0);
		struct nlattr *nest, *one;

		nla_put_u64(msg, FARSWAP_A_EXTENT, kextents[e].number);
		nla_put_u32(msg, FARSWAP_A_GENERATION, kextents[e].generation);
		nla_put_u8(msg, FARSWAP_A_SEALED, kextents[e].sealed);
		nla_put_u32(msg, FARSWAP_A_FRAMES_USED, FRAMES);
		nest = nla_nest_start(msg, FARSWAP_A_MEMBERS);
		for (m = 0; m < kextents[e].n; m++) {
			unsigned int s = kextents[e].members[m].slab;

			one = nla_nest_start(msg, FARSWAP_A_MEMBER);
			nla_put_u32(msg, FARSWAP_A_NODE, kextents[e].members[m].peer);
			nla_put_u64(msg, FARSWAP_A_SLAB, s + 1);
			nla_put_u64(msg, FARSWAP_A_INCARNATION, slabs[s].incarnation);
			nla_put_u64(msg, FARSWAP_A_REMOTE, (s + 1ull) << 30);
			nla_put_u32(msg, FARSWAP_A_RKEY, kextents[e].members[m].rkey);
			nla_put_u32(msg, FARSWAP_A_MISSED, (uint32_t)__builtin_popcount(kextents[e].members[m].missed));
			nla_nest_end(msg, one);
		}
		nla_nest_end(msg, nest);
		all = add_answer(all, msg);
	}
	return all;
}

static struct kernel_answer *get_sums(const struct kextent *extent)
{
	struct kernel_answer *all = NULL;
	struct farswap_sum sums[FRAMES];
	unsigned int f, n = 0;

	for (f = FRAMES; f-- > 0;) {
		if (extent->data[f])
			sums[n++] = (struct farswap_sum) { .frame = f * 7, .length = 4096, .sum = extent->data[f] };
		if (n && (f % 5 == 0 || !f)) {
			struct nl_msg *msg = farswap_nl_new(FARSWAP_CMD_SUM_GET, 0);

			nla_put(msg, FARSWAP_A_SUMS, (int)(n * sizeof(sums[0])), sums);
			all = add_answer(all, msg);
			n = 0;
		}
	}
	return all;
}

static int add_peer(struct nlattr *const *attrs)
{
	uint64_t session = farswap_nl_u64(attrs, FARSWAP_A_SESSION);
	int i, node = (int)(farswap_conf_node(&farswapd.conf, farswap_nl_string(attrs, FARSWAP_A_PEER_NAME)) - farswapd.conf.nodes);

	check(kpeer_of(farswap_nl_u32(attrs, FARSWAP_A_NODE)) < 0);
	if (!donors[node].up || donors[node].session != session || chance(4))
		return -ETIMEDOUT;
	for (i = 0; i < 64 && kpeers[i].there; i++)
		check(!kpeers[i].live || kpeers[i].node != node);	/* one live peer to a node */
	check(i < 64);
	kpeers[i].there = kpeers[i].live = true;
	kpeers[i].number = farswap_nl_u32(attrs, FARSWAP_A_NODE);
	kpeers[i].node = node;
	kpeers[i].session = session;
	kpeers[i].incarnation = farswap_nl_u64(attrs, FARSWAP_A_INCARNATION);
	return 0;
}

static int del_peer(uint32_t number)
{
	int i = kpeer_of(number);
	unsigned int e, m;

	check(i >= 0 && !kpeers[i].live);
	for (e = 0; e < n_kextents; e++)
		for (m = 0; m < kextents[e].n; m++)
			if (kextents[e].members[m].peer == number)
				return -EBUSY;
	kpeers[i].there = false;
	return 0;
}

/* a member's memory holds the page, whether it can be reached or not */
static bool somebody_has(const struct kextent *extent, unsigned int f)
{
	unsigned int m;

	for (m = 0; m < extent->n; m++)
		if (slabs[extent->members[m].slab].there && slabs[extent->members[m].slab].data[f] == extent->data[f])
			return true;
	return false;
}

/* EXTENT_ADD and EXTENT_SET */
static int set_members(struct kextent *extent, struct nlattr *const *attrs)
{
	struct nlattr *member[FARSWAP_A_MAX + 1], *one;
	struct kextent old = *extent;
	unsigned int m, f;
	int left;

	extent->n = 0;
	nla_for_each_nested(one, attrs[FARSWAP_A_MEMBERS], left) {
		uint32_t succeeds;

		check(!farswap_nl_parse_nested(one, member));
		succeeds = farswap_nl_u32(member, FARSWAP_A_SUCCEEDS);
		extent->members[extent->n].peer = farswap_nl_u32(member, FARSWAP_A_NODE);
		extent->members[extent->n].slab = (unsigned int)farswap_nl_u64(member, FARSWAP_A_SLAB) - 1;
		extent->members[extent->n].rkey = farswap_nl_u32(member, FARSWAP_A_RKEY);
		extent->members[extent->n].missed = 0;
		check(kpeer_of(extent->members[extent->n].peer) >= 0);
		for (m = 0; m < old.n; m++) {
			if (old.members[m].peer != succeeds)
				continue;
			check(old.members[m].slab == extent->members[extent->n].slab);
			extent->members[extent->n].missed = old.members[m].missed;
		}
		if (!succeeds) {	/* said to be whole: it is, and nobody writes to it any more */
			unsigned int s = extent->members[extent->n].slab;

			for (f = 0; f < FRAMES && old.n; f++)
				check(!old.data[f] || slabs[s].data[f] == old.data[f] || !slabs[s].there || !somebody_has(&old, f));
			for (f = 0; f < 64; f++)
				check(!pushes[f].there || pushes[f].to != s);
		}
		extent->n++;
	}
	check(extent->n && extent->n <= COPIES);
	extent->generation = farswap_nl_u32(attrs, FARSWAP_A_GENERATION);
	extent->sealed = false;
	return 0;
}

static struct kextent *kextent_of(struct nlattr *const *attrs)
{
	unsigned int e;

	for (e = 0; e < n_kextents; e++)
		if (kextents[e].number == farswap_nl_u64(attrs, FARSWAP_A_EXTENT))
			return &kextents[e];
	return NULL;
}

static int run_extent_command(int cmd, struct nlattr *const *attrs)
{
	struct kextent *extent = kextent_of(attrs);
	uint32_t generation = farswap_nl_u32(attrs, FARSWAP_A_GENERATION);

	if (cmd == FARSWAP_CMD_EXTENT_ADD) {
		if (extent)
			return -EEXIST;
		check(n_kextents < EXTENTS);
		extent = &kextents[n_kextents++];
		extent->number = farswap_nl_u64(attrs, FARSWAP_A_EXTENT);
		return set_members(extent, attrs);
	}
	check(extent);
	if (cmd == FARSWAP_CMD_EXTENT_SET) {
		if (!extent->sealed)
			return -EINVAL;
		check(generation == extent->generation + 1);
		return set_members(extent, attrs);
	}
	if (generation != extent->generation)
		return -ESTALE;
	if (cmd == FARSWAP_CMD_EXTENT_SEAL && (extent->sealed || chance(10)))
		return extent->sealed ? -EBUSY : -ETIMEDOUT;
	extent->sealed = cmd == FARSWAP_CMD_EXTENT_SEAL;
	return 0;
}

static void run_call(void)
{
	struct call call = calls[first_call];
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct kernel_answer *answers = NULL, *next;
	int error = 0, cmd = ((struct genlmsghdr *)nlmsg_data(nlmsg_hdr(call.msg)))->cmd;

	first_call = (first_call + 1) % QUEUE;
	n_calls--;
	check(!farswap_nl_parse(nlmsg_hdr(call.msg), attrs));
	if (chance(40))
		error = -EIO;
	else if (cmd == FARSWAP_CMD_DEV_GET)
		answers = get_device();
	else if (cmd == FARSWAP_CMD_PEER_GET)
		answers = get_peers();
	else if (cmd == FARSWAP_CMD_EXTENT_GET)
		answers = get_extents();
	else if (cmd == FARSWAP_CMD_SUM_GET)
		answers = get_sums(kextent_of(attrs));
	else if (cmd == FARSWAP_CMD_PEER_ADD)
		error = add_peer(attrs);
	else if (cmd == FARSWAP_CMD_PEER_DEL)
		error = del_peer(farswap_nl_u32(attrs, FARSWAP_A_NODE));
	else
		error = run_extent_command(cmd, attrs);
	/* carried out, and not told */
	if (!error && cmd >= FARSWAP_CMD_EXTENT_SEAL && cmd <= FARSWAP_CMD_EXTENT_SET && chance(30))
		error = -ETIMEDOUT;
	call.done(error, error ? strerror(-error) : "", error ? NULL : answers, call.arg);
	for (; answers; answers = next) {
		next = answers->next;
		free(answers);
	}
	nlmsg_free(call.msg);
}

/* a page is stored: on every live member; the others have missed it */
static void store(struct kextent *extent)
{
	unsigned int m, f = draw(FRAMES);

	if (extent->sealed)
		return;
	for (m = 0; m < extent->n && !is_live(extent->members[m].peer); m++)
		;
	if (m == extent->n)
		return;
	extent->data[f] = (uint32_t)++unique;
	for (m = 0; m < extent->n; m++) {
		if (is_live(extent->members[m].peer)) {
			check(extent->members[m].rkey == slabs[extent->members[m].slab].rkey);
			slabs[extent->members[m].slab].data[f] = extent->data[f];
			extent->members[m].missed &= ~(1u << f);
		} else {
			extent->members[m].missed |= 1u << f;
		}
	}
}

static bool has_right(const struct kextent *extent, unsigned int m, unsigned int f)
{
	return is_live(extent->members[m].peer) && slabs[extent->members[m].slab].data[f] == extent->data[f];
}

/* the kernel mends what a live member missed */
static void mend(struct kextent *extent)
{
	unsigned int m, k, f;

	for (f = 0; f < FRAMES; f++) {
		for (m = 0; m < extent->n; m++) {
			if (!(extent->members[m].missed >> f & 1) || !is_live(extent->members[m].peer))
				continue;
			for (k = 0; k < extent->n && !has_right(extent, k, f); k++)
				;
			if (k == extent->n)
				continue;
			slabs[extent->members[m].slab].data[f] = extent->data[f];
			extent->members[m].missed &= ~(1u << f);
		}
	}
}

/* --- the world goes on --- */

/* would every page still have a live right copy without that donor? */
static bool can_do_without(int node)
{
	unsigned int e, m, f;

	for (e = 0; e < n_kextents; e++) {
		for (f = 0; f < FRAMES; f++) {
			if (!kextents[e].data[f])
				continue;
			for (m = 0; m < kextents[e].n; m++)
				if (has_right(&kextents[e], m, f) && slabs[kextents[e].members[m].slab].node != node)
					break;
			if (m == kextents[e].n)
				return false;
		}
	}
	return true;
}

static void end_daemon(int node)
{
	unsigned int i;

	donors[node].up = false;
	end_session(node, false);
	for (i = 0; i < 64; i++)
		pushes[i].there &= pushes[i].node != node;
	break_link(node, true);
}

/* planned: its slabs are handed on, and registered anew */
static void restart_daemon(int node)
{
	unsigned int i;

	break_link(node, true);
	for (i = 0; i < 64; i++) {
		if (kpeers[i].node == node)
			kpeers[i].live = false;
		pushes[i].there &= pushes[i].node != node && slabs[pushes[i].to].node != node;
	}
	for (i = 0; i < n_slabs; i++)
		if (slabs[i].node == node)
			slabs[i].rkey = (uint32_t)++unique;
}

static void restart_manager(void)
{
	int node;

	while (n_calls)
		run_call();
	for (node = 1; node < NODES; node++)
		break_link(node, false);
	n_requests = 0;
	extent_table_free(&device.table);
	repair_reset();
	memset(&device, 0, sizeof(device));
	adopt_start();
}

static void trouble(void)
{
	int node = 1 + (int)draw(NODES - 1), i;

	switch (draw(9)) {
	case 0:
		if (donors[node].up && can_do_without(node))
			end_daemon(node);
		break;
	case 1:
	case 2:
	case 3:
		break_link(node, true);
		break;
	case 4:
	case 5:
		if (!can_do_without(node))
			break;
		for (i = 0; i < 64; i++)	/* its queue pairs break */
			if (kpeers[i].node == node)
				kpeers[i].live = false;
		break;
	case 6:
		if (n_kextents == EXTENTS && device.phase == PHASE_UP)
			restart_manager();
		break;
	case 7:
		if (donors[node].up && can_do_without(node))
			restart_daemon(node);
		break;
	default:
		for (i = 0; i < 64; i++)	/* late WRITEs land */
			if (pushes[i].there)
				run_push(&pushes[i]);
	}
}

static void turn(void)
{
	unsigned int node, e;

	now += draw(30) * MS;
	if (chance(40))
		trouble();
	for (node = 1; node < NODES; node++) {
		if (!donors[node].up && !draw(faults ? 400 : 5)) {
			donors[node].up = true;
			donors[node].incarnation = ++unique;
		}
		if (donors[node].up && links[node].state != LINK_READY && !draw(faults ? 100 : 5)) {
			links[node].state = LINK_READY;
			links[node].incarnation = donors[node].incarnation;
			links[node].room = 50;
			kicked = true;
		}
	}
	for (e = 0; e < n_kextents; e++) {
		if (!draw(10))
			store(&kextents[e]);
		if (!draw(20))
			mend(&kextents[e]);
	}
	if (n_calls && draw(2))
		run_call();
	if (n_requests && draw(2))
		run_request();
	if (!draw(30)) {
		if (device.phase == PHASE_UP)
			upkeep_poll();
		else if (!device.in_air)
			adopt_start();
		kicked = true;
	}
	if (kicked && device.phase == PHASE_UP) {
		kicked = false;
		upkeep_advance();
	}
}

static void begin(uint64_t s)
{
	static char dir[] = "/tmp/farswap-repair.XXXXXX";
	static bool made;
	int i;

	if (!made)
		check(mkdtemp(dir));
	made = true;
	first_seed = seed = s;
	memset(&device, 0, sizeof(device));
	memset(slabs, 0, sizeof(slabs));
	memset(kpeers, 0, sizeof(kpeers));
	memset(kextents, 0, sizeof(kextents));
	memset(pushes, 0, sizeof(pushes));
	memset(donors, 0, sizeof(donors));
	n_slabs = n_kextents = n_calls = n_requests = lost_grants = 0;
	now = 1000000 * MS;
	farswapd.run_dir = dir;
	farswapd.conf.slab_bytes = 2 << 20;
	farswapd.conf.replace_after_s = 5;
	farswapd.conf.port = 7474;
	farswapd.conf.n_nodes = NODES;
	farswapd.self = &farswapd.conf.nodes[0];
	for (i = 0; i < NODES; i++) {
		snprintf(farswapd.conf.nodes[i].name, sizeof(farswapd.conf.nodes[i].name), "n%d", i);
		farswapd.conf.nodes[i].lend = i ? 100 : 0;
		farswap_addr_parse("10.0.0.1", 7474, &farswapd.conf.nodes[i].addr);
		links[i] = (struct link) { .node = &farswapd.conf.nodes[i], .state = LINK_BROKEN };
	}
	farswap_name_copy(device.name, "farswap0");
	device.slab_bytes = 2 << 20;
	device.size = EXTENTS * device.slab_bytes;
	device.copies = COPIES;
	device.queues = 2;
	device.next_peer = device.next_extent = 1;
	device.phase = PHASE_UP;
	device.in_kernel = true;
	check(!adopt_remember(device.name));
}

static void end(void)
{
	while (n_calls)
		run_call();
	extent_table_free(&device.table);
	repair_reset();
	adopt_forget();
}

static bool all_whole(void)
{
	unsigned int e, m, f;

	for (e = 0; e < n_kextents; e++) {
		if (kextents[e].sealed || kextents[e].n != COPIES)
			return false;
		for (m = 0; m < kextents[e].n; m++) {
			if (!is_live(kextents[e].members[m].peer))
				return false;
			for (f = 0; f < FRAMES; f++)
				if (kextents[e].data[f] && !has_right(&kextents[e], m, f))
					return false;
		}
	}
	return n_kextents == EXTENTS;
}

/* for whoever has to find out why */
static void show(void)
{
	static const char * const states[] = { "free", "opening", "rejoining", "waiting", "tokens", "adding", "live", "suspect",
		"former", "lost", "failed" };
	const struct device_peer *peer;
	unsigned int e, m, f;

	for (e = 0; e < n_kextents; e++) {
		printf("extent %llu generation %u%s:", (unsigned long long)kextents[e].number, kextents[e].generation,
		       kextents[e].sealed ? " sealed" : "");
		for (m = 0; m < kextents[e].n; m++) {
			printf(" peer %u%s slab %u%s ", kextents[e].members[m].peer, is_live(kextents[e].members[m].peer) ? " live" : "",
			       kextents[e].members[m].slab + 1, slabs[kextents[e].members[m].slab].there ? "" : " gone");
			for (f = 0; f < FRAMES; f++)
				printf("%c", !kextents[e].data[f] ? '-' : has_right(&kextents[e], m, f) ? '+' : 'x');
		}
		printf("\n");
	}
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state)
			printf("peer %u %s %s%s%s%s\n", peer->number, peer->link->node->name, states[peer->state],
			       peer->in_kernel ? " in the kernel" : "", peer->closed ? " closed" : "", peer->in_air ? " asked" : "");
	printf("phase %d, repair step %d, waiting %d, stale %d, unsettled %d: %s\n", device.phase, device.repair.step,
	       device.repair.waiting, device.stale, device.unsettled, device.repair.why);
}

static unsigned int slabs_there(void)
{
	unsigned int s, n = 0;

	for (s = 0; s < n_slabs; s++)
		n += slabs[s].there;
	return n;
}

static unsigned int dead_peers(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < 64; i++)
		n += kpeers[i].there && !kpeers[i].live;
	return n;
}

/* without faults for long enough: whole, on different nodes, nothing left over */
static void settle(void)
{
	unsigned int turns, e, m, k;
	bool used[NODES];

	faults = false;
	for (turns = 0; turns < 60000 && !(all_whole() && !dead_peers() && turns > 3000); turns++)
		turn();
	if (!all_whole() || dead_peers())
		show();
	check(all_whole());
	check(!dead_peers());
	for (e = 0; e < n_kextents; e++) {
		memset(used, 0, sizeof(used));
		for (m = 0; m < kextents[e].n; m++) {
			k = (unsigned int)slabs[kextents[e].members[m].slab].node;
			check(!used[k]);
			used[k] = true;
		}
	}
}

static void everything_fails_and_all_is_whole_again(void **state)
{
	unsigned int rounds = getenv("ROUNDS") ? (unsigned int)atoi(getenv("ROUNDS")) : 25, i, round;
	uint64_t repaired = 0;

	(void)state;
	for (round = 1; round <= rounds; round++) {
		begin(round);
		settle();
		check(slabs_there() == EXTENTS * COPIES);
		for (i = 0; i < 4; i++) {
			unsigned int turns;

			faults = true;
			for (turns = 0; turns < 5000; turns++)
				turn();
			settle();
			repaired += device.repair.extents_done;
		}
		/* also what a daemon was granted and did not live to hear of, or to give back, is found */
		check(slabs_there() == EXTENTS * COPIES);
		end();
	}
	printf("%u rounds, %llu copies replaced\n", rounds, (unsigned long long)repaired);
	assert_true(repaired > rounds);
}

/* queue pairs that broke while the daemon lives cost no new slab, however often */
static void a_rejoin_costs_no_slab(void **state)
{
	unsigned int i, k, before;

	(void)state;
	begin(4711);
	settle();
	before = n_slabs;
	for (i = 0; i < 20; i++) {
		for (k = 0; k < 64; k++)
			if (kpeers[k].node == 1 + (int)(i % (NODES - 1)))
				kpeers[k].live = false;
		settle();
		check(n_slabs == before);
	}
	assert_int_equal(slabs_there(), EXTENTS * COPIES);
	end();
}

/* nor do restarts of daemons that hand their slabs on */
static void a_planned_restart_costs_no_slab(void **state)
{
	unsigned int i, before;
	uint64_t done;

	(void)state;
	begin(4717);
	settle();
	before = n_slabs;
	done = device.repair.extents_done;
	for (i = 0; i < 20; i++) {
		restart_daemon(1 + (int)(i % (NODES - 1)));
		settle();
		check(n_slabs == before);
	}
	assert_int_equal(slabs_there(), EXTENTS * COPIES);
	assert_int_equal(device.repair.extents_done, done);
	end();
}

/* all of them at once, for long: the client's own link. Nobody is given up. */
static void a_flap_of_the_clients_link_costs_no_slab(void **state)
{
	unsigned int node, k, before;

	(void)state;
	begin(4712);
	settle();
	before = n_slabs;
	for (node = 1; node < NODES; node++) {
		break_link((int)node, true);
		links[node].state = LINK_CONNECTING;
	}
	for (k = 0; k < 64; k++)
		kpeers[k].live = false;
	for (k = 0; k < 3000; k++) {
		for (node = 1; node < NODES; node++)
			links[node].state = LINK_BROKEN;
		now += 20 * MS;
		if (n_calls)
			run_call();
		if (!(k % 50))
			upkeep_poll();
		upkeep_advance();
	}
	settle();
	assert_int_equal(n_slabs, before);
	end();
}

/* without stores, mending or other faults; the node's link stays broken */
static void time_passes(int cut, unsigned int seconds)
{
	unsigned int k;

	for (k = 0; k < seconds * 50; k++) {
		links[cut].state = LINK_BROKEN;
		now += 20 * MS;
		if (n_calls)
			run_call();
		if (n_requests)
			run_request();
		if (!(k % 50))
			upkeep_poll();
		upkeep_advance();
	}
}

static void cut_off(int node)
{
	unsigned int k;

	break_link(node, true);
	for (k = 0; k < 64; k++)
		if (kpeers[k].node == node)
			kpeers[k].live = false;
}

static unsigned int named_at(int node)
{
	unsigned int e, m, n = 0;

	for (e = 0; e < n_kextents; e++)
		for (m = 0; m < kextents[e].n; m++)
			n += slabs[kextents[e].members[m].slab].node == node;
	return n;
}

/* the others are live and miss a page: only the one that is away has it */
static void a_live_member_that_missed_is_no_copy(void **state)
{
	struct kextent *extent = &kextents[0];
	unsigned int m, before;
	int node;

	(void)state;
	begin(4713);
	settle();
	node = slabs[extent->members[0].slab].node;
	cut_off(node);
	for (m = 1; m < extent->n; m++) {
		extent->members[m].missed |= 1;
		slabs[extent->members[m].slab].data[0] = 0xbad;
	}
	before = named_at(node);
	time_passes(node, 60);
	assert_int_equal(named_at(node), before);
	settle();
	end();
}

/* given up and not replaced yet, it comes back to what it has */
static void a_lost_member_rejoins_until_it_is_replaced(void **state)
{
	unsigned int before;
	int node;

	(void)state;
	begin(4714);
	settle();
	node = slabs[kextents[0].members[0].slab].node;
	for (before = 1; before < NODES; before++)
		links[before].room = 0;		/* nowhere to replace it */
	before = n_slabs;
	cut_off(node);
	time_passes(node, 60);
	assert_int_equal(peer_count(PEER_LOST), 1);
	links[node].state = LINK_READY;
	settle();
	assert_int_equal(n_slabs, before);
	end();
}

static uint64_t pages_lost(void)
{
	struct repair_progress progress;

	repair_progress(&progress);
	return progress.pages_lost;
}

/* one is away with the only right copy of a page, one is replaced, and one is live and does not know that it has it wrong */
static int leave_one_right_copy(uint64_t s)
{
	struct kextent *extent = &kextents[0];
	int away;

	begin(s);
	settle();
	away = slabs[extent->members[0].slab].node;
	extent->data[0] = (uint32_t)++unique;
	slabs[extent->members[0].slab].data[0] = extent->data[0];
	cut_off(away);
	end_daemon(slabs[extent->members[1].slab].node);
	return away;
}

static void the_member_that_may_have_a_page_is_waited_for(void **state)
{
	struct kextent *extent = &kextents[0];
	int away = leave_one_right_copy(4715);

	(void)state;
	time_passes(away, 60);
	assert_int_equal(slabs[extent->members[0].slab].node, away);
	assert_int_equal(pages_lost(), 0);
	extent->members[2].missed |= 1;		/* a load has found it wrong */
	settle();
	assert_int_equal(pages_lost(), 0);
	end();
}

static void what_nobody_has_does_not_keep_an_extent_degraded(void **state)
{
	struct kextent *extent = &kextents[0];
	int away = leave_one_right_copy(4716), gone = slabs[extent->members[1].slab].node, node;
	unsigned int m;

	(void)state;
	end_daemon(away);
	for (node = 1; node < NODES; node++) {
		if (node != away && node != gone)
			continue;
		donors[node].up = true;
		donors[node].incarnation = links[node].incarnation = ++unique;
		links[node].state = LINK_READY;
	}
	time_passes(0, 120);
	assert_int_equal(extent->n, COPIES);
	for (m = 0; m < COPIES; m++)
		assert_true(is_live(extent->members[m].peer));
	assert_int_equal(pages_lost(), 1);
	end();
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(farswapd.run_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rejoin_costs_no_slab),
		cmocka_unit_test(a_planned_restart_costs_no_slab),
		cmocka_unit_test(a_flap_of_the_clients_link_costs_no_slab),
		cmocka_unit_test(a_live_member_that_missed_is_no_copy),
		cmocka_unit_test(a_lost_member_rejoins_until_it_is_replaced),
		cmocka_unit_test(the_member_that_may_have_a_page_is_waited_for),
		cmocka_unit_test(what_nobody_has_does_not_keep_an_extent_degraded),
		cmocka_unit_test(everything_fails_and_all_is_whole_again),
	};

	return cmocka_run_group_tests(tests, NULL, remove_dir);
}

// SPDX-License-Identifier: GPL-2.0
#include "cluster.h"

struct call {
	struct nl_msg *msg;
	kernel_done done;
	void *arg;
};

static struct call calls[QUEUE];
static unsigned int first_call;

void kernel_call(struct nl_msg *msg, kernel_done done, void *arg)
{
	check(msg && cluster.n_calls < QUEUE);
	calls[(first_call + cluster.n_calls++) % QUEUE] = (struct call) { msg, done, arg };
}

static int kpeer_of(uint32_t number)
{
	int i;

	for (i = 0; i < 64; i++)
		if (cluster.kpeers[i].there && cluster.kpeers[i].number == number)
			return i;
	return -1;
}

bool cluster_is_live(uint32_t number)
{
	int i = kpeer_of(number);

	return i >= 0 && cluster.kpeers[i].live;
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
	nla_put_u32(msg, FARSWAP_A_WANT, EXTENTS - cluster.n_kextents);
	return add_answer(NULL, msg);
}

static struct kernel_answer *get_peers(void)
{
	struct kernel_answer *all = NULL;
	int i;

	for (i = 0; i < 64; i++) {
		struct nl_msg *msg;

		if (!cluster.kpeers[i].there)
			continue;
		msg = farswap_nl_new(FARSWAP_CMD_PEER_GET, 0);
		nla_put_u32(msg, FARSWAP_A_NODE, cluster.kpeers[i].number);
		nla_put_string(msg, FARSWAP_A_PEER_NAME, farswapd.conf.nodes[cluster.kpeers[i].node].name);
		nla_put_u8(msg, FARSWAP_A_PEER_STATE, cluster.kpeers[i].live ? FARSWAP_PEER_LIVE : FARSWAP_PEER_LOST);
		nla_put_u64(msg, FARSWAP_A_SESSION, cluster.kpeers[i].session);
		nla_put_u64(msg, FARSWAP_A_INCARNATION, cluster.kpeers[i].incarnation);
		all = add_answer(all, msg);
	}
	return all;
}

static struct kernel_answer *get_extents(void)
{
	struct kernel_answer *all = NULL;
	unsigned int e, m;

	for (e = cluster.n_kextents; e-- > 0;) {
		struct nl_msg *msg = farswap_nl_new(FARSWAP_CMD_EXTENT_GET, 0);
		struct nlattr *nest, *one;

		nla_put_u64(msg, FARSWAP_A_EXTENT, cluster.kextents[e].number);
		nla_put_u32(msg, FARSWAP_A_GENERATION, cluster.kextents[e].generation);
		nla_put_u8(msg, FARSWAP_A_SEALED, cluster.kextents[e].sealed);
		nla_put_u32(msg, FARSWAP_A_FRAMES_USED, FRAMES);
		nla_put_u64(msg, FARSWAP_A_USES, cluster.kextents[e].uses);
		nest = nla_nest_start(msg, FARSWAP_A_MEMBERS);
		for (m = 0; m < cluster.kextents[e].n; m++) {
			unsigned int s = cluster.kextents[e].members[m].slab;

			one = nla_nest_start(msg, FARSWAP_A_MEMBER);
			nla_put_u32(msg, FARSWAP_A_NODE, cluster.kextents[e].members[m].peer);
			nla_put_u64(msg, FARSWAP_A_SLAB, s + 1);
			nla_put_u64(msg, FARSWAP_A_INCARNATION, cluster.slabs[s].incarnation);
			nla_put_u64(msg, FARSWAP_A_REMOTE, (s + 1ull) << 30);
			nla_put_u32(msg, FARSWAP_A_RKEY, cluster.kextents[e].members[m].rkey);
			nla_put_u32(msg, FARSWAP_A_MISSED, (uint32_t)__builtin_popcount(cluster.kextents[e].members[m].missed));
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
	int i, live = 0, node = (int)(farswap_conf_node(&farswapd.conf, farswap_nl_string(attrs, FARSWAP_A_PEER_NAME)) - farswapd.conf.nodes);

	check(kpeer_of(farswap_nl_u32(attrs, FARSWAP_A_NODE)) < 0);
	if (!cluster.donors[node].up || cluster.donors[node].session != session || cluster_chance(4))
		return -ETIMEDOUT;
	for (i = 0; i < 64 && cluster.kpeers[i].there; i++) {
		check(!cluster.kpeers[i].live || cluster.kpeers[i].node != node);	/* one live peer to a node */
		live += cluster.kpeers[i].live;
	}
	if (live == DEVICE_LIVE_MAX)
		return -ENOSPC;
	check(i < 64);
	cluster.kpeers[i].there = cluster.kpeers[i].live = true;
	cluster.kpeers[i].dead = false;
	cluster.kpeers[i].number = farswap_nl_u32(attrs, FARSWAP_A_NODE);
	cluster.kpeers[i].node = node;
	cluster.kpeers[i].session = session;
	cluster.kpeers[i].incarnation = farswap_nl_u64(attrs, FARSWAP_A_INCARNATION);
	return 0;
}

/* whether it still answers, of which the kernel hears now */
static bool is_reached(uint32_t number)
{
	int i = kpeer_of(number);

	if (i >= 0)
		cluster.kpeers[i].live &= !cluster.kpeers[i].dead;
	return cluster_is_live(number);
}

static int lose_peer(uint32_t number)
{
	int i = kpeer_of(number);

	check(i >= 0 && (!cluster.kpeers[i].live || cluster.kpeers[i].dead));
	cluster.kpeers[i].live = false;
	return 0;
}

static int del_peer(uint32_t number)
{
	int i = kpeer_of(number);
	unsigned int e, m;

	check(i >= 0 && !cluster.kpeers[i].live);
	for (e = 0; e < cluster.n_kextents; e++)
		for (m = 0; m < cluster.kextents[e].n; m++)
			if (cluster.kextents[e].members[m].peer == number)
				return -EBUSY;
	cluster.kpeers[i].there = false;
	return 0;
}

/* a member's memory holds the page, whether it can be reached or not */
static bool somebody_has(const struct kextent *extent, unsigned int f)
{
	unsigned int m;

	for (m = 0; m < extent->n; m++)
		if (cluster.slabs[extent->members[m].slab].there && cluster.slabs[extent->members[m].slab].data[f] == extent->data[f])
			return true;
	return false;
}

static bool is_good(const struct kextent *extent, unsigned int member)
{
	return cluster_is_live(extent->members[member].peer) && !extent->members[member].missed;
}

/* kmod/seal.c's */
static bool too_few_stay(const struct kextent *old, const struct kextent *new)
{
	unsigned int m, k, good = 0;
	bool leaves = false, comes = false;

	for (m = 0; m < old->n; m++) {
		for (k = 0; k < new->n && new->members[k].slab != old->members[m].slab; k++)
			;
		leaves |= k == new->n && is_good(old, m);
	}
	for (k = 0; k < new->n; k++) {
		good += is_good(new, k);
		for (m = 0; m < old->n && old->members[m].slab != new->members[k].slab; m++)
			;
		comes |= m == old->n;
	}
	return leaves && (good + 1 < COPIES || good < (comes ? 1 : 2));
}

/* a copy that is there and can be read leaves only when there are enough without it, or when its donor cannot wait */
static void check_dropped(const struct kextent *old, const struct kextent *new)
{
	unsigned int m, k;

	for (m = 0; m < old->n; m++) {
		for (k = 0; k < new->n && new->members[k].slab != old->members[m].slab; k++)
			;
		check(k < new->n || new->n == COPIES || !cluster_is_live(old->members[m].peer) || !cluster.slabs[old->members[m].slab].there ||
		      cluster.slabs[old->members[m].slab].hurried);
	}
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
				check(!old.data[f] || cluster.slabs[s].data[f] == old.data[f] || !cluster.slabs[s].there || !somebody_has(&old, f));
			for (f = 0; f < 64; f++)
				check(!cluster.pushes[f].there || cluster.pushes[f].to != s);
		}
		extent->n++;
	}
	check(extent->n && extent->n <= COPIES);
	if (too_few_stay(&old, extent)) {
		*extent = old;
		return -ENODATA;
	}
	check_dropped(&old, extent);
	extent->generation = farswap_nl_u32(attrs, FARSWAP_A_GENERATION);
	extent->sealed = false;
	return 0;
}

static struct kextent *kextent_of(struct nlattr *const *attrs)
{
	unsigned int e;

	for (e = 0; e < cluster.n_kextents; e++)
		if (cluster.kextents[e].number == farswap_nl_u64(attrs, FARSWAP_A_EXTENT))
			return &cluster.kextents[e];
	return NULL;
}

static int run_extent_command(int cmd, struct nlattr *const *attrs)
{
	struct kextent *extent = kextent_of(attrs);
	uint32_t generation = farswap_nl_u32(attrs, FARSWAP_A_GENERATION);

	if (cmd == FARSWAP_CMD_EXTENT_ADD) {
		if (extent)
			return -EEXIST;
		check(cluster.n_kextents < EXTENTS);
		extent = &cluster.kextents[cluster.n_kextents++];
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
	if (cmd == FARSWAP_CMD_EXTENT_SEAL && (extent->sealed || cluster_chance(10)))
		return extent->sealed ? -EBUSY : -ETIMEDOUT;
	extent->sealed = cmd == FARSWAP_CMD_EXTENT_SEAL;
	return 0;
}

void cluster_run_call(void)
{
	struct call call = calls[first_call];
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct kernel_answer *answers = NULL, *next;
	int error = 0, cmd = ((struct genlmsghdr *)nlmsg_data(nlmsg_hdr(call.msg)))->cmd;

	first_call = (first_call + 1) % QUEUE;
	cluster.n_calls--;
	check(!farswap_nl_parse(nlmsg_hdr(call.msg), attrs));
	if (cluster_chance(40))
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
	else if (cmd == FARSWAP_CMD_PEER_LOST)
		error = lose_peer(farswap_nl_u32(attrs, FARSWAP_A_NODE));
	else if (cmd == FARSWAP_CMD_PEER_DEL)
		error = del_peer(farswap_nl_u32(attrs, FARSWAP_A_NODE));
	else
		error = run_extent_command(cmd, attrs);
	/* carried out, and not told */
	if (!error && cmd >= FARSWAP_CMD_EXTENT_SEAL && cmd <= FARSWAP_CMD_EXTENT_SET && cluster_chance(30))
		error = -ETIMEDOUT;
	call.done(error, error ? strerror(-error) : "", error ? NULL : answers, call.arg);
	for (; answers; answers = next) {
		next = answers->next;
		free(answers);
	}
	nlmsg_free(call.msg);
}

void cluster_store(struct kextent *extent)
{
	unsigned int m, f = cluster_draw(FRAMES);

	if (extent->sealed)
		return;
	for (m = 0; m < extent->n && !is_reached(extent->members[m].peer); m++)
		;
	if (m == extent->n)
		return;
	extent->data[f] = (uint32_t)++cluster.unique;
	extent->uses++;
	for (m = 0; m < extent->n; m++) {
		if (is_reached(extent->members[m].peer)) {
			check(extent->members[m].rkey == cluster.slabs[extent->members[m].slab].rkey);
			cluster.slabs[extent->members[m].slab].data[f] = extent->data[f];
			extent->members[m].missed &= ~(1u << f);
		} else {
			extent->members[m].missed |= 1u << f;
		}
	}
}

bool cluster_has_right(const struct kextent *extent, unsigned int m, unsigned int f)
{
	const struct slab *slab = &cluster.slabs[extent->members[m].slab];

	return cluster_is_live(extent->members[m].peer) && slab->there && slab->data[f] == extent->data[f];
}

void cluster_mend(struct kextent *extent)
{
	unsigned int m, k, f;

	for (f = 0; f < FRAMES; f++) {
		for (m = 0; m < extent->n; m++) {
			if (!(extent->members[m].missed >> f & 1) || !is_reached(extent->members[m].peer))
				continue;
			for (k = 0; k < extent->n && !cluster_has_right(extent, k, f); k++)
				;
			if (k == extent->n)
				continue;
			cluster.slabs[extent->members[m].slab].data[f] = extent->data[f];
			extent->members[m].missed &= ~(1u << f);
		}
	}
}

// SPDX-License-Identifier: GPL-2.0
#include "cluster.h"

struct request {
	bool there;
	int node;
	union farswap_msg msg;
	link_answer answer;
	void *arg;
};

static struct request requests[QUEUE];
static unsigned int first_request;

bool __real_farswap_msg_add_sum(union farswap_msg *msg, uint32_t frame, uint16_t offset, uint16_t length, uint32_t sum);
bool __wrap_farswap_msg_add_sum(union farswap_msg *msg, uint32_t frame, uint16_t offset, uint16_t length, uint32_t sum);
/* CHECKs are short, so that several are in the air */
bool __wrap_farswap_msg_add_sum(union farswap_msg *msg, uint32_t frame, uint16_t offset, uint16_t length, uint32_t sum)
{
	return le32toh(msg->check.n) < FRAMES / 4 && __real_farswap_msg_add_sum(msg, frame, offset, length, sum);
}

/* no piece of a copy that only moves goes before one of a copy that is missing, which could */
static bool is_out_of_turn(const struct repair_job *job)
{
	const struct repair_job *other = &device.repair.jobs[job == device.repair.jobs];

	return job->leaver && other->step == REPAIR_PUSH && !other->leaver && other->turn && !other->waiting;
}

bool link_request(struct link *link, union farswap_msg *msg, link_answer answer, void *arg)
{
	struct request *request = &requests[(first_request + cluster.n_requests) % QUEUE];

	if (link->state != LINK_READY || cluster.n_requests == QUEUE || cluster_chance(50))
		return false;
	check(le16toh(msg->head.type) != FARSWAP_MSG_PUSH || !is_out_of_turn(arg));
	*request = (struct request) { true, (int)(link - cluster.links), *msg, answer, arg };
	cluster.n_requests++;
	return true;
}

struct kextent *cluster_member_of(unsigned int slab)
{
	unsigned int e, m;

	for (e = 0; e < cluster.n_kextents; e++)
		for (m = 0; m < cluster.kextents[e].n; m++)
			if (cluster.kextents[e].members[m].slab == slab)
				return &cluster.kextents[e];
	return NULL;
}

void cluster_end_session(int node, bool asked)
{
	unsigned int s, e;

	for (s = 0; s < cluster.n_slabs; s++) {
		if (!cluster.slabs[s].there || cluster.slabs[s].node != node)
			continue;
		check(!asked || !cluster_member_of(s));	/* no set names it any more */
		cluster.slabs[s].there = false;
	}
	cluster.donors[node].session = 0;
	for (e = 0; e < 64; e++) {
		if (cluster.kpeers[e].node != node)
			continue;
		cluster.kpeers[e].dead = cluster_draw(2);
		cluster.kpeers[e].live &= cluster.kpeers[e].dead;
	}
}

static void set_reject(union farswap_msg *answer, unsigned int type, unsigned int code)
{
	farswap_msg_make(answer, FARSWAP_MSG_REJECT, 0);
	answer->reject.type = htole16(type);
	answer->reject.code = htole16(code);
}

void cluster_run_push(struct push *push)
{
	const struct kextent *extent = cluster_member_of(push->to);
	unsigned int f;

	push->there = false;
	if (!cluster.slabs[push->to].there || !cluster.slabs[push->from].there)
		return;
	check(!extent || extent->sealed);
	for (f = 0; f < FRAMES; f++)
		if (push->offset <= f * 4096ull * 7 && f * 4096ull * 7 < push->offset + push->bytes)
			cluster.slabs[push->to].data[f] = cluster.slabs[push->from].data[f];
}

static void tell_slab(unsigned int s, enum farswap_msg_type type, union farswap_msg *answer)
{
	farswap_msg_make(answer, type, 0);
	answer->grant.session = htole64(cluster.slabs[s].session);
	answer->grant.extent = htole64(cluster.slabs[s].extent);
	answer->grant.generation = htole32(cluster.slabs[s].generation);
	answer->grant.slab = htole64(s + 1);
	answer->grant.incarnation = htole64(cluster.slabs[s].incarnation);
	answer->grant.address = htole64((s + 1ull) << 30);
	answer->grant.rkey = htole32(cluster.slabs[s].rkey);
	answer->grant.bytes = htole64(2 << 20);
}

static void serve_grant(int node, const struct farswap_msg_grant *grant, union farswap_msg *answer)
{
	unsigned int s;

	for (s = 0; s < cluster.n_slabs; s++)
		if (cluster.slabs[s].there && cluster.slabs[s].node == node && cluster.slabs[s].extent == le64toh(grant->extent) &&
		    cluster.slabs[s].generation == le32toh(grant->generation))
			break;
	if (s == cluster.n_slabs) {
		check(cluster.n_slabs < SLABS);
		cluster.n_slabs++;
		cluster.slabs[s] = (struct slab) { .there = true, .node = node, .session = le64toh(grant->session),
			.extent = le64toh(grant->extent), .generation = le32toh(grant->generation), .incarnation = ++cluster.unique,
			.rkey = (uint32_t)++cluster.unique };
		memset(cluster.slabs[s].data, 0xee, sizeof(cluster.slabs[s].data));
	}
	tell_slab(s, FARSWAP_MSG_GRANTED, answer);
}

static struct push *serve_push(int node, const struct farswap_msg_push *ask, union farswap_msg *answer)
{
	unsigned int i, to = (unsigned int)(le64toh(ask->remote) >> 30) - 1;

	for (i = 0; i < 64 && cluster.pushes[i].there; i++)
		;
	check(i < 64 && to < cluster.n_slabs);
	if (cluster_chance(15)) {
		set_reject(answer, FARSWAP_MSG_PUSH, cluster_draw(2) ? FARSWAP_REJECT_CONNECT : FARSWAP_REJECT_NO_QUEUE);
		return NULL;
	}
	cluster.pushes[i] = (struct push) { true, (unsigned int)le64toh(ask->slab) - 1, to, node, le64toh(ask->offset), le64toh(ask->bytes) };
	/* its connection fails, and what it posted is still under way */
	if (!cluster.slabs[to].there || cluster_chance(30)) {
		cluster.pushes[i].there = cluster.slabs[to].there;
		set_reject(answer, FARSWAP_MSG_PUSH, FARSWAP_REJECT_WRITE);
		return NULL;
	}
	farswap_msg_make(answer, FARSWAP_MSG_PUSHED, 0);
	answer->push.session = ask->session;
	answer->push.slab = ask->slab;
	answer->push.offset = ask->offset;
	answer->push.bytes = ask->bytes;
	return &cluster.pushes[i];
}

static void serve_check(const struct farswap_msg_check *ask, union farswap_msg *answer)
{
	const struct slab *slab = &cluster.slabs[le64toh(ask->slab) - 1];
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
	for (s = (uint32_t)le64toh(ask->after); s < cluster.n_slabs && n < FARSWAP_LIST_SLABS; s++)
		if (cluster.slabs[s].there && cluster.slabs[s].node == node)
			answer->listed.slabs[n++] = htole64(s + 1);
	answer->listed.n = htole32(n);
}

static void serve_activity(const struct farswap_msg_activity *told, union farswap_msg *answer)
{
	uint32_t i, n = 0, urgent = 0;

	farswap_msg_make(answer, FARSWAP_MSG_ASKED, 0);
	answer->listed.session = told->session;
	for (i = 0; i < le32toh(told->n); i++) {
		struct slab *slab = &cluster.slabs[le64toh(told->slabs[i].slab) - 1];

		if (told->slabs[i].flags)
			slab->asked = slab->urgent = false;
		else if (!slab->asked)
			slab->asked = !cluster_draw(4);
		else
			slab->urgent |= cluster.hurry && !cluster_draw(4);
		if (!slab->asked)
			continue;
		slab->hurried |= slab->urgent;
		urgent |= (uint32_t)slab->urgent << n;
		answer->listed.slabs[n++] = told->slabs[i].slab;
	}
	answer->listed.n = htole32(n);
	answer->listed.urgent = htole32(urgent);
}

/* carried out; the push that is under way now, if it was one */
static struct push *serve(struct request *request, union farswap_msg *answer)
{
	union farswap_msg *msg = &request->msg;
	unsigned int type = le16toh(msg->head.type), e;
	uint64_t session = le64toh(msg->session.session);
	int node = request->node;

	check(farswap_msg_check(msg, le32toh(msg->head.bytes)) == FARSWAP_MSG_GOOD);
	if (type == FARSWAP_MSG_OPEN && !session && !cluster.donors[node].session)
		cluster.donors[node].session = session = ++cluster.unique;
	if (!session || cluster.donors[node].session != session) {
		set_reject(answer, type, FARSWAP_REJECT_NO_SESSION);
		return NULL;
	}
	switch (type) {
	case FARSWAP_MSG_REJOIN:
		for (e = 0; e < 64; e++)
			if (cluster.kpeers[e].node == node)
				cluster.kpeers[e].live = false;
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
		if (cluster.links[node].drained || cluster.links[node].is_short) {
			set_reject(answer, type, FARSWAP_REJECT_DRAINED);
			break;
		}
		serve_grant(node, &msg->grant, answer);
		break;
	case FARSWAP_MSG_CLOSE:
		cluster_end_session(node, true);
		farswap_msg_make(answer, FARSWAP_MSG_CLOSED, 0);
		answer->session.session = htole64(session);
		break;
	case FARSWAP_MSG_RELEASE:
		check(!cluster_member_of((unsigned int)le64toh(msg->slab.slab) - 1));
		if (!cluster.slabs[le64toh(msg->slab.slab) - 1].there) {
			set_reject(answer, type, FARSWAP_REJECT_NO_SLAB);
			break;
		}
		cluster.slabs[le64toh(msg->slab.slab) - 1].there = false;
		farswap_msg_make(answer, FARSWAP_MSG_RELEASED, 0);
		answer->slab = msg->slab;
		answer->head.type = htole16(FARSWAP_MSG_RELEASED);
		break;
	case FARSWAP_MSG_PUSH:
		return serve_push(node, &msg->push, answer);
	case FARSWAP_MSG_LIST:
		serve_list(node, &msg->list, answer);
		break;
	case FARSWAP_MSG_ACTIVITY:
		serve_activity(&msg->activity, answer);
		break;
	case FARSWAP_MSG_CHECK:
		serve_check(&msg->check, answer);
		break;
	case FARSWAP_MSG_LOCATE:
		if (!cluster.slabs[le64toh(msg->slab.slab) - 1].there) {
			set_reject(answer, type, FARSWAP_REJECT_NO_SLAB);
			break;
		}
		tell_slab((unsigned int)le64toh(msg->slab.slab) - 1, FARSWAP_MSG_LOCATED, answer);
		break;
	default:
		fail_msg("request %u", type);
	}
	return NULL;
}

void cluster_break_link(int node, bool tell)
{
	struct request taken[QUEUE];
	union farswap_msg answer;
	unsigned int i, n = cluster.n_requests, k = 0;

	cluster.links[node].state = LINK_BROKEN;
	for (i = 0; i < n; i++) {
		struct request *request = &requests[(first_request + i) % QUEUE];

		if (!request->there || request->node != node)
			continue;
		taken[k++] = *request;
		request->there = false;
		if (!cluster.donors[node].up || cluster_draw(2))
			continue;
		serve(request, &answer);
	}
	for (i = 0; i < k && tell; i++)
		taken[i].answer(&cluster.links[node], NULL, taken[i].arg);
	cluster.kicked = true;
}

void cluster_run_request(void)
{
	struct request request = requests[first_request];
	union farswap_msg answer;
	struct push *push;

	first_request = (first_request + 1) % QUEUE;
	cluster.n_requests--;
	if (!request.there)
		return;
	push = serve(&request, &answer);
	if (push && cluster_chance(30)) {	/* it goes on for long, and the control connection does not */
		cluster.links[request.node].state = LINK_BROKEN;
		request.answer(&cluster.links[request.node], NULL, request.arg);
		cluster_break_link(request.node, true);
		return;
	}
	if (push)
		cluster_run_push(push);
	check(farswap_msg_check(&answer, le32toh(answer.head.bytes)) == FARSWAP_MSG_GOOD);
	request.answer(&cluster.links[request.node], &answer, request.arg);
}

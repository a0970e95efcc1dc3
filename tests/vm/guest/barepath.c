// SPDX-License-Identifier: GPL-2.0
/*
 * barepath in|one|out BYTES MIB [DONORS]: the verbs, copies and checksums of paging MIB in order, and nothing else: no swap, none of farswap's
 * code.
 *
 *   in    READ a donor's memory, BYTES at a time, into a pool; copy and sum each page that has come to where it belongs
 *   one   the same with a READ for each page, and none before the one before it is through; BYTES are a page's
 *   out   copy and sum each page into the pool; WRITE it to DONORS (1 to 3, 3 if not said) donors, BYTES at a time
 *
 * The pool has 4 MiB. The donors are memory of this process, behind queue pairs of their own on the first device. Prints "ready" when it
 * begins and "moved seconds=S" when it is through, with p50=US of a page for "one". Exits 2 if anything fails or a page is not where it should be
 * in the end.
 */
#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "crc32c.h"
#include "pattern.h"

#define POOL_BYTES	(4u << 20)
#define DONORS		3
#define DEPTH		4	/* BYTES in flight, as an adapter that is asked for READs allows */
#define SEED		30

/* one donor: its memory, and the two ends of the connection to it */
struct donor {
	char *memory;
	struct ibv_mr *mr;
	struct ibv_qp *near, *far;
};

static struct ibv_context *device;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static union ibv_gid gid;
static int gid_index;
static struct donor donors[DONORS];
static char *pool, *pages;
static struct ibv_mr *pool_mr;
static size_t bytes, total, nr_donors = DONORS;
static double *each;		/* "one": seconds of each page */

static void die(const char *what)
{
	fprintf(stderr, "barepath: %s\n", what);
	exit(2);
}

static char *memory_get(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		die("no memory");
	return at;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* ---- connections ---- */

static void device_open(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_gid_entry e;

	device = list && list[0] ? ibv_open_device(list[0]) : NULL;
	pd = device ? ibv_alloc_pd(device) : NULL;
	cq = pd ? ibv_create_cq(device, 1024, NULL, NULL, 0) : NULL;
	if (!cq)
		die("no RDMA device to use");
	for (gid_index = 0; !ibv_query_gid_ex(device, 1, gid_index, &e, 0); gid_index++) {
		gid = e.gid;
		if (e.gid_type == IBV_GID_TYPE_ROCE_V2 && gid.raw[10] == 0xff && gid.raw[11] == 0xff)
			return;
	}
	die("the RDMA device has no RoCE v2 address");
}

static struct ibv_qp *qp_new(void)
{
	struct ibv_qp_init_attr init = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = { .max_send_wr = 256, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
	};
	struct ibv_qp *qp = ibv_create_qp(pd, &init);

	if (!qp || ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		die("no queue pair");
	return qp;
}

static void qp_connect(struct ibv_qp *qp, const struct ibv_qp *to)
{
	struct ibv_qp_attr ready = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = to->qp_num,
		.max_dest_rd_atomic = DEPTH,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1, .grh = { .dgid = gid, .sgid_index = gid_index, .hop_limit = 1 } },
	};
	struct ibv_qp_attr send = { .qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = DEPTH };

	if (ibv_modify_qp(qp, &ready, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) ||
	    ibv_modify_qp(qp, &send, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			  IBV_QP_MAX_QP_RD_ATOMIC))
		die("a queue pair does not connect");
}

static void donor_new(struct donor *d)
{
	d->memory = memory_get(total);
	d->mr = ibv_reg_mr(pd, d->memory, total, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
	if (!d->mr)
		die("a donor's memory cannot be registered");
	d->near = qp_new();
	d->far = qp_new();
	qp_connect(d->near, d->far);
	qp_connect(d->far, d->near);
}

/* ---- the wire ---- */

/* BYTES at offset of the donor's memory, to or from where they have their place in the pool */
static void post(const struct donor *d, enum ibv_wr_opcode what, size_t offset)
{
	struct ibv_sge sge = { .addr = (uintptr_t)(pool + offset % POOL_BYTES), .length = bytes, .lkey = pool_mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = what, .send_flags = IBV_SEND_SIGNALED }, *bad;

	wr.wr.rdma.remote_addr = (uintptr_t)(d->memory + offset);
	wr.wr.rdma.rkey = d->mr->rkey;
	if (ibv_post_send(d->near, &wr, &bad))
		die("a work request is refused");
}

static void complete(unsigned int nr)
{
	struct ibv_wc wc;

	while (nr) {
		int got = ibv_poll_cq(cq, 1, &wc);

		if (got < 0 || (got && wc.status != IBV_WC_SUCCESS))
			die("a work request failed");
		nr -= got;
	}
}

static uint32_t in(void)
{
	size_t posted = 0, at;
	uint32_t sums = 0;

	for (at = 0; at < total; at += PAGE_BYTES) {
		for (; posted < total && posted < at + DEPTH * bytes; posted += bytes)
			post(&donors[0], IBV_WR_RDMA_READ, posted);
		if (at % bytes == 0)
			complete(1);
		memcpy(pages + at, pool + at % POOL_BYTES, PAGE_BYTES);
		sums ^= fsw_crc32c(~0u, pages + at, PAGE_BYTES);
	}
	return sums;
}

static uint32_t one(void)
{
	uint32_t sums = 0;
	double start;
	size_t at;

	for (at = 0; at < total; at += PAGE_BYTES) {
		start = seconds();
		post(&donors[0], IBV_WR_RDMA_READ, at);
		complete(1);
		memcpy(pages + at, pool + at % POOL_BYTES, PAGE_BYTES);
		sums ^= fsw_crc32c(~0u, pages + at, PAGE_BYTES);
		each[at / PAGE_BYTES] = seconds() - start;
	}
	return sums;
}

static uint32_t out(void)
{
	size_t at, d;
	uint32_t sums = 0;

	for (at = 0; at < total; at += PAGE_BYTES) {
		memcpy(pool + at % POOL_BYTES, pages + at, PAGE_BYTES);
		sums ^= fsw_crc32c(~0u, pool + at % POOL_BYTES, PAGE_BYTES);
		if ((at + PAGE_BYTES) % bytes)
			continue;
		for (d = 0; d < nr_donors; d++)
			post(&donors[d], IBV_WR_RDMA_WRITE, at + PAGE_BYTES - bytes);
		if (at + PAGE_BYTES > DEPTH * bytes)
			complete(nr_donors);
	}
	complete(nr_donors * (total / bytes < DEPTH ? total / bytes : DEPTH));
	return sums;
}

/* ---- the run ---- */

static int seconds_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void usage(void)
{
	fprintf(stderr, "usage: barepath in|one|out BYTES MIB [DONORS] (BYTES: of pages, a divisor of 1 MiB; one page with one)\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint32_t (*run)(void);
	} ways[] = { { "out", out }, { "in", in }, { "one", one } };
	size_t at, d, way;
	uint32_t sums = 0, moved;
	double start, took;

	if (argc < 4 || argc > 5)
		usage();
	for (way = 0; way < 3 && strcmp(argv[1], ways[way].name); way++)
		;
	bytes = strtoul(argv[2], NULL, 10);
	total = strtoul(argv[3], NULL, 10) << 20;
	if (argc == 5)
		nr_donors = strtoul(argv[4], NULL, 10);
	if (way == 3 || !bytes || bytes % PAGE_BYTES || POOL_BYTES % bytes || DEPTH * bytes > POOL_BYTES || !total || total % bytes ||
	    (ways[way].run == one && bytes != PAGE_BYTES) || nr_donors < 1 || nr_donors > DONORS)
		usage();
	if (way)
		nr_donors = 1;
	device_open();
	pool = memory_get(POOL_BYTES);
	pool_mr = ibv_reg_mr(pd, pool, POOL_BYTES, IBV_ACCESS_LOCAL_WRITE);
	if (!pool_mr)
		die("the pool cannot be registered");
	pages = memory_get(total);
	each = (double *)memory_get(total / PAGE_BYTES * sizeof(*each));
	for (d = 0; d < nr_donors; d++)
		donor_new(&donors[d]);
	for (at = 0; at < total; at += PAGE_BYTES) {
		char *page = (way ? donors[0].memory : pages) + at;

		pattern_fill((uint64_t *)page, SEED, at / PAGE_BYTES, 1);
		sums ^= fsw_crc32c(~0u, page, PAGE_BYTES);
	}
	printf("ready\n");
	fflush(stdout);
	start = seconds();
	moved = ways[way].run();
	took = seconds() - start;
	printf("moved seconds=%.3f", took);
	if (ways[way].run == one) {
		qsort(each, total / PAGE_BYTES, sizeof(*each), seconds_cmp);
		printf(" p50=%.1f", each[total / PAGE_BYTES / 2] * 1e6);
	}
	printf("\n");
	for (d = 0; d < nr_donors; d++)
		if (moved != sums || memcmp(pages, donors[d].memory, total))
			die("pages are not what they should be");
	return 0;
}

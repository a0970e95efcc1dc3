// SPDX-License-Identifier: GPL-2.0
/*
 * chaos-plan SEED SECONDS DONORS [KIND...]: prints a schedule of faults for a client, node 1, and donors, nodes 2 to DONORS + 1; of these
 * kinds only, if any are named, else of all. It depends on the arguments alone. A line is
 *
 *   NUMBER AT KIND NODE PEER WAY AMOUNT SECONDS COSTS
 *
 * AT: seconds since the line "whole" before it, or since the start. PEER, WAY and AMOUNT are - where they mean nothing; WAY is to, from or
 * both, seen from NODE. COSTS: yes if NODE can lose its copies by it. A line "whole" means: wait until all faults are undone and every
 * extent has all its copies again. Between two of these
 *
 * - at most two donors suffer a fault that can cost their copies, so with three copies on three donors one stays, wherever they lie;
 * - no node suffers two faults at once.
 *
 * KIND lose-all is none of these: with it, named last, the schedule ends with all donors dying at once.
 *
 * SECONDS is what all should take; the end of a stretch is taken to cost WHOLE_S.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_S		40
#define AT_MOST		2	/* donors that can lose their copies in a stretch */
#define STRETCH		6	/* faults in a stretch, at most */
#define NODES		9

enum where {
	DONOR,		/* of a donor alone */
	PAIR,		/* of the network between the client and a donor, or two donors */
	CLIENT,
};

/* seconds and amounts: from, to */
static const struct kind {
	const char *name;
	enum where where;
	bool costs;		/* copies, perhaps */
	unsigned int seconds[2], amount[2];
} kinds[] = {
	{ "kill", DONOR, true, { 1, 6 }, { 0 } },		/* SIGKILL of the daemon, and a new one after so long */
	{ "restart", DONOR, true, { 1, 3 }, { 0 } },		/* SIGTERM, the same */
	{ "stop", DONOR, false, { 2, 12 }, { 0 } },		/* SIGSTOP of the daemon, SIGCONT */
	{ "power", DONOR, true, { 1, 6 }, { 0 } },		/* the machine's plug is pulled; it boots again */
	{ "reset", DONOR, true, { 1, 1 }, { 0 } },		/* it boots again at once */
	{ "pause", DONOR, true, { 1, 15 }, { 0 } },		/* it stands still */
	{ "rollback", DONOR, true, { 2, 8 }, { 0 } },		/* it is what it was so long ago */
	{ "cut", PAIR, true, { 1, 12 }, { 0 } },
	{ "flap", PAIR, true, { 4, 10 }, { 50, 400 } },		/* ms */
	{ "drop", PAIR, true, { 4, 10 }, { 2, 20 } },		/* percent */
	{ "duplicate", PAIR, true, { 4, 10 }, { 10, 50 } },
	{ "reorder", PAIR, true, { 4, 10 }, { 5, 30 } },
	{ "delay", PAIR, true, { 4, 10 }, { 5, 100 } },		/* ms */
	{ "hold", PAIR, true, { 2, 15 }, { 0 } },			/* what was kept back comes at the end */
	{ "scribble", DONOR, true, { 1, 1 }, { 16, 64 } },	/* other bytes in so many of its slots in use */
	{ "refuse", DONOR, false, { 4, 10 }, { 0 } },			/* less memory than its reserve is free */
	{ "exhaust", DONOR, true, { 4, 10 }, { 0 } },			/* hardly any is */
	{ "drain", DONOR, false, { 5, 15 }, { 0 } },			/* it asks for all that it lends, and no longer after so long */
	{ "unplug", DONOR, true, { 1, 6 }, { 0 } },			/* the RDMA device goes, and returns */
	{ "kill-own", CLIENT, false, { 1, 6 }, { 0 } },		/* the same, of the client's daemon */
	{ "restart-own", CLIENT, false, { 1, 3 }, { 0 } },
	{ "stop-own", CLIENT, false, { 2, 8 }, { 0 } },
	{ "squeeze", CLIENT, false, { 4, 10 }, { 0 } },		/* hardly any memory is free on the client */
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static uint64_t state;

/* splitmix64 (Steele, Lea, Flood 2014) */
static unsigned int dice(unsigned int sides)
{
	uint64_t x = state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (x ^ x >> 31) % sides;
}

static unsigned int between(const unsigned int range[2])
{
	return range[0] + dice(range[1] - range[0] + 1);
}

static unsigned int donors, number;
static unsigned int deck[KINDS], nr_deck, left;		/* each kind once, then again */

static const struct kind *draw(void)
{
	unsigned int i, kind;

	if (!left)
		left = nr_deck;
	i = dice(left--);
	kind = deck[i];
	deck[i] = deck[left];
	deck[left] = kind;
	return &kinds[kind];
}

/* A stretch: times in tenths of a second. */
static struct {
	unsigned int busy[NODES + 1];	/* the fault there ends then */
	bool hurt[NODES + 1];
	unsigned int at, end, nr_hurt;
} now;

static void whole(void)
{
	printf("%u %u.%u whole - - - - 0 no\n", ++number, now.end / 10, now.end % 10);
	memset(&now, 0, sizeof(now));
}

/* A donor, not the other one, that may be hurt, if it comes to that. */
static unsigned int donor(bool costs, unsigned int other)
{
	unsigned int n;

	do
		n = 2 + dice(donors);
	while (n == other || (costs && now.nr_hurt == AT_MOST && !now.hurt[n]));
	return n;
}

static void fault(const struct kind *kind)
{
	static const char *const ways[] = { "both", "to", "from" };
	bool among_donors = kind->where == PAIR && donors > 1 && !dice(4), costs = kind->costs && !among_donors;
	unsigned int node = kind->where == CLIENT ? 1 : donor(costs, 0), seconds = between(kind->seconds), peer = 0;
	char amount[12] = "-";

	if (kind->where == PAIR)
		peer = among_donors ? donor(false, node) : 1;
	if (kind->amount[1])
		snprintf(amount, sizeof(amount), "%u", between(kind->amount));
	now.at += dice(2) ? dice(40) : 0;
	if (now.at < now.busy[node])
		now.at = now.busy[node];
	if (among_donors && now.at < now.busy[peer])
		now.at = now.busy[peer];
	printf("%u %u.%u %s %u ", ++number, now.at / 10, now.at % 10, kind->name, node);
	if (peer)
		printf("%u %s", peer, ways[dice(3)]);
	else
		printf("- -");
	printf(" %s %u %s\n", amount, seconds, costs ? "yes" : "no");
	now.busy[node] = now.at + seconds * 10 + 10;
	if (among_donors)
		now.busy[peer] = now.busy[node];
	if (now.busy[node] > now.end)
		now.end = now.busy[node];
	if (costs && !now.hurt[node]) {
		now.hurt[node] = true;
		now.nr_hurt++;
	}
}

static bool is_wanted(const struct kind *kind, char **names, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (!strcmp(names[i], kind->name))
			return true;
	return !nr;
}

int main(int argc, char **argv)
{
	unsigned int seconds, spent = 0, nr;
	bool lose_all = argc > 4 && !strcmp(argv[argc - 1], "lose-all");
	size_t k;

	if (argc < 4)
		errx(1, "usage: chaos-plan SEED SECONDS DONORS [KIND...]");
	argc -= lose_all;
	state = strtoull(argv[1], NULL, 10);
	seconds = strtoul(argv[2], NULL, 10);
	donors = strtoul(argv[3], NULL, 10);
	if (donors <= AT_MOST || donors >= NODES)
		errx(1, "three to eight donors");
	for (k = 0; k < KINDS; k++)
		if (is_wanted(&kinds[k], argv + 4, argc - 4))
			deck[nr_deck++] = k;
	if (argc > 4 && nr_deck != (unsigned int)argc - 4)
		errx(1, "there is no such kind, or it is named twice");
	do {
		for (nr = 2 + dice(STRETCH - 1); nr; nr--)
			fault(draw());
		spent += now.end / 10 + WHOLE_S;
		whole();
	} while (spent < seconds);
	if (lose_all)
		printf("%u 0.0 lose-all - - - - 0 yes\n", ++number);
	return 0;
}

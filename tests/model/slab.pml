/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A slab's life: allocate, write, fail, rejoin, mend, replace, revoke, zero, reuse, evict, drop. One client whose extent has three members,
 * three donors with one slab each and a spare, two pages, two frames. Every actor is a loop of atomic steps over the state below, so the
 * states of the model are all there is. Faults and requests have budgets (the numbers that follow), so every run ends, and how it ends is judged.
 *
 * Packets: a WRITE whose queue pair broke has landed, or is lost, or is late: it lands whenever it likes, before or after
 * anything, as long as the donor has its queue pair and its key. That is how one-sided writes of different queue pairs are reordered.
 *
 * Each rule that is taken out by a -D of tests/model/check is marked by its name in an #ifdef.
 */
#ifndef STORES
#define STORES	1	/* pages stored */
#endif
#ifndef FREES
#define FREES	0	/* pages freed */
#endif
#ifndef LOADS
#define LOADS	0	/* pages loaded */
#endif
#ifndef KILLS
#define KILLS	0	/* donors' daemons killed: memory gone; never the last good copy */
#endif
#ifndef BREAKS
#define BREAKS	0	/* connections broken */
#endif
#ifndef CUTS
#define CUTS	0	/* donors partitioned from the client, for a while */
#endif
#ifndef EVICTS
#define EVICTS	0	/* donors that want their memory back */
#endif
#ifndef DROPS
#define DROPS	0	/* of these, that cannot wait until there is another copy */
#endif
#ifndef RESTARTS
#define RESTARTS 0	/* the client's daemon killed and started again */
#endif
#ifndef LATES
#define LATES	1	/* packets that come late */
#endif
#ifndef OTHERS
#define OTHERS	0	/* free slabs that another client is given, for a while */
#endif

#define ND	4	/* donors; the last is the spare at first */
#define NC	3	/* members of a set */
#define NF	2	/* frames */
#define NS	2	/* pages (slots of the map) */
#define ALL	3	/* every frame, as bits */
#define NOBODY	9
#define FOREIGN	255	/* another client's bytes */
#define PUSHER	100	/* queue pair numbers from here on: donor to donor */

/* the code's names: include/farswap_nl.h, daemon/device.h, daemon/session.h */
mtype = { FARSWAP_SLOT_EMPTY, FARSWAP_SLOT_STAGED, FARSWAP_SLOT_STORED, FARSWAP_SLOT_ERROR };
mtype = { FARSWAP_PEER_CONNECTING, FARSWAP_PEER_LIVE, FARSWAP_PEER_LOST };
mtype = { PEER_FREE, PEER_TOKENS, PEER_ADDING, PEER_LIVE, PEER_SUSPECT, PEER_LOST };
mtype = { SESSION_OPEN, SESSION_CLOSING };
/* the model's own: whose a slab's memory is; the steps of a change of members */
mtype = { NO_SESSION, VACANT, OURS, THEIRS };
mtype = { IDLE, GRANTED, SEALED, PUSHING, FENCING, CHECKED, SETTING };

/* the client's kernel: the map */
mtype slot[NS];
byte seq[NS];			/* of the page stored last; stands for its bytes and checksum */
byte at[NS];			/* frame, when STORED */
byte seqs;
/* the one window: page, seq and frame, members still to answer and those that acknowledged */
bool w_on; byte w_slot, w_seq, w_fr, w_post, w_ack;
/* a load: page as it was, members that answered other bytes; the READ in flight, to member l_m (NOBODY: none) */
bool l_on; byte l_slot, l_seq, l_fr, l_tried, l_m = NOBODY, l_donor, l_peer, l_key, l_gen;
/* a pass of mending over member d_i: the page it is at; what was read for it, and then posted */
bool d_on, d_read, d_posted, d_failed; byte d_i, d_at, d_fr, d_v, d_gen, d_donor, d_peer, d_key;
/* the extent: its set */
byte gen = 1;
bool sealed;
byte m_donor[NC], m_peer[NC], m_key[NC], m_missed[NC], m_mending[NC];
bool m_gone[NC];		/* farswapd's word: its memory is no more */
/* peers: the newest number of each donor */
mtype k_state[ND]; byte k_num[ND];

/* farswapd of the client */
mtype p_state[ND]; byte p_inc[ND];
byte release[ND];		/* RELEASE on its way: the slab's key */
/* a rejoined member's extent; a replacement: member, target, its key, frames to push, members that were pushed from in vain */
mtype r_step = IDLE; byte r_i, r_seen;
mtype o_step = IDLE; byte o_i, o_t, o_key, o_gen, o_todo, o_tried, o_src = NOBODY, o_seen, o_old, o_oldkey;
/* a member that leaves before there is another copy */
mtype v_step = IDLE; byte v_i, v_gen, v_seen, v_old, v_oldkey;
bool o_sent;			/* a PUSH of the lowest frame of o_todo is in the air */
byte o_q, o_v, o_num;		/* o_num: the target's peer number, under which it was planned */
byte pushers = PUSHER;

/* donors */
bool dead[ND], cut[ND];
byte inc[ND];
mtype session[ND] = NO_SESSION;
mtype owner[ND] = VACANT;
byte key[ND], keys[ND];		/* the region's (0: none); the last one made: they never repeat */
byte qp[ND];			/* the client's queue pair that it has open */
byte fence[ND];			/* other donors' queue pairs up to this number are destroyed */
bool evict[ND], urgent[ND];
byte mem[8];			/* ND * NF */
/* one late packet per donor */
byte late_q[ND], late_key[ND], late_fr[ND], late_v[ND];
bool late_ref[ND];		/* its bytes are still to be fetched from staging */

byte stores = STORES, frees = FREES, loads = LOADS, kills = KILLS, breaks = BREAKS, cuts = CUTS, evicts = EVICTS, drops = DROPS, restarts = RESTARTS,
	lates = LATES, others = OTHERS;
byte hit;			/* faults meet the donors in their order, unless -DANY_ORDER */
hidden byte i;

#define BIT(x)		(1 << (x))
#define MEM(d, f)	mem[(d) * NF + (f)]
#define BITS(m)		(m_missed[m] | m_mending[m])
#define LIVE(m)		(k_state[m_donor[m]] == FARSWAP_PEER_LIVE && k_num[m_donor[m]] == m_peer[m])
#define WHOLE(m)	(LIVE(m) && !m_gone[m] && BITS(m) == 0)
#define ANYLIVE		(LIVE(0) || LIVE(1) || LIVE(2))
/* the memory is there and holds page s */
#define HOLDS(m, s)	(session[m_donor[m]] == SESSION_OPEN && key[m_donor[m]] == m_key[m] && MEM(m_donor[m], at[s]) == seq[s])
#define HELD(s)		(slot[s] != FARSWAP_SLOT_STORED || HOLDS(0, s) || HOLDS(1, s) || HOLDS(2, s))
#define ELSEWHERE(m, d, s) (m_donor[m] != (d) && HOLDS(m, s))
#define HELD_WITHOUT(d, s) (slot[s] != FARSWAP_SLOT_STORED || ELSEWHERE(0, d, s) || ELSEWHERE(1, d, s) || ELSEWHERE(2, d, s))
#define SOURCE(m)	(LIVE(m) && !cut[m_donor[m]] && p_state[m_donor[m]] == PEER_LIVE)
#define PUSHABLE(s)	(slot[s] != FARSWAP_SLOT_STORED || (SOURCE(0) && HOLDS(0, s)) || (SOURCE(1) && HOLDS(1, s)) || (SOURCE(2) && HOLDS(2, s)))
/* rule 2 of the design, the part that concerns one copy: a live member's copy that is not listed as missed is the page */
#define TRUE_COPY(m, s)	(slot[s] != FARSWAP_SLOT_STORED || !LIVE(m) || (BITS(m) & BIT(at[s])) || \
			 qp[m_donor[m]] != m_peer[m] || key[m_donor[m]] != m_key[m] || MEM(m_donor[m], at[s]) == seq[s])
/* farswapd can ask the donor, and it is the one that it knew */
#define REACHED(d)	(!cut[d] && !dead[d] && inc[d] == p_inc[d])
#define IN_SET(d)	(m_donor[0] == (d) || m_donor[1] == (d) || m_donor[2] == (d))

#ifdef NO_PIN
#define POSTED(x)	false
#define PINNED(x)	(w_on && w_fr == (x))
#else
#define POSTED(x)	((l_m != NOBODY && l_fr == (x)) || ((d_read || d_posted) && d_fr == (x)))
#define PINNED(x)	((w_on && w_fr == (x)) || POSTED(x))
#endif
#define TAKEN(x)	(PINNED(x) || (slot[0] == FARSWAP_SLOT_STORED && at[0] == (x)) || (slot[1] == FARSWAP_SLOT_STORED && at[1] == (x)))
#define LOWEST(bits)	(((bits) & 1) -> 0 : 1)

#ifdef REJOIN_WITHOUT_DESTROY
#define OPEN_QP(d, q)	((q) < PUSHER -> (q) <= qp[d] : (q) > fence[d])
#else
#define OPEN_QP(d, q)	((q) < PUSHER -> (q) == qp[d] : (q) > fence[d])
#endif
#define LANDS(d, q, k)	(!dead[d] && OPEN_QP(d, q) && key[d] == (k))

#ifdef ANY_ORDER
#define MEETS(d)	true
#else
#define MEETS(d)	((d) <= hit)
#endif

#define BROKEN(rule)	printf("broken: "); printf(rule); printf("\n"); assert(false)

inline strike(d)
{
#ifndef ANY_ORDER
	if :: d == hit -> hit++ :: else fi
#else
	skip
#endif
}

/* every change of a slot's and of a kernel peer's state, by name: tests/model/names compares them with the tables in kmod/README.md */
inline slot_move(s, from, to) { assert(slot[s] == from); slot[s] = to }
inline peer_move(d, from, to) { assert(k_state[d] == from); k_state[d] = to }

inline wanted_no_more(d) { evict[d] = false; urgent[d] = false }

inline land(d, fr, v)
{
	if :: owner[d] != OURS -> BROKEN("a late write reached memory that is another's") :: else fi;
	MEM(d, fr) = v
}

/* a WRITE to donor d on a queue pair that broke: lost, landed unheard, or late */
inline stray(d, q, k, fr, v)
{
	if
	:: true
	:: LANDS(d, q, k) -> land(d, fr, v)
	:: lates > 0 && late_q[d] == 0 && LANDS(d, q, k) ->
		lates--; late_q[d] = q; late_key[d] = k; late_fr[d] = fr; late_v[d] = v
	fi
}

inline mend_ended() { d_posted = false; d_fr = 0; d_v = 0; d_donor = 0; d_peer = 0; d_key = 0 }

/* the one door: the kernel's peer of donor d is lost, its queue pairs are drained; only then its windows, loads and mending go on */
inline lose(d)
{
	peer_move(d, FARSWAP_PEER_LIVE, FARSWAP_PEER_LOST);
	i = 0;
	do
	:: i < NC && w_on && (w_post & BIT(i)) && m_donor[i] == d && m_peer[i] == k_num[d] ->
#ifdef REUSE_BEFORE_DRAIN
		if
		:: lates > 0 && late_q[d] == 0 && LANDS(d, k_num[d], m_key[i]) ->
			lates--; late_ref[d] = true; late_q[d] = k_num[d]; late_key[d] = m_key[i]; late_fr[d] = w_fr; late_v[d] = w_seq
		:: else
		fi;
#else
		stray(d, k_num[d], m_key[i], w_fr, w_seq);
#endif
		w_post = w_post & ~BIT(i); i++
	:: i < NC && !(w_on && (w_post & BIT(i)) && m_donor[i] == d && m_peer[i] == k_num[d]) -> i++
	:: i == NC -> break
	od;
	if
	:: d_posted && d_donor == d && d_peer == k_num[d] -> stray(d, d_peer, d_key, d_fr, d_v); mend_ended(); d_failed = true; d_at++
	:: else
	fi;
	if :: l_m != NOBODY && l_donor == d && l_peer == k_num[d] -> l_m = NOBODY; l_donor = 0; l_peer = 0; l_key = 0 :: else fi
}

inline load_ends() { l_on = false; l_slot = 0; l_seq = 0; l_fr = 0; l_tried = 0; l_gen = 0 }

inline load_takes(m)
{
	l_m = m; l_donor = m_donor[m]; l_peer = m_peer[m]; l_key = m_key[m]
}
#define MAY_LOAD(m)	(LIVE(m) && !(l_tried & BIT(m)))
#define BEST(m)		(MAY_LOAD(m) && !(BITS(m) & BIT(l_fr)))
#define GOOD_SOURCE(m, s) (LIVE(m) && !cut[m_donor[m]] && HOLDS(m, s))
#define MENDABLE(m, s)	(slot[s] != FARSWAP_SLOT_STORED || !(m_missed[m] & BIT(at[s])) || \
			 GOOD_SOURCE(0, s) || GOOD_SOURCE(1, s) || GOOD_SOURCE(2, s))
#define MENDS(m)	(LIVE(m) && !cut[m_donor[m]] && m_missed[m] && MENDABLE(m, 0) && MENDABLE(m, 1))
#define ALIVE_AT(d, q)	(!cut[d] && !dead[d] && qp[d] == (q))

inline mend_begin(m)
{
	d_on = true; d_i = m; d_gen = gen; d_at = 0; d_failed = false; m_mending[m] = m_missed[m]; m_missed[m] = 0
}

/* a pass counts for the member that it began with, no other */
#ifdef NO_MEND_GENERATION
#define SAME_MEMBER	LIVE(d_i)
#define MEND_GEN	d_gen
inline mend_left() { skip }
#else
#define SAME_MEMBER	(LIVE(d_i) && d_gen == gen)
#define MEND_GEN	gen
inline mend_left() { d_failed = true }
#endif
#define WALKING		(d_on && !d_read && !d_posted)
#define TO_MEND		(d_at < NS && slot[d_at] == FARSWAP_SLOT_STORED && (m_mending[d_i] & BIT(at[d_at])))

#ifdef NO_SEAL
#define SEALED_NOW	false
#else
#define SEALED_NOW	sealed
#endif
#ifdef NO_SEAL_DRAIN
#define SEAL_WAITS(x)	false
#else
#define SEAL_WAITS(x)	PINNED(x)
#endif
#ifdef NO_SET_DRAIN
#define SET_WAITS(x)	false
#else
#define SET_WAITS(x)	PINNED(x)
#endif
#define LOADING		(l_on && l_m == NOBODY)
#define LOAD_SAME	(slot[l_slot] == FARSWAP_SLOT_STORED && seq[l_slot] == l_seq)

inline window_end()
{
	w_on = false;
	i = 0;
	do
	:: i < NC ->
#ifndef NO_MISSED
		if :: !(LIVE(i) && (w_ack & BIT(i))) -> m_missed[i] = m_missed[i] | BIT(w_fr) :: else fi;
#endif
		if :: !LIVE(i) -> w_ack = w_ack & ~BIT(i) :: else fi;
		i++
	:: else -> break
	od;
	if
	:: w_ack && slot[w_slot] == FARSWAP_SLOT_STAGED && seq[w_slot] == w_seq ->
		slot_move(w_slot, FARSWAP_SLOT_STAGED, FARSWAP_SLOT_STORED); at[w_slot] = w_fr
	:: else
	fi;
	w_slot = 0; w_seq = 0; w_fr = 0; w_ack = 0
}


inline wrote(m)
{
	land(m_donor[m], w_fr, w_seq); w_post = w_post & ~BIT(m); w_ack = w_ack | BIT(m)
}
#define WRITES(m)	(w_on && (w_post & BIT(m)) && ALIVE_AT(m_donor[m], m_peer[m]))

/* stores, windows, loads and mending */
proctype Kernel()
{
	byte s;
end:	do
	/* store: staged, whatever it was; the old frame is let go */
	:: atomic { stores > 0 -> stores--;
		if :: s = 0 :: s = 1 fi;
		if
		:: slot[s] == FARSWAP_SLOT_EMPTY -> slot_move(s, FARSWAP_SLOT_EMPTY, FARSWAP_SLOT_STAGED)
		:: slot[s] == FARSWAP_SLOT_STAGED -> slot_move(s, FARSWAP_SLOT_STAGED, FARSWAP_SLOT_STAGED)
		:: slot[s] == FARSWAP_SLOT_STORED -> slot_move(s, FARSWAP_SLOT_STORED, FARSWAP_SLOT_STAGED)
		:: slot[s] == FARSWAP_SLOT_ERROR -> slot_move(s, FARSWAP_SLOT_ERROR, FARSWAP_SLOT_STAGED)
		fi;
		seqs++; seq[s] = seqs; at[s] = 0; s = 0 }
	/* free */
	:: atomic { frees > 0 && slot[0] != FARSWAP_SLOT_EMPTY -> frees--;
		if
		:: slot[0] == FARSWAP_SLOT_STAGED -> slot_move(0, FARSWAP_SLOT_STAGED, FARSWAP_SLOT_EMPTY)
		:: slot[0] == FARSWAP_SLOT_STORED -> slot_move(0, FARSWAP_SLOT_STORED, FARSWAP_SLOT_EMPTY)
		:: slot[0] == FARSWAP_SLOT_ERROR -> slot_move(0, FARSWAP_SLOT_ERROR, FARSWAP_SLOT_EMPTY)
		fi;
		seq[0] = 0; at[0] = 0 }

	/* a window: a frame that nobody has or is posted against, one WRITE per live member */
	:: atomic { !w_on && !SEALED_NOW && ANYLIVE && (!TAKEN(0) || !TAKEN(1)) &&
		    (slot[0] == FARSWAP_SLOT_STAGED || slot[1] == FARSWAP_SLOT_STAGED) ->
		w_slot = (slot[0] == FARSWAP_SLOT_STAGED -> 0 : 1); w_seq = seq[w_slot]; w_fr = (TAKEN(0) -> 1 : 0);
		w_on = true; w_post = (LIVE(0) -> 1 : 0) | (LIVE(1) -> 2 : 0) | (LIVE(2) -> 4 : 0) }
	:: atomic { WRITES(0) -> wrote(0) }
	:: atomic { WRITES(1) -> wrote(1) }
	:: atomic { WRITES(2) -> wrote(2) }
	:: atomic { w_on && w_post == 0 -> window_end() }

	/* a load: the best live member that has not been tried; a READ pins its frame, waiting for a member does not */
	:: atomic { loads > 0 && !l_on && slot[0] == FARSWAP_SLOT_STORED ->
		loads--; l_on = true; l_slot = 0; l_seq = seq[0]; l_fr = at[0]; l_gen = gen }
	:: atomic { LOADING && LOAD_SAME && l_gen == gen && BEST(0) -> load_takes(0) }
	:: atomic { LOADING && LOAD_SAME && l_gen == gen && BEST(1) && !BEST(0) -> load_takes(1) }
	:: atomic { LOADING && LOAD_SAME && l_gen == gen && BEST(2) && !BEST(0) && !BEST(1) -> load_takes(2) }
	:: atomic { LOADING && LOAD_SAME && l_gen == gen && !BEST(0) && !BEST(1) && !BEST(2) &&
		    (MAY_LOAD(0) || MAY_LOAD(1) || MAY_LOAD(2)) ->
		if
		:: MAY_LOAD(0) -> load_takes(0)
		:: MAY_LOAD(1) -> load_takes(1)
		:: MAY_LOAD(2) -> load_takes(2)
		fi }
	:: atomic { LOADING && !LOAD_SAME -> load_ends() }
	:: atomic { LOADING && LOAD_SAME && l_gen != gen -> l_gen = gen; l_tried = 0 }
	:: atomic { l_m != NOBODY && ALIVE_AT(l_donor, l_peer) ->
		s = MEM(l_donor, l_fr);
		if
		:: key[l_donor] != l_key -> BROKEN("a READ met a slab that was given back")
		:: else
		fi;
		if
		:: !LOAD_SAME -> load_ends()
#ifdef NO_CHECKSUM
		:: LOAD_SAME ->
			if :: s != l_seq -> BROKEN("a load gave other bytes") :: else fi;
			load_ends()
#else
		:: LOAD_SAME && s == l_seq -> load_ends()
		:: LOAD_SAME && s != l_seq && l_gen == gen ->
			m_missed[l_m] = m_missed[l_m] | BIT(l_fr); l_tried = l_tried | BIT(l_m);
			if
			:: l_tried == 7 ->
				slot_move(l_slot, FARSWAP_SLOT_STORED, FARSWAP_SLOT_ERROR); BROKEN("no copy verifies")
			:: else
			fi
		:: LOAD_SAME && s != l_seq && l_gen != gen
#endif
		fi;
		l_m = NOBODY; l_donor = 0; l_peer = 0; l_key = 0; s = 0 }

	/* mending: what a live member missed is read from another, and written to it with the frame pinned */
	:: atomic { !d_on && MENDS(0) -> mend_begin(0) }
	:: atomic { !d_on && MENDS(1) -> mend_begin(1) }
	:: atomic { !d_on && MENDS(2) -> mend_begin(2) }
	:: atomic { WALKING && d_at < NS && !TO_MEND -> d_at++ }
	:: atomic { WALKING && TO_MEND && !SAME_MEMBER -> mend_left(); d_at++ }
	:: atomic { WALKING && TO_MEND && SAME_MEMBER ->
		if
		:: GOOD_SOURCE(0, d_at) || GOOD_SOURCE(1, d_at) || GOOD_SOURCE(2, d_at) ->
			d_read = true; d_fr = at[d_at]; d_v = seq[d_at]
		:: else -> d_failed = true; d_at++
		fi }
	:: atomic { d_read ->
		if
		:: SAME_MEMBER ->
			d_posted = true; d_donor = m_donor[d_i]; d_peer = m_peer[d_i]; d_key = m_key[d_i]
		:: else -> mend_left(); d_fr = 0; d_v = 0; d_at++
		fi;
		d_read = false }
	:: atomic { d_posted && ALIVE_AT(d_donor, d_peer) ->
		if
		:: key[d_donor] != d_key -> BROKEN("a WRITE met a slab that was given back")
		:: else
		fi;
		land(d_donor, d_fr, d_v); mend_ended(); d_at++ }
	:: atomic { WALKING && d_at == NS ->
		if
		:: d_failed || d_gen != MEND_GEN -> m_missed[d_i] = m_missed[d_i] | m_mending[d_i]
		:: else
		fi;
		m_mending[d_i] = 0; d_on = false; d_i = 0; d_at = 0; d_gen = 0; d_failed = false }
	od
}

/* every request that a copy's change of hands leaves waiting: one frame after the other has been seen unpinned */
#define DRAINED(seen)	((seen) == NF)

#define SUCCEEDS(m)	(!m_gone[m] && m_peer[m] != k_num[m_donor[m]] && k_state[m_donor[m]] == FARSWAP_PEER_LIVE && \
			 p_state[m_donor[m]] == PEER_LIVE)
#define RIGHT(s)	(slot[s] != FARSWAP_SLOT_STORED || MEM(o_t, at[s]) == seq[s])
/* why a member is to be replaced: its memory is gone; not reached for replace_after; its donor wants the slab back */
#define REPLACED(m)	(m_gone[m] || (p_state[m_donor[m]] == PEER_SUSPECT && cut[m_donor[m]]) || \
			 (evict[m_donor[m]] && LIVE(m) && p_state[m_donor[m]] == PEER_LIVE))
/* such a member is in the set no more: its place waits for another, and it is under no number that any peer has */
#define NO_NUMBER	0
#define NO_KEY		255
/* all the others are live and have all; else one that is just being lost might have been the last */
#ifdef DROPS_THE_LAST
#define SPARED(m)	true
#else
#ifdef DROPS_FROM_DEGRADED
#define SPARED(m)	((m != 0 && WHOLE(0)) || (m != 1 && WHOLE(1)) || (m != 2 && WHOLE(2)))
#else
#define SPARED(m)	((m == 0 || WHOLE(0)) && (m == 1 || WHOLE(1)) && (m == 2 || WHOLE(2)))
#endif
#endif
#define DROPS_IT(m)	(urgent[m_donor[m]] && LIVE(m) && p_state[m_donor[m]] == PEER_LIVE && !m_gone[m] && SPARED(m))
#define DROPS_ONE(m)	(v_step == IDLE && o_step == IDLE && r_step == IDLE && !sealed && DROPS_IT(m))
#define FREE_OF(m, d)	(m_donor[m] != (d) || m_gone[m])
#ifdef NO_GENERATION
#define GRANTS(d)	(owner[d] == VACANT || (owner[d] == OURS && key[d] && !IN_SET(d)))
#else
#define GRANTS(d)	(owner[d] == VACANT && release[d] == 0)
#endif
/* never beside another member of the set; in its own place only after its memory was lost */
#define TARGET(m, d)	(p_state[d] == PEER_LIVE && k_state[d] == FARSWAP_PEER_LIVE && REACHED(d) && session[d] == SESSION_OPEN && GRANTS(d) && \
			 (m == 0 || FREE_OF(0, d)) && (m == 1 || FREE_OF(1, d)) && (m == 2 || FREE_OF(2, d)) && FREE_OF(m, d))
#define BESIDE(m, n)	(!m_gone[m] && !m_gone[n] && m_donor[m] == m_donor[n])
#define ANYTARGET(m)	(TARGET(m, 0) || TARGET(m, 1) || TARGET(m, 2) || TARGET(m, 3))
#define PLANS(m)	(o_step == IDLE && REPLACED(m) && ANYTARGET(m) && PUSHABLE(0) && PUSHABLE(1) && (SOURCE(0) || SOURCE(1) || SOURCE(2)))
#define TARGET_THERE	(k_state[o_t] == FARSWAP_PEER_LIVE && k_num[o_t] == o_num && p_state[o_t] == PEER_LIVE && REACHED(o_t))
#define UNTRIED(m)	(SOURCE(m) && !(o_tried & BIT(m)))
#define ANYUNTRIED	(UNTRIED(0) || UNTRIED(1) || UNTRIED(2))
#define SOURCE_THERE	SOURCE(o_src)

inline plan(m)
{
	o_i = m; o_gen = gen;
	o_t = (TARGET(m, 0) -> 0 : (TARGET(m, 1) -> 1 : (TARGET(m, 2) -> 2 : 3)));
	if
	:: owner[o_t] == VACANT ->
		if
		:: MEM(o_t, 0) || MEM(o_t, 1) -> BROKEN("a slab was handed over with another's bytes")
		:: else
		fi;
		keys[o_t]++; key[o_t] = keys[o_t]; owner[o_t] = OURS
	:: else
	fi;
	o_key = key[o_t]; o_num = k_num[o_t]; o_step = GRANTED
}

/* what becomes of a PUSH whose answer will not come */
inline push_left()
{
	if
	:: o_sent -> stray(o_t, o_q, o_key, LOWEST(o_todo), o_v); o_sent = false; o_v = 0
	:: else
	fi
}

inline forget_plan()
{
	o_i = 0; o_t = 0; o_key = 0; o_gen = 0; o_todo = 0; o_tried = 0; o_src = NOBODY; o_seen = 0; o_q = 0; o_num = 0; o_old = 0; o_oldkey = 0;
	o_step = IDLE
}

inline drop(m) { v_i = m; v_gen = gen; sealed = true; v_step = SEALED }
inline forget_drop() { v_i = 0; v_gen = 0; v_seen = 0; v_old = 0; v_oldkey = 0; v_step = IDLE }

inline give_up()
{
	push_left();
	if :: o_step != GRANTED -> sealed = false :: else fi;
	release[o_t] = o_key;
	forget_plan()
}

/* farswapd of the client: rejoined members, and one replacement at a time */
proctype Manager()
{
end:	do
	/* a peer is back under a new number: seal, drain, set, drain */
	:: atomic { r_step == IDLE && !sealed && (SUCCEEDS(0) || SUCCEEDS(1) || SUCCEEDS(2)) ->
		r_i = (SUCCEEDS(0) -> 0 : (SUCCEEDS(1) -> 1 : 2)); sealed = true; r_step = SEALED }
	:: atomic { (r_step == SEALED || r_step == SETTING) && !DRAINED(r_seen) && !SEAL_WAITS(r_seen) -> r_seen++ }
	:: atomic { r_step == SEALED && DRAINED(r_seen) ->
		r_seen = 0;
		if
		:: SUCCEEDS(r_i) ->
			m_peer[r_i] = k_num[m_donor[r_i]]; gen++; r_step = SETTING;
#ifdef REJOINS_WHOLE
			m_missed[r_i] = 0; m_mending[r_i] = 0
#endif
		:: else -> sealed = false; r_i = 0; r_step = IDLE
		fi }
	:: atomic { r_step == SETTING && DRAINED(r_seen) -> r_seen = 0; r_i = 0; sealed = false; r_step = IDLE }

	/* a member is replaced: grant, seal, drain, push, check, set, drain, release */
	:: atomic { PLANS(0) -> plan(0) }
	:: atomic { PLANS(1) -> plan(1) }
	:: atomic { PLANS(2) -> plan(2) }
	:: atomic { o_step == GRANTED && (!TARGET_THERE || o_gen != gen) -> give_up() }
	:: atomic { o_step == GRANTED && TARGET_THERE && o_gen == gen && !sealed -> sealed = true; o_step = SEALED }
	:: atomic { (o_step == SEALED || o_step == SETTING) && !DRAINED(o_seen) && !(o_step == SEALED -> SEAL_WAITS(o_seen) : SET_WAITS(o_seen)) ->
		o_seen++ }
	:: atomic { o_step == SEALED && DRAINED(o_seen) -> o_seen = 0; o_todo = ALL; o_step = PUSHING }
	:: atomic { o_step == PUSHING && o_todo && !o_sent && TARGET_THERE ->
		if
		:: ANYUNTRIED ->
			i = (UNTRIED(0) -> 0 : (UNTRIED(1) -> 1 : 2));
			if
			:: i != o_src || o_q == 0 -> pushers++; o_q = pushers
			:: else
			fi;
			o_src = i; i = 0; o_v = MEM(m_donor[o_src], LOWEST(o_todo)); o_sent = true
#ifdef LEAVES_WHAT_NOBODY_HAS
		:: !ANYUNTRIED -> o_todo = 0; o_step = CHECKED
#else
		:: !ANYUNTRIED -> give_up()
#endif
		fi }
	:: atomic { o_sent && TARGET_THERE && SOURCE_THERE ->
		land(o_t, LOWEST(o_todo), o_v); o_todo = o_todo & ~BIT(LOWEST(o_todo)); o_sent = false; o_v = 0 }
	/* the source is lost, its last packet may be late: its queue pair to the target is destroyed there before anything else is done */
	:: atomic { o_sent && TARGET_THERE && !SOURCE_THERE ->
		push_left(); o_tried = o_tried | BIT(o_src); o_src = NOBODY; o_q = 0;
#ifndef NO_PUSH_FENCE
		o_step = FENCING
#endif
		}
	:: atomic { o_step == FENCING && TARGET_THERE -> fence[o_t] = pushers; o_step = PUSHING }
	:: atomic { (o_step == SEALED || o_step == PUSHING || o_step == FENCING || o_step == CHECKED) && !TARGET_THERE -> give_up() }
	:: atomic { o_step == PUSHING && o_todo == 0 && TARGET_THERE ->
#ifndef NO_CHECK
		if
		:: slot[0] == FARSWAP_SLOT_STORED && !RIGHT(0) -> o_todo = o_todo | BIT(at[0])
		:: else
		fi;
		if
		:: slot[1] == FARSWAP_SLOT_STORED && !RIGHT(1) -> o_todo = o_todo | BIT(at[1])
		:: else
		fi;
#endif
		if
		:: o_todo -> o_tried = o_tried | BIT(o_src)
		:: else -> o_step = CHECKED
		fi }
	:: atomic { o_step == CHECKED && TARGET_THERE ->
		o_old = m_donor[o_i]; o_oldkey = (m_gone[o_i] -> 0 : m_key[o_i]);
		m_donor[o_i] = o_t; m_peer[o_i] = k_num[o_t]; m_key[o_i] = o_key; m_missed[o_i] = 0; m_mending[o_i] = 0; m_gone[o_i] = false;
		if
		:: BESIDE(0, 1) || BESIDE(0, 2) || BESIDE(1, 2) -> BROKEN("two members on one donor")
		:: else
		fi;
		gen++; o_step = SETTING }
	:: atomic { o_step == SETTING && DRAINED(o_seen) ->
		sealed = false;
		if
		:: o_oldkey && p_state[o_old] == PEER_SUSPECT -> p_state[o_old] = PEER_LOST
		:: o_oldkey && p_state[o_old] != PEER_SUSPECT -> release[o_old] = o_oldkey
		:: else
		fi;
		forget_plan() }

	/* a donor cannot wait: its member leaves first, and another copy is made later: seal, drain, set, drain, release */
	:: atomic { DROPS_ONE(0) -> drop(0) }
	:: atomic { DROPS_ONE(1) -> drop(1) }
	:: atomic { DROPS_ONE(2) -> drop(2) }
	:: atomic { (v_step == SEALED || v_step == SETTING) && !DRAINED(v_seen) && !(v_step == SEALED -> SEAL_WAITS(v_seen) : SET_WAITS(v_seen)) ->
		v_seen++ }
	:: atomic { v_step == SEALED && DRAINED(v_seen) ->
		v_seen = 0;
		if
#ifdef DROPS_UNSEEN
		:: true ->
#else
		:: v_gen == gen && DROPS_IT(v_i) ->
#endif
			v_old = m_donor[v_i]; v_oldkey = m_key[v_i];
			m_peer[v_i] = NO_NUMBER; m_key[v_i] = NO_KEY; m_missed[v_i] = 0; m_mending[v_i] = 0; m_gone[v_i] = true;
			gen++; v_step = SETTING
		:: else -> sealed = false; forget_drop()
		fi }
	:: atomic { v_step == SETTING && DRAINED(v_seen) -> sealed = false; release[v_old] = v_oldkey; forget_drop() }

	/* killed and started again: what is sealed is opened, slabs that are in no set go back */
	:: atomic { restarts > 0 && (o_step != IDLE || r_step != IDLE || v_step != IDLE) && o_step != SETTING && r_step != SETTING && v_step != SETTING ->
		restarts--; push_left();
		if :: r_step != IDLE || v_step != IDLE || o_step != GRANTED -> sealed = false :: else fi;
		r_step = IDLE; r_i = 0; r_seen = 0; forget_drop();
		if
		:: o_step != IDLE ->
#ifndef FORGETS_GRANTS
			release[o_t] = o_key;
#endif
			forget_plan()
		:: else
		fi }
	od
}

#define OUR_MEMBER(m, d) if :: m_donor[m] == d && m_peer[m] <= k_num[d] && m_key[m] <= keys[d] -> m_gone[m] = true :: else fi

/* a donor and its faults, farswapd's and the kernel's state for it */
proctype Donor(byte d)
{
end:	do
	/* faults */
	:: atomic { kills > 0 && !dead[d] && MEETS(d) && HELD_WITHOUT(d, 0) && HELD_WITHOUT(d, 1) ->
		kills--; strike(d); dead[d] = true; qp[d] = 0; MEM(d, 0) = 0; MEM(d, 1) = 0; wanted_no_more(d);
#ifndef NO_INCARNATION
		inc[d]++; fence[d] = pushers; key[d] = 0; session[d] = NO_SESSION; owner[d] = (owner[d] == THEIRS -> THEIRS : VACANT)
#endif
		}
	:: atomic { dead[d] -> dead[d] = false }
	:: atomic { cuts > 0 && !cut[d] && MEETS(d) -> cuts--; strike(d); cut[d] = true }
	:: atomic { cut[d] -> cut[d] = false }
	:: atomic { breaks > 0 && k_state[d] == FARSWAP_PEER_LIVE && MEETS(d) -> breaks--; strike(d); lose(d) }
	:: atomic { k_state[d] == FARSWAP_PEER_LIVE && (cut[d] || qp[d] != k_num[d]) -> lose(d) }

	/* a late packet */
	:: atomic { late_q[d] ->
		if
		:: LANDS(d, late_q[d], late_key[d]) ->
			if
			:: late_ref[d] && !(w_on && w_seq == late_v[d]) -> BROKEN("the wire carries a staging place that was given back")
			:: else
			fi;
			land(d, late_fr[d], late_v[d])
		:: else
		fi;
		late_q[d] = 0; late_key[d] = 0; late_fr[d] = 0; late_v[d] = 0; late_ref[d] = false }

	/* farswapd and the kernel's peer */
	:: atomic { (p_state[d] == PEER_LIVE || p_state[d] == PEER_ADDING) && k_state[d] == FARSWAP_PEER_LOST -> p_state[d] = PEER_SUSPECT }
	:: atomic { p_state[d] == PEER_SUSPECT && REACHED(d) && session[d] == SESSION_OPEN ->	/* REJOIN */
		qp[d] = 0; fence[d] = pushers; p_state[d] = PEER_TOKENS }
	:: atomic { p_state[d] == PEER_SUSPECT && !cut[d] && !dead[d] && (inc[d] != p_inc[d] || session[d] != SESSION_OPEN) ->
		release[d] = 0; p_state[d] = PEER_LOST; OUR_MEMBER(0, d); OUR_MEMBER(1, d); OUR_MEMBER(2, d) }
#ifdef CLOSES_BEFORE_SET
	:: atomic { p_state[d] == PEER_SUSPECT && cut[d] ->
		release[d] = 0; p_state[d] = PEER_LOST; OUR_MEMBER(0, d); OUR_MEMBER(1, d); OUR_MEMBER(2, d) }
#endif
	:: atomic { p_state[d] == PEER_TOKENS && REACHED(d) ->
		k_num[d]++; k_state[d] = FARSWAP_PEER_CONNECTING; p_state[d] = PEER_ADDING }
	:: atomic { p_state[d] == PEER_TOKENS && !cut[d] && !dead[d] && inc[d] != p_inc[d] -> p_state[d] = PEER_SUSPECT }
	:: atomic { k_state[d] == FARSWAP_PEER_CONNECTING ->
		if
		:: REACHED(d) && session[d] == SESSION_OPEN ->
			peer_move(d, FARSWAP_PEER_CONNECTING, FARSWAP_PEER_LIVE); qp[d] = k_num[d]; p_state[d] = PEER_LIVE
		:: else -> peer_move(d, FARSWAP_PEER_CONNECTING, FARSWAP_PEER_LOST)
		fi }
	:: atomic { p_state[d] == PEER_LOST && !cut[d] && !dead[d] && session[d] == SESSION_OPEN && inc[d] == p_inc[d] ->	/* CLOSE */
#ifndef NO_REVOKE_BEFORE_ZERO
		qp[d] = 0; fence[d] = pushers; key[d] = 0;
#endif
		session[d] = SESSION_CLOSING }
	:: atomic { p_state[d] == PEER_LOST && !cut[d] && !dead[d] && session[d] == NO_SESSION -> p_state[d] = PEER_FREE }
	:: atomic { p_state[d] == PEER_FREE && !cut[d] && !dead[d] && session[d] == NO_SESSION ->	/* OPEN */
		session[d] = SESSION_OPEN; p_inc[d] = inc[d]; p_state[d] = PEER_TOKENS }

	/* its memory */
	:: atomic { release[d] && (session[d] != SESSION_OPEN || key[d] != release[d]) && !dead[d] && !cut[d] -> release[d] = 0 }
	:: atomic { release[d] && session[d] == SESSION_OPEN && key[d] == release[d] && REACHED(d) ->	/* RELEASE */
#ifdef NO_REVOKE_BEFORE_ZERO
		MEM(d, 0) = 0; MEM(d, 1) = 0; owner[d] = VACANT; wanted_no_more(d);
#else
		key[d] = 0;
#endif
		release[d] = 0 }
	:: atomic { owner[d] == OURS && key[d] == 0 && session[d] == SESSION_OPEN && !dead[d] ->
#ifndef NO_ZERO
		MEM(d, 0) = 0; MEM(d, 1) = 0;
#endif
		owner[d] = VACANT; wanted_no_more(d) }
	:: atomic { session[d] == SESSION_CLOSING && !dead[d] ->
#ifndef NO_ZERO
		MEM(d, 0) = 0; MEM(d, 1) = 0;
#endif
		if :: owner[d] == OURS -> owner[d] = VACANT :: else fi;
		wanted_no_more(d); session[d] = NO_SESSION }
#ifdef RELEASES_WHEN_ALONE
	:: atomic { cut[d] && !dead[d] && session[d] == SESSION_OPEN && k_state[d] == FARSWAP_PEER_LOST ->
		qp[d] = 0; fence[d] = pushers; key[d] = 0; session[d] = SESSION_CLOSING }
#endif
	:: atomic { others > 0 && owner[d] == VACANT && !dead[d] ->
		others--; owner[d] = THEIRS; MEM(d, 0) = FOREIGN; MEM(d, 1) = FOREIGN }
	:: atomic { owner[d] == THEIRS ->
#ifndef NO_ZERO
		MEM(d, 0) = 0; MEM(d, 1) = 0;
#endif
		owner[d] = VACANT }
	:: atomic { drops > 0 && evict[d] && !urgent[d] -> drops--; urgent[d] = true }
	:: atomic { evicts > 0 && !evict[d] && !dead[d] && MEETS(d) && owner[d] == OURS && IN_SET(d) -> evicts--; strike(d); evict[d] = true }
	od
}

#define ENDED(s)	(slot[s] == FARSWAP_SLOT_EMPTY || slot[s] == FARSWAP_SLOT_STORED)

/* the rules that hold in every state, and what must have come about when nothing is left to happen */
proctype Judge()
{
end:	do
	:: atomic { !(TRUE_COPY(0, 0) && TRUE_COPY(0, 1) && TRUE_COPY(1, 0) && TRUE_COPY(1, 1) && TRUE_COPY(2, 0) && TRUE_COPY(2, 1)) ->
		BROKEN("a live member's copy is not the page") }
	:: atomic { !(HELD(0) && HELD(1)) -> BROKEN("the last good copy is gone") }
	:: atomic { timeout ->
		if
		:: !(ENDED(0) && ENDED(1)) || w_on || l_on || stores -> BROKEN("an I/O does not end")
		:: else
		fi;
		if
		:: sealed || !(WHOLE(0) && WHOLE(1) && WHOLE(2)) -> BROKEN("the set does not become whole")
		:: else
		fi;
		if
		:: evict[0] || evict[1] || evict[2] || evict[3] -> BROKEN("a donor waits for its memory for ever")
		:: else
		fi;
		break }
	od
}

/* page 0 is stored in frame 0 on the first three donors, or the first or first two missed it; all four are connected */
init {
	atomic {
		slot[0] = FARSWAP_SLOT_STORED; slot[1] = FARSWAP_SLOT_EMPTY; seqs = 1; seq[0] = 1;
		i = 0;
		do
		:: i < ND ->
			k_state[i] = FARSWAP_PEER_LIVE; k_num[i] = 1; p_state[i] = PEER_LIVE; session[i] = SESSION_OPEN; qp[i] = 1; fence[i] = PUSHER;
			owner[i] = VACANT;
			if
			:: i < NC -> m_donor[i] = i; m_peer[i] = 1; m_key[i] = 1; keys[i] = 1; key[i] = 1; owner[i] = OURS; MEM(i, 0) = 1
			:: else
			fi;
			i++
		:: else -> break
		od;
#ifdef ONE_GOOD_COPY
#define TWO_GOOD_COPIES
		MEM(1, 0) = 0; m_missed[1] = 1;
#endif
#ifdef TWO_GOOD_COPIES
		MEM(0, 0) = 0; m_missed[0] = 1; hit = ND;
#endif
		run Kernel(); run Manager(); run Donor(0); run Donor(1); run Donor(2); run Donor(3); run Judge()
	}
}

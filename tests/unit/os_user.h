/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's primitives for the core in user space: one thread, virtual time, and a hook wherever another CPU or an
 * interrupt could come in between (world_step(), world.c; none with OS_USER_ALONE). Locks only check that they are used as locks.
 */
#ifndef OS_USER_H
#define OS_USER_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

typedef uint64_t u64;
typedef int64_t s64;
typedef int16_t s16;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

/* ---- the world, in world.c ---- */
#define NR_CPUS 2
extern int world_cpu;		/* the CPU that runs now */
extern int world_locks;		/* locks held now: nothing may come in between while > 0 */
extern int world_rcu;		/* inside rcu_read_lock(): others may come in between, but nothing may sleep */
extern int world_rcu_outside;	/* the same of the task that the present one came in between of: no grace period ends */
extern bool world_worker;	/* the running task is a workqueue's */
extern bool world_reclaim;	/* the running task is giving memory back */
extern u64 world_ns;		/* virtual time */
#ifdef OS_USER_ALONE
#define world_step() ((void)0)
#else
void world_step(void);		/* something else may happen here */
#endif
void world_wait(u64 until_ns);	/* time passes, at most until then, until something happened */

#define U64_MAX UINT64_MAX
#define U8_MAX UINT8_MAX
#define NSEC_PER_MSEC 1000000ull
#define MSEC_PER_SEC 1000u
#define NSEC_PER_USEC 1000ull
#define __percpu
#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_mb__after_atomic() world_step()
#define smp_mb() world_step()
#define xchg(p, v) ({ __typeof__(*(p)) _v = *(p); *(p) = (v); _v; })
#define smp_mb__before_atomic() world_step()
#define container_of(p, t, m) ((t *)((char *)(p) - offsetof(t, m)))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define cond_resched() do { } while (0)
#define cpu_relax() do { } while (0)
#define need_resched() true
#define max_t(t, a, b) ((t)(a) > (t)(b) ? (t)(a) : (t)(b))
#define min_t(t, a, b) min((t)(a), (t)(b))
#define DIV_ROUND_UP(a, b) (((a) + (b) - 1) / (b))
#define DIV_ROUND_UP_ULL DIV_ROUND_UP
#define div_u64(a, b) ((a) / (b))
#define is_power_of_2(n) ((n) && !((n) & ((n) - 1)))
#define hweight32(n) ((unsigned int)__builtin_popcount(n))
#define __ffs(n) ((unsigned int)__builtin_ctzl(n))
#define ilog2(n) (63 - __builtin_clzll(n))
#define ERR_PTR(e) ((void *)(long)(e))
#define PTR_ERR(p) ((long)(p))
#define IS_ERR(p) ((unsigned long)(p) >= (unsigned long)-4095)

#define BITS_TO_LONGS(n) DIV_ROUND_UP(n, 8 * sizeof(long))
#define hweight_long(n) ((unsigned int)__builtin_popcountl(n))
#define BIT_WORD(n) ((n) / (8 * sizeof(long)))
#define BIT_MASK(n) (1ul << (n) % (8 * sizeof(long)))
#define set_bit(n, map) ((void)((map)[BIT_WORD(n)] |= BIT_MASK(n)))
#define find_first_bit(map, n) ({ unsigned int _f = 0; while (_f < (n) && !test_bit(_f, map)) _f++; _f; })
#define for_each_set_bit(f, map, n) for ((f) = 0; (f) < (n); (f)++) if (test_bit(f, map))
#define test_bit(n, map) (!!((map)[BIT_WORD(n)] & BIT_MASK(n)))

/* ---- atomics: plain, one thread; full-barrier ones are points where the world may step in ---- */
typedef struct { int v; } atomic_t;
typedef struct { long long v; } atomic64_t;
#define atomic_set(a, n) ((void)((a)->v = (n)))
#define atomic_read(a) ((a)->v)
#define atomic_read_acquire(a) ((a)->v)
#define atomic_inc(a) ((void)(a)->v++)
#define atomic_dec(a) ((void)(a)->v--)
#define atomic_add(n, a) ((void)((a)->v += (n)))
#define atomic_or(n, a) ((void)((a)->v |= (n)))
#define atomic_andnot(n, a) ((void)((a)->v &= ~(n)))
#define atomic_inc_return(a) (++(a)->v)
#define atomic_inc_unless_negative(a) ((a)->v >= 0 && ++(a)->v)
#define atomic_set_release(a, n) atomic_set(a, n)
#define atomic_dec_and_test(a) (--(a)->v == 0)
#define atomic64_inc(a) ((void)(a)->v++)
#define atomic64_read(a) ((a)->v)

static inline int atomic_cmpxchg(atomic_t *a, int old, int new)
{
	int v = a->v;

	if (v == old)
		a->v = new;
	return v;
}

#define cmpxchg(p, old, new) ({ __typeof__(*(p)) _v = *(p); if (_v == (old)) *(p) = (new); _v; })

#define rcu_read_lock() ((void)world_rcu++)
#define rcu_read_unlock() do { if (!--world_rcu) world_step(); } while (0)
#define synchronize_rcu() (assert(!world_rcu && !world_rcu_outside), world_step())
#define __rcu
#define rcu_dereference(p) READ_ONCE(p)
#define rcu_dereference_protected(p, c) (assert(c), (p))
#define rcu_assign_pointer(p, v) smp_store_release(&(p), v)
#define RCU_INIT_POINTER(p, v) ((void)((p) = (v)))

/* ---- locks ---- */
struct mutex {
	bool held;
};

#define mutex_init(m) ((void)((m)->held = false))
#define mutex_lock(m) (assert(!(m)->held && !world_locks && !world_rcu), (void)((m)->held = true))
#define mutex_unlock(m) ((void)((m)->held = false))
#define lockdep_is_held(m) ((m)->held)

typedef struct { bool held; } spinlock_t;
typedef struct { spinlock_t lock; unsigned int seq; } seqlock_t;

static inline void spin_lock(spinlock_t *l)
{
	assert(!l->held);
	l->held = true;
	world_locks++;
}

static inline void spin_unlock(spinlock_t *l)
{
	assert(l->held);
	l->held = false;
	world_locks--;
	world_step();
}

#define spin_lock_init(l) ((void)((l)->held = false))
#define spin_lock_irqsave(l, f) ((void)((f) = 0), spin_lock(l))
#define spin_unlock_irqrestore(l, f) ((void)(f), spin_unlock(l))
#define spin_lock_irq(l) spin_lock(l)
#define spin_unlock_irq(l) spin_unlock(l)
#define seqlock_init(s) ((void)memset(s, 0, sizeof(*(s))))

static inline unsigned int read_seqbegin(seqlock_t *s)
{
	world_step();
	return s->seq;
}

static inline bool read_seqretry(seqlock_t *s, unsigned int begin)
{
	bool retry = s->seq != begin;

	world_step();
	return retry;
}

#define write_seqlock_irqsave(s, f) ((void)((f) = 0), spin_lock(&(s)->lock), (void)(s)->seq++)
#define write_sequnlock_irqrestore(s, f) ((void)(f), (void)(s)->seq++, spin_unlock(&(s)->lock))

/* ---- lists ---- */
struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD(n) struct list_head n = { &(n), &(n) }

static inline void INIT_LIST_HEAD(struct list_head *h)
{
	h->next = h->prev = h;
}

static inline void list_add(struct list_head *n, struct list_head *h)
{
	n->next = h->next;
	n->prev = h;
	h->next->prev = n;
	h->next = n;
}

static inline void list_add_tail(struct list_head *n, struct list_head *h)
{
	list_add(n, h->prev);
}

static inline void list_del_init(struct list_head *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	INIT_LIST_HEAD(n);
}

#define list_empty(h) ((h)->next == (h))

static inline void list_splice_init(struct list_head *from, struct list_head *to)
{
	if (list_empty(from))
		return;
	from->prev->next = to->next;
	to->next->prev = from->prev;
	to->next = from->next;
	from->next->prev = to;
	INIT_LIST_HEAD(from);
}

#define list_entry container_of
#define list_first_entry_or_null(h, t, m) (list_empty(h) ? NULL : list_entry((h)->next, t, m))
#define list_for_each_entry_safe(p, n, h, m) \
	for (p = list_entry((h)->next, __typeof__(*p), m), n = list_entry(p->m.next, __typeof__(*p), m); &p->m != (h); \
	     p = n, n = list_entry(n->m.next, __typeof__(*n), m))

/* ---- memory ---- */
#define GFP_KERNEL 0
#define kzalloc(n, g) calloc(1, n)
#define kcalloc(n, s, g) calloc(n, s)
#define kvcalloc(n, s, g) calloc(n, s)
#define kvmalloc_node(n, g, node) ((void)(node), malloc(n))
#define cpu_to_node(cpu) 0
#define kfree(p) free((void *)(p))
#define kvfree(p) free((void *)(p))

static inline void memset64(u64 *p, u64 word, size_t n)
{
	while (n--)
		*p++ = word;
}

/* ---- per CPU ---- */
#define alloc_percpu(t) ((t *)calloc(NR_CPUS, sizeof(t)))
#define free_percpu(p) free(p)
#define per_cpu_ptr(p, i) (&(p)[i])
#define raw_cpu_ptr(p) (&(p)[world_cpu])
#define this_cpu_ptr(p) raw_cpu_ptr(p)
#define get_cpu_ptr(p) raw_cpu_ptr(p)
#define put_cpu_ptr(p) ((void)(p))
#define this_cpu_inc(x) ((void)(x)++)		/* x is of CPU 0: only sums are looked at */
#define this_cpu_dec(x) ((void)(x)--)
#define this_cpu_add(x, n) ((void)((x) += (n)))
#define this_cpu_inc_return(x) (++(x))
#define this_cpu_read(x) (x)
#define this_cpu_write(x, v) ((void)((x) = (v)))
#define for_each_possible_cpu(i) for (i = 0; i < NR_CPUS; i++)

/* ---- time, waiting, work: jiffies are milliseconds ---- */
#define ktime_get_ns() world_ns
#define msecs_to_jiffies(ms) ((unsigned long)(ms))
#define fsleep(us) ({ u64 _until = world_ns + (us) * NSEC_PER_USEC; do world_wait(_until); while (world_ns < _until); })
#define nsecs_to_jiffies(ns) ((unsigned long)((ns) / NSEC_PER_MSEC))

typedef struct { int unused; } wait_queue_head_t;
#define init_waitqueue_head(w) ((void)(w))
#define wake_up_all(w) ((void)(w))
#define wait_event_timeout(w, cond, t) ({ \
	u64 _until = world_ns + (t) * NSEC_PER_MSEC; \
	assert(world_locks == 0); \
	while (!(cond) && world_ns < _until) \
		world_wait(_until); \
	(cond) ? 1L : 0L; })

struct work_struct {
	int unused;
};

struct delayed_work {
	struct work_struct work;
	void (*fn)(struct work_struct *work);
	u64 due_ns;
	bool pending, running;
	struct delayed_work *next;	/* all that ever were initialised, world.c */
};

struct workqueue_struct {
	int unused;
};

#define WQ_MEM_RECLAIM 0
#define WQ_HIGHPRI 0
#define WQ_UNBOUND 0
#define WQ_PERCPU 0
#define alloc_workqueue(...) ((struct workqueue_struct *)calloc(1, sizeof(struct workqueue_struct)))
#define destroy_workqueue(w) free(w)
#define to_delayed_work(w) container_of(w, struct delayed_work, work)
void world_work_init(struct delayed_work *d, void (*fn)(struct work_struct *work));
#define INIT_DELAYED_WORK(d, f) world_work_init(d, f)

static inline void mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *d, unsigned long ms)
{
	(void)wq;
	d->pending = true;
	d->due_ns = world_ns + ms * NSEC_PER_MSEC;
}

static inline void queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *d, unsigned long ms)
{
	if (!d->pending)
		mod_delayed_work(wq, d, ms);
}

static inline void cancel_delayed_work_sync(struct delayed_work *d)
{
	d->pending = false;
}

/* held: nothing else runs on this CPU, and another does not need to be this very moment */
#define os_cpu_hold() ((void)world_locks++)
#define os_cpu_release() ((void)world_locks--)

static inline bool os_is_worker(void)
{
	return world_worker;
}

static inline bool os_in_reclaim(void)
{
	return world_reclaim;
}

/* kmod/stall.h */
#ifdef FSW_STALLS
#define fsw_stall() world_step()
#else
#define fsw_stall() do { } while (0)
#endif
#define fsw_stall_nap() fsw_stall()
#define fsw_stall_sleep() fsw_stall()

u32 fsw_crc32c(u32 crc, const void *p, size_t n);	/* daemon/crc32c.c */
u32 fsw_crc32c_by_table(u32 crc, const void *p, size_t n);

#define trace_farswap_store(...) do { } while (0)
#define trace_farswap_load(...) do { } while (0)
#define trace_farswap_window(...) do { } while (0)
#define trace_farswap_ahead(...) do { } while (0)
#define trace_farswap_chain_done(...) do { } while (0)

#endif

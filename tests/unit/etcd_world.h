/* SPDX-License-Identifier: GPL-2.0 */
/* What tests of the engine have around it: the log it writes, the loop it is on, a real etcd that can be killed, and what it told. */
#ifndef FARSWAP_ETCD_WORLD_H
#define FARSWAP_ETCD_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "engine.h"
#include "farswapd.h"
#include "util.h"

#define TTL_S		3	/* of leases that are to run out; the others outlive what a busy host does to them */
#define LONG_TTL_S	15
#define SOON		20	/* seconds, where the time does not matter */
#define SEEN_MAX	4096

#define wait_for(seconds, what)											\
	do {													\
		uint64_t until_ = farswap_now_ns() + (uint64_t)((seconds) * 1e9);				\
		while (!(what)) {										\
			if (farswap_now_ns() > until_)								\
				fail_msg("not within %g s: %s", (double)(seconds), #what);			\
			turn();											\
		}												\
	} while (0)

/* all keys that a watch told of, in that order */
struct seen {
	struct { char key[64], value[64]; bool gone; uint64_t mod; } at[SEEN_MAX];
	unsigned int n, gone, listed;
};

extern char lines[65536];		/* all that was logged since a test emptied it */
extern pid_t etcd;			/* 0: it does not run */
extern char url[64];			/* where it is, or will be */
extern struct seen seen;
extern const struct engine_watcher watcher;	/* its arg: a struct seen */
extern bool led;			/* as on_led() was told last */

unsigned int count_lines(const char *with);
void turn(void);			/* of the loop: 20 ms at most */
void run_for(double seconds);

/* 0: in the child, which dies with its parent */
pid_t fork_child(void);
void kill_child(pid_t *child);
void start_etcd(void);			/* with what it has stored */
void await_etcd(void);
void remove_data(void);			/* all that it has stored */

/* as a stranger would talk to it: waits for the answer, and the loop does not run meanwhile */
bool post(const char *path, const char *body, char answer[4096]);
/* returns the revision */
uint64_t order(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t put(const char *key, const char *value);
char *b64(const char *text);		/* a static buffer for each of the last four calls */

/* second: the next endpoint, may be NULL */
struct engine *begin_for(const char *first, const char *second, unsigned int ttl_s);
struct engine_state state_of(struct engine *engine);
/* as it was told last: "-" never, "gone", or its value */
const char *now_is(const struct seen *seen, const char *key);
bool is(const struct seen *seen, const char *key, const char *value);
void on_led(void *arg, bool leads);	/* a candidate's */

int etcd_world_set_up(void **state);	/* of the group: the loop, and where etcd will be */
int etcd_world_tear_down(void **state);
int with_etcd(void **state);		/* of a test: etcd runs, and nothing is logged yet */

#endif

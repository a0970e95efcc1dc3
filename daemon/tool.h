/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the farswap tool share. */
#ifndef FARSWAP_TOOL_H
#define FARSWAP_TOOL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_BAD = 3, EXIT_STOPPED = 4 };

struct tool {
	const char *config;
	const char *node;
	const char *run_dir;
	bool json;
	struct farswap_conf conf;	/* after tool_conf() */
};

/* each command takes what follows its name; returns the exit code, after one line on stderr when it failed */
int cmd_up(struct tool *tool, int argc, char **argv);
int cmd_down(struct tool *tool, int argc, char **argv);
int cmd_sync(struct tool *tool, int argc, char **argv);
int cmd_drain(struct tool *tool, int argc, char **argv);
int cmd_show(struct tool *tool, int argc, char **argv);
int cmd_audit(struct tool *tool, int argc, char **argv);
int cmd_map(struct tool *tool, int argc, char **argv);
int cmd_bring(struct tool *tool, int argc, char **argv);
int cmd_check(struct tool *tool, int argc, char **argv);

/* read cluster.conf and find this node; 0, or an exit code after one line */
int tool_conf(struct tool *tool);
/* one line on stderr; returns code */
int tool_fail(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* takes request; the daemon's reply, or NULL after one line. ok:false is told and gives its code in *code. */
struct json_object *tool_ask(struct tool *tool, struct json_object *request, int *code);
/*
 * swapoff of a farswap device that is swapped on; 0 also when it is not. 0 or an exit code after one line; progress on stdout.
 * timeout: give up after so many seconds, 0: only when no page comes back.
 */
int tool_swapoff(const char *device, unsigned int timeout);
/* device name of an argument "farswap0" or "/dev/farswap0"; NULL: not one */
const char *tool_device(const char *arg);

uint64_t tool_u64(struct json_object *object, const char *key);
const char *tool_text(struct json_object *object, const char *key);
struct json_object *tool_get(struct json_object *object, const char *key);

/* an extent and its members as the kernel holds them */
struct tool_member {
	uint32_t node;
	char name[32];
	uint64_t slab, remote;
	uint32_t rkey;
	bool live;
	uint32_t missed;		/* frames that it does not have yet */
};

struct tool_extent {
	uint64_t number;
	uint32_t generation;
	uint32_t used;			/* frames that hold a page */
	unsigned int n;
	struct tool_member members[32];
};

struct tool_extents {
	const char *device;
	struct tool_extent *extents;
	size_t n;
	struct { uint32_t node; char name[32]; } peers[256];
	size_t n_peers;
};

/* 0 or an exit code after one line */
int tool_extents_read(struct tool_extents *all, const char *device);
const struct tool_extent *tool_extent_find(const struct tool_extents *all, uint64_t number);
void tool_extents_free(struct tool_extents *all);

#endif

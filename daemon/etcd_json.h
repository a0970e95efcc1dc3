/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gate for what etcd's gateway answers: keys and values in base64, 64-bit numbers as strings, and whatever is zero or empty left out. A
 * field of another type, or out of range, is refused.
 */
#ifndef FARSWAP_ETCD_JSON_H
#define FARSWAP_ETCD_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

#define ETCD_B64_ROOM(n)	(((n) + 2) / 3 * 4 + 1)
#define ETCD_KEY_ROOM		ETCD_B64_ROOM(ENGINE_KEY_MAX)
#define ETCD_VALUE_ROOM		ETCD_B64_ROOM(ENGINE_VALUE_MAX)

struct json_object;

struct etcd_header {
	uint64_t cluster;
	uint64_t revision;
};

struct etcd_kv {
	char key[ENGINE_KEY_MAX + 1];
	char value[ENGINE_VALUE_MAX + 1];
	uint64_t create, mod;
};

enum etcd_kv_verdict {
	ETCD_KV_GOOD,
	ETCD_KV_STRANGE,	/* etcd may hold it, farswap did not put it: too long, or no text */
	ETCD_KV_BAD,		/* etcd does not answer so */
};

void etcd_b64(const char *text, char *out);
/* false: not base64. *fits: short enough for out, and text; then out has it. */
bool etcd_b64_text(const char *in, char *out, size_t room, bool *fits);
bool etcd_key_ok(const char *key);

/* each is false if the field is not of that type; one that is absent is 0, false, or NULL */
bool etcd_get_u64(struct json_object *in, const char *name, uint64_t *out);
bool etcd_get_bool(struct json_object *in, const char *name, bool *out);
bool etcd_get_object(struct json_object *in, const char *name, struct json_object **out);
bool etcd_get_array(struct json_object *in, const char *name, struct json_object **out);
bool etcd_get_string(struct json_object *in, const char *name, const char **out);

bool etcd_get_header(struct json_object *in, struct etcd_header *out);
enum etcd_kv_verdict etcd_get_kv(struct json_object *in, struct etcd_kv *out);

#endif

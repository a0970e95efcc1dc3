// SPDX-License-Identifier: GPL-2.0
#include "etcd_json.h"

#include <json-c/json.h>
#include <string.h>

#define REVISION_MAX	INT64_MAX

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void etcd_b64(const char *text, char *out)
{
	const unsigned char *in = (const unsigned char *)text;
	size_t left = strlen(text);
	uint32_t bits;

	for (; left; left -= left < 3 ? left : 3) {
		bits = (uint32_t)in[0] << 16 | (left > 1 ? (uint32_t)in[1] << 8 : 0) | (left > 2 ? in[2] : 0);
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[bits & 63] : '=';
		in += 3;
	}
	*out = 0;
}

bool etcd_b64_text(const char *in, char *out, size_t room, bool *fits)
{
	size_t length = strlen(in), bytes = 0, i;
	uint32_t bits = 0;
	const char *digit;

	*fits = true;
	if (length % 4)
		return false;
	while (length && in[length - 1] == '=' && length % 4 != 2)
		length--;
	for (i = 0; i < length; i++) {
		digit = strchr(digits, in[i]);
		if (!digit)
			return false;
		bits = bits << 6 | (uint32_t)(digit - digits);
		if (i % 4 == 0)
			continue;
		if (bytes + 1 >= room || !(uint8_t)(bits >> (6 - i % 4 * 2)))
			*fits = false;
		else
			out[bytes++] = (char)(uint8_t)(bits >> (6 - i % 4 * 2));
	}
	out[bytes] = 0;
	return true;
}

bool etcd_key_ok(const char *key)
{
	size_t i;

	for (i = 0; key[i]; i++)
		if (key[i] <= ' ' || key[i] > '~')
			return false;
	return i > 0 && i <= ENGINE_KEY_MAX;
}

static bool get(struct json_object *in, const char *name, json_type type, struct json_object **out)
{
	*out = NULL;
	return !json_object_object_get_ex(in, name, out) || json_object_is_type(*out, type);
}

bool etcd_get_string(struct json_object *in, const char *name, const char **out)
{
	struct json_object *field;

	*out = "";
	if (!get(in, name, json_type_string, &field))
		return false;
	if (field)
		*out = json_object_get_string(field);
	return !field || strlen(*out) == (size_t)json_object_get_string_len(field);	/* no \u0000 in it */
}

bool etcd_get_u64(struct json_object *in, const char *name, uint64_t *out)
{
	const char *text;

	*out = 0;
	if (!etcd_get_string(in, name, &text))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(*out, 10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(*text - '0'), out))
			return false;
	}
	return true;
}

bool etcd_get_bool(struct json_object *in, const char *name, bool *out)
{
	struct json_object *field;
	bool ok = get(in, name, json_type_boolean, &field);

	*out = ok && field && json_object_get_boolean(field);
	return ok;
}

bool etcd_get_object(struct json_object *in, const char *name, struct json_object **out)
{
	return get(in, name, json_type_object, out);
}

bool etcd_get_array(struct json_object *in, const char *name, struct json_object **out)
{
	return get(in, name, json_type_array, out);
}

bool etcd_get_header(struct json_object *in, struct etcd_header *out)
{
	struct json_object *header;

	return etcd_get_object(in, "header", &header) && header && etcd_get_u64(header, "cluster_id", &out->cluster) &&
	       etcd_get_u64(header, "revision", &out->revision) && out->revision <= REVISION_MAX;
}

enum etcd_kv_verdict etcd_get_kv(struct json_object *in, struct etcd_kv *out)
{
	const char *key, *value;
	bool key_fits, value_fits;

	if (!json_object_is_type(in, json_type_object) || !etcd_get_string(in, "key", &key) || !etcd_get_string(in, "value", &value) ||
	    !etcd_get_u64(in, "create_revision", &out->create) || !etcd_get_u64(in, "mod_revision", &out->mod) ||
	    !out->mod || out->mod > REVISION_MAX || out->create > out->mod ||
	    !etcd_b64_text(key, out->key, sizeof(out->key), &key_fits) || !etcd_b64_text(value, out->value, sizeof(out->value), &value_fits))
		return ETCD_KV_BAD;
	return key_fits && value_fits && etcd_key_ok(out->key) ? ETCD_KV_GOOD : ETCD_KV_STRANGE;
}

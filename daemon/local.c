// SPDX-License-Identifier: GPL-2.0
#include "local.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "device.h"
#include "donor.h"
#include "farswapd.h"
#include "log.h"
#include "status.h"
#include "sync.h"

#define LINE_BYTES	4096
#define CONNS_MAX	16

struct local_conn {
	struct local_conn *next;
	int fd;
	sd_event_source *io;
	bool busy;		/* a request is being worked on */
	bool gone;		/* and its asker has left */
	char line[LINE_BYTES];
	size_t bytes;
};

static struct local_conn *conns;
static unsigned int n_conns;
static int listener = -1;
static sd_event_source *source;
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static void conn_free(struct local_conn *conn)
{
	struct local_conn **p = &conns;

	while (*p != conn)
		p = &(*p)->next;
	*p = conn->next;
	n_conns--;
	sd_event_source_disable_unref(conn->io);
	close(conn->fd);
	free(conn);
}

/* takes reply; the socket's buffer holds any reply, so a short write means that the asker is gone or stuck */
static void reply(struct local_conn *conn, struct json_object *object)
{
	const char *text = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN) : NULL;
	size_t bytes = text ? strlen(text) : 0;

	conn->busy = false;
	if (!conn->gone && text &&
	    (send(conn->fd, text, bytes, MSG_NOSIGNAL) != (ssize_t)bytes || send(conn->fd, "\n", 1, MSG_NOSIGNAL) != 1))
		conn->gone = true;
	json_object_put(object);
	if (conn->gone || !text)
		conn_free(conn);
}

static void reply_line(struct local_conn *conn, int code, const char *text)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "ok", json_object_new_boolean(!code));
	json_object_object_add(object, code ? "error" : "notice", json_object_new_string(text));
	json_object_object_add(object, "code", json_object_new_int(code));
	reply(conn, object);
}

static void on_status(struct json_object *status, void *arg)
{
	reply(arg, status);
}

static void on_device_done(void *arg, int code, const char *text)
{
	reply_line(arg, code, text);
}

static const char *get_text(struct json_object *request, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(request, key, &value) || !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

/* fallback when absent; false when it is no whole number or negative */
static bool get_number(struct json_object *request, const char *key, uint64_t fallback, uint64_t *out)
{
	struct json_object *value;

	*out = fallback;
	if (!json_object_object_get_ex(request, key, &value))
		return true;
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return false;
	*out = json_object_get_uint64(value);
	return true;
}

static void serve_up(struct local_conn *conn, struct json_object *request)
{
	const char *name = get_text(request, "device");
	uint64_t size, copies;

	if (!name || !get_number(request, "size", farswapd.conf.size_bytes, &size) ||
	    !get_number(request, "copies", farswapd.conf.copies, &copies) || copies > UINT32_MAX) {
		reply_line(conn, 2, "malformed request: up wants device, size and copies");
		return;
	}
	device_up(name, size, (unsigned int)copies, on_device_done, conn);
}

static void serve_drain(struct local_conn *conn, struct json_object *request)
{
	struct json_object *on;
	uint64_t seconds;

	if (!json_object_object_get_ex(request, "on", &on) || !json_object_is_type(on, json_type_boolean) ||
	    !get_number(request, "deadline", 0, &seconds) || seconds > UINT32_MAX) {
		reply_line(conn, 2, "malformed request: drain wants on and deadline");
		return;
	}
	donor_drain(json_object_get_boolean(on), seconds);
	reply_line(conn, 0, "");
}

static void serve(struct local_conn *conn, const char *line)
{
	struct json_object *request = json_tokener_parse(line);
	const char *cmd = request && json_object_is_type(request, json_type_object) ? get_text(request, "cmd") : NULL;
	char text[4096];
	const char *name;
	int code;

	conn->busy = true;
	if (!cmd) {
		reply_line(conn, 2, "malformed request");
	} else if (!strcmp(cmd, "status")) {
		status_get(on_status, conn);
	} else if (!strcmp(cmd, "up")) {
		serve_up(conn, request);
	} else if (!strcmp(cmd, "down")) {
		name = get_text(request, "device");
		if (name)
			device_down(name, on_device_done, conn);
		else
			reply_line(conn, 2, "malformed request: down wants device");
	} else if (!strcmp(cmd, "drain")) {
		serve_drain(conn, request);
	} else if (!strcmp(cmd, "sync")) {
		code = sync_conf(text, sizeof(text)) ? 1 : 0;
		reply_line(conn, code, text);
	} else {
		reply_line(conn, 2, "unknown command");
	}
	json_object_put(request);
}

static int on_conn(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	struct local_conn *conn = arg;
	char *end;
	ssize_t n;

	(void)s;
	(void)events;
	n = recv(fd, conn->line + conn->bytes, sizeof(conn->line) - 1 - conn->bytes, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || conn->busy) {	/* one request at a time: what comes early is not a request */
		if (conn->busy) {
			conn->gone = true;
			sd_event_source_set_enabled(conn->io, SD_EVENT_OFF);
		} else {
			conn_free(conn);
		}
		return 0;
	}
	conn->bytes += (size_t)n;
	end = memchr(conn->line, '\n', conn->bytes);
	if (end) {
		char line[LINE_BYTES];

		*end = 0;
		memcpy(line, conn->line, (size_t)(end - conn->line) + 1);
		conn->bytes = 0;
		serve(conn, line);	/* conn may be gone now */
	} else if (conn->bytes == sizeof(conn->line) - 1) {
		conn_free(conn);
	}
	return 0;
}

static bool is_permitted(int fd)
{
	struct ucred cred;
	socklen_t bytes = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) && (cred.uid == 0 || cred.uid == geteuid());
}

static void refuse(int peer, const char *why)
{
	char line[200];
	int bytes = snprintf(line, sizeof(line), "{\"ok\":false,\"error\":\"%s\",\"code\":1}\n", why);

	send(peer, line, (size_t)bytes, MSG_NOSIGNAL);
	close(peer);
}

static int on_connection(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	struct local_conn *conn;
	int room = 1 << 20;
	int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)s;
	(void)events;
	(void)arg;
	if (peer < 0)
		return 0;
	if (!is_permitted(peer)) {
		refuse(peer, "not permitted: be root");
		return 0;
	}
	conn = n_conns < CONNS_MAX ? calloc(1, sizeof(*conn)) : NULL;
	if (!conn) {
		refuse(peer, "farswapd is busy with other requests: try again later");
		return 0;
	}
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	conn->fd = peer;
	conn->next = conns;
	conns = conn;
	n_conns++;
	if (sd_event_add_io(farswapd.loop, &conn->io, peer, EPOLLIN, on_conn, conn) < 0)
		conn_free(conn);
	return 0;
}

/* a socket that nobody serves is left from a daemon that was killed */
static bool is_served(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));

	if (fd >= 0)
		close(fd);
	return served;
}

static int bind_socket(void)
{
	mode_t before;
	int ret;

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return -errno;
	if (is_served())
		return -EADDRINUSE;
	unlink(address.sun_path);
	before = umask(0177);
	ret = bind(listener, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(before);
	if (!ret && listen(listener, CONNS_MAX))
		ret = -errno;
	return ret;
}

int local_prepare(void)
{
	if (mkdir(farswapd.run_dir, 0755) && errno != EEXIST) {
		farswap_log("%s cannot be made: %s", farswapd.run_dir, strerror(errno));
		return -1;
	}
	return 0;
}

int local_init(void)
{
	int ret;

	ret = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", farswapd.run_dir, farswapd.self->name);
	if (ret < 0 || (size_t)ret >= sizeof(address.sun_path)) {
		farswap_log("%s: path is too long for a socket", farswapd.run_dir);
		return -1;
	}
	ret = bind_socket();
	if (ret == -EADDRINUSE)
		farswap_log("a farswapd of node %s runs already: %s is served", farswapd.self->name, address.sun_path);
	else if (ret)
		farswap_log("%s: %s", address.sun_path, strerror(-ret));
	if (ret) {
		close(listener);
		listener = -1;
		return -1;
	}
	return sd_event_add_io(farswapd.loop, &source, listener, EPOLLIN, on_connection, NULL) < 0 ? -1 : 0;
}

void local_exit(void)
{
	while (conns)
		conn_free(conns);
	source = sd_event_source_disable_unref(source);
	if (listener < 0)
		return;
	close(listener);
	unlink(address.sun_path);
}

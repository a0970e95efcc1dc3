// SPDX-License-Identifier: GPL-2.0
#include "etcd_http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "farswapd.h"
#include "util.h"

#define JSON_DEPTH	16
#define ROOM_KEPT	(16 * 1024)	/* by a stream between lines */
#define IDLE_MAX	4		/* connections */
#define PROBE_S		10		/* TCP asks whether the other end of a silent stream is there */

/*
 * The loop watches a descriptor of its own, a copy: libcurl (7.88) closes one that is not connected yet before it says so, and may open another
 * with the same number in between, as if nothing had changed. A descriptor gone from under its source would be another's soon.
 */
struct http_socket {
	struct http_socket *next;
	struct http *http;
	int fd;				/* libcurl's */
	uint32_t events;
	sd_event_source *source;
};

struct http {
	CURLM *multi;
	struct curl_slist *headers;
	sd_event_source *timer;
	struct http_socket *sockets;
	struct http_call *calls;
	unsigned int n_calls;
	void (*enter)(void *arg);
	void *arg;
};

struct http_call {
	struct http_call *next;
	struct http *http;
	CURL *easy;
	http_answer answer;
	void *arg;
	unsigned int timeout_ms;
	char *in;
	size_t in_bytes, in_room;
	size_t header_bytes;
	bool paused;			/* lines are to be told before more is taken */
	bool finished;
	CURLcode result;
	char why[200];
	char error[CURL_ERROR_SIZE];
};

/* --- what libcurl calls: nothing of it may be called in there --- */

static bool make_room(struct http_call *call, size_t bytes)
{
	size_t room = call->in_room ? call->in_room : 4096;
	char *in;

	while (room < bytes)
		room *= 2;
	if (room == call->in_room)
		return true;
	in = realloc(call->in, room);
	if (!in)
		return false;
	call->in = in;
	call->in_room = room;
	return true;
}

static bool is_ok(const struct http_call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return status == 200;
}

static char *line_end(const struct http_call *call)
{
	return call->timeout_ms != HTTP_STREAM || !call->in_bytes || !is_ok(call) ? NULL : memchr(call->in, '\n', call->in_bytes);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;

	n *= size;
	if (call->in_bytes + n > HTTP_ANSWER_MAX) {
		call->paused = line_end(call) != NULL;
		if (call->paused)
			return CURL_WRITEFUNC_PAUSE;
		snprintf(call->why, sizeof(call->why), "its answer is longer than %u KiB", HTTP_ANSWER_MAX / 1024);
		return 0;
	}
	if (!make_room(call, call->in_bytes + n)) {
		snprintf(call->why, sizeof(call->why), "no memory for its answer");
		return 0;
	}
	memcpy(call->in + call->in_bytes, data, n);
	call->in_bytes += n;
	return n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;

	(void)data;
	n *= size;
	call->header_bytes += n;
	if (call->header_bytes <= HTTP_HEADERS_MAX)
		return n;
	snprintf(call->why, sizeof(call->why), "the head of its answer is longer than %u KiB", HTTP_HEADERS_MAX / 1024);
	return 0;
}

static int on_socket(sd_event_source *source, int own, uint32_t events, void *arg);
static int on_timer(sd_event_source *source, uint64_t usec, void *arg);

static struct http_socket **find_socket(struct http *http, int fd)
{
	struct http_socket **at = &http->sockets;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	return at;
}

/* what is open under that number now */
static int renew(struct http_socket *socket)
{
	int own = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0), ret;

	socket->source = sd_event_source_disable_unref(socket->source);
	if (own < 0)
		return -1;
	ret = sd_event_add_io(farswapd.loop, &socket->source, own, socket->events, on_socket, socket);
	if (ret >= 0)
		ret = sd_event_source_set_io_fd_own(socket->source, true);
	if (ret < 0)
		close(own);
	return ret < 0 ? -1 : 0;
}

static void forget_socket(struct http_socket **at)
{
	struct http_socket *socket = *at;

	if (!socket)
		return;
	*at = socket->next;
	sd_event_source_disable_unref(socket->source);
	free(socket);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_fd)
{
	static const uint32_t events[] = { [CURL_POLL_IN] = EPOLLIN, [CURL_POLL_OUT] = EPOLLOUT, [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT };
	struct http *http = arg;
	struct http_socket **at = find_socket(http, fd), *socket = *at;

	(void)easy;
	(void)of_fd;
	if (what == CURL_POLL_REMOVE) {
		forget_socket(at);
		return 0;
	}
	if (socket) {
		socket->events = events[what];
		return sd_event_source_set_io_events(socket->source, socket->events) < 0 ? -1 : 0;
	}
	socket = malloc(sizeof(*socket));
	if (!socket)
		return -1;
	*socket = (struct http_socket) { .next = http->sockets, .http = http, .fd = fd, .events = events[what] };
	http->sockets = socket;
	if (!renew(socket))
		return 0;
	forget_socket(&http->sockets);
	return -1;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct http *http = arg;
	int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	struct http_socket *before = *find_socket(http, fd);

	(void)purpose;
	if (fd < 0 || !before || !renew(before))
		return fd < 0 ? CURL_SOCKET_BAD : fd;
	close(fd);
	return CURL_SOCKET_BAD;
}

static int watch_clock(CURLM *multi, long ms, void *arg)
{
	struct http *http = arg;

	(void)multi;
	if (ms >= 0)
		return farswapd_timer(&http->timer, (uint64_t)ms * 1000, on_timer, http) < 0 ? -1 : 0;
	farswapd_timer_stop(http->timer);
	return 0;
}

/* --- telling what came --- */

static struct json_object *parse(const char *text, size_t bytes)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
	struct json_object *json = NULL;
	size_t end;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	json = json_tokener_parse_ex(tokener, text, (int)bytes);
	end = json_tokener_get_parse_end(tokener);
	while (end < bytes && strchr(" \t\r\n", text[end]) && text[end])
		end++;
	if (json_tokener_get_error(tokener) != json_tokener_success || end != bytes || !json_object_is_type(json, json_type_object)) {
		json_object_put(json);
		json = NULL;
	}
	json_tokener_free(tokener);
	return json;
}

/* a stranger's text that goes into the log */
static void copy_clean(char *out, size_t room, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < room && text[i]; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = 0;
}

/* {"error":"..","code":5}, and in a stream {"error":{"message":"..","grpc_code":5}}; 0: it is none */
static int error_of(struct json_object *json, char *why, size_t room)
{
	struct json_object *error, *text, *code;

	if (!json_object_object_get_ex(json, "error", &error))
		return 0;
	text = error;
	json_object_object_get_ex(json, "code", &code);
	if (json_object_is_type(error, json_type_object)) {
		json_object_object_get_ex(error, "message", &text);
		json_object_object_get_ex(error, "grpc_code", &code);
	}
	if (!json_object_is_type(text, json_type_string) || !json_object_is_type(code, json_type_int)) {
		snprintf(why, room, "it answers with an error of no known form");
		return HTTP_NOT_REACHED;
	}
	copy_clean(why, room, json_object_get_string(text));
	return json_object_get_int(code) > 0 ? json_object_get_int(code) : HTTP_NOT_REACHED;
}

static void unlink_call(struct http_call *call)
{
	struct http_call **at = &call->http->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	call->http->n_calls--;
	curl_multi_remove_handle(call->http->multi, call->easy);
}

static void free_call(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	free(call->in);
	free(call);
}

void http_cancel(struct http_call *call)
{
	if (!call)
		return;
	unlink_call(call);
	free_call(call);
}

void http_cancel_all(struct http *http)
{
	while (http->calls)
		http_cancel(http->calls);
}

static void say_result(struct http_call *call)
{
	long no = 0;

	if (call->why[0])
		return;
	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &no);
	if (call->result == CURLE_OPERATION_TIMEDOUT)
		snprintf(call->why, sizeof(call->why), "no answer within %.1f s", call->timeout_ms / 1e3);
	else if (call->result == CURLE_COULDNT_CONNECT && no)
		snprintf(call->why, sizeof(call->why), "%s", strerror((int)no));
	else if (call->result == CURLE_OUT_OF_MEMORY)
		snprintf(call->why, sizeof(call->why), "no memory for its answer, or a line of its head is too long");
	else if (call->result == CURLE_GOT_NOTHING)
		snprintf(call->why, sizeof(call->why), "the connection was closed without an answer");
	else if (call->result == CURLE_PARTIAL_FILE)
		snprintf(call->why, sizeof(call->why), "the connection was closed in the middle of an answer");
	else
		copy_clean(call->why, sizeof(call->why), call->error[0] ? call->error : curl_easy_strerror(call->result));
}

/* of a call that is over: what it answered, or NULL and how it failed */
static struct json_object *result_of(struct http_call *call, int *code)
{
	struct json_object *json = NULL;
	long status = 0;

	*code = HTTP_NOT_REACHED;
	if (call->result != CURLE_OK) {
		say_result(call);
		return NULL;
	}
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (call->in_bytes)
		json = parse(call->in, call->in_bytes);
	if (json && error_of(json, call->why, sizeof(call->why)))
		*code = error_of(json, call->why, sizeof(call->why));
	else if (status != 200)
		snprintf(call->why, sizeof(call->why), "HTTP status %ld", status);
	else if (call->timeout_ms == HTTP_STREAM)
		snprintf(call->why, sizeof(call->why), "it ended a stream");
	else if (!json)
		snprintf(call->why, sizeof(call->why), "its answer is not JSON");
	else
		return json;
	json_object_put(json);
	return NULL;
}

static void tell_end(struct http_call *call)
{
	int code;
	struct json_object *json = result_of(call, &code);

	unlink_call(call);
	call->answer(call->arg, json, json ? 0 : code, call->why);
	json_object_put(json);
	free_call(call);
}

static void tell_line(struct http_call *call, size_t bytes)
{
	struct json_object *json = parse(call->in, bytes);
	int code = HTTP_NOT_REACHED;

	if (json)
		code = error_of(json, call->why, sizeof(call->why));
	else
		snprintf(call->why, sizeof(call->why), "a line of its stream is not JSON");
	if (code) {
		unlink_call(call);
		call->answer(call->arg, NULL, code, call->why);
		free_call(call);
	} else {
		call->in_bytes -= bytes + 1;
		memmove(call->in, call->in + bytes + 1, call->in_bytes);
		call->answer(call->arg, json, 0, NULL);	/* call may be gone now */
	}
	json_object_put(json);
}

static void take_more(struct http_call *call)
{
	if (call->in_bytes == 0 && call->in_room > ROOM_KEPT) {
		free(call->in);
		call->in = NULL;
		call->in_room = 0;
	}
	if (call->paused) {
		call->paused = false;
		curl_easy_pause(call->easy, CURLPAUSE_CONT);
	}
}

/* one thing; after it, any call may be gone, so begin again */
static bool tell(struct http *http)
{
	struct http_call *call;
	char *end;

	for (call = http->calls; call; call = call->next) {
		end = line_end(call);
		if (!end)
			take_more(call);
		if (end || (end = line_end(call)))
			tell_line(call, (size_t)(end - call->in));
		else if (call->finished)
			tell_end(call);
		else
			continue;
		return true;
	}
	return false;
}

static void reap(struct http *http)
{
	struct http_call *call;
	CURLMsg *msg;
	int left;

	do {
		while ((msg = curl_multi_info_read(http->multi, &left))) {
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
			call->finished = true;
			call->result = msg->data.result;
		}
	} while (tell(http));
}

static int on_socket(sd_event_source *source, int own, uint32_t events, void *arg)
{
	struct http_socket *socket = arg;
	struct http *http = socket->http;
	int fd = socket->fd, what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0), running;

	(void)source;
	(void)own;
	http->enter(http->arg);		/* socket may be gone after it */
	curl_multi_socket_action(http->multi, fd, what, &running);
	reap(http);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct http *http = arg;
	int running;

	(void)source;
	(void)usec;
	http->enter(http->arg);
	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(http);
	return 0;
}

/* --- calls --- */

static void limit_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

static CURL *make_easy(struct http *http, const char *url, const char *body, unsigned int timeout_ms)
{
	CURL *easy = curl_easy_init();

	if (!easy)
		return NULL;
	limit_protocols(easy);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");	/* nor what the environment says */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16384L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)PROBE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)PROBE_S);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "farswapd/" FARSWAP_VERSION);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms == HTTP_NO_TIMEOUT ? 0L : (long)timeout_ms);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	if (body && curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body) != CURLE_OK) {
		curl_easy_cleanup(easy);
		return NULL;
	}
	return easy;
}

struct http_call *http_start(struct http *http, const char *url, const char *body, unsigned int timeout_ms, http_answer answer, void *arg)
{
	struct http_call *call = http->n_calls < HTTP_CALLS_MAX ? calloc(1, sizeof(*call)) : NULL;

	if (!call)
		return NULL;
	*call = (struct http_call) { .http = http, .answer = answer, .arg = arg, .timeout_ms = timeout_ms };
	call->easy = make_easy(http, url, body, timeout_ms);
	if (!call->easy) {
		free(call);
		return NULL;
	}
	curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETDATA, http);
	curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	if (curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
		free_call(call);
		return NULL;
	}
	call->next = http->calls;
	http->calls = call;
	http->n_calls++;
	return call;
}

static size_t ignore(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

void http_post_wait(struct http *http, const char *url, const char *body, unsigned int timeout_ms)
{
	CURL *easy = make_easy(http, url, body, timeout_ms);

	if (!easy)
		return;
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_perform(easy);
	curl_easy_cleanup(easy);
}

struct http *http_new(void (*enter)(void *arg), void *arg)
{
	/* a member of etcd that has lost its leader says so instead of keeping us waiting; small bodies need no "Expect: 100-continue" */
	static const char *const headers[] = { "Content-Type: application/json", "Grpc-Metadata-hasleader: true", "Expect:" };
	struct http *http = calloc(1, sizeof(*http));
	struct curl_slist *list;
	unsigned int i;

	if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(http);
		return NULL;
	}
	http->enter = enter;
	http->arg = arg;
	http->multi = curl_multi_init();
	for (i = 0; i < ARRAY_SIZE(headers); i++) {
		list = curl_slist_append(http->headers, headers[i]);
		if (!http->multi || !list) {
			http_free(http);
			return NULL;
		}
		http->headers = list;
	}
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, watch_clock);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_MAX);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	http_cancel_all(http);
	curl_multi_cleanup(http->multi);
	while (http->sockets)
		forget_socket(&http->sockets);
	curl_slist_free_all(http->headers);
	sd_event_source_disable_unref(http->timer);
	curl_global_cleanup();
	free(http);
}

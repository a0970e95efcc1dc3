/* SPDX-License-Identifier: GPL-2.0 */
/*
 * JSON over HTTP in the daemon's loop: libcurl's multi interface. No redirects, no proxy, nothing but http and https. What comes
 * back is bounded (HTTP_ANSWER_MAX, HTTP_HEADERS_MAX), and whole JSON before anybody sees it; what it says is for etcd_json.h to check.
 */
#ifndef FARSWAP_ETCD_HTTP_H
#define FARSWAP_ETCD_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP_ANSWER_MAX		(512 * 1024)	/* bytes of an answer, or of a stream's line */
#define HTTP_HEADERS_MAX	(16 * 1024)
#define HTTP_CALLS_MAX		64		/* in the air */

#define HTTP_STREAM		0u		/* for a timeout: there is none, and the answer comes line by line */
#define HTTP_NO_TIMEOUT		(~0u)

#define HTTP_NOT_REACHED	(-1)		/* or what came is no answer; others are gRPC's codes, as etcd gave them */
#define HTTP_UNKNOWN		2
#define HTTP_DEADLINE		4
#define HTTP_NOT_FOUND		5
#define HTTP_INTERNAL		13
#define HTTP_UNAVAILABLE	14

struct http;
struct http_call;
struct json_object;

/*
 * Called once; for a stream, with each line, which is JSON of its own, and once more when it has ended. json is the callee's until it
 * returns; NULL: the call is over, code and why say how. Any call may be made or cancelled in it.
 */
typedef void (*http_answer)(void *arg, struct json_object *json, int code, const char *why);

/* enter(arg) comes first whenever the loop comes here. NULL: no memory. */
struct http *http_new(void (*enter)(void *arg), void *arg);
/* not from an answer; cancels all calls */
void http_free(struct http *http);
/* body NULL: GET. NULL: no memory, or too much in the air; then nobody is called. */
struct http_call *http_start(struct http *http, const char *url, const char *body, unsigned int timeout_ms, http_answer answer, void *arg);
/* its answer is not called any more */
void http_cancel(struct http_call *call);
void http_cancel_all(struct http *http);
/* blocks; what is answered does not matter */
void http_post_wait(struct http *http, const char *url, const char *body, unsigned int timeout_ms);

#endif

// SPDX-License-Identifier: GPL-2.0
#include "kernel.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device.h"
#include "farswapd.h"
#include "stall.h"

#define STACK_BYTES	(256 * 1024)	/* all of it is locked in memory */

struct kernel_request {
	struct kernel_request *next;
	struct nl_msg *msg;
	kernel_done done;
	void *arg;
	int error;
	char why[256];
	struct kernel_answer *answers, **last;
};

struct kernel_queue {
	struct kernel_request *first, **last;
};

static pthread_t thread;
static bool running;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* todo, finished, stop */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct kernel_queue todo = { .last = &todo.first };
static struct kernel_queue finished = { .last = &finished.first };
static bool stop;
static int done_fd = -1;
static sd_event_source *done_source, *event_source;
static int event_fd = -1;

static void enqueue(struct kernel_queue *queue, struct kernel_request *request)
{
	request->next = NULL;
	*queue->last = request;
	queue->last = &request->next;
}

static struct kernel_request *dequeue(struct kernel_queue *queue)
{
	struct kernel_request *request = queue->first;

	if (!request)
		return NULL;
	queue->first = request->next;
	if (!queue->first)
		queue->last = &queue->first;
	return request;
}

static void free_request(struct kernel_request *request)
{
	struct kernel_answer *answer;

	while ((answer = request->answers)) {
		request->answers = answer->next;
		free(answer);
	}
	if (request->msg)
		nlmsg_free(request->msg);
	free(request);
}

static int keep_answer(const struct nlmsghdr *nlh, void *arg)
{
	struct kernel_request *request = arg;
	struct kernel_answer *answer = malloc(sizeof(*answer) + nlh->nlmsg_len);

	if (!answer)
		return -ENOMEM;
	answer->next = NULL;
	memcpy(answer->nlh, nlh, nlh->nlmsg_len);
	*request->last = answer;
	request->last = &answer->next;
	return 0;
}

static void serve(struct kernel_request *request)
{
	uint64_t one = 1;

	farswap_stall("kernel asked");
	if (request->msg) {
		request->error = farswap_nl_call(request->msg, keep_answer, request, request->why, sizeof(request->why));
	} else {
		request->error = -ENOMEM;
		snprintf(request->why, sizeof(request->why), "out of memory");
	}
	farswap_stall("kernel answered");
	pthread_mutex_lock(&lock);
	enqueue(&finished, request);
	pthread_mutex_unlock(&lock);
	if (write(done_fd, &one, sizeof(one)) != sizeof(one))
		abort();	/* an eventfd takes 2^64 - 2 of these */
}

static void *work(void *arg)
{
	struct kernel_request *request;

	(void)arg;
	for (;;) {
		pthread_mutex_lock(&lock);
		while (!todo.first && !stop)
			pthread_cond_wait(&wake, &lock);
		request = stop ? NULL : dequeue(&todo);
		pthread_mutex_unlock(&lock);
		if (!request)
			return NULL;
		serve(request);
	}
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct kernel_request *request;
	uint64_t count;

	(void)source;
	(void)events;
	(void)arg;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	for (;;) {
		pthread_mutex_lock(&lock);
		request = dequeue(&finished);
		pthread_mutex_unlock(&lock);
		if (!request)
			return 0;
		request->done(request->error, request->why, request->answers, request->arg);
		free_request(request);
	}
}

void kernel_call(struct nl_msg *msg, kernel_done done, void *arg)
{
	struct kernel_request *request = calloc(1, sizeof(*request));

	if (!request) {
		if (msg)
			nlmsg_free(msg);
		done(-ENOMEM, "out of memory", NULL, arg);
		return;
	}
	request->msg = msg;
	request->done = done;
	request->arg = arg;
	request->last = &request->answers;
	pthread_mutex_lock(&lock);
	enqueue(&todo, request);
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

static void stop_events(void)
{
	event_source = sd_event_source_disable_unref(event_source);
	if (event_fd >= 0)
		close(event_fd);
	event_fd = -1;
}

/* what an event says DEV_GET and PEER_GET say too, so it only makes them come sooner */
static int on_event(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	char buf[8192];
	ssize_t n;

	(void)source;
	(void)events;
	(void)arg;
	do
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
	while (n > 0 || (n < 0 && errno == EINTR));
	if (n == 0 || (errno != EAGAIN && errno != ENOBUFS))
		stop_events();
	device_poll_soon();
	return 0;
}

void kernel_listen(void)
{
	stop_events();
	event_fd = farswap_nl_listen();
	if (event_fd < 0)
		return;		/* events are best effort: the poll sees it all */
	if (sd_event_add_io(farswapd.loop, &event_source, event_fd, EPOLLIN, on_event, NULL) < 0)
		stop_events();
}

int kernel_init(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int ret;

	done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (done_fd < 0)
		return -errno;
	ret = sd_event_add_io(farswapd.loop, &done_source, done_fd, EPOLLIN, on_done, NULL);
	if (ret < 0)
		return ret;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);	/* signals are the loop's */
	ret = -pthread_create(&thread, &attr, work, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	running = !ret;
	return ret;
}

void kernel_exit(void)
{
	struct kernel_request *request;

	stop_events();
	if (running) {
		pthread_mutex_lock(&lock);
		stop = true;
		pthread_cond_signal(&wake);
		pthread_mutex_unlock(&lock);
		pthread_join(thread, NULL);
	}
	while ((request = dequeue(&todo)) || (request = dequeue(&finished)))
		free_request(request);
	done_source = sd_event_source_disable_unref(done_source);
	if (done_fd >= 0)
		close(done_fd);
}

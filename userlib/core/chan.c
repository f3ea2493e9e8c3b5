/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels: a fixed number of operations in flight, allocated when the
 * channel is opened. The thread that uses the channel submits and reaps, and has
 * the free ones and those it is about to reap for itself; completions come from any
 * thread, so that the other lists are under chan->lock.
 *
 * What the back end can do at once is done while the batch is sent, is never seen
 * among the active ones, and comes to the done ones with its whole batch.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

#define MAX_DEPTH 4096
#define BATCH 64 /* packets sent by one call of the back end */

/* ---- lists ---- */

static struct mb_flight *take_free(struct membox_chan *chan)
{
	struct mb_flight *f = chan->free;

	if (f)
		chan->free = f->next;
	return f;
}

static void give_free(struct membox_chan *chan, struct mb_flight *f)
{
	f->next = chan->free;
	chan->free = f;
}

/* Others only read it. */
static void count_pending(struct membox_chan *chan, int more)
{
	unsigned int n = atomic_load_explicit(&chan->pending, memory_order_relaxed);

	atomic_store_explicit(&chan->pending, n + (unsigned int)more, memory_order_relaxed);
}

/* On the active list it can be cancelled; it leaves it when it is done. */
static void activate(struct membox_chan *chan, struct mb_flight *f)
{
	mb_flight_hold(f);
	count_pending(chan, 1);
	pthread_mutex_lock(&chan->lock);
	mb_list_add(&chan->active, &f->active);
	pthread_mutex_unlock(&chan->lock);
}

static void put_back(struct membox_chan *chan, struct mb_flight *f)
{
	mb_flight_release(f);
	give_free(chan, f);
}

static void deactivate(struct membox_chan *chan, struct mb_flight *f)
{
	pthread_mutex_lock(&chan->lock);
	mb_list_del(&f->active);
	pthread_mutex_unlock(&chan->lock);
	count_pending(chan, -1);
	mb_flight_drop(f);
	put_back(chan, f);
}

/* Flights from first to last, linked by next, are done. With the lock. */
static void add_done(struct membox_chan *chan, struct mb_flight *first, struct mb_flight **tail,
		     unsigned int n)
{
	*tail = NULL;
	*chan->done_tail = first;
	chan->done_tail = tail;
	chan->ndone += n;
	if (chan->event_fd >= 0)
		mb_signal_fd(chan->event_fd);
}

void mb_chan_done(struct mb_flight *f)
{
	struct membox_chan *chan = f->chan;

	pthread_mutex_lock(&chan->lock);
	mb_list_del(&f->active);
	add_done(chan, f, &f->next, 1);
	pthread_mutex_unlock(&chan->lock);
}

/* The next one to be reaped; all that are done are taken at once. */
static struct mb_flight *take_done(struct membox_chan *chan)
{
	struct mb_flight *f;

	if (!chan->ready) {
		pthread_mutex_lock(&chan->lock);
		chan->ready = chan->done;
		chan->nready = chan->ndone;
		chan->done = NULL;
		chan->done_tail = &chan->done;
		chan->ndone = 0;
		pthread_mutex_unlock(&chan->lock);
	}
	f = chan->ready;
	if (f) {
		chan->ready = f->next;
		chan->nready--;
	}
	if (!chan->ready && chan->event_fd >= 0) {
		pthread_mutex_lock(&chan->lock);
		if (!chan->done)
			mb_clear_fd(chan->event_fd);
		pthread_mutex_unlock(&chan->lock);
	}
	return f;
}

/* ---- opening and closing ---- */

MB_EXPORT int membox_chan_open(struct membox *box, unsigned int depth, struct membox_chan **out)
{
	struct membox_chan *chan;
	unsigned int i;
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (!depth || depth > MAX_DEPTH)
		return mb_fail(-EINVAL, "channel of depth %u: 1 to %u", depth, MAX_DEPTH);
	chan = calloc(1, sizeof(*chan));
	if (!chan)
		return mb_fail(-ENOMEM, "channel of depth %u: no memory", depth);
	chan->flights = calloc(depth, sizeof(*chan->flights));
	if (!chan->flights) {
		ret = mb_fail(-ENOMEM, "channel of depth %u: no memory", depth);
		goto free_chan;
	}
	chan->box = box;
	chan->depth = depth;
	chan->event_fd = chan->epoll_fd = -1;
	chan->done_tail = &chan->done;
	mb_list_init(&chan->active);
	for (i = 0; i < depth; i++) {
		mb_list_init(&chan->flights[i].active);
		chan->flights[i].chan = chan;
		chan->flights[i].next = chan->free;
		chan->free = &chan->flights[i];
	}
	ret = box->be->lane_open(box, &chan->lane);
	if (ret) {
		mb_fail(ret, "channel of box %s: %s", box->uri, strerror(-ret));
		goto free_flights;
	}
	pthread_mutex_init(&chan->lock, NULL);
	pthread_mutex_lock(&box->lock);
	mb_list_add(&box->chans, &chan->list);
	pthread_mutex_unlock(&box->lock);
	*out = chan;
	return 0;
free_flights:
	free(chan->flights);
free_chan:
	free(chan);
	return ret;
}

/* Cancels one part after the other of what is active; mb_chan_done may come at any time. */
static unsigned int cancel(struct membox_chan *chan, bool all, uint64_t user_data)
{
	unsigned int found = 0, i, p;

	for (i = 0; i < chan->depth; i++) {
		struct mb_flight *f = &chan->flights[i];
		bool hit;

		pthread_mutex_lock(&chan->lock);
		hit = f->active.next != &f->active && (all || f->user_data == user_data);
		pthread_mutex_unlock(&chan->lock);
		if (!hit)
			continue;
		found++;
		/* the parts stay ours until this thread reaps them */
		for (p = 0; p < f->parts; p++)
			chan->box->be->cancel(chan->box, &chan->lane, mb_flight_part(f, p));
	}
	return found;
}

static bool none_active(void *arg)
{
	struct membox_chan *chan = arg;
	bool none;

	pthread_mutex_lock(&chan->lock);
	none = chan->active.next == &chan->active;
	pthread_mutex_unlock(&chan->lock);
	return none;
}

/* What fell out of box->chans. In a forked child there is nothing to wait for. */
void mb_chan_destroy(struct membox_chan *chan)
{
	struct membox *box = chan->box;
	struct mb_wait wait = { none_active, chan, UINT64_MAX };
	struct mb_flight *f;

	if (!mb_is_foreign(box)) {
		while (!none_active(chan)) {
			cancel(chan, true, 0);
			wait.deadline = mb_now() + 10000000;
			box->be->wait(box, &wait);
		}
	}
	while ((f = take_done(chan))) {
		mb_flight_drop(f);
		mb_flight_release(f);
	}
	box->be->lane_close(box, &chan->lane);
	if (chan->epoll_fd >= 0)
		close(chan->epoll_fd);
	if (chan->event_fd >= 0)
		close(chan->event_fd);
	pthread_mutex_destroy(&chan->lock);
	free(chan->flights);
	free(chan);
}

MB_EXPORT void membox_chan_close(struct membox_chan *chan)
{
	struct membox *box;

	if (!chan)
		return;
	box = chan->box;
	pthread_mutex_lock(&box->lock);
	mb_list_del(&chan->list);
	pthread_mutex_unlock(&box->lock);
	mb_chan_destroy(chan);
}

/* ---- submitting ---- */

/* What the box cannot do is done here and now, after what a fence names. */
static int submit_fallback(struct membox_chan *chan, struct mb_flight *f,
			   const struct membox_op *op)
{
	struct mb_wait wait = { none_active, chan, UINT64_MAX };
	struct membox_done done;
	int ret;

	if (op->flags & MEMBOX_F_FENCE)
		chan->box->be->wait(chan->box, &wait);
	ret = mb_fallback(chan->box, f, op, &done);
	if (ret)
		return ret;
	activate(chan, f);
	f->result = done;
	f->failed = 0;
	mb_chan_done(f);
	return 0;
}

/* Operations that became one packet each, to be sent together. */
struct batch {
	struct mb_flight *flight[BATCH];
	unsigned int n;
};

/* Sends some of them; those that the back end did not take go back, the last first. */
static int send_some(struct membox_chan *chan, struct mb_flight **flight, unsigned int n,
		     unsigned int *taken)
{
	struct mb_req *reqs[BATCH];
	unsigned int sent = 0, i;
	int ret = 0;

	for (i = 0; i < n; i++) {
		activate(chan, flight[i]);
		reqs[i] = &flight[i]->one;
	}
	while (sent < n) {
		ret = chan->box->be->submit(chan->box, &chan->lane, reqs + sent, n - sent, NULL);
		if (ret < 0)
			break;
		sent += (unsigned int)ret;
	}
	for (i = n; i > sent; i--)
		deactivate(chan, flight[i - 1]);
	*taken += sent;
	if (ret >= 0)
		return 0;
	return mb_fail(ret, "%u operations for box %s: %s", n - sent, chan->box->uri,
		       strerror(-ret));
}

/* Those from `first` on that can be done at once, up to one that cannot. How many there were. */
static unsigned int do_now(struct membox_chan *chan, const struct batch *b, unsigned int first,
			   uint64_t *clock)
{
	struct mb_flight *f = NULL, *head, **tail = &head;
	unsigned int n = 0;

	for (; first + n < b->n; n++) {
		f = b->flight[first + n];
		if (!mb_flight_now(chan->box, f, *clock))
			break;
		*clock = f->result.end; /* when the next one begins */
		f->param = NULL; /* only an error would be told with its name */
		*tail = f;
		tail = &f->next;
	}
	if (!n)
		return 0;
	count_pending(chan, (int)n);
	pthread_mutex_lock(&chan->lock);
	add_done(chan, head, tail, n);
	pthread_mutex_unlock(&chan->lock);
	return n;
}

static int flush(struct membox_chan *chan, struct batch *b, unsigned int *taken)
{
	bool now = chan->box->be->now;
	unsigned int sent = 0, n;
	uint64_t clock = 0;
	int ret = 0;

	while (!ret && sent < b->n) {
		n = now ? do_now(chan, b, sent, &clock) : 0;
		sent += n;
		*taken += n;
		if (n)
			continue;
		clock = 0; /* one that takes its time: to be read anew */
		n = now ? 1 : b->n - sent;
		ret = send_some(chan, b->flight + sent, n, taken);
		sent += n;
	}
	for (n = b->n; n > sent; n--)
		put_back(chan, b->flight[n - 1]);
	b->n = 0;
	return ret;
}

/* Not for the batch: sent at once, by more than one packet or by none. 0 or -errno. */
static int send_alone(struct membox_chan *chan, struct mb_flight *f, const struct membox_op *op,
		      bool fallback)
{
	struct membox *box = chan->box;
	int ret;

	if (fallback) {
		ret = submit_fallback(chan, f, op);
		if (ret)
			put_back(chan, f);
		return ret;
	}
	activate(chan, f);
	ret = mb_flight_send(box, &chan->lane, f, NULL);
	if (ret) {
		deactivate(chan, f);
		mb_fail(ret, "%s in box %s: %s", mb_op_name(op->opcode), box->uri,
			strerror(-ret));
	}
	return ret;
}

static int prepare(struct membox_chan *chan, const struct membox_op *op, struct mb_flight **out)
{
	struct mb_flight *f = take_free(chan);
	int ret;

	if (!f)
		return mb_fail(-EAGAIN,
			       "channel is full: %u operations in flight; reap some, or open it deeper",
			       chan->depth);
	ret = mb_flight_prepare(f, chan->box, op);
	if (ret)
		give_free(chan, f);
	else
		*out = f;
	return ret;
}

MB_EXPORT int membox_submit(struct membox_chan *chan, const struct membox_op *ops, unsigned int n)
{
	struct batch b = { .n = 0 };
	unsigned int taken = 0, i;
	int ret = mb_check(chan->box), flushed;

	for (i = 0; !ret && i < n; i++) {
		bool fallback = mb_needs_fallback(chan->box, &ops[i]), alone;
		struct mb_flight *f = NULL;

		ret = prepare(chan, &ops[i], &f);
		if (ret)
			break;
		alone = fallback || f->parts > 1 || f->refusal;
		if (alone || b.n == BATCH)
			ret = flush(chan, &b, &taken);
		if (ret) {
			put_back(chan, f);
		} else if (alone) {
			ret = send_alone(chan, f, &ops[i], fallback);
			taken += ret ? 0 : 1;
		} else {
			b.flight[b.n++] = f;
		}
	}
	flushed = flush(chan, &b, &taken); /* also what came before an error */
	if (!ret)
		ret = flushed;
	return taken || !ret ? (int)taken : ret;
}

/* ---- reaping ---- */

struct reap_wait {
	struct membox_chan *chan;
	unsigned int want;
};

static bool enough(void *arg)
{
	struct reap_wait *w = arg;
	unsigned int n = w->chan->nready;

	if (n >= w->want)
		return true;
	pthread_mutex_lock(&w->chan->lock);
	n += w->chan->ndone;
	pthread_mutex_unlock(&w->chan->lock);
	return n >= w->want;
}

MB_EXPORT int membox_reap(struct membox_chan *chan, struct membox_done *done, unsigned int max,
			  unsigned int min, int64_t timeout)
{
	struct membox *box = chan->box;
	struct reap_wait w = { chan, min > max ? max : min };
	struct mb_wait wait = { enough, &w, 0 };
	struct mb_flight *f;
	unsigned int n = 0, pending = atomic_load(&chan->pending);
	int ret = mb_check(box);

	if (ret)
		return ret;
	if (min > pending)
		return mb_fail(-EINVAL,
			       "reap of at least %u: only %u operations are in flight", min,
			       pending);
	if (!w.want)
		w.want = max ? 1 : 0; /* look at what came, without sleeping */
	if (!enough(&w)) {
		wait.deadline = min && max ? mb_deadline(timeout) : 0;
		box->be->wait(box, &wait);
	}
	while (n < max && (f = take_done(chan))) {
		done[n++] = f->result;
		if (f->result.status)
			mb_flight_fail(f);
		mb_flight_drop(f);
		put_back(chan, f);
		count_pending(chan, -1);
	}
	if (!n && min)
		return mb_fail(-ETIMEDOUT, "reap: none of %u operations ended in time", pending);
	return (int)n;
}

MB_EXPORT int membox_cancel(struct membox_chan *chan, uint64_t user_data)
{
	int ret = mb_check(chan->box);

	return ret ? ret : (int)cancel(chan, false, user_data);
}

MB_EXPORT unsigned int membox_chan_pending(const struct membox_chan *chan)
{
	return atomic_load(&((struct membox_chan *)(uintptr_t)chan)->pending);
}

/* ---- poll ---- */

static int make_fds(struct membox_chan *chan)
{
	struct epoll_event e = { .events = EPOLLIN };
	int epoll, event, ret;

	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		return -errno;
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0) {
		ret = -errno;
		goto close_epoll;
	}
	ret = epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e) ? -errno : 0;
	if (!ret)
		ret = chan->box->be->poll_add(chan->box, epoll);
	if (ret)
		goto close_event;
	pthread_mutex_lock(&chan->lock);
	chan->epoll_fd = epoll;
	chan->event_fd = event;
	if (chan->ready || chan->done)
		mb_signal_fd(event);
	pthread_mutex_unlock(&chan->lock);
	return 0;
close_event:
	close(event);
close_epoll:
	close(epoll);
	return ret;
}

MB_EXPORT int membox_chan_fd(struct membox_chan *chan)
{
	int ret = mb_check(chan->box);

	if (ret)
		return ret;
	if (chan->epoll_fd < 0) {
		ret = make_fds(chan);
		if (ret)
			return mb_fail(ret, "descriptor of a channel of box %s: %s",
				       chan->box->uri, strerror(-ret));
	}
	return chan->epoll_fd;
}

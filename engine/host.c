// SPDX-License-Identifier: MIT
/*
 * host.c - walking a command's host vectors. No locks: a place belongs to the
 * thread that runs the command.
 */
#include "exec.h"

#include <string.h>

void mbe_host_open(struct mbe_host *h, const struct iovec *v, unsigned int n)
{
	h->v = v;
	h->end = v + n;
	h->at = 0;
	h->stream = false;
}

static void copy(const struct mbe_host *h, void *to, const void *from, size_t bytes)
{
	if (h->stream)
		mbe_copy_stream(to, from, bytes);
	else
		memcpy(to, from, bytes);
}

size_t mbe_host_piece(struct mbe_host *h, size_t max, uint8_t **piece)
{
	size_t left;

	while (h->v < h->end && h->at == h->v->iov_len) {
		h->v++;
		h->at = 0;
	}
	if (h->v == h->end)
		return 0;
	*piece = (uint8_t *)h->v->iov_base + h->at;
	left = h->v->iov_len - h->at;
	return left < max ? left : max;
}

void mbe_host_advance(struct mbe_host *h, size_t bytes)
{
	h->at += bytes;
}

void mbe_host_get(struct mbe_host *h, void *to, size_t bytes)
{
	uint8_t *d = to, *piece;
	size_t n;

	while (bytes && (n = mbe_host_piece(h, bytes, &piece)) != 0) {
		copy(h, d, piece, n);
		mbe_host_advance(h, n);
		d += n;
		bytes -= n;
	}
}

void mbe_host_put(struct mbe_host *h, const void *from, size_t bytes)
{
	const uint8_t *s = from;
	uint8_t *piece;
	size_t n;

	while (bytes && (n = mbe_host_piece(h, bytes, &piece)) != 0) {
		copy(h, piece, s, n);
		mbe_host_advance(h, n);
		s += n;
		bytes -= n;
	}
}

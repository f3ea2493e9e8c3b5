// SPDX-License-Identifier: MIT
/*
 * copy.c - copying what is too long to be in a cache when it is used next. Pure
 * functions.
 */
#include <string.h>

#include "exec.h"

#if defined(__x86_64__)
#include <emmintrin.h>

#define LINE 64

void mbe_copy_stream(void *to, const void *from, size_t bytes)
{
	size_t head = (LINE - (uintptr_t)to % LINE) % LINE;
	const uint8_t *s = from;
	uint8_t *d = to;

	if (bytes < 2 * LINE) {
		memcpy(to, from, bytes);
		return;
	}
	memcpy(d, s, head);
	d += head;
	s += head;
	for (bytes -= head; bytes >= LINE; bytes -= LINE, d += LINE, s += LINE) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)s);
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(s + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(const void *)(s + 32));
		__m128i e = _mm_loadu_si128((const __m128i *)(const void *)(s + 48));

		_mm_stream_si128((__m128i *)(void *)d, a);
		_mm_stream_si128((__m128i *)(void *)(d + 16), b);
		_mm_stream_si128((__m128i *)(void *)(d + 32), c);
		_mm_stream_si128((__m128i *)(void *)(d + 48), e);
	}
	memcpy(d, s, bytes);
	_mm_sfence(); /* such stores are ordered by nothing else, not by unlocking a stripe */
}

#else

void mbe_copy_stream(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

#endif

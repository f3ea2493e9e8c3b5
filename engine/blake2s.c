/* SPDX-License-Identifier: MIT */
/*
 * blake2s.c - BLAKE2s-256 without a key, after RFC 7693. Keys of parameters and
 * groups stand in the box as the hash of a random salt and the key: somebody who
 * reads the file must not get the key back, so a mixing function will not do,
 * and BLAKE2s is the smallest one-way hash of good repute. It is here and not
 * from a library because the engine is also compiled inside QEMU.
 */
#include <string.h>

#include "internal.h"

static const uint32_t iv[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

struct blake2s {
	uint32_t h[8];
	uint64_t length; /* bytes compressed so far */
	uint8_t block[64];
	size_t fill;
};

static uint32_t rotate(uint32_t x, unsigned int n)
{
	return x >> n | x << (32 - n);
}

static void mix(uint32_t v[16], unsigned int a, unsigned int b, unsigned int c, unsigned int d,
		uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotate(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 7);
}

static void compress(struct blake2s *s, bool last)
{
	uint32_t v[16], m[16];
	unsigned int i, round;

	memcpy(m, s->block, sizeof(m));
	for (i = 0; i < 8; i++) {
		v[i] = s->h[i];
		v[i + 8] = iv[i];
	}
	v[12] ^= (uint32_t)s->length;
	v[13] ^= (uint32_t)(s->length >> 32);
	if (last)
		v[14] = ~v[14];
	for (round = 0; round < 10; round++) {
		const uint8_t *g = sigma[round];

		for (i = 0; i < 4; i++) /* columns */
			mix(v, i, i + 4, i + 8, i + 12, m[g[2 * i]], m[g[2 * i + 1]]);
		for (i = 0; i < 4; i++) /* diagonals */
			mix(v, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12,
			    m[g[2 * i + 8]], m[g[2 * i + 9]]);
	}
	for (i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[i + 8];
}

static void absorb(struct blake2s *s, const uint8_t *data, size_t bytes)
{
	while (bytes) {
		size_t n = sizeof(s->block) - s->fill;

		if (!n) { /* a full block is compressed only when more follows */
			s->length += sizeof(s->block);
			compress(s, false);
			s->fill = 0;
			continue;
		}
		if (n > bytes)
			n = bytes;
		memcpy(s->block + s->fill, data, n);
		s->fill += n;
		data += n;
		bytes -= n;
	}
}

/* Hash of the concatenation of a and b. */
void mbe_blake2s(uint8_t out[32], const void *a, size_t na, const void *b, size_t nb)
{
	struct blake2s s = {.length = 0};

	memcpy(s.h, iv, sizeof(iv));
	s.h[0] ^= 0x01010000 ^ 32; /* no key, 32 bytes of digest */
	absorb(&s, a, na);
	absorb(&s, b, nb);
	s.length += s.fill;
	memset(s.block + s.fill, 0, sizeof(s.block) - s.fill);
	compress(&s, true);
	memcpy(out, s.h, 32);
}

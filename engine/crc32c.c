/* SPDX-License-Identifier: MIT */
/*
 * crc32c.c - the checksum of immutable metadata: CRC-32C (Castagnoli),
 * reflected, as iSCSI and ext4 have it. Check value of "123456789": 0xe3069283.
 *
 * A table of sixteen entries instead of a library: it is met on administrative
 * paths only (200 bytes at a time), and the engine is also compiled inside QEMU,
 * whose build this would otherwise have to teach a dependency.
 */
#include "internal.h"

static const uint32_t nibble[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

/* crc: 0, or what came back for the bytes before these. */
uint32_t mbe_crc32c(uint32_t crc, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	crc = ~crc;
	while (bytes--) {
		crc ^= *p++;
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

// SPDX-License-Identifier: MIT
/*
 * packet.c - fuzzes the check of packets (uapi/membox_check.h), which driver, device and file
 * back end share: any 128 bytes, any capabilities. What is taken has sizes that can be relied on.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "membox_check.h"

static void must(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct membox_packet p = { 0 }, again;
	struct membox_op_info op;
	uint64_t caps = ~0ULL;
	uint32_t detail = 0, used;
	uint16_t status;

	memcpy(&p, data, bytes < sizeof(p) ? bytes : sizeof(p));
	if (bytes >= sizeof(p) + 8)
		memcpy(&caps, data + sizeof(p), 8);
	again = p;
	status = membox_check_packet(&p, caps, MEMBOX_MAX_BYTES, &detail);
	must(!memcmp(&p, &again, sizeof(p)));
	must(detail < sizeof(p));
	if (status) {
		must(membox_status_errno(status) > 0);
		return 0;
	}
	must(membox_op_lookup(p.opcode, &op) && !(op.cap & ~caps) && !(p.flags & ~op.flags));
	used = membox_packet_fields(&p);
	must(!(used & ~(op.required | op.optional)));
	must(membox_host_bytes(&p) <= MEMBOX_MAX_BYTES && membox_host2_bytes(&p) <= MEMBOX_MAX_BYTES);
	must(p.host.addr % membox_host_align(&p) == 0 || !membox_host_bytes(&p));
	/* sums do not overflow, whoever makes them */
	must(p.host.addr + membox_host_bytes(&p) >= p.host.addr);
	return 0;
}

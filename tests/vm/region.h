/* SPDX-License-Identifier: MIT */
/*
 * region.h - registered memory for programs that speak to the node by themselves.
 */
#ifndef REGION_H
#define REGION_H

#include "packet.h"

#define BOTH (MEMBOX_WIN_READ | MEMBOX_WIN_WRITE)

/* The key, or 0. */
static inline uint32_t region_add(const void *addr, uint64_t length, uint32_t rights)
{
	struct membox_region_args r = {
		.size = sizeof(r),
		.rights = rights,
		.addr = (uintptr_t)addr,
		.length = length,
	};
	int ret = ioctl(fd, MEMBOX_IOC_REGION_ADD, &r);

	if (ret)
		printf("# REGION_ADD: %d, errno %d\n", ret, errno);
	return ret ? 0 : r.key;
}

static inline int region_del(uint32_t key)
{
	struct membox_region_args r = { .size = sizeof(r), .key = key };

	return ioctl(fd, MEMBOX_IOC_REGION_DEL, &r);
}

/* A move of bytes from or to a region. */
static inline struct membox_packet move_key(uint8_t opcode, uint32_t handle, uint64_t first, uint64_t count,
					    uint32_t key, uint64_t offset)
{
	struct membox_packet p = move(opcode, handle, MEMBOX_I8, first, count, NULL);

	p.flags = MEMBOX_F_REGION;
	p.host.addr = offset;
	p.host.key = key;
	return p;
}

/* Pages that are pinned in the machine now. */
static inline long pinned_pages(void)
{
	static const char *const names[] = { "nr_foll_pin_acquired ", "nr_foll_pin_released " };
	long value[2] = { 0, 0 };
	char line[128];
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "w");

	/* what processors have counted by themselves is brought together now */
	need(file && fputs("1", file) >= 0 && fclose(file) == 0, "stat_refresh");
	file = fopen("/proc/vmstat", "r");
	need(file, "/proc/vmstat");
	while (fgets(line, sizeof(line), file))
		for (int i = 0; i < 2; i++)
			if (!strncmp(line, names[i], strlen(names[i])))
				value[i] = atol(line + strlen(names[i]));
	fclose(file);
	return value[0] - value[1];
}

#endif

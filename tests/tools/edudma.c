// SPDX-License-Identifier: MIT
/*
 * edudma - lets QEMU's "edu" device, another device of the guest, store bytes
 * into the aperture of the membox device by DMA: edudma OFFSET BYTE. It is how a
 * test asks whether a read-only window holds against DMA, which no page table
 * of the guest's CPU is in the way of. Prints "written=ADDRESS" when the edu
 * device says that its transfer is over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDU_ID 0x11e81234U
#define MEMBOX_DEVICE_ID 0x00b01b36U
#define EDU_DMA_SRC 0x80
#define EDU_DMA_DST 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_CMD 0x98
#define EDU_BUFFER 0x40000
#define EDU_RUN 1
#define EDU_TO_RAM 2
#define PAGE 4096
#define BYTES 64

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Directory in sysfs of the PCI function with this vendor and device number. */
static void find(uint32_t id, char path[300])
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;

	if (!dir)
		die("/sys/bus/pci/devices");
	while ((entry = readdir(dir))) {
		char name[400];
		uint32_t here = 0;
		int fd;

		snprintf(path, 300, "/sys/bus/pci/devices/%s", entry->d_name);
		snprintf(name, sizeof(name), "%s/config", path);
		fd = open(name, O_RDONLY);
		if (fd < 0)
			continue;
		if (read(fd, &here, 4) == 4 && here == id) {
			close(fd);
			closedir(dir);
			return;
		}
		close(fd);
	}
	fprintf(stderr, "edudma: no PCI device %08x\n", id);
	exit(1);
}

static uint64_t bar_address(const char *path, int bar)
{
	char name[400], line[200];
	uint64_t start = 0;
	FILE *file;

	snprintf(name, sizeof(name), "%s/resource", path);
	file = fopen(name, "r");
	if (!file)
		die(name);
	for (int i = 0; i <= bar; i++) {
		if (!fgets(line, sizeof(line), file))
			die(name);
	}
	start = strtoull(line, NULL, 0);
	fclose(file);
	return start;
}

static uint64_t physical(void *p)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)) != 8)
		die("pagemap");
	close(fd);
	return (entry & ((UINT64_C(1) << 55) - 1)) * PAGE + ((uintptr_t)p & (PAGE - 1));
}

static void transfer(volatile uint8_t *regs, uint64_t from, uint64_t to, unsigned int command)
{
	*(volatile uint64_t *)(regs + EDU_DMA_SRC) = from;
	*(volatile uint64_t *)(regs + EDU_DMA_DST) = to;
	*(volatile uint64_t *)(regs + EDU_DMA_COUNT) = BYTES;
	*(volatile uint64_t *)(regs + EDU_DMA_CMD) = command | EDU_RUN;
	for (int i = 0; i < 500; i++) {
		if (!(*(volatile uint64_t *)(regs + EDU_DMA_CMD) & EDU_RUN))
			return;
		usleep(20000);
	}
	fprintf(stderr, "edudma: the transfer does not end\n");
	exit(1);
}

int main(int argc, char **argv)
{
	char edu[300], membox[300], name[400];
	uint16_t command = 0x6; /* memory space, bus master */
	volatile uint8_t *regs;
	uint64_t target;
	uint8_t *buffer;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: edudma OFFSET BYTE\n");
		return 2;
	}
	find(EDU_ID, edu);
	find(MEMBOX_DEVICE_ID, membox);
	target = bar_address(membox, 2) + strtoull(argv[1], NULL, 0);
	snprintf(name, sizeof(name), "%s/config", edu);
	fd = open(name, O_RDWR);
	if (fd < 0 || pwrite(fd, &command, 2, 4) != 2)
		die(name);
	close(fd);
	snprintf(name, sizeof(name), "%s/resource0", edu);
	fd = open(name, O_RDWR | O_SYNC);
	regs = fd < 0 ? MAP_FAILED : mmap(NULL, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (regs == MAP_FAILED)
		die(name);
	buffer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
	if (buffer == MAP_FAILED)
		die("mmap");
	memset(buffer, (int)strtoul(argv[2], NULL, 0), PAGE);
	transfer(regs, physical(buffer), EDU_BUFFER, 0);
	transfer(regs, EDU_BUFFER, target, EDU_TO_RAM);
	printf("written=%#" PRIx64 "\n", target);
	return 0;
}

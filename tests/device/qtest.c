// SPDX-License-Identifier: MIT
/* qtest.c - see qtest.h. */
#include "qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "case.h"

#define ANSWER_MS 60000
#define MMCONFIG  0xb0000000ULL
#define MAX_ARGS  96

static const char *qemu_binary(void)
{
	const char *path = getenv("QEMU");

	return path ? path : "qemu-system-x86_64";
}

/* Appends the words of text, which it changes, to argv. */
static unsigned int add_words(char **argv, unsigned int n, char *text)
{
	char *save = NULL;

	for (char *w = strtok_r(text, " ", &save); w && n < MAX_ARGS - 1; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	return n;
}

/* The child: becomes QEMU, ends with its parent. */
static void become_qemu(struct vm *vm, const char *box, const char *extra, int log)
{
	char text[8192];
	char *argv[MAX_ARGS];
	char backend[600] = "";
	unsigned int n;

	if (box)
		snprintf(backend, sizeof(backend),
			 "-object memory-backend-file,id=box,mem-path=%s,size=4096,share=on", box);
	snprintf(text, sizeof(text),
		 "qemu -machine q35,memory-backend=ram -accel qtest -display none -nodefaults "
		 "-object memory-backend-file,id=ram,mem-path=%s/ram,size=%" PRIu64 ",share=on "
		 "-qtest unix:%s/qtest -qtest-log none -bios %s/bios %s %s",
		 vm->dir, (uint64_t)VM_RAM_BYTES, vm->dir, vm->dir, backend, extra);
	n = add_words(argv, 0, text);
	(void)n;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log, 1);
	dup2(log, 2);
	execvp(qemu_binary(), argv);
	perror(qemu_binary());
	_exit(127);
}

/* The directory of a VM, with the firmware that QEMU insists on: 64 KiB of nothing. */
static void make_dir(struct vm *vm)
{
	char path[128];
	int fd;

	memset(vm, 0, sizeof(*vm));
	vm->fd = -1;
	strcpy(vm->dir, "/dev/shm/membox-device-XXXXXX");
	if (!mkdtemp(vm->dir))
		case_fail("mkdtemp: %s", strerror(errno));
	vm->next = VM_ALLOC_FIRST;
	snprintf(path, sizeof(path), "%s/bios", vm->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 65536))
		case_fail("%s: %s", path, strerror(errno));
	close(fd);
}

static void remove_dir(struct vm *vm)
{
	static const char *const files[] = {"ram", "bios", "qtest", "log"};
	char path[128];

	for (unsigned int i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "%s/%s", vm->dir, files[i]);
		unlink(path);
	}
	rmdir(vm->dir);
}

static int log_open(struct vm *vm)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/log", vm->dir);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void log_show(struct vm *vm)
{
	char text[4096];
	int fd = log_open(vm);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n > 0) {
		text[n] = 0;
		case_note("QEMU said: %s", text);
	}
	close(fd);
}

static void map_ram(struct vm *vm)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/ram", vm->dir);
	vm->ram_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (vm->ram_fd < 0 || ftruncate(vm->ram_fd, VM_RAM_BYTES))
		case_fail("guest RAM: %s", strerror(errno));
	vm->ram = mmap(NULL, VM_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vm->ram_fd, 0);
	if (vm->ram == MAP_FAILED)
		case_fail("mapping guest RAM: %s", strerror(errno));
}

/* The socket that QEMU will connect to. */
static int listen_for_qemu(struct vm *vm)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/qtest", vm->dir);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1))
		case_fail("listening on %s: %s", addr.sun_path, strerror(errno));
	return listener;
}

void vm_mmconfig(struct vm *vm)
{
	vm_out(vm, 0xcf8, 4, 0x80000060);
	vm_out(vm, 0xcfc, 4, (uint32_t)MMCONFIG | 1);
}

void vm_start(struct vm *vm, const char *box, const char *extra)
{
	struct pollfd p = {.events = POLLIN};
	int listener, log;

	make_dir(vm);
	map_ram(vm);
	listener = listen_for_qemu(vm);
	log = log_open(vm);
	vm->pid = fork();
	if (!vm->pid)
		become_qemu(vm, box, extra, log);
	close(log);
	p.fd = listener;
	for (int waited = 0; waited < ANSWER_MS && poll(&p, 1, 100) <= 0; waited += 100) {
		if (waitpid(vm->pid, NULL, WNOHANG) == vm->pid) {
			vm->pid = 0;
			break;
		}
	}
	if (p.revents & POLLIN)
		vm->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	if (vm->fd < 0) {
		log_show(vm);
		case_fail("QEMU did not start");
	}
	vm_mmconfig(vm);
}

static void vm_release(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
	if (vm->ram)
		munmap(vm->ram, VM_RAM_BYTES);
	vm->ram = NULL;
	close(vm->ram_fd);
	remove_dir(vm);
}

static int reap(pid_t pid, int ms)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	int status;

	for (; ms > 0; ms -= 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		nanosleep(&tick, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

int vm_stop(struct vm *vm)
{
	int status = 0;

	if (vm->pid > 0) {
		kill(vm->pid, SIGTERM);
		status = reap(vm->pid, ANSWER_MS);
		if (status)
			log_show(vm);
	}
	vm->pid = 0;
	vm_release(vm);
	return status;
}

void vm_kill(struct vm *vm)
{
	if (vm->pid > 0) {
		kill(vm->pid, SIGKILL);
		waitpid(vm->pid, NULL, 0);
	}
	vm->pid = 0;
	vm_release(vm);
}

char *vm_refusal(const char *box, const char *extra)
{
	struct vm vm;
	char *text = calloc(1, 4096);
	int log, status, listener;

	make_dir(&vm);
	map_ram(&vm);
	listener = listen_for_qemu(&vm);
	log = log_open(&vm);
	vm.pid = fork();
	if (!vm.pid)
		become_qemu(&vm, box, extra, log);
	status = reap(vm.pid, ANSWER_MS);
	vm.pid = 0;
	close(listener);
	if (pread(log, text, 4095, 0) < 0 || status == 0 || status == -1)
		text[0] = 0;
	close(log);
	vm_release(&vm);
	return text;
}

/* ---- the protocol: a line there, a line back ---- */

static void answer(struct vm *vm, char *out, size_t room)
{
	for (;;) {
		char *end = memchr(vm->line, '\n', vm->have);
		struct pollfd p = {.fd = vm->fd, .events = POLLIN};
		ssize_t n;

		if (end) {
			size_t len = (size_t)(end - vm->line);
			bool irq = !strncmp(vm->line, "IRQ ", 4);

			snprintf(out, room, "%.*s", (int)len, vm->line);
			vm->have -= len + 1;
			memmove(vm->line, end + 1, vm->have);
			if (!irq)
				return;
			continue;
		}
		if (poll(&p, 1, ANSWER_MS) <= 0) {
			log_show(vm);
			case_fail("QEMU does not answer");
		}
		n = read(vm->fd, vm->line + vm->have, sizeof(vm->line) - vm->have);
		if (n <= 0) {
			log_show(vm);
			case_fail("QEMU is gone");
		}
		vm->have += (size_t)n;
	}
}

static __attribute__((format(printf, 4, 5))) void ask(struct vm *vm, char *out, size_t room,
						      const char *format, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (write(vm->fd, text, (size_t)n) != n)
		case_fail("QEMU does not listen");
	answer(vm, out, room);
	if (strncmp(out, "OK", 2))
		case_fail("QEMU answers '%s' to '%s'", out, text);
}

static char size_letter(unsigned int size)
{
	return size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'l' : 'q';
}

uint64_t vm_read(struct vm *vm, uint64_t addr, unsigned int size)
{
	char out[256];

	ask(vm, out, sizeof(out), "read%c 0x%" PRIx64 "\n", size_letter(size), addr);
	return strtoull(out + 2, NULL, 0);
}

void vm_write(struct vm *vm, uint64_t addr, unsigned int size, uint64_t value)
{
	char out[256];

	ask(vm, out, sizeof(out), "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size_letter(size), addr, value);
}

uint64_t vm_in(struct vm *vm, uint16_t port, unsigned int size)
{
	char out[256];

	ask(vm, out, sizeof(out), "in%c 0x%x\n", size_letter(size), port);
	return strtoull(out + 2, NULL, 0);
}

void vm_out(struct vm *vm, uint16_t port, unsigned int size, uint64_t value)
{
	char out[256];

	ask(vm, out, sizeof(out), "out%c 0x%x 0x%" PRIx64 "\n", size_letter(size), port, value);
}

void vm_clock(struct vm *vm, uint64_t ns)
{
	char out[256];

	ask(vm, out, sizeof(out), "clock_step %" PRIu64 "\n", ns);
}

/* ---- memory and configuration ---- */

uint64_t vm_alloc(struct vm *vm, uint64_t bytes, uint64_t align)
{
	uint64_t at = (vm->next + align - 1) & ~(align - 1);

	if (at + bytes > VM_RAM_BYTES)
		case_fail("guest RAM is used up");
	vm->next = at + bytes;
	memset(vm->ram + at, 0, bytes);
	return at;
}

void *vm_at(struct vm *vm, uint64_t addr)
{
	return vm->ram + addr;
}

static uint64_t cfg_address(unsigned int devfn, unsigned int at)
{
	return MMCONFIG + ((uint64_t)devfn << 12) + at;
}

uint32_t cfg_read(struct vm *vm, unsigned int devfn, unsigned int at, unsigned int size)
{
	return (uint32_t)vm_read(vm, cfg_address(devfn, at), size);
}

void cfg_write(struct vm *vm, unsigned int devfn, unsigned int at, unsigned int size, uint32_t value)
{
	vm_write(vm, cfg_address(devfn, at), size, value);
}

int cfg_find(struct vm *vm, unsigned int devfn, uint16_t vendor, uint16_t device)
{
	for (; devfn < 256; devfn += 8) {
		if (cfg_read(vm, devfn, 0, 4) == ((uint32_t)device << 16 | vendor))
			return (int)devfn;
	}
	return -1;
}

unsigned int cfg_capability(struct vm *vm, unsigned int devfn, uint8_t id)
{
	unsigned int at = cfg_read(vm, devfn, 0x34, 1);

	while (at && cfg_read(vm, devfn, at, 1) != id)
		at = cfg_read(vm, devfn, at + 1, 1);
	return at;
}

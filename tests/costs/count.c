/*
 * Counts what a guest executes between two marks.
 *
 * The marks are instructions that do nothing (marker.h); a program in the guest
 * puts them round one operation. For each pair the plugin writes a line
 * "user kernel syscalls accesses" to the file named by its argument out=:
 * instructions executed in user and in kernel space, system calls made, and
 * loads and stores. It counts one virtual CPU: the guest must have one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <qemu-plugin.h>

#include "marker.h"

#define KERNEL_SPACE (UINT64_C(1) << 63)
#define MAX_INSN 16

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { USER, KERNEL, SYSCALLS, ACCESSES, COUNTERS };

static struct qemu_plugin_scoreboard *board;
static uint64_t at_begin[COUNTERS];
static bool between;
static FILE *out;

static qemu_plugin_u64 counter(int which)
{
    return (qemu_plugin_u64) { board, (size_t)which * sizeof(uint64_t) };
}

static void begin(unsigned int cpu, void *data)
{
    for (int i = 0; i < COUNTERS; i++) {
        at_begin[i] = qemu_plugin_u64_get(counter(i), cpu);
    }
    between = true;
}

static void end(unsigned int cpu, void *data)
{
    if (!between) {
        return;
    }
    between = false;
    for (int i = 0; i < COUNTERS; i++) {
        fprintf(out, "%" PRIu64 "%c",
                qemu_plugin_u64_get(counter(i), cpu) - at_begin[i],
                i + 1 < COUNTERS ? ' ' : '\n');
    }
    fflush(out);
}

static void add_one(struct qemu_plugin_insn *insn, int which)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn, QEMU_PLUGIN_INLINE_ADD_U64, counter(which), 1);
}

static void look(struct qemu_plugin_insn *insn)
{
    static const uint8_t nop[] = { 0x0f, 0x1f, 0x80 };
    static const uint8_t syscall_insn[] = { 0x0f, 0x05 };
    bool user = qemu_plugin_insn_vaddr(insn) < KERNEL_SPACE;
    uint8_t code[MAX_INSN] = { 0 };
    size_t bytes = qemu_plugin_insn_data(insn, code, sizeof(code));
    uint32_t what;

    add_one(insn, user ? USER : KERNEL);
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(
        insn, QEMU_PLUGIN_MEM_RW, QEMU_PLUGIN_INLINE_ADD_U64,
        counter(ACCESSES), 1);
    if (!user) {
        return;
    }
    if (bytes == sizeof(syscall_insn) &&
        !memcmp(code, syscall_insn, sizeof(syscall_insn))) {
        add_one(insn, SYSCALLS);
    }
    if (bytes == MARK_BYTES && !memcmp(code, nop, sizeof(nop))) {
        memcpy(&what, code + sizeof(nop), sizeof(what));
        if (what == MARK_BEGIN || what == MARK_END) {
            qemu_plugin_register_vcpu_insn_exec_cb(
                insn, what == MARK_BEGIN ? begin : end,
                QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        look(qemu_plugin_tb_get_insn(tb, i));
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (g_str_has_prefix(argv[i], "out=")) {
            out = fopen(argv[i] + strlen("out="), "we");
        }
    }
    if (!out) {
        fprintf(stderr, "count: out=FILE is missing or cannot be written\n");
        return -1;
    }
    board = qemu_plugin_scoreboard_new(COUNTERS * sizeof(uint64_t));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}

/*
 * Keeps the last stores of a guest to its memory, in their order.
 *
 * When QEMU ends, those to the places that the file watch= names ("address
 * bytes" a line, guest-physical) are written to the file out=, a line
 * "address bytes" each. One virtual CPU: the order is the program's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-plugin.h>

#define KEPT (1U << 23)
#define MAX_WATCHED 64

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct store {
    uint64_t addr;
    uint64_t bytes;
};

static struct store *kept;
static uint64_t stores;
static char *out_path, *watch_path;

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info,
                     uint64_t vaddr, void *data)
{
    struct qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);

    if (hw && !qemu_plugin_hwaddr_is_io(hw)) {
        kept[stores++ % KEPT] = (struct store) {
            .addr = qemu_plugin_hwaddr_phys_addr(hw),
            .bytes = 1ULL << qemu_plugin_mem_size_shift(info),
        };
    }
}

static void on_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i),
                                         on_store, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_W, NULL);
    }
}

static unsigned int read_watched(struct store *watched)
{
    FILE *f = fopen(watch_path, "r");
    unsigned int n = 0;

    while (f && n < MAX_WATCHED &&
           fscanf(f, "%" SCNu64 " %" SCNu64, &watched[n].addr,
                  &watched[n].bytes) == 2) {
        n++;
    }
    if (f) {
        fclose(f);
    }
    return n;
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
    struct store watched[MAX_WATCHED];
    unsigned int n = read_watched(watched);
    FILE *f = fopen(out_path, "w");

    for (uint64_t s = stores > KEPT ? stores - KEPT : 0; f && s < stores; s++) {
        struct store *at = &kept[s % KEPT];

        for (unsigned int i = 0; i < n; i++) {
            if (at->addr < watched[i].addr + watched[i].bytes &&
                watched[i].addr < at->addr + at->bytes) {
                fprintf(f, "%" PRIu64 " %" PRIu64 "\n", at->addr, at->bytes);
            }
        }
    }
    if (f) {
        fclose(f);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (g_str_has_prefix(argv[i], "out=")) {
            out_path = g_strdup(argv[i] + 4);
        } else if (g_str_has_prefix(argv[i], "watch=")) {
            watch_path = g_strdup(argv[i] + 6);
        }
    }
    kept = calloc(KEPT, sizeof(*kept));
    if (!out_path || !watch_path || !kept) {
        fprintf(stderr, "stores: out= and watch= are needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}

/*
 * membox: a port of a common memory, as a PCI Express endpoint.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * docs/device.md is the specification; device.h shows how the parts of the
 * model work together. Here: properties, realize, configuration space.
 *
 *   -object memory-backend-file,id=box,mem-path=/dev/shm/box,size=1G,share=on
 *   -device membox,memdev=box,port=3
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "migration/vmstate.h"
#include "system/system.h"
#include "device.h"
#include "trace.h"

#define CAP_PM 0x40
#define CAP_PCIE 0x50
#define CAP_MSIX 0xa0
#define CAP_AER 0x100

/* What this model of the device does not have, whatever the engine can. */
#define CAPS_ABSENT MEMBOX_CAP_SCATTER

#define APERTURE_MIN (256 * MiB)
#define APERTURE_MAX (64 * GiB)

/* ---- properties ---- */

static bool parse_port(MemboxState *s, int *port, Error **errp)
{
    unsigned number;

    *port = MBE_PORT_AUTO;
    if (!s->port || !strcmp(s->port, "auto")) {
        return true;
    }
    if (qemu_strtoui(s->port, NULL, 10, &number) ||
        number >= MEMBOX_MAX_PORTS) {
        error_setg(errp, "membox: port=%s is neither 'auto' nor a number "
                   "from 0 to %u", s->port, MEMBOX_MAX_PORTS - 1);
        return false;
    }
    *port = number;
    return true;
}

static bool parse_principal(MemboxState *s, struct mbe_attach_opts *o,
                            Error **errp)
{
    QemuUUID uuid;
    const char *p = s->principal;

    if (!p) {
        return true;
    }
    o->have_principal = true;
    if (!qemu_uuid_parse(p, &uuid)) {
        memcpy(o->principal, uuid.data, sizeof(o->principal));
        return true;
    }
    if (strlen(p) == 2 * sizeof(o->principal)) {
        unsigned i;

        for (i = 0; i < sizeof(o->principal); i++) {
            if (!g_ascii_isxdigit(p[2 * i]) ||
                !g_ascii_isxdigit(p[2 * i + 1])) {
                break;
            }
            sscanf(p + 2 * i, "%2hhx", &o->principal[i]);
        }
        if (i == sizeof(o->principal)) {
            return true;
        }
    }
    error_setg(errp, "membox: principal=%s is neither a UUID nor 32 "
               "hexadecimal digits", p);
    return false;
}

static bool check_number(const char *name, uint32_t value, uint32_t low,
                         uint32_t high, Error **errp)
{
    if (value >= low && value <= high) {
        return true;
    }
    error_setg(errp, "membox: %s=%u must be from %u to %u", name, value, low,
               high);
    return false;
}

static bool check_properties(MemboxState *s, Error **errp)
{
    if (!check_number("queues", s->queues, 1, MEMBOX_LIMIT_QUEUES, errp) ||
        !check_number("workers", s->workers, 1, MEMBOX_LIMIT_WORKERS, errp) ||
        !check_number("max-windows", s->max_windows, 0, MEMBOX_LIMIT_WINDOWS,
                      errp)) {
        return false;
    }
    if (!s->vectors) {
        s->vectors = MIN(s->queues + 1, MEMBOX_MAX_VECTORS);
    }
    if (!check_number("vectors", s->vectors, 1, MEMBOX_MAX_VECTORS, errp)) {
        return false;
    }
    if (s->rights && strcmp(s->rights, "rw") && strcmp(s->rights, "ro")) {
        error_setg(errp, "membox: rights=%s must be rw or ro", s->rights);
        return false;
    }
    s->rdonly = s->rights && !strcmp(s->rights, "ro");
    if (s->aperture_size && (!is_power_of_2(s->aperture_size) ||
                             s->aperture_size < 4 * KiB)) {
        error_setg(errp, "membox: aperture must be a power of two of at least "
                   "4 KiB");
        return false;
    }
    return true;
}

/* ---- realize ---- */

/* The file of the memdev; the device opens it for itself. */
static char *box_path(MemboxState *s, Error **errp)
{
    if (!s->memdev) {
        error_setg(errp, "membox: memdev=<id> is missing: name a "
                   "memory-backend-file whose mem-path is the box");
        return NULL;
    }
    if (!object_dynamic_cast(OBJECT(s->memdev), TYPE_MEMORY_BACKEND_FILE)) {
        error_setg(errp, "membox: memdev must be a memory-backend-file");
        return NULL;
    }
    return object_property_get_str(OBJECT(s->memdev), "mem-path", errp);
}

static bool attach(MemboxState *s, const char *path, Error **errp)
{
    struct mbe_attach_opts o = {
        .rdonly = s->rdonly,
        .caps_off = CAPS_ABSENT,
        .quota_bytes = s->slice,
        .quota_params = s->slice_params,
        .quota_waiters = s->slice_waiters,
        .quota_writers = s->slice_writers,
        .delay_ns = s->delay,
        .poison_first = s->poison_offset,
        .poison_bytes = s->poison_bytes,
        .resume = runstate_check(RUN_STATE_INMIGRATE),
        .event = membox_event,
        .revoked = membox_revoked,
        .arg = s,
    };
    char text[MBE_ERR_TEXT] = "";
    struct mbe *engine;

    if (!parse_port(s, &o.port, errp) || !parse_principal(s, &o, errp)) {
        return false;
    }
    if (o.resume && o.port == MBE_PORT_AUTO) {
        error_setg(errp, "membox: port=auto does not migrate: name the port "
                   "that the source has, as in port=3");
        return false;
    }
    if (!s->acc) {
        o.caps_off |= MEMBOX_CAP_ACC | MEMBOX_CAP_VECTOR;
    }
    if (!s->max_windows) {
        o.caps_off |= MEMBOX_CAP_WINDOWS;
    }
    if (mbe_attach(path, &o, &engine, text)) {
        error_setg(errp, "membox: %s: %s", path, text);
        return false;
    }
    s->engine = engine;
    s->caps = mbe_caps(engine);
    if (s->user_queues) {
        s->caps |= MEMBOX_CAP_USER_QUEUES | MEMBOX_CAP_REGIONS;
    }
    s->max_bytes = mbe_max_bytes(engine);
    return true;
}

static bool map_box(MemboxState *s, const char *path, Error **errp)
{
    int rw = qemu_open(path, O_RDWR, errp);
    int ro = rw < 0 ? -1 : qemu_open(path, O_RDONLY, errp);
    uint64_t bytes;

    if (ro < 0 || !membox_box_add(s, ro)) {
        if (rw >= 0) {
            close(rw);
        }
        return false;
    }
    bytes = lseek(ro, 0, SEEK_END);
    if (!s->aperture_size) {
        s->aperture_size = MAX(pow2ceil(bytes), APERTURE_MIN);
        s->aperture_size = MIN(s->aperture_size, APERTURE_MAX);
    }
    if (!membox_window_init(s, rw, ro, errp)) {
        membox_box_del(s);
        return false;
    }
    return true;
}

static bool init_pci(MemboxState *s, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    uint8_t type = PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64;

    if (pci_pm_init(pdev, CAP_PM, errp) < 0) {
        return false;
    }
    pci_set_word(pdev->config + CAP_PM + PCI_PM_PMC, PCI_PM_CAP_VER_1_2);
    pci_set_word(pdev->config + CAP_PM + PCI_PM_CTRL,
                 PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pdev->wmask + CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    pci_config_set_prog_interface(pdev->config, 0);
    if (pcie_endpoint_cap_init(pdev, CAP_PCIE) < 0) {
        error_setg(errp, "membox: no room for the PCI Express capability");
        return false;
    }
    pcie_cap_flr_init(pdev);
    pcie_cap_deverr_init(pdev);
    if (pcie_aer_init(pdev, PCI_ERR_VER, CAP_AER, PCI_ERR_SIZEOF, errp) < 0) {
        return false;
    }
    membox_regs_init(s);
    if (msix_init(pdev, s->vectors, &s->bar0, MEMBOX_BAR_REGS,
                  MEMBOX_MSIX_TABLE, &s->bar0, MEMBOX_BAR_REGS,
                  MEMBOX_MSIX_PBA, CAP_MSIX, errp) < 0) {
        pcie_aer_exit(pdev);
        return false;
    }
    for (unsigned i = 0; i < s->vectors; i++) {
        msix_vector_use(pdev, i);
    }
    pci_register_bar(pdev, MEMBOX_BAR_REGS, type, &s->bar0);
    pci_register_bar(pdev, MEMBOX_BAR_APERTURE,
                     type | PCI_BASE_ADDRESS_MEM_PREFETCH, &s->aperture);
    pci_register_bar(pdev, MEMBOX_BAR_DOORBELL, type, &s->doorbells);
    return true;
}

/* Gives the port back: all that can touch the box or the guest ends here. */
static void leave_box(MemboxState *s)
{
    membox_migrate_leave(s);
    membox_quiesce_begin(s, MEMBOX_RESETTING);
    membox_quiesce_wait(s);
    membox_barriers_end(s);
    membox_workers_stop(s);
    mbe_detach(s->engine);
    s->engine = NULL;
}

/* QEMU ends without unplugging its devices; vCPUs do not run any more. */
static void membox_process_exit(Notifier *n, void *data)
{
    MemboxState *s = container_of(n, MemboxState, exit_notifier);
    bool locked = bql_locked();

    if (!locked) {
        bql_lock();
    }
    leave_box(s);
    if (!locked) {
        bql_unlock();
    }
}

static void membox_realize(PCIDevice *pdev, Error **errp)
{
    MemboxState *s = MEMBOX(pdev);
    g_autofree char *path = NULL;

    if (!pci_bus_is_express(pci_get_bus(pdev))) {
        error_setg(errp, "membox: needs a PCI Express bus: use -machine q35");
        return;
    }
    path = check_properties(s, errp) ? box_path(s, errp) : NULL;
    if (!path) {
        return;
    }
    membox_irq_init(s);
    if (!map_box(s, path, errp)) {
        goto fail_irq;
    }
    if (!attach(s, path, errp)) {
        goto fail_box;
    }
    if (!membox_migrate_init(s, !s->port || !strcmp(s->port, "auto"), errp)) {
        goto fail_attach;
    }
    if (!init_pci(s, errp)) {
        goto fail_migrate;
    }
    membox_regions_init(s);
    s->paused = mbe_away(s->engine); /* until it is resumed */
    membox_workers_start(s);
    s->vmstate = qdev_add_vm_change_state_handler(DEVICE(s), membox_vm_state,
                                                  s);
    s->exit_notifier.notify = membox_process_exit;
    qemu_add_exit_notifier(&s->exit_notifier);
    trace_membox_realize(s, path, mbe_port(s->engine), s->caps);
    return;

fail_migrate:
    membox_migrate_exit(s);
fail_attach:
    mbe_detach(s->engine);
    s->engine = NULL;
fail_box:
    membox_window_exit(s);
    membox_box_del(s);
fail_irq:
    membox_irq_exit(s);
}

static void nothing(CPUState *cpu, run_on_cpu_data data)
{
}

static void membox_exit(PCIDevice *pdev)
{
    MemboxState *s = MEMBOX(pdev);
    CPUState *cpu;

    qemu_remove_exit_notifier(&s->exit_notifier);
    qemu_del_vm_change_state_handler(s->vmstate);
    membox_quiesce_begin(s, MEMBOX_RESETTING);
    membox_quiesce_wait(s);
    CPU_FOREACH(cpu) {
        run_on_cpu(cpu, nothing, RUN_ON_CPU_NULL);
    }
    leave_box(s);
    membox_migrate_exit(s);
    membox_regions_exit(s);
    membox_window_exit(s);
    membox_box_del(s);
    membox_irq_exit(s);
    msix_uninit(pdev, &s->bar0, &s->bar0);
    /* A subregion holds its owner: the device would never go. */
    memory_region_del_subregion(&s->bar0, &s->regs);
    pcie_aer_exit(pdev);
    pcie_cap_exit(pdev);
}

/* ---- configuration space, reset ---- */

static void membox_config_write(PCIDevice *pdev, uint32_t at, uint32_t val,
                                int len)
{
    pci_default_write_config(pdev, at, val, len);
    pcie_cap_flr_write_config(pdev, at, val, len);
    pcie_aer_write_config(pdev, at, val, len);
}

/* Of the machine, the bus, or the function. */
static void membox_reset(DeviceState *dev)
{
    MemboxState *s = MEMBOX(dev);

    membox_migrate_reset(s);
    membox_quiesce_begin(s, MEMBOX_RESETTING);
    membox_quiesce_wait(s);
}

static const Property membox_properties[] = {
    DEFINE_PROP_LINK("memdev", MemboxState, memdev, TYPE_MEMORY_BACKEND,
                     HostMemoryBackend *),
    DEFINE_PROP_STRING("port", MemboxState, port),
    DEFINE_PROP_STRING("principal", MemboxState, principal),
    DEFINE_PROP_STRING("rights", MemboxState, rights),
    DEFINE_PROP_SIZE("slice", MemboxState, slice, 0),
    DEFINE_PROP_UINT32("slice-params", MemboxState, slice_params, 0),
    DEFINE_PROP_UINT32("slice-waiters", MemboxState, slice_waiters, 0),
    DEFINE_PROP_UINT32("slice-writers", MemboxState, slice_writers, 0),
    DEFINE_PROP_UINT32("queues", MemboxState, queues, 16),
    DEFINE_PROP_UINT32("vectors", MemboxState, vectors, 0),
    DEFINE_PROP_UINT32("workers", MemboxState, workers, 2),
    DEFINE_PROP_UINT32("max-windows", MemboxState, max_windows, 256),
    DEFINE_PROP_SIZE("aperture", MemboxState, aperture_size, 0),
    DEFINE_PROP_BOOL("acc", MemboxState, acc, true),
    DEFINE_PROP_BOOL("user-queues", MemboxState, user_queues, true),
    DEFINE_PROP_UINT64("delay", MemboxState, delay, 0),
    DEFINE_PROP_SIZE("poison-offset", MemboxState, poison_offset, 0),
    DEFINE_PROP_SIZE("poison-bytes", MemboxState, poison_bytes, 0),
};

static void membox_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = membox_realize;
    k->exit = membox_exit;
    k->config_write = membox_config_write;
    k->vendor_id = MEMBOX_PCI_VENDOR;
    k->device_id = MEMBOX_PCI_DEVICE;
    k->subsystem_vendor_id = MEMBOX_PCI_VENDOR;
    k->subsystem_id = MEMBOX_PCI_DEVICE;
    k->class_id = MEMBOX_PCI_CLASS >> 8;
    k->revision = MEMBOX_PCI_REVISION;
    dc->desc = "port of a common memory for deep-learning parameters";
    dc->vmsd = &vmstate_membox;
    device_class_set_legacy_reset(dc, membox_reset);
    device_class_set_props(dc, membox_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo membox_info = {
    .name = TYPE_MEMBOX,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(MemboxState),
    .class_init = membox_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    },
};

static void membox_register_types(void)
{
    type_register_static(&membox_info);
}
type_init(membox_register_types)

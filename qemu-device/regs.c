/*
 * membox: registers (BAR 0) and doorbells (BAR 4).
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Handlers run under the BQL and never wait. Accesses that are not aligned, or
 * narrower than 4 bytes, read 0 and write nothing.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "exec/address-spaces.h"
#include "hw/pci/pci.h"
#include "device.h"
#include "trace.h"

static uint64_t uuid_half(MemboxState *s, unsigned half)
{
    uint64_t word;

    memcpy(&word, mbe_uuid(s->engine) + 8 * half, sizeof(word));
    return word;
}

/* The registers of 64 bits; false: there is none at this offset. */
static bool read_wide(MemboxState *s, hwaddr at, uint64_t *val)
{
    if (at >= MEMBOX_REG_COUNTERS &&
        at < MEMBOX_REG_COUNTERS + 8 * MEMBOX_NR_COUNTERS) {
        *val = mbe_counter(s->engine, (at - MEMBOX_REG_COUNTERS) / 8);
        return true;
    }
    if (at >= MEMBOX_REG_EVENTS &&
        at < MEMBOX_REG_EVENTS + sizeof(s->events)) {
        *val = qatomic_read(&s->events[(at - MEMBOX_REG_EVENTS) / 8]);
        return true;
    }
    switch (at) {
    case MEMBOX_REG_CAPS:
        *val = s->caps;
        return true;
    case MEMBOX_REG_UUID_LO:
        *val = uuid_half(s, 0);
        return true;
    case MEMBOX_REG_UUID_HI:
        *val = uuid_half(s, 1);
        return true;
    case MEMBOX_REG_CLOCK:
        *val = mbe_clock(s->engine);
        return true;
    case MEMBOX_REG_ASQ:
        *val = s->asq;
        return true;
    case MEMBOX_REG_ACQ:
        *val = s->acq;
        return true;
    case MEMBOX_REG_ACTL:
        *val = s->actl;
        return true;
    case MEMBOX_REG_MAX_BYTES:
        *val = s->max_bytes;
        return true;
    case MEMBOX_REG_APERTURE:
        *val = s->aperture_size;
        return true;
    case MEMBOX_REG_BOX_BYTES:
        *val = mbe_data_bytes(s->engine);
        return true;
    default:
        return false;
    }
}

static uint32_t read_ctrl(MemboxState *s)
{
    return (s->enabled && s->quiesce != MEMBOX_DISABLING ?
            MEMBOX_CTRL_ENABLE : 0) |
           (s->quiesce == MEMBOX_RESETTING ? MEMBOX_CTRL_RESET : 0);
}

static uint32_t read_status(MemboxState *s)
{
    return (s->ready && s->quiesce != MEMBOX_RESETTING ?
            MEMBOX_DEV_READY : 0) |
           (qatomic_read(&s->fatal) ? MEMBOX_DEV_FATAL : 0) |
           (s->rdonly ? MEMBOX_DEV_RDONLY : 0);
}

static uint32_t read_err_log(MemboxState *s, hwaddr at)
{
    uint32_t word;

    qemu_mutex_lock(&s->err_lock);
    memcpy(&word, (uint8_t *)s->err_log + at, sizeof(word));
    qemu_mutex_unlock(&s->err_lock);
    return word;
}

static uint32_t read_narrow(MemboxState *s, hwaddr at)
{
    if (at >= MEMBOX_REG_ERR_LOG &&
        at < MEMBOX_REG_ERR_LOG + sizeof(s->err_log)) {
        return read_err_log(s, at - MEMBOX_REG_ERR_LOG);
    }
    if (at >= MEMBOX_REG_PORT_STATE &&
        at < MEMBOX_REG_PORT_STATE + 4 * mbe_ports(s->engine)) {
        return mbe_port_state(s->engine, (at - MEMBOX_REG_PORT_STATE) / 4);
    }
    switch (at) {
    case MEMBOX_REG_ID:
        return MEMBOX_ID;
    case MEMBOX_REG_VERSION:
        return MEMBOX_HW_VERSION;
    case MEMBOX_REG_QUEUES:
        return s->queues;
    case MEMBOX_REG_DEPTH:
        return MEMBOX_DEPTH_LOG2;
    case MEMBOX_REG_CTRL:
        return read_ctrl(s);
    case MEMBOX_REG_STATUS:
        return read_status(s);
    case MEMBOX_REG_PORT:
        return mbe_port(s->engine);
    case MEMBOX_REG_PORTS:
        return mbe_ports(s->engine);
    case MEMBOX_REG_ADEPTH:
        return s->adepth;
    case MEMBOX_REG_VECTORS:
        return s->vectors;
    case MEMBOX_REG_MAX_TIMEOUT:
        return MEMBOX_MAX_TIMEOUT_US;
    case MEMBOX_REG_MAX_CONTEXTS:
        return MEMBOX_MAX_CONTEXTS;
    case MEMBOX_REG_MAX_REGIONS:
        return s->user_queues ? MEMBOX_LIMIT_REGIONS : 0;
    case MEMBOX_REG_MAX_WINDOWS:
        return s->max_windows;
    case MEMBOX_REG_EPOCH:
        return s->epoch;
    case MEMBOX_REG_ERR_COUNT:
        return qatomic_read(&s->err_count);
    case MEMBOX_REG_INT_CAUSE:
        return qatomic_read(&s->int_cause);
    default:
        return 0;
    }
}

static uint32_t read_word(MemboxState *s, hwaddr at)
{
    uint64_t wide;

    if (read_wide(s, at & ~7ULL, &wide)) {
        return at & 4 ? wide >> 32 : wide;
    }
    return read_narrow(s, at);
}

static bool access_ok(hwaddr at, unsigned size)
{
    return (size == 4 || size == 8) && !(at & (size - 1));
}

static uint64_t regs_read(void *opaque, hwaddr at, unsigned size)
{
    MemboxState *s = opaque;
    uint64_t val = 0;

    if (!access_ok(at, size)) {
        return 0;
    }
    if (size == 4) {
        val = read_word(s, at);
    } else if (!read_wide(s, at, &val)) {
        val = read_narrow(s, at) | (uint64_t)read_narrow(s, at + 4) << 32;
    }
    trace_membox_reg_read(s, at, size, val);
    return val;
}

/* The device needs a reset. Any thread. */
void membox_fatal(MemboxState *s)
{
    qatomic_set(&s->fatal, true);
}

/* CTRL.ENABLE 0 -> 1: the admin queue from its registers. */
static void enable(MemboxState *s)
{
    struct membox_queue_args args = {
        .size = sizeof(args),
        .sq_addr = s->asq,
        .cq_addr = s->acq,
        .ctl_addr = s->actl,
        .sq_log2 = MIN(s->adepth, 255),
        .cq_log2 = MIN(s->adepth, 255),
    };
    MemboxQueue *q;
    uint16_t status;
    uint32_t detail;

    s->enabled = true;
    /* Not known at realize: the IOMMU may come later on the command line. */
    s->has_iommu = pci_device_iommu_address_space(PCI_DEVICE(s)) !=
                   &address_space_memory;
    q = membox_queue_new(s, &args, &status, &detail);
    if (!q) {
        membox_fatal(s);
        membox_log_error(s, 0, 0, 0, status, detail, MEMBOX_REG_CTRL);
        return;
    }
    qemu_mutex_lock(&s->lock);
    s->queue[0] = q;
    qemu_mutex_unlock(&s->lock);
    s->ready = true;
    membox_kick(s, 0);
}

static void write_ctrl(MemboxState *s, uint32_t val)
{
    bool on = val & MEMBOX_CTRL_ENABLE;

    if (val & MEMBOX_CTRL_RESET) {
        membox_quiesce_begin(s, MEMBOX_RESETTING);
    } else if (s->quiesce || on == s->enabled) {
        return;
    } else if (!on) {
        membox_quiesce_begin(s, MEMBOX_DISABLING);
    } else if (!qatomic_read(&s->fatal)) {
        enable(s);
    }
}

/* The address registers: only while the device is disabled. */
static uint64_t *address_reg(MemboxState *s, hwaddr at)
{
    if (s->enabled || s->quiesce) {
        return NULL;
    }
    switch (at & ~7ULL) {
    case MEMBOX_REG_ASQ:
        return &s->asq;
    case MEMBOX_REG_ACQ:
        return &s->acq;
    case MEMBOX_REG_ACTL:
        return &s->actl;
    default:
        return NULL;
    }
}

static void write_word(MemboxState *s, hwaddr at, uint32_t val)
{
    uint64_t *reg = address_reg(s, at);

    if (reg) {
        *reg = deposit64(*reg, at & 4 ? 32 : 0, 32, val);
    } else if (at >= MEMBOX_REG_EVENTS &&
               at < MEMBOX_REG_EVENTS + sizeof(s->events)) {
        uint64_t bits = (uint64_t)val << (at & 4 ? 32 : 0);

        qatomic_and(&s->events[(at - MEMBOX_REG_EVENTS) / 8], ~bits);
    } else if (at == MEMBOX_REG_CTRL) {
        write_ctrl(s, val);
    } else if (at == MEMBOX_REG_ADEPTH && !s->enabled && !s->quiesce) {
        s->adepth = val;
    } else if (at == MEMBOX_REG_INT_CAUSE) {
        qatomic_and(&s->int_cause, ~val);
    }
}

static void regs_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    MemboxState *s = opaque;

    if (!access_ok(at, size)) {
        return;
    }
    trace_membox_reg_write(s, at, size, val);
    write_word(s, at, val);
    if (size == 8) {
        write_word(s, at + 4, val >> 32);
    }
}

static const MemoryRegionOps regs_ops = {
    .read = regs_read,
    .write = regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

static uint64_t doorbell_read(void *opaque, hwaddr at, unsigned size)
{
    return 0;
}

static void doorbell_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    MemboxState *s = opaque;
    unsigned queue = at / MEMBOX_DB_PAGE;
    unsigned offset = at % MEMBOX_DB_PAGE;

    if (queue > s->queues || size != 4 ||
        (offset != MEMBOX_DB_SQ && offset != MEMBOX_DB_CQ)) {
        return;
    }
    trace_membox_doorbell(s, queue, offset);
    mbe_count(s->engine, MEMBOX_CTR_DOORBELLS, 1);
    membox_ring(s, queue);
}

static const MemoryRegionOps doorbell_ops = {
    .read = doorbell_read,
    .write = doorbell_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

void membox_regs_init(MemboxState *s)
{
    /* MSI-X tables lie over the registers. */
    memory_region_init(&s->bar0, OBJECT(s), "membox-bar0", MEMBOX_REGS_SIZE);
    memory_region_init_io(&s->regs, OBJECT(s), &regs_ops, s, "membox-regs",
                          MEMBOX_REGS_SIZE);
    memory_region_add_subregion_overlap(&s->bar0, 0, &s->regs, -1);
    memory_region_init_io(&s->doorbells, OBJECT(s), &doorbell_ops, s,
                          "membox-doorbells",
                          pow2ceil((1 + s->queues) * MEMBOX_DB_PAGE));
}

/* What a reset brings to its start value. */
void membox_regs_reset(MemboxState *s)
{
    s->asq = 0;
    s->acq = 0;
    s->actl = 0;
    s->adepth = 0;
    s->enabled = false;
    s->ready = false;
    qatomic_set(&s->fatal, false);
    membox_irq_reset(s);
}

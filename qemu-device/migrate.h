/*
 * membox: what of a device is carried when its VM migrates.
 *
 * Copyright (c) the membox authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An image of the device's state in plain numbers, made by pre_save and taken
 * apart by post_load (migrate.c). Parameters, references and contexts are in
 * the box and not in here.
 */
#ifndef HW_MISC_MEMBOX_MIGRATE_H
#define HW_MISC_MEMBOX_MIGRATE_H

#include "qapi/error.h"
#include "qemu/notify.h"
#include "qemu/uuid.h"
#include "membox_hw.h"

#define MEMBOX_SAVED_PACKET 128

/* A queue pair; number 0 is the administration queue. */
typedef struct MemboxSavedQueue {
    uint16_t id, vector, context;
    uint8_t sq_log2, cq_log2;
    bool user, stopped, silent;
    uint64_t sq_addr, cq_addr, ctl_addr;
    uint32_t sq_head, started, cq_tail;
} MemboxSavedQueue;

/* A window: where it is, and of what. Its extent is held in the box. */
typedef struct MemboxSavedWindow {
    uint32_t id, handle, param;
    uint16_t context;
    bool writable, hollow;
    uint64_t offset, length, serial;
} MemboxSavedWindow;

/* A memory region; its segments follow those of the one before it. */
typedef struct MemboxSavedRegion {
    uint32_t key, segments;
    uint16_t context, rights;
} MemboxSavedRegion;

typedef struct MemboxSavedSegment {
    uint64_t addr, len;
} MemboxSavedSegment;

/* A command that waits, as its descriptor; to be executed again. */
typedef struct MemboxSavedCmd {
    uint8_t packet[MEMBOX_SAVED_PACKET];
    uint64_t number;    /* order in its queue */
    uint64_t until;     /* clock: a WAIT's time is over; 0: has not begun */
    uint16_t queue;
} MemboxSavedCmd;

typedef struct MemboxMigrate {
    Error *blocker;
    NotifierWithReturn notifier;
    bool suspended;     /* the port waits in the box under uuid */
    bool over;          /* ... and is another's: no way back */
    bool loaded;        /* resumed here, and the VM has not run yet */

    /* the image */
    QemuUUID uuid;
    int32_t nqueues, nwindows, nregions, nsegments, ncmds;
    MemboxSavedQueue *queues;
    MemboxSavedWindow *windows;
    MemboxSavedRegion *regions;
    MemboxSavedSegment *segments;
    MemboxSavedCmd *cmds;
} MemboxMigrate;

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - trace events: a packet's way from its submission to its completion,
 * and what passes between driver and device besides.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM membox

#if !defined(MEMBOX_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MEMBOX_TRACE_H

#include <linux/tracepoint.h>

#include "membox_check.h"

/* A packet was taken from a user; status tells whether it was refused. */
TRACE_EVENT(membox_submit,
	    TP_PROTO(int dev, u16 context, const struct membox_packet *p, int status),
	    TP_ARGS(dev, context, p, status),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, context)
			     __field(u8, opcode)
			     __field(u16, flags)
			     __field(u64, user_data)
			     __field(u64, count)
			     __field(int, status)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->context = context;
			   __entry->opcode = p->opcode;
			   __entry->flags = p->flags;
			   __entry->user_data = p->user_data;
			   __entry->count = p->count;
			   __entry->status = status;),
	    TP_printk("dev=%d context=%u opcode=%#x flags=%#x user_data=%#llx count=%llu status=%d",
		      __entry->dev, __entry->context, __entry->opcode, __entry->flags,
		      __entry->user_data, __entry->count, __entry->status)
);

/* A descriptor is written into a submission ring. */
TRACE_EVENT(membox_descriptor,
	    TP_PROTO(int dev, u16 queue, const struct membox_packet *d),
	    TP_ARGS(dev, queue, d),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, queue)
			     __field(u16, cid)
			     __field(u16, context)
			     __field(u8, opcode)
			     __field(u32, handle)
			     __field(u64, offset)
			     __field(u64, count)
			     __field(u64, addr)
			     __field(u32, nseg)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->queue = queue;
			   __entry->cid = d->cid;
			   __entry->context = d->context;
			   __entry->opcode = d->opcode;
			   __entry->handle = d->handle[0];
			   __entry->offset = d->offset[0];
			   __entry->count = d->count;
			   __entry->addr = d->host.addr;
			   __entry->nseg = d->host.nseg;),
	    TP_printk("dev=%d queue=%u cid=%u context=%u op=%#x h=%#x offset=%llu count=%llu addr=%#llx n=%u",
		      __entry->dev, __entry->queue, __entry->cid, __entry->context,
		      __entry->opcode, __entry->handle, __entry->offset, __entry->count,
		      __entry->addr, __entry->nseg)
);

/* A completion was taken from a completion ring. */
TRACE_EVENT(membox_complete,
	    TP_PROTO(int dev, u16 queue, const struct membox_completion *c),
	    TP_ARGS(dev, queue, c),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, queue)
			     __field(u16, cid)
			     __field(u16, status)
			     __field(u64, user_data)
			     __field(u64, bytes)
			     __field(u64, nsec)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->queue = queue;
			   __entry->cid = c->cid;
			   __entry->status = c->status;
			   __entry->user_data = c->user_data;
			   __entry->bytes = c->bytes;
			   __entry->nsec = c->end - c->start;),
	    TP_printk("dev=%d queue=%u cid=%u status=%u user_data=%#llx bytes=%llu nsec=%llu",
		      __entry->dev, __entry->queue, __entry->cid, __entry->status,
		      __entry->user_data, __entry->bytes, __entry->nsec)
);

TRACE_EVENT(membox_irq,
	    TP_PROTO(int dev, u16 vector),
	    TP_ARGS(dev, vector),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, vector)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->vector = vector;),
	    TP_printk("dev=%d vector=%u", __entry->dev, __entry->vector)
);

/* A doorbell is rung: the device had asked for it. */
TRACE_EVENT(membox_doorbell,
	    TP_PROTO(int dev, u16 queue, u32 tail),
	    TP_ARGS(dev, queue, tail),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, queue)
			     __field(u32, tail)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->queue = queue;
			   __entry->tail = tail;),
	    TP_printk("dev=%d queue=%u tail=%u", __entry->dev, __entry->queue, __entry->tail)
);

/* An administration command has ended: ret is a status, or -errno. */
TRACE_EVENT(membox_admin,
	    TP_PROTO(int dev, u16 context, u8 opcode, int ret),
	    TP_ARGS(dev, context, opcode, ret),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, context)
			     __field(u8, opcode)
			     __field(int, ret)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->context = context;
			   __entry->opcode = opcode;
			   __entry->ret = ret;),
	    TP_printk("dev=%d context=%u opcode=%#x ret=%d", __entry->dev, __entry->context,
		      __entry->opcode, __entry->ret)
);

/* A window was mapped into the aperture (map 1) or taken out of it (0). */
TRACE_EVENT(membox_window,
	    TP_PROTO(int dev, u16 context, bool map, const struct membox_window_args *args),
	    TP_ARGS(dev, context, map, args),
	    TP_STRUCT__entry(__field(int, dev)
			     __field(u16, context)
			     __field(bool, map)
			     __field(u32, handle)
			     __field(u32, window)
			     __field(u32, prot)
			     __field(u64, length)),
	    TP_fast_assign(__entry->dev = dev;
			   __entry->context = context;
			   __entry->map = map;
			   __entry->handle = args->handle;
			   __entry->window = args->window;
			   __entry->prot = args->prot;
			   __entry->length = args->length;),
	    TP_printk("dev=%d context=%u map=%d handle=%#x window=%u prot=%u length=%llu",
		      __entry->dev, __entry->context, __entry->map, __entry->handle,
		      __entry->window, __entry->prot, __entry->length)
);

#endif /* MEMBOX_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

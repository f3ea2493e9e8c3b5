/* SPDX-License-Identifier: MIT */
/*
 * marker.h - instructions that do nothing, and that the plugin which counts knows:
 * "nopl MARK(%rax)", seven bytes. Processors skip them.
 */
#ifndef COSTS_MARKER_H
#define COSTS_MARKER_H

#define MARK_BEGIN 0x6d620001
#define MARK_END 0x6d620002
#define MARK_BYTES 7

#define mark(what) __asm__ volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" : : "i"(what) : "memory")

#endif /* COSTS_MARKER_H */

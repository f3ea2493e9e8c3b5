// SPDX-License-Identifier: MIT
/*
 * uapi_layout.c - the bytes that programs, driver, device and box agree on: every
 * size, every offset and every ioctl number, written out. A change that this test
 * notices breaks what was compiled before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "membox.h"

#define SIZE(type, bytes) assert_int_equal(sizeof(struct type), bytes)
#define AT(type, field, offset) assert_int_equal(offsetof(struct type, field), offset)

static void packet(void **state)
{
	(void)state;
	SIZE(membox_packet, 128);
	AT(membox_packet, opcode, 0);
	AT(membox_packet, phase, 1);
	AT(membox_packet, cid, 2);
	AT(membox_packet, flags, 4);
	AT(membox_packet, context, 6);
	AT(membox_packet, user_data, 8);
	AT(membox_packet, src_type, 16);
	AT(membox_packet, dst_type, 17);
	AT(membox_packet, reduction, 18);
	AT(membox_packet, sub, 19);
	AT(membox_packet, timeout_us, 20);
	AT(membox_packet, count, 24);
	AT(membox_packet, handle, 32);
	AT(membox_packet, offset, 48);
	AT(membox_packet, host.addr, 80);
	AT(membox_packet, host.key, 88);
	AT(membox_packet, host.nseg, 92);
	AT(membox_packet, scale.a, 96);
	AT(membox_packet, scale.b, 104);
	AT(membox_packet, word.value, 96);
	AT(membox_packet, word.compare, 104);
	AT(membox_packet, list.nterms, 96);
	AT(membox_packet, list.unused0, 100);
	AT(membox_packet, update.scalar, 96);
	AT(membox_packet, update.step, 120);
	AT(membox_packet, scatter.a, 96);
	AT(membox_packet, scatter.index.addr, 112);
	AT(membox_packet, coll.group, 96);
	AT(membox_packet, coll.epoch, 100);
	AT(membox_packet, coll.seq, 104);
	AT(membox_packet, coll.root, 108);
	AT(membox_packet, coll.recv.addr, 112);
	AT(membox_packet, coll.recv.key, 120);
	AT(membox_packet, coll.recv.nseg, 124);
	AT(membox_packet, raw, 96);

	SIZE(membox_term, 24);
	AT(membox_term, handle, 0);
	AT(membox_term, rsvd, 4);
	AT(membox_term, offset, 8);
	AT(membox_term, a, 16);

	SIZE(membox_batch, 16);
	AT(membox_batch, magic, 0);
	AT(membox_batch, stride, 4);
	AT(membox_batch, count, 8);
	AT(membox_batch, rsvd, 12);
}

static void queue_entries(void **state)
{
	(void)state;
	SIZE(membox_instr, 8);
	AT(membox_instr, opcode, 0);
	AT(membox_instr, phase, 1);
	AT(membox_instr, cid, 2);
	AT(membox_instr, flags, 4);
	AT(membox_instr, context, 6);

	SIZE(membox_completion, 64);
	AT(membox_completion, user_data, 0);
	AT(membox_completion, bytes, 8);
	AT(membox_completion, result, 16);
	AT(membox_completion, version, 24);
	AT(membox_completion, start, 32);
	AT(membox_completion, end, 40);
	AT(membox_completion, detail, 48);
	AT(membox_completion, queue, 52);
	AT(membox_completion, rsvd, 54);
	AT(membox_completion, cid, 56);
	AT(membox_completion, status, 58);
	AT(membox_completion, phase, 60);

	SIZE(membox_qctl, 128);
	AT(membox_qctl, sq_tail, 0);
	AT(membox_qctl, cq_head, 4);
	AT(membox_qctl, cq_event, 8);
	AT(membox_qctl, sq_head, 64);
	AT(membox_qctl, sq_event, 68);
	AT(membox_qctl, halted, 72);

	SIZE(membox_sge, 16);
	AT(membox_sge, addr, 0);
	AT(membox_sge, len, 8);
	AT(membox_sge, flags, 12);
	SIZE(membox_hostref, 16);

	SIZE(membox_err, 32);
	AT(membox_err, time, 0);
	AT(membox_err, count, 8);
	AT(membox_err, queue, 12);
	AT(membox_err, cid, 14);
	AT(membox_err, status, 16);
	AT(membox_err, context, 18);
	AT(membox_err, detail, 20);
	AT(membox_err, value, 24);
}

static void administration(void **state)
{
	(void)state;
	SIZE(membox_ctx_args, 8);
	AT(membox_ctx_args, context, 4);
	SIZE(membox_window_args, 32);
	AT(membox_window_args, handle, 4);
	AT(membox_window_args, prot, 8);
	AT(membox_window_args, window, 12);
	AT(membox_window_args, offset, 16);
	AT(membox_window_args, length, 24);
	SIZE(membox_queue_args, 40);
	AT(membox_queue_args, queue, 4);
	AT(membox_queue_args, vector, 6);
	AT(membox_queue_args, sq_addr, 8);
	AT(membox_queue_args, cq_addr, 16);
	AT(membox_queue_args, ctl_addr, 24);
	AT(membox_queue_args, sq_log2, 32);
	AT(membox_queue_args, cq_log2, 33);
	AT(membox_queue_args, context, 34);
	AT(membox_queue_args, flags, 36);
	SIZE(membox_abort_args, 16);
	AT(membox_abort_args, queue, 4);
	AT(membox_abort_args, cid, 6);
	AT(membox_abort_args, context, 8);
	AT(membox_abort_args, found, 12);
	SIZE(membox_region_hw, 32);
	AT(membox_region_hw, key, 4);
	AT(membox_region_hw, context, 8);
	AT(membox_region_hw, rights, 10);
	AT(membox_region_hw, nseg, 12);
	AT(membox_region_hw, addr, 16);
	AT(membox_region_hw, length, 24);
}

static void parameters(void **state)
{
	(void)state;
	SIZE(membox_param_args, 144);
	AT(membox_param_args, flags, 4);
	AT(membox_param_args, name, 8);
	AT(membox_param_args, type, 72);
	AT(membox_param_args, mode, 76);
	AT(membox_param_args, count, 80);
	AT(membox_param_args, key, 88);
	AT(membox_param_args, handle, 104);
	AT(membox_param_args, created, 108);
	AT(membox_param_args, bytes, 112);
	AT(membox_param_args, address, 120);
	AT(membox_param_args, version, 128);
	AT(membox_param_args, rights, 136);
	AT(membox_param_args, attrs, 140);
	SIZE(membox_handle_args, 16);
	AT(membox_handle_args, handle, 4);
	AT(membox_handle_args, value, 8);
	AT(membox_handle_args, deferred, 12);
	SIZE(membox_param_stat, 160);
	AT(membox_param_stat, handle, 4);
	AT(membox_param_stat, name, 8);
	AT(membox_param_stat, type, 72);
	AT(membox_param_stat, mode, 76);
	AT(membox_param_stat, count, 80);
	AT(membox_param_stat, bytes, 88);
	AT(membox_param_stat, address, 96);
	AT(membox_param_stat, begun, 104);
	AT(membox_param_stat, finished, 112);
	AT(membox_param_stat, refs, 120);
	AT(membox_param_stat, attrs, 124);
	AT(membox_param_stat, waiters, 128);
	AT(membox_param_stat, subscribers, 132);
	AT(membox_param_stat, destroyed, 136);
	AT(membox_param_stat, torn, 140);
	AT(membox_param_stat, owner, 144);
	SIZE(membox_list_args, 3856);
	AT(membox_list_args, cursor, 4);
	AT(membox_list_args, count, 8);
	AT(membox_list_args, entry, 16);
	SIZE(membox_grant_args, 32);
	AT(membox_grant_args, group, 8);
	AT(membox_grant_args, rank, 12);
	AT(membox_grant_args, key, 16);
	SIZE(membox_mail, 152);
	AT(membox_mail, name, 8);
	AT(membox_mail, key, 72);
	AT(membox_mail, group, 88);
	SIZE(membox_event, 24);
	AT(membox_event, handle, 4);
	AT(membox_event, version, 8);
	AT(membox_event, missed, 16);
}

static void boxes_and_groups(void **state)
{
	(void)state;
	SIZE(membox_info, 136);
	AT(membox_info, abi, 4);
	AT(membox_info, caps, 8);
	AT(membox_info, uuid, 16);
	AT(membox_info, port, 32);
	AT(membox_info, ports, 36);
	AT(membox_info, context, 40);
	AT(membox_info, rdonly, 44);
	AT(membox_info, data_bytes, 48);
	AT(membox_info, free_bytes, 56);
	AT(membox_info, params, 64);
	AT(membox_info, max_params, 68);
	AT(membox_info, max_bytes, 72);
	AT(membox_info, max_timeout_us, 80);
	AT(membox_info, stripe_bytes, 84);
	AT(membox_info, aperture, 88);
	AT(membox_info, max_windows, 96);
	AT(membox_info, queues, 100);
	AT(membox_info, clock, 104);
	AT(membox_info, principal, 112);
	AT(membox_info, state, 128);
	AT(membox_info, live_ports, 132);
	SIZE(membox_group_args, 176);
	AT(membox_group_args, name, 8);
	AT(membox_group_args, key, 72);
	AT(membox_group_args, group, 88);
	AT(membox_group_args, ranks, 92);
	AT(membox_group_args, rank, 96);
	AT(membox_group_args, epoch, 100);
	AT(membox_group_args, joined, 104);
	AT(membox_group_args, dead, 108);
	AT(membox_group_args, state, 112);
	SIZE(membox_port_stat, 176);
	AT(membox_port_stat, attached, 24);
	AT(membox_port_stat, counter, 32);
	AT(membox_port_stat, used_bytes, 160);
	AT(membox_port_stat, quota_bytes, 168);
	SIZE(membox_outcome_entry, 24);
	SIZE(membox_outcomes, 1544);
	AT(membox_outcomes, entry, 8);
	SIZE(membox_submit, 56);
	AT(membox_submit, packets, 8);
	AT(membox_submit, count, 16);
	AT(membox_submit, wait, 20);
	AT(membox_submit, completions, 24);
	AT(membox_submit, reap, 32);
	AT(membox_submit, submitted, 36);
	AT(membox_submit, reaped, 40);
	AT(membox_submit, timeout_ns, 48);
	SIZE(membox_region_args, 32);
	AT(membox_region_args, addr, 8);
	AT(membox_region_args, key, 24);
	SIZE(membox_eventfd_args, 16);
	AT(membox_eventfd_args, fd, 4);
	AT(membox_eventfd_args, sources, 8);
	SIZE(membox_uqueue_args, 48);
	AT(membox_uqueue_args, flags, 4);
	AT(membox_uqueue_args, sq_log2, 8);
	AT(membox_uqueue_args, cq_log2, 9);
	AT(membox_uqueue_args, queue, 10);
	AT(membox_uqueue_args, sq_offset, 16);
	AT(membox_uqueue_args, cq_offset, 24);
	AT(membox_uqueue_args, ctl_offset, 32);
	AT(membox_uqueue_args, db_offset, 40);
}

static void ioctl_numbers(void **state)
{
	(void)state;
	assert_int_equal(MEMBOX_IOC_INFO, 0xc088b500);
	assert_int_equal(MEMBOX_IOC_SUBMIT, 0xc038b501);
	assert_int_equal(MEMBOX_IOC_EVENTFD, 0x4010b502);
	assert_int_equal(MEMBOX_IOC_REGION_ADD, 0xc020b503);
	assert_int_equal(MEMBOX_IOC_REGION_DEL, 0xc020b504);
	assert_int_equal(MEMBOX_IOC_WINDOW_MAP, 0xc020b505);
	assert_int_equal(MEMBOX_IOC_WINDOW_UNMAP, 0xc020b506);
	assert_int_equal(MEMBOX_IOC_QUEUE_CREATE, 0xc030b507);
	assert_int_equal(MEMBOX_IOC_QUEUE_DELETE, 0xc030b508);
	assert_int_equal(MEMBOX_IOC_PARAM_OPEN, 0xc090b510);
	assert_int_equal(MEMBOX_IOC_PARAM_CLOSE, 0xc010b511);
	assert_int_equal(MEMBOX_IOC_PARAM_DESTROY, 0xc010b512);
	assert_int_equal(MEMBOX_IOC_PARAM_STAT, 0xc0a0b513);
	assert_int_equal(MEMBOX_IOC_PARAM_GRANT, 0xc020b514);
	assert_int_equal(MEMBOX_IOC_PARAM_REVOKE, 0xc090b515);
	assert_int_equal(MEMBOX_IOC_PARAM_LIST, 0xcf10b516);
	assert_int_equal(MEMBOX_IOC_PARAM_LOCK, 0xc010b517);
	assert_int_equal(MEMBOX_IOC_PARAM_UNLOCK, 0xc010b518);
	assert_int_equal(MEMBOX_IOC_MAIL_RECV, 0xc098b519);
	assert_int_equal(MEMBOX_IOC_SUBSCRIBE, 0xc010b51a);
	assert_int_equal(MEMBOX_IOC_EVENT_READ, 0xc018b51b);
	assert_int_equal(MEMBOX_IOC_GROUP_JOIN, 0xc0b0b51c);
	assert_int_equal(MEMBOX_IOC_GROUP_LEAVE, 0xc0b0b51d);
	assert_int_equal(MEMBOX_IOC_GROUP_INFO, 0xc0b0b51e);
	assert_int_equal(MEMBOX_IOC_PORT_STAT, 0xc0b0b51f);
	assert_int_equal(MEMBOX_IOC_GET_OUTCOMES, 0xc608b520);
}

/* The largest structures of administration fit the buffer of one command. */
static void admin_buffer(void **state)
{
	(void)state;
	assert_true(sizeof(struct membox_list_args) <= MEMBOX_ADMIN_BYTES);
	assert_true(sizeof(struct membox_outcomes) <= MEMBOX_ADMIN_BYTES);
	assert_int_equal(MEMBOX_SGL_BYTES, MEMBOX_SGL_ENTRIES * sizeof(struct membox_sge));
}

/* Registers lie apart, inside BAR 0, aligned to their width. */
static void registers(void **state)
{
	static const struct {
		unsigned int at, width, n;
	} regs[] = {
		{ MEMBOX_REG_ID, 4, 1 },	   { MEMBOX_REG_VERSION, 4, 1 },
		{ MEMBOX_REG_CAPS, 8, 1 },	   { MEMBOX_REG_QUEUES, 4, 1 },
		{ MEMBOX_REG_DEPTH, 4, 1 },	   { MEMBOX_REG_CTRL, 4, 1 },
		{ MEMBOX_REG_STATUS, 4, 1 },	   { MEMBOX_REG_PORT, 4, 1 },
		{ MEMBOX_REG_PORTS, 4, 1 },	   { MEMBOX_REG_UUID_LO, 8, 1 },
		{ MEMBOX_REG_UUID_HI, 8, 1 },	   { MEMBOX_REG_CLOCK, 8, 1 },
		{ MEMBOX_REG_ASQ, 8, 1 },	   { MEMBOX_REG_ACQ, 8, 1 },
		{ MEMBOX_REG_ACTL, 8, 1 },	   { MEMBOX_REG_ADEPTH, 4, 1 },
		{ MEMBOX_REG_VECTORS, 4, 1 },	   { MEMBOX_REG_MAX_BYTES, 8, 1 },
		{ MEMBOX_REG_MAX_TIMEOUT, 4, 1 },  { MEMBOX_REG_MAX_CONTEXTS, 4, 1 },
		{ MEMBOX_REG_APERTURE, 8, 1 },	   { MEMBOX_REG_MAX_WINDOWS, 4, 1 },
		{ MEMBOX_REG_EPOCH, 4, 1 },	   { MEMBOX_REG_EVENTS, 8, MEMBOX_MAX_CONTEXTS / 64 },
		{ MEMBOX_REG_ERR_COUNT, 4, 1 },	   { MEMBOX_REG_INT_CAUSE, 4, 1 },
		{ MEMBOX_REG_BOX_BYTES, 8, 1 },	   { MEMBOX_REG_COUNTERS, 8, MEMBOX_NR_COUNTERS },
		{ MEMBOX_REG_ERR_LOG, 32, MEMBOX_ERR_LOG }, { MEMBOX_REG_PORT_STATE, 4, MEMBOX_MAX_PORTS },
		{ MEMBOX_MSIX_TABLE, 16, MEMBOX_MAX_VECTORS }, { MEMBOX_MSIX_PBA, 8, MEMBOX_MAX_VECTORS / 64 },
		{ MEMBOX_REGS_SIZE, 1, 0 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i + 1 < sizeof(regs) / sizeof(regs[0]); i++) {
		assert_int_equal(regs[i].at % regs[i].width, 0);
		assert_true(regs[i].at + regs[i].width * regs[i].n <= regs[i + 1].at);
	}
	assert_true(MEMBOX_MSIX_TABLE % 4096 == 0 && MEMBOX_MSIX_PBA % 4096 == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet),	    cmocka_unit_test(queue_entries),
		cmocka_unit_test(administration),   cmocka_unit_test(parameters),
		cmocka_unit_test(boxes_and_groups), cmocka_unit_test(ioctl_numbers),
		cmocka_unit_test(admin_buffer),	    cmocka_unit_test(registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

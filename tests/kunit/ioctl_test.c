// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctl_test.c - the table of ioctls: numbers, sizes, and the rules by which
 * structures of other sizes are copied. The functions that the rows lead to are
 * replaced here; user memory is real.
 */
#include <kunit/test.h>
#include <linux/mman.h>

#include "../../driver/ioctl.c"

/* ---- in place of the rest of the driver ---- */

static struct {
	u16 context;
	u8 opcode;
	size_t bytes;
	u32 size;
	u32 handle;
	int answer;
	u32 suspended;	/* handle whose windows were held back, ... */
	bool gone;	/* ... and what became of them */
} seen;

int membox_admin(struct membox_dev *mdev, u16 context, u8 opcode, void *buf, size_t bytes,
		 unsigned int flags)
{
	struct membox_handle_args *args = buf;

	seen.context = context;
	seen.opcode = opcode;
	seen.bytes = bytes;
	seen.size = args->size;
	seen.handle = args->handle;
	if (opcode == MEMBOX_ADM_PARAM_CLOSE)
		args->deferred = 0x5a5a;
	return seen.answer;
}

unsigned int membox_max_outstanding = 1;

int membox_ctx_check(const struct membox_ctx *ctx)
{
	return 0;
}

int membox_region_add(struct membox_ctx *ctx, struct membox_region_args *args)
{
	return 0;
}

int membox_region_del(struct membox_ctx *ctx, const struct membox_region_args *args)
{
	return 0;
}

int membox_uqueue_create(struct membox_ctx *ctx, struct membox_uqueue_args *args)
{
	return 0;
}

int membox_uqueue_delete(struct membox_ctx *ctx, const struct membox_uqueue_args *args)
{
	return 0;
}

int membox_window_map(struct membox_ctx *ctx, struct membox_window_args *args)
{
	return 0;
}

int membox_window_unmap(struct membox_ctx *ctx, struct membox_window_args *args)
{
	return 0;
}

void membox_windows_suspend(struct membox_ctx *ctx, u32 handle)
{
	seen.suspended = handle;
}

void membox_windows_settle(struct membox_ctx *ctx, u32 handle, bool gone)
{
	seen.gone = gone;
}

int membox_eventfd_set(struct membox_ctx *ctx, const struct membox_eventfd_args *args)
{
	return 0;
}

int membox_submit_packets(struct membox_ctx *ctx, const struct membox_packets *packets, bool block)
{
	return packets->count;
}

void membox_queue_poll(struct membox_queue *q)
{
}

int membox_completions_wait(struct membox_ctx *ctx, unsigned int min, bool idle_ends,
			    unsigned long timeout)
{
	return 0;
}

int membox_completions_copy(struct membox_ctx *ctx, void __user *to, unsigned int max)
{
	return max;
}

/* ---- the real table ---- */

static const struct membox_ioctl_row *row_gen(const void *prev)
{
	const struct membox_ioctl_row *last = prev;
	const struct membox_ioctl_row *next = last ? last + 1 : rows;

	return next < rows + ARRAY_SIZE(rows) ? next : NULL;
}

static const void *row_gen_params(const void *prev, char *desc)
{
	const struct membox_ioctl_row *row = row_gen(prev);

	if (row)
		snprintf(desc, KUNIT_PARAM_DESC_SIZE, "number %#x", _IOC_NR(row->cmd));
	return row;
}

static const struct membox_ioctl_row *the_row(struct kunit *test)
{
	return test->param_value;
}

static void row_is_sound(struct kunit *test)
{
	const struct membox_ioctl_row *row = the_row(test);
	size_t i, same = 0;

	KUNIT_EXPECT_EQ(test, _IOC_TYPE(row->cmd), MEMBOX_IOC);
	KUNIT_EXPECT_EQ_MSG(test, _IOC_SIZE(row->cmd), row->size, "size of the structure");
	KUNIT_EXPECT_TRUE(test, _IOC_DIR(row->cmd) & _IOC_WRITE);
	KUNIT_EXPECT_GE(test, row->min, sizeof(u32));
	KUNIT_EXPECT_LE(test, row->min, row->size);
	KUNIT_EXPECT_LE(test, row->size, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, !!row->fn);
	if (row->opcode) {
		KUNIT_EXPECT_LE(test, row->size, MEMBOX_ADMIN_BYTES);
		KUNIT_EXPECT_GE(test, row->opcode, 0x80);
	}
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		same += _IOC_NR(rows[i].cmd) == _IOC_NR(row->cmd);
	KUNIT_EXPECT_EQ_MSG(test, same, 1, "one row a number");
}

static void row_is_found(struct kunit *test)
{
	const struct membox_ioctl_row *row = the_row(test);
	unsigned int dir = _IOC_DIR(row->cmd), nr = _IOC_NR(row->cmd);

	KUNIT_EXPECT_PTR_EQ(test, membox_ioctl_find(row->cmd), row);
	KUNIT_EXPECT_PTR_EQ_MSG(test, membox_ioctl_find(_IOC(dir, MEMBOX_IOC, nr, row->size + 8)),
				row, "made with a later structure");
	KUNIT_EXPECT_PTR_EQ_MSG(test, membox_ioctl_find(_IOC(dir, MEMBOX_IOC, nr, row->min)), row,
				"made with an earlier one");
	KUNIT_EXPECT_NULL(test, membox_ioctl_find(_IOC(dir, MEMBOX_IOC + 1, nr, row->size)));
	KUNIT_EXPECT_NULL(test, membox_ioctl_find(_IOC(_IOC_NONE, MEMBOX_IOC, nr, 0)));
}

static void unknown_numbers(struct kunit *test)
{
	unsigned int nr, known = 0;

	for (nr = 0; nr < 256; nr++)
		known += !!membox_ioctl_find(_IOWR(MEMBOX_IOC, nr, u32)) ||
			 !!membox_ioctl_find(_IOW(MEMBOX_IOC, nr, u32));
	KUNIT_EXPECT_EQ(test, known, ARRAY_SIZE(rows));
}

/* ---- copying ---- */

static void __user *user_page(struct kunit *test)
{
	unsigned long at = kunit_vm_mmap(test, NULL, 0, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
					 MAP_ANONYMOUS | MAP_PRIVATE, 0);

	KUNIT_ASSERT_NE(test, at, 0);
	KUNIT_ASSERT_LT(test, at, TASK_SIZE);
	return (void __user *)at;
}

/* The caller's structure: `size` in front, then bytes of value from `from` on. */
static void write_user(struct kunit *test, void __user *to, u32 size, u32 from, u8 value)
{
	u8 *buf = kunit_kzalloc(test, 2 * PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	memset(buf + from, value, 2 * PAGE_SIZE - from);
	*(u32 *)buf = size;
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(to, buf, 2 * PAGE_SIZE));
	kunit_kfree(test, buf);
}

static int copy_in(struct kunit *test, const void __user *from, u8 **buf, u32 *size)
{
	const struct membox_ioctl_row *row = the_row(test);

	*buf = kunit_kzalloc(test, row->size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, *buf);
	return membox_ioctl_copy_in(row, *buf, (void __user *)from, size);
}

static void size_as_it_is(struct kunit *test)
{
	const struct membox_ioctl_row *row = the_row(test);
	void __user *from = user_page(test);
	u32 size;
	u8 *buf;

	write_user(test, from, row->size, 4, 0x11);
	KUNIT_EXPECT_EQ(test, copy_in(test, from, &buf, &size), 0);
	KUNIT_EXPECT_EQ(test, size, row->size);
	KUNIT_EXPECT_EQ(test, *(u32 *)buf, row->size);
	KUNIT_EXPECT_EQ(test, buf[row->size - 1], 0x11);
}

static void size_longer(struct kunit *test)
{
	const struct membox_ioctl_row *row = the_row(test);
	void __user *from = user_page(test);
	u32 size;
	u8 *buf;

	write_user(test, from, row->size + 16, row->size, 0);
	KUNIT_EXPECT_EQ_MSG(test, copy_in(test, from, &buf, &size), 0, "the rest is zero");
	KUNIT_EXPECT_EQ(test, *(u32 *)buf, row->size);
	write_user(test, from, row->size + 16, row->size + 15, 1);
	KUNIT_EXPECT_EQ_MSG(test, copy_in(test, from, &buf, &size), -E2BIG, "the rest is not");
	write_user(test, from, PAGE_SIZE + 1, 4, 0);
	KUNIT_EXPECT_EQ_MSG(test, copy_in(test, from, &buf, &size), -E2BIG, "over a page");
}

static void size_shorter(struct kunit *test)
{
	const struct membox_ioctl_row *row = the_row(test);
	void __user *from = user_page(test);
	u32 size, i;
	u8 *buf;

	write_user(test, from, row->min, 4, 0x22);
	KUNIT_EXPECT_EQ(test, copy_in(test, from, &buf, &size), 0);
	KUNIT_EXPECT_EQ(test, size, row->min);
	for (i = row->min; i < row->size; i++)
		KUNIT_ASSERT_EQ_MSG(test, buf[i], 0, "byte %u is not the caller's", i);
	write_user(test, from, row->min - 1, 4, 0x22);
	KUNIT_EXPECT_EQ(test, copy_in(test, from, &buf, &size), -EINVAL);
	write_user(test, from, 0, 4, 0);
	KUNIT_EXPECT_EQ(test, copy_in(test, from, &buf, &size), -EINVAL);
}

static void size_unreadable(struct kunit *test)
{
	u32 size;
	u8 *buf;

	user_page(test);
	KUNIT_EXPECT_EQ(test, copy_in(test, NULL, &buf, &size), -EFAULT);
}

static void answer_fits(struct kunit *test)
{
	const struct membox_ioctl_row *row = the_row(test);
	void __user *to = user_page(test);
	u8 *buf = kunit_kzalloc(test, row->size, GFP_KERNEL);
	u8 after[8];

	KUNIT_ASSERT_NOT_NULL(test, buf);
	memset(buf, 0x33, row->size);
	write_user(test, to, row->min, 4, 0x44);
	KUNIT_EXPECT_EQ(test, membox_ioctl_copy_out(row, buf, to, row->min), 0);
	KUNIT_ASSERT_EQ(test, 0, copy_from_user(after, to, sizeof(after)));
	KUNIT_EXPECT_EQ_MSG(test, *(u32 *)after, row->min, "the size stays the caller's");
	KUNIT_ASSERT_EQ(test, 0, copy_from_user(after, to + row->min, 1));
	KUNIT_EXPECT_EQ_MSG(test, after[0], 0x44, "nothing is written behind it");
}

/* ---- a whole call ---- */

static void whole_call(struct kunit *test)
{
	struct membox_ctx *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);
	struct file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	struct membox_handle_args args = { .size = sizeof(args), .handle = 77 };
	void __user *at = user_page(test);

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	KUNIT_ASSERT_NOT_NULL(test, file);
	ctx->number = 9;
	mutex_init(&ctx->handle_lock);
	file->private_data = ctx;
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(at, &args, sizeof(args)));
	seen.answer = MEMBOX_ST_BUSY;
	KUNIT_EXPECT_EQ_MSG(test, membox_ioctl(file, MEMBOX_IOC_PARAM_CLOSE, (unsigned long)at),
			    MEMBOX_ST_BUSY, "a status comes back as a positive number");
	KUNIT_EXPECT_EQ(test, seen.context, 9);
	KUNIT_EXPECT_EQ(test, seen.opcode, MEMBOX_ADM_PARAM_CLOSE);
	KUNIT_EXPECT_EQ(test, seen.bytes, sizeof(args));
	KUNIT_EXPECT_EQ(test, seen.size, sizeof(args));
	KUNIT_EXPECT_EQ(test, seen.handle, 77);
	KUNIT_EXPECT_TRUE_MSG(test, seen.suspended == 77 && seen.gone,
			      "a closing handle takes its windows along");
	seen.suspended = 0;
	KUNIT_EXPECT_EQ(test, membox_ioctl(file, MEMBOX_IOC_PARAM_DESTROY, (unsigned long)at),
			MEMBOX_ST_BUSY);
	KUNIT_EXPECT_TRUE_MSG(test, seen.suspended == 77 && !seen.gone,
			      "a destruction that is refused takes no window");
	KUNIT_ASSERT_EQ(test, 0, copy_from_user(&args, at, sizeof(args)));
	KUNIT_EXPECT_EQ_MSG(test, args.deferred, 0x5a5a, "the answer is copied out");
	KUNIT_EXPECT_EQ(test, membox_ioctl(file, _IO(MEMBOX_IOC, 0xff), 0), -ENOTTY);
	KUNIT_EXPECT_EQ(test, membox_ioctl(file, MEMBOX_IOC_REGION_ADD, 0), -EFAULT);
}

struct timeout_case {
	const char *name;
	s64 nsec;
	bool ok;
};

static const struct timeout_case timeout_cases[] = {
	{ "default", -1, true },
	{ "none", 0, true },
	{ "longest", MEMBOX_MAX_TIMEOUT_US * 1000LL, true },
	{ "too long", MEMBOX_MAX_TIMEOUT_US * 1000LL + 1, false },
	{ "negative", -2, false },
	{ "most negative", S64_MIN, false },
};

static void timeout_name(const struct timeout_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(timeout, timeout_cases, timeout_name);

static void submit_timeouts(struct kunit *test)
{
	const struct timeout_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, submit_timeout(c->nsec) != 0, c->ok);
}

static struct kunit_case ioctl_cases[] = {
	KUNIT_CASE_PARAM(row_is_sound, row_gen_params),
	KUNIT_CASE_PARAM(row_is_found, row_gen_params),
	KUNIT_CASE(unknown_numbers),
	KUNIT_CASE_PARAM(size_as_it_is, row_gen_params),
	KUNIT_CASE_PARAM(size_longer, row_gen_params),
	KUNIT_CASE_PARAM(size_shorter, row_gen_params),
	KUNIT_CASE_PARAM(size_unreadable, row_gen_params),
	KUNIT_CASE_PARAM(answer_fits, row_gen_params),
	KUNIT_CASE(whole_call),
	KUNIT_CASE_PARAM(submit_timeouts, timeout_gen_params),
	{}
};

static struct kunit_suite ioctl_suite = {
	.name = "membox_ioctl",
	.test_cases = ioctl_cases,
};

kunit_test_suite(ioctl_suite);

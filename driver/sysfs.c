// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfs.c - attributes under /sys/class/membox/membox<n>/. They read registers:
 * removal waits for them before it unmaps these. No locks.
 */
#include <linux/sysfs.h>
#include <linux/uuid.h>

#include "membox_dev.h"
#include "regs.h"

static struct membox_dev *to_mdev(struct device *dev)
{
	return container_of(dev, struct membox_dev, dev);
}

#define ATTR_REG32(name, reg) \
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
{ \
	return sysfs_emit(buf, "%u\n", membox_reg32(to_mdev(dev), reg)); \
} \
static DEVICE_ATTR_RO(name)

ATTR_REG32(port, MEMBOX_REG_PORT);
ATTR_REG32(ports, MEMBOX_REG_PORTS);
ATTR_REG32(errors, MEMBOX_REG_ERR_COUNT);
ATTR_REG32(windows, MEMBOX_REG_MAX_WINDOWS);

static ssize_t abi_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", MEMBOX_ABI);
}
static DEVICE_ATTR_RO(abi);

static ssize_t version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u32 version = membox_reg32(to_mdev(dev), MEMBOX_REG_VERSION);

	return sysfs_emit(buf, "%u.%u\n", version >> 16, version & 0xffff);
}
static DEVICE_ATTR_RO(version);

static ssize_t uuid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u64 half[2] = {
		membox_reg64(to_mdev(dev), MEMBOX_REG_UUID_LO),
		membox_reg64(to_mdev(dev), MEMBOX_REG_UUID_HI),
	};

	return sysfs_emit(buf, "%pUb\n", half);
}
static DEVICE_ATTR_RO(uuid);

static ssize_t caps_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char * const name[] = { "acc", "vector", "atomic", "wait", "scatter", "update",
					     "collectives", "windows", "user_queues", "regions" };
	u64 caps = to_mdev(dev)->caps;
	int n = sysfs_emit(buf, "%#llx", caps);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(name); i++)
		if (caps >> i & 1)
			n += sysfs_emit_at(buf, n, " %s", name[i]);
	return n + sysfs_emit_at(buf, n, "\n");
}
static DEVICE_ATTR_RO(caps);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char * const name[] = {
		[MEMBOX_STATE_DOWN] = "down",
		[MEMBOX_STATE_LIVE] = "live",
		[MEMBOX_STATE_FAILED] = "failed",
		[MEMBOX_STATE_GONE] = "gone",
	};

	return sysfs_emit(buf, "%s\n", name[READ_ONCE(to_mdev(dev)->state)]);
}
static DEVICE_ATTR_RO(state);

static ssize_t rdonly_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u32 status = membox_reg32(to_mdev(dev), MEMBOX_REG_STATUS);

	return sysfs_emit(buf, "%d\n", !!(status & MEMBOX_DEV_RDONLY));
}
static DEVICE_ATTR_RO(rdonly);

static ssize_t resets_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_mdev(dev)->epoch));
}
static DEVICE_ATTR_RO(resets);

static ssize_t contexts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct membox_dev *mdev = to_mdev(dev);

	return sysfs_emit(buf, "%u of %u\n", READ_ONCE(mdev->ncontexts), mdev->max_contexts - 1);
}
static DEVICE_ATTR_RO(contexts);

static ssize_t vectors_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_mdev(dev)->nvectors);
}
static DEVICE_ATTR_RO(vectors);

/*
 * A line a queue: number, entries, vector, contexts on it, commands in flight; then the
 * user queues there are: number, entries, vector, "user", context.
 */
static ssize_t queues_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct membox_dev *mdev = to_mdev(dev);
	int n = 0;
	u32 i;

	for (i = 0; i < mdev->nqueues; i++) {
		const struct membox_queue *q = &mdev->queue[i];

		n += sysfs_emit_at(buf, n, "%u %u %d %u %u\n", q->number,
				   membox_ring_entries(&q->ring),
				   q->vector == MEMBOX_NO_VECTOR ? -1 : q->vector,
				   READ_ONCE(q->contexts), READ_ONCE(q->inflight));
	}
	return n + membox_uqueues_show(mdev, buf, n);
}
static DEVICE_ATTR_RO(queues);

/* A line a port that is not free: number and state. */
static ssize_t port_states_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char * const name[] = {
		[MEMBOX_PORT_FREE] = "free",
		[MEMBOX_PORT_LIVE] = "live",
		[MEMBOX_PORT_SUSPENDED] = "suspended",
		[MEMBOX_PORT_DEAD] = "dead",
	};
	const struct membox_dev *mdev = to_mdev(dev);
	u32 ports = min_t(u32, membox_reg32(mdev, MEMBOX_REG_PORTS), MEMBOX_MAX_PORTS);
	int n = 0;
	u32 i;

	for (i = 0; i < ports; i++) {
		u32 state = membox_reg32(mdev, MEMBOX_REG_PORT_STATE + i * 4);

		if (state != MEMBOX_PORT_FREE && state < ARRAY_SIZE(name))
			n += sysfs_emit_at(buf, n, "%u %s\n", i, name[state]);
	}
	return n;
}
static DEVICE_ATTR_RO(port_states);

static ssize_t link_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct pci_dev *pdev = to_mdev(dev)->pdev;
	u16 status;

	if (pcie_capability_read_word(pdev, PCI_EXP_LNKSTA, &status) || !status)
		return sysfs_emit(buf, "none\n");
	return sysfs_emit(buf, "gen%u x%u\n", status & PCI_EXP_LNKSTA_CLS,
			  (status & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT);
}
static DEVICE_ATTR_RO(link);

static struct attribute *identity_attrs[] = {
	&dev_attr_abi.attr,	    &dev_attr_version.attr, &dev_attr_port.attr,
	&dev_attr_ports.attr,	    &dev_attr_uuid.attr,    &dev_attr_caps.attr,
	&dev_attr_state.attr,	    &dev_attr_rdonly.attr,  &dev_attr_resets.attr,
	&dev_attr_contexts.attr,    &dev_attr_queues.attr,  &dev_attr_vectors.attr,
	&dev_attr_port_states.attr, &dev_attr_link.attr,    &dev_attr_errors.attr,
	&dev_attr_windows.attr,	    NULL,
};

static const struct attribute_group identity_group = {
	.attrs = identity_attrs,
};

#define COUNTER(name, number) \
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
{ \
	return sysfs_emit(buf, "%llu\n", \
			  membox_reg64(to_mdev(dev), MEMBOX_REG_COUNTERS + (number) * 8)); \
} \
static DEVICE_ATTR_RO(name)

COUNTER(bytes_to_device, MEMBOX_CTR_TO_DEVICE);
COUNTER(bytes_from_device, MEMBOX_CTR_FROM_DEVICE);
COUNTER(bytes_control, MEMBOX_CTR_CONTROL);
COUNTER(common_read, MEMBOX_CTR_COMMON_READ);
COUNTER(common_write, MEMBOX_CTR_COMMON_WRITE);
COUNTER(operations, MEMBOX_CTR_OPERATIONS);
COUNTER(refused, MEMBOX_CTR_ERRORS);
COUNTER(admin, MEMBOX_CTR_ADMIN);
COUNTER(interrupts, MEMBOX_CTR_INTERRUPTS);
COUNTER(doorbells, MEMBOX_CTR_DOORBELLS);
COUNTER(events, MEMBOX_CTR_EVENTS);

static struct attribute *counter_attrs[] = {
	&dev_attr_bytes_to_device.attr, &dev_attr_bytes_from_device.attr,
	&dev_attr_bytes_control.attr,	&dev_attr_common_read.attr,
	&dev_attr_common_write.attr,	&dev_attr_operations.attr,
	&dev_attr_refused.attr,		&dev_attr_admin.attr,
	&dev_attr_interrupts.attr,	&dev_attr_doorbells.attr,
	&dev_attr_events.attr,		NULL,
};

static const struct attribute_group counter_group = {
	.name = "counters",
	.attrs = counter_attrs,
};

const struct attribute_group *membox_groups[] = { &identity_group, &counter_group, NULL };

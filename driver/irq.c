// SPDX-License-Identifier: GPL-2.0-only
/*
 * irq.c - MSI-X vectors, and what is done where there are none.
 *
 * Vector 0 is the admin queue's and the events'; the I/O queues take turns on
 * the others, which are spread over the CPUs, and share vector 0 when it is the
 * only one. Any CPU may use any queue, so affinity is a hint and not managed: a
 * managed vector would be shut down with its CPU. Handlers are threads:
 * completing a request may sleep. Without a vector a work looks at everything
 * in short intervals.
 */
#include <linux/interrupt.h>
#include <linux/jiffies.h>

#include "membox_dev.h"
#include "regs.h"
#include "trace.h"

#define POLL_BUSY 1	    /* jiffies, while there are contexts */
#define POLL_IDLE (HZ / 4)

/* The vector of an I/O queue (from 1), the driver's or a process'. */
u16 membox_irq_vector(const struct membox_dev *mdev, u16 queue)
{
	if (!mdev->nvectors)
		return MEMBOX_NO_VECTOR;
	if (mdev->nvectors == 1)
		return 0;
	return 1 + (queue - 1) % (mdev->nvectors - 1);
}

static irqreturn_t vector_thread(int irq, void *arg)
{
	const struct membox_vector *vector = arg;
	struct membox_dev *mdev = vector->mdev;
	u32 i;

	trace_membox_irq(mdev->id, vector->number);
	if (!vector->number) {
		membox_admin_reap(mdev);
		membox_events_collect(mdev);
	}
	for (i = 0; i < mdev->nqueues; i++)
		if (mdev->queue[i].vector == vector->number)
			membox_queue_poll(&mdev->queue[i]);
	membox_uqueues_wake(mdev, vector->number);
	return IRQ_HANDLED;
}

static void poll_work(struct work_struct *work)
{
	struct membox_dev *mdev = container_of(to_delayed_work(work), struct membox_dev, poll_work);
	u32 i;

	membox_admin_reap(mdev);
	membox_events_collect(mdev);
	for (i = 0; i < mdev->nqueues; i++)
		membox_queue_poll(&mdev->queue[i]);
	membox_uqueues_poll(mdev);
	schedule_delayed_work(&mdev->poll_work,
			      READ_ONCE(mdev->ncontexts) ? POLL_BUSY : POLL_IDLE);
}

static void free_vectors(struct membox_dev *mdev, unsigned int n)
{
	while (n--) {
		irq_update_affinity_hint(mdev->vector[n].irq, NULL);
		free_irq(mdev->vector[n].irq, &mdev->vector[n]);
	}
}

static int request_vectors(struct membox_dev *mdev, unsigned int n)
{
	int node = dev_to_node(&mdev->pdev->dev);
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		struct membox_vector *vector = &mdev->vector[i];

		vector->mdev = mdev;
		vector->number = i;
		vector->irq = pci_irq_vector(mdev->pdev, i);
		snprintf(vector->name, sizeof(vector->name), "membox%d-%u", mdev->id, i);
		ret = request_threaded_irq(vector->irq, NULL, vector_thread, IRQF_ONESHOT,
					   vector->name, vector);
		if (ret)
			goto free;
		irq_set_affinity_and_hint(vector->irq, cpumask_of(cpumask_local_spread(i, node)));
	}
	return 0;

free:
	free_vectors(mdev, i);
	return ret;
}

/* Takes the vectors there are and gives each queue its own or a shared one. */
int membox_irq_init(struct membox_dev *mdev)
{
	int n, ret = 0;
	u32 i;

	INIT_DELAYED_WORK(&mdev->poll_work, poll_work);
	n = pci_alloc_irq_vectors(mdev->pdev, 1, 1 + mdev->nqueues + mdev->nuqueues,
				  PCI_IRQ_MSIX);
	if (n > 0) {
		mdev->vector = kcalloc(n, sizeof(*mdev->vector), GFP_KERNEL);
		ret = mdev->vector ? request_vectors(mdev, n) : -ENOMEM;
		if (ret) {
			kfree(mdev->vector);
			pci_free_irq_vectors(mdev->pdev);
			return ret;
		}
		mdev->nvectors = n;
	}
	for (i = 0; i < mdev->nqueues; i++)
		mdev->queue[i].vector = membox_irq_vector(mdev, i + 1);
	if (!mdev->nvectors) {
		dev_info(&mdev->pdev->dev, "no interrupt vectors: polling\n");
		schedule_delayed_work(&mdev->poll_work, POLL_IDLE);
	}
	return 0;
}

void membox_irq_exit(struct membox_dev *mdev)
{
	cancel_delayed_work_sync(&mdev->poll_work);
	if (!mdev->nvectors)
		return;
	free_vectors(mdev, mdev->nvectors);
	pci_free_irq_vectors(mdev->pdev);
	kfree(mdev->vector);
	mdev->nvectors = 0;
}

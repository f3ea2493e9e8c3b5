// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - the module: parameters, class, PCI driver. membox_dev.h draws the
 * objects and the order of the locks.
 */
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "membox_dev.h"
#include "regs.h"

#define MAX_DEVICES 64

unsigned int membox_max_outstanding = 4096;
module_param_named(max_outstanding, membox_max_outstanding, uint, 0644);
MODULE_PARM_DESC(max_outstanding, "packets of a context that are in flight or not yet read");

unsigned int membox_max_pinned_mb = 512;
module_param_named(max_pinned_mb, membox_max_pinned_mb, uint, 0644);
MODULE_PARM_DESC(max_pinned_mb, "MiB of user memory that a context's packets in flight pin");

unsigned int membox_admin_timeout_ms = 10000;
module_param_named(admin_timeout_ms, membox_admin_timeout_ms, uint, 0644);
MODULE_PARM_DESC(admin_timeout_ms, "milliseconds for an administration command before a reset");

static dev_t first_node;
static DEFINE_IDA(ids);

static char *membox_devnode(membox_devnode_arg *dev, umode_t *mode)
{
	if (mode)
		*mode = 0660;
	return NULL;
}

static struct class membox_class = {
	.name = "membox",
	.devnode = membox_devnode,
	.dev_groups = membox_groups,
};

static void membox_dev_release(struct device *dev)
{
	struct membox_dev *mdev = container_of(dev, struct membox_dev, dev);
	u32 i;

	for (i = 0; i < mdev->nqueues && mdev->queue; i++)
		membox_queue_free_tables(&mdev->queue[i]);
	kfree(mdev->queue);
	percpu_ref_exit(&mdev->mappings);
	membox_regions_exit(mdev);
	xa_destroy(&mdev->uqueues);
	xa_destroy(&mdev->contexts);
	pci_dev_put(mdev->pdev);
	ida_free(&ids, mdev->id);
	kfree(mdev);
}

static void mappings_gone(struct percpu_ref *ref)
{
	complete(&container_of(ref, struct membox_dev, mappings)->unmapped);
}

/* The structure, with everything that does not touch the hardware. */
static struct membox_dev *new_dev(struct pci_dev *pdev)
{
	struct membox_dev *mdev = kzalloc(sizeof(*mdev), GFP_KERNEL);

	if (!mdev)
		return ERR_PTR(-ENOMEM);
	mdev->id = ida_alloc_max(&ids, MAX_DEVICES - 1, GFP_KERNEL);
	if (mdev->id < 0)
		goto free;
	if (percpu_ref_init(&mdev->mappings, mappings_gone,
			    PERCPU_REF_INIT_DEAD | PERCPU_REF_ALLOW_REINIT, GFP_KERNEL))
		goto free_id;
	if (membox_regions_init(mdev))
		goto free_ref;
	xa_init_flags(&mdev->uqueues, XA_FLAGS_ALLOC1);
	mdev->pdev = pci_dev_get(pdev);
	mutex_init(&mdev->state_lock);
	spin_lock_init(&mdev->reset_lock);
	init_waitqueue_head(&mdev->state_wait);
	init_completion(&mdev->unmapped);
	INIT_WORK(&mdev->reset_work, membox_reset_work);
	mutex_init(&mdev->ctx_lock);
	INIT_LIST_HEAD(&mdev->ctx_list);
	xa_init_flags(&mdev->contexts, XA_FLAGS_ALLOC1);
	device_initialize(&mdev->dev);
	mdev->dev.class = &membox_class;
	mdev->dev.parent = &pdev->dev;
	mdev->dev.devt = MKDEV(MAJOR(first_node), mdev->id);
	mdev->dev.release = membox_dev_release;
	cdev_init(&mdev->cdev, &membox_fops);
	mdev->cdev.owner = THIS_MODULE;
	return mdev;

free_ref:
	percpu_ref_exit(&mdev->mappings);
free_id:
	ida_free(&ids, mdev->id);
free:
	kfree(mdev);
	return ERR_PTR(-ENOMEM);
}

static int map_bars(struct membox_dev *mdev)
{
	struct pci_dev *pdev = mdev->pdev;
	int ret;

	ret = pci_request_regions(pdev, "membox");
	if (ret)
		return ret;
	ret = -ENODEV;
	if (pci_resource_len(pdev, MEMBOX_BAR_REGS) < MEMBOX_REGS_SIZE)
		goto release;
	mdev->regs = pci_iomap(pdev, MEMBOX_BAR_REGS, 0);
	mdev->doorbells = pci_iomap(pdev, MEMBOX_BAR_DOORBELL, 0);
	if (!mdev->regs || !mdev->doorbells)
		goto unmap;
	mdev->aperture = pci_resource_start(pdev, MEMBOX_BAR_APERTURE);
	if (!pci_resource_len(pdev, MEMBOX_BAR_APERTURE))
		return 0;
	/* without the reservation user mappings would silently be uncached */
	ret = arch_io_reserve_memtype_wc(mdev->aperture,
					 pci_resource_len(pdev, MEMBOX_BAR_APERTURE));
	if (!ret)
		return 0;
unmap:
	if (mdev->doorbells)
		pci_iounmap(pdev, mdev->doorbells);
	if (mdev->regs)
		pci_iounmap(pdev, mdev->regs);
release:
	pci_release_regions(pdev);
	return ret;
}

static void unmap_bars(struct membox_dev *mdev)
{
	struct pci_dev *pdev = mdev->pdev;

	if (pci_resource_len(pdev, MEMBOX_BAR_APERTURE))
		arch_io_free_memtype_wc(mdev->aperture,
					pci_resource_len(pdev, MEMBOX_BAR_APERTURE));
	pci_iounmap(pdev, mdev->doorbells);
	pci_iounmap(pdev, mdev->regs);
	pci_release_regions(pdev);
}

static void free_queues(struct membox_dev *mdev)
{
	u32 i;

	for (i = 0; i < mdev->nqueues; i++)
		membox_queue_free_ring(&mdev->queue[i]);
	membox_admin_free(mdev);
	dma_pool_destroy(mdev->sgl_pool);
}

static int alloc_queues(struct membox_dev *mdev)
{
	int ret = -ENOMEM;
	u32 i;

	mdev->queue = kcalloc(mdev->nqueues, sizeof(*mdev->queue), GFP_KERNEL);
	if (!mdev->queue)
		return ret;
	mdev->sgl_pool = dma_pool_create("membox sgl", &mdev->pdev->dev, MEMBOX_SGL_BYTES,
					 MEMBOX_SGL_BYTES, 0);
	if (!mdev->sgl_pool)
		return ret;
	ret = membox_admin_alloc(mdev);
	for (i = 0; i < mdev->nqueues && !ret; i++)
		ret = membox_queue_alloc(mdev, &mdev->queue[i], i + 1);
	if (ret)
		free_queues(mdev);
	return ret;
}

static int set_dma_limits(struct device *dev)
{
	int ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));

	if (ret)
		return ret;
	/* a segment may be as long as a transfer, wherever it lies */
	dma_set_max_seg_size(dev, UINT_MAX);
	dma_set_seg_boundary(dev, ULONG_MAX);
	return 0;
}

static int start(struct membox_dev *mdev)
{
	int ret;

	mutex_lock(&mdev->state_lock);
	ret = membox_device_start(mdev);
	mutex_unlock(&mdev->state_lock);
	return ret;
}

static void stop(struct membox_dev *mdev, enum membox_state state, u16 status)
{
	mutex_lock(&mdev->state_lock);
	membox_device_stop(mdev, state, status);
	mutex_unlock(&mdev->state_lock);
}

static int membox_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct membox_dev *mdev = new_dev(pdev);
	int ret;

	if (IS_ERR(mdev))
		return PTR_ERR(mdev);
	ret = dev_set_name(&mdev->dev, "membox%d", mdev->id);
	if (ret)
		goto put;
	ret = pci_enable_device_mem(pdev);
	if (ret)
		goto put;
	ret = set_dma_limits(&pdev->dev);
	if (ret)
		goto disable;
	ret = map_bars(mdev);
	if (ret)
		goto disable;
	ret = membox_device_probe(mdev);
	if (ret)
		goto unmap;
	ret = alloc_queues(mdev);
	if (ret)
		goto unmap;
	ret = membox_irq_init(mdev);
	if (ret)
		goto free;
	ret = start(mdev);
	if (ret)
		goto irq;
	pci_save_state(pdev);
	pci_set_drvdata(pdev, mdev);
	ret = cdev_device_add(&mdev->cdev, &mdev->dev);
	if (ret)
		goto stop;
	dev_info(&pdev->dev, "%s: port %u of %u, %u queues, %u vectors\n", dev_name(&mdev->dev),
		 membox_reg32(mdev, MEMBOX_REG_PORT), membox_reg32(mdev, MEMBOX_REG_PORTS),
		 mdev->nqueues, mdev->nvectors);
	return 0;

stop:
	stop(mdev, MEMBOX_STATE_GONE, MEMBOX_ST_GONE);
	cancel_work_sync(&mdev->reset_work);
irq:
	membox_irq_exit(mdev);
free:
	free_queues(mdev);
unmap:
	unmap_bars(mdev);
disable:
	pci_disable_device(pdev);
put:
	put_device(&mdev->dev);
	return ret;
}

/*
 * Files may be open, and stay so: their calls end with -ENODEV, their mappings
 * with SIGBUS, and the structure goes with the last of them. The hardware is
 * left behind without DMA, interrupts or mappings when this returns.
 */
static void membox_remove(struct pci_dev *pdev)
{
	struct membox_dev *mdev = pci_get_drvdata(pdev);

	cdev_device_del(&mdev->cdev, &mdev->dev);
	stop(mdev, MEMBOX_STATE_GONE, MEMBOX_ST_GONE);
	cancel_work_sync(&mdev->reset_work);
	membox_irq_exit(mdev);
	free_queues(mdev);
	unmap_bars(mdev);
	pci_disable_device(pdev);
	put_device(&mdev->dev);
}

static void membox_shutdown(struct pci_dev *pdev)
{
	stop(pci_get_drvdata(pdev), MEMBOX_STATE_GONE, MEMBOX_ST_GONE);
}

/* PCI errors and resets that others ask for: stop before, start after. */

static pci_ers_result_t membox_error_detected(struct pci_dev *pdev, pci_channel_state_t error)
{
	struct membox_dev *mdev = pci_get_drvdata(pdev);
	bool is_lost = error == pci_channel_io_perm_failure;

	stop(mdev, is_lost ? MEMBOX_STATE_FAILED : MEMBOX_STATE_DOWN, MEMBOX_ST_RESET);
	return is_lost ? PCI_ERS_RESULT_DISCONNECT : PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t membox_slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	pci_save_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static void membox_error_resume(struct pci_dev *pdev)
{
	start(pci_get_drvdata(pdev));
}

static void membox_reset_prepare(struct pci_dev *pdev)
{
	stop(pci_get_drvdata(pdev), MEMBOX_STATE_DOWN, MEMBOX_ST_RESET);
}

static void membox_reset_done(struct pci_dev *pdev)
{
	start(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers membox_error_handlers = {
	.error_detected = membox_error_detected,
	.slot_reset = membox_slot_reset,
	.resume = membox_error_resume,
	.reset_prepare = membox_reset_prepare,
	.reset_done = membox_reset_done,
};

static int membox_suspend(struct device *dev)
{
	stop(dev_get_drvdata(dev), MEMBOX_STATE_DOWN, MEMBOX_ST_RESET);
	return 0;
}

static int membox_resume(struct device *dev)
{
	return start(dev_get_drvdata(dev));
}

static DEFINE_SIMPLE_DEV_PM_OPS(membox_pm, membox_suspend, membox_resume);

static const struct pci_device_id membox_ids[] = {
	{ PCI_DEVICE(MEMBOX_PCI_VENDOR, MEMBOX_PCI_DEVICE) },
	{}
};
MODULE_DEVICE_TABLE(pci, membox_ids);

static struct pci_driver membox_driver = {
	.name = "membox",
	.id_table = membox_ids,
	.probe = membox_probe,
	.remove = membox_remove,
	.shutdown = membox_shutdown,
	.err_handler = &membox_error_handlers,
	.driver.pm = pm_sleep_ptr(&membox_pm),
};

static int __init membox_init(void)
{
	int ret;

	ret = membox_request_init();
	if (ret)
		return ret;
	ret = class_register(&membox_class);
	if (ret)
		goto requests;
	ret = alloc_chrdev_region(&first_node, 0, MAX_DEVICES, "membox");
	if (ret)
		goto class;
	ret = pci_register_driver(&membox_driver);
	if (ret)
		goto nodes;
	return 0;

nodes:
	unregister_chrdev_region(first_node, MAX_DEVICES);
class:
	class_unregister(&membox_class);
requests:
	membox_request_exit();
	return ret;
}
module_init(membox_init);

static void __exit membox_exit(void)
{
	pci_unregister_driver(&membox_driver);
	unregister_chrdev_region(first_node, MAX_DEVICES);
	class_unregister(&membox_class);
	membox_request_exit();
}
module_exit(membox_exit);

MODULE_DESCRIPTION("membox: common memory shared by several computers");
MODULE_LICENSE("GPL");

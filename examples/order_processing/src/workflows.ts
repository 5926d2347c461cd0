// SPDX-License-Identifier: GPL-3.0-or-later
// Deterministic: runs in Temporal's sandbox, is replayed from history, and reaches the world by activities only.

import {
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  isCancellation,
  proxyActivities,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { Activities } from './activities';
import type { Decision, Order, OrderStatus, Stage } from './order';

export const approve = defineSignal<[Decision]>('approve');
export const cancel = defineSignal<[Decision]>('cancel');
export const status = defineQuery<OrderStatus>('status');

const usual = {
  startToCloseTimeout: '3 minutes',
  // A worker that dies is noticed by its missing heartbeat, long before the activity's own limit.
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds' },
} as const;

/** A step towards the goal gives up after a while, and what was done before is undone. */
const forward = proxyActivities<Activities>({ ...usual, retry: { ...usual.retry, maximumAttempts: 10 } });
/** Undoing and remembering must happen: they are tried until they do. */
const certain = proxyActivities<Activities>(usual);

export async function orderProcessing(input: Order): Promise<OrderStatus> {
  const now: OrderStatus = { caseId: input.caseId, stage: 'received' };
  const undo: (() => Promise<void>)[] = [];

  setHandler(status, () => now);
  setHandler(approve, (decision) => {
    if (!now.approvedBy && !now.cancelledBy) now.approvedBy = decision;
  });
  setHandler(cancel, (decision) => {
    if (!now.approvedBy && !now.cancelledBy) now.cancelledBy = decision;
  });

  // An order that is not valid ends here: there is nothing to undo, and no case to remember.
  const order = await forward.validateOrder(input);
  now.stage = 'validated';

  // The end of an order is not cancellable: it is undone, told and remembered in full.
  const finish = (stage: Stage): Promise<OrderStatus> =>
    CancellationScope.nonCancellable(async () => {
      for (const step of undo.splice(0).reverse()) await step();
      now.stage = stage;
      await certain.notifyUser(order, stage);
      await certain.saveCase(order, now);
      return now;
    });

  try {
    await certain.saveCase(order, now);

    // What undoes a step is noted before it: a step that seems to fail may have done its work.
    undo.push(() => certain.releaseStock(order));
    const reservationId = await forward.reserveStock(order);
    Object.assign(now, { stage: 'reserved', reservationId });

    if (order.waitForSignal) {
      now.stage = 'waiting_for_approval';
      await certain.saveCase(order, now);
      const decided = await condition(() => Boolean(now.approvedBy ?? now.cancelledBy), order.approvalTimeoutSeconds * 1000);
      if (!decided) {
        now.reason = `nobody decided within ${order.approvalTimeoutSeconds} seconds`;
        return await finish('expired');
      }
    }
    if (now.cancelledBy) {
      now.reason = `cancelled by ${now.cancelledBy.by}`;
      return await finish('rejected');
    }

    undo.push(() => certain.refundPayment(order));
    const paymentId = await forward.chargePayment(order);
    Object.assign(now, { stage: 'paid', paymentId });

    if (order.holdSeconds > 0) await sleep(order.holdSeconds * 1000);

    now.trackingId = await forward.shipOrder(order, reservationId);
    now.stage = 'shipped';
    // The parcel is on its way: from here nothing is undone.
    undo.length = 0;
    return await finish('completed');
  } catch (error) {
    const cancelled = isCancellation(error);
    now.reason = cancelled ? 'the workflow was cancelled' : rootMessage(error);
    await finish(cancelled ? 'cancelled' : 'failed');
    throw error;
  }
}

function rootMessage(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return root instanceof Error ? root.message : String(root);
}

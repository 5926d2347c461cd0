// SPDX-License-Identifier: GPL-3.0-or-later
// The steps that touch the world. Each may run more than once for one order, so each is idempotent:
// the ids that it hands out follow from the case, and a repeated call finds what the first one did.

import { ApplicationFailure } from '@temporalio/common';
import type { CaseStore } from './case-store';
import { parseOrder, type Order, type OrderStatus } from './order';

export type Activities = ReturnType<typeof createActivities>;

export function createActivities(store: CaseStore) {
  return {
    /** The order with its defaults filled in. One that is not valid never will be, so it is not tried again. */
    async validateOrder(input: unknown): Promise<Order> {
      const { value: order, problems } = parseOrder(input);
      if (order) return order;
      const text = problems.map(({ field, expected }) => `${field}: expected ${expected}`).join('; ');
      throw ApplicationFailure.nonRetryable(`The order is not valid: ${text}`, 'InvalidOrder');
    },

    async reserveStock(order: Order): Promise<string> {
      return `reservation-${order.caseId}`;
    },

    async releaseStock(_order: Order): Promise<void> {},

    async chargePayment(order: Order): Promise<string> {
      return `payment-${order.caseId}`;
    },

    async refundPayment(_order: Order): Promise<void> {},

    async shipOrder(order: Order, _reservationId: string): Promise<string> {
      return `parcel-${order.caseId}`;
    },

    async notifyUser(_order: Order, _stage: OrderStatus['stage']): Promise<void> {},

    async saveCase(_order: Order, status: OrderStatus): Promise<void> {
      await store.save(status);
    },
  };
}

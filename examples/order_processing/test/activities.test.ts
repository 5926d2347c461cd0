// SPDX-License-Identifier: GPL-3.0-or-later

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { createActivities } from '../src/activities';
import { AuditedActivity } from '../src/audit';
import type { AuditEvent, CaseStore } from '../src/case-store';
import { parseOrder, type Order, type OrderStatus } from '../src/order';

class MemoryStore {
  readonly saved: OrderStatus[] = [];
  readonly events: AuditEvent[] = [];
  async save(status: OrderStatus): Promise<void> {
    this.saved.push(status);
  }
  async audit(event: AuditEvent): Promise<void> {
    this.events.push(event);
  }
  asStore(): CaseStore {
    return this as unknown as CaseStore;
  }
}

function order(more: Partial<Order> = {}): Order {
  const { value } = parseOrder({ caseId: 'a', blobUrl: 'https://b.example', tenantId: 't', userId: 'u', ...more });
  assert.ok(value);
  return value;
}

describe('the activities', () => {
  const store = new MemoryStore();
  const activities = createActivities(store.asStore());

  it('fill in what an order leaves out', async () => {
    const bare = { caseId: 'a', blobUrl: 'https://b.example', tenantId: 't', userId: 'u' };
    assert.deepEqual(await activities.validateOrder(bare), order());
  });

  it('do not try an invalid order again', async () => {
    await assert.rejects(
      activities.validateOrder({ caseId: '?' }),
      (error) => error instanceof ApplicationFailure && error.nonRetryable === true && /caseId/.test(error.message),
    );
  });

  it('hand out the same ids when they run again', async () => {
    assert.equal(await activities.reserveStock(order()), await activities.reserveStock(order()));
    assert.equal(await activities.chargePayment(order()), await activities.chargePayment(order()));
  });

  it('save the state of the case', async () => {
    await activities.saveCase(order(), { caseId: 'a', stage: 'paid' });
    assert.deepEqual(store.saved, [{ caseId: 'a', stage: 'paid' }]);
  });
});

describe('around every activity', () => {
  const attempt = async (
    store: MemoryStore,
    input: unknown,
    number: number,
    step: () => Promise<unknown> = async () => 'done',
  ): Promise<unknown> => {
    const slept: string[] = [];
    const context = {
      info: { attempt: number, activityType: 'shipOrder', workflowExecution: { workflowId: 'order-a', runId: 'r' } },
      heartbeat: () => undefined,
      sleep: async (duration: string) => void slept.push(duration),
    } as unknown as Context;
    const around = new AuditedActivity(context, store.asStore(), 'release-1');
    return { result: await around.execute({ args: [input], headers: {} }, step), slept };
  };

  it('an audit line tells who, what, which attempt and which release', async () => {
    const store = new MemoryStore();
    await attempt(store, order(), 1);
    const [{ time, ...event }] = store.events as [AuditEvent];
    assert.match(time, /^\d{4}-\d\d-\d\dT/);
    assert.deepEqual(event, {
      caseId: 'a',
      tenantId: 't',
      userId: 'u',
      event: 'shipOrder',
      attempt: 1,
      outcome: 'succeeded',
      workflowId: 'order-a',
      runId: 'r',
      release: 'release-1',
    });
  });

  it('a failure is recorded and passed on', async () => {
    const store = new MemoryStore();
    const fails = async (): Promise<never> => Promise.reject(new Error('no van'));
    await assert.rejects(attempt(store, order(), 1, fails), /no van/);
    assert.equal(store.events[0]?.outcome, 'failed');
    assert.equal(store.events[0]?.error, 'no van');
  });

  it('the first attempts fail when the order asks for it', async () => {
    const store = new MemoryStore();
    const twice = order({ failActivityTimes: { shipOrder: 2 } });
    await assert.rejects(attempt(store, twice, 1));
    await assert.rejects(attempt(store, twice, 2));
    await attempt(store, twice, 3);
    assert.deepEqual(
      store.events.map(({ attempt: number, outcome }) => [number, outcome]),
      [[1, 'failed'], [2, 'failed'], [3, 'succeeded']],
    );
  });

  it('a slow activity takes its time', async () => {
    const slow = order({ slowActivitySeconds: { shipOrder: 3 } });
    assert.deepEqual(await attempt(new MemoryStore(), slow, 1), {
      result: 'done',
      slept: ['1 second', '1 second', '1 second'],
    });
  });

  it('an input that is no order does no harm', async () => {
    const store = new MemoryStore();
    await attempt(store, undefined, 1);
    assert.equal(store.events[0]?.caseId, '');
  });
});

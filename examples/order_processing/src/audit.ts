// SPDX-License-Identifier: GPL-3.0-or-later

import type { Context } from '@temporalio/activity';
import type { ActivityExecuteInput, ActivityInboundCallsInterceptor, Next } from '@temporalio/worker';
import type { CaseStore } from './case-store';
import { messageOf } from './log';
import type { ActivityName, Order } from './order';

/** Surrounds every activity: one audit line per attempt, and the bad days that an order asks for. */
export class AuditedActivity implements ActivityInboundCallsInterceptor {
  constructor(
    private readonly context: Context,
    private readonly store: CaseStore,
    private readonly release: string,
  ) {}

  async execute(
    input: ActivityExecuteInput,
    next: Next<ActivityInboundCallsInterceptor, 'execute'>,
  ): Promise<unknown> {
    // What starts a workflow is not always the API, so an order may still be anything here.
    const order = (input.args[0] ?? {}) as Partial<Order>;
    try {
      await this.rehearse(order);
      const result = await next(input);
      await this.record(order, { outcome: 'succeeded' });
      return result;
    } catch (error) {
      await this.record(order, { outcome: 'failed', error: messageOf(error) });
      throw error;
    }
  }

  private async rehearse({ slowActivitySeconds, failActivityTimes }: Partial<Order>): Promise<void> {
    const { attempt, activityType } = this.context.info;
    const name = activityType as ActivityName;
    for (let second = 0; second < (slowActivitySeconds?.[name] ?? 0); second++) {
      this.context.heartbeat(second);
      await this.context.sleep('1 second');
    }
    const failures = failActivityTimes?.[name] ?? 0;
    if (attempt <= failures) throw new Error(`${name} fails as the order asks: attempt ${attempt} of ${failures}`);
  }

  private async record(
    { caseId = '', tenantId, userId }: Partial<Order>,
    result: { outcome: 'succeeded' | 'failed'; error?: string },
  ): Promise<void> {
    const { activityType: event, attempt, workflowExecution } = this.context.info;
    const { workflowId, runId } = workflowExecution ?? {};
    const time = new Date().toISOString();
    const { release } = this;
    await this.store.audit({ time, caseId, tenantId, userId, event, attempt, ...result, workflowId, runId, release });
  }
}

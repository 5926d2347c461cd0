// SPDX-License-Identifier: GPL-3.0-or-later

import {
  Client,
  Connection,
  isGrpcServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { Config } from '../config';
import { connectionOptions } from '../connection';
import type { Decision, Order, OrderStatus } from '../order';
import { approve, cancel, orderProcessing, status } from '../workflows';

const SIGNALS = { approve, cancel };
export type SignalName = keyof typeof SIGNALS;
export const SIGNAL_NAMES = Object.keys(SIGNALS) as SignalName[];

export interface Started {
  workflowId: string;
  runId: string;
}

export interface Case extends Started {
  caseId: string;
  /** Temporal's word in lower case: running, completed, failed, canceled, terminated, timed_out. */
  status: string;
  startedAt: string;
  closedAt: string | null;
  /** Null while no worker answers. */
  stage: OrderStatus['stage'] | null;
  order: OrderStatus | null;
}

export class UnknownCaseError extends Error {}
export class ClosedCaseError extends Error {}
export class TemporalUnavailableError extends Error {}

/** What the HTTP handlers need from Temporal. */
export interface Orders {
  check(): Promise<void>;
  start(order: Order): Promise<Started>;
  describe(caseId: string): Promise<Case>;
  signal(caseId: string, name: SignalName, decision: Decision): Promise<void>;
}

const HEALTH_MS = 2000;
const QUERY_MS = 3000;
const CALL_MS = 10_000;

const GRPC_DEADLINE_EXCEEDED = 4;
const GRPC_UNAVAILABLE = 14;

export class TemporalOrders implements Orders {
  private readonly connection: Connection;
  private readonly client: Client;
  private readonly address: string;
  private readonly taskQueue: string;

  constructor({ temporal }: Config) {
    this.address = temporal.address;
    // Lazy: the API starts, and says what is wrong, also while Temporal is away. And it is back soon after Temporal
    // is: without this limit the pauses between attempts grow to two minutes.
    this.connection = Connection.lazy({
      ...connectionOptions(temporal),
      channelArgs: { 'grpc.max_reconnect_backoff_ms': 3000 },
    });
    this.client = new Client({ connection: this.connection, namespace: temporal.namespace });
    this.taskQueue = temporal.taskQueue;
  }

  async check(): Promise<void> {
    await this.within(HEALTH_MS, () => this.connection.healthService.check({}));
  }

  /** Starting the same case again while it runs finds the running workflow. */
  async start(order: Order): Promise<Started> {
    const workflowId = workflowIdOf(order.caseId);
    try {
      const handle = await this.within(CALL_MS, () =>
        this.client.workflow.start(orderProcessing, {
          workflowId,
          taskQueue: this.taskQueue,
          args: [order],
          memo: { tenantId: order.tenantId, userId: order.userId },
          workflowIdConflictPolicy: 'USE_EXISTING',
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
        }),
      );
      return { workflowId, runId: handle.firstExecutionRunId };
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) {
        throw new ClosedCaseError(`The case ${order.caseId} has been processed already`);
      }
      throw error;
    }
  }

  async describe(caseId: string): Promise<Case> {
    const handle = this.client.workflow.getHandle<typeof orderProcessing>(workflowIdOf(caseId));
    const execution = await this.ofCase(caseId, () => handle.describe());
    // A result needs no worker; a query does, and the case is worth showing without it.
    const order =
      execution.status.name === 'COMPLETED'
        ? await this.within(CALL_MS, () => handle.result())
        : await this.within(QUERY_MS, () => handle.query(status)).catch(() => null);
    return {
      caseId,
      workflowId: execution.workflowId,
      runId: execution.runId,
      status: execution.status.name.toLowerCase(),
      startedAt: execution.startTime.toISOString(),
      closedAt: execution.closeTime?.toISOString() ?? null,
      stage: order?.stage ?? null,
      order,
    };
  }

  async signal(caseId: string, name: SignalName, decision: Decision): Promise<void> {
    const handle = this.client.workflow.getHandle(workflowIdOf(caseId));
    try {
      await this.ofCase(caseId, () => handle.signal(SIGNALS[name], decision));
    } catch (error) {
      if (!(error instanceof UnknownCaseError)) throw error;
      // Temporal answers alike for a workflow that never was and one that is closed.
      const { status: state } = await this.ofCase(caseId, () => handle.describe());
      throw new ClosedCaseError(`The case ${caseId} is ${state.name.toLowerCase()} and takes no signal`);
    }
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  private async ofCase<T>(caseId: string, call: () => Promise<T>): Promise<T> {
    try {
      return await this.within(CALL_MS, call);
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) throw new UnknownCaseError(`There is no case ${caseId}`);
      throw error;
    }
  }

  private async within<T>(milliseconds: number, call: () => Promise<T>): Promise<T> {
    try {
      return await this.connection.withDeadline(Date.now() + milliseconds, call);
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      if (isGrpcServiceError(cause) && cause.code === GRPC_DEADLINE_EXCEEDED) {
        throw new TemporalUnavailableError(`Temporal at ${this.address} did not answer within ${milliseconds} ms`);
      }
      if (isGrpcServiceError(cause) && cause.code === GRPC_UNAVAILABLE) {
        throw new TemporalUnavailableError(`Temporal at ${this.address} cannot be reached: ${cause.details}`);
      }
      throw error;
    }
  }
}

function workflowIdOf(caseId: string): string {
  return `order-${caseId}`;
}

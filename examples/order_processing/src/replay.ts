// SPDX-License-Identifier: GPL-3.0-or-later
// `node dist/replay.js`: would this release understand what runs and ran lately? Replays open and recent closed
// histories of its workflow types on its task queue, REPLAY_LIMIT of each. The last line is JSON.
// Exit status: 0 all understood, 3 not all, 1 it could not be found out.

import { join } from 'node:path';
import { Client, type WorkflowExecutionInfo } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker, type ReplayHistoriesIterable } from '@temporalio/worker';
import { readConfig } from './config';
import { connectionOptions } from './connection';
import { messageOf } from './log';
import { orderProcessing } from './workflows';

const TYPES = [orderProcessing.name];
const RUNNING = "ExecutionStatus = 'Running'";

interface Failure {
  workflow_type: string;
  workflow_id: string;
  run_id: string;
  error: string;
}

interface Verdict {
  replayed: number;
  failed: Failure[];
  error?: string;
}

async function replay(): Promise<Verdict> {
  const { temporal } = readConfig();
  const limit = readLimit();
  const connection = await NativeConnection.connect(connectionOptions(temporal));
  try {
    const client = new Client({ connection, namespace: temporal.namespace });
    const list = async (query: string): Promise<WorkflowExecutionInfo[]> => {
      const found: WorkflowExecutionInfo[] = [];
      for await (const execution of client.workflow.list({ query: `TaskQueue = '${temporal.taskQueue}' AND ${query}`, pageSize: limit })) {
        if (found.push(execution) === limit) break;
      }
      return found;
    };

    // What is open and unknown to this release would never move again.
    const unknown = await list([RUNNING, ...TYPES.map((type) => `WorkflowType != '${type}'`)].join(' AND '));
    const failed = unknown.map((execution) =>
      failure(execution, `it is open and this release has no such workflow type; it has ${TYPES.join(', ')}`),
    );
    const known = new Map<string, WorkflowExecutionInfo>();
    for (const type of TYPES) {
      for (const state of [RUNNING, "ExecutionStatus != 'Running'"]) {
        for (const execution of await list(`WorkflowType = '${type}' AND ${state}`)) known.set(execution.runId, execution);
      }
    }

    async function* histories(): ReplayHistoriesIterable {
      for (const { workflowId, runId } of known.values()) {
        yield { workflowId, history: await client.workflow.getHandle(workflowId, runId).fetchHistory() };
      }
    }
    let replayed = 0;
    const bundle = { workflowBundle: { codePath: join(__dirname, 'workflow-bundle.js') } };
    for await (const { workflowId, runId, error } of Worker.runReplayHistories(bundle, histories())) {
      replayed += 1;
      if (error) failed.push(failure(known.get(runId) ?? { type: TYPES.join(), workflowId, runId }, essence(error)));
    }
    return { replayed, failed };
  } finally {
    await connection.close();
  }
}

function failure({ type, workflowId, runId }: Pick<WorkflowExecutionInfo, 'type' | 'workflowId' | 'runId'>, error: string): Failure {
  return { workflow_type: type, workflow_id: workflowId, run_id: runId, error };
}

/** What differs, without the SDK's wrapping: which event, and what this release does instead. */
function essence(error: unknown): string {
  const message = messageOf(error);
  return /\[TMPRL\d+\] [^"\\]*/.exec(message)?.[0] ?? message;
}

function readLimit(): number {
  const value = process.env.REPLAY_LIMIT?.trim() || '50';
  if (/^[1-9]\d{0,3}$/.test(value)) return Number(value);
  throw new Error(`REPLAY_LIMIT is '${value}'; expected a whole number from 1 to 9999`);
}

Runtime.install({ logger: new DefaultLogger('ERROR') });
replay()
  .catch((error: unknown): Verdict => ({ replayed: 0, failed: [], error: messageOf(error) }))
  .then((verdict) => {
    // Written at once: the exit would cut off what is still on its way.
    process.stdout.write(`${JSON.stringify(verdict)}\n`, () => {
      process.exit(verdict.error !== undefined ? 1 : verdict.failed.length > 0 ? 3 : 0);
    });
  });

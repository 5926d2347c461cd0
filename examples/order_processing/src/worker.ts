// SPDX-License-Identifier: GPL-3.0-or-later

import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActivities } from './activities';
import { AuditedActivity } from './audit';
import { CaseStore } from './case-store';
import { readConfig, type Config } from './config';
import { connectionOptions } from './connection';
import { Log, messageOf, type Level } from './log';

const TASK_QUEUE_TYPES = [1, 2] as const; // workflow, activity

async function main(): Promise<void> {
  const config = readConfig();
  const identity = `${process.pid}@${hostname()}#${config.release}`;
  const log = new Log(config.logLevel, { identity });
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
  Runtime.install({
    logger: new DefaultLogger(config.logLevel === 'trace' ? 'TRACE' : 'DEBUG', ({ level, message, meta }) => {
      log.at(level.toLowerCase() as Level, message, meta);
    }),
  });

  if (config.absent.length > 0) log.warn('the environment lacks services or stores that orders need', { variables: config.absent });

  const store = new CaseStore(config.caseStoreDirectory);
  await store.open();
  const started = await patiently(stopping.signal, log, () => startWorker(config, identity, store));
  if (!started) return;
  const { connection, worker } = started;

  // The runtime reacts to the signals too: it stops polling and lets running activities finish.
  const running = worker.run();
  void announce(connection, config, identity, stopping.signal, log);
  await running;
  await connection.close();
  log.info('stopped');
}

async function startWorker(
  config: Config,
  identity: string,
  store: CaseStore,
): Promise<{ connection: NativeConnection; worker: Worker }> {
  const connection = await NativeConnection.connect(connectionOptions(config.temporal));
  try {
    const worker = await Worker.create({
      connection,
      identity,
      namespace: config.temporal.namespace,
      taskQueue: config.temporal.taskQueue,
      workflowBundle: { codePath: join(__dirname, 'workflow-bundle.js') },
      activities: createActivities(store),
      interceptors: {
        activity: [(context) => ({ inbound: new AuditedActivity(context, store, config.release) })],
      },
      maxConcurrentActivityTaskExecutions: config.worker.maxConcurrentActivities,
      maxCachedWorkflows: config.worker.maxCachedWorkflows,
      // Shorter than the process manager's kill timeout, so that an activity finishes on its first attempt.
      shutdownGraceTime: '20 seconds',
      shutdownForceTime: '25 seconds',
    });
    return { connection, worker };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** A worker outlives Temporal's absence: after a reboot it is often there first. */
async function patiently<T>(signal: AbortSignal, log: Log, start: () => Promise<T>): Promise<T | undefined> {
  for (let pauseMs = 500; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 5000)) {
    try {
      return await start();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error; // no build: waiting does not help
      log.warn('cannot start yet, trying again', { error: messageOf(error), pauseMs });
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
  return undefined;
}

/** Ready is what the server says: both of this worker's pollers are known to it. */
async function announce(
  connection: NativeConnection,
  config: Config,
  identity: string,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  const { namespace, taskQueue } = config.temporal;
  const { workflowService: service } = connection;
  // A task queue has partitions, and each lists only its own pollers: a worker beside others may not be on the first.
  const partitions = async (): Promise<Set<string>> => {
    const listed = await service.listTaskQueuePartitions({ namespace, taskQueue: { name: taskQueue } });
    const rows = [...(listed.workflowTaskQueuePartitions ?? []), ...(listed.activityTaskQueuePartitions ?? [])];
    return new Set([taskQueue, ...rows.map((row) => row.key ?? taskQueue)]);
  };
  const polls = async (taskQueueType: 1 | 2): Promise<boolean> => {
    const asked = [...(await partitions())].map((name) =>
      service.describeTaskQueue({ namespace, taskQueue: { name }, taskQueueType }),
    );
    return (await Promise.all(asked)).some(({ pollers }) => pollers?.some((poller) => poller.identity === identity));
  };
  while (!signal.aborted) {
    try {
      if ((await Promise.all(TASK_QUEUE_TYPES.map(polls))).every(Boolean)) {
        log.info('polling', { namespace, taskQueue });
        process.send?.('ready');
        return;
      }
    } catch (error) {
      log.warn('cannot see the own pollers yet', { error: messageOf(error) });
    }
    await delay(100, undefined, { signal }).catch(() => undefined);
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    new Log('error').error('the worker gave up', { error: messageOf(error) });
    process.exit(1);
  },
);

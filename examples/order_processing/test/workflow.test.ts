// SPDX-License-Identifier: GPL-3.0-or-later
// Real histories of earlier orders are replayed against this build: what runs now must still be understood after
// the next release. `test/histories/README.md` tells how they are recorded.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

const root = join(__dirname, '..', '..');
const directory = join(root, 'test', 'histories');
const bundlePath = join(root, 'dist', 'workflow-bundle.js');
const histories = readdirSync(directory).filter((name) => name.endsWith('.json'));

interface Event {
  eventType: string;
  activityTaskScheduledEventAttributes?: { activityType: { name: string } };
}

const read = (name: string): { events: Event[] } => JSON.parse(readFileSync(join(directory, name), 'utf8'));
const steps = (name: string): string[] =>
  read(name).events.flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType.name ?? []);

describe('the workflow', () => {
  before(() => Runtime.install({ logger: new DefaultLogger('ERROR') }));

  for (const name of histories) {
    it(`understands the history of an order that was ${basename(name, '.json')}`, async () => {
      await Worker.runReplayHistory({ workflowBundle: { codePath: bundlePath } }, read(name));
    });
  }

  it('would be caught doing something else', async () => {
    const code = readFileSync(bundlePath, 'utf8').replace('forward.reserveStock(', 'forward.chargePayment(');
    await assert.rejects(
      Worker.runReplayHistory({ workflowBundle: { code } }, read('completed.json')),
      { name: 'DeterminismViolationError' },
    );
  });

  it('undoes what was done, in reverse order, when a step keeps failing', () => {
    assert.deepEqual(steps('failed.json').slice(-4), ['refundPayment', 'releaseStock', 'notifyUser', 'saveCase']);
  });

  for (const name of ['rejected.json', 'expired.json', 'cancelled.json']) {
    it(`charges nothing for ${name}, and releases the stock`, () => {
      assert.ok(!steps(name).includes('chargePayment'));
      assert.ok(steps(name).includes('releaseStock'));
    });
  }
});

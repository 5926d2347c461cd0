// SPDX-License-Identifier: GPL-3.0-or-later

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { CaseStore } from '../src/case-store';

const directory = join(mkdtempSync(join(tmpdir(), 'cases-')), 'cases');
after(() => rmSync(join(directory, '..'), { recursive: true }));

describe('the case store', async () => {
  const store = new CaseStore(directory);
  await store.open();

  it('keeps the last state of a case and leaves no drafts', async () => {
    await store.save({ caseId: 'one', stage: 'received' });
    await store.save({ caseId: 'one', stage: 'completed' });
    assert.equal((await store.load('one')).stage, 'completed');
    assert.deepEqual(readdirSync(directory), ['one.json']);
  });

  it('is closed to other users of the host', async () => {
    await store.save({ caseId: 'private', stage: 'received' });
    assert.equal(statSync(join(directory, 'private.json')).mode & 0o007, 0);
    assert.equal(statSync(directory).mode & 0o007, 0);
  });

  it('never leaves its directory', async () => {
    await assert.rejects(store.save({ caseId: '../outside', stage: 'received' }), /not a case id/);
  });

  it('keeps audit lines whole when many write at once', async () => {
    const other = new CaseStore(directory);
    const line = (attempt: number): Promise<void> =>
      (attempt % 2 ? store : other).audit({
        time: '2026-01-02T03:04:05.000Z',
        caseId: 'one',
        event: 'shipOrder',
        attempt,
        outcome: 'succeeded',
        padding: 'x'.repeat(500),
      });
    await Promise.all(Array.from({ length: 200 }, (_, attempt) => line(attempt)));
    const lines = readFileSync(join(directory, 'audit-2026-01-02.jsonl'), 'utf8').trimEnd().split('\n');
    const attempts = lines.map((text) => (JSON.parse(text) as { attempt: number }).attempt);
    assert.deepEqual([...attempts].sort((a, b) => a - b), Array.from({ length: 200 }, (_, n) => n));
  });
});

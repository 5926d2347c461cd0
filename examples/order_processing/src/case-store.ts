// SPDX-License-Identifier: GPL-3.0-or-later

import { appendFile, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isCaseId, type OrderStatus } from './order';

export interface AuditEvent {
  time: string;
  caseId: string;
  event: string;
  attempt: number;
  outcome: 'succeeded' | 'failed';
  [detail: string]: unknown;
}

/**
 * The state of each case and an audit trail, as files below one directory:
 * `<caseId>.json` is replaced as a whole, `audit-<day>.jsonl` only ever grows.
 * Several worker processes of one host share it.
 */
export class CaseStore {
  constructor(private readonly directory: string) {}

  async open(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o750 });
  }

  async save(status: OrderStatus): Promise<void> {
    const path = this.path(status.caseId);
    // Written aside and renamed: a reader, or a power cut, never meets half a file.
    const draft = `${path}.${process.pid}.draft`;
    const file = await open(draft, 'w', 0o640);
    try {
      await file.writeFile(`${JSON.stringify({ ...status, savedAt: new Date().toISOString() }, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  }

  async load(caseId: string): Promise<OrderStatus & { savedAt: string }> {
    return JSON.parse(await readFile(this.path(caseId), 'utf8'));
  }

  /** One line, one write: lines of several processes do not mix. */
  async audit(event: AuditEvent): Promise<void> {
    const path = join(this.directory, `audit-${event.time.slice(0, 10)}.jsonl`);
    await appendFile(path, `${JSON.stringify(event)}\n`, { mode: 0o640 });
  }

  private path(caseId: string): string {
    if (!isCaseId(caseId)) throw new Error(`'${caseId}' is not a case id`);
    return join(this.directory, `${caseId}.json`);
  }
}

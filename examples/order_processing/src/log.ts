// SPDX-License-Identifier: GPL-3.0-or-later
// One JSON object per line on standard output: every collector reads that.

export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export class Log {
  constructor(
    private readonly minimum: Level,
    private readonly fields: Record<string, unknown> = {},
    private readonly write: (line: string) => void = (line) => process.stdout.write(line),
  ) {}

  at(level: Level, message: string, fields: Record<string, unknown> = {}): void {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(this.minimum)) return;
    const entry = { time: new Date().toISOString(), level, message, ...this.fields, ...fields };
    this.write(`${JSON.stringify(entry, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}\n`);
  }

  info(message: string, fields?: Record<string, unknown>): void {
    this.at('info', message, fields);
  }
  warn(message: string, fields?: Record<string, unknown>): void {
    this.at('warn', message, fields);
  }
  error(message: string, fields?: Record<string, unknown>): void {
    this.at('error', message, fields);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

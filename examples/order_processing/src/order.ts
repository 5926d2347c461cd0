// SPDX-License-Identifier: GPL-3.0-or-later
// What an order is. Free of Node and of Temporal: the API, the activities and the workflow all use it.

export const ACTIVITY_NAMES = [
  'validateOrder',
  'reserveStock',
  'chargePayment',
  'shipOrder',
  'notifyUser',
  'releaseStock',
  'refundPayment',
  'saveCase',
] as const;
export type ActivityName = (typeof ACTIVITY_NAMES)[number];

type PerActivity = Partial<Record<ActivityName, number>>;

/** The conversation in Microsoft Teams that is told of the result. */
export interface Conversation {
  chatId: string;
  messageId: string;
  activityId: string;
}

export interface Order {
  caseId: string;
  blobUrl: string;
  tenantId: string;
  userId: string;
  /** Absent: nobody is told. */
  teams?: Conversation;
  /** Wait for the signal `approve` (or `cancel`) before the payment. */
  waitForSignal: boolean;
  /** How long to wait for it; then the order expires and the stock is released. */
  approvalTimeoutSeconds: number;
  /** A pause between payment and shipping. */
  holdSeconds: number;
  /** To rehearse bad days on a live system: fail the first N attempts of an activity. */
  failActivityTimes: PerActivity;
  /** Likewise: let an activity take N seconds longer. */
  slowActivitySeconds: PerActivity;
}

export type Stage =
  | 'received'
  | 'validated'
  | 'reserved'
  | 'waiting_for_approval'
  | 'paid'
  | 'shipped'
  | 'completed'
  | 'rejected'
  | 'expired'
  | 'cancelled'
  | 'failed';

export interface Decision {
  by: string;
  comment: string;
}

/** What the query `status` answers, what is stored for a case, and what a finished workflow returns. */
export interface OrderStatus {
  caseId: string;
  stage: Stage;
  reservationId?: string;
  approvedBy?: Decision;
  cancelledBy?: Decision;
  paymentId?: string;
  trackingId?: string;
  reason?: string;
}

/** One thing that is wrong with a value that somebody sent. */
export interface Problem {
  field: string;
  found: unknown;
  expected: string;
}

export type Parsed<T> = { value: T; problems: [] } | { value?: never; problems: Problem[] };

const CASE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const CASE_ID_EXPECTED = '1 to 100 letters, digits, ".", "_" or "-", starting with a letter or digit';
const DAY_SECONDS = 24 * 60 * 60;

/** A case id names a workflow and a file, so it is kept to characters that are harmless in both. */
export function isCaseId(value: unknown): value is string {
  return typeof value === 'string' && CASE_ID.test(value);
}

/** Checks everything and reports all problems, not the first one. */
export function parseOrder(body: unknown): Parsed<Order> {
  if (!isRecord(body)) {
    return { problems: [{ field: '', found: kindOf(body), expected: 'a JSON object' }] };
  }
  const problems: Problem[] = [];
  const order: Order = {
    caseId: text(body, 'caseId', problems, CASE_ID_EXPECTED, isCaseId),
    blobUrl: text(body, 'blobUrl', problems, 'an https URL', isHttpsUrl),
    tenantId: text(body, 'tenantId', problems),
    userId: text(body, 'userId', problems),
    ...conversation(body.teams ?? undefined, problems),
    waitForSignal: flag(body, 'waitForSignal', problems),
    approvalTimeoutSeconds: integer(body.approvalTimeoutSeconds ?? DAY_SECONDS, 'approvalTimeoutSeconds', 1, 30 * DAY_SECONDS, problems),
    holdSeconds: integer(body.holdSeconds ?? 0, 'holdSeconds', 0, 30 * DAY_SECONDS, problems),
    failActivityTimes: perActivity(body.failActivityTimes ?? {}, 'failActivityTimes', 20, problems),
    slowActivitySeconds: perActivity(body.slowActivitySeconds ?? {}, 'slowActivitySeconds', 120, problems),
  };
  return problems.length > 0 ? { problems } : { value: order, problems: [] };
}

/** The body of a signal: `{"by": "...", "comment": "..."}`, both optional. */
export function parseDecision(body: unknown): Parsed<Decision> {
  if (!isRecord(body)) {
    return { problems: [{ field: '', found: kindOf(body), expected: 'a JSON object' }] };
  }
  const problems: Problem[] = [];
  const decision = {
    by: text({ by: 'unknown', ...body }, 'by', problems),
    comment: text({ comment: '', ...body }, 'comment', problems, 'a text of at most 200 characters', (v) => v.length <= 200),
  };
  return problems.length > 0 ? { problems } : { value: decision, problems: [] };
}

function text(
  body: Record<string, unknown>,
  field: string,
  problems: Problem[],
  expected = 'a text of 1 to 200 characters',
  valid = (value: string): boolean => value.trim() !== '' && value.length <= 200,
  within = '',
): string {
  const value = body[field];
  if (typeof value === 'string' && valid(value)) return value;
  problems.push({ field: within + field, found: shown(value), expected });
  return '';
}

function conversation(value: unknown, problems: Problem[]): Pick<Order, 'teams'> {
  if (value === undefined) return {};
  if (!isRecord(value)) {
    problems.push({ field: 'teams', found: shown(value), expected: 'an object with chatId, messageId and activityId' });
    return {};
  }
  // Teams makes these ids, and they are long; each is taken as it is.
  const id = (field: keyof Conversation): string =>
    text(value, field, problems, 'a text of 1 to 500 characters', (v) => v.trim() !== '' && v.length <= 500, 'teams.');
  return { teams: { chatId: id('chatId'), messageId: id('messageId'), activityId: id('activityId') } };
}

function flag(body: Record<string, unknown>, field: string, problems: Problem[]): boolean {
  const value = body[field] ?? false;
  if (typeof value !== 'boolean') problems.push({ field, found: shown(value), expected: 'true or false' });
  return value === true;
}

function perActivity(value: unknown, field: string, max: number, problems: Problem[]): PerActivity {
  const result: PerActivity = {};
  if (!isRecord(value)) {
    problems.push({ field, found: shown(value), expected: 'an object from activity name to number' });
    return result;
  }
  for (const [name, number] of Object.entries(value)) {
    const activity = ACTIVITY_NAMES.find((known) => known === name);
    if (activity) result[activity] = integer(number, `${field}.${name}`, 0, max, problems);
    else problems.push({ field: `${field}.${name}`, found: shown(number), expected: `one of ${ACTIVITY_NAMES.join(', ')}` });
  }
  return result;
}

function integer(value: unknown, field: string, min: number, max: number, problems: Problem[]): number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  problems.push({ field, found: shown(value), expected: `a whole number from ${min} to ${max}` });
  return min;
}

function isHttpsUrl(value: string): boolean {
  // The global URL exists in Node and in the workflow sandbox alike.
  return value.length <= 2000 && URL.canParse(value) && new URL(value).protocol === 'https:';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
}

/** A value as it may be shown to the sender: short, and never `undefined`, which JSON would drop. */
function shown(value: unknown): unknown {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return value.length > 80 ? `${value.slice(0, 80)}…` : value;
  return typeof value === 'object' && value !== null ? kindOf(value) : value;
}

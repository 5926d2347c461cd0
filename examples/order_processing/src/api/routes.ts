// SPDX-License-Identifier: GPL-3.0-or-later

import { messageOf } from '../log';
import { isCaseId, parseDecision, parseOrder, type Parsed } from '../order';
import { HttpError, readJson, type Route } from './http';
import { ClosedCaseError, SIGNAL_NAMES, TemporalUnavailableError, UnknownCaseError, type Orders } from './orders';

export function createRoutes(orders: Orders): Route[] {
  return [
    {
      method: 'GET',
      path: /^\/health$/,
      async handle() {
        const timestamp = new Date().toISOString();
        try {
          await orders.check();
          return { code: 200, body: { status: 'healthy', temporal: 'connected', timestamp } };
        } catch (error) {
          return {
            code: 503,
            body: { status: 'unhealthy', temporal: 'disconnected', timestamp, error: messageOf(error) },
          };
        }
      },
    },
    {
      method: 'POST',
      path: /^\/api\/workflow\/start$/,
      async handle(_parameters, request) {
        const order = accept('order', parseOrder(await readJson(request)));
        const started = await translated(() => orders.start(order));
        return { code: 202, body: { caseId: order.caseId, ...started } };
      },
    },
    {
      method: 'GET',
      path: /^\/api\/workflow\/([^/]+)\/status$/,
      async handle([caseId]) {
        const known = acceptCaseId(caseId);
        return { code: 200, body: { ...(await translated(() => orders.describe(known))) } };
      },
    },
    {
      method: 'POST',
      path: /^\/api\/workflow\/([^/]+)\/signal\/([^/]+)$/,
      async handle([caseId, name], request) {
        const known = acceptCaseId(caseId);
        const signal = SIGNAL_NAMES.find((candidate) => candidate === name);
        if (!signal) throw new HttpError(404, `There is no signal '${name}'; known: ${SIGNAL_NAMES.join(', ')}`);
        const decision = accept('signal', parseDecision(await readJson(request, true)));
        await translated(() => orders.signal(known, signal, decision));
        return { code: 202, body: { caseId: known, signal } };
      },
    },
  ];
}

function accept<T>(what: string, { value, problems }: Parsed<T>): T {
  if (value !== undefined) return value;
  throw new HttpError(400, `The ${what} is not valid`, { details: problems });
}

function acceptCaseId(caseId: string | undefined): string {
  if (isCaseId(caseId)) return caseId;
  throw new HttpError(400, `'${caseId}' is not a case id`);
}

/** What may go wrong behind the API, in the words of HTTP. */
async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof UnknownCaseError) throw new HttpError(404, error.message);
    if (error instanceof ClosedCaseError) throw new HttpError(409, error.message);
    if (error instanceof TemporalUnavailableError) throw new HttpError(503, error.message, {}, { 'retry-after': '5' });
    throw error;
  }
}

// SPDX-License-Identifier: GPL-3.0-or-later

import express, { Router, type RequestHandler } from 'express';
import { messageOf } from '../log';
import { isCaseId, parseDecision, parseOrder, type Parsed, type Problem } from '../order';
import { SIGNAL_NAMES, type Orders } from './orders';

export const MAX_BODY_BYTES = 256 * 1024;

/** What was sent cannot be taken; the message and the details are for the sender. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly details?: Problem[],
  ) {
    super(message);
  }
}

/** The four routes; what goes wrong in them is thrown, and told by the error handler of the application. */
export function createRoutes(orders: Orders): Router {
  const routes = Router({ caseSensitive: true, strict: true });
  // Whatever its content type says, the body is JSON. A body that is too long is still read to its end, and dropped: the
  // proxy in front would lose an answer in the middle of a request.
  const json = express.json({ limit: MAX_BODY_BYTES, strict: false, type: () => true });

  routes
    .route('/health')
    .get(async (_request, response) => {
      const timestamp = new Date().toISOString();
      try {
        await orders.check();
        response.json({ status: 'healthy', temporal: 'connected', timestamp });
      } catch (error) {
        response.status(503).json({ status: 'unhealthy', temporal: 'disconnected', timestamp, error: messageOf(error) });
      }
    })
    .all(only('GET'));

  routes
    .route('/api/workflow/start')
    .post(json, async (request, response) => {
      const order = accept('order', parseOrder(request.body ?? null));
      response.status(202).json({ caseId: order.caseId, ...(await orders.start(order)) });
    })
    .all(only('POST'));

  routes
    .route('/api/workflow/:caseId/status')
    .get(async (request, response) => {
      response.json(await orders.describe(acceptCaseId(request.params.caseId)));
    })
    .all(only('GET'));

  routes
    .route('/api/workflow/:caseId/signal/:signal')
    .post(json, async (request, response) => {
      const caseId = acceptCaseId(request.params.caseId);
      const signal = SIGNAL_NAMES.find((known) => known === request.params.signal);
      if (!signal) {
        throw new RefusedError(404, `There is no signal '${request.params.signal}'; known: ${SIGNAL_NAMES.join(', ')}`);
      }
      await orders.signal(caseId, signal, accept('signal', parseDecision(request.body ?? {})));
      response.status(202).json({ caseId, signal });
    })
    .all(only('POST'));

  return routes;
}

/** Tells a wrong method (405) from an unknown address (404). */
function only(method: string): RequestHandler {
  return (request, response) => {
    response.setHeader('allow', method);
    throw new RefusedError(405, `${request.path} does not take ${request.method}; use ${method}`);
  };
}

function accept<T>(what: string, { value, problems }: Parsed<T>): T {
  if (value !== undefined) return value;
  const fields = problems.map(({ field }) => field).filter(Boolean);
  throw new RefusedError(400, `The ${what} is not valid${fields.length > 0 ? `: see ${fields.join(', ')}` : ''}`, problems);
}

function acceptCaseId(caseId: string): string {
  if (isCaseId(caseId)) return caseId;
  throw new RefusedError(400, `'${caseId}' is not a case id`);
}

// SPDX-License-Identifier: GPL-3.0-or-later

import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { createServer, type Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log';
import { messageOf } from '../log';
import { ClosedCaseError, TemporalUnavailableError, UnknownCaseError, type Orders } from './orders';
import { createRoutes, MAX_BODY_BYTES, RefusedError } from './routes';

// Longer than the proxy in front keeps an idle connection: the proxy closes first.
const KEEP_ALIVE_MS = 76_000;
const HAND_OVER_MS = 500;

export interface Api {
  server: Server;
  /** Stops without losing a request; resolves when the last connection is closed. Idle ones may stay for so long. */
  drain(milliseconds: number): Promise<void>;
}

export function createApi(orders: Orders, release: string, log: Log): Api {
  let draining = false;
  const app = express().disable('x-powered-by').disable('etag').enable('case sensitive routing').enable('strict routing');
  app.use(observe(release, log, () => draining));
  app.use(createRoutes(orders));
  app.use((request) => {
    throw new RefusedError(404, `There is nothing at ${request.path}`);
  });
  app.use(tell(log));
  // The server is made here, not by app.listen(): its timeouts and its end decide whether a request is lost.
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 60_000 }, app);

  return {
    server,
    drain(milliseconds) {
      draining = true;
      return new Promise((resolve) => {
        // Only the listener is closed at once. http.Server.close() would also close idle connections, on one of
        // which the proxy may be sending the next request; a POST on it is lost, since nobody may repeat it. The proxy
        // closes them itself after a second, so that the time seldom runs out.
        const end = setTimeout(() => server.closeIdleConnections(), milliseconds);
        const closed = new Promise<void>((done) => NetServer.prototype.close.call(server, () => done()));
        // Not at once, even without a connection: the cluster's master may just be handing one over.
        const handedOver = delay(Math.min(HAND_OVER_MS, milliseconds));
        void Promise.all([closed, handedOver]).then(() => {
          clearTimeout(end);
          resolve();
        });
      });
    },
  };
}

/** The headers of every answer, and its line in the log. */
function observe(release: string, log: Log, isDraining: () => boolean): RequestHandler {
  return (request, response, next) => {
    const { method, originalUrl: url } = request;
    const startedAt = performance.now();
    response.setHeader('x-release', release);
    if (isDraining()) response.setHeader('connection', 'close');
    response.on('finish', () => {
      const level = response.statusCode >= 500 ? 'error' : url === '/health' ? 'debug' : 'info';
      log.at(level, 'request', { method, url, status: response.statusCode, ms: Math.round(performance.now() - startedAt) });
    });
    next();
  };
}

/** What went wrong, in the words of HTTP: told to the sender when it is for them, and to the log when it is not. */
function tell(log: Log): ErrorRequestHandler {
  // Express tells an error handler by its four arguments.
  return (error: unknown, request, response, _next) => {
    const { method, originalUrl: url } = request;
    if (request.destroyed && response.destroyed) return;
    const status = statusOf(error);
    if (status === 503) response.setHeader('retry-after', '5');
    if (status === 500) log.error('request failed', { method, url, error: messageOf(error) });
    response.status(status).json({
      error: status === 500 ? 'Something went wrong here; the log tells what' : wordsFor(error, status),
      ...(error instanceof RefusedError && error.details && { details: error.details }),
    });
  };
}

function statusOf(error: unknown): number {
  if (error instanceof UnknownCaseError) return 404;
  if (error instanceof ClosedCaseError) return 409;
  if (error instanceof TemporalUnavailableError) return 503;
  // Express itself, its body parser and RefusedError say it in `status`: an error of the sender, or it is one of ours.
  const { status } = error as { status?: unknown };
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500;
}

function wordsFor(error: unknown, status: number): string {
  const { type } = error as { type?: unknown };
  if (status === 413) return `The body is too long; at most ${MAX_BODY_BYTES} bytes are taken`;
  return type === 'entity.parse.failed' ? `The body is not JSON: ${messageOf(error)}` : messageOf(error);
}

// SPDX-License-Identifier: GPL-3.0-or-later

import { createServer, type Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log';
import { messageOf } from '../log';
import { HttpError, match, send } from './http';
import type { Orders } from './orders';
import { createRoutes } from './routes';

// Longer than the proxy in front keeps an idle connection: the proxy closes first.
const KEEP_ALIVE_MS = 76_000;
const HAND_OVER_MS = 500;

export interface Api {
  server: Server;
  /** Stops without losing a request; resolves when the last connection is closed. Idle ones may stay for so long. */
  drain(milliseconds: number): Promise<void>;
}

export function createApi(orders: Orders, release: string, log: Log): Api {
  const routes = createRoutes(orders);
  let draining = false;

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 60_000 }, async (request, response) => {
    const { method = '', url = '/' } = request;
    const startedAt = performance.now();
    response.setHeader('x-release', release);
    if (draining) response.setHeader('connection', 'close');
    response.on('finish', () => {
      const level = response.statusCode >= 500 ? 'error' : url === '/health' ? 'debug' : 'info';
      log.at(level, 'request', { method, url, status: response.statusCode, ms: Math.round(performance.now() - startedAt) });
    });
    try {
      const { route, parameters } = match(routes, method, url);
      send(response, await route.handle(parameters, request));
    } catch (error) {
      if (error instanceof HttpError) {
        for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
        send(response, { code: error.code, body: { error: error.message, ...error.body } });
      } else if (!request.destroyed || !response.destroyed) {
        log.error('request failed', { method, url, error: messageOf(error) });
        send(response, { code: 500, body: { error: 'Something went wrong here; the log tells what' } });
      }
    }
  });

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

// SPDX-License-Identifier: GPL-3.0-or-later

import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createApi, type Api } from '../src/api/app';
import { MAX_BODY_BYTES } from '../src/api/routes';
import {
  ClosedCaseError,
  TemporalUnavailableError,
  UnknownCaseError,
  type Case,
  type Orders,
  type SignalName,
  type Started,
} from '../src/api/orders';
import { Log } from '../src/log';
import type { Decision, Order } from '../src/order';

const teams = { chatId: '19:a@thread.v2', messageId: '1700000000000', activityId: 'f:1' };
const order = { caseId: 'case-1', blobUrl: 'https://blobs.example/1', tenantId: 't', userId: 'u', teams };

/** Stands in for Temporal behind the handlers. */
class MemoryOrders implements Orders {
  readonly cases = new Map<string, Case>();
  readonly signals: [string, SignalName, Decision][] = [];
  failure: Error | undefined;

  async check(): Promise<void> {
    if (this.failure) throw this.failure;
  }
  async start({ caseId }: Order): Promise<Started> {
    await this.check();
    const known = this.cases.get(caseId);
    if (known?.closedAt) throw new ClosedCaseError(`The case ${caseId} has been processed already`);
    const started = { workflowId: `order-${caseId}`, runId: 'run-1' };
    const state = { status: 'running', startedAt: 'now', closedAt: null, stage: null, order: null };
    this.cases.set(caseId, { caseId, ...started, ...state });
    return started;
  }
  async describe(caseId: string): Promise<Case> {
    await this.check();
    const known = this.cases.get(caseId);
    if (!known) throw new UnknownCaseError(`There is no case ${caseId}`);
    return known;
  }
  async signal(caseId: string, name: SignalName, decision: Decision): Promise<void> {
    await this.describe(caseId);
    this.signals.push([caseId, name, decision]);
  }
}

describe('the API', () => {
  let orders = new MemoryOrders();
  let api: Api;
  let base = '';
  const logged: string[] = [];

  before(async () => {
    const forwarding: Orders = {
      check: () => orders.check(),
      start: (value) => orders.start(value),
      describe: (caseId) => orders.describe(caseId),
      signal: (caseId, name, decision) => orders.signal(caseId, name, decision),
    };
    api = createApi(forwarding, 'release-1', new Log('info', {}, (line) => logged.push(line)));
    await new Promise<void>((resolve) => api.server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(api.server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    orders = new MemoryOrders();
  });
  after(() => {
    api.server.close();
    api.server.closeAllConnections();
  });

  const call = async (method: string, path: string, body?: unknown): Promise<{ code: number; body: any; headers: Headers }> => {
    const text = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(base + path, { method, body: text });
    const answer = await response.text();
    return { code: response.status, headers: response.headers, body: answer && JSON.parse(answer) };
  };

  describe('GET /health', () => {
    it('is exactly this when Temporal answers', async () => {
      const { code, body, headers } = await call('GET', '/health');
      assert.equal(code, 200);
      assert.deepEqual(Object.keys(body), ['status', 'temporal', 'timestamp']);
      assert.equal(body.status, 'healthy');
      assert.equal(body.temporal, 'connected');
      assert.ok(Math.abs(Date.parse(body.timestamp) - Date.now()) < 10_000);
      assert.equal(headers.get('x-release'), 'release-1');
      assert.match(headers.get('content-type') ?? '', /^application\/json/);
    });

    it('is 503 and says why when it does not', async () => {
      orders.failure = new TemporalUnavailableError('Temporal is away');
      const { code, body } = await call('GET', '/health');
      assert.equal(code, 503);
      assert.equal(body.status, 'unhealthy');
      assert.equal(body.temporal, 'disconnected');
      assert.equal(body.error, 'Temporal is away');
    });

    it('answers HEAD', async () => assert.equal((await call('HEAD', '/health')).code, 200));
  });

  describe('POST /api/workflow/start', () => {
    it('starts', async () => {
      const { code, body } = await call('POST', '/api/workflow/start', order);
      assert.equal(code, 202);
      assert.deepEqual(body, { caseId: 'case-1', workflowId: 'order-case-1', runId: 'run-1' });
    });

    it('takes no more than must be there, and what it does not know', async () => {
      const { teams: _conversation, ...least } = order;
      assert.equal((await call('POST', '/api/workflow/start', least)).code, 202);
      assert.equal((await call('POST', '/api/workflow/start', { ...order, caseId: 'case-2', surprise: {} })).code, 202);
    });

    it('names the field that has a wrong type', async () => {
      for (const [field, wrong] of Object.entries({ caseId: 1, blobUrl: {}, tenantId: [], userId: true, teams: ['sales'] })) {
        const { code, body } = await call('POST', '/api/workflow/start', { ...order, [field]: wrong });
        assert.equal(code, 400, field);
        assert.match(body.error, new RegExp(field));
      }
    });

    it('answers alike when asked again', async () => {
      const first = await call('POST', '/api/workflow/start', order);
      assert.deepEqual((await call('POST', '/api/workflow/start', order)).body, first.body);
    });

    it('lists all that is wrong with the order', async () => {
      const { code, body } = await call('POST', '/api/workflow/start', { caseId: 'no spaces', teams: 'sales' });
      assert.equal(code, 400);
      assert.deepEqual(
        body.details.map(({ field }: { field: string }) => field),
        ['caseId', 'blobUrl', 'tenantId', 'userId', 'teams'],
      );
      assert.equal(orders.cases.size, 0);
    });

    for (const text of ['', '{', 'null', '[]', '"text"']) {
      it(`does not take the body ${text || '(nothing)'}`, async () => {
        const { code, body } = await call('POST', '/api/workflow/start', text);
        assert.equal(code, 400);
        assert.equal(typeof body.error, 'string');
      });
    }

    it('does not take a huge body', async () => {
      const { code, body } = await call('POST', '/api/workflow/start', 'x'.repeat(MAX_BODY_BYTES + 1));
      assert.equal(code, 413);
      assert.match(body.error, /at most/);
    });

    it('conflicts when the case is closed', async () => {
      await call('POST', '/api/workflow/start', order);
      Object.assign(orders.cases.get('case-1') ?? {}, { closedAt: 'now' });
      assert.equal((await call('POST', '/api/workflow/start', order)).code, 409);
    });

    it('is 503 with a hint when to retry while Temporal is away', async () => {
      orders.failure = new TemporalUnavailableError('Temporal is away');
      const { code, headers } = await call('POST', '/api/workflow/start', order);
      assert.equal(code, 503);
      assert.equal(headers.get('retry-after'), '5');
    });

    it('hides what it does not understand, and logs it', async () => {
      orders.failure = new Error('secret detail');
      const { code, body } = await call('POST', '/api/workflow/start', order);
      assert.equal(code, 500);
      assert.doesNotMatch(JSON.stringify(body), /secret detail/);
      assert.match(logged.join(''), /secret detail/);
    });
  });

  describe('GET /api/workflow/{caseId}/status', () => {
    it('tells the state', async () => {
      await call('POST', '/api/workflow/start', order);
      const { code, body } = await call('GET', '/api/workflow/case-1/status');
      assert.equal(code, 200);
      assert.equal(body.status, 'running');
    });
    it('does not know every case', async () => {
      assert.equal((await call('GET', '/api/workflow/unknown/status')).code, 404);
    });
    it('does not take every id', async () => {
      assert.equal((await call('GET', '/api/workflow/a%20b/status')).code, 400);
      assert.equal((await call('GET', '/api/workflow/%ff/status')).code, 400);
    });
  });

  describe('POST /api/workflow/{caseId}/signal/{name}', () => {
    it('reaches the workflow, with or without words', async () => {
      await call('POST', '/api/workflow/start', order);
      assert.equal((await call('POST', '/api/workflow/case-1/signal/approve', { by: 'ann' })).code, 202);
      assert.equal((await call('POST', '/api/workflow/case-1/signal/cancel')).code, 202);
      assert.deepEqual(orders.signals, [
        ['case-1', 'approve', { by: 'ann', comment: '' }],
        ['case-1', 'cancel', { by: 'unknown', comment: '' }],
      ]);
    });
    it('knows two signals', async () => {
      await call('POST', '/api/workflow/start', order);
      const { code, body } = await call('POST', '/api/workflow/case-1/signal/aprove');
      assert.equal(code, 404);
      assert.match(body.error, /approve, cancel/);
    });
    it('needs a known case and a valid body', async () => {
      assert.equal((await call('POST', '/api/workflow/unknown/signal/approve')).code, 404);
      assert.equal((await call('POST', '/api/workflow/unknown/signal/approve', { by: 1 })).code, 400);
    });
  });

  describe('any other request', () => {
    it('is 404 where there is nothing', async () => assert.equal((await call('GET', '/nothing')).code, 404));
    it('is 404 in other spellings', async () => {
      for (const path of ['/Health', '/health/', '/API/workflow/start']) assert.equal((await call('GET', path)).code, 404, path);
    });
    it('is refused, not failed, with a body in another encoding', async () => {
      const headers = { 'content-type': 'application/json; charset=klingon' };
      const response = await fetch(`${base}/api/workflow/start`, { method: 'POST', headers, body: '{}' });
      assert.equal(response.status, 415);
      assert.equal(typeof ((await response.json()) as { error: unknown }).error, 'string');
    });
    it('is 405 with the right method where there is something', async () => {
      const { code, headers } = await call('DELETE', '/api/workflow/start');
      assert.equal(code, 405);
      assert.equal(headers.get('allow'), 'POST');
    });
  });
});

describe('a request that is too long', () => {
  it('is read to its end before it is refused: the proxy in front would lose the answer', async () => {
    const api = createApi(new MemoryOrders(), 'release-1', new Log('error'));
    await new Promise<void>((resolve) => api.server.listen(0, '127.0.0.1', resolve));
    const { port } = api.server.address() as AddressInfo;
    const length = 2 * MAX_BODY_BYTES;
    const options = { port, method: 'POST', path: '/api/workflow/start', headers: { 'content-length': length } };
    let sent = 0;
    const seen = await new Promise<{ code: number | undefined; sent: number }>((resolve, reject) => {
      const request = httpRequest(options, (response) => {
        response.resume().on('end', () => resolve({ code: response.statusCode, sent }));
      });
      request.on('error', reject);
      request.write(Buffer.alloc(length / 2));
      // Time for an answer that comes too soon.
      setTimeout(() => {
        sent = length;
        request.end(Buffer.alloc(length / 2));
      }, 200);
    });
    assert.deepEqual(seen, { code: 413, sent: length });
    api.server.close();
    api.server.closeAllConnections();
  });
});

describe('an API that drains', () => {
  it('still answers on the connections that it has, says that they end, and then is gone', async () => {
    const api = createApi(new MemoryOrders(), 'release-1', new Log('error'));
    await new Promise<void>((resolve) => api.server.listen(0, '127.0.0.1', resolve));
    const { port } = api.server.address() as AddressInfo;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const get = (): Promise<{ code: number | undefined; connection: string | undefined; reused: boolean }> =>
      new Promise((resolve, reject) => {
        const request = httpRequest({ agent, port, path: '/health' }, (response) => {
          response.resume().on('end', () => {
            resolve({ code: response.statusCode, connection: response.headers.connection, reused: request.reusedSocket });
          });
        });
        request.on('error', reject).end();
      });

    assert.deepEqual(await get(), { code: 200, connection: 'keep-alive', reused: false });
    const drained = api.drain(300);
    assert.deepEqual(await get(), { code: 200, connection: 'close', reused: true });
    await drained;
    await assert.rejects(get(), { code: 'ECONNREFUSED' });
    agent.destroy();
  });
});

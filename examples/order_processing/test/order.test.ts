// SPDX-License-Identifier: GPL-3.0-or-later

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isCaseId, parseDecision, parseOrder } from '../src/order';

const teams = { chatId: '19:meeting_a@thread.v2', messageId: '1700000000000', activityId: 'f:1a2b' };
const valid = { caseId: 'case-1', blobUrl: 'https://blobs.example/1', tenantId: 't', userId: 'u', teams };
const fields = (body: unknown): string[] => parseOrder(body).problems.map(({ field }) => field);

describe('an order', () => {
  it('is taken with its defaults', () => {
    const { value, problems } = parseOrder(valid);
    assert.deepEqual(problems, []);
    assert.equal(value?.caseId, 'case-1');
    assert.deepEqual(value?.teams, teams);
    assert.equal(value?.waitForSignal, false);
    assert.equal(value?.approvalTimeoutSeconds, 86_400);
  });

  it('is the same when it is read again', () => {
    const { value } = parseOrder({ ...valid, holdSeconds: 3, failActivityTimes: { shipOrder: 2 } });
    assert.deepEqual(parseOrder(value).value, value);
  });

  it('needs no conversation', () => {
    for (const none of [undefined, null]) {
      const { value } = parseOrder({ ...valid, teams: none });
      assert.equal('teams' in (value ?? { teams }), false);
      assert.deepEqual(parseOrder(value).value, value);
    }
  });

  it('names what is wrong within the conversation, and drops what it does not know there', () => {
    assert.deepEqual(fields({ ...valid, teams: {} }), ['teams.chatId', 'teams.messageId', 'teams.activityId']);
    assert.deepEqual(fields({ ...valid, teams: { ...teams, messageId: 7 } }), ['teams.messageId']);
    assert.deepEqual(parseOrder({ ...valid, teams: { ...teams, more: 1 } }).value?.teams, teams);
  });

  it('may have fields that mean nothing here', () => {
    assert.equal('surprise' in (parseOrder({ ...valid, surprise: 1 }).value ?? {}), false);
  });

  it('lists every field that is missing', () => {
    assert.deepEqual(fields({}), ['caseId', 'blobUrl', 'tenantId', 'userId']);
  });

  for (const body of [null, [], 'text', 7]) {
    it(`is not ${JSON.stringify(body)}`, () => assert.deepEqual(fields(body), ['']));
  }

  const wrong: [string, unknown][] = [
    ['caseId', ''],
    ['caseId', '../../etc/passwd'],
    ['caseId', 'a b'],
    ['caseId', 'x'.repeat(101)],
    ['caseId', 7],
    ['blobUrl', 'not a URL'],
    ['blobUrl', 'file:///etc/passwd'],
    ['blobUrl', 'http://blobs.example/1'],
    ['tenantId', '  '],
    ['userId', null],
    ['userId', 'x'.repeat(201)],
    ['teams', 'sales'],
    ['teams', ['sales']],
    ['teams', 7],
    ['waitForSignal', 'yes'],
    ['holdSeconds', 1.5],
    ['approvalTimeoutSeconds', 0],
    ['failActivityTimes', []],
  ];
  for (const [field, value] of wrong) {
    it(`has no ${field} like ${JSON.stringify(value).slice(0, 40)}`, () => {
      assert.deepEqual(fields({ ...valid, [field]: value }), [field]);
    });
  }

  it('names the activity that it does not know, or that has a wrong number', () => {
    assert.deepEqual(fields({ ...valid, failActivityTimes: { shiporder: 1 } }), ['failActivityTimes.shiporder']);
    assert.deepEqual(fields({ ...valid, slowActivitySeconds: { shipOrder: 1000 } }), ['slowActivitySeconds.shipOrder']);
  });

  it('tells what was found and what was expected', () => {
    const [problem] = parseOrder({ ...valid, userId: undefined }).problems;
    assert.deepEqual(problem, { field: 'userId', found: 'nothing', expected: 'a text of 1 to 200 characters' });
  });
});

describe('a decision', () => {
  it('may be empty', () => assert.deepEqual(parseDecision({}).value, { by: 'unknown', comment: '' }));
  it('carries words', () => {
    assert.deepEqual(parseDecision({ by: 'ann', comment: 'fine' }).value, { by: 'ann', comment: 'fine' });
  });
  it('is not a number', () => assert.equal(parseDecision({ by: 3 }).problems[0]?.field, 'by'));
});

describe('a case id', () => {
  it('is harmless as a file name', () => {
    for (const id of ['.hidden', '..', 'a/b', 'a\\b', 'a\n', '']) assert.equal(isCaseId(id), false, id);
    for (const id of ['1', 'case-1', 'A.b_c-9']) assert.equal(isCaseId(id), true, id);
  });
});

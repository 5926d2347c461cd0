// SPDX-License-Identifier: GPL-3.0-or-later

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ConfigError, readConfig } from '../src/config';
import { currentRelease } from '../src/release';

describe('the environment', () => {
  it('may be empty', () => {
    const config = readConfig({});
    assert.equal(config.temporal.address, '127.0.0.1:7233');
    assert.equal(config.temporal.namespace, 'order-processing');
    assert.equal(config.temporal.taskQueue, 'order-processing-queue');
    assert.equal(config.temporal.tls, undefined);
    assert.equal(config.api.host, '127.0.0.1');
    assert.deepEqual(config.worker, { maxConcurrentActivities: 50, maxCachedWorkflows: 500 });
  });

  it('decides', () => {
    const config = readConfig({ PORT: '3900', LOG_LEVEL: 'DEBUG', TEMPORAL_ADDRESS: '[::1]:7233', CASE_STORE_DIR: '/cases' });
    assert.equal(config.api.port, 3900);
    assert.equal(config.logLevel, 'debug');
    assert.equal(config.caseStoreDirectory, '/cases');
  });

  it('is refused with all its mistakes at once', () => {
    const wrong = {
      PORT: '99999',
      LOG_LEVEL: 'loud',
      TEMPORAL_ADDRESS: 'http://temporal',
      TEMPORAL_TLS_CLIENT_KEY_PATH: '/key',
      WORKER_MAX_CACHED_WORKFLOWS: 'many',
    };
    assert.throws(
      () => readConfig(wrong),
      (error) => error instanceof ConfigError && Object.keys(wrong).every((name) => error.message.includes(name)),
    );
  });

  it('means TLS where a certificate or an API key is given', () => {
    assert.deepEqual(readConfig({ TEMPORAL_API_KEY: 'key' }).temporal.tls, {});
    assert.deepEqual(readConfig({ TEMPORAL_TLS_SERVER_CA_CERT_PATH: '/ca' }).temporal.tls, { ca: { path: '/ca' } });
    assert.equal(readConfig({ TEMPORAL_API_KEY: 'key', TEMPORAL_TLS: 'false' }).temporal.tls, undefined);
  });

  it('takes certificates as files or as text, not as both', () => {
    const text = { TEMPORAL_TLS_CLIENT_CERT_DATA: 'certificate', TEMPORAL_TLS_CLIENT_KEY_DATA: 'key' };
    assert.deepEqual(readConfig(text).temporal.tls, { certificate: { data: 'certificate' }, key: { data: 'key' } });
    const both = { ...text, TEMPORAL_TLS_CLIENT_KEY_PATH: '/key' };
    assert.throws(() => readConfig(both), /TEMPORAL_TLS_CLIENT_KEY_PATH and TEMPORAL_TLS_CLIENT_KEY_DATA are both set/);
  });
});

describe('the services and stores in the environment', () => {
  const complete = {
    PARSER_SERVICE_URL: 'https://parser.example',
    COMMITTEE_SERVICE_URL: 'https://committee.example',
    ZOHO_SERVICE_URL: 'http://127.0.0.1:9000/zoho',
    TEAMS_BOT_SERVICE_URL: 'https://bot.example/api',
    COSMOS_ENDPOINT: 'https://example.documents.azure.com:443/',
    COSMOS_DATABASE_ID: 'orders',
    COSMOS_KEY: 'cosmos-canary==',
    BLOB_STORAGE_CONNECTION_STRING: 'AccountName=orders;AccountKey=blob-canary==',
  };

  it('are taken as they are', () => {
    const { services, absent } = readConfig(complete);
    assert.deepEqual(absent, []);
    assert.deepEqual(services, {
      parserUrl: 'https://parser.example',
      committeeUrl: 'https://committee.example',
      zohoUrl: 'http://127.0.0.1:9000/zoho',
      teamsBotUrl: 'https://bot.example/api',
      cosmosEndpoint: 'https://example.documents.azure.com:443/',
      cosmosDatabaseId: 'orders',
      cosmosKey: 'cosmos-canary==',
      blobStorageConnectionString: 'AccountName=orders;AccountKey=blob-canary==',
      applicationInsightsConnectionString: undefined,
    });
  });

  it('are named when they are missing', () => assert.deepEqual(readConfig({}).absent, Object.keys(complete)));

  for (const name of [...Object.keys(complete), 'APPLICATIONINSIGHTS_CONNECTION_STRING']) {
    for (const value of ['', '@keyvault/CosmosDbKey', '@Microsoft.KeyVault(SecretUri=https://v.example/secrets/a)']) {
      it(`refuses ${name}='${value}' by its name`, () => {
        assert.throws(() => readConfig({ ...complete, [name]: value }), { name: 'ConfigError', message: new RegExp(`\\b${name} is`) });
      });
    }
  }

  it('are never shown', () => {
    const wrong = { ...complete, PARSER_SERVICE_URL: 'AccountKey=canary', COSMOS_DATABASE_ID: 'a/canary' };
    assert.throws(() => readConfig(wrong), (error) => error instanceof ConfigError && !/canary/.test(error.message));
  });
});

describe('the release', () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'release-')));
  after(() => rmSync(root, { recursive: true }));

  it('is named by its directory, also behind the link to it', () => {
    mkdirSync(join(root, 'releases', '20260102030405'), { recursive: true });
    symlinkSync('releases/20260102030405', join(root, 'current'));
    assert.deepEqual(currentRelease(join(root, 'current')), {
      release: '20260102030405',
      sharedDirectory: join(root, 'shared', 'cases'),
    });
  });

  it('is "development" elsewhere', () => {
    assert.deepEqual(currentRelease(root), { release: 'development', sharedDirectory: join(root, '.data') });
  });
});

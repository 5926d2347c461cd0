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

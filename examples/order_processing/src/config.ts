// SPDX-License-Identifier: GPL-3.0-or-later
// Everything that the environment decides, read once and checked at the start.

import { LEVELS, type Level } from './log';
import { currentRelease } from './release';

export interface TemporalConfig {
  address: string;
  namespace: string;
  taskQueue: string;
  /** Paths of PEM files; undefined means a connection without TLS. */
  tls: { caPath?: string; certPath?: string; keyPath?: string; serverName?: string } | undefined;
  apiKey: string | undefined;
}

export interface Config {
  temporal: TemporalConfig;
  release: string;
  caseStoreDirectory: string;
  logLevel: Level;
  worker: { maxConcurrentActivities: number; maxCachedWorkflows: number };
  api: { host: string; port: number; drainMs: number };
}

export class ConfigError extends Error {
  override name = 'ConfigError';
}

type Environment = Readonly<Record<string, string | undefined>>;

export function readConfig(env: Environment = process.env): Config {
  const problems: string[] = [];
  const text = (name: string, fallback: string): string => env[name]?.trim() || fallback;
  const number = (name: string, fallback: number, min: number, max: number): number => {
    const value = text(name, String(fallback));
    if (/^\d+$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value);
    problems.push(`${name} is '${value}'; expected a whole number from ${min} to ${max}`);
    return fallback;
  };
  const choice = <T extends string>(name: string, fallback: T, choices: readonly T[]): T => {
    const value = text(name, fallback);
    const found = choices.find((known) => known === value.toLowerCase());
    if (found === undefined) problems.push(`${name} is '${value}'; expected one of ${choices.join(', ')}`);
    return found ?? fallback;
  };

  const { release, sharedDirectory } = currentRelease();
  const config: Config = {
    temporal: {
      address: text('TEMPORAL_ADDRESS', '127.0.0.1:7233'),
      namespace: text('TEMPORAL_NAMESPACE', 'order-processing'),
      taskQueue: text('TEMPORAL_TASK_QUEUE', 'order-processing'),
      tls: tls(env, choice('TEMPORAL_TLS', 'auto', ['auto', 'true', 'false']), problems),
      apiKey: env.TEMPORAL_API_KEY?.trim() || undefined,
    },
    release,
    caseStoreDirectory: text('CASE_STORE_DIR', sharedDirectory),
    logLevel: choice('LOG_LEVEL', 'info', LEVELS),
    worker: {
      maxConcurrentActivities: number('WORKER_MAX_CONCURRENT_ACTIVITIES', 50, 1, 10_000),
      maxCachedWorkflows: number('WORKER_MAX_CACHED_WORKFLOWS', 500, 2, 100_000),
    },
    api: {
      host: text('HOST', '127.0.0.1'),
      port: number('PORT', 3000, 0, 65_535),
      drainMs: number('DRAIN_MS', 3000, 0, 60_000),
    },
  };
  if (!/^[^\s:]+:\d+$|^\[[^\]]+\]:\d+$/.test(config.temporal.address)) {
    problems.push(`TEMPORAL_ADDRESS is '${config.temporal.address}'; expected host:port, such as 127.0.0.1:7233`);
  }
  if (problems.length > 0) {
    throw new ConfigError(`The environment is not usable: ${problems.join('; ')}. Correct it and start again.`);
  }
  return config;
}

function tls(env: Environment, mode: 'auto' | 'true' | 'false', problems: string[]): TemporalConfig['tls'] {
  const files = {
    ...(env.TEMPORAL_TLS_SERVER_CA_CERT_PATH && { caPath: env.TEMPORAL_TLS_SERVER_CA_CERT_PATH }),
    ...(env.TEMPORAL_TLS_CLIENT_CERT_PATH && { certPath: env.TEMPORAL_TLS_CLIENT_CERT_PATH }),
    ...(env.TEMPORAL_TLS_CLIENT_KEY_PATH && { keyPath: env.TEMPORAL_TLS_CLIENT_KEY_PATH }),
    ...(env.TEMPORAL_TLS_SERVER_NAME && { serverName: env.TEMPORAL_TLS_SERVER_NAME }),
  };
  if (Boolean(files.certPath) !== Boolean(files.keyPath)) {
    problems.push('TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH must be set together');
  }
  // An API key over plain text would give the key away.
  const wanted = mode === 'true' || (mode === 'auto' && (Object.keys(files).length > 0 || Boolean(env.TEMPORAL_API_KEY)));
  return wanted ? files : undefined;
}

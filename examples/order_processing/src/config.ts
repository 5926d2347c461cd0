// SPDX-License-Identifier: GPL-3.0-or-later
// Everything that the environment decides, read once and checked at the start.

import { LEVELS, type Level } from './log';
import { currentRelease } from './release';

/** A certificate or key: in a file, or as text from a variable, as other secrets come. */
export type Pem = { path: string } | { data: string };

export interface TlsConfig {
  ca?: Pem;
  certificate?: Pem;
  key?: Pem;
  serverName?: string;
}

export interface TemporalConfig {
  address: string;
  namespace: string;
  taskQueue: string;
  /** Undefined means a connection without TLS. */
  tls: TlsConfig | undefined;
  apiKey: string | undefined;
}

/** The services and stores that orders need. This example's steps only pretend to use them. */
export interface ServicesConfig {
  parserUrl: string | undefined;
  committeeUrl: string | undefined;
  zohoUrl: string | undefined;
  teamsBotUrl: string | undefined;
  cosmosEndpoint: string | undefined;
  cosmosDatabaseId: string | undefined;
  cosmosKey: string | undefined;
  blobStorageConnectionString: string | undefined;
  /** Telemetry; the only one that nobody misses. */
  applicationInsightsConnectionString: string | undefined;
}

export interface Config {
  temporal: TemporalConfig;
  services: ServicesConfig;
  /** Names of the variables of `services` that are not set and not optional. */
  absent: string[];
  release: string;
  caseStoreDirectory: string;
  logLevel: Level;
  worker: { maxConcurrentActivities: number; maxCachedWorkflows: number };
  api: { host: string; port: number; drainMs: number };
}

export class ConfigError extends Error {
  override name = 'ConfigError';
}

// As a deployment writes secrets that it fetches from a vault: the process must get what they stand for.
const REFERENCE = /^@(keyvault\/|Microsoft\.KeyVault\()/i;
const OPTIONAL = 'APPLICATIONINSIGHTS_CONNECTION_STRING';

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

  const absent: string[] = [];
  // What is found is not shown: any of these may be, or hold, a secret.
  const given = (name: string, expected: string, valid: (value: string) => boolean): string | undefined => {
    const value = env[name];
    if (value === undefined) absent.push(name);
    else if (REFERENCE.test(value)) problems.push(`${name} is a reference to a secret that nobody has resolved`);
    else if (!valid(value)) problems.push(`${name} is not usable; expected ${expected}`);
    return value;
  };
  const url = (name: string): string | undefined => given(name, 'an http or https URL', isHttpUrl);
  const secret = (name: string): string | undefined => given(name, 'a text that is not empty', (value) => value.trim() !== '');

  const { release, sharedDirectory } = currentRelease();
  const config: Config = {
    temporal: {
      address: text('TEMPORAL_ADDRESS', '127.0.0.1:7233'),
      namespace: text('TEMPORAL_NAMESPACE', 'order-processing'),
      taskQueue: text('TEMPORAL_TASK_QUEUE', 'order-processing-queue'),
      tls: tls(env, choice('TEMPORAL_TLS', 'auto', ['auto', 'true', 'false']), problems),
      apiKey: env.TEMPORAL_API_KEY?.trim() || undefined,
    },
    services: {
      parserUrl: url('PARSER_SERVICE_URL'),
      committeeUrl: url('COMMITTEE_SERVICE_URL'),
      zohoUrl: url('ZOHO_SERVICE_URL'),
      teamsBotUrl: url('TEAMS_BOT_SERVICE_URL'),
      cosmosEndpoint: url('COSMOS_ENDPOINT'),
      cosmosDatabaseId: given('COSMOS_DATABASE_ID', 'a name without / \\ ? #', (value) => /^[^/\\?#]{1,255}$/.test(value)),
      cosmosKey: secret('COSMOS_KEY'),
      blobStorageConnectionString: secret('BLOB_STORAGE_CONNECTION_STRING'),
      applicationInsightsConnectionString: secret(OPTIONAL),
    },
    absent: absent.filter((name) => name !== OPTIONAL),
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

function isHttpUrl(value: string): boolean {
  return URL.canParse(value) && ['http:', 'https:'].includes(new URL(value).protocol);
}

function tls(env: Environment, mode: 'auto' | 'true' | 'false', problems: string[]): TlsConfig | undefined {
  const pem = (name: string): Pem | undefined => {
    const [path, data] = [env[`${name}_PATH`], env[`${name}_DATA`]];
    if (path && data) problems.push(`${name}_PATH and ${name}_DATA are both set; expected one`);
    return data ? { data } : path ? { path } : undefined;
  };
  const ca = pem('TEMPORAL_TLS_SERVER_CA_CERT');
  const certificate = pem('TEMPORAL_TLS_CLIENT_CERT');
  const key = pem('TEMPORAL_TLS_CLIENT_KEY');
  const given: TlsConfig = {
    ...(ca && { ca }),
    ...(certificate && { certificate }),
    ...(key && { key }),
    ...(env.TEMPORAL_TLS_SERVER_NAME && { serverName: env.TEMPORAL_TLS_SERVER_NAME }),
  };
  if (Boolean(certificate) !== Boolean(key)) {
    problems.push('TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, or both with _DATA, must be set together');
  }
  // An API key over plain text would give the key away.
  const wanted = mode === 'true' || (mode === 'auto' && (Object.keys(given).length > 0 || Boolean(env.TEMPORAL_API_KEY)));
  return wanted ? given : undefined;
}

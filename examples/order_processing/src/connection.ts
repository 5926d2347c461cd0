// SPDX-License-Identifier: GPL-3.0-or-later

import { readFileSync } from 'node:fs';
import type { TLSConfig } from '@temporalio/common/lib/internal-non-workflow';
import type { TemporalConfig } from './config';

export interface ConnectionOptions {
  address: string;
  tls?: TLSConfig;
  apiKey?: string;
}

/** The same options serve the client's and the worker's connection. */
export function connectionOptions({ address, tls, apiKey }: TemporalConfig): ConnectionOptions {
  return { address, ...(tls && { tls: readTls(tls) }), ...(apiKey && { apiKey }) };
}

function readTls(tls: NonNullable<TemporalConfig['tls']>): TLSConfig {
  return {
    ...(tls.serverName && { serverNameOverride: tls.serverName }),
    ...(tls.caPath && { serverRootCACertificate: readFileSync(tls.caPath) }),
    ...(tls.certPath &&
      tls.keyPath && { clientCertPair: { crt: readFileSync(tls.certPath), key: readFileSync(tls.keyPath) } }),
  };
}

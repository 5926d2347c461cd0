// SPDX-License-Identifier: GPL-3.0-or-later

import { readFileSync } from 'node:fs';
import type { TLSConfig } from '@temporalio/common/lib/internal-non-workflow';
import type { Pem, TemporalConfig, TlsConfig } from './config';

export interface ConnectionOptions {
  address: string;
  tls?: TLSConfig;
  apiKey?: string;
}

/** The same options serve the client's and the worker's connection. */
export function connectionOptions({ address, tls, apiKey }: TemporalConfig): ConnectionOptions {
  return { address, ...(tls && { tls: readTls(tls) }), ...(apiKey && { apiKey }) };
}

function readTls({ ca, certificate, key, serverName }: TlsConfig): TLSConfig {
  return {
    ...(serverName && { serverNameOverride: serverName }),
    ...(ca && { serverRootCACertificate: read(ca) }),
    ...(certificate && key && { clientCertPair: { crt: read(certificate), key: read(key) } }),
  };
}

function read(pem: Pem): Buffer {
  return 'data' in pem ? Buffer.from(pem.data) : readFileSync(pem.path);
}

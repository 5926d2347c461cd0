// SPDX-License-Identifier: GPL-3.0-or-later

import { readConfig } from '../config';
import { Log, messageOf } from '../log';
import { createApi } from './app';
import { TemporalOrders } from './orders';

async function main(): Promise<void> {
  const config = readConfig();
  const log = new Log(config.logLevel, { process: `api ${process.pid}`, release: config.release });
  const orders = new TemporalOrders(config);
  const api = createApi(orders, config.release, log);

  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info('draining');
    await api.drain(config.api.drainMs);
    await orders.close();
    process.exit(0);
  };
  process.on('SIGINT', () => void stop());
  process.on('SIGTERM', () => void stop());

  // Connected before the first request comes, which would wait for it otherwise. Without Temporal the API starts all the
  // same, and says what is wrong.
  await orders.check().catch(() => undefined);
  if (stopping) return;
  api.server.on('error', (error) => fail(error));
  api.server.listen(config.api.port, config.api.host, () => {
    log.info('listening', { address: api.server.address() });
    process.send?.('ready');
  });
}

function fail(error: unknown): never {
  new Log('error').error('the API gave up', { error: messageOf(error) });
  process.exit(1);
}

main().catch(fail);

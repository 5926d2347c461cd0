// SPDX-License-Identifier: GPL-3.0-or-later

import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The release that this code belongs to, told by where it lies: `<root>/releases/<id>/dist`.
 * Not by the environment, which a process manager keeps from an older release.
 */
export function currentRelease(directory: string = join(__dirname, '..')): { release: string; sharedDirectory: string } {
  const real = realpathSync(directory);
  const releases = dirname(real);
  if (basename(releases) === 'releases') {
    return { release: basename(real), sharedDirectory: join(dirname(releases), 'shared', 'cases') };
  }
  return { release: 'development', sharedDirectory: join(real, '.data') };
}

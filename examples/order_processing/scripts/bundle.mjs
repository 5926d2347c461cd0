// SPDX-License-Identifier: GPL-3.0-or-later
// Bundles the workflow code once, at build time: workers start faster and all run the very same code.
// Equal sources give equal bundles wherever they are built: paths are relative, and taken out of the source map.

import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(`${root}dist`);
const { code } = await bundleWorkflowCode({ workflowsPath: './workflows.js', logger: new DefaultLogger('WARN') });
await writeFile('workflow-bundle.js', withoutBuildDirectory(code));

function withoutBuildDirectory(bundle) {
  return bundle.replace(/(base64,)([A-Za-z0-9+/=]+)\s*$/, (_all, prefix, encoded) => {
    const map = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'));
    map.file = 'workflow-bundle.js';
    map.sources = map.sources.map((source) => source.replace(root, ''));
    return prefix + Buffer.from(JSON.stringify(map)).toString('base64');
  });
}

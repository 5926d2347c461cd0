// SPDX-License-Identifier: GPL-3.0-or-later
// Bundles the workflow code once, at build time: workers start faster and all run the very same code.

import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));
const { code } = await bundleWorkflowCode({
  workflowsPath: `${root}dist/workflows.js`,
  logger: new DefaultLogger('WARN'),
});
await writeFile(`${root}dist/workflow-bundle.js`, withoutBuildDirectory(code));

// The source map names files by where they were built; without that, equal sources give equal bundles anywhere.
function withoutBuildDirectory(bundle) {
  return bundle.replace(/(base64,)([A-Za-z0-9+/=]+)\s*$/, (_all, prefix, map) => {
    const text = Buffer.from(map, 'base64').toString('utf8').replaceAll(root, '');
    return prefix + Buffer.from(text).toString('base64');
  });
}

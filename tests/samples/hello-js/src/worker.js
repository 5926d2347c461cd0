// SPDX-License-Identifier: GPL-3.0-or-later
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import * as activities from './activities.js';

const worker = await Worker.create({
  workflowsPath: fileURLToPath(new URL('./workflows.js', import.meta.url)),
  activities,
  taskQueue: 'hello-js',
});
await worker.run();

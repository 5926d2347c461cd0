// SPDX-License-Identifier: GPL-3.0-or-later
import { Client, Connection } from '@temporalio/client';
import express from 'express';

const client = new Client({ connection: await Connection.connect() });
const app = express();

app.get('/healthz', (_request, response) => response.json({ status: 'ok' }));
app.get('/hello/:name', async (request, response) => {
  const { name } = request.params;
  const workflowId = `hello-${name}-${Date.now()}`;
  response.send(await client.workflow.execute('hello', { args: [name], taskQueue: 'hello-js', workflowId }));
});
app.listen(3050, '127.0.0.1');

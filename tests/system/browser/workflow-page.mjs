// SPDX-License-Identifier: GPL-3.0-or-later
// Opens a workflow's page in Temporal's UI in a real browser and says what a person sees there, as one JSON line.
// Usage: node workflow-page.mjs BROWSER UI_URL NAMESPACE WORKFLOW_ID STATUS SCREENSHOT
// Exit 0 when the id and the status are visible, 1 when not; the screenshot is written in both cases.

import { chromium } from 'playwright-core';

const [executablePath, uiUrl, namespace, workflowId, status, screenshot] = process.argv.slice(2);
const TIMEOUT_MS = 30_000;

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
const errors = [];
const foreign = new Set();
page.on('pageerror', (error) => errors.push(error.message));
page.on('request', (request) => {
  const { origin } = new URL(request.url());
  if (origin.startsWith('http') && origin !== new URL(uiUrl).origin) foreign.add(origin);
});

let failure = null;
try {
  const query = encodeURIComponent(`WorkflowId="${workflowId}"`);
  await page.goto(`${uiUrl}/namespaces/${encodeURIComponent(namespace)}/workflows?query=${query}`);
  // As a person does: find it in the list, and follow the link.
  const link = page.getByRole('link', { name: workflowId, exact: true }).first();
  await link.press('Enter', { timeout: TIMEOUT_MS });
  await page.waitForURL(`**/workflows/${encodeURIComponent(workflowId)}/**`, { timeout: TIMEOUT_MS });
  await page.getByText(workflowId, { exact: true }).filter({ visible: true }).first().waitFor({ timeout: TIMEOUT_MS });
  await page.getByText(status, { exact: true }).filter({ visible: true }).first().waitFor({ timeout: TIMEOUT_MS });
} catch (error) {
  failure = error.message.split('\n', 1)[0];
}
await page.screenshot({ path: screenshot });
console.log(JSON.stringify({ url: page.url(), title: await page.title(), failure, errors, foreign: [...foreign] }));
await browser.close();
process.exit(failure === null ? 0 : 1);

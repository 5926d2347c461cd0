// SPDX-License-Identifier: GPL-3.0-or-later
import { proxyActivities } from '@temporalio/workflow';

const { greet } = proxyActivities({ startToCloseTimeout: '1 minute' });

export async function hello(name) {
  return await greet(name);
}

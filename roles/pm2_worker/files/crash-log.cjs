// Managed by Ansible (durable.temporal.pm2_worker).
// PM2 writes the logs of clustered processes asynchronously and ends a process that has thrown at once, so that the
// reason of a crash is lost. This writes it before.
'use strict';
const fs = require('node:fs');
process.on('uncaughtExceptionMonitor', (error) => {
  const file = process.env.pm_err_log_path;
  if (!file) return;
  try {
    fs.appendFileSync(file, `${new Date().toISOString()}: ${(error && error.stack) || error}\n`);
  } catch {
    // A full disk must not hide the first error from whoever handles it.
  }
});

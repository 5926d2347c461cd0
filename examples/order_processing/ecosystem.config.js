// SPDX-License-Identifier: GPL-3.0-or-later
// For use without the collection: `pm2 start ecosystem.config.js` in an unpacked release.
// The collection renders its own file outside the release, with the environment of the host.

const common = {
  cwd: __dirname,
  merge_logs: true,
  log_date_format: 'YYYY-MM-DD HH:mm:ss Z',
  wait_ready: true,
  // Longer than the worker's grace time, or activities are cut off and run again.
  kill_timeout: 30000,
};
const environment = {
  NODE_ENV: 'production',
  TEMPORAL_ADDRESS: process.env.TEMPORAL_ADDRESS ?? '127.0.0.1:7233',
  TEMPORAL_NAMESPACE: process.env.TEMPORAL_NAMESPACE ?? 'order-processing',
  TEMPORAL_TASK_QUEUE: process.env.TEMPORAL_TASK_QUEUE ?? 'order-processing-queue',
};

module.exports = {
  apps: [
    {
      ...common,
      name: 'workflow-worker',
      script: 'dist/worker.js',
      exec_mode: 'fork',
      instances: 2,
      max_memory_restart: '1G',
      restart_delay: 5000,
      max_restarts: 10,
      min_uptime: '30s',
      listen_timeout: 15000,
      out_file: '/var/log/pm2/workflow-worker-out.log',
      error_file: '/var/log/pm2/workflow-worker-error.log',
      env: { ...environment, WORKER_MAX_CONCURRENT_ACTIVITIES: '50', WORKER_MAX_CACHED_WORKFLOWS: '500' },
    },
    {
      ...common,
      name: 'workflow-api',
      script: 'dist/api/server.js',
      exec_mode: 'cluster',
      instances: 2,
      max_memory_restart: '512M',
      restart_delay: 3000,
      max_restarts: 10,
      min_uptime: '10s',
      listen_timeout: 15000,
      out_file: '/var/log/pm2/workflow-api-out.log',
      error_file: '/var/log/pm2/workflow-api-error.log',
      env: { ...environment, HOST: '127.0.0.1', PORT: '3000' },
    },
  ],
};

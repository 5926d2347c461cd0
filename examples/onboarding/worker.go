// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func registerWorkflow(registry worker.WorkflowRegistry) {
	registry.RegisterWorkflowWithOptions(UserOnboarding, workflow.RegisterOptions{Name: WorkflowType})
}

// Work runs until the context ends: then it polls no more, and running activities get the grace to finish.
func Work(ctx context.Context, config Config, logger *slog.Logger) error {
	notify := func(state string) {
		if err := Notify(state); err != nil {
			logger.Warn("systemd cannot be told", "error", err)
		}
	}
	if !config.Enabled {
		logger.Info("idle, because ENABLE_TEMPORAL is false")
		notify("READY=1\nSTATUS=idle: ENABLE_TEMPORAL is false")
		<-ctx.Done()
		return nil
	}

	databases, err := patiently(ctx, logger, notify, "the databases", func() (*Databases, error) {
		return OpenDatabases(ctx, config.AccountsURL, config.ProfilesURL)
	})
	if err != nil {
		return ended(ctx, err)
	}
	defer databases.Close()
	temporal, err := patiently(ctx, logger, notify, "Temporal", func() (client.Client, error) {
		return client.DialContext(ctx, config.ClientOptions(logger))
	})
	if err != nil {
		return ended(ctx, err)
	}
	defer temporal.Close()

	failed := make(chan error, 1)
	options := config.WorkerOptions()
	options.OnFatalError = func(err error) { failed <- err }
	running := worker.New(temporal, config.TaskQueue, options)
	register(running, databases)
	if _, err := patiently(ctx, logger, notify, "the task queue", func() (bool, error) { return true, running.Start() }); err != nil {
		return ended(ctx, err)
	}
	go announce(ctx, temporal, config, logger, notify)

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	notify("STOPPING=1\nSTATUS=finishing what runs")
	logger.Info("stopping", "grace", config.Grace.String())
	running.Stop()
	return err
}

// patiently tries until it works: after a reboot a worker is often there before what it needs.
func patiently[T any](
	ctx context.Context, logger *slog.Logger, notify func(string), what string, attempt func() (T, error),
) (T, error) {
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		result, err := attempt()
		if err == nil || errors.Is(err, errUnusable) || ctx.Err() != nil {
			return result, err
		}
		logger.Warn("not there yet, trying again", "what", what, "error", err)
		notify("STATUS=waiting for " + what)
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// ended makes no error of being told to stop.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// announce says ready when the server does: it lists this worker's pollers for workflows and for activities.
func announce(ctx context.Context, temporal client.Client, config Config, logger *slog.Logger, notify func(string)) {
	for ctx.Err() == nil {
		listed, err := polls(ctx, temporal, config)
		if listed {
			logger.Info("polling", "namespace", config.Namespace, "taskQueue", config.TaskQueue, "identity", config.Identity())
			notify("READY=1\nSTATUS=polling " + config.TaskQueue + " in " + config.Namespace)
			return
		}
		if err != nil && ctx.Err() == nil {
			logger.Warn("cannot see the own pollers yet", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func polls(ctx context.Context, temporal client.Client, config Config) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// A task queue has partitions, and each lists only its own pollers: a worker beside others may not be on the first.
	partitions, err := temporal.WorkflowService().ListTaskQueuePartitions(ctx, &workflowservice.ListTaskQueuePartitionsRequest{
		Namespace: config.Namespace,
		TaskQueue: &taskqueue.TaskQueue{Name: config.TaskQueue},
	})
	if err != nil {
		return false, err
	}
	names := map[string]bool{config.TaskQueue: true}
	for _, partition := range append(partitions.GetWorkflowTaskQueuePartitions(), partitions.GetActivityTaskQueuePartitions()...) {
		names[partition.GetKey()] = true
	}
	for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
		listed := false
		for name := range names {
			here, err := pollsOn(ctx, temporal, config, name, kind)
			if err != nil {
				return false, err
			}
			listed = listed || here
		}
		if !listed {
			return false, nil
		}
	}
	return true, nil
}

// pollsOn tells whether one partition of a task queue lists this worker.
func pollsOn(ctx context.Context, temporal client.Client, config Config, name string, kind enums.TaskQueueType) (bool, error) {
	answer, err := temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace:     config.Namespace,
		TaskQueue:     &taskqueue.TaskQueue{Name: name},
		TaskQueueType: kind,
	})
	if err != nil {
		return false, err
	}
	for _, poller := range answer.GetPollers() {
		if poller.GetIdentity() == config.Identity() {
			return true, nil
		}
	}
	return false, nil
}

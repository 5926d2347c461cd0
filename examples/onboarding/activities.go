// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// Store is what the activities write to. Both directions of a step are idempotent, and in either order: what was
// undone stays undone when a late attempt of the step arrives after it.
type Store interface {
	CreateAccount(ctx context.Context, saga Saga, userID, email string) error
	RemoveAccount(ctx context.Context, saga Saga) error
	CreateProfile(ctx context.Context, saga Saga, userID, displayName string) error
	RemoveProfile(ctx context.Context, saga Saga) error
	GrantQuota(ctx context.Context, saga Saga, plan string, megabytes int) error
	RevokeQuota(ctx context.Context, saga Saga) error
	QueueWelcome(ctx context.Context, saga Saga, email, displayName string) error
	WithdrawWelcome(ctx context.Context, saga Saga) error
}

// Refused is a failure that no retry mends.
const Refused = "Refused"

func refuse(format string, values ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, values...), Refused, nil)
}

// register makes the workflow and its activities known to the worker.
func register(registry worker.Registry, store Store) {
	registerWorkflow(registry)
	for name, step := range stepsOf(store) {
		named(registry, name, func(ctx context.Context, saga Saga, request Request) error {
			// Also by hand or from an older client: nothing is written for a request that cannot be fulfilled.
			if err := request.Check(); err != nil {
				return refuse("%s", err)
			}
			if err := rehearse(ctx, name, request.Rehearsal); err != nil {
				return err
			}
			return step(ctx, saga, request)
		})
	}
	for name, back := range map[string]func(context.Context, Saga) error{
		undoing[StepAccount]: store.RemoveAccount,
		undoing[StepProfile]: store.RemoveProfile,
		undoing[StepQuota]:   store.RevokeQuota,
		undoing[StepWelcome]: store.WithdrawWelcome,
	} {
		named(registry, name, back)
	}
}

func stepsOf(store Store) map[string]func(context.Context, Saga, Request) error {
	return map[string]func(context.Context, Saga, Request) error{
		StepAccount: func(ctx context.Context, saga Saga, request Request) error {
			return store.CreateAccount(ctx, saga, request.UserID, request.Email)
		},
		StepProfile: func(ctx context.Context, saga Saga, request Request) error {
			return store.CreateProfile(ctx, saga, request.UserID, request.DisplayName)
		},
		StepQuota: func(ctx context.Context, saga Saga, request Request) error {
			return store.GrantQuota(ctx, saga, request.Plan, quotas[request.Plan])
		},
		StepWelcome: func(ctx context.Context, saga Saga, request Request) error {
			return store.QueueWelcome(ctx, saga, request.Email, request.DisplayName)
		},
	}
}

func named(registry worker.ActivityRegistry, name string, function any) {
	registry.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
}

// rehearse fails or takes its time, as the request asks for.
func rehearse(ctx context.Context, step string, wanted Rehearsal) error {
	attempt := int(activity.GetInfo(ctx).Attempt)
	for range wanted.SlowSeconds[step] {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	switch times := wanted.FailTimes[step]; {
	case times < 0:
		return refuse("%s is refused, as rehearsed", step)
	case attempt <= times:
		return fmt.Errorf("%s fails at attempt %d, as rehearsed", step, attempt)
	}
	return nil
}

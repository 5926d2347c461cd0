// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Saga identifies one onboarding in both databases: every activity may run twice and writes once.
// The run is the original one, so a reset workflow goes on with its own rows.
type Saga struct {
	WorkflowID string `json:"workflowId"`
	RunID      string `json:"runId"`
}

// Retries. A step towards the goal gives up after a while, and what was done is undone.
// Undoing is tried until it is done.
var (
	forward = workflow.ActivityOptions{
		StartToCloseTimeout:    2 * time.Minute,
		HeartbeatTimeout:       10 * time.Second,
		ScheduleToCloseTimeout: 10 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 15 * time.Second,
		},
	}
	backward = workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
		},
	}
)

// UserOnboarding creates an account, a profile and a quota in two databases and welcomes the user; or nothing at all.
func UserOnboarding(ctx workflow.Context, request Request) (Status, error) {
	info := workflow.GetInfo(ctx)
	saga := Saga{WorkflowID: info.WorkflowExecution.ID, RunID: info.OriginalRunID}
	now := Status{UserID: request.UserID, Stage: Running, Done: []string{}}
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() (Status, error) { return now, nil }); err != nil {
		return now, err
	}

	// The signal cancels what is in flight, also a step that is retried while its database is away.
	going, stop := workflow.WithCancel(ctx)
	cancelledBy := ""
	workflow.Go(ctx, func(ctx workflow.Context) {
		var cancellation Cancellation
		workflow.GetSignalChannel(ctx, SignalCancel).Receive(ctx, &cancellation)
		cancelledBy = cancellation.By
		if cancelledBy == "" {
			cancelledBy = "somebody"
		}
		stop()
	})

	err := takeSteps(going, saga, request, &now)
	if err == nil {
		now.Stage = Onboarded
		return now, nil
	}

	now.Stage = UndoingAll
	now.Reason = reason(err)
	signalled := temporal.IsCanceledError(err) && cancelledBy != ""
	if signalled {
		now.Reason = "cancelled by " + cancelledBy
	}
	// Nobody may cancel the undoing half way.
	undoing, _ := workflow.NewDisconnectedContext(ctx)
	if undoErr := undo(undoing, saga, &now); undoErr != nil {
		return now, undoErr
	}
	switch {
	case signalled: // the user's wish was granted: that is a result, not a failure
		now.Stage = Cancelled
		return now, nil
	case temporal.IsCanceledError(err):
		now.Stage = Cancelled
		return now, err
	default:
		now.Stage = Failed
		return now, err
	}
}

func takeSteps(ctx workflow.Context, saga Saga, request Request, now *Status) error {
	ctx = workflow.WithActivityOptions(ctx, forward)
	for _, step := range steps {
		if step == StepWelcome && request.CoolingOffSeconds > 0 {
			now.Stage = CoolingOff
			if err := workflow.Sleep(ctx, time.Duration(request.CoolingOffSeconds)*time.Second); err != nil {
				return err
			}
			now.Stage = Running
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// Noted before it is taken: a step that seems to fail may have done its work.
		now.Done = append(now.Done, step)
		if err := workflow.ExecuteActivity(ctx, step, saga, request).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// undo takes the steps back, the last one first.
func undo(ctx workflow.Context, saga Saga, now *Status) error {
	ctx = workflow.WithActivityOptions(ctx, backward)
	for len(now.Done) > 0 {
		last := len(now.Done) - 1
		step := now.Done[last]
		if err := workflow.ExecuteActivity(ctx, undoing[step], saga).Get(ctx, nil); err != nil {
			return err
		}
		now.Done = now.Done[:last]
		now.Undone = append(now.Undone, step)
	}
	return nil
}

// undoing names the activity that takes a step back.
var undoing = map[string]string{
	StepAccount: "removeAccount",
	StepProfile: "removeProfile",
	StepQuota:   "revokeQuota",
	StepWelcome: "withdrawWelcome",
}

// reason is the innermost message: what happened, without Temporal's frame around it.
func reason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Message()
	}
	return err.Error()
}

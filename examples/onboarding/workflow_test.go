// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
)

// memory is a store that remembers its calls, and fails where it is told to.
type memory struct {
	calls []string
	fails map[string][]error // by call, one for each attempt
}

func (m *memory) call(name string) error {
	m.calls = append(m.calls, name)
	if waiting := m.fails[name]; len(waiting) > 0 {
		m.fails[name] = waiting[1:]
		return waiting[0]
	}
	return nil
}

func (m *memory) CreateAccount(context.Context, Saga, string, string) error {
	return m.call(StepAccount)
}
func (m *memory) RemoveAccount(context.Context, Saga) error { return m.call("removeAccount") }
func (m *memory) CreateProfile(context.Context, Saga, string, string) error {
	return m.call(StepProfile)
}
func (m *memory) RemoveProfile(context.Context, Saga) error           { return m.call("removeProfile") }
func (m *memory) GrantQuota(context.Context, Saga, string, int) error { return m.call(StepQuota) }
func (m *memory) RevokeQuota(context.Context, Saga) error             { return m.call("revokeQuota") }
func (m *memory) QueueWelcome(context.Context, Saga, string, string) error {
	return m.call(StepWelcome)
}
func (m *memory) WithdrawWelcome(context.Context, Saga) error { return m.call("withdrawWelcome") }

var ada = Request{UserID: "ada", Email: "ada@example.com", DisplayName: "Ada", Plan: "team"}

func environment(store Store) *testsuite.TestWorkflowEnvironment {
	suite := testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	register(env, store)
	return env
}

func status(t *testing.T, env *testsuite.TestWorkflowEnvironment) Status {
	t.Helper()
	var answer Status
	value, err := env.QueryWorkflow(QueryStatus)
	if err == nil {
		err = value.Get(&answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func expect[T any](t *testing.T, what string, found, expected T) {
	t.Helper()
	if !reflect.DeepEqual(found, expected) {
		t.Errorf("%s: found %v, expected %v", what, found, expected)
	}
}

func TestAllStepsAreTaken(t *testing.T) {
	store := &memory{}
	env := environment(store)
	env.ExecuteWorkflow(WorkflowType, ada)
	expect(t, "error", env.GetWorkflowError(), nil)
	expect(t, "calls", store.calls, steps)
	expect(t, "status", status(t, env), Status{UserID: "ada", Stage: Onboarded, Done: steps})
}

func TestEachStepThatIsRefusedUndoesItselfAndWhatWasBeforeInReverse(t *testing.T) {
	for last, step := range steps {
		t.Run(step, func(t *testing.T) {
			store := &memory{fails: map[string][]error{step: {refuse("no")}}}
			env := environment(store)
			env.ExecuteWorkflow(WorkflowType, ada)

			var application *temporal.ApplicationError
			if err := env.GetWorkflowError(); !errors.As(err, &application) || application.Type() != Refused {
				t.Errorf("found %v, expected a refusal", err)
			}
			undone := slices.Clone(steps[:last+1])
			slices.Reverse(undone)
			calls := slices.Clone(steps[:last+1])
			for _, name := range undone {
				calls = append(calls, undoing[name])
			}
			expect(t, "calls", store.calls, calls)
			expect(t, "status", status(t, env), Status{UserID: "ada", Stage: Failed, Done: []string{}, Undone: undone, Reason: "no"})
		})
	}
}

func TestWhatFailsForAWhileIsRetriedInBothDirections(t *testing.T) {
	away := errors.New("the database is away")
	store := &memory{fails: map[string][]error{
		StepProfile: {away, away}, StepWelcome: {refuse("no")}, "revokeQuota": {away, away, away},
	}}
	env := environment(store)
	env.ExecuteWorkflow(WorkflowType, ada)
	expect(t, "calls", store.calls, []string{
		StepAccount, StepProfile, StepProfile, StepProfile, StepQuota, StepWelcome,
		"withdrawWelcome", "revokeQuota", "revokeQuota", "revokeQuota", "revokeQuota", "removeProfile", "removeAccount",
	})
	expect(t, "stage", status(t, env).Stage, Failed)
}

func TestAStepIsGivenUpInTheEnd(t *testing.T) {
	env := environment(&memory{})
	env.ExecuteWorkflow(WorkflowType, with(func(r *Request) { r.Rehearsal.FailTimes = map[string]int{StepQuota: 1000} }))
	expect(t, "undone", status(t, env).Undone, []string{StepQuota, StepProfile, StepAccount})
}

func TestRehearsedFailures(t *testing.T) {
	store := &memory{}
	env := environment(store)
	env.ExecuteWorkflow(WorkflowType, with(func(r *Request) { r.Rehearsal.FailTimes = map[string]int{StepQuota: 2, StepWelcome: -1} }))
	expect(t, "reason", status(t, env).Reason, "sendWelcome is refused, as rehearsed")
	expect(t, "calls", store.calls, []string{
		StepAccount, StepProfile, StepQuota, "withdrawWelcome", "revokeQuota", "removeProfile", "removeAccount",
	})
}

func TestTheSignalUndoesEverythingWhileCoolingOff(t *testing.T) {
	store := &memory{}
	env := environment(store)
	env.RegisterDelayedCallback(func() {
		expect(t, "stage", status(t, env).Stage, CoolingOff)
		env.SignalWorkflow(SignalCancel, Cancellation{By: "ada"})
	}, time.Minute)
	env.ExecuteWorkflow(WorkflowType, with(func(r *Request) { r.CoolingOffSeconds = 3600 }))
	expect(t, "error", env.GetWorkflowError(), nil) // a wish that is granted is no failure
	expect(t, "status", status(t, env), Status{
		UserID: "ada", Stage: Cancelled, Done: []string{}, Undone: []string{StepQuota, StepProfile, StepAccount}, Reason: "cancelled by ada",
	})
	if slices.Contains(store.calls, StepWelcome) {
		t.Error("a user who cancelled was welcomed")
	}
}

func TestTheSignalEndsTheRetriesOfAStep(t *testing.T) {
	env := environment(&memory{})
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(SignalCancel, Cancellation{}) }, time.Minute)
	env.ExecuteWorkflow(WorkflowType, with(func(r *Request) { r.Rehearsal.FailTimes = map[string]int{StepProfile: 1000} }))
	expect(t, "status", status(t, env), Status{
		UserID: "ada", Stage: Cancelled, Done: []string{}, Undone: []string{StepProfile, StepAccount}, Reason: "cancelled by somebody",
	})
}

func TestTemporalsCancellationUndoesToo(t *testing.T) {
	env := environment(&memory{})
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(WorkflowType, with(func(r *Request) { r.CoolingOffSeconds = 3600 }))
	var cancelled *temporal.CanceledError
	if err := env.GetWorkflowError(); !errors.As(err, &cancelled) {
		t.Errorf("found %v, expected a cancellation", err)
	}
	expect(t, "undone", status(t, env).Undone, []string{StepQuota, StepProfile, StepAccount})
}

func TestARequestThatCannotBeFulfilledWritesNothing(t *testing.T) {
	store := &memory{}
	env := environment(store)
	env.ExecuteWorkflow(WorkflowType, with(func(r *Request) { r.Plan = "golden" }))
	expect(t, "calls", store.calls, []string{"removeAccount"})
	if found := status(t, env).Reason; !strings.Contains(found, `plan is "golden"`) {
		t.Errorf("reason: found %q", found)
	}
}

// Histories of earlier builds: what they began, this build must be able to end. See testdata/README.md.
func TestHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			registerWorkflow(replayer)
			silent := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(silent, file); err != nil {
				t.Error(err)
			}
		})
	}
}

func with(change func(*Request)) Request {
	request := ada
	change(&request)
	return request
}

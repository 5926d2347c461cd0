// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"log/slog"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
)

// Replayed is the verdict of the replay gate.
type Replayed struct {
	Replayed int       `json:"replayed"`
	Failed   []Mistake `json:"failed"`
}

// Mistake is a workflow that this build cannot go on with.
type Mistake struct {
	WorkflowType string `json:"workflow_type"`
	WorkflowID   string `json:"workflow_id"`
	Error        string `json:"error"`
}

// Replay runs this build's workflow over what the server remembers: up to limit open and limit closed onboardings.
// A versioned build is not asked about pinned workflows, for they stay on the build that they began on.
func Replay(ctx context.Context, temporal client.Client, config Config, limit int) (Replayed, error) {
	verdict := Replayed{Failed: []Mistake{}}
	replayer := worker.NewWorkflowReplayer()
	registerWorkflow(replayer)
	for _, state := range []string{"=", "!="} {
		query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus %s 'Running'", WorkflowType, state)
		if config.DeploymentName != "" {
			query += " AND (TemporalWorkflowVersioningBehavior != 'Pinned' OR TemporalWorkflowVersioningBehavior IS NULL)"
		}
		if err := replayMatching(ctx, temporal, config, replayer, query, limit, &verdict); err != nil {
			return verdict, err
		}
	}
	return verdict, nil
}

func replayMatching(
	ctx context.Context, temporal client.Client, config Config, replayer worker.WorkflowReplayer,
	query string, limit int, verdict *Replayed,
) error {
	silent := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	var page []byte
	for limit > 0 {
		answer, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: config.Namespace, Query: query, PageSize: int32(min(limit, 100)), NextPageToken: page,
		})
		if err != nil {
			return err
		}
		for _, found := range answer.GetExecutions()[:min(limit, len(answer.GetExecutions()))] {
			limit--
			id := found.GetExecution().GetWorkflowId()
			past, err := fetch(ctx, temporal, id, found.GetExecution().GetRunId())
			if err != nil {
				return fmt.Errorf("history of %s: %w", id, err)
			}
			verdict.Replayed++
			if err := replayer.ReplayWorkflowHistory(silent, past); err != nil {
				verdict.Failed = append(verdict.Failed, Mistake{
					WorkflowType: found.GetType().GetName(), WorkflowID: id, Error: err.Error(),
				})
			}
		}
		if page = answer.GetNextPageToken(); len(page) == 0 {
			return nil
		}
	}
	return nil
}

func fetch(ctx context.Context, temporal client.Client, workflowID, runID string) (*history.History, error) {
	past := &history.History{}
	events := temporal.GetWorkflowHistory(ctx, workflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		past.Events = append(past.Events, event)
	}
	return past, nil
}

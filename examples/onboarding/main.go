// SPDX-License-Identifier: GPL-3.0-or-later

// Onboarding of users as a saga over two databases: the worker, and what one needs by hand.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

const usage = `onboarding worker                     runs the worker, until SIGTERM
onboarding start --user ID --email ADDRESS --name NAME [--plan free|team|business] [--cooling-off SECONDS] [--wait]
                 [--fail STEP=TIMES] [--slow STEP=SECONDS]    rehearsals; TIMES -1 refuses for good
onboarding status ID                  tells how far it is
onboarding cancel ID [--by NAME]      before the welcome: everything is undone
onboarding replay [--limit N]         exit code 3: this build cannot go on with an onboarding that the server has

Steps: createAccount, createProfile, grantQuota, sendWelcome. ID is the user's. The README tells the environment.
`

const (
	exitFailed       = 1
	exitUsage        = 2
	exitIncompatible = 3
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// errUsage is a mistake on the command line; what is wrong was said already.
var errUsage = errors.New("usage")

func run(ctx context.Context, arguments []string, env func(string) string, stdout, stderr io.Writer) int {
	commands := map[string]func(context.Context, command) (int, error){
		"worker": runWorker, "start": runStart, "status": runStatus, "cancel": runCancel, "replay": runReplay,
	}
	if len(arguments) == 0 || commands[arguments[0]] == nil {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	logger := slog.New(slog.NewJSONHandler(stderr, nil))
	config, err := ReadConfig(env)
	code := exitFailed
	if err == nil {
		code, err = commands[arguments[0]](ctx, command{config: config, arguments: arguments[1:], stdout: stdout, stderr: stderr, logger: logger})
	}
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case err != nil:
		logger.Error("gave up", "command", arguments[0], "error", err)
		return max(code, exitFailed)
	}
	return code
}

type command struct {
	config         Config
	arguments      []string
	stdout, stderr io.Writer
	logger         *slog.Logger
}

// parse reads the flags, and exactly as many words as names.
func (c command) parse(flags *flag.FlagSet, names ...string) ([]string, error) {
	flags.SetOutput(c.stderr)
	words, rest := []string{}, c.arguments
	for {
		if err := flags.Parse(rest); err != nil {
			return nil, errUsage
		}
		if flags.NArg() == 0 {
			break
		}
		words, rest = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	if len(words) != len(names) {
		fmt.Fprint(c.stderr, usage)
		return nil, errUsage
	}
	return words, nil
}

func (c command) print(value any) error { return json.NewEncoder(c.stdout).Encode(value) }

// connect is for commands: they do not wait for a server that is away.
func (c command) connect(ctx context.Context) (client.Client, error) {
	options := c.config.ClientOptions(slog.New(slog.NewJSONHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("cannot reach Temporal at %s: %w. Check TEMPORAL_ADDRESS, and that the server runs",
			c.config.Address, err)
	}
	return temporal, nil
}

func runWorker(ctx context.Context, c command) (int, error) {
	if _, err := c.parse(flag.NewFlagSet("worker", flag.ContinueOnError)); err != nil {
		return exitUsage, err
	}
	err := Work(ctx, c.config, c.logger)
	if err == nil {
		c.logger.Info("stopped")
	}
	return 0, err
}

func runStart(ctx context.Context, c command) (int, error) {
	request := Request{Rehearsal: Rehearsal{FailTimes: map[string]int{}, SlowSeconds: map[string]int{}}}
	flags := flag.NewFlagSet("start", flag.ContinueOnError)
	flags.StringVar(&request.UserID, "user", "", "the user's id")
	flags.StringVar(&request.Email, "email", "", "the user's address")
	flags.StringVar(&request.DisplayName, "name", "", "the user's name")
	flags.StringVar(&request.Plan, "plan", "free", "free, team or business")
	flags.IntVar(&request.CoolingOffSeconds, "cooling-off", 0, "seconds before the welcome, in which one may cancel")
	flags.Var(perStep(request.Rehearsal.FailTimes), "fail", "STEP=TIMES, may be given again")
	flags.Var(perStep(request.Rehearsal.SlowSeconds), "slow", "STEP=SECONDS, may be given again")
	wait := flags.Bool("wait", false, "wait for the end, and print the result")
	if _, err := c.parse(flags); err != nil {
		return exitUsage, err
	}
	if err := request.Check(); err != nil {
		return exitFailed, err
	}
	temporal, err := c.connect(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer temporal.Close()
	// Starting twice is starting once; who was not onboarded may try again.
	started, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       WorkflowID(request.UserID),
		TaskQueue:                c.config.TaskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
	}, WorkflowType, request)
	if err != nil {
		return exitFailed, err
	}
	if !*wait {
		return 0, c.print(map[string]string{"workflowId": started.GetID(), "runId": started.GetRunID()})
	}
	var result Status
	if err := started.Get(ctx, &result); err != nil {
		return exitFailed, err
	}
	return 0, c.print(result)
}

func runStatus(ctx context.Context, c command) (int, error) {
	words, err := c.parse(flag.NewFlagSet("status", flag.ContinueOnError), "ID")
	if err != nil {
		return exitUsage, err
	}
	temporal, err := c.connect(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer temporal.Close()
	described, err := temporal.DescribeWorkflowExecution(ctx, WorkflowID(words[0]), "")
	if err != nil {
		return exitFailed, err
	}
	execution := described.GetWorkflowExecutionInfo()
	answer := struct {
		WorkflowID string  `json:"workflowId"`
		RunID      string  `json:"runId"`
		Execution  string  `json:"execution"`
		Status     *Status `json:"status,omitempty"`
		Note       string  `json:"note,omitempty"`
	}{
		WorkflowID: execution.GetExecution().GetWorkflowId(),
		RunID:      execution.GetExecution().GetRunId(),
		Execution:  execution.GetStatus().String(),
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	value, err := temporal.QueryWorkflow(asking, answer.WorkflowID, answer.RunID, QueryStatus)
	if err == nil {
		err = value.Get(&answer.Status)
	}
	if err != nil { // what the server itself knows is still an answer
		answer.Note = "no worker answers: " + err.Error()
	}
	return 0, c.print(answer)
}

func runCancel(ctx context.Context, c command) (int, error) {
	flags := flag.NewFlagSet("cancel", flag.ContinueOnError)
	by := flags.String("by", "somebody", "who wants it")
	words, err := c.parse(flags, "ID")
	if err != nil {
		return exitUsage, err
	}
	temporal, err := c.connect(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer temporal.Close()
	err = temporal.SignalWorkflow(ctx, WorkflowID(words[0]), "", SignalCancel, Cancellation{By: *by})
	return 0, err
}

func runReplay(ctx context.Context, c command) (int, error) {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	limit := flags.Int("limit", 200, "how many open, and how many closed onboardings")
	if _, err := c.parse(flags); err != nil {
		return exitUsage, err
	}
	temporal, err := c.connect(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer temporal.Close()
	verdict, err := Replay(ctx, temporal, c.config, *limit)
	if err != nil {
		return exitFailed, err
	}
	if len(verdict.Failed) > 0 {
		return exitIncompatible, c.print(verdict)
	}
	return 0, c.print(verdict)
}

// perStep collects STEP=NUMBER flags.
type perStep map[string]int

func (p perStep) String() string { return "" }

func (p perStep) Set(value string) error {
	step, number, _ := strings.Cut(value, "=")
	count, err := strconv.Atoi(number)
	if err != nil || undoing[step] == "" {
		return fmt.Errorf("expected STEP=NUMBER with a step of %s", strings.Join(steps, ", "))
	}
	p[step] = count
	return nil
}

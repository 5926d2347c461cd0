// SPDX-License-Identifier: GPL-3.0-or-later
package main

import (
	"context"
	"log"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func hello(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var greeting string
	err := workflow.ExecuteActivity(ctx, greet, name).Get(ctx, &greeting)
	return greeting, err
}

func greet(_ context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}

func main() {
	c, err := client.Dial(client.Options{})
	if err != nil {
		log.Fatalln("no client:", err)
	}
	defer c.Close()
	w := worker.New(c, "hello-go", worker.Options{})
	w.RegisterWorkflowWithOptions(hello, workflow.RegisterOptions{Name: "hello"})
	w.RegisterActivity(greet)
	if err := w.Run(worker.InterruptCh()); err != nil {
		log.Fatalln("the worker ended:", err)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"
)

func from(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestDefaults(t *testing.T) {
	config, err := ReadConfig(from(nil))
	expect(t, "error", err, nil)
	expect(t, "address", config.Address, "127.0.0.1:7233")
	expect(t, "enabled", config.Enabled, true)
	expect(t, "grace", config.Grace, 20*time.Second)
	expect(t, "plain", config.ClientOptions(slog.Default()).ConnectionOptions.TLSDisabled, true)
	expect(t, "versioning", config.WorkerOptions().DeploymentOptions.UseVersioning, false)
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	_, err := ReadConfig(from(map[string]string{
		"TEMPORAL_ADDRESS": "nowhere", "ENABLE_TEMPORAL": "maybe", "WORKER_GRACE_SECONDS": "soon",
		"TEMPORAL_BUILD_ID": "b1", "TEMPORAL_TLS_CERT": "/only/half",
	}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{
		"TEMPORAL_ADDRESS", "ENABLE_TEMPORAL", "WORKER_GRACE_SECONDS", "TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_TLS_KEY",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in: %s", name, err)
		}
	}
}

func TestAnAPIKeyIsSentOverTLS(t *testing.T) {
	config, err := ReadConfig(from(map[string]string{"TEMPORAL_API_KEY": "key"}))
	expect(t, "error", err, nil)
	if config.TLS == nil {
		t.Error("plain text")
	}
}

func TestVersioningPinsWorkflows(t *testing.T) {
	config, err := ReadConfig(from(map[string]string{"TEMPORAL_DEPLOYMENT_NAME": "onboarding", "TEMPORAL_BUILD_ID": "r7"}))
	expect(t, "error", err, nil)
	options := config.WorkerOptions().DeploymentOptions
	expect(t, "used", options.UseVersioning, true)
	expect(t, "build", options.Version.BuildID, "r7")
	expect(t, "behaviour", options.DefaultVersioningBehavior, workflow.VersioningBehaviorPinned)
}

func TestTheReleaseComesFromItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "REVISION")
	expect(t, "without", release(file), "dev")
	if err := os.WriteFile(file, []byte(`{"id": "20260102-abc", "commit": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, "with", release(file), "20260102-abc")
}

func TestDatabaseURLsAreNotRepeated(t *testing.T) {
	for _, wrong := range []string{"", "s3cret", "postgres://user:s3cret@[broken", "postgres://user:s3cret[@", "postgres://user:s3cret@host"} {
		_, err := OpenDatabases(t.Context(), wrong, "")
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "ACCOUNTS_DATABASE_URL") {
			t.Errorf("%s: found %v", wrong, err)
		}
	}
}

func TestSystemdIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("NOTIFY_SOCKET", socket)

	// A worker that is switched off is ready at once, and ends when it is told to.
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"worker"}, from(map[string]string{"ENABLE_TEMPORAL": "false"}), &bytes.Buffer{}, &bytes.Buffer{})
	}()
	message := make([]byte, 256)
	size, err := listener.Read(message)
	expect(t, "error", err, nil)
	expect(t, "message", string(message[:size]), "READY=1\nSTATUS=idle: ENABLE_TEMPORAL is false")
	stop()
	expect(t, "code", <-ended, 0)
}

func TestTheCommandLineIsExplained(t *testing.T) {
	for _, arguments := range [][]string{{}, {"dance"}, {"status"}, {"start", "--fail", "nothing=1"}, {"worker", "too", "many"}} {
		var stderr bytes.Buffer
		code := run(t.Context(), arguments, from(nil), &bytes.Buffer{}, &stderr)
		expect(t, strings.Join(arguments, " "), code, exitUsage)
		if stderr.Len() == 0 {
			t.Errorf("%v: nothing is said", arguments)
		}
	}
}

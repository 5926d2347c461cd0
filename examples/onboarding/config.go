// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Config is everything that the environment decides, read once.
type Config struct {
	Address, Namespace, TaskQueue string
	Enabled                       bool // false: the worker idles
	APIKey                        string
	TLS                           *tls.Config // nil: none
	DeploymentName, BuildID       string      // both, or no worker versioning
	AccountsURL, ProfilesURL      string      // secrets
	Grace                         time.Duration
	Release                       string
}

// ReadConfig names everything that is wrong in one error, and repeats no secret.
func ReadConfig(env func(string) string) (Config, error) {
	var problems []string
	wrong := func(name, expected string) {
		problems = append(problems, fmt.Sprintf("%s is %q; expected %s", name, env(name), expected))
	}
	text := func(name, fallback string) string {
		if value := strings.TrimSpace(env(name)); value != "" {
			return value
		}
		return fallback
	}
	boolean := func(name string, fallback bool) bool {
		switch strings.ToLower(text(name, strconv.FormatBool(fallback))) {
		case "true":
			return true
		case "false":
			return false
		}
		wrong(name, "true or false")
		return fallback
	}

	config := Config{
		Address:        text("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
		Namespace:      text("TEMPORAL_NAMESPACE", "default"),
		TaskQueue:      text("TEMPORAL_TASK_QUEUE", "onboarding"),
		Enabled:        boolean("ENABLE_TEMPORAL", true),
		APIKey:         text("TEMPORAL_API_KEY", ""),
		DeploymentName: text("TEMPORAL_DEPLOYMENT_NAME", ""),
		BuildID:        text("TEMPORAL_BUILD_ID", ""),
		AccountsURL:    text("ACCOUNTS_DATABASE_URL", ""),
		ProfilesURL:    text("PROFILES_DATABASE_URL", ""),
		Release:        release("REVISION"),
	}
	if _, _, err := net.SplitHostPort(config.Address); err != nil {
		wrong("TEMPORAL_ADDRESS", "host:port, such as 127.0.0.1:7233")
	}
	if (config.DeploymentName == "") != (config.BuildID == "") {
		problems = append(problems, "TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_BUILD_ID must be set together")
	}
	seconds, err := strconv.Atoi(text("WORKER_GRACE_SECONDS", "20"))
	if err != nil || seconds < 0 || seconds > 3600 {
		wrong("WORKER_GRACE_SECONDS", "a whole number from 0 to 3600")
	}
	config.Grace = time.Duration(seconds) * time.Second

	files := tlsFiles{
		ca: text("TEMPORAL_TLS_CA", ""), cert: text("TEMPORAL_TLS_CERT", ""), key: text("TEMPORAL_TLS_KEY", ""),
	}
	// An API key over plain text would give the key away.
	if boolean("TEMPORAL_TLS", files != tlsFiles{} || config.APIKey != "") {
		if config.TLS, err = files.load(); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		return config, fmt.Errorf("the environment is not usable: %s. Correct it and start again",
			strings.Join(problems, "; "))
	}
	return config, nil
}

type tlsFiles struct{ ca, cert, key string }

func (f tlsFiles) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("TEMPORAL_TLS_CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TEMPORAL_TLS_CA: %s holds no PEM certificate", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, fmt.Errorf("TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY must be set together")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("TEMPORAL_TLS_CERT, TEMPORAL_TLS_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Identity tells the server, and whoever looks there, which process of which release polls.
func (c Config) Identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%d@%s#%s", os.Getpid(), host, c.Release)
}

// ClientOptions connect as the environment says.
func (c Config) ClientOptions(logger *slog.Logger) client.Options {
	options := client.Options{
		HostPort:          c.Address,
		Namespace:         c.Namespace,
		Identity:          c.Identity(),
		Logger:            log.NewStructuredLogger(logger),
		ConnectionOptions: client.ConnectionOptions{TLS: c.TLS, TLSDisabled: c.TLS == nil},
	}
	if c.APIKey != "" {
		options.Credentials = client.NewAPIKeyStaticCredentials(c.APIKey)
	}
	return options
}

// WorkerOptions: with a deployment's name and build, workflows stay on the build that they began on.
func (c Config) WorkerOptions() worker.Options {
	options := worker.Options{Identity: c.Identity(), WorkerStopTimeout: c.Grace}
	if c.DeploymentName != "" {
		options.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning:             true,
			Version:                   worker.WorkerDeploymentVersion{DeploymentName: c.DeploymentName, BuildID: c.BuildID},
			DefaultVersioningBehavior: workflow.VersioningBehaviorPinned,
		}
	}
	return options
}

// release is the id in the file that a deployment leaves beside the program.
func release(file string) string {
	var revision struct {
		ID string `json:"id"`
	}
	if data, err := os.ReadFile(file); err != nil || json.Unmarshal(data, &revision) != nil || revision.ID == "" {
		return "dev"
	}
	return revision.ID
}

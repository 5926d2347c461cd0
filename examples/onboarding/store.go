// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Databases is the store in two PostgreSQL databases, without a transaction that spans them: that is the saga's work.
type Databases struct {
	accounts *pgxpool.Pool
	profiles *pgxpool.Pool
}

const (
	answerWithin = 8 * time.Second // less than the heartbeat timeout of the steps
	poolSize     = 8
)

// A row belongs to one saga. It is never deleted: "removed" also keeps a late attempt of the step from writing.
const accountsSchema = `
CREATE TABLE IF NOT EXISTS accounts (
  workflow_id text NOT NULL,
  run_id      text NOT NULL,
  user_id     text NOT NULL DEFAULT '',
  email       text NOT NULL DEFAULT '',
  state       text NOT NULL CHECK (state IN ('active', 'removed')),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  removed_at  timestamptz,
  PRIMARY KEY (workflow_id, run_id)
);
CREATE UNIQUE INDEX IF NOT EXISTS accounts_email ON accounts (lower(email)) WHERE state = 'active';
`

const profilesSchema = `
CREATE TABLE IF NOT EXISTS profiles (
  workflow_id  text NOT NULL,
  run_id       text NOT NULL,
  user_id      text NOT NULL DEFAULT '',
  display_name text NOT NULL DEFAULT '',
  state        text NOT NULL CHECK (state IN ('active', 'removed')),
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  removed_at   timestamptz,
  PRIMARY KEY (workflow_id, run_id)
);
CREATE TABLE IF NOT EXISTS quotas (
  workflow_id text NOT NULL,
  run_id      text NOT NULL,
  plan        text NOT NULL DEFAULT '',
  megabytes   integer NOT NULL DEFAULT 0,
  state       text NOT NULL CHECK (state IN ('active', 'removed')),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  removed_at  timestamptz,
  PRIMARY KEY (workflow_id, run_id)
);
CREATE TABLE IF NOT EXISTS outbox (
  workflow_id text NOT NULL,
  run_id      text NOT NULL,
  recipient   text NOT NULL DEFAULT '',
  message     text NOT NULL DEFAULT '',
  state       text NOT NULL CHECK (state IN ('active', 'removed')),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  removed_at  timestamptz,
  PRIMARY KEY (workflow_id, run_id)
);
`

// OpenDatabases connects to both and brings their tables up to date.
func OpenDatabases(ctx context.Context, accountsURL, profilesURL string) (*Databases, error) {
	accounts, err := open(ctx, "ACCOUNTS_DATABASE_URL", accountsURL, accountsSchema)
	if err != nil {
		return nil, err
	}
	profiles, err := open(ctx, "PROFILES_DATABASE_URL", profilesURL, profilesSchema)
	if err != nil {
		accounts.Close()
		return nil, err
	}
	return &Databases{accounts: accounts, profiles: profiles}, nil
}

// Close ends all connections.
func (d *Databases) Close() {
	d.accounts.Close()
	d.profiles.Close()
}

// errUnusable is a mistake in the configuration: waiting does not mend it.
var errUnusable = errors.New("is not usable")

func open(ctx context.Context, variable, address, schema string) (*pgxpool.Pool, error) {
	// The driver itself would fill gaps with defaults. Its errors, and those of the parser, repeat parts of the URL.
	parsed, err := url.Parse(address)
	complete := err == nil && strings.HasPrefix(parsed.Scheme, "postgres") && parsed.Host != "" && len(parsed.Path) > 1
	config, err := pgxpool.ParseConfig(address)
	if err != nil || !complete {
		return nil, fmt.Errorf("%s %w: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE", variable, errUnusable)
	}
	config.MaxConns = poolSize
	config.ConnConfig.ConnectTimeout = answerWithin
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	if err := migrate(ctx, pool, schema); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return pool, nil
}

// migrate may run in several workers at once: the lock makes them take turns.
func migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('onboarding'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
}

// CreateAccount refuses an address that another account has.
func (d *Databases) CreateAccount(ctx context.Context, saga Saga, userID, email string) error {
	err := create(ctx, d.accounts, "accounts", saga,
		`INSERT INTO accounts (workflow_id, run_id, state, user_id, email) VALUES ($1, $2, 'active', $3, $4)
		 ON CONFLICT (workflow_id, run_id) DO UPDATE SET state = accounts.state RETURNING state`, userID, email)
	var failure *pgconn.PgError
	if errors.As(err, &failure) && failure.ConstraintName == "accounts_email" {
		return refuse("an account with this email address exists")
	}
	return err
}

// RemoveAccount marks the account.
func (d *Databases) RemoveAccount(ctx context.Context, saga Saga) error {
	return remove(ctx, d.accounts, "accounts", saga)
}

// CreateProfile writes the user's profile.
func (d *Databases) CreateProfile(ctx context.Context, saga Saga, userID, displayName string) error {
	return create(ctx, d.profiles, "profiles", saga,
		`INSERT INTO profiles (workflow_id, run_id, state, user_id, display_name) VALUES ($1, $2, 'active', $3, $4)
		 ON CONFLICT (workflow_id, run_id) DO UPDATE SET state = profiles.state RETURNING state`, userID, displayName)
}

// RemoveProfile marks the profile.
func (d *Databases) RemoveProfile(ctx context.Context, saga Saga) error {
	return remove(ctx, d.profiles, "profiles", saga)
}

// GrantQuota gives the plan's storage.
func (d *Databases) GrantQuota(ctx context.Context, saga Saga, plan string, megabytes int) error {
	return create(ctx, d.profiles, "quotas", saga,
		`INSERT INTO quotas (workflow_id, run_id, state, plan, megabytes) VALUES ($1, $2, 'active', $3, $4)
		 ON CONFLICT (workflow_id, run_id) DO UPDATE SET state = quotas.state RETURNING state`, plan, megabytes)
}

// RevokeQuota marks the quota.
func (d *Databases) RevokeQuota(ctx context.Context, saga Saga) error {
	return remove(ctx, d.profiles, "quotas", saga)
}

// QueueWelcome puts the message into the outbox, from which a mailer would take it.
func (d *Databases) QueueWelcome(ctx context.Context, saga Saga, email, displayName string) error {
	return create(ctx, d.profiles, "outbox", saga,
		`INSERT INTO outbox (workflow_id, run_id, state, recipient, message) VALUES ($1, $2, 'active', $3, $4)
		 ON CONFLICT (workflow_id, run_id) DO UPDATE SET state = outbox.state RETURNING state`,
		email, "Welcome, "+displayName+"!")
}

// WithdrawWelcome marks the message.
func (d *Databases) WithdrawWelcome(ctx context.Context, saga Saga) error {
	return remove(ctx, d.profiles, "outbox", saga)
}

// create runs an insert that tells the state of the row that is there afterwards.
func create(ctx context.Context, pool *pgxpool.Pool, table string, saga Saga, insert string, values ...any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var state string
	values = append([]any{saga.WorkflowID, saga.RunID}, values...)
	if err := pool.QueryRow(ctx, insert, values...).Scan(&state); err != nil {
		return err
	}
	if state == "removed" {
		return refuse("the row in %s was taken back already", table)
	}
	return nil
}

// remove leaves a mark also where nothing was: the step's attempt may still be on its way.
func remove(ctx context.Context, pool *pgxpool.Pool, table string, saga Saga) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	_, err := pool.Exec(ctx, `INSERT INTO `+table+` AS known (workflow_id, run_id, state, removed_at)
		VALUES ($1, $2, 'removed', clock_timestamp())
		ON CONFLICT (workflow_id, run_id) DO UPDATE
		SET state = 'removed', removed_at = coalesce(known.removed_at, excluded.removed_at)`, saga.WorkflowID, saga.RunID)
	return err
}

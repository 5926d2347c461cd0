// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"net/mail"
	"regexp"
	"strings"
)

// WorkflowType is the name under which the workflow is known to Temporal.
const WorkflowType = "UserOnboarding"

// The workflow's query and signal.
const (
	QueryStatus  = "status"
	SignalCancel = "cancel"
)

// The steps, in the order in which they are taken.
const (
	StepAccount = "createAccount"
	StepProfile = "createProfile"
	StepQuota   = "grantQuota"
	StepWelcome = "sendWelcome"
)

var steps = []string{StepAccount, StepProfile, StepQuota, StepWelcome}

// Request is what an onboarding starts with.
type Request struct {
	UserID      string `json:"userId"`
	Email       string `json:"email"`
	DisplayName string `json:"displayName"`
	Plan        string `json:"plan"`
	// CoolingOffSeconds passes before the welcome: until then the user may cancel.
	CoolingOffSeconds int       `json:"coolingOffSeconds,omitempty"`
	Rehearsal         Rehearsal `json:"rehearsal,omitzero"`
}

// Rehearsal makes steps fail or take long, by name. It is for tests and drills.
type Rehearsal struct {
	// FailTimes is how many attempts fail; -1 means that the step is refused for good.
	FailTimes   map[string]int `json:"failTimes,omitempty"`
	SlowSeconds map[string]int `json:"slowSeconds,omitempty"`
}

// Status is the answer of the query and the workflow's result.
type Status struct {
	UserID string   `json:"userId"`
	Stage  Stage    `json:"stage"`
	Done   []string `json:"done"`             // steps whose work stands, in order
	Undone []string `json:"undone,omitempty"` // steps whose work was taken back, in the order of taking back
	Reason string   `json:"reason,omitempty"`
}

// Stage tells how far an onboarding is.
type Stage string

// The stages. Onboarded, Failed and Cancelled are final.
const (
	Running    Stage = "running"
	CoolingOff Stage = "cooling_off"
	UndoingAll Stage = "undoing"
	Onboarded  Stage = "onboarded"
	Failed     Stage = "failed"
	Cancelled  Stage = "cancelled"
)

// Cancellation is the payload of the signal.
type Cancellation struct {
	By string `json:"by"`
}

// WorkflowID is the same for every start of the same user: a user is onboarded once.
func WorkflowID(userID string) string { return "onboarding-" + userID }

// quotas in megabytes, by plan
var quotas = map[string]int{"free": 512, "team": 10_240, "business": 102_400}

var userIDs = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Check names everything that is wrong with the request.
func (r Request) Check() error {
	var problems []string
	if !userIDs.MatchString(r.UserID) {
		problems = append(problems, fmt.Sprintf("userId is %q; expected 1 to 100 letters, digits, dots, dashes", r.UserID))
	}
	if address, err := mail.ParseAddress(r.Email); err != nil || address.Address != r.Email {
		problems = append(problems, fmt.Sprintf("email is %q; expected an address such as ada@example.com", r.Email))
	}
	if strings.TrimSpace(r.DisplayName) == "" {
		problems = append(problems, "displayName is empty")
	}
	if _, known := quotas[r.Plan]; !known {
		problems = append(problems, fmt.Sprintf("plan is %q; expected free, team or business", r.Plan))
	}
	if r.CoolingOffSeconds < 0 {
		problems = append(problems, fmt.Sprintf("coolingOffSeconds is %d; expected 0 or more", r.CoolingOffSeconds))
	}
	if len(problems) > 0 {
		return fmt.Errorf("the request is not usable: %s", strings.Join(problems, "; "))
	}
	return nil
}

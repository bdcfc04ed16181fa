// Package bots makes load: connections that send requests and notifies to a server, and how long it
// took.
package bots

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lonng/nano/clients/nano-cli/internal/payload"
)

// Duration is a time.Duration that is written like 5s or 500ms.
type Duration time.Duration

// UnmarshalYAML reads it. A bare number is refused: nobody can tell what it counts.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no time; write it like 5s or 500ms", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes it as it is read.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Text is a payload: text, or in YAML also a mapping or list, which becomes JSON. It is a template;
// see Vars.
type Text string

// UnmarshalYAML reads it.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*t = Text(n.Value)
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("line %d: the payload cannot be JSON: %w", n.Line, err)
	}
	*t = Text(strings.TrimSpace(out.String()))
	return nil
}

// Step is one kind of message that every bot sends.
type Step struct {
	Request string `yaml:"request"` // the route, of either
	Notify  string `yaml:"notify"`
	Payload Text   `yaml:"payload"`
	// Rate is how many a second each bot sends. 0: the next when the last was answered. nil: the
	// scenario's.
	Rate *float64 `yaml:"rate"`
	// InFlight is how many requests of a bot may wait for their answers at the same time. 0: 1.
	InFlight int `yaml:"in-flight"`
}

// Route returns the step's route.
func (s *Step) Route() string { return s.Request + s.Notify }

// Scenario is what bots do.
type Scenario struct {
	URL         string     `yaml:"url"`
	Connections int        `yaml:"connections"` // 0: 1
	Ramp        Duration   `yaml:"ramp"`        // over which connections are opened
	Duration    Duration   `yaml:"duration"`    // of the load after that; 0: 10 s
	Timeout     Duration   `yaml:"timeout"`     // of connecting and of a request; 0: 5 s
	Rate        *float64   `yaml:"rate"`        // of steps that say nothing; nil: 1
	User        Text       `yaml:"user"`        // of the handshake, JSON
	Setup       []Step     `yaml:"setup"`       // once for each bot, in order, before the steps
	Steps       []Step     `yaml:"steps"`
	Thresholds  Thresholds `yaml:"thresholds"`
}

// Load reads a scenario file. What it does not know is an error, with its line.
func Load(file string) (*Scenario, error) {
	f, err := os.Open(file) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	defer f.Close()
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	sc := new(Scenario)
	if err := dec.Decode(sc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("scenario %s is empty", file)
	} else if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", file, err)
	}
	return sc, nil
}

// ParseStep reads "ROUTE [PAYLOAD]", of a flag.
func ParseStep(text string, request bool) Step {
	route, data := payload.Split(text)
	if request {
		return Step{Request: route, Payload: Text(data)}
	}
	return Step{Notify: route, Payload: Text(data)}
}

// plan is a scenario that was checked, with its defaults.
type plan struct {
	Scenario
	user  *message
	setup []*task
	steps []*task
}

// task is a step, ready to be sent.
type task struct {
	route    string
	request  bool
	payload  *message
	interval time.Duration // of one worker; 0: none
	workers  int
	stats    *stats
}

// Check returns what is wrong with the scenario.
func (sc *Scenario) Check() error {
	_, err := sc.plan()
	return err
}

func (sc *Scenario) plan() (*plan, error) {
	p := &plan{Scenario: *sc}
	var errs []error
	complain := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if p.URL == "" {
		complain("there is no url to connect to")
	}
	if p.Connections == 0 {
		p.Connections = 1
	}
	if p.Duration == 0 {
		p.Duration = Duration(10 * time.Second)
	}
	if p.Timeout == 0 {
		p.Timeout = Duration(5 * time.Second)
	}
	if p.Connections < 0 {
		complain("connections: %d is less than 1", p.Connections)
	}
	for name, d := range map[string]Duration{"ramp": p.Ramp, "duration": p.Duration, "timeout": p.Timeout} {
		if d < 0 {
			complain("%s: %v is negative", name, time.Duration(d))
		}
	}
	var err error
	if p.user, err = compile(p.User); err != nil {
		complain("user: %w", err)
	} else if p.User != "" {
		if _, err := p.user.json(Vars{}); err != nil {
			complain("user: %w", err)
		}
	}
	for i := range p.Setup {
		t, err := p.task(&p.Setup[i])
		if err != nil {
			complain("setup %d: %w", i+1, err)
		}
		if p.Setup[i].Rate != nil || p.Setup[i].InFlight != 0 {
			complain("setup %d: it runs once, without rate and in-flight", i+1)
		}
		p.setup = append(p.setup, t)
	}
	for i := range p.Steps {
		t, err := p.task(&p.Steps[i])
		if err != nil {
			complain("step %d: %w", i+1, err)
		}
		p.steps = append(p.steps, t)
	}
	if err := p.Thresholds.check(); err != nil {
		complain("thresholds: %w", err)
	}
	return p, errors.Join(errs...)
}

// task checks a step.
func (p *plan) task(s *Step) (*task, error) {
	if (s.Request == "") == (s.Notify == "") {
		return nil, errors.New("it needs the route of a request or of a notify")
	}
	m, err := compile(s.Payload)
	if err == nil {
		_, err = m.bytes(Vars{Bots: p.Connections})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Route(), err)
	}
	rate := 1.0
	switch {
	case s.Rate != nil:
		rate = *s.Rate
	case p.Rate != nil:
		rate = *p.Rate
	}
	if rate < 0 || rate > 1e6 {
		return nil, fmt.Errorf("%s: rate %v is not from 0 to 1000000", s.Route(), rate)
	}
	if s.InFlight < 0 || s.InFlight > 10000 {
		return nil, fmt.Errorf("%s: in-flight %d is not from 1 to 10000", s.Route(), s.InFlight)
	}
	t := &task{route: s.Route(), request: s.Request != "", payload: m, workers: max(s.InFlight, 1), stats: newStats()}
	if rate > 0 {
		t.interval = time.Duration(float64(t.workers) * float64(time.Second) / rate)
	}
	return t, nil
}

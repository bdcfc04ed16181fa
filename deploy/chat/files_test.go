package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	yamlv3 "go.yaml.in/yaml/v3"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/lonng/nano/contrib/config"
)

// read returns a file of deploy/.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parsed returns the settings of a node with this environment: a variable that is none of the
// program's, or one with a value that does not fit, would not be noticed before the deployment.
func parsed(t *testing.T, who string, env map[string]string) *settings {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	env = maps.Clone(env)
	used := make(map[string]bool)
	s := defaults()
	_, err := config.Parse(s, config.Source{Name: "chat", Lookup: func(name string) (string, bool) {
		v, ok := env[name]
		used[name] = true
		if ok && name == "CHAT_TOKEN_FILE" {
			v = token
		}
		return v, ok
	}})
	if err != nil {
		t.Errorf("%s: %v", who, err)
	}
	for name := range env {
		if strings.HasPrefix(name, "CHAT_") && !used[name] {
			t.Errorf("%s: %s is no setting", who, name)
		}
	}
	if s.Token == "" || len(s.Etcd.Endpoints) == 0 {
		t.Errorf("%s: it has no token or no etcd", who)
	}
	return s
}

// What kubectl would refuse, or take and not do what is meant, fails here.
func TestKubernetes(t *testing.T) {
	var config core.ConfigMap
	var pods []*core.PodTemplateSpec
	var services []core.Service
	kinds := map[string]int{}
	for _, doc := range strings.Split(read(t, "kubernetes.yaml"), "\n---\n") {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		kinds[kind.Kind]++
		into := map[string]any{
			"Service": &core.Service{}, "ConfigMap": &config, "Deployment": &apps.Deployment{}, "StatefulSet": &apps.StatefulSet{},
			"PodDisruptionBudget": &policy.PodDisruptionBudget{}, "NetworkPolicy": &networking.NetworkPolicy{},
		}[kind.Kind]
		if into == nil {
			t.Fatalf("a document of kind %q", kind.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
		switch o := into.(type) {
		case *apps.Deployment:
			pods = append(pods, &o.Spec.Template)
			if fmt.Sprint(o.Spec.Selector.MatchLabels) != fmt.Sprint(o.Spec.Template.Labels) {
				t.Errorf("%s selects %v, its pods have %v", o.Name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
			}
		case *apps.StatefulSet:
			pods = append(pods, &o.Spec.Template)
		case *core.Service:
			services = append(services, *o)
		}
	}
	if kinds["Deployment"] != 2 || kinds["StatefulSet"] != 1 || kinds["Service"] != 2 {
		t.Errorf("there are %v", kinds)
	}
	for _, pod := range pods {
		checkPod(t, pod, config.Data)
	}
	for _, s := range services {
		found := false
		for _, pod := range pods {
			found = found || fmt.Sprint(pod.Labels) == fmt.Sprint(s.Spec.Selector) && hasPorts(pod, s)
		}
		if !found {
			t.Errorf("no pod has the labels and ports of the service %s", s.Name)
		}
	}
}

func hasPorts(pod *core.PodTemplateSpec, s core.Service) bool {
	names := map[string]bool{}
	for _, p := range pod.Spec.Containers[0].Ports {
		names[p.Name], names[fmt.Sprint(p.ContainerPort)] = true, true
	}
	for _, p := range s.Spec.Ports {
		if target := p.TargetPort.String(); !names[target] && !names[fmt.Sprint(p.Port)] {
			return false
		}
	}
	return true
}

// checkPod checks what the API's types do not say.
func checkPod(t *testing.T, pod *core.PodTemplateSpec, shared map[string]string) {
	t.Helper()
	c := pod.Spec.Containers[0]
	ports := map[string]bool{"2381": true}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for _, probe := range []*core.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.String()] {
			t.Errorf("%s: a probe is missing, or asks a port that is not there", c.Name)
		}
	}
	mounted := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		mounted[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !mounted[m.Name] && m.Name != "data" {
			t.Errorf("%s: no volume %s", c.Name, m.Name)
		}
	}
	if len(c.EnvFrom) == 0 {
		return // etcd
	}
	env := maps.Clone(shared)
	for _, e := range c.Env {
		env[e.Name] = strings.ReplaceAll(e.Value, "$(POD_IP)", "10.0.0.7")
	}
	s := parsed(t, c.Name, env)
	need := s.Drain + s.Shutdown
	if c.Lifecycle != nil {
		need += time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	if given := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; given <= need {
		t.Errorf("%s: it gets %v to end, and needs %v", c.Name, given, need)
	}
	if s.gate() != (c.Lifecycle != nil) {
		t.Errorf("%s: gates have a preStop hook, and nobody else", c.Name)
	}
}

// composeFile is what the compose file may hold.
type composeFile struct {
	Name         string                    `yaml:"name"`
	XNode        any                       `yaml:"x-node"`
	XEnvironment any                       `yaml:"x-environment"`
	Services     map[string]composeService `yaml:"services"`
	Secrets      map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
	Volumes map[string]struct{} `yaml:"volumes"`
}

type composeService struct {
	Image string `yaml:"image"`
	Build struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Restart     string            `yaml:"restart"`
	DependsOn   []string          `yaml:"depends_on"`
	Secrets     []string          `yaml:"secrets"`
	Volumes     []string          `yaml:"volumes"`
	Ports       []string          `yaml:"ports"`
	Grace       string            `yaml:"stop_grace_period"`
	Ulimits     map[string]int    `yaml:"ulimits"`
}

// The compose file starts nodes that find each other, and nginx knows the gates.
func TestCompose(t *testing.T) {
	var f composeFile
	strict := yamlv3.NewDecoder(strings.NewReader(read(t, "compose.yaml"))) // it knows merge keys
	strict.KnownFields(true)
	if err := strict.Decode(&f); err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for name, s := range f.Services {
		for _, other := range s.DependsOn {
			if _, ok := f.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		for _, secret := range s.Secrets {
			if _, ok := f.Secrets[secret]; !ok {
				t.Errorf("%s: no secret %s", name, secret)
			}
		}
		if s.Image != "nano-chat" {
			continue
		}
		nodes++
		conf := parsed(t, name, s.Environment)
		if conf.Address != name+":3250" || conf.Name != name {
			t.Errorf("%s has the address %s", name, conf.Address)
		}
		if grace, err := time.ParseDuration(s.Grace); err != nil || grace <= conf.Drain+conf.Shutdown {
			t.Errorf("%s: it gets %v (%v) to end", name, grace, err)
		}
		if _, err := os.Stat(filepath.Join("..", s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
	}
	if nodes != 4 {
		t.Errorf("there are %d nodes", nodes)
	}
	for _, file := range []string{"nginx.conf", "haproxy.cfg"} {
		for _, m := range regexp.MustCompile(`(gate-\d+):326\d`).FindAllStringSubmatch(read(t, file), -1) {
			if _, ok := f.Services[m[1]]; !ok {
				t.Errorf("%s: no service %s", file, m[1])
			}
		}
	}
}

// What the Dockerfile builds is there.
func TestDockerfile(t *testing.T) {
	m := regexp.MustCompile(`go build .* (\./\S+)`).FindStringSubmatch(read(t, "Dockerfile"))
	if m == nil {
		t.Fatal("it builds nothing")
	}
	if _, err := os.Stat(filepath.Join("..", "..", m[1], "main.go")); err != nil {
		t.Error(err)
	}
}

// systemd takes the unit as it is, and the settings in it are the program's.
func TestSystemdUnit(t *testing.T) {
	unit := read(t, "nano-chat@.service")
	env := map[string]string{"CHAT_ADDRESS": "10.0.0.5:3250", "CHAT_ETCD_ENDPOINTS": "10.0.0.1:2379", "CHAT_ROOMS": "true"}
	line := regexp.MustCompile(`(?m)^Environment=(.*)$`).FindStringSubmatch(unit)
	for _, pair := range strings.Fields(line[1]) {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	s := parsed(t, "the unit", env)
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(.*)$`).FindStringSubmatch(unit)
	if d, err := time.ParseDuration(stop[1]); err != nil || d <= s.Drain+s.Shutdown {
		t.Errorf("it gets %v (%v) to end", d, err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here (Debian: systemd): the unit was not verified")
	}
	path := filepath.Join(t.TempDir(), "nano-chat@x.service")
	if err := os.WriteFile(path, []byte(strings.Replace(unit, "/usr/local/bin/chat", "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("nano-chat")) {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

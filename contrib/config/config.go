// Package config reads the settings of a program from a file, the environment and the command line,
// in one way: each setting has one name in all three.
//
//	settings := struct {
//		config.Node
//		Rooms int `koanf:"rooms" usage:"how many rooms there are"`
//	}{Node: config.Defaults(), Rooms: 10}
//	report, err := config.Parse(&settings, config.Source{Name: "game", Args: os.Args[1:]})
//
// The setting etcd.endpoints is `etcd: {endpoints: [...]}` in the file, GAME_ETCD_ENDPOINTS in the
// environment, and --etcd-endpoints on the command line. What comes later in this order wins, and
// what is in the struct before is the default. The file is YAML or JSON, and --config or
// GAME_CONFIG names it.
//
// A variable that is empty counts as one that is not set, since files of deployments often pass
// variables on whether they are set or not. An empty value in the file or of a flag is no number,
// no time and neither true nor false: it is a mistake. It is a text, or a list without entries.
//
// A [Secret] is never printed. It can be in a file of its own: --token-file and GAME_TOKEN_FILE for
// the setting token. One that is given in both ways is a mistake; the entries of a list of secrets
// all count.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Source says where settings come from.
type Source struct {
	// Name is the program's. In capitals, with an underscore, it begins the names of variables.
	// Required.
	Name string

	// Args are the arguments of the command line, without the program's name.
	Args []string

	// Lookup returns a variable of the environment. Default: os.LookupEnv.
	Lookup func(name string) (value string, ok bool)

	// Help gets the list of all settings if Args ask for it by -h or --help; Parse then returns
	// flag.ErrHelp. Default: os.Stderr.
	Help io.Writer
}

// Checker is a struct of settings that can say what is wrong with them as a whole.
type Checker interface {
	// Check returns everything that is wrong, joined by errors.Join.
	Check() error
}

// Parse fills the struct that dst points to. Its fields have the tag koanf, the setting's name, and
// usage, a text for the help; fields of embedded structs count as the struct's own, and other
// structs group their settings. Fields are strings, [Secret], numbers, bools, times (time.Duration)
// and lists of strings or secrets, which are separated by commas in the environment, on the command
// line and in files of secrets. The flag of a list may also be given several times.
//
// The error joins everything that is wrong: names in the file that mean nothing, values that do not
// fit, and what Check says, if dst is a [Checker]. Variables of the environment that mean nothing
// are no mistake, because the environment is not this program's alone. Parse panics if dst is not
// made as described.
func Parse(dst any, from Source) (*Report, error) {
	if from.Lookup == nil {
		from.Lookup = os.LookupEnv
	}
	if from.Help == nil {
		from.Help = os.Stderr
	}
	p := &parser{from: from, settings: settingsOf(dst), all: koanf.New("."), source: make(map[string]string)}
	args, path, wrong := p.flags()
	if errors.Is(wrong, flag.ErrHelp) {
		p.help()
		return nil, flag.ErrHelp
	}
	if path != "" {
		wrong = errors.Join(wrong, p.file(path))
	}
	wrong = errors.Join(wrong, p.load(p.environment()), p.load(args, nil), p.decode(dst))
	if c, ok := dst.(Checker); ok && wrong == nil {
		wrong = c.Check()
	}
	return &Report{settings: settingsOf(dst), source: p.source}, wrong
}

// parser gathers the settings, one source after the other.
type parser struct {
	from     Source
	settings []setting
	all      *koanf.Koanf
	source   map[string]string // by name
}

// value is one setting as a source gives it.
type value struct {
	name, text, source string
}

// file reads the settings of a file.
func (p *parser) file(path string) error {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return fmt.Errorf("config: read %s: %w", path, err)
	}
	var wrong []error
	known := make(map[string]bool)
	for _, s := range p.settings {
		known[s.name] = true
	}
	for _, name := range k.Keys() {
		if !known[name] {
			wrong = append(wrong, fmt.Errorf("config: %s: there is no setting %q", path, name))
			k.Delete(name)
			continue
		}
		p.source[name] = path
	}
	return errors.Join(append(wrong, p.all.Merge(k))...)
}

// environment returns the settings of the environment.
func (p *parser) environment() ([]value, error) {
	var all found
	for _, s := range p.settings {
		name := p.variable(s.name)
		if text, _ := p.from.Lookup(name); text != "" {
			all.add(s, text, name)
		}
		if path, _ := p.from.Lookup(name + "_FILE"); path != "" && s.secret() {
			all.addFile(s, path, name+"_FILE")
		}
	}
	return all.values, errors.Join(all.wrong...)
}

// variable returns the name of a setting in the environment.
func (p *parser) variable(name string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(p.from.Name + "_" + name))
}

// flags returns the settings of the command line, and the path of the file with settings.
func (p *parser) flags() (values []value, path string, wrong error) {
	set := flag.NewFlagSet(p.from.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // the error says it
	path, _ = p.from.Lookup(p.variable("config"))
	set.StringVar(&path, "config", path, "")
	var all found
	for _, s := range p.settings {
		name := flagOf(s.name)
		set.Var(&flagValue{s.isBool(), func(text string) { all.add(s, text, "--"+name) }}, name, "")
		if s.secret() {
			set.Var(&flagValue{false, func(path string) { all.addFile(s, path, "--"+name+"-file") }}, name+"-file", "")
		}
	}
	err := set.Parse(p.from.Args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, "", err
	case err != nil:
		err = fmt.Errorf("config: the command line: %w", err)
	case set.NArg() > 0: // which may be a part of a secret, so it is not shown
		err = fmt.Errorf("config: the command line: argument %d is no flag; a value with spaces needs quotes", len(p.from.Args)-set.NArg()+1)
	}
	return all.values, path, errors.Join(append(all.wrong, err)...)
}

// found gathers the settings of one source.
type found struct {
	values []value
	wrong  []error
}

// add adds a setting. All entries of a list count, of other settings the last one does: but one
// that is given in two ways is a mistake.
func (f *found) add(s setting, text, source string) {
	i := slices.IndexFunc(f.values, func(v value) bool { return v.name == s.name })
	if i < 0 {
		f.values = append(f.values, value{s.name, text, source})
		return
	}
	switch v := &f.values[i]; {
	case s.isList():
		v.text += "," + text
		if !slices.Contains(strings.Split(v.source, ", "), source) {
			v.source += ", " + source
		}
	case v.source != source:
		f.wrong = append(f.wrong, fmt.Errorf("config: %s and %s are both set", v.source, source))
	default:
		v.text = text
	}
}

// addFile adds a secret that is in a file of its own.
func (f *found) addFile(s setting, path, source string) {
	text, err := readSecret(path)
	if err != nil {
		f.wrong = append(f.wrong, err)
	}
	f.add(s, text, source)
}

// flagOf returns the name of a setting on the command line.
func flagOf(name string) string { return strings.ReplaceAll(name, ".", "-") }

// flagValue is a flag that hands its text on. It has no errors: those of the package flag show the
// text, which may be a secret.
type flagValue struct {
	isBool bool
	set    func(string)
}

func (f *flagValue) String() string   { return "" }
func (f *flagValue) IsBoolFlag() bool { return f.isBool }

func (f *flagValue) Set(text string) error {
	f.set(text)
	return nil
}

// readSecret reads a secret from a file of its own, which may end in a newline.
func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path) //nolint:gosec // whoever runs the program names the file
	if err != nil {
		return "", fmt.Errorf("config: read a secret: %w", err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return "", fmt.Errorf("config: read a secret: %s is empty", path)
	}
	return text, nil
}

// load takes the settings of a source. wrong is passed on.
func (p *parser) load(found []value, wrong error) error {
	m := make(map[string]any, len(found))
	for _, v := range found {
		m[v.name] = v.text
		p.source[v.name] = v.source
	}
	return errors.Join(wrong, p.all.Load(confmap.Provider(m, "."), nil))
}

// decode writes the settings into the struct, one by one, so that each mistake names its setting
// and where that comes from.
func (p *parser) decode(dst any) error {
	var wrong []error
	for _, s := range settingsOf(dst) {
		given := p.all.Get(s.name)
		if given == nil {
			continue
		}
		if err := s.set(given); err != nil {
			text := fmt.Sprintf("%q", fmt.Sprint(given))
			if s.secret() {
				text = "the secret"
			}
			wrong = append(wrong, fmt.Errorf("config: %s (%s): %s is not %s", s.name, p.source[s.name], text, s.kind()))
		}
	}
	return errors.Join(wrong...)
}

// set writes a value into the field. A file may have a number where the other sources have a text:
// it means the same there, so that 5 is no time (5 what?), and 1.5 no whole number.
func (s setting) set(given any) error {
	text, isText := given.(string)
	switch {
	case isText && text == "" && s.field.Kind() != reflect.String && !s.isList():
		return errors.New("it is empty")
	case isText || s.isList() && areTexts(given):
	case s.isList() || s.field.Kind() == reflect.String:
		return errors.New("YAML takes it for a number or the like, and may have changed it")
	default:
		given = fmt.Sprint(given)
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: s.field.Addr().Interface(), WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), commas),
	})
	if err != nil {
		return err
	}
	return decoder.Decode(given)
}

// areTexts reports whether a value is a list of texts.
func areTexts(given any) bool {
	list, ok := given.([]any)
	for _, one := range list {
		if _, isText := one.(string); !isText {
			return false
		}
	}
	return ok
}

// commas separates a list that is one text.
func commas(from, to reflect.Type, data any) (any, error) {
	if from.Kind() != reflect.String || to.Kind() != reflect.Slice {
		return data, nil
	}
	list := []string{}
	for one := range strings.SplitSeq(reflect.ValueOf(data).String(), ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list, nil
}

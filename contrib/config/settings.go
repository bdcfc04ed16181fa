package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// Secret is a text that is not printed: not by fmt, not by slog, not as JSON or YAML. string(s) is
// the text.
type Secret string

const hidden = "(secret)"

// String returns a word in the secret's place.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// setting is one field.
type setting struct {
	name  string // with the names of the groups that it is in
	usage string
	field reflect.Value
}

var (
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	listType     = reflect.TypeFor[[]string]()
	secretsType  = reflect.TypeFor[[]Secret]()
)

func (s setting) secret() bool { return s.field.Type() == secretType || s.field.Type() == secretsType }

func (s setting) isBool() bool { return s.field.Kind() == reflect.Bool }

func (s setting) isList() bool { return s.field.Kind() == reflect.Slice }

// kind says what values the setting takes.
func (s setting) kind() string {
	switch t := s.field.Type(); {
	case t == durationType:
		return "a time such as 1m30s"
	case s.isList():
		return "a list of texts (in YAML, put them in quotes)"
	case s.isBool():
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text (in YAML, put it in quotes)"
	case s.field.CanFloat():
		return "a number"
	}
	return "a whole number in range"
}

// text is the value as it is printed.
func (s setting) text() string {
	switch v := s.field.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case []Secret:
		if len(v) == 0 {
			return ""
		}
		return hidden
	default:
		return fmt.Sprint(v)
	}
}

// settingsOf returns the fields of the struct that dst points to.
func settingsOf(dst any) []setting {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("config: Parse takes a pointer to a struct, not %T", dst))
	}
	return appendSettings(nil, "", v.Elem())
}

func appendSettings(all []setting, prefix string, v reflect.Value) []setting {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, tagged := f.Tag.Lookup("koanf")
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			all = appendSettings(all, prefix, v.Field(i))
		case !tagged:
		case f.Type.Kind() == reflect.Struct:
			all = appendSettings(all, prefix+name+".", v.Field(i))
		default:
			if !usable(f.Type) {
				panic(fmt.Sprintf("config: the setting %s%s cannot be a %v", prefix, name, f.Type))
			}
			all = append(all, setting{prefix + name, f.Tag.Get("usage"), v.Field(i)})
		}
	}
	return all
}

func usable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32,
		reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return t == listType || t == secretsType
}

// Report says what the settings are and where each comes from, without secrets.
type Report struct {
	settings []setting
	source   map[string]string
}

// From returns where a setting comes from: the path of the file, or the name of the variable or of
// the flag; "" if it has its default.
func (r *Report) From(name string) string { return r.source[name] }

// Lines returns a line for each setting: its name, its value, and where that comes from.
func (r *Report) Lines() []string {
	wide := 0
	for _, s := range r.settings {
		wide = max(wide, len(s.name))
	}
	lines := make([]string, 0, len(r.settings))
	for _, s := range r.settings {
		source := r.source[s.name]
		if source == "" {
			source = "default"
		}
		lines = append(lines, fmt.Sprintf("%-*s  %q  (%s)", wide, s.name, s.text(), source))
	}
	return lines
}

// LogValue is a group with the settings that are not the default: slog.Info("settings", "set", r).
func (r *Report) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, s := range r.settings {
		if r.source[s.name] != "" {
			attrs = append(attrs, slog.String(s.name, s.text()))
		}
	}
	return slog.GroupValue(attrs...)
}

// help writes the list of all settings. It is written before dst is filled, so values are defaults.
func (p *parser) help() {
	_, _ = fmt.Fprintf(p.from.Help, "Settings of %s, as flags, in the environment, and in the file that --config or %s names:\n\n",
		p.from.Name, p.variable("config"))
	for _, s := range p.settings {
		_, _ = fmt.Fprintf(p.from.Help, "  --%s (%s, %s)\n      %s", flagOf(s.name), p.variable(s.name), s.name, s.usage)
		if text := s.text(); text != "" && text != "false" && text != "0" && text != "0s" {
			_, _ = fmt.Fprintf(p.from.Help, " (default %s)", text)
		}
		_, _ = fmt.Fprintln(p.from.Help)
	}
}

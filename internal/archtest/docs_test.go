package archtest

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A reader who follows a link, or types a command of a page, gets where the page says.
func TestDocumentsNameWhatExists(t *testing.T) {
	pages := documents(t)
	targets := makeTargets(t)
	for file, text := range pages {
		for _, link := range links(text) {
			if broken := brokenLink(pages, file, link); broken != "" {
				t.Errorf("%s: the link %q leads nowhere: %s", file, link, broken)
			}
		}
		for _, m := range makeCommand.FindAllStringSubmatch(text, -1) {
			if !targets[m[1]] {
				t.Errorf("%s: the Makefile has no target %q", file, m[1])
			}
		}
		for _, m := range goCommand.FindAllStringSubmatch(text, -1) {
			if info, err := os.Stat(filepath.Join(root, m[1])); err != nil || !info.IsDir() {
				t.Errorf("%s: %q names a folder that is not there", file, m[0])
			}
		}
		for _, m := range codeFile.FindAllStringSubmatch(text, -1) {
			_, fromRoot := os.Stat(filepath.Join(root, m[1]))
			_, fromPage := os.Stat(filepath.Join(root, path.Dir(file), m[1])) // of a module of its own
			if fromRoot != nil && fromPage != nil {
				t.Errorf("%s: there is no %s", file, m[1])
			}
		}
		for _, m := range ciCommand.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[0])); err != nil {
				t.Errorf("%s: there is no %s", file, m[0])
			}
		}
	}
}

// Who greps the log finds the message that the page explains, and who sets an option finds it.
func TestOperationsNameLogLinesAndOptions(t *testing.T) {
	var code strings.Builder
	walk(t, func(file string) {
		if filepath.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go") {
			content, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Error(err)
			}
			code.Write(content)
		}
	})
	pages := documents(t)
	_, table, _ := strings.Cut(pages["docs/operations.md"], "| message | what to do |")
	table, _, _ = strings.Cut(table, "\n\n")
	lines := regexp.MustCompile(`(?m)^\| .*\|$`).FindAllString(table, -1)
	if len(lines) < 10 {
		t.Errorf("the page explains %d log lines, want 10 or more", len(lines))
	}
	for _, line := range lines {
		first, _, _ := strings.Cut(strings.Trim(line, "| "), "|")
		for _, m := range regexp.MustCompile("`([a-z][^`]+)`").FindAllStringSubmatch(first, -1) {
			if !strings.Contains(code.String(), `"`+m[1]) {
				t.Errorf("docs/operations.md explains %q, which nothing logs", m[1])
			}
		}
	}
	for file, text := range pages {
		if file == "CHANGELOG.md" || strings.HasPrefix(file, "clients/") {
			continue // tells of the past; has options of its own
		}
		for _, m := range regexp.MustCompile("`(With[A-Z][A-Za-z]+)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(code.String(), "func "+m[1]+"(") {
				t.Errorf("%s names the option %s, which is not there", file, m[1])
			}
		}
	}
}

// Who changes how nodes talk is led to the right file.
func TestClusterInternalsNameFilesOfTheMesh(t *testing.T) {
	text := documents(t)["docs/cluster-internals.md"]
	files := regexp.MustCompile("`([a-z0-9_]+\\.go)`").FindAllStringSubmatch(text, -1)
	if len(files) < 10 {
		t.Errorf("the page names %d files, want those of all rooms", len(files))
	}
	for _, m := range files {
		if _, err := os.Stat(filepath.Join(root, "internal", "mesh", m[1])); err != nil {
			t.Errorf("there is no internal/mesh/%s", m[1])
		}
	}
}

// Whoever has one of the questions finds its answer in the file that ARCHITECTURE.md names,
// without scrolling.
func TestFilesAnswerTheTenQuestions(t *testing.T) {
	_, table, ok := strings.Cut(documents(t)["ARCHITECTURE.md"], "| question | file | in short |")
	if !ok {
		t.Fatal("there are no questions")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	questions := 0
	for _, row := range strings.Split(table, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) < 4 || !strings.HasSuffix(strings.TrimSpace(cells[1]), "?") {
			continue
		}
		questions++
		var screens string
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1) {
			if strings.HasSuffix(m[1], ".go") {
				b, err := os.ReadFile(filepath.Join(root, "internal", "mesh", m[1]))
				if err != nil {
					t.Error(err)
				}
				lines := strings.Split(string(b), "\n")
				screens += strings.Join(lines[:min(60, len(lines))], "\n")
			} else if !strings.Contains(m[1], "/") && !regexp.MustCompile(`\b`+m[1]+`\b`).MatchString(screens) {
				t.Errorf("%s the first screen of the file does not have %s", strings.TrimSpace(cells[1]), m[1])
			}
		}
	}
	if questions != 11 {
		t.Errorf("there are %d questions", questions)
	}
}

// Without this a page with a slip in a link, an anchor or a command passes.
func TestBrokenLinksAreFound(t *testing.T) {
	pages := map[string]string{"docs/a.md": "# A, `b` and C\n\n```sh\n# no heading\n```\n", "README.md": "# Top\n"}
	for link, want := range map[string]bool{
		"#a-b-and-c":        false,
		"a.md#a-b-and-c":    false,
		"../README.md#top":  false,
		"../README.md":      false,
		"https://a.example": false,
		"#no-heading":       true,
		"../README.md#b":    true,
		"no.md":             true,
	} {
		if got := brokenLink(pages, "docs/a.md", link); (got != "") != want {
			t.Errorf("%s: %q, want broken: %v", link, got, want)
		}
	}
	if got := links("a [b](c.md#d) `[no](link)` ![e](f.png)"); !slices.Equal(got, []string{"c.md#d", "f.png"}) {
		t.Errorf("links are %q", got)
	}
}

// Text in lines that fit beside the code is read; lines as long as they come are not.
func TestLinesOfDocumentsAreShort(t *testing.T) {
	for _, file := range []string{
		"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/cluster.md", "docs/cluster-internals.md",
		"docs/from-v0.5.md", "docs/operations.md", "docs/performance.md", "docs/protocol.md",
		"docs/tracing.md", "docs/tutorial.md", "docs/types.md",
	} {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Error(err)
			continue
		}
		code := false
		for i, line := range strings.Split(string(content), "\n") {
			if fence(line) {
				code = !code
			}
			if n := len([]rune(line)); n > 100 && !code && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d has %d columns, more than 100", file, i+1, n)
			}
		}
	}
}

var (
	linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	spanPattern = regexp.MustCompile("`[^`\n]*`")
	makeCommand = regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z-]*)")
	goCommand   = regexp.MustCompile(`go (?:run|test|doc|vet|build)(?: -[a-z]+(?: '[^']*'| \d+)?)* (\./[a-z][a-z0-9/_-]*)`)
	codeFile    = regexp.MustCompile("`((?:internal|cluster|clients|benchmark|test|scheduler|session|codec)/[a-z0-9/_.-]+)`")
	ciCommand   = regexp.MustCompile(`\.ci/[a-z-]+\.sh`)
)

// documents returns the text of every page by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	walk(t, func(file string) {
		if filepath.Ext(file) != ".md" {
			return
		}
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Error(err)
		}
		pages[filepath.ToSlash(file)] = string(content)
	})
	if len(pages) < 5 {
		t.Fatalf("found the pages %v only", slices.Sorted(maps.Keys(pages)))
	}
	return pages
}

func makeTargets(t *testing.T) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(string(content), -1) {
		targets[m[1]] = true
	}
	return targets
}

func fence(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "```") }

// prose returns the lines of a page that are no code.
func prose(text string) (lines []string) {
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		if fence(line) {
			code = !code
		} else if !code {
			lines = append(lines, line)
		}
	}
	return lines
}

// links returns where the links and pictures of a page lead.
func links(text string) (all []string) {
	for _, line := range prose(text) {
		for _, m := range linkPattern.FindAllStringSubmatch(spanPattern.ReplaceAllString(line, "x"), -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// brokenLink says what is wrong with a link of a page, or nothing. Links to other sites are not
// followed.
func brokenLink(pages map[string]string, page, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	target, anchor, _ := strings.Cut(link, "#")
	file := page
	if target != "" {
		file = path.Join(path.Dir(page), target)
	}
	text, isPage := pages[file]
	if !isPage {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			return "there is no " + file
		}
	}
	if anchor != "" && isPage && !slices.Contains(anchors(text), anchor) {
		return file + " has no such heading"
	}
	return ""
}

// anchors returns the names under which the headings of a page can be reached, as GitHub makes
// them.
func anchors(text string) (all []string) {
	for _, line := range prose(text) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title)))
	}
	return all
}

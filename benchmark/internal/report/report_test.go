package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func sample() *Report {
	r := &Report{Machine: "2 cores of <a machine> & more", Date: "2026-01-02", Subjects: []string{"floor", "portable", "peer"}}
	echo := &Row{Name: "echo & back", Unit: "µs a request"}
	for _, v := range []float64{3, 1, 2} {
		echo.Add("floor", v, map[string]float64{"p50_us": 10 * v}, "")
	}
	echo.Add("portable", 2.5, nil, "")
	echo.Add("peer", 12345.6, nil, "7 were lost")
	churn := &Row{Name: "joins", Unit: "a second", More: true}
	churn.Add("portable", 234567, nil, "")
	r.Rows = append(r.Rows, echo, churn)
	return r
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{4}, 4}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := Median(c.of); got != c.want {
			t.Errorf("of %v it is %v, want %v", c.of, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sample().Table(&b); err != nil {
		t.Fatal(err)
	}
	const want = `| work        | unit         | floor |    portable |               peer |
| ----------- | ------------ | ----: | ----------: | -----------------: |
| echo & back | µs a request |  2.00 | 2.50 (1.25) | 12,346 (6172.80) ! |
| joins       | a second     |     - |     234,567 |                  - |
! echo & back, peer: 7 were lost
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	floor := back.Rows[0].Cells["floor"]
	if floor.Value != 2 || len(floor.Runs) != 3 || floor.Other["p50_us"] != 20 {
		t.Errorf("%+v", floor)
	}
	if back.Rows[1].Cells["floor"] != nil {
		t.Error("what was not measured has a value")
	}
}

// The picture is XML whatever the names are, and its bars are as long as the values say.
func TestSVG(t *testing.T) {
	var b bytes.Buffer
	if err := sample().SVG(&b); err != nil {
		t.Fatal(err)
	}
	var text, bars []string
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.CharData:
			text = append(text, string(e))
		case xml.StartElement:
			attr := map[string]string{}
			for _, a := range e.Attr {
				attr[a.Name.Local] = a.Value
			}
			if e.Name.Local == "rect" && attr["x"] == "330" {
				bars = append(bars, attr["width"])
			}
		}
	}
	if got := strings.Join(bars, " "); got != "1.0 1.0 300.0 300.0" {
		t.Errorf("the bars are %s wide", got)
	}
	for _, want := range []string{"echo & back ", "12,346 (6172.80)", "2 cores of <a machine> & more, 2026-01-02"} {
		if !strings.Contains(strings.Join(text, "|"), want) {
			t.Errorf("%q is not in the picture", want)
		}
	}
}

package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxDepth      = 32   // of elements; real responses have a dozen
	maxElements   = 1000 // real responses have a hundred
	maxAttributes = 64   // of an element
)

// check looks through a document before anything is done with it: verifying a signature
// copies parts of it again and again, so that its shape must be bounded.
func check(b []byte) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }
	depth, elements, roots := 0, 0, 0
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.New("not XML")
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
			elements++
			if depth > maxDepth || elements > maxElements || len(t.Attr) > maxAttributes {
				return errors.New("nested too deep, or too large")
			}
			if err := checkNames(&t); err != nil {
				return err
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("it has a DTD")
		case xml.ProcInst:
			if t.Target != "xml" || elements > 0 {
				return errors.New("it has a processing instruction")
			}
		}
	}
	if roots != 1 || depth != 0 {
		return errors.New("it has no single root")
	}
	return nil
}

// checkNames refuses what the decoder lets pass and XML does not: names with two
// colons, which two readers may divide in two ways, and an attribute given twice.
func checkNames(e *xml.StartElement) error {
	if strings.Contains(e.Name.Local, ":") {
		return errors.New("a name with two colons")
	}
	seen := make(map[xml.Name]bool, len(e.Attr))
	for _, a := range e.Attr {
		if strings.Contains(a.Name.Local, ":") {
			return errors.New("a name with two colons")
		}
		if seen[a.Name] {
			return fmt.Errorf("attribute %.64q twice", a.Name.Local)
		}
		seen[a.Name] = true
	}
	return nil
}

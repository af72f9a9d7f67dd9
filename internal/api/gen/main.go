// Command gen makes the packages internal/api/<service> and docs/coverage.md
// from the AWS models in models/ and the list internal/api/services.txt.
//
//	go generate ./internal/api
//
// What it writes depends on those files alone, so a test can compare.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	root := flag.String("root", ".", "the repository")
	out := flag.String("out", "", "where to write, if not into the repository")
	flag.Parse()
	files, err := generate(os.DirFS(*root))
	if err != nil {
		log.Fatal(err)
	}
	if *out == "" {
		*out = *root
	}
	for _, name := range sortedKeys(files) {
		p := filepath.Join(*out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(p, files[name], 0o666); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns all generated files by path from the root of the repository.
func generate(repo fs.FS) (map[string][]byte, error) {
	list, err := fs.ReadFile(repo, "internal/api/services.txt")
	if err != nil {
		return nil, err
	}
	services, err := parseList(string(list))
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	var pages []*emitter
	for _, s := range services {
		b, err := fs.ReadFile(repo, "models/"+s.name+".json")
		if err != nil {
			return nil, err
		}
		m, err := parseModel(s.name, b)
		if err != nil {
			return nil, err
		}
		e, err := newEmitter(m, s)
		if err != nil {
			return nil, err
		}
		files, err := e.files()
		if err != nil {
			return nil, err
		}
		for name, b := range files {
			out[name] = b
		}
		pages = append(pages, e)
	}
	out["docs/coverage.md"] = coverage(pages)
	return out, nil
}

// service is a service of the list.
type service struct {
	name   string
	modes  map[string]string // operation -> Read, Write, Outside
	events map[string]string // operation -> eventName in records, where it is another
}

var modeNames = map[string]string{"read": "Read", "write": "Write", "outside": "Outside"}

// parseList reads services.txt. A service with a single "-" for the
// operation is generated without serving any.
func parseList(text string) ([]*service, error) {
	var list []*service
	byName := map[string]*service{}
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line, _, _ := strings.Cut(sc.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		s := byName[f[0]]
		if s == nil {
			s = &service{f[0], map[string]string{}, map[string]string{}}
			byName[f[0]] = s
			list = append(list, s)
		}
		if len(f) == 2 && f[1] == "-" {
			continue
		}
		if len(f) < 3 || len(f) > 4 || modeNames[f[2]] == "" {
			return nil, fmt.Errorf("services.txt:%d: want service, operation, read, write or outside, and perhaps the name in records", n)
		}
		if s.modes[f[1]] != "" {
			return nil, fmt.Errorf("services.txt:%d: %s %s is listed twice", n, f[0], f[1])
		}
		s.modes[f[1]] = modeNames[f[2]]
		if len(f) == 4 {
			s.events[f[1]] = f[3]
		}
	}
	return list, sc.Err()
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"coffer/internal/server"
)

type envOpts struct {
	dir     func() (server.Dir, error)
	dev     bool
	url     string
	through string
	shell   string
	json    bool
}

var envCommand = command{
	name: "env", summary: "print the environment that points AWS tools here",
	help: `
Prints the variables that make AWS SDKs and the AWS CLI talk to this server as
the root of its first account, and coffer's own commands ask it:

  eval "$(coffer env)"                             sh, bash, zsh
  coffer env --shell fish | source                 fish
  coffer env --shell powershell | Invoke-Expression

With --through the calls go through one of the server's endpoints (--endpoint of
coffer server), and what its policy does not allow is refused.`,
	flags: func(f *flag.FlagSet) any {
		o := &envOpts{dir: dirFlag(f)}
		f.BoolVar(&o.dev, "dev", false, "for a server started with --dev")
		f.StringVar(&o.url, "url", "http://127.0.0.1:4566", "with --dev: endpoint `URL`")
		f.StringVar(&o.through, "through", "", "go through the endpoint with this `ID`, such as vpce-0123456789abcdef0")
		f.StringVar(&o.shell, "shell", "sh", "`SHELL`: sh, fish or powershell")
		f.BoolVar(&o.json, "json", false, "print a JSON object instead")
		return o
	},
	run: runEnv,
}

func runEnv(_ context.Context, e Env, opts any, _ []string) error {
	o := opts.(*envOpts)
	if o.dev && o.through != "" {
		return usagef("--dev does not go with --through; give the endpoint's address with --url")
	}
	vars := [][2]string{
		{"AWS_ENDPOINT_URL", o.url},
		{"AWS_REGION", "us-east-1"},
		{"AWS_DEFAULT_REGION", "us-east-1"},
		{"AWS_ACCESS_KEY_ID", "test"},
		{"AWS_SECRET_ACCESS_KEY", "test"},
		{"COFFER_DEV_URL", o.url}, // for our own commands, as COFFER_DATA_DIR below
	}
	if !o.dev {
		dir, err := o.dir()
		if err != nil {
			return err
		}
		run, err := server.ReadJSON[server.Running](dir.Running())
		if err == nil {
			_, err = dial(dir) // a killed server leaves its server.json behind
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoServer) {
			return noServer(dir)
		}
		if err != nil {
			return err
		}
		if o.through != "" {
			if run.URL = run.Endpoints[o.through]; run.URL == "" {
				return noEndpoint(o.through, run.Endpoints)
			}
		}
		cred, err := server.ReadJSON[server.Credentials](dir.Credentials())
		if err != nil {
			return fmt.Errorf("root access keys of the first account: %w; `coffer account keys ACCOUNT` makes new ones", err)
		}
		vars = [][2]string{
			{"AWS_ENDPOINT_URL", run.URL},
			{"AWS_REGION", run.Region},
			{"AWS_DEFAULT_REGION", run.Region}, // what the AWS CLI v1 reads
			{"AWS_ACCESS_KEY_ID", cred.AccessKeyID},
			{"AWS_SECRET_ACCESS_KEY", cred.SecretAccessKey},
			{"COFFER_DATA_DIR", string(dir)},
		}
		if run.CA != "" {
			vars = append(vars, [2]string{"AWS_CA_BUNDLE", run.CA})
		}
	}
	other := "COFFER_DEV_URL"
	if o.dev {
		other = "COFFER_DATA_DIR"
	}
	unset := []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", other} // our own commands would ask the other server
	if !slices.ContainsFunc(vars, func(v [2]string) bool { return v[0] == "AWS_CA_BUNDLE" }) {
		unset = append(unset, "AWS_CA_BUNDLE")
	}
	if o.json {
		m := make(map[string]string)
		for _, v := range vars {
			m[v[0]] = v[1]
		}
		enc := json.NewEncoder(e.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(m)
	}
	// A profile or a session token from before would win over, or spoil, the keys; a
	// CA bundle from before would not know the certificate.
	switch o.shell {
	case "sh":
		for _, v := range vars {
			fmt.Fprintf(e.Stdout, "export %s=%s\n", v[0], quote(v[1]))
		}
		fmt.Fprintln(e.Stdout, "unset", strings.Join(unset, " "))
	case "fish":
		for _, v := range vars {
			fmt.Fprintf(e.Stdout, "set -gx %s %s\n", v[0], quote(v[1]))
		}
		for _, name := range unset {
			fmt.Fprintln(e.Stdout, "set -e", name)
		}
	case "powershell":
		for _, v := range vars {
			fmt.Fprintf(e.Stdout, "$env:%s = '%s'\n", v[0], strings.ReplaceAll(v[1], "'", "''"))
		}
		for _, name := range unset {
			fmt.Fprintf(e.Stdout, "Remove-Item Env:%s -ErrorAction SilentlyContinue\n", name)
		}
	default:
		return usagef("--shell is sh, fish or powershell, not %q", o.shell)
	}
	return nil
}

// noEndpoint says which endpoints there are.
func noEndpoint(id string, have map[string]string) error {
	if len(have) == 0 {
		return fmt.Errorf("the server has no endpoints; start it with --endpoint id=%s,listen=HOST:PORT", id)
	}
	return fmt.Errorf("the server has no endpoint %s; it has %s", id, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
}

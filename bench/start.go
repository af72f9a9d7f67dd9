package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// startOptions say how starts are measured.
type startOptions struct {
	rounds int
	idle   time.Duration
}

func (o *startOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.rounds, "rounds", 5, "first starts, and later starts")
	fs.DurationVar(&o.idle, "idle", time.Minute, "how long to idle before memory is read again")
}

// measureStart measures starts to the first answer, over TLS as it comes.
func measureStart(ctx context.Context, env *environment, o startOptions) (*report, error) {
	// Once to have the program in the page cache.
	if _, err := tool(ctx, env.coffer, "version"); err != nil {
		return nil, err
	}
	t := table{Title: "From starting the program to the first answered call", Head: []string{"start", "CreateSecret or ListSecrets answered, ms", "of that until listening, ms"}}
	var first, firstUp, later, laterUp []time.Duration
	for round := range o.rounds {
		dir := env.path(fmt.Sprintf("start-%d", round))
		took, up, c, err := timedStart(ctx, env, dir, "CreateSecret", fmt.Appendf(nil, `{"Name":"first","ClientRequestToken":%q,"SecretString":"value"}`, versionID(0, 0)))
		if err != nil {
			return nil, err
		}
		first, firstUp = append(first, took), append(firstUp, up)
		if err := c.stop(); err != nil {
			return nil, err
		}
		if took, up, c, err = timedStart(ctx, env, dir, "ListSecrets", []byte("{}")); err != nil {
			return nil, err
		}
		later, laterUp = append(later, took), append(laterUp, up)
		if err := c.stop(); err != nil {
			return nil, err
		}
		env.progress("start %d of %d: first %s, later %s", round+1, o.rounds, millis(first[round]), millis(later[round]))
	}
	t.add("first, new directory", durations(first, time.Millisecond).String(), durations(firstUp, time.Millisecond).String())
	t.add("later", durations(later, time.Millisecond).String(), durations(laterUp, time.Millisecond).String())

	_, _, c, err := timedStart(ctx, env, env.path("start-0"), "ListSecrets", []byte("{}"))
	if err != nil {
		return nil, err
	}
	defer c.kill()
	fresh, err := c.memory()
	if err != nil {
		return nil, err
	}
	env.progress("idling for %s", o.idle)
	select {
	case <-time.After(o.idle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	before, err := c.cpu()
	if err != nil {
		return nil, err
	}
	idle, err := c.memory()
	if err != nil {
		return nil, err
	}
	return &report{
		Name: "start", Title: "Starts",
		Setup:  fmt.Sprintf("%d first starts, each on a new directory (root key, account, CA and certificate made), and %d later ones; medians, with the smallest and largest. One signed call over TLS 1.3, the handshake included.", o.rounds, o.rounds),
		Tables: []table{t},
		Goals: []goal{
			{Name: "first start to the first answer", Measured: durations(first, time.Millisecond).median(), Limit: 300, Unit: "ms"},
			{Name: "later starts to the first answer", Measured: durations(later, time.Millisecond).median(), Limit: 100, Unit: "ms"},
			{Name: "resident memory after " + o.idle.String() + " idle", Measured: float64(idle.RSS) / (1 << 20), Limit: 40, Unit: "MiB"},
		},
		Notes: []string{fmt.Sprintf("After the first answer %s were resident (%s not backed by files), after %s idle %s (%s); %s of CPU had been taken in all.",
			mib(fresh.RSS), mib(fresh.Anon), o.idle, mib(idle.RSS), mib(idle.Anon), millis(before))},
	}, nil
}

// timedStart starts a server and makes one call as soon as it listens.
func timedStart(ctx context.Context, env *environment, dir, operation string, body []byte) (took, up time.Duration, c *coffer, err error) {
	start := time.Now()
	c, err = startCoffer(ctx, env.coffer, dir, false)
	if err != nil {
		return 0, 0, nil, err
	}
	up = time.Since(start)
	cn, err := dial(ctx, c.endpoint)
	if err == nil {
		cn.SetDeadline(time.Now().Add(stuck))
		_, err = cn.call(newSigner(c.creds, c.endpoint.addr), operation, body)
		took = time.Since(start)
		cn.Close()
	}
	if err != nil {
		c.kill()
		return 0, 0, nil, c.explain(err)
	}
	return took, up, c, nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"time"
)

// allFlags defines what can be set for a run of everything; the rest is as each
// measurement has it by default.
func allFlags(fs *flag.FlagSet) measurement {
	var (
		read   readOptions
		write  writeOptions
		scale  scaleOptions
		start  startOptions
		access accessOptions
		crowd  crowdOptions
		rotate rotationOptions
		invoke functionsOptions
		crash  crashOptions
	)
	for _, define := range []func(*flag.FlagSet){read.flags, write.flags, scale.flags, start.flags, access.flags, crowd.flags, rotate.flags, invoke.flags, crash.flags} {
		define(flag.NewFlagSet("", flag.ContinueOnError)) // sets the defaults
	}
	rounds := fs.Int("rounds", 5, "rounds of reads, writes, starts, and callers")
	slot := fs.Duration("slot", 3*time.Second, "how long each server is measured in one round")
	fs.IntVar(&scale.n, "n", 100_000, "secrets of the large store")
	fs.StringVar(&scale.data, "data", "", "keep the large store in this `directory`, or use the one that is there")
	fs.DurationVar(&start.idle, "idle", time.Minute, "how long to idle before memory is read again")
	fs.IntVar(&crash.rounds, "crash-rounds", 50, "rounds of kill -9")
	return func(ctx context.Context, env *environment) ([]*report, error) {
		read.rounds, write.rounds, scale.rounds, start.rounds, access.rounds, crowd.rounds = *rounds, *rounds, *rounds, *rounds, *rounds, *rounds
		read.slot, write.slot, scale.slot, access.slot, crowd.slot = *slot, *slot, *slot, *slot, *slot
		if err := env.build(ctx); err != nil {
			return nil, err
		}
		var reports []*report
		var errs []error
		for _, measure := range []measurement{
			one(read, measureRead), one(write, measureWrite), one(scale, measureScale), one(start, measureStart),
			one(access, measureAccess), one(crowd, measureCrowd),
			one(rotate, measureRotation), one(invoke, measureFunctions), one(crash, measureCrash),
		} {
			rs, err := measure(ctx, env)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			// One that fails does not keep the others from being seen.
			reports, errs = append(reports, rs...), append(errs, err)
		}
		return reports, errors.Join(errs...)
	}
}

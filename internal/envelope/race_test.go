//go:build race

package envelope_test

const raceEnabled = true // the detector makes sync.Pool drop at random

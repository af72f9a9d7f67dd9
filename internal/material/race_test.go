//go:build race

package material_test

const raceEnabled = true // the detector makes sync.Pool drop at random

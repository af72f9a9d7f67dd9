//go:build !race

package material_test

const raceEnabled = false

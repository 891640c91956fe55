package main

import (
	"fmt"
	"io"
)

// Every mix of both kinds in groups of 3 and 5, and groups of one kind as controls.
var (
	mixed    = []mix{{1, 3}, {2, 3}, {1, 5}, {2, 5}, {3, 5}, {4, 5}}
	controls = []mix{{0, 3}, {3, 3}, {0, 5}, {5, 5}}
)

// mixOf gives every tenth seed a group of one kind.
func mixOf(seed uint64) mix {
	if seed%10 == 0 {
		return controls[seed/10%uint64(len(controls))]
	}
	return mixed[(seed-seed/10)%uint64(len(mixed))]
}

// parseMix returns nil for "": the seed decides.
func parseMix(text string) (*mix, error) {
	if text == "" {
		return nil, nil
	}
	var m mix
	var rest string
	if n, _ := fmt.Sscanf(text, "%d:%d%s", &m.ours, &m.members, &rest); n != 2 || m.ours < 0 || m.members < 1 ||
		m.ours > m.members || m.members > mostMembers/2 {
		return nil, fmt.Errorf("-mix takes ours:members with at most %d members, e.g. 2:5, not %q", mostMembers/2, text)
	}
	return &m, nil
}

func newWorldOf(seed uint64, fixed *mix, fault driverFault, transcript io.Writer) *world {
	m := mixOf(seed)
	if fixed != nil {
		m = *fixed
	}
	return newWorld(seed, m, fault, transcript)
}

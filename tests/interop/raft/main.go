// Program raft runs groups in which some members have our Raft core and the others that of
// go.etcd.io/raft, in a simulated network, one world per seed (README.md).
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

type settings struct {
	library     string
	seeds       uint64
	first       uint64
	mix         string
	trace       bool
	driverFault string
	stopAtFirst bool
	mutants     string
	only        string
}

func parseSettings() settings {
	var s settings
	flag.StringVar(&s.library, "lib", defaultLibrary, "our core's library (target raft_interop)")
	flag.Uint64Var(&s.seeds, "seeds", 300, "how many worlds")
	flag.Uint64Var(&s.first, "first", 1, "the first one's seed")
	flag.StringVar(&s.mix, "mix", "", "ours:members, e.g. 2:5; without it the seed decides")
	flag.BoolVar(&s.trace, "trace", false, "replay the first seed and print all that happens")
	flag.StringVar(&s.driverFault, "break", "", fmt.Sprintf("a fault of our cores' driver: one of %q", driverFaults))
	flag.BoolVar(&s.stopAtFirst, "stop", false, "stop at the first violation")
	flag.StringVar(&s.mutants, "mutants", "", "see the faults of mutants.txt caught; their libraries are in this folder")
	flag.StringVar(&s.only, "only", "", "with -mutants: only those whose name contains this")
	flag.Parse()
	return s
}

const defaultLibrary = "../../../build/dev/lib/libraft_interop.so"

func main() {
	s := parseSettings()
	err := s.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s settings) run() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no option", flag.Arg(0))
	}
	if s.mutants != "" {
		return runMutants(s)
	}
	quietEtcd()
	if err := loadLibrary(s.library); err != nil {
		return err
	}
	fixed, err := parseMix(s.mix)
	if err != nil {
		return err
	}
	if s.trace {
		return s.replay(fixed)
	}
	return s.runSeeds(fixed)
}

// replay prints one world.
func (s settings) replay(fixed *mix) error {
	w := newWorldOf(s.first, fixed, driverFault(s.driverFault), os.Stdout)
	violation := w.run()
	if violation != "" {
		return fmt.Errorf("seed %d, %v of ours: %s", s.first, w.mix, violation)
	}
	fmt.Print(w.checker.counts.String())
	return nil
}

var errViolations = errors.New("the mixed group broke a rule (above)")

func (s settings) runSeeds(fixed *mix) error {
	begun := time.Now()
	var sum counts
	failed := 0
	for seed := s.first; seed < s.first+s.seeds; seed++ {
		w := newWorldOf(seed, fixed, driverFault(s.driverFault), nil)
		violation := w.run()
		w.checker.counts.runs = 1
		sum.add(w.checker.counts)
		if violation == "" {
			continue
		}
		failed++
		fmt.Printf("seed %d, %v of ours: %s\n  replay: go run . -trace -first %d%s\n", seed, w.mix, violation, seed,
			s.options())
		if s.stopAtFirst {
			break
		}
	}
	took := time.Since(begun).Seconds()
	fmt.Printf("%s%d violations in %.1f s, %.1f runs/s\n", sum.String(), failed, took, float64(sum.runs)/took)
	if failed > 0 {
		return errViolations
	}
	return nil
}

// options are those that a replay needs beside the seed.
func (s settings) options() string {
	var b strings.Builder
	if s.mix != "" {
		fmt.Fprintf(&b, " -mix %s", s.mix)
	}
	if s.driverFault != "" {
		fmt.Fprintf(&b, " -break %s", s.driverFault)
	}
	if s.library != defaultLibrary {
		fmt.Fprintf(&b, " -lib %s", s.library)
	}
	return b.String()
}

package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"testing"
)

var (
	testLibrary = flag.String("lib", defaultLibrary, "our core's library (target raft_interop)")
	testSeeds   = flag.Uint64("seeds", 2000, "how many worlds the fixed set has")
)

func TestMain(m *testing.M) {
	flag.Parse()
	quietEtcd()
	if err := loadLibrary(*testLibrary); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// The fixed set: clean, and everything that this program is for happened in it.
func TestMixedGroups(t *testing.T) {
	var sum counts
	for seed := uint64(1); seed <= *testSeeds; seed++ {
		w := newWorldOf(seed, nil, noDriverFault, nil)
		if violation := w.run(); violation != "" {
			t.Errorf("seed %d, %v of ours: %s", seed, w.mix, violation)
		}
		w.checker.counts.runs = 1
		sum.add(w.checker.counts)
	}
	t.Logf("\n%s", sum.String())
	if *testSeeds < 100 {
		return
	}
	for name, pair := range map[string][2]uint64{
		"proposals acknowledged": sum.acknowledged, "terms led": sum.leaders, "reads of leaders": sum.leaderReads,
		"reads of others": sum.followerReads, "crashes": sum.crashes,
		"snapshots from ours": sum.snapshots[ours], "snapshots from etcd": sum.snapshots[etcd],
		"transfers by ours": sum.transfers[ours], "transfers by etcd": sum.transfers[etcd],
	} {
		if pair[ours] == 0 || pair[etcd] == 0 {
			t.Errorf("%s: %d of ours, %d of etcd: the runs do not test that", name, pair[ours], pair[etcd])
		}
	}
	if sum.confChanges == 0 {
		t.Error("no membership change was applied")
	}
}

func TestSeedsCoverEveryMix(t *testing.T) {
	seen := map[mix]bool{}
	for seed := uint64(1); seed <= 100; seed++ {
		seen[mixOf(seed)] = true
	}
	for _, m := range append(mixed, controls...) {
		if !seen[m] {
			t.Errorf("no seed up to 100 has %v of ours", m)
		}
	}
	for _, text := range []string{"4:3", "3", "-1:3", "1:3x", "1:99"} {
		if _, err := parseMix(text); err == nil {
			t.Errorf("-mix %s is taken", text)
		}
	}
}

// A seed that fails must fail again when it is replayed, with the trace on.
func TestSeedRunsTheSameAgain(t *testing.T) {
	transcript := func(seed uint64) []byte {
		var out bytes.Buffer
		newWorldOf(seed, nil, noDriverFault, &out).run()
		return out.Bytes()
	}
	for seed := uint64(1); seed <= 12; seed++ {
		first := transcript(seed)
		if len(first) == 0 || !bytes.Equal(first, transcript(seed)) {
			t.Errorf("seed %d does not run the same again", seed)
		}
		silent := newWorldOf(seed, nil, noDriverFault, nil)
		silent.run()
		traced := newWorldOf(seed, nil, noDriverFault, io.Discard)
		traced.run()
		if silent.checker.counts != traced.checker.counts {
			t.Errorf("seed %d runs otherwise when it is traced", seed)
		}
	}
}

// What a driver of our core owes it is as necessary as what the core does.
func TestDriverFaultsAreNoticed(t *testing.T) {
	const budget = 500
	for _, fault := range []driverFault{sendBeforeWrite, forgetVote} {
		noticed := false
		for seed := uint64(1); seed <= budget && !noticed; seed++ {
			w := newWorldOf(seed, nil, fault, nil)
			violation := w.run()
			noticed = violation != ""
			if noticed {
				t.Logf("%s: seed %d: %s", fault, seed, violation)
			}
		}
		if !noticed {
			t.Errorf("%s goes unnoticed in %d seeds", fault, budget)
		}
	}
}

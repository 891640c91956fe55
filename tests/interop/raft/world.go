package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"

	pb "go.etcd.io/raft/v3/raftpb"
)

const (
	tickMicros  = 100_000
	mostMembers = 12 // that ever were
	faultyTime  = 12_000_000
	healedTime  = 15_000_000 // at most: the group must have come together by then
)

// mix is how many of the first members run our core.
type mix struct{ ours, members int }

func (m mix) String() string { return fmt.Sprintf("%d:%d", m.ours, m.members) }

// world is a group of both kinds in one simulated network, from one seed: every fault of faults for some
// seconds, then none, and the group must come together again. The same seed, mix and driver fault run the
// same again.
type world struct {
	seed    uint64
	mix     mix
	rng     *rand.Rand
	faults  faults
	fault   driverFault
	checker *checker
	trace   trace
	nodes   []*node
	cut     [mostMembers][mostMembers]bool // [from][to]
	events  eventQueue
	now     uint64 // microseconds
	asked   uint64
	healed  bool
}

// node is a member and what surrounds its process.
type node struct {
	*member
	life              uint64
	tickMicros        uint64
	stalledUntil      uint64
	slowUntil         uint64 // its disk
	crashWhenWriting  bool
	inbox             []func() // inputs that wait for the end of a write
	ticksMissed       int
	transferFrom      uint64 // the term in which it was told to lead by transfer
	transferBy        kind
	wantsSnapshot     bool
	snapshotsUnderWay map[uint64]kind // who sent the snapshot at an index that it may install
}

func newWorld(seed uint64, m mix, fault driverFault, transcript io.Writer) *world {
	w := &world{seed: seed, mix: m, fault: fault, rng: rand.New(rand.NewPCG(seed, 0x6d69786564))}
	etcdRandom(rand.New(rand.NewPCG(seed, 0x65746364)))
	w.trace = trace{on: transcript != nil, to: transcript, now: &w.now}
	w.faults = drawFaults(w.rng)
	var founders pb.ConfState
	for id := 1; id <= m.members; id++ {
		founders.Voters = append(founders.Voters, uint64(id))
	}
	w.checker = newChecker(founders)
	w.checker.newLeader = w.harmLeader
	kinds := make([]kind, m.members)
	for i := m.ours; i < m.members; i++ {
		kinds[i] = etcd
	}
	w.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for _, k := range kinds {
		w.addMember(k, founders)
	}
	return w
}

// addMember adds a node; the first ones begin with a snapshot that says who they are, as the first one of
// a real group does, later ones with nothing.
func (w *world) addMember(k kind, founders pb.ConfState) {
	bytes := func() uint64 { return [...]uint64{1, 100, 1 << 20}[w.rng.IntN(3)] } // one entry always fits
	m := &member{
		kind: k, fault: w.fault, checker: w.checker, trace: &w.trace,
		options: options{
			id: uint64(len(w.nodes) + 1), maxInflight: 1 + w.rng.Uint64N(8), maxAppend: bytes(),
			electionTicks: w.faults.electionTicks, maxUncommitted: 400, maxCommitted: bytes(),
		},
	}
	if w.faults.oneByOne {
		m.options.maxAppend, m.options.maxInflight = 1, 1
	}
	if len(founders.Voters) > 0 {
		m.disk.term = foundingTerm
		m.disk.snapshot = pb.SnapshotMetadata{ConfState: founders, Index: foundingIndex, Term: foundingTerm}
		m.disk.state = w.checker.sequence[0].state
	}
	skew := 1 + w.faults.skew*(2*w.rng.Float64()-1)
	n := &node{member: m, tickMicros: uint64(tickMicros * skew), snapshotsUnderWay: map[uint64]kind{}}
	w.nodes = append(w.nodes, n)
	w.checker.members = append(w.checker.members, m)
	m.start(w.rng.Uint64())
	w.ownLater(n, w.rng.Uint64N(n.tickMicros), w.onTick)
}

// run says what went wrong, or "".
func (w *world) run() (violation string) {
	defer func() {
		if failure := recover(); failure != nil {
			what := "an assertion of etcd's core failed"
			switch failure.(type) {
			case coreFailure:
				what = "an assertion of our core failed"
			case runtime.Error:
				what = fmt.Sprintf("the program is wrong\n%s", debug.Stack())
			}
			w.checker.fail("%s: %v", what, failure)
			violation = w.checker.violation
		}
		for _, n := range w.nodes {
			if n.up() {
				n.core.Close()
			}
		}
	}()
	w.trace.add("seed %d, %v of ours, %v", w.seed, w.mix, w.faults)
	w.later(0, w.onClient)
	w.later(0, w.onFaults)
	w.runUntil(faultyTime)
	w.endFaults()
	w.comeTogether()
	return w.checker.violation
}

func (w *world) runUntil(end uint64) {
	for w.checker.violation == "" && w.events.nextAt() <= end {
		e := w.events.pop()
		w.now = e.at
		w.checker.counts.events++
		e.do()
	}
	w.now = end
}

func (w *world) later(delay uint64, do func()) { w.events.push(w.now+delay, do) }

// ownLater is for what ends with the life of the node's process, and waits while that stands still.
func (w *world) ownLater(n *node, delay uint64, do func(*node)) {
	life := n.life
	var try func()
	try = func() {
		switch {
		case n.life != life || !n.up():
		case n.stalledUntil > w.now:
			w.events.push(n.stalledUntil, try)
		default:
			do(n)
		}
	}
	w.later(delay, try)
}

func (w *world) busy(n *node) bool { return n.writing != nil && !w.faults.stepWhileWriting }

// input gives a node something from outside, now or after its write; a crash before that loses it.
func (w *world) input(n *node, do func()) {
	if w.busy(n) {
		n.inbox = append(n.inbox, do)
		return
	}
	do()
	w.pump(n)
}

func (w *world) onTick(n *node) {
	w.ownLater(n, n.tickMicros, w.onTick)
	if w.busy(n) {
		n.ticksMissed++
		return
	}
	ticks := 1 + n.ticksMissed
	n.ticksMissed = 0
	for range ticks {
		n.core.Tick()
	}
	n.traceRole()
	w.pump(n)
}

// pump lets a node take what it has to do.
func (w *world) pump(n *node) {
	if w.checker.violation != "" || !n.hasReady() {
		return
	}
	w.send(n, n.take())
	most := w.faults.writeDelay
	if n.slowUntil > w.now {
		most = w.faults.outage/4 + 1
	}
	w.ownLater(n, w.rng.Uint64N(most+1), w.onWritten)
	if n.crashWhenWriting {
		n.crashWhenWriting = false
		w.crash(n)
	}
}

func (w *world) onWritten(n *node) {
	if rd := n.writing; rd.snapshot != nil {
		w.checker.counts.snapshots[n.snapshotsUnderWay[rd.snapshot.Metadata.Index]][n.kind]++
	}
	w.send(n, n.written())
	w.noteTransfer(n)
	n.finish()
	if n.wantsSnapshot {
		n.wantsSnapshot = false
		n.takeSnapshot(w.faults.trailing)
	}
	inbox := n.inbox
	n.inbox = nil
	for _, do := range inbox {
		do()
	}
	w.pump(n)
}

// noteTransfer counts a leadership that began with the word of the leader before.
func (w *world) noteTransfer(n *node) {
	if n.transferFrom == 0 || !n.leads() {
		return
	}
	if n.core.Status().term == n.transferFrom+1 {
		w.checker.counts.transfers[n.transferBy][n.kind]++
	}
	n.transferFrom = 0
}

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// faults says what one seed's world suffers, and how often. Each seed draws its own mixture, many of them
// absent: a fault that always comes with all others hides what it does alone ("swarm testing", Groce and
// others, ISSTA 2012). Times are microseconds.
type faults struct {
	// Each message: probabilities.
	loss, duplication, reorder float64
	// Of an append: that one with fewer of its entries, or none, goes before it. A leader with other limits
	// sends such; what a follower makes of a tail behind the entries shows only so.
	shortened float64
	delay     uint64 // up to
	late      uint64 // of a reordered one, on top, up to
	// Each member and second: expected number.
	crash, isolation, oneWayCut, stall, slowDisk, snapshot, campaign, unreachable float64
	// Of the group, each second.
	partition, membership, transfer float64

	// A new leader, soon: crashes or is cut off from some. Probability.
	harmLeader float64
	// A member that has voted crashes at once, and is back soon. Probability.
	crashVoter float64

	downtime          uint64 // up to
	outage            uint64 // of cuts, stalls and slow disks, up to
	writeDelay        uint64 // up to
	stepWhileWriting  bool   // inputs may come between a ready and its Advance
	crashWhileWriting float64
	skew              float64 // a member's ticks are up to this part longer or shorter
	proposals, reads  uint64  // each second
	trailing          uint64  // entries kept behind a snapshot
	electionTicks     uint64
	oneByOne          bool // one entry in one append, one append on its way
}

// rate is 0 in half of all seeds, else spread evenly over the orders of magnitude.
func rate(rng *rand.Rand, least, most float64) float64 {
	at := rng.Float64()
	if rng.IntN(2) == 0 {
		return 0
	}
	return least * math.Exp(at*math.Log(most/least))
}

func span(rng *rand.Rand, least, most float64) uint64 {
	return uint64(least * math.Exp(rng.Float64()*math.Log(most/least)))
}

func drawFaults(rng *rand.Rand) faults {
	f := faults{
		loss:             rate(rng, 0.002, 0.4),
		duplication:      rate(rng, 0.002, 0.3),
		reorder:          rate(rng, 0.005, 0.4),
		shortened:        rate(rng, 0.01, 0.4),
		delay:            span(rng, 200, 60_000),
		late:             span(rng, 20_000, 3_000_000),
		crash:            rate(rng, 0.02, 0.6),
		isolation:        rate(rng, 0.02, 0.4),
		oneWayCut:        rate(rng, 0.02, 0.6),
		stall:            rate(rng, 0.02, 0.3),
		slowDisk:         rate(rng, 0.02, 0.3),
		snapshot:         rate(rng, 0.05, 3),
		campaign:         rate(rng, 0.02, 0.5),
		unreachable:      rate(rng, 0.02, 1),
		partition:        rate(rng, 0.05, 0.6),
		membership:       rate(rng, 0.1, 4),
		transfer:         rate(rng, 0.1, 2),
		harmLeader:       rate(rng, 0.05, 0.9),
		downtime:         span(rng, 20_000, 3_000_000),
		outage:           span(rng, 50_000, 3_000_000),
		writeDelay:       span(rng, 50, 30_000),
		stepWhileWriting: rng.IntN(2) == 0,
		proposals:        span(rng, 4, 80),
		reads:            span(rng, 1, 60),
		trailing:         rng.Uint64N(6),
		electionTicks:    [...]uint64{3, 5, 10}[rng.IntN(3)],
	}
	if rng.IntN(2) == 0 {
		f.crashWhileWriting = 0.8
	}
	if rng.IntN(4) == 0 {
		f.storm(rng)
	}
	if rng.IntN(2) == 0 {
		f.skew = 0.4 * rng.Float64()
	}
	return f
}

// storm makes leaderships short and many, so that logs diverge; little else happens.
func (f *faults) storm(rng *rand.Rand) {
	f.harmLeader = 0.9
	f.crashVoter = rate(rng, 0.05, 0.8)
	f.campaign = rate(rng, 0.2, 3)
	f.downtime = span(rng, 20_000, 800_000)
	f.outage = span(rng, 100_000, 2_000_000)
	f.delay = span(rng, 500, 15_000)
	f.electionTicks = [...]uint64{3, 5, 8}[rng.IntN(3)]
	f.oneByOne = true
	f.membership, f.stall, f.slowDisk, f.transfer = 0, 0, 0, 0
}

// calm is the world at the end of a run, in which the group must come together.
func calm(f faults) faults {
	return faults{
		delay: 1_000, writeDelay: 2_000, downtime: 1, outage: 1, stepWhileWriting: f.stepWhileWriting,
		proposals: 20, reads: 10, trailing: f.trailing,
	}
}

func (f faults) String() string {
	type plain faults
	return fmt.Sprintf("%+v", plain(f))
}

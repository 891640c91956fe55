// Bounds of the bus layer, beside those of core/base/limits.h, with what happens at each.
#pragma once

#include <chrono>
#include <cstddef>

#include "core/base/limits.h"

namespace bascule::limits {

// Bytes waiting for the socket of the egress connection. Full: publishes answer ResourceExhausted,
// acks are counted as lost. (nats.c moves what is left to the front of its buffer after each
// partial write, so a larger bound costs time.)
inline constexpr size_t kEgressBufferBytes = 4 * kMaxAsyncInFlightBytes + kMaxMessageBytes;
// nats.c's buffers for reading and writing a socket.
inline constexpr int kNatsIoBufferBytes = 256 * static_cast<int>(kKiB);
// Arenas of one shard's ingress batches: what a fresh one reserves, and where a
// batch is closed.
inline constexpr size_t kIngressArenaMinBytes = 4 * kKiB;
inline constexpr size_t kIngressArenaBytes = 512 * kKiB;
// Emptied batches that a shard keeps for reuse.
inline constexpr size_t kIngressSpareBatches = 8;
// After the ingest queue was full it takes messages again below this, so that one overload is one
// gap record.
inline constexpr size_t kIngressResumeBytes = kIngressQueueBytes / 4 * 3;
// A PING on the ingest connection; the last one answered is the time until which nothing was
// missed.
inline constexpr std::chrono::milliseconds kNatsHeartbeat{1000};
// A server that answers no PING for this many heartbeats is left for another.
inline constexpr int kNatsMaxPingsOut = 3;
inline constexpr std::chrono::milliseconds kNatsConnectTimeout{2000};
// Reconnecting: the first delay, doubled at each try, and its cap (each drawn between half and
// whole).
inline constexpr std::chrono::milliseconds kNatsBackoffMin{50};
inline constexpr std::chrono::milliseconds kNatsBackoffMax{2000};
// What a NATS server sends, at most; one that sends more is left, and nothing is kept of it. A line other
// than INFO (a server's subjects are bounded by its own max_control_line, 4 KiB unless set); an INFO, with
// the addresses of its cluster; a message with its headers (the most that a server's max_payload can be).
inline constexpr size_t kNatsServerLineBytes = 64 * kKiB;
inline constexpr size_t kNatsInfoBytes = 256 * kKiB;
inline constexpr size_t kNatsWireMessageBytes = 64 * kMiB;
// Servers learnt from the cluster, beside those that were configured; more: passed over.
inline constexpr size_t kNatsLearntServers = 256;
// One receive from the ingest connection; a larger message makes room for itself while it comes.
inline constexpr size_t kNatsReceiveBytes = 256 * kKiB;
// A shard's queue of which an eighth is left is crowded: the ingest connection reads no more, and NATS keeps
// what comes, until the queue holds less than kIngressResumeBytes again, or for this long. After it messages
// are dropped and counted where there is no room: a server's max_pending (64 MiB unless set) and write_deadline
// end the whole connection, with all its feeds.
inline constexpr std::chrono::milliseconds kNatsPauseMax{50};
// How often a paused connection looks whether there is room again.
inline constexpr std::chrono::milliseconds kNatsPauseLook{1};
// A server that must be encrypted and says nothing for this long waits for TLS to begin (TLS-first).
inline constexpr std::chrono::milliseconds kNatsTlsFirstWait{400};
// How long Stop waits for message callbacks that are still running.
inline constexpr std::chrono::seconds kNatsStopTimeout{5};
// How long a closed subscription is kept, beside the answered PING that it waits for, so that nats.c
// cannot use a freed one.
inline constexpr std::chrono::seconds kNatsClosedFor{5};
// Closed subscriptions of a connection that may be kept; from there on clients' own ack inboxes are
// refused (ResourceExhausted). Streams close far fewer.
inline constexpr size_t kNatsClosedSubscriptions = 100'000;
// A question or an answer of discovery; larger ones are ignored.
inline constexpr size_t kDiscoveryBytes = 16 * kKiB;
// A question is asked again after this, and one that could not be sent after the second.
inline constexpr std::chrono::milliseconds kDiscoveryPeriod{500};
inline constexpr std::chrono::milliseconds kDiscoveryRetry{50};
// Largest file accepted as credentials, seed, key or certificates (a system's bundle of authorities
// has some hundred KiB).
inline constexpr size_t kCredentialFileBytes = 4 * kMiB;

static_assert(kIngressArenaMinBytes <= kIngressArenaBytes);
static_assert(kIngressArenaBytes < kIngressQueueBytes);
static_assert(kIngressResumeBytes < kIngressQueueBytes / 8 * 7);
static_assert(kIngressQueueBytes / 8 >= 16 * kNatsReceiveBytes,
              "what a receive becomes still fits");
static_assert(kNatsWireMessageBytes >= kMaxMessageBytes);
static_assert(kNatsTlsFirstWait < kNatsConnectTimeout);

}  // namespace bascule::limits

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
// Permission errors kept until the next heartbeat tells whom they concern; more: logged only.
inline constexpr size_t kNatsRefusals = 100'000;
// How long a confirmation waits for permission errors that nats.c has seen and not yet handed over, and
// how often, a heartbeat apart, before it does without them.
inline constexpr std::chrono::milliseconds kNatsRefusalWait{200};
inline constexpr int kNatsRefusalWaits = 5;
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
static_assert(kIngressResumeBytes < kIngressQueueBytes);

}  // namespace bascule::limits

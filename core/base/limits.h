// Every bound that outside input could otherwise push, with what happens at it. Relations between
// them are asserted at compile time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bascule::limits {

inline constexpr size_t kKiB = 1024;
inline constexpr size_t kMiB = 1024 * kKiB;
inline constexpr size_t kGiB = 1024 * kMiB;

// --- messages ---
// Largest NATS payload a stream stores unless configured; larger: error ack TOO_LARGE, plain
// messages are counted.
inline constexpr size_t kDefaultMessageBytes = 1 * kMiB;
// What the setting may be raised to.
inline constexpr size_t kMaxMessageBytes = 64 * kMiB;
// What a stored record may add to its payload (offset, timestamp, subject, reply, headers framing).
inline constexpr size_t kRecordOverheadBytes = 64 * kKiB;
// Headers of one message; more: the envelope counts as malformed, a NATS message keeps the first
// ones.
inline constexpr size_t kMaxHeaders = 1024;
inline constexpr size_t kMaxSubjectBytes = 4 * kKiB;

// --- batches ---
// A batch is closed when it would grow past this (one larger record makes a batch of its own).
inline constexpr size_t kBatchTargetBytes = 512 * kKiB;
inline constexpr size_t kBatchMaxRecords = 16 * 1024;
// Decoder's bound: nothing on disk or wire may claim more.
inline constexpr size_t kMaxBatchBytes = kMaxMessageBytes + kRecordOverheadBytes + 4 * kKiB;

// --- ingest ---
// Bytes queued between the bus and one shard. Full: the message is dropped, counted, and reported
// by a gap record.
inline constexpr size_t kIngressQueueBytes = 2 * kMaxMessageBytes;
// nats.c pending limits of one subscription; past them NATS reports a slow consumer, which becomes
// a gap record.
inline constexpr int kNatsPendingMessages = 1'000'000;
inline constexpr int kNatsPendingBytes = 256 * static_cast<int>(kMiB);

// --- partitions ---
// Publishers of one partition that wait for their ack; at the bound nothing is appended until some
// are answered, and ingest waits in the queue above.
inline constexpr size_t kPartitionInFlightRecords = 1'000'000;
// Committed bytes kept in memory per partition so that readers at the end never touch the disk.
inline constexpr size_t kTailCacheBytes = 2 * kMiB;
// Bytes of all tail caches of one shard; past it the caches of the longest idle partitions are
// emptied.
inline constexpr size_t kTailCacheTotalBytes = 256 * kMiB;
// What one read hands to a subscriber session (more only if a single batch is larger).
inline constexpr size_t kReadChunkBytes = 256 * kKiB;
// Parked readers of one partition; more: Subscribe answers ResourceExhausted.
inline constexpr size_t kMaxSubscribersPerPartition = 10'000;

// --- segments ---
inline constexpr uint64_t kDefaultSegmentBytes = 256 * kMiB;
inline constexpr uint64_t kMinSegmentBytes = 64 * kKiB;
inline constexpr uint64_t kMaxSegmentBytes = 16 * kGiB;
inline constexpr size_t kIndexStrideBytes = 32 * kKiB;
inline constexpr size_t kPreallocateMinBytes = 64 * kKiB;
inline constexpr size_t kPreallocateMaxBytes = 8 * kMiB;
// Logs whose flushes are larger get no preallocated blocks.
inline constexpr size_t kPreallocateFlushBytes = 16 * kKiB;

// --- recovery points ---
inline constexpr std::chrono::milliseconds kRecoveryPointPeriod{5000};
inline constexpr std::chrono::milliseconds kRecoveryPointIdle{50};

// --- streams ---
inline constexpr size_t kMaxStreamNameBytes = 255;
inline constexpr int32_t kMaxPartitionsPerStream = 1000;
inline constexpr size_t kMaxPartitionsPerBroker = 100'000;

// --- gRPC ---
inline constexpr size_t kDefaultRequestBytes = 4 * kMiB;
// Publishes of one PublishAsync session without an ack yet; past it the session stops reading
// requests.
inline constexpr size_t kMaxAsyncInFlight = 64 * 1024;
inline constexpr size_t kMaxAsyncInFlightBytes = 16 * kMiB;
inline constexpr std::chrono::seconds kAckDrainTimeout{5};
inline constexpr std::chrono::seconds kDefaultMetadataTimeout{5};

// --- executors ---
// Tasks waiting on one shard from foreign threads; completions are not counted (they have reserved
// places).
inline constexpr size_t kExecutorQueueTasks = 64 * 1024;
inline constexpr int kDiskPoolThreads = 8;

static_assert(kMaxBatchBytes > kMaxMessageBytes + kRecordOverheadBytes,
              "a batch carries the largest record");
static_assert(kBatchTargetBytes <= kMaxBatchBytes);
static_assert(kMinSegmentBytes >= kPreallocateMinBytes);
static_assert(kPreallocateMinBytes <= kPreallocateMaxBytes);
static_assert(kIngressQueueBytes >= kMaxMessageBytes,
              "the queue holds at least one largest message");

}  // namespace bascule::limits

#include "tests/sim/partition_crash_world.h"

namespace bascule {
namespace {

constexpr uint64_t kNames = 5;

}  // namespace

void PartitionCrashWorld::Create(const std::string& name) {
  Stream& stream = streams_[name];
  if (stream.fate != Fate::kGone) return;
  stream = Stream{Fate::kMaybeCreated, stream.generation + 1, {}};
  StreamSpec spec;
  spec.name = spec.subject = name;
  if (rng.Below(4) == 0) spec.overrides.segment_max_bytes = 1;  // the smallest there is
  machine.broker->metadata.CreateStream(
      spec, std::chrono::seconds(5),
      [this, name, generation = stream.generation](const absl::Status& status) {
        Stream& now = streams_[name];
        if (status.ok() && now.generation == generation && now.fate == Fate::kMaybeCreated)
          now.fate = Fate::kExists;
      });
}

void PartitionCrashWorld::Delete(const std::string& name) {
  Stream& stream = streams_[name];
  if (stream.fate != Fate::kExists) return;
  stream.fate = Fate::kMaybeDeleted;
  machine.broker->metadata.DeleteStream(
      name, std::chrono::seconds(5),
      [this, name, generation = stream.generation](const absl::Status& status) {
        Stream& now = streams_[name];
        if (status.ok() && now.generation == generation) now.fate = Fate::kGone;
      });
}

void PartitionCrashWorld::Publish(const std::string& name) {
  if (!machine.Listens(name)) return;
  std::vector<partition::TestMessage> messages;
  const uint64_t count = Between(rng, 1, 8);
  for (uint64_t i = 0; i < count; ++i) {
    partition::TestMessage message;
    // The generation stands in it, so that a deleted stream's message is known when it comes back.
    message.value = Concat(name, "/", streams_[name].generation, "/", 1'000'000 + messages_++);
    message.inbox = rng.Below(5) == 0 ? "" : message.value;
    message.policy = rng.Below(2) == 0 ? AckPolicy::kLeader : AckPolicy::kAll;
    streams_[name].sent.insert(message.value);
    messages.push_back(std::move(message));
  }
  machine.Publish(name, messages);
}

void PartitionCrashWorld::Live(int steps) {
  for (int i = 0; i < steps; ++i) {
    const std::string name = Concat("s", rng.Below(kNames));
    const uint64_t choice = rng.Below(20);
    if (choice < 3) {
      Create(name);
    } else if (choice == 3) {
      Delete(name);
    } else if (choice < 12) {
      Publish(name);
    } else if (choice < 16) {
      for (uint64_t n = rng.Below(12); n > 0; --n) machine.scheduler.Step();
    } else {
      machine.RunFor(std::chrono::microseconds(rng.Below(20'000)));
    }
  }
}

void PartitionCrashWorld::EndAndRestart() {
  ++life_;
  const uint64_t way = rng.Below(4);
  if (way == 0) {
    machine.Kill();
  } else if (way == 1) {
    machine.StopCleanly();
  } else {
    machine.Crash();
  }
  machine.Start();
}

void PartitionCrashWorld::CheckStream(const std::string& name, Stream& stream) {
  const auto entry = machine.broker->catalog.Find(name);
  std::map<Offset, std::string> acked;
  const std::string prefix = Concat(name, "/", stream.generation, "/");
  for (const partition::SentAck& ack : machine.acks.sent) {
    if (!ack.inbox.starts_with(prefix)) continue;
    REQUIRE(ack.error == AckError::kOk);
    CHECK_MESSAGE(acked.emplace(ack.offset, ack.inbox).second, "two acks for offset ",
                  ack.offset.value());
  }
  const bool must_exist =
      stream.fate == Fate::kExists || (stream.fate == Fate::kMaybeCreated && !acked.empty());
  if (must_exist) CHECK(entry != nullptr);
  if (stream.fate == Fate::kGone) CHECK(entry == nullptr);
  stream.fate = entry ? Fate::kExists : Fate::kGone;
  if (!entry) return;
  const partition::PartitionContent content = machine.Read(name);
  for (const auto& [offset, value] : acked) {
    const auto found = content.messages.find(offset);
    REQUIRE_MESSAGE(found != content.messages.end(), value, " was acked at ", offset.value());
    CHECK(found->second == value);
  }
  std::string previous;
  for (const auto& [offset, value] : content.messages) {
    CHECK_MESSAGE(value > previous, value, " stands behind ", previous);  // once, as sent
    CHECK(stream.sent.contains(value));
    previous = value;
  }
  CHECK(std::is_sorted(content.epochs.begin(), content.epochs.end()));
}

void PartitionCrashWorld::Check() {
  for (auto& [name, stream] : streams_) {
    INFO("life ", life_, " stream ", name, " generation ", stream.generation);
    CheckStream(name, stream);
  }
  CHECK(machine.broker->metadata.table().streams().size() == machine.broker->catalog.size());
}

}  // namespace bascule

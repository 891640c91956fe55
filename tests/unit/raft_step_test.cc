// What one member refuses: a restored state that contradicts itself, and messages that no sound
// member sends. Nothing of either may end the process.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "replication/meta/raft/raft.h"

namespace bascule::raft {
namespace {

constexpr uint64_t kFar = ~uint64_t{0};

Options OptionsOf(uint64_t id) {
  Options options;
  options.id = NodeId(id);
  options.random = [](uint64_t) { return 0; };
  return options;
}

// In term 3, one of 1, 2, 3; entries 2 and 3, of terms 2 and 3, behind the first snapshot.
Restored Sound() {
  Restored restored;
  restored.hard_state = {Term(3), NodeId(), Index(2)};
  restored.snapshot = {Index(1), Term(1), {{NodeId(1), NodeId(2), NodeId(3)}, {}}};
  restored.entries = {{Index(2), Term(2), EntryType::kNormal, "a"},
                      {Index(3), Term(3), EntryType::kNormal, "b"}};
  return restored;
}

std::unique_ptr<Raft> Member() { return *Raft::Restore(OptionsOf(1), Sound()); }

Message Append(uint64_t from, uint64_t term) {
  return {.type = MessageType::kAppend,
          .to = NodeId(1),
          .from = NodeId(from),
          .term = Term(term),
          .log_term = Term(3),
          .index = Index(3),
          .commit = Index(2)};
}

bool Refuses(Raft& raft, Message message) {
  const Term term = raft.term();
  const Index last = raft.log().last();
  const bool refused = raft.Step(std::move(message)).code() == absl::StatusCode::kInvalidArgument;
  CHECK(raft.term() == term);  // nothing of it was used
  CHECK(raft.log().last() == last);
  return refused;
}

TEST_CASE("raft step: a restored state that contradicts itself is refused with the reason") {
  CHECK(Raft::Restore(OptionsOf(1), Sound()).ok());
  const auto refused = [](Restored restored, uint64_t id = 1) {
    return Raft::Restore(OptionsOf(id), std::move(restored)).status().code() ==
           absl::StatusCode::kDataLoss;
  };
  CHECK(refused(Sound(), 0));
  Restored hole = Sound();
  hole.entries[1].index = Index(4);
  CHECK(refused(hole));
  Restored falling = Sound();
  falling.entries[1].term = Term(1);
  CHECK(refused(falling));
  Restored late = Sound();
  late.hard_state.term = Term(2);
  CHECK(refused(late));
  Restored past = Sound();
  past.hard_state.commit = Index(4);
  CHECK(refused(past));
}

TEST_CASE("raft step: terms and indexes that were never reached are refused") {
  const auto raft = Member();
  CHECK(Refuses(*raft, Append(2, kFar)));
  CHECK(Refuses(*raft, Append(2, 3 + kMaxTermJump + 1)));
  CHECK(Refuses(*raft, Append(2, 0)));
  Message vote = Append(2, uint64_t{1} << 60);
  vote.type = MessageType::kVote;
  CHECK(Refuses(*raft, vote));
  for (Index Message::*field : {&Message::index, &Message::commit, &Message::reject_hint}) {
    Message message = Append(2, 3);
    message.*field = Index(kFar);
    CHECK(Refuses(*raft, message));
  }
  Message fine = Append(2, 4);
  CHECK(raft->Step(fine).ok());
  CHECK(raft->term() == Term(4));
}

TEST_CASE("raft step: a message of nobody, of ourselves, or of a second leader is refused") {
  const auto raft = Member();
  CHECK(Refuses(*raft, Append(0, 3)));
  CHECK(Refuses(*raft, Append(1, 3)));
  CHECK(raft->Step(Append(2, 3)).ok());
  CHECK(Refuses(*raft, Append(3, 3)));
}

TEST_CASE("raft step: entries that do not follow each other are refused") {
  const auto raft = Member();
  const auto with = [](std::vector<Entry> entries) {
    Message message = Append(2, 4);
    message.entries = std::move(entries);
    return message;
  };
  const auto entry = [](uint64_t index, uint64_t term) {
    return Entry{Index(index), Term(term), EntryType::kNormal, "x"};
  };
  CHECK(Refuses(*raft, with({entry(5, 4)})));
  CHECK(Refuses(*raft, with({entry(4, 4), entry(6, 4)})));
  CHECK(Refuses(*raft, with({entry(4, 4), entry(5, 3)})));
  CHECK(Refuses(*raft, with({entry(4, 5)})));  // of a term after its leader's
  CHECK(raft->Step(with({entry(4, 3), entry(5, 4)})).ok());
  CHECK(raft->log().last() == Index(5));
}

TEST_CASE("raft step: who would replace committed entries is refused") {
  const auto raft = Member();
  Message message = Append(2, 4);
  message.index = Index(1);
  message.log_term = Term(1);
  message.entries = {{Index(2), Term(4), EntryType::kNormal, "other"}};
  const absl::Status status = raft->Step(message);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(status.message().find("it leads with another entry 2 than is committed here: a majority of "
                              "the metadata logs was lost, or put back from older copies") !=
        std::string_view::npos);
  CHECK(raft->log().TermAt(Index(2)) == Term(2));
  CHECK(raft->term() == Term(3));
  // The entry before those that it brings, too; where nothing is committed yet others may stand.
  message.entries.clear();
  for (const auto& [index, term, code] :
       {std::tuple{2, 1, absl::StatusCode::kFailedPrecondition},
        std::tuple{2, 4, absl::StatusCode::kFailedPrecondition},
        std::tuple{2, 2, absl::StatusCode::kOk}, std::tuple{3, 4, absl::StatusCode::kOk},
        std::tuple{9, 4, absl::StatusCode::kOk}}) {
    message.index = Index(static_cast<uint64_t>(index));
    message.log_term = Term(static_cast<uint64_t>(term));
    CAPTURE(index);
    CAPTURE(term);
    CHECK(Member()->Step(message).code() == code);
  }
  message.index = Index(2);
  message.term = Term(2);  // of a leader that was: none of ours
  CHECK(Member()->Step(message).ok());
}

TEST_CASE("raft step: a leader ends where others hold more than its log") {
  const auto raft = Member();
  while (raft->role() != Role::kLeader) {
    raft->Tick();
    for (Ready ready = raft->TakeReady();; ready = raft->TakeReady()) {
      std::vector<Message> sent = std::move(ready.early);
      sent.insert(sent.end(), ready.messages.begin(), ready.messages.end());
      raft->Advance();
      for (const Message& message : sent) {
        const bool asks =
            message.type == MessageType::kVote || message.type == MessageType::kPreVote;
        if (!asks || message.to != NodeId(2)) continue;
        CHECK(
            raft->Step({.type = message.type == MessageType::kVote ? MessageType::kVoteResponse
                                                                   : MessageType::kPreVoteResponse,
                        .to = NodeId(1),
                        .from = NodeId(2),
                        .term = message.term})
                .ok());
      }
      if (!raft->HasReady()) break;
    }
  }
  Message answer{.type = MessageType::kAppendResponse,
                 .to = NodeId(1),
                 .from = NodeId(2),
                 .term = raft->term(),
                 .index = raft->log().last()};
  CHECK(raft->Step(answer).ok());
  answer.index = raft->log().last() + 1;
  const absl::Status status = raft->Step(answer);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(status.message().find("but our log, which leads, ends at ") != std::string_view::npos);
  answer.term = raft->term() - 1;
  CHECK(raft->Step(answer).ok());
}

TEST_CASE("raft step: a leader that knows us to hold more than we do names the loss") {
  const auto raft = Member();
  Message message = Append(2, 4);
  message.type = MessageType::kHeartbeat;
  message.commit = Index(9);
  const absl::Status status = raft->Step(message);
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK(std::string(status.message()).find("lost or damaged") != std::string::npos);
}

TEST_CASE("raft step: a snapshot message without a snapshot, or an impossible one, is refused") {
  const auto raft = Member();
  Message message = Append(2, 4);
  message.type = MessageType::kSnapshot;
  CHECK(Refuses(*raft, message));
  message.snapshot = SnapshotMeta{Index(0), Term(4), {}};
  CHECK(Refuses(*raft, message));
  message.snapshot = SnapshotMeta{Index(9), Term(5), {}};
  CHECK(Refuses(*raft, message));
  message.snapshot = SnapshotMeta{Index(kFar), Term(4), {}};
  CHECK(Refuses(*raft, message));
}

TEST_CASE("raft step: a kind of message that we do not know, or that is not ours, does nothing") {
  const auto raft = Member();
  for (int type = 0; type < 256; ++type) {
    Message message = Append(2, 3);
    message.type = static_cast<MessageType>(type);
    static_cast<void>(raft->Step(message));
    CHECK(raft->role() != Role::kLeader);
    CHECK(raft->log().committed() <= raft->log().last());
  }
}

TEST_CASE("raft step: proposals and reads are refused where nobody leads") {
  const auto raft = Member();
  CHECK(raft->Propose("x").status().code() == absl::StatusCode::kUnavailable);
  CHECK(raft->ProposeConfChange({ConfChangeType::kRemove, NodeId(2), ""}).status().code() ==
        absl::StatusCode::kUnavailable);
  CHECK(raft->ReadIndex("r").code() == absl::StatusCode::kUnavailable);
  CHECK(raft->ReadIndex("").code() == absl::StatusCode::kInvalidArgument);
  CHECK(raft->TransferLeadership(NodeId(2)).code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("raft step: a leader takes no more than may wait to be committed") {
  Options options = OptionsOf(1);
  options.max_uncommitted_bytes = 100;
  options.max_pending_reads = 2;
  Restored alone = Sound();
  alone.snapshot.configuration = {{NodeId(1)}, {}};
  const auto raft = *Raft::Restore(std::move(options), std::move(alone));
  raft->Campaign();
  REQUIRE(raft->role() == Role::kLeader);
  CHECK(raft->Propose(std::string(500, 'x')).ok());  // one always fits
  CHECK(raft->Propose("y").status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(raft->ReadIndex("r1").ok());
  CHECK(raft->ReadIndex("r2").ok());
  CHECK(raft->ReadIndex("r3").code() == absl::StatusCode::kResourceExhausted);
  size_t answered = 0;
  while (raft->HasReady()) {
    answered += raft->TakeReady().reads.size();
    raft->Advance();
  }
  CHECK(answered == 2);
  CHECK(raft->Propose("y").ok());
}

}  // namespace
}  // namespace bascule::raft

// Every command and every request that this version knows, by its descriptor.
#include "replication/meta/table/command.h"

#include <doctest/doctest.h>

#include <set>

#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/commands.pb.h"
#include "tests/support/sim_rng.h"
#include "tests/unit/meta_samples.h"

namespace bascule::metadata {
namespace {

// A command of that kind whose content is `body`, as its field in Command.
std::string CommandOf(int number, const std::string& body) {
  std::string bytes;
  for (const uint64_t value : {static_cast<uint64_t>(number) << 3 | 2, uint64_t{body.size()}}) {
    uint64_t left = value;
    for (; left >= 128; left >>= 7) bytes.push_back(static_cast<char>(left | 128));
    bytes.push_back(static_cast<char>(left));
  }
  return bytes + body;
}

bool IsSound(const MetaTable& table) {
  MetaTable again;
  return again.Restore(table.applied(), table.Snapshot()).ok() &&
         again.Snapshot() == table.Snapshot() && Differences(table, again).empty();
}

// How many fields the oneof of a message has, and whether `knows` each of them.
template <typename Knows>
void CheckFields(const google::protobuf::OneofDescriptor& oneof, size_t listed, Knows knows) {
  CHECK(static_cast<size_t>(oneof.field_count()) == listed);
  for (int i = 0; i < oneof.field_count(); ++i) {
    CAPTURE(oneof.field(i)->name());
    CHECK(knows(oneof.field(i)->number()));
  }
}

}  // namespace

TEST_CASE("commands: each has a number of its own, a name, and a level that this version has") {
  std::set<int> numbers;
  std::set<std::string_view> names;
  for (const MetaCommand* command : MetaCommands()) {
    CAPTURE(command->name);
    CHECK(numbers.insert(command->number).second);
    CHECK(names.insert(command->name).second);
    CHECK_FALSE(command->name.empty());
    CHECK(command->feature_level <= kFeatureLevel);
    REQUIRE((command->apply != nullptr));
    CHECK(FindCommand(command->number) == command);
    CHECK(MetaTable::Grows(CommandOf(command->number, "")) == command->grows);
  }
  CheckFields(*meta::Command::descriptor()->oneof_decl(0), MetaCommands().size(),
              [](int number) { return FindCommand(number) != nullptr; });
}

// In the log's order: the numbers are the commands' meaning.
TEST_CASE("commands: the numbers of commands never change") {
  CHECK(kCreateStreamCommand.number == 1);
  CHECK(kDeleteStreamCommand.number == 2);
  CHECK(kRegisterBrokerCommand.number == 3);
  CHECK(kRaiseEpochCommand.number == 4);
  CHECK(kUpdateStreamCommand.number == 5);
  CHECK(kFenceBrokersCommand.number == 6);
  CHECK(kRemoveBrokerCommand.number == 7);
  CHECK(kInitClusterCommand.number == 8);
  CHECK(kRaiseFeatureLevelCommand.number == 9);
  CHECK(kNoteGenerationsCommand.number == 10);
  CHECK(kAlterIsrCommand.number == 11);
  CHECK(kMoveLeaderCommand.number == 12);
}

TEST_CASE("commands: none minds an empty table, or what is no sense") {
  SimRng rng(7);
  for (const MetaCommand* command : MetaCommands()) {
    CAPTURE(command->name);
    MetaTable empty;
    const MetaTable::Applied applied =
        empty.Apply(MetadataIndex(1), CommandOf(command->number, ""));
    CHECK_FALSE(absl::IsUnimplemented(applied.result));
    if (!applied.result.ok()) CHECK(applied.deltas.empty());
    CHECK(IsSound(empty));
    MetaTable table = TableWith({"b1", "b2"});
    uint64_t index = 2;
    table.Apply(MetadataIndex(++index), EncodeCreateStream(SampleStream("s", 2, {"b1", "b2"})));
    for (int i = 0; i < 300; ++i) {
      std::string body;
      for (uint64_t n = rng.Below(24); n > 0; --n) body.push_back(static_cast<char>(rng.Next()));
      table.Apply(MetadataIndex(++index), CommandOf(command->number, body));
      CHECK(table.applied() == MetadataIndex(index));
    }
    CHECK(IsSound(table));
  }
}

TEST_CASE("commands: one of a newer version, and none at all, stop the broker and change nothing") {
  MetaTable table = TableWith({"b1"});
  const std::string before = table.Snapshot();
  uint64_t index = 1;
  for (const std::string& bytes : {CommandOf(90, ""), CommandOf(90, "abc"), std::string(),
                                   std::string("\xff\xff"), CommandOf(100, "b1")}) {
    const MetaTable::Applied applied = table.Apply(MetadataIndex(++index), bytes);
    CHECK(absl::IsUnimplemented(applied.result));
    CHECK(applied.deltas.empty());
  }
  CHECK(FindCommand(0) == nullptr);
  CHECK(FindCommand(90) == nullptr);
  MetaTable same;
  REQUIRE(same.Restore(table.applied(), before).ok());
  CHECK(Differences(same, table).empty());
  CHECK(same.brokers() == table.brokers());
}

TEST_CASE(
    "requests: each has a number of its own and a name, and what becomes a command says how") {
  std::set<int> numbers;
  std::set<const MetaCommand*> commands;
  for (const RequestKind* kind : RequestKinds()) {
    CAPTURE(kind->name);
    CHECK(numbers.insert(kind->number).second);
    CHECK_FALSE(kind->name.empty());
    CHECK(FindRequest(kind->number) == kind);
    if (kind->command == nullptr) {
      CHECK_FALSE(kind->once);  // nobody would keep the result
      continue;
    }
    CHECK(commands.insert(kind->command).second);
    CHECK(FindCommand(kind->command->number) == kind->command);
    // What is proposed for an empty request is a command of that kind.
    meta::Request request;
    request.GetReflection()->MutableMessage(
        &request, meta::Request::descriptor()->FindFieldByNumber(kind->number));
    CHECK_FALSE(kind->key(request).empty());
    meta::Command command;
    REQUIRE(command.ParseFromString(kind->encode(request, {})));
    CHECK(command.command_case() == kind->command->number);
  }
  CheckFields(*meta::Request::descriptor()->oneof_decl(0), RequestKinds().size(),
              [](int number) { return FindRequest(number) != nullptr; });
  CHECK(FindRequest(0) == nullptr);
  CHECK(FindRequest(99) == nullptr);
}

}  // namespace bascule::metadata

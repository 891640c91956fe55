// Its own folder's headers by their bare names: the tests compile this file too, with other include
// roots.
#include "cluster_view.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bascule/v1/bascule.pb.h"
#include "format.h"
#include "text.h"

namespace bascule::cli {
namespace {

using Align = Table::Align;

std::string OrDash(const std::string& text) { return text.empty() ? "-" : EscapeText(text); }

std::string Role(const v1::ClusterMember& member) {
  if (member.leader()) return "leader";
  return member.voter() ? "voter" : "learner";
}

// Entries of the metadata log that it has not got on disk.
std::string Lag(const v1::GetClusterStatusResponse& status, const v1::ClusterMember& member) {
  if (member.match() < 0) return "-";
  return GroupDigits(std::max<int64_t>(status.last() - member.match(), 0));
}

// "120: 2 leaderless, 3 below min ISR, 9 under-replicated"
std::string Partitions(const v1::GetClusterStatusResponse& status) {
  std::vector<std::string> wrong;
  const auto add = [&wrong](int64_t count, const char* what) {
    if (count > 0) wrong.push_back(absl::StrCat(GroupDigits(count), what));
  };
  add(status.leaderless(), " leaderless");
  add(status.below_min_isr(), " below min ISR");
  add(status.under_replicated(), " under-replicated");
  const std::string all = GroupDigits(int64_t{status.partitions()});
  return wrong.empty() ? all : absl::StrCat(all, ": ", absl::StrJoin(wrong, ", "));
}

void PrintHead(std::ostream& out, const v1::GetClusterStatusResponse& status) {
  const auto line = [&](const char* title, const std::string& text) {
    out << "  " << title << std::string(14 - std::string_view(title).size(), ' ') << text << '\n';
  };
  out << "Cluster " << OrDash(status.cluster_id()) << ", namespace "
      << EscapeText(status.namespace_()) << '\n';
  line("leader", absl::StrCat(status.leader().empty() ? "NONE" : EscapeText(status.leader()),
                              ", term ", GroupDigits(uint64_t{status.term()})));
  line("log",
       absl::StrCat("committed to ", GroupDigits(int64_t{status.commit()}), ", written to ",
                    GroupDigits(int64_t{status.last()}), ", kept from ",
                    GroupDigits(int64_t{status.first()}), ", ", HumanBytes(status.log_bytes())));
  if (status.partitions() > 0) line("partitions", Partitions(status));
  line("feature level", absl::StrCat(status.feature_level()));
  line("seen by", EscapeText(status.answered_by()));
}

std::string State(const v1::ClusterMember& member) {
  if (!member.live()) return "GONE";
  return member.trouble().empty() ? "live" : "AILING";
}

void PrintMembers(std::ostream& out, const v1::GetClusterStatusResponse& status) {
  Table table({{"MEMBER"},
               {"ROLE"},
               {"STATE"},
               {"LAG", Align::kRight},
               {"PARTITIONS", Align::kRight},
               {"LEADING", Align::kRight},
               {"CLIENTS"},
               {"PEERS"},
               {"RACK"},
               {"LEVEL", Align::kRight}});
  for (const v1::ClusterMember& member : status.members()) {
    table.AddRow({EscapeText(member.server_id()), Role(member), State(member), Lag(status, member),
                  GroupDigits(int64_t{member.partitions()}), GroupDigits(int64_t{member.leading()}),
                  OrDash(member.client_address()), OrDash(member.peer_address()),
                  OrDash(member.rack()), absl::StrCat(member.feature_level())});
  }
  table.Print(out);
}

// Whether the server has said something about `name` already.
bool Mentions(const std::vector<std::string>& sentences, const std::string& name) {
  for (const std::string& sentence : sentences) {
    const size_t at = sentence.find(name);
    if (at == std::string::npos) continue;
    const auto part_of_word = [&](size_t i) {
      return i < sentence.size() && (absl::ascii_isalnum(static_cast<unsigned char>(sentence[i])) ||
                                     sentence[i] == '-' || sentence[i] == '_');
    };
    if ((at == 0 || !part_of_word(at - 1)) && !part_of_word(at + name.size())) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> Troubles(const v1::GetClusterStatusResponse& status) {
  std::vector<std::string> out(status.degraded().begin(), status.degraded().end());
  if (status.leader().empty() && !absl::StrContains(absl::StrJoin(out, " "), "metadata leader")) {
    out.push_back(
        "there is no metadata leader: nothing can be created, changed or moved until a majority of "
        "the voters reach each other");
  }
  for (const v1::ClusterMember& member : status.members()) {
    if (!member.live() && !Mentions(out, member.server_id()))
      out.push_back(absl::StrCat("broker ", member.server_id(), " is gone"));
  }
  return out;
}

void PrintCluster(std::ostream& out, const v1::GetClusterStatusResponse& status) {
  PrintHead(out, status);
  out << '\n';
  PrintMembers(out, status);
  out << '\n';
  const std::vector<std::string> troubles = Troubles(status);
  if (troubles.empty()) out << "All is well.\n";
  for (const std::string& trouble : troubles) out << "! " << EscapeText(trouble) << '\n';
}

}  // namespace bascule::cli

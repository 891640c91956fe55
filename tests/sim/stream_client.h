// A client that creates and deletes streams through any broker of a simulated cluster, and what must
// be true of the answers: what was acknowledged is there, what was refused is not, nothing is done
// twice. Each name is used once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/ports/stream_admin.h"
#include "replication/meta/table/meta_table.h"
#include "tests/sim/kernel.h"

namespace bascule {

class StreamClient {
 public:
  // `fail` is told what was violated.
  StreamClient(SimKernel& kernel, std::function<void(const std::string&)> fail)
      : kernel_(kernel), fail_(std::move(fail)) {}
  ~StreamClient() { *alive_ = false; }

  // Stream sN on subject in.sN, by way of `broker`.
  // Returns its name.
  std::string Create(StreamAdmin& admin, const std::string& broker, int32_t partitions = 1,
                     int32_t replication_factor = 1, const StreamOverrides& overrides = {});
  // One that is there and that nobody was asked to delete before, if there is any.
  void Delete(StreamAdmin& admin, const std::string& broker);

  // Names of streams that are there for sure, and of those that are not.
  std::set<std::string> MustBe() const;
  std::set<std::string> MustNotBe() const;
  // Whether `table` holds to what was true when the sets were made; `where` is for people.
  void CheckTable(const metadata::MetaTable& table, const std::set<std::string>& there,
                  const std::set<std::string>& gone, const std::string& where);
  // Where no disk was emptied or put back no broker may say that it lost anything, whatever crashes.
  void CheckNothingLost(const metadata::MetaTable& table);
  size_t acknowledged() const { return acknowledged_; }

 private:
  // What is known of a name.
  enum class Fate { kAsked, kThere, kRefused, kUnknown };
  struct Stream {
    Fate created = Fate::kAsked;
    std::optional<Fate> deleted;  // kThere: it is gone
  };
  void OnCreated(const std::string& name, const absl::Status& status);
  void OnDeleted(const std::string& name, const absl::Status& status);

  SimKernel& kernel_;
  const std::function<void(const std::string&)> fail_;
  std::map<std::string, Stream> streams_;
  uint64_t names_ = 0;
  size_t acknowledged_ = 0;
  // What brokers call back after the world's end finds it gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace bascule

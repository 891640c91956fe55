// Where the metadata leader places new streams: by what is applied and what is on its way to be. On the
// metadata thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "replication/meta/requests/placement.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {

class PlacementBook {
 public:
  // Whether a broker can hold so many partitions; its error is the answer to who wants to create
  // them.
  using Capacity = std::function<absl::Status(const std::string& broker, size_t partitions)>;

  explicit PlacementBook(const MetaTable& table) : table_(table) {}
  // Brokers that `silent` names (silent, or in trouble) get no new partition while there are others.
  void SetSilence(std::function<bool(const std::string&)> silent) { silent_ = std::move(silent); }
  void SetCapacity(Capacity capacity) { capacity_ = std::move(capacity); }

  // Brokers that live.
  std::vector<PlacementBroker> Candidates() const;
  // Whether those of `brokers` that it was placed upon can hold the stream beside what they hold.
  absl::Status CheckBrokers(const StreamDescription& stream,
                            const std::vector<PlacementBroker>& brokers) const;
  // Whether the table can.
  absl::Status CheckTable(const StreamDescription& stream) const;
  // What is proposed, and its end. A stream without a name is none.
  void Begin(const StreamDescription& stream) { Account(stream, 1); }
  void End(const StreamDescription& stream) { Account(stream, -1); }

 private:
  void Account(const StreamDescription& stream, int32_t sign);

  const MetaTable& table_;
  std::function<bool(const std::string&)> silent_;
  Capacity capacity_;
  size_t pending_streams_ = 0;  // proposed
  size_t pending_bytes_ = 0;
  std::map<std::string, BrokerLoad> pending_;  // of streams that are proposed, by broker
};

}  // namespace bascule::metadata

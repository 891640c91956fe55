// The brokers that clients are told of, as the table has them; this one always, at the address that it serves
// at. Read on any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/ports/stream_admin.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {

class BrokerView {
 public:
  BrokerView(const MetaTable& table, const BrokerSelf& self) : table_(table), self_(self) {}
  // On the metadata thread: the table has changed.
  void Renew();
  // On the metadata thread: where clients reach this broker.
  void Advertise(std::string host, int32_t port);
  // Any thread.
  std::vector<BrokerDescription> Read() const;

 private:
  const MetaTable& table_;
  const BrokerSelf self_;
  std::string host_;
  int32_t port_ = 0;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const std::vector<BrokerDescription>> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::metadata

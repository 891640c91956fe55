#include "replication/meta/requests/broker_view.h"

#include <utility>

namespace bascule::metadata {

void BrokerView::Advertise(std::string host, int32_t port) {
  host_ = std::move(host);
  port_ = port;
  Renew();
}

void BrokerView::Renew() {
  auto view = std::make_shared<std::vector<BrokerDescription>>();
  const BrokerLoad mine = table_.LoadOf(self_.id);
  view->push_back({self_.id, host_, port_, self_.rack, mine.partitions, mine.leading});
  for (const auto& [id, broker] : table_.brokers()) {
    if (id == self_.id || broker.fenced || broker.port == 0) continue;
    const BrokerLoad load = table_.LoadOf(id);
    view->push_back({id, broker.host, broker.port, broker.rack, load.partitions, load.leading});
  }
  const absl::MutexLock lock(&mutex_);
  view_ = std::move(view);
}

std::vector<BrokerDescription> BrokerView::Read() const {
  std::shared_ptr<const std::vector<BrokerDescription>> view;
  {
    const absl::MutexLock lock(&mutex_);
    view = view_;
  }
  return *view;
}

}  // namespace bascule::metadata

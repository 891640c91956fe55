// What all calls of one server share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/api/api_server.h"
#include "core/api/read_memory.h"
#include "core/api/subscriber_slots.h"

namespace bascule::api {

struct ApiState {
  ApiState(ApiOptions the_options, ApiPorts the_ports)
      : options(std::move(the_options)),
        ports(the_ports),
        slots(limits::kMaxSubscribersPerPartition, options.bounds.subscriptions_per_address),
        read_memory(std::make_shared<ReadMemory>(options.bounds.memory_bytes)) {}

  const ApiOptions options;
  const ApiPorts ports;
  // Set once, before connections are dropped: from then on no call ends politely.
  std::atomic<bool> stopping{false};
  std::atomic<int> bound_port{0};
  std::atomic<uint64_t> next_reader{1};
  std::atomic<uint64_t> subscriptions_refused{0};
  std::atomic<uint64_t> async_overflows{0};  // PublishAsync calls whose client did not read
  SubscriberSlots slots;
  // Sessions keep it: a read may end after its call, and after the server.
  const std::shared_ptr<ReadMemory> read_memory;
  // Set once, before the server serves.
  std::function<Counters()> connection_counters;
};

}  // namespace bascule::api

// The public face of the broker: proto.API, bascule.v1.Bascule, health and reflection on one port.
// A translator: it decides nothing that metadata or a partition decides.
//
//   ApiServer server(options, ports);
//   RETURN_IF_ERROR(server.Start());     // SERVING from here on
//   ... server.BoundPort() ...
//   server.Shutdown();                   // NOT_SERVING, then every connection is dropped
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/api/administrators.h"
#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/file_system.h"
#include "core/env/rng.h"
#include "core/ports/bus_publisher.h"
#include "core/ports/cluster_admin.h"
#include "core/ports/server_facts.h"
#include "core/ports/stream_admin.h"
#include "core/ports/stream_catalog.h"

namespace bascule::api {

// Paths of PEM files. TLS is on when key and certificate are set; one alone is an error.
struct TlsOptions {
  std::string key;                   // tls.key
  std::string cert;                  // tls.cert
  bool require_client_cert = false;  // tls.client.auth.enabled
  std::string client_ca;             // tls.client.auth.ca; empty = the system's roots
  // Whether a certificate (PEM) is valid now; an error has the date. Null: nobody looks.
  std::function<absl::Status(const std::string& cert)> check_dates = nullptr;
};

// What clients may hold; see the settings api.*.
struct ApiBounds {
  size_t connections = limits::kDefaultApiConnections;
  size_t connections_per_address = limits::kDefaultApiConnections / 2;
  size_t streams_per_connection = limits::kDefaultStreamsPerConnection;
  size_t streams_per_address = limits::kDefaultStreamsPerAddress;
  size_t subscriptions_per_address = limits::kDefaultSubscriptionsPerAddress;
  size_t memory_bytes = limits::kDefaultApiMemoryBytes;
  std::chrono::milliseconds connection_idle = limits::kDefaultApiIdle;
};

struct ApiOptions {
  std::string listen = "0.0.0.0:9292";  // port 0: a free one, see BoundPort
  TlsOptions tls;
  size_t max_request_bytes = limits::kDefaultRequestBytes;
  ApiBounds bounds;
  // What FetchMetadata tells clients to dial for this broker. Empty: the host of `listen`, or
  // "localhost" where that is every interface; port 0: the bound one.
  std::string advertised_host;
  int32_t advertised_port = 0;
  std::string server_id;  // as it stands in stream descriptions and broker lists
  std::string cluster_namespace;
  AdminOptions admin;
  // As the limits, smaller in tests.
  size_t async_outbox_responses = limits::kMaxAsyncOutboxResponses;
  size_t async_outbox_bytes = limits::kMaxAsyncOutboxBytes;
};

// Everything outlives the server. `rng` names what nobody may guess; any thread (RealRng).
struct ApiPorts {
  const StreamCatalog& catalog;
  StreamAdmin& admin;
  ClusterAdmin& cluster;
  BusPublisher& bus;
  ServerFactsSource& facts;
  Clock& clock;
  FileSystem& files;
  Rng& rng;
};

class ApiServer {
 public:
  ApiServer(ApiOptions options, ApiPorts ports);
  ~ApiServer();  // Shutdown()
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Once. InvalidArgument for options that contradict each other or files that cannot be used;
  // Unavailable when the address cannot be listened on.
  absl::Status Start();
  // The port that is listened on; 0 before Start.
  int BoundPort() const;
  // Reads the files of the TLS options again, after Start: new connections are shown what they hold
  // now. What cannot be used changes nothing and is said. Blocks; one thread at a time.
  void ReloadTls();
  // Any thread. The certificate that new connections are shown (PEM; empty without TLS), and what is
  // wrong with the files by now: a sentence, or empty.
  std::string certificate() const;
  std::string tls_trouble() const;
  // Health turns NOT_SERVING, then connections are dropped (not closed politely), so that clients
  // see Unavailable and look elsewhere. Returns when no call is running any more: the partitions
  // must still answer cancelled reads. Idempotent; one thread.
  void Shutdown();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bascule::api

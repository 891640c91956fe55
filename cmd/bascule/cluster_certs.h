// `bascule cluster certs`: the files that let brokers of one cluster trust each other. Talks to no
// broker.
#pragma once

#include <string>
#include <vector>

#include "console.h"
#include "core/env/clock.h"
#include "core/env/file_system.h"
#include "exit_codes.h"

namespace bascule::cli {

inline constexpr int kDefaultCertificateDays = 3650;
inline constexpr int kMaxCertificateDays = 36500;

struct ClusterCertsOptions {
  std::string out = ".";  // directory, made when it is missing
  std::string ca;         // directory with the ca.pem and ca.key of an authority; empty = `out`
  std::vector<std::string> server_ids;  // a certificate for each; at least one
  std::vector<std::string> hosts;       // that stand in each besides the server id
  int days = kDefaultCertificateDays;   // until the new ones expire
  bool force = false;                   // replace certificates that are there; never the authority
};

inline constexpr char kClusterCertsAbout[] =
    "Make the certificates that brokers of one cluster know each other by.";

inline constexpr char kClusterCertsExamples[] = R"(Examples:
  bascule cluster certs --out certs --server-id b1 --server-id b2 --server-id b3
  bascule cluster certs --out certs --server-id b1 --host b1.example.com --host 10.0.0.1
One more, later, with the authority that is there, or kept apart from it:
  bascule cluster certs --out certs --server-id b4
  bascule cluster certs --out new --ca certs --server-id b4
Again, before the old one expires:
  bascule cluster certs --out certs --server-id b1 --force

The first run makes the authority: ca.pem, which every broker gets, and ca.key, which signs
certificates and belongs on no broker. For each server id there are then <id>.pem and
<id>.key, for that broker alone:

  clustering:
    server.id: b1
  cluster:
    tls:
      ca: /etc/bascule/ca.pem
      cert: /etc/bascule/b1.pem
      key: /etc/bascule/b1.key

A broker is known by the server id in its certificate, wherever it runs: --host is for other
programs that compare host names.)";

// Files that are there are not touched (kRefused) without `force`, the authority's never.
ExitCode MakeClusterCerts(Console& console, FileSystem& files, Clock& clock,
                          const ClusterCertsOptions& options);

}  // namespace bascule::cli

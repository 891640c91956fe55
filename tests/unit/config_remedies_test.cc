// Every remedy that a message about settings names, carried out: the configuration loads afterwards.
#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

#define BASCULE_MEMBER "cluster.listen: 10.0.0.1:9300\n"
#define BASCULE_OPEN_MEMBER BASCULE_MEMBER "cluster.insecure: true\n"

struct ConfigRemedy {
  const char* faulty;
  const char* remedy;  // as the message has it
  std::vector<const char*> remedied;
};

const std::vector<ConfigRemedy> kConfigRemedies = {
    {"tls.cert: c\n", "set both or neither", {"tls.cert: c\ntls.key: k\n", ""}},
    {"tls.client.auth.enabled: true\n",
     "set \"tls.cert\" and \"tls.key\" too",
     {"tls.client.auth.enabled: true\ntls.cert: c\ntls.key: k\n"}},
    {"tls.cert: c\ntls.key: k\ntls.client.auth.ca: a\n",
     "set that too or remove it",
     {"tls.cert: c\ntls.key: k\ntls.client.auth.ca: a\ntls.client.auth.enabled: true\n",
      "tls.cert: c\ntls.key: k\n"}},
    {"tls.cert: c\ntls.key: k\nadmin.identities: [o]\n",
     "set that too or remove it",
     {"tls.cert: c\ntls.key: k\nadmin.identities: [o]\ntls.client.auth.enabled: true\n",
      "tls.cert: c\ntls.key: k\n"}},
    {"nats.user: u\nnats.token: t\n", "keep one", {"nats.user: u\n", "nats.token: t\n"}},
    {"nats.creds: c\nnats.nkey.seed: s\n", "keep one", {"nats.creds: c\n", "nats.nkey.seed: s\n"}},
    {"nats.password: p\n", "set both or neither", {"nats.password: p\nnats.user: u\n", ""}},
    {"nats.tls.key: k\n", "set both or neither", {"nats.tls.key: k\nnats.tls.cert: c\n", ""}},
    {"nats.embedded: true\nnats.servers: ['nats://h:4222']\n",
     "remove one of the two",
     {"nats.embedded: true\n", "nats.servers: ['nats://h:4222']\n"}},
    {"nats.embedded.port: 4333\n",
     "set that too or remove it",
     {"nats.embedded.port: 4333\nnats.embedded: true\n", ""}},
    {"cluster.insecure: true\n",
     "set \"cluster.listen\" or \"cluster.join\" too or remove it",
     {BASCULE_OPEN_MEMBER,
      "cluster.insecure: true\ncluster.join: ['h:9300']\ncluster.advertised: 'me:9300'\n", ""}},
    {BASCULE_MEMBER,
     "or \"cluster.insecure\" to true",
     {BASCULE_OPEN_MEMBER,
      BASCULE_MEMBER "cluster.tls.ca: a\ncluster.tls.cert: c\ncluster.tls.key: k\n"}},
    {BASCULE_OPEN_MEMBER "cluster.tls.ca: a\ncluster.tls.cert: c\ncluster.tls.key: k\n",
     "keep one",
     {BASCULE_OPEN_MEMBER,
      BASCULE_MEMBER "cluster.tls.ca: a\ncluster.tls.cert: c\ncluster.tls.key: k\n"}},
    {BASCULE_MEMBER "cluster.tls.ca: a\n",
     "set all of \"cluster.tls.ca\", \"cluster.tls.cert\" and \"cluster.tls.key\"",
     {BASCULE_MEMBER "cluster.tls.ca: a\ncluster.tls.cert: c\ncluster.tls.key: k\n"}},
    {BASCULE_OPEN_MEMBER "clustering.server.id: a\nclustering.raft.bootstrap.peers: [a, b]\n"
                         "clustering.raft.bootstrap.seed: true\n",
     "keep one",
     {BASCULE_OPEN_MEMBER "clustering.server.id: a\nclustering.raft.bootstrap.peers: [a, b]\n",
      BASCULE_OPEN_MEMBER "clustering.server.id: a\nclustering.raft.bootstrap.seed: true\n"}},
    {BASCULE_OPEN_MEMBER "clustering.raft.bootstrap.peers: [a, b]\n",
     "needs \"clustering.server.id\", which says which of them this broker is; set that too",
     {BASCULE_OPEN_MEMBER "clustering.raft.bootstrap.peers: [a, b]\nclustering.server.id: a\n"}},
    {BASCULE_OPEN_MEMBER "clustering.raft.bootstrap.peers: [a, b]\nclustering.server.id: c\n",
     "list every first member",
     {BASCULE_OPEN_MEMBER "clustering.raft.bootstrap.peers: [a, b, c]\nclustering.server.id: c\n"}},
    {"cluster.listen: 0.0.0.0:9300\ncluster.insecure: true\n",
     "set \"cluster.advertised\" to a host and port that they can dial, or \"cluster.listen\" to",
     {"cluster.listen: 0.0.0.0:9300\ncluster.insecure: true\ncluster.advertised: 'me:9300'\n",
      BASCULE_OPEN_MEMBER}},
    {"cluster.raft.heartbeat: 1s\ncluster.raft.election.timeout: 2s\n",
     "must be at least three times",
     {"cluster.raft.heartbeat: 1s\ncluster.raft.election.timeout: 3s\n"}},
    {"nats.user:\n", "give it one or remove the line", {"nats.user: u\n", ""}},
};

#undef BASCULE_OPEN_MEMBER
#undef BASCULE_MEMBER

TEST_CASE("config: each remedy that a message names works") {
  for (const ConfigRemedy& one : kConfigRemedies) {
    CAPTURE(one.faulty);
    const std::string said = FileFaults(one.faulty);
    CHECK_MESSAGE(Holds(said, one.remedy), said);
    for (const char* text : one.remedied) {
      CAPTURE(text);
      CHECK(FileFaults(text) == "");
    }
  }
}

}  // namespace
}  // namespace bascule::config

// Who may include whom: the arrows of core/README.md and the folders that own a third-party
// library. The build enforces the arrows too; this says why, names the line, and also sees what the
// build cannot.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source.h"

namespace bascule::tidy {

struct Layer {
  std::string_view folder;
  std::string_view space;                     // the namespace of what it defines
  std::vector<std::string_view> may_include;  // folders; itself always
};

// The longest folder that holds a file is its layer.
inline const std::vector<Layer>& Layers() {
  static const std::vector<Layer> layers = {
      {"core/base", "bascule", {}},
      {"core/env", "bascule", {"core/base"}},
      {"core/wire", "bascule::wire", {"core/base"}},
      {"core/log", "bascule::log", {"core/base", "core/env", "core/wire"}},
      {"core/stream", "bascule", {"core/base"}},
      {"core/ports", "bascule", {"core/base", "core/env", "core/stream"}},
      {"core/api",
       "bascule::api",
       {"core/base", "core/env", "core/ports", "core/stream", "core/wire"}},
      {"core/config", "bascule::config", {"core/base", "core/stream"}},
      {"nats_bridge",
       "bascule::nats",
       {"core/base", "core/env", "core/wire", "core/stream", "core/ports"}},
      {"replication", "bascule", {"core/base", "core/stream", "core/ports"}},
      {"replication/isr", "bascule::isr", {"core/base"}},
      {"replication/partition",
       "bascule::partition",
       {"core/base", "core/env", "core/wire", "core/log", "core/stream", "core/ports",
        "replication/isr", "replication/ports.h", "replication/replica_channel.h"}},
      {"replication/meta/table",
       "bascule::metadata",
       {"core/base", "core/env", "core/wire", "core/stream", "replication/ports.h",
        "replication/metadata_log.h", "replication/peer_transport.h"}},
      {"replication/meta/requests",
       "bascule::metadata",
       {"core/base", "core/env", "core/wire", "core/stream", "core/ports", "replication/meta/table",
        "replication/ports.h", "replication/metadata_log.h", "replication/peer_transport.h"}},
      {"replication/meta/cluster",
       "bascule::metadata",
       {"core/base", "core/env", "core/wire", "core/stream", "core/ports", "replication/meta/table",
        "replication/meta/requests", "replication/ports.h", "replication/metadata_log.h",
        "replication/peer_transport.h"}},
      {"replication/meta/raft", "bascule::raft", {"core/base"}},
      {"replication/meta/store",
       "bascule::raft_store",
       {"core/base", "core/env", "core/wire", "replication/meta/raft"}},
      {"replication/meta/group",
       "bascule::raft_group",
       {"core/base", "core/env", "core/wire", "replication/meta/raft", "replication/meta/store",
        "replication/metadata_log.h", "replication/peer_transport.h"}},
      {"replication/peer",
       "bascule::peer",
       {"core/base", "core/env", "core/wire", "core/stream", "core/ports",
        "replication/peer_transport.h", "replication/replica_channel.h",
        "replication/peer_port.h"}},
      {"replication/broker",
       "bascule::broker",
       {"core/base", "core/env", "core/wire", "core/log", "core/stream", "core/ports",
        "core/config", "replication/partition", "replication/meta", "replication/ports.h",
        "replication/metadata_log.h", "replication/peer_transport.h",
        "replication/replica_channel.h", "replication/peer_port.h"}},
      {"cmd/basculed", "bascule::daemon", {"core", "nats_bridge", "replication"}},
      {"cmd/bascule",
       "bascule::cli",
       {"core/base", "core/env", "core/wire", "core/log", "core/stream"}},
      {"tests", "bascule", {"core", "nats_bridge", "replication", "cmd"}},
  };
  return layers;
}

struct ThirdParty {
  std::string_view name;
  std::vector<std::string_view>
      headers;  // prefixes of the included name; with a leading * suffixes
  std::vector<std::string_view> folders;  // where it may be included; "" is everywhere
};

inline const std::vector<ThirdParty>& ThirdParties() {
  static const std::vector<ThirdParty> libraries = {
      {"gRPC",
       {"grpc/", "grpcpp/", "*.grpc.pb.h"},
       {"core/api", "cmd", "replication/peer", "tests"}},
      {"protobuf",
       {"google/protobuf/", "*.pb.h"},
       {"core/api", "cmd", "replication/peer", "replication/meta", "tests"}},
      {"nats.c", {"nats.h", "nats/"}, {"nats_bridge", "tests"}},
      {"yaml-cpp", {"yaml-cpp/"}, {"core/config"}},
      {"spdlog", {"spdlog/", "fmt/"}, {"core/base/logging.cc"}},
      {"Boost", {"boost/"}, {"core/env"}},
      {"CLI11", {"CLI/"}, {"cmd"}},
      {"nlohmann-json", {"nlohmann/"}, {"cmd", "nats_bridge", "tests"}},
      {"ISA-L", {"isa-l/", "isa-l.h"}, {"core/base"}},
      {"xxHash", {"xxhash.h"}, {"core/base"}},
      {"OpenSSL",
       {"openssl/"},
       {"core/base/openssl_handles.h", "nats_bridge", "replication/peer", "cmd/bascule", "tests"}},
      {"doctest", {"doctest/"}, {"tests"}},
      {"ThreadSanitizer", {"sanitizer/"}, {"tests/support"}},
      {"abseil", {"absl/"}, {""}},
  };
  return libraries;
}

inline bool Inside(std::string_view path, std::string_view folder) {
  return folder.empty() || path == folder ||
         (path.starts_with(folder) && path[folder.size()] == '/');
}

inline const Layer* LayerOf(std::string_view path) {
  const Layer* best = nullptr;
  for (const Layer& layer : Layers()) {
    if (Inside(path, layer.folder) &&
        (best == nullptr || layer.folder.size() > best->folder.size()))
      best = &layer;
  }
  return best;
}

inline const ThirdParty* ThirdPartyOf(std::string_view included) {
  for (const ThirdParty& library : ThirdParties()) {
    for (std::string_view header : library.headers) {
      if (header.starts_with('*') ? included.ends_with(header.substr(1))
                                  : included.starts_with(header)) {
        return &library;
      }
    }
  }
  return nullptr;
}

// The standard library, POSIX and Linux: a bare name, or one of the system's folders.
inline bool IsSystem(std::string_view included) {
  size_t slash = included.find('/');
  if (slash == std::string_view::npos) return true;
  for (std::string_view folder : {"sys", "linux", "netinet", "arpa", "net", "asm"}) {
    if (included.substr(0, slash) == folder) return true;
  }
  return false;
}

// The name between the quotes or brackets of an #include line.
struct Include {
  std::string_view name;
  bool quoted;
};

inline std::optional<Include> ParseInclude(std::string_view line) {
  if (!line.starts_with("#include")) return std::nullopt;
  size_t open = line.find_first_of("<\"");
  if (open == std::string_view::npos) return std::nullopt;
  size_t close = line.find_first_of(">\"", open + 1);
  if (close == std::string_view::npos) return std::nullopt;
  return Include{line.substr(open + 1, close - open - 1), line[open] == '"'};
}

inline std::string JudgeOwnInclude(const Source& source, const Layer& layer,
                                   std::string_view included) {
  // The programs have no include root of their own in the unit tests, which compile some of their
  // files: those name their neighbours without a path, and the tests name them by one.
  if (source.In("cmd") && included.find('/') == std::string_view::npos) return "";
  if (source.In("tests") && included.starts_with("../../cmd/")) return "";
  const Layer* target = LayerOf(included);
  if (target == nullptr) {
    return "\"" + std::string(included) +
           "\" is no path from the project's root and no known library";
  }
  if (Inside(included, layer.folder)) return "";
  for (std::string_view folder : layer.may_include) {
    if (Inside(included, folder)) return "";
  }
  return std::string(layer.folder) + " may not know " + std::string(target->folder) + " (" +
         std::string(included) + ")" + (source.IsHeader() ? ", least of all in a header" : "");
}

inline std::string JudgeInclude(const Source& source, const Layer& layer, const Include& include) {
  if (const ThirdParty* library = ThirdPartyOf(include.name)) {
    for (std::string_view folder : library->folders) {
      if (source.In(folder) || folder.empty()) return "";
    }
    return std::string(library->name) + " is not for " + std::string(layer.folder) + " (" +
           std::string(include.name) + "); see ThirdParties() in tests/tidy/include_rules.h";
  }
  if (include.quoted) return JudgeOwnInclude(source, layer, include.name);
  if (IsSystem(include.name)) return "";
  return "<" + std::string(include.name) +
         "> belongs to no known library; a new dependency needs a sentence in core/README.md and a "
         "line in "
         "tests/tidy/include_rules.h";
}

inline Complaints CheckIncludes(const Source& source) {
  Complaints complaints;
  if (!source.IsCpp()) return complaints;
  const Layer* layer = LayerOf(source.path);
  if (layer == nullptr)
    return {source.path + ": belongs to no layer; see Layers() in tests/tidy/include_rules.h"};
  for (size_t i = 0; i < source.code_lines.size(); ++i) {
    std::optional<Include> include = ParseInclude(source.code_lines[i]);
    if (!include) continue;
    std::string verdict = JudgeInclude(source, *layer, *include);
    if (!verdict.empty()) complaints.push_back(source.At(i) + verdict);
  }
  return complaints;
}

}  // namespace bascule::tidy

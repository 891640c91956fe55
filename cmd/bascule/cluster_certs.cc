// Includes its headers by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "cluster_certs.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "authority.h"
#include "core/base/limits.h"

namespace bascule::cli {
namespace {

constexpr size_t kMaxPemBytes = 1 << 20;
constexpr mode_t kKeyMode = 0600;
constexpr mode_t kCertMode = 0644;

struct Paths {
  explicit Paths(const std::string& directory, const std::string& stem)
      : cert(JoinPath(directory, stem + ".pem")), key(JoinPath(directory, stem + ".key")) {}
  std::string cert;
  std::string key;
};

absl::StatusOr<std::string> Read(FileSystem& files, const std::string& path) {
  auto file = files.Open(path, OpenMode::kRead);
  if (!file.ok()) return file.status();
  return ReadWhole(**file, kMaxPemBytes);
}

// Whole or not at all, and with its mode before its contents.
absl::Status Write(FileSystem& files, const std::string& path, const std::string& text,
                   mode_t mode) {
  const std::string fresh = path + ".new";
  auto file = files.Open(fresh, OpenMode::kReplace);
  if (!file.ok()) return file.status();
  if (chmod(fresh.c_str(), mode) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot set the mode of ", fresh, ": ", std::strerror(errno)));
  }
  if (auto status = (*file)->WriteAt(FilePosition(0), text); !status.ok()) return status;
  if (auto status = (*file)->Sync(); !status.ok()) return status;
  return files.Rename(fresh, path);
}

// The key first: a certificate without one would look finished.
absl::Status WritePair(FileSystem& files, const Paths& paths, const PemPair& pair) {
  if (auto status = Write(files, paths.key, pair.key, kKeyMode); !status.ok()) return status;
  return Write(files, paths.cert, pair.cert, kCertMode);
}

Failure Refused(const absl::Status& status) {
  return {ExitCode::kRefused, std::string(status.message()), ""};
}

Outcome<bool> Check(FileSystem& files, const ClusterCertsOptions& options) {
  if (options.server_ids.empty()) {
    return Failure{ExitCode::kUsage, "no --server-id is given",
                   "name each broker that needs a certificate"};
  }
  if (options.days < 1 || options.days > kMaxCertificateDays) {
    return Failure{
        ExitCode::kUsage,
        absl::StrCat("--days must be between 1 and ", kMaxCertificateDays, ", not ", options.days),
        ""};
  }
  for (const std::string& host : options.hosts) {
    if (IsCertifiableHost(host)) continue;
    return Failure{ExitCode::kUsage, absl::StrCat("--host ", host, " cannot be used"),
                   "give an IP address or a host name, without a port"};
  }
  std::set<std::string> seen;
  for (const std::string& id : options.server_ids) {
    if (!IsCertifiableServerId(id) || id == "ca" || !seen.insert(id).second) {
      return Failure{ExitCode::kUsage, absl::StrCat("--server-id ", id, " cannot be used"),
                     absl::StrCat("a server id has at most ", limits::kServerIdBytes,
                                  " letters, digits, '_' and '-', begins with a letter or digit, "
                                  "is not 'ca', and is given once")};
    }
    if (options.force) continue;
    const Paths paths(options.out, id);
    for (const std::string& path : {paths.cert, paths.key}) {
      if (!files.Exists(path)) continue;
      return Failure{ExitCode::kRefused, absl::StrCat(path, " exists already"),
                     "nothing was changed; --force replaces the certificates of brokers"};
    }
  }
  return true;
}

// The authority in its directory, made there if it is to be in `out` and is not.
Outcome<PemPair> Authority(FileSystem& files, const ClusterCertsOptions& options, Timestamp now,
                           bool& made) {
  const std::string& directory = options.ca.empty() ? options.out : options.ca;
  const Paths paths(directory, "ca");
  made = false;
  if (files.Exists(paths.cert) || files.Exists(paths.key) || !options.ca.empty()) {
    auto cert = Read(files, paths.cert);
    auto key = Read(files, paths.key);
    if (cert.ok() && key.ok()) return PemPair{*std::move(cert), *std::move(key)};
    return Failure{ExitCode::kRefused,
                   absl::StrCat("the authority in ", directory,
                                " cannot be used: ", (cert.ok() ? key : cert).status().message()),
                   "ca.pem and ca.key belong together; a new authority needs an empty directory, "
                   "and new certificates for every broker"};
  }
  auto pair = MakeAuthority(now, kDefaultCertificateDays);
  if (!pair.ok()) return Refused(pair.status());
  if (auto status = WritePair(files, paths, *pair); !status.ok()) return Refused(status);
  made = true;
  return *std::move(pair);
}

void PrintAuthority(Console& console, const Paths& paths, const PemPair& authority) {
  console.out << "Made the cluster's authority, valid until " << EndOfValidity(authority.cert)
              << ":\n  " << paths.cert << "  copy to every broker (cluster.tls.ca)\n  " << paths.key
              << "  signs certificates: keep it, and on no broker\n";
}

}  // namespace

ExitCode MakeClusterCerts(Console& console, FileSystem& files, Clock& clock,
                          const ClusterCertsOptions& options) {
  const Timestamp now = clock.Wall();
  if (const auto checked = Check(files, options); !checked.ok())
    return Report(console, checked.failure());
  if (const auto status = files.CreateDirectories(options.out); !status.ok())
    return Report(console, Refused(status));
  bool made = false;
  Outcome<PemPair> authority = Authority(files, options, now, made);
  if (!authority.ok()) return Report(console, authority.failure());
  if (made) PrintAuthority(console, Paths(options.out, "ca"), *authority);
  for (const std::string& id : options.server_ids) {
    const Paths paths(options.out, id);
    auto pair = MakeBrokerCertificate(*authority, id, options.hosts, now, options.days);
    absl::Status status = pair.status();
    if (status.ok()) status = WritePair(files, paths, *pair);
    if (!status.ok()) return Report(console, Refused(status));
    console.out << "Broker " << id << ", valid until " << EndOfValidity(pair->cert) << ":\n  "
                << paths.cert << "  to that broker (cluster.tls.cert)\n  " << paths.key
                << "  to that broker alone, readable by its user only (cluster.tls.key)\n";
  }
  if (const auto status = files.SyncDir(options.out); !status.ok())
    return Report(console, Refused(status));
  console.out.flush();
  return ExitCode::kOk;
}

}  // namespace bascule::cli

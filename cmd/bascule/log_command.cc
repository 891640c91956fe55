// `bascule log inspect | verify`: the files of partitions, without a server.
#include "core/log/inspect.h"

#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/json_output.h"
#include "cmd/bascule/log_view.h"
#include "cmd/bascule/progress.h"

namespace bascule::cli {
namespace {

Failure Explain(const absl::Status& status, const std::string& directory) {
  Failure failure{ExitCode::kRefused,
                  absl::StrCat("cannot read ", directory, ": ", status.message()), ""};
  if (absl::IsNotFound(status)) {
    failure.code = ExitCode::kNotFound;
  }
  if (absl::IsDataLoss(status)) failure.code = ExitCode::kDamaged;
  return failure;
}

}  // namespace

ExitCode Run(Session& session, const LogOptions& options) {
  Console& console = session.console;
  FileSystem& disk = RealFileSystem();
  const bool verify = options.action == LogOptions::Action::kVerify;
  const absl::StatusOr<log::FoundLogs> found = log::FindLogs(disk, options.directory);
  if (!found.ok()) return Report(console, Explain(found.status(), options.directory));
  ExitCode code = ExitCode::kOk;
  if (!found->points_problem.empty()) {
    code = Report(
        console,
        {ExitCode::kDamaged,
         absl::StrCat(found->points_problem, "; how far the logs have to reach is not known"), ""});
  }
  const std::vector<log::FoundLog>& logs = found->logs;
  for (const log::FoundLog& one : logs) {
    const std::string& directory = one.directory;
    Progress progress(console, session.client.clock());
    const auto show = [&](uint64_t done, uint64_t total) {
      progress.Show(done >> 10, total >> 10, "KiB");
    };
    const absl::StatusOr<log::LogReport> log = InspectLog(
        disk, one, verify ? log::InspectDepth::kBytes : log::InspectDepth::kFooters, show);
    progress.Clear();
    if (!log.ok()) {
      // One directory that cannot be read must not hide the state of the others.
      const ExitCode failed = Report(console, Explain(log.status(), directory));
      if (code != ExitCode::kDamaged) code = failed;
      continue;
    }
    if (!log->sound()) code = ExitCode::kDamaged;
    if (session.json) {
      console.out << LogJson(*log, verify) << '\n';
    } else if (verify) {
      PrintVerdict(console.out, *log);
    } else {
      PrintLog(console.out, *log);
      if (&one != &logs.back()) console.out << '\n';
    }
  }
  return code;
}

}  // namespace bascule::cli

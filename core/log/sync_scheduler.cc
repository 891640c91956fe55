#include "core/log/sync_scheduler.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::log {
namespace {

absl::Status Vanished(const File& file, const absl::Status& why) {
  return absl::Status(why.code(), Concat("the directory ", ParentPath(file.path()),
                                         " was changed under the running broker: ", why.message()));
}

absl::Status SyncAll(FileSystem& fs, const FlushTicket& ticket) {
  for (const std::shared_ptr<File>& file : ticket.files) {
    RETURN_IF_ERROR(file->Sync());
    // A sync of a file that has lost its name succeeds, and keeps nothing.
    if (const absl::Status here = file->CheckInPlace(); !here.ok()) return Vanished(*file, here);
  }
  if (ticket.poisoned && *ticket.poisoned)
    return absl::InternalError("an earlier sync of the log has failed");
  if (!ticket.directory.empty()) RETURN_IF_ERROR(fs.SyncDir(ticket.directory));
  return absl::OkStatus();
}

}  // namespace

void SyncScheduler::Flush(FlushTicket ticket, Executor& home,
                          absl::AnyInvocable<void(FlushTicket, absl::Status)> done) {
  BASCULE_CHECK(!ticket.files.empty());
  pool_.Post([this, ticket = std::move(ticket), &home, done = std::move(done)]() mutable {
    absl::Status status = SyncAll(fs_, ticket);
    home.Post([ticket = std::move(ticket), status = std::move(status),
               done = std::move(done)]() mutable { done(std::move(ticket), std::move(status)); });
  });
}

}  // namespace bascule::log

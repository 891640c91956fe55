#include "core/log/sync_scheduler.h"

#include <utility>

namespace bascule {
namespace {

absl::Status SyncAll(FileSystem& fs, const FlushTicket& ticket) {
  for (const std::shared_ptr<File>& file : ticket.files) RETURN_IF_ERROR(file->Sync());
  if (ticket.poisoned && *ticket.poisoned)
    return absl::InternalError("an earlier sync of the log has failed");
  if (!ticket.directory.empty()) RETURN_IF_ERROR(fs.SyncDir(ticket.directory));
  return absl::OkStatus();
}

}  // namespace

void SyncScheduler::Flush(FlushTicket ticket, Executor& home,
                          absl::AnyInvocable<void(FlushTicket, absl::Status)> done) {
  pool_.Post([this, ticket = std::move(ticket), &home, done = std::move(done)]() mutable {
    absl::Status status = SyncAll(fs_, ticket);
    home.Post([ticket = std::move(ticket), status = std::move(status),
               done = std::move(done)]() mutable { done(std::move(ticket), std::move(status)); });
  });
}

}  // namespace bascule

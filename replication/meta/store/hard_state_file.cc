#include "replication/meta/store/hard_state_file.h"

#include "core/base/text.h"

namespace bascule::raft_store {

absl::StatusOr<HardStateFile> HardStateFile::Create(StoreDirectory& files,
                                                    const HardStateCopy& copy) {
  const std::string name(kHardStateName);
  const std::string block = EncodeHardState(copy);
  RETURN_IF_ERROR(files.Publish(name, {block, block}));
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, files.OpenForWriting(name));
  return HardStateFile(std::move(file), copy);
}

absl::StatusOr<HardStateCopy> HardStateFile::Read(StoreDirectory& files,
                                                  std::vector<std::string>& warnings) {
  const std::string path = files.PathOf(kHardStateName);
  const absl::StatusOr<std::string> bytes = files.Read(std::string(kHardStateName));
  if (absl::IsNotFound(bytes.status())) {
    return Unusable(files.path(), path, "is missing: whom this broker voted for is not known");
  }
  RETURN_IF_ERROR(bytes.status());
  HardStateCopy copies[2];
  Soundness judged[2];
  for (size_t i = 0; i < 2; ++i) {
    const size_t begin = std::min(bytes->size(), i * kHardStateBlockBytes);
    judged[i] =
        DecodeHardState(std::string_view(*bytes).substr(begin, kHardStateBlockBytes), copies[i]);
    if (judged[i] == Soundness::kNewer) return WrittenByNewer(path);
  }
  if (judged[0] == Soundness::kSound && judged[1] == Soundness::kSound) {
    return copies[0].sequence >= copies[1].sequence ? copies[0] : copies[1];
  }
  for (size_t i = 0; i < 2; ++i) {
    if (judged[i] != Soundness::kSound) continue;
    warnings.push_back(Concat(path, ": copy ", 2 - i, " of term and vote is torn or damaged; ",
                              "it is written anew from the other one"));
    return copies[i];
  }
  return Unusable(files.path(), path, "is damaged: whom this broker voted for is not known");
}

absl::Status HardStateFile::Write(raft::Term term, raft::NodeId vote, uint64_t segment) {
  const HardStateCopy next{current_.sequence + 1, term, vote, segment};
  const std::string block = EncodeHardState(next);
  for (const uint64_t at : {uint64_t{0}, uint64_t{kHardStateBlockBytes}}) {
    RETURN_IF_ERROR(file_->WriteAt(FilePosition(at), block));
    RETURN_IF_ERROR(file_->Sync());
  }
  current_ = next;
  return absl::OkStatus();
}

}  // namespace bascule::raft_store
